/* What the files of the engine share. Private to this folder.
 *
 *   simulation.c         made, run, destroyed
 *   virtual_round.c      one round: who is there, opening, playing, closing
 *   simulation_carry.c   work that outlives its round
 *   simulation_resume.c  what is kept from one process to the next
 *   simulation_ranks.c   what several processes tell each other
 *   simulation_end.c     judging, and the figures of the whole run */
#ifndef COVEY_SIMULATION_PARTS_H
#define COVEY_SIMULATION_PARTS_H

#include <signal.h>

#include "simulation.h"
#include "virtual_member.h"
#include "virtual_tally.h"

#define COVEY_JUDGE_EXAMPLES 500 /* of the test part that one thread takes at a time */

struct covey_past_round {
    uint32_t round;
    uint32_t abandoned;
    double value; /* that the stop rules saw; NaN */
};

struct covey_simulation {
    const struct covey_scenario *scenario;
    struct covey_simulation_options options;
    struct covey_virtual_fleet fleet;
    struct covey_world *world;
    struct covey_virtual_server server;
    struct covey_personal_store *store;
    struct covey_training_replay *replay;
    struct covey_crew *crew;
    struct covey_clock clock;
    struct covey_outcome *outcome;
    struct covey_member_context context;
    struct covey_virtual_tally tally;
    uint32_t *sequences;
    uint64_t *available_ids;             /* (devices) when not everybody is there all the time */
    uint32_t *available;                 /* places of those */
    struct covey_device_record *records; /* (devices) for policies that ask; NULL: random */
    bool everybody;
    bool *busy; /* (devices) of those that an earlier round left working; NULL: no work outlives its round */

    struct covey_dataset *test_parts;
    struct covey_score *scores;
    uint32_t *test_index;
    uint32_t test_part_count;

    /* the open round */
    struct covey_round_action opening;
    struct covey_virtual_member *members;
    struct covey_crew_job *jobs;
    uint32_t *chosen;
    uint32_t member_count, member_capacity;
    uint32_t fresh_count; /* of the members: chosen for this round; behind them those of earlier ones */
    uint32_t busy_count;  /* between two rounds: members that last */
    uint64_t deadline_ms; /* of the round */
    struct covey_crew_base base, *bases; /* the one there is, or those in use: owned */

    bool ended;
    bool judged; /* the current model */
    double loss, metric;
    uint64_t opened_ms;
    double started_s, first_opened_s, progress_s, loaded_cpu_s;
    double earlier_s;              /* wall clock of the run before this was resumed */
    double checkpoint_s;           /* when one was last written */
    struct covey_past_round *past; /* (past_count) what the server's machine is told after a restart */
    uint32_t past_count, past_capacity;
    uint64_t resume_ms;              /* virtual time before which no round opens */
    volatile sig_atomic_t stop_wish; /* from a signal handler */
    bool stop;                       /* agreed on by all ranks */
};

/* ---- simulation.c ---- */
double covey_simulation_wall_s(void);        /* a clock that never falls */
double covey_simulation_process_cpu_s(void); /* of all threads */

/* ---- virtual_round.c ---- */
/* Waits, in virtual time, until a round can open, and plays it. */
COVEY_MUST_CHECK enum covey_status covey_simulation_round(struct covey_simulation *sim,
                                                          struct covey_error *err);

/* ---- simulation_carry.c ---- */
bool covey_simulation_lasts(const struct covey_simulation *sim);
/* The round is over, its crew not yet: who is awaited in the next one. */
void covey_simulation_keep(struct covey_simulation *sim);
/* Those move behind `chosen` empty places; the others are forgotten. */
COVEY_MUST_CHECK enum covey_status covey_simulation_carry(struct covey_simulation *sim, uint32_t chosen,
                                                          struct covey_error *err);
/* The published model, as what the next members start from. */
COVEY_MUST_CHECK enum covey_status covey_simulation_base(struct covey_simulation *sim,
                                                         struct covey_error *err);
void covey_simulation_forget_carried(struct covey_simulation *sim);
/* For a checkpoint, between two rounds. *out: malloc'ed; NULL and 0 where no work outlives its round. */
COVEY_MUST_CHECK enum covey_status covey_simulation_save_carried(struct covey_simulation *sim, uint8_t **out,
                                                                 size_t *bytes, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_simulation_restore_carried(struct covey_simulation *sim,
                                                                    const uint8_t *bytes, size_t size,
                                                                    struct covey_error *err);

/* ---- simulation_resume.c ---- */
/* After a round: it is part of the past. */
COVEY_MUST_CHECK enum covey_status covey_simulation_note_past(struct covey_simulation *sim, uint32_t round,
                                                              bool abandoned, double value,
                                                              struct covey_error *err);
/* Between two rounds. */
COVEY_MUST_CHECK enum covey_status covey_simulation_save(struct covey_simulation *sim,
                                                         struct covey_error *err);
/* Before the first round: everything as it was; *round: the last one that is over, 0 when there is no
 * checkpoint. */
COVEY_MUST_CHECK enum covey_status covey_simulation_restore(struct covey_simulation *sim, uint32_t *round,
                                                            struct covey_error *err);

/* ---- simulation_ranks.c ---- */
/* Which of the seated devices are ours; after sorting, before the crew begins. */
void covey_simulation_deal(struct covey_simulation *sim);
/* The crew has begun: our jobs are run and everybody's results shared. Alone: nothing. */
COVEY_MUST_CHECK enum covey_status covey_simulation_share_jobs(struct covey_simulation *sim,
                                                               struct covey_error *err);
/* The round is over: everybody's sum. *folded: updates in it; ours, before. */
COVEY_MUST_CHECK enum covey_status covey_simulation_share_sum(struct covey_simulation *sim, uint32_t *folded,
                                                              struct covey_error *err);
/* stop follows stop_wish once all ranks know of it. */
COVEY_MUST_CHECK enum covey_status covey_simulation_agree(struct covey_simulation *sim,
                                                          struct covey_error *err);
/* Scores of our parts of (count), to everybody. */
COVEY_MUST_CHECK enum covey_status covey_simulation_share_scores(const struct covey_simulation *sim,
                                                                 struct covey_score *scores, uint32_t count,
                                                                 struct covey_error *err);
bool covey_simulation_is_ours(const struct covey_simulation *sim, uint32_t part);
bool covey_simulation_is_first(const struct covey_simulation *sim); /* the rank that writes and shows */

/* ---- simulation_end.c ---- */
/* The current model on the test part, once. */
COVEY_MUST_CHECK enum covey_status covey_simulation_judge(struct covey_simulation *sim,
                                                          struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_simulation_finish(struct covey_simulation *sim,
                                                           struct covey_sim_summary *out,
                                                           struct covey_error *err);

#endif
