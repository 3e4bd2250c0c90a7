/* Shakespeare by role: the next character after the 80 before it (LEAF's task: Caldas et al. 2018). */
#include "sim_sets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_file.h"

#define CONTEXT 80u
#define TRAIN_STRIDE                                                                                         \
    8u                  /* an example begins at every eighth character; all would be eight times the memory  \
                         */
#define TEST_STRIDE 80u /* side by side */
#define TEXT_BYTES (64u << 20)

struct role {
    uint32_t offset, length, train_length;
};

struct roles {
    struct role *items;
    uint32_t count;
};

static enum covey_status read_text(const char *folder, const char *name, char **out, size_t *bytes,
                                   struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct covey_data_file file = {0};
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", folder);
    COVEY_TRY(covey_data_file_open(path, &file, err));
    const enum covey_status status = covey_data_file_read_all(&file, TEXT_BYTES, out, bytes, err);
    covey_data_file_close(&file);
    return status;
}

/* clients.tsv: client, play, role, offset, length, train_length, lines. */
static enum covey_status parse_roles(char *table, size_t text_bytes, struct roles *out,
                                     struct covey_error *err)
{
    char *rest = table, *line = strsep(&rest, "\n"); /* the header */
    uint32_t room = 1;
    for (const char *at = rest; at != NULL && *at != '\0'; at++)
        room += *at == '\n';
    out->items = calloc(room + 1u, sizeof *out->items);
    if (out->items == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u roles", room);
    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL && out->count < room) {
        struct role *role = &out->items[out->count];
        for (int tab = 0; tab < 3 && line != NULL; tab++)
            (void)strsep(&line, "\t");
        if (line == NULL || *line == '\0')
            continue;
        if (sscanf(line, "%u\t%u\t%u", &role->offset, &role->length, &role->train_length) != 3 ||
            role->offset > text_bytes || role->length > text_bytes - role->offset ||
            role->train_length > role->length)
            return covey_fail(err, COVEY_CORRUPT, "clients.tsv:%u: a role outside of the text",
                              out->count + 2);
        out->count++;
    }
    return COVEY_OK;
}

static uint32_t example_count(uint32_t length, uint32_t stride)
{
    return length > CONTEXT ? (length - CONTEXT + stride - 1) / stride : 0;
}

/* One part of every role. x: (count, CONTEXT) characters, y: (count); owners NULL: not wanted. Roles too
 * short for an example have none. */
static enum covey_status cut(const char *text, const struct roles *roles, bool train, void **memory,
                             struct covey_dataset *out, uint32_t **owners, struct covey_error *err)
{
    const uint32_t stride = train ? TRAIN_STRIDE : TEST_STRIDE;
    uint32_t count = 0, row = 0;
    for (uint32_t i = 0; i < roles->count; i++) {
        const struct role *role = &roles->items[i];
        count += example_count(train ? role->train_length : role->length - role->train_length, stride);
    }
    uint8_t *x = memory[0] = malloc((size_t)count * CONTEXT + 1), *y = memory[1] = malloc((size_t)count + 1);
    uint32_t *of = owners != NULL ? *owners = calloc((size_t)count + 1, sizeof *of) : NULL;
    if (x == NULL || y == NULL || (owners != NULL && of == NULL))
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u examples", count);
    for (uint32_t i = 0; i < roles->count; i++) {
        const struct role *role = &roles->items[i];
        const char *part = text + role->offset + (train ? 0 : role->train_length);
        const uint32_t length = train ? role->train_length : role->length - role->train_length;
        for (uint32_t at = CONTEXT; at < length; at += stride, row++) {
            memcpy(x + (size_t)row * CONTEXT, part + at - CONTEXT, CONTEXT);
            y[row] = (uint8_t)part[at] & 0x7f;
            if (of != NULL)
                of[row] = i;
        }
    }
    for (size_t i = 0; i < (size_t)count * CONTEXT; i++)
        x[i] &= 0x7f; /* ASCII: what the model's vocabulary has */
    *out = (struct covey_dataset){.count = count,
                                  .rows = count,
                                  .inputs = {.values = x, .type = COVEY_ELEMENT_U8, .width = CONTEXT},
                                  .labels = {.values = y, .type = COVEY_ELEMENT_U8, .width = 1},
                                  .rank = 1,
                                  .shape = {CONTEXT}};
    return COVEY_OK;
}

enum covey_status set_load_shakespeare(const char *folder, struct covey_sim_data *out,
                                       struct covey_error *err)
{
    char *text = NULL, *table = NULL;
    size_t text_bytes = 0, table_bytes = 0;
    struct roles roles = {0};
    enum covey_status status = read_text(folder, "text.bin.gz", &text, &text_bytes, err);
    if (status == COVEY_OK)
        status = read_text(folder, "clients.tsv", &table, &table_bytes, err);
    if (status == COVEY_OK)
        status = parse_roles(table, text_bytes, &roles, err);
    if (status == COVEY_OK)
        status = cut(text, &roles, true, out->memory, &out->train, &out->owners, err);
    if (status == COVEY_OK)
        status = cut(text, &roles, false, out->memory + 2, &out->test, NULL, err);
    out->owner_count = roles.count;
    free(roles.items);
    free(text);
    free(table);
    return status;
}
