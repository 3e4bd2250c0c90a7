/* From nothing to devices and back: the files that `covey-server init`, `device add` and `device revoke`
 * make, loaded as both sides load them. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/authority.h"
#include "covey/credential_store.h"
#include "covey/sign.h"
#include "security_files.h"

TestSuite(authority, .init = scratch_make, .fini = scratch_remove);

#define NOW 1800000000ll
#define DAY 86400ll

static const char *const server_names[] = {"fl.example.org", "127.0.0.1"};

static void create(const char *dir)
{
    const struct covey_authority_options options = {
        .server_names = server_names, .server_name_count = 2, .now_s = NOW};
    struct covey_error err = {0};
    cr_assert_eq(covey_authority_create(dir, &options, &err), COVEY_OK, "%s", err.text);
}

static enum covey_status add(const char *dir, const char *name, const char *out_dir,
                             enum covey_device_mode mode, struct covey_error *err)
{
    const struct covey_device_order order = {.name = name, .out_dir = out_dir, .mode = mode, .now_s = NOW};
    return covey_authority_add_device(dir, &order, err);
}

/* A wall clock that a test sets. */
static int64_t clock_s = NOW;

static int64_t test_wall_s(void *user)
{
    (void)user;
    return clock_s;
}

static uint64_t test_now_ms(void *user)
{
    (void)user;
    return 0;
}

static const struct covey_env env = {.now_ms = test_now_ms, .wall_s = test_wall_s};

static struct covey_credential_store *load_server(const char *dir)
{
    struct covey_credential_store *store = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_credentials_load_server(dir, &env, &store, &err), COVEY_OK, "%s", err.text);
    return store;
}

static struct covey_credential_store *load_device(const char *dir, const char *server_name)
{
    struct covey_credential_store *store = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_credentials_load_device(dir, server_name, &env, &store, &err), COVEY_OK, "%s",
                 err.text);
    return store;
}

static enum covey_status meet(const struct covey_credential_store *judge,
                              const struct covey_credential_store *peer, char name[COVEY_NAME_BYTES],
                              struct covey_error *err)
{
    const struct covey_credentials *own = covey_credential_store_view(judge);
    return own->check_peer(own->check_user, covey_credential_store_view(peer)->chain_pem, 0, name, err);
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    cr_assert_eq(stat(path, &info), 0, "%s", path);
    return info.st_mode & 0777;
}

static int file_count(const char *dir)
{
    DIR *folder = opendir(dir);
    int count = 0;
    cr_assert_not_null(folder, "%s", dir);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(folder);
    return count;
}

Test(authority, init_makes_what_it_says)
{
    create(scratch("fed"));
    static const char *const secrets[] = {"server-ca.key", "device-ca.key", "server.key", "signer.key"};
    static const char *const publics[] = {"server-ca.crt", "device-ca.crt", "server.crt", "signer.pub"};
    char path[512];
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", scratch("fed/pki"), secrets[i]);
        cr_expect_eq(mode_of(path), 0600, "%s", path);
        (void)snprintf(path, sizeof path, "%s/%s", scratch("fed/pki"), publics[i]);
        cr_expect_eq(mode_of(path), 0644, "%s", path);
    }
    cr_expect_eq(file_count(scratch("fed/pki")), 8);
    cr_expect_eq(file_count(scratch("fed")), 2, "pki and psk, and nothing left over");
    cr_expect_eq(mode_of(scratch("fed/pki")), 0700);
    cr_expect_eq(mode_of(scratch("fed/psk")), 0700);
}

Test(authority, init_overwrites_nothing)
{
    const struct covey_authority_options options = {
        .server_names = server_names, .server_name_count = 2, .now_s = NOW};
    struct covey_error err = {0};
    create(scratch("fed"));
    char before[8192];
    (void)snprintf(before, sizeof before, "%s",
                   (const char *)file_text(scratch("fed/pki/server-ca.crt")).data);
    cr_expect_eq(covey_authority_create(scratch("fed"), &options, &err), COVEY_EXISTS);
    cr_expect(strstr(err.text, "not overwritten") != NULL, "%s", err.text);
    cr_expect_str_eq((const char *)file_text(scratch("fed/pki/server-ca.crt")).data, before);
}

Test(authority, an_init_that_fails_leaves_nothing)
{
    const struct covey_authority_options nameless = {.now_s = NOW};
    static const char *const bad_names[] = {"not a name"};
    const struct covey_authority_options bad = {
        .server_names = bad_names, .server_name_count = 1, .now_s = NOW};
    struct covey_error err = {0};
    cr_expect_eq(covey_authority_create(scratch("fed"), &nameless, &err), COVEY_INVALID, "%s", err.text);
    cr_expect_eq(file_count(scratch("fed")), 0);
    cr_expect_eq(covey_authority_create(scratch("fed"), &bad, &err), COVEY_INVALID, "%s", err.text);
    cr_expect_eq(file_count(scratch("fed")), 0);
    cr_expect_neq(covey_authority_create(scratch("no/such/dir"), &bad, &err), COVEY_OK);
}

Test(authority, a_device_and_the_server_accept_each_other)
{
    struct covey_error err = {0};
    char name[COVEY_NAME_BYTES];
    create(scratch("fed"));
    cr_assert_eq(add(scratch("fed"), "sensor-1", scratch("dev"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK,
                 "%s", err.text);
    cr_expect_eq(file_count(scratch("dev")), 4);
    cr_expect_eq(mode_of(scratch("dev")), 0700);
    cr_expect_eq(mode_of(scratch("dev/device.key")), 0600);
    struct covey_credential_store *server = load_server(scratch("fed")),
                                  *device = load_device(scratch("dev"), "fl.example.org");
    cr_expect_str_eq(covey_credential_store_name(server), "fl.example.org");
    cr_expect_str_eq(covey_credential_store_name(device), "sensor-1");
    cr_expect_eq(meet(server, device, name, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(name, "sensor-1");
    cr_expect_eq(meet(device, server, name, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(name, "fl.example.org");
    cr_expect_eq(meet(server, server, name, &err), COVEY_DENIED);
    cr_expect_eq(meet(device, device, name, &err), COVEY_DENIED);
    const struct covey_credentials *shown = covey_credential_store_view(device);
    cr_expect_eq(shown->chain_pem.data[shown->chain_pem.size - 1], '\0', "Mbed TLS wants the zero");
    cr_expect_eq(shown->psk_bytes, 0);
    covey_credential_store_destroy(device);
    covey_credential_store_destroy(server);
    covey_credential_store_destroy(NULL);
}

Test(authority, a_manifest_signed_by_the_server_is_believed_by_its_devices)
{
    struct covey_error err = {0};
    create(scratch("fed"));
    create(scratch("other"));
    cr_assert_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    cr_assert_eq(add(scratch("other"), "b", scratch("b"), COVEY_DEVICE_PSK, &err), COVEY_OK);
    struct covey_credential_store *server = load_server(scratch("fed")),
                                  *own = load_device(scratch("a"), "fl.example.org"),
                                  *stranger = load_device(scratch("b"), NULL);
    uint8_t message[256];
    size_t size = 0;
    struct covey_bytes payload;
    cr_assert_eq(covey_sign_message(covey_credential_store_signer(server),
                                    (struct covey_bytes){(const uint8_t *)"m", 1}, message, sizeof message,
                                    &size, &err),
                 COVEY_OK, "%s", err.text);
    const struct covey_bytes view = {message, size};
    cr_expect_eq(covey_verify_message(covey_credential_store_trust(own), view, &payload, &err), COVEY_OK,
                 "%s", err.text);
    cr_expect_eq(covey_verify_message(covey_credential_store_trust(server), view, &payload, &err), COVEY_OK);
    cr_expect_eq(covey_verify_message(covey_credential_store_trust(stranger), view, &payload, &err),
                 COVEY_DENIED);
    cr_expect_null(covey_credential_store_signer(own));
    covey_credential_store_destroy(server);
    covey_credential_store_destroy(own);
    covey_credential_store_destroy(stranger);
}

Test(authority, pre_shared_keys)
{
    struct covey_error err = {0};
    uint8_t key[COVEY_PSK_BYTES];
    size_t size = 0;
    create(scratch("fed"));
    struct covey_credential_store *server = load_server(scratch("fed"));
    const struct covey_credentials *own = covey_credential_store_view(server);
    cr_assert_not_null(own->find_psk);
    cr_expect_eq(own->find_psk(own->psk_user, "field-7", key, &size), COVEY_NOT_FOUND);
    cr_assert_eq(add(scratch("fed"), "field-7", scratch("dev"), COVEY_DEVICE_PSK, &err), COVEY_OK, "%s",
                 err.text);
    cr_expect_eq(file_count(scratch("dev")), 2);
    struct covey_credential_store *device = load_device(scratch("dev"), NULL);
    const struct covey_credentials *shown = covey_credential_store_view(device);
    cr_expect_str_eq(shown->psk_identity, "field-7");
    cr_expect_str_eq(covey_credential_store_name(device), "field-7");
    cr_expect_eq(shown->chain_pem.size, 0);
    cr_assert_eq(own->find_psk(own->psk_user, "field-7", key, &size), COVEY_OK, "known without a reload");
    cr_expect_eq(size, shown->psk_bytes);
    cr_expect_arr_eq(key, shown->psk, size);
    static const char *const bad[] = {"",  "field-8",  "../psk/field-7", "/etc/passwd",
                                      ".", "field-7/", "FIELD-7"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(own->find_psk(own->psk_user, bad[i], key, &size), COVEY_NOT_FOUND, "'%s'", bad[i]);
    cr_assert_eq(link(scratch("fed/psk/field-7"), scratch("fed/psk/other")), 0);
    cr_expect_eq(own->find_psk(own->psk_user, "other", key, &size), COVEY_NOT_FOUND,
                 "a key is its owner's only");
    cr_assert_eq(covey_authority_revoke(scratch("fed"), "field-7", &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(own->find_psk(own->psk_user, "field-7", key, &size), COVEY_NOT_FOUND, "forgotten at once");
    covey_credential_store_destroy(device);
    covey_credential_store_destroy(server);
}

static void remember_name(void *user, const char *name)
{
    char *text = user;
    strcat(text, name);
    strcat(text, " ");
}

Test(authority, a_withdrawn_device_is_refused_after_a_reload)
{
    struct covey_error err = {0};
    char name[COVEY_NAME_BYTES], names[256] = "";
    create(scratch("fed"));
    cr_assert_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    cr_assert_eq(add(scratch("fed"), "b", scratch("b"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    struct covey_credential_store *server = load_server(scratch("fed")),
                                  *a = load_device(scratch("a"), "fl.example.org"),
                                  *b = load_device(scratch("b"), "fl.example.org");
    cr_assert_eq(covey_authority_revoke(scratch("fed"), "a", &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_credentials_reload(server, remember_name, names, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(names, "a ");
    cr_expect_eq(meet(server, a, name, &err), COVEY_DENIED);
    cr_expect(strstr(err.text, "was withdrawn") != NULL, "%s", err.text);
    cr_expect_eq(meet(server, b, name, &err), COVEY_OK);
    cr_expect_not(covey_credentials_allow(server, "a"));
    cr_expect(covey_credentials_allow(server, "b"));
    cr_expect(covey_credentials_allow(server, "unheard-of"), "a deny-list names who is out");
    names[0] = '\0';
    cr_assert_eq(covey_credentials_reload(server, remember_name, names, &err), COVEY_OK);
    cr_expect_str_eq(names, "", "once is enough");
    /* the same name with a new certificate is welcome, the old one stays out */
    cr_assert_eq(add(scratch("fed"), "a", scratch("a2"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK, "%s",
                 err.text);
    struct covey_credential_store *again = load_device(scratch("a2"), "fl.example.org");
    cr_expect_eq(meet(server, again, name, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(meet(server, a, name, &err), COVEY_DENIED);
    cr_assert_eq(covey_credentials_reload(server, NULL, NULL, &err), COVEY_OK, "%s", err.text);
    cr_expect(covey_credentials_allow(server, "a"), "its new certificate counts");
    covey_credential_store_destroy(server);
    server = load_server(scratch("fed"));
    cr_expect_eq(meet(server, a, name, &err), COVEY_DENIED, "a restart forgets nothing");
    cr_expect_eq(covey_authority_revoke(scratch("fed"), "nobody", &err), COVEY_NOT_FOUND);
    cr_expect_eq(covey_authority_revoke(scratch("fed"), "../x", &err), COVEY_INVALID);
    cr_expect_eq(covey_credentials_reload(a, NULL, NULL, &err), COVEY_STATE);
    covey_credential_store_destroy(server);
    covey_credential_store_destroy(a);
    covey_credential_store_destroy(b);
    covey_credential_store_destroy(again);
}

/* Handshakes on other threads while the deny-list is read again (run under ThreadSanitizer). */
struct judging {
    const struct covey_credential_store *server, *device;
    atomic_bool stop;
    atomic_int judged, refused;
};

static void *judge_on(void *user)
{
    struct judging *judging = user;
    while (!atomic_load(&judging->stop)) {
        char name[COVEY_NAME_BYTES];
        if (meet(judging->server, judging->device, name, NULL) == COVEY_OK)
            atomic_fetch_add(&judging->judged, 1);
        else
            atomic_fetch_add(&judging->refused, 1);
        if (!covey_credentials_allow((void *)(uintptr_t)judging->server, "lamp"))
            atomic_fetch_add(&judging->refused, 1);
    }
    return NULL;
}

Test(authority, the_deny_list_is_reloaded_under_way, .timeout = 60)
{
    struct covey_error err = {0};
    pthread_t threads[2];
    create(scratch("fed"));
    cr_assert_eq(add(scratch("fed"), "lamp", scratch("lamp"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    cr_assert_eq(add(scratch("fed"), "gone", scratch("gone"), COVEY_DEVICE_PSK, &err), COVEY_OK);
    cr_assert_eq(covey_authority_revoke(scratch("fed"), "gone", &err), COVEY_OK);
    struct covey_credential_store *server = load_server(scratch("fed")),
                                  *device = load_device(scratch("lamp"), "x");
    struct judging judging = {.server = server, .device = device};
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, judge_on, &judging), 0);
    while (atomic_load(&judging.judged) < 50)
        cr_assert_eq(covey_credentials_reload(server, NULL, NULL, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(atomic_load(&judging.refused), 0);
    cr_assert_eq(covey_authority_revoke(scratch("fed"), "lamp", &err), COVEY_OK);
    cr_assert_eq(covey_credentials_reload(server, NULL, NULL, &err), COVEY_OK);
    while (atomic_load(&judging.refused) < 10)
        cr_assert_eq(covey_credentials_reload(server, NULL, NULL, &err), COVEY_OK, "%s", err.text);
    atomic_store(&judging.stop, true);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    covey_credential_store_destroy(server);
    covey_credential_store_destroy(device);
}

static void count_entry(void *user, const struct covey_device_entry *entry)
{
    int *counts = user;
    counts[0]++;
    counts[1] += entry->revoked;
    counts[2] += strncmp(entry->serial, "psk-", 4) == 0;
    if (strcmp(entry->name, "a") == 0)
        cr_expect_eq(entry->not_after_s, NOW + COVEY_VALIDITY_DEVICE_S);
}

Test(authority, names_are_given_once_and_listed)
{
    struct covey_error err = {0};
    create(scratch("fed"));
    cr_assert_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    cr_expect_eq(add(scratch("fed"), "a", scratch("x"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_EXISTS, "%s",
                 err.text);
    cr_expect_eq(add(scratch("fed"), "a", scratch("x"), COVEY_DEVICE_PSK, &err), COVEY_EXISTS);
    cr_expect_eq(add(scratch("fed"), "b", scratch("a"), COVEY_DEVICE_PSK, &err), COVEY_EXISTS,
                 "a bundle is there");
    cr_expect_eq(add(scratch("fed"), "b/c", scratch("x"), COVEY_DEVICE_PSK, &err), COVEY_INVALID);
    cr_expect_eq(access(scratch("x"), F_OK), -1, "no folder for what was refused");
    cr_assert_eq(add(scratch("fed"), "p", scratch("p"), COVEY_DEVICE_PSK, &err), COVEY_OK);
    const struct covey_device_order overlap = {
        .name = "a", .out_dir = scratch("a2"), .again = true, .now_s = NOW};
    cr_assert_eq(covey_authority_add_device(scratch("fed"), &overlap, &err), COVEY_OK, "%s", err.text);
    int counts[3] = {0};
    cr_assert_eq(covey_authority_list(scratch("fed"), count_entry, counts, &err), COVEY_OK);
    cr_expect(counts[0] == 3 && counts[1] == 0 && counts[2] == 1);
    cr_assert_eq(covey_authority_revoke(scratch("fed"), "a", &err), COVEY_OK);
    memset(counts, 0, sizeof counts);
    cr_assert_eq(covey_authority_list(scratch("fed"), count_entry, counts, &err), COVEY_OK);
    cr_expect(counts[0] == 3 && counts[1] == 2, "both of a's");
}

/* What cannot be written to the end leaves no key behind, and no name taken. */
Test(authority, a_bundle_that_fails_leaves_nothing)
{
    struct covey_error err = {0};
    create(scratch("fed"));
    write_text(scratch("file"), "no folder");
    cr_expect_neq(add(scratch("fed"), "a", scratch("file"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    cr_expect_neq(add(scratch("fed"), "p", scratch("file/sub"), COVEY_DEVICE_PSK, &err), COVEY_OK, "%s",
                  err.text);
    cr_expect_eq(file_count(scratch("fed/psk")), 0);
    cr_expect_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK, "%s",
                 err.text);
    cr_expect_eq(add(scratch("fed"), "p", scratch("p"), COVEY_DEVICE_PSK, &err), COVEY_OK, "%s", err.text);
}

/* A crash in the middle of a line: the line does not count, and the next one stands alone. */
Test(authority, half_a_line_is_not_read)
{
    struct covey_error err = {0};
    int counts[3] = {0};
    create(scratch("fed"));
    cr_assert_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    FILE *file = fopen(scratch("fed/pki/issued"), "a");
    cr_assert_not_null(file);
    cr_assert_gt(fprintf(file, "0123456789abcdef half"), 0);
    (void)fclose(file);
    cr_assert_eq(covey_authority_list(scratch("fed"), count_entry, counts, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(counts[0], 1);
    cr_assert_eq(add(scratch("fed"), "b", scratch("b"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK, "%s",
                 err.text);
    memset(counts, 0, sizeof counts);
    cr_assert_eq(covey_authority_list(scratch("fed"), count_entry, counts, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(counts[0], 2);
    write_text(scratch("fed/pki/revoked"), "what is this\n");
    cr_expect_eq(covey_authority_list(scratch("fed"), count_entry, counts, &err), COVEY_CORRUPT);
    cr_expect(strstr(err.text, "revoked:1:") != NULL, "%s", err.text);
    struct covey_credential_store *store = NULL;
    cr_expect_eq(covey_credentials_load_server(scratch("fed"), &env, &store, &err), COVEY_CORRUPT,
                 "a deny-list that cannot be read lets nobody in");
}

Test(authority, one_writer_at_a_time)
{
    struct covey_error err = {0};
    create(scratch("fed"));
    const int fd = open(scratch("fed/pki"), O_RDONLY | O_DIRECTORY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(flock(fd, LOCK_EX), 0);
    cr_expect_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_PSK, &err), COVEY_BUSY, "%s", err.text);
    cr_expect_eq(covey_authority_revoke(scratch("fed"), "a", &err), COVEY_BUSY);
    (void)close(fd);
    cr_expect_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_PSK, &err), COVEY_OK);
    cr_expect_eq(add(scratch("nowhere"), "a", scratch("b"), COVEY_DEVICE_PSK, &err), COVEY_NOT_FOUND, "%s",
                 err.text);
}

Test(authority, the_server_s_certificate_is_renewed)
{
    struct covey_error err = {0};
    char name[COVEY_NAME_BYTES], before[8192];
    static const char *const names[] = {"new.example.org"};
    const struct covey_authority_options options = {
        .server_names = names, .server_name_count = 1, .now_s = NOW + 300 * DAY};
    create(scratch("fed"));
    cr_assert_eq(add(scratch("fed"), "a", scratch("a"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK);
    (void)snprintf(before, sizeof before, "%s", (const char *)file_text(scratch("fed/pki/server.key")).data);
    cr_assert_eq(covey_authority_renew_server(scratch("fed"), &options, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_neq((const char *)file_text(scratch("fed/pki/server.key")).data, before);
    cr_expect_eq(mode_of(scratch("fed/pki/server.key")), 0600);
    struct covey_credential_store *server = load_server(scratch("fed")),
                                  *device = load_device(scratch("a"), "new.example.org");
    clock_s = NOW + 300 * DAY;
    cr_expect_eq(meet(device, server, name, &err), COVEY_OK, "%s", err.text);
    clock_s = NOW;
    cr_expect_eq(meet(device, server, name, &err), COVEY_DENIED, "not valid yet");
    covey_credential_store_destroy(server);
    covey_credential_store_destroy(device);
}

Test(authority, times_as_either_side_sees_them)
{
    struct covey_error err = {0};
    char name[COVEY_NAME_BYTES], text[256];
    create(scratch("fed"));
    const struct covey_device_order brief = {
        .name = "a", .out_dir = scratch("a"), .now_s = NOW, .validity_s = 10 * DAY};
    cr_assert_eq(covey_authority_add_device(scratch("fed"), &brief, &err), COVEY_OK);
    struct covey_credential_store *server = load_server(scratch("fed")),
                                  *device = load_device(scratch("a"), "127.0.0.1");
    cr_expect(covey_credential_store_advice(device, text, sizeof text));
    cr_expect(strstr(text, "expires in 10 days") != NULL, "%s", text);
    cr_expect_not(covey_credential_store_advice(server, text, sizeof text));
    clock_s = NOW - 1800;
    cr_expect_eq(meet(server, device, name, &err), COVEY_OK, "a clock that lags by half an hour: %s",
                 err.text);
    clock_s = NOW + 11 * DAY;
    cr_expect_eq(meet(server, device, name, &err), COVEY_DENIED);
    cr_expect(strstr(err.text, "expired on") != NULL, "%s", err.text);
    cr_expect(covey_credential_store_advice(device, text, sizeof text));
    cr_expect(strstr(text, "expired 1 days ago") != NULL, "%s", text);
    clock_s = 0;
    cr_expect_eq(meet(device, server, name, &err), COVEY_DENIED, "it woke up in 1970");
    cr_expect(strstr(err.text, "is a clock wrong?") != NULL, "%s", err.text);
    covey_credential_store_destroy(device);
    device = load_device(scratch("a"), "127.0.0.1");
    cr_expect(covey_credential_store_advice(device, text, sizeof text));
    cr_expect(strstr(text, "is the clock wrong?") != NULL, "%s", text);
    covey_credential_store_destroy(device);
    covey_credential_store_destroy(server);
    clock_s = NOW;
}

/* What is wrong with a bundle is said when it is loaded. */
Test(authority, bundles_that_do_not_fit)
{
    static const struct {
        const char *change[2]; /* rename or copy: from, to */
        enum covey_status wanted;
        const char *text;
    } cases[] = {
        {{"fed/pki/server.key", "dev/device.key"}, COVEY_MISMATCH, "the key beside it is another one's"},
        {{"fed/pki/server.crt", "dev/device.crt"}, COVEY_MISMATCH, "another one's"},
        {{"fed/pki/server.crt", "dev/server-ca.crt"}, COVEY_INVALID, "no authority's certificate"},
        {{"fed/pki/signer.pub", "dev/device.crt"}, COVEY_INVALID, "no readable certificate"},
        {{"fed/pki/server.key", "dev/signer.pub"}, COVEY_INVALID, "no public key"},
    };
    struct covey_error err = {0};
    create(scratch("fed"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[16];
        struct covey_credential_store *store = NULL;
        (void)snprintf(name, sizeof name, "d%zu", i);
        cr_assert_eq(add(scratch("fed"), name, scratch("dev"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK,
                     "%s", err.text);
        (void)unlink(scratch(cases[i].change[1]));
        cr_assert_eq(link(scratch(cases[i].change[0]), scratch(cases[i].change[1])), 0);
        cr_expect_eq(covey_credentials_load_device(scratch("dev"), "fl.example.org", &env, &store, &err),
                     cases[i].wanted, "case %zu: %s", i, err.text);
        cr_expect(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
        static const char *const files[] = {"dev/device.crt", "dev/device.key", "dev/server-ca.crt",
                                            "dev/signer.pub"};
        for (size_t j = 0; j < 4; j++)
            (void)unlink(scratch(files[j]));
    }
    struct covey_credential_store *store = NULL;
    cr_assert_eq(add(scratch("fed"), "last", scratch("dev"), COVEY_DEVICE_CERTIFICATE, &err), COVEY_OK, "%s",
                 err.text);
    cr_expect_eq(covey_credentials_load_device(scratch("dev"), "", &env, &store, &err), COVEY_INVALID, "%s",
                 err.text);
    cr_assert_eq(chmod(scratch("dev/device.key"), 0644), 0);
    cr_expect_eq(covey_credentials_load_device(scratch("dev"), "x", &env, &store, &err), COVEY_DENIED, "%s",
                 err.text);
    cr_assert_eq(unlink(scratch("dev/device.key")), 0);
    cr_expect_eq(covey_credentials_load_device(scratch("dev"), "x", &env, &store, &err), COVEY_NOT_FOUND);
    cr_expect(strstr(err.text, "device.key") != NULL, "%s", err.text);
    cr_expect_eq(covey_credentials_load_server(scratch("dev"), &env, &store, &err), COVEY_NOT_FOUND);
}
