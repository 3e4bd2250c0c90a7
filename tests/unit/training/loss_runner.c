/* Compiled twice, like op_runner.c. */
#include "loss_runner.h"

#include "loss.h"

#define VALUES 64

double REAL(loss_softmax)(const double *y, const double *labels, size_t rows, size_t classes,
                          double *gradient)
{
    real logits[VALUES] = {0}, dy[VALUES];
    int32_t integers[VALUES] = {0};
    struct covey_tally tally = {0};
    for (size_t i = 0; i < rows * classes; i++)
        logits[i] = (real)y[i];
    for (size_t i = 0; i < rows; i++)
        integers[i] = (int32_t)labels[i];
    REAL(covey_softmax_cross_entropy)
    (logits, integers, rows, classes, (real)(1.0 / (double)rows), dy, &tally);
    for (size_t i = 0; i < rows * classes; i++)
        gradient[i] = (double)dy[i];
    return tally.loss / (double)tally.count;
}

double REAL(loss_squares)(const double *y, const double *targets, size_t count, double *gradient)
{
    real values[VALUES] = {0}, dy[VALUES];
    float floats[VALUES] = {0};
    struct covey_tally tally = {0};
    for (size_t i = 0; i < count; i++) {
        values[i] = (real)y[i];
        floats[i] = (float)targets[i];
    }
    REAL(covey_mean_squared_error)(values, floats, count, (real)(1.0 / (double)count), dy, &tally);
    for (size_t i = 0; i < count; i++)
        gradient[i] = (double)dy[i];
    return tally.loss / (double)tally.count;
}
