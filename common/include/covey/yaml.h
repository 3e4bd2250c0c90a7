/* Configuration files: YAML (libcyaml) checked against a table of fields and put into the caller's struct.
 *
 * An unknown key, a value of the wrong type or out of its range, a missing required key: refused with file,
 * line and a hint ("unknown key 'epoch': did you mean 'epochs'?"). */
#ifndef COVEY_YAML_H
#define COVEY_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"

enum covey_field_kind {
    COVEY_FIELD_BOOL,    /* bool */
    COVEY_FIELD_INT,     /* int64_t */
    COVEY_FIELD_REAL,    /* double */
    COVEY_FIELD_TEXT,    /* char *, owned by the loaded struct */
    COVEY_FIELD_CHOICE,  /* int64_t: index of the word in `choices` */
    COVEY_FIELD_MAPPING, /* a struct in place, with `fields` */
    COVEY_FIELD_LIST     /* of structs, or of a scalar kind: a pointer at `offset`, a uint32_t count at
                            `count_offset` */
};

struct covey_field {
    const char *key;
    enum covey_field_kind kind;
    size_t offset;
    bool required;
    double minimum, maximum;          /* INT and REAL; both 0: any */
    const char *const *choices;       /* CHOICE: ended by NULL */
    const struct covey_field *fields; /* MAPPING, LIST of structs: ended by a NULL key */
    size_t item_bytes;                /* LIST: size of one item */
    enum covey_field_kind item_kind;  /* LIST: COVEY_FIELD_MAPPING or a scalar kind */
    size_t count_offset;              /* LIST */
    uint32_t item_limit;              /* LIST: at most so many */
    const char *hint;                 /* what to write there, for error messages; may be NULL */
    bool sparse; /* written only when it is not zero: a key that came later leaves older texts as they were */
};

/* Fills in `into` (into_bytes long), which holds the defaults for whatever the file leaves out; TEXT defaults
 * may be string literals. On failure `into` is as it was. INVALID with "FILE:LINE: ..." in err. */
COVEY_MUST_CHECK enum covey_status covey_yaml_load_file(const char *file, const struct covey_field *fields,
                                                        void *into, size_t into_bytes,
                                                        struct covey_error *err);
/* The same from memory; `name` stands for the file in messages. */
COVEY_MUST_CHECK enum covey_status covey_yaml_load_text(const char *name, const char *text, size_t text_bytes,
                                                        const struct covey_field *fields, void *into,
                                                        size_t into_bytes, struct covey_error *err);
/* Frees what loading allocated inside `into`; `defaults` is the struct as it was before loading. */
void covey_yaml_free(const struct covey_field *fields, void *into, const void *defaults);

/* The struct as YAML that loads to the same values; *out is malloc'ed. Left out: absent text (NULL), empty
 * lists, mappings in which everything is zero. NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_yaml_write(const struct covey_field *fields, const void *from,
                                                    char **out);

/* The line, from 1, of the key at `path` ("round.goal"), for messages about a file that was read without
 * error; of the innermost key on the way that is there. */
uint32_t covey_yaml_line(const char *file, const char *path);

#endif
