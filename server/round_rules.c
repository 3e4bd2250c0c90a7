/* The rules of a federation's rounds: which go together, and what they say of a cohort. */
#include "covey/server_round.h"

#include <math.h>

bool covey_round_rules_last(const struct covey_round_rules *rules)
{
    return rules->mode == COVEY_ROUND_ASYNCHRONOUS || rules->late_use;
}

uint32_t covey_round_rules_device_ms(const struct covey_round_rules *rules)
{
    if (rules->mode == COVEY_ROUND_ASYNCHRONOUS || !rules->late_use)
        return rules->deadline_ms;
    const uint64_t all_ms = (uint64_t)rules->deadline_ms * (1 + (uint64_t)rules->staleness_max);
    return all_ms < UINT32_MAX ? (uint32_t)all_ms : UINT32_MAX;
}

uint32_t covey_round_rules_cohort(const struct covey_round_rules *rules)
{
    if (rules->mode == COVEY_ROUND_ASYNCHRONOUS)
        return rules->buffer;
    return rules->goal != 0 ? rules->goal : rules->count;
}

static enum covey_status check_asynchronous(const struct covey_round_rules *rules, struct covey_error *err)
{
    if (rules->buffer == 0 || rules->buffer > COVEY_DEVICES)
        return covey_fail(err, COVEY_INVALID, "round.buffer is %u: it must be 1 to %u updates", rules->buffer,
                          COVEY_DEVICES);
    if (rules->concurrency < rules->buffer || rules->concurrency > COVEY_DEVICES)
        return covey_fail(err, COVEY_INVALID,
                          "round.concurrency is %u: it must be at least the buffer's %u, at most %u",
                          rules->concurrency, rules->buffer, COVEY_DEVICES);
    if (rules->buffer < rules->least_updates)
        return covey_fail(err, COVEY_INVALID, "round.buffer is %u: the strategy needs %u updates",
                          rules->buffer, rules->least_updates);
    if (rules->goal != 0 || rules->minimum_updates != 0)
        return covey_fail(err, COVEY_INVALID,
                          "round.goal and round.minimum_updates are of synchronous rounds: an asynchronous "
                          "one closes with round.buffer, and never throws an update away");
    if (rules->count != 0 || rules->fraction < 1 || rules->over_selection > 0)
        return covey_fail(err, COVEY_INVALID,
                          "selection.count, fraction and over_selection are of synchronous rounds: "
                          "round.concurrency says how many devices have work");
    if (rules->late_use)
        return covey_fail(err, COVEY_INVALID,
                          "round.late is of synchronous rounds: asynchronous ones use what is late anyway");
    return COVEY_OK;
}

static enum covey_status check_mode(const struct covey_round_rules *rules, struct covey_error *err)
{
    if (rules->staleness_max > COVEY_STALENESS_MAX)
        return covey_fail(err, COVEY_INVALID, "round.staleness_max is %u: at most %d rounds",
                          rules->staleness_max, COVEY_STALENESS_MAX);
    if (covey_round_rules_last(rules) && rules->staleness_max == 0)
        return covey_fail(err, COVEY_INVALID,
                          "round.staleness_max must be at least 1: otherwise nothing late is used");
    if (rules->mode == COVEY_ROUND_ASYNCHRONOUS)
        return check_asynchronous(rules, err);
    if (rules->buffer != 0 || rules->concurrency != 0)
        return covey_fail(err, COVEY_INVALID,
                          "round.buffer and round.concurrency need round.mode: asynchronous");
    if (rules->staleness_max != 0 && !rules->late_use)
        return covey_fail(err, COVEY_INVALID,
                          "round.staleness_max needs round.late: use, or round.mode: asynchronous");
    return COVEY_OK;
}

enum covey_status covey_round_rules_check(const struct covey_round_rules *rules, struct covey_error *err)
{
    COVEY_TRY(check_mode(rules, err));
    if (rules->minimum_devices == 0 || rules->minimum_devices > COVEY_DEVICES)
        return covey_fail(err, COVEY_INVALID, "minimum_devices is %u: it must be 1 to %u",
                          rules->minimum_devices, COVEY_DEVICES);
    if (rules->count > COVEY_DEVICES)
        return covey_fail(err, COVEY_INVALID, "count is %u: at most %u devices", rules->count, COVEY_DEVICES);
    if (rules->count == 0 && !(rules->fraction > 0 && rules->fraction <= 1))
        return covey_fail(err, COVEY_INVALID, "give count, or a fraction above 0 and up to 1");
    if (!(rules->over_selection >= 0 && rules->over_selection <= 10))
        return covey_fail(err, COVEY_INVALID, "over_selection must be 0 to 10 (.2 = a fifth more)");
    COVEY_TRY(covey_selection_check(&rules->selection, err));
    if (rules->deadline_ms == 0)
        return covey_fail(err, COVEY_INVALID, "a round needs a deadline above 0");
    if (rules->goal != 0 && rules->minimum_updates > rules->goal)
        return covey_fail(err, COVEY_INVALID, "minimum_updates %u is above the goal of %u",
                          rules->minimum_updates, rules->goal);
    if (rules->count != 0 && rules->minimum_updates > rules->count)
        return covey_fail(err, COVEY_INVALID, "minimum_updates %u is above the count of %u chosen devices",
                          rules->minimum_updates, rules->count);
    if ((rules->has_target || rules->stop_patience != 0) && !rules->can_judge)
        return covey_fail(
            err, COVEY_INVALID,
            "a target or patience needs validation data: give evaluation.data or remove the rule");
    if (rules->has_target && !isfinite(rules->stop_target))
        return covey_fail(err, COVEY_INVALID, "the target is not a finite number");
    return COVEY_OK;
}
