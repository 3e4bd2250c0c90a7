/* A CSV file of any bytes, with and without a header, a label and words. */
#include "dataset_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *words[] = {"walk", "run"};
    char path[64], *names[] = {path};
    struct covey_error err;
    int descriptor = memory_file(data, size, path);
    for (int variant = 0; variant < 4; variant++) {
        struct covey_dataset dataset = {0};
        struct covey_data_config config = {.csv.files = {names, 1}, .missing = COVEY_MISSING_SKIP};
        if (variant & 1)
            config.csv.label = "0";
        if (variant & 2)
            config.csv.classes = (struct covey_data_names){words, 2};
        if (covey_data_load(&config, NULL, &dataset, &err) == COVEY_OK)
            read_through(&dataset);
        covey_dataset_deinit(&dataset);
    }
    close(descriptor);
    return 0;
}
