/* Who is asked for an update: the cohort of a round, chosen by a policy from those who are there. A pure
 * function of (policy, seed, round, candidates): neither the order in which devices came nor threads matter.
 *
 *   random           every device alike
 *   examples         chance grows with the device's examples (weighted sampling without replacement by keys
 *                    u^(1/w): Efraimidis and Spirakis 2006)
 *   round-robin      those first who were chosen least often
 *   power-of-choice  `candidates` times the cohort are drawn by examples, those with the highest loss are
 * taken (Cho, Wang, Joshi 2022, algorithm 1) utility          Oort (Lai et al. 2021, equations 1 and 2):
 * useful (examples x loss), not seen for long, and within the pace; `exploration` of the cohort are devices
 * nobody knows yet
 *
 * What is known of a device comes from its own updates; of a device that lies about its loss only the chance
 * to be chosen grows, not its weight. Thread-safe: no state. */
#ifndef COVEY_SELECTION_H
#define COVEY_SELECTION_H

#include <stdint.h>

#include "covey/status.h"

enum covey_selection_policy {
    COVEY_SELECT_RANDOM,
    COVEY_SELECT_EXAMPLES,
    COVEY_SELECT_ROUND_ROBIN,
    COVEY_SELECT_POWER_OF_CHOICE,
    COVEY_SELECT_UTILITY,
    COVEY_SELECT_POLICIES
};

struct covey_selection {
    int64_t policy;     /* enum covey_selection_policy */
    double candidates;  /* power-of-choice: times the cohort; 0 = 3 */
    double exploration; /* utility: share of the cohort in [0, 1]; 0 = .1 */
    double pace_s;      /* utility: who takes longer counts for (pace / taken)^2; 0 = nobody does */
};

/* What a federation knows of a device. All zero: nothing. */
struct covey_device_record {
    uint32_t chosen;     /* rounds that it was asked in */
    uint32_t last_round; /* of its last update; 0: none */
    uint32_t examples;   /* of its last update */
    uint32_t taken_ms;   /* from the opening of that round to its update */
    float loss;          /* mean over its examples in its first epoch: of the published model, nearly */
};

struct covey_candidates {
    const uint64_t *ids;                       /* (count) covey_random_id of the names */
    const uint32_t *places;                    /* (count) in records; NULL: i */
    const struct covey_device_record *records; /* NULL: of nobody anything is known */
    uint32_t count;
};

/* INVALID with the key that is out of range. */
COVEY_MUST_CHECK enum covey_status covey_selection_check(const struct covey_selection *selection,
                                                         struct covey_error *err);

/* chosen: (choose) places among the candidates, ascending; choose <= count. round counts from 1.
 * NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_cohort_select(const struct covey_selection *selection, uint64_t seed,
                                                       uint32_t round,
                                                       const struct covey_candidates *candidates,
                                                       uint32_t choose, uint32_t *chosen);

#endif
