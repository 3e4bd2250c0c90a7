/* Well-formed messages, damaged: cut short, with bits turned, with bytes from a generator. Nothing may be
 * read past the end (sanitizers watch), and what is taken must be a message that can be written and read
 * again. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"
#include "wire_vectors.h"

/* In memory of exactly its size, so that a sanitizer sees a read past the end. */
static enum covey_status decode_copy(const struct message_kind *kind, const uint8_t *bytes, size_t size,
                                     void *out, uint8_t **copy)
{
    struct covey_error err = {0};
    *copy = malloc(size > 0 ? size : 1);
    cr_assert_not_null(*copy);
    memcpy(*copy, bytes, size);
    enum covey_status status = kind->decode((struct covey_bytes){*copy, size}, out, &err);
    cr_assert(status == COVEY_OK || status == COVEY_CORRUPT || status == COVEY_UNSUPPORTED, "%s: %s",
              kind->name, err.text);
    return status;
}

/* What was taken, written: is read again, and written the same. (The decoded struct's views stay alive in
 * `copy`.) */
static void expect_stable(const struct message_kind *kind, const void *value)
{
    static uint8_t first[COVEY_DESCRIPTION_BYTES], second[COVEY_DESCRIPTION_BYTES];
    struct covey_error err = {0};
    size_t first_size = 0, second_size = 0;
    void *again = calloc(1, kind->size);
    cr_assert_eq(kind->encode(value, first, sizeof first, &first_size, &err), COVEY_OK, "%s: %s", kind->name,
                 err.text);
    cr_assert_eq(kind->decode((struct covey_bytes){first, first_size}, again, &err), COVEY_OK, "%s: %s",
                 kind->name, err.text);
    cr_assert_eq(kind->encode(again, second, sizeof second, &second_size, &err), COVEY_OK);
    cr_assert_eq(first_size, second_size);
    cr_assert_arr_eq(first, second, first_size);
    free(again);
}

struct damage {
    const struct message_kind *kind;
    void *out;
    size_t taken;
};

static void cut(void *user, const struct vector *vector)
{
    struct damage *damage = user;
    if (strcmp(vector->status, "OK") != 0)
        return;
    for (size_t size = 0; size < vector->size; size++) {
        uint8_t *copy;
        cr_expect_eq(decode_copy(damage->kind, vector->bytes, size, damage->out, &copy), COVEY_CORRUPT,
                     "%s cut to %zu of %zu bytes", vector->name, size, vector->size);
        free(copy);
    }
}

static void turn_bits(void *user, const struct vector *vector)
{
    struct damage *damage = user;
    uint8_t bytes[VECTOR_BYTES];
    memcpy(bytes, vector->bytes, vector->size);
    for (size_t bit = 0; bit < 8 * vector->size; bit++) {
        uint8_t *copy;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (decode_copy(damage->kind, bytes, vector->size, damage->out, &copy) == COVEY_OK) {
            expect_stable(damage->kind, damage->out);
            damage->taken++;
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        free(copy);
    }
}

static void scramble(void *user, const struct vector *vector)
{
    struct damage *damage = user;
    struct covey_random random;
    covey_random_init(&random, 1, covey_random_id(vector->name), 0, COVEY_PURPOSE_TEST);
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[VECTOR_BYTES], *copy;
        memcpy(bytes, vector->bytes, vector->size);
        for (uint32_t n = 1 + covey_random_below(&random, 6); n > 0 && vector->size > 0; n--)
            bytes[covey_random_below(&random, (uint32_t)vector->size)] = (uint8_t)covey_random_u32(&random);
        if (decode_copy(damage->kind, bytes, vector->size, damage->out, &copy) == COVEY_OK)
            expect_stable(damage->kind, damage->out);
        free(copy);
    }
}

static void each_kind(void (*run)(void *user, const struct vector *vector))
{
    for (size_t i = 0; i < message_kind_count; i++) {
        struct damage damage = {&message_kinds[i], calloc(1, message_kinds[i].size), 0};
        each_vector(message_kinds[i].name, run, &damage);
        free(damage.out);
    }
}

Test(wire_damage, every_truncation_is_refused)
{
    each_kind(cut);
}

Test(wire_damage, turned_bits_are_refused_or_mean_something)
{
    each_kind(turn_bits);
}

Test(wire_damage, scrambled_bytes)
{
    each_kind(scramble);
}

/* A buffer that is too small: LIMIT, and not a byte past its end. */
static void shrink(void *user, const struct vector *vector)
{
    struct damage *damage = user;
    struct covey_error err = {0};
    if (strcmp(vector->status, "OK") != 0)
        return;
    cr_assert_eq(damage->kind->decode((struct covey_bytes){vector->bytes, vector->size}, damage->out, &err),
                 COVEY_OK);
    uint8_t whole[VECTOR_BYTES];
    size_t size = 0;
    cr_assert_eq(damage->kind->encode(damage->out, whole, sizeof whole, &size, &err), COVEY_OK);
    for (size_t capacity = 0; capacity < size; capacity++) {
        uint8_t *out = malloc(capacity > 0 ? capacity : 1);
        size_t untouched = 77;
        cr_expect_eq(damage->kind->encode(damage->out, out, capacity, &untouched, &err), COVEY_LIMIT,
                     "%s in %zu", vector->name, capacity);
        cr_expect_eq(untouched, 77);
        free(out);
    }
}

Test(wire_damage, small_buffers_are_never_overrun)
{
    each_kind(shrink);
}
