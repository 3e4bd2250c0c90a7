#include "covey/round_state.h"
#include "covey/little_endian.h"

#include <stdlib.h>
#include <string.h>

/* version u32, parts u32; the size of each part u64; the parts, each padded to 8 bytes */
#define HEAD_BYTES (8 + 8 * (size_t)COVEY_STATE_PARTS)

static size_t padded(size_t size)
{
    return (size + 7) / 8 * 8;
}

void covey_round_state_deinit(struct covey_round_state *state)
{
    for (size_t i = 0; i < COVEY_STATE_PARTS; i++)
        free(state->bytes[i]);
    *state = (struct covey_round_state){0};
}

struct covey_bytes covey_round_state_part(const struct covey_round_state *state,
                                          enum covey_round_state_part part)
{
    return (struct covey_bytes){state->bytes[part], state->sizes[part]};
}

enum covey_status covey_round_state_set(struct covey_round_state *state, enum covey_round_state_part part,
                                        size_t size, uint8_t **out, struct covey_error *err)
{
    const uint64_t wanted = size; /* a size_t of 32 bits is never as large */
    if (wanted > COVEY_ROUND_STATE_BYTES)
        return covey_fail(err, COVEY_LIMIT, "a state of %zu bytes: at most %llu are kept with a model", size,
                          COVEY_ROUND_STATE_BYTES);
    uint8_t *bytes = calloc(size > 0 ? size : 1, 1);
    if (bytes == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a state of %zu bytes", size);
    free(state->bytes[part]);
    state->bytes[part] = bytes;
    state->sizes[part] = size;
    *out = bytes;
    return COVEY_OK;
}

size_t covey_round_state_encoded_bytes(const struct covey_round_state *state)
{
    size_t bytes = HEAD_BYTES;
    for (size_t i = 0; i < COVEY_STATE_PARTS; i++)
        bytes += padded(state->sizes[i]);
    return bytes;
}

void covey_round_state_encode(const struct covey_round_state *state, uint8_t *out)
{
    covey_little_put(out, COVEY_ROUND_STATE_VERSION, 4);
    covey_little_put(out + 4, COVEY_STATE_PARTS, 4);
    uint8_t *at = out + HEAD_BYTES;
    for (size_t i = 0; i < COVEY_STATE_PARTS; i++) {
        const size_t room = padded(state->sizes[i]);
        covey_little_put(out + 8 + 8 * i, state->sizes[i], 8);
        if (room == 0)
            continue;
        memset(at + room - 8, 0, 8);
        memcpy(at, state->bytes[i], state->sizes[i]);
        at += room;
    }
}

enum covey_status covey_round_state_decode(struct covey_bytes bytes, struct covey_round_state *out,
                                           struct covey_error *err)
{
    struct covey_round_state state = {0};
    if (bytes.size == 0)
        return COVEY_OK;
    if (bytes.size < 8 || covey_little_get(bytes.data, 4) != COVEY_ROUND_STATE_VERSION ||
        covey_little_get(bytes.data + 4, 4) != COVEY_STATE_PARTS)
        return covey_fail(err, COVEY_UNSUPPORTED, "the state kept with the model is of another version");
    size_t at = HEAD_BYTES;
    for (size_t i = 0; i < COVEY_STATE_PARTS; i++) {
        const uint64_t size =
            bytes.size < HEAD_BYTES ? UINT64_MAX : covey_little_get(bytes.data + 8 + 8 * i, 8);
        enum covey_status status = COVEY_OK;
        uint8_t *part;
        if (size > bytes.size - at || padded((size_t)size) > bytes.size - at)
            status = covey_fail(err, COVEY_CORRUPT, "the state kept with the model is cut short");
        else if (size > 0)
            status = covey_round_state_set(&state, (enum covey_round_state_part)i, (size_t)size, &part, err);
        if (status != COVEY_OK) {
            covey_round_state_deinit(&state);
            return status;
        }
        if (size > 0)
            memcpy(part, bytes.data + at, (size_t)size);
        at += padded((size_t)size);
    }
    *out = state;
    return COVEY_OK;
}
