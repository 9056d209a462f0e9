/* prefork.c - a process for each core on one port, and a restart that loses no request
 *
 *     build: cc -o prefork examples/prefork.c
 *     try:   ./prefork 8080 4, then curl http://localhost:8080/, and kill -HUP its PID: a restart
 *
 * A master opens one listening socket for each worker, all on the same port (SO_REUSEPORT): on
 * Linux the kernel distributes connections among them. The sockets stay open in the master: at
 * a restart each new worker takes over the socket of an old one, with the connections waiting
 * in its backlog. The old worker completes the requests it has begun and ends.
 *
 * The master only supervises its workers, and replaces one that dies; it serves no requests.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX   64
#define GOODBYE_MS    30000     /* an old worker may take so long to finish */

/*--- a worker -----------------------------------------------------------------*/

static uhttp_server *server;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

static void serve(uhttp_conn *c)
{
    char text[96];
    size_t length = 0;
    uhttp_body(c, &length);
    snprintf(text, sizeof text, "process %ld took %zu bytes\n", (long)getpid(), length);
    uhttp_respond_text(c, 200, text);
}

static uint32_t millis(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000u + (uint32_t)(now.tv_nsec / 1000000);
}

/* Serves until a signal comes, then to the end of every request that has begun. */
static int run_worker(intptr_t listen_fd, int ready_fd)
{
    uhttp_config config = { 0 };
    config.listen_fd = &listen_fd;
    config.max_connections = 1000;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "a worker cannot start: %s\n", uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (write(ready_fd, "r", 1) != 1)
        return 1;                       /* there is no master any more */
    close(ready_fd);
    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }
    uint32_t start = millis();
    while (uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN && millis() - start < GOODBYE_MS) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            serve(c);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    return 0;
}

/*--- the master ---------------------------------------------------------------*/

typedef struct worker {
    int listen_fd;
    pid_t pid;
    uint32_t started;
} worker;

static worker workers[WORKERS_MAX];
static int worker_count;

/* Opens a socket on the port, 0: any; tells which it is. -1: failed. */
static int open_listener(int *port)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)*port);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)(void *)&at, sizeof at) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)(void *)&at, &length) != 0)
        return -1;
    *port = ntohs(at.sin_port);
    return fd;
}

/* In the new process: becomes a worker, of the program that is on the disk. */
static void become_worker(const char *program, int listen_fd, int ready_fd)
{
    char listen_text[16], ready_text[16];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fcntl(listen_fd, F_SETFD, 0);
    fcntl(ready_fd, F_SETFD, 0);
    snprintf(listen_text, sizeof listen_text, "%d", listen_fd);
    snprintf(ready_text, sizeof ready_text, "%d", ready_fd);
    execlp(program, program, "--worker", listen_text, ready_text, (char *)NULL);
    fprintf(stderr, "cannot start %s: %s\n", program, strerror(errno));
    _exit(127);
}

/* Starts a worker on this socket and waits until it serves; 0: it does not. */
static pid_t start_worker(const char *program, int listen_fd)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return 0;
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    fcntl(ready[1], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        become_worker(program, listen_fd, ready[1]);
    close(ready[1]);
    bool serves = pid > 0 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    return serves ? pid : 0;
}

/* Replaces a worker: the new one serves before the old one is told to end. */
static bool renew(worker *w, const char *program)
{
    w->started = millis();
    pid_t pid = start_worker(program, w->listen_fd);
    if (pid == 0)
        return false;
    if (w->pid > 0)
        kill(w->pid, SIGTERM);
    w->pid = pid;
    return true;
}

static void restart(const char *program)
{
    int renewed = 0;
    for (int i = 0; i < worker_count; i++)
        renewed += renew(&workers[i], program) ? 1 : 0;
    printf("restarted %d of %d workers\n", renewed, worker_count);
    fflush(stdout);
}

/* Replaces workers that have ended by themselves, each once a second at most. */
static void replace_dead(const char *program)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        for (int i = 0; i < worker_count; i++) {
            if (workers[i].pid == pid)
                workers[i].pid = 0;
        }
    }
    for (int i = 0; i < worker_count; i++) {
        worker *w = &workers[i];
        if (w->pid == 0 && (millis() - w->started < 1000 || !renew(w, program)))
            alarm(1);
    }
}

static void end_workers(void)
{
    for (int i = 0; i < worker_count; i++) {
        if (workers[i].pid > 0)
            kill(workers[i].pid, SIGTERM);
    }
    while (wait(NULL) > 0 || errno == EINTR) { }
}

static int run_master(const char *program, int port)
{
    const int numbers[] = { SIGHUP, SIGINT, SIGTERM, SIGCHLD, SIGALRM };
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);     /* they are waited for, and interrupt nothing */
    for (int i = 0; i < worker_count; i++) {
        workers[i].listen_fd = open_listener(&port);
        if (workers[i].listen_fd < 0 || !renew(&workers[i], program)) {
            fprintf(stderr, "cannot start on port %d: %s\n", port, strerror(errno));
            end_workers();
            return 1;
        }
    }
    printf("listening on http://localhost:%d/ with %d workers\n", port, worker_count);
    fflush(stdout);

    int number;
    while (sigwait(&set, &number) == 0 && number != SIGINT && number != SIGTERM) {
        if (number == SIGHUP)
            restart(program);
        replace_dead(program);
    }
    end_workers();
    puts("stopped");
    return 0;
}

/* A port (0: any that is free), or a number of workers; -1: neither. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--worker") == 0)
        return run_worker(atoi(argv[2]), atoi(argv[3]));
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    long count = argc > 2 ? read_port(argv[2]) : sysconf(_SC_NPROCESSORS_ONLN);
    if (argc > 3 || port < 0 || count < 1) {
        fprintf(stderr, "usage: %s [port [workers]]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    if (count > WORKERS_MAX)
        count = WORKERS_MAX;
    worker_count = (int)count;
    return run_master(argv[0], port);
}
