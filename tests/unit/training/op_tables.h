/* The f32 tables of this build, ended by NULL. */
#ifndef COVEY_TEST_OP_TABLES_H
#define COVEY_TEST_OP_TABLES_H

#include "op.h"

extern const struct covey_kernels *const op_tables_f32[];

#endif
