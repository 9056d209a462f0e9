/* The servers of file.sh, which ends them by SIGTERM:
 *
 *     file FILE     uHTTP sends the file
 *     file static   uHTTP sends 1 MiB of memory with uhttp_respond_static()
 *     file bare     so does a bare select() and send() loop
 */
#define _GNU_SOURCE
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include "bench.h"

#include <stdlib.h>
#include <sys/select.h>

#define LENGTH 1048576u
#define MOST   64

static unsigned char page[LENGTH];

static int serve(const char *file)
{
    uhttp_config config;
    uhttp_server *server;
    memset(&config, 0, sizeof config);
    config.port = UHTTP_PORT_ANY;
    config.address = "127.0.0.1";
    config.max_connections = MOST;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        return 1;
    bench_start(uhttp_server_port(server));
    while (!bench_stopped) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL && file != NULL)
            uhttp_respond_file(c, file, NULL);
        else if (c != NULL)
            uhttp_respond_static(c, 200, "application/octet-stream", page, sizeof page);
    }
    bench_report_cpu();
    uhttp_server_close(server);
    return 0;
}

/* One peer of the bare loop: how much of the answer has gone; past its end: none is owed. */
static struct { int fd; size_t sent; } peers[MOST];
static int peer_count;
static char head[128];
static size_t head_length;

/* Sends until the socket is full or the answer is out; false: the peer has gone. */
static bool bare_send(int i)
{
    while (peers[i].sent < head_length + LENGTH) {
        struct iovec parts[2];
        struct msghdr message;
        size_t in_head = peers[i].sent < head_length ? head_length - peers[i].sent : 0;
        size_t in_page = peers[i].sent > head_length ? peers[i].sent - head_length : 0;
        memset(&message, 0, sizeof message);
        parts[0].iov_base = head + (head_length - in_head);
        parts[0].iov_len = in_head;
        parts[1].iov_base = page + in_page;
        parts[1].iov_len = LENGTH - in_page;
        message.msg_iov = in_head > 0 ? parts : parts + 1;
        message.msg_iovlen = in_head > 0 ? 2 : 1;
        ssize_t n = sendmsg(peers[i].fd, &message, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        peers[i].sent += (size_t)n;
    }
    return true;
}

static bool bare_turn(int i, bool readable)
{
    char request[4096];
    if (peers[i].sent < head_length + LENGTH)
        return bare_send(i);
    if (!readable)
        return true;
    ssize_t n = recv(peers[i].fd, request, sizeof request, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    peers[i].sent = 0;
    return bare_send(i);
}

static void bare_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (peer_count == MOST) {
        close(fd);
        return;
    }
    peers[peer_count].fd = fd;
    peers[peer_count++].sent = head_length + LENGTH;
}

static int bare(void)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    head_length = (size_t)sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: "
                                  "application/octet-stream\r\nContent-Length: %u\r\n\r\n", LENGTH);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &length) != 0)
        return 1;
    bench_start(ntohs(at.sin_port));
    while (!bench_stopped) {
        fd_set reads, writes;
        struct timeval most = { 0, 100000 };
        int highest = listener;
        FD_ZERO(&reads);
        FD_ZERO(&writes);
        FD_SET(listener, &reads);
        for (int i = 0; i < peer_count; i++) {
            bool owes = peers[i].sent < head_length + LENGTH;
            FD_SET(peers[i].fd, owes ? &writes : &reads);
            highest = peers[i].fd > highest ? peers[i].fd : highest;
        }
        if (select(highest + 1, &reads, &writes, NULL, &most) <= 0)
            continue;
        for (int i = peer_count; i-- > 0; ) {
            bool reads_here = FD_ISSET(peers[i].fd, &reads);
            if (!reads_here && !FD_ISSET(peers[i].fd, &writes))
                continue;
            if (!bare_turn(i, reads_here)) {
                close(peers[i].fd);
                peers[i] = peers[--peer_count];
            }
        }
        if (FD_ISSET(listener, &reads))
            bare_accept(listener);
    }
    bench_report_cpu();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    memset(page, 'x', sizeof page);
    if (strcmp(argv[1], "bare") == 0)
        return bare();
    return serve(strcmp(argv[1], "static") == 0 ? NULL : argv[1]);
}
