/* Writes one JSON object (RFC 8259) into a buffer: for --json and for logs. Never reads JSON. */
#ifndef COVEY_JSON_H
#define COVEY_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct covey_json {
    char *out;
    size_t size, used; /* bytes; the text is always ended by zero when size > 0 */
    bool comma;        /* a value went before */
    bool overflow;     /* something did not fit */
};

void covey_json_init(struct covey_json *json, char *out, size_t out_bytes);
/* key NULL inside an array. */
void covey_json_open(struct covey_json *json, const char *key, char bracket); /* '{' or '[' */
void covey_json_close(struct covey_json *json, char bracket);                 /* '}' or ']' */
void covey_json_text(struct covey_json *json, const char *key, const char *value);
void covey_json_int(struct covey_json *json, const char *key, int64_t value);
/* Shortest text that reads back as the same double; NaN and infinity become null. */
void covey_json_real(struct covey_json *json, const char *key, double value);
void covey_json_bool(struct covey_json *json, const char *key, bool value);

#endif
