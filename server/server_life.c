/* How a server comes to be, from its folder and its options, and how it ends. */
#include "federation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLD_THREADS_DEFAULT 8

static enum covey_status lock_folder(struct covey_server *server, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    const char *folder = server->folder;
    if (strlen(server->options.folder) >= sizeof server->folder)
        return covey_fail(err, COVEY_LIMIT, "the path %.80s... is too long", server->options.folder);
    (void)snprintf(server->folder, sizeof server->folder, "%s", server->options.folder);
    server->options.folder = server->folder;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return covey_fail(err, COVEY_IO, "%s could not be made: %s", folder, strerror(errno));
    if ((size_t)snprintf(path, sizeof path, "%s/lock", folder) >= sizeof path)
        return covey_fail(err, COVEY_LIMIT, "the path %.80s... is too long", folder);
    server->lock_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (server->lock_file < 0)
        return covey_fail(err, COVEY_IO, "%s could not be made: %s", path, strerror(errno));
    if (flock(server->lock_file, LOCK_EX | LOCK_NB) != 0)
        return covey_fail(err, COVEY_EXISTS, "%s is in use by another covey-server", folder);
    return COVEY_OK;
}

struct restoring {
    struct covey_registry *registry;
    enum covey_status status;
    struct covey_error *err;
};

static bool restore_device(void *user, const struct covey_ledger_device *device)
{
    struct restoring *restoring = user;
    restoring->status = covey_registry_restore(restoring->registry, device, restoring->err);
    return restoring->status == COVEY_OK;
}

static enum covey_status open_ledger(struct covey_server *server, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s/ledger.sqlite", server->options.folder) >= sizeof path)
        return covey_fail(err, COVEY_LIMIT, "the path is too long");
    COVEY_TRY(covey_ledger_open(path, &server->ledger, err));
    COVEY_TRY(covey_registry_create(COVEY_DEVICES, &server->registry, err));
    struct restoring restoring = {server->registry, COVEY_OK, err};
    COVEY_TRY(covey_ledger_each_device(server->ledger, restore_device, &restoring, err));
    return restoring.status;
}

static uint32_t processors(void)
{
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count < FOLD_THREADS_DEFAULT ? (uint32_t)count : FOLD_THREADS_DEFAULT;
}

static void fill_defaults(struct covey_server_options *options)
{
    if (options->fold_threads == 0)
        options->fold_threads = processors();
    if (options->fold_threads > COVEY_FOLD_THREADS)
        options->fold_threads = COVEY_FOLD_THREADS;
    if (options->intake_threads == 0)
        options->intake_threads = processors();
    if (options->intake_threads > COVEY_INTAKE_THREADS)
        options->intake_threads = COVEY_INTAKE_THREADS;
    if (options->intake_memory_bytes == 0)
        options->intake_memory_bytes = COVEY_INTAKE_MEMORY_BYTES;
    if (options->shard_count == 0)
        options->shard_count = 1;
    if (options->shard_devices == 0)
        options->shard_devices = COVEY_SHARD_DEVICES;
}

static enum covey_status make_federations(struct covey_server *server,
                                          const struct covey_federation_options *options, uint32_t count,
                                          struct covey_error *err)
{
    server->federations = calloc(count, sizeof *server->federations);
    if (server->federations == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u federations", count);
    for (uint32_t i = 0; i < count; i++) {
        if (covey_federation_find(server, options[i].name, strlen(options[i].name)) != NULL)
            return covey_fail(err, COVEY_INVALID, "there are two federations of the name %s",
                              options[i].name);
        server->options.federation_count = i + 1; /* from here on destroy takes care of it */
        enum covey_status status =
            covey_federation_init(&server->federations[i], server, i, &options[i], err);
        if (status == COVEY_OK && options[i].parent != NULL)
            status = covey_uplink_create(&server->federations[i], &server->federations[i].uplink, err);
        if (status == COVEY_OK)
            status = covey_federation_recover(&server->federations[i], err);
        if (status != COVEY_OK)
            return covey_fail_at(err, status, "federation %s: ", options[i].name);
        server->federations[i].options.initial = NULL;
    }
    return COVEY_OK;
}

static enum covey_status start_threads(struct covey_server *server, struct covey_error *err)
{
    COVEY_TRY(covey_fold_create(&server->fold, err));
    COVEY_TRY(covey_workers_create(server->options.intake_threads, COVEY_INTAKE_JOBS, &server->intake, err));
    COVEY_TRY(covey_workers_create(1, COVEY_WORK_QUEUE, &server->work, err));
    return covey_workers_create(1, COVEY_JUDGE_QUEUE, &server->judge, err);
}

static void init_loop(struct covey_server *server)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->loop_wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&server->loop_mutex, NULL);
}

enum covey_status covey_server_create(const struct covey_server_options *options, struct covey_server **out,
                                      struct covey_error *err)
{
    const uint32_t count = options->federation_count;
    if (count == 0 || count > COVEY_FEDERATIONS)
        return covey_fail(err, COVEY_INVALID, "a server has 1 to %d federations, not %u", COVEY_FEDERATIONS,
                          count);
    struct covey_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the server");
    server->options = *options;
    server->options.federations = NULL;
    server->options.federation_count = 0;
    server->lock_file = -1;
    fill_defaults(&server->options);
    server->fold_threads = server->options.fold_threads;
    init_loop(server);
    server->started_ms = covey_server_now_ms(server);
    enum covey_status status = lock_folder(server, err);
    if (status == COVEY_OK)
        status = open_ledger(server, err);
    if (status == COVEY_OK)
        status = make_federations(server, options->federations, count, err);
    if (status == COVEY_OK)
        status = start_threads(server, err);
    if (status != COVEY_OK) {
        covey_server_destroy(server);
        return status;
    }
    *out = server;
    return COVEY_OK;
}

void covey_server_attach(struct covey_server *server, const struct covey_host_handle *host, uint16_t port)
{
    server->host = *host;
    server->port = port;
    atomic_store(&server->accepting, true); /* not before: who asks is told the port */
}

void covey_server_destroy(struct covey_server *server)
{
    if (server == NULL)
        return;
    atomic_store(&server->accepting, false);
    for (uint32_t i = 0; i < server->options.federation_count; i++) {
        covey_uplink_destroy(server->federations[i].uplink); /* it posts work */
        server->federations[i].uplink = NULL;
    }
    covey_workers_destroy(server->intake);
    covey_workers_destroy(server->work);
    covey_workers_destroy(server->judge);
    covey_ledger_close(server->ledger); /* its last answers may still post to the fold */
    covey_fold_destroy(server->fold);
    for (uint32_t i = 0; i < server->options.federation_count; i++)
        covey_federation_deinit(&server->federations[i]);
    free(server->federations);
    covey_registry_destroy(server->registry);
    if (server->lock_file >= 0)
        (void)close(server->lock_file);
    pthread_cond_destroy(&server->loop_wake);
    pthread_mutex_destroy(&server->loop_mutex);
    free(server);
}
