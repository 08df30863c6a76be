#include "options.h"

int devices_main(int argc, char **argv)
{
    (void)argc;
    return opt_error(argv[0], "not written yet");
}
