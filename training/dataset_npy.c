/* NPY, NumPy's array file (numpy.lib.format, versions 1.0, 2.0 and 3.0): magic, version, length of a header
 * that is a Python dictionary of three keys, values. C order only. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "table_file.h"

#define HEADER_BYTES_MAX                                                                                     \
    4096 /* ours need about 100; fields of records, which need more, are not supported                       \
          */

static const struct {
    const char *code; /* kind and bytes of `descr`, behind its byte order */
    enum covey_element type;
    enum covey_stored stored;
} npy_types[] = {{"u1", COVEY_ELEMENT_U8, COVEY_STORED_PLAIN},  {"b1", COVEY_ELEMENT_U8, COVEY_STORED_PLAIN},
                 {"i1", COVEY_ELEMENT_I8, COVEY_STORED_PLAIN},  {"i2", COVEY_ELEMENT_I16, COVEY_STORED_PLAIN},
                 {"i4", COVEY_ELEMENT_I32, COVEY_STORED_PLAIN}, {"f4", COVEY_ELEMENT_F32, COVEY_STORED_PLAIN},
                 {"f8", COVEY_ELEMENT_F64, COVEY_STORED_PLAIN}, {"u2", COVEY_ELEMENT_I32, COVEY_STORED_U16},
                 {"u4", COVEY_ELEMENT_I32, COVEY_STORED_U32},   {"i8", COVEY_ELEMENT_I32, COVEY_STORED_I64}};

/* A place in the header's text, which is ended by zero. */
struct scan {
    const char *at;
    const char *path;
    struct covey_error *err;
};

static void skip_space(struct scan *scan)
{
    while (isspace((unsigned char)*scan->at))
        scan->at++;
}

static bool take(struct scan *scan, char wanted)
{
    skip_space(scan);
    if (*scan->at != wanted)
        return false;
    scan->at++;
    return true;
}

static enum covey_status fail_header(const struct scan *scan, const char *what)
{
    return covey_fail(scan->err, COVEY_CORRUPT, "%s: NPY header: %s at \"%.20s\"", scan->path, what,
                      scan->at);
}

/* 'text' or "text" without escapes, cut out into out. */
static enum covey_status read_word(struct scan *scan, char *out, size_t out_bytes)
{
    skip_space(scan);
    char quote = *scan->at;
    if (quote != '\'' && quote != '"')
        return fail_header(scan, "a quoted word is expected");
    const char *start = scan->at + 1, *end = strchr(start, quote);
    if (end == NULL || (size_t)(end - start) >= out_bytes)
        return fail_header(scan, "a word that does not end");
    memcpy(out, start, (size_t)(end - start));
    out[end - start] = 0;
    scan->at = end + 1;
    return COVEY_OK;
}

static enum covey_status read_type(struct scan *scan, struct covey_table_file *out)
{
    char word[16];
    skip_space(scan);
    if (*scan->at == '[')
        return covey_fail(scan->err, COVEY_UNSUPPORTED,
                          "%s: records are not supported: save one plain array a file", scan->path);
    COVEY_TRY(read_word(scan, word, sizeof word));
    for (size_t i = 0; i < sizeof npy_types / sizeof *npy_types; i++) {
        if (word[0] == 0 || strchr("<>|=", word[0]) == NULL || strcmp(word + 1, npy_types[i].code) != 0)
            continue;
        out->type = npy_types[i].type;
        out->stored = npy_types[i].stored;
        out->swapped = word[0] == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '>' : '<') && word[2] != '1';
        return COVEY_OK;
    }
    return covey_fail(
        scan->err, COVEY_UNSUPPORTED,
        "%s: element type '%s'; supported are bool, int8 to int64, uint8 to uint32, float32, float64",
        scan->path, word);
}

static enum covey_status read_shape(struct scan *scan, struct covey_table_file *out)
{
    if (!take(scan, '('))
        return fail_header(scan, "'(' is expected");
    uint32_t rank = 0;
    while (!take(scan, ')')) {
        if (!isdigit((unsigned char)*scan->at))
            return fail_header(scan, "a size is expected");
        char *end;
        unsigned long long size = strtoull(scan->at, &end, 10);
        if (end - scan->at > 10 || size > UINT32_MAX || rank == COVEY_TABLE_DIMENSIONS)
            return covey_fail(scan->err, COVEY_LIMIT,
                              "%s: a shape of more than %d dimensions, or of one too large", scan->path,
                              COVEY_TABLE_DIMENSIONS);
        out->size[rank++] = (uint32_t)size;
        scan->at = end;
        if (!take(scan, ',')) {
            if (!take(scan, ')'))
                return fail_header(scan, "',' or ')' is expected");
            break;
        }
    }
    if (rank == 0)
        return covey_fail(scan->err, COVEY_INVALID, "%s: a single value, not an array of examples",
                          scan->path);
    out->dimensions = rank;
    return COVEY_OK;
}

static enum covey_status read_order(struct scan *scan)
{
    skip_space(scan);
    if (strncmp(scan->at, "True", 4) == 0)
        return covey_fail(scan->err, COVEY_UNSUPPORTED,
                          "%s: in Fortran order; save numpy.ascontiguousarray(x) instead", scan->path);
    if (strncmp(scan->at, "False", 5) != 0)
        return fail_header(scan, "True or False is expected");
    scan->at += 5;
    return COVEY_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } with the keys in any order, each once. */
static enum covey_status read_dictionary(struct scan *scan, struct covey_table_file *out)
{
    char key[20];
    unsigned seen = 0, bit;
    if (!take(scan, '{'))
        return fail_header(scan, "'{' is expected");
    while (!take(scan, '}')) {
        COVEY_TRY(read_word(scan, key, sizeof key));
        if (!take(scan, ':'))
            return fail_header(scan, "':' is expected");
        if (strcmp(key, "descr") == 0) {
            bit = 1;
            COVEY_TRY(read_type(scan, out));
        } else if (strcmp(key, "fortran_order") == 0) {
            bit = 2;
            COVEY_TRY(read_order(scan));
        } else if (strcmp(key, "shape") == 0) {
            bit = 4;
            COVEY_TRY(read_shape(scan, out));
        } else {
            return fail_header(scan, "an unknown key");
        }
        if (seen & bit)
            return fail_header(scan, "a key twice");
        seen |= bit;
        if (!take(scan, ',') && *scan->at != '}')
            return fail_header(scan, "',' or '}' is expected");
    }
    skip_space(scan);
    if (seen != 7 || *scan->at != 0)
        return fail_header(scan, seen != 7 ? "descr, fortran_order or shape is missing" : "something more");
    return COVEY_OK;
}

/* lead: magic (6 bytes) and version (2). */
enum covey_status covey_npy_read_header(struct covey_data_file *file, const uint8_t *lead,
                                        struct covey_table_file *out, struct covey_error *err)
{
    uint8_t length[4] = {0};
    char text[HEADER_BYTES_MAX + 1];
    if (lead[6] < 1 || lead[6] > 3)
        return covey_fail(err, COVEY_UNSUPPORTED, "%s: NPY version %u.%u", file->path, lead[6], lead[7]);
    COVEY_TRY(covey_data_file_read(file, length, lead[6] == 1 ? 2 : 4, err));
    uint32_t bytes =
        length[0] | (uint32_t)length[1] << 8 | (uint32_t)length[2] << 16 | (uint32_t)length[3] << 24;
    if (bytes > HEADER_BYTES_MAX)
        return covey_fail(err, COVEY_LIMIT, "%s: an NPY header of %u bytes; %d are allowed", file->path,
                          bytes, HEADER_BYTES_MAX);
    COVEY_TRY(covey_data_file_read(file, text, bytes, err));
    text[bytes] = 0;
    struct scan scan = {.at = text, .path = file->path, .err = err};
    return read_dictionary(&scan, out);
}
