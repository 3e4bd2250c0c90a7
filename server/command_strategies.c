/* covey-server strategies: what `strategy` of a federation can be, from the same tables that read it. */
#include "command.h"

#include <stdio.h>

#include "covey/chain.h"
#include "covey/strategy.h"

static const char *const needs[] = {
    [COVEY_NEEDS_SUM] = "sum", [COVEY_NEEDS_INDIVIDUAL] = "individual updates"};
static const char *const inspects[] = {[COVEY_INSPECTS_NOTHING] = "nothing",
                                       [COVEY_INSPECTS_NORM] = "norm",
                                       [COVEY_INSPECTS_EVERYTHING] = "everything"};

/* What it cannot stand beside, in words. */
static const char *excludes(const struct covey_strategy *strategy)
{
    if (strategy->needs_reference)
        return "partial sums and secure sums: it needs every update by itself; a federation without "
               "root_data";
    if (strategy->needs == COVEY_NEEDS_INDIVIDUAL)
        return "partial sums and secure sums: it needs every update by itself; asynchronous rounds and "
               "round.late use: it compares updates, and there they start from different models";
    if (strategy->always_clips)
        return "secure sums: it needs every update's norm; mix and hostile: it never sees updates together";
    return "mix and hostile: it never sees updates together; with clip also secure sums";
}

/* "2f+1": fewest updates of a round. */
static void write_least(const struct covey_strategy *strategy, char *out, size_t out_bytes)
{
    struct covey_chain chain = {.strategy = strategy};
    const unsigned long long none = strategy->updates_min == NULL ? 1 : strategy->updates_min(&chain);
    chain.hostile = 1;
    const unsigned long long one = strategy->updates_min == NULL ? 1 : strategy->updates_min(&chain);
    if (one == none)
        (void)snprintf(out, out_bytes, "%llu", none);
    else
        (void)snprintf(out, out_bytes, "%lluf+%llu", one - none, none);
}

static bool takes(const struct covey_strategy *strategy, const struct covey_chain_parameter *parameter)
{
    return (strategy->takes & parameter->taken) != 0;
}

static void add_parameter(struct covey_json *json, const struct covey_chain_parameter *parameter)
{
    covey_json_open(json, NULL, '{');
    covey_json_text(json, "key", parameter->key);
    covey_json_text(json, "summary", parameter->summary);
    if (parameter->choices != NULL) {
        covey_json_text(json, "default", parameter->choices[(size_t)parameter->initial]);
        covey_json_open(json, "choices", '[');
        for (size_t i = 0; parameter->choices[i] != NULL; i++)
            covey_json_text(json, NULL, parameter->choices[i]);
        covey_json_close(json, ']');
    } else {
        covey_json_real(json, "default", parameter->initial);
        covey_json_real(json, "minimum", parameter->minimum);
        covey_json_real(json, "maximum", parameter->maximum);
    }
    covey_json_close(json, '}');
}

static int print_json(const struct covey_strategy *strategy)
{
    char text[8192], least[32];
    struct covey_json json;
    write_least(strategy, least, sizeof least);
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "strategy", strategy->name);
    covey_json_text(&json, "summary", strategy->summary);
    covey_json_text(&json, "source", strategy->source);
    covey_json_text(&json, "needs", needs[strategy->needs]);
    covey_json_text(&json, "inspects", inspects[strategy->inspects]);
    covey_json_text(&json, "updates_min", least);
    covey_json_text(&json, "excludes", excludes(strategy));
    covey_json_open(&json, "parameters", '[');
    for (size_t i = 0; covey_chain_parameter_at(i) != NULL; i++)
        if (takes(strategy, covey_chain_parameter_at(i)))
            add_parameter(&json, covey_chain_parameter_at(i));
    covey_json_close(&json, ']');
    covey_json_close(&json, '}');
    return command_print(&json);
}

static void print_parameter(const struct covey_chain_parameter *parameter)
{
    printf("    %-14s %s", parameter->key, parameter->summary);
    if (parameter->choices != NULL) {
        printf(" (");
        for (size_t i = 0; parameter->choices[i] != NULL; i++)
            printf("%s%s", i > 0 ? ", " : "", parameter->choices[i]);
        printf("; %s)\n", parameter->choices[(size_t)parameter->initial]);
    } else {
        printf(" (%g to %g; %g)\n", parameter->minimum, parameter->maximum, parameter->initial);
    }
}

static void print_text(const struct covey_strategy *strategy)
{
    char least[32];
    write_least(strategy, least, sizeof least);
    printf("%s: %s (%s)\n    needs %s, inspects %s, at least %s updates a round\n    not with %s\n    takes",
           strategy->name, strategy->summary, strategy->source, needs[strategy->needs],
           inspects[strategy->inspects], least, excludes(strategy));
    for (size_t i = 0; covey_chain_parameter_at(i) != NULL; i++)
        if (takes(strategy, covey_chain_parameter_at(i)))
            printf(" %s", covey_chain_parameter_at(i)->key);
    printf("\n");
}

/* ---- what goes on beside the rule ---- */

struct neighbour {
    const char *name, *summary, *source;
    const char *where; /* it is configured, with the defaults */
    const char *excludes;
};

static const struct neighbour optimisers[] = {
    {"sgd", "w += rate d", "McMahan et al. 2017", "server_rate, or server_optimiser: {kind: sgd, rate: 1}",
     ""},
    {"momentum", "m = beta1 m + d; w += rate m", "Hsu et al. 2019",
     "server_optimiser: {kind: momentum, rate: 1, beta1: .9}", "server_rate"},
    {"adagrad", "v += d^2; w += rate m / (sqrt(v) + tau)", "Reddi et al. 2021, Algorithm 2",
     "server_optimiser: {kind: adagrad, rate: .1, beta1: 0, tau: .001}", "server_rate"},
    {"adam", "v = beta2 v + (1 - beta2) d^2; w as adagrad", "Reddi et al. 2021, Algorithm 2",
     "server_optimiser: {kind: adam, rate: .00316, beta1: .9, beta2: .99, tau: .001}", "server_rate"},
    {"yogi", "v -= (1 - beta2) d^2 sign(v - d^2); w as adagrad", "Reddi et al. 2021, Algorithm 2",
     "server_optimiser: {kind: yogi, rate: .00316, beta1: .9, beta2: .99, tau: .001}", "server_rate"},
};

static const struct neighbour algorithms[] = {
    {"fedprox", "devices stay near the model that they began from", "Li et al. 2020",
     "train: {proximal_mu: 0}", "feddyn: it has a proximal term of its own"},
    {"client-momentum", "devices send the momentum of their deltas", "Karimireddy et al. 2021",
     "train: {algorithm: client-momentum, strength: .9}",
     "other algorithms that keep something on the device"},
    {"fedper", "the last layers stay on the device", "Arivazhagan et al. 2019",
     "scope: personal, in the model", "ditto"},
    {"fedbn", "normalisation stays on the device", "Li et al. 2021", "scope: personal, in the model",
     "ditto"},
    {"scaffold", "control variates on both sides", "Karimireddy et al. 2020",
     "train: {algorithm: scaffold}, population: N",
     "adam on the devices; rules that look at single updates, clip, weighting, mask codecs, root_data; "
     "gateways, asynchronous rounds, round.late use"},
    {"feddyn", "a dynamic proximal term, and the server's correction", "Acar et al. 2021",
     "train: {algorithm: feddyn, strength: .01}, population: N",
     "proximal_mu; server_optimiser, server_rate; shared batch_norm; rules that look at single updates, "
     "clip, "
     "weighting, root_data; gateways, asynchronous rounds, round.late use"},
    {"fednova", "deltas by their effective steps", "Wang et al. 2020", "weighting: {kind: steps}",
     "as weighting by steps"},
    {"q-fedavg", "weights by the power q of the loss", "Li et al. 2020", "weighting: {kind: loss, power: 1}",
     "as weighting by loss"},
    {"ditto", "a model of its own beside the shared one, which it judges by", "Li et al. 2021",
     "train: {algorithm: ditto, strength: .1}", "personal tensors"},
};

static const struct neighbour weightings[] = {
    {"examples", "n", "McMahan et al. 2017", "weighting: {kind: examples}", ""},
    {"equal", "1, as the rule equal-mean", "Karimireddy et al. 2020", "weighting: {kind: equal}",
     "norm-bound; asynchronous rounds, round.late use"},
    {"steps", "FedNova: each delta by its effective steps, their mean by the mean of those",
     "Wang et al. 2020, equation 7", "weighting: {kind: steps}",
     "rules other than fedavg, clip; scaffold, feddyn; gateways, asynchronous rounds, round.late use"},
    {"loss", "q-FedAvg: F^q, the step by the sum of F^q + q F^(q-1) L |delta|^2",
     "Li et al. 2020, Algorithm 2", "weighting: {kind: loss, power: 1, smoothness: 1 / learning_rate}",
     "rules other than fedavg, clip; scaffold, feddyn; gateways, asynchronous rounds, round.late use"},
};

static int print_neighbours(const char *what, const struct neighbour *rows, size_t count, bool as_json)
{
    int result = EXIT_DONE;
    if (!as_json)
        printf("\n%ss:\n", what);
    for (size_t i = 0; i < count && result == EXIT_DONE; i++) {
        char text[1024];
        struct covey_json json;
        if (!as_json) {
            printf("    %-16s %s (%s)\n    %-16s %s%s%s\n", rows[i].name, rows[i].summary, rows[i].source, "",
                   rows[i].where, rows[i].excludes[0] != '\0' ? "; not with " : "", rows[i].excludes);
            continue;
        }
        covey_json_init(&json, text, sizeof text);
        covey_json_open(&json, NULL, '{');
        covey_json_text(&json, what, rows[i].name);
        covey_json_text(&json, "summary", rows[i].summary);
        covey_json_text(&json, "source", rows[i].source);
        covey_json_text(&json, "configured", rows[i].where);
        covey_json_text(&json, "excludes", rows[i].excludes);
        covey_json_close(&json, '}');
        result = command_print(&json);
    }
    return result;
}

int command_strategies(const struct command *command, int argc, char **argv)
{
    bool as_json = false;
    int result = EXIT_DONE;
    if (!command_only_json(command, argc, argv, &as_json, &result))
        return result;
    if (!command_has(argc, 0))
        return command_misused(command, "it takes no arguments");
    for (size_t i = 0; covey_strategy_at(i) != NULL && result == EXIT_DONE; i++) {
        if (as_json)
            result = print_json(covey_strategy_at(i));
        else
            print_text(covey_strategy_at(i));
    }
    if (!as_json) {
        printf("\nparameters (possible values; default):\n");
        for (size_t i = 0; covey_chain_parameter_at(i) != NULL; i++)
            print_parameter(covey_chain_parameter_at(i));
    }
    static const struct {
        const char *what;
        const struct neighbour *rows;
        size_t count;
    } lists[] = {{"weighting", weightings, sizeof weightings / sizeof weightings[0]},
                 {"server_optimiser", optimisers, sizeof optimisers / sizeof optimisers[0]},
                 {"algorithm", algorithms, sizeof algorithms / sizeof algorithms[0]}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && result == EXIT_DONE; i++)
        result = print_neighbours(lists[i].what, lists[i].rows, lists[i].count, as_json);
    if (as_json)
        return result;
    printf("\nstrategy: centred-clipping hostile=5 mix=bucketing    in server.yaml; docs/strategies.md\n");
    return EXIT_DONE;
}
