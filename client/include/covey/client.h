/* A device: drives the round machine (covey/client_round.h) over a link of any transport.
 *
 *   covey_client_create(&options, &client, err);
 *   while (!covey_client_finished(client))
 *       covey_client_step(client, 1000);
 *   covey_client_destroy(client);
 *
 * Training, coding and writing run in a thread of their own, so that the session stays alive meanwhile (or in
 * step, when asked for: simulations). Everything else is called on the thread that steps, and calls back on
 * it; covey_client_stop alone may be called from anywhere, signal handlers included.
 *
 * Killed at any moment, a device loses nothing: started again it resends what was encoded, or trains again.
 */
#ifndef COVEY_CLIENT_H
#define COVEY_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/client_config.h"
#include "covey/client_round.h"
#include "covey/dataset.h"
#include "covey/env.h"
#include "covey/sign.h"
#include "covey/training_plan.h"
#include "covey/transport.h"

#define COVEY_CLIENT_STACK_BYTES (512u << 10) /* of the training thread */

/* One acknowledged update, or the sum of them. Bytes count from the acknowledgement before to this one. */
struct covey_client_report {
    uint32_t round;  /* of the last one */
    uint32_t rounds; /* updates acknowledged so far */
    uint32_t examples, steps;
    double loss_before, loss_after;
    uint64_t update_bytes_up;      /* encoded updates alone: the codec's streams */
    uint64_t upload_bytes_up;      /* the datagrams that carried request bodies, with all framing */
    uint64_t bytes_up, bytes_down; /* every UDP payload */
    uint64_t bytes_up_fp32;        /* what the updates would be as raw f32 */
    uint64_t model_bytes_down;     /* encoded models, steps and sums alone */
    uint64_t bytes_down_fp32;      /* what the models that they made would be as raw f32 */
    uint64_t blocks_repeated;
    uint64_t training_ms;
    uint64_t fetch_ms, send_ms; /* requests for the model, the upload: from asking until answered */
};

struct covey_client_options {
    const struct covey_client_config
        *config; /* borrowed while the client lives; so are trust, dataset, names */
    struct covey_env env;
    const char *device_name; /* as the credentials have it: keys the device's random numbers */
    const struct covey_trust *trust;
    const struct covey_dataset *dataset;  /* NULL: this device cannot train, and says so when asked to */
    const struct covey_dataset *held_out; /* that models are judged on when the plan asks; NULL: dataset */
    const struct covey_engine *engine;    /* NULL: the default */
    enum covey_status (*open_link)(void *user, const struct covey_link_events *events,
                                   struct covey_link_handle *out, struct covey_error *err);
    void *link_user;
    bool train_in_step;      /* no thread */
    uint32_t stop_after;     /* updates acknowledged; 0 = never */
    const char *sensor_root; /* of the policy's sensors; NULL: the machine's own */
    void (*on_round)(void *user, const struct covey_client_report *round,
                     const struct covey_client_report *total);
    void *user;
};

struct covey_client;

/* Opens the state (BUSY: another client holds it) and makes the link; connects with the first step. */
COVEY_MUST_CHECK enum covey_status covey_client_create(const struct covey_client_options *options,
                                                       struct covey_client **out, struct covey_error *err);
void covey_client_destroy(struct covey_client *client); /* NULL is legal; waits for the training thread */

/* Moves what can be moved; returns after wait_ms at the most. */
void covey_client_step(struct covey_client *client, uint32_t wait_ms);
/* For simulations with a virtual clock: when to step again, at the latest. */
uint64_t covey_client_next_ms(const struct covey_client *client);
bool covey_client_finished(const struct covey_client *client);
void covey_client_stop(struct covey_client *client);

/* How it stands, for a display. */
struct covey_client_view {
    enum covey_client_link link;
    enum covey_client_work work;
    bool ended;           /* the federation has */
    uint32_t round;       /* of the work, or the last one known */
    uint32_t step, steps; /* of a training under way */
    double loss;          /* NaN: none yet */
    struct covey_traffic traffic;
    struct covey_client_report total;
    const char *trouble; /* the last failure in words, "" when all is well; borrowed until the next step */
};
void covey_client_view(const struct covey_client *client, struct covey_client_view *out);

/* Bytes of everything that a client holds for a model, besides the program itself: what `plan` prints and
 * training takes. By kind; count = values of the whole vector. */
struct covey_client_memory {
    uint64_t parameters; /* P, and the vector that training changes */
    uint64_t residual;   /* 0 without error feedback */
    uint64_t message;    /* the encoded update */
    uint64_t codec;      /* the codec's scratch */
    uint64_t stack;      /* of the training thread, touched */
};
void covey_client_memory(const char *codec, int64_t feedback, uint64_t count, uint64_t update_count,
                         struct covey_client_memory *out);

#endif
