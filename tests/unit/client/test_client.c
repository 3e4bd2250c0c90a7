/* A device against a server in the same process: rounds, refusals, losses, kills. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_rig.h"
#include "client_state.h"
#include "covey/codec.h"
#include "covey/device_metrics.h"
#include "covey/hash.h"

static struct client_rig rig;

static void stop(void)
{
    client_rig_stop(&rig);
}

static void open_client(void)
{
    cr_assert(client_rig_open(&rig) == COVEY_OK, "%s", rig.create_error.text);
}

static bool waits(void)
{
    struct covey_client_view view = client_rig_view(&rig);
    return view.link == COVEY_CLIENT_READY && view.work == COVEY_WORK_NONE;
}

TestSuite(client, .fini = stop);

static void run_rounds(const char *codec, bool threaded)
{
    client_rig_start(&rig, "", threaded);
    open_client();
    client_rig_until(&rig, waits());
    for (uint8_t round = 1; round <= 4; round++) {
        uint32_t fetches = rig.server.fetches;
        tiny_server_assign(&rig.server, round, codec);
        client_rig_until(&rig, rig.reported == round);
        cr_assert(tiny_server_updates(&rig.server) == round);
        cr_assert(rig.last.round == round && rig.last.examples == RIG_EXAMPLES && rig.last.steps == 6);
        cr_assert(rig.last.loss_after > 0 && rig.last.bytes_up_fp32 == 4 * rig.server.layout.update_count);
        cr_assert(rig.last.upload_bytes_up > rig.last.update_bytes_up &&
                  rig.last.bytes_up >= rig.last.upload_bytes_up);
        cr_assert(rig.last.bytes_down_fp32 == 4 * rig.server.layout.shared_count);
        cr_assert(rig.last.model_bytes_down > 0 && rig.last.model_bytes_down < rig.last.bytes_down);
        /* manifest, description and full model at first; then manifest and delta */
        cr_assert(rig.server.fetches - fetches == (round == 1 ? 3 : 2), "round %u: %u", round,
                  rig.server.fetches - fetches);
        /* what came can be decoded, and starts from the model that was given */
        struct covey_update update;
        struct covey_error err = {0};
        struct tiny_update *kept = &rig.server.updates[round - 1];
        cr_assert(covey_update_decode((struct covey_bytes){kept->bytes, kept->size}, &update, &err) ==
                  COVEY_OK);
        cr_assert(covey_hash_equal(&update.model, &rig.server.model));
        float values[64];
        cr_assert(rig.server.layout.update_count <= 64);
        cr_assert(covey_codec_decode(update.stream, rig.server.layout.update_count, values, &err) == COVEY_OK,
                  "%s", err.text);
        tiny_server_publish(&rig.server, .01f);
    }
}

Test(client, rounds_in_step)
{
    run_rounds("int8", false);
}

Test(client, rounds_with_a_training_thread)
{
    run_rounds("int4", true);
}

Test(client, rounds_without_loss)
{
    run_rounds("raw32", false);
}

/* The same model, data and plan give the same bytes, trained here or there. */
Test(client, the_same_bytes_again)
{
    struct covey_hash hashes[2];
    for (int i = 0; i < 2; i++) {
        if (i > 0)
            client_rig_stop(&rig);
        client_rig_start(&rig, "", i == 1);
        rig.server.manifest.created_s = 0;
        open_client();
        tiny_server_assign(&rig.server, 1, "int8");
        client_rig_until(&rig, rig.reported == 1);
        struct covey_update update;
        struct tiny_update *kept = &rig.server.updates[0];
        cr_assert(covey_update_decode((struct covey_bytes){kept->bytes, kept->size}, &update, NULL) ==
                  COVEY_OK);
        cr_assert(covey_hash_bytes(update.stream, &hashes[i]) == COVEY_OK);
    }
    cr_assert(covey_hash_equal(&hashes[0], &hashes[1]));
}

Test(client, killed_before_the_acknowledgement)
{
    client_rig_start(&rig, "", false);
    rig.server.put_code = COVEY_CODE_UNAVAILABLE;
    rig.server.put_code_count = 1000;
    open_client();
    tiny_server_assign(&rig.server, 1, "int8");
    client_rig_until(&rig, rig.server.puts > 0);
    client_rig_close(&rig); /* as if killed: nothing is told to the server */
    rig.server.put_code_count = 0;
    uint32_t fetches = rig.server.fetches;
    open_client();
    client_rig_until(&rig, rig.reported == 1);
    cr_assert(rig.server.fetches == fetches, "neither fetched nor trained again");
    cr_assert(rig.last.examples == RIG_EXAMPLES && rig.last.update_bytes_up > 0);
}

Test(client, acknowledgement_lost)
{
    client_rig_start(&rig, "", false);
    open_client();
    rig.server.lose_acknowledgement = true;
    tiny_server_assign(&rig.server, 1, "int8");
    client_rig_until(&rig, rig.reported == 1);
    cr_assert(rig.server.puts == 2 && tiny_server_updates(&rig.server) == 1, "sent twice, counted once");
}

/* The values of a stored file, its head and its hash included; 0: it is not there. */
static size_t stored(const char *name, uint8_t *out, size_t capacity)
{
    char path[160];
    snprintf(path, sizeof path, "%s/state/digits/%s", rig.folder, name);
    FILE *file = fopen(path, "rb");
    size_t size = file != NULL ? fread(out, 1, capacity, file) : 0;
    if (file != NULL)
        fclose(file);
    return size;
}

/* Killed between the server's taking an update and our hearing of it, and a newer plan is there when it comes
 * back: the residual that went with the update holds when it was taken, the one before when it was not. */
Test(client, the_residual_follows_what_the_server_says)
{
    static uint8_t pending[4096], before[4096], after[4096];
    for (int taken = 0; taken < 2; taken++) {
        client_rig_start(&rig, "error_feedback: on\n", false);
        open_client();
        tiny_server_assign(&rig.server, 1, "int8");
        client_rig_until(&rig, rig.reported == 1);
        const size_t before_bytes = stored("residual", before, sizeof before);
        cr_assert(before_bytes > 100 && before_bytes < sizeof before);
        tiny_server_publish(&rig.server, .01f);
        rig.server.lose_acknowledgement = taken;
        rig.server.put_code = COVEY_CODE_UNAVAILABLE;
        rig.server.put_code_count = taken ? 0 : 1000;
        const uint32_t puts = rig.server.puts;
        tiny_server_assign(&rig.server, 2, "int8");
        client_rig_until(&rig, rig.server.puts > puts);
        const size_t pending_bytes = stored("pending", pending, sizeof pending);
        cr_assert(pending_bytes == before_bytes && memcmp(pending, before, before_bytes) != 0);
        client_rig_close(&rig);
        rig.server.put_code_count = 0;
        cr_assert(tiny_server_updates(&rig.server) == (taken ? 2 : 1));

        tiny_server_push(
            &rig.server,
            &(struct covey_plan){.kind = COVEY_PLAN_WAIT, .retry_after_ms = 60000, .heartbeat_ms = 60000});
        open_client();
        client_rig_until(&rig, rig.server.asks == 1 && waits() && stored("update", after, sizeof after) == 0);
        cr_assert(rig.reported == (taken ? 2 : 1), "what was taken is reported");
        cr_assert(stored("pending", after, sizeof after) == 0);
        cr_assert(stored("residual", after, sizeof after) == before_bytes);
        cr_assert(memcmp(after, taken ? pending : before, before_bytes) == 0, "taken %d", taken);
        tiny_server_assign(&rig.server, 3, "int8");
        client_rig_until(&rig, rig.reported == (taken ? 3 : 2));
        cr_assert(rig.server.asks == 1 && rig.server.puts > puts + 1);
        if (taken == 0)
            client_rig_stop(&rig);
    }
}

static double metric(const char *name)
{
    double value = -1;
    return covey_metrics_find(&rig.server.metrics, name, &value) ? value : -1;
}

Test(client, tells_how_its_rounds_went)
{
    client_rig_start(&rig, "", false);
    rig.stop_after = 2;
    open_client();
    for (uint8_t round = 1; round <= 2; round++) {
        tiny_server_assign(&rig.server, round, "int8");
        client_rig_until(&rig, rig.server.posts == round);
        cr_assert(metric("round") == round && metric("failed") == 0 && metric("examples") == RIG_EXAMPLES);
        cr_assert(metric("loss-after") > 0 && metric("loss-before") > 0 && metric("training") >= 0);
        cr_assert(metric("memory") > 100000 && metric("battery") == -1);
        cr_assert(metric("bytes-up") >= metric("upload-bytes") &&
                  metric("upload-bytes") > metric("update-bytes") && metric("update-bytes") > 0);
    }
    client_rig_until(&rig, covey_client_finished(rig.client)); /* not before the second report */
}

Test(client, tells_nothing_when_told_so)
{
    client_rig_start(&rig, "metrics: false\n", false);
    rig.stop_after = 1;
    open_client();
    tiny_server_assign(&rig.server, 1, "int8");
    client_rig_until(&rig, covey_client_finished(rig.client));
    cr_assert(rig.server.posts == 0);
}

Test(client, refused_for_good)
{
    static const uint8_t codes[] = {COVEY_CODE_FORBIDDEN, COVEY_CODE_CONFLICT, COVEY_CODE_UNPROCESSABLE};
    client_rig_start(&rig, "", false);
    open_client();
    for (uint8_t i = 0; i < sizeof codes; i++) {
        uint32_t puts = rig.server.puts;
        rig.server.put_code = codes[i];
        rig.server.put_code_count = 1;
        tiny_server_assign(&rig.server, (uint8_t)(i + 1), "int8");
        client_rig_until(&rig, rig.server.puts == puts + 1 && waits());
        cr_assert(client_rig_view(&rig).trouble[0] != 0);
        for (int j = 0; j < 40; j++)
            client_rig_step(&rig);
        cr_assert(rig.server.puts == puts + 1, "not again");
    }
    tiny_server_assign(&rig.server, 9, "int8"); /* life goes on */
    client_rig_until(&rig, rig.reported == 1);
}

Test(client, the_server_goes_and_comes_back)
{
    client_rig_start(&rig, "", false);
    open_client();
    client_rig_until(&rig, waits());
    for (uint8_t i = 1; i <= 3; i++) {
        rig.server.host.ops->drop(rig.server.host.host, "device");
        client_rig_until(&rig, client_rig_view(&rig).link != COVEY_CLIENT_READY);
        client_rig_until(&rig, waits());
        tiny_server_assign(&rig.server, i, "int8"); /* pushed: the observation was made anew */
        client_rig_until(&rig, rig.reported == i);
    }
}

Test(client, a_server_that_knows_nothing_of_it)
{
    client_rig_start(&rig, "", false);
    rig.server.plan_code = COVEY_CODE_NOT_FOUND;
    open_client();
    client_rig_until(&rig, rig.server.plans >= 3);
    cr_assert(strstr(client_rig_view(&rig).trouble, "4.04") != NULL, "%s", client_rig_view(&rig).trouble);
    rig.server.plan_code = 0;
    tiny_server_assign(&rig.server, 1, "fp16");
    client_rig_until(&rig, rig.reported == 1);
}

Test(client, without_data)
{
    client_rig_start(&rig, "", false);
    rig.dataset.count = 0;
    open_client();
    tiny_server_assign(&rig.server, 1, "int8");
    client_rig_until(&rig, strstr(client_rig_view(&rig).trouble, "data:") != NULL);
    client_rig_until(&rig, waits());
    cr_assert(rig.server.puts == 0);
    client_rig_until(&rig, rig.server.posts == 1);
    cr_assert(metric("round") == 1 && metric("failed") == COVEY_ROUND_NO_DATA && metric("loss-after") == -1);
}

Test(client, tells_that_training_failed)
{
    client_rig_start(&rig, "", false);
    open_client();
    tiny_server_assign_rate(&rig.server, 1, "int8", 2000); /* refused by the trainer */
    client_rig_until(&rig, rig.server.posts == 1);
    cr_assert(metric("round") == 1 && metric("failed") == COVEY_ROUND_OTHER, "%g", metric("failed"));
    cr_assert(rig.server.puts == 0);
    tiny_server_assign(&rig.server, 2, "int8"); /* life goes on */
    client_rig_until(&rig, rig.reported == 1 && rig.server.posts == 2);
    cr_assert(metric("failed") == 0);
}

Test(client, stops_when_told_and_ends_with_the_federation)
{
    client_rig_start(&rig, "exit_when_done: true\n", true);
    rig.stop_after = 1;
    open_client();
    tiny_server_assign(&rig.server, 1, "int8");
    client_rig_until(&rig, covey_client_finished(rig.client));
    cr_assert(rig.reported == 1);
    client_rig_close(&rig);

    rig.stop_after = 0;
    open_client();
    client_rig_until(&rig, waits());
    covey_client_stop(rig.client);
    client_rig_until(&rig, covey_client_finished(rig.client));
    client_rig_close(&rig);

    open_client();
    tiny_server_publish(&rig.server, .5f);
    tiny_server_push(&rig.server,
                     &(struct covey_plan){.kind = COVEY_PLAN_DONE, .manifest = rig.server.manifest_hash});
    client_rig_until(&rig, covey_client_finished(rig.client));
    cr_assert(client_rig_view(&rig).ended);
}

Test(client, held_back_by_its_policy)
{
    char command[256];
    client_rig_start(&rig, "policy: {temperature_celsius: 50}\n", false);
    snprintf(command, sizeof command,
             "mkdir -p %s/sys/class/thermal/thermal_zone0 && echo 90000 > "
             "%s/sys/class/thermal/thermal_zone0/temp",
             rig.folder, rig.folder);
    cr_assert(system(command) == 0);
    open_client();
    tiny_server_assign(&rig.server, 1, "int8");
    client_rig_until(&rig, client_rig_view(&rig).work == COVEY_WORK_PERMIT);
    for (int i = 0; i < 40; i++)
        client_rig_step(&rig);
    cr_assert(rig.reported == 0 && client_rig_view(&rig).work == COVEY_WORK_PERMIT);
}

Test(client, polling_sleeps_when_it_is_done)
{
    client_rig_start(&rig, "mode: poll\n", false);
    tiny_server_assign(&rig.server, 1, "int8"); /* nobody observes: it lies there to be asked for */
    open_client();
    client_rig_until(&rig, rig.reported == 1);
    client_rig_until(&rig, client_rig_view(&rig).link == COVEY_CLIENT_ASLEEP);
    cr_assert(!rig.server.host.ops->present(rig.server.host.host, "device"), "asleep, and still connected");
}

/* The codec that the stored residual belongs to; "" when there is none. */
static void residual_codec(char out[COVEY_CODEC_NAME_BYTES])
{
    struct covey_client_state *state = NULL;
    char folder[128];
    snprintf(folder, sizeof folder, "%s/state", rig.folder);
    cr_assert(covey_client_state_look(folder, "digits", NULL, &state, NULL) == COVEY_OK);
    const struct covey_state_residual *residual = covey_client_state_residual(state);
    snprintf(out, COVEY_CODEC_NAME_BYTES, "%s", residual != NULL ? residual->codec : "");
    covey_client_state_close(state);
}

Test(client, the_residual_goes_with_its_codec)
{
    static const struct {
        const char *codec, *kept;
    } rounds[] = {{"int8", "int8"}, {"int4", "int4"}, {"int4", "int4"}, {"fp16", "fp16"}};
    char codec[COVEY_CODEC_NAME_BYTES];
    client_rig_start(&rig, "error_feedback: on\n", false);
    open_client();
    for (uint8_t i = 0; i < 4; i++) {
        tiny_server_assign(&rig.server, (uint8_t)(i + 1), rounds[i].codec);
        client_rig_until(&rig, rig.reported == i + 1u);
        residual_codec(codec);
        cr_assert(strcmp(codec, rounds[i].kept) == 0, "round %u: '%s'", i + 1, codec);
    }
}

Test(client, no_residual_where_it_is_not_wanted)
{
    char codec[COVEY_CODEC_NAME_BYTES];
    client_rig_start(&rig, "error_feedback: off\n", false);
    open_client();
    tiny_server_assign(&rig.server, 1, "int4");
    client_rig_until(&rig, rig.reported == 1);
    residual_codec(codec);
    cr_assert(codec[0] == 0, "'%s'", codec);
}

/* Opened, stepped for a while, and closed in the middle of whatever it does; again and again. */
Test(client, killed_at_any_moment)
{
    client_rig_start(&rig, "", true);
    for (uint8_t life = 1; life <= 60; life++) {
        open_client();
        tiny_server_assign(&rig.server, (uint8_t)(1 + life / 4), "int8");
        for (int i = 0; i < life % 13; i++)
            covey_client_step(rig.client, 1);
        client_rig_close(&rig);
        if (life % 4 == 3)
            tiny_server_publish(&rig.server, .01f);
    }
    open_client();
    uint32_t before = rig.reported;
    tiny_server_assign(&rig.server, 99, "int8");
    client_rig_until(&rig, rig.reported == before + 1);
}
