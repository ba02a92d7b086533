/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of a listener plan. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf.h"
#include "io/stream.h"
#include "io/udp.h"
#include "log/log.h"
#include "relay/front.h"
#include "relay/listener.h"

static const char *advice(int err, bool stream)
{
    switch (err) {
    case -EADDRINUSE:
        return stream ? "another program uses that port (see `ss -tlpn`); stop it, or choose "
                        "another listening-port or tls-listening-port"
                      : "another program uses that port (see `ss -ulpn`); stop it, or choose "
                        "another listening-port";
    case -EADDRNOTAVAIL:
        return "this host does not have that address; correct listening-ip, aux-server or "
               "[listener]";
    case -EACCES:
    case -EPERM:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE";
    case -EMFILE:
    case -ENFILE:
        return "too few file descriptors: raise LimitNOFILE or `ulimit -n`";
    default:
        return "see listening-ip, listening-port and aux-server";
    }
}

static int explain(const struct listener_spec *spec, int err, char *why, size_t cap)
{
    char text[LISTENER_TEXT];

    (void)snprintf(why, cap, "cannot listen on %s: %s: %s", listener_text(spec, text),
                   strerror(-err), advice(err, spec->stream));
    return err;
}

static int try_udp(const struct net_addr *addr)
{
    const struct udp_options options = {.local = *addr};
    struct udp_port port;
    const int err = udp_open(&options, &port);

    if (err == 0) {
        udp_close(&port);
    }
    return err;
}

/* Bind only: with SO_REUSEADDR that fails where somebody listens, and not where connections of an
 * earlier run linger; and no client is accepted just to be turned away. */
static int try_tcp(const struct net_addr *addr)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(addr, &ss);
    const int on = 1;
    const int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    int err = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (err == 0 && ss.ss_family == AF_INET6) {
        err = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    err = err == 0 ? bind(fd, (const struct sockaddr *)&ss, len) : err;
    err = err < 0 ? -errno : 0;
    (void)close(fd);
    return err;
}

/* Drop the wildcards that this host has no use for; a host without IPv6 is not an error. */
static bool is_absent_wildcard(const struct listener_spec *spec, int err)
{
    return (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL) && udp_is_wildcard(&spec->addr);
}

/* What is being listened on there; a closed UDP item still has its sockets. */
static const struct listener_spec *find(const struct front *front, const struct listener_spec *spec)
{
    const struct front_item *item = front_find(front, &spec->addr, spec->stream);

    return item != NULL && !(item->closed && spec->stream) ? &item->spec : NULL;
}

/* Clients came for what was served there when they came: that is changed by a restart only. */
static void keep_old(const struct listener_spec *old, struct listener_spec *item)
{
    if (old->plain != item->plain || old->secure != item->secure || old->proxy != item->proxy ||
        strcmp(old->tls_name, item->tls_name) != 0) {
        log_event(LOG_WARNING, "listener.unchanged", LOG_ADDR("listener", &old->addr),
                  LOG_TEXT("advice", "restart the server to change what is served at an address"),
                  LOG_END);
    }
    *item = *old;
}

/* Bind without SO_REUSEPORT for a moment: with it, a second server on the same address would take
 * half of the clients and nobody would be told. */
int listener_plan_change(const struct conf *conf, const struct front *front,
                         struct listener_plan *out, char *why, size_t cap)
{
    const int read = listener_plan_read(conf, out, why, cap);
    size_t kept = 0;

    if (read < 0) {
        return read;
    }
    for (size_t i = 0; i < out->count; i++) {
        struct listener_spec *spec = &out->item[i];
        const struct listener_spec *old = front != NULL ? find(front, spec) : NULL;
        int err = 0;

        if (old != NULL) {
            keep_old(old, spec);
        } else {
            err = spec->stream ? try_tcp(&spec->addr) : try_udp(&spec->addr);
        }
        if (err == 0) {
            out->item[kept++] = *spec;
        } else if (!is_absent_wildcard(spec, err)) {
            return explain(spec, err, why, cap);
        }
    }
    out->count = kept;
    if (kept == 0) {
        (void)snprintf(why, cap, "this host has no address to listen on");
        return -EADDRNOTAVAIL;
    }
    return 0;
}

int listener_plan_make(const struct conf *conf, struct listener_plan *out, char *why, size_t cap)
{
    return listener_plan_change(conf, NULL, out, why, cap);
}

int listener_open(const struct listener_plan *plan, size_t i, struct udp_port *out, char *why,
                  size_t cap)
{
    const struct listener_spec *spec = &plan->item[i];
    const struct udp_options options = {
        .local = spec->addr,
        .share = true,
        .ask_tos = true,
        .ask_drops = true,
        .buffer_bytes = plan->buffer_bytes,
    };
    const int err = udp_open(&options, out);

    return err < 0 ? explain(spec, err, why, cap) : 0;
}

int listener_open_stream(const struct listener_plan *plan, size_t i, int *out_fd, char *why,
                         size_t cap)
{
    const struct listener_spec *spec = &plan->item[i];
    const int err = stream_listen_fd(&spec->addr, true, (int)plan->backlog, out_fd);

    return err < 0 ? explain(spec, err, why, cap) : 0;
}
