/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_value.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/secret.h"
#include "conf/conf_int.h"

/* ::ffff:0:0/96: IPv4 in canonical form. */
static const struct net_ip mapped_first = {{[10] = 0xff, [11] = 0xff}};
static const struct net_ip mapped_last = {
    {[10] = 0xff, [11] = 0xff, [12] = 0xff, [13] = 0xff, [14] = 0xff, [15] = 0xff}};

/* Copy the part of `text` before `end` and parse it. */
static int ip_read(const char *text, size_t len, struct net_ip *out)
{
    char buf[NET_ADDR_TEXT];

    if (len >= sizeof(buf)) {
        return -EBADMSG;
    }
    memcpy(buf, text, len);
    buf[len] = 0;
    return net_ip_parse(buf, out);
}

/* A number of bits, at most `most`, the whole of `text`. */
static int bits_read(const char *text, unsigned most, unsigned *out)
{
    unsigned value = 0;
    const size_t len = strlen(text);

    if (len == 0 || len > 3) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i])) {
            return -EBADMSG;
        }
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value > most) {
        return -EBADMSG;
    }
    *out = value;
    return 0;
}

/* Set, or test for, the bits of `ip` behind the first `bits`. */
static struct net_ip host_bits_set(struct net_ip ip, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++) {
        ip.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
    }
    return ip;
}

static bool host_bits_any(const struct net_ip *ip, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++) {
        if ((ip->b[i / 8] & (0x80 >> i % 8)) != 0) {
            return true;
        }
    }
    return false;
}

static const char cidr_fault[] = "a prefix such as 192.0.2.0/24 or 2001:db8::/32";

/* Read "address/bits"; `slash` points at the '/'. */
static const char *cidr_read(const char *text, const char *slash, bool v6_form,
                             struct net_ip *first, struct net_ip *last)
{
    unsigned bits;

    if (ip_read(text, (size_t)(slash - text), first) < 0 ||
        bits_read(slash + 1, v6_form ? 128 : 32, &bits) < 0) {
        return cidr_fault;
    }
    if (!v6_form) {
        bits += 96; /* the canonical form of IPv4 */
    }
    if (host_bits_any(first, bits)) {
        return "the first address of the prefix before the '/'";
    }
    *last = host_bits_set(*first, bits);
    return NULL;
}

/* Read any of the three forms into first..last.  NULL, or what was expected. */
static const char *range_read(const char *text, struct net_ip *first, struct net_ip *last)
{
    const bool v6_form = strchr(text, ':') != NULL;
    const char *slash = strchr(text, '/');
    const char *dash = strchr(text, '-');

    if (slash != NULL) {
        return cidr_read(text, slash, v6_form, first, last);
    }
    const size_t first_len = dash != NULL ? (size_t)(dash - text) : strlen(text);
    if (ip_read(text, first_len, first) < 0) {
        return "an address, address-address or address/bits, such as 10.0.0.0-10.255.255.255";
    }
    if (dash == NULL) {
        *last = *first;
        return NULL;
    }
    if (ip_read(dash + 1, strlen(dash + 1), last) < 0) {
        return "an IP address behind the '-'";
    }
    /* "10.0.0.1-::1" is a slip; "::-::ffff:0:1" is not, though its end is IPv4 in canonical form.
     */
    if ((memchr(text, ':', first_len) != NULL) != (strchr(dash, ':') != NULL)) {
        return "two addresses of one family";
    }
    if (net_ip_compare(first, last) > 0) {
        return "the lower address before the '-'";
    }
    return NULL;
}

const char *conf_range_fault(const char *text)
{
    struct net_ip first;
    struct net_ip last;

    return range_read(text, &first, &last);
}

static struct net_ip ip_step(struct net_ip ip, int step)
{
    for (int i = 15; i >= 0; i--) {
        const int sum = ip.b[i] + step;

        ip.b[i] = (uint8_t)sum;
        if (sum >= 0 && sum <= 255) {
            break;
        }
    }
    return ip;
}

int conf_range_parse(const char *text, struct conf_range out[2])
{
    struct conf_range whole;
    int count = 0;

    if (range_read(text, &whole.first, &whole.last) != NULL) {
        return -EBADMSG;
    }
    if (strchr(text, ':') == NULL) {
        out[0] = whole;
        return 1;
    }
    if (net_ip_is_v4(&whole.first) && net_ip_is_v4(&whole.last)) {
        if (net_ip_equal(&whole.first, &mapped_first) && net_ip_equal(&whole.last, &mapped_last)) {
            return 0;
        }
        out[0] = whole;
        return 1;
    }
    if (net_ip_compare(&whole.last, &mapped_first) < 0 ||
        net_ip_compare(&whole.first, &mapped_last) > 0) {
        out[0] = whole;
        return 1;
    }
    if (net_ip_compare(&whole.first, &mapped_first) < 0) {
        out[count++] = (struct conf_range){whole.first, ip_step(mapped_first, -1)};
    }
    if (net_ip_compare(&whole.last, &mapped_last) > 0) {
        out[count++] = (struct conf_range){ip_step(mapped_last, 1), whole.last};
    }
    return count;
}

const char *conf_external_fault(const char *text, struct conf_external *out)
{
    struct conf_external external = {.has_private = false};
    const char *slash = strchr(text, '/');
    const size_t public_len = slash != NULL ? (size_t)(slash - text) : strlen(text);

    if (ip_read(text, public_len, &external.public_ip) < 0) {
        return "a public address, or public/private, such as 198.51.100.1/10.0.0.1";
    }
    if (slash != NULL) {
        if (ip_read(slash + 1, strlen(slash + 1), &external.private_ip) < 0) {
            return "an IP address behind the '/'";
        }
        if (net_ip_is_v4(&external.public_ip) != net_ip_is_v4(&external.private_ip)) {
            return "two addresses of one family";
        }
        external.has_private = true;
    }
    *out = external;
    return NULL;
}

int conf_external_parse(const char *text, struct conf_external *out)
{
    return conf_external_fault(text, out) == NULL ? 0 : -EBADMSG;
}

/* RFC 1123 section 2.1: labels of at most 63 letters, digits and inner '-', 255 bytes in all. */
static bool is_domain(struct bytes name)
{
    size_t label = 0;

    for (size_t i = 0; i < name.n; i++) {
        const bool dash = name.p[i] == '-';
        const bool last = i + 1 == name.n || name.p[i + 1] == '.';

        if (name.p[i] == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
            continue;
        }
        if (++label > 63 || (dash && (label == 1 || last)) || (!dash && !isalnum(name.p[i]))) {
            return false;
        }
    }
    return name.n > 0 && name.n <= 255 && label > 0;
}

int conf_endpoint_parse(const char *text, uint16_t default_port, struct conf_endpoint *out)
{
    char addr_text[NET_ADDR_TEXT];
    const size_t len = strcspn(text, " \t");
    const struct bytes domain = bytes_of(text + len + strspn(text + len, " \t"));
    struct net_addr addr;

    if (len >= sizeof(addr_text)) {
        return -EBADMSG;
    }
    memcpy(addr_text, text, len);
    addr_text[len] = 0;
    if (net_addr_parse(addr_text, default_port, &addr) < 0 || addr.port == 0 ||
        (text[len] != 0 && !is_domain(domain))) {
        return -EBADMSG;
    }
    *out = (struct conf_endpoint){.addr = addr, .domain = domain};
    return 0;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int conf_hex_parse(const char *text, uint8_t *out, size_t cap)
{
    const bool prefixed = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = text + 2;

    if (!prefixed || digits[0] == 0 || strlen(digits) % 2 != 0) {
        return -EBADMSG;
    }
    const size_t len = strlen(digits) / 2;
    for (size_t i = 0; i < 2 * len; i++) {
        if (digit_value(digits[i]) < 0) {
            return -EBADMSG;
        }
    }
    if (len > cap) {
        return -ENOBUFS;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(digit_value(digits[2 * i]) << 4 | digit_value(digits[2 * i + 1]));
    }
    return (int)len;
}

const char *conf_user_fault(const char *text, struct conf_user *out)
{
    enum { NAME_MAX_BYTES = 508 }; /* RFC 8489 section 14.3 */
    struct conf_user user = {.key_len = 0};
    const char *colon = strchr(text, ':');

    if (colon == NULL || colon == text) {
        return "name:password or name:0xKEY";
    }
    user.name = (struct bytes){(const uint8_t *)text, (size_t)(colon - text)};
    if (user.name.n > NAME_MAX_BYTES) {
        return "a name of at most 508 bytes";
    }
    const char *password = colon + 1 + strspn(colon + 1, " \t"); /* as coturn */
    if (password[0] == 0) {
        return "a password behind the ':'";
    }
    if (password[0] == '0' && password[1] == 'x') {
        const int len = conf_hex_parse(password, user.key, sizeof(user.key));

        if (len != 16 && len != 32) {
            secret_wipe(&user, sizeof(user));
            return "a key of 32 (MD5) or 64 (SHA-256) hexadecimal digits behind 0x";
        }
        user.key_len = (size_t)len;
    }
    user.password = bytes_of(user.key_len == 0 ? password : "");
    *out = user;
    secret_wipe(&user, sizeof(user));
    return NULL;
}

int conf_user_parse(const char *text, struct conf_user *out)
{
    return conf_user_fault(text, out) == NULL ? 0 : -EBADMSG;
}

int conf_prefix_parse(const char *text, struct net_ip *out_prefix, unsigned *out_bits)
{
    const char *slash = strchr(text, '/');
    struct net_ip prefix;
    unsigned bits;

    if (slash == NULL || strchr(text, ':') == NULL ||
        ip_read(text, (size_t)(slash - text), &prefix) < 0 || net_ip_is_v4(&prefix) ||
        bits_read(slash + 1, 96, &bits) < 0) {
        return -EBADMSG;
    }
    const bool allowed = bits == 96 || (bits >= 32 && bits <= 64 && bits % 8 == 0);
    if (!allowed || host_bits_any(&prefix, bits)) {
        return -EBADMSG;
    }
    *out_prefix = prefix;
    *out_bits = bits;
    return 0;
}
