/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_prose.h"

#include <inttypes.h>
#include <string.h>

const struct conf_prose conf_prose[] = {
    {CONF_HEADING, "Where values come from"},
    {CONF_PARAGRAPH,
     "An option is given on the command line (--listening-port=3478), in the environment "
     "(STERNA_LISTENING_PORT=3478) or in the configuration file (listening-port=3478). The "
     "command line wins over the environment, the environment over the file. Options that may be "
     "repeated add up."},
    {CONF_PARAGRAPH,
     "The file is the one of -c FILE; else /etc/sterna/sterna.conf or /etc/sterna.conf; else "
     "turnserver.conf in ., ./turnserver, ./coturn, ./etc, ./etc/turnserver, ./etc/coturn, the "
     "same three below ../etc, /etc and /usr/local/etc. With -n no file is read."},
    {CONF_PARAGRAPH,
     "In the environment, values of an option that may be repeated are separated by line ends, "
     "and addresses by commas or blanks, too."},
    {CONF_HEADING, "The file"},
    {CONF_PARAGRAPH,
     "It is coturn's: an existing turnserver.conf can be used as it is. Each line holds one "
     "option in one of these forms:"},
    {CONF_EXAMPLE, "# a comment\n"
                   "fingerprint\n"
                   "listening-port=3478\n"
                   "realm = example.org        # a comment behind a value\n"
                   "user-quota 12\n"
                   "static-auth-secret=\"with # and blanks\"\n"
                   "\n"
                   "[tls \"turn.example.org\"]\n"
                   "certificate = /etc/ssl/turn.pem\n"
                   "private-key = /etc/ssl/turn.key\n"},
    {CONF_PARAGRAPH,
     "A comment begins with # at the beginning of a line or behind a blank; within a word # is a "
     "part "
     "of the value. Double quotes around a value are taken off; single quotes are not. A switch "
     "is on when it stands alone; else it takes on, off, yes, no, true, false, 1 or 0. Numbers "
     "are plain digits without a unit. A line has 4096 bytes at most."},
    {CONF_PARAGRAPH,
     "A name that does not exist is a warning; a value that is no good is an error, and the "
     "server does not start. sterna check-config tells about both, with line and column."},
    {CONF_PARAGRAPH,
     "Sections come behind the options: a line in brackets, and below it keys and values, written "
     "as options are. A key that a section does not have is an error."},
    {CONF_HEADING, "Listeners"},
    {CONF_PARAGRAPH,
     "On each listening-ip, listening-port is opened for UDP and TCP and, when there is a "
     "certificate, tls-listening-port for TCP and with dtls for UDP. Each of them takes clients "
     "with and without TLS (over UDP: DTLS), told apart by their first bytes. no-udp, no-tcp, "
     "no-tls and dtls say which of these are taken; a port that would only take others is not "
     "opened. aux-server is one more address and port like listening-port. tcp-proxy-port is one "
     "more port for TCP and TLS behind a balancer. A [listener] section is one more listener, "
     "whatever those options say, with settings of its own; on an address, port and transport of "
     "theirs it takes their place."},
    {CONF_HEADING, "Certificates"},
    {CONF_PARAGRAPH,
     "cert, pkey and the options with them are the settings for every server name. A [tls "
     "\"name\"] section holds them for clients that ask for that name (SNI); a [tls] section "
     "without a name stands for those options and is written in their place. Without cert and "
     "[tls] there is no TLS. "
     "Certificates are read again on reload: connections that have begun keep what they have."},
    {CONF_HEADING, "What follows from other options"},
    {CONF_PARAGRAPH,
     "user implies lt-cred-mech, static-auth-secret implies use-auth-secret; with neither, userdb "
     "implies lt-cred-mech. Without any of them the server does not start, unless no-auth or "
     "stun-only is given. Users, secrets and the database are used together. "
     "keep-address-family, verbose and Verbose stand for allocation-default-address-family=keep, "
     "log-min-level=info and log-min-level=debug, unless those are given. log-file=syslog is "
     "syslog; log-file=stdout logs to standard output even with no-stdout-log."},
    {CONF_HEADING, "Peer address ranges"},
    {CONF_PARAGRAPH,
     "An address that a range of allowed-peer-ip holds may be reached, whatever denied-peer-ip "
     "says, as in coturn. Ranges of IPv6 never hold IPv4 addresses. An address written as "
     "::ffff:192.0.2.1 is the IPv4 address 192.0.2.1; a range of all of ::ffff:0:0/96 changes "
     "nothing."},
};
const size_t conf_prose_count = ARRAY_SIZE(conf_prose);

/* "a|b|c" as "a or b or c": a word may hold a comma itself. */
static void words_list(const char *words, char out[CONF_CELL])
{
    size_t len = 0;

    for (; *words != 0 && len + 5 < CONF_CELL; words++) {
        if (*words == '|') {
            memcpy(out + len, " or ", 4);
            len += 4;
        } else {
            out[len++] = *words;
        }
    }
    out[len] = 0;
}

const char *conf_prose_value(const struct conf_option *option, char out[CONF_CELL])
{
    const char *unit = option->unit;

    out[0] = 0;
    switch (option->type) {
    case CONF_TYPE_flag:
        (void)snprintf(out, CONF_CELL, "on or off");
        break;
    case CONF_TYPE_u32:
    case CONF_TYPE_u64:
        (void)snprintf(out, CONF_CELL, "%" PRIu64 " to %" PRIu64 "%s%s", option->min, option->max,
                       strcmp(unit, "port") == 0 ? "" : " ", strcmp(unit, "port") == 0 ? "" : unit);
        break;
    case CONF_TYPE_choice:
        words_list(unit, out);
        break;
    case CONF_TYPE_text:
        (void)snprintf(out, CONF_CELL, "%s", unit);
        break;
    case CONF_TYPE_list_text:
    case CONF_TYPE_list_addr:
    case CONF_TYPE_list_endpoint:
    case CONF_TYPE_list_range:
    case CONF_TYPE_list_external:
    case CONF_TYPE_list_user:
    case CONF_TYPE_list_prefix:
        (void)snprintf(out, CONF_CELL, "%s; may be repeated", unit);
        break;
    case CONF_TYPE_none:
        (void)snprintf(out, CONF_CELL, "any");
        break;
    }
    return out;
}

const char *conf_prose_default(const struct conf_option *option, char out[CONF_CELL])
{
    char word[32] = "";

    switch (option->type) {
    case CONF_TYPE_flag:
        (void)snprintf(out, CONF_CELL, "%s",
                       option->status == CONF_MOOT || option->number != 0 ? "on" : "off");
        break;
    case CONF_TYPE_u32:
    case CONF_TYPE_u64:
        (void)snprintf(out, CONF_CELL, "%" PRIu64, option->number);
        break;
    case CONF_TYPE_choice:
        (void)conf_choice_word(option, (uint32_t)option->number, word);
        (void)snprintf(out, CONF_CELL, "%s", word);
        break;
    case CONF_TYPE_text:
        (void)snprintf(out, CONF_CELL, "%s", option->text != NULL ? option->text : "none");
        break;
    case CONF_TYPE_list_text:
    case CONF_TYPE_list_addr:
    case CONF_TYPE_list_endpoint:
    case CONF_TYPE_list_range:
    case CONF_TYPE_list_external:
    case CONF_TYPE_list_user:
    case CONF_TYPE_list_prefix:
    case CONF_TYPE_none:
        (void)snprintf(out, CONF_CELL, "none");
        break;
    }
    return out;
}

const char *conf_prose_key_default(const struct conf_key *key)
{
    return key->option.text != NULL ? key->option.text : "none";
}

const char *conf_prose_reload(const struct conf_option *option)
{
    return option->reload == CONF_LIVE ? "reload" : "restart";
}

const char *conf_prose_status(const struct conf_option *option)
{
    static const char *const words[] = {
        [CONF_ACTIVE] = "in effect",
        [CONF_LATER] = "no effect yet",
        [CONF_MOOT] = "always so",
        [CONF_REMOVED] = "removed",
    };

    return words[option->status];
}

const char *conf_prose_alias(const struct conf_alias *alias)
{
    static const char *const words[] = {
        [CONF_SAME] = "another name of",
        [CONF_OLD] = "a misspelling, taken as",
        [CONF_NOT] = "an old name for the opposite of",
    };

    return words[alias->how];
}
