/* Devices: their bundles, their names in the list, and how they are withdrawn. */
#include "covey/authority.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority_files.h"
#include "covey/credential_store.h"
#include "covey/hash.h"
#include "covey/keys.h"
#include "device_list.h"
#include "key_file.h"
#include "key_pair.h"

#define PSK_SERIAL_BYTES 8

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

static const char *const bundle_files[] = {COVEY_FILE_DEVICE_CERTIFICATE, COVEY_FILE_DEVICE_KEY,
                                           COVEY_FILE_SERVER_CA, COVEY_FILE_SIGNER, COVEY_FILE_DEVICE_PSK};

static enum covey_status check_empty(const char *out_dir, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct stat info;
    for (size_t i = 0; i < sizeof bundle_files / sizeof bundle_files[0]; i++) {
        COVEY_TRY(covey_key_file_path(path, out_dir, bundle_files[i], err));
        if (lstat(path, &info) == 0)
            return covey_fail(err, COVEY_EXISTS, "%s is there already: give the bundle a folder of its own",
                              path);
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
            status = covey_fail(err, COVEY_EXISTS,
                                "there is a device '%s' already: withdraw it first, or choose "
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
                                                 .not_before_s = order->now_s - COVEY_LAG_S,
                                                 .not_after_s = order->now_s + validity_s};
    char path[COVEY_FILE_PATH_BYTES];
    struct covey_authority_pair ca = {0};
    struct covey_certificate_facts facts;
    COVEY_TRY(covey_key_file_path(path, pki, COVEY_FILE_SERVER_CA, err));
    COVEY_TRY(covey_key_file_read(path, COVEY_FILE_PUBLIC, bundle->server_ca, sizeof bundle->server_ca,
                                  &bundle->server_ca_bytes, err));
    enum covey_status status = covey_authority_load(pki, "device-ca", &ca, err);
    if (status == COVEY_OK)
        status = covey_authority_make_leaf(&ca, &leaf, &bundle->key, bundle->certificate,
                                           &bundle->certificate_bytes, err);
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
    COVEY_TRY(covey_key_secret(serial, sizeof serial, err));
    covey_hex_write(serial, sizeof serial, digits);
    (void)snprintf(bundle->entry.serial, sizeof bundle->entry.serial, "psk-%s", digits);
    return covey_psk_generate(&bundle->psk, err);
}

static enum covey_status prepare(const char *pki, const struct covey_device_order *order,
                                 struct bundle *bundle, struct covey_error *err)
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
    COVEY_TRY(covey_authority_store_key(bundle->out_dir, COVEY_FILE_DEVICE_KEY, bundle->key, err));
    COVEY_TRY(covey_authority_store_text(bundle->out_dir, COVEY_FILE_SERVER_CA, bundle->server_ca,
                                         bundle->server_ca_bytes, err));
    return covey_authority_store_text(bundle->out_dir, COVEY_FILE_DEVICE_CERTIFICATE, bundle->certificate,
                                      bundle->certificate_bytes, err);
}

static enum covey_status write_bundle(const struct bundle *bundle, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_authority_make_dir(bundle->out_dir, err));
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

/* The server's copy of a pre-shared key. A file of that name is a leftover: the list knows no such device. */
static enum covey_status store_server_psk(const char *dir, const struct bundle *bundle,
                                          struct covey_error *err)
{
    char psk_dir[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(psk_dir, dir, "psk", err));
    COVEY_TRY(covey_authority_make_dir(psk_dir, err));
    COVEY_TRY(covey_key_file_path(path, psk_dir, bundle->entry.name, err));
    return covey_psk_replace(&bundle->psk, bundle->entry.name, path, err);
}

static enum covey_status remove_server_psk(const char *dir, const char *name, struct covey_error *err)
{
    char psk_dir[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(psk_dir, dir, "psk", err));
    COVEY_TRY(covey_key_file_path(path, psk_dir, name, err));
    if (unlink(path) == 0)
        return covey_key_file_sync_dir(psk_dir, err);
    if (errno != ENOENT)
        return covey_fail(err, COVEY_IO, "cannot remove %s: %s", path, strerror(errno));
    return COVEY_OK;
}

/* First the list, then the keys: what a crash leaves can be withdrawn. */
static enum covey_status publish(const char *dir, const char *pki, const struct bundle *bundle,
                                 struct covey_error *err)
{
    const bool is_psk = bundle->key == NULL;
    enum covey_status status = covey_device_list_append(pki, COVEY_ISSUED_FILE, &bundle->entry, err);
    if (status == COVEY_OK && is_psk)
        status = store_server_psk(dir, bundle, err);
    if (status == COVEY_OK)
        status = write_bundle(bundle, err);
    if (status == COVEY_OK)
        return COVEY_OK;
    remove_bundle(bundle->out_dir);
    if (is_psk)
        (void)!remove_server_psk(dir, bundle->entry.name, NULL);
    /* If this fails too, the list names a device that nobody is: `revoke` removes it. */
    (void)!covey_device_list_append(pki, COVEY_REVOKED_FILE, &bundle->entry, NULL);
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
        return covey_fail(
            err, COVEY_INVALID,
            "'%.70s' cannot be a device's name: 1 to %d of letters, digits, . _ - and none of . - first",
            order->name != NULL ? order->name : "", COVEY_NAME_BYTES - 1);
    if (order->again && order->mode == COVEY_DEVICE_PSK)
        return covey_fail(err, COVEY_INVALID, "a pre-shared key has no second beside it: withdraw '%s' first",
                          order->name);
    COVEY_TRY(covey_authority_lock(dir, pki, &lock, err));
    enum covey_status status = add_device(dir, pki, order, err);
    covey_authority_unlock(lock);
    return status;
}

/* A pre-shared key works as long as its file is there: that goes first. */
static enum covey_status withdraw(const char *dir, const char *pki, const char *name, struct covey_error *err)
{
    struct covey_device_list list;
    size_t count = 0;
    covey_device_list_init(&list);
    enum covey_status status = covey_device_list_read_all(&list, pki, err);
    if (status == COVEY_OK)
        status = remove_server_psk(dir, name, err);
    for (size_t i = 0; status == COVEY_OK && i < list.count; i++) {
        if (list.entries[i].revoked || strcmp(list.entries[i].name, name) != 0)
            continue;
        status = covey_device_list_append(pki, COVEY_REVOKED_FILE, &list.entries[i], err);
        count++;
    }
    covey_device_list_deinit(&list);
    if (status == COVEY_OK && count == 0)
        status = covey_fail(err, COVEY_NOT_FOUND, "there is no device '%.70s' to withdraw", name);
    return status;
}

enum covey_status covey_authority_revoke(const char *dir, const char *name, struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES];
    int lock = -1;
    if (!covey_device_name_is_valid(name))
        return covey_fail(err, COVEY_INVALID, "'%.70s' cannot be a device's name", name);
    COVEY_TRY(covey_authority_lock(dir, pki, &lock, err));
    enum covey_status status = withdraw(dir, pki, name, err);
    covey_authority_unlock(lock);
    return status;
}

enum covey_status covey_authority_list(const char *dir,
                                       void (*entry)(void *user, const struct covey_device_entry *entry),
                                       void *user, struct covey_error *err)
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
