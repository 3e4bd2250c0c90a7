#include "clip.h"

#include <math.h>
#include <string.h>

#include "covey/little_endian.h"

/* version u32, what there is u32; bound f64; values of the centre u64, f32 each. Little-endian. */
#define KEPT_VERSION 1
#define KEPT_HEAD_BYTES 24
#define HAS_BOUND 1u
#define HAS_CENTRE 2u

static enum covey_status read_kept(struct covey_clip *clip, struct covey_bytes kept, float *centre,
                                   size_t count, struct covey_error *err)
{
    if (kept.size < KEPT_HEAD_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "what the strategy kept has %zu bytes: cut short", kept.size);
    if (covey_little_get(kept.data, 4) != KEPT_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "what the strategy kept is of version %u",
                          (unsigned)covey_little_get(kept.data, 4));
    const uint64_t has = covey_little_get(kept.data + 4, 4), bits = covey_little_get(kept.data + 8, 8),
                   values = covey_little_get(kept.data + 16, 8);
    double bound;
    memcpy(&bound, &bits, sizeof bound);
    if ((kept.size - KEPT_HEAD_BYTES) % 4 != 0 || (kept.size - KEPT_HEAD_BYTES) / 4 != values ||
        ((has & HAS_BOUND) != 0 && !(bound > 0.0 && isfinite(bound))))
        return covey_fail(err, COVEY_CORRUPT, "what the strategy kept is damaged");
    if ((has & HAS_BOUND) != 0 && clip->kind == COVEY_CLIP_QUANTILE)
        clip->bound = bound;
    if ((has & HAS_CENTRE) == 0 || centre == NULL || values != count) /* the configuration was another then */
        return COVEY_OK;
    for (size_t i = 0; i < count; i++) {
        const uint32_t word = (uint32_t)covey_little_get(kept.data + KEPT_HEAD_BYTES + 4 * i, 4);
        memcpy(&centre[i], &word, sizeof word);
    }
    return COVEY_OK;
}

enum covey_status covey_clip_begin(struct covey_clip *clip, const struct covey_chain *chain,
                                   struct covey_bytes kept, float *centre, size_t count,
                                   struct covey_error *err)
{
    *clip = (struct covey_clip){.kind = (enum covey_clip_kind)chain->clip,
                                .bound = chain->clip_norm,
                                .quantile = chain->clip_quantile,
                                .rate = chain->clip_rate};
    if (centre != NULL)
        memset(centre, 0, count * sizeof *centre);
    return kept.size == 0 ? COVEY_OK : read_kept(clip, kept, centre, count, err);
}

double covey_clip_scale(const struct covey_clip *clip, double norm)
{
    return clip->kind == COVEY_CLIP_NONE || norm <= clip->bound ? 1.0 : clip->bound / norm;
}

void covey_clip_count(struct covey_clip *clip, double norm)
{
    clip->below += norm <= clip->bound;
}

/* Andrew et al. 2021, section 2: C <- C exp(-rate (b - quantile)), b the share of updates not above C. */
static double next_bound(const struct covey_clip *clip, uint64_t updates)
{
    const double share = updates > 0 ? (double)clip->below / (double)updates : clip->quantile;
    const double bound = clip->bound * exp(-clip->rate * (share - clip->quantile));
    return bound < 1e-9 ? 1e-9 : bound > 1e30 ? 1e30 : bound;
}

enum covey_status covey_clip_keep(const struct covey_clip *clip, uint64_t updates, const float *centre,
                                  size_t count, struct covey_round_state *next, struct covey_error *err)
{
    const bool has_bound = clip->kind == COVEY_CLIP_QUANTILE;
    const size_t values = centre != NULL ? count : 0;
    uint8_t *out = NULL;
    uint64_t bits;
    if (!has_bound && centre == NULL)
        return COVEY_OK;
    COVEY_TRY(covey_round_state_set(next, COVEY_STATE_STRATEGY, KEPT_HEAD_BYTES + 4 * values, &out, err));
    const double bound = has_bound ? next_bound(clip, updates) : 0.0;
    memcpy(&bits, &bound, sizeof bits);
    covey_little_put(out, KEPT_VERSION, 4);
    covey_little_put(out + 4, (has_bound ? HAS_BOUND : 0) | (centre != NULL ? HAS_CENTRE : 0), 4);
    covey_little_put(out + 8, bits, 8);
    covey_little_put(out + 16, values, 8);
    for (size_t i = 0; i < values; i++) {
        uint32_t word;
        memcpy(&word, &centre[i], sizeof word);
        covey_little_put(out + KEPT_HEAD_BYTES + 4 * i, word, 4);
    }
    return COVEY_OK;
}
