/* Charts as inline SVG: lines, points, stacked bars. Colours and fonts come from the page's style (classes
 * `c0` to `c7`), so that they follow light and dark; each line has a dash of its own as well, and each point
 * a tooltip (<title>).
 *
 * Limits: COVEY_SVG_SERIES a chart; a line of more than COVEY_SVG_POINTS points is thinned to the extremes of
 * as many stretches. */
#ifndef COVEY_SVG_CHART_H
#define COVEY_SVG_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "svg_axis.h"

#define COVEY_SVG_SERIES 16
#define COVEY_SVG_POINTS 400
#define COVEY_SVG_MARKS 40 /* points of a line that have a tooltip */
#define COVEY_SVG_BARS 60  /* more are put together */
#define COVEY_SVG_COLOURS 8

struct covey_svg_series {
    const char *name;    /* outside text */
    const double *x, *y; /* (count); not finite: left out */
    size_t count;
    uint32_t colour; /* of any size: colours repeat, with other dashes */
    bool dots;       /* points alone, larger */
    bool hollow;     /* of dots */
};

struct covey_svg_chart {
    const char *title, *x_label, *y_label;
    enum covey_svg_unit x_unit, y_unit;
    bool from_zero; /* the y axis */
    double level;   /* a dashed horizontal line; NaN: none */
    const char *level_name;
    bool diagonal; /* from corner to corner: equality, of a Lorenz curve */
    const struct covey_svg_series *series;
    size_t count;
};

/* A <figure> with its legend (more than one series). Series without a finite point are named as such. */
void covey_svg_chart_write(FILE *out, const struct covey_svg_chart *chart);

/* Stacked bars: values (parts, count) row by row, at x = first, first + 1 ... */
struct covey_svg_bars {
    const char *title, *x_label, *y_label;
    enum covey_svg_unit y_unit;
    const char *const *names; /* (parts) */
    const double *values;
    size_t parts, count;
    double first;
};
void covey_svg_bars_write(FILE *out, const struct covey_svg_bars *bars);

#endif
