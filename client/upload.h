/* The way of one update from two parameter vectors to the server. server/intake.c is its mirror image. */
#ifndef COVEY_UPLOAD_H
#define COVEY_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "covey/client_round.h"
#include "covey/codec.h"
#include "covey/messages.h"
#include "covey/params.h"
#include "covey/trainer.h"
#include "covey/transport.h"

struct covey_upload_job {
    const struct covey_plan *plan;
    const struct covey_codec *codec; /* of the plan, parsed */
    const struct covey_layout *layout;
    const struct covey_hash *model; /* hash of base */
    const float *base;              /* P: (layout->update_count) are read */
    float *local;                   /* trained: (layout->update_count); overwritten */
    /* (layout->update_count): what was not sent before, and what will not be now; they may be one. NULL:
     * there is none, and no feedback. */
    const float *kept;
    float *residual;
    double clip_norm; /* 0 = none */
    uint64_t device;
    const struct covey_training_result *training;
    void *scratch; /* covey_codec_scratch_bytes, aligned; may be NULL when that is 0 */
    size_t scratch_bytes;
    uint8_t *room; /* covey_upload_room_bytes; the message lies in it afterwards */
    size_t room_bytes;
};

/* What became of it. */
struct covey_encoded_update {
    struct covey_bytes message; /* into room */
    size_t stream_bytes;
    double norm;   /* of the delta with the residual, before clipping */
    float clipped; /* factor applied; 1 = as it was */
};

/* Bytes of room that any update of so many values can take. */
size_t covey_upload_room_bytes(const struct covey_codec *codec, size_t update_count);

/* Does not allocate. NOT_FINITE when training diverged. */
COVEY_MUST_CHECK enum covey_status covey_upload_encode(const struct covey_upload_job *job,
                                                       struct covey_encoded_update *out,
                                                       struct covey_error *err);

/* PUT f/{federation}/a/{assignment}; message stays borrowed until the reply. again: it went out before, maybe
 * from a process that was killed; only what the server misses is sent. */
COVEY_MUST_CHECK enum covey_status covey_upload_send(struct covey_link_handle link, const char *federation,
                                                     const struct covey_assignment_id *assignment,
                                                     struct covey_bytes message, uint16_t window_blocks,
                                                     bool again, covey_reply_fn *reply, void *user,
                                                     uint32_t *out_id, struct covey_error *err);
/* GET of the same: what became of it? reply goes to covey_upload_fate. */
COVEY_MUST_CHECK enum covey_status covey_upload_ask(struct covey_link_handle link, const char *federation,
                                                    const struct covey_assignment_id *assignment,
                                                    covey_reply_fn *reply, void *user, uint32_t *out_id,
                                                    struct covey_error *err);
enum covey_client_fate covey_upload_fate(const struct covey_reply *reply);

#endif
