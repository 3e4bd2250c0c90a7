#include "covey/device_metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *covey_round_failure_text(uint32_t failure)
{
    static const char *const texts[] = {"none",          "no data",          "training diverged",
                                        "out of memory", "model not usable", "training failed"};
    return failure < sizeof texts / sizeof *texts ? texts[failure] : "unknown reason";
}

void covey_metrics_add(struct covey_metrics *metrics, const char *name, const char *unit, double value)
{
    if (!isfinite(value) || metrics->count >= COVEY_METRICS_RECORDS)
        return;
    struct covey_metric *record = &metrics->records[metrics->count++];
    *record = (struct covey_metric){.value = value};
    (void)snprintf(record->name, sizeof record->name, "%s", name);
    (void)snprintf(record->unit, sizeof record->unit, "%s", unit);
}

bool covey_metrics_find(const struct covey_metrics *metrics, const char *name, double *value)
{
    for (uint32_t i = 0; i < metrics->count; i++) {
        if (strcmp(metrics->records[i].name, name) != 0)
            continue;
        *value = metrics->records[i].value;
        return true;
    }
    return false;
}
