#include "security_files.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/hash.h"

static char scratch_dir[256];

void scratch_make(void)
{
    struct covey_error err = {0};
    const char *base = getenv("TMPDIR");
    (void)snprintf(scratch_dir, sizeof scratch_dir, "%s/covey-security-XXXXXX", base != NULL ? base : "/tmp");
    cr_assert_not_null(mkdtemp(scratch_dir));
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

void scratch_remove(void)
{
    (void)nftw(scratch_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch(const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", scratch_dir, name);
    return path;
}

struct covey_bytes file_text(const char *path)
{
    static char texts[4][8192];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    const size_t size = fread(text, 1, sizeof texts[0] - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    return (struct covey_bytes){(const uint8_t *)text, size + 1};
}

void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    cr_assert_geq(fputs(text, file), 0);
    (void)fclose(file);
}

void each_golden(const char *file, void (*run)(void *user, const struct golden *golden), void *user)
{
    static struct golden golden;
    char path[512], line[256];
    int count = 0;
    (void)snprintf(path, sizeof path, GOLDEN "%s", file);
    FILE *stream = fopen(path, "r");
    cr_assert_not_null(stream, "%s", path);
    while (fgets(line, sizeof line, stream) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#')
            continue;
        if (line[0] == '=') {
            if (count++ > 0)
                run(user, &golden);
            golden.size = 0;
            cr_assert_eq(sscanf(line, "= %63s %127[^\n]", golden.name, golden.rest), 2, "%s", line);
            continue;
        }
        const size_t more = strlen(line) / 2;
        cr_assert_leq(golden.size + more, sizeof golden.bytes);
        cr_assert_eq(covey_hex_read(line, golden.bytes + golden.size, more), 0);
        golden.size += more;
    }
    (void)fclose(stream);
    cr_assert_gt(count, 0);
    run(user, &golden);
}

struct search {
    const char *name;
    struct golden *out;
    int found;
};

static void compare(void *user, const struct golden *golden)
{
    struct search *search = user;
    if (strcmp(golden->name, search->name) != 0)
        return;
    *search->out = *golden;
    search->found++;
}

struct covey_bytes golden_named(const char *file, const char *name)
{
    static struct golden golden;
    struct search search = {name, &golden, 0};
    each_golden(file, compare, &search);
    cr_assert_eq(search.found, 1, "%s in %s", name, file);
    return (struct covey_bytes){golden.bytes, golden.size};
}

struct covey_key *new_key(void)
{
    struct covey_key *key = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_key_generate(&key, &err), COVEY_OK, "%s", err.text);
    return key;
}

struct covey_public_key public_half(const struct covey_key *key)
{
    struct covey_public_key out;
    struct covey_error err = {0};
    cr_assert_eq(covey_key_public(key, &out, &err), COVEY_OK, "%s", err.text);
    return out;
}
