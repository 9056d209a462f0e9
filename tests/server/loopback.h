/* loopback.h - a server and its clients in one thread, over real sockets
 *
 * A test opens a server (loop_open) and clients (client_connect). Whatever a client has to
 * wait for, it lets the server run meanwhile (loop_pump), and what the server hands out goes
 * to loop.handler. LOOP_PATIENCE_MS is how long anything that must come may take: a slow
 * machine makes these tests slow, not wrong.
 *
 * loop_setup and loop_teardown stand around each test: when it ends, whatever way, every
 * descriptor is closed and every block of memory given back, or the test has failed.
 *
 * With -DLOOP_TLS -DUHTTP_TLS a suite runs over TLS: what loop_config() describes is secure,
 * and every client speaks TLS from its first byte (tls_loopback.h says how to link). Tests that
 * make no sense there stand in their lists as LOOP_TEST_PLAIN, with the reason.
 *
 * With -DUHTTP_POLLER=UHTTP_POLLER_EPOLL a suite runs over epoll, with
 * -DUHTTP_POLLER=UHTTP_POLLER_KQUEUE -DUH_KQUEUE=1 -I tests/platform/kqueue over kqueue, which
 * is made of poll() there where there is none.
 */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#if defined(UH_KQUEUE) || !defined(__linux__)
#include <sys/event.h>
#define LOOP_KQUEUE
#endif
#include <time.h>
#include <unistd.h>

/*--- between the server and its system: memory, invariants, pollers, accept() ---------*/

static size_t loop_allocations;     /* calls of the allocator that gave something */
static size_t loop_blocks;          /* blocks in use */
static size_t loop_selects;         /* how often the server asked the network */

static void *loop_malloc(size_t size)
{
    void *block = malloc(size);
    loop_allocations += block != NULL ? 1 : 0;
    loop_blocks += block != NULL ? 1 : 0;
    return block;
}

__attribute__((unused)) static void *loop_realloc(void *old, size_t size)
{
    void *block = realloc(old, size);
    loop_allocations += block != NULL ? 1 : 0;
    loop_blocks += block != NULL && old == NULL ? 1 : 0;
    return block;
}

static void loop_free(void *block)
{
    loop_blocks -= block != NULL ? 1 : 0;
    free(block);
}

static int loop_wait_error;         /* errno of what waits for the network; 0: it does not fail */

static bool loop_wait_fails(void)
{
    loop_selects++;
    if (loop_wait_error != 0)
        errno = loop_wait_error;
    return loop_wait_error != 0;
}

__attribute__((unused))
static int loop_pselect(int count, fd_set *read_set, fd_set *write_set, fd_set *error_set,
                        const struct timespec *timeout, const sigset_t *signals)
{
    return loop_wait_fails() ? -1
                             : pselect(count, read_set, write_set, error_set, timeout, signals);
}

static int loop_queue_error;        /* errno of what epoll or kqueue refuses; 0: nothing */
static unsigned loop_queue_room;    /* changes it takes before; 0: there will be no queue */
static size_t loop_queues;          /* how many were made */
static size_t loop_queue_calls;     /* how often one was asked for, or told of a change */
static bool loop_queue_bare_errors; /* epoll reports an error or hang-up without other bits */

__attribute__((unused)) static bool loop_queue_refuses(void)
{
    if (loop_queue_error == 0 || loop_queue_room > 0)
        return false;
    errno = loop_queue_error;
    return true;
}

__attribute__((unused)) static bool loop_queue_refuses_change(bool takes_away)
{
    bool refuses = !takes_away && loop_queue_refuses();
    loop_queue_calls++;
    loop_queue_room -= loop_queue_room > 0 && !takes_away ? 1 : 0;
    return refuses;
}

#if defined(__linux__) && !defined(LOOP_KQUEUE)
__attribute__((unused)) static int loop_epoll_create1(int flags)
{
    loop_queue_calls++;
    if (loop_queue_refuses())
        return -1;
    loop_queues++;
    return epoll_create1(flags);
}

__attribute__((unused)) static int loop_epoll_ctl(int queue, int operation, int fd,
                                                  struct epoll_event *event)
{
    if (loop_queue_refuses_change(operation == EPOLL_CTL_DEL))
        return -1;
    return epoll_ctl(queue, operation, fd, event);
}

__attribute__((unused)) static int loop_epoll_wait(int queue, struct epoll_event *events,
                                                   int most, int timeout_ms)
{
    const uint32_t bare = (uint32_t)EPOLLERR | (uint32_t)EPOLLHUP;
    int n = loop_wait_fails() ? -1 : epoll_wait(queue, events, most, timeout_ms);
    for (int i = 0; i < n && loop_queue_bare_errors; i++)
        events[i].events &= (events[i].events & bare) != 0 ? bare : UINT32_MAX;
    return n;
}
#endif

#ifdef LOOP_KQUEUE
static int loop_kqueue(void)
{
    loop_queue_calls++;
    if (loop_queue_refuses())
        return -1;
    loop_queues++;
    return kqueue();
}

static int loop_kevent(int queue, const struct kevent *changes, int count,
                       struct kevent *events, int most, const struct timespec *timeout)
{
    if (most > 0 && loop_wait_fails())
        return -1;
    if (count > 0 && loop_queue_refuses_change((changes[0].flags & EV_DELETE) != 0))
        return -1;
    return kevent(queue, changes, count, events, most, timeout);
}
#endif

static int loop_accept_error;       /* errno of the next accept()s */
static unsigned loop_accept_failures;   /* how many of them fail */

static bool loop_accept_fails(void)
{
    if (loop_accept_failures == 0)
        return false;
    loop_accept_failures--;
    errno = loop_accept_error;
    return true;
}

#ifdef __linux__
static int loop_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return loop_accept_fails() ? -1 : accept4(fd, address, length, flags);
}
#else
static int loop_accept(int fd, struct sockaddr *address, socklen_t *length)
{
    return loop_accept_fails() ? -1 : accept(fd, address, length);
}
#endif

static void loop_invariant_broken(const char *truth, int line)
{
    fprintf(stderr, "uhttp_server.h:%d: invariant broken: %s\n", line, truth);
    abort();
}

#define UHTTP_MALLOC(size)           loop_malloc(size)
#define UHTTP_REALLOC(pointer, size) loop_realloc(pointer, size)
#define UHTTP_FREE(pointer)          loop_free(pointer)
#define UHTTP_ASSERT(truth) ((truth) ? (void)0 : loop_invariant_broken(#truth, __LINE__))
#define pselect                      loop_pselect
#ifdef LOOP_KQUEUE
#define kqueue                       loop_kqueue
#define kevent(queue, changes, count, events, most, timeout) \
    loop_kevent(queue, changes, count, events, most, timeout)
#endif
#ifdef __linux__
#ifndef LOOP_KQUEUE
#define epoll_create1                loop_epoll_create1
#define epoll_ctl                    loop_epoll_ctl
#define epoll_wait                   loop_epoll_wait
#endif
#define accept4                      loop_accept4
#else
#define accept                       loop_accept
#endif
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#undef pselect
#undef kqueue
#undef kevent
#undef epoll_create1
#undef epoll_ctl
#undef epoll_wait
#undef accept4
#undef accept

/* No test uses all of what follows. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

/*--- state of a test ------------------------------------------------------------------*/

#define LOOP_PATIENCE_MS 20000u
#define LOOP_CLIENTS     1300
#define LOOP_LINES       64
#define LOOP_FILLERS     4096

/* Requests as text; path and length are literals. */
#define HOST               " HTTP/1.1\r\nHost: t\r\n"
#define GET(path)          "GET " path HOST "\r\n"
#define POST(path, length) "POST " path HOST "Content-Length: " length "\r\n\r\n"
#define CHUNKED(path)      "POST " path HOST "Transfer-Encoding: chunked\r\n\r\n"

#define assert_ok(call) assert_int_equal(call, UHTTP_OK)

#ifdef MSG_NOSIGNAL
#define LOOP_SEND_FLAGS MSG_NOSIGNAL
#else
#define LOOP_SEND_FLAGS 0
#endif

typedef struct client {
    int fd;                     /* -1: closed by the client itself */
    char *in;                   /* what has come and has not been taken */
    size_t used, size;
    bool ended;                 /* the server has shut its side, or the connection is lost */
    int error;                  /* why it was lost: ECONNRESET; 0: in order */
    bool to_head;               /* the next answer is to a HEAD request */
    int status;                 /* the last answer: client_answer() */
    char *head;                 /* its lines, with a NUL behind them */
    char *body;                 /* decoded, with a NUL behind it */
    size_t length;
    const struct client_wire *wire;     /* what it speaks below HTTP; NULL: plain TCP */
    void *wire_state;
} client;

/* Functions like send() and recv(), errno included. */
typedef struct client_wire {
    ssize_t (*send)(client *c, const void *bytes, size_t length);
    ssize_t (*recv)(client *c, void *to, size_t room);
    void (*shut)(client *c);    /* says that nothing more comes, before the socket does */
    void (*free)(client *c);
} client_wire;

typedef struct loop_access {
    char address[48], method[16], url[64];
    int version_minor, status;
    uint64_t bytes;
    uint32_t duration_ms;
} loop_access;

static struct loop_state {
    uhttp_server *server;
    uhttp_server *other;                    /* a second server; NULL: none */
    void (*handler)(uhttp_conn *c);         /* gets what the server hands out */
    void (*pump)(uhttp_server *server, int timeout_ms);
    unsigned requests;                      /* handed out */
    unsigned wakes;                         /* of a foreign loop */
    unsigned events[16];                    /* by uhttp_event_type */
    uhttp_conn *held[16];                   /* requests that were not answered: /hold */
    uint64_t ids[16];
    unsigned held_count;
    client *clients[LOOP_CLIENTS];
    unsigned client_count;
    char lines[LOOP_LINES][288];            /* of config.log */
    unsigned line_count;
    loop_access access[LOOP_LINES];         /* of config.access_log */
    unsigned access_count;
    int descriptors;                        /* open before the test */
    int fillers[LOOP_FILLERS];              /* taken so that they are not there */
    int filler_count;
    struct rlimit limit;                    /* of descriptors, before the test */
} loop;

/*--- time and other people's things ---------------------------------------------------*/

static uint32_t loop_millis(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000u + (uint32_t)(now.tv_nsec / 1000000);
}

static void loop_sleep(unsigned ms)
{
    uint32_t start = loop_millis();
    while (loop_millis() - start < ms)
        poll(NULL, 0, (int)(ms - (loop_millis() - start)) + 1);
}

static int loop_open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

/* Valgrind plays the limit of descriptors itself: it accepts a connection and closes it. */
static bool loop_is_in_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

/* Lets the process open so many descriptors; false: it may not. */
static bool loop_want_descriptors(rlim_t count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= count)
        return true;
    limit.rlim_cur = count;
    return (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= count) &&
           setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* Formats into one of a few buffers, good until as many others have been asked for. */
__attribute__((format(printf, 1, 2))) static const char *loop_text(const char *format, ...)
{
    static char texts[8][4096];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof texts[0], format, values);
    va_end(values);
    assert_true(length >= 0 && (size_t)length < sizeof texts[0]);
    return text;
}

/* Copies a text; the end of what was written. */
static char *loop_put(char *to, const char *text)
{
    size_t length = strlen(text);
    memcpy(to, text, length + 1);
    return to + length;
}

/* Takes descriptors until the next one is this or beyond, or there is none left. */
static void loop_fill_descriptors(int next)
{
    for (int fd = -1; fd < next - 1 && loop.filler_count < LOOP_FILLERS; ) {
        fd = dup(0);
        if (fd < 0)
            return;
        loop.fillers[loop.filler_count++] = fd;
    }
}

static void loop_free_descriptors(void)
{
    while (loop.filler_count > 0)
        close(loop.fillers[--loop.filler_count]);
}

/* The bytes of a large body from some offset on; at least 64 KiB of them lie there. */
#define LOOP_PERIOD 65521u

static const uint8_t *loop_pattern(uint64_t offset)
{
    static uint8_t bytes[LOOP_PERIOD * 2 + 16];
    if (bytes[1] == 0) {
        uint32_t x = 1;
        for (size_t i = 0; i < LOOP_PERIOD; i++) {
            x = x * 1664525u + 1013904223u;
            bytes[i] = (uint8_t)(x >> 24 | 1u);
        }
        memcpy(bytes + LOOP_PERIOD, bytes, LOOP_PERIOD);
    }
    return bytes + offset % LOOP_PERIOD;
}

static void loop_pattern_fill(void *to, size_t length)
{
    for (size_t at = 0; at < length; at += LOOP_PERIOD) {
        size_t n = length - at < LOOP_PERIOD ? length - at : LOOP_PERIOD;
        memcpy((char *)to + at, loop_pattern(0), n);
    }
}

static bool loop_pattern_is(const void *bytes, uint64_t offset, size_t length)
{
    for (size_t at = 0; at < length; at += LOOP_PERIOD) {
        size_t n = length - at < LOOP_PERIOD ? length - at : LOOP_PERIOD;
        if (memcmp((const char *)bytes + at, loop_pattern(offset + at), n) != 0)
            return false;
    }
    return true;
}

#define LOOP_BIG (50u * 1024 * 1024)

/* A body for ever. */
static const void *loop_big(void)
{
    static uint8_t big[LOOP_BIG];
    if (big[0] == 0)
        loop_pattern_fill(big, sizeof big);
    return big;
}

/*--- the program: what is answered ----------------------------------------------------*/

static void loop_hold(uhttp_conn *c)
{
    assert_true(loop.held_count < 16);
    loop.held[loop.held_count] = c;
    loop.ids[loop.held_count++] = uhttp_id(c);
}

/* The program of most tests: the path is the answer, but for some paths. */
static void loop_app(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    size_t length;
    const void *body = uhttp_body(c, &length);
    loop.requests++;
    if (strcmp(path, "/hold") == 0)
        loop_hold(c);
    else if (strcmp(path, "/big") == 0)
        assert_ok(uhttp_respond_static(c, 200, "application/x", loop_big(), LOOP_BIG));
    else if (strcmp(path, "/echo") == 0)
        assert_ok(uhttp_respond(c, 200, uhttp_content_type(c), body, length));
    else if (strcmp(path, "/stream") == 0) {
        assert_ok(uhttp_stream_begin(c, 200, "text/plain"));
        loop_hold(c);
    } else
        assert_ok(uhttp_respond_text(c, 200, path));
}

/* The client has gone: the program forgets what it held of it. */
static void loop_let_go(const uhttp_conn *c)
{
    for (unsigned i = 0; i < loop.held_count; i++) {
        if (loop.held[i] != c)
            continue;
        loop.held[i] = loop.held[--loop.held_count];
        loop.ids[i] = loop.ids[loop.held_count];
    }
}

static bool loop_holds(const uhttp_conn *c)
{
    for (unsigned i = 0; i < loop.held_count; i++) {
        if (loop.held[i] == c)
            return true;
    }
    return false;
}

/* The same in event mode: bodies are accepted into memory. */
static void loop_event_app(uhttp_conn *c)
{
    uhttp_event_type event = uhttp_event(c);
    loop.events[event]++;
    if (event == UHTTP_EVENT_HEADERS)
        assert_ok(uhttp_accept_body(c, 0));
    else if (event == UHTTP_EVENT_REQUEST || event == UHTTP_EVENT_COMPLETE)
        loop_app(c);
    else if (event == UHTTP_EVENT_CLOSED || event == UHTTP_EVENT_ERROR)
        loop_let_go(c);
}

static void loop_on_log(void *user, const char *line)
{
    assert_ptr_equal(user, &loop);
    if (loop.line_count < LOOP_LINES)
        snprintf(loop.lines[loop.line_count++], sizeof loop.lines[0], "%s", line);
}

static void loop_on_access(void *user, const uhttp_access *entry)
{
    assert_ptr_equal(user, &loop);
    if (loop.access_count == LOOP_LINES)
        return;
    loop_access *a = &loop.access[loop.access_count++];
    snprintf(a->address, sizeof a->address, "%s", entry->address);
    snprintf(a->method, sizeof a->method, "%s", entry->method);
    snprintf(a->url, sizeof a->url, "%s", entry->url);
    a->version_minor = entry->version_minor;
    a->status = entry->status;
    a->bytes = entry->bytes;
    a->duration_ms = entry->duration_ms;
}

/* How many log lines contain this. */
static unsigned loop_logged(const char *text)
{
    unsigned count = 0;
    for (unsigned i = 0; i < loop.line_count; i++)
        count += strstr(loop.lines[i], text) != NULL ? 1 : 0;
    return count;
}

/*--- the loop, in three kinds ---------------------------------------------------------*/

/* The program's own loop is uhttp_wait(). */
static void loop_pump_wait(uhttp_server *server, int timeout_ms)
{
    uhttp_conn *c;
    for (int n = 0; n < 1000 && (c = uhttp_wait(server, timeout_ms)) != NULL; n++) {
        loop.handler(c);
        timeout_ms = 0;
    }
}

static void loop_hand_out(uhttp_server *server, uhttp_conn *c)
{
    for (int n = 0; c != NULL && n < 1000; n++) {
        loop.handler(c);
        c = uhttp_process_events(server, NULL, 0);
    }
}

static int loop_shorter(uhttp_server *server, int timeout_ms)
{
    int most = uhttp_server_timeout(server);
    return most >= 0 && (timeout_ms < 0 || most < timeout_ms) ? most : timeout_ms;
}

/* A loop of another kind, around poll(). */
static void loop_pump_poll(uhttp_server *server, int timeout_ms)
{
    static uhttp_watch list[1400];
    static struct pollfd polled[1400];
    size_t count = uhttp_server_watch(server, list, 1400);
    assert_true(count <= 1400);
    for (size_t i = 0; i < count; i++) {
        polled[i].fd = (int)list[i].fd;
        polled[i].events = (short)((list[i].wish & UHTTP_READABLE ? POLLIN : 0) |
                                   (list[i].wish & UHTTP_WRITABLE ? POLLOUT : 0));
        polled[i].revents = 0;
    }
    int n = poll(polled, (nfds_t)count, loop_shorter(server, timeout_ms));
    loop.wakes++;
    for (size_t i = 0; i < count && n > 0; i++) {
        unsigned got = (polled[i].revents & POLLIN ? UHTTP_READABLE : 0) |
                       (polled[i].revents & POLLOUT ? UHTTP_WRITABLE : 0);
        if (polled[i].revents & (POLLERR | POLLHUP | POLLNVAL))
            got = UHTTP_READABLE | UHTTP_WRITABLE;
        list[i].ready = (uint16_t)got;
    }
    loop_hand_out(server, uhttp_process_events(server, list, count));
}

/* A loop around select(). */
static void loop_pump_select(uhttp_server *server, int timeout_ms)
{
    fd_set read_set, write_set;
    int max_fd = -1;
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    assert_ok(uhttp_server_fd_sets(server, &read_set, &write_set, &max_fd));
    int most = loop_shorter(server, timeout_ms);
    struct timeval timeout;
    timeout.tv_sec = most / 1000;
    timeout.tv_usec = most % 1000 * 1000;
    if (select(max_fd + 1, &read_set, &write_set, NULL, most < 0 ? NULL : &timeout) <= 0) {
        FD_ZERO(&read_set);
        FD_ZERO(&write_set);
    }
    loop.wakes++;
    loop_hand_out(server, uhttp_process_fd_sets(server, &read_set, &write_set));
}

/* Lets the servers run for a moment. */
static void loop_pump(int timeout_ms)
{
    if (loop.other != NULL)
        loop.pump(loop.other, 0);
    if (loop.server != NULL)
        loop.pump(loop.server, timeout_ms);
    else
        loop_sleep((unsigned)timeout_ms);
}

static void loop_pump_for(uint32_t ms)
{
    uint32_t start = loop_millis();
    while (loop_millis() - start < ms)
        loop_pump((int)(ms - (loop_millis() - start)) + 1);
}

/* Lets the servers run until something is so. */
#define LOOP_UNTIL(condition)                                           \
    do {                                                                \
        uint32_t until_start = loop_millis();                           \
        while (!(condition)) {                                          \
            if (loop_millis() - until_start > LOOP_PATIENCE_MS)         \
                fail_msg("waited in vain for: %s", #condition);         \
            loop_pump(2);                                               \
        }                                                               \
    } while (0)

/* Nothing is to be done: the server must not ask the network again and again. */
static void loop_expect_sleep(uint32_t ms)
{
    loop_pump(20);
    size_t before = loop_selects;
    loop_pump_for(ms);
    if (loop_selects - before > 10 + ms / 10)
        fail_msg("asked the network %zu times in %u ms", loop_selects - before, (unsigned)ms);
}

#ifdef LOOP_TLS
#define LOOP_SECURE true
#define LOOP_SCHEME "https"
static const uhttp_tls_config *loop_tls(void);
static void client_wrap(client *c);
static void client_agree(client *c);
#else
#define LOOP_SECURE false
#define LOOP_SCHEME "http"
static const uhttp_tls_config *loop_tls(void) { return NULL; }
static void client_wrap(client *c) { (void)c; }

/* Gets what comes before the first byte of HTTP over with, where a test needs it gone. */
static void client_agree(client *c) { (void)c; }
#endif

static uhttp_config loop_config(void)
{
    uhttp_config config;
    memset(&config, 0, sizeof config);
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.max_connections = 16;
    config.tls = loop_tls();
    config.log = loop_on_log;
    config.access_log = loop_on_access;
    config.user = &loop;
    return config;
}

static void loop_open(const uhttp_config *config)
{
    uhttp_result result = uhttp_server_open(&loop.server, config);
    if (result != UHTTP_OK)
        fail_msg("uhttp_server_open: %s", uhttp_strerror(result));
    if (config->event_mode)
        loop.handler = loop_event_app;
    if (UH_QUEUE_ALWAYS)        /* made now, as tests count descriptors from here on */
        assert_null(uhttp_wait(loop.server, 0));
}

/* A server with all defaults but the port, and 16 connections. */
static void loop_open_default(void)
{
    uhttp_config config = loop_config();
    loop_open(&config);
}

static void loop_close(void)
{
    uhttp_server_close(loop.server);
    loop.server = NULL;
}

static uhttp_stats loop_stats(void)
{
    uhttp_stats stats;
    uhttp_server_stats(loop.server, &stats);
    return stats;
}

/*--- clients --------------------------------------------------------------------------*/

static client *client_new(int fd)
{
    client *c = (client *)calloc(1, sizeof *c);
    assert_non_null(c);
    assert_true(loop.client_count < LOOP_CLIENTS);
    c->fd = fd;
    loop.clients[loop.client_count++] = c;
    if (fd < 0)
        fail_msg("socket: %s", strerror(errno));
#ifdef SO_NOSIGPIPE
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    int at_once = 1;            /* every cut arrives as it is made */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    client_wrap(c);
    return c;
}

static client *client_socket(int family)
{
    return client_new(socket(family, SOCK_STREAM, 0));
}

/* Begins to connect; 0, or errno. The kernel completes it while the server looks elsewhere. */
static int client_connect_to(client *c, const void *address, size_t length)
{
    if (connect(c->fd, (const struct sockaddr *)address, (socklen_t)length) == 0 ||
        errno == EINPROGRESS)
        return 0;
    return errno;
}

static int client_connect_v4(client *c, int port)
{
    struct sockaddr_in at;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return client_connect_to(c, &at, sizeof at);
}

static int client_connect_v6(client *c, int port)
{
    struct sockaddr_in6 at;
    memset(&at, 0, sizeof at);
    at.sin6_family = AF_INET6;
    at.sin6_port = htons((uint16_t)port);
    at.sin6_addr = in6addr_loopback;
    return client_connect_to(c, &at, sizeof at);
}

static client *client_connect_port(int port)
{
    client *c = client_socket(AF_INET);
    int error = client_connect_v4(c, port);
    if (error != 0)
        fail_msg("connect: %s", strerror(error));
    return c;
}

static client *client_connect(void)
{
    return client_connect_port(uhttp_server_port(loop.server));
}

/* A client whose system takes little before it reads. */
static client *client_connect_narrow(int receive_buffer)
{
    client *c = client_socket(AF_INET);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    assert_int_equal(client_connect_v4(c, uhttp_server_port(loop.server)), 0);
    return c;
}

static void client_close(client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* A test with many clients is done with the newest. */
static void client_forget(client *c)
{
    assert_ptr_equal(c, loop.clients[loop.client_count - 1]);
    loop.client_count--;
    client_close(c);
    if (c->wire != NULL)
        c->wire->free(c);
    free(c->in);
    free(c->head);
    free(c->body);
    free(c);
}

/* Ends the connection by a reset. */
static void client_reset(client *c)
{
    struct linger linger = { 1, 0 };
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    client_close(c);
}

static void client_shut(client *c)
{
    if (c->wire != NULL)
        c->wire->shut(c);
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
}

/* Offers bytes to the socket once; how many it took, -1: the connection is lost. */
static ssize_t client_offer(client *c, const void *bytes, size_t length)
{
    ssize_t n = c->wire != NULL ? c->wire->send(c, bytes, length)
                                : send(c->fd, bytes, length, LOOP_SEND_FLAGS);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN))
        return 0;
    return n;
}

/* Sends all of it, while the server runs; false: the connection was lost. */
static bool client_try_send(client *c, const void *bytes, size_t length)
{
    uint32_t start = loop_millis();
    for (size_t sent = 0; sent < length; ) {
        ssize_t n = client_offer(c, (const char *)bytes + sent, length - sent);
        if (n < 0)
            return false;
        sent += (size_t)n;
        if (sent < length)
            loop_pump(n > 0 ? 0 : 2);
        if (loop_millis() - start > LOOP_PATIENCE_MS)
            fail_msg("the server took %zu of %zu bytes", sent, length);
    }
    return true;
}

static void client_send_bytes(client *c, const void *bytes, size_t length)
{
    if (!client_try_send(c, bytes, length))
        fail_msg("send: %s", strerror(errno));
}

static void client_send(client *c, const char *text)
{
    client_send_bytes(c, text, strlen(text));
}

/* Reads what is here, at most so much; bytes, 0: nothing, -1: it is the end. */
static ssize_t client_receive_some(client *c, size_t most)
{
    if (c->ended)
        return -1;
    if (c->size - c->used < most + 1) {
        c->size = (c->used + most + 1) * 2;
        c->in = (char *)realloc(c->in, c->size);
        assert_non_null(c->in);
    }
    ssize_t n = c->wire != NULL ? c->wire->recv(c, c->in + c->used, most)
                                : recv(c->fd, c->in + c->used, most, 0);
    if (n > 0) {
        c->used += (size_t)n;
        c->in[c->used] = '\0';
    } else if (n == 0) {
        c->ended = true;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        c->ended = true;
        c->error = errno;
    }
    return c->ended ? -1 : n > 0 ? n : 0;
}

static ssize_t client_receive(client *c)
{
    return client_receive_some(c, 65536);
}

static void client_drop(client *c, size_t length)
{
    memmove(c->in, c->in + length, c->used - length);
    c->used -= length;
    c->in[c->used] = '\0';
}

/* The value of a field of an answer's head; NULL: absent. */
static const char *head_field(const char *head, const char *name)
{
    uhttp_str fields, field, value;
    fields.ptr = strstr(head, "\r\n") + 2;
    fields.len = strlen(fields.ptr);
    while (uhttp_header_next(&fields, &field, &value)) {
        if (field.len != strlen(name) || strncasecmp(field.ptr, name, field.len) != 0)
            continue;
        return loop_text("%.*s", (int)value.len, value.ptr);
    }
    return NULL;
}

static const char *client_field(const client *c, const char *name)
{
    return head_field(c->head, name);
}

static bool client_says_close(const client *c)
{
    const char *value = client_field(c, "Connection");
    return value != NULL && strcmp(value, "close") == 0;
}

/* Is the head one that a strict reader takes? */
static void head_check(const char *head, int status)
{
    const char *start = loop_text("HTTP/1.1 %d ", status);
    uhttp_str fields, name, value;
    if (strncmp(head, start, strlen(start)) != 0)
        fail_msg("not a status line: %s", head);
    fields.ptr = strstr(head, "\r\n") + 2;
    fields.len = strlen(fields.ptr);
    while (uhttp_header_next(&fields, &name, &value)) { }
    if (fields.len != 0)
        fail_msg("not a field: %s", fields.ptr);
    if (head_field(head, "Content-Length") != NULL &&
        head_field(head, "Transfer-Encoding") != NULL)
        fail_msg("two framings: %s", head);
}

/* Decodes a chunked body in a copy; its length behind the text, 0: it is not whole. */
static size_t answer_unchunk(const char *text, size_t length, char *out, size_t *out_length)
{
    const char *p = text;
    const char *end = text + length;
    *out_length = 0;
    for (;;) {
        const char *line_end = (const char *)memchr(p, '\n', (size_t)(end - p));
        if (line_end == NULL)
            return 0;
        size_t size = (size_t)strtoul(p, NULL, 16);
        p = line_end + 1;
        if ((size_t)(end - p) < size + 2)
            return 0;
        assert_memory_equal(p + size, "\r\n", 2);
        memcpy(out + *out_length, p, size);
        *out_length += size;
        p += size + 2;
        if (size == 0)
            return (size_t)(p - text);
    }
}

/* Takes the next answer, also an interim one, off what has come; false: it is not whole. */
static bool client_take(client *c)
{
    char *head_end = c->used > 0 ? strstr(c->in, "\r\n\r\n") : NULL;
    if (head_end == NULL)
        return false;
    size_t head = (size_t)(head_end + 2 - c->in);
    size_t rest = c->used - head - 2;
    const char *text = head_end + 4;
    free(c->head);
    c->head = strndup(c->in, head);
    c->status = (int)strtol(c->head + 9, NULL, 10);
    head_check(c->head, c->status);
    const char *announced = client_field(c, "Content-Length");
    bool chunked = client_field(c, "Transfer-Encoding") != NULL;
    bool bare = c->to_head || c->status < 200 || c->status == 204 || c->status == 304;
    size_t taken = 0;
    free(c->body);
    c->body = (char *)malloc(rest + 1);
    assert_non_null(c->body);
    c->length = 0;
    if (!bare && chunked) {
        taken = answer_unchunk(text, rest, c->body, &c->length);
        if (taken == 0)
            return false;
    } else if (!bare) {
        if (announced == NULL && !c->ended)
            return false;
        taken = c->length = announced != NULL ? (size_t)strtoul(announced, NULL, 10) : rest;
        if (rest < taken)
            return false;
        memcpy(c->body, text, taken);
    }
    c->body[c->length] = '\0';
    c->to_head = c->to_head && c->status < 200;
    client_drop(c, head + 2 + taken);
    return true;
}

/* Waits for the next answer; its status. */
static int client_answer(client *c)
{
    uint32_t start = loop_millis();
    while (!client_take(c)) {
        if (c->ended && !client_take(c))
            fail_msg("the connection ended (%s) where an answer was due, after: %.200s",
                     c->error != 0 ? strerror(c->error) : "in order", c->used > 0 ? c->in : "");
        if (loop_millis() - start > LOOP_PATIENCE_MS)
            fail_msg("no answer came, but: %.200s", c->used > 0 ? c->in : "nothing");
        if (client_receive(c) <= 0)
            loop_pump(2);
    }
    return c->status;
}

static int client_ask(client *c, const char *request)
{
    client_send(c, request);
    return client_answer(c);
}

static int client_get(client *c, const char *path)
{
    return client_ask(c, loop_text("GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path));
}

/* Asks for a path and checks that the answer is this path. */
static void client_check(client *c, const char *path)
{
    assert_int_equal(client_get(c, path), 200);
    assert_string_equal(c->body, path);
}

/* Waits for the end, whatever comes before it. */
static void client_await_end(client *c)
{
    uint32_t start = loop_millis();
    while (!c->ended) {
        if (loop_millis() - start > LOOP_PATIENCE_MS)
            fail_msg("the connection did not end");
        if (client_receive(c) == 0)
            loop_pump(2);
    }
}

/* The server closes in order, and nothing more comes. */
static void client_expect_end(client *c)
{
    client_await_end(c);
    if (c->error != 0)
        fail_msg("instead of an end: %s", strerror(c->error));
    if (c->used != 0)
        fail_msg("before the end: %.200s", c->in);
}

/* The server closes on a client that has not said a word. Over TLS that client speaks first when
 * it looks for the end, and a word to a closed connection is answered with a reset. */
static void client_expect_unheard(client *c)
{
    client_await_end(c);
    if (c->used != 0)
        fail_msg("before the end: %.200s", c->in);
}

/* Nothing has come so far, and no end. */
static void client_expect_nothing(client *c)
{
    client_receive(c);
    if (c->used != 0 || c->ended)
        fail_msg("came too early: %.200s", c->used > 0 ? c->in : "the end");
}

/* The port of the client's own end. */
static int client_port(const client *c)
{
    struct sockaddr_in6 at;
    struct sockaddr_in v4;
    socklen_t length = sizeof at;
    assert_int_equal(getsockname(c->fd, (struct sockaddr *)(void *)&at, &length), 0);
    memcpy(&v4, &at, sizeof v4);
    return ntohs(v4.sin_family == AF_INET ? v4.sin_port : at.sin6_port);
}

/* A reader that checks and forgets; returns when the body of the next answer is all here or
 * after so many bytes of it. The offset goes on from call to call. */
static void client_drain_pattern(client *c, uint64_t *offset, uint64_t until)
{
    uint32_t start = loop_millis();
    while (*offset < until) {
        ssize_t n = client_receive(c);
        if (c->used > 0) {
            size_t take = c->used < until - *offset ? c->used : (size_t)(until - *offset);
            if (!loop_pattern_is(c->in, *offset, take))
                fail_msg("a wrong byte near %llu", (unsigned long long)*offset);
            *offset += take;
            client_drop(c, take);
        } else if (n < 0) {
            fail_msg("the body ended after %llu bytes", (unsigned long long)*offset);
        }
        if (n <= 0)
            loop_pump(2);
        else
            loop_pump(0);
        if (loop_millis() - start > LOOP_PATIENCE_MS)
            fail_msg("the body stopped after %llu bytes", (unsigned long long)*offset);
    }
}

/* Waits for a head alone; what follows stays in c->in. */
static void client_await_head(client *c)
{
    LOOP_UNTIL(client_receive_some(c, 512) != 0 &&
               (c->ended || (c->used > 0 && strstr(c->in, "\r\n\r\n") != NULL)));
    char *head_end = c->used > 0 ? strstr(c->in, "\r\n\r\n") : NULL;
    assert_non_null(head_end);
    size_t head = (size_t)(head_end + 2 - c->in);
    free(c->head);
    c->head = strndup(c->in, head);
    c->status = (int)strtol(c->head + 9, NULL, 10);
    head_check(c->head, c->status);
    client_drop(c, head + 2);
}

/*--- around each test -----------------------------------------------------------------*/

static int loop_setup(void **state)
{
    (void)state;
    memset(&loop, 0, sizeof loop);
    loop.handler = loop_app;
    loop.pump = loop_pump_wait;
    getrlimit(RLIMIT_NOFILE, &loop.limit);
    loop.descriptors = loop_open_descriptors();
    loop_allocations = 0;
    loop_accept_failures = 0;
    loop_queue_error = 0;
    loop_queue_bare_errors = false;
    return 0;
}

static int loop_teardown(void **state)
{
    (void)state;
    int result = 0;
    setrlimit(RLIMIT_NOFILE, &loop.limit);
    loop_free_descriptors();
    uhttp_server_close(loop.other);
    loop_close();
    while (loop.client_count > 0)
        client_forget(loop.clients[loop.client_count - 1]);
    if (loop_open_descriptors() != loop.descriptors) {
        print_error("%d descriptors are open, there were %d\n", loop_open_descriptors(),
                    loop.descriptors);
        result = -1;
    }
    if (loop_blocks != 0) {
        print_error("%zu blocks of memory were not given back\n", loop_blocks);
        result = -1;
    }
    loop_blocks = 0;
    return result;
}

#pragma GCC diagnostic pop

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, loop_setup, loop_teardown)

/* One that is not run over TLS, and why; no comma stands behind it. */
#ifdef LOOP_TLS
#define LOOP_TEST_PLAIN(name, why)
#include "tls_loopback.h"
#pragma GCC diagnostic ignored "-Wunused-function"
#else
#define LOOP_TEST_PLAIN(name, why) LOOP_TEST(name),
#endif

#endif
