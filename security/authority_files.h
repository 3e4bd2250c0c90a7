/* What making the authority and making devices have in common: its files, its lock. Private to security/. */
#ifndef COVEY_AUTHORITY_FILES_H
#define COVEY_AUTHORITY_FILES_H

#include <stddef.h>

#include "covey/certificates.h"
#include "covey/keys.h"

#define COVEY_LAG_S 3600 /* certificates begin an hour ago: clocks of devices lag */

/* An authority read from its two files; the caller destroys the key. */
struct covey_authority_pair {
    struct covey_key *key;
    char pem[COVEY_CERTIFICATE_PEM_BYTES];
    size_t pem_bytes;
};

/* PKI/NAME.crt and PKI/NAME.key. The key is set, and to be destroyed, in failure too. */
COVEY_MUST_CHECK enum covey_status covey_authority_load(const char *pki, const char *name,
                                                        struct covey_authority_pair *out,
                                                        struct covey_error *err);
/* A key pair and its certificate from `ca`, in memory. The caller destroys *key. */
COVEY_MUST_CHECK enum covey_status covey_authority_make_leaf(const struct covey_authority_pair *ca,
                                                             const struct covey_certificate_order *order,
                                                             struct covey_key **key,
                                                             char pem[COVEY_CERTIFICATE_PEM_BYTES],
                                                             size_t *pem_bytes, struct covey_error *err);
/* New files in a folder: a PEM (its zero counted), a private key. */
COVEY_MUST_CHECK enum covey_status covey_authority_store_text(const char *dir, const char *name,
                                                              const char *pem, size_t size,
                                                              struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_authority_store_key(const char *dir, const char *name,
                                                             const struct covey_key *key,
                                                             struct covey_error *err);
/* A folder of mode 0700, if it is not there. */
COVEY_MUST_CHECK enum covey_status covey_authority_make_dir(const char *path, struct covey_error *err);

/* One writer at a time: DIR/pki, locked until unlock. pki: its path. BUSY when another has it. */
COVEY_MUST_CHECK enum covey_status covey_authority_lock(const char *dir, char pki[COVEY_FILE_PATH_BYTES],
                                                        int *fd, struct covey_error *err);
void covey_authority_unlock(int fd);

#endif
