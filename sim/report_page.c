/* The HTML page of a report: style, table of the runs, pictures, devices by class. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "html_text.h"
#include "report.h"

#define CLASS_TABLES 4 /* runs whose devices are listed by class */

/* Eight colours that differ in lightness and hue, at least 4.5 to 1 against their ground (WCAG 2.1, 1.4.3).
 */
static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d8dee4;--band:#f6f8fa;"
    "--c0:#0060a8;--c1:#b83c00;--c2:#00725a;--c3:#96308a;--c4:#7d5800;--c5:#4848c8;--c6:#b01846;--c7:#4d5a66}"
    "\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e9ec;--dim:#a0a8b0;--line:#343a40;"
    "--band:#1d2125;--c0:#6cb6ff;--c1:#ff9b6a;--c2:#4cd6a5;--c3:#f092d8;--c4:#e5b94e;--c5:#a9a9ff;"
    "--c6:#ff8aa5;--c7:#b4bec8}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:1200px;padding:16px;background:var(--bg);color:var(--fg);"
    "font:16px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.15rem;margin:1.6em 0 "
    ".5em}p{color:var(--dim);margin:.3em 0}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:8px;margin:16px 0}\n"
    ".tiles div{background:var(--band);border-radius:8px;padding:8px 12px}\n"
    ".tiles b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}.tiles span{color:var(--dim);"
    "font-size:.85rem}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line)}th{color:var(--dim);"
    "font-weight:600;vertical-align:bottom}\n"
    "th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--bg)}\n"
    "td.x{text-align:left}tr.front td:first-child{font-weight:700}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px}\n"
    "figure{margin:0;border:1px solid var(--line);border-radius:8px;padding:10px}figcaption{font-weight:600;"
    "margin-bottom:4px}\n"
    "figure>svg{width:100%;height:auto;display:block}svg text{fill:var(--fg);font-family:inherit}\n"
    ".t{font-size:12px}.l{font-size:13px}svg .t,svg .l{fill:var(--dim)}\n"
    ".g{stroke:var(--line)}.a{fill:none;stroke:var(--dim)}.v{fill:none;stroke:var(--dim);stroke-dasharray:5 "
    "4}\n"
    ".s{fill:none;stroke-width:2;stroke-linejoin:round}.m{stroke:none}.o{fill:none!important;stroke-width:1."
    "5}\n"
    "circle:hover{stroke:var(--fg);stroke-width:2}\n"
    ".d1{stroke-dasharray:7 3}.d2{stroke-dasharray:2 3}.d3{stroke-dasharray:9 3 2 3}\n"
    ".c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)"
    "}"
    ".c5{stroke:var(--c5)}.c6{stroke:var(--c6)}.c7{stroke:var(--c7)}\n"
    ".m.c0,.b.c0{fill:var(--c0)}.m.c1,.b.c1{fill:var(--c1)}.m.c2,.b.c2{fill:var(--c2)}.m.c3,.b.c3{fill:var(--"
    "c3)}"
    ".m.c4,.b.c4{fill:var(--c4)}.m.c5,.b.c5{fill:var(--c5)}.m.c6,.b.c6{fill:var(--c6)}.m.c7,.b.c7{fill:var(--"
    "c7)}"
    ".b{stroke:none}\n"
    ".legend{list-style:none;margin:6px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:2px "
    "14px;font-size:.85rem}"
    ".legend svg{width:24px;height:10px;margin-right:6px}.legend li{overflow-wrap:anywhere}\n"
    "details{margin:10px 0}summary{cursor:pointer}pre{overflow-x:auto;background:var(--band);padding:10px;"
    "border-radius:8px;font-size:.8rem}\n"
    "@media(max-width:540px){.t{font-size:15px}.l{font-size:16px}}\n"
    "@media print{figure{break-inside:avoid}}\n";

/* ---- cells ---- */

static void cell_text(FILE *out, const char *text, bool left)
{
    (void)fputs(left ? "<td class=\"x\">" : "<td>", out);
    covey_html_text(out, text != NULL && text[0] != '\0' ? text : "\xE2\x80\x93");
    (void)fputs("</td>", out);
}

static void cell(FILE *out, enum covey_svg_unit unit, double value)
{
    char label[COVEY_SVG_LABEL_BYTES];
    cell_text(out, covey_svg_label(unit, value, true, label), false);
}

static void tile(FILE *out, const char *name, enum covey_svg_unit unit, double value)
{
    char label[COVEY_SVG_LABEL_BYTES];
    if (!isfinite(value))
        return;
    (void)fprintf(out, "<div><b>%s</b><span>%s</span></div>\n", covey_svg_label(unit, value, true, label),
                  name);
}

/* ---- the table of the runs ---- */

struct figure {
    const char *name, *hint;
    enum covey_svg_unit unit;
    double value;
};
#define FIGURES 22

static uint32_t figures_of(const struct covey_report *report, const struct covey_report_run *run,
                           struct figure out[FIGURES])
{
    const struct covey_sim_summary *s = &run->outcome->summary;
    const enum covey_svg_unit metric = report->share ? COVEY_SVG_SHARE : COVEY_SVG_PLAIN;
    const struct figure figures[] = {
        {"rounds", "", COVEY_SVG_WHOLE, s->rounds},
        {covey_report_metric(report), "of the last model on the test part", metric, s->accuracy},
        {"best", "of all rounds", metric, s->best},
        {"target", "", metric, run->target},
        {"rounds to target", "first crossing of the best so far, interpolated", COVEY_SVG_WHOLE,
         run->crossing.rounds},
        {"time to target", "virtual", COVEY_SVG_SECONDS, run->crossing.virtual_s},
        {"bytes up to target", "", COVEY_SVG_BYTES, run->crossing.bytes_up},
        {"energy to target", "", COVEY_SVG_JOULES, run->crossing.joules},
        {"bytes up", "every datagram", COVEY_SVG_BYTES, (double)s->bytes_up},
        {"of them updates", "encoded", COVEY_SVG_BYTES, (double)s->update_bytes_up},
        {"bytes down", "every datagram", COVEY_SVG_BYTES, (double)s->bytes_down},
        {"virtual time", "", COVEY_SVG_SECONDS, s->virtual_s},
        {"energy", "of all devices", COVEY_SVG_JOULES, s->joules},
        {"battery a day", "mean of the devices with a battery", COVEY_SVG_SHARE, s->battery_share_a_day},
        {"updates", "accepted", COVEY_SVG_WHOLE, (double)s->updates},
        {"late", "", COVEY_SVG_WHOLE, (double)s->late},
        {"dropped", "", COVEY_SVG_WHOLE, (double)s->dropped},
        {"refused", "", COVEY_SVG_WHOLE, (double)s->refused},
        {"worst tenth", "mean metric of the worst tenth of the devices judged", metric, s->worst_decile},
        {"Gini", "of the updates completed: 0 all alike, 1 one device does everything", COVEY_SVG_PLAIN,
         s->participation_gini},
        {"wall time", "of the simulation", COVEY_SVG_SECONDS, s->wall_s},
        {"updates/s", "of the simulation", COVEY_SVG_PLAIN, s->updates_per_s},
    };
    _Static_assert(sizeof figures / sizeof figures[0] == FIGURES, "one place for each");
    memcpy(out, figures, sizeof figures);
    return FIGURES;
}

/* A column stands only where one run has something in it. */
static void used_columns(const struct covey_report *report, bool used[FIGURES])
{
    struct figure figures[FIGURES];
    memset(used, 0, FIGURES * sizeof *used);
    for (uint32_t i = 0; i < report->count; i++) {
        const uint32_t count = figures_of(report, &report->runs[i], figures);
        for (uint32_t f = 0; f < count; f++)
            used[f] = used[f] || isfinite(figures[f].value);
    }
}

static void write_header(FILE *out, const struct covey_report *report, const bool used[FIGURES])
{
    struct figure figures[FIGURES];
    (void)figures_of(report, &report->runs[0], figures);
    (void)fputs("<thead><tr><th>run</th>", out);
    for (uint32_t i = 0; i < report->key_count; i++) {
        (void)fputs("<th>", out);
        covey_html_text(out, report->keys[i]);
        (void)fputs("</th>", out);
    }
    for (uint32_t f = 0; f < FIGURES; f++)
        if (used[f])
            (void)fprintf(out, "<th title=\"%s\">%s</th>", figures[f].hint, figures[f].name);
    (void)fputs("<th>model</th></tr></thead>\n", out);
}

static void write_row(FILE *out, const struct covey_report *report, uint32_t index, const bool used[FIGURES])
{
    const struct covey_report_run *run = &report->runs[index];
    struct figure figures[FIGURES];
    char hash[COVEY_HASH_TEXT_BYTES];
    const bool front = run->front;
    (void)figures_of(report, run, figures);
    (void)fprintf(out, "<tr%s><td>%u. ", front ? " class=\"front\"" : "", index + 1);
    covey_html_text(out, run->label);
    (void)fputs(front ? " <span title=\"nothing beats it in bytes up, virtual time and accuracy "
                        "together\">\xE2\x98\x85</span>"
                      : "",
                out);
    (void)fputs(run->outcome->summary.interrupted ? " (not finished)</td>" : "</td>", out);
    for (uint32_t i = 0; i < report->key_count; i++)
        cell_text(out, covey_scenario_pairs_find(&report->pairs[index], report->keys[i]), false);
    for (uint32_t f = 0; f < FIGURES; f++)
        if (used[f])
            cell(out, figures[f].unit, figures[f].value);
    covey_hex_write(run->outcome->summary.model.bytes, COVEY_HASH_BYTES, hash);
    (void)fprintf(out, "<td><code title=\"%s\">%.8s</code></td></tr>\n", hash, hash);
}

static void write_runs(FILE *out, const struct covey_report *report)
{
    bool used[FIGURES];
    used_columns(report, used);
    (void)fputs("<div class=\"wide\"><table>\n", out);
    write_header(out, report, used);
    (void)fputs("<tbody>\n", out);
    for (uint32_t i = 0; i < report->count; i++)
        write_row(out, report, i, used);
    (void)fputs("</tbody></table></div>\n", out);
}

static void write_tiles(FILE *out, const struct covey_report *report)
{
    struct figure figures[FIGURES];
    const uint32_t count = figures_of(report, &report->runs[0], figures);
    (void)fputs("<div class=\"tiles\">\n", out);
    for (uint32_t f = 0; f < count; f++)
        tile(out, figures[f].name, figures[f].unit, figures[f].value);
    tile(out, "peak memory of the simulation", COVEY_SVG_BYTES,
         (double)report->runs[0].outcome->summary.peak_rss_bytes);
    (void)fputs("</div>\n", out);
}

/* ---- devices by class ---- */

static bool same_class(const struct covey_outcome_group *a, const struct covey_outcome_group *b)
{
    return a->device_class == b->device_class && a->link_class == b->link_class;
}

/* Groups lie by class, link, done: sums over a stretch of them. */
static struct covey_outcome_group sum_class(const struct covey_outcome_run *run, uint32_t first,
                                            uint32_t *next, double *updates, double *absent)
{
    struct covey_outcome_group sum = {.device_class = run->groups[first].device_class,
                                      .link_class = run->groups[first].link_class};
    *updates = *absent = 0;
    uint32_t i = first;
    for (; i < run->group_count && same_class(&run->groups[i], &sum); i++) {
        const struct covey_outcome_group *group = &run->groups[i];
        sum.devices += group->devices;
        sum.chosen += group->chosen;
        sum.late += group->late;
        sum.dropped += group->dropped;
        sum.bytes += group->bytes;
        sum.joules += group->joules;
        *updates += (double)group->devices * group->done;
        *absent += group->done == 0 ? (double)group->devices : 0;
    }
    *next = i;
    return sum;
}

static void write_classes(FILE *out, const struct covey_report_run *run)
{
    const struct covey_outcome_run *outcome = run->outcome;
    if (outcome->group_count == 0)
        return;
    (void)fputs("<h2>Devices", out);
    (void)fputs(": ", out);
    covey_html_text(out, run->label);
    (void)fputs("</h2>\n<div class=\"wide\"><table><thead><tr><th>class</th><th>link</th><th>devices</th>"
                "<th>took part</th><th>chosen</th><th>updates</th><th>late</th><th>dropped</th>"
                "<th>bytes a device</th><th>energy a device</th></tr></thead><tbody>\n",
                out);
    for (uint32_t i = 0; i < outcome->group_count;) {
        double updates, absent;
        const struct covey_outcome_group sum = sum_class(outcome, i, &i, &updates, &absent);
        const double devices = (double)sum.devices;
        (void)fputs("<tr>", out);
        cell_text(out, outcome->device_classes[sum.device_class], true);
        cell_text(out, outcome->link_classes[sum.link_class], true);
        cell(out, COVEY_SVG_WHOLE, devices);
        cell(out, COVEY_SVG_SHARE, devices > 0 ? 1 - absent / devices : NAN);
        cell(out, COVEY_SVG_WHOLE, (double)sum.chosen);
        cell(out, COVEY_SVG_WHOLE, updates);
        cell(out, COVEY_SVG_WHOLE, (double)sum.late);
        cell(out, COVEY_SVG_WHOLE, (double)sum.dropped);
        cell(out, COVEY_SVG_BYTES, (double)sum.bytes / devices);
        cell(out, COVEY_SVG_JOULES, sum.joules / devices);
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</tbody></table></div>\n", out);
}

/* ---- the page ---- */

static void write_scenarios(FILE *out, const struct covey_report *report)
{
    for (uint32_t i = 0; i < report->shown_count; i++) {
        const struct covey_report_run *run = &report->runs[report->shown[i]];
        if (run->outcome->scenario == NULL || run->outcome->scenario[0] == '\0')
            continue;
        (void)fputs("<details><summary>scenario.yaml: ", out);
        covey_html_text(out, run->label);
        (void)fputs("</summary><pre>", out);
        for (const char *line = run->outcome->scenario; *line != '\0';) {
            char text[512];
            const size_t bytes = strcspn(line, "\n");
            (void)snprintf(text, sizeof text, "%.*s", (int)(bytes < 500 ? bytes : 500), line);
            covey_html_text(out, text);
            (void)fputc('\n', out);
            line += bytes + (line[bytes] == '\n' ? 1 : 0);
        }
        (void)fputs("</pre></details>\n", out);
    }
}

static void write_machine(FILE *out, const struct covey_report *report)
{
    const struct covey_sim_summary *summary = &report->runs[0].outcome->summary;
    (void)fputs("<p>covey-sim " COVEY_VERSION, out);
    if (summary->cpu[0] != '\0') {
        (void)fputs("; the models' hashes hold on ", out);
        covey_html_text(out, summary->cpu);
        (void)fputs(", ", out);
        covey_html_text(out, summary->blas);
    }
    (void)fputs(".</p>\n", out);
}

void covey_report_html(FILE *out, const struct covey_report *report, const char *title)
{
    (void)fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
                "content=\"width=device-width,initial-scale=1\">\n<title>",
                out);
    covey_html_text(out, title);
    (void)fprintf(out, "</title>\n<style>\n%s</style></head><body>\n<h1>", style);
    covey_html_text(out, title);
    (void)fputs("</h1>\n", out);
    write_machine(out, report);
    if (report->count == 1)
        write_tiles(out, report);
    else
        write_runs(out, report);
    if (report->group_count < report->count)
        covey_report_groups_html(out, report);
    if (report->shown_count < report->count)
        (void)fprintf(out, "<p>Drawn as lines: %u of the %u runs, those that nothing beats first.</p>\n",
                      report->shown_count, report->count);
    covey_report_charts(out, report);
    for (uint32_t i = 0; i < report->count && i < CLASS_TABLES; i++)
        write_classes(out, &report->runs[i]);
    (void)fputs(report->shown_count > 0 ? "<h2>Scenarios</h2>\n" : "", out);
    write_scenarios(out, report);
    (void)fputs("</body></html>\n", out);
}

enum covey_status covey_report_save(const char *path, const struct covey_report *report, const char *title,
                                    struct covey_error *err)
{
    char staged[COVEY_FILE_PATH_BYTES + 8];
    if (snprintf(staged, sizeof staged, "%s.new", path) >= (int)sizeof staged)
        return covey_fail(err, COVEY_LIMIT, "%.100s...: the path is too long", path);
    FILE *out = fopen(staged, "we");
    if (out == NULL)
        return covey_fail(err, COVEY_IO, "%s: cannot be written: %m", staged);
    covey_report_html(out, report, title);
    const bool bad = ferror(out) != 0;
    if (fclose(out) != 0 || bad || rename(staged, path) != 0) {
        (void)unlink(staged);
        return covey_fail(err, COVEY_IO, "%s: cannot be written: %m", path);
    }
    return COVEY_OK;
}
