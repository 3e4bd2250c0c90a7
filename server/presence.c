/* Who can be asked now: devices that are there, have no work, and whose hours leave time for it. */
#include "federation.h"

#include <stdlib.h>

#define MINUTE_MS 60000ull
#define DAY_MS (COVEY_DAY_MINUTES * MINUTE_MS)

void covey_member_note_hours(struct covey_member *member, const struct covey_asking *asking, uint64_t now_ms)
{
    member->hours = asking->hours;
    member->day_offset_ms = asking->minute_of_day * MINUTE_MS + DAY_MS - now_ms % DAY_MS;
}

/* Its hours go on for as long as its last update took. */
static bool has_time(const struct covey_member *member, uint64_t now_ms)
{
    if (member->hours.count == 0)
        return true;
    const uint32_t minute = (uint32_t)((now_ms + member->day_offset_ms) % DAY_MS / MINUTE_MS);
    const uint32_t left = covey_hours_left(&member->hours, minute);
    return left > 0 && left * MINUTE_MS >= member->record.taken_ms;
}

bool covey_federation_is_available(const struct covey_federation *federation, uint32_t place, uint64_t now_ms)
{
    const struct covey_member *member = &federation->members[place];
    if (!member->joined || covey_federation_is_busy(federation, place, now_ms))
        return false;
    const bool is_there =
        now_ms < member->expected_back_ms ||
        (member->observing && covey_registry_is_present(federation->server->registry, place));
    return is_there && has_time(member, now_ms);
}

uint32_t *covey_federation_available(struct covey_federation *federation, uint64_t now_ms, uint32_t *count)
{
    *count = 0;
    if (federation->member_count == 0)
        return NULL;
    uint32_t *places = malloc(federation->member_capacity * sizeof *places);
    if (places == NULL)
        return NULL;
    for (uint32_t place = 0; place < federation->member_capacity; place++)
        if (covey_federation_is_available(federation, place, now_ms))
            places[(*count)++] = place;
    return places;
}
