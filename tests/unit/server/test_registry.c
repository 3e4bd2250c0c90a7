/* The registry, the shelf and the terms of a round. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "registry.h"
#include "round_terms.h"
#include "shelf.h"

Test(registry, gives_places_by_first_coming_and_counts_sessions)
{
    struct covey_registry *registry = NULL;
    cr_assert_eq(covey_registry_create(1000, &registry, NULL), COVEY_OK);
    uint32_t place = 0, known = 0, present = 0;
    char name[COVEY_NAME_BYTES];
    cr_expect_eq(covey_registry_find(registry, "x", &place), COVEY_NOT_FOUND);
    for (uint32_t i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "device-%u", i);
        cr_assert_eq(covey_registry_enter(registry, name, 10, &place), COVEY_OK);
        cr_assert_eq(place, i);
    }
    cr_expect_eq(covey_registry_enter(registry, "one more", 10, &place), COVEY_LIMIT);
    cr_expect_eq(covey_registry_enter(registry, "device-7", 20, &place), COVEY_OK);
    cr_expect_eq(place, 7);
    covey_registry_name(registry, 999, name);
    cr_expect_str_eq(name, "device-999");

    cr_expect_eq(covey_registry_session(registry, 7, 1), 1);
    cr_expect_eq(covey_registry_session(registry, 7, 1), 2, "it reconnects");
    cr_expect_eq(covey_registry_session(registry, 7, -1), 1, "the old session goes");
    cr_expect(covey_registry_is_present(registry, 7));
    covey_registry_counts(registry, &known, &present);
    cr_expect(known == 1000 && present == 1);
    cr_expect_eq(covey_registry_session(registry, 7, -1), 0);
    cr_expect_eq(covey_registry_session(registry, 7, -1), 0, "never below none");
    cr_expect(!covey_registry_is_present(registry, 7) && !covey_registry_is_present(registry, 5000));

    struct covey_ledger_device seen[600];
    cr_expect_eq(covey_registry_take_seen(registry, seen, 600), 600);
    cr_expect_eq(covey_registry_take_seen(registry, seen, 600), 400);
    cr_expect_eq(covey_registry_take_seen(registry, seen, 600), 0);
    covey_registry_destroy(registry);
}

Test(registry, comes_back_from_the_ledger_in_order)
{
    struct covey_registry *registry = NULL;
    struct covey_ledger_device device = {.name = "b", .place = 4, .last_seen_s = 5};
    uint32_t place = 9;
    cr_assert_eq(covey_registry_create(10, &registry, NULL), COVEY_OK);
    cr_assert_eq(covey_registry_restore(registry, &device, NULL), COVEY_OK);
    cr_expect_eq(covey_registry_restore(registry, &device, NULL), COVEY_CORRUPT);
    cr_assert_eq(covey_registry_find(registry, "b", &place), COVEY_OK);
    cr_expect_eq(place, 0, "gaps close up");
    covey_registry_destroy(registry);
}

static struct covey_blob *blob_of(uint32_t number)
{
    struct covey_blob *blob = NULL;
    cr_assert_eq(covey_blob_create((struct covey_bytes){(uint8_t *)&number, 4}, NULL, NULL, NULL, &blob),
                 COVEY_OK);
    return blob;
}

Test(shelf, is_bounded_and_lets_the_oldest_go)
{
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    struct covey_shelf shelf;
    struct covey_hash hashes[COVEY_SHELF_BLOBS + 10];
    covey_shelf_init(&shelf);
    for (uint32_t i = 0; i < COVEY_SHELF_BLOBS + 10; i++) {
        struct covey_blob *blob = blob_of(i);
        hashes[i] = *covey_blob_hash(blob);
        covey_shelf_put(&shelf, blob, i);
    }
    cr_expect_eq(shelf.count, COVEY_SHELF_BLOBS);
    cr_expect_null(covey_shelf_find(&shelf, &hashes[0]));
    struct covey_blob *found = covey_shelf_find(&shelf, &hashes[COVEY_SHELF_BLOBS + 9]);
    cr_assert_not_null(found);
    covey_blob_release(found);
    covey_shelf_put(&shelf, blob_of(40), 1000); /* there already: it stays longer */
    covey_shelf_expire(&shelf, 70);
    cr_expect_null(covey_shelf_find(&shelf, &hashes[50]));
    found = covey_shelf_find(&shelf, &hashes[40]);
    cr_assert_not_null(found);
    covey_blob_release(found);
    covey_shelf_deinit(&shelf);
}

Test(round_terms, come_back_as_they_were_and_never_half)
{
    struct covey_round_terms terms = {.strategy = "fedavg",
                                      .codec = "int8",
                                      .updates_max = 1234,
                                      .weight_max = 1000.5,
                                      .norm_limit = 3.25,
                                      .refuse_range = true,
                                      .tensor_count = 7,
                                      .has_exponents = true,
                                      .exponents = {-90, 126, 0, -1, 6, 7, 8}};
    uint8_t bytes[COVEY_ROUND_TERMS_BYTES];
    struct covey_round_terms *back = calloc(1, sizeof *back);
    const size_t size = covey_round_terms_encode(&terms, bytes);
    cr_assert_eq(covey_round_terms_decode((struct covey_bytes){bytes, size}, back, NULL), COVEY_OK);
    cr_expect_eq(memcmp(back, &terms, sizeof terms), 0);
    for (size_t cut = 0; cut < size; cut++)
        cr_expect_neq(covey_round_terms_decode((struct covey_bytes){bytes, cut}, back, NULL), COVEY_OK);
    bytes[0] = 9;
    cr_expect_eq(covey_round_terms_decode((struct covey_bytes){bytes, size}, back, NULL), COVEY_UNSUPPORTED);
    free(back);
}
