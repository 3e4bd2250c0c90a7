/* Hours of the day at which a device is there to work, and how it tells the server of them: beside GET plan,
 * as the query "minute=830&hours=22:00-06:00" (docs/wire.md). Pure; thread-safe. */
#ifndef COVEY_HOURS_H
#define COVEY_HOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"

#define COVEY_DAY_MINUTES 1440
#define COVEY_HOUR_RANGES 8
#define COVEY_HOURS_QUERY_BYTES 128 /* the longest query, with its end */

/* Minutes of the day; first > last goes past midnight. */
struct covey_hours {
    uint32_t count; /* 0: the whole day */
    struct {
        uint16_t first, last;
    } ranges[COVEY_HOUR_RANGES];
};

/* "22-6", "1:30-5, 12-14"; "" is the whole day. */
COVEY_MUST_CHECK enum covey_status covey_hours_parse(const char *text, struct covey_hours *out,
                                                     struct covey_error *err);
bool covey_hours_hold(const struct covey_hours *hours, uint32_t minute_of_day);
/* Minutes until they hold no longer: 0 outside of them, COVEY_DAY_MINUTES where they never end. */
uint32_t covey_hours_left(const struct covey_hours *hours, uint32_t minute_of_day);

void covey_hours_write_query(const struct covey_hours *hours, uint32_t minute_of_day,
                             char out[COVEY_HOURS_QUERY_BYTES]);
/* Steps over what it does not know; a query without hours is the whole day. INVALID, LIMIT: bad hours, a bad
 * minute, or one without the other. */
COVEY_MUST_CHECK enum covey_status covey_hours_read_query(const char *query, struct covey_hours *out,
                                                          uint32_t *minute_of_day, struct covey_error *err);

#endif
