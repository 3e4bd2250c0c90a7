/* The layer under the messages: items in, items out. Numbers from RFC 8949 appendix A. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "covey/limits.h"
#include "wire/cbor_reader.h"
#include "wire/cbor_writer.h"

static void expect_bytes(const struct covey_cbor_writer *writer, const char *hex, const char *what)
{
    uint8_t wanted[64];
    const size_t size = strlen(hex) / 2;
    size_t written = 0;
    cr_assert_eq(covey_hex_read(hex, wanted, size), 0);
    cr_assert_eq(covey_cbor_finish(writer, &written, NULL), COVEY_OK);
    cr_expect_eq(written, size, "%s: %zu bytes, not %zu", what, written, size);
    cr_expect_arr_eq(writer->out, wanted, size, "%s", what);
}

Test(wire_cbor, integers_are_written_in_the_shortest_form)
{
    static const struct {
        int64_t value;
        const char *hex;
    } cases[] = {
        {0, "00"},
        {23, "17"},
        {24, "1818"},
        {255, "18ff"},
        {256, "190100"},
        {65535, "19ffff"},
        {65536, "1a00010000"},
        {4294967295, "1affffffff"},
        {4294967296, "1b0000000100000000"},
        {INT64_MAX, "1b7fffffffffffffff"},
        {-1, "20"},
        {-24, "37"},
        {-25, "3818"},
        {-256, "38ff"},
        {-257, "390100"},
        {-1000, "3903e7"},
        {INT64_MIN, "3b7fffffffffffffff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[16];
        struct covey_cbor_writer writer;
        covey_cbor_writer_init(&writer, out, sizeof out);
        covey_cbor_put_signed(&writer, cases[i].value);
        expect_bytes(&writer, cases[i].hex, cases[i].hex);
    }
}

Test(wire_cbor, floats_are_written_in_the_shortest_exact_form)
{
    static const struct {
        double value;
        const char *hex;
    } cases[] = {
        {0.0, "f90000"},
        {-0.0, "f98000"},
        {1.0, "f93c00"},
        {1.5, "f93e00"},
        {65504.0, "f97bff"},
        {100000.0, "fa47c35000"},
        {3.4028234663852886e+38, "fa7f7fffff"},
        {1.0e+300, "fb7e37e43c8800759c"},
        {5.960464477539063e-8, "f90001"},
        {0.00006103515625, "f90400"},
        {-4.0, "f9c400"},
        {1.1, "fb3ff199999999999a"},
        {-4.1, "fbc010666666666666"},
        {65505.0, "fa477fe100"},
        {65536.0, "fa47800000"},
        {2.9802322387695312e-8, "fa33000000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[16];
        struct covey_cbor_writer writer;
        covey_cbor_writer_init(&writer, out, sizeof out);
        covey_cbor_put_float(&writer, cases[i].value);
        expect_bytes(&writer, cases[i].hex, cases[i].hex);
    }
}

static struct covey_cbor_item read_one(const uint8_t *bytes, size_t size)
{
    struct covey_cbor_reader reader;
    struct covey_cbor_item item;
    struct covey_error err = {0};
    covey_cbor_reader_init(&reader, (struct covey_bytes){bytes, size}, &err);
    cr_assert_eq(covey_cbor_next(&reader, &item), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_cbor_end(&reader), COVEY_OK, "%s", err.text);
    return item;
}

/* All 63,488 finite binary16 are read, and written again as themselves. */
Test(wire_cbor, every_half_float_comes_back)
{
    for (uint32_t half = 0; half < 65536; half++) {
        if ((half & 0x7c00) == 0x7c00)
            continue;
        const uint8_t in[3] = {0xf9, (uint8_t)(half >> 8), (uint8_t)half};
        const struct covey_cbor_item item = read_one(in, sizeof in);
        cr_assert_eq(item.type, COVEY_CBOR_FLOAT);
        uint8_t out[16];
        size_t size = 0;
        struct covey_cbor_writer writer;
        covey_cbor_writer_init(&writer, out, sizeof out);
        covey_cbor_put_float(&writer, item.number);
        cr_assert_eq(covey_cbor_finish(&writer, &size, NULL), COVEY_OK);
        cr_assert_eq(size, 3, "%04x", half);
        cr_assert_arr_eq(out, in, 3, "%04x", half);
    }
}

Test(wire_cbor, items_are_read)
{
    struct covey_cbor_item item = read_one((const uint8_t *)"\x1b\x80\x00\x00\x00\x00\x00\x00\x01", 9);
    cr_expect(item.type == COVEY_CBOR_UNSIGNED && item.value == 0x8000000000000001ull);
    item = read_one((const uint8_t *)"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    cr_expect(item.type == COVEY_CBOR_NEGATIVE && item.value == UINT64_MAX);
    item = read_one((const uint8_t *)"\x63"
                                     "abc",
                    4);
    cr_expect(item.type == COVEY_CBOR_TEXT && item.bytes.size == 3 && memcmp(item.bytes.data, "abc", 3) == 0);
    item = read_one((const uint8_t *)"\x40", 1);
    cr_expect(item.type == COVEY_CBOR_BYTES && item.bytes.size == 0);
    for (unsigned tag = 0; tag < 24; tag++) {
        const uint8_t byte = (uint8_t)(0xc0 | tag);
        item = read_one(&byte, 1);
        cr_expect(item.type == COVEY_CBOR_TAG && item.value == tag, "tag %u", tag);
    }
    item = read_one((const uint8_t *)"\xd8\x25", 2);
    cr_expect(item.type == COVEY_CBOR_TAG && item.value == 37);
    item = read_one((const uint8_t *)"\xf5", 1);
    cr_expect(item.type == COVEY_CBOR_BOOL && item.value == 1);
    item = read_one((const uint8_t *)"\xf7", 1);
    cr_expect(item.type == COVEY_CBOR_NULL);
    item = read_one((const uint8_t *)"\xf9\x7e\x00", 3);
    cr_expect(item.type == COVEY_CBOR_FLOAT && isnan(item.number));
}

Test(wire_cbor, malformed_items_are_refused)
{
    static const char *const cases[] = {
        "",           "18",         "19ff",       "1b00",
        "1c",         "1f",         "3f",         "5f4100ff",
        "7f6161ff",   "9fff",       "bfff",       "ff",
        "41",         "61",         "5affffffff", "7bffffffffffffffff",
        "81",         "9a00010000", "a100",       "bb8000000000000001",
        "fc",         "fe",         "f800",       "fa0000",
        "fb00000000", "d8",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[16];
        struct covey_cbor_reader reader;
        struct covey_cbor_item item;
        struct covey_error err = {0};
        const size_t size = strlen(cases[i]) / 2;
        cr_assert_eq(covey_hex_read(cases[i], bytes, size), 0);
        covey_cbor_reader_init(&reader, (struct covey_bytes){bytes, size}, &err);
        enum covey_status status = covey_cbor_next(&reader, &item);
        if (strcmp(cases[i], "a100") == 0) { /* its head holds; its value is missing */
            cr_expect_eq(status, COVEY_CORRUPT);
            continue;
        }
        cr_expect_eq(status, COVEY_CORRUPT, "%s", cases[i]);
        cr_expect_eq(reader.position, 0, "%s", cases[i]);
    }
}

/* One item, however it is nested, and nothing of the next; the depth counts from where the reader stands. */
Test(wire_cbor, skipping_takes_one_item)
{
    static const struct {
        const char *hex;
        unsigned depth;
        size_t left; /* bytes after it; SIZE_MAX: refused */
    } cases[] = {
        {"0001", 0, 1},
        {"8001", 0, 1},
        {"a001", 0, 1},
        {"8201028303", 0, 2},
        {"a2016161820102f6c101", 0, 2},
        {"818181818181818100", 0, 0},
        {"81818181818181818100", 0, SIZE_MAX},
        {"8181818100", 4, 0},
        {"8181818100", 5, SIZE_MAX},
        {"c1c1c1c1c1c1c1c100", 0, 0},
        {"c1c1c1c1c1c1c1c1c100", 0, SIZE_MAX},
        {"820102", 0, 0},
        {"8201", 0, SIZE_MAX},
        {"a10102ff", 0, 1},
        {"81a1008200c24100", 0, 0},
        {"828101820203", 0, 0},
        {"8281818181818181008180", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[32];
        struct covey_cbor_reader reader;
        struct covey_error err = {0};
        const size_t size = strlen(cases[i].hex) / 2;
        cr_assert_eq(covey_hex_read(cases[i].hex, bytes, size), 0);
        covey_cbor_reader_init(&reader, (struct covey_bytes){bytes, size}, &err);
        reader.depth = cases[i].depth;
        enum covey_status status = covey_cbor_skip(&reader);
        cr_expect_eq(reader.depth, cases[i].depth);
        if (cases[i].left == SIZE_MAX)
            cr_expect_eq(status, COVEY_CORRUPT, "%s", cases[i].hex);
        else
            cr_expect(status == COVEY_OK && size - reader.position == cases[i].left, "%s: %s", cases[i].hex,
                      err.text);
    }
}

Test(wire_cbor, a_full_writer_writes_no_more)
{
    uint8_t out[4] = {0xee, 0xee, 0xee, 0xee};
    struct covey_cbor_writer writer;
    size_t size = 0;
    covey_cbor_writer_init(&writer, out, 3);
    covey_cbor_put_text(&writer, "abc", 3);
    covey_cbor_put_unsigned(&writer, 0);
    covey_cbor_put_float(&writer, 1.5);
    cr_expect_eq(out[3], 0xee);
    cr_expect_eq(covey_cbor_finish(&writer, &size, NULL), COVEY_LIMIT);
    cr_expect_eq(size, 0);
}
