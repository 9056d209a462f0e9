/* test_port.c - the server on a foreign platform: UHTTP_PLATFORM_HEADER is memory_port.h, a
 * network in memory. Nothing here needs a system but for cmocka. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static void invariant_broken(const char *truth, int line)
{
    fprintf(stderr, "uhttp_server.h:%d: invariant broken: %s\n", line, truth);
    abort();
}

#define UHTTP_ASSERT(truth) ((truth) ? (void)0 : invariant_broken(#truth, __LINE__))
#define UHTTP_PLATFORM_HEADER "memory_port.h"
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#define PORT 8080

/*--- a server, its program, its clients --------------------------------------------------*/

static uhttp_server *server;
static uhttp_conn *held;
static unsigned waits;              /* uhttp_wait() that returned a connection */
static unsigned uploaded;           /* bytes of streamed bodies */
static unsigned sum;                /* and their sum */
static unsigned written;            /* chunks of the stream */
static uint8_t big[30000];

static void check_sum(const uint8_t *bytes, size_t length)
{
    uploaded += (unsigned)length;
    for (size_t i = 0; i < length; i++)
        sum = sum * 31 + bytes[i];
}

static void stream_on(uhttp_conn *c)
{
    char chunk[700];
    memset(chunk, 'a', sizeof chunk);
    while (written < 30 && uhttp_stream_write(c, chunk, sizeof chunk) == UHTTP_OK)
        written++;
    if (written == 30)
        assert_int_equal(uhttp_stream_end(c), UHTTP_OK);
}

static void begin(uhttp_conn *c)
{
    char text[64];
    const char *path = uhttp_path(c);
    if (strcmp(path, "/big") == 0) {
        assert_int_equal(uhttp_respond_static(c, 200, NULL, big, sizeof big), UHTTP_OK);
    } else if (strcmp(path, "/stream") == 0) {
        written = 0;
        assert_int_equal(uhttp_stream_begin(c, 200, "text/plain"), UHTTP_OK);
        stream_on(c);
    } else if (strcmp(path, "/silent") == 0) {
        assert_int_equal(uhttp_stream_begin(c, 200, "text/plain"), UHTTP_OK);
        held = c;
    } else if (strcmp(path, "/hold") == 0) {
        held = c;
    } else if (strcmp(path, "/file") == 0) {
        assert_int_equal(uhttp_respond_file(c, "a", NULL), UHTTP_ERR_UNSUPPORTED);
        assert_int_equal(uhttp_serve_dir(c, ".", "/"), UHTTP_ERR_UNSUPPORTED);
        assert_int_equal(uhttp_respond_text(c, 200, "no files"), UHTTP_OK);
    } else if (strcmp(path, "/address") == 0) {
        assert_true(uhttp_remote_address(c, text, sizeof text) >= 0);
        assert_int_equal(uhttp_respond_text(c, 200, text), UHTTP_OK);
    } else {
        assert_int_equal(uhttp_respond_text(c, 200, path), UHTTP_OK);
    }
}

static void serve(uhttp_conn *c)
{
    char text[64];
    size_t length;
    const void *bytes;
    waits++;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
        if (strcmp(uhttp_path(c), "/upload") != 0) {
            begin(c);
            return;
        }
        uploaded = sum = 0;
        assert_int_equal(uhttp_accept_body_streaming(c, 0), UHTTP_OK);
        return;
    case UHTTP_EVENT_DATA:
    case UHTTP_EVENT_COMPLETE:
        bytes = uhttp_read_buffer(c, &length);
        check_sum((const uint8_t *)bytes, length);
        if (uhttp_event(c) == UHTTP_EVENT_DATA)
            return;
        snprintf(text, sizeof text, "%u bytes, sum %u", uploaded, sum);
        assert_int_equal(uhttp_respond_text(c, 200, text), UHTTP_OK);
        return;
    case UHTTP_EVENT_WRITABLE:
        stream_on(c);
        return;
    case UHTTP_EVENT_WS_REQUEST:
        assert_int_equal(uhttp_ws_accept(c, NULL), UHTTP_OK);
        return;
    case UHTTP_EVENT_WS_MESSAGE:
        bytes = uhttp_ws_message(c, &length);
        assert_int_equal(uhttp_ws_send(c, UHTTP_WS_TEXT, bytes, length), UHTTP_OK);
        return;
    case UHTTP_EVENT_CLOSED:
        held = NULL;
        return;
    default:
        return;
    }
}

/* Lets the server do what can be done now. */
static void run(void)
{
    uhttp_conn *c;
    while ((c = uhttp_wait(server, 0)) != NULL)
        serve(c);
}

/* Lets so much time pass. */
static void pass(uint32_t ms)
{
    uint32_t start = net.now;
    while (net.now - start < ms) {
        uhttp_conn *c = uhttp_wait(server, (int)(ms - (net.now - start)));
        if (c != NULL)
            serve(c);
    }
}

static void open_with(uhttp_config *config)
{
    config->port = PORT;
    config->event_mode = true;
    assert_int_equal(uhttp_server_open(&server, config), UHTTP_OK);
}

static int setup(void **state)
{
    (void)state;
    net_start();
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7 / 3);
    server = NULL;
    held = NULL;
    waits = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uhttp_server_close(server);
    for (int i = 0; i < NET_ENDS; i++) {
        if (net.ends[i].used)
            uhttp_port_close((intptr_t)(void *)&net.ends[i]);
    }
    return 0;
}

/* What a client has read, NUL-terminated. */
static char got[65536];
static size_t got_length;

static bool read_on(net_end *client)
{
    int n = 1;
    while (n > 0) {
        n = uhttp_port_recv((intptr_t)(void *)client, got + got_length,
                            sizeof got - 1 - got_length);
        got_length += n > 0 ? (size_t)n : 0;
    }
    got[got_length] = '\0';
    return n == UHTTP_WANT_READ;
}

/* Sends all of it, while the server runs and the client reads. */
static void say(net_end *client, const void *bytes, size_t length)
{
    for (int turns = 0; length > 0; turns++) {
        uhttp_str part = { (const char *)bytes, length };
        int n = uhttp_port_send((intptr_t)(void *)client, &part, 1);
        assert_true(n > 0 || n == UHTTP_WANT_WRITE);
        bytes = (const char *)bytes + (n > 0 ? n : 0);
        length -= n > 0 ? (size_t)n : 0;
        run();
        read_on(client);
        assert_true(turns < 100000);
    }
}

static void say_text(net_end *client, const char *text) { say(client, text, strlen(text)); }

/* Reads until this text has come behind what was read before; the text behind the head. */
static const char *await(net_end *client, const char *text)
{
    for (int turns = 0; strstr(got, text) == NULL; turns++) {
        run();
        read_on(client);
        if (turns > 100000)
            fail_msg("'%s' has not come, but: %s", text, got);
    }
    const char *head_end = strstr(got, "\r\n\r\n");
    return head_end != NULL ? head_end + 4 : got;
}

static void forget(void)
{
    got_length = 0;
    got[0] = '\0';
}

static net_end *ask(const char *path)
{
    char request[256];
    net_end *client = net_connect(PORT);
    assert_non_null(client);
    forget();
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", path);
    say_text(client, request);
    return client;
}

static void hang_up(net_end *client) { uhttp_port_close((intptr_t)(void *)client); }

static bool has_ended(net_end *client)
{
    run();
    return !read_on(client);
}

/*--- requests, whatever the network does with them ----------------------------------------*/

static const struct { size_t window, most; } networks[] = {
    { NET_WINDOW, NET_WINDOW }, { NET_WINDOW, 1 }, { 1, 1 }, { 7, 3 }, { 536, 536 },
    { 1460, 99 },
};

static void each_network(void (*test)(void))
{
    uhttp_config config = { 0 };
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        net_start();
        net.window = networks[i].window;
        net.most = networks[i].most;
        open_with(&config);
        test();
        uhttp_server_close(server);
        server = NULL;
        assert_int_equal(net_used(), 0);
    }
}

static void ask_and_check(void)
{
    net_end *client = ask("/one");
    assert_string_equal(await(client, "/one"), "/one");
    assert_non_null(strstr(got, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(got, "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
    forget();
    say_text(client, "GET /two HTTP/1.1\r\nHost: t\r\n\r\n"
                     "GET /three HTTP/1.1\r\nHost: t\r\n\r\n");
    await(client, "/three");
    assert_non_null(strstr(got, "/two"));
    hang_up(client);
}

static void requests_are_answered_and_pipelined_ones_in_order(void **state)
{
    (void)state;
    each_network(ask_and_check);
}

static void read_big(void)
{
    net_end *client = ask("/big");
    size_t head;
    for (int turns = 0; got_length < sizeof big && turns < 200000; turns++) {
        run();
        read_on(client);
    }
    head = (size_t)(strstr(got, "\r\n\r\n") + 4 - got);
    for (int turns = 0; got_length < head + sizeof big && turns < 1000; turns++) {
        run();
        read_on(client);
    }
    assert_int_equal(got_length, head + sizeof big);
    assert_memory_equal(got + head, big, sizeof big);
    hang_up(client);
}

static void a_large_body_arrives_through_any_window(void **state)
{
    (void)state;
    each_network(read_big);
}

static void read_stream(void)
{
    net_end *client = ask("/stream");
    unsigned letters = 0;
    await(client, "\r\n0\r\n\r\n");
    for (size_t i = 0; i < got_length; i++)
        letters += got[i] == 'a' && strstr(got, "\r\n\r\n") < got + i ? 1 : 0;
    assert_true(letters >= 30 * 700);       /* a chunk's size may have one */
    hang_up(client);
}

static void a_stream_waits_for_a_slow_reader(void **state)
{
    (void)state;
    each_network(read_stream);
    uhttp_config config = { 0 };
    net_start();
    config.max_send_buffer = 2000;
    open_with(&config);
    net.window = 1000;
    net_end *client = net_connect(PORT);
    uhttp_str part = { "GET /stream HTTP/1.1\r\nHost: t\r\n\r\n", 34 };
    assert_int_equal(uhttp_port_send((intptr_t)(void *)client, &part, 1), 34);
    run();
    assert_true(written > 0 && written < 30);   /* nobody reads: no room */
    unsigned waited = waits;
    run();
    assert_int_equal(waits, waited);            /* and no loop that spins */
    forget();
    await(client, "\r\n0\r\n\r\n");
    assert_int_equal(written, 30);
    hang_up(client);
}

/* A port does not tell who has left behind input that nobody reads: a stream gives that up. */
static void a_stream_whose_client_asks_on_sees_it_leave(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    net_start();
    open_with(&config);
    net_end *client = ask("/silent");
    assert_non_null(held);
    for (int i = 0; i < 1000; i++)
        say_text(client, "GET /next HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(uhttp_stream_write(held, "still there", 11), UHTTP_OK);
    await(client, "still there");
    hang_up(client);
    pass(5000);
    assert_null(held);
}

static void upload(void)
{
    char expected[64];
    net_end *client = net_connect(PORT);
    forget();
    say_text(client, "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 30000\r\n\r\n");
    say(client, big, sizeof big);
    uploaded = sum = 0;
    check_sum(big, sizeof big);
    snprintf(expected, sizeof expected, "%u bytes, sum %u", uploaded, sum);
    assert_string_equal(await(client, expected), expected);
    hang_up(client);
}

static void an_upload_is_streamed_to_the_program(void **state)
{
    (void)state;
    each_network(upload);
}

static void talk_websocket(void)
{
    static const char handshake[] =
        "GET /ws HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    net_end *client = net_connect(PORT);
    forget();
    say(client, handshake, sizeof handshake - 1);
    await(client, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    await(client, "\r\n\r\n");
    forget();
    say(client, "\x81\x85\0\0\0\0hello", 11);
    for (int turns = 0; got_length < 7 && turns < 1000; turns++) {
        run();
        read_on(client);
    }
    assert_memory_equal(got, "\x81\x05hello", 7);
    hang_up(client);
    run();
}

static void a_websocket_echoes(void **state)
{
    (void)state;
    each_network(talk_websocket);
}

/*--- ends ---------------------------------------------------------------------------------*/

static void a_client_that_shuts_its_side_still_gets_its_answer(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    net_end *client = ask("/hold");
    uhttp_port_shut((intptr_t)(void *)client);
    run();
    assert_non_null(held);
    assert_int_equal(uhttp_respond_text(held, 200, "late"), UHTTP_OK);
    assert_string_equal(await(client, "late"), "late");
    assert_true(has_ended(client));
    assert_false(client->lost);
    hang_up(client);
}

static void an_early_refusal_arrives_before_the_end(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    net_end *client = net_connect(PORT);
    forget();
    say_text(client, "POST /refused HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\n");
    await(client, "/refused");
    assert_true(has_ended(client));
    assert_non_null(client->other);         /* only its own side is shut: no reset */
    say(client, big, sizeof big);           /* what the client has under way is swallowed */
    assert_false(client->lost);
    hang_up(client);
}

static void a_reset_is_told(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    net_end *client = ask("/hold");
    assert_non_null(held);
    uhttp_port_abort((intptr_t)(void *)client);
    hang_up(client);
    run();
    assert_null(held);
    assert_int_equal(net_used(), 2);        /* the listener, the wake-up */
}

static void a_response_cut_short_is_reset(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    config.send_timeout_ms = 1000;
    open_with(&config);
    net.window = 1000;
    net_end *client = net_connect(PORT);
    forget();
    say_text(client, "GET /big HTTP/1.0\r\nHost: t\r\n\r\n");
    uint32_t start = net.now;
    while (!client->lost && net.now - start < 5000)
        pass(100);
    assert_true(client->lost);
    hang_up(client);
}

static void silence_ends_by_the_clock_of_the_port(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    config.keep_alive_timeout_ms = 7000;
    open_with(&config);
    net_end *client = ask("/one");
    await(client, "/one");
    pass(6900);                             /* the clock wraps on the way */
    assert_false(has_ended(client));
    pass(200);
    assert_true(has_ended(client));
    hang_up(client);
    client = net_connect(PORT);
    forget();
    say_text(client, "GET /half");
    pass(5100);
    read_on(client);
    assert_non_null(strstr(got, "HTTP/1.1 408 "));
    hang_up(client);
}

static void waiting_sleeps_once_and_not_too_long(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    uint32_t start = net.now;
    assert_null(uhttp_wait(server, 250));
    assert_int_equal(net.now - start, 250);
    assert_int_equal(net.slept, 1);
    assert_null(uhttp_wait(server, 0));
    assert_int_equal(net.slept, 1);
}

/*--- wake-up ------------------------------------------------------------------------------*/

static void wake(void)
{
    net.sleeping = NULL;
    assert_int_equal(uhttp_server_wakeup(server), UHTTP_OK);
}

static void a_wake_up_ends_the_wait(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    uint32_t start = net.now;
    net.sleeping = wake;
    assert_null(uhttp_wait(server, -1));
    assert_null(net.sleeping);
    wake();                                 /* before the wait: not lost */
    assert_null(uhttp_wait(server, 5000));
    assert_int_equal(net.now, start);
    assert_null(uhttp_wait(server, 100));   /* and drained */
    assert_int_equal(net.now - start, 100);
}

static void without_a_wake_up_it_is_unsupported(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    net.no_wake = true;
    open_with(&config);
    assert_int_equal(uhttp_server_wakeup(server), UHTTP_ERR_UNSUPPORTED);
    net_end *client = ask("/one");
    await(client, "/one");
    hang_up(client);
}

/*--- listening and accepting ---------------------------------------------------------------*/

static void listening_fails_in_the_words_of_the_port(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_server *other;
    open_with(&config);
    assert_int_equal(uhttp_server_open(&other, &config), UHTTP_ERR_IN_USE);
    config.address = "unix:/tmp/x";
    assert_int_equal(uhttp_server_open(&other, &config), UHTTP_ERR_INVALID);
    config.address = "::";
    assert_int_equal(uhttp_server_listen(server, "::", UHTTP_PORT_ANY, NULL), UHTTP_OK);
    assert_int_equal(uhttp_server_port(server), PORT);
    assert_int_equal(net_used(), 3);
}

static void a_newcomer_without_memory_for_it_waits(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_stats stats;
    open_with(&config);
    net.full = true;
    net_end *client = net_connect(PORT);
    forget();
    say_text(client, "GET /late HTTP/1.1\r\nHost: t\r\n\r\n");
    unsigned slept = net.slept;
    pass(1000);
    assert_in_range(net.slept - slept, 5, 30);      /* looks again, does not spin */
    uhttp_server_stats(server, &stats);
    assert_in_range(stats.accept_failures, 5, 15);
    net.full = false;
    pass(200);
    await(client, "/late");
    hang_up(client);
}

static void a_newcomer_that_has_gone_is_passed_over(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    net_end *gone = net_connect(PORT);
    uhttp_port_abort((intptr_t)(void *)gone);
    hang_up(gone);
    net_end *client = ask("/next");
    await(client, "/next");
    hang_up(client);
}

static void more_than_can_be_watched_wait_or_somebody_idle_gives_way(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    config.max_connections = 8;
    net.watches = 5;        /* the wake-up, the listener, three clients */
    open_with(&config);
    net_end *first = ask("/first");
    await(first, "/first");
    net_end *second = ask("/hold");
    net_end *third = ask("/third");
    pass(200);
    await(third, "/third");
    net_end *fourth = ask("/fourth");
    read_on(fourth);
    assert_int_equal(got_length, 0);
    pass(1500);
    await(fourth, "/fourth");
    assert_true(has_ended(first) || has_ended(third));
    assert_non_null(held);
    assert_int_equal(uhttp_respond_text(held, 200, "held"), UHTTP_OK);
    forget();
    await(second, "held");
    hang_up(first);
    hang_up(second);
    hang_up(third);
    hang_up(fourth);
}

static void a_burst_beyond_what_can_be_watched_loses_nobody(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    static const char *const paths[] = { "/one", "/two", "/three", "/four" };
    net_end *clients[4];
    config.max_connections = 8;
    net.watches = 5;
    open_with(&config);
    for (int i = 0; i < 4; i++)
        clients[i] = net_connect(PORT);
    for (int i = 0; i < 4; i++) {
        char request[64];
        uhttp_str part = { request, 0 };
        part.len = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n",
                                    paths[i]);
        assert_int_equal(uhttp_port_send((intptr_t)(void *)clients[i], &part, 1), (int)part.len);
    }
    pass(100);
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    assert_int_equal(stats.connections, 3);
    pass(1500);
    for (int i = 0; i < 4; i++) {
        forget();
        await(clients[i], paths[i]);
        hang_up(clients[i]);
    }
}

static void a_socket_of_the_port_is_adopted(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_address at;
    intptr_t listener;
    memset(&at, 0, sizeof at);
    at.family = 4;
    at.port = 99;
    assert_int_equal(uhttp_port_listen(&listener, &at, &config), UHTTP_OK);
    config.listen_fd = &listener;
    open_with(&config);
    assert_int_equal(uhttp_server_port(server), 99);
    net_end *client = net_connect(99);
    intptr_t accepted = (intptr_t)(void *)net_end_of(listener)->waiting[0];
    net_end_of(listener)->count = 0;
    assert_int_equal(uhttp_server_adopt(server, accepted, false), UHTTP_OK);
    assert_int_equal(uhttp_server_adopt(server, -1, false), UHTTP_ERR_INVALID);
    forget();
    say_text(client, "GET /adopted HTTP/1.1\r\nHost: t\r\n\r\n");
    await(client, "/adopted");
    hang_up(client);
}

/*--- the program's own loop --------------------------------------------------------------*/

static void a_foreign_loop_drives_it(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_watch list[8];
    open_with(&config);
    net_end *client = net_connect(PORT);
    uhttp_str part = { "GET /foreign HTTP/1.1\r\nHost: t\r\n\r\n", 34 };
    assert_int_equal(uhttp_port_send((intptr_t)(void *)client, &part, 1), 34);
    forget();
    for (int turns = 0; strstr(got, "/foreign") == NULL && turns < 20; turns++) {
        size_t count = uhttp_server_watch(server, list, 8);
        assert_in_range(count, 2, 3);
        for (size_t i = 0; i < count; i++)
            list[i].ready = list[i].wish & net_ready(net_end_of(list[i].fd));
        for (uhttp_conn *c = uhttp_process_events(server, list, count); c != NULL;
             c = uhttp_process_events(server, NULL, 0))
            serve(c);
        read_on(client);
    }
    assert_non_null(strstr(got, "/foreign"));
    hang_up(client);
}

/* One that keeps what it watches: only changes are told, a token means one socket for good, and a
 * socket is open until the loop has been told to forget it. */
static uhttp_watch kept[8];
static size_t kept_count;

static void keep_what_has_changed(void)
{
    uhttp_watch list[2];
    size_t count;
    while ((count = uhttp_server_watch_changes(server, list, 2)) > 0)
        for (size_t i = 0; i < count; i++) {
            size_t at = 0;
            assert_true(net_end_of(list[i].fd)->used);
            while (at < kept_count && kept[at].token != list[i].token)
                at++;
            assert_true(at < kept_count || list[i].wish != 0);
            kept[at] = list[i];
            kept_count += at == kept_count ? 1u : 0u;
            assert_in_range(kept_count, 1, 8);
            if (list[i].wish == 0)
                kept[at] = kept[--kept_count];
        }
}

static void turn_of_the_loop(void)
{
    keep_what_has_changed();
    for (size_t i = 0; i < kept_count; i++)
        kept[i].ready = kept[i].wish & net_ready(net_end_of(kept[i].fd));
    for (uhttp_conn *c = uhttp_process_events(server, kept, kept_count); c != NULL;
         c = uhttp_process_events(server, NULL, 0))
        serve(c);
}

static void a_loop_that_is_told_of_changes_drives_it(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    kept_count = 0;
    turn_of_the_loop();
    size_t alone = kept_count;
    for (int round = 0; round < 3; round++) {
        net_end *client = net_connect(PORT);
        uhttp_str part = { "GET /big HTTP/1.1\r\nHost: t\r\n\r\n", 30 };
        assert_int_equal(uhttp_port_send((intptr_t)(void *)client, &part, 1), 30);
        forget();
        for (int turns = 0; got_length < sizeof big && turns < 100; turns++) {
            turn_of_the_loop();
            read_on(client);
        }
        assert_true(got_length > sizeof big);
        keep_what_has_changed();
        assert_int_equal(kept_count, alone + 1);
        hang_up(client);
        for (int turns = 0; kept_count > alone && turns < 5; turns++)
            turn_of_the_loop();
        assert_int_equal(kept_count, alone);
    }
    turn_of_the_loop();
    assert_int_equal(net_used(), alone);            /* none of those is left */
}

static void there_are_no_sets_for_select(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    char sets[2][8];
    int highest = -1;
    open_with(&config);
    assert_int_equal(uhttp_server_fd_sets(server, sets[0], sets[1], &highest),
                     UHTTP_ERR_UNSUPPORTED);
    assert_null(uhttp_process_fd_sets(server, sets[0], sets[1]));
    assert_int_equal(highest, -1);
}

/*--- shutdown ----------------------------------------------------------------------------*/

static void a_graceful_shutdown_ends_what_is_there(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    net_end *idle = ask("/idle");
    await(idle, "/idle");
    net_end *busy = ask("/hold");
    assert_int_equal(uhttp_server_shutdown(server), UHTTP_ERR_AGAIN);
    assert_null(net_connect(PORT));
    pass(1500);
    assert_true(has_ended(idle));
    assert_int_equal(uhttp_server_shutdown(server), UHTTP_ERR_AGAIN);
    assert_int_equal(uhttp_respond_text(held, 200, "last"), UHTTP_OK);
    await(busy, "last");
    assert_non_null(strstr(got, "Connection: close\r\n"));
    hang_up(busy);
    run();
    assert_int_equal(uhttp_server_shutdown(server), UHTTP_OK);
    hang_up(idle);
}

/*--- addresses -----------------------------------------------------------------------------*/

static const struct { const char *in, *out; } addresses[] = {
    { "192.0.2.7",               "192.0.2.7"     },
    { "0.0.0.0",                 "0.0.0.0"       },
    { "255.255.255.255",         "255.255.255.255" },
    { "256.0.0.1",               NULL            },
    { "1.2.3",                   NULL            },
    { "1.2.3.4.5",               NULL            },
    { "1.2.3.",                  NULL            },
    { "1..2.3",                  NULL            },
    { "01.2.3.4",                NULL            },     /* octal to some */
    { "1.2.3.4 ",                NULL            },
    { "99999999999.2.3.4",       NULL            },
    { "",                        NULL            },
    { "::",                      "::"            },
    { "::1",                     "::1"           },
    { "1::",                     "1::"           },
    { "2001:DB8::00a:1",         "2001:db8::a:1" },
    { "1:0:0:2:0:0:0:3",         "1:0:0:2::3"    },     /* the longest run */
    { "1:0:2:3:4:5:6:7",         "1:0:2:3:4:5:6:7" },   /* one is no run */
    { "1:2:3:4:5:6:7:8",         "1:2:3:4:5:6:7:8" },
    { "::2:3:4:5:6:7:8",         "0:2:3:4:5:6:7:8" },
    { "ffff::",                  "ffff::"        },
    { "::ffff:192.0.2.7",        "192.0.2.7"     },     /* mapped */
    { "64:ff9b::1.2.3.4",        "64:ff9b::102:304" },
    { "1:2:3:4:5:6:1.2.3.4",     "1:2:3:4:5:6:102:304" },
    { "1:2:3:4:5:6:7:1.2.3.4",   NULL            },
    { "1:2:3:4:5:6:7",           NULL            },
    { "1:2:3:4:5:6:7:8:9",       NULL            },
    { "1:2:3:4:5:6:7:8::",       NULL            },
    { "1:2:3:4::5:6:7:8",        NULL            },     /* nothing left to stand for */
    { "1::2::3",                 NULL            },
    { ":::",                     NULL            },
    { ":1",                      NULL            },
    { "1:",                      NULL            },
    { "12345::",                 NULL            },
    { "g::",                     NULL            },
    { "@::",                     NULL            },
    { "::1.2.3.4:5",             NULL            },
};

static void addresses_are_read_and_written(void **state)
{
    (void)state;
    char text[64];
    uh_peer peer;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        uhttp_str in = { addresses[i].in, strlen(addresses[i].in) };
        bool read = uh_peer_parse(in, &peer);
        if (read != (addresses[i].out != NULL))
            fail_msg("'%s' is %s", addresses[i].in, read ? "taken" : "refused");
        if (!read)
            continue;
        size_t length = uh_peer_format(&peer, text, sizeof text);
        assert_string_equal(text, addresses[i].out);
        assert_int_equal(length, strlen(text));
        assert_int_equal(uh_peer_format(&peer, text, length), 0);       /* no room for NUL */
        assert_int_equal(uh_peer_format(&peer, text, length + 1), length);
    }
}

static void clients_have_addresses(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_address from;
    config.trusted_proxies = "2001:db8::/32";
    open_with(&config);
    net_end *client = ask("/address");
    assert_string_equal(await(client, "192.0.2.7"), "192.0.2.7");
    hang_up(client);
    assert_int_equal(uhttp_server_listen(server, "::", PORT, NULL), UHTTP_OK);
    memset(&from, 0, sizeof from);
    from.family = 6;
    memcpy(from.address, "\x20\x01\x0d\xb8", 4);
    from.address[15] = 9;
    client = net_connect_from(&from, PORT);
    forget();
    say_text(client, "GET /address HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_string_equal(await(client, "2001:db8::9"), "2001:db8::9");
    forget();
    say_text(client, "GET /address HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: fe80::1\r\n\r\n");
    assert_string_equal(await(client, "fe80::1"), "fe80::1");
    hang_up(client);
}

/*--- few slots -----------------------------------------------------------------------------*/

/* In the only slot a body comes at this speed, while somebody waits: its seconds, up to 20. */
static int slow_body(size_t bytes_a_second)
{
    static const uint8_t zeros[4000];
    int seconds = 0;
    net_end *slow = net_connect(PORT);
    assert_non_null(slow);
    say_text(slow, "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n");
    net_end *newcomer = ask("/new");
    while (seconds < 20 && !slow->fin) {
        say(slow, zeros, bytes_a_second);
        pass(1000);
        seconds++;
    }
    forget();
    read_on(slow);
    assert_int_equal(strstr(got, "HTTP/1.1 408 ") != NULL, seconds < 20);
    hang_up(slow);
    forget();
    await(newcomer, "/new");
    hang_up(newcomer);
    return seconds;
}

static void a_body_far_below_1_KiB_a_second_gives_way_to_a_newcomer(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    config.max_connections = 1;
    open_with(&config);
    assert_in_range(slow_body(700), 10, 14);
    assert_int_equal(slow_body(1100), 20);
}

static net_end *idle;

static void idle_asks_again(void)
{
    net.looked = NULL;
    uhttp_str request = { "GET /again HTTP/1.1\r\nHost: t\r\n\r\n", 33 };
    assert_int_equal(uhttp_port_send((intptr_t)(void *)idle, &request, 1), 33);
}

/* Its request comes between the look that finds the newcomer and the choice of who gives way. */
static void an_idle_client_that_asks_just_now_is_served_not_dropped(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_stats stats;
    config.max_connections = 1;
    open_with(&config);
    idle = ask("/first");
    pass(1500);
    net.looked = idle_asks_again;
    net_end *newcomer = ask("/new");
    assert_null(net.looked);
    assert_int_equal(got_length, 0);
    await(idle, "/again");
    uhttp_server_stats(server, &stats);
    assert_int_equal(stats.evicted, 0);
    hang_up(idle);
    forget();
    await(newcomer, "/new");
    hang_up(newcomer);
}

static void without_hooks_there_are_no_files(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    open_with(&config);
    net_end *client = ask("/file");
    assert_string_equal(await(client, "no files"), "no files");
    hang_up(client);
}

static void without_a_clock_there_is_no_date(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    net.date = 86400;                       /* a board that has just started */
    open_with(&config);
    net_end *client = ask("/one");
    await(client, "/one");
    assert_null(strstr(got, "\r\nDate:"));
    net.date = 1700000000;
    net.now += 1000;
    forget();
    say_text(client, "GET /two HTTP/1.1\r\nHost: t\r\n\r\n");
    await(client, "/two");
    assert_non_null(strstr(got, "\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
    hang_up(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_are_answered_and_pipelined_ones_in_order),
        TEST(a_large_body_arrives_through_any_window),
        TEST(a_stream_waits_for_a_slow_reader),
        TEST(a_stream_whose_client_asks_on_sees_it_leave),
        TEST(an_upload_is_streamed_to_the_program),
        TEST(a_websocket_echoes),
        TEST(a_client_that_shuts_its_side_still_gets_its_answer),
        TEST(an_early_refusal_arrives_before_the_end),
        TEST(a_reset_is_told),
        TEST(a_response_cut_short_is_reset),
        TEST(silence_ends_by_the_clock_of_the_port),
        TEST(waiting_sleeps_once_and_not_too_long),
        TEST(a_wake_up_ends_the_wait),
        TEST(without_a_wake_up_it_is_unsupported),
        TEST(listening_fails_in_the_words_of_the_port),
        TEST(a_newcomer_without_memory_for_it_waits),
        TEST(a_newcomer_that_has_gone_is_passed_over),
        TEST(more_than_can_be_watched_wait_or_somebody_idle_gives_way),
        TEST(a_burst_beyond_what_can_be_watched_loses_nobody),
        TEST(a_socket_of_the_port_is_adopted),
        TEST(a_foreign_loop_drives_it),
        TEST(a_loop_that_is_told_of_changes_drives_it),
        TEST(there_are_no_sets_for_select),
        TEST(a_graceful_shutdown_ends_what_is_there),
        TEST(addresses_are_read_and_written),
        TEST(clients_have_addresses),
        TEST(a_body_far_below_1_KiB_a_second_gives_way_to_a_newcomer),
        TEST(an_idle_client_that_asks_just_now_is_served_not_dropped),
        TEST(without_hooks_there_are_no_files),
        TEST(without_a_clock_there_is_no_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
