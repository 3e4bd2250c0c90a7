/* A link that keeps a list of what was fetched through it: every GET of a model, a step, a sum, a manifest or
 * a description, with the bytes that came. All else goes through as it is. */
#ifndef COVEY_LINK_WATCH_H
#define COVEY_LINK_WATCH_H

#include <stdint.h>

#include "covey/limits.h"
#include "covey/transport.h"

#define LINK_WATCH_FETCHES 512 /* those behind are left out */

struct link_fetch {
    char path[COVEY_PATH_BYTES];
    uint8_t code;
    size_t bytes;
    uint8_t *body; /* (bytes) */
};

struct link_call; /* a GET under way */

/* The caller's storage, all zero at first; outlives the link. Read it when the link is gone. */
struct link_watch {
    struct covey_link_handle inner;
    struct link_call *calls;
    bool hides_steps; /* set by the caller: steps that a manifest lists are answered 4.04 */
    struct link_fetch fetches[LINK_WATCH_FETCHES];
    uint32_t count;
};

/* Takes over the inner link: destroying the one in *out destroys it. */
struct covey_link_handle link_watch_open(struct link_watch *watch, struct covey_link_handle inner);
/* What came of models: whole ones, steps, sums of steps, and the bytes of all of these; by the manifests that
 * came too. */
struct link_values {
    uint32_t fulls, steps, sums;
    uint64_t bytes;
};
struct link_values link_watch_values(const struct link_watch *watch);
/* Forgets what was fetched. */
void link_watch_clear(struct link_watch *watch);

#endif
