/* Pre-shared keys: made, stored, loaded. */
#include "covey/keys.h"

#include <stdio.h>
#include <string.h>

#include "covey/certificates.h"
#include "covey/hash.h"
#include "key_file.h"
#include "key_pair.h"

#define LINE_BYTES (COVEY_NAME_BYTES + 1 + 2 * COVEY_PSK_BYTES + 2)

enum covey_status covey_psk_generate(struct covey_psk *out, struct covey_error *err)
{
    COVEY_TRY(covey_key_secret(out->bytes, sizeof out->bytes, err));
    out->count = sizeof out->bytes;
    return COVEY_OK;
}

void covey_psk_wipe(struct covey_psk *psk)
{
    explicit_bzero(psk, sizeof *psk);
}

typedef enum covey_status write_fn(const char *path, enum covey_file_kind kind, const void *data, size_t size,
                                   struct covey_error *err);

static enum covey_status write_psk(const struct covey_psk *psk, const char *identity, const char *path,
                                   write_fn *write, struct covey_error *err)
{
    if (!covey_device_name_is_valid(identity))
        return covey_fail(err, COVEY_INVALID, "'%.70s' cannot be a device's name", identity);
    if (psk->count < COVEY_PSK_MIN_BYTES || psk->count > COVEY_PSK_BYTES)
        return covey_fail(err, COVEY_INVALID, "a pre-shared key of %zu bytes, %d to %d can be", psk->count,
                          COVEY_PSK_MIN_BYTES, COVEY_PSK_BYTES);
    char hex[2 * COVEY_PSK_BYTES + 1], line[LINE_BYTES];
    covey_hex_write(psk->bytes, psk->count, hex);
    const int length = snprintf(line, sizeof line, "%s %s\n", identity, hex);
    enum covey_status status = write(path, COVEY_FILE_SECRET, line, (size_t)length, err);
    explicit_bzero(hex, sizeof hex);
    explicit_bzero(line, sizeof line);
    return status;
}

enum covey_status covey_psk_store(const struct covey_psk *psk, const char *identity, const char *path,
                                  struct covey_error *err)
{
    return write_psk(psk, identity, path, covey_key_file_create, err);
}

enum covey_status covey_psk_replace(const struct covey_psk *psk, const char *identity, const char *path,
                                    struct covey_error *err)
{
    return write_psk(psk, identity, path, covey_key_file_replace, err);
}

/* "IDENTITY HEX\n", cut up in place. */
static enum covey_status parse_line(char *line, const char *path, char identity[COVEY_NAME_BYTES],
                                    struct covey_psk *out, struct covey_error *err)
{
    line[strcspn(line, "\r\n")] = '\0';
    char *space = strchr(line, ' ');
    if (space == NULL)
        return covey_fail(err, COVEY_INVALID, "%s: wanted one line: IDENTITY HEX", path);
    *space = '\0';
    const char *hex = space + 1;
    const size_t digits = strlen(hex);
    struct covey_psk psk = {.count = digits / 2};
    if (!covey_device_name_is_valid(line))
        return covey_fail(err, COVEY_INVALID, "%s: no valid identity", path);
    if (digits % 2 != 0 || psk.count < COVEY_PSK_MIN_BYTES || psk.count > COVEY_PSK_BYTES ||
        covey_hex_read(hex, psk.bytes, psk.count) != 0)
        return covey_fail(err, COVEY_INVALID, "%s: the key is not %d to %d bytes in hexadecimal", path,
                          COVEY_PSK_MIN_BYTES, COVEY_PSK_BYTES);
    memcpy(identity, line, (size_t)(space - line) + 1); /* fits: the name is valid */
    *out = psk;
    covey_psk_wipe(&psk);
    return COVEY_OK;
}

enum covey_status covey_psk_load(const char *path, char identity[COVEY_NAME_BYTES], struct covey_psk *out,
                                 struct covey_error *err)
{
    char line[2 * LINE_BYTES];
    size_t size = 0;
    enum covey_status status = covey_key_file_read(path, COVEY_FILE_SECRET, line, sizeof line, &size, err);
    if (status == COVEY_OK)
        status = parse_line(line, path, identity, out, err);
    explicit_bzero(line, sizeof line);
    return status;
}
