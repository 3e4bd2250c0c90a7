/* One object of outside bytes; and as a line of rounds.jsonl, which must read back as it is written. */
#include <stdlib.h>
#include <string.h>

#include "json_object.h"
#include "outcome_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum covey_status count_member(void *user, const char *key, const struct covey_json_value *value,
                                      struct covey_error *err)
{
    size_t *sum = user;
    (void)err;
    *sum += strnlen(key, COVEY_JSON_KEY_BYTES) + strnlen(value->text, COVEY_JSON_TEXT_BYTES);
    if (strnlen(key, COVEY_JSON_KEY_BYTES) == COVEY_JSON_KEY_BYTES ||
        strnlen(value->text, COVEY_JSON_TEXT_BYTES) == COVEY_JSON_TEXT_BYTES)
        abort();
    return COVEY_OK;
}

static void round_trip(const struct covey_sim_round *round)
{
    char *text = NULL;
    size_t bytes = 0;
    struct covey_sim_round again;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL)
        abort();
    covey_sim_round_write(out, round);
    (void)fclose(out);
    covey_outcome_fields_clear(covey_round_fields, &again, sizeof again);
    if (covey_outcome_fields_read(text, bytes, covey_round_fields, &again, NULL) != COVEY_OK ||
        again.round != round->round || again.bytes_up != round->bytes_up ||
        memcmp(&again.metric, &round->metric, sizeof again.metric) != 0)
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct covey_error err = {0};
    struct covey_sim_round round;
    size_t sum = 0;
    (void)!covey_json_object_read((const char *)data, size, count_member, &sum, &err);
    covey_outcome_fields_clear(covey_round_fields, &round, sizeof round);
    if (covey_outcome_fields_read((const char *)data, size, covey_round_fields, &round, &err) == COVEY_OK)
        round_trip(&round);
    return 0;
}
