#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/json.h"

#define JSON_BYTES 16384
#define LABEL_KEYS 5 /* more would be no name any more */

/* ---- what the runs are called ---- */

static const char *last_part(const char *text, char separator)
{
    const char *found = strrchr(text, separator);
    return found != NULL && found[1] != '\0' ? found + 1 : text;
}

static void append(char label[COVEY_REPORT_LABEL_BYTES], const char *separator, const char *key,
                   const char *value)
{
    const size_t used = strlen(label);
    (void)snprintf(label + used, COVEY_REPORT_LABEL_BYTES - used, "%s%s%s%s", used > 0 ? separator : "", key,
                   key[0] != '\0' ? "=" : "", value);
}

static bool one_name(const struct covey_report *report)
{
    for (uint32_t i = 1; i < report->count; i++)
        if (strcmp(report->runs[i].outcome->summary.scenario, report->runs[0].outcome->summary.scenario) != 0)
            return false;
    return true;
}

void covey_report_label(const struct covey_report *report, uint32_t index, bool with_seed,
                        char label[COVEY_REPORT_LABEL_BYTES])
{
    const struct covey_outcome_run *run = report->runs[index].outcome;
    bool first = true;
    if (!one_name(report) || report->count == 1)
        append(label, "", "", run->summary.scenario);
    for (uint32_t i = 0; i < report->key_count && report->key_count <= LABEL_KEYS; i++) {
        const char *value = covey_scenario_pairs_find(&report->pairs[index], report->keys[i]);
        if (!with_seed && strcmp(report->keys[i], "seed") == 0)
            continue;
        append(label, first ? " " : ", ", last_part(report->keys[i], '.'), value != NULL ? value : "-");
        first = false;
    }
    if (label[0] == '\0')
        append(label, "", "", with_seed ? last_part(run->folder, '/') : run->summary.scenario);
}

/* Runs that would be called alike get their folder's name behind. */
static void tell_apart(const struct covey_report *report)
{
    for (uint32_t i = 0; i < report->count; i++) {
        bool alike = false;
        for (uint32_t j = 0; j < i && !alike; j++)
            alike = strcmp(report->runs[i].label, report->runs[j].label) == 0;
        if (alike)
            append(report->runs[i].label, ", ", "", last_part(report->runs[i].outcome->folder, '/'));
    }
}

static void name_runs(const struct covey_report *report)
{
    for (uint32_t i = 0; i < report->count; i++)
        covey_report_label(report, i, true, report->runs[i].label);
    tell_apart(report);
}

/* ---- how they compare ---- */

static bool better(const struct covey_report *report, uint32_t a, uint32_t b)
{
    const struct covey_report_run *left = &report->runs[a], *right = &report->runs[b];
    if (left->front != right->front)
        return left->front;
    const double one = left->outcome->summary.accuracy, other = right->outcome->summary.accuracy;
    const bool error = left->outcome->summary.metric_is_error;
    return !isnan(one) && (isnan(other) || (error ? one < other : one > other));
}

/* All of them; or, of too many, the front and then the most accurate, in the order of the table. */
static void choose_shown(struct covey_report *report)
{
    for (uint32_t i = 0; i < report->count; i++) {
        uint32_t ahead = 0;
        for (uint32_t j = 0; j < report->count; j++)
            ahead += j != i && (better(report, j, i) || (!better(report, i, j) && j < i)) ? 1 : 0;
        if (ahead < COVEY_SVG_SERIES)
            report->shown[report->shown_count++] = i;
    }
}

const char *covey_report_metric(const struct covey_report *report)
{
    return report->share ? "accuracy" : report->error ? "error (RMSE)" : "metric";
}

static bool are_errors(const struct covey_report *report)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (!report->runs[i].outcome->summary.metric_is_error)
            return false;
    return true;
}

static bool are_shares(const struct covey_report *report)
{
    for (uint32_t i = 0; i < report->count; i++) {
        const struct covey_outcome_run *run = report->runs[i].outcome;
        if (run->summary.metric_is_error)
            return false;
        for (uint32_t r = 0; r < run->round_count; r++)
            if (run->rounds[r].metric < 0 || run->rounds[r].metric > 1)
                return false;
    }
    return true;
}

static enum covey_status fill(struct covey_report *report, const struct covey_outcome_run *runs,
                              double target, struct covey_error *err)
{
    for (uint32_t i = 0; i < report->count; i++) {
        struct covey_report_run *run = &report->runs[i];
        run->outcome = &runs[i];
        run->target = isnan(target) ? runs[i].summary.target : target;
        covey_target_find(runs[i].rounds, runs[i].round_count, run->target, runs[i].summary.metric_is_error,
                          &run->crossing);
        COVEY_TRY(covey_scenario_pairs_read(runs[i].scenario != NULL ? runs[i].scenario : "",
                                            &report->pairs[i], err));
    }
    report->key_count =
        covey_scenario_differences(report->pairs, report->count, report->keys, COVEY_REPORT_KEYS);
    name_runs(report);
    COVEY_TRY(covey_report_groups_make(report, err));
    choose_shown(report);
    report->share = are_shares(report);
    report->error = are_errors(report);
    return COVEY_OK;
}

enum covey_status covey_report_create(const struct covey_outcome_run *runs, uint32_t count, double target,
                                      struct covey_report **out, struct covey_error *err)
{
    if (count == 0 || count > COVEY_REPORT_RUNS)
        return covey_fail(err, COVEY_LIMIT, "a report is of 1 to %u runs, not %u", COVEY_REPORT_RUNS, count);
    struct covey_report *report = calloc(1, sizeof *report);
    if (report == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u runs", count);
    report->count = count;
    report->runs = calloc(count, sizeof *report->runs);
    report->pairs = calloc(count, sizeof *report->pairs);
    const enum covey_status status = report->runs != NULL && report->pairs != NULL
                                         ? fill(report, runs, target, err)
                                         : covey_fail(err, COVEY_NO_MEMORY, "no memory for %u runs", count);
    if (status != COVEY_OK) {
        covey_report_destroy(report);
        return status;
    }
    *out = report;
    return COVEY_OK;
}

void covey_report_destroy(struct covey_report *report)
{
    if (report == NULL)
        return;
    for (uint32_t i = 0; report->pairs != NULL && i < report->count; i++)
        covey_scenario_pairs_free(&report->pairs[i]);
    free(report->pairs);
    free(report->groups);
    free(report->runs);
    free(report);
}

/* ---- for a terminal and for programs ---- */

static const char *rounds_text(const struct covey_report_run *run, char out[COVEY_SVG_LABEL_BYTES])
{
    if (isnan(run->target))
        (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "-");
    else if (!run->crossing.reached)
        (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "not reached");
    else
        (void)snprintf(out, COVEY_SVG_LABEL_BYTES, "%.1f", run->crossing.rounds);
    return out;
}

void covey_report_text(FILE *out, const struct covey_report *report)
{
    int width = 3;
    for (uint32_t i = 0; i < report->count; i++)
        width = (int)strlen(report->runs[i].label) > width ? (int)strlen(report->runs[i].label) : width;
    (void)fprintf(out, "  %-*s %7s %9s %9s %12s %9s %9s %9s %9s\n", width, "run", "rounds", "metric", "best",
                  "to target", "up", "down", "time", "energy");
    for (uint32_t i = 0; i < report->count; i++) {
        const struct covey_report_run *run = &report->runs[i];
        const struct covey_sim_summary *summary = &run->outcome->summary;
        char rounds[COVEY_SVG_LABEL_BYTES], up[COVEY_SVG_LABEL_BYTES], down[COVEY_SVG_LABEL_BYTES],
            seconds[COVEY_SVG_LABEL_BYTES], joules[COVEY_SVG_LABEL_BYTES];
        (void)fprintf(out, "%c %-*s %7u %9.4f %9.4f %12s %9s %9s %9s %9s%s\n", run->front ? '*' : ' ', width,
                      run->label, summary->rounds, summary->accuracy, summary->best, rounds_text(run, rounds),
                      covey_svg_label(COVEY_SVG_BYTES, (double)summary->bytes_up, false, up),
                      covey_svg_label(COVEY_SVG_BYTES, (double)summary->bytes_down, false, down),
                      covey_svg_label(COVEY_SVG_SECONDS, summary->virtual_s, false, seconds),
                      covey_svg_label(COVEY_SVG_JOULES, summary->joules, false, joules),
                      summary->interrupted ? "  (not finished)" : "");
    }
    if (report->group_count < report->count)
        covey_report_groups_text(out, report);
    if (report->comparable)
        (void)fprintf(out, "* nothing beats it in bytes up, virtual time and metric together\n");
}

static void json_run(struct covey_json *json, const struct covey_report *report, uint32_t index)
{
    const struct covey_report_run *run = &report->runs[index];
    const struct covey_sim_summary *summary = &run->outcome->summary;
    char hash[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(summary->model.bytes, sizeof summary->model.bytes, hash);
    covey_json_open(json, NULL, '{');
    covey_json_text(json, "run", run->outcome->folder);
    covey_json_text(json, "label", run->label);
    covey_json_text(json, "scenario", summary->scenario);
    covey_json_int(json, "rounds", summary->rounds);
    covey_json_real(json, "accuracy", summary->accuracy);
    covey_json_real(json, "best", summary->best);
    covey_json_bool(json, "metric_is_error", summary->metric_is_error);
    covey_json_text(json, "model_sha256", hash);
    covey_json_real(json, "target", run->target);
    covey_json_real(json, "rounds_to_target", run->crossing.rounds);
    covey_json_real(json, "virtual_s_to_target", run->crossing.virtual_s);
    covey_json_real(json, "bytes_up_to_target", run->crossing.bytes_up);
    covey_json_real(json, "joules_to_target", run->crossing.joules);
    covey_json_int(json, "updates", (int64_t)summary->updates);
    covey_json_int(json, "late", (int64_t)summary->late);
    covey_json_int(json, "dropped", (int64_t)summary->dropped);
    covey_json_int(json, "bytes_up", (int64_t)summary->bytes_up);
    covey_json_int(json, "bytes_down", (int64_t)summary->bytes_down);
    covey_json_real(json, "joules", summary->joules);
    covey_json_real(json, "virtual_s", summary->virtual_s);
    covey_json_real(json, "wall_s", summary->wall_s);
    covey_json_real(json, "worst_decile", summary->worst_decile);
    covey_json_real(json, "participation_gini", summary->participation_gini);
    covey_json_real(json, "battery_share_a_day", summary->battery_share_a_day);
    covey_json_bool(json, "pareto", run->front);
    covey_json_bool(json, "interrupted", summary->interrupted);
    covey_json_open(json, "differences", '{');
    for (uint32_t i = 0; i < report->key_count; i++)
        covey_json_text(json, report->keys[i],
                        covey_scenario_pairs_find(&report->pairs[index], report->keys[i]));
    covey_json_close(json, '}');
    covey_json_close(json, '}');
}

void covey_report_json(FILE *out, const struct covey_report *report)
{
    char text[JSON_BYTES];
    struct covey_json json;
    for (uint32_t i = 0; i < report->count; i++) {
        covey_json_init(&json, text, sizeof text);
        json_run(&json, report, i);
        (void)fprintf(out, "%s\n", text);
    }
    if (report->group_count < report->count)
        covey_report_groups_json(out, report);
}
