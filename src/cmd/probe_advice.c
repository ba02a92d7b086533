/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_advice.h"

#include <errno.h>
#include <stddef.h>

#include "base/attr.h"
#include "wire/stun_code.h"

struct advice {
    int number;
    const char *text;
};

static const struct advice errnos[] = {
    {ETIMEDOUT,
     "Nothing came back. Either the host or port is wrong, the server is not running, or a "
     "firewall or security group drops UDP to this port: open it for UDP in both "
     "directions."},
    {ECONNREFUSED,
     "The host answers that nobody listens on this UDP port: start the server, or give "
     "the port that its listening-port says."},
    {ENETUNREACH,
     "This host has no route to that address: try the other address family (-4 or -6), "
     "or look at the network of this host."},
    {EHOSTUNREACH, "The network says that the host cannot be reached: it is down, or a firewall "
                   "rejects the packets."},
    {EACCES, "The system forbids sending there: a local firewall rule, or a broadcast address."},
    {EPERM, "Answers came, but not signed with our password, so that they cannot be trusted. Most "
            "likely the password differs from the server's; else something between here and the "
            "server answers in its place."},
    {EPROTO,
     "The nonce promises password algorithms, but the list is missing: something on the way "
     "has taken it out of the response. Do not use credentials over this path."},
    {ENOTSUP, "The server wants a password algorithm that is neither MD5 nor SHA-256: set "
              "password-algorithms on the server."},
    {EBADMSG,
     "The challenge has no realm or nonce, or one that is too long: this is no TURN server "
     "with long-term credentials. Set lt-cred-mech and realm on the server."},
};

static const struct advice codes[] = {
    {STUN_TRY_ALTERNATE,
     "This server sends its clients to another one (alternate-server): probe that "
     "one."},
    {STUN_BAD_REQUEST,
     "The server takes our request for malformed. With coturn this also means that "
     "an option of the server forbids it; its log tells."},
    {STUN_UNAUTHENTICATED,
     "The user name or the password is wrong, or the user belongs to another "
     "realm than the one shown above; a time-limited name may have run out, or "
     "the clocks of the two hosts differ."},
    {STUN_FORBIDDEN,
     "The server's rules forbid this: look at allowed-peer-ip, denied-peer-ip, "
     "allow-private-peers and allow-loopback-peers, and at whether it is draining or "
     "serves STUN only (stun-only)."},
    {STUN_MOBILITY_FORBIDDEN,
     "The server does not let clients move: set mobility on it, or calls end when clients change "
     "networks."},
    {STUN_UNKNOWN_ATTRIBUTE,
     "The server does not know an attribute that every TURN server must know: "
     "it may serve STUN only."},
    {STUN_ALLOCATION_MISMATCH,
     "The server has no allocation for us, or one of somebody else: it was "
     "restarted in between, or a NAT changed our port; try again."},
    {STUN_STALE_NONCE,
     "The server calls each nonce stale, even one just issued: behind a load "
     "balancer, give all servers the same stateless-nonce-secret; else our address "
     "changes from packet to packet (NAT)."},
    {STUN_FAMILY_NOT_SUPPORTED,
     "The server has no relay address of this family: set relay-ip to one, "
     "or probe with the other family (-4 or -6)."},
    {STUN_WRONG_CREDENTIALS, "The allocation belongs to another user."},
    {STUN_UNSUPPORTED_TRANSPORT, "The server does not relay UDP: take no-udp-relay out."},
    {STUN_PEER_FAMILY_MISMATCH, "Relay and peer are of different address families."},
    {STUN_QUOTA_REACHED,
     "The user has as many allocations as user-quota or total-quota allow (this "
     "probe needs two): raise it, or wait until old ones expire."},
    {STUN_SERVER_ERROR, "The server failed: its log tells why."},
    {STUN_INSUFFICIENT_CAPACITY,
     "The server has no free relay port, bandwidth or memory: widen "
     "min-port to max-port, raise bps-capacity or max-allocations, look at "
     "the limit of open files, or check that relay-ip is an address of "
     "that host."},
};

static const char *find(const struct advice *list, size_t n, int number)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].number == number) {
            return list[i].text;
        }
    }
    return NULL;
}

const char *probe_advice_errno(int err)
{
    const char *text = find(errnos, ARRAY_SIZE(errnos), -err);

    return text != NULL ? text : "This is an error of this host, not of the server.";
}

const char *probe_advice_code(int code)
{
    const char *text = find(codes, ARRAY_SIZE(codes), code);

    return text != NULL ? text
                        : "The server refuses with a code that this client does not know: its "
                          "log tells why.";
}
