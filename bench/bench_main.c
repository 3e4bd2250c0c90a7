/* covey-bench AREA [options]: one area a file. bench_areas.h is made by CMake: one BENCH_AREA(name) for each
 * bench_NAME.c, which exports `int bench_NAME(int argc, char **argv)`, argv[0] being the area's name. */
#include <stdio.h>
#include <string.h>

struct area {
    const char *name;
    int (*run)(int argc, char **argv);
};

#define BENCH_AREA(name) int bench_##name(int argc, char **argv);
#include "bench_areas.h"
#undef BENCH_AREA

static const struct area areas[] = {
#define BENCH_AREA(name) {#name, bench_##name},
#include "bench_areas.h"
#undef BENCH_AREA
};

#define AREA_COUNT (sizeof areas / sizeof areas[0])

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < AREA_COUNT; i++)
        if (strcmp(argv[1], areas[i].name) == 0)
            return areas[i].run(argc - 1, argv + 1);
    FILE *out = argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr;
    if (out == stderr && argc > 1)
        fprintf(out, "covey-bench: there is no area '%s'\n", argv[1]);
    fprintf(out, "usage: covey-bench AREA [options]; areas:");
    for (size_t i = 0; i < AREA_COUNT; i++)
        fprintf(out, " %s", areas[i].name);
    fprintf(out, "\n");
    return out == stdout ? 0 : 2;
}
