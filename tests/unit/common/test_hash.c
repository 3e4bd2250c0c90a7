#include <criterion/criterion.h>
#include <string.h>

#include "covey/hash.h"

struct vector {
    const char *text;
    size_t repeat;
    const char *digest; /* FIPS 180-4 examples */
};

static const struct vector vectors[] = {
    {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void start(void)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
}

Test(hash, known_answers, .init = start)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct covey_hasher *hasher = NULL;
        struct covey_hash hash;
        char text[COVEY_HASH_TEXT_BYTES];
        cr_assert_eq(covey_hasher_create(&hasher), COVEY_OK);
        const struct covey_bytes piece = {(const uint8_t *)vectors[i].text, strlen(vectors[i].text)};
        for (size_t j = 0; j < vectors[i].repeat; j++)
            cr_assert_eq(covey_hasher_add(hasher, piece), COVEY_OK);
        cr_assert_eq(covey_hasher_finish(hasher, &hash), COVEY_OK);
        covey_hex_write(hash.bytes, sizeof hash.bytes, text);
        cr_expect_str_eq(text, vectors[i].digest);
        if (vectors[i].repeat > 1)
            continue;
        struct covey_hash at_once;
        cr_assert_eq(
            covey_hash_bytes(vectors[i].repeat > 0 ? piece : (struct covey_bytes){NULL, 0}, &at_once),
            COVEY_OK);
        cr_expect(covey_hash_equal(&hash, &at_once));
    }
}

/* Every way in which a message and its pieces can lie across blocks: messages of n bytes, byte i is 7i + n,
 * in pieces of 1 to 200 bytes; the digests one after another have this digest (Python's hashlib). */
#define LENGTHS 1024
#define LENGTHS_DIGEST "25caec8b76c0cdeffa186c98cd8aae6871f3d1d9a90a4a25f64ecbd597996325"

static void hash_in_pieces(struct covey_bytes message, size_t piece, struct covey_hash *out)
{
    struct covey_hasher *hasher = NULL;
    cr_assert_eq(covey_hasher_create(&hasher), COVEY_OK);
    for (size_t at = 0; at < message.size; at += piece) {
        const size_t left = message.size - at;
        const struct covey_bytes next = {message.data + at, left < piece ? left : piece};
        cr_assert_eq(covey_hasher_add(hasher, next), COVEY_OK);
    }
    cr_assert_eq(covey_hasher_finish(hasher, out), COVEY_OK);
}

Test(hash, every_length_whole_and_in_pieces, .init = start)
{
    static uint8_t digests[LENGTHS * COVEY_HASH_BYTES];
    uint8_t bytes[LENGTHS];
    char text[COVEY_HASH_TEXT_BYTES];
    struct covey_hash whole, pieces;
    for (size_t n = 0; n < LENGTHS; n++) {
        const struct covey_bytes message = {bytes, n};
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(7 * i + n);
        cr_assert_eq(covey_hash_bytes(message, &whole), COVEY_OK);
        hash_in_pieces(message, 1 + n * 37 % 200, &pieces);
        cr_expect(covey_hash_equal(&whole, &pieces), "%zu bytes", n);
        memcpy(digests + n * COVEY_HASH_BYTES, whole.bytes, COVEY_HASH_BYTES);
    }
    cr_assert_eq(covey_hash_bytes((struct covey_bytes){digests, sizeof digests}, &whole), COVEY_OK);
    covey_hex_write(whole.bytes, sizeof whole.bytes, text);
    cr_expect_str_eq(text, LENGTHS_DIGEST);
}

Test(hash, equal_looks_at_every_byte, .init = start)
{
    struct covey_hash a = {{1, 2, 3}}, b = a;
    cr_expect(covey_hash_equal(&a, &b));
    for (size_t i = 0; i < sizeof a.bytes; i++) {
        b = a;
        b.bytes[i] ^= 0x80;
        cr_expect_not(covey_hash_equal(&a, &b), "byte %zu", i);
    }
}

Test(hash, floats_are_hashed_as_little_endian_bytes, .init = start)
{
    const float values[] = {1.0f, -2.0f};
    const uint8_t bytes[] = {0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0};
    struct covey_hash a, b;
    cr_assert_eq(covey_hash_floats(values, 2, &a), COVEY_OK);
    cr_assert_eq(covey_hash_bytes((struct covey_bytes){bytes, sizeof bytes}, &b), COVEY_OK);
    cr_expect(covey_hash_equal(&a, &b));
    cr_expect_eq(covey_hash_floats(values, SIZE_MAX / 2, &a), COVEY_LIMIT);
}

Test(hash, secrets_differ, .init = start)
{
    uint8_t a[32] = {0}, b[32] = {0};
    cr_assert_eq(covey_secret_bytes(a, sizeof a), COVEY_OK);
    cr_assert_eq(covey_secret_bytes(b, sizeof b), COVEY_OK);
    cr_expect_neq(memcmp(a, b, sizeof a), 0);
    cr_expect_eq(covey_secret_bytes(NULL, 0), COVEY_OK);
    covey_hasher_destroy(NULL);
}
