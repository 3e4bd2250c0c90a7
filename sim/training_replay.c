#include "training_replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 256
#define LINES (1u << 26)

struct entry {
    uint32_t device, round;
    uint64_t ms;
};

struct covey_training_replay {
    struct entry *entries; /* sorted */
    size_t count, capacity;
};

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->round < y->round ? -1 : x->round > y->round;
}

static enum covey_status append(struct covey_training_replay *replay, const struct entry *entry)
{
    if (replay->count == replay->capacity) {
        const size_t capacity = replay->capacity == 0 ? 256 : 2 * replay->capacity;
        struct entry *entries =
            capacity > LINES ? NULL : reallocarray(replay->entries, capacity, sizeof *entries);
        if (entries == NULL)
            return COVEY_NO_MEMORY;
        replay->entries = entries;
        replay->capacity = capacity;
    }
    replay->entries[replay->count++] = *entry;
    return COVEY_OK;
}

static enum covey_status read_lines(FILE *stream, const char *file, struct covey_training_replay *replay,
                                    struct covey_error *err)
{
    char line[LINE_BYTES];
    for (unsigned number = 1; fgets(line, sizeof line, stream) != NULL; number++) {
        struct entry entry;
        double ms = 0;
        const char *text = strncmp(line, "device-", 7) == 0 ? line + 7 : line;
        if (number == 1 && strncmp(line, "device,", 7) == 0)
            continue;
        if (sscanf(text, "%u,%u,%lf", &entry.device, &entry.round, &ms) != 3 || !(ms >= 0) || ms > 1e12)
            return covey_fail(err, COVEY_INVALID, "%s:%u: device,round,training_ms is wanted", file, number);
        entry.ms = (uint64_t)(ms + 0.5);
        if (append(replay, &entry) != COVEY_OK)
            return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for so many lines", file);
    }
    if (replay->count > 0)
        qsort(replay->entries, replay->count, sizeof *replay->entries, by_key);
    return COVEY_OK;
}

enum covey_status covey_training_replay_load(const char *file, struct covey_training_replay **out,
                                             struct covey_error *err)
{
    FILE *stream = fopen(file, "re");
    if (stream == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: %s", file, strerror(errno));
    struct covey_training_replay *replay = calloc(1, sizeof *replay);
    enum covey_status status = replay == NULL ? covey_fail(err, COVEY_NO_MEMORY, "no memory")
                                              : read_lines(stream, file, replay, err);
    (void)fclose(stream);
    if (status != COVEY_OK) {
        covey_training_replay_destroy(replay);
        return status;
    }
    *out = replay;
    return COVEY_OK;
}

void covey_training_replay_destroy(struct covey_training_replay *replay)
{
    if (replay == NULL)
        return;
    free(replay->entries);
    free(replay);
}

uint64_t covey_training_replay_ms(const struct covey_training_replay *replay, uint32_t device, uint32_t round,
                                  uint64_t otherwise_ms)
{
    const struct entry key = {.device = device, .round = round};
    if (replay == NULL || replay->count == 0)
        return otherwise_ms;
    const struct entry *found = bsearch(&key, replay->entries, replay->count, sizeof key, by_key);
    return found == NULL ? otherwise_ms : found->ms;
}
