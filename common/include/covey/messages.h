/* The messages of the protocol as plain structs, and their CBOR (RFC 8949). docs/wire.cddl is the contract;
 * tests/golden/wire holds test vectors. Only common/wire/ knows CBOR.
 *
 * Encoding is deterministic (RFC 8949 section 4.2.1): integer keys in order, shortest forms. Decoding refuses
 * what is truncated, too long, too deep, of the wrong type or out of range (CORRUPT, err says where), a later
 * major version and a choice (an enum's number) that is not known (UNSUPPORTED), and ignores unknown keys.
 * Encoding refuses what decoding would (INVALID, err says where), and LIMIT when it does not fit. Decoded
 * byte strings are views into the message, borrowed. */
#ifndef COVEY_MESSAGES_H
#define COVEY_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/model_description.h"
#include "covey/status.h"

#define COVEY_WIRE_VERSION 1

/* CoAP Content-Formats (RFC 7252 section 12.3, RFC 9052 section 11.3, RFC 8428 section 12.3). */
enum covey_content_format {
    COVEY_FORMAT_LINK = 40,
    COVEY_FORMAT_OCTETS = 42,
    COVEY_FORMAT_CBOR = 60,
    COVEY_FORMAT_SENML_CBOR = 112,
    COVEY_FORMAT_COSE_SIGN1 = 18
};

struct covey_assignment_id {
    uint8_t bytes[COVEY_ASSIGNMENT_BYTES];
};

/* ---- plan: GET /f/{federation}/plan, at most COVEY_PLAN_BYTES ---- */

enum covey_plan_kind {
    COVEY_PLAN_WAIT,  /* nothing to do now: come back in retry_after_ms */
    COVEY_PLAN_TRAIN, /* an assignment */
    COVEY_PLAN_DONE   /* the federation has ended; `manifest` is the last model */
};

enum covey_optimiser_kind { COVEY_OPTIMISER_SGD, COVEY_OPTIMISER_MOMENTUM, COVEY_OPTIMISER_ADAM };
enum covey_schedule_kind {
    COVEY_SCHEDULE_CONSTANT,
    COVEY_SCHEDULE_STEP,   /* rate * factor^(floor(round / period)) */
    COVEY_SCHEDULE_COSINE, /* from rate to rate * factor over period rounds */
    COVEY_SCHEDULE_WARMUP  /* linear from rate * factor to rate over period rounds */
};

/* What a device does besides plain local training (docs/strategies.md); each but the first keeps something on
 * the device. One that a device does not know is refused, as any choice is. */
enum covey_local_algorithm {
    COVEY_LOCAL_PLAIN,
    COVEY_LOCAL_MOMENTUM, /* sends the momentum of its deltas; strength: beta */
    COVEY_LOCAL_FEDDYN,   /* strength: alpha */
    COVEY_LOCAL_SCAFFOLD, /* the model's description has control variates */
    COVEY_LOCAL_DITTO     /* trains a model of its own beside; strength: lambda */
};

/* How a device trains: everything that makes the result a function of (model, data, this). */
struct covey_recipe {
    uint32_t epochs; /* passes over the local data; 0 only with steps */
    uint32_t steps;  /* stop after so many batches; 0 = no limit */
    uint32_t batch;  /* examples; 0 = all local data in one batch */
    enum covey_optimiser_kind optimiser;
    float learning_rate;
    float momentum;                    /* momentum; Adam's beta1 */
    float beta2, epsilon;              /* Adam */
    float weight_decay;                /* L2, added to the gradient; biases and norms too, as PyTorch does */
    enum covey_schedule_kind schedule; /* by round */
    float schedule_factor;
    uint32_t schedule_period;
    float proximal_mu; /* FedProx; 0 = off */
    uint64_t seed;
    enum covey_local_algorithm algorithm;
    float strength;    /* of the algorithm */
    uint32_t measures; /* 1: loss_before is of the model as it was published, over all local data; 0 */
};

struct covey_plan {
    enum covey_plan_kind kind;
    uint32_t round;
    struct covey_assignment_id assignment; /* TRAIN */
    struct covey_hash manifest; /* TRAIN and DONE: hash of the signed manifest of the model to start from */
    char codec[COVEY_CODEC_NAME_BYTES]; /* TRAIN: how to encode the update */
    struct covey_recipe recipe;         /* TRAIN */
    uint32_t deadline_ms;               /* TRAIN: from now, for the update to be complete */
    uint32_t retry_after_ms;            /* when to ask again if nothing is pushed before */
    uint32_t heartbeat_ms;  /* a push at least this often, or the device makes its observation anew */
    uint16_t window_blocks; /* blocks in flight that the server takes; 1 = one by one */
    /* TRAIN, for a gateway: it owes a partial sum of its devices' updates, not an update */
    struct covey_hash terms; /* of the sum_terms message; all zero for a device */
    uint32_t share;          /* updates in the sum at the most; 0 for a device */
    uint32_t judge;          /* TRAIN: 1 = also say how good the model is on examples of your own; 0 */
};

COVEY_MUST_CHECK enum covey_status covey_plan_encode(const struct covey_plan *plan, uint8_t *out,
                                                     size_t capacity, size_t *out_bytes,
                                                     struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_plan_decode(struct covey_bytes message, struct covey_plan *out,
                                                     struct covey_error *err);

/* ---- update: PUT /f/{federation}/a/{assignment} ---- */

struct covey_update {
    struct covey_assignment_id assignment;
    struct covey_hash model; /* of P that training started from */
    uint32_t examples;       /* weight; 1..COVEY_UPDATE_EXAMPLES */
    uint32_t steps;          /* batches done */
    uint32_t training_ms;
    float loss_before, loss_after; /* mean training loss of the first and the last epoch; recipe.measures */
    float effective_steps;         /* FedNova's: batches as they weigh in the delta; 0: as steps */
    float clipped;                 /* factor that the delta was scaled by; 1 = as it was */
    struct covey_bytes stream;     /* codec stream of (local - P) over the update part; the last field */
};

/* Bytes of everything but the stream itself, at the most. */
#define COVEY_UPDATE_HEAD_BYTES 160
COVEY_MUST_CHECK enum covey_status covey_update_encode(const struct covey_update *update, uint8_t *out,
                                                       size_t capacity, size_t *out_bytes,
                                                       struct covey_error *err);
/* Writes the head for a stream of stream_bytes that the caller then puts right behind it, without a copy. */
COVEY_MUST_CHECK enum covey_status covey_update_encode_head(const struct covey_update *update,
                                                            size_t stream_bytes, uint8_t *out,
                                                            size_t capacity, size_t *out_bytes,
                                                            struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_update_decode(struct covey_bytes message, struct covey_update *out,
                                                       struct covey_error *err);

/* ---- terms of a sum: GET /f/{federation}/d/{hash}; what a gateway adds under, exactly as its parent does
 * ----
 */

#define COVEY_SUM_TERMS_BYTES 8192
#define COVEY_SUM_KEPT_BYTES 4096

struct covey_sum_terms {
    char strategy[COVEY_STRATEGY_TEXT_BYTES]; /* a chain in words */
    uint64_t updates_max; /* of the whole round: it decides how the grid's bits are split */
    double weight_max;
    double norm_limit;            /* 0: none */
    uint8_t refuse_range;         /* out of the grid's range: refused, instead of scaled down */
    struct covey_bytes exponents; /* i16, little-endian, one a tensor; empty: wide */
    struct covey_bytes kept;      /* of the strategy, with the model; empty: nothing */
};
COVEY_MUST_CHECK enum covey_status covey_sum_terms_encode(const struct covey_sum_terms *terms, uint8_t *out,
                                                          size_t capacity, size_t *out_bytes,
                                                          struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_sum_terms_decode(struct covey_bytes message,
                                                          struct covey_sum_terms *out,
                                                          struct covey_error *err);

/* ---- partial sum: PUT /f/{federation}/a/{assignment}, by a gateway in the place of an update ---- */

/* One update in a partial sum. */
struct covey_contributor {
    char name[COVEY_NAME_BYTES]; /* of the device, as DTLS proved it to the gateway */
    uint32_t examples;           /* 1..COVEY_UPDATE_EXAMPLES */
    struct covey_hash update;    /* of the whole update message */
};
#define COVEY_CONTRIBUTOR_BYTES 112 /* encoded, at the most */

struct covey_partial_sum {
    struct covey_assignment_id assignment;
    struct covey_hash model;         /* of P that the updates started from */
    struct covey_hash terms;         /* that it was made under */
    uint32_t updates;                /* in it: 1..COVEY_DEVICES */
    float loss_before, loss_after;   /* means over the contributors, by examples */
    struct covey_hash digest;        /* of `sum` */
    struct covey_bytes contributors; /* a CBOR sequence, by name in ascending order: covey_contributor_next */
    struct covey_bytes sum;          /* covey_aggregation_save; the last field */
};
/* Bytes of everything but the contributors and the sum, at the most. */
#define COVEY_PARTIAL_HEAD_BYTES 224
/* Both check the list, decoding also the digest: CORRUPT (INVALID) when it is not in order, has not `updates`
 * entries, or the sum is not what was hashed. */
COVEY_MUST_CHECK enum covey_status covey_partial_sum_encode(const struct covey_partial_sum *partial,
                                                            uint8_t *out, size_t capacity, size_t *out_bytes,
                                                            struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_partial_sum_decode(struct covey_bytes message,
                                                            struct covey_partial_sum *out,
                                                            struct covey_error *err);
/* One entry of the list, to be put behind the one before. */
COVEY_MUST_CHECK enum covey_status covey_contributor_encode(const struct covey_contributor *contributor,
                                                            uint8_t *out, size_t capacity, size_t *out_bytes,
                                                            struct covey_error *err);
/* Takes the first entry off *list. NOT_FOUND at its end. */
COVEY_MUST_CHECK enum covey_status covey_contributor_next(struct covey_bytes *list,
                                                          struct covey_contributor *out,
                                                          struct covey_error *err);

/* ---- manifest: GET /f/{federation}/d/{hash}, COSE_Sign1 (RFC 9052 section 4.2) around this ---- */

/* One way from an older model to this one: a codec stream to add. */
struct covey_manifest_delta {
    uint64_t from_sequence; /* model that it starts from */
    struct covey_hash from_model;
    struct covey_hash stream;
    uint64_t stream_bytes;
};

/* A step of the line: the codec stream that leads from a model to the next one. grid: it has the update
 * part's values, which are rounded to multiples of 2^(grid - COVEY_GRID_ZERO) and added
 * (covey_codec_apply_rounded). */
#define COVEY_GRID_ZERO 128
struct covey_manifest_step {
    struct covey_hash stream;
    uint64_t stream_bytes;
    uint8_t grid;
};

struct covey_manifest {
    char federation[COVEY_NAME_BYTES];
    uint64_t sequence; /* only rises; P(sequence) */
    uint32_t round;
    int64_t created_s;             /* since 1970 UTC */
    struct covey_hash description; /* of the model description's CBOR */
    uint64_t description_bytes;
    struct covey_hash model; /* of the f32 little-endian shared values: covey_hash_floats */
    uint64_t shared_count;
    struct covey_hash full; /* codec stream of the whole shared vector */
    uint64_t full_bytes;
    uint32_t delta_count;
    struct covey_manifest_delta deltas[COVEY_MANIFEST_DELTAS];
    uint32_t step_count; /* newest first: steps[i] leads from P(sequence - 1 - i) to P(sequence - i) */
    struct covey_manifest_step steps[COVEY_MANIFEST_STEPS];
    uint64_t sums_from; /* from this sequence on s/{from}-{sequence} may be asked for; 0: there are no sums */
};

COVEY_MUST_CHECK enum covey_status covey_manifest_encode(const struct covey_manifest *manifest, uint8_t *out,
                                                         size_t capacity, size_t *out_bytes,
                                                         struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_manifest_decode(struct covey_bytes message,
                                                         struct covey_manifest *out, struct covey_error *err);

/* ---- COSE_Sign1, ES256 (RFC 9052 section 4.4, RFC 9053 section 2.1): the bytes only; security/sign does the
 * rest ---- */

#define COVEY_SIGNATURE_BYTES 64
#define COVEY_KEY_ID_BYTES 16

struct covey_cose_sign1 {
    uint8_t key_id[COVEY_KEY_ID_BYTES];
    struct covey_bytes protected_header; /* as it stood in the message, for the Sig_structure */
    struct covey_bytes payload;
    uint8_t signature[COVEY_SIGNATURE_BYTES]; /* r || s */
};

/* Sig_structure with external_aad empty: what is hashed and signed. */
COVEY_MUST_CHECK enum covey_status covey_cose_to_be_signed(struct covey_bytes protected_header,
                                                           struct covey_bytes payload, uint8_t *out,
                                                           size_t capacity, size_t *out_bytes);
/* The protected header {1: -7} of an ES256 signature. */
struct covey_bytes covey_cose_es256_header(void);
COVEY_MUST_CHECK enum covey_status covey_cose_encode(const struct covey_cose_sign1 *message, uint8_t *out,
                                                     size_t capacity, size_t *out_bytes);
COVEY_MUST_CHECK enum covey_status covey_cose_decode(struct covey_bytes message, struct covey_cose_sign1 *out,
                                                     struct covey_error *err);

/* ---- model description ---- */

COVEY_MUST_CHECK enum covey_status covey_description_encode(const struct covey_model_description *model,
                                                            uint8_t *out, size_t capacity, size_t *out_bytes,
                                                            struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_description_decode(struct covey_bytes message,
                                                            struct covey_model_description *out,
                                                            struct covey_error *err);

/* ---- what the server has of an upload: GET /f/{federation}/a/{assignment} ---- */

#define COVEY_RANGES 32
struct covey_upload_state {
    uint8_t complete;     /* recorded; nothing more to send */
    uint64_t total_bytes; /* 0: nothing known of this upload */
    uint16_t block_bytes;
    uint32_t range_count; /* of missing blocks, in order; at most COVEY_RANGES, the first ones */
    struct {
        uint32_t first, count;
    } missing[COVEY_RANGES];
};
COVEY_MUST_CHECK enum covey_status covey_upload_state_encode(const struct covey_upload_state *state,
                                                             uint8_t *out, size_t capacity,
                                                             size_t *out_bytes);
COVEY_MUST_CHECK enum covey_status covey_upload_state_decode(struct covey_bytes message,
                                                             struct covey_upload_state *out,
                                                             struct covey_error *err);

/* ---- where: GET /where -> this device's shard ---- */

struct covey_where {
    uint16_t port;    /* UDP; same address */
    uint32_t valid_s; /* ask again after this */
};
COVEY_MUST_CHECK enum covey_status covey_where_encode(const struct covey_where *where, uint8_t *out,
                                                      size_t capacity, size_t *out_bytes);
COVEY_MUST_CHECK enum covey_status covey_where_decode(struct covey_bytes message, struct covey_where *out,
                                                      struct covey_error *err);

/* ---- device metrics: POST /f/{federation}/metrics, SenML-CBOR (RFC 8428 section 6) ---- */

#define COVEY_METRICS_RECORDS 32
struct covey_metric {
    char name[32];
    char unit[8]; /* SenML unit or "" */
    double value;
};
struct covey_metrics {
    char base_name[COVEY_NAME_BYTES];
    double base_time; /* 0: now */
    uint32_t count;
    struct covey_metric records[COVEY_METRICS_RECORDS];
};
COVEY_MUST_CHECK enum covey_status covey_metrics_encode(const struct covey_metrics *metrics, uint8_t *out,
                                                        size_t capacity, size_t *out_bytes,
                                                        struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_metrics_decode(struct covey_bytes message, struct covey_metrics *out,
                                                        struct covey_error *err);

#endif
