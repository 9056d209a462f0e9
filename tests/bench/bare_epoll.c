/* The limit uHTTP is measured against, with epoll: level-triggered, descriptors added once. */
#define _GNU_SOURCE
#define BARE_CONNECTIONS 65536
#include "bare.h"
#include <sys/epoll.h>

static void watch(int set, int fd)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0)
        bare_die("epoll_ctl");
}

int main(void)
{
    struct epoll_event events[256];
    int set = epoll_create1(EPOLL_CLOEXEC);
    int listener = bare_listen();
    watch(set, listener);

    while (!bench_stopped) {
        int ready = epoll_wait(set, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                while ((fd = bare_accept(listener)) >= 0)
                    watch(set, fd);
            } else if (!bare_serve(fd)) {
                bare_close(fd);
            }
        }
    }
    bench_report_cpu();
    return 0;
}
