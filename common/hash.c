#include "covey/hash.h"

#include <stdlib.h>
#include <string.h>

#include <psa/crypto.h>

struct covey_hasher {
    psa_hash_operation_t operation;
};

static enum covey_status from_psa(psa_status_t status)
{
    if (status == PSA_SUCCESS)
        return COVEY_OK;
    return status == PSA_ERROR_INSUFFICIENT_MEMORY ? COVEY_NO_MEMORY : COVEY_CRYPTO;
}

enum covey_status covey_crypto_start(struct covey_error *err)
{
    psa_status_t status = psa_crypto_init();
    if (status == PSA_SUCCESS)
        return COVEY_OK;
    return covey_fail(err, from_psa(status),
                      "the cryptographic library does not start (PSA error %d): is the system's source of "
                      "randomness readable?",
                      (int)status);
}

enum covey_status covey_hash_bytes(struct covey_bytes bytes, struct covey_hash *out)
{
    struct covey_hash hash;
    size_t size = 0;
    /* PSA may refuse a NULL input even of length zero. */
    const uint8_t *data = bytes.size > 0 ? bytes.data : (const uint8_t *)"";
    psa_status_t status =
        psa_hash_compute(PSA_ALG_SHA_256, data, bytes.size, hash.bytes, sizeof hash.bytes, &size);
    if (status != PSA_SUCCESS)
        return from_psa(status);
    *out = hash;
    return COVEY_OK;
}

enum covey_status covey_hasher_create(struct covey_hasher **out)
{
    struct covey_hasher *hasher = calloc(1, sizeof *hasher);
    if (hasher == NULL)
        return COVEY_NO_MEMORY;
    hasher->operation = psa_hash_operation_init();
    psa_status_t status = psa_hash_setup(&hasher->operation, PSA_ALG_SHA_256);
    if (status != PSA_SUCCESS) {
        free(hasher);
        return from_psa(status);
    }
    *out = hasher;
    return COVEY_OK;
}

enum covey_status covey_hasher_add(struct covey_hasher *hasher, struct covey_bytes bytes)
{
    if (bytes.size == 0)
        return COVEY_OK;
    return from_psa(psa_hash_update(&hasher->operation, bytes.data, bytes.size));
}

enum covey_status covey_hasher_finish(struct covey_hasher *hasher, struct covey_hash *out)
{
    struct covey_hash hash;
    size_t size = 0;
    psa_status_t status = psa_hash_finish(&hasher->operation, hash.bytes, sizeof hash.bytes, &size);
    covey_hasher_destroy(hasher);
    if (status != PSA_SUCCESS)
        return from_psa(status);
    *out = hash;
    return COVEY_OK;
}

void covey_hasher_destroy(struct covey_hasher *hasher)
{
    if (hasher == NULL)
        return;
    (void)psa_hash_abort(&hasher->operation);
    free(hasher);
}

enum covey_status covey_hash_floats(const float *values, size_t count, struct covey_hash *out)
{
    _Static_assert(sizeof(float) == 4, "IEEE 754 binary32");
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (count > SIZE_MAX / sizeof *values)
        return COVEY_LIMIT;
    return covey_hash_bytes((struct covey_bytes){(const uint8_t *)values, count * sizeof *values}, out);
#else
    struct covey_hasher *hasher = NULL;
    COVEY_TRY(covey_hasher_create(&hasher));
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        const uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                                  (uint8_t)(bits >> 24)};
        enum covey_status status = covey_hasher_add(hasher, (struct covey_bytes){bytes, sizeof bytes});
        if (status != COVEY_OK) {
            covey_hasher_destroy(hasher);
            return status;
        }
    }
    return covey_hasher_finish(hasher, out);
#endif
}

int covey_hash_equal(const struct covey_hash *a, const struct covey_hash *b)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < sizeof a->bytes; i++)
        difference = (uint8_t)(difference | (a->bytes[i] ^ b->bytes[i]));
    return difference == 0;
}

enum covey_status covey_secret_bytes(void *out, size_t count)
{
    return count == 0 ? COVEY_OK : from_psa(psa_generate_random(out, count));
}
