/* What a link learns of its network. Integer arithmetic in microseconds: the same on every machine. */
#include "covey/blockwise.h"

#define SLACK_FLOOR_US 20000u /* clock grain and scheduling of both ends */
#define LEAST_AGING 8192u /* samples in which the smallest round trip follows a route that became longer */

void covey_block_path_init(struct covey_block_path *path, uint32_t start_rto_us)
{
    *path = (struct covey_block_path){.start_rto_us = start_rto_us > 0 ? start_rto_us : COVEY_RTO_START_US};
}

/* RFC 6298 section 2, alpha 1/8, beta 1/4. */
void covey_block_path_sample(struct covey_block_path *path, uint32_t round_trip_us)
{
    uint32_t sample = round_trip_us > 0 ? round_trip_us : 1;
    if (path->srtt_us == 0) {
        path->srtt_us = sample;
        path->rttvar_us = sample / 2;
        path->least_rtt_us = sample;
        return;
    }
    uint32_t off = sample > path->srtt_us ? sample - path->srtt_us : path->srtt_us - sample;
    path->rttvar_us = (uint32_t)((3ull * path->rttvar_us + off) / 4);
    path->srtt_us = (uint32_t)((7ull * path->srtt_us + sample) / 8);
    if (path->srtt_us == 0)
        path->srtt_us = 1;
    if (sample < path->least_rtt_us)
        path->least_rtt_us = sample;
    else if (path->srtt_us > path->least_rtt_us)
        path->least_rtt_us += (path->srtt_us - path->least_rtt_us) / LEAST_AGING;
}

uint32_t covey_block_path_rto_us(const struct covey_block_path *path)
{
    uint64_t rto = path->start_rto_us;
    if (path->srtt_us > 0) {
        uint64_t slack = 4ull * path->rttvar_us;
        rto = path->srtt_us + (slack > SLACK_FLOOR_US ? slack : SLACK_FLOOR_US);
    }
    if (rto < COVEY_RTO_FLOOR_US)
        rto = COVEY_RTO_FLOOR_US;
    return rto > COVEY_RTO_CEILING_US ? COVEY_RTO_CEILING_US : (uint32_t)rto;
}
