/* An axis of a chart: where its ticks stand and what they say. Pure. */
#ifndef COVEY_SVG_AXIS_H
#define COVEY_SVG_AXIS_H

#include <stdbool.h>

#define COVEY_SVG_TICKS 12
#define COVEY_SVG_LABEL_BYTES 24

enum covey_svg_unit {
    COVEY_SVG_PLAIN,
    COVEY_SVG_WHOLE, /* rounds, devices */
    COVEY_SVG_SHARE, /* of one, shown as percent */
    COVEY_SVG_BYTES,
    COVEY_SVG_SECONDS, /* in s, min, h or d */
    COVEY_SVG_JOULES
};

struct covey_svg_axis {
    enum covey_svg_unit unit;
    double from, to; /* from < to */
    double step;
};

/* The axis that shows [from, to] with about `ticks` round steps; never one without an extent. Both must be
 * finite. */
struct covey_svg_axis covey_svg_axis_fit(enum covey_svg_unit unit, double from, double to, int ticks);

/* The value as a tick, or with `exact` as a tooltip says it. out: COVEY_SVG_LABEL_BYTES. */
const char *covey_svg_label(enum covey_svg_unit unit, double value, bool exact,
                            char out[COVEY_SVG_LABEL_BYTES]);

#endif
