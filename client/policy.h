/* When a device may train: by the hour, its power, its temperature and its load. */
#ifndef COVEY_POLICY_H
#define COVEY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/client_config.h"
#include "covey/hours.h"
#include "covey/status.h"

/* What the device senses of itself. */
struct covey_conditions {
    bool mains;                 /* true also where there is no battery */
    int32_t battery_percent;    /* the fullest battery; -1: there is none */
    double temperature_celsius; /* the hottest zone; NaN: none can be read */
    double load;                /* one minute, a processor; NaN: cannot be read */
    uint32_t minute_of_day;     /* local */
};

/* Local. wall_s: seconds since 1970. */
uint32_t covey_minute_of_day(int64_t wall_s);

/* Reads them below root ("" for the machine's own /sys and /proc; a folder in tests). */
void covey_conditions_read(const char *root, int64_t wall_s, struct covey_conditions *out);

/* May it train? When not, why says so: "on battery at 12 %, 30 are wanted". */
bool covey_policy_allows(const struct covey_client_policy *policy, const struct covey_conditions *conditions,
                         char *why, size_t why_bytes);

#endif
