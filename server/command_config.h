/* The server's configuration: DIR/server.yaml, and what it turns into for the library. Part of the program:
 * it knows both the server's and training's rooms. docs/server.md has every key. */
#ifndef COVEY_COMMAND_CONFIG_H
#define COVEY_COMMAND_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/dataset_load.h"
#include "covey/federation_keys.h"
#include "covey/log.h"
#include "covey/model_description.h"
#include "covey/root_update.h"
#include "covey/server.h"

#define COVEY_SERVER_FILE "server.yaml"

struct gateway_config {
    char *name;
    int64_t devices;
};

/* As in the file; in a list an item's 0 or NULL means that the key was left out. */
struct federation_config {
    char *name, *model, *initial, *codec, *downlink, *strategy;
    int64_t seed;
    double server_rate, norm_limit, weight_cap;
    int64_t out_of_range; /* 0 scale, 1 refuse */
    int64_t models_kept, deltas_kept, deltas_kept_mib;
    struct covey_train_keys train;
    struct covey_selection_keys selection;
    struct covey_round_keys round;
    struct covey_stop_keys stop;
    struct {
        struct covey_data_config validation, test;
        struct {
            int64_t every;
            double share;
        } devices;
    } evaluation;
    struct gateway_config *gateways; /* below this federation */
    uint32_t gateway_count;
    struct {
        char *address, *server_name, *bundle;
    } parent; /* above it; bundle NULL: none */
    struct covey_data_config root_data;
    struct covey_optimiser_keys server_optimiser;
    struct covey_weighting_keys weighting;
    int64_t population; /* devices in all */
};

struct server_config {
    struct {
        char *name, *address, *state;
        int64_t port, shards, shard_devices, fold_threads, intake_threads, intake_memory_bytes,
            receive_buffer_bytes;
        bool exit_when_done;
    } server;
    struct {
        int64_t level;
        bool journal;
    } log;
    struct federation_config *federations;
    uint32_t federation_count;

    char folder[COVEY_FILE_PATH_BYTES]; /* DIR; not from the file */
};

/* INVALID with "FILE:LINE: ...". */
COVEY_MUST_CHECK enum covey_status server_config_load(const char *folder, struct server_config *out,
                                                      struct covey_error *err);
void server_config_free(struct server_config *config); /* an all-zero one is legal */

/* DIR/name, or name itself when it is absolute. */
COVEY_MUST_CHECK enum covey_status server_config_path(const struct server_config *config, const char *name,
                                                      char out[COVEY_FILE_PATH_BYTES],
                                                      struct covey_error *err);
/* The federation of that name; NULL or "": the only one, or the first. NULL when there is none. */
const struct federation_config *server_config_find(const struct server_config *config, const char *name);

/* A federation made ready: its model loaded, its initial values, its evaluation data. */
struct federation_kit {
    struct covey_model_description *model;
    struct covey_layout layout;
    uint8_t *description; /* CBOR */
    size_t description_bytes;
    float *initial;                /* (layout.count) */
    struct evaluation *evaluation; /* NULL: no data */
    struct root_data *root;        /* the same */
    struct covey_gateway *gateways;
    bool is_error; /* the metric is an error (rmse), not an accuracy */
    struct covey_federation_options options;
};

COVEY_MUST_CHECK enum covey_status federation_kit_init(struct federation_kit *kit,
                                                       const struct server_config *server,
                                                       const struct federation_config *config,
                                                       struct covey_error *err);
void federation_kit_deinit(struct federation_kit *kit); /* an all-zero one is legal */
/* The model's layout alone, for commands that only read models. */
COVEY_MUST_CHECK enum covey_status federation_kit_model(struct federation_kit *kit,
                                                        const struct server_config *server,
                                                        const struct federation_config *config,
                                                        struct covey_error *err);

/* ------------------------------------------------------------------ command_evaluate.c */

struct evaluation;
/* Loads the data sets that are named; *out stays NULL when none is. */
COVEY_MUST_CHECK enum covey_status evaluation_create(const struct server_config *server,
                                                     const struct federation_config *config,
                                                     const struct covey_model_description *model,
                                                     const struct covey_layout *layout, const float *initial,
                                                     struct evaluation **out, struct covey_error *err);
void evaluation_destroy(struct evaluation *evaluation);
bool evaluation_has(const struct evaluation *evaluation, enum covey_part part);
/* A covey_judge_fn; user is a struct evaluation. */
enum covey_status evaluation_judge(void *user, enum covey_part part, const float *shared,
                                   struct covey_judgement *out, struct covey_error *err);

/* ------------------------------------------------------------------ command_root.c */

struct root_data;
/* Loads root_data where it is named; *out stays NULL otherwise. The kit's recipe is there already. */
COVEY_MUST_CHECK enum covey_status root_data_create(const struct server_config *server,
                                                    const struct federation_config *config,
                                                    const struct federation_kit *kit, struct root_data **out,
                                                    struct covey_error *err);
void root_data_destroy(struct root_data *root);                           /* NULL is legal */
struct covey_root_update *root_data_update(const struct root_data *root); /* NULL: there is none */

#endif
