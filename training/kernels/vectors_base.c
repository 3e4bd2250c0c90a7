/* What every CPU of the architecture has: vectors of 4 floats, by SSE2 or NEON. */
#include <stddef.h>

typedef float first_vec __attribute__((vector_size(16)));

static inline first_vec load_first(const float *p, size_t count)
{
    first_vec v = {0};
    for (size_t i = 0; i < count; i++)
        v[i] = p[i];
    return v;
}

static inline void store_first(float *p, first_vec v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        p[i] = v[i];
}

#define LOAD_PART(p, count) load_first(p, count)
#define STORE_PART(p, v, count) store_first(p, v, count)
#define IN_REGISTER(v) (void)0
#define ANY_BITS(v) (((v)[0] | (v)[1] | (v)[2] | (v)[3]) != 0)
#define LANES 4
#define FORWARD_UNITS 2
#define FORWARD_EXAMPLES 5
#define INPUT_EXAMPLES 5
#define INPUT_VECTORS 2
#define WEIGHT_UNITS 4
#define WEIGHT_VECTORS 3
#define TILE_PIXELS 6
#define TILE_VECTORS 2
#define GATHER_VECTORS 10
#define VECTOR_TABLE covey_vectors_base
#define VECTOR_TABLE_NAME "base"
#include "vector_body.h"
#include "vector_channel_body.h"
#include "vector_dense_body.h"
#include "vector_conv_body.h"
#include "vector_table_body.h"
