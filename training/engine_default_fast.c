/* Linked where OpenBLAS is: see CMakeLists.txt. */
#include "network.h"

const struct covey_engine *covey_engine_default(void)
{
    return &covey_engine_fast;
}
