#include "authority_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "key_file.h"

enum covey_status covey_authority_make_dir(const char *path, struct covey_error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return covey_fail(err, COVEY_IO, "cannot make %s: %s", path, strerror(errno));
    return COVEY_OK;
}

/* ---- certificates as files ---- */

enum covey_status covey_authority_store_text(const char *dir, const char *name, const char *pem, size_t size,
                                             struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(path, dir, name, err));
    return covey_key_file_create(path, COVEY_FILE_PUBLIC, pem, size - 1, err);
}

enum covey_status covey_authority_store_key(const char *dir, const char *name, const struct covey_key *key,
                                            struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(path, dir, name, err));
    return covey_key_store(key, path, err);
}

enum covey_status covey_authority_load(const char *pki, const char *name, struct covey_authority_pair *out,
                                       struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES], file[COVEY_NAME_BYTES];
    (void)snprintf(file, sizeof file, "%s.crt", name);
    COVEY_TRY(covey_key_file_path(path, pki, file, err));
    COVEY_TRY(covey_key_file_read(path, COVEY_FILE_PUBLIC, out->pem, sizeof out->pem, &out->pem_bytes, err));
    (void)snprintf(file, sizeof file, "%s.key", name);
    COVEY_TRY(covey_key_file_path(path, pki, file, err));
    return covey_key_load(path, &out->key, err);
}

/* A key pair and its certificate from `ca`, in memory. The caller destroys *key. */
enum covey_status covey_authority_make_leaf(const struct covey_authority_pair *ca,
                                            const struct covey_certificate_order *order,
                                            struct covey_key **key, char pem[COVEY_CERTIFICATE_PEM_BYTES],
                                            size_t *pem_bytes, struct covey_error *err)
{
    struct covey_public_key subject;
    struct covey_key *made = NULL;
    enum covey_status status = covey_key_generate(&made, err);
    if (status == COVEY_OK)
        status = covey_key_public(made, &subject, err);
    if (status == COVEY_OK)
        status =
            covey_certificate_issue((struct covey_bytes){(const uint8_t *)ca->pem, ca->pem_bytes}, ca->key,
                                    &subject, order, pem, COVEY_CERTIFICATE_PEM_BYTES, pem_bytes, err);
    if (status != COVEY_OK) {
        covey_key_destroy(made);
        return status;
    }
    *key = made;
    return COVEY_OK;
}

/* ---- one writer at a time ---- */

enum covey_status covey_authority_lock(const char *dir, char pki[COVEY_FILE_PATH_BYTES], int *fd,
                                       struct covey_error *err)
{
    COVEY_TRY(covey_key_file_path(pki, dir, "pki", err));
    const int found = open(pki, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (found < 0)
        return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO,
                          "cannot open %s: %s; was it made by init?", pki, strerror(errno));
    if (flock(found, LOCK_EX | LOCK_NB) != 0) {
        const int number = errno;
        (void)close(found);
        if (number == EWOULDBLOCK)
            return covey_fail(err, COVEY_BUSY, "another program is changing %s: try again", pki);
        return covey_fail(err, COVEY_IO, "cannot lock %s: %s", pki, strerror(number));
    }
    *fd = found;
    return COVEY_OK;
}

void covey_authority_unlock(int fd)
{
    (void)close(fd); /* gives up the lock */
}
