/* Key pairs (ECDSA on P-256) and pre-shared keys: made, written as files, read again.
 *
 * A private key lives in PSA's memory behind a `struct covey_key`; as text it is PEM (SEC 1 or PKCS #8 in;
 * SEC 1 out), in files of mode 0600 that are never overwritten. A public key's id is the first 16 bytes of
 * the SHA-256 of its uncompressed point (0x04 || x || y, SEC 1 section 2.3.3): that is what COSE messages
 * carry as `kid`.
 *
 * covey_crypto_start (covey/hash.h) runs before anything here. Different keys may be used by different
 * threads at once, and one key by several. */
#ifndef COVEY_KEYS_H
#define COVEY_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/credentials.h"
#include "covey/messages.h"
#include "covey/status.h"

#define COVEY_KEY_PEM_BYTES 512 /* a P-256 key in PEM, with the terminating zero */
#define COVEY_POINT_BYTES 65    /* uncompressed P-256 point */
#define COVEY_PSK_MIN_BYTES 16  /* shorter pre-shared keys are refused */

/* A key pair; owned, destroyed by covey_key_destroy, which also wipes it. */
struct covey_key;

/* A public key, plain data. */
struct covey_public_key {
    uint8_t point[COVEY_POINT_BYTES];
};

/* A pre-shared key; wipe it with covey_psk_wipe. */
struct covey_psk {
    uint8_t bytes[COVEY_PSK_BYTES];
    size_t count;
};

COVEY_MUST_CHECK enum covey_status covey_key_generate(struct covey_key **out, struct covey_error *err);

/* pem: the text with its terminating zero counted. INVALID when it is no P-256 private key. */
COVEY_MUST_CHECK enum covey_status covey_key_read(struct covey_bytes pem, struct covey_key **out,
                                                  struct covey_error *err);
/* out: (capacity) chars; *out_bytes counts the terminating zero. The caller wipes the buffer. */
COVEY_MUST_CHECK enum covey_status covey_key_write(const struct covey_key *key, char *out, size_t capacity,
                                                   size_t *out_bytes, struct covey_error *err);
void covey_key_destroy(struct covey_key *key); /* NULL is legal */

/* Files. Storing writes a new file of mode 0600, whole or not at all; EXISTS when there is one already.
 * Loading warns of nothing, but refuses (DENIED) a private key that others can read. */
COVEY_MUST_CHECK enum covey_status covey_key_load(const char *path, struct covey_key **out,
                                                  struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_key_store(const struct covey_key *key, const char *path,
                                                   struct covey_error *err);

/* ---- the public half ---- */

COVEY_MUST_CHECK enum covey_status covey_key_public(const struct covey_key *key, struct covey_public_key *out,
                                                    struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_public_key_write(const struct covey_public_key *key, char *out,
                                                          size_t capacity, size_t *out_bytes,
                                                          struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_public_key_read(struct covey_bytes pem, struct covey_public_key *out,
                                                         struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_public_key_load(const char *path, struct covey_public_key *out,
                                                         struct covey_error *err);
/* Mode 0644; EXISTS when there is one already. */
COVEY_MUST_CHECK enum covey_status covey_public_key_store(const struct covey_public_key *key,
                                                          const char *path, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_public_key_id(const struct covey_public_key *key,
                                                       uint8_t id[COVEY_KEY_ID_BYTES],
                                                       struct covey_error *err);

/* ---- pre-shared keys: a file of one line "IDENTITY HEX", mode 0600 ---- */

COVEY_MUST_CHECK enum covey_status covey_psk_generate(struct covey_psk *out, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_psk_store(const struct covey_psk *psk, const char *identity,
                                                   const char *path, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_psk_load(const char *path, char identity[COVEY_NAME_BYTES],
                                                  struct covey_psk *out, struct covey_error *err);
void covey_psk_wipe(struct covey_psk *psk);

#endif
