/* sys/event.h - as much of kqueue(2) as the server uses, made of poll(), for systems without it
 *
 * The block of the header that speaks kqueue was written to the manual pages of FreeBSD, NetBSD,
 * OpenBSD and macOS. With this file on the include path it is compiled and run elsewhere:
 * filters are level-triggered, a filter that is not there cannot be deleted (ENOENT), and a
 * socket that is closed before it was deleted ends the program, which no BSD would do.
 */
#ifndef KQUEUE_STANDIN_H
#define KQUEUE_STANDIN_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVFILT_READ  (-1)
#define EVFILT_WRITE (-2)
#define EV_ADD       0x0001
#define EV_DELETE    0x0002
#define EV_EOF       0x8000

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    intptr_t data;
    void *udata;
};

enum { KQUEUE_MOST = 8192 };

#define EV_SET(event, id, what, how, filter_flags, filter_data, user) \
    ((event)->ident = (id), (event)->filter = (what), (event)->flags = (how), \
     (event)->fflags = (filter_flags), (event)->data = (filter_data), (event)->udata = (user))

static struct {
    int queue;
    struct kevent what;
} kqueue_entries[KQUEUE_MOST];

static int kqueue_used;         /* entries, of all queues */
static int kqueue_turn;         /* where the next look begins, so that nobody is left out */

__attribute__((unused)) static int kqueue(void)
{
    int queue = open("/dev/null", O_RDONLY);    /* a number that close() and fcntl() know */
    for (int i = kqueue_used; queue >= 0 && i-- > 0; ) {        /* of an older one */
        if (kqueue_entries[i].queue == queue)
            kqueue_entries[i] = kqueue_entries[--kqueue_used];
    }
    return queue;
}

static int kqueue_find(int queue, const struct kevent *e)
{
    for (int i = 0; i < kqueue_used; i++) {
        if (kqueue_entries[i].queue == queue && kqueue_entries[i].what.ident == e->ident &&
            kqueue_entries[i].what.filter == e->filter)
            return i;
    }
    return -1;
}

static int kqueue_change(int queue, const struct kevent *e)
{
    int at = kqueue_find(queue, e);
    if (e->filter != EVFILT_READ && e->filter != EVFILT_WRITE) {
        errno = EINVAL;
        return -1;
    }
    if ((e->flags & EV_DELETE) != 0) {
        if (at < 0) {
            errno = ENOENT;
            return -1;
        }
        kqueue_entries[at] = kqueue_entries[--kqueue_used];
        return 0;
    }
    if (at < 0 && kqueue_used == KQUEUE_MOST) {
        errno = ENOMEM;
        return -1;
    }
    if (at < 0)
        at = kqueue_used++;
    kqueue_entries[at].queue = queue;
    kqueue_entries[at].what = *e;
    return 0;
}

static int kqueue_wait(int queue, struct kevent *events, int nevents, int timeout_ms)
{
    static struct pollfd list[KQUEUE_MOST];
    static int entry[KQUEUE_MOST];
    int count = 0;
    int found = 0;
    for (int i = 0; i < kqueue_used; i++) {
        int at = (i + kqueue_turn) % kqueue_used;
        if (kqueue_entries[at].queue != queue)
            continue;
        entry[count] = at;
        list[count].fd = (int)kqueue_entries[at].what.ident;
        list[count++].events =
            kqueue_entries[at].what.filter == EVFILT_READ ? POLLIN | POLLRDHUP : POLLOUT;
    }
    kqueue_turn++;
    int n = poll(list, (nfds_t)count, timeout_ms);
    if (n < 0)
        return -1;
    for (int i = 0; i < count && found < nevents; i++) {
        if (list[i].revents == 0)
            continue;
        if ((list[i].revents & POLLNVAL) != 0) {
            fprintf(stderr, "kqueue: %d was closed before it was deleted\n", list[i].fd);
            abort();
        }
        events[found] = kqueue_entries[entry[i]].what;
        if ((list[i].revents & (POLLHUP | POLLRDHUP)) != 0)
            events[found].flags |= EV_EOF;
        events[found++].fflags = (list[i].revents & POLLERR) != 0 ? ECONNRESET : 0;
    }
    return found;
}

__attribute__((unused)) static int kevent(int queue, const struct kevent *changes,
                                          int nchanges, struct kevent *events, int nevents,
                                          const struct timespec *timeout)
{
    for (int i = 0; i < nchanges; i++) {
        if (kqueue_change(queue, &changes[i]) != 0)
            return -1;
    }
    if (nevents == 0)
        return 0;
    int ms = timeout == NULL
                 ? -1 : (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000);
    return kqueue_wait(queue, events, nevents, ms);
}

#endif
