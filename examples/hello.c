/* hello.c - the smallest useful server
 *
 *     build: cc -o hello examples/hello.c
 *     try:   ./hello 8080, then curl http://localhost:8080/
 *
 * It prints where it listens, answers requests for "/", and ends on Ctrl-C.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stop;
static uhttp_server *server;

static void on_interrupt(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/* Reads a port; -1: not one. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0';
    return is_number && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
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
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);

    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c == NULL)
            continue;                               /* a quiet second: do your own work */
        if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_html(c, 200, "<h1>hello</h1>\n");
        else
            uhttp_respond_error(c, 404);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
