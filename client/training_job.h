/* The work of one assignment: copy, train, encode, make durable. Runs in a thread of its own, or at once. */
#ifndef COVEY_TRAINING_JOB_H
#define COVEY_TRAINING_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "client_state.h"
#include "covey/client_config.h"
#include "covey/codec.h"
#include "covey/dataset.h"
#include "covey/env.h"
#include "covey/trainer.h"
#include "local_model.h"
#include "upload.h"

struct covey_training_job {
    /* wiring, filled in by the owner */
    const struct covey_client_config *config;
    const struct covey_dataset *dataset;
    const struct covey_dataset *judged_on; /* where the plan asks for it */
    const struct covey_engine *engine;
    struct covey_env env;
    struct covey_client_state *state;
    struct covey_local_model *model;
    uint64_t device;
    bool in_step;
    void (*wake)(void *user); /* when a thread has ended; from that thread */
    void *user;

    /* kept from round to round, taken once a model and recipe are known */
    struct covey_trainer *trainer;
    struct covey_hash trainer_model; /* description that the trainer was made for */
    struct covey_recipe trainer_recipe;
    float *residual;
    float *memory; /* of the plan's algorithm: client/local_step.h */
    uint8_t *room;
    void *scratch;
    size_t residual_bytes, memory_bytes, room_bytes, scratch_bytes;

    /* one run */
    struct covey_plan plan;
    struct covey_codec codec;
    bool update_offered; /* the stored update of an earlier assignment went out: nobody knows whether it was
                            taken */
    bool feedback;
    size_t memory_count;
    bool fresh_memory; /* nothing was kept of the algorithm yet */
    struct covey_training_result training;
    struct covey_score judged; /* examples 0: nobody asked */
    struct covey_encoded_update encoded;
    struct covey_bytes message;
    enum covey_status status;
    struct covey_error err;
    pthread_t thread;
    bool running;
    atomic_bool stop, ended;
    atomic_uint step, steps;
    _Atomic float loss;
};

/* Begins the assignment of plan. With in_step, it has ended when this returns. */
COVEY_MUST_CHECK enum covey_status covey_training_job_start(struct covey_training_job *job,
                                                            const struct covey_plan *plan,
                                                            struct covey_error *err);
/* True once after it ended: status, err, training and message are there. */
bool covey_training_job_take(struct covey_training_job *job);
/* Stops and waits: until the end of a step, or of a write. */
void covey_training_job_cancel(struct covey_training_job *job);
/* The update that the state holds, into `message`: to be sent again as it was. */
COVEY_MUST_CHECK enum covey_status covey_training_job_reload(struct covey_training_job *job,
                                                             struct covey_error *err);
void covey_training_job_deinit(struct covey_training_job *job);

#endif
