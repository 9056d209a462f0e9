/* hostile_server.c - the server that long_hostile.sh asks and attacks
 *
 *     hostile_server FILE [DIRECTORY]     with server.pem and server.key from there: over TLS
 *
 * All defaults but that a connection may have a million requests, in event mode. "/big" is 4 MB,
 * "/file" is FILE, "/ws" echoes, "/form" takes a form of either kind apart, "/stats" counts; a POST
 * elsewhere is answered with its length.
 */
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stopped;
static const char *served_file;
static uhttp_server *server;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* A form that is read while it comes. */
typedef struct parts {
    uhttp_formdata form;
    char headers[2048];
    unsigned count;
} parts;

static void parts_take(uhttp_conn *c, parts *p, const void *data, size_t length, bool whole)
{
    uhttp_formdata_event event;
    uhttp_formdata_feed(&p->form, data, length);
    while ((event = uhttp_formdata_next(&p->form)) != UHTTP_FORMDATA_MORE) {
        if (event == UHTTP_FORMDATA_END || event == UHTTP_FORMDATA_ERROR)
            break;
        p->count += event == UHTTP_FORMDATA_PART;
    }
    if (event != UHTTP_FORMDATA_ERROR && !whole)
        return;
    (void)uhttp_respond_printf(c, event == UHTTP_FORMDATA_ERROR ? 400 : 200, "text/plain",
                               "%u parts\n", p->count);
    uhttp_set_context(c, NULL);
    free(p);
}

static void parts_begin(uhttp_conn *c)
{
    size_t length;
    parts *p = (parts *)calloc(1, sizeof *p);
    if (p == NULL || uhttp_formdata_begin(&p->form, uhttp_content_type(c), p->headers,
                                          sizeof p->headers) != UHTTP_OK) {
        free(p);
        (void)uhttp_respond_error(c, 400);
    } else if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
        const void *body = uhttp_body(c, &length);
        parts_take(c, p, body, length, true);
    } else if (uhttp_accept_body_streaming(c, 0) == UHTTP_OK) {
        uhttp_set_context(c, p);
    } else {
        free(p);
    }
}

static void parts_go_on(uhttp_conn *c, parts *p)
{
    size_t length;
    const void *data = uhttp_read_buffer(c, &length);
    parts_take(c, p, data, length, uhttp_event(c) == UHTTP_EVENT_COMPLETE);
}

static void answer_stats(uhttp_conn *c)
{
    uhttp_stats s;
    uhttp_server_stats(server, &s);
    (void)uhttp_respond_printf(c, 200, "text/plain", "%u %lu %lu %lu\n", s.connections,
                               (unsigned long)s.accepted, (unsigned long)s.requests,
                               (unsigned long)s.evicted);
}

static void answer(uhttp_conn *c)
{
    static char bytes[4000000];
    const char *path = uhttp_path(c);
    size_t length;
    if (strcmp(path, "/big") == 0) {
        (void)uhttp_respond_static(c, 200, "application/octet-stream", bytes, sizeof bytes);
    } else if (strcmp(path, "/file") == 0) {
        (void)uhttp_respond_file(c, served_file, NULL);
    } else if (strcmp(path, "/stats") == 0) {
        answer_stats(c);
    } else if (strcmp(path, "/form") == 0) {
        (void)uhttp_respond_printf(c, 200, "text/plain", "%lu fields\n",
                                   (unsigned long)uhttp_form_count(c));
    } else if (strcmp(uhttp_method(c), "POST") == 0) {
        (void)uhttp_body(c, &length);
        (void)uhttp_respond_printf(c, 200, "text/plain", "%lu\n", (unsigned long)length);
    } else {
        (void)uhttp_respond_printf(c, 200, "text/plain", "%lu cookies\n",
                                   (unsigned long)uhttp_cookie_count(c));
    }
}

static bool is_parts(uhttp_conn *c)
{
    const char *type = uhttp_content_type(c);
    return type != NULL && strncmp(type, "multipart/", 10) == 0;
}

static void serve(uhttp_conn *c)
{
    size_t length;
    const char *text;
    parts *p = (parts *)uhttp_context(c);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_HEADERS:
        if (is_parts(c))
            parts_begin(c);
        else
            (void)uhttp_accept_body(c, 0);
        break;
    case UHTTP_EVENT_REQUEST:
        if (is_parts(c))
            parts_begin(c);
        else
            answer(c);
        break;
    case UHTTP_EVENT_DATA:
    case UHTTP_EVENT_COMPLETE:
        if (p != NULL)
            parts_go_on(c, p);
        else
            answer(c);
        break;
    case UHTTP_EVENT_ERROR:
    case UHTTP_EVENT_CLOSED:
        free(p);
        break;
    case UHTTP_EVENT_WS_REQUEST:
        (void)uhttp_ws_accept(c, NULL);
        break;
    case UHTTP_EVENT_WS_MESSAGE:
        text = uhttp_ws_message(c, &length);
        (void)uhttp_ws_send(c, UHTTP_WS_BINARY, text, length);
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    char certificate[300], key[300];
    struct sigaction action;
    uhttp_config config = { 0 };
    uhttp_tls_config tls = { 0 };
    if (argc < 2)
        return 2;
    served_file = argv[1];
    config.port = UHTTP_PORT_ANY;
    config.address = "127.0.0.1";
    config.event_mode = true;
    config.keep_alive_max_requests = 1000000;
    if (argc > 2) {
        snprintf(certificate, sizeof certificate, "%s/server.pem", argv[2]);
        snprintf(key, sizeof key, "%s/server.key", argv[2]);
        tls.certificate.chain_file = certificate;
        tls.certificate.key_file = key;
        config.tls = &tls;
    }
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen: %s\n", uhttp_strerror(result));
        return 1;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    printf("listening on %s://localhost:%d/\n", config.tls != NULL ? "https" : "http",
           uhttp_server_port(server));
    fflush(stdout);
    while (!stopped) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c != NULL)
            serve(c);
    }
    uhttp_server_close(server);
    return 0;
}
