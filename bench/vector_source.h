/* Vectors to encode: drawn from a distribution of unit variance, or read from a file. */
#ifndef COVEY_BENCH_VECTOR_SOURCE_H
#define COVEY_BENCH_VECTOR_SOURCE_H

#include <stddef.h>
#include <stdint.h>

/* name: "normal", "laplace", "student3" (Student's t, three degrees of freedom, scaled), or the path of an
 * .npy file of little-endian f32, of which *count values are taken at the most; *count is set to how many
 * there are. Malloc'd; NULL after a message on standard error. */
float *bench_vector(const char *name, size_t *count, uint64_t seed);

#endif
