/* What a stream, its events, rows and frames look like on the wire, over peers made of byte
 * arrays. That every bottleneck gives the same is in test_machine.c. */
#include "memory_transport.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#define GET_11 "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_10 "GET / HTTP/1.0\r\n\r\n"
#define HEAD_11 "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

static char pattern[100000];

static void settle(void) { CHECK(world_next() == NULL); }

static void open_world(bool event_mode, size_t buffer)
{
    uhttp_config config = world_config();
    config.event_mode = event_mode;
    snprintf(world_what, sizeof world_what, "%s", "");
    world_open(&config, buffer);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i + 1 < sizeof pattern ? (char)('a' + i % 26) : '\0';
}

/* A client's request, as the program gets it. */
static uhttp_conn *ask(const char *request)
{
    peer *p = world_connect();
    peer_says(p, request);
    uhttp_conn *c = world_next();
    CHECK(c != NULL && world_conn_of(p) == c);
    return c;
}

/* What the client has got since this was last asked, as a string. */
static const char *got(uhttp_conn *c)
{
    static char text[200000];
    peer *p = world_peer_of(c);
    settle();
    CHECK(p->out_length < sizeof text);
    memcpy(text, p->out, p->out_length);
    text[p->out_length] = '\0';
    peer_forget_output(p);
    return text;
}

static void check_text(const char *want, const char *text)
{
    if (strcmp(want, text) != 0) {
        fprintf(stderr, "---- wanted\n%s\n---- got\n%s\n----\n", want, text);
        FAIL("the client got what it should");
    }
}

static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

/*--- chunks ---------------------------------------------------------------------------------*/

static void small_writes_share_a_chunk(void **state)
{
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    got(c);
    CHECK(uhttp_stream_write(c, "one", 3) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, ",", 1) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, "", 0) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, "two", 3) == UHTTP_OK);
    check_text("7\r\none,two\r\n", got(c));
    CHECK(uhttp_stream_write(c, "three", 5) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, "!", 1) == UHTTP_OK);
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    check_text("6\r\nthree!\r\n0\r\n\r\n", got(c));
    world_close();
}

static void chunk_grows_over_every_number_of_digits(void **state)
{
    static char want[100100];
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    got(c);
    for (size_t step = 1; step < 70000; step = step * 3 + 1) {
        size_t total = 0;
        while (total + step < 65000) {
            size_t n = total % 7 == 0 ? 1 : step;
            CHECK(uhttp_stream_write(c, pattern + total, n) == UHTTP_OK);
            total += n;
        }
        if (total == 0)
            continue;
        snprintf(want, sizeof want, "%zx\r\n%.*s\r\n", total, (int)total, pattern);
        check_text(want, got(c));
    }
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    check_text("0\r\n\r\n", got(c));
    world_close();
}

static void chunk_may_end_beyond_64_kib(void **state)
{
    static char body[ANSWER_BODY];
    uhttp_config config = world_config();
    (void)state;
    config.max_send_buffer = 300000;
    for (size_t first = 65533; first < 65539; first++) {
        world_open(&config, 0);
        uhttp_conn *c = ask(GET_11);
        peer *p = world_peer_of(c);
        CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        settle();
        CHECK(uhttp_stream_write(c, pattern, first) == UHTTP_OK);
        CHECK(uhttp_stream_write(c, pattern, 2) == UHTTP_OK);
        CHECK(uhttp_stream_write(c, pattern, 99999) == UHTTP_OK);
        CHECK(uhttp_stream_write(c, pattern, 3) == UHTTP_OK);
        CHECK(uhttp_stream_end(c) == UHTTP_OK);
        settle();
        uhttp_str rest = { (const char *)p->out, p->out_length };
        answer a;
        a.body = body;
        CHECK(answer_next(&rest, ANSWER_PLAIN, &a) == ANSWER_WHOLE && rest.len == 0);
        CHECK(a.body_length == first + 2 + 99999 + 3);
        CHECK(memcmp(body, pattern, first) == 0 && memcmp(body + first, "ab", 2) == 0);
        CHECK(memcmp(body + first + 2, pattern, 99999) == 0);
        CHECK(memcmp(body + first + 2 + 99999, "abc", 3) == 0);
        world_close();
    }
}

static void chunk_that_was_offered_does_not_grow(void **state)
{
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    peer *p = world_peer_of(c);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    got(c);
    p->window = 0;
    CHECK(uhttp_stream_write(c, "one", 3) == UHTTP_OK);
    settle();                               /* offered, and not taken */
    CHECK(uhttp_stream_write(c, "two", 3) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, "three", 5) == UHTTP_OK);
    p->window = SIZE_MAX;
    check_text("3\r\none\r\n8\r\ntwothree\r\n", got(c));
    world_close();
}

static void send_room_is_exact_where_sizes_get_a_digit_more(void **state)
{
    static const size_t around[] = { 266, 4106, 65546 };
    (void)state;
    for (size_t i = 0; i < 3 * 24; i++) {
        uhttp_config config = world_config();
        config.max_send_buffer = around[i / 24] - 12 + i % 24;
        world_open(&config, 0);
        uhttp_conn *c = ask(GET_11);
        CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        got(c);
        size_t room = uhttp_send_room(c);
        CHECK(room + 16 > config.max_send_buffer && room < config.max_send_buffer);
        CHECK(uhttp_stream_write(c, pattern, room + 1) == UHTTP_ERR_MEMORY);
        CHECK(uhttp_stream_write(c, pattern, room) == UHTTP_OK);
        CHECK(uhttp_stream_end(c) == UHTTP_OK);
        world_close();
    }
}

static void end_needs_no_room_in_any_stream(void **state)
{
    (void)state;
    for (int parts = 0; parts < 2; parts++) {
        open_world(true, 1000);
        uhttp_conn *c = ask(GET_11);
        peer *p = world_peer_of(c);
        if (parts) {
            CHECK(uhttp_multipart_begin(c) == UHTTP_OK);
            CHECK(uhttp_multipart_frame(c, NULL, "x", 1) == UHTTP_OK);
        } else {
            CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        }
        got(c);
        p->window = 0;
        CHECK(uhttp_stream_write(c, pattern, uhttp_send_room(c)) == UHTTP_OK);
        CHECK(uhttp_send_room(c) == 0);
        CHECK((parts ? uhttp_multipart_end(c) : uhttp_stream_end(c)) == UHTTP_OK);
        p->window = SIZE_MAX;
        const char *text = got(c);
        const char *end = parts ? "a\r\n4\r\n--\r\n\r\n0\r\n\r\n" : "\r\n0\r\n\r\n";
        CHECK(strlen(text) > 900 && has(text, parts ? "4\r\n--\r\n\r\n0\r\n\r\n" : end));
        world_close();
    }
}

static void broadcast_needs_one_block_for_all_listeners(void **state)
{
    enum { LISTENERS = 12 };
    uhttp_conn *listeners[LISTENERS];
    uhttp_config config = world_config();
    (void)state;
    config.max_connections = LISTENERS;
    config.event_mode = true;
    world_open(&config, 0);
    for (int i = 0; i < LISTENERS; i++) {
        listeners[i] = ask(GET_11);
        CHECK(uhttp_sse_begin(listeners[i]) == UHTTP_OK);
        got(listeners[i]);
    }
    size_t blocks = memory_blocks - world_server->pool.count;
    for (int round = 0; round < 3; round++) {
        uhttp_sse_event event;
        memset(&event, 0, sizeof event);
        event.data = "tick";
        size_t calls = memory_calls;
        for (uhttp_conn *c = uhttp_next(world_server, NULL); c != NULL;
             c = uhttp_next(world_server, c)) {
            CHECK(uhttp_sse_send(c, &event) == UHTTP_OK);
            CHECK(uhttp_sse_comment(c, NULL) == UHTTP_OK);      /* still one send */
        }
        CHECK(memory_calls - calls <= 1);
        CHECK(memory_blocks - world_server->pool.count <= blocks + 1);
        for (int i = 0; i < LISTENERS; i++)
            check_text("10\r\ndata: tick\n\n: \n\n\r\n", got(listeners[i]));
        CHECK(memory_blocks - world_server->pool.count == blocks);
    }
    world_close();
}

/* Writing to one offers what another owes: what that finds out is told as always. */
static void listener_that_left_is_found_while_another_is_written_to(void **state)
{
    (void)state;
    open_world(true, 0);
    uhttp_conn *a = ask(GET_11);
    uhttp_conn *b = ask(GET_11);
    CHECK(uhttp_sse_begin(a) == UHTTP_OK);
    CHECK(uhttp_sse_begin(b) == UHTTP_OK);
    settle();
    world_peer_of(a)->send_fails = true;
    CHECK(uhttp_sse_comment(a, "x") == UHTTP_OK);
    CHECK(uhttp_sse_comment(b, "x") == UHTTP_OK);
    CHECK(uhttp_next(world_server, NULL) == a);     /* it is the program's until it hears */
    CHECK(world_next() == a && uhttp_event(a) == UHTTP_EVENT_CLOSED);
    got(b);
    CHECK(uhttp_next(world_server, NULL) == b && uhttp_next(world_server, b) == NULL);
    CHECK(uhttp_sse_comment(b, "x") == UHTTP_OK);
    world_close();
}

/* A peer that resets is noticed though the program writes nothing. */
static void silent_stream_hears_a_reset_at_once(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        open_world(event_mode, 0);
        uhttp_conn *c = ask(GET_11);
        uint64_t id = uhttp_id(c);
        CHECK(uhttp_sse_begin(c) == UHTTP_OK);
        settle();
        world_peer_of(c)->reset = true;
        if (event_mode) {
            CHECK(world_next() == c && uhttp_event(c) == UHTTP_EVENT_CLOSED);
        } else {
            settle();
            CHECK(!uhttp_is_open(c));
            CHECK(uhttp_sse_comment(c, NULL) == UHTTP_ERR_CLOSED);
        }
        settle();
        CHECK(uhttp_find(world_server, id) == NULL && c->state == UH_FREE);
        world_close();
    }
}

/* What tx holds is gone before the next request comes on the same connection. */
static void connection_is_as_good_as_new_after_each_kind(void **state)
{
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    peer *p = world_peer_of(c);
    for (int kind = 0; kind < 8; kind++) {
        CHECK((kind % 4 == 0 ? uhttp_stream_begin(c, 200, "text/x")
               : kind % 4 == 1 ? uhttp_sse_begin(c)
               : kind % 4 == 2 ? uhttp_ndjson_begin(c) : uhttp_multipart_begin(c)) == UHTTP_OK);
        CHECK((kind % 4 == 0 ? uhttp_stream_end(c)
               : kind % 4 == 1 ? uhttp_sse_end(c)
               : kind % 4 == 2 ? uhttp_ndjson_end(c) : uhttp_multipart_end(c)) == UHTTP_OK);
        CHECK(has(got(c), "\r\n\r\n0\r\n\r\n"));
        peer_says(p, GET_11);
        CHECK(world_next() == c && c->draft == 0 && !c->request.parts);
        CHECK(uhttp_add_header(c, "X-Kind", "next") == UHTTP_OK);
    }
    world_close();
}

/*--- Server-Sent Events ---------------------------------------------------------------------*/

static void event_stream_has_the_head_that_browsers_and_proxies_want(void **state)
{
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_add_header(c, "Access-Control-Allow-Origin", "*") == UHTTP_OK);
    CHECK(uhttp_sse_begin(c) == UHTTP_OK);
    check_text("HTTP/1.1 200 OK\r\nDate: " WORLD_DATE "\r\nAccess-Control-Allow-Origin: *\r\n"
               "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
               "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", got(c));
    CHECK(uhttp_sse_begin(c) == UHTTP_ERR_STATE);
    CHECK(uhttp_add_header(c, "X", "too late") == UHTTP_ERR_STATE);
    world_close();
}

static const struct {
    uhttp_sse_event event;
    const char *text;           /* NULL: UHTTP_ERR_INVALID */
} events[] = {
    { { NULL, NULL, "hello", 0, 0 }, "data: hello\n\n" },
    { { "tick", "7", "hello", 0, 1500 },
      "event: tick\nid: 7\nretry: 1500\ndata: hello\n\n" },
    { { NULL, NULL, "", 0, 0 }, "data: \n\n" },
    { { NULL, NULL, " x", 0, 0 }, "data:  x\n\n" },         /* clients take one blank off */
    { { NULL, NULL, "a\nb", 0, 0 }, "data: a\ndata: b\n\n" },
    { { NULL, NULL, "a\r\nb\rc\nd", 0, 0 }, "data: a\ndata: b\ndata: c\ndata: d\n\n" },
    { { NULL, NULL, "a\n", 0, 0 }, "data: a\ndata: \n\n" },
    { { NULL, NULL, "\r\n", 0, 0 }, "data: \ndata: \n\n" },
    { { NULL, NULL, "\n\r", 0, 0 }, "data: \ndata: \ndata: \n\n" },
    { { NULL, NULL, "abcd\r\n", 3, 0 }, "data: abc\n\n" },
    { { NULL, NULL, "ab\r\n", 3, 0 }, "data: ab\ndata: \n\n" },     /* CR at the very end */
    { { NULL, NULL, "a: b\ndata: c", 0, 0 }, "data: a: b\ndata: data: c\n\n" },
    { { NULL, "", "x", 0, 0 }, "id: \ndata: x\n\n" },
    { { NULL, "9", NULL, 0, 0 }, "id: 9\n\n" },
    { { NULL, NULL, NULL, 0, 1 }, "retry: 1\n\n" },
    { { NULL, NULL, NULL, 0, UINT32_MAX }, "retry: 4294967295\n\n" },
    { { NULL, NULL, NULL, 0, 0 }, NULL },                   /* nothing */
    { { "tick", NULL, NULL, 0, 0 }, NULL },                 /* no client would hear it */
    { { "tick", "1", NULL, 0, 0 }, NULL },
    { { NULL, "1", NULL, 5, 0 }, NULL },
    { { "a\nb", NULL, "x", 0, 0 }, NULL },
    { { "a\r", NULL, "x", 0, 0 }, NULL },
    { { NULL, "1\n", "x", 0, 0 }, NULL },
    { { NULL, "\r1", "x", 0, 0 }, NULL },
};

static void events_become_lines_and_line_ends_in_fields_are_refused(void **state)
{
    char want[200];
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_sse_begin(c) == UHTTP_OK);
    got(c);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        const char *text = events[i].text;
        snprintf(world_what, sizeof world_what, "event %zu", i);
        CHECK(uhttp_sse_send(c, &events[i].event) == (text ? UHTTP_OK : UHTTP_ERR_INVALID));
        if (text != NULL)
            snprintf(want, sizeof want, "%zx\r\n%s\r\n", strlen(text), text);
        check_text(text != NULL ? want : "", got(c));
    }
    CHECK(uhttp_sse_comment(c, NULL) == UHTTP_OK);
    CHECK(uhttp_sse_comment(c, "a\r\nb") == UHTTP_OK);
    check_text("d\r\n: \n\n: a\n: b\n\n\r\n", got(c));
    world_close();
}

static void event_is_sent_whole_or_not_at_all(void **state)
{
    uhttp_sse_event event;
    (void)state;
    memset(&event, 0, sizeof event);
    for (size_t length = 1; length < 1100; length += 7) {
        open_world(false, 1000);
        uhttp_conn *c = ask(GET_11);
        peer *p = world_peer_of(c);
        event.data = pattern;
        event.data_length = length;
        CHECK(uhttp_sse_begin(c) == UHTTP_OK);
        got(c);
        p->window = 0;
        size_t room = uhttp_send_room(c);
        uhttp_result first = uhttp_sse_send(c, &event);
        uhttp_result second = uhttp_sse_send(c, &event);
        CHECK(first == (length + 8 <= room ? UHTTP_OK : UHTTP_ERR_MEMORY));
        CHECK(first == UHTTP_ERR_MEMORY || second == UHTTP_OK || second == UHTTP_ERR_AGAIN);
        p->window = SIZE_MAX;
        const char *text = got(c);
        unsigned count = 0;
        for (const char *at = text; (at = strstr(at, "data: ")) != NULL; at++)
            count++;
        CHECK(count == (unsigned)(first == UHTTP_OK) + (unsigned)(second == UHTTP_OK));
        world_close();
    }
}

/*--- NDJSON ---------------------------------------------------------------------------------*/

static void lines_that_are_not_one_line_are_refused(void **state)
{
    static const char *const bad[] = { "", "\n", "[1,\n2]", "1\r", "1\n", "\r\n1" };
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_ndjson_begin(c) == UHTTP_OK);
    CHECK(has(got(c), "\r\nContent-Type: application/x-ndjson\r\n"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(uhttp_ndjson_send(c, bad[i]) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ndjson_send(c, "{\"a\":\"\\n\"}") == UHTTP_OK);
    CHECK(uhttp_ndjson_send(c, "1") == UHTTP_OK);
    CHECK(uhttp_ndjson_end(c) == UHTTP_OK);
    check_text("d\r\n{\"a\":\"\\n\"}\n1\n\r\n0\r\n\r\n", got(c));
    world_close();
}

/* [number, text of so many bytes] */
static uhttp_result write_row(uhttp_json_writer *w, uhttp_conn *c, int number, size_t length)
{
    uhttp_json_begin_row(w, c);
    uhttp_json_array_begin(w);
    uhttp_json_int(w, number);
    uhttp_json_string_n(w, pattern, length);
    uhttp_json_array_end(w);
    return uhttp_json_send_row(w);
}

static void row_goes_as_a_whole_and_joins_the_chunk_before(void **state)
{
    uhttp_json_writer w;
    (void)state;
    for (int minor = 0; minor < 2; minor++) {
        open_world(true, 0);
        uhttp_conn *c = ask(minor ? GET_11 : GET_10);
        CHECK(uhttp_ndjson_begin(c) == UHTTP_OK);
        got(c);
        CHECK(write_row(&w, c, 1, 0) == UHTTP_OK);
        CHECK(write_row(&w, c, 2, 3) == UHTTP_OK);
        CHECK(uhttp_json_send_row(&w) == UHTTP_ERR_STATE);  /* sent already */
        check_text(minor ? "11\r\n[1,\"\"]\n[2,\"abc\"]\n\r\n" : "[1,\"\"]\n[2,\"abc\"]\n",
                   got(c));
        uhttp_json_begin_row(&w, c);
        CHECK(uhttp_json_array_begin(&w) == UHTTP_OK);
        check_text("", got(c));                             /* not before it is whole */
        CHECK(uhttp_json_send_row(&w) == UHTTP_ERR_STATE);  /* still open: dropped */
        uhttp_json_begin_row(&w, c);
        CHECK(uhttp_json_double(&w, 1e308 * 10) == UHTTP_ERR_INVALID);
        CHECK(uhttp_json_send_row(&w) == UHTTP_ERR_INVALID);
        CHECK(write_row(&w, c, 3, 70000) == UHTTP_ERR_MEMORY);
        uhttp_json_begin_row(&w, c);
        CHECK(uhttp_json_array_begin(&w) == UHTTP_OK);
        CHECK(uhttp_json_string_n(&w, pattern, 70000) == UHTTP_ERR_MEMORY);
        CHECK(c->draft == 0);                               /* it keeps no memory */
        check_text("", got(c));
        CHECK(uhttp_ndjson_end(c) == UHTTP_OK);
        world_close();
    }
}

static void another_write_drops_a_row_in_the_making(void **state)
{
    uhttp_json_writer w;
    uhttp_json_writer v;
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_ndjson_begin(c) == UHTTP_OK);
    got(c);
    uhttp_json_begin_row(&w, c);
    CHECK(uhttp_json_int(&w, 11) == UHTTP_OK);
    CHECK(uhttp_ndjson_send(c, "22") == UHTTP_OK);
    CHECK(uhttp_json_send_row(&w) == UHTTP_ERR_STATE);
    uhttp_json_begin_row(&w, c);
    CHECK(uhttp_json_int(&w, 333) == UHTTP_OK);
    uhttp_json_begin_row(&v, c);
    CHECK(uhttp_json_int(&v, 4) == UHTTP_OK);
    CHECK(uhttp_json_send_row(&w) == UHTTP_ERR_STATE);
    uhttp_json_begin_row(&w, c);
    CHECK(uhttp_json_int(&w, 5) == UHTTP_OK);
    CHECK(uhttp_ndjson_end(c) == UHTTP_OK);
    check_text("3\r\n22\n\r\n0\r\n\r\n", got(c));
    CHECK(c->draft == 0);
    world_close();
}

/* The same as the data of an event. */
static uhttp_result write_event(uhttp_json_writer *w, uhttp_conn *c, int number, size_t length)
{
    uhttp_sse_event event = { "row", NULL, NULL, 0, 0 };
    uhttp_json_begin_event(w, c, &event);
    uhttp_json_array_begin(w);
    uhttp_json_int(w, number);
    uhttp_json_string_n(w, pattern, length);
    uhttp_json_array_end(w);
    return uhttp_json_send_event(w);
}

static void json_becomes_the_data_of_an_event(void **state)
{
    uhttp_sse_event full = { "row", "7", NULL, 0, 250 };
    uhttp_sse_event with_data = { "row", NULL, "{}", 0, 0 };
    uhttp_sse_event two_lines = { "row\ndata: x", NULL, NULL, 0, 0 };
    uhttp_sse_event bad_id = { NULL, "1\r2", NULL, 0, 0 };
    const uhttp_sse_event *const bad[] = { &with_data, &two_lines, &bad_id };
    uhttp_json_writer w;
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    uhttp_json_begin_event(&w, c, NULL);
    CHECK(uhttp_json_send_event(&w) == UHTTP_ERR_STATE);    /* no stream has begun */
    CHECK(uhttp_sse_begin(c) == UHTTP_OK);
    got(c);
    uhttp_json_begin_event(&w, c, NULL);
    CHECK(uhttp_json_int(&w, 5) == UHTTP_OK);
    check_text("", got(c));                                 /* not before it is whole */
    CHECK(uhttp_json_send_row(&w) == UHTTP_ERR_STATE);      /* it is no row */
    CHECK(uhttp_json_send_event(&w) == UHTTP_OK);
    CHECK(uhttp_json_send_event(&w) == UHTTP_ERR_STATE);    /* sent already */
    check_text("9\r\ndata: 5\n\n\r\n", got(c));
    uhttp_json_begin_event(&w, c, &full);
    CHECK(uhttp_json_string(&w, "a\nb") == UHTTP_OK);
    CHECK(uhttp_json_send_event(&w) == UHTTP_OK);
    check_text("2a\r\nevent: row\nid: 7\nretry: 250\ndata: \"a\\nb\"\n\n\r\n", got(c));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uhttp_json_begin_event(&w, c, bad[i]);
        CHECK(uhttp_json_int(&w, 5) == UHTTP_ERR_INVALID);
        CHECK(uhttp_json_send_event(&w) == UHTTP_ERR_INVALID);
    }
    uhttp_json_begin_event(&w, c, NULL);
    CHECK(uhttp_json_int(&w, 5) == UHTTP_OK);
    CHECK(uhttp_sse_comment(c, NULL) == UHTTP_OK);          /* drops what is in the making */
    CHECK(uhttp_json_send_event(&w) == UHTTP_ERR_STATE);
    CHECK(write_event(&w, c, 1, 70000) == UHTTP_ERR_MEMORY);
    CHECK(c->draft == 0);
    check_text("4\r\n: \n\n\r\n", got(c));
    CHECK(uhttp_sse_end(c) == UHTTP_OK);
    world_close();
}

/* JSON that came from elsewhere may have line ends, which would end the event or the row. */
static void line_ends_within_json_do_not_end_its_line(void **state)
{
    static const char pretty[] = "{\r\n\"id\": \"x\\n\",\n\n\"data\": 1\n}";
    uhttp_json_writer w;
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_sse_begin(c) == UHTTP_OK);
    got(c);
    uhttp_json_begin_event(&w, c, NULL);
    CHECK(uhttp_json_raw(&w, pretty, sizeof pretty - 1) == UHTTP_OK);
    CHECK(uhttp_json_send_event(&w) == UHTTP_OK);
    check_text("24\r\ndata: {  \"id\": \"x\\n\",  \"data\": 1 }\n\n\r\n", got(c));
    uhttp_json_begin_row(&w, c);
    CHECK(uhttp_json_raw(&w, pretty, sizeof pretty - 1) == UHTTP_OK);
    CHECK(uhttp_json_send_row(&w) == UHTTP_OK);
    check_text("1d\r\n{  \"id\": \"x\\n\",  \"data\": 1 }\n\r\n", got(c));
    CHECK(uhttp_sse_end(c) == UHTTP_OK);
    world_close();
}

/* Two hundred rows, or events, through a peer that reads slowly. */
static void check_pieces_without_room(bool in_events)
{
    static char body[ANSWER_BODY];
    static char want[20000];
    uhttp_json_writer w;
    for (size_t length = 0; length < 40; length++) {
        unsigned again = 0;
        open_world(true, 1000);
        uhttp_conn *c = ask(GET_11);
        peer *p = world_peer_of(c);
        CHECK(uhttp_ndjson_begin(c) == UHTTP_OK);
        settle();
        p->window = 0;
        for (int row = 0; row < 200; ) {
            uhttp_result result = (in_events ? write_event : write_row)(&w, c, 1000 + row, length);
            row += result == UHTTP_OK;
            CHECK(result == UHTTP_OK || result == UHTTP_ERR_AGAIN);
            CHECK(c->draft == 0 && uhttp_json_error(&w) == result);
            if (result == UHTTP_OK)
                continue;
            again++;
            settle();
            p->window = 100 + length * 5;
            while (world_next() != c)
                p->window = 100 + length * 5;
            CHECK(uhttp_event(c) == UHTTP_EVENT_WRITABLE);
        }
        CHECK(again > 0);
        CHECK(uhttp_ndjson_end(c) == UHTTP_OK);
        p->window = SIZE_MAX;
        settle();
        uhttp_str rest = { (const char *)p->out, p->out_length };
        answer a;
        a.body = body;
        CHECK(answer_next(&rest, ANSWER_PLAIN, &a) == ANSWER_WHOLE && rest.len == 0);
        size_t at = 0;
        for (int row = 0; row < 200; row++)
            at += (size_t)snprintf(want + at, sizeof want - at, "%s[%d,\"%.*s\"]\n%s",
                                   in_events ? "event: row\ndata: " : "", 1000 + row, (int)length,
                                   pattern, in_events ? "\n" : "");
        CHECK(a.body_length == at && memcmp(body, want, at) == 0);
        world_close();
    }
}

static void row_without_room_is_written_again(void **state)
{
    (void)state;
    check_pieces_without_room(false);
}

static void json_event_without_room_is_written_again(void **state)
{
    (void)state;
    check_pieces_without_room(true);
}

/*--- multipart/x-mixed-replace --------------------------------------------------------------*/

static void frames_stand_between_delimiters(void **state)
{
    char want[600];
    char text[500];
    (void)state;
    for (int minor = 0; minor < 2; minor++) {
        open_world(true, 0);
        uhttp_conn *c = ask(minor ? GET_11 : GET_10);
        unsigned long long id = uhttp_id(c);
        CHECK(uhttp_multipart_begin(c) == UHTTP_OK);
        snprintf(want, sizeof want, "\r\nCache-Control: no-store\r\nContent-Type: "
                 "multipart/x-mixed-replace; boundary=uhttp-%llu\r\n", id);
        CHECK(has(got(c), want));
        CHECK(uhttp_multipart_frame(c, "image/jpeg", "-2--5\r\n--uhttp-x", 16) == UHTTP_OK);
        int n = snprintf(text, sizeof text, "--uhttp-%llu\r\nContent-Length: 16\r\n"
                         "Content-Type: image/jpeg\r\n\r\n-2--5\r\n--uhttp-x\r\n"
                         "--uhttp-%llu", id, id);
        if (minor)
            snprintf(want, sizeof want, "%x\r\n%s\r\n", n, text);
        else
            snprintf(want, sizeof want, "%s", text);
        check_text(want, got(c));
        CHECK(uhttp_add_header(c, "X-Time", "1") == UHTTP_OK);
        CHECK(uhttp_add_header(c, "X-Name", "a") == UHTTP_OK);
        check_text("", got(c));
        CHECK(uhttp_multipart_frame(c, NULL, NULL, 0) == UHTTP_OK);
        CHECK(uhttp_multipart_end(c) == UHTTP_OK);
        n = snprintf(text, sizeof text, "\r\nContent-Length: 0\r\nX-Time: 1\r\nX-Name: a\r\n"
                     "\r\n\r\n--uhttp-%llu", id);
        if (minor)
            snprintf(want, sizeof want, "%x\r\n%s\r\n4\r\n--\r\n\r\n0\r\n\r\n", n, text);
        else
            snprintf(want, sizeof want, "%s--\r\n", text);
        check_text(want, got(c));
        world_close();
    }
}

static void frame_that_cannot_be_sent_takes_its_fields_with_it(void **state)
{
    char mark[64];
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    peer *p = world_peer_of(c);
    CHECK(uhttp_multipart_frame(c, NULL, "x", 1) == UHTTP_ERR_STATE);
    CHECK(uhttp_multipart_begin(c) == UHTTP_OK);
    CHECK(uhttp_add_header(c, "Content-Length", "3") == UHTTP_ERR_INVALID);
    CHECK(uhttp_add_header(c, "Connection", "close") == UHTTP_ERR_INVALID);
    CHECK(uhttp_add_header(c, "X", "a\r\nb: c") == UHTTP_ERR_INVALID);
    int n = snprintf(mark, sizeof mark, "any --uhttp-%llu", (unsigned long long)uhttp_id(c));
    for (int way = 0; way < 5; way++) {
        CHECK(uhttp_add_header(c, "X-Lost", "yes") == UHTTP_OK);
        uhttp_result result =
            way == 0 ? uhttp_multipart_frame(c, "a\nb", "x", 1)
            : way == 1 ? uhttp_multipart_frame(c, NULL, NULL, 1)
            : way == 2 ? uhttp_multipart_frame(c, NULL, mark, (size_t)n)
            : way == 3 ? uhttp_multipart_frame(c, NULL, pattern, 70000)
            : uhttp_stream_write(c, "raw", 3);
        CHECK(result == (way < 3 ? UHTTP_ERR_INVALID : way == 3 ? UHTTP_ERR_MEMORY : UHTTP_OK));
        CHECK(c->draft == 0);
    }
    CHECK(uhttp_multipart_frame(c, NULL, mark, (size_t)n - 1) == UHTTP_OK);
    CHECK(!has(got(c), "X-Lost"));
    p->window = 0;
    while (uhttp_multipart_frame(c, NULL, pattern, 9000) == UHTTP_OK) { }
    CHECK(uhttp_add_header(c, "X-Lost", "yes") == UHTTP_OK);
    CHECK(uhttp_multipart_frame(c, NULL, pattern, 9000) == UHTTP_ERR_AGAIN);
    while (uhttp_add_header(c, "X-Lost", pattern + sizeof pattern - 3000) == UHTTP_OK) { }
    CHECK(c->draft == 0);                   /* a field that does not fit takes the others along */
    settle();
    p->window = SIZE_MAX;
    CHECK(world_next() == c && uhttp_event(c) == UHTTP_EVENT_WRITABLE);
    CHECK(uhttp_multipart_frame(c, NULL, "x", 1) == UHTTP_OK);
    CHECK(uhttp_multipart_end(c) == UHTTP_OK);
    CHECK(!has(got(c), "X-Lost"));
    world_close();
}

/* What is written of it stands where the fields of a frame are collected. */
static void row_in_the_making_is_no_field_of_a_frame(void **state)
{
    uhttp_json_writer w;
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        open_world(true, 0);
        uhttp_conn *c = ask(GET_11);
        CHECK(uhttp_multipart_begin(c) == UHTTP_OK);
        got(c);
        for (int fields = 0; fields < 3; fields++) {
            if (kind == 0)
                uhttp_json_begin_row(&w, c);
            else
                uhttp_json_begin_event(&w, c, NULL);
            uhttp_json_raw(&w, "[1,\r\n\r\n2]", 9);
            if (fields > 0)
                CHECK(uhttp_add_header(c, "Content-Type", "image/jpeg") == UHTTP_OK);
            if (fields > 1)
                CHECK(uhttp_add_header(c, "Content-Type", "image/png") == UHTTP_OK);
            CHECK(uhttp_multipart_frame(c, "e/f", "x", 1) == UHTTP_OK);
            CHECK((kind == 0 ? uhttp_json_send_row(&w) : uhttp_json_send_event(&w))
                  == UHTTP_ERR_STATE);
            const char *frame = got(c);
            CHECK(has(frame, "Content-Length: 1\r\n") && !has(frame, "[1,"));
            CHECK(!has(frame, "image/jpeg") || fields == 1);
        }
        CHECK(uhttp_multipart_end(c) == UHTTP_OK);
        world_close();
    }
}

static void json_whose_text_was_discarded_is_not_sent(void **state)
{
    char big[2000];
    (void)state;
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    for (int way = 0; way < 4; way++) {
        uhttp_json_writer a;
        uhttp_json_writer b;
        uhttp_config config = world_config();
        config.max_send_buffer = 900;
        world_open(&config, 0);
        uhttp_conn *c = ask(GET_11);
        uhttp_json_begin_response(&a, c);
        uhttp_json_string(&a, "whole");
        if (way == 0) {
            uhttp_json_begin_response(&b, c);
            uhttp_json_array_begin(&b);
            uhttp_json_string(&b, "torso of another");
        } else if (way == 1) {
            CHECK(uhttp_respond_printf(c, 200, NULL, "%s", big) == UHTTP_ERR_MEMORY);
        } else if (way == 2) {
            CHECK(uhttp_respond_redirect(c, 0, big) == UHTTP_ERR_MEMORY);
        } else {
            CHECK(uhttp_respond_text(c, 200, "one") == UHTTP_OK);
            got(c);
            c = ask(GET_11);
        }
        CHECK(uhttp_json_respond(&a, 200) == UHTTP_ERR_STATE);
        CHECK(uhttp_respond_text(c, 500, "instead") == UHTTP_OK);
        CHECK(has(got(c), "\r\n\r\ninstead"));
        world_close();
    }
}

static void streams_to_head_send_nothing_but_succeed(void **state)
{
    uhttp_json_writer w;
    (void)state;
    open_world(true, 0);
    for (int kind = 0; kind < 3; kind++) {
        uhttp_conn *c = ask(HEAD_11);
        CHECK((kind == 0 ? uhttp_sse_begin(c) : kind == 1 ? uhttp_ndjson_begin(c)
               : uhttp_multipart_begin(c)) == UHTTP_OK);
        got(c);
        if (kind == 0) {
            CHECK(uhttp_sse_send(c, &events[0].event) == UHTTP_OK);
            CHECK(uhttp_sse_comment(c, "x") == UHTTP_OK);
            CHECK(write_event(&w, c, 1, 90000) == UHTTP_OK);
        } else if (kind == 1) {
            CHECK(uhttp_ndjson_send(c, "1") == UHTTP_OK);
            CHECK(write_row(&w, c, 1, 90000) == UHTTP_OK);
        } else {
            CHECK(uhttp_add_header(c, "X", "y") == UHTTP_OK);
            CHECK(uhttp_multipart_frame(c, NULL, "x", 1) == UHTTP_OK);
            CHECK(uhttp_add_header(c, "X", "y") == UHTTP_OK);
        }
        CHECK(uhttp_stream_end(c) == UHTTP_OK);
        check_text("", got(c));
        CHECK(c->state == UH_IDLE && c->draft == 0);
        world_part(world_peer_of(c));
    }
    world_close();
}

static void failed_begin_leaves_the_request_as_it_was(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        open_world(true, 512);
        uhttp_conn *c = ask(GET_11);
        while (uhttp_add_header(c, "X-Long", "0123456789abcdef0123456789abcdef") == UHTTP_OK) { }
        uint32_t draft = c->draft;
        CHECK((kind ? uhttp_multipart_begin(c) : uhttp_sse_begin(c)) == UHTTP_ERR_MEMORY);
        CHECK(c->draft == draft && c->state == UH_ANSWER && !c->request.parts);
        CHECK(uhttp_close(c) == UHTTP_OK);
        settle();
        world_close();
    }
}

/*--- all of it ------------------------------------------------------------------------------*/

static void on_failure(const char *file, int line) { _fail(file, line); }

static char last_line[400];

static void keep_line(void *user, const char *line)
{
    (void)user;
    snprintf(last_line, sizeof last_line, "%s%0200d", line, 0);
}

/* What is logged while another stream's output leaves may change the text that is sent: it is
 * measured after that. */
static void text_that_the_log_changes_is_measured_when_it_is_written(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.log = keep_line;
    for (int comment = 0; comment < 2; comment++) {
        uhttp_sse_event event = { 0 };
        char want[600];
        world_open(&config, 0);
        uhttp_conn *lost = ask(GET_11);
        uhttp_conn *c = ask(GET_11);
        peer *p = world_peer_of(c);
        CHECK(uhttp_sse_begin(lost) == UHTTP_OK && uhttp_sse_begin(c) == UHTTP_OK);
        settle();
        got(c);
        event.data = strcpy(last_line, "short");
        CHECK(uhttp_sse_send(lost, &event) == UHTTP_OK);
        world_peer_of(lost)->send_fails = true;
        CHECK((comment ? uhttp_sse_comment(c, last_line) : uhttp_sse_send(c, &event)) == UHTTP_OK);
        CHECK(strlen(last_line) > 200);
        settle();
        snprintf(want, sizeof want, "%zx\r\n%s: %s\n\n\r\n", strlen(last_line) + (comment ? 4 : 8),
                 comment ? "" : "data", last_line);
        CHECK(p->out_length == strlen(want) && memcmp(p->out, want, strlen(want)) == 0);
        CHECK(uhttp_sse_end(lost) == UHTTP_ERR_CLOSED && uhttp_sse_end(c) == UHTTP_OK);
        settle();
        world_close();
    }
}

/* A client that has shut its side is silent for two seconds at most; what is written just before
 * has send_timeout_ms, however long the program worked on it. */
static void write_to_a_client_that_has_shut_its_side_has_its_own_time(void **state)
{
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    peer *p = world_peer_of(c);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    p->fin = true;
    got(c);
    p->window = 0;
    world_sleep(1000);
    CHECK(uhttp_stream_write(c, pattern, 1000) == UHTTP_OK);
    world_sleep(1100);
    settle();
    CHECK(!p->closed);
    world_sleep(7000);
    settle();
    p->window = SIZE_MAX;
    CHECK(has(got(c), "3e8\r\nabcdef") && !p->closed);
    world_sleep(2000);
    CHECK(world_next() == c && uhttp_event(c) == UHTTP_EVENT_CLOSED);
    settle();
    world_close();
}

/* Who has gone is heard of before an argument is judged, so that the program lets go. */
static void write_of_nothing_to_nobody_is_closed(void **state)
{
    (void)state;
    open_world(false, 0);
    uhttp_conn *c = ask(GET_11);
    CHECK(uhttp_stream_write(c, NULL, 3) == UHTTP_ERR_STATE);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, NULL, 0) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, NULL, 3) == UHTTP_ERR_INVALID);
    world_peer_of(c)->reset = true;
    settle();
    CHECK(uhttp_stream_write(c, NULL, 3) == UHTTP_ERR_CLOSED);
    settle();
    world_close();
}

/* A loop of the program's own that tries once in each round sleeps until the client reads. */
static void loop_sleeps_after_again(void **state)
{
    (void)state;
    open_world(true, 0);
    uhttp_conn *c = ask(GET_11);
    peer *p = world_peer_of(c);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    got(c);
    p->window = 0;
    while (uhttp_stream_write(c, pattern, 30000) == UHTTP_OK) { }
    settle();
    for (int i = 0; i < 3; i++) {
        CHECK(uhttp_stream_write(c, pattern, 30000) == UHTTP_ERR_AGAIN);
        CHECK(uhttp_server_timeout(world_server) > 0);
        CHECK(world_step() == NULL);
    }
    p->window = SIZE_MAX;
    CHECK(world_next() == c && uhttp_event(c) == UHTTP_EVENT_WRITABLE);
    CHECK(uhttp_stream_write(c, pattern, 30000) == UHTTP_OK);
    world_close();
}

static unsigned complaints;

static void on_complaint(void *user, const char *line)
{
    (void)user;
    complaints += strstr(line, "was never answered") != NULL;
}

/* A stream is an answer; it need not have ended when the server closes. */
static void closed_server_complains_of_requests_but_not_of_streams(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.log = on_complaint;
    complaints = 0;
    for (unsigned streams = 0; streams < 2; streams++) {
        world_open(&config, 0);
        uhttp_conn *c = ask(GET_11);
        if (streams)
            CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        world_close();
        CHECK(complaints == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_writes_share_a_chunk),
        cmocka_unit_test(write_of_nothing_to_nobody_is_closed),
        cmocka_unit_test(loop_sleeps_after_again),
        cmocka_unit_test(closed_server_complains_of_requests_but_not_of_streams),
        cmocka_unit_test(chunk_grows_over_every_number_of_digits),
        cmocka_unit_test(chunk_may_end_beyond_64_kib),
        cmocka_unit_test(chunk_that_was_offered_does_not_grow),
        cmocka_unit_test(send_room_is_exact_where_sizes_get_a_digit_more),
        cmocka_unit_test(end_needs_no_room_in_any_stream),
        cmocka_unit_test(broadcast_needs_one_block_for_all_listeners),
        cmocka_unit_test(listener_that_left_is_found_while_another_is_written_to),
        cmocka_unit_test(silent_stream_hears_a_reset_at_once),
        cmocka_unit_test(connection_is_as_good_as_new_after_each_kind),
        cmocka_unit_test(event_stream_has_the_head_that_browsers_and_proxies_want),
        cmocka_unit_test(events_become_lines_and_line_ends_in_fields_are_refused),
        cmocka_unit_test(event_is_sent_whole_or_not_at_all),
        cmocka_unit_test(lines_that_are_not_one_line_are_refused),
        cmocka_unit_test(row_goes_as_a_whole_and_joins_the_chunk_before),
        cmocka_unit_test(another_write_drops_a_row_in_the_making),
        cmocka_unit_test(row_without_room_is_written_again),
        cmocka_unit_test(json_becomes_the_data_of_an_event),
        cmocka_unit_test(line_ends_within_json_do_not_end_its_line),
        cmocka_unit_test(json_event_without_room_is_written_again),
        cmocka_unit_test(frames_stand_between_delimiters),
        cmocka_unit_test(frame_that_cannot_be_sent_takes_its_fields_with_it),
        cmocka_unit_test(row_in_the_making_is_no_field_of_a_frame),
        cmocka_unit_test(json_whose_text_was_discarded_is_not_sent),
        cmocka_unit_test(streams_to_head_send_nothing_but_succeed),
        cmocka_unit_test(failed_begin_leaves_the_request_as_it_was),
        cmocka_unit_test(write_to_a_client_that_has_shut_its_side_has_its_own_time),
        cmocka_unit_test(text_that_the_log_changes_is_measured_when_it_is_written),
    };
    world_on_failure = on_failure;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
