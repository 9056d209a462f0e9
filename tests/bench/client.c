/* The client of the exact measurements (instructions, system calls, allocations, memory), where
 * wrk would not do because it does not count its requests beforehand.
 *
 *     client PORT REQUEST_FILE CONNECTIONS REQUESTS [hold]
 *
 * opens all connections, then sends the request on all of them before it reads an answer, and
 * so on until REQUESTS are answered on each. Every answer must be a whole 200; its length is
 * printed once. With `hold`, the connections stay open until the client is killed. */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "client: %s\n", what);
    exit(1);
}

static int connect_to(int port)
{
    struct sockaddr_in address;
    struct timeval patience = { 20, 0 };
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((unsigned short)port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("cannot connect");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* Reads one answer, no byte more, and returns its length. */
static size_t read_answer(int fd)
{
    char answer[4096];
    size_t have = 0;
    size_t all = 0;
    while (all == 0 || have < all) {
        ssize_t n = recv(fd, answer + have, sizeof answer - 1 - have, 0);
        if (n <= 0)
            die("the answer broke off");
        have += (size_t)n;
        answer[have] = '\0';
        const char *head_end = strstr(answer, "\r\n\r\n");
        if (all > 0 || head_end == NULL)
            continue;
        const char *field = strstr(answer, "\r\nContent-Length: ");
        if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || field == NULL || field > head_end)
            die("not the answer that was expected");
        all = (size_t)(head_end + 4 - answer) + strtoul(field + 18, NULL, 10);
    }
    if (have != all)
        die("more than one answer");
    return all;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        die("usage: client PORT REQUEST_FILE CONNECTIONS REQUESTS [hold]");
    static char request[8192];
    FILE *file = fopen(argv[2], "rb");
    size_t length = file == NULL ? 0 : fread(request, 1, sizeof request, file);
    if (length == 0)
        die("cannot read the request");
    fclose(file);

    int connections = atoi(argv[3]);
    long requests = atol(argv[4]);
    int *fds = (int *)calloc((size_t)connections + 1, sizeof *fds);
    size_t answer = 0;
    if (fds == NULL)
        die("out of memory");
    for (int i = 0; i < connections; i++)
        fds[i] = connect_to(atoi(argv[1]));
    for (long done = 0; done < requests; done++) {
        for (int i = 0; i < connections; i++)
            if (send(fds[i], request, length, MSG_NOSIGNAL) != (ssize_t)length)
                die("cannot send");
        for (int i = 0; i < connections; i++)
            answer = read_answer(fds[i]);
    }
    printf("answer %zu\n", answer);
    fflush(stdout);
    if (argc > 5)
        pause();
    return 0;
}
