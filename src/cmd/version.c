/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/version.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "cmd/build_info.h"
#include "cmd/exit_code.h"
#include "crypto/library.h"

static const char help[] =
    "Usage: sterna version [--json]\n"
    "\n"
    "Print the version, the commit that it was built from, what it can do and\n"
    "the libraries in use.\n";

static const char *precis_text(void)
{
    return crypto_library_precis() == NULL ? "none: names and passwords must be ASCII"
                                           : crypto_library_precis();
}

static bool has_fault_injection(void)
{
#ifdef STERNA_FAULT_INJECTION
    return true;
#else
    return false;
#endif
}

static const char compiler[] =
#ifndef __clang__
    "gcc "
#endif
    __VERSION__;

static void write_text(void)
{
    printf("sterna %s%s%s\n", build_info_version,
           build_info_commit[0] == '\0' ? "" : ", built from commit ", build_info_commit);
    printf("protocols:  STUN (RFC 8489) and TURN (RFC 8656) for UDP clients and UDP relays\n");
    printf("compiler:   %s\n", compiler);
    printf("crypto:     %s\n", crypto_library());
    printf("strings:    %s\n", precis_text());
    printf("database:   SQLite %s\n", sqlite3_libversion());
    printf("others:     jansson %s, zlib %s\n", jansson_version_str(), zlibVersion());
    if (has_fault_injection()) {
        printf("WARNING:    built with fault injection, for tests only\n");
    }
}

static int write_json(void)
{
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:s, s:s, s:b}", "version",
                             build_info_version, "commit", build_info_commit, "compiler", compiler,
                             "openssl", crypto_library(), "icu", crypto_library_precis(), "sqlite",
                             sqlite3_libversion(), "jansson", jansson_version_str(), "zlib",
                             zlibVersion(), "fault_injection", (int)has_fault_injection());

    if (root == NULL || json_dumpf(root, stdout, JSON_INDENT(2)) < 0) {
        json_decref(root);
        return CMD_FAILED;
    }
    putchar('\n');
    json_decref(root);
    return CMD_OK;
}

int cmd_version(int argc, char **argv)
{
    if (argc < 2) {
        write_text();
        return CMD_OK;
    }
    if (argc == 2 && strcmp(argv[1], "--json") == 0) {
        return write_json();
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return CMD_OK;
    }
    fprintf(stderr, "sterna version: it takes nothing but --json\n");
    return CMD_USAGE;
}
