/* What every area of covey-bench needs: options, a clock, medians, the process's peak memory. */
#ifndef COVEY_BENCH_MEASURE_H
#define COVEY_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The text after --NAME, or fallback. bench_flag: whether --NAME is there. */
const char *bench_option(int argc, char **argv, const char *name, const char *fallback);
bool bench_flag(int argc, char **argv, const char *name);

/* The same as numbers; a value that is none, or out of [minimum, maximum], ends the program with status 2. */
uint64_t bench_number(int argc, char **argv, const char *name, uint64_t fallback, uint64_t minimum,
                      uint64_t maximum);

/* values: names that take a value; flags: names that take none; both ended by NULL. 0, or 2 after saying on
 * standard error what is unknown. */
int bench_check_options(int argc, char **argv, const char *const *values, const char *const *flags);

uint64_t bench_now_ns(void);    /* monotonic */
uint64_t bench_thread_ns(void); /* that this thread was given a processor: others' load is not in it */

/* values is reordered by bench_median. */
double bench_minimum(const double *values, size_t count);
double bench_median(double *values, size_t count);

uint64_t bench_peak_rss_bytes(void);

#endif
