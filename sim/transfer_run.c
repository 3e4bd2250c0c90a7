/* How long a transfer takes on a link. A transfer is the house's own blockwise sender against its own
 * receiver (common/blockwise), driven by a virtual clock over two pipes, there and back, each with a rate,
 * half of the round trip and seeded loss. Datagrams weigh what covey/inprocess counts for them. */
#include <stdlib.h>

#include "covey/blockwise.h"
#include "covey/inprocess.h"
#include "covey/limits.h"
#include "world_parts.h"

#define IP_UDP_BYTES 28u /* on the air, not counted in traffic: IPv4 20, UDP 8 */
#define ANSWERS 256      /* on their way at the most */
#define GIVEN_UP_US (24ull * 3600 * 1000000)

/* One direction of the link. */
struct pipe {
    double us_per_byte;
    uint64_t delay_us;
    double loss;
    uint64_t free_us; /* when the last datagram has left */
    uint64_t bytes;
};

/* A block's answer on its way to the device. */
struct answer {
    uint64_t due_us;
    uint32_t number, block;
};

struct transfer_run {
    struct pipe up, down;
    struct covey_random *random;
    struct covey_block_path path;
    struct covey_block_sender sender;
    struct covey_block_receiver receiver; /* the server's of an upload, the device's of a download */
    bool is_up;
    uint64_t body_bytes;
    uint32_t block_framing, answer_bytes; /* of the side that carries blocks, and of the other */
    struct answer answers[ANSWERS];
    uint32_t answer_count;
};

static const uint8_t zeros[COVEY_BLOCK_BYTES];

/* False: the datagram is lost. */
static bool carry(struct transfer_run *run, struct pipe *pipe, uint64_t now_us, uint32_t bytes,
                  uint64_t *arrived_us)
{
    const uint64_t start = now_us > pipe->free_us ? now_us : pipe->free_us;
    pipe->bytes += bytes;
    pipe->free_us = start + (uint64_t)((bytes + IP_UDP_BYTES) * pipe->us_per_byte + 0.5);
    if (pipe->loss > 0 && covey_random_double(run->random) < pipe->loss)
        return false;
    *arrived_us = pipe->free_us + pipe->delay_us;
    return true;
}

static uint32_t block_bytes(const struct transfer_run *run, uint32_t block)
{
    const uint64_t rest = run->body_bytes - (uint64_t)block * COVEY_BLOCK_BYTES;
    return rest < COVEY_BLOCK_BYTES ? (uint32_t)rest : COVEY_BLOCK_BYTES;
}

/* EXISTS for a repeat is as good as OK; nothing else can happen to blocks that are cut right. */
static void store(struct transfer_run *run, uint32_t block)
{
    const uint32_t bytes = block_bytes(run, block);
    const enum covey_status status = covey_block_receiver_put(
        &run->receiver, block, block + 1 < run->receiver.block_count, (struct covey_bytes){zeros, bytes});
    (void)status;
}

static void transmit(struct transfer_run *run, const struct covey_block_action *action, uint64_t now_us)
{
    const uint32_t heavy = run->block_framing + block_bytes(run, action->block);
    const uint32_t there = run->is_up ? heavy : run->answer_bytes;
    const uint32_t back = run->is_up ? run->answer_bytes : heavy;
    uint64_t arrived_us, answered_us;
    if (!carry(run, &run->up, now_us, there, &arrived_us))
        return;
    if (run->is_up)
        store(run, action->block);
    if (!carry(run, &run->down, arrived_us, back, &answered_us) || run->answer_count == ANSWERS)
        return;
    run->answers[run->answer_count++] = (struct answer){answered_us, action->number, action->block};
}

/* The answer that is due first, of several the oldest: a link does not put them out of order. NULL: none is
 * on its way. */
static struct answer *first_answer(struct transfer_run *run)
{
    struct answer *first = NULL;
    for (uint32_t i = 0; i < run->answer_count; i++)
        if (first == NULL || run->answers[i].due_us < first->due_us ||
            (run->answers[i].due_us == first->due_us && run->answers[i].number < first->number))
            first = &run->answers[i];
    return first;
}

static void receive(struct transfer_run *run, struct answer *answer, uint64_t now_us)
{
    const struct answer taken = *answer;
    *answer = run->answers[--run->answer_count];
    if (!run->is_up)
        store(run, taken.block);
    covey_block_sender_answered(&run->sender, taken.number, taken.block, true, now_us);
}

/* Returns when it was done; *failed. */
static uint64_t drive(struct transfer_run *run, bool *failed)
{
    uint64_t now_us = 0;
    *failed = false;
    for (;;) {
        struct covey_block_action action;
        covey_block_sender_next(&run->sender, now_us, &action);
        if (action.step == COVEY_BLOCK_SEND) {
            transmit(run, &action, now_us);
            continue;
        }
        if (action.step == COVEY_BLOCK_COMPLETE)
            return now_us;
        struct answer *answer = first_answer(run);
        if (action.step == COVEY_BLOCK_SILENT || now_us > GIVEN_UP_US ||
            (answer == NULL && action.wake_us == UINT64_MAX)) {
            *failed = true;
            return now_us;
        }
        if (answer != NULL && answer->due_us <= action.wake_us) {
            now_us = answer->due_us > now_us ? answer->due_us : now_us;
            receive(run, answer, now_us);
        } else {
            now_us = action.wake_us > now_us ? action.wake_us : now_us + 1;
        }
    }
}

static struct pipe make_pipe(double bits_per_s, const struct link_class *link)
{
    return (struct pipe){.us_per_byte = bits_per_s > 0 ? 8e6 / bits_per_s : 0,
                         .delay_us = (uint64_t)(link->round_trip_ms * 500),
                         .loss = link->loss};
}

#define BLOCK_OPTION_BYTES 4 /* which block is asked for */

/* Framing as the in-process transport counts it, of paths of the usual length. The path stands in requests
 * alone: beside each block of an upload, in each question for a block of a download. */
static void weigh(struct transfer_run *run)
{
    static const char update[] = "f/name/a/0123456789abcdef",
                      body[] = "f/name/d/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const struct covey_inprocess_weight whole =
        covey_inprocess_weigh(run->is_up ? update : "", (size_t)run->body_bytes);
    run->block_framing = (uint32_t)((whole.bytes - run->body_bytes) / whole.datagrams);
    run->answer_bytes = COVEY_INPROCESS_ANSWER_BYTES;
    if (!run->is_up)
        run->answer_bytes =
            (uint32_t)covey_inprocess_weigh(body, 0).bytes + (whole.datagrams > 1 ? BLOCK_OPTION_BYTES : 0);
}

/* body: (body_bytes) scratch; bitmaps: two of covey_block_bitmap_bytes(blocks). */
void transfer_run_in(const struct link_class *link, uint16_t window_blocks, bool up, uint64_t body_bytes,
                     uint8_t *body, uint8_t *bitmaps, struct covey_random *random, struct covey_transfer *out)
{
    struct transfer_run run = {.up = make_pipe(link->up_bits_per_s, link),
                               .down = make_pipe(link->down_bits_per_s, link),
                               .random = random,
                               .is_up = up,
                               .body_bytes = body_bytes};
    const uint32_t blocks = covey_block_count(body_bytes, COVEY_BLOCK_BYTES);
    const struct covey_block_sender_config config = {
        .block_count = blocks, .window_blocks = window_blocks, .last_alone = up && blocks > 1};
    *out = (struct covey_transfer){.failed = true};
    weigh(&run);
    covey_block_path_init(&run.path, (uint32_t)(link->round_trip_ms * 2000)); /* what a handshake took */
    if (covey_block_receiver_init(&run.receiver, body, bitmaps, body_bytes, COVEY_BLOCK_BYTES) != COVEY_OK ||
        covey_block_sender_init(&run.sender, &config, &run.path, bitmaps + covey_block_bitmap_bytes(blocks),
                                0) != COVEY_OK)
        return;
    bool failed;
    const uint64_t us = drive(&run, &failed);
    out->ms = (us + 500) / 1000;
    out->bytes_up = run.up.bytes;
    out->bytes_down = run.down.bytes;
    out->failed = failed || !covey_block_receiver_complete(&run.receiver);
}

void transfer_run(const struct link_class *link, uint16_t window_blocks, bool up, uint64_t body_bytes,
                  struct covey_random *random, struct covey_transfer *out)
{
    if (body_bytes == 0)
        body_bytes = 1;
    const uint32_t blocks = covey_block_count(body_bytes, COVEY_BLOCK_BYTES);
    uint8_t *body = malloc((size_t)body_bytes),
            *bitmaps = malloc(2 * covey_block_bitmap_bytes(blocks == 0 ? 1 : blocks));
    *out = (struct covey_transfer){.failed = true};
    if (blocks != 0 && body != NULL && bitmaps != NULL)
        transfer_run_in(link, window_blocks, up, body_bytes, body, bitmaps, random, out);
    free(body);
    free(bitmaps);
}
