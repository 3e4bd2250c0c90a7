#include <criterion/criterion.h>
#include <string.h>

#include "covey/certificates.h"
#include "security_files.h"

TestSuite(certificates, .init = scratch_make, .fini = scratch_remove);

#define NOW 1800000000ll
#define DAY 86400ll

/* An authority of a test. */
struct ca {
    struct covey_key *key;
    char pem[COVEY_CERTIFICATE_PEM_BYTES];
    size_t size;
};

static struct covey_bytes view(const char *pem, size_t size)
{
    return (struct covey_bytes){(const uint8_t *)pem, size};
}

static struct ca make_ca(const char *name)
{
    struct ca ca = {.key = new_key()};
    const struct covey_certificate_order order = {.usage = COVEY_USAGE_CA,
                                                  .common_name = name,
                                                  .not_before_s = NOW - DAY,
                                                  .not_after_s = NOW + 365 * DAY};
    struct covey_error err = {0};
    cr_assert_eq(covey_certificate_make_ca(ca.key, &order, ca.pem, sizeof ca.pem, &ca.size, &err), COVEY_OK,
                 "%s", err.text);
    return ca;
}

static struct covey_certificate_order device_order(void)
{
    return (struct covey_certificate_order){.usage = COVEY_USAGE_DEVICE,
                                            .common_name = "sensor-1",
                                            .not_before_s = NOW - DAY,
                                            .not_after_s = NOW + DAY};
}

static enum covey_status issue(const struct ca *ca, const struct covey_certificate_order *order,
                               struct covey_certificate_facts *facts, struct covey_error *err)
{
    char pem[COVEY_CERTIFICATE_PEM_BYTES];
    size_t size = 0;
    struct covey_key *key = new_key();
    const struct covey_public_key subject = public_half(key);
    enum covey_status status = covey_certificate_issue(view(ca->pem, ca->size), ca->key, &subject, order, pem,
                                                       sizeof pem, &size, err);
    if (status == COVEY_OK) {
        struct covey_public_key inside;
        cr_assert_eq(covey_certificate_describe(view(pem, size), facts, err), COVEY_OK, "%s", err->text);
        cr_assert_eq(covey_certificate_public_key(view(pem, size), &inside, err), COVEY_OK);
        cr_expect_arr_eq(inside.point, subject.point, sizeof subject.point);
    }
    covey_key_destroy(key);
    return status;
}

Test(certificates, an_authority_describes_itself)
{
    struct ca ca = make_ca("Test CA 01");
    struct covey_certificate_facts facts;
    struct covey_error err = {0};
    cr_assert_eq(covey_certificate_describe(view(ca.pem, ca.size), &facts, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(facts.usage, COVEY_USAGE_CA);
    cr_expect_str_eq(facts.common_name, "Test CA 01");
    cr_expect_str_eq(facts.issuer, "Test CA 01");
    cr_expect_eq(facts.not_before_s, NOW - DAY);
    cr_expect_eq(facts.not_after_s, NOW + 365 * DAY);
    cr_expect_eq(strlen(facts.serial), 32);
    covey_key_destroy(ca.key);
}

Test(certificates, a_device)
{
    struct ca ca = make_ca("Test CA");
    const struct covey_certificate_order order = device_order();
    struct covey_certificate_facts facts, again;
    struct covey_error err = {0};
    cr_assert_eq(issue(&ca, &order, &facts, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(facts.usage, COVEY_USAGE_DEVICE);
    cr_expect_str_eq(facts.common_name, "sensor-1");
    cr_expect_str_eq(facts.issuer, "Test CA");
    cr_expect_eq(facts.not_before_s, order.not_before_s);
    cr_expect_eq(facts.not_after_s, order.not_after_s);
    cr_expect_eq(facts.name_count, 0);
    cr_assert_eq(issue(&ca, &order, &again, &err), COVEY_OK);
    cr_expect_str_neq(facts.serial, again.serial);
    cr_expect_neq(memcmp(&facts.fingerprint, &again.fingerprint, sizeof facts.fingerprint), 0);
    covey_key_destroy(ca.key);
}

Test(certificates, a_server_with_names_and_addresses)
{
    static const char *const names[] = {"fl.example.org", "*.edge.example.org", "192.0.2.7", "2001:db8::7"};
    struct ca ca = make_ca("Test CA");
    const struct covey_certificate_order order = {.usage = COVEY_USAGE_SERVER,
                                                  .common_name = names[0],
                                                  .names = names,
                                                  .name_count = 4,
                                                  .not_before_s = NOW,
                                                  .not_after_s = NOW + DAY};
    struct covey_certificate_facts facts;
    struct covey_error err = {0};
    cr_assert_eq(issue(&ca, &order, &facts, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(facts.usage, COVEY_USAGE_SERVER);
    cr_assert_eq(facts.name_count, 4);
    for (size_t i = 0; i < 4; i++)
        cr_expect_str_eq(facts.names[i], names[i]);
    covey_key_destroy(ca.key);
}

Test(certificates, bad_orders_are_refused)
{
    static const char *const good[] = {"a.example.org"}, *const spaced[] = {"a b"}, *const empty[] = {""};
    static const struct {
        enum covey_usage usage;
        const char *common_name;
        const char *const *names;
        size_t name_count;
        int64_t from, to;
        const char *text;
    } cases[] = {
        {COVEY_USAGE_DEVICE, "", NULL, 0, NOW, NOW + 1, "device's name"},
        {COVEY_USAGE_DEVICE, NULL, NULL, 0, NOW, NOW + 1, "device's name"},
        {COVEY_USAGE_DEVICE, "a/b", NULL, 0, NOW, NOW + 1, "device's name"},
        {COVEY_USAGE_DEVICE, ".hidden", NULL, 0, NOW, NOW + 1, "device's name"},
        {COVEY_USAGE_DEVICE, "-flag", NULL, 0, NOW, NOW + 1, "device's name"},
        {COVEY_USAGE_DEVICE, "a,O=b", NULL, 0, NOW, NOW + 1, "device's name"},
        {COVEY_USAGE_DEVICE, "1234567890123456789012345678901234567890123456789012345678901234", NULL, 0, NOW,
         NOW + 1, "device's name"},
        {COVEY_USAGE_DEVICE, "sensor-1", NULL, 0, NOW, NOW, "ends before it begins"},
        {COVEY_USAGE_DEVICE, "sensor-1", NULL, 0, -5, NOW, "no time"},
        {COVEY_USAGE_DEVICE, "sensor-1", NULL, 0, NOW, 300000000000ll, "no time"},
        {COVEY_USAGE_SERVER, "a.example.org", NULL, 0, NOW, NOW + 1, "names"},
        {COVEY_USAGE_SERVER, "a.example.org", good, 17, NOW, NOW + 1, "names"},
        {COVEY_USAGE_SERVER, "a.example.org", spaced, 1, NOW, NOW + 1, "neither a DNS name"},
        {COVEY_USAGE_SERVER, "a.example.org", empty, 1, NOW, NOW + 1, "neither a DNS name"},
        {COVEY_USAGE_SERVER, "a,O=evil", good, 1, NOW, NOW + 1, "common name"},
        {COVEY_USAGE_CA, "sub-ca", NULL, 0, NOW, NOW + 1, "servers and devices only"},
        {COVEY_USAGE_OTHER, "x", NULL, 0, NOW, NOW + 1, "servers and devices only"},
    };
    struct ca ca = make_ca("Test CA");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct covey_certificate_order order = {.usage = cases[i].usage,
                                                      .common_name = cases[i].common_name,
                                                      .names = cases[i].names,
                                                      .name_count = cases[i].name_count,
                                                      .not_before_s = cases[i].from,
                                                      .not_after_s = cases[i].to};
        struct covey_certificate_facts facts;
        struct covey_error err = {0};
        cr_expect_neq(issue(&ca, &order, &facts, &err), COVEY_OK, "case %zu", i);
        cr_expect(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
    }
    covey_key_destroy(ca.key);
}

Test(certificates, only_the_authority_s_own_key_signs)
{
    struct ca ca = make_ca("Test CA"), other = make_ca("Test CA");
    const struct covey_certificate_order order = device_order();
    struct covey_certificate_facts facts;
    struct covey_error err = {0};
    struct covey_key *right = ca.key;
    ca.key = other.key;
    cr_expect_eq(issue(&ca, &order, &facts, &err), COVEY_MISMATCH, "%s", err.text);
    ca.key = right;
    covey_key_destroy(ca.key);
    covey_key_destroy(other.key);
}

Test(certificates, a_leaf_signs_nothing)
{
    struct ca ca = make_ca("Test CA");
    struct ca leaf = {.key = new_key()};
    const struct covey_public_key subject = public_half(leaf.key);
    const struct covey_certificate_order order = device_order();
    struct covey_certificate_facts facts;
    struct covey_error err = {0};
    cr_assert_eq(covey_certificate_issue(view(ca.pem, ca.size), ca.key, &subject, &order, leaf.pem,
                                         sizeof leaf.pem, &leaf.size, &err),
                 COVEY_OK, "%s", err.text);
    cr_expect_eq(issue(&leaf, &order, &facts, &err), COVEY_INVALID);
    cr_expect(strstr(err.text, "no authority") != NULL, "%s", err.text);
    covey_key_destroy(leaf.key);
    covey_key_destroy(ca.key);
}

Test(certificates, requests)
{
    struct covey_key *key = new_key();
    const struct covey_public_key half = public_half(key);
    struct covey_public_key found;
    char pem[COVEY_CERTIFICATE_PEM_BYTES], name[COVEY_NAME_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    cr_assert_eq(covey_certificate_request_make(key, "sensor-9", pem, sizeof pem, &size, &err), COVEY_OK,
                 "%s", err.text);
    cr_assert_eq(covey_certificate_request_read(view(pem, size), name, &found, &err), COVEY_OK, "%s",
                 err.text);
    cr_expect_str_eq(name, "sensor-9");
    cr_expect_arr_eq(found.point, half.point, sizeof half.point);
    cr_expect_eq(covey_certificate_request_make(key, "a,b", pem, sizeof pem, &size, &err), COVEY_INVALID);
    covey_key_destroy(key);
}

/* Every character of a request's body changed: not signed by its key any more (or no request at all). */
Test(certificates, a_request_that_was_changed_is_refused)
{
    struct covey_key *key = new_key();
    struct covey_public_key found;
    char pem[COVEY_CERTIFICATE_PEM_BYTES], name[COVEY_NAME_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    cr_assert_eq(covey_certificate_request_make(key, "sensor-9", pem, sizeof pem, &size, &err), COVEY_OK);
    int denied = 0;
    char *body = strchr(pem, '\n') + 1, *end = strstr(pem, "-----END");
    for (char *at = body; at < end; at++) {
        const char before = *at;
        if (before == '\n' || before == '=' || at[1] == '=') /* some bits before the padding mean nothing */
            continue;
        *at = before == 'A' ? 'B' : 'A';
        if (*at != before) {
            enum covey_status status = covey_certificate_request_read(view(pem, size), name, &found, &err);
            cr_expect_neq(status, COVEY_OK, "byte %td", at - body);
            denied += status == COVEY_DENIED;
        }
        *at = before;
    }
    cr_expect_gt(denied, 50);
    covey_key_destroy(key);
}

Test(certificates, what_is_none_is_refused)
{
    struct covey_certificate_facts facts;
    struct covey_public_key key;
    struct covey_error err = {0};
    static const uint8_t zeroes[COVEY_CERTIFICATE_PEM_BYTES + 1];
    static const size_t sizes[] = {0, 1, 100, COVEY_CERTIFICATE_PEM_BYTES, COVEY_CERTIFICATE_PEM_BYTES + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        cr_expect_eq(covey_certificate_describe((struct covey_bytes){zeroes, sizes[i]}, &facts, &err),
                     COVEY_INVALID);
    cr_expect_eq(covey_certificate_describe(file_text(GOLDEN "keys/signer-public.pem"), &facts, &err),
                 COVEY_INVALID);
    cr_expect_eq(covey_certificate_public_key(golden_named("certificates.hex", "device-p384"), &key, &err),
                 COVEY_INVALID, "%s", err.text);
    cr_expect_eq(covey_certificate_public_key(golden_named("certificates.hex", "device"), &key, &err),
                 COVEY_OK);
}

Test(certificates, device_names)
{
    static const char *const good[] = {
        "a", "A-9", "sensor_1.left",
        "0", "_x",  "123456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      ".a",
                                      "-a",
                                      "a b",
                                      "a/b",
                                      "a\\b",
                                      "a\n",
                                      "a:b",
                                      "a%00",
                                      "\xc3\xa9",
                                      "1234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(covey_device_name_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(covey_device_name_is_valid(bad[i]), "%s", bad[i]);
    cr_expect_not(covey_device_name_is_valid(NULL));
}

Test(certificates, dns_names)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"a.example.org", "a.example.org", true},
        {"A.Example.ORG", "a.example.org", true},
        {"a.example.org", "b.example.org", false},
        {"a.example.org", "a.example.org.evil", false},
        {"*.example.org", "a.example.org", true},
        {"*.example.org", "example.org", false},
        {"*.example.org", "a.b.example.org", false},
        {"*.example.org", ".example.org", false},
        {"*.org", "example.org", false},
        {"*", "a", false},
        {"*", "*", false},
        {"*.example.org", "*.example.org", false},
        {"f*.example.org", "foo.example.org", false},
        {"*.*.org", "a.b.org", false},
        {"", "", false},
        {"a", "", false},
        {"", "a", false},
        {"localhost", "localhost", true},
        {"*.", "a.", false},
        {"*..org", "a..org", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(covey_dns_name_matches(cases[i].pattern, cases[i].name), cases[i].matches,
                     "'%s' and '%s'", cases[i].pattern, cases[i].name);
}
