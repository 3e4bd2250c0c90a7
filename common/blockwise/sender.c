/* Which block to transmit now: window, loss, timers. See covey/blockwise.h for the rules and
 * docs/transport.md for what they measured. */
#include <string.h>

#include "covey/blockwise.h"

#define RING COVEY_TRANSMISSIONS_REMEMBERED
#define ONE 256u        /* a block in windows */
#define LATER_ANSWERS 3 /* RFC 5681's three duplicates */
#define HISTORY 32      /* transmissions that the loss rate is taken from */
#define QUEUE_SLACK_US 5000u

enum transmission_state { UNUSED, FLYING, LOST, ANSWERED };

_Static_assert(RING >= 4 * COVEY_WINDOW_BLOCKS, "late answers must still find their transmission");

static bool is_answered(const struct covey_block_sender *sender, uint32_t block)
{
    return (sender->answered[block / 8] >> (block % 8) & 1) != 0;
}

static void mark_answered(struct covey_block_sender *sender, uint32_t block)
{
    if (!is_answered(sender, block)) {
        sender->answered[block / 8] = (uint8_t)(sender->answered[block / 8] | 1u << (block % 8));
        sender->answered_count++;
    }
}

static struct covey_block_transmission *find(struct covey_block_sender *sender, uint32_t number)
{
    struct covey_block_transmission *at = &sender->ring[number % RING];
    return at->state != UNUSED && at->number == number ? at : NULL;
}

static uint32_t window_floor(const struct covey_block_sender *sender)
{
    uint32_t floor = sender->config.rule == COVEY_CONGESTION_GATED ? COVEY_WINDOW_FLOOR_BLOCKS : 1;
    return floor < sender->config.window_blocks ? floor : sender->config.window_blocks;
}

enum covey_status covey_block_sender_init(struct covey_block_sender *sender,
                                          const struct covey_block_sender_config *config,
                                          struct covey_block_path *path, uint8_t *bitmap, uint64_t now_us)
{
    if (config->block_count > COVEY_BLOCK_COUNT)
        return COVEY_RANGE;
    memset(sender, 0, sizeof *sender);
    sender->config = *config;
    if (sender->config.window_blocks == 0 || sender->config.window_blocks > COVEY_WINDOW_BLOCKS)
        sender->config.window_blocks = COVEY_WINDOW_BLOCKS;
    uint32_t cap = sender->config.window_blocks;
    sender->path = path;
    sender->answered = bitmap;
    memset(bitmap, 0, config->block_count > 0 ? covey_block_bitmap_bytes(config->block_count) : 1);
    sender->window_x256 = (cap < COVEY_WINDOW_START_BLOCKS ? cap : COVEY_WINDOW_START_BLOCKS) * ONE;
    sender->threshold_x256 = cap * ONE;
    sender->heard_us = now_us;
    return COVEY_OK;
}

enum covey_status covey_block_sender_set_count(struct covey_block_sender *sender, uint32_t block_count,
                                               uint8_t *bitmap)
{
    if (block_count == 0 || block_count > COVEY_BLOCK_COUNT)
        return COVEY_RANGE;
    bool first = is_answered(sender, 0);
    memset(bitmap, 0, covey_block_bitmap_bytes(block_count));
    sender->answered = bitmap;
    sender->answered_count = 0;
    sender->config.block_count = block_count;
    if (first)
        mark_answered(sender, 0);
    return COVEY_OK;
}

/* ---- loss and window ---- */

/* More than half of the HISTORY transmissions up to `number` lost; counted in the order of sending, as losses
 * are noticed in bursts. */
static bool loses_most(const struct covey_block_sender *sender, uint32_t number)
{
    uint32_t lost = 0;
    for (uint32_t i = 0; i < HISTORY; i++) {
        const struct covey_block_transmission *at = &sender->ring[(number - i) % RING];
        lost += at->state == LOST && number - at->number == i ? 1u : 0u;
    }
    return lost > HISTORY / 2;
}

/* A queue that grows, or a network that loses more than it carries. */
static bool is_congested(const struct covey_block_sender *sender, uint32_t lost_number)
{
    const struct covey_block_path *path = sender->path;
    if (path->srtt_us > path->least_rtt_us + path->least_rtt_us / 2 + QUEUE_SLACK_US)
        return true;
    return loses_most(sender, lost_number);
}

static void shrink_window(struct covey_block_sender *sender)
{
    bool gated = sender->config.rule == COVEY_CONGESTION_GATED;
    uint32_t floor = window_floor(sender) * ONE;
    uint32_t window = gated ? (uint32_t)(sender->window_x256 * 7ull / 10) : sender->window_x256 / 2;
    sender->window_x256 = window > floor ? window : floor;
    sender->threshold_x256 = sender->window_x256;
    sender->recovery_number = sender->next_number;
}

static void grow_window(struct covey_block_sender *sender)
{
    uint32_t cap = sender->config.window_blocks * ONE;
    bool slow_start = sender->window_x256 < sender->threshold_x256;
    sender->window_x256 += slow_start ? ONE : ONE * ONE / sender->window_x256;
    if (sender->window_x256 > cap)
        sender->window_x256 = cap;
}

static void lose(struct covey_block_sender *sender, struct covey_block_transmission *at)
{
    at->state = LOST;
    sender->in_flight--;
    if (at->block < sender->cursor)
        sender->cursor = at->block;
    bool paid = (int32_t)(at->number - sender->recovery_number) < 0;
    if (!paid && (sender->config.rule == COVEY_CONGESTION_STANDARD || is_congested(sender, at->number)))
        shrink_window(sender);
}

/* Nothing at all since `at` went out: be patient, and under the standard rule start anew (RFC 5681
 * section 3.1). */
static void fall_silent(struct covey_block_sender *sender)
{
    if (sender->backoff < 6)
        sender->backoff++;
    sender->silent_rounds++;
    if (sender->config.rule == COVEY_CONGESTION_STANDARD)
        sender->window_x256 = ONE;
}

static uint64_t timeout_us(const struct covey_block_sender *sender)
{
    uint64_t rto = (uint64_t)covey_block_path_rto_us(sender->path) << sender->backoff;
    return rto > COVEY_RTO_CEILING_US ? COVEY_RTO_CEILING_US : rto;
}

/* When `at` counts as lost if no answer comes before. */
static uint64_t deadline_us(const struct covey_block_sender *sender,
                            const struct covey_block_transmission *at)
{
    uint64_t deadline = at->sent_us + timeout_us(sender);
    if (at->later_answers >= LATER_ANSWERS) {
        const struct covey_block_path *path = sender->path;
        uint32_t patience =
            2 * path->rttvar_us > path->srtt_us / 16 ? 2 * path->rttvar_us : path->srtt_us / 16;
        uint64_t overtaken = at->sent_us + path->srtt_us + patience;
        if (overtaken < deadline)
            deadline = overtaken;
    }
    return deadline;
}

/* Marks what is overdue as lost; returns when the next one will be. */
static uint64_t expire(struct covey_block_sender *sender, uint64_t now_us)
{
    uint64_t next = UINT64_MAX;
    bool silent = false;
    for (uint32_t i = 0; i < RING && sender->in_flight > 0; i++) {
        struct covey_block_transmission *at =
            &sender->ring[(sender->next_number + i) % RING]; /* oldest first */
        if (at->state != FLYING)
            continue;
        uint64_t deadline = deadline_us(sender, at);
        if (deadline > now_us) {
            next = deadline < next ? deadline : next;
            continue;
        }
        if (!silent && at->sent_us >= sender->heard_us) {
            silent = true;
            lose(sender, at);
            fall_silent(sender);
            next = UINT64_MAX; /* every deadline has moved: look again */
            i = UINT32_MAX;
            continue;
        }
        lose(sender, at);
    }
    return next;
}

/* ---- choice of the next block ---- */

static bool is_flying(const struct covey_block_sender *sender, uint32_t block)
{
    for (uint32_t i = 0; i < RING; i++) {
        if (sender->ring[i].state == FLYING && sender->ring[i].block == block)
            return true;
    }
    return false;
}

/* The lowest block that is neither answered nor on its way. False: none may go now. */
static bool choose(struct covey_block_sender *sender, uint32_t *out)
{
    uint32_t count = sender->config.block_count > 0 ? sender->config.block_count : 1;
    while (sender->cursor < count) {
        uint32_t block = sender->cursor;
        bool last = block == count - 1;
        if (sender->config.last_alone && last && count > 1 && sender->answered_count < count - 1)
            return false;
        if (!is_answered(sender, block) && (block >= sender->sent_high || !is_flying(sender, block))) {
            *out = block;
            return true;
        }
        sender->cursor++;
    }
    return false;
}

/* How often the block went out before; 0 = never, or long ago. */
static uint8_t tries_before(const struct covey_block_sender *sender, uint32_t block)
{
    uint8_t tries = 0;
    for (uint32_t i = 0; i < RING; i++) {
        const struct covey_block_transmission *at = &sender->ring[i];
        if (at->state == LOST && at->block == block && at->tries > tries)
            tries = at->tries;
    }
    return tries;
}

static void transmit(struct covey_block_sender *sender, uint32_t block, uint64_t now_us,
                     struct covey_block_action *out)
{
    bool repeated = block < sender->sent_high;
    uint8_t tries = repeated ? tries_before(sender, block) : 0;
    if (tries >= COVEY_BLOCK_TRANSMISSIONS) {
        *out = (struct covey_block_action){.step = COVEY_BLOCK_SILENT};
        return;
    }
    struct covey_block_transmission *at = &sender->ring[sender->next_number % RING];
    if (at->state == FLYING)
        lose(sender, at);
    *at = (struct covey_block_transmission){.sent_us = now_us,
                                            .block = block,
                                            .number = sender->next_number++,
                                            .state = FLYING,
                                            .tries = (uint8_t)(tries + 1)};
    sender->in_flight++;
    sender->repeated += repeated ? 1 : 0;
    if (!repeated)
        sender->sent_high = block + 1;
    sender->cursor = block + 1;
    *out = (struct covey_block_action){
        .step = COVEY_BLOCK_SEND, .block = block, .number = at->number, .repeated = repeated};
}

void covey_block_sender_next(struct covey_block_sender *sender, uint64_t now_us,
                             struct covey_block_action *out)
{
    if (sender->config.block_count > 0 && sender->answered_count == sender->config.block_count) {
        *out = (struct covey_block_action){.step = COVEY_BLOCK_COMPLETE};
        return;
    }
    uint64_t wake = expire(sender, now_us);
    uint32_t block;
    if (sender->silent_rounds >= COVEY_BLOCK_TRANSMISSIONS)
        *out = (struct covey_block_action){.step = COVEY_BLOCK_SILENT};
    else if (sender->in_flight < covey_block_sender_window(sender) && choose(sender, &block))
        transmit(sender, block, now_us, out);
    else
        *out = (struct covey_block_action){.step = COVEY_BLOCK_WAIT, .wake_us = wake};
}

/* ---- events ---- */

static void count_overtaken(struct covey_block_sender *sender, uint32_t number)
{
    for (uint32_t i = 0; i < RING; i++) {
        struct covey_block_transmission *at = &sender->ring[i];
        if (at->state == FLYING && (int32_t)(number - at->number) > 0 && at->later_answers < LATER_ANSWERS)
            at->later_answers++;
    }
}

void covey_block_sender_answered(struct covey_block_sender *sender, uint32_t number, uint32_t block,
                                 bool sample, uint64_t now_us)
{
    struct covey_block_transmission *at = find(sender, number);
    sender->heard_us = now_us;
    sender->backoff = 0;
    sender->silent_rounds = 0;
    if (at != NULL && at->state != ANSWERED) {
        if (at->state == FLYING)
            sender->in_flight--;
        if (sample && now_us >= at->sent_us && now_us - at->sent_us <= UINT32_MAX)
            covey_block_path_sample(sender->path, (uint32_t)(now_us - at->sent_us));
        at->state = ANSWERED;
        grow_window(sender);
        count_overtaken(sender, number);
    }
    if (block == COVEY_BLOCK_AS_SENT)
        block = at != NULL ? at->block : UINT32_MAX;
    uint32_t count = sender->config.block_count > 0 ? sender->config.block_count : 1;
    if (block < count)
        mark_answered(sender, block);
}

void covey_block_sender_missing(struct covey_block_sender *sender, const uint32_t *first,
                                const uint32_t *count, size_t range_count)
{
    uint32_t blocks = sender->config.block_count;
    memset(sender->answered, 0xff, covey_block_bitmap_bytes(blocks));
    sender->answered_count = blocks;
    for (size_t i = 0; i < range_count; i++) {
        for (uint32_t n = 0; n < count[i] && first[i] < blocks && n < blocks - first[i]; n++)
            covey_block_sender_forget(sender, first[i] + n);
    }
    for (uint32_t i = 0; i < RING; i++) {
        if (sender->ring[i].state == FLYING) {
            sender->ring[i].state = LOST;
            sender->in_flight--;
        }
    }
}

void covey_block_sender_assume(struct covey_block_sender *sender, const uint8_t *present)
{
    for (uint32_t block = 0; block < sender->config.block_count; block++) {
        if ((present[block / 8] >> (block % 8) & 1) != 0)
            mark_answered(sender, block);
    }
}

void covey_block_sender_forget(struct covey_block_sender *sender, uint32_t block)
{
    if (block >= sender->config.block_count || !is_answered(sender, block))
        return;
    sender->answered[block / 8] = (uint8_t)(sender->answered[block / 8] & ~(1u << (block % 8)));
    sender->answered_count--;
    if (block < sender->cursor)
        sender->cursor = block;
}

uint32_t covey_block_sender_window(const struct covey_block_sender *sender)
{
    uint32_t window = sender->window_x256 / ONE;
    return window > 0 ? window : 1;
}
