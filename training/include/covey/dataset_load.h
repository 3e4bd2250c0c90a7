/* Data sets from files: the `data:` block of a configuration, and what it turns into.
 *
 *   data:
 *     inputs: [train-images-idx3-ubyte.gz]     IDX or NPY, .gz or not; several are put one behind the other
 *     labels: [train-labels-idx1-ubyte.gz]     or `targets:` for regression
 *     where: [{file: writers-idx1-short.gz, is: 7}]
 *     classes: 6                               keep labels 0 to 5
 *     statistics: feature-stats.csv            standardise
 *
 *   data:
 *     csv: {files: [meter.csv], label: state, ignore: [time], missing: skip}
 *
 * docs/client.md has every key. A plain (not compressed) IDX or NPY file that stands alone is mapped, not
 * read. Sizes are checked against the file and against covey/limits.h before anything is allocated. */
#ifndef COVEY_DATASET_LOAD_H
#define COVEY_DATASET_LOAD_H

#include <stdint.h>

#include "covey/dataset.h"
#include "covey/status.h"
#include "covey/yaml.h"

#define COVEY_DATA_FILES 1024
#define COVEY_DATA_FILTERS 16
#define COVEY_CSV_COLUMNS 4096
#define COVEY_CSV_CLASSES 1024
#define COVEY_CSV_BYTES (1ull << 32)

enum covey_data_missing { COVEY_MISSING_REFUSE, COVEY_MISSING_SKIP, COVEY_MISSING_MEAN };
enum covey_data_header { COVEY_HEADER_AUTO, COVEY_HEADER_YES, COVEY_HEADER_NO };

struct covey_data_names {
    char **names;
    uint32_t count;
};

/* Keeps an example when its value in `file` (a label table of the same length) fits. */
struct covey_data_where {
    char *file;
    int64_t is;       /* when from and to are 0 */
    int64_t from, to; /* from..to inclusive; to < from: no upper end */
};

enum covey_split_kind {
    COVEY_SPLIT_NONE,
    COVEY_SPLIT_IID,
    COVEY_SPLIT_DIRICHLET, /* every device as many examples, its mixture of labels drawn from Dirichlet(alpha)
                            */
    COVEY_SPLIT_DIRICHLET_UNEVEN, /* each label is dealt out by a Dirichlet(alpha) over devices: sizes differ
                                     too */
    COVEY_SPLIT_SHARDS /* sorted by label, cut into devices * shards pieces, each device gets `shards` */
};

/* One device's share of a set that is everybody's: for demos and simulations. */
struct covey_data_split {
    int64_t kind;            /* enum covey_split_kind */
    int64_t devices, device; /* device counts from 0 */
    double alpha;
    int64_t shards; /* a device */
    int64_t seed;
};

struct covey_data_csv {
    struct covey_data_names files;
    int64_t header; /* enum covey_data_header; auto: yes when the first line holds a word that is no number */
    char *separator;                         /* one character, or "" to guess among , ; tab | */
    char *label;                             /* column by name, or by number from 0; "" = none */
    struct covey_data_names targets, ignore; /* columns likewise */
    struct covey_data_names classes; /* label i is written as the i-th word; none: labels are whole numbers */
};

/* The block, as covey_yaml fills it in. An all-zero one names no data. Relative paths start at the
 * configuration's folder. */
struct covey_data_config {
    struct covey_data_names inputs, labels, targets;
    struct covey_data_csv csv;
    char *statistics;    /* CSV of lines "feature,mean,deviation", with a header */
    double scale, shift; /* as in covey/dataset.h; before the statistics */
    int64_t missing;     /* enum covey_data_missing: what NaN (or an empty CSV field) does */
    char *index;         /* file of one example number a line: only these, in this order */
    struct covey_data_where *where;
    uint32_t where_count;
    int64_t classes; /* keep labels below; 0 = all */
    struct covey_data_split split;
    int64_t skip, take; /* of what is left: leave out the first, keep at most; take 0 = all */
};

/* The table for covey_yaml; a MAPPING of a configuration points here. */
extern const struct covey_field covey_data_fields[];

/* Does it name any data at all? */
bool covey_data_is_named(const struct covey_data_config *config);

/* folder: where relative paths start; NULL: the working directory. Filters work in this order: index, where
 * and classes and missing, split, skip and take. *out is owned by the caller (covey_dataset_deinit). */
COVEY_MUST_CHECK enum covey_status covey_data_load(const struct covey_data_config *config, const char *folder,
                                                   struct covey_dataset *out, struct covey_error *err);

/* ---- pieces, for programs that hold no configuration ---- */

/* Shares of a set: order: (dataset->count) example numbers, overwritten, device after device (within a share
 * shuffled for IID, ascending for the others); ends: (devices) first place in order behind each device's
 * share. A pure function of the labels and `split`. INVALID for options that cannot hold, LIMIT when there
 * are fewer examples than devices. */
COVEY_MUST_CHECK enum covey_status covey_data_split(const struct covey_dataset *dataset,
                                                    const struct covey_data_split *split, uint32_t *order,
                                                    uint32_t *ends, struct covey_error *err);

/* Writes examples picked[0 .. count-1] as a plain IDX file in their stored type: inputs with the shape of an
 * example, labels as one dimension. NULL: not that table. Temporary file, then rename. */
COVEY_MUST_CHECK enum covey_status covey_data_write_idx(const struct covey_dataset *dataset,
                                                        const uint32_t *picked, uint32_t count,
                                                        const char *inputs_path, const char *labels_path,
                                                        struct covey_error *err);

#endif
