/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_page.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "log/escape.h"

#define DASH        "\xe2\x80\x93"
#define REPLACEMENT "\xef\xbf\xbd"
#define MICRO       "\xc2\xb5"

/* What a character of HTML's own is written as; NULL for one that stands for itself. */
static const char *reference_of(uint32_t c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\n':
    case '\t':
        return " ";
    default:
        /* C0, DEL and C1 are no characters of HTML; the marks that turn the direction of writing
         * would let a name rearrange the line it stands in. */
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
            (c >= 0x2066 && c <= 0x2069)) {
            return REPLACEMENT;
        }
        return NULL;
    }
}

void bench_page_text(FILE *out, const char *text)
{
    struct bytes rest = bytes_of(text == NULL ? "" : text);

    while (rest.n > 0) {
        uint32_t c = 0;
        size_t n = escape_utf8(rest, &c);
        const char *reference = n == 0 ? REPLACEMENT : reference_of(c);

        n = n == 0 ? 1 : n;
        if (reference != NULL) {
            fputs(reference, out);
        } else {
            fwrite(rest.p, 1, n, out);
        }
        rest = (struct bytes){rest.p + n, rest.n - n};
    }
}

/* Beyond this no digit after the comma is left, and no room for the commas. */
#define PLAIN_MAX 1e15

struct bench_page_figure bench_page_number(double value, int digits)
{
    struct bench_page_figure figure = {DASH};
    char plain[BENCH_PAGE_FIGURE];

    if (!isfinite(value)) {
        return figure;
    }
    if (fabs(value) >= PLAIN_MAX) {
        snprintf(figure.text, sizeof(figure.text), "%.3g", value);
        return figure;
    }
    const int n = snprintf(plain, sizeof(plain), "%.*f", digits, value);
    const int whole = n - (digits > 0 ? digits + 1 : 0);
    size_t len = 0;
    for (int i = 0; i < n && len + 2 < sizeof(figure.text); i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0 && plain[i - 1] != '-') {
            figure.text[len++] = ',';
        }
        figure.text[len++] = plain[i];
    }
    figure.text[len] = '\0';
    return figure;
}

/* How many decimals leave about three significant digits. */
static int digits_of(double value)
{
    if (value >= 99.95) {
        return 0;
    }
    return value >= 9.995 ? 1 : 2;
}

static const struct {
    double from_us; /* what would be shown as 1,000 of the next unit is shown as 1 of this one */
    double one_us;
    const char *name;
} units[] = {{999500, 1e6, "s"}, {999.5, 1e3, "ms"}, {0, 1, MICRO "s"}};

struct bench_page_figure bench_page_time(double us)
{
    struct bench_page_figure figure = {DASH};

    if (!isfinite(us) || us < 0) {
        return figure;
    }
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (us >= units[i].from_us) {
            const double value = us / units[i].one_us;
            /* Whole microseconds are what is measured. */
            const int digits = units[i].from_us == 0 && us == floor(us) ? 0 : digits_of(value);
            snprintf(figure.text, sizeof(figure.text), "%.25s\xc2\xa0%s",
                     bench_page_number(value, digits).text, units[i].name);
            break;
        }
    }
    return figure;
}

struct bench_page_figure bench_page_short_time(double us)
{
    struct bench_page_figure figure = {DASH};

    for (size_t i = 0; i < ARRAY_SIZE(units) && isfinite(us); i++) {
        if (us >= units[i].from_us) {
            snprintf(figure.text, sizeof(figure.text), "%.3g\xc2\xa0%s", us / units[i].one_us,
                     units[i].name);
            break;
        }
    }
    return figure;
}

struct bench_page_figure bench_page_short(double value)
{
    static const struct {
        double one;
        const char *letter;
    } scales[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};
    struct bench_page_figure figure = {DASH};

    if (!isfinite(value)) {
        return figure;
    }
    for (size_t i = 0; i < ARRAY_SIZE(scales); i++) {
        /* %g rounds to six digits: 999,999.9 is to become 1M rather than 1e+06. */
        if (fabs(value) >= scales[i].one * (1 - 1e-6) || i + 1 == ARRAY_SIZE(scales)) {
            snprintf(figure.text, sizeof(figure.text), "%.4g%s", value / scales[i].one,
                     scales[i].letter);
            break;
        }
    }
    return figure;
}
