#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/json.h"

Test(json, an_object_with_everything)
{
    char out[512];
    struct covey_json json;
    covey_json_init(&json, out, sizeof out);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "text", "a\"b\\c\n\x01ü");
    covey_json_text(&json, "none", NULL);
    covey_json_int(&json, "int", INT64_MIN);
    covey_json_real(&json, "real", 0.1);
    covey_json_real(&json, "nan", NAN);
    covey_json_real(&json, "inf", -INFINITY);
    covey_json_bool(&json, "bool", true);
    covey_json_open(&json, "list", '[');
    covey_json_int(&json, NULL, 1);
    covey_json_open(&json, NULL, '{');
    covey_json_close(&json, '}');
    covey_json_bool(&json, NULL, false);
    covey_json_close(&json, ']');
    covey_json_int(&json, "after", 2);
    covey_json_close(&json, '}');
    cr_expect_str_eq(
        out, "{\"text\":\"a\\\"b\\\\c\\u000a\\u0001ü\",\"none\":null,\"int\":-9223372036854775808,"
             "\"real\":0.1,\"nan\":null,\"inf\":null,\"bool\":true,\"list\":[1,{},false],\"after\":2}");
    cr_expect_not(json.overflow);
    cr_expect_eq(json.used, strlen(out));
}

Test(json, reals_read_back_as_themselves)
{
    const double values[] = {
        0, 1, -1, 0.1, 1. / 3, 1e300, 5e-324, 123456789.123456789, 2.2250738585072014e-308, 1e21};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char out[64];
        struct covey_json json;
        covey_json_init(&json, out, sizeof out);
        covey_json_real(&json, NULL, values[i]);
        cr_expect_eq(strtod(out, NULL), values[i], "%s", out);
    }
}

Test(json, what_is_not_utf8_is_replaced)
{
    static const char *const bad[] = {"\xff",         "\xc0\x80",         "\xe2\x82",
                                      "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char out[64];
        struct covey_json json;
        covey_json_init(&json, out, sizeof out);
        covey_json_text(&json, NULL, bad[i]);
        cr_expect(strncmp(out, "\"\xEF\xBF\xBD", 4) == 0, "row %zu", i);
        for (char *at = out; *at != '\0'; at++)
            cr_expect_neq((unsigned char)*at, 0xff);
    }
}

Test(json, what_does_not_fit_is_said_and_never_written)
{
    for (size_t size = 0; size < 24; size++) {
        char out[32];
        memset(out, 'Z', sizeof out);
        struct covey_json json;
        covey_json_init(&json, out, size);
        covey_json_open(&json, NULL, '{');
        covey_json_text(&json, "key", "some value");
        covey_json_close(&json, '}');
        cr_expect_eq(json.overflow, size < 21, "size %zu", size);
        for (size_t i = size; i < sizeof out; i++)
            cr_assert_eq(out[i], 'Z');
        if (size > 0)
            cr_expect(memchr(out, '\0', size) != NULL);
    }
}
