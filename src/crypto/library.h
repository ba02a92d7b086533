/* SPDX-License-Identifier: Apache-2.0 */
/* Which libraries stand behind crypto/, for `sterna version`.  Thread: any. */
#pragma once

/* "OpenSSL 3.0.15 3 Sep 2024", of the library in use. */
const char *crypto_library(void);

/* "ICU 72.1" of the headers it was built with; NULL when built without (only ASCII names then). */
const char *crypto_library_precis(void);
