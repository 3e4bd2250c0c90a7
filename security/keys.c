#include "covey/keys.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <psa/crypto.h>

#include "covey/hash.h"
#include "key_file.h"
#include "key_pair.h"

_Static_assert(sizeof(psa_key_id_t) == sizeof(uint32_t), "struct covey_key holds a PSA key id");

#define KEY_ALGORITHM PSA_ALG_ECDSA(PSA_ALG_SHA_256)
#define KEY_USAGE (PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_VERIFY_HASH | PSA_KEY_USAGE_EXPORT)
#define PUBLIC_HEADER "-----BEGIN PUBLIC KEY-----\n"
#define PUBLIC_FOOTER "-----END PUBLIC KEY-----\n"

int covey_key_random(void *unused, unsigned char *out, size_t count)
{
    (void)unused;
    return covey_secret_bytes(out, count) == COVEY_OK ? 0 : -1;
}

enum covey_status covey_key_hash(const void *bytes, size_t count, struct covey_hash *out,
                                 struct covey_error *err)
{
    enum covey_status status = covey_hash_bytes((struct covey_bytes){bytes, count}, out);
    return status == COVEY_OK
               ? status
               : covey_fail(err, status, "cannot hash %zu bytes: %s", count, covey_status_text(status));
}

enum covey_status covey_key_secret(void *out, size_t count, struct covey_error *err)
{
    enum covey_status status = covey_secret_bytes(out, count);
    return status == COVEY_OK
               ? status
               : covey_fail(err, status, "the random generator gave nothing: %s", covey_status_text(status));
}

/* ---- key pairs ---- */

static enum covey_status wrap(psa_key_id_t id, struct covey_key **out, struct covey_error *err)
{
    struct covey_key *key = malloc(sizeof *key);
    if (key == NULL) {
        (void)psa_destroy_key(id);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a key");
    }
    key->id = id;
    *out = key;
    return COVEY_OK;
}

static void set_pair_attributes(psa_key_attributes_t *attributes)
{
    psa_set_key_type(attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(attributes, 256);
    psa_set_key_usage_flags(attributes, KEY_USAGE);
    psa_set_key_algorithm(attributes, KEY_ALGORITHM);
}

enum covey_status covey_key_generate(struct covey_key **out, struct covey_error *err)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_key_id_t id = PSA_KEY_ID_NULL;
    set_pair_attributes(&attributes);
    psa_status_t status = psa_generate_key(&attributes, &id);
    if (status != PSA_SUCCESS)
        return covey_fail(err, COVEY_CRYPTO, "cannot make a key (PSA status %d)", (int)status);
    return wrap(id, out, err);
}

enum covey_status covey_key_read(struct covey_bytes pem, struct covey_key **out, struct covey_error *err)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_key_id_t id = PSA_KEY_ID_NULL;
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    set_pair_attributes(&attributes);
    int failed = mbedtls_pk_parse_key(&pk, pem.data, pem.size, NULL, 0, covey_key_random, NULL);
    if (failed == 0)
        failed = mbedtls_pk_import_into_psa(&pk, &attributes, &id); /* also refuses what is no P-256 key */
    mbedtls_pk_free(&pk);
    if (failed != 0)
        return covey_fail(err, COVEY_INVALID, "no P-256 private key in PEM form (Mbed TLS -0x%04x)",
                          (unsigned)-failed);
    return wrap(id, out, err);
}

enum covey_status covey_key_write(const struct covey_key *key, char *out, size_t capacity, size_t *out_bytes,
                                  struct covey_error *err)
{
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    int failed = mbedtls_pk_copy_from_psa(key->id, &pk);
    if (failed == 0)
        failed = mbedtls_pk_write_key_pem(&pk, (unsigned char *)out, capacity);
    mbedtls_pk_free(&pk);
    if (failed != 0)
        return covey_fail(err, COVEY_CRYPTO, "cannot write the key as PEM (Mbed TLS -0x%04x)",
                          (unsigned)-failed);
    *out_bytes = strlen(out) + 1;
    return COVEY_OK;
}

void covey_key_destroy(struct covey_key *key)
{
    if (key == NULL)
        return;
    (void)psa_destroy_key(key->id); /* PSA wipes it */
    free(key);
}

/* ---- files of them ---- */

enum covey_status covey_key_load(const char *path, struct covey_key **out, struct covey_error *err)
{
    char pem[COVEY_KEY_PEM_BYTES];
    size_t size = 0;
    enum covey_status status = covey_key_file_read(path, COVEY_FILE_SECRET, pem, sizeof pem, &size, err);
    if (status == COVEY_OK) {
        status = covey_key_read((struct covey_bytes){(const uint8_t *)pem, size}, out, err);
        if (status != COVEY_OK)
            (void)covey_fail_at(err, status, "%s: ", path);
    }
    explicit_bzero(pem, sizeof pem);
    return status;
}

enum covey_status covey_key_store(const struct covey_key *key, const char *path, struct covey_error *err)
{
    char pem[COVEY_KEY_PEM_BYTES];
    size_t size = 0;
    enum covey_status status = covey_key_write(key, pem, sizeof pem, &size, err);
    if (status == COVEY_OK)
        status = covey_key_file_create(path, COVEY_FILE_SECRET, pem, size - 1, err);
    explicit_bzero(pem, sizeof pem);
    return status;
}

/* ---- the public half ---- */

/* SubjectPublicKeyInfo up to the point: id-ecPublicKey with prime256v1, BIT STRING of 66 bytes (RFC 5480). */
static const uint8_t der_prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
_Static_assert(sizeof der_prefix + COVEY_POINT_BYTES == COVEY_PUBLIC_DER_BYTES, "prefix and point");

void covey_public_key_to_der(const struct covey_public_key *key, uint8_t der[COVEY_PUBLIC_DER_BYTES])
{
    memcpy(der, der_prefix, sizeof der_prefix);
    memcpy(der + sizeof der_prefix, key->point, sizeof key->point);
}

enum covey_status covey_public_key_from_der(struct covey_bytes der, struct covey_public_key *out,
                                            struct covey_error *err)
{
    if (der.size != COVEY_PUBLIC_DER_BYTES || memcmp(der.data, der_prefix, sizeof der_prefix) != 0 ||
        der.data[sizeof der_prefix] != 0x04)
        return covey_fail(err, COVEY_INVALID, "no P-256 public key");
    memcpy(out->point, der.data + sizeof der_prefix, sizeof out->point);
    return COVEY_OK;
}

enum covey_status covey_key_public(const struct covey_key *key, struct covey_public_key *out,
                                   struct covey_error *err)
{
    struct covey_public_key found;
    size_t size = 0;
    psa_status_t status = psa_export_public_key(key->id, found.point, sizeof found.point, &size);
    if (status != PSA_SUCCESS || size != sizeof found.point)
        return covey_fail(err, COVEY_CRYPTO, "cannot take the public half of a key (PSA status %d)",
                          (int)status);
    *out = found;
    return COVEY_OK;
}

enum covey_status covey_public_key_write(const struct covey_public_key *key, char *out, size_t capacity,
                                         size_t *out_bytes, struct covey_error *err)
{
    uint8_t der[COVEY_PUBLIC_DER_BYTES];
    covey_public_key_to_der(key, der);
    if (mbedtls_pem_write_buffer(PUBLIC_HEADER, PUBLIC_FOOTER, der, sizeof der, (unsigned char *)out,
                                 capacity, out_bytes) != 0)
        return covey_fail(err, COVEY_LIMIT, "a public key does not fit %zu bytes", capacity);
    return COVEY_OK;
}

enum covey_status covey_public_key_read(struct covey_bytes pem, struct covey_public_key *out,
                                        struct covey_error *err)
{
    mbedtls_pk_context pk;
    uint8_t der[256];
    mbedtls_pk_init(&pk);
    int written =
        mbedtls_pk_parse_public_key(&pk, pem.data, pem.size); /* checks that the point is on the curve */
    if (written == 0)
        written = mbedtls_pk_write_pubkey_der(&pk, der, sizeof der); /* at the buffer's end */
    mbedtls_pk_free(&pk);
    if (written <= 0)
        return covey_fail(err, COVEY_INVALID, "no public key in PEM form (Mbed TLS -0x%04x)",
                          (unsigned)-written);
    const size_t size = (size_t)written;
    return covey_public_key_from_der((struct covey_bytes){der + sizeof der - size, size}, out, err);
}

enum covey_status covey_public_key_load(const char *path, struct covey_public_key *out,
                                        struct covey_error *err)
{
    char pem[COVEY_KEY_PEM_BYTES];
    size_t size = 0;
    COVEY_TRY(covey_key_file_read(path, COVEY_FILE_PUBLIC, pem, sizeof pem, &size, err));
    enum covey_status status =
        covey_public_key_read((struct covey_bytes){(const uint8_t *)pem, size}, out, err);
    return status == COVEY_OK ? status : covey_fail_at(err, status, "%s: ", path);
}

enum covey_status covey_public_key_store(const struct covey_public_key *key, const char *path,
                                         struct covey_error *err)
{
    char pem[COVEY_KEY_PEM_BYTES];
    size_t size = 0;
    COVEY_TRY(covey_public_key_write(key, pem, sizeof pem, &size, err));
    return covey_key_file_create(path, COVEY_FILE_PUBLIC, pem, size - 1, err);
}

enum covey_status covey_public_key_id(const struct covey_public_key *key, uint8_t id[COVEY_KEY_ID_BYTES],
                                      struct covey_error *err)
{
    struct covey_hash hash;
    COVEY_TRY(covey_key_hash(key->point, sizeof key->point, &hash, err));
    memcpy(id, hash.bytes, COVEY_KEY_ID_BYTES);
    return COVEY_OK;
}

/* ---- signatures over a hash ---- */

enum covey_status covey_key_sign_hash(const struct covey_key *key, const struct covey_hash *hash,
                                      uint8_t signature[COVEY_SIGNATURE_BYTES], struct covey_error *err)
{
    uint8_t made[COVEY_SIGNATURE_BYTES];
    size_t size = 0;
    psa_status_t status =
        psa_sign_hash(key->id, KEY_ALGORITHM, hash->bytes, sizeof hash->bytes, made, sizeof made, &size);
    if (status != PSA_SUCCESS || size != sizeof made)
        return covey_fail(err, COVEY_CRYPTO, "cannot sign (PSA status %d)", (int)status);
    memcpy(signature, made, sizeof made);
    return COVEY_OK;
}

enum covey_status covey_key_verify_hash(const struct covey_public_key *key, const struct covey_hash *hash,
                                        const uint8_t signature[COVEY_SIGNATURE_BYTES],
                                        struct covey_error *err)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_key_id_t id = PSA_KEY_ID_NULL;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, KEY_ALGORITHM);
    psa_status_t status = psa_import_key(&attributes, key->point, sizeof key->point, &id);
    if (status != PSA_SUCCESS)
        return covey_fail(err, COVEY_INVALID, "no usable public key (PSA status %d)", (int)status);
    status =
        psa_verify_hash(id, KEY_ALGORITHM, hash->bytes, sizeof hash->bytes, signature, COVEY_SIGNATURE_BYTES);
    (void)psa_destroy_key(id);
    if (status == PSA_ERROR_INVALID_SIGNATURE)
        return covey_fail(err, COVEY_DENIED, "the signature is not that key's, or the message was changed");
    if (status != PSA_SUCCESS)
        return covey_fail(err, COVEY_CRYPTO, "cannot check a signature (PSA status %d)", (int)status);
    return COVEY_OK;
}
