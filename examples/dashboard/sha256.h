/* sha256.h - SHA-256 (FIPS 180-4), for data that arrives in pieces */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX 65       /* 64 digits and a NUL */

typedef struct sha256 {
    uint32_t state[8];
    uint64_t length;        /* bytes so far */
    uint8_t block[64];
} sha256;

void sha256_begin(sha256 *s);
void sha256_add(sha256 *s, const void *data, size_t length);
void sha256_end(sha256 *s, char *hex);      /* hex: SHA256_HEX bytes */

#endif
