/* What a side shows and what it accepts, as bytes: read and made by security/, used by the DTLS transport. */
#ifndef COVEY_CREDENTIALS_H
#define COVEY_CREDENTIALS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

#define COVEY_PSK_BYTES 32

enum covey_side { COVEY_SIDE_SERVER, COVEY_SIDE_DEVICE };

/* Borrowed by the transport for as long as it lives. PEM texts count their terminating zero, as Mbed TLS
 * wants. */
struct covey_credentials {
    enum covey_side side;

    /* certificates: own chain and key, and the CA that the OTHER side's certificate must come from; empty
     * when PSK only */
    struct covey_bytes chain_pem, key_pem, peer_ca_pem;
    char server_name[COVEY_NAME_BYTES]; /* device: DNS name that the server's certificate must carry; also the
                                           SNI */

    /* Runs after the chain was found valid (or not: flags), for the leaf: extended key usage, name,
     * deny-list. OK, or DENIED with the reason; *name: who it is. Set by covey_certificate_policy of
     * security/. Thread-safe. */
    enum covey_status (*check_peer)(void *user, struct covey_bytes leaf_der, uint32_t verify_flags,
                                    char name[COVEY_NAME_BYTES], struct covey_error *err);
    void *check_user;

    /* pre-shared keys: a device has one; a server looks one up by identity. psk_identity "" = none */
    char psk_identity[COVEY_NAME_BYTES];
    uint8_t psk[COVEY_PSK_BYTES];
    size_t psk_bytes;
    /* Server: OK and key (at most COVEY_PSK_BYTES), or NOT_FOUND. NULL: no PSK taken. Thread-safe. */
    enum covey_status (*find_psk)(void *user, const char *identity, uint8_t key[COVEY_PSK_BYTES],
                                  size_t *key_bytes);
    void *psk_user;
};

#endif
