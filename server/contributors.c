#include "contributors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "covey/messages.h"
#include "covey/random.h"

#define CAPACITY_LEAST 64

/* The place of a name, or the free one where it belongs. */
static struct covey_claim *place_of(struct covey_claim *claims, uint32_t capacity, const char *name)
{
    uint32_t at = (uint32_t)(covey_random_id(name) & (capacity - 1));
    while (claims[at].name[0] != '\0' && strcmp(claims[at].name, name) != 0)
        at = (at + 1) & (capacity - 1);
    return &claims[at];
}

/* All claims but those of `without` into a table of that size; UINT32_MAX: all. */
static enum covey_status rebuild(struct covey_contributors *contributors, uint32_t capacity, uint32_t without)
{
    struct covey_claim *claims = calloc(capacity, sizeof *claims);
    uint32_t count = 0;
    if (claims == NULL)
        return COVEY_NO_MEMORY;
    for (uint32_t i = 0; i < contributors->capacity; i++) {
        const struct covey_claim *claim = &contributors->claims[i];
        if (claim->name[0] == '\0' || claim->slot == without)
            continue;
        *place_of(claims, capacity, claim->name) = *claim;
        count++;
    }
    free(contributors->claims);
    *contributors = (struct covey_contributors){claims, capacity, count};
    return COVEY_OK;
}

static enum covey_status make_room(struct covey_contributors *contributors, uint32_t more)
{
    uint32_t capacity = contributors->capacity == 0 ? CAPACITY_LEAST : contributors->capacity;
    while (capacity / 2 < contributors->count + more) /* at most COVEY_DEVICES of them: no overflow */
        capacity *= 2;
    return capacity == contributors->capacity ? COVEY_OK : rebuild(contributors, capacity, UINT32_MAX);
}

/* The next of those who are meant; false: that was all. */
static bool next_name(struct covey_bytes *list, const char *single, uint32_t index,
                      char name[COVEY_NAME_BYTES])
{
    struct covey_contributor contributor;
    if (single != NULL) {
        if (index > 0)
            return false;
        (void)strncpy(name, single, COVEY_NAME_BYTES - 1);
        name[COVEY_NAME_BYTES - 1] = '\0';
        return true;
    }
    if (covey_contributor_next(list, &contributor, NULL) != COVEY_OK)
        return false;
    memcpy(name, contributor.name, COVEY_NAME_BYTES);
    return true;
}

enum covey_status covey_contributors_claim(struct covey_contributors *contributors, uint32_t slot,
                                           const char *name, struct covey_bytes list, struct covey_error *err)
{
    const char *single = list.size == 0 ? name : NULL;
    struct covey_bytes rest = list;
    char one[COVEY_NAME_BYTES];
    uint32_t count = 0;
    while (next_name(&rest, single, count, one)) {
        const struct covey_claim *claim =
            contributors->capacity == 0 ? NULL : place_of(contributors->claims, contributors->capacity, one);
        if (claim != NULL && claim->name[0] != '\0' && claim->slot != slot)
            return covey_fail(err, COVEY_CONFLICT,
                              "the device %s is in this round's sum already, by another way", one);
        count++;
    }
    if (count > COVEY_DEVICES || contributors->count > COVEY_DEVICES)
        return covey_fail(err, COVEY_LIMIT, "more than %u devices in a round", COVEY_DEVICES);
    if (make_room(contributors, count) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to remember %u devices", count);
    rest = list;
    for (uint32_t i = 0; next_name(&rest, single, i, one); i++) {
        struct covey_claim *claim = place_of(contributors->claims, contributors->capacity, one);
        contributors->count += claim->name[0] == '\0';
        memcpy(claim->name, one, sizeof claim->name);
        claim->slot = slot;
    }
    return COVEY_OK;
}

void covey_contributors_release(struct covey_contributors *contributors, uint32_t slot)
{
    if (contributors->capacity > 0)
        (void)rebuild(contributors, contributors->capacity, slot);
    /* without memory they stay claimed by the slot, which may claim them again */
}

void covey_contributors_deinit(struct covey_contributors *contributors)
{
    free(contributors->claims);
    *contributors = (struct covey_contributors){0};
}
