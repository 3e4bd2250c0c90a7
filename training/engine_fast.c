#include "network.h"

const struct covey_engine covey_engine_fast = {"fast", &covey_kernels_fast, &covey_network_f32};
