/* Who is let in: certificates made by Python's cryptography (OpenSSL), judged at a fixed time. */
#include <criterion/criterion.h>
#include <string.h>

#include "covey/certificates.h"
#include "security_files.h"

TestSuite(peer_policy, .init = scratch_make, .fini = scratch_remove);

#define DURING 1782000000ll /* June 2026; the vectors count from 2026-01-01 to 2027-01-01 */
#define BEFORE 1700000000ll
#define AFTER 1800000000ll

static int64_t fixed_time(void *user)
{
    return *(const int64_t *)user;
}

struct judged {
    enum covey_status status;
    char name[COVEY_NAME_BYTES];
    struct covey_error err;
};

static struct judged judge(enum covey_side peer, const char *server_name, const char *vector, uint32_t flags,
                           int64_t now)
{
    struct covey_peer_policy policy = {
        .peer = peer, .server_name = server_name, .wall_s = fixed_time, .wall_user = &now};
    struct judged judged = {0};
    const struct covey_bytes leaf =
        vector != NULL ? golden_named("certificates.hex", vector) : (struct covey_bytes){0};
    judged.status = covey_certificate_policy(&policy, leaf, flags, judged.name, &judged.err);
    return judged;
}

static void expect_in(enum covey_side peer, const char *server_name, const char *vector, const char *name)
{
    const struct judged judged = judge(peer, server_name, vector, 0, DURING);
    cr_expect_eq(judged.status, COVEY_OK, "%s: %s", vector, judged.err.text);
    cr_expect_str_eq(judged.name, name, "%s", vector);
}

static void expect_out(const struct judged *judged, const char *vector, const char *text)
{
    cr_expect_eq(judged->status, COVEY_DENIED, "%s was let in", vector);
    cr_expect(strstr(judged->err.text, text) != NULL, "%s: '%s' does not say '%s'", vector, judged->err.text,
              text);
    cr_expect_str_eq(judged->name, "", "%s", vector);
}

Test(peer_policy, devices_that_are_let_in)
{
    expect_in(COVEY_SIDE_DEVICE, NULL, "device", "sensor-1");
    expect_in(COVEY_SIDE_DEVICE, NULL, "device-serial-20", "sensor-1");
    expect_in(COVEY_SIDE_DEVICE, NULL, "device-serial-high", "sensor-1");
    expect_in(COVEY_SIDE_DEVICE, NULL, "device-forever", "sensor-1");
    expect_in(COVEY_SIDE_DEVICE, NULL, "device-63",
              "sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss");
}

Test(peer_policy, devices_that_are_not)
{
    static const struct {
        const char *vector, *text;
    } cases[] = {
        {"server", "the device shows a server's certificate ('localhost'): it needs one made for a device"},
        {"device-both", "neither a server's nor a device's"},
        {"device-any", "neither a server's nor a device's"},
        {"device-code", "neither a server's nor a device's"},
        {"device-no-purpose", "neither a server's nor a device's"},
        {"device-no-signing", "neither a server's nor a device's"},
        {"device-ca", "an authority's certificate"},
        {"device-two-names", "no valid device name ('')"},
        {"device-no-name", "no valid device name"},
        {"device-slash", "no valid device name ('../sensor-1')"},
        {"device-space", "no valid device name"},
        {"device-newline", "no valid device name ('')"},
        {"device-utf8", "no valid device name ('')"},
        {"device-long", "no valid device name ('')"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct judged judged = judge(COVEY_SIDE_DEVICE, NULL, cases[i].vector, 0, DURING);
        expect_out(&judged, cases[i].vector, cases[i].text);
    }
}

Test(peer_policy, servers_by_name)
{
    static const struct {
        const char *vector, *wanted;
        const char *text; /* NULL: let in */
    } cases[] = {
        {"server", "fl.example.org", NULL},
        {"server", "FL.example.org", NULL},
        {"server", "a.edge.example.org", NULL},
        {"server", "192.0.2.1", NULL},
        {"server", "2001:db8::1", NULL},
        {"server", "2001:0db8:0:0:0:0:0:1", NULL},
        {"server-other-kinds", "fl.example.org", NULL},
        {"server", "localhost", "not for 'localhost' but for 'fl.example.org' and others"},
        {"server", "example.org", "is not for"},
        {"server", "edge.example.org", "is not for"},
        {"server", "a.b.edge.example.org", "is not for"},
        {"server", "192.0.2.2", "is not for"},
        {"server", "2001:db8::2", "is not for"},
        {"server", "", "no name was set"},
        {"server", NULL, "no name was set"},
        {"server-common-name", "localhost", "not for 'localhost' but for 'nobody'"},
        {"server-address-as-name", "192.0.2.1", "is not for"},
        {"server-wild-tld", "example.org", "is not for"},
        {"server-wild-all", "localhost", "is not for"},
        {"server-wild-part", "fl.example.org", "is not for"},
        {"server-many", "fl.example.org", "is not for"}, /* the 20th name: past what is read */
        {"server-many", "n0.example.org", NULL},
        {"server-zero", "fl.example.org", "is not for"},
        {"device", "fl.example.org",
         "the server shows a device's certificate ('sensor-1'): it needs one made for a server"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].text == NULL) {
            expect_in(COVEY_SIDE_SERVER, cases[i].wanted, cases[i].vector, cases[i].wanted);
            continue;
        }
        const struct judged judged = judge(COVEY_SIDE_SERVER, cases[i].wanted, cases[i].vector, 0, DURING);
        expect_out(&judged, cases[i].vector, cases[i].text);
    }
}

Test(peer_policy, times)
{
    struct judged judged = judge(COVEY_SIDE_DEVICE, NULL, "device", 0, AFTER);
    expect_out(&judged, "expired",
               "the device's certificate ('sensor-1') expired on 2027-01-01 00:00:00 UTC");
    judged = judge(COVEY_SIDE_DEVICE, NULL, "device", COVEY_VERIFY_EXPIRED, AFTER);
    expect_out(&judged, "expired", "expired on");
    judged = judge(COVEY_SIDE_DEVICE, NULL, "device", 0, BEFORE);
    expect_out(&judged, "future", "not valid before 2026-01-01 00:00:00 UTC, and here it is 2023-11-14");
    judged = judge(COVEY_SIDE_DEVICE, NULL, "device", COVEY_VERIFY_EXPIRED, DURING);
    expect_out(&judged, "CA expired", "the authority of the device's certificate ('sensor-1') has expired");
    judged = judge(COVEY_SIDE_DEVICE, NULL, "device", COVEY_VERIFY_FUTURE, DURING);
    expect_out(&judged, "CA future", "is not valid yet");
    judged = judge(COVEY_SIDE_SERVER, "fl.example.org", "server", 0, AFTER);
    expect_out(&judged, "expired", "the server's certificate ('localhost') expired on");
    cr_expect_eq(judge(COVEY_SIDE_DEVICE, NULL, "device", 0, 1767225600).status, COVEY_OK,
                 "its first second");
    cr_expect_eq(judge(COVEY_SIDE_DEVICE, NULL, "device", 0, 1798761600).status, COVEY_OK, "its last second");
    cr_expect_eq(judge(COVEY_SIDE_DEVICE, NULL, "device", 0, 1767225599).status, COVEY_DENIED);
    cr_expect_eq(judge(COVEY_SIDE_DEVICE, NULL, "device", 0, 1798761601).status, COVEY_DENIED);
}

Test(peer_policy, chains)
{
    struct judged judged = judge(COVEY_SIDE_DEVICE, NULL, "device", COVEY_VERIFY_NOT_TRUSTED, DURING);
    expect_out(&judged, "other CA", "comes from another authority ('Test device CA')");
    judged = judge(COVEY_SIDE_SERVER, "fl.example.org", "server", COVEY_VERIFY_NOT_TRUSTED, DURING);
    expect_out(&judged, "other CA", "the server's certificate ('localhost') comes from another authority");
    /* A server's certificate at the server's door is never signed by the device CA: its own message all the
     * same. */
    judged = judge(COVEY_SIDE_DEVICE, NULL, "server", COVEY_VERIFY_NOT_TRUSTED, DURING);
    expect_out(&judged, "server's", "a server's certificate");
    judged = judge(COVEY_SIDE_SERVER, "fl.example.org", "device", COVEY_VERIFY_NOT_TRUSTED, DURING);
    expect_out(&judged, "device's", "a device's certificate");
    /* Whatever else Mbed TLS finds wrong is wrong; only the name is judged by ourselves. */
    for (unsigned bit = 0; bit < 32; bit++) {
        const uint32_t flag = 1u << bit;
        judged = judge(COVEY_SIDE_DEVICE, NULL, "device", flag, DURING);
        cr_expect_eq(judged.status, flag == COVEY_VERIFY_WRONG_NAME ? COVEY_OK : COVEY_DENIED, "flag 0x%x",
                     flag);
    }
    judged = judge(COVEY_SIDE_SERVER, "192.0.2.1", "server", COVEY_VERIFY_WRONG_NAME, DURING);
    cr_expect_eq(judged.status, COVEY_OK, "Mbed TLS compares the SNI, which is no address: %s",
                 judged.err.text);
}

Test(peer_policy, no_certificate_and_garbage)
{
    struct judged judged = judge(COVEY_SIDE_DEVICE, NULL, NULL, 0, DURING);
    expect_out(&judged, "none", "the device shows no certificate");
    judged = judge(COVEY_SIDE_SERVER, "fl.example.org", NULL, 0, DURING);
    expect_out(&judged, "none", "the server shows no certificate");
    struct covey_peer_policy policy = {.peer = COVEY_SIDE_DEVICE};
    const struct covey_bytes good = golden_named("certificates.hex", "device");
    uint8_t bytes[1024];
    for (size_t size = 1; size < good.size; size++) {
        memset(&judged, 0, sizeof judged);
        memcpy(bytes, good.data, size);
        judged.status =
            covey_certificate_policy(&policy, (struct covey_bytes){bytes, size}, 0, judged.name, &judged.err);
        expect_out(&judged, "truncated", "cannot be read");
    }
    memset(&judged, 0, sizeof judged);
    judged.status = covey_certificate_policy(&policy, golden_named("certificates.hex", "device-code"), 0,
                                             judged.name, NULL);
    cr_expect_eq(judged.status, COVEY_DENIED, "by the machine's own clock, and without err");
}

static bool withdrawn(void *user, const char *name, const char *serial)
{
    cr_expect_str_eq(name, "sensor-1");
    return strcmp(serial, user) == 0;
}

Test(peer_policy, the_deny_list_is_asked)
{
    int64_t now = DURING;
    char serial[] = "1234567890abcdef", other[] = "1234567890abcdee", name[COVEY_NAME_BYTES];
    struct covey_peer_policy policy = {.peer = COVEY_SIDE_DEVICE,
                                       .wall_s = fixed_time,
                                       .wall_user = &now,
                                       .revoked = withdrawn,
                                       .revoked_user = serial};
    struct covey_error err = {0};
    const struct covey_bytes leaf = golden_named("certificates.hex", "device");
    cr_expect_eq(covey_certificate_policy(&policy, leaf, 0, name, &err), COVEY_DENIED);
    cr_expect(strstr(err.text, "('sensor-1', serial 1234567890abcdef) was withdrawn") != NULL, "%s",
              err.text);
    policy.revoked_user = other;
    cr_expect_eq(covey_certificate_policy(&policy, leaf, 0, name, &err), COVEY_OK, "%s", err.text);
}
