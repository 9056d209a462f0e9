/* own_loop.c - the server inside a loop of the program's own, here around poll()
 *
 *     build: cc -o own_loop examples/own_loop.c
 *     try:   ./own_loop 8080, then curl http://localhost:8080/, and type: limit 30
 *
 * The program measures four times a second and takes commands from its standard input
 * ("limit 30", "quit"); the server shows what was measured. Before each sleep the program asks
 * the server which sockets to watch and how long to sleep at most; afterwards it reports what
 * happened. With epoll, libuv or GLib, use uhttp_server_watch_changes() to learn which sockets
 * are new or gone.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 64
#define WATCHED     UHTTP_WATCH_CAPACITY(CONNECTIONS)
#define PERIOD_MS   250

/*--- what the program does ----------------------------------------------------*/

static struct {
    unsigned measured;          /* how often */
    int degrees;
    int limit;
    bool input_ended;
    bool quit;
} state = { 0, 20, 25, false, false };

static void measure(void)
{
    state.measured++;
    state.degrees = 20 + (int)(state.measured % 10);    /* stands for a sensor */
    if (state.degrees > state.limit)
        printf("%d degrees\n", state.degrees);
}

static void obey(const char *command)
{
    if (strcmp(command, "quit") == 0)
        state.quit = true;
    else if (strncmp(command, "limit ", 6) == 0)
        state.limit = (int)strtol(command + 6, NULL, 10);
    else
        printf("there are: limit DEGREES, quit\n");
}

/* Takes what has been typed; a line may come in pieces, and several at once. */
static void read_commands(void)
{
    static char line[256];
    static size_t used;
    ssize_t n = read(STDIN_FILENO, line + used, sizeof line - 1 - used);
    if (n <= 0) {
        state.input_ended = true;
        return;
    }
    used += (size_t)n;
    line[used] = '\0';
    char *start = line;
    for (char *end; (end = strchr(start, '\n')) != NULL; start = end + 1) {
        *end = '\0';
        obey(start);
    }
    used = strlen(start);
    if (used == sizeof line - 1)
        used = 0;               /* no command is so long */
    memmove(line, start, used);
}

static void serve(uhttp_conn *c)
{
    char text[96];
    if (strcmp(uhttp_path(c), "/") != 0) {
        uhttp_respond_error(c, 404);
        return;
    }
    snprintf(text, sizeof text, "%d degrees, limit %d, measured %u times\n", state.degrees,
             state.limit, state.measured);
    uhttp_respond_text(c, 200, text);
}

/*--- its loop -----------------------------------------------------------------*/

/* Milliseconds until the next measurement; measures when it is due. */
static int measure_in_time(void)
{
    static uint32_t last;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint32_t now = (uint32_t)time.tv_sec * 1000u + (uint32_t)(time.tv_nsec / 1000000);
    if (state.measured == 0 || now - last >= PERIOD_MS) {
        last = now;
        measure();
    }
    return (int)(PERIOD_MS - (now - last));
}

/* Sleeps until something happens to one of the sockets, to the input, or it is time. */
static void sleep_in_poll(uhttp_watch *list, size_t count, int timeout_ms)
{
    struct pollfd fds[WATCHED + 1];
    for (size_t i = 0; i < count; i++) {
        fds[i].fd = (int)list[i].fd;
        fds[i].events = (short)((list[i].wish & UHTTP_READABLE ? POLLIN : 0) |
                                (list[i].wish & UHTTP_WRITABLE ? POLLOUT : 0));
        fds[i].revents = 0;
    }
    fds[count].fd = state.input_ended ? -1 : STDIN_FILENO;      /* -1 is passed over */
    fds[count].events = POLLIN;
    fds[count].revents = 0;
    if (poll(fds, (nfds_t)count + 1, timeout_ms) <= 0)
        return;
    for (size_t i = 0; i < count; i++) {
        bool failed = (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
        list[i].ready = (uint16_t)((failed || (fds[i].revents & POLLIN) ? UHTTP_READABLE : 0) |
                                   (failed || (fds[i].revents & POLLOUT) ? UHTTP_WRITABLE : 0));
    }
    if (fds[count].revents != 0)
        read_commands();
}

static void run(uhttp_server *server)
{
    uhttp_watch list[WATCHED];
    while (!state.quit) {
        int timeout_ms = measure_in_time();
        size_t count = uhttp_server_watch(server, list, WATCHED);
        int most_ms = uhttp_server_timeout(server);
        if (most_ms >= 0 && most_ms < timeout_ms)
            timeout_ms = most_ms;
        sleep_in_poll(list, count, timeout_ms);
        uhttp_conn *c = uhttp_process_events(server, list, count);
        for (; c != NULL; c = uhttp_process_events(server, NULL, 0))
            serve(c);
    }
}

/* A port, 0 for any that is free; -1: neither. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    if (argc > 2 || port < 0) {
        fprintf(stderr, "usage: %s [port]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.max_connections = CONNECTIONS;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);      /* each line at once */
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    run(server);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
