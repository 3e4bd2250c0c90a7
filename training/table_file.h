/* An array in a file, IDX or NPY: its header read and checked against the file before anything is allocated.
 */
#ifndef COVEY_TABLE_FILE_H
#define COVEY_TABLE_FILE_H

#include "covey/dataset.h"
#include "data_file.h"

#define COVEY_TABLE_DIMENSIONS (COVEY_TENSOR_RANK + 1) /* examples, then the shape of one */

/* How an element lies in the file; what a data set does not know is converted as it is loaded. */
enum covey_stored {
    COVEY_STORED_PLAIN, /* enum covey_element as it is */
    COVEY_STORED_U16,   /* -> I32 */
    COVEY_STORED_U32,   /* -> I32, RANGE if it does not fit */
    COVEY_STORED_I64    /* -> I32, RANGE if it does not fit */
};

struct covey_table_file {
    struct covey_data_file file;
    enum covey_element type; /* after conversion */
    enum covey_stored stored;
    bool swapped;
    uint32_t dimensions;
    uint32_t size[COVEY_TABLE_DIMENSIONS]; /* size[0] = examples */
    uint64_t header_bytes, data_bytes;     /* in the file */
    uint32_t width;                        /* values of an example */
};

/* IDX or NPY, told apart by their first bytes. CORRUPT, UNSUPPORTED or LIMIT naming the file. */
COVEY_MUST_CHECK enum covey_status covey_table_file_open(const char *path, struct covey_table_file *out,
                                                         struct covey_error *err);
void covey_table_file_close(struct covey_table_file *table); /* an all-zero one is legal */

/* Can the values stay where they are, in the mapped file? */
bool covey_table_file_can_map(const struct covey_table_file *table);

/* Bytes of the values in memory. */
uint64_t covey_table_file_bytes(const struct covey_table_file *table);

/* Reads all values into out: (size[0], width), in the byte order of this machine. The file must end there. */
COVEY_MUST_CHECK enum covey_status covey_table_file_read(struct covey_table_file *table, void *out,
                                                         struct covey_error *err);

/* ---- the formats: `file` stands behind the first `lead_bytes` bytes, which are in lead ---- */

#define COVEY_TABLE_LEAD_BYTES 8
COVEY_MUST_CHECK enum covey_status covey_idx_read_header(struct covey_data_file *file, const uint8_t *lead,
                                                         struct covey_table_file *out,
                                                         struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_npy_read_header(struct covey_data_file *file, const uint8_t *lead,
                                                         struct covey_table_file *out,
                                                         struct covey_error *err);

#endif
