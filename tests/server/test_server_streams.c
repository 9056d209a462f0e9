/* test_server_streams.c - streams over real sockets: listeners that stay, leave or read slowly,
 * in every kind of loop */
#include "loopback.h"

static uhttp_conn *streaming[LOOP_CLIENTS];     /* in the order they came */
static unsigned streaming_count;
static unsigned closed_events, writable_events;

/* Begins a stream of events for everybody, and counts what it is told. */
static void handle_listener(uhttp_conn *c)
{
    switch ((int)uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
        assert_ok(uhttp_sse_begin(c));
        assert_true(streaming_count < LOOP_CLIENTS);
        streaming[streaming_count++] = c;
        break;
    case UHTTP_EVENT_WRITABLE:
        writable_events++;
        break;
    case UHTTP_EVENT_CLOSED:
        closed_events++;
        break;
    default:
        fail_msg("event %d", (int)uhttp_event(c));
    }
}

static void open_listeners(bool event_mode)
{
    uhttp_config config = loop_config();
    config.event_mode = event_mode;
    config.max_send_buffer = 8192;
    loop_open(&config);
    loop.handler = handle_listener;
    streaming_count = closed_events = writable_events = 0;
}

/* A client whose stream has begun, its head read. */
static client *listener(void)
{
    unsigned before = streaming_count;
    client *c = client_connect();
    client_send(c, "GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
    LOOP_UNTIL(streaming_count == before + 1);
    client_await_head(c);
    assert_int_equal(c->status, 200);
    assert_string_equal(client_field(c, "Content-Type"), "text/event-stream");
    return c;
}

static uhttp_result send_number(uhttp_conn *c, unsigned number)
{
    char data[16];
    uhttp_sse_event event;
    memset(&event, 0, sizeof event);
    snprintf(data, sizeof data, "%u", number);
    event.data = data;
    return uhttp_sse_send(c, &event);
}

static bool has_heard(client *c, const char *text)
{
    client_receive(c);
    return c->used > 0 && strstr(c->in, text) != NULL;
}

static void events_reach_every_listener_in_every_kind_of_loop(void **state)
{
    static void (*const pumps[])(uhttp_server *server, int timeout_ms) = {
        loop_pump_wait, loop_pump_poll, loop_pump_select
    };
    client *clients[8];
    (void)state;
    open_listeners(true);
    for (int i = 0; i < 8; i++)
        clients[i] = listener();
    for (unsigned kind = 0; kind < 3; kind++) {
        char text[32];
        loop.pump = pumps[kind];
        unsigned count = 0;
        for (uhttp_conn *c = uhttp_next(loop.server, NULL); c != NULL;
             c = uhttp_next(loop.server, c)) {
            assert_ok(send_number(c, 1000 + kind));
            count++;
        }
        assert_int_equal(count, 8);
        snprintf(text, sizeof text, "c\r\ndata: %u\n\n\r\n", 1000 + kind);
        for (int i = 0; i < 8; i++)
            LOOP_UNTIL(has_heard(clients[i], text));
        loop_expect_sleep(100);
    }
}

static void listener_that_resets_is_noticed_without_a_word_from_us(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        open_listeners(event_mode);
        client *stays = listener();
        client *leaves = listener();
        loop_expect_sleep(100);
        uint32_t start = loop_millis();
        client_reset(leaves);
        LOOP_UNTIL(uhttp_find(loop.server, uhttp_id(streaming[1])) == NULL);
        assert_true(loop_millis() - start < 5000);      /* no deadline was waited for */
        assert_int_equal(closed_events, event_mode);
        assert_ok(send_number(streaming[0], 1));
        LOOP_UNTIL(has_heard(stays, "data: 1\n"));
        assert_ok(uhttp_close(streaming[0]));
        client_close(stays);
        loop_close();
    }
}

static void listener_that_only_shut_its_side_hears_the_rest(void **state)
{
    (void)state;
    open_listeners(true);
    client *c = listener();
    client_shut(c);
    LOOP_UNTIL(!uhttp_is_open(streaming[0]));
    loop_expect_sleep(100);                 /* an end that stays readable does not spin */
    assert_ok(send_number(streaming[0], 5));
    assert_ok(uhttp_sse_end(streaming[0]));
    client_await_end(c);
    assert_int_equal(c->error, 0);
    assert_non_null(strstr(c->in, "data: 5\n\n\r\n0\r\n\r\n"));
    assert_int_equal(closed_events, 0);
}

/* Both answers to a slow listener; the other one hears everything. */
static void slow_listener_is_skipped_or_dropped_as_the_program_likes(void **state)
{
    static char large[4000];
    uhttp_sse_event event;
    (void)state;
    memset(large, 'x', sizeof large - 1);
    memset(&event, 0, sizeof event);
    event.data = large;
    open_listeners(true);
    client *slow = client_connect_narrow(4096);
    client_send(slow, "GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
    LOOP_UNTIL(streaming_count == 1);
    int small = 4096;
    setsockopt((int)uhttp_fd(streaming[0]), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    client *other = listener();
    size_t heard = 0;
    unsigned skipped = 0;
    for (unsigned round = 0; round < 100; round++) {
        assert_ok(uhttp_sse_send(streaming[1], &event));
        uhttp_result result = uhttp_sse_send(streaming[0], &event);
        skipped += result == UHTTP_ERR_AGAIN;
        assert_true(result == UHTTP_OK || result == UHTTP_ERR_AGAIN);
        while (heard < (round + 1) * sizeof large) {
            loop_pump(2);
            client_receive(other);
            heard += other->used;
            client_drop(other, other->used);
        }
    }
    assert_true(skipped > 50);
    /* some of what was owed the system may have taken late */
    assert_true(writable_events < skipped);
    while (uhttp_sse_send(streaming[0], &event) == UHTTP_OK) { }
    unsigned before = writable_events;
    client_receive_some(slow, 65536);
    LOOP_UNTIL(client_receive(slow) == 0 && writable_events > before);
    assert_int_equal(writable_events, before + 1);
    assert_ok(uhttp_sse_send(streaming[0], &event));
    assert_ok(uhttp_close(streaming[0]));
    client_await_end(slow);                 /* cut: it does not look complete */
    assert_null(strstr(slow->in, "\r\n0\r\n\r\n"));
    assert_ok(uhttp_sse_end(streaming[1]));
    LOOP_UNTIL(has_heard(other, "0\r\n\r\n"));
}

static void connection_is_kept_alive_behind_a_stream(void **state)
{
    (void)state;
    open_listeners(true);
    client *c = listener();
    for (unsigned i = 0; i < 5; i++) {
        assert_ok(send_number(streaming[i], i));
        assert_ok(uhttp_sse_end(streaming[i]));
        LOOP_UNTIL(has_heard(c, "0\r\n\r\n"));
        client_drop(c, c->used);
        client_send(c, "GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
        LOOP_UNTIL(streaming_count == i + 2);
        client_await_head(c);
    }
    assert_int_equal(loop_stats().accepted, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(events_reach_every_listener_in_every_kind_of_loop),
        LOOP_TEST(listener_that_resets_is_noticed_without_a_word_from_us),
        LOOP_TEST(listener_that_only_shut_its_side_hears_the_rest),
        LOOP_TEST_PLAIN(slow_listener_is_skipped_or_dropped_as_the_program_likes,
                        "of records the socket may take some later, and there is room early")
        LOOP_TEST(connection_is_kept_alive_behind_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
