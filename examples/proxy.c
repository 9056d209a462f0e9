/* proxy.c - behind nginx, HAProxy or another reverse proxy: the client's address and URL
 *
 *     build: cc -o proxy examples/proxy.c
 *     try:   ./proxy 8080, then curl -H 'X-Forwarded-For: 192.0.2.1' http://localhost:8080/
 *
 * All connections come from the proxy, which sends the client's address and URL in the fields
 * X-Forwarded-For, -Proto and -Host. Anybody can send such fields, so they are used only if they
 * come from trusted addresses. The proxy must set all three and remove the field Forwarded,
 * which this server does not read: proxy.nginx.conf and proxy.haproxy.cfg do that.
 *
 * It answers with what it knows, and prints a line for each request in the Common Log Format.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uhttp_server *server;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

static void log_access(void *user, const uhttp_access *entry)
{
    char line[512];
    (void)user;
    if (uhttp_access_format(entry, line, sizeof line) > 0)
        puts(line);
}

/* What was refused, and why: "413 body exceeds max_content_length, from 192.0.2.1". */
static void log_refusal(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

static void respond_who(uhttp_conn *c)
{
    char client[46], way[256], url[1024], text[1600];
    const char *forwarded = uhttp_header(c, "Forwarded");
    size_t length = 0;
    uhttp_body(c, &length);
    if (uhttp_remote_address(c, client, sizeof client) < 0 ||
        uhttp_remote_addresses(c, way, sizeof way) < 0 ||
        uhttp_full_url(c, url, sizeof url) < 0) {
        uhttp_respond_error(c, 400);        /* longer than anything we want to see */
        return;
    }
    snprintf(text, sizeof text, "client %s\nway %s\nurl %s\nbody %zu\nforwarded %s\n", client,
             way, url, length, forwarded != NULL ? forwarded : "nothing");
    uhttp_respond_text(c, 200, text);
}

static void respond_stats(uhttp_conn *c)
{
    char text[96];
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    snprintf(text, sizeof text, "%llu requests on %llu connections, %llu refused\n",
             (unsigned long long)stats.requests, (unsigned long long)stats.accepted,
             (unsigned long long)stats.refused);
    uhttp_respond_text(c, 200, text);
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
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    if (argc > 3 || port < 0) {
        fprintf(stderr, "usage: %s [port [trusted]]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    config.address = "127.0.0.1";               /* the proxy is on this machine */
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.max_connections = 256;
    config.trusted_proxies = argc > 2 ? argv[2] : "127.0.0.1, ::1";
    config.keep_alive_timeout_ms = 75000;       /* longer than the proxy's: it ends them */
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    config.max_content_length = 4 * 1024 * 1024;
    config.access_log = log_access;
    config.log = log_refusal;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);      /* each line at once */
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));

    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c == NULL)
            continue;
        if (strcmp(uhttp_path(c), "/stats") == 0)
            respond_stats(c);
        else
            respond_who(c);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
