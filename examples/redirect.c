/* redirect.c - HTTP and HTTPS in one server: requests over HTTP are redirected to HTTPS
 *
 *     build: cc -o redirect examples/redirect.c -lmbedtls -lmbedx509 -lmbedcrypto
 *     try:   ./redirect 8443 8080 fullchain.pem privkey.pem, then curl -kL http://localhost:8080/
 */
#define UHTTP_TLS 1
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The same address with https:// and the secure port; 308 keeps method and body. */
static void send_to_https(uhttp_conn *c, int port)
{
    char url[1024];
    const char *host = uhttp_host(c);
    const char *target = uhttp_url(c);
    size_t length = host == NULL ? 0 : host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    const char *path = target[0] == '/' ? target : "/";
    int n = port == 443 ? snprintf(url, sizeof url, "https://%.*s%s", (int)length, host, path)
                        : snprintf(url, sizeof url, "https://%.*s:%d%s", (int)length, host, port,
                                   path);
    if (length == 0 || n >= (int)sizeof url)
        uhttp_respond_error(c, length == 0 ? 400 : 414);
    else
        uhttp_respond_redirect(c, 308, url);
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
    int plain_port = argc > 2 ? read_port(argv[2]) : -1;
    if (argc != 5 || port < 0 || plain_port < 0) {
        fprintf(stderr, "usage: %s port plain_port chain.pem key.pem    port 0: any that is free\n",
                argv[0]);
        return 2;
    }
    tls.certificate.chain_file = argv[3];
    tls.certificate.key_file = argv[4];
    tls.error = error;
    tls.error_size = sizeof error;
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.tls = &tls;
    config.max_connections = 20;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result == UHTTP_OK)
        result = uhttp_server_listen(server, config.address,
                                     plain_port == 0 ? UHTTP_PORT_ANY : plain_port, NULL);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on ports %d and %d: %s\n", port, plain_port,
                error[0] != '\0' ? error : uhttp_strerror(result));
        return 1;
    }
    printf("listening on https://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c == NULL)
            continue;
        if (!uhttp_is_secure(c))
            send_to_https(c, uhttp_server_port(server));
        else
            uhttp_respond_text(c, 200, uhttp_path(c));
    }
}
