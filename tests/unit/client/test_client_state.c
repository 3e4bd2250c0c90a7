/* The state on the disk: whole after a crash at any call, whole when the disk is full, and never believed
 * when damaged. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_state.h"
#include "covey/hash.h"

#define COUNT 3000
#define DESCRIPTION "a model description"
#define MESSAGE_BYTES 777

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/covey-state-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    cr_assert(covey_crypto_start(NULL) == COVEY_OK);
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0);
}

TestSuite(client_state, .init = make_folder, .fini = remove_folder);

/* ------------------------------------------------------------------ a disk that fails */

static int calls_left; /* until it fails; negative: never */
static bool dead;      /* it fails from then on */
static bool full;      /* ... with a full disk, and only writing */

static bool fails(void)
{
    if (dead)
        return true;
    if (calls_left < 0 || calls_left-- > 0)
        return false;
    if (full) {
        calls_left = -1;
        errno = ENOSPC;
        return true;
    }
    dead = true;
    errno = EIO;
    return true;
}

static int failing_open(const char *path, int flags, mode_t mode)
{
    return !full && fails() ? -1 : open(path, flags, mode);
}

/* The last write before a crash is torn. */
static ssize_t failing_write(int descriptor, const void *bytes, size_t count)
{
    bool was_dead = dead;
    if (!fails())
        return write(descriptor, bytes, count);
    if (!was_dead && count > 1 && write(descriptor, bytes, count / 2) < 0)
        return -1;
    errno = full ? ENOSPC : EIO;
    return -1;
}

static int failing_sync(int descriptor)
{
    (void)descriptor; /* what a real one does takes long, and no test can see it */
    return !full && fails() ? -1 : 0;
}

static int failing_rename(const char *from, const char *to)
{
    if (!full && fails()) {
        errno = EIO;
        return -1;
    }
    return rename(from, to);
}

static int failing_unlink(const char *path)
{
    if (!full && fails()) {
        errno = EIO;
        return -1;
    }
    return unlink(path);
}

static const struct covey_disk failing_disk = {failing_open, failing_write, failing_sync, failing_rename,
                                               failing_unlink};

/* ------------------------------------------------------------------ what is stored */

static float value_of(int kind, size_t index)
{
    return (float)kind * 1000 + (float)index * .25f;
}

static struct covey_state_model model_of(int kind)
{
    return (struct covey_state_model){.model = {{(uint8_t)kind}},
                                      .description = {{7}},
                                      .sequence = (uint64_t)kind,
                                      .round = (uint32_t)kind,
                                      .count = COUNT,
                                      .description_bytes = sizeof DESCRIPTION};
}

static enum covey_status store_model(struct covey_client_state *state, int kind)
{
    float values[COUNT];
    struct covey_state_model model = model_of(kind);
    for (size_t i = 0; i < COUNT; i++)
        values[i] = value_of(kind, i);
    return covey_client_state_store_model(state, &model, (const uint8_t *)DESCRIPTION, values, NULL);
}

static enum covey_status store_update(struct covey_client_state *state, int kind)
{
    float values[COUNT];
    uint8_t message[MESSAGE_BYTES];
    const struct covey_state_update update = {.assignment = {{(uint8_t)kind}},
                                              .round = (uint32_t)kind,
                                              .loss_after = kind,
                                              .message_bytes = MESSAGE_BYTES,
                                              .stream_bytes = 600};
    const struct covey_state_residual residual = {
        .description = {{7}}, .codec = "int8", .sequence = (uint64_t)kind, .count = COUNT};
    for (size_t i = 0; i < COUNT; i++)
        values[i] = value_of(10 + kind, i);
    memset(message, kind, sizeof message);
    return covey_client_state_store_update(state, &update, message, &residual, values, NULL, NULL);
}

static void expect_values(const float *values, int kind)
{
    for (size_t i = 0; i < COUNT; i++)
        cr_assert(values[i] == value_of(kind, i));
}

static void expect_model(struct covey_client_state *state, int kind)
{
    float values[COUNT];
    uint8_t description[sizeof DESCRIPTION];
    struct covey_error err = {0};
    cr_assert(covey_client_state_load_model(state, description, values, &err) == COVEY_OK, "%s", err.text);
    cr_assert(memcmp(description, DESCRIPTION, sizeof description) == 0);
    expect_values(values, kind);
}

static void expect_update(struct covey_client_state *state, int kind)
{
    uint8_t message[MESSAGE_BYTES], wanted[MESSAGE_BYTES];
    struct covey_error err = {0};
    memset(wanted, kind, sizeof wanted);
    cr_assert(covey_client_state_load_update(state, message, &err) == COVEY_OK, "%s", err.text);
    cr_assert(memcmp(message, wanted, sizeof message) == 0);
}

static void expect_residual(struct covey_client_state *state, int kind)
{
    float values[COUNT];
    struct covey_error err = {0};
    cr_assert(covey_client_state_load_residual(state, values, NULL, &err) == COVEY_OK, "%s", err.text);
    expect_values(values, 10 + kind);
}

static struct covey_client_state *open_state(const struct covey_disk *disk)
{
    struct covey_client_state *state = NULL;
    struct covey_error err = {0};
    cr_assert(covey_client_state_open(folder, "digits", disk, NULL, &state, &err) == COVEY_OK, "%s",
              err.text);
    return state;
}

/* ------------------------------------------------------------------ tests */

Test(client_state, remembers)
{
    struct covey_client_state *state = open_state(NULL);
    uint64_t sequence;
    struct covey_hash hash = {{3}}, back;
    cr_assert(!covey_client_state_sequence(state, &sequence, &back));
    cr_assert(covey_client_state_model(state) == NULL && covey_client_state_update(state) == NULL);
    cr_assert(covey_client_state_set_shard(state, 5690, NULL) == COVEY_OK);
    cr_assert(!covey_client_state_sequence(state, &sequence, &back));
    cr_assert(covey_client_state_set_sequence(state, 42, &hash, NULL) == COVEY_OK);
    cr_assert(store_model(state, 1) == COVEY_OK && store_update(state, 1) == COVEY_OK);
    covey_client_state_close(state);

    state = open_state(NULL);
    cr_assert(covey_client_state_sequence(state, &sequence, &back) && sequence == 42 &&
              covey_hash_equal(&hash, &back));
    cr_assert(covey_client_state_shard(state) == 5690);
    expect_model(state, 1);
    expect_update(state, 1);
    cr_assert(covey_client_state_update(state)->loss_after == 1);
    cr_assert(covey_client_state_residual(state) == NULL, "pending only");
    cr_assert(covey_client_state_commit_update(state, NULL) == COVEY_OK);
    expect_residual(state, 1);
    cr_assert(covey_client_state_update(state) == NULL);
    covey_client_state_close(state);

    state = open_state(NULL);
    cr_assert(covey_client_state_update(state) == NULL);
    expect_residual(state, 1);
    cr_assert(strcmp(covey_client_state_residual(state)->codec, "int8") == 0);
    cr_assert(store_update(state, 2) == COVEY_OK &&
              covey_client_state_drop_update(state, true, NULL) == COVEY_OK);
    expect_residual(state, 1);
    cr_assert(store_update(state, 3) == COVEY_OK &&
              covey_client_state_drop_update(state, false, NULL) == COVEY_OK);
    cr_assert(covey_client_state_residual(state) == NULL);
    covey_client_state_close(state);
}

Test(client_state, one_client_at_a_time)
{
    struct covey_client_state *state = open_state(NULL), *second = NULL, *other = NULL;
    struct covey_error err = {0};
    cr_assert(covey_client_state_open(folder, "digits", NULL, NULL, &second, &err) == COVEY_BUSY, "%s",
              err.text);
    cr_assert(covey_client_state_look(folder, "digits", NULL, &second, &err) == COVEY_OK);
    covey_client_state_close(second);
    cr_assert(covey_client_state_look(folder, "none", NULL, &second, &err) == COVEY_NOT_FOUND);
    cr_assert(covey_client_state_open(folder, "fashion", NULL, NULL, &other, &err) == COVEY_OK, "%s",
              err.text);
    cr_assert(store_model(state, 1) == COVEY_OK);
    cr_assert(covey_client_state_model(other) == NULL, "one federation's state is not another's");
    cr_assert(covey_client_state_forget(state, &err) == COVEY_OK, "%s", err.text);
    covey_client_state_close(state);
    covey_client_state_close(other);
    cr_assert(covey_client_state_look(folder, "digits", NULL, &second, &err) == COVEY_NOT_FOUND);
}

/* What a device does in two rounds. Returns how many steps went well. */
static int two_rounds(struct covey_client_state *state)
{
    struct covey_hash one = {{1}}, two = {{2}};
    int done = 0;
    done += done == 0 && covey_client_state_set_sequence(state, 1, &one, NULL) == COVEY_OK;
    done += done == 1 && store_model(state, 1) == COVEY_OK;
    done += done == 2 && store_update(state, 1) == COVEY_OK;
    done += done == 3 && covey_client_state_commit_update(state, NULL) == COVEY_OK;
    done += done == 4 && covey_client_state_set_sequence(state, 2, &two, NULL) == COVEY_OK;
    done += done == 5 && store_model(state, 2) == COVEY_OK;
    done += done == 6 && store_update(state, 2) == COVEY_OK;
    done += done == 7 && covey_client_state_commit_update(state, NULL) == COVEY_OK;
    return done;
}

/* Whatever went well before the crash is there; what was under way is there or is not; nothing is in between.
 */
static void expect_after(struct covey_client_state *state, int done, int crash)
{
    uint64_t sequence = 0;
    struct covey_hash hash;
    const struct covey_state_model *model = covey_client_state_model(state);
    const struct covey_state_update *update = covey_client_state_update(state);
    const struct covey_state_residual *residual = covey_client_state_residual(state);
    (void)covey_client_state_sequence(state, &sequence, &hash);
    cr_assert(sequence >= (uint64_t)(done >= 5   ? 2
                                     : done >= 1 ? 1
                                                 : 0),
              "crash %d: sequence %d", crash, (int)sequence);
    cr_assert(model == NULL ? done < 2 : model->sequence >= (done >= 6 ? 2u : 1u), "crash %d", crash);
    if (model != NULL)
        expect_model(state, (int)model->sequence);
    if (done == 3) /* encoded, not acknowledged as far as we know: never lost, unless the commit had begun */
        cr_assert(update != NULL || residual != NULL, "crash %d: the update is lost", crash);
    if (done == 7)
        cr_assert(update != NULL || residual->sequence == 2, "crash %d: the second update is lost", crash);
    if (update != NULL)
        expect_update(state, update->assignment.bytes[0]);
    if (done >= 4)
        cr_assert(residual != NULL && residual->sequence >= (done >= 8 ? 2u : 1u),
                  "crash %d: the residual is lost", crash);
    if (residual != NULL)
        expect_residual(state, (int)residual->sequence);
}

Test(client_state, a_crash_at_any_call)
{
    int crash = 0, done = 0;
    for (; done < 8 && crash < 1000; crash++) {
        make_folder();
        calls_left = crash;
        dead = full = false;
        struct covey_client_state *state = open_state(&failing_disk);
        done = two_rounds(state);
        covey_client_state_close(state);
        state = open_state(NULL);
        expect_after(state, done, crash);
        /* and life goes on */
        cr_assert(store_update(state, 3) == COVEY_OK &&
                  covey_client_state_commit_update(state, NULL) == COVEY_OK);
        expect_residual(state, 3);
        covey_client_state_close(state);
        remove_folder();
    }
    cr_assert(crash > 40 && crash < 1000, "%d crashes were tried", crash);
    make_folder();
}

Test(client_state, a_full_disk)
{
    for (int crash = 0; crash < 30; crash++) {
        struct covey_error err = {0};
        calls_left = -1;
        dead = false;
        full = true;
        struct covey_client_state *state = open_state(&failing_disk);
        cr_assert(store_model(state, 1) == COVEY_OK && store_update(state, 1) == COVEY_OK);
        cr_assert(covey_client_state_commit_update(state, NULL) == COVEY_OK);
        calls_left = crash;
        float values[COUNT] = {0};
        struct covey_state_model model = model_of(2);
        enum covey_status status =
            covey_client_state_store_model(state, &model, (const uint8_t *)DESCRIPTION, values, &err);
        cr_assert(status == COVEY_OK || status == COVEY_LIMIT, "%s", err.text);
        if (status == COVEY_LIMIT)
            expect_model(state, 1);
        expect_residual(state, 1);
        calls_left = -1;
        cr_assert(store_model(state, 2) == COVEY_OK, "there is room again");
        expect_model(state, 2);
        covey_client_state_close(state);
    }
}

Test(client_state, damage_is_found)
{
    static const char *const names[] = {"sequence", "model", "update", "residual"};
    struct covey_hash hash = {{1}};
    for (size_t n = 0; n < 4; n++) {
        for (int way = 0; way < 40; way++) {
            char path[160];
            calls_left = -1;
            dead = full = false;
            struct covey_client_state *state = open_state(&failing_disk);
            cr_assert(covey_client_state_set_sequence(state, 1, &hash, NULL) == COVEY_OK);
            cr_assert(store_model(state, 1) == COVEY_OK && store_update(state, 1) == COVEY_OK);
            cr_assert(covey_client_state_commit_update(state, NULL) == COVEY_OK &&
                      store_update(state, 1) == COVEY_OK);
            covey_client_state_close(state);
            snprintf(path, sizeof path, "%s/digits/%s", folder, names[n]);
            FILE *file = fopen(path, "r+b");
            cr_assert(file != NULL);
            fseek(file, 0, SEEK_END);
            long size = ftell(file);
            if (way < 30) { /* one bit somewhere */
                long at = size * way / 30;
                fseek(file, at, SEEK_SET);
                int byte = getc(file);
                fseek(file, at, SEEK_SET);
                putc(byte ^ 1 << way % 8, file);
            } else if (way < 39) {
                cr_assert(ftruncate(fileno(file), size * (way - 30) / 9) == 0);
            } else {
                fseek(file, 0, SEEK_END);
                putc(0, file);
            }
            fclose(file);
            state = open_state(NULL);
            uint64_t sequence;
            bool has[] = {covey_client_state_sequence(state, &sequence, &hash),
                          covey_client_state_model(state) != NULL, covey_client_state_update(state) != NULL,
                          covey_client_state_residual(state) != NULL};
            for (size_t i = 0; i < 4; i++)
                cr_assert(has[i] == (i != n), "%s, way %d: %s", names[n], way, names[i]);
            covey_client_state_close(state);
            hash = (struct covey_hash){{1}};
        }
    }
}
