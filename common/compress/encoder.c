/* From a vector to a stream: tile after tile through the stages, or, where the length varies, the whole
 * vector at once. */
#include <assert.h>
#include <string.h>

#include "covey/arena.h"
#include "covey/limits.h"
#include "covey/random.h"
#include "sections.h"
#include "stage.h"

/* What a mask leaves may be COVEY_DECODE_VALUES times as large, in the exponent's place. */
#define MASK_FACTOR_BITS (12u << 23)
_Static_assert(COVEY_DECODE_VALUES == 1 << 12, "that is its logarithm");

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

/* The values that the mask keeps. x: overwritten. */
static enum covey_status encode_masked(const struct covey_encode_run *run, size_t first, float *x,
                                       size_t count, uint8_t *side, uint8_t *codes, float *decoded,
                                       size_t *bad)
{
    const size_t kept = covey_mask_kept(run->codec->kept, count);
    uint64_t words[COVEY_MASK_WORDS];
    if (run->codec->kept == 0)
        return encode_tile(run, first, x, count, side, codes, decoded, bad);
    covey_mask_draw(run->mask, first, count, kept, words);
    covey_mask_gather(words, count, run->options->feedback ? 1.0f : (float)count / (float)kept, x);
    COVEY_TRY(encode_tile(run, first, x, kept, side, codes, decoded, bad));
    if (decoded != NULL)
        covey_mask_scatter(words, count, kept, decoded);
    return COVEY_OK;
}

static enum covey_status encode_transformed(const struct covey_encode_run *run, size_t first, const float *x,
                                            size_t count, uint8_t *side, uint8_t *codes, float *decoded,
                                            size_t *bad)
{
    const struct covey_transform *transform = covey_transform_row(run->codec->transform);
    if (transform->forward == NULL && run->codec->kept == 0)
        return encode_tile(run, first, x, count, side, codes, decoded, bad);
    float tile[COVEY_DECODE_VALUES];
    memcpy(tile, x, count * sizeof *x);
    if (transform->forward != NULL)
        transform->forward(run->parameters, first, tile, count);
    COVEY_TRY(encode_masked(run, first, tile, count, side, codes, decoded, bad));
    if (decoded != NULL && transform->inverse != NULL)
        transform->inverse(run->parameters, first, decoded, count);
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
static enum covey_status check_values(const struct covey_encode_run *run, const float *x, size_t count,
                                      struct covey_error *err)
{
    const struct covey_quantiser *quantiser = covey_quantiser_row(run->codec->quantise);
    const uint32_t of_quantiser = quantiser->limit_bits != 0 ? quantiser->limit_bits
                                  : quantiser->side_bytes > 0 || quantiser->vector != NULL ? 0x7F000000u
                                                                                           : 0x7F800000u;
    const uint32_t limit = of_quantiser - (run->codec->kept != 0 ? MASK_FACTOR_BITS : 0);
    if (run->kernels->largest(x, count) < limit)
        return COVEY_OK;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            if ((bits & 0x7FFFFFFFu) >= (pass == 0 ? 0x7F800000u : limit))
                return covey_fail(err, pass == 0 ? COVEY_NOT_FINITE : COVEY_RANGE,
                                  "value %zu is %s: codec %s cannot encode it", i,
                                  pass == 0 ? "NaN or infinite" : "too large", run->codec->name);
        }
    }
    return COVEY_OK;
}

/* What stands behind the header, of a codec of fixed length. */
static enum covey_status encode_fixed(const struct covey_encode_run *run, const float *x, size_t count,
                                      uint8_t *out, size_t capacity, size_t *out_bytes, float *decoded,
                                      struct covey_error *err)
{
    const size_t bytes = covey_payload_bytes(run->codec, count);
    if (bytes > capacity)
        return covey_fail(err, COVEY_LIMIT, "the stream has %zu bytes, there is room for %zu", bytes,
                          capacity);
    if (count > 0 && (decoded == x || run->codec->kept != 0 ||
                      covey_transform_row(run->codec->transform)->forward != NULL))
        COVEY_TRY(check_values(run, x, count, err));
    COVEY_TRY(encode_chunks(run, x, count, out, decoded, err));
    *out_bytes = bytes;
    return COVEY_OK;
}

static enum covey_status check_scratch(const struct covey_encode_run *run, size_t count,
                                       struct covey_error *err)
{
    const size_t scratch_bytes = covey_codec_scratch_bytes(run->codec, count);
    if (scratch_bytes > 0 && (run->options->scratch == NULL || run->options->scratch_bytes < scratch_bytes))
        return covey_fail(err, COVEY_LIMIT, "codec %s needs %zu bytes of scratch, there are %zu",
                          run->codec->name, scratch_bytes, run->options->scratch_bytes);
    return COVEY_OK;
}

/* The same of a codec of variable length: the whole vector at once. */
static enum covey_status encode_vector(const struct covey_encode_run *run, const float *x, size_t count,
                                       uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err)
{
    const struct covey_vector_coder *vector = covey_quantiser_row(run->codec->quantise)->vector;
    const struct covey_transform *transform = covey_transform_row(run->codec->transform);
    const size_t vector_bytes = covey_encode_vector_bytes(run->codec, count);
    COVEY_TRY(check_scratch(run, count, err));
    COVEY_TRY(check_values(run, x, count, err));
    if (transform->forward != NULL) {
        const struct covey_piece all = {0, count, true};
        float *transformed = run->options->scratch;
        if (count > 0)
            memcpy(transformed, x, count * sizeof *x);
        for (size_t i = 0; i < run->piece_count; i++)
            if (run->pieces[i].rotated)
                covey_transform_forward(run, &run->pieces[i], transformed);
        if (run->piece_count == 0)
            covey_transform_forward(run, &all, transformed);
        x = transformed;
        COVEY_TRY(check_values(run, x, count, err));
    }
    return vector->encode(run, x, count, (uint8_t *)run->options->scratch + vector_bytes, out, capacity,
                          out_bytes, err);
}

/* What an adaptive codec makes of this vector. */
struct choice {
    struct covey_codec codec;
    struct covey_piece pieces[COVEY_PLAN_SECTIONS];
};

/* One quantiser for all of the vector, rotated or not. */
static void choose_whole(struct covey_encode_run *run, const float *x, size_t count, struct choice *choice)
{
    const struct covey_piece all = {0, count, true};
    const bool pays = covey_transform_pays(run, x, &all, (double)run->codec->rate, run->options->scratch);
    covey_codec_undivided(&choice->codec);
    choice->codec.transform = pays ? run->codec->transform : 0;
    run->codec = &choice->codec;
    run->piece_count = 0;
}

/* The codec's stages for this vector: those that the run's codec names, or what an adaptive one chooses. */
static enum covey_status choose_stages(struct covey_encode_run *run, const float *x, size_t count,
                                       struct choice *choice, struct covey_error *err)
{
    const struct covey_transform *transform = covey_transform_row(run->codec->transform);
    bool rotated = false;
    if (transform->describe != NULL)
        transform->describe(run, x, count, run->parameters);
    if (run->codec->kept != 0) {
        covey_mask_key(run->codec, run->options, run->mask);
        covey_mask_write(run->codec->kept, run->mask, run->parameters + transform->parameter_bytes);
    }
    choice->codec = *run->codec;
    if (!run->codec->adaptive)
        return COVEY_OK;
    COVEY_TRY(check_scratch(run, count, err));
    COVEY_TRY(check_values(run, x, count, err));
    uint8_t *scratch = run->options->scratch;
    run->piece_count =
        covey_sections_plan(run, x, count, run->options->scratch,
                            scratch + covey_encode_vector_bytes(run->codec, count), choice->pieces);
    if (run->piece_count <= 1) {
        choose_whole(run, x, count, choice);
        return COVEY_OK;
    }
    for (size_t i = 0; i < run->piece_count; i++)
        rotated = rotated || choice->pieces[i].rotated;
    choice->codec.transform = rotated ? run->codec->transform : 0;
    run->pieces = choice->pieces;
    run->codec = &choice->codec;
    return COVEY_OK;
}

/* The stream in the stages that are chosen. */
static enum covey_status encode_chosen(struct covey_encode_run *run, const float *x, size_t count,
                                       uint8_t *out, size_t capacity, size_t *out_bytes, float *decoded,
                                       struct covey_error *err)
{
    uint8_t header[COVEY_HEADER_BYTES_MAX];
    size_t body_bytes = 0;
    run->header_bytes = covey_header_write(run->codec, count, run->parameters, header);
    if (run->header_bytes > capacity)
        return covey_fail(err, COVEY_LIMIT, "there is no room for the stream's header");
    memcpy(out, header, run->header_bytes);
    uint8_t *body = out + run->header_bytes;
    if (covey_quantiser_row(run->codec->quantise)->vector == NULL) {
        COVEY_TRY(encode_fixed(run, x, count, body, capacity - run->header_bytes, &body_bytes, decoded, err));
    } else {
        COVEY_TRY(encode_vector(run, x, count, body, capacity - run->header_bytes, &body_bytes, err));
        if (decoded != NULL)
            COVEY_TRY(covey_codec_decode((struct covey_bytes){out, run->header_bytes + body_bytes}, count,
                                         decoded, err));
    }
    *out_bytes = run->header_bytes + body_bytes;
    return COVEY_OK;
}

enum covey_status covey_codec_encode(const struct covey_codec *codec, const float *x, size_t count,
                                     const struct covey_encode_options *options, uint8_t *out,
                                     size_t capacity, size_t *out_bytes, float *decoded,
                                     struct covey_error *err)
{
    struct covey_encode_run run = {.codec = codec, .kernels = covey_block_kernels_at(0), .options = options};
    struct choice choice;
    struct covey_random random;
    if (count > COVEY_MODEL_PARAMETERS)
        return covey_fail(err, COVEY_LIMIT, "%zu values; a stream holds at most %llu", count,
                          (unsigned long long)COVEY_MODEL_PARAMETERS);
    covey_random_init(&random, options->seed, options->device, options->round, COVEY_PURPOSE_CODEC);
    memcpy(run.key, random.key, sizeof run.key);
    memcpy(run.high, random.counter + 2, sizeof run.high);
    COVEY_TRY(choose_stages(&run, x, count, &choice, err));
    if (run.piece_count > 1) {
        if (encode_chosen(&run, x, count, out, capacity, out_bytes, decoded, NULL) == COVEY_OK)
            return COVEY_OK;
        run.codec = codec; /* sections that do not fit: all of it as one */
        choose_whole(&run, x, count, &choice);
    }
    return encode_chosen(&run, x, count, out, capacity, out_bytes, decoded, err);
}
