/* libevent's evhttp among its peers; it collects an upload whole and has no HTTPS of its own. */
#include "peer.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void serve(struct evhttp_request *request, void *unused)
{
    (void)unused;
    const char *url = evhttp_request_get_uri(request);
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "text/plain; charset=utf-8");
    if (strcmp(url, "/") == 0 || evhttp_request_get_command(request) == EVHTTP_REQ_PUT) {
        evbuffer_add(out, "hello", 5);
    } else if (strcmp(url, "/memory") == 0) {
        evbuffer_add_reference(out, peer.memory, PEER_MEMORY, NULL, NULL);
    } else {
        char path[512];
        struct stat status;
        snprintf(path, sizeof path, "%s%s", peer.root, url);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) != 0 ||
            evbuffer_add_file(out, fd, 0, status.st_size) != 0) {
            evhttp_send_error(request, HTTP_NOTFOUND, NULL);
            return;
        }
    }
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

int main(int argc, char **argv)
{
    peer_begin(argc, argv);
    struct event_base *base = event_base_new();
    struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;
    if (http == NULL)
        peer_die("evhttp_new failed");
    evhttp_set_max_body_size(http, 1 << 30);
    evhttp_set_timeout(http, 600);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_PUT);
    evhttp_set_gencb(http, serve, NULL);
    if (evhttp_bind_socket(http, "127.0.0.1", (unsigned short)peer.port) != 0)
        peer_die("evhttp_bind_socket failed");
    return event_base_dispatch(base);
}
