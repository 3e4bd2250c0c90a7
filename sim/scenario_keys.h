/* A scenario as its file has it: what covey_yaml fills in, before defaults turn into rules and a recipe. */
#ifndef COVEY_SCENARIO_KEYS_H
#define COVEY_SCENARIO_KEYS_H

#include "covey/federation_keys.h"
#include "scenario.h"

struct scenario_keys {
    struct covey_scenario scenario; /* `train` and `rules` are not read */
    struct covey_train_keys train;
    struct covey_selection_keys selection;
    struct covey_round_keys round;
    struct covey_stop_keys stop;
    int64_t out_of_range; /* 0 scale, 1 refuse */
};

extern const struct covey_field scenario_fields[];
extern const struct scenario_keys scenario_defaults;

/* From the keys to the scenario's rules, recipe and the rest that are no keys of their own. */
void scenario_from_keys(struct scenario_keys *keys);
/* The way back, so that what is written loads to the same. */
void scenario_to_keys(const struct covey_scenario *scenario, struct scenario_keys *out);

#endif
