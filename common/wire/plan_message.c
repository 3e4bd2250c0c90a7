/* The plan: what one device shall do now (docs/wire.cddl: plan). */
#include "covey/messages.h"

#include "covey/limits.h"
#include "wire/cbor_fields.h"

static const struct covey_field recipe_fields[] = {
    COVEY_UNSIGNED(struct covey_recipe, epochs, 1, COVEY_FIELD_OPTIONAL, 0, COVEY_LOCAL_EPOCHS),
    COVEY_UNSIGNED(struct covey_recipe, steps, 2, COVEY_FIELD_OPTIONAL, 0, UINT32_MAX),
    COVEY_UNSIGNED(struct covey_recipe, batch, 3, COVEY_FIELD_OPTIONAL, 0, COVEY_BATCH_EXAMPLES),
    COVEY_CHOICE(struct covey_recipe, optimiser, 4, COVEY_FIELD_OPTIONAL, COVEY_OPTIMISER_ADAM),
    COVEY_FLOAT(struct covey_recipe, learning_rate, 5, COVEY_FIELD_REQUIRED, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_FLOAT(struct covey_recipe, momentum, 6, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_BELOW_ONE),
    COVEY_FLOAT(struct covey_recipe, beta2, 7, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_BELOW_ONE),
    COVEY_FLOAT(struct covey_recipe, epsilon, 8, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_FLOAT(struct covey_recipe, weight_decay, 9, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_CHOICE(struct covey_recipe, schedule, 10, COVEY_FIELD_OPTIONAL, COVEY_SCHEDULE_WARMUP),
    COVEY_FLOAT(struct covey_recipe, schedule_factor, 11, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_UNSIGNED(struct covey_recipe, schedule_period, 12, COVEY_FIELD_OPTIONAL, 0, COVEY_ROUNDS),
    COVEY_FLOAT(struct covey_recipe, proximal_mu, 13, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_UNSIGNED(struct covey_recipe, seed, 14, COVEY_FIELD_OPTIONAL, 0, UINT64_MAX),
    COVEY_CHOICE(struct covey_recipe, algorithm, 15, COVEY_FIELD_OPTIONAL, COVEY_LOCAL_DITTO),
    COVEY_FLOAT(struct covey_recipe, strength, 16, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_UNSIGNED(struct covey_recipe, measures, 17, COVEY_FIELD_OPTIONAL, 0, 1),
};
static const struct covey_record recipe_record = COVEY_RECORD(recipe_fields);

static const struct covey_field plan_fields[] = {
    COVEY_CHOICE(struct covey_plan, kind, 1, COVEY_FIELD_REQUIRED, COVEY_PLAN_DONE),
    COVEY_UNSIGNED(struct covey_plan, round, 2, COVEY_FIELD_OPTIONAL, 0, COVEY_ROUNDS),
    COVEY_FIXED(struct covey_plan, assignment, 3, COVEY_FIELD_OPTIONAL),
    COVEY_FIXED(struct covey_plan, manifest, 4, COVEY_FIELD_OPTIONAL),
    COVEY_TEXT(struct covey_plan, codec, 5, COVEY_FIELD_OPTIONAL),
    COVEY_RECORD_FIELD(struct covey_plan, recipe, 6, COVEY_FIELD_OPTIONAL, &recipe_record),
    COVEY_UNSIGNED(struct covey_plan, deadline_ms, 7, COVEY_FIELD_OPTIONAL, 0, UINT32_MAX),
    COVEY_UNSIGNED(struct covey_plan, retry_after_ms, 8, COVEY_FIELD_OPTIONAL, 0, UINT32_MAX),
    COVEY_UNSIGNED(struct covey_plan, heartbeat_ms, 9, COVEY_FIELD_OPTIONAL, 0, UINT32_MAX),
    COVEY_UNSIGNED(struct covey_plan, window_blocks, 10, COVEY_FIELD_OPTIONAL, 0, COVEY_WINDOW_BLOCKS),
    COVEY_FIXED(struct covey_plan, terms, 20, COVEY_FIELD_OPTIONAL),
    COVEY_UNSIGNED(struct covey_plan, share, 21, COVEY_FIELD_OPTIONAL, 0, COVEY_DEVICES),
    COVEY_UNSIGNED(struct covey_plan, judge, 22, COVEY_FIELD_OPTIONAL, 0, 1),
};
static const struct covey_record plan_record = COVEY_RECORD(plan_fields);

static int is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

/* What the kinds need beyond their fields' own ranges; both directions. */
static enum covey_status check_plan(const struct covey_plan *plan, enum covey_status status,
                                    struct covey_error *err)
{
    if (plan->kind == COVEY_PLAN_WAIT)
        return COVEY_OK;
    if (is_zero(plan->manifest.bytes, sizeof plan->manifest.bytes))
        return covey_fail(err, status, "plan: manifest: missing");
    if (plan->kind == COVEY_PLAN_DONE)
        return COVEY_OK;
    if (is_zero(plan->assignment.bytes, sizeof plan->assignment.bytes))
        return covey_fail(err, status, "plan: assignment: missing");
    if (plan->codec[0] == '\0')
        return covey_fail(err, status, "plan: codec: missing");
    if (plan->recipe.epochs == 0 && plan->recipe.steps == 0)
        return covey_fail(err, status, "plan: recipe: neither epochs nor steps");
    if (plan->recipe.schedule != COVEY_SCHEDULE_CONSTANT && plan->recipe.schedule_period == 0)
        return covey_fail(err, status, "plan: recipe: a schedule without a period");
    if (plan->deadline_ms == 0)
        return covey_fail(err, status, "plan: deadline_ms: missing");
    if (is_zero(plan->terms.bytes, sizeof plan->terms.bytes) != (plan->share == 0))
        return covey_fail(err, status, "plan: terms and share go together");
    return COVEY_OK;
}

/* Only what the kind uses: what else stands in the caller's struct stays there. */
static struct covey_plan used_part(const struct covey_plan *plan)
{
    if (plan->kind == COVEY_PLAN_TRAIN)
        return *plan;
    struct covey_plan part = {
        .kind = plan->kind,
        .round = plan->round,
        .retry_after_ms = plan->retry_after_ms,
        .heartbeat_ms = plan->heartbeat_ms,
        .window_blocks = plan->window_blocks,
    };
    if (plan->kind == COVEY_PLAN_DONE)
        part.manifest = plan->manifest;
    return part;
}

enum covey_status covey_plan_encode(const struct covey_plan *plan, uint8_t *out, size_t capacity,
                                    size_t *out_bytes, struct covey_error *err)
{
    COVEY_TRY(check_plan(plan, COVEY_INVALID, err));
    const struct covey_plan part = used_part(plan);
    const size_t most = capacity < COVEY_PLAN_BYTES ? capacity : COVEY_PLAN_BYTES;
    return covey_message_encode(&plan_record, &part, "plan", out, most, out_bytes, err);
}

enum covey_status covey_plan_decode(struct covey_bytes message, struct covey_plan *out,
                                    struct covey_error *err)
{
    if (message.size > COVEY_PLAN_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "plan: %zu bytes, at most %d", message.size, COVEY_PLAN_BYTES);
    struct covey_plan plan = {0};
    COVEY_TRY(covey_message_decode(&plan_record, message, "plan", &plan, err));
    COVEY_TRY(check_plan(&plan, COVEY_CORRUPT, err));
    if (plan.window_blocks == 0)
        plan.window_blocks = 1; /* missing: one by one */
    *out = plan;
    return COVEY_OK;
}
