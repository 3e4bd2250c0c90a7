/* The four stages of a codec as tables, and what they hand on to one another.
 *
 *   values -> transform -> sparsify -> quantise -> codes and side records -> entropy -> bytes
 *
 * A vector is worked through in tiles of COVEY_DECODE_VALUES values, which stay in the nearest cache; tiles
 * make up chunks of COVEY_CHUNK_VALUES. In the stream a chunk is the side records of its blocks, then its
 * codes:
 *
 *   header | side of chunk 0 | codes of chunk 0 | side of chunk 1 | ...
 *
 * Codecs of variable length look at the whole vector before they write anything, and lay out what follows the
 * header by themselves: parameters, where each segment begins, the segments. Their quantiser's row names a
 * struct covey_vector_coder, which stands for quantiser and entropy coder together.
 *
 * A new stage is a row in one of the tables below and a file with its functions. A row's place in its table
 * is what the stream's header says: rows are only ever added at the end. */
#ifndef COVEY_STAGE_H
#define COVEY_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"
#include "block_kernels.h"
#include "sparsify_mask.h"

#define COVEY_STAGE_ROWS 16 /* four bits in the header */
#define COVEY_TRANSFORM_BYTES 8
#define COVEY_PARAMETER_BYTES (COVEY_TRANSFORM_BYTES + COVEY_MASK_BYTES)

/* Values of a vector that are quantised by themselves, up to `last`. */
struct covey_piece {
    size_t first, last;
    bool rotated;
};

/* What is the same for a whole encoding. */
struct covey_encode_run {
    const struct covey_codec *codec;
    const struct covey_block_kernels *kernels;
    uint32_t key[2], high[2]; /* of the counter-based generator: key, and the upper half of the counter */
    const struct covey_encode_options *options;
    const struct covey_piece *pieces; /* (piece_count) of the vector; none: all of it is one */
    size_t piece_count;
    size_t header_bytes;                       /* which count as part of a rate */
    uint8_t parameters[COVEY_PARAMETER_BYTES]; /* of transform and mask, as the header says them */
    uint32_t mask[2];                          /* the mask's key */
};

/* In place, on a tile that begins at value `first` of the vector. NULL: nothing to do. parameters:
 * (parameter_bytes), filled in by describe, which may look at the whole vector, finite or not; they stand in
 * the stream's header. */
struct covey_transform {
    const char *name;
    uint8_t parameter_bytes; /* at most COVEY_TRANSFORM_BYTES */
    void (*describe)(const struct covey_encode_run *run, const float *x, size_t count, uint8_t *parameters);
    void (*forward)(const uint8_t *parameters, size_t first, float *x, size_t count);
    void (*inverse)(const uint8_t *parameters, size_t first, float *x, size_t count);
};

/* The codec's transform of a piece of the vector x, in place: by what of each tile lies in it. */
void covey_transform_forward(const struct covey_encode_run *run, const struct covey_piece *piece, float *x);
/* Whether it lowers the piece's error at that many bits a value. x: the vector, finite; sample: as many as
 * the piece has, overwritten. */
bool covey_transform_pays(const struct covey_encode_run *run, const float *x, const struct covey_piece *piece,
                          double bits, float *sample);

/* Which values are coded at all: the largest, which quantiser and entropy coder see to, or those under a mask
 * (sparsify_mask.h), with quantisers of fixed length. */
#define COVEY_SPARSIFY_TOP 1
#define COVEY_SPARSIFY_MASK 2
struct covey_sparsifier {
    const char *name;
    uint8_t parameter_bytes; /* in the header, behind the transform's */
};

/* Quantiser and entropy coder of a codec of variable length: what stands behind the header. The vector that
 * it sees is the transformed one. A decoder of it keeps what it needs in decoder->state and never fails after
 * open: whatever the bytes of the segments are, they decode to levels within the peak. */
struct covey_vector_coder {
    /* Bytes at the most, and of scratch; the scratch is aligned to COVEY_ARENA_ALIGN. */
    size_t (*bound)(const struct covey_codec *codec, size_t count);
    size_t (*scratch_bytes)(const struct covey_codec *codec, size_t count);
    /* x: (count), finite, below 2^127; LIMIT when what comes out has more than capacity bytes. */
    enum covey_status (*encode)(const struct covey_encode_run *run, const float *x, size_t count,
                                void *scratch, uint8_t *out, size_t capacity, size_t *out_bytes,
                                struct covey_error *err);
    /* The bytes from decoder->body on. Checks parameters and lengths, sets decoder->chunk_values and
     * decoder->state. CORRUPT. */
    enum covey_status (*open)(struct covey_decoder *decoder, struct covey_error *err);
    /* first: a multiple of decoder->chunk_values, below decoder->count. */
    void (*seek)(struct covey_decoder *decoder, size_t first);
    /* The next count <= COVEY_DECODE_VALUES levels, from decoder->position on, within one chunk, or fewer,
     * where their scale changes; returns how many. value = level * scale, exact in f32 and finite. */
    size_t (*next)(struct covey_decoder *decoder, size_t count, int32_t *levels);
    float (*scale)(const struct covey_decoder *decoder);
    /* Where not all values are transformed: whether those that next gave are, and whether none is. Or NULL.
     */
    bool (*is_rotated)(const struct covey_decoder *decoder);
    bool (*is_plain)(const struct covey_decoder *decoder);
    /* A bound of |value| for values [first, last), without reading them. */
    float (*peak)(const struct covey_decoder *decoder, size_t first, size_t last);
};

/* Codes lie in memory as int8_t, uint16_t or uint32_t (little-endian), whichever is the smallest that holds
 * code_bits. */
struct covey_quantiser {
    const char *name;
    uint8_t code_bits;
    uint8_t side_bytes;   /* of the side record of side_values values; 0: no side records */
    uint16_t side_values; /* a power of two, at most COVEY_DECODE_VALUES */
    /* Side bytes of a last, partial tile of count values, for quantisers with one record a tile; or NULL. */
    size_t (*side_size)(size_t count);
    bool packed; /* encode writes, and decode reads, the codes as they are stored: nothing is packed */
    uint32_t limit_bits; /* bits of the float that |x| must be below; 0: of infinity */
    uint16_t code_limit; /* |code| is at most this, for quantisers with scales */
    /* A tile. side, codes: overwritten. decoded: (count) or NULL. NOT_FINITE or RANGE with *bad = index in
     * the tile. */
    enum covey_status (*encode)(const struct covey_encode_run *run, size_t first, const float *x,
                                size_t count, uint8_t *side, uint8_t *codes, float *decoded, size_t *bad);
    /* CORRUPT, NOT_FINITE. */
    enum covey_status (*decode)(const struct covey_block_kernels *kernels, const uint8_t *side,
                                const uint8_t *codes, size_t count, float *out);
    /* value = code * scale of its block: writes one scale a block. NULL where values are no such products. */
    enum covey_status (*scales)(const uint8_t *side, size_t count, float *out);
    /* A bound of |value| of the tile, whatever orthonormal transform of its blocks is undone after decode.
     * CORRUPT where decode would say so; then nor does decode fail where this does not. NULL: only the values
     * tell. */
    enum covey_status (*peak)(const uint8_t *side, size_t count, float *peak);
    const struct covey_vector_coder *vector; /* in place of all the others, where the length varies */
};

/* Codes of a tile to and from bytes. */
struct covey_entropy_coder {
    const char *name;
    bool variable; /* goes with a quantiser's vector coder, and has no functions here */
    bool in_place; /* codes of 8 bits and more are stored as they lie in memory */
    /* Bytes of count codes; fixed-length coders give the exact number. */
    size_t (*bound)(uint8_t code_bits, size_t count);
    void (*pack)(const struct covey_block_kernels *kernels, uint8_t code_bits, const uint8_t *codes,
                 size_t count, uint8_t *out);
    void (*unpack)(const struct covey_block_kernels *kernels, uint8_t code_bits, const uint8_t *in,
                   size_t count, uint8_t *codes);
};

/* Rows by number; NULL where there is none. */
const struct covey_transform *covey_transform_row(unsigned row);
const struct covey_sparsifier *covey_sparsifier_row(unsigned row);
const struct covey_quantiser *covey_quantiser_row(unsigned row);
const struct covey_entropy_coder *covey_entropy_row(unsigned row);

/* Codecs that are a quantiser of fixed length and nothing else: X(name, unbiased), the name of the codec and
 * of its struct covey_quantise_NAME. Their rows stand behind those of quantise.c, so a new one is a row at
 * the end here and a file (docs/extend.md). */
#define COVEY_PLAIN_CODECS(X) X(sign, 0)
#define COVEY_PLAIN_CODEC_FIRST 11 /* row of the first one */

extern const struct covey_transform covey_transform_hadamard;
extern const struct covey_quantiser covey_quantise_raw32, covey_quantise_fp16, covey_quantise_int8,
    covey_quantise_int4, covey_quantise_lloyd1, covey_quantise_lloyd2, covey_quantise_lloyd3,
    covey_quantise_lloyd4, covey_quantise_uniform, covey_quantise_trellis, covey_quantise_sections;
#define COVEY_DECLARE_CODEC(name, unbiased) extern const struct covey_quantiser covey_quantise_##name;
COVEY_PLAIN_CODECS(COVEY_DECLARE_CODEC)
#undef COVEY_DECLARE_CODEC

/* The stream's header.
 *
 *   0  0xC0 | version (1)            refused: another magic CORRUPT, a later version UNSUPPORTED
 *   1  transform << 4 | sparsify     rows
 *   2  quantise << 4 | entropy       rows
 *   3  count, LEB128, shortest form  1 to 5 bytes
 *   n  parameters of the transform, then of the mask: as many as their rows say
 *   m  CRC-8 (polynomial 0x07) of the bytes before */
#define COVEY_HEADER_BYTES_MAX (9 + COVEY_PARAMETER_BYTES)
size_t covey_header_write(const struct covey_codec *codec, size_t count, const uint8_t *parameters,
                          uint8_t *out);
/* *parameters: where they lie in the stream; the mask's are read. */
COVEY_MUST_CHECK enum covey_status covey_header_read(struct covey_bytes stream, struct covey_codec *codec,
                                                     size_t *count, const uint8_t **parameters,
                                                     uint32_t mask[2], size_t *header_bytes,
                                                     struct covey_error *err);
/* The check byte of it, for other headers too. */
uint8_t covey_header_check(const uint8_t *bytes, size_t count);

/* LEB128 in its shortest form. Read returns the bytes read, 0 when they end too early, say more than
 * UINT32_MAX or are not the shortest form; write the 1 to 5 bytes written, of a value of 32 bits. */
size_t covey_length_read(const uint8_t *at, const uint8_t *end, uint32_t *out);
size_t covey_length_write(size_t value, uint8_t *out);

/* Side and code bytes of the first count values of a chunk: whole tiles, or all of them. */
size_t covey_side_bytes(const struct covey_codec *codec, size_t count);
size_t covey_codes_bytes(const struct covey_codec *codec, size_t count);
size_t covey_chunk_bytes(const struct covey_codec *codec, size_t count);
/* Of a whole stream without its header. */
size_t covey_payload_bytes(const struct covey_codec *codec, size_t count);

/* Scratch for the transformed vector of a codec of variable length; a multiple of COVEY_ARENA_ALIGN. */
size_t covey_encode_vector_bytes(const struct covey_codec *codec, size_t count);

/* Whether codes are stored as they lie in memory, so that nothing is packed. */
bool covey_codes_as_is(const struct covey_codec *codec);
/* Of a codec that cuts the vector into sections, what does not. */
void covey_codec_undivided(struct covey_codec *codec);
/* The name, bits and bias of a codec of which only the rows are known. */
void covey_codec_complete(struct covey_codec *codec);

#endif
