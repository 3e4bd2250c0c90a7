/* The gateways below a federation: who they are, and the terms that they add up under. */
#include "federation.h"

#include <string.h>

#include "covey/certificates.h"
#include "covey/hash.h"

#define TENSOR_SUM_BYTES 2048 /* of a saved sum beside its coordinates, a tensor, at the most */

enum covey_status covey_gateways_check(const struct covey_federation *federation, struct covey_error *err)
{
    const struct covey_federation_options *options = &federation->options;
    uint64_t devices = 0, most = 0;
    if (options->parent != NULL && options->gateway_count > 0)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "a federation has a parent or gateways, not both: there are two levels");
    if (options->gateway_count > COVEY_GATEWAYS)
        return covey_fail(err, COVEY_LIMIT, "%u gateways: at most %d", options->gateway_count,
                          COVEY_GATEWAYS);
    for (uint32_t i = 0; i < options->gateway_count; i++) {
        const struct covey_gateway *gateway = &options->gateways[i];
        if (!covey_device_name_is_valid(gateway->name))
            return covey_fail(err, COVEY_INVALID, "'%s' is no name for a gateway", gateway->name);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(options->gateways[k].name, gateway->name) == 0)
                return covey_fail(err, COVEY_INVALID, "the gateway %s stands there twice", gateway->name);
        if (gateway->devices < 1 || gateway->devices > COVEY_DEVICES)
            return covey_fail(err, COVEY_INVALID, "gateway %s: devices must be 1 to %u", gateway->name,
                              COVEY_DEVICES);
        devices += gateway->devices;
        most = gateway->devices > most ? gateway->devices : most;
    }
    if (devices > COVEY_DEVICES)
        return covey_fail(err, COVEY_LIMIT, "the gateways have %llu devices together: at most %u in a round",
                          (unsigned long long)devices, COVEY_DEVICES);
    if (most > 0 && COVEY_PARTIAL_HEAD_BYTES + most * COVEY_CONTRIBUTOR_BYTES +
                            (federation->tensor_count + 1) * TENSOR_SUM_BYTES + 8 * federation->update_count >
                        COVEY_LEDGER_BODY_BYTES)
        return covey_fail(err, COVEY_LIMIT, "a partial sum of %zu values does not fit the ledger",
                          federation->update_count);
    return COVEY_OK;
}

uint32_t covey_gateways_share(const struct covey_federation *federation, uint32_t place)
{
    char name[COVEY_NAME_BYTES];
    if (federation->options.gateway_count == 0)
        return 0;
    covey_registry_name(federation->server->registry, place, name);
    for (uint32_t i = 0; i < federation->options.gateway_count; i++)
        if (strcmp(federation->options.gateways[i].name, name) == 0)
            return federation->options.gateways[i].devices;
    return 0;
}

enum covey_status covey_gateways_show_terms(struct covey_federation *federation, struct covey_error *err)
{
    const struct covey_round_terms *terms = &federation->terms;
    uint8_t exponents[2 * COVEY_MODEL_TENSORS], bytes[COVEY_SUM_TERMS_BYTES];
    size_t size = 0;
    struct covey_blob *blob = NULL;
    if (federation->options.gateway_count == 0)
        return COVEY_OK;
    struct covey_sum_terms out = {.updates_max = terms->updates_max,
                                  .weight_max = terms->weight_max,
                                  .norm_limit = terms->norm_limit,
                                  .refuse_range = terms->refuse_range,
                                  .kept = covey_round_state_part(&federation->state, COVEY_STATE_STRATEGY)};
    memcpy(out.strategy, terms->strategy, sizeof out.strategy);
    for (uint32_t i = 0; i < terms->tensor_count; i++) {
        exponents[2 * i] = (uint8_t)terms->exponents[i];
        exponents[2 * i + 1] = (uint8_t)((uint16_t)terms->exponents[i] >> 8);
    }
    if (terms->has_exponents)
        out.exponents = (struct covey_bytes){exponents, 2 * (size_t)terms->tensor_count};
    COVEY_TRY(covey_sum_terms_encode(&out, bytes, sizeof bytes, &size, err));
    COVEY_TRY(covey_blob_create((struct covey_bytes){bytes, size}, NULL, NULL, NULL, &blob));
    federation->terms_hash = *covey_blob_hash(blob);
    covey_shelf_put(&federation->shelf, blob, federation->sequence);
    return COVEY_OK;
}
