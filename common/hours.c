#include "covey/hours.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MINUTE "minute="
#define HOURS "hours="

/* One or two digits; *at moves behind them. */
static bool read_two_digits(const char **at, unsigned *out)
{
    if (!isdigit((unsigned char)**at))
        return false;
    *out = (unsigned)(*(*at)++ - '0');
    if (isdigit((unsigned char)**at))
        *out = *out * 10 + (unsigned)(*(*at)++ - '0');
    return true;
}

/* "7" or "7:30" -> minutes; *at moves behind it. */
static bool read_minute(const char **at, uint16_t *out)
{
    unsigned hour, minute = 0;
    while (**at == ' ')
        (*at)++;
    if (!read_two_digits(at, &hour))
        return false;
    if (**at == ':') {
        (*at)++;
        if (!read_two_digits(at, &minute))
            return false;
    }
    while (**at == ' ')
        (*at)++;
    *out = (uint16_t)(hour * 60 + minute);
    return minute < 60 && *out <= COVEY_DAY_MINUTES;
}

enum covey_status covey_hours_parse(const char *text, struct covey_hours *out, struct covey_error *err)
{
    struct covey_hours hours = {0};
    const char *at = text;
    while (*at == ' ')
        at++;
    for (; *at != 0; hours.count++) {
        uint16_t first, last;
        if (hours.count == COVEY_HOUR_RANGES)
            return covey_fail(err, COVEY_LIMIT, "more than %d ranges in '%s'", COVEY_HOUR_RANGES, text);
        if (!read_minute(&at, &first) || *at++ != '-' || !read_minute(&at, &last) || (*at != 0 && *at != ','))
            return covey_fail(err, COVEY_INVALID, "'%s' is not like \"22-6\" or \"1:30-5, 12-14\"", text);
        hours.ranges[hours.count].first = first;
        hours.ranges[hours.count].last = last;
        at += *at == ',';
    }
    *out = hours;
    return COVEY_OK;
}

bool covey_hours_hold(const struct covey_hours *hours, uint32_t minute_of_day)
{
    for (uint32_t i = 0; i < hours->count; i++) {
        uint32_t first = hours->ranges[i].first, last = hours->ranges[i].last;
        bool after = minute_of_day >= first, before = minute_of_day < last;
        if (first <= last ? after && before : after || before)
            return true;
    }
    return hours->count == 0;
}

uint32_t covey_hours_left(const struct covey_hours *hours, uint32_t minute_of_day)
{
    uint32_t left = hours->count == 0 ? COVEY_DAY_MINUTES : 0;
    /* ranges that touch or overlap make one window: each can lengthen it once, the one it began in twice */
    for (uint32_t turn = 0; turn <= hours->count && left < COVEY_DAY_MINUTES; turn++) {
        const uint32_t at = (minute_of_day + left) % COVEY_DAY_MINUTES;
        uint32_t longest = 0;
        for (uint32_t i = 0; i < hours->count; i++) {
            const struct covey_hours one = {.count = 1, .ranges = {hours->ranges[i]}};
            if (!covey_hours_hold(&one, at))
                continue;
            const uint32_t more = (one.ranges[0].last + COVEY_DAY_MINUTES - at - 1) % COVEY_DAY_MINUTES + 1;
            longest = more > longest ? more : longest;
        }
        if (longest == 0)
            break;
        left += longest;
    }
    return left < COVEY_DAY_MINUTES ? left : COVEY_DAY_MINUTES;
}

/* ---- what the server is told ---- */

void covey_hours_write_query(const struct covey_hours *hours, uint32_t minute_of_day,
                             char out[COVEY_HOURS_QUERY_BYTES])
{
    size_t at =
        (size_t)snprintf(out, COVEY_HOURS_QUERY_BYTES, MINUTE "%u&" HOURS, minute_of_day % COVEY_DAY_MINUTES);
    for (uint32_t i = 0; i < hours->count && at < COVEY_HOURS_QUERY_BYTES; i++)
        at += (size_t)snprintf(out + at, COVEY_HOURS_QUERY_BYTES - at, "%s%u:%02u-%u:%02u", i == 0 ? "" : ",",
                               hours->ranges[i].first / 60u, hours->ranges[i].first % 60u,
                               hours->ranges[i].last / 60u, hours->ranges[i].last % 60u);
}

/* The value of `key` in "a=1&b=2", copied; false: not there, or longer than any is. */
static bool value_of(const char *query, const char *key, char out[COVEY_HOURS_QUERY_BYTES])
{
    for (const char *at = query; at != NULL; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, key, strlen(key)) != 0)
            continue;
        const char *value = at + strlen(key);
        const size_t bytes = strcspn(value, "&");
        if (bytes >= COVEY_HOURS_QUERY_BYTES)
            return false;
        memcpy(out, value, bytes);
        out[bytes] = 0;
        return true;
    }
    return false;
}

enum covey_status covey_hours_read_query(const char *query, struct covey_hours *out, uint32_t *minute_of_day,
                                         struct covey_error *err)
{
    char hours[COVEY_HOURS_QUERY_BYTES], minute[COVEY_HOURS_QUERY_BYTES];
    const bool has_hours = value_of(query, HOURS, hours), has_minute = value_of(query, MINUTE, minute);
    *out = (struct covey_hours){0};
    *minute_of_day = 0;
    if (!has_hours && !has_minute)
        return COVEY_OK;
    if (!has_hours || !has_minute)
        return covey_fail(err, COVEY_INVALID, "hours and minute go together");
    const size_t digits = strspn(minute, "0123456789");
    if (digits == 0 || digits > 4 || minute[digits] != 0)
        return covey_fail(err, COVEY_INVALID, "'%s' is not a minute of the day", minute);
    uint32_t value = 0;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (uint32_t)(minute[i] - '0');
    if (value >= COVEY_DAY_MINUTES)
        return covey_fail(err, COVEY_INVALID, "a day has no minute %u", value);
    COVEY_TRY(covey_hours_parse(hours, out, err));
    *minute_of_day = value;
    return COVEY_OK;
}
