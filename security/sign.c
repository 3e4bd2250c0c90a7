#include "covey/sign.h"

#include <string.h>

#include "covey/hash.h"
#include "key_pair.h"

/* Sig_structure's own bytes: an array of four, "Signature1", three heads, the protected header. */
#define TO_BE_SIGNED_BYTES (COVEY_MANIFEST_BYTES + 32)

enum covey_status covey_trust_add(struct covey_trust *trust, const struct covey_public_key *key,
                                  struct covey_error *err)
{
    uint8_t id[COVEY_KEY_ID_BYTES];
    COVEY_TRY(covey_public_key_id(key, id, err));
    for (size_t i = 0; i < trust->count; i++)
        if (memcmp(trust->keys[i].point, key->point, sizeof key->point) == 0)
            return COVEY_OK;
    if (trust->count >= COVEY_TRUST_KEYS)
        return covey_fail(err, COVEY_LIMIT, "at most %d signers can be trusted", COVEY_TRUST_KEYS);
    trust->keys[trust->count] = *key;
    memcpy(trust->ids[trust->count], id, sizeof id);
    trust->count++;
    return COVEY_OK;
}

/* The hash that is signed: of the Sig_structure (RFC 9052 section 4.4). */
static enum covey_status hash_message(struct covey_bytes protected_header, struct covey_bytes payload,
                                      struct covey_hash *out, struct covey_error *err)
{
    uint8_t structure[TO_BE_SIGNED_BYTES];
    size_t size = 0;
    if (covey_cose_to_be_signed(protected_header, payload, structure, sizeof structure, &size) != COVEY_OK)
        return covey_fail(err, COVEY_LIMIT, "a signed message holds at most %d bytes, not %zu",
                          COVEY_MANIFEST_BYTES - COVEY_SIGNED_OVERHEAD_BYTES, payload.size);
    return covey_key_hash(structure, size, out, err);
}

enum covey_status covey_sign_message(const struct covey_key *signer, struct covey_bytes payload, uint8_t *out,
                                     size_t capacity, size_t *out_bytes, struct covey_error *err)
{
    struct covey_cose_sign1 message = {.protected_header = covey_cose_es256_header(), .payload = payload};
    struct covey_public_key key;
    struct covey_hash hash;
    if (payload.size > COVEY_MANIFEST_BYTES - COVEY_SIGNED_OVERHEAD_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%zu bytes to sign, at most %d", payload.size,
                          COVEY_MANIFEST_BYTES - COVEY_SIGNED_OVERHEAD_BYTES);
    COVEY_TRY(covey_key_public(signer, &key, err));
    COVEY_TRY(covey_public_key_id(&key, message.key_id, err));
    COVEY_TRY(hash_message(message.protected_header, payload, &hash, err));
    COVEY_TRY(covey_key_sign_hash(signer, &hash, message.signature, err));
    enum covey_status status = covey_cose_encode(&message, out, capacity, out_bytes);
    return status == COVEY_OK
               ? status
               : covey_fail(err, status, "the signed message does not fit %zu bytes", capacity);
}

static const struct covey_public_key *find_key(const struct covey_trust *trust,
                                               const uint8_t key_id[COVEY_KEY_ID_BYTES])
{
    for (size_t i = 0; i < trust->count && i < COVEY_TRUST_KEYS; i++)
        if (memcmp(trust->ids[i], key_id, COVEY_KEY_ID_BYTES) == 0)
            return &trust->keys[i];
    return NULL;
}

enum covey_status covey_verify_message(const struct covey_trust *trust, struct covey_bytes message,
                                       struct covey_bytes *payload, struct covey_error *err)
{
    struct covey_cose_sign1 sign1;
    struct covey_hash hash;
    if (message.size > COVEY_MANIFEST_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "signed message: %zu bytes, at most %d", message.size,
                          COVEY_MANIFEST_BYTES);
    COVEY_TRY(covey_cose_decode(message, &sign1, err));
    const struct covey_public_key *key = find_key(trust, sign1.key_id);
    if (key == NULL) {
        char id[2 * COVEY_KEY_ID_BYTES + 1];
        covey_hex_write(sign1.key_id, sizeof sign1.key_id, id);
        return covey_fail(err, COVEY_DENIED, "signed message: by key %s, which is not among the %zu trusted",
                          id, trust->count);
    }
    COVEY_TRY(hash_message(sign1.protected_header, sign1.payload, &hash, err));
    enum covey_status status = covey_key_verify_hash(key, &hash, sign1.signature, err);
    if (status != COVEY_OK)
        return covey_fail_at(err, status, "signed message: ");
    *payload = sign1.payload;
    return COVEY_OK;
}

enum covey_status covey_sign_bytes(const struct covey_key *signer, struct covey_bytes bytes,
                                   uint8_t signature[COVEY_SIGNATURE_BYTES], struct covey_error *err)
{
    struct covey_hash hash;
    COVEY_TRY(covey_key_hash(bytes.data, bytes.size, &hash, err));
    return covey_key_sign_hash(signer, &hash, signature, err);
}

enum covey_status covey_verify_bytes(const struct covey_public_key *key, struct covey_bytes bytes,
                                     const uint8_t signature[COVEY_SIGNATURE_BYTES], struct covey_error *err)
{
    struct covey_hash hash;
    COVEY_TRY(covey_key_hash(bytes.data, bytes.size, &hash, err));
    return covey_key_verify_hash(key, &hash, signature, err);
}

enum covey_status covey_sequence_check(uint64_t last, const struct covey_hash *last_hash, uint64_t offered,
                                       const struct covey_hash *offered_hash, struct covey_error *err)
{
    if (last_hash == NULL || offered > last)
        return COVEY_OK;
    if (offered < last)
        return covey_fail(err, COVEY_DENIED,
                          "sequence %llu is older than %llu, which was accepted before: a replay",
                          (unsigned long long)offered, (unsigned long long)last);
    if (!covey_hash_equal(last_hash, offered_hash))
        return covey_fail(err, COVEY_DENIED,
                          "sequence %llu was accepted before with other contents: two signers, or "
                          "a history made anew",
                          (unsigned long long)offered);
    return COVEY_OK;
}
