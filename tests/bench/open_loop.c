/* A client with an open loop: it asks when it is time to, whether or not the last answer has come,
 * so that a server that stops for a while is not asked less often meanwhile.
 *
 *     open_loop PORT CONNECTIONS RATE SECONDS
 *
 * Every connection has its own times, evenly spread over 1 / RATE; an answer's latency counts from the
 * time its request was due. Requests that are due behind an unanswered one of the same connection wait
 * for it, and their wait counts. Prints the percentiles in microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { ROOM = 4096 };

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

typedef struct line {
    int fd;
    int64_t due;            /* nanoseconds, of the request that is next or under way */
    int asked;
    size_t have;
    char answer[ROOM];
} line;

static void die(const char *what)
{
    fprintf(stderr, "open_loop: %s\n", what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int connect_to(int port)
{
    struct sockaddr_in at;
    int on = 1;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void ask(line *l)
{
    if (send(l->fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
        die("cannot send");
    l->asked = 1;
    l->have = 0;
}

/* Has the answer come whole? Every server of the table sends a length. */
static int hear(line *l)
{
    ssize_t n = recv(l->fd, l->answer + l->have, ROOM - 1 - l->have, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        die("the answer broke off");
    l->have += (size_t)n;
    l->answer[l->have] = '\0';
    const char *end = strstr(l->answer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    const char *field = strcasestr(l->answer, "\r\nContent-Length:");
    if (strncmp(l->answer, "HTTP/1.1 200 ", 13) != 0 || field == NULL || field > end)
        die("not the answer that was expected");
    return (size_t)(end + 4 - l->answer) + strtoul(field + 17, NULL, 10) <= l->have;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        die("usage: open_loop PORT CONNECTIONS RATE SECONDS");
    int count = atoi(argv[2]);
    double rate = atof(argv[3]), seconds = atof(argv[4]);
    if (count < 1 || rate < 1 || seconds <= 0)
        die("out of range");
    int64_t step = (int64_t)(1e9 * count / rate);
    size_t room = (size_t)(rate * seconds) + (size_t)count, done = 0;
    line *lines = (line *)calloc((size_t)count, sizeof *lines);
    int64_t *latencies = (int64_t *)calloc(room, sizeof *latencies);
    int epoll = epoll_create1(0);
    if (lines == NULL || latencies == NULL || epoll < 0)
        die("out of memory");
    for (int i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = &lines[i] } };
        lines[i].fd = connect_to(atoi(argv[1]));
        epoll_ctl(epoll, EPOLL_CTL_ADD, lines[i].fd, &event);
    }
    int64_t start = now(), stop = start + (int64_t)(seconds * 1e9);
    for (int i = 0; i < count; i++)
        lines[i].due = start + step * i / count;

    /* It never sleeps: a sleep of the client would be counted as the server's. */
    for (int open = 1; open; ) {
        struct epoll_event events[256];
        int64_t t = now();
        open = 0;
        for (int i = 0; i < count; i++) {
            if (!lines[i].asked && lines[i].due <= t && lines[i].due < stop)
                ask(&lines[i]);
            open |= lines[i].asked || lines[i].due < stop;
        }
        int ready = epoll_wait(epoll, events, 256, 0);
        t = now();
        for (int i = 0; i < ready; i++) {
            line *l = (line *)events[i].data.ptr;
            if (!l->asked)
                die("an answer nobody asked for, or the server has closed");
            if (!hear(l))
                continue;
            if (done < room)
                latencies[done++] = t - l->due;
            l->asked = 0;
            l->due += step;
        }
        if (t > stop + (int64_t)10e9)
            die("the server does not keep up");
    }
    qsort(latencies, done, sizeof *latencies, by_value);
    const double marks[] = { 0.5, 0.9, 0.99, 0.999 };
    printf("requests %zu", done);
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        printf(" p%g %.1f", marks[i] * 100, (double)latencies[(size_t)((double)(done - 1) * marks[i])] / 1e3);
    printf(" max %.1f\n", (double)latencies[done - 1] / 1e3);
    return 0;
}
