/* The block transfer in virtual time, over a simulated network that delays, loses, repeats, reorders and has
 * a rate. Nothing here takes real time; the figures it asserts are those of the point 8, without the
 * machine's share. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/blockwise.h"
#include "covey/random.h"

#define KIB 1024u
#define EVENTS 4096
#define REQUEST_OVERHEAD 97 /* bytes of framing of a block and of its answer (docs/transport.md) */
#define ANSWER_BYTES 52

/* ---------------------------------------------------------------- the network */

struct network {
    uint32_t round_trip_us;
    double loss;    /* each way */
    double repeat;  /* each way */
    double reorder; /* share of datagrams that come late */
    uint32_t late_us;
    uint64_t bits_per_s; /* each way; 0 = no limit */
    uint32_t queue_us;   /* what waits longer than this is dropped; 0 = no limit */
};

struct event {
    uint64_t at_us;
    uint64_t order;
    uint32_t block, number;
    bool up;
};

struct world {
    struct network network;
    struct covey_random random;
    struct event heap[EVENTS];
    size_t count;
    uint64_t order;
    uint64_t free_us[2]; /* when the link is free again, up and down */
    uint64_t sent[2];
};

static bool sooner(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct world *world, struct event event)
{
    cr_assert_lt(world->count, EVENTS);
    event.order = world->order++;
    size_t i = world->count++;
    while (i > 0 && sooner(&event, &world->heap[(i - 1) / 2])) {
        world->heap[i] = world->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    world->heap[i] = event;
}

static struct event pop(struct world *world)
{
    struct event top = world->heap[0], last = world->heap[--world->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= world->count)
            break;
        if (child + 1 < world->count && sooner(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!sooner(&world->heap[child], &last))
            break;
        world->heap[i] = world->heap[child];
        i = child;
    }
    if (world->count > 0)
        world->heap[i] = last;
    return top;
}

static void send_once(struct world *world, uint64_t now, bool up, uint32_t block, uint32_t number,
                      size_t bytes)
{
    const struct network *network = &world->network;
    uint64_t at = now;
    if (network->bits_per_s > 0) {
        uint64_t *free_us = &world->free_us[up ? 0 : 1];
        uint64_t start = *free_us > now ? *free_us : now;
        if (network->queue_us > 0 && start - now > network->queue_us)
            return;
        *free_us = start + bytes * 8 * 1000000 / network->bits_per_s;
        at = *free_us;
    }
    if (covey_random_double(&world->random) < network->loss)
        return;
    at += network->round_trip_us / 2;
    if (covey_random_double(&world->random) < network->reorder)
        at += covey_random_below(&world->random, network->late_us) + 1;
    push(world, (struct event){.at_us = at, .block = block, .number = number, .up = up});
}

static void send(struct world *world, uint64_t now, bool up, uint32_t block, uint32_t number, size_t bytes)
{
    world->sent[up ? 0 : 1]++;
    send_once(world, now, up, block, number, bytes);
    if (covey_random_double(&world->random) < world->network.repeat)
        send_once(world, now, up, block, number, bytes);
}

/* ---------------------------------------------------------------- one transfer over it */

struct transfer {
    bool upload, size_known;
    uint64_t bytes;
    uint16_t window;
    enum covey_congestion_rule rule;
    uint32_t start_rto_us;
    uint32_t separate_us;          /* delay of the last answer */
    struct covey_block_path *path; /* kept from before; NULL = a new one */
};

struct outcome {
    bool complete;
    double seconds;
    uint64_t blocks, transmissions, repeats;
    uint32_t largest_window;
};

static struct outcome run(const struct transfer *transfer, const struct network *network, uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    world->network = *network;
    covey_random_init(&world->random, seed, 7, 0, COVEY_PURPOSE_TEST);
    uint32_t blocks = covey_block_count(transfer->bytes, COVEY_BLOCK_BYTES);
    uint8_t *source = malloc(transfer->bytes), *body = calloc(1, transfer->bytes);
    uint8_t *sent_map = malloc(covey_block_bitmap_bytes(blocks)),
            *got_map = malloc(covey_block_bitmap_bytes(blocks));
    uint8_t first_map[1];
    for (uint64_t i = 0; i < transfer->bytes; i++)
        source[i] = (uint8_t)(i * 31 + i / 257);
    struct covey_block_path own_path, *path = transfer->path;
    if (path == NULL) {
        covey_block_path_init(&own_path, transfer->start_rto_us);
        path = &own_path;
    }
    struct covey_block_receiver receiver;
    cr_assert_eq(covey_block_receiver_init(&receiver, body, got_map, transfer->bytes, COVEY_BLOCK_BYTES),
                 COVEY_OK);
    struct covey_block_sender sender;
    bool known = transfer->upload || transfer->size_known;
    struct covey_block_sender_config config = {.block_count = known ? blocks : 0,
                                               .window_blocks = transfer->window,
                                               .last_alone = transfer->upload,
                                               .rule = transfer->rule};
    cr_assert_eq(covey_block_sender_init(&sender, &config, path, known ? sent_map : first_map, 1000),
                 COVEY_OK);

    struct outcome outcome = {.blocks = blocks};
    uint64_t now = 1000, start = 1000;
    for (;;) {
        struct covey_block_action action;
        covey_block_sender_next(&sender, now, &action);
        uint32_t window = covey_block_sender_window(&sender);
        outcome.largest_window = window > outcome.largest_window ? window : outcome.largest_window;
        if (action.step == COVEY_BLOCK_COMPLETE) {
            outcome.complete =
                covey_block_receiver_complete(&receiver) && memcmp(source, body, transfer->bytes) == 0;
            break;
        }
        if (action.step == COVEY_BLOCK_SILENT || now > 600000000ull)
            break;
        if (action.step == COVEY_BLOCK_SEND) {
            outcome.transmissions++;
            cr_assert_leq(sender.in_flight, window);
            if (transfer->upload && action.block == blocks - 1)
                cr_assert_eq(receiver.present_count >= blocks - 1, true, "M=0 goes last");
            send(world, now, true, action.block, action.number,
                 transfer->upload ? COVEY_BLOCK_BYTES + REQUEST_OVERHEAD : ANSWER_BYTES + 30);
            continue;
        }
        if (world->count == 0 || world->heap[0].at_us > action.wake_us) {
            cr_assert_neq(action.wake_us, UINT64_MAX, "nothing on its way and nothing to wait for");
            cr_assert_geq(action.wake_us, now);
            now = action.wake_us;
            continue;
        }
        struct event event = pop(world);
        now = event.at_us;
        uint64_t offset = (uint64_t)event.block * COVEY_BLOCK_BYTES;
        size_t size =
            transfer->bytes - offset < COVEY_BLOCK_BYTES ? transfer->bytes - offset : COVEY_BLOCK_BYTES;
        struct covey_bytes data = {source + offset, size};
        bool more = event.block + 1 < blocks;
        if (event.up) {
            if (transfer->upload) {
                enum covey_status status = covey_block_receiver_put(&receiver, event.block, more, data);
                cr_assert(status == COVEY_OK || status == COVEY_EXISTS);
            }
            uint64_t answer_at = transfer->upload && !more ? now + transfer->separate_us : now;
            send(world, answer_at, false, event.block, event.number,
                 transfer->upload ? ANSWER_BYTES : COVEY_BLOCK_BYTES + ANSWER_BYTES);
        } else {
            if (!transfer->upload) {
                if (sender.config.block_count == 0)
                    cr_assert_eq(covey_block_sender_set_count(&sender, blocks, sent_map), COVEY_OK);
                enum covey_status status = covey_block_receiver_put(&receiver, event.block, more, data);
                cr_assert(status == COVEY_OK || status == COVEY_EXISTS);
            }
            covey_block_sender_answered(&sender, event.number, event.block, more, now);
        }
    }
    outcome.seconds = (double)(now - start) / 1e6;
    outcome.repeats = sender.repeated;
    free(source);
    free(body);
    free(sent_map);
    free(got_map);
    free(world);
    return outcome;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct series {
    double median, worst;
    int complete, runs;
    double repeated_share; /* of all transmissions, worst run */
};

static struct series repeat(const struct transfer *transfer, const struct network *network, int runs)
{
    double *seconds = malloc((size_t)runs * sizeof *seconds);
    struct series series = {.runs = runs};
    for (int i = 0; i < runs; i++) {
        struct outcome outcome = run(transfer, network, (uint64_t)i + 1);
        seconds[i] = outcome.seconds;
        series.complete += outcome.complete;
        double share = (double)outcome.repeats / (double)outcome.blocks;
        series.repeated_share = share > series.repeated_share ? share : series.repeated_share;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
    series.median = seconds[runs / 2];
    series.worst = seconds[runs - 1];
    free(seconds);
    return series;
}

#define AT_MOST(value, limit)                                                                                \
    cr_assert((value) <= (limit), #value " is %g, over %g", (double)(value), (double)(limit))

/* ---------------------------------------------------------------- point 8 of the issue */

static const struct network clean = {.round_trip_us = 40000};
static const struct network five = {.round_trip_us = 40000, .loss = .05};
static const struct network twenty = {.round_trip_us = 40000, .loss = .2};
static const struct network megabit = {.round_trip_us = 40000, .bits_per_s = 1000000};

static const struct transfer uploads = {.upload = true, .bytes = 256 * KIB, .start_rto_us = 200000};
static const struct transfer downloads = {.bytes = 256 * KIB, .start_rto_us = 200000, .size_known = true};

Test(blockwise, forty_milliseconds_clean)
{
    struct series up = repeat(&uploads, &clean, 1), down = repeat(&downloads, &clean, 1);
    cr_assert_eq(up.complete + down.complete, 2);
    AT_MOST(up.worst, .6);
    AT_MOST(down.worst, .6);
    AT_MOST(up.repeated_share, 0);
    AT_MOST(down.repeated_share, 0);
}

Test(blockwise, five_percent_loss)
{
    struct series up = repeat(&uploads, &five, 200), down = repeat(&downloads, &five, 200);
    cr_assert_eq(up.complete, 200);
    cr_assert_eq(down.complete, 200);
    AT_MOST(up.median, .8);
    AT_MOST(down.median, .8);
    AT_MOST(up.worst, 1.5);
    AT_MOST(down.worst, 1.5);
}

Test(blockwise, twenty_percent_loss)
{
    struct series up = repeat(&uploads, &twenty, 500), down = repeat(&downloads, &twenty, 500);
    cr_assert_eq(up.complete, 500);
    cr_assert_eq(down.complete, 500);
    AT_MOST(up.worst, 10);
    AT_MOST(down.worst, 10);
}

Test(blockwise, one_megabit)
{
    struct series up = repeat(&uploads, &megabit, 1), down = repeat(&downloads, &megabit, 1);
    cr_assert_eq(up.complete + down.complete, 2);
    AT_MOST(up.worst, 3);
    AT_MOST(down.worst, 3);
    AT_MOST(up.repeated_share, .15);
    AT_MOST(down.repeated_share, .15);
}

/* ---------------------------------------------------------------- other networks */

Test(blockwise, every_network_delivers)
{
    static const struct {
        const char *name;
        struct network network;
        double limit_s, limit_repeats;
    } table[] = {
        {"loopback", {.round_trip_us = 200}, .1, 0},
        {"satellite", {.round_trip_us = 600000}, 9, .2},
        {"200 ms, 5 %", {.round_trip_us = 200000, .loss = .05}, 4, .6},
        {"250 kbit/s", {.round_trip_us = 40000, .bits_per_s = 250000}, 11, .1},
        {"250 kbit/s, short queue",
         {.round_trip_us = 40000, .bits_per_s = 250000, .queue_us = 300000},
         12,
         .3},
        {"repeats", {.round_trip_us = 40000, .repeat = .3}, .6, 0},
        {"reordering", {.round_trip_us = 40000, .reorder = .3, .late_us = 30000}, 1.2, .2},
        {"everything",
         {.round_trip_us = 60000,
          .loss = .1,
          .repeat = .1,
          .reorder = .2,
          .late_us = 20000,
          .bits_per_s = 4000000},
         3,
         .6},
        {"two fifths lost", {.round_trip_us = 20000, .loss = .4}, 30, 8},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int direction = 0; direction < 4; direction++) {
            struct transfer transfer = direction % 2 == 0 ? uploads : downloads;
            transfer.rule = direction < 2 ? COVEY_CONGESTION_GATED : COVEY_CONGESTION_STANDARD;
            struct series series = repeat(&transfer, &table[i].network, 20);
            cr_assert_eq(series.complete, 20, "%s", table[i].name);
            if (transfer.rule == COVEY_CONGESTION_GATED) {
                cr_assert(series.worst <= table[i].limit_s, "%s: %g s", table[i].name, series.worst);
                cr_assert(series.repeated_share <= table[i].limit_repeats, "%s: %g repeated", table[i].name,
                          series.repeated_share);
            }
        }
    }
}

Test(blockwise, one_by_one)
{
    struct transfer transfer = uploads;
    transfer.window = 1;
    transfer.bytes = 20 * KIB + 5;
    struct outcome outcome = run(&transfer, &clean, 1);
    cr_assert(outcome.complete);
    cr_assert_eq(outcome.largest_window, 1);
    cr_assert_eq(outcome.transmissions, 21);
    cr_assert(fabs(outcome.seconds - 21 * .04) < .001);
}

Test(blockwise, size_not_known_before)
{
    struct transfer transfer = downloads;
    transfer.size_known = false;
    struct series series = repeat(&transfer, &five, 50);
    cr_assert_eq(series.complete, 50);
    AT_MOST(series.median, .9);
    transfer.bytes = 1;
    cr_assert_eq(repeat(&transfer, &five, 50).complete, 50);
}

Test(blockwise, the_standard_rule_is_slower_under_loss)
{
    struct transfer transfer = uploads;
    double gated = repeat(&transfer, &twenty, 40).median;
    transfer.rule = COVEY_CONGESTION_STANDARD;
    struct series standard = repeat(&transfer, &twenty, 40);
    cr_assert_eq(standard.complete, 40);
    cr_assert(standard.median > 2 * gated, "%g against %g s", standard.median, gated);
}

Test(blockwise, the_round_trip_is_kept_between_transfers)
{
    struct covey_block_path path;
    covey_block_path_init(&path, 0);
    struct transfer transfer = uploads;
    transfer.path = &path;
    cr_assert(run(&transfer, &clean, 1).complete);
    cr_assert(path.srtt_us >= 40000 && path.srtt_us < 45000);
    uint32_t rto = covey_block_path_rto_us(&path);
    cr_assert(rto >= 60000 && rto < 120000, "%u", rto);
    cr_assert_eq(repeat(&transfer, &twenty, 1).complete, 1);
}

Test(blockwise, a_slow_last_answer_is_no_sample)
{
    struct covey_block_path path;
    covey_block_path_init(&path, 0);
    struct transfer transfer = uploads;
    transfer.path = &path;
    transfer.separate_us = 700000;
    struct outcome outcome = run(&transfer, &clean, 1);
    cr_assert(outcome.complete);
    AT_MOST(path.srtt_us, 45000);
    AT_MOST(outcome.repeats, 6);
}

/* ---------------------------------------------------------------- parts */

Test(blockwise, silence_ends)
{
    struct network dead = {.round_trip_us = 40000, .loss = 1};
    struct outcome outcome = run(&uploads, &dead, 1);
    cr_assert_not(outcome.complete);
    AT_MOST(outcome.seconds, 90);
    AT_MOST(outcome.transmissions, 60);
}

/* A block that never arrives, as one too long for the network, is given up although others pass. */
Test(blockwise, a_block_that_never_passes)
{
    struct covey_block_path path;
    uint8_t map[1];
    struct covey_block_sender sender;
    struct covey_block_sender_config config = {.block_count = 4};
    covey_block_path_init(&path, 50000);
    cr_assert_eq(covey_block_sender_init(&sender, &config, &path, map, 0), COVEY_OK);
    uint64_t now = 0;
    int sent = 0;
    struct covey_block_action action;
    for (int i = 0; i < 1000; i++) {
        covey_block_sender_next(&sender, now, &action);
        if (action.step == COVEY_BLOCK_WAIT)
            now = action.wake_us;
        else if (action.step == COVEY_BLOCK_SEND && action.block != 2)
            covey_block_sender_answered(&sender, action.number, action.block, true, now + 1);
        else if (action.step == COVEY_BLOCK_SEND)
            sent++;
        else
            break;
    }
    cr_assert_eq(action.step, COVEY_BLOCK_SILENT);
    cr_assert_eq(sent, COVEY_BLOCK_TRANSMISSIONS);
}

Test(blockwise, missing_blocks_go_again)
{
    struct covey_block_path path;
    uint8_t map[4];
    struct covey_block_sender sender;
    struct covey_block_sender_config config = {.block_count = 30, .last_alone = true};
    covey_block_path_init(&path, 0);
    cr_assert_eq(covey_block_sender_init(&sender, &config, &path, map, 0), COVEY_OK);
    struct covey_block_action action;
    covey_block_sender_next(&sender, 1, &action);
    uint32_t first[] = {3, 28, 1000}, count[] = {2, 50, 1};
    covey_block_sender_missing(&sender, first, count, 3);
    uint32_t expected[] = {3, 4, 28};
    uint32_t numbers[4];
    for (int i = 0; i < 3; i++) {
        covey_block_sender_next(&sender, 2, &action);
        cr_assert_eq(action.step, COVEY_BLOCK_SEND);
        cr_assert_eq(action.block, expected[i]);
        numbers[i] = action.number;
    }
    covey_block_sender_next(&sender, 2, &action);
    cr_assert_eq(action.step, COVEY_BLOCK_WAIT, "the last block waits for the others");
    for (int i = 0; i < 3; i++)
        covey_block_sender_answered(&sender, numbers[i], COVEY_BLOCK_AS_SENT, true, 50);
    covey_block_sender_next(&sender, 60, &action);
    cr_assert_eq(action.step, COVEY_BLOCK_SEND);
    cr_assert_eq(action.block, 29);
    covey_block_sender_answered(&sender, action.number, 29, true, 99);
    covey_block_sender_next(&sender, 100, &action);
    cr_assert_eq(action.step, COVEY_BLOCK_COMPLETE);
    covey_block_sender_forget(&sender, 29);
    covey_block_sender_next(&sender, 100, &action);
    cr_assert_eq(action.step, COVEY_BLOCK_SEND);
}

Test(blockwise, strange_answers_do_no_harm)
{
    struct covey_block_path path;
    uint8_t map[2];
    struct covey_block_sender sender;
    struct covey_block_sender_config config = {.block_count = 9};
    covey_block_path_init(&path, 0);
    cr_assert_eq(covey_block_sender_init(&sender, &config, &path, map, 0), COVEY_OK);
    struct covey_random random;
    covey_random_init(&random, 1, 2, 3, COVEY_PURPOSE_TEST);
    for (int i = 0; i < 20000; i++) {
        struct covey_block_action action;
        covey_block_sender_next(&sender, (uint64_t)i * 1000, &action);
        if (action.step == COVEY_BLOCK_SILENT)
            break;
        covey_block_sender_answered(&sender, covey_random_below(&random, 40),
                                    9 + covey_random_u32(&random) / 2, true, (uint64_t)i * 1000);
        cr_assert_leq(sender.in_flight, COVEY_WINDOW_BLOCKS);
        cr_assert_leq(sender.answered_count, 9);
    }
}

Test(blockwise, receiver_sizes)
{
    struct covey_block_receiver receiver;
    static uint8_t body[4096], map[8];
    static const struct {
        uint64_t total;
        uint32_t block;
        enum covey_status status;
    } table[] = {
        {0, 1024, COVEY_RANGE},
        {1, 1024, COVEY_OK},
        {4096, 1024, COVEY_OK},
        {4096, 0, COVEY_RANGE},
        {4096, 8, COVEY_RANGE},
        {4096, 48, COVEY_RANGE},
        {4096, 2048, COVEY_RANGE},
        {4ull << 30, 1024, COVEY_RANGE},
        {UINT64_MAX, 1024, COVEY_RANGE},
        {COVEY_BODY_BYTES, 1024, COVEY_RANGE},
        {(uint64_t)COVEY_BLOCK_COUNT * 16 + 1, 16, COVEY_RANGE},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint32_t count = covey_block_count(table[i].total, table[i].block);
        cr_assert_eq(count > 0, table[i].status == COVEY_OK, "%zu", i);
        if (count <= 64)
            cr_assert_eq(covey_block_receiver_init(&receiver, body, map, table[i].total, table[i].block),
                         table[i].status, "%zu", i);
    }
}

Test(blockwise, receiver_puts)
{
    struct covey_block_receiver receiver;
    static uint8_t body[40], map[1], data[64] = {1, 2, 3}, other[64];
    cr_assert_eq(covey_block_receiver_init(&receiver, body, map, 40, 16), COVEY_OK);
    cr_assert_eq(receiver.block_count, 3);
    static const struct {
        uint32_t block;
        bool more;
        size_t size;
        bool other;
        enum covey_status status;
    } table[] = {
        {1, true, 16, false, COVEY_OK},
        {1, true, 16, false, COVEY_EXISTS},
        {1, true, 16, true, COVEY_CONFLICT},
        {3, true, 16, false, COVEY_RANGE},
        {UINT32_MAX, false, 8, false, COVEY_RANGE},
        {0, false, 16, false, COVEY_MISMATCH},
        {0, true, 15, false, COVEY_MISMATCH},
        {0, true, 17, false, COVEY_MISMATCH},
        {2, true, 16, false, COVEY_MISMATCH},
        {2, false, 16, false, COVEY_MISMATCH},
        {2, false, 8, false, COVEY_OK},
        {0, true, 16, false, COVEY_OK},
    };
    uint32_t first[4], count[4];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        cr_assert_not(covey_block_receiver_complete(&receiver));
        struct covey_bytes bytes = {table[i].other ? other : data, table[i].size};
        cr_assert_eq(covey_block_receiver_put(&receiver, table[i].block, table[i].more, bytes),
                     table[i].status, "%zu", i);
        if (i == 0) {
            cr_assert_eq(covey_block_receiver_missing(&receiver, first, count, 4), 2);
            cr_assert(first[0] == 0 && count[0] == 1 && first[1] == 2 && count[1] == 1);
            cr_assert_eq(covey_block_receiver_missing(&receiver, first, count, 1), 1);
        }
    }
    cr_assert(covey_block_receiver_complete(&receiver));
    cr_assert_eq(covey_block_receiver_missing(&receiver, first, count, 4), 0);
}

/* A million blocks: the bookkeeping stays cheap. */
Test(blockwise, a_gigabyte_of_blocks, .timeout = 60)
{
    struct covey_block_path path;
    uint8_t *map = malloc(covey_block_bitmap_bytes(COVEY_BLOCK_COUNT));
    struct covey_block_sender sender;
    struct covey_block_sender_config config = {.block_count = COVEY_BLOCK_COUNT, .last_alone = true};
    covey_block_path_init(&path, 0);
    cr_assert_eq(covey_block_sender_init(&sender, &config, &path, map, 0), COVEY_OK);
    struct covey_block_action action;
    uint64_t now = 0;
    for (;;) {
        covey_block_sender_next(&sender, now, &action);
        if (action.step != COVEY_BLOCK_SEND)
            break;
        now += 10;
        covey_block_sender_answered(&sender, action.number, action.block, true, now);
    }
    cr_assert_eq(action.step, COVEY_BLOCK_COMPLETE);
    cr_assert_eq(sender.next_number, COVEY_BLOCK_COUNT);
    config.block_count = COVEY_BLOCK_COUNT + 1;
    cr_assert_eq(covey_block_sender_init(&sender, &config, &path, map, 0), COVEY_RANGE);
    free(map);
}
