/* What the fast kernels run on, for reports. */
#ifndef COVEY_TRAINING_KERNELS_H
#define COVEY_TRAINING_KERNELS_H

/* Of the fast engine: "avx512", "avx2" or "base" (SSE2 or NEON), chosen by what this CPU can do; "none" where
 * it is not built in. For ever valid. */
const char *covey_training_instruction_set(void);

#endif
