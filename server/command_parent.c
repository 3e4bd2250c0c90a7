#include "command_parent.h"

#include <stdio.h>
#include <string.h>

#include "covey/coap.h"

static enum covey_status open_link(void *user, const struct covey_link_events *events,
                                   struct covey_link_handle *out, struct covey_error *err)
{
    const struct parent_kit *kit = user;
    const struct covey_coap_link_config config = {
        .credentials = covey_credential_store_view(kit->store), .env = kit->env, .events = *events};
    return covey_coap_link_create(&config, out, err);
}

/* "HOST:PORT" or "[IPV6]:PORT" without port and brackets. */
static void host_of(const char *address, char *out, size_t out_bytes)
{
    const char *end = strrchr(address, ':');
    size_t size = end == NULL ? strlen(address) : (size_t)(end - address);
    if (size >= 2 && address[0] == '[' && address[size - 1] == ']') {
        address++;
        size -= 2;
    }
    (void)snprintf(out, out_bytes, "%.*s", (int)size, address);
}

enum covey_status parent_kit_init(struct parent_kit *kit, const struct server_config *server,
                                  const struct federation_config *config, const struct covey_env *env,
                                  struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES], host[256];
    *kit = (struct parent_kit){.env = *env};
    if (config->parent.bundle == NULL || config->parent.bundle[0] == '\0')
        return COVEY_OK;
    COVEY_TRY(server_config_path(server, config->parent.bundle, path, err));
    if (config->parent.server_name != NULL && config->parent.server_name[0] != '\0')
        (void)snprintf(host, sizeof host, "%s", config->parent.server_name);
    else
        host_of(config->parent.address, host, sizeof host);
    COVEY_TRY(covey_credentials_load_device(path, host, env, &kit->store, err));
    kit->parent = (struct covey_parent){.address = config->parent.address,
                                        .trust = covey_credential_store_trust(kit->store),
                                        .open_link = open_link,
                                        .link_user = kit};
    return COVEY_OK;
}

void parent_kit_deinit(struct parent_kit *kit)
{
    covey_credential_store_destroy(kit->store);
    *kit = (struct parent_kit){.store = NULL};
}
