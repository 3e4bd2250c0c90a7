/* Files for tests of data sets: a folder of their own, removed at the end. */
#ifndef COVEY_TEST_DATASET_FILES_H
#define COVEY_TEST_DATASET_FILES_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/dataset_load.h"

static char test_folder[64];

static inline void folder_make(void)
{
    strcpy(test_folder, "/tmp/covey-test-XXXXXX");
    cr_assert(mkdtemp(test_folder) != NULL);
}

static inline void folder_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", test_folder);
    cr_assert(system(command) == 0);
}

/* The path of a file there; a few may be in use at once. */
static inline char *folder_path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}

static inline char *write_bytes(const char *name, const void *bytes, size_t count)
{
    char *path = folder_path(name);
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL);
    cr_assert(count == 0 || fwrite(bytes, count, 1, file) == 1);
    cr_assert(fclose(file) == 0);
    return path;
}

static inline char *write_text(const char *name, const char *text)
{
    return write_bytes(name, text, strlen(text));
}

static inline char *write_gzip(const char *name, const void *bytes, size_t count)
{
    char command[256], *path = write_bytes(name, bytes, count);
    snprintf(command, sizeof command, "gzip -n %s", path);
    cr_assert(system(command) == 0);
    strcat(path, ".gz");
    return path;
}

/* Loads one table as the inputs. */
static inline enum covey_status load_one(char *path, struct covey_dataset *out, struct covey_error *err)
{
    struct covey_data_config config = {.inputs = {.names = &path, .count = 1}};
    return covey_data_load(&config, NULL, out, err);
}

#endif
