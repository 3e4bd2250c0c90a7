/* The data sets that scenarios name, and the user's own: training examples with their owners, and a test
 * part.
 *
 * A set of the catalogue is looked for in $COVEY_DATA, /usr/share/datasets and the cache folder of
 * scripts/data ($COVEY_CACHE, or covey under $XDG_CACHE_HOME or ~/.cache), in that order. docs/simulate.md
 * has the catalogue, with features and splits. */
#ifndef COVEY_SIM_DATA_H
#define COVEY_SIM_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/dataset.h"
#include "covey/status.h"
#include "scenario.h"

struct covey_sim_data {
    struct covey_dataset train, test; /* test.count 0: there is none */
    struct covey_dataset root;        /* the server's own, data.root_data; likewise */
    uint32_t *owners;                 /* (train.count) 0 .. owner_count - 1; NULL: nobody's */
    uint32_t owner_count;
    struct covey_dataset
        whole;       /* what both are views of when data.hold_out, .validation or .root_data part them */
    void *memory[8]; /* what the tables point to and is not the data sets' own */
};

/* One set of the catalogue. */
struct covey_sim_set {
    const char *name;
    const char *folder, *marker; /* the folder, and a file that is there when the set is */
    const char *owner;           /* "writer"; NULL: no owners */
    uint32_t owners, examples;   /* of the training part */
    uint32_t classes;            /* 0: regression */
    const char *model;           /* a shipped one that fits */
    const char *text;            /* one line */
    enum covey_status (*load)(const char *folder, struct covey_sim_data *out, struct covey_error *err);
};

/* NULL past the end; NULL when there is none of that name. */
const struct covey_sim_set *covey_sim_set_at(size_t index);
const struct covey_sim_set *covey_sim_set_find(const char *name);

/* Where it is. NOT_FOUND with the command that brings it. */
COVEY_MUST_CHECK enum covey_status covey_sim_set_folder(const struct covey_sim_set *set,
                                                        char out[COVEY_FILE_PATH_BYTES],
                                                        struct covey_error *err);

/* All files that the scenario's own data name are there? NOT_FOUND names the first that is not. Cheap. */
COVEY_MUST_CHECK enum covey_status covey_sim_data_check(const struct covey_scenario *scenario,
                                                        struct covey_error *err);

/* The scenario's data in memory, with its validation part, if it names one, in place of the test part; *out
 * is freed by covey_sim_data_free. Pure: the same files and seed, the same examples in the same order. */
COVEY_MUST_CHECK enum covey_status covey_sim_data_load(const struct covey_scenario *scenario,
                                                       struct covey_sim_data *out, struct covey_error *err);
void covey_sim_data_free(struct covey_sim_data *data); /* an all-zero one is legal */

#endif
