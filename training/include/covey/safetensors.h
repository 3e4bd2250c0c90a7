/* safetensors files (format of https://huggingface.co/docs/safetensors): initial models and checkpoints, in
 * and out.
 *
 * A file is 8 bytes of header length, a header in JSON, and the values. Files come from strangers: the header
 * is parsed by a bounded parser of just this form, every offset is checked against the file before it is
 * used, the file is mapped, and nothing is executed. In: F32, F16, BF16, F64, all turned to f32. Out: F32. */
#ifndef COVEY_SAFETENSORS_H
#define COVEY_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/params.h"
#include "covey/status.h"

#define COVEY_SAFETENSORS_HEADER_BYTES (4u << 20)
#define COVEY_SAFETENSORS_TENSORS 4096
#define COVEY_SAFETENSORS_RANK 8
#define COVEY_SAFETENSORS_NAME_BYTES 128

enum covey_safetensors_type {
    COVEY_SAFETENSORS_F32,
    COVEY_SAFETENSORS_F16,
    COVEY_SAFETENSORS_BF16,
    COVEY_SAFETENSORS_F64
};

struct covey_safetensors_entry {
    char name[COVEY_SAFETENSORS_NAME_BYTES];
    enum covey_safetensors_type type;
    uint32_t rank; /* 0: a single value */
    uint64_t shape[COVEY_SAFETENSORS_RANK];
    uint64_t count;        /* values */
    const uint8_t *values; /* into the file; little-endian, any alignment */
};

/* An open file. */
struct covey_safetensors;

/* Maps and checks. CORRUPT for a malformed header or offsets, UNSUPPORTED for another dtype (integers),
 * LIMIT. */
COVEY_MUST_CHECK enum covey_status covey_safetensors_open(const char *path, struct covey_safetensors **out,
                                                          struct covey_error *err);
/* The same over bytes of the caller's, which stay borrowed until close. */
COVEY_MUST_CHECK enum covey_status covey_safetensors_open_bytes(const char *name, struct covey_bytes bytes,
                                                                struct covey_safetensors **out,
                                                                struct covey_error *err);
void covey_safetensors_close(struct covey_safetensors *file); /* NULL is legal */

size_t covey_safetensors_count(const struct covey_safetensors *file);
/* Borrowed from file; in the order of the header. */
const struct covey_safetensors_entry *covey_safetensors_entry(const struct covey_safetensors *file,
                                                              size_t index);
/* NULL when there is none of that name. */
const struct covey_safetensors_entry *covey_safetensors_find(const struct covey_safetensors *file,
                                                             const char *name);

/* out: (entry->count) f32. */
void covey_safetensors_values(const struct covey_safetensors_entry *entry, float *out);

/* Fills the tensors of layout, each by its name and with its shape: params: (layout->count), untouched on
 * failure. NOT_FOUND or MISMATCH names the tensor, NOT_FINITE too. Tensors that the layout does not have are
 * passed over; *ignored counts them (may be NULL). Control variates that the file does not have stay as they
 * are. */
COVEY_MUST_CHECK enum covey_status covey_safetensors_load(const char *path, const struct covey_layout *layout,
                                                          float *params, uint32_t *ignored,
                                                          struct covey_error *err);

/* Writes all tensors of layout. metadata: pairs of key and value, ended by NULL, or NULL. Temporary file,
 * fsync, rename. */
COVEY_MUST_CHECK enum covey_status covey_safetensors_store(const char *path,
                                                           const struct covey_layout *layout,
                                                           const float *params, const char *const *metadata,
                                                           struct covey_error *err);

#endif
