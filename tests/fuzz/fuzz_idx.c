/* An IDX file of any bytes: loaded, read through, or refused. */
#include "dataset_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_table(data, size);
}
