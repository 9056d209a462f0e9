/* libmicrohttpd among its peers: one thread with epoll, as its manual advises for many connections. */
#include "peer.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <sys/stat.h>
#include <unistd.h>

static struct MHD_Response *hello, *memory;

static enum MHD_Result serve_file(struct MHD_Connection *connection, const char *url)
{
    char path[512];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", peer.root, url);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        if (fd >= 0)
            close(fd);
        return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, hello);
    }
    struct MHD_Response *file = MHD_create_response_from_fd64((uint64_t)status.st_size, fd);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, file);
    MHD_destroy_response(file);
    return result;
}

static enum MHD_Result serve(void *unused, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *data,
                             size_t *size, void **state)
{
    (void)unused;
    (void)version;
    (void)data;
    if (*state == NULL) {           /* the head alone */
        *state = &peer;
        return MHD_YES;
    }
    if (*size != 0) {
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(url, "/") == 0 || strcmp(method, "PUT") == 0)
        return MHD_queue_response(connection, MHD_HTTP_OK, hello);
    if (strcmp(url, "/memory") == 0)
        return MHD_queue_response(connection, MHD_HTTP_OK, memory);
    return serve_file(connection, url);
}

/* A file of certificate or key, as the library wants its text. */
static char *read_text(const char *path)
{
    static char texts[2][16384];
    static int used;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        peer_die(path);
    char *text = texts[used++ & 1];
    text[fread(text, 1, sizeof texts[0] - 1, file)] = '\0';
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG;
    peer_begin(argc, argv);
    hello = MHD_create_response_from_buffer(5, (void *)"hello", MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(hello, "Content-Type", "text/plain; charset=utf-8");
    memory = MHD_create_response_from_buffer(PEER_MEMORY, peer.memory, MHD_RESPMEM_PERSISTENT);
    if (MHD_start_daemon(flags, (uint16_t)peer.port, NULL, NULL, serve, NULL,
                         MHD_OPTION_CONNECTION_LIMIT, peer.connections,
                         MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_END) == NULL)
        peer_die("MHD_start_daemon failed");
    if (peer.tls_port != 0 &&
        MHD_start_daemon(flags | MHD_USE_TLS, (uint16_t)peer.tls_port, NULL, NULL, serve, NULL,
                         MHD_OPTION_HTTPS_MEM_CERT, read_text(peer.certificate),
                         MHD_OPTION_HTTPS_MEM_KEY, read_text(peer.key),
                         MHD_OPTION_CONNECTION_LIMIT, peer.connections,
                         MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_END) == NULL)
        peer_die("MHD_start_daemon with TLS failed");
    pause();
    return 0;
}
