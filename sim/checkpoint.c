#include "checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/limits.h"
#include "durable_file.h"

#define NAME "checkpoint"
#define ORDER_MARK 0x01020304u
#define BYTES_MAX (1ull << 40)

static const char magic[8] = "COVEYSIM";

struct head {
    char magic[8];
    uint32_t version, byte_order;
    struct covey_hash scenario;
};

struct covey_checkpoint {
    uint8_t *bytes; /* without the hash */
    size_t size, position;
};

enum covey_status covey_checkpoint_write(const char *folder, const struct covey_hash *scenario,
                                         const struct covey_checkpoint_piece *pieces, size_t count,
                                         struct covey_error *err)
{
    struct covey_bytes parts[2 * COVEY_CHECKPOINT_PIECES + 2];
    uint64_t lengths[COVEY_CHECKPOINT_PIECES];
    struct head head = {.version = COVEY_CHECKPOINT_VERSION, .byte_order = ORDER_MARK, .scenario = *scenario};
    struct covey_hasher *hasher = NULL;
    struct covey_hash hash;
    size_t part_count = 0;
    if (count > COVEY_CHECKPOINT_PIECES)
        return covey_fail(err, COVEY_LIMIT, "a checkpoint has at most %d pieces", COVEY_CHECKPOINT_PIECES);
    memcpy(head.magic, magic, sizeof head.magic);
    parts[part_count++] = (struct covey_bytes){(const uint8_t *)&head, sizeof head};
    for (size_t i = 0; i < count; i++) {
        lengths[i] = pieces[i].bytes;
        parts[part_count++] = (struct covey_bytes){(const uint8_t *)&lengths[i], sizeof lengths[i]};
        parts[part_count++] = (struct covey_bytes){pieces[i].data, pieces[i].bytes};
    }
    COVEY_TRY(covey_hasher_create(&hasher));
    enum covey_status status = COVEY_OK;
    for (size_t i = 0; i < part_count && status == COVEY_OK; i++)
        status = covey_hasher_add(hasher, parts[i]);
    if (status == COVEY_OK)
        status = covey_hasher_finish(hasher, &hash); /* the hasher is gone after it */
    else
        covey_hasher_destroy(hasher);
    if (status != COVEY_OK)
        return covey_fail(err, status, "the checkpoint could not be hashed");
    parts[part_count++] = (struct covey_bytes){hash.bytes, sizeof hash.bytes};
    return covey_file_replace(&covey_file_calls_system, folder, NAME, 0644, parts, part_count, err);
}

static enum covey_status read_file(const char *path, struct covey_checkpoint *checkpoint,
                                   struct covey_error *err)
{
    struct stat facts;
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: %s", path, strerror(errno));
    enum covey_status status = COVEY_OK;
    if (fstat(fileno(stream), &facts) != 0 ||
        facts.st_size < (off_t)(sizeof(struct head) + sizeof(struct covey_hash)) ||
        (uint64_t)facts.st_size > BYTES_MAX)
        status = covey_fail(err, COVEY_CORRUPT, "%s: not a checkpoint", path);
    checkpoint->size = (size_t)facts.st_size;
    if (status == COVEY_OK && (checkpoint->bytes = malloc(checkpoint->size)) == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for %zu bytes", path, checkpoint->size);
    if (status == COVEY_OK && fread(checkpoint->bytes, 1, checkpoint->size, stream) != checkpoint->size)
        status = covey_fail(err, COVEY_IO, "%s: cannot be read", path);
    (void)fclose(stream);
    return status;
}

static enum covey_status check(const char *path, const struct covey_hash *scenario,
                               struct covey_checkpoint *checkpoint, struct covey_error *err)
{
    struct covey_hash hash;
    struct head head;
    checkpoint->size -= sizeof hash;
    COVEY_TRY(covey_hash_bytes((struct covey_bytes){checkpoint->bytes, checkpoint->size}, &hash));
    memcpy(&head, checkpoint->bytes, sizeof head);
    if (memcmp(head.magic, magic, sizeof magic) != 0 ||
        memcmp(hash.bytes, checkpoint->bytes + checkpoint->size, sizeof hash.bytes) != 0)
        return covey_fail(err, COVEY_CORRUPT, "%s: damaged; remove it and start anew", path);
    if (head.version != COVEY_CHECKPOINT_VERSION || head.byte_order != ORDER_MARK)
        return covey_fail(err, COVEY_UNSUPPORTED, "%s: of another version or machine; start anew", path);
    if (!covey_hash_equal(&head.scenario, scenario))
        return covey_fail(err, COVEY_MISMATCH,
                          "%s: of another scenario: give the same file and the same --set, or another --out",
                          path);
    checkpoint->position = sizeof head;
    return COVEY_OK;
}

enum covey_status covey_checkpoint_open(const char *folder, const struct covey_hash *scenario,
                                        struct covey_checkpoint **out, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/" NAME, folder) >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%s: the path is too long", folder);
    struct covey_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (checkpoint == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    enum covey_status status = read_file(path, checkpoint, err);
    if (status == COVEY_OK)
        status = check(path, scenario, checkpoint, err);
    if (status != COVEY_OK) {
        covey_checkpoint_close(checkpoint);
        return status;
    }
    *out = checkpoint;
    return COVEY_OK;
}

enum covey_status covey_checkpoint_take(struct covey_checkpoint *checkpoint, void *data, size_t bytes,
                                        struct covey_error *err)
{
    uint64_t length = 0;
    const size_t left = checkpoint->size - checkpoint->position;
    if (left >= sizeof length)
        memcpy(&length, checkpoint->bytes + checkpoint->position, sizeof length);
    if (left < sizeof length || length != bytes || left - sizeof length < bytes)
        return covey_fail(err, COVEY_CORRUPT, "the checkpoint does not have what this scenario needs");
    if (bytes > 0)
        memcpy(data, checkpoint->bytes + checkpoint->position + sizeof length, bytes);
    checkpoint->position += sizeof length + bytes;
    return COVEY_OK;
}

void covey_checkpoint_close(struct covey_checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    free(checkpoint->bytes);
    free(checkpoint);
}

void covey_checkpoint_remove(const char *folder)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/" NAME, folder) < (int)sizeof path)
        (void)unlink(path);
}
