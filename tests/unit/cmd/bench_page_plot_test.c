/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_page_plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { PLACES = 5, WIDTH = 600, LETTER = 8 };

static const double x[PLACES] = {0.5, 1.5, 2.5, 3.5, 4.5};
static const double edge[PLACES + 1] = {0, 1, 2, 3, 4, 5};
static double y[PLACES];
static struct bench_page_plot plot;
static char *text;

static struct bench_page_figure plain(double value)
{
    return bench_page_number(value, 1);
}

static int setup(void **state)
{
    (void)state;
    plot = (struct bench_page_plot){
        .id = "one",
        .title = "A <title>",
        .says = "It \"says\" something",
        .x_title = "seconds",
        .y_title = "packets/s",
        .x_axis = bench_page_axis_seconds(5),
        .y_axis = bench_page_axis_amount(10, ""),
        .x_text = plain,
        .y_text = plain,
        .x = x,
        .edge = edge,
        .n = PLACES,
        .lines = 1,
        .line = {{"sent & received", y, BENCH_PAGE_SOLID, 2}},
    };
    for (size_t i = 0; i < PLACES; i++) {
        y[i] = (double)i;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static void draw(void)
{
    size_t size = 0;

    free(text);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    bench_page_plot_write(out, &plot);
    assert_int_equal(fclose(out), 0);
}

static size_t count_of(const char *what)
{
    size_t count = 0;

    for (const char *c = strstr(text, what); c != NULL; c = strstr(c + 1, what)) {
        count++;
    }
    return count;
}

/* The path of the first line, up to its closing quote. */
static const char *line_path(void)
{
    static char path[512];
    const char *const in_plot = strstr(text, "role=\"img\"");
    const char *const element = strstr(in_plot, "<path class=\"line c2\" d=\"");

    assert_non_null(element);
    snprintf(path, sizeof(path), "%s", strstr(element, "d=\"") + 3);
    path[strcspn(path, "\"")] = '\0';
    return path;
}

static void write__names_what_it_shows(void **state)
{
    (void)state;
    draw();
    assert_non_null(strstr(text, "<figure id=\"one\">"));
    assert_non_null(strstr(text, "<title id=\"one-title\">A &lt;title&gt;</title>"));
    assert_non_null(strstr(text, "<desc id=\"one-says\">It &quot;says&quot; something</desc>"));
    assert_non_null(strstr(text, "aria-labelledby=\"one-title one-says\""));
    assert_non_null(strstr(text, "sent &amp; received</span>"));
    assert_non_null(strstr(text, "<title>1.0 \xe2\x80\x93 2.0: sent &amp; received 1.0</title>"));
    assert_int_equal(count_of("class=\"hint\""), PLACES);
}

static void line__goes_through_every_value(void **state)
{
    (void)state;
    draw();
    assert_string_equal(line_path(),
                        "M110.2 206.0L214.6 189.0L319.0 172.0L423.4 155.0L527.8 138.0");
}

static void line__has_gaps_and_dots(void **state)
{
    (void)state;
    y[1] = y[3] = (double)NAN;
    draw();
    assert_string_equal(line_path(), "M110.2 206.0h0.01M319.0 172.0h0.01M527.8 138.0h0.01");
    y[0] = y[2] = y[4] = (double)INFINITY;
    draw();
    assert_string_equal(line_path(), "");
}

static void line__stays_in_the_picture(void **state)
{
    (void)state;
    y[0] = -1e300;
    y[1] = 1e300;
    y[2] = y[3] = y[4] = 0;
    draw();
    assert_string_equal(line_path(), "M110.2 206.0L214.6 36.0L319.0 206.0L423.4 206.0L527.8 206.0");
}

static void area__is_closed_and_steps_at_edges(void **state)
{
    (void)state;
    plot.line[0].style = BENCH_PAGE_AREA;
    y[1] = (double)NAN;
    draw();
    assert_non_null(strstr(text, "d=\"M58.0 206V206.0H162.4V206.0H266.8V172.0H371.2V155.0H475.6"
                                 "V138.0H580.0V206Z\""));
}

static void write__of_nothing_has_axes(void **state)
{
    (void)state;
    plot.n = 0;
    for (int style = BENCH_PAGE_SOLID; style <= BENCH_PAGE_AREA; style++) {
        plot.line[0].style = (enum bench_page_style)style;
        draw();
        assert_true(count_of("class=\"grid\"") > 1);
        assert_int_equal(count_of("class=\"hint\""), 0);
    }
}

/* Where the texts of marks stand, and how many there are. */
static size_t marks_of(double middle[BENCH_PAGE_MARKS])
{
    static const char start[] = "<text class=\"mark\" x=\"";
    size_t n = 0;

    for (const char *c = strstr(text, start); c != NULL; c = strstr(c + 1, start)) {
        middle[n++] = strtod(c + strlen(start), NULL);
    }
    return n;
}

static void marks__do_not_overlap(void **state)
{
    static const double places[] = {0, 0.1, 2.5, 4.9, 5};
    static const char name[] = "p99.9 1,234 ms";
    const double width = (double)strlen(name) * LETTER;
    double middle[BENCH_PAGE_MARKS];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        for (size_t k = 0; k < BENCH_PAGE_MARKS; k++) {
            plot.mark[k] = (struct bench_page_mark){places[i], name};
        }
        draw();
        assert_int_equal(marks_of(middle), BENCH_PAGE_MARKS);
        assert_true(middle[0] - width / 2 >= 0);
        assert_true(middle[2] + width / 2 <= WIDTH);
        assert_true(middle[1] - middle[0] >= width && middle[2] - middle[1] >= width);
    }
}

static void marks__without_a_place_are_left_out(void **state)
{
    double middle[BENCH_PAGE_MARKS];

    (void)state;
    plot.mark[1] = (struct bench_page_mark){(double)NAN, "none"};
    plot.mark[2] = (struct bench_page_mark){2, "<p50>"};
    draw();
    assert_int_equal(marks_of(middle), 1);
    assert_non_null(strstr(text, "&lt;p50&gt;</text>"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(write__names_what_it_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(line__goes_through_every_value, setup, teardown),
        cmocka_unit_test_setup_teardown(line__has_gaps_and_dots, setup, teardown),
        cmocka_unit_test_setup_teardown(line__stays_in_the_picture, setup, teardown),
        cmocka_unit_test_setup_teardown(area__is_closed_and_steps_at_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(write__of_nothing_has_axes, setup, teardown),
        cmocka_unit_test_setup_teardown(marks__do_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(marks__without_a_place_are_left_out, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
