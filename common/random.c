#include "covey/random.h"

#include <math.h>

#define PHILOX_ROUNDS 10
/* Multipliers and Weyl constants of Philox4x32 (Salmon et al. 2011, section 3.3, and its Table 2's code). */
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

void covey_random_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        const uint64_t product0 = (uint64_t)PHILOX_M0 * c0;
        const uint64_t product1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* (device, round, purpose) is enciphered under the seed. Philox is a bijection of the counter, so two
 * different triples under one seed never give the same 128 bits: 64 become the key, 64 the upper half of the
 * counter, and the lower half counts the blocks. */
void covey_random_init(struct covey_random *random, uint64_t seed, uint64_t device, uint32_t round,
                       enum covey_purpose purpose)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t name[4] = {(uint32_t)device, (uint32_t)(device >> 32), round, (uint32_t)purpose};
    uint32_t mixed[4];
    covey_random_philox(name, key, mixed);
    *random =
        (struct covey_random){.key = {mixed[0], mixed[1]}, .counter = {0, 0, mixed[2], mixed[3]}, .used = 4};
}

uint64_t covey_random_id(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001B3u;
    /* Without this, names that differ in the last letter alone differ in few bits. */
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 32;
}

uint32_t covey_random_u32(struct covey_random *random)
{
    if (random->used >= 4) {
        covey_random_philox(random->counter, random->key, random->block);
        if (++random->counter[0] == 0)
            random->counter[1]++;
        random->used = 0;
    }
    return random->block[random->used++];
}

uint64_t covey_random_u64(struct covey_random *random)
{
    const uint64_t low = covey_random_u32(random);
    return (uint64_t)covey_random_u32(random) << 32 | low;
}

/* Lemire 2019, "Fast random integer generation in an interval", algorithm 5. */
uint32_t covey_random_below(struct covey_random *random, uint32_t bound)
{
    uint64_t product = (uint64_t)covey_random_u32(random) * bound;
    if ((uint32_t)product < bound) {
        const uint32_t threshold = (0u - bound) % bound;
        while ((uint32_t)product < threshold)
            product = (uint64_t)covey_random_u32(random) * bound;
    }
    return (uint32_t)(product >> 32);
}

float covey_random_float(struct covey_random *random)
{
    return (float)(covey_random_u32(random) >> 8) * 0x1p-24f;
}

double covey_random_double(struct covey_random *random)
{
    return (double)(covey_random_u64(random) >> 11) * 0x1p-53;
}

double covey_random_normal(struct covey_random *random)
{
    const double radius = sqrt(-2.0 * log(1.0 - covey_random_double(random))); /* 1 - u is never zero */
    return radius * cos(2.0 * 3.14159265358979323846 * covey_random_double(random));
}

void covey_random_shuffle(struct covey_random *random, uint32_t *indices, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        const size_t j = covey_random_below(random, (uint32_t)i);
        const uint32_t swapped = indices[i - 1];
        indices[i - 1] = indices[j];
        indices[j] = swapped;
    }
}
