#include "json_object.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    const char *start, *at, *end;
    struct covey_error *err;
};

static enum covey_status broken(const struct reading *reading, const char *what)
{
    return covey_fail(reading->err, COVEY_CORRUPT, "byte %zu: %s", (size_t)(reading->at - reading->start),
                      what);
}

static void skip_blanks(struct reading *reading)
{
    while (reading->at < reading->end && memchr(" \t\r\n", *reading->at, 4) != NULL)
        reading->at++;
}

static bool take(struct reading *reading, char wanted)
{
    skip_blanks(reading);
    if (reading->at >= reading->end || *reading->at != wanted)
        return false;
    reading->at++;
    return true;
}

/* ---- texts ---- */

struct text {
    char *out;
    size_t capacity, used;
    bool full; /* cut: nothing more is added, so that no character is torn */
};

static void add_code(struct text *text, uint32_t code)
{
    uint8_t bytes[4];
    size_t count;
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        count = 1;
    } else if (code < 0x800) {
        bytes[0] = (uint8_t)(0xC0 | code >> 6);
        count = 2;
    } else if (code < 0x10000) {
        bytes[0] = (uint8_t)(0xE0 | code >> 12);
        count = 3;
    } else {
        bytes[0] = (uint8_t)(0xF0 | code >> 18);
        count = 4;
    }
    for (size_t i = 1; i < count; i++)
        bytes[i] = (uint8_t)(0x80 | (code >> (6 * (count - 1 - i)) & 0x3F));
    text->full = text->full || count > text->capacity - 1 - text->used;
    if (text->full)
        return;
    memcpy(text->out + text->used, bytes, count);
    text->used += count;
}

static bool hexadecimal(struct reading *reading, uint32_t *out)
{
    uint32_t code = 0;
    if (reading->end - reading->at < 4)
        return false;
    for (int i = 0; i < 4; i++, reading->at++) {
        const char digit = *reading->at;
        if (digit >= '0' && digit <= '9')
            code = code << 4 | (uint32_t)(digit - '0');
        else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
            code = code << 4 | (uint32_t)((digit | 0x20) - 'a' + 10);
        else
            return false;
    }
    *out = code;
    return true;
}

/* \uXXXX, or two of them as a surrogate pair; a lone half, and the zero that would end our texts, become
 * U+FFFD. */
static bool escaped_code(struct reading *reading, uint32_t *out)
{
    uint32_t high, low;
    if (!hexadecimal(reading, &high))
        return false;
    *out = high;
    if (high >= 0xD800 && high < 0xDC00 && reading->end - reading->at >= 6 && reading->at[0] == '\\' &&
        reading->at[1] == 'u') {
        struct reading ahead = *reading;
        ahead.at += 2;
        if (hexadecimal(&ahead, &low) && low >= 0xDC00 && low < 0xE000) {
            reading->at = ahead.at;
            *out = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    if (*out == 0 || (*out >= 0xD800 && *out < 0xE000))
        *out = 0xFFFD;
    return true;
}

static enum covey_status read_escape(struct reading *reading, struct text *text)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    uint32_t code;
    if (reading->at >= reading->end)
        return broken(reading, "the text ends within an escape");
    const char letter = *reading->at++;
    if (letter == 'u') {
        if (!escaped_code(reading, &code))
            return broken(reading, "\\u wants four hexadecimal digits");
        add_code(text, code);
        return COVEY_OK;
    }
    const char *found = letter != '\0' ? strchr(letters, letter) : NULL;
    if (found == NULL)
        return broken(reading, "an escape that JSON does not have");
    add_code(text, (uint8_t)meanings[found - letters]);
    return COVEY_OK;
}

/* A character of one to four bytes goes in whole or not at all; bytes are not checked for UTF-8 beyond that:
 * whoever prints them does. */
static void add_raw(struct reading *reading, struct text *text)
{
    size_t count = 1;
    while (count < 4 && reading->at + count < reading->end && ((uint8_t)reading->at[count] & 0xC0) == 0x80)
        count++;
    text->full = text->full || count > text->capacity - 1 - text->used;
    if (!text->full) {
        memcpy(text->out + text->used, reading->at, count);
        text->used += count;
    }
    reading->at += count;
}

/* Behind the opening quote. */
static enum covey_status read_text(struct reading *reading, char *out, size_t capacity, bool *cut)
{
    struct text text = {out, capacity, 0, false};
    while (reading->at < reading->end && *reading->at != '"') {
        if ((uint8_t)*reading->at < 0x20)
            return broken(reading, "a control character within a text");
        if (*reading->at == '\\') {
            reading->at++;
            COVEY_TRY(read_escape(reading, &text));
        } else {
            add_raw(reading, &text);
        }
    }
    if (reading->at >= reading->end)
        return broken(reading, "the text has no closing quote");
    reading->at++;
    out[text.used] = '\0';
    *cut = text.full;
    return COVEY_OK;
}

/* ---- numbers ---- */

static size_t digits(const char *text, size_t bytes, size_t from)
{
    size_t at = from;
    while (at < bytes && text[at] >= '0' && text[at] <= '9')
        at++;
    return at - from;
}

/* The grammar of RFC 8259, section 6: what strtod would take besides is refused. */
static bool is_number(const char *text, size_t bytes)
{
    size_t at = bytes > 0 && text[0] == '-' ? 1 : 0;
    const size_t whole = digits(text, bytes, at);
    if (whole == 0 || (whole > 1 && text[at] == '0'))
        return false;
    at += whole;
    if (at < bytes && text[at] == '.') {
        const size_t fraction = digits(text, bytes, at + 1);
        if (fraction == 0)
            return false;
        at += 1 + fraction;
    }
    if (at < bytes && (text[at] == 'e' || text[at] == 'E')) {
        at += at + 1 < bytes && (text[at + 1] == '+' || text[at + 1] == '-') ? 2 : 1;
        const size_t exponent = digits(text, bytes, at);
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return at == bytes;
}

static enum covey_status read_word(struct reading *reading, struct covey_json_value *value)
{
    const char *start = reading->at;
    while (reading->at < reading->end && strchr(" \t\r\n,:]}\"[{", *reading->at) == NULL)
        reading->at++;
    const size_t bytes = (size_t)(reading->at - start);
    if (bytes >= sizeof value->text)
        return broken(reading, "a number of too many digits");
    memcpy(value->text, start, bytes);
    value->text[bytes] = '\0';
    if (strcmp(value->text, "null") == 0) {
        value->kind = COVEY_JSON_NULL;
    } else if (strcmp(value->text, "true") == 0 || strcmp(value->text, "false") == 0) {
        value->kind = COVEY_JSON_BOOL;
        value->truth = value->text[0] == 't';
    } else if (is_number(value->text, bytes)) {
        value->kind = COVEY_JSON_NUMBER;
        value->number = strtod(value->text, NULL);
    } else {
        return broken(reading, "a value was expected here");
    }
    return COVEY_OK;
}

/* ---- values and objects ---- */

static enum covey_status read_scalar(struct reading *reading, struct covey_json_value *value)
{
    bool cut;
    if (!take(reading, '"'))
        return read_word(reading, value);
    value->kind = COVEY_JSON_TEXT;
    return read_text(reading, value->text, sizeof value->text, &cut);
}

static enum covey_status read_key(struct reading *reading, char key[COVEY_JSON_KEY_BYTES])
{
    bool cut;
    if (!take(reading, '"'))
        return broken(reading, "a key in quotes was expected");
    COVEY_TRY(read_text(reading, key, COVEY_JSON_KEY_BYTES, &cut));
    if (cut)
        key[0] = '\0'; /* none of ours is so long: it must not be taken for one that begins alike */
    return take(reading, ':') ? COVEY_OK : broken(reading, "':' was expected behind a key");
}

static char closing(char opening)
{
    return opening == '{' ? '}' : ']';
}

/* Behind the opening bracket of an inner object or list, to behind its closing one. */
static enum covey_status pass_over(struct reading *reading, char bracket)
{
    char open[COVEY_JSON_DEPTH] = {bracket}, key[COVEY_JSON_KEY_BYTES];
    struct covey_json_value scalar;
    size_t depth = 1;
    bool fresh = true; /* just opened: may close at once */
    while (depth > 0) {
        if (take(reading, closing(open[depth - 1]))) {
            depth--;
            fresh = false;
            continue;
        }
        if (!fresh && !take(reading, ','))
            return broken(reading, "',' or a closing bracket was expected");
        if (open[depth - 1] == '{')
            COVEY_TRY(read_key(reading, key));
        fresh = take(reading, '{') || take(reading, '[');
        if (!fresh) {
            COVEY_TRY(read_scalar(reading, &scalar));
            continue;
        }
        if (depth == COVEY_JSON_DEPTH)
            return broken(reading, "brackets within brackets, too deep");
        open[depth++] = reading->at[-1];
    }
    return COVEY_OK;
}

enum covey_status covey_json_object_read(const char *text, size_t text_bytes, covey_json_member member,
                                         void *user, struct covey_error *err)
{
    struct reading reading = {text, text, text + text_bytes, err};
    struct covey_json_value value;
    char key[COVEY_JSON_KEY_BYTES];
    if (!take(&reading, '{'))
        return broken(&reading, "'{' was expected");
    for (bool first = true; !take(&reading, '}'); first = false) {
        if (!first && !take(&reading, ','))
            return broken(&reading, "',' or '}' was expected");
        COVEY_TRY(read_key(&reading, key));
        if (take(&reading, '{') || take(&reading, '[')) {
            value.kind = COVEY_JSON_OTHER;
            value.text[0] = '\0';
            COVEY_TRY(pass_over(&reading, reading.at[-1]));
        } else {
            COVEY_TRY(read_scalar(&reading, &value));
        }
        COVEY_TRY(member(user, key, &value, err));
    }
    skip_blanks(&reading);
    return reading.at == reading.end ? COVEY_OK : broken(&reading, "something stands behind the object");
}
