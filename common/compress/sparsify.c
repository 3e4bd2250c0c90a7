/* The second stage: which values are coded at all. */
#include "stage.h"

/* top: the largest magnitudes. The quantiser's encoder picks them, the others are zeros to the entropy coder:
 * so a decoder needs nothing for it. */
static const struct covey_sparsifier rows[] = {
    {.name = "none"}, {.name = "top"}, {.name = "mask", .parameter_bytes = COVEY_MASK_BYTES}};

const struct covey_sparsifier *covey_sparsifier_row(unsigned row)
{
    return row < sizeof rows / sizeof rows[0] ? &rows[row] : NULL;
}
