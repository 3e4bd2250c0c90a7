/* Interleaved rANS with static frequencies (Duda 2013, "Asymmetric numeral systems", section 3; Giesen 2014,
 * "Interleaved entropy coders").
 *
 * Symbol i of a run belongs to lane i % lane_count. A lane is an integer x in [2^15, 2^31):
 *
 *   decode   slot = x % 4096; symbol = the one whose range has the slot;
 *            x = frequency * (x / 4096) + slot - start;
 *            if x < 2^15 and words are left: x = x * 65536 + the next word
 *
 * A run is the lanes' first states, then the words, 16 bits each, little-endian. Encoding goes backward. It
 * begins with lanes close to 1, not 2^15, so that the last symbols cost no more than they are worth: then no
 * lane needs a word any more, which is why decoding must not read where none are left. A state is written as
 * its length in 5 bits, then what follows its leading one: 6 to 13 bits a lane are lost in all.
 *
 * Decoding is total: any bytes give some symbols. */
#ifndef COVEY_ENTROPY_RANS_H
#define COVEY_ENTROPY_RANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COVEY_RANS_BITS 12
#define COVEY_RANS_SLOTS (1u << COVEY_RANS_BITS)
#define COVEY_RANS_LOW 0x8000u
#define COVEY_RANS_LANES 32
#define COVEY_RANS_STATE_BYTES 144 /* of all lanes at the most */

/* A symbol and how many of the slots are its own: 1 to COVEY_RANS_SLOTS - 1. All together have all slots. */
struct covey_rans_share {
    int8_t symbol;
    uint16_t frequency;
};

/* slots: (COVEY_RANS_SLOTS) frequency | (slot - start) << 12 | symbol << 24.
 * ranges: (256) by symbol as uint8_t, frequency | start << 12; those of other symbols stay as they are. */
void covey_rans_slots(const struct covey_rans_share *shares, size_t count, uint32_t *slots);
void covey_rans_ranges(const struct covey_rans_share *shares, size_t count, uint32_t *ranges);

/* Bits in the order of a little-endian number. Reading past the limit gives zeros. */
struct covey_bit_reader {
    uint64_t held;
    uint32_t held_bits;
    const uint8_t *at, *limit;
};
struct covey_bit_writer {
    uint64_t held;
    uint32_t held_bits;
    bool full; /* something did not fit; stays set */
    uint8_t *at, *limit;
};
uint32_t covey_bits_read(struct covey_bit_reader *reader, uint32_t count);              /* count <= 25 */
void covey_bits_write(struct covey_bit_writer *writer, uint32_t value, uint32_t count); /* count <= 25 */
void covey_bits_flush(struct covey_bit_writer *writer); /* up to a whole byte */

struct covey_rans_reader {
    uint32_t lanes[COVEY_RANS_LANES];
    uint32_t lane_count; /* a power of two */
    const uint8_t *words, *end;
};
void covey_rans_open(struct covey_rans_reader *reader, const uint8_t *begin, const uint8_t *end,
                     uint32_t lane_count);
/* count: a multiple of COVEY_RANS_LANES, but for the last call. */
void covey_rans_read(struct covey_rans_reader *reader, const uint32_t *slots, size_t count, int8_t *symbols);

/* Symbols of one set of frequencies among those of a run; their lanes are counted from the first of them. */
struct covey_rans_part {
    const uint32_t *ranges; /* (256) */
    const int8_t *symbols;
    size_t count; /* a multiple of COVEY_RANS_LANES, but of the last part */
};
/* Writes the run that the parts make up so that it ends at end; returns where it begins, NULL when that would
 * be below limit. What lies between limit and there is overwritten. */
uint8_t *covey_rans_write_parts(const struct covey_rans_part *parts, size_t part_count, uint32_t lane_count,
                                uint8_t *limit, uint8_t *end);
uint8_t *covey_rans_write(const uint32_t *ranges, const int8_t *symbols, size_t count, uint32_t lane_count,
                          uint8_t *limit, uint8_t *end);

#endif
