/* What the fast kernels run on, for reports. */
#ifndef COVEY_TRAINING_KERNELS_H
#define COVEY_TRAINING_KERNELS_H

/* "avx512", "avx2", or "base" (SSE2 or NEON): chosen by what this CPU can do. For ever valid. Linked only where the
 * fast engine is (COVEY_LINALG=blas). */
const char *covey_training_instruction_set(void);

#endif
