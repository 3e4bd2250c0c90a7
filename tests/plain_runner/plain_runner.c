#include "criterion/criterion.h"

#include <stdarg.h>

struct plain_test *plain_tests;
int plain_failures;

void plain_fail(const char *file, int line, const char *what, bool fatal, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s:%d: %s: ", file, line, what);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    __atomic_add_fetch(&plain_failures, 1, __ATOMIC_RELAXED);
    if (fatal)
        exit(1);
}

/* Arguments of Criterion's own runner are accepted; one that starts with "--filter=" keeps the tests whose name has it. */
int main(int argc, char **argv)
{
    const char *filter = "";
    unsigned count = 0;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--filter=", 9) == 0)
            filter = argv[i] + 9;
    for (const struct plain_test *test = plain_tests; test != NULL; test = test->next) {
        if (test->disabled || strstr(test->name, filter) == NULL)
            continue;
        fprintf(stderr, "%s::%s\n", test->suite, test->name);
        if (test->init != NULL)
            test->init();
        test->run();
        if (test->fini != NULL)
            test->fini();
        count++;
    }
    fprintf(stderr, "%u tests, %d failures\n", count, plain_failures);
    return plain_failures != 0;
}
