/* A vector cut into sections, each with a quantiser and frequencies of its own: tensors, or several small
 * ones together. All of them lie in the same segments, one behind the other; each may be rotated or not.
 *
 *   0  sections - 1
 *      of each: values / 64 << 1 | rotated, LEB128 (the last one: 0 | rotated, it has what is left), then the
 *      parameters of uniform_model.h, which say the same chunks and lanes everywhere
 *
 * Without a list the whole vector is one section: its parameters alone. */
#ifndef COVEY_SECTIONS_H
#define COVEY_SECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"
#include "stage.h"
#include "uniform_model.h"

#define COVEY_SECTIONS_MAX 64
#define COVEY_SECTION_HEAD_BYTES (5 + COVEY_UNIFORM_HEAD_BYTES)

struct covey_section {
    size_t first, last; /* values */
    bool rotated;
    struct covey_uniform_model model;
};

/* A reading of the list, section after section. */
struct covey_section_walk {
    const uint8_t *at, *end;
    size_t values, left; /* sections to come */
    bool listed;
};

/* bytes: from behind the stream's header, of `values` values. CORRUPT. */
COVEY_MUST_CHECK enum covey_status covey_sections_begin(struct covey_section_walk *walk,
                                                        struct covey_bytes bytes, size_t values, bool listed,
                                                        struct covey_error *err);
/* The next one; *section: the one before, zeros at first. walk->left says whether there is one. CORRUPT. */
COVEY_MUST_CHECK enum covey_status covey_sections_next(struct covey_section_walk *walk,
                                                       struct covey_section *section,
                                                       struct covey_error *err);

/* Returns the bytes. out: (1 + count * COVEY_SECTION_HEAD_BYTES). */
size_t covey_sections_write(const struct covey_section *sections, size_t count, bool listed, uint8_t *out);

/* How a vector is best cut at the run's rate, by its tensors' ends: pieces of COVEY_SECTION_UNIT values,
 * those together that are alike. x: (count), finite. sample: (count), overwritten; scratch: of
 * covey_plan_bytes. pieces: (COVEY_PLAN_SECTIONS). Returns how many. */
#define COVEY_SECTION_UNIT 64
#define COVEY_PLAN_SECTIONS 16
size_t covey_sections_plan(const struct covey_encode_run *run, const float *x, size_t count, float *sample,
                           void *scratch, struct covey_piece *pieces);
/* Sections that a vector of so many values may be cut into by an encoder. */
size_t covey_plan_sections(size_t count);
size_t covey_plan_bytes(size_t count);

#endif
