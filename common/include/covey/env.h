/* The world as it is handed to a library: clock, wall time, log. Programs fill in the real one, the
 * simulator its virtual one. */
#ifndef COVEY_ENV_H
#define COVEY_ENV_H

#include <stdint.h>

#include "covey/log.h"

struct covey_env {
    uint64_t (*now_ms)(void *user); /* monotonic */
    int64_t (*wall_s)(void *user);  /* seconds since 1970 UTC */
    void *user;
    const struct covey_log *log;
};

/* The machine's own clocks; log may be NULL. */
struct covey_env covey_env_system(const struct covey_log *log);

#endif
