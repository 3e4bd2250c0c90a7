/* Sections on their way into a stream: their values as tokens, and all of them as segments. */
#ifndef COVEY_UNIFORM_PARTS_H
#define COVEY_UNIFORM_PARTS_H

#include "entropy_kernels.h"
#include "rate_search.h"
#include "sections.h"
#include "segments.h"

#define COVEY_ALL_KEPT 65536u

struct covey_part {
    struct covey_section section;
    const float *x;                    /* (section.last - section.first) */
    int8_t *tokens;                    /* likewise */
    const struct covey_spread *spread; /* NULL: values stand where their codes say */
    struct covey_uniform_choice choice;
    bool is_zero;         /* nothing of it is coded */
    uint32_t ranges[256]; /* of the symbols, by token */
};

static inline size_t covey_part_count(const struct covey_part *part)
{
    return part->section.last - part->section.first;
}

/* Tokens and model for the choice. kept: of COVEY_ALL_KEPT values, chosen by lot; the others are zero.
 * Returns the bits that its symbols and parameters take. */
double covey_part_attempt(struct covey_part *part, uint32_t kept, uint32_t lot);

/* All segments to the payload. SIZE_MAX where they do not fit. *segments: how many; none where all is zero.
 */
size_t covey_parts_write(struct covey_part *parts, size_t part_count, uint8_t *payload, size_t room,
                         struct covey_segment *lengths, size_t *segments);

#endif
