/* What this process takes of the machine's memory, as Linux counts it. */
#ifndef COVEY_MEMORY_USE_H
#define COVEY_MEMORY_USE_H

#include <stdint.h>

struct covey_memory_use {
    uint64_t peak_bytes; /* largest resident set since the program began, mapped files included */
    uint64_t now_bytes;
    uint64_t file_bytes; /* of now: pages of mapped files, the program's own text among them */
};

/* All zero where /proc is not there. */
void covey_memory_use(struct covey_memory_use *out);

#endif
