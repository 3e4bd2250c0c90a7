#include "sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outcome.h"
#include "scenario.h"

/* ---- the grid ---- */

/* The comma behind a value; those within brackets belong to it, as in [{class: lte-m, share: 2}]. */
static char *value_end(char *at)
{
    int depth = 0;
    for (; *at != '\0'; at++) {
        if (*at == '[' || *at == '{')
            depth++;
        else if (*at == ']' || *at == '}')
            depth--;
        else if (*at == ',' && depth <= 0)
            return at;
    }
    return NULL;
}

enum covey_status covey_sweep_key_read(const char *text, struct covey_sweep_key *out, struct covey_error *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0')
        return covey_fail(err, COVEY_INVALID, "--grid %.60s: wants KEY=VALUE,VALUE...", text);
    if (strlen(text) >= sizeof out->text)
        return covey_fail(err, COVEY_LIMIT, "--grid %.60s...: more than %zu characters", text,
                          sizeof out->text - 1);
    *out = (struct covey_sweep_key){.count = 0};
    (void)strcpy(out->text, text);
    out->text[equals - text] = '\0';
    out->key = out->text;
    for (char *at = out->text + (equals - text) + 1; at != NULL;) {
        char *comma = value_end(at);
        if (comma != NULL)
            *comma = '\0';
        if (*at == '\0')
            return covey_fail(err, COVEY_INVALID, "--grid %.60s: a value is empty", text);
        if (out->count == COVEY_SWEEP_VALUES)
            return covey_fail(err, COVEY_LIMIT, "--grid %.60s: more than %d values", text,
                              COVEY_SWEEP_VALUES);
        out->values[out->count++] = at;
        at = comma != NULL ? comma + 1 : NULL;
    }
    return COVEY_OK;
}

static enum covey_status count_cells(const struct covey_sweep_key *keys, uint32_t key_count, uint32_t *out,
                                     struct covey_error *err)
{
    uint32_t cells = 1;
    if (key_count > COVEY_SWEEP_KEYS)
        return covey_fail(err, COVEY_LIMIT, "more than %d times --grid", COVEY_SWEEP_KEYS);
    for (uint32_t i = 0; i < key_count; i++) {
        cells *= keys[i].count; /* at most 1024 * 128 */
        if (cells > COVEY_SWEEP_CELLS)
            return covey_fail(err, COVEY_LIMIT, "the grid has more than %d cells", COVEY_SWEEP_CELLS);
    }
    *out = cells;
    return COVEY_OK;
}

static enum covey_status fill_cell(const struct covey_sweep_key *keys, uint32_t key_count, uint32_t number,
                                   struct covey_sweep_cell *cell, struct covey_error *err)
{
    cell->setting_count = key_count;
    for (uint32_t k = key_count; k-- > 0; number /= keys[k].count)
        if (snprintf(cell->settings[k], sizeof cell->settings[k], "%s=%s", keys[k].key,
                     keys[k].values[number % keys[k].count]) >= (int)sizeof cell->settings[k])
            return covey_fail(err, COVEY_LIMIT, "--grid %.60s: a value is too long", keys[k].key);
    return COVEY_OK;
}

static enum covey_status identify_cell(const struct covey_sweep *sweep, uint32_t index,
                                       const char *const *settings, uint32_t setting_count,
                                       const struct covey_sweep_runner *runner, struct covey_error *err)
{
    struct covey_sweep_cell *cell = &sweep->cells[index];
    const char *all[COVEY_SIM_SETTINGS];
    char hash[COVEY_HASH_TEXT_BYTES];
    uint32_t count = 0;
    if (setting_count + cell->setting_count > COVEY_SIM_SETTINGS)
        return covey_fail(err, COVEY_LIMIT, "more than %d settings", COVEY_SIM_SETTINGS);
    for (uint32_t i = 0; i < setting_count; i++)
        all[count++] = settings[i];
    for (uint32_t i = 0; i < cell->setting_count; i++)
        all[count++] = cell->settings[i];
    COVEY_TRY(runner->identify(runner->user, all, count, &cell->hash, err));
    covey_hex_write(cell->hash.bytes, sizeof cell->hash.bytes, hash);
    if (snprintf(cell->folder, sizeof cell->folder, "%s/%.16s", sweep->folder, hash) >=
        (int)sizeof cell->folder)
        return covey_fail(err, COVEY_LIMIT, "%.100s...: the path is too long", sweep->folder);
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(sweep->cells[i].folder, cell->folder) == 0)
            cell->state = COVEY_SWEEP_SAME;
    return COVEY_OK;
}

enum covey_status covey_sweep_plan(const struct covey_sweep_key *keys, uint32_t key_count,
                                   const char *const *settings, uint32_t setting_count, const char *folder,
                                   const struct covey_sweep_runner *runner, struct covey_sweep *out,
                                   struct covey_error *err)
{
    struct covey_sweep sweep = {.folder = folder, .jobs = 1};
    COVEY_TRY(count_cells(keys, key_count, &sweep.count, err));
    sweep.cells = calloc(sweep.count, sizeof *sweep.cells);
    if (sweep.cells == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u cells", sweep.count);
    for (uint32_t i = 0; i < sweep.count; i++) {
        enum covey_status status = fill_cell(keys, key_count, i, &sweep.cells[i], err);
        if (status == COVEY_OK)
            status = identify_cell(&sweep, i, settings, setting_count, runner, err);
        if (status != COVEY_OK) {
            covey_sweep_free(&sweep);
            return status;
        }
    }
    *out = sweep;
    return COVEY_OK;
}

void covey_sweep_free(struct covey_sweep *sweep)
{
    free(sweep->cells);
    *sweep = (struct covey_sweep){0};
}

void covey_sweep_label(const struct covey_sweep_cell *cell, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < cell->setting_count && used < out_bytes; i++) {
        const int size = snprintf(out + used, out_bytes - used, "%s%s", i > 0 ? ", " : "", cell->settings[i]);
        used += size > 0 ? (size_t)size : 0;
    }
}

/* ---- running ---- */

bool covey_sweep_complete(const char *folder, const struct covey_hash *hash)
{
    struct covey_sim_summary summary;
    return covey_outcome_read_summary(folder, &summary, NULL) == COVEY_OK && !summary.interrupted &&
           covey_hash_equal(&summary.scenario_hash, hash) == 1;
}

static bool was_stopped(const struct covey_sweep_cell *cell)
{
    struct covey_sim_summary summary;
    return covey_outcome_read_summary(cell->folder, &summary, NULL) == COVEY_OK && summary.interrupted;
}

static void change(struct covey_sweep *sweep, const struct covey_sweep_runner *runner, uint32_t index,
                   enum covey_sweep_state state)
{
    sweep->cells[index].state = state;
    if (runner->tell != NULL)
        runner->tell(runner->user, sweep, index);
}

static enum covey_status end_one(struct covey_sweep *sweep, const struct covey_sweep_runner *runner,
                                 struct covey_error *err)
{
    uint32_t index = 0;
    bool good = false;
    COVEY_TRY(runner->wait(runner->user, &index, &good, err));
    const struct covey_sweep_cell *cell = &sweep->cells[index];
    enum covey_sweep_state state = COVEY_SWEEP_FAILED;
    if (good && covey_sweep_complete(cell->folder, &cell->hash))
        state = COVEY_SWEEP_DONE;
    else if (was_stopped(cell))
        state = COVEY_SWEEP_STOPPED;
    change(sweep, runner, index, state);
    return COVEY_OK;
}

enum covey_status covey_sweep_run(struct covey_sweep *sweep, const struct covey_sweep_runner *runner,
                                  struct covey_error *err)
{
    uint32_t running = 0;
    enum covey_status status = COVEY_OK;
    for (uint32_t i = 0; i < sweep->count && status == COVEY_OK; i++) {
        struct covey_sweep_cell *cell = &sweep->cells[i];
        if (cell->state != COVEY_SWEEP_WAITING)
            continue;
        if (covey_sweep_complete(cell->folder, &cell->hash)) {
            change(sweep, runner, i, COVEY_SWEEP_CACHED);
            continue;
        }
        for (; running >= sweep->jobs && status == COVEY_OK; running--)
            status = end_one(sweep, runner, err);
        if (status != COVEY_OK || runner->stopped(runner->user))
            break;
        status = runner->start(runner->user, cell, i, err);
        if (status == COVEY_OK) {
            running++;
            change(sweep, runner, i, COVEY_SWEEP_RUNNING);
        }
    }
    for (; running > 0; running--) { /* those that run end in any case */
        struct covey_error late = {0};
        const enum covey_status ended = end_one(sweep, runner, &late);
        if (ended != COVEY_OK)
            return status == COVEY_OK ? covey_fail(err, ended, "%s", late.text) : status;
    }
    return status;
}
