/* The inner loops of every instruction set that this CPU has, and of AVX-512's source on any CPU, each
 * against sums in double. Arrays are as large as promised and no larger. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/vector_kernels.h"

extern const struct covey_vector_kernels covey_vectors_wide; /* vectors_wide.c */

static const struct covey_vector_kernels *table_at(size_t i)
{
    const struct covey_vector_kernels *best = covey_vector_kernels();
    const struct covey_vector_kernels *tables[] = {&covey_vectors_base, &covey_vectors_wide, best, NULL};

#if defined(__x86_64__)
    if (i == 3 && best != &covey_vectors_avx2 && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma"))
        return &covey_vectors_avx2;
#endif
    return i < 4 ? tables[i] : NULL;
}

static float *numbers(size_t count, unsigned seed)
{
    float *values = malloc((count ? count : 1) * sizeof *values);

    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    return values;
}

static void expect_near(const struct covey_vector_kernels *k, const char *what, float got, double expected,
                        double sum)
{
    cr_assert(fabs((double)got - expected) <= 1e-6 * (sum + 1), "%s, %s: %.9g, not %.9g", k->name, what,
              (double)got, expected);
}

/* ---- dense ---- */

static void check_dense_forward(const struct covey_vector_kernels *k, size_t examples, size_t features,
                                size_t units)
{
    float *x = numbers(examples * features, 1), *w = numbers(units * features, 2), *b = numbers(units, 3);
    float *y = numbers(examples * units, 4);
    const struct covey_dense_forward d = {examples, features, units, x, w, b, y, true};

    k->dense_forward(&d);
    for (size_t e = 0; e < examples; e++)
        for (size_t u = 0; u < units; u++) {
            double sum = (double)b[u];
            for (size_t f = 0; f < features; f++)
                sum += (double)x[e * features + f] * (double)w[u * features + f];
            expect_near(k, "y", y[e * units + u], sum, sqrt((double)features));
        }
    free(x), free(w), free(b), free(y);
}

static void check_dense_backward(const struct covey_vector_kernels *k, size_t examples, size_t features,
                                 size_t units, float beta)
{
    float *x = numbers(examples * features, 1), *w = numbers(units * features, 2),
          *dy = numbers(examples * units, 3);
    float *scaled = numbers(examples * units, 3), *dx = numbers(examples * features, 5);
    float *old = numbers(units * features, 2);
    struct covey_dense_backward d = {examples, features, units, x, w, dy, scaled, dx, w, beta};

    for (size_t i = 0; i < examples * units; i++)
        scaled[i] *= -0.25f;
    k->dense_backward(&d);
    for (size_t f = 0; f < features; f++) {
        for (size_t e = 0; e < examples; e++) {
            double sum = 0;
            for (size_t u = 0; u < units; u++)
                sum += (double)dy[e * units + u] * (double)old[u * features + f];
            expect_near(k, "dx", dx[e * features + f], sum, sqrt((double)units));
        }
        for (size_t u = 0; u < units; u++) {
            double sum = (double)beta * (double)old[u * features + f];
            for (size_t e = 0; e < examples; e++)
                sum -= 0.25 * (double)dy[e * units + u] * (double)x[e * features + f];
            expect_near(k, "dw", w[u * features + f], sum, sqrt((double)examples));
        }
    }
    free(x), free(w), free(dy), free(scaled), free(dx), free(old);
}

Test(kernels_vectors, dense)
{
    static const size_t sizes[][3] = {{1, 1, 1},    {5, 16, 2},  {10, 33, 7},    {4, 47, 18},
                                      {3, 100, 37}, {12, 70, 5}, {10, 1700, 35}, {48, 200, 6}};

    for (size_t t = 0; table_at(t); t++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            check_dense_forward(table_at(t), sizes[i][0], sizes[i][1], sizes[i][2]);
            check_dense_backward(table_at(t), sizes[i][0], sizes[i][1], sizes[i][2], 1);
            check_dense_backward(table_at(t), sizes[i][0], sizes[i][1], sizes[i][2], 0.5f);
        }
}

/* x: zero in the columns whose turn it is in a pattern of whole vectors and of single values, here and there
 * with the other sign. */
static void clear_columns(float *x, size_t examples, size_t features, size_t pattern)
{
    for (size_t e = 0; e < examples; e++)
        for (size_t f = 0; f < features; f++)
            if ((f / 4 * pattern / 5) % 3 != 0)
                x[e * features + f] = e % 2 ? 0.0f : -0.0f;
}

/* Columns that are zero for all examples may be skipped: not a bit of y or of the new weights depends on it.
 */
static void check_skipping(const struct covey_vector_kernels *k, size_t examples, size_t features,
                           size_t pattern)
{
    const size_t units = 9;
    float *x = numbers(examples * features, 1), *w = numbers(units * features, 2);
    float *y = numbers(examples * units, 3), *all = numbers(examples * units, 4);
    float *dw = numbers(units * features, 5), *old = numbers(units * features, 5);
    float *dy = numbers(examples * units, 6);

    clear_columns(x, examples, features, pattern);
    struct covey_dense_forward f = {examples, features, units, x, w, NULL, all, false};
    k->dense_forward(&f);
    f.y = y;
    f.skip_zeros = true;
    k->dense_forward(&f);
    cr_assert(memcmp(y, all, examples * units * sizeof *y) == 0, "%s: %zu x %zu", k->name, examples,
              features);
    for (int beta = 0; beta < 3; beta++) {
        const struct covey_dense_backward b = {examples, features, units, x,  w,
                                               dy,       dy,       NULL,  dw, (float)beta};
        memcpy(dw, old, units * features * sizeof *dw);
        k->dense_backward(&b);
        for (size_t u = 0; u < units; u++)
            for (size_t i = 0; i < features; i++) {
                double sum = beta * (double)old[u * features + i];
                for (size_t e = 0; e < examples; e++)
                    sum += (double)dy[e * units + u] * (double)x[e * features + i];
                expect_near(k, "dw", dw[u * features + i], sum, 5);
            }
    }
    free(x), free(w), free(y), free(all), free(dw), free(old), free(dy);
}

Test(kernels_vectors, columns_that_are_zero)
{
    static const size_t features[] = {3, 16, 61, 200, 784, 4001};

    for (size_t t = 0; table_at(t); t++)
        for (size_t i = 0; i < sizeof features / sizeof *features; i++)
            for (size_t examples = 1; examples <= 11; examples += 5)
                for (size_t pattern = 0; pattern < 4; pattern++)
                    check_skipping(table_at(t), examples, features[i], pattern);
}

/* A weight that is no number must show, unless nobody can see it: asked for all columns, y is no number. */
Test(kernels_vectors, a_weight_that_is_no_number_shows)
{
    for (size_t t = 0; table_at(t); t++) {
        float x[64] = {[60] = 1}, w[64] = {[3] = NAN}, y = 0;
        const struct covey_dense_forward f = {1, 64, 1, x, w, NULL, &y, false};
        table_at(t)->dense_forward(&f);
        cr_assert(isnan(y), "%s", table_at(t)->name);
    }
}

Test(kernels_vectors, dense_without_bias_or_dx_overwrites_with_beta_zero)
{
    float x[2] = {3, 5}, w[2] = {7, 11}, y[1] = {NAN}, dw[2] = {NAN, NAN}, dy[1] = {2};

    for (size_t t = 0; table_at(t); t++) {
        const struct covey_dense_forward f = {1, 2, 1, x, w, NULL, y, true};
        const struct covey_dense_backward b = {1, 2, 1, x, w, dy, dy, NULL, dw, 0};
        table_at(t)->dense_forward(&f);
        table_at(t)->dense_backward(&b);
        cr_expect_eq(y[0], 76);
        cr_expect(dw[0] == 6 && dw[1] == 10);
        y[0] = dw[0] = dw[1] = NAN;
    }
}

/* ---- convolution ---- */

static void check_conv_tiles(const struct covey_vector_kernels *k, size_t vectors, size_t rows, size_t run)
{
    const size_t pixels = 2 * k->pixel_tile, width = vectors * k->lanes, row_step = run + 9,
                 out_step = width + 3;
    float *x = numbers(pixels * 4 + rows * row_step, 1), *w = numbers(rows * run * width, 2),
          *b = numbers(width, 3);
    float *out = numbers(pixels * out_step, 4), *old = numbers(pixels * out_step, 4);
    uint32_t *offsets = malloc(pixels * sizeof *offsets);

    for (size_t p = 0; p < pixels; p++)
        offsets[p] = (uint32_t)((p * 7) % (pixels * 4 - 8));
    for (int add = 0; add < 2; add++) {
        const struct covey_conv_tiles t = {pixels, vectors, rows,           run, row_step, out_step, offsets,
                                           x,      w,       add ? NULL : b, out};
        memcpy(out, old, pixels * out_step * sizeof *out);
        k->conv_tiles(&t);
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < out_step; c++) {
                double sum = (double)(add || c >= width ? old[p * out_step + c] : b[c]);
                for (size_t r = 0; r < rows && c < width; r++)
                    for (size_t j = 0; j < run; j++)
                        sum +=
                            (double)x[offsets[p] + r * row_step + j] * (double)w[(r * run + j) * width + c];
                expect_near(k, "convolution", out[p * out_step + c], sum, sqrt((double)(rows * run)));
            }
    }
    free(x), free(w), free(b), free(out), free(old), free(offsets);
}

Test(kernels_vectors, conv_tiles)
{
    for (size_t t = 0; table_at(t); t++)
        for (size_t vectors = 1; vectors <= table_at(t)->channel_vectors; vectors++)
            for (size_t rows = 1; rows <= 5; rows += 2) {
                check_conv_tiles(table_at(t), vectors, rows, 1);
                check_conv_tiles(table_at(t), vectors, rows, 17);
            }
}

static void check_gather(const struct covey_vector_kernels *k, size_t count, size_t rows, size_t run)
{
    const size_t whole = (run + k->lanes - 1) / k->lanes * k->lanes, x_step = whole + 3, out_step = whole + 5;
    float *x = numbers(50 + rows * x_step, 1), *out = numbers(rows * out_step, 2),
          *old = numbers(rows * out_step, 2);
    struct covey_entry *entries = malloc((count + 1) * sizeof *entries);

    for (size_t i = 0; i < count; i++)
        entries[i] = (struct covey_entry){(uint32_t)(i * 11 % 50), (float)i * 0.25f - 1};
    const struct covey_gather g = {count, rows, run, x_step, out_step, entries, x, out};
    k->gather(&g);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < out_step; j++) {
            double sum = (double)old[r * out_step + j];
            for (size_t i = 0; i < count && j < run; i++)
                sum += (double)entries[i].value * (double)x[entries[i].offset + r * x_step + j];
            if (j < run || j >= whole) /* between them lies what the kernel may write */
                expect_near(k, "gather", out[r * out_step + j], sum, (double)count);
        }
    free(x), free(out), free(old), free(entries);
}

Test(kernels_vectors, gather)
{
    static const size_t runs[] = {1, 5, 8, 16, 25, 40, 80, 81, 160, 200, 330};

    for (size_t t = 0; table_at(t); t++)
        for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
            for (size_t rows = 1; rows <= 7; rows++) {
                check_gather(table_at(t), 0, rows, runs[i]);
                check_gather(table_at(t), 7, rows, runs[i]);
            }
}

/* ---- pooling ---- */

static void check_pool(const struct covey_vector_kernels *k, size_t channels, size_t kh, size_t kw, int relu)
{
    const size_t height = 2 * kh + 1, width = 3 * kw, step = channels + 2;
    float *x = numbers(height * width * step, 1), *y = numbers(6 * channels, 2);
    uint32_t *where = malloc(6 * channels * sizeof *where), *codes = malloc(kh * kw * sizeof *codes);

    for (size_t c = 0; c < kh * kw; c++)
        codes[c] = (uint32_t)(c * 3 + 5);
    x[0] = x[step] = 0.75f; /* the first of equals */
    const struct covey_pool_forward p = {width,    channels, step, 2, 3,     {kh, kw},
                                         {kh, kw}, relu,     x,    y, codes, where};
    k->pool_forward(&p);
    for (size_t o = 0; o < 6; o++)
        for (size_t c = 0; c < channels; c++) {
            const float *first = x + ((o / 3 * kh) * width + o % 3 * kw) * step + c;
            float best = first[0];
            uint32_t cell = 0;
            for (uint32_t i = 1; i < kh * kw; i++)
                if (first[(i / kw * width + i % kw) * step] > best) {
                    cell = i;
                    best = first[(i / kw * width + i % kw) * step];
                }
            cr_assert_eq(where[o * channels + c], codes[cell], "%s", k->name);
            cr_assert_eq(y[o * channels + c], relu && best < 0 ? 0 : best, "%s", k->name);
        }
    free(x), free(y), free(where), free(codes);
}

Test(kernels_vectors, pooling)
{
    for (size_t t = 0; table_at(t); t++)
        for (size_t channels = 1; channels < 40; channels += 5)
            for (int relu = 0; relu < 2; relu++) {
                check_pool(table_at(t), channels, 1, 1, relu);
                check_pool(table_at(t), channels, 2, 2, relu);
                check_pool(table_at(t), channels, 3, 1, relu);
            }
}

Test(kernels_vectors, nan_passes_through_relu)
{
    const float x[20] = {NAN, -1, NAN};
    const uint32_t code = 0;
    float y[20] = {0};

    for (size_t t = 0; table_at(t); t++) {
        const struct covey_pool_forward p = {1, 20, 20, 1, 1, {1, 1}, {1, 1}, 1, x, y, &code, NULL};
        table_at(t)->pool_forward(&p);
        cr_expect(isnan(y[0]) && y[1] == 0 && isnan(y[2]));
    }
}

/* ---- depthwise ---- */

static void check_depthwise(const struct covey_vector_kernels *k, size_t channels)
{
    enum { PIXELS = 5, CELLS = 3 };
    const uint32_t offsets[CELLS] = {0, (uint32_t)channels, (uint32_t)(3 * channels)};
    const uint32_t origins[PIXELS] = {0, (uint32_t)channels, (uint32_t)(2 * channels),
                                      (uint32_t)(5 * channels), 0};
    float *x = numbers(9 * channels, 1), *w = numbers(CELLS * channels, 2), *b = numbers(channels, 3);
    float *y = numbers(PIXELS * channels, 4), *dy = numbers(PIXELS * channels, 5);
    float *dx = calloc(9 * channels, sizeof *dx), *dw = calloc(CELLS * channels, sizeof *dw);
    const struct covey_depthwise d = {PIXELS, CELLS, channels, offsets, origins, x, w, b, y, dy, dx, dw};

    k->depthwise_forward(&d);
    k->depthwise_backward(&d);
    for (size_t c = 0; c < channels; c++) {
        double dx_sums[9] = {0}, dw_sums[CELLS] = {0};
        for (size_t p = 0; p < PIXELS; p++) {
            double sum = (double)b[c];
            for (size_t i = 0; i < CELLS; i++) {
                const size_t at = origins[p] + offsets[i] + c;
                sum += (double)x[at] * (double)w[i * channels + c];
                dx_sums[at / channels] += (double)dy[p * channels + c] * (double)w[i * channels + c];
                dw_sums[i] += (double)dy[p * channels + c] * (double)x[at];
            }
            expect_near(k, "depthwise", y[p * channels + c], sum, 3);
        }
        for (size_t i = 0; i < 9; i++)
            expect_near(k, "depthwise dx", dx[i * channels + c], dx_sums[i], 5);
        for (size_t i = 0; i < CELLS; i++)
            expect_near(k, "depthwise dw", dw[i * channels + c], dw_sums[i], 5);
    }
    free(x), free(w), free(b), free(y), free(dy), free(dx), free(dw);
}

Test(kernels_vectors, depthwise)
{
    for (size_t t = 0; table_at(t); t++)
        for (size_t channels = 1; channels < 40; channels += 3)
            check_depthwise(table_at(t), channels);
}

/* ---- by channel ---- */

static void check_channels(const struct covey_vector_kernels *k, size_t rows, size_t channels, int with_dy)
{
    const size_t count = rows * channels;
    float *x = numbers(count, 1), *dy = with_dy ? numbers(count, 2) : NULL, *mean = numbers(channels, 3);
    float *of_x = numbers(channels, 4), *of_dy = numbers(channels, 5), *constant = numbers(channels, 6);
    float *first = numbers(channels, 7), *second = numbers(channels, 8), *out = numbers(count, 9);
    const struct covey_channel_sums sums = {rows, channels, x, mean, dy, first, second};
    const struct covey_channel_blend blend = {rows, channels, x, dy, of_x, of_dy, constant, out};

    k->channel_sums(&sums);
    k->channel_blend(&blend);
    for (size_t c = 0; c < channels; c++) {
        double one = 0, two = 0;
        for (size_t i = c; i < count; i += channels) {
            const double value = (double)x[i] - (double)mean[c], gradient = dy ? (double)dy[i] : value;
            one += gradient;
            two += gradient * value;
            expect_near(k, "blend", out[i],
                        (double)of_x[c] * (double)x[i] + (dy ? (double)of_dy[c] * (double)dy[i] : 0) +
                            (double)constant[c],
                        1);
        }
        expect_near(k, "sum", first[c], one, (double)rows);
        expect_near(k, "product", second[c], two, (double)rows);
    }
    free(x), free(dy), free(mean), free(of_x), free(of_dy), free(constant), free(first), free(second),
        free(out);
}

Test(kernels_vectors, sums_and_blends_by_channel)
{
    for (size_t t = 0; table_at(t); t++)
        for (size_t channels = 1; channels < 140; channels += channels < 20 ? 1 : 17)
            for (int with_dy = 0; with_dy < 2; with_dy++) {
                check_channels(table_at(t), 1, channels, with_dy);
                check_channels(table_at(t), 13, channels, with_dy);
            }
}

Test(kernels_vectors, clipping)
{
    enum { COUNT = 37 };
    float x[COUNT], y[COUNT], dx[COUNT], dy[COUNT];

    for (size_t t = 0; table_at(t); t++)
        for (int i = 0; i < 2; i++) {
            const float most = i ? 6 : INFINITY;
            for (int j = 0; j < COUNT; j++) {
                x[j] = (float)j * 0.5f - 5;
                dy[j] = (float)j + 1;
            }
            table_at(t)->clip_forward(COUNT, most, x, y);
            table_at(t)->clip_backward(COUNT, most, y, dy, dx);
            for (int j = 0; j < COUNT; j++) {
                cr_assert_eq(y[j], fminf(fmaxf(x[j], 0), most), "%s", table_at(t)->name);
                cr_assert_eq(dx[j], x[j] > 0 && x[j] < most ? dy[j] : 0, "%s", table_at(t)->name);
            }
            x[3] = x[COUNT - 1] = NAN;
            table_at(t)->clip_forward(COUNT, most, x, y);
            cr_assert(isnan(y[3]) && isnan(y[COUNT - 1]) && y[2] == 0, "%s", table_at(t)->name);
        }
}
