/* Linked into small devices: see CMakeLists.txt. */
#include "covey/training_kernels.h"
#include "network.h"

const struct covey_engine *covey_engine_default(void)
{
    return &covey_engine_plain;
}

const char *covey_training_instruction_set(void)
{
    return "none";
}
