/* One file of the state: a head of fixed size, then bodies, then the SHA-256 of all that.
 *
 *   magic "covey-st", version u32, kind u32, total bytes u64, head, bodies, hash; numbers little-endian,
 * reals as f32 */
#ifndef COVEY_STATE_FILE_H
#define COVEY_STATE_FILE_H

#include "client_state.h"
#include "covey/hash.h"

#define COVEY_STATE_VERSION 1
#define COVEY_STATE_PATH_BYTES 1200

/* A piece of a file: bytes, or values. */
struct covey_state_part {
    const void *data; /* writing */
    void *into;       /* reading; NULL: passed over, but hashed */
    uint64_t bytes;
    bool floats; /* bytes are f32 values: turned round on big-endian machines */
};

/* path.new -> sync -> path -> sync of the folder. IO names the file. */
COVEY_MUST_CHECK enum covey_status covey_state_file_write(const struct covey_disk *disk, const char *folder,
                                                          const char *name, uint32_t kind,
                                                          const struct covey_state_part *parts, size_t count,
                                                          struct covey_error *err);

/* Reads the head alone, then checks the hash over the whole file. parts[0] is the head. NOT_FOUND, CORRUPT,
 * UNSUPPORTED. With rest_bytes: what lies behind the head; then only parts[0] is given. */
COVEY_MUST_CHECK enum covey_status covey_state_file_probe(const char *folder, const char *name, uint32_t kind,
                                                          void *head, size_t head_bytes, uint64_t *rest_bytes,
                                                          struct covey_error *err);

/* Reads all parts, which must be all of the file, and checks the hash. */
COVEY_MUST_CHECK enum covey_status covey_state_file_read(const char *folder, const char *name, uint32_t kind,
                                                         const struct covey_state_part *parts, size_t count,
                                                         struct covey_error *err);

/* Renames or removes, then syncs the folder. A file that is not there is no failure. */
COVEY_MUST_CHECK enum covey_status covey_state_file_move(const struct covey_disk *disk, const char *folder,
                                                         const char *from, const char *to,
                                                         struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_state_file_remove(const struct covey_disk *disk, const char *folder,
                                                           const char *name, struct covey_error *err);

#endif
