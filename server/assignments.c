/* Assignments that outlive their round: asynchronous rounds, and synchronous ones with round.late: use. When
 * a round is over, what it still waits for moves into the next one's cohort with its id, its base and its
 * deadline, and so on until it is delivered, its deadline is over, or it is staleness_max rounds old. An
 * upload that comes while no round is open waits for the next. */
#include "federation.h"

#include <stdlib.h>
#include <string.h>

bool covey_federation_lasts(const struct covey_federation *federation)
{
    return covey_round_rules_last(&federation->options.rules);
}

bool covey_federation_is_asynchronous(const struct covey_federation *federation)
{
    return federation->options.rules.mode == COVEY_ROUND_ASYNCHRONOUS;
}

struct covey_base *covey_federation_base(struct covey_federation *federation, uint32_t round)
{
    return &federation->bases[round % COVEY_BASES];
}

const struct covey_base *covey_slot_base(const struct covey_federation *federation,
                                         const struct covey_slot *slot)
{
    return &federation->bases[slot->round % COVEY_BASES];
}

uint32_t covey_slot_staleness(const struct covey_federation *federation, const struct covey_slot *slot)
{
    const uint64_t base = covey_slot_base(federation, slot)->sequence, now = federation->opened.base_sequence;
    return now > base ? (uint32_t)(now - base) : 0;
}

bool covey_slot_lasts(const struct covey_federation *federation, const struct covey_slot *slot,
                      uint32_t round, uint64_t now_ms)
{
    const bool awaited =
        (slot->state == COVEY_SLOT_WAITING && !slot->refused) || slot->state == COVEY_SLOT_PARKED;
    return awaited && covey_federation_lasts(federation) &&
           round - slot->round <= federation->options.rules.staleness_max &&
           now_ms < covey_slot_base(federation, slot)->deadline_ms;
}

bool covey_federation_is_busy(const struct covey_federation *federation, uint32_t place, uint64_t now_ms)
{
    const struct covey_member *member = &federation->members[place];
    return member->slot != COVEY_NO_SLOT &&
           covey_slot_lasts(federation, &federation->cohort.slots[member->slot], federation->cohort.round + 1,
                            now_ms);
}

uint32_t covey_federation_busy(const struct covey_federation *federation, uint64_t now_ms)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < federation->cohort.count; i++)
        count +=
            covey_slot_lasts(federation, &federation->cohort.slots[i], federation->cohort.round + 1, now_ms);
    return count;
}

enum covey_status covey_federation_carry(const struct covey_federation *federation, uint32_t round,
                                         uint64_t now_ms, struct covey_slot **slots, uint32_t *count)
{
    const uint32_t most = *count + covey_federation_busy(federation, now_ms);
    if (most == *count)
        return COVEY_OK;
    struct covey_slot *all = reallocarray(*slots, most, sizeof *all);
    if (all == NULL)
        return COVEY_NO_MEMORY;
    *slots = all;
    for (uint32_t i = 0; i < federation->cohort.count && *count < most; i++)
        if (covey_slot_lasts(federation, &federation->cohort.slots[i], round, now_ms)) {
            all[*count] = federation->cohort.slots[i];
            all[*count].told_done = all[*count].told_lost = false;
            (*count)++;
        }
    return COVEY_OK;
}

void covey_federation_recheck(const struct covey_federation *federation, struct covey_slot *slots,
                              uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < count; i++) {
        const uint32_t before = federation->members[slots[i].device].slot;
        if (before == COVEY_NO_SLOT)
            continue;
        slots[i].state = federation->cohort.slots[before].state;
        slots[i].refused = federation->cohort.slots[before].refused;
    }
}

/* ------------------------------------------------------------------ uploads between two rounds */

void covey_federation_park(struct covey_federation *federation, struct covey_parked *parked)
{
    parked->next = federation->parked;
    federation->parked = parked;
}

void covey_federation_unpark(struct covey_federation *federation)
{
    pthread_mutex_lock(&federation->mutex);
    struct covey_parked *parked = federation->parked;
    federation->parked = NULL;
    pthread_mutex_unlock(&federation->mutex);
    while (parked != NULL) {
        struct covey_parked *next = parked->next;
        parked->go_on(parked);
        parked = next;
    }
}
