/* A body that arrives in blocks: memory, bitmap, and a hash that keeps up with what is there without a gap,
 * so that no event loop stops for the hash of a whole model at the end. */
#ifndef COVEY_COAP_BODY_H
#define COVEY_COAP_BODY_H

#include "covey/blockwise.h"
#include "covey/hash.h"

struct covey_coap_body {
    struct covey_block_receiver receiver;
    uint8_t *bytes, *bitmap; /* owned */
    struct covey_hasher *hasher;
    uint32_t hashed_blocks;
};

/* RANGE as covey_block_receiver_init; NO_MEMORY. The caller has checked the size against its limits. */
COVEY_MUST_CHECK enum covey_status covey_coap_body_init(struct covey_coap_body *body, uint64_t total_bytes,
                                                        uint32_t block_bytes);
/* As covey_block_receiver_put; also CRYPTO. */
COVEY_MUST_CHECK enum covey_status covey_coap_body_put(struct covey_coap_body *body, uint32_t block,
                                                       bool more, struct covey_bytes data);
/* The hash of a complete body; once. */
COVEY_MUST_CHECK enum covey_status covey_coap_body_finish(struct covey_coap_body *body,
                                                          struct covey_hash *out);
struct covey_bytes covey_coap_body_view(const struct covey_coap_body *body);
/* Memory that such a body takes. */
uint64_t covey_coap_body_cost(uint64_t total_bytes, uint32_t block_bytes);
/* An all-zero one is legal. */
void covey_coap_body_deinit(struct covey_coap_body *body);

#endif
