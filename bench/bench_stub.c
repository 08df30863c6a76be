/* Until the verb 'bench' lands: a definition that gives way to the real one. */
#include "options.h"

__attribute__((weak)) int bench_main(int argc, char **argv)
{
    (void)argc;
    return opt_error(argv[0], "not built in: expected bench/bench.c");
}
