/* What goes between a gateway and its parent: the terms that it adds under, and the partial sum with the list
 * of those who are in it (docs/wire.cddl: sum-terms, partial-sum). */
#include <string.h>

#include "covey/hash.h"
#include "covey/limits.h"
#include "covey/messages.h"
#include "wire/cbor_fields.h"

#define SUM_BYTES (COVEY_BODY_BYTES - COVEY_PARTIAL_HEAD_BYTES)
#define LIST_BYTES ((uint64_t)COVEY_DEVICES * COVEY_CONTRIBUTOR_BYTES)

/* ---- terms ---- */

static const struct covey_field terms_fields[] = {
    COVEY_TEXT(struct covey_sum_terms, strategy, 1, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_sum_terms, updates_max, 2, COVEY_FIELD_REQUIRED, 1, COVEY_DEVICES),
    COVEY_REAL(struct covey_sum_terms, weight_max, 3, COVEY_FIELD_REQUIRED),
    COVEY_REAL(struct covey_sum_terms, norm_limit, 4, COVEY_FIELD_OPTIONAL),
    COVEY_UNSIGNED(struct covey_sum_terms, refuse_range, 5, COVEY_FIELD_OPTIONAL, 0, 1),
    COVEY_VIEW(struct covey_sum_terms, exponents, 6, COVEY_FIELD_OPTIONAL, 2, 2 * COVEY_MODEL_TENSORS),
    COVEY_VIEW(struct covey_sum_terms, kept, 7, COVEY_FIELD_OPTIONAL, 1, COVEY_SUM_KEPT_BYTES),
};
static const struct covey_record terms_record = COVEY_RECORD(terms_fields);

static enum covey_status check_terms(const struct covey_sum_terms *terms, enum covey_status status,
                                     struct covey_error *err)
{
    if (terms->strategy[0] == '\0')
        return covey_fail(err, status, "terms of a sum: strategy: empty");
    if (terms->exponents.size % 2 != 0)
        return covey_fail(err, status, "terms of a sum: exponents: %zu bytes are no numbers of 16 bits",
                          terms->exponents.size);
    return COVEY_OK;
}

enum covey_status covey_sum_terms_encode(const struct covey_sum_terms *terms, uint8_t *out, size_t capacity,
                                         size_t *out_bytes, struct covey_error *err)
{
    COVEY_TRY(check_terms(terms, COVEY_INVALID, err));
    return covey_message_encode(&terms_record, terms, "terms of a sum", out, capacity, out_bytes, err);
}

enum covey_status covey_sum_terms_decode(struct covey_bytes message, struct covey_sum_terms *out,
                                         struct covey_error *err)
{
    struct covey_sum_terms terms = {0};
    if (message.size > COVEY_SUM_TERMS_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "terms of a sum: %zu bytes, at most %d", message.size,
                          COVEY_SUM_TERMS_BYTES);
    COVEY_TRY(covey_message_decode(&terms_record, message, "terms of a sum", &terms, err));
    COVEY_TRY(check_terms(&terms, COVEY_CORRUPT, err));
    *out = terms;
    return COVEY_OK;
}

/* ---- contributors: an array [name, examples, update] each ---- */

#define CONTRIBUTOR_ITEMS 3

enum covey_status covey_contributor_encode(const struct covey_contributor *contributor, uint8_t *out,
                                           size_t capacity, size_t *out_bytes, struct covey_error *err)
{
    struct covey_cbor_writer writer;
    const size_t length = strnlen(contributor->name, sizeof contributor->name);
    if (length == 0 || length == sizeof contributor->name)
        return covey_fail(err, COVEY_INVALID, "a contributor's name has 1 to %zu characters",
                          sizeof contributor->name - 1);
    if (contributor->examples < 1 || contributor->examples > COVEY_UPDATE_EXAMPLES)
        return covey_fail(err, COVEY_INVALID, "contributor %s: %u examples", contributor->name,
                          contributor->examples);
    covey_cbor_writer_init(&writer, out, capacity);
    covey_cbor_put_array(&writer, CONTRIBUTOR_ITEMS);
    covey_cbor_put_text(&writer, contributor->name, length);
    covey_cbor_put_unsigned(&writer, contributor->examples);
    covey_cbor_put_bytes(&writer,
                         (struct covey_bytes){contributor->update.bytes, sizeof contributor->update.bytes});
    return covey_cbor_finish(&writer, out_bytes, err);
}

static enum covey_status read_contributor(struct covey_cbor_reader *reader, struct covey_contributor *out)
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_ARRAY, &item));
    if (item.value != CONTRIBUTOR_ITEMS)
        return covey_fail(reader->err, COVEY_CORRUPT, "an entry of %llu items",
                          (unsigned long long)item.value);
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_TEXT, &item));
    COVEY_TRY(covey_cbor_copy_text(reader, &item, out->name, sizeof out->name));
    if (out->name[0] == '\0')
        return covey_fail(reader->err, COVEY_CORRUPT, "an empty name");
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_UNSIGNED, &item));
    if (item.value < 1 || item.value > COVEY_UPDATE_EXAMPLES)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: %llu examples", out->name,
                          (unsigned long long)item.value);
    out->examples = (uint32_t)item.value;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_BYTES, &item));
    if (item.bytes.size != sizeof out->update.bytes)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: a hash of %zu bytes", out->name, item.bytes.size);
    memcpy(out->update.bytes, item.bytes.data, sizeof out->update.bytes);
    return COVEY_OK;
}

enum covey_status covey_contributor_next(struct covey_bytes *list, struct covey_contributor *out,
                                         struct covey_error *err)
{
    struct covey_cbor_reader reader;
    struct covey_contributor contributor = {.examples = 0};
    if (list->size == 0)
        return COVEY_NOT_FOUND;
    covey_cbor_reader_init(&reader, *list, err);
    const enum covey_status status = read_contributor(&reader, &contributor);
    if (status != COVEY_OK)
        return covey_fail_at(err, status, "contributors: ");
    list->data += reader.position;
    list->size -= reader.position;
    *out = contributor;
    return COVEY_OK;
}

/* In order, nobody twice, as many as the sum says. */
static enum covey_status check_list(const struct covey_partial_sum *partial, enum covey_status bad,
                                    struct covey_error *err)
{
    struct covey_contributor before = {.examples = 0}, one;
    struct covey_bytes list = partial->contributors;
    uint32_t count = 0;
    enum covey_status status;
    while ((status = covey_contributor_next(&list, &one, err)) == COVEY_OK) {
        if (strcmp(before.name, one.name) >= 0)
            return covey_fail(err, bad, "partial sum: contributors: %s stands behind %s", one.name,
                              before.name);
        before = one;
        if (++count > partial->updates)
            break;
    }
    if (status != COVEY_OK && status != COVEY_NOT_FOUND)
        return covey_fail_at(err, status == COVEY_CORRUPT ? bad : status, "partial sum: ");
    if (count != partial->updates)
        return covey_fail(err, bad, "partial sum: contributors: not the %u that are in it", partial->updates);
    return COVEY_OK;
}

/* ---- partial sum ---- */

static const struct covey_field partial_fields[] = {
    COVEY_FIXED(struct covey_partial_sum, assignment, 1, COVEY_FIELD_REQUIRED),
    COVEY_FIXED(struct covey_partial_sum, model, 2, COVEY_FIELD_REQUIRED),
    COVEY_FIXED(struct covey_partial_sum, terms, 3, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_partial_sum, updates, 4, COVEY_FIELD_REQUIRED, 1, COVEY_DEVICES),
    COVEY_FLOAT(struct covey_partial_sum, loss_before, 6, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_ANY),
    COVEY_FLOAT(struct covey_partial_sum, loss_after, 7, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_ANY),
    COVEY_FIXED(struct covey_partial_sum, digest, 8, COVEY_FIELD_REQUIRED),
    COVEY_VIEW(struct covey_partial_sum, contributors, 19, COVEY_FIELD_REQUIRED, 1, LIST_BYTES),
    COVEY_VIEW(struct covey_partial_sum, sum, 20, COVEY_FIELD_REQUIRED, 1, SUM_BYTES),
};
static const struct covey_record partial_record = COVEY_RECORD(partial_fields);

enum covey_status covey_partial_sum_encode(const struct covey_partial_sum *partial, uint8_t *out,
                                           size_t capacity, size_t *out_bytes, struct covey_error *err)
{
    if (partial->contributors.data == NULL || partial->sum.data == NULL)
        return covey_fail(err, COVEY_INVALID, "partial sum: without contributors or sum");
    COVEY_TRY(check_list(partial, COVEY_INVALID, err));
    return covey_message_encode(&partial_record, partial, "partial sum", out, capacity, out_bytes, err);
}

enum covey_status covey_partial_sum_decode(struct covey_bytes message, struct covey_partial_sum *out,
                                           struct covey_error *err)
{
    struct covey_partial_sum partial = {0};
    struct covey_hash digest;
    COVEY_TRY(covey_message_decode(&partial_record, message, "partial sum", &partial, err));
    COVEY_TRY(check_list(&partial, COVEY_CORRUPT, err));
    COVEY_TRY(covey_hash_bytes(partial.sum, &digest));
    if (!covey_hash_equal(&digest, &partial.digest))
        return covey_fail(err, COVEY_CORRUPT, "partial sum: the sum does not have its digest");
    *out = partial;
    return COVEY_OK;
}
