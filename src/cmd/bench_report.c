/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "cmd/bench_report_int.h"

/* No script can run and nothing is fetched, whatever a text of the result might hold. */
static void put_head(FILE *out, const struct bench_result *result)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'; img-src data:\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
          "<meta name=\"generator\" content=\"sterna bench ",
          out);
    bench_page_text(out, result->version);
    fputs("\">\n<link rel=\"icon\" href=\"data:,\">\n<title>sterna bench: ", out);
    bench_page_text(out, result->setup.target);
    fputs("</title>\n<style>\n", out);
    fputs(bench_report_style, out);
    fputs("</style>\n</head>\n", out);
}

/* What was measured, in a sentence. */
static void put_lead(FILE *out, const struct bench_result *result)
{
    const struct bench_setup *setup = &result->setup;

    fputs("<header><h1>", out);
    bench_page_text(out, setup->target);
    fprintf(out, "</h1>\n<p class=\"lead\">%s client%s over %s; ",
            bench_page_number(setup->clients, 0).text, setup->clients == 1 ? "" : "s",
            bench_report_transports[setup->transport]);
    if (setup->mix == BENCH_ALLOC) {
        fputs("allocations made and deleted, over and over", out);
    } else {
        fprintf(out, "%s, %s bytes a packet, %s, in %s", bench_mix_name(setup->mix),
                bench_page_number(setup->packet_bytes, 0).text, setup->flat ? "flat out" : "paced",
                setup->indications ? "indications" : "ChannelData");
    }
    fprintf(out, "; %s s, begun at ", bench_page_number(result->load_s, 1).text);
    bench_page_text(out, result->date);
    fputs("</p>\n", out);
}

static void put_notice(FILE *out, const char *kind, const char *text)
{
    fprintf(out, "<p class=\"say%s\" role=\"note\">", kind);
    bench_page_text(out, text);
    fputs("</p>\n", out);
}

/* What the reader has to know before the figures. */
static void put_notices(FILE *out, const struct bench_result *result)
{
    const struct bench_alloc_total *alloc = &result->alloc;
    char text[BENCH_WHY + 128];

    if (!result->ok) {
        put_notice(out, " bad", result->why);
    }
    if (alloc->failed > 0 && (result->ok || strstr(result->why, alloc->failure) == NULL)) {
        snprintf(text, sizeof(text), "%s of %s clients failed. The first one: %s",
                 bench_page_number(alloc->failed, 0).text, bench_page_number(alloc->wanted, 0).text,
                 alloc->failure);
        put_notice(out, " bad", text);
    }
    for (unsigned bit = 1; bit <= BENCH_CAVEAT_LIMITED; bit <<= 1) {
        if ((result->caveats & bit) != 0) {
            put_notice(out, "", bench_caveat_text((enum bench_caveat)bit));
        }
    }
    fputs("</header>\n", out);
}

static void put_page(FILE *out, const struct bench_result *result,
                     struct bench_report_course *course)
{
    bench_report_course_fill(course, result);
    put_head(out, result);
    fputs("<body>\n", out);
    put_lead(out, result);
    put_notices(out, result);
    fputs("<main>\n", out);
    bench_report_headline(out, result);
    bench_report_plots(out, result, course);
    bench_report_tables(out, result);
    bench_report_seconds(out, result, course);
    fputs("</main>\n<footer>Latency is the time from sending to receiving, read from one clock. "
          "Packets and bytes are those of the payload. Jitter as in RFC 3550 section 6.4.1. "
          "Percentiles are at most 3.1 % above the true value.</footer>\n"
          "</body>\n</html>\n",
          out);
}

/* The page in memory, on the heap; 0, or -ENOMEM. */
static int page_of(const struct bench_result *result, char **out_text, size_t *out_size)
{
    struct bench_report_course *course = mem_new(1, sizeof(*course));
    char *text = NULL;
    size_t size = 0;
    FILE *out = course == NULL ? NULL : open_memstream(&text, &size);
    int err = -ENOMEM;

    if (out != NULL) {
        put_page(out, result, course);
        const bool failed = ferror(out) != 0;
        err = fclose(out) != 0 || failed ? -ENOMEM : 0;
    }
    free(course);
    if (err < 0) {
        free(text);
        return err;
    }
    *out_text = text;
    *out_size = size;
    return 0;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(fd, text, size);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        text += n < 0 ? 0 : n;
        size -= n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static int file_replace(const char *path, const char *text, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0) {
        return -errno;
    }
    const int err = write_all(fd, text, size);
    /* A full disk may show only here. */
    return close(fd) < 0 && err == 0 ? -errno : err;
}

int bench_report_write(const struct bench_result *result, const char *path, char *why, size_t cap)
{
    char *text = NULL;
    size_t size = 0;
    int err = page_of(result, &text, &size);

    if (err == 0) {
        err = file_replace(path, text, size);
        free(text);
    }
    if (err < 0) {
        snprintf(why, cap, "cannot write the report %s: %s", path, strerror(-err));
    }
    return err;
}
