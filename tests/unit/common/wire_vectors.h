/* The vectors of tests/golden/wire, and each kind of message as a pair of functions over untyped memory. */
#ifndef COVEY_TEST_WIRE_VECTORS_H
#define COVEY_TEST_WIRE_VECTORS_H

#include "covey/messages.h"

#define VECTOR_BYTES 8192

struct vector {
    char name[64], status[16], what[128];
    uint8_t bytes[VECTOR_BYTES];
    size_t size;
};

/* Calls for every vector of KIND.hex; fails the test when there are none. */
void each_vector(const char *kind, void (*run)(void *user, const struct vector *vector), void *user);
/* One of them by name. */
void find_vector(const char *kind, const char *name, struct vector *out);

struct message_kind {
    const char *name;
    size_t size; /* of the struct */
    enum covey_status (*decode)(struct covey_bytes message, void *out, struct covey_error *err);
    enum covey_status (*encode)(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                struct covey_error *err);
};
extern const struct message_kind message_kinds[];
extern const size_t message_kind_count;

#endif
