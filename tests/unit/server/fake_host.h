/* A server without a network for tests: requests go straight into its service, answers come back into a
 * struct, pushes are counted. Scripted devices ask, fetch, and send made-up updates that are a function of
 * (device, round). */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <pthread.h>
#include <stdbool.h>

#include "covey/server.h"
#include "covey/transport.h"

/* A test fails when nothing has come for so long. Nothing else here depends on how fast the machine is:
 * rounds last FAKE_DEADLINE_MS unless a test says otherwise. */
#define FAKE_WAIT_MS 120000
#define FAKE_DEADLINE_MS 3600000

struct fake_answer {
    uint8_t code;
    uint32_t max_age_s;
    int content_format;
    uint8_t *body; /* malloc'ed, with a zero behind it */
    size_t size;
};

/* A federation's raw materials: a layout of three tensors, (count) initial values, a description that is only
 * bytes. */
struct fake_model {
    struct covey_layout layout;
    float *initial;
    uint8_t description[16];
};
void fake_model_init(struct fake_model *model, uint32_t rows);
/* Without the tensor of statistics; with control variates where they are wanted. */
void fake_model_init_plain(struct fake_model *model, uint32_t rows, bool controls);
void fake_model_deinit(struct fake_model *model);

/* Sensible options for tests; `federation` and `options` point at each other. */
void fake_options(const struct fake_model *model, struct covey_federation_options *federation,
                  struct covey_server_options *options, const char *folder, const struct covey_key *signer);

struct fake_host {
    struct covey_server *server;
    struct covey_service service;
    struct covey_host_handle handle;
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    uint32_t pushes, drops;
};
void fake_host_start(struct fake_host *host, struct covey_server *server);
/* Stops the loop and waits for it; the server stays. */
void fake_host_stop(struct fake_host *host);

#define FAKE_FROZEN 5 /* values of the fake model that are shared and frozen */

/* body NULL: none. The caller frees answer->body. Aborts the test without an answer. */
void fake_request(struct fake_host *host, const char *device, enum covey_method method, const char *path,
                  struct covey_bytes body, bool observe, struct fake_answer *answer);
void fake_come(struct fake_host *host, const char *device, bool present);

/* The device's plan. */
struct covey_plan fake_plan(struct fake_host *host, const char *device, const char *federation);
/* Until the plan is of that kind, and of a round of at least so much. */
struct covey_plan fake_await(struct fake_host *host, const char *device, const char *federation,
                             enum covey_plan_kind kind, uint32_t round);
/* The published model that a plan names: (shared_count) values, malloc'ed; checks signature, hashes, and that
 * the delta, if there is one, leads from `before` (values of the model before, or NULL) to the same bits. */
float *fake_fetch(struct fake_host *host, const char *device, const char *federation,
                  const struct covey_plan *plan, const struct covey_key *signer, const float *before,
                  struct covey_manifest *manifest);
/* The update of (device, plan) as bytes; malloc'ed. spoil: changes it for other bytes under the same key. */
uint8_t *fake_update(const struct fake_model *model, const char *device, const struct covey_plan *plan,
                     const struct covey_hash *base, uint32_t spoil, size_t *size);
/* Fetches, makes, sends; the code of the answer. */
uint8_t fake_work(struct fake_host *host, const struct fake_model *model, const char *device,
                  const char *federation, const struct covey_plan *plan, const struct covey_key *signer);
void fake_put_path(const struct covey_plan *plan, const char *federation, char out[COVEY_PATH_BYTES]);

/* A fresh folder under /tmp; fake_folder_remove deletes it with all in it. */
void fake_folder_make(char out[64]);
void fake_folder_remove(const char *folder);
void fake_sleep_ms(uint32_t ms);

#endif
