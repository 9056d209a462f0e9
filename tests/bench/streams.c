/* Large and long responses under measurement; what it is, is its first argument.
 *
 *   bare              a server that sends 1 MiB with each answer in a bare loop: the limit
 *   uhttp             the same with uhttp_respond_static()
 *   get PORT N        their client: N answers on one connection
 *   listeners N S     N listeners of Server-Sent Events, one event a second for S seconds
 *   readers N S       N readers of one endless stream, from one that does not read at all to one
 *                     that takes a megabyte a second, for S seconds
 *
 * The last two bring their clients as a process of their own, and judge themselves: the status is
 * 1 when a target is missed. Built and run by streams.sh. */
#define _GNU_SOURCE
#include <malloc.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

static size_t count_calls;
static size_t count_bytes;
static size_t count_peak;

static void *count_realloc(void *old, size_t size)
{
    size_t before = malloc_usable_size(old);
    void *p = realloc(old, size);
    if (p == NULL)
        return NULL;
    count_calls++;
    count_bytes += malloc_usable_size(p) - before;
    if (count_bytes > count_peak)
        count_peak = count_bytes;
    return p;
}

static void count_free(void *p)
{
    count_bytes -= malloc_usable_size(p);
    free(p);
}

#define UHTTP_MALLOC(n) count_realloc(NULL, n)
#define UHTTP_REALLOC(p, n) count_realloc(p, n)
#define UHTTP_FREE(p) count_free(p)
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include "bench.h"

enum { LARGE = 1048576, CLIENTS_MAX = 4000, SEND_BUFFER = 32768 };

static char large[LARGE];
static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: streams\r\n\r\n";

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void raise_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int connect_to(int port, int receive_buffer)
{
    struct sockaddr_in to;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        send(fd, request, sizeof request - 1, 0) != (ssize_t)(sizeof request - 1))
        die("connect");
    return fd;
}

/*--- 1 MiB from memory ------------------------------------------------------------------*/

/* The least that sends head and body in one call and waits when the socket is full. */
static int serve_bare(void)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    char head[200];
    char in[4096];
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, length) != 0 ||
        listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &length) != 0)
        die("listen");
    bench_start(ntohs(at.sin_port));
    int fd = accept(listener, NULL, NULL);
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        die("accept");
    int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                     "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", LARGE);
    for (;;) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fd, &set);
        if (select(fd + 1, &set, NULL, NULL, NULL) < 0 || recv(fd, in, sizeof in, 0) <= 0)
            break;
        struct iovec parts[2] = { { head, (size_t)n }, { large, LARGE } };
        struct msghdr message = { 0 };
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        while (message.msg_iovlen > 0) {
            ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN)
                die("send");
            if (sent < 0) {
                select(fd + 1, NULL, &set, NULL, NULL);
                continue;
            }
            while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
                sent -= (ssize_t)message.msg_iov->iov_len;
                message.msg_iov++;
                message.msg_iovlen--;
            }
            if (message.msg_iovlen > 0) {
                message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
                message.msg_iov->iov_len -= (size_t)sent;
            }
        }
    }
    bench_report_cpu();
    return 0;
}

static uhttp_server *open_server(uint32_t clients, bool event_mode)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.backlog = 1024;
    config.max_connections = clients;
    config.event_mode = event_mode;
    config.max_send_buffer = SEND_BUFFER;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "uhttp_server_open: %s\n", uhttp_strerror(result));
        exit(2);
    }
    return server;
}

static int serve_uhttp(void)
{
    uhttp_server *server = open_server(16, false);
    uhttp_stats stats = { 0 };
    bench_start(uhttp_server_port(server));
    while (stats.accepted == 0 || stats.connections > 0) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c != NULL)
            uhttp_respond_static(c, 200, "application/octet-stream", large, LARGE);
        uhttp_stats now = { 0 };
        if (c == NULL)
            uhttp_server_stats(server, &now);
        stats = c == NULL ? now : stats;
    }
    bench_report_cpu();
    uhttp_server_close(server);
    return 0;
}

static int get(int port, long count)
{
    static char in[262144];
    int fd = connect_to(port, 0);
    for (long i = 0; i < count; i++) {
        size_t have = 0;
        size_t all = SIZE_MAX;
        if (i > 0 && send(fd, request, sizeof request - 1, 0) != (ssize_t)(sizeof request - 1))
            die("send");
        while (have < all) {
            ssize_t n = recv(fd, in, sizeof in - 1, 0);
            if (n <= 0)
                die("the answer broke off");
            if (have == 0) {                    /* the head comes with the first bytes */
                in[n] = '\0';
                const char *end = strstr(in, "\r\n\r\n");
                if (strncmp(in, "HTTP/1.1 200 ", 13) != 0 || end == NULL)
                    die("not the answer that was expected");
                all = (size_t)(end + 4 - in) + LARGE;
            }
            have += (size_t)n;
        }
    }
    close(fd);
    return 0;
}

/*--- many listeners ---------------------------------------------------------------------*/

/* Listens until so many events have come to each; prints nothing, 0: they have. */
static int listen_all(int port, int clients, int events)
{
    static struct pollfd watched[CLIENTS_MAX];
    static int heard[CLIENTS_MAX];
    int left = clients;
    double end = seconds_now() + events + 30;
    for (int i = 0; i < clients; i++) {
        watched[i].fd = connect_to(port, 4096);
        watched[i].events = POLLIN;
    }
    while (left > 0 && seconds_now() < end) {
        poll(watched, (nfds_t)clients, 1000);
        for (int i = 0; i < clients; i++) {
            char in[4096];
            if (watched[i].revents == 0)
                continue;
            ssize_t n = recv(watched[i].fd, in, sizeof in - 1, 0);
            if (n <= 0)
                die("a listener was dropped");
            in[n] = '\0';
            for (const char *p = in; (p = strstr(p, "data: ")) != NULL; p++)
                left -= ++heard[i] == events ? 1 : 0;
        }
    }
    return left > 0;
}

static bool judge(const char *name, double value, double limit)
{
    printf("%-58s %9.0f  target %9.0f %s\n", name, value, limit,
           value <= limit ? "ok" : "MISSED");
    return value <= limit;
}

static size_t heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void broadcast(uhttp_server *server, int number)
{
    char id[16];
    char data[64];
    uhttp_sse_event event = { 0 };
    snprintf(id, sizeof id, "%d", number);
    snprintf(data, sizeof data, "{\"number\":%d,\"temperature\":21.5}", number);
    event.id = id;
    event.data = data;
    for (uhttp_conn *c = uhttp_next(server, NULL); c != NULL; c = uhttp_next(server, c)) {
        if (uhttp_sse_send(c, &event) != UHTTP_OK)
            die("a listener has no room");
    }
}

static int run_listeners(int clients, int seconds)
{
    size_t heap = heap_in_use();
    uhttp_server *server = open_server((uint32_t)clients, false);
    int port = uhttp_server_port(server);
    pid_t child = fork();
    if (child == 0)
        exit(listen_all(port, clients, seconds));
    for (int i = 0; i < clients; ) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c != NULL && uhttp_sse_begin(c) != UHTTP_OK)
            die("a stream cannot begin");
        i += c != NULL;
    }
    double next = seconds_now();
    double cpu = 0;
    size_t held = 0;
    for (int i = 0; i < seconds; i++) {
        double before = bench_cpu_us();
        broadcast(server, i);
        uhttp_wait(server, 0);
        cpu += bench_cpu_us() - before;
        held = heap_in_use() - heap;
        for (next += 1; seconds_now() < next; )
            uhttp_wait(server, (int)((next - seconds_now()) * 1000) + 1);
    }
    int status;
    double before = bench_cpu_us();
    for (double end = seconds_now() + 2; seconds_now() < end; )
        uhttp_wait(server, 1000);
    double idle = (bench_cpu_us() - before) / 2;
    if (waitpid(child, &status, 0) != child || status != 0)
        die("not every listener heard everything");
    printf("%d listeners, %d events each: %.2f us of CPU an event, %.0f us a second between\n",
           clients, seconds, cpu / seconds / clients, idle);
    bool good = judge("heap bytes per listener at most, counted", (double)count_peak / clients, 3072);
    good = judge("heap bytes per listener behind a broadcast, mallinfo2", (double)held / clients,
                 3072) && good;
    uhttp_server_close(server);
    return good ? 0 : 1;
}

/*--- readers of very different speed ----------------------------------------------------*/

/* Reader i takes i * i / 25 bytes each 10 ms. */
static int read_all(int port, int clients, int seconds)
{
    static int fds[CLIENTS_MAX];
    static unsigned long long got[CLIENTS_MAX];
    static char in[262144];
    for (int i = 0; i < clients; i++) {
        fds[i] = connect_to(port, 4096);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    double end = seconds_now() + seconds;
    while (seconds_now() < end) {
        for (int i = 1; i < clients; i++) {
            ssize_t n = recv(fds[i], in, (size_t)i * (size_t)i / 25 + 1, 0);
            if (n == 0 || (n < 0 && errno != EAGAIN))
                die("a reader was dropped");
            got[i] += n > 0 ? (unsigned long long)n : 0;
        }
        usleep(10000);
    }
    printf("a reader got %llu, %llu, %llu, %llu bytes (every quarter)\n", got[1],
           got[clients / 4], got[clients / 2], got[clients - 1]);
    fflush(stdout);
    return 0;
}

static void fill(uhttp_conn *c)
{
    while (uhttp_stream_write(c, large, 1000) == UHTTP_OK) { }
}

static int run_readers(int clients, int seconds)
{
    uhttp_server *server = open_server((uint32_t)clients, true);
    int port = uhttp_server_port(server);
    pid_t child = fork();
    if (child == 0)
        exit(read_all(port, clients, seconds));
    int status;
    double before = bench_cpu_us();
    while (waitpid(child, &status, WNOHANG) == 0) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c == NULL)
            continue;
        if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
            int small = 32768;      /* or the system takes megabytes before we see a slow reader */
            setsockopt((int)uhttp_fd(c), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
            if (uhttp_stream_begin(c, 200, "text/plain") != UHTTP_OK)
                die("a stream cannot begin");
        }
        if (uhttp_event(c) != UHTTP_EVENT_CLOSED)
            fill(c);
    }
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    double mib = (double)stats.bytes_out / 1048576;
    printf("%d readers: %.0f MiB, %.1f ms of CPU a MiB\n", clients, mib,
           (bench_cpu_us() - before) / 1000 / mib);
    /* beside tx: rx of 2 KiB, the slot, and what output may wait for the next answer */
    bool good = judge("heap bytes per reader at most, counted", (double)count_peak / clients,
                      SEND_BUFFER + 2048 + 512 + 4096 + 64);
    uhttp_server_close(server);
    return good && status == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    raise_limit();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    memset(large, 'x', sizeof large);
    if (argc == 2 && strcmp(what, "bare") == 0)
        return serve_bare();
    if (argc == 2 && strcmp(what, "uhttp") == 0)
        return serve_uhttp();
    if (argc == 4 && strcmp(what, "get") == 0)
        return get(atoi(argv[2]), atol(argv[3]));
    if (argc == 4 && atoi(argv[2]) > 0 && atoi(argv[2]) <= CLIENTS_MAX) {
        if (strcmp(what, "listeners") == 0)
            return run_listeners(atoi(argv[2]), atoi(argv[3]));
        if (strcmp(what, "readers") == 0)
            return run_readers(atoi(argv[2]), atoi(argv[3]));
    }
    fprintf(stderr, "usage: see the begin of streams.c\n");
    return 2;
}
