/* curl_server.c - the server that curl.sh asks
 *
 *     curl_server FILE            says "port N", then serves until SIGTERM
 *     curl_server FILE SOCKET     on a Unix socket of that name, says "port 0"
 *     curl_server --free-port     says a port nobody listens on
 *
 *     /file    the file, from memory
 *     /echo    the body that was sent
 *     /later   an answer a little later, others first
 *     /stream  a body of unknown length
 *     ...      the path
 */
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LATER 64

static volatile sig_atomic_t stop;
static uhttp_server *server;
static char *file;
static size_t file_length;
static uint64_t later[LATER];
static unsigned later_count;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

static bool read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long length;
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (length = ftell(f)) < 0)
        return false;
    rewind(f);
    file_length = (size_t)length;
    file = (char *)malloc(file_length + 1);
    bool done = file != NULL && fread(file, 1, file_length, f) == file_length;
    fclose(f);
    return done;
}

static int unix_socket(const char *path)
{
    struct sockaddr_un at;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sun_family = AF_UNIX;
    if (fd < 0 || strlen(path) >= sizeof at.sun_path)
        return -1;
    memcpy(at.sun_path, path, strlen(path) + 1);
    return bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 16) == 0 ? fd : -1;
}

static void stream(uhttp_conn *c)
{
    char line[32];
    if (uhttp_stream_begin(c, 200, "text/plain") != UHTTP_OK)
        return;
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(line, sizeof line, "line %d\n", i);
        if (uhttp_stream_write(c, line, (size_t)n) != UHTTP_OK) {
            uhttp_close(c);
            return;
        }
    }
    uhttp_stream_end(c);
}

static void answer(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    size_t length;
    const void *body = uhttp_body(c, &length);
    if (strcmp(path, "/file") == 0)
        uhttp_respond_static(c, 200, "application/octet-stream", file, file_length);
    else if (strcmp(path, "/echo") == 0)
        uhttp_respond(c, 200, uhttp_content_type(c), body, length);
    else if (strcmp(path, "/stream") == 0)
        stream(c);
    else if (strcmp(path, "/moved") == 0)
        uhttp_respond_redirect(c, 0, "/new/place");
    else if (strcmp(path, "/later") == 0 && later_count < LATER)
        later[later_count++] = uhttp_id(c);
    else
        uhttp_respond_text(c, 200, path);
}

static void answer_what_is_late(void)
{
    for (unsigned i = 0; i < later_count; i++) {
        uhttp_conn *c = uhttp_find(server, later[i]);
        if (c != NULL)
            uhttp_respond_text(c, 200, "at last");
    }
    later_count = 0;
}

int main(int argc, char **argv)
{
    uhttp_config config = { 0 };
    intptr_t listener = argc == 3 ? unix_socket(argv[2]) : -1;
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.listen_fd = argc == 3 ? &listener : NULL;
    config.max_connections = 128;
    config.max_content_length = 2 * 1024 * 1024;
    config.max_send_buffer = 4 * 1024 * 1024;
    if (argc < 2 || argc > 3 || uhttp_server_open(&server, &config) != UHTTP_OK) {
        fprintf(stderr, "usage: %s FILE [SOCKET] | --free-port\n", argv[0]);
        return 2;
    }
    int port = uhttp_server_port(server);
    if (strcmp(argv[1], "--free-port") == 0) {
        printf("%d\n", port);
        uhttp_server_close(server);
        return 0;
    }
    if (!read_file(argv[1])) {
        perror(argv[1]);
        return 1;
    }
    bool has_v6 = argc == 2 && uhttp_server_listen(server, "::1", port, NULL) == UHTTP_OK;
    signal(SIGTERM, on_signal);
    printf("port %d%s\n", port, has_v6 ? " and IPv6" : "");
    fflush(stdout);
    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, later_count > 0 ? 100 : -1);
        if (c != NULL)
            answer(c);
        else
            answer_what_is_late();
    }
    while (uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            answer(c);
    }
    uhttp_server_close(server);
    free(file);
    return 0;
}
