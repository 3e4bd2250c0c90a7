#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "covey/params.h"

static void add(struct covey_layout *layout, const char *name, uint32_t rows, uint32_t columns,
                enum covey_role role, enum covey_scope scope)
{
    struct covey_error err = {0};
    const uint32_t shape[2] = {rows, columns};
    cr_assert_eq(covey_layout_add(layout, name, 2, shape, role, scope, &err), COVEY_OK, "%s", err.text);
}

Test(params, three_runs_in_order_of_addition)
{
    struct covey_layout layout;
    size_t ends[8];
    covey_layout_init(&layout);
    add(&layout, "frozen", 2, 3, COVEY_ROLE_FROZEN, COVEY_SCOPE_SHARED);
    add(&layout, "head", 4, 5, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_PERSONAL);
    add(&layout, "w", 10, 10, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED);
    add(&layout, "running", 1, 7, COVEY_ROLE_BUFFER, COVEY_SCOPE_SHARED);
    add(&layout, "frozen head", 1, 1, COVEY_ROLE_FROZEN, COVEY_SCOPE_PERSONAL);
    covey_layout_finish(&layout);
    cr_expect_eq(covey_layout_find(&layout, "w")->offset, 0);
    cr_expect_eq(covey_layout_find(&layout, "running")->offset, 100);
    cr_expect_eq(covey_layout_find(&layout, "frozen")->offset, 107);
    cr_expect_eq(covey_layout_find(&layout, "head")->offset, 113);
    cr_expect_eq(covey_layout_find(&layout, "frozen head")->offset, 133);
    cr_expect_null(covey_layout_find(&layout, "x"));
    cr_expect_eq(layout.update_count, 107);
    cr_expect_eq(layout.shared_count, 113);
    cr_expect_eq(layout.count, 134);
    cr_assert_eq(covey_layout_update_ends(&layout, ends, 8), 2);
    cr_expect(ends[0] == 100 && ends[1] == 107);
    cr_expect_eq(covey_layout_update_ends(&layout, ends, 1), 1);
    covey_layout_deinit(&layout);
    cr_expect_eq(layout.tensor_count, 0);
}

Test(params, a_scalar_has_rank_zero)
{
    struct covey_layout layout;
    covey_layout_init(&layout);
    cr_assert_eq(covey_layout_add(&layout, "s", 0, NULL, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED, NULL),
                 COVEY_OK);
    covey_layout_finish(&layout);
    cr_expect_eq(layout.count, 1);
    covey_layout_deinit(&layout);
}

Test(params, what_is_wrong_is_refused)
{
    struct covey_layout layout;
    const uint32_t ok[4] = {2, 2, 2, 2}, zero[2] = {3, 0}, huge[4] = {1u << 31, 1u << 31, 1u << 31, 4};
    const uint32_t half[2] = {1u << 14, 1u << 13};
    char name[COVEY_NAME_BYTES + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct covey_error err = {0};
    covey_layout_init(&layout);
#define ADD(n, r, s) covey_layout_add(&layout, n, r, s, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED, &err)
    cr_assert_eq(ADD("a", 4, ok), COVEY_OK);
    cr_expect_eq(ADD("a", 1, ok), COVEY_INVALID);
    cr_expect(strstr(err.text, "twice") != NULL, "%s", err.text);
    cr_expect_eq(ADD("b", 5, ok), COVEY_INVALID);
    cr_expect_eq(ADD("b", 2, zero), COVEY_INVALID);
    cr_expect_eq(ADD("b", 4, huge), COVEY_LIMIT);
    cr_expect_eq(ADD("", 1, ok), COVEY_INVALID);
    cr_expect_eq(ADD(name, 1, ok), COVEY_INVALID);
    cr_expect_eq(ADD(name + 1, 1, ok), COVEY_OK);
    cr_expect_eq(ADD("c", 2, half), COVEY_OK);
    cr_expect_eq(ADD("d", 2, half), COVEY_LIMIT, "2^28 with what is there already");
    cr_expect_eq(layout.tensor_count, 3);
    covey_layout_deinit(&layout);
    for (int i = 0; i < COVEY_MODEL_TENSORS; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        cr_assert_eq(ADD(name, 1, ok), COVEY_OK);
    }
    cr_expect_eq(ADD("one more", 1, ok), COVEY_LIMIT);
#undef ADD
    covey_layout_deinit(&layout);
}
