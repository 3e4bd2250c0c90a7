#include "covey/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct covey_json *json, const char *text, size_t bytes)
{
    if (json->size == 0 || bytes > json->size - 1 - json->used) {
        json->overflow = true;
        return;
    }
    memcpy(json->out + json->used, text, bytes);
    json->used += bytes;
    json->out[json->used] = '\0';
}

static void put_word(struct covey_json *json, const char *word)
{
    put(json, word, strlen(word));
}

/* Control characters, quote and backslash are escaped (RFC 8259 section 7); what is not UTF-8 becomes U+FFFD.
 */
static size_t utf8_length(const unsigned char *text)
{
    if (text[0] < 0x80)
        return 1;
    if (text[0] >= 0xC2 && text[0] <= 0xDF)
        return (text[1] & 0xC0) == 0x80 ? 2 : 0;
    if ((text[0] & 0xF0) == 0xE0) {
        const unsigned char low = text[0] == 0xE0 ? 0xA0 : 0x80, high = text[0] == 0xED ? 0x9F : 0xBF;
        return text[1] >= low && text[1] <= high && (text[2] & 0xC0) == 0x80 ? 3 : 0;
    }
    if (text[0] >= 0xF0 && text[0] <= 0xF4) {
        const unsigned char low = text[0] == 0xF0 ? 0x90 : 0x80, high = text[0] == 0xF4 ? 0x8F : 0xBF;
        return text[1] >= low && text[1] <= high && (text[2] & 0xC0) == 0x80 && (text[3] & 0xC0) == 0x80 ? 4
                                                                                                         : 0;
    }
    return 0;
}

static void put_string(struct covey_json *json, const char *value)
{
    put(json, "\"", 1);
    for (const unsigned char *at = (const unsigned char *)value; *at != '\0';) {
        const size_t length = utf8_length(at);
        char escaped[8];
        if (length == 0)
            put_word(json, "\xEF\xBF\xBD");
        else if (*at == '"' || *at == '\\')
            put(json, (const char[]){'\\', (char)*at}, 2);
        else if (*at < 0x20 || *at == 0x7F)
            put(json, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", *at));
        else
            put(json, (const char *)at, length);
        at += length > 0 ? length : 1;
    }
    put(json, "\"", 1);
}

static void begin_value(struct covey_json *json, const char *key)
{
    if (json->comma)
        put(json, ",", 1);
    json->comma = true;
    if (key == NULL)
        return;
    put_string(json, key);
    put(json, ":", 1);
}

void covey_json_init(struct covey_json *json, char *out, size_t out_bytes)
{
    *json = (struct covey_json){.out = out, .size = out_bytes};
    if (out_bytes > 0)
        out[0] = '\0';
}

void covey_json_open(struct covey_json *json, const char *key, char bracket)
{
    begin_value(json, key);
    put(json, &bracket, 1);
    json->comma = false;
}

void covey_json_close(struct covey_json *json, char bracket)
{
    put(json, &bracket, 1);
    json->comma = true;
}

void covey_json_text(struct covey_json *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value == NULL)
        put_word(json, "null");
    else
        put_string(json, value);
}

void covey_json_int(struct covey_json *json, const char *key, int64_t value)
{
    char text[32];
    begin_value(json, key);
    put(json, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value));
}

void covey_json_real(struct covey_json *json, const char *key, double value)
{
    char text[40];
    begin_value(json, key);
    if (!isfinite(value)) {
        put_word(json, "null");
        return;
    }
    /* 17 digits always read back; most doubles that people meet need fewer. */
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    put_word(json, text);
}

void covey_json_bool(struct covey_json *json, const char *key, bool value)
{
    begin_value(json, key);
    put_word(json, value ? "true" : "false");
}
