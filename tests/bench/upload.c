/* Uploads under measurement: one of four programs, by its first argument.
 *
 *   bare         select() and recv() with 64 KiB, until the client closes: the limit
 *   uhttp        uHTTP in event mode, streamed bodies, on the heap
 *   fixed        the same with 2 buffers of 64 KiB in fixed memory
 *   send P N     the client: one POST with a length of N bytes to port P; N bytes as fast as they
 *                go, then it waits for the answer
 *
 * A server ends with its first upload, and says how many bytes came, how much processor time it
 * used, how often it allocated and what it held at most. Built and run by upload.sh. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

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

enum { PIECE = 65536 };

static char piece[PIECE];
static uint64_t received;

static void report(void)
{
    bench_report_cpu();
    printf("bytes %llu allocations %zu peak %zu\n", (unsigned long long)received, count_calls,
           count_peak);
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int bare_listen(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, length) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &length) != 0)
        die("listen");
    bench_start(ntohs(at.sin_port));
    return fd;
}

/* How much of the head is in the first bytes, and the length it announces. */
static size_t bare_head(size_t n, uint64_t *expected)
{
    const char *body = memmem(piece, n, "\r\n\r\n", 4);
    const char *length = memmem(piece, n, "Content-Length: ", 16);
    if (body == NULL)
        die("the head is not whole");
    *expected = length != NULL ? strtoull(length + 16, NULL, 10) : UINT64_MAX;
    return (size_t)(body + 4 - piece);
}

/* The end of a body with a length is counted; a chunked one is not taken apart, only its last
 * bytes are looked at. */
static int serve_bare(void)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char last[7] = "";
    uint64_t expected = 0;
    int listener = bare_listen();
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    for (bool answered = false; !bench_stopped;) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(fd, &readable);
        if (select(fd + 1, &readable, NULL, NULL, NULL) < 0)
            continue;
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n == 0)
            break;
        if (n < 0)
            continue;
        size_t head = expected == 0 ? bare_head((size_t)n, &expected) : 0;
        size_t kept = (size_t)n < sizeof last ? (size_t)n : sizeof last;
        memmove(last, last + kept, sizeof last - kept);
        memcpy(last + sizeof last - kept, piece + n - kept, kept);
        received += (uint64_t)n - head;
        if (!answered && (received == expected || memcmp(last, "\r\n0\r\n\r\n", 7) == 0)) {
            answered = send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) > 0;
        }
    }
    report();
    return 0;
}

static int serve_uhttp(bool fixed)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(2, PIECE)];
    uhttp_server *server;
    uhttp_config config = { 0 };
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.event_mode = true;
    config.max_connections = 2;
    config.memory = fixed ? memory : NULL;
    config.memory_size = fixed ? sizeof memory : 0;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "uhttp_server_open: %s\n", uhttp_strerror(result));
        return 1;
    }
    bench_start(uhttp_server_port(server));
    size_t calls = count_calls;
    size_t held = count_bytes;
    count_peak = count_bytes;
    bool done = false;
    while (!bench_stopped && !done) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        size_t length;
        if (c == NULL)
            continue;
        switch (uhttp_event(c)) {
        case UHTTP_EVENT_HEADERS:
            uhttp_accept_body_streaming(c, 0);
            break;
        case UHTTP_EVENT_DATA:
        case UHTTP_EVENT_COMPLETE:
            uhttp_read_buffer(c, &length);
            received += length;
            if (uhttp_event(c) == UHTTP_EVENT_COMPLETE) {
                uhttp_respond(c, 200, NULL, NULL, 0);
                done = true;
            }
            break;
        default:
            fprintf(stderr, "event %d\n", (int)uhttp_event(c));
            return 1;
        }
    }
    for (int i = 0; i < 5; i++)
        uhttp_wait(server, 10);         /* the answer goes out */
    count_calls -= calls;
    count_peak -= held;
    report();
    uhttp_server_close(server);
    return 0;
}

static int send_upload(int port, uint64_t length)
{
    struct sockaddr_in at;
    char answer[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("connect");
    int n = snprintf(answer, sizeof answer, "POST / HTTP/1.1\r\nHost: a\r\n"
                     "Content-Length: %llu\r\n\r\n", (unsigned long long)length);
    if (send(fd, answer, (size_t)n, MSG_NOSIGNAL) != n)
        die("send");
    while (length > 0) {
        ssize_t sent = send(fd, piece, length < PIECE ? (size_t)length : PIECE, MSG_NOSIGNAL);
        if (sent <= 0)
            die("send");
        length -= (uint64_t)sent;
    }
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    return got > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static char printed[4096];
    setvbuf(stdout, printed, _IOFBF, sizeof printed);   /* none of the heap's */
    if (argc == 2 && strcmp(argv[1], "bare") == 0)
        return serve_bare();
    if (argc == 2 && strcmp(argv[1], "uhttp") == 0)
        return serve_uhttp(false);
    if (argc == 2 && strcmp(argv[1], "fixed") == 0)
        return serve_uhttp(true);
    if (argc == 4 && strcmp(argv[1], "send") == 0)
        return send_upload(atoi(argv[2]), strtoull(argv[3], NULL, 10));
    fprintf(stderr, "usage: upload bare | uhttp | fixed | send PORT BYTES\n");
    return 2;
}
