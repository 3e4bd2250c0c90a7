/* Rules that look at each coordinate by itself: its values in all updates, sorted. */
#ifndef COVEY_COLUMNS_H
#define COVEY_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"

enum covey_column_rule {
    COVEY_COLUMN_MEDIAN,  /* of an even number: the mean of the middle two (Yin et al. 2018) */
    COVEY_COLUMN_TRIMMED, /* the mean without the `trim` lowest and highest (Yin et al. 2018) */
    COVEY_COLUMN_NEAREST  /* the mean of the rows - 2 trim nearest to the median (Bulyan's second half) */
};

struct covey_columns {
    enum covey_column_rule rule;
    size_t rows, trim;    /* rows > 2 trim */
    uint16_t (*pairs)[2]; /* owned: a sorting network */
    size_t pair_count;
};

/* rows: up to 65535. NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_columns_init(struct covey_columns *columns,
                                                      enum covey_column_rule rule, size_t rows, size_t trim,
                                                      struct covey_error *err);
void covey_columns_deinit(struct covey_columns *columns);

/* values of scratch that apply takes */
size_t covey_columns_scratch(const struct covey_columns *columns);
/* x: (rows, count), a row every `stride` values; out: (count). Thread-safe with a scratch each. */
void covey_columns_apply(const struct covey_columns *columns, const float *x, size_t stride, size_t count,
                         float *scratch, double *out);

#endif
