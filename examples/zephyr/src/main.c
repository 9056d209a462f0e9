/* uHTTP on Zephyr: a page, a value as JSON and a switch, in fixed memory. The loop runs in
 * main(); other threads call uhttp_server_wakeup(). */
#include <stdio.h>
#include <string.h>
#include <zephyr/kernel.h>

#define UHTTP_NO_HEAP
#define UHTTP_NO_FILES
#define UHTTP_NO_MULTIPART
#define UHTTP_NO_WEBSOCKET
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"

#define SLOTS  5
#define BUFFER 1024

static const char page[] =
    "<!DOCTYPE html><title>Zephyr</title><h1>Zephyr</h1><p>Up for <b id=t>?</b> s</p>"
    "<script>setInterval(async () => { let r = await fetch('/api/uptime');"
    "t.textContent = (await r.json()).seconds }, 1000)</script>";

static uint8_t memory[UHTTP_MEMORY_SIZE(SLOTS, BUFFER)];

static void log_line(void *user, const char *line)
{
    (void)user;
    printk("%s\n", line);
}

static uhttp_result answer(uhttp_conn *c)
{
    if (strcmp(uhttp_path(c), "/") == 0)
        return uhttp_respond_static(c, 200, "text/html", page, sizeof page - 1);
    if (strcmp(uhttp_path(c), "/api/uptime") == 0)
        return uhttp_respond_printf(c, 200, "application/json", "{\"seconds\":%ld}",
                                    (long)(k_uptime_get() / 1000));
    return uhttp_respond_error(c, 404);
}

int main(void)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    config.port = 80;
    config.max_connections = SLOTS;
    config.backlog = 2;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.log = log_line;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        printk("cannot listen: %s\n", uhttp_strerror(result));
        return 0;
    }
    printk("listening on port %d\n", uhttp_server_port(server));
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c != NULL)
            (void)answer(c);        /* a failure is logged, and answered with 500 */
    }
}
