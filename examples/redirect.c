/* redirect.c - HTTP and HTTPS in one server: who asks without TLS is sent to where there is TLS
 *
 *     cc -o redirect examples/redirect.c -lmbedtls -lmbedx509 -lmbedcrypto
 *     ./redirect 8443 8080 fullchain.pem privkey.pem
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

int main(int argc, char **argv)
{
    static char error[200];
    uhttp_server *server;
    uhttp_config config = { 0 };
    uhttp_tls_config tls = { 0 };
    if (argc != 5) {
        fprintf(stderr, "usage: %s port plain_port chain.pem key.pem    port 0: any\n", argv[0]);
        return 2;
    }
    int port = atoi(argv[1]) == 0 ? UHTTP_PORT_ANY : atoi(argv[1]);
    tls.certificate.chain_file = argv[3];
    tls.certificate.key_file = argv[4];
    tls.error = error;
    tls.error_size = sizeof error;
    config.port = port;
    config.tls = &tls;
    config.max_connections = 20;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result == UHTTP_OK)
        result = uhttp_server_listen(server, config.address, atoi(argv[2]), NULL);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen: %s %s\n", uhttp_strerror(result), error);
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
