#include <stdio.h>

#include "covey/hash.h"

#include "ledger_access.h"

struct assignment_visit {
    bool (*each)(void *user, uint32_t slot, const struct covey_ledger_assignment *assignment);
    void *user;
};

static bool visit_assignment(void *user, struct covey_row *row)
{
    struct assignment_visit *visit = user;
    struct covey_ledger_assignment assignment = {0};
    covey_row_bytes(row, 1, assignment.id.bytes, sizeof assignment.id.bytes);
    covey_row_text(row, 2, assignment.device, sizeof assignment.device);
    return visit->each(visit->user, covey_row_u32(row, 0), &assignment);
}

enum covey_status covey_ledger_each_assignment(struct covey_ledger *ledger, const char *federation,
                                               uint32_t round,
                                               bool (*each)(void *user, uint32_t slot,
                                                            const struct covey_ledger_assignment *assignment),
                                               void *user, struct covey_error *err)
{
    struct assignment_visit visit = {each, user};
    return covey_ledger_read(ledger, COVEY_SQL_EACH_ASSIGNMENT, visit_assignment, &visit, NULL, err, "ti",
                             federation, (int64_t)round);
}

enum covey_status covey_ledger_each_pending(struct covey_ledger *ledger, const char *federation,
                                            uint32_t round, uint32_t before,
                                            bool (*each)(void *user, uint32_t slot,
                                                         const struct covey_ledger_assignment *assignment),
                                            void *user, struct covey_error *err)
{
    struct assignment_visit visit = {each, user};
    return covey_ledger_read(ledger, COVEY_SQL_EACH_PENDING, visit_assignment, &visit, NULL, err, "tii",
                             federation, (int64_t)round, (int64_t)before);
}

static bool copy_body_hash(void *user, struct covey_row *row)
{
    struct covey_hash *out = user;
    covey_row_bytes(row, 0, out->bytes, sizeof out->bytes);
    return false;
}

static enum covey_status write_update(void *user, struct covey_ledger_job *job, struct covey_error *err)
{
    struct covey_database *database = ((struct covey_ledger *)user)->writing;
    struct covey_ledger_record *record = (struct covey_ledger_record *)job;
    const struct covey_ledger_update *update = &record->update;
    int changes = 0;
    COVEY_TRY(
        covey_database_run(database, COVEY_SQL_ADD_UPDATE, "recording an update", &changes, err,
                           "ttbiibiiiddib", update->federation, update->device, update->assignment.bytes,
                           sizeof update->assignment.bytes, (int64_t)update->round, (int64_t)update->slot,
                           update->body_hash.bytes, sizeof update->body_hash.bytes, (int64_t)update->examples,
                           (int64_t)update->training_ms, (int64_t)update->stream_bytes, update->loss_before,
                           update->loss_after, update->received_ms, update->body.data, update->body.size));
    record->outcome = COVEY_LEDGER_RECORDED;
    const uint32_t assigned = update->assigned_round != 0 ? update->assigned_round : update->round;
    if (changes != 0)
        return covey_database_run(database, COVEY_SQL_NOTE_UPDATE, "noting an update", NULL, err, "ttiidii",
                                  update->federation, update->device, (int64_t)update->round,
                                  (int64_t)update->examples, update->loss_before, update->received_ms,
                                  (int64_t)assigned);
    struct covey_hash there = {0};
    COVEY_TRY(covey_database_read(database, COVEY_SQL_FIND_UPDATE, copy_body_hash, &there, NULL, err, "tb",
                                  update->device, update->assignment.bytes, sizeof update->assignment.bytes));
    record->outcome =
        covey_hash_equal(&there, &update->body_hash) ? COVEY_LEDGER_REPEATED : COVEY_LEDGER_CONFLICTING;
    return COVEY_OK;
}

static void update_written(struct covey_ledger_job *job, enum covey_status status,
                           const struct covey_error *err)
{
    struct covey_ledger_record *record = (struct covey_ledger_record *)job;
    record->done(record, status, err);
}

enum covey_status covey_ledger_record(struct covey_ledger *ledger, struct covey_ledger_record *record)
{
    if (ledger->writer == NULL)
        return COVEY_STATE;
    if (record->update.body.size > COVEY_LEDGER_BODY_BYTES)
        return COVEY_LIMIT;
    record->job.execute = write_update;
    record->job.done = update_written;
    return covey_ledger_writer_post(ledger->writer, &record->job);
}

enum covey_status covey_ledger_find_update(struct covey_ledger *ledger, const char *device,
                                           const struct covey_assignment_id *assignment,
                                           struct covey_hash *body_hash, struct covey_error *err)
{
    uint64_t count = 0;
    COVEY_TRY(covey_ledger_read(ledger, COVEY_SQL_FIND_UPDATE, copy_body_hash, body_hash, &count, err, "tb",
                                device, assignment->bytes, sizeof assignment->bytes));
    return count == 0 ? COVEY_NOT_FOUND : COVEY_OK;
}

struct assignment_owner {
    char *federation, *device;
    uint32_t *round;
};

static bool copy_owner(void *user, struct covey_row *row)
{
    const struct assignment_owner *owner = user;
    covey_row_text(row, 0, owner->federation, COVEY_NAME_BYTES);
    covey_row_text(row, 1, owner->device, COVEY_NAME_BYTES);
    *owner->round = covey_row_u32(row, 2);
    return false;
}

enum covey_status covey_ledger_find_assignment(struct covey_ledger *ledger,
                                               const struct covey_assignment_id *assignment,
                                               char federation[COVEY_NAME_BYTES],
                                               char device[COVEY_NAME_BYTES], uint32_t *round,
                                               struct covey_error *err)
{
    struct assignment_owner owner = {federation, device, round};
    uint64_t count = 0;
    COVEY_TRY(covey_ledger_read(ledger, COVEY_SQL_FIND_ASSIGNMENT, copy_owner, &owner, &count, err, "b",
                                assignment->bytes, sizeof assignment->bytes));
    return count == 0 ? COVEY_NOT_FOUND : COVEY_OK;
}

struct update_visit {
    enum covey_status (*each)(void *user, const struct covey_ledger_update *update, struct covey_error *err);
    void *user;
    enum covey_status status;
    struct covey_error *err;
    char damaged[COVEY_NAME_BYTES]; /* device whose bytes are not what they were; "" = none */
};

static bool visit_update(void *user, struct covey_row *row)
{
    struct update_visit *visit = user;
    struct covey_ledger_update update = {0};
    covey_row_text(row, 0, update.federation, sizeof update.federation);
    covey_row_text(row, 1, update.device, sizeof update.device);
    covey_row_bytes(row, 2, update.assignment.bytes, sizeof update.assignment.bytes);
    update.round = covey_row_u32(row, 3);
    update.slot = covey_row_u32(row, 4);
    covey_row_bytes(row, 5, update.body_hash.bytes, sizeof update.body_hash.bytes);
    update.examples = covey_row_u32(row, 6);
    update.training_ms = covey_row_u32(row, 7);
    update.stream_bytes = covey_row_u64(row, 8);
    update.loss_before = covey_row_real(row, 9);
    update.loss_after = covey_row_real(row, 10);
    update.received_ms = covey_row_i64(row, 11);
    update.body = covey_row_blob(row, 12);
    struct covey_hash hash;
    visit->status = covey_hash_bytes(update.body, &hash);
    if (visit->status != COVEY_OK)
        return false;
    if (!covey_hash_equal(&hash, &update.body_hash)) {
        (void)snprintf(visit->damaged, sizeof visit->damaged, "%s", update.device);
        return true;
    }
    visit->status = visit->each(visit->user, &update, visit->err);
    return visit->status == COVEY_OK;
}

enum covey_status covey_ledger_each_update(
    struct covey_ledger *ledger, const char *federation, uint32_t round,
    enum covey_status (*each)(void *user, const struct covey_ledger_update *update, struct covey_error *err),
    void *user, struct covey_error *err)
{
    struct update_visit visit = {.each = each, .user = user, .err = err};
    enum covey_status status = covey_ledger_read(ledger, COVEY_SQL_EACH_UPDATE, visit_update, &visit, NULL,
                                                 err, "ti", federation, (int64_t)round);
    if (status == COVEY_OK)
        status = visit.status;
    if (status == COVEY_OK && visit.damaged[0] != '\0')
        status = covey_fail(err, COVEY_CORRUPT,
                            "ledger: the update of %s in round %u of %s is damaged on the disk",
                            visit.damaged, round, federation);
    return status;
}
