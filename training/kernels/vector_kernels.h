/* The inner loops of the fast f32 kernels, compiled once for each instruction set (vectors_*.c, all from
 * vector_*_body.h) and chosen when first asked, by what the CPU can do. What is above them (dense_fast.c,
 * conv2d_*.c) knows no instruction set. The same CPU type gives the same bits; another may round otherwise.
 *
 * Pointers need no alignment. No function reads or writes past what it is told of, but where it says so. */
#ifndef COVEY_VECTOR_KERNELS_H
#define COVEY_VECTOR_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* y = x w' + b: x (examples, features), w (units, features), b (units) or NULL, y (examples, units),
 * overwritten. */
struct covey_dense_forward {
    size_t examples, features, units;
    const float *x, *w, *b;
    float *y;
    bool skip_zeros; /* leave out columns of x that are all zero, whatever (NaN) their weights are */
};

/* dx (examples, features) = dy w, overwritten, NULL: not wanted;
 * dw (units, features) = dy_scaled' x + beta dw, NULL: not wanted; dw may be w. dy_scaled is alpha dy. */
struct covey_dense_backward {
    size_t examples, features, units;
    const float *x, *w, *dy, *dy_scaled; /* dy: (examples, units) */
    float *dx, *dw;
    float beta;
};

/* Direct convolution: out[i][c] += sum over r < rows, j < run of x[offsets[i] + r * row_step + j] *
 * w[r][j][c], for `pixels` pixels (a multiple of pixel_tile) and the `vectors` * lanes channels of one block
 * of w (rows, run, vectors * lanes). init: what out begins with, (vectors * lanes), or NULL to add to what is
 * there. out: (pixels, out_step), its first vectors * lanes columns. */
struct covey_conv_tiles {
    size_t pixels, vectors, rows, run, row_step, out_step;
    const uint32_t *offsets;
    const float *x, *w, *init;
    float *out;
};

/* A value to be multiplied with what stands at an offset (in values). */
struct covey_entry {
    uint32_t offset;
    float value;
};

/* out[r * out_step + j] += sum over entries of value * x[offset + r * x_step + j], r < rows, j < run. Reads
 * and writes whole vectors: up to lanes - 1 values past each run, and adds there what is found at x. */
struct covey_gather {
    size_t count, rows, run, x_step, out_step;
    const struct covey_entry *entries;
    const float *x;
    float *out;
};

/* Max pooling and ReLU of one image: x (height * width, x_step), channels of them used -> y (out, channels),
 * and where (out, channels): codes[i] of the cell i of the window, row by row, that held the maximum (the
 * first of equals). where NULL: not wanted. A window of 1 x 1 is ReLU, or a copy, alone. */
struct covey_pool_forward {
    size_t width, channels, x_step; /* of x */
    size_t out_height, out_width;   /* of y */
    size_t kernel[2], stride[2];
    int relu;
    const float *x;
    float *y;
    const uint32_t *codes; /* (cells of the window) */
    uint32_t *where;
};

/* Depthwise convolution of one padded image, channels last: w (cells, channels) transposed, cells = kernel
 * height * kernel width, offsets[cell] and pixels[i] in values. forward: y (pixels, channels) = b + sum. */
struct covey_depthwise {
    size_t pixels, cells, channels;
    const uint32_t *offsets; /* of a cell of the kernel from the first */
    const uint32_t *origins; /* of an output pixel's first cell */
    const float *x, *w, *b;  /* b NULL: none */
    float *y;
    const float *dy; /* (pixels, channels) */
    float *dx, *dw;  /* as x and w; added to */
};

/* Sums down the rows of x (rows, channels) less mean (channels; NULL: nothing): without dy first = sum of x,
 * second = sum of x^2; with dy (rows, channels) first = sum of dy, second = sum of dy x. */
struct covey_channel_sums {
    size_t rows, channels;
    const float *x, *mean, *dy;
    float *first, *second; /* (channels), overwritten */
};

/* out = of_x x + of_dy dy + constant, the factors by channel; dy NULL: without. out may be x or dy. */
struct covey_channel_blend {
    size_t rows, channels;
    const float *x, *dy, *of_x, *of_dy, *constant;
    float *out;
};

struct covey_vector_kernels {
    const char *name;       /* "avx2" */
    size_t lanes;           /* values in a vector */
    size_t pixel_tile;      /* pixels that conv_tiles does at once */
    size_t channel_vectors; /* most vectors in a block of channels */
    void (*dense_forward)(const struct covey_dense_forward *d);
    void (*dense_backward)(const struct covey_dense_backward *d);
    void (*conv_tiles)(const struct covey_conv_tiles *t);
    void (*gather)(const struct covey_gather *g);
    void (*pool_forward)(const struct covey_pool_forward *p);
    void (*depthwise_forward)(const struct covey_depthwise *d);
    void (*depthwise_backward)(const struct covey_depthwise *d);
    void (*channel_sums)(const struct covey_channel_sums *s);
    void (*channel_blend)(const struct covey_channel_blend *b);
    /* y = min(max(x, 0), most), NaN stays; dx = dy where 0 < y < most, else 0. Arrays may be the same. */
    void (*clip_forward)(size_t count, float most, const float *x, float *y);
    void (*clip_backward)(size_t count, float most, const float *y, const float *dy, float *dx);
};

/* The best for this CPU. For ever valid. */
const struct covey_vector_kernels *covey_vector_kernels(void);

extern const struct covey_vector_kernels covey_vectors_base;
#if defined(__x86_64__)
extern const struct covey_vector_kernels covey_vectors_avx2, covey_vectors_avx512;
#endif

#endif
