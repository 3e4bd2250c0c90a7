/* Where a device's examples come from: today the files of the `data:` block. */
#ifndef COVEY_SOURCE_H
#define COVEY_SOURCE_H

#include "covey/client_config.h"
#include "covey/dataset.h"

/* *out is all zero, and OK, when the configuration names no data. The caller deinits it. */
COVEY_MUST_CHECK enum covey_status covey_source_load(const struct covey_client_config *config,
                                                     struct covey_dataset *out, struct covey_error *err);

#endif
