/* The way of a published model to the device: manifest -> signature, federation, sequence -> description, if
 * it is a new one -> the cheapest of delta, steps, their sum and full -> hash of what came out -> installed.
 * What is there already, by its hash, is not fetched. What led nowhere is given up for the full model. */
#ifndef COVEY_DOWNLOAD_H
#define COVEY_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "client_state.h"
#include "covey/client_round.h"
#include "covey/env.h"
#include "covey/messages.h"
#include "covey/sign.h"
#include "covey/transport.h"
#include "local_model.h"

struct covey_download;
/* Once for each start that was OK, from inside the link's run. status OK: the model is installed. */
typedef void covey_download_fn(void *user, enum covey_status status, enum covey_client_failure failure,
                               uint32_t wait_ms, const struct covey_error *err);

/* How the values are to come. */
enum covey_download_kind {
    COVEY_DOWNLOAD_FULL,
    COVEY_DOWNLOAD_DELTA,
    COVEY_DOWNLOAD_STEPS,
    COVEY_DOWNLOAD_SUM
};
struct covey_download_way {
    enum covey_download_kind kind;
    uint64_t bytes; /* in all; of a sum: fewer than that */
    const struct covey_manifest_delta *delta;
    uint32_t steps; /* still to come: the next one is steps[steps - 1] of the manifest */
};

/* The caller's storage. The first block is filled in by the caller, borrowed for as long as it is used. */
struct covey_download {
    struct covey_link_handle link;
    const char *federation;
    const struct covey_trust *trust;
    struct covey_client_state *state;
    struct covey_local_model *model;
    const struct covey_log *log;
    const struct covey_env *env; /* its clock times the requests; NULL: nobody does */
    covey_download_fn *done;
    void *user;

    bool busy;
    uint32_t request; /* of the transport, to cancel */
    uint16_t window_blocks;
    struct covey_hash wanted; /* manifest */
    struct covey_manifest manifest;
    struct covey_download_way way; /* under way */
    bool no_sum;                   /* it is longer than the other ways, or led nowhere */
    bool full_only;                /* a delta or steps led nowhere */
    uint64_t fetched_bytes;        /* of bodies, since the beginning */
    uint64_t values_bytes;         /* of these, streams of values */
    uint64_t values_bytes_fp32;    /* what the models that came of them would be as raw f32 */
    uint64_t asked_ms;             /* when the request under way went out */
    uint64_t waited_ms;            /* from asking until the answer was whole, since the beginning */
};

/* Begins. OK with *there = true: the model of that manifest is installed already, and done is not called. */
COVEY_MUST_CHECK enum covey_status covey_download_start(struct covey_download *download,
                                                        const struct covey_hash *manifest,
                                                        uint16_t window_blocks, bool *there,
                                                        struct covey_error *err);
/* done is not called any more. */
void covey_download_cancel(struct covey_download *download);

/* ---- the checks, apart from any network ---- */

/* A signed manifest is what it should be: trusted signer, this federation, not older than what was accepted
 * before. */
COVEY_MUST_CHECK enum covey_status covey_download_check_manifest(
    const struct covey_trust *trust, const char *federation, const struct covey_client_state *state,
    struct covey_bytes message, const struct covey_hash *hash, struct covey_manifest *out,
    struct covey_error *err);
/* The shortest way from the installed model. without_sum: as if none were offered; full_only: as if nothing
 * were. */
struct covey_download_way covey_download_choose(const struct covey_manifest *manifest,
                                                const struct covey_local_model *model, bool without_sum,
                                                bool full_only);
/* Takes one stream of the way in: *way tells what is still to come, and when that is nothing what came
 * together is installed, if its hash is the manifest's. Until then the model is as it was. */
COVEY_MUST_CHECK enum covey_status covey_download_take(const struct covey_manifest *manifest,
                                                       struct covey_download_way *way, bool *whole,
                                                       struct covey_bytes stream,
                                                       struct covey_local_model *model,
                                                       struct covey_error *err);

#endif
