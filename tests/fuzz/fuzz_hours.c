/* What devices say of their hours. What is read comes back from its own query, and has an end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hours.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *query = malloc(size + 1), again[COVEY_HOURS_QUERY_BYTES];
    struct covey_hours hours, back;
    uint32_t minute, same;
    if (query == NULL)
        return 0;
    memcpy(query, data, size);
    query[size] = 0;
    if (covey_hours_read_query(query, &hours, &minute, NULL) == COVEY_OK) {
        covey_hours_write_query(&hours, minute, again);
        if (covey_hours_left(&hours, minute) > COVEY_DAY_MINUTES ||
            covey_hours_read_query(again, &back, &same, NULL) != COVEY_OK || same != minute ||
            back.count != hours.count)
            abort();
    }
    free(query);
    return 0;
}
