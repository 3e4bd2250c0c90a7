#include "round_terms.h"

#include <string.h>

#include "covey/little_endian.h"
#include "covey/staleness.h"

/* The layout is fixed: version, flags, updates_max, weight_max, norm_limit, tensor_count, round, seed,
 * weighting, examples_max, strategy, codec, exponents. Version 1 had neither round nor seed, and a shorter
 * strategy; version 2 no weighting. */
enum {
    AT_VERSION = 0,
    AT_FLAGS = 4,
    AT_UPDATES = 8,
    AT_WEIGHT = 16,
    AT_NORM = 24,
    AT_TENSORS = 32,
    AT_ROUND = 36,
    AT_SEED = 40,
    AT_WEIGHTING = 48, /* kind, power, smoothness: 8 bytes each */
    AT_EXAMPLES = 72,
    AT_STRATEGY = 80
};
#define AT_CODEC (AT_STRATEGY + COVEY_STRATEGY_TEXT_BYTES)
#define AT_EXPONENTS (AT_CODEC + COVEY_CODEC_NAME_BYTES)

/* Where the versions differ. */
static const struct places {
    size_t strategy, strategy_bytes;
} places[] = {{0, 0},
              {36, COVEY_NAME_BYTES},
              {48, COVEY_STRATEGY_TEXT_BYTES},
              {AT_STRATEGY, COVEY_STRATEGY_TEXT_BYTES}};
#define FLAG_REFUSE_RANGE 1u
#define FLAG_EXPONENTS 2u

_Static_assert(AT_EXPONENTS + 2 * COVEY_MODEL_TENSORS <= COVEY_ROUND_TERMS_BYTES, "room for every tensor");

static void put_real(uint8_t *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    covey_little_put(out, bits, 8);
}

static double get_real(const uint8_t *in)
{
    const uint64_t bits = covey_little_get(in, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

size_t covey_round_terms_encode(const struct covey_round_terms *terms, uint8_t *out)
{
    memset(out, 0, COVEY_ROUND_TERMS_BYTES);
    covey_little_put(out + AT_VERSION, COVEY_ROUND_TERMS_VERSION, 4);
    covey_little_put(
        out + AT_FLAGS,
        (terms->refuse_range ? FLAG_REFUSE_RANGE : 0) | (terms->has_exponents ? FLAG_EXPONENTS : 0), 4);
    covey_little_put(out + AT_UPDATES, terms->updates_max, 8);
    put_real(out + AT_WEIGHT, terms->weight_max);
    put_real(out + AT_NORM, terms->norm_limit);
    covey_little_put(out + AT_TENSORS, terms->tensor_count, 4);
    covey_little_put(out + AT_ROUND, terms->round, 4);
    covey_little_put(out + AT_SEED, terms->seed, 8);
    covey_little_put(out + AT_WEIGHTING, (uint64_t)terms->weighting.kind, 8);
    put_real(out + AT_WEIGHTING + 8, terms->weighting.power);
    put_real(out + AT_WEIGHTING + 16, terms->weighting.smoothness);
    put_real(out + AT_EXAMPLES, terms->examples_max);
    memcpy(out + AT_STRATEGY, terms->strategy, sizeof terms->strategy);
    memcpy(out + AT_CODEC, terms->codec, COVEY_CODEC_NAME_BYTES);
    if (!terms->has_exponents)
        return AT_EXPONENTS;
    for (uint32_t i = 0; i < terms->tensor_count; i++)
        covey_little_put(out + AT_EXPONENTS + 2 * i, (uint16_t)terms->exponents[i], 2);
    return AT_EXPONENTS + 2 * (size_t)terms->tensor_count;
}

enum covey_status covey_round_terms_decode(struct covey_bytes bytes, struct covey_round_terms *out,
                                           struct covey_error *err)
{
    const size_t at_codec_1 = places[1].strategy + places[1].strategy_bytes;
    if (bytes.size < at_codec_1 + COVEY_CODEC_NAME_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "the terms of a round have %zu bytes: cut short", bytes.size);
    const uint64_t version = covey_little_get(bytes.data, 4);
    if (version == 0 || version > COVEY_ROUND_TERMS_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "the terms of a round have version %u", (unsigned)version);
    const struct places *at = &places[version]; /* an older server may have opened the round */
    const size_t at_codec = at->strategy + at->strategy_bytes;
    const size_t at_exponents = at_codec + COVEY_CODEC_NAME_BYTES;
    if (bytes.size < at_exponents)
        return covey_fail(err, COVEY_CORRUPT, "the terms of a round have %zu bytes: cut short", bytes.size);
    struct covey_round_terms terms = {0};
    const uint64_t flags = covey_little_get(bytes.data + AT_FLAGS, 4);
    terms.refuse_range = (flags & FLAG_REFUSE_RANGE) != 0;
    terms.has_exponents = (flags & FLAG_EXPONENTS) != 0;
    terms.updates_max = covey_little_get(bytes.data + AT_UPDATES, 8);
    terms.weight_max = get_real(bytes.data + AT_WEIGHT);
    terms.norm_limit = get_real(bytes.data + AT_NORM);
    terms.tensor_count = (uint32_t)covey_little_get(bytes.data + AT_TENSORS, 4);
    if (version > 1) {
        terms.round = (uint32_t)covey_little_get(bytes.data + AT_ROUND, 4);
        terms.seed = covey_little_get(bytes.data + AT_SEED, 8);
    }
    terms.examples_max = terms.weight_max;
    if (version > 2) {
        terms.weighting.kind = (enum covey_weighting_kind)covey_little_get(bytes.data + AT_WEIGHTING, 8);
        terms.weighting.power = get_real(bytes.data + AT_WEIGHTING + 8);
        terms.weighting.smoothness = get_real(bytes.data + AT_WEIGHTING + 16);
        terms.examples_max = get_real(bytes.data + AT_EXAMPLES);
        COVEY_TRY(covey_weighting_check(&terms.weighting, err));
    }
    memcpy(terms.strategy, bytes.data + at->strategy, at->strategy_bytes);
    memcpy(terms.codec, bytes.data + at_codec, COVEY_CODEC_NAME_BYTES);
    terms.strategy[sizeof terms.strategy - 1] = terms.codec[COVEY_CODEC_NAME_BYTES - 1] = '\0';
    const size_t exponent_bytes = terms.has_exponents ? 2 * (size_t)terms.tensor_count : 0;
    if (terms.tensor_count > COVEY_MODEL_TENSORS || bytes.size != at_exponents + exponent_bytes)
        return covey_fail(err, COVEY_CORRUPT, "the terms of a round have %zu bytes for %u tensors",
                          bytes.size, terms.tensor_count);
    for (uint32_t i = 0; terms.has_exponents && i < terms.tensor_count; i++)
        terms.exponents[i] = (int16_t)covey_little_get(bytes.data + at_exponents + 2 * i, 2);
    *out = terms;
    return COVEY_OK;
}

double covey_round_terms_weigh(const struct covey_round_terms *terms, const struct covey_update *update,
                               double norm, struct covey_weighed *out)
{
    *out = (struct covey_weighed){
        .examples = (uint64_t)covey_staleness_examples(update->examples, terms->examples_max),
        .steps = update->effective_steps > 0 ? (double)update->effective_steps : (double)update->steps,
        .loss = (double)update->loss_before,
        .norm = norm};
    return covey_weighting_weight(&terms->weighting, out);
}

enum covey_status covey_round_terms_begin(const struct covey_round_terms *terms,
                                          const struct covey_round_site *site, struct covey_aggregation **out,
                                          struct covey_error *err)
{
    struct covey_chain chain;
    COVEY_TRY(covey_chain_parse(terms->strategy, &chain, err));
    if (site->tensor_count != terms->tensor_count)
        return covey_fail(err, COVEY_MISMATCH, "the round was opened for %u tensors, the model has %zu",
                          terms->tensor_count, site->tensor_count);
    const struct covey_aggregation_plan plan = {.ends = site->ends,
                                                .tensor_count = site->tensor_count,
                                                .exponents = terms->has_exponents ? terms->exponents : NULL,
                                                .updates_max = terms->updates_max,
                                                .weight_max = terms->weight_max,
                                                .threads = site->threads,
                                                .refuse_range = terms->refuse_range,
                                                .norm_limit = terms->norm_limit,
                                                .kept = site->kept,
                                                .seed = terms->seed,
                                                .round = terms->round,
                                                .spool_folder = site->spool_folder};
    return covey_aggregation_begin(&chain, &plan, out, err);
}
