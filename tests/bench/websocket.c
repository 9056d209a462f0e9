/* WebSocket against what it must keep up with; run.sh runs it:
 *
 *     cc -O2 -o websocket tests/bench/websocket.c && ./websocket [PORT]
 *
 *   echo       messages of 64 bytes on 64 connections, beside hello on 64 kept-alive ones: the same
 *              server, the same client, in turns; the server's CPU time for each. With PORT also
 *              the other server there, which must be slower
 *   unmask     64 KiB at a time, beside memcpy
 *   broadcast  one message to 1000 listeners: the server's CPU time for it
 *   idle       bytes of the heap for each WebSocket that is idle, beyond its slot
 *
 * Its exit status is 1 when a target is missed.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t heap;             /* bytes that are taken now */

static void *heap_take(size_t size)
{
    size_t *block = (size_t *)malloc(size + 16);
    if (block == NULL)
        return NULL;
    *block = size;
    heap += size;
    return (char *)block + 16;
}

static void heap_give(void *memory)
{
    if (memory == NULL)
        return;
    size_t *block = (size_t *)(void *)((char *)memory - 16);
    heap -= *block;
    free(block);
}

#define UHTTP_MALLOC(size) heap_take(size)
#define UHTTP_REALLOC(memory, size) NULL        /* the header does not call it */
#define UHTTP_FREE(memory) heap_give(memory)
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define CONNECTIONS 64
#define LISTENERS   1000
#define ROUNDS      1500

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int missed;

/* Whether a target is met, for the end of a line. */
static const char *judge(bool good)
{
    missed = good ? missed : 1;
    return good ? "" : " MISSED";
}

/*--- unmasking ------------------------------------------------------------------------------*/

static void bench_unmask(void)
{
    static char from[65536], to[65536];
    uint8_t mask[4] = { 1, 2, 3, 4 };
    double best[2] = { 1e9, 1e9 };
    for (int round = 0; round < 40; round++) {
        double start = now(CLOCK_PROCESS_CPUTIME_ID);
        for (int i = 0; i < 200; i++) {
            memcpy(to, from, sizeof to);
            __asm__ volatile("" : : "r"(to) : "memory");
        }
        double middle = now(CLOCK_PROCESS_CPUTIME_ID);
        for (int i = 0; i < 200; i++) {
            uhttp_ws_unmask(to, from, sizeof to, mask);
            __asm__ volatile("" : : "r"(to) : "memory");
        }
        double end = now(CLOCK_PROCESS_CPUTIME_ID);
        best[0] = middle - start < best[0] ? middle - start : best[0];
        best[1] = end - middle < best[1] ? end - middle : best[1];
    }
    double bytes = 200.0 * sizeof from * 1e-9;
    printf("unmask     %5.1f GB/s, memcpy %5.1f GB/s: %.2f of it, target 0.33%s\n",
           bytes / best[1], bytes / best[0], best[0] / best[1], judge(best[0] / best[1] >= 0.33));
}

/*--- the server, in a process of its own ------------------------------------------------------*/

static uhttp_server *server;

/* "/cpu" tells the CPU seconds so far, "/heap" the bytes, "/all" sends to every WebSocket. */
static void serve(uhttp_conn *c)
{
    size_t length;
    const char *path = uhttp_path(c);
    if (uhttp_event(c) == UHTTP_EVENT_WS_MESSAGE) {
        const char *message = uhttp_ws_message(c, &length);
        uhttp_ws_send(c, UHTTP_WS_BINARY, message, length);
    } else if (uhttp_event(c) == UHTTP_EVENT_WS_CLOSE) {
        return;
    } else if (uhttp_is_websocket_request(c)) {
        uhttp_ws_accept(c, NULL);
    } else if (strcmp(path, "/cpu") == 0) {
        uhttp_respond_printf(c, 200, NULL, "%.6f", now(CLOCK_PROCESS_CPUTIME_ID));
    } else if (strcmp(path, "/heap") == 0) {
        uhttp_respond_printf(c, 200, NULL, "%zu", heap);
    } else if (strcmp(path, "/all") == 0) {
        for (uhttp_conn *w = uhttp_next(server, NULL); w != NULL; w = uhttp_next(server, w)) {
            if (uhttp_ws_is_open(w))
                uhttp_ws_send(w, UHTTP_WS_TEXT, "a message to everybody", 22);
        }
        uhttp_respond_text(c, 200, "");
    } else {
        uhttp_respond_text(c, 200, "hello");
    }
}

static pid_t start(int *port)
{
    uhttp_config config = { 0 };
    config.port = UHTTP_PORT_ANY;
    config.address = "127.0.0.1";
    config.max_connections = LISTENERS + CONNECTIONS + 10;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    config.keep_alive_timeout_ms = UHTTP_NEVER;     /* while the others have their turns */
    config.ws_ping_interval_ms = UHTTP_NEVER;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        abort();
    *port = uhttp_server_port(server);
    pid_t pid = fork();
    while (pid == 0) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }
    return pid;
}

/*--- the client -----------------------------------------------------------------------------*/

static int dial(int port)
{
    struct sockaddr_in to;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        abort();
    return fd;
}

static size_t get(int fd, char *answer, size_t size, const char *until, size_t least)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, answer + n, size - 1 - n, 0);
        if (got <= 0)
            abort();
        n += (size_t)got;
        answer[n] = '\0';
        if (n >= least && (until == NULL || strstr(answer, until) != NULL))
            return n;
    }
}

static void put(int fd, const char *bytes, size_t length)
{
    if (send(fd, bytes, length, 0) != (ssize_t)length)
        abort();
}

static double ask(int fd, const char *path)
{
    char text[512];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    put(fd, text, (size_t)n);
    (void)get(fd, text, sizeof text, "\r\n\r\n", 0);
    return strtod(strstr(text, "\r\n\r\n") + 4, NULL);
}

static int dial_websocket(int port)
{
    static const char text[] =
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char answer[512];
    int fd = dial(port);
    put(fd, text, sizeof text - 1);
    (void)get(fd, answer, sizeof answer, "\r\n\r\n", 0);
    return fd;
}

/* One exchange on every connection at a time; the server's CPU microseconds for each. */
static double exchange(const int *fds, int control, const char *text, size_t length, size_t least)
{
    char answer[512];
    double start = ask(control, "/cpu");
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CONNECTIONS; i++)
            put(fds[i], text, length);
        for (int i = 0; i < CONNECTIONS; i++)
            (void)get(fds[i], answer, sizeof answer, NULL, least);
    }
    return (ask(control, "/cpu") - start) * 1e6 / ROUNDS / CONNECTIONS;
}

/* The best of a few turns for each of three servers; without the last, two. */
static void bench_echo(int port, int other)
{
    static const char hello[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    char frame[70] = "\x82\xc0";
    char answer[512];
    int fds[3][CONNECTIONS];
    double best[3] = { 1e9, 1e9, 1e9 };
    int control[3];
    for (int k = 0; k < 3; k++) {
        if (k == 2 && other == 0)
            break;
        control[k] = dial(k == 2 ? other : port);
        for (int i = 0; i < CONNECTIONS; i++)
            fds[k][i] = k == 0 ? dial(port) : dial_websocket(k == 1 ? port : other);
    }
    put(fds[0][0], hello, sizeof hello - 1);
    size_t length = get(fds[0][0], answer, sizeof answer, "hello", 0);
    for (int round = 0; round < 9; round++) {
        int k = round % 3;
        if (k == 2 && other == 0)
            continue;
        double t = k == 0 ? exchange(fds[k], control[k], hello, sizeof hello - 1, length)
                          : exchange(fds[k], control[k], frame, sizeof frame, 66);
        best[k] = t < best[k] ? t : best[k];
    }
    printf("echo       %5.2f us of the server, hello %5.2f us: %.2f of its rate, target 0.80%s\n",
           best[1], best[0], best[0] / best[1], judge(best[0] / best[1] >= 0.8));
    if (other != 0)
        printf("echo       %5.2f us of ws on node: %.1f times its rate, target 1.0%s\n", best[2],
               best[2] / best[1], judge(best[2] > best[1]));
    for (int k = 0; k < (other != 0 ? 3 : 2); k++) {
        close(control[k]);
        for (int i = 0; i < CONNECTIONS; i++)
            close(fds[k][i]);
    }
}

int main(int argc, char **argv)
{
    char answer[512];
    int listeners[LISTENERS];
    int port;
    struct rlimit limit = { 4096, 4096 };
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    bench_unmask();
    pid_t pid = start(&port);
    bench_echo(port, argc > 1 ? atoi(argv[1]) : 0);
    int control = dial(port);

    sleep(3);                               /* blocks nobody needs are given back */
    double before = ask(control, "/heap");
    for (int i = 0; i < LISTENERS; i++)
        listeners[i] = dial_websocket(port);
    sleep(3);
    double idle = (ask(control, "/heap") - before) / LISTENERS;
    printf("idle       %5.1f bytes of the heap for each WebSocket beyond its slot of %zu, "
           "target 400%s\n", idle, sizeof(uhttp_conn), judge(idle <= 400));

    double start_cpu = ask(control, "/cpu");
    for (int round = 0; round < 20; round++) {
        (void)ask(control, "/all");
        for (int i = 0; i < LISTENERS; i++)
            (void)get(listeners[i], answer, sizeof answer, NULL, 24);
    }
    double sent = (ask(control, "/cpu") - start_cpu) * 1000 / 20;
    printf("broadcast  %5.2f ms of the server for one message to %d listeners: with one a second "
           "%.1f %% of a core\n", sent, LISTENERS, sent / 10);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return missed;
}
