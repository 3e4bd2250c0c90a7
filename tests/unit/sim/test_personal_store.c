#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "personal_store.h"

static struct covey_personal_store *make(uint32_t seen)
{
    struct covey_personal_store *store = NULL;
    struct covey_error err = {0};
    const struct covey_personal_config config = {
        .devices = 100, .seen = seen, .values = 3, .limit_bytes = 1 << 20};
    cr_assert_eq(covey_personal_store_create(&config, &store, &err), COVEY_OK, "%s", err.text);
    return store;
}

static void write_draft(struct covey_personal_store *store, uint32_t device, float value)
{
    float *draft = covey_personal_store_draft(store, device);
    cr_assert_not_null(draft);
    for (int i = 0; i < 3; i++)
        draft[i] = value + (float)i;
}

Test(personal_store, holds_what_was_kept_and_nothing_else)
{
    struct covey_personal_store *store = make(10);
    uint64_t sequence = 0;
    cr_assert_eq(covey_personal_store_seat(store, 42, NULL), COVEY_OK);
    cr_expect_null(covey_personal_store_read(store, 42, &sequence));
    write_draft(store, 42, 1);
    cr_expect_null(covey_personal_store_read(store, 42, &sequence), "a draft does not hold");
    covey_personal_store_keep(store, 42, 7);
    cr_expect_eq(covey_personal_store_read(store, 42, &sequence)[2], 3.0f);
    cr_expect_eq(sequence, 7);
    write_draft(store, 42, 10); /* a round that comes to nothing */
    cr_expect_eq(covey_personal_store_read(store, 42, &sequence)[0], 1.0f);
    write_draft(store, 42, 20);
    covey_personal_store_keep(store, 42, 8);
    cr_expect_eq(covey_personal_store_read(store, 42, &sequence)[0], 20.0f);
    cr_expect_eq(sequence, 8);
    cr_expect_null(covey_personal_store_read(store, 41, &sequence));
    covey_personal_store_destroy(store);
}

Test(personal_store, goes_back_to_what_a_checkpoint_saw)
{
    struct covey_personal_store *store = make(10);
    uint64_t sequence = 0;
    const size_t bytes = covey_personal_store_save_bytes(store);
    uint8_t *saved = malloc(bytes);
    cr_assert_eq(covey_personal_store_seat(store, 1, NULL), COVEY_OK);
    write_draft(store, 1, 5);
    covey_personal_store_keep(store, 1, 3);
    covey_personal_store_save(store, saved);
    write_draft(store, 1, 6);
    covey_personal_store_keep(store, 1, 4);
    cr_assert_eq(covey_personal_store_load(store, saved, bytes, NULL), COVEY_OK);
    cr_expect_eq(covey_personal_store_read(store, 1, &sequence)[0], 5.0f);
    cr_expect_eq(sequence, 3);
    cr_expect_eq(covey_personal_store_load(store, saved, bytes - 1, NULL), COVEY_MISMATCH);
    memset(saved, 0xff, bytes);
    cr_expect_eq(covey_personal_store_load(store, saved, bytes, NULL), COVEY_CORRUPT);
    free(saved);
    covey_personal_store_destroy(store);
}

Test(personal_store, has_bounds)
{
    struct covey_personal_store *store = make(2);
    struct covey_error err = {0};
    cr_expect_eq(covey_personal_store_seat(store, 5, &err), COVEY_OK);
    cr_expect_eq(covey_personal_store_seat(store, 6, &err), COVEY_OK);
    cr_expect_eq(covey_personal_store_seat(store, 5, &err), COVEY_OK, "it has a place already");
    cr_expect_eq(covey_personal_store_seat(store, 7, &err), COVEY_LIMIT);
    covey_personal_store_destroy(store);
    const struct covey_personal_config large = {
        .devices = 1u << 20, .seen = 1u << 20, .values = 1u << 20, .limit_bytes = 1 << 20};
    const struct covey_personal_config endless = {
        .devices = UINT32_MAX, .seen = UINT32_MAX, .values = SIZE_MAX / 2, .limit_bytes = UINT64_MAX};
    cr_expect_eq(covey_personal_store_create(&large, &store, &err), COVEY_LIMIT);
    cr_expect_not_null(strstr(err.text, "GB"), "%s", err.text);
    cr_expect_eq(covey_personal_store_create(&endless, &store, &err), COVEY_LIMIT);
}
