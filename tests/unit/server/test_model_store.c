/* The model store: a model is there whole or not at all, whichever call fails, whatever part of a file is
 * damaged. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/hash.h"
#include "fake_host.h"
#include "model_store.h"

/* Sections that are a function of the sequence. */
static void fill(uint64_t sequence, uint8_t *storage, struct covey_bytes sections[COVEY_SECTION_COUNT])
{
    static const size_t sizes[COVEY_SECTION_COUNT] = {100, 5000, 777, 6001};
    size_t at = 0;
    for (int i = 0; i < COVEY_SECTION_COUNT; i++) {
        const size_t size = i == COVEY_SECTION_DELTA && sequence == 1 ? 0 : sizes[i];
        memset(storage + at, (int)(sequence * 16 + (uint64_t)i), size);
        sections[i] = (struct covey_bytes){storage + at, size};
        at += size;
    }
}

static enum covey_status save(struct covey_model_store *store, uint64_t sequence)
{
    uint8_t storage[12000];
    struct covey_bytes sections[COVEY_SECTION_COUNT];
    fill(sequence, storage, sections);
    return covey_model_store_save(store, sequence, sections, NULL);
}

static void check(struct covey_model_store *store, uint64_t sequence)
{
    uint8_t storage[12000];
    struct covey_bytes sections[COVEY_SECTION_COUNT];
    fill(sequence, storage, sections);
    for (int i = 0; i < COVEY_SECTION_COUNT; i++) {
        struct covey_blob *blob = NULL;
        struct covey_error err = {0};
        cr_assert_eq(covey_model_store_section(store, sequence, (enum covey_model_section)i, &blob, &err),
                     COVEY_OK, "%s", err.text);
        const struct covey_bytes view = covey_blob_view(blob);
        cr_assert_eq(view.size, sections[i].size);
        cr_assert(view.size == 0 || memcmp(view.data, sections[i].data, view.size) == 0);
        covey_blob_release(blob);
    }
}

static struct covey_model_store *open_at(const char *folder, const struct covey_file_calls *calls)
{
    struct covey_model_store *store = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    cr_assert_eq(covey_model_store_open(folder, calls, &store, &err), COVEY_OK, "%s", err.text);
    return store;
}

static uint64_t latest(struct covey_model_store *store, uint32_t *damaged)
{
    uint64_t sequence = 0;
    return covey_model_store_latest(store, &sequence, damaged, NULL) == COVEY_OK ? sequence : 0;
}

static uint32_t count_files(const char *folder, const char *pattern)
{
    char command[256];
    unsigned count = 0;
    (void)snprintf(command, sizeof command, "find '%s' -name '%s' | wc -l", folder, pattern);
    FILE *pipe = popen(command, "r");
    cr_assert_eq(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

Test(model_store, keeps_finds_and_prunes)
{
    char folder[64];
    uint32_t damaged = 9;
    fake_folder_make(folder);
    struct covey_model_store *store = open_at(folder, NULL);
    uint64_t sequence = 0;
    cr_expect_eq(covey_model_store_latest(store, &sequence, &damaged, NULL), COVEY_NOT_FOUND);
    for (uint64_t i = 1; i <= 6; i++)
        cr_assert_eq(save(store, i), COVEY_OK);
    cr_expect_eq(save(store, COVEY_MODEL_SEQUENCES + 1), COVEY_LIMIT);
    cr_expect_eq(latest(store, &damaged), 6);
    cr_expect_eq(damaged, 0);
    for (uint64_t i = 1; i <= 6; i++)
        check(store, i);
    struct covey_blob *held = NULL;
    cr_assert_eq(covey_model_store_section(store, 1, COVEY_SECTION_FULL, &held, NULL), COVEY_OK);
    covey_model_store_prune(store, 6, 2);
    cr_expect(!covey_model_store_has(store, 4) && covey_model_store_has(store, 5) &&
              covey_model_store_has(store, 6));
    cr_expect_eq(covey_blob_view(held).data[4999], 16 + COVEY_SECTION_FULL, "what was mapped lives on");
    covey_blob_release(held);
    covey_model_store_close(store);
    fake_folder_remove(folder);
}

/* ------------------------------------------------------------------ the n-th call fails */

struct failing {
    int calls, fail_at; /* counts every call; that one fails */
    bool die;           /* and every one after it: as if the process had died */
};

static bool fails(void *user)
{
    struct failing *failing = user;
    failing->calls++;
    errno = EIO;
    return failing->die ? failing->calls >= failing->fail_at : failing->calls == failing->fail_at;
}
static int open_f(void *user, const char *path, int flags, mode_t mode)
{
    return fails(user) ? -1 : open(path, flags, mode);
}
static ssize_t write_f(void *user, int file, const void *data, size_t size)
{
    /* half a write first, so that short writes are met too */
    return fails(user) ? -1 : write(file, data, size > 1000 ? size / 2 : size);
}
static int fsync_f(void *user, int file)
{
    return fails(user) ? -1 : fsync(file);
}
static int close_f(void *user, int file)
{
    const bool failed = fails(user);
    const int result = close(file);
    return failed ? -1 : result;
}
static int rename_f(void *user, const char *from, const char *to)
{
    return fails(user) ? -1 : rename(from, to);
}
static int unlink_f(void *user, const char *path)
{
    return fails(user) ? -1 : unlink(path);
}

static void fail_each_call(bool die)
{
    for (int n = 1; n < 1000; n++) {
        char folder[64];
        uint32_t damaged;
        fake_folder_make(folder);
        struct failing failing = {0, -1, die};
        if (die)
            failing.fail_at = 1 << 30;
        const struct covey_file_calls calls = {open_f,   write_f,  fsync_f, close_f,
                                               rename_f, unlink_f, &failing};
        struct covey_model_store *store = open_at(folder, &calls);
        cr_assert_eq(save(store, 1), COVEY_OK);
        failing.calls = 0;
        failing.fail_at = n;
        const enum covey_status status = save(store, 2);
        const bool met = failing.calls >= n;
        failing.fail_at = 1 << 30;
        covey_model_store_close(store);

        store = open_at(folder, NULL); /* the next start */
        const uint64_t newest = latest(store, &damaged);
        cr_assert_eq(damaged, 0, "call %d left half a model", n);
        cr_assert(newest == 1 || newest == 2);
        cr_assert(status != COVEY_OK || newest == 2, "call %d: said to be stored, and is not", n);
        check(store, 1);
        if (newest == 2)
            check(store, 2);
        cr_assert_eq(count_files(folder, "*.tmp"), 0, "call %d left a temporary file", n);
        cr_assert_eq(save(store, 2), COVEY_OK);
        covey_model_store_close(store);
        fake_folder_remove(folder);
        if (!met) {
            cr_assert_eq(status, COVEY_OK);
            cr_assert_gt(n, 10, "only %d calls: the failures were not reached", n);
            return;
        }
    }
    cr_assert_fail("it never got through");
}

Test(model_store, is_as_before_when_any_call_fails)
{
    fail_each_call(false);
}

Test(model_store, is_as_before_or_whole_when_the_process_dies_at_any_call)
{
    fail_each_call(true);
}

/* ------------------------------------------------------------------ damage */

Test(model_store, passes_over_damaged_and_cut_files)
{
    static const long places[] = {0, 9, 20, 100, 250, 300, 400, 3000, 6000, 12000};
    for (size_t i = 0; i < 2 * sizeof places / sizeof places[0]; i++) {
        const long place = places[i / 2];
        const bool cut = i % 2 == 1;
        char folder[64], path[128];
        uint32_t damaged;
        fake_folder_make(folder);
        struct covey_model_store *store = open_at(folder, NULL);
        cr_assert_eq(save(store, 1), COVEY_OK);
        cr_assert_eq(save(store, 2), COVEY_OK);
        (void)snprintf(path, sizeof path, "%s/00000002.model", folder);
        if (cut) {
            cr_assert_eq(truncate(path, place), 0);
        } else {
            FILE *file = fopen(path, "r+");
            cr_assert_eq(fseek(file, place, SEEK_SET), 0);
            const int byte = fgetc(file);
            cr_assert_neq(byte, EOF, "place %ld is past the end", place);
            cr_assert_eq(fseek(file, place, SEEK_SET), 0);
            fputc(byte ^ 0x40, file);
            fclose(file);
        }
        const uint64_t newest = latest(store, &damaged);
        /* a later version is not damage: it stops instead (offset 9 is in the version) */
        if (place == 9 && !cut) {
            cr_expect_eq(newest, 0);
        } else if (damaged == 0) { /* the flipped byte was padding */
            cr_expect_eq(newest, 2);
            check(store, 2);
        } else {
            cr_expect_eq(newest, 1, "%s at %ld", cut ? "cut" : "flipped", place);
            cr_expect_eq(damaged, 1);
            cr_expect_eq(count_files(folder, "*.damaged"), 1);
            cr_expect_eq(save(store, 2), COVEY_OK, "the number can be used again");
            check(store, 2);
        }
        covey_model_store_close(store);
        fake_folder_remove(folder);
    }
}

Test(model_store, passes_over_names_that_are_none)
{
    static const char *const names[] = {"00000009.model.tmp", "9.model", "000000x9.model", "00000009.modelx",
                                        "notes"};
    char folder[64], path[128];
    uint32_t damaged;
    fake_folder_make(folder);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        fclose(fopen(path, "w"));
    }
    struct covey_model_store *store = open_at(folder, NULL);
    cr_assert_eq(save(store, 3), COVEY_OK);
    cr_expect_eq(latest(store, &damaged), 3);
    cr_expect_eq(count_files(folder, "*.tmp"), 0, "what a crash left is cleared away");
    cr_expect_eq(count_files(folder, "notes"), 1);
    covey_model_store_close(store);
    struct covey_model_store *reader = NULL;
    cr_expect_eq(covey_model_store_open_to_read("/nonexistent", &reader, NULL), COVEY_NOT_FOUND);
    fake_folder_remove(folder);
}
