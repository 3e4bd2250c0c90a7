#include <criterion/criterion.h>
#include <string.h>

#include "covey/status.h"

Test(status, every_code_has_its_own_words)
{
    for (int i = COVEY_OK; i <= COVEY_STATE; i++) {
        cr_expect(strlen(covey_status_text(i)) > 0);
        for (int j = COVEY_OK; j < i; j++)
            cr_expect_str_neq(covey_status_text(i), covey_status_text(j));
    }
    cr_expect_str_eq(covey_status_text(COVEY_STATE + 1), "unknown status");
    cr_expect_str_eq(covey_status_text((enum covey_status) - 1), "unknown status");
}

Test(status, fail_fills_the_error_and_returns_its_status)
{
    struct covey_error err = {0};
    cr_expect_eq(covey_fail(&err, COVEY_RANGE, "x is %d", 7), COVEY_RANGE);
    cr_expect_eq(err.status, COVEY_RANGE);
    cr_expect_str_eq(err.text, "x is 7");
    cr_expect_eq(covey_fail_at(&err, COVEY_RANGE, "%s:%d: ", "f.yaml", 3), COVEY_RANGE);
    cr_expect_str_eq(err.text, "f.yaml:3: x is 7");
    cr_expect_eq(covey_fail(NULL, COVEY_IO, "nobody reads this"), COVEY_IO);
    cr_expect_eq(covey_fail_at(NULL, COVEY_IO, "nor this"), COVEY_IO);
}

Test(status, fail_at_names_a_status_without_words)
{
    struct covey_error err = {0};
    (void)covey_fail_at(&err, COVEY_CORRUPT, "here: ");
    cr_expect_str_eq(err.text, "here: malformed bytes");
}

Test(status, long_texts_are_cut)
{
    struct covey_error err;
    char text[3 * COVEY_ERROR_TEXT_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    (void)covey_fail(&err, COVEY_IO, "%s", text);
    cr_expect_eq(strlen(err.text), COVEY_ERROR_TEXT_BYTES - 1);
    (void)covey_fail_at(&err, COVEY_IO, "%s", text);
    cr_expect_eq(strlen(err.text), COVEY_ERROR_TEXT_BYTES - 1);
}
