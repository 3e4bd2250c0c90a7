/* NPY: versions, types, orders, and headers that lie. */
#include "dataset_files.h"

TestSuite(dataset_npy, .init = folder_make, .fini = folder_remove);

/* An NPY file of version 1 with this header and these bytes of values. */
static char *write_npy(const char *header, const void *values, size_t count)
{
    uint8_t bytes[1024] = "\x93NUMPY\x01";
    size_t length = strlen(header);
    cr_assert(10 + length + count <= sizeof bytes);
    bytes[8] = (uint8_t)length;
    bytes[9] = (uint8_t)(length >> 8);
    memcpy(bytes + 10, header, length);
    memcpy(bytes + 10 + length, values, count);
    return write_bytes("x.npy", bytes, 10 + length + count);
}

Test(dataset_npy, types)
{
    static const struct {
        const char *descr;
        uint8_t bytes[16]; /* two values: 1 and 258, or 1 and 2 where a byte is all there is */
        size_t count;
        float second;
        bool mapped;
    } cases[] = {
        {"|u1", {1, 2}, 2, 2, true},
        {"|b1", {1, 0}, 2, 0, true},
        {"|i1", {1, 0xfe}, 2, -2, true},
        {"<i2", {1, 0, 2, 1}, 4, 258, true},
        {">i2", {0, 1, 1, 2}, 4, 258, true},
        {"<i4", {1, 0, 0, 0, 2, 1, 0, 0}, 8, 258, true},
        {"<u2", {1, 0, 0xff, 0xff}, 4, 65535, false},
        {"<u4", {1, 0, 0, 0, 2, 1, 0, 0}, 8, 258, false},
        {"<i8", {1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 16, -2, false},
        {">i8", {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2}, 16, 258, false},
        {"<f4", {0, 0, 0x80, 0x3f, 0, 0, 0x81, 0x43}, 8, 258, true},
        {">f4", {0x3f, 0x80, 0, 0, 0x43, 0x81, 0, 0}, 8, 258, true},
        {"<f8", {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0x20, 0x70, 0x40}, 16, 258, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[128];
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (2, 1), }   \n",
                 cases[i].descr);
        struct covey_dataset dataset = {0};
        struct covey_error err = {0};
        cr_assert(load_one(write_npy(header, cases[i].bytes, cases[i].count), &dataset, &err) == COVEY_OK,
                  "%s: %s", cases[i].descr, err.text);
        float x[2];
        cr_assert(covey_dataset_read(&dataset, NULL, 0, 2, x, NULL, NULL) == COVEY_OK);
        cr_assert(x[0] == 1 && x[1] == cases[i].second, "%s: %g %g", cases[i].descr, (double)x[0],
                  (double)x[1]);
        uint64_t mapped, heap;
        covey_dataset_memory(&dataset, &mapped, &heap);
        cr_assert((mapped != 0) == cases[i].mapped);
        covey_dataset_deinit(&dataset);
    }
}

Test(dataset_npy, shapes)
{
    static const struct {
        const char *header;
        uint32_t count, width, rank;
    } cases[] = {
        {"{'shape':(6,),'fortran_order':False,'descr':'|u1'}", 6, 1, 1},
        {"{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (2,3)}", 2, 3, 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 2, 1), }", 1, 6, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct covey_dataset dataset = {0};
        struct covey_error err = {0};
        cr_assert(load_one(write_npy(cases[i].header, "abcdef", 6), &dataset, &err) == COVEY_OK, "%s",
                  err.text);
        cr_assert(dataset.count == cases[i].count && dataset.inputs.width == cases[i].width &&
                  dataset.rank == cases[i].rank);
        covey_dataset_deinit(&dataset);
    }
}

Test(dataset_npy, refused)
{
    static const struct {
        const char *header;
        enum covey_status status;
    } cases[] = {
        {"", COVEY_CORRUPT},
        {"{}", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': False}", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (6,)}", COVEY_UNSUPPORTED},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': ()}", COVEY_INVALID},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7,)}", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (5,)}", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (-6,)}", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0,)}", COVEY_INVALID},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999,)}", COVEY_LIMIT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000,)}", COVEY_LIMIT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,6)}", COVEY_LIMIT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2147483647, 2147483647)}", COVEY_LIMIT},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (6,)}", COVEY_UNSUPPORTED},
        {"{'descr': '<U4', 'fortran_order': False, 'shape': (6,)}", COVEY_UNSUPPORTED},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (6,)}", COVEY_UNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}", COVEY_UNSUPPORTED},
        {"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (6,)}", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6,), 'more': 1}", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6,)} x", COVEY_CORRUPT},
        {"{'descr': '|u1", COVEY_CORRUPT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6", COVEY_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct covey_dataset dataset = {0};
        struct covey_error err = {0};
        enum covey_status status = load_one(write_npy(cases[i].header, "abcdef", 6), &dataset, &err);
        cr_assert(status == cases[i].status, "%s: %s: %s", cases[i].header, covey_status_text(status),
                  err.text);
    }
    struct covey_dataset dataset = {0};
    const uint8_t long_header[] = "\x93NUMPY\x02\0\xff\xff\xff\x7f{";
    cr_assert(load_one(write_bytes("long", long_header, sizeof long_header), &dataset, NULL) == COVEY_LIMIT);
    const uint8_t version[] = "\x93NUMPY\x09\0\x01\0{";
    cr_assert(load_one(write_bytes("version", version, sizeof version), &dataset, NULL) == COVEY_UNSUPPORTED);
    const uint8_t large[] = {0, 0, 0, 0, 1, 0, 0, 0};
    struct covey_error err = {0};
    cr_assert(load_one(write_npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", large, 8),
                       &dataset, &err) == COVEY_RANGE,
              "%s", err.text);
}
