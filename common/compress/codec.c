#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "covey/arena.h"
#include "covey/limits.h"
#include "stage.h"

/* The named codecs: a row of each stage's table. */
struct preset {
    const char *name; /* ends in a colon where a rate follows */
    const char *shown, *example;
    uint8_t transform, sparsify, quantise, entropy;
    uint8_t unbiased;
};

#define UNIFORM_ROW 8
#define SECTIONS_ROW 10
#define SAME_MASK "samemask:" /* of which all devices have one */

#define PLACE(name, unbiased) PLACE_##name,
enum { COVEY_PLAIN_CODECS(PLACE) PLACES };
#define PLAIN(name, unbiased)                                                                                \
    {#name, #name, #name, 0, 0, COVEY_PLAIN_CODEC_FIRST + PLACE_##name, 0, unbiased},
_Static_assert(COVEY_PLAIN_CODEC_FIRST + PLACES <= COVEY_STAGE_ROWS, "a quantiser's row has four bits");

/* clang-format off */
static const struct preset presets[] = {
    {"raw32", "raw32", "raw32", 0, 0, 0, 0, 1},
    {"fp16", "fp16", "fp16", 0, 0, 1, 0, 0},
    {"int8", "int8", "int8", 0, 0, 2, 0, 1},
    {"int4", "int4", "int4", 0, 0, 3, 0, 1},
    {"eden1", "eden1", "eden1", 1, 0, 4, 0, 1},
    {"eden2", "eden2", "eden2", 1, 0, 5, 0, 1},
    {"eden3", "eden3", "eden3", 1, 0, 6, 0, 1},
    {"eden4", "eden4", "eden4", 1, 0, 7, 0, 1},
    {"ec:", "ec:RATE", "ec:1", 0, 0, 8, 1, 0},
    {"tcq:", "tcq:RATE", "tcq:1", 0, 0, 9, 1, 0},
    {"stc:", "stc:SHARE", "stc:0.01", 0, COVEY_SPARSIFY_TOP, 8, 1, 0},
    {"auto:", "auto:RATE", "auto:1", 1, 0, SECTIONS_ROW, 1, 0},
    {"mask:", "mask:SHARE[:NAME]", "mask:0.1", 0, COVEY_SPARSIFY_MASK, 2, 0, 1},
    {SAME_MASK, "samemask:SHARE[:NAME]", "samemask:0.1", 0, COVEY_SPARSIFY_MASK, 2, 0, 1},
    COVEY_PLAIN_CODECS(PLAIN)
};
/* clang-format on */
/* A trellis gains nothing below the one, and its symbols do not reach above the other: there tcq is coded as
 * ec.
 */
#define TRELLIS_RATE_MIN 0.2f
#define TRELLIS_RATE_MAX 5.5f
#define DOWNLINK_PART 0.99f /* of the rate, where that is a ceiling: encoders end within 1 % of theirs */
#define PRESET_COUNT (sizeof presets / sizeof presets[0])

_Static_assert(COVEY_CHUNK_VALUES % COVEY_DECODE_VALUES == 0, "a chunk is whole tiles");
_Static_assert(COVEY_DECODE_VALUES % COVEY_BLOCK_VALUES == 0, "a tile is whole blocks");

const char *covey_codec_name(size_t index)
{
    return index < PRESET_COUNT ? presets[index].example : NULL;
}

/* Digits with at most one point among them, nothing else up to `end`: the same in every locale. */
static bool read_number(const char *text, const char *end, const struct preset *preset, float *out)
{
    double value = 0, place = 1;
    bool point = false, any = false;
    for (; text < end; text++) {
        if (*text == '.' && !point) {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (*text - '0');
        place *= point ? 10 : 1;
        any = true;
    }
    value /= place;
    *out = (float)value;
    const bool share = preset->sparsify != 0;
    return any && value >= (share ? COVEY_CODEC_SHARE_MIN : COVEY_CODEC_RATE_MIN) &&
           value <= (share ? COVEY_CODEC_SHARE_MAX : COVEY_CODEC_RATE_MAX);
}

static bool is_adaptive(const struct preset *preset)
{
    return preset->quantise == SECTIONS_ROW;
}

/* *inner: the name behind a mask's share, or NULL. */
static bool matches(const struct preset *preset, const char *name, float *rate, const char **inner)
{
    const size_t length = strlen(preset->name);
    *inner = NULL;
    if (preset->name[length - 1] != ':')
        return strcmp(preset->name, name) == 0;
    if (strncmp(preset->name, name, length) != 0)
        return false;
    const char *end = name + length;
    if (preset->sparsify == COVEY_SPARSIFY_MASK) {
        end += strcspn(end, ":");
        *inner = *end == ':' ? end + 1 : NULL;
    } else {
        end += strlen(end);
    }
    return read_number(name + length, end, preset, rate);
}

/* The codec of what a mask keeps: one of fixed length, of which each tile is by itself. */
static bool put_mask(const struct preset *preset, float share, const char *inner, struct covey_codec *out)
{
    size_t i = 0;
    while (inner != NULL && i < PRESET_COUNT && strcmp(presets[i].name, inner) != 0)
        i++;
    if (inner != NULL && (i == PRESET_COUNT || covey_quantiser_row(presets[i].quantise)->vector != NULL ||
                          presets[i].sparsify != 0))
        return false;
    if (inner != NULL) {
        out->transform = presets[i].transform;
        out->quantise = presets[i].quantise;
        out->bits = covey_quantiser_row(out->quantise)->code_bits;
        out->unbiased = presets[i].unbiased;
    }
    const uint16_t kept = (uint16_t)(share * COVEY_DECODE_VALUES + 0.5f);
    out->kept = kept > 0 ? kept : 1;
    out->common = strcmp(preset->name, SAME_MASK) == 0;
    return true;
}

static enum covey_status refuse_name(const char *name, struct covey_error *err)
{
    char names[192] = "";
    for (size_t i = 0; i < PRESET_COUNT; i++) {
        const size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, " %s", presets[i].shown);
    }
    return covey_fail(err, COVEY_INVALID, "there is no codec '%.31s'; there are:%s", name, names);
}

enum covey_status covey_codec_parse(const char *name, struct covey_codec *out, struct covey_error *err)
{
    for (size_t i = 0; i < PRESET_COUNT && strlen(name) < sizeof out->name; i++) {
        const struct preset *preset = &presets[i];
        float rate = 0;
        const char *inner = NULL;
        if (!matches(preset, name, &rate, &inner))
            continue;
        struct covey_codec codec = {.transform = preset->transform,
                                    .sparsify = preset->sparsify,
                                    .quantise = preset->quantise,
                                    .entropy = preset->entropy,
                                    .bits = covey_quantiser_row(preset->quantise)->code_bits,
                                    .rate = rate,
                                    .adaptive = is_adaptive(preset),
                                    .unbiased = preset->unbiased};
        if (covey_quantiser_row(codec.quantise) == &covey_quantise_trellis &&
            (rate < TRELLIS_RATE_MIN || rate > TRELLIS_RATE_MAX))
            codec.quantise = UNIFORM_ROW;
        if (codec.sparsify == COVEY_SPARSIFY_MASK && !put_mask(preset, rate, inner, &codec))
            break;
        (void)snprintf(codec.name, sizeof codec.name, "%s", name);
        *out = codec;
        return COVEY_OK;
    }
    return refuse_name(name, err);
}

enum covey_status covey_codec_parse_downlink(const char *name, struct covey_codec *out,
                                             struct covey_error *err)
{
    struct covey_codec codec;
    COVEY_TRY(covey_codec_parse(name, &codec, err));
    if (codec.kept != 0)
        return covey_fail(err, COVEY_INVALID,
                          "codec '%s' leaves values out by lot: for updates, not for published models", name);
    if (codec.sparsify == 0) /* there `rate` is bits */
        codec.rate *= DOWNLINK_PART;
    *out = codec;
    return COVEY_OK;
}

bool covey_codec_made(const struct covey_codec *assigned, const struct covey_codec *stream)
{
    return (assigned->transform == stream->transform || (assigned->adaptive && stream->transform == 0)) &&
           (assigned->quantise == stream->quantise ||
            (assigned->adaptive && stream->quantise == UNIFORM_ROW)) &&
           assigned->sparsify == stream->sparsify && assigned->kept == stream->kept &&
           assigned->entropy == stream->entropy && assigned->bits == stream->bits;
}

void covey_codec_undivided(struct covey_codec *codec)
{
    codec->quantise = UNIFORM_ROW;
}

/* The name of a codec that a header described by rows alone: without the rate, which is not in the stream. */
void covey_codec_complete(struct covey_codec *codec)
{
    codec->bits = covey_quantiser_row(codec->quantise)->code_bits;
    (void)snprintf(codec->name, sizeof codec->name, "rows %x%x%x%x", codec->transform, codec->sparsify,
                   codec->quantise, codec->entropy);
    if (codec->sparsify == COVEY_SPARSIFY_MASK)
        (void)snprintf(codec->name, sizeof codec->name, "mask");
    for (size_t i = 0; i < PRESET_COUNT && codec->sparsify != COVEY_SPARSIFY_MASK; i++) {
        const struct preset *preset = &presets[i];
        const struct covey_codec named = {.transform = preset->transform,
                                          .sparsify = preset->sparsify,
                                          .quantise = preset->quantise,
                                          .entropy = preset->entropy,
                                          .bits = codec->bits,
                                          .adaptive = is_adaptive(preset)};
        if (covey_codec_made(&named, codec)) {
            (void)snprintf(codec->name, sizeof codec->name, "%.*s", (int)strcspn(preset->name, ":"),
                           preset->name);
            codec->unbiased = preset->unbiased;
            return;
        }
    }
}

/* ---- sizes ---- */

/* Of count values that are coded, at most a tile. */
static size_t side_of_tile(const struct covey_quantiser *quantiser, size_t count)
{
    const size_t records = count / quantiser->side_values, rest = count % quantiser->side_values;
    return records * quantiser->side_bytes + (quantiser->side_size != NULL ? quantiser->side_size(rest)
                                              : rest > 0                   ? quantiser->side_bytes
                                                                           : 0);
}

size_t covey_side_bytes(const struct covey_codec *codec, size_t count)
{
    const struct covey_quantiser *quantiser = covey_quantiser_row(codec->quantise);
    const size_t tiles = count / COVEY_DECODE_VALUES, rest = count % COVEY_DECODE_VALUES;
    if (quantiser->side_bytes == 0)
        return 0;
    return tiles * side_of_tile(quantiser, covey_mask_kept(codec->kept, COVEY_DECODE_VALUES)) +
           side_of_tile(quantiser, covey_mask_kept(codec->kept, rest));
}

/* Each tile's begin at a byte. */
size_t covey_codes_bytes(const struct covey_codec *codec, size_t count)
{
    const struct covey_entropy_coder *entropy = covey_entropy_row(codec->entropy);
    const uint8_t bits = covey_quantiser_row(codec->quantise)->code_bits;
    const size_t tiles = count / COVEY_DECODE_VALUES, rest = count % COVEY_DECODE_VALUES;
    return tiles * entropy->bound(bits, covey_mask_kept(codec->kept, COVEY_DECODE_VALUES)) +
           entropy->bound(bits, covey_mask_kept(codec->kept, rest));
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
    const struct covey_vector_coder *vector = covey_quantiser_row(codec->quantise)->vector;
    return COVEY_HEADER_BYTES_MAX +
           (vector != NULL ? vector->bound(codec, count) : covey_payload_bytes(codec, count));
}

/* Where the transformed vector lies while a codec of variable length looks at the whole of it. */
size_t covey_encode_vector_bytes(const struct covey_codec *codec, size_t count)
{
    const size_t bytes = covey_transform_row(codec->transform)->forward != NULL ? count * sizeof(float) : 0;
    return (bytes + COVEY_ARENA_ALIGN - 1) / COVEY_ARENA_ALIGN * COVEY_ARENA_ALIGN;
}

size_t covey_codec_scratch_bytes(const struct covey_codec *codec, size_t count)
{
    const struct covey_vector_coder *vector = covey_quantiser_row(codec->quantise)->vector;
    if (vector == NULL)
        return 0; /* tiles live on the stack */
    return covey_encode_vector_bytes(codec, count) + vector->scratch_bytes(codec, count);
}

/* Codes that are stored as they lie in memory need no packing. */
bool covey_codes_as_is(const struct covey_codec *codec)
{
    const struct covey_quantiser *quantiser = covey_quantiser_row(codec->quantise);
    return quantiser->packed || (covey_entropy_row(codec->entropy)->in_place && quantiser->code_bits >= 8);
}
