#include "source.h"

enum covey_status covey_source_load(const struct covey_client_config *config, struct covey_dataset *out,
                                    struct covey_error *err)
{
    struct covey_dataset dataset = {0};
    if (covey_data_is_named(&config->data))
        COVEY_TRY(covey_data_load(&config->data, config->folder, &dataset, err));
    *out = dataset;
    return COVEY_OK;
}
