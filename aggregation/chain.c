#include "covey/chain.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/strategy.h"

static const char *const clips[] = {"none", "fixed", "quantile", NULL};
static const char *const mixes[] = {"none", "bucketing", "nearest", NULL};

#define AT(member) .offset = offsetof(struct covey_chain, member)

static const struct covey_chain_parameter parameters[] = {
    {.key = "hostile",
     .summary = "f: so many updates of a round may be anything at all",
     .whole = true,
     .maximum = COVEY_DEVICES,
     .taken = COVEY_TAKES_HOSTILE | COVEY_TAKES_MIX,
     AT(hostile)},
    {.key = "clip",
     .summary = "shorten long updates: never, to clip_norm, or to a bound that follows the norms' quantile",
     .choices = clips,
     .taken = COVEY_TAKES_CLIP,
     AT(clip)},
    {.key = "clip_norm",
     .summary = "C: the bound of clip, or where clip=quantile begins",
     .minimum = 1e-9,
     .maximum = 1e30,
     .initial = .1,
     .taken = COVEY_TAKES_CLIP,
     AT(clip_norm)},
    {.key = "clip_quantile",
     .summary = "the share of updates that clip=quantile leaves as they are",
     .minimum = .01,
     .maximum = .99,
     .initial = .5,
     .taken = COVEY_TAKES_CLIP,
     AT(clip_quantile)},
    {.key = "clip_rate",
     .summary = "how fast clip=quantile follows",
     .minimum = 1e-6,
     .maximum = 10,
     .initial = .2,
     .taken = COVEY_TAKES_CLIP,
     AT(clip_rate)},
    {.key = "mix",
     .summary = "before the rule: means of random buckets, or of each update's n - f nearest",
     .choices = mixes,
     .taken = COVEY_TAKES_MIX,
     AT(mix)},
    {.key = "bucket",
     .summary = "s: updates in a bucket of mix=bucketing",
     .whole = true,
     .minimum = 1,
     .maximum = 1000,
     .initial = 2,
     .taken = COVEY_TAKES_MIX,
     AT(bucket)},
    {.key = "keep",
     .summary = "m: updates that multi-krum averages; 0: n - f",
     .whole = true,
     .maximum = COVEY_DEVICES,
     .taken = COVEY_TAKES_KEEP,
     AT(keep)},
    {.key = "iterations",
     .summary = "steps of geometric-median and centred-clipping",
     .whole = true,
     .minimum = 1,
     .maximum = 1000,
     .initial = 10,
     .taken = COVEY_TAKES_ITERATIONS,
     AT(iterations)},
    {.key = "smoothing",
     .summary = "nu of geometric-median: no distance counts as smaller",
     .minimum = 1e-12,
     .maximum = 1e12,
     .initial = 1e-6,
     .taken = COVEY_TAKES_SMOOTHING,
     AT(smoothing)},
    {.key = "radius",
     .summary = "tau of centred-clipping; 0: the median distance to the centre",
     .maximum = 1e30,
     .taken = COVEY_TAKES_RADIUS,
     AT(radius)},
};
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

const struct covey_chain_parameter *covey_chain_parameter_at(size_t index)
{
    return index < PARAMETERS ? &parameters[index] : NULL;
}

static bool is_real(const struct covey_chain_parameter *parameter)
{
    return parameter->choices == NULL && !parameter->whole;
}

static double get(const struct covey_chain *chain, const struct covey_chain_parameter *parameter)
{
    uint32_t whole;
    double real;
    const uint8_t *place = (const uint8_t *)chain + parameter->offset;
    if (is_real(parameter)) {
        memcpy(&real, place, sizeof real);
        return real;
    }
    memcpy(&whole, place, sizeof whole);
    return whole;
}

static void set(struct covey_chain *chain, const struct covey_chain_parameter *parameter, double value)
{
    const uint32_t whole = is_real(parameter) ? 0 : (uint32_t)value;
    uint8_t *place = (uint8_t *)chain + parameter->offset;
    if (is_real(parameter))
        memcpy(place, &value, sizeof value);
    else
        memcpy(place, &whole, sizeof whole);
}

/* ---- from words ---- */

static enum covey_status wrong_choice(const struct covey_chain_parameter *parameter, const char *word,
                                      struct covey_error *err)
{
    char list[128] = "";
    for (size_t i = 0, used = 0; parameter->choices[i] != NULL && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                 parameter->choices[i]);
    return covey_fail(err, COVEY_INVALID, "strategy: '%s' cannot be '%.40s': possible are %s", parameter->key,
                      word, list);
}

static enum covey_status read_value(const struct covey_chain_parameter *parameter, const char *word,
                                    double *out, struct covey_error *err)
{
    if (parameter->choices != NULL) {
        for (size_t i = 0; parameter->choices[i] != NULL; i++) {
            if (strcmp(word, parameter->choices[i]) == 0) {
                *out = (double)i;
                return COVEY_OK;
            }
        }
        return wrong_choice(parameter, word, err);
    }
    char *end = NULL;
    const double value = strtod(word, &end);
    if (word[strspn(word, "+-.0123456789eE")] != '\0' || end == word || *end != '\0' || !isfinite(value) ||
        value < parameter->minimum || value > parameter->maximum ||
        (parameter->whole && value > floor(value)))
        return covey_fail(err, COVEY_INVALID,
                          "strategy: '%s' is '%.40s', must be a %snumber from %.15g to %.15g", parameter->key,
                          word, parameter->whole ? "whole " : "", parameter->minimum, parameter->maximum);
    *out = value;
    return COVEY_OK;
}

static enum covey_status unknown_rule(const char *word, struct covey_error *err)
{
    char list[256] = "";
    for (size_t i = 0, used = 0; covey_strategy_at(i) != NULL && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                 covey_strategy_at(i)->name);
    return covey_fail(err, COVEY_INVALID, "there is no strategy '%.60s'; there are %s", word, list);
}

/* Of which rules a parameter is, for the message. */
static enum covey_status not_taken(const struct covey_strategy *strategy,
                                   const struct covey_chain_parameter *parameter, struct covey_error *err)
{
    char list[256] = "";
    for (size_t i = 0, used = 0; covey_strategy_at(i) != NULL && used < sizeof list; i++)
        if ((covey_strategy_at(i)->takes & parameter->taken) != 0)
            used += (size_t)snprintf(list + used, sizeof list - used, " %s", covey_strategy_at(i)->name);
    return covey_fail(
        err, COVEY_INVALID, "strategy: '%s' takes no '%s'%s; that is for%s", strategy->name, parameter->key,
        (parameter->taken & COVEY_TAKES_MIX) != 0 ? ": it never sees single updates together" : "", list);
}

static enum covey_status read_word(const char *word, size_t index, struct covey_chain *chain, uint32_t *given,
                                   struct covey_error *err)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL || strncmp(word, "rule=", 5) == 0) {
        const char *name = equals == NULL ? word : equals + 1;
        if (chain->strategy != NULL)
            return covey_fail(err, COVEY_INVALID, "strategy: '%.60s' after the rule must be key=value", word);
        (void)index;
        chain->strategy = covey_strategy_find(name);
        return chain->strategy != NULL ? COVEY_OK : unknown_rule(name, err);
    }
    const size_t key_bytes = (size_t)(equals - word);
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (strlen(parameters[i].key) != key_bytes || strncmp(word, parameters[i].key, key_bytes) != 0)
            continue;
        double value = 0;
        COVEY_TRY(read_value(&parameters[i], equals + 1, &value, err));
        if ((*given & 1u << i) != 0)
            return covey_fail(err, COVEY_INVALID, "strategy: '%s' is there twice", parameters[i].key);
        set(chain, &parameters[i], value);
        *given |= 1u << i;
        return COVEY_OK;
    }
    char list[256] = "";
    for (size_t i = 0, used = 0; i < PARAMETERS && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, " %s", parameters[i].key);
    return covey_fail(err, COVEY_INVALID, "strategy: unknown key '%.*s'; there are%s", (int)key_bytes, word,
                      list);
}

/* What is given must be looked at by somebody. */
static enum covey_status check_given(const struct covey_chain *chain, uint32_t given, struct covey_error *err)
{
    static const struct {
        const char *key;
        size_t switch_offset;
        uint32_t wanted; /* the least value of the switch */
        const char *hint;
    } depends[] = {
        {"clip_norm", offsetof(struct covey_chain, clip), COVEY_CLIP_FIXED, "clip=fixed or clip=quantile"},
        {"clip_quantile", offsetof(struct covey_chain, clip), COVEY_CLIP_QUANTILE, "clip=quantile"},
        {"clip_rate", offsetof(struct covey_chain, clip), COVEY_CLIP_QUANTILE, "clip=quantile"},
    };
    for (size_t i = 0; i < PARAMETERS; i++) {
        if ((given & 1u << i) == 0)
            continue;
        if ((chain->strategy->takes & parameters[i].taken) == 0)
            return not_taken(chain->strategy, &parameters[i], err);
        for (size_t d = 0; d < sizeof depends / sizeof depends[0]; d++) {
            uint32_t value;
            memcpy(&value, (const uint8_t *)chain + depends[d].switch_offset, sizeof value);
            if (strcmp(depends[d].key, parameters[i].key) == 0 && value < depends[d].wanted)
                return covey_fail(err, COVEY_INVALID, "strategy: '%s' is only looked at with %s",
                                  depends[d].key, depends[d].hint);
        }
        if (strcmp(parameters[i].key, "bucket") == 0 && chain->mix != COVEY_MIX_BUCKETING)
            return covey_fail(err, COVEY_INVALID, "strategy: 'bucket' is only looked at with mix=bucketing");
    }
    return COVEY_OK;
}

enum covey_status covey_chain_parse(const char *text, struct covey_chain *out, struct covey_error *err)
{
    char words[COVEY_STRATEGY_TEXT_BYTES];
    struct covey_chain chain = {0};
    uint32_t given = 0;
    char *rest = NULL;
    if ((size_t)snprintf(words, sizeof words, "%s", text) >= sizeof words)
        return covey_fail(err, COVEY_LIMIT, "a strategy of more than %d characters: %.40s...",
                          COVEY_STRATEGY_TEXT_BYTES - 1, text);
    for (size_t i = 0; i < PARAMETERS; i++)
        set(&chain, &parameters[i], parameters[i].initial);
    size_t index = 0;
    for (const char *word = strtok_r(words, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest))
        COVEY_TRY(read_word(word, index++, &chain, &given, err));
    if (chain.strategy == NULL)
        return unknown_rule(text, err);
    if (chain.strategy->always_clips && chain.clip == COVEY_CLIP_NONE)
        chain.clip = COVEY_CLIP_FIXED;
    COVEY_TRY(check_given(&chain, given, err));
    *out = chain;
    return COVEY_OK;
}

void covey_chain_write(const struct covey_chain *chain, char *out)
{
    size_t used = (size_t)snprintf(out, COVEY_STRATEGY_TEXT_BYTES, "%s", chain->strategy->name);
    for (size_t i = 0; i < PARAMETERS && used < COVEY_STRATEGY_TEXT_BYTES; i++) {
        const struct covey_chain_parameter *parameter = &parameters[i];
        const double value = get(chain, parameter);
        char *at = out + used;
        const size_t left = COVEY_STRATEGY_TEXT_BYTES - used;
        if (!(value < parameter->initial) && !(value > parameter->initial))
            continue;
        if (parameter->choices != NULL)
            used += (size_t)snprintf(at, left, " %s=%s", parameter->key, parameter->choices[(size_t)value]);
        else
            for (int digits = 6, size = 0; digits <= 17; digits++) { /* the fewest that read back the same */
                size = snprintf(at, left, " %s=%.*g", parameter->key, digits, value);
                const double back = strtod(at + strlen(parameter->key) + 2, NULL);
                if (digits == 17 || (!(back < value) && !(back > value))) {
                    used += (size_t)size;
                    break;
                }
            }
    }
}

/* ---- does it hold together? ---- */

uint64_t covey_chain_updates_min(const struct covey_chain *chain)
{
    const uint64_t rule = chain->strategy->updates_min == NULL ? 1 : chain->strategy->updates_min(chain);
    if (chain->mix == COVEY_MIX_BUCKETING) /* so many buckets */
        return (rule - 1) * chain->bucket + 1;
    const uint64_t nearest = chain->mix == COVEY_MIX_NEAREST ? 2 * (uint64_t)chain->hostile + 1 : 1;
    return rule > nearest ? rule : nearest;
}

enum covey_status covey_chain_check(const struct covey_chain *chain,
                                    const struct covey_chain_demands *demands, struct covey_error *err)
{
    const uint64_t least = covey_chain_updates_min(chain);
    if (demands->sums_only && chain->strategy->needs == COVEY_NEEDS_INDIVIDUAL)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "the strategy '%s' needs every update by itself, and only sums are shown here",
                          chain->strategy->name);
    if (demands->partial_sums && chain->strategy->needs == COVEY_NEEDS_INDIVIDUAL)
        return covey_fail(
            err, COVEY_UNSUPPORTED,
            "the strategy '%s' needs every update by itself, and a gateway sends only their sum",
            chain->strategy->name);
    if (chain->strategy->needs_reference && !demands->has_reference)
        return covey_fail(
            err, COVEY_INVALID,
            "the strategy '%s' weighs updates by one that the server makes from data of its own: "
            "name it (root_data)",
            chain->strategy->name);
    if (!chain->strategy->needs_reference && demands->has_reference)
        return covey_fail(err, COVEY_INVALID,
                          "the strategy '%s' looks at no data of the server's: leave root_data out, or use "
                          "fltrust",
                          chain->strategy->name);
    if (demands->sums_only && chain->clip != COVEY_CLIP_NONE)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "clip needs the norm of every update, and only sums are shown here");
    if (demands->stale && chain->strategy->needs == COVEY_NEEDS_INDIVIDUAL)
        return covey_fail(
            err, COVEY_UNSUPPORTED,
            "the strategy '%s' compares updates, and with round.mode asynchronous or round.late "
            "use they start from different models: honest ones would differ as hostile ones do",
            chain->strategy->name);
    if (demands->updates_min != 0 && demands->updates_min < least)
        return covey_fail(
            err, COVEY_INVALID,
            "the strategy '%s' with hostile=%u needs %llu updates in every round, and a round may "
            "close with %llu: raise minimum_updates, or lower hostile",
            chain->strategy->name, chain->hostile, (unsigned long long)least,
            (unsigned long long)demands->updates_min);
    if (chain->strategy->needs == COVEY_NEEDS_INDIVIDUAL && demands->cohort > COVEY_COMPARED_UPDATES)
        return covey_fail(err, COVEY_LIMIT,
                          "the strategy '%s' compares up to %u updates, and %llu devices are chosen",
                          chain->strategy->name, COVEY_COMPARED_UPDATES, (unsigned long long)demands->cohort);
    if (demands->cohort != 0 && demands->cohort < least)
        return covey_fail(
            err, COVEY_INVALID,
            "the strategy '%s' with hostile=%u needs %llu updates in every round, and %llu devices "
            "are chosen: choose more, or lower hostile",
            chain->strategy->name, chain->hostile, (unsigned long long)least,
            (unsigned long long)demands->cohort);
    return COVEY_OK;
}
