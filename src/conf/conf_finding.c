/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "conf/conf_int.h"

void conf_say_args(struct conf *conf, enum conf_severity severity, const struct conf_place *place,
                   const char *format, va_list args)
{
    conf->severity_count[severity]++; /* the count holds even where no room is left for the text */
    if (conf->finding_count >= CONF_FINDINGS_MAX ||
        !conf_room(conf, &conf->findings, conf->finding_count, sizeof(*conf->findings))) {
        return;
    }
    struct conf_finding *finding = &conf->findings[conf->finding_count++];
    *finding = (struct conf_finding){.severity = severity};
    if (place != NULL) {
        finding->file = place->file;
        finding->line = place->line;
        finding->column = place->column;
    }
    (void)vsnprintf(finding->text, sizeof(finding->text), format, args); /* long ones are cut */
}

void conf_say(struct conf *conf, enum conf_severity severity, const struct conf_place *place,
              const char *format, ...)
{
    va_list args;

    va_start(args, format);
    conf_say_args(conf, severity, place, format, args);
    va_end(args);
}

struct conf_place conf_place_of(const struct conf *conf, enum conf_opt opt)
{
    return (struct conf_place){
        .source = conf->origin[opt].source,
        .file = conf->origin[opt].file,
        .line = conf->origin[opt].line,
        .column = conf->origin[opt].column,
    };
}

struct conf_shown conf_show(struct bytes text)
{
    struct conf_shown shown;
    const size_t most = 80;
    size_t len = 0;

    while (len < text.n && len < most) {
        const unsigned char c = text.p[len];
        shown.text[len++] = (char)(iscntrl(c) ? '?' : c); /* a terminal must not obey it */
    }
    memcpy(shown.text + len, text.n > most ? "..." : "", text.n > most ? 4 : 1);
    return shown;
}

int conf_result(const struct conf *conf, size_t errors_before)
{
    if (conf->no_memory) {
        return -ENOMEM;
    }
    return conf->severity_count[CONF_ERROR] > errors_before ? -EINVAL : 0;
}

const char *conf_severity_text(enum conf_severity severity)
{
    static const char *const words[] = {
        [CONF_NOTE] = "note", [CONF_WARNING] = "warning", [CONF_ERROR] = "error"};

    return words[severity];
}

static void finding_write(const struct conf_finding *finding, FILE *out)
{
    if (finding->file != NULL) {
        (void)fputs(finding->file, out);
        if (finding->line > 0) {
            (void)fprintf(out, ":%u", finding->line);
        }
        if (finding->column > 0) {
            (void)fprintf(out, ":%u", finding->column);
        }
        (void)fputs(": ", out);
    }
    (void)fprintf(out, "%s: %s\n", conf_severity_text(finding->severity), finding->text);
}

void conf_findings_write(const struct conf *conf, FILE *out, enum conf_severity least)
{
    size_t all = 0;

    for (size_t i = 0; i < conf->finding_count; i++) {
        if (conf->findings[i].severity >= least) {
            finding_write(&conf->findings[i], out);
        }
    }
    for (int i = CONF_NOTE; i <= CONF_ERROR; i++) {
        all += conf->severity_count[i];
    }
    if (all > conf->finding_count) {
        (void)fprintf(out, "%s: %zu more findings are not shown: mend these first\n",
                      conf_severity_text(CONF_NOTE), all - conf->finding_count);
    }
}
