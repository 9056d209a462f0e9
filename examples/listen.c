/* listen.c - listens on IPv4, IPv6 or both, on a Unix socket, or by systemd socket activation
 *
 *     build: cc -o listen examples/listen.c
 *     try:   ./listen 8080 ::, then curl 'http://[::1]:8080/'
 *
 *     ./listen 8080 0.0.0.0            IPv4
 *     ./listen 8080 ::                 IPv6 and IPv4 on one socket (dual-stack)
 *     ./listen 8080 127.0.0.1 ::1      two listeners, this machine only
 *     ./listen 8080 unix:/run/page     curl --unix-socket /run/page http://localhost/
 *     systemd-socket-activate -l 8080 ./listen
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The first socket that systemd has opened for this process; false: there is none. See
 * sd_listen_fds(3): the sockets are 3, 4, ... */
static bool activated_by_systemd(intptr_t *fd)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    *fd = 3;
    return pid != NULL && count != NULL && atol(pid) == (long)getpid() && atoi(count) > 0;
}

static bool said(uhttp_result result, const uhttp_server *server, size_t listener,
                 const char *where)
{
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on %s: %s\n", where, uhttp_strerror(result));
        return false;
    }
    int port = uhttp_listener_port(server, listener);
    if (port > 0)
        printf("listening on http://localhost:%d/ (%s)\n", port, where);
    else
        printf("listening on %s\n", where);
    fflush(stdout);
    return true;
}

/* Opens the server on the first address and adds the others. */
static bool open_all(uhttp_server **server, int port, char **addresses, int count)
{
    uhttp_config config = { 0 };
    intptr_t fd;
    bool activated = activated_by_systemd(&fd);
    config.port = port;
    if (activated)
        config.listen_fd = &fd;
    else if (count > 0)
        config.address = addresses[0];
    const char *where = activated ? "systemd's socket" : count > 0 ? addresses[0] : "0.0.0.0";
    uhttp_result result = uhttp_server_open(server, &config);
    if (!said(result, *server, 0, where))
        return false;
    for (int i = 1; i < count; i++) {
        result = uhttp_server_listen(*server, addresses[i], port, NULL);
        if (!said(result, *server, (size_t)i, addresses[i]))
            return false;
    }
    return true;
}

/* Reads a port, 0 for any that is free; -1: not one. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0';
    return is_number && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    uhttp_server *server;
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    if (port < 0) {
        fprintf(stderr, "usage: %s [port [address...]]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    if (!open_all(&server, port == 0 ? UHTTP_PORT_ANY : port, argv + 2, argc > 2 ? argc - 2 : 0))
        return 1;
    for (;;) {
        char client[46];
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c == NULL)
            continue;
        int length = uhttp_socket_address(c, client, sizeof client, NULL);
        uhttp_respond_text(c, 200, length > 0 ? client : "a Unix socket");
    }
}
