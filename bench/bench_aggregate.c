#include <stdio.h>

int bench_aggregate(int argc, char **argv);

int bench_aggregate(int argc, char **argv)
{
    (void)argc;
    fprintf(stderr, "covey-bench %s: not built yet\n", argv[0]);
    return 1;
}
