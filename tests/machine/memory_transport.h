/* memory_transport.h - the machine without a network: peers made of two byte arrays, a clock
 * the test moves, an allocator that fails when told, and what must be true after every step
 *
 * Include it instead of uhttp_server.h; it brings the implementation. A test opens the one
 * world, connects peers, lets bytes arrive, and asks world_next() for events:
 *
 *     world_open(&config, 0);
 *     peer *p = world_connect();
 *     peer_says(p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
 *     uhttp_conn *c = world_next();
 *     uhttp_respond_text(c, 200, "hello");
 *     world_next();                        // NULL: nothing moves any more
 *     ... p->out, p->out_length ...
 *     world_close();
 *
 * Nothing sleeps. Sockets exist only so that descriptors can be watched and closed.
 */
#ifndef MEMORY_TRANSPORT_H
#define MEMORY_TRANSPORT_H

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*--- failing --------------------------------------------------------------------------------*/

/* What is being tried, for the message of a failure. */
static char world_what[256];

/* Called when a check fails, if it is set; else the program aborts. */
static void (*world_on_failure)(const char *file, int line);

static void world_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not true: %s\n    trying: %s\n", file, line, what, world_what);
    fflush(stderr);
    if (world_on_failure != NULL)
        world_on_failure(file, line);
    abort();
}

#define FAIL(what) world_fail(__FILE__, __LINE__, what)
#define CHECK(truth) ((truth) ? (void)0 : world_fail(__FILE__, __LINE__, #truth))

/*--- time -----------------------------------------------------------------------------------*/

#define WORLD_TIME 1700000000
#define WORLD_DATE "Tue, 14 Nov 2023 22:13:20 GMT"

static uint32_t world_now;              /* milliseconds; world_open() sets it before the wrap */

/*--- memory ---------------------------------------------------------------------------------*/

/* Memory that was filled is still unknown to whoever gets it: clang's memory sanitizer is told. */
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define MEMORY_IS_UNKNOWN(memory, size) __msan_allocated_memory(memory, size)
#endif
#endif
#ifndef MEMORY_IS_UNKNOWN
#define MEMORY_IS_UNKNOWN(memory, size) ((void)0)
#endif

/* Stands before every block. */
typedef struct memory_block {
    size_t size;
    size_t magic;
} memory_block;

#define MEMORY_MAGIC ((size_t)0x5ca1ab1eu)

static size_t memory_calls;             /* allocations asked for since the world was opened */
static size_t memory_blocks;            /* that live */
static size_t memory_fails_from;        /* calls from here ... */
static size_t memory_fails_to;          /* ... to before here give NULL */
static size_t memory_failures;          /* that did */

static inline void *memory_take(size_t size)
{
    size_t call = memory_calls++;
    if (call >= memory_fails_from && call < memory_fails_to) {
        memory_failures++;
        return NULL;
    }
    memory_block *block = (memory_block *)malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    block->magic = MEMORY_MAGIC;
    memory_blocks++;
    memset(block + 1, 0xa5, size < 4096 ? size : 4096);
    MEMORY_IS_UNKNOWN(block + 1, size);
    return block + 1;
}

static inline void memory_give(void *memory)
{
    memory_block *block = (memory_block *)memory - 1;
    if (memory == NULL)
        return;
    CHECK(block->magic == MEMORY_MAGIC);
    block->magic = 0;
    memset(memory, 0x5a, block->size < 4096 ? block->size : 4096);
    memory_blocks--;
    free(block);
}

static inline void *memory_retake(void *memory, size_t size)
{
    void *larger = memory_take(size);
    if (larger != NULL && memory != NULL) {
        size_t old = ((memory_block *)memory - 1)->size;
        memcpy(larger, memory, old < size ? old : size);
        memory_give(memory);
    }
    return larger;
}

/*--- the header under test ------------------------------------------------------------------*/

#define UHTTP_ASSERT(truth) CHECK(truth)
#define UHTTP_MILLIS() world_now
#define UHTTP_TIME() ((int64_t)WORLD_TIME)
#define UHTTP_MALLOC(size) memory_take(size)
#define UHTTP_REALLOC(memory, size) memory_retake(memory, size)
#define UHTTP_FREE(memory) memory_give(memory)
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

/*--- peers ----------------------------------------------------------------------------------*/

#define PEERS_MAX 16

/* One client. The first block is what it does, and may be set at any time; the second is what
 * became of it. */
typedef struct peer {
    size_t arrived;             /* bytes of in that have come so far */
    bool fin;                   /* FIN stands behind them */
    bool reset;                 /* the connection is lost: recv and send fail */
    bool send_fails;            /* only send does: what has come can still be read */
    bool starves;               /* the system has no memory for its recv and send */
    size_t bite;                /* most a recv gives; 0: all there is */
    size_t gulp;                /* most a send takes; 0: all of it */
    size_t window;              /* bytes it still takes before its socket blocks */
    size_t record;              /* size of TLS records: the rest of one is only pending */
    unsigned stalls;            /* every so many-th recv and send would block once; 0: none */
    bool crossed;               /* and then waits for the opposite direction */
    int handshake;              /* steps it takes; negative: it fails at the last of -n */
    bool coy;                   /* its socket is not called writable, although it is */
    bool mute;                  /* its handshake never goes on behind its first byte */
    bool silent;                /* it has not even sent that */
    bool refuses_open;          /* the transport has no memory for it */

    uint8_t *in;
    size_t in_length, in_size, in_at;
    size_t fetched;             /* bytes taken from the network into the transport */
    uint8_t *out;
    size_t out_length, out_size;
    char refused[64];           /* the begin of what a send was offered and did not take */
    size_t refused_length;
    unsigned recvs, sends;
    bool owes_read, owes_write; /* a call waits for the opposite direction */
    bool in_use, opened, shut, closed;
    int number;                 /* its place in world_peers */
    uh_socket fd;
} peer;

static peer world_peers[PEERS_MAX];

static size_t peer_least(size_t a, size_t b) { return a < b ? a : b; }

/* Does this call of recv or send block once? */
static bool peer_stalls(const peer *p, unsigned *calls)
{
    ++*calls;
    return p->stalls > 0 && *calls % p->stalls == 0;
}

static void *memory_transport_open(void *user, intptr_t fd)
{
    peer *p = world_peers;
    while (p < world_peers + PEERS_MAX && (p->closed || (intptr_t)p->fd != fd))
        p++;
    CHECK(user == world_peers && p < world_peers + PEERS_MAX && p->in_use && !p->opened);
    if (p->refuses_open)
        return NULL;
    p->opened = true;
    return p;
}

static int memory_transport_handshake(void *t)
{
    peer *p = (peer *)t;
    CHECK(p->opened && !p->closed && p->handshake != 0);
    if (p->reset)
        return UHTTP_FAILED;
    if (p->mute)
        return UHTTP_WANT_READ;
    if (p->handshake > 0)
        return --p->handshake == 0 ? 0 : p->handshake % 2 ? UHTTP_WANT_READ : UHTTP_WANT_WRITE;
    return ++p->handshake == 0 ? UHTTP_FAILED : UHTTP_WANT_READ;
}

static int memory_transport_recv(void *t, void *to, size_t room)
{
    peer *p = (peer *)t;
    CHECK(p->opened && !p->closed && p->handshake == 0 && room > 0);
    p->owes_read = false;
    if (p->reset)
        return UHTTP_FAILED;
    if (p->starves) {
        p->recvs++;
        return UHTTP_FULL;
    }
    if (peer_stalls(p, &p->recvs)) {
        p->owes_read = p->crossed;
        return p->crossed ? UHTTP_WANT_WRITE : UHTTP_WANT_READ;
    }
    if (p->fetched == p->in_at)
        p->fetched += peer_least(p->arrived - p->fetched, p->record > 0 ? p->record : SIZE_MAX);
    size_t n = peer_least(room, p->fetched - p->in_at);
    if (p->bite > 0)
        n = peer_least(n, p->bite);
    if (n == 0)
        return p->fin && p->in_at == p->arrived ? 0 : UHTTP_WANT_READ;
    memcpy(to, p->in + p->in_at, n);
    p->in_at += n;
    if (p->record == 0)
        p->fetched = p->in_at;
    return (int)n;
}

static void peer_record(peer *p, const char *bytes, size_t length)
{
    if (p->out_length + length > p->out_size) {
        p->out_size = (p->out_length + length) * 2;
        p->out = (uint8_t *)realloc(p->out, p->out_size);
        if (p->out == NULL)
            abort();
    }
    memcpy(p->out + p->out_length, bytes, length);
    p->out_length += length;
    if (p->window != SIZE_MAX)
        p->window -= length;
}

/* TLS has sealed what it was offered and refused: it must be offered the same again. Notes
 * what is offered now. */
static void peer_check_offer(peer *p, const uhttp_str *parts, int count)
{
    char offer[sizeof p->refused];
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        size_t n = peer_least(parts[i].len, sizeof offer - length);
        if (n > 0)
            memcpy(offer + length, parts[i].ptr, n);
        length += n;
    }
    CHECK(length >= p->refused_length && memcmp(offer, p->refused, p->refused_length) == 0);
    memcpy(p->refused, offer, length);
    p->refused_length = length;
}

static int memory_transport_send(void *t, const uhttp_str *parts, int count)
{
    peer *p = (peer *)t;
    size_t room = p->gulp > 0 ? peer_least(p->gulp, p->window) : p->window;
    size_t sent = 0;
    CHECK(p->opened && !p->closed && !p->shut && p->handshake == 0);
    CHECK(count == 1 || count == 2);
    p->owes_write = false;
    if (p->reset || p->send_fails)
        return UHTTP_FAILED;
    peer_check_offer(p, parts, count);
    if (p->starves) {
        p->sends++;
        return UHTTP_FULL;
    }
    if (peer_stalls(p, &p->sends)) {
        p->owes_write = p->crossed;
        return p->crossed ? UHTTP_WANT_READ : UHTTP_WANT_WRITE;
    }
    for (int i = 0; i < count; i++) {
        size_t n = peer_least(parts[i].len, room - sent);
        CHECK(parts[i].len > 0);
        if (n > 0)
            peer_record(p, parts[i].ptr, n);
        sent += n;
    }
    if (sent > 0)
        p->refused_length = 0;
    return sent > 0 ? (int)sent : UHTTP_WANT_WRITE;
}

static size_t memory_transport_pending(void *t)
{
    const peer *p = (const peer *)t;
    CHECK(p->opened && !p->closed);
    return p->fetched - p->in_at;
}

static void memory_transport_close(void *t, bool only_write_side)
{
    peer *p = (peer *)t;
    CHECK(p->opened && !p->closed);
    CHECK(!only_write_side || !p->shut);
    if (only_write_side)
        p->shut = true;
    else
        p->closed = true;
}

static const uhttp_transport memory_transport = {
    memory_transport_open, memory_transport_handshake, memory_transport_recv,
    memory_transport_send, memory_transport_pending, memory_transport_close
};

/* What select() would say of its socket. */
static unsigned peer_is_ready(const peer *p)
{
    unsigned ready = 0;
    if (p->reset)
        return UHTTP_READABLE | UHTTP_WRITABLE;
    if (p->handshake != 0)
        return p->silent || (p->mute && p->opened) ? 0 : UHTTP_READABLE | UHTTP_WRITABLE;
    if (p->arrived > p->fetched || (p->fin && p->in_at == p->arrived) || p->owes_write)
        ready |= UHTTP_READABLE;
    if ((p->window > 0 && !p->coy) || p->owes_read || p->send_fails)
        ready |= UHTTP_WRITABLE;
    return ready;
}

/* Adds bytes to what it will say. */
static void peer_will_say_bytes(peer *p, const void *bytes, size_t length)
{
    if (p->in_length + length >= p->in_size) {
        p->in_size = (p->in_length + length + 64) * 2;
        p->in = (uint8_t *)realloc(p->in, p->in_size);
        if (p->in == NULL)
            abort();
    }
    if (length > 0)
        memcpy(p->in + p->in_length, bytes, length);
    p->in_length += length;
}

static inline void peer_will_say(peer *p, const char *text)
{
    peer_will_say_bytes(p, text, strlen(text));
}

static void peer_says_bytes(peer *p, const void *bytes, size_t length)
{
    peer_will_say_bytes(p, bytes, length);
    p->arrived = p->in_length;
}

static inline void peer_says(peer *p, const char *text)
{
    peer_says_bytes(p, text, strlen(text));
}

/* Does this stand in what it has been answered? */
static inline bool peer_has(const peer *p, const char *text)
{
    size_t length = strlen(text);
    for (size_t at = 0; at + length <= p->out_length; at++) {
        if (memcmp(p->out + at, text, length) == 0)
            return true;
    }
    return false;
}

static inline void peer_forget_output(peer *p) { p->out_length = 0; }

/*--- the world ------------------------------------------------------------------------------*/

static uhttp_server *world_server;
static uint8_t *world_memory;           /* of a fixed server: the start of its block */
static size_t world_memory_skip;        /* guarded bytes before what the server was given */
static bool world_waits;                /* the loop is uhttp_wait()'s, not the program's */

#define WORLD_GUARD 0xc3u
#define WORLD_WRAP_AT 0xfffffc00u       /* a second before the clock wraps */

static uhttp_config world_config(void)
{
    uhttp_config config;
    memset(&config, 0, sizeof config);
    config.max_connections = 3;
    return config;
}

/* Opens the server, on the heap or, with a memory size, in fixed memory that begins skip bytes
 * behind an aligned address; not one byte outside may be written. */
static uhttp_result world_try(const uhttp_config *config, size_t memory_size, size_t skip)
{
    static uhttp_tls_config transport;
    uhttp_config complete = *config;
    transport.transport = &memory_transport;
    transport.transport_user = world_peers;
    complete.address = "127.0.0.1";
    complete.port = UHTTP_PORT_ANY;
    complete.tls = &transport;
    transport.handshake_timeout_ms =
        config->tls != NULL ? config->tls->handshake_timeout_ms : 0;
    memset(world_peers, 0, sizeof world_peers);
    memory_calls = memory_blocks = memory_failures = 0;
    world_now = WORLD_WRAP_AT;
    world_memory = NULL;
    if (memory_size > 0) {
        world_memory = (uint8_t *)malloc(skip + memory_size);
        if (world_memory == NULL)
            abort();
        memset(world_memory, WORLD_GUARD, skip + memory_size);
        MEMORY_IS_UNKNOWN(world_memory + skip, memory_size);
        world_memory_skip = skip;
        complete.memory = world_memory + skip;
        complete.memory_size = memory_size;
    }
    return uhttp_server_open(&world_server, &complete);
}

/* A buffer size of 0 chooses the heap. */
static void world_open(const uhttp_config *config, size_t buffer)
{
    size_t size = buffer > 0 ? UHTTP_MEMORY_SIZE(config->max_connections, buffer) : 0;
    memory_fails_from = memory_fails_to = 0;
    CHECK(world_try(config, size, 3) == UHTTP_OK);
}

/* A new peer, not yet connected: set its dials first. Takes the place of one that is gone only
 * when there is no other. */
static peer *world_peer(void)
{
    for (int i = 0; i < 2 * PEERS_MAX; i++) {
        peer *p = &world_peers[i % PEERS_MAX];
        if (p->in_use && (i < PEERS_MAX || !p->closed))
            continue;
        free(p->in);
        free(p->out);
        memset(p, 0, sizeof *p);
        p->number = i % PEERS_MAX;
        p->in_use = true;
        p->window = SIZE_MAX;
        p->handshake = 1;
        p->fd = UH_NO_SOCKET;
        return p;
    }
    FAIL("there is room for one more peer");
    return NULL;
}

static uhttp_conn *world_conn_of(const peer *p);

/* Whose socket was closed before its transport was opened. */
static void world_notice_closed(void)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        peer *p = &world_peers[i];
        if (p->in_use && !p->opened && p->fd != UH_NO_SOCKET && world_conn_of(p) == NULL)
            p->closed = true;
    }
}

/* Puts it into the server, as accept() would. False: there is no slot. */
static bool world_accept(peer *p)
{
    uh_peer from;
    memset(&from, 0, sizeof from);
    from.family = 4;
    from.port = (uint16_t)(1000 + p->number);
    from.address[0] = 192;
    from.address[2] = 2;
    from.address[3] = 1;
    world_notice_closed();
    p->fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(p->fd != UH_NO_SOCKET);
    world_server->now = UHTTP_MILLIS();
    if (uh_conn_open(world_server, &world_server->listeners[0], p->fd, &from))
        return true;
    uh_sys_close(p->fd);
    p->fd = UH_NO_SOCKET;
    p->closed = true;
    return false;
}

static inline peer *world_connect(void)
{
    peer *p = world_peer();
    CHECK(world_accept(p));
    return p;
}

static inline peer *world_peer_of(const uhttp_conn *c) { return (peer *)c->t; }

/* The peer of this socket; NULL: it is none's. */
static const peer *world_peer_at(intptr_t fd)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        const peer *p = &world_peers[i];
        if (p->in_use && !p->closed && (intptr_t)p->fd == fd)
            return p;
    }
    return NULL;
}

static uhttp_conn *world_conn_of(const peer *p)
{
    for (uint32_t i = 0; i < world_server->config.max_connections; i++) {
        const uhttp_conn *c = &world_server->slots[i];
        if (p->opened ? c->t == p : !p->closed && c->fd == p->fd && p->fd != UH_NO_SOCKET)
            return &world_server->slots[i];
    }
    return NULL;
}

static inline uh_state world_state(const peer *p)
{
    const uhttp_conn *c = world_conn_of(p);
    return c != NULL ? (uh_state)c->state : UH_CLOSED;
}

/*--- what must always be true ---------------------------------------------------------------*/

static void world_check_buffer(const uh_buf *b)
{
    CHECK(b->head <= b->tail && b->tail <= b->size);
    CHECK((b->data == NULL) == (b->size == 0));
}

/* quiet: nothing is left that could be done without the network, the clock or the program. */
static void world_check_conn(uhttp_conn *c, bool quiet)
{
    const uhttp_server *s = c->server;
    world_check_buffer(&c->rx);
    world_check_buffer(&c->tx);
    world_check_buffer(&c->body);
    CHECK(c->state == UH_FREE || c->draft <= uh_buf_used(&c->tx));
    CHECK((c->fd == UH_NO_SOCKET) == (c->state == UH_FREE || c->state == UH_CLOSED));
    CHECK(c->t == NULL || c->fd != UH_NO_SOCKET);
    CHECK(c->t != NULL || c->fd == UH_NO_SOCKET || (c->state == UH_IDLE && c->served == 0));
    if (c->state == UH_FREE) {
        CHECK(!c->told && c->pending == UHTTP_EVENT_NONE && c->time == UH_TIME_NONE);
        CHECK(c->rx.data == NULL && c->tx.data == NULL && c->body.data == NULL);
        return;
    }
    CHECK(c->pending == UHTTP_EVENT_NONE || c->queued);
    if (c->told && c->state != UH_CLOSED && c->request.head_len > 0)
        CHECK(c->rx.data != NULL);
    if (c->state == UH_CLOSED) {
        CHECK(!quiet || c->told || c->interest == UH_LEAVING);
        return;
    }
    if (c->time != UH_TIME_NONE && !c->queued && s->times[c->time] != UHTTP_NEVER)
        CHECK(s->armed && !uh_time_before(uh_conn_due(c), s->next_deadline));
    if (!quiet)
        return;
    CHECK(!c->queued && c->pending == UHTTP_EVENT_NONE && !c->set_aside);
    CHECK(c->state != UH_IDLE || (c->rx.data == NULL && c->tx.data == NULL));
    CHECK(c->state != UH_WEBSOCKET || uh_buf_used(&c->rx) > 0 || c->request.ws.type != 0 ||
          c->rx.data == NULL);
    bool can_read = uh_conn_can_read(c);    /* then it is watched, and has read all there was */
    bool rests = (c->wants & UH_REST) != 0;
    CHECK(!rests || s->paused);
    CHECK(c->interest == (rests ? 0u : c->wants | (can_read ? UH_READ : 0u)));
    CHECK(!c->readable || !can_read);
    if (uh_conn_owes(c))
        CHECK(c->blocked && c->wants != 0);
}

static void world_check_queues(const uhttp_server *s)
{
    uint32_t queued = 0;
    uint32_t aside = 0;
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        queued += s->slots[i].queued ? 1 : 0;
        bool parked = s->slots[i].interest == UH_LEAVING && s->slots[i].aside == &s->slots[i];
        CHECK(!parked || (s->slots[i].set_aside && s->slots[i].state == UH_CLOSED));
        aside += s->slots[i].set_aside && !parked ? 1 : 0;
    }
    for (const uhttp_conn *c = s->ready_first; c != NULL; c = c->next) {
        CHECK(c->queued && queued-- > 0);
    }
    for (const uhttp_conn *c = s->owing; c != NULL; c = c->aside) {
        CHECK(c->set_aside && aside-- > 0);
    }
    for (const uhttp_conn *c = s->closed; c != NULL; c = c->aside) {
        CHECK(c->set_aside && aside-- > 0);
        CHECK(c->state == UH_CLOSED && !c->told);
    }
    CHECK(queued == 0 && aside == 0);
    for (const uhttp_conn *c = s->free_slot; c != NULL; c = c->aside) {
        CHECK(c->state == UH_FREE && aside++ < s->counts[UH_FREE]);
    }
    CHECK(aside == s->counts[UH_FREE]);
}

/* Every deadline is in the list of its length, behind those that began to run before it. */
static void world_check_deadlines(const uhttp_server *s)
{
    uint32_t listed = 0;
    for (uint32_t i = 0; i < s->config.max_connections; i++)
        listed += s->slots[i].time != UH_TIME_NONE ? 1 : 0;
    for (uint32_t list = 0; list < UH_TIMES; list++) {
        const uh_link *head = &s->lists[list];
        const uh_link *before = head;
        const uhttp_conn *earlier = NULL;
        for (const uh_link *l = head->after; l != head; l = l->after) {
            const uhttp_conn *c = (const uhttp_conn *)(const void *)l;
            CHECK(c->time == list && list != UH_TIME_NONE && listed-- > 0);
            CHECK(l->before == before);
            CHECK(earlier == NULL || list == UH_TIME_DUE ||
                  !uh_time_before(c->since, earlier->since));
            earlier = c;
            before = l;
        }
        CHECK(head->before == before);
    }
    CHECK(listed == 0);
}

/* In fixed memory every block is free or in a buffer, and none was lost. */
static void world_check_pool(const uhttp_server *s)
{
    uint32_t used = 0;
    uint32_t free_blocks = 0;
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        const uhttp_conn *c = &s->slots[i];
        used += (c->rx.data != NULL ? 1u : 0u) + (c->tx.data != NULL ? 1u : 0u);
        CHECK(!s->pool.fixed || c->body.data == NULL);
    }
    for (const uh_block *b = s->pool.free; b != NULL; b = b->next)
        CHECK(++free_blocks <= s->pool.count);
    CHECK(free_blocks == s->pool.count);
    CHECK(!s->pool.fixed || used + free_blocks == 2 * s->config.max_connections);
}

static void world_check(bool quiet)
{
    uhttp_server *s = world_server;
    world_notice_closed();
    uint32_t counts[UH_STATE_COUNT] = { 0 };
    uhttp_stats stats;
    uint32_t held = 0;
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        world_check_conn(&s->slots[i], quiet);
        counts[s->slots[i].state]++;
        held += s->slots[i].told ? 1 : 0;
    }
    CHECK(memcmp(counts, s->counts, sizeof counts) == 0);
    uhttp_server_stats(s, &stats);
    CHECK(stats.held == held);
    CHECK(stats.connections == s->config.max_connections - counts[UH_FREE]);
    CHECK(stats.forgotten <= counts[UH_CLOSED]);
    world_check_queues(s);
    world_check_deadlines(s);
    world_check_pool(s);
    for (size_t i = 0; i < world_memory_skip && world_memory != NULL; i++)
        CHECK(world_memory[i] == WORLD_GUARD);
    CHECK(!s->pool.fixed || memory_calls == 0);
}

/*--- the program's own loop -----------------------------------------------------------------*/

#define WORLD_WATCHED (PEERS_MAX + UHTTP_MAX_LISTENERS + 1)

/* Asks what to watch, and fills in what select() would say of it; *count entries. True: there
 * is a socket that is ready. */
static bool world_select(uhttp_watch *list, size_t *count)
{
    bool ready = false;
    *count = uhttp_server_watch(world_server, list, WORLD_WATCHED);
    for (size_t i = 0; i < *count; i++) {
        const peer *p = world_peer_at(list[i].fd);
        CHECK(list[i].wish != 0);
        if (p == NULL)
            continue;                       /* listeners and wake-up: silent */
        CHECK(!p->closed);
        list[i].ready = (uint16_t)(list[i].wish & peer_is_ready(p));
        ready = ready || list[i].ready != 0;
    }
    return ready;
}

/* One round of the loop; the event that came of it. uhttp_wait() asks select() besides, which
 * finds the sockets silent but always writable: that does no harm. */
static uhttp_conn *world_step(void)
{
    uhttp_watch list[WORLD_WATCHED];
    size_t count;
    while (world_server->keep_socket != NULL &&         /* whoever follows changes goes on */
           uhttp_server_watch_changes(world_server, list, 3) > 0) { }
    world_select(list, &count);
    for (size_t i = 0; i < count && world_waits; i++) {
        if (list[i].ready != 0)
            uh_server_mark(world_server, (uint32_t)list[i].token, list[i].ready);
    }
    uhttp_conn *c = world_waits ? uhttp_wait(world_server, 0)
                                : uhttp_process_events(world_server, list, count);
    world_check(false);
    return c;
}

/* Is there nothing the server could do but wait? */
static bool world_is_quiet(void)
{
    uhttp_watch list[WORLD_WATCHED];
    size_t count;
    return uhttp_server_timeout(world_server) != 0 && !world_select(list, &count);
}

#define WORLD_PATIENCE 200000u          /* turns without an event: somebody spins */

/* The next event; NULL when nothing moves any more. */
static uhttp_conn *world_next(void)
{
    for (unsigned turns = 0; turns < WORLD_PATIENCE; turns++) {
        uhttp_conn *c = world_step();
        if (c != NULL)
            return c;
        if (world_is_quiet()) {
            world_check(true);
            return NULL;
        }
    }
    FAIL("the server comes to rest");
    return NULL;
}

/* Lets time pass, but nobody acts. */
static inline void world_sleep(uint32_t ms) { world_now += ms; }

/* Closes the server: nothing may be left, and each transport was closed once. */
static void world_close(void)
{
    uhttp_server_close(world_server);
    world_server = NULL;
    CHECK(memory_blocks == 0);
    for (int i = 0; i < PEERS_MAX; i++) {
        CHECK(!world_peers[i].opened || world_peers[i].closed);
        free(world_peers[i].in);
        free(world_peers[i].out);
    }
    memset(world_peers, 0, sizeof world_peers);
    free(world_memory);
    world_memory = NULL;
}

/* Ends the connection of a peer from its side, and sees that its slot is free again. */
static inline void world_part(peer *p)
{
    p->reset = true;
    while (world_next() != NULL) { }
    CHECK(p->closed);
}

/*--- what the server said, read strictly ----------------------------------------------------*/

typedef enum answer_end { ANSWER_NONE, ANSWER_WHOLE, ANSWER_CUT, ANSWER_BROKEN } answer_end;

/* One response. Bodies of chunks are joined in body, which has room for ANSWER_BODY bytes. */
#define ANSWER_BODY (256u * 1024u)

typedef struct answer {
    int status;
    uhttp_str fields;           /* all lines of the head behind the first */
    long long length;           /* -1: none given */
    bool chunked, close, dated;
    bool headless;              /* no body was there though a length was: HEAD */
    char *body;
    size_t body_length;
} answer;

/* How a response may end where nothing says so: the requests were HTTP/1.0 or HEAD. */
typedef enum answer_hint {
    ANSWER_PLAIN, ANSWER_TO_HEAD, ANSWER_TO_10, ANSWER_GUESS
} answer_hint;

/* Takes "Name: value\r\n" off the fields: a token, one blank, no control characters. */
static bool answer_next_field(uhttp_str *fields, uhttp_str *name, uhttp_str *value)
{
    const char *p = fields->ptr;
    const char *end = p + fields->len;
    while (p < end && (strchr("!#$%&'*+-.^_`|~", *p) != NULL ? *p != '\0'
           : (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z')))
        p++;
    *name = uh_text_slice(fields->ptr, p);
    if (name->len == 0 || end - p < 4 || p[0] != ':' || p[1] != ' ')
        return false;
    p += 2;
    const char *from = p;
    while (p < end && (unsigned char)*p >= ' ' && *p != 0x7f)
        p++;
    *value = uh_text_slice(from, p);
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return false;
    *fields = uh_text_slice(p + 2, end);
    return true;
}

/* The value of a field, its name in lower case; ptr NULL: it is not there. */
static inline uhttp_str answer_field(const answer *a, const char *name)
{
    uhttp_str rest = a->fields;
    uhttp_str field;
    uhttp_str value;
    while (answer_next_field(&rest, &field, &value)) {
        if (uh_text_is_nocase(field, name))
            return value;
    }
    value.ptr = NULL;
    value.len = 0;
    return value;
}

static bool answer_value_is(uhttp_str value, const char *text)
{
    return value.len == strlen(text) && memcmp(value.ptr, text, value.len) == 0;
}

/* Reads a field that must not be repeated; false: it was. */
static bool answer_take_field(answer *a, uhttp_str name, uhttp_str value)
{
    if (uh_text_is_nocase(name, "content-length")) {
        char digits[24];
        char *end;
        if (a->length >= 0 || a->chunked || value.len == 0 || value.len > 18)
            return false;
        memcpy(digits, value.ptr, value.len);
        digits[value.len] = '\0';
        a->length = strtoll(digits, &end, 10);
        return *end == '\0' && (digits[0] != '0' || value.len == 1) && digits[0] >= '0';
    }
    if (uh_text_is_nocase(name, "transfer-encoding")) {
        if (a->length >= 0 || a->chunked)
            return false;
        return a->chunked = answer_value_is(value, "chunked");
    }
    if (uh_text_is_nocase(name, "date")) {
        if (a->dated)
            return false;
        a->dated = true;
    }
    if (uh_text_is_nocase(name, "connection")) {
        if (a->close)
            return false;
        a->close = answer_value_is(value, "close");
        return a->close || answer_value_is(value, "keep-alive") ||
               (answer_value_is(value, "Upgrade") && (a->status == 101 || a->status == 426));
    }
    return true;
}

/* RFC 9110 section 15, as far as these tests go. */
static const char *answer_phrase(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default:  return NULL;
    }
}

/* "HTTP/1.1 200 OK\r\n" and the fields up to the empty line; the byte behind it. */
static const char *answer_read_head(const char *p, const char *end, answer *a, answer_end *how)
{
    char line[96];
    const char *stop = p;
    while (stop < end && !(stop - p >= 4 && memcmp(stop - 4, "\r\n\r\n", 4) == 0))
        stop++;
    *how = ANSWER_CUT;
    if (stop - p < 4 || memcmp(stop - 4, "\r\n\r\n", 4) != 0)
        return NULL;
    *how = ANSWER_BROKEN;
    if (memcmp(p, "HTTP/1.1 ", 9) != 0 || stop - p < 14)
        return NULL;
    a->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    if (answer_phrase(a->status) == NULL)
        return NULL;
    int n = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", a->status,
                     answer_phrase(a->status));
    if (stop - p < n || memcmp(p, line, (size_t)n) != 0)
        return NULL;
    a->fields.ptr = p + n;
    a->fields.len = (size_t)(stop - p) - (size_t)n - 2;
    uhttp_str rest = a->fields;
    uhttp_str name;
    uhttp_str value;
    while (answer_next_field(&rest, &name, &value)) {
        if (!answer_take_field(a, name, value))
            return NULL;
    }
    if (rest.len != 0)
        return NULL;
    return stop;
}

/* "1f\r\n...\r\n" up to "0\r\n\r\n": lower-case sizes, no leading zeros, no extensions, no
 * trailers; the byte behind it. */
static const char *answer_read_chunks(const char *p, const char *end, answer *a,
                                      answer_end *how)
{
    static const char hexadecimal[] = "0123456789abcdef";
    for (;;) {
        size_t size = 0;
        size_t digits = 0;
        *how = ANSWER_CUT;
        while (p < end && *p != '\r') {
            const char *digit = (const char *)memchr(hexadecimal, *p, 16);
            *how = ANSWER_BROKEN;
            if (digit == NULL || (digits > 0 && size == 0) || ++digits > 6)
                return NULL;
            *how = ANSWER_CUT;
            size = size * 16 + (size_t)(digit - hexadecimal);
            p++;
        }
        if (end - p < 2)
            return NULL;
        *how = ANSWER_BROKEN;
        if (digits == 0 || p[1] != '\n')
            return NULL;
        p += 2;
        *how = ANSWER_CUT;
        size_t here = peer_least(size, (size_t)(end - p));
        CHECK(a->body_length + here <= ANSWER_BODY);
        memcpy(a->body + a->body_length, p, here);
        a->body_length += here;
        p += here;
        if (end - p < 2)
            return NULL;
        *how = ANSWER_BROKEN;
        if (here < size || p[0] != '\r' || p[1] != '\n')
            return NULL;
        p += 2;
        if (size == 0) {
            *how = ANSWER_WHOLE;
            return p;
        }
    }
}

static bool answer_starts_here(const char *p, const char *end)
{
    return p == end || (end - p >= 9 && memcmp(p, "HTTP/1.1 ", 9) == 0) ||
           (end - p < 9 && memcmp(p, "HTTP/1.1 ", (size_t)(end - p)) == 0);
}

static answer_end answer_read_body(const char **at, const char *end, answer *a,
                                   answer_hint hint)
{
    const char *p = *at;
    bool bodiless = a->status < 200 || a->status == 204 || a->status == 304;
    if (bodiless)
        return a->length >= 0 || a->chunked ? ANSWER_BROKEN : ANSWER_WHOLE;
    if (!a->chunked && a->length < 0 && hint != ANSWER_TO_10 && hint != ANSWER_GUESS &&
        hint != ANSWER_TO_HEAD)
        return ANSWER_BROKEN;
    if (hint == ANSWER_TO_HEAD) {
        a->headless = true;
        return ANSWER_WHOLE;
    }
    if (hint == ANSWER_GUESS && (a->chunked || a->length > 0) && answer_starts_here(p, end)) {
        a->headless = true;     /* no body of these tests begins so */
        return ANSWER_WHOLE;
    }
    if (a->chunked) {
        answer_end how;
        const char *behind = answer_read_chunks(p, end, a, &how);
        *at = behind != NULL ? behind : end;
        return how;
    }
    size_t here = (size_t)(end - p);
    if (a->length >= 0)
        here = peer_least(here, (size_t)a->length);
    else if (!a->close)
        return ANSWER_BROKEN;
    CHECK(here <= ANSWER_BODY);
    memcpy(a->body, p, here);
    a->body_length = here;
    *at = p + here;
    return a->length < 0 || here == (size_t)a->length ? ANSWER_WHOLE : ANSWER_CUT;
}

/* Takes the next response off a text; interim ones are responses too. */
static inline answer_end answer_next(uhttp_str *text, answer_hint hint, answer *a)
{
    char *body = a->body;
    answer_end how;
    memset(a, 0, sizeof *a);
    a->body = body;
    a->length = -1;
    if (text->len == 0)
        return ANSWER_NONE;
    const char *end = text->ptr + text->len;
    const char *p = answer_read_head(text->ptr, end, a, &how);
    if (p == NULL)
        return how;
    how = answer_read_body(&p, end, a, hint);
    *text = uh_text_slice(p, end);
    return how;
}

#endif /* MEMORY_TRANSPORT_H */
