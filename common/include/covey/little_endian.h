/* Whole numbers in files and saved state: the low byte first, whatever the machine. */
#ifndef COVEY_LITTLE_ENDIAN_H
#define COVEY_LITTLE_ENDIAN_H

#include <stddef.h>
#include <stdint.h>

/* The low `bytes` (at most 8) bytes of value, into out. */
static inline void covey_little_put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

/* in: (bytes), at most 8. */
static inline uint64_t covey_little_get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

#endif
