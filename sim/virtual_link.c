#include "virtual_link.h"

#define WINDOWS 1000 /* of availability that one transfer may be spread over */

uint64_t covey_virtual_link_until(const struct covey_world *world, uint32_t device, uint64_t start_ms,
                                  uint64_t work_ms)
{
    uint64_t now_ms = start_ms;
    for (uint32_t i = 0; i < WINDOWS; i++) {
        uint64_t until_ms = UINT64_MAX;
        const bool here = covey_world_available(world, device, now_ms, &until_ms);
        if (here && (until_ms == UINT64_MAX || until_ms - now_ms >= work_ms))
            return now_ms + work_ms;
        if (until_ms == UINT64_MAX || until_ms <= now_ms)
            break;
        if (here)
            work_ms -= until_ms - now_ms;
        now_ms = until_ms;
    }
    return UINT64_MAX;
}
