/* What a round came to. */
#include "client_core.h"

void covey_client_report_round(struct covey_client *client)
{
    const struct covey_state_update *update = covey_client_state_update(client->state);
    struct covey_traffic now;
    struct covey_client_report round = {.round = client->machine.plan.round,
                                        .rounds = client->total.rounds + 1};
    client->link.ops->traffic(client->link.link, &now);
    if (update != NULL) {
        round.round = update->round;
        round.examples = update->examples;
        round.steps = update->steps;
        round.loss_before = update->loss_before;
        round.loss_after = update->loss_after;
        round.update_bytes_up = update->stream_bytes;
        round.training_ms = update->training_ms;
    }
    round.bytes_up_fp32 = 4 * (uint64_t)client->model.layout.update_count;
    round.upload_bytes_up = now.upload_bytes_up - client->counted.upload_bytes_up;
    round.bytes_up = now.bytes_up - client->counted.bytes_up;
    round.bytes_down = now.bytes_down - client->counted.bytes_down;
    round.blocks_repeated = now.blocks_repeated - client->counted.blocks_repeated;
    client->counted = now;

    struct covey_client_report *total = &client->total;
    total->round = round.round;
    total->rounds++;
    total->examples += round.examples;
    total->steps += round.steps;
    total->loss_before = round.loss_before;
    total->loss_after = round.loss_after;
    total->update_bytes_up += round.update_bytes_up;
    total->bytes_up_fp32 += round.bytes_up_fp32;
    total->training_ms += round.training_ms;
    total->upload_bytes_up = now.upload_bytes_up;
    total->bytes_up = now.bytes_up;
    total->bytes_down = now.bytes_down;
    total->blocks_repeated = now.blocks_repeated;
    covey_log_event(client->env.log, COVEY_LOG_INFO, "update-acknowledged",
                    "round=%u examples=%u loss=%.4f bytes=%llu sent=%llu training_ms=%llu", round.round,
                    round.examples, round.loss_after, (unsigned long long)round.update_bytes_up,
                    (unsigned long long)round.upload_bytes_up, (unsigned long long)round.training_ms);
    if (client->options.on_round != NULL)
        client->options.on_round(client->options.user, &round, total);
}
