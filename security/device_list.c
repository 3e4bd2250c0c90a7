#include "device_list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "key_file.h"

#define LINE_BYTES 256

void covey_device_list_init(struct covey_device_list *list)
{
    *list = (struct covey_device_list){0};
}

void covey_device_list_deinit(struct covey_device_list *list)
{
    free(list->entries);
    covey_device_list_init(list);
}

static enum covey_status add(struct covey_device_list *list, const struct covey_device_entry *entry,
                             struct covey_error *err)
{
    if (list->count == list->capacity) {
        if (list->capacity >= COVEY_DEVICES)
            return covey_fail(err, COVEY_LIMIT, "more than %u devices", COVEY_DEVICES);
        const size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        struct covey_device_entry *entries = realloc(list->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu devices", capacity);
        list->entries = entries;
        list->capacity = capacity;
    }
    list->entries[list->count++] = *entry;
    return COVEY_OK;
}

/* The next word of a line into out, which it must fit; the line goes on behind the blank after it. */
static bool take_word(const char **line, char *out, size_t size)
{
    const size_t length = strcspn(*line, " \n");
    if (length == 0 || length >= size || (*line)[length] != ' ')
        return false;
    memcpy(out, *line, length);
    out[length] = '\0';
    *line += length + 1;
    return true;
}

/* "SERIAL NAME NOT_AFTER" */
static bool parse_line(const char *line, struct covey_device_entry *entry)
{
    char *end;
    *entry = (struct covey_device_entry){0};
    if (!take_word(&line, entry->serial, sizeof entry->serial) ||
        !take_word(&line, entry->name, sizeof entry->name) || !covey_device_name_is_valid(entry->name))
        return false;
    errno = 0;
    entry->not_after_s = strtoll(line, &end, 10);
    return errno == 0 && end != line && strcmp(end, "\n") == 0;
}

static enum covey_status read_lines(struct covey_device_list *list, FILE *stream, const char *path,
                                    struct covey_error *err)
{
    char line[LINE_BYTES];
    for (unsigned number = 1; fgets(line, sizeof line, stream) != NULL; number++) {
        struct covey_device_entry entry;
        const size_t length = strlen(line);
        if (length + 1 < sizeof line && line[length - 1] != '\n')
            break; /* never finished */
        if (!parse_line(line, &entry))
            return covey_fail(err, COVEY_CORRUPT, "%s:%u: wanted SERIAL NAME NOT_AFTER", path, number);
        COVEY_TRY(add(list, &entry, err));
    }
    return ferror(stream) ? covey_fail(err, COVEY_IO, "cannot read %s: %s", path, strerror(errno)) : COVEY_OK;
}

enum covey_status covey_device_list_read(struct covey_device_list *list, const char *pki_dir,
                                         const char *file, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_key_file_path(path, pki_dir, file, err));
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return errno == ENOENT ? COVEY_OK
                               : covey_fail(err, COVEY_IO, "cannot read %s: %s", path, strerror(errno));
    enum covey_status status = read_lines(list, stream, path, err);
    (void)fclose(stream);
    return status;
}

enum covey_status covey_device_list_read_all(struct covey_device_list *list, const char *pki_dir,
                                             struct covey_error *err)
{
    struct covey_device_list revoked;
    covey_device_list_init(&revoked);
    enum covey_status status = covey_device_list_read(list, pki_dir, COVEY_ISSUED_FILE, err);
    if (status == COVEY_OK)
        status = covey_device_list_read(&revoked, pki_dir, COVEY_REVOKED_FILE, err);
    covey_device_list_sort(&revoked);
    for (size_t i = 0; status == COVEY_OK && i < list->count; i++)
        list->entries[i].revoked = covey_device_list_find(&revoked, list->entries[i].serial) != NULL;
    covey_device_list_deinit(&revoked);
    return status;
}

/* A line that a crash cut short was never reported as done: it is cut off, so that the next one stands alone.
 */
static int cut_unfinished(int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return -1;
    off_t end = info.st_size;
    for (char last; end > 0; end--) {
        if (pread(fd, &last, 1, end - 1) != 1)
            return -1;
        if (last == '\n')
            break;
    }
    return end == info.st_size ? 0 : ftruncate(fd, end);
}

static int write_line(int fd, const char *line, size_t size)
{
    if (cut_unfinished(fd) != 0 || lseek(fd, 0, SEEK_END) < 0)
        return -1;
    const ssize_t put = write(fd, line, size);
    if (put >= 0 && (size_t)put != size)
        errno = ENOSPC;
    return put == (ssize_t)size && fsync(fd) == 0 ? 0 : -1;
}

enum covey_status covey_device_list_append(const char *pki_dir, const char *file,
                                           const struct covey_device_entry *entry, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES], line[LINE_BYTES];
    COVEY_TRY(covey_key_file_path(path, pki_dir, file, err));
    const int size =
        snprintf(line, sizeof line, "%s %s %" PRId64 "\n", entry->serial, entry->name, entry->not_after_s);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return covey_fail(err, COVEY_IO, "cannot open %s: %s", path, strerror(errno));
    enum covey_status status = COVEY_OK;
    if (write_line(fd, line, (size_t)size) != 0)
        status = covey_fail(err, COVEY_IO, "cannot write %s: %s", path, strerror(errno));
    (void)close(fd);
    return status == COVEY_OK ? covey_key_file_sync_dir(pki_dir, err) : status;
}

static int by_serial(const void *a, const void *b)
{
    return strcmp(((const struct covey_device_entry *)a)->serial,
                  ((const struct covey_device_entry *)b)->serial);
}

void covey_device_list_sort(struct covey_device_list *list)
{
    if (list->count > 1)
        qsort(list->entries, list->count, sizeof *list->entries, by_serial);
}

const struct covey_device_entry *covey_device_list_find(const struct covey_device_list *list,
                                                        const char *serial)
{
    struct covey_device_entry key = {0};
    (void)snprintf(key.serial, sizeof key.serial, "%s", serial);
    if (list->count == 0)
        return NULL;
    return bsearch(&key, list->entries, list->count, sizeof *list->entries, by_serial);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct covey_device_entry *)a)->name, ((const struct covey_device_entry *)b)->name);
}

static void sort_by_name(struct covey_device_list *list)
{
    if (list->count > 1)
        qsort(list->entries, list->count, sizeof *list->entries, by_name);
}

const struct covey_device_entry *covey_device_list_find_name(const struct covey_device_list *list,
                                                             const char *name)
{
    struct covey_device_entry key = {0};
    (void)snprintf(key.name, sizeof key.name, "%s", name);
    if (list->count == 0)
        return NULL;
    return bsearch(&key, list->entries, list->count, sizeof *list->entries, by_name);
}

/* Keeps what counts. */
static void drop_revoked(struct covey_device_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (!list->entries[i].revoked)
            list->entries[kept++] = list->entries[i];
    list->count = kept;
}

enum covey_status covey_device_list_banned(const struct covey_device_list *revoked,
                                           struct covey_device_list *issued, struct covey_device_list *out,
                                           struct covey_error *err)
{
    drop_revoked(issued);
    sort_by_name(issued);
    for (size_t i = 0; i < revoked->count; i++)
        if (covey_device_list_find_name(issued, revoked->entries[i].name) == NULL)
            COVEY_TRY(add(out, &revoked->entries[i], err));
    sort_by_name(out);
    return COVEY_OK;
}
