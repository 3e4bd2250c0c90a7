/* Turning a vector of f32 into few bytes and back.
 *
 * A codec is a line of stages: transform -> sparsify -> quantise -> entropy code. Each stage is a row in
 * common/compress/codec.c's tables; a codec names one of each with its parameters. The stream is
 * self-describing: its header says version, count, stages and parameters, so decoding needs nothing but the
 * bytes and a limit. Encoding and decoding are deterministic: same input, same seed, same bytes, everywhere;
 * decoding uses no libm, no fused multiply-add.
 *
 * A stream is cut into chunks that can be decoded alone, so that several threads can fold one update: of
 * COVEY_CHUNK_VALUES values, or a power of two times that where the length of a chunk in bytes varies.
 * Decoders face the internet: they never read past the input, never allocate, and refuse garbage with CORRUPT
 * (or UNSUPPORTED for a later major version). Everything here is thread-safe; a decoder belongs to one thread
 * at a time. */
#ifndef COVEY_CODEC_H
#define COVEY_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

#define COVEY_CHUNK_VALUES 65536
#define COVEY_CODEC_DEFAULT "ec:2"    /* of updates: docs/compression.md, the defaults */
#define COVEY_DOWNLINK_DEFAULT "ec:1" /* of published models */
#define COVEY_BLOCK_VALUES 64         /* of int8 and int4: values under one scale */
#define COVEY_DECODE_VALUES 4096      /* what covey_decoder_next gives at the most in one call */
#define COVEY_CODEC_RATE_MIN 0.05     /* bits a value */
#define COVEY_CODEC_RATE_MAX 8.0
#define COVEY_CODEC_SHARE_MIN 0.0005 /* of the values, that stc and masks keep */
#define COVEY_CODEC_SHARE_MAX 0.5
#define COVEY_DECODER_STATE_WORDS 2304

/* A codec, parsed. Plain data; copy at will. */
struct covey_codec {
    char name[COVEY_CODEC_NAME_BYTES];              /* as it was written: "int8", "ec:1" */
    uint8_t transform, sparsify, quantise, entropy; /* rows of the stages' tables */
    float rate;                                     /* bits a value, where the codec takes one */
    uint8_t bits;                                   /* of fixed-length quantisers */
    uint16_t kept;    /* by a mask, of COVEY_DECODE_VALUES values; 0: there is none */
    uint8_t common;   /* the mask is that of all devices in the round */
    float step;       /* of covey_codec_exact: its values are whole multiples; 0 otherwise */
    uint8_t adaptive; /* the encoder chooses sections, and leaves out the transform where that is better */
    uint8_t unbiased; /* E[decode(encode(x))] = x: fit for devices without a residual */
};

/* "raw32" "fp16" "int8" "int4" "ec:RATE" "auto:RATE" ...; INVALID with the list of names in err. RATE: digits
 * with or without a point, bits a value, COVEY_CODEC_RATE_MIN to MAX. "mask:SHARE:NAME": a part of the
 * values, in a codec of fixed length, int8 where it is left out; SHARE: COVEY_CODEC_SHARE_MIN to MAX. */
COVEY_MUST_CHECK enum covey_status covey_codec_parse(const char *name, struct covey_codec *out,
                                                     struct covey_error *err);

/* The same for what is published, which goes to all and is followed by deltas: a mask is refused there, and
 * RATE is the most that a step takes, where it is what is aimed at in an update. */
COVEY_MUST_CHECK enum covey_status covey_codec_parse_downlink(const char *name, struct covey_codec *out,
                                                              struct covey_error *err);

/* Whether a stream of these stages (a decoder's codec) is what the assigned codec makes. */
bool covey_codec_made(const struct covey_codec *assigned, const struct covey_codec *stream);

/* Upper bound of the bytes of an encoded vector of count values, header included; and the scratch that
 * encoding it needs (COVEY_ARENA_ALIGN aligned; may be 0). */
size_t covey_codec_bound(const struct covey_codec *codec, size_t count);
size_t covey_codec_scratch_bytes(const struct covey_codec *codec, size_t count);

/* A codec of whole multiples of 2^exponent below 2^(exponent + COVEY_EXACT_BITS) in magnitude, which come
 * back bit for bit, in as few bytes as their entropy allows. Its streams are those of ec, so that whoever
 * knows that reads them; it has no name that parse takes. What does not fit its bound is refused with LIMIT:
 * raw32 is shorter. */
#define COVEY_EXACT_BITS 15 /* what ec's escapes write without loss */
#define COVEY_EXACT_RATE 30.0f
#define COVEY_EXPONENT_MIN -64
#define COVEY_EXPONENT_MAX 60
COVEY_MUST_CHECK enum covey_status covey_codec_exact(int exponent, struct covey_codec *out,
                                                     struct covey_error *err);

/* The names that parse takes, in order, with an example of a rate; NULL past the end. */
const char *covey_codec_name(size_t index);

/* x: (count) f32, finite: NOT_FINITE otherwise (err says the index); int8 and int4: below 2^127, RANGE
 * otherwise, and blocks whose largest value is below 2^-93 become zero; eden: below 2^100; masks: 2^12 times
 * less. ends:
 * (tensor_count) first index after each tensor, in order, the last = count, which auto shares the rate by;
 * NULL, 0 = one tensor. seed: of the
 * stochastic rounding (covey_random: seed, device, round). out: (capacity) bytes; *out_bytes: bytes written.
 * decoded: (count) what a decoder will give, or NULL; it may be x itself. LIMIT when capacity or
 * scratch_bytes are less than needed. */
struct covey_encode_options {
    uint64_t seed, device;
    uint32_t round;
    const size_t *ends;
    size_t tensor_count;
    void *scratch;
    size_t scratch_bytes;
    bool feedback; /* what is lost goes along with the next vector: what a mask keeps is sent as it is; false:
                      as many times larger as values are fewer, so that the expectation is right */
};
COVEY_MUST_CHECK enum covey_status covey_codec_encode(const struct covey_codec *codec, const float *x,
                                                      size_t count,
                                                      const struct covey_encode_options *options,
                                                      uint8_t *out, size_t capacity, size_t *out_bytes,
                                                      float *decoded, struct covey_error *err);

/* A stream being decoded: borrowed bytes and a position. About 18 KiB, of which codecs of fixed length use
 * nothing. Copying it copies the reading: both go on from there. */
struct covey_decoder {
    struct covey_bytes stream;
    struct covey_codec codec;
    size_t count;          /* values in the stream */
    size_t position;       /* next value */
    size_t body;           /* first byte after the header */
    size_t chunk_values;   /* a power of two times COVEY_CHUNK_VALUES: where seeking may go */
    uint8_t parameters[8]; /* of the transform */
    uint32_t mask[2];      /* the mask's key, if there is one */
    uint64_t state[COVEY_DECODER_STATE_WORDS]; /* the stages' own; not set where they need none */
};

/* Reads and checks the header; expected_count must be what it says (MISMATCH otherwise). The stream's length
 * must be exactly right for fixed-length codecs. `stream` stays borrowed until the decoder is done with. */
COVEY_MUST_CHECK enum covey_status covey_decoder_init(struct covey_decoder *decoder,
                                                      struct covey_bytes stream, size_t expected_count,
                                                      struct covey_error *err);
/* Next value to decode = first, a multiple of decoder->chunk_values (INVALID otherwise). */
COVEY_MUST_CHECK enum covey_status covey_decoder_seek(struct covey_decoder *decoder, size_t first);
/* Decodes the next values into out, at most COVEY_DECODE_VALUES: up to a multiple of that, or to where one of
 * the stream's sections ends. *decoded says how many, 0 at the end. NOT_FINITE when the stream holds NaN or
 * infinity. */
COVEY_MUST_CHECK enum covey_status covey_decoder_next(struct covey_decoder *decoder, float *out,
                                                      size_t *decoded);

/* The next values as integers, for folding straight from the stream: value = code * scale of its block of
 * COVEY_BLOCK_VALUES, exactly, in f32. They begin at a multiple of that. Codes of fixed length are small; the
 * others are wide, and their scale is the same everywhere. About 21 KiB. */
struct covey_codes {
    size_t count;        /* values; 0 at the end */
    const int8_t *codes; /* (count), in the stream or in storage; NULL: they are in wide */
    uint32_t code_limit; /* |code| is at most this */
    float
        scales[COVEY_DECODE_VALUES / COVEY_BLOCK_VALUES]; /* one a block, at most 9 significant bits, >= 0 */
    int8_t storage[COVEY_DECODE_VALUES];
    int32_t wide[COVEY_DECODE_VALUES];
};
/* Whether all of the stream's values are such products (int8, int4, ec, auto where nothing is rotated). */
bool covey_decoder_has_codes(const struct covey_decoder *decoder);
/* Whether covey_decoder_next_scales works: the values are, or those that a mask has kept. */
bool covey_decoder_has_scales(const struct covey_decoder *decoder);
/* Of codecs of variable length: false for the others. The header alone says that the stream can be read to
 * its end and that no |value| of [first, last) passes *peak. */
bool covey_decoder_peak(const struct covey_decoder *decoder, size_t first, size_t last, float *peak);
/* Of eden: the next tile, passed over. *peak: no |value| of its *passed values is larger, 12 to 60 times as
 * much as the largest of a usual vector; 0 passed at the end. A stream that is read to its end so can be
 * decoded to its end. STATE where has_peaks is false. */
bool covey_decoder_has_peaks(const struct covey_decoder *decoder);
COVEY_MUST_CHECK enum covey_status covey_decoder_next_peak(struct covey_decoder *decoder, float *peak,
                                                           size_t *passed);
/* In place of covey_decoder_next; STATE where has_codes is false. next_scales gives what stands in codes but
 * codes and storage, at a fraction of the cost: for bounds of the values, code_limit * scale (under a mask
 * the largest scale of the tile everywhere); STATE where has_scales is false. */
COVEY_MUST_CHECK enum covey_status covey_decoder_next_codes(struct covey_decoder *decoder,
                                                            struct covey_codes *out);
COVEY_MUST_CHECK enum covey_status covey_decoder_next_scales(struct covey_decoder *decoder,
                                                             struct covey_codes *out);

/* The whole of it: (count) values. */
COVEY_MUST_CHECK enum covey_status covey_codec_decode(struct covey_bytes stream, size_t count, float *out,
                                                      struct covey_error *err);
/* The whole stream, added: x[i] = x[i] + value[i], in f32, in this order of operations (the published line).
 */
COVEY_MUST_CHECK enum covey_status covey_codec_apply(struct covey_bytes stream, size_t count, float *x,
                                                     struct covey_error *err);

/* 2^exponent, from -126 to 127. */
float covey_power_of_two(int exponent);
/* out: (count) the nearest multiples of 2^exponent, halves to the even one, never -0; it may be x. False: one
 * has over 2^22 of them, or is not finite, and out is of no use. */
COVEY_MUST_CHECK bool covey_round_to_power(const float *x, size_t count, int exponent, float *out);
/* The whole stream, rounded to multiples of 2^exponent and added in f32: exact, in whatever order streams are
 * added, where all x are multiples of one power of two and at most 2^24 times it. RANGE: a value is too large
 * for that exponent. After a failure x is of no use. */
COVEY_MUST_CHECK enum covey_status covey_codec_apply_rounded(struct covey_bytes stream, size_t count,
                                                             int exponent, float *x, struct covey_error *err);

#endif
