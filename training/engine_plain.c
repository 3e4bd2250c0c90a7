#include "network.h"

const struct covey_engine covey_engine_plain = {"plain", &covey_kernels_plain_f32, &covey_network_f32};
