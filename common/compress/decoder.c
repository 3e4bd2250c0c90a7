#include <string.h>

#include "stage.h"

#define INFINITE 0x7F800000u /* bits of infinity; NaN is above */

enum covey_status covey_decoder_init(struct covey_decoder *decoder, struct covey_bytes stream,
                                     size_t expected_count, struct covey_error *err)
{
    struct covey_codec codec;
    const uint8_t *parameters = NULL;
    size_t count = 0, header_bytes = 0;
    uint32_t mask[2] = {0};
    COVEY_TRY(covey_header_read(stream, &codec, &count, &parameters, mask, &header_bytes, err));
    if (count != expected_count)
        return covey_fail(err, COVEY_MISMATCH, "codec stream of %zu values where %zu belong", count,
                          expected_count);
    covey_codec_complete(&codec);
    const struct covey_vector_coder *vector = covey_quantiser_row(codec.quantise)->vector;
    const size_t bytes = header_bytes + covey_payload_bytes(&codec, count);
    if (vector == NULL && stream.size != bytes)
        return covey_fail(err, COVEY_CORRUPT, "codec stream has %zu bytes, its header makes it %zu",
                          stream.size, bytes);
    decoder->stream = stream; /* all but state, which is large */
    decoder->codec = codec;
    decoder->count = count;
    decoder->position = 0;
    decoder->body = header_bytes;
    decoder->chunk_values = COVEY_CHUNK_VALUES;
    memcpy(decoder->mask, mask, sizeof mask);
    memset(decoder->parameters, 0, sizeof decoder->parameters);
    memcpy(decoder->parameters, parameters, covey_transform_row(codec.transform)->parameter_bytes);
    return vector != NULL ? vector->open(decoder, err) : COVEY_OK;
}

enum covey_status covey_decoder_seek(struct covey_decoder *decoder, size_t first)
{
    const struct covey_vector_coder *vector = covey_quantiser_row(decoder->codec.quantise)->vector;
    if (first % decoder->chunk_values != 0 || first > decoder->count)
        return COVEY_INVALID;
    decoder->position = first;
    if (vector != NULL && first < decoder->count)
        vector->seek(decoder, first);
    return COVEY_OK;
}

/* Where the next tile lies. */
struct tile {
    size_t first, count;
    size_t kept; /* values that are coded */
    const uint8_t *side, *codes;
};

static struct tile next_tile(const struct covey_decoder *decoder)
{
    const struct covey_codec *codec = &decoder->codec;
    const size_t chunk = decoder->position / COVEY_CHUNK_VALUES, at = decoder->position % COVEY_CHUNK_VALUES;
    const size_t left = decoder->count - chunk * COVEY_CHUNK_VALUES;
    const size_t values = left < COVEY_CHUNK_VALUES ? left : COVEY_CHUNK_VALUES;
    const uint8_t *base =
        decoder->stream.data + decoder->body + chunk * covey_chunk_bytes(codec, COVEY_CHUNK_VALUES);
    const size_t count = values - at < COVEY_DECODE_VALUES ? values - at : COVEY_DECODE_VALUES;
    return (struct tile){.first = decoder->position,
                         .count = count,
                         .kept = covey_mask_kept(codec->kept, count),
                         .side = base + covey_side_bytes(codec, at),
                         .codes = base + covey_side_bytes(codec, values) + covey_codes_bytes(codec, at)};
}

/* The tile's codes as they lie in memory: in the stream, or unpacked into storage. */
static const uint8_t *tile_codes(const struct covey_decoder *decoder, const struct tile *tile,
                                 uint8_t *storage)
{
    if (covey_codes_as_is(&decoder->codec))
        return tile->codes;
    covey_entropy_row(decoder->codec.entropy)
        ->unpack(covey_block_kernels_at(0), decoder->codec.bits, tile->codes, tile->kept, storage);
    return storage;
}

static enum covey_status decode_fixed(const struct covey_decoder *decoder, float *out, size_t *count)
{
    uint8_t storage[COVEY_DECODE_VALUES];
    const struct tile tile = next_tile(decoder);
    *count = tile.count;
    COVEY_TRY(covey_quantiser_row(decoder->codec.quantise)
                  ->decode(covey_block_kernels_at(0), tile.side, tile_codes(decoder, &tile, storage),
                           tile.kept, out));
    if (decoder->codec.kept != 0) {
        uint64_t words[COVEY_MASK_WORDS];
        covey_mask_draw(decoder->mask, tile.first, tile.count, tile.kept, words);
        covey_mask_scatter(words, tile.count, tile.kept, out);
    }
    return COVEY_OK;
}

/* The next levels of a codec of variable length, up to a whole tile. A tile never reaches into the next
 * chunk: chunks are whole tiles. */
static size_t next_levels(struct covey_decoder *decoder, int32_t *levels)
{
    const struct covey_vector_coder *vector = covey_quantiser_row(decoder->codec.quantise)->vector;
    const size_t left = decoder->count - decoder->position;
    const size_t tile = COVEY_DECODE_VALUES - decoder->position % COVEY_DECODE_VALUES;
    if (decoder->position % decoder->chunk_values == 0)
        vector->seek(decoder, decoder->position);
    return vector->next(decoder, left < tile ? left : tile, levels);
}

static enum covey_status decode_levels(struct covey_decoder *decoder, float *out, size_t *count)
{
    int32_t levels[COVEY_DECODE_VALUES];
    *count = next_levels(decoder, levels);
    const float scale = covey_quantiser_row(decoder->codec.quantise)->vector->scale(decoder);
    for (size_t i = 0; i < *count; i++)
        out[i] = (float)levels[i] * scale;
    return COVEY_OK;
}

enum covey_status covey_decoder_next(struct covey_decoder *decoder, float *out, size_t *decoded)
{
    const struct covey_transform *transform = covey_transform_row(decoder->codec.transform);
    const struct covey_vector_coder *vector = covey_quantiser_row(decoder->codec.quantise)->vector;
    size_t count = 0;
    if (decoder->position >= decoder->count) {
        *decoded = 0;
        return COVEY_OK;
    }
    COVEY_TRY(vector == NULL ? decode_fixed(decoder, out, &count) : decode_levels(decoder, out, &count));
    const bool is_rotated = vector == NULL || vector->is_rotated == NULL || vector->is_rotated(decoder);
    if (transform->inverse != NULL && is_rotated) {
        transform->inverse(decoder->parameters, decoder->position, out, count);
        if (covey_block_kernels_at(0)->largest(out, count) >= INFINITE)
            return COVEY_NOT_FINITE;
    }
    decoder->position += count;
    *decoded = count;
    return COVEY_OK;
}

bool covey_decoder_has_codes(const struct covey_decoder *decoder)
{
    const struct covey_quantiser *quantiser = covey_quantiser_row(decoder->codec.quantise);
    if (quantiser->vector != NULL && quantiser->vector->is_plain != NULL)
        return quantiser->vector->is_plain(decoder);
    return (quantiser->scales != NULL || quantiser->vector != NULL) &&
           covey_transform_row(decoder->codec.transform)->inverse == NULL && decoder->codec.kept == 0;
}

bool covey_decoder_has_scales(const struct covey_decoder *decoder)
{
    return covey_quantiser_row(decoder->codec.quantise)->scales != NULL &&
           covey_transform_row(decoder->codec.transform)->inverse == NULL;
}

bool covey_decoder_peak(const struct covey_decoder *decoder, size_t first, size_t last, float *peak)
{
    const struct covey_vector_coder *vector = covey_quantiser_row(decoder->codec.quantise)->vector;
    if (vector == NULL || !covey_decoder_has_codes(decoder))
        return false;
    *peak = vector->peak(decoder, first, last);
    return true;
}

/* Under a mask any value may be of any block. */
static void spread_largest(const struct tile *tile, float *scales)
{
    float largest = 0.0f;
    for (size_t i = 0; i * COVEY_BLOCK_VALUES < tile->kept; i++)
        largest = scales[i] > largest ? scales[i] : largest;
    for (size_t i = 0; i * COVEY_BLOCK_VALUES < tile->count; i++)
        scales[i] = largest;
}

bool covey_decoder_has_peaks(const struct covey_decoder *decoder)
{
    return covey_quantiser_row(decoder->codec.quantise)->peak != NULL && decoder->codec.kept == 0;
}

enum covey_status covey_decoder_next_peak(struct covey_decoder *decoder, float *peak, size_t *passed)
{
    if (!covey_decoder_has_peaks(decoder))
        return COVEY_STATE;
    *passed = 0;
    if (decoder->position >= decoder->count)
        return COVEY_OK;
    const struct tile tile = next_tile(decoder);
    COVEY_TRY(covey_quantiser_row(decoder->codec.quantise)->peak(tile.side, tile.count, peak));
    *passed = tile.count;
    decoder->position += tile.count;
    return COVEY_OK;
}

/* The scales of the next tile, which becomes *tile. */
static enum covey_status read_scales(struct covey_decoder *decoder, struct covey_codes *out,
                                     struct tile *tile)
{
    const struct covey_quantiser *quantiser = covey_quantiser_row(decoder->codec.quantise);
    if (!covey_decoder_has_scales(decoder))
        return COVEY_STATE;
    out->count = 0;
    out->code_limit = quantiser->code_limit;
    if (decoder->position >= decoder->count)
        return COVEY_OK;
    *tile = next_tile(decoder);
    COVEY_TRY(quantiser->scales(tile->side, tile->kept, out->scales));
    if (decoder->codec.kept != 0)
        spread_largest(tile, out->scales);
    out->count = tile->count;
    decoder->position += tile->count;
    return COVEY_OK;
}

enum covey_status covey_decoder_next_scales(struct covey_decoder *decoder, struct covey_codes *out)
{
    struct tile tile;
    return read_scales(decoder, out, &tile);
}

/* Levels are codes whose scale is the same everywhere. */
static enum covey_status next_wide_codes(struct covey_decoder *decoder, struct covey_codes *out)
{
    out->codes = NULL;
    out->code_limit = INT32_MAX;
    out->count = decoder->position < decoder->count ? next_levels(decoder, out->wide) : 0;
    const float scale = covey_quantiser_row(decoder->codec.quantise)->vector->scale(decoder);
    for (size_t block = 0; block * COVEY_BLOCK_VALUES < out->count; block++)
        out->scales[block] = scale;
    decoder->position += out->count;
    return COVEY_OK;
}

enum covey_status covey_decoder_next_codes(struct covey_decoder *decoder, struct covey_codes *out)
{
    struct tile tile;
    if (covey_decoder_has_codes(decoder) && covey_quantiser_row(decoder->codec.quantise)->vector != NULL)
        return next_wide_codes(decoder, out);
    if (!covey_decoder_has_codes(decoder))
        return COVEY_STATE;
    COVEY_TRY(read_scales(decoder, out, &tile));
    if (out->count > 0)
        out->codes = (const int8_t *)tile_codes(decoder, &tile, (uint8_t *)out->storage);
    return COVEY_OK;
}

/* What went wrong while tiles were decoded, in words. */
static enum covey_status fail_at_value(const struct covey_decoder *decoder, enum covey_status status,
                                       struct covey_error *err)
{
    return covey_fail(err, status, "codec stream (%s): %s among the values from %zu on", decoder->codec.name,
                      covey_status_text(status), decoder->position);
}

enum covey_status covey_codec_decode(struct covey_bytes stream, size_t count, float *out,
                                     struct covey_error *err)
{
    struct covey_decoder decoder;
    size_t decoded = 0;
    COVEY_TRY(covey_decoder_init(&decoder, stream, count, err));
    while (decoder.position < count) {
        const enum covey_status status = covey_decoder_next(&decoder, out + decoder.position, &decoded);
        if (status != COVEY_OK)
            return fail_at_value(&decoder, status, err);
    }
    return COVEY_OK;
}

/* Two readings: the first only looks, so that a stream which is refused half way leaves x as it was. */
enum covey_status covey_codec_apply(struct covey_bytes stream, size_t count, float *x,
                                    struct covey_error *err)
{
    struct covey_decoder decoder;
    float tile[COVEY_DECODE_VALUES];
    for (int pass = 0; pass < 2; pass++) {
        COVEY_TRY(covey_decoder_init(&decoder, stream, count, err));
        while (decoder.position < count) {
            const size_t first = decoder.position;
            size_t decoded = 0;
            const enum covey_status status = covey_decoder_next(&decoder, tile, &decoded);
            if (status != COVEY_OK)
                return fail_at_value(&decoder, status, err);
            for (size_t i = 0; pass == 1 && i < decoded; i++)
                x[first + i] = x[first + i] + tile[i];
        }
    }
    return COVEY_OK;
}
