/* A body being put together. Every offset follows from sizes that were checked at the start. */
#include <string.h>

#include "covey/blockwise.h"

uint32_t covey_block_count(uint64_t total_bytes, uint32_t block_bytes)
{
    bool power = block_bytes >= COVEY_BLOCK_BYTES_MIN && block_bytes <= COVEY_BLOCK_BYTES &&
                 (block_bytes & (block_bytes - 1)) == 0;
    if (!power || total_bytes == 0 || total_bytes > COVEY_BODY_BYTES)
        return 0;
    uint64_t count = (total_bytes + block_bytes - 1) / block_bytes;
    return count <= COVEY_BLOCK_COUNT ? (uint32_t)count : 0;
}

enum covey_status covey_block_receiver_init(struct covey_block_receiver *receiver, uint8_t *body,
                                            uint8_t *bitmap, uint64_t total_bytes, uint32_t block_bytes)
{
    uint32_t count = covey_block_count(total_bytes, block_bytes);
    if (count == 0)
        return COVEY_RANGE;
    *receiver = (struct covey_block_receiver){.body = body,
                                              .present = bitmap,
                                              .total_bytes = total_bytes,
                                              .block_bytes = block_bytes,
                                              .block_count = count};
    memset(bitmap, 0, covey_block_bitmap_bytes(count));
    return COVEY_OK;
}

bool covey_block_receiver_has(const struct covey_block_receiver *receiver, uint32_t block)
{
    return block < receiver->block_count && (receiver->present[block / 8] >> (block % 8) & 1) != 0;
}

enum covey_status covey_block_receiver_put(struct covey_block_receiver *receiver, uint32_t block, bool more,
                                           struct covey_bytes data)
{
    if (block >= receiver->block_count)
        return COVEY_RANGE;
    uint64_t offset = (uint64_t)block * receiver->block_bytes;
    uint64_t left = receiver->total_bytes - offset;
    bool last = block == receiver->block_count - 1;
    if (more == last || data.size != (last ? left : receiver->block_bytes))
        return COVEY_MISMATCH;
    if (covey_block_receiver_has(receiver, block))
        return memcmp(receiver->body + offset, data.data, data.size) == 0 ? COVEY_EXISTS : COVEY_CONFLICT;
    memcpy(receiver->body + offset, data.data, data.size);
    receiver->present[block / 8] = (uint8_t)(receiver->present[block / 8] | 1u << (block % 8));
    receiver->present_count++;
    while (covey_block_receiver_has(receiver, receiver->first_missing))
        receiver->first_missing++;
    return COVEY_OK;
}

bool covey_block_receiver_complete(const struct covey_block_receiver *receiver)
{
    return receiver->present_count == receiver->block_count;
}

size_t covey_block_receiver_missing(const struct covey_block_receiver *receiver, uint32_t *first,
                                    uint32_t *count, size_t capacity)
{
    size_t ranges = 0;
    uint32_t block = receiver->first_missing;
    while (block < receiver->block_count && ranges < capacity) {
        if (covey_block_receiver_has(receiver, block)) {
            block++;
            continue;
        }
        first[ranges] = block;
        while (block < receiver->block_count && !covey_block_receiver_has(receiver, block))
            block++;
        count[ranges] = block - first[ranges];
        ranges++;
    }
    return ranges;
}
