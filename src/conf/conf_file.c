/* SPDX-License-Identifier: Apache-2.0 */
/* coturn's file language: a line is `name`, `name value`, `name=value` or `name = value`. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf_int.h"

struct reader {
    struct conf *conf;
    struct conf_place place; /* of the line */
    const uint8_t *begin;    /* of the line, for columns */
    struct conf_section *section;
    bool in_section; /* also after a section header that was no good */
};

/* One line taken apart.  All borrow from the text. */
struct line {
    struct bytes name;
    struct bytes value;
    bool has_value;
    bool quoted;
    bool unclosed;  /* the quote is */
    bool commented; /* text behind " #" was left out */
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct bytes trim(struct bytes text)
{
    while (text.n > 0 && is_blank(text.p[0])) {
        text.p++;
        text.n--;
    }
    while (text.n > 0 && is_blank(text.p[text.n - 1])) {
        text.n--;
    }
    return text;
}

static struct conf_place place_at(const struct reader *r, const uint8_t *p)
{
    struct conf_place place = r->place;

    place.column = (unsigned)(p - r->begin) + 1;
    return place;
}

/* True when a comment, or nothing, follows: blanks, then the end or '#'. */
static bool rest_is_comment(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;

    while (p < end && is_blank(*p)) {
        p++;
    }
    return p == end || (p > start && *p == '#');
}

/* The value within quotes: up to the first '"' that nothing but a comment follows, so that quotes
 * inside a value need no escape, as in coturn. */
static void value_quoted(struct line *line, const uint8_t *p, const uint8_t *end)
{
    line->quoted = true;
    p++;
    for (const uint8_t *q = p; q < end; q++) {
        if (*q == '"' && rest_is_comment(q + 1, end)) {
            line->value = (struct bytes){p, (size_t)(q - p)};
            return;
        }
    }
    line->unclosed = true;
    line->value = trim((struct bytes){p, (size_t)(end - p)});
}

static void value_plain(struct line *line, const uint8_t *p, const uint8_t *end, bool after_blank)
{
    for (const uint8_t *q = p; q < end; q++) {
        if (*q == '#' && (q == p ? after_blank : is_blank(q[-1]))) {
            line->commented = true;
            end = q;
        }
    }
    line->value = trim((struct bytes){p, (size_t)(end - p)});
    line->has_value = line->value.n > 0 || !after_blank;
}

static struct line line_split(struct bytes text)
{
    struct line line = {.has_value = false};
    const uint8_t *end = text.p + text.n;
    const uint8_t *p = text.p;

    while (p < end && !is_blank(*p) && *p != '=') {
        p++;
    }
    line.name = (struct bytes){text.p, (size_t)(p - text.p)};
    line.value = (struct bytes){p, 0};
    bool equals = false;
    while (p < end && (is_blank(*p) || *p == '=')) {
        equals = equals || *p == '=';
        p++;
    }
    if (p < end && *p == '"') {
        line.has_value = true;
        value_quoted(&line, p, end);
    } else if (p < end) {
        value_plain(&line, p, end, is_blank(p[-1]));
    }
    line.has_value = line.has_value || equals;
    return line;
}

/* `name;` alone: the ';' is no part of the name. */
static void name_semicolon(struct reader *r, struct line *line)
{
    if (!line->has_value && line->name.n > 1 && line->name.p[line->name.n - 1] == ';') {
        const struct conf_place place = place_at(r, line->name.p + line->name.n - 1);

        conf_say(r->conf, CONF_WARNING, &place, "the ';' is left out: lines do not end with one");
        line->name.n--;
    }
}

static void unknown_tell(struct reader *r, const struct line *line)
{
    const char *nearest = conf_option_nearest(line->name);
    const struct conf_place place = place_at(r, line->name.p);
    const struct conf_shown name = conf_show(line->name);

    if (nearest != NULL) {
        conf_say(r->conf, CONF_WARNING, &place,
                 "there is no option '%s', so this line has no effect; is '%s' meant?", name.text,
                 nearest);
    } else {
        conf_say(r->conf, CONF_WARNING, &place,
                 "there is no option '%s', so this line has no effect", name.text);
    }
}

/* Tell what may surprise in how the value was cut out of the line. */
static void value_tell(struct reader *r, const struct line *line, enum conf_opt opt)
{
    const struct conf_option *option = &conf_options[opt];
    const struct conf_place place = place_at(r, line->value.p);

    if (line->unclosed) {
        conf_say(r->conf, CONF_WARNING, &place, "the '\"' before the value of '%s' is not closed",
                 option->name);
    }
    if (line->commented && (option->attributes & CONF_SECRET) != 0) {
        conf_say(r->conf, CONF_WARNING, &place,
                 "the text from ' #' on is taken as a comment; if it belongs to the value of '%s', "
                 "put the value in double quotes",
                 option->name);
    }
    if (!line->quoted && line->value.n > 1 && line->value.p[0] == '\'') {
        conf_say(r->conf, CONF_WARNING, &place,
                 "the single quotes are taken as a part of the value of '%s'; only double quotes "
                 "enclose one",
                 option->name);
    }
}

static void option_line(struct reader *r, struct line *line)
{
    const struct conf_alias *alias;
    enum conf_opt opt;

    name_semicolon(r, line);
    if (conf_option_find(line->name, &opt, &alias) < 0) {
        unknown_tell(r, line);
        return;
    }
    value_tell(r, line, opt);
    const struct conf_given given = {
        .written = alias != NULL ? alias->name : conf_options[opt].name,
        .value = line->value,
        .has_value = line->has_value,
        .place = place_at(r, line->has_value ? line->value.p : line->name.p),
    };
    conf_give(r->conf, opt, alias, &given);
}

static void section_line(struct reader *r, const struct line *line)
{
    if (r->section == NULL) { /* below a header that was no good */
        return;
    }
    const struct conf_given given = {
        .value = line->value,
        .has_value = line->has_value,
        .place = place_at(r, line->has_value ? line->value.p : line->name.p),
    };
    conf_section_pair(r->conf, r->section, line->name, &given);
}

static void one_line(struct reader *r, struct bytes raw)
{
    const struct bytes text = trim(raw);

    r->begin = raw.p;
    if (text.n == 0 || text.p[0] == '#') {
        return;
    }
    const struct conf_place place = place_at(r, text.p);
    if (raw.n > CONF_LINE_MAX) {
        conf_say(r->conf, CONF_ERROR, &place, "the line has %zu bytes, but may have %d at most",
                 raw.n, CONF_LINE_MAX);
        return;
    }
    const uint8_t *nul = memchr(text.p, 0, text.n);
    if (nul != NULL) {
        const struct conf_place at = place_at(r, nul);

        conf_say(r->conf, CONF_ERROR, &at,
                 "there is a zero byte: the file must be plain text (UTF-8, not UTF-16)");
        return;
    }
    if (text.p[0] == '[') {
        r->section = conf_section_begin(r->conf, text, &place);
        r->in_section = true;
        return;
    }
    struct line line = line_split(text);
    if (line.name.n == 0) {
        conf_say(r->conf, CONF_ERROR, &place, "there is no option name before the '='");
    } else if (r->in_section) {
        name_semicolon(r, &line);
        section_line(r, &line);
    } else {
        option_line(r, &line);
    }
}

int conf_load_memory(struct conf *conf, const char *name, const char *text, size_t len)
{
    const size_t errors = conf->severity_count[CONF_ERROR];
    struct reader r = {.conf = conf};
    const uint8_t *p = (const uint8_t *)text;
    const uint8_t *end = p + len;

    r.place.source = CONF_FROM_FILE;
    r.place.file = conf_name_keep(conf, name);
    if (r.place.file == NULL) {
        return -ENOMEM;
    }
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark of Windows */
        p += 3;
    }
    while (p < end && !conf->no_memory) {
        const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));
        const uint8_t *stop = eol != NULL ? eol : end;

        r.place.line++;
        one_line(&r, (struct bytes){p, (size_t)(stop - p)});
        p = eol != NULL ? eol + 1 : end;
    }
    return conf_result(conf, errors);
}

static char *buffer_grow(char *old, size_t len, size_t cap)
{
    char *grown = mem_new(1, cap);

    if (old != NULL && grown != NULL) {
        memcpy(grown, old, len);
    }
    if (old != NULL) {
        secret_wipe(old, len);
        free(old);
    }
    return grown;
}

static int fd_read_all(int fd, size_t max, char **out, size_t *out_len)
{
    size_t cap = 16384;
    size_t len = 0;
    ssize_t got = 0;
    char *text = buffer_grow(NULL, 0, cap);

    while (text != NULL) {
        got = read(fd, text + len, cap - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || len + (size_t)got > max) {
            break;
        }
        len += (size_t)got;
        if (len == cap) {
            cap *= 2;
            text = buffer_grow(text, len, cap);
        }
    }
    if (text == NULL) {
        return -ENOMEM;
    }
    if (got != 0) {
        const int error = got < 0 ? errno : EFBIG;

        secret_wipe(text, cap);
        free(text);
        return -error;
    }
    *out = text;
    *out_len = len;
    return 0;
}

int conf_read_file(const char *path, size_t max, char **out, size_t *out_len)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    const int result = fd_read_all(fd, max, out, out_len);
    (void)close(fd);
    return result;
}

int conf_load_file(struct conf *conf, const char *path)
{
    const size_t errors = conf->severity_count[CONF_ERROR];
    char *text = NULL;
    size_t len = 0;
    const int result = conf_read_file(path, CONF_FILE_MAX, &text, &len);

    if (result == -ENOMEM) {
        return result;
    }
    if (result < 0) {
        conf_say(conf, CONF_ERROR, NULL, "cannot read the configuration file %s: %s", path,
                 strerror(-result));
        return conf_result(conf, errors);
    }
    const int loaded = conf_load_memory(conf, path, text, len);
    if (conf->main_file == NULL) {
        conf->main_file = conf_name_keep(conf, path);
    }
    secret_wipe(text, len);
    free(text);
    return loaded;
}
