/* SPDX-License-Identifier: Apache-2.0 */
/* Mode connect: connect, shake hands, one Binding, close; over and over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/bytes.h"
#include "stream_load.h"

enum { WARM_MS = 500, EVENTS = 64, STUCK_MS = 5000, WAIT_MS = 100 };

struct attempt {
    struct stream_conn conn;
    bool connected;
    uint64_t begun_ms;
};

struct attempts {
    struct stream_load *load;
    struct attempt *a;
    int epoll;
    uint32_t begun; /* counts, so that sources take turns */
    uint64_t done;
    uint64_t resumed;
    uint64_t failed;
    SSL_SESSION *session; /* the last one that was given */
};

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct attempts *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    SSL_SESSION_free(s->session);
    s->session = session;
    return 1; /* taken */
}

static void begin(struct attempts *s, uint32_t i)
{
    struct attempt *a = &s->a[i];
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = i};

    *a = (struct attempt){.begun_ms = meter_now_ms()};
    stream_conn_open(&a->conn, stream_load_client_ip(s->load, s->begun++), s->load->server,
                     s->load->context, false);
    if (s->load->resume && s->session != NULL && SSL_set_session(a->conn.ssl, s->session) != 1) {
        stream_conn_die("SSL_set_session");
    }
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, a->conn.fd, &event) < 0) {
        stream_conn_die("epoll_ctl");
    }
}

static void again(struct attempts *s, uint32_t i, bool good)
{
    struct attempt *a = &s->a[i];

    s->done += good;
    s->failed += !good;
    s->resumed += good && a->conn.ssl != NULL && SSL_session_reused(a->conn.ssl) == 1;
    stream_conn_close(&a->conn);
    begin(s, i);
}

/* Connected and ready: ask.  False when that fails. */
static bool ask(struct attempt *a)
{
    uint8_t binding[20];

    a->connected = true;
    stream_turn_binding(binding);
    return stream_conn_write(&a->conn, binding, sizeof(binding)) == (ssize_t)sizeof(binding);
}

static void advance(struct attempts *s, uint32_t i, uint32_t events)
{
    struct attempt *a = &s->a[i];
    uint8_t answer[512];

    if (!a->connected) {
        const int result =
            a->conn.ssl == NULL && (events & EPOLLOUT) == 0 ? 0 : stream_conn_advance(&a->conn);
        if (result < 0 || (result > 0 && !ask(a))) {
            again(s, i, false);
        }
        if (result <= 0) {
            return;
        }
    }
    const ssize_t n = stream_conn_read(&a->conn, answer, sizeof(answer));
    if (n != 0) {
        again(s, i, n >= 20 && be16(answer) == 0x0101);
    }
}

/* What does not move must not take a place for ever. */
static void give_up_stuck(struct attempts *s)
{
    const uint64_t now = meter_now_ms();

    for (uint32_t i = 0; i < s->load->outstanding; i++) {
        if (now - s->a[i].begun_ms > STUCK_MS) {
            again(s, i, false);
        }
    }
}

static void run_until(struct attempts *s, uint64_t end_ms)
{
    struct epoll_event events[EVENTS];

    while (meter_now_ms() < end_ms) {
        const int n = epoll_wait(s->epoll, events, EVENTS, WAIT_MS);
        for (int i = 0; i < n; i++) {
            advance(s, events[i].data.u32, events[i].events);
        }
        give_up_stuck(s);
    }
}

static void prepare_sessions(struct attempts *s)
{
    SSL_CTX *context = s->load->context;

    if (context != NULL) {
        (void)SSL_CTX_set_app_data(context, s);
        (void)SSL_CTX_set_session_cache_mode(context,
                                             SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, on_session);
    } else if (s->load->resume) {
        stream_conn_die("--resume is for --tls");
    }
}

static void print(const struct attempts *s, const struct attempts *before, struct meter_reading r)
{
    const double done = (double)(s->done - before->done);

    (void)printf("{\"per_cpu_s\": %.1f, \"cpu_us\": %.2f, \"per_s\": %.0f, \"cpu_share\": %.3f, "
                 "\"resumed\": %.3f, \"failed\": %llu, \"strangers\": %.3f}\n",
                 meter_per(done, r.cpu_s), meter_per(r.cpu_s * 1e6, done), done / r.seconds,
                 r.cpu_s / r.seconds, meter_per((double)(s->resumed - before->resumed), done),
                 (unsigned long long)(s->failed - before->failed), r.strangers);
}

void stream_connect_run(struct stream_load *l)
{
    static struct attempts s;

    s.load = l;
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    s.a = calloc(l->outstanding, sizeof(*s.a));
    if (s.epoll < 0 || s.a == NULL) {
        stream_conn_die("no memory");
    }
    prepare_sessions(&s);
    frame_enter(l->client_ns);
    for (uint32_t i = 0; i < l->outstanding; i++) {
        begin(&s, i);
    }
    run_until(&s, meter_now_ms() + WARM_MS);
    const struct attempts before = s;
    meter_start(&l->meter);
    run_until(&s, meter_now_ms() + l->seconds * 1000U);
    print(&s, &before, meter_read(&l->meter));
}
