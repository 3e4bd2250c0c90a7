#include "link_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/messages.h"

struct link_call {
    struct link_call *next;
    struct link_watch *watch;
    uint32_t id;
    char path[COVEY_PATH_BYTES];
    covey_reply_fn *reply;
    void *user;
};

static struct link_watch *watch_of(const struct covey_link *link)
{
    return (struct link_watch *)(uintptr_t)link;
}

static bool is_manifest(const struct link_fetch *fetch, struct covey_manifest *out)
{
    struct covey_cose_sign1 message;
    struct covey_error err = {0};
    return covey_cose_decode((struct covey_bytes){fetch->body, fetch->bytes}, &message, &err) == COVEY_OK &&
           covey_manifest_decode(message.payload, out, &err) == COVEY_OK;
}

static bool names(const struct link_fetch *fetch, const struct covey_hash *hash)
{
    char hex[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(hash->bytes, sizeof hash->bytes, hex);
    return strstr(fetch->path, hex) != NULL;
}

static bool is_step(const struct link_watch *watch, const char *path)
{
    struct link_fetch fetch = {0};
    struct covey_manifest *manifest = malloc(sizeof *manifest);
    bool found = false;
    (void)snprintf(fetch.path, sizeof fetch.path, "%s", path);
    for (uint32_t i = 0; manifest != NULL && i < watch->count; i++) {
        const bool lists = is_manifest(&watch->fetches[i], manifest);
        for (uint32_t step = 0; lists && step < manifest->step_count; step++)
            found = found || names(&fetch, &manifest->steps[step].stream);
    }
    free(manifest);
    return found;
}

/* Off the list, and gone. */
static void forget(struct link_call *call)
{
    struct link_call **at = &call->watch->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    free(call);
}

static void keep(struct link_call *call, const struct covey_reply *reply)
{
    struct link_watch *watch = call->watch;
    if (reply->status != COVEY_OK || watch->count == LINK_WATCH_FETCHES)
        return;
    struct link_fetch *fetch = &watch->fetches[watch->count++];
    *fetch = (struct link_fetch){.code = reply->code, .bytes = reply->body.size};
    memcpy(fetch->path, call->path, sizeof fetch->path);
    fetch->body = malloc(reply->body.size + 1);
    if (fetch->body != NULL && reply->body.size > 0)
        memcpy(fetch->body, reply->body.data, reply->body.size);
}

static void on_reply(void *user, const struct covey_reply *reply)
{
    struct link_call *call = user;
    covey_reply_fn *const answer = call->reply;
    void *const whose = call->user;
    const bool hide = call->watch->hides_steps && is_step(call->watch, call->path);
    const struct covey_reply gone = {.status = COVEY_OK, .code = COVEY_CODE_NOT_FOUND, .max_age_s = 60};
    keep(call, hide ? &gone : reply);
    forget(call);
    answer(whose, hide ? &gone : reply);
}

static bool is_watched(const struct covey_request *request)
{
    return request->method == COVEY_GET &&
           (strstr(request->path, "/d/") != NULL || strstr(request->path, "/s/") != NULL);
}

static enum covey_status request(struct covey_link *link, const struct covey_request *wanted,
                                 covey_reply_fn *reply, void *user, uint32_t *out_id, struct covey_error *err)
{
    struct link_watch *watch = watch_of(link);
    if (!is_watched(wanted))
        return watch->inner.ops->request(watch->inner.link, wanted, reply, user, out_id, err);
    struct link_call *call = malloc(sizeof *call);
    if (call == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to watch a request");
    *call = (struct link_call){.next = watch->calls, .watch = watch, .reply = reply, .user = user};
    (void)snprintf(call->path, sizeof call->path, "%s", wanted->path);
    watch->calls = call;
    const enum covey_status status =
        watch->inner.ops->request(watch->inner.link, wanted, on_reply, call, &call->id, err);
    *out_id = call->id;
    if (status != COVEY_OK)
        forget(call);
    return status;
}

static enum covey_status connect_to(struct covey_link *link, const char *address, struct covey_error *err)
{
    return watch_of(link)->inner.ops->connect(watch_of(link)->inner.link, address, err);
}

static void disconnect(struct covey_link *link)
{
    watch_of(link)->inner.ops->disconnect(watch_of(link)->inner.link);
}

static void cancel(struct covey_link *link, uint32_t id)
{
    struct link_watch *watch = watch_of(link);
    watch->inner.ops->cancel(watch->inner.link, id);
    for (struct link_call *call = watch->calls; call != NULL; call = call->next)
        if (call->id == id) {
            forget(call);
            return;
        }
}

static enum covey_status observe(struct covey_link *link, const struct covey_request *wanted,
                                 covey_reply_fn *reply, void *user, uint32_t *out_id, struct covey_error *err)
{
    return watch_of(link)->inner.ops->observe(watch_of(link)->inner.link, wanted, reply, user, out_id, err);
}

static void run(struct covey_link *link, uint32_t wait_ms)
{
    watch_of(link)->inner.ops->run(watch_of(link)->inner.link, wait_ms);
}

static void wake(struct covey_link *link)
{
    watch_of(link)->inner.ops->wake(watch_of(link)->inner.link);
}

static void traffic(const struct covey_link *link, struct covey_traffic *out)
{
    watch_of(link)->inner.ops->traffic(watch_of(link)->inner.link, out);
}

static void destroy(struct covey_link *link)
{
    if (link != NULL)
        watch_of(link)->inner.ops->destroy(watch_of(link)->inner.link);
}

static const struct covey_link_ops ops = {.connect = connect_to,
                                          .disconnect = disconnect,
                                          .request = request,
                                          .cancel = cancel,
                                          .observe = observe,
                                          .run = run,
                                          .wake = wake,
                                          .traffic = traffic,
                                          .destroy = destroy};

struct covey_link_handle link_watch_open(struct link_watch *watch, struct covey_link_handle inner)
{
    watch->inner = inner;
    return (struct covey_link_handle){&ops, (struct covey_link *)watch};
}

static void count_as(const struct link_fetch *fetch, const struct covey_manifest *manifest,
                     struct link_values *values)
{
    const bool is_full = names(fetch, &manifest->full);
    bool is_step = false;
    for (uint32_t i = 0; i < manifest->step_count; i++)
        is_step = is_step || names(fetch, &manifest->steps[i].stream);
    values->fulls += is_full;
    values->steps += is_step;
    values->bytes += is_full || is_step ? fetch->bytes : 0;
}

struct link_values link_watch_values(const struct link_watch *watch)
{
    struct covey_manifest *manifest = malloc(sizeof *manifest);
    struct link_values values = {0};
    bool known = false;
    for (uint32_t i = 0; manifest != NULL && i < watch->count; i++) {
        const struct link_fetch *fetch = &watch->fetches[i];
        if (fetch->code != COVEY_CODE_CONTENT)
            continue;
        if (strstr(fetch->path, "/s/") != NULL) {
            values.sums++;
            values.bytes += fetch->bytes;
        } else if (is_manifest(fetch, manifest)) {
            known = true; /* what follows is of this model */
        } else if (known) {
            count_as(fetch, manifest, &values);
        }
    }
    free(manifest);
    return values;
}

void link_watch_clear(struct link_watch *watch)
{
    for (uint32_t i = 0; i < watch->count; i++)
        free(watch->fetches[i].body);
    watch->count = 0;
}
