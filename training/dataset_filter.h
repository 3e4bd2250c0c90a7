/* Which examples of a data set stay, and by what their values are standardised. */
#ifndef COVEY_DATASET_FILTER_H
#define COVEY_DATASET_FILTER_H

#include "covey/dataset_load.h"
#include "dataset_storage.h"

/* All of them cut down the dataset's index in place (made on first use; memory goes to storage). INVALID when
 * nothing is left, with the filter named. */

/* One example number a line. */
COVEY_MUST_CHECK enum covey_status covey_filter_index_file(struct covey_dataset *dataset, const char *path,
                                                           struct covey_dataset_storage *storage,
                                                           struct covey_error *err);
/* table: (dataset->rows, 1); keeps low <= value <= high. */
COVEY_MUST_CHECK enum covey_status covey_filter_values(struct covey_dataset *dataset,
                                                       const struct covey_table *table, int64_t low,
                                                       int64_t high, const char *name,
                                                       struct covey_dataset_storage *storage,
                                                       struct covey_error *err);
/* NaN among inputs or targets, by the policy. */
COVEY_MUST_CHECK enum covey_status covey_filter_missing(struct covey_dataset *dataset,
                                                        enum covey_data_missing policy,
                                                        struct covey_dataset_storage *storage,
                                                        struct covey_error *err);
/* This device's share. */
COVEY_MUST_CHECK enum covey_status covey_filter_split(struct covey_dataset *dataset,
                                                      const struct covey_data_split *split,
                                                      struct covey_dataset_storage *storage,
                                                      struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_filter_range(struct covey_dataset *dataset, int64_t skip,
                                                      int64_t take, struct covey_dataset_storage *storage,
                                                      struct covey_error *err);

/* Mean and deviation of each feature, from a CSV of lines "feature,mean,deviation"; features that the file
 * leaves out stay as they are. */
COVEY_MUST_CHECK enum covey_status covey_statistics_load(struct covey_dataset *dataset, const char *path,
                                                         struct covey_dataset_storage *storage,
                                                         struct covey_error *err);

#endif
