#include "covey/env.h"

#include <stddef.h>
#include <time.h>

static uint64_t monotonic_ms(void *user)
{
    (void)user;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static int64_t real_s(void *user)
{
    (void)user;
    return (int64_t)time(NULL);
}

struct covey_env covey_env_system(const struct covey_log *log)
{
    return (struct covey_env){.now_ms = monotonic_ms, .wall_s = real_s, .user = NULL, .log = log};
}
