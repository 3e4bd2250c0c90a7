#include "sections.h"

#include <string.h>

static enum covey_status no_sense(struct covey_error *err)
{
    return covey_fail(err, COVEY_CORRUPT, "codec stream: its sections make no sense");
}

enum covey_status covey_sections_begin(struct covey_section_walk *walk, struct covey_bytes bytes,
                                       size_t values, bool listed, struct covey_error *err)
{
    struct covey_section_walk begun = {bytes.data, bytes.data + bytes.size, values, 1, listed};
    if (listed) {
        if (bytes.size == 0 || values == 0 || *begun.at >= COVEY_SECTIONS_MAX)
            return no_sense(err);
        begun.left += *begun.at++;
    }
    *walk = begun;
    return COVEY_OK;
}

enum covey_status covey_sections_next(struct covey_section_walk *walk, struct covey_section *section,
                                      struct covey_error *err)
{
    struct covey_section next = {.first = section->last, .last = walk->values, .rotated = true};
    uint32_t length = 0;
    size_t used = 0;
    if (walk->listed) {
        used = covey_length_read(walk->at, walk->end, &length);
        walk->at += used;
        next.rotated = (length & 1) != 0;
        if (used == 0 || (walk->left > 1) != (length > 1) ||
            length / 2 * (uint64_t)COVEY_SECTION_UNIT >= walk->values - next.first)
            return no_sense(err);
        if (walk->left > 1)
            next.last = next.first + length / 2 * COVEY_SECTION_UNIT;
    }
    COVEY_TRY(covey_uniform_read((struct covey_bytes){walk->at, (size_t)(walk->end - walk->at)}, &next.model,
                                 &used, err));
    walk->at += used;
    walk->left--;
    if (section->last > 0 && (next.model.segment_log != section->model.segment_log ||
                              next.model.lanes_log != section->model.lanes_log))
        return no_sense(err);
    *section = next;
    return COVEY_OK;
}

size_t covey_sections_write(const struct covey_section *sections, size_t count, bool listed, uint8_t *out)
{
    size_t used = 0;
    if (listed)
        out[used++] = (uint8_t)(count - 1);
    for (size_t i = 0; i < count; i++) {
        const size_t units = i + 1 < count ? (sections[i].last - sections[i].first) / COVEY_SECTION_UNIT : 0;
        if (listed)
            used += covey_length_write(units << 1 | (sections[i].rotated ? 1 : 0), out + used);
        used += covey_uniform_write(&sections[i].model, out + used);
    }
    return used;
}
