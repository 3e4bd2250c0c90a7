/* How each set of the catalogue becomes examples, owners and a test part (covey_sim_set.load). */
#ifndef COVEY_SIM_SETS_H
#define COVEY_SIM_SETS_H

#include "sim_data.h"

/* The files of one part, under a folder: up to COVEY_DATA_FILES of each. */
struct set_files {
    const char *folder;
    const char *const *parts;              /* subfolders, ended by NULL; NULL: the folder itself */
    const char *inputs, *labels, *targets; /* names in each part; NULL: none */
    const char *statistics;                /* in the folder */
    int64_t classes;
    double scale;
};

/* Loads them one behind the other. owners: NULL, or (count of *out) the number of the part of each example,
 * malloc'ed. */
enum covey_status set_load_files(const struct set_files *files, struct covey_dataset *out, uint32_t **owners,
                                 struct covey_error *err);

/* CSV files, one an owner, read as `config` says (its csv block without files). */
enum covey_status set_load_csv(const char *folder, const struct covey_data_config *config,
                               const struct covey_data_names *names, struct covey_sim_data *out,
                               struct covey_error *err);

/* A label-like table of one integer a row, as (count) values, malloc'ed. */
enum covey_status set_load_integers(const char *folder, const char *name, int32_t **out, uint32_t *count,
                                    struct covey_error *err);

/* Numbers 0, 1, ... for the values that occur, in ascending order; values becomes the owners in place.
 * Returns how many there are. */
uint32_t set_number_owners(int32_t *values, uint32_t count, struct covey_error *err,
                           enum covey_status *status);

enum covey_status set_load_fashion_mnist(const char *folder, struct covey_sim_data *out,
                                         struct covey_error *err);
enum covey_status set_load_mnist(const char *folder, struct covey_sim_data *out, struct covey_error *err);
enum covey_status set_load_har(const char *folder, struct covey_sim_data *out, struct covey_error *err);
enum covey_status set_load_beijing_air(const char *folder, struct covey_sim_data *out,
                                       struct covey_error *err);
enum covey_status set_load_turbofan(const char *folder, struct covey_sim_data *out, struct covey_error *err);
enum covey_status set_load_spoken_digits(const char *folder, struct covey_sim_data *out,
                                         struct covey_error *err);
enum covey_status set_load_shakespeare(const char *folder, struct covey_sim_data *out,
                                       struct covey_error *err);

#endif
