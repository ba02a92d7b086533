/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/precis_class.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>

enum verdict { DISALLOWED, ALLOWED, CONTEXT };

enum { NONE = -1, VIRAMA = 9 };

struct place {
    const UChar32 *text;
    int32_t n;
    int32_t at;
};

static UChar32 before(const struct place *place)
{
    return place->at > 0 ? place->text[place->at - 1] : NONE;
}

static UChar32 after(const struct place *place)
{
    return place->at + 1 < place->n ? place->text[place->at + 1] : NONE;
}

static UScriptCode script_of(UChar32 c)
{
    UErrorCode status = U_ZERO_ERROR;
    const UScriptCode script = c == NONE ? USCRIPT_UNKNOWN : uscript_getScript(c, &status);

    return U_FAILURE(status) ? USCRIPT_UNKNOWN : script;
}

static bool has_between(const struct place *place, UChar32 first, UChar32 last)
{
    for (int32_t i = 0; i < place->n; i++) {
        if (place->text[i] >= first && place->text[i] <= last) {
            return true;
        }
    }
    return false;
}

static bool has_japanese(const struct place *place)
{
    for (int32_t i = 0; i < place->n; i++) {
        const UScriptCode script = script_of(place->text[i]);
        if (script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA || script == USCRIPT_HAN) {
            return true;
        }
    }
    return false;
}

static int32_t joining_type(UChar32 c)
{
    return u_getIntPropertyValue(c, UCHAR_JOINING_TYPE);
}

/* RFC 5892 appendix A.1: ((L | D) T* ZWNJ T* (R | D)). */
static bool joins_around(const struct place *place)
{
    int32_t left = place->at - 1;
    int32_t right = place->at + 1;

    while (left >= 0 && joining_type(place->text[left]) == U_JT_TRANSPARENT) {
        left--;
    }
    while (right < place->n && joining_type(place->text[right]) == U_JT_TRANSPARENT) {
        right++;
    }
    if (left < 0 || right == place->n) {
        return false;
    }
    const int32_t from = joining_type(place->text[left]);
    const int32_t to = joining_type(place->text[right]);
    return (from == U_JT_LEFT_JOINING || from == U_JT_DUAL_JOINING) &&
           (to == U_JT_RIGHT_JOINING || to == U_JT_DUAL_JOINING);
}

/* The rules for code points that need a context (RFC 5892 appendix A.1 to A.9). */
static bool context_allows(UChar32 c, const struct place *place)
{
    const UChar32 prev = before(place);

    switch (c) {
    case 0x200c:
        return (prev != NONE && u_getCombiningClass(prev) == VIRAMA) || joins_around(place);
    case 0x200d:
        return prev != NONE && u_getCombiningClass(prev) == VIRAMA;
    case 0x00b7:
        return prev == 0x6c && after(place) == 0x6c;
    case 0x0375:
        return script_of(after(place)) == USCRIPT_GREEK;
    case 0x05f3:
    case 0x05f4:
        return script_of(prev) == USCRIPT_HEBREW;
    case 0x30fb:
        return has_japanese(place);
    default: /* ARABIC-INDIC DIGITS and EXTENDED ones do not mix */
        return c <= 0x0669 ? !has_between(place, 0x06f0, 0x06f9)
                           : !has_between(place, 0x0660, 0x0669);
    }
}

/* RFC 8264 section 9.6 and the join controls of section 9.8. */
static bool is_exception(UChar32 c, enum verdict *out)
{
    switch (c) {
    case 0x0640:
    case 0x07fa:
    case 0x302e:
    case 0x302f:
    case 0x303b:
        *out = DISALLOWED;
        return true;
    case 0x00b7:
    case 0x0375:
    case 0x05f3:
    case 0x05f4:
    case 0x30fb:
    case 0x200c:
    case 0x200d:
        *out = CONTEXT;
        return true;
    default:
        break;
    }
    if (c >= 0x3031 && c <= 0x3035) {
        *out = DISALLOWED;
        return true;
    }
    if ((c >= 0x0660 && c <= 0x0669) || (c >= 0x06f0 && c <= 0x06f9)) {
        *out = CONTEXT;
        return true;
    }
    return false;
}

/* RFC 8264 section 9.17: normalization form KC changes it. */
static bool has_compat(UChar32 c)
{
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&status);
    UChar one[2];
    int32_t n = 0;

    u_strFromUTF32(one, 2, &n, &c, 1, &status);
    return U_SUCCESS(status) && !unorm2_isNormalized(nfkc, one, n, &status) && U_SUCCESS(status);
}

/* The order of tests is that of RFC 8264 section 8. */
static enum verdict judge(UChar32 c)
{
    enum verdict verdict;

    if (is_exception(c, &verdict)) {
        return verdict;
    }
    if (u_charType(c) == U_UNASSIGNED) {
        return DISALLOWED;
    }
    if (c >= 0x20 && c <= 0x7e) {
        return ALLOWED;
    }
    const int32_t syllable = u_getIntPropertyValue(c, UCHAR_HANGUL_SYLLABLE_TYPE);
    if (syllable == U_HST_LEADING_JAMO || syllable == U_HST_VOWEL_JAMO ||
        syllable == U_HST_TRAILING_JAMO) {
        return DISALLOWED;
    }
    if (u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) ||
        u_hasBinaryProperty(c, UCHAR_NONCHARACTER_CODE_POINT) || u_charType(c) == U_CONTROL_CHAR) {
        return DISALLOWED;
    }
    const uint32_t free_form =
        U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK | U_GC_ZS_MASK | U_GC_S_MASK | U_GC_P_MASK;
    return has_compat(c) || (U_GET_GC_MASK(c) & free_form) != 0 ? ALLOWED : DISALLOWED;
}

bool precis_class_freeform(const UChar32 *text, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const struct place place = {text, n, i};
        const enum verdict verdict = judge(text[i]);
        if (verdict == DISALLOWED || (verdict == CONTEXT && !context_allows(text[i], &place))) {
            return false;
        }
    }
    return true;
}
