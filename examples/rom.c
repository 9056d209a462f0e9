/* rom.c - a device's page, script and picture, compiled into the program
 *
 *     build: cc -o rom examples/rom.c
 *     try:   ./rom 8080, then open http://localhost:8080/
 *
 * The files of examples/rom/ are in rom_files.h, which rom_pack.sh writes:
 *
 *     sh examples/rom_pack.sh examples/rom >examples/rom_files.h
 *
 * They are sent without a copy and with entity tags, so that a browser downloads each only once
 * and then gets 304. All memory is one block, as in firmware; nothing is ever allocated.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"
#include "rom_files.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECTIONS 4
#define BUFFER      1024
#define FILES       (sizeof rom_files / sizeof *rom_files)

static unsigned char memory[UHTTP_MEMORY_SIZE(CONNECTIONS, BUFFER)];
static volatile sig_atomic_t stop;
static uhttp_server *server;
static time_t started;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

static void answer(uhttp_conn *c)
{
    uhttp_result result;
    if (strcmp(uhttp_path(c), "/status") == 0) {
        char json[64];
        snprintf(json, sizeof json, "{\"uptime_s\":%ld}", (long)(time(NULL) - started));
        result = uhttp_respond_json(c, 200, json);
    } else {
        result = uhttp_serve_rom(c, rom_files, FILES, "/");
    }
    if (result != UHTTP_OK && result != UHTTP_ERR_CLOSED)
        uhttp_close(c);
}

/* Reads a port, 0 for any that is free; -1: neither. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && port <= 65535 ? (int)port : -1;
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
    config.max_connections = CONNECTIONS;
    config.memory = memory;
    config.memory_size = sizeof memory;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    started = time(NULL);
    printf("listening on http://localhost:%d/, %u files in %u bytes of memory\n",
           uhttp_server_port(server), (unsigned)FILES, (unsigned)sizeof memory);
    fflush(stdout);
    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            answer(c);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    return 0;
}
