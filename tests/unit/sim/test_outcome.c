#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json_object.h"
#include "outcome.h"
#include "outcome_fields.h"

static char folder[64];

static void make(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/covey-outcome-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void drop(void)
{
    static const char *const names[] = {"rounds.jsonl", "rounds.csv", "devices.csv", "summary.json",
                                        "scenario.yaml"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    cr_assert_eq(rmdir(folder), 0, "something else was left in %s", folder);
}

TestSuite(outcome, .init = make, .fini = drop);

static void put(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert(fputs(text, file) >= 0);
    cr_assert_eq(fclose(file), 0);
}

static void get(const char *name, char *out, size_t bytes)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s is not there", path);
    out[fread(out, 1, bytes - 1, file)] = '\0';
    (void)fclose(file);
}

static struct covey_sim_round some_round(uint32_t number)
{
    struct covey_sim_round round = {.round = number,
                                    .chosen = 10,
                                    .updates = 8,
                                    .late = 1,
                                    .dropped = 1,
                                    .examples = 6000,
                                    .train_loss = .25,
                                    .loss = NAN,
                                    .metric = 1. / 3,
                                    .best = 1. / 3,
                                    .virtual_s = 60.5 * number,
                                    .wall_s = .1 * number,
                                    .bytes_up = UINT64_C(5000000000000000000),
                                    .bytes_down = 7,
                                    .joules = 1e-3};
    memset(round.model.bytes, (int)number, sizeof round.model.bytes);
    return round;
}

static void write_rounds(uint32_t resume, uint32_t first, uint32_t last)
{
    struct covey_outcome *outcome;
    struct covey_error err = {0};
    cr_assert_eq(covey_outcome_create(folder, resume, &outcome, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_outcome_scenario(outcome, "name: x\n", &err), COVEY_OK, "%s", err.text);
    for (uint32_t i = first; i <= last; i++) {
        const struct covey_sim_round round = some_round(i);
        cr_assert_eq(covey_outcome_round(outcome, &round, &err), COVEY_OK, "%s", err.text);
    }
    covey_outcome_destroy(outcome);
}

static void read_run(struct covey_outcome_run *run)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_outcome_read(folder, run, &err), COVEY_OK, "%s", err.text);
}

static void refused(const char *name, const char *text, enum covey_status wanted, const char *part)
{
    struct covey_outcome_run run;
    struct covey_error err = {0};
    put(name, text);
    cr_assert_eq(covey_outcome_read(folder, &run, &err), wanted, "%s", text);
    cr_assert_not_null(strstr(err.text, part), "'%s' has no '%s'", err.text, part);
}

Test(outcome, a_run_reads_back_as_it_was_written)
{
    struct covey_outcome_run run;
    write_rounds(0, 1, 5);
    read_run(&run);
    cr_assert_eq(run.round_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        const struct covey_sim_round wanted = some_round(i + 1);
        const struct covey_sim_round *round = &run.rounds[i];
        cr_assert_eq(round->round, i + 1);
        cr_assert_eq(round->bytes_up, wanted.bytes_up);
        cr_assert_eq(round->metric, wanted.metric);
        cr_assert(isnan(round->loss));
        cr_assert_eq(round->virtual_s, wanted.virtual_s);
        cr_assert(memcmp(&round->model, &wanted.model, sizeof wanted.model) == 0);
    }
    cr_assert_str_eq(run.scenario, "name: x\n");
    cr_assert(run.summary.interrupted, "without summary.json");
    cr_assert_eq(run.summary.updates, 40);
    covey_outcome_free(&run);
}

Test(outcome, the_summary_begins_as_promised)
{
    static const char promised[] =
        "{\"scenario\":\"a \\\"b\\\"\",\"rounds\":3,\"accuracy\":0.5,\"model_sha256\":\"";
    static const char *const keys[] = {
        "\"updates\":",   "\"updates_per_s\":", "\"bytes_up\":",      "\"bytes_down\":",
        "\"virtual_s\":", "\"wall_s\":",        "\"peak_rss_bytes\":"};
    struct covey_outcome *outcome;
    struct covey_sim_summary summary, again;
    struct covey_error err = {0};
    char text[4096];
    covey_outcome_fields_clear(covey_summary_fields, &summary, sizeof summary);
    (void)strcpy(summary.scenario, "a \"b\"");
    (void)strcpy(summary.cpu, "some processor");
    summary.rounds = 3;
    summary.accuracy = .5;
    summary.model.bytes[0] = 1;
    summary.updates_per_s = 1234.5;
    cr_assert_eq(covey_outcome_create(folder, 0, &outcome, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_outcome_summary(outcome, &summary, &err), COVEY_OK, "%s", err.text);
    covey_outcome_destroy(outcome);
    get("summary.json", text, sizeof text);
    cr_assert_eq(strncmp(text, promised, sizeof promised - 1), 0, "%s", text);
    const char *at = text;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *comma = strchr(at, ',');
        while (comma != NULL && comma[1] != '"')
            comma = strchr(comma + 1, ',');
        at = strstr(at, keys[i]);
        cr_assert_not_null(at, "%s is not there, or not in its place", keys[i]);
    }
    cr_assert_eq(covey_outcome_read_summary(folder, &again, &err), COVEY_OK, "%s", err.text);
    cr_assert_str_eq(again.scenario, "a \"b\"");
    cr_assert_str_eq(again.cpu, "some processor");
    cr_assert_eq(again.updates_per_s, 1234.5);
    cr_assert(isnan(again.target));
}

Test(outcome, goes_on_after_the_checkpoint)
{
    struct covey_outcome_run run;
    char jsonl[8192], csv[8192], again[8192];
    write_rounds(0, 1, 6);
    get("rounds.jsonl", jsonl, sizeof jsonl);
    get("rounds.csv", csv, sizeof csv);
    write_rounds(4, 5, 6);
    get("rounds.jsonl", again, sizeof again);
    cr_assert_str_eq(again, jsonl);
    get("rounds.csv", again, sizeof again);
    cr_assert_str_eq(again, csv);
    put("summary.json", "{}");
    write_rounds(0, 1, 1);
    read_run(&run);
    cr_assert_eq(run.round_count, 1);
    cr_assert(run.summary.interrupted, "the old summary went");
    covey_outcome_free(&run);
}

Test(outcome, a_last_line_that_was_cut_off_is_left_out)
{
    struct covey_outcome_run run;
    put("rounds.jsonl", "{\"round\":1,\"metric\":0.5}\n{\"round\":2,\"metr");
    read_run(&run);
    cr_assert_eq(run.round_count, 1);
    cr_assert(isnan(run.rounds[0].loss), "what is not there is not known");
    cr_assert_str_eq(run.scenario, "");
    covey_outcome_free(&run);
}

Test(outcome, what_is_wrong_is_said)
{
    struct covey_outcome_run run;
    struct covey_error err = {0};
    cr_assert_eq(covey_outcome_read(folder, &run, &err), COVEY_NOT_FOUND);
    cr_assert_not_null(strstr(err.text, "rounds.jsonl"));
    refused("rounds.jsonl", "{\"round\":\"1\"}\n", COVEY_CORRUPT, "rounds.jsonl:1: 'round' must be a whole");
    refused("rounds.jsonl", "{\"round\":1.5}\n", COVEY_CORRUPT, "whole number");
    refused("rounds.jsonl", "{\"round\":5000000000}\n", COVEY_CORRUPT, "4294967295");
    refused("rounds.jsonl", "{\"round\":1,\"metric\":\"x\"}\n", COVEY_CORRUPT, "number or null");
    refused("rounds.jsonl", "{\"round\":1}\n{broken}\n{\"round\":2}\n", COVEY_CORRUPT, "rounds.jsonl:2:");
    refused("rounds.jsonl", "{\"round\":2}\n{\"round\":2}\n", COVEY_CORRUPT, "behind round 2");
    refused("rounds.jsonl", "{\"round\":1,\"model_sha256\":\"00\"}\n", COVEY_CORRUPT, "hexadecimal");
    put("rounds.jsonl", "{\"round\":1}\n");
    refused("summary.json", "{\"scenario\":7}\n", COVEY_CORRUPT, "summary.json:1: 'scenario' must be a text");
    refused("summary.json", "", COVEY_CORRUPT, "summary.json:1:");
    put("summary.json", "{}\n");
    refused("devices.csv", "device,class,done\n", COVEY_CORRUPT, "no column 'link'");
    refused("devices.csv", "class,link,done\na,b\n", COVEY_CORRUPT,
            "devices.csv:2: the line must have 3 cells");
    refused("devices.csv", "class,link,done\n\"a,b,1\n", COVEY_CORRUPT, "devices.csv:2:");
    refused("devices.csv", "class,link,done\na,b,-1\n", COVEY_CORRUPT, "'done'");
    refused("devices.csv", "class,link,done,joules\na,b,1,inf\n", COVEY_CORRUPT, "'joules'");
}

static void write_devices(uint32_t count)
{
    static const char *const device_classes[] = {"pi, \"zero\"", "host"}, *const links[] = {"wifi"};
    struct covey_device_tally *tallies = calloc(count, sizeof *tallies);
    struct covey_outcome *outcome;
    struct covey_error err = {0};
    cr_assert_not_null(tallies);
    for (uint32_t i = 0; i < count; i++)
        tallies[i] = (struct covey_device_tally){.chosen = i % 3 + 1,
                                                 .done = i % 3,
                                                 .late = 1,
                                                 .examples = 20,
                                                 .device_class = i % 2,
                                                 .bytes = 1000,
                                                 .joules = .5F,
                                                 .metric = i % 4 == 0 ? .75F : NAN};
    cr_assert_eq(covey_outcome_create(folder, 0, &outcome, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_outcome_devices(outcome, tallies, count, device_classes, links, &err), COVEY_OK, "%s",
                 err.text);
    covey_outcome_destroy(outcome);
    free(tallies);
}

static void check_devices(uint32_t count, uint32_t judged)
{
    struct covey_outcome_run run;
    read_run(&run);
    cr_assert_eq(run.group_count, 6);
    cr_assert_eq(run.device_class_count, 2);
    cr_assert_eq(run.metric_count, judged);
    uint64_t devices = 0, bytes = 0;
    double joules = 0;
    for (uint32_t i = 0; i < run.group_count; i++) {
        devices += run.groups[i].devices;
        bytes += run.groups[i].bytes;
        joules += run.groups[i].joules;
        cr_assert(run.groups[i].done < 3);
        cr_assert_str_eq(run.link_classes[run.groups[i].link_class], "wifi");
    }
    cr_assert_eq(devices, count);
    cr_assert_eq(bytes, UINT64_C(1000) * count);
    cr_assert(!(fabs(joules - .5 * count) > 1e-6 * count));
    cr_assert(strcmp(run.device_classes[0], "pi, \"zero\"") == 0 ||
              strcmp(run.device_classes[1], "pi, \"zero\"") == 0);
    covey_outcome_free(&run);
}

Test(outcome, devices_one_by_one)
{
    write_devices(60);
    check_devices(60, 15);
}

Test(outcome, a_large_fleet_as_a_histogram)
{
    char text[4096];
    write_devices(COVEY_OUTCOME_DEVICES + 2);
    get("devices.csv", text, sizeof text);
    cr_assert_eq(strncmp(text, "class,link,done,devices,", 24), 0);
    check_devices(COVEY_OUTCOME_DEVICES + 2, 0);
}

/* ---- JSON ---- */

static enum covey_status remember(void *user, const char *key, const struct covey_json_value *value,
                                  struct covey_error *err)
{
    char *all = user;
    (void)err;
    (void)snprintf(all + strlen(all), 1024 - strlen(all), "%s=%s;", key,
                   value->kind == COVEY_JSON_BOOL    ? (value->truth ? "yes" : "no")
                   : value->kind == COVEY_JSON_OTHER ? "..."
                                                     : value->text);
    return COVEY_OK;
}

Test(json, members_are_handed_over)
{
    static const struct {
        const char *text, *members;
    } cases[] = {
        {"{}", ""},
        {" { } ", ""},
        {"{\"a\":1,\"b\":-2.5e-3,\"c\":true,\"d\":null}", "a=1;b=-2.5e-3;c=yes;d=null;"},
        {"{\"a\":[1,[2,{\"x\":[]}],{}],\"b\":\"t\"}", "a=...;b=t;"},
        {"{\"a\":\"\\u00e9\\ud83d\\ude00\\n\\\"\\/\"}", "a=\xC3\xA9\xF0\x9F\x98\x80\n\"/;"},
        {"{\"a\":\"\\ud800x\\u0000\"}", "a=\xEF\xBF\xBDx\xEF\xBF\xBD;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char all[1024] = "";
        struct covey_error err = {0};
        cr_assert_eq(covey_json_object_read(cases[i].text, strlen(cases[i].text), remember, all, &err),
                     COVEY_OK, "%s: %s", cases[i].text, err.text);
        cr_assert_str_eq(all, cases[i].members);
    }
}

Test(json, what_is_none_is_refused)
{
    static const char *const cases[] = {"",
                                        "{",
                                        "[]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "{,}",
                                        "{\"a\":01}",
                                        "{\"a\":1.}",
                                        "{\"a\":.5}",
                                        "{\"a\":+1}",
                                        "{\"a\":0x1}",
                                        "{\"a\":nan}",
                                        "{\"a\":1e}",
                                        "{\"a\":\"x}",
                                        "{\"a\":\"\\x\"}",
                                        "{\"a\":\"\\u12\"}",
                                        "{\"a\":\"\n\"}",
                                        "{\"a\":[1,]}",
                                        "{\"a\":[1}",
                                        "{\"a\":{1}}",
                                        "{a:1}",
                                        "{\"a\":1} x",
                                        "{\"a\":1 \"b\":2}",
                                        "{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char all[1024] = "";
        struct covey_error err = {0};
        cr_assert_eq(covey_json_object_read(cases[i], strlen(cases[i]), remember, all, &err), COVEY_CORRUPT,
                     "%s", cases[i]);
        cr_assert(err.text[0] != '\0');
    }
}

Test(json, long_texts_are_cut_at_a_character)
{
    char text[2048] = "{\"a\":\"x", all[1024] = "";
    for (int i = 0; i < 400; i++)
        (void)strcat(text, "\xC3\xA9");
    (void)strcat(text, "\"}");
    cr_assert_eq(covey_json_object_read(text, strlen(text), remember, all, NULL), COVEY_OK);
    cr_assert_eq(strlen(all), strlen("a=x;") + 510, "255 whole characters of two bytes fit behind one");
}
