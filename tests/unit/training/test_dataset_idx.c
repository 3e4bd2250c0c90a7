/* IDX: every element type, plain and gzip, and every way in which a file can lie. */
#include "dataset_files.h"

#include <math.h>

TestSuite(dataset_idx, .init = folder_make, .fini = folder_remove);

/* Two examples of three values -2 -1 0 | 1 2 3 (bytes: 0 .. 5), in every type. */
static size_t make_idx(uint8_t type, uint8_t *out)
{
    const uint8_t head[] = {0, 0, type, 2, 0, 0, 0, 2, 0, 0, 0, 3};
    size_t used = sizeof head;
    memcpy(out, head, used);
    for (int i = 0; i < 6; i++) {
        double real = i - 2;
        float single = (float)real;
        uint64_t bits = 0;
        size_t bytes = type == 0x08 || type == 0x09 ? 1 : type == 0x0b ? 2 : type == 0x0e ? 8 : 4;
        if (type == 0x08)
            bits = (uint64_t)i;
        else if (type == 0x0d) {
            uint32_t word;
            memcpy(&word, &single, 4);
            bits = word;
        } else if (type == 0x0e)
            memcpy(&bits, &real, 8);
        else
            bits = (uint64_t)(int64_t)(i - 2);
        for (size_t b = bytes; b-- > 0;)
            out[used++] = (uint8_t)(bits >> (8 * b));
    }
    return used;
}

Test(dataset_idx, every_type_plain_and_gzip)
{
    static const uint8_t types[] = {0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x0e};
    for (size_t t = 0; t < sizeof types; t++) {
        uint8_t bytes[128];
        size_t count = make_idx(types[t], bytes);
        for (int gzip = 0; gzip < 2; gzip++) {
            struct covey_dataset dataset = {0};
            struct covey_error err = {0};
            char *path = gzip ? write_gzip("x", bytes, count) : write_bytes("x", bytes, count);
            cr_assert(load_one(path, &dataset, &err) == COVEY_OK, "type %02x: %s", types[t], err.text);
            cr_assert(dataset.count == 2 && dataset.inputs.width == 3 && dataset.rank == 1 &&
                      dataset.shape[0] == 3);
            float x[6];
            cr_assert(covey_dataset_read(&dataset, NULL, 0, 2, x, NULL, NULL) == COVEY_OK);
            for (int i = 0; i < 6; i++)
                cr_assert(x[i] == (types[t] == 0x08 ? i : i - 2), "type %02x value %d: %g", types[t], i,
                          (double)x[i]);
            uint64_t mapped, heap;
            covey_dataset_memory(&dataset, &mapped, &heap);
            cr_assert(gzip ? mapped == 0 && heap != 0 : mapped == count && heap == 0);
            const uint32_t rows[] = {1, 0}, wrong[] = {0, 2};
            cr_assert(covey_dataset_read(&dataset, rows, 0, 2, x, NULL, NULL) == COVEY_OK);
            cr_assert(x[0] == (types[t] == 0x08 ? 3 : 1));
            cr_assert(covey_dataset_read(&dataset, wrong, 0, 2, x, NULL, NULL) == COVEY_RANGE);
            cr_assert(covey_dataset_read(&dataset, NULL, 1, 2, x, NULL, NULL) == COVEY_RANGE);
            covey_dataset_deinit(&dataset);
            unlink(path);
        }
    }
}

Test(dataset_idx, refused_before_memory_is_taken)
{
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t count;
        enum covey_status status;
    } cases[] = {
        {"empty", {0}, 0, COVEY_CORRUPT},
        {"cut header", {0, 0, 8, 1, 0}, 5, COVEY_CORRUPT},
        {"wrong magic", {1, 0, 8, 1, 0, 0, 0, 1, 7}, 9, COVEY_CORRUPT},
        {"unknown type", {0, 0, 0x0a, 1, 0, 0, 0, 1, 7}, 9, COVEY_CORRUPT},
        {"no dimensions", {0, 0, 8, 0, 0, 0, 0, 1, 7}, 9, COVEY_UNSUPPORTED},
        {"nine dimensions", {0, 0, 8, 9, 0, 0, 0, 1, 7}, 9, COVEY_UNSUPPORTED},
        {"no examples", {0, 0, 8, 1, 0, 0, 0, 0}, 8, COVEY_INVALID},
        {"a zero dimension", {0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 0}, 12, COVEY_INVALID},
        {"four billion examples", {0, 0, 8, 1, 255, 255, 255, 255, 1}, 9, COVEY_LIMIT},
        {"an example of 2^62 values",
         {0, 0, 8, 3, 0, 0, 0, 1, 127, 255, 255, 255, 127, 255, 255, 255},
         16,
         COVEY_LIMIT},
        {"one byte short", {0, 0, 8, 1, 0, 0, 0, 3, 1, 2}, 10, COVEY_CORRUPT},
        {"one byte over", {0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3, 4}, 12, COVEY_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int gzip = 0; gzip < 2; gzip++) {
            struct covey_dataset dataset = {0};
            struct covey_error err = {0};
            char *path = gzip ? write_gzip("x", cases[i].bytes, cases[i].count)
                              : write_bytes("x", cases[i].bytes, cases[i].count);
            enum covey_status status = load_one(path, &dataset, &err);
            cr_assert(status == cases[i].status, "%s (gzip %d): %s: %s", cases[i].what, gzip,
                      covey_status_text(status), err.text);
            cr_assert(dataset.storage == NULL && strstr(err.text, test_folder) != NULL,
                      "%s: '%s' names no file", cases[i].what, err.text);
            unlink(path);
        }
    }
}

/* 40 bytes of gzip cannot hold the 256 MiB that the header promises: refused by arithmetic. */
Test(dataset_idx, a_promise_that_gzip_cannot_keep)
{
    const uint8_t bytes[] = {0, 0, 8, 1, 16, 0, 0, 0, 1, 2, 3};
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(load_one(write_gzip("x", bytes, sizeof bytes), &dataset, &err) == COVEY_CORRUPT);
    cr_assert(strstr(err.text, "can hold at most") != NULL, "%s", err.text);
}

Test(dataset_idx, damaged_gzip)
{
    uint8_t bytes[4096 + 8] = {0, 0, 8, 1, 0, 0, 16, 0};
    for (size_t i = 8; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    char *path = write_gzip("x", bytes, sizeof bytes);
    FILE *file = fopen(path, "rb");
    uint8_t packed[8192];
    size_t count = fread(packed, 1, sizeof packed, file);
    fclose(file);
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(load_one(write_bytes("cut.gz", packed, count - 20), &dataset, &err) == COVEY_CORRUPT, "%s",
              err.text);
    packed[count / 2] ^= 0x55;
    cr_assert(load_one(write_bytes("bad.gz", packed, count), &dataset, &err) == COVEY_CORRUPT, "%s",
              err.text);
    cr_assert(load_one(folder_path("none"), &dataset, &err) == COVEY_NOT_FOUND);
    cr_assert(load_one(test_folder, &dataset, &err) == COVEY_INVALID);
}

Test(dataset_idx, scale_shift_and_statistics)
{
    uint8_t bytes[] = {0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30};
    char *input = write_bytes("x", bytes, sizeof bytes);
    struct covey_data_config config = {.inputs = {.names = &input, .count = 1}, .scale = 0.5, .shift = 1};
    config.statistics = write_text("statistics.csv", "feature,mean,std\n0,1,2\n2,6,0\n");
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    float x[3];
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_dataset_read(&dataset, NULL, 0, 1, x, NULL, NULL) == COVEY_OK);
    cr_assert(x[0] == 2.5f && x[1] == 11 && x[2] == 10, "%g %g %g", (double)x[0], (double)x[1], (double)x[2]);
    covey_dataset_deinit(&dataset);
    static const char *const wrong[] = {"feature,mean,std\n3,1,2\n", "feature,mean,std\n0,x,2\n",
                                        "feature,mean,std\n0,1\n", "feature,mean,std\n0,1,-2\n",
                                        "feature,mean,std\n.5,1,2\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config.statistics = write_text("statistics.csv", wrong[i]);
        cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_INVALID);
        cr_assert(strstr(err.text, "statistics.csv:2") != NULL, "%s", err.text);
    }
}

Test(dataset_idx, written_and_read_again)
{
    uint8_t bytes[128];
    static const uint8_t types[] = {0x08, 0x0b, 0x0d, 0x0e};
    for (size_t t = 0; t < sizeof types; t++) {
        size_t count = make_idx(types[t], bytes);
        struct covey_dataset whole = {0}, part = {0};
        struct covey_error err = {0};
        for (int gzip = 0; gzip < 2; gzip++) { /* mapped: big-endian; inflated: turned already */
            char *input = gzip ? write_gzip("x", bytes, count) : write_bytes("x", bytes, count);
            uint8_t label_bytes[] = {0, 0, 8, 1, 0, 0, 0, 2, 4, 9};
            char *labels = write_bytes("y", label_bytes, sizeof label_bytes);
            struct covey_data_config config = {.inputs = {&input, 1}, .labels = {&labels, 1}};
            cr_assert(covey_data_load(&config, NULL, &whole, &err) == COVEY_OK, "%s", err.text);
            const uint32_t picked[] = {1, 0, 1};
            char *out = folder_path("part-x"), *out_labels = folder_path("part-y");
            cr_assert(covey_data_write_idx(&whole, picked, 3, out, out_labels, &err) == COVEY_OK, "%s",
                      err.text);
            config = (struct covey_data_config){.inputs = {&out, 1}, .labels = {&out_labels, 1}};
            cr_assert(covey_data_load(&config, NULL, &part, &err) == COVEY_OK, "%s", err.text);
            float a[3], b[3];
            for (uint32_t i = 0; i < 3; i++) {
                cr_assert(covey_dataset_read(&whole, NULL, picked[i], 1, a, NULL, NULL) == COVEY_OK);
                cr_assert(covey_dataset_read(&part, NULL, i, 1, b, NULL, NULL) == COVEY_OK);
                cr_assert(memcmp(a, b, sizeof a) == 0);
                cr_assert(covey_dataset_label(&part, i) == (picked[i] ? 9 : 4));
            }
            covey_dataset_deinit(&whole);
            covey_dataset_deinit(&part);
            unlink(input);
        }
    }
}
