#include "optimiser.h"

#include <math.h>

/* to += decay * w + proximal * (w - anchor) + correction */
static void add_penalties(const struct covey_updating *at, real *to)
{
    const real decay = (real)at->decay, proximal = (real)at->proximal;
    if (decay != REAL_C(0.0))
        for (size_t i = 0; i < at->count; i++)
            to[i] += decay * at->w[i];
    if (at->anchor != NULL)
        for (size_t i = 0; i < at->count; i++)
            to[i] += proximal * (at->w[i] - at->anchor[i]);
    if (at->correction != NULL)
        for (size_t i = 0; i < at->count; i++)
            to[i] += (real)at->correction[i];
}

static void descend(const struct covey_updating *at, const real *direction)
{
    const real rate = (real)at->rate;
    for (size_t i = 0; i < at->count; i++)
        at->w[i] -= rate * direction[i];
}

void REAL(covey_update_sgd)(const struct covey_updating *at)
{
    add_penalties(at, at->g);
    descend(at, at->g);
}

void REAL(covey_accumulate)(const struct covey_updating *at)
{
    const real momentum = (real)at->momentum;
    for (size_t i = 0; i < at->count; i++)
        at->m[i] = momentum * at->m[i] + at->g[i];
}

void REAL(covey_update_velocity)(const struct covey_updating *at)
{
    add_penalties(at, at->m);
    descend(at, at->m);
}

void REAL(covey_update_adam)(const struct covey_updating *at)
{
    add_penalties(at, at->g);
    const real beta1 = (real)at->momentum, beta2 = (real)at->beta2, epsilon = (real)at->epsilon;
    const real rest1 = (real)(1.0 - at->momentum), rest2 = (real)(1.0 - at->beta2);
    const real step_size = (real)(at->rate / (1.0 - pow(at->momentum, at->step)));
    const real root = (real)sqrt(1.0 - pow(at->beta2, at->step));
    for (size_t i = 0; i < at->count; i++) {
        const real g = at->g[i];
        at->m[i] = beta1 * at->m[i] + rest1 * g;
        at->v[i] = beta2 * at->v[i] + rest2 * g * g;
        at->w[i] -= step_size * (at->m[i] / (REAL_MATH(sqrt)(at->v[i]) / root + epsilon));
    }
}
