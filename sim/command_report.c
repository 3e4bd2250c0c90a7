/* covey-sim report: one run, or several side by side. */
#include "sim_commands.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

static const char help[] =
    "usage: covey-sim report RUN... [OPTIONS]\n"
    "\n"
    "Reads the folders that `covey-sim run --out` and `sweep` wrote, prints a table and writes one HTML "
    "file\n"
    "with pictures that needs nothing else: it works offline and on a phone.\n"
    "\n"
    "  --out FILE.html   where it goes (default: report.html, in the folder of a single RUN or else here)\n"
    "  --target A        metric to reach, as .97: rounds, time and bytes until then (default: each run's "
    "own)\n"
    "  --title TEXT      of the page\n"
    "  --json            an object a run on standard output; the page is written only with --out\n";

struct report_options {
    const char *out, *title;
    double target;
    bool json;
};

static int wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "covey-sim report: %s%s%s\n\n%s", what, value != NULL ? ": " : "",
                  value != NULL ? value : "", help);
    return 2;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct report_options *options)
{
    static const struct option longs[] = {
        {"out", required_argument, NULL, 'o'},   {"target", required_argument, NULL, 'a'},
        {"title", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    char *end;
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (option) {
        case 'o':
            options->out = optarg;
            break;
        case 't':
            options->title = optarg;
            break;
        case 'j':
            options->json = true;
            break;
        case 'a':
            options->target = strtod(optarg, &end);
            if (end == optarg || *end != '\0' || !isfinite(options->target))
                return wrong("--target wants a number", optarg);
            break;
        case 'h':
            (void)fputs(help, stdout);
            return 0;
        default:
            (void)fprintf(stderr, "\n%s", help);
            return 2;
        }
    }
    if (optind == argc)
        return wrong("no RUN is named", NULL);
    if (argc - optind > COVEY_REPORT_RUNS)
        return wrong("too many runs", argv[optind + COVEY_REPORT_RUNS]);
    return -1;
}

static const char *title_of(const struct covey_report *report)
{
    const char *first = report->runs[0].outcome->summary.scenario;
    for (uint32_t i = 1; i < report->count; i++)
        if (strcmp(report->runs[i].outcome->summary.scenario, first) != 0)
            return "Runs side by side";
    return first;
}

static enum covey_status write_page(const struct covey_report *report, const struct report_options *options,
                                    struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    const char *title = options->title != NULL ? options->title : title_of(report);
    if (options->json && options->out == NULL)
        return COVEY_OK;
    int size;
    if (options->out != NULL)
        size = snprintf(path, sizeof path, "%s", options->out);
    else if (report->count == 1)
        size = snprintf(path, sizeof path, "%s/report.html", report->runs[0].outcome->folder);
    else
        size = snprintf(path, sizeof path, "report.html");
    if (size >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "the path of the page is too long");
    COVEY_TRY(covey_report_save(path, report, title, err));
    if (!options->json)
        (void)printf("%s\n", path);
    return COVEY_OK;
}

static enum covey_status make_report(char **folders, uint32_t count, const struct report_options *options,
                                     struct covey_error *err)
{
    struct covey_outcome_run *runs = calloc(count, sizeof *runs);
    struct covey_report *report = NULL;
    enum covey_status status = runs != NULL ? COVEY_OK : covey_fail(err, COVEY_NO_MEMORY, "no memory");
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++)
        status = covey_outcome_read(folders[i], &runs[i], err);
    if (status == COVEY_OK)
        status = covey_report_create(runs, count, options->target, &report, err);
    if (status == COVEY_OK) {
        if (options->json)
            covey_report_json(stdout, report);
        else
            covey_report_text(stdout, report);
        status = write_page(report, options, err);
    }
    covey_report_destroy(report);
    for (uint32_t i = 0; runs != NULL && i < count; i++)
        covey_outcome_free(&runs[i]);
    free(runs);
    return status;
}

int command_report(int argc, char **argv)
{
    struct report_options options = {.target = NAN};
    struct covey_error err = {0};
    const int done = parse_options(argc, argv, &options);
    if (done >= 0)
        return done;
    if (make_report(argv + optind, (uint32_t)(argc - optind), &options, &err) != COVEY_OK) {
        (void)fprintf(stderr, "covey-sim report: %s\n", err.text);
        return 1;
    }
    return 0;
}
