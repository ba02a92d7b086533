/* SPDX-License-Identifier: Apache-2.0 */
/* The generated references.  STERNA_UPDATE=1 in the environment writes docs/reference/options.md.
 */
#include "conf/conf_table.h"
#include "conf_tests.h"

static const char options_md[] = SOURCE_ROOT "/docs/reference/options.md";

static char *file_read(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = NULL;
    size_t len = 0;

    if (in == NULL) {
        return NULL;
    }
    if (getdelim(&text, &len, 0, in) < 0) {
        free(text);
        text = NULL;
    }
    (void)fclose(in);
    return text;
}

static void markdown__is_what_the_repository_holds(void **state)
{
    char *wanted = conf_written(conf_write_markdown);

    (void)state;
    if (getenv("STERNA_UPDATE") != NULL) {
        FILE *out = fopen(options_md, "w");

        assert_non_null(out);
        assert_true(fputs(wanted, out) >= 0);
        assert_int_equal(fclose(out), 0);
    }
    char *held = file_read(options_md);
    if (held == NULL || strcmp(held, wanted) != 0) {
        fail_msg("docs/reference/options.md is stale: run this test with STERNA_UPDATE=1");
    }
    free(held);
    free(wanted);
}

/* True when `text` holds `name` with one of `after` behind it. */
static bool holds(const char *text, const char *name, const char *after)
{
    for (const char *p = strstr(text, name); p != NULL; p = strstr(p + 1, name)) {
        if (strchr(after, p[strlen(name)]) != NULL) {
            return true;
        }
    }
    return false;
}

static void references__name_every_option(void **state)
{
    char *markdown = conf_written(conf_write_markdown);
    char *help = conf_written(conf_write_help);
    char *man = conf_written(conf_write_man_conf);

    (void)state;
    for (int i = 0; i < CONF_OPTIONS; i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "| `%s`", conf_options[i].name);
        assert_true(holds(markdown, name, " "));
        (void)snprintf(name, sizeof(name), " --%s", conf_options[i].name);
        assert_int_equal(holds(help, name, " =\n"), conf_options[i].status == CONF_ACTIVE);
    }
    for (size_t i = 0; i < conf_key_count; i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "| `%s`", conf_keys[i].option.name);
        assert_true(holds(markdown, name, " ,"));
    }
    assert_non_null(strstr(man, "\n.SS [tls \\(dqNAME\\(dq]\n"));
    assert_non_null(strstr(man, "\n.B key\\-password \\fR(pkey\\-pwd)\n"));
    assert_non_null(strstr(man, ".B listening\\-port \\fR(\\-p)\n"));
    assert_non_null(strstr(help, "\n  -p, --listening-port=VALUE"));
    free(markdown);
    free(man);
    free(help);
}

static void help__fits_the_terminal(void **state)
{
    char *help = conf_written(conf_write_help);

    (void)state;
    for (char *line = strtok(help, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strlen(line) > 100) {
            fail_msg("too wide: %s", line);
        }
    }
    free(help);
}

static void man__has_no_stray_requests(void **state)
{
    static const char *const requests[] = {".\\\"", ".TH", ".SH", ".SS", ".PP", ".TP",
                                           ".B ",   ".BR", ".nf", ".fi", ".RS", ".RE"};
    char *man = conf_written(conf_write_man_conf);

    (void)state;
    for (char *line = strtok(man, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        bool known = line[0] != '.' && line[0] != '\'';

        for (size_t i = 0; i < COUNT_OF(requests); i++) {
            known = known || strncmp(line, requests[i], strlen(requests[i])) == 0;
        }
        if (!known) {
            fail_msg("stray request: %s", line);
        }
    }
    free(man);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markdown__is_what_the_repository_holds),
        cmocka_unit_test(references__name_every_option),
        cmocka_unit_test(help__fits_the_terminal),
        cmocka_unit_test(man__has_no_stray_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
