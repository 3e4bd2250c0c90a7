/* Root data for the server's library, which does not know training: a data set in memory, and the update that
 * is made of it. */
#include <stdlib.h>

#include "command_config.h"

struct root_data {
    struct covey_dataset dataset;
    struct covey_root_update *update;
};

enum covey_status root_data_create(const struct server_config *server, const struct federation_config *config,
                                   const struct federation_kit *kit, struct root_data **out,
                                   struct covey_error *err)
{
    if (!covey_data_is_named(&config->root_data))
        return COVEY_OK;
    struct root_data *root = calloc(1, sizeof *root);
    if (root == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for root data");
    enum covey_status status = covey_data_load(&config->root_data, server->folder, &root->dataset, err);
    if (status == COVEY_OK)
        status = covey_root_update_create(kit->model, &kit->layout, kit->initial, &root->dataset,
                                          &kit->options.recipe, &root->update, err);
    if (status != COVEY_OK) {
        root_data_destroy(root);
        return covey_fail_at(err, status, "root_data: ");
    }
    *out = root;
    return COVEY_OK;
}

struct covey_root_update *root_data_update(const struct root_data *root)
{
    return root == NULL ? NULL : root->update;
}

void root_data_destroy(struct root_data *root)
{
    if (root == NULL)
        return;
    covey_root_update_destroy(root->update);
    covey_dataset_deinit(&root->dataset);
    free(root);
}
