/* The clip of a chain, and what a strategy keeps with the model: the bound of clip=quantile, the centre of
 * centred clipping. Private to this folder. */
#ifndef COVEY_CLIP_H
#define COVEY_CLIP_H

#include "covey/strategy.h"

struct covey_clip {
    enum covey_clip_kind kind;
    double bound, quantile, rate;
    uint64_t below; /* updates seen that were not longer than bound */
};

/* From the chain, and from what was kept. centre: (count) f32 filled in, zero where none was kept; or NULL.
 * CORRUPT, UNSUPPORTED. */
COVEY_MUST_CHECK enum covey_status covey_clip_begin(struct covey_clip *clip, const struct covey_chain *chain,
                                                    struct covey_bytes kept, float *centre, size_t count,
                                                    struct covey_error *err);
/* What an update of this norm is multiplied by. */
double covey_clip_scale(const struct covey_clip *clip, double norm);
/* It is in the mean. */
void covey_clip_count(struct covey_clip *clip, double norm);

/* What the next round begins with, from that many updates; centre: (count) or NULL. Leaves *next alone when
 * there is nothing to keep. */
COVEY_MUST_CHECK enum covey_status covey_clip_keep(const struct covey_clip *clip, uint64_t updates,
                                                   const float *centre, size_t count,
                                                   struct covey_round_state *next, struct covey_error *err);

#endif
