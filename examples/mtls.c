/* mtls.c - mutual TLS: only clients with a certificate of your own authority may connect
 *
 *     build: cc -o mtls examples/mtls.c -lmbedtls -lmbedx509 -lmbedcrypto
 *     try:   ./mtls 8443 server.pem server.key ca.pem "O=Example, CN=alice", then
 *            curl --cacert ca.pem --cert alice.pem --key alice.key https://localhost:8443/admin
 *
 * Clients without a certificate cannot connect at all. Only the one whose subject is the last
 * argument may see /admin. Subjects are compared as a whole: their parts may contain anything
 * the authority has signed.
 */
#define UHTTP_TLS 1
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *administrator;

static void answer(uhttp_conn *c)
{
    char subject[256], text[300];
    if (uhttp_client_subject(c, subject, sizeof subject) <= 0 ||
        (strcmp(uhttp_path(c), "/admin") == 0 && strcmp(subject, administrator) != 0)) {
        uhttp_respond_error(c, 403);
        return;
    }
    snprintf(text, sizeof text, "hello %s\n", subject);
    uhttp_respond_text(c, 200, text);
}

/* A port, 0 for any that is free; -1: neither. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    static char error[200];
    uhttp_server *server;
    uhttp_config config = { 0 };
    uhttp_tls_config tls = { 0 };
    int port = argc > 1 ? read_port(argv[1]) : -1;
    if (argc != 6 || port < 0) {
        fprintf(stderr, "usage: %s port chain.pem key.pem ca.pem subject    "
                "port 0: any that is free\n", argv[0]);
        return 2;
    }
    administrator = argv[5];
    tls.certificate.chain_file = argv[2];
    tls.certificate.key_file = argv[3];
    tls.client_certificate = UHTTP_CLIENT_REQUIRED;
    tls.client_ca_file = argv[4];
    tls.error = error;
    tls.error_size = sizeof error;
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.tls = &tls;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port,
                error[0] != '\0' ? error : uhttp_strerror(result));
        return 1;
    }
    printf("listening on https://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            answer(c);
    }
}
