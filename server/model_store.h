/* The models of one federation on the disk: one file a model, which is there whole or not at all.
 *
 *   FOLDER/00000012.model   of sequence 12
 *
 *   offset 0    "COVEYMDL", version (u32), sections (u32)
 *   offset 16   for each section: kind (u32), 0 (u32), offset (u64), bytes (u64), SHA-256 of it
 *   then        SHA-256 of everything before it
 *   then        the sections, each at a multiple of 64
 *
 * All numbers little-endian. Sections are mapped, not read: a model costs no heap until it is worked with.
 * Not thread-safe; mapped sections live on after the store. */
#ifndef COVEY_MODEL_STORE_H
#define COVEY_MODEL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"
#include "covey/transport.h"

#include "durable_file.h"

#define COVEY_MODEL_FILE_VERSION 1
#define COVEY_MODEL_SEQUENCES 99999999ull /* eight digits in a file name */
#define COVEY_MODEL_KEEP 4096             /* files in a folder at the most */

enum covey_model_section {
    COVEY_SECTION_MANIFEST, /* signed */
    COVEY_SECTION_FULL,     /* codec stream of P */
    COVEY_SECTION_DELTA,    /* codec stream from the model before; empty where there is none or a step_store.h
                               has it */
    COVEY_SECTION_STATE,    /* W and the server's optimiser: never leaves the server */
    COVEY_SECTION_COUNT
};

struct covey_model_store;

/* folder: made when it is not there. What a crash left half-written is removed. calls: borrowed; NULL = the
 * system's. */
COVEY_MUST_CHECK enum covey_status covey_model_store_open(const char *folder,
                                                          const struct covey_file_calls *calls,
                                                          struct covey_model_store **out,
                                                          struct covey_error *err);
/* Beside a running server: nothing is made, nothing removed. NOT_FOUND when there is no such folder. */
COVEY_MUST_CHECK enum covey_status covey_model_store_open_to_read(const char *folder,
                                                                  struct covey_model_store **out,
                                                                  struct covey_error *err);
const char *covey_model_store_folder(const struct covey_model_store *store); /* borrowed */
void covey_model_store_close(struct covey_model_store *store);               /* NULL is legal */

/* Durable when it returns OK. On failure the models before are as they were. LIMIT: no such sequence. */
COVEY_MUST_CHECK enum covey_status covey_model_store_save(
    struct covey_model_store *store, uint64_t sequence,
    const struct covey_bytes sections[COVEY_SECTION_COUNT], struct covey_error *err);

/* The newest model whose file is intact; NOT_FOUND: there is none. *damaged counts newer ones that are not
 * (they are left for a person to look at, renamed to .damaged, so that their number can be used again). */
COVEY_MUST_CHECK enum covey_status covey_model_store_latest(struct covey_model_store *store,
                                                            uint64_t *sequence, uint32_t *damaged,
                                                            struct covey_error *err);
/* The highest number there, unchecked: reading a section checks it. NOT_FOUND. */
COVEY_MUST_CHECK enum covey_status covey_model_store_newest(const struct covey_model_store *store,
                                                            uint64_t *sequence, struct covey_error *err);
bool covey_model_store_has(const struct covey_model_store *store, uint64_t sequence);

/* A section as a blob over the mapped file. Its hash is checked. NOT_FOUND, CORRUPT. */
COVEY_MUST_CHECK enum covey_status covey_model_store_section(const struct covey_model_store *store,
                                                             uint64_t sequence,
                                                             enum covey_model_section which,
                                                             struct covey_blob **out,
                                                             struct covey_error *err);

/* Removes all but the newest `keep` (at least 1). Failures to remove are not worth stopping for. */
void covey_model_store_prune(struct covey_model_store *store, uint64_t newest, uint32_t keep);

#endif
