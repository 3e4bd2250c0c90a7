/* The precision of this compilation: f64, the reference. REAL(name) is the name of a symbol in it. */
#ifndef COVEY_REAL_H
#define COVEY_REAL_H

typedef double real;

#define REAL(name) name##_f64
#define REAL_C(value) value
#define REAL_MATH(name) name

#define REAL_TABLE "reference" /* name of the table of plain kernels */

#endif
