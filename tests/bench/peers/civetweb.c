/* civetweb among its peers: a thread for each connection that is open at once, as it works. */
#include "peer.h"

#include <civetweb.h>
#include <unistd.h>

static int answer(struct mg_connection *c, const char *type, const void *data, size_t length)
{
    mg_response_header_start(c, 200);
    mg_response_header_add(c, "Content-Type", type, -1);
    char text[24];
    snprintf(text, sizeof text, "%zu", length);
    mg_response_header_add(c, "Content-Length", text, -1);
    mg_response_header_send(c);
    mg_write(c, data, length);
    return 200;
}

static int serve(struct mg_connection *c)
{
    const struct mg_request_info *info = mg_get_request_info(c);
    const char *url = info->local_uri;
    if (strcmp(info->request_method, "PUT") == 0) {
        char piece[8192];
        while (mg_read(c, piece, sizeof piece) > 0) { }
        return answer(c, "text/plain; charset=utf-8", "hello", 5);
    }
    if (strcmp(url, "/") == 0)
        return answer(c, "text/plain; charset=utf-8", "hello", 5);
    if (strcmp(url, "/memory") == 0)
        return answer(c, "application/octet-stream", peer.memory, PEER_MEMORY);
    return 0;       /* its own way of serving a file below document_root */
}

int main(int argc, char **argv)
{
    char ports[64], threads[16];
    peer_begin(argc, argv);
    snprintf(ports, sizeof ports, peer.tls_port != 0 ? "127.0.0.1:%d,127.0.0.1:%ds" :
             "127.0.0.1:%d", peer.port, peer.tls_port);
    snprintf(threads, sizeof threads, "%u", peer.connections);
    const char *options[] = {
        "listening_ports", ports, "document_root", peer.root, "num_threads", threads, "enable_keep_alive", "yes",
        "keep_alive_timeout_ms", "600000", "request_timeout_ms", "600000", "tcp_nodelay", "1",
        "listen_backlog", "1024", "connection_queue", "1024",
        peer.tls_port != 0 ? "ssl_certificate" : NULL, peer.certificate, NULL
    };
    struct mg_callbacks callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.begin_request = serve;
    mg_init_library(peer.tls_port != 0 ? MG_FEATURES_TLS : 0);
    if (mg_start(&callbacks, NULL, options) == NULL)
        peer_die("mg_start failed");
    pause();
    return 0;
}
