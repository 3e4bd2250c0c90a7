/* The authority's two lists on disk, DIR/pki/issued and DIR/pki/revoked: a line each, only appended to,
 * synced before it counts. A last line without its newline was never finished, and is not read. Private to
 * security/. */
#ifndef COVEY_DEVICE_LIST_H
#define COVEY_DEVICE_LIST_H

#include <stddef.h>

#include "covey/authority.h"

#define COVEY_ISSUED_FILE "issued"
#define COVEY_REVOKED_FILE "revoked"

struct covey_device_list {
    struct covey_device_entry *entries; /* owned */
    size_t count, capacity;
};

void covey_device_list_init(struct covey_device_list *list);
void covey_device_list_deinit(struct covey_device_list *list);

/* Reads one of the files, in order; a file that is not there is an empty list. CORRUPT with file and line. */
COVEY_MUST_CHECK enum covey_status covey_device_list_read(struct covey_device_list *list, const char *pki_dir,
                                                          const char *file, struct covey_error *err);
/* Reads both: what was issued, each with its `revoked`. */
COVEY_MUST_CHECK enum covey_status covey_device_list_read_all(struct covey_device_list *list,
                                                              const char *pki_dir, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_device_list_append(const char *pki_dir, const char *file,
                                                            const struct covey_device_entry *entry,
                                                            struct covey_error *err);

/* For look-ups: sorts by serial; then finds, or NULL. */
void covey_device_list_sort(struct covey_device_list *list);
const struct covey_device_entry *covey_device_list_find(const struct covey_device_list *list,
                                                        const char *serial);

/* Names in `revoked` of which nothing in `issued` is left that counts, sorted by name, some several times.
 * `issued` may be empty: the authority can live on another machine. Sorts `issued` by name. */
COVEY_MUST_CHECK enum covey_status covey_device_list_banned(const struct covey_device_list *revoked,
                                                            struct covey_device_list *issued,
                                                            struct covey_device_list *out,
                                                            struct covey_error *err);
/* In a list sorted by name; or NULL. */
const struct covey_device_entry *covey_device_list_find_name(const struct covey_device_list *list,
                                                             const char *name);

#endif
