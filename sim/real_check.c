/* What of a scenario cannot be played with real programs on one host. */
#include "real_run.h"

#include <math.h>

/* As the server's machine chooses when everybody is there (server_round.c). */
static uint32_t cohort(const struct covey_round_rules *rules, uint32_t devices)
{
    const double share = floor((double)devices * rules->fraction + 0.5);
    const uint32_t base = rules->count != 0 ? rules->count : share < 1 ? 1 : (uint32_t)share;
    return base < devices ? base : devices;
}

/* Which devices are there, and which are quick enough, must not decide what the model becomes. */
static enum covey_status check_rules(const struct covey_round_rules *rules, uint32_t devices,
                                     struct covey_error *err)
{
    const uint32_t chosen = cohort(rules, devices);
    if (covey_round_rules_last(rules))
        return covey_fail(err, COVEY_INVALID,
                          "who is quickest would decide from which model an update starts: "
                          "--set round.mode=synchronous --set round.late=refuse");
    if (rules->minimum_devices != devices)
        return covey_fail(err, COVEY_INVALID,
                          "a round may open before all devices are there, and then the draw is another: "
                          "--set selection.minimum_devices=%u",
                          devices);
    if (rules->over_selection > 0)
        return covey_fail(
            err, COVEY_INVALID,
            "who is quickest would decide which updates count: --set selection.over_selection=0");
    if (rules->goal != 0 && rules->goal < chosen)
        return covey_fail(err, COVEY_INVALID,
                          "who is quickest would decide which updates count: --set round.goal=0");
    if (rules->minimum_updates < chosen)
        return covey_fail(err, COVEY_INVALID,
                          "a round could close without an update that the other run has: "
                          "--set round.minimum_updates=%u",
                          chosen);
    return COVEY_OK;
}

enum covey_status real_check(const struct covey_scenario *scenario, uint32_t devices, struct covey_error *err)
{
    const uint32_t there = covey_scenario_devices(scenario);
    if (devices > REAL_DEVICES)
        return covey_fail(err, COVEY_LIMIT, "--real starts at most %d devices on one host", REAL_DEVICES);
    if (there != 0 && there != devices)
        return covey_fail(err, COVEY_INVALID,
                          "the scenario has %u devices, --real would start %u: --real %u, or "
                          "--set partition.devices=%u",
                          there, devices, there, devices);
    if (scenario->attack.kind != COVEY_ATTACK_NONE && scenario->attack.share > 0)
        return covey_fail(err, COVEY_INVALID, "covey-client has no attackers in it: --set attack.kind=none");
    if (scenario->data.root_data > 0)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "root data is not written for the real server yet: another strategy than fltrust");
    if (scenario->epochs_from > 0)
        return covey_fail(err, COVEY_INVALID, "real devices get one recipe: --set epochs_from=0");
    if (scenario->churn.drop_rate > 0 || scenario->churn.leave_per_day > 0)
        return covey_fail(err, COVEY_INVALID,
                          "real devices do not vanish by the seed: --set churn.drop_rate=0 "
                          "--set churn.leave_per_day=0");
    if (scenario->availability.kind != COVEY_AVAILABLE_ALWAYS)
        return covey_fail(err, COVEY_INVALID,
                          "real devices do not wait for a virtual day: --set availability.kind=always");
    if (scenario->evaluate_every > 1 && (scenario->rules.has_target || scenario->rules.stop_patience > 0))
        return covey_fail(err, COVEY_INVALID,
                          "the server judges every round, and stops by it: --set evaluate_every=1");
    return check_rules(&scenario->rules, devices, err);
}
