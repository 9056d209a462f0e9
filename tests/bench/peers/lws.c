/* libwebsockets' HTTP side among its peers: one service thread. */
#include "peer.h"

#include <libwebsockets.h>
#include <stdbool.h>

enum { PIECE = 65536 };

struct request {
    size_t sent;            /* of what "/memory" sends */
};

static int finish(struct lws *wsi)
{
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int answer(struct lws *wsi, const char *type, size_t length)
{
    unsigned char head[LWS_PRE + 512], *at = head + LWS_PRE, *start = at;
    if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK, type, length, &at, head + sizeof head) != 0)
        return 1;
    if (length == 5) {      /* one write for head and body */
        if (lws_finalize_http_header(wsi, &at, head + sizeof head) != 0)
            return 1;
        memcpy(at, "hello", 5);
        lws_write(wsi, start, (size_t)(at - start) + 5, LWS_WRITE_HTTP_FINAL);
        return finish(wsi);
    }
    if (lws_finalize_write_http_header(wsi, start, &at, head + sizeof head) != 0)
        return 1;
    lws_callback_on_writable(wsi);
    return 0;
}

static int send_piece(struct lws *wsi, struct request *r)
{
    static unsigned char piece[LWS_PRE + PIECE];
    if (r->sent >= PEER_MEMORY)
        return 0;
    memcpy(piece + LWS_PRE, peer.memory + r->sent, PIECE);
    r->sent += PIECE;
    bool last = r->sent == PEER_MEMORY;
    lws_write(wsi, piece + LWS_PRE, PIECE, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
    if (last)
        return finish(wsi);
    lws_callback_on_writable(wsi);
    return 0;
}

static int serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    char path[512];
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        ((struct request *)user)->sent = PEER_MEMORY;
        if (lws_hdr_total_length(wsi, WSI_TOKEN_PUT_URI) > 0)
            return 0;
        if (strcmp((const char *)in, "/") == 0)
            return answer(wsi, "text/plain; charset=utf-8", 5);
        if (strcmp((const char *)in, "/memory") == 0) {
            ((struct request *)user)->sent = 0;
            return answer(wsi, "application/octet-stream", PEER_MEMORY);
        }
        snprintf(path, sizeof path, "%s%s", peer.root, (const char *)in);
        return lws_serve_http_file(wsi, path, "application/octet-stream", NULL, 0) < 0 ? -1 : 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return answer(wsi, "text/plain; charset=utf-8", 5);
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
        return finish(wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return send_piece(wsi, (struct request *)user);
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, length);
    }
}

static const struct lws_protocols protocols[] = {
    { "http", serve, sizeof(struct request), 0, 0, NULL, 0 },
    { NULL, NULL, 0, 0, 0, NULL, 0 }
};

int main(int argc, char **argv)
{
    peer_begin(argc, argv);
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    lws_set_log_level(LLL_ERR, NULL);
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.max_http_header_pool = (unsigned short)(peer.connections < 60000 ? peer.connections : 60000);
    struct lws_context *context = lws_create_context(&info);
    if (context == NULL)
        peer_die("lws_create_context failed");
    info.protocols = protocols;
    info.iface = "127.0.0.1";
    info.keepalive_timeout = 600;
    info.port = peer.port;
    if (lws_create_vhost(context, &info) == NULL)
        peer_die("lws_create_vhost failed");
    if (peer.tls_port != 0) {
        info.port = peer.tls_port;
        info.vhost_name = "tls";
        info.ssl_cert_filepath = peer.certificate;
        info.ssl_private_key_filepath = peer.key;
        if (lws_create_vhost(context, &info) == NULL)
            peer_die("lws_create_vhost with TLS failed");
    }
    while (lws_service(context, 0) >= 0) { }
    return 0;
}
