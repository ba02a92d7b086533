/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/library.h"

#include <openssl/crypto.h>
#include <stddef.h>

#ifdef STERNA_PRECIS
#include <unicode/uvernum.h>
#endif

const char *crypto_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

const char *crypto_library_precis(void)
{
#ifdef STERNA_PRECIS
    return "ICU " U_ICU_VERSION;
#else
    return NULL;
#endif
}
