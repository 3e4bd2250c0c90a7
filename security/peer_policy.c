/* Is this the peer that we want? The check that each DTLS handshake ends with (covey/certificates.h). */
#include "covey/certificates.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIME_TEXT_BYTES 32

static const char *usage_text(enum covey_usage usage)
{
    switch (usage) {
    case COVEY_USAGE_CA:
        return "an authority's";
    case COVEY_USAGE_SERVER:
        return "a server's";
    case COVEY_USAGE_DEVICE:
        return "a device's";
    default:
        return "neither a server's nor a device's";
    }
}

static const char *side_text(enum covey_side side)
{
    return side == COVEY_SIDE_SERVER ? "server" : "device";
}

static void write_time(int64_t time_s, char out[TIME_TEXT_BYTES])
{
    const time_t time = (time_t)time_s;
    struct tm parts;
    if (gmtime_r(&time, &parts) == NULL ||
        strftime(out, TIME_TEXT_BYTES, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        (void)snprintf(out, TIME_TEXT_BYTES, "an unknown time");
}

static int64_t now_s(const struct covey_peer_policy *policy)
{
    return policy->wall_s != NULL ? policy->wall_s(policy->wall_user) : (int64_t)time(NULL);
}

/* A server's certificate shown by a device is seldom signed by the device CA: so its usage is looked at
 * first, for the clearer message. Nothing is believed before the chain was found valid. */
static enum covey_status check_usage(const struct covey_peer_policy *policy,
                                     const struct covey_certificate_facts *facts, struct covey_error *err)
{
    const enum covey_usage wanted =
        policy->peer == COVEY_SIDE_SERVER ? COVEY_USAGE_SERVER : COVEY_USAGE_DEVICE;
    if (facts->usage == wanted)
        return COVEY_OK;
    return covey_fail(err, COVEY_DENIED, "the %s shows %s certificate ('%s'): it needs one made for a %s",
                      side_text(policy->peer), usage_text(facts->usage), facts->common_name,
                      side_text(policy->peer));
}

static enum covey_status check_chain(const struct covey_peer_policy *policy,
                                     const struct covey_certificate_facts *facts, uint32_t flags,
                                     struct covey_error *err)
{
    const char *side = side_text(policy->peer);
    if ((flags & COVEY_VERIFY_NOT_TRUSTED) != 0)
        return covey_fail(
            err, COVEY_DENIED,
            "the %s's certificate ('%s') comes from another authority ('%s'): it needs one from this "
            "federation",
            side, facts->common_name, facts->issuer);
    /* The name is judged below, by rules that know addresses; the times too, for the leaf. */
    const uint32_t others = flags & ~(COVEY_VERIFY_WRONG_NAME | COVEY_VERIFY_EXPIRED | COVEY_VERIFY_FUTURE);
    if (others != 0)
        return covey_fail(err, COVEY_DENIED, "the %s's certificate ('%s') was not found valid (flags 0x%x)",
                          side, facts->common_name, (unsigned)others);
    return COVEY_OK;
}

static enum covey_status check_times(const struct covey_peer_policy *policy,
                                     const struct covey_certificate_facts *facts, uint32_t flags,
                                     struct covey_error *err)
{
    const char *side = side_text(policy->peer);
    const int64_t now = now_s(policy);
    char when[TIME_TEXT_BYTES], today[TIME_TEXT_BYTES];
    write_time(now, today);
    if (now > facts->not_after_s) {
        write_time(facts->not_after_s, when);
        return covey_fail(err, COVEY_DENIED, "the %s's certificate ('%s') expired on %s: it needs a new one",
                          side, facts->common_name, when);
    }
    if (now < facts->not_before_s) {
        write_time(facts->not_before_s, when);
        return covey_fail(
            err, COVEY_DENIED,
            "the %s's certificate ('%s') is not valid before %s, and here it is %s: is a clock wrong?", side,
            facts->common_name, when, today);
    }
    if ((flags & (COVEY_VERIFY_EXPIRED | COVEY_VERIFY_FUTURE)) != 0)
        return covey_fail(err, COVEY_DENIED,
                          "the authority of the %s's certificate ('%s') %s: here it is %s, is a clock wrong?",
                          side, facts->common_name,
                          (flags & COVEY_VERIFY_EXPIRED) != 0 ? "has expired" : "is not valid yet", today);
    return COVEY_OK;
}

/* An address is compared as an address: "::1" is "0:0:0:0:0:0:0:1". */
static bool same_address(const char *a, const char *b)
{
    uint8_t bytes[2][16];
    for (int family = AF_INET;; family = AF_INET6) {
        const size_t size = family == AF_INET ? 4 : 16;
        if (inet_pton(family, a, bytes[0]) == 1 && inet_pton(family, b, bytes[1]) == 1)
            return memcmp(bytes[0], bytes[1], size) == 0;
        if (family == AF_INET6)
            return false;
    }
}

static bool is_address(const char *name)
{
    uint8_t bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* By subjectAltName alone, never by the common name (RFC 6125 section 6.4.4). */
static enum covey_status check_server_name(const struct covey_peer_policy *policy,
                                           const struct covey_certificate_facts *facts,
                                           struct covey_error *err)
{
    const char *wanted = policy->server_name;
    if (wanted == NULL || wanted[0] == '\0')
        return covey_fail(err, COVEY_DENIED, "no name was set that the server's certificate must carry");
    const bool wants_address = is_address(wanted);
    for (uint32_t i = 0; i < facts->name_count; i++)
        if (wants_address ? same_address(facts->names[i], wanted)
                          : !is_address(facts->names[i]) && covey_dns_name_matches(facts->names[i], wanted))
            return COVEY_OK;
    return covey_fail(err, COVEY_DENIED, "the server's certificate is not for '%.70s' but for '%s'%s", wanted,
                      facts->name_count > 0 ? facts->names[0] : "nobody",
                      facts->name_count > 1 ? " and others" : "");
}

static enum covey_status check_name(const struct covey_peer_policy *policy,
                                    const struct covey_certificate_facts *facts, struct covey_error *err)
{
    if (policy->peer == COVEY_SIDE_SERVER)
        return check_server_name(policy, facts, err);
    if (!covey_device_name_is_valid(facts->common_name))
        return covey_fail(err, COVEY_DENIED, "the device's certificate carries no valid device name ('%s')",
                          facts->common_name);
    return COVEY_OK;
}

enum covey_status covey_certificate_policy(void *user, struct covey_bytes leaf_der, uint32_t verify_flags,
                                           char name[COVEY_NAME_BYTES], struct covey_error *err)
{
    const struct covey_peer_policy *policy = user;
    struct covey_certificate_facts facts;
    if (leaf_der.size == 0)
        return covey_fail(err, COVEY_DENIED, "the %s shows no certificate", side_text(policy->peer));
    if (covey_certificate_describe(leaf_der, &facts, NULL) != COVEY_OK)
        return covey_fail(err, COVEY_DENIED, "the %s's certificate cannot be read", side_text(policy->peer));
    COVEY_TRY(check_usage(policy, &facts, err));
    COVEY_TRY(check_chain(policy, &facts, verify_flags, err));
    COVEY_TRY(check_times(policy, &facts, verify_flags, err));
    COVEY_TRY(check_name(policy, &facts, err));
    if (policy->revoked != NULL && policy->revoked(policy->revoked_user, facts.common_name, facts.serial))
        return covey_fail(err, COVEY_DENIED, "the %s's certificate ('%s', serial %s) was withdrawn",
                          side_text(policy->peer), facts.common_name, facts.serial);
    const char *who = policy->peer == COVEY_SIDE_SERVER ? policy->server_name : facts.common_name;
    (void)snprintf(name, COVEY_NAME_BYTES, "%s", who);
    return COVEY_OK;
}
