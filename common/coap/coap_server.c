/* The server's side: covey_host_ops over shards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coap_address.h"
#include "coap_shard.h"

#define PORT_TRIES 32 /* with port 0: to find as many free ports in a row as there are shards */

struct covey_host {
    struct covey_coap_common common;
    char address[COVEY_COAP_HOST_BYTES];
    uint32_t shard_count;
    struct covey_coap_shard *shards;
};

/* ---------------------------------------------------------------- the table */

static enum covey_status host_notify(struct covey_host *host, const char *name, const char *path,
                                     struct covey_blob *body, int content_format)
{
    uint64_t shards = covey_coap_registry_find(host->common.registry, name);
    for (uint32_t i = 0; i < host->shard_count; i++) {
        if ((shards >> i & 1) != 0)
            COVEY_TRY(covey_coap_shard_notify(&host->shards[i], name, path, body, content_format));
    }
    return COVEY_OK;
}

static bool host_present(struct covey_host *host, const char *name)
{
    return covey_coap_registry_find(host->common.registry, name) != 0;
}

static void host_drop(struct covey_host *host, const char *name)
{
    uint64_t shards = covey_coap_registry_find(host->common.registry, name);
    for (uint32_t i = 0; i < host->shard_count; i++) {
        if ((shards >> i & 1) != 0 && covey_coap_shard_drop(&host->shards[i], name) != COVEY_OK)
            covey_log_event(host->common.config.env.log, COVEY_LOG_ERROR, "no-memory", "shard=%u", i);
    }
}

static void host_traffic(struct covey_host *host, struct covey_traffic *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < host->shard_count; i++) {
        struct covey_coap_shard_figures *figures = &host->shards[i].figures;
        out->bytes_up += atomic_load(&figures->received_bytes);
        out->bytes_down += atomic_load(&figures->sent_bytes);
        out->datagrams_up += atomic_load(&figures->received_datagrams);
        out->datagrams_down += atomic_load(&figures->sent_datagrams);
        out->upload_bytes_up += atomic_load(&figures->upload_bytes);
    }
}

void covey_coap_host_figures(struct covey_host *host, struct covey_coap_host_figures *out)
{
    memset(out, 0, sizeof *out);
    out->transfer_memory_bytes = atomic_load(&host->common.transfer_memory_bytes);
    for (uint32_t i = 0; i < host->shard_count; i++) {
        struct covey_coap_shard_figures *figures = &host->shards[i].figures;
        out->sessions += atomic_load(&figures->sessions);
        out->transfers += atomic_load(&figures->transfers);
        out->observations += atomic_load(&figures->observations);
        out->refused_handshakes += atomic_load(&figures->refused);
    }
}

uint16_t covey_coap_host_port(const struct covey_host *host, uint32_t shard)
{
    return shard < host->shard_count ? host->shards[shard].port : 0;
}

static void stop_shards(struct covey_host *host)
{
    for (uint32_t i = 0; i < host->shard_count; i++)
        covey_coap_shard_deinit(&host->shards[i]);
}

static void host_destroy(struct covey_host *host)
{
    if (host == NULL)
        return;
    if (host->shards != NULL)
        stop_shards(host);
    covey_coap_registry_destroy(host->common.registry);
    free(host->shards);
    free(host);
}

static const struct covey_host_ops host_ops = {
    .notify = host_notify,
    .present = host_present,
    .drop = host_drop,
    .traffic = host_traffic,
    .destroy = host_destroy,
};

/* ---------------------------------------------------------------- making one */

static void take_defaults(struct covey_coap_host_config *config)
{
    if (config->shard_count == 0)
        config->shard_count = 1;
    if (config->shard_sessions == 0)
        config->shard_sessions = COVEY_SHARD_DEVICES;
    if (config->shard_handshakes == 0)
        config->shard_handshakes = COVEY_COAP_HANDSHAKES;
    if (config->receive_buffer_bytes == 0)
        config->receive_buffer_bytes = COVEY_COAP_RECEIVE_BUFFER_BYTES;
    if (config->transfer_memory_bytes == 0)
        config->transfer_memory_bytes = COVEY_COAP_TRANSFER_MEMORY_BYTES;
    if (config->transfer_idle_ms == 0)
        config->transfer_idle_ms = COVEY_COAP_TRANSFER_IDLE_MS;
    if (config->session_idle_s == 0)
        config->session_idle_s = COVEY_COAP_SESSION_IDLE_S;
}

/* Binds shard i at base + i; base 0: whatever is free for shard 0. */
static enum covey_status bind_shard(struct covey_host *host, uint32_t index, uint16_t base,
                                    struct covey_error *err)
{
    struct covey_coap_address addresses[COVEY_COAP_ADDRESSES];
    size_t count;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", base == 0 ? 0u : (unsigned)base + index);
    COVEY_TRY(covey_coap_address_resolve(host->address, port, host->address[0] == '\0', addresses,
                                         COVEY_COAP_ADDRESSES, &count, err));
    enum covey_status status = COVEY_NOT_FOUND;
    for (size_t i = 0; i < count; i++) { /* where there is no IPv6, the IPv4 address follows */
        struct covey_coap_shard *shard = &host->shards[index];
        status = covey_coap_shard_init(shard, &host->common, index,
                                       (const struct sockaddr *)&addresses[i].bytes, addresses[i].size, err);
        if (status == COVEY_OK || status == COVEY_EXISTS)
            return status;
        covey_coap_shard_deinit(shard);
    }
    return status;
}

static enum covey_status bind_all(struct covey_host *host, struct covey_error *err)
{
    uint16_t base = host->common.config.port;
    for (uint32_t i = 0; i < host->shard_count; i++) {
        COVEY_TRY(bind_shard(host, i, base, err));
        if (i == 0)
            base = host->shards[0].port;
        if ((uint32_t)base + host->shard_count > 65536)
            return covey_fail(err, COVEY_EXISTS, "not enough ports from %u on for %u shards", base,
                              host->shard_count);
    }
    return COVEY_OK;
}

static enum covey_status open_ports(struct covey_host *host, struct covey_error *err)
{
    enum covey_status status = COVEY_EXISTS;
    int tries = host->common.config.port == 0 ? PORT_TRIES : 1;
    for (int i = 0; i < tries && status == COVEY_EXISTS; i++) {
        stop_shards(host);
        status = bind_all(host, err);
    }
    return status;
}

static enum covey_status set_up(struct covey_host *host, const struct covey_coap_host_config *config,
                                struct covey_error *err)
{
    if (config->credentials->side != COVEY_SIDE_SERVER)
        return covey_fail(err, COVEY_INVALID, "a host needs a server's credentials");
    if (config->shard_count > COVEY_COAP_SHARDS)
        return covey_fail(err, COVEY_LIMIT, "%u shards: at most %d", config->shard_count, COVEY_COAP_SHARDS);
    if (config->address != NULL && strlen(config->address) >= sizeof host->address)
        return covey_fail(err, COVEY_INVALID, "the address to bind to is too long");
    host->common.config = *config;
    take_defaults(&host->common.config);
    (void)snprintf(host->address, sizeof host->address, "%s", config->address != NULL ? config->address : "");
    host->common.config.address = host->address;
    host->shards = calloc(host->common.config.shard_count, sizeof *host->shards);
    if (host->shards == NULL || covey_coap_registry_create(&host->common.registry) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u shards", host->common.config.shard_count);
    host->shard_count = host->common.config.shard_count;
    COVEY_TRY(open_ports(host, err));
    for (uint32_t i = 0; i < host->shard_count; i++)
        COVEY_TRY(covey_coap_shard_start(&host->shards[i], err));
    return COVEY_OK;
}

enum covey_status covey_coap_host_create(const struct covey_coap_host_config *config,
                                         struct covey_host_handle *out, struct covey_error *err)
{
    struct covey_host *host = calloc(1, sizeof *host);
    if (host == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a server");
    enum covey_status status = set_up(host, config, err);
    if (status != COVEY_OK) {
        host_destroy(host);
        return status;
    }
    *out = (struct covey_host_handle){&host_ops, host};
    return COVEY_OK;
}
