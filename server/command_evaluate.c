/* Evaluation for the server's library, which does not know training: data sets in memory, one evaluator a
 * federation. */
#include "command_config.h"

#include <stdlib.h>
#include <string.h>

#include "covey/trainer.h"

struct evaluation {
    struct covey_trainer *trainer;
    const struct covey_layout *layout;
    float *values; /* (layout->count): the shared part is overwritten, the personal one stays initial */
    bool is_error;
    struct covey_dataset parts[2]; /* by enum covey_part; count 0: none */
};

static enum covey_status load_part(const struct server_config *server, const struct covey_data_config *data,
                                   const char *what, struct covey_dataset *out, struct covey_error *err)
{
    if (!covey_data_is_named(data))
        return COVEY_OK;
    enum covey_status status = covey_data_load(data, server->folder, out, err);
    return status == COVEY_OK ? status : covey_fail_at(err, status, "evaluation: %s: ", what);
}

enum covey_status evaluation_create(const struct server_config *server,
                                    const struct federation_config *config,
                                    const struct covey_model_description *model,
                                    const struct covey_layout *layout, const float *initial,
                                    struct evaluation **out, struct covey_error *err)
{
    if (!covey_data_is_named(&config->evaluation.validation) &&
        !covey_data_is_named(&config->evaluation.test))
        return COVEY_OK;
    struct evaluation *evaluation = calloc(1, sizeof *evaluation);
    if (evaluation == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to evaluate");
    evaluation->layout = layout;
    evaluation->is_error = model->loss == COVEY_LOSS_MEAN_SQUARED_ERROR;
    const struct covey_training_options options = {0};
    enum covey_status status = load_part(server, &config->evaluation.validation, "validation",
                                         &evaluation->parts[COVEY_PART_VALIDATION], err);
    if (status == COVEY_OK)
        status =
            load_part(server, &config->evaluation.test, "test", &evaluation->parts[COVEY_PART_TEST], err);
    if (status == COVEY_OK)
        status = covey_trainer_create(model, &options, &evaluation->trainer, err);
    if (status == COVEY_OK) {
        evaluation->values = malloc(layout->count * sizeof *evaluation->values);
        if (evaluation->values == NULL)
            status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu values", layout->count);
        else
            memcpy(evaluation->values, initial, layout->count * sizeof *evaluation->values);
    }
    if (status != COVEY_OK) {
        evaluation_destroy(evaluation);
        return status;
    }
    *out = evaluation;
    return COVEY_OK;
}

void evaluation_destroy(struct evaluation *evaluation)
{
    if (evaluation == NULL)
        return;
    covey_trainer_destroy(evaluation->trainer);
    covey_dataset_deinit(&evaluation->parts[0]);
    covey_dataset_deinit(&evaluation->parts[1]);
    free(evaluation->values);
    free(evaluation);
}

bool evaluation_has(const struct evaluation *evaluation, enum covey_part part)
{
    return evaluation != NULL && evaluation->parts[part].count > 0;
}

enum covey_status evaluation_judge(void *user, enum covey_part part, const float *shared,
                                   struct covey_judgement *out, struct covey_error *err)
{
    struct evaluation *evaluation = user;
    struct covey_score score;
    memcpy(evaluation->values, shared, evaluation->layout->shared_count * sizeof *shared);
    COVEY_TRY(covey_trainer_evaluate(evaluation->trainer, evaluation->values, &evaluation->parts[part],
                                     &score, err));
    *out = (struct covey_judgement){.count = score.examples,
                                    .loss = score.loss,
                                    .metric = evaluation->is_error ? score.rmse : score.accuracy};
    return COVEY_OK;
}
