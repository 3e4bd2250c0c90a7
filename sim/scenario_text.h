/* The text of a scenario.yaml as pairs of key and value, to lay runs side by side: "train.epochs" is "1",
 * "devices.0.class" is "pi-4". It reads the block style that covey_scenario_write writes; of other YAML, and
 * of what is none, it makes some pairs or none, never an error: they are only shown. */
#ifndef COVEY_SCENARIO_TEXT_H
#define COVEY_SCENARIO_TEXT_H

#include <stdint.h>

#include "covey/status.h"

#define COVEY_SCENARIO_KEY_BYTES 96
#define COVEY_SCENARIO_VALUE_BYTES 96
#define COVEY_SCENARIO_PAIRS 512 /* of one scenario; those behind are left out */

struct covey_scenario_pair {
    char key[COVEY_SCENARIO_KEY_BYTES], value[COVEY_SCENARIO_VALUE_BYTES]; /* cut to fit */
};

struct covey_scenario_pairs {
    struct covey_scenario_pair *items;
    uint32_t count;
};

COVEY_MUST_CHECK enum covey_status covey_scenario_pairs_read(const char *text,
                                                             struct covey_scenario_pairs *out,
                                                             struct covey_error *err);
void covey_scenario_pairs_free(struct covey_scenario_pairs *pairs);
/* NULL: there is no such key. */
const char *covey_scenario_pairs_find(const struct covey_scenario_pairs *pairs, const char *key);

/* The keys, other than the name, whose values are not the same in all of `pairs` (count); at most `most`, in
 * the order in which they come. They point into pairs. Returns how many. */
uint32_t covey_scenario_differences(const struct covey_scenario_pairs *pairs, uint32_t count,
                                    const char **keys, uint32_t most);

#endif
