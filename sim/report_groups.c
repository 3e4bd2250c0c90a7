/* Runs whose scenarios differ in the seed alone: means, spreads, and which group nothing beats. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/json.h"
#include "html_text.h"
#include "report.h"

#define JSON_BYTES 8192
#define TEXT_BYTES 64

/* ---- who belongs together ---- */

static bool same_value(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool together(const struct covey_report *report, uint32_t a, uint32_t b)
{
    bool seeded = false;
    if (strcmp(report->runs[a].outcome->summary.scenario, report->runs[b].outcome->summary.scenario) != 0)
        return false;
    for (uint32_t i = 0; i < report->key_count; i++) {
        const bool same = same_value(covey_scenario_pairs_find(&report->pairs[a], report->keys[i]),
                                     covey_scenario_pairs_find(&report->pairs[b], report->keys[i]));
        if (strcmp(report->keys[i], "seed") == 0)
            seeded = !same;
        else if (!same)
            return false;
    }
    return seeded; /* runs that differ in nothing that is known stay apart */
}

static void assign(struct covey_report *report)
{
    for (uint32_t i = 0; i < report->count; i++) {
        uint32_t group = 0;
        while (group < report->group_count && !together(report, i, report->groups[group].first))
            group++;
        if (group == report->group_count) {
            report->groups[report->group_count++].first = i;
            covey_report_label(report, i, false, report->groups[group].label);
        }
        report->groups[group].count++;
        report->runs[i].group = group;
    }
}

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Runs that did not reach the target stand behind all that did. */
static double median_rounds(const struct covey_report *report, uint32_t group, double *values)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->count; i++)
        if (report->runs[i].group == group)
            values[count++] = report->runs[i].crossing.reached ? report->runs[i].crossing.rounds : INFINITY;
    qsort(values, count, sizeof *values, by_value);
    const double middle = (values[(count - 1) / 2] + values[count / 2]) / 2;
    return isfinite(middle) ? middle : (double)NAN;
}

static struct covey_report_spread spread(const struct covey_report *report, uint32_t group, double *values,
                                         double (*figure)(const struct covey_report_run *run))
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->count; i++)
        if (report->runs[i].group == group)
            values[count++] = figure(&report->runs[i]);
    return (struct covey_report_spread){covey_mean(values, count), covey_deviation(values, count)};
}

static double accuracy(const struct covey_report_run *run)
{
    return run->outcome->summary.accuracy;
}
static double best(const struct covey_report_run *run)
{
    return run->outcome->summary.best;
}
static double rounds_to_target(const struct covey_report_run *run)
{
    return run->crossing.rounds;
}
static double virtual_s_to_target(const struct covey_report_run *run)
{
    return run->crossing.virtual_s;
}
static double bytes_up_to_target(const struct covey_report_run *run)
{
    return run->crossing.bytes_up;
}
static double bytes_up(const struct covey_report_run *run)
{
    return (double)run->outcome->summary.bytes_up;
}
static double virtual_s(const struct covey_report_run *run)
{
    return run->outcome->summary.virtual_s;
}
static double joules(const struct covey_report_run *run)
{
    return run->outcome->summary.joules;
}

static void fill_group(const struct covey_report *report, uint32_t index, double *values)
{
    struct covey_report_group *group = &report->groups[index];
    for (uint32_t i = 0; i < report->count; i++)
        group->reached += report->runs[i].group == index && report->runs[i].crossing.reached ? 1 : 0;
    group->median_rounds_to_target = median_rounds(report, index, values);
    group->accuracy = spread(report, index, values, accuracy);
    group->best = spread(report, index, values, best);
    group->rounds_to_target = spread(report, index, values, rounds_to_target);
    group->virtual_s_to_target = spread(report, index, values, virtual_s_to_target);
    group->bytes_up_to_target = spread(report, index, values, bytes_up_to_target);
    group->bytes_up = spread(report, index, values, bytes_up);
    group->virtual_s = spread(report, index, values, virtual_s);
    group->joules = spread(report, index, values, joules);
}

/* Metrics on different data say nothing about each other. */
static bool is_comparable(const struct covey_report *report)
{
    for (uint32_t i = 0; i < report->key_count; i++)
        if (strncmp(report->keys[i], "data.", 5) == 0)
            return false;
    return report->count > 1;
}

static void mark_front(struct covey_report *report, double *points, bool *front)
{
    report->comparable = is_comparable(report);
    if (!report->comparable)
        return;
    for (uint32_t i = 0; i < report->group_count; i++) {
        points[3 * (size_t)i] = report->groups[i].bytes_up.mean;
        points[3 * (size_t)i + 1] = report->groups[i].virtual_s.mean;
        const double metric = report->groups[i].accuracy.mean;
        points[3 * (size_t)i + 2] =
            report->runs[report->groups[i].first].outcome->summary.metric_is_error ? metric : -metric;
    }
    covey_pareto_front(points, report->group_count, 3, front);
    for (uint32_t i = 0; i < report->group_count; i++)
        report->groups[i].front = front[i];
    for (uint32_t i = 0; i < report->count; i++)
        report->runs[i].front = front[report->runs[i].group];
}

enum covey_status covey_report_groups_make(struct covey_report *report, struct covey_error *err)
{
    double *values = calloc(report->count, 3 * sizeof *values);
    bool *front = calloc(report->count, sizeof *front);
    report->groups = calloc(report->count, sizeof *report->groups);
    const bool room = values != NULL && front != NULL && report->groups != NULL;
    if (room) {
        assign(report);
        for (uint32_t i = 0; i < report->group_count; i++)
            fill_group(report, i, values);
        mark_front(report, values, front);
    }
    free(values);
    free(front);
    return room ? COVEY_OK : covey_fail(err, COVEY_NO_MEMORY, "no memory for %u runs", report->count);
}

/* ---- as text, JSON, HTML ---- */

static const char *text_of(enum covey_svg_unit unit, struct covey_report_spread value, char out[TEXT_BYTES])
{
    char mean[COVEY_SVG_LABEL_BYTES], deviation[COVEY_SVG_LABEL_BYTES];
    if (isfinite(value.deviation))
        (void)snprintf(out, TEXT_BYTES, "%s \xC2\xB1 %s", covey_svg_label(unit, value.mean, true, mean),
                       covey_svg_label(unit, value.deviation, true, deviation));
    else
        (void)snprintf(out, TEXT_BYTES, "%s", covey_svg_label(unit, value.mean, true, mean));
    return out;
}

static const char *reached_text(const struct covey_report *report, const struct covey_report_group *group,
                                char out[TEXT_BYTES])
{
    char median[COVEY_SVG_LABEL_BYTES];
    if (isnan(report->runs[group->first].target))
        (void)snprintf(out, TEXT_BYTES, "\xE2\x80\x93");
    else
        (void)snprintf(out, TEXT_BYTES, "%s (%u of %u)",
                       covey_svg_label(COVEY_SVG_WHOLE, group->median_rounds_to_target, true, median),
                       group->reached, group->count);
    return out;
}

struct column {
    const char *name;
    enum covey_svg_unit unit;
    size_t offset;
};

static const struct column columns[] = {
    {"accuracy", COVEY_SVG_SHARE, offsetof(struct covey_report_group, accuracy)},
    {"best", COVEY_SVG_SHARE, offsetof(struct covey_report_group, best)},
    {"rounds to target", COVEY_SVG_WHOLE, offsetof(struct covey_report_group, rounds_to_target)},
    {"time to target", COVEY_SVG_SECONDS, offsetof(struct covey_report_group, virtual_s_to_target)},
    {"bytes up to target", COVEY_SVG_BYTES, offsetof(struct covey_report_group, bytes_up_to_target)},
    {"bytes up", COVEY_SVG_BYTES, offsetof(struct covey_report_group, bytes_up)},
    {"virtual time", COVEY_SVG_SECONDS, offsetof(struct covey_report_group, virtual_s)},
    {"energy", COVEY_SVG_JOULES, offsetof(struct covey_report_group, joules)},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

static struct covey_report_spread value_of(const struct covey_report_group *group, size_t column)
{
    struct covey_report_spread value;
    memcpy(&value, (const char *)group + columns[column].offset, sizeof value);
    return value;
}

static enum covey_svg_unit unit_of(const struct covey_report *report, size_t column)
{
    return columns[column].unit == COVEY_SVG_SHARE && !report->share ? COVEY_SVG_PLAIN : columns[column].unit;
}

void covey_report_groups_text(FILE *out, const struct covey_report *report)
{
    int width = 5;
    for (uint32_t i = 0; i < report->group_count; i++)
        width = (int)strlen(report->groups[i].label) > width ? (int)strlen(report->groups[i].label) : width;
    (void)fprintf(out, "over seeds:\n");
    for (uint32_t i = 0; i < report->group_count; i++) {
        const struct covey_report_group *group = &report->groups[i];
        char accuracy_text[TEXT_BYTES], best_text[TEXT_BYTES], reached[TEXT_BYTES], up[TEXT_BYTES],
            time[TEXT_BYTES];
        (void)fprintf(out, "%c %-*s  %u runs  %s %s  best %s  median rounds to target %s  up %s  time %s\n",
                      group->front ? '*' : ' ', width, group->label, group->count,
                      covey_report_metric(report),
                      text_of(unit_of(report, 0), group->accuracy, accuracy_text),
                      text_of(unit_of(report, 1), group->best, best_text),
                      reached_text(report, group, reached), text_of(COVEY_SVG_BYTES, group->bytes_up, up),
                      text_of(COVEY_SVG_SECONDS, group->virtual_s, time));
    }
}

static void json_spread(struct covey_json *json, const char *key, struct covey_report_spread value)
{
    covey_json_open(json, key, '{');
    covey_json_real(json, "mean", value.mean);
    covey_json_real(json, "deviation", value.deviation);
    covey_json_close(json, '}');
}

static void json_group(struct covey_json *json, const struct covey_report *report,
                       const struct covey_report_group *group)
{
    covey_json_open(json, NULL, '{');
    covey_json_text(json, "group", group->label);
    covey_json_int(json, "runs", group->count);
    covey_json_real(json, "target", report->runs[group->first].target);
    covey_json_int(json, "reached", group->reached);
    covey_json_real(json, "median_rounds_to_target", group->median_rounds_to_target);
    json_spread(json, "rounds_to_target", group->rounds_to_target);
    json_spread(json, "virtual_s_to_target", group->virtual_s_to_target);
    json_spread(json, "bytes_up_to_target", group->bytes_up_to_target);
    json_spread(json, "accuracy", group->accuracy);
    json_spread(json, "best", group->best);
    json_spread(json, "bytes_up", group->bytes_up);
    json_spread(json, "virtual_s", group->virtual_s);
    json_spread(json, "joules", group->joules);
    covey_json_bool(json, "pareto", group->front);
    covey_json_close(json, '}');
}

void covey_report_groups_json(FILE *out, const struct covey_report *report)
{
    char text[JSON_BYTES];
    struct covey_json json;
    for (uint32_t i = 0; i < report->group_count; i++) {
        covey_json_init(&json, text, sizeof text);
        json_group(&json, report, &report->groups[i]);
        (void)fprintf(out, "%s\n", text);
    }
}

void covey_report_groups_html(FILE *out, const struct covey_report *report)
{
    char text[TEXT_BYTES];
    (void)fputs(
        "<h2>Over seeds: mean \xC2\xB1 standard deviation</h2>\n<div class=\"wide\"><table><thead><tr>"
        "<th>runs that differ in the seed alone</th><th>runs</th>"
        "<th title=\"and how many of the runs reached it\">median rounds to target</th>",
        out);
    for (size_t i = 0; i < COLUMNS; i++)
        (void)fprintf(out, "<th>%s</th>", i == 0 ? covey_report_metric(report) : columns[i].name);
    (void)fputs("</tr></thead><tbody>\n", out);
    for (uint32_t i = 0; i < report->group_count; i++) {
        const struct covey_report_group *group = &report->groups[i];
        (void)fprintf(out, "<tr%s><td>", group->front ? " class=\"front\"" : "");
        covey_html_text(out, group->label);
        (void)fprintf(out, "%s</td><td>%u</td><td>%s</td>", group->front ? " \xE2\x98\x85" : "", group->count,
                      reached_text(report, group, text));
        for (size_t c = 0; c < COLUMNS; c++)
            (void)fprintf(out, "<td>%s</td>", text_of(unit_of(report, c), value_of(group, c), text));
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</tbody></table></div>\n", out);
}
