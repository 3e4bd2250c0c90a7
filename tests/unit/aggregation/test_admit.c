#include <criterion/criterion.h>
#include <math.h>

#include "cohort.h"
#include "covey/admit.h"

static const char *const codecs[] = {"int8", "int4", "fp16", "raw32", "mask:.1"};

Test(admit, peaks_bound_each_tensor)
{
    int16_t exponents[COHORT_TENSORS] = {0};
    for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
        struct cohort_update update = cohort_update_make(codecs[c], 1, 1, 1);
        const struct covey_admit_rule rule = {
            .ends = cohort_ends, .tensor_count = COHORT_TENSORS, .exponents = exponents, .wants_norm = true};
        float peaks[COHORT_TENSORS];
        struct covey_admission admission;
        struct covey_error err = {0};
        double squares = 0;
        cr_assert_eq(
            covey_admit((struct covey_bytes){update.bytes, update.size}, &rule, &admission, peaks, &err),
            COVEY_OK, "%s", err.text);
        for (size_t t = 0, i = 0; t < COHORT_TENSORS; t++) {
            float most = 0, around = 0; /* of the tensor; of the blocks that it touches */
            const size_t first = i;
            for (; i < cohort_ends[t]; i++) {
                most = fabsf(update.values[i]) > most ? fabsf(update.values[i]) : most;
                squares += (double)update.values[i] * (double)update.values[i];
            }
            for (size_t j = first / 64 * 64; j < (i + 63) / 64 * 64 && j < COHORT_COUNT; j++)
                around = fabsf(update.values[j]) > around ? fabsf(update.values[j]) : around;
            cr_expect(peaks[t] >= most, "%s, tensor %zu: %g %g", codecs[c], t, (double)peaks[t],
                      (double)most);
            if (c == 2 || c == 3)
                cr_expect_eq(peaks[t], most);
            else if (c < 2)
                cr_expect(peaks[t] <= around * (c == 0 ? 1.02f : 1.35f), "%s, tensor %zu: %g %g", codecs[c],
                          t, (double)peaks[t], (double)around);
        }
        cr_expect(!(fabs(admission.norm / sqrt(squares) - 1) > 1e-12));
        cr_expect_eq(admission.scale, 1);
        cohort_update_free(&update);
    }
}

/* Where a rotated stream's scales say that it is in range, they are its peaks; elsewhere the values are. */
Test(admit, rotated_streams_are_bounded_by_their_scales)
{
    static const char *const rotated[] = {"eden1", "eden2", "eden3", "eden4"};
    for (size_t c = 0; c < 4; c++) {
        struct cohort_update update = cohort_update_make(rotated[c], 3, 0, 1);
        const struct covey_bytes stream = {update.bytes, update.size};
        int16_t exponents[COHORT_TENSORS] = {0};
        struct covey_admit_rule rule = {
            .ends = cohort_ends, .tensor_count = COHORT_TENSORS, .exponents = exponents, .wants_norm = true};
        float exact[COHORT_TENSORS], peaks[COHORT_TENSORS];
        struct covey_admission admission = {0};
        cr_assert_eq(covey_admit(stream, &rule, &admission, exact, NULL), COVEY_OK);
        rule.wants_norm = false;
        cr_assert_eq(covey_admit(stream, &rule, &admission, peaks, NULL), COVEY_OK);
        cr_expect_eq(admission.scale, 1);
        for (size_t t = 0; t < COHORT_TENSORS; t++) {
            cr_expect(exact[t] <= peaks[t], "%s, tensor %zu", rotated[c], t);
            if (t == 6) /* of many tiles, about normal values */
                cr_expect(peaks[t] < 64 * exact[t] && peaks[t] > 4 * exact[t], "%s: %g %g", rotated[c],
                          (double)peaks[t], (double)exact[t]);
        }
        for (int16_t e = 0; e > -30; e--) {
            for (size_t t = 0; t < COHORT_TENSORS; t++)
                exponents[t] = e;
            cr_assert_eq(covey_admit(stream, &rule, &admission, peaks, NULL), COVEY_OK);
            for (size_t t = 0; t < COHORT_TENSORS; t++) {
                cr_expect((double)exact[t] * admission.scale <= ldexp(1, e));
                if (admission.scale < 1)
                    cr_expect_eq(peaks[t], exact[t]);
            }
        }
        cohort_update_free(&update);
    }
}

Test(admit, the_scale_is_the_largest_power_of_two_that_fits)
{
    for (size_t c = 0; c < 4; c++) {
        struct cohort_update update = cohort_update_make(codecs[c], 2, 0, 1);
        int16_t exponents[COHORT_TENSORS] = {0};
        struct covey_admit_rule rule = {
            .ends = cohort_ends, .tensor_count = COHORT_TENSORS, .exponents = exponents};
        const struct covey_bytes stream = {update.bytes, update.size};
        float peaks[COHORT_TENSORS];
        struct covey_admission admission = {0};
        cr_assert_eq(covey_admit(stream, &rule, &admission, peaks, NULL), COVEY_OK);
        cr_expect_eq(admission.norm, -1);
        for (int16_t e = -8; e > -40; e -= 3) {
            exponents[6] = e;
            cr_assert_eq(covey_admit(stream, &rule, &admission, peaks, NULL), COVEY_OK);
            cr_expect((double)peaks[6] * admission.scale <= ldexp(1, e), "%s %d", codecs[c], e);
            cr_expect(admission.scale == 1 || (double)peaks[6] * admission.scale > ldexp(1, e - 1));
            rule.refuse_range = true;
            cr_expect_eq(covey_admit(stream, &rule, &admission, peaks, NULL),
                         admission.scale < 1 ? COVEY_RANGE : COVEY_OK);
            rule.refuse_range = false;
        }
        cohort_update_free(&update);
    }
}
