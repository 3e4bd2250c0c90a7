/* What the files of the world share. */
#ifndef COVEY_WORLD_PARTS_H
#define COVEY_WORLD_PARTS_H

#include "world.h"

#include "covey/random.h"

/* Streams of the world's generator, beside each other under COVEY_PURPOSE_NETWORK: one word of the key each.
 */
enum world_stream {
    WORLD_CLASS = 1, /* what a device is: its class in round 0; whether it is hostile in round 1 */
    WORLD_SLOW,
    WORLD_VANISH,
    WORLD_LEAVE,
    WORLD_ZONE,
    WORLD_WINDOW, /* of a day */
    WORLD_TRANSFER,
    WORLD_RUN /* a run for a table */
};

/* Two uniform numbers in [0, 1) of (seed, stream, device, round). */
struct world_draw {
    double a, b;
};
struct world_draw world_draw(uint64_t seed, enum world_stream stream, uint32_t device, uint32_t round);

/* ---- device.c ---- */
struct device_class {
    const char *name;
    double flops_per_s; /* sustained in training; of one device */
    double memory_bytes;
    double joules_per_gflop, idle_watts, battery_wh;
    const char *source; /* of the figures */
};
/* NULL past the end; NULL for a name that is not there. */
const struct device_class *device_class_at(size_t index);
const struct device_class *device_class_find(const char *name);
/* "pi-4, pi-5, ..." for messages; out itself. */
const char *device_class_names(char out[256]);

/* ---- link_class.c ---- */
struct link_class {
    const char *name;
    double up_bits_per_s, down_bits_per_s; /* 0: no limit */
    double round_trip_ms;
    double loss; /* of each datagram, each way */
    double joules_per_byte_up, joules_per_byte_down;
    const char *source;
};
const struct link_class *link_class_at(size_t index);
const struct link_class *link_class_find(const char *name);
const char *link_class_names(char out[256]);

/* ---- transfer_run.c ---- */
/* One transfer, run by the real blockwise code: seeded by the generator. */
void transfer_run(const struct link_class *link, uint16_t window_blocks, bool up, uint64_t body_bytes,
                  struct covey_random *random, struct covey_transfer *out);

/* The same in memory of the caller's. body: (body_bytes, above 0) scratch; bitmaps: two of
 * covey_block_bitmap_bytes of its blocks. */
void transfer_run_in(const struct link_class *link, uint16_t window_blocks, bool up, uint64_t body_bytes,
                     uint8_t *body, uint8_t *bitmaps, struct covey_random *random,
                     struct covey_transfer *out);

/* ---- transfer_tables.c ---- */
/* Tables of such runs, made when first asked for; thread-safe. */
struct transfer_tables;
enum covey_status transfer_tables_create(const struct link_class *links, uint32_t count,
                                         uint16_t window_blocks, bool exact, uint64_t seed,
                                         struct transfer_tables **out);
void transfer_tables_destroy(struct transfer_tables *tables);
void transfer_tables_draw(struct transfer_tables *tables, uint32_t link, bool up, uint64_t body_bytes,
                          struct covey_random *random, struct covey_transfer *out);

/* ---- availability.c ---- */
struct availability;
enum covey_status availability_create(const struct covey_scenario *scenario, struct availability **out,
                                      struct covey_error *err);
void availability_destroy(struct availability *availability);
bool availability_at(const struct availability *availability, uint32_t device, uint64_t now_ms,
                     uint64_t *until_ms);

#endif
