/* SPDX-License-Identifier: Apache-2.0 */
/* sterna: one binary, many commands; by coturn's names it takes coturn's flags. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/exit_code.h"
#include "cmd/help.h"
#include "cmd/serve.h"
#include "cmd/turnadmin.h"

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static int unknown(const char *name)
{
    const struct command *nearest = command_nearest(name);

    fprintf(stderr, "sterna: there is no command \"%s\"", name);
    if (nearest != NULL) {
        fprintf(stderr, "; did you mean \"%s\"?", nearest->name);
    }
    fputs("\nTry sterna --help\n", stderr);
    return CMD_USAGE;
}

/* Started without standard streams: what is opened next must not take their place, or lines of the
 * log would go there. */
static void streams_fill(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd < STDERR_FILENO);
    if (fd > STDERR_FILENO) {
        (void)close(fd);
    }
}

int main(int argc, char **argv)
{
    const char *called = argc > 0 ? name_of(argv[0]) : "sterna";

    streams_fill();
    if (strcmp(called, "turnserver") == 0) {
        return cmd_serve(argc, argv);
    }
    if (strcmp(called, "turnadmin") == 0) {
        return cmd_turnadmin(argc, argv);
    }
    if (argc < 2) {
        help_write(stderr);
        return CMD_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    } else if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    const struct command *command = command_find(name);
    return command == NULL ? unknown(name) : command->run(argc - 1, argv + 1);
}
