/* Reads the golden values of tests/golden/training: one vector of little-endian f64 in NPY form, read from
 * front to back. Fails the test when the file is missing or too short. */
#ifndef COVEY_TEST_GOLDEN_FILE_H
#define COVEY_TEST_GOLDEN_FILE_H

#include <stddef.h>

struct golden_file {
    double *values;
    size_t count, next;
};

void golden_open(struct golden_file *file, const char *name);
double golden_next(struct golden_file *file);

/* Compares values with the next digest: their sum, sum of squares, and evenly spaced ones (make_golden.py).
 * Errors are relative to the value or to the vector's root mean square, whichever is larger; the sum's, to
 * the root mean square times the count. */
void golden_check(struct golden_file *file, const char *what, const double *values, size_t count,
                  double tolerance);

/* Reads the next digest and adds to *error_squares what the evenly spaced values say of the squared distance
 * between the vectors, and to *squares the golden one's own: for a relative error over several vectors
 * together. */
void golden_distance(struct golden_file *file, const double *values, size_t count, double *error_squares,
                     double *squares);

/* Fails unless all was read. */
void golden_close(struct golden_file *file);

#endif
