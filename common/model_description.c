#include "covey/model_description.h"

#include <stddef.h>

const char *covey_op_kind_name(enum covey_op_kind kind)
{
#define NAME(kind, name) #name,
    static const char *const names[] = {COVEY_OPERATIONS(NAME)};
#undef NAME
    return (unsigned)kind < COVEY_OP_KINDS ? names[kind] : NULL;
}
