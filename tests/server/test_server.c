/* test_server.c - opening, listening, waiting, foreign loops, shutdown: over real sockets */
#include "loopback.h"

#include <pthread.h>
#include <sys/time.h>

/*--- opening --------------------------------------------------------------------------*/

static void a_server_without_configuration_has_all_defaults(void **state)
{
    (void)state;
    uhttp_result result = uhttp_server_open(&loop.server, NULL);
    if (result != UHTTP_OK) {       /* the system's answer about port 80, and nothing else */
        assert_true(result == UHTTP_ERR_DENIED || result == UHTTP_ERR_IN_USE);
        assert_null(loop.server);
        return;
    }
    assert_int_equal(uhttp_server_port(loop.server), 80);
    assert_false(uhttp_server_is_secure(loop.server));
    assert_false(uhttp_server_event_mode(loop.server));
    client_check(client_connect(), "/default");
}

static void values_out_of_range_are_invalid_and_open_nothing(void **state)
{
    static const intptr_t no_descriptor = -1;
    static const intptr_t closed_descriptor = 4000;
    static const struct {
        const char *what;
        uhttp_config config;
    } cases[] = {
        { "port beyond 65535", { .port = 70000 } },
        { "port one beyond", { .port = 65536 } },
        { "port below ANY", { .port = -2 } },
        { "a name, not an address", { .address = "localhost", .port = -1 } },
        { "no address", { .address = "", .port = -1 } },
        { "a number beyond a byte", { .address = "127.0.0.300", .port = -1 } },
        { "an address with a port", { .address = "127.0.0.1:80", .port = -1 } },
        { "blanks around", { .address = " 127.0.0.1", .port = -1 } },
        { "half an IPv6 address", { .address = "fe80", .port = -1 } },
        { "a negative backlog", { .backlog = -1, .port = -1 } },
        { "more slots than an id can name", { .max_connections = 1u << 24, .port = -1 } },
        { "a negative descriptor", { .listen_fd = &no_descriptor } },
        { "a closed descriptor", { .listen_fd = &closed_descriptor } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uhttp_server *server = (uhttp_server *)&loop;       /* rubbish */
        uhttp_result result = uhttp_server_open(&server, &cases[i].config);
        if (result != UHTTP_ERR_INVALID || server != NULL)
            fail_msg("%s: %s", cases[i].what, uhttp_strerror(result));
        assert_int_equal(loop_open_descriptors(), loop.descriptors);
        assert_int_equal(loop_blocks, 0);
    }
}

/* Nobody should have to guess what UHTTP_ERR_INVALID means. */
static void what_is_wrong_with_a_configuration_is_logged_with_its_field(void **state)
{
    static char large[1000];
    static char memory[2000];
    int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    int file = open("/dev/null", O_RDWR);
    const intptr_t deaf = socket_fd;
    const intptr_t no_stream = datagrams;
    const intptr_t no_socket = file;
    const struct {
        uhttp_config config;
        const char *line;
        uhttp_result result;
    } cases[] = {
        { { .port = 70000 }, "port: not a number from -1 to 65535", UHTTP_ERR_INVALID },
        { { .address = "localhost", .port = -1 },
          "address: not an IP address or unix:/path: localhost",
          UHTTP_ERR_INVALID },
        { { .address = "\x1b[2J", .port = -1 },
          "address: not an IP address or unix:/path: ?[2J",
          UHTTP_ERR_INVALID },
        { { .backlog = -1 }, "backlog: a negative number", UHTTP_ERR_INVALID },
        { { .max_connections = 1u << 24 }, "max_connections: more than an id can name",
          UHTTP_ERR_INVALID },
        { { .default_headers = "Server: a\nX: b\r\n" },
          "default_headers: not \"Name: value\" CR LF: Server: a?X: b??",
          UHTTP_ERR_INVALID },
        { { .default_headers = "A: b\r\nServer: a" },
          "default_headers: not \"Name: value\" CR LF: Server: a",
          UHTTP_ERR_INVALID },
        { { .default_headers = "A: b\r\ncontent-length: 5\r\n" },
          "default_headers: a field of the server's: content-length",
          UHTTP_ERR_INVALID },
        { { .default_headers = "ETag: a\r\nA: b\r\nETag: c\r\n" },
          "default_headers: a field occurs twice: ETag",
          UHTTP_ERR_INVALID },
        { { .trusted_proxies = "127.0.0.1, proxy.example, ::1" },
          "trusted_proxies: not an address, a network or unix: proxy.example",
          UHTTP_ERR_INVALID },
        { { .listen_fd = &deaf }, "listen_fd: not a socket that listens", UHTTP_ERR_INVALID },
        { { .listen_fd = &no_stream }, "listen_fd: not a socket that listens",
          UHTTP_ERR_INVALID },
        { { .listen_fd = &no_socket }, "listen_fd: not a socket that listens",
          UHTTP_ERR_INVALID },
        { { .memory = memory, .memory_size = sizeof memory, .trusted_proxies = "unix",
            .default_headers = "A: b\r\n" }, "memory_size: too small, see "
          "UHTTP_MEMORY_SIZE", UHTTP_ERR_MEMORY },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uhttp_config config = cases[i].config;
        config.log = loop_on_log;
        config.user = &loop;
        assert_int_equal(uhttp_server_open(&loop.server, &config), cases[i].result);
        assert_null(loop.server);
        assert_int_equal(loop.line_count, i + 1);
        assert_string_equal(loop.lines[i], cases[i].line);
    }
    memset(large, 'x', sizeof large - 1);
    uhttp_config config = loop_config();
    config.address = large;
    assert_int_equal(uhttp_server_open(&loop.server, &config), UHTTP_ERR_INVALID);
    assert_true(strlen(loop.lines[loop.line_count - 1]) < 150);
    assert_int_equal(close(socket_fd), 0);      /* still the program's */
    assert_int_equal(close(datagrams), 0);
    assert_int_equal(close(file), 0);
    loop_open_default();
    assert_int_equal(uhttp_server_listen(loop.server, "nowhere", UHTTP_PORT_ANY, NULL),
                     UHTTP_ERR_INVALID);
    assert_int_equal(loop_logged("address: not an IP address or unix:/path: nowhere"), 1);
    unsigned before = loop_logged("port: not a number from -1 to 65535");
    assert_int_equal(uhttp_server_listen(loop.server, NULL, 65536, NULL), UHTTP_ERR_INVALID);
    assert_int_equal(loop_logged("port: not a number from -1 to 65535"), before + 1);
}

static void default_headers_must_be_complete_lines_that_frame_nothing(void **state)
{
    static const char *const malformed[] = {
        "X: y",             /* no line end */
        "X: y\n",
        "X: y\r",
        "X y\r\n",
        " X: y\r\n",
        "X : y\r\n",
        ": y\r\n",
        "X: y\r\n\r\n",
        "X: a\r\n folded\r\n",
        "X: a\rb\r\n",
        "X: a\001b\r\n",
        "X: a\r\nY\r\n",
        "Content-Length: 1\r\n",
        "X: y\r\ncontent-length: 1\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Content-Range: bytes 0-0/1\r\n",
        "Content-Encoding: gzip\r\n",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Server: a\r\nX: y\r\nserver: b\r\n",       /* may stand once */
    };
    (void)state;
    uhttp_config config = loop_config();
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        config.default_headers = malformed[i];
        uhttp_result result = uhttp_server_open(&loop.server, &config);
        if (result != UHTTP_ERR_INVALID)
            fail_msg("%s: %s", malformed[i], uhttp_strerror(result));
    }
}

static void default_headers_are_in_every_answer_also_in_refusals(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.default_headers = "X-Frame-Options: DENY\r\nAccess-Control-Allow-Origin: *\r\n";
    loop_open(&config);
    client *c = client_connect();
    client_check(c, "/a");
    assert_string_equal(client_field(c, "X-Frame-Options"), "DENY");
    assert_string_equal(client_field(c, "Access-Control-Allow-Origin"), "*");
    assert_int_equal(client_ask(c, "bad\r\n\r\n"), 400);
    assert_string_equal(client_field(c, "X-Frame-Options"), "DENY");
    assert_string_equal(client_field(c, "Access-Control-Allow-Origin"), "*");
}

static void a_taken_port_is_in_use(void **state)
{
    (void)state;
    loop_open_default();
    uhttp_config config = loop_config();
    config.port = uhttp_server_port(loop.server);
    uhttp_server *second;
    assert_int_equal(uhttp_server_open(&second, &config), UHTTP_ERR_IN_USE);
    assert_null(second);
    assert_int_equal(uhttp_server_listen(loop.server, "127.0.0.1", config.port, NULL),
                     UHTTP_ERR_IN_USE);
    client_check(client_connect(), "/still-here");
}

static void a_closed_server_leaves_its_port_free_at_once(void **state)
{
    (void)state;
    loop_open_default();
    uhttp_config config = loop_config();
    config.port = uhttp_server_port(loop.server);
    client_check(client_connect(), "/first");
    loop_close();                   /* with the client connected: its end is in TIME_WAIT */
    loop_open(&config);
    client_check(client_connect(), "/second");
}

static void a_privileged_port_is_denied_to_the_unprivileged(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.port = 1;
    bool is_root = geteuid() == 0;
    if (is_root && seteuid(65534) != 0)
        skip();
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    if (result == UHTTP_OK)         /* this system has no privileged ports */
        skip();
    assert_int_equal(result, UHTTP_ERR_DENIED);
    assert_null(loop.server);
}

static void each_ephemeral_port_is_another(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    loop_open(&config);
    assert_ok(uhttp_server_open(&loop.other, &config));
    int first = uhttp_server_port(loop.server);
    int second = uhttp_server_port(loop.other);
    assert_true(first > 0 && first <= 65535 && second > 0 && second <= 65535);
    assert_int_not_equal(first, second);
    client_check(client_connect_port(first), "/first");
    client_check(client_connect_port(second), "/second");
}

static void fixed_memory_serves_at_any_alignment_and_refuses_to_be_too_small(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(2, 512) + 16];
    (void)state;
    uhttp_config config = loop_config();
    config.max_connections = 2;
    for (size_t skew = 0; skew < 16; skew++) {
        config.memory = memory + skew;
        config.memory_size = UHTTP_MEMORY_SIZE(2, 512);
        loop_open(&config);
        client *c = client_connect();
        client_check(c, "/fixed");
        client_close(c);
        loop_close();
    }
    static const size_t too_small[] = { 0, 1, 15, 100, 1000, UHTTP_MEMORY_BASE,
                                        2 * 2 * 512, UHTTP_MEMORY_SIZE(1, 512) };
    config.memory = memory;
    for (size_t i = 0; i < sizeof too_small / sizeof too_small[0]; i++) {
        config.memory_size = too_small[i];
        assert_int_equal(uhttp_server_open(&loop.server, &config), UHTTP_ERR_MEMORY);
        assert_null(loop.server);
    }
    config.memory_size = sizeof memory;         /* and no sum may wrap */
    for (uint32_t slots = 3; slots < 1u << 24; slots = slots * 2 + 1) {
        config.max_connections = slots;
        assert_int_equal(uhttp_server_open(&loop.server, &config), UHTTP_ERR_MEMORY);
    }
    assert_int_equal(loop_allocations, 0);
}

static void closing_no_server_is_allowed(void **state)
{
    (void)state;
    uhttp_server_close(NULL);
}

/* A listening socket as a supervisor would hand it over: blocking. */
static int listening_socket(void)
{
    struct sockaddr_in at;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* A port that was free just now. */
static int free_port(void)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    int fd = listening_socket();
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &length), 0);
    close(fd);
    return ntohs(at.sin_port);
}

/*--- a transport of the program -------------------------------------------------------*/

typedef struct pipe_transport {
    int fd;
    bool opened;
} pipe_transport;

static pipe_transport transports[16];
static int transport_handshake_result;
static bool transport_has_memory;
static unsigned transport_goodbyes;

static void *transport_open(void *user, intptr_t fd)
{
    assert_ptr_equal(user, transports);
    for (int i = 0; i < 16 && transport_has_memory; i++) {
        if (transports[i].opened)
            continue;
        transports[i].fd = (int)fd;
        transports[i].opened = true;
        return &transports[i];
    }
    return NULL;
}

static int transport_handshake(void *t)
{
    assert_true(((pipe_transport *)t)->opened);
    return transport_handshake_result;
}

static int transport_count(ssize_t n, int word)
{
    return n >= 0 ? (int)n : errno == EAGAIN || errno == EWOULDBLOCK ? word : UHTTP_FAILED;
}

static int transport_recv(void *t, void *to, size_t room)
{
    return transport_count(recv(((pipe_transport *)t)->fd, to, room, 0), UHTTP_WANT_READ);
}

static int transport_send(void *t, const uhttp_str *parts, int count)
{
    assert_true(count > 0);
    return transport_count(send(((pipe_transport *)t)->fd, parts[0].ptr, parts[0].len,
                                LOOP_SEND_FLAGS), UHTTP_WANT_WRITE);
}

static size_t transport_pending(void *t)
{
    (void)t;
    return 0;
}

static void transport_close(void *t, bool only_write_side)
{
    pipe_transport *p = (pipe_transport *)t;
    assert_true(p->opened);
    if (only_write_side)
        transport_goodbyes += shutdown(p->fd, SHUT_WR) == 0;
    else
        p->opened = false;
}

static const uhttp_transport transport = {
    transport_open, transport_handshake, transport_recv,
    transport_send, transport_pending, transport_close
};

static void transport_start(uhttp_config *config, uhttp_tls_config *tls)
{
    memset(transports, 0, sizeof transports);
    transport_handshake_result = 0;
    transport_has_memory = true;
    transport_goodbyes = 0;
    memset(tls, 0, sizeof *tls);
    tls->transport = &transport;
    tls->transport_user = transports;
    config->tls = tls;
}

static void transport_check_all_closed(void)
{
    for (int i = 0; i < 16; i++)
        assert_false(transports[i].opened);
}

static void tls_without_a_transport_is_unsupported(void **state)
{
    static const uhttp_tls_config none;
    (void)state;
    uhttp_config config = loop_config();
    config.tls = &none;
    assert_int_equal(uhttp_server_open(&loop.server, &config), UHTTP_ERR_UNSUPPORTED);
    assert_null(loop.server);
    config.tls = NULL;
    loop_open(&config);
    assert_int_equal(uhttp_server_listen(loop.server, NULL, UHTTP_PORT_ANY, &none),
                     UHTTP_ERR_UNSUPPORTED);
    int adopted = listening_socket();
    intptr_t listener = adopted;
    uhttp_config adopting = config;
    adopting.listen_fd = &listener;
    adopting.tls = &none;
    assert_int_equal(uhttp_server_open(&loop.other, &adopting), UHTTP_ERR_UNSUPPORTED);
    assert_int_equal(close(adopted), 0);        /* it is still the program's */
    assert_int_equal(uhttp_server_listen(loop.server, NULL, 70000, NULL), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_server_listen(loop.server, NULL, -2, NULL), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_server_listen(loop.server, "nowhere", UHTTP_PORT_ANY, NULL),
                     UHTTP_ERR_INVALID);
    client_check(client_connect(), "/well");
    assert_int_equal(uhttp_server_reload_tls(loop.server, &none), UHTTP_ERR_UNSUPPORTED);
    client_send(client_connect(), GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    char subject[64];
    assert_int_equal(uhttp_client_subject(loop.held[0], subject, sizeof subject),
                     UHTTP_ERR_UNSUPPORTED);
}

static void answer_with_full_url(uhttp_conn *c)
{
    char url[256];
    assert_true(uhttp_full_url(c, url, sizeof url) > 0);
    assert_ok(uhttp_respond_text(c, uhttp_is_secure(c) == LOOP_SECURE ? 200 : 201, url));
}

static void a_transport_of_the_program_makes_its_listener_secure(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    loop_open(&config);
    memset(&tls, 0xee, sizeof tls);         /* it lives only during the call */
    loop.handler = answer_with_full_url;
    assert_true(uhttp_server_is_secure(loop.server));
    client *c = client_connect();
    assert_int_equal(client_get(c, "/a?b"), 201);
    assert_string_equal(c->body, "https://test/a?b");
    assert_int_equal(client_get(c, "/c"), 201);
    assert_string_equal(c->body, "https://test/c");
    client_close(c);
    LOOP_UNTIL(loop_stats().connections == 0);
    transport_check_all_closed();
}

static void plain_and_secure_listeners_live_in_one_server(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    config.tls = NULL;
    loop_open(&config);
    loop.handler = answer_with_full_url;
    int secure_port = free_port();
    assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", secure_port, &tls));
    assert_false(uhttp_server_is_secure(loop.server));          /* the first listener is not */
    client *plain = client_connect();
    client *secure = client_connect_port(secure_port);
    assert_int_equal(client_get(secure, "/s"), 201);
    assert_int_equal(client_get(plain, "/p"), 200);
    assert_string_equal(plain->body, "http://test/p");
    assert_string_equal(secure->body, "https://test/s");
}

static void a_handshake_that_does_not_come_to_an_end_is_closed(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    tls.handshake_timeout_ms = 100;
    loop_open(&config);
    transport_handshake_result = UHTTP_WANT_READ;
    client *silent = client_connect();
    client *other = client_connect();
    LOOP_UNTIL(loop_stats().connections == 2);
    transport_handshake_result = 0;
    client_check(other, "/not-disturbed");
    client_expect_end(silent);
    client_check(other, "/nor-now");
}

static void each_secure_listener_has_a_handshake_timeout_of_its_own(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    tls.handshake_timeout_ms = UHTTP_NEVER;
    loop_open(&config);
    tls.handshake_timeout_ms = 100;
    int port = free_port();
    assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", port, &tls));
    transport_handshake_result = UHTTP_WANT_READ;
    client *patient = client_connect();
    client_send(patient, "\r\n");        /* a handshake begins with its first byte */
    client *other = client_connect_port(port);
    client_send(other, "\r\n");
    client_await_end(other);
    loop_pump_for(50);
    client_expect_nothing(patient);
    transport_handshake_result = 0;
    client_check(patient, "/in-the-end");
}

static void a_handshake_in_progress_lets_the_server_sleep(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    loop_open(&config);
    transport_handshake_result = UHTTP_WANT_READ;
    client *c = client_connect();
    LOOP_UNTIL(loop_stats().connections == 1);
    loop_expect_sleep(100);
    transport_handshake_result = UHTTP_WANT_WRITE;
    client_send(c, "G");                /* the peer's turn, then ours, then it is done */
    loop_pump(5);
    transport_handshake_result = 0;
    assert_int_equal(client_ask(c, "ET /a HTTP/1.1\r\nHost: t\r\n\r\n"), 200);
    loop_expect_sleep(100);
}

/* A client whose handshake begins, as it says something, and fails at once. */
static void client_fails_to_shake(void)
{
    uint32_t start = loop_millis();
    client *c = client_connect();
    client_send(c, "hello");
    client_await_end(c);
    assert_true(loop_millis() - start < 4000);      /* it was not handshake_timeout_ms */
}

static void a_failed_handshake_ends_this_connection_only(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    loop_open(&config);
    client *good = client_connect();
    client_check(good, "/before");
    transport_handshake_result = UHTTP_FAILED;
    client_fails_to_shake();
    transport_handshake_result = 0;
    transport_has_memory = false;
    client_fails_to_shake();
    transport_has_memory = true;
    client_check(good, "/after");
    client_check(client_connect(), "/new");
}

static void who_speaks_plain_http_to_a_transport_gets_a_400(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    loop_open(&config);
    transport_handshake_result = UHTTP_PLAIN;
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 400);
    client_expect_end(c);
    assert_int_equal(loop.requests, 0);
    assert_int_equal(loop_logged("400 plain HTTP to a secure listener"), 1);
    transport_handshake_result = 0;
    client_check(client_connect(), "/after");
}

/* Idle for too long, gone in order, closed with the server: each hears it once. Not who fails in
 * the handshake, nor whose response is cut short. */
static void a_transport_says_goodbye_once_and_only_in_order(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls;
    transport_start(&config, &tls);
    config.keep_alive_timeout_ms = 100;
    loop_open(&config);
    client *idle = client_connect();
    client_check(idle, "/");
    client_expect_end(idle);
    assert_int_equal(transport_goodbyes, 1);
    client *leaving = client_connect();
    client_check(leaving, "/");
    client_shut(leaving);
    client_expect_end(leaving);
    assert_int_equal(transport_goodbyes, 2);
    client *last = client_connect();
    assert_int_equal(client_ask(last, "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"),
                     200);
    client_expect_end(last);
    assert_int_equal(transport_goodbyes, 3);
    client *cut = client_connect();
    client_send(cut, GET("/stream"));
    client_await_head(cut);
    assert_ok(uhttp_close(loop.held[0]));
    client_await_end(cut);
    transport_handshake_result = UHTTP_FAILED;
    client_fails_to_shake();
    assert_int_equal(transport_goodbyes, 3);
    transport_handshake_result = 0;
    client_check(client_connect(), "/");
    loop_close();
    assert_int_equal(transport_goodbyes, 4);
}

/*--- limits of the configuration, each at work ----------------------------------------*/

static void keep_alive_ends_after_as_many_requests_as_configured(void **state)
{
    static const struct { size_t configured; int served; } cases[] = {
        { 1, 1 }, { 2, 2 }, { 0, 100 }, { 150, 150 },
    };
    (void)state;
    uhttp_config config = loop_config();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        config.keep_alive_max_requests = cases[i].configured;
        loop_open(&config);
        client *c = client_connect();
        for (int n = 1; n <= cases[i].served; n++) {
            client_check(c, "/n");
            assert_int_equal(client_says_close(c), n == cases[i].served);
        }
        client_expect_end(c);
        client_close(c);
        loop_close();
    }
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop_open(&config);
    client *c = client_connect();
    for (int n = 0; n < 300; n++) {
        client_check(c, "/n");
        assert_false(client_says_close(c));
    }
}

/* Sends a GET whose head has exactly this length. */
static void send_head_of(client *c, size_t length)
{
    char head[10000];
    const char *p = loop_put(head, "GET /head HTTP/1.1\r\nHost: t\r\nX: ");
    memset(head + (p - head), 'x', length - (size_t)(p - head) - 4);
    memcpy(head + length - 4, "\r\n\r\n", 4);
    client_send_bytes(c, head, length);
}

static void heads_up_to_their_limit_are_served_and_longer_ones_refused(void **state)
{
    static const struct { size_t configured, limit; } cases[] = {
        { 300, 300 }, { 1024, 1024 }, { 2048, 2048 }, { 0, 4096 }, { 8000, 8000 },
    };
    (void)state;
    uhttp_config config = loop_config();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        config.max_headers_length = cases[i].configured;
        loop_open(&config);
        client *c = client_connect();
        send_head_of(c, cases[i].limit);
        assert_int_equal(client_answer(c), 200);
        send_head_of(c, cases[i].limit + 1);
        assert_int_equal(client_answer(c), 431);
        assert_true(client_says_close(c));
        client_expect_end(c);
        client *d = client_connect();
        char line[9000];
        memset(line, 'x', sizeof line);
        memcpy(line, "GET /", 5);
        client_send_bytes(d, line, cases[i].limit + 100);
        assert_int_equal(client_answer(d), 414);
        client_expect_end(d);
        client_close(c);
        client_close(d);
        loop_close();
    }
}

/*--- listeners ------------------------------------------------------------------------*/

static char seen_address[64];
static int seen_port;

static void note_peer(uhttp_conn *c)
{
    int length = uhttp_socket_address(c, seen_address, sizeof seen_address, &seen_port);
    assert_int_equal(length, strlen(seen_address));
    answer_with_full_url(c);
}

static const char *own_url(bool is_v6)
{
    return loop_text(LOOP_SCHEME "://%s:%d/", is_v6 ? "[::1]" : "127.0.0.1",
                     uhttp_server_port(loop.server));
}

/* Takes the server's port for the other family, so that nobody else listens there; false: it
 * is taken, by somebody else or by the server. */
static bool reserve_port(int family, int port)
{
    struct sockaddr_in6 at;
    struct sockaddr_in v4;
    client *c = client_socket(family);
    memset(&at, 0, sizeof at);
    memset(&v4, 0, sizeof v4);
    at.sin6_family = AF_INET6;
    at.sin6_addr = in6addr_loopback;
    at.sin6_port = htons((uint16_t)port);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v4.sin_port = htons((uint16_t)port);
    return family == AF_INET ? bind(c->fd, (struct sockaddr *)(void *)&v4, sizeof v4) == 0
                             : bind(c->fd, (struct sockaddr *)(void *)&at, sizeof at) == 0;
}

static void the_default_address_is_every_ipv4_address(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.address = NULL;
    loop_open(&config);
    loop.handler = note_peer;
    client *c = client_connect();
    assert_int_equal(client_ask(c, "GET / HTTP/1.0\r\n\r\n"), 200);
    assert_string_equal(seen_address, "127.0.0.1");
    assert_int_equal(seen_port, client_port(c));
    assert_string_equal(c->body, own_url(false));
    if (reserve_port(AF_INET6, uhttp_server_port(loop.server))) {
        client *v6 = client_socket(AF_INET6);
        if (client_connect_v6(v6, uhttp_server_port(loop.server)) == 0)
            LOOP_UNTIL(client_receive(v6) != 0);
        assert_int_equal(loop_stats().accepted, 1);
    }
}

/* Opens on an IPv6 address; false: this system has no IPv6. */
static bool open_v6(const char *address)
{
    uhttp_config config = loop_config();
    config.address = address;
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    loop.handler = note_peer;
    return result == UHTTP_OK;
}

static int v6_only(void)
{
    int value = -1;
    socklen_t length = sizeof value;
    getsockopt((int)uhttp_server_fd(loop.server), IPPROTO_IPV6, IPV6_V6ONLY, &value, &length);
    return value;
}

static void a_specific_ipv6_address_is_ipv6_only(void **state)
{
    (void)state;
    if (!open_v6("::1"))
        skip();
    for (int i = 0; i < 10 && !reserve_port(AF_INET, uhttp_server_port(loop.server)); i++) {
        loop_close();
        assert_true(open_v6("::1"));
    }
    assert_int_equal(v6_only(), 1);
    client *c = client_socket(AF_INET6);
    assert_int_equal(client_connect_v6(c, uhttp_server_port(loop.server)), 0);
    assert_int_equal(client_ask(c, "GET / HTTP/1.0\r\n\r\n"), 200);
    assert_string_equal(seen_address, "::1");
    assert_int_equal(seen_port, client_port(c));
    assert_string_equal(c->body, own_url(true));
    client *v4 = client_connect();
    LOOP_UNTIL(client_receive(v4) != 0);
    assert_int_equal(v4->error, ECONNREFUSED);
    assert_int_equal(loop_stats().accepted, 1);
}

static void two_colons_are_dual_stack_and_show_ipv4_peers_as_such(void **state)
{
    (void)state;
    if (!open_v6("::"))
        skip();
    assert_int_equal(v6_only(), 0);
    client *c = client_socket(AF_INET6);
    assert_int_equal(client_connect_v6(c, uhttp_server_port(loop.server)), 0);
    assert_int_equal(client_ask(c, "GET / HTTP/1.0\r\n\r\n"), 200);
    assert_string_equal(seen_address, "::1");
    assert_string_equal(c->body, own_url(true));
    client *v4 = client_connect();
    assert_int_equal(client_ask(v4, "GET / HTTP/1.0\r\n\r\n"), 200);
    assert_string_equal(seen_address, "127.0.0.1");
    assert_int_equal(seen_port, client_port(v4));
    assert_string_equal(v4->body, own_url(false));
    assert_string_equal(loop.access[0].address, "::1");
    assert_string_equal(loop.access[1].address, "127.0.0.1");
}

static void one_server_has_as_many_listeners_as_allowed_and_no_more(void **state)
{
    (void)state;
    loop_open_default();
    int ports[UHTTP_MAX_LISTENERS];
    ports[0] = uhttp_server_port(loop.server);
    for (int i = 1; i < UHTTP_MAX_LISTENERS; i++) {
        ports[i] = free_port();
        assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", ports[i], NULL));
    }
    int open = loop_open_descriptors();
    assert_int_equal(uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, NULL),
                     UHTTP_ERR_MEMORY);
    assert_int_equal(loop_open_descriptors(), open);
    assert_int_equal(uhttp_server_port(loop.server), ports[0]);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < UHTTP_MAX_LISTENERS; i++)
            client_check(client_connect_port(ports[i]), "/here");
    }
}

static void ipv6_stands_beside_ipv4_on_the_same_port(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.address = "0.0.0.0";
    loop_open(&config);
    int port = uhttp_server_port(loop.server);
    if (uhttp_server_listen(loop.server, "::1", port, NULL) != UHTTP_OK)
        skip();
    loop.handler = note_peer;
    client *c = client_socket(AF_INET6);
    assert_int_equal(client_connect_v6(c, port), 0);
    assert_int_equal(client_get(c, "/"), 200);
    assert_string_equal(seen_address, "::1");
    assert_int_equal(client_get(client_connect(), "/"), 200);
    assert_string_equal(seen_address, "127.0.0.1");
}

static void several_servers_share_a_port_when_both_wish_so(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.reuse_port = true;
    config.max_connections = 64;
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    if (result == UHTTP_ERR_UNSUPPORTED)
        skip();
    assert_int_equal(result, UHTTP_OK);
    config.port = uhttp_server_port(loop.server);
    assert_ok(uhttp_server_open(&loop.other, &config));
    for (int i = 0; i < 40; i++)
        client_check(client_connect(), "/either");
    uhttp_stats second;
    uhttp_server_stats(loop.other, &second);
    assert_int_equal(loop_stats().accepted + second.accepted, 40);
    assert_true(second.accepted <= 40);
    uhttp_server *third;
    config.reuse_port = false;
    assert_int_equal(uhttp_server_open(&third, &config), UHTTP_ERR_IN_USE);
}

/*--- adopted sockets ------------------------------------------------------------------*/

static void open_on(intptr_t fd)
{
    uhttp_config config = loop_config();
    config.address = "ignored";
    config.port = 1;
    config.listen_fd = &fd;
    loop_open(&config);
    assert_int_equal(uhttp_server_fd(loop.server), fd);
}

static void an_adopted_socket_is_served_and_closed_with_the_server(void **state)
{
    (void)state;
    int fd = listening_socket();
    open_on(fd);
    client_check(client_connect(), "/adopted");
    loop_close();
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static int seen_no_delay;

static void note_no_delay(uhttp_conn *c)
{
    socklen_t length = sizeof seen_no_delay;
    getsockopt((int)uhttp_fd(c), IPPROTO_TCP, TCP_NODELAY, &seen_no_delay, &length);
    loop_app(c);
}

static void answers_in_several_pieces_do_not_wait_for_acknowledgements(void **state)
{
    (void)state;
    loop_open_default();
    loop.handler = note_no_delay;
    client_check(client_connect(), "/own");
    assert_true(seen_no_delay != 0);
    loop_close();
    seen_no_delay = 0;
    open_on(listening_socket());
    client_check(client_connect(), "/adopted");
    assert_true(seen_no_delay != 0);
}

static void a_unix_socket_is_served_and_its_peers_have_no_address(void **state)
{
    (void)state;
    struct sockaddr_un at;
    memset(&at, 0, sizeof at);
    at.sun_family = AF_UNIX;
    loop_put(at.sun_path, loop_text("/tmp/uhttp-test-%ld.sock", (long)getpid()));
    unlink(at.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    open_on(fd);
    assert_int_equal(uhttp_server_port(loop.server), 0);
    loop.handler = note_peer;
    client *c = client_socket(AF_UNIX);
    assert_int_equal(client_connect_to(c, &at, sizeof at), 0);
    unlink(at.sun_path);
    strcpy(seen_address, "rubbish");
    seen_port = 77;
    assert_int_equal(client_get(c, "/unix"), 200);
    assert_string_equal(c->body, LOOP_SCHEME "://test/unix");
    assert_string_equal(seen_address, "");
    assert_int_equal(seen_port, 0);
    assert_string_equal(loop.access[0].address, "");
    assert_int_equal(client_ask(c, "bad\r\n\r\n"), 400);
    assert_int_equal(loop_logged(", from"), 0);
}

static void descriptor_zero_is_a_listener_like_any_other(void **state)
{
    (void)state;
    int kept = dup(0);
    assert_true(kept >= 0);
    int fd = listening_socket();
    assert_int_equal(dup2(fd, 0), 0);
    close(fd);
    open_on(0);
    client *c = client_connect();
    client_check(c, "/zero");
    client_check(c, "/again");
    loop_close();
    int closed = fcntl(0, F_GETFD);
    dup2(kept, 0);
    close(kept);
    assert_int_equal(closed, -1);
}

static int seen_fd;

static void note_fd(uhttp_conn *c)
{
    seen_fd = (int)uhttp_fd(c);
    loop_app(c);
}

static void descriptor_zero_is_a_connection_like_any_other(void **state)
{
    (void)state;
    int kept = dup(0);
    assert_true(kept >= 0);
    loop_open_default();
    loop.handler = note_fd;
    client *c = client_connect();
    close(0);                       /* the next descriptor is this one */
    client_check(c, "/zero");
    int fd = seen_fd;
    client_check(c, "/again");
    client_close(c);
    LOOP_UNTIL(loop_stats().connections == 0);
    dup2(kept, 0);
    close(kept);
    assert_int_equal(fd, 0);
}

static void descriptor_zero_wakes_like_any_other(void **state)
{
    (void)state;
    int kept = dup(0);
    assert_true(kept >= 0);
    close(0);
    uhttp_config config = loop_config();
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    int port = result == UHTTP_OK ? uhttp_server_port(loop.server) : 0;
    uhttp_result woken = result == UHTTP_OK ? uhttp_server_wakeup(loop.server) : result;
    uhttp_conn *c = woken == UHTTP_OK ? uhttp_wait(loop.server, -1) : NULL;
    loop_close();
    dup2(kept, 0);
    close(kept);
    assert_int_equal(result, UHTTP_OK);
    assert_int_equal(woken, UHTTP_OK);
    assert_true(port > 0);
    assert_null(c);
}

/*--- waiting --------------------------------------------------------------------------*/

static void waiting_ends_after_its_time_and_not_before(void **state)
{
    (void)state;
    loop_open_default();
    uint32_t start = loop_millis();
    assert_null(uhttp_wait(loop.server, 0));
    assert_null(uhttp_wait(loop.server, 0));
    assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
    static const int times[] = { 1, 30, 120 };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        start = loop_millis();
        assert_null(uhttp_wait(loop.server, times[i]));
        assert_true(loop_millis() - start + 1 >= (uint32_t)times[i]);
    }
}

static void waiting_no_time_still_asks_the_network(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/a"));
    uhttp_conn *conn = NULL;
    uint32_t start = loop_millis();
    while (conn == NULL && loop_millis() - start < LOOP_PATIENCE_MS)
        conn = uhttp_wait(loop.server, 0);
    assert_non_null(conn);
    assert_string_equal(uhttp_path(conn), "/a");
}

static void waiting_for_ever_returns_the_request_that_comes(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/a"));
    uhttp_conn *conn = uhttp_wait(loop.server, -1);
    assert_non_null(conn);
    assert_string_equal(uhttp_path(conn), "/a");
    assert_ok(uhttp_respond_text(conn, 200, "b"));
    assert_int_equal(client_answer(c), 200);
}

/* What fails would fail again at once. */
static void a_wait_that_the_system_fails_neither_ends_early_nor_spins(void **state)
{
    static const int errors[] = { EBADF, ENOMEM };
    (void)state;
    loop_open_default();
    client *c = client_connect();
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        client_check(c, "/before");
        loop_wait_error = errors[i];
        size_t before = loop_selects;
        uint32_t start = loop_millis();
        assert_null(uhttp_wait(loop.server, 250));
        assert_true(loop_millis() - start >= 240);
        assert_in_range(loop_selects - before, 3, 4);
        loop_wait_error = 0;
        client_check(c, "/after");
    }
    loop_wait_error = EINTR;
    assert_null(uhttp_wait(loop.server, -1));
    loop_wait_error = 0;
}

static void deadlines_of_the_server_do_not_end_the_wait(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.request_timeout_ms = 60;
    loop_open(&config);
    client *silent = client_connect();
    client *half = client_connect();
    client_send(half, "GET / HT");
    uint32_t start = loop_millis();
    assert_null(uhttp_wait(loop.server, 400));
    assert_true(loop_millis() - start + 1 >= 400);
    client_receive(half);
    assert_true(client_take(half));         /* it happened meanwhile */
    assert_int_equal(half->status, 408);
    client_expect_unheard(silent);
}

/*--- waking up ------------------------------------------------------------------------*/

static void a_wake_up_before_the_wait_is_not_lost(void **state)
{
    (void)state;
    loop_open_default();
    assert_ok(uhttp_server_wakeup(loop.server));
    assert_null(uhttp_wait(loop.server, -1));
    uint32_t start = loop_millis();
    assert_null(uhttp_wait(loop.server, 60));       /* once is once */
    assert_true(loop_millis() - start + 1 >= 60);
}

static void a_wake_up_is_not_swallowed_by_requests(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/a") GET("/b"));
    assert_ok(uhttp_server_wakeup(loop.server));
    unsigned requests = 0;
    for (int nulls = 0; nulls == 0; ) {
        uhttp_conn *conn = uhttp_wait(loop.server, -1);
        if (conn == NULL)
            nulls++;
        else if (++requests > 0)
            assert_ok(uhttp_respond_text(conn, 200, uhttp_path(conn)));
    }
    assert_true(requests <= 2);
    assert_int_equal(client_answer(c), 200);
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "/b");
}

/* Lets all pending wake-ups pass; how many times the wait returned for them. */
static int count_wake_ups(void)
{
    int count = 0;
    for (;;) {
        uint32_t start = loop_millis();
        assert_null(uhttp_wait(loop.server, 50));
        if (loop_millis() - start + 1 >= 50)
            return count;
        count++;
        assert_true(count < 100000);
    }
}

static void more_wake_ups_than_fit_are_still_one_and_do_not_block(void **state)
{
    (void)state;
    loop_open_default();
    for (int i = 0; i < 70000; i++) {
        errno = 4242;
        assert_ok(uhttp_server_wakeup(loop.server));
        assert_int_equal(errno, 4242);
    }
    int count = count_wake_ups();
    assert_true(count >= 1 && count <= 70000);
    assert_ok(uhttp_server_wakeup(loop.server));
    assert_null(uhttp_wait(loop.server, -1));
    assert_int_equal(count_wake_ups(), 0);
}

static void *wake_a_little_later(void *server)
{
    loop_sleep(100);
    uhttp_server_wakeup((uhttp_server *)server);
    return NULL;
}

static void another_thread_wakes_a_wait_without_end(void **state)
{
    (void)state;
    loop_open_default();
    for (int round = 0; round < 3; round++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_a_little_later, loop.server), 0);
        assert_null(uhttp_wait(loop.server, -1));
        pthread_join(thread, NULL);
        count_wake_ups();
    }
}

static struct {
    pthread_mutex_t lock;
    unsigned queued;
    uhttp_server *server;
} mailbox = { PTHREAD_MUTEX_INITIALIZER, 0, NULL };

static void *post_to_the_mailbox(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&mailbox.lock);
        mailbox.queued++;
        pthread_mutex_unlock(&mailbox.lock);
        uhttp_server_wakeup(mailbox.server);
        if (i % 100 == 0)
            loop_sleep(1);
    }
    return NULL;
}

static unsigned empty_the_mailbox(void)
{
    pthread_mutex_lock(&mailbox.lock);
    unsigned taken = mailbox.queued;
    mailbox.queued = 0;
    pthread_mutex_unlock(&mailbox.lock);
    return taken;
}

static void no_wake_up_of_many_threads_is_lost_beside_traffic(void **state)
{
    (void)state;
    pthread_t threads[4];
    unsigned taken = 0;
    unsigned answered = 0;
    uhttp_config config = loop_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop_open(&config);
    mailbox.server = loop.server;
    mailbox.queued = 0;
    client *c = client_connect();
    client_send(c, GET("/a"));
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_to_the_mailbox, NULL), 0);
    while (taken < 4000) {
        uint32_t start = loop_millis();
        uhttp_conn *conn = uhttp_wait(loop.server, (int)LOOP_PATIENCE_MS);
        if (conn != NULL) {
            assert_ok(uhttp_respond_text(conn, 200, "a"));
        } else {
            taken += empty_the_mailbox();
            if (loop_millis() - start >= LOOP_PATIENCE_MS)
                fail_msg("a wake-up was lost after %u", taken);
        }
        if (client_receive(c) > 0 && client_take(c) && ++answered > 0)
            client_send(c, GET("/a"));
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(taken, 4000);
}

static uhttp_server *signal_server;
static volatile sig_atomic_t signal_count, signal_errno;

static void on_signal_wake(int number)
{
    (void)number;
    int saved = errno;
    errno = 4242;
    uhttp_server_wakeup(signal_server);
    signal_errno = errno;
    signal_count++;
    errno = saved;
}

static void on_signal_nothing(int number)
{
    (void)number;
    signal_count++;
}

static void catch_signal(int number, void (*handler)(int), struct sigaction *old)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    assert_int_equal(sigaction(number, &action, old), 0);
    signal_count = 0;
    signal_errno = 0;
}

static void a_signal_handler_wakes_and_its_errno_is_kept(void **state)
{
    (void)state;
    struct sigaction old;
    loop_open_default();
    signal_server = loop.server;
    catch_signal(SIGUSR1, on_signal_wake, &old);
    raise(SIGUSR1);                 /* before the wait: select() sees no signal */
    assert_null(uhttp_wait(loop.server, -1));
    assert_int_equal(signal_count, 1);
    assert_int_equal(signal_errno, 4242);
    for (int i = 0; i < 1000; i++)
        raise(SIGUSR1);
    assert_true(count_wake_ups() >= 1);
    assert_int_equal(signal_count, 1001);
    for (int i = 0; i < 70000; i++)                 /* also when no more fit */
        uhttp_server_wakeup(loop.server);
    raise(SIGUSR1);
    assert_int_equal(signal_errno, 4242);
    sigaction(SIGUSR1, &old, NULL);
}

static void every_signal_ends_the_wait(void **state)
{
    (void)state;
    struct sigaction old;
    static const struct itimerval often = { { 0, 50000 }, { 0, 50000 } };
    static const struct itimerval never = { { 0, 0 }, { 0, 0 } };
    loop_open_default();
    catch_signal(SIGALRM, on_signal_nothing, &old);
    uint32_t start = loop_millis();
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 3; i++)
        assert_null(uhttp_wait(loop.server, (int)LOOP_PATIENCE_MS));
    assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_true(signal_count >= 3);
    client_check(client_connect(), "/alive");
}

/*--- foreign loops --------------------------------------------------------------------*/

static void send_many(client *c, int count)
{
    for (int i = 0; i < count; i++)
        client_send(c, loop_text(GET("/%d"), i));
}

static void await_many(client *c, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(client_answer(c), 200);
        assert_string_equal(c->body, loop_text("/%d", i));
    }
}

/* A bit of everything, through whatever loop.pump is. */
static void serve_all_kinds_of_traffic(bool event_mode)
{
    uhttp_config config = loop_config();
    config.event_mode = event_mode;
    loop_open(&config);

    client *kept = client_connect();
    for (int i = 0; i < 5; i++)
        client_check(kept, "/kept");
    client_send(kept, "GET /a HTTP/1.1\r\nHost: t\r\n");       /* in two pieces */
    loop_pump(5);
    assert_int_equal(client_ask(kept, "\r\n"), 200);

    client *reader = client_connect_narrow(4096);
    client_send(reader, GET("/big"));
    client_await_head(reader);
    uint64_t offset = 0;
    client_drain_pattern(reader, &offset, 100000);

    client *pipeline = client_connect();
    send_many(pipeline, 16);
    await_many(pipeline, 16);

    client *post = client_connect();
    assert_int_equal(client_ask(post, "POST /echo" HOST "Expect: 100-continue\r\n"
                                      "Content-Length: 5\r\n\r\n"), 100);
    assert_int_equal(client_ask(post, "hello"), 200);
    assert_string_equal(post->body, "hello");
    client_send(post, CHUNKED("/echo") "3\r\nabc");
    loop_pump(5);
    assert_int_equal(client_ask(post, "\r\n2\r\nde\r\n0\r\n\r\n"), 200);
    assert_string_equal(post->body, "abcde");

    client *held = client_connect();
    client_send(held, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    client_check(kept, "/meanwhile");
    assert_ok(uhttp_respond_text(loop.held[0], 200, "later"));
    assert_int_equal(client_answer(held), 200);
    assert_string_equal(held->body, "later");

    client *half_closed = client_connect();
    client_send(half_closed, GET("/fin"));
    client_shut(half_closed);
    assert_int_equal(client_answer(half_closed), 200);
    client_expect_end(half_closed);

    client_drain_pattern(reader, &offset, 3000000);
    client_reset(reader);
    client_check(kept, "/last");
    assert_ok(uhttp_server_wakeup(loop.server));
    for (unsigned i = 0; i < loop.client_count; i++)
        client_close(loop.clients[i]);
    LOOP_UNTIL(loop_stats().connections == 0);
}

static void all_kinds_of_traffic_come_out_of_wait(void **state)
{
    (void)state;
    serve_all_kinds_of_traffic(false);
}

static void all_kinds_of_traffic_come_out_of_wait_in_event_mode(void **state)
{
    (void)state;
    serve_all_kinds_of_traffic(true);
}

static void a_loop_around_poll_serves_all_kinds_of_traffic(void **state)
{
    (void)state;
    loop.pump = loop_pump_poll;
    serve_all_kinds_of_traffic(false);
}

static void a_loop_around_poll_serves_all_kinds_of_traffic_in_event_mode(void **state)
{
    (void)state;
    loop.pump = loop_pump_poll;
    serve_all_kinds_of_traffic(true);
}

static void a_loop_around_select_serves_all_kinds_of_traffic(void **state)
{
    (void)state;
    loop.pump = loop_pump_select;
    serve_all_kinds_of_traffic(false);
}

static void a_foreign_loop_that_does_as_told_keeps_deadlines_and_does_not_spin(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.request_timeout_ms = 150;
    loop_open(&config);
    assert_int_equal(uhttp_server_timeout(loop.server), -1);
    client *silent = client_connect();
    client *half = client_connect();
    client_send(half, "GET / HT");
    LOOP_UNTIL(loop_stats().connections == 2);
    loop_pump_for(20);                  /* over TLS 1.3 the handshake ends with these bytes */
    int most = uhttp_server_timeout(loop.server);
    assert_true(most >= 0 && most <= 150);
    loop.pump = loop_pump_poll;
    loop.wakes = 0;
    for (uint32_t start = loop_millis(); loop_stats().refused == 0; ) {
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
        loop_pump(-1);                  /* sleeps as long as the server says */
    }
    assert_true(loop.wakes < 20);
    assert_int_equal(client_answer(half), 408);
    client_expect_end(half);
    client_expect_unheard(silent);
    client_close(half);
    loop.wakes = 0;
    LOOP_UNTIL(uhttp_server_timeout(loop.server) == -1);
}

static void a_wake_up_ends_the_sleep_of_a_foreign_loop_once(void **state)
{
    (void)state;
    loop_open_default();
    loop.pump = loop_pump_poll;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_a_little_later, loop.server), 0);
    loop_pump(-1);
    pthread_join(thread, NULL);
    assert_int_equal(loop.wakes, 1);
    assert_int_equal(uhttp_server_timeout(loop.server), -1);
    uint32_t start = loop_millis();
    loop_pump(60);
    assert_true(loop_millis() - start + 1 >= 60);
}

static void the_watch_list_says_how_long_it_would_be(void **state)
{
    (void)state;
    uhttp_watch list[8];
    loop_open_default();
    client *a = client_connect();
    client_check(a, "/a");
    size_t count = uhttp_server_watch(loop.server, NULL, 0);
    assert_int_equal(count, 3);             /* the listener, the wake-up, the client */
    memset(list, 0x55, sizeof list);
    assert_int_equal(uhttp_server_watch(loop.server, list, 1), 3);
    assert_int_equal(list[0].wish, UHTTP_READABLE);
    assert_int_equal(list[0].ready, 0);
    assert_int_equal(list[1].wish, 0x5555);
    assert_int_equal(uhttp_server_watch(loop.server, list, 8), 3);
    bool has_listener = false;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(list[i].wish, UHTTP_READABLE);
        assert_int_equal(list[i].ready, 0);
        has_listener = has_listener || list[i].fd == uhttp_server_fd(loop.server);
    }
    assert_true(has_listener);
    assert_int_equal(list[3].wish, 0x5555);
}

static void stale_and_spurious_entries_do_no_harm(void **state)
{
    (void)state;
    uhttp_watch list[16];
    loop_open_default();
    client *a = client_connect();
    client *b = client_connect();
    client_check(a, "/a");
    client_check(b, "/b");
    client_send(b, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    size_t count = uhttp_server_watch(loop.server, list, 16);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++)
        list[i].ready = UHTTP_READABLE | UHTTP_WRITABLE;        /* none of it is true */
    assert_null(uhttp_process_events(loop.server, list, count));
    assert_null(uhttp_process_events(loop.server, NULL, 0));
    client_close(a);
    LOOP_UNTIL(loop_stats().connections == 1);
    list[count] = list[0];
    list[count].token = UINT32_MAX;                             /* never handed out */
    list[count + 1] = list[0];
    list[count + 1].token = 22;
    list[count + 1].fd = -5;
    assert_null(uhttp_process_events(loop.server, list, count + 2));
    assert_null(uhttp_process_events(loop.server, NULL, 0));
    client *d = client_connect();                               /* in the slot of a */
    client_check(d, "/d");
    assert_null(uhttp_process_events(loop.server, list, count + 2));
    client_check(d, "/d");
    assert_ok(uhttp_respond_text(loop.held[0], 200, "held"));
    assert_int_equal(client_answer(b), 200);
}

static void errors_of_a_socket_are_told_with_both_bits(void **state)
{
    (void)state;
    loop_open_default();
    loop.pump = loop_pump_poll;
    client *a = client_connect();
    client_send(a, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    client_reset(a);
    LOOP_UNTIL(loop_stats().forgotten == 1);
    assert_int_equal(uhttp_respond_text(loop.held[0], 200, "x"), UHTTP_ERR_CLOSED);
    LOOP_UNTIL(loop_stats().connections == 0);
}

static void fd_sets_are_filled_beside_what_is_in_them(void **state)
{
    (void)state;
    loop_open_default();
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fd_set read_set, write_set;
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_SET(ends[0], &read_set);
    FD_SET(ends[1], &write_set);
    int max_fd = 1000;
    assert_ok(uhttp_server_fd_sets(loop.server, &read_set, &write_set, &max_fd));
    assert_true(FD_ISSET(ends[0], &read_set) && FD_ISSET(ends[1], &write_set));
    assert_true(FD_ISSET((int)uhttp_server_fd(loop.server), &read_set));
    assert_false(FD_ISSET((int)uhttp_server_fd(loop.server), &write_set));
    assert_int_equal(max_fd, 1000);
    max_fd = -1;
    assert_ok(uhttp_server_fd_sets(loop.server, &read_set, &write_set, &max_fd));
    assert_true(max_fd >= (int)uhttp_server_fd(loop.server));
    close(ends[0]);
    close(ends[1]);
}

static void two_servers_live_in_one_select(void **state)
{
    (void)state;
    uhttp_server *servers[2];
    client *clients[2];
    unsigned served[2] = { 0, 0 };
    uhttp_config config = loop_config();
    loop_open(&config);
    assert_ok(uhttp_server_open(&loop.other, &config));
    servers[0] = loop.server;
    servers[1] = loop.other;
    for (int i = 0; i < 2; i++) {
        clients[i] = client_connect_port(uhttp_server_port(servers[i]));
        client_agree(clients[i]);
    }
    for (int i = 0; i < 2; i++)
        client_offer(clients[i], GET("/0"), 28);
    uint32_t start = loop_millis();
    while (served[0] < 10 || served[1] < 10) {
        fd_set read_set, write_set;
        int max_fd = -1;
        int most = 100;
        FD_ZERO(&read_set);
        FD_ZERO(&write_set);
        for (int i = 0; i < 2; i++) {
            assert_ok(uhttp_server_fd_sets(servers[i], &read_set, &write_set, &max_fd));
            most = loop_shorter(servers[i], most);
        }
        struct timeval timeout = { most / 1000, most % 1000 * 1000 };
        if (select(max_fd + 1, &read_set, &write_set, NULL, &timeout) < 0)
            continue;
        for (int i = 0; i < 2; i++) {
            uhttp_conn *c = uhttp_process_fd_sets(servers[i], &read_set, &write_set);
            for (; c != NULL; c = uhttp_process_events(servers[i], NULL, 0)) {
                assert_ptr_equal(uhttp_server_of(c), servers[i]);
                assert_ok(uhttp_respond_text(c, 200, i == 0 ? "first" : "second"));
            }
            if (client_receive(clients[i]) > 0 && client_take(clients[i])) {
                assert_string_equal(clients[i]->body, i == 0 ? "first" : "second");
                client_offer(clients[i], GET("/0"), 28);
                served[i]++;
            }
        }
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
    }
}

/*--- the end --------------------------------------------------------------------------*/

static void shutdown_of_an_idle_server_is_done_at_once(void **state)
{
    (void)state;
    loop_open_default();
    int port = uhttp_server_port(loop.server);
    assert_ok(uhttp_server_shutdown(loop.server));
    assert_ok(uhttp_server_shutdown(loop.server));
    assert_int_equal(uhttp_server_fd(loop.server), -1);
    assert_null(uhttp_wait(loop.server, -1));       /* there is nothing to wait for */
    client *c = client_connect_port(port);
    LOOP_UNTIL(client_receive(c) != 0);
    assert_int_equal(c->error, ECONNREFUSED);
    assert_int_equal(uhttp_server_listen(loop.server, NULL, UHTTP_PORT_ANY, NULL),
                     UHTTP_ERR_STATE);
}

static void shutdown_ends_each_connection_after_the_request_it_is_in(void **state)
{
    (void)state;
    loop_open_default();
    int port = uhttp_server_port(loop.server);
    client *idle = client_connect();
    client *silent = client_connect();
    client *half_head = client_connect();
    client *half_body = client_connect();
    client *held = client_connect();
    client *streaming = client_connect();
    client *pipelined = client_connect();
    client_check(idle, "/idle");
    client_send(half_head, "GET /half HTTP/1.1\r\nHo");
    client_send(half_body, POST("/echo", "4") "ab");
    client_send(held, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    client_send(streaming, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 2);
    client_send(pipelined, GET("/hold") GET("/b"));
    LOOP_UNTIL(loop.held_count == 3);
    LOOP_UNTIL(loop_stats().connections == 7);
    loop_pump(20);

    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    client_expect_end(idle);
    client_expect_end(silent);
    client *late = client_connect_port(port);
    LOOP_UNTIL(client_receive(late) != 0);
    assert_int_equal(late->error, ECONNREFUSED);
    client_expect_nothing(half_head);
    client_expect_nothing(half_body);
    client_expect_nothing(held);
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);

    assert_int_equal(client_ask(half_head, "st: t\r\n\r\n"), 200);
    assert_true(client_says_close(half_head));
    client_expect_end(half_head);
    assert_int_equal(client_ask(half_body, "cd"), 200);
    assert_string_equal(half_body->body, "abcd");
    assert_true(client_says_close(half_body));
    client_expect_end(half_body);

    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    assert_ok(uhttp_respond_text(loop.held[0], 200, "held"));
    assert_int_equal(client_answer(held), 200);
    assert_true(client_says_close(held));
    client_expect_end(held);
    assert_ok(uhttp_stream_write(loop.held[1], "streamed", 8));
    assert_ok(uhttp_stream_end(loop.held[1]));
    assert_int_equal(client_answer(streaming), 200);
    assert_string_equal(streaming->body, "streamed");
    client_expect_end(streaming);
    assert_ok(uhttp_respond_text(loop.held[2], 200, "first"));
    assert_int_equal(client_answer(pipelined), 200);
    assert_true(client_says_close(pipelined));
    client_expect_end(pipelined);               /* the second is the client's to repeat */

    for (unsigned i = 0; i < loop.client_count; i++)
        client_close(loop.clients[i]);
    LOOP_UNTIL(uhttp_server_shutdown(loop.server) == UHTTP_OK);
    assert_null(uhttp_wait(loop.server, -1));
    assert_int_equal(loop_stats().connections, 0);
}

static void shutdown_leaves_who_has_just_connected_time_to_ask(void **state)
{
    (void)state;
    loop_open_default();
    client *quick = client_connect();
    client *silent = client_connect();
    LOOP_UNTIL(loop_stats().connections == 2);
    loop_pump(20);
    uint32_t start = loop_millis();
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    loop_pump_for(100);
    client_check(quick, "/asked-in-time");      /* its request was on the way */
    assert_true(client_says_close(quick));
    client_expect_end(quick);
    client_expect_nothing(silent);
    client_expect_end(silent);
    assert_true(loop_millis() - start >= 1900);
    client_close(quick);
    client_close(silent);
    LOOP_UNTIL(uhttp_server_shutdown(loop.server) == UHTTP_OK);
}

static void shutdown_serves_who_waits_in_the_backlog(void **state)
{
    (void)state;
    enum { WAITING = LOOP_SECURE ? 20 : 100 };  /* whose handshakes take no two seconds */
    client *waiting[WAITING];
    uhttp_config config = loop_config();
    config.max_connections = WAITING + 1;
    loop_open(&config);
    client *idle = client_connect();
    client_check(idle, "/idle");
    for (int i = 0; i < WAITING; i++)       /* the system has taken them, the server not yet */
        waiting[i] = client_connect();
    loop_sleep(20);
    assert_int_equal(loop_stats().connections, 1);
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    for (int i = 0; i < WAITING; i++)
        client_send(waiting[i], GET("/a"));
    for (int i = 0; i < WAITING; i++) {
        assert_int_equal(client_answer(waiting[i]), 200);
        assert_true(client_says_close(waiting[i]));
    }
    client_expect_end(idle);
    for (int i = 0; i < WAITING; i++)
        client_close(waiting[i]);
    client_close(idle);
    LOOP_UNTIL(uhttp_server_shutdown(loop.server) == UHTTP_OK);
}

static void shutdown_through_a_foreign_loop_comes_to_an_end(void **state)
{
    (void)state;
    loop_open_default();
    loop.pump = loop_pump_poll;
    client *idle = client_connect();
    client *held = client_connect();
    client_check(idle, "/idle");
    client_send(held, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    assert_in_range(uhttp_server_timeout(loop.server), 0, 1000);     /* the idle second */
    client_expect_end(idle);
    assert_ok(uhttp_respond_text(loop.held[0], 200, "held"));
    assert_int_equal(client_answer(held), 200);
    client_expect_end(held);
    client_close(held);
    LOOP_UNTIL(uhttp_server_shutdown(loop.server) == UHTTP_OK);
}

static void close_ends_everything_whatever_it_is_in(void **state)
{
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        uhttp_config config = loop_config();
        config.event_mode = mode == 1;
        loop_open(&config);
        loop.held_count = 0;
        static const char *const sent[] = {
            NULL,                                                       /* silent */
            GET("/kept"),
            "GET /half HT",
            POST("/echo", "100000") "ab",
            CHUNKED("/echo") "5\r\nab",
            GET("/hold"),
            GET("/hold") GET("/b"),
            GET("/stream"),
            GET("/big"),
            POST("/", "99999999"),    /* 413, lingers */
            "bad\r\n\r\n",
        };
        client *clients[sizeof sent / sizeof sent[0]];
        size_t count = sizeof sent / sizeof sent[0];
        for (size_t i = 0; i < count; i++) {
            clients[i] = client_connect();
            if (sent[i] != NULL)
                client_send(clients[i], sent[i]);
        }
        LOOP_UNTIL(loop_stats().connections == count && loop.held_count == 3 &&
                   loop_stats().requests == 8 + (mode == 0 ? 0 : 0));
        loop_pump(20);
        client *waiting = client_connect();     /* not even accepted */
        client_send(waiting, GET("/"));
        loop_close();
        for (size_t i = 0; i < count; i++)
            client_await_end(clients[i]);
        client_await_end(waiting);
        for (unsigned i = 0; i < loop.client_count; i++)
            client_close(loop.clients[i]);
        assert_int_equal(loop_open_descriptors(), loop.descriptors);
        assert_int_equal(loop_blocks, 0);
    }
}

static void what_was_answered_before_close_is_still_sent(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/1") GET("/2"));
    for (int i = 0; i < 2; i++) {       /* the first answer may be held back for the second */
        uhttp_conn *conn = uhttp_wait(loop.server, -1);
        assert_non_null(conn);
        if (i == 0)
            assert_ok(uhttp_respond_text(conn, 200, "farewell"));
    }
    loop_close();
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "farewell");
    client_await_end(c);
}

/*--- what it says ---------------------------------------------------------------------*/

static void stats_count_exactly_what_happened(void **state)
{
    (void)state;
    loop_open_default();
    uhttp_stats s = loop_stats();
    static const uhttp_stats zero;
    assert_memory_equal(&s, &zero, sizeof s);
    size_t in = 0;
    size_t out = 0;
    client *a = client_connect();
    client *b = client_connect();
    static const char *const requests[] = {
        GET("/a"),
        "HEAD /b HTTP/1.1\r\nHost: t\r\n\r\n",
        POST("/echo", "3") "abc",
        CHUNKED("/echo") "1\r\na\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        a->to_head = i == 1;
        assert_int_equal(client_ask(a, requests[i]), 200);
        in += strlen(requests[i]);
        out += strlen(a->head) + 2 + a->length;
    }
    s = loop_stats();
    assert_int_equal(s.accepted, 2);
    assert_int_equal(s.connections, 2);
    assert_int_equal(s.requests, 4);
    assert_int_equal(s.refused, 0);
    assert_int_equal(s.bytes_in, in);
    assert_int_equal(s.bytes_out, out);
    assert_int_equal(s.held, 0);
    assert_int_equal(client_ask(b, "bad\r\n\r\n"), 400);
    in += 7;
    out += strlen(b->head) + 2 + b->length;
    client_send(a, GET("/hold"));
    in += 31;
    LOOP_UNTIL(loop.held_count == 1);
    s = loop_stats();
    assert_int_equal(s.requests, 5);
    assert_int_equal(s.refused, 1);
    assert_int_equal(s.bytes_in, in);
    assert_int_equal(s.bytes_out, out);
    assert_int_equal(s.held, 1);
    assert_int_equal(s.forgotten, 0);
    client_reset(a);
    LOOP_UNTIL(loop_stats().forgotten == 1);
    assert_int_equal(loop_stats().held, 1);
    assert_null(uhttp_find(loop.server, loop.ids[0]));          /* now the program knows */
    client_close(b);
    LOOP_UNTIL(loop_stats().connections == 0);
    s = loop_stats();
    assert_int_equal(s.held, 0);
    assert_int_equal(s.forgotten, 0);
    assert_int_equal(s.accepted, 2);
    assert_int_equal(s.evicted, 0);
    assert_int_equal(s.accept_failures, 0);
}

static void the_log_names_the_limit_and_the_peer(void **state)
{
    static const struct { const char *request; int status; const char *line; } cases[] = {
        { "bad\r\n\r\n", 400, "400 " },
        { "GET / HTTP/1.1\r\nHost: t\r\nX: y\n\r\n", 400, "400 LF without CR, from 127.0.0.1" },
        { "GET / HTTP/3.0\r\nHost: t\r\n\r\n", 505, "505 " },
        { POST("/", "11"), 413,
          "413 body exceeds max_content_length, from 127.0.0.1" },
        { CHUNKED("/") "B\r\n01234567890\r\n", 413,
          "413 body exceeds max_content_length, from 127.0.0.1" },
        { CHUNKED("/") "zz", 400,
          "400 malformed chunked body, from 127.0.0.1" },
        { "GET / HTTP/1.1\r\nHost: t\r\n", 408, "408 request_timeout_ms, from 127.0.0.1" },
        { POST("/", "5") "a", 408,
          "408 body_timeout_ms, from 127.0.0.1" },
        { GET("/hold"), 503, "503 response_timeout_ms, from 127.0.0.1" },
    };
    (void)state;
    uhttp_config config = loop_config();
    config.max_content_length = 10;
    config.request_timeout_ms = 300;
    config.body_timeout_ms = 300;
    config.response_timeout_ms = 300;
    loop_open(&config);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        client *c = client_connect();
        loop.line_count = 0;
        assert_int_equal(client_ask(c, cases[i].request), cases[i].status);
        const char *line = cases[i].line;
        if (loop.line_count != 1 || strncmp(loop.lines[0], line, strlen(line)) != 0)
            fail_msg("%u lines, the first: %s", loop.line_count, loop.lines[0]);
        if (loop.held_count > 0)        /* refused for the program: it learns it here */
            assert_null(uhttp_find(loop.server, loop.ids[0]));
        client_close(c);
    }
    loop.line_count = 0;
    client_check(client_connect(), "/good");
    assert_int_equal(loop.line_count, 0);
}

static void the_log_says_once_that_a_client_of_a_held_request_has_gone(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    client_reset(c);
    LOOP_UNTIL(loop_stats().forgotten == 1);
    loop_pump_for(50);
    assert_int_equal(loop.line_count, 1);
    assert_non_null(strstr(loop.lines[0], "gone"));
}

static const loop_access *await_access(unsigned count)
{
    LOOP_UNTIL(loop.access_count >= count);
    assert_int_equal(loop.access_count, count);
    return &loop.access[count - 1];
}

static void check_access(const loop_access *a, const char *method, const char *url, int minor,
                         int status, uint64_t bytes)
{
    assert_string_equal(a->address, "127.0.0.1");
    assert_string_equal(a->method, method);
    assert_string_equal(a->url, url);
    assert_int_equal(a->version_minor, minor);
    assert_int_equal(a->status, status);
    assert_int_equal(a->bytes, bytes);
}

static void the_access_log_has_one_entry_for_each_response(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    assert_int_equal(client_get(c, "/a?b=%20c"), 200);
    check_access(await_access(1), "GET", "/a?b=%20c", 1, 200, 2);
    c->to_head = true;
    assert_int_equal(client_ask(c, "HEAD /head HTTP/1.1\r\nHost: t\r\n\r\n"), 200);
    check_access(await_access(2), "HEAD", "/head", 1, 200, 0);
    assert_int_equal(client_ask(c, POST("/echo", "5") "abcde"), 200);
    check_access(await_access(3), "POST", "/echo", 1, 200, 5);
    client_send(c, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 1);
    assert_ok(uhttp_stream_write(loop.held[0], "abc", 3));
    assert_ok(uhttp_stream_write(loop.held[0], "defg", 4));
    assert_ok(uhttp_stream_end(loop.held[0]));
    assert_int_equal(client_answer(c), 200);
    check_access(await_access(4), "GET", "/stream", 1, 200, 7);
    client_send(c, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 2);
    loop_pump_for(120);
    assert_ok(uhttp_respond_error(loop.held[1], 404));
    assert_int_equal(client_answer(c), 404);
    const loop_access *a = await_access(5);
    check_access(a, "GET", "/hold", 1, 404, 14);
    assert_true(a->duration_ms >= 110 && a->duration_ms < LOOP_PATIENCE_MS);
    assert_int_equal(client_ask(c, "GET /old HTTP/1.0\r\n\r\n"), 200);
    check_access(await_access(6), "GET", "/old", 0, 200, 4);
    client_expect_end(c);
    client *bad = client_connect();
    assert_int_equal(client_ask(bad, "nonsense\r\n\r\n"), 400);
    a = await_access(7);
    assert_string_equal(a->method, "");
    assert_string_equal(a->url, "");
    assert_int_equal(a->status, 400);
    assert_int_equal(a->bytes, bad->length);
    client *pipeline = client_connect();
    send_many(pipeline, 3);
    await_many(pipeline, 3);
    check_access(await_access(10), "GET", "/2", 1, 200, 2);
    check_access(&loop.access[7], "GET", "/0", 1, 200, 2);
    client *given_up = client_connect_narrow(4096);
    client_send(given_up, GET("/big"));
    client_await_head(given_up);
    client_reset(given_up);
    a = await_access(11);
    assert_string_equal(a->url, "/big");
    assert_int_equal(a->status, 200);
    assert_true(a->bytes > 0 && a->bytes < LOOP_BIG);
    client *unanswered = client_connect();
    client_send(unanswered, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 3);
    assert_ok(uhttp_close(loop.held[2]));
    client_await_end(unanswered);
    assert_int_equal(loop.access_count, 11);        /* there was no response */
}

static void every_result_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int a = 0; a >= -9; a--) {
        assert_true(strlen(uhttp_strerror((uhttp_result)a)) > 0);
        for (int b = 0; b > a; b--)
            assert_string_not_equal(uhttp_strerror((uhttp_result)a),
                                    uhttp_strerror((uhttp_result)b));
    }
    assert_string_equal(uhttp_version(), UHTTP_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST_PLAIN(a_server_without_configuration_has_all_defaults, "the default is plain")
        LOOP_TEST(values_out_of_range_are_invalid_and_open_nothing),
        LOOP_TEST(what_is_wrong_with_a_configuration_is_logged_with_its_field),
        LOOP_TEST(default_headers_must_be_complete_lines_that_frame_nothing),
        LOOP_TEST(default_headers_are_in_every_answer_also_in_refusals),
        LOOP_TEST(a_taken_port_is_in_use),
        LOOP_TEST(a_closed_server_leaves_its_port_free_at_once),
        LOOP_TEST(a_privileged_port_is_denied_to_the_unprivileged),
        LOOP_TEST(each_ephemeral_port_is_another),
        LOOP_TEST_PLAIN(fixed_memory_serves_at_any_alignment_and_refuses_to_be_too_small,
                        "there is just enough memory for plain listeners")
        LOOP_TEST(closing_no_server_is_allowed),
        LOOP_TEST_PLAIN(tls_without_a_transport_is_unsupported, "here it is supported")
        LOOP_TEST_PLAIN(a_transport_of_the_program_makes_its_listener_secure,
                        "the transport is the test's own")
        LOOP_TEST_PLAIN(plain_and_secure_listeners_live_in_one_server,
                        "the transport is the test's own")
        LOOP_TEST_PLAIN(a_handshake_that_does_not_come_to_an_end_is_closed,
                        "the transport is the test's own")
        LOOP_TEST_PLAIN(each_secure_listener_has_a_handshake_timeout_of_its_own,
                        "the transport is the test's own")
        LOOP_TEST_PLAIN(a_handshake_in_progress_lets_the_server_sleep,
                        "the transport is the test's own")
        LOOP_TEST_PLAIN(a_failed_handshake_ends_this_connection_only,
                        "the transport is the test's own")
        LOOP_TEST_PLAIN(who_speaks_plain_http_to_a_transport_gets_a_400,
                        "the transport is the test's own")
        LOOP_TEST_PLAIN(a_transport_says_goodbye_once_and_only_in_order,
                        "the transport is the test's own")
        LOOP_TEST(keep_alive_ends_after_as_many_requests_as_configured),
        LOOP_TEST(heads_up_to_their_limit_are_served_and_longer_ones_refused),
        LOOP_TEST(the_default_address_is_every_ipv4_address),
        LOOP_TEST(a_specific_ipv6_address_is_ipv6_only),
        LOOP_TEST(two_colons_are_dual_stack_and_show_ipv4_peers_as_such),
        LOOP_TEST_PLAIN(one_server_has_as_many_listeners_as_allowed_and_no_more,
                        "the listeners it adds are plain")
        LOOP_TEST_PLAIN(ipv6_stands_beside_ipv4_on_the_same_port,
                        "the listener it adds is plain")
        LOOP_TEST(several_servers_share_a_port_when_both_wish_so),
        LOOP_TEST(an_adopted_socket_is_served_and_closed_with_the_server),
        LOOP_TEST(answers_in_several_pieces_do_not_wait_for_acknowledgements),
        LOOP_TEST(a_unix_socket_is_served_and_its_peers_have_no_address),
        LOOP_TEST(descriptor_zero_is_a_listener_like_any_other),
        LOOP_TEST(descriptor_zero_is_a_connection_like_any_other),
        LOOP_TEST(descriptor_zero_wakes_like_any_other),
        LOOP_TEST(waiting_ends_after_its_time_and_not_before),
        LOOP_TEST(waiting_no_time_still_asks_the_network),
        LOOP_TEST(waiting_for_ever_returns_the_request_that_comes),
        LOOP_TEST(a_wait_that_the_system_fails_neither_ends_early_nor_spins),
        LOOP_TEST(deadlines_of_the_server_do_not_end_the_wait),
        LOOP_TEST(a_wake_up_before_the_wait_is_not_lost),
        LOOP_TEST(a_wake_up_is_not_swallowed_by_requests),
        LOOP_TEST(more_wake_ups_than_fit_are_still_one_and_do_not_block),
        LOOP_TEST(another_thread_wakes_a_wait_without_end),
        LOOP_TEST(no_wake_up_of_many_threads_is_lost_beside_traffic),
        LOOP_TEST(a_signal_handler_wakes_and_its_errno_is_kept),
        LOOP_TEST(every_signal_ends_the_wait),
        LOOP_TEST(all_kinds_of_traffic_come_out_of_wait),
        LOOP_TEST(all_kinds_of_traffic_come_out_of_wait_in_event_mode),
        LOOP_TEST(a_loop_around_poll_serves_all_kinds_of_traffic),
        LOOP_TEST(a_loop_around_poll_serves_all_kinds_of_traffic_in_event_mode),
        LOOP_TEST(a_loop_around_select_serves_all_kinds_of_traffic),
        LOOP_TEST(a_foreign_loop_that_does_as_told_keeps_deadlines_and_does_not_spin),
        LOOP_TEST(a_wake_up_ends_the_sleep_of_a_foreign_loop_once),
        LOOP_TEST(the_watch_list_says_how_long_it_would_be),
        LOOP_TEST(stale_and_spurious_entries_do_no_harm),
        LOOP_TEST(errors_of_a_socket_are_told_with_both_bits),
        LOOP_TEST(fd_sets_are_filled_beside_what_is_in_them),
        LOOP_TEST(two_servers_live_in_one_select),
        LOOP_TEST(shutdown_of_an_idle_server_is_done_at_once),
        LOOP_TEST(shutdown_ends_each_connection_after_the_request_it_is_in),
        LOOP_TEST(shutdown_leaves_who_has_just_connected_time_to_ask),
        LOOP_TEST(shutdown_serves_who_waits_in_the_backlog),
        LOOP_TEST(shutdown_through_a_foreign_loop_comes_to_an_end),
        LOOP_TEST(close_ends_everything_whatever_it_is_in),
        LOOP_TEST(what_was_answered_before_close_is_still_sent),
        LOOP_TEST(stats_count_exactly_what_happened),
        LOOP_TEST(the_log_names_the_limit_and_the_peer),
        LOOP_TEST(the_log_says_once_that_a_client_of_a_held_request_has_gone),
        LOOP_TEST(the_access_log_has_one_entry_for_each_response),
        LOOP_TEST(every_result_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
