/* put.c - saves what clients send as files: curl -T
 *
 *     build: cc -o put examples/put.c
 *     try:   mkdir -p files && ./put 8080 files, then curl -T photo.jpg http://localhost:8080/
 *
 * PUT /NAME creates or replaces the file NAME in the directory. The body may be larger than
 * memory: it is written as it arrives, to a temporary file that is renamed when it is complete,
 * so that readers see the old file or the new one. GET returns it. Only names that
 * uhttp_safe_filename() would not change are allowed, and no subdirectories. Anybody who can
 * reach the port can write: add a password (auth.c).
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((uint64_t)1 << 30)    /* of one file; more is 413 */

static const char *directory;
static uhttp_server *server;
static volatile sig_atomic_t stop;

/* The path of the file that the request names; false: it names none. */
static bool file_path(uhttp_conn *c, char *path, size_t size)
{
    const char *name = uhttp_path(c) + 1;
    char safe[256];
    size_t length = uhttp_safe_filename(name, safe, sizeof safe);
    return length > 0 && strcmp(name, safe) == 0 &&
           (size_t)snprintf(path, size, "%s/%s", directory, safe) < size;
}

/* A request, whether its body came with it or is on its way. */
static void begin(uhttp_conn *c)
{
    char path[1024];
    if (uhttp_is_get(c))
        uhttp_serve_dir(c, directory, "/");
    else if (strcmp(uhttp_method(c), "PUT") != 0)
        uhttp_respond_not_allowed(c, "GET, HEAD, PUT");
    else if (!file_path(c, path, sizeof path))
        uhttp_respond_error(c, 403);
    else if (uhttp_accept_body_to_file(c, path, FILE_MAX) != UHTTP_OK)
        uhttp_respond_error(c, 500);
}

static void serve(uhttp_conn *c)
{
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
    case UHTTP_EVENT_WS_REQUEST:
        begin(c);
        break;
    case UHTTP_EVENT_COMPLETE:      /* the file is there, and safe */
        uhttp_respond_printf(c, 201, "text/plain; charset=utf-8", "saved %s, %llu bytes\n",
                             uhttp_path(c) + 1, (unsigned long long)uhttp_bytes_received(c));
        break;
    default:                        /* UHTTP_EVENT_ERROR: what is wrong is answered for us */
        break;
    }
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

static bool is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && (about.st_mode & S_IFMT) == S_IFDIR;
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
    uhttp_config config = { 0 };
    int port = argc == 3 ? read_port(argv[1]) : -1;
    if (port < 0) {
        fprintf(stderr, "usage: %s port directory    port 0: any that is free\n", argv[0]);
        return 2;
    }
    directory = argv[2];
    if (!is_directory(directory)) {
        fprintf(stderr, "%s is not a directory\n", directory);
        return 1;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.event_mode = true;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);

    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }

    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
