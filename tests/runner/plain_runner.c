/* Runs the tests of one program, each in a process of its own, one after the other. See criterion/criterion.h
 * here. */
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "criterion/criterion.h"

#define TESTS 256
#define SUITES 32
#define EXIT_SKIPPED 77
#define SLOWER 10 /* a sanitizer's share of a test's time limit */

struct test {
    const char *suite, *name;
    void (*run)(void);
    struct runner_options options;
};

static struct test tests[TESTS];
static struct test suites[SUITES];
static int test_count, suite_count, failures_here;

void runner_add(const char *suite, const char *name, void (*run)(void), struct runner_options options)
{
    if (test_count == TESTS)
        abort();
    tests[test_count++] = (struct test){suite, name, run, options};
}

void runner_add_suite(const char *suite, struct runner_options options)
{
    if (suite_count == SUITES)
        abort();
    suites[suite_count++] = (struct test){.suite = suite, .options = options};
}

void runner_check(int right, int fatal, const char *file, int line, const char *what, const char *format, ...)
{
    if (right)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: not so: %s", file, line, what);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    failures_here++;
    if (fatal)
        _exit(1);
}

void runner_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    _exit(EXIT_SKIPPED);
}

static int run_here(const struct test *test)
{
    struct runner_options suite = {0};
    for (int i = 0; i < suite_count; i++) {
        if (strcmp(suites[i].suite, test->suite) == 0)
            suite = suites[i].options;
    }
    double limit = test->options.timeout > 0 ? test->options.timeout : suite.timeout;
    if (limit > 0)
        alarm((unsigned)(limit * SLOWER) + 1);
    if (suite.init != NULL)
        suite.init();
    if (test->options.init != NULL)
        test->options.init();
    test->run();
    if (test->options.fini != NULL)
        test->options.fini();
    if (suite.fini != NULL)
        suite.fini();
    return failures_here > 0;
}

int main(int argc, char **argv)
{
    const char *filter = NULL; /* a part of SUITE/NAME after --filter */
    int failed = 0, skipped = 0, ran = 0;
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--filter") == 0)
            filter = argv[i + 1];
    }
    for (int i = 0; i < test_count; i++) {
        char title[256];
        snprintf(title, sizeof title, "%s/%s", tests[i].suite, tests[i].name);
        if (tests[i].options.disabled || (filter != NULL && strstr(title, filter) == NULL))
            continue;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0)
            exit(run_here(&tests[i]));
        int status = -1;
        if (child < 0 || waitpid(child, &status, 0) != child)
            status = -1;
        ran++;
        int skip = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED;
        skipped += skip;
        if (status != 0 && !skip) {
            failed++;
            fprintf(stderr, "[FAIL] %s (%s %d)\n", title, WIFSIGNALED(status) ? "signal" : "exit",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
    }
    fprintf(stderr, "tested %d, failed %d, skipped %d\n", ran, failed, skipped);
    return failed > 0 || ran == 0;
}
