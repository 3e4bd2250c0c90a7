/* Runs laid side by side: a table and one self-contained HTML page, with pictures as inline SVG, that works
 * offline, on a phone, in light and dark. All outside text is escaped. */
#ifndef COVEY_REPORT_H
#define COVEY_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "outcome.h"
#include "scenario_text.h"
#include "svg_chart.h"
#include "yardstick.h"

#define COVEY_REPORT_RUNS 1024
#define COVEY_REPORT_KEYS 16 /* in which the scenarios differ, as columns */
#define COVEY_REPORT_LABEL_BYTES 128

struct covey_report_run {
    const struct covey_outcome_run *outcome; /* borrowed */
    char label[COVEY_REPORT_LABEL_BYTES];
    double target; /* NaN: none */
    struct covey_target_crossing crossing;
    uint32_t group;
    bool front; /* its group's */
};

struct covey_report_spread {
    double mean, deviation; /* NaN: of none; under two */
};

/* Runs whose scenarios differ in the seed alone. */
struct covey_report_group {
    char label[COVEY_REPORT_LABEL_BYTES];
    uint32_t first, count; /* first: index of its first run */
    uint32_t reached;      /* runs that reached the target; the figures to the target are of all or NaN */
    double median_rounds_to_target; /* a run that did not reach it counts as late; NaN: not reached */
    struct covey_report_spread accuracy, best, rounds_to_target, virtual_s_to_target, bytes_up_to_target,
        bytes_up, virtual_s, joules;
    bool front; /* nothing beats its means in bytes up, virtual time and accuracy */
};

struct covey_report {
    struct covey_report_run *runs;
    struct covey_scenario_pairs *pairs; /* (count) */
    struct covey_report_group *groups;  /* (group_count) */
    uint32_t count, group_count;
    const char *keys[COVEY_REPORT_KEYS]; /* in which they differ */
    uint32_t key_count;
    uint32_t shown[COVEY_SVG_SERIES], shown_count; /* those that are drawn, when there are too many */
    bool error;                                    /* the metrics of all runs are errors: less is better */
    bool share;                                    /* they are shares of one: accuracies */
    bool comparable; /* more than one run, and all of the same data: there is a front */
};

/* target: NaN takes each run's own. runs: borrowed until destroyed. */
COVEY_MUST_CHECK enum covey_status covey_report_create(const struct covey_outcome_run *runs, uint32_t count,
                                                       double target, struct covey_report **out,
                                                       struct covey_error *err);
void covey_report_destroy(struct covey_report *report);

void covey_report_text(FILE *out, const struct covey_report *report); /* a table for a terminal */
/* An object a run, one a line; with several seeds, an object a group behind them. */
void covey_report_json(FILE *out, const struct covey_report *report);
/* title: outside text. */
void covey_report_html(FILE *out, const struct covey_report *report, const char *title);

/* ---- parts ---- */

/* Groups, their figures and fronts, from runs and pairs. */
COVEY_MUST_CHECK enum covey_status covey_report_groups_make(struct covey_report *report,
                                                            struct covey_error *err);
/* "accuracy", "error (RMSE)" or "metric". */
const char *covey_report_metric(const struct covey_report *report);
void covey_report_groups_text(FILE *out, const struct covey_report *report);
void covey_report_groups_json(FILE *out, const struct covey_report *report);
void covey_report_groups_html(FILE *out, const struct covey_report *report);

/* What the keys in which runs differ make of a name; with_seed: the seed among them. Appends to label. */
void covey_report_label(const struct covey_report *report, uint32_t index, bool with_seed,
                        char label[COVEY_REPORT_LABEL_BYTES]);

void covey_report_charts(FILE *out, const struct covey_report *report);

/* A whole file, put in place at once. `write` is called with user. */
COVEY_MUST_CHECK enum covey_status covey_report_save(const char *path, const struct covey_report *report,
                                                     const char *title, struct covey_error *err);

#endif
