#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html_text.h"
#include "outcome_fields.h"
#include "report.h"

#define ROUNDS 1000

static char *text;
static size_t bytes;

static FILE *begin(void)
{
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    return out;
}

static void end(FILE *out)
{
    cr_assert_eq(fclose(out), 0);
}

Test(html, outside_text_is_escaped)
{
    static const struct {
        const char *given, *wanted;
    } cases[] = {
        {"plain", "plain"},
        {"<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"},
        {"a & \"b\"", "a &amp; &quot;b&quot;"},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"\x01\n\x7F", "   "},
        {"\xC3", "\xEF\xBF\xBD"},
        {"\xC0\xBCscript", "\xEF\xBF\xBD\xEF\xBF\xBDscript"}, /* an overlong '<' */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x90\x80\x80z", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz"},
        {"\xE2\x82<", "\xEF\xBF\xBD\xEF\xBF\xBD&lt;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FILE *out = begin();
        covey_html_text(out, cases[i].given);
        end(out);
        cr_assert_str_eq(text, cases[i].wanted);
        free(text);
    }
}

Test(axis, ticks_are_round)
{
    static const struct {
        enum covey_svg_unit unit;
        double from, to, step, first, last;
    } cases[] = {
        {COVEY_SVG_WHOLE, 1, 100, 20, 0, 100},
        {COVEY_SVG_WHOLE, 1, 3, 1, 1, 3},
        {COVEY_SVG_SHARE, .71, .93, .05, .7, .95},
        {COVEY_SVG_SECONDS, 0, 7000, 1800, 0, 7200},
        {COVEY_SVG_SECONDS, 0, 864000, 172800, 0, 864000},
        {COVEY_SVG_PLAIN, -3, 2, 1, -3, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct covey_svg_axis axis = covey_svg_axis_fit(cases[i].unit, cases[i].from, cases[i].to, 6);
        cr_assert(!(fabs(axis.step - cases[i].step) > 1e-9), "case %zu: %g", i, axis.step);
        cr_assert(!(fabs(axis.from - cases[i].first) > 1e-9), "case %zu: %g", i, axis.from);
        cr_assert(!(fabs(axis.to - cases[i].last) > 1e-9), "case %zu: %g", i, axis.to);
    }
}

Test(axis, has_an_extent_whatever_it_shows)
{
    static const double values[] = {0, 1, -1, .97, 1e-300, 1e300, -1e300};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const struct covey_svg_axis axis = covey_svg_axis_fit(COVEY_SVG_PLAIN, values[i], values[i], 6);
        cr_assert(axis.to > axis.from && axis.step > 0, "%g", values[i]);
        cr_assert(axis.from <= values[i] && axis.to >= values[i], "%g", values[i]);
    }
}

Test(axis, labels_for_people)
{
    static const struct {
        enum covey_svg_unit unit;
        double value;
        const char *wanted;
    } cases[] = {
        {COVEY_SVG_WHOLE, 150, "150"},      {COVEY_SVG_WHOLE, 2500000, "2.5 M"},
        {COVEY_SVG_SHARE, .975, "97.5 %"},  {COVEY_SVG_BYTES, 1500000, "1.5 MB"},
        {COVEY_SVG_BYTES, 0, "0 B"},        {COVEY_SVG_SECONDS, 90, "90 s"},
        {COVEY_SVG_SECONDS, 600, "10 min"}, {COVEY_SVG_SECONDS, 86400, "24 h"},
        {COVEY_SVG_SECONDS, 259200, "3 d"}, {COVEY_SVG_JOULES, .002, "2 mJ"},
        {COVEY_SVG_PLAIN, .5, "0.5"},       {COVEY_SVG_PLAIN, NAN, "\xE2\x80\x93"},
    };
    char label[COVEY_SVG_LABEL_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_str_eq(covey_svg_label(cases[i].unit, cases[i].value, false, label), cases[i].wanted);
}

Test(scenario, text_as_pairs)
{
    struct covey_scenario_pairs pairs;
    static const char scenario[] =
        "name: x\n# a remark\ntrain:\n  epochs: 1\n  nested:\n    deep: [1, 2]\n"
        "devices:\n  - class: pi-4\n    share: 2\n  - class: host\nlist:\n- a\n- b\n"
        "file: C:\\x:y\nodd\n";
    static const char *const wanted[][2] = {{"name", "x"},
                                            {"train.epochs", "1"},
                                            {"train.nested.deep", "[1, 2]"},
                                            {"devices.0.class", "pi-4"},
                                            {"devices.0.share", "2"},
                                            {"devices.1.class", "host"},
                                            {"list.0", "a"},
                                            {"list.1", "b"},
                                            {"file", "C:\\x:y"}};
    cr_assert_eq(covey_scenario_pairs_read(scenario, &pairs, NULL), COVEY_OK);
    cr_assert_eq(pairs.count, sizeof wanted / sizeof wanted[0]);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *value = covey_scenario_pairs_find(&pairs, wanted[i][0]);
        cr_assert_not_null(value, "%s", wanted[i][0]);
        cr_assert_str_eq(value, wanted[i][1]);
    }
    covey_scenario_pairs_free(&pairs);
}

Test(scenario, other_peoples_text_does_no_harm)
{
    static const char *const cases[] = {
        "",
        "\n\n",
        "-",
        "- ",
        "- - - a: b",
        ":",
        ": ",
        "   : x\n - y",
        "a:\n b:\n  c:\n   d:\n    e:\n     f:\n      g:\n       h:\n        i: 1",
        "\t\xFF\xFE: \x01"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct covey_scenario_pairs pairs;
        cr_assert_eq(covey_scenario_pairs_read(cases[i], &pairs, NULL), COVEY_OK);
        covey_scenario_pairs_free(&pairs);
    }
}

/* ---- whole reports ---- */

static struct covey_outcome_run some_run(const char *name, const char *scenario, double metric, uint64_t up)
{
    struct covey_outcome_run run = {.round_count = ROUNDS};
    covey_outcome_fields_clear(covey_summary_fields, &run.summary, sizeof run.summary);
    (void)snprintf(run.folder, sizeof run.folder, "/runs/%.60s", name);
    (void)snprintf(run.summary.scenario, sizeof run.summary.scenario, "%.60s", name);
    run.summary.accuracy = run.summary.best = metric;
    run.summary.bytes_up = up * ROUNDS;
    run.summary.virtual_s = 10 * ROUNDS;
    run.summary.rounds = ROUNDS;
    run.scenario = strdup(scenario);
    run.rounds = calloc(ROUNDS, sizeof *run.rounds);
    cr_assert(run.scenario != NULL && run.rounds != NULL);
    for (uint32_t i = 0; i < ROUNDS; i++)
        run.rounds[i] = (struct covey_sim_round){.round = i + 1,
                                                 .metric = metric * (i + 1) / ROUNDS,
                                                 .virtual_s = 10 * (i + 1),
                                                 .bytes_up = up,
                                                 .chosen = 10,
                                                 .dropped = i % 3,
                                                 .train_loss = i % 7 == 0 ? NAN : 1,
                                                 .joules = 1};
    return run;
}

static void drop(struct covey_outcome_run *runs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        covey_outcome_free(&runs[i]);
}

static uint32_t count_of(const char *what)
{
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

static void page(const struct covey_outcome_run *runs, uint32_t count, double target)
{
    struct covey_report *report;
    struct covey_error err = {0};
    cr_assert_eq(covey_report_create(runs, count, target, &report, &err), COVEY_OK, "%s", err.text);
    FILE *out = begin();
    covey_report_html(out, report, runs[0].summary.scenario);
    end(out);
    covey_report_destroy(report);
}

static void closed(const char *tag)
{
    char bare[32], open[32], close[32];
    (void)snprintf(bare, sizeof bare, "<%s>", tag);
    (void)snprintf(open, sizeof open, "<%s ", tag);
    (void)snprintf(close, sizeof close, "</%s>", tag);
    cr_assert_eq(count_of(bare) + count_of(open), count_of(close), "%s: %u opened, %u closed", tag,
                 count_of(bare) + count_of(open), count_of(close));
}

Test(report, one_page_that_needs_nothing_else)
{
    struct covey_outcome_run run = some_run("<b>\"evil\"&'", "name: <b>\ncodec: </pre><script>x\n", .9, 1000);
    page(&run, 1, .45);
    cr_assert_null(strstr(text, "<b>\"evil"));
    cr_assert_null(strstr(text, "<script"));
    cr_assert_null(strstr(text, "http"), "no outside resource");
    cr_assert_null(strstr(text, "src="));
    cr_assert_null(strstr(text, "url("));
    cr_assert_null(strstr(text, "nan"));
    cr_assert_not_null(strstr(text, "prefers-color-scheme:dark"));
    cr_assert_not_null(strstr(text, "width=device-width"));
    cr_assert_not_null(strstr(text, "<title>&lt;b&gt;"));
    static const char *const tags[] = {"svg", "figure",  "figcaption", "table", "td",   "div",  "ul",
                                       "li",  "details", "pre",        "text",  "body", "html", "style"};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        closed(tags[i]);
    cr_assert(count_of("<figure>") >= 6);
    cr_assert(bytes < 200000, "%zu bytes: long lines are thinned", bytes);
    free(text);
    drop(&run, 1);
}

Test(report, runs_side_by_side_show_in_what_they_differ)
{
    struct covey_outcome_run runs[] = {
        some_run("x", "name: x\ncodec: int8\ntrain:\n  epochs: 1\nseed: 1\n", .9, 1000),
        some_run("x", "name: x\ncodec: raw32\ntrain:\n  epochs: 1\nseed: 1\n", .8, 4000)};
    struct covey_report *report;
    struct covey_error err = {0};
    cr_assert_eq(covey_report_create(runs, 2, .45, &report, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(report->key_count, 1);
    cr_assert_str_eq(report->keys[0], "codec");
    cr_assert_str_eq(report->runs[0].label, "codec=int8");
    cr_assert(report->runs[0].front && !report->runs[1].front);
    cr_assert(!(fabs(report->runs[0].crossing.rounds - 500) > 1e-6));
    cr_assert(!(fabs(report->runs[0].crossing.bytes_up - 500000) > 1e-3));
    covey_report_destroy(report);
    drop(runs, 2);
}

Test(report, runs_on_other_data_are_not_weighed_against_each_other)
{
    struct covey_outcome_run runs[] = {some_run("x", "data:\n  set: mnist\n", .9, 1000),
                                       some_run("x", "data:\n  set: har\n", .8, 4000)};
    struct covey_report *report;
    cr_assert_eq(covey_report_create(runs, 2, NAN, &report, NULL), COVEY_OK);
    cr_assert(!report->comparable && !report->runs[0].front && !report->runs[1].front);
    covey_report_destroy(report);
    drop(runs, 2);
}

Test(report, of_errors_the_least_is_the_best)
{
    struct covey_outcome_run runs[] = {some_run("x", "codec: int8\n", .9, 1000),
                                       some_run("x", "codec: raw32\n", .3, 1000)};
    struct covey_report *report;
    runs[0].summary.metric_is_error = runs[1].summary.metric_is_error = true;
    cr_assert_eq(covey_report_create(runs, 2, .2, &report, NULL), COVEY_OK);
    cr_assert(report->error && !report->share);
    cr_assert(!report->runs[0].front && report->runs[1].front);
    cr_assert(!(fabs(report->runs[1].crossing.rounds - 1) > 1e-9), "it begins under the target");
    covey_report_destroy(report);
    drop(runs, 2);
}

Test(report, runs_that_differ_in_the_seed_are_put_together)
{
    struct covey_outcome_run runs[] = {some_run("x", "codec: int8\nseed: 1\n", .90, 1000),
                                       some_run("x", "codec: raw32\nseed: 1\n", .95, 4000),
                                       some_run("x", "codec: int8\nseed: 2\n", .80, 1000),
                                       some_run("x", "codec: int8\nseed: 3\n", .40, 1000)};
    struct covey_report *report;
    struct covey_error err = {0};
    cr_assert_eq(covey_report_create(runs, 4, .5, &report, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(report->group_count, 2);
    const struct covey_report_group *group = &report->groups[0];
    cr_assert_str_eq(group->label, "codec=int8");
    cr_assert_eq(group->count, 3);
    cr_assert_eq(group->reached, 2);
    cr_assert(!(fabs(group->accuracy.mean - .7) > 1e-12));
    cr_assert(!(fabs(group->accuracy.deviation - sqrt(.07)) > 1e-12));
    cr_assert(isnan(group->rounds_to_target.mean), "not of those alone that reached it");
    cr_assert(!(fabs(group->median_rounds_to_target - 625) > 1e-6), "%g", group->median_rounds_to_target);
    cr_assert(report->groups[0].front && report->groups[1].front);
    covey_report_destroy(report);
    drop(runs, 4);
}

Test(report, many_runs_are_all_listed_and_the_best_drawn)
{
    enum { COUNT = 40 };
    static struct covey_outcome_run runs[COUNT];
    char scenario[64];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(scenario, sizeof scenario, "name: x\nseed: %d\nrate: %d\n", i, i);
        runs[i] = some_run("x", scenario, .5 + i * .01, 1000);
    }
    struct covey_report *report;
    struct covey_error err = {0};
    cr_assert_eq(covey_report_create(runs, COUNT, NAN, &report, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(report->shown_count, COVEY_SVG_SERIES);
    cr_assert_eq(report->shown[COVEY_SVG_SERIES - 1], COUNT - 1);
    covey_report_destroy(report);
    page(runs, COUNT, NAN);
    cr_assert_eq(count_of("<tr class=\"front\"><td>"), 1);
    cr_assert(count_of("<tr><td>") >= COUNT - 1);
    free(text);
    drop(runs, COUNT);
}

Test(report, runs_without_rounds_are_shown_too)
{
    struct covey_outcome_run run = some_run("x", "", .5, 1);
    run.round_count = 0;
    run.summary.accuracy = run.summary.best = NAN;
    page(&run, 1, .5);
    closed("svg");
    closed("figure");
    free(text);
    drop(&run, 1);
}
