/* Worlds of a thousand devices for the tests, of whatever classes a scenario names. */
#ifndef COVEY_TEST_WORLD_RIG_H
#define COVEY_TEST_WORLD_RIG_H

#include <stdint.h>

#include "world_parts.h"

#define HOUR_MS 3600000ull
#define DAY_MS (24 * HOUR_MS)

static inline struct covey_scenario plain_scenario(void)
{
    return (struct covey_scenario){.seed = 7, .window_blocks = 32, .folder = "."};
}

static inline struct covey_world *make(const struct covey_scenario *scenario, double flops)
{
    struct covey_world *world = NULL;
    struct covey_error err = {0};
    cr_assert(covey_world_create(scenario, 1000, flops, &world, &err) == COVEY_OK, "%s", err.text);
    return world;
}

#define WORD(text) (char *)(uintptr_t)(text)

#endif
