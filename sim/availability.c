/* When devices can be reached. Everything follows from the device's number, the day and the seed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world_parts.h"

#define HOUR_MS 3600000.0
#define DAY_MS 86400000.0
#define JITTER_HOURS                                                                                         \
    1.0 /* of the beginning of a charging window, either way; its length varies by a quarter */

/* A window of one device in a trace. */
struct trace_window {
    uint32_t device;
    uint64_t from_ms, to_ms;
};

struct availability {
    const struct covey_scenario *scenario;
    uint64_t seed;
    struct trace_window *windows; /* (window_count) by device, then time */
    uint32_t *first;              /* (trace_devices + 1) into windows */
    uint32_t window_count, trace_devices;
    uint64_t period_ms;
};

/* ------------------------------------------------------------------ traces */

static int by_device(const void *a, const void *b)
{
    const struct trace_window *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return (x->from_ms > y->from_ms) - (x->from_ms < y->from_ms);
}

static enum covey_status add_window(struct availability *availability, size_t *capacity,
                                    struct trace_window window)
{
    if (availability->window_count == *capacity) {
        const size_t wanted = *capacity == 0 ? 1024 : *capacity * 2;
        struct trace_window *more = realloc(availability->windows, wanted * sizeof *more);
        if (more == NULL)
            return COVEY_NO_MEMORY;
        availability->windows = more;
        *capacity = wanted;
    }
    availability->windows[availability->window_count++] = window;
    return COVEY_OK;
}

#define TRACE_DEVICES 10000000u
#define TRACE_WINDOWS 100000000u

static enum covey_status read_lines(struct availability *availability, FILE *file, const char *path,
                                    struct covey_error *err)
{
    char line[256];
    size_t capacity = 0;
    for (uint32_t number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        unsigned long device;
        double from, to;
        if (sscanf(line, "%lu,%lf,%lf", &device, &from, &to) != 3) {
            if (number == 1 || line[strspn(line, " \t\r\n")] == '\0' || line[0] == '#')
                continue; /* a header, an empty line, a remark */
            return covey_fail(err, COVEY_INVALID, "%s:%u: wants device,from_s,to_s", path, number);
        }
        if (!(from >= 0 && to > from && to <= 1e10) || device >= TRACE_DEVICES ||
            availability->window_count >= TRACE_WINDOWS)
            return covey_fail(err, COVEY_INVALID,
                              "%s:%u: devices from 0 to %u, times in seconds, from before to", path, number,
                              TRACE_DEVICES - 1);
        const struct trace_window window = {(uint32_t)device, (uint64_t)(from * 1000), (uint64_t)(to * 1000)};
        if (add_window(availability, &capacity, window) != COVEY_OK)
            return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for %u lines", path, number);
        if (window.to_ms > availability->period_ms)
            availability->period_ms = window.to_ms;
        if (device >= availability->trace_devices)
            availability->trace_devices = (uint32_t)device + 1;
    }
    return availability->window_count > 0
               ? COVEY_OK
               : covey_fail(err, COVEY_INVALID, "%s:1: no line device,from_s,to_s", path);
}

static enum covey_status load_trace(struct availability *availability, const char *path,
                                    struct covey_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: %s", path, strerror(errno));
    const enum covey_status status = read_lines(availability, file, path, err);
    (void)fclose(file);
    COVEY_TRY(status);
    availability->first = calloc((size_t)availability->trace_devices + 1, sizeof *availability->first);
    if (availability->first == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory", path);
    qsort(availability->windows, availability->window_count, sizeof *availability->windows, by_device);
    for (uint32_t i = 0; i < availability->window_count; i++)
        availability->first[availability->windows[i].device + 1] = i + 1;
    for (uint32_t i = 1; i <= availability->trace_devices; i++)
        if (availability->first[i] < availability->first[i - 1])
            availability->first[i] = availability->first[i - 1];
    return COVEY_OK;
}

/* A fleet larger than the trace goes through it again. */
static bool in_trace(const struct availability *availability, uint32_t device, uint64_t now_ms,
                     uint64_t *until_ms)
{
    const uint32_t line = device % availability->trace_devices;
    const uint64_t at = now_ms % availability->period_ms, base = now_ms - at;
    const uint32_t first = availability->first[line], last = availability->first[line + 1];
    uint32_t low = first, high = last; /* the first window that ends after now */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (availability->windows[middle].to_ms <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < last) {
        const struct trace_window *window = &availability->windows[low];
        const bool inside = window->from_ms <= at;
        *until_ms = base + (inside ? window->to_ms : window->from_ms);
        return inside;
    }
    *until_ms =
        first < last ? base + availability->period_ms + availability->windows[first].from_ms : UINT64_MAX;
    if (first < last && availability->windows[first].from_ms == 0)
        *until_ms = base + availability->period_ms;
    return false;
}

/* ------------------------------------------------------------------ days */

/* Hours by which the device's clock is ahead. */
static double zone_hours(const struct availability *availability, uint32_t device)
{
    const double spread = availability->scenario->availability.spread_hours;
    return spread > 0 ? world_draw(availability->seed, WORLD_ZONE, device, 0).a * spread : 0;
}

/* The window of local day `day` in virtual ms; may be empty. Days count from one before the start, so that
 * a window over midnight is seen on both sides of it. */
static void window_of_day(const struct availability *availability, uint32_t device, int64_t day,
                          int64_t *from_ms, int64_t *to_ms)
{
    const struct covey_scenario *scenario = availability->scenario;
    double from = scenario->availability.from_hour, length;
    if (scenario->availability.kind == COVEY_AVAILABLE_CHARGING) {
        const struct world_draw draw =
            world_draw(availability->seed, WORLD_WINDOW, device, (uint32_t)(day + 1));
        from += (draw.a * 2 - 1) * JITTER_HOURS;
        length = scenario->availability.hours * (.75 + .5 * draw.b);
    } else {
        length = scenario->availability.to_hour - from;
        if (length <= 0)
            length += 24;
    }
    const double start = (double)day * 24 + from - zone_hours(availability, device);
    *from_ms = (int64_t)floor(start * HOUR_MS);
    *to_ms = (int64_t)floor((start + length) * HOUR_MS);
}

static bool in_day(const struct availability *availability, uint32_t device, uint64_t now_ms,
                   uint64_t *until_ms)
{
    const int64_t now = (int64_t)now_ms;
    const int64_t today = (int64_t)floor((double)now_ms / DAY_MS);
    for (int64_t day = today - 1; day <= today + 2; day++) { /* zones are up to a day ahead */
        int64_t from, to;
        window_of_day(availability, device, day, &from, &to);
        if (now < from) {
            *until_ms = (uint64_t)from;
            return false;
        }
        if (now < to) {
            *until_ms = (uint64_t)to;
            return true;
        }
    }
    *until_ms = now_ms + (uint64_t)HOUR_MS; /* not met: a window a day */
    return false;
}

/* ------------------------------------------------------------------ together */

enum covey_status availability_create(const struct covey_scenario *scenario, struct availability **out,
                                      struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct availability *availability = calloc(1, sizeof *availability);
    if (availability == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a world");
    availability->scenario = scenario;
    availability->seed = (uint64_t)scenario->seed;
    if (scenario->availability.kind == COVEY_AVAILABLE_TRACE) {
        enum covey_status status = covey_scenario_path(scenario, scenario->availability.trace, path, err);
        if (status == COVEY_OK)
            status = load_trace(availability, path, err);
        if (status != COVEY_OK) {
            availability_destroy(availability);
            return status;
        }
    }
    *out = availability;
    return COVEY_OK;
}

void availability_destroy(struct availability *availability)
{
    if (availability == NULL)
        return;
    free(availability->windows);
    free(availability->first);
    free(availability);
}

/* Leaves for good after an exponential time; UINT64_MAX: never. */
static uint64_t leaves_ms(const struct availability *availability, uint32_t device)
{
    const double rate = availability->scenario->churn.leave_per_day;
    if (!(rate > 0))
        return UINT64_MAX;
    const double days = -log1p(-world_draw(availability->seed, WORLD_LEAVE, device, 0).a) / rate;
    return days < 1e8 ? (uint64_t)(days * DAY_MS) : UINT64_MAX;
}

bool availability_at(const struct availability *availability, uint32_t device, uint64_t now_ms,
                     uint64_t *until_ms)
{
    const uint64_t leaves = leaves_ms(availability, device);
    bool there = true;
    *until_ms = UINT64_MAX;
    if (now_ms >= leaves)
        return false;
    switch ((enum covey_availability_kind)availability->scenario->availability.kind) {
    case COVEY_AVAILABLE_DAY_NIGHT:
    case COVEY_AVAILABLE_CHARGING:
        there = in_day(availability, device, now_ms, until_ms);
        break;
    case COVEY_AVAILABLE_TRACE:
        there = in_trace(availability, device, now_ms, until_ms);
        break;
    case COVEY_AVAILABLE_ALWAYS:
        break;
    }
    if (*until_ms > leaves)
        *until_ms = leaves;
    return there;
}
