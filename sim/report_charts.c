/* The pictures of a report. */
#include <math.h>
#include <stdlib.h>

#include "report.h"

/* What a run's rounds are drawn from: (count) each, in one allocation. */
enum column { ROUND, METRIC, VIRTUAL_S, BYTES_UP, JOULES, JOULES_A_ROUND, TRAIN_LOSS, LOST, COLUMNS };

struct table {
    double *columns[COVEY_SVG_SERIES][COLUMNS];
    double *storage[COVEY_SVG_SERIES];
};

static void free_table(struct table *table)
{
    for (size_t i = 0; i < COVEY_SVG_SERIES; i++)
        free(table->storage[i]);
}

static void fill_columns(double *columns[COLUMNS], const struct covey_outcome_run *run)
{
    double bytes_up = 0, joules = 0;
    for (uint32_t i = 0; i < run->round_count; i++) {
        const struct covey_sim_round *round = &run->rounds[i];
        bytes_up += (double)round->bytes_up;
        joules += isfinite(round->joules) ? round->joules : 0;
        columns[ROUND][i] = round->round;
        columns[METRIC][i] = round->metric;
        columns[VIRTUAL_S][i] = round->virtual_s;
        columns[BYTES_UP][i] = bytes_up;
        columns[JOULES][i] = joules;
        columns[JOULES_A_ROUND][i] = round->joules;
        columns[TRAIN_LOSS][i] = round->train_loss;
        columns[LOST][i] = round->chosen > 0 ? ((double)round->late + round->dropped + round->refused) /
                                                   (double)round->chosen
                                             : (double)NAN;
    }
}

static bool make_table(const struct covey_report *report, struct table *out)
{
    *out = (struct table){.storage = {NULL}};
    for (uint32_t i = 0; i < report->shown_count; i++) {
        const struct covey_outcome_run *run = report->runs[report->shown[i]].outcome;
        const size_t count = run->round_count;
        out->storage[i] = calloc(count > 0 ? count : 1, COLUMNS * sizeof(double));
        if (out->storage[i] == NULL)
            return false;
        for (size_t column = 0; column < COLUMNS; column++)
            out->columns[i][column] = out->storage[i] + column * count;
        fill_columns(out->columns[i], run);
    }
    return true;
}

static bool any_finite(const struct covey_report *report, const struct table *table, enum column column)
{
    for (uint32_t i = 0; i < report->shown_count; i++)
        for (uint32_t r = 0; r < report->runs[report->shown[i]].outcome->round_count; r++)
            if (isfinite(table->columns[i][column][r]))
                return true;
    return false;
}

/* ---- by rounds ---- */

static void draw_lines(FILE *out, const struct covey_report *report, const struct table *table, enum column x,
                       enum column y, struct covey_svg_chart chart)
{
    struct covey_svg_series series[COVEY_SVG_SERIES];
    if (!any_finite(report, table, y))
        return;
    for (uint32_t i = 0; i < report->shown_count; i++) {
        const struct covey_report_run *run = &report->runs[report->shown[i]];
        series[i] = (struct covey_svg_series){.name = run->label,
                                              .x = table->columns[i][x],
                                              .y = table->columns[i][y],
                                              .count = run->outcome->round_count,
                                              .colour = i};
    }
    chart.series = series;
    chart.count = report->shown_count;
    covey_svg_chart_write(out, &chart);
}

static double common_target(const struct covey_report *report)
{
    for (uint32_t i = 1; i < report->count; i++)
        if (!(fabs(report->runs[i].target - report->runs[0].target) <= 0))
            return NAN;
    return report->runs[0].target;
}

static void draw_metric(FILE *out, const struct covey_report *report, const struct table *table)
{
    const enum covey_svg_unit unit = report->share ? COVEY_SVG_SHARE : COVEY_SVG_PLAIN;
    const char *metric = covey_report_metric(report);
    struct covey_svg_chart chart = {.y_label = metric,
                                    .y_unit = unit,
                                    .level = common_target(report),
                                    .level_name = "target",
                                    .title = report->share   ? "Accuracy over rounds"
                                             : report->error ? "Error over rounds"
                                                             : "Metric over rounds",
                                    .x_label = "round",
                                    .x_unit = COVEY_SVG_WHOLE};
    draw_lines(out, report, table, ROUND, METRIC, chart);
    chart.title = "… over virtual time";
    chart.x_label = "virtual time";
    chart.x_unit = COVEY_SVG_SECONDS;
    draw_lines(out, report, table, VIRTUAL_S, METRIC, chart);
    chart.title = "… over bytes from the devices";
    chart.x_label = "bytes up, all datagrams";
    chart.x_unit = COVEY_SVG_BYTES;
    draw_lines(out, report, table, BYTES_UP, METRIC, chart);
    chart.title = "… over the devices' energy";
    chart.x_label = "energy";
    chart.x_unit = COVEY_SVG_JOULES;
    draw_lines(out, report, table, JOULES, METRIC, chart);
}

static void draw_losses(FILE *out, const struct covey_report *report)
{
    static const char *const names[] = {"late", "dropped", "refused"};
    const struct covey_outcome_run *run = report->runs[0].outcome;
    double *values = calloc((size_t)run->round_count + 1, 3 * sizeof *values), sum = 0;
    for (uint32_t i = 0; values != NULL && i < run->round_count; i++) {
        values[i] = run->rounds[i].late;
        values[run->round_count + i] = run->rounds[i].dropped;
        values[2 * (size_t)run->round_count + i] = run->rounds[i].refused;
        sum += values[i] + run->rounds[i].dropped + run->rounds[i].refused;
    }
    const struct covey_svg_bars bars = {.title = "Late, dropped, refused",
                                        .x_label = "round",
                                        .y_label = "devices",
                                        .y_unit = COVEY_SVG_WHOLE,
                                        .names = names,
                                        .values = values,
                                        .parts = 3,
                                        .count = run->round_count,
                                        .first = run->round_count > 0 ? run->rounds[0].round : 1};
    if (sum > 0)
        covey_svg_bars_write(out, &bars);
    free(values);
}

static void draw_rounds(FILE *out, const struct covey_report *report, const struct table *table)
{
    draw_metric(out, report, table);
    draw_lines(out, report, table, ROUND, TRAIN_LOSS,
               (struct covey_svg_chart){.title = "Training loss on the devices",
                                        .x_label = "round",
                                        .y_label = "loss",
                                        .x_unit = COVEY_SVG_WHOLE,
                                        .from_zero = true,
                                        .level = NAN});
    draw_lines(out, report, table, ROUND, JOULES_A_ROUND,
               (struct covey_svg_chart){.title = "Energy of the devices, a round",
                                        .x_label = "round",
                                        .y_label = "energy",
                                        .x_unit = COVEY_SVG_WHOLE,
                                        .y_unit = COVEY_SVG_JOULES,
                                        .from_zero = true,
                                        .level = NAN});
    if (report->count == 1)
        draw_losses(out, report);
    else
        draw_lines(out, report, table, ROUND, LOST,
                   (struct covey_svg_chart){.title = "Late, dropped or refused, of those chosen",
                                            .x_label = "round",
                                            .y_label = "share of the chosen",
                                            .x_unit = COVEY_SVG_WHOLE,
                                            .y_unit = COVEY_SVG_SHARE,
                                            .from_zero = true,
                                            .level = NAN});
}

/* ---- by devices ---- */

static int by_done(const void *a, const void *b)
{
    const struct covey_outcome_group *left = a, *right = b;
    return (left->done > right->done) - (left->done < right->done);
}

/* x: share of the devices, those that did least first; y: their share of the updates. (count + 1) each. */
static size_t lorenz(const struct covey_outcome_run *run, double *x, double *y)
{
    double devices = 0, updates = 0;
    struct covey_outcome_group *groups = calloc((size_t)run->group_count + 1, sizeof *groups);
    if (groups == NULL)
        return 0;
    for (uint32_t i = 0; i < run->group_count; i++)
        groups[i] = run->groups[i];
    qsort(groups, run->group_count, sizeof *groups, by_done);
    x[0] = y[0] = 0;
    for (uint32_t i = 0; i < run->group_count; i++) {
        devices += (double)groups[i].devices;
        updates += (double)groups[i].devices * groups[i].done;
        x[i + 1] = devices;
        y[i + 1] = updates;
    }
    free(groups);
    for (uint32_t i = 0; i <= run->group_count; i++) {
        x[i] = devices > 0 ? x[i] / devices : 0;
        y[i] = updates > 0 ? y[i] / updates : (double)NAN;
    }
    return (size_t)run->group_count + 1;
}

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* x: metric; y: share of the devices judged that have at most so much. */
static size_t distribution(const struct covey_outcome_run *run, double *x, double *y)
{
    for (uint32_t i = 0; i < run->metric_count; i++)
        x[i] = run->metrics[i];
    if (run->metric_count > 0)
        qsort(x, run->metric_count, sizeof *x, by_value);
    for (uint32_t i = 0; i < run->metric_count; i++)
        y[i] = (i + 1.) / run->metric_count;
    return run->metric_count;
}

static void draw_curves(FILE *out, const struct covey_report *report,
                        size_t (*curve)(const struct covey_outcome_run *run, double *x, double *y),
                        struct covey_svg_chart chart)
{
    struct covey_svg_series series[COVEY_SVG_SERIES];
    double *storage[COVEY_SVG_SERIES] = {NULL};
    for (uint32_t i = 0; i < report->shown_count; i++) {
        const struct covey_report_run *run = &report->runs[report->shown[i]];
        const size_t room = (size_t)run->outcome->group_count + run->outcome->metric_count + 1;
        storage[i] = calloc(room, 2 * sizeof(double));
        const size_t points = storage[i] != NULL ? curve(run->outcome, storage[i], storage[i] + room) : 0;
        if (points > 1)
            series[chart.count++] = (struct covey_svg_series){
                .name = run->label, .x = storage[i], .y = storage[i] + room, .count = points, .colour = i};
    }
    chart.series = series;
    if (chart.count > 0)
        covey_svg_chart_write(out, &chart);
    for (uint32_t i = 0; i < report->shown_count; i++)
        free(storage[i]);
}

/* Of one run: how many devices completed 0, 1, 2 ... updates. */
static void draw_participation(FILE *out, const struct covey_outcome_run *run)
{
    static const char *const names[] = {"devices"};
    uint32_t most = 0;
    for (uint32_t i = 0; i < run->group_count; i++)
        most = run->groups[i].done > most ? run->groups[i].done : most;
    if (run->group_count == 0 || most > 100000)
        return;
    double *values = calloc((size_t)most + 1, sizeof *values);
    if (values == NULL)
        return;
    for (uint32_t i = 0; i < run->group_count; i++)
        values[run->groups[i].done] += (double)run->groups[i].devices;
    const struct covey_svg_bars bars = {.title = "How often devices took part",
                                        .x_label = "updates completed",
                                        .y_label = "devices",
                                        .y_unit = COVEY_SVG_WHOLE,
                                        .names = names,
                                        .values = values,
                                        .parts = 1,
                                        .count = (size_t)most + 1};
    covey_svg_bars_write(out, &bars);
    free(values);
}

static void draw_devices(FILE *out, const struct covey_report *report)
{
    draw_curves(out, report, lorenz,
                (struct covey_svg_chart){.title = "Who did the work (Lorenz curve)",
                                         .x_label = "devices, those that did least first",
                                         .y_label = "of the updates",
                                         .x_unit = COVEY_SVG_SHARE,
                                         .y_unit = COVEY_SVG_SHARE,
                                         .level = NAN,
                                         .diagonal = true});
    if (report->count == 1)
        draw_participation(out, report->runs[0].outcome);
    draw_curves(out, report, distribution,
                (struct covey_svg_chart){.title = "The last model on devices' own examples",
                                         .x_label = covey_report_metric(report),
                                         .y_label = "devices with at most so much",
                                         .x_unit = report->share ? COVEY_SVG_SHARE : COVEY_SVG_PLAIN,
                                         .y_unit = COVEY_SVG_SHARE,
                                         .from_zero = true,
                                         .level = report->error ? .9 : .1,
                                         .level_name = "worst tenth"});
}

/* ---- by runs ---- */

static double worst_decile_of(const struct covey_sim_summary *summary)
{
    return summary->worst_decile;
}

static double battery_of(const struct covey_sim_summary *summary)
{
    return summary->battery_share_a_day;
}

static void draw_by_run(FILE *out, const struct covey_report *report,
                        double (*figure)(const struct covey_sim_summary *summary), const char *title,
                        const char *label, enum covey_svg_unit unit)
{
    const char *const names[] = {label};
    double *values = calloc(report->count, sizeof *values);
    bool any = false;
    for (uint32_t i = 0; values != NULL && i < report->count; i++) {
        values[i] = figure(&report->runs[i].outcome->summary);
        any = any || isfinite(values[i]);
    }
    const struct covey_svg_bars bars = {.title = title,
                                        .x_label = "run, by its number in the table",
                                        .y_label = label,
                                        .y_unit = unit,
                                        .names = names,
                                        .values = values,
                                        .parts = 1,
                                        .count = report->count,
                                        .first = 1};
    if (any && report->count <= COVEY_SVG_BARS)
        covey_svg_bars_write(out, &bars);
    free(values);
}

struct cloud {
    double bytes[2][COVEY_REPORT_RUNS], seconds[2][COVEY_REPORT_RUNS], metric[2][COVEY_REPORT_RUNS];
    size_t count[2]; /* 0: beaten, 1: on the front */
};

static void draw_cloud(FILE *out, const struct covey_report *report, const struct cloud *cloud, bool bytes)
{
    static const char *const names[] = {"beaten by another run", "nothing beats it"};
    struct covey_svg_series series[2];
    for (uint32_t i = 0; i < 2; i++)
        series[i] = (struct covey_svg_series){.name = names[i],
                                              .x = bytes ? cloud->bytes[i] : cloud->seconds[i],
                                              .y = cloud->metric[i],
                                              .count = cloud->count[i],
                                              .colour = i == 0 ? 7 : 1,
                                              .dots = true,
                                              .hollow = i == 0};
    const struct covey_svg_chart chart = {.title = bytes ? "Runs by bytes up" : "Runs by virtual time",
                                          .x_label = bytes ? "bytes up" : "virtual time",
                                          .y_label = covey_report_metric(report),
                                          .x_unit = bytes ? COVEY_SVG_BYTES : COVEY_SVG_SECONDS,
                                          .y_unit = report->share ? COVEY_SVG_SHARE : COVEY_SVG_PLAIN,
                                          .level = NAN,
                                          .series = series,
                                          .count = 2};
    covey_svg_chart_write(out, &chart);
}

static void draw_runs(FILE *out, const struct covey_report *report)
{
    struct cloud *cloud = report->comparable ? calloc(1, sizeof *cloud) : NULL;
    for (uint32_t i = 0; cloud != NULL && i < report->count; i++) {
        const struct covey_sim_summary *summary = &report->runs[i].outcome->summary;
        const size_t side = report->runs[i].front ? 1 : 0, at = cloud->count[side]++;
        cloud->bytes[side][at] = (double)summary->bytes_up;
        cloud->seconds[side][at] = summary->virtual_s;
        cloud->metric[side][at] = summary->accuracy;
    }
    if (cloud != NULL) {
        draw_cloud(out, report, cloud, true);
        draw_cloud(out, report, cloud, false);
    }
    free(cloud);
    draw_by_run(out, report, worst_decile_of, "The worst tenth of the devices", covey_report_metric(report),
                report->share ? COVEY_SVG_SHARE : COVEY_SVG_PLAIN);
    draw_by_run(out, report, battery_of, "Battery that it costs a day", "of a battery", COVEY_SVG_SHARE);
}

void covey_report_charts(FILE *out, const struct covey_report *report)
{
    struct table table;
    (void)fputs("<div class=\"charts\">\n", out);
    if (make_table(report, &table))
        draw_rounds(out, report, &table);
    free_table(&table);
    draw_devices(out, report);
    if (report->count > 1)
        draw_runs(out, report);
    (void)fputs("</div>\n", out);
}
