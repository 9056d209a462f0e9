/* openssl.c - HTTPS through OpenSSL: a TLS library of your own behind uhttp_transport
 *
 *     build: cc -o openssl examples/openssl.c -lssl -lcrypto
 *     try:   ./openssl 8443 fullchain.pem privkey.pem, then curl -k https://localhost:8443/
 *
 * The server needs only six functions of a TLS library, none of which may block.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef struct peer {
    SSL *ssl;
    int fd;
    bool plain;         /* it speaks HTTP without TLS, and gets a 400 */
} peer;

static void *peer_open(void *user, intptr_t fd)
{
    peer *p = (peer *)calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->fd = (int)fd;
    p->ssl = SSL_new((SSL_CTX *)user);
    if (p->ssl != NULL && SSL_set_fd(p->ssl, p->fd) == 1) {
        SSL_set_accept_state(p->ssl);
        return p;
    }
    SSL_free(p->ssl);
    free(p);
    return NULL;
}

/* What a call of OpenSSL returned, in the words of a transport. */
static int peer_result(peer *p, int n)
{
    if (n > 0)
        return n;
    switch (SSL_get_error(p->ssl, n)) {
    case SSL_ERROR_WANT_READ:   return UHTTP_WANT_READ;
    case SSL_ERROR_WANT_WRITE:  return UHTTP_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return SSL_is_init_finished(p->ssl) ? 0 : UHTTP_FAILED;
    default:                    return UHTTP_FAILED;
    }
}

static int peer_handshake(void *t)
{
    peer *p = (peer *)t;
    ERR_clear_error();
    int n = SSL_do_handshake(p->ssl);
    if (n == 1)
        return 0;
    p->plain = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
    return p->plain ? UHTTP_PLAIN : peer_result(p, n);
}

/* What recv() or send() returned. */
static int peer_plain_result(ssize_t n, int wish)
{
    return n >= 0 ? (int)n : errno == EAGAIN ? wish : UHTTP_FAILED;
}

static int peer_recv(void *t, void *to, size_t room)
{
    peer *p = (peer *)t;
    ERR_clear_error();
    if (p->plain)
        return peer_plain_result(recv(p->fd, to, room, 0), UHTTP_WANT_READ);
    return peer_result(p, SSL_read(p->ssl, to, room < INT32_MAX ? (int)room : INT32_MAX));
}

static int peer_send(void *t, const uhttp_str *parts, int count)
{
    peer *p = (peer *)t;
    int sent = 0;
    ERR_clear_error();
    if (p->plain)
        return peer_plain_result(send(p->fd, parts[0].ptr, parts[0].len, 0), UHTTP_WANT_WRITE);
    for (int i = 0; i < count; i++) {
        int n = SSL_write(p->ssl, parts[i].ptr, parts[i].len < 65536 ? (int)parts[i].len : 65536);
        if (n <= 0)
            return sent > 0 ? sent : peer_result(p, n);
        sent += n;
        if ((size_t)n < parts[i].len)
            break;
    }
    return sent;
}

static size_t peer_pending(void *t) { return (size_t)SSL_pending(((peer *)t)->ssl); }

static void peer_close(void *t, bool only_write_side)
{
    peer *p = (peer *)t;
    if (only_write_side) {
        if (!p->plain)
            SSL_shutdown(p->ssl);
        shutdown(p->fd, SHUT_WR);
        return;
    }
    SSL_free(p->ssl);
    free(p);
}

static const uhttp_transport transport = {
    peer_open, peer_handshake, peer_recv, peer_send, peer_pending, peer_close
};

/* A port, 0 for any that is free; -1: neither. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    uhttp_tls_config tls = { 0 };
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int port = argc > 1 ? read_port(argv[1]) : -1;
    if (argc != 4 || port < 0) {
        fprintf(stderr, "usage: %s port chain.pem key.pem    port 0: any that is free\n", argv[0]);
        return 2;
    }
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "cannot use %s and %s: %s\n", argv[2], argv[3],
                ERR_reason_error_string(ERR_get_error()));
        return 1;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* a blocked write is repeated, perhaps from another place */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
    signal(SIGPIPE, SIG_IGN);           /* OpenSSL writes to sockets that may be gone */
    tls.transport = &transport;
    tls.transport_user = ctx;
    config.tls = &tls;
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    printf("listening on https://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            uhttp_respond_text(c, 200, "hello through OpenSSL\n");
    }
}
