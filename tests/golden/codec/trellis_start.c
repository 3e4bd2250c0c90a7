/* Where the trellis' search begins: the table in common/compress/trellis_prices.c. For a normal vector of
 * deviation 1, a step and a lambda: rate, NMSE and the bits of rows 0 to 5 of even and odd states, after so
 * many attempts that these are the bits of the symbols that they lead to. In f64 and by libm, without any
 * of the codec's roundings.
 *
 *   cc -O2 -o trellis_start trellis_start.c -lm && ./trellis_start STEP LAMBDA ATTEMPTS
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 1 << 18, STATES = 8, ROWS = 64 };

static double x[COUNT];
static int v[COUNT];
static uint8_t from[COUNT][STATES];
static int16_t value[COUNT][STATES];

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*seed >> 11) + .5) * 0x1p-53;
}

/* The best value near a of each coset of 4 Z, with its cost. */
static void best_values(double a, double lambda, double bits[2][ROWS], double cost[4], int best[4])
{
    for (int j = 0; j < 4; j++)
        cost[j] = INFINITY;
    for (int w = (int)floor(a) - 5; w <= (int)floor(a) + 6; w++) {
        const int j = w & 3, row = abs(w) / 2;
        const double c = (a - w) * (a - w) + lambda * bits[j & 1][row < ROWS ? row : ROWS - 1];
        if (c < cost[j]) {
            cost[j] = c;
            best[j] = w;
        }
    }
}

static void search(double step, double lambda, double bits[2][ROWS])
{
    double metric[STATES] = {0, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9}, next[STATES], cost[4];
    int best[4] = {0}, state = 0;
    for (int i = 0; i < COUNT; i++) {
        best_values(x[i] / step, lambda, bits, cost, best);
        for (int n = 0; n < STATES; n++) {
            next[n] = INFINITY;
            for (int s = n / 2; s < STATES; s += 4) {
                const int j = (s & 1) + 2 * ((n ^ s >> 1 ^ s >> 2) & 1);
                if (metric[s] + cost[j] < next[n]) {
                    next[n] = metric[s] + cost[j];
                    from[i][n] = (uint8_t)s;
                    value[i][n] = (int16_t)best[j];
                }
            }
        }
        memcpy(metric, next, sizeof metric);
    }
    for (int s = 1; s < STATES; s++)
        state = metric[s] < metric[state] ? s : state;
    for (int i = COUNT - 1; i >= 0; i--) {
        v[i] = value[i][state];
        state = from[i][state];
    }
}

/* Bits of the rows as they were used; returns those of a value. */
static double count(double bits[2][ROWS])
{
    double counts[2][ROWS] = {{0}}, totals[2] = {0}, sum = 0;
    for (int i = 0; i < COUNT; i++) {
        counts[v[i] & 1][abs(v[i]) / 2 < ROWS ? abs(v[i]) / 2 : ROWS - 1]++;
        totals[v[i] & 1]++;
    }
    for (int kind = 0; kind < 2; kind++) {
        for (int row = 0; row < ROWS; row++) {
            const double share = (counts[kind][row] + .1) / (totals[kind] + .1 * ROWS);
            bits[kind][row] = -log2(share) + (kind == 1 || row > 0 ? 1 : 0);
            sum += counts[kind][row] * bits[kind][row];
        }
    }
    return sum / COUNT;
}

int main(int argc, char **argv)
{
    double bits[2][ROWS], rate = 0, error = 0;
    uint64_t seed = 1;
    if (argc != 4)
        return 2;
    const double step = atof(argv[1]), lambda = atof(argv[2]);
    for (int i = 0; i < COUNT; i++)
        x[i] = sqrt(-2 * log(uniform(&seed))) * cos(6.283185307179586 * uniform(&seed));
    for (int row = 0; row < ROWS; row++)
        bits[0][row] = bits[1][row] = row == 0 ? 1 : 2 + .6 * row;
    for (int i = 0; i < atoi(argv[3]); i++) {
        search(step, lambda, bits);
        rate = count(bits);
    }
    for (int i = 0; i < COUNT; i++)
        error += (x[i] - step * v[i]) * (x[i] - step * v[i]) / COUNT;
    printf("rate %.3f step %.3f lambda %.2f NMSE %.5f\neven", rate, step, lambda, error);
    for (int row = 0; row < 6; row++)
        printf(" %.2f", bits[0][row]);
    printf("\nodd ");
    for (int row = 0; row < 6; row++)
        printf(" %.2f", bits[1][row]);
    puts("");
    return 0;
}
