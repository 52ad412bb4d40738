#include "common/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

void sha256_hex(const void *data, size_t len, char hex[SHA256_HEX_SIZE])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n;

    if (EVP_Digest(data, len, hash, &n, EVP_sha256(), NULL) != 1 ||
        2 * (size_t)n + 1 != SHA256_HEX_SIZE)
        abort();
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", hash[i]);
}
