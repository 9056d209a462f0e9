/* The first program of the README as firmware: its size is what the header costs on a
 * Cortex-M4. The memory is the firmware's, the network lwIP's. */
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <string.h>

static unsigned char memory[UHTTP_MEMORY_SIZE(5, 1024)];

int main(void)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    config.memory = memory;
    config.memory_size = sizeof memory;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        return 1;
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c == NULL)
            continue;
#ifdef HELLO_WEBSOCKET              /* sends back what it gets, as all of section 12 can */
        size_t length;
        const char *message = uhttp_ws_message(c, &length);
        if (uhttp_event(c) == UHTTP_EVENT_WS_MESSAGE) {
            (void)uhttp_ws_send(c, UHTTP_WS_TEXT, message, length);
            continue;
        }
        if (uhttp_event(c) == UHTTP_EVENT_WS_CLOSE)
            continue;
        if (uhttp_is_websocket_request(c)) {
            (void)uhttp_ws_accept(c, NULL);
            continue;
        }
#endif
        if (strcmp(uhttp_path(c), "/") == 0)
            (void)uhttp_respond_html(c, 200, "<h1>hello</h1>");
        else
            (void)uhttp_respond_error(c, 404);
    }
}
