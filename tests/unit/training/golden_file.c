#include "golden_file.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGEST_VALUES 12

void golden_open(struct golden_file *file, const char *name)
{
    char path[1024];
    uint8_t head[10];
    (void)snprintf(path, sizeof path, COVEY_SOURCE_DIR "/tests/golden/training/%s", name);
    FILE *stream = fopen(path, "rb");
    cr_assert(stream != NULL, "cannot open %s", path);
    cr_assert_eq(fread(head, 1, sizeof head, stream), sizeof head);
    cr_assert_eq(head[6], 1, "%s: NPY version %d", path, head[6]);
    const long start = 10 + (head[8] | head[9] << 8);
    cr_assert_eq(fseek(stream, 0, SEEK_END), 0);
    const long end = ftell(stream);
    file->count = (size_t)(end - start) / sizeof(double);
    file->next = 0;
    file->values = malloc((size_t)(end - start));
    cr_assert_eq(fseek(stream, start, SEEK_SET), 0);
    cr_assert_eq(fread(file->values, sizeof(double), file->count, stream), file->count);
    (void)fclose(stream);
}

double golden_next(struct golden_file *file)
{
    cr_assert(file->next < file->count, "the golden file holds only %zu values", file->count);
    return file->values[file->next++];
}

static void check_value(const char *what, const char *which, size_t index, double value, double expected,
                        double scale, double tolerance)
{
    cr_assert(fabs(value - expected) <= tolerance * fmax(fabs(expected), scale),
              "%s: %s %zu is %.17g, PyTorch has %.17g (relative error %.2g)", what, which, index, value,
              expected, fabs(value - expected) / fmax(fabs(expected), scale));
}

void golden_check(struct golden_file *file, const char *what, const double *values, size_t count,
                  double tolerance)
{
    const double golden_sum = golden_next(file), golden_squares = golden_next(file);
    const double rms = fmax(sqrt(golden_squares / (double)count), 1e-30);
    const size_t step = count / DIGEST_VALUES > 0 ? count / DIGEST_VALUES : 1;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        squares += values[i] * values[i];
    }
    check_value(what, "sum of values", count, sum, golden_sum, rms * (double)count, tolerance);
    check_value(what, "sum of squares of values", count, squares, golden_squares, rms * rms, 2 * tolerance);
    for (size_t i = 0; i < DIGEST_VALUES && i * step < count; i++)
        check_value(what, "value", i * step, values[i * step], golden_next(file), rms, tolerance);
}

void golden_distance(struct golden_file *file, const double *values, size_t count, double *error_squares,
                     double *squares)
{
    const size_t step = count / DIGEST_VALUES > 0 ? count / DIGEST_VALUES : 1;
    double sum = 0;
    size_t looked_at = 0;
    (void)golden_next(file);
    *squares += golden_next(file);
    for (; looked_at < DIGEST_VALUES && looked_at * step < count; looked_at++) {
        const double error = values[looked_at * step] - golden_next(file);
        sum += error * error;
    }
    *error_squares += sum / (double)looked_at * (double)count;
}

void golden_close(struct golden_file *file)
{
    cr_assert_eq(file->next, file->count, "%zu of %zu golden values were not looked at",
                 file->count - file->next, file->count);
    free(file->values);
}
