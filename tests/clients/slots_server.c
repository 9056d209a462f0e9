/* slots_server.c - a server of few slots for tests/clients/long_slots.sh and the benchmark
 *
 *     slots_server [-f] [-t DIRECTORY] [-n SLOTS]
 *
 *     -f  in fixed memory
 *     -t  over TLS (-DUHTTP_TLS), with server.pem and server.key from there
 *     -n  so many slots (5)
 *
 * Answers "GET /N" with N bytes (others with the path), a body with its length. The last line,
 * after SIGTERM, tells what was counted.
 */
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void serve(uhttp_conn *c)
{
    static char bytes[4000000];
    char text[32];
    size_t length;
    long size = strtol(uhttp_path(c) + 1, NULL, 10);
    if (strcmp(uhttp_method(c), "POST") == 0) {
        (void)uhttp_body(c, &length);
        snprintf(text, sizeof text, "%lu\n", (unsigned long)length);
        (void)uhttp_respond_text(c, 200, text);
    } else if (size > 0 && size <= (long)sizeof bytes) {
        (void)uhttp_respond_static(c, 200, "application/octet-stream", bytes, (size_t)size);
    } else {
        (void)uhttp_respond_text(c, 200, uhttp_path(c));
    }
}

int main(int argc, char **argv)
{
    static unsigned char memory[UHTTP_MEMORY_SIZE(64, 4096)];
    char certificate[300], key[300];
    struct sigaction action;
    uhttp_server *server;
    uhttp_config config = { 0 };
    uhttp_tls_config tls = { 0 };
    config.max_connections = 5;
    config.port = UHTTP_PORT_ANY;
    config.address = "127.0.0.1";
    for (int option; (option = getopt(argc, argv, "ft:n:")) >= 0; ) {
        if (option == 'f') {
            config.memory = memory;
        } else if (option == 'n') {
            config.max_connections = (uint32_t)strtoul(optarg, NULL, 10);
        } else if (option == 't') {
            snprintf(certificate, sizeof certificate, "%s/server.pem", optarg);
            snprintf(key, sizeof key, "%s/server.key", optarg);
            tls.certificate.chain_file = certificate;
            tls.certificate.key_file = key;
            config.tls = &tls;
        } else {
            return 2;
        }
    }
    if (config.memory != NULL)
        config.memory_size = UHTTP_MEMORY_SIZE(5, 4096);
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
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    printf("accepted %lu requests %lu evicted %lu failures %lu\n", (unsigned long)stats.accepted,
           (unsigned long)stats.requests, (unsigned long)stats.evicted,
           (unsigned long)stats.accept_failures);
    uhttp_server_close(server);
    return 0;
}
