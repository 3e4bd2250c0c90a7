/* The model that a device holds: P with its description and layout, and the vector that the next one is put
 * together in. */
#ifndef COVEY_LOCAL_MODEL_H
#define COVEY_LOCAL_MODEL_H

#include <stdbool.h>

#include "client_state.h"
#include "covey/model_description.h"
#include "covey/params.h"

struct covey_local_model {
    bool installed; /* params hold the published model `facts` */
    struct covey_state_model facts;
    uint8_t *description; /* (facts.description_bytes) of CBOR; NULL: none yet */
    struct covey_layout layout;
    float *params; /* P: (layout.count) */
    float *local;  /* (layout.count): the next P while one is fetched, the copy that training changes */
    uint64_t seed; /* of what never comes from the server: personal tensors */
};

/* Takes a description over (bytes are copied): decodes, checks, lays out, makes both vectors. `installed`
 * ends when it is another one than before. */
COVEY_MUST_CHECK enum covey_status covey_local_model_describe(struct covey_local_model *model,
                                                              struct covey_bytes description,
                                                              const struct covey_hash *hash,
                                                              struct covey_error *err);
/* What the state holds, if it holds anything; a damaged file counts as nothing. */
COVEY_MUST_CHECK enum covey_status covey_local_model_restore(struct covey_local_model *model,
                                                             struct covey_client_state *state,
                                                             struct covey_error *err);
/* local has become the published model: it changes places with params. Personal values stay. */
void covey_local_model_install(struct covey_local_model *model, const struct covey_hash *hash,
                               uint64_t sequence, uint32_t round);
/* The description, decoded; the caller frees it. */
COVEY_MUST_CHECK enum covey_status covey_local_model_decode(const struct covey_local_model *model,
                                                            struct covey_model_description **out,
                                                            struct covey_error *err);
void covey_local_model_deinit(struct covey_local_model *model);

#endif
