/* What our tests use of Criterion, for ThreadSanitizer: Criterion's own runner keeps tests in an arena at a
 * fixed address that the sanitizer does not leave free. Each test is a process of its own here too;
 * assertions end it. */
#ifndef COVEY_TESTS_CRITERION_H
#define COVEY_TESTS_CRITERION_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct runner_options {
    void (*init)(void);
    void (*fini)(void);
    double timeout;
    int disabled;
    const char *description;
};

void runner_add(const char *suite, const char *name, void (*test)(void), struct runner_options options);
void runner_add_suite(const char *suite, struct runner_options options);
/* Says where and what; fatal ones end the test. */
void runner_check(int right, int fatal, const char *file, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void runner_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define TestSuite(Suite, ...)                                                                                \
    __attribute__((constructor(200))) static void runner_suite_##Suite(void)                                 \
    {                                                                                                        \
        runner_add_suite(#Suite, (struct runner_options){__VA_ARGS__});                                      \
    }                                                                                                        \
    struct runner_options

#define Test(Suite, Name, ...)                                                                               \
    static void runner_test_##Suite##_##Name(void);                                                          \
    __attribute__((constructor(300))) static void runner_add_##Suite##_##Name(void)                          \
    {                                                                                                        \
        runner_add(#Suite, #Name, runner_test_##Suite##_##Name, (struct runner_options){__VA_ARGS__});       \
    }                                                                                                        \
    static void runner_test_##Suite##_##Name(void)

#define RUNNER_CHECK(fatal, condition, ...)                                                                  \
    runner_check(!!(condition), fatal, __FILE__, __LINE__, #condition, " " __VA_ARGS__)
#define RUNNER_BYTES(fatal, equal, a, b, size, ...)                                                          \
    RUNNER_CHECK(fatal, (memcmp((a), (b), (size)) == 0) == (equal), ##__VA_ARGS__)
#define RUNNER_TEXT(fatal, equal, a, b, ...)                                                                 \
    RUNNER_CHECK(fatal, (strcmp((a), (b)) == 0) == (equal), ##__VA_ARGS__)

#define cr_assert(c, ...) RUNNER_CHECK(1, c, ##__VA_ARGS__)
#define cr_assert_not(c, ...) RUNNER_CHECK(1, !(c), ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...) RUNNER_CHECK(1, (a) == (b), ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...) RUNNER_CHECK(1, (a) != (b), ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...) RUNNER_CHECK(1, (a) < (b), ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...) RUNNER_CHECK(1, (a) <= (b), ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...) RUNNER_CHECK(1, (a) > (b), ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...) RUNNER_CHECK(1, (a) >= (b), ##__VA_ARGS__)
#define cr_assert_null(p, ...) RUNNER_CHECK(1, (p) == NULL, ##__VA_ARGS__)
#define cr_assert_not_null(p, ...) RUNNER_CHECK(1, (p) != NULL, ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) RUNNER_TEXT(1, 1, a, b, ##__VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) RUNNER_TEXT(1, 0, a, b, ##__VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) RUNNER_BYTES(1, 1, a, b, n, ##__VA_ARGS__)
#define cr_assert_arr_neq(a, b, n, ...) RUNNER_BYTES(1, 0, a, b, n, ##__VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...)                                                                     \
    RUNNER_CHECK(1, fabs((double)(a) - (double)(b)) <= (e), ##__VA_ARGS__)
#define cr_assert_fail(...) RUNNER_CHECK(1, 0, ##__VA_ARGS__)
#define cr_fail(...) RUNNER_CHECK(0, 0, ##__VA_ARGS__)

#define cr_expect(c, ...) RUNNER_CHECK(0, c, ##__VA_ARGS__)
#define cr_expect_not(c, ...) RUNNER_CHECK(0, !(c), ##__VA_ARGS__)
#define cr_expect_eq(a, b, ...) RUNNER_CHECK(0, (a) == (b), ##__VA_ARGS__)
#define cr_expect_neq(a, b, ...) RUNNER_CHECK(0, (a) != (b), ##__VA_ARGS__)
#define cr_expect_lt(a, b, ...) RUNNER_CHECK(0, (a) < (b), ##__VA_ARGS__)
#define cr_expect_leq(a, b, ...) RUNNER_CHECK(0, (a) <= (b), ##__VA_ARGS__)
#define cr_expect_gt(a, b, ...) RUNNER_CHECK(0, (a) > (b), ##__VA_ARGS__)
#define cr_expect_geq(a, b, ...) RUNNER_CHECK(0, (a) >= (b), ##__VA_ARGS__)
#define cr_expect_null(p, ...) RUNNER_CHECK(0, (p) == NULL, ##__VA_ARGS__)
#define cr_expect_not_null(p, ...) RUNNER_CHECK(0, (p) != NULL, ##__VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) RUNNER_TEXT(0, 1, a, b, ##__VA_ARGS__)
#define cr_expect_str_neq(a, b, ...) RUNNER_TEXT(0, 0, a, b, ##__VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...) RUNNER_BYTES(0, 1, a, b, n, ##__VA_ARGS__)
#define cr_expect_arr_neq(a, b, n, ...) RUNNER_BYTES(0, 0, a, b, n, ##__VA_ARGS__)
#define cr_expect_float_eq(a, b, e, ...)                                                                     \
    RUNNER_CHECK(0, fabs((double)(a) - (double)(b)) <= (e), ##__VA_ARGS__)
#define cr_expect_fail(...) RUNNER_CHECK(0, 0, ##__VA_ARGS__)

#define cr_skip(...) runner_skip(" " __VA_ARGS__)
#define cr_skip_test(...) runner_skip(" " __VA_ARGS__)
#define cr_log_info(...) fprintf(stderr, __VA_ARGS__)
#define cr_log_warn(...) fprintf(stderr, __VA_ARGS__)

#endif
