/* What one uhttp_wait(server, 0) costs beside so many idle connections, all in one process: each
 * has been answered once and waits for its next request. Prints microseconds of processor time,
 * the median of 9 times 1000 calls.
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

enum { ROUNDS = 9, CALLS = 1000 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void connect_and_ask(uhttp_server *server)
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
    uhttp_conn *c = uhttp_wait(server, 5000);
    if (c == NULL || uhttp_respond_text(c, 200, "hello") != UHTTP_OK)
        die("no request came");
    (void)uhttp_wait(server, 0);
    if (recv(fd, answer, sizeof answer, 0) <= 0)
        die("no answer came");
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    long wanted = argc > 1 ? atol(argv[1]) : 9000;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if ((rlim_t)wanted * 2 + 100 > limit.rlim_cur)
        wanted = (long)(limit.rlim_cur - 100) / 2;

    uhttp_server *server;
    uhttp_config config = { 0 };
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.max_connections = (uint32_t)wanted + 1;
    config.keep_alive_timeout_ms = 600000;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        die("uhttp_server_open");
    for (long i = 0; i < wanted; i++)
        connect_and_ask(server);

    double us[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_us();
        for (int i = 0; i < CALLS; i++) {
            if (uhttp_wait(server, 0) != NULL)
                die("a request came from nowhere");
        }
        us[round] = (cpu_us() - start) / CALLS;
    }
    qsort(us, ROUNDS, sizeof us[0], compare);
    printf("connections %ld wait_us %.2f\n", wanted, us[ROUNDS / 2]);
    uhttp_server_close(server);
    return 0;
}
