/* Uses an installed Covey: a shipped model by name, its parameters counted. */
#include "covey/model.h"
#include "covey/hash.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    struct covey_error err = {0};
    struct covey_model_summary summary;
    struct covey_model_description *model = calloc(1, sizeof *model);
    if (model == NULL || covey_crypto_start(&err) != COVEY_OK ||
        covey_model_load("2nn", model, &err) != COVEY_OK ||
        covey_model_summarise(model, &summary, &err) != COVEY_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        free(model);
        return 1;
    }
    (void)printf("parameters %llu\n", (unsigned long long)summary.parameters);
    free(model);
    return 0;
}
