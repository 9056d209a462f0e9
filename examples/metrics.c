/* metrics.c - metrics for Prometheus, served by the program that counts them
 *
 *     build: cc -o metrics examples/metrics.c
 *     try:   ./metrics 8080, then curl http://localhost:8080/metrics
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double temperature_celsius = 21.5;       /* what the program knows */

/* The text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
static uhttp_result respond_metrics(uhttp_conn *c)
{
    uhttp_stats stats;
    uhttp_server_stats(uhttp_server_of(c), &stats);
    return uhttp_respond_printf(c, 200, "text/plain; version=0.0.4",
        "# HELP device_temperature_celsius Temperature inside the case.\n"
        "# TYPE device_temperature_celsius gauge\n"
        "device_temperature_celsius %.1f\n"
        "# HELP uhttp_connections Connections that are open now.\n"
        "# TYPE uhttp_connections gauge\n"
        "uhttp_connections %" PRIu32 "\n"
        "# HELP uhttp_requests_total Requests that were understood.\n"
        "# TYPE uhttp_requests_total counter\n"
        "uhttp_requests_total %" PRIu64 "\n"
        "# HELP uhttp_refused_total Requests that the server refused.\n"
        "# TYPE uhttp_refused_total counter\n"
        "uhttp_refused_total %" PRIu64 "\n"
        "# HELP uhttp_sent_bytes_total Bytes handed to the network.\n"
        "# TYPE uhttp_sent_bytes_total counter\n"
        "uhttp_sent_bytes_total %" PRIu64 "\n",
        temperature_celsius, stats.connections, stats.requests, stats.refused, stats.bytes_out);
}

/* Reads a port, 0 for any that is free; -1: not one. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0';
    return is_number && port <= 65535 ? (int)port : -1;
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
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    printf("listening on http://localhost:%d/metrics\n", uhttp_server_port(server));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c == NULL)
            continue;
        if (strcmp(uhttp_path(c), "/metrics") != 0)
            uhttp_respond_error(c, 404);
        else if (!uhttp_is_get(c))
            uhttp_respond_not_allowed(c, "GET, HEAD");
        else
            respond_metrics(c);
    }
}
