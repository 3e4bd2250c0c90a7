/* A partial sum from anywhere: 100 coordinates are expected. What loads saves to the same bytes, and merges
 * without overflow. */
#include <stdlib.h>
#include <string.h>

#include "covey/grid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct covey_grid grid, other;
    if (covey_grid_load(&grid, (struct covey_bytes){data, size}, 100, NULL) != COVEY_OK)
        return 0;
    if (covey_grid_load(&other, (struct covey_bytes){data, size}, 100, NULL) != COVEY_OK)
        abort();
    if (covey_grid_merge(&grid, &other, NULL) == COVEY_OK) {
        for (size_t i = 0; i < 100; i++)
            if (llabs(grid.sums[i]) > 1ll << COVEY_GRID_BITS)
                abort();
    }
    const size_t bytes = covey_grid_save_bytes(&other);
    uint8_t *saved = malloc(bytes);
    size_t written = 0;
    if (saved == NULL || covey_grid_save(&other, saved, bytes, &written) != COVEY_OK || written != size)
        abort();
    free(saved);
    covey_grid_deinit(&grid);
    covey_grid_deinit(&other);
    return 0;
}
