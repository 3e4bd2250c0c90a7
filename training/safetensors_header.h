/* The header of a safetensors file: the one form of JSON that it may have, parsed under bounds. */
#ifndef COVEY_SAFETENSORS_HEADER_H
#define COVEY_SAFETENSORS_HEADER_H

#include "covey/safetensors.h"

struct covey_safetensors_header {
    struct covey_safetensors_entry *entries; /* owned by who called parse */
    size_t count, capacity;
};

/* text: (bytes) of JSON; values: what lies behind it. Entries' `values` point into values. On failure the
 * entries so far are still the caller's to free. */
COVEY_MUST_CHECK enum covey_status covey_safetensors_parse(const char *name, const char *text, size_t bytes,
                                                           struct covey_bytes values,
                                                           struct covey_safetensors_header *out,
                                                           struct covey_error *err);

#endif
