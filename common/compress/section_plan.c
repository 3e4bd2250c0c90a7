/* Which tensors of a vector are coded together. Two that lie side by side stay apart if that saves more than
 * the parameters of one more quantiser take; each that is left is then looked at raw and rotated. */
#include <string.h>

#include "rate_share.h"
#include "sections.h"

#define VALUES_MIN 512  /* of a section: smaller tensors go with the next one */
#define HEAD_BITS 80    /* of one more section, besides its frequencies */
#define ROWS_MOST 32.0  /* with a frequency of 8 bits each */
#define SYMBOLS 0.985   /* of the bits, about, are left for symbols */
#define LOOKED_AT 65536 /* values of a section at the least, where not all are */

/* A run of tensors, while it is not clear what goes together. */
struct candidate {
    struct covey_piece piece;
    double cost; /* in bits, of all its values */
    double bits; /* a value */
    double gain; /* bits that keeping it apart from the one before saves */
};

struct plan {
    struct candidate candidates[COVEY_PLAN_SECTIONS];
    size_t count;
    struct covey_spread *spreads; /* (count) */
    double step;
};

size_t covey_plan_sections(size_t count)
{
    const size_t most = count / VALUES_MIN + 1;
    return most < COVEY_PLAN_SECTIONS ? most : COVEY_PLAN_SECTIONS;
}

size_t covey_plan_bytes(size_t count)
{
    return covey_plan_sections(count) * sizeof(struct covey_spread);
}

/* ---- tensors ---- */

static size_t size_of(const struct covey_piece *piece)
{
    return piece->last - piece->first;
}

static void remove_at(struct plan *plan, size_t index)
{
    plan->count--;
    memmove(&plan->candidates[index], &plan->candidates[index + 1],
            (plan->count - index) * sizeof plan->candidates[0]);
}

/* Puts the two neighbours together that have the fewest values. */
static void join_smallest(struct plan *plan)
{
    size_t best = 1, least = SIZE_MAX;
    for (size_t i = 1; i < plan->count; i++) {
        const size_t values = plan->candidates[i].piece.last - plan->candidates[i - 1].piece.first;
        if (values < least) {
            least = values;
            best = i;
        }
    }
    plan->candidates[best - 1].piece.last = plan->candidates[best].piece.last;
    remove_at(plan, best);
}

/* Pieces of whole units, about where tensors end. */
static void cut(struct plan *plan, const struct covey_encode_options *options, size_t count)
{
    const size_t most = covey_plan_sections(count);
    size_t first = 0;
    for (size_t i = 0; i < options->tensor_count; i++) {
        const size_t end =
            (options->ends[i] + COVEY_SECTION_UNIT / 2) / COVEY_SECTION_UNIT * COVEY_SECTION_UNIT;
        const size_t last = count - end < VALUES_MIN || end > count ? count : end;
        if (last - first < VALUES_MIN)
            continue;
        if (plan->count == most)
            join_smallest(plan);
        plan->candidates[plan->count++].piece = (struct covey_piece){first, last, false};
        first = last;
    }
    if (plan->count == 0)
        plan->candidates[plan->count++].piece = (struct covey_piece){0, count, false};
    plan->candidates[plan->count - 1].piece.last = count;
}

/* ---- what goes together ---- */

static void measure(struct plan *plan, const float *x, float largest)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct covey_piece *piece = &plan->candidates[i].piece;
        const size_t every = size_of(piece) / LOOKED_AT;
        covey_spread_measure(&plan->spreads[i], x + piece->first, size_of(piece), largest,
                             every < 1   ? 1
                             : every > 8 ? 8
                                         : every);
    }
}

static double cost_of(const struct plan *plan, const struct covey_spread *spread, double values, double *bits)
{
    return values * covey_rate_cost(spread, plan->step, bits);
}

/* What one more set of parameters takes: some bytes, and one for each frequency. */
static double head_bits(double bits)
{
    double rows = 3;
    for (; bits >= 0.5 && rows < ROWS_MOST; bits -= 0.5)
        rows *= 1.4;
    return HEAD_BITS + 8 * (rows < ROWS_MOST ? rows : ROWS_MOST);
}

/* The gain of candidate i, which is not the first. */
static void weigh(struct plan *plan, size_t i)
{
    struct candidate *before = &plan->candidates[i - 1], *here = &plan->candidates[i];
    struct covey_spread both = plan->spreads[i - 1];
    double bits;
    covey_spread_add(&both, &plan->spreads[i]);
    const double values = (double)(size_of(&before->piece) + size_of(&here->piece));
    const double together = cost_of(plan, &both, values, &bits);
    here->gain = together - before->cost - here->cost -
                 head_bits(before->bits < here->bits ? before->bits : here->bits);
}

static void join(struct plan *plan, size_t i)
{
    struct candidate *before = &plan->candidates[i - 1];
    covey_spread_add(&plan->spreads[i - 1], &plan->spreads[i]);
    memmove(&plan->spreads[i], &plan->spreads[i + 1], (plan->count - i - 1) * sizeof plan->spreads[0]);
    before->piece.last = plan->candidates[i].piece.last;
    remove_at(plan, i);
    before->cost = cost_of(plan, &plan->spreads[i - 1], (double)size_of(&before->piece), &before->bits);
    if (i > 1)
        weigh(plan, i - 1);
    if (i < plan->count)
        weigh(plan, i);
}

static void join_alike(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct candidate *here = &plan->candidates[i];
        here->cost = cost_of(plan, &plan->spreads[i], (double)size_of(&here->piece), &here->bits);
        if (i > 0)
            weigh(plan, i);
    }
    while (plan->count > 1) {
        size_t worst = 1;
        for (size_t i = 2; i < plan->count; i++)
            if (plan->candidates[i].gain < plan->candidates[worst].gain)
                worst = i;
        if (plan->candidates[worst].gain > 0)
            return;
        join(plan, worst);
    }
}

/* Each candidate's bits at the rate, and the step that goes with it. */
static void share(struct plan *plan, double total)
{
    struct covey_rate_part parts[COVEY_PLAN_SECTIONS];
    for (size_t i = 0; i < plan->count; i++)
        parts[i] = (struct covey_rate_part){&plan->spreads[i], size_of(&plan->candidates[i].piece), 0};
    plan->step = covey_rate_share(parts, plan->count, total);
    for (size_t i = 0; i < plan->count; i++)
        plan->candidates[i].bits = parts[i].bits;
}

size_t covey_sections_plan(const struct covey_encode_run *run, const float *x, size_t count, float *sample,
                           void *scratch, struct covey_piece *pieces)
{
    struct plan plan = {.spreads = scratch};
    const double total = SYMBOLS * (double)run->codec->rate * (double)count;
    const uint32_t most = run->kernels->largest(x, count);
    float largest;
    memcpy(&largest, &most, sizeof largest);
    cut(&plan, run->options, count);
    if (plan.count > 1 && largest > 0x1p-70f) {
        measure(&plan, x, largest);
        share(&plan, total);
        join_alike(&plan);
    } else {
        plan.count = 1;
    }
    if (plan.count == 1)
        return 1;
    share(&plan, total);
    for (size_t i = 0; i < plan.count; i++) {
        pieces[i] = plan.candidates[i].piece;
        /* Values of one size are worth no bits raw: what they would be worth rotated is not known yet. */
        const double least = (double)run->codec->rate, bits = plan.candidates[i].bits;
        pieces[i].rotated = covey_transform_pays(run, x, &pieces[i], bits > least ? bits : least, sample);
    }
    return plan.count;
}
