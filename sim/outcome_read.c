#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "outcome_fields.h"
#include "outcome_folder.h"

/* ---- lines ---- */

enum covey_status covey_outcome_lines_open(const char *folder, const char *name,
                                           struct covey_outcome_lines *out, struct covey_error *err)
{
    struct covey_outcome_lines lines = {0};
    struct stat info;
    COVEY_TRY(covey_outcome_path(folder, name, lines.path, err));
    if (stat(lines.path, &info) != 0)
        return covey_fail(err, errno == ENOENT || errno == ENOTDIR ? COVEY_NOT_FOUND : COVEY_IO,
                          "%s: cannot be read: %m", lines.path);
    if (!S_ISREG(info.st_mode)) /* a pipe would wait for ever */
        return covey_fail(err, COVEY_IO, "%s: is no file", lines.path);
    lines.line = malloc(COVEY_OUTCOME_LINE_BYTES);
    if (lines.line == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory to read it", lines.path);
    lines.in = fopen(lines.path, "re");
    if (lines.in == NULL) {
        free(lines.line);
        return covey_fail(err, COVEY_IO, "%s: cannot be read: %m", lines.path);
    }
    *out = lines;
    return COVEY_OK;
}

enum covey_status covey_outcome_lines_next(struct covey_outcome_lines *lines, bool *more,
                                           struct covey_error *err)
{
    size_t bytes = 0;
    int character;
    lines->number++;
    while ((character = getc_unlocked(lines->in)) != EOF && character != '\n') {
        if (bytes == COVEY_OUTCOME_LINE_BYTES - 1)
            return covey_fail(err, COVEY_LIMIT, "%s:%llu: a line of more than %u bytes", lines->path,
                              (unsigned long long)lines->number, COVEY_OUTCOME_LINE_BYTES);
        lines->line[bytes++] = (char)character;
    }
    if (character == EOF && ferror(lines->in) != 0)
        return covey_fail(err, COVEY_IO, "%s: cannot be read: %m", lines->path);
    lines->whole = character == '\n';
    lines->bytes = bytes > 0 && lines->line[bytes - 1] == '\r' ? bytes - 1 : bytes;
    lines->line[lines->bytes] = '\0';
    *more = lines->whole || bytes > 0;
    return COVEY_OK;
}

void covey_outcome_lines_close(struct covey_outcome_lines *lines)
{
    if (lines->in != NULL)
        (void)fclose(lines->in);
    free(lines->line);
    lines->in = NULL;
    lines->line = NULL;
}

/* ---- rounds ---- */

static enum covey_status add_round(struct covey_outcome_run *run, const struct covey_sim_round *round,
                                   struct covey_error *err)
{
    const uint32_t count = run->round_count;
    if (count > 0 && round->round <= run->rounds[count - 1].round)
        return covey_fail(err, COVEY_CORRUPT, "round %u stands behind round %u", round->round,
                          run->rounds[count - 1].round);
    if (count >= COVEY_ROUNDS)
        return covey_fail(err, COVEY_LIMIT, "more than %u rounds", COVEY_ROUNDS);
    if ((count & (count - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
        const size_t room = count > 0 ? 2 * (size_t)count : 1;
        struct covey_sim_round *rounds = realloc(run->rounds, room * sizeof *rounds);
        if (rounds == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu rounds", room);
        run->rounds = rounds;
    }
    run->rounds[run->round_count++] = *round;
    return COVEY_OK;
}

static enum covey_status read_lines(struct covey_outcome_run *run, struct covey_outcome_lines *lines,
                                    struct covey_error *err)
{
    struct covey_sim_round round;
    for (bool more = true;;) {
        COVEY_TRY(covey_outcome_lines_next(lines, &more, err));
        if (!more)
            return COVEY_OK;
        covey_outcome_fields_clear(covey_round_fields, &round, sizeof round);
        enum covey_status status =
            covey_outcome_fields_read(lines->line, lines->bytes, covey_round_fields, &round, err);
        if (status != COVEY_OK && !lines->whole)
            return COVEY_OK; /* cut off while it was written */
        if (status == COVEY_OK)
            status = add_round(run, &round, err);
        if (status != COVEY_OK)
            return covey_fail_at(err, status, "%s:%llu: ", lines->path, (unsigned long long)lines->number);
    }
}

static enum covey_status read_rounds(struct covey_outcome_run *run, struct covey_error *err)
{
    struct covey_outcome_lines lines = {0};
    const enum covey_status opened = covey_outcome_lines_open(run->folder, "rounds.jsonl", &lines, err);
    if (opened == COVEY_NOT_FOUND)
        return covey_fail(err, opened, "%s: is no folder of a run: it has no rounds.jsonl", run->folder);
    COVEY_TRY(opened);
    const enum covey_status status = read_lines(run, &lines, err);
    covey_outcome_lines_close(&lines);
    return status;
}

/* ---- the summary ---- */

static void clean_name(struct covey_sim_summary *summary)
{
    for (char *at = summary->scenario; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20)
            *at = ' ';
}

enum covey_status covey_outcome_read_summary(const char *folder, struct covey_sim_summary *out,
                                             struct covey_error *err)
{
    struct covey_outcome_lines lines = {0};
    struct covey_sim_summary summary;
    bool more = false;
    COVEY_TRY(covey_outcome_lines_open(folder, "summary.json", &lines, err));
    covey_outcome_fields_clear(covey_summary_fields, &summary, sizeof summary);
    enum covey_status status = covey_outcome_lines_next(&lines, &more, err);
    if (status == COVEY_OK) {
        status = covey_outcome_fields_read(lines.line, lines.bytes, covey_summary_fields, &summary, err);
        if (status != COVEY_OK)
            status = covey_fail_at(err, status, "%s:1: ", lines.path);
    }
    covey_outcome_lines_close(&lines);
    if (status != COVEY_OK)
        return status;
    clean_name(&summary);
    *out = summary;
    return COVEY_OK;
}

/* What the rounds alone can tell. */
static void sum_up(const struct covey_outcome_run *run, struct covey_sim_summary *out)
{
    covey_outcome_fields_clear(covey_summary_fields, out, sizeof *out);
    const char *slash = strrchr(run->folder, '/');
    (void)snprintf(out->scenario, sizeof out->scenario, "%.*s", (int)sizeof out->scenario - 1,
                   slash != NULL && slash[1] != '\0' ? slash + 1 : run->folder);
    out->interrupted = true;
    out->joules = 0;
    for (uint32_t i = 0; i < run->round_count; i++) {
        const struct covey_sim_round *round = &run->rounds[i];
        out->rounds = round->round;
        out->abandoned += round->abandoned ? 1 : 0;
        if (!covey_hash_equal(&round->model, &(struct covey_hash){0})) /* of judged rounds */
            out->model = round->model;
        out->accuracy = isnan(round->metric) ? out->accuracy : round->metric;
        out->best = isnan(round->best) ? out->best : round->best;
        out->updates += round->updates;
        out->late += round->late;
        out->dropped += round->dropped;
        out->refused += round->refused;
        out->bytes_up += round->bytes_up;
        out->bytes_down += round->bytes_down;
        out->update_bytes_up += round->update_bytes_up;
        out->bytes_up_fp32 += round->bytes_up_fp32;
        out->joules += isnan(round->joules) ? 0 : round->joules;
        out->virtual_s = round->virtual_s;
        out->wall_s = round->wall_s;
    }
    clean_name(out);
}

static enum covey_status read_summary(struct covey_outcome_run *run, struct covey_error *err)
{
    struct covey_error missing = {0};
    const enum covey_status status = covey_outcome_read_summary(run->folder, &run->summary, &missing);
    if (status == COVEY_NOT_FOUND) {
        sum_up(run, &run->summary);
        return COVEY_OK;
    }
    return status == COVEY_OK ? COVEY_OK : covey_fail(err, status, "%s", missing.text);
}

/* ---- the scenario's text ---- */

static enum covey_status read_scenario(struct covey_outcome_run *run, struct covey_error *err)
{
    struct covey_outcome_lines lines = {0};
    struct covey_error missing = {0};
    char *text = calloc(1, COVEY_YAML_BYTES);
    if (text == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for its scenario", run->folder);
    run->scenario = text;
    const enum covey_status opened = covey_outcome_lines_open(run->folder, "scenario.yaml", &lines, &missing);
    if (opened == COVEY_NOT_FOUND)
        return COVEY_OK;
    if (opened != COVEY_OK)
        return covey_fail(err, opened, "%s", missing.text);
    const size_t bytes = fread(text, 1, COVEY_YAML_BYTES - 1, lines.in);
    text[bytes] = '\0';
    const bool over = bytes == COVEY_YAML_BYTES - 1 && getc_unlocked(lines.in) != EOF;
    const enum covey_status status =
        over ? covey_fail(err, COVEY_LIMIT, "%s: larger than %u bytes", lines.path, COVEY_YAML_BYTES - 1)
             : COVEY_OK;
    covey_outcome_lines_close(&lines);
    return status;
}

/* ---- a run ---- */

enum covey_status covey_outcome_read(const char *folder, struct covey_outcome_run *out,
                                     struct covey_error *err)
{
    struct covey_outcome_run run = {0};
    if (snprintf(run.folder, sizeof run.folder, "%s", folder) >= (int)sizeof run.folder)
        return covey_fail(err, COVEY_LIMIT, "%.100s...: the path is too long", folder);
    for (size_t length = strlen(run.folder); length > 1 && run.folder[length - 1] == '/';)
        run.folder[--length] = '\0';
    enum covey_status status;
    if ((status = read_rounds(&run, err)) != COVEY_OK || (status = read_summary(&run, err)) != COVEY_OK ||
        (status = read_scenario(&run, err)) != COVEY_OK ||
        (status = covey_outcome_devices_read(&run, err)) != COVEY_OK) {
        covey_outcome_free(&run);
        return status;
    }
    *out = run;
    return COVEY_OK;
}

void covey_outcome_free(struct covey_outcome_run *run)
{
    free(run->scenario);
    free(run->rounds);
    free(run->device_classes);
    free(run->link_classes);
    free(run->groups);
    free(run->metrics);
    *run = (struct covey_outcome_run){0};
}
