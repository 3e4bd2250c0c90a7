/* Streams that never change: tests/golden/codec/NAME.bin is the vector below in each codec. To make them anew
 * (only with a new version of the format, or of the search of ec, which decides what is encoded but not what
 * is decoded): COVEY_GOLDEN_WRITE=1 test_codec_golden. Seed 7, device 9, round 3. A colon is '-' in file
 * names. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/random.h"

#define COUNT 4500
#define LONG_COUNT 40000 /* enough for all lanes of the entropy coder */
#define GOLDEN_BYTES (4 * LONG_COUNT + 16)

/* Sums of uniform integers, by powers of two: no libm, the same floats everywhere. */
static void golden_values(float *x, size_t count)
{
    struct covey_random random;
    covey_random_init(&random, 7, 9, 3, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++) {
        int32_t sum = 0;
        for (int j = 0; j < 4; j++)
            sum += (int32_t)(covey_random_u32(&random) >> 12) - (1 << 19);
        x[i] = (float)sum * (i % 700 < 64 ? 0x1p-40f : 0x1p-24f);
    }
    memset(x + 1024, 0, 64 * sizeof *x);
    x[2000] = 30.0f;
    x[4499] = -0x1p-20f;
}

/* FNV-1a of the decoded values' bytes, least significant first. */
static uint64_t digest(const float *values, size_t count)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int j = 0; j < 4; j++)
            hash = (hash ^ (bits >> 8 * j & 0xFF)) * 0x100000001B3u;
    }
    return hash;
}

static const struct {
    const char *name;
    size_t count;
    uint64_t digest;
} rows[] = {
    {"raw32", COUNT, 0xac10ea2f5fc2910c},
    {"fp16", COUNT, 0x9bfb652e0852d22d},
    {"int8", COUNT, 0x404953c293497da6},
    {"int4", COUNT, 0x29b671bf27ec6374},
    {"eden1", COUNT, 0xbd176bbf841c62b0},
    {"eden2", COUNT, 0xbd0ad6a06c805507},
    {"eden3", COUNT, 0x51923a0d94d8f290},
    {"eden4", COUNT, 0x52b25ff89a0f5905},
    {"ec:0.1", LONG_COUNT, 0x24b380acbc57e565},
    {"ec:1", COUNT, 0x3b3f05a9f1d48102},
    {"ec:2.5", LONG_COUNT, 0x1c41d7e134715037},
    {"ec:8", COUNT, 0xb9519ad0c031a4f7},
    {"tcq:0.5", LONG_COUNT, 0x1356ac5677ba930d},
    {"tcq:1", COUNT, 0x43b163ee32020d81},
    {"tcq:4", LONG_COUNT, 0xe4e0c3389c04dddb},
    {"stc:0.01", LONG_COUNT, 0x198d1e5f8c99e165},
    {"auto:0.2", LONG_COUNT, 0x47962c3653dcdaf5},
    {"auto:5", LONG_COUNT, 0x0bd3f30eb5991f43},
    {"mask:0.1", COUNT, 0xb383a89bd72fad68},
    {"mask:0.25:eden1", LONG_COUNT, 0xa404293fe63eee9f},
    {"samemask:0.05:int4", COUNT, 0x5db49170128d7464},
};

/* Of auto: the second tensor is small, the third of about one size, so that it is rotated at low rates. */
static const size_t tensor_ends[] = {8000, 20001, 30000, LONG_COUNT};

static void make_tensors(float *x)
{
    x[2000] = 0.3f;
    for (size_t i = tensor_ends[0]; i < tensor_ends[1]; i++)
        x[i] *= 0x1p-5f;
    for (size_t i = tensor_ends[1]; i < tensor_ends[2]; i++)
        x[i] = (x[i] < 0 ? -0x1p-6f : 0x1p-6f) + x[i] * 0x1p-5f;
}

static size_t golden_file(const char *name, const char *mode, uint8_t *bytes, size_t size)
{
    char path[1024];
    const int folder = snprintf(path, sizeof path, "%s/tests/golden/codec/", COVEY_SOURCE_DIR);
    (void)snprintf(path + folder, sizeof path - (size_t)folder, "%s.bin", name);
    for (char *colon = strchr(path + folder, ':'); colon != NULL; colon = strchr(colon, ':'))
        *colon = '-';
    FILE *file = fopen(path, mode);
    cr_assert_not_null(file, "%s", path);
    const size_t done = mode[0] == 'w' ? fwrite(bytes, 1, size, file) : fread(bytes, 1, size, file);
    fclose(file);
    return done;
}

Test(codec_golden, streams_and_values_never_change)
{
    static float x[LONG_COUNT], y[LONG_COUNT];
    static uint8_t made[GOLDEN_BYTES], golden[GOLDEN_BYTES + 1];
    static _Alignas(64) uint8_t scratch[4 * GOLDEN_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct covey_codec codec;
        struct covey_error err = {0};
        const size_t count = rows[i].count;
        size_t size = 0;
        const bool is_divided = strncmp(rows[i].name, "auto", 4) == 0;
        golden_values(x, count);
        if (is_divided)
            make_tensors(x);
        cr_assert_eq(covey_codec_parse(rows[i].name, &codec, &err), COVEY_OK);
        const struct covey_encode_options options = {.seed = 7,
                                                     .device = 9,
                                                     .round = 3,
                                                     .ends = is_divided ? tensor_ends : NULL,
                                                     .tensor_count = is_divided ? 4 : 0,
                                                     .scratch = scratch,
                                                     .scratch_bytes = sizeof scratch};
        cr_assert_eq(covey_codec_encode(&codec, x, count, &options, made, sizeof made, &size, NULL, &err),
                     COVEY_OK, "%s", err.text);
        if (getenv("COVEY_GOLDEN_WRITE") != NULL)
            cr_assert_eq(golden_file(rows[i].name, "wb", made, size), size);
        const size_t golden_size = golden_file(rows[i].name, "rb", golden, sizeof golden);
        cr_expect(golden_size == size && memcmp(made, golden, size) == 0, "%s is encoded differently",
                  rows[i].name);
        cr_assert_eq(covey_codec_decode((struct covey_bytes){golden, golden_size}, count, y, &err), COVEY_OK,
                     "%s", err.text);
        cr_expect_eq(digest(y, count), rows[i].digest, "%s is decoded differently: 0x%016llx", rows[i].name,
                     (unsigned long long)digest(y, count));
    }
}
