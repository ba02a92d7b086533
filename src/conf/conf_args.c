/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, as getopt_long() reads coturn's: -p 3478, -p3478, -va, --listening-port=3478,
 * --listening-port 3478, unambiguous beginnings of long names. */
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "conf/conf_int.h"

static const char from_args[] = "command line";

struct args {
    struct conf *conf; /* NULL: only look at `request` */
    struct conf_request *request;
    int argc;
    char **argv;
    int at; /* the argument under the eye */
};

static struct conf_place place_here(const struct args *a)
{
    return (struct conf_place){
        .source = CONF_FROM_ARGS, .file = from_args, .line = (unsigned)a->at};
}

static PRINTF(2, 3) void fault(const struct args *a, const char *format, ...)
{
    const struct conf_place place = place_here(a);

    if (a->conf != NULL) {
        va_list args;

        va_start(args, format);
        conf_say_args(a->conf, CONF_ERROR, &place, format, args);
        va_end(args);
    }
}

/* The next argument, as a value; NULL at the end. */
static char *value_next(struct args *a)
{
    return a->at + 1 < a->argc ? a->argv[++a->at] : NULL;
}

static bool is_number(const char *text)
{
    return text[0] != 0 && text[strspn(text, "0123456789")] == 0;
}

static void give(struct args *a, enum conf_opt opt, const struct conf_alias *alias,
                 const char *written, const char *value)
{
    const struct conf_given given = {
        .written = written,
        .value = value != NULL ? bytes_of(value) : (struct bytes){NULL, 0},
        .has_value = value != NULL,
        .place = place_here(a),
    };

    if (a->conf == NULL) {
        return;
    }
    if ((conf_options[opt].attributes & CONF_SECRET) != 0 && value != NULL) {
        conf_say(a->conf, CONF_WARNING, &given.place,
                 "every user of this host can read the value of '%s' in the list of processes: put "
                 "it into the configuration file",
                 written);
    }
    conf_give(a->conf, opt, alias, &given);
}

/* True when the value of `option` stands in the next argument, where it is not joined. */
static bool value_follows(const struct args *a, const struct conf_option *option)
{
    if (option->type == CONF_TYPE_flag || option->status == CONF_REMOVED) {
        return false;
    }
    if ((option->attributes & CONF_BARE) != 0) { /* may be left out: then no number follows */
        return a->at + 1 < a->argc && is_number(a->argv[a->at + 1]);
    }
    return true;
}

/* The names that are no options of the table. */
static bool request_long(struct args *a, struct bytes name, const char *value)
{
    if (bytes_equal(name, bytes_of("help"))) {
        a->request->help = true;
    } else if (bytes_equal(name, bytes_of("version"))) {
        a->request->version = true;
    } else if (bytes_equal(name, bytes_of("config"))) {
        a->request->file = value != NULL ? value : value_next(a);
        if (a->request->file == NULL) {
            fault(a, "--config needs the path of a file");
        }
    } else {
        return false;
    }
    return true;
}

static bool begins(const char *name, struct bytes with)
{
    return strlen(name) > with.n && memcmp(name, with.p, with.n) == 0;
}

/* Find a long name by its beginning.  The number of options it may mean; `*out` is one of them. */
static int prefix_find(struct bytes prefix, enum conf_opt *out, const struct conf_alias **out_alias)
{
    int count = 0;

    if (prefix.n == 0) {
        return 0;
    }
    for (int i = 0; i < CONF_OPTIONS; i++) {
        if (begins(conf_options[i].name, prefix)) {
            *out = (enum conf_opt)i;
            *out_alias = NULL;
            count++;
        }
    }
    for (size_t i = 0; i < conf_alias_count; i++) {
        const bool another = count == 0 || *out != conf_aliases[i].opt;

        if (another && begins(conf_aliases[i].name, prefix)) {
            *out = conf_aliases[i].opt;
            *out_alias = &conf_aliases[i];
            count++;
        }
    }
    return count;
}

static bool long_find(struct args *a, struct bytes name, enum conf_opt *opt,
                      const struct conf_alias **alias)
{
    const struct conf_shown shown = conf_show(name);

    if (conf_option_find(name, opt, alias) == 0) {
        return true;
    }
    const int count = prefix_find(name, opt, alias);
    if (count == 1) {
        return true;
    }
    const char *nearest = conf_option_nearest(name);
    if (count > 1) {
        fault(a, "--%s may mean several options: write the whole name", shown.text);
    } else if (nearest != NULL) {
        fault(a, "there is no option --%s; is --%s meant?", shown.text, nearest);
    } else {
        fault(a, "there is no option --%s; --help lists all of them", shown.text);
    }
    return false;
}

static void long_option(struct args *a, char *arg)
{
    const struct conf_alias *alias;
    enum conf_opt opt;
    char written[CONF_FINDING_TEXT / 4];
    char *equals = strchr(arg, '=');
    const struct bytes name = {(const uint8_t *)arg,
                               equals != NULL ? (size_t)(equals - arg) : strlen(arg)};
    char *value = equals != NULL ? equals + 1 : NULL;

    if (request_long(a, name, value) || !long_find(a, name, &opt, &alias)) {
        return;
    }
    if (value == NULL && value_follows(a, &conf_options[opt])) {
        value = value_next(a);
    }
    (void)snprintf(written, sizeof(written), "--%s",
                   alias != NULL ? alias->name : conf_options[opt].name);
    give(a, opt, alias, written, value);
}

/* -c, -n and -h.  True when `letter` is one of them; `rest` is what is joined to it. */
static bool request_letter(struct args *a, char letter, char **rest)
{
    switch (letter) {
    case 'c':
        a->request->file = (*rest)[0] != 0 ? *rest : value_next(a);
        if (a->request->file == NULL) {
            fault(a, "-c needs the path of a file");
        }
        *rest = NULL;
        return true;
    case 'n':
        a->request->no_file = true;
        return true;
    case 'h':
        a->request->help = true;
        return true;
    default:
        return false;
    }
}

/* The value of a letter: what is joined to it, else the next argument. */
static char *letter_value(struct args *a, const char *written, char *rest)
{
    if (rest[0] == '=') {
        const struct conf_place place = place_here(a);

        if (a->conf != NULL) {
            conf_say(a->conf, CONF_WARNING, &place,
                     "the '=' behind %s is left out: it belongs to long names only", written);
        }
        return rest + 1;
    }
    return rest[0] != 0 ? rest : value_next(a);
}

/* -K takes a value in coturn, though it is a flag: take one where it is a switch word. */
static char *flag_value(struct args *a, enum conf_opt opt)
{
    static const char *const words[] = {"on", "off", "yes", "no", "true", "false", "1", "0"};

    if ((conf_options[opt].attributes & CONF_LETTER_VALUE) == 0 || a->at + 1 >= a->argc) {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcasecmp(a->argv[a->at + 1], words[i]) == 0) {
            return value_next(a);
        }
    }
    return NULL;
}

static void letters(struct args *a, char *p)
{
    while (p != NULL && *p != 0) {
        const char letter = *p++;
        const char written[] = {'-', letter, 0};
        enum conf_opt opt;

        if (request_letter(a, letter, &p)) {
            continue;
        }
        if (conf_option_find_letter(letter, &opt) < 0) {
            const struct conf_shown shown = conf_show(bytes_of(written));

            fault(a, "there is no option %s; --help lists all of them", shown.text);
            return;
        }
        if (conf_options[opt].type == CONF_TYPE_flag && *p != '=') {
            give(a, opt, NULL, written, *p == 0 ? flag_value(a, opt) : NULL);
        } else {
            give(a, opt, NULL, written, letter_value(a, written, p));
            return;
        }
    }
}

static void args_walk(struct args *a)
{
    bool options_end = false;

    for (a->at = 1; a->at < a->argc; a->at++) {
        char *arg = a->argv[a->at];

        if (!options_end && strcmp(arg, "--") == 0) {
            options_end = true;
        } else if (!options_end && arg[0] == '-' && arg[1] == '-') {
            long_option(a, arg + 2);
        } else if (!options_end && arg[0] == '-' && arg[1] != 0) {
            letters(a, arg + 1);
        } else {
            const struct conf_shown shown = conf_show(bytes_of(arg));

            fault(a, "'%s' is no option: a value stands right behind its option", shown.text);
        }
    }
}

void conf_args_scan(int argc, char **argv, struct conf_request *out)
{
    struct args a = {.conf = NULL, .request = out, .argc = argc, .argv = argv};

    *out = (struct conf_request){.file = NULL};
    args_walk(&a);
}

int conf_load_args(struct conf *conf, int argc, char **argv)
{
    const size_t errors = conf->severity_count[CONF_ERROR];
    struct conf_request ignored = {.file = NULL};
    struct args a = {.conf = conf, .request = &ignored, .argc = argc, .argv = argv};

    args_walk(&a);
    return conf_result(conf, errors);
}
