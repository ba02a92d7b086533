/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/precis.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* Printable ASCII maps to itself in both profiles, and is all that is taken without ICU. */
static bool is_ascii(struct bytes in)
{
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] < 0x20 || in.p[i] > 0x7e) {
            return false;
        }
    }
    return in.n > 0;
}

static int copy_out(struct bytes in, char *out, size_t cap)
{
    if (in.n >= cap) {
        return -ENOBUFS;
    }
    memcpy(out, in.p, in.n);
    out[in.n] = '\0';
    return (int)in.n;
}

#ifdef STERNA_PRECIS

#include <unicode/unorm2.h>
#include <unicode/usprep.h>
#include <unicode/ustring.h>

#include "base/secret.h"
#include "crypto/precis_class.h"

enum { TEXT_MAX = 800 }; /* UTF-16 units: more than any attribute of STUN holds */

struct text {
    UChar units[TEXT_MAX];
    int32_t n;
};

static int decode(struct bytes in, struct text *out)
{
    UErrorCode status = U_ZERO_ERROR;

    if (in.n == 0) {
        return -EBADMSG;
    }
    if (in.n > INT32_MAX) {
        return -ENOBUFS;
    }
    u_strFromUTF8(out->units, TEXT_MAX, &out->n, (const char *)in.p, (int32_t)in.n, &status);
    if (status == U_BUFFER_OVERFLOW_ERROR) {
        return -ENOBUFS;
    }
    return U_FAILURE(status) ? -EBADMSG : 0;
}

static int encode(const struct text *in, char *out, size_t cap)
{
    UErrorCode status = U_ZERO_ERROR;
    int32_t n = 0;

    if (in->n == 0) {
        return -EBADMSG; /* RFC 8265 section 4.2.2: no empty result */
    }
    u_strToUTF8(out, cap > INT32_MAX ? INT32_MAX : (int32_t)cap, &n, in->units, in->n, &status);
    if (status == U_BUFFER_OVERFLOW_ERROR || status == U_STRING_NOT_TERMINATED_WARNING) {
        return -ENOBUFS;
    }
    return U_FAILURE(status) ? -EBADMSG : n;
}

static bool is_freeform(const struct text *text)
{
    UErrorCode status = U_ZERO_ERROR;
    UChar32 points[TEXT_MAX];
    int32_t n = 0;

    u_strToUTF32(points, TEXT_MAX, &n, text->units, text->n, &status);
    const bool ok = U_SUCCESS(status) && precis_class_freeform(points, n);
    secret_wipe(points, sizeof(points));
    return ok;
}

/* RFC 8265 section 4.2.2, rule 2: every space is U+0020.  All spaces are in the basic plane. */
static void map_spaces(struct text *text)
{
    for (int32_t i = 0; i < text->n; i++) {
        if (u_charType(text->units[i]) == U_SPACE_SEPARATOR) {
            text->units[i] = 0x20;
        }
    }
}

static int normalize(const struct text *in, struct text *out)
{
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *nfc = unorm2_getNFCInstance(&status);

    out->n = unorm2_normalize(nfc, in->units, in->n, out->units, TEXT_MAX, &status);
    if (status == U_BUFFER_OVERFLOW_ERROR) {
        return -ENOBUFS;
    }
    return U_FAILURE(status) ? -EBADMSG : 0;
}

static int opaque_string(struct bytes in, char *out, size_t cap)
{
    struct text text;
    struct text nfc;
    int err = decode(in, &text);

    nfc.n = 0;
    if (err == 0 && !is_freeform(&text)) {
        err = -EBADMSG; /* RFC 8265 section 4.2.1 */
    }
    if (err == 0) {
        map_spaces(&text);
        err = normalize(&text, &nfc);
    }
    if (err == 0 && !is_freeform(&nfc)) {
        err = -EBADMSG;
    }
    err = err < 0 ? err : encode(&nfc, out, cap);
    secret_wipe(&text, sizeof(text));
    secret_wipe(&nfc, sizeof(nfc));
    return err;
}

static int saslprep(struct bytes in, char *out, size_t cap)
{
    struct text text;
    struct text mapped;
    int err = decode(in, &text);

    mapped.n = 0;
    if (err == 0) {
        UErrorCode status = U_ZERO_ERROR;
        UStringPrepProfile *profile = usprep_openByType(USPREP_RFC4013_SASLPREP, &status);
        mapped.n = U_FAILURE(status) ? 0
                                     : usprep_prepare(profile, text.units, text.n, mapped.units,
                                                      TEXT_MAX, USPREP_DEFAULT, NULL, &status);
        usprep_close(profile);
        if (U_FAILURE(status)) {
            err = status == U_BUFFER_OVERFLOW_ERROR ? -ENOBUFS : -EBADMSG;
        }
    }
    err = err < 0 ? err : encode(&mapped, out, cap);
    secret_wipe(&text, sizeof(text));
    secret_wipe(&mapped, sizeof(mapped));
    return err;
}

#else

static int opaque_string(struct bytes in, char *out, size_t cap)
{
    (void)in;
    (void)out;
    (void)cap;
    return -EBADMSG;
}

static int saslprep(struct bytes in, char *out, size_t cap)
{
    return opaque_string(in, out, cap);
}

#endif

int precis_opaque_string(struct bytes in, char *out, size_t cap)
{
    return is_ascii(in) ? copy_out(in, out, cap) : opaque_string(in, out, cap);
}

int precis_saslprep(struct bytes in, char *out, size_t cap)
{
    return is_ascii(in) ? copy_out(in, out, cap) : saslprep(in, out, cap);
}
