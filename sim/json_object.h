/* Reads one JSON object (RFC 8259) of outside bytes: the lines that covey/json.h writes, and what comes with
 * them from other hands. Values that are objects or lists themselves are checked and passed over.
 *
 * Limits: COVEY_JSON_KEY_BYTES a key, COVEY_JSON_TEXT_BYTES a text (longer ones are cut at a character),
 * COVEY_JSON_DEPTH levels. Allocates nothing. */
#ifndef COVEY_JSON_OBJECT_H
#define COVEY_JSON_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "covey/status.h"

#define COVEY_JSON_KEY_BYTES 64
#define COVEY_JSON_TEXT_BYTES 512
#define COVEY_JSON_DEPTH 16

enum covey_json_kind {
    COVEY_JSON_NULL,
    COVEY_JSON_BOOL,
    COVEY_JSON_NUMBER,
    COVEY_JSON_TEXT,
    COVEY_JSON_OTHER /* an object or a list */
};

struct covey_json_value {
    enum covey_json_kind kind;
    bool truth;
    double number;                    /* rounded to a double; `text` has it as it was written */
    char text[COVEY_JSON_TEXT_BYTES]; /* TEXT without escapes, in UTF-8; NUMBER as written */
};

/* Called for each member in turn; what it returns other than OK ends the reading. */
typedef enum covey_status (*covey_json_member)(void *user, const char *key,
                                               const struct covey_json_value *value, struct covey_error *err);

/* CORRUPT with the place for what is no JSON object, or for anything but blanks behind it. Members before
 * the fault were handed over by then. */
COVEY_MUST_CHECK enum covey_status covey_json_object_read(const char *text, size_t text_bytes,
                                                          covey_json_member member, void *user,
                                                          struct covey_error *err);

#endif
