/* A safetensors file of any bytes: every tensor that it shows can be read. */
#include <stdint.h>
#include <stdlib.h>

#include "covey/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct covey_safetensors *file;
    struct covey_error err;
    if (covey_safetensors_open_bytes("fuzz", (struct covey_bytes){data, size}, &file, &err) != COVEY_OK)
        return 0;
    for (size_t i = 0; i < covey_safetensors_count(file); i++) {
        const struct covey_safetensors_entry *entry = covey_safetensors_entry(file, i);
        float *values = malloc(entry->count * sizeof *values + 1);
        covey_safetensors_values(entry, values);
        free(values);
        if (covey_safetensors_find(file, entry->name) != entry)
            abort();
    }
    covey_safetensors_close(file);
    return 0;
}
