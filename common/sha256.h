/*
 * sha256: SHA-256 (FIPS 180-4), of what is short and in memory.
 */
#ifndef COMMON_SHA256_H
#define COMMON_SHA256_H

#include <stddef.h>

enum { SHA256_HEX_SIZE = 65 }; /* with the NUL */

/* In hexadecimal, lower case. */
void sha256_hex(const void *data, size_t len, char hex[SHA256_HEX_SIZE]);

#endif
