/* The f32 engines of this build, ended by NULL. */
#ifndef COVEY_TEST_FOLLOWING_ENGINES_H
#define COVEY_TEST_FOLLOWING_ENGINES_H

#include "covey/training_plan.h"

extern const struct covey_engine *const following_engines[];

#endif
