/* devices.csv: a line a device, or for large fleets a line for all devices of one class and link that
 * completed as many updates. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "outcome_folder.h"

#define COLUMNS 16 /* of a file that is read */

/* ---- groups ---- */

static uint64_t group_key(const struct covey_outcome_group *group)
{
    return (uint64_t)group->device_class << 40 | (uint64_t)group->link_class << 32 | group->done;
}

/* Fibonacci hashing (Knuth, volume 3, section 6.4), linear probing. */
static uint32_t *find_slot(const struct covey_outcome_groups *groups, uint64_t key)
{
    const uint32_t mask = groups->slot_count - 1;
    uint32_t at = (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & mask;
    while (groups->slots[at] != 0 && group_key(&groups->items[groups->slots[at] - 1]) != key)
        at = (at + 1) & mask;
    return &groups->slots[at];
}

static enum covey_status grow(struct covey_outcome_groups *groups, struct covey_error *err)
{
    const uint32_t slots = groups->slot_count > 0 ? 2 * groups->slot_count : 256;
    struct covey_outcome_group *items = realloc(groups->items, (size_t)slots / 2 * sizeof *items);
    if (items == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u groups of devices", slots);
    groups->items = items;
    uint32_t *table = calloc(slots, sizeof *table);
    if (table == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u groups of devices", slots);
    free(groups->slots);
    groups->slots = table;
    groups->slot_count = slots;
    for (uint32_t i = 0; i < groups->count; i++)
        *find_slot(groups, group_key(&items[i])) = i + 1;
    return COVEY_OK;
}

enum covey_status covey_outcome_groups_add(struct covey_outcome_groups *groups,
                                           const struct covey_outcome_group *group, struct covey_error *err)
{
    if (groups->count == groups->slot_count / 2) {
        if (groups->count >= COVEY_OUTCOME_GROUPS)
            return covey_fail(err, COVEY_LIMIT, "more than %u groups of devices", COVEY_OUTCOME_GROUPS);
        COVEY_TRY(grow(groups, err));
    }
    uint32_t *slot = find_slot(groups, group_key(group));
    if (*slot == 0) {
        groups->items[groups->count++] = *group;
        *slot = groups->count;
        return COVEY_OK;
    }
    struct covey_outcome_group *sum = &groups->items[*slot - 1];
    sum->devices += group->devices;
    sum->chosen += group->chosen;
    sum->late += group->late;
    sum->dropped += group->dropped;
    sum->examples += group->examples;
    sum->bytes += group->bytes;
    sum->joules += group->joules;
    return COVEY_OK;
}

static int by_key(const void *a, const void *b)
{
    const uint64_t left = group_key(a), right = group_key(b);
    return (left > right) - (left < right);
}

void covey_outcome_groups_sort(struct covey_outcome_groups *groups)
{
    if (groups->count > 0)
        qsort(groups->items, groups->count, sizeof *groups->items, by_key);
    free(groups->slots);
    groups->slots = NULL;
    groups->slot_count = 0;
}

void covey_outcome_groups_free(struct covey_outcome_groups *groups)
{
    free(groups->items);
    free(groups->slots);
    *groups = (struct covey_outcome_groups){0};
}

/* ---- writing ---- */

/* RFC 4180: quotes around what needs them, quotes within doubled. */
static void write_name(FILE *out, const char *name)
{
    if (strpbrk(name, ",\"\r\n") == NULL) {
        (void)fputs(name, out);
        return;
    }
    (void)fputc('"', out);
    for (; *name != '\0'; name++) {
        if (*name == '"')
            (void)fputc('"', out);
        (void)fputc(*name, out);
    }
    (void)fputc('"', out);
}

static void write_devices(FILE *out, const struct covey_device_tally *tallies, uint32_t count,
                          const char *const *device_classes, const char *const *link_classes)
{
    (void)fputs("device,class,link,examples,chosen,done,late,dropped,bytes,joules,metric\n", out);
    for (uint32_t i = 0; i < count; i++) {
        const struct covey_device_tally *tally = &tallies[i];
        (void)fprintf(out, "%u,", i);
        write_name(out, device_classes[tally->device_class]);
        (void)fputc(',', out);
        write_name(out, link_classes[tally->link_class]);
        (void)fprintf(out, ",%u,%u,%u,%u,%u,%" PRIu64 ",%.9g,", tally->examples, tally->chosen, tally->done,
                      tally->late, tally->dropped, tally->bytes, (double)tally->joules);
        if (isfinite(tally->metric))
            (void)fprintf(out, "%.9g", (double)tally->metric);
        (void)fputc('\n', out);
    }
}

static enum covey_status write_histogram(FILE *out, const struct covey_device_tally *tallies, uint32_t count,
                                         const char *const *device_classes, const char *const *link_classes,
                                         struct covey_error *err)
{
    struct covey_outcome_groups groups = {0};
    enum covey_status status = COVEY_OK;
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++) {
        const struct covey_device_tally *tally = &tallies[i];
        const struct covey_outcome_group one = {.device_class = tally->device_class,
                                                .link_class = tally->link_class,
                                                .done = tally->done,
                                                .devices = 1,
                                                .chosen = tally->chosen,
                                                .late = tally->late,
                                                .dropped = tally->dropped,
                                                .examples = tally->examples,
                                                .bytes = tally->bytes,
                                                .joules = (double)tally->joules};
        status = covey_outcome_groups_add(&groups, &one, err);
    }
    covey_outcome_groups_sort(&groups);
    (void)fputs("class,link,done,devices,examples,chosen,late,dropped,bytes,joules\n", out);
    for (uint32_t i = 0; i < groups.count && status == COVEY_OK; i++) {
        const struct covey_outcome_group *group = &groups.items[i];
        write_name(out, device_classes[group->device_class]);
        (void)fputc(',', out);
        write_name(out, link_classes[group->link_class]);
        (void)fprintf(out,
                      ",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.9g\n",
                      group->done, group->devices, group->examples, group->chosen, group->late,
                      group->dropped, group->bytes, group->joules);
    }
    covey_outcome_groups_free(&groups);
    return status;
}

enum covey_status covey_outcome_devices_write(FILE *out, const struct covey_device_tally *tallies,
                                              uint32_t count, const char *const *device_classes,
                                              const char *const *link_classes, struct covey_error *err)
{
    if (count > COVEY_OUTCOME_DEVICES)
        return write_histogram(out, tallies, count, device_classes, link_classes, err);
    write_devices(out, tallies, count, device_classes, link_classes);
    return COVEY_OK;
}

/* ---- reading ---- */

/* Splits in place; returns the number of cells, or -1 for a quote that does not close or too many cells. */
static int split_cells(char *line, char *cells[COLUMNS])
{
    int count = 0;
    for (char *at = line;;) {
        if (count == COLUMNS)
            return -1;
        const bool quoted = *at == '"';
        char *to = at += quoted ? 1 : 0;
        cells[count++] = to;
        while (quoted ? !(at[0] == '"' && at[1] != '"') : *at != ',' && *at != '\0') {
            if (*at == '\0')
                return -1;
            at += quoted && *at == '"' ? 1 : 0;
            *to++ = *at++;
        }
        at += quoted ? 1 : 0;
        const char stop = *at;
        *to = '\0';
        if (stop == '\0')
            return count;
        if (stop != ',')
            return -1;
        at++;
    }
}

enum column { CLASS, LINK, DONE, DEVICES, EXAMPLES, CHOSEN, LATE, DROPPED, BYTES, JOULES, METRIC, KINDS };
static const char *const column_names[KINDS] = {"class", "link",    "done",  "devices", "examples", "chosen",
                                                "late",  "dropped", "bytes", "joules",  "metric"};

struct table {
    int columns[KINDS]; /* where each stands; -1: nowhere */
    int count;
};

static enum covey_status read_header(char *line, struct table *out, struct covey_error *err)
{
    char *cells[COLUMNS];
    struct table table = {.count = split_cells(line, cells)};
    for (int kind = 0; kind < KINDS; kind++) {
        table.columns[kind] = -1;
        for (int i = 0; i < table.count; i++)
            if (strcmp(cells[i], column_names[kind]) == 0)
                table.columns[kind] = i;
    }
    for (int kind = CLASS; kind <= DONE; kind++)
        if (table.columns[kind] < 0)
            return covey_fail(err, COVEY_CORRUPT, "there is no column '%s'", column_names[kind]);
    *out = table;
    return COVEY_OK;
}

static enum covey_status read_whole(const struct table *table, char **cells, enum column kind, uint64_t limit,
                                    uint64_t *out, struct covey_error *err)
{
    if (table->columns[kind] < 0)
        return COVEY_OK;
    const char *text = cells[table->columns[kind]];
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > limit)
        return covey_fail(err, COVEY_CORRUPT, "'%s' must be a whole number from 0 to %" PRIu64,
                          column_names[kind], limit);
    *out = value;
    return COVEY_OK;
}

/* An empty cell is NaN. */
static enum covey_status read_real(const struct table *table, char **cells, enum column kind, double *out,
                                   struct covey_error *err)
{
    if (table->columns[kind] < 0)
        return COVEY_OK;
    char *end;
    const char *text = cells[table->columns[kind]];
    const double value = text[0] != '\0' ? strtod(text, &end) : (double)NAN;
    if (text[0] != '\0' && (*end != '\0' || !isfinite(value)))
        return covey_fail(err, COVEY_CORRUPT, "'%s' must be a number", column_names[kind]);
    *out = value;
    return COVEY_OK;
}

/* The index of a name, which is added when it is new. */
static enum covey_status intern(const char *name, char (*names)[COVEY_NAME_BYTES], uint32_t *count,
                                uint8_t *out, struct covey_error *err)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (strncmp(names[i], name, COVEY_NAME_BYTES - 1) == 0) {
            *out = (uint8_t)i;
            return COVEY_OK;
        }
    }
    if (*count == COVEY_OUTCOME_CLASSES)
        return covey_fail(err, COVEY_LIMIT, "more than %u classes", COVEY_OUTCOME_CLASSES);
    const size_t bytes = strnlen(name, COVEY_NAME_BYTES - 1);
    memcpy(names[*count], name, bytes);
    names[*count][bytes] = '\0';
    *out = (uint8_t)(*count)++;
    return COVEY_OK;
}

static enum covey_status keep_metric(struct covey_outcome_run *run, double metric, struct covey_error *err)
{
    if (isnan(metric))
        return COVEY_OK;
    if ((run->metric_count & (run->metric_count - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
        const size_t room = run->metric_count > 0 ? 2 * (size_t)run->metric_count : 1;
        double *metrics = realloc(run->metrics, room * sizeof *metrics);
        if (metrics == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu devices", room);
        run->metrics = metrics;
    }
    run->metrics[run->metric_count++] = metric;
    return COVEY_OK;
}

static enum covey_status read_row(struct covey_outcome_run *run, const struct table *table, char *line,
                                  struct covey_outcome_groups *groups, struct covey_error *err)
{
    char *cells[COLUMNS];
    struct covey_outcome_group group = {.devices = 1};
    uint64_t done = 0;
    double metric = NAN;
    if (split_cells(line, cells) != table->count)
        return covey_fail(err, COVEY_CORRUPT, "the line must have %d cells", table->count);
    COVEY_TRY(intern(cells[table->columns[CLASS]], run->device_classes, &run->device_class_count,
                     &group.device_class, err));
    COVEY_TRY(intern(cells[table->columns[LINK]], run->link_classes, &run->link_class_count,
                     &group.link_class, err));
    COVEY_TRY(read_whole(table, cells, DONE, UINT32_MAX, &done, err));
    group.done = (uint32_t)done;
    COVEY_TRY(read_whole(table, cells, DEVICES, UINT32_MAX, &group.devices, err));
    COVEY_TRY(read_whole(table, cells, EXAMPLES, UINT64_MAX >> 20, &group.examples, err));
    COVEY_TRY(read_whole(table, cells, CHOSEN, UINT64_MAX >> 20, &group.chosen, err));
    COVEY_TRY(read_whole(table, cells, LATE, UINT64_MAX >> 20, &group.late, err));
    COVEY_TRY(read_whole(table, cells, DROPPED, UINT64_MAX >> 20, &group.dropped, err));
    COVEY_TRY(read_whole(table, cells, BYTES, UINT64_MAX >> 20, &group.bytes, err));
    COVEY_TRY(read_real(table, cells, JOULES, &group.joules, err));
    COVEY_TRY(read_real(table, cells, METRIC, &metric, err));
    COVEY_TRY(keep_metric(run, metric, err));
    return covey_outcome_groups_add(groups, &group, err);
}

static enum covey_status read_rows(struct covey_outcome_run *run, struct covey_outcome_lines *lines,
                                   struct covey_outcome_groups *groups, struct covey_error *err)
{
    struct table table = {.count = 0};
    for (bool more = true;;) {
        COVEY_TRY(covey_outcome_lines_next(lines, &more, err));
        if (!more)
            return COVEY_OK;
        const enum covey_status status = lines->number == 1 ? read_header(lines->line, &table, err)
                                                            : read_row(run, &table, lines->line, groups, err);
        if (status != COVEY_OK)
            return covey_fail_at(err, status, "%s:%llu: ", lines->path, (unsigned long long)lines->number);
    }
}

enum covey_status covey_outcome_devices_read(struct covey_outcome_run *run, struct covey_error *err)
{
    struct covey_outcome_lines lines = {0};
    struct covey_outcome_groups groups = {0};
    struct covey_error ignored;
    enum covey_status status = covey_outcome_lines_open(run->folder, "devices.csv", &lines, &ignored);
    if (status == COVEY_NOT_FOUND)
        return COVEY_OK;
    if (status != COVEY_OK)
        return covey_fail(err, status, "%s", ignored.text);
    run->device_classes = calloc(COVEY_OUTCOME_CLASSES, sizeof *run->device_classes);
    run->link_classes = calloc(COVEY_OUTCOME_CLASSES, sizeof *run->link_classes);
    status = run->device_classes != NULL && run->link_classes != NULL
                 ? read_rows(run, &lines, &groups, err)
                 : covey_fail(err, COVEY_NO_MEMORY, "%s: no memory to read it", lines.path);
    covey_outcome_lines_close(&lines);
    if (status != COVEY_OK) {
        covey_outcome_groups_free(&groups);
        return status;
    }
    covey_outcome_groups_sort(&groups);
    run->groups = groups.items;
    run->group_count = groups.count;
    return COVEY_OK;
}
