/* websocket.c - the smallest WebSocket server: sends back what it gets
 *
 *     build: cc -o websocket examples/websocket.c
 *     try:   ./websocket 8080, then open http://localhost:8080/
 *
 * uhttp_wait() returns messages like requests, so there is one loop for both. A message may have
 * max_ws_message_length bytes; for longer ones see websocket_events.c.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><meta charset=\"utf-8\"><title>WebSocket</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\n"
    "<style>:root{color-scheme:light dark;background:Canvas}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}input,button{font:inherit;padding:.4rem}</style>\n"
    "<main><h1>WebSocket</h1><p id=\"state\" role=\"status\">connecting</p>\n"
    "<form id=\"form\"><input id=\"text\" aria-label=\"message\" autocomplete=\"off\"> "
    "<button>Send</button></form><pre id=\"log\" role=\"log\"></pre></main>\n"
    "<script>\n"
    "const by = id => document.getElementById(id);\n"
    "const socket = new WebSocket(location.href.replace('http', 'ws') + 'ws');\n"
    "socket.onopen = () => by('state').textContent = 'connected';\n"
    "socket.onclose = event => by('state').textContent = 'closed, ' + event.code;\n"
    "socket.onmessage = event => by('log').append(event.data + '\\n');\n"
    "by('form').onsubmit = event => {\n"
    "    event.preventDefault();\n"
    "    socket.send(by('text').value);\n"
    "};\n"
    "</script></html>\n";

static void serve(uhttp_conn *c)
{
    size_t length;
    const char *message = uhttp_ws_message(c, &length);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_WS_MESSAGE:
        if (uhttp_ws_send(c, uhttp_ws_is_text(c) ? UHTTP_WS_TEXT : UHTTP_WS_BINARY, message,
                          length) == UHTTP_ERR_AGAIN)
            uhttp_ws_close(c, 1013, "you read too slowly");
        break;
    case UHTTP_EVENT_WS_CLOSE:
        printf("closed: %d %s\n", uhttp_ws_code(c), message);
        fflush(stdout);
        break;
    default:
        if (uhttp_is_websocket_request(c) && strcmp(uhttp_path(c), "/ws") == 0)
            uhttp_ws_accept(c, NULL);
        else if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_html(c, 200, page);
        else
            uhttp_respond_error(c, 404);
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
