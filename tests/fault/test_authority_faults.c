/* The n-th call to the system fails, for every n: whatever is left on the disk can be loaded or was never
 * there, names no device that could not be withdrawn, and does not stand in the way of the next try. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/authority.h"
#include "covey/credential_store.h"
#include "covey/hash.h"

#define NOW 1800000000ll

/* ---- the faults: linked in front of the real functions by --wrap ---- */

static long calls_until_fault = -1; /* of the file system; < 0: none */
static long memory_until_fault = -1;

static int is_time_to_fail(void)
{
    return calls_until_fault >= 0 && calls_until_fault-- == 0;
}

static int is_memory_gone(void)
{
    return memory_until_fault >= 0 && memory_until_fault-- == 0;
}

/* Mbed TLS allocates some hundred times an operation, each alike: every so many of them is tried. */
#define MEMORY_STRIDE 23

#define WRAP(type, name, parameters, arguments, number)                                                      \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        if (is_time_to_fail()) {                                                                             \
            errno = number;                                                                                  \
            return (type)-1;                                                                                 \
        }                                                                                                    \
        return __real_##name arguments;                                                                      \
    }

WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), ENOSPC)
WRAP(int, fsync, (int fd), (fd), EIO)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), EIO)
WRAP(int, mkostemp, (char *path, int flags), (path, flags), ENOSPC)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC)
WRAP(int, rename, (const char *from, const char *to), (from, to), EIO)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), EIO)

int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    if (is_time_to_fail()) {
        errno = EIO;
        return -1;
    }
    return __real_renameat2(from_fd, from, to_fd, to, flags);
}

char *__real_mkdtemp(char *path);
char *__wrap_mkdtemp(char *path);
char *__wrap_mkdtemp(char *path)
{
    if (is_time_to_fail()) {
        errno = ENOSPC;
        return NULL;
    }
    return __real_mkdtemp(path);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return is_memory_gone() ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return is_memory_gone() ? NULL : __real_realloc(memory, size);
}

/* ---- a folder ---- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[8][256];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static void clear_folder(void)
{
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_folder(void)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
    (void)snprintf(folder, sizeof folder, "/tmp/covey-faults-XXXXXX");
    cr_assert_not_null(__real_mkdtemp(folder));
}

TestSuite(authority_faults, .init = make_folder, .fini = clear_folder, .timeout = 120);

static int count_files(const char *dir)
{
    DIR *stream = opendir(dir);
    int count = 0;
    if (stream == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.' || strncmp(entry->d_name, ".pki", 4) == 0;
    (void)closedir(stream);
    return count;
}

static enum covey_status create(struct covey_error *err)
{
    static const char *const names[] = {"localhost"};
    const struct covey_authority_options options = {
        .server_names = names, .server_name_count = 1, .now_s = NOW};
    return covey_authority_create(in_folder("fed"), &options, err);
}

static enum covey_status add(enum covey_device_mode mode, struct covey_error *err)
{
    const struct covey_device_order order = {
        .name = "lamp", .out_dir = in_folder("lamp"), .mode = mode, .now_s = NOW};
    return covey_authority_add_device(in_folder("fed"), &order, err);
}

static void expect_server_loads(void)
{
    struct covey_credential_store *store = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_credentials_load_server(in_folder("fed"), NULL, &store, &err), COVEY_OK, "%s",
                 err.text);
    covey_credential_store_destroy(store);
}

static void expect_device_loads(void)
{
    struct covey_credential_store *store = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_credentials_load_device(in_folder("lamp"), "localhost", NULL, &store, &err), COVEY_OK,
                 "%s", err.text);
    covey_credential_store_destroy(store);
}

struct listed {
    int all, live;
};

static void count_entry(void *user, const struct covey_device_entry *entry)
{
    struct listed *listed = user;
    listed->all++;
    listed->live += !entry->revoked;
}

static struct listed read_list(void)
{
    struct listed listed = {0};
    struct covey_error err = {0};
    cr_assert_eq(covey_authority_list(in_folder("fed"), count_entry, &listed, &err), COVEY_OK, "%s",
                 err.text);
    return listed;
}

static int try_creating(long *fault, long stride)
{
    int failures = 0;
    for (long n = 0;; n += stride) {
        struct covey_error err = {0};
        *fault = n;
        const enum covey_status status = create(&err);
        const int was_hit = *fault < 0;
        *fault = -1;
        failures += status != COVEY_OK;
        cr_expect(status == COVEY_OK || err.text[0] != '\0', "fault %ld is not explained", n);
        if (access(in_folder("fed/pki"), F_OK) == 0)
            expect_server_loads();
        else
            cr_expect_eq(count_files(in_folder("fed")), 0, "fault %ld left something", n);
        (void)nftw(in_folder("fed"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
        if (!was_hit) {
            cr_assert_eq(status, COVEY_OK, "%s", err.text);
            return failures;
        }
    }
}

Test(authority_faults, init)
{
    cr_expect_gt(try_creating(&calls_until_fault, 1), 30);
    cr_expect_gt(try_creating(&memory_until_fault, 5 * MEMORY_STRIDE), 5);
}

/* What must hold after a device was added, or was not. */
static void look_after_adding(enum covey_status status, const struct covey_error *err, long n)
{
    struct covey_error later = {0};
    const struct listed listed = read_list();
    expect_server_loads();
    if (status != COVEY_OK) {
        cr_expect(err->text[0] != '\0', "fault %ld is not explained", n);
        cr_expect_eq(count_files(in_folder("lamp")), 0, "fault %ld left a bundle", n);
        cr_expect_eq(count_files(in_folder("fed/psk")), 0, "fault %ld left a key", n);
    } else {
        expect_device_loads();
        cr_expect_eq(listed.live, 1, "a device without its line, fault %ld", n);
    }
    if (listed.live >
        0) /* a line without a device at worst: it can be withdrawn, and then the name is free */
        cr_assert_eq(covey_authority_revoke(in_folder("fed"), "lamp", &later), COVEY_OK, "%s", later.text);
    (void)nftw(in_folder("lamp"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* fault: the counter to set; stride: every so many calls. Returns how many faults were felt. */
static int try_adding(enum covey_device_mode mode, long *fault, long stride)
{
    int failures = 0;
    for (long n = 0;; n += stride) {
        struct covey_error err = {0};
        *fault = n;
        const enum covey_status status = add(mode, &err);
        const int was_hit = *fault < 0;
        *fault = -1;
        look_after_adding(status, &err, n);
        failures += status != COVEY_OK;
        if (!was_hit) {
            cr_assert_eq(status, COVEY_OK);
            return failures;
        }
    }
}

Test(authority_faults, adding_a_device_with_a_certificate)
{
    struct covey_error err = {0};
    cr_assert_eq(create(&err), COVEY_OK, "%s", err.text);
    cr_expect_gt(try_adding(COVEY_DEVICE_CERTIFICATE, &calls_until_fault, 1), 15);
    cr_expect_gt(try_adding(COVEY_DEVICE_CERTIFICATE, &memory_until_fault, MEMORY_STRIDE), 5);
}

Test(authority_faults, adding_a_device_with_a_pre_shared_key)
{
    struct covey_error err = {0};
    cr_assert_eq(create(&err), COVEY_OK, "%s", err.text);
    cr_expect_gt(try_adding(COVEY_DEVICE_PSK, &calls_until_fault, 1), 10);
    cr_expect_gt(try_adding(COVEY_DEVICE_PSK, &memory_until_fault, 1), 3);
}

/* Withdrawing that fails can be done again; once it says done, it is. */
Test(authority_faults, withdrawing)
{
    struct covey_error err = {0};
    cr_assert_eq(create(&err), COVEY_OK, "%s", err.text);
    for (long n = 0;; n++) {
        cr_assert_eq(add(n % 2 == 0 ? COVEY_DEVICE_CERTIFICATE : COVEY_DEVICE_PSK, &err), COVEY_OK, "%s",
                     err.text);
        calls_until_fault = n / 2;
        enum covey_status status = covey_authority_revoke(in_folder("fed"), "lamp", &err);
        const int was_hit = calls_until_fault < 0;
        calls_until_fault = -1;
        if (status != COVEY_OK && read_list().live > 0)
            cr_assert_eq(covey_authority_revoke(in_folder("fed"), "lamp", &err), COVEY_OK, "%s", err.text);
        cr_expect_eq(read_list().live, 0, "fault %ld", n);
        cr_expect_eq(count_files(in_folder("fed/psk")), 0, "fault %ld left the key", n);
        (void)nftw(in_folder("lamp"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
        if (!was_hit && n % 2 == 1)
            break;
    }
}

/* Whatever happens while the server's certificate is renewed, what is there afterwards is a pair, or says
 * that it is none. */
Test(authority_faults, renewing_the_server)
{
    static const char *const names[] = {"localhost"};
    const struct covey_authority_options options = {
        .server_names = names, .server_name_count = 1, .now_s = NOW};
    struct covey_error err = {0};
    cr_assert_eq(create(&err), COVEY_OK, "%s", err.text);
    for (long n = 0;; n++) {
        struct covey_credential_store *store = NULL;
        calls_until_fault = n;
        const enum covey_status status = covey_authority_renew_server(in_folder("fed"), &options, &err);
        const int was_hit = calls_until_fault < 0;
        calls_until_fault = -1;
        const enum covey_status loaded = covey_credentials_load_server(in_folder("fed"), NULL, &store, &err);
        cr_expect(loaded == COVEY_OK || (status != COVEY_OK && loaded == COVEY_MISMATCH), "fault %ld: %s", n,
                  err.text);
        covey_credential_store_destroy(store);
        cr_assert_eq(covey_authority_renew_server(in_folder("fed"), &options, &err), COVEY_OK, "%s",
                     err.text);
        expect_server_loads();
        if (!was_hit)
            break;
    }
}
