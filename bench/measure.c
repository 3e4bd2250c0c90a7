#include "measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static bool is_option(const char *word, const char *name)
{
    return strncmp(word, "--", 2) == 0 && strcmp(word + 2, name) == 0;
}

const char *bench_option(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++)
        if (is_option(argv[i], name))
            return argv[i + 1];
    return fallback;
}

bool bench_flag(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (is_option(argv[i], name))
            return true;
    return false;
}

uint64_t bench_number(int argc, char **argv, const char *name, uint64_t fallback, uint64_t minimum,
                      uint64_t maximum)
{
    const char *text = bench_option(argc, argv, name, NULL);
    char *end = NULL;
    if (text == NULL)
        return fallback;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < minimum || value > maximum) {
        fprintf(stderr, "covey-bench: --%s must be a whole number from %llu to %llu, not '%s'\n", name,
                (unsigned long long)minimum, (unsigned long long)maximum, text);
        exit(2);
    }
    return value;
}

static bool is_listed(const char *word, const char *const *names)
{
    for (; names != NULL && *names != NULL; names++)
        if (is_option(word, *names))
            return true;
    return false;
}

int bench_check_options(int argc, char **argv, const char *const *values, const char *const *flags)
{
    for (int i = 1; i < argc; i++) {
        if (is_listed(argv[i], flags))
            continue;
        if (!is_listed(argv[i], values)) {
            fprintf(stderr, "covey-bench %s: unknown option '%s'\n", argv[0], argv[i]);
            return 2;
        }
        if (++i == argc) {
            fprintf(stderr, "covey-bench %s: '%s' wants a value\n", argv[0], argv[i - 1]);
            return 2;
        }
    }
    return 0;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_thread_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

double bench_minimum(const double *values, size_t count)
{
    double least = values[0];
    for (size_t i = 1; i < count; i++)
        if (values[i] < least)
            least = values[i];
    return least;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 == 1 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

uint64_t bench_peak_rss_bytes(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024u;
}
