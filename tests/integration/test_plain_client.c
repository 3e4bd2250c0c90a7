/* A whole round with the real server and a stranger's client that knows nothing of Covey's transport:
 * libcoap's example client, one block at a time, with a device's certificate. It fetches plan, manifest,
 * description and model by their hashes (Block2), we make an update of them by the wire format alone, and it
 * uploads that (Block1). The server counts it, closes the round, and ends. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/messages.h"

#define CLIENT COVEY_DEPS_DIR "/bin/coap-client"
#define SERVER COVEY_BIN_DIR "/covey-server"
#define FILE_BYTES (4u << 20)
#define PATIENCE_MS 240000 /* what has not come or ended by then fails the test */

static char folder[64];
static uint16_t port;
static uint8_t bytes[FILE_BYTES];

static void nap_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* Starts a program in the folder, its output in FOLDER/said. */
static pid_t start_program(const char *const arguments[], const char *said)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    int fd;
    if (chdir(folder) != 0 || (fd = open(said, O_WRONLY | O_CREAT | O_APPEND, 0600)) < 0 || dup2(fd, 1) < 0 ||
        dup2(fd, 2) < 0)
        _exit(126);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Exit status, or -1 when it did not end in time (then it is killed). */
static int end_program(pid_t child, int limit_ms)
{
    int status = 0;
    for (int waited = 0; waited < limit_ms; waited += 20) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        nap_ms(20);
    }
    kill(child, SIGKILL);
    (void)waitpid(child, &status, 0);
    return -1;
}

static int run(const char *const arguments[])
{
    return end_program(start_program(arguments, "said"), PATIENCE_MS);
}

static struct covey_bytes read_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return (struct covey_bytes){NULL, 0};
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return (struct covey_bytes){bytes, size};
}

static void write_file(const char *name, struct covey_bytes what)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file, "%s: %s", path, strerror(errno));
    cr_assert_eq(fwrite(what.data, 1, what.size, file), what.size);
    fclose(file);
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* One device is enough for a round here, and the whole model is to be long: zeros are short on a lattice. */
static void set_up_server(void)
{
    char number[8];
    snprintf(number, sizeof number, "%u", port);
    const char *init[] = {SERVER,   "init", "server",  "--name", "localhost",
                          "--port", number, "--model", "logreg", NULL};
    const char *add[] = {SERVER, "device", "add", "server", "stranger", "--out", "device", NULL};
    cr_assert_eq(run(init), 0);
    struct covey_bytes config = read_file("server/server.yaml");
    char text[16384];
    cr_assert_lt(config.size, sizeof text - 1);
    snprintf(text, sizeof text, "%.*s", (int)config.size, (const char *)config.data);
    char *minimum = strstr(text, "minimum_devices: 2");
    char *downlink = strstr(text, "downlink: " COVEY_DOWNLINK_DEFAULT);
    cr_assert(minimum != NULL && downlink != NULL && strlen(COVEY_DOWNLINK_DEFAULT) == strlen("fp16"));
    minimum[strlen("minimum_devices: ")] = '1';
    memcpy(downlink + strlen("downlink: "), "fp16", strlen("fp16"));
    write_file("server/server.yaml", (struct covey_bytes){(const uint8_t *)text, config.size});
    cr_assert_eq(run(add), 0);
}

static int ask(const char *method, const char *path, const char *file)
{
    char uri[256];
    snprintf(uri, sizeof uri, "coaps://localhost:%u/f/default/%s", port, path);
    bool get = strcmp(method, "get") == 0;
    const char *arguments[] = {CLIENT,
                               "-B",
                               "120",
                               "-b",
                               "1024",
                               "-c",
                               "device/device.crt",
                               "-j",
                               "device/device.key",
                               "-C",
                               "device/server-ca.crt",
                               "-m",
                               method,
                               get ? "-o" : "-f",
                               file,
                               uri,
                               NULL};
    return run(arguments);
}

static struct covey_bytes fetch(const struct covey_hash *hash, const char *file)
{
    char path[128] = "d/";
    struct covey_hash got;
    covey_hex_write(hash->bytes, sizeof hash->bytes, path + 2);
    cr_assert_eq(ask("get", path, file), 0);
    struct covey_bytes body = read_file(file);
    cr_assert_eq(covey_hash_bytes(body, &got), COVEY_OK);
    cr_assert(covey_hash_equal(&got, hash), "%s: %zu bytes of another hash", path, body.size);
    return body;
}

static struct covey_plan await_plan(void)
{
    struct covey_plan plan = {.kind = COVEY_PLAN_WAIT};
    for (int i = 0; i < PATIENCE_MS / 100 && plan.kind != COVEY_PLAN_TRAIN; i++) {
        nap_ms(100);
        if (ask("get", "plan", "plan") != 0)
            continue;
        struct covey_bytes body = read_file("plan");
        if (body.size > 0 && covey_plan_decode(body, &plan, NULL) != COVEY_OK)
            cr_assert_fail("a plan that cannot be read");
    }
    cr_assert_eq(plan.kind, COVEY_PLAN_TRAIN, "no assignment within its time");
    return plan;
}

/* An update that changes nothing, in the plan's codec. */
static void make_update(const struct covey_plan *plan, const struct covey_manifest *manifest)
{
    static uint8_t stream[FILE_BYTES], message[FILE_BYTES];
    static float zeros[FILE_BYTES / 8];
    static _Alignas(64) uint8_t scratch[FILE_BYTES];
    struct covey_codec codec;
    struct covey_error err = {0};
    size_t stream_bytes, message_bytes;
    cr_assert_lt(manifest->shared_count, sizeof zeros / sizeof zeros[0]);
    cr_assert_eq(covey_codec_parse(plan->codec, &codec, &err), COVEY_OK, "%s", err.text);
    cr_assert_leq(covey_codec_scratch_bytes(&codec, manifest->shared_count), sizeof scratch);
    struct covey_encode_options options = {
        .seed = plan->recipe.seed, .round = plan->round, .scratch = scratch, .scratch_bytes = sizeof scratch};
    cr_assert_eq(covey_codec_encode(&codec, zeros, manifest->shared_count, &options, stream, sizeof stream,
                                    &stream_bytes, NULL, &err),
                 COVEY_OK, "%s", err.text);
    struct covey_update update = {.assignment = plan->assignment,
                                  .model = manifest->model,
                                  .examples = 10,
                                  .steps = 1,
                                  .training_ms = 5,
                                  .loss_before = 2.3f,
                                  .loss_after = 2.2f,
                                  .clipped = 1,
                                  .stream = {stream, stream_bytes}};
    cr_assert_eq(covey_update_encode(&update, message, sizeof message, &message_bytes, &err), COVEY_OK, "%s",
                 err.text);
    write_file("update", (struct covey_bytes){message, message_bytes});
}

Test(plain_client, takes_part_in_a_round, .timeout = 900)
{
    snprintf(folder, sizeof folder, "/tmp/covey-plain-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(access(CLIENT, X_OK), 0, "%s is not there: run scripts/bootstrap", CLIENT);
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    port = free_port();
    set_up_server();
    const char *serve[] = {SERVER, "run", "server", "--rounds", "1", "--exit-when-done", NULL};
    pid_t server = start_program(serve, "server.log");

    struct covey_plan plan = await_plan();
    struct covey_cose_sign1 signed_manifest;
    struct covey_manifest manifest;
    cr_assert_eq(covey_cose_decode(fetch(&plan.manifest, "manifest"), &signed_manifest, NULL), COVEY_OK);
    cr_assert_eq(covey_manifest_decode(signed_manifest.payload, &manifest, NULL), COVEY_OK);
    cr_assert_eq(fetch(&manifest.description, "description").size, manifest.description_bytes);
    cr_assert_eq(fetch(&manifest.full, "model").size, manifest.full_bytes);
    cr_assert_gt(manifest.full_bytes, 10 * COVEY_BLOCK_BYTES, "the model needs many blocks");
    make_update(&plan, &manifest);
    char path[64] = "a/";
    covey_hex_write(plan.assignment.bytes, sizeof plan.assignment.bytes, path + 2);
    cr_assert_eq(ask("put", path, "update"), 0);

    int status = end_program(server, PATIENCE_MS);
    struct covey_bytes log = read_file("server.log");
    cr_assert_eq(status, 0, "the server ended with %d: %.*s", status, (int)log.size, (const char *)log.data);
    bytes[log.size < FILE_BYTES ? log.size : FILE_BYTES - 1] = '\0';
    cr_assert_not_null(strstr((const char *)log.data, "round-closed"), "%s", (const char *)log.data);
    const char *clean[] = {"/bin/rm", "-rf", folder, NULL};
    cr_assert_eq(run(clean), 0);
}
