/* Criterion's words for tests under ThreadSanitizer, where Criterion itself cannot start (its arena lies where the
 * sanitizer keeps its shadow). Every test runs in one process, one after another; a failed assertion ends the program. Put
 * this folder in front of the include path. */
#ifndef PLAIN_RUNNER_CRITERION_H
#define PLAIN_RUNNER_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_test {
    const char *suite, *name;
    void (*run)(void);
    void (*init)(void), (*fini)(void);
    double timeout;
    int exit_code, signal; /* accepted and not looked at */
    bool disabled;
    const char *description;
    struct plain_test *next;
};

extern struct plain_test *plain_tests;
extern int plain_failures;
void plain_fail(const char *file, int line, const char *what, bool fatal, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#define Test(suite_, name_, ...)                                                                                  \
    static void suite_##_##name_##_run(void);                                                                     \
    __attribute__((constructor)) static void suite_##_##name_##_add(void)                                         \
    {                                                                                                             \
        static struct plain_test test = {#suite_, #name_, suite_##_##name_##_run, __VA_ARGS__};                   \
        struct plain_test **last = &plain_tests;                                                                  \
        while (*last != NULL)                                                                                     \
            last = &(*last)->next;                                                                                \
        *last = &test;                                                                                            \
    }                                                                                                             \
    static void suite_##_##name_##_run(void)
#define TestSuite(suite_, ...) struct plain_suite_##suite_

#define PLAIN_CHECK(fatal, condition, what, ...)                                                                  \
    ((condition) ? (void)0 : plain_fail(__FILE__, __LINE__, what, fatal, "" __VA_ARGS__))

#define cr_assert(c, ...) PLAIN_CHECK(true, c, #c, __VA_ARGS__)
#define cr_expect(c, ...) PLAIN_CHECK(false, c, #c, __VA_ARGS__)
#define cr_assert_not(c, ...) PLAIN_CHECK(true, !(c), "not " #c, __VA_ARGS__)
#define cr_expect_not(c, ...) PLAIN_CHECK(false, !(c), "not " #c, __VA_ARGS__)
#define PLAIN_COMPARE(fatal, a, op, b, ...) PLAIN_CHECK(fatal, (a)op(b), #a " " #op " " #b, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) PLAIN_COMPARE(true, a, ==, b, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) PLAIN_COMPARE(false, a, ==, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) PLAIN_COMPARE(true, a, !=, b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) PLAIN_COMPARE(false, a, !=, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) PLAIN_COMPARE(true, a, <, b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) PLAIN_COMPARE(false, a, <, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) PLAIN_COMPARE(true, a, <=, b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) PLAIN_COMPARE(false, a, <=, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) PLAIN_COMPARE(true, a, >, b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) PLAIN_COMPARE(false, a, >, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) PLAIN_COMPARE(true, a, >=, b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) PLAIN_COMPARE(false, a, >=, b, __VA_ARGS__)
#define cr_assert_null(a, ...) PLAIN_COMPARE(true, a, ==, NULL, __VA_ARGS__)
#define cr_expect_null(a, ...) PLAIN_COMPARE(false, a, ==, NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...) PLAIN_COMPARE(true, a, !=, NULL, __VA_ARGS__)
#define cr_expect_not_null(a, ...) PLAIN_COMPARE(false, a, !=, NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) PLAIN_CHECK(true, strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) PLAIN_CHECK(false, strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) PLAIN_CHECK(true, memcmp(a, b, n) == 0, #a " holds " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...) PLAIN_CHECK(false, memcmp(a, b, n) == 0, #a " holds " #b, __VA_ARGS__)
#define PLAIN_NEAR(a, b, e) ((a) - (b) <= (e) && (b) - (a) <= (e))
#define cr_assert_float_eq(a, b, e, ...) PLAIN_CHECK(true, PLAIN_NEAR(a, b, e), #a " is near " #b, __VA_ARGS__)
#define cr_expect_float_eq(a, b, e, ...) PLAIN_CHECK(false, PLAIN_NEAR(a, b, e), #a " is near " #b, __VA_ARGS__)
#define cr_assert_fail(...) PLAIN_CHECK(true, false, "fail", __VA_ARGS__)
#define cr_fail(...) PLAIN_CHECK(false, false, "fail", __VA_ARGS__)
#define cr_skip_test(...) return
#define cr_skip(...) return
#define cr_log_info(...) ((void)fprintf(stderr, __VA_ARGS__))

#endif
