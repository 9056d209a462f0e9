/* The server that tests/clients/tls.sh and tests/clients/long_tls36.sh ask over HTTPS.
 *
 *   tls_server CHAIN KEY [--more CHAIN KEY] [--clients optional|required CA]
 *
 *   GET /              hello
 *   GET /subject       who the client is, "-" for nobody
 *   GET /bytes/N       a stream of N bytes 'x'
 *   POST /count        how many bytes the body had, read piece by piece
 *
 * Prints "port SECURE PLAIN pid N" when it listens; SIGHUP reads the certificates again, and
 * "reloaded: RESULT ERROR" is printed; SIGTERM ends it, and "peak N kB" says how much memory it
 * had at most.
 */
#define UHTTP_TLS 1
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static volatile sig_atomic_t stopped, hung_up;
static uhttp_server *server;

static void on_signal(int number)
{
    if (number == SIGHUP)
        hung_up = 1;
    else
        stopped = 1;
    uhttp_server_wakeup(server);
}

static void on_log(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

/* How much of a stream is still to come, one for each connection; NULL: none. */
static void go_on(uhttp_conn *c)
{
    static char piece[16384];
    uint64_t *left = (uint64_t *)uhttp_context(c);
    memset(piece, 'x', sizeof piece);
    while (*left > 0) {
        size_t length = *left < sizeof piece ? (size_t)*left : sizeof piece;
        uhttp_result result = uhttp_stream_write(c, piece, length);
        if (result == UHTTP_ERR_AGAIN)
            return;
        if (result != UHTTP_OK)
            break;
        *left -= length;
    }
    free(left);
    uhttp_set_context(c, NULL);
    uhttp_stream_end(c);
}

static void answer(uhttp_conn *c)
{
    char text[128];
    const char *path = uhttp_path(c);
    if (strncmp(path, "/bytes/", 7) == 0) {
        uint64_t *left = (uint64_t *)malloc(sizeof *left);
        if (left == NULL || uhttp_stream_begin(c, 200, "application/octet-stream") != UHTTP_OK) {
            free(left);
            return;
        }
        *left = strtoull(path + 7, NULL, 10);
        uhttp_set_context(c, left);
        go_on(c);
    } else if (strcmp(path, "/subject") == 0) {
        int length = uhttp_client_subject(c, text, sizeof text);
        uhttp_respond_text(c, 200, length > 0 ? text : "-");
    } else {
        uhttp_respond_text(c, 200, "hello");
    }
}

static void handle(uhttp_conn *c)
{
    char text[32];
    size_t length;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
        answer(c);
        break;
    case UHTTP_EVENT_HEADERS:
        uhttp_accept_body_streaming(c, UHTTP_UNLIMITED);
        break;
    case UHTTP_EVENT_DATA:
        uhttp_read_buffer(c, &length);
        break;
    case UHTTP_EVENT_COMPLETE:
        uhttp_read_buffer(c, &length);
        snprintf(text, sizeof text, "%llu", (unsigned long long)uhttp_bytes_received(c));
        uhttp_respond_text(c, 200, text);
        break;
    case UHTTP_EVENT_WRITABLE:
        go_on(c);
        break;
    default:
        free(uhttp_context(c));
        uhttp_set_context(c, NULL);
        break;
    }
}

int main(int argc, char **argv)
{
    static char error[256];
    uhttp_tls_config tls;
    uhttp_tls_certificate more;
    uhttp_config config;
    memset(&tls, 0, sizeof tls);
    memset(&more, 0, sizeof more);
    memset(&config, 0, sizeof config);
    if (argc < 3)
        return 2;
    tls.certificate.chain_file = argv[1];
    tls.certificate.key_file = argv[2];
    for (int i = 3; i + 2 < argc; i += 3) {
        if (strcmp(argv[i], "--more") == 0) {
            more.chain_file = argv[i + 1];
            more.key_file = argv[i + 2];
            tls.more = &more;
            tls.more_count = 1;
        } else {
            tls.client_certificate = strcmp(argv[i + 1], "required") == 0
                                     ? UHTTP_CLIENT_REQUIRED : UHTTP_CLIENT_OPTIONAL;
            tls.client_ca_file = argv[i + 2];
        }
    }
    tls.error = error;
    tls.error_size = sizeof error;
    tls.handshake_timeout_ms = 2000;
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.tls = &tls;
    config.event_mode = true;
    config.max_connections = 256;
    config.max_content_length = UHTTP_UNLIMITED;
    config.log = on_log;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result == UHTTP_OK)
        result = uhttp_server_listen(server, "127.0.0.1", UHTTP_PORT_ANY, NULL);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen: %s: %s\n", uhttp_strerror(result), error);
        return 1;
    }
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    printf("port %d %d pid %ld\n", uhttp_server_port(server),
           uh_sys_local(server->listeners[1].fd).port, (long)getpid());
    fflush(stdout);
    while (!stopped) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c != NULL)
            handle(c);
        if (hung_up) {
            hung_up = 0;
            error[0] = '\0';
            result = uhttp_server_reload_tls(server, &tls);
            printf("reloaded: %s %s\n", uhttp_strerror(result), error);
            fflush(stdout);
        }
    }
    uhttp_server_close(server);
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        printf("peak %ld kB\n", used.ru_maxrss);
    return 0;
}
