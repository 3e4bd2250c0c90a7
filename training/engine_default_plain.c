/* Linked into small devices: see CMakeLists.txt. */
#include "network.h"

const struct covey_engine *covey_engine_default(void)
{
    return &covey_engine_plain;
}
