/* A random driver: two servers, their clients, and a program that calls every public function
 * in any state, in any order, with usual and odd arguments, on connections it owns and on those
 * it let go of long ago, through every kind of loop, while memory fails and time jumps.
 *
 * The functions are those of arguments.h, so that none is missing. Clients are socket pairs and
 * the clock is the driver's: a seed gives the same run again. After each step
 *
 *   strings   what the program was handed is where it was and reads as it did
 *   bodies    so is a body, with a NUL behind it
 *   ids       no id comes twice, and each finds its connection
 *   ends      every request told of ends exactly once: by a call that returned OK or CLOSED, by
 *             an event, by a failed response, or with the server
 *   counts    uhttp_stats() and uhttp_next() say what the program knows
 *   leaks     when a server is closed no memory and no descriptor is left of it
 *
 * Each of these is seen to fail: faults_are_found plants one fault after the other.
 *
 * DRIVER_SECONDS in the environment lets it run so long (2); more than 10 begin with a seed of
 * the clock's. A failure prints the seed; DRIVER_SEED=N DRIVER_SECONDS=0 runs that one alone.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif

#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

/*--- failing --------------------------------------------------------------------------------*/

static unsigned long driver_seed;
static unsigned driver_step;
static const char *driver_what = "";    /* the invariant that is being checked */
static char driver_doing[200];

static void driver_fails(const char *file, int line, const char *truth);

#define CHECK(truth) ((truth) ? (void)0 : driver_fails(__FILE__, __LINE__, #truth))

/*--- chance, memory and time ----------------------------------------------------------------*/

static uint64_t chance_state;

static unsigned chance_below(unsigned n)
{
    chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(chance_state >> 33) % n;
}

static bool chance_of(unsigned percent) { return chance_below(100) < percent; }

static uint32_t driver_now;
static long memory_blocks;              /* in use */
static unsigned memory_fails;           /* so many of the next allocations do */
static bool memory_keeps;               /* a planted fault: the next block given back is lost */

static void *memory_take(size_t size)
{
    if (memory_fails > 0 && memory_fails-- > 0)
        return NULL;
    memory_blocks++;
    return malloc(size);
}

static void memory_give(void *block)
{
    if (block != NULL && !memory_keeps)
        memory_blocks--;
    memory_keeps = memory_keeps && block == NULL;
    free(block);
}

/* So that a block is elsewhere each time. */
__attribute__((unused)) static void *memory_retake(void *block, size_t size)
{
    if (memory_fails > 0 && memory_fails-- > 0)
        return NULL;
    memory_blocks += block == NULL ? 1 : 0;
    return realloc(block, size);
}

#define UHTTP_MALLOC(size)         memory_take(size)
#define UHTTP_REALLOC(block, size) memory_retake(block, size)
#define UHTTP_FREE(block)          memory_give(block)
#define UHTTP_ASSERT(truth)        CHECK(truth)
#define UHTTP_MILLIS()             driver_now
#define UHTTP_TIME()               ((int64_t)1700000000)
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include "arguments.h"

/*--- what the program knows -----------------------------------------------------------------*/

#define SERVERS 2
#define SLOTS   4
#define CLIENTS 5
#define STRINGS 40

typedef struct held_string {
    const char *at;
    char text[96];              /* as far as it fits */
    size_t length;
} held_string;

/* A request the program was told of and whose end it has not heard. */
typedef struct request {
    bool owned;
    uint64_t id;
    bool error_told;            /* if nothing else comes of it, the next wait refuses it */
    bool failed;                /* and so after a response that failed */
    bool websocket;             /* it has become one: only _WS_CLOSE and uhttp_close() end it */
    held_string strings[STRINGS];
    unsigned count;
    const uint8_t *body;        /* NULL: none was seen */
    size_t body_length;
    uint32_t body_sum;
} request;

typedef struct caller {
    int fd;                     /* -1: no client */
    const char *rest;           /* of what it is saying */
    char long_text[9000];
} caller;

typedef struct world {
    uhttp_server *server;
    uhttp_conn *last;           /* returned by the last call of its loop */
    request requests[SLOTS];
    uint64_t ids[4000];
    unsigned id_count;
    unsigned told, ended;
    unsigned connected;
    bool stopping;
    uint8_t *memory;            /* fixed; NULL: heap */
    caller clients[CLIENTS];
} world;

static world worlds[SERVERS];
static world *at;                       /* whose turn it is */
static uint64_t faults;                 /* planted: a bit each */
static unsigned driver_calls, driver_told;

static request *request_of(const uhttp_conn *c)
{
    return &at->requests[c - at->server->slots];
}

static void ended(request *r)
{
    driver_what = "ends";
    CHECK(r->owned);
    r->owned = false;
    at->ended++;
}

/*--- strings and bodies ---------------------------------------------------------------------*/

static void hold_string(request *r, const char *text)
{
    if (text == NULL || r->count == STRINGS)
        return;
    held_string *s = &r->strings[r->count++];
    s->at = text;
    s->length = strlen(text);
    snprintf(s->text, sizeof s->text, "%s", text);
}

static void hold_strings(request *r, uhttp_conn *c)
{
    const char *name, *value;
    r->count = 0;
    hold_string(r, uhttp_method(c));
    hold_string(r, uhttp_url(c));
    hold_string(r, uhttp_path(c));
    hold_string(r, uhttp_protocol(c));
    hold_string(r, uhttp_host(c));
    for (size_t i = 0; uhttp_header_at(c, i, &name, &value); i++) {
        hold_string(r, name);
        hold_string(r, value);
    }
    for (size_t i = 0; uhttp_query_at(c, i, &name, &value); i++)
        hold_string(r, value);
    for (size_t i = 0; uhttp_cookie_at(c, i, &name, &value); i++)
        hold_string(r, value);
}

static void check_strings(const request *r, uhttp_conn *c)
{
    driver_what = "strings";
    for (unsigned i = 0; i < r->count; i++) {
        const held_string *s = &r->strings[i];
        size_t kept = s->length < sizeof s->text ? s->length : sizeof s->text - 1;
        CHECK(strlen(s->at) == s->length && memcmp(s->at, s->text, kept) == 0);
    }
    CHECK(uhttp_method(c) == r->strings[0].at && uhttp_url(c) == r->strings[1].at &&
          uhttp_path(c) == r->strings[2].at && uhttp_protocol(c) == r->strings[3].at);
}

static void check_body(request *r, uhttp_conn *c)
{
    size_t length = 1;
    uint32_t sum = 1;
    const uint8_t *body = (const uint8_t *)uhttp_body(c, &length);
    driver_what = "bodies";
    CHECK(body != NULL || length == 0);
    for (size_t i = 0; i < length; i++)
        sum = sum * 31 + body[i];
    CHECK(body == NULL || body[length] == 0);
    if (body != NULL && r->body != NULL)
        CHECK(body == r->body && length == r->body_length && sum == r->body_sum);
    r->body = body;
    r->body_length = length;
    r->body_sum = sum;
}

/*--- requests begin and end -----------------------------------------------------------------*/

static void begun(uhttp_conn *c)
{
    request *r = request_of(c);
    driver_what = "ends";
    CHECK(!r->owned);
    memset(r, 0, sizeof *r);
    r->owned = true;
    r->id = uhttp_id(c);
    at->told++;
    driver_told++;
    driver_what = "ids";
    CHECK(r->id != 0 && uhttp_context(c) == NULL && uhttp_server_of(c) == at->server);
    for (unsigned i = 0; i < at->id_count; i++)
        CHECK(at->ids[i] != r->id);
    CHECK(at->id_count < sizeof at->ids / sizeof at->ids[0]);
    at->ids[at->id_count++] = r->id;
    hold_strings(r, c);
}

/* Who was told of an error, or whose response failed, and did nothing more about it, has been
 * answered by the server when the program calls again. */
static void loop_was_called(uhttp_conn *heard)
{
    uhttp_conn *last = at->last;
    at->last = heard;
    if (last == NULL)
        return;
    request *r = request_of(last);
    bool another = uhttp_id(last) != r->id;
    bool gone = another || (!last->told && last != heard);
    if (r->owned && gone && (r->error_told || r->failed))
        ended(r);
}

static void arguments_heard(const uhttp_server *s, uhttp_conn *c)
{
    if (s == NULL)
        return;
    loop_was_called(c);
    if (c == NULL)
        return;
    driver_what = "ends";
    CHECK(uhttp_server_of(c) == at->server);
    request *r = request_of(c);
    uhttp_event_type event = uhttp_event(c);
    CHECK(event != UHTTP_EVENT_NONE);
    if (event == UHTTP_EVENT_REQUEST || event == UHTTP_EVENT_HEADERS ||
        event == UHTTP_EVENT_WS_REQUEST) {
        begun(c);
        return;
    }
    CHECK(r->websocket || uhttp_server_event_mode(at->server));
    CHECK(r->owned && uhttp_id(c) == r->id);
    CHECK(r->websocket == (event >= UHTTP_EVENT_WS_MESSAGE) || event == UHTTP_EVENT_WRITABLE);
    r->failed = false;
    if (event == UHTTP_EVENT_ERROR)
        r->error_told = true;
    else if (event == UHTTP_EVENT_CLOSED || event == UHTTP_EVENT_WS_CLOSE)
        ended(r);
}

static bool name_begins(const char *with)
{
    return strncmp(drawn_name, with, strlen(with)) == 0;
}

static bool name_ends(const char *with)
{
    size_t length = strlen(drawn_name);
    return length >= strlen(with) && strcmp(drawn_name + length - strlen(with), with) == 0;
}

/* What has come of the call that was just made, for the request it was about. */
static void called(uhttp_conn *c)
{
    request *r = request_of(c);
    bool whole = name_begins("uhttp_respond") || name_begins("uhttp_serve_") ||
                 strcmp(drawn_name, "uhttp_json_respond") == 0;
    bool other = name_begins("uhttp_json") || name_begins("uhttp_formdata") ||
                 name_begins("uhttp_ws");
    bool begins = !other && name_ends("_begin");
    bool ends = !other && name_ends("_end");
    bool upgrades = strcmp(drawn_name, "uhttp_ws_accept") == 0;
    bool accepts = upgrades || name_begins("uhttp_accept_body");
    bool good = drawn_result == UHTTP_OK && !drawn_missing;
    bool fails = drawn_result == UHTTP_ERR_INVALID || drawn_result == UHTTP_ERR_MEMORY ||
                 drawn_result == UHTTP_ERR_UNSUPPORTED ||
                 (drawn_result == UHTTP_ERR_STATE && name_begins("uhttp_json"));
    if (!r->owned)
        return;
    if (upgrades && !drawn_missing &&
        (drawn_result == UHTTP_ERR_DENIED || drawn_result == UHTTP_ERR_INVALID)) {
        ended(r);                   /* it was answered with 403, 400 or 426 */
        return;
    }
    ends = ends || whole || strcmp(drawn_name, "uhttp_close") == 0;
    if ((drawn_closed && !r->websocket) || (good && ends))
        ended(r);
    else if (good && (begins || accepts))
        r->failed = r->error_told = false;
    else if ((whole || begins || upgrades) && fails)
        r->failed = true;
    if (good && accepts)
        r->body = NULL;             /* a small one that was given comes again */
    if (good && upgrades) {
        r->websocket = true;
        r->count = 0;               /* its strings were good until now */
    }
}

/*--- what must be true after every step -----------------------------------------------------*/

static void check_request(uhttp_conn *c, request *r)
{
    driver_what = "ends";
    CHECK(r->owned == c->told);
    if (!r->owned)
        return;
    driver_what = "ids";
    CHECK(uhttp_id(c) == r->id);
    if ((1u << c->state & (UH_IN_OFFER | UH_IN_BODY | UH_IN_ANSWER | UH_IN_STREAM |
                           UH_IN_WEBSOCKET)) != 0)
        CHECK(uhttp_find(at->server, r->id) == c);
    if (r->websocket)
        return;
    check_strings(r, c);
    check_body(r, c);
}

static void check_counts(void)
{
    uhttp_stats stats;
    unsigned owned = 0;
    unsigned walked = 0;
    unsigned taken = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        owned += at->requests[i].owned ? 1 : 0;
        taken += at->server->slots[i].state != UH_FREE ? 1 : 0;
    }
    for (uhttp_conn *c = NULL; (c = uhttp_next(at->server, c)) != NULL; walked++)
        CHECK(request_of(c)->owned);
    uhttp_server_stats(at->server, &stats);
    driver_what = "counts";
    CHECK(walked == owned && stats.held == owned && stats.connections == taken);
    CHECK(stats.accepted == at->connected && stats.requests >= at->told);
    driver_what = "ends";
    CHECK(at->told == at->ended + owned);
}

static void arguments_check(void)
{
    for (unsigned w = 0; w < SERVERS; w++) {
        at = &worlds[w];
        for (unsigned i = 0; at->server != NULL && i < SLOTS; i++)
            check_request(&at->server->slots[i], &at->requests[i]);
        if (at->server != NULL)
            check_counts();
    }
}

static void arguments_restore(void) { }

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

/*--- files ----------------------------------------------------------------------------------*/

static unsigned files_open;

static uhttp_result file_open(void *user, const char *path, const char *root, void **file,
                              uhttp_file_info *info)
{
    (void)user;
    (void)path;
    (void)root;
    if (chance_of(20))
        return UHTTP_ERR_SYSTEM;
    info->size = 1 + chance_below(20000);
    info->is_dir = chance_of(5);
    *file = &files_open;
    files_open++;
    return UHTTP_OK;
}

static size_t file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    (void)user;
    (void)file;
    (void)offset;
    memset(to, 'f', length);
    return chance_of(2) ? length + 1 : length;      /* a broken one */
}

static void file_close(void *user, void *file)
{
    (void)user;
    CHECK(file == &files_open && files_open-- > 0);
}

static uhttp_result file_create(void *user, const char *path, void **file)
{
    (void)user;
    CHECK(path[0] != '\0');
    if (chance_of(10))
        return UHTTP_ERR_SYSTEM;
    *file = &files_open;
    files_open++;
    return UHTTP_OK;
}

static uhttp_result file_write(void *user, void *file, const void *data, size_t length)
{
    (void)user;
    CHECK(file == &files_open && data != NULL && length > 0);
    return chance_of(3) ? UHTTP_ERR_MEMORY : UHTTP_OK;
}

static uhttp_result file_finish(void *user, void *file, const char *written, const char *path)
{
    (void)path;
    CHECK(written[0] != '\0');
    file_close(user, file);
    return UHTTP_OK;
}

static const uhttp_files files = { NULL, file_open, file_read, file_close, file_create,
                                   file_write, file_finish };

/*--- a transport that stutters --------------------------------------------------------------*/

/* One peer over a plain socket: its handshake takes a few steps, and now and then a call does
 * nothing, or less than it could. */
typedef struct stutter {
    uh_socket fd;
    int steps;
} stutter;

static unsigned stutters_open;

static void *stutter_open(void *user, intptr_t fd)
{
    (void)user;
    stutter *t = chance_of(95) ? (stutter *)malloc(sizeof *t) : NULL;
    if (t == NULL)
        return NULL;
    t->fd = (uh_socket)fd;
    t->steps = (int)chance_below(4);
    stutters_open++;
    return t;
}

static int stutter_handshake(void *t)
{
    stutter *p = (stutter *)t;
    if (p->steps == 0)
        return chance_of(95) ? 0 : UHTTP_FAILED;
    p->steps--;
    return UHTTP_WANT_WRITE;
}

static int stutter_recv(void *t, void *to, size_t room)
{
    if (chance_of(20))
        return chance_of(50) ? UHTTP_WANT_READ : UHTTP_WANT_WRITE;
    ssize_t n = recv(((stutter *)t)->fd, to, chance_of(30) ? 1 : room, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? UHTTP_WANT_READ : UHTTP_FAILED;
    return chance_of(1) ? (int)room + 1 : (int)n;
}

static int stutter_send(void *t, const uhttp_str *parts, int count)
{
    (void)count;
    if (chance_of(20))
        return UHTTP_WANT_WRITE;
    size_t length = chance_of(30) ? 1 : parts[0].len;
    ssize_t n = send(((stutter *)t)->fd, parts[0].ptr, length, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? UHTTP_WANT_WRITE : UHTTP_FAILED;
    return chance_of(1) ? INT_MAX : (int)n;
}

static size_t stutter_pending(void *t)
{
    (void)t;
    return 0;
}

static void stutter_close(void *t, bool only_write_side)
{
    if (only_write_side) {
        shutdown(((stutter *)t)->fd, SHUT_WR);
        return;
    }
    stutters_open--;
    free(t);
}

static const uhttp_transport stuttering = { stutter_open, stutter_handshake, stutter_recv,
                                            stutter_send, stutter_pending, stutter_close };

/*--- servers --------------------------------------------------------------------------------*/

static void open_server(void)
{
    static const size_t buffers[] = { 512, 700, 2048, 5000 };
    uhttp_config config;
    uhttp_tls_config tls;
    memset(at, 0, sizeof *at);
    memset(&config, 0, sizeof config);
    memset(&tls, 0, sizeof tls);
    for (unsigned i = 0; i < CLIENTS; i++)
        at->clients[i].fd = -1;
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.max_connections = SLOTS;
    config.event_mode = chance_of(60);
    config.files = &files;
    config.max_content_length = chance_of(50) ? 300 : 0;
    config.max_send_buffer = chance_of(50) ? 1500 : 0;
    config.response_timeout_ms = chance_of(30) ? 5000 : 0;
    config.keep_alive_max_requests = chance_of(30) ? 2 : 0;
    config.file_chunk_size = chance_of(50) ? 100 : 0;
    tls.transport = &stuttering;
    config.tls = chance_of(50) ? &tls : NULL;
    if (chance_of(40)) {
        config.memory_size = UHTTP_MEMORY_SIZE(SLOTS, buffers[chance_below(4)]);
        config.memory = at->memory = (uint8_t *)malloc(config.memory_size);
    }
    memory_fails = 0;
    CHECK(uhttp_server_open(&at->server, &config) == UHTTP_OK);
}

/* The server ends all that the program still owns. */
static void close_server(void)
{
    if (at->server == NULL)
        return;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (at->requests[i].owned)
            ended(&at->requests[i]);
    }
    uhttp_server_close(at->server);
    driver_what = "ends";
    CHECK(at->told == at->ended);
    at->server = NULL;
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (at->clients[i].fd >= 0)
            close(at->clients[i].fd);
        at->clients[i].fd = -1;
    }
    free(at->memory);
}

/*--- clients --------------------------------------------------------------------------------*/

#define UPGRADE                                                                                \
    "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"           \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static const char *const sayings[] = {
    "GET /a/b?a=1&b=x+y&flag HTTP/1.1\r\nHost: h\r\nCookie: k=v; l=w\r\nX-A: b\r\n\r\n",
    "GET /%41%2f HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET http://host/abs?x HTTP/1.1\r\nHost: host\r\nRange: bytes=1-3\r\n\r\n",
    "HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n1234567"
    "GET /behind HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /f HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    "Content-Length: 13\r\n\r\na=1&flag&b=%2" "GET /behind HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /f HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    "Content-Length: 12\r\n\r\na=1&flag&b=x" "GET /behind HTTP/1.1\r\nHost: h\r\n\r\n",
    "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "POST /cut HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\nnot all of it",
    "POST /bad HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello6\r\n",
    UPGRADE, UPGRADE "\x81\x82\x01\x01\x01\x01" "ab", UPGRADE "\x88\x80\x01\x01\x01\x01",
    "\x81\x82\x01\x01\x01\x01" "ab",
    "\x01\x82\x01\x01\x01\x01" "ab\x80\x81\x01\x01\x01\x01" "c",
    "\x89\x81\x01\x01\x01\x01" "p", "\x88\x80\x01\x01\x01\x01",
    "GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n", "\r\n", "GET /half HT",
    "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    NULL, NULL                  /* long ones */
};

static const char *long_saying(caller *p)
{
    unsigned n = 1 + chance_below(8000);
    bool body = chance_of(50);
    int head = snprintf(p->long_text, sizeof p->long_text, body
                        ? "POST /long HTTP/1.1\r\nHost: h\r\nContent-Length: %u\r\n\r\n"
                        : "GET /long?%u HTTP/1.1\r\nHost: h\r\nX-Long: ", n);
    memset(p->long_text + head, 'b', n);
    strcpy(p->long_text + head + n, body ? "" : "\r\n\r\n");
    return p->long_text;
}

static void client_connects(caller *p)
{
    int pair[2];
    int little = 2048;
    uh_peer from;
    if (at->stopping || at->server->free_slot == NULL)
        return;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    memset(&from, 0, sizeof from);
    from.family = 4;
    from.port = 1234;
    CHECK(uh_sys_prepare(pair[1]));
    at->server->now = UHTTP_MILLIS();
    if (uh_conn_open(at->server, &at->server->listeners[0], pair[1], &from)) {
        at->connected++;
        p->fd = pair[0];
        p->rest = "";
        return;
    }
    close(pair[0]);
    close(pair[1]);
}

static void client_speaks(caller *p)
{
    size_t length = 0;
    if (*p->rest == '\0') {
        p->rest = sayings[chance_below(sizeof sayings / sizeof sayings[0])];
        if (p->rest == NULL)
            p->rest = long_saying(p);
    }
    length = strlen(p->rest);
    if (chance_of(30))
        length = 1 + chance_below((unsigned)length);
    ssize_t n = send(p->fd, p->rest, length, MSG_DONTWAIT);
    if (n > 0)
        p->rest += n;
    if (n < 0)
        p->rest = "";
}

static void client_acts(void)
{
    char trash[8192];
    caller *p = &at->clients[chance_below(CLIENTS)];
    unsigned what = chance_below(20);
    if (p->fd < 0) {
        client_connects(p);
        return;
    }
    if (what < 13) {
        client_speaks(p);
    } else if (what < 18) {
        if (recv(p->fd, trash, sizeof trash, MSG_DONTWAIT) == 0)
            what = 19;
    } else if (what == 18 && chance_of(30)) {
        shutdown(p->fd, SHUT_WR);
    }
    if (what == 19 && chance_of(60)) {
        close(p->fd);
        p->fd = -1;
    }
}

/*--- the program ----------------------------------------------------------------------------*/

static uhttp_conn *some_conn(void)
{
    uhttp_conn *c = &at->server->slots[chance_below(SLOTS)];
    for (unsigned i = 0; i < SLOTS && chance_of(80) && !request_of(c)->owned; i++)
        c = &at->server->slots[chance_below(SLOTS)];
    return c;
}

/* A function of that name, as usual or with whatever is chosen. */
static void program_calls(unsigned number, bool usual)
{
    const char *name = table_names[number];
    bool stops = strcmp(name, "uhttp_server_shutdown") == 0;
    if ((stops || strcmp(name, "uhttp_server_listen") == 0) && chance_of(95))
        return;
    for (unsigned i = 0; i < ARGUMENTS_MOST; i++)
        drawn_choice[i] = usual || chance_of(75) ? 0 : chance_below(6);
    arguments_server = at->server;
    arguments_conn = some_conn();
    at->stopping = at->stopping || stops;
    CHECK(arguments_call(number) != NULL);
    snprintf(driver_doing, sizeof driver_doing, "%s", arguments_say());
    called(arguments_conn);
    driver_calls++;
}

static void program_calls_named(const char *name)
{
    for (unsigned i = 0; i < table_count; i++) {
        if (strcmp(table_names[i], name) == 0)
            program_calls(i, true);
    }
}

/* What a program that goes on well would do. */
static void program_goes_on(void)
{
    static const char *const names[] = {
        "uhttp_respond_text", "uhttp_respond_text", "uhttp_respond_text", "uhttp_respond_error",
        "uhttp_stream_end", "uhttp_respond_file", "uhttp_respond_static", "uhttp_serve_dir",
        "uhttp_json_respond", "uhttp_accept_body", "uhttp_accept_body",
        "uhttp_accept_body_streaming", "uhttp_accept_body_to_file", "uhttp_read_buffer",
        "uhttp_read_buffer", "uhttp_stream_begin", "uhttp_sse_begin", "uhttp_multipart_begin",
        "uhttp_stream_write", "uhttp_sse_send", "uhttp_multipart_frame", "uhttp_stream_end",
        "uhttp_form", "uhttp_body", "uhttp_close", "uhttp_find", "uhttp_ws_accept",
        "uhttp_ws_accept", "uhttp_ws_send", "uhttp_ws_message", "uhttp_ws_close",
    };
    program_calls_named(names[chance_below(sizeof names / sizeof names[0])]);
}

/* A loop that follows changes: what it is told of is a socket still, removals are told first. */
static void loop_follows(void)
{
    uhttp_watch list[4];
    size_t capacity = 1 + chance_below(4);
    size_t count;
    while ((count = uhttp_server_watch_changes(at->server, list, capacity)) > 0) {
        driver_what = "changes";
        CHECK(count <= capacity);
        for (size_t i = 0; i < count; i++) {
            CHECK(fcntl((int)list[i].fd, F_GETFD) >= 0);
            CHECK(i == 0 || list[i].wish != 0 || list[i - 1].wish == 0);
        }
    }
}

/* One turn of one of the loops. Whoever has begun to follow changes must go on. */
static void loop_turns(void)
{
    uhttp_watch list[SLOTS + UHTTP_MAX_LISTENERS + 1];
    struct pollfd sockets[SLOTS + UHTTP_MAX_LISTENERS + 1];
    fd_set sets[2];
    int most = -1;
    unsigned how = chance_below(3);
    uhttp_conn *c = NULL;
    snprintf(driver_doing, sizeof driver_doing, "loop %u", how);
    if (at->server->keep_socket != NULL)
        loop_follows();
    if (how == 0) {
        c = uhttp_wait(at->server, 0);
    } else if (how == 1) {
        size_t count = uhttp_server_watch(at->server, list, sizeof list / sizeof list[0]);
        driver_what = "counts";
        CHECK(count <= sizeof list / sizeof list[0]);
        for (size_t i = 0; i < count; i++) {
            sockets[i].fd = (int)list[i].fd;
            sockets[i].events = (short)((list[i].wish & UHTTP_READABLE ? POLLIN : 0) |
                                        (list[i].wish & UHTTP_WRITABLE ? POLLOUT : 0));
        }
        poll(sockets, (nfds_t)count, 0);
        for (size_t i = 0; i < count; i++) {
            list[i].ready = (uint16_t)((sockets[i].revents & (POLLIN | POLLHUP | POLLERR)
                                        ? UHTTP_READABLE : 0) |
                                       (sockets[i].revents & (POLLOUT | POLLERR)
                                        ? UHTTP_WRITABLE : 0));
        }
        c = uhttp_process_events(at->server, list, count);
    } else {
        FD_ZERO(&sets[0]);
        FD_ZERO(&sets[1]);
        struct timeval none = { 0, 0 };
        CHECK(uhttp_server_fd_sets(at->server, &sets[0], &sets[1], &most) == UHTTP_OK);
        select(most + 1, &sets[0], &sets[1], NULL, &none);
        c = uhttp_process_fd_sets(at->server, &sets[0], &sets[1]);
    }
    arguments_heard(at->server, c);
    for (unsigned i = 0; c != NULL && i < 5 && chance_of(70); i++) {
        arguments_check();
        c = uhttp_process_events(at->server, NULL, 0);
        arguments_heard(at->server, c);
    }
}

/*--- planted faults -------------------------------------------------------------------------*/

/* What the header would do wrong; each must be found as a break of one invariant. */
static const struct fault {
    const char *name, *invariant;
} planted[] = {
    { "a string changes",                       "strings" },
    { "a string moves",                         "strings" },
    { "a body has no NUL",                      "bodies"  },
    { "a body changes",                         "bodies"  },
    { "an id comes again",                      "ids"     },
    { "an id leads nowhere",                    "ids"     },
    { "a request ends without a word",          "ends"    },
    { "a request that has ended is told again", "ends"    },
    { "an event comes behind the last",         "ends"    },
    { "a slot is counted twice",                "counts"  },
    { "a block is lost",                        "leaks"   },
    { "a descriptor is lost",                   "leaks"   },
    { "a file is lost",                         "leaks"   },
};

#define FAULTS (sizeof planted / sizeof planted[0])

static bool fault_is(const char *name)
{
    for (unsigned i = 0; i < FAULTS; i++) {
        if (strcmp(planted[i].name, name) == 0)
            return (faults >> i & 1u) != 0;
    }
    abort();
}

/* Does it, when this is the moment. */
static void plant(void)
{
    uhttp_conn *c = &at->server->slots[chance_below(SLOTS)];
    bool held = request_of(c)->owned && c->state == UH_ANSWER;
    size_t length;
    if (fault_is("a block is lost"))
        memory_keeps = true;
    else if (fault_is("a descriptor is lost"))
        (void)!dup(0);
    else if (fault_is("a file is lost"))
        files_open++;
    else if (fault_is("a slot is counted twice"))
        at->server->counts[UH_FREE]--;
    else if (fault_is("a request that has ended is told again") && !request_of(c)->owned)
        c->told = true;
    else if (!held)
        return;
    else if (fault_is("a string changes"))
        ((char *)(uintptr_t)uhttp_url(c))[0] ^= 1;
    else if (fault_is("a string moves"))
        c->request.url++;
    else if (fault_is("an id comes again"))
        at->ids[chance_below(1)] = at->id_count > 0 ? (c->serial + 1) << 24 |
            (uint64_t)(c - at->server->slots) : 0;
    else if (fault_is("an id leads nowhere"))
        c->serial++;
    else if (fault_is("a request ends without a word"))
        c->told = false;
    else if (fault_is("an event comes behind the last") && at->server->config.event_mode) {
        request_of(c)->owned = false;
        at->ended++;
        c->event = UHTTP_EVENT_COMPLETE;
        arguments_heard(at->server, c);
    } else if (uhttp_body(c, &length) != NULL) {
        uint8_t *body = (uint8_t *)(uintptr_t)uhttp_body(c, NULL);
        if (fault_is("a body has no NUL"))
            body[length] = 'x';
        else if (fault_is("a body changes") && length > 0)
            body[0] ^= 1;
    }
}

/*--- one run --------------------------------------------------------------------------------*/

static void step(void)
{
    unsigned what = chance_below(100);
    at = &worlds[chance_below(SERVERS)];
    snprintf(driver_doing, sizeof driver_doing, "%s", "a client");
    if (what < 32)
        client_acts();
    else if (what < 55)
        loop_turns();
    else if (what < 80)
        program_goes_on();
    else if (what < 95)
        program_calls(chance_below(table_count), chance_of(40));
    else if (what < 97)
        driver_now += chance_below(chance_of(50) ? 100 : 20000);
    else if (what < 99)
        memory_fails = 1 + chance_below(3);
    else if (chance_of(at->stopping ? 60 : 5)) {
        close_server();
        open_server();
    }
    if (faults != 0 && driver_step % 7 == 0)
        plant();
    arguments_check();
}

static void run(unsigned long seed)
{
    int descriptors = open_descriptors();
    driver_seed = seed;
    chance_state = seed * 2862933555777941757u + 3037000493u;
    driver_now = (uint32_t)(0u - 1000u * (seed % 40));      /* it wraps in some */
    memory_blocks = 0;
    files_open = stutters_open = 0;
    for (unsigned w = 0; w < SERVERS; w++) {
        at = &worlds[w];
        open_server();
    }
    for (driver_step = 0; driver_step < 1500; driver_step++)
        step();
    memory_fails = 0;
    for (unsigned w = 0; w < SERVERS; w++) {
        at = &worlds[w];
        close_server();
    }
    driver_what = "leaks";
    CHECK(memory_blocks == 0 && files_open == 0 && stutters_open == 0);
    CHECK(open_descriptors() == descriptors);
}

/*--- tests ----------------------------------------------------------------------------------*/

static bool driver_is_child;            /* a fault has been planted: how it is found is told by
                                           the exit status */

static void driver_fails(const char *file, int line, const char *truth)
{
    if (driver_is_child) {
        for (unsigned i = 0; i < FAULTS; i++) {
            if (strcmp(planted[i].invariant, driver_what) == 0)
                _exit(10 + (int)i);
        }
        _exit(9);
    }
    fprintf(stderr, "%s:%d: not true: %s\n    checking %s; step %u, doing: %s; last call: %s\n"
            "    again: DRIVER_SEED=%lu DRIVER_SECONDS=0\n", file, line, truth, driver_what,
            driver_step, driver_doing, drawn_name != NULL ? arguments_say() : "none",
            driver_seed);
    abort();
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

static void every_function_in_any_state_and_order_breaks_no_invariant(void **state)
{
    (void)state;
    unsigned long seconds = number_of("DRIVER_SECONDS", 2);
    unsigned long seed = number_of("DRIVER_SEED", seconds > 10 ? (unsigned long)time(NULL) : 1);
    unsigned long first = seed;
    time_t until = time(NULL) + (time_t)seconds;
    arguments_list();
    do {
        run(seed++);
    } while (time(NULL) < until || (seconds > 0 && driver_told < 100));
    printf("# seeds %lu to %lu: %u calls, %u requests\n", first, seed - 1, driver_calls,
           driver_told);
    assert_true(driver_told > 0 && driver_calls > 100);
}

static void faults_are_found(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FAULTS; i++) {
        int status = 0;
        fflush(stdout);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            driver_is_child = true;
            faults = (uint64_t)1 << i;
            arguments_list();
            for (unsigned long seed = 1; seed < 20; seed++)
                run(seed);
            _exit(0);
        }
        assert_true(waitpid(child, &status, 0) == child);
        int found = WIFEXITED(status) ? WEXITSTATUS(status) - 10 : -1;
        if (found < 0 || found >= (int)FAULTS ||
            strcmp(planted[found].invariant, planted[i].invariant) != 0)
            fail_msg("planted: %s, which breaks \"%s\"; found: %s", planted[i].name,
                     planted[i].invariant, found < 0 || found >= (int)FAULTS
                     ? "something else, or nothing" : planted[found].invariant);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_in_any_state_and_order_breaks_no_invariant),
        cmocka_unit_test(faults_are_found),
    };
    signal(SIGPIPE, SIG_IGN);           /* of the clients; the server needs no such thing */
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
