/* What server and devices said in their --json lines, as the outcome of a run. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_object.h"
#include "outcome_fields.h"
#include "real_run.h"

#define LINE_BYTES (64u << 10)
#define ROUNDS (1u << 20)
#define UPDATES (1u << 24)

/* ------------------------------------------------------------------ the outcome in memory */

void real_outcome_free(struct real_outcome *outcome)
{
    free(outcome->rounds);
    free(outcome->updates);
    *outcome = (struct real_outcome){0};
}

static enum covey_status grow(void **items, uint32_t count, uint32_t *capacity, size_t bytes, uint32_t limit,
                              struct covey_error *err)
{
    if (count < *capacity)
        return COVEY_OK;
    const uint32_t wanted = *capacity == 0 ? 64 : 2 * *capacity;
    void *grown = wanted > limit ? NULL : reallocarray(*items, wanted, bytes);
    if (grown == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u rounds or updates", wanted);
    *items = grown;
    *capacity = wanted;
    return COVEY_OK;
}

enum covey_status real_outcome_add_round(struct real_outcome *outcome, const struct covey_sim_round *round,
                                         struct covey_error *err)
{
    void *items = outcome->rounds;
    COVEY_TRY(
        grow(&items, outcome->round_count, &outcome->round_capacity, sizeof *outcome->rounds, ROUNDS, err));
    outcome->rounds = items;
    outcome->rounds[outcome->round_count++] = *round;
    return COVEY_OK;
}

enum covey_status real_outcome_add_update(struct real_outcome *outcome, const struct covey_sim_update *update,
                                          struct covey_error *err)
{
    void *items = outcome->updates;
    COVEY_TRY(grow(&items, outcome->update_count, &outcome->update_capacity, sizeof *outcome->updates,
                   UPDATES, err));
    outcome->updates = items;
    outcome->updates[outcome->update_count++] = *update;
    return COVEY_OK;
}

int real_by_round(const void *a, const void *b)
{
    const struct covey_sim_update *x = a, *y = b;
    if (x->round != y->round)
        return x->round < y->round ? -1 : 1;
    return x->device < y->device ? -1 : x->device > y->device;
}

void real_outcome_sort(struct real_outcome *outcome)
{
    if (outcome->update_count > 0)
        qsort(outcome->updates, outcome->update_count, sizeof *outcome->updates, real_by_round);
}

enum covey_status real_outcome_write_times(const struct real_outcome *outcome, const char *path,
                                           struct covey_error *err)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    (void)fprintf(file, "device,round,training_ms,fetch_ms,send_ms\n");
    for (uint32_t i = 0; i < outcome->update_count; i++) {
        const struct covey_sim_update *update = &outcome->updates[i];
        (void)fprintf(file, "%u,%u,%llu,%llu,%llu\n", update->device, update->round,
                      (unsigned long long)update->training_ms, (unsigned long long)update->fetch_ms,
                      (unsigned long long)update->send_ms);
    }
    const bool good = !ferror(file);
    return fclose(file) == 0 && good ? COVEY_OK : covey_fail(err, COVEY_IO, "%s: cannot be written", path);
}

/* ------------------------------------------------------------------ the server's lines */

/* What a server's line has beside the keys of a simulation's. */
struct server_line {
    double metric, seconds;
    bool is_round, is_end;
};

static enum covey_status see_server(void *user, const char *key, const struct covey_json_value *value,
                                    struct covey_error *err)
{
    struct server_line *line = user;
    (void)err;
    const double number = value->kind == COVEY_JSON_NUMBER ? value->number : (double)NAN;
    if (strcmp(key, "accuracy") == 0 || strcmp(key, "rmse") == 0)
        line->metric = number;
    else if (strcmp(key, "seconds") == 0)
        line->seconds = number;
    line->is_round |= strcmp(key, "round") == 0;
    line->is_end |= strcmp(key, "end") == 0;
    return COVEY_OK;
}

static bool is_better(const struct real_run *run, double metric, double best)
{
    return isnan(best) || (run->fleet.metric_is_error ? metric < best : metric > best);
}

/* Every datagram, lost ones too, since the last round. */
static void take_bytes(struct real_run *run, struct covey_sim_round *row)
{
    uint64_t up_bytes = 0, down_bytes = 0;
    for (uint32_t i = 0; i < REAL_NETWORKS; i++) {
        struct relay_counters up, down;
        if (run->relays[i] == NULL)
            continue;
        relay_count(run->relays[i], &up, &down);
        up_bytes += up.bytes;
        down_bytes += down.bytes;
    }
    row->bytes_up = up_bytes - run->bytes_up;
    row->bytes_down = down_bytes - run->bytes_down;
    run->bytes_up = up_bytes;
    run->bytes_down = down_bytes;
}

static enum covey_status take_round(struct real_run *run, const char *text, size_t bytes,
                                    const struct server_line *line, struct covey_error *err)
{
    struct covey_sim_summary *sum = &run->outcome->summary;
    struct covey_sim_round row;
    const uint64_t now_ms = real_now_ms();
    covey_outcome_fields_clear(covey_round_fields, &row, sizeof row);
    COVEY_TRY(covey_outcome_fields_read(text, bytes, covey_round_fields, &row, err));
    if (run->outcome->round_count == 0)
        run->first_opened_ms = now_ms - (uint64_t)(line->seconds > 0 ? line->seconds * 1000 : 0);
    run->progress_ms = now_ms;
    take_bytes(run, &row);
    row.metric = line->metric;
    row.virtual_s = row.wall_s = (double)(now_ms - run->first_opened_ms) / 1000;
    row.joules = 0; /* nobody measured them */
    if (!isnan(row.metric) && is_better(run, row.metric, sum->best))
        sum->best = row.metric;
    row.best = sum->best;
    sum->model = row.model;
    sum->accuracy = row.metric;
    sum->rounds += !row.abandoned;
    sum->abandoned += row.abandoned;
    sum->updates += row.updates;
    sum->dropped += row.dropped;
    sum->refused += row.refused;
    sum->bytes_up += row.bytes_up;
    sum->bytes_down += row.bytes_down;
    sum->update_bytes_up += row.update_bytes_up;
    sum->bytes_up_fp32 += row.bytes_up_fp32;
    sum->virtual_s = row.virtual_s;
    COVEY_TRY(real_outcome_add_round(run->outcome, &row, err));
    COVEY_TRY(covey_outcome_round(run->folder, &row, err));
    if (run->options.on_round != NULL)
        run->options.on_round(run->options.user, &row);
    return COVEY_OK;
}

enum covey_status real_gather_rounds(struct real_run *run, long *offset, struct covey_error *err)
{
    char path[REAL_PATH_BYTES], *line = malloc(LINE_BYTES);
    (void)snprintf(path, sizeof path, "%s/logs/rounds.jsonl", run->options.folder);
    FILE *file = line != NULL ? fopen(path, "re") : NULL;
    enum covey_status status = COVEY_OK;
    if (file == NULL || fseek(file, *offset, SEEK_SET) != 0)
        status = covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    while (status == COVEY_OK && fgets(line, (int)LINE_BYTES, file) != NULL) {
        struct server_line seen = {.metric = (double)NAN, .seconds = (double)NAN};
        const size_t bytes = strlen(line);
        if (line[bytes - 1] != '\n')
            break; /* the rest of it comes later */
        *offset += (long)bytes;
        status = covey_json_object_read(line, bytes - 1, see_server, &seen, err);
        if (status == COVEY_OK && seen.is_round && !seen.is_end)
            status = take_round(run, line, bytes - 1, &seen, err);
    }
    if (file != NULL)
        (void)fclose(file);
    free(line);
    return status;
}

/* ------------------------------------------------------------------ the devices' lines */

struct device_line {
    double round, training_s, fetch_s, send_s, bytes_up, bytes_down, examples;
    bool is_total;
};

static enum covey_status see_device(void *user, const char *key, const struct covey_json_value *value,
                                    struct covey_error *err)
{
    struct device_line *line = user;
    const struct {
        const char *key;
        double *into;
    } numbers[] = {{"round", &line->round},       {"training_s", &line->training_s},
                   {"fetch_s", &line->fetch_s},   {"send_s", &line->send_s},
                   {"bytes_up", &line->bytes_up}, {"bytes_down", &line->bytes_down},
                   {"examples", &line->examples}};
    (void)err;
    line->is_total |= strcmp(key, "total") == 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(key, numbers[i].key) == 0 && value->kind == COVEY_JSON_NUMBER)
            *numbers[i].into = value->number;
    return COVEY_OK;
}

static uint64_t in_ms(double seconds)
{
    return seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds * 1000 + 0.5) : 0;
}

static enum covey_status take_line(struct real_run *run, uint32_t device, const struct device_line *line,
                                   struct covey_error *err)
{
    struct covey_device_tally *tally = &run->tallies[device];
    if (line->is_total) {
        tally->bytes = (uint64_t)(line->bytes_up + line->bytes_down);
        return COVEY_OK;
    }
    tally->done++;
    tally->examples = (uint32_t)line->examples;
    return real_outcome_add_update(run->outcome,
                                   &(struct covey_sim_update){.round = (uint32_t)line->round,
                                                              .device = device,
                                                              .training_ms = in_ms(line->training_s),
                                                              .fetch_ms = in_ms(line->fetch_s),
                                                              .send_ms = in_ms(line->send_s)},
                                   err);
}

static enum covey_status gather_device(struct real_run *run, uint32_t device, char *text,
                                       struct covey_error *err)
{
    char name[COVEY_FLEET_NAME_BYTES], path[REAL_PATH_BYTES];
    covey_virtual_fleet_name(device, name);
    (void)snprintf(path, sizeof path, "%s/logs/%s.jsonl", run->options.folder, name);
    FILE *file = fopen(path, "re");
    enum covey_status status =
        file == NULL ? covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno)) : COVEY_OK;
    while (status == COVEY_OK && fgets(text, (int)LINE_BYTES, file) != NULL) {
        struct device_line line = {0};
        status = covey_json_object_read(text, strcspn(text, "\n"), see_device, &line, err);
        if (status == COVEY_OK)
            status = take_line(run, device, &line, err);
        else
            status = covey_fail_at(err, status, "%s: ", path);
    }
    if (file != NULL)
        (void)fclose(file);
    return status;
}

enum covey_status real_gather_updates(struct real_run *run, struct covey_error *err)
{
    char *text = malloc(LINE_BYTES);
    enum covey_status status =
        text == NULL ? covey_fail(err, COVEY_NO_MEMORY, "no memory for a line") : COVEY_OK;
    for (uint32_t device = 0; device < run->fleet.devices && status == COVEY_OK; device++)
        status = gather_device(run, device, text, err);
    free(text);
    real_outcome_sort(run->outcome);
    return status;
}
