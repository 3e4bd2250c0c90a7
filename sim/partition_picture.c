#include "partition_picture.h"

#include <stdlib.h>
#include <string.h>

#include "covey/json.h"
#include "html_text.h"
#include "svg_axis.h"

/* ------------------------------------------------------------------ figures */

uint32_t covey_partition_labels(const struct covey_partition_view *view, uint32_t device, uint32_t *scratch,
                                uint32_t counts[COVEY_PICTURE_LABELS])
{
    uint32_t count;
    const uint32_t *share = covey_partition_share(view->partition, device, scratch, &count);
    memset(counts, 0, COVEY_PICTURE_LABELS * sizeof counts[0]);
    for (uint32_t i = 0; i < count; i++) {
        const int32_t label = covey_dataset_label(view->train, share[i]);
        if (label >= 0 && label < COVEY_PICTURE_LABELS)
            counts[label]++;
    }
    return count;
}

static int by_size(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static struct covey_partition_spread spread_of(uint32_t *values, uint32_t count)
{
    qsort(values, count, sizeof *values, by_size);
    return (struct covey_partition_spread){values[0], values[count / 2], values[count - 1]};
}

static uint32_t *make_scratch(const struct covey_partition_view *view, struct covey_error *err)
{
    uint32_t *scratch = calloc((size_t)covey_partition_most(view->partition) + 1, sizeof *scratch);
    if (scratch == NULL)
        (void)covey_fail(err, COVEY_NO_MEMORY, "no memory for a share");
    return scratch;
}

enum covey_status covey_partition_view(const char *name, const struct covey_dataset *train,
                                       const struct covey_partition *partition,
                                       struct covey_partition_view *out, struct covey_error *err)
{
    struct covey_partition_view view = {.name = name, .train = train, .partition = partition};
    const uint32_t devices = covey_partition_devices(partition);
    uint32_t counts[COVEY_PICTURE_LABELS];
    if (train->labels.width == 1)
        COVEY_TRY(covey_dataset_classes(train, &view.classes, err));
    if (view.classes > COVEY_PICTURE_LABELS)
        view.classes = COVEY_PICTURE_LABELS;
    uint32_t *scratch = make_scratch(&view, err), *sizes = calloc(2 * (size_t)devices, sizeof *sizes);
    if (scratch == NULL || sizes == NULL) {
        free(scratch);
        free(sizes);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", devices);
    }
    uint32_t *kinds = sizes + devices;
    for (uint32_t device = 0; device < devices; device++) {
        sizes[device] = covey_partition_labels(&view, device, scratch, counts);
        view.examples += sizes[device];
        for (uint32_t label = 0; label < view.classes; label++)
            kinds[device] += counts[label] != 0;
    }
    view.share = spread_of(sizes, devices);
    view.labels = spread_of(kinds, devices);
    free(scratch);
    free(sizes);
    *out = view;
    return COVEY_OK;
}

/* ------------------------------------------------------------------ table and JSON */

static void print_row(FILE *out, const struct covey_partition_view *view, uint32_t device, uint32_t *scratch)
{
    uint32_t counts[COVEY_PICTURE_LABELS];
    const uint32_t examples = covey_partition_labels(view, device, scratch, counts);
    (void)fprintf(out, "%8u %9u ", device, examples);
    for (uint32_t label = 0; label < view->classes && label < COVEY_PICTURE_ROWS; label++)
        (void)fprintf(out, "%6u", counts[label]);
    (void)fputc('\n', out);
}

enum covey_status covey_partition_print(FILE *out, const struct covey_partition_view *view,
                                        struct covey_error *err)
{
    const uint32_t devices = covey_partition_devices(view->partition);
    uint32_t *scratch = make_scratch(view, err);
    if (scratch == NULL)
        return COVEY_NO_MEMORY;
    (void)fprintf(out, "%s: %u devices, %llu examples\n", view->name, devices,
                  (unsigned long long)view->examples);
    (void)fprintf(out, "%-22s least %6u   median %6u   most %6u\n", "examples a device", view->share.least,
                  view->share.median, view->share.most);
    if (view->classes != 0)
        (void)fprintf(out, "%-22s least %6u   median %6u   most %6u   of %u\n", "labels a device",
                      view->labels.least, view->labels.median, view->labels.most, view->classes);
    (void)fprintf(out, "\n  device  examples ");
    for (uint32_t label = 0; label < view->classes && label < COVEY_PICTURE_ROWS; label++)
        (void)fprintf(out, "%6u", label);
    (void)fputc('\n', out);
    for (uint32_t device = 0; device < devices && device < COVEY_PICTURE_ROWS; device++)
        print_row(out, view, device, scratch);
    if (devices > COVEY_PICTURE_ROWS)
        (void)fprintf(out, "     ... %u more\n", devices - COVEY_PICTURE_ROWS);
    free(scratch);
    return COVEY_OK;
}

static void print_spread(FILE *out, const char *key, const struct covey_partition_spread *spread)
{
    (void)fprintf(out, ",\"%s\":{\"min\":%u,\"median\":%u,\"max\":%u}", key, spread->least, spread->median,
                  spread->most);
}

enum covey_status covey_partition_print_json(FILE *out, const struct covey_partition_view *view,
                                             struct covey_error *err)
{
    const uint32_t devices = covey_partition_devices(view->partition);
    uint32_t counts[COVEY_PICTURE_LABELS], *scratch = make_scratch(view, err);
    if (scratch == NULL)
        return COVEY_NO_MEMORY;
    char text[512];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "scenario", view->name);
    covey_json_int(&json, "devices", devices);
    covey_json_int(&json, "examples", (int64_t)view->examples);
    (void)fputs(text, out); /* the shares do not fit a buffer: they follow as they are counted */
    print_spread(out, "examples_a_device", &view->share);
    print_spread(out, "labels_a_device", &view->labels);
    (void)fprintf(out, ",\"shares\":[");
    for (uint32_t device = 0; device < devices && device < COVEY_PICTURE_BARS; device++) {
        (void)fprintf(out, "%s{\"device\":%u,\"examples\":%u,\"labels\":[", device > 0 ? "," : "", device,
                      covey_partition_labels(view, device, scratch, counts));
        for (uint32_t label = 0; label < view->classes; label++)
            (void)fprintf(out, "%s%u", label > 0 ? "," : "", counts[label]);
        (void)fprintf(out, "]}");
    }
    (void)fprintf(out, "]}\n");
    free(scratch);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the picture */

#define WIDTH 960.0
#define HEIGHT 420.0
#define LEFT 64.0
#define TOP 48.0
#define BOTTOM 64.0
#define RIGHT 24.0
#define TEXT_BYTES 32

static void draw_frame(FILE *out, const struct covey_partition_view *view, const struct covey_svg_axis *axis)
{
    const double height = HEIGHT - TOP - BOTTOM;
    char label[COVEY_SVG_LABEL_BYTES];
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n"
                  "<style>svg{background:#fff;font:12px sans-serif}text{fill:#222}.grid{stroke:#ddd}"
                  "@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#ddd}.grid{stroke:#"
                  "3a3d44}}</style>\n<text x=\"%.0f\" y=\"22\" font-size=\"16\">",
                  WIDTH, HEIGHT, LEFT);
    covey_html_text(out, view->name);
    (void)fprintf(out, ": examples of %u devices%s</text>\n", covey_partition_devices(view->partition),
                  view->classes != 0 ? ", by label" : "");
    for (double tick = axis->from; tick <= axis->to + axis->step / 2; tick += axis->step) {
        const double y = TOP + height * (1 - (tick - axis->from) / (axis->to - axis->from));
        (void)fprintf(out,
                      "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                      LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4,
                      covey_svg_label(axis->unit, tick, false, label));
    }
}

/* Hues by the golden angle: neighbours differ. */
static void colour(uint32_t label, char out[TEXT_BYTES])
{
    (void)snprintf(out, TEXT_BYTES, "hsl(%u,60%%,%u%%)", (label * 137u + 210u) % 360u, 48 + label % 3 * 7);
}

/* x, bar: px from the left, and how wide; scale: px an example. */
static void draw_bar(FILE *out, const struct covey_partition_view *view, uint32_t device, uint32_t *scratch,
                     double x, double bar, double scale)
{
    uint32_t counts[COVEY_PICTURE_LABELS];
    char fill[TEXT_BYTES];
    const uint32_t examples = covey_partition_labels(view, device, scratch, counts);
    double y = HEIGHT - BOTTOM;
    if (view->classes == 0)
        counts[0] = examples;
    (void)fprintf(out, "<g><title>device %u: %u examples</title>", device, examples);
    for (uint32_t label = 0; label < (view->classes != 0 ? view->classes : 1); label++) {
        if (counts[label] == 0)
            continue;
        y -= counts[label] * scale;
        colour(label, fill);
        (void)fprintf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>", x, y,
                      bar, counts[label] * scale, fill);
    }
    (void)fprintf(out, "</g>\n");
}

static void draw_legend(FILE *out, const struct covey_partition_view *view, uint32_t devices, uint32_t bars)
{
    char fill[TEXT_BYTES];
    (void)fprintf(out, "<text x=\"%.0f\" y=\"%.0f\">", LEFT, HEIGHT - 42);
    if (bars < devices)
        (void)fprintf(out, "%u of %u devices, evenly chosen", bars, devices);
    else
        (void)fprintf(out, "devices 0 to %u", devices - 1);
    (void)fprintf(out, "</text>\n");
    for (uint32_t label = 0; label < view->classes && label < COVEY_PICTURE_ROWS; label++) {
        colour(label, fill);
        (void)fprintf(out,
                      "<rect x=\"%.0f\" y=\"%.0f\" width=\"12\" height=\"12\" fill=\"%s\"/>"
                      "<text x=\"%.0f\" y=\"%.0f\">%u</text>\n",
                      LEFT + label * 42.0, HEIGHT - 28, fill, LEFT + label * 42.0 + 17, HEIGHT - 18, label);
    }
}

enum covey_status covey_partition_draw(FILE *out, const struct covey_partition_view *view,
                                       struct covey_error *err)
{
    const uint32_t devices = covey_partition_devices(view->partition);
    const uint32_t bars = devices < COVEY_PICTURE_BARS ? devices : COVEY_PICTURE_BARS;
    const struct covey_svg_axis axis = covey_svg_axis_fit(COVEY_SVG_WHOLE, 0, view->share.most, 5);
    const double room = (WIDTH - LEFT - RIGHT) / bars;
    uint32_t *scratch = make_scratch(view, err);
    if (scratch == NULL)
        return COVEY_NO_MEMORY;
    draw_frame(out, view, &axis);
    for (uint32_t i = 0; i < bars; i++) {
        const uint32_t device = (uint32_t)((uint64_t)i * devices / bars);
        draw_bar(out, view, device, scratch, LEFT + room * i + room * .08, room * .84,
                 (HEIGHT - TOP - BOTTOM) / (axis.to - axis.from));
    }
    draw_legend(out, view, devices, bars);
    (void)fprintf(out, "</svg>\n");
    free(scratch);
    return COVEY_OK;
}
