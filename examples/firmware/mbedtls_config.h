/* mbedtls_config.h - mbedTLS 2.28 for one small device: TLS 1.2 with ECDHE-ECDSA on P-256 and
 * AES-128-GCM, which every browser and curl of today takes; no files, no clock, no allocator but the
 * buffer of tls.c. Some 68 KB of flash. */

/* what it stands on */
#define MBEDTLS_HAVE_ASM
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_MEMORY_BUFFER_ALLOC_C
#define MBEDTLS_MEMORY_DEBUG            /* how much of it was used: GET /api/status */
#define MBEDTLS_NO_PLATFORM_ENTROPY     /* tls.c gives some */
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_CTR_DRBG_C

/* ciphers and digests */
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ROM_TABLES          /* 2 KB of flash instead of 8 KB of RAM, */
#define MBEDTLS_AES_FEWER_TABLES        /* at a few per cent of speed */
#define MBEDTLS_CIPHER_C
#define MBEDTLS_GCM_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA224_C
#define MBEDTLS_SHA256_C

/* keys and certificates */
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECDSA_DETERMINISTIC     /* a bad random number then does not give the key away */
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECP_WINDOW_SIZE 4       /* 2 saves a KB of heap and takes a fifth longer */
#define MBEDTLS_HMAC_DRBG_C
#define MBEDTLS_OID_C
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_USE_C

/* TLS */
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_SSL_ALPN
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_SESSION_TICKETS     /* a browser that comes back saves both of us the curves */
#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_TICKET_C
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_IN_CONTENT_LEN  16384   /* a client may send records of this size */
#define MBEDTLS_SSL_OUT_CONTENT_LEN 4096    /* what we send is up to us */

#include "mbedtls/check_config.h"
