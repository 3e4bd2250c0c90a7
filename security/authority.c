#include "covey/authority.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority_files.h"
#include "covey/credential_store.h"
#include "covey/keys.h"
#include "key_file.h"

static enum covey_status fail_dir(struct covey_error *err, const char *what, const char *path)
{
    return covey_fail(err, COVEY_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

static const char *const pki_files[] = {"server-ca.crt", "server-ca.key", "device-ca.crt", "device-ca.key",
                                        "server.crt",    "server.key",    "signer.pub",    "signer.key"};

/* The name carries a few digits of its key, so that two federations' authorities can be told apart in
 * messages. */
static enum covey_status make_authority(const char *pki, const char *name, const char *title,
                                        const struct covey_authority_options *options,
                                        struct covey_error *err)
{
    struct covey_authority_pair made = {0};
    struct covey_public_key public_key;
    uint8_t id[COVEY_KEY_ID_BYTES];
    char common_name[COVEY_NAME_BYTES], digits[9], file[COVEY_NAME_BYTES];
    enum covey_status status = covey_key_generate(&made.key, err);
    if (status == COVEY_OK)
        status = covey_key_public(made.key, &public_key, err);
    if (status == COVEY_OK)
        status = covey_public_key_id(&public_key, id, err);
    if (status != COVEY_OK)
        goto cleanup;
    covey_hex_write(id, 4, digits);
    (void)snprintf(common_name, sizeof common_name, "%s %s", title, digits);
    const int64_t validity_s = options->ca_validity_s > 0 ? options->ca_validity_s : COVEY_VALIDITY_CA_S;
    const struct covey_certificate_order order = {.usage = COVEY_USAGE_CA,
                                                  .common_name = common_name,
                                                  .not_before_s = options->now_s - COVEY_LAG_S,
                                                  .not_after_s = options->now_s + validity_s};
    status = covey_certificate_make_ca(made.key, &order, made.pem, sizeof made.pem, &made.pem_bytes, err);
    if (status != COVEY_OK)
        goto cleanup;
    (void)snprintf(file, sizeof file, "%s.key", name);
    if ((status = covey_authority_store_key(pki, file, made.key, err)) != COVEY_OK)
        goto cleanup;
    (void)snprintf(file, sizeof file, "%s.crt", name);
    status = covey_authority_store_text(pki, file, made.pem, made.pem_bytes, err);
cleanup:
    covey_key_destroy(made.key);
    return status;
}

static enum covey_status make_server_leaf(const char *pki, const struct covey_authority_options *options,
                                          struct covey_key **key, char pem[COVEY_CERTIFICATE_PEM_BYTES],
                                          size_t *pem_bytes, struct covey_error *err)
{
    if (options->server_name_count == 0)
        return covey_fail(err, COVEY_INVALID,
                          "a server needs a name that devices ask for: a DNS name or an address");
    const int64_t validity_s =
        options->server_validity_s > 0 ? options->server_validity_s : COVEY_VALIDITY_SERVER_S;
    const struct covey_certificate_order order = {.usage = COVEY_USAGE_SERVER,
                                                  .common_name = options->server_names[0],
                                                  .names = options->server_names,
                                                  .name_count = options->server_name_count,
                                                  .not_before_s = options->now_s - COVEY_LAG_S,
                                                  .not_after_s = options->now_s + validity_s};
    struct covey_authority_pair ca = {0};
    enum covey_status status = covey_authority_load(pki, "server-ca", &ca, err);
    if (status == COVEY_OK)
        status = covey_authority_make_leaf(&ca, &order, key, pem, pem_bytes, err);
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
    enum covey_status status = covey_authority_store_key(pki, "server.key", key, err);
    covey_key_destroy(key);
    return status == COVEY_OK ? covey_authority_store_text(pki, "server.crt", pem, pem_bytes, err) : status;
}

static enum covey_status make_signer(const char *pki, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct covey_public_key public_key;
    struct covey_key *key = NULL;
    COVEY_TRY(covey_key_generate(&key, err));
    enum covey_status status = covey_authority_store_key(pki, "signer.key", key, err);
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
static enum covey_status create_pki(const char *dir, const char *pki,
                                    const struct covey_authority_options *options, struct covey_error *err)
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
    COVEY_TRY(covey_authority_make_dir(dir, err));
    COVEY_TRY(create_pki(dir, pki, options, err));
    return covey_authority_make_dir(psk, err);
}

/* ---- a new server certificate ---- */

/* The key goes first: between the two renames a server that starts finds a pair that does not fit and says
 * so; it never shows a certificate without having its key. */
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
    return status == COVEY_OK
               ? covey_key_file_replace(certificate, COVEY_FILE_PUBLIC, pem, pem_bytes - 1, err)
               : status;
}

enum covey_status covey_authority_renew_server(const char *dir, const struct covey_authority_options *options,
                                               struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES];
    int lock = -1;
    COVEY_TRY(covey_authority_lock(dir, pki, &lock, err));
    enum covey_status status = replace_server(pki, options, err);
    covey_authority_unlock(lock);
    return status;
}
