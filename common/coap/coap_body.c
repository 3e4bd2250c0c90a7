#include "coap_body.h"

#include <stdlib.h>
#include <string.h>

uint64_t covey_coap_body_cost(uint64_t total_bytes, uint32_t block_bytes)
{
    return total_bytes + covey_block_bitmap_bytes(covey_block_count(total_bytes, block_bytes));
}

enum covey_status covey_coap_body_init(struct covey_coap_body *body, uint64_t total_bytes,
                                       uint32_t block_bytes)
{
    uint32_t count = covey_block_count(total_bytes, block_bytes);
    memset(body, 0, sizeof *body);
    if (count == 0 || total_bytes > SIZE_MAX)
        return COVEY_RANGE;
    body->bytes = malloc((size_t)total_bytes);
    body->bitmap = malloc(covey_block_bitmap_bytes(count));
    enum covey_status status = COVEY_NO_MEMORY;
    if (body->bytes != NULL && body->bitmap != NULL)
        status =
            covey_block_receiver_init(&body->receiver, body->bytes, body->bitmap, total_bytes, block_bytes);
    if (status == COVEY_OK)
        status = covey_hasher_create(&body->hasher);
    if (status != COVEY_OK)
        covey_coap_body_deinit(body);
    return status;
}

static enum covey_status hash_up_to_gap(struct covey_coap_body *body)
{
    const struct covey_block_receiver *receiver = &body->receiver;
    uint64_t from = (uint64_t)body->hashed_blocks * receiver->block_bytes;
    uint64_t to = (uint64_t)receiver->first_missing * receiver->block_bytes;
    if (to > receiver->total_bytes)
        to = receiver->total_bytes;
    if (to <= from)
        return COVEY_OK;
    body->hashed_blocks = receiver->first_missing;
    return covey_hasher_add(body->hasher, (struct covey_bytes){body->bytes + from, (size_t)(to - from)});
}

enum covey_status covey_coap_body_put(struct covey_coap_body *body, uint32_t block, bool more,
                                      struct covey_bytes data)
{
    COVEY_TRY(covey_block_receiver_put(&body->receiver, block, more, data));
    return hash_up_to_gap(body);
}

enum covey_status covey_coap_body_finish(struct covey_coap_body *body, struct covey_hash *out)
{
    struct covey_hasher *hasher = body->hasher;
    if (hasher == NULL || !covey_block_receiver_complete(&body->receiver))
        return COVEY_STATE;
    body->hasher = NULL;
    return covey_hasher_finish(hasher, out);
}

struct covey_bytes covey_coap_body_view(const struct covey_coap_body *body)
{
    return (struct covey_bytes){body->bytes, (size_t)body->receiver.total_bytes};
}

void covey_coap_body_deinit(struct covey_coap_body *body)
{
    covey_hasher_destroy(body->hasher);
    free(body->bytes);
    free(body->bitmap);
    memset(body, 0, sizeof *body);
}
