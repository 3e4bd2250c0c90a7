/* A device's configuration: DIR/client.yaml of its bundle, beside the credentials (covey/credential_store.h).
 *
 *   server: fl.example.org:5684      HOST:PORT, also [IPv6]:PORT; the port is 5684 when left out
 *   federation: digits
 *   data:
 *     inputs: [train-images-idx3-ubyte]
 *     labels: [train-labels-idx1-ubyte]
 *
 * These three suffice. docs/client.md has every key. */
#ifndef COVEY_CLIENT_CONFIG_H
#define COVEY_CLIENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"
#include "covey/dataset_load.h"
#include "covey/limits.h"
#include "covey/log.h"
#include "covey/status.h"

#define COVEY_ADDRESS_BYTES 280 /* "[" 255 characters of host "]:65535" */
#define COVEY_CLIENT_PORT 5684  /* coaps, RFC 7252 section 6.2 */

enum covey_link_mode { COVEY_MODE_LISTEN, COVEY_MODE_POLL };
/* AUTO: with codecs that are not unbiased. */
enum covey_feedback { COVEY_FEEDBACK_ON, COVEY_FEEDBACK_OFF, COVEY_FEEDBACK_AUTO };

/* When a device may train. All zero: always. */
struct covey_client_policy {
    char *hours;                /* local time, "22-6" or "1:30-5, 12-14"; "" = any */
    bool mains;                 /* only while mains power is on; a device without a battery has mains power */
    int64_t battery_percent;    /* or while the battery has at least so much; 0 = any */
    double temperature_celsius; /* below it; 0 = any */
    double load;                /* one-minute load average a processor below it; 0 = any */
};

struct covey_client_config {
    char *server;
    char *server_name; /* that the certificate must carry; "" = the host of `server` */
    char *federation;
    int64_t mode;       /* enum covey_link_mode */
    int64_t congestion; /* enum covey_congestion_rule */
    struct covey_data_config data;
    char *state; /* folder, made when it is not there; relative to the bundle */
    struct covey_client_policy policy;
    int64_t error_feedback;  /* enum covey_feedback */
    int64_t feedback_rounds; /* a residual older than so many models is dropped */
    double hold_out;  /* share of the examples that is not trained on, and judges models when asked; 0: all
                         judge */
    double clip_norm; /* L2 norm that an update is scaled down to; 0 = as it is */
    bool exit_when_done;
    bool keep_last;                           /* when the federation has ended, fetch its last model */
    bool metrics;                             /* tell the server how rounds went */
    int64_t reconnect_ms, reconnect_limit_ms; /* pause before the first new try, and the longest one */
    int64_t memory_limit_bytes;               /* of training; 0 = no limit but the house's */
    struct {
        int64_t level; /* enum covey_log_level */
        bool journal;
    } log;

    /* not from the file */
    char folder[COVEY_FILE_PATH_BYTES]; /* of the bundle */
    char host[COVEY_ADDRESS_BYTES];     /* of `server`, without brackets */
    uint16_t port;
};

/* Reads DIR/client.yaml. INVALID with "FILE:LINE: ..." in err. */
COVEY_MUST_CHECK enum covey_status covey_client_config_load(const char *dir, struct covey_client_config *out,
                                                            struct covey_error *err);
/* The same from memory, for tests. */
COVEY_MUST_CHECK enum covey_status covey_client_config_load_text(const char *dir, const char *text,
                                                                 struct covey_client_config *out,
                                                                 struct covey_error *err);
void covey_client_config_free(struct covey_client_config *config); /* an all-zero one is legal */

/* Whether a device keeps what this codec could not send. feedback: enum covey_feedback. raw32 sends all. */
bool covey_client_keeps_residual(int64_t feedback, const struct covey_codec *codec);

/* DIR/NAME, or NAME itself when it is absolute. LIMIT when it does not fit. */
COVEY_MUST_CHECK enum covey_status covey_client_config_path(const struct covey_client_config *config,
                                                            const char *name, char out[COVEY_FILE_PATH_BYTES],
                                                            struct covey_error *err);

/* "HOST:PORT" as a link takes it, with brackets where an IPv6 address wants them. */
void covey_client_address(const char *host, uint16_t port, char out[COVEY_ADDRESS_BYTES]);

#endif
