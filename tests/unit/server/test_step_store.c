/* Steps on the disk: whole or refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "step_store.h"

static char folder[64];

static void save(uint64_t sequence, uint8_t fill)
{
    struct covey_error err = {0};
    uint8_t stream[900];
    memset(stream, fill, sizeof stream);
    struct covey_stored_step step = {.bytes = sizeof stream, .grid = 120, .from = {{fill}}, .to = {{9}}};
    cr_assert_eq(covey_hash_bytes((struct covey_bytes){stream, sizeof stream}, &step.stream), COVEY_OK);
    cr_assert_eq(covey_step_store_save(folder, NULL, sequence, &step, stream, &err), COVEY_OK, "%s",
                 err.text);
}

Test(step_store, keeps_replaces_and_prunes)
{
    struct covey_stored_step step;
    uint8_t *stream = NULL;
    fake_folder_make(folder);
    for (uint64_t i = 1; i <= 5; i++)
        save(i, (uint8_t)i);
    save(3, 33);
    cr_assert_eq(covey_step_store_load(folder, 3, &step, &stream, NULL), COVEY_OK);
    cr_expect(step.bytes == 900 && step.grid == 120 && step.from.bytes[0] == 33 && stream[899] == 33);
    free(stream);
    covey_step_store_prune(folder, 3);
    for (uint64_t i = 1; i <= 6; i++)
        cr_expect_eq(covey_step_store_load(folder, i, &step, NULL, NULL),
                     i == 4 || i == 5 ? COVEY_OK : COVEY_NOT_FOUND, "%d", (int)i);
    covey_step_store_remove(folder, 5);
    cr_expect_eq(covey_step_store_load(folder, 5, &step, NULL, NULL), COVEY_NOT_FOUND);
    fake_folder_remove(folder);
}

Test(step_store, refuses_what_is_damaged)
{
    char path[128];
    struct covey_error err = {0};
    fake_folder_make(folder);
    for (long at = 0; at < 152 + 900; at += 31) {
        struct covey_stored_step step;
        uint8_t *stream = NULL;
        save(1, 7);
        (void)snprintf(path, sizeof path, "%s/00000001.step", folder);
        FILE *file = fopen(path, "r+b");
        cr_assert_not_null(file);
        cr_assert_eq(fseek(file, at, SEEK_SET), 0);
        const int byte = fgetc(file);
        cr_assert_eq(fseek(file, at, SEEK_SET), 0);
        cr_assert_neq(fputc(byte ^ 4, file), EOF);
        cr_assert_eq(fclose(file), 0);
        cr_expect_neq(covey_step_store_load(folder, 1, &step, &stream, &err), COVEY_OK, "byte %ld", at);
    }
    cr_expect_eq(system((snprintf(path, sizeof path, "truncate -s 500 '%s/00000001.step'", folder), path)),
                 0);
    struct covey_stored_step step;
    uint8_t *stream = NULL;
    save(1, 7);
    cr_expect_eq(system(path), 0);
    cr_expect_eq(covey_step_store_load(folder, 1, &step, &stream, &err), COVEY_CORRUPT);
    fake_folder_remove(folder);
}
