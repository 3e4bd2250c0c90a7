/* A folder that lasts as long as a test, whole files, and the vectors of tests/golden/security. */
#ifndef COVEY_TEST_SECURITY_FILES_H
#define COVEY_TEST_SECURITY_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/keys.h"

#define GOLDEN COVEY_SOURCE_DIR "/tests/golden/security/"

/* A new folder under TMPDIR; removed with all that is in it by scratch_remove. Also starts the cryptography.
 */
void scratch_make(void);
void scratch_remove(void);
/* "SCRATCH/name", valid until the 8th call after it. */
const char *scratch(const char *name);

/* The file as text, its terminating zero counted; the buffer is static to each of 4 calls. */
struct covey_bytes file_text(const char *path);
void write_text(const char *path, const char *text);

struct golden {
    char name[64], rest[128]; /* of the line "= NAME REST" */
    uint8_t bytes[4096];
    size_t size;
};
/* Calls for each vector of a file of tests/golden/security. */
void each_golden(const char *file, void (*run)(void *user, const struct golden *golden), void *user);
struct covey_bytes golden_named(const char *file, const char *name); /* valid until the next call */

struct covey_key *new_key(void);
struct covey_public_key public_half(const struct covey_key *key);

#endif
