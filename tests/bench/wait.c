/* What one uhttp_wait(server, 0) costs beside so many idle connections, all in one process: each
 * has been answered once and waits for its next request. Then what a newcomer costs when all
 * slots are taken, so that the one idle longest gives way: until it is answered, without what its
 * client does. Prints microseconds of processor time, medians of 9 times 1000 calls, and of 9
 * times 50 newcomers.
 *
 *     wait [CONNECTIONS]      9000 by default, or as many as the limit of descriptors allows
 */
#define _GNU_SOURCE
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 9, CALLS = 1000, NEWCOMERS = 50 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* A client that asks once and stays; microseconds that the server took for it. */
static double connect_and_ask(uhttp_server *server)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    char answer[512];
    struct sockaddr_in at;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)uhttp_server_port(server));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)(void *)&at, sizeof at) != 0)
        die("connect");
    if (send(fd, request, sizeof request - 1, 0) < 0)
        die("send");
    double start = cpu_us();
    uhttp_conn *c = uhttp_wait(server, 5000);
    if (c == NULL || uhttp_respond_text(c, 200, "hello") != UHTTP_OK)
        die("no request came");
    (void)uhttp_wait(server, 0);
    double us = cpu_us() - start;
    if (recv(fd, answer, sizeof answer, 0) <= 0)
        die("no answer came");
    return us;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof values[0], compare);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    long wanted = argc > 1 ? atol(argv[1]) : 9000;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if ((rlim_t)wanted * 2 + 600 > limit.rlim_cur)
        wanted = (long)(limit.rlim_cur - 600) / 2;

    uhttp_server *server;
    uhttp_config config = { 0 };
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.max_connections = (uint32_t)wanted + 1;
    config.keep_alive_timeout_ms = 600000;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        die("uhttp_server_open");
    for (long i = 0; i < wanted; i++)
        (void)connect_and_ask(server);

    double us[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_us();
        for (int i = 0; i < CALLS; i++) {
            if (uhttp_wait(server, 0) != NULL)
                die("a request came from nowhere");
        }
        us[round] = (cpu_us() - start) / CALLS;
    }
    double wait_us = median(us);

    (void)connect_and_ask(server);                      /* the last slot */
    for (int round = 0; round < ROUNDS; round++) {
        usleep(1200000);                                /* idle for so long, they may give way */
        us[round] = 0;
        for (int i = 0; i < NEWCOMERS; i++)
            us[round] += connect_and_ask(server) / NEWCOMERS;
    }
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    if (stats.evicted != ROUNDS * NEWCOMERS)
        die("newcomers have not taken the places of others");
    printf("connections %ld wait_us %.2f newcomer_us %.2f\n", wanted, wait_us, median(us));
    uhttp_server_close(server);
    return 0;
}
