#include "coap_mailbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct covey_coap_mailbox {
    atomic_uint references;
    pthread_mutex_t lock;
    struct covey_coap_mail *first, **end;
    bool closed;
    int fd;
};

enum covey_status covey_coap_mailbox_create(struct covey_coap_mailbox **out)
{
    struct covey_coap_mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (mailbox == NULL)
        return COVEY_NO_MEMORY;
    atomic_init(&mailbox->references, 1);
    mailbox->end = &mailbox->first;
    mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->fd < 0 || pthread_mutex_init(&mailbox->lock, NULL) != 0) {
        if (mailbox->fd >= 0)
            (void)close(mailbox->fd);
        free(mailbox);
        return COVEY_IO;
    }
    *out = mailbox;
    return COVEY_OK;
}

struct covey_coap_mailbox *covey_coap_mailbox_retain(struct covey_coap_mailbox *mailbox)
{
    atomic_fetch_add_explicit(&mailbox->references, 1, memory_order_relaxed);
    return mailbox;
}

void covey_coap_mailbox_release(struct covey_coap_mailbox *mailbox)
{
    if (mailbox == NULL || atomic_fetch_sub_explicit(&mailbox->references, 1, memory_order_acq_rel) != 1)
        return;
    (void)pthread_mutex_destroy(&mailbox->lock);
    (void)close(mailbox->fd);
    free(mailbox);
}

int covey_coap_mailbox_fd(const struct covey_coap_mailbox *mailbox)
{
    return mailbox->fd;
}

void covey_coap_mailbox_wake(struct covey_coap_mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t written = write(mailbox->fd, &one, sizeof one); /* fails only when it is awake already */
    (void)written;
}

void covey_coap_mailbox_post(struct covey_coap_mailbox *mailbox, struct covey_coap_mail *mail)
{
    mail->next = NULL;
    (void)pthread_mutex_lock(&mailbox->lock);
    bool closed = mailbox->closed;
    if (!closed) {
        *mailbox->end = mail;
        mailbox->end = &mail->next;
        covey_coap_mailbox_wake(
            mailbox); /* under the lock: the mail may release the mailbox as soon as it is seen */
    }
    (void)pthread_mutex_unlock(&mailbox->lock);
    if (closed)
        mail->discard(mail);
}

bool covey_coap_mailbox_deliver(struct covey_coap_mailbox *mailbox, void *shard, unsigned most)
{
    uint64_t count;
    ssize_t got = read(mailbox->fd, &count, sizeof count);
    (void)got;
    for (unsigned i = 0; i < most; i++) {
        (void)pthread_mutex_lock(&mailbox->lock);
        struct covey_coap_mail *mail = mailbox->first;
        if (mail != NULL) {
            mailbox->first = mail->next;
            if (mailbox->first == NULL)
                mailbox->end = &mailbox->first;
        }
        (void)pthread_mutex_unlock(&mailbox->lock);
        if (mail == NULL)
            return false;
        mail->deliver(shard, mail);
    }
    covey_coap_mailbox_wake(mailbox);
    return true;
}

void covey_coap_mailbox_close(struct covey_coap_mailbox *mailbox, void *shard)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    struct covey_coap_mail *mail = mailbox->first;
    mailbox->closed = true;
    mailbox->first = NULL;
    mailbox->end = &mailbox->first;
    (void)pthread_mutex_unlock(&mailbox->lock);
    while (mail != NULL) {
        struct covey_coap_mail *next = mail->next;
        mail->deliver(shard, mail);
        mail = next;
    }
}
