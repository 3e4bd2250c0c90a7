/* What a decoder of the uniform quantiser must know: step, symbols, their frequencies, how long each segment
 * is. In the stream, after the header:
 *
 *   0  shift << 4 | chunks of a segment, as a power of two
 *   1  lanes, as a power of two << 5 | order << 2 | has_escape << 1 | 0
 *   2  rows - 1
 *   3  step: bits 15 to 30 of the float, little-endian
 *   5  longest, if has_escape
 *      moves[0 .. min(3, rows - 1 + has_escape) - 1], int8_t, if shift = 0
 *      frequencies of rows 1, 2, ... and of the escape, a byte each; row 0 has what is left
 *      for each segment: bytes of it, bytes of its escapes if has_escape; LEB128
 *      CRC-8 of all that
 *
 * Row r is a pair of symbols of the same frequency: with shift = 0, r and -r, of which row 0 has just one;
 * otherwise r and -1 - r, and `shift` bits below the symbol are stored as they are. Magnitudes from `rows` on
 * share the escape's symbols; their distance from `rows` follows as an exponential Golomb code of that order
 * (Teuhola 1978) with at most 15 significant bits and a length of at most `longest`.
 *
 * Levels are in units of step / 64 (shift = 0: level = 64 r + move) or step. */
#ifndef COVEY_UNIFORM_MODEL_H
#define COVEY_UNIFORM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"
#include "entropy_rans.h"
#include "rate_search.h"

#define COVEY_UNIFORM_HEAD_BYTES (5 + 1 + 3 + COVEY_UNIFORM_ROWS)
#define COVEY_UNIFORM_SHARES (2 * COVEY_UNIFORM_ROWS + 2) /* rows and the escape, two symbols each */
#define COVEY_UNIFORM_LONGEST 24
#define COVEY_UNIFORM_MANTISSA 14 /* bits below the leading one that an escape has at the most */

struct covey_uniform_model {
    uint8_t shift, segment_log, lanes_log, order;
    bool has_escape;
    uint8_t rows; /* 0: there is nothing but zeros, and no segments */
    uint8_t longest;
    float step;
    int8_t moves[3];
    uint8_t frequencies[COVEY_UNIFORM_ROWS + 1]; /* codes; [0] is not used */
};

/* Counts of tokens, and what stands for larger ones: beyond[n] values have n + 1 significant bits. */
struct covey_uniform_counts {
    uint32_t rows[COVEY_UNIFORM_ROWS]; /* both signs */
    uint32_t beyond[COVEY_UNIFORM_LONGEST + 1];
    size_t total;
};

/* Rows, escape and frequencies that cost the least. Returns the bits that symbols, escapes and this model's
 * bytes take, without lanes and lengths; shift, step and moves are in *model already. */
double covey_uniform_fit(struct covey_uniform_model *model, const struct covey_uniform_counts *counts);

/* The symbols' shares: (COVEY_UNIFORM_SHARES); the number of them, 0 where there is nothing to code. */
size_t covey_uniform_shares(const struct covey_uniform_model *model, struct covey_rans_share *shares);

/* The head, without lengths and CRC. */
size_t covey_uniform_write(const struct covey_uniform_model *model, uint8_t *out);
/* *used: the bytes read. CORRUPT; NULL err says nothing. */
COVEY_MUST_CHECK enum covey_status covey_uniform_read(struct covey_bytes bytes,
                                                      struct covey_uniform_model *out, size_t *used,
                                                      struct covey_error *err);

/* In f32, exact; times a level it is a value. */
float covey_uniform_unit(const struct covey_uniform_model *model);
/* No |level| is larger. */
uint32_t covey_uniform_level_limit(const struct covey_uniform_model *model);
/* The level of magnitude row >= rows, before its sign and the bits below. */
uint32_t covey_uniform_move_row(const struct covey_uniform_model *model, uint32_t row);

/* The bits of an escape of magnitude row >= model->rows, and what it was written as. */
void covey_uniform_put_escape(const struct covey_uniform_model *model, uint32_t row,
                              struct covey_bit_writer *bits);
uint32_t covey_uniform_get_escape(const struct covey_uniform_model *model, struct covey_bit_reader *bits);

#endif
