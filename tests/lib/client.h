/* SPDX-License-Identifier: Apache-2.0 */
/* A TURN client for tests: builds requests attribute by attribute, walks the 401 dance, and takes
 * responses apart.  It works on a struct world, or on bytes alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "crypto/mac.h"
#include "lib/world.h"
#include "wire/stun_msg.h"

enum { CLIENT_BUF = 65535 };

/* How requests are signed. */
enum client_auth {
    CLIENT_NO_AUTH, /* nothing */
    CLIENT_LEGACY,  /* RFC 5389: USERNAME, REALM, NONCE, MESSAGE-INTEGRITY, MD5 key */
    CLIENT_MD5,     /* with PASSWORD-ALGORITHM(S): MD5, MESSAGE-INTEGRITY-SHA256 */
    CLIENT_SHA256,  /* with PASSWORD-ALGORITHM(S): SHA-256, MESSAGE-INTEGRITY-SHA256 */
    CLIENT_TOKEN,   /* RFC 7635: USERNAME is the kid, `token` the ACCESS-TOKEN, MESSAGE-INTEGRITY */
};

struct client {
    struct world *world;
    struct net_addr addr;
    uint8_t transport; /* enum net_transport; NET_UDP unless changed */
    const char *user;
    const char *password;
    const char *realm;
    enum client_auth auth;
    const char *token;   /* CLIENT_TOKEN: ACCESS-TOKEN, or NULL for a request without */
    uint8_t mac_key[64]; /* CLIENT_TOKEN: proves requests */
    size_t mac_key_len;
    bool mac_sha256; /* CLIENT_TOKEN: by MESSAGE-INTEGRITY-SHA256 */
    bool userhash;   /* USERHASH instead of USERNAME */
    bool fingerprint;
    char nonce[256];
    uint8_t algorithms[64]; /* PASSWORD-ALGORITHMS as offered */
    size_t algorithms_len;
    uint8_t ticket[64]; /* MOBILITY-TICKET of the last success that had one */
    size_t ticket_len;
    uint64_t next_tid;
    uint8_t tid[STUN_TID]; /* of the request under construction, or the last one */
    struct stun_out out;
    uint8_t buf[CLIENT_BUF];
    size_t len; /* of the finished message in buf */
};

/* A response (or indication) taken apart; spans borrow from the world's packet. */
struct reply {
    enum turn_verdict verdict;
    struct stun_msg msg;
    int code;          /* error code; 0 for a success or indication */
    bool integrity_ok; /* MI or MI256 is there and right under the client's key */
    bool has_mi, has_mi256, has_fingerprint, fingerprint_last;
    uint32_t lifetime_s;
    struct net_addr relayed[2];
    uint32_t relayed_count;
    struct net_addr mapped;
    struct net_addr peer;
    struct bytes data;
    struct bytes realm, nonce, algorithms, software, reason, unknown, address_error, icmp;
    uint64_t token; /* RESERVATION-TOKEN */
    struct net_addr alternate[2];
    uint32_t alternate_count;
    uint32_t connection_id;   /* CONNECTION-ID, or 0 */
    struct bytes domain;      /* ALTERNATE-DOMAIN */
    struct bytes ticket;      /* MOBILITY-TICKET */
    struct bytes third_party; /* THIRD-PARTY-AUTHORIZATION */
    bool has_data, has_token, has_lifetime, has_username, has_counter, has_mapped_plain;
    uint32_t counter;
    uint16_t order[32]; /* attribute types as they stood */
    uint32_t attr_count;
};

void client_init(struct client *c, struct world *w, const char *addr, const char *user,
                 const char *password);

/* Begin a message with a fresh transaction ID; attributes are added with stun_out_*(&c->out, …). */
void client_begin(struct client *c, uint16_t method, enum stun_class class);

/* The same with the transaction ID of the message before: a retransmission that may differ. */
void client_begin_again(struct client *c, uint16_t method, enum stun_class class);

/* Add credentials as c->auth says, then end the message. */
void client_sign(struct client *c);

/* End the message without credentials. */
void client_end(struct client *c);

/* Hand the finished message to the server and take the answer apart. */
struct reply client_submit(struct client *c);

/* Take `n` bytes apart that the server sent to this client. */
struct reply client_read(struct client *c, enum turn_verdict verdict, const uint8_t *p, size_t n);

/* Sign, submit, and on a 401 or 438 learn realm, nonce and algorithms; used by the ones below. */
struct reply client_learn(struct client *c, const struct reply *challenge);

/* Fetch a nonce with an unsigned Allocate.  True when a 401 came with one. */
bool client_challenge(struct client *c);

/* Whole transactions, challenge included when no nonce is known yet. */
struct reply client_allocate(struct client *c); /* UDP, nothing else */
struct reply client_refresh(struct client *c, uint32_t lifetime_s);
struct reply client_permit(struct client *c, const struct net_addr *peer);
struct reply client_bind(struct client *c, uint16_t channel, const struct net_addr *peer);

/* The same for RFC 8016: Allocate asks for a ticket, Refresh shows the client's; with a 438 for a
 * new address it is sent again with the NONCE that came. */
struct reply client_allocate_mobile(struct client *c);
struct reply client_move(struct client *c, uint32_t lifetime_s);

/* The client goes on from another address. */
void client_readdress(struct client *c, const char *addr);

/* The same for RFC 6062. */
struct reply client_allocate_tcp(struct client *c);
struct reply client_connect(struct client *c, const struct net_addr *peer);
struct reply client_bind_connection(struct client *c, uint32_t id);

/* Append REQUESTED-TRANSPORT for UDP. */
void client_put_transport(struct client *c);

/* A Send indication with `data`; the verdict. */
enum turn_verdict client_send(struct client *c, const struct net_addr *peer, const void *data,
                              size_t n);

/* A ChannelData message; the verdict. */
enum turn_verdict client_channel(struct client *c, uint16_t channel, const void *data, size_t n);
