/* A server of a few lines, for tests of the client: one federation, signed manifests, a published line of
 * models, and every kind of answer that a test wants to see handled. In-process transport. */
#ifndef COVEY_TEST_TINY_SERVER_H
#define COVEY_TEST_TINY_SERVER_H

#include <pthread.h>

#include "covey/inprocess.h"
#include "covey/keys.h"
#include "covey/messages.h"
#include "covey/params.h"
#include "covey/sign.h"
#include "covey/transport.h"

#define TINY_BLOBS 64
#define TINY_UPDATES 64
#define TINY_FEDERATION "digits"

struct tiny_update {
    struct covey_assignment_id assignment;
    struct covey_hash hash; /* of the whole message */
    uint32_t examples;
    uint8_t *bytes;
    size_t size;
};

struct tiny_server {
    pthread_mutex_t lock;
    struct covey_inprocess_network *network;
    struct covey_host_handle host;
    struct covey_key *signer;
    struct covey_trust trust;
    char federation[COVEY_NAME_BYTES]; /* as manifests say */

    struct covey_model_description *description;
    struct covey_layout layout;
    float *params; /* P: (shared_count) */
    struct covey_hash model;
    uint64_t sequence;
    struct covey_blob *blobs[TINY_BLOBS];
    uint32_t blob_count;
    struct covey_blob *sum;         /* the answer to every s/ request; NULL: 4.04 */
    uint8_t sum_code;               /* in its place; 0 = none */
    uint32_t sums;                  /* requests */
    struct covey_manifest manifest; /* the newest */
    struct covey_hash manifest_hash;

    struct covey_plan plan;
    struct tiny_update updates[TINY_UPDATES];
    uint32_t update_count;
    uint32_t requests, fetches, plans, puts, asks, posts;
    struct covey_metrics metrics; /* the last that were posted */
    uint8_t put_code;             /* answered to the next put_code_count PUTs instead of taking them */
    uint32_t put_code_count;
    uint8_t plan_code;         /* answered to plan requests instead of a plan; 0 = none */
    uint8_t blob_code;         /* answered to d/ requests; 0 = none */
    bool lose_acknowledgement; /* the next PUT is taken, and the peer dropped before the answer */
};

/* YAML of a model. The host is "server:1". threaded: links may be run from several threads. */
void tiny_server_start(struct tiny_server *server, const char *model_yaml, bool threaded);
void tiny_server_stop(struct tiny_server *server);

/* P moves by `step` in every value; publishes a manifest with a delta from the model before. */
void tiny_server_publish(struct tiny_server *server, float step);
/* The same with a hand in it: called on the manifest before it is signed. */
void tiny_server_publish_with(struct tiny_server *server, float step,
                              void (*change)(struct covey_manifest *manifest));
/* The same by a step that is rounded to a lattice (P has to lie on it: steps of 2^-6), and sums of all steps
 * since the last publication of the other kind. */
void tiny_server_publish_step(struct tiny_server *server, float step,
                              void (*change)(struct covey_manifest *manifest));
/* A plan to train for the newest manifest, pushed to whoever observes. */
void tiny_server_assign(struct tiny_server *server, uint8_t assignment, const char *codec);
/* The same with another learning rate. */
void tiny_server_assign_rate(struct tiny_server *server, uint8_t assignment, const char *codec, float rate);
void tiny_server_push(struct tiny_server *server, const struct covey_plan *plan);

uint32_t tiny_server_updates(struct tiny_server *server);

#endif
