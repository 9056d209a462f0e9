/* What both bare loops do with a socket: the least a correct program can do to answer requests
 * with a canned answer. It is the limit uHTTP is measured against, so it reads once per
 * readiness, looks for nothing but the end of the head and "Connection: close", answers all it
 * has read with one send, and touches no socket option. */
#ifndef BARE_H
#define BARE_H

#include "bench.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>

#ifndef BARE_CONNECTIONS        /* descriptors it can serve; the loop knows */
#define BARE_CONNECTIONS FD_SETSIZE
#endif

enum { BARE_ROOM = 16384, BARE_BATCH = 512 };

/* As many bytes as uHTTP's answers; run.sh compares them. */
static const char bare_answer[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 5\r\n"
    "\r\n"
    "hello";
static const char bare_last_answer[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 5\r\n"
    "Connection: close\r\n"
    "\r\n"
    "hello";

/* The beginning of a head whose end is still on its way; by descriptor, rarely used. */
static struct bare_rest {
    char *bytes;
    size_t length;
} bare_rests[BARE_CONNECTIONS];

static char bare_answers[BARE_BATCH * (sizeof bare_answer - 1)];

static void bare_die(const char *what)
{
    perror(what);
    exit(1);
}

static int bare_listen(void)
{
    size_t each = sizeof bare_answer - 1;
    for (size_t i = 0; i < BARE_BATCH; i++)
        memcpy(bare_answers + i * each, bare_answer, each);

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 512) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        bare_die("listen");
    bench_start(ntohs(address.sin_port));
    return fd;
}

/* A client that does not take its few bytes at once has no place in a benchmark: it is dropped,
 * and wrk reports the error. */
static bool bare_send(int fd, const char *bytes, size_t length)
{
    return send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static bool bare_keep_rest(struct bare_rest *rest, const char *bytes, size_t length)
{
    if (length == BARE_ROOM)
        return false;
    if (rest->bytes == NULL && (rest->bytes = (char *)malloc(BARE_ROOM)) == NULL)
        return false;
    memcpy(rest->bytes, bytes, length);
    rest->length = length;
    return true;
}

/* Reads what is there and answers it; false: this connection is over. */
static bool bare_serve(int fd)
{
    static char buffer[BARE_ROOM];
    struct bare_rest *rest = &bare_rests[fd];
    size_t old = rest->length;
    if (old > 0)
        memcpy(buffer, rest->bytes, old);
    ssize_t n = recv(fd, buffer + old, sizeof buffer - old, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;

    const char *p = buffer;
    const char *end = buffer + old + n;
    const char *head_end;
    size_t answers = 0;
    while ((head_end = (const char *)memmem(p, (size_t)(end - p), "\r\n\r\n", 4)) != NULL) {
        p = head_end + 4;
        answers++;
    }
    rest->length = 0;
    if (p < end && !bare_keep_rest(rest, p, (size_t)(end - p)))
        return false;
    if (answers == 0)
        return true;
    if (memmem(buffer, (size_t)(p - buffer), "Connection: close", 17) != NULL) {
        bare_send(fd, bare_last_answer, sizeof bare_last_answer - 1);
        return false;
    }
    return answers <= BARE_BATCH &&
           bare_send(fd, bare_answers, answers * (sizeof bare_answer - 1));
}

static void bare_close(int fd)
{
    free(bare_rests[fd].bytes);
    memset(&bare_rests[fd], 0, sizeof bare_rests[fd]);
    close(fd);
}

/* The next newcomer to be watched, or -1 when there is none left. Who brought a request along
 * is answered at once, and not even watched if that was all. */
static int bare_accept(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return -1;
        if (fd >= BARE_CONNECTIONS)
            close(fd);
        else if (!bare_serve(fd))
            bare_close(fd);
        else
            return fd;
    }
}

#endif
