/* The federation's own authority, on the server's disk: makes the two CAs and the server's certificate and
 * signer, makes a device's bundle, withdraws a device.
 *
 *   DIR/pki/server-ca.crt  server-ca.key   signs servers; devices get the .crt
 *   DIR/pki/device-ca.crt  device-ca.key   signs devices
 *   DIR/pki/server.crt     server.key      what the server shows
 *   DIR/pki/signer.pub     signer.key      signs manifests; devices get the .pub
 *   DIR/pki/issued                         a line a device: SERIAL NAME NOT_AFTER (a PSK's serial is "psk-"
 * and a number) DIR/pki/revoked                        the deny-list: the same lines, of what was withdrawn
 *   DIR/psk/NAME                           pre-shared keys
 *
 * The CA keys are needed only here, so they can be kept on another machine. Keys 0600, directories 0700. One
 * writer at a time: the functions lock DIR/pki. */
#ifndef COVEY_AUTHORITY_H
#define COVEY_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/certificates.h"
#include "covey/status.h"

#define COVEY_VALIDITY_CA_S (20ll * 365 * 86400)
#define COVEY_VALIDITY_SERVER_S (2ll * 365 * 86400)
#define COVEY_VALIDITY_DEVICE_S (2ll * 365 * 86400)

struct covey_authority_options {
    const char *const *
        server_names; /* DNS names and IP addresses that devices will ask for; the first is its common name */
    size_t server_name_count;
    int64_t now_s;         /* since 1970 UTC; certificates count from an hour before, for clocks that lag */
    int64_t ca_validity_s; /* 0: COVEY_VALIDITY_CA_S */
    int64_t server_validity_s; /* 0: COVEY_VALIDITY_SERVER_S */
};

/* Makes everything above. EXISTS when DIR has a pki already; nothing is overwritten, and what a failure left
 * is removed. */
COVEY_MUST_CHECK enum covey_status covey_authority_create(const char *dir,
                                                          const struct covey_authority_options *options,
                                                          struct covey_error *err);

/* A new server certificate from the same CA, in place of the old one, with a new key: before it expires, or
 * for new names. */
COVEY_MUST_CHECK enum covey_status covey_authority_renew_server(const char *dir,
                                                                const struct covey_authority_options *options,
                                                                struct covey_error *err);

enum covey_device_mode { COVEY_DEVICE_CERTIFICATE, COVEY_DEVICE_PSK };

struct covey_device_order {
    const char *name;    /* covey_device_name_is_valid */
    const char *out_dir; /* the bundle goes here: made when it is not there, must not hold a bundle */
    enum covey_device_mode mode;
    bool again; /* also when a device of that name stands in the list: a certificate that overlaps the old one
                 */
    int64_t now_s;
    int64_t validity_s; /* 0: COVEY_VALIDITY_DEVICE_S; a PSK has none */
};

/* Makes a device's bundle (covey/credential_store.h says what is in it) and notes it before anything is
 * written, so that no key is about that could not be withdrawn. EXISTS when a device of that name stands in
 * the list and is not withdrawn. */
COVEY_MUST_CHECK enum covey_status covey_authority_add_device(const char *dir,
                                                              const struct covey_device_order *order,
                                                              struct covey_error *err);

/* Withdraws all certificates and the pre-shared key of that name. NOT_FOUND when there was none. A running
 * server follows when it is told to reload. */
COVEY_MUST_CHECK enum covey_status covey_authority_revoke(const char *dir, const char *name,
                                                          struct covey_error *err);

struct covey_device_entry {
    char name[COVEY_NAME_BYTES];
    char serial[COVEY_SERIAL_TEXT_BYTES]; /* "psk-..." for a pre-shared key */
    int64_t not_after_s;                  /* 0: never */
    bool revoked;
};
/* Calls for every line of the list, in order. */
COVEY_MUST_CHECK enum covey_status covey_authority_list(const char *dir,
                                                        void (*entry)(void *user,
                                                                      const struct covey_device_entry *entry),
                                                        void *user, struct covey_error *err);

#endif
