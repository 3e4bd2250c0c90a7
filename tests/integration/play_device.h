/* A device of a test's federation, stepped on a thread of its own until the federation is over. */
#ifndef COVEY_TEST_PLAY_DEVICE_H
#define COVEY_TEST_PLAY_DEVICE_H

#include <stdint.h>
#include <time.h>

#include "covey/client.h"

static void sleep_ms(uint32_t ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* wait_s: it fails after that. lag_ms: a pause before each step shuffles the arrivals. */
static void play_device(const struct covey_client_options *options, uint32_t wait_s, uint32_t lag_ms)
{
    struct covey_client *client = NULL;
    struct covey_error err = {0};
    const time_t until = time(NULL) + wait_s;
    cr_assert_eq(covey_client_create(options, &client, &err), COVEY_OK, "%s", err.text);
    while (!covey_client_finished(client)) {
        covey_client_step(client, 50);
        sleep_ms(lag_ms);
        cr_assert_lt(time(NULL), until, "%s did not finish", options->device_name);
    }
    covey_client_destroy(client);
}

#endif
