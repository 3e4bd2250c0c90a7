#include "vector_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"

static double draw_normal(struct covey_random *random)
{
    return covey_random_normal(random);
}

static double draw_laplace(struct covey_random *random)
{
    const double u = covey_random_double(random) - 0.5; /* variance 2 b^2 = 1 */
    return -copysign(sqrt(0.5) * log1p(-2.0 * fabs(u)), u);
}

/* z / sqrt(chi2_3 / 3), whose variance is 3. */
static double draw_student3(struct covey_random *random)
{
    double squares = 0;
    for (int i = 0; i < 3; i++) {
        const double z = covey_random_normal(random);
        squares += z * z;
    }
    return covey_random_normal(random) / sqrt(squares / 3) / sqrt(3.0);
}

static const struct {
    const char *name;
    double (*draw)(struct covey_random *random);
} sources[] = {{"normal", draw_normal}, {"laplace", draw_laplace}, {"student3", draw_student3}};

/* The NPY format, version 1 or 2: magic, version, length of the head, head (a Python dictionary), data. */
static float *read_npy(const char *path, size_t *count)
{
    unsigned char magic[12];
    char head[4096];
    float *values = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(magic, 1, 10, file) != 10 || memcmp(magic, "\x93NUMPY", 6) != 0)
        goto fail;
    size_t head_bytes = (size_t)magic[8] | (size_t)magic[9] << 8;
    if (magic[6] >= 2 && fread(magic + 10, 1, 2, file) != 2)
        goto fail;
    if (head_bytes >= sizeof head || fread(head, 1, head_bytes, file) != head_bytes)
        goto fail;
    head[head_bytes] = '\0';
    if (strstr(head, "'<f4'") == NULL || strstr(head, "'fortran_order': True") != NULL)
        goto fail;
    values = malloc(*count * sizeof *values);
    if (values == NULL)
        goto fail;
    *count = fread(values, sizeof *values, *count, file);
    if (*count == 0)
        goto fail;
    (void)fclose(file);
    return values;
fail:
    fprintf(stderr, "covey-bench: %s is no .npy file of little-endian f32\n", path);
    if (file != NULL)
        (void)fclose(file);
    free(values);
    return NULL;
}

float *bench_vector(const char *name, size_t *count, uint64_t seed)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (strcmp(name, sources[i].name) != 0)
            continue;
        struct covey_random random;
        float *values = malloc(*count * sizeof *values);
        if (values == NULL) {
            fprintf(stderr, "covey-bench: no memory for %zu values\n", *count);
            return NULL;
        }
        covey_random_init(&random, seed, 0, 0, COVEY_PURPOSE_TEST);
        for (size_t j = 0; j < *count; j++)
            values[j] = (float)sources[i].draw(&random);
        return values;
    }
    return read_npy(name, count);
}
