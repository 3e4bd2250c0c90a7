/* Every bound of the house, in one place. What comes from outside is checked against these before it
 * costs memory; a configuration may lower most of them, never raise them. */
#ifndef COVEY_LIMITS_H
#define COVEY_LIMITS_H

/* names and texts, bytes with the terminating zero */
#define COVEY_NAME_BYTES 64           /* tensor, operation, device, federation */
#define COVEY_CODEC_NAME_BYTES 32     /* "int8", "ec:1" */
#define COVEY_STRATEGY_TEXT_BYTES 192 /* a chain of aggregation in words */
#define COVEY_PATH_BYTES 192          /* of a CoAP resource, without query */
#define COVEY_FILE_PATH_BYTES 1024    /* of a file */

/* models */
#define COVEY_MODEL_OPS 256
#define COVEY_OP_INPUTS 8
#define COVEY_TENSOR_RANK 4
#define COVEY_MODEL_TENSORS 512
#define COVEY_MODEL_PARAMETERS (1ull << 28) /* 268 M values, 1 GiB of f32 */
#define COVEY_BATCH_EXAMPLES 4096

/* messages */
#define COVEY_HASH_BYTES 32                 /* SHA-256 */
#define COVEY_ASSIGNMENT_BYTES 8            /* id of an assignment; 16 hexadecimal digits in a path */
#define COVEY_PLAN_BYTES 512                /* one datagram with room to spare */
#define COVEY_DESCRIPTION_BYTES (64u << 10) /* model description in CBOR */
#define COVEY_MANIFEST_BYTES 2048           /* signed */
#define COVEY_METRICS_BYTES 4096
#define COVEY_BODY_BYTES ((1ull << 30) + (1u << 20)) /* whatever travels in blocks */
#define COVEY_CBOR_DEPTH 8
#define COVEY_MANIFEST_DELTAS 8
#define COVEY_MANIFEST_STEPS 8

/* block transfer (RFC 7959) */
#define COVEY_BLOCK_BYTES 1024
#define COVEY_BLOCK_COUNT (1u << 20) /* NUM has 20 bits */
#define COVEY_WINDOW_BLOCKS 32
#define COVEY_TRANSFERS_PER_PEER 4

/* server */
#define COVEY_FEDERATIONS 64
#define COVEY_DEVICES (1u << 20)
#define COVEY_SHARD_DEVICES 1000
#define COVEY_ROUNDS (1u << 24)
#define COVEY_UPDATE_EXAMPLES (1u << 20) /* weight of one update at the most */
#define COVEY_FOLD_THREADS 64
#define COVEY_COMPARED_UPDATES 2048 /* of a round, by strategies that compare them */

/* training */
#define COVEY_LOCAL_EPOCHS 1000
#define COVEY_DATASET_EXAMPLES (1u << 28)
#define COVEY_TENSOR_VALUES (1u << 28)      /* of one tensor, of one example */
#define COVEY_EXAMPLE_FLOPS (1ull << 40)    /* of one example's forward pass */
#define COVEY_WORKSPACE_BYTES (16ull << 30) /* of one trainer */

/* files */
#define COVEY_YAML_BYTES (1u << 20)

#endif
