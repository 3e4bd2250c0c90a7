#include <string.h>

#include "ledger_access.h"

struct opening {
    const struct covey_ledger_round *round;
    struct covey_bytes grid;
    const struct covey_ledger_assignment *cohort;
};

static enum covey_status write_opening(struct covey_database *database, const void *what,
                                       struct covey_error *err)
{
    const struct opening *opening = what;
    const struct covey_ledger_round *round = opening->round;
    int changes = 0;
    COVEY_TRY(covey_database_run(database, COVEY_SQL_ADD_ROUND, "opening a round", &changes, err, "tiibiiiib",
                                 round->federation, (int64_t)round->round, (int64_t)round->base_sequence,
                                 round->base_model.bytes, sizeof round->base_model.bytes, round->opened_ms,
                                 round->deadline_ms, (int64_t)round->slots, (int64_t)round->goal,
                                 opening->grid.data, opening->grid.size));
    if (changes == 0)
        return covey_fail(err, COVEY_EXISTS, "ledger: round %u of %s is there already", round->round,
                          round->federation);
    for (uint32_t slot = 0; slot < round->slots; slot++) {
        const struct covey_ledger_assignment *assignment = &opening->cohort[slot];
        COVEY_TRY(covey_database_run(database, COVEY_SQL_ADD_ASSIGNMENT, "recording an assignment", NULL, err,
                                     "btiit", assignment->id.bytes, sizeof assignment->id.bytes,
                                     round->federation, (int64_t)round->round, (int64_t)slot,
                                     assignment->device));
        COVEY_TRY(covey_database_run(database, COVEY_SQL_NOTE_CHOSEN, "counting a device's rounds", NULL, err,
                                     "tt", round->federation, assignment->device));
    }
    return COVEY_OK;
}

enum covey_status covey_ledger_open_round(struct covey_ledger *ledger, const struct covey_ledger_round *round,
                                          struct covey_bytes grid,
                                          const struct covey_ledger_assignment *cohort,
                                          struct covey_error *err)
{
    if (grid.size > COVEY_LEDGER_GRID_BYTES)
        return covey_fail(err, COVEY_LIMIT, "a grid of %zu bytes: at most %u", grid.size,
                          COVEY_LEDGER_GRID_BYTES);
    const struct opening opening = {round, grid, cohort};
    return covey_ledger_write(ledger, write_opening, &opening, err);
}

static enum covey_status forget_old(struct covey_database *database, const struct covey_ledger_round *round,
                                    struct covey_error *err)
{
    static const enum covey_ledger_query by_round[] = {COVEY_SQL_DROP_BODIES, COVEY_SQL_FORGET_GRIDS};
    static const enum covey_ledger_query by_age[] = {COVEY_SQL_FORGET_UPDATES, COVEY_SQL_FORGET_ASSIGNMENTS};
    for (size_t i = 0; i < 2; i++) {
        COVEY_TRY(covey_database_run(database, by_round[i], "clearing a round", NULL, err, "ti",
                                     round->federation, (int64_t)round->round));
    }
    const uint32_t keep =
        round->keep_rounds > COVEY_LEDGER_KEEP_ROUNDS ? round->keep_rounds : COVEY_LEDGER_KEEP_ROUNDS;
    const int64_t oldest = (int64_t)round->round - keep;
    for (size_t i = 0; i < 2; i++) {
        COVEY_TRY(covey_database_run(database, by_age[i], "forgetting old rounds", NULL, err, "ti",
                                     round->federation, oldest));
    }
    return COVEY_OK;
}

static enum covey_status write_closing(struct covey_database *database, const void *what,
                                       struct covey_error *err)
{
    const struct covey_ledger_round *round = what;
    int changes = 0;
    COVEY_TRY(covey_database_run(
        database, COVEY_SQL_CLOSE_ROUND, "closing a round", &changes, err, "iiibiiiiiidti",
        (int64_t)round->state, round->closed_ms, (int64_t)round->sequence, round->model.bytes,
        sizeof round->model.bytes, (int64_t)round->updates, (int64_t)round->dropped, (int64_t)round->examples,
        (int64_t)round->update_bytes, (int64_t)round->bytes_up, (int64_t)round->bytes_down, round->train_loss,
        round->federation, (int64_t)round->round));
    if (changes == 0)
        return covey_fail(err, COVEY_NOT_FOUND, "ledger: there is no round %u of %s", round->round,
                          round->federation);
    return forget_old(database, round, err);
}

enum covey_status covey_ledger_close_round(struct covey_ledger *ledger,
                                           const struct covey_ledger_round *round, struct covey_error *err)
{
    return covey_ledger_write(ledger, write_closing, round, err);
}

static enum covey_status write_judgement(struct covey_database *database, const void *what,
                                         struct covey_error *err)
{
    const struct covey_ledger_round *round = what;
    return covey_database_run(database, COVEY_SQL_JUDGE_ROUND, "recording a judgement", NULL, err, "ddti",
                              round->loss, round->metric, round->federation, (int64_t)round->round);
}

enum covey_status covey_ledger_judge_round(struct covey_ledger *ledger, const char *federation,
                                           uint32_t round, double loss, double metric,
                                           struct covey_error *err)
{
    struct covey_ledger_round what = {.round = round, .loss = loss, .metric = metric};
    (void)strncpy(what.federation, federation, sizeof what.federation - 1);
    return covey_ledger_write(ledger, write_judgement, &what, err);
}

static void read_round(struct covey_row *row, struct covey_ledger_round *out)
{
    *out = (struct covey_ledger_round){0};
    covey_row_text(row, 0, out->federation, sizeof out->federation);
    out->round = covey_row_u32(row, 1);
    out->state = (enum covey_ledger_round_state)covey_row_u32(row, 2);
    out->base_sequence = covey_row_u64(row, 3);
    covey_row_bytes(row, 4, out->base_model.bytes, sizeof out->base_model.bytes);
    out->opened_ms = covey_row_i64(row, 5);
    out->deadline_ms = covey_row_i64(row, 6);
    out->closed_ms = covey_row_i64(row, 7);
    out->slots = covey_row_u32(row, 8);
    out->goal = covey_row_u32(row, 9);
    out->sequence = covey_row_u64(row, 10);
    covey_row_bytes(row, 11, out->model.bytes, sizeof out->model.bytes);
    out->updates = covey_row_u32(row, 12);
    out->dropped = covey_row_u32(row, 13);
    out->examples = covey_row_u64(row, 14);
    out->update_bytes = covey_row_u64(row, 15);
    out->bytes_up = covey_row_u64(row, 16);
    out->bytes_down = covey_row_u64(row, 17);
    out->train_loss = covey_row_real(row, 18);
    out->judged = covey_row_u32(row, 19) != 0;
    out->loss = covey_row_real(row, 20);
    out->metric = covey_row_real(row, 21);
}

struct round_visit {
    bool (*each)(void *user, const struct covey_ledger_round *round);
    void *user;
};

static bool visit_round(void *user, struct covey_row *row)
{
    struct covey_ledger_round round;
    read_round(row, &round);
    return ((struct round_visit *)user)->each(((struct round_visit *)user)->user, &round);
}

enum covey_status covey_ledger_each_round(struct covey_ledger *ledger, const char *federation, uint32_t first,
                                          bool (*each)(void *user, const struct covey_ledger_round *round),
                                          void *user, struct covey_error *err)
{
    struct round_visit visit = {each, user};
    return covey_ledger_read(ledger, COVEY_SQL_EACH_ROUND, visit_round, &visit, NULL, err, "ti", federation,
                             (int64_t)first);
}

struct span {
    uint8_t *out;
    size_t *size;
    bool fits;
};

static bool copy_blob(void *user, struct covey_row *row)
{
    struct span *span = user;
    const struct covey_bytes blob = covey_row_blob(row, 0);
    span->fits = blob.size <= *span->size;
    if (span->fits && blob.size > 0)
        memcpy(span->out, blob.data, blob.size);
    *span->size = blob.size;
    return false;
}

enum covey_status covey_ledger_read_grid(struct covey_ledger *ledger, const char *federation, uint32_t round,
                                         uint8_t *out, size_t *size, struct covey_error *err)
{
    struct span span = {out, size, false};
    uint64_t count = 0;
    enum covey_status status = covey_ledger_read(ledger, COVEY_SQL_READ_GRID, copy_blob, &span, &count, err,
                                                 "ti", federation, (int64_t)round);
    if (status != COVEY_OK)
        return status;
    if (count == 0)
        return covey_fail(err, COVEY_NOT_FOUND, "ledger: there is no round %u of %s", round, federation);
    return span.fits ? COVEY_OK
                     : covey_fail(err, COVEY_LIMIT, "ledger: the grid of round %u is too large", round);
}
