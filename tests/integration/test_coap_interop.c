/* A stranger's client against our server: libcoap's own example client, which scripts/bootstrap builds into
 * the prefix, one block at a time: it downloads a model by Block2 and uploads an update by Block1. libcoap's
 * block mode does the blocks on its side, so only the standard can hold the two together. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coap_rig.h"

#define CLIENT COVEY_DEPS_DIR "/bin/coap-client"
#define MODEL_BYTES 100003

static char folder[64];

static const char *in_folder(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", folder, name);
    return out;
}

static void hex_key(const struct covey_credentials *credentials, char out[2 + 2 * COVEY_PSK_BYTES + 1])
{
    memcpy(out, "0x", 2);
    covey_hex_write(credentials->psk, COVEY_PSK_BYTES, out + 2);
}

/* Runs the client with these arguments; its exit status, -1 when it could not be run. What it says goes to a
 * file. */
static int run_client(char *const arguments[])
{
    pid_t child = fork();
    if (child == 0) {
        char out[128];
        if (freopen(in_folder(out, "said"), "w", stdout) == NULL || dup2(1, 2) < 0)
            _exit(126);
        execv(CLIENT, arguments);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static struct covey_bytes read_file(const char *name)
{
    char path[128];
    FILE *file = fopen(in_folder(path, name), "rb");
    static uint8_t bytes[MODEL_BYTES + 100];
    cr_assert_not_null(file, "%s: %s", path, strerror(errno));
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return (struct covey_bytes){bytes, size};
}

static void start(void)
{
    snprintf(folder, sizeof folder, "/tmp/covey-interop-%d", (int)getpid());
    cr_assert_eq(mkdir(folder, 0700), 0);
    if (access(CLIENT, X_OK) != 0)
        cr_assert_fail("%s is not there: run scripts/bootstrap", CLIENT);
}

static void finish(void)
{
    static const char *const names[] = {"said", "model", "update"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(in_folder(path, names[i]));
    rmdir(folder);
}

static void download(struct rig *rig, const char *block)
{
    char key[2 + 2 * COVEY_PSK_BYTES + 1], uri[96], model[128];
    struct covey_credentials credentials = rig_psk("device-plain");
    hex_key(&credentials, key);
    snprintf(uri, sizeof uri, "coaps://localhost:%u/model", rig->port);
    in_folder(model, "model");
    char *arguments[] = {CLIENT, "-B",  "120", "-u", "device-plain", "-k", key, "-b", (char *)block,
                         "-o",   model, uri,   NULL};
    cr_assert_eq(run_client(arguments), 0);
    struct covey_bytes got = read_file("model"), sent = covey_blob_view(rig->model);
    cr_assert_eq(got.size, sent.size, "%zu of %zu bytes with blocks of %s", got.size, sent.size, block);
    cr_assert_arr_eq(got.data, sent.data, sent.size);
}

static void upload(struct rig *rig, const char *block, const char *method, size_t size)
{
    char key[2 + 2 * COVEY_PSK_BYTES + 1], uri[96], update[128];
    struct covey_credentials credentials = rig_psk("device-plain");
    hex_key(&credentials, key);
    snprintf(uri, sizeof uri, "coaps://localhost:%u/f/digits/a/0123456789abcdef", rig->port);
    static uint8_t bytes[MODEL_BYTES];
    fill_bytes(bytes, size, size + 1);
    FILE *file = fopen(in_folder(update, "update"), "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
    int before = atomic_load(&rig->uploads);
    char *arguments[] = {CLIENT, "-B",          "120", "-u",           "device-plain", "-k", key,
                         "-b",   (char *)block, "-m",  (char *)method, "-t",           "60", "-f",
                         update, uri,           NULL};
    cr_assert_eq(run_client(arguments), 0);
    struct covey_hash hash;
    cr_assert_eq(covey_hash_bytes((struct covey_bytes){bytes, size}, &hash), COVEY_OK);
    struct covey_bytes said = read_file("said");
    cr_assert_eq(atomic_load(&rig->uploads), before + 1, "%zu bytes by blocks of %s: %.*s", size, block,
                 (int)said.size, (const char *)said.data);
    cr_assert_eq(rig->last_body_bytes, size);
    cr_assert(covey_hash_equal(&hash, &rig->last_body));
}

Test(interop, plain_client_downloads, .init = start, .fini = finish, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, MODEL_BYTES, 1);
    static const char *const blocks[] = {"1024", "512", "64"};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        download(rig, blocks[i]);
    rig_stop(rig);
}

Test(interop, plain_client_uploads, .init = start, .fini = finish, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, MODEL_BYTES, 1);
    upload(rig, "1024", "put", MODEL_BYTES);
    upload(rig, "1024", "put", MODEL_BYTES - 1); /* the same path again */
    upload(rig, "256", "put", 20000);
    upload(rig, "1024", "post", 5000);
    upload(rig, "1024", "put", 100);
    rig_stop(rig);
}

/* The service answers later: the last block's answer comes as a separate response. */
static void *release_later(void *user)
{
    struct rig *rig = user;
    if (rig_await_held(rig, 1)) {
        usleep(300000); /* the bare acknowledgement goes first */
        rig_release(rig, COVEY_CODE_CHANGED);
    }
    return NULL;
}

Test(interop, plain_client_waits_for_a_separate_response, .init = start, .fini = finish, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, MODEL_BYTES, 1);
    atomic_store(&rig->hold_uploads, 1);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, release_later, rig), 0);
    upload(rig, "1024", "put", 30000);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    rig_stop(rig);
}

Test(interop, wrong_key_is_refused, .init = start, .fini = finish, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, MODEL_BYTES, 1);
    char uri[96];
    snprintf(uri, sizeof uri, "coaps://localhost:%u/model", rig->port);
    char *arguments[] = {CLIENT, "-B", "3", "-u", "device-plain", "-k", "wrong", uri, NULL};
    run_client(arguments);
    cr_assert_eq(atomic_load(&rig->served), 0);
    rig_stop(rig);
}
