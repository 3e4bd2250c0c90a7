/* Rows and fields of a CSV text (RFC 4180), cut in place: separators become zeros, so nothing is copied. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataset_csv.h"

static char guess_separator(const char *text)
{
    static const char candidates[] = ",;\t|";
    size_t line = strcspn(text, "\r\n"), most = 0;
    char best = ',';
    for (const char *c = candidates; *c != 0; c++) {
        size_t count = 0;
        for (size_t i = 0; i < line; i++)
            count += text[i] == *c;
        if (count > most) {
            most = count;
            best = *c;
        }
    }
    return best;
}

void covey_csv_begin(struct covey_csv_reader *reader, const char *name, char *text, size_t bytes,
                     char separator)
{
    if (bytes >= 3 &&
        memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark, as spreadsheets write it */
        text += 3;
        bytes -= 3;
    }
    reader->name = name;
    reader->at = text;
    reader->end = text + bytes;
    reader->separator = separator != 0 ? separator : guess_separator(text);
    reader->line = reader->lines = reader->count = 0;
}

/* A field in quotes, its "" turned into "; *end: behind the closing quote. NULL when there is none. */
static char *unquote(struct covey_csv_reader *reader, char *start, char **end)
{
    char *in = start + 1, *out = start;
    for (; in < reader->end; in++) {
        if (*in == '"' && in[1] != '"') {
            *end = in + 1;
            *out = 0;
            return start;
        }
        if (*in == '"')
            in++;
        if (*in == '\n')
            reader->lines++;
        *out++ = *in;
    }
    return NULL;
}

static char *trim(char *start, char *end)
{
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    *end = 0;
    return start;
}

static bool is_row_end(const struct covey_csv_reader *reader, const char *at)
{
    return at == reader->end || *at == '\n' || (*at == '\r' && (at + 1 == reader->end || at[1] == '\n'));
}

/* Reads one field; at: behind it, on the separator or the row's end. */
static enum covey_status next_field(struct covey_csv_reader *reader, struct covey_error *err)
{
    char *start = reader->at, *end;
    if (reader->count == COVEY_CSV_COLUMNS)
        return covey_fail(err, COVEY_LIMIT, "%s:%u: more than %d columns", reader->name, reader->line,
                          COVEY_CSV_COLUMNS);
    if (*start == '"') {
        char *field = unquote(reader, start, &end);
        if (field == NULL)
            return covey_fail(err, COVEY_CORRUPT, "%s:%u: a quote that does not end", reader->name,
                              reader->line);
        if (!is_row_end(reader, end) && *end != reader->separator)
            return covey_fail(err, COVEY_CORRUPT, "%s:%u: something follows a closing quote in column %u",
                              reader->name, reader->line, reader->count);
        reader->fields[reader->count++] = field;
        reader->at = end;
        return COVEY_OK;
    }
    for (end = start; !is_row_end(reader, end) && *end != reader->separator; end++)
        if (*end == 0)
            return covey_fail(err, COVEY_CORRUPT, "%s:%u: a zero byte: not a text", reader->name,
                              reader->line);
    reader->at = end;
    reader->fields[reader->count++] = start; /* cut by the caller, who still has to see what ended it */
    return COVEY_OK;
}

enum covey_status covey_csv_next(struct covey_csv_reader *reader, struct covey_error *err)
{
    for (;;) { /* empty lines are passed over */
        if (reader->at == reader->end)
            return COVEY_NOT_FOUND;
        reader->line = reader->lines + 1;
        reader->count = 0;
        for (;;) {
            bool quoted = *reader->at == '"';
            COVEY_TRY(next_field(reader, err));
            char *end = reader->at;
            bool last = is_row_end(reader, end);
            if (end < reader->end)
                reader->at = last && *end == '\r' && end + 1 < reader->end ? end + 2 : end + 1;
            if (!quoted)
                reader->fields[reader->count - 1] = trim(reader->fields[reader->count - 1], end);
            if (last)
                break;
        }
        reader->lines++;
        if (reader->count > 1 || reader->fields[0][0] != 0)
            return COVEY_OK;
    }
}

int covey_csv_number(const char *field, double *out)
{
    static const char *const missing[] = {"", "NA", "N/A", "NaN", "null", "none", "?"};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        if (strcasecmp(field, missing[i]) == 0) {
            *out = NAN;
            return 0;
        }
    }
    char *end;
    double value = strtod(field, &end);
    if (end == field || *end != 0 || !isfinite((float)value) || isspace((unsigned char)*field))
        return -1;
    *out = value;
    return 1;
}
