/* SHA-256 through PSA: what models, descriptions and bodies are named by. */
#ifndef COVEY_HASH_H
#define COVEY_HASH_H

#include "covey/bytes.h"
#include "covey/status.h"

/* Must run once before any other function of this header or of security; may run again. Not thread-safe
 * with itself: programs call it first. */
COVEY_MUST_CHECK enum covey_status covey_crypto_start(struct covey_error *err);

/* The SHA-256 of a view. Thread-safe. */
COVEY_MUST_CHECK enum covey_status covey_hash_bytes(struct covey_bytes bytes, struct covey_hash *out);

/* A hash over pieces: create, add ..., finish (which destroys it, in failure too). */
struct covey_hasher;
COVEY_MUST_CHECK enum covey_status covey_hasher_create(struct covey_hasher **out);
COVEY_MUST_CHECK enum covey_status covey_hasher_add(struct covey_hasher *hasher, struct covey_bytes bytes);
COVEY_MUST_CHECK enum covey_status covey_hasher_finish(struct covey_hasher *hasher, struct covey_hash *out);
void covey_hasher_destroy(struct covey_hasher *hasher);

/* The hash of an f32 vector as little-endian bytes: the hash of a model. */
COVEY_MUST_CHECK enum covey_status covey_hash_floats(const float *values, size_t count,
                                                     struct covey_hash *out);

/* 1 if equal, 0 if not; in constant time. */
int covey_hash_equal(const struct covey_hash *a, const struct covey_hash *b);

/* Unpredictable bytes from PSA's generator: keys, tokens, ids. Thread-safe. (Reproducible randomness is
 * covey/random.h; the two never mix.) */
COVEY_MUST_CHECK enum covey_status covey_secret_bytes(void *out, size_t count);

#endif
