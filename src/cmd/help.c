/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/help.h"

#include <string.h>

#include "base/attr.h"
#include "cmd/command.h"
#include "cmd/exit_code.h"
#include "cmd/manual.h"
#include "conf/conf.h"

static const char help_of_help[] =
    "Usage: sterna help [COMMAND]\n"
    "       sterna help DOCUMENT\n"
    "\n"
    "Explain a command, or list all of them. The documents, which the project's\n"
    "docs folder is made of:\n"
    "  --man            the manual page sterna(1)\n"
    "  --man-conf       the manual page sterna.conf(5)\n"
    "  --options        the reference of all options, in Markdown\n"
    "  --exit-codes     the exit codes, in Markdown\n";

void help_write(FILE *out)
{
    fputs("Usage: sterna COMMAND [ARGUMENT]...\n"
          "\n"
          "A STUN and TURN server.\n"
          "\n"
          "Commands:\n",
          out);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "  %-14s %s\n", command_table[i].name, command_table[i].summary);
    }
    fputs("\n"
          "sterna help COMMAND explains one. Called by the name turnserver, sterna takes\n"
          "coturn's flags and serves.\n"
          "\n"
          "Exit codes:\n",
          out);
#define CMD_EXIT(name, number, meaning) fprintf(out, "  %-3d %s\n", number, meaning);
    CMD_EXITS
#undef CMD_EXIT
}

static void own_help(FILE *out)
{
    fputs(help_of_help, out);
}

static const struct {
    const char *flag;
    void (*write)(FILE *out);
} documents[] = {
    {"--man", manual_write},
    {"--man-conf", conf_write_man_conf},
    {"--options", conf_write_markdown},
    {"--exit-codes", manual_write_exit_codes},
    {"--help", own_help},
    {"-h", own_help},
    {"help", own_help},
};

int cmd_help(int argc, char **argv)
{
    if (argc < 2) {
        help_write(stdout);
        return CMD_OK;
    }
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        if (strcmp(argv[1], documents[i].flag) == 0) {
            documents[i].write(stdout);
            return CMD_OK;
        }
    }
    const struct command *command = command_find(argv[1]);
    if (command == NULL) {
        const struct command *nearest = command_nearest(argv[1]);
        fprintf(stderr, "sterna help: there is no command \"%s\"%s%s%s\n", argv[1],
                nearest == NULL ? "" : "; did you mean \"", nearest == NULL ? "" : nearest->name,
                nearest == NULL ? "" : "\"?");
        return CMD_USAGE;
    }
    char flag[] = "--help";
    char *args[] = {argv[1], flag, NULL};
    return command->run(2, args);
}
