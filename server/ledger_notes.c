#include "ledger_access.h"

struct device_list {
    const struct covey_ledger_device *devices;
    size_t count;
};

static enum covey_status write_devices(struct covey_database *database, const void *what,
                                       struct covey_error *err)
{
    const struct device_list *list = what;
    for (size_t i = 0; i < list->count; i++) {
        const struct covey_ledger_device *device = &list->devices[i];
        COVEY_TRY(covey_database_run(database, COVEY_SQL_NOTE_DEVICE, "noting a device", NULL, err, "tiii",
                                     device->name, (int64_t)device->place, device->first_seen_s,
                                     device->last_seen_s));
    }
    return COVEY_OK;
}

enum covey_status covey_ledger_note_devices(struct covey_ledger *ledger,
                                            const struct covey_ledger_device *devices, size_t count,
                                            struct covey_error *err)
{
    const struct device_list list = {devices, count};
    return covey_ledger_write(ledger, write_devices, &list, err);
}

struct device_visit {
    bool (*each)(void *user, const struct covey_ledger_device *device);
    void *user;
};

static bool visit_device(void *user, struct covey_row *row)
{
    struct covey_ledger_device device = {.place = covey_row_u32(row, 1),
                                         .first_seen_s = covey_row_i64(row, 2),
                                         .last_seen_s = covey_row_i64(row, 3)};
    covey_row_text(row, 0, device.name, sizeof device.name);
    return ((struct device_visit *)user)->each(((struct device_visit *)user)->user, &device);
}

enum covey_status covey_ledger_each_device(struct covey_ledger *ledger,
                                           bool (*each)(void *user, const struct covey_ledger_device *device),
                                           void *user, struct covey_error *err)
{
    struct device_visit visit = {each, user};
    return covey_ledger_read(ledger, COVEY_SQL_EACH_DEVICE, visit_device, &visit, NULL, err, "");
}

struct metrics_note {
    const char *federation, *device;
    int64_t now_s;
    const struct covey_metrics *metrics;
};

static enum covey_status write_metrics(struct covey_database *database, const void *what,
                                       struct covey_error *err)
{
    const struct metrics_note *note = what;
    for (uint32_t i = 0; i < note->metrics->count; i++) {
        const struct covey_metric *metric = &note->metrics->records[i];
        COVEY_TRY(covey_database_run(database, COVEY_SQL_NOTE_METRIC, "noting a metric", NULL, err, "ttttdii",
                                     note->federation, note->device, metric->name, metric->unit,
                                     metric->value, note->now_s, (int64_t)COVEY_LEDGER_METRIC_NAMES));
    }
    return COVEY_OK;
}

enum covey_status covey_ledger_note_metrics(struct covey_ledger *ledger, const char *federation,
                                            const char *device, int64_t now_s,
                                            const struct covey_metrics *metrics, struct covey_error *err)
{
    const struct metrics_note note = {federation, device, now_s, metrics};
    return covey_ledger_write(ledger, write_metrics, &note, err);
}

struct metric_visit {
    bool (*each)(void *user, const struct covey_ledger_metric *metric);
    void *user;
};

static bool visit_metric(void *user, struct covey_row *row)
{
    struct covey_ledger_metric metric = {.devices = covey_row_u32(row, 2),
                                         .mean = covey_row_real(row, 3),
                                         .minimum = covey_row_real(row, 4),
                                         .maximum = covey_row_real(row, 5)};
    covey_row_text(row, 0, metric.name, sizeof metric.name);
    covey_row_text(row, 1, metric.unit, sizeof metric.unit);
    return ((struct metric_visit *)user)->each(((struct metric_visit *)user)->user, &metric);
}

enum covey_status covey_ledger_each_metric(struct covey_ledger *ledger, const char *federation,
                                           bool (*each)(void *user, const struct covey_ledger_metric *metric),
                                           void *user, struct covey_error *err)
{
    struct metric_visit visit = {each, user};
    return covey_ledger_read(ledger, COVEY_SQL_EACH_METRIC, visit_metric, &visit, NULL, err, "t", federation);
}

struct standing_visit {
    bool (*each)(void *user, const char *device, const struct covey_device_record *record);
    void *user;
};

static bool visit_standing(void *user, struct covey_row *row)
{
    const struct standing_visit *visit = user;
    char device[COVEY_NAME_BYTES];
    covey_row_text(row, 0, device, sizeof device);
    const struct covey_device_record record = {.chosen = covey_row_u32(row, 1),
                                               .last_round = covey_row_u32(row, 2),
                                               .examples = covey_row_u32(row, 3),
                                               .taken_ms = covey_row_u32(row, 4),
                                               .loss = (float)covey_row_real(row, 5)};
    return visit->each(visit->user, device, &record);
}

enum covey_status covey_ledger_each_standing(struct covey_ledger *ledger, const char *federation,
                                             bool (*each)(void *user, const char *device,
                                                          const struct covey_device_record *record),
                                             void *user, struct covey_error *err)
{
    struct standing_visit visit = {each, user};
    return covey_ledger_read(ledger, COVEY_SQL_EACH_STANDING, visit_standing, &visit, NULL, err, "t",
                             federation);
}

static enum covey_status write_note(struct covey_database *database, const void *what,
                                    struct covey_error *err)
{
    const char *const *note = what; /* federation, name, value */
    return covey_database_run(database, COVEY_SQL_SET_NOTE, "writing a note", NULL, err, "ttt", note[0],
                              note[1], note[2]);
}

enum covey_status covey_ledger_set_note(struct covey_ledger *ledger, const char *federation, const char *name,
                                        const char *value, struct covey_error *err)
{
    const char *const note[] = {federation, name, value};
    return covey_ledger_write(ledger, write_note, note, err);
}

struct text_buffer {
    char *out;
    size_t out_bytes;
};

static bool copy_text(void *user, struct covey_row *row)
{
    const struct text_buffer *buffer = user;
    covey_row_text(row, 0, buffer->out, buffer->out_bytes);
    return false;
}

enum covey_status covey_ledger_get_note(struct covey_ledger *ledger, const char *federation, const char *name,
                                        char *out, size_t out_bytes, struct covey_error *err)
{
    struct text_buffer buffer = {out, out_bytes};
    uint64_t count = 0;
    COVEY_TRY(covey_ledger_read(ledger, COVEY_SQL_GET_NOTE, copy_text, &buffer, &count, err, "tt", federation,
                                name));
    return count == 0 ? COVEY_NOT_FOUND : COVEY_OK;
}
