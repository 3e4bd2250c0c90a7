/* Data files of any bytes, put into a file that has no name on any disk. */
#ifndef COVEY_DATASET_FUZZ_H
#define COVEY_DATASET_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "covey/dataset_load.h"

/* The path of a memory file holding data; the descriptor is the caller's to close. */
static inline int memory_file(const uint8_t *data, size_t size, char path[64])
{
    int descriptor = memfd_create("fuzz", MFD_CLOEXEC);
    if (descriptor < 0 || write(descriptor, data, size) != (ssize_t)size)
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", descriptor);
    return descriptor;
}

/* Every example that was loaded can be read. */
static inline void read_through(struct covey_dataset *dataset)
{
    size_t width = (size_t)dataset->inputs.width + dataset->targets.width + dataset->labels.width;
    float *values = malloc(width * sizeof *values);
    int32_t *labels = malloc((dataset->labels.width + 1) * sizeof *labels);
    for (uint32_t i = 0; i < dataset->count; i++)
        if (covey_dataset_read(dataset, NULL, i, 1, values, labels, values + dataset->inputs.width) !=
            COVEY_OK)
            abort();
    free(values);
    free(labels);
}

static inline int fuzz_table(const uint8_t *data, size_t size)
{
    char path[64], *names[] = {path};
    struct covey_dataset dataset = {0};
    struct covey_error err;
    int descriptor = memory_file(data, size, path);
    struct covey_data_config config = {
        .inputs = {names, 1}, .labels = {names, 1}, .missing = COVEY_MISSING_SKIP};
    if (covey_data_load(&config, NULL, &dataset, &err) == COVEY_OK)
        read_through(&dataset);
    covey_dataset_deinit(&dataset);
    close(descriptor);
    return 0;
}

#endif
