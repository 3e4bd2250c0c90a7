/* Certificates (X.509 v3, P-256, SHA-256: RFC 5280): made, described, and judged.
 *
 * Two authorities that never mix: the server CA signs servers (extended key usage serverAuth, names in
 * subjectAltName), the device CA signs devices (clientAuth, the device's name as common name). Serials are 16
 * bytes from PSA's generator. covey_certificate_policy is the check that the DTLS transport runs for each
 * peer. Thread-safe throughout. */
#ifndef COVEY_CERTIFICATES_H
#define COVEY_CERTIFICATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/credentials.h"
#include "covey/keys.h"
#include "covey/status.h"

#define COVEY_CERTIFICATE_PEM_BYTES 4096 /* with the terminating zero */
#define COVEY_CERTIFICATE_NAMES 16       /* in subjectAltName */
#define COVEY_SERIAL_TEXT_BYTES 48 /* hexadecimal, with the terminating zero; serials have up to 20 bytes */

enum covey_usage {
    COVEY_USAGE_CA,     /* basicConstraints CA:TRUE pathlen:0; keyCertSign, cRLSign */
    COVEY_USAGE_SERVER, /* extended key usage serverAuth, and nothing else */
    COVEY_USAGE_DEVICE, /* clientAuth, and nothing else */
    COVEY_USAGE_OTHER   /* only in descriptions: none of these, or several */
};

/* What a certificate says. */
struct covey_certificate_facts {
    enum covey_usage usage;
    char common_name[COVEY_NAME_BYTES];
    char issuer[COVEY_NAME_BYTES]; /* the issuer's common name */
    char serial[COVEY_SERIAL_TEXT_BYTES];
    int64_t not_before_s, not_after_s; /* since 1970 UTC; both inclusive */
    uint32_t name_count;
    char names[COVEY_CERTIFICATE_NAMES][COVEY_NAME_BYTES]; /* DNS names, IP addresses as text */
    struct covey_hash fingerprint;                         /* SHA-256 of the DER */
};

/* What a new certificate shall say. */
struct covey_certificate_order {
    enum covey_usage usage;
    const char *common_name;  /* device: covey_device_name_is_valid */
    const char *const *names; /* server: DNS names or IP addresses; at least one */
    size_t name_count;        /* at most COVEY_CERTIFICATE_NAMES */
    int64_t not_before_s, not_after_s;
};

/* 1 to 63 of A-Z a-z 0-9 . _ - and the first one no dot or minus: safe as a file name, in a path and in a log
 * line. */
bool covey_device_name_is_valid(const char *name);

/* A self-signed authority for `order` (usage CA). out: PEM, *out_bytes counts the terminating zero. */
COVEY_MUST_CHECK enum covey_status covey_certificate_make_ca(const struct covey_key *key,
                                                             const struct covey_certificate_order *order,
                                                             char *out, size_t capacity, size_t *out_bytes,
                                                             struct covey_error *err);
/* A leaf for the owner of `subject`. MISMATCH when ca_key is not the key of ca_pem. */
COVEY_MUST_CHECK enum covey_status covey_certificate_issue(struct covey_bytes ca_pem,
                                                           const struct covey_key *ca_key,
                                                           const struct covey_public_key *subject,
                                                           const struct covey_certificate_order *order,
                                                           char *out, size_t capacity, size_t *out_bytes,
                                                           struct covey_error *err);

/* A certificate request (PKCS #10, RFC 2986): name and public key, signed by the key itself. */
COVEY_MUST_CHECK enum covey_status covey_certificate_request_make(const struct covey_key *key,
                                                                  const char *common_name, char *out,
                                                                  size_t capacity, size_t *out_bytes,
                                                                  struct covey_error *err);
/* Who asks, once the request's own signature was found right. Extensions that it asks for are ignored. */
COVEY_MUST_CHECK enum covey_status covey_certificate_request_read(struct covey_bytes pem,
                                                                  char common_name[COVEY_NAME_BYTES],
                                                                  struct covey_public_key *subject,
                                                                  struct covey_error *err);

/* certificate: PEM (zero counted) or DER. */
COVEY_MUST_CHECK enum covey_status covey_certificate_describe(struct covey_bytes certificate,
                                                              struct covey_certificate_facts *out,
                                                              struct covey_error *err);

/* Whose certificate it is: the subject's public key. INVALID when that is no P-256 key. */
COVEY_MUST_CHECK enum covey_status covey_certificate_public_key(struct covey_bytes certificate,
                                                                struct covey_public_key *out,
                                                                struct covey_error *err);

/* ---- the check of a peer ---- */

/* Bits of verify_flags that are told apart (Mbed TLS's own values; certificates.c asserts that). */
#define COVEY_VERIFY_EXPIRED 0x01u
#define COVEY_VERIFY_WRONG_NAME 0x04u
#define COVEY_VERIFY_NOT_TRUSTED 0x08u
#define COVEY_VERIFY_FUTURE 0x0200u

/* What a side accepts. Filled in by the credential store; borrowed by the transport through check_user. */
struct covey_peer_policy {
    enum covey_side
        peer; /* whose certificate is judged: SERVER when this side is a device, and the reverse */
    const char *server_name;       /* peer SERVER: DNS name or IP address that must be in subjectAltName */
    int64_t (*wall_s)(void *user); /* NULL: the machine's clock */
    void *wall_user;
    /* Is this certificate withdrawn? NULL: none is. Thread-safe. */
    bool (*revoked)(void *user, const char *name, const char *serial);
    void *revoked_user;
};

/* struct covey_credentials' check_peer; user is a struct covey_peer_policy. leaf_der empty: the peer showed
 * none. OK and the name (device: common name; server: the name that was asked for), or DENIED with one line
 * that says what is wrong and what to do: no certificate, another CA, wrong usage, expired, not yet valid,
 * wrong name, withdrawn, unreadable. */
enum covey_status covey_certificate_policy(void *user, struct covey_bytes leaf_der, uint32_t verify_flags,
                                           char name[COVEY_NAME_BYTES], struct covey_error *err);

/* Does a DNS name of a certificate match (RFC 6125: without regard to case, "*." stands for one leftmost
 * label)? */
bool covey_dns_name_matches(const char *pattern, const char *name);

#endif
