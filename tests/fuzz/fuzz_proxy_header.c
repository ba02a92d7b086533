/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of proxy_header_decode() and proxy_header_encode().
 *
 * Input: the first bytes of a connection. */
#include <assert.h>
#include <errno.h>

#include "wire/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was decoded is encoded and decoded to the same. */
static void check_round(const struct proxy_header *h)
{
    uint8_t text[PROXY_V2_MAX];
    struct proxy_header again;

    const int len = proxy_header_encode(h, text, sizeof(text));
    assert(len >= PROXY_V2_HEAD);
    assert(proxy_header_decode((struct bytes){text, (size_t)len}, &again) == 0);
    assert(again.len == (uint32_t)len && again.local == h->local);
    if (!h->local) {
        assert(again.datagram == h->datagram && again.tls == h->tls);
        assert(net_addr_equal(&again.source, &h->source));
        assert(net_addr_equal(&again.destination, &h->destination));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h = {.len = UINT32_MAX};
    struct proxy_header part = {.len = UINT32_MAX};

    const int err = proxy_header_decode((struct bytes){data, size}, &h);
    if (err < 0) {
        assert((err == -EAGAIN || err == -EBADMSG) && h.len == UINT32_MAX);
        assert(err == -EBADMSG || size < PROXY_V2_MAX);
        return 0;
    }
    assert(h.len <= size && h.len <= PROXY_V2_MAX);
    assert(h.local == (h.source.family == NET_NONE));
    assert(h.local == (h.destination.family == NET_NONE));
    /* Its end does not depend on what follows, and one byte less is too little. */
    assert(proxy_header_decode((struct bytes){data, h.len - 1}, &part) == -EAGAIN);
    assert(proxy_header_decode((struct bytes){data, h.len}, &part) == 0 && part.len == h.len);
    check_round(&h);
    return 0;
}
