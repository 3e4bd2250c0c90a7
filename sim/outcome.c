#include "outcome.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "outcome_fields.h"
#include "outcome_folder.h"

struct covey_outcome {
    char folder[COVEY_FILE_PATH_BYTES];
    FILE *lines, *table;
};

enum covey_status covey_outcome_path(const char *folder, const char *name, char out[COVEY_OUTCOME_PATH_BYTES],
                                     struct covey_error *err)
{
    if (snprintf(out, COVEY_OUTCOME_PATH_BYTES, "%s/%s", folder, name) >= COVEY_OUTCOME_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%s: the path is too long", folder);
    return COVEY_OK;
}

/* ---- the folder ---- */

static enum covey_status make_folder(const char *folder, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (folder[0] == '\0' || snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "the folder's path must have 1 to %u bytes",
                          COVEY_FILE_PATH_BYTES - 1);
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        const char here = *at;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return covey_fail(err, COVEY_IO, "%s: cannot make this folder: %m", path);
        *at = here;
        if (here == '\0')
            return COVEY_OK;
    }
}

static enum covey_status open_file(const char *folder, const char *name, const char *mode, FILE **out,
                                   struct covey_error *err)
{
    char path[COVEY_OUTCOME_PATH_BYTES];
    COVEY_TRY(covey_outcome_path(folder, name, path, err));
    FILE *file = fopen(path, mode);
    if (file == NULL)
        return covey_fail(err, COVEY_IO, "%s: cannot be opened for writing: %m", path);
    *out = file;
    return COVEY_OK;
}

static enum covey_status remove_file(const char *folder, const char *name, struct covey_error *err)
{
    char path[COVEY_OUTCOME_PATH_BYTES];
    COVEY_TRY(covey_outcome_path(folder, name, path, err));
    if (unlink(path) != 0 && errno != ENOENT)
        return covey_fail(err, COVEY_IO, "%s: cannot be removed: %m", path);
    return COVEY_OK;
}

static enum covey_status check_written(FILE *file, const char *folder, struct covey_error *err)
{
    if (fflush(file) != 0 || ferror(file) != 0)
        return covey_fail(err, COVEY_IO, "%s: the outcome cannot be written: %m", folder);
    return COVEY_OK;
}

/* Under another name first, so that a file that is there is whole. */
static enum covey_status begin_file(const char *folder, const char *name, FILE **out, struct covey_error *err)
{
    char staged[64];
    (void)snprintf(staged, sizeof staged, "%s.new", name);
    return open_file(folder, staged, "w", out, err);
}

static enum covey_status end_file(const char *folder, const char *name, FILE *file, struct covey_error *err)
{
    char staged_name[64], staged[COVEY_OUTCOME_PATH_BYTES], path[COVEY_OUTCOME_PATH_BYTES];
    (void)snprintf(staged_name, sizeof staged_name, "%s.new", name);
    enum covey_status status = check_written(file, folder, err);
    if (fclose(file) != 0 && status == COVEY_OK)
        status = covey_fail(err, COVEY_IO, "%s/%s: cannot be written: %m", folder, name);
    COVEY_TRY(status);
    COVEY_TRY(covey_outcome_path(folder, staged_name, staged, err));
    COVEY_TRY(covey_outcome_path(folder, name, path, err));
    if (rename(staged, path) != 0)
        return covey_fail(err, COVEY_IO, "%s: cannot be put in place: %m", path);
    return COVEY_OK;
}

/* ---- going on ---- */

static enum covey_status keep_lines(struct covey_outcome *outcome, struct covey_outcome_lines *old,
                                    uint32_t last, struct covey_error *err)
{
    struct covey_sim_round round;
    for (bool more = true;;) {
        COVEY_TRY(covey_outcome_lines_next(old, &more, err));
        if (!more)
            return COVEY_OK;
        covey_outcome_fields_clear(covey_round_fields, &round, sizeof round);
        const enum covey_status status =
            covey_outcome_fields_read(old->line, old->bytes, covey_round_fields, &round, err);
        if (status != COVEY_OK && !old->whole)
            return COVEY_OK; /* the line that a crash cut off */
        if (status != COVEY_OK)
            return covey_fail_at(err, status, "%s:%llu: ", old->path, (unsigned long long)old->number);
        if (round.round > last)
            return COVEY_OK;
        covey_sim_round_write(outcome->lines, &round);
        (void)fputc('\n', outcome->lines);
        covey_outcome_fields_row(outcome->table, covey_round_fields, &round);
    }
}

static enum covey_status copy_rounds(struct covey_outcome *outcome, uint32_t last, struct covey_error *err)
{
    struct covey_outcome_lines old = {0};
    if (last == 0)
        return COVEY_OK;
    COVEY_TRY(covey_outcome_lines_open(outcome->folder, "rounds.jsonl", &old, err));
    const enum covey_status status = keep_lines(outcome, &old, last, err);
    covey_outcome_lines_close(&old);
    return status;
}

static enum covey_status begin_rounds(struct covey_outcome *outcome, uint32_t resume_round,
                                      struct covey_error *err)
{
    const char *folder = outcome->folder;
    COVEY_TRY(begin_file(folder, "rounds.jsonl", &outcome->lines, err));
    COVEY_TRY(begin_file(folder, "rounds.csv", &outcome->table, err));
    covey_outcome_fields_row(outcome->table, covey_round_fields, NULL);
    COVEY_TRY(copy_rounds(outcome, resume_round, err));
    FILE *lines = outcome->lines, *table = outcome->table;
    outcome->lines = outcome->table = NULL;
    const enum covey_status status = end_file(folder, "rounds.jsonl", lines, err);
    if (status != COVEY_OK) {
        (void)fclose(table);
        return status;
    }
    COVEY_TRY(end_file(folder, "rounds.csv", table, err));
    COVEY_TRY(remove_file(folder, "summary.json", err));
    COVEY_TRY(remove_file(folder, "devices.csv", err));
    COVEY_TRY(open_file(folder, "rounds.jsonl", "a", &outcome->lines, err));
    return open_file(folder, "rounds.csv", "a", &outcome->table, err);
}

enum covey_status covey_outcome_create(const char *folder, uint32_t resume_round, struct covey_outcome **out,
                                       struct covey_error *err)
{
    COVEY_TRY(make_folder(folder, err));
    struct covey_outcome *outcome = calloc(1, sizeof *outcome);
    if (outcome == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the outcome");
    (void)snprintf(outcome->folder, sizeof outcome->folder, "%s", folder);
    const enum covey_status status = begin_rounds(outcome, resume_round, err);
    if (status != COVEY_OK) {
        covey_outcome_destroy(outcome);
        return status;
    }
    *out = outcome;
    return COVEY_OK;
}

void covey_outcome_destroy(struct covey_outcome *outcome)
{
    if (outcome == NULL)
        return;
    if (outcome->lines != NULL)
        (void)fclose(outcome->lines);
    if (outcome->table != NULL)
        (void)fclose(outcome->table);
    free(outcome);
}

/* ---- as the run goes ---- */

enum covey_status covey_outcome_scenario(struct covey_outcome *outcome, const char *yaml,
                                         struct covey_error *err)
{
    FILE *file;
    COVEY_TRY(begin_file(outcome->folder, "scenario.yaml", &file, err));
    (void)fputs(yaml, file);
    return end_file(outcome->folder, "scenario.yaml", file, err);
}

enum covey_status covey_outcome_round(struct covey_outcome *outcome, const struct covey_sim_round *round,
                                      struct covey_error *err)
{
    covey_sim_round_write(outcome->lines, round);
    (void)fputc('\n', outcome->lines);
    COVEY_TRY(check_written(outcome->lines, outcome->folder, err));
    covey_outcome_fields_row(outcome->table, covey_round_fields, round);
    return check_written(outcome->table, outcome->folder, err);
}

enum covey_status covey_outcome_devices(struct covey_outcome *outcome,
                                        const struct covey_device_tally *tallies, uint32_t count,
                                        const char *const *device_classes, const char *const *link_classes,
                                        struct covey_error *err)
{
    FILE *file;
    COVEY_TRY(begin_file(outcome->folder, "devices.csv", &file, err));
    const enum covey_status status =
        covey_outcome_devices_write(file, tallies, count, device_classes, link_classes, err);
    if (status != COVEY_OK) {
        (void)fclose(file);
        return status;
    }
    return end_file(outcome->folder, "devices.csv", file, err);
}

enum covey_status covey_outcome_summary(struct covey_outcome *outcome,
                                        const struct covey_sim_summary *summary, struct covey_error *err)
{
    FILE *file;
    COVEY_TRY(begin_file(outcome->folder, "summary.json", &file, err));
    covey_sim_summary_write(file, summary);
    (void)fputc('\n', file);
    return end_file(outcome->folder, "summary.json", file, err);
}
