/* A real server and real devices in one process, over loopback: what the tests of the CoAP transport share.
 */
#ifndef COVEY_COAP_RIG_H
#define COVEY_COAP_RIG_H

#include <pthread.h>
#include <stdatomic.h>

#include "covey/coap.h"
#include "covey/hash.h"
#include "covey/transport.h"

#define RIG_LOG_BYTES 65536
/* A test fails when what it waits for has not come for so long: no machine that works is so slow. */
#define RIG_PATIENCE_MS 120000

/* A service with a few paths: GET model, small, later, missing; PUT or POST anything; GET plan is observable.
 */
struct rig {
    struct covey_credentials server_credentials;
    struct covey_log log;
    pthread_mutex_t lock;         /* guards what follows */
    char log_text[RIG_LOG_BYTES]; /* of the server */
    size_t log_used;
    struct covey_hash last_body;
    size_t last_body_bytes;
    char last_name[COVEY_NAME_BYTES];
    struct covey_exchange *held[64];
    uint32_t held_count;
    atomic_int served, uploads, present, admitted, denied_all;
    atomic_ullong admit_limit; /* bytes */
    atomic_int hold_uploads;   /* answer uploads later, from rig_release */
    struct covey_blob *model, *small;
    struct covey_host_handle host;
    uint16_t port;
    char address[64];
};

/* PSK unless credentials are given. */
struct rig *rig_start(const struct covey_credentials *credentials, size_t model_bytes, uint32_t shards);
/* Stops and starts the server on the same port. */
void rig_stop_server(struct rig *rig);
void rig_start_server(struct rig *rig, uint16_t port, uint32_t shards);
void rig_stop(struct rig *rig);
/* Answers what was held, from another thread. */
void rig_release(struct rig *rig, uint8_t code);
/* Until as many devices are there, or requests are held, as wanted; false: that never came. */
bool rig_await(struct rig *rig, int present);
bool rig_await_held(struct rig *rig, uint32_t wanted);
/* Until the server's log says so. */
bool rig_await_log(struct rig *rig, const char *text);
/* How many requests are held. */
uint32_t rig_held(struct rig *rig);
bool rig_logged(struct rig *rig, const char *text);

/* One device. */
struct device {
    struct covey_credentials credentials;
    struct covey_link_handle link;
    enum covey_link_state state;
    int ups, downs;
    struct covey_error reason;
};
/* The credentials of PSK device `name`. */
struct covey_credentials rig_psk(const char *name);
struct device *device_start(const struct covey_credentials *credentials);
/* Connects and waits; false: it went down, see reason. */
bool device_connect(struct device *device, const char *address);
/* Until its link is down. */
bool device_await_down(struct device *device);
void device_stop(struct device *device);

struct answer {
    int calls;
    enum covey_status status;
    uint8_t code;
    size_t size;
    struct covey_hash hash;
    uint32_t max_age_s;
    uint8_t first[64];
    double seconds; /* from the start of the wait to the last call */
};
void answer_taken(void *user, const struct covey_reply *reply); /* covey_reply_fn; user: struct answer */
/* Starts a request and runs the link until it is answered, or for limit_ms. */
bool device_ask(struct device *device, const struct covey_request *request, struct answer *answer,
                uint32_t limit_ms);
/* Runs the link until answer->calls is at least `calls`. */
bool device_await(struct device *device, const struct answer *answer, int calls, uint32_t limit_ms);

/* Bytes that follow from a seed. */
void fill_bytes(uint8_t *bytes, size_t size, uint64_t seed);
double clock_s(void);
/* Memory of this process; 0 under a sanitizer, whose own memory would drown it. */
uint64_t resident_bytes(void);

#endif
