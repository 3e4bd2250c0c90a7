/* A client and a tiny server in one process, with a little data that can be learnt. */
#ifndef COVEY_TEST_CLIENT_RIG_H
#define COVEY_TEST_CLIENT_RIG_H

#include "covey/client.h"
#include "tiny_server.h"

#define RIG_EXAMPLES 24

struct client_rig {
    struct tiny_server server;
    char folder[64];
    struct covey_client_config config;
    struct covey_dataset dataset;
    uint8_t inputs[RIG_EXAMPLES * 4];
    uint8_t labels[RIG_EXAMPLES];
    struct covey_log log;
    struct covey_client *client;
    uint32_t reported;
    struct covey_client_report last;
    bool in_step;
    uint32_t stop_after;
    struct covey_error create_error;
};

/* yaml: further lines of client.yaml, or "". No client yet. */
void client_rig_start(struct client_rig *rig, const char *yaml, bool threaded);
void client_rig_stop(struct client_rig *rig);

/* A new client on the same state; the one before must be closed. */
enum covey_status client_rig_open(struct client_rig *rig);
void client_rig_close(struct client_rig *rig);

/* Steps until the condition holds, at most for some seconds of real time; fails the test otherwise. */
#define client_rig_until(rig, condition)                                                                     \
    do {                                                                                                     \
        uint64_t end_ms_ = client_rig_now_ms() + 20000;                                                      \
        while (!(condition)) {                                                                               \
            cr_assert(client_rig_now_ms() < end_ms_, "line %d: never: %s", __LINE__, #condition);            \
            client_rig_step(rig);                                                                            \
        }                                                                                                    \
    } while (0)
void client_rig_step(struct client_rig *rig);
uint64_t client_rig_now_ms(void);
struct covey_client_view client_rig_view(const struct client_rig *rig);

#endif
