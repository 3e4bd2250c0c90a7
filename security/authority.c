#include "covey/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/credential_store.h"
#include "covey/hash.h"
#include "covey/keys.h"
#include "device_list.h"
#include "key_file.h"

#define LAG_S 3600 /* certificates begin an hour ago: clocks of devices lag */
#define PSK_SERIAL_BYTES 8

static const char *const pki_files[] = {"server-ca.crt", "server-ca.key", "device-ca.crt", "device-ca.key",
                                        "server.crt",    "server.key",    "signer.pub",    "signer.key"};

static enum covey_status fail_dir(struct covey_error *err, const char *what, const char *path)
{
    return covey_fail(err, COVEY_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

static enum covey_status make_dir(const char *path, struct covey_error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail_dir(err, "make", path);
    return COVEY_OK;
}

/* ---- certificates as files ---- */

static enum covey_status store_text(const char *dir, const char *name, const char *pem, size_t size,
                                    struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(path, dir, name, err));
    return covey_key_file_create(path, COVEY_FILE_PUBLIC, pem, size - 1, err);
}

static enum covey_status store_key(const char *dir, const char *name, const struct covey_key *key,
                                   struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(path, dir, name, err));
    return covey_key_store(key, path, err);
}

/* An authority read from its two files. */
struct authority {
    struct covey_key *key;
    char pem[COVEY_CERTIFICATE_PEM_BYTES];
    size_t pem_bytes;
};

static enum covey_status load_authority(const char *pki, const char *name, struct authority *out,
                                        struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES], file[COVEY_NAME_BYTES];
    (void)snprintf(file, sizeof file, "%s.crt", name);
    COVEY_TRY(covey_key_file_path(path, pki, file, err));
    COVEY_TRY(covey_key_file_read(path, COVEY_FILE_PUBLIC, out->pem, sizeof out->pem, &out->pem_bytes, err));
    (void)snprintf(file, sizeof file, "%s.key", name);
    COVEY_TRY(covey_key_file_path(path, pki, file, err));
    return covey_key_load(path, &out->key, err);
}

/* The name carries a few digits of its key, so that two federations' authorities can be told apart in messages. */
static enum covey_status make_authority(const char *pki, const char *name, const char *title,
                                        const struct covey_authority_options *options, struct covey_error *err)
{
    struct authority made = {0};
    struct covey_public_key public_key;
    uint8_t id[COVEY_KEY_ID_BYTES];
    char common_name[COVEY_NAME_BYTES], digits[9], file[COVEY_NAME_BYTES];
    enum covey_status status = covey_key_generate(&made.key, err);
    if (status == COVEY_OK)
        status = covey_key_public(made.key, &public_key, err);
    if (status == COVEY_OK)
        status = covey_public_key_id(&public_key, id);
    if (status != COVEY_OK)
        goto cleanup;
    covey_hex_write(id, 4, digits);
    (void)snprintf(common_name, sizeof common_name, "%s %s", title, digits);
    const int64_t validity_s = options->ca_validity_s > 0 ? options->ca_validity_s : COVEY_VALIDITY_CA_S;
    const struct covey_certificate_order order = {.usage = COVEY_USAGE_CA,
                                                  .common_name = common_name,
                                                  .not_before_s = options->now_s - LAG_S,
                                                  .not_after_s = options->now_s + validity_s};
    status = covey_certificate_make_ca(made.key, &order, made.pem, sizeof made.pem, &made.pem_bytes, err);
    if (status != COVEY_OK)
        goto cleanup;
    (void)snprintf(file, sizeof file, "%s.key", name);
    if ((status = store_key(pki, file, made.key, err)) != COVEY_OK)
        goto cleanup;
    (void)snprintf(file, sizeof file, "%s.crt", name);
    status = store_text(pki, file, made.pem, made.pem_bytes, err);
cleanup:
    covey_key_destroy(made.key);
    return status;
}

/* A key pair and its certificate from `ca`, in memory. The caller destroys *key. */
static enum covey_status make_leaf(const struct authority *ca, const struct covey_certificate_order *order,
                                   struct covey_key **key, char pem[COVEY_CERTIFICATE_PEM_BYTES], size_t *pem_bytes,
                                   struct covey_error *err)
{
    struct covey_public_key subject;
    struct covey_key *made = NULL;
    enum covey_status status = covey_key_generate(&made, err);
    if (status == COVEY_OK)
        status = covey_key_public(made, &subject, err);
    if (status == COVEY_OK)
        status = covey_certificate_issue((struct covey_bytes){(const uint8_t *)ca->pem, ca->pem_bytes}, ca->key,
                                         &subject, order, pem, COVEY_CERTIFICATE_PEM_BYTES, pem_bytes, err);
    if (status != COVEY_OK) {
        covey_key_destroy(made);
        return status;
    }
    *key = made;
    return COVEY_OK;
}

static enum covey_status make_server_leaf(const char *pki, const struct covey_authority_options *options,
                                          struct covey_key **key, char pem[COVEY_CERTIFICATE_PEM_BYTES],
                                          size_t *pem_bytes, struct covey_error *err)
{
    if (options->server_name_count == 0)
        return covey_fail(err, COVEY_INVALID, "a server needs a name that devices ask for: a DNS name or an address");
    const int64_t validity_s = options->server_validity_s > 0 ? options->server_validity_s : COVEY_VALIDITY_SERVER_S;
    const struct covey_certificate_order order = {.usage = COVEY_USAGE_SERVER,
                                                  .common_name = options->server_names[0],
                                                  .names = options->server_names,
                                                  .name_count = options->server_name_count,
                                                  .not_before_s = options->now_s - LAG_S,
                                                  .not_after_s = options->now_s + validity_s};
    struct authority ca = {0};
    enum covey_status status = load_authority(pki, "server-ca", &ca, err);
    if (status == COVEY_OK)
        status = make_leaf(&ca, &order, key, pem, pem_bytes, err);
    covey_key_destroy(ca.key);
    return status;
}

/* ---- init ---- */

static enum covey_status make_server(const char *pki, const struct covey_authority_options *options,
                                     struct covey_error *err)
{
    struct covey_key *key = NULL;
    char pem[COVEY_CERTIFICATE_PEM_BYTES];
    size_t pem_bytes = 0;
    COVEY_TRY(make_server_leaf(pki, options, &key, pem, &pem_bytes, err));
    enum covey_status status = store_key(pki, "server.key", key, err);
    covey_key_destroy(key);
    return status == COVEY_OK ? store_text(pki, "server.crt", pem, pem_bytes, err) : status;
}

static enum covey_status make_signer(const char *pki, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct covey_public_key public_key;
    struct covey_key *key = NULL;
    COVEY_TRY(covey_key_generate(&key, err));
    enum covey_status status = store_key(pki, "signer.key", key, err);
    if (status == COVEY_OK)
        status = covey_key_public(key, &public_key, err);
    covey_key_destroy(key);
    if (status == COVEY_OK)
        status = covey_key_file_path(path, pki, COVEY_FILE_SIGNER, err);
    return status == COVEY_OK ? covey_public_key_store(&public_key, path, err) : status;
}

static enum covey_status fill_pki(const char *pki, const struct covey_authority_options *options,
                                  struct covey_error *err)
{
    COVEY_TRY(make_authority(pki, "server-ca", "Covey server CA", options, err));
    COVEY_TRY(make_authority(pki, "device-ca", "Covey device CA", options, err));
    COVEY_TRY(make_server(pki, options, err));
    return make_signer(pki, err);
}

static void remove_pki(const char *pki)
{
    char path[COVEY_FILE_PATH_BYTES];
    for (size_t i = 0; i < sizeof pki_files / sizeof pki_files[0]; i++)
        if (covey_key_file_path(path, pki, pki_files[i], NULL) == COVEY_OK)
            (void)unlink(path);
    (void)rmdir(pki);
}

/* Made aside, then named: DIR/pki is there whole or not at all. */
static enum covey_status create_pki(const char *dir, const char *pki, const struct covey_authority_options *options,
                                    struct covey_error *err)
{
    char aside[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(aside, dir, ".pki-XXXXXX", err));
    if (mkdtemp(aside) == NULL)
        return fail_dir(err, "write in", dir);
    enum covey_status status = fill_pki(aside, options, err);
    if (status == COVEY_OK && rename(aside, pki) != 0)
        status = errno == ENOTEMPTY || errno == EEXIST
                     ? covey_fail(err, COVEY_EXISTS, "%s is there already: it is not overwritten", pki)
                     : fail_dir(err, "make", pki);
    if (status != COVEY_OK)
        remove_pki(aside);
    return status == COVEY_OK ? covey_key_file_sync_dir(dir, err) : status;
}

enum covey_status covey_authority_create(const char *dir, const struct covey_authority_options *options,
                                         struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES], psk[COVEY_FILE_PATH_BYTES];
    struct stat info;
    COVEY_TRY(covey_key_file_path(pki, dir, "pki", err));
    COVEY_TRY(covey_key_file_path(psk, dir, "psk", err));
    if (stat(pki, &info) == 0)
        return covey_fail(err, COVEY_EXISTS, "%s is there already: it is not overwritten", pki);
    COVEY_TRY(make_dir(dir, err));
    COVEY_TRY(create_pki(dir, pki, options, err));
    return make_dir(psk, err);
}

/* ---- one writer at a time ---- */

static enum covey_status lock_pki(const char *dir, char pki[COVEY_FILE_PATH_BYTES], int *fd, struct covey_error *err)
{
    COVEY_TRY(covey_key_file_path(pki, dir, "pki", err));
    const int found = open(pki, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (found < 0)
        return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "cannot open %s: %s; was it made by init?",
                          pki, strerror(errno));
    if (flock(found, LOCK_EX | LOCK_NB) != 0) {
        const int number = errno;
        (void)close(found);
        if (number == EWOULDBLOCK)
            return covey_fail(err, COVEY_BUSY, "another program is changing %s: try again", pki);
        return covey_fail(err, COVEY_IO, "cannot lock %s: %s", pki, strerror(number));
    }
    *fd = found;
    return COVEY_OK;
}

static void unlock_pki(int fd)
{
    (void)close(fd); /* gives up the lock */
}

/* ---- a new server certificate ---- */

/* The key goes first: between the two renames a server that starts finds a pair that does not fit and says so; it never
 * shows a certificate without having its key. */
static enum covey_status replace_server(const char *pki, const struct covey_authority_options *options,
                                        struct covey_error *err)
{
    char certificate[COVEY_FILE_PATH_BYTES], key_path[COVEY_FILE_PATH_BYTES];
    char pem[COVEY_CERTIFICATE_PEM_BYTES], key_pem[COVEY_KEY_PEM_BYTES];
    size_t pem_bytes = 0, key_bytes = 0;
    struct covey_key *key = NULL;
    COVEY_TRY(covey_key_file_path(certificate, pki, "server.crt", err));
    COVEY_TRY(covey_key_file_path(key_path, pki, "server.key", err));
    COVEY_TRY(make_server_leaf(pki, options, &key, pem, &pem_bytes, err));
    enum covey_status status = covey_key_write(key, key_pem, sizeof key_pem, &key_bytes, err);
    covey_key_destroy(key);
    if (status == COVEY_OK)
        status = covey_key_file_replace(key_path, COVEY_FILE_SECRET, key_pem, key_bytes - 1, err);
    explicit_bzero(key_pem, sizeof key_pem);
    return status == COVEY_OK ? covey_key_file_replace(certificate, COVEY_FILE_PUBLIC, pem, pem_bytes - 1, err)
                              : status;
}

enum covey_status covey_authority_renew_server(const char *dir, const struct covey_authority_options *options,
                                               struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES];
    int lock = -1;
    COVEY_TRY(lock_pki(dir, pki, &lock, err));
    enum covey_status status = replace_server(pki, options, err);
    unlock_pki(lock);
    return status;
}

/* ---- devices ---- */

/* What goes into a bundle, all in memory before anything is written. */
struct bundle {
    const char *out_dir;
    struct covey_device_entry entry;
    struct covey_key *key; /* with certificates */
    char certificate[COVEY_CERTIFICATE_PEM_BYTES], server_ca[COVEY_CERTIFICATE_PEM_BYTES];
    size_t certificate_bytes, server_ca_bytes;
    struct covey_psk psk;
    struct covey_public_key signer;
};

static const char *const bundle_files[] = {COVEY_FILE_DEVICE_CERTIFICATE, COVEY_FILE_DEVICE_KEY, COVEY_FILE_SERVER_CA,
                                           COVEY_FILE_SIGNER, COVEY_FILE_DEVICE_PSK};

static enum covey_status check_empty(const char *out_dir, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct stat info;
    for (size_t i = 0; i < sizeof bundle_files / sizeof bundle_files[0]; i++) {
        COVEY_TRY(covey_key_file_path(path, out_dir, bundle_files[i], err));
        if (lstat(path, &info) == 0)
            return covey_fail(err, COVEY_EXISTS, "%s is there already: give the bundle a folder of its own", path);
    }
    return COVEY_OK;
}

static enum covey_status check_unknown(const char *pki, const struct covey_device_order *order,
                                       struct covey_error *err)
{
    struct covey_device_list list;
    covey_device_list_init(&list);
    enum covey_status status = covey_device_list_read_all(&list, pki, err);
    for (size_t i = 0; status == COVEY_OK && !order->again && i < list.count; i++)
        if (!list.entries[i].revoked && strcmp(list.entries[i].name, order->name) == 0)
            status = covey_fail(err, COVEY_EXISTS, "there is a device '%s' already: withdraw it first, or choose "
                                                   "another name",
                                order->name);
    covey_device_list_deinit(&list);
    return status;
}

static enum covey_status prepare_certificate(const char *pki, const struct covey_device_order *order,
                                             struct bundle *bundle, struct covey_error *err)
{
    const int64_t validity_s = order->validity_s > 0 ? order->validity_s : COVEY_VALIDITY_DEVICE_S;
    const struct covey_certificate_order leaf = {.usage = COVEY_USAGE_DEVICE,
                                                 .common_name = order->name,
                                                 .not_before_s = order->now_s - LAG_S,
                                                 .not_after_s = order->now_s + validity_s};
    char path[COVEY_FILE_PATH_BYTES];
    struct authority ca = {0};
    struct covey_certificate_facts facts;
    COVEY_TRY(covey_key_file_path(path, pki, COVEY_FILE_SERVER_CA, err));
    COVEY_TRY(covey_key_file_read(path, COVEY_FILE_PUBLIC, bundle->server_ca, sizeof bundle->server_ca,
                                  &bundle->server_ca_bytes, err));
    enum covey_status status = load_authority(pki, "device-ca", &ca, err);
    if (status == COVEY_OK)
        status = make_leaf(&ca, &leaf, &bundle->key, bundle->certificate, &bundle->certificate_bytes, err);
    covey_key_destroy(ca.key);
    if (status != COVEY_OK)
        return status;
    COVEY_TRY(covey_certificate_describe(
        (struct covey_bytes){(const uint8_t *)bundle->certificate, bundle->certificate_bytes}, &facts, err));
    memcpy(bundle->entry.serial, facts.serial, sizeof bundle->entry.serial);
    bundle->entry.not_after_s = facts.not_after_s;
    return COVEY_OK;
}

static enum covey_status prepare_psk(struct bundle *bundle, struct covey_error *err)
{
    uint8_t serial[PSK_SERIAL_BYTES];
    char digits[2 * PSK_SERIAL_BYTES + 1];
    COVEY_TRY(covey_secret_bytes(serial, sizeof serial));
    covey_hex_write(serial, sizeof serial, digits);
    (void)snprintf(bundle->entry.serial, sizeof bundle->entry.serial, "psk-%s", digits);
    return covey_psk_generate(&bundle->psk, err);
}

static enum covey_status prepare(const char *pki, const struct covey_device_order *order, struct bundle *bundle,
                                 struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    bundle->out_dir = order->out_dir;
    (void)snprintf(bundle->entry.name, sizeof bundle->entry.name, "%s", order->name);
    COVEY_TRY(covey_key_file_path(path, pki, COVEY_FILE_SIGNER, err));
    COVEY_TRY(covey_public_key_load(path, &bundle->signer, err));
    return order->mode == COVEY_DEVICE_PSK ? prepare_psk(bundle, err)
                                           : prepare_certificate(pki, order, bundle, err);
}

static enum covey_status write_credentials(const struct bundle *bundle, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (bundle->key == NULL) {
        COVEY_TRY(covey_key_file_path(path, bundle->out_dir, COVEY_FILE_DEVICE_PSK, err));
        return covey_psk_store(&bundle->psk, bundle->entry.name, path, err);
    }
    COVEY_TRY(store_key(bundle->out_dir, COVEY_FILE_DEVICE_KEY, bundle->key, err));
    COVEY_TRY(store_text(bundle->out_dir, COVEY_FILE_SERVER_CA, bundle->server_ca, bundle->server_ca_bytes, err));
    return store_text(bundle->out_dir, COVEY_FILE_DEVICE_CERTIFICATE, bundle->certificate, bundle->certificate_bytes,
                      err);
}

static enum covey_status write_bundle(const struct bundle *bundle, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(make_dir(bundle->out_dir, err));
    COVEY_TRY(covey_key_file_path(path, bundle->out_dir, COVEY_FILE_SIGNER, err));
    COVEY_TRY(covey_public_key_store(&bundle->signer, path, err));
    return write_credentials(bundle, err);
}

static void remove_bundle(const char *out_dir)
{
    char path[COVEY_FILE_PATH_BYTES];
    for (size_t i = 0; i < sizeof bundle_files / sizeof bundle_files[0]; i++)
        if (covey_key_file_path(path, out_dir, bundle_files[i], NULL) == COVEY_OK)
            (void)unlink(path);
    (void)rmdir(out_dir); /* stays when there is something else in it */
}

/* The server's copy of a pre-shared key. */
static enum covey_status store_server_psk(const char *dir, const struct bundle *bundle, struct covey_error *err)
{
    char psk_dir[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(psk_dir, dir, "psk", err));
    COVEY_TRY(make_dir(psk_dir, err));
    COVEY_TRY(covey_key_file_path(path, psk_dir, bundle->entry.name, err));
    return covey_psk_store(&bundle->psk, bundle->entry.name, path, err);
}

static void remove_server_psk(const char *dir, const char *name)
{
    char psk_dir[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES];
    if (covey_key_file_path(psk_dir, dir, "psk", NULL) == COVEY_OK &&
        covey_key_file_path(path, psk_dir, name, NULL) == COVEY_OK)
        (void)unlink(path);
}

static enum covey_status publish(const char *dir, const char *pki, const struct bundle *bundle,
                                 struct covey_error *err)
{
    const bool is_psk = bundle->key == NULL;
    if (is_psk)
        COVEY_TRY(store_server_psk(dir, bundle, err)); /* EXISTS keeps the other device's */
    enum covey_status status = covey_device_list_append(pki, COVEY_ISSUED_FILE, &bundle->entry, err);
    if (status == COVEY_OK)
        status = write_bundle(bundle, err);
    if (status == COVEY_OK)
        return COVEY_OK;
    remove_bundle(bundle->out_dir);
    if (is_psk)
        remove_server_psk(dir, bundle->entry.name);
    if (covey_device_list_append(pki, COVEY_REVOKED_FILE, &bundle->entry, NULL) != COVEY_OK)
        return status; /* the list names a device that nobody is: harmless, and `device revoke` removes it */
    return status;
}

static enum covey_status add_device(const char *dir, const char *pki, const struct covey_device_order *order,
                                    struct covey_error *err)
{
    struct bundle bundle = {0};
    COVEY_TRY(check_empty(order->out_dir, err));
    COVEY_TRY(check_unknown(pki, order, err));
    enum covey_status status = prepare(pki, order, &bundle, err);
    if (status == COVEY_OK)
        status = publish(dir, pki, &bundle, err);
    covey_key_destroy(bundle.key);
    explicit_bzero(&bundle, sizeof bundle);
    return status;
}

enum covey_status covey_authority_add_device(const char *dir, const struct covey_device_order *order,
                                             struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES];
    int lock = -1;
    if (!covey_device_name_is_valid(order->name))
        return covey_fail(err, COVEY_INVALID,
                          "'%.70s' cannot be a device's name: 1 to %d of letters, digits, . _ - and none of . - first",
                          order->name != NULL ? order->name : "", COVEY_NAME_BYTES - 1);
    COVEY_TRY(lock_pki(dir, pki, &lock, err));
    enum covey_status status = add_device(dir, pki, order, err);
    unlock_pki(lock);
    return status;
}

static enum covey_status withdraw(const char *dir, const char *pki, const char *name, struct covey_error *err)
{
    struct covey_device_list list;
    size_t count = 0;
    covey_device_list_init(&list);
    enum covey_status status = covey_device_list_read_all(&list, pki, err);
    for (size_t i = 0; status == COVEY_OK && i < list.count; i++) {
        if (list.entries[i].revoked || strcmp(list.entries[i].name, name) != 0)
            continue;
        status = covey_device_list_append(pki, COVEY_REVOKED_FILE, &list.entries[i], err);
        count++;
    }
    covey_device_list_deinit(&list);
    if (status != COVEY_OK)
        return status;
    remove_server_psk(dir, name);
    return count > 0 ? COVEY_OK : covey_fail(err, COVEY_NOT_FOUND, "there is no device '%.70s' to withdraw", name);
}

enum covey_status covey_authority_revoke(const char *dir, const char *name, struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES];
    int lock = -1;
    if (!covey_device_name_is_valid(name))
        return covey_fail(err, COVEY_INVALID, "'%.70s' cannot be a device's name", name);
    COVEY_TRY(lock_pki(dir, pki, &lock, err));
    enum covey_status status = withdraw(dir, pki, name, err);
    unlock_pki(lock);
    return status;
}

enum covey_status covey_authority_list(const char *dir,
                                       void (*entry)(void *user, const struct covey_device_entry *entry), void *user,
                                       struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES];
    struct covey_device_list list;
    COVEY_TRY(covey_key_file_path(pki, dir, "pki", err));
    covey_device_list_init(&list);
    enum covey_status status = covey_device_list_read_all(&list, pki, err);
    for (size_t i = 0; status == COVEY_OK && i < list.count; i++)
        entry(user, &list.entries[i]);
    covey_device_list_deinit(&list);
    return status;
}
