#include "coap_failure.h"

#include <stddef.h>
#include <stdio.h>

/* Mbed TLS's errors that say something to a person, by value: mbedtls/ssl.h and x509.h stay out of this room.
 */
enum {
    ERROR_VERIFY_FAILED = -0x2700,
    ERROR_HANDSHAKE_FAILURE = -0x6E00,
    ERROR_UNKNOWN_IDENTITY = -0x6C80,
    ERROR_TIMEOUT = -0x6800,
    ERROR_INVALID_MAC = -0x7180,
    ERROR_NO_CLIENT_CERTIFICATE = -0x7480,
    ERROR_ALERT = -0x7780,
    ERROR_CLOSED = -0x7880
};

/* RFC 5246 section 7.2.2, RFC 4279 section 2. */
enum {
    ALERT_CLOSE_NOTIFY = 0,
    ALERT_BAD_RECORD_MAC = 20,
    ALERT_HANDSHAKE_FAILURE = 40,
    ALERT_NO_CERTIFICATE = 41,
    ALERT_BAD_CERTIFICATE = 42,
    ALERT_UNSUPPORTED_CERTIFICATE = 43,
    ALERT_REVOKED = 44,
    ALERT_EXPIRED = 45,
    ALERT_CERTIFICATE_UNKNOWN = 46,
    ALERT_UNKNOWN_CA = 48,
    ALERT_ACCESS_DENIED = 49,
    ALERT_DECRYPT_ERROR = 51,
    ALERT_UNKNOWN_PSK_IDENTITY = 115
};

struct alert_text {
    int alert;
    const char *to_device; /* the server sent it */
    const char *to_server; /* the device sent it */
};

static const struct alert_text alert_texts[] = {
    {ALERT_BAD_RECORD_MAC,
     "the server could not read what we sent: the pre-shared key differs from the server's",
     "the device could not read what we sent: its pre-shared key differs from ours"},
    {ALERT_DECRYPT_ERROR, "the server could not read what we sent: the keys of the two sides differ",
     "the device could not read what we sent: the keys of the two sides differ"},
    {ALERT_HANDSHAKE_FAILURE,
     "the server found nothing to agree on: it wants a certificate, or a pre-shared key, or has no "
     "certificate that is made for a server",
     "the device found nothing to agree on: it wants a certificate, or a pre-shared key"},
    {ALERT_NO_CERTIFICATE, "the server refused this device: it showed no certificate",
     "the device got no certificate"},
    {ALERT_BAD_CERTIFICATE,
     "the server refused our certificate: it is not one of a device, or not for this server",
     "the device refused our certificate: it is for another name, or not one of a server"},
    {ALERT_UNSUPPORTED_CERTIFICATE, "the server refused our certificate: it is not made for devices",
     "the device refused our certificate: it is not made for servers"},
    {ALERT_REVOKED, "the server refused our certificate: withdrawn",
     "the device refused our certificate: withdrawn"},
    {ALERT_EXPIRED, "the server refused our certificate: it has expired, or is not valid yet",
     "the device refused our certificate: it has expired, or is not valid yet"},
    {ALERT_CERTIFICATE_UNKNOWN, "the server refused our certificate", "the device refused our certificate"},
    {ALERT_UNKNOWN_CA, "the server refused our certificate: it comes from another certificate authority",
     "the device refused our certificate: it comes from another certificate authority than the device "
     "trusts"},
    {ALERT_ACCESS_DENIED, "the server refused this device: not allowed", "the device refused us"},
    {ALERT_UNKNOWN_PSK_IDENTITY, "the server does not know our pre-shared key's identity",
     "the device does not know the key's identity"},
    {ALERT_CLOSE_NOTIFY, "the server closed the session", "the device closed the session"},
};

static enum covey_status tell_alert(const struct covey_coap_failure *failure, struct covey_error *err)
{
    bool device = failure->side == COVEY_SIDE_DEVICE;
    for (size_t i = 0; i < sizeof alert_texts / sizeof alert_texts[0]; i++) {
        const struct alert_text *text = &alert_texts[i];
        if (text->alert != failure->alert)
            continue;
        return covey_fail(err, failure->alert == ALERT_CLOSE_NOTIFY ? COVEY_CLOSED : COVEY_DENIED,
                          "%s (alert %d)", device ? text->to_device : text->to_server, failure->alert);
    }
    return covey_fail(err, COVEY_DENIED, "the %s ended the handshake with alert %d",
                      device ? "server" : "device", failure->alert);
}

enum covey_status covey_coap_failure_tell(const struct covey_coap_failure *failure, struct covey_error *err)
{
    const char *peer = failure->side == COVEY_SIDE_DEVICE ? "server" : "device";
    if (failure->refusal != NULL && failure->refusal[0] != '\0')
        return covey_fail(err, COVEY_DENIED, "%s", failure->refusal);
    if (failure->alert >= 0)
        return tell_alert(failure, err);
    switch (failure->error) {
    case ERROR_NO_CLIENT_CERTIFICATE:
        return covey_fail(err, COVEY_DENIED, "the device showed no certificate");
    case ERROR_VERIFY_FAILED:
        return covey_fail(err, COVEY_DENIED, "the %s's certificate was refused", peer);
    case ERROR_UNKNOWN_IDENTITY:
        return covey_fail(err, COVEY_DENIED, "no pre-shared key is known for the %s's identity", peer);
    case ERROR_INVALID_MAC:
        return covey_fail(err, COVEY_DENIED, "what the %s sent cannot be read: its %s differs from ours",
                          peer, failure->by_psk ? "pre-shared key" : "key");
    case ERROR_HANDSHAKE_FAILURE:
        return covey_fail(err, COVEY_DENIED,
                          "nothing to agree on with the %s: one side wants a certificate, the other a "
                          "pre-shared key, or our "
                          "own certificate is not made for us",
                          peer);
    case ERROR_TIMEOUT:
        return covey_fail(err, COVEY_TIMEOUT, "the %s did not answer during the handshake", peer);
    case 0:
    case ERROR_CLOSED:
        return covey_fail(err, COVEY_CLOSED, "the %s closed the session", peer);
    default:
        return covey_fail(err, COVEY_CRYPTO, "the handshake with the %s failed (Mbed TLS -0x%04x)", peer,
                          (unsigned)-failure->error);
    }
}
