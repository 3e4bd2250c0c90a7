#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "covey/arena.h"
#include "covey/limits.h"
#include "covey/random.h"
#include "stage.h"

/* The named codecs: a row of each stage's table. */
struct preset {
    const char *name;
    uint8_t transform, sparsify, quantise, entropy;
    uint8_t unbiased;
};

static const struct preset presets[] = {
    {"raw32", 0, 0, 0, 0, 1},
    {"fp16", 0, 0, 1, 0, 0},
    {"int8", 0, 0, 2, 0, 1},
    {"int4", 0, 0, 3, 0, 1},
};
#define PRESET_COUNT (sizeof presets / sizeof presets[0])

_Static_assert(COVEY_CHUNK_VALUES % COVEY_DECODE_VALUES == 0, "a chunk is whole tiles");
_Static_assert(COVEY_DECODE_VALUES % COVEY_BLOCK_VALUES == 0, "a tile is whole blocks");

const char *covey_codec_name(size_t index)
{
    return index < PRESET_COUNT ? presets[index].name : NULL;
}

enum covey_status covey_codec_parse(const char *name, struct covey_codec *out, struct covey_error *err)
{
    char names[128] = "";
    for (size_t i = 0; i < PRESET_COUNT; i++) {
        const struct preset *preset = &presets[i];
        if (strcmp(name, preset->name) != 0) {
            const size_t used = strlen(names);
            (void)snprintf(names + used, sizeof names - used, " %s", preset->name);
            continue;
        }
        *out = (struct covey_codec){.transform = preset->transform,
                                    .sparsify = preset->sparsify,
                                    .quantise = preset->quantise,
                                    .entropy = preset->entropy,
                                    .bits = covey_quantiser_row(preset->quantise)->code_bits,
                                    .unbiased = preset->unbiased};
        (void)snprintf(out->name, sizeof out->name, "%s", preset->name);
        return COVEY_OK;
    }
    return covey_fail(err, COVEY_INVALID, "there is no codec '%.31s'; there are:%s", name, names);
}

/* The name of a codec that a header described by rows alone. */
void covey_codec_complete(struct covey_codec *codec)
{
    codec->bits = covey_quantiser_row(codec->quantise)->code_bits;
    for (size_t i = 0; i < PRESET_COUNT; i++) {
        const struct preset *preset = &presets[i];
        if (preset->transform == codec->transform && preset->sparsify == codec->sparsify &&
            preset->quantise == codec->quantise && preset->entropy == codec->entropy) {
            (void)snprintf(codec->name, sizeof codec->name, "%s", preset->name);
            codec->unbiased = preset->unbiased;
        }
    }
}

/* ---- sizes ---- */

size_t covey_side_bytes(const struct covey_codec *codec, size_t count)
{
    const size_t blocks = (count + COVEY_BLOCK_VALUES - 1) / COVEY_BLOCK_VALUES;
    return blocks * covey_quantiser_row(codec->quantise)->side_bytes;
}

size_t covey_codes_bytes(const struct covey_codec *codec, size_t count)
{
    return covey_entropy_row(codec->entropy)->bound(covey_quantiser_row(codec->quantise)->code_bits, count);
}

size_t covey_chunk_bytes(const struct covey_codec *codec, size_t count)
{
    return covey_side_bytes(codec, count) + covey_codes_bytes(codec, count);
}

size_t covey_payload_bytes(const struct covey_codec *codec, size_t count)
{
    return count / COVEY_CHUNK_VALUES * covey_chunk_bytes(codec, COVEY_CHUNK_VALUES) +
           covey_chunk_bytes(codec, count % COVEY_CHUNK_VALUES);
}

size_t covey_codec_bound(const struct covey_codec *codec, size_t count)
{
    return COVEY_HEADER_BYTES_MAX + covey_payload_bytes(codec, count);
}

size_t covey_codec_scratch_bytes(const struct covey_codec *codec, size_t count)
{
    (void)codec;
    (void)count;
    return 0; /* tiles live on the stack */
}

/* Codes that are stored as they lie in memory need no packing. */
bool covey_codes_as_is(const struct covey_codec *codec)
{
    return covey_entropy_row(codec->entropy)->in_place &&
           covey_quantiser_row(codec->quantise)->code_bits >= 8;
}

/* ---- encoding ---- */

/* One tile. values: what the quantiser sees; side and codes: its place in the chunk. */
static enum covey_status encode_tile(const struct covey_encode_run *run, size_t first, const float *x,
                                     size_t count, uint8_t *side, uint8_t *codes, float *decoded, size_t *bad)
{
    const struct covey_quantiser *quantiser = covey_quantiser_row(run->codec->quantise);
    const struct covey_entropy_coder *entropy = covey_entropy_row(run->codec->entropy);
    uint8_t storage[COVEY_DECODE_VALUES];
    const bool as_is = covey_codes_as_is(run->codec);
    COVEY_TRY(quantiser->encode(run, first, x, count, side, as_is ? codes : storage, decoded, bad));
    if (!as_is)
        entropy->pack(run->kernels, quantiser->code_bits, storage, count, codes);
    return COVEY_OK;
}

static enum covey_status encode_transformed(const struct covey_encode_run *run, size_t first, const float *x,
                                            size_t count, uint8_t *side, uint8_t *codes, float *decoded,
                                            size_t *bad)
{
    const struct covey_transform *transform = covey_transform_row(run->codec->transform);
    if (transform->forward == NULL)
        return encode_tile(run, first, x, count, side, codes, decoded, bad);
    float tile[COVEY_DECODE_VALUES];
    memcpy(tile, x, count * sizeof *x);
    transform->forward(run, first, tile, count);
    COVEY_TRY(encode_tile(run, first, tile, count, side, codes, decoded, bad));
    if (decoded != NULL)
        transform->inverse(run->codec, first, decoded, count);
    return COVEY_OK;
}

/* All chunks, to out, which has room. */
static enum covey_status encode_chunks(const struct covey_encode_run *run, const float *x, size_t count,
                                       uint8_t *out, float *decoded, struct covey_error *err)
{
    for (size_t chunk = 0; chunk < count; chunk += COVEY_CHUNK_VALUES) {
        const size_t values = count - chunk < COVEY_CHUNK_VALUES ? count - chunk : COVEY_CHUNK_VALUES;
        uint8_t *codes = out + covey_side_bytes(run->codec, values);
        for (size_t at = 0; at < values; at += COVEY_DECODE_VALUES) {
            const size_t tile = values - at < COVEY_DECODE_VALUES ? values - at : COVEY_DECODE_VALUES;
            const size_t first = chunk + at;
            size_t bad = 0;
            const enum covey_status status = encode_transformed(
                run, first, x + first, tile, out + covey_side_bytes(run->codec, at),
                codes + covey_codes_bytes(run->codec, at), decoded != NULL ? decoded + first : NULL, &bad);
            if (status != COVEY_OK)
                return covey_fail(err, status, "value %zu is %s: codec %s cannot encode it", first + bad,
                                  status == COVEY_NOT_FINITE ? "NaN or infinite" : "too large",
                                  run->codec->name);
        }
        out += covey_chunk_bytes(run->codec, values);
    }
    return COVEY_OK;
}

/* Encoding in place must not have begun when a value turns out to be refused. */
static enum covey_status check_values(const struct covey_block_kernels *kernels,
                                      const struct covey_codec *codec, const float *x, size_t count,
                                      struct covey_error *err)
{
    const uint32_t limit = covey_quantiser_row(codec->quantise)->side_bytes > 0 ? 0x7F000000u : 0x7F800000u;
    if (kernels->largest(x, count) < limit)
        return COVEY_OK;
    return covey_fail(err, COVEY_NOT_FINITE, "a value is NaN, infinite or too large for codec %s",
                      codec->name);
}

enum covey_status covey_codec_encode(const struct covey_codec *codec, const float *x, size_t count,
                                     const struct covey_encode_options *options, uint8_t *out,
                                     size_t capacity, size_t *out_bytes, float *decoded,
                                     struct covey_error *err)
{
    struct covey_encode_run run = {.codec = codec, .kernels = covey_block_kernels_at(0)};
    struct covey_random random;
    uint8_t header[COVEY_HEADER_BYTES_MAX];
    if (count > COVEY_MODEL_PARAMETERS)
        return covey_fail(err, COVEY_LIMIT, "%zu values; a stream holds at most %llu", count,
                          (unsigned long long)COVEY_MODEL_PARAMETERS);
    const size_t header_bytes = covey_header_write(codec, count, header);
    const size_t bytes = header_bytes + covey_payload_bytes(codec, count);
    if (bytes > capacity)
        return covey_fail(err, COVEY_LIMIT, "the stream has %zu bytes, there is room for %zu", bytes,
                          capacity);
    if (decoded == x && count > 0)
        COVEY_TRY(check_values(run.kernels, codec, x, count, err));
    covey_random_init(&random, options->seed, options->device, options->round, COVEY_PURPOSE_CODEC);
    memcpy(run.key, random.key, sizeof run.key);
    memcpy(run.high, random.counter + 2, sizeof run.high);
    memcpy(out, header, header_bytes);
    COVEY_TRY(encode_chunks(&run, x, count, out + header_bytes, decoded, err));
    *out_bytes = bytes;
    return COVEY_OK;
}
