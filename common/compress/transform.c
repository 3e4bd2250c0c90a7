/* The first stage: what is done to a tile of values before anything is thrown away. */
#include "stage.h"

static const struct covey_transform none = {.name = "none"};
static const struct covey_transform *const rows[] = {&none, &covey_transform_hadamard};

const struct covey_transform *covey_transform_row(unsigned row)
{
    return row < sizeof rows / sizeof rows[0] ? rows[row] : NULL;
}
