/* The second stage: which values are coded at all. */
#include "stage.h"

static const struct covey_sparsifier rows[] = {{.name = "none"}};

const struct covey_sparsifier *covey_sparsifier_row(unsigned row)
{
    return row < sizeof rows / sizeof rows[0] ? &rows[row] : NULL;
}
