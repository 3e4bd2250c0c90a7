/* What other threads want of a shard's thread. It outlives the shard: who holds an exchange may answer it
 * after the server has gone, and then only frees it. */
#ifndef COVEY_COAP_MAILBOX_H
#define COVEY_COAP_MAILBOX_H

#include <stdbool.h>

#include "covey/status.h"

/* Embedded in what is sent; `deliver` runs on the shard's thread, `discard` instead of it when the shard is
 * gone. Either frees the mail. */
struct covey_coap_mail {
    struct covey_coap_mail *next;
    void (*deliver)(void *shard, struct covey_coap_mail *mail);
    void (*discard)(struct covey_coap_mail *mail);
};

struct covey_coap_mailbox;

COVEY_MUST_CHECK enum covey_status covey_coap_mailbox_create(struct covey_coap_mailbox **out);
struct covey_coap_mailbox *covey_coap_mailbox_retain(struct covey_coap_mailbox *mailbox);
void covey_coap_mailbox_release(struct covey_coap_mailbox *mailbox); /* NULL is legal */

/* To be polled for reading. */
int covey_coap_mailbox_fd(const struct covey_coap_mailbox *mailbox);

/* Any thread; never waits long. The mail is delivered or discarded, sooner or later. */
void covey_coap_mailbox_post(struct covey_coap_mailbox *mailbox, struct covey_coap_mail *mail);
/* The shard's thread: delivers at most `most`; true when there is more. */
bool covey_coap_mailbox_deliver(struct covey_coap_mailbox *mailbox, void *shard, unsigned most);
/* Wakes the shard without mail. */
void covey_coap_mailbox_wake(struct covey_coap_mailbox *mailbox);
/* The shard's thread, or whoever ends it: delivers what waits; what comes from now on is discarded. */
void covey_coap_mailbox_close(struct covey_coap_mailbox *mailbox, void *shard);

#endif
