/* Few rows, as in small batches: the weights are what moves, and the vector kernels move them once a pass,
 * computing dx and the new weights from the same visit. Many rows: matrix products by BLAS. */
#include "dense_rows.h"

#include <string.h>

#include "covey/linalg.h"
#include "vector_kernels.h"

#define FEW_ROWS 48 /* where both cost the same, measured on Zen 3 with 784 x 200 */

struct covey_dense_rows covey_dense_rows_of(const struct covey_op *op, const struct covey_op_call *call,
                                            size_t rows, size_t features)
{
    return (struct covey_dense_rows){
        .rows = rows,
        .features = features,
        .units = op->units,
        .x = call->in[0],
        .w = call->w[0],
        .b = call->w[1],
        .y = call->out,
        .relu = op->relu,
        .training = call->training,
        .dy = call->dy,
        .dx = call->dx[0],
        .dw = call->dw[0],
        .db = call->dw[1],
        .alpha = call->alpha,
        .beta = call->beta,
    };
}

static void fill_rows(float *y, size_t rows, size_t units, const float *b)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(y + r * units, b, units * sizeof *y);
}

static void rectify(float *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = y[i] <= 0 ? 0 : y[i];
}

void covey_dense_rows_forward(const struct covey_dense_rows *d)
{
    if (d->rows <= FEW_ROWS) {
        struct covey_dense_forward few = {.examples = d->rows,
                                          .features = d->features,
                                          .units = d->units,
                                          .x = d->x,
                                          .w = d->w,
                                          .b = d->b,
                                          .y = d->y,
                                          .skip_zeros = d->training};
        covey_vector_kernels()->dense_forward(&few);
    } else {
        if (d->b)
            fill_rows(d->y, d->rows, d->units, d->b);
        covey_sgemm(COVEY_PLAIN, COVEY_TRANSPOSED, d->rows, d->units, d->features, 1, d->x, d->features, d->w,
                    d->features, d->b ? 1 : 0, d->y, d->units);
    }
    if (d->relu)
        rectify(d->y, d->rows * d->units);
}

/* dy: (rows, units), zeroed where y is not positive */
static void mask(const struct covey_dense_rows *d)
{
    for (size_t i = 0; i < d->rows * d->units; i++)
        d->dy[i] = d->y[i] > 0 ? d->dy[i] : 0;
}

/* sums: (units), scratch */
static void update_bias(const struct covey_dense_rows *d, float *sums)
{
    memset(sums, 0, d->units * sizeof *sums);
    for (size_t r = 0; r < d->rows; r++)
        for (size_t u = 0; u < d->units; u++)
            sums[u] += d->dy[r * d->units + u];
    for (size_t u = 0; u < d->units; u++)
        d->db[u] = d->alpha * sums[u] + (d->beta == 0 ? 0 : d->beta * d->db[u]);
}

static void backward_few(const struct covey_dense_rows *d, float *scaled)
{
    struct covey_dense_backward few = {.examples = d->rows,
                                       .features = d->features,
                                       .units = d->units,
                                       .x = d->x,
                                       .w = d->w,
                                       .dy = d->dy,
                                       .dy_scaled = scaled,
                                       .dx = d->dx,
                                       .dw = d->dw,
                                       .beta = d->beta};

    for (size_t i = 0; i < d->rows * d->units; i++)
        scaled[i] = d->alpha * d->dy[i];
    covey_vector_kernels()->dense_backward(&few);
}

static void backward_many(const struct covey_dense_rows *d)
{
    if (d->dx)
        covey_sgemm(COVEY_PLAIN, COVEY_PLAIN, d->rows, d->features, d->units, 1, d->dy, d->units, d->w,
                    d->features, 0, d->dx, d->features);
    if (d->dw)
        covey_sgemm(COVEY_TRANSPOSED, COVEY_PLAIN, d->units, d->features, d->rows, d->alpha, d->dy, d->units,
                    d->x, d->features, d->beta, d->dw, d->features);
}

size_t covey_dense_rows_scratch(size_t rows, size_t units)
{
    return (rows < FEW_ROWS ? rows : FEW_ROWS) * units; /* dy scaled, or the sums for the bias */
}

void covey_dense_rows_backward(const struct covey_dense_rows *d, float *scratch)
{
    if (d->relu)
        mask(d);
    if (d->db)
        update_bias(d, scratch);
    if (d->rows <= FEW_ROWS)
        backward_few(d, scratch);
    else
        backward_many(d);
}
