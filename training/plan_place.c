/* Who shares memory with whom. Time runs over the S steps forward (0 .. S-1), the loss (S) and the steps
 * backward (step s at 2S - s). Every buffer lives from its first use to its last; two may overlap in memory
 * only if their lives do not. Placed the largest first, each at the lowest place that is free for its whole
 * life: the greedy by size of Pisarchyk and Lee, "Efficient memory management for deep neural net inference"
 * (2020). */
#include <stdlib.h>

#include "network.h"

struct buffer {
    uint64_t bytes, offset;
    uint32_t first, last;
    uint32_t index; /* before sorting */
};

struct placing {
    struct covey_training_plan *plan;
    struct buffer *buffers;
    uint32_t count;
    uint64_t example_bytes; /* of one value of each example of a chunk */
};

static uint32_t add_buffer(struct placing *at, uint64_t bytes, uint32_t time)
{
    const uint64_t rounded = (bytes + COVEY_ARENA_ALIGN - 1) / COVEY_ARENA_ALIGN * COVEY_ARENA_ALIGN;
    at->buffers[at->count] =
        (struct buffer){.bytes = rounded, .first = time, .last = time, .index = at->count};
    return at->count++;
}

static void use(struct placing *at, uint32_t buffer, uint32_t time)
{
    struct buffer *used = &at->buffers[buffer];
    used->first = time < used->first ? time : used->first;
    used->last = time > used->last ? time : used->last;
}

static uint32_t backward_time(const struct placing *at, uint32_t step)
{
    return 2 * at->plan->step_count - step;
}

/* Whether the step's output may lie where its input lies. */
static bool shares_value(const struct placing *at, const struct covey_step *step)
{
    const struct covey_planned_tensor *in = &at->plan->tensors[step->inputs[0]];
    if (step->op.kind == COVEY_OP_FLATTEN)
        return true; /* the same values: a view */
    return step->op.input_count == 1 && (step->kernels->abilities & COVEY_IN_PLACE) != 0 &&
           in->overwritable && !(step->backward && (step->kernels->needs & COVEY_NEEDS_INPUT) != 0);
}

static void add_value(struct placing *at, uint32_t s)
{
    struct covey_step *step = &at->plan->steps[s];
    const struct covey_planned_tensor *in = &at->plan->tensors[step->inputs[0]];
    struct covey_planned_tensor *out = &at->plan->tensors[step->output];
    const bool shared = shares_value(at, step);
    out->overwritable =
        out->consumer_count == 1 && !(step->backward && (step->kernels->needs & COVEY_NEEDS_OUTPUT) != 0);
    if (shared && step->op.kind == COVEY_OP_FLATTEN)
        out->overwritable = out->overwritable && in->overwritable;
    out->value_buffer = shared ? in->value_buffer : add_buffer(at, out->count * at->example_bytes, s);
    use(at, out->value_buffer, s);
    for (uint32_t i = 0; i < step->op.input_count; i++)
        use(at, at->plan->tensors[step->inputs[i]].value_buffer, s);
}

static void add_values(struct placing *at)
{
    struct covey_training_plan *plan = at->plan;
    struct covey_planned_tensor *input = &plan->tensors[COVEY_TENSOR_INPUT];
    input->overwritable = input->consumer_count == 1;
    input->value_buffer = add_buffer(at, input->count * at->example_bytes, 0);
    for (uint32_t s = 0; s < plan->step_count; s++)
        add_value(at, s);
    use(at, plan->tensors[plan->steps[plan->step_count - 1].output].value_buffer, plan->step_count);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct covey_step *step = &plan->steps[s];
        if (!step->backward)
            continue;
        if ((step->kernels->needs & COVEY_NEEDS_OUTPUT) != 0)
            use(at, plan->tensors[step->output].value_buffer, backward_time(at, s));
        for (uint32_t i = 0; i < step->op.input_count && (step->kernels->needs & COVEY_NEEDS_INPUT) != 0; i++)
            use(at, plan->tensors[step->inputs[i]].value_buffer, backward_time(at, s));
    }
}

/* dx of input i of step s: its own buffer, the memory of dy, or a temporary whose values are then added. */
static void add_input_gradient(struct placing *at, uint32_t s, uint32_t i, uint32_t *temporary)
{
    const struct covey_step *step = &at->plan->steps[s];
    struct covey_planned_tensor *in = &at->plan->tensors[step->inputs[i]];
    const struct covey_planned_tensor *out = &at->plan->tensors[step->output];
    const bool passes_on = step->op.input_count == 1 && (step->kernels->abilities & COVEY_IN_PLACE) != 0;
    const uint32_t time = backward_time(at, s);
    *temporary = UINT32_MAX;
    if (in->gradient_buffer != UINT32_MAX)
        *temporary = add_buffer(at, in->count * at->example_bytes, time);
    else if (in->consumer_count == 1 && passes_on)
        in->gradient_buffer = out->gradient_buffer;
    else
        in->gradient_buffer = add_buffer(at, in->count * at->example_bytes, time);
    use(at, in->gradient_buffer, time);
}

static void add_gradients(struct placing *at, uint32_t (*temporaries)[COVEY_OP_INPUTS])
{
    struct covey_training_plan *plan = at->plan;
    struct covey_planned_tensor *output = &plan->tensors[plan->steps[plan->step_count - 1].output];
    if (!plan->steps[plan->step_count - 1].backward)
        return;
    output->gradient_buffer = add_buffer(at, output->count * at->example_bytes, plan->step_count);
    for (uint32_t s = plan->step_count; s-- > 0;) {
        const struct covey_step *step = &plan->steps[s];
        if (!step->backward)
            continue;
        use(at, plan->tensors[step->output].gradient_buffer, backward_time(at, s));
        for (uint32_t i = 0; i < step->op.input_count; i++) {
            const int32_t producer = plan->tensors[step->inputs[i]].producer;
            if (producer >= 0 && plan->steps[producer].backward)
                add_input_gradient(at, s, i, &temporaries[s][i]);
        }
    }
}

static int larger_first(const void *a, const void *b)
{
    const struct buffer *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->index < y->index ? -1 : 1; /* so that the plan is the same everywhere */
}

/* The lowest offset at which nothing that lives at the same time lies; `placed` are sorted by offset. */
static uint64_t find_gap(const struct buffer *buffer, struct buffer *const *placed, uint32_t count)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct buffer *other = placed[i];
        if (other->last < buffer->first || other->first > buffer->last)
            continue;
        if (other->offset >= offset + buffer->bytes)
            break;
        if (other->offset + other->bytes > offset)
            offset = other->offset + other->bytes;
    }
    return offset;
}

static uint64_t place_all(struct placing *at, struct buffer **placed)
{
    uint64_t end = 0;
    qsort(at->buffers, at->count, sizeof at->buffers[0], larger_first);
    for (uint32_t n = 0; n < at->count; n++) {
        struct buffer *buffer = &at->buffers[n];
        buffer->offset = find_gap(buffer, placed, n);
        uint32_t slot = n;
        for (; slot > 0 && placed[slot - 1]->offset > buffer->offset; slot--)
            placed[slot] = placed[slot - 1];
        placed[slot] = buffer;
        end = buffer->offset + buffer->bytes > end ? buffer->offset + buffer->bytes : end;
    }
    return end;
}

static void write_offsets(struct placing *at, const uint64_t *offsets, const uint32_t *saved,
                          uint32_t (*temporaries)[COVEY_OP_INPUTS])
{
    struct covey_training_plan *plan = at->plan;
    for (uint32_t t = 0; t < plan->tensor_count; t++) {
        struct covey_planned_tensor *tensor = &plan->tensors[t];
        tensor->value = offsets[tensor->value_buffer];
        tensor->gradient =
            tensor->gradient_buffer == UINT32_MAX ? COVEY_NOWHERE : offsets[tensor->gradient_buffer];
    }
    for (uint32_t s = 0; s < plan->step_count; s++) {
        struct covey_step *step = &plan->steps[s];
        step->saved = saved[s] == UINT32_MAX ? COVEY_NOWHERE : offsets[saved[s]];
        for (uint32_t i = 0; i < COVEY_OP_INPUTS; i++)
            step->temporary[i] = temporaries[s][i] == UINT32_MAX ? COVEY_NOWHERE : offsets[temporaries[s][i]];
    }
}

enum covey_status covey_plan_place(struct covey_training_plan *plan, uint64_t *bytes, uint64_t *unshared,
                                   struct covey_error *err)
{
    enum covey_status status = COVEY_OK;
    const uint32_t steps = plan->step_count;
    const uint32_t capacity = 2 * plan->tensor_count + steps * (1 + COVEY_OP_INPUTS);
    struct placing at = {.plan = plan,
                         .example_bytes = (uint64_t)plan->chunk * plan->engine->kernels->real_bytes};
    at.buffers = calloc(capacity, sizeof at.buffers[0]);
    struct buffer **placed = calloc(capacity, sizeof placed[0]);
    uint64_t *offsets = calloc(capacity, sizeof offsets[0]);
    uint32_t *saved = malloc(steps * sizeof saved[0]);
    uint32_t(*temporaries)[COVEY_OP_INPUTS] = malloc(steps * sizeof temporaries[0]);
    if (at.buffers == NULL || placed == NULL || offsets == NULL || saved == NULL || temporaries == NULL) {
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to plan a model of %u steps", steps);
        goto cleanup;
    }
    for (uint32_t s = 0; s < steps; s++)
        for (uint32_t i = 0; i < COVEY_OP_INPUTS; i++)
            temporaries[s][i] = UINT32_MAX;
    for (uint32_t t = 0; t < plan->tensor_count; t++)
        plan->tensors[t].gradient_buffer = UINT32_MAX;
    add_values(&at);
    if (plan->training)
        add_gradients(&at, temporaries);
    for (uint32_t s = 0; s < steps; s++) {
        saved[s] = UINT32_MAX;
        if (plan->training && plan->steps[s].saved_bytes > 0) {
            saved[s] = add_buffer(&at, plan->steps[s].saved_bytes, s);
            if (plan->steps[s].backward)
                use(&at, saved[s], backward_time(&at, s));
        }
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < at.count; i++)
        sum += at.buffers[i].bytes; /* at most 3,000 buffers of 2^46 bytes */
    *bytes = place_all(&at, placed);
    for (uint32_t i = 0; i < at.count; i++)
        offsets[at.buffers[i].index] = at.buffers[i].offset;
    write_offsets(&at, offsets, saved, temporaries);
    *unshared = sum;
cleanup:
    free(at.buffers);
    free(placed);
    free(offsets);
    free(saved);
    free(temporaries);
    return status;
}
