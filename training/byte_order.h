/* Elements of files that were written in either byte order, at any alignment. */
#ifndef COVEY_BYTE_ORDER_H
#define COVEY_BYTE_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t covey_load_u16(const void *at, bool swapped)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return swapped ? __builtin_bswap16(value) : value;
}

static inline uint32_t covey_load_u32(const void *at, bool swapped)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return swapped ? __builtin_bswap32(value) : value;
}

static inline uint64_t covey_load_u64(const void *at, bool swapped)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return swapped ? __builtin_bswap64(value) : value;
}

static inline float covey_load_f32(const void *at, bool swapped)
{
    uint32_t bits = covey_load_u32(at, swapped);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double covey_load_f64(const void *at, bool swapped)
{
    uint64_t bits = covey_load_u64(at, swapped);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* count elements of 2, 4 or 8 bytes turned round in place. */
void covey_swap_elements(void *values, size_t count, size_t element_bytes);

#endif
