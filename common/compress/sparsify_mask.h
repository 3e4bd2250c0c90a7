/* The mask of the second stage: of each tile of COVEY_DECODE_VALUES values the same number is kept, drawn by
 * lot from a key that stands in the stream's header. So positions cost nothing, a tile's bytes are known, and
 * each value is kept with the same chance. The quantiser sees those that are kept, one after the other. */
#ifndef COVEY_SPARSIFY_MASK_H
#define COVEY_SPARSIFY_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"

/* In the header: kept, 2 bytes, then the key, 8, little-endian. */
#define COVEY_MASK_BYTES 10
#define COVEY_MASK_WORDS (COVEY_DECODE_VALUES / 64)

/* Values that are kept of the first count <= COVEY_DECODE_VALUES of a tile, where a whole one keeps so many;
 * 0 means that all are. */
size_t covey_mask_kept(unsigned kept_of_tile, size_t count);

/* The key of (seed, device, round), or of (seed, round) where all devices have the same mask. */
void covey_mask_key(const struct covey_codec *codec, const struct covey_encode_options *options,
                    uint32_t key[2]);

/* Bit i % 64 of words[i / 64]: whether value i is kept of the tile that begins at value `first`. words:
 * (COVEY_MASK_WORDS), overwritten. kept: of count. */
void covey_mask_draw(const uint32_t key[2], size_t first, size_t count, size_t kept, uint64_t *words);

/* x: (count), in place: the kept ones times the factor, at its beginning; and back, zeros between them. */
void covey_mask_gather(const uint64_t *words, size_t count, float factor, float *x);
void covey_mask_scatter(const uint64_t *words, size_t count, size_t kept, float *x);

void covey_mask_write(unsigned kept_of_tile, const uint32_t key[2], uint8_t out[COVEY_MASK_BYTES]);
/* False where it makes no sense. */
bool covey_mask_read(const uint8_t in[COVEY_MASK_BYTES], uint16_t *kept_of_tile, uint32_t key[2]);

#endif
