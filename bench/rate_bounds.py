"""What theory allows at a rate: Shannon's bounds, and the best uniform quantiser whose codes take their entropy.

Values are independent, of mean 0 and variance 1; rates in bits a value, distortion as NMSE."""

import bisect
import math

STEP, WIDTH, ITERATIONS = 0.16, 64, 200  # of the grid on which the Laplace distribution is computed
SLOPES = (0.3, 0.36, 0.42, 0.47, 0.53, 0.6, 0.7, 0.85, 1.1, 1.6, 2.3)


def normal(rate):
    """Shannon: D = 2^(-2R)."""
    return 2.0 ** (-2 * rate)


def _point(weights, slope):
    """Blahut and Arimoto's iteration (Blahut 1972, theorem 4) on half an axis: all is symmetric.  (bits, distortion)."""
    places = [i * STEP for i in range(WIDTH)]
    near = [[0.5 * math.exp(-slope * (x - y) ** 2) for y in places] for x in places]
    far = [[0.5 * math.exp(-slope * (x + y) ** 2) for y in places] for x in places]
    both = [[a + b for a, b in zip(p, q)] for p, q in zip(near, far)]
    columns = list(zip(*both))
    out = [1.0 / WIDTH] * WIDTH
    for _ in range(ITERATIONS):
        parts = [w / sum(map(float.__mul__, row, out)) for w, row in zip(weights, both)]
        out = [q * sum(map(float.__mul__, column, parts)) for q, column in zip(out, columns)]
    distortion = nats = 0.0
    for x, weight, row_near, row_far, row in zip(places, weights, near, far, both):
        total = sum(map(float.__mul__, row, out))
        error = sum(q * (a * (x - y) ** 2 + b * (x + y) ** 2) for q, y, a, b in zip(out, places, row_near, row_far))
        distortion += weight * error / total
        nats -= weight * math.log(total)
    return max(0.0, (nats - slope * distortion) / math.log(2)), distortion


class Laplace:
    """Shannon's bound of the Laplace distribution: computed below 1.2 bits; above, his lower bound e/pi 2^(-2R), which
    is within .3 % there."""

    def __init__(self):
        weights = [(0.5 if i == 0 else 1) * math.exp(-math.sqrt(2) * i * STEP) for i in range(WIDTH)]
        total = sum(weights)
        weights = [w / total for w in weights]
        variance = sum(w * (i * STEP) ** 2 for i, w in enumerate(weights))
        points = [_point(weights, slope / variance) for slope in SLOPES]
        points = [(0.0, 1.0)] + sorted((bits, distortion / variance) for bits, distortion in points if bits < 1.2)
        points += [(rate, math.e / math.pi * normal(rate)) for rate in (1.2, 2, 20)]
        self.bits = [bits for bits, _ in points]
        self.logs = [math.log(distortion) for _, distortion in points]

    def __call__(self, rate):
        at = min(max(1, bisect.bisect(self.bits, rate)), len(self.bits) - 1)
        share = (rate - self.bits[at - 1]) / (self.bits[at] - self.bits[at - 1])
        return math.exp(self.logs[at - 1] + share * (self.logs[at] - self.logs[at - 1]))


# ---- the uniform quantiser with dead zone, on the normal distribution


def _tail(x):
    return 0.5 * math.erfc(x / math.sqrt(2))


def _density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def quantised(step, rounding):
    """(bits, NMSE) of code = sign(x) floor(|x| / step + rounding), put back at each code's mean."""
    edge = (1 - rounding) * step
    zero = 1 - 2 * _tail(edge)
    bits = -zero * math.log2(zero) if zero > 0 else 0.0
    kept = 0.0
    while edge < 38:
        share = _tail(edge) - _tail(edge + step)
        if share < 1e-300:
            break
        kept += 2 * (_density(edge) - _density(edge + step)) ** 2 / share
        bits -= 2 * share * math.log2(share)
        edge += step
    return bits, 1 - kept


def _least(function, low, high):
    """Golden section."""
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if function(a) < function(b) else (a, high)
    return function((low + high) / 2)


def _step_for(index, wanted, rounding):
    """The step at which bits (index 0, falling) or NMSE (index 1, rising) are as wanted."""
    low, high = 1e-3, 40.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        over = quantised(middle, rounding)[index] > wanted
        low, high = (middle, high) if over == (index == 0) else (low, middle)
    return math.sqrt(low * high)


def uniform(rate):
    """The least NMSE of such a quantiser at so many bits."""
    return _least(lambda rounding: quantised(_step_for(0, rate, rounding), rounding)[1], 0.02, 0.5)


def uniform_bits(nmse):
    """The fewest bits at so much NMSE."""
    return _least(lambda rounding: quantised(_step_for(1, nmse, rounding), rounding)[0], 0.02, 0.5)
