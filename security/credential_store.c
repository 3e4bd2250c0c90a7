#include "covey/credential_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "covey/keys.h"
#include "device_list.h"
#include "key_file.h"

#define DAY_S 86400
#define ADVICE_DAYS 30

struct covey_credential_store {
    struct covey_credentials credentials;
    struct covey_peer_policy policy;
    struct covey_env env;
    bool has_env;
    char dir[COVEY_FILE_PATH_BYTES]; /* a server's: where pki/ and psk/ are */
    char name[COVEY_NAME_BYTES];
    int64_t not_before_s, not_after_s; /* own certificate; 0, 0 with a PSK */
    char chain[COVEY_CERTIFICATE_PEM_BYTES], key[COVEY_KEY_PEM_BYTES], peer_ca[COVEY_CERTIFICATE_PEM_BYTES];
    struct covey_trust trust;
    struct covey_key *signer;
    pthread_rwlock_t lock;            /* of the two lists */
    struct covey_device_list revoked; /* sorted by serial */
    struct covey_device_list banned;  /* names that nothing valid is left of, sorted by name */
};

/* ---- what the peer policy asks ---- */

static int64_t wall_s(void *user)
{
    const struct covey_credential_store *store = user;
    return store->has_env ? store->env.wall_s(store->env.user) : (int64_t)time(NULL);
}

static bool is_revoked(void *user, const char *name, const char *serial)
{
    struct covey_credential_store *store = user;
    (void)name; /* by serial: a device that was given a new certificate is welcome again */
    (void)pthread_rwlock_rdlock(&store->lock);
    const bool found = covey_device_list_find(&store->revoked, serial) != NULL;
    (void)pthread_rwlock_unlock(&store->lock);
    return found;
}

/* From the disk at each handshake: a new device is known at once, a withdrawn one at once forgotten. */
static enum covey_status find_psk(void *user, const char *identity, uint8_t key[COVEY_PSK_BYTES],
                                  size_t *key_bytes)
{
    const struct covey_credential_store *store = user;
    char path[COVEY_FILE_PATH_BYTES], dir[COVEY_FILE_PATH_BYTES], owner[COVEY_NAME_BYTES];
    struct covey_psk psk;
    if (!covey_device_name_is_valid(identity) ||
        covey_key_file_path(dir, store->dir, "psk", NULL) != COVEY_OK ||
        covey_key_file_path(path, dir, identity, NULL) != COVEY_OK ||
        covey_psk_load(path, owner, &psk, NULL) != COVEY_OK)
        return COVEY_NOT_FOUND;
    const bool is_owner = strcmp(owner, identity) == 0;
    if (is_owner) {
        memcpy(key, psk.bytes, psk.count);
        *key_bytes = psk.count;
    }
    covey_psk_wipe(&psk);
    return is_owner ? COVEY_OK : COVEY_NOT_FOUND;
}

/* ---- loading ---- */

/* NULL: no memory. */
static struct covey_credential_store *store_create(const struct covey_env *env, enum covey_side side)
{
    struct covey_credential_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    if (pthread_rwlock_init(&store->lock, NULL) != 0) {
        free(store);
        return NULL;
    }
    if (env != NULL) {
        store->env = *env;
        store->has_env = true;
    }
    store->credentials.side = side;
    store->credentials.check_peer = covey_certificate_policy;
    store->credentials.check_user = &store->policy;
    store->policy.peer = side == COVEY_SIDE_SERVER ? COVEY_SIDE_DEVICE : COVEY_SIDE_SERVER;
    store->policy.wall_s = wall_s;
    store->policy.wall_user = store;
    covey_device_list_init(&store->revoked);
    covey_device_list_init(&store->banned);
    return store;
}

void covey_credential_store_destroy(struct covey_credential_store *store)
{
    if (store == NULL)
        return;
    covey_key_destroy(store->signer);
    covey_device_list_deinit(&store->revoked);
    covey_device_list_deinit(&store->banned);
    (void)pthread_rwlock_destroy(&store->lock);
    explicit_bzero(store, sizeof *store);
    free(store);
}

static enum covey_status load_text(const char *dir, const char *name, enum covey_file_kind kind, char *out,
                                   size_t capacity, struct covey_bytes *view, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    size_t size = 0;
    COVEY_TRY(covey_key_file_path(path, dir, name, err));
    COVEY_TRY(covey_key_file_read(path, kind, out, capacity, &size, err));
    *view = (struct covey_bytes){(const uint8_t *)out, size};
    return COVEY_OK;
}

/* Own certificate: of the right usage, and the key's. */
static enum covey_status check_own(struct covey_credential_store *store, enum covey_usage usage,
                                   const char *dir, const char *file, struct covey_error *err)
{
    const struct covey_credentials *credentials = &store->credentials;
    struct covey_certificate_facts facts;
    struct covey_public_key certified, own;
    struct covey_key *key = NULL;
    enum covey_status status = covey_certificate_describe(credentials->chain_pem, &facts, err);
    if (status == COVEY_OK)
        status = covey_certificate_public_key(credentials->chain_pem, &certified, err);
    if (status == COVEY_OK)
        status = covey_key_read(credentials->key_pem, &key, err);
    if (status == COVEY_OK)
        status = covey_key_public(key, &own, err);
    covey_key_destroy(key);
    if (status != COVEY_OK)
        return covey_fail_at(err, status, "%s/%s: ", dir, file);
    if (memcmp(own.point, certified.point, sizeof own.point) != 0)
        return covey_fail(err, COVEY_MISMATCH, "%s/%s: the key beside it is another one's", dir, file);
    if (facts.usage != usage)
        return covey_fail(err, COVEY_INVALID, "%s/%s: this is no %s's certificate", dir, file,
                          usage == COVEY_USAGE_SERVER ? "server" : "device");
    if (usage == COVEY_USAGE_DEVICE && !covey_device_name_is_valid(facts.common_name))
        return covey_fail(err, COVEY_INVALID, "%s/%s: no valid device name in it", dir, file);
    memcpy(store->name, facts.common_name, sizeof store->name);
    store->not_before_s = facts.not_before_s;
    store->not_after_s = facts.not_after_s;
    return COVEY_OK;
}

static enum covey_status check_ca(const struct covey_credential_store *store, const char *dir,
                                  const char *file, struct covey_error *err)
{
    struct covey_certificate_facts facts;
    enum covey_status status = covey_certificate_describe(store->credentials.peer_ca_pem, &facts, err);
    if (status != COVEY_OK)
        return covey_fail_at(err, status, "%s/%s: ", dir, file);
    if (facts.usage != COVEY_USAGE_CA)
        return covey_fail(err, COVEY_INVALID, "%s/%s: this is no authority's certificate", dir, file);
    return COVEY_OK;
}

static enum covey_status load_certificate(struct covey_credential_store *store, enum covey_usage usage,
                                          const char *dir, const char *certificate, const char *key,
                                          const char *ca, struct covey_error *err)
{
    struct covey_credentials *credentials = &store->credentials;
    COVEY_TRY(load_text(dir, certificate, COVEY_FILE_PUBLIC, store->chain, sizeof store->chain,
                        &credentials->chain_pem, err));
    COVEY_TRY(
        load_text(dir, key, COVEY_FILE_SECRET, store->key, sizeof store->key, &credentials->key_pem, err));
    COVEY_TRY(load_text(dir, ca, COVEY_FILE_PUBLIC, store->peer_ca, sizeof store->peer_ca,
                        &credentials->peer_ca_pem, err));
    COVEY_TRY(check_own(store, usage, dir, certificate, err));
    return check_ca(store, dir, ca, err);
}

static enum covey_status load_trust(struct covey_credential_store *store, const char *dir,
                                    struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct covey_public_key key;
    COVEY_TRY(covey_key_file_path(path, dir, COVEY_FILE_SIGNER, err));
    COVEY_TRY(covey_public_key_load(path, &key, err));
    return covey_trust_add(&store->trust, &key, err);
}

static enum covey_status fill_server(struct covey_credential_store *store, const char *dir,
                                     struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(pki, dir, "pki", err));
    (void)snprintf(store->dir, sizeof store->dir, "%s", dir); /* fits: pki's path did */
    COVEY_TRY(
        load_certificate(store, COVEY_USAGE_SERVER, pki, "server.crt", "server.key", "device-ca.crt", err));
    COVEY_TRY(load_trust(store, pki, err));
    COVEY_TRY(covey_key_file_path(path, pki, "signer.key", err));
    COVEY_TRY(covey_key_load(path, &store->signer, err));
    store->policy.revoked = is_revoked;
    store->policy.revoked_user = store;
    store->credentials.find_psk = find_psk;
    store->credentials.psk_user = store;
    return covey_credentials_reload(store, NULL, NULL, err);
}

enum covey_status covey_credentials_load_server(const char *dir, const struct covey_env *env,
                                                struct covey_credential_store **out, struct covey_error *err)
{
    struct covey_credential_store *store = store_create(env, COVEY_SIDE_SERVER);
    if (store == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for credentials");
    enum covey_status status = fill_server(store, dir, err);
    if (status != COVEY_OK) {
        covey_credential_store_destroy(store);
        return status;
    }
    *out = store;
    return COVEY_OK;
}

static enum covey_status load_psk(struct covey_credential_store *store, const char *path,
                                  struct covey_error *err)
{
    struct covey_credentials *credentials = &store->credentials;
    struct covey_psk psk;
    COVEY_TRY(covey_psk_load(path, credentials->psk_identity, &psk, err));
    memcpy(credentials->psk, psk.bytes, psk.count);
    credentials->psk_bytes = psk.count;
    covey_psk_wipe(&psk);
    (void)snprintf(store->name, sizeof store->name, "%s", credentials->psk_identity);
    return COVEY_OK;
}

static enum covey_status fill_device(struct covey_credential_store *store, const char *dir,
                                     const char *server_name, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct stat info;
    COVEY_TRY(load_trust(store, dir, err));
    COVEY_TRY(covey_key_file_path(path, dir, COVEY_FILE_DEVICE_PSK, err));
    if (stat(path, &info) == 0)
        return load_psk(store, path, err);
    COVEY_TRY(load_certificate(store, COVEY_USAGE_DEVICE, dir, COVEY_FILE_DEVICE_CERTIFICATE,
                               COVEY_FILE_DEVICE_KEY, COVEY_FILE_SERVER_CA, err));
    if (server_name == NULL || server_name[0] == '\0' || strlen(server_name) >= COVEY_NAME_BYTES)
        return covey_fail(err, COVEY_INVALID,
                          "no server name to check the server's certificate against (1 to %d characters)",
                          COVEY_NAME_BYTES - 1);
    (void)snprintf(store->credentials.server_name, sizeof store->credentials.server_name, "%s", server_name);
    store->policy.server_name = store->credentials.server_name;
    return COVEY_OK;
}

enum covey_status covey_credentials_load_device(const char *dir, const char *server_name,
                                                const struct covey_env *env,
                                                struct covey_credential_store **out, struct covey_error *err)
{
    struct covey_credential_store *store = store_create(env, COVEY_SIDE_DEVICE);
    if (store == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for credentials");
    enum covey_status status = fill_device(store, dir, server_name, err);
    if (status != COVEY_OK) {
        covey_credential_store_destroy(store);
        return status;
    }
    *out = store;
    return COVEY_OK;
}

/* ---- in use ---- */

bool covey_credential_store_advice(const struct covey_credential_store *store, char *out, size_t out_bytes)
{
    const int64_t now = wall_s((void *)store); /* only read */
    const int64_t left = store->not_after_s - now;
    if (store->not_after_s == 0)
        return false;
    if (now < store->not_before_s)
        (void)snprintf(out, out_bytes, "the certificate of '%s' is not valid yet: is the clock wrong?",
                       store->name);
    else if (left < 0)
        (void)snprintf(out, out_bytes, "the certificate of '%s' expired %lld days ago: it needs a new one",
                       store->name, (long long)(-left / DAY_S));
    else if (left < (int64_t)ADVICE_DAYS * DAY_S)
        (void)snprintf(out, out_bytes, "the certificate of '%s' expires in %lld days", store->name,
                       (long long)(left / DAY_S));
    else
        return false;
    return true;
}

const struct covey_credentials *covey_credential_store_view(const struct covey_credential_store *store)
{
    return &store->credentials;
}

const char *covey_credential_store_name(const struct covey_credential_store *store)
{
    return store->name;
}

const struct covey_trust *covey_credential_store_trust(const struct covey_credential_store *store)
{
    return &store->trust;
}

const struct covey_key *covey_credential_store_signer(const struct covey_credential_store *store)
{
    return store->signer;
}

bool covey_credentials_allow(void *user, const char *name)
{
    struct covey_credential_store *store = user;
    (void)pthread_rwlock_rdlock(&store->lock);
    const bool found = covey_device_list_find_name(&store->banned, name) != NULL;
    (void)pthread_rwlock_unlock(&store->lock);
    return !found;
}

/* Both lists, as they are on the disk now. */
static enum covey_status read_lists(const char *pki, struct covey_device_list *revoked,
                                    struct covey_device_list *banned, struct covey_error *err)
{
    struct covey_device_list issued;
    covey_device_list_init(&issued);
    enum covey_status status = covey_device_list_read(revoked, pki, COVEY_REVOKED_FILE, err);
    if (status == COVEY_OK)
        status = covey_device_list_read_all(&issued, pki, err);
    if (status == COVEY_OK)
        status = covey_device_list_banned(revoked, &issued, banned, err);
    covey_device_list_sort(revoked);
    covey_device_list_deinit(&issued);
    return status;
}

static void swap(struct covey_device_list *a, struct covey_device_list *b)
{
    const struct covey_device_list held = *a;
    *a = *b;
    *b = held;
}

enum covey_status covey_credentials_reload(struct covey_credential_store *store,
                                           void (*withdrawn)(void *user, const char *name), void *user,
                                           struct covey_error *err)
{
    char pki[COVEY_FILE_PATH_BYTES];
    struct covey_device_list revoked, banned;
    if (store->credentials.side != COVEY_SIDE_SERVER)
        return covey_fail(err, COVEY_STATE, "only a server has a deny-list");
    COVEY_TRY(covey_key_file_path(pki, store->dir, "pki", err));
    covey_device_list_init(&revoked);
    covey_device_list_init(&banned);
    enum covey_status status = read_lists(pki, &revoked, &banned, err);
    if (status == COVEY_OK) {
        (void)pthread_rwlock_wrlock(&store->lock);
        swap(&store->revoked, &revoked);
        swap(&store->banned, &banned);
        (void)pthread_rwlock_unlock(&store->lock);
        /* Only this function writes the lists, and callers take turns: reading the new one needs no lock. */
        const struct covey_device_list *now = &store->revoked;
        for (size_t i = 0; withdrawn != NULL && i < now->count; i++)
            if (covey_device_list_find(&revoked, now->entries[i].serial) == NULL)
                withdrawn(user, now->entries[i].name);
    }
    covey_device_list_deinit(&revoked);
    covey_device_list_deinit(&banned);
    return status;
}
