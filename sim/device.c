/* Classes of devices, and how fast this machine is. */
#include <stdio.h>
#include <string.h>

#include "world_parts.h"

/* Training runs on one core, in f32. A board's published HPL rate is f64 on all cores: a core has a quarter
 * of it, f32 twice as much in a register, and training half of what Linpack gets (small matrices, memory). So
 * one core trains at a quarter of the board's HPL rate, and costs a quarter of what full load takes above
 * idling. Fixed figures: the same scenario has the same trace everywhere. */
#define BOARD(hpl_flops, load_watts, idle)                                                                   \
    .flops_per_s = (hpl_flops) / 4, .idle_watts = (idle),                                                    \
    .joules_per_gflop = ((load_watts) - (idle)) / ((hpl_flops)*1e-9)

static const struct device_class classes[] = {
    {.name = "pi-zero-2",
     BOARD(2.68e9, 2.1, 1.0),
     .memory_bytes = 512e6,
     .source = "Pi 3 B+ by clock, 1.0 / 1.4 GHz, same core; watts: geerlingguy/top500-benchmark, issue 26"},
    {.name = "pi-3",
     BOARD(3.75e9, 5, 2.5),
     .memory_bytes = 1e9,
     .source = "3 B+: Basford et al. 2020, FGCS 102, 16 boards 60 GFLOPS at 80 W; idle: raspberrypi.com"},
    {.name = "pi-4",
     BOARD(11.889e9, 7.2, 3),
     .memory_bytes = 4e9,
     .source = "geerlingguy/top500-benchmark, issue 13; idle: raspberrypi.com"},
    {.name = "pi-5",
     BOARD(30.249e9, 11, 4),
     .memory_bytes = 8e9,
     .source = "geerlingguy/top500-benchmark, issue 18; idle: raspberrypi.com"},
    {.name = "cortex-m7", /* an eighth of its one f32 multiply-add a cycle; 275 uA/MHz at 3.3 V */
     .flops_per_s = 480e6 * 2 / 8,
     .memory_bytes = 1e6,
     .joules_per_gflop = 275e-6 * 480 * 3.3 / .12,
     .idle_watts = .01,
     .battery_wh = 7,
     .source = "Arm Cortex-M7 TRM, FPU; ST DS12110 (STM32H743, 480 MHz)"},
    {.name = "host",
     .memory_bytes = 8e9,
     .joules_per_gflop = 1,
     .source = "one core of this machine, measured"},
};

const struct device_class *device_class_at(size_t index)
{
    return index < sizeof classes / sizeof classes[0] ? &classes[index] : NULL;
}

const char *device_class_names(char out[256])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof classes / sizeof classes[0] && used < 256; i++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%s", i > 0 ? ", " : "", classes[i].name);
    return out;
}

const struct device_class *device_class_find(const char *name)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    return NULL;
}
