/* A server under test, its scripted devices, and what its tests wait for: shared by the files that test whole
 * rounds. */
#ifndef SERVER_RUN_H
#define SERVER_RUN_H

#include <stdatomic.h>

#include "fake_host.h"

#define DEVICES 5

struct run {
    char folder[64];
    struct fake_model model;
    struct covey_key *signer;
    struct covey_federation_options federation;
    struct covey_server_options options;
    struct covey_server *server;
    struct fake_host host;
};

/* An update as a device keeps it: the same bytes each time they are sent. */
struct kept {
    char path[COVEY_PATH_BYTES];
    uint8_t *bytes; /* malloc'ed */
    size_t size;
};

struct reports {
    pthread_mutex_t mutex;
    struct covey_round_report last;
    uint32_t rounds, abandoned, ends;
    struct covey_federation_report end;
};

/* The system's clock, which a test can put forward: deadlines pass when it says so, never because it was
 * slow. */
struct test_clock {
    struct covey_env system;
    atomic_ullong ahead_ms;
};

void run_names(char out[DEVICES][32]);
void run_set_up(struct run *run, uint32_t rows);
void run_open(struct run *run);
void run_close(struct run *run);
void run_tear_down(struct run *run);
struct kept run_make_kept(struct run *run, const char *device, const struct covey_plan *plan);
uint8_t run_send_kept(struct run *run, const char *device, const struct kept *kept);
void reports_on_round(void *user, const struct covey_round_report *report);
void reports_on_end(void *user, const struct covey_federation_report *report);
void reports_await(struct reports *reports, const uint32_t *count, uint32_t wanted);
uint64_t test_clock_now_ms(void *user);
int64_t test_clock_wall_s(void *user);
/* Stands for training on root data: a function of model, recipe and round. user: the fake_model. */
enum covey_status run_root_update(void *user, const float *shared, const struct covey_recipe *recipe,
                                  uint32_t round, float *delta, struct covey_error *err);

#endif
