/* Signed messages: COSE_Sign1 with ES256 (RFC 9052 section 4.4, RFC 9053 section 2.1), through PSA alone.
 *
 * A manifest is signed by the server's signer, whose public half every device got with its bundle; so what
 * came over any path, or lay on any disk, is known to be the federation's. Order is guarded apart: sequences
 * only rise. Thread-safe. */
#ifndef COVEY_SIGN_H
#define COVEY_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/keys.h"
#include "covey/messages.h"
#include "covey/status.h"

#define COVEY_TRUST_KEYS 4 /* signers that a device believes at once: the current one and those to come */
#define COVEY_SIGNED_OVERHEAD_BYTES 128 /* of a signed message over its payload, at the most */

/* Whose signatures count. Plain data; all zero trusts nobody. */
struct covey_trust {
    struct covey_public_key keys[COVEY_TRUST_KEYS];
    uint8_t ids[COVEY_TRUST_KEYS][COVEY_KEY_ID_BYTES];
    size_t count;
};

/* LIMIT past COVEY_TRUST_KEYS; a key already there is not added again. */
COVEY_MUST_CHECK enum covey_status covey_trust_add(struct covey_trust *trust,
                                                   const struct covey_public_key *key,
                                                   struct covey_error *err);

/* payload: at most COVEY_MANIFEST_BYTES - COVEY_SIGNED_OVERHEAD_BYTES. out: (capacity) bytes of CBOR,
 * tagged 18. */
COVEY_MUST_CHECK enum covey_status covey_sign_message(const struct covey_key *signer,
                                                      struct covey_bytes payload, uint8_t *out,
                                                      size_t capacity, size_t *out_bytes,
                                                      struct covey_error *err);

/* OK and a view of the payload inside message; CORRUPT when it is no COSE_Sign1; DENIED when no trusted key
 * made it. */
COVEY_MUST_CHECK enum covey_status covey_verify_message(const struct covey_trust *trust,
                                                        struct covey_bytes message,
                                                        struct covey_bytes *payload, struct covey_error *err);

/* A raw ES256 signature over bytes: r || s. */
COVEY_MUST_CHECK enum covey_status covey_sign_bytes(const struct covey_key *signer, struct covey_bytes bytes,
                                                    uint8_t signature[COVEY_SIGNATURE_BYTES],
                                                    struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_verify_bytes(const struct covey_public_key *key,
                                                      struct covey_bytes bytes,
                                                      const uint8_t signature[COVEY_SIGNATURE_BYTES],
                                                      struct covey_error *err);

/* The rule of the only rising sequence: OK when offered > last, or when it is the same message again (the
 * hash says so); DENIED for an older one (a replay) and for another one under the same number (two signers,
 * or a forged history). last_hash NULL: nothing was accepted yet. The caller keeps (last, hash) durably
 * before it acts on the message. */
COVEY_MUST_CHECK enum covey_status covey_sequence_check(uint64_t last, const struct covey_hash *last_hash,
                                                        uint64_t offered,
                                                        const struct covey_hash *offered_hash,
                                                        struct covey_error *err);

#endif
