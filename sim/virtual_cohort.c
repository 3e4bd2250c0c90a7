#include "virtual_cohort.h"

#include <stdlib.h>

#define PART 65536u /* devices */

struct search {
    const struct covey_selection *selection;
    uint64_t seed;
    const uint64_t *ids;
    uint32_t round, count, choose, size; /* size: of a part */
    uint32_t *places;                    /* (parts, choose) */
    uint32_t *found;                     /* (parts) */
    enum covey_status *statuses;         /* (parts) */
};

static void search_part(void *user, uint32_t worker, uint32_t index)
{
    const struct search *search = user;
    const uint32_t first = index * search->size, left = search->count - first;
    const uint32_t count = left < search->size ? left : search->size;
    uint32_t *places = search->places + (size_t)index * search->choose;
    (void)worker;
    search->found[index] = search->choose < count ? search->choose : count;
    const struct covey_candidates part = {.ids = search->ids + first, .count = count};
    search->statuses[index] = covey_cohort_select(search->selection, search->seed, search->round, &part,
                                                  search->found[index], places);
    for (uint32_t i = 0; i < search->found[index]; i++)
        places[i] += first;
}

/* The best of all parts, in order of their places: ties fall as they would have in the whole list. */
static enum covey_status search_among(const struct search *search, uint32_t parts, uint32_t *chosen)
{
    uint32_t total = 0, at = 0;
    for (uint32_t part = 0; part < parts; part++) {
        COVEY_TRY(search->statuses[part]);
        total += search->found[part];
    }
    uint64_t *ids = calloc(total, sizeof *ids);
    uint32_t *places = calloc(total, sizeof *places);
    enum covey_status status = ids == NULL || places == NULL ? COVEY_NO_MEMORY : COVEY_OK;
    for (uint32_t part = 0; part < parts && status == COVEY_OK; part++)
        for (uint32_t i = 0; i < search->found[part]; i++, at++) {
            places[at] = search->places[(size_t)part * search->choose + i];
            ids[at] = search->ids[places[at]];
        }
    if (status == COVEY_OK)
        status = covey_cohort_select(search->selection, search->seed, search->round,
                                     &(struct covey_candidates){.ids = ids, .count = total}, search->choose,
                                     chosen);
    for (uint32_t i = 0; i < search->choose && status == COVEY_OK; i++)
        chosen[i] = places[chosen[i]];
    free(ids);
    free(places);
    return status;
}

enum covey_status covey_virtual_cohort_select(struct covey_crew *crew,
                                              const struct covey_selection *selection, uint64_t seed,
                                              uint32_t round, const struct covey_candidates *candidates,
                                              uint32_t choose, uint32_t *chosen)
{
    const uint32_t count = candidates->count, parts = (count + PART - 1) / PART;
    if (parts < 2 || choose > PART / 8 || selection->policy != COVEY_SELECT_RANDOM)
        return covey_cohort_select(selection, seed, round, candidates, choose, chosen);
    struct search search = {.selection = selection,
                            .seed = seed,
                            .ids = candidates->ids,
                            .round = round,
                            .count = count,
                            .choose = choose,
                            .size = PART,
                            .places = calloc((size_t)parts * choose, sizeof *search.places),
                            .found = calloc(parts, sizeof *search.found),
                            .statuses = calloc(parts, sizeof *search.statuses)};
    enum covey_status status = COVEY_NO_MEMORY;
    if (search.places != NULL && search.found != NULL && search.statuses != NULL) {
        covey_crew_each(crew, parts, search_part, &search);
        status = search_among(&search, parts, chosen);
    }
    free(search.places);
    free(search.found);
    free(search.statuses);
    return status;
}
