/* A scenario: everything that decides a simulation's outcome, as one YAML file says it. Keys that a server's
 * federation has too (train, selection, round, stop, codec, downlink, strategy ...) have the same names,
 * meanings and defaults here (docs/server.md); docs/simulate.md has the others.
 *
 *   name: fashion-quickstart
 *   data: {set: fashion-mnist}
 *   partition: {kind: dirichlet, devices: 100, alpha: .5}
 *   model: 2nn
 *   train: {epochs: 1, batch: 10, learning_rate: .1}
 *   codec: int8
 *   selection: {fraction: .1}
 *   stop: {rounds: 50}
 *
 * Only name, data and model are required. Times are in virtual time. A scenario that cannot be run is refused
 * when it is loaded, with file, line and a hint: unknown key, wrong type, more devices in a cohort than there
 * are, data that is not there (and the scripts/data command that brings it). */
#ifndef COVEY_SCENARIO_H
#define COVEY_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/dataset_load.h"
#include "covey/federation_keys.h"
#include "covey/hash.h"
#include "covey/messages.h"
#include "covey/model_description.h"
#include "covey/server.h"
#include "covey/server_round.h"
#include "covey/status.h"

#define COVEY_SIM_DEVICES 100000000u /* virtual ones, of one scenario */
#define COVEY_SIM_CLASSES 32         /* of devices, and of links */
#define COVEY_SIM_SETTINGS 64        /* --set key.path=value on one command line */

enum covey_partition_kind {
    COVEY_PARTITION_IID,
    COVEY_PARTITION_SHARDS,           /* `shards` labels a device, about (McMahan et al. 2017, section 3) */
    COVEY_PARTITION_DIRICHLET,        /* over labels, sizes alike */
    COVEY_PARTITION_DIRICHLET_UNEVEN, /* over labels and quantities */
    COVEY_PARTITION_NATURAL,          /* a device for each owner: person, writer, speaker, station, role */
    COVEY_PARTITION_FILES,            /* a device for each file of data.files */
    COVEY_PARTITION_DRAWN /* `examples` each, drawn with replacement by the device's seed: nothing kept */
};

struct covey_partition_config {
    int64_t kind;    /* enum covey_partition_kind */
    int64_t devices; /* of natural and files: at most so many, the first ones; 0 = all there are */
    int64_t shards;
    double alpha;
    int64_t examples; /* drawn: each; others: at most so many of a share are kept, 0 = all */
};

enum covey_availability_kind {
    COVEY_AVAILABLE_ALWAYS,
    COVEY_AVAILABLE_DAY_NIGHT, /* in [from_hour, to_hour) of its local day; time zones spread over
                                  `spread_hours` */
    COVEY_AVAILABLE_CHARGING,  /* one window a day: begins about from_hour, lasts about `hours`, both jittered
                                */
    COVEY_AVAILABLE_TRACE      /* lines "device,from_s,to_s" of a CSV; repeated with its own period */
};

/* A class of devices: `share` of the fleet (shares are relative). 0 or NULL: the class's own figure from the
 * catalogue. */
struct covey_device_class_config {
    char *class_name; /* key `class`: pi-zero-2, pi-3, pi-4, pi-5, cortex-m7, host ... (sim/device.c) */
    double share;
    double examples_per_s; /* of this scenario's model; replaces the calibration */
    double memory_bytes;
    double joules_per_gflop, idle_watts;
    double battery_wh;              /* 0 with the catalogue's 0: mains */
    double slow_share, slow_factor; /* slow tail: so many of them are so many times slower in a round */
    char *link;                     /* class of link; NULL: by the scenario's links */
};

struct covey_link_class_config {
    char *class_name; /* key `class`: ethernet, wifi, lte-m, nb-iot, 802.15.4, perfect (sim/link_class.c) */
    double share;
    double up_bits_per_s, down_bits_per_s, round_trip_ms, loss;
    double joules_per_byte_up, joules_per_byte_down;
};

/* How the time of a transfer is had. */
enum covey_network_kind {
    COVEY_NETWORK_TABLE, /* from a table of seeded runs of the blockwise code, made once a link class and size
                          */
    COVEY_NETWORK_EXACT  /* a run of its own for each transfer */
};

enum covey_attack_kind {
    COVEY_ATTACK_NONE,
    COVEY_ATTACK_LABEL_FLIP,
    COVEY_ATTACK_SIGN_FLIP,
    COVEY_ATTACK_NOISE,
    COVEY_ATTACK_BIT_FLIP,
    COVEY_ATTACK_MODEL_REPLACEMENT,
    COVEY_ATTACK_NAN,
    COVEY_ATTACK_STALE,
    COVEY_ATTACK_SYBIL,
    COVEY_ATTACK_MIMIC,
    COVEY_ATTACK_ALIE,
    COVEY_ATTACK_IPM
};

enum covey_attack_data {
    COVEY_ATTACK_DATA_OWN,   /* a share as everybody's */
    COVEY_ATTACK_DATA_SAMPLE /* none is lost to the honest: a random sample of all */
};

struct covey_scenario {
    char *name;
    int64_t seed; /* of everything: shares, weights, order, cohorts, codecs, world */
    struct {
        char *set;                            /* a name of the catalogue (sim/sim_data.c), or NULL: */
        struct covey_data_config train, test; /* the user's own */
        char *owners;                         /* natural: file of one integer an example (IDX or NPY) */
        struct covey_data_names files;        /* files: folders or files, one a device */
        int64_t hold_out;   /* examples (natural, files: owners) kept for the test when there is none */
        int64_t validation; /* so many are taken from training and judged in place of the test part */
        int64_t root_data;  /* so many are taken from training and are the server's own (fltrust) */
    } data;
    struct covey_partition_config partition;
    char *model, *initial;
    struct covey_recipe train;
    char *codec, *downlink, *strategy;
    double server_rate, norm_limit, weight_cap;
    struct covey_optimiser_keys server_optimiser;
    struct covey_weighting_keys weighting;
    int64_t population;  /* devices in all, for scaffold and feddyn; 0: as many as there are */
    int64_t epochs_from; /* each device trains so many up to train.epochs, drawn once; 0: train.epochs */
    bool refuse_range;
    int64_t feedback; /* enum covey_feedback; key error_feedback */
    int64_t feedback_rounds;
    double clip_norm;
    int64_t store_bytes; /* what persists of devices (residuals) may take so much disk at the most */
    struct covey_round_rules rules;
    uint32_t heartbeat_ms, retry_ms; /* of block round */
    uint16_t window_blocks;
    bool watch_loss;
    int64_t evaluate_every;       /* rounds; 1 */
    int64_t evaluate_from;        /* from this round on each is judged; 0: none by this */
    int64_t devices_judged;       /* devices whose own examples the last model is judged on; 0 = none */
    int64_t devices_judged_every; /* rounds, likewise; 0: the last model alone */
    double devices_hold_out; /* share of each device's examples that it does not train on, and judges by */
    double
        devices_validation; /* share of the rest that it judges by in their place; nobody sees those then */
    struct covey_device_class_config *devices;
    uint32_t device_class_count;
    struct covey_link_class_config *links;
    uint32_t link_class_count;
    int64_t network; /* enum covey_network_kind */
    struct {
        int64_t kind; /* enum covey_availability_kind */
        double from_hour, to_hour, hours, spread_hours;
        char *trace;
    } availability;
    struct {
        double drop_rate;     /* chance that a chosen device vanishes in the round, at a uniform moment of its
                                 work */
        double leave_per_day; /* chance of leaving for good */
    } churn;
    struct {
        int64_t kind; /* enum covey_attack_kind */
        double share, strength;
        int64_t data; /* enum covey_attack_data: which examples the hostile have */
    } attack;

    /* not from the file */
    char file[COVEY_FILE_PATH_BYTES];   /* as it was named */
    char folder[COVEY_FILE_PATH_BYTES]; /* relative paths start here */
    struct covey_hash hash;             /* over the canonical text of all the above after overrides */
};

/* Reads, overrides with `settings` ("key.path=value", (setting_count), in order), checks. INVALID with
 * "FILE:LINE: ..." or "--set KEY: ..."; NOT_FOUND for data that is not there, with the command that brings
 * it. */
COVEY_MUST_CHECK enum covey_status covey_scenario_load(const char *file, const char *const *settings,
                                                       uint32_t setting_count, struct covey_scenario *out,
                                                       struct covey_error *err);
void covey_scenario_free(struct covey_scenario *scenario); /* an all-zero one is legal */

/* The scenario with all defaults filled in, as YAML that loads to the same hash; malloc'ed. */
COVEY_MUST_CHECK enum covey_status covey_scenario_write(const struct covey_scenario *scenario, char **out);

/* A file that the scenario names: relative ones start at its folder. */
COVEY_MUST_CHECK enum covey_status covey_scenario_path(const struct covey_scenario *scenario,
                                                       const char *name, char out[COVEY_FILE_PATH_BYTES],
                                                       struct covey_error *err);
/* Its model: `model`.yaml of its folder, or a shipped one. *out: the caller's storage, large. */
COVEY_MUST_CHECK enum covey_status covey_scenario_model(const struct covey_scenario *scenario,
                                                        struct covey_model_description *out,
                                                        struct covey_error *err);
/* What its server learns by, settled (server/combination.h). layout: of the model; NULL: not known yet. */
COVEY_MUST_CHECK enum covey_status covey_scenario_combination(const struct covey_scenario *scenario,
                                                              const struct covey_layout *layout,
                                                              struct covey_federation_options *out,
                                                              struct covey_error *err);
/* Devices, as far as the file and the catalogue tell; 0: known once the data is loaded. */
uint32_t covey_scenario_devices(const struct covey_scenario *scenario);

#endif
