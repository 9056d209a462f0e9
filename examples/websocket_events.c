/* websocket_events.c - WebSocket in event mode: messages of any length, in little memory
 *
 *     build: cc -o websocket_events examples/websocket_events.c
 *     try:   ./websocket_events 8080, then open http://localhost:8080/ and choose a file
 *
 * The page sends a file as one message, and the server answers with its length. A message longer
 * than max_ws_message_length arrives in parts, of which only one is in memory. Nothing more is
 * read until the program calls uhttp_wait() again, so a fast sender waits for a slow program.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><meta charset=\"utf-8\"><title>WebSocket events</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\n"
    "<style>:root{color-scheme:light dark;background:Canvas}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}input{font:inherit}</style>\n"
    "<main><h1>WebSocket events</h1><p id=\"state\" role=\"status\">connecting</p>\n"
    "<p><label>A file to send: <input id=\"file\" type=\"file\"></label></p>\n"
    "<pre id=\"log\" role=\"log\"></pre></main>\n"
    "<script>\n"
    "const by = id => document.getElementById(id);\n"
    "const socket = new WebSocket(location.href.replace('http', 'ws') + 'ws');\n"
    "socket.onopen = () => by('state').textContent = 'connected';\n"
    "socket.onclose = event => by('state').textContent = 'closed, ' + event.code;\n"
    "socket.onmessage = event => by('log').append(event.data + '\\n');\n"
    "by('file').onchange = () => socket.send(by('file').files[0]);\n"
    "</script></html>\n";

/* What has come of a message so far. */
typedef struct total {
    uint64_t bytes;
    unsigned parts;
} total;

static void add(uhttp_conn *c, total *t)
{
    size_t length;
    uhttp_ws_message(c, &length);       /* here a program would write it to flash */
    t->bytes += length;
    t->parts++;
}

static void answer(uhttp_conn *c, total *t)
{
    add(c, t);
    uhttp_ws_printf(c, "%llu bytes in %u part%s", (unsigned long long)t->bytes, t->parts,
                    t->parts == 1 ? "" : "s");
    memset(t, 0, sizeof *t);
}

static void serve(uhttp_conn *c)
{
    total *t = (total *)uhttp_context(c);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_WS_REQUEST:
        t = strcmp(uhttp_path(c), "/ws") == 0 ? (total *)calloc(1, sizeof *t) : NULL;
        if (t == NULL) {
            uhttp_respond_error(c, 404);
        } else if (uhttp_ws_accept(c, NULL) == UHTTP_OK) {
            uhttp_set_context(c, t);
        } else {
            free(t);
        }
        break;
    case UHTTP_EVENT_WS_CHUNK_FIRST:
    case UHTTP_EVENT_WS_CHUNK_NEXT:
        add(c, t);
        break;
    case UHTTP_EVENT_WS_CHUNK_LAST:
    case UHTTP_EVENT_WS_MESSAGE:
        answer(c, t);
        break;
    case UHTTP_EVENT_WS_PING:           /* has been answered already */
        break;
    case UHTTP_EVENT_WS_CLOSE:          /* always the last event: the place to clean up */
        printf("closed: %d %s\n", uhttp_ws_code(c), uhttp_ws_message(c, NULL));
        fflush(stdout);
        free(t);
        break;
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
        if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_html(c, 200, page);
        else
            uhttp_respond_error(c, 404);
        break;
    default:                            /* nothing else happens here */
        break;
    }
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
    uhttp_server *server;
    uhttp_config config = { 0 };
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    if (argc > 2 || port < 0) {
        fprintf(stderr, "usage: %s [port]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.event_mode = true;
    config.max_ws_message_length = 4096;        /* of a part */
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }
}
