#include "scenario_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS 8

/* A mapping or list that is open; `path` is what stands before its keys. */
struct level {
    size_t indent;
    bool list;
    uint32_t items;
    char path[COVEY_SCENARIO_KEY_BYTES];
};

struct walk {
    struct level levels[LEVELS]; /* levels[0] is the top: no path */
    uint32_t depth;              /* index of the innermost open key */
    struct covey_scenario_pairs pairs;
};

static const char *path_of(const struct walk *walk)
{
    return walk->levels[walk->depth].path;
}

static void push(struct walk *walk, size_t indent, bool list, const char *path)
{
    if (walk->depth + 1 >= LEVELS)
        return;
    struct level *level = &walk->levels[++walk->depth];
    *level = (struct level){.indent = indent, .list = list};
    (void)snprintf(level->path, sizeof level->path, "%s", path);
}

static void add_pair(struct walk *walk, const char *key, const char *value, size_t value_bytes)
{
    if (walk->pairs.count >= COVEY_SCENARIO_PAIRS)
        return;
    struct covey_scenario_pair *pair = &walk->pairs.items[walk->pairs.count++];
    (void)snprintf(pair->key, sizeof pair->key, "%s", key);
    (void)snprintf(pair->value, sizeof pair->value, "%.*s", (int)value_bytes, value);
}

/* Keys at `indent` belong to the innermost level that is further out, items also to one that begins there. */
static void close_levels(struct walk *walk, size_t indent, bool list)
{
    while (walk->depth > 0) {
        const struct level *level = &walk->levels[walk->depth];
        if (level->indent < indent || (list && level->indent == indent))
            return;
        walk->depth--;
    }
}

static void read_key(struct walk *walk, size_t indent, const char *text, size_t bytes)
{
    char path[COVEY_SCENARIO_KEY_BYTES];
    const char *colon = memchr(text, ':', bytes);
    while (colon != NULL && colon + 1 < text + bytes && colon[1] != ' ')
        colon = memchr(colon + 1, ':', (size_t)(text + bytes - colon - 1));
    close_levels(walk, indent, false);
    if (colon == NULL) {
        if (walk->levels[walk->depth].list) /* a scalar in a list */
            add_pair(walk, path_of(walk), text, bytes);
        return;
    }
    const char *outer = path_of(walk);
    const int written = snprintf(path, sizeof path, "%s%s%.*s", outer, outer[0] != '\0' ? "." : "",
                                 (int)(colon - text), text);
    if (written < 0)
        return;
    const char *value = colon + 1;
    while (value < text + bytes && *value == ' ')
        value++;
    if (value < text + bytes)
        add_pair(walk, path, value, (size_t)(text + bytes - value));
    else
        push(walk, indent, false, path);
}

/* Behind "- ": the item's path is its number, its first key stands two columns further in. */
static void read_item(struct walk *walk, size_t indent, const char *text, size_t bytes)
{
    char path[COVEY_SCENARIO_KEY_BYTES];
    close_levels(walk, indent, true);
    uint32_t number = 0;
    if (walk->levels[walk->depth].list && walk->levels[walk->depth].indent == indent) {
        number = walk->levels[walk->depth].items;
        walk->depth--;
    }
    const char *outer = path_of(walk);
    if (snprintf(path, sizeof path, "%s%s%u", outer, outer[0] != '\0' ? "." : "", number) < 0)
        return;
    push(walk, indent, true, path);
    if (walk->levels[walk->depth].list)
        walk->levels[walk->depth].items = number + 1;
    read_key(walk, indent + 2, text, bytes);
}

static void read_line(struct walk *walk, const char *line, size_t bytes)
{
    size_t indent = 0;
    while (bytes > 0 && (line[bytes - 1] == ' ' || line[bytes - 1] == '\r'))
        bytes--;
    while (indent < bytes && line[indent] == ' ')
        indent++;
    const char *text = line + indent;
    const size_t left = bytes - indent;
    if (left == 0 || *text == '#' || (indent == 0 && left >= 3 && strncmp(text, "---", 3) == 0))
        return;
    if (left >= 2 && text[0] == '-' && text[1] == ' ')
        read_item(walk, indent, text + 2, left - 2);
    else
        read_key(walk, indent, text, left);
}

enum covey_status covey_scenario_pairs_read(const char *text, struct covey_scenario_pairs *out,
                                            struct covey_error *err)
{
    struct walk walk = {.pairs.items = calloc(COVEY_SCENARIO_PAIRS, sizeof *walk.pairs.items)};
    if (walk.pairs.items == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the keys of a scenario");
    while (*text != '\0') {
        const size_t bytes = strcspn(text, "\n");
        read_line(&walk, text, bytes);
        text += bytes + (text[bytes] == '\n' ? 1 : 0);
    }
    *out = walk.pairs;
    return COVEY_OK;
}

void covey_scenario_pairs_free(struct covey_scenario_pairs *pairs)
{
    free(pairs->items);
    *pairs = (struct covey_scenario_pairs){0};
}

const char *covey_scenario_pairs_find(const struct covey_scenario_pairs *pairs, const char *key)
{
    for (uint32_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->items[i].key, key) == 0)
            return pairs->items[i].value;
    return NULL;
}

/* ---- differences ---- */

static bool differs(const struct covey_scenario_pairs *pairs, uint32_t count, const char *key)
{
    const char *first = covey_scenario_pairs_find(&pairs[0], key);
    for (uint32_t i = 1; i < count; i++) {
        const char *other = covey_scenario_pairs_find(&pairs[i], key);
        if ((first == NULL) != (other == NULL) || (first != NULL && strcmp(first, other) != 0))
            return true;
    }
    return false;
}

static bool listed(const char *const *keys, uint32_t count, const char *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

uint32_t covey_scenario_differences(const struct covey_scenario_pairs *pairs, uint32_t count,
                                    const char **keys, uint32_t most)
{
    uint32_t found = 0;
    for (uint32_t run = 0; run < count; run++) {
        for (uint32_t i = 0; i < pairs[run].count && found < most; i++) {
            const char *key = pairs[run].items[i].key;
            /* A key of the first scenario was looked at with it. */
            const bool seen = run > 0 && covey_scenario_pairs_find(&pairs[0], key) != NULL;
            if (!seen && strcmp(key, "name") != 0 && !listed(keys, found, key) && differs(pairs, count, key))
                keys[found++] = key;
        }
    }
    return found;
}
