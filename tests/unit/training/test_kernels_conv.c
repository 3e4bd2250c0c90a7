/* The fast conv2d row against the plain one: each of its ways, with any kernel, stride, padding and groups.
 */
#include <criterion/criterion.h>

#include "kernel_trial.h"

#define TOLERANCE 1e-11 /* NMSE; both are f32, summed in another order */

#define IMAGE(h, w, c) .input = {.rank = 3, .size = {h, w, c}, .count = (size_t)(h) * (w) * (c)}
#define SIGNAL(t, c) .input = {.rank = 2, .size = {t, c}, .count = (size_t)(t) * (c)}
#define CONV(units_, kh, kw, ...)                                                                            \
    .op = {.kind = COVEY_OP_CONV2D, .units = units_, .kernel = {kh, kw}, __VA_ARGS__}
#define SAME .padding = COVEY_PADDING_SAME
#define PADDED(...) .padding = COVEY_PADDING_EXPLICIT, .pad = {__VA_ARGS__}
#define STRIDE(h, w) .stride = {h, w}

static const struct kernel_trial trials[] = {
    /* the named models */
    {"mcmahan conv1", CONV(32, 5, 5, SAME), IMAGE(28, 28, 1), true, {2, 2}, 3},
    {"mcmahan conv2", CONV(64, 5, 5, SAME), IMAGE(14, 14, 32), true, {2, 2}, 3},
    {"har conv1", CONV(32, 7, 1, SAME), SIGNAL(128, 6), false, {0}, 3},
    {"har conv2", CONV(64, 5, 1, SAME), SIGNAL(64, 32), false, {0}, 3},
    {"har conv3, relu, pool", CONV(64, 3, 1, SAME), SIGNAL(32, 64), true, {2, 1}, 3},
    /* direct: tails of pixels, channels and runs */
    {"one value", CONV(1, 1, 1, STRIDE(1, 1)), IMAGE(1, 1, 1), false, {0}, 1},
    {"one by one, pooled", CONV(5, 1, 1, STRIDE(1, 1)), IMAGE(6, 4, 3), true, {2, 2}, 2},
    {"one by one, strided", CONV(9, 1, 1, STRIDE(2, 2)), IMAGE(7, 5, 17), true, {0}, 2},
    {"odd sizes", CONV(13, 3, 3, SAME), IMAGE(7, 9, 5), true, {0}, 2},
    {"odd sizes, no relu", CONV(13, 3, 3, SAME), IMAGE(7, 9, 5), false, {0}, 2},
    {"pool leaves an edge", CONV(11, 3, 3, SAME), IMAGE(7, 9, 3), true, {2, 2}, 2},
    {"pool alone", CONV(11, 3, 3, SAME), IMAGE(8, 8, 3), false, {2, 2}, 2},
    {"pool of three by one", CONV(6, 2, 3, PADDED(1, 0, 0, 2)), IMAGE(9, 10, 4), true, {3, 1}, 2},
    {"pool everything", CONV(6, 3, 3, SAME), IMAGE(5, 6, 4), true, {5, 6}, 2},
    {"stride leaves input unread", CONV(7, 2, 2, STRIDE(3, 3)), IMAGE(11, 10, 6), true, {0}, 2},
    {"stride over the kernel", CONV(7, 1, 2, STRIDE(4, 5)), IMAGE(11, 13, 6), false, {0}, 2},
    {"stride and padding", CONV(17, 3, 5, STRIDE(2, 1), PADDED(2, 1, 3, 4)), IMAGE(9, 6, 7), true, {2, 2}, 3},
    {"no bias", CONV(10, 3, 3, SAME, .no_bias = 1), IMAGE(6, 6, 8), true, {2, 2}, 2},
    {"long runs", CONV(3, 3, 7, SAME), IMAGE(5, 9, 23), true, {0}, 2},
    {"many channels", CONV(40, 3, 3, SAME), IMAGE(4, 4, 48), true, {2, 2}, 1},
    {"large kernel", CONV(4, 9, 8, SAME), IMAGE(9, 9, 3), false, {0}, 1},
    {"tall signal with stride",
     CONV(5, 4, 1, STRIDE(3, 1), PADDED(2, 1, 0, 0)),
     SIGNAL(29, 3),
     true,
     {2, 1},
     4},
    {"kernel of two by two", CONV(12, 2, 2, SAME), IMAGE(5, 5, 2), true, {0}, 3},
    {"kernel of four rows", CONV(12, 4, 3, SAME), IMAGE(7, 6, 3), true, {2, 2}, 3},
    {"rows too long for two at once", CONV(3, 6, 4, SAME), IMAGE(8, 8, 7), true, {2, 2}, 2},
    /* pointwise */
    {"pointwise", CONV(19, 1, 1, STRIDE(1, 1)), IMAGE(5, 7, 21), false, {0}, 2},
    {"pointwise, relu, few", CONV(19, 1, 1, STRIDE(1, 1)), IMAGE(3, 2, 21), true, {0}, 2},
    /* depthwise */
    {"depthwise", CONV(8, 3, 3, SAME, .groups = 8), IMAGE(6, 7, 8), true, {0}, 2},
    {"depthwise, strided, tail",
     CONV(21, 3, 3, SAME, STRIDE(2, 2), .groups = 21),
     IMAGE(7, 8, 21),
     false,
     {0},
     3},
    {"depthwise, pooled", CONV(5, 2, 4, SAME, .groups = 5, .no_bias = 1), IMAGE(9, 8, 5), true, {2, 2}, 2},
    {"depthwise signal", CONV(33, 5, 1, SAME, .groups = 33), SIGNAL(20, 33), true, {2, 1}, 2},
    /* groups */
    {"two groups", CONV(6, 3, 3, SAME, .groups = 2), IMAGE(6, 5, 8), true, {0}, 2},
    {"groups, multiplier", CONV(12, 3, 2, SAME, .groups = 4), IMAGE(5, 6, 4), false, {0}, 2},
    {"groups, pooled, strided",
     CONV(9, 3, 3, STRIDE(2, 1), PADDED(1, 1, 2, 0), .groups = 3),
     IMAGE(9, 6, 6),
     true,
     {2, 2},
     3},
    {"groups of a signal, no bias",
     CONV(8, 4, 1, SAME, .groups = 2, .no_bias = 1),
     SIGNAL(17, 6),
     true,
     {0},
     2},
};

Test(kernels_conv, follows_the_plain_row)
{
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        struct kernel_errors e;

        cr_assert(kernel_trial_run(&trials[i], &e), "%s: refused", trials[i].name);
        cr_expect(kernel_errors_worst(&e) <= TOLERANCE,
                  "%s: y %.1e dx %.1e dw %.1e db %.1e updated %.1e dx %.1e alone %.1e %.1e", trials[i].name,
                  e.out, e.dx, e.dw, e.db, e.updated, e.dx_then, e.dx_alone, e.dw_alone);
    }
}
