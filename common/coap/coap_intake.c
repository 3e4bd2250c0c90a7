#include "coap_intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/coap.h"
#include "covey/random.h"

#define FIRST_CAPACITY 4096

/* ---------------------------------------------------------------- the table */

static size_t bucket_of(const char *name, const char *path)
{
    return (size_t)((covey_random_id(name) * 31 + covey_random_id(path)) % COVEY_COAP_INTAKE_BUCKETS);
}

static struct covey_coap_upload *find(const struct covey_coap_intake *intake, const char *name,
                                      const char *path, const struct covey_coap_tag *tag)
{
    struct covey_coap_upload *at = intake->buckets[bucket_of(name, path)];
    while (at != NULL && (strcmp(at->name, name) != 0 || strcmp(at->path, path) != 0 ||
                          !covey_coap_tag_equal(&at->tag, tag)))
        at = at->next;
    return at;
}

static void free_body(struct covey_coap_intake *intake, struct covey_coap_upload *upload)
{
    atomic_fetch_sub(intake->config.memory_bytes, upload->cost_bytes);
    upload->cost_bytes = 0;
    covey_coap_body_deinit(&upload->body);
    free(upload->bytes);
    upload->bytes = NULL;
    upload->size = upload->capacity = 0;
}

static void drop(struct covey_coap_intake *intake, struct covey_coap_upload *upload)
{
    struct covey_coap_upload **at = &intake->buckets[bucket_of(upload->name, upload->path)];
    while (*at != upload)
        at = &(*at)->next;
    *at = upload->next;
    free_body(intake, upload);
    free(upload);
    intake->count--;
}

void covey_coap_intake_init(struct covey_coap_intake *intake, const struct covey_coap_intake_config *config)
{
    memset(intake, 0, sizeof *intake);
    intake->config = *config;
}

void covey_coap_intake_deinit(struct covey_coap_intake *intake)
{
    for (size_t i = 0; i < COVEY_COAP_INTAKE_BUCKETS; i++) {
        while (intake->buckets[i] != NULL)
            drop(intake, intake->buckets[i]);
    }
}

void covey_coap_intake_expire(struct covey_coap_intake *intake, uint64_t now_ms)
{
    for (size_t i = 0; i < COVEY_COAP_INTAKE_BUCKETS; i++) {
        struct covey_coap_upload *next;
        for (struct covey_coap_upload *at = intake->buckets[i]; at != NULL; at = next) {
            next = at->next;
            if (at->state != COVEY_COAP_UPLOAD_SERVED && now_ms - at->last_ms > intake->config.idle_ms)
                drop(intake, at);
        }
    }
}

/* A device has at most COVEY_TRANSFERS_PER_PEER; a finished or idle one gives way. False: all are busy. */
static bool make_place(struct covey_coap_intake *intake, const char *name, uint64_t now_ms)
{
    struct covey_coap_upload *oldest = NULL;
    uint32_t count = 0;
    for (size_t i = 0; i < COVEY_COAP_INTAKE_BUCKETS; i++) {
        for (struct covey_coap_upload *at = intake->buckets[i]; at != NULL; at = at->next) {
            if (strcmp(at->name, name) != 0)
                continue;
            count++;
            bool done = at->state == COVEY_COAP_UPLOAD_DONE;
            bool idle =
                at->state == COVEY_COAP_UPLOAD_COMING && now_ms - at->last_ms > COVEY_COAP_UPLOAD_PATIENCE_MS;
            if ((done || idle) && (oldest == NULL || at->last_ms < oldest->last_ms))
                oldest = at;
        }
    }
    if (count < COVEY_TRANSFERS_PER_PEER)
        return true;
    if (oldest == NULL)
        return false;
    drop(intake, oldest);
    return true;
}

/* ---------------------------------------------------------------- memory */

/* Counts before anything is taken. False: over the limit of all uploads together. */
static bool reserve(struct covey_coap_intake *intake, struct covey_coap_upload *upload, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add(intake->config.memory_bytes, bytes);
    if (before > intake->config.memory_limit_bytes || bytes > intake->config.memory_limit_bytes - before) {
        atomic_fetch_sub(intake->config.memory_bytes, bytes);
        return false;
    }
    upload->cost_bytes += bytes;
    return true;
}

static uint8_t admit(struct covey_coap_intake *intake, const struct covey_coap_message *request,
                     const struct covey_peer *peer, uint64_t body_bytes)
{
    if (body_bytes > COVEY_BODY_BYTES)
        return COVEY_CODE_TOO_LARGE;
    return intake->config.admit != NULL ? intake->config.admit(intake->config.user, request, peer, body_bytes)
                                        : 0;
}

/* ---------------------------------------------------------------- beginning */

/* Are number, M, length and size of this block possible at all? 0 or a code; nothing has been taken yet. */
static uint8_t check_shape(const struct covey_coap_message *request)
{
    const struct covey_coap_block *block = &request->block1;
    if (block->szx > COVEY_COAP_SZX_MAX)
        return COVEY_CODE_BAD_REQUEST;
    uint32_t block_bytes = covey_coap_block_bytes(block->szx);
    if (block->more ? request->payload.size != block_bytes : request->payload.size > block_bytes)
        return COVEY_CODE_BAD_REQUEST;
    if (!block->more && request->payload.size == 0)
        return COVEY_CODE_BAD_REQUEST;
    if (!request->sized1)
        return 0;
    if (request->size1 > COVEY_BODY_BYTES)
        return COVEY_CODE_TOO_LARGE;
    uint32_t count = covey_block_count(request->size1, block_bytes);
    if (count == 0)
        return COVEY_CODE_TOO_LARGE;
    if (block->number >= count || block->more == (block->number == count - 1))
        return COVEY_CODE_BAD_REQUEST;
    return 0;
}

static uint8_t begin(struct covey_coap_intake *intake, const struct covey_peer *peer,
                     const struct covey_coap_message *request, uint64_t now_ms,
                     struct covey_coap_upload **out)
{
    if (!request->sized1 && request->block1.number > 0)
        return COVEY_CODE_INCOMPLETE; /* the beginning of this one is not here (any more) */
    uint8_t code = admit(intake, request, peer, request->sized1 ? request->size1 : request->payload.size);
    if (code != 0)
        return code;
    if (!make_place(intake, peer->name, now_ms))
        return COVEY_CODE_TOO_MANY;
    struct covey_coap_upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL)
        return COVEY_CODE_UNAVAILABLE;
    (void)snprintf(upload->name, sizeof upload->name, "%s", peer->name);
    (void)snprintf(upload->path, sizeof upload->path, "%s", request->path);
    (void)snprintf(upload->query, sizeof upload->query, "%s", request->query);
    upload->tag = request->request_tag;
    upload->method = (enum covey_method)request->code;
    upload->content_format = request->content_format;
    upload->szx = request->block1.szx;
    upload->sized = request->sized1;
    upload->last_ms = now_ms;
    if (upload->sized) {
        uint32_t block_bytes = covey_coap_block_bytes(upload->szx);
        if (!reserve(intake, upload, covey_coap_body_cost(request->size1, block_bytes)) ||
            covey_coap_body_init(&upload->body, request->size1, block_bytes) != COVEY_OK) {
            atomic_fetch_sub(intake->config.memory_bytes, upload->cost_bytes);
            free(upload);
            return COVEY_CODE_UNAVAILABLE;
        }
    }
    struct covey_coap_upload **bucket = &intake->buckets[bucket_of(upload->name, upload->path)];
    upload->next = *bucket;
    *bucket = upload;
    intake->count++;
    *out = upload;
    return 0;
}

/* ---------------------------------------------------------------- blocks */

/* A block of a body whose size is known. 0, or a code that ends this request (not the upload). */
static uint8_t put_sized(struct covey_coap_upload *upload, const struct covey_coap_message *request)
{
    const struct covey_coap_block *block = &request->block1;
    if (block->szx != upload->szx || (request->sized1 && request->size1 != upload->body.receiver.total_bytes))
        return COVEY_CODE_BAD_REQUEST;
    switch (covey_coap_body_put(&upload->body, block->number, block->more, request->payload)) {
    case COVEY_OK:
    case COVEY_EXISTS:
        return 0;
    case COVEY_CONFLICT:
        return COVEY_CODE_CONFLICT;
    case COVEY_CRYPTO:
        return COVEY_CODE_INTERNAL;
    default:
        return COVEY_CODE_BAD_REQUEST;
    }
}

static uint8_t grow(struct covey_coap_intake *intake, struct covey_coap_upload *upload, size_t needed)
{
    if (needed <= upload->capacity)
        return 0;
    size_t capacity = upload->capacity > 0 ? 2 * upload->capacity : FIRST_CAPACITY;
    if (!reserve(intake, upload, capacity - upload->capacity))
        return COVEY_CODE_UNAVAILABLE;
    uint8_t *bytes = realloc(upload->bytes, capacity);
    if (bytes == NULL)
        return COVEY_CODE_UNAVAILABLE; /* what was reserved goes with the upload */
    upload->bytes = bytes;
    upload->capacity = capacity;
    return 0;
}

/* The next block of a body whose size nobody told; a repeat of an earlier one is fine, a gap is not. The
 * block size may become smaller on the way (RFC 7959 section 2.3): places are counted in bytes. */
static uint8_t put_in_order(struct covey_coap_intake *intake, struct covey_coap_upload *upload,
                            const struct covey_coap_message *request, const struct covey_peer *peer)
{
    uint64_t offset = (uint64_t)request->block1.number * covey_coap_block_bytes(request->block1.szx);
    size_t size = request->payload.size;
    if (offset > upload->size)
        return COVEY_CODE_INCOMPLETE;
    if (offset < upload->size) {
        bool same =
            size <= upload->size - offset && memcmp(upload->bytes + offset, request->payload.data, size) == 0;
        return same ? 0 : COVEY_CODE_CONFLICT;
    }
    uint8_t code = admit(intake, request, peer, offset + size);
    if (code == 0)
        code = grow(intake, upload, (size_t)offset + size);
    if (code != 0)
        return code;
    memcpy(upload->bytes + offset, request->payload.data, size);
    upload->size = (size_t)offset + size;
    return 0;
}

/* The last block is here: is the body whole, and is it the one that the tag names? */
static uint8_t complete(struct covey_coap_upload *upload, const struct covey_coap_message *request)
{
    if (!upload->sized) {
        uint64_t offset = (uint64_t)request->block1.number * covey_coap_block_bytes(request->block1.szx);
        if (offset + request->payload.size != upload->size)
            return COVEY_CODE_INCOMPLETE;
        return covey_hash_bytes(covey_coap_upload_view(upload), &upload->hash) == COVEY_OK
                   ? 0
                   : COVEY_CODE_INTERNAL;
    }
    if (!covey_block_receiver_complete(&upload->body.receiver))
        return COVEY_CODE_INCOMPLETE;
    if (covey_coap_body_finish(&upload->body, &upload->hash) != COVEY_OK)
        return COVEY_CODE_INTERNAL;
    /* Eight bytes are the first ones of the SHA-256; other clients' tags are shorter counters (RFC 9175
     * section 3.4). */
    struct covey_coap_tag tag = covey_coap_tag_of_hash(&upload->hash);
    if (upload->tag.size == COVEY_COAP_TAG_BYTES && !covey_coap_tag_equal(&tag, &upload->tag))
        return COVEY_CODE_UNPROCESSABLE;
    return 0;
}

static const char *reason_of(uint8_t code)
{
    switch (code) {
    case COVEY_CODE_BAD_REQUEST:
        return "block number, size or length out of range";
    case COVEY_CODE_TOO_LARGE:
        return "body too large";
    case COVEY_CODE_INCOMPLETE:
        return "blocks are missing";
    case COVEY_CODE_UNPROCESSABLE:
        return "the body does not have the hash that its tag names";
    case COVEY_CODE_CONFLICT:
        return "a block came before with other bytes";
    case COVEY_CODE_TOO_MANY:
        return "too many uploads at once";
    case COVEY_CODE_UNAVAILABLE:
        return "no memory for uploads now";
    default:
        return "";
    }
}

static enum covey_coap_intake_result refuse(struct covey_coap_message *answer, uint8_t code)
{
    const char *reason = reason_of(code);
    answer->code = code;
    answer->payload = (struct covey_bytes){(const uint8_t *)reason, strlen(reason)};
    if (code == COVEY_CODE_TOO_LARGE) {
        answer->sized1 = true;
        answer->size1 = (uint32_t)COVEY_BODY_BYTES;
    }
    if (code == COVEY_CODE_UNAVAILABLE || code == COVEY_CODE_TOO_MANY) {
        answer->aged = true; /* when to try again (RFC 7252 section 5.9.3.4, RFC 8516) */
        answer->max_age_s = 10;
    }
    return COVEY_COAP_INTAKE_ANSWER;
}

static enum covey_coap_intake_result repeat_answer(const struct covey_coap_upload *upload,
                                                   const struct covey_coap_message *request,
                                                   struct covey_coap_message *answer)
{
    answer->code = upload->code;
    answer->block1 = request->block1;
    answer->block1.more = false;
    return COVEY_COAP_INTAKE_ANSWER;
}

/* Without a tag nothing but its first block tells a new body from a repeat of the last one. */
static bool is_new_body(const struct covey_coap_upload *upload, const struct covey_coap_message *request)
{
    if (upload->tag.present || request->block1.number > 0 || upload->state == COVEY_COAP_UPLOAD_SERVED)
        return false;
    if (upload->state == COVEY_COAP_UPLOAD_DONE || upload->sized != request->sized1 ||
        upload->szx != request->block1.szx)
        return true;
    size_t size = request->payload.size;
    const struct covey_block_receiver *receiver = &upload->body.receiver;
    if (upload->sized)
        return receiver->total_bytes != request->size1 ||
               (covey_block_receiver_has(receiver, 0) &&
                memcmp(receiver->body, request->payload.data, size) != 0);
    return upload->size > 0 &&
           (upload->size < size || memcmp(upload->bytes, request->payload.data, size) != 0);
}

enum covey_coap_intake_result covey_coap_intake_block(struct covey_coap_intake *intake,
                                                      const struct covey_peer *peer,
                                                      const struct covey_coap_message *request,
                                                      uint64_t now_ms, struct covey_coap_message *answer,
                                                      struct covey_coap_upload **out_upload)
{
    uint8_t code = check_shape(request);
    if (code != 0)
        return refuse(answer, code);
    struct covey_coap_upload *upload = find(intake, peer->name, request->path, &request->request_tag);
    if (upload != NULL && is_new_body(upload, request)) {
        drop(intake, upload);
        upload = NULL;
    }
    if (upload != NULL && upload->state == COVEY_COAP_UPLOAD_DONE)
        return repeat_answer(upload, request, answer);
    if (upload == NULL && (code = begin(intake, peer, request, now_ms, &upload)) != 0)
        return refuse(answer, code);
    upload->last_ms = now_ms;
    if (!request->block1.more) {
        upload->token = request->token;
        upload->kind = request->kind;
        upload->last_block = request->block1;
    }
    if (upload->state == COVEY_COAP_UPLOAD_SERVED)
        return COVEY_COAP_INTAKE_WAIT;
    code = upload->sized ? put_sized(upload, request) : put_in_order(intake, upload, request, peer);
    if (code == 0 && !request->block1.more)
        code = complete(upload, request);
    if (code != 0) {
        bool hopeless = code == COVEY_CODE_UNPROCESSABLE || (!upload->sized && code != COVEY_CODE_INCOMPLETE);
        if (hopeless)
            drop(intake, upload);
        return refuse(answer, code);
    }
    if (!request->block1.more) {
        upload->state = COVEY_COAP_UPLOAD_SERVED;
        *out_upload = upload;
        return COVEY_COAP_INTAKE_WHOLE;
    }
    answer->code = COVEY_CODE_CONTINUE;
    answer->block1 = request->block1;
    return COVEY_COAP_INTAKE_ANSWER;
}

struct covey_bytes covey_coap_upload_view(const struct covey_coap_upload *upload)
{
    return upload->sized ? covey_coap_body_view(&upload->body)
                         : (struct covey_bytes){upload->bytes, upload->size};
}

void covey_coap_intake_answered(struct covey_coap_intake *intake, struct covey_coap_upload *upload,
                                uint8_t code, uint64_t now_ms)
{
    upload->state = COVEY_COAP_UPLOAD_DONE;
    upload->code = code;
    upload->last_ms = now_ms;
    if (code >= COVEY_CODE_INTERNAL)
        drop(intake, upload);
    else
        free_body(intake, upload);
}

bool covey_coap_intake_state(const struct covey_coap_intake *intake, const char *name, const char *path,
                             struct covey_upload_state *out)
{
    const struct covey_coap_upload *latest = NULL;
    for (const struct covey_coap_upload *at = intake->buckets[bucket_of(name, path)]; at != NULL;
         at = at->next) {
        if (strcmp(at->name, name) == 0 && strcmp(at->path, path) == 0 && at->sized &&
            at->state != COVEY_COAP_UPLOAD_DONE && (latest == NULL || at->last_ms > latest->last_ms))
            latest = at;
    }
    if (latest == NULL)
        return false;
    uint32_t first[COVEY_RANGES], count[COVEY_RANGES];
    memset(out, 0, sizeof *out);
    out->total_bytes = latest->body.receiver.total_bytes;
    out->block_bytes = (uint16_t)latest->body.receiver.block_bytes;
    out->range_count =
        (uint32_t)covey_block_receiver_missing(&latest->body.receiver, first, count, COVEY_RANGES);
    for (uint32_t i = 0; i < out->range_count; i++) {
        out->missing[i].first = first[i];
        out->missing[i].count = count[i];
    }
    return true;
}
