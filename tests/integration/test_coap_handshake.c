/* Who is let in and who is not, over real DTLS: each refusal with its own message on both sides, and nothing
 * lost: a right device is served before and after. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coap_rig.h"
#include "covey/certificates.h"
#include "covey/keys.h"

#define YEAR_S (365 * 86400ll)

struct authority {
    struct covey_key *key;
    char pem[COVEY_CERTIFICATE_PEM_BYTES];
    size_t pem_bytes;
};

struct identity {
    char chain[COVEY_CERTIFICATE_PEM_BYTES], key[COVEY_KEY_PEM_BYTES];
    size_t chain_bytes, key_bytes;
};

static struct authority make_authority(const char *name)
{
    struct authority authority = {0};
    struct covey_error err = {0};
    int64_t now = time(NULL);
    struct covey_certificate_order order = {.usage = COVEY_USAGE_CA,
                                            .common_name = name,
                                            .not_before_s = now - 2 * YEAR_S,
                                            .not_after_s = now + 2 * YEAR_S};
    cr_assert_eq(covey_key_generate(&authority.key, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_certificate_make_ca(authority.key, &order, authority.pem, sizeof authority.pem,
                                           &authority.pem_bytes, &err),
                 COVEY_OK, "%s", err.text);
    return authority;
}

static struct identity issue(const struct authority *authority, enum covey_usage usage, const char *name,
                             const char *dns_name, int64_t from_s, int64_t to_s)
{
    struct identity identity = {0};
    struct covey_error err = {0};
    struct covey_key *key;
    struct covey_public_key public_key;
    int64_t now = time(NULL);
    const char *names[] = {dns_name};
    struct covey_certificate_order order = {.usage = usage,
                                            .common_name = name,
                                            .names = usage == COVEY_USAGE_SERVER ? names : NULL,
                                            .name_count = usage == COVEY_USAGE_SERVER ? 1 : 0,
                                            .not_before_s = now + from_s,
                                            .not_after_s = now + to_s};
    cr_assert_eq(covey_key_generate(&key, &err), COVEY_OK);
    cr_assert_eq(covey_key_public(key, &public_key, &err), COVEY_OK);
    cr_assert_eq(
        covey_certificate_issue((struct covey_bytes){(const uint8_t *)authority->pem, authority->pem_bytes},
                                authority->key, &public_key, &order, identity.chain, sizeof identity.chain,
                                &identity.chain_bytes, &err),
        COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_key_write(key, identity.key, sizeof identity.key, &identity.key_bytes, &err),
                 COVEY_OK);
    covey_key_destroy(key);
    return identity;
}

static struct covey_bytes text_view(const char *text, size_t size)
{
    return (struct covey_bytes){(const uint8_t *)text, size};
}

static struct covey_credentials credentials_of(enum covey_side side, const struct identity *own,
                                               const struct authority *peer_ca,
                                               struct covey_peer_policy *policy)
{
    struct covey_credentials credentials = {
        .side = side, .check_peer = covey_certificate_policy, .check_user = policy};
    credentials.peer_ca_pem = text_view(peer_ca->pem, peer_ca->pem_bytes);
    if (own != NULL) {
        credentials.chain_pem = text_view(own->chain, own->chain_bytes);
        credentials.key_pem = text_view(own->key, own->key_bytes);
    }
    if (policy->server_name != NULL)
        snprintf(credentials.server_name, sizeof credentials.server_name, "%s", policy->server_name);
    return credentials;
}

struct kit {
    struct authority server_ca, device_ca, other_ca;
    struct identity server, lamp;
    struct covey_peer_policy of_devices, of_server;
    struct covey_credentials server_side, lamp_side;
    struct rig *rig;
};

static struct kit *kit_start(void)
{
    struct kit *kit = calloc(1, sizeof *kit);
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    kit->server_ca = make_authority("server CA");
    kit->device_ca = make_authority("device CA");
    kit->other_ca = make_authority("other CA");
    kit->server = issue(&kit->server_ca, COVEY_USAGE_SERVER, "covey", "covey.example", -YEAR_S, YEAR_S);
    kit->lamp = issue(&kit->device_ca, COVEY_USAGE_DEVICE, "lamp", NULL, -YEAR_S, YEAR_S);
    kit->of_devices = (struct covey_peer_policy){.peer = COVEY_SIDE_DEVICE};
    kit->of_server = (struct covey_peer_policy){.peer = COVEY_SIDE_SERVER, .server_name = "covey.example"};
    kit->server_side = credentials_of(COVEY_SIDE_SERVER, &kit->server, &kit->device_ca, &kit->of_devices);
    kit->lamp_side = credentials_of(COVEY_SIDE_DEVICE, &kit->lamp, &kit->server_ca, &kit->of_server);
    kit->rig = rig_start(&kit->server_side, 100, 1);
    return kit;
}

static void kit_stop(struct kit *kit)
{
    rig_stop(kit->rig);
    covey_key_destroy(kit->server_ca.key);
    covey_key_destroy(kit->device_ca.key);
    covey_key_destroy(kit->other_ca.key);
    free(kit);
}

static void expect_served(struct kit *kit)
{
    struct answer answer;
    struct device *device = device_start(&kit->lamp_side);
    cr_assert(device_connect(device, kit->rig->address), "%s", device->reason.text);
    cr_assert(device_ask(
        device, &(struct covey_request){.method = COVEY_PUT, .path = "x", .body = {(const uint8_t *)"1", 1}},
        &answer, RIG_PATIENCE_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CHANGED);
    cr_assert_str_eq(kit->rig->last_name, "lamp");
    device_stop(device);
}

/* Both sides say why: the device is told, it does not give up at the end of its own patience (COVEY_TIMEOUT).
 */
static void expect_refused(struct kit *kit, const struct covey_credentials *credentials,
                           const char *device_says, const char *server_says)
{
    struct device *device = device_start(credentials);
    cr_assert_not(device_connect(device, kit->rig->address));
    cr_assert_not_null(strstr(device->reason.text, device_says), "the device says '%s'", device->reason.text);
    cr_assert_eq(device->reason.status, COVEY_DENIED, "%s", covey_status_text(device->reason.status));
    cr_assert(rig_await_log(kit->rig, server_says), "the server's log: %s", kit->rig->log_text);
    cr_assert_eq(atomic_load(&kit->rig->served), 0 + kit->rig->uploads, "nobody was served who should not");
    device_stop(device);
}

Test(handshake, right_device_is_served, .timeout = 900)
{
    struct kit *kit = kit_start();
    expect_served(kit);
    expect_served(kit);
    kit_stop(kit);
}

Test(handshake, no_certificate, .timeout = 900)
{
    struct kit *kit = kit_start();
    expect_served(kit);
    struct covey_credentials bare = credentials_of(COVEY_SIDE_DEVICE, NULL, &kit->server_ca, &kit->of_server);
    expect_refused(kit, &bare, "no certificate", "showed no certificate");
    expect_served(kit);
    kit_stop(kit);
}

Test(handshake, another_authority, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct identity stranger = issue(&kit->other_ca, COVEY_USAGE_DEVICE, "lamp", NULL, -YEAR_S, YEAR_S);
    struct covey_credentials side =
        credentials_of(COVEY_SIDE_DEVICE, &stranger, &kit->server_ca, &kit->of_server);
    expect_refused(kit, &side, "another certificate authority", "the device's certificate");
    expect_served(kit);
    kit_stop(kit);
}

Test(handshake, server_certificate_used_by_a_device, .timeout = 900)
{
    struct kit *kit = kit_start();
    /* of the right authority even, so that only the usage is wrong */
    struct identity wrong =
        issue(&kit->device_ca, COVEY_USAGE_SERVER, "lamp", "covey.example", -YEAR_S, YEAR_S);
    struct covey_credentials side =
        credentials_of(COVEY_SIDE_DEVICE, &wrong, &kit->server_ca, &kit->of_server);
    expect_refused(kit, &side, "refused our certificate", "made for a device");
    /* and the server's own, whose authority is another */
    side = credentials_of(COVEY_SIDE_DEVICE, &kit->server, &kit->server_ca, &kit->of_server);
    expect_refused(kit, &side, "refused our certificate", "the device");
    expect_served(kit);
    kit_stop(kit);
}

Test(handshake, expired_device, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct identity old = issue(&kit->device_ca, COVEY_USAGE_DEVICE, "lamp", NULL, -YEAR_S, -86400);
    struct covey_credentials side = credentials_of(COVEY_SIDE_DEVICE, &old, &kit->server_ca, &kit->of_server);
    expect_refused(kit, &side, "expired", "expired on");
    expect_served(kit);
    kit_stop(kit);
}

/* The server with another certificate: what the device says, and what its alert makes the server say. */
static void expect_server_refused(struct kit *kit, const struct identity *server, const char *device_says,
                                  const char *server_says)
{
    uint16_t port = kit->rig->port;
    rig_stop_server(kit->rig);
    struct covey_credentials right = kit->rig->server_credentials;
    kit->rig->server_credentials =
        credentials_of(COVEY_SIDE_SERVER, server, &kit->device_ca, &kit->of_devices);
    rig_start_server(kit->rig, port, 1);
    expect_refused(kit, &kit->lamp_side, device_says, server_says);
    rig_stop_server(kit->rig);
    kit->rig->server_credentials = right;
    rig_start_server(kit->rig, port, 1);
    expect_served(kit);
}

Test(handshake, device_certificate_used_by_a_server, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct identity wrong = issue(&kit->server_ca, COVEY_USAGE_DEVICE, "covey", NULL, -YEAR_S, YEAR_S);
    /* Mbed TLS does not even show it; one that did would be refused by the policy (test_peer_policy.c). */
    expect_server_refused(kit, &wrong, "made for a server", "our own certificate is not made for us");
    kit_stop(kit);
}

Test(handshake, server_of_another_authority, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct identity wrong =
        issue(&kit->other_ca, COVEY_USAGE_SERVER, "covey", "covey.example", -YEAR_S, YEAR_S);
    expect_server_refused(kit, &wrong, "the server's certificate", "another certificate authority");
    kit_stop(kit);
}

Test(handshake, expired_server, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct identity old =
        issue(&kit->server_ca, COVEY_USAGE_SERVER, "covey", "covey.example", -YEAR_S, -86400);
    expect_server_refused(kit, &old, "expired on", "the device refused our certificate");
    kit_stop(kit);
}

Test(handshake, wrong_server_name, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct covey_peer_policy other = {.peer = COVEY_SIDE_SERVER, .server_name = "other.example"};
    struct covey_credentials side = credentials_of(COVEY_SIDE_DEVICE, &kit->lamp, &kit->server_ca, &other);
    expect_refused(kit, &side, "is not for 'other.example'", "the device refused our certificate");
    expect_served(kit);
    kit_stop(kit);
}

/* An address as the server's name: Mbed TLS gets a placeholder, the policy looks at the address (fault 5). */
Test(handshake, server_named_by_address, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct identity server =
        issue(&kit->server_ca, COVEY_USAGE_SERVER, "covey", "127.0.0.1", -YEAR_S, YEAR_S);
    uint16_t port = kit->rig->port;
    rig_stop_server(kit->rig);
    kit->rig->server_credentials =
        credentials_of(COVEY_SIDE_SERVER, &server, &kit->device_ca, &kit->of_devices);
    rig_start_server(kit->rig, port, 1);
    kit->of_server.server_name = "127.0.0.1";
    kit->lamp_side = credentials_of(COVEY_SIDE_DEVICE, &kit->lamp, &kit->server_ca, &kit->of_server);
    expect_served(kit);
    kit_stop(kit);
}

/* ---- pre-shared keys ---- */

static void expect_psk_refused(struct rig *rig, const struct covey_credentials *credentials,
                               const char *device_says, const char *server_says)
{
    struct device *device = device_start(credentials);
    cr_assert_not(device_connect(device, rig->address));
    cr_assert_eq(device->reason.status, COVEY_DENIED, "told, not given up: %s",
                 covey_status_text(device->reason.status));
    cr_assert_not_null(strstr(device->reason.text, device_says), "the device says '%s'", device->reason.text);
    cr_assert(rig_await_log(rig, server_says), "the server's log: %s", rig->log_text);
    cr_assert_eq(atomic_load(&rig->served), 0);
    device_stop(device);
}

Test(handshake, wrong_psk, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct covey_credentials credentials = rig_psk("device-1");
    credentials.psk[3] ^= 1;
    expect_psk_refused(rig, &credentials, "pre-shared key differs", "pre-shared key differs");
    rig_stop(rig);
}

Test(handshake, unknown_identity, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct covey_credentials credentials = rig_psk("stranger");
    expect_psk_refused(rig, &credentials, "does not know", "no pre-shared key is known");
    rig_stop(rig);
}

Test(handshake, key_against_certificates, .timeout = 900)
{
    struct kit *kit = kit_start();
    struct covey_credentials credentials = rig_psk("device-1");
    struct device *device = device_start(&credentials);
    cr_assert_not(device_connect(device, kit->rig->address));
    cr_assert_not_null(strstr(device->reason.text, "it wants a certificate"), "the device says '%s'",
                       device->reason.text);
    device_stop(device);
    expect_served(kit);
    kit_stop(kit);
}

/* ---- what is not there ---- */

Test(handshake, nobody_listens, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct covey_credentials credentials = rig_psk("device-1");
    struct device *device = device_start(&credentials);
    char address[64];
    snprintf(address, sizeof address, "%s", rig->address);
    rig_stop_server(rig);
    cr_assert_not(device_connect(device, address));
    cr_assert_eq(device->reason.status, COVEY_NOT_FOUND, "found out, not given up: %s",
                 covey_status_text(device->reason.status));
    cr_assert_not_null(strstr(device->reason.text, "no server listens"), "%s", device->reason.text);
    cr_assert_not(device_connect(device, "no-such-name.invalid:5684"));
    cr_assert_eq(device->reason.status, COVEY_NOT_FOUND);
    static const char *const wrong[] = {"localhost:0", "localhost:70000", "::1:5684", "[::1", ":5684", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(device->link.ops->connect(device->link.link, wrong[i], NULL), COVEY_INVALID, "%s",
                     wrong[i]);
    device_stop(device);
    rig_stop(rig);
}

Test(handshake, credentials_are_looked_at, .timeout = 900)
{
    struct covey_link_handle link;
    struct covey_host_handle host;
    struct covey_error err = {0};
    struct covey_credentials none = {.side = COVEY_SIDE_DEVICE};
    struct covey_coap_link_config config = {.credentials = &none};
    cr_assert_eq(covey_coap_link_create(&config, &link, &err), COVEY_INVALID);
    none.side = COVEY_SIDE_SERVER;
    cr_assert_eq(covey_coap_link_create(&config, &link, &err), COVEY_INVALID);
    struct covey_coap_host_config host_config = {.credentials = &none};
    cr_assert_eq(covey_coap_host_create(&host_config, &host, &err), COVEY_INVALID);
    none.peer_ca_pem = text_view("no pem", 7);
    cr_assert_eq(covey_coap_host_create(&host_config, &host, &err), COVEY_INVALID);
}
