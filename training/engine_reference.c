#include "network.h"

const struct covey_engine covey_engine_reference = {"reference", &covey_kernels_plain_f64,
                                                    &covey_network_f64};
