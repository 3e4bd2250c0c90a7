/* IDX, as MNIST uses: 0 0 TYPE RANK, RANK sizes of 4 bytes, values; everything big-endian
 * (http://yann.lecun.com/exdb/mnist, "the IDX file format"). */
#include "table_file.h"

static const struct {
    uint8_t code;
    enum covey_element type;
} idx_types[] = {{0x08, COVEY_ELEMENT_U8},  {0x09, COVEY_ELEMENT_I8},  {0x0b, COVEY_ELEMENT_I16},
                 {0x0c, COVEY_ELEMENT_I32}, {0x0d, COVEY_ELEMENT_F32}, {0x0e, COVEY_ELEMENT_F64}};

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* lead: type, rank and the first size. */
enum covey_status covey_idx_read_header(struct covey_data_file *file, const uint8_t *lead,
                                        struct covey_table_file *out, struct covey_error *err)
{
    uint8_t sizes[4 * COVEY_TABLE_DIMENSIONS];
    size_t kind = 0, kinds = sizeof idx_types / sizeof *idx_types;
    uint32_t rank = lead[3];

    while (kind < kinds && idx_types[kind].code != lead[2])
        kind++;
    if (lead[0] != 0 || lead[1] != 0 || kind == kinds)
        return covey_fail(err, COVEY_CORRUPT,
                          "%s: is neither IDX nor NPY (it begins with %02x %02x %02x %02x)", file->path,
                          lead[0], lead[1], lead[2], lead[3]);
    if (rank < 1 || rank > COVEY_TABLE_DIMENSIONS)
        return covey_fail(err, COVEY_UNSUPPORTED, "%s: %u dimensions; 1 to %d are supported", file->path,
                          rank, COVEY_TABLE_DIMENSIONS);
    COVEY_TRY(covey_data_file_read(file, sizes, 4 * (rank - 1), err));
    out->type = idx_types[kind].type;
    out->stored = COVEY_STORED_PLAIN;
    out->swapped = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && covey_element_bytes(out->type) > 1;
    out->dimensions = rank;
    out->size[0] = read_u32(lead + 4);
    for (uint32_t i = 1; i < rank; i++)
        out->size[i] = read_u32(sizes + 4 * (i - 1));
    return COVEY_OK;
}
