#include "covey/certificates.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>

#include "covey/hash.h"
#include "key_pair.h"

_Static_assert(COVEY_VERIFY_EXPIRED == MBEDTLS_X509_BADCERT_EXPIRED, "Mbed TLS's value");
_Static_assert(COVEY_VERIFY_WRONG_NAME == MBEDTLS_X509_BADCERT_CN_MISMATCH, "Mbed TLS's value");
_Static_assert(COVEY_VERIFY_NOT_TRUSTED == MBEDTLS_X509_BADCERT_NOT_TRUSTED, "Mbed TLS's value");
_Static_assert(COVEY_VERIFY_FUTURE == MBEDTLS_X509_BADCERT_FUTURE, "Mbed TLS's value");

#define SERIAL_BYTES 16
#define KEY_IDENTIFIER_BYTES                                                                                 \
    20 /* RFC 7093 section 2, method 1: leftmost 160 bits of the SHA-256 of the point */
#define CERTIFICATE_DER_MAX 4096
#define NAME_PREFIX "CN="
#define CONTEXT_DNS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME)
#define CONTEXT_IP (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_IP_ADDRESS)

static enum covey_status fail_tls(struct covey_error *err, const char *what, int failed)
{
    return covey_fail(err, COVEY_CRYPTO, "cannot %s (Mbed TLS -0x%04x)", what, (unsigned)-failed);
}

/* ------------------------------------------------------------------ reading */

static int64_t seconds_of(const mbedtls_x509_time *time)
{
    struct tm parts = {.tm_year = time->year - 1900,
                       .tm_mon = time->mon - 1,
                       .tm_mday = time->day,
                       .tm_hour = time->hour,
                       .tm_min = time->min,
                       .tm_sec = time->sec};
    return (int64_t)timegm(&parts);
}

/* Bytes as a text of printable ASCII, or nothing: a name with a zero or a control character in it is no name.
 */
static bool copy_name(const unsigned char *bytes, size_t count, char out[COVEY_NAME_BYTES])
{
    if (count == 0 || count >= COVEY_NAME_BYTES)
        return false;
    for (size_t i = 0; i < count; i++)
        if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            return false;
    memcpy(out, bytes, count);
    out[count] = '\0';
    return true;
}

/* The common name, if there is exactly one and it fits. */
static void read_common_name(const mbedtls_x509_name *name, char out[COVEY_NAME_BYTES])
{
    unsigned count = 0;
    out[0] = '\0';
    for (; name != NULL; name = name->next) {
        if (name->oid.p == NULL || MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) != 0)
            continue;
        if (++count > 1 || !copy_name(name->val.p, name->val.len, out))
            out[0] = '\0';
    }
}

static bool read_address(const mbedtls_x509_buf *bytes, char out[COVEY_NAME_BYTES])
{
    const int family = bytes->len == 4 ? AF_INET : AF_INET6;
    if (bytes->len != 4 && bytes->len != 16)
        return false;
    return inet_ntop(family, bytes->p, out, COVEY_NAME_BYTES) != NULL;
}

/* An address under the guise of a DNS name is none (RFC 6125 section 1.7.2 keeps the two apart). */
static bool read_dns_name(const mbedtls_x509_buf *bytes, char out[COVEY_NAME_BYTES])
{
    uint8_t address[16];
    return copy_name(bytes->p, bytes->len, out) && inet_pton(AF_INET, out, address) != 1 &&
           inet_pton(AF_INET6, out, address) != 1;
}

/* What does not fit is left out: a name that is not there never matches. */
static void read_alternative_names(const mbedtls_x509_crt *crt, struct covey_certificate_facts *facts)
{
    if (!mbedtls_x509_crt_has_ext_type(crt, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
        return;
    for (const mbedtls_x509_sequence *at = &crt->subject_alt_names; at != NULL; at = at->next) {
        if (facts->name_count == COVEY_CERTIFICATE_NAMES)
            return;
        char *out = facts->names[facts->name_count];
        if ((at->buf.tag == CONTEXT_DNS && read_dns_name(&at->buf, out)) ||
            (at->buf.tag == CONTEXT_IP && read_address(&at->buf, out)))
            facts->name_count++;
        else
            out[0] = '\0';
    }
}

static enum covey_usage read_usage(const mbedtls_x509_crt *crt)
{
    if (mbedtls_x509_crt_get_ca_istrue(crt) == 1)
        return COVEY_USAGE_CA;
    if (!mbedtls_x509_crt_has_ext_type(crt, MBEDTLS_X509_EXT_EXTENDED_KEY_USAGE) ||
        crt->ext_key_usage.next != NULL)
        return COVEY_USAGE_OTHER;
    if (mbedtls_x509_crt_check_key_usage(crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0)
        return COVEY_USAGE_OTHER;
    const mbedtls_x509_buf *purpose = &crt->ext_key_usage.buf;
    if (MBEDTLS_OID_CMP(MBEDTLS_OID_SERVER_AUTH, purpose) == 0)
        return COVEY_USAGE_SERVER;
    if (MBEDTLS_OID_CMP(MBEDTLS_OID_CLIENT_AUTH, purpose) == 0)
        return COVEY_USAGE_DEVICE;
    return COVEY_USAGE_OTHER;
}

/* Without the zeroes in front that DER may need. */
static bool read_serial(const mbedtls_x509_buf *serial, char out[COVEY_SERIAL_TEXT_BYTES])
{
    const unsigned char *bytes = serial->p;
    size_t count = serial->len;
    for (; count > 1 && bytes[0] == 0; count--)
        bytes++;
    if (count == 0 || 2 * count + 1 > COVEY_SERIAL_TEXT_BYTES)
        return false;
    covey_hex_write(bytes, count, out);
    return true;
}

static enum covey_status parse(struct covey_bytes certificate, mbedtls_x509_crt *crt, struct covey_error *err)
{
    if (certificate.size == 0 || certificate.size > COVEY_CERTIFICATE_PEM_BYTES)
        return covey_fail(err, COVEY_INVALID, "a certificate of %zu bytes, at most %d", certificate.size,
                          COVEY_CERTIFICATE_PEM_BYTES);
    const int failed = mbedtls_x509_crt_parse(crt, certificate.data, certificate.size);
    if (failed != 0)
        return covey_fail(err, COVEY_INVALID, "no readable certificate (Mbed TLS -0x%04x)",
                          failed < 0 ? (unsigned)-failed : 0);
    return COVEY_OK;
}

static enum covey_status read_facts(const mbedtls_x509_crt *crt, struct covey_certificate_facts *facts,
                                    struct covey_error *err)
{
    facts->usage = read_usage(crt);
    read_common_name(&crt->subject, facts->common_name);
    read_common_name(&crt->issuer, facts->issuer);
    facts->not_before_s = seconds_of(&crt->valid_from);
    facts->not_after_s = seconds_of(&crt->valid_to);
    read_alternative_names(crt, facts);
    if (!read_serial(&crt->serial, facts->serial))
        return covey_fail(err, COVEY_INVALID, "a certificate with a serial of %zu bytes", crt->serial.len);
    return covey_key_hash(crt->raw.p, crt->raw.len, &facts->fingerprint, err);
}

enum covey_status covey_certificate_describe(struct covey_bytes certificate,
                                             struct covey_certificate_facts *out, struct covey_error *err)
{
    struct covey_certificate_facts facts = {0};
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    enum covey_status status = parse(certificate, &crt, err);
    if (status == COVEY_OK)
        status = read_facts(&crt, &facts, err);
    mbedtls_x509_crt_free(&crt);
    if (status == COVEY_OK)
        *out = facts;
    return status;
}

static enum covey_status read_public_key(mbedtls_pk_context *pk, struct covey_public_key *out,
                                         struct covey_error *err)
{
    uint8_t der[1024];
    const int written = mbedtls_pk_write_pubkey_der(pk, der, sizeof der); /* at the buffer's end */
    if (written <= 0)
        return covey_fail(err, COVEY_INVALID, "no usable public key (Mbed TLS -0x%04x)", (unsigned)-written);
    const size_t size = (size_t)written;
    return covey_public_key_from_der((struct covey_bytes){der + sizeof der - size, size}, out, err);
}

enum covey_status covey_certificate_public_key(struct covey_bytes certificate, struct covey_public_key *out,
                                               struct covey_error *err)
{
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    enum covey_status status = parse(certificate, &crt, err);
    if (status == COVEY_OK)
        status = read_public_key(&crt.pk, out, err);
    mbedtls_x509_crt_free(&crt);
    return status;
}

/* ------------------------------------------------------------------ writing */

/* A certificate in the making: what Mbed TLS points into until it is written. */
struct draft {
    mbedtls_x509write_cert crt;
    mbedtls_pk_context issuer_key, subject_key;
    mbedtls_asn1_sequence purpose;
    mbedtls_x509_san_list names[COVEY_CERTIFICATE_NAMES];
    uint8_t addresses[COVEY_CERTIFICATE_NAMES][16];
};

static void draft_init(struct draft *draft)
{
    memset(draft, 0, sizeof *draft);
    mbedtls_x509write_crt_init(&draft->crt);
    mbedtls_pk_init(&draft->issuer_key);
    mbedtls_pk_init(&draft->subject_key);
}

static void draft_deinit(struct draft *draft)
{
    mbedtls_x509write_crt_free(&draft->crt);
    mbedtls_pk_free(&draft->issuer_key);
    mbedtls_pk_free(&draft->subject_key);
}

/* Mbed TLS takes names as text, "CN=...": what has a meaning there is not let in. */
static enum covey_status subject_text(const char *common_name,
                                      char out[COVEY_NAME_BYTES + sizeof NAME_PREFIX],
                                      struct covey_error *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._-:*";
    const size_t length = common_name != NULL ? strlen(common_name) : 0;
    if (length == 0 || length >= COVEY_NAME_BYTES || strspn(common_name, allowed) != length)
        return covey_fail(err, COVEY_INVALID,
                          "'%.70s' cannot be a common name: 1 to %d letters, digits, . _ - and :",
                          length > 0 ? common_name : "", COVEY_NAME_BYTES - 1);
    (void)snprintf(out, COVEY_NAME_BYTES + sizeof NAME_PREFIX, NAME_PREFIX "%s", common_name);
    return COVEY_OK;
}

static enum covey_status set_names(struct draft *draft, const char *subject, const char *issuer,
                                   struct covey_error *err)
{
    char text[COVEY_NAME_BYTES + sizeof NAME_PREFIX];
    COVEY_TRY(subject_text(subject, text, err));
    int failed = mbedtls_x509write_crt_set_subject_name(&draft->crt, text);
    if (failed == 0) {
        COVEY_TRY(subject_text(issuer, text, err));
        failed = mbedtls_x509write_crt_set_issuer_name(&draft->crt, text);
    }
    return failed == 0 ? COVEY_OK : fail_tls(err, "set a certificate's names", failed);
}

static enum covey_status set_validity(struct draft *draft, const struct covey_certificate_order *order,
                                      struct covey_error *err)
{
    const time_t ends[2] = {(time_t)order->not_before_s, (time_t)order->not_after_s};
    char texts[2][16];
    if (order->not_after_s <= order->not_before_s)
        return covey_fail(err, COVEY_INVALID, "a certificate that ends before it begins");
    for (int i = 0; i < 2; i++) {
        struct tm parts;
        if (gmtime_r(&ends[i], &parts) == NULL || parts.tm_year < 70 || parts.tm_year > 9999 - 1900 ||
            strftime(texts[i], sizeof texts[i], "%Y%m%d%H%M%S", &parts) != 14)
            return covey_fail(err, COVEY_RANGE, "%lld s is no time for a certificate", (long long)ends[i]);
    }
    const int failed = mbedtls_x509write_crt_set_validity(&draft->crt, texts[0], texts[1]);
    return failed == 0 ? COVEY_OK : fail_tls(err, "set a certificate's validity", failed);
}

static enum covey_status set_serial(struct draft *draft, struct covey_error *err)
{
    uint8_t serial[SERIAL_BYTES];
    COVEY_TRY(covey_key_secret(serial, sizeof serial, err));
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and always 16 bytes */
    const int failed = mbedtls_x509write_crt_set_serial_raw(&draft->crt, serial, sizeof serial);
    return failed == 0 ? COVEY_OK : fail_tls(err, "set a certificate's serial", failed);
}

/* subjectKeyIdentifier and authorityKeyIdentifier (RFC 5280 sections 4.2.1.1, 4.2.1.2). */
static enum covey_status set_key_identifiers(struct draft *draft, const struct covey_public_key *subject,
                                             const struct covey_public_key *issuer, struct covey_error *err)
{
    uint8_t own[2 + KEY_IDENTIFIER_BYTES] = {MBEDTLS_ASN1_OCTET_STRING, KEY_IDENTIFIER_BYTES};
    uint8_t above[4 + KEY_IDENTIFIER_BYTES] = {MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE,
                                               2 + KEY_IDENTIFIER_BYTES, MBEDTLS_ASN1_CONTEXT_SPECIFIC,
                                               KEY_IDENTIFIER_BYTES};
    struct covey_hash hash;
    COVEY_TRY(covey_key_hash(subject->point, sizeof subject->point, &hash, err));
    memcpy(own + 2, hash.bytes, KEY_IDENTIFIER_BYTES);
    COVEY_TRY(covey_key_hash(issuer->point, sizeof issuer->point, &hash, err));
    memcpy(above + 4, hash.bytes, KEY_IDENTIFIER_BYTES);
    int failed = mbedtls_x509write_crt_set_extension(&draft->crt, MBEDTLS_OID_SUBJECT_KEY_IDENTIFIER,
                                                     MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_KEY_IDENTIFIER), 0,
                                                     own, sizeof own);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_extension(&draft->crt, MBEDTLS_OID_AUTHORITY_KEY_IDENTIFIER,
                                                     MBEDTLS_OID_SIZE(MBEDTLS_OID_AUTHORITY_KEY_IDENTIFIER),
                                                     0, above, sizeof above);
    return failed == 0 ? COVEY_OK : fail_tls(err, "set a certificate's key identifiers", failed);
}

static enum covey_status set_ca(struct draft *draft, struct covey_error *err)
{
    int failed = mbedtls_x509write_crt_set_basic_constraints(&draft->crt, 1, 0);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_key_usage(&draft->crt, MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                                      MBEDTLS_X509_KU_CRL_SIGN);
    return failed == 0 ? COVEY_OK : fail_tls(err, "make a certificate an authority's", failed);
}

static enum covey_status set_leaf(struct draft *draft, enum covey_usage usage, struct covey_error *err)
{
    static const char server[] = MBEDTLS_OID_SERVER_AUTH, device[] = MBEDTLS_OID_CLIENT_AUTH;
    const char *oid = usage == COVEY_USAGE_SERVER ? server : device;
    draft->purpose.buf.tag = MBEDTLS_ASN1_OID;
    draft->purpose.buf.p = (unsigned char *)oid; /* read only */
    draft->purpose.buf.len = usage == COVEY_USAGE_SERVER ? sizeof server - 1 : sizeof device - 1;
    int failed = mbedtls_x509write_crt_set_basic_constraints(&draft->crt, 0, -1);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_key_usage(&draft->crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_ext_key_usage(&draft->crt, &draft->purpose);
    return failed == 0 ? COVEY_OK : fail_tls(err, "set a certificate's usage", failed);
}

static bool is_dns_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-*";
    const size_t length = strlen(name);
    return length > 0 && length < COVEY_NAME_BYTES && strspn(name, allowed) == length;
}

static enum covey_status set_alternative_names(struct draft *draft,
                                               const struct covey_certificate_order *order,
                                               struct covey_error *err)
{
    if (order->name_count == 0 || order->name_count > COVEY_CERTIFICATE_NAMES)
        return covey_fail(err, COVEY_INVALID, "a server needs 1 to %d names, not %zu",
                          COVEY_CERTIFICATE_NAMES, order->name_count);
    for (size_t i = 0; i < order->name_count; i++) {
        const char *name = order->names[i];
        mbedtls_x509_subject_alternative_name *node = &draft->names[i].node;
        mbedtls_x509_buf *value = &node->san.unstructured_name;
        const bool is_v4 = inet_pton(AF_INET, name, draft->addresses[i]) == 1;
        if (is_v4 || inet_pton(AF_INET6, name, draft->addresses[i]) == 1) {
            node->type = MBEDTLS_X509_SAN_IP_ADDRESS;
            value->p = draft->addresses[i];
            value->len = is_v4 ? 4 : 16;
        } else if (is_dns_name(name)) {
            node->type = MBEDTLS_X509_SAN_DNS_NAME;
            value->p = (unsigned char *)name; /* read only */
            value->len = strlen(name);
        } else {
            return covey_fail(err, COVEY_INVALID, "'%.70s' is neither a DNS name nor an IP address", name);
        }
        draft->names[i].next = i > 0 ? &draft->names[i - 1] : NULL; /* DER is written from its end */
    }
    const int failed =
        mbedtls_x509write_crt_set_subject_alternative_name(&draft->crt, &draft->names[order->name_count - 1]);
    return failed == 0 ? COVEY_OK : fail_tls(err, "set a certificate's alternative names", failed);
}

static enum covey_status set_keys(struct draft *draft, const struct covey_key *issuer,
                                  const struct covey_public_key *subject, struct covey_error *err)
{
    uint8_t der[COVEY_PUBLIC_DER_BYTES];
    covey_public_key_to_der(subject, der);
    int failed = mbedtls_pk_parse_public_key(&draft->subject_key, der, sizeof der);
    if (failed == 0)
        failed = mbedtls_pk_copy_from_psa(issuer->id, &draft->issuer_key);
    if (failed != 0)
        return fail_tls(err, "use a key for a certificate", failed);
    mbedtls_x509write_crt_set_subject_key(&draft->crt, &draft->subject_key);
    mbedtls_x509write_crt_set_issuer_key(&draft->crt, &draft->issuer_key);
    mbedtls_x509write_crt_set_version(&draft->crt, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&draft->crt, MBEDTLS_MD_SHA256);
    return COVEY_OK;
}

static enum covey_status fill(struct draft *draft, const struct covey_key *issuer_key, const char *issuer,
                              const struct covey_public_key *subject,
                              const struct covey_certificate_order *order, struct covey_error *err)
{
    struct covey_public_key above;
    COVEY_TRY(covey_key_public(issuer_key, &above, err));
    COVEY_TRY(set_keys(draft, issuer_key, subject, err));
    COVEY_TRY(set_names(draft, order->common_name, issuer, err));
    COVEY_TRY(set_validity(draft, order, err));
    COVEY_TRY(set_serial(draft, err));
    COVEY_TRY(order->usage == COVEY_USAGE_CA ? set_ca(draft, err) : set_leaf(draft, order->usage, err));
    if (order->usage == COVEY_USAGE_SERVER)
        COVEY_TRY(set_alternative_names(draft, order, err));
    return set_key_identifiers(draft, subject, &above, err);
}

static enum covey_status write_certificate(const struct covey_key *issuer_key, const char *issuer,
                                           const struct covey_public_key *subject,
                                           const struct covey_certificate_order *order, char *out,
                                           size_t capacity, size_t *out_bytes, struct covey_error *err)
{
    struct draft draft;
    draft_init(&draft);
    enum covey_status status = fill(&draft, issuer_key, issuer, subject, order, err);
    if (status == COVEY_OK) {
        const int failed =
            mbedtls_x509write_crt_pem(&draft.crt, (unsigned char *)out, capacity, covey_key_random, NULL);
        if (failed != 0)
            status = fail_tls(err, "write a certificate", failed);
        else
            *out_bytes = strlen(out) + 1;
    }
    draft_deinit(&draft);
    return status;
}

enum covey_status covey_certificate_make_ca(const struct covey_key *key,
                                            const struct covey_certificate_order *order, char *out,
                                            size_t capacity, size_t *out_bytes, struct covey_error *err)
{
    struct covey_public_key subject;
    if (order->usage != COVEY_USAGE_CA)
        return covey_fail(err, COVEY_INVALID, "an authority's certificate is ordered with another usage");
    COVEY_TRY(covey_key_public(key, &subject, err));
    return write_certificate(key, order->common_name, &subject, order, out, capacity, out_bytes, err);
}

enum covey_status covey_certificate_issue(struct covey_bytes ca_pem, const struct covey_key *ca_key,
                                          const struct covey_public_key *subject,
                                          const struct covey_certificate_order *order, char *out,
                                          size_t capacity, size_t *out_bytes, struct covey_error *err)
{
    struct covey_certificate_facts ca;
    struct covey_public_key certified, own;
    if (order->usage != COVEY_USAGE_SERVER && order->usage != COVEY_USAGE_DEVICE)
        return covey_fail(err, COVEY_INVALID, "an authority issues for servers and devices only");
    if (order->usage == COVEY_USAGE_DEVICE && !covey_device_name_is_valid(order->common_name))
        return covey_fail(
            err, COVEY_INVALID,
            "'%.70s' cannot be a device's name: 1 to %d of letters, digits, . _ - and none of . - first",
            order->common_name != NULL ? order->common_name : "", COVEY_NAME_BYTES - 1);
    COVEY_TRY(covey_certificate_describe(ca_pem, &ca, err));
    COVEY_TRY(covey_certificate_public_key(ca_pem, &certified, err));
    COVEY_TRY(covey_key_public(ca_key, &own, err));
    if (ca.usage != COVEY_USAGE_CA)
        return covey_fail(err, COVEY_INVALID, "the issuer's certificate is no authority's");
    if (memcmp(certified.point, own.point, sizeof own.point) != 0)
        return covey_fail(err, COVEY_MISMATCH, "the authority's key does not belong to its certificate");
    return write_certificate(ca_key, ca.common_name, subject, order, out, capacity, out_bytes, err);
}

/* ------------------------------------------------------------------ requests */

enum covey_status covey_certificate_request_make(const struct covey_key *key, const char *common_name,
                                                 char *out, size_t capacity, size_t *out_bytes,
                                                 struct covey_error *err)
{
    char text[COVEY_NAME_BYTES + sizeof NAME_PREFIX];
    COVEY_TRY(subject_text(common_name, text, err));
    mbedtls_x509write_csr request;
    mbedtls_pk_context pk;
    mbedtls_x509write_csr_init(&request);
    mbedtls_pk_init(&pk);
    int failed = mbedtls_pk_copy_from_psa(key->id, &pk);
    if (failed == 0)
        failed = mbedtls_x509write_csr_set_subject_name(&request, text);
    if (failed == 0) {
        mbedtls_x509write_csr_set_key(&request, &pk);
        mbedtls_x509write_csr_set_md_alg(&request, MBEDTLS_MD_SHA256);
        failed = mbedtls_x509write_csr_pem(&request, (unsigned char *)out, capacity, covey_key_random, NULL);
    }
    mbedtls_x509write_csr_free(&request);
    mbedtls_pk_free(&pk);
    if (failed != 0)
        return fail_tls(err, "write a certificate request", failed);
    *out_bytes = strlen(out) + 1;
    return COVEY_OK;
}

/* CertificationRequest ::= SEQUENCE { info, algorithm, BIT STRING signature } (RFC 2986 section 4.2): the
 * signature's DER. */
static int find_signature(const mbedtls_x509_csr *csr, const unsigned char **signature, size_t *size)
{
    unsigned char *at = csr->raw.p;
    const unsigned char *end = at + csr->raw.len;
    const int sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    size_t length = 0;
    int failed = mbedtls_asn1_get_tag(&at, end, &length, sequence);
    for (int i = 0; failed == 0 && i < 2; i++) {
        failed = mbedtls_asn1_get_tag(&at, end, &length, sequence);
        if (failed == 0)
            at += length;
    }
    if (failed == 0)
        failed = mbedtls_asn1_get_bitstring_null(&at, end, &length);
    *signature = at;
    *size = length;
    return failed;
}

static enum covey_status check_request(mbedtls_x509_csr *csr, struct covey_error *err)
{
    struct covey_hash hash;
    const unsigned char *signature = NULL;
    size_t size = 0;
    COVEY_TRY(covey_key_hash(csr->cri.p, csr->cri.len, &hash, err));
    if (MBEDTLS_OID_CMP(MBEDTLS_OID_ECDSA_SHA256, &csr->sig_oid) != 0)
        return covey_fail(err, COVEY_UNSUPPORTED, "a request that is not signed by ECDSA with SHA-256");
    int failed = find_signature(csr, &signature, &size);
    if (failed == 0)
        failed =
            mbedtls_pk_verify(&csr->pk, MBEDTLS_MD_SHA256, hash.bytes, sizeof hash.bytes, signature, size);
    if (failed != 0)
        return covey_fail(err, COVEY_DENIED, "the request is not signed by the key that it names");
    return COVEY_OK;
}

enum covey_status covey_certificate_request_read(struct covey_bytes pem, char common_name[COVEY_NAME_BYTES],
                                                 struct covey_public_key *subject, struct covey_error *err)
{
    char name[COVEY_NAME_BYTES];
    struct covey_public_key key;
    mbedtls_x509_csr csr;
    enum covey_status status = COVEY_OK;
    mbedtls_x509_csr_init(&csr);
    if (pem.size == 0 || pem.size > COVEY_CERTIFICATE_PEM_BYTES ||
        mbedtls_x509_csr_parse(&csr, pem.data, pem.size) != 0)
        status = covey_fail(err, COVEY_INVALID, "no readable certificate request");
    if (status == COVEY_OK)
        status = read_public_key(&csr.pk, &key, err);
    if (status == COVEY_OK)
        status = check_request(&csr, err);
    if (status == COVEY_OK)
        read_common_name(&csr.subject, name);
    mbedtls_x509_csr_free(&csr);
    if (status != COVEY_OK)
        return status;
    memcpy(common_name, name, COVEY_NAME_BYTES);
    *subject = key;
    return COVEY_OK;
}
