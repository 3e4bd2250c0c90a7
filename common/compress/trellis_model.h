/* What a decoder of the trellis coded quantiser must know. In the stream, after the header:
 *
 *   0  lanes, as a power of two << 5 | has_escape << 4 | chunks of a segment, as a power of two
 *   1  even rows      magnitudes |v| / 2 that have symbols of their own where v is even: 1 to 62
 *   2  odd rows       (|v| - 1) / 2 where v is odd: 1 to 62; 0: nothing but zeros, and no segments
 *   3  step: bits 15 to 30 of the float, little-endian
 *   5  moves[3], int8_t: of |v| = 1, 2 and above, in 1/32 of a step away from zero
 *      longest, if has_escape
 *      frequencies of even rows 1, 2, .., and of two escapes if has_escape; then of odd rows 1, 2, .. and of
 *      two escapes: a byte each; the rows 0 have what is left
 *      for each segment: bytes of it, bytes of its escapes if has_escape; LEB128
 *      CRC-8 of all that
 *
 * v and -v have the same frequency. A magnitude beyond the rows shares the first or the second escape's
 * symbol, by the parity of the rows that it lies beyond; how many times two it lies further follows as an
 * exponential Golomb code with a length of at most `longest`. So v mod 4, which the trellis needs, is in the
 * symbol. Levels are in 1/32 of a step. */
#ifndef COVEY_TRELLIS_MODEL_H
#define COVEY_TRELLIS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"
#include "trellis_kernels.h"

#define COVEY_TRELLIS_ROWS 62 /* of a kind of state, at the most */
#define COVEY_TRELLIS_UNITS 32
#define COVEY_TRELLIS_LONGEST 23
#define COVEY_TRELLIS_HEAD_BYTES (9 + 2 * COVEY_TRELLIS_ROWS + 4)
#define COVEY_TRELLIS_SHARES (4 * (COVEY_TRELLIS_ROWS + 2))

struct covey_trellis_model {
    uint8_t segment_log, lanes_log;
    bool has_escape;
    uint8_t rows[2]; /* by v mod 2 */
    uint8_t longest;
    float step;
    int8_t moves[3];
    uint8_t frequencies[2][COVEY_TRELLIS_ROWS + 2]; /* codes; [0] is not used */
};

/* counts: by magnitude |v|, both signs; those above COVEY_TRELLIS_DIRECT as 124 to 127, by |v| mod 4. Chooses
 * rows and frequencies. Returns the bits of all symbols, escapes and this model's bytes, roughly. */
double covey_trellis_fit(struct covey_trellis_model *model, const uint32_t counts[128]);

/* Bits of a magnitude's symbol, sign included. */
double covey_trellis_bits(const struct covey_trellis_model *model, uint32_t magnitude);

/* As the kernels want them; and by symbol for encoding (entropy_rans.h), (256). */
void covey_trellis_slots(const struct covey_trellis_model *model, uint32_t *slots);
void covey_trellis_ranges(const struct covey_trellis_model *model, uint32_t *ranges);

/* Whether a magnitude lies beyond the rows. */
static inline bool covey_trellis_escapes(const struct covey_trellis_model *model, uint32_t magnitude)
{
    return magnitude / 2 >= model->rows[magnitude & 1];
}

/* The head, without lengths and CRC. */
size_t covey_trellis_write(const struct covey_trellis_model *model, uint8_t *out);
COVEY_MUST_CHECK enum covey_status covey_trellis_read(struct covey_bytes bytes,
                                                      struct covey_trellis_model *out, size_t *used,
                                                      struct covey_error *err);

/* The level of a magnitude: with at most 15 significant bits, so that times the step it is exact. */
int32_t covey_trellis_level(const struct covey_trellis_model *model, uint32_t magnitude);
/* No |v| is larger. */
uint32_t covey_trellis_largest(const struct covey_trellis_model *model);

#endif
