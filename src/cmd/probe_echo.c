/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a probe that send data: from side A through its relay to the relay of B, to B, and
 * the same way back. */
#include <errno.h>
#include <string.h>

#include "cmd/probe_advice.h"
#include "cmd/probe_int.h"
#include "crypto/random.h"

enum {
    ECHOES = 20,
    GIVE_UP = 3,        /* echoes lost in a row before the first that came back */
    SMALL_BYTES = 172,  /* a voice packet */
    LARGE_BYTES = 1200, /* what WebRTC takes for the largest packet that always passes */
    WAIT_US = 1000 * 1000,
};

static const char lost_advice[] =
    "The server takes the data, but what goes from one of its relay ports to another is lost: a "
    "firewall closes the relay ports (min-port to max-port, UDP, both directions), external-ip is "
    "not the address of this server, or the NAT before it does not let hosts inside reach its "
    "outer address.";

/* Receive `expected` on `side`, from the other relay; other data is passed over. */
static int expect(struct probe *p, int side, uint16_t channel, struct bytes expected,
                  uint64_t deadline_us)
{
    struct probe_data got;
    int err;

    do {
        err = probe_client_receive(p->side[side], deadline_us, &got);
    } while (err == 0 &&
             (!bytes_equal(got.data, expected) || got.channel != channel ||
              (channel == 0 && !net_ip_equal(&got.peer.ip, &p->relay[SIDES - 1 - side].ip))));
    return err;
}

/* One packet there and back.  `channels` or indications.  0; -ETIMEDOUT lost; another errno. */
static int echo(struct probe *p, bool channels, struct bytes payload, uint64_t *out_took_us)
{
    const uint64_t start = probe_client_now_us();
    const uint64_t wait = (uint64_t)p->plan->timeout_ms * 1000;
    const uint64_t deadline = start + (wait < WAIT_US ? wait : WAIT_US);

    for (int i = 0; i < SIDES; i++) {
        const int to = SIDES - 1 - i;
        int err = probe_client_send(p->side[i], channels ? (uint16_t)(PROBE_CHANNEL + i) : 0,
                                    &p->relay[to], payload);
        if (err == 0) {
            err = expect(p, to, channels ? (uint16_t)(PROBE_CHANNEL + to) : 0, payload, deadline);
        }
        if (err < 0) {
            return err;
        }
    }
    *out_took_us = probe_client_now_us() - start;
    return 0;
}

struct run {
    size_t sent;
    size_t back;
    uint64_t took_us[ECHOES];
};

/* `count` echoes of `bytes` each, distinguishable.  0 or an errno that ended it. */
static int echoes(struct probe *p, bool channels, size_t count, size_t bytes, struct run *run)
{
    uint8_t payload[LARGE_BYTES];
    struct crypto_random *random = crypto_random_new();
    int err = random == NULL ? -ENOMEM : 0;

    *run = (struct run){.sent = 0};
    while (err == 0 && run->sent < count && (run->back > 0 || run->sent < GIVE_UP)) {
        crypto_random_fill(random, payload, bytes);
        run->sent++;
        err = echo(p, channels, (struct bytes){payload, bytes}, &run->took_us[run->back]);
        if (err == 0) {
            run->back++;
        }
        err = err == -ETIMEDOUT ? 0 : err;
    }
    crypto_random_free(random);
    return err;
}

static void tell_lost(struct probe_note *note, int err, const struct run *run)
{
    if (err < 0) {
        probe_note_say(note, PROBE_FAILED, probe_advice_errno(err), "%s", strerror(-err));
        return;
    }
    probe_note_say(note, PROBE_FAILED, lost_advice, "none of %zu packets came back", run->sent);
}

uint32_t probe_echo_indication(struct probe *p, struct probe_note *note)
{
    struct run run;
    const int err = echoes(p, false, GIVE_UP, SMALL_BYTES, &run);

    if (err < 0 || run.back == 0) {
        tell_lost(note, err, &run);
        return 0;
    }
    probe_note_say(note, PROBE_OK, NULL,
                   "%zu of %zu packets came back through both relays in indications", run.back,
                   run.sent);
    return 0;
}

static void tell_echoes(struct probe_note *note, struct run *run, bool large)
{
    const struct probe_spread spread = probe_spread_of(run->took_us, run->back);
    const bool lost = run->back < run->sent;
    const char *advice = NULL;

    probe_note_count(note, "sent", run->sent);
    probe_note_count(note, "received", run->back);
    probe_note_ms(note, "min_ms", spread.min_ms);
    probe_note_ms(note, "median_ms", spread.median_ms);
    probe_note_ms(note, "max_ms", spread.max_ms);
    probe_note_flag(note, "large", large);
    if (!large) {
        advice =
            "Packets of 1200 bytes, which WebRTC counts on, are lost: a link on the way has too "
            "small an MTU and fragments are dropped.";
    } else if (lost) {
        advice = "Packets get lost on the way.";
    }
    probe_note_say(note, advice == NULL ? PROBE_OK : PROBE_WARNING, advice,
                   "%zu of %zu packets came back through both relays on channels; round trip "
                   "%.2f/%.2f/%.2f ms (min/median/max)%s",
                   run->back, run->sent, spread.min_ms, spread.median_ms, spread.max_ms,
                   large ? "; 1200 bytes pass" : "; none of 1200 bytes");
}

uint32_t probe_echo_channel(struct probe *p, struct probe_note *note)
{
    struct run run;
    struct run large = {.sent = 0};
    int err = echoes(p, true, ECHOES, SMALL_BYTES, &run);

    if (err == 0 && run.back > 0) {
        err = echoes(p, true, 1, LARGE_BYTES, &large);
    }
    if (err < 0 || run.back == 0) {
        tell_lost(note, err, &run);
        return 0;
    }
    tell_echoes(note, &run, large.back > 0);
    return 0;
}
