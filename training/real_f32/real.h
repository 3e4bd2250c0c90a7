/* The precision of this compilation: f32. REAL(name) is the name of a symbol in it. */
#ifndef COVEY_REAL_H
#define COVEY_REAL_H

typedef float real;

#define REAL(name) name##_f32
#define REAL_C(value) value##f
#define REAL_MATH(name) name##f /* REAL_MATH(exp)(x) */

#define REAL_TABLE "plain" /* name of the table of plain kernels */

#endif
