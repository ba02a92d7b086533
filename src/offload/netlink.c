/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/netlink.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

/* Whatever they hold, the kernel's messages fill no more. */
enum { ANSWER = 32768 };

/* Those of the headers are negative numbers. */
static const size_t ATTR_HEAD = sizeof(struct nlattr);
static const uint32_t TYPE_MASK = 0xffff & ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER);

static size_t aligned(size_t len)
{
    return (len + NLA_ALIGNTO - 1) & ~(size_t)(NLA_ALIGNTO - 1);
}

void netlink_put(struct netlink_question *question, size_t *len, uint16_t type, const void *value,
                 size_t value_len)
{
    const struct nlattr attr = {
        .nla_len = (uint16_t)(ATTR_HEAD + value_len),
        .nla_type = type,
    };

    assert(*len + ATTR_HEAD + aligned(value_len) <= sizeof(question->body));
    memcpy(question->body + *len, &attr, sizeof(attr));
    memcpy(question->body + *len + ATTR_HEAD, value, value_len);
    *len += ATTR_HEAD + aligned(value_len);
}

/* 0: there is more; 1: that was all. */
static int read_message(const struct nlmsghdr *head, netlink_fn *each, void *context)
{
    const uint8_t *body = (const uint8_t *)head + NLMSG_HDRLEN;
    const size_t len = head->nlmsg_len - NLMSG_HDRLEN;
    int code = 0;

    if (head->nlmsg_type == NLMSG_DONE) {
        return 1;
    }
    if (head->nlmsg_type == NLMSG_ERROR) {
        if (len < sizeof(code)) {
            return -EBADMSG;
        }
        memcpy(&code, body, sizeof(code));
        return code < 0 ? code : 1;
    }
    const int err = each(body, len, context);
    return err != 0 || (head->nlmsg_flags & NLM_F_MULTI) != 0 ? err : 1;
}

static int read_batch(const uint8_t *buf, size_t len, netlink_fn *each, void *context)
{
    struct nlmsghdr head;
    int err = 0;

    while (err == 0 && len >= sizeof(head)) {
        memcpy(&head, buf, sizeof(head));
        if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > len) {
            return -EBADMSG;
        }
        err = read_message((const struct nlmsghdr *)(const void *)buf, each, context);
        const size_t step = NLMSG_ALIGN(head.nlmsg_len);
        buf += step < len ? step : len;
        len -= step < len ? step : len;
    }
    return err;
}

static int read_all(int fd, uint8_t *buf, netlink_fn *each, void *context)
{
    int err = 0;

    while (err == 0) {
        const ssize_t n = recv(fd, buf, ANSWER, 0);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        err = n > 0 ? read_batch(buf, (size_t)n, each, context) : 0;
        err = n == 0 ? -EBADMSG : err;
    }
    return err == 1 ? 0 : err;
}

static int ask(int fd, struct netlink_question *question, size_t len, netlink_fn *each,
               void *context)
{
    uint8_t *buf = mem_new(1, ANSWER);

    if (buf == NULL) {
        return -ENOMEM;
    }
    question->head.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + len);
    question->head.nlmsg_flags |= NLM_F_REQUEST;
    const ssize_t sent = send(fd, question, question->head.nlmsg_len, 0);
    const int err = sent < 0 ? -errno : read_all(fd, buf, each, context);
    free(buf);
    return err;
}

int netlink_ask(int protocol, struct netlink_question *question, size_t len, netlink_fn *each,
                void *context)
{
    const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

    if (fd < 0) {
        return -errno;
    }
    const int err = ask(fd, question, len, each, context);
    (void)close(fd);
    return err;
}

void netlink_find(const uint8_t *body, size_t len, size_t from, struct netlink_attrs *out)
{
    struct nlattr attr;

    memset(out, 0, sizeof(*out));
    while (from < len && len - from >= sizeof(attr)) {
        memcpy(&attr, body + from, sizeof(attr));
        if (attr.nla_len < sizeof(attr) || attr.nla_len > len - from) {
            return;
        }
        const uint16_t type = (uint16_t)(attr.nla_type & TYPE_MASK);
        if (type < NETLINK_ATTRS) {
            out->of[type] = (const struct nlattr *)(const void *)(body + from);
        }
        from += aligned(attr.nla_len);
    }
}

const uint8_t *netlink_value(const struct nlattr *attr, size_t *out_len)
{
    *out_len = attr != NULL ? (size_t)attr->nla_len - ATTR_HEAD : 0;
    return attr != NULL ? (const uint8_t *)attr + ATTR_HEAD : NULL;
}

uint64_t netlink_number(const struct nlattr *attr)
{
    size_t len = 0;
    const uint8_t *value = netlink_value(attr, &len);
    uint16_t n16 = 0;
    uint32_t n32 = 0;
    uint64_t n64 = 0;

    switch (len) {
    case sizeof(n16):
        memcpy(&n16, value, len);
        return n16;
    case sizeof(n32):
        memcpy(&n32, value, len);
        return n32;
    case sizeof(n64):
        memcpy(&n64, value, len);
        return n64;
    default:
        return 0;
    }
}

void netlink_text(const struct nlattr *attr, char *out, size_t cap)
{
    size_t len = 0;
    const uint8_t *value = netlink_value(attr, &len);
    const size_t room = len < cap ? len : cap - 1;

    if (room > 0) {
        memcpy(out, value, room);
    }
    out[room] = '\0';
}
