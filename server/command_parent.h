/* The parent of a federation that is a gateway, as the program finds it: the bundle that the parent's
 * `covey-server device add` made, and a link over CoAP. */
#ifndef COVEY_COMMAND_PARENT_H
#define COVEY_COMMAND_PARENT_H

#include "command_config.h"
#include "covey/credential_store.h"
#include "covey/env.h"

struct parent_kit {
    struct covey_env env;
    struct covey_credential_store *store; /* NULL: there is no parent */
    struct covey_parent parent;           /* points into config and store */
};

/* All zero when the federation has no parent. config, and *kit itself, must stay where they are. */
COVEY_MUST_CHECK enum covey_status parent_kit_init(struct parent_kit *kit, const struct server_config *server,
                                                   const struct federation_config *config,
                                                   const struct covey_env *env, struct covey_error *err);
void parent_kit_deinit(struct parent_kit *kit); /* an all-zero one is legal */

#endif
