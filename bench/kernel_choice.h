/* Which of the kernels' tables are measured: `covey-bench codec --kernels plain` and the like. */
#ifndef COVEY_BENCH_KERNEL_CHOICE_H
#define COVEY_BENCH_KERNEL_CHOICE_H

/* name: avx512, avx2, plain, or NULL for the widest. 0, or 2 after saying on standard error that this machine
 * cannot run them. Once, before anything is measured. */
int bench_choose_kernels(const char *name);

#endif
