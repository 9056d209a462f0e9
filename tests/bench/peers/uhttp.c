/* uHTTP among its peers; built once for each poller (UHTTP_POLLER), and with UHTTP_TLS. */
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include "peer.h"

static void serve(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    if (strcmp(path, "/") == 0)
        (void)uhttp_respond_text(c, 200, "hello");
    else if (strcmp(path, "/memory") == 0)
        (void)uhttp_respond_static(c, 200, "application/octet-stream", peer.memory, PEER_MEMORY);
    else
        (void)uhttp_serve_dir(c, peer.root, "/");
}

/* Event mode, so that an upload is read piece by piece. */
static void hear(uhttp_conn *c)
{
    size_t length;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
        serve(c);
        break;
    case UHTTP_EVENT_HEADERS:
        (void)uhttp_accept_body_streaming(c, 0);
        break;
    case UHTTP_EVENT_DATA:
        (void)uhttp_read_buffer(c, &length);
        break;
    case UHTTP_EVENT_COMPLETE:
        (void)uhttp_respond_text(c, 200, "hello");
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    peer_begin(argc, argv);
    uhttp_server *server;
    uhttp_config config = { 0 };
    config.address = "127.0.0.1";
    config.port = peer.port;
    config.backlog = 1024;
    config.event_mode = true;
    config.max_connections = peer.connections;
    config.keep_alive_timeout_ms = 600000;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    uhttp_result result = uhttp_server_open(&server, &config);
#ifdef UHTTP_TLS
    uhttp_tls_config tls = { 0 };
    tls.certificate.chain_file = peer.certificate;
    tls.certificate.key_file = peer.key;
    if (result == UHTTP_OK && peer.tls_port != 0)
        result = uhttp_server_listen(server, "127.0.0.1", peer.tls_port, &tls);
#endif
    if (result != UHTTP_OK)
        peer_die(uhttp_strerror(result));
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            hear(c);
    }
}
