#include "svg_axis.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

/* 1, 2 or 5 times a power of ten, the least that is not under `least`. */
static double round_step(double least)
{
    const double power = pow(10, floor(log10(least)));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
        if (factors[i] * power >= least * (1 - 1e-9))
            return factors[i] * power;
    return 10 * power;
}

/* What people divide minutes, hours and days by. */
static double time_step(double least)
{
    static const double steps[] = {10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400};
    if (least <= 5)
        return round_step(least);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (steps[i] >= least * (1 - 1e-9))
            return steps[i];
    return 86400 * round_step(least / 86400);
}

struct covey_svg_axis covey_svg_axis_fit(enum covey_svg_unit unit, double from, double to, int ticks)
{
    const double widest = fmax(fabs(from), fabs(to));
    if (!(to - from > widest * 1e-9)) { /* a point: a little room on both sides */
        const double room = widest > 0 ? widest * .05 : .5;
        to += room;
        from = from >= 0 ? fmax(0, from - room) : from - room;
    }
    struct covey_svg_axis axis = {.unit = unit};
    const double least = (to - from) / ticks;
    axis.step = unit == COVEY_SVG_SECONDS ? time_step(least) : round_step(least);
    if (unit == COVEY_SVG_WHOLE)
        axis.step = fmax(axis.step, 1);
    axis.from = floor(from / axis.step + 1e-9) * axis.step;
    axis.to = ceil(to / axis.step - 1e-9) * axis.step;
    return axis;
}

struct prefix {
    double size;
    const char *name;
};

static const char *with_prefix(double value, const char *unit, int digits, char out[COVEY_SVG_LABEL_BYTES])
{
    static const struct prefix prefixes[] = {{1e12, "T"}, {1e9, "G"},  {1e6, "M"},        {1e3, "k"},
                                             {1, ""},     {1e-3, "m"}, {1e-6, "\xC2\xB5"}};
    size_t at;
    if (!(fabs(value) > 0)) {
        (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "0%s%s", unit[0] != '\0' ? " " : "", unit);
        return out;
    }
    for (at = 0; at + 1 < sizeof prefixes / sizeof prefixes[0]; at++)
        if (fabs(value) >= prefixes[at].size * (1 - 1e-9))
            break;
    const bool blank = unit[0] != '\0' || prefixes[at].name[0] != '\0';
    (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "%.*g%s%s%s", digits, value / prefixes[at].size,
                   blank ? " " : "", prefixes[at].name, unit);
    return out;
}

static const char *as_time(double seconds, int digits, char out[COVEY_SVG_LABEL_BYTES])
{
    static const struct prefix units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (fabs(seconds) >= units[i].size * (i == 3 ? 1 : 2) * (1 - 1e-9)) {
            (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "%.*g %s", digits, seconds / units[i].size,
                           units[i].name);
            return out;
        }
    }
    return with_prefix(seconds, "s", digits, out);
}

const char *covey_svg_label(enum covey_svg_unit unit, double value, bool exact,
                            char out[COVEY_SVG_LABEL_BYTES])
{
    const int digits = exact ? 4 : 3;
    if (!isfinite(value)) {
        (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "\xE2\x80\x93");
        return out;
    }
    switch (unit) {
    case COVEY_SVG_WHOLE:
        if (fabs(value) < 1e5 || exact)
            (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "%.*g", 12, round(value * 100) / 100);
        else
            return with_prefix(value, "", digits, out);
        return out;
    case COVEY_SVG_SHARE:
        if (exact) /* a battery's share may be tiny */
            (void)snprintf(out, COVEY_SVG_LABEL_BYTES, fabs(value) >= 1e-4 ? "%.2f %%" : "%.2g %%",
                           value * 100);
        else
            (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "%.4g %%", value * 100);
        return out;
    case COVEY_SVG_BYTES:
        return with_prefix(value, "B", digits, out);
    case COVEY_SVG_SECONDS:
        return as_time(value, digits, out);
    case COVEY_SVG_JOULES:
        return with_prefix(value, "J", digits, out);
    default:
        if (fabs(value) >= 1e-3 && fabs(value) < 1e4) { /* "0.5", not "500 m" */
            (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "%.*g", digits, value);
            return out;
        }
        return with_prefix(value, "", digits, out);
    }
}
