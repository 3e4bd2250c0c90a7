#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/keys.h"
#include "covey/sign.h"
#include "security_files.h"

TestSuite(keys, .init = scratch_make, .fini = scratch_remove);

static unsigned mode_of(const char *path)
{
    struct stat info;
    cr_assert_eq(stat(path, &info), 0, "%s", path);
    return info.st_mode & 0777;
}

Test(keys, a_key_stored_and_loaded_is_the_same)
{
    struct covey_error err = {0};
    struct covey_key *key = new_key(), *again = NULL;
    const struct covey_public_key before = public_half(key);
    cr_assert_eq(covey_key_store(key, scratch("a.key"), &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_key_load(scratch("a.key"), &again, &err), COVEY_OK, "%s", err.text);
    const struct covey_public_key after = public_half(again);
    cr_expect_arr_eq(before.point, after.point, sizeof before.point);
    cr_expect_eq(before.point[0], 4);
    cr_expect_eq(mode_of(scratch("a.key")), 0600);
    covey_key_destroy(again);
    covey_key_destroy(key);
    covey_key_destroy(NULL);
}

Test(keys, two_keys_differ)
{
    struct covey_key *a = new_key(), *b = new_key();
    const struct covey_public_key of_a = public_half(a), of_b = public_half(b);
    cr_expect_neq(memcmp(of_a.point, of_b.point, sizeof of_a.point), 0);
    covey_key_destroy(a);
    covey_key_destroy(b);
}

Test(keys, nothing_is_overwritten)
{
    struct covey_error err = {0};
    struct covey_key *key = new_key();
    const struct covey_public_key half = public_half(key);
    struct covey_psk psk;
    write_text(scratch("there"), "precious");
    cr_expect_eq(covey_key_store(key, scratch("there"), &err), COVEY_EXISTS, "%s", err.text);
    cr_expect_eq(covey_public_key_store(&half, scratch("there"), &err), COVEY_EXISTS);
    cr_assert_eq(covey_psk_generate(&psk, &err), COVEY_OK);
    cr_expect_eq(covey_psk_store(&psk, "dev", scratch("there"), &err), COVEY_EXISTS);
    cr_expect_str_eq((const char *)file_text(scratch("there")).data, "precious");
    cr_expect_eq(covey_key_store(key, scratch("no-such-dir/key"), &err), COVEY_NOT_FOUND, "%s", err.text);
    covey_key_destroy(key);
}

/* A failed store leaves no scrap behind. */
Test(keys, no_temporary_files_stay)
{
    struct covey_error err = {0};
    struct covey_key *key = new_key();
    cr_assert_eq(mkdir(scratch("dir"), 0700), 0);
    cr_assert_eq(covey_key_store(key, scratch("dir/key"), &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_key_store(key, scratch("dir/key"), &err), COVEY_EXISTS);
    cr_assert_eq(unlink(scratch("dir/key")), 0);
    cr_expect_eq(rmdir(scratch("dir")), 0, "something was left");
    covey_key_destroy(key);
}

Test(keys, a_private_key_that_others_can_read_is_refused)
{
    struct covey_error err = {0};
    struct covey_key *key = new_key(), *again = NULL;
    cr_assert_eq(covey_key_store(key, scratch("a.key"), &err), COVEY_OK);
    cr_assert_eq(chmod(scratch("a.key"), 0640), 0);
    cr_expect_eq(covey_key_load(scratch("a.key"), &again, &err), COVEY_DENIED);
    cr_expect(strstr(err.text, "chmod 600") != NULL, "%s", err.text);
    cr_expect_null(again);
    covey_key_destroy(key);
}

/* Written by OpenSSL: SEC 1 and PKCS #8 of one key. */
Test(keys, keys_of_other_hands_are_read)
{
    struct covey_error err = {0};
    struct covey_key *sec1 = NULL, *pkcs8 = NULL;
    struct covey_public_key half;
    cr_assert_eq(covey_key_read(file_text(GOLDEN "keys/signer-sec1.pem"), &sec1, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_key_read(file_text(GOLDEN "keys/signer-pkcs8.pem"), &pkcs8, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_public_key_read(file_text(GOLDEN "keys/signer-public.pem"), &half, &err), COVEY_OK,
                 "%s", err.text);
    cr_expect_arr_eq(public_half(sec1).point, half.point, sizeof half.point);
    cr_expect_arr_eq(public_half(pkcs8).point, half.point, sizeof half.point);
    char text[COVEY_KEY_PEM_BYTES];
    size_t size = 0;
    cr_assert_eq(covey_key_write(pkcs8, text, sizeof text, &size, &err), COVEY_OK);
    cr_expect_str_eq(text, (const char *)file_text(GOLDEN "keys/signer-sec1.pem").data);
    cr_expect_eq(size, strlen(text) + 1);
    cr_assert_eq(covey_public_key_write(&half, text, sizeof text, &size, &err), COVEY_OK);
    cr_expect_str_eq(text, (const char *)file_text(GOLDEN "keys/signer-public.pem").data);
    cr_expect_eq(covey_public_key_write(&half, text, 20, &size, &err), COVEY_LIMIT);
    covey_key_destroy(sec1);
    covey_key_destroy(pkcs8);
}

Test(keys, what_is_no_p256_key_is_refused)
{
    static const char *const privates[] = {"keys/p384.pem", "keys/ed25519.pem", "keys/signer-public.pem",
                                           "signed.hex"};
    static const char *const publics[] = {"keys/p384-public.pem", "keys/signer-sec1.pem", "signed.hex"};
    for (size_t i = 0; i < sizeof privates / sizeof privates[0]; i++) {
        char path[512];
        struct covey_key *key = NULL;
        struct covey_error err = {0};
        (void)snprintf(path, sizeof path, GOLDEN "%s", privates[i]);
        cr_expect_eq(covey_key_read(file_text(path), &key, &err), COVEY_INVALID, "%s", privates[i]);
        cr_expect(strstr(err.text, "P-256") != NULL, "%s", err.text);
        cr_expect_null(key);
    }
    for (size_t i = 0; i < sizeof publics / sizeof publics[0]; i++) {
        char path[512];
        struct covey_public_key key;
        struct covey_error err = {0};
        (void)snprintf(path, sizeof path, GOLDEN "%s", publics[i]);
        cr_expect_eq(covey_public_key_read(file_text(path), &key, &err), COVEY_INVALID, "%s", publics[i]);
    }
    struct covey_error err = {0};
    struct covey_key *key = NULL;
    cr_expect_eq(covey_key_read((struct covey_bytes){(const uint8_t *)"", 1}, &key, &err), COVEY_INVALID);
    cr_expect_eq(covey_key_load(scratch("absent"), &key, &err), COVEY_NOT_FOUND, "%s", err.text);
    cr_expect_eq(covey_key_load("/dev/null", &key, &err), COVEY_INVALID, "%s", err.text);
}

Test(keys, a_key_file_that_is_too_long_is_refused)
{
    struct covey_error err = {0};
    struct covey_key *key = NULL;
    char text[2 * COVEY_KEY_PEM_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    write_text(scratch("long"), text);
    cr_assert_eq(chmod(scratch("long"), 0600), 0);
    cr_expect_eq(covey_key_load(scratch("long"), &key, &err), COVEY_LIMIT, "%s", err.text);
}

Test(keys, pre_shared_keys)
{
    struct covey_error err = {0};
    struct covey_psk psk, other, again;
    char identity[COVEY_NAME_BYTES];
    cr_assert_eq(covey_psk_generate(&psk, &err), COVEY_OK);
    cr_assert_eq(covey_psk_generate(&other, &err), COVEY_OK);
    cr_expect_eq(psk.count, COVEY_PSK_BYTES);
    cr_expect_neq(memcmp(psk.bytes, other.bytes, psk.count), 0);
    cr_assert_eq(covey_psk_store(&psk, "field-7", scratch("a.psk"), &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(mode_of(scratch("a.psk")), 0600);
    cr_assert_eq(covey_psk_load(scratch("a.psk"), identity, &again, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(identity, "field-7");
    cr_expect_eq(again.count, psk.count);
    cr_expect_arr_eq(again.bytes, psk.bytes, psk.count);
    covey_psk_wipe(&psk);
    for (size_t i = 0; i < sizeof psk.bytes; i++)
        cr_expect_eq(psk.bytes[i], 0);
    cr_expect_eq(covey_psk_store(&again, "../field-7", scratch("b.psk"), &err), COVEY_INVALID);
    again.count = COVEY_PSK_MIN_BYTES - 1;
    cr_expect_eq(covey_psk_store(&again, "field-7", scratch("b.psk"), &err), COVEY_INVALID, "%s", err.text);
}

Test(keys, malformed_pre_shared_keys)
{
    static const char *const texts[] = {
        "",
        "\n",
        "field-7\n",
        "field-7 \n",
        "field-7 0011223344556677889900112233445\n",  /* odd */
        "field-7 00112233445566778899001122334\n",    /* short */
        "field-7 001122334455667788990011223344gg\n", /* no hexadecimal */
        "field-7 00112233445566778899001122334455 more\n",
        "../etc 00112233445566778899001122334455\n",
        " 00112233445566778899001122334455\n",
        "field-7 0011223344556677889900112233445500112233445566778899001122334455001122\n", /* long */
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct covey_error err = {0};
        struct covey_psk psk;
        char identity[COVEY_NAME_BYTES];
        write_text(scratch("bad.psk"), texts[i]);
        cr_assert_eq(chmod(scratch("bad.psk"), 0600), 0);
        cr_expect_eq(covey_psk_load(scratch("bad.psk"), identity, &psk, &err), COVEY_INVALID, "'%s'",
                     texts[i]);
    }
}
