/* A body in blocks over a network that loses, repeats and reorders: several blocks in flight, a round-trip
 * estimate, timers, resume. RFC 7959 gives the numbers on the wire; this decides which block goes when, and
 * puts what arrives back together. Pure: no sockets, no clock, no allocation, no globals; the time is passed
 * in, in microseconds of any monotonic clock, and what to do comes out. The transport, the simulator and the
 * tests drive the same code.
 *
 *   path      what a link has learnt of its network: kept from one transfer to the next
 *   sender    which block to transmit now: the upload's blocks, or the requests of a download
 *   receiver  a body being put together: which blocks are there, which are missing
 *
 * Congestion control (measured, docs/transport.md): each transmission has a number that comes back in its
 * answer, so every round-trip sample is unambiguous. RTO = srtt + max(4 rttvar, 20 ms), at least 50 ms,
 * doubled only when nothing arrives at all. A block is lost when one sent 3 or more later was answered and
 * its age is over srtt + max(2 rttvar, srtt/16). The window starts at 10, slow start, at most 32; a loss
 * takes it to 0.7, once a flight and only on signs of congestion (GATED), or by half on every flight with a
 * loss (STANDARD, RFC 8085 section 3.1.1).
 *
 * Threads: an object belongs to one thread at a time; distinct objects are independent. */
#ifndef COVEY_BLOCKWISE_H
#define COVEY_BLOCKWISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

#define COVEY_BLOCK_BYTES_MIN 16           /* SZX 0; SZX 6 is COVEY_BLOCK_BYTES */
#define COVEY_WINDOW_START_BLOCKS 10       /* RFC 6928 */
#define COVEY_WINDOW_FLOOR_BLOCKS 4        /* GATED; STANDARD goes down to 1 */
#define COVEY_TRANSMISSIONS_REMEMBERED 128 /* answers later than this many transmissions give no sample */
#define COVEY_BLOCK_TRANSMISSIONS 40       /* of one block, then the transfer is given up */
#define COVEY_RTO_START_US 1000000u        /* RFC 6298 (2.1), when nothing is known of the network */
#define COVEY_RTO_FLOOR_US 50000u
#define COVEY_RTO_CEILING_US 2000000u

/* ---------------------------------------------------------------- path */

enum covey_congestion_rule {
    COVEY_CONGESTION_GATED,   /* loss alone is not taken for congestion: departs from RFC 8085 */
    COVEY_CONGESTION_STANDARD /* every flight with a loss halves the window */
};

struct covey_block_path {
    uint32_t srtt_us, rttvar_us; /* RFC 6298; 0 = no sample yet */
    uint32_t least_rtt_us;       /* smallest sample: the network without queues */
    uint32_t start_rto_us;       /* until the first sample */
};

/* start_rto_us: what is known beforehand, as the time a handshake took (two round trips or more); 0 =
 * nothing. */
void covey_block_path_init(struct covey_block_path *path, uint32_t start_rto_us);
void covey_block_path_sample(struct covey_block_path *path, uint32_t round_trip_us);
uint32_t covey_block_path_rto_us(const struct covey_block_path *path);

/* ---------------------------------------------------------------- sender */

struct covey_block_sender_config {
    uint32_t block_count;   /* 0: not known yet, only block 0 is asked for (download) */
    uint16_t window_blocks; /* in flight at the most; 0 = COVEY_WINDOW_BLOCKS, 1 = one by one */
    bool last_alone;        /* upload: the last block (M=0) goes when all others were answered */
    enum covey_congestion_rule rule;
};

/* Bytes of the bitmap that a sender or receiver of so many blocks needs. */
static inline size_t covey_block_bitmap_bytes(uint32_t block_count)
{
    return ((size_t)block_count + 7) / 8;
}

struct covey_block_transmission {
    uint64_t sent_us;
    uint32_t block;
    uint32_t number;
    uint8_t later_answers; /* transmissions after this one that were answered; stays at 3 */
    uint8_t tries;         /* of this block, this one included */
    uint8_t state;         /* enum transmission_state of sender.c */
};

struct covey_block_sender {
    struct covey_block_sender_config config;
    struct covey_block_path *path;
    uint8_t *answered; /* bitmap, bit n % 8 of byte n / 8; the caller's */
    uint32_t answered_count;
    uint32_t cursor;          /* no block below it is to be sent */
    uint32_t next_number;     /* of the next transmission */
    uint32_t recovery_number; /* a loss of a transmission before it belongs to a flight already paid for */
    uint32_t window_x256, threshold_x256; /* blocks * 256 */
    uint32_t in_flight;
    uint32_t backoff;       /* RTO << backoff */
    uint64_t heard_us;      /* last answer */
    uint64_t repeated;      /* transmissions of a block that had been sent before */
    uint32_t silent_rounds; /* timeouts in a row without any answer */
    uint32_t sent_high;     /* blocks below it were sent at least once */
    struct covey_block_transmission ring[COVEY_TRANSMISSIONS_REMEMBERED]; /* by number */
};

enum covey_block_step { COVEY_BLOCK_SEND, COVEY_BLOCK_WAIT, COVEY_BLOCK_COMPLETE, COVEY_BLOCK_SILENT };

struct covey_block_action {
    enum covey_block_step step;
    uint32_t block;   /* SEND */
    uint32_t number;  /* SEND: transmission number; give it back with the answer */
    bool repeated;    /* SEND: this block was sent before */
    uint64_t wake_us; /* WAIT: ask again then, or after any event; UINT64_MAX = only after an event */
};

/* bitmap: covey_block_bitmap_bytes(block_count) bytes (1 when block_count is 0), lives as long as the sender;
 * cleared. path: shared by the transfers of a link, one after the other. RANGE: more than COVEY_BLOCK_COUNT
 * blocks. */
COVEY_MUST_CHECK enum covey_status covey_block_sender_init(struct covey_block_sender *sender,
                                                           const struct covey_block_sender_config *config,
                                                           struct covey_block_path *path, uint8_t *bitmap,
                                                           uint64_t now_us);

/* The number of blocks is known now; the bitmap is replaced by one that is large enough (block 0's bit is
 * copied). */
COVEY_MUST_CHECK enum covey_status covey_block_sender_set_count(struct covey_block_sender *sender,
                                                                uint32_t block_count, uint8_t *bitmap);

/* What to do now. Call again after each SEND, at wake_us, and after every event. SEND counts as done: a
 * datagram that could not be sent is one that was lost. SILENT: a block went out COVEY_BLOCK_TRANSMISSIONS
 * times without an answer, or there was no answer at all for that many timeouts. */
void covey_block_sender_next(struct covey_block_sender *sender, uint64_t now_us,
                             struct covey_block_action *out);

#define COVEY_BLOCK_AS_SENT UINT32_MAX
/* An answer to transmission `number` arrived; block as its Block option says, or COVEY_BLOCK_AS_SENT. Answers
 * to unknown numbers count for the block, not for the clock. sample = false: the answer was delayed by the
 * peer (a separate response), take no time from it. Out-of-range blocks are ignored. */
void covey_block_sender_answered(struct covey_block_sender *sender, uint32_t number, uint32_t block,
                                 bool sample, uint64_t now_us);

/* After a 4.08, or to resume: these blocks are to be sent again, all others were received. */
void covey_block_sender_missing(struct covey_block_sender *sender, const uint32_t *first,
                                const uint32_t *count, size_t range_count);

/* To resume: the blocks of this bitmap (of block_count bits) are there already. */
void covey_block_sender_assume(struct covey_block_sender *sender, const uint8_t *present);

/* The block's answer is not to be counted (4.08 on the last one): it goes again. */
void covey_block_sender_forget(struct covey_block_sender *sender, uint32_t block);

/* Window in blocks, for tests and logs. */
uint32_t covey_block_sender_window(const struct covey_block_sender *sender);

/* ---------------------------------------------------------------- receiver */

struct covey_block_receiver {
    uint8_t *body;    /* total_bytes, the caller's */
    uint8_t *present; /* bitmap, the caller's */
    uint64_t total_bytes;
    uint32_t block_bytes; /* 16 << szx */
    uint32_t block_count;
    uint32_t present_count;
    uint32_t first_missing;
};

/* block_bytes * NUM cannot pass total_bytes: every size is fixed here, before anything is stored. RANGE:
 * total_bytes is 0, over COVEY_BODY_BYTES or over COVEY_BLOCK_COUNT blocks; block_bytes no power of two
 * in 16..COVEY_BLOCK_BYTES. Clears the bitmap, not the body. */
COVEY_MUST_CHECK enum covey_status covey_block_receiver_init(struct covey_block_receiver *receiver,
                                                             uint8_t *body, uint8_t *bitmap,
                                                             uint64_t total_bytes, uint32_t block_bytes);

/* Block count of such a body; 0 where covey_block_receiver_init would say RANGE. */
uint32_t covey_block_count(uint64_t total_bytes, uint32_t block_bytes);

/* Stores one block. `more` is the M bit. OK: new; EXISTS: there already, with the same bytes; CONFLICT: there
 * already with other bytes (what was first stays); RANGE: outside of the body; MISMATCH: wrong length, or M
 * does not fit NUM. */
COVEY_MUST_CHECK enum covey_status covey_block_receiver_put(struct covey_block_receiver *receiver,
                                                            uint32_t block, bool more,
                                                            struct covey_bytes data);

bool covey_block_receiver_complete(const struct covey_block_receiver *receiver);
bool covey_block_receiver_has(const struct covey_block_receiver *receiver, uint32_t block);

/* Writes the first missing ranges, in order; returns how many were written (at most capacity). */
size_t covey_block_receiver_missing(const struct covey_block_receiver *receiver, uint32_t *first,
                                    uint32_t *count, size_t capacity);

#endif
