/* tls.c - see tls.h: mbedTLS with a heap of its own, certificate and key in flash */
#include "tls.h"

#ifdef UHTTP_TLS

#include "board.h"
#include "certificate.h"        /* CERTIFICATE and KEY as PEM; made by the Makefile */

#include <mbedtls/memory_buffer_alloc.h>

/* A connection takes some 25 KB while it is open (16 KB in, 4 KB out, the session) and 6 KB more
 * during its handshake. Room for two, as max_handshakes allows, and two more that are open. */
#define HEAP 120000

static unsigned char heap[HEAP];

/* NOT RANDOM, for the emulator only: a product reads its hardware's generator here. */
static bool not_random(void *user, void *to, size_t length)
{
    uint8_t *bytes = (uint8_t *)to;
    (void)user;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)board_random();
    return true;
}

uhttp_result tls_listen(uhttp_server *server, int port)
{
    static char error[128];
    uhttp_tls_config tls = { 0 };
    mbedtls_memory_buffer_alloc_init(heap, sizeof heap);
    tls.certificate.chain = CERTIFICATE;
    tls.certificate.key = KEY;
    tls.entropy = not_random;
    tls.error = error;
    tls.error_size = sizeof error;
    uhttp_result result = uhttp_server_listen(server, NULL, port, &tls);
    if (result != UHTTP_OK)
        board_say(error);
    return result;
}

void tls_status(uhttp_json_writer *w)
{
    size_t bytes, blocks;
    mbedtls_memory_buffer_alloc_max_get(&bytes, &blocks);
    uhttp_json_key(w, "tls_heap_most");
    uhttp_json_uint(w, bytes);
    mbedtls_memory_buffer_alloc_cur_get(&bytes, &blocks);
    uhttp_json_key(w, "tls_heap");
    uhttp_json_uint(w, bytes);
}

#else

uhttp_result tls_listen(uhttp_server *server, int port)
{
    (void)server, (void)port;
    return UHTTP_OK;
}

void tls_status(uhttp_json_writer *w)
{
    (void)w;
}

#endif
