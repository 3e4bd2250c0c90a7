/* A device as the program runs it: its folder read, its credentials, its data, a CoAP link, signals and the
 * live line. */
#ifndef COVEY_CLIENT_SESSION_H
#define COVEY_CLIENT_SESSION_H

#include <stdbool.h>

#include "device_commands.h"
#include "covey/client.h"
#include "covey/coap.h"
#include "covey/credential_store.h"
#include "covey/progress.h"

struct covey_session {
    struct covey_client_config config;
    struct covey_credential_store *store;
    struct covey_dataset dataset, held_out; /* views of `all` */
    struct covey_dataset all;
    uint32_t *split; /* their rows */
    struct covey_progress progress;
    struct covey_log log;
    struct covey_env env;
    bool json;
};

/* Each piece apart, so that `check` can tell how far it came. open does all three. */
COVEY_MUST_CHECK enum covey_status covey_session_configure(struct covey_session *session, const char *dir,
                                                           bool quiet, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_session_identify(struct covey_session *session,
                                                          struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_session_load_data(struct covey_session *session,
                                                           struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_session_open(struct covey_session *session, const char *dir,
                                                      bool quiet, struct covey_error *err);
void covey_session_close(struct covey_session *session); /* an all-zero one is legal */

/* open_link of covey_client_options; user is a struct covey_session. */
enum covey_status covey_session_open_link(void *user, const struct covey_link_events *events,
                                          struct covey_link_handle *out, struct covey_error *err);

/* Runs until it is finished, a signal says so, or timeout_ms have passed (0: never). *done: updates
 * acknowledged. The exit status tells the rest: FAILED when time was over. */
int covey_session_run(struct covey_session *session, const struct covey_command *command, uint32_t stop_after,
                      uint64_t timeout_ms);

#endif
