#include <criterion/criterion.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/sign.h"
#include "security_files.h"

TestSuite(sign, .init = scratch_make, .fini = scratch_remove);

static const struct covey_bytes payload = {(const uint8_t *)"a manifest", 10};

static struct covey_key *golden_signer(void)
{
    struct covey_key *key = NULL;
    cr_assert_eq(covey_key_read(file_text(GOLDEN "keys/signer-sec1.pem"), &key, NULL), COVEY_OK);
    return key;
}

static struct covey_trust trust_in(const struct covey_key *key)
{
    struct covey_trust trust = {0};
    const struct covey_public_key half = public_half(key);
    struct covey_error err = {0};
    cr_assert_eq(covey_trust_add(&trust, &half, &err), COVEY_OK, "%s", err.text);
    return trust;
}

Test(sign, what_was_signed_is_verified)
{
    struct covey_key *key = new_key();
    const struct covey_trust trust = trust_in(key);
    uint8_t message[256];
    size_t size = 0;
    struct covey_bytes found = {0};
    struct covey_error err = {0};
    cr_assert_eq(covey_sign_message(key, payload, message, sizeof message, &size, &err), COVEY_OK, "%s",
                 err.text);
    cr_expect_leq(size, payload.size + COVEY_SIGNED_OVERHEAD_BYTES);
    cr_assert_eq(covey_verify_message(&trust, (struct covey_bytes){message, size}, &found, &err), COVEY_OK,
                 "%s", err.text);
    cr_expect_eq(found.size, payload.size);
    cr_expect_arr_eq(found.data, payload.data, payload.size);
    cr_expect(found.data > message && found.data < message + size, "a view into the message");
    covey_key_destroy(key);
}

/* No bit of a signed message can be turned. */
Test(sign, every_changed_bit_is_found)
{
    struct covey_key *key = golden_signer();
    const struct covey_trust trust = trust_in(key);
    const struct covey_bytes good = golden_named("signed.hex", "good");
    uint8_t message[256];
    memcpy(message, good.data, good.size);
    for (size_t bit = 0; bit < 8 * good.size; bit++) {
        struct covey_bytes found = {0};
        message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum covey_status status =
            covey_verify_message(&trust, (struct covey_bytes){message, good.size}, &found, NULL);
        cr_expect(status == COVEY_DENIED || status == COVEY_CORRUPT || status == COVEY_UNSUPPORTED,
                  "bit %zu: %d", bit, status);
        cr_expect_null(found.data);
        message[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    covey_key_destroy(key);
}

struct verifying {
    struct covey_trust trust;
    int good, refused;
};

static void verify_golden(void *user, const struct golden *golden)
{
    struct verifying *verifying = user;
    struct covey_bytes found = {0};
    struct covey_error err = {0};
    enum covey_status status = covey_verify_message(
        &verifying->trust, (struct covey_bytes){golden->bytes, golden->size}, &found, &err);
    const int is_good = strncmp(golden->rest, "OK ", 3) == 0;
    cr_expect_eq(status, is_good ? COVEY_OK : COVEY_DENIED, "%s: %s (%s)", golden->name, err.text,
                 golden->rest);
    verifying->good += is_good;
    verifying->refused += !is_good;
}

/* Messages that Python's cryptography signed, and forgeries of them. */
Test(sign, messages_of_another_implementation)
{
    struct covey_key *key = golden_signer();
    struct verifying verifying = {.trust = trust_in(key)};
    each_golden("signed.hex", verify_golden, &verifying);
    cr_expect_eq(verifying.good, 4);
    cr_expect_eq(verifying.refused, 9);
    covey_key_destroy(key);
}

/* RFC 9052 appendix C.2.1: key '11', its message's Sig_structure and signature. */
Test(sign, the_example_of_rfc_9052)
{
    static const char point[] = "04bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff"
                                "20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e";
    static const char structure[] =
        "846a5369676e61747572653143a101264054546869732069732074686520636f6e74656e742e";
    static const char hex[] = "8eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106c4d25a91aef0b0117e"
                              "2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36";
    struct covey_public_key key;
    uint8_t signature[COVEY_SIGNATURE_BYTES], wanted[38], made[64];
    size_t size = 0;
    struct covey_error err = {0};
    const struct covey_bytes content = {(const uint8_t *)"This is the content.", 20};
    cr_assert_eq(covey_hex_read(point, key.point, sizeof key.point), 0);
    cr_assert_eq(covey_hex_read(hex, signature, sizeof signature), 0);
    cr_assert_eq(covey_hex_read(structure, wanted, sizeof wanted), 0);
    cr_assert_eq(covey_cose_to_be_signed(covey_cose_es256_header(), content, made, sizeof made, &size),
                 COVEY_OK);
    cr_assert_eq(size, sizeof wanted);
    cr_expect_arr_eq(made, wanted, sizeof wanted);
    cr_expect_eq(covey_verify_bytes(&key, (struct covey_bytes){made, size}, signature, &err), COVEY_OK, "%s",
                 err.text);
    made[size - 1] ^= 1;
    cr_expect_eq(covey_verify_bytes(&key, (struct covey_bytes){made, size}, signature, &err), COVEY_DENIED);
}

Test(sign, the_key_id_is_half_of_the_hash_of_the_point)
{
    struct covey_key *key = new_key();
    const struct covey_public_key half = public_half(key);
    struct covey_hash hash;
    uint8_t id[COVEY_KEY_ID_BYTES];
    cr_assert_eq(covey_hash_bytes((struct covey_bytes){half.point, sizeof half.point}, &hash), COVEY_OK);
    cr_assert_eq(covey_public_key_id(&half, id, NULL), COVEY_OK);
    cr_expect_arr_eq(id, hash.bytes, sizeof id);
    covey_key_destroy(key);
}

Test(sign, a_stranger_is_not_believed_and_nobody_trusts_nobody)
{
    struct covey_key *key = new_key(), *other = new_key();
    const struct covey_trust trust = trust_in(other), nobody = {0};
    uint8_t message[256];
    size_t size = 0;
    struct covey_bytes found;
    struct covey_error err = {0};
    cr_assert_eq(covey_sign_message(key, payload, message, sizeof message, &size, &err), COVEY_OK);
    cr_expect_eq(covey_verify_message(&trust, (struct covey_bytes){message, size}, &found, &err),
                 COVEY_DENIED);
    cr_expect(strstr(err.text, "not among the 1 trusted") != NULL, "%s", err.text);
    cr_expect_eq(covey_verify_message(&nobody, (struct covey_bytes){message, size}, &found, &err),
                 COVEY_DENIED);
    covey_key_destroy(key);
    covey_key_destroy(other);
}

Test(sign, several_signers_can_be_trusted_while_one_follows_the_other)
{
    struct covey_trust trust = {0};
    struct covey_key *keys[COVEY_TRUST_KEYS + 1];
    struct covey_error err = {0};
    for (size_t i = 0; i <= COVEY_TRUST_KEYS; i++) {
        keys[i] = new_key();
        const struct covey_public_key half = public_half(keys[i]);
        cr_expect_eq(covey_trust_add(&trust, &half, &err), i < COVEY_TRUST_KEYS ? COVEY_OK : COVEY_LIMIT);
        if (i < COVEY_TRUST_KEYS)
            cr_expect_eq(covey_trust_add(&trust, &half, &err), COVEY_OK, "twice is once");
    }
    cr_expect_eq(trust.count, COVEY_TRUST_KEYS);
    for (size_t i = 0; i <= COVEY_TRUST_KEYS; i++) {
        uint8_t message[256];
        size_t size = 0;
        struct covey_bytes found;
        cr_assert_eq(covey_sign_message(keys[i], payload, message, sizeof message, &size, &err), COVEY_OK);
        cr_expect_eq(covey_verify_message(&trust, (struct covey_bytes){message, size}, &found, &err),
                     i < COVEY_TRUST_KEYS ? COVEY_OK : COVEY_DENIED);
        covey_key_destroy(keys[i]);
    }
}

Test(sign, bounds)
{
    static uint8_t big[COVEY_MANIFEST_BYTES], message[COVEY_MANIFEST_BYTES + 1];
    struct covey_key *key = new_key();
    const struct covey_trust trust = trust_in(key);
    size_t size = 0;
    struct covey_bytes found;
    struct covey_error err = {0};
    const size_t most = COVEY_MANIFEST_BYTES - COVEY_SIGNED_OVERHEAD_BYTES;
    cr_expect_eq(
        covey_sign_message(key, (struct covey_bytes){big, most + 1}, message, sizeof message, &size, &err),
        COVEY_LIMIT);
    cr_assert_eq(
        covey_sign_message(key, (struct covey_bytes){big, most}, message, sizeof message, &size, &err),
        COVEY_OK, "%s", err.text);
    cr_expect_leq(size, COVEY_MANIFEST_BYTES);
    cr_expect_eq(covey_verify_message(&trust, (struct covey_bytes){message, size}, &found, &err), COVEY_OK);
    cr_expect_eq(covey_verify_message(&trust, (struct covey_bytes){message, sizeof message}, &found, &err),
                 COVEY_CORRUPT);
    cr_expect_eq(covey_sign_message(key, payload, message, 50, &size, &err), COVEY_LIMIT);
    covey_key_destroy(key);
}

Test(sign, the_sequence_only_rises)
{
    const struct covey_hash a = {{1}}, b = {{2}};
    static const struct {
        uint64_t last;
        int has_last;
        uint64_t offered;
        int same;
        enum covey_status wanted;
    } cases[] = {
        {0, 0, 0, 0, COVEY_OK},
        {0, 0, 9, 0, COVEY_OK},
        {5, 1, 6, 0, COVEY_OK},
        {5, 1, 900, 0, COVEY_OK},
        {5, 1, 5, 1, COVEY_OK},
        {5, 1, 5, 0, COVEY_DENIED},
        {5, 1, 4, 0, COVEY_DENIED},
        {5, 1, 4, 1, COVEY_DENIED},
        {5, 1, 0, 1, COVEY_DENIED},
        {UINT64_MAX, 1, 0, 0, COVEY_DENIED},
        {UINT64_MAX, 1, UINT64_MAX, 1, COVEY_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct covey_error err = {0};
        cr_expect_eq(covey_sequence_check(cases[i].last, cases[i].has_last ? &a : NULL, cases[i].offered,
                                          cases[i].same ? &a : &b, &err),
                     cases[i].wanted, "case %zu: %s", i, err.text);
        cr_expect_eq(err.text[0] != '\0', cases[i].wanted != COVEY_OK);
    }
}
