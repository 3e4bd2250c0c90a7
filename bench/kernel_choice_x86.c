/* The library's question what the machine can run, answered with what the options ask for: the linker takes
 * this function and leaves the library's file out. The one state that the program has, as kernels have no
 * context. */
#include <stdio.h>
#include <string.h>

#include "covey/vectors_x86.h"
#include "kernel_choice.h"

static size_t skipped_by_option;

size_t covey_vectors_skipped(void)
{
    const size_t least = covey_vectors_missing();
    return skipped_by_option > least ? skipped_by_option : least;
}

int bench_choose_kernels(const char *name)
{
    static const char *const names[COVEY_VECTOR_TABLES] = {"avx512", "avx2", "plain"};
    for (size_t i = 0; name != NULL && i < COVEY_VECTOR_TABLES; i++) {
        if (strcmp(name, names[i]) == 0 && i >= covey_vectors_missing()) {
            skipped_by_option = i;
            return 0;
        }
    }
    if (name != NULL)
        fprintf(stderr, "covey-bench: this machine has no kernels '%s'\n", name);
    return name == NULL ? 0 : 2;
}
