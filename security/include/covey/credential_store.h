/* Credentials of one side, read from its directory and owned here: what the transport borrows for as long as
 * it lives.
 *
 * A server's directory is what covey_authority_create makes (covey/authority.h). A device's is its bundle:
 *
 *   device.crt device.key server-ca.crt signer.pub     with certificates, or
 *   device.psk                          signer.pub     with a pre-shared key
 *
 * Loading checks what can be checked before a handshake: files there and readable by nobody else, key fits
 * certificate, certificate of the right usage. A certificate out of its time is only worth a warning
 * (covey_credential_store_advice): a device without a battery wakes up in 1970, and learns the time later. */
#ifndef COVEY_CREDENTIAL_STORE_H
#define COVEY_CREDENTIAL_STORE_H

#include <stdbool.h>

#include "covey/certificates.h"
#include "covey/credentials.h"
#include "covey/env.h"
#include "covey/sign.h"
#include "covey/status.h"

struct covey_credential_store;

/* File names of a device's bundle. */
#define COVEY_FILE_DEVICE_CERTIFICATE "device.crt"
#define COVEY_FILE_DEVICE_KEY "device.key"
#define COVEY_FILE_SERVER_CA "server-ca.crt"
#define COVEY_FILE_SIGNER "signer.pub"
#define COVEY_FILE_DEVICE_PSK "device.psk"

/* env: for the wall clock; NULL = the machine's. Copied. */
COVEY_MUST_CHECK enum covey_status covey_credentials_load_server(const char *dir, const struct covey_env *env,
                                                                 struct covey_credential_store **out,
                                                                 struct covey_error *err);
/* server_name: DNS name or IP address that the server's certificate must carry; ignored with a pre-shared
 * key. */
COVEY_MUST_CHECK enum covey_status covey_credentials_load_device(const char *dir, const char *server_name,
                                                                 const struct covey_env *env,
                                                                 struct covey_credential_store **out,
                                                                 struct covey_error *err);
void covey_credential_store_destroy(struct covey_credential_store *store); /* NULL is legal; wipes secrets */

/* Is there something that a person should know about the own certificate: it has expired, it will within 30
 * days, it is not valid yet? Writes one line and returns true. */
bool covey_credential_store_advice(const struct covey_credential_store *store, char *out, size_t out_bytes);

/* Borrowed from the store. */
const struct covey_credentials *covey_credential_store_view(const struct covey_credential_store *store);
/* Own name: of the device's certificate or its PSK identity; the server's common name. */
const char *covey_credential_store_name(const struct covey_credential_store *store);
/* Device: whose manifests to believe (signer.pub). Server: its own signer's public half. */
const struct covey_trust *covey_credential_store_trust(const struct covey_credential_store *store);
/* Server: what signs manifests. Device: NULL. */
const struct covey_key *covey_credential_store_signer(const struct covey_credential_store *store);

/* Server: may a peer of that name go on? No, when everything that it was ever given is withdrawn; for each
 * request, beside the check of each handshake. Fits struct covey_coap_host_config's allow_peer, with the
 * store as allow_user. Thread-safe. */
bool covey_credentials_allow(void *store, const char *name);

/* Server: reads the deny-list again (SIGHUP does this), and calls for each name that it newly withdraws, so
 * that the session can be dropped. Pre-shared keys are read at each handshake, new devices need no reload.
 * One caller at a time; handshakes may go on meanwhile. */
COVEY_MUST_CHECK enum covey_status covey_credentials_reload(struct covey_credential_store *store,
                                                            void (*withdrawn)(void *user, const char *name),
                                                            void *user, struct covey_error *err);

#endif
