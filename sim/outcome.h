/* What a simulation leaves behind: a folder that `covey-sim report` and `sweep` read.
 *
 *   RUN/scenario.yaml   with all defaults filled in
 *   RUN/rounds.jsonl    an object a round
 *   RUN/rounds.csv      the same as a table
 *   RUN/devices.csv     who took part: device, class, link, examples, chosen, done, late, dropped, bytes,
 *                       joules, metric (fleets over COVEY_OUTCOME_DEVICES: a histogram in its place)
 *   RUN/summary.json    the last line of --json, and more
 *   RUN/model.safetensors
 *   RUN/checkpoint      to go on from (--resume)
 *
 * Written by the run as it goes (a line a round, flushed), read by everything else. A folder that is read may
 * come from other hands: nothing in it is trusted. */
#ifndef COVEY_OUTCOME_H
#define COVEY_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "covey/hash.h"
#include "covey/limits.h"
#include "covey/status.h"

#define COVEY_OUTCOME_DEVICES 100000u
#define COVEY_OUTCOME_LINE_BYTES (64u << 10) /* of rounds.jsonl, devices.csv, summary.json */
#define COVEY_OUTCOME_CLASSES 64             /* of devices, and of links, in one devices.csv */
#define COVEY_OUTCOME_GROUPS (1u << 20)

/* One round that is over. Sums are since the round before. NaN: not known. */
struct covey_sim_round {
    uint32_t round;
    bool abandoned;
    struct covey_hash model; /* after it */
    uint32_t chosen, updates, late, dropped, refused;
    uint64_t examples;
    double train_loss;
    double loss, metric, best; /* on the test part, when evaluated; best: so far */
    double devices_metric,
        worst_decile;              /* on devices' own examples, by examples, and the worst tenth's mean */
    double virtual_s;              /* clock at its end */
    double wall_s;                 /* since the run began */
    uint64_t bytes_up, bytes_down; /* every datagram */
    uint64_t update_bytes_up, bytes_up_fp32;
    double joules;
};

struct covey_sim_summary {
    char scenario[COVEY_NAME_BYTES];
    struct covey_hash scenario_hash, model;
    char cpu[96], blas[96]; /* beside the hash: it holds on these */
    uint32_t rounds, abandoned, devices, threads, ranks;
    double accuracy;      /* of the last model on the test part: the metric that the model is judged by */
    bool metric_is_error; /* an RMSE: less is better */
    double best;
    double target;           /* NaN: none */
    double rounds_to_target; /* first crossing of the best so far, interpolated; NaN: not reached */
    double virtual_s_to_target;
    uint64_t bytes_up_to_target;
    uint64_t updates, late, dropped, refused;
    double updates_per_s; /* accepted, by wall clock, from the first round's opening */
    uint64_t bytes_up, bytes_down, update_bytes_up, bytes_up_fp32;
    double joules, virtual_s, wall_s;
    double training_cpu_s, other_cpu_s; /* thread time inside the trainer, and all else */
    uint64_t peak_rss_bytes;
    double worst_decile; /* mean metric of the worst tenth of the devices judged; NaN */
    double participation_gini;
    double battery_share_a_day; /* mean, of those with a battery; NaN */
    bool interrupted;
};

/* One line of JSON each, without the newline. */
void covey_sim_round_write(FILE *out, const struct covey_sim_round *round);
void covey_sim_summary_write(FILE *out, const struct covey_sim_summary *summary);

/* ---- writing, by the run ---- */
struct covey_outcome;
/* Makes the folder, and those above it. resume_round: keep the lines up to that round (0: start anew). What
 * says that an earlier run in this folder came to its end goes. */
COVEY_MUST_CHECK enum covey_status covey_outcome_create(const char *folder, uint32_t resume_round,
                                                        struct covey_outcome **out, struct covey_error *err);
/* What covey_scenario_write gives. */
COVEY_MUST_CHECK enum covey_status covey_outcome_scenario(struct covey_outcome *outcome, const char *yaml,
                                                          struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_outcome_round(struct covey_outcome *outcome,
                                                       const struct covey_sim_round *round,
                                                       struct covey_error *err);
/* What each device did; (count). */
struct covey_device_tally {
    uint32_t chosen, done, late, dropped;
    uint32_t examples;
    uint8_t device_class, link_class;
    uint64_t bytes;
    float joules;
    float metric; /* of the last model on its own examples; NaN: not judged */
};
COVEY_MUST_CHECK enum covey_status covey_outcome_devices(struct covey_outcome *outcome,
                                                         const struct covey_device_tally *tallies,
                                                         uint32_t count, const char *const *device_classes,
                                                         const char *const *link_classes,
                                                         struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_outcome_summary(struct covey_outcome *outcome,
                                                         const struct covey_sim_summary *summary,
                                                         struct covey_error *err);
void covey_outcome_destroy(struct covey_outcome *outcome);

/* ---- reading, by report and sweep ---- */

/* The devices of one class and link that completed as many updates. Sums over them. */
struct covey_outcome_group {
    uint8_t device_class, link_class; /* index of the names below */
    uint32_t done;                    /* by each */
    uint64_t devices, chosen, late, dropped, examples, bytes;
    double joules;
};

struct covey_outcome_run {
    char folder[COVEY_FILE_PATH_BYTES];
    char *scenario;                   /* text of scenario.yaml; "" when it is not there */
    struct covey_sim_summary summary; /* when it is not there: from the rounds, and `interrupted` */
    struct covey_sim_round *rounds;   /* rising */
    uint32_t round_count;
    char (*device_classes)[COVEY_NAME_BYTES], (*link_classes)[COVEY_NAME_BYTES];
    uint32_t device_class_count, link_class_count;
    struct covey_outcome_group *groups;
    uint32_t group_count;
    double *metrics; /* of the devices judged, one by one; none of a histogram */
    uint32_t metric_count;
};

/* A last line that was cut off is left out. NOT_FOUND without rounds.jsonl; CORRUPT with "FILE:LINE: ...". */
COVEY_MUST_CHECK enum covey_status covey_outcome_read(const char *folder, struct covey_outcome_run *out,
                                                      struct covey_error *err);
void covey_outcome_free(struct covey_outcome_run *run); /* an all-zero one is legal */

/* summary.json alone, from FOLDER/summary.json: NOT_FOUND when the run has not ended. */
COVEY_MUST_CHECK enum covey_status covey_outcome_read_summary(const char *folder,
                                                              struct covey_sim_summary *out,
                                                              struct covey_error *err);

#endif
