/* The third stage: from values to small integers and what scales them. */
#include "stage.h"

#define ROW(name, unbiased) &covey_quantise_##name,
static const struct covey_quantiser *const rows[] = {
    &covey_quantise_raw32,   &covey_quantise_fp16,    &covey_quantise_int8,     &covey_quantise_int4,
    &covey_quantise_lloyd1,  &covey_quantise_lloyd2,  &covey_quantise_lloyd3,   &covey_quantise_lloyd4,
    &covey_quantise_uniform, &covey_quantise_trellis, &covey_quantise_sections, COVEY_PLAIN_CODECS(ROW)};

const struct covey_quantiser *covey_quantiser_row(unsigned row)
{
    return row < sizeof rows / sizeof rows[0] ? rows[row] : NULL;
}
