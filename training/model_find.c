/* Where a model that the user named lies. COVEY_MODELS_INSTALLED and COVEY_MODELS_SOURCE come from
 * CMakeLists.txt. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/model.h"

static bool is_path(const char *name)
{
    const size_t length = strlen(name);
    return strchr(name, '/') != NULL || (length > 5 && strcmp(name + length - 5, ".yaml") == 0);
}

/* The folder of the running program's install tree, "" when unknown: PREFIX/bin/program ->
 * PREFIX/share/covey/models. */
static void find_beside_program(char *out, size_t out_bytes)
{
    char program[COVEY_FILE_PATH_BYTES];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    out[0] = '\0';
    if (length <= 0)
        return;
    program[length] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(program, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
    if (snprintf(out, out_bytes, "%s/share/covey/models", program) >= (int)out_bytes)
        out[0] = '\0';
}

enum covey_status covey_model_find(const char *name, char *out, size_t out_bytes, struct covey_error *err)
{
    char beside[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES];
    if (is_path(name)) {
        if (access(name, R_OK) != 0)
            return covey_fail(err, COVEY_NOT_FOUND, "no model file '%s'", name);
        if (snprintf(out, out_bytes, "%s", name) >= (int)out_bytes)
            return covey_fail(err, COVEY_LIMIT, "the path '%.80s...' is too long", name);
        return COVEY_OK;
    }
    find_beside_program(beside, sizeof beside);
    const char *const folders[] = {beside, COVEY_MODELS_INSTALLED, COVEY_MODELS_SOURCE};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        const int length = snprintf(path, sizeof path, "%s/%s.yaml", folders[i], name);
        if (folders[i][0] == '\0' || length >= (int)sizeof path || length >= (int)out_bytes ||
            access(path, R_OK) != 0)
            continue;
        memcpy(out, path, (size_t)length + 1);
        return COVEY_OK;
    }
    return covey_fail(err, COVEY_NOT_FOUND, "no model '%s': looked for %s.yaml in %s, %s and %s", name, name,
                      beside, COVEY_MODELS_INSTALLED, COVEY_MODELS_SOURCE);
}

enum covey_status covey_model_load(const char *name, struct covey_model_description *out,
                                   struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_model_find(name, path, sizeof path, err));
    return covey_model_load_file(path, out, err);
}
