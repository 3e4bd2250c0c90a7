#include "svg_chart.h"

#include <math.h>

#include "html_text.h"

/* The picture, in its own units; the page scales it. */
#define WIDTH 480.0
#define HEIGHT 300.0
#define LEFT 70.0
#define RIGHT 26.0
#define TOP 12.0
#define BOTTOM 46.0
#define DASHES 4

struct frame {
    struct covey_svg_axis x, y;
};

static double place_x(const struct frame *frame, double value)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - frame->x.from) / (frame->x.to - frame->x.from);
}

static double place_y(const struct frame *frame, double value)
{
    return HEIGHT - BOTTOM -
           (HEIGHT - TOP - BOTTOM) * (value - frame->y.from) / (frame->y.to - frame->y.from);
}

/* ---- the frame ---- */

static void begin_figure(FILE *out, const char *title)
{
    (void)fputs("<figure><figcaption>", out);
    covey_html_text(out, title);
    (void)fprintf(out, "</figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH,
                  HEIGHT);
    covey_html_text(out, title);
    (void)fputs("\">\n", out);
}

/* The i-th tick of an axis; false: there are no more. */
static bool tick(const struct covey_svg_axis *axis, int i, double *out)
{
    const double value = (ceil(axis->from / axis->step - 1e-6) + i) * axis->step;
    if (i >= 2 * COVEY_SVG_TICKS || value > axis->to + axis->step * 1e-6)
        return false;
    *out = value;
    return true;
}

static void write_ticks(FILE *out, const struct frame *frame)
{
    char label[COVEY_SVG_LABEL_BYTES];
    double value;
    for (int i = 0; tick(&frame->x, i, &value); i++) {
        const double x = place_x(frame, value);
        (void)fprintf(out,
                      "<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text class=\"t\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                      x, x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 16,
                      covey_svg_label(frame->x.unit, value, false, label));
    }
    for (int i = 0; tick(&frame->y, i, &value); i++) {
        const double y = place_y(frame, value);
        (void)fprintf(out,
                      "<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text class=\"t\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                      LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4,
                      covey_svg_label(frame->y.unit, value, false, label));
    }
}

static void write_frame(FILE *out, const struct frame *frame, const char *x_label, const char *y_label)
{
    write_ticks(out, frame);
    (void)fprintf(out, "<path class=\"a\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", LEFT, TOP, HEIGHT - BOTTOM,
                  WIDTH - RIGHT);
    (void)fprintf(out, "<text class=\"l\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                  (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
    covey_html_text(out, x_label);
    (void)fprintf(
        out,
        "</text>\n<text class=\"l\" transform=\"translate(13 %.1f) rotate(-90)\" text-anchor=\"middle\">",
        (TOP + HEIGHT - BOTTOM) / 2);
    covey_html_text(out, y_label);
    (void)fputs("</text>\n", out);
}

static void write_nothing(FILE *out)
{
    (void)fprintf(
        out,
        "<text class=\"l\" x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">nothing was measured</text>\n"
        "</svg></figure>\n",
        WIDTH / 2, HEIGHT / 2);
}

/* ---- lines ---- */

/* Colours that come again have another dash. */
static uint32_t dash_of(uint32_t colour)
{
    return (colour + colour / COVEY_SVG_COLOURS) % DASHES;
}

static bool drawable(const struct covey_svg_series *series, size_t i)
{
    return isfinite(series->x[i]) && isfinite(series->y[i]);
}

struct extent {
    double x_from, x_to, y_from, y_to;
    bool any;
};

static void widen(struct extent *extent, double x, double y)
{
    if (!extent->any)
        *extent = (struct extent){x, x, y, y, true};
    extent->x_from = fmin(extent->x_from, x);
    extent->x_to = fmax(extent->x_to, x);
    extent->y_from = fmin(extent->y_from, y);
    extent->y_to = fmax(extent->y_to, y);
}

static struct extent measure(const struct covey_svg_chart *chart)
{
    struct extent extent = {.any = false};
    for (size_t s = 0; s < chart->count; s++)
        for (size_t i = 0; i < chart->series[s].count; i++)
            if (drawable(&chart->series[s], i))
                widen(&extent, chart->series[s].x[i], chart->series[s].y[i]);
    if (extent.any && isfinite(chart->level))
        widen(&extent, extent.x_from, chart->level);
    if (extent.any && chart->from_zero)
        widen(&extent, extent.x_from, 0);
    return extent;
}

/* One stretch of a thinned line: its lowest and highest point, in their order. */
static void thin_stretch(FILE *out, const struct frame *frame, const struct covey_svg_series *series,
                         size_t from, size_t to, bool *begun)
{
    size_t low = to, high = to;
    for (size_t i = from; i < to; i++) {
        if (!drawable(series, i))
            continue;
        low = low == to || series->y[i] < series->y[low] ? i : low;
        high = high == to || series->y[i] > series->y[high] ? i : high;
    }
    if (low == to)
        return;
    const size_t points[2] = {low < high ? low : high, low < high ? high : low};
    for (size_t i = 0; i < (low == high ? 1 : 2); i++) {
        (void)fprintf(out, "%s%.1f %.1f", *begun ? "L" : "M", place_x(frame, series->x[points[i]]),
                      place_y(frame, series->y[points[i]]));
        *begun = true;
    }
}

static void write_mark(FILE *out, const struct covey_svg_chart *chart, const struct frame *frame,
                       const struct covey_svg_series *series, size_t i)
{
    char x[COVEY_SVG_LABEL_BYTES], y[COVEY_SVG_LABEL_BYTES];
    (void)fprintf(out, "<circle class=\"%s c%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>",
                  series->hollow ? "o" : "m", series->colour % COVEY_SVG_COLOURS,
                  place_x(frame, series->x[i]), place_y(frame, series->y[i]), series->dots ? "5" : "2.4");
    covey_html_text(out, series->name);
    (void)fprintf(out, ": %s, %s</title></circle>\n", covey_svg_label(chart->y_unit, series->y[i], true, y),
                  covey_svg_label(chart->x_unit, series->x[i], true, x));
}

static void write_series(FILE *out, const struct covey_svg_chart *chart, const struct frame *frame,
                         const struct covey_svg_series *series)
{
    const size_t stretch = series->count / COVEY_SVG_POINTS + 1, gap = series->count / COVEY_SVG_MARKS + 1;
    bool begun = false;
    if (!series->dots) {
        (void)fprintf(out, "<path class=\"s c%u d%u\" d=\"", series->colour % COVEY_SVG_COLOURS,
                      dash_of(series->colour));
        for (size_t from = 0; from < series->count; from += stretch)
            thin_stretch(out, frame, series, from,
                         from + stretch < series->count ? from + stretch : series->count, &begun);
        (void)fputs("\"/>\n", out);
    }
    for (size_t i = 0; i < series->count; i++)
        if (drawable(series, i) && (series->dots || i % gap == 0 || i + 1 == series->count))
            write_mark(out, chart, frame, series, i);
}

static void write_legend(FILE *out, const struct covey_svg_chart *chart)
{
    if (chart->count < 2)
        return;
    (void)fputs("<ul class=\"legend\">", out);
    for (size_t s = 0; s < chart->count; s++) {
        const struct covey_svg_series *series = &chart->series[s];
        const uint32_t colour = series->colour % COVEY_SVG_COLOURS;
        if (series->dots)
            (void)fprintf(
                out,
                "<li><svg viewBox=\"0 0 24 10\"><circle class=\"%s c%u\" cx=\"12\" cy=\"5\" r=\"4\"/></svg>",
                series->hollow ? "o" : "m", colour);
        else
            (void)fprintf(out,
                          "<li><svg viewBox=\"0 0 24 10\"><path class=\"s c%u d%u\" d=\"M0 5H24\"/></svg>",
                          colour, dash_of(series->colour));
        covey_html_text(out, series->name);
        (void)fputs("</li>", out);
    }
    (void)fputs("</ul>", out);
}

static void write_level(FILE *out, const struct covey_svg_chart *chart, const struct frame *frame)
{
    if (!isfinite(chart->level))
        return;
    const double y = place_y(frame, chart->level);
    (void)fprintf(out,
                  "<path class=\"v\" d=\"M%.1f %.1fH%.1f\"/><text class=\"t\" x=\"%.1f\" y=\"%.1f\" "
                  "text-anchor=\"end\">",
                  LEFT, y, WIDTH - RIGHT, WIDTH - RIGHT - 4, y - 4);
    covey_html_text(out, chart->level_name != NULL ? chart->level_name : "");
    (void)fputs("</text>\n", out);
}

void covey_svg_chart_write(FILE *out, const struct covey_svg_chart *chart)
{
    const struct extent extent = measure(chart);
    begin_figure(out, chart->title);
    if (!extent.any) {
        write_nothing(out);
        return;
    }
    const struct frame frame = {covey_svg_axis_fit(chart->x_unit, extent.x_from, extent.x_to, 6),
                                covey_svg_axis_fit(chart->y_unit, extent.y_from, extent.y_to, 6)};
    write_frame(out, &frame, chart->x_label, chart->y_label);
    if (chart->diagonal)
        (void)fprintf(out, "<path class=\"v\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", LEFT, HEIGHT - BOTTOM,
                      WIDTH - RIGHT, TOP);
    write_level(out, chart, &frame);
    for (size_t s = 0; s < chart->count; s++)
        write_series(out, chart, &frame, &chart->series[s]);
    (void)fputs("</svg>", out);
    write_legend(out, chart);
    (void)fputs("</figure>\n", out);
}

/* ---- bars ---- */

static double bar_sum(const struct covey_svg_bars *bars, size_t part, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to && i < bars->count; i++) {
        const double value = bars->values[part * bars->count + i];
        sum += isfinite(value) && value > 0 ? value : 0;
    }
    return sum;
}

/* The stack of the bars [from, to), put together. */
static void write_stack(FILE *out, const struct covey_svg_bars *bars, const struct frame *frame, size_t from,
                        size_t to)
{
    char label[COVEY_SVG_LABEL_BYTES], begin[COVEY_SVG_LABEL_BYTES], end[COVEY_SVG_LABEL_BYTES];
    const double x = place_x(frame, bars->first + (double)from - .5 + .1 * (double)(to - from));
    const double width = place_x(frame, bars->first + (double)to - .5) - x;
    double below = 0;
    for (size_t part = 0; part < bars->parts; part++) {
        const double value = bar_sum(bars, part, from, to);
        const double top = place_y(frame, below + value), bottom = place_y(frame, below);
        below += value;
        if (!(value > 0))
            continue;
        (void)fprintf(out,
                      "<rect class=\"b c%zu\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>",
                      part % COVEY_SVG_COLOURS, x, top, width, bottom - top);
        covey_html_text(out, bars->names[part]);
        (void)fprintf(out, ": %s", covey_svg_label(bars->y_unit, value, true, label));
        (void)fprintf(out, to - from > 1 ? ", %s to %s</title></rect>\n" : ", %s</title></rect>\n",
                      covey_svg_label(COVEY_SVG_WHOLE, bars->first + (double)from, true, begin),
                      covey_svg_label(COVEY_SVG_WHOLE, bars->first + (double)to - 1, true, end));
    }
}

static void write_bar_legend(FILE *out, const struct covey_svg_bars *bars)
{
    if (bars->parts < 2)
        return;
    (void)fputs("<ul class=\"legend\">", out);
    for (size_t part = 0; part < bars->parts; part++) {
        (void)fprintf(out,
                      "<li><svg viewBox=\"0 0 24 10\"><rect class=\"b c%zu\" x=\"7\" width=\"10\" "
                      "height=\"10\"/></svg>",
                      part % COVEY_SVG_COLOURS);
        covey_html_text(out, bars->names[part]);
        (void)fputs("</li>", out);
    }
    (void)fputs("</ul>", out);
}

void covey_svg_bars_write(FILE *out, const struct covey_svg_bars *bars)
{
    const size_t stretch = bars->count / (COVEY_SVG_BARS + 1) + 1;
    double highest = 0;
    for (size_t from = 0; from < bars->count; from += stretch) {
        double sum = 0;
        for (size_t part = 0; part < bars->parts; part++)
            sum += bar_sum(bars, part, from, from + stretch);
        highest = fmax(highest, sum);
    }
    begin_figure(out, bars->title);
    if (bars->count == 0) {
        write_nothing(out);
        return;
    }
    struct frame frame = {
        covey_svg_axis_fit(COVEY_SVG_WHOLE, bars->first, bars->first + (double)bars->count - 1, 6),
        covey_svg_axis_fit(bars->y_unit, 0, highest > 0 ? highest : 1, 5)};
    frame.x.from -= .5 * (double)stretch;
    frame.x.to += .5 * (double)stretch;
    write_frame(out, &frame, bars->x_label, bars->y_label);
    for (size_t from = 0; from < bars->count; from += stretch)
        write_stack(out, bars, &frame, from, from + stretch < bars->count ? from + stretch : bars->count);
    (void)fputs("</svg>", out);
    write_bar_legend(out, bars);
    (void)fputs("</figure>\n", out);
}
