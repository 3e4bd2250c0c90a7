/* A real run and its simulation, side by side. */
#include <math.h>
#include <stdlib.h>

#include "covey/hash.h"
#include "covey/json.h"
#include "real_run.h"

#define LINE_BYTES 4096

/* Of the updates that both runs tell of, in milliseconds. A device that did not hear before the server's end
 * that its last update was taken has no times of it. */
struct times {
    uint32_t count;
    double training, fetch, send;  /* means */
    double network, median, tenth; /* fetch + send: mean, median, exceeded by a tenth */
    double round_s;                /* mean length of a round */
};

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double mean_round_s(const struct real_outcome *outcome)
{
    return outcome->round_count > 0
               ? outcome->rounds[outcome->round_count - 1].virtual_s / outcome->round_count
               : (double)NAN;
}

static bool tells_of(const struct real_outcome *outcome, const struct covey_sim_update *update)
{
    return outcome->update_count > 0 && bsearch(update, outcome->updates, outcome->update_count,
                                                sizeof *outcome->updates, real_by_round) != NULL;
}

static void add(struct times *times, const struct covey_sim_update *update)
{
    times->count++;
    times->training += (double)update->training_ms;
    times->fetch += (double)update->fetch_ms;
    times->send += (double)update->send_ms;
}

/* round 0: all of them. */
static struct times measure(const struct real_outcome *outcome, const struct real_outcome *other,
                            uint32_t round)
{
    struct times times = {.median = (double)NAN, .tenth = (double)NAN, .round_s = mean_round_s(outcome)};
    double *each = calloc((size_t)outcome->update_count + 1, sizeof *each);
    for (uint32_t i = 0; i < outcome->update_count; i++) {
        const struct covey_sim_update *update = &outcome->updates[i];
        if ((round != 0 && update->round != round) || !tells_of(other, update))
            continue;
        if (each != NULL)
            each[times.count] = (double)(update->fetch_ms + update->send_ms);
        add(&times, update);
    }
    const uint32_t n = times.count;
    times.training /= n;
    times.fetch /= n;
    times.send /= n;
    times.network = times.fetch + times.send;
    if (each != NULL && n > 0) {
        qsort(each, n, sizeof *each, by_size);
        times.median = each[n / 2];
        times.tenth = each[n - 1 - n / 10];
    }
    free(each);
    return times;
}

static double off(double real, double other)
{
    return real > 0 ? other / real - 1 : (double)NAN;
}

static bool same_models(const struct real_outcome *a, const struct real_outcome *b)
{
    const struct covey_hash unknown = {0}; /* of rounds that were not judged */
    bool same = a->round_count == b->round_count && a->round_count > 0 &&
                covey_hash_equal(&a->summary.model, &b->summary.model);
    for (uint32_t i = 0; same && i < a->round_count; i++)
        same = covey_hash_equal(&b->rounds[i].model, &unknown) ||
               covey_hash_equal(&a->rounds[i].model, &b->rounds[i].model);
    return same;
}

/* ------------------------------------------------------------------ for people */

static void row(FILE *out, const char *what, double real, double other, const char *unit, int digits)
{
    (void)fprintf(out, "%-42s %14.*f %14.*f  %-3s", what, digits, real, digits, other, unit);
    if (unit[0] != '\0' && real > 0)
        (void)fprintf(out, " %+6.1f %%", 100 * off(real, other));
    (void)fputc('\n', out);
}

static void print_hash(FILE *out, const char *what, const struct covey_hash *hash)
{
    char text[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(hash->bytes, sizeof hash->bytes, text);
    (void)fprintf(out, "%-42s %s\n", what, text);
}

static void print_table(FILE *out, const struct real_outcome *real, const struct real_outcome *other,
                        bool equal)
{
    const struct times a = measure(real, other, 0), b = measure(other, real, 0);
    (void)fprintf(out, "%-42s %14s %14s\n", real->summary.scenario, "real", "virtual");
    row(out, "rounds", real->summary.rounds, other->summary.rounds, "", 0);
    row(out, "updates", (double)real->summary.updates, (double)other->summary.updates, "", 0);
    row(out, "  with times in both runs", a.count, b.count, "", 0);
    row(out, real->summary.metric_is_error ? "error of the last model" : "metric of the last model",
        real->summary.accuracy, other->summary.accuracy, "", 4);
    row(out, "bytes up", (double)real->summary.bytes_up / 1e6, (double)other->summary.bytes_up / 1e6, "MB",
        3);
    row(out, "bytes down", (double)real->summary.bytes_down / 1e6, (double)other->summary.bytes_down / 1e6,
        "MB", 3);
    row(out, "training, a device and round", a.training / 1000, b.training / 1000, "s", 3);
    row(out, "on the network, a device and round", a.network / 1000, b.network / 1000, "s", 3);
    row(out, "  median", a.median / 1000, b.median / 1000, "s", 3);
    row(out, "  a tenth takes longer than", a.tenth / 1000, b.tenth / 1000, "s", 3);
    row(out, "  until the model is there", a.fetch / 1000, b.fetch / 1000, "s", 3);
    row(out, "  until the update is acknowledged", a.send / 1000, b.send / 1000, "s", 3);
    row(out, "a round, with all that the machine does", a.round_s, b.round_s, "s", 3);
    print_hash(out, "model, real", &real->summary.model);
    print_hash(out, "model, virtual", &other->summary.model);
    (void)fprintf(out, "%s\n",
                  equal ? "the same model after every round that is judged, bit for bit"
                        : "THE MODELS ARE NOT THE SAME");
}

/* ------------------------------------------------------------------ for programs */

static void add_pair(struct covey_json *json, const char *key, double real, double other)
{
    covey_json_open(json, key, '{');
    covey_json_real(json, "real", real);
    covey_json_real(json, "virtual", other);
    covey_json_close(json, '}');
}

static void add_hashes(struct covey_json *json, const struct covey_hash *real, const struct covey_hash *other)
{
    char text[COVEY_HASH_TEXT_BYTES];
    covey_json_open(json, "model_sha256", '{');
    covey_hex_write(real->bytes, sizeof real->bytes, text);
    covey_json_text(json, "real", text);
    covey_hex_write(other->bytes, sizeof other->bytes, text);
    covey_json_text(json, "virtual", text);
    covey_json_close(json, '}');
}

static void print_line(FILE *out, struct covey_json *json)
{
    covey_json_close(json, '}');
    (void)fprintf(out, "%s\n", json->out);
}

static void begin_line(struct covey_json *json, char text[LINE_BYTES])
{
    covey_json_init(json, text, LINE_BYTES);
    covey_json_open(json, NULL, '{');
}

static void print_round(FILE *out, const struct real_outcome *real, const struct real_outcome *other,
                        uint32_t i)
{
    const struct covey_sim_round *a = &real->rounds[i], *b = &other->rounds[i];
    char text[LINE_BYTES];
    struct covey_json json;
    begin_line(&json, text);
    covey_json_int(&json, "round", a->round);
    add_pair(&json, "metric", a->metric, b->metric);
    const double spent = measure(real, other, a->round).network,
                 modelled = measure(other, real, b->round).network;
    add_pair(&json, "network_s", spent / 1000, modelled / 1000);
    add_hashes(&json, &a->model, &b->model);
    print_line(out, &json);
}

static void print_json(FILE *out, const struct real_outcome *real, const struct real_outcome *other,
                       bool equal)
{
    const struct covey_sim_summary *x = &real->summary, *y = &other->summary;
    const struct times a = measure(real, other, 0), b = measure(other, real, 0);
    char text[LINE_BYTES];
    struct covey_json json;
    for (uint32_t i = 0; i < real->round_count && i < other->round_count; i++)
        print_round(out, real, other, i);
    begin_line(&json, text);
    covey_json_text(&json, "scenario", x->scenario);
    covey_json_int(&json, "devices", x->devices);
    covey_json_bool(&json, "equal", equal);
    add_hashes(&json, &x->model, &y->model);
    add_pair(&json, "rounds", x->rounds, y->rounds);
    add_pair(&json, "updates", (double)x->updates, (double)y->updates);
    covey_json_int(&json, "updates_timed", a.count);
    add_pair(&json, "metric", x->accuracy, y->accuracy);
    add_pair(&json, "bytes_up", (double)x->bytes_up, (double)y->bytes_up);
    add_pair(&json, "bytes_down", (double)x->bytes_down, (double)y->bytes_down);
    add_pair(&json, "training_s", a.training / 1000, b.training / 1000);
    add_pair(&json, "network_s", a.network / 1000, b.network / 1000);
    add_pair(&json, "network_median_s", a.median / 1000, b.median / 1000);
    add_pair(&json, "fetch_s", a.fetch / 1000, b.fetch / 1000);
    add_pair(&json, "send_s", a.send / 1000, b.send / 1000);
    add_pair(&json, "round_s", a.round_s, b.round_s);
    covey_json_real(&json, "network_off", off(a.network, b.network));
    print_line(out, &json);
}

void real_compare(FILE *out, const struct real_outcome *real, const struct real_outcome *virtual_run,
                  bool json, bool *equal)
{
    *equal = same_models(real, virtual_run);
    if (json)
        print_json(out, real, virtual_run, *equal);
    else
        print_table(out, real, virtual_run, *equal);
}
