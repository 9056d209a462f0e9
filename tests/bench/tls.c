/* What HTTPS costs the server, against a bare loop of mbedtls_ssl_read() and _write() with the
 * very same configuration. Built and run by tls.sh.
 *
 *     tls CHAIN KEY CA [ROUNDS]
 *
 * A child serves on core 0, bare or uHTTP; the parent asks from core 1 with mbedTLS, one connection
 * after the other, and adds up the child's processor time. What a child costs that serves nothing is subtracted. Prints
 * medians of interleaved rounds, and the bytes of heap that a connection holds.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define UHTTP_TLS 1
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: 192.168.178.20\r\n\r\n";
static const char answer[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 5\r\n"
    "\r\n"
    "hello";

static uhttp_tls_config tls;

static pid_t serving;           /* the child, while there is one */

static void die(const char *what)
{
    fprintf(stderr, "tls: %s\n", what);
    if (serving > 0)
        kill(serving, SIGKILL);
    exit(1);
}

/*--- the two servers ----------------------------------------------------------------------*/

/* The least: accept, shake hands, read until the head ends, write. One peer is enough here; the
 * listener is watched beside it as in any real loop. */
static void serve_bare(int listener)
{
    uhttp_config config;
    void *loaded = NULL;
    memset(&config, 0, sizeof config);
    config.max_connections = 50;
    if (uh_tls_load(&config, &tls, &loaded) != UHTTP_OK)
        die("bare: no certificate");
    const uh_tls *with = (const uh_tls *)loaded;
    for (;;) {
        static unsigned char buffer[16384];
        mbedtls_ssl_context ssl;
        uh_tls_peer peer;
        fd_set set;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            die("bare: accept");
        fcntl(fd, F_SETFL, O_NONBLOCK);
        memset(&peer, 0, sizeof peer);
        peer.fd = fd;
        mbedtls_ssl_init(&ssl);
        if (mbedtls_ssl_setup(&ssl, with->conf) != 0)
            die("bare: no memory");
        mbedtls_ssl_set_bio(&ssl, &peer, uh_tls_bio_send, uh_tls_bio_recv, NULL);
        bool agreed = false;
        for (;;) {
            int n = 0;
            if (!agreed) {
                n = mbedtls_ssl_handshake(&ssl);
                agreed = n == 0;
            }
            if (agreed && (n = mbedtls_ssl_read(&ssl, buffer, sizeof buffer)) > 0 &&
                memmem(buffer, (size_t)n, "\r\n\r\n", 4) != NULL)
                n = mbedtls_ssl_write(&ssl, (const unsigned char *)answer, sizeof answer - 1);
            if (n <= 0 && n != MBEDTLS_ERR_SSL_WANT_READ)
                break;
            FD_ZERO(&set);
            FD_SET(fd, &set);
            FD_SET(listener, &set);
            select((fd > listener ? fd : listener) + 1, &set, NULL, NULL, NULL);
        }
        mbedtls_ssl_close_notify(&ssl);
        mbedtls_ssl_free(&ssl);
        close(fd);
    }
}

static size_t in_use(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

/* Serves; "/memory" is answered with what the heap holds. */
static void serve_uhttp(int listener)
{
    intptr_t fd = listener;
    uhttp_server *server;
    uhttp_config config;
    memset(&config, 0, sizeof config);
    config.listen_fd = &fd;
    config.max_connections = 50;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    config.tls = &tls;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        die("uhttp: cannot listen");
    for (;;) {
        char text[32];
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c == NULL)
            continue;
        snprintf(text, sizeof text, "%zu", in_use());
        uhttp_respond_text(c, 200, uhttp_path(c)[1] == 'm' ? text : "hello");
    }
}

/*--- the client ---------------------------------------------------------------------------*/

static int port;
static mbedtls_ssl_config client_conf;
static mbedtls_x509_crt client_ca;
static uh_tls_random client_random;

typedef struct caller {
    mbedtls_ssl_context ssl;
    uh_tls_peer peer;           /* for the functions that send and receive */
} caller;

static void caller_open(caller *l, const mbedtls_ssl_session *session)
{
    struct sockaddr_in at;
    memset(l, 0, sizeof *l);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l->peer.fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(l->peer.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(l->peer.fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("connect");
    mbedtls_ssl_init(&l->ssl);
    if (mbedtls_ssl_setup(&l->ssl, &client_conf) != 0 ||
        mbedtls_ssl_set_hostname(&l->ssl, "localhost") != 0 ||
        (session != NULL && mbedtls_ssl_set_session(&l->ssl, session) != 0))
        die("client setup");
    mbedtls_ssl_set_bio(&l->ssl, &l->peer, uh_tls_bio_send, uh_tls_bio_recv, NULL);
    if (mbedtls_ssl_handshake(&l->ssl) != 0)
        die("client handshake");
}

#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
#define TICKET_CAME MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
#else
#define TICKET_CAME 1           /* never: no read of an answer is so short */
#endif

/* One request; the answer's body. In 1.3 a ticket may come before it. */
static const char *caller_ask(caller *l, const char *text)
{
    static char buffer[16384];
    int n;
    if (mbedtls_ssl_write(&l->ssl, (const unsigned char *)text, strlen(text)) <= 0)
        die("write");
    do
        n = mbedtls_ssl_read(&l->ssl, (unsigned char *)buffer, sizeof buffer - 1);
    while (n == TICKET_CAME || n == MBEDTLS_ERR_SSL_WANT_READ);
    if (n <= 0) {
        fprintf(stderr, "mbedtls_ssl_read: -0x%04x\n", (unsigned)-n);
        die("read");
    }
    buffer[n] = '\0';
    return strstr(buffer, "\r\n\r\n") + 4;
}

static void caller_close(caller *l)
{
    mbedtls_ssl_close_notify(&l->ssl);
    mbedtls_ssl_free(&l->ssl);
    close(l->peer.fd);
}

/*--- what is measured ---------------------------------------------------------------------*/

enum { BARE, OURS, SERVERS };
enum { NOTHING, REQUESTS, FULL, RESUMED, WORKS };
static const char *const work_names[WORKS] = { "", "keep-alive request", "full handshake",
                                               "resumed handshake" };
static const int work_counts[WORKS] = { 0, 8000, 150, 600 };

static void work(int which)
{
    mbedtls_ssl_session session;
    caller l;
    mbedtls_ssl_session_init(&session);
    if (which == REQUESTS || which == RESUMED) {
        caller_open(&l, NULL);
        for (int i = 0; i < (which == REQUESTS ? work_counts[which] : 1); i++)
            caller_ask(&l, request);
        if (which == RESUMED && mbedtls_ssl_get_session(&l.ssl, &session) != 0)
            die("session");
        caller_close(&l);
    }
    for (int i = 0; (which == FULL || which == RESUMED) && i < work_counts[which]; i++) {
        caller_open(&l, which == RESUMED ? &session : NULL);
        caller_close(&l);
    }
    mbedtls_ssl_session_free(&session);
}

static int listen_anywhere(void)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &length) != 0)
        die("listen");
    port = ntohs(at.sin_port);
    return fd;
}

/* Where there is only one core, or none to choose, it is as it is. */
static void stay_on_core(int core)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    (void)sched_setaffinity(0, sizeof cores, &cores);
}

static pid_t start(int server)
{
    int listener = listen_anywhere();
    pid_t child = fork();
    if (child == 0) {
        stay_on_core(0);
        if (server == BARE)
            serve_bare(listener);
        serve_uhttp(listener);
    }
    close(listener);
    serving = child;
    return child;
}

/* The child's processor time, in microseconds. */
static double stop(pid_t child)
{
    struct rusage used;
    kill(child, SIGKILL);
    serving = 0;
    if (wait4(child, NULL, 0, &used) != child)
        die("wait");
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static int by_size(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

/* One child, asked once so that it has started, then given its work. */
static double cost(int server, int which)
{
    caller l;
    pid_t child = start(server);
    caller_open(&l, NULL);
    caller_ask(&l, request);
    caller_close(&l);
    work(which);
    return stop(child);
}

/* TLS 1.2, or what is newest here. */
static void choose_version(bool newer)
{
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_max_tls_version(&client_conf, newer ? MBEDTLS_SSL_VERSION_TLS1_3
                                                         : MBEDTLS_SSL_VERSION_TLS1_2);
#else
    (void)newer;
#endif
}

/* What eight connections hold, each with one request answered. */
static void print_memory(const char *of)
{
    caller many[9];
    pid_t child = start(OURS);
    caller_open(&many[8], NULL);
    size_t before = strtoul(caller_ask(&many[8], "GET /memory HTTP/1.1\r\nHost: t\r\n\r\n"), NULL, 10);
    for (int i = 0; i < 8; i++) {
        caller_open(&many[i], NULL);
        caller_ask(&many[i], request);
    }
    size_t after = strtoul(caller_ask(&many[8], "GET /memory HTTP/1.1\r\nHost: t\r\n\r\n"), NULL, 10);
    for (int i = 0; i < 9; i++)
        caller_close(&many[i]);
    stop(child);
    printf("heap of an idle connection, %s: %zu bytes; records: %u in, %u out\n", of,
           (after - before) / 8, (unsigned)MBEDTLS_SSL_IN_CONTENT_LEN,
           (unsigned)MBEDTLS_SSL_OUT_CONTENT_LEN);
}

/* 1.2 or, where mbedTLS has it, 1.3; false: a limit is missed. */
static bool run(bool newer, int rounds)
{
    static double times[SERVERS][WORKS][64];
    double result[SERVERS][WORKS];
    bool good = true;
    choose_version(newer);
    for (int round = 0; round < rounds; round++) {
        for (int which = 0; which < WORKS; which++) {
            for (int server = 0; server < SERVERS; server++)
                times[server][which][round] = cost(server, which);
        }
    }
    printf("TLS %s, server CPU in us      bare     uHTTP   ratio\n", newer ? "1.3" : "1.2");
    for (int which = 0; which < WORKS; which++) {
        for (int server = 0; server < SERVERS; server++)
            result[server][which] = median(times[server][which], rounds);
    }
    for (int which = REQUESTS; which < WORKS; which++) {
        const double limit[WORKS] = { 0, 1.15, 1.05, 1e9 };
        for (int server = 0; server < SERVERS; server++)
            result[server][which] = (result[server][which] - result[server][NOTHING]) /
                                    work_counts[which];
        double ratio = result[OURS][which] / result[BARE][which];
        printf("  %-22s %10.2f %10.2f %7.3f%s\n", work_names[which], result[BARE][which],
               result[OURS][which], ratio, ratio <= limit[which] ? "" : "  MISSED");
        good = good && ratio <= limit[which];
    }
    double part = result[OURS][RESUMED] / result[OURS][FULL];
    bool missed = !newer && part > 0.2;
    printf("  resumed of full: %.3f%s\n", part, missed ? "  MISSED" : "");
    return good && !missed;
}

int main(int argc, char **argv)
{
    int rounds = argc > 4 ? atoi(argv[4]) : 5;
    stay_on_core(1);
    if (argc < 4 || rounds < 1 || rounds > 64)
        die("usage: tls CHAIN KEY CA [ROUNDS]");
    signal(SIGPIPE, SIG_IGN);
    tls.certificate.chain_file = argv[1];
    tls.certificate.key_file = argv[2];
    mbedtls_ssl_config_init(&client_conf);
    mbedtls_x509_crt_init(&client_ca);
    uh_tls_random_init(&client_random);
    if (uh_tls_start_psa() != 0 || uh_tls_random_open(&client_random, &tls) != 0 ||
        mbedtls_ssl_config_defaults(&client_conf, MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        mbedtls_x509_crt_parse_file(&client_ca, argv[3]) != 0)
        die("client configuration");
    uh_tls_conf_random(&client_conf, &client_random);
    mbedtls_ssl_conf_ca_chain(&client_conf, &client_ca, NULL);
    mbedtls_ssl_conf_authmode(&client_conf, MBEDTLS_SSL_VERIFY_NONE);
#ifdef MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &client_conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    printf("mbedTLS %s, medians of %d rounds\n", MBEDTLS_VERSION_STRING, rounds);
    choose_version(false);
    print_memory("any client");
    mbedtls_ssl_conf_max_frag_len(&client_conf, MBEDTLS_SSL_MAX_FRAG_LEN_1024);
    print_memory("one that asks for fragments of 1024 bytes");
    mbedtls_ssl_conf_max_frag_len(&client_conf, MBEDTLS_SSL_MAX_FRAG_LEN_NONE);
    fflush(stdout);
    bool good = run(false, rounds);
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    good = run(true, rounds) && good;
#endif
    return good ? 0 : 1;
}
