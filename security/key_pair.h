/* What keys.c shows to the rest of this room, in plain types: PSA and Mbed TLS stay in keys.c and
 * certificates.c. */
#ifndef COVEY_KEY_PAIR_H
#define COVEY_KEY_PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "covey/hash.h"
#include "covey/keys.h"

#define COVEY_PUBLIC_DER_BYTES 91 /* SubjectPublicKeyInfo of a P-256 key */

struct covey_key {
    uint32_t id; /* psa_key_id_t of a volatile, exportable key pair */
};

/* SubjectPublicKeyInfo (RFC 5480 section 2) and back; INVALID when it is no P-256 key in uncompressed form.
 */
void covey_public_key_to_der(const struct covey_public_key *key, uint8_t der[COVEY_PUBLIC_DER_BYTES]);
COVEY_MUST_CHECK enum covey_status covey_public_key_from_der(struct covey_bytes der,
                                                             struct covey_public_key *out,
                                                             struct covey_error *err);

/* ECDSA over a hash, r || s. */
COVEY_MUST_CHECK enum covey_status covey_key_sign_hash(const struct covey_key *key,
                                                       const struct covey_hash *hash,
                                                       uint8_t signature[COVEY_SIGNATURE_BYTES],
                                                       struct covey_error *err);
/* OK, or DENIED when the signature is not this key's. */
COVEY_MUST_CHECK enum covey_status covey_key_verify_hash(const struct covey_public_key *key,
                                                         const struct covey_hash *hash,
                                                         const uint8_t signature[COVEY_SIGNATURE_BYTES],
                                                         struct covey_error *err);

/* covey_psk_store, in place of what was there. */
COVEY_MUST_CHECK enum covey_status covey_psk_replace(const struct covey_psk *psk, const char *identity,
                                                     const char *path, struct covey_error *err);

/* covey_hash_bytes and covey_secret_bytes with a text for people when they fail. */
COVEY_MUST_CHECK enum covey_status covey_key_hash(const void *bytes, size_t count, struct covey_hash *out,
                                                  struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_key_secret(void *out, size_t count, struct covey_error *err);

/* Mbed TLS's shape of a generator (f_rng), over covey_secret_bytes. Returns 0, or -1. */
int covey_key_random(void *unused, unsigned char *out, size_t count);

#endif
