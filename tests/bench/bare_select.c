/* The limit uHTTP is measured against, with select(): one set kept, copied for each call, and
 * scanned no further than the last ready descriptor. */
#define _GNU_SOURCE
#include "bare.h"

static fd_set watched;
static int highest;

static void watch(int fd)
{
    FD_SET(fd, &watched);
    if (fd > highest)
        highest = fd;
}

static void drop(int fd)
{
    FD_CLR(fd, &watched);
    bare_close(fd);
    while (!FD_ISSET(highest, &watched))
        highest--;
}

int main(void)
{
    int listener = bare_listen();
    watch(listener);

    while (!bench_stopped) {
        fd_set readable = watched;
        int ready = select(highest + 1, &readable, NULL, NULL, NULL);
        for (int fd = 0; ready > 0; fd++) {
            if (!FD_ISSET(fd, &readable))
                continue;
            ready--;
            if (fd == listener) {
                while ((fd = bare_accept(listener)) >= 0)
                    watch(fd);
                fd = listener;
            } else if (!bare_serve(fd)) {
                drop(fd);
            }
        }
    }
    bench_report_cpu();
    return 0;
}
