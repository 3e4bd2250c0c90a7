#include "wire_vectors.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static enum covey_status decode_plan(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_plan_decode(message, out, err);
}

static enum covey_status encode_plan(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                     struct covey_error *err)
{
    return covey_plan_encode(source, out, capacity, out_bytes, err);
}

static enum covey_status decode_update(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_update_decode(message, out, err);
}

static enum covey_status encode_update(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err)
{
    return covey_update_encode(source, out, capacity, out_bytes, err);
}

static enum covey_status decode_manifest(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_manifest_decode(message, out, err);
}

static enum covey_status encode_manifest(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                         struct covey_error *err)
{
    return covey_manifest_encode(source, out, capacity, out_bytes, err);
}

static enum covey_status decode_description(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_description_decode(message, out, err);
}

static enum covey_status encode_description(const void *source, uint8_t *out, size_t capacity,
                                            size_t *out_bytes, struct covey_error *err)
{
    return covey_description_encode(source, out, capacity, out_bytes, err);
}

static enum covey_status decode_upload_state(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_upload_state_decode(message, out, err);
}

static enum covey_status encode_upload_state(const void *source, uint8_t *out, size_t capacity,
                                             size_t *out_bytes, struct covey_error *err)
{
    (void)err;
    return covey_upload_state_encode(source, out, capacity, out_bytes);
}

static enum covey_status decode_where(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_where_decode(message, out, err);
}

static enum covey_status encode_where(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                      struct covey_error *err)
{
    (void)err;
    return covey_where_encode(source, out, capacity, out_bytes);
}

static enum covey_status decode_cose(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_cose_decode(message, out, err);
}

static enum covey_status encode_cose(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                     struct covey_error *err)
{
    (void)err;
    return covey_cose_encode(source, out, capacity, out_bytes);
}

static enum covey_status decode_metrics(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_metrics_decode(message, out, err);
}

static enum covey_status encode_metrics(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                        struct covey_error *err)
{
    return covey_metrics_encode(source, out, capacity, out_bytes, err);
}

static enum covey_status decode_terms(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_sum_terms_decode(message, out, err);
}

static enum covey_status encode_terms(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                      struct covey_error *err)
{
    return covey_sum_terms_encode(source, out, capacity, out_bytes, err);
}

static enum covey_status decode_partial(struct covey_bytes message, void *out, struct covey_error *err)
{
    return covey_partial_sum_decode(message, out, err);
}

static enum covey_status encode_partial(const void *source, uint8_t *out, size_t capacity, size_t *out_bytes,
                                        struct covey_error *err)
{
    return covey_partial_sum_encode(source, out, capacity, out_bytes, err);
}

const struct message_kind message_kinds[] = {
    {"plan", sizeof(struct covey_plan), decode_plan, encode_plan},
    {"update", sizeof(struct covey_update), decode_update, encode_update},
    {"manifest", sizeof(struct covey_manifest), decode_manifest, encode_manifest},
    {"description", sizeof(struct covey_model_description), decode_description, encode_description},
    {"upload-state", sizeof(struct covey_upload_state), decode_upload_state, encode_upload_state},
    {"where", sizeof(struct covey_where), decode_where, encode_where},
    {"cose", sizeof(struct covey_cose_sign1), decode_cose, encode_cose},
    {"metrics", sizeof(struct covey_metrics), decode_metrics, encode_metrics},
    {"sum-terms", sizeof(struct covey_sum_terms), decode_terms, encode_terms},
    {"partial-sum", sizeof(struct covey_partial_sum), decode_partial, encode_partial},
};
const size_t message_kind_count = sizeof message_kinds / sizeof message_kinds[0];

static void add_line(struct vector *vector, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    const size_t count = strlen(line) / 2;
    cr_assert_leq(vector->size + count, sizeof vector->bytes);
    cr_assert_eq(covey_hex_read(line, vector->bytes + vector->size, count), 0, "%s: no hexadecimal",
                 vector->name);
    vector->size += count;
}

void each_vector(const char *kind, void (*run)(void *user, const struct vector *vector), void *user)
{
    static struct vector vector;
    char path[512], line[256];
    int count = 0;
    (void)snprintf(path, sizeof path, "%s/tests/golden/wire/%s.hex", COVEY_SOURCE_DIR, kind);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        if (line[0] != '=') {
            add_line(&vector, line);
            continue;
        }
        if (count++ > 0)
            run(user, &vector);
        vector.size = 0;
        cr_assert_eq(sscanf(line, "= %63s %15s %127[^\n]", vector.name, vector.status, vector.what), 3, "%s",
                     line);
    }
    (void)fclose(file);
    cr_assert_gt(count, 0);
    run(user, &vector);
}

struct search {
    const char *name;
    struct vector *out;
    int found;
};

static void compare_name(void *user, const struct vector *vector)
{
    struct search *search = user;
    if (strcmp(vector->name, search->name) != 0)
        return;
    *search->out = *vector;
    search->found++;
}

void find_vector(const char *kind, const char *name, struct vector *out)
{
    struct search search = {name, out, 0};
    each_vector(kind, compare_name, &search);
    cr_assert_eq(search.found, 1, "%s of %s", name, kind);
}
