/* The block transfer's two halves under any sequence of events. First eight bytes: sizes; then four bytes an
 * event. */
#include <stdlib.h>
#include <string.h>

#include "covey/blockwise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MOST 70000

static void check_sender(const struct covey_block_sender *sender)
{
    uint32_t flying = 0;
    for (size_t i = 0; i < COVEY_TRANSMISSIONS_REMEMBERED; i++)
        flying += sender->ring[i].state == 1;
    uint32_t count = sender->config.block_count > 0 ? sender->config.block_count : 1;
    if (flying != sender->in_flight || sender->in_flight > COVEY_WINDOW_BLOCKS ||
        sender->answered_count > count)
        abort();
}

static void drive_sender(struct covey_block_sender *sender, const uint8_t *event, uint64_t *now_us)
{
    struct covey_block_action action;
    *now_us += (uint64_t)event[3] << (event[0] >> 4);
    switch (event[0] & 7) {
    case 0:
    case 1:
    case 2:
        covey_block_sender_next(sender, *now_us, &action);
        if (action.step == COVEY_BLOCK_WAIT && action.wake_us <= *now_us)
            abort(); /* would spin */
        break;
    case 3:
    case 4:
        covey_block_sender_answered(sender, sender->next_number - event[1],
                                    event[2] & 1 ? COVEY_BLOCK_AS_SENT : event[2], event[0] & 8, *now_us);
        break;
    case 5: {
        uint32_t first[2] = {event[1], (uint32_t)event[2] << 24}, count[2] = {event[2], UINT32_MAX};
        if (sender->config.block_count > 0)
            covey_block_sender_missing(sender, first, count, 2);
        break;
    }
    case 6:
        covey_block_sender_forget(sender, event[1]);
        break;
    default:
        sender->config.window_blocks = (uint16_t)(1 + event[1] % 40);
        break;
    }
    check_sender(sender);
}

static void drive_receiver(struct covey_block_receiver *receiver, const uint8_t *event)
{
    static const uint8_t bytes[2048];
    uint32_t first[4], count[4];
    uint32_t block = event[1] | (event[0] & 16 ? 0xfff00u : 0);
    size_t length = event[0] & 32 ? receiver->block_bytes : (size_t)event[2] << 3;
    if (event[0] & 64)
        length = receiver->total_bytes % receiver->block_bytes;
    (void)!covey_block_receiver_put(receiver, block, event[0] & 128, (struct covey_bytes){bytes, length});
    size_t ranges = covey_block_receiver_missing(receiver, first, count, 4);
    if ((ranges == 0) != covey_block_receiver_complete(receiver))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8)
        return 0;
    uint64_t total = (uint64_t)data[0] << 8 | data[1];
    uint32_t block_bytes = 1u << (data[2] % 13);
    struct covey_block_path path;
    struct covey_block_sender sender;
    struct covey_block_receiver receiver;
    static uint8_t body[BODY_MOST], present[BODY_MOST / 16 / 8 + 1], answered[64];
    struct covey_block_sender_config config = {.block_count = data[3],
                                               .window_blocks = data[4] % 40,
                                               .last_alone = data[5] & 1,
                                               .rule = data[5] & 2 ? COVEY_CONGESTION_GATED
                                                                   : COVEY_CONGESTION_STANDARD};
    covey_block_path_init(&path, (uint32_t)data[6] << 12);
    if (covey_block_sender_init(&sender, &config, &path, answered, 0) != COVEY_OK)
        abort();
    bool receives = covey_block_receiver_init(&receiver, body, present, total, block_bytes) == COVEY_OK;
    uint64_t now_us = 0;
    for (size_t at = 8; at + 4 <= size; at += 4) {
        drive_sender(&sender, data + at, &now_us);
        if (receives)
            drive_receiver(&receiver, data + at);
    }
    return 0;
}
