#include "safetensors_header.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const char *at, *end, *start;
    const char *file;
    struct covey_error *err;
};

/* One tensor's keys as they are met. */
struct tensor_keys {
    struct covey_safetensors_entry entry;
    uint64_t first, last; /* data_offsets */
    unsigned seen;        /* 1 dtype, 2 shape, 4 data_offsets */
};

static const struct {
    const char *name;
    uint32_t bytes;
} types[] = {[COVEY_SAFETENSORS_F32] = {"F32", 4},
             [COVEY_SAFETENSORS_F16] = {"F16", 2},
             [COVEY_SAFETENSORS_BF16] = {"BF16", 2},
             [COVEY_SAFETENSORS_F64] = {"F64", 8}};

static enum covey_status fail_at(const struct scan *scan, const char *what)
{
    return covey_fail(scan->err, COVEY_CORRUPT, "%s: safetensors header, byte %zu: %s", scan->file,
                      (size_t)(scan->at - scan->start), what);
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && strchr(" \t\r\n", *scan->at) != NULL && *scan->at != 0)
        scan->at++;
}

static bool take(struct scan *scan, char wanted)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != wanted)
        return false;
    scan->at++;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Behind a backslash: the character meant, or -1. Of \u only ASCII, which is all that names of tensors need.
 */
static int read_escape(struct scan *scan)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (scan->at == scan->end)
        return -1;
    char c = *scan->at++;
    const char *place = c != 0 ? strchr(from, c) : NULL;
    if (place != NULL)
        return to[place - from];
    if (c != 'u' || scan->end - scan->at < 4)
        return -1;
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(*scan->at++);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value < 128 ? value : '?';
}

/* A string. out NULL: passed over, of any length. */
static enum covey_status read_text(struct scan *scan, char *out, size_t out_bytes)
{
    size_t used = 0;
    if (!take(scan, '"'))
        return fail_at(scan, "a string is expected");
    while (scan->at < scan->end && *scan->at != '"') {
        int c = (unsigned char)*scan->at++;
        if (c < 0x20)
            return fail_at(scan, "a control character in a string");
        if (c == '\\' && (c = read_escape(scan)) < 0)
            return fail_at(scan, "an escape that JSON does not have");
        if (out == NULL)
            continue;
        if (used + 1 >= out_bytes || c == 0)
            return fail_at(scan, "a name that is too long or holds a zero");
        out[used++] = (char)c;
    }
    if (!take(scan, '"'))
        return fail_at(scan, "a string that does not end");
    if (out != NULL)
        out[used] = 0;
    return COVEY_OK;
}

static enum covey_status read_number(struct scan *scan, uint64_t *out)
{
    uint64_t value = 0;
    skip_space(scan);
    const char *start = scan->at;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*scan->at - '0'), &value))
            return fail_at(scan, "a number over 64 bits");
    if (scan->at == start)
        return fail_at(scan, "a whole number is expected");
    *out = value;
    return COVEY_OK;
}

/* [1, 2, 3]: at most capacity numbers. */
static enum covey_status read_numbers(struct scan *scan, uint64_t *out, uint32_t capacity, uint32_t *count)
{
    uint32_t n = 0;
    if (!take(scan, '['))
        return fail_at(scan, "'[' is expected");
    if (!take(scan, ']')) {
        do {
            if (n == capacity)
                return fail_at(scan, "a list that is too long");
            COVEY_TRY(read_number(scan, &out[n++]));
        } while (take(scan, ','));
        if (!take(scan, ']'))
            return fail_at(scan, "',' or ']' is expected");
    }
    *count = n;
    return COVEY_OK;
}

static enum covey_status read_type(struct scan *scan, struct covey_safetensors_entry *entry)
{
    char word[16];
    COVEY_TRY(read_text(scan, word, sizeof word));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(word, types[i].name) == 0) {
            entry->type = (enum covey_safetensors_type)i;
            return COVEY_OK;
        }
    }
    return covey_fail(scan->err, COVEY_UNSUPPORTED,
                      "%s: tensor '%s' is of type %s; F32, F16, BF16 and F64 are read", scan->file,
                      entry->name, word);
}

static enum covey_status read_key(struct scan *scan, struct tensor_keys *keys)
{
    char key[16];
    uint64_t offsets[2];
    uint32_t count = 0;
    unsigned bit;
    COVEY_TRY(read_text(scan, key, sizeof key));
    if (!take(scan, ':'))
        return fail_at(scan, "':' is expected");
    if (strcmp(key, "dtype") == 0) {
        bit = 1;
        COVEY_TRY(read_type(scan, &keys->entry));
    } else if (strcmp(key, "shape") == 0) {
        bit = 2;
        COVEY_TRY(read_numbers(scan, keys->entry.shape, COVEY_SAFETENSORS_RANK, &keys->entry.rank));
    } else if (strcmp(key, "data_offsets") == 0) {
        bit = 4;
        COVEY_TRY(read_numbers(scan, offsets, 2, &count));
        if (count != 2)
            return fail_at(scan, "data_offsets wants two numbers");
        keys->first = offsets[0];
        keys->last = offsets[1];
    } else {
        return fail_at(scan, "an unknown key of a tensor");
    }
    if (keys->seen & bit)
        return fail_at(scan, "a key twice");
    keys->seen |= bit;
    return COVEY_OK;
}

/* Shape and offsets agree with each other and with what there is. */
static enum covey_status check_entry(struct scan *scan, struct tensor_keys *keys, struct covey_bytes values)
{
    struct covey_safetensors_entry *entry = &keys->entry;
    uint64_t count = 1;
    if (keys->seen != 7)
        return covey_fail(scan->err, COVEY_CORRUPT, "%s: tensor '%s' lacks dtype, shape or data_offsets",
                          scan->file, entry->name);
    for (uint32_t i = 0; i < entry->rank; i++)
        if (__builtin_mul_overflow(count, entry->shape[i], &count) || count > COVEY_MODEL_PARAMETERS)
            return covey_fail(scan->err, COVEY_LIMIT, "%s: tensor '%s' has more than %llu values", scan->file,
                              entry->name, COVEY_MODEL_PARAMETERS);
    if (keys->first > keys->last || keys->last > values.size ||
        keys->last - keys->first != count * types[entry->type].bytes)
        return covey_fail(scan->err, COVEY_CORRUPT,
                          "%s: the offsets of tensor '%s' do not fit its shape or the file", scan->file,
                          entry->name);
    entry->count = count;
    entry->values = values.data + keys->first;
    return COVEY_OK;
}

static enum covey_status add_entry(struct scan *scan, struct covey_safetensors_header *header,
                                   const struct covey_safetensors_entry *entry)
{
    if (header->count == COVEY_SAFETENSORS_TENSORS)
        return covey_fail(scan->err, COVEY_LIMIT, "%s: more than %d tensors", scan->file,
                          COVEY_SAFETENSORS_TENSORS);
    for (size_t i = 0; i < header->count; i++)
        if (strcmp(header->entries[i].name, entry->name) == 0)
            return covey_fail(scan->err, COVEY_CORRUPT, "%s: tensor '%s' twice", scan->file, entry->name);
    if (header->count == header->capacity) {
        size_t capacity = header->capacity != 0 ? 2 * header->capacity : 16;
        struct covey_safetensors_entry *entries = realloc(header->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return covey_fail(scan->err, COVEY_NO_MEMORY, "%s: no memory for %zu tensors", scan->file,
                              capacity);
        header->entries = entries;
        header->capacity = capacity;
    }
    header->entries[header->count++] = *entry;
    return COVEY_OK;
}

static enum covey_status read_tensor(struct scan *scan, const char *name, struct covey_bytes values,
                                     struct covey_safetensors_header *header)
{
    struct tensor_keys keys = {.seen = 0};
    memcpy(keys.entry.name, name, sizeof keys.entry.name);
    if (!take(scan, '{'))
        return fail_at(scan, "'{' is expected");
    do {
        COVEY_TRY(read_key(scan, &keys));
    } while (take(scan, ','));
    if (!take(scan, '}'))
        return fail_at(scan, "',' or '}' is expected");
    COVEY_TRY(check_entry(scan, &keys, values));
    return add_entry(scan, header, &keys.entry);
}

/* {"key": "text", ...}, passed over. */
static enum covey_status skip_metadata(struct scan *scan)
{
    if (!take(scan, '{'))
        return fail_at(scan, "'{' is expected");
    if (take(scan, '}'))
        return COVEY_OK;
    do {
        COVEY_TRY(read_text(scan, NULL, 0));
        if (!take(scan, ':'))
            return fail_at(scan, "':' is expected");
        COVEY_TRY(read_text(scan, NULL, 0));
    } while (take(scan, ','));
    return take(scan, '}') ? COVEY_OK : fail_at(scan, "',' or '}' is expected");
}

enum covey_status covey_safetensors_parse(const char *name, const char *text, size_t bytes,
                                          struct covey_bytes values, struct covey_safetensors_header *out,
                                          struct covey_error *err)
{
    struct scan scan = {.at = text, .end = text + bytes, .start = text, .file = name, .err = err};
    char key[COVEY_SAFETENSORS_NAME_BYTES] = {0};
    if (!take(&scan, '{'))
        return fail_at(&scan, "'{' is expected");
    if (!take(&scan, '}')) {
        do {
            memset(key, 0, sizeof key);
            COVEY_TRY(read_text(&scan, key, sizeof key));
            if (!take(&scan, ':'))
                return fail_at(&scan, "':' is expected");
            if (strcmp(key, "__metadata__") == 0)
                COVEY_TRY(skip_metadata(&scan));
            else
                COVEY_TRY(read_tensor(&scan, key, values, out));
        } while (take(&scan, ','));
        if (!take(&scan, '}'))
            return fail_at(&scan, "',' or '}' is expected");
    }
    skip_space(&scan);
    return scan.at == scan.end ? COVEY_OK : fail_at(&scan, "something follows the header");
}
