/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "io/tls_int.h"

enum { SAID = 64 }; /* bytes of a ticket */

/* What OpenSSL would keep of a ticket. */
struct ticket {
    unsigned char name[16];
    unsigned char iv[EVP_MAX_IV_LENGTH];
    unsigned char text[SAID + 32];
    unsigned char tag[32];
    int len;
};

/* Run the callback as OpenSSL does: its result, then what the key makes of `in`. */
static int run(struct tls_tickets *tickets, struct ticket *ticket, const unsigned char *in, int n,
               bool seal, unsigned char *out, int *out_len)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    size_t tag_len = 0;
    int last = 0;
    const int result = tls_tickets_key(tickets, ticket->name, ticket->iv, cipher, mac, seal);

    if (result > 0) {
        assert_int_equal(EVP_CipherUpdate(cipher, out, out_len, in, n), 1);
        assert_int_equal(EVP_CipherFinal_ex(cipher, out + *out_len, &last), 1);
        *out_len += last;
        assert_int_equal(EVP_MAC_init(mac, NULL, 0, NULL), 1);
        assert_int_equal(EVP_MAC_update(mac, in, (size_t)n), 1);
        assert_int_equal(EVP_MAC_final(mac, ticket->tag, &tag_len, sizeof(ticket->tag)), 1);
        assert_int_equal(tag_len, sizeof(ticket->tag));
    }
    EVP_CIPHER_CTX_free(cipher);
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    return result;
}

static void seal(struct tls_tickets *tickets, struct ticket *out)
{
    unsigned char said[SAID];

    memset(said, 's', sizeof(said));
    memset(out, 0, sizeof(*out));
    assert_int_equal(run(tickets, out, said, SAID, true, out->text, &out->len), 1);
    assert_memory_not_equal(out->text, said, SAID);
}

/* 0: cannot be opened; 1: with the newest key; 2: with the one before. */
static int opens(struct tls_tickets *tickets, const struct ticket *ticket)
{
    struct ticket copy = *ticket;
    unsigned char said[SAID + 64];
    int n = 0;
    const int result = run(tickets, &copy, ticket->text, ticket->len, false, said, &n);

    if (result > 0) {
        assert_int_equal(n, SAID);
        assert_int_equal(said[0], 's');
        assert_int_equal(said[SAID - 1], 's');
    }
    return result;
}

static void ticket__is_opened_by_who_sealed_it(void **state)
{
    struct tls_tickets *one = tls_tickets_new(100);
    struct tls_tickets *other = tls_tickets_new(100);
    struct ticket ticket;
    struct ticket again;

    (void)state;
    seal(one, &ticket);
    seal(one, &again);
    assert_memory_not_equal(ticket.iv, again.iv, 16);
    assert_int_equal(opens(one, &ticket), 1);
    assert_int_equal(opens(other, &ticket), 0);
    ticket.name[15] ^= 1;
    assert_int_equal(opens(one, &ticket), 0);
    tls_tickets_free(one);
    tls_tickets_free(other);
}

static void ticket__lives_for_two_periods(void **state)
{
    struct tls_tickets *tickets = tls_tickets_new(100);
    struct ticket ticket;
    struct ticket second;

    (void)state;
    tls_tickets_tick(tickets, 1000);
    seal(tickets, &ticket);
    tls_tickets_tick(tickets, 1099);
    assert_int_equal(opens(tickets, &ticket), 1);
    tls_tickets_tick(tickets, 1100);
    assert_int_equal(opens(tickets, &ticket), 2); /* and is to be renewed */
    seal(tickets, &second);
    assert_int_equal(opens(tickets, &second), 1);
    tls_tickets_tick(tickets, 1199);
    assert_int_equal(opens(tickets, &ticket), 2);
    tls_tickets_tick(tickets, 1200);
    assert_int_equal(opens(tickets, &ticket), 0);
    assert_int_equal(opens(tickets, &second), 2);
    tls_tickets_free(tickets);
}

/* Nobody ticked for long: the key is older than any ticket may be. */
static void key__that_was_forgotten_does_not_live_on(void **state)
{
    struct tls_tickets *tickets = tls_tickets_new(100);
    struct ticket ticket;

    (void)state;
    tls_tickets_tick(tickets, 0);
    seal(tickets, &ticket);
    tls_tickets_tick(tickets, 200);
    assert_int_equal(opens(tickets, &ticket), 0);
    seal(tickets, &ticket);
    tls_tickets_tick(tickets, UINT64_MAX);
    assert_int_equal(opens(tickets, &ticket), 0);
    tls_tickets_free(tickets);
}

static void key__stays_when_there_is_no_period(void **state)
{
    struct tls_tickets *tickets = tls_tickets_new(0);
    struct ticket ticket;

    (void)state;
    tls_tickets_tick(tickets, 0);
    seal(tickets, &ticket);
    tls_tickets_tick(tickets, UINT64_MAX);
    assert_int_equal(opens(tickets, &ticket), 1);
    tls_tickets_free(tickets);
}

static void tickets__live_while_somebody_needs_them(void **state)
{
    struct tls_tickets *tickets = tls_tickets_new(100);
    struct tls_tickets *held = tls_tickets_ref(tickets);
    struct ticket ticket;

    (void)state;
    tls_tickets_free(tickets);
    seal(held, &ticket);
    assert_int_equal(opens(held, &ticket), 1);
    tls_tickets_free(held);
    tls_tickets_free(NULL);
}

static void tickets__without_memory_are_none(void **state)
{
    (void)state;
#ifdef STERNA_FAULT_INJECTION
    mem_fail_at(0);
    assert_null(tls_tickets_new(100));
    mem_fail_at(-1);
#else
    CHECK_SKIP("built without fault injection");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticket__is_opened_by_who_sealed_it),
        cmocka_unit_test(ticket__lives_for_two_periods),
        cmocka_unit_test(key__that_was_forgotten_does_not_live_on),
        cmocka_unit_test(key__stays_when_there_is_no_period),
        cmocka_unit_test(tickets__live_while_somebody_needs_them),
        cmocka_unit_test(tickets__without_memory_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
