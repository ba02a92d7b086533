/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "io/clock.h"
#include "log/log.h"
#include "relay/dispatcher.h"
#include "relay/external.h"
#include "relay/relay_ports.h"
#include "relay/server_int.h"
#include "relay/watchdog.h"

/* --- telling -------------------------------------------------------------------------------------
 */

void relay_server_stats(const struct relay_server *s, struct relay_stats *out)
{
    memset(out, 0, sizeof(*out));
    kernel_path_read(s->kernel_path, &out->offload);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        if (s->workers[i] != NULL) {
            worker_add_stats(s->workers[i], out);
        }
    }
    if (s->dispatcher != NULL) {
        struct dispatcher_numbers numbers;

        dispatcher_read(s->dispatcher, &numbers);
        out->dispatched = numbers.packets;
        out->dispatch_dropped = numbers.dropped;
        out->rx_packets += numbers.packets + numbers.dropped;
        out->rx_overflow += numbers.overflow;
    }
}

static void tell_stall(unsigned worker, enum watchdog_news news)
{
    switch (news) {
    case WATCHDOG_SLOW:
        log_event(LOG_WARNING, "worker.slow", LOG_U64("worker", worker),
                  LOG_TEXT("what", "one turn has taken two seconds"), LOG_END);
        break;
    case WATCHDOG_STUCK:
        log_event(LOG_ERROR, "worker.stuck", LOG_U64("worker", worker),
                  LOG_TEXT("what", "one turn has taken ten seconds: its clients are not served"),
                  LOG_END);
        break;
    case WATCHDOG_OVER:
        log_event(LOG_NOTICE, "worker.goes_on", LOG_U64("worker", worker), LOG_END);
        break;
    case WATCHDOG_NOTHING:
    default:
        break;
    }
}

void server_watch_workers(struct relay_server *s)
{
    const uint64_t now_ms = clock_now_ms();

    for (uint32_t i = 0; i < s->worker_count; i++) {
        tell_stall(i, watchdog_look(&s->watchdogs[i], worker_busy_since(s->workers[i]), now_ms));
    }
}

enum { NUMBERS_MS = 60 * 1000 };

void server_tell_numbers(struct relay_server *s, uint64_t now_ms)
{
    struct relay_stats stats;

    if (now_ms - s->numbers_ms < NUMBERS_MS) {
        return;
    }
    s->numbers_ms = now_ms;
    relay_server_stats(s, &stats);
    if (memcmp(&stats.streams, &s->told, sizeof(stats.streams)) == 0 &&
        memcmp(stats.offload.of, s->told_offload.of, sizeof(stats.offload.of)) == 0 &&
        stats.offload.channels == s->told_offload.channels &&
        stats.rx_overflow + stats.tx_full == s->told_lost) {
        return;
    }
    s->told = stats.streams;
    s->told_offload = stats.offload;
    s->told_lost = stats.rx_overflow + stats.tx_full;
    relay_server_log_numbers(s);
}

static NOINLINE void log_workers(const struct relay_server *s)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct relay_stats own = {0};

        if (s->workers[i] == NULL) {
            continue;
        }
        worker_add_stats(s->workers[i], &own);
        log_event(LOG_INFO, "worker.numbers", LOG_U64("worker", i),
                  LOG_U64("received", own.rx_packets), LOG_U64("sent", own.tx_packets),
                  LOG_U64("allocations", own.allocations), LOG_U64("moved_in", own.moved_in),
                  LOG_END);
    }
}

void relay_server_log_numbers(const struct relay_server *s)
{
    struct relay_stats stats;

    log_workers(s);
    relay_server_stats(s, &stats);
    const uint64_t *forwarded = stats.offload.of;
    const struct relay_stream_stats *n = &stats.streams;
    log_event(
        LOG_INFO, "packets.count", LOG_U64("received", stats.rx_packets),
        LOG_U64("sent", stats.tx_packets), LOG_U64("rx_overflow", stats.rx_overflow),
        LOG_U64("relay_overflow", stats.relay_overflow), LOG_U64("tx_full", stats.tx_full),
        LOG_U64("tx_errors", stats.tx_errors), LOG_U64("dispatch_dropped", stats.dispatch_dropped),
        LOG_U64("forwarded_to_peer", forwarded[OFFLOAD_forwarded_to_peer]),
        LOG_U64("forwarded_to_client", forwarded[OFFLOAD_forwarded_to_client]),
        LOG_U64("forwarded_relay_to_relay", forwarded[OFFLOAD_forwarded_relay_to_relay]), LOG_END);
    kernel_path_log(s->kernel_path);
    log_event(LOG_INFO, "connections.state", LOG_U64("established", n->established),
              LOG_U64("tls", n->tls_established), LOG_U64("dtls", stats.dtls_established),
              LOG_U64("blocked", n->blocked), LOG_U64("queued_bytes", n->queued_bytes),
              LOG_U64("spliced_bytes", n->spliced_bytes), LOG_END);
    log_event(LOG_INFO, "connections.count", LOG_U64("passive_open", n->passive_open),
              LOG_U64("connect_success", n->connect_success),
              LOG_U64("connect_failed", n->connect_failed), LOG_U64("held_off", stats.held_off),
              LOG_U64("local_reject", n->local_reject), LOG_U64("con_timeout", n->con_timeout),
              LOG_U64("con_reset", n->con_reset), LOG_U64("send_timeout", n->send_timeout),
              LOG_U64("sendq_full", n->sendq_full), LOG_U64("dropped", n->dropped),
              LOG_U64("accept_errors", n->accept_errors), LOG_END);
    log_event(LOG_INFO, "connections.begun", LOG_U64("tls_handshakes", n->tls_handshakes),
              LOG_U64("tls_resumed", n->tls_resumed), LOG_U64("tls_failed", n->tls_failed),
              LOG_U64("tls_deferred", n->tls_deferred), LOG_U64("dtls_refused", stats.dtls_refused),
              LOG_U64("proxy_refused", stats.proxy_refused),
              LOG_U64("http_hints", stats.http_hints), LOG_END);
}

static void describe_relay(const struct relay_server *s, const struct net_ip *ip,
                           void (*each)(void *arg, const char *line), void *arg)
{
    char line[2 * NET_ADDR_TEXT + 32];
    char text[NET_ADDR_TEXT];
    char public_text[NET_ADDR_TEXT];
    const struct net_addr bound = net_addr_make(ip, 0);
    const struct net_addr relayed = external_relayed(s->external, &bound);

    if (net_addr_equal(&bound, &relayed)) {
        (void)snprintf(line, sizeof(line), "relay %s", net_ip_text(ip, text));
    } else {
        (void)snprintf(line, sizeof(line), "relay %s (external %s)", net_ip_text(ip, text),
                       net_ip_text(&relayed.ip, public_text));
    }
    each(arg, line);
}

void relay_server_describe(const struct relay_server *s, void (*each)(void *arg, const char *line),
                           void *arg)
{
    char line[LISTENER_TEXT + 32];
    char text[LISTENER_TEXT];
    const struct net_ip *given;
    const size_t given_count = relay_ports_given(s->ports, &given);

    for (size_t i = 0; i < s->plan.count; i++) {
        (void)snprintf(line, sizeof(line), "listening %s", listener_text(&s->plan.item[i], text));
        each(arg, line);
    }
    for (size_t i = 0; i < given_count; i++) {
        describe_relay(s, &given[i], each, arg);
    }
    for (size_t i = 0; given_count == 0 && i < s->own.count; i++) {
        const struct interface_address *item = &s->own.items[i];
        if (!item->loopback && !item->link_local && !item->down) {
            describe_relay(s, &item->ip, each, arg);
        }
    }
}
