#include "yardstick.h"

#include <math.h>
#include <stdlib.h>

/* ---- rounds to target ---- */

static struct covey_target_crossing moment(const struct covey_target_watch *watch,
                                           const struct covey_sim_round *round)
{
    return (struct covey_target_crossing){.rounds = round->round,
                                          .virtual_s = round->virtual_s,
                                          .wall_s = round->wall_s,
                                          .joules = watch->joules,
                                          .bytes_up = watch->bytes_up};
}

static double between(double from, double to, double share)
{
    return from + (to - from) * share;
}

/* A first judged round that is over the target already counts as it stands: there is nothing before it to
 * interpolate from. */
static void cross(struct covey_target_watch *watch, const struct covey_target_crossing *now, double metric)
{
    const struct covey_target_crossing *from = &watch->before;
    const double share = watch->begun ? (watch->target - watch->best) / (metric - watch->best) : 1;
    watch->crossing = *now;
    watch->crossing.reached = true;
    if (!watch->begun)
        return;
    watch->crossing.rounds = between(from->rounds, now->rounds, share);
    watch->crossing.virtual_s = between(from->virtual_s, now->virtual_s, share);
    watch->crossing.wall_s = between(from->wall_s, now->wall_s, share);
    watch->crossing.joules = between(from->joules, now->joules, share);
    watch->crossing.bytes_up = between(from->bytes_up, now->bytes_up, share);
}

void covey_target_watch_add(struct covey_target_watch *watch, const struct covey_sim_round *round)
{
    watch->bytes_up += (double)round->bytes_up;
    watch->joules += isfinite(round->joules) ? round->joules : 0;
    if (watch->crossing.reached || !isfinite(round->metric) || isnan(watch->target))
        return;
    const struct covey_target_crossing now = moment(watch, round);
    if (watch->lower_is_better ? round->metric <= watch->target : round->metric >= watch->target)
        cross(watch, &now, round->metric);
    if (!watch->begun || (watch->lower_is_better ? round->metric < watch->best : round->metric > watch->best))
        watch->best = round->metric;
    watch->begun = true;
    watch->before = now;
}

void covey_target_find(const struct covey_sim_round *rounds, uint32_t count, double target,
                       bool lower_is_better, struct covey_target_crossing *out)
{
    struct covey_target_watch watch = {.target = target, .lower_is_better = lower_is_better};
    for (uint32_t i = 0; i < count; i++)
        covey_target_watch_add(&watch, &rounds[i]);
    *out = watch.crossing;
    if (!out->reached)
        out->rounds = out->virtual_s = out->wall_s = out->joules = out->bytes_up = NAN;
}

/* ---- how evenly ---- */

/* G = 1 - sum of w_i (S_(i-1) + S_i) / (n S_n): twice the area over the Lorenz curve's, by trapezia. */
double covey_gini(const double *values, const double *weights, size_t count)
{
    double devices = 0, sum = 0, area = 0;
    for (size_t i = 0; i < count; i++) {
        const double before = sum;
        sum += values[i] * weights[i];
        devices += weights[i];
        area += weights[i] * (before + sum);
    }
    return devices > 0 && sum > 0 ? 1 - area / (devices * sum) : 0;
}

static int by_count(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

double covey_gini_counts(uint32_t *counts, size_t count)
{
    double sum = 0, area = 0;
    if (count == 0)
        return 0;
    qsort(counts, count, sizeof *counts, by_count);
    for (size_t i = 0; i < count; i++) {
        area += 2 * sum + counts[i];
        sum += counts[i];
    }
    return sum > 0 ? 1 - area / ((double)count * sum) : 0;
}

/* ---- of values ---- */

double covey_mean(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return count > 0 ? sum / (double)count : NAN;
}

double covey_deviation(const double *values, size_t count)
{
    if (count < 2)
        return NAN;
    const double mean = covey_mean(values, count);
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares / (double)(count - 1));
}

static bool known(const double *point, size_t dimensions)
{
    for (size_t d = 0; d < dimensions; d++)
        if (isnan(point[d]))
            return false;
    return true;
}

static bool beats(const double *a, const double *b, size_t dimensions)
{
    bool better = false;
    for (size_t d = 0; d < dimensions; d++) {
        if (!(a[d] <= b[d]))
            return false;
        better = better || a[d] < b[d];
    }
    return better;
}

void covey_pareto_front(const double *points, size_t count, size_t dimensions, bool *out)
{
    for (size_t i = 0; i < count; i++) {
        const double *point = points + i * dimensions;
        out[i] = known(point, dimensions);
        for (size_t j = 0; j < count && out[i]; j++)
            out[i] = !beats(points + j * dimensions, point, dimensions);
    }
}
