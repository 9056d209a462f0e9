/* test_server_limits.c - full slots, deadlines, peers that are slow, gone or rude, and a
 * system without descriptors: over real sockets */
#include "loopback.h"

static void open_with_slots(uint32_t slots)
{
    uhttp_config config = loop_config();
    config.max_connections = slots;
    loop_open(&config);
}

static client *hold_one(void)
{
    client *c = client_connect();
    unsigned before = loop.held_count;
    client_send(c, GET("/hold"));
    LOOP_UNTIL(loop.held_count == before + 1);
    return c;
}

static void release(unsigned index, client *c)
{
    assert_ok(uhttp_respond_text(loop.held[index], 200, "at last"));
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "at last");
}

/* A client whose request was refused and that does not close. */
static client *let_one_linger(void)
{
    client *c = client_connect();
    assert_int_equal(client_ask(c, POST("/", "999999999")), 413);
    client_expect_end(c);
    return c;
}

static const char request_a[] = GET("/a");

/*--- full slots -----------------------------------------------------------------------*/

static void a_newcomer_takes_the_place_of_the_one_idle_longest(void **state)
{
    (void)state;
    client *c[3];
    open_with_slots(3);
    for (int i = 0; i < 3; i++) {
        c[i] = client_connect();
        client_check(c[i], "/first");
        loop_sleep(5);
    }
    client_check(c[0], "/again");               /* now the second is idle longest */
    loop_sleep(5);
    client_check(client_connect(), "/newcomer");
    client_expect_end(c[1]);
    loop_sleep(5);
    client_expect_nothing(c[0]);
    client_expect_nothing(c[2]);
    client_check(client_connect(), "/newcomer");
    client_expect_end(c[2]);
    loop_sleep(5);
    client_expect_nothing(c[0]);
    client_check(client_connect(), "/newcomer");
    client_expect_end(c[0]);
    assert_int_equal(loop_stats().evicted, 3);
    assert_int_equal(loop_stats().connections, 3);
}

static void one_that_only_waits_to_be_closed_gives_way_next(void **state)
{
    (void)state;
    open_with_slots(2);
    client *lingering = let_one_linger();
    client *kept = client_connect();
    client_check(kept, "/kept");
    loop_sleep(1000);
    client *held = hold_one();                  /* takes the place of the kept one */
    client_expect_end(kept);
    assert_int_equal(loop_stats().evicted, 1);
    client_check(client_connect(), "/newcomer");
    assert_int_equal(loop_stats().evicted, 2);
    release(0, held);
    client_close(lingering);
}

/* Two clients that never pause have both slots: one of them is told to leave with an answer,
 * and no request is lost. */
static void busy_clients_take_turns_with_a_newcomer(void **state)
{
    (void)state;
    client *busy[2];
    unsigned told = 0;
    uhttp_config config = loop_config();
    config.max_connections = 2;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop_open(&config);
    for (int i = 0; i < 2; i++) {
        busy[i] = client_connect();
        client_check(busy[i], "/first");
    }
    client *newcomer = client_connect();
    uint32_t start = loop_millis();
    while (told == 0) {
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
        for (int i = 0; i < 2 && told == 0; i++) {
            client_check(busy[i], "/busy");
            told += client_says_close(busy[i]) ? 1u : 0u;
            if (told > 0)
                client_close(busy[i]);
        }
    }
    client_check(newcomer, "/newcomer");
    assert_int_equal(loop_stats().evicted, 0);
    assert_int_equal(loop_stats().refused, 0);
    assert_int_equal(loop_logged("newcomers wait"), 1);
}

static void one_that_has_not_spoken_gives_way_after_a_second(void **state)
{
    (void)state;
    open_with_slots(2);
    client *silent = client_connect();
    client_agree(silent);
    uint32_t start = loop_millis();
    LOOP_UNTIL(loop_stats().connections == 1);
    client *held = hold_one();
    client *newcomer = client_connect();
    client_send(newcomer, request_a);
    size_t selects = loop_selects;
    while (loop_stats().evicted == 0) {
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
        loop_pump(200);
    }
    uint32_t waited = loop_millis() - start;
    assert_true(waited + 1 >= 1000);
    assert_true(loop_selects - selects < 10 + waited / 20);
    assert_int_equal(client_answer(newcomer), 200);
    client_expect_end(silent);
    release(0, held);
    assert_int_equal(loop_stats().evicted, 1);
}

static void a_request_in_hand_held_or_streaming_is_never_dropped_for_a_newcomer(void **state)
{
    (void)state;
    client *newcomers[4];
    open_with_slots(4);
    client *half_head = client_connect();
    client *half_body = client_connect();
    client_send(half_head, "GET /half HTTP/1.1\r\n");
    client_send(half_body, POST("/echo", "2") "a");
    client *held = hold_one();
    client *streaming = client_connect();
    client_send(streaming, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 2);
    for (int i = 0; i < 4; i++) {
        newcomers[i] = client_connect();
        client_send(newcomers[i], request_a);
    }
    loop_expect_sleep(1300);                    /* longer than the grace of the silent */
    for (int i = 0; i < 4; i++)
        client_expect_nothing(newcomers[i]);
    client_expect_nothing(half_head);
    client_expect_nothing(half_body);
    client_expect_nothing(held);
    assert_int_equal(loop_stats().evicted, 0);
    assert_int_equal(loop_stats().accepted, 4);

    release(0, held);                           /* now it is idle, and one can come in */
    for (int i = 0; i < 4; i++)
        assert_int_equal(client_answer(newcomers[i]), 200);
    assert_int_equal(client_ask(half_head, "Host: t\r\n\r\n"), 200);
    assert_int_equal(client_ask(half_body, "b"), 200);
    assert_ok(uhttp_stream_end(loop.held[1]));
    assert_int_equal(client_answer(streaming), 200);
    assert_int_equal(loop_stats().accepted, 8);
    assert_int_equal(loop_stats().evicted, 4);
}

static void a_kept_alive_connection_whose_request_has_come_is_not_evicted(void **state)
{
    (void)state;
    open_with_slots(1);
    client *kept = client_connect();
    client_check(kept, "/first");
    loop_pump(20);
    client_offer(kept, request_a, strlen(request_a));   /* both before the server looks */
    client *newcomer = client_connect();
    client_offer(newcomer, request_a, strlen(request_a));
    assert_int_equal(client_answer(kept), 200);
    assert_string_equal(kept->body, "/a");
    assert_int_equal(client_answer(newcomer), 200);
    client_expect_end(kept);
    assert_int_equal(loop_stats().evicted, 1);
}

#ifdef __linux__
static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

/* What an accepted socket has of its listener; long_vanished.sh sees what comes of it. */
static void the_system_is_to_find_out_when_a_peer_has_vanished(void **state)
{
    static const struct { uint32_t dead_ms, send_ms; int probes, idle, interval, give_up; } cases[] = {
        { 0, 0, 1, 30, 10, 60000 }, { 10500, 20000, 1, 7, 1, 20000 }, { 1000, 500, 1, 1, 1, 1000 },
        { 0, UHTTP_NEVER, 1, 30, 10, 0 }, { UHTTP_NEVER, 0, 0, 0, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uhttp_config config = loop_config();
        config.dead_peer_timeout_ms = cases[i].dead_ms;
        config.send_timeout_ms = cases[i].send_ms;
        loop_open(&config);
        client *c = hold_one();
        int fd = (int)uhttp_fd(loop.held[loop.held_count - 1]);
        assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), cases[i].probes);
        assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), cases[i].give_up);
        if (cases[i].probes) {
            assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), cases[i].idle);
            assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), cases[i].interval);
            assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
        }
        release(loop.held_count - 1, c);
        loop_close();
    }
}
#endif

/* Two seconds of silence end it, a quarter of one does while somebody waits for its slot; what the
 * program writes lets it live on. */
static void a_stream_whose_client_shut_its_side_gives_way_to_a_newcomer(void **state)
{
    uhttp_config config = loop_config();
    (void)state;
    config.max_connections = 1;
    config.event_mode = true;
    loop_open(&config);
    client *half = client_connect();
    client_send(half, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 1);
    client *newcomer = client_connect();
    client_send(newcomer, request_a);
    for (int i = 0; i < 4; i++) {       /* a client that may read on is never dropped */
        loop_pump_for(400);
        assert_int_equal(loop.events[UHTTP_EVENT_CLOSED], 0);
    }
    client_shut(half);
    uint32_t start = loop_millis();
    for (int i = 0; i < 8; i++) {
        start = loop_millis();
        assert_ok(uhttp_stream_write(loop.held[0], "x", 1));
        loop_pump_for(50);
        assert_int_equal(loop.events[UHTTP_EVENT_CLOSED], 0);
    }
    assert_int_equal(client_answer(newcomer), 200);
    assert_in_range(loop_millis() - start, 240, 1950);
    assert_int_equal(loop_logged("gives way"), 1);
    assert_int_equal(loop.events[UHTTP_EVENT_CLOSED], 1);
}

static void a_slot_whose_client_has_gone_is_free_when_the_program_knows(void **state)
{
    (void)state;
    open_with_slots(1);
    client *gone = hold_one();
    client_reset(gone);
    LOOP_UNTIL(loop_stats().forgotten == 1);
    client *newcomer = client_connect();
    client_send(newcomer, request_a);
    loop_expect_sleep(300);
    client_expect_nothing(newcomer);
    assert_string_equal(uhttp_path(loop.held[0]), "/hold");     /* still readable */
    assert_false(uhttp_is_open(loop.held[0]));
    assert_int_equal(uhttp_fd(loop.held[0]), -1);
    assert_int_equal(uhttp_respond_text(loop.held[0], 200, "x"), UHTTP_ERR_CLOSED);
    assert_int_equal(client_answer(newcomer), 200);
    assert_null(uhttp_find(loop.server, loop.ids[0]));
}

static void what_one_client_did_is_forgotten_for_the_next_in_its_slot(void **state)
{
    (void)state;
    open_with_slots(1);
    client *first = client_connect();
    client_send(first, request_a);
    assert_int_equal(client_answer(first), 200);
    client_send(first, "\r\n");             /* one empty line is passed over for each request */
    loop_pump_for(20);
    client_close(first);
    client *next = client_connect();
    client_send(next, "\r\n");
    client_send(next, request_a);
    assert_int_equal(client_answer(next), 200);
}

static void one_slot_serves_many_clients_one_after_the_other(void **state)
{
    (void)state;
    client *c[6];
    open_with_slots(1);
    for (int i = 0; i < 6; i++) {
        c[i] = client_connect();
        client_send(c[i], request_a);
    }
    for (int i = 0; i < 6; i++)
        assert_int_equal(client_answer(c[i]), 200);
    for (int i = 0; i < 5; i++)
        client_expect_end(c[i]);
    assert_int_equal(loop_stats().accepted, 6);
    assert_int_equal(loop_stats().evicted, 5);
}

/*--- no descriptors -------------------------------------------------------------------*/

/* Leaves not one descriptor. */
static void take_all_descriptors(void)
{
    struct rlimit limit = loop.limit;
    limit.rlim_cur = limit.rlim_cur < 256 ? limit.rlim_cur : 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    loop_fill_descriptors(100000);
    assert_int_equal(dup(0), -1);
    assert_int_equal(errno, EMFILE);
}

static void run_out_of_descriptors(void)
{
    if (loop_is_in_valgrind())
        skip();
    loop_open_default();
    client *held = hold_one();
    client *newcomers[3];
    for (int i = 0; i < 3; i++)
        newcomers[i] = client_socket(AF_INET);
    int port = uhttp_server_port(loop.server);
    take_all_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_connect_v4(newcomers[i], port), 0);
        client_send(newcomers[i], request_a);
    }
    loop_pump(5);
    uint32_t start = loop_millis();
    size_t selects = loop_selects;
    loop.wakes = 0;
    uint64_t failures = loop_stats().accept_failures;
    loop_pump_for(450);
    uint32_t elapsed = loop_millis() - start;
    size_t turns = loop_selects - selects + loop.wakes;
    failures = loop_stats().accept_failures - failures;
    assert_true(loop_stats().waiting);
    bool is_served_too_early = client_receive(newcomers[0]) != 0;
    loop_free_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_answer(newcomers[i]), 200);
        assert_string_equal(newcomers[i]->body, "/a");
    }
    assert_false(is_served_too_early);
    assert_true(failures >= 1 && failures <= 2 + elapsed / 100);
    assert_true(turns <= 10 + elapsed / 20);        /* no spinning */
    assert_int_equal(loop_logged("accept: no descriptors"), 1);
    release(0, held);
    client_check(client_connect(), "/new");
    assert_false(loop_stats().waiting);
}

static void slots_are_many_on_the_heap_and_few_in_fixed_memory(void **state)
{
    static char memory[UHTTP_MEMORY_SIZE(5, 512)];
    uhttp_config config = loop_config();
    (void)state;
    config.max_connections = 0;
    loop_open(&config);
    assert_int_equal(loop.server->config.max_connections, 64);
    assert_int_equal(loop.server->config.backlog, 128);
    loop_close();
    config.memory = memory;             /* for as many as there are by default, and no more */
    config.memory_size = sizeof memory;
    loop_open(&config);
    assert_int_equal(loop.server->config.max_connections, 5);
}

/* One second less than the time kept, unless the time is too short to say so, nothing is kept, or
 * newcomers wait. */
static void a_client_is_told_how_long_its_connection_is_kept(void **state)
{
    static const struct { uint32_t ms; const char *hint; } cases[] = {
        { 0, "timeout=29" }, { 75999, "timeout=74" }, { 2000, "timeout=1" }, { 1999, NULL },
        { UHTTP_NEVER, NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uhttp_config config = loop_config();
        config.keep_alive_timeout_ms = cases[i].ms;
        config.keep_alive_hint = true;
        config.max_connections = 2;
        loop_open(&config);
        client *c = client_connect();
        client_check(c, "/a");
        const char *hint = client_field(c, "Keep-Alive");
        assert_int_equal(hint != NULL, cases[i].hint != NULL);
        if (hint != NULL) {         /* Connection names it: RFC 9110 section 7.6.1 */
            assert_string_equal(hint, cases[i].hint);
            assert_non_null(client_field(c, "Connection"));
            assert_string_equal(client_field(c, "Connection"), "keep-alive");
        }
        client *old = client_connect();
        assert_int_equal(client_ask(old, "GET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
                         200);
        assert_int_equal(client_field(old, "Keep-Alive") != NULL, cases[i].hint != NULL);
        assert_int_equal(client_ask(old, "GET /c HTTP/1.0\r\n\r\n"), 200);
        assert_null(client_field(old, "Keep-Alive"));
        client_expect_end(old);
        client_close(old);
        client *held = hold_one();
        client *third = client_connect();
        LOOP_UNTIL(loop_stats().waiting);
        client_check(c, "/d");
        assert_null(client_field(c, "Keep-Alive"));
        client_close(third);
        release(loop.held_count - 1, held);
        loop_close();
    }
}

/* The one idle longest gives its descriptor, as soon as it has been idle for a second; others
 * for others, not to see whether there are any. */
static void without_descriptors_an_idle_connection_gives_way(void **state)
{
    (void)state;
    if (loop_is_in_valgrind())
        skip();
    loop_open_default();
    client *idle = client_connect();
    client_check(idle, "/before");
    uint32_t start = loop_millis();
    client *later[2];
    for (int i = 0; i < 2; i++) {
        later[i] = client_connect();
        client_check(later[i], "/before");
    }
    loop_pump_for(1050);
    client *newcomer = client_socket(AF_INET);
    int port = uhttp_server_port(loop.server);
    take_all_descriptors();
    assert_int_equal(client_connect_v4(newcomer, port), 0);
    client_send(newcomer, request_a);
    LOOP_UNTIL(loop_stats().evicted == 1);
    assert_true(loop_millis() - start + 20 >= 1000);
    bool is_served = client_answer(newcomer) == 200;
    loop_pump_for(20);
    loop_free_descriptors();
    assert_true(is_served);
    client_expect_end(idle);
    assert_int_equal(loop_stats().evicted, 1);
    assert_int_equal(loop_stats().waiting, 0);
    for (int i = 0; i < 2; i++)
        client_check(later[i], "/after");
}

static void without_descriptors_wait_rests_and_recovers(void **state)
{
    (void)state;
    run_out_of_descriptors();
}

static void without_descriptors_a_foreign_loop_rests_and_recovers(void **state)
{
    (void)state;
    loop.pump = loop_pump_poll;
    run_out_of_descriptors();
}

static void a_server_opens_without_a_descriptor_to_wake_it(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    intptr_t listener = fd;
    struct sockaddr_in at;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    uhttp_config config = loop_config();
    config.listen_fd = &listener;
    take_all_descriptors();
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    loop_free_descriptors();
    assert_int_equal(result, UHTTP_OK);
    assert_int_equal(uhttp_server_wakeup(loop.server), UHTTP_ERR_UNSUPPORTED);
    client_check(client_connect(), "/served");
}

static void a_server_that_finds_no_descriptor_at_open_says_so(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    take_all_descriptors();
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    loop_free_descriptors();
    assert_int_equal(result, UHTTP_ERR_SYSTEM);
    assert_null(loop.server);
}

static void an_accept_that_fails_for_one_peer_does_not_hold_up_the_next(void **state)
{
    static const int errors[] = { ECONNABORTED, EPROTO, EHOSTUNREACH, EINTR };
    (void)state;
    loop_open_default();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        loop_accept_error = errors[i];
        loop_accept_failures = 3;
        client *c = client_connect();
        client_check(c, "/next");
        assert_int_equal(loop_accept_failures, 0);
        assert_int_equal(loop_stats().accept_failures, 0);
        assert_int_equal(loop.line_count, 0);
    }
}

static void an_accept_that_fails_for_want_of_something_is_tried_again_later(void **state)
{
    static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };
    (void)state;
    loop_open_default();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        loop_accept_error = errors[i];
        loop_accept_failures = 1;
        client *c = client_connect();
        uint32_t start = loop_millis();
        client_check(c, "/later");
        assert_true(loop_millis() - start + 1 >= 100);
        assert_int_equal(loop_stats().accept_failures, i + 1);
        assert_int_equal(loop.line_count, 1);       /* once while it goes on */
    }
}

/* Somebody gives way for a newcomer; if that does not help, nobody else does at once. */
static void an_accept_without_memory_costs_one_idle_connection_at_a_time(void **state)
{
    (void)state;
    loop_open_default();
    for (int i = 0; i < 5; i++)
        client_check(client_connect(), "/idle");
    loop_pump_for(1050);
    loop_accept_error = ENOMEM;
    loop_accept_failures = UINT32_MAX;
    client *waiting = client_connect();
    loop_pump_for(50);
    assert_int_equal(loop_stats().evicted, 1);
    assert_int_equal(loop_stats().accept_failures, 1);
    loop_accept_failures = 0;
    client_check(waiting, "/after");
}

static void an_accept_that_always_fails_does_not_keep_the_server_busy(void **state)
{
    (void)state;
    loop_open_default();
    client *served = client_connect();
    client_check(served, "/before");
    loop_accept_error = EPERM;
    loop_accept_failures = UINT32_MAX;
    client *waiting = client_connect();
    loop_expect_sleep(350);
    assert_true(UINT32_MAX - loop_accept_failures < 2000);
    client_check(served, "/meanwhile");
    loop_accept_failures = 0;
    client_check(waiting, "/after");
}

/*--- peers that are slow --------------------------------------------------------------*/

/* Sends a byte now and then until the server answers, which must be no sooner than that. */
static void drip(client *c, uint32_t at_least_ms)
{
    uint32_t start = loop_millis();
    while (!c->ended && c->used == 0) {
        if (loop_millis() - start > LOOP_PATIENCE_MS)
            fail_msg("the server waits for ever");
        client_offer(c, "x", 1);
        loop_pump_for(10);
        client_receive(c);
    }
    assert_true(loop_millis() - start + 1 >= at_least_ms);
}

static void a_slow_head_is_refused_though_it_moves(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.request_timeout_ms = 200;
    config.max_headers_length = 100000;
    loop_open(&config);
    client *c = client_connect();
    client_send(c, "GET /");
    drip(c, 200);
    assert_int_equal(client_answer(c), 408);
    assert_true(client_says_close(c));
    client_await_end(c);
}

static void a_silent_peer_is_closed_without_a_word(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.request_timeout_ms = 120;
    loop_open(&config);
    client *c = client_connect();
    uint32_t start = loop_millis();
    client_expect_end(c);
    assert_true(loop_millis() - start + 1 >= 120);
    assert_int_equal(loop.access_count, 0);
    assert_int_equal(loop_stats().refused, 0);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.keep_alive_timeout_ms = 200;
    config.request_timeout_ms = UHTTP_NEVER;
    loop_open(&config);
    client *never_spoke = client_connect();
    client *c = client_connect();
    client_check(c, "/a");
    loop_pump_for(60);
    client_check(c, "/b");                      /* renews */
    uint32_t start = loop_millis();
    client_expect_end(c);
    assert_true(loop_millis() - start + 5 >= 200);
    client_expect_nothing(never_spoke);         /* a time that is off is off */
    client_check(never_spoke, "/c");
}

static void a_slow_body_is_refused_though_bytes_come_now_and_then(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.body_timeout_ms = 200;
    loop_open(&config);
    for (int chunked = 0; chunked < 2; chunked++) {
        client *c = client_connect();
        client_send(c, chunked ? CHUNKED("/echo") "FFFF\r\n" : POST("/echo", "100000"));
        drip(c, 200);
        assert_int_equal(client_answer(c), 408);
        client_await_end(c);
    }
}

static void a_body_that_makes_progress_may_take_longer_than_its_timeout(void **state)
{
    static char piece[1200];
    (void)state;
    uhttp_config config = loop_config();
    config.body_timeout_ms = 300;
    loop_open(&config);
    client *c = client_connect();
    memset(piece, 'x', sizeof piece);
    client_send(c, POST("/echo", "12000"));
    uint32_t start = loop_millis();
    for (int i = 0; i < 10; i++) {
        loop_sleep(80);                 /* the server looks only after the next piece */
        client_send_bytes(c, piece, sizeof piece);
        loop_pump(0);
    }
    assert_int_equal(client_answer(c), 200);
    assert_int_equal(c->length, 12000);
    assert_true(loop_millis() - start > 2 * 300);
}

static void a_reader_that_does_not_read_is_closed(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.send_timeout_ms = 200;
    loop_open(&config);
    client *c = client_connect_narrow(4096);
    client *other = client_connect();
    client_send(c, GET("/big"));
    uint32_t start = loop_millis();
    LOOP_UNTIL(loop_logged("send_timeout_ms") == 1);
    assert_true(loop_millis() - start + 1 >= 200);
    client_check(other, "/not-disturbed");
    client_await_end(c);
    assert_true(c->used < LOOP_BIG);
}

/* Notes when what has come to a client, and what it has not read, has last become more. */
static void note_what_comes(const client *c, int *come, uint32_t *last, uint32_t start)
{
    int now = 0;
    uint32_t time = loop_millis();
    assert_int_equal(ioctl(c->fd, FIONREAD, &now), 0);
    if (now != *come)
        *last = time;
    *come = now;
    assert_true(time - start < LOOP_PATIENCE_MS);
}

/* What the system's buffer takes for it, megabytes, is no progress of the peer's. */
static void a_reader_that_never_reads_is_closed_after_one_timeout(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.send_timeout_ms = 1500;
    loop_open(&config);
    client *c = client_connect();
    client_agree(c);
    client_send(c, GET("/big"));
    uint32_t start = loop_millis();
    uint32_t last = start;              /* when something has come to it last, unread */
    for (int come = 0; loop_logged("send_timeout_ms") == 0; loop_pump(10))
        note_what_comes(c, &come, &last, start);
    assert_true(loop_millis() - start >= 1500);
    assert_true(loop_millis() - last <= 2250);
    client_await_end(c);
    assert_true(c->used < LOOP_BIG);
}

/* Who is always in the queue, as it sends on, has the same time to read. */
static void a_reader_that_only_sends_is_closed_after_one_timeout(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.send_timeout_ms = 1500;
    loop_open(&config);
    client *c = client_connect_narrow(4096);
    client_agree(c);
    client_send(c, "GET /stream HTTP/1.0\r\nHost: t\r\n\r\n");
    LOOP_UNTIL(loop.held_count == 1);
    uint32_t start = loop_millis();
    uint32_t last = start;
    for (int come = 0; uhttp_find(loop.server, loop.ids[0]) != NULL; loop_pump(0)) {
        static char piece[10000];
        (void)uhttp_stream_write(loop.held[0], piece, sizeof piece);
        (void)client_offer(c, "x", 1);
        note_what_comes(c, &come, &last, start);
    }
    assert_true(loop_millis() - start >= 1500);
    assert_true(loop_millis() - last <= 2250);
    assert_int_equal(loop_logged("send_timeout_ms"), 1);
}

static char late_answer[8000000];
static size_t late_length;

static void answer_at_length(uhttp_conn *c)
{
    if (strcmp(uhttp_path(c), "/late") == 0) {
        loop_hold(c);
        assert_ok(uhttp_respond(c, 200, "application/x", late_answer, late_length));
    } else {
        loop_app(c);
    }
}

/* The empty line behind a request is no request, for which the end of its answer may wait. */
static void the_end_of_an_answer_is_not_cut_for_a_newcomer(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        uhttp_config config = loop_config();
        config.max_connections = 1;
        config.max_send_buffer = sizeof late_answer + 1000000;
        loop_open(&config);
        loop.handler = answer_at_length;
        late_length = sizeof late_answer;
        client *c = client_connect_narrow(4096);    /* how much does the system take? */
        client_send(c, GET("/late") "\r\n");
        LOOP_UNTIL(loop.held_count == 1);
        loop_pump_for(200);
        uhttp_conn *slot = loop.held[0];
        late_length -= uh_buf_used(&slot->tx) - 2000;
        client_reset(c);
        LOOP_UNTIL(loop_stats().connections == 0);
        c = client_connect_narrow(4096);
        client_send(c, GET("/late") "\r\n");
        LOOP_UNTIL(loop.held_count == 2);
        loop_pump_for(200);
        client *newcomer = client_connect();
        client_send(newcomer, GET("/new"));
        loop_pump_for(1500);
        assert_int_equal(client_answer(c), 200);
        assert_int_equal(c->length, late_length);
        assert_int_equal(client_answer(newcomer), 200);
        loop.held_count = 0;
        loop_close();
        client_close(c);
        client_close(newcomer);
    }
}

static void a_reader_that_reads_slowly_is_not_closed(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.send_timeout_ms = 500;
    loop_open(&config);
    client *c = client_connect_narrow(16384);
    client_send(c, GET("/big"));
    client_await_head(c);
    uint64_t offset = 0;
    for (uint32_t start = loop_millis(); loop_millis() - start < 2000; ) {
        client_drain_pattern(c, &offset, offset + 16384);
        loop_pump_for(30);
        assert_int_equal(loop_logged("send_timeout_ms"), 0);
    }
    client_drain_pattern(c, &offset, LOOP_BIG);
    client_check(c, "/and-kept");
}

/* Until the program learns that the client has gone: by a call, or by an event. */
static void write_until_closed(uhttp_conn *c)
{
    static char piece[10000];
    uint32_t start = loop_millis();
    while (loop_holds(c)) {
        uhttp_result result = uhttp_stream_write(c, piece, sizeof piece);
        if (result == UHTTP_ERR_CLOSED)
            return;
        assert_true(result == UHTTP_OK || result == UHTTP_ERR_AGAIN);
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
        loop_pump(0);
    }
}

static void a_stream_nobody_reads_ends_but_one_with_nothing_to_say_does_not(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.send_timeout_ms = 150;
    loop_open(&config);
    client *quiet = client_connect();
    client_send(quiet, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 1);
    client *stuck = client_connect_narrow(4096);
    client_send(stuck, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 2);
    write_until_closed(loop.held[1]);
    assert_int_equal(loop_logged("send_timeout_ms"), 1);
    loop_pump_for(200);
    assert_true(uhttp_is_open(loop.held[0]));
    assert_ok(uhttp_stream_write(loop.held[0], "tick", 4));
    assert_ok(uhttp_stream_end(loop.held[0]));
    assert_int_equal(client_answer(quiet), 200);
    assert_string_equal(quiet->body, "tick");
    client_await_end(stuck);
}

static void a_request_held_too_long_is_answered_for_the_program(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.response_timeout_ms = 150;
    loop_open(&config);
    client *c = client_connect();
    uint32_t start = loop_millis();
    client_send(c, GET("/hold"));
    assert_int_equal(client_answer(c), 503);
    assert_true(loop_millis() - start + 1 >= 150);
    assert_string_equal(uhttp_path(loop.held[0]), "/hold");
    client_expect_end(c);
    assert_int_equal(uhttp_respond_text(loop.held[0], 200, "late"), UHTTP_ERR_CLOSED);
    client_close(c);
    LOOP_UNTIL(loop_stats().connections == 0);
    assert_null(uhttp_find(loop.server, loop.ids[0]));
}

static void a_held_request_has_no_deadline_unless_configured(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.request_timeout_ms = config.body_timeout_ms = config.send_timeout_ms = 50;
    config.keep_alive_timeout_ms = 50;
    loop_open(&config);
    client *c = hold_one();
    loop_pump_for(400);
    release(0, c);
}

static void who_is_refused_may_linger_for_two_seconds_and_no_longer(void **state)
{
    static char piece[65536];
    (void)state;
    loop_open_default();
    uint32_t start = loop_millis();     /* however slow the machine is, they linger from later on */
    client *quiet = let_one_linger();
    client *pushing = let_one_linger();
    uint32_t cut_off = 0;
    while (loop_stats().connections > 0 || cut_off == 0) {
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
        if (cut_off == 0 && client_offer(pushing, piece, sizeof piece) < 0)
            cut_off = loop_millis() - start;
        loop_pump(1);
    }
    assert_true(loop_millis() - start + 10 >= 2000);
    assert_true(cut_off + 10 >= 2000);
    client_close(quiet);
}

/*--- peers that half-close ------------------------------------------------------------*/

static void a_peer_that_shut_its_side_gets_all_its_answers(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, request_a);
    client_shut(c);
    assert_int_equal(client_answer(c), 200);
    client_expect_end(c);

    client *several = client_connect();
    client_send(several, GET("/1") POST("/echo", "3") "abcGET /3 HTTP/1.0\r\n\r\n");
    client_shut(several);
    assert_int_equal(client_answer(several), 200);
    assert_string_equal(several->body, "/1");
    assert_int_equal(client_answer(several), 200);
    assert_string_equal(several->body, "abc");
    assert_int_equal(client_answer(several), 200);
    assert_string_equal(several->body, "/3");
    client_expect_end(several);

    client *big = client_connect_narrow(8192);
    client_send(big, GET("/big"));
    client_shut(big);
    client_await_head(big);
    uint64_t offset = 0;
    client_drain_pattern(big, &offset, LOOP_BIG);
    client_expect_end(big);
}

static void a_peer_that_shut_its_side_may_be_answered_later(void **state)
{
    (void)state;
    loop_open_default();
    client *held = hold_one();
    client_shut(held);
    client *streaming = client_connect();
    client_send(streaming, GET("/stream"));
    client_shut(streaming);
    LOOP_UNTIL(loop.held_count == 2);
    LOOP_UNTIL(!uhttp_is_open(loop.held[0]) && !uhttp_is_open(loop.held[1]));
    loop_expect_sleep(200);                     /* a socket at its end stays readable */
    assert_int_equal(loop_stats().connections, 2);
    release(0, held);
    client_expect_end(held);
    assert_ok(uhttp_stream_write(loop.held[1], "s", 1));
    assert_ok(uhttp_stream_end(loop.held[1]));
    assert_int_equal(client_answer(streaming), 200);
    assert_string_equal(streaming->body, "s");
    client_expect_end(streaming);
}

static void a_stream_with_nothing_to_say_ends_when_its_peer_has_shut_its_side(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.send_timeout_ms = 150;
    loop_open(&config);
    client *open = client_connect();
    client_send(open, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 1);
    client *shut = client_connect();
    client_send(shut, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 2);
    client_shut(shut);
    LOOP_UNTIL(uhttp_find(loop.server, loop.ids[1]) == NULL);
    client_await_end(shut);
    loop_pump_for(200);
    assert_ptr_equal(uhttp_find(loop.server, loop.ids[0]), loop.held[0]);
    assert_ok(uhttp_stream_end(loop.held[0]));
    assert_int_equal(client_answer(open), 200);
}

/*--- peers that leave behind input for which there is no room ---------------------------*/

#if UH_TELLS_LEAVING

/* A request, and behind it so many more that neither the server's buffers nor one reading of
 * them find their end. */
enum { BEHIND = 3000 };

static client *client_asks_much(const char *first)
{
    static char text[BEHIND * 28 + 1];
    for (int i = 0; i < BEHIND; i++)
        memcpy(text + 28 * i, request_a, 28);
    unsigned before = loop.held_count;
    client *c = client_connect();
    client_send(c, first);
    client_send(c, text);
    LOOP_UNTIL(loop.held_count == before + 1);
    loop_pump_for(20);
    return c;
}

static void a_reset_behind_full_input_is_noticed(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = loop_config();
        config.event_mode = event_mode == 1;
        loop_open(&config);
        loop.handler = event_mode == 1 ? loop_event_app : loop_app;
        client *other = client_connect();
        client *streaming = client_asks_much(GET("/stream"));
        client *waiting = client_asks_much(GET("/hold"));
        uint64_t ids[] = { loop.ids[0], loop.ids[1] };
        loop_pump_for(1100);
        assert_true(uhttp_is_open(loop.held[0]) && uhttp_is_open(loop.held[1]));
        client_reset(streaming);
        client_reset(waiting);
        if (event_mode == 1)
            LOOP_UNTIL(loop.events[UHTTP_EVENT_CLOSED] == 2);
        LOOP_UNTIL(uhttp_find(loop.server, ids[0]) == NULL);
        LOOP_UNTIL(uhttp_find(loop.server, ids[1]) == NULL);
        client_check(other, "/served");
        LOOP_UNTIL(loop_stats().connections == 1);
        loop.held_count = 0;
        loop_close();
        client_close(other);
    }
}

static void a_stream_ends_behind_full_input_when_its_peer_has_shut_its_side(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_asks_much(GET("/stream"));
    client_shut(c);
    LOOP_UNTIL(!uhttp_is_open(loop.held[0]));
    assert_ok(uhttp_stream_write(loop.held[0], "last", 4));
    LOOP_UNTIL(uhttp_find(loop.server, loop.ids[0]) == NULL);
    client_await_end(c);
}

static void what_was_asked_before_a_peer_shut_its_side_is_answered(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop_open(&config);
    client *c = client_asks_much(GET("/hold"));
    client_shut(c);
    LOOP_UNTIL(!uhttp_is_open(loop.held[0]));
    loop_expect_sleep(200);
    release(0, c);
    for (int i = 0; i < BEHIND; i++)
        assert_int_equal(client_answer(c), 200);
    client_expect_end(c);
}

static void hold_at_head(uhttp_conn *c)
{
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS)
        loop_hold(c);
    else
        loop_event_app(c);
}

static void a_peer_that_leaves_behind_a_body_nobody_reads_is_noticed(void **state)
{
    (void)state;
    for (int by_reset = 0; by_reset < 2; by_reset++) {
        uhttp_config config = loop_config();
        config.event_mode = true;
        loop_open(&config);
        loop.handler = hold_at_head;
        client *c = client_connect();
        client_send(c, POST("/echo", "4000000"));
        client_send_bytes(c, loop_pattern(0), 60000);   /* less than the systems hold */
        LOOP_UNTIL(loop.held_count == 1);
        if (by_reset == 1) {
            client_reset(c);
            LOOP_UNTIL(loop.events[UHTTP_EVENT_CLOSED] == 1);
        } else {
            client_shut(c);
            LOOP_UNTIL(!uhttp_is_open(loop.held[0]));
            assert_ok(uhttp_respond_error(loop.held[0], 401));
            assert_int_equal(client_answer(c), 401);
        }
        LOOP_UNTIL(loop_stats().connections == 0);
        loop.held_count = 0;
        loop_close();
        client_close(c);
    }
}

#endif

static void a_peer_that_shuts_its_side_within_a_request_is_refused_or_closed(void **state)
{
    (void)state;
    loop_open_default();
    client *head = client_connect();
    client_send(head, "GET / HTTP/1.1\r\nHos");
    client_shut(head);
    client_expect_end(head);
    client *body = client_connect();
    client_send(body, POST("/echo", "10") "abc");
    client_shut(body);
    assert_int_equal(client_answer(body), 400);
    client_expect_end(body);
    client *chunked = client_connect();
    client_send(chunked, CHUNKED("/echo") "3\r\nabc\r\n");
    client_shut(chunked);
    assert_int_equal(client_answer(chunked), 400);
    client_expect_end(chunked);
    client *nothing = client_connect();
    client_shut(nothing);
    client_expect_end(nothing);
    assert_int_equal(loop.requests, 0);
}

/*--- peers that reset -----------------------------------------------------------------*/

/* What the program still holds after its client has reset is ended in every possible way. */
static void end_what_is_held(int way)
{
    while (loop.held_count > 0) {
        uhttp_conn *c = loop.held[loop.held_count - 1];
        uint64_t id = loop.ids[loop.held_count - 1];
        bool is_stream = strcmp(uhttp_path(c), "/stream") == 0;
        uhttp_result result = UHTTP_OK;
        if (way == 0 && is_stream)
            write_until_closed(c);
        else if (way == 0)
            result = uhttp_respond_static(c, 200, NULL, loop_big(), LOOP_BIG);
        else if (way == 1 && is_stream)
            result = uhttp_stream_end(c);
        else if (way == 1)
            result = uhttp_respond_text(c, 200, "x");
        else if (way == 2)
            result = uhttp_close(c);
        else
            LOOP_UNTIL(uhttp_find(loop.server, id) == NULL);
        assert_true(result == UHTTP_OK || result == UHTTP_ERR_CLOSED);
        loop_let_go(c);
    }
}

static void reset_at_every_moment(bool event_mode)
{
    static const char *const sent[] = {
        "",
        "G",
        "GET /a HTTP/1.1\r\nHost: t\r\n",
        GET("/a"),
        GET("/a") GET("/b") "GET",
        POST("/echo", "10"),
        POST("/echo", "10") "abc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        CHUNKED("/echo") "3\r\nab",
        GET("/hold"),
        GET("/hold") GET("/hold"),
        GET("/stream"),
        "GET /stream HTTP/1.0\r\n\r\n",
        GET("/big"),
        "GET /big HTTP/1.0\r\n\r\n",
        POST("/", "99999999") "abc",
        "bad\r\n\r\n",
    };
    uhttp_config config = loop_config();
    config.event_mode = event_mode;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop_open(&config);
    client *other = client_connect();
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        for (int moment = 0; moment < 3; moment++) {
            for (int way = 0; way < 4; way++) {
                client *c = client_connect_narrow(8192);
                bool waits = strstr(sent[i], "/hold") != NULL ||
                             strstr(sent[i], "/stream") != NULL;
                client_send(c, sent[i]);
                if (moment > 0 && waits)
                    LOOP_UNTIL(loop.held_count > 0);
                if (moment > 0)
                    loop_pump(0);
                if (moment == 2)
                    client_receive_some(c, 100);
                client_reset(c);
                if (moment == 2)
                    loop_pump(0);
                if (waits && loop.held_count == 0)
                    loop_pump(1);           /* it may have been lost on the way, or not */
                end_what_is_held(way);
                client_check(other, "/not-disturbed");
                LOOP_UNTIL((end_what_is_held(way), loop_stats().connections == 1));
                loop.access_count = loop.line_count = 0;
                client_forget(c);
            }
        }
    }
}

static void a_reset_at_any_moment_disturbs_nobody(void **state)
{
    (void)state;
    reset_at_every_moment(false);
}

static void a_reset_at_any_moment_disturbs_nobody_in_event_mode(void **state)
{
    (void)state;
    reset_at_every_moment(true);
}

static volatile sig_atomic_t pipe_signals;

static void on_pipe(int number)
{
    (void)number;
    pipe_signals++;
}

static void writing_to_a_peer_that_has_gone_raises_no_signal(void **state)
{
    (void)state;
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_pipe;
    sigaction(SIGPIPE, &action, &old);
    pipe_signals = 0;
    for (int by_reset = 0; by_reset < 2; by_reset++) {
        loop_open_default();
        client *c[4];
        for (int i = 0; i < 4; i++) {
            c[i] = client_connect_narrow(8192);
            client_send(c[i], i < 2 ? GET("/stream") : i == 2 ? GET("/hold") : GET("/big"));
        }
        LOOP_UNTIL(loop.held_count == 3);
        for (int i = 0; i < 4; i++) {
            if (by_reset == 1)
                client_reset(c[i]);
            else
                client_close(c[i]);
        }
        end_what_is_held(0);
        LOOP_UNTIL(loop_stats().connections == 0);
        loop_close();
    }
    sigaction(SIGPIPE, &old, NULL);
    assert_int_equal(pipe_signals, 0);
}

/*--- early refusals that arrive -------------------------------------------------------*/

#define UPLOAD (10u * 1024 * 1024)

/* Refuses bodies in event mode; everything else is the program of the others. */
static void refuse_bodies(uhttp_conn *c)
{
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS)
        assert_ok(uhttp_respond_error(c, 401));
    else
        loop_event_app(c);
}

static void upload_in_vain(const char *head, bool chunked, int status)
{
    client *c = client_connect();
    client_send(c, head);
    for (unsigned sent = 0; sent < UPLOAD; sent += LOOP_PERIOD) {
        const char *line = loop_text("%x\r\n", LOOP_PERIOD);
        bool ok = !chunked || client_try_send(c, line, strlen(line));
        ok = ok && client_try_send(c, loop_pattern(0), LOOP_PERIOD);
        ok = ok && (!chunked || client_try_send(c, "\r\n", 2));
        if (!ok)
            fail_msg("the connection was lost (%s) after %u bytes", strerror(errno), sent);
    }
    assert_int_equal(client_answer(c), status);
    assert_true(client_says_close(c));
    client_expect_end(c);
    client_close(c);
    LOOP_UNTIL(loop_stats().connections == 0);
}

static void an_early_refusal_reaches_a_client_that_goes_on_sending(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = loop_config();
        config.event_mode = event_mode == 1;
        config.max_content_length = 100000;
        loop_open(&config);
        upload_in_vain(POST("/echo", "10500000"), false, 413);
        upload_in_vain(CHUNKED("/echo"), true, 413);
        upload_in_vain(POST("/echo", "-1"), false, 400);
        loop.handler = event_mode == 1 ? refuse_bodies : loop_app;
        if (event_mode == 1)
            upload_in_vain(POST("/echo", "10500000"), false, 401);
        loop_close();
        loop.handler = loop_app;
    }
}

/*--- nobody keeps the others waiting, and nothing spins -------------------------------*/

static unsigned flood_answers;

static void answer_the_flood(uhttp_conn *c)
{
    flood_answers++;
    assert_ok(uhttp_respond_text(c, 200, "x"));
}

static void a_peer_that_never_stops_asking_leaves_the_others_their_turns(void **state)
{
    static char burst[28 * 1000 + 1];
    (void)state;
    uhttp_config config = loop_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    config.request_timeout_ms = 150;
    loop_open(&config);
    for (int i = 0; i < 1000; i++)
        memcpy(burst + 28 * i, request_a, 28);
    client *flood = client_connect();
    client_agree(flood);
    client *slow = client_connect();
    client_send(slow, "GET");
    client *other = client_connect();
    client_check(other, "/before");
    loop.handler = answer_the_flood;
    unsigned worst = 0;
    size_t at = 0;
    for (int round = 0; round < 300 || flood_answers <= 1000; round++) {
        assert_true(round < 30000);
        /* the flood never ends: as much as the socket takes, as often as we look */
        for (ssize_t n = 1; n > 0; at = (at + (size_t)(n > 0 ? n : 0)) % (sizeof burst - 1))
            n = client_offer(flood, burst + at, sizeof burst - 1 - at);
        while (client_receive(flood) > 0)
            flood->used = 0;
        client_offer(other, request_a, 28);
        unsigned turns = 0;
        while (client_receive(other) <= 0) {
            uhttp_conn *c = uhttp_wait(loop.server, 0);
            turns++;
            if (c != NULL)
                answer_the_flood(c);
            if (turns > 1000)
                fail_msg("the other client waited for %u turns", turns);
        }
        assert_true(client_take(other));
        worst = turns > worst ? turns : worst;
        if (round % 30 == 0)
            loop_sleep(10);
    }
    assert_true(worst < 300);
    assert_int_equal(client_answer(slow), 408);         /* deadlines fire beside it */
}

static void a_stream_to_a_fast_reader_leaves_the_others_their_turns(void **state)
{
    static char piece[4096];
    (void)state;
    uhttp_config config = loop_config();
    config.event_mode = true;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    config.request_timeout_ms = 150;
    loop_open(&config);
    client *reader = client_connect();
    client_send(reader, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 1);
    client *slow = client_connect();
    client_send(slow, "GET");
    client *other = client_connect();
    client_check(other, "/before");
    uint64_t written = 0;
    for (int round = 0; round < 300; round++) {
        client_offer(other, request_a, 28);
        unsigned turns = 0;
        while (client_receive(other) <= 0) {
            while (uhttp_stream_write(loop.held[0], piece, sizeof piece) == UHTTP_OK)
                written += sizeof piece;
            uhttp_conn *c = uhttp_wait(loop.server, 0);
            if (c != NULL && c != loop.held[0])
                loop_event_app(c);
            while (client_receive(reader) > 0)
                reader->used = 0;
            if (++turns > 300)
                fail_msg("the other client waited for %u turns", turns);
        }
        assert_true(client_take(other));
        if (round % 30 == 0)
            loop_sleep(10);
    }
    assert_true(written > sizeof piece * 100);
    assert_int_equal(client_answer(slow), 408);
    assert_ok(uhttp_close(loop.held[0]));
}

static void decide_nothing(uhttp_conn *c)
{
    loop_hold(c);
}

static void accept_and_do_not_read(uhttp_conn *c)
{
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS)
        assert_ok(uhttp_accept_body_streaming(c, 0));
    loop.events[uhttp_event(c)]++;
}

static void a_server_with_nothing_to_do_sleeps_whatever_its_connections_are_in(void **state)
{
    static const char *const sent[] = {
        "",
        GET("/kept"),
        "GET /half HT",
        POST("/echo", "100000") "ab",
        CHUNKED("/echo") "5\r\nab",
        GET("/hold"),
        GET("/hold") GET("/b"),
        GET("/stream"),
        GET("/big"),
        POST("/", "99999999"),
        "bad\r\n\r\n",
    };
    (void)state;
    for (int half_closed = 0; half_closed < 2; half_closed++) {
        for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
            loop_open_default();
            client *c = client_connect_narrow(8192);
            client_send(c, sent[i]);
            if (half_closed == 1)
                client_shut(c);
            loop_pump_for(10);
            loop_expect_sleep(60);
            loop_close();
            loop.held_count = 0;
        }
    }
}

static void a_body_nobody_wants_yet_stops_its_sender_and_nothing_spins(void **state)
{
    (void)state;
    static void (*const handlers[])(uhttp_conn *) = { decide_nothing, accept_and_do_not_read };
    for (int i = 0; i < 2; i++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            uhttp_config config = loop_config();
            config.event_mode = true;
            config.body_timeout_ms = 100;   /* stands still while it is not their turn */
            loop_open(&config);
            loop.handler = handlers[i];
            client *c = client_connect();
            client_send(c, chunked ? CHUNKED("/echo") "FFFFFFF\r\n"
                                   : POST("/echo", "268435455"));
            /* more and more until the sender is stopped */
            unsigned stopped = 0;
            uint64_t sent = 0;
            while (stopped < 20) {
                ssize_t n = client_offer(c, loop_pattern(0), LOOP_PERIOD);
                assert_true(n >= 0);
                stopped = n == 0 ? stopped + 1 : 0;
                sent += (uint64_t)n;
                assert_true(sent < 200u * 1024 * 1024);
                loop_pump(n == 0 ? 2 : 0);
            }
            assert_true(loop_stats().bytes_in < 300 * 1024);
            loop_expect_sleep(250);
            client_expect_nothing(c);               /* nor was it refused for being slow */
            loop_close();
            loop.held_count = 0;
            client_close(c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_newcomer_takes_the_place_of_the_one_idle_longest),
        LOOP_TEST(one_that_only_waits_to_be_closed_gives_way_next),
        LOOP_TEST(slots_are_many_on_the_heap_and_few_in_fixed_memory),
#ifdef __linux__
        LOOP_TEST(the_system_is_to_find_out_when_a_peer_has_vanished),
#endif
        LOOP_TEST_PLAIN(a_client_is_told_how_long_its_connection_is_kept,
                        "a newcomer without a slot cannot finish its handshake")
        LOOP_TEST(busy_clients_take_turns_with_a_newcomer),
        LOOP_TEST(one_that_has_not_spoken_gives_way_after_a_second),
        LOOP_TEST_PLAIN(a_request_in_hand_held_or_streaming_is_never_dropped_for_a_newcomer,
                        "a newcomer without a slot cannot finish its handshake and ask")
        LOOP_TEST_PLAIN(a_kept_alive_connection_whose_request_has_come_is_not_evicted,
                        "a newcomer without a slot cannot finish its handshake and ask")
        LOOP_TEST_PLAIN(a_stream_whose_client_shut_its_side_gives_way_to_a_newcomer,
                        "a newcomer without a slot cannot finish its handshake and ask")
        LOOP_TEST_PLAIN(a_slot_whose_client_has_gone_is_free_when_the_program_knows,
                        "a newcomer without a slot cannot finish its handshake and ask")
        LOOP_TEST(what_one_client_did_is_forgotten_for_the_next_in_its_slot),
        LOOP_TEST(one_slot_serves_many_clients_one_after_the_other),
        LOOP_TEST_PLAIN(without_descriptors_wait_rests_and_recovers,
                        "a newcomer without a descriptor cannot finish its handshake and ask")
        LOOP_TEST_PLAIN(without_descriptors_an_idle_connection_gives_way,
                        "a newcomer without a descriptor cannot finish its handshake and ask")
        LOOP_TEST_PLAIN(without_descriptors_a_foreign_loop_rests_and_recovers,
                        "a newcomer without a descriptor cannot finish its handshake and ask")
        LOOP_TEST_PLAIN(a_server_opens_without_a_descriptor_to_wake_it,
                        "certificates are read through descriptors")
        LOOP_TEST(a_server_that_finds_no_descriptor_at_open_says_so),
        LOOP_TEST(an_accept_that_fails_for_one_peer_does_not_hold_up_the_next),
        LOOP_TEST(an_accept_that_fails_for_want_of_something_is_tried_again_later),
        LOOP_TEST(an_accept_without_memory_costs_one_idle_connection_at_a_time),
        LOOP_TEST(an_accept_that_always_fails_does_not_keep_the_server_busy),
        LOOP_TEST(a_slow_head_is_refused_though_it_moves),
        LOOP_TEST(a_silent_peer_is_closed_without_a_word),
        LOOP_TEST(an_idle_connection_is_closed_without_a_word),
        LOOP_TEST(a_slow_body_is_refused_though_bytes_come_now_and_then),
        LOOP_TEST(a_body_that_makes_progress_may_take_longer_than_its_timeout),
        LOOP_TEST(a_reader_that_does_not_read_is_closed),
        LOOP_TEST(a_reader_that_never_reads_is_closed_after_one_timeout),
        LOOP_TEST(a_reader_that_only_sends_is_closed_after_one_timeout),
        LOOP_TEST_PLAIN(the_end_of_an_answer_is_not_cut_for_a_newcomer,
                        "counts the bytes of the answer in the system's buffer")
        LOOP_TEST(a_reader_that_reads_slowly_is_not_closed),
        LOOP_TEST(a_stream_nobody_reads_ends_but_one_with_nothing_to_say_does_not),
        LOOP_TEST(a_request_held_too_long_is_answered_for_the_program),
        LOOP_TEST(a_held_request_has_no_deadline_unless_configured),
        LOOP_TEST(who_is_refused_may_linger_for_two_seconds_and_no_longer),
        LOOP_TEST(a_peer_that_shut_its_side_gets_all_its_answers),
        LOOP_TEST(a_peer_that_shut_its_side_may_be_answered_later),
        LOOP_TEST(a_stream_with_nothing_to_say_ends_when_its_peer_has_shut_its_side),
#if UH_TELLS_LEAVING
        LOOP_TEST(a_reset_behind_full_input_is_noticed),
        LOOP_TEST(a_stream_ends_behind_full_input_when_its_peer_has_shut_its_side),
        LOOP_TEST(what_was_asked_before_a_peer_shut_its_side_is_answered),
        LOOP_TEST(a_peer_that_leaves_behind_a_body_nobody_reads_is_noticed),
#endif
        LOOP_TEST(a_peer_that_shuts_its_side_within_a_request_is_refused_or_closed),
        LOOP_TEST(a_reset_at_any_moment_disturbs_nobody),
        LOOP_TEST(a_reset_at_any_moment_disturbs_nobody_in_event_mode),
        LOOP_TEST(writing_to_a_peer_that_has_gone_raises_no_signal),
        LOOP_TEST(an_early_refusal_reaches_a_client_that_goes_on_sending),
        LOOP_TEST(a_peer_that_never_stops_asking_leaves_the_others_their_turns),
        LOOP_TEST_PLAIN(a_stream_to_a_fast_reader_leaves_the_others_their_turns,
                        "so much is encrypted that it takes ten seconds")
        LOOP_TEST(a_server_with_nothing_to_do_sleeps_whatever_its_connections_are_in),
        LOOP_TEST(a_body_nobody_wants_yet_stops_its_sender_and_nothing_spins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
