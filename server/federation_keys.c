#include "covey/federation_keys.h"

#include <stddef.h>

#define AT(block, member) .offset = offsetof(struct covey_##block##_keys, member)
#define INT .kind = COVEY_FIELD_INT
#define REAL .kind = COVEY_FIELD_REAL
#define CHOICE .kind = COVEY_FIELD_CHOICE

#define STALENESS_USUAL 20 /* rounds; of an update that comes then, less than a quarter counts */

/* the first word of each is what a left-out key means */
static const char *const optimisers[] = {"sgd", "momentum", "adam", NULL};
static const char *const server_optimisers[] = {"sgd", "momentum", "adagrad", "adam", "yogi", NULL};
static const char *const schedules[] = {"constant", "step", "cosine", "warmup", NULL};
static const char *const algorithms[] = {"plain", "client-momentum", "feddyn", "scaffold", "ditto", NULL};
static const char *const weightings[] = {"examples", "equal", "steps", "loss", NULL};
static const char *const policies[] = {"random",          "examples", "round-robin",
                                       "power-of-choice", "utility",  NULL};
static const char *const modes[] = {"synchronous", "asynchronous", NULL};
static const char *const lates[] = {"refuse", "use", NULL};
static const char *const watched[] = {"metric", "loss", NULL};

const struct covey_field covey_keys_train_fields[] = {
    {.key = "epochs", INT, AT(train, epochs), .maximum = COVEY_LOCAL_EPOCHS},
    {.key = "steps", INT, AT(train, steps), .maximum = 1e9},
    {.key = "batch",
     INT,
     AT(train, batch),
     .minimum = -1,
     .maximum = COVEY_BATCH_EXAMPLES,
     .hint = "-1 = all in one"},
    {.key = "optimiser", CHOICE, AT(train, optimiser), .choices = optimisers},
    {.key = "learning_rate", REAL, AT(train, learning_rate), .minimum = 1e-12, .maximum = 1000},
    {.key = "momentum", REAL, AT(train, momentum), .maximum = 1},
    {.key = "beta2", REAL, AT(train, beta2), .maximum = 1},
    {.key = "epsilon", REAL, AT(train, epsilon), .maximum = 1},
    {.key = "weight_decay", REAL, AT(train, weight_decay), .maximum = 1},
    {.key = "schedule", CHOICE, AT(train, schedule), .choices = schedules},
    {.key = "schedule_factor", REAL, AT(train, schedule_factor), .maximum = 1},
    {.key = "schedule_period", INT, AT(train, schedule_period), .maximum = COVEY_ROUNDS},
    {.key = "proximal_mu", REAL, AT(train, proximal_mu), .maximum = 1000},
    {.key = "algorithm", CHOICE, AT(train, algorithm), .choices = algorithms, .sparse = true},
    {.key = "strength",
     REAL,
     AT(train, strength),
     .maximum = 1000,
     .sparse = true,
     .hint = "of the algorithm"},
    {.key = NULL}};
const struct covey_field covey_keys_selection_fields[] = {
    {.key = "fraction", REAL, AT(selection, fraction), .minimum = 1e-6, .maximum = 1},
    {.key = "count", INT, AT(selection, count), .maximum = COVEY_DEVICES},
    {.key = "over_selection", REAL, AT(selection, over_selection), .maximum = 10},
    {.key = "minimum_devices", INT, AT(selection, minimum_devices), .maximum = COVEY_DEVICES},
    {.key = "policy", CHOICE, AT(selection, policy), .choices = policies, .sparse = true},
    {.key = "candidates", REAL, AT(selection, candidates), .minimum = 1, .maximum = 1000, .sparse = true},
    {.key = "exploration", REAL, AT(selection, exploration), .maximum = 1, .sparse = true},
    {.key = "pace_s", REAL, AT(selection, pace_s), .maximum = 4e6, .sparse = true},
    {.key = NULL}};
const struct covey_field covey_keys_round_fields[] = {
    {.key = "mode", CHOICE, AT(round, mode), .choices = modes, .sparse = true},
    {.key = "buffer", INT, AT(round, buffer), .maximum = COVEY_DEVICES, .sparse = true},
    {.key = "concurrency", INT, AT(round, concurrency), .maximum = COVEY_DEVICES, .sparse = true},
    {.key = "staleness_max", INT, AT(round, staleness_max), .maximum = COVEY_STALENESS_MAX, .sparse = true},
    {.key = "late", CHOICE, AT(round, late), .choices = lates, .sparse = true},
    {.key = "goal", INT, AT(round, goal), .maximum = COVEY_DEVICES},
    {.key = "minimum_updates", INT, AT(round, minimum_updates), .maximum = COVEY_DEVICES},
    {.key = "deadline_s", REAL, AT(round, deadline_s), .minimum = 0.1, .maximum = 4e6},
    {.key = "pause_s", REAL, AT(round, pause_s), .maximum = 4e6},
    {.key = "heartbeat_s", REAL, AT(round, heartbeat_s), .minimum = 0.1, .maximum = 86400},
    {.key = "retry_s", REAL, AT(round, retry_s), .minimum = 0.1, .maximum = 86400},
    {.key = "window_blocks", INT, AT(round, window_blocks), .minimum = 1, .maximum = COVEY_WINDOW_BLOCKS},
    {.key = NULL}};
const struct covey_field covey_keys_stop_fields[] = {
    {.key = "rounds", INT, AT(stop, rounds), .maximum = COVEY_ROUNDS},
    {.key = "watch", CHOICE, AT(stop, watch), .choices = watched},
    {.key = "target", REAL, AT(stop, target), .minimum = -1e30, .maximum = 1e30},
    {.key = "patience", INT, AT(stop, patience), .maximum = COVEY_ROUNDS},
    {.key = "gain", REAL, AT(stop, gain), .maximum = 1e30},
    {.key = NULL}};

const struct covey_field covey_keys_optimiser_fields[] = {
    {.key = "kind", CHOICE, AT(optimiser, kind), .choices = server_optimisers, .sparse = true},
    {.key = "rate", REAL, AT(optimiser, rate), .maximum = 1000, .sparse = true},
    {.key = "beta1", REAL, AT(optimiser, beta1), .maximum = 1, .sparse = true},
    {.key = "beta2", REAL, AT(optimiser, beta2), .maximum = 1, .sparse = true},
    {.key = "tau", REAL, AT(optimiser, tau), .maximum = 1000, .sparse = true},
    {.key = NULL}};

const struct covey_field covey_keys_weighting_fields[] = {
    {.key = "kind", CHOICE, AT(weighting, kind), .choices = weightings, .sparse = true},
    {.key = "power", REAL, AT(weighting, power), .maximum = 16, .sparse = true, .hint = "q of kind loss"},
    {.key = "smoothness",
     REAL,
     AT(weighting, smoothness),
     .maximum = 1e12,
     .sparse = true,
     .hint = "L of kind loss"},
    {.key = NULL}};

uint32_t covey_keys_ms(double seconds, uint32_t otherwise_ms)
{
    const double value = seconds * 1000 + 0.5;
    if (!(seconds > 0))
        return otherwise_ms;
    return value < 4294967295.0 ? (uint32_t)value : UINT32_MAX;
}

void covey_keys_rules(const struct covey_selection_keys *selection, const struct covey_round_keys *round,
                      const struct covey_stop_keys *stop, struct covey_round_rules *out)
{
    const bool lasts = round->mode == COVEY_ROUND_ASYNCHRONOUS || round->late != 0;
    *out = (struct covey_round_rules){
        .mode = (enum covey_round_mode)round->mode,
        .buffer = (uint32_t)round->buffer,
        .concurrency = (uint32_t)round->concurrency,
        .staleness_max =
            round->staleness_max == 0 && lasts ? STALENESS_USUAL : (uint32_t)round->staleness_max,
        .late_use = round->late != 0,
        .minimum_devices = selection->minimum_devices == 0 ? 1 : (uint32_t)selection->minimum_devices,
        .count = (uint32_t)selection->count,
        .fraction = selection->fraction > 0 ? selection->fraction : 1,
        .over_selection = selection->over_selection,
        .selection = {selection->policy, selection->candidates, selection->exploration, selection->pace_s},
        .goal = (uint32_t)round->goal,
        .minimum_updates = (uint32_t)round->minimum_updates,
        .deadline_ms = covey_keys_ms(round->deadline_s, 300000),
        .pause_ms = covey_keys_ms(round->pause_s, 0),
        .stop_rounds = (uint32_t)stop->rounds,
        .has_target = stop->target < 0 || stop->target > 0,
        .stop_target = stop->target,
        .stop_patience = (uint32_t)stop->patience,
        .stop_gain = stop->gain,
    };
}

static float real_or(double value, double otherwise)
{
    return (float)(value > 0 ? value : otherwise);
}

void covey_keys_recipe(const struct covey_train_keys *train, uint64_t seed, struct covey_recipe *out)
{
    const bool adam = train->optimiser == COVEY_OPTIMISER_ADAM;
    const bool moves = train->optimiser != COVEY_OPTIMISER_SGD;
    static const double strengths[] = {
        [COVEY_LOCAL_MOMENTUM] = .9, [COVEY_LOCAL_FEDDYN] = .01, [COVEY_LOCAL_DITTO] = .1};
    *out = (struct covey_recipe){
        .epochs = train->epochs == 0 && train->steps == 0 ? 1 : (uint32_t)train->epochs,
        .steps = (uint32_t)train->steps,
        .batch = train->batch == 0  ? 32
                 : train->batch < 0 ? 0
                                    : (uint32_t)train->batch,
        .optimiser = (enum covey_optimiser_kind)train->optimiser,
        .learning_rate = real_or(train->learning_rate, adam ? .001 : .1),
        .momentum = moves ? real_or(train->momentum, .9) : 0,
        .beta2 = adam ? real_or(train->beta2, .999) : 0,
        .epsilon = adam ? real_or(train->epsilon, 1e-8) : 0,
        .weight_decay = (float)train->weight_decay,
        .schedule = (enum covey_schedule_kind)train->schedule,
        .schedule_factor = (float)train->schedule_factor,
        .schedule_period = (uint32_t)train->schedule_period,
        .proximal_mu = (float)train->proximal_mu,
        .seed = seed,
        .algorithm = (enum covey_local_algorithm)train->algorithm,
        .strength = real_or(train->strength, strengths[train->algorithm]),
    };
}

void covey_keys_weighting(const struct covey_weighting_keys *weighting, struct covey_weighting *out)
{
    *out = (struct covey_weighting){(enum covey_weighting_kind)weighting->kind, weighting->power,
                                    weighting->smoothness};
}

enum covey_status covey_keys_server_rule(const struct covey_optimiser_keys *optimiser, double server_rate,
                                         struct covey_server_rule *out, struct covey_error *err)
{
    const bool plain = optimiser->kind == COVEY_SERVER_SGD;
    const bool two_rates = optimiser->rate > 0 && (server_rate < 1 || server_rate > 1) && server_rate > 0;
    if (two_rates || (!plain && server_rate > 0 && (server_rate < 1 || server_rate > 1)))
        return covey_fail(err, COVEY_INVALID,
                          "server_rate is the rate of plain averaging: with server_optimiser use its rate");
    const bool adagrad = optimiser->kind == COVEY_SERVER_ADAGRAD;
    struct covey_server_rule rule = {.kind = (enum covey_server_optimiser_kind)optimiser->kind,
                                     .rate = plain && !(optimiser->rate > 0) ? server_rate : optimiser->rate,
                                     .beta1 = optimiser->beta1 > 0 ? optimiser->beta1
                                              : adagrad            ? 0
                                                                   : .9,
                                     .beta2 = optimiser->beta2 > 0 ? optimiser->beta2 : .99,
                                     .tau = optimiser->tau > 0 ? optimiser->tau : 1e-3};
    COVEY_TRY(covey_server_rule_complete(&rule, err));
    *out = rule;
    return COVEY_OK;
}
