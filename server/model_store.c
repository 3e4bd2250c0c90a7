#include "model_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/hash.h"

#define NAME_FORMAT "%08llu.model"
#define ALIGNMENT 64u
#define ENTRY_BYTES (4 + 4 + 8 + 8 + COVEY_HASH_BYTES)
#define TABLE_BYTES (16 + COVEY_SECTION_COUNT * ENTRY_BYTES)
#define HEADER_BYTES (TABLE_BYTES + COVEY_HASH_BYTES)
#define FILE_BYTES (8ull * COVEY_BODY_BYTES) /* a model file, at the most */

static const uint8_t magic[8] = {'C', 'O', 'V', 'E', 'Y', 'M', 'D', 'L'};

struct covey_model_store {
    const struct covey_file_calls *calls;
    char folder[COVEY_FILE_PATH_BYTES - 64];
};

struct section {
    uint64_t offset, bytes;
    struct covey_hash hash;
};

/* ------------------------------------------------------------------ header */

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *in)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)in[i] << (8 * i);
    return value;
}

static uint64_t get_u64(const uint8_t *in)
{
    return get_u32(in) | (uint64_t)get_u32(in + 4) << 32;
}

static uint64_t aligned(uint64_t offset)
{
    return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static enum covey_status write_header(uint8_t header[HEADER_BYTES],
                                      const struct covey_bytes sections[COVEY_SECTION_COUNT])
{
    memset(header, 0, HEADER_BYTES);
    memcpy(header, magic, sizeof magic);
    put_u32(header + 8, COVEY_MODEL_FILE_VERSION);
    put_u32(header + 12, COVEY_SECTION_COUNT);
    uint64_t offset = aligned(HEADER_BYTES);
    for (uint32_t i = 0; i < COVEY_SECTION_COUNT; i++) {
        uint8_t *entry = header + 16 + i * ENTRY_BYTES;
        struct covey_hash hash;
        COVEY_TRY(covey_hash_bytes(sections[i], &hash));
        put_u32(entry, i);
        put_u64(entry + 8, offset);
        put_u64(entry + 16, sections[i].size);
        memcpy(entry + 24, hash.bytes, sizeof hash.bytes);
        offset = aligned(offset + sections[i].size);
    }
    struct covey_hash hash;
    COVEY_TRY(covey_hash_bytes((struct covey_bytes){header, TABLE_BYTES}, &hash));
    memcpy(header + TABLE_BYTES, hash.bytes, sizeof hash.bytes);
    return COVEY_OK;
}

/* Checks the header and that every section lies inside the file. */
static enum covey_status read_header(struct covey_bytes file, const char *path,
                                     struct section sections[COVEY_SECTION_COUNT], struct covey_error *err)
{
    if (file.size < HEADER_BYTES || memcmp(file.data, magic, sizeof magic) != 0)
        return covey_fail(err, COVEY_CORRUPT, "%s is not a model file of Covey", path);
    if (get_u32(file.data + 8) != COVEY_MODEL_FILE_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "%s has version %u, this program knows %d", path,
                          get_u32(file.data + 8), COVEY_MODEL_FILE_VERSION);
    struct covey_hash hash;
    COVEY_TRY(covey_hash_bytes((struct covey_bytes){file.data, TABLE_BYTES}, &hash));
    if (memcmp(hash.bytes, file.data + TABLE_BYTES, sizeof hash.bytes) != 0 ||
        get_u32(file.data + 12) != COVEY_SECTION_COUNT)
        return covey_fail(err, COVEY_CORRUPT, "%s is damaged in its header", path);
    for (uint32_t i = 0; i < COVEY_SECTION_COUNT; i++) {
        const uint8_t *entry = file.data + 16 + i * ENTRY_BYTES;
        sections[i].offset = get_u64(entry + 8);
        sections[i].bytes = get_u64(entry + 16);
        memcpy(sections[i].hash.bytes, entry + 24, sizeof sections[i].hash.bytes);
        if (sections[i].bytes > file.size || sections[i].offset > file.size - sections[i].bytes)
            return covey_fail(err, COVEY_CORRUPT, "%s is cut short", path);
    }
    return COVEY_OK;
}

/* ------------------------------------------------------------------ mapped files */

struct mapping {
    void *base;
    size_t bytes;
};

static void unmap(void *owner)
{
    struct mapping *mapping = owner;
    (void)munmap(mapping->base, mapping->bytes);
    free(mapping);
}

static enum covey_status map_file(const char *path, struct mapping **out, struct covey_error *err)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: %s", path, strerror(errno));
    struct mapping *mapping = malloc(sizeof *mapping);
    struct stat facts;
    enum covey_status status = COVEY_OK;
    if (mapping == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to map %s", path);
    else if (fstat(file, &facts) != 0)
        status = covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    else if (facts.st_size <= 0 || (uint64_t)facts.st_size > FILE_BYTES)
        status = covey_fail(err, COVEY_CORRUPT, "%s has %lld bytes: it is no model", path,
                            (long long)facts.st_size);
    if (status == COVEY_OK) {
        mapping->bytes = (size_t)facts.st_size;
        mapping->base = mmap(NULL, mapping->bytes, PROT_READ, MAP_PRIVATE, file, 0);
        if (mapping->base == MAP_FAILED)
            status = covey_fail(err, COVEY_NO_MEMORY, "%s could not be mapped: %s", path, strerror(errno));
    }
    (void)close(file);
    if (status != COVEY_OK)
        free(mapping);
    else
        *out = mapping;
    return status;
}

static void model_path(const struct covey_model_store *store, uint64_t sequence,
                       char out[COVEY_FILE_PATH_BYTES])
{
    (void)snprintf(out, COVEY_FILE_PATH_BYTES, "%s/" NAME_FORMAT, store->folder,
                   (unsigned long long)sequence);
}

enum covey_status covey_model_store_section(const struct covey_model_store *store, uint64_t sequence,
                                            enum covey_model_section which, struct covey_blob **out,
                                            struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    model_path(store, sequence, path);
    struct mapping *mapping = NULL;
    COVEY_TRY(map_file(path, &mapping, err));
    const struct covey_bytes file = {mapping->base, mapping->bytes};
    struct section sections[COVEY_SECTION_COUNT];
    struct covey_hash hash;
    enum covey_status status = read_header(file, path, sections, err);
    struct covey_bytes bytes = {NULL, 0};
    if (status == COVEY_OK) {
        bytes = (struct covey_bytes){file.data + sections[which].offset, (size_t)sections[which].bytes};
        status = covey_hash_bytes(bytes, &hash);
    }
    if (status == COVEY_OK && !covey_hash_equal(&hash, &sections[which].hash))
        status = covey_fail(err, COVEY_CORRUPT, "%s is damaged: section %d does not have its hash", path,
                            (int)which);
    if (status == COVEY_OK)
        status = covey_blob_create(bytes, &hash, unmap, mapping, out);
    if (status != COVEY_OK)
        unmap(mapping);
    return status;
}

static enum covey_status check_file(const struct covey_model_store *store, uint64_t sequence,
                                    struct covey_error *err)
{
    for (int i = 0; i < COVEY_SECTION_COUNT; i++) {
        struct covey_blob *blob = NULL;
        COVEY_TRY(covey_model_store_section(store, sequence, (enum covey_model_section)i, &blob, err));
        covey_blob_release(blob);
    }
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the folder */

/* The sequence in a file's name; 0 of *is_model otherwise. */
static uint64_t sequence_of(const char *name, bool *is_model)
{
    unsigned long long sequence = 0;
    int end = 0;
    *is_model = strlen(name) == 14 && sscanf(name, "%8llu.model%n", &sequence, &end) == 1 && end == 14 &&
                strspn(name, "0123456789") == 8;
    return sequence;
}

/* Calls for every entry's name. */
static enum covey_status each_name(const struct covey_model_store *store,
                                   void (*each)(const struct covey_model_store *store, const char *name,
                                                void *user),
                                   void *user, struct covey_error *err)
{
    DIR *folder = opendir(store->folder);
    if (folder == NULL)
        return covey_fail(err, COVEY_IO, "%s: %s", store->folder, strerror(errno));
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL)
        each(store, entry->d_name, user);
    (void)closedir(folder);
    return COVEY_OK;
}

static void remove_name(const struct covey_model_store *store, const char *name)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", store->folder, name) < (int)sizeof path)
        (void)store->calls->unlink(store->calls->user, path);
}

static void remove_temporary(const struct covey_model_store *store, const char *name, void *user)
{
    (void)user;
    const size_t size = strlen(name), tail = strlen(COVEY_TEMPORARY_SUFFIX);
    if (size > tail && strcmp(name + size - tail, COVEY_TEMPORARY_SUFFIX) == 0)
        remove_name(store, name);
}

struct search {
    uint64_t below; /* only those smaller */
    uint64_t newest;
    bool found;
};

static void note_newest(const struct covey_model_store *store, const char *name, void *user)
{
    (void)store;
    struct search *search = user;
    bool is_model;
    const uint64_t sequence = sequence_of(name, &is_model);
    if (!is_model || sequence >= search->below || (search->found && sequence <= search->newest))
        return;
    search->newest = sequence;
    search->found = true;
}

static void remove_old(const struct covey_model_store *store, const char *name, void *user)
{
    bool is_model;
    const uint64_t sequence = sequence_of(name, &is_model);
    if (is_model && sequence < *(const uint64_t *)user)
        remove_name(store, name);
}

static void set_aside(const struct covey_model_store *store, uint64_t sequence)
{
    char path[COVEY_FILE_PATH_BYTES], aside[COVEY_FILE_PATH_BYTES];
    model_path(store, sequence, path);
    if (snprintf(aside, sizeof aside, "%.*s.damaged", (int)sizeof aside - 16, path) > 0)
        (void)store->calls->rename(store->calls->user, path, aside);
}

enum covey_status covey_model_store_latest(struct covey_model_store *store, uint64_t *sequence,
                                           uint32_t *damaged, struct covey_error *err)
{
    struct search search = {.below = COVEY_MODEL_SEQUENCES + 1};
    *damaged = 0;
    for (uint32_t tries = 0; tries < COVEY_MODEL_KEEP; tries++) {
        search.found = false;
        COVEY_TRY(each_name(store, note_newest, &search, err));
        if (!search.found)
            break;
        enum covey_status status = check_file(store, search.newest, err);
        if (status == COVEY_OK) {
            *sequence = search.newest;
            return COVEY_OK;
        }
        if (status != COVEY_CORRUPT)
            return status; /* memory, rights, a later version: not for us to pass over */
        set_aside(store, search.newest);
        (*damaged)++;
        search.below = search.newest;
    }
    return covey_fail(err, COVEY_NOT_FOUND, "%s holds no intact model", store->folder);
}

enum covey_status covey_model_store_newest(const struct covey_model_store *store, uint64_t *sequence,
                                           struct covey_error *err)
{
    struct search search = {.below = COVEY_MODEL_SEQUENCES + 1};
    COVEY_TRY(each_name(store, note_newest, &search, err));
    if (!search.found)
        return covey_fail(err, COVEY_NOT_FOUND, "%s holds no model", store->folder);
    *sequence = search.newest;
    return COVEY_OK;
}

bool covey_model_store_has(const struct covey_model_store *store, uint64_t sequence)
{
    char path[COVEY_FILE_PATH_BYTES];
    model_path(store, sequence, path);
    return access(path, R_OK) == 0;
}

void covey_model_store_prune(struct covey_model_store *store, uint64_t newest, uint32_t keep)
{
    const uint64_t kept = keep == 0 ? 1 : keep;
    if (newest < kept)
        return;
    uint64_t oldest = newest - kept + 1;
    (void)each_name(store, remove_old, &oldest, NULL);
}

/* ------------------------------------------------------------------ life, saving */

static enum covey_status make_store(const char *folder, const struct covey_file_calls *calls,
                                    struct covey_model_store **out, struct covey_error *err)
{
    struct covey_model_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a model store");
    store->calls = calls == NULL ? &covey_file_calls_system : calls;
    if ((size_t)snprintf(store->folder, sizeof store->folder, "%s", folder) >= sizeof store->folder) {
        free(store);
        return covey_fail(err, COVEY_LIMIT, "the path %.80s... is too long", folder);
    }
    *out = store;
    return COVEY_OK;
}

enum covey_status covey_model_store_open(const char *folder, const struct covey_file_calls *calls,
                                         struct covey_model_store **out, struct covey_error *err)
{
    struct covey_model_store *store = NULL;
    COVEY_TRY(make_store(folder, calls, &store, err));
    enum covey_status status = COVEY_OK;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        status = covey_fail(err, COVEY_IO, "%s could not be made: %s", folder, strerror(errno));
    else
        status = each_name(store, remove_temporary, NULL, err);
    if (status != COVEY_OK) {
        free(store);
        return status;
    }
    *out = store;
    return COVEY_OK;
}

enum covey_status covey_model_store_open_to_read(const char *folder, struct covey_model_store **out,
                                                 struct covey_error *err)
{
    if (access(folder, R_OK | X_OK) != 0)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: %s", folder, strerror(errno));
    return make_store(folder, NULL, out, err);
}

const char *covey_model_store_folder(const struct covey_model_store *store)
{
    return store->folder;
}

void covey_model_store_close(struct covey_model_store *store)
{
    free(store);
}

enum covey_status covey_model_store_save(struct covey_model_store *store, uint64_t sequence,
                                         const struct covey_bytes sections[COVEY_SECTION_COUNT],
                                         struct covey_error *err)
{
    static const uint8_t zeros[ALIGNMENT];
    if (sequence > COVEY_MODEL_SEQUENCES)
        return covey_fail(err, COVEY_LIMIT, "model %llu: no more than %llu models",
                          (unsigned long long)sequence, COVEY_MODEL_SEQUENCES);
    uint8_t header[HEADER_BYTES];
    COVEY_TRY(write_header(header, sections));
    struct covey_bytes pieces[2 + 2 * COVEY_SECTION_COUNT];
    size_t count = 0;
    uint64_t offset = HEADER_BYTES;
    pieces[count++] = (struct covey_bytes){header, HEADER_BYTES};
    for (int i = 0; i < COVEY_SECTION_COUNT; i++) {
        pieces[count++] = (struct covey_bytes){zeros, (size_t)(aligned(offset) - offset)};
        pieces[count++] = sections[i];
        offset = aligned(offset) + sections[i].size;
    }
    pieces[count++] = (struct covey_bytes){zeros, (size_t)(aligned(offset) - offset)};
    char name[32];
    (void)snprintf(name, sizeof name, NAME_FORMAT, (unsigned long long)sequence);
    return covey_file_replace(store->calls, store->folder, name, 0600, pieces, count, err);
}
