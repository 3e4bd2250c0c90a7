#include "entropy_rans.h"

#include <endian.h>
#include <string.h>

#include "entropy_kernels.h"

#define FREQUENCY(packed) ((packed) & (COVEY_RANS_SLOTS - 1))
#define START(packed) ((packed) >> COVEY_RANS_BITS)
#define LENGTH_BITS 5
#define GROUP_WORD_BYTES (2 * COVEY_RANS_LANES)

/* ---- tables ---- */

void covey_rans_slots(const struct covey_rans_share *shares, size_t count, uint32_t *slots)
{
    size_t slot = 0;
    for (size_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < shares[i].frequency; j++)
            slots[slot++] =
                shares[i].frequency | j << COVEY_RANS_BITS | (uint32_t)(uint8_t)shares[i].symbol << 24;
}

void covey_rans_ranges(const struct covey_rans_share *shares, size_t count, uint32_t *ranges)
{
    uint32_t start = 0;
    for (size_t i = 0; i < count; i++) {
        ranges[(uint8_t)shares[i].symbol] = shares[i].frequency | start << COVEY_RANS_BITS;
        start += shares[i].frequency;
    }
}

/* ---- bits ---- */

uint32_t covey_bits_read(struct covey_bit_reader *reader, uint32_t count)
{
    while (reader->held_bits < count) {
        reader->held |= (uint64_t)(reader->at < reader->limit ? *reader->at++ : 0) << reader->held_bits;
        reader->held_bits += 8;
    }
    const uint32_t value = (uint32_t)(reader->held & ((1u << count) - 1));
    reader->held >>= count;
    reader->held_bits -= count;
    return value;
}

static void put_byte(struct covey_bit_writer *writer)
{
    if (writer->at == writer->limit)
        writer->full = true;
    else
        *writer->at++ = (uint8_t)writer->held;
}

void covey_bits_write(struct covey_bit_writer *writer, uint32_t value, uint32_t count)
{
    writer->held |= (uint64_t)value << writer->held_bits;
    writer->held_bits += count;
    for (; writer->held_bits >= 8; writer->held_bits -= 8, writer->held >>= 8)
        put_byte(writer);
}

void covey_bits_flush(struct covey_bit_writer *writer)
{
    if (writer->held_bits > 0)
        put_byte(writer);
    writer->held = 0;
    writer->held_bits = 0;
}

/* ---- decoding ---- */

void covey_rans_open(struct covey_rans_reader *reader, const uint8_t *begin, const uint8_t *end,
                     uint32_t lane_count)
{
    struct covey_bit_reader bits = {.at = begin, .limit = end};
    reader->lane_count = lane_count;
    reader->end = end;
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        const uint32_t length = covey_bits_read(&bits, LENGTH_BITS);
        uint32_t x = length > 0;
        if (length > 1) { /* in two parts, as bits are read by at most 25 */
            const uint32_t low = (length - 1) / 2, high = length - 1 - low;
            const uint32_t below = covey_bits_read(&bits, low);
            x = (x << high | covey_bits_read(&bits, high)) << low | below;
        }
        reader->lanes[lane] = x;
    }
    reader->words = bits.at;
}

static uint32_t step(struct covey_rans_reader *reader, uint32_t packed, uint32_t x)
{
    x = FREQUENCY(packed) * (x >> COVEY_RANS_BITS) + (packed >> COVEY_RANS_BITS & (COVEY_RANS_SLOTS - 1));
    if (x < COVEY_RANS_LOW && reader->end - reader->words >= 2) {
        x = x << 16 | reader->words[0] | (uint32_t)reader->words[1] << 8;
        reader->words += 2;
    }
    return x;
}

void covey_rans_read(struct covey_rans_reader *reader, const uint32_t *slots, size_t count, int8_t *symbols)
{
    size_t done = 0;
    if (reader->lane_count == COVEY_RANS_LANES)
        done = COVEY_RANS_LANES * covey_entropy_kernels_at(0)->decode(slots, reader->lanes, &reader->words,
                                                                      reader->end, count / COVEY_RANS_LANES,
                                                                      symbols);
    for (size_t i = done; i < count; i++) {
        uint32_t *lane = &reader->lanes[i & (reader->lane_count - 1)];
        const uint32_t packed = slots[*lane & (COVEY_RANS_SLOTS - 1)];
        symbols[i] = (int8_t)(packed >> 24);
        *lane = step(reader, packed, *lane);
    }
}

/* ---- encoding ---- */

/* The lane takes in a symbol of this range. */
static uint32_t push(uint32_t x, uint32_t range)
{
    const uint32_t frequency = FREQUENCY(range);
    return (x / frequency << COVEY_RANS_BITS) + x % frequency + START(range);
}

/* At this state the lane must first give a word away. */
static uint32_t overflow(uint32_t range)
{
    return FREQUENCY(range) << (31 - COVEY_RANS_BITS);
}

/* Where the writer stands in a run: in front of symbol `left` of part `part`. */
struct place {
    size_t part, left;
};

/* The lane after its symbols from `from` on, if it begins at x. */
static uint32_t replay(const struct covey_rans_part *parts, size_t part_count, struct place from,
                       uint32_t lane, uint32_t lane_count, uint32_t x)
{
    for (size_t part = part_count; part-- > from.part;)
        for (size_t i = parts[part].count; i-- > (part == from.part ? from.left : 0);)
            if ((i & (lane_count - 1)) == lane)
                x = push(x, parts[part].ranges[(uint8_t)parts[part].symbols[i]]);
    return x;
}

/* As many of the last symbols as leave all lanes below what asks for a word. */
static struct place fill(const struct covey_rans_part *parts, size_t part_count, uint32_t lane_count,
                         uint32_t *lanes)
{
    for (uint32_t lane = 0; lane < lane_count; lane++)
        lanes[lane] = 1;
    for (size_t part = part_count; part-- > 0;) {
        for (size_t left = parts[part].count; left > 0; left--) {
            uint32_t *lane = &lanes[(left - 1) & (lane_count - 1)];
            const uint32_t range = parts[part].ranges[(uint8_t)parts[part].symbols[left - 1]];
            if (*lane >= overflow(range))
                return (struct place){part, left};
            *lane = push(*lane, range);
        }
    }
    return (struct place){0, 0};
}

/* The last symbols, down to the place that is returned, after which words begin: all lanes are in range
 * there, so that none of them asks for a word later on. */
static struct place prime(const struct covey_rans_part *parts, size_t part_count, uint32_t lane_count,
                          uint32_t *lanes)
{
    const struct place place = fill(parts, part_count, lane_count, lanes);
    /* What a lane begins at multiplies what it ends at, roughly. */
    for (uint32_t lane = 0; place.left > 0 && lane < lane_count; lane++)
        for (uint32_t x = 2 * (COVEY_RANS_LOW / lanes[lane]) + 2; lanes[lane] < COVEY_RANS_LOW; x *= 2)
            lanes[lane] = replay(parts, part_count, place, lane, lane_count, x);
    return place;
}

static size_t pack_states(const uint32_t *lanes, uint32_t lane_count, uint8_t *out)
{
    struct covey_bit_writer bits = {.at = out, .limit = out + COVEY_RANS_STATE_BYTES};
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        const uint32_t length = 32 - (uint32_t)__builtin_clz(lanes[lane]);
        const uint32_t low = (length - 1) / 2, high = length - 1 - low;
        covey_bits_write(&bits, length, LENGTH_BITS);
        covey_bits_write(&bits, lanes[lane] & ((1u << low) - 1), low);
        covey_bits_write(&bits, lanes[lane] >> low & ((1u << high) - 1), high);
    }
    covey_bits_flush(&bits);
    return (size_t)(bits.at - out);
}

/* The first `left` symbols of a part, from the last to the first. Returns where their words begin, NULL when
 * that would be below limit. */
static uint8_t *write_part(const struct covey_rans_part *part, size_t left, uint32_t lane_count,
                           uint32_t *lanes, const uint8_t *limit, uint8_t *end)
{
    const struct covey_entropy_kernels *kernels = covey_entropy_kernels_at(0);
    while (left > 0) {
        if (end - limit < GROUP_WORD_BYTES + 16)
            return NULL;
        if (lane_count == COVEY_RANS_LANES && left % COVEY_RANS_LANES == 0) {
            const size_t room = (size_t)(end - limit - 16) / GROUP_WORD_BYTES, all = left / COVEY_RANS_LANES;
            const size_t groups = all < room ? all : room;
            left -= groups * COVEY_RANS_LANES;
            end = kernels->encode(part->ranges, lanes, part->symbols + left, groups, end);
            continue;
        }
        uint32_t *lane = &lanes[--left & (lane_count - 1)];
        const uint32_t range = part->ranges[(uint8_t)part->symbols[left]];
        if (*lane >= overflow(range)) {
            *--end = (uint8_t)(*lane >> 8);
            *--end = (uint8_t)*lane;
            *lane >>= 16;
        }
        *lane = push(*lane, range);
    }
    return end;
}

uint8_t *covey_rans_write_parts(const struct covey_rans_part *parts, size_t part_count, uint32_t lane_count,
                                uint8_t *limit, uint8_t *end)
{
    uint32_t lanes[COVEY_RANS_LANES];
    uint8_t states[COVEY_RANS_STATE_BYTES];
    struct place place = prime(parts, part_count, lane_count, lanes);
    while (place.left > 0) {
        end = write_part(&parts[place.part], place.left, lane_count, lanes, limit, end);
        if (end == NULL)
            return NULL;
        place.left = place.part > 0 ? parts[--place.part].count : 0;
    }
    const size_t state_bytes = pack_states(lanes, lane_count, states);
    if ((size_t)(end - limit) < state_bytes)
        return NULL;
    memcpy(end - state_bytes, states, state_bytes);
    return end - state_bytes;
}

uint8_t *covey_rans_write(const uint32_t *ranges, const int8_t *symbols, size_t count, uint32_t lane_count,
                          uint8_t *limit, uint8_t *end)
{
    return covey_rans_write_parts(&(struct covey_rans_part){ranges, symbols, count}, 1, lane_count, limit,
                                  end);
}
