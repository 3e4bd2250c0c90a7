/* safetensors: round trips, every type that is read, and headers that lie. */
#include "dataset_files.h"

#include <math.h>

#include "covey/safetensors.h"

TestSuite(safetensors, .init = folder_make, .fini = folder_remove);

static struct covey_layout two_tensors(void)
{
    struct covey_layout layout;
    covey_layout_init(&layout);
    const uint32_t weight[] = {2, 3}, bias[] = {2};
    cr_assert(covey_layout_add(&layout, "fc.weight", 2, weight, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED,
                               NULL) == COVEY_OK);
    cr_assert(covey_layout_add(&layout, "fc.bias", 1, bias, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_PERSONAL,
                               NULL) == COVEY_OK);
    covey_layout_finish(&layout);
    return layout;
}

Test(safetensors, round_trip)
{
    struct covey_layout layout = two_tensors();
    float params[8] = {1, -2, 3.5f, 1e-30f, -0.0f, 6, 7, 8}, back[8] = {0};
    static const char *const metadata[] = {"model", "a \"name\" \\ with\nall", "round", "7", NULL};
    struct covey_error err = {0};
    char *path = folder_path("model.safetensors");
    uint32_t ignored = 9;
    cr_assert(covey_safetensors_store(path, &layout, params, metadata, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_safetensors_load(path, &layout, back, &ignored, &err) == COVEY_OK, "%s", err.text);
    cr_assert(memcmp(params, back, sizeof params) == 0 && ignored == 0);
    struct covey_safetensors *file;
    cr_assert(covey_safetensors_open(path, &file, &err) == COVEY_OK);
    cr_assert(covey_safetensors_count(file) == 2);
    const struct covey_safetensors_entry *entry = covey_safetensors_find(file, "fc.weight");
    cr_assert(entry != NULL && entry->rank == 2 && entry->shape[1] == 3 && entry->count == 6);
    cr_assert(((uintptr_t)entry->values & 3) == 0);
    cr_assert(covey_safetensors_find(file, "none") == NULL && covey_safetensors_entry(file, 2) == NULL);
    covey_safetensors_close(file);
    cr_assert(covey_safetensors_store("/nonexistent/x", &layout, params, NULL, &err) == COVEY_IO);
    covey_layout_deinit(&layout);
}

/* A federation with control variates goes on from a model without, and the other way round. */
Test(safetensors, control_variates_may_be_missing)
{
    struct covey_layout plain, both;
    const uint32_t shape[] = {2};
    struct covey_layout *const layouts[] = {&plain, &both};
    for (int i = 0; i < 2; i++) {
        covey_layout_init(layouts[i]);
        cr_assert(covey_layout_add(layouts[i], "a", 1, shape, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED,
                                   NULL) == COVEY_OK);
        if (i == 1)
            cr_assert(covey_layout_add_controls(layouts[i], NULL) == COVEY_OK);
        covey_layout_finish(layouts[i]);
    }
    const float without[] = {1, 2}, with[] = {3, 4, 5, 6};
    float read[] = {0, 0, 7, 8};
    struct covey_error err = {0};
    uint32_t ignored = 9;
    char *path = folder_path("plain.safetensors");
    cr_assert(covey_safetensors_store(path, &plain, without, NULL, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_safetensors_load(path, &both, read, &ignored, &err) == COVEY_OK, "%s", err.text);
    cr_assert(memcmp(read, (const float[]){1, 2, 7, 8}, sizeof read) == 0 && ignored == 0);
    path = folder_path("both.safetensors");
    cr_assert(covey_safetensors_store(path, &both, with, NULL, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_safetensors_load(path, &both, read, &ignored, &err) == COVEY_OK, "%s", err.text);
    cr_assert(memcmp(read, with, sizeof read) == 0 && ignored == 0);
    cr_assert(covey_safetensors_load(path, &plain, read, &ignored, &err) == COVEY_OK, "%s", err.text);
    cr_assert(read[0] == 3 && read[1] == 4 && ignored == 1);
    covey_layout_deinit(&plain);
    covey_layout_deinit(&both);
}

/* A file of this header and these values, in memory. */
static enum covey_status open_text(const char *header, const void *values, size_t count, uint8_t *bytes,
                                   struct covey_safetensors **out, struct covey_error *err)
{
    uint64_t length = strlen(header);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    memcpy(bytes + 8 + length, values, count);
    return covey_safetensors_open_bytes("memory", (struct covey_bytes){bytes, 8 + length + count}, out, err);
}

Test(safetensors, types)
{
    static const struct {
        const char *type;
        uint8_t bytes[8];
        size_t count;
        double value;
    } cases[] = {
        {"F32", {0, 0, 0xc0, 0xbf}, 4, -1.5}, {"F64", {0, 0, 0, 0, 0, 0, 0xf8, 0xbf}, 8, -1.5},
        {"BF16", {0xc0, 0xbf}, 2, -1.5},      {"F16", {0x00, 0xbe}, 2, -1.5},
        {"F16", {0x01, 0x00}, 2, 0x1p-24},    {"F16", {0xff, 0x83}, 2, -1023 * 0x1p-24},
        {"F16", {0xff, 0x7b}, 2, 65504},      {"F16", {0x00, 0x80}, 2, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[128];
        uint8_t bytes[256];
        float value;
        struct covey_safetensors *file;
        struct covey_error err = {0};
        snprintf(header, sizeof header,
                 "{ \"a\\u002fb\" : {\"data_offsets\":[0, %zu],\"shape\":[1,1], \"dtype\":\"%s\"} } ",
                 cases[i].count, cases[i].type);
        cr_assert(open_text(header, cases[i].bytes, cases[i].count, bytes, &file, &err) == COVEY_OK, "%s",
                  err.text);
        const struct covey_safetensors_entry *entry = covey_safetensors_find(file, "a/b");
        cr_assert(entry != NULL);
        covey_safetensors_values(entry, &value);
        cr_assert((double)value == cases[i].value, "%s: %g", cases[i].type, (double)value);
        covey_safetensors_close(file);
    }
}

Test(safetensors, refused)
{
    static const struct {
        const char *header;
        enum covey_status status;
    } cases[] = {
        {"", COVEY_CORRUPT},
        {"[]", COVEY_CORRUPT},
        {"{} x", COVEY_CORRUPT},
        {"{\"a\"", COVEY_CORRUPT},
        {"{\"a\":{}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,4]}}",
         COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", COVEY_LIMIT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", COVEY_CORRUPT},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", COVEY_UNSUPPORTED},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":"
         "[1],\"data_offsets\":[0,4]}}",
         COVEY_CORRUPT},
        {"{\"a\\q\":{}}", COVEY_CORRUPT},
        {"{\"a\\u00\":{}}", COVEY_CORRUPT},
        {"{\"__metadata__\":{\"a\":[[[[[[1]]]]]]}}", COVEY_CORRUPT},
        {"{\"__metadata__\":{\"a\":\"b\"", COVEY_CORRUPT},
    };
    uint8_t bytes[1024];
    struct covey_safetensors *file;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct covey_error err = {0};
        enum covey_status status = open_text(cases[i].header, "abcd", 4, bytes, &file, &err);
        cr_assert(status == cases[i].status, "%s: %s: %s", cases[i].header, covey_status_text(status),
                  err.text);
    }
    const uint8_t length[] = {255, 255, 255, 255, 255, 255, 255, 127, '{', '}'};
    for (size_t n = 0; n <= sizeof length; n++)
        cr_assert(covey_safetensors_open_bytes("m", (struct covey_bytes){length, n}, &file, NULL) ==
                  COVEY_CORRUPT);
}

Test(safetensors, must_fit_the_layout)
{
    struct covey_layout layout = two_tensors(), other;
    float params[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[9] = {0};
    char *path = folder_path("m");
    struct covey_error err = {0};
    cr_assert(covey_safetensors_store(path, &layout, params, NULL, &err) == COVEY_OK);
    const uint32_t turned[] = {3, 2}, bias[] = {2}, more[] = {1};
    covey_layout_init(&other);
    cr_assert(covey_layout_add(&other, "fc.weight", 2, turned, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED,
                               NULL) == COVEY_OK);
    covey_layout_finish(&other);
    cr_assert(covey_safetensors_load(path, &other, back, NULL, &err) == COVEY_MISMATCH &&
              strstr(err.text, "fc.weight"));
    covey_layout_deinit(&other);
    covey_layout_init(&other);
    cr_assert(covey_layout_add(&other, "fc.bias", 1, bias, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED, NULL) ==
              COVEY_OK);
    cr_assert(covey_layout_add(&other, "extra", 1, more, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED, NULL) ==
              COVEY_OK);
    covey_layout_finish(&other);
    cr_assert(covey_safetensors_load(path, &other, back, NULL, &err) == COVEY_NOT_FOUND &&
              strstr(err.text, "extra"));
    cr_assert(back[0] == 0, "params were touched");
    covey_layout_deinit(&other);
    params[3] = NAN;
    cr_assert(covey_safetensors_store(path, &layout, params, NULL, &err) == COVEY_OK);
    cr_assert(covey_safetensors_load(path, &layout, back, NULL, &err) == COVEY_NOT_FINITE &&
              strstr(err.text, "fc.weight"));
    cr_assert(back[0] == 0, "params were touched");
    covey_layout_deinit(&layout);
}

/* Files that other programs wrote. */
Test(safetensors, real_files)
{
    const char *folder = getenv("COVEY_DATA");
    if (folder == NULL) {
        printf("COVEY-SKIP: COVEY_DATA is not set\n");
        return;
    }
    static const struct {
        const char *name;
        uint64_t parameters;
    } files[] = {{"resnet8-cifar10", 77706},
                 {"dscnn-kws", 22604},
                 {"mobilenet025-vww96", 210850},
                 {"autoencoder-toycar", 265864}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        struct covey_safetensors *file;
        struct covey_error err = {0};
        snprintf(path, sizeof path, "%s/models/%s.safetensors", folder, files[i].name);
        cr_assert(covey_safetensors_open(path, &file, &err) == COVEY_OK, "%s", err.text);
        uint64_t parameters = 0;
        for (size_t j = 0; j < covey_safetensors_count(file); j++)
            parameters += covey_safetensors_entry(file, j)->count;
        cr_assert(parameters == files[i].parameters, "%s: %llu", files[i].name,
                  (unsigned long long)parameters);
        covey_safetensors_close(file);
    }
}
