#include "covey/server_optimiser.h"
#include "covey/little_endian.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1
#define STATE_HEAD_BYTES 16 /* version u32, kind u32, count u64 */

/* One coordinate: in as it is, out as it will be. */
struct place {
    double w, first, second;
};

/* The next place of a coordinate, for each kind. d: the mean there. */
typedef void step_fn(const struct covey_server_rule *rule, double d, double share, struct place *at);

static void sgd_step(const struct covey_server_rule *rule, double d, double share, struct place *at)
{
    (void)share;
    at->w += rule->rate * d;
}

static void momentum_step(const struct covey_server_rule *rule, double d, double share, struct place *at)
{
    (void)share;
    at->first = rule->beta1 * at->first + d;
    at->w += rule->rate * at->first;
}

/* What the adaptive kinds have in common, once v is known. */
static void adapt(const struct covey_server_rule *rule, double d, double v, struct place *at)
{
    at->first = rule->beta1 * at->first + (1 - rule->beta1) * d;
    at->second = v;
    at->w += rule->rate * at->first / (sqrt(v) + rule->tau);
}

static void adagrad_step(const struct covey_server_rule *rule, double d, double share, struct place *at)
{
    (void)share;
    adapt(rule, d, at->second + d * d, at);
}

static void adam_step(const struct covey_server_rule *rule, double d, double share, struct place *at)
{
    (void)share;
    adapt(rule, d, rule->beta2 * at->second + (1 - rule->beta2) * (d * d), at);
}

static void yogi_step(const struct covey_server_rule *rule, double d, double share, struct place *at)
{
    const double square = d * d, gap = at->second - square;
    const double sign = gap > 0 ? 1 : gap < 0 ? -1 : 0;
    (void)share;
    adapt(rule, d, at->second - (1 - rule->beta2) * square * sign, at);
}

static void feddyn_step(const struct covey_server_rule *rule, double d, double share, struct place *at)
{
    (void)rule;
    at->first += share * d;
    at->w += d + at->first;
}

/* A control variate's step, whatever the kind. */
static void control_step(const struct covey_server_rule *rule, double d, double share, struct place *at)
{
    (void)rule;
    at->w += share * d;
}

/* Coordinates [from, to) on their way from one state to the next. */
struct stretch {
    struct covey_server_optimiser *optimiser;
    const struct covey_server_mean *mean;
    double scale; /* of the mean here */
    float *weights;
    size_t from, to;
    bool keep; /* the results take their places; otherwise they are looked at only */
};

/* All of them are finite. Inlined with what is known of a kind, so that the loop has no call and no choice in
 * it. */
__attribute__((always_inline)) static inline bool run(const struct stretch *stretch, step_fn *step,
                                                      bool has_first, bool has_second)
{
    const struct covey_server_rule rule = stretch->optimiser->rule;
    const double *mean = stretch->mean->values, share = stretch->mean->share, scale = stretch->scale;
    double *first = stretch->optimiser->first, *second = stretch->optimiser->second;
    float *weights = stretch->weights;
    uint32_t finite = 1;
    for (size_t i = stretch->from; i < stretch->to; i++) {
        struct place at = {
            .w = (double)weights[i], .first = has_first ? first[i] : 0, .second = has_second ? second[i] : 0};
        step(&rule, scale * mean[i], share, &at);
        finite &= (uint32_t)(fabsf((float)at.w) <= FLT_MAX) & (uint32_t)(fabs(at.first) <= DBL_MAX) &
                  (uint32_t)(fabs(at.second) <= DBL_MAX);
        if (!stretch->keep)
            continue;
        weights[i] = (float)at.w;
        if (has_first)
            first[i] = at.first;
        if (has_second)
            second[i] = at.second;
    }
    return finite != 0;
}

#define RUN(name, has_first, has_second)                                                                     \
    static bool name##_run(const struct stretch *stretch)                                                    \
    {                                                                                                        \
        return run(stretch, name##_step, has_first, has_second);                                             \
    }

RUN(sgd, false, false)
RUN(momentum, true, false)
RUN(adagrad, true, true)
RUN(adam, true, true)
RUN(yogi, true, true)
RUN(feddyn, true, false)
RUN(control, false, false)

/* A row for each kind: which vectors of state it has, and how it steps. */
struct kind {
    const char *word;
    double rate; /* default */
    bool has_first, has_second, adapts;
    bool (*run)(const struct stretch *stretch);
};

/* Default rates: Reddi et al. 2021, table 8, EMNIST character recognition. */
static const struct kind kinds[COVEY_SERVER_OPTIMISERS] = {
    [COVEY_SERVER_SGD] = {"sgd", 1, false, false, false, sgd_run},
    [COVEY_SERVER_MOMENTUM] = {"momentum", 1, true, false, false, momentum_run},
    [COVEY_SERVER_ADAGRAD] = {"adagrad", .1, true, true, true, adagrad_run},
    [COVEY_SERVER_ADAM] = {"adam", .00316, true, true, true, adam_run},
    [COVEY_SERVER_YOGI] = {"yogi", .00316, true, true, true, yogi_run},
    [COVEY_SERVER_FEDDYN] = {"feddyn", 1, true, false, false, feddyn_run},
};

const char *covey_server_optimiser_name(enum covey_server_optimiser_kind kind)
{
    return (unsigned)kind < COVEY_SERVER_OPTIMISERS ? kinds[kind].word : NULL;
}

int covey_server_optimiser_parse(const char *word, enum covey_server_optimiser_kind *out)
{
    for (size_t i = 0; i < COVEY_SERVER_OPTIMISERS; i++) {
        if (strcmp(word, kinds[i].word) == 0) {
            *out = (enum covey_server_optimiser_kind)i;
            return 0;
        }
    }
    return -1;
}

static enum covey_status check_beta(const char *name, double value, struct covey_error *err)
{
    return value >= 0 && value < 1
               ? COVEY_OK
               : covey_fail(err, COVEY_INVALID, "server optimiser: %s is %g, must be in [0, 1)", name, value);
}

enum covey_status covey_server_rule_complete(struct covey_server_rule *rule, struct covey_error *err)
{
    struct covey_server_rule next = *rule;
    if ((unsigned)next.kind >= COVEY_SERVER_OPTIMISERS)
        return covey_fail(err, COVEY_INVALID, "there is no server optimiser number %d", (int)next.kind);
    const struct kind *kind = &kinds[next.kind];
    if (next.rate == 0)
        next.rate = kind->rate;
    if (!(next.rate > 0) || !isfinite(next.rate))
        return covey_fail(err, COVEY_INVALID, "the server's rate is %g, must be above 0", next.rate);
    if (next.kind == COVEY_SERVER_FEDDYN && (next.rate < 1 || next.rate > 1))
        return covey_fail(err, COVEY_INVALID, "feddyn's own step has the rate 1, not %g", next.rate);
    if (kind->has_first)
        COVEY_TRY(check_beta("beta1", next.beta1, err));
    if (kind->adapts) {
        COVEY_TRY(check_beta("beta2", next.beta2, err));
        if (!(next.tau > 0) || !isfinite(next.tau))
            return covey_fail(err, COVEY_INVALID, "server optimiser: tau is %g, must be above 0", next.tau);
    }
    *rule = next;
    return COVEY_OK;
}

static enum covey_status make_vector(bool wanted, size_t count, double value, double **out,
                                     struct covey_error *err)
{
    if (!wanted)
        return COVEY_OK;
    double *vector = calloc(count, sizeof *vector);
    if (vector == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the server optimiser's state");
    for (size_t i = 0; value > 0 && i < count; i++)
        vector[i] = value;
    *out = vector;
    return COVEY_OK;
}

enum covey_status covey_server_optimiser_init(struct covey_server_optimiser *optimiser,
                                              const struct covey_server_rule *rule, size_t count,
                                              struct covey_error *err)
{
    struct covey_server_optimiser made = {.rule = *rule, .count = count};
    COVEY_TRY(covey_server_rule_complete(&made.rule, err));
    const struct kind *kind = &kinds[made.rule.kind];
    enum covey_status status = make_vector(kind->has_first, count, 0, &made.first, err);
    if (status == COVEY_OK)
        status = make_vector(kind->has_second, count, made.rule.tau * made.rule.tau, &made.second, err);
    if (status != COVEY_OK) {
        covey_server_optimiser_deinit(&made);
        return status;
    }
    *optimiser = made;
    return COVEY_OK;
}

void covey_server_optimiser_deinit(struct covey_server_optimiser *optimiser)
{
    free(optimiser->first);
    free(optimiser->second);
    *optimiser = (struct covey_server_optimiser){0};
}

/* ------------------------------------------------------------------ the step */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool run_stretch(struct covey_server_optimiser *optimiser, const struct covey_server_mean *mean,
                        float *weights, size_t from, size_t to, bool keep)
{
    const size_t controls = optimiser->count - mean->controls;
    const struct stretch own = {optimiser, mean, mean->scale, weights, from, least(to, controls), keep};
    const struct stretch others = {optimiser, mean, 1, weights, from < controls ? controls : from, to, keep};
    const bool finite = kinds[optimiser->rule.kind].run(&own);
    return control_run(&others) && finite;
}

enum covey_status covey_server_optimiser_step(struct covey_server_optimiser *optimiser,
                                              const struct covey_server_mean *mean, float *weights,
                                              struct covey_error *err)
{
    const size_t count = optimiser->count;
    if (!(mean->share > 0 && mean->share <= 1) || !(mean->scale > 0) || !isfinite(mean->scale))
        return covey_fail(err, COVEY_INVALID, "a mean scaled by %g of a share of %g of the devices",
                          mean->scale, mean->share);
    if (!run_stretch(optimiser, mean, weights, 0, count, false)) {
        size_t i = 0;
        while (run_stretch(optimiser, mean, weights, i, i + 1, false))
            i++;
        return covey_fail(err, COVEY_NOT_FINITE,
                          "the step would make weight %zu infinite or NaN: the model stays", i);
    }
    (void)run_stretch(optimiser, mean, weights, 0, count, true);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the state as bytes */

static size_t vector_count(const struct covey_server_optimiser *optimiser)
{
    return (size_t)(optimiser->first != NULL) + (size_t)(optimiser->second != NULL);
}

size_t covey_server_optimiser_save_bytes(const struct covey_server_optimiser *optimiser)
{
    const size_t vectors = vector_count(optimiser);
    return vectors == 0 ? 0 : STATE_HEAD_BYTES + vectors * optimiser->count * sizeof(double);
}

static uint8_t *put_vector(const double *vector, size_t count, uint8_t *out)
{
    for (size_t i = 0; vector != NULL && i < count; i++, out += 8) {
        uint64_t bits;
        memcpy(&bits, &vector[i], sizeof bits);
        covey_little_put(out, bits, 8);
    }
    return out;
}

static const uint8_t *get_vector(const uint8_t *in, double *vector, size_t count)
{
    for (size_t i = 0; vector != NULL && i < count; i++, in += 8) {
        const uint64_t bits = covey_little_get(in, 8);
        memcpy(&vector[i], &bits, sizeof bits);
    }
    return in;
}

void covey_server_optimiser_save(const struct covey_server_optimiser *optimiser, uint8_t *out)
{
    if (vector_count(optimiser) == 0)
        return;
    covey_little_put(out, STATE_VERSION, 4);
    covey_little_put(out + 4, (uint64_t)optimiser->rule.kind, 4);
    covey_little_put(out + 8, optimiser->count, 8);
    out = put_vector(optimiser->first, optimiser->count, out + STATE_HEAD_BYTES);
    (void)put_vector(optimiser->second, optimiser->count, out);
}

enum covey_status covey_server_optimiser_load(struct covey_server_optimiser *optimiser,
                                              struct covey_bytes saved, struct covey_error *err)
{
    const size_t expected = covey_server_optimiser_save_bytes(optimiser);
    if (saved.size == 0 && expected == 0)
        return COVEY_OK;
    if (saved.size == 0)
        return covey_fail(err, COVEY_MISMATCH, "there is no state of a server optimiser with the model");
    if (saved.size < STATE_HEAD_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "the server optimiser's state has %zu bytes", saved.size);
    if (covey_little_get(saved.data, 4) != STATE_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "the server optimiser's state has version %u",
                          (unsigned)covey_little_get(saved.data, 4));
    if (covey_little_get(saved.data + 4, 4) != (uint64_t)optimiser->rule.kind ||
        covey_little_get(saved.data + 8, 8) != optimiser->count)
        return covey_fail(err, COVEY_MISMATCH, "the state is of another server optimiser or another model");
    if (saved.size != expected)
        return covey_fail(err, COVEY_CORRUPT, "the server optimiser's state has %zu bytes, not %zu",
                          saved.size, expected);
    const uint8_t *in = get_vector(saved.data + STATE_HEAD_BYTES, optimiser->first, optimiser->count);
    (void)get_vector(in, optimiser->second, optimiser->count);
    return COVEY_OK;
}

enum covey_status covey_server_optimiser_advance(const struct covey_server_rule *rule,
                                                 const struct covey_round_state *kept,
                                                 const struct covey_server_mean *mean, size_t count,
                                                 float *weights, struct covey_round_state *next,
                                                 struct covey_error *err)
{
    struct covey_server_optimiser optimiser = {0};
    uint8_t *out = NULL;
    COVEY_TRY(covey_server_optimiser_init(&optimiser, rule, count, err));
    enum covey_status status =
        covey_server_optimiser_load(&optimiser, covey_round_state_part(kept, COVEY_STATE_OPTIMISER), err);
    if (status == COVEY_MISMATCH) /* the first round, or the configuration was another */
        status = COVEY_OK;
    if (status == COVEY_OK)
        status = covey_server_optimiser_step(&optimiser, mean, weights, err);
    const size_t bytes = covey_server_optimiser_save_bytes(&optimiser);
    if (status == COVEY_OK && bytes > 0)
        status = covey_round_state_set(next, COVEY_STATE_OPTIMISER, bytes, &out, err);
    if (status == COVEY_OK && bytes > 0)
        covey_server_optimiser_save(&optimiser, out);
    covey_server_optimiser_deinit(&optimiser);
    return status;
}
