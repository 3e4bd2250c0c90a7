/* The first reading of a configuration file: every rule of the table of fields is checked against libyaml's
 * events, which know the line that they came from (libcyaml's messages name the line before). */
#ifndef COVEY_YAML_CHECK_H
#define COVEY_YAML_CHECK_H

#include "covey/yaml.h"

#define COVEY_YAML_DEPTH 8    /* mappings and lists inside each other */
#define COVEY_YAML_FIELDS 256 /* keys of one mapping */

/* A scalar as its field wants it. */
union covey_yaml_value {
    bool truth;
    int64_t integer; /* INT, CHOICE */
    double real;
};

/* Reads text as `kind` of field; TEXT always succeeds and leaves out alone. On failure err says what was
 * expected, without file and line. */
COVEY_MUST_CHECK enum covey_status covey_yaml_scalar(const struct covey_field *field,
                                                     enum covey_field_kind kind, const char *text,
                                                     union covey_yaml_value *out, struct covey_error *err);

/* INVALID with "NAME:LINE: ..." for the first thing that is wrong. */
COVEY_MUST_CHECK enum covey_status covey_yaml_check(const char *name, const char *text, size_t text_bytes,
                                                    const struct covey_field *fields,
                                                    struct covey_error *err);

#endif
