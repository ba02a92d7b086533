/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a scripted server: a thread that answers on a socket of its own. */
#include "cmd/probe_client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "crypto/longterm.h"
#include "crypto/mac.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"
#include "wire/turn_req.h"

enum { TIMEOUT_MS = 20000, GIVE_UP_MS = 30000, MESSAGE = 2048 };

struct peer {
    int fd;
    struct net_addr addr;
    struct sockaddr_storage client;
    socklen_t client_len;
    uint8_t in[MESSAGE];
    uint8_t buf[MESSAGE];
    struct turn_req req;
    struct crypto_mac *mac;
    uint8_t key[CRYPTO_MD5_LEN];
    pthread_t thread;
    unsigned seen;
};

/* Wait for a request.  The thread asserts nothing: only the main thread of cmocka may. */
static bool hear(struct peer *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    struct stun_msg msg;

    if (poll(&p, 1, GIVE_UP_MS) != 1) {
        return false;
    }
    s->client_len = sizeof(s->client);
    const ssize_t n =
        recvfrom(s->fd, s->in, sizeof(s->in), 0, (struct sockaddr *)&s->client, &s->client_len);
    if (n < 0 || stun_msg_parse((struct bytes){s->in, (size_t)n}, &msg) < 0) {
        return false;
    }
    turn_req_decode(&msg, &s->req);
    s->seen++;
    return true;
}

static void say(const struct peer *s, const uint8_t *p, size_t n)
{
    (void)!sendto(s->fd, p, n, 0, (const struct sockaddr *)&s->client, s->client_len);
}

static struct stun_out begin(struct peer *s, enum stun_class class)
{
    struct stun_out out;

    stun_out_begin(&out, s->buf, sizeof(s->buf), stun_type(s->req.msg.method, class),
                   s->req.msg.tid);
    return out;
}

static void end(struct peer *s, struct stun_out *out)
{
    const int n = stun_out_end(out);

    if (n > 0) {
        say(s, s->buf, (size_t)n);
    }
}

static void refuse(struct peer *s, enum stun_code code, const char *nonce, bool sign)
{
    struct stun_out out = begin(s, STUN_ERROR);

    stun_out_error(&out, code, stun_code_phrase(code));
    if (nonce != NULL) {
        stun_out_attr(&out, STUN_REALM, bytes_of("example.org"));
        stun_out_attr(&out, STUN_NONCE, bytes_of(nonce));
    }
    if (!sign || stun_out_mi(&out, s->mac, (struct bytes){s->key, sizeof(s->key)}) == 0) {
        end(s, &out);
    }
}

/* A success; `key` of another password when `forged`. */
static void grant(struct peer *s, bool sign, bool forged)
{
    struct stun_out out = begin(s, STUN_SUCCESS);
    uint8_t key[CRYPTO_MD5_LEN];

    memcpy(key, s->key, sizeof(key));
    key[0] ^= (uint8_t)forged;
    stun_out_u32(&out, STUN_LIFETIME, 600);
    if (!sign || stun_out_mi(&out, s->mac, (struct bytes){key, sizeof(key)}) == 0) {
        end(s, &out);
    }
}

static bool is_signed(const struct peer *s)
{
    return (s->req.has & HAS_MI) != 0 &&
           stun_msg_check_mi(s->mac, &s->req.msg, s->req.mi,
                             (struct bytes){s->key, sizeof(s->key)}) == 0;
}

static struct peer *peer_start(void *(*script)(void *))
{
    static struct peer s;
    struct sockaddr_storage ss;
    struct net_ip ip;
    socklen_t len = sizeof(ss);

    memset(&s, 0, sizeof(s));
    assert_int_equal(net_ip_parse("127.0.0.1", &ip), 0);
    s.addr = net_addr_make(&ip, 0);
    s.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(s.fd >= 0);
    const socklen_t bind_len = net_addr_to_sockaddr(&s.addr, &ss);
    assert_int_equal(bind(s.fd, (const struct sockaddr *)&ss, bind_len), 0);
    assert_int_equal(getsockname(s.fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(net_addr_from_sockaddr(&ss, &s.addr), 0);
    s.mac = crypto_mac_new();
    assert_non_null(s.mac);
    assert_int_equal(
        crypto_longterm_md5(bytes_of("alice"), bytes_of("example.org"), bytes_of("secret"), s.key),
        0);
    assert_int_equal(pthread_create(&s.thread, NULL, script, &s), 0);
    return &s;
}

static unsigned peer_end(struct peer *s)
{
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    close(s->fd);
    crypto_mac_free(s->mac);
    return s->seen;
}

static struct probe_client *client_to(const struct peer *s, uint32_t timeout_ms)
{
    struct probe_client *c = NULL;

    assert_int_equal(probe_client_new(&s->addr, "alice", "secret", timeout_ms, &c), 0);
    return c;
}

static const struct probe_request refresh = {.method = STUN_REFRESH, .sign = true};

static void *script_loss(void *arg)
{
    struct peer *s = arg;

    if (hear(s)) { /* the first one is lost */
        uint8_t tid[STUN_TID];
        memcpy(tid, s->req.msg.tid, STUN_TID);
        if (hear(s) && memcmp(tid, s->req.msg.tid, STUN_TID) == 0) {
            grant(s, false, false);
        }
    }
    return NULL;
}

static void call__sends_again_with_the_same_transaction_id(void **state)
{
    const struct probe_request binding = {.method = STUN_BINDING};
    struct peer *s = peer_start(script_loss);
    struct probe_client *c = client_to(s, TIMEOUT_MS);
    struct probe_result result;

    (void)state;
    assert_int_equal(probe_client_call(c, &binding, &result), 0);
    assert_true(result.sent_count >= 2);
    assert_int_equal(result.reply.code, 0);
    probe_client_free(c);
    assert_true(peer_end(s) >= 2);
}

static void *script_challenge(void *arg)
{
    struct peer *s = arg;

    if (hear(s) && !is_signed(s)) {
        refuse(s, STUN_UNAUTHENTICATED, "first", false);
    }
    if (hear(s) && is_signed(s) && bytes_equal(s->req.nonce, bytes_of("first"))) {
        refuse(s, STUN_STALE_NONCE, "second", false);
    }
    if (hear(s) && is_signed(s) && bytes_equal(s->req.nonce, bytes_of("second"))) {
        grant(s, true, false);
    }
    return NULL;
}

static void call__answers_a_challenge_and_a_stale_nonce(void **state)
{
    struct peer *s = peer_start(script_challenge);
    struct probe_client *c = client_to(s, TIMEOUT_MS);
    struct probe_result result;

    (void)state;
    assert_int_equal(probe_client_call(c, &refresh, &result), 0);
    assert_int_equal(result.reply.code, 0);
    assert_int_equal(result.reply.lifetime_s, 600);
    probe_client_free(c);
    assert_int_equal(peer_end(s), 3);
}

static void *script_wrong_password(void *arg)
{
    struct peer *s = arg;

    for (int i = 0; i < 2 && hear(s); i++) {
        refuse(s, STUN_UNAUTHENTICATED, "nonce", false);
    }
    return NULL;
}

/* RFC 8489 section 9.2.5: no third try with what was refused. */
static void call__takes_a_second_401_as_final(void **state)
{
    struct peer *s = peer_start(script_wrong_password);
    struct probe_client *c = client_to(s, TIMEOUT_MS);
    struct probe_result result;

    (void)state;
    assert_int_equal(probe_client_call(c, &refresh, &result), 0);
    assert_int_equal(result.reply.code, STUN_UNAUTHENTICATED);
    probe_client_free(c);
    assert_int_equal(peer_end(s), 2);
}

static void *script_forged(void *arg)
{
    struct peer *s = arg;

    if (hear(s)) {
        refuse(s, STUN_UNAUTHENTICATED, "nonce", false);
    }
    if (hear(s)) { /* three that must be discarded, and the right one */
        grant(s, true, true);
        grant(s, false, false);
        refuse(s, STUN_BAD_REQUEST, NULL, false);
        refuse(s, STUN_FORBIDDEN, NULL, true);
    }
    return NULL;
}

/* RFC 8489 section 9.2.5: what is not signed, or wrongly, counts as not received. */
static void call__discards_forged_answers(void **state)
{
    struct peer *s = peer_start(script_forged);
    struct probe_client *c = client_to(s, TIMEOUT_MS);
    struct probe_result result;

    (void)state;
    assert_int_equal(probe_client_call(c, &refresh, &result), 0);
    assert_int_equal(result.reply.code, STUN_FORBIDDEN);
    probe_client_free(c);
    assert_int_equal(peer_end(s), 2);
}

static void *script_only_forged(void *arg)
{
    struct peer *s = arg;

    if (hear(s)) {
        refuse(s, STUN_UNAUTHENTICATED, "nonce", false);
    }
    if (hear(s)) {
        grant(s, true, true);
    }
    return NULL;
}

static void call__tells_forged_answers_from_none(void **state)
{
    struct peer *s = peer_start(script_only_forged);
    struct probe_client *c = client_to(s, 3000);
    struct probe_result result;

    (void)state;
    assert_int_equal(probe_client_call(c, &refresh, &result), -EPERM);
    probe_client_free(c);
    peer_end(s);
}

static void *script_silent(void *arg)
{
    (void)hear(arg);
    return NULL;
}

static void call__ends_at_its_timeout(void **state)
{
    const struct probe_request binding = {.method = STUN_BINDING};
    struct peer *s = peer_start(script_silent);
    struct probe_client *c = client_to(s, 50);
    struct probe_result result;

    (void)state;
    assert_int_equal(probe_client_call(c, &binding, &result), -ETIMEDOUT);
    probe_client_free(c);
    peer_end(s);
}

static void *script_nothing(void *arg)
{
    return arg;
}

static void call__tells_a_closed_port(void **state)
{
    const struct probe_request binding = {.method = STUN_BINDING};
    struct peer *s = peer_start(script_nothing);
    struct probe_client *c = client_to(s, TIMEOUT_MS);
    struct probe_result result;

    (void)state;
    peer_end(s);
    assert_int_equal(probe_client_call(c, &binding, &result), -ECONNREFUSED);
    probe_client_free(c);
}

static void *script_data(void *arg)
{
    static const uint8_t channel[] = {0x40, 0x01, 0, 3, 'a', 'b', 'c', 0}; /* padded */
    static const uint8_t junk[] = {0xff, 0, 0};
    static const uint8_t tid[STUN_TID] = {1};
    struct peer *s = arg;
    struct stun_out out;

    if (!hear(s)) {
        return NULL;
    }
    say(s, junk, sizeof(junk));
    say(s, channel, sizeof(channel));
    stun_out_begin(&out, s->buf, sizeof(s->buf), stun_type(STUN_DATA, STUN_INDICATION), tid);
    stun_out_xor_addr(&out, STUN_XOR_PEER_ADDRESS, &s->addr);
    stun_out_attr(&out, STUN_DATA_ATTR, bytes_of("xyz"));
    end(s, &out);
    return NULL;
}

static void receive__takes_both_forms_of_data(void **state)
{
    struct peer *s = peer_start(script_data);
    struct probe_client *c = client_to(s, TIMEOUT_MS);
    const uint64_t deadline = probe_client_now_us() + (uint64_t)TIMEOUT_MS * 1000;
    struct probe_data data;

    (void)state;
    /* A Send indication starts the script. */
    assert_int_equal(probe_client_send(c, 0, &s->addr, bytes_of("go")), 0);
    assert_int_equal(probe_client_receive(c, deadline, &data), 0);
    assert_int_equal(data.channel, 0x4001);
    assert_true(bytes_equal(data.data, bytes_of("abc")));
    assert_int_equal(probe_client_receive(c, deadline, &data), 0);
    assert_int_equal(data.channel, 0);
    assert_true(net_addr_equal(&data.peer, &s->addr));
    assert_true(bytes_equal(data.data, bytes_of("xyz")));
    assert_int_equal(probe_client_receive(c, 0, &data), -ETIMEDOUT);
    probe_client_free(c);
    peer_end(s);
    assert_int_equal(s->req.msg.method, STUN_SEND);
    assert_true(bytes_equal(s->req.data, bytes_of("go")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call__sends_again_with_the_same_transaction_id),
        cmocka_unit_test(call__answers_a_challenge_and_a_stale_nonce),
        cmocka_unit_test(call__takes_a_second_401_as_final),
        cmocka_unit_test(call__discards_forged_answers),
        cmocka_unit_test(call__tells_forged_answers_from_none),
        cmocka_unit_test(call__ends_at_its_timeout),
        cmocka_unit_test(call__tells_a_closed_port),
        cmocka_unit_test(receive__takes_both_forms_of_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
