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
        if (strcmp(uhttp_path(c), "/") == 0)
            (void)uhttp_respond_html(c, 200, "<h1>hello</h1>");
        else
            (void)uhttp_respond_error(c, 404);
    }
}
