/* memory_port.h - a network in memory, as a port of uhttp_server.h (UHTTP_PLATFORM_HEADER)
 *
 * Everything the header asks of a network stack, and clients for it. Bytes have arrived as soon
 * as they are sent, and the clock only advances while somebody sleeps in uhttp_port_wait(), so
 * every run is the same and takes no time.
 *
 * Sockets are addresses of objects, which no 32 bits hold on most machines that run the tests.
 */
#ifndef MEMORY_PORT_H
#define MEMORY_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define UHTTP_PORT_VERSION 1
#define UHTTP_PORT_SOCKETS net.watches

#define NET_WINDOW  4096
#ifndef NET_ENDS                    /* a test may want more */
#define NET_ENDS    96
#define NET_BACKLOG 8
#endif

/* One end of a connection, a listener or the wake-up. */
typedef struct net_end {
    bool used;
    bool listens;
    bool fin;                       /* the other end will send no more */
    bool lost;                      /* reset, or the other end was closed */
    bool shut;                      /* this one sends nothing more */
    bool abort;                     /* the close will be a reset */
    bool woken;
    uhttp_address local, remote;
    struct net_end *other;          /* NULL: none, or it is gone */
    struct net_end *waiting[NET_BACKLOG];
    unsigned count;                 /* of those waiting */
    size_t length;                  /* of what has come and is not read */
    uint8_t in[NET_WINDOW];
} net_end;

static struct net {
    net_end ends[NET_ENDS];
    uint32_t watches;               /* sockets that can be watched at once */
    size_t window;                  /* bytes on the way, at most */
    size_t most;                    /* bytes of one recv or send, at most */
    bool full;                      /* no memory for whoever is accepted */
    bool no_wake;                   /* nothing to wake with */
    uint32_t now;
    uint32_t slept;                 /* calls that slept */
    int64_t date;                   /* seconds since 1970 */
    void (*sleeping)(void);         /* what other threads do meanwhile */
    void (*looked)(void);           /* what comes right behind the look that finds a newcomer */
} net;

__attribute__((unused)) static void net_start(void)
{
    memset(&net, 0, sizeof net);
    net.watches = NET_ENDS;
    net.window = NET_WINDOW;
    net.most = NET_WINDOW;
    net.now = 0xfffff000u;          /* wraps after four seconds */
    net.date = 1700000000;
}

static net_end *net_end_of(intptr_t socket) { return (net_end *)(void *)socket; }

static size_t net_min(size_t a, size_t b) { return a < b ? a : b; }

static net_end *net_new(void)
{
    for (int i = 0; i < NET_ENDS; i++) {
        net_end *e = &net.ends[i];
        if (!e->used) {
            memset(e, 0, sizeof *e);
            e->used = true;
            return e;
        }
    }
    return NULL;
}

__attribute__((unused)) static unsigned net_used(void)
{
    unsigned count = 0;
    for (int i = 0; i < NET_ENDS; i++)
        count += net.ends[i].used ? 1u : 0u;
    return count;
}

static bool net_address_is(const uhttp_address *at, const uhttp_address *local)
{
    return at->family == local->family && at->port == local->port;
}

static net_end *net_listener(const uhttp_address *at)
{
    for (int i = 0; i < NET_ENDS; i++) {
        net_end *e = &net.ends[i];
        if (e->used && e->listens && net_address_is(at, &e->local))
            return e;
    }
    return NULL;
}

/*--- what the header asks for -----------------------------------------------------------*/

static uhttp_result uhttp_port_listen(intptr_t *listener, const uhttp_address *at,
                                      const uhttp_config *config)
{
    (void)config;
    if (at->port != 0 && net_listener(at) != NULL)
        return UHTTP_ERR_IN_USE;
    net_end *e = net_new();
    if (e == NULL)
        return UHTTP_ERR_MEMORY;
    e->listens = true;
    e->local = *at;
    if (at->port == 0)
        e->local.port = (uint16_t)(50000 + (e - net.ends));
    *listener = (intptr_t)(void *)e;
    return UHTTP_OK;
}

static int uhttp_port_accept(intptr_t listener, intptr_t *socket, uhttp_address *peer)
{
    net_end *e = net_end_of(listener);
    if (e->count == 0)
        return UHTTP_WANT_READ;
    if (net.full)
        return UHTTP_FULL;
    net_end *first = e->waiting[0];
    e->count--;
    memmove(e->waiting, e->waiting + 1, e->count * sizeof e->waiting[0]);
    if (first->lost) {
        first->used = false;
        return UHTTP_FAILED;
    }
    *socket = (intptr_t)(void *)first;
    *peer = first->remote;
    return 0;
}

static int uhttp_port_recv(intptr_t socket, void *to, size_t room)
{
    net_end *e = net_end_of(socket);
    size_t n = net_min(net_min(room, net.most), e->length);
    if (n == 0 && e->lost)
        return UHTTP_FAILED;
    if (n == 0)
        return e->fin ? 0 : UHTTP_WANT_READ;
    memcpy(to, e->in, n);
    e->length -= n;
    memmove(e->in, e->in + n, e->length);
    return (int)n;
}

static size_t net_room(const net_end *e)
{
    bool has = e->other != NULL && e->other->length < net.window;
    return has ? net.window - e->other->length : 0;
}

static int uhttp_port_send(intptr_t socket, const uhttp_str *parts, int count)
{
    net_end *e = net_end_of(socket);
    size_t left = net_min(net_room(e), net.most);
    size_t sent = 0;
    if (e->lost || e->shut || e->other == NULL)
        return UHTTP_FAILED;
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = net_min(parts[i].len, left);
        memcpy(e->other->in + e->other->length, parts[i].ptr, n);
        e->other->length += n;
        sent += n;
        left -= n;
    }
    return sent > 0 ? (int)sent : UHTTP_WANT_WRITE;
}

static void uhttp_port_shut(intptr_t socket)
{
    net_end *e = net_end_of(socket);
    e->shut = true;
    if (e->other != NULL)
        e->other->fin = true;
}

static void uhttp_port_abort(intptr_t socket) { net_end_of(socket)->abort = true; }

/* With bytes unread the other end hears a reset, as in TCP. */
static void uhttp_port_close(intptr_t socket)
{
    net_end *e = net_end_of(socket);
    net_end *other = e->other;
    for (unsigned i = 0; i < e->count; i++)
        uhttp_port_close((intptr_t)(void *)e->waiting[i]);
    if (other != NULL) {
        other->lost = other->lost || e->abort || e->length > 0;
        other->fin = true;
        other->other = NULL;
        if (other->lost)
            other->length = 0;
    }
    e->used = false;
}

static bool uhttp_port_address(intptr_t socket, bool of_peer, uhttp_address *address)
{
    const net_end *e = net_end_of(socket);
    *address = of_peer ? e->remote : e->local;
    return address->family != 0;
}

static uint8_t net_ready(const net_end *e)
{
    bool readable = e->length > 0 || e->fin || e->lost || e->count > 0 || e->woken;
    bool writable = e->lost || net_room(e) > 0 || (e->fin && e->other == NULL);
    return (uint8_t)((readable ? UHTTP_READABLE : 0u) | (writable ? UHTTP_WRITABLE : 0u));
}

static int net_look(uhttp_port_watch *list, uint32_t count)
{
    int ready = 0;
    bool newcomer = false;
    uint32_t watched = 0;
    for (uint32_t i = 0; i < count; i++) {
        list[i].ready = 0;
        if (list[i].wish == 0)
            continue;
        if (++watched > net.watches)
            abort();
        list[i].ready = (uint8_t)(list[i].wish & net_ready(net_end_of(list[i].socket)));
        ready += list[i].ready != 0 ? 1 : 0;
        newcomer = newcomer || net_end_of(list[i].socket)->count > 0;
    }
    if (newcomer && net.looked != NULL)
        net.looked();
    return ready;
}

static int uhttp_port_wait(uhttp_port_watch *list, uint32_t count, int timeout_ms)
{
    int ready = net_look(list, count);
    if (ready > 0 || timeout_ms == 0)
        return ready;
    net.slept++;
    if (net.sleeping != NULL)
        net.sleeping();
    ready = net_look(list, count);
    if (ready > 0)
        return ready;
    if (timeout_ms < 0)
        return -1;                  /* for ever: something must interrupt it */
    net.now += (uint32_t)timeout_ms;
    return 0;
}

static bool uhttp_port_wake_open(intptr_t *wake)
{
    net_end *e = net.no_wake ? NULL : net_new();
    *wake = (intptr_t)(void *)e;
    return e != NULL;
}

static bool uhttp_port_wake_send(intptr_t wake)
{
    net_end_of(wake)->woken = true;
    return true;
}

static void uhttp_port_wake_drain(intptr_t wake) { net_end_of(wake)->woken = false; }
static void uhttp_port_wake_close(intptr_t wake) { net_end_of(wake)->used = false; }
__attribute__((unused)) static uint32_t uhttp_port_millis(void) { return net.now; }
__attribute__((unused)) static int64_t uhttp_port_time(void) { return net.date; }

/*--- clients ----------------------------------------------------------------------------*/

/* Connects from an address to a port of the server's; NULL: refused. */
__attribute__((unused)) static net_end *net_connect_from(const uhttp_address *from,
                                                         uint16_t port)
{
    uhttp_address to = *from;
    to.port = port;
    net_end *listener = net_listener(&to);
    if (listener == NULL || listener->count == NET_BACKLOG)
        return NULL;
    net_end *client = net_new();
    net_end *server = client != NULL ? net_new() : NULL;
    if (server == NULL)
        return NULL;
    client->other = server;
    server->other = client;
    client->local = server->remote = *from;
    client->remote = server->local = to;
    listener->waiting[listener->count++] = server;
    return client;
}

__attribute__((unused)) static net_end *net_connect(uint16_t port)
{
    uhttp_address from;
    memset(&from, 0, sizeof from);
    from.family = 4;
    memcpy(from.address, "\xc0\x00\x02\x07", 4);    /* 192.0.2.7 */
    from.port = 4711;
    return net_connect_from(&from, port);
}

#endif
