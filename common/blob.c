/* Bodies that many replies share, and the answer to an exchange, whichever transport it came by. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/transport.h"
#include "exchange.h"

struct covey_blob {
    atomic_uint references;
    struct covey_hash hash;
    struct covey_bytes bytes;
    void (*free_fn)(void *owner); /* NULL: bytes lie behind this struct */
    void *owner;
};

enum covey_status covey_blob_create(struct covey_bytes bytes, const struct covey_hash *hash,
                                    void (*free_fn)(void *owner), void *owner, struct covey_blob **out)
{
    if (bytes.size > COVEY_BODY_BYTES)
        return COVEY_LIMIT;
    struct covey_blob *blob = malloc(sizeof *blob + (free_fn == NULL ? bytes.size : 0));
    if (blob == NULL)
        return COVEY_NO_MEMORY;
    atomic_init(&blob->references, 1);
    blob->bytes = bytes;
    blob->free_fn = free_fn;
    blob->owner = owner;
    if (free_fn == NULL) {
        blob->bytes.data = (const uint8_t *)(blob + 1);
        if (bytes.size > 0)
            memcpy(blob + 1, bytes.data, bytes.size);
    }
    if (hash != NULL) {
        blob->hash = *hash;
    } else {
        enum covey_status status = covey_hash_bytes(blob->bytes, &blob->hash);
        if (status != COVEY_OK) {
            free(blob); /* the caller still owns what it would have handed over */
            return status;
        }
    }
    *out = blob;
    return COVEY_OK;
}

struct covey_blob *covey_blob_retain(struct covey_blob *blob)
{
    if (blob != NULL)
        atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void covey_blob_release(struct covey_blob *blob)
{
    if (blob == NULL || atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) != 1)
        return;
    if (blob->free_fn != NULL)
        blob->free_fn(blob->owner);
    free(blob);
}

struct covey_bytes covey_blob_view(const struct covey_blob *blob)
{
    return blob->bytes;
}

const struct covey_hash *covey_blob_hash(const struct covey_blob *blob)
{
    return &blob->hash;
}

struct covey_bytes covey_response_view(const struct covey_response *response)
{
    return response->blob != NULL ? covey_blob_view(response->blob) : response->body;
}

void covey_exchange_respond(struct covey_exchange *exchange, const struct covey_response *response)
{
    exchange->respond(exchange, response);
}
