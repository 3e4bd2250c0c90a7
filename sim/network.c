/* Links: what classes there are, and how long a transfer takes on one. A transfer is the house's own
 * blockwise sender against its own receiver (common/blockwise), driven by a virtual clock over two pipes,
 * there and back, each with a rate, half of the round trip and seeded loss. Datagrams weigh what
 * covey/inprocess counts for them. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "covey/blockwise.h"
#include "covey/inprocess.h"
#include "covey/limits.h"
#include "world_parts.h"

#define IP_UDP_BYTES 28u /* on the air, not counted in traffic: IPv4 20, UDP 8 */
#define ANSWERS 256      /* on their way at the most */
#define GIVEN_UP_US (24ull * 3600 * 1000000)

/* ------------------------------------------------------------------ the catalogue */

/* Rates are what IP sees; joules of a byte are power over rate. Round trips and losses are usual ones of the
 * technology, chosen here, where no source is named. */
static const struct link_class classes[] = {
    {.name = "perfect", .source = "no time at all; bytes are counted"},
    {.name = "ethernet",
     .up_bits_per_s = 100e6,
     .down_bits_per_s = 100e6,
     .round_trip_ms = 1,
     .joules_per_byte_up = 5e-8,
     .joules_per_byte_down = 5e-8,
     .source = "IEEE 802.3u"},
    {.name = "wifi",
     .up_bits_per_s = 24e6,
     .down_bits_per_s = 24e6,
     .round_trip_ms = 10,
     .loss = .005,
     .joules_per_byte_up = 7e-6,
     .joules_per_byte_down = 7e-6,
     .source = "a third of 802.11n's 72 Mbit/s; joules: Balasubramanian et al. 2009, IMC, table 4"},
    {.name = "lte-m",
     .up_bits_per_s = 375e3,
     .down_bits_per_s = 300e3,
     .round_trip_ms = 100,
     .loss = .01,
     .joules_per_byte_up = 15e-6,
     .joules_per_byte_down = 7e-6,
     .source = "Cat-M1 half duplex, 3GPP release 13; joules: u-blox SARA-R410M, 190 mA at 3.8 V"},
    {.name = "nb-iot",
     .up_bits_per_s = 62.5e3,
     .down_bits_per_s = 26e3,
     .round_trip_ms = 1600,
     .loss = .01,
     .joules_per_byte_up = 100e-6,
     .joules_per_byte_down = 51e-6,
     .source = "Cat-NB1 multi-tone, 3GPP release 13; joules: u-blox SARA-N2, 220 mA at 3.6 V"},
    {.name = "802.15.4",
     .up_bits_per_s = 100e3,
     .down_bits_per_s = 100e3,
     .round_trip_ms = 30,
     .loss = .02,
     .joules_per_byte_up = 5.8e-6,
     .joules_per_byte_down = 4.8e-6,
     .source = "250 kbit/s less 6LoWPAN (RFC 4944) and CSMA; joules: TI CC2538, 24 and 20 mA at 3 V"},
};

const struct link_class *link_class_at(size_t index)
{
    return index < sizeof classes / sizeof classes[0] ? &classes[index] : NULL;
}

const char *link_class_names(char out[256])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof classes / sizeof classes[0] && used < 256; i++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%s", i > 0 ? ", " : "", classes[i].name);
    return out;
}

const struct link_class *link_class_find(const char *name)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    return NULL;
}

/* ------------------------------------------------------------------ one transfer */

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

/* The answer that is due first; NULL: none is on its way. */
static struct answer *first_answer(struct transfer_run *run)
{
    struct answer *first = NULL;
    for (uint32_t i = 0; i < run->answer_count; i++)
        if (first == NULL || run->answers[i].due_us < first->due_us)
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

/* Framing as the in-process transport counts it, of a path of the usual length. */
static void weigh(struct transfer_run *run)
{
    static const char path[] = "f/federation/a/0123456789abcdef";
    const struct covey_inprocess_weight whole = covey_inprocess_weigh(path, (size_t)run->body_bytes);
    const struct covey_inprocess_weight request = covey_inprocess_weigh(path, 0);
    run->block_framing = (uint32_t)((whole.bytes - run->body_bytes) / whole.datagrams);
    if (!run->is_up)
        run->answer_bytes = (uint32_t)request.bytes;
    else
        run->answer_bytes = whole.answer_datagrams > 0
                                ? (uint32_t)(whole.answer_bytes / whole.answer_datagrams)
                                : COVEY_INPROCESS_ANSWER_BYTES;
}

/* body: (body_bytes) scratch; bitmaps: two of covey_block_bitmap_bytes(blocks). */
static void run_in(const struct link_class *link, uint16_t window_blocks, bool up, uint64_t body_bytes,
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

void network_run(const struct link_class *link, uint16_t window_blocks, bool up, uint64_t body_bytes,
                 struct covey_random *random, struct covey_transfer *out)
{
    if (body_bytes == 0)
        body_bytes = 1;
    const uint32_t blocks = covey_block_count(body_bytes, COVEY_BLOCK_BYTES);
    uint8_t *body = malloc((size_t)body_bytes),
            *bitmaps = malloc(2 * covey_block_bitmap_bytes(blocks == 0 ? 1 : blocks));
    *out = (struct covey_transfer){.failed = true};
    if (blocks != 0 && body != NULL && bitmaps != NULL)
        run_in(link, window_blocks, up, body_bytes, body, bitmaps, random, out);
    free(body);
    free(bitmaps);
}

/* ------------------------------------------------------------------ tables */

#define RUNS_LEAST 64u      /* of one size: quantiles of its distribution; small ones, where a loss is rare */
#define RUNS_MOST 1024u     /* and matters most, have more */
#define RUN_BLOCKS 16384u   /* in all runs of one size, about */
#define TABLE_BLOCKS 16384u /* the largest size that is run; above, the same rate */
#define PARTS 8u            /* sizes within one block */
#define SIZES 336           /* up to TABLE_BLOCKS and one beyond */

/* Sorted by time: the k-th entries of two sizes are the same quantile, so that between them there is a line.
 */
struct size_table {
    uint32_t count;
    struct covey_transfer runs[];
};

struct network {
    const struct link_class *links; /* (count), borrowed */
    uint32_t count;
    uint16_t window_blocks;
    bool exact;
    uint64_t seed;
    pthread_mutex_t making; /* one table at a time */
    _Atomic(struct size_table *) tables[COVEY_SIM_CLASSES][2][SIZES];
};

/* Up to a block by eighths of it, then whole blocks: each up to 64, then 32 an octave. */
static uint64_t size_bytes(uint32_t index)
{
    if (index < PARTS)
        return (index + 1) * (COVEY_BLOCK_BYTES / PARTS);
    index -= PARTS - 1;
    const uint32_t past = index - 63;
    const uint32_t blocks = index < 63 ? index + 1 : (32u + (past & 31u)) << (past / 32 + 1);
    return (uint64_t)blocks * COVEY_BLOCK_BYTES;
}

/* The largest size that is not above; of less than an eighth of a block the first. */
static uint32_t size_index(uint64_t bytes)
{
    if (bytes <= COVEY_BLOCK_BYTES) {
        const uint32_t part = (uint32_t)(bytes / (COVEY_BLOCK_BYTES / PARTS));
        return part == 0 ? 0 : part - 1;
    }
    const uint32_t blocks = (uint32_t)(bytes / COVEY_BLOCK_BYTES);
    if (blocks < 64)
        return PARTS - 1 + blocks - 1;
    const uint32_t octave = 31u - (uint32_t)__builtin_clz(blocks);
    return PARTS - 1 + 63 + 32 * (octave - 6) + ((blocks >> (octave - 5)) & 31u);
}

static int by_time(const void *a, const void *b)
{
    const struct covey_transfer *x = a, *y = b;
    if (x->failed != y->failed)
        return x->failed ? 1 : -1;
    if (x->ms != y->ms)
        return x->ms < y->ms ? -1 : 1;
    return (x->bytes_up > y->bytes_up) - (x->bytes_up < y->bytes_up);
}

static struct size_table *make_table(const struct network *network, uint32_t link, bool up, uint32_t index)
{
    const uint64_t bytes = size_bytes(index);
    const uint32_t blocks = covey_block_count(bytes, COVEY_BLOCK_BYTES);
    const uint32_t enough = RUN_BLOCKS / blocks > RUNS_LEAST ? RUN_BLOCKS / blocks : RUNS_LEAST;
    const uint32_t many = enough < RUNS_MOST ? enough : RUNS_MOST;
    const uint32_t count = network->links[link].loss > 0 ? many : 1; /* without loss all runs are alike */
    struct size_table *table = calloc(1, sizeof *table + count * sizeof table->runs[0]);
    uint8_t *body = malloc((size_t)bytes), *bitmaps = malloc(2 * covey_block_bitmap_bytes(blocks));
    if (table != NULL && body != NULL && bitmaps != NULL) {
        table->count = count;
        for (uint32_t k = 0; k < count; k++) {
            struct covey_random random;
            covey_random_init(&random, network->seed + ((uint64_t)WORLD_RUN << 48),
                              (uint64_t)link << 32 | index << 1 | up, k, COVEY_PURPOSE_NETWORK);
            run_in(&network->links[link], network->window_blocks, up, bytes, body, bitmaps, &random,
                   &table->runs[k]);
        }
        qsort(table->runs, count, sizeof table->runs[0], by_time);
    } else {
        free(table);
        table = NULL;
    }
    free(body);
    free(bitmaps);
    return table;
}

/* NULL when there is no memory. */
static const struct size_table *find_table(struct network *network, uint32_t link, bool up, uint32_t index)
{
    _Atomic(struct size_table *) *place = &network->tables[link][up][index];
    struct size_table *table = atomic_load_explicit(place, memory_order_acquire);
    if (table != NULL)
        return table;
    (void)pthread_mutex_lock(&network->making);
    table = atomic_load_explicit(place, memory_order_acquire);
    if (table == NULL) {
        table = make_table(network, link, up, index);
        atomic_store_explicit(place, table, memory_order_release);
    }
    (void)pthread_mutex_unlock(&network->making);
    return table;
}

static uint64_t between(uint64_t low, uint64_t high, double part)
{
    const double value = (double)low + ((double)high - (double)low) * part;
    return value > 0 ? (uint64_t)(value + 0.5) : 0;
}

/* The last block is seldom full: its missing bytes neither weigh nor take time. */
static void take_off(const struct link_class *link, bool up, uint64_t missing_bytes,
                     struct covey_transfer *out)
{
    const double rate = up ? link->up_bits_per_s : link->down_bits_per_s;
    uint64_t *bytes = up ? &out->bytes_up : &out->bytes_down;
    const uint64_t ms = rate > 0 ? (uint64_t)((double)missing_bytes * 8000 / rate) : 0;
    out->ms -= ms < out->ms ? ms : out->ms;
    *bytes -= missing_bytes < *bytes ? missing_bytes : *bytes;
}

static void look_up(struct network *network, uint32_t link, bool up, uint64_t body_bytes,
                    struct covey_random *random, struct covey_transfer *out)
{
    const uint64_t blocks = (body_bytes + COVEY_BLOCK_BYTES - 1) / COVEY_BLOCK_BYTES;
    const uint64_t whole = blocks > 1 ? blocks * COVEY_BLOCK_BYTES : body_bytes;
    const uint64_t most = (uint64_t)TABLE_BLOCKS * COVEY_BLOCK_BYTES, size = whole < most ? whole : most;
    const uint32_t index = size_index(size), draw = covey_random_u32(random);
    const uint64_t low = size_bytes(index), high = size_bytes(index + 1);
    const struct size_table *below = find_table(network, link, up, index);
    const struct size_table *above = size > low ? find_table(network, link, up, index + 1) : below;
    *out = (struct covey_transfer){.failed = true};
    if (below == NULL || above == NULL)
        return;
    const struct covey_transfer *a = &below->runs[((uint64_t)draw * below->count) >> 32];
    const struct covey_transfer *b = &above->runs[((uint64_t)draw * above->count) >> 32];
    const double part = size > low ? (double)(size - low) / (double)(high - low) : 0;
    const double scale = whole > size ? (double)whole / (double)size : 1;
    out->ms = between(0, between(a->ms, b->ms, part), scale);
    out->bytes_up = between(0, between(a->bytes_up, b->bytes_up, part), scale);
    out->bytes_down = between(0, between(a->bytes_down, b->bytes_down, part), scale);
    out->failed = a->failed || b->failed;
    take_off(&network->links[link], up, (whole < low ? low : whole) - body_bytes, out);
}

enum covey_status network_create(const struct link_class *links, uint32_t count, uint16_t window_blocks,
                                 bool exact, uint64_t seed, struct network **out)
{
    struct network *network = calloc(1, sizeof *network);
    if (network == NULL)
        return COVEY_NO_MEMORY;
    network->links = links;
    network->count = count;
    network->window_blocks = window_blocks;
    network->exact = exact;
    network->seed = seed;
    (void)pthread_mutex_init(&network->making, NULL);
    *out = network;
    return COVEY_OK;
}

void network_destroy(struct network *network)
{
    if (network == NULL)
        return;
    for (uint32_t link = 0; link < COVEY_SIM_CLASSES; link++)
        for (uint32_t up = 0; up < 2; up++)
            for (uint32_t size = 0; size < SIZES; size++)
                free(atomic_load(&network->tables[link][up][size]));
    (void)pthread_mutex_destroy(&network->making);
    free(network);
}

void network_transfer(struct network *network, uint32_t link, bool up, uint64_t body_bytes,
                      struct covey_random *random, struct covey_transfer *out)
{
    if (body_bytes == 0)
        body_bytes = 1;
    if (network->exact)
        network_run(&network->links[link], network->window_blocks, up, body_bytes, random, out);
    else
        look_up(network, link, up, body_bytes, random, out);
}
