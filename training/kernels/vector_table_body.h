/* The table of one instruction set. */
const struct covey_vector_kernels VECTOR_TABLE = {
    .name = VECTOR_TABLE_NAME,
    .lanes = LANES,
    .pixel_tile = TILE_PIXELS,
    .channel_vectors = TILE_VECTORS,
    .dense_forward = dense_forward,
    .dense_backward = dense_backward,
    .conv_tiles = conv_tiles,
    .gather = gather,
    .pool_forward = pool_forward,
    .depthwise_forward = depthwise_forward,
    .depthwise_backward = depthwise_backward,
    .channel_sums = channel_sums,
    .channel_blend = channel_blend,
    .clip_forward = clip_forward,
    .clip_backward = clip_backward,
};
