/* The plain matrix product, written once for f32 and f64: linalg_plain.c includes this twice, with REAL and
 * NAME(x) defined. Blocks of op(a) and op(b) are packed on the stack, zero-padded to whole tiles, so that one
 * inner loop serves every size and both transpositions; the compiler turns the tile's columns into vectors of
 * 16 bytes, which every target has. Sums run over k in order, block by block: the same bits on every machine
 * that does not contract (the build says -ffp-contract=off). */

#define TILE_ROWS 4
#define LANES (16 / sizeof(REAL))
#define TILE_COLUMNS (2 * LANES)
#define BLOCK_ROWS 64   /* of op(a), packed */
#define BLOCK_DEPTH 128 /* of k: the packed blocks are 36 KiB of f32, 68 KiB of f64 */

typedef REAL NAME(lanes) __attribute__((vector_size(16)));

struct NAME(matrix) {
    const REAL *values;
    size_t row_step, column_step; /* of op(matrix) */
};

static struct NAME(matrix) NAME(view)(enum covey_transpose t, const REAL *values, size_t ld)
{
    return t == COVEY_PLAIN ? (struct NAME(matrix)){values, ld, 1} : (struct NAME(matrix)){values, 1, ld};
}

/* out: (depth, width): rows row..row+count (at most width) of a beside each other, zeros after the last.
 * Walks along whichever side of a lies contiguous in memory. */
static void NAME(pack_panel)(struct NAME(matrix) a, size_t row, size_t count, size_t from, size_t depth,
                             size_t width, REAL *out)
{
    const REAL *source = a.values + row * a.row_step + from * a.column_step;

    if (count < width)
        memset(out, 0, depth * width * sizeof *out);
    if (a.row_step == 1)
        for (size_t p = 0; p < depth; p++)
            for (size_t r = 0; r < count; r++)
                out[p * width + r] = source[p * a.column_step + r];
    else
        for (size_t r = 0; r < count; r++)
            for (size_t p = 0; p < depth; p++)
                out[p * width + r] = source[r * a.row_step + p * a.column_step];
}

static void NAME(pack)(struct NAME(matrix) a, size_t row, size_t count, size_t from, size_t depth,
                       size_t width, REAL *out)
{
    for (size_t panel = 0; panel < count; panel += width, out += depth * width)
        NAME(pack_panel)
    (a, row + panel, count - panel < width ? count - panel : width, from, depth, width, out);
}

/* out: (TILE_ROWS, TILE_COLUMNS) = a panel of op(a) by a panel of op(b). */
static void NAME(tile)(size_t depth, const REAL *a, const REAL *b, REAL *out)
{
    NAME(lanes) sum[TILE_ROWS][2] = {0};

    for (size_t p = 0; p < depth; p++, a += TILE_ROWS, b += TILE_COLUMNS) {
        NAME(lanes) b0, b1;
        memcpy(&b0, b, sizeof b0);
        memcpy(&b1, b + LANES, sizeof b1);
#pragma GCC unroll 4
        for (size_t r = 0; r < TILE_ROWS; r++) {
            sum[r][0] += a[r] * b0;
            sum[r][1] += a[r] * b1;
        }
    }
    memcpy(out, sum, sizeof sum);
}

static void NAME(store)(const REAL *tile, size_t rows, size_t columns, REAL alpha, REAL *c, size_t ldc)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++)
            c[r * ldc + j] += alpha * tile[r * TILE_COLUMNS + j];
}

static void NAME(scale)(size_t m, size_t n, REAL beta, REAL *c, size_t ldc)
{
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++)
            c[r * ldc + j] = beta == 0 ? 0 : beta * c[r * ldc + j];
}

static void NAME(gemm)(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k,
                       REAL alpha, const REAL *a, size_t lda, const REAL *b, size_t ldb, REAL beta, REAL *c,
                       size_t ldc)
{
    REAL packed_a[BLOCK_ROWS * BLOCK_DEPTH], packed_b[BLOCK_DEPTH * TILE_COLUMNS];
    REAL tile[TILE_ROWS * TILE_COLUMNS];
    struct NAME(matrix) op_a = NAME(view)(ta, a, lda);
    struct NAME(matrix) op_b = NAME(view)(tb == COVEY_PLAIN ? COVEY_TRANSPOSED : COVEY_PLAIN, b, ldb);

    if (beta != 1)
        NAME(scale)(m, n, beta, c, ldc);
    for (size_t p = 0; p < k; p += BLOCK_DEPTH) {
        size_t depth = k - p < BLOCK_DEPTH ? k - p : BLOCK_DEPTH;
        for (size_t i = 0; i < m; i += BLOCK_ROWS) {
            size_t rows = m - i < BLOCK_ROWS ? m - i : BLOCK_ROWS;
            NAME(pack)(op_a, i, rows, p, depth, TILE_ROWS, packed_a);
            for (size_t j = 0; j < n; j += TILE_COLUMNS) {
                size_t columns = n - j < TILE_COLUMNS ? n - j : TILE_COLUMNS;
                NAME(pack)(op_b, j, columns, p, depth, TILE_COLUMNS, packed_b);
                for (size_t r = 0; r < rows; r += TILE_ROWS) {
                    NAME(tile)(depth, packed_a + r * depth, packed_b, tile);
                    NAME(store)
                    (tile, rows - r < TILE_ROWS ? rows - r : TILE_ROWS, columns, alpha, c + (i + r) * ldc + j,
                     ldc);
                }
            }
        }
    }
}

#undef TILE_ROWS
#undef LANES
#undef TILE_COLUMNS
#undef BLOCK_ROWS
#undef BLOCK_DEPTH
