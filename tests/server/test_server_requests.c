/* test_server_requests.c - what requests say and what answers carry, over real sockets: every
 * accessor, bodies of every size, bursts, large downloads, fixed memory, a crowd */
#include "loopback.h"

/*--- what a request says --------------------------------------------------------------*/

static client *asking;          /* whose request it is */
static unsigned checked;        /* how many requests a handler has looked at */

static void check_get(uhttp_conn *c)
{
    static const struct { const char *name, *value; } fields[] = {
        { "Host", "example.org:81" }, { "Accept", "text/html, */*" }, { "X-Empty", "" },
        { "x-twice", "1" }, { "X-Twice", "2" },
    };
    const char *name, *value;
    char text[256];
    size_t length = 99;
    int port;
    assert_int_equal(uhttp_event(c), UHTTP_EVENT_REQUEST);
    assert_string_equal(uhttp_method(c), "GET");
    assert_string_equal(uhttp_url(c), "/a%20b/c+d?x=1&y=two+w%6Frds&flag&x=2&=e");
    assert_string_equal(uhttp_path(c), "/a b/c+d");
    assert_string_equal(uhttp_protocol(c), "HTTP/1.1");
    assert_string_equal(uhttp_host(c), "example.org:81");

    assert_int_equal(uhttp_header_count(c), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_true(uhttp_header_at(c, i, &name, &value));
        assert_string_equal(name, fields[i].name);
        assert_string_equal(value, fields[i].value);
    }
    assert_false(uhttp_header_at(c, 5, &name, &value));
    assert_true(uhttp_header_at(c, 0, NULL, NULL));
    assert_string_equal(uhttp_header(c, "ACCEPT"), "text/html, */*");
    assert_string_equal(uhttp_header(c, "X-TWICE"), "1");
    assert_string_equal(uhttp_header(c, "x-empty"), "");
    assert_null(uhttp_header(c, "X-Twic"));
    assert_null(uhttp_header(c, "X-Twice2"));
    assert_null(uhttp_header(c, ""));

    assert_int_equal(uhttp_query_count(c), 5);
    assert_string_equal(uhttp_query(c, "x"), "1");
    assert_string_equal(uhttp_query(c, "y"), "two words");
    assert_string_equal(uhttp_query(c, "flag"), "");
    assert_string_equal(uhttp_query(c, ""), "e");
    assert_null(uhttp_query(c, "X"));
    assert_true(uhttp_query_at(c, 3, &name, &value));
    assert_string_equal(name, "x");
    assert_string_equal(value, "2");
    assert_false(uhttp_query_at(c, 5, &name, &value));
    assert_string_equal(uhttp_url(c), "/a%20b/c+d?x=1&y=two+w%6Frds&flag&x=2&=e"); /* still */

    static const char full[] = LOOP_SCHEME
        "://example.org:81/a%20b/c+d?x=1&y=two+w%6Frds&flag&x=2&=e";
    assert_int_equal(uhttp_full_url(c, text, sizeof text), sizeof full - 1);
    assert_string_equal(text, full);
    assert_int_equal(uhttp_full_url(c, text, sizeof full), sizeof full - 1);
    assert_int_equal(uhttp_full_url(c, text, sizeof full - 1), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_full_url(c, text, 0), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_socket_address(c, text, sizeof text, &port), 9);
    assert_string_equal(text, "127.0.0.1");
    assert_int_equal(port, client_port(asking));
    assert_int_equal(uhttp_socket_address(c, text, 10, NULL), 9);
    assert_int_equal(uhttp_socket_address(c, text, 9, NULL), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_socket_address(c, text, 0, NULL), UHTTP_ERR_MEMORY);

    assert_null(uhttp_body(c, &length));
    assert_int_equal(length, 0);
    assert_int_equal(uhttp_content_length(c), 0);
    assert_null(uhttp_content_type(c));
    assert_int_equal(uhttp_bytes_received(c), 0);
    assert_int_equal(uhttp_is_secure(c), LOOP_SECURE);
    assert_true(uhttp_is_loaded(c));
    assert_true(uhttp_is_open(c));
    assert_true(uhttp_fd(c) >= 0);
    const char *why = NULL;
    assert_int_equal(uhttp_error(c, &why), 0);
    assert_string_equal(why, "");

    assert_ptr_equal(uhttp_server_of(c), loop.server);
    assert_true(uhttp_id(c) != 0);
    assert_ptr_equal(uhttp_find(loop.server, uhttp_id(c)), c);
    assert_null(uhttp_find(loop.server, 0));
    assert_null(uhttp_find(loop.server, UINT64_MAX));
    assert_ptr_equal(uhttp_next(loop.server, NULL), c);
    assert_null(uhttp_next(loop.server, c));
    assert_null(uhttp_context(c));
    uhttp_set_context(c, &checked);
    assert_ptr_equal(uhttp_context(c), &checked);

    uint64_t id = uhttp_id(c);
    assert_ok(uhttp_respond_text(c, 200, "fine"));
    assert_string_equal(uhttp_path(c), "/a b/c+d");     /* readable until the next wait */
    assert_string_equal(uhttp_header(c, "accept"), "text/html, */*");
    assert_null(uhttp_find(loop.server, id));
    assert_null(uhttp_next(loop.server, NULL));
    assert_int_equal(uhttp_respond_text(c, 200, "twice"), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_add_header(c, "X", "late"), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_stream_begin(c, 200, NULL), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_close(c), UHTTP_ERR_STATE);
    checked++;
}

static void every_accessor_says_what_the_request_said(void **state)
{
    (void)state;
    loop_open_default();
    loop.handler = check_get;
    asking = client_connect();
    checked = 0;
    for (unsigned i = 1; i <= 2; i++) {         /* the second has no context of the first */
        client_send(asking, "GET /a%20b/c+d?x=1&y=two+w%6Frds&flag&x=2&=e HTTP/1.1\r\n"
                            "Host: example.org:81\r\nAccept:   text/html, */* \t\r\n"
                            "X-Empty:\r\nx-twice: 1\r\nX-Twice: 2\r\n\r\n");
        assert_int_equal(client_answer(asking), 200);
        assert_string_equal(asking->body, "fine");
        assert_int_equal(checked, i);
    }
}

static struct expected_target {
    const char *request;
    const char *method, *url, *path, *host, *full, *protocol;
} target;

static void check_target(uhttp_conn *c)
{
    char text[256];
    const char *full = target.full;
    assert_string_equal(uhttp_method(c), target.method);
    assert_string_equal(uhttp_url(c), target.url);
    assert_string_equal(uhttp_path(c), target.path);
    assert_string_equal(uhttp_protocol(c), target.protocol);
    if (target.host == NULL)
        assert_null(uhttp_host(c));
    else
        assert_string_equal(uhttp_host(c), target.host);
    if (full == NULL)
        full = loop_text(LOOP_SCHEME "://127.0.0.1:%d/", uhttp_server_port(loop.server));
    assert_int_equal(uhttp_full_url(c, text, sizeof text), strlen(full));
    assert_string_equal(text, full);
    assert_ok(uhttp_respond_text(c, 200, "fine"));
}

static void every_form_of_target_is_told_as_it_was_meant(void **state)
{
    static const struct expected_target cases[] = {
        { "GET http://example.org:8080/p?q HTTP/1.1\r\nHost: other\r\n\r\n",
          "GET", "http://example.org:8080/p?q", "/p", "example.org:8080",
          LOOP_SCHEME "://example.org:8080/p?q", "HTTP/1.1" },
        { "GET http://example.org HTTP/1.1\r\nHost: example.org\r\n\r\n",
          "GET", "http://example.org", "/", "example.org",
          LOOP_SCHEME "://example.org/", "HTTP/1.1" },
        { "OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n",
          "OPTIONS", "*", "*", "example.org",
          LOOP_SCHEME "://example.org/", "HTTP/1.1" },
        { "GET / HTTP/1.0\r\n\r\n",
          "GET", "/", "/", NULL, NULL, "HTTP/1.0" },     /* the server's own address */
        { "GET / HTTP/1.0\r\nHost: named\r\n\r\n",
          "GET", "/", "/", "named", LOOP_SCHEME "://named/", "HTTP/1.0" },
        { "PURGE /%2e%2E/%2F HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
          "PURGE", "/%2e%2E/%2F", "/..//", "[::1]:8080",
          LOOP_SCHEME "://[::1]:8080/%2e%2E/%2F", "HTTP/1.1" },
    };
    (void)state;
    loop_open_default();
    loop.handler = check_target;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        target = cases[i];
        assert_int_equal(client_ask(client_connect(), target.request), 200);
    }
}

static int64_t told_content_length;
static bool told_event_mode_saw_minus_one;

static void check_post(uhttp_conn *c)
{
    size_t length;
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS) {
        told_event_mode_saw_minus_one = uhttp_content_length(c) == -1;
        assert_false(uhttp_is_loaded(c));
        assert_null(uhttp_body(c, NULL));
        assert_ok(uhttp_accept_body(c, 0));
        return;
    }
    told_content_length = uhttp_content_length(c);
    assert_true(uhttp_is_loaded(c));
    assert_string_equal(uhttp_content_type(c), "text/x");
    assert_string_equal((const char *)uhttp_body(c, &length), "hello");
    assert_int_equal(length, 5);
    assert_string_equal((const char *)uhttp_body(c, NULL), "hello");
    assert_int_equal(uhttp_bytes_received(c), 5);
    assert_ok(uhttp_respond_text(c, 200, "fine"));
}

static void the_length_of_a_chunked_body_is_known_when_it_is_all_here(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = loop_config();
        config.event_mode = event_mode == 1;
        loop_open(&config);
        loop.handler = check_post;
        client *c = client_connect();
        told_event_mode_saw_minus_one = false;
        client_send(c, "POST / HTTP/1.1\r\nHost: t\r\nContent-Type: text/x\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n");
        loop_pump_for(10);
        client_send(c, "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: dropped\r\n\r\n");
        assert_int_equal(client_answer(c), 200);
        assert_int_equal(told_content_length, 5);
        assert_int_equal(told_event_mode_saw_minus_one, event_mode == 1);
        assert_int_equal(client_ask(c, "POST / HTTP/1.1\r\nHost: t\r\nContent-Type: text/x\r\n"
                                       "Content-Length: 5\r\n\r\nhello"), 200);
        loop_close();
    }
}

static void ids_name_one_request_and_never_the_next(void **state)
{
    (void)state;
    loop_open_default();
    client *a = client_connect();
    client *b = client_connect();
    uint64_t ids[6];
    for (unsigned i = 0; i < 6; i++) {
        client_send(i % 2 == 0 ? a : b, GET("/hold"));
        LOOP_UNTIL(loop.held_count == i + 1);
        ids[i] = loop.ids[i];
        for (unsigned j = 0; j < i; j++)
            assert_true(ids[j] != ids[i]);
        if (i % 2 == 0)
            continue;
        /* both are the program's now: walk them, answer the later one first */
        uhttp_conn *first = uhttp_next(loop.server, NULL);
        uhttp_conn *second = uhttp_next(loop.server, first);
        assert_true((first == loop.held[i] && second == loop.held[i - 1]) ||
                    (first == loop.held[i - 1] && second == loop.held[i]));
        assert_null(uhttp_next(loop.server, second));
        for (unsigned k = 0; k < 2; k++) {
            assert_ptr_equal(uhttp_find(loop.server, ids[i - k]), loop.held[i - k]);
            assert_ok(uhttp_respond_text(loop.held[i - k], 200, "x"));
            assert_null(uhttp_find(loop.server, ids[i - k]));
        }
        assert_int_equal(client_answer(a), 200);
        assert_int_equal(client_answer(b), 200);
        for (unsigned j = 0; j <= i; j++)
            assert_null(uhttp_find(loop.server, ids[j]));
    }
}

static void an_answer_after_the_client_left_returns_closed_and_touches_nobody(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/hold?with=strings"));
    LOOP_UNTIL(loop.held_count == 1);
    uhttp_conn *conn = loop.held[0];
    client_reset(c);
    LOOP_UNTIL(!uhttp_is_open(conn));
    for (int i = 0; i < 20; i++)
        client_check(client_connect(), "/others");          /* nobody gets its slot */
    assert_string_equal(uhttp_path(conn), "/hold");
    assert_string_equal(uhttp_query(conn, "with"), "strings");
    assert_int_equal(uhttp_add_header(conn, "X", "y"), UHTTP_ERR_CLOSED);
    assert_int_equal(uhttp_respond_text(conn, 200, "x"), UHTTP_ERR_CLOSED);
    LOOP_UNTIL(loop_stats().held == 0);
    assert_null(uhttp_find(loop.server, loop.ids[0]));
}

/*--- bodies of every size -------------------------------------------------------------*/

#define BODY_LIMIT 70000u

typedef enum body_mode { BODY_COLLECTED, BODY_ACCEPTED, BODY_STREAMED } body_mode;

static body_mode mode;
static uint64_t body_seen;
static bool body_is_right;

static void take_body(uhttp_conn *c)
{
    size_t length;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_HEADERS:
        body_seen = 0;
        body_is_right = true;
        assert_int_equal(mode == BODY_ACCEPTED ? uhttp_accept_body(c, 0)
                         : uhttp_accept_body_streaming(c, BODY_LIMIT), UHTTP_OK);
        assert_int_equal(uhttp_accept_body(c, 0), UHTTP_ERR_STATE);
        return;
    case UHTTP_EVENT_DATA: {
        const void *piece = uhttp_read_buffer(c, &length);
        body_is_right = body_is_right && loop_pattern_is(piece, body_seen, length);
        body_seen += length;
        return;
    }
    case UHTTP_EVENT_ERROR:
        assert_int_equal(uhttp_error(c, NULL), 413);
        return;
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_COMPLETE:
        break;
    default:
        fail_msg("event %d", (int)uhttp_event(c));
    }
    const char *body = (const char *)uhttp_body(c, &length);
    if (body != NULL) {
        body_is_right = loop_pattern_is(body, 0, length) && body[length] == '\0';
        body_seen = length;
    } else if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
        body_is_right = true;           /* no body at all */
        body_seen = 0;
    } else {
        const void *piece = uhttp_read_buffer(c, &length);
        body_is_right = body_is_right && loop_pattern_is(piece, body_seen, length);
        body_seen += length;
    }
    assert_int_equal(uhttp_bytes_received(c), body_seen);
    const char *answer = loop_text("%s %llu", body_is_right ? "right" : "wrong",
                                   (unsigned long long)body_seen);
    assert_ok(uhttp_respond_text(c, 200, answer));
}

/* A request with so long a body, chunked in pieces of that size or with a length (0). */
static char *compose_post(size_t length, size_t chunk, size_t *size)
{
    char *request = (char *)malloc(length + length / (chunk > 0 ? chunk : 1) * 12 + 200);
    assert_non_null(request);
    char *p = loop_put(request, "POST /body HTTP/1.1\r\nHost: t\r\n");
    if (chunk == 0) {
        p = loop_put(p, loop_text("Content-Length: %zu\r\n\r\n", length));
        loop_pattern_fill(p, length);
        p += length;
    } else {
        p = loop_put(p, "Transfer-Encoding: chunked\r\n\r\n");
        for (size_t at = 0; at < length; ) {
            size_t n = length - at < chunk ? length - at : chunk;
            p = loop_put(p, loop_text("%zx\r\n", n));
            for (size_t i = 0; i < n; i += LOOP_PERIOD)
                memcpy(p + i, loop_pattern(at + i), n - i < LOOP_PERIOD ? n - i : LOOP_PERIOD);
            p += n;
            at += n;
            p = loop_put(p, "\r\n");
        }
        p = loop_put(p, "0\r\n\r\n");
    }
    *size = (size_t)(p - request);
    return request;
}

static void bodies_of_every_size(body_mode how)
{
    static const size_t lengths[] = {
        0, 1, 100, 2047, 2048, 2049, 4096, 65535, 65536, 65537,
        BODY_LIMIT - 1, BODY_LIMIT, BODY_LIMIT + 1, BODY_LIMIT * 2
    };
    static const size_t chunks[] = { 0, 7, 1000, 2048, 1000000 };
    static const size_t cuts[] = { 1000000, 61, 1460, 20000 };
    uhttp_config config = loop_config();
    config.max_content_length = BODY_LIMIT;
    config.event_mode = how != BODY_COLLECTED;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop_open(&config);
    loop.handler = take_body;
    mode = how;
    client *c = NULL;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t j = 0; j < sizeof chunks / sizeof chunks[0]; j++) {
            for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
                size_t size;
                char *request = compose_post(lengths[i], chunks[j], &size);
                bool is_large = lengths[i] > BODY_LIMIT;
                if (c == NULL)
                    c = client_connect();
                for (size_t at = 0; at < size && !c->ended && c->used == 0; at += cuts[k]) {
                    size_t n = size - at < cuts[k] ? size - at : cuts[k];
                    if (!client_try_send(c, request + at, n))
                        break;
                    loop_pump(0);
                    if (is_large)
                        client_receive(c);
                }
                free(request);
                assert_int_equal(client_answer(c), is_large ? 413 : 200);
                if (is_large) {
                    client_close(c);
                    c = NULL;
                } else {
                    assert_string_equal(c->body, loop_text("right %zu", lengths[i]));
                }
            }
        }
    }
}

static void bodies_of_every_size_are_collected_up_to_the_limit(void **state)
{
    (void)state;
    bodies_of_every_size(BODY_COLLECTED);
}

static void bodies_of_every_size_are_accepted_into_memory(void **state)
{
    (void)state;
    bodies_of_every_size(BODY_ACCEPTED);
}

static void bodies_of_every_size_are_streamed_to_the_program(void **state)
{
    (void)state;
    bodies_of_every_size(BODY_STREAMED);
}

static void stream_without_limit(uhttp_conn *c)
{
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS) {
        body_seen = 0;
        body_is_right = true;
        mode = BODY_STREAMED;
        assert_ok(uhttp_accept_body_streaming(c, 0));
    } else {
        take_body(c);
    }
}

static void an_upload_larger_than_any_buffer_streams_through(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(2, 1024)];
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        for (size_t chunk = 0; chunk <= 60000; chunk += 60000) {
            uhttp_config config = loop_config();
            config.event_mode = true;
            config.max_connections = 2;
            config.memory = fixed == 1 ? memory : NULL;
            config.memory_size = sizeof memory;
            loop_open(&config);
            loop.handler = stream_without_limit;
            size_t size;
            size_t length = fixed == 1 ? 1000000 : 20000000;
            char *request = compose_post(length, chunk, &size);
            client *c = client_connect();
            client_send_bytes(c, request, size);
            free(request);
            assert_int_equal(client_answer(c), 200);
            assert_string_equal(c->body, fixed == 1 ? "right 1000000" : "right 20000000");
            assert_true(loop_blocks <= 6);
            client_close(c);
            loop_close();
        }
    }
}

/* Answers at the head; the body is not wanted. */
static void want_no_body(uhttp_conn *c)
{
    loop.events[uhttp_event(c)]++;
    assert_ok(uhttp_respond_text(c, 200, uhttp_path(c)));
}

static void open_for_unwanted_bodies(void)
{
    uhttp_config config = loop_config();
    config.event_mode = true;
    config.body_timeout_ms = 200;
    loop_open(&config);
    loop.handler = want_no_body;
}

/* Sends a head, hears the answer, sends a body all the same. */
static client *send_an_unwanted_body(size_t length, size_t chunk)
{
    size_t size;
    char *request = compose_post(length, chunk, &size);
    size_t head = (size_t)(strstr(request, "\r\n\r\n") + 4 - request);
    client *c = client_connect();
    client_send_bytes(c, request, head);
    assert_int_equal(client_answer(c), 200);
    client_try_send(c, request + head, size - head);
    free(request);
    return c;
}

static void a_small_body_nobody_reads_is_passed_over_and_the_connection_kept(void **state)
{
    static const size_t lengths[] = { 1, 1000, 5000, 60000, 65536 };
    (void)state;
    open_for_unwanted_bodies();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t chunk = 0; chunk < 60000; chunk += 5000) {
            if (chunk > 0 && lengths[i] > 60000)
                continue;           /* its framing counts as well */
            client *c = send_an_unwanted_body(lengths[i], chunk);
            assert_false(client_says_close(c));
            client_check(c, "/next");
            client_close(c);
        }
    }
    assert_true(loop.events[UHTTP_EVENT_HEADERS] > 0);
}

static void a_large_body_nobody_reads_closes_the_connection(void **state)
{
    (void)state;
    open_for_unwanted_bodies();
    client *announced = send_an_unwanted_body(65537, 0);
    assert_true(client_says_close(announced));
    client_expect_end(announced);
    client *chunked = send_an_unwanted_body(200000, 1000);
    client_expect_end(chunked);         /* its answer could not know */
    assert_int_equal(loop.requests, 0);
}

static void a_body_nobody_reads_may_neither_be_malformed_nor_slow(void **state)
{
    (void)state;
    open_for_unwanted_bodies();
    client *malformed = client_connect();
    assert_int_equal(client_ask(malformed, CHUNKED("/a")), 200);
    client_send(malformed, "2\r\nab" GET("/smuggled"));
    client_expect_end(malformed);
    client *slow = client_connect();
    assert_int_equal(client_ask(slow, POST("/a", "60000")), 200);
    uint32_t start = loop_millis();
    while (!slow->ended) {
        client_offer(slow, "x", 1);             /* a byte now and then renews nothing */
        loop_pump_for(20);
        client_receive(slow);
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
    }
    assert_true(loop_millis() - start + 1 >= 200);
    assert_int_equal(slow->used, 0);
    client *half_closed = client_connect();
    client_send(half_closed, POST("/a", "100") "abc");
    client_shut(half_closed);
    assert_int_equal(client_answer(half_closed), 200);
    client_expect_end(half_closed);
    assert_int_equal(loop.events[UHTTP_EVENT_REQUEST], 0);
}

/*--- events ---------------------------------------------------------------------------*/

static void the_program_hears_once_that_a_client_has_gone(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.event_mode = true;
    loop_open(&config);
    static const char *const paths[] = { "/hold", "/stream" };
    for (unsigned i = 0; i < 2; i++) {
        client *c = client_connect();
        client_send(c, loop_text(GET("%s"), paths[i]));
        LOOP_UNTIL(loop.held_count == 1);
        client_reset(c);
        LOOP_UNTIL(loop.events[UHTTP_EVENT_CLOSED] == i + 1);
        assert_int_equal(loop.held_count, 0);
        assert_null(uhttp_find(loop.server, loop.ids[0]));
        LOOP_UNTIL(loop_stats().connections == 0);
    }
    client_check(client_connect(), "/next");
    assert_int_equal(loop.events[UHTTP_EVENT_CLOSED], 2);
    assert_int_equal(loop.events[UHTTP_EVENT_ERROR], 0);
}

static void answer_failures(uhttp_conn *c)
{
    const char *why;
    loop.events[uhttp_event(c)]++;
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS) {
        assert_ok(uhttp_accept_body_streaming(c, 10));
    } else if (uhttp_event(c) == UHTTP_EVENT_ERROR) {
        int status = uhttp_error(c, &why);
        assert_true(strlen(why) > 0);
        assert_ok(uhttp_respond_text(c, status, "in its own words"));
    }
}

static void the_program_may_answer_a_failed_request_itself(void **state)
{
    static const struct { const char *body; int status; } cases[] = {
        { "Content-Length: 11\r\n\r\n", 413 },
        { "Transfer-Encoding: chunked\r\n\r\nB\r\n01234567890\r\n", 413 },
        { "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz", 400 },
        { "Content-Length: 9\r\n\r\n", 408 },
    };
    (void)state;
    uhttp_config config = loop_config();
    config.event_mode = true;
    config.body_timeout_ms = 100;
    loop_open(&config);
    loop.handler = answer_failures;
    for (unsigned i = 0; i < 4; i++) {
        client *c = client_connect();
        client_send(c, "POST / HTTP/1.1\r\nHost: t\r\n");
        loop_pump(0);
        assert_int_equal(client_ask(c, cases[i].body), cases[i].status);
        assert_true(client_says_close(c));
        if (loop.events[UHTTP_EVENT_ERROR] == i + 1)    /* it may fail before it is told of */
            assert_string_equal(c->body, "in its own words");
        client_await_end(c);
    }
    assert_true(loop.events[UHTTP_EVENT_ERROR] >= 2);
}

/*--- 100 Continue ---------------------------------------------------------------------*/

static const char expecting[] =
    "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

static void the_body_is_asked_for_when_the_client_waits_for_that(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = loop_config();
        config.event_mode = event_mode == 1;
        config.max_content_length = 1000000;
        loop_open(&config);
        client *c = client_connect();
        for (int i = 0; i < 3; i++) {
            assert_int_equal(client_ask(c, expecting), 100);
            client_expect_nothing(c);
            assert_int_equal(client_ask(c, "hello"), 200);
            assert_string_equal(c->body, "hello");
        }
        /* one that did not wait needs no invitation */
        client_send(c, expecting);
        client_send(c, "again");
        int status = client_answer(c);
        if (status == 100)          /* unless its head had been read before */
            status = client_answer(c);
        assert_int_equal(status, 200);
        assert_string_equal(c->body, "again");
        /* a large one, chunked */
        assert_int_equal(client_ask(c, "POST /echo" HOST "expect: 100-Continue\r\n"
                                       "Transfer-Encoding: chunked\r\n\r\n"), 100);
        size_t size;
        char *request = compose_post(60000, 999, &size);
        char *body = strstr(request, "\r\n\r\n") + 4;
        client_send_bytes(c, body, size - (size_t)(body - request));
        free(request);
        assert_int_equal(client_answer(c), 200);
        assert_int_equal(c->length, 60000);
        assert_true(loop_pattern_is(c->body, 0, 60000));
        loop_close();
    }
}

static void who_waits_for_an_invitation_and_is_refused_gets_none(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.max_content_length = 4;
    loop_open(&config);
    client *large = client_connect();
    assert_int_equal(client_ask(large, expecting), 413);
    client_expect_end(large);
    client *odd = client_connect();
    assert_int_equal(client_ask(odd, "POST /echo" HOST "Expect: the-unexpected\r\n"
                                     "Content-Length: 1\r\n\r\n"), 417);
    client *old = client_connect();             /* 1.0 knows no such thing */
    client_send(old, "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\n"
                     "Content-Length: 4\r\n\r\n");
    loop_pump_for(20);
    client_expect_nothing(old);
    assert_int_equal(client_ask(old, "body"), 200);
    client *none = client_connect();            /* nothing is coming that could be waited for */
    assert_int_equal(client_ask(none, "GET /a" HOST "Expect: 100-continue\r\n\r\n"), 200);
}

static void answer_without_accepting(uhttp_conn *c)
{
    loop.events[uhttp_event(c)]++;
    assert_ok(uhttp_respond_error(c, 403));
}

static void an_answer_instead_of_an_invitation_is_final(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.event_mode = true;
    loop_open(&config);
    loop.handler = answer_without_accepting;
    client *c = client_connect();
    assert_int_equal(client_ask(c, expecting), 403);
    assert_true(client_says_close(c));          /* nobody knows whether the body will come */
    client_expect_end(c);
    assert_int_equal(loop.events[UHTTP_EVENT_HEADERS], 1);
}

/*--- bursts ---------------------------------------------------------------------------*/

static void sixteen_requests_at_once_are_answered_in_order(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = loop_config();
        config.event_mode = event_mode == 1;
        config.keep_alive_max_requests = UHTTP_UNLIMITED;
        loop_open(&config);
        client *c = client_connect();
        for (int round = 0; round < 10; round++) {
            char burst[8192];
            char *p = burst;
            for (int i = 0; i < 16; i++) {
                switch ((i + round) % 4) {
                case 0:
                    p = loop_put(p, loop_text(GET("/%d"), i));
                    break;
                case 1:
                    p = loop_put(p, loop_text(POST("/echo", "2") "%02d", i));
                    break;
                case 2:
                    p = loop_put(p, loop_text(CHUNKED("/echo") "2\r\n%02d\r\n0\r\n\r\n", i));
                    break;
                default:
                    p = loop_put(p, loop_text("HEAD /%d HTTP/1.1\r\nHost: t\r\n\r\n", i));
                }
            }
            size_t length = (size_t)(p - burst);
            if (round < 5) {
                client_send_bytes(c, burst, length);
            } else {
                for (size_t at = 0; at < length; at += 97) {
                    client_send_bytes(c, burst + at, length - at < 97 ? length - at : 97);
                    loop_pump(0);
                }
            }
            for (int i = 0; i < 16; i++) {
                int kind = (i + round) % 4;
                c->to_head = kind == 3;
                assert_int_equal(client_answer(c), 200);
                assert_string_equal(c->body, kind == 3 ? "" : kind == 0 ? loop_text("/%d", i)
                                             : loop_text("%02d", i));
            }
        }
        loop_close();
    }
}

static void requests_behind_one_that_is_held_wait_their_turn(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/1") GET("/hold") GET("/3") GET("/hold") GET("/5"));
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "/1");
    loop_pump_for(20);
    client_expect_nothing(c);
    assert_int_equal(loop.held_count, 1);
    assert_ok(uhttp_respond_text(loop.held[0], 200, "2"));
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "2");
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "/3");
    LOOP_UNTIL(loop.held_count == 2);
    assert_ok(uhttp_respond_text(loop.held[1], 200, "4"));
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "4");
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "/5");
}

/*--- answers --------------------------------------------------------------------------*/

static void a_large_download_is_right_and_leaves_the_others_their_turns(void **state)
{
    (void)state;
    loop_open_default();
    client *slow = client_connect_narrow(65536);
    client_send(slow, GET("/big"));
    client_await_head(slow);
    assert_string_equal(client_field(slow, "Content-Length"), "52428800");
    uint64_t offset = 0;
    for (int i = 0; i < 25; i++) {
        client *other = client_connect();
        client_drain_pattern(slow, &offset, offset + 1000000);
        client_check(other, "/meanwhile");
        client_close(other);
    }
    client_drain_pattern(slow, &offset, LOOP_BIG);
    client_check(slow, "/and-kept");
    assert_int_equal(loop_stats().evicted, 0);
}

static void large_copies_reach_slow_readers_whole(void **state)
{
    static uint8_t copied[60000];
    (void)state;
    loop_open_default();
    client *c = client_connect_narrow(4096);
    for (int i = 0; i < 20; i++) {
        client_send(c, GET("/hold"));
        loop.held_count = 0;
        LOOP_UNTIL(loop.held_count == 1);
        size_t length = 1000 + (size_t)i * 3000;
        loop_pattern_fill(copied, length);
        assert_ok(uhttp_respond(loop.held[0], 200, "a/b", copied, length));
        memset(copied, 0, sizeof copied);       /* it has been copied */
        assert_int_equal(client_answer(c), 200);
        assert_int_equal(c->length, length);
        assert_true(loop_pattern_is(c->body, 0, length));
    }
}

static void a_response_beyond_the_send_buffer_is_refused_and_another_may_follow(void **state)
{
    static const size_t limits[] = { 600, 2048, 4096, 10000, 0 };
    static char data[70000];
    (void)state;
    memset(data, 'd', sizeof data);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        uhttp_config config = loop_config();
        config.max_send_buffer = limits[i];
        loop_open(&config);
        size_t limit = limits[i] > 0 ? limits[i] : 64 * 1024;
        client *c = client_connect();
        client_send(c, GET("/hold"));
        loop.held_count = 0;
        LOOP_UNTIL(loop.held_count == 1);
        uhttp_conn *conn = loop.held[0];
        assert_int_equal(uhttp_respond(conn, 200, NULL, data, limit), UHTTP_ERR_MEMORY);
        assert_int_equal(uhttp_respond(conn, 200, NULL, data, sizeof data), UHTTP_ERR_MEMORY);
        assert_int_equal(uhttp_respond(conn, 200, NULL, data, SIZE_MAX), UHTTP_ERR_MEMORY);
        client_expect_nothing(c);
        /* exactly the limit, head included, is the largest that passes */
        size_t passes = limit;
        while (passes > 0 && uhttp_respond(conn, 200, NULL, data, passes) == UHTTP_ERR_MEMORY)
            passes--;
        assert_int_equal(client_answer(c), 200);
        assert_int_equal(c->length, passes);
        assert_int_equal(strlen(c->head) + 2 + c->length, limit);
        /* a header that does not fit either */
        client_send(c, GET("/hold"));
        loop.held_count = 0;
        LOOP_UNTIL(loop.held_count == 1);
        data[limit] = '\0';
        assert_int_equal(uhttp_add_header(loop.held[0], "X", data), UHTTP_ERR_MEMORY);
        data[limit] = 'd';
        assert_ok(uhttp_respond_error(loop.held[0], 500));
        assert_int_equal(client_answer(c), 500);
        assert_null(client_field(c, "X"));
        client_check(c, "/well");
        loop_close();
    }
}

static void misuse_returns_an_error_and_sends_nothing(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    uhttp_conn *conn = loop.held[0];
    static const struct { const char *name, *value; } headers[] = {
        { "X", "a\r\nInjected: 1" }, { "X", "a\nb" }, { "X", "a\rb" }, { "X", "\001" },
        { "X: y\r\nZ", "a" }, { "", "a" }, { "X Y", "a" }, { "Content-Length", "7" },
        { "transfer-encoding", "chunked" }, { "Connection", "keep-alive" }, { "Trailer", "X" },
        { "Upgrade", "h2c" }, { "Keep-Alive", "timeout=5" },
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        assert_int_equal(uhttp_add_header(conn, headers[i].name, headers[i].value),
                         UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond(conn, 200, "a/b\r\nX: y", "d", 1), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_text(conn, 199, "x"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_text(conn, 600, "x"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_text(conn, 204, "x"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_text(conn, 304, "x"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_redirect(conn, 200, "/x"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_redirect(conn, 302, "/x\r\nSet-Cookie: a"),
                     UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_stream_write(conn, "x", 1), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_stream_end(conn), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_accept_body(conn, 0), UHTTP_ERR_STATE);
    loop_pump(5);
    client_expect_nothing(c);
    assert_ok(uhttp_add_header(conn, "X-Good", "yes"));
    assert_ok(uhttp_respond_redirect(conn, 0, "/els\xc3\xa9where?a=b"));
    assert_int_equal(client_answer(c), 302);
    assert_string_equal(client_field(c, "Location"), "/els%c3%a9where?a=b");
    assert_string_equal(client_field(c, "X-Good"), "yes");
    assert_null(client_field(c, "Injected"));
    assert_null(client_field(c, "X"));
}

static void answer_by_path(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    if (strcmp(path, "/json") == 0)
        assert_ok(uhttp_respond_json(c, 200, "{\"a\":1}"));
    else if (strcmp(path, "/html") == 0)
        assert_ok(uhttp_respond_html(c, 200, "<p>"));
    else if (strcmp(path, "/204") == 0)
        assert_ok(uhttp_respond(c, 204, NULL, NULL, 0));
    else if (strcmp(path, "/304") == 0)
        assert_ok(uhttp_respond(c, 304, NULL, NULL, 0));
    else if (strcmp(path, "/wish") == 0) {
        assert_ok(uhttp_add_header(c, "connection", "Close"));
        assert_ok(uhttp_respond_text(c, 200, "bye"));
    } else
        assert_ok(uhttp_respond_error(c, 404));
}

static void answers_are_framed_by_version_method_and_status(void **state)
{
    (void)state;
    loop_open_default();
    loop.handler = answer_by_path;
    client *c = client_connect();
    assert_int_equal(client_get(c, "/json"), 200);
    assert_string_equal(client_field(c, "Content-Type"), "application/json");
    assert_string_equal(client_field(c, "Content-Length"), "7");
    assert_non_null(strstr(client_field(c, "Date"), " GMT"));
    assert_null(client_field(c, "Connection"));
    assert_int_equal(client_get(c, "/html"), 200);
    assert_string_equal(client_field(c, "Content-Type"), "text/html; charset=utf-8");
    assert_int_equal(client_get(c, "/none"), 404);
    assert_string_equal(c->body, "404 Not Found\n");
    assert_int_equal(client_get(c, "/204"), 204);
    assert_null(client_field(c, "Content-Length"));
    assert_int_equal(client_get(c, "/304"), 304);
    c->to_head = true;
    assert_int_equal(client_ask(c, "HEAD /json HTTP/1.1\r\nHost: t\r\n\r\n"), 200);
    assert_string_equal(client_field(c, "Content-Length"), "7");
    client_send(c, "GET /json HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(client_field(c, "Connection"), "keep-alive");
    assert_int_equal(client_ask(c, "GET /json" HOST "Connection: x, close\r\n\r\n"), 200);
    assert_true(client_says_close(c));
    client_expect_end(c);
    client *old = client_connect();
    assert_int_equal(client_ask(old, "GET /json HTTP/1.0\r\n\r\n"), 200);
    assert_true(client_says_close(old));
    client_expect_end(old);
    client *wish = client_connect();
    assert_int_equal(client_get(wish, "/wish"), 200);
    assert_true(client_says_close(wish));
    client_expect_end(wish);
}

static uint64_t stream_written;

/* Writes a stream of 5 MB as room permits; AGAIN is followed by WRITABLE. */
static void write_stream(uhttp_conn *c)
{
    uhttp_result result = UHTTP_OK;
    loop.events[uhttp_event(c)]++;
    if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
        assert_int_equal(uhttp_send_room(c), 0);
        assert_ok(uhttp_stream_begin(c, 200, "a/b"));
        assert_true(uhttp_send_room(c) > 0);
        if (strcmp(uhttp_method(c), "HEAD") != 0)
            assert_int_equal(uhttp_stream_write(c, loop_big(), LOOP_BIG), UHTTP_ERR_MEMORY);
        stream_written = 0;
    }
    while (stream_written < 5000000 && result == UHTTP_OK) {
        size_t n = 1 + stream_written * 7 % 9000;
        n = n < 5000000 - stream_written ? n : (size_t)(5000000 - stream_written);
        result = uhttp_stream_write(c, loop_pattern(stream_written), n);
        if (result == UHTTP_OK)
            stream_written += n;
    }
    if (result == UHTTP_OK)
        assert_ok(uhttp_stream_end(c));
    else
        assert_int_equal(result, UHTTP_ERR_AGAIN);
}

static void a_stream_waits_for_its_reader_and_arrives_whole(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.event_mode = true;
    loop_open(&config);
    loop.handler = write_stream;
    client *c = client_connect_narrow(65536);
    client_send(c, GET("/stream"));
    LOOP_UNTIL(loop.events[UHTTP_EVENT_REQUEST] == 1);
    loop_pump_for(50);
    assert_true(stream_written < 5000000);          /* nobody has read it */
    assert_int_equal(client_answer(c), 200);
    assert_int_equal(c->length, 5000000);
    assert_true(loop_pattern_is(c->body, 0, c->length));
    assert_true(loop.events[UHTTP_EVENT_WRITABLE] > 0);
    client *old = client_connect_narrow(65536);
    assert_int_equal(client_ask(old, "GET /stream HTTP/1.0\r\n\r\n"), 200);
    assert_null(client_field(old, "Transfer-Encoding"));
    assert_int_equal(old->length, 5000000);
    assert_true(loop_pattern_is(old->body, 0, old->length));
    client_expect_end(old);
    c->to_head = true;
    assert_int_equal(client_ask(c, "HEAD /stream HTTP/1.1\r\nHost: t\r\n\r\n"), 200);
}

/*--- memory ---------------------------------------------------------------------------*/

static void small_requests_allocate_nothing_in_steady_state(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop_open(&config);
    client *c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = client_connect();
        client_check(c[i], "/warm");
        assert_int_equal(client_ask(c[i], POST("/echo", "3") "abc"), 200);
    }
    size_t before = loop_allocations;
    for (int i = 0; i < 100; i++) {
        client_check(c[i % 3], "/steady");
        assert_int_equal(client_ask(c[i % 3], POST("/echo", "3") "abc"), 200);
    }
    assert_int_equal(loop_allocations, before);
}

static void idle_connections_hold_no_buffer(void **state)
{
    (void)state;
    client *c[50];
    uhttp_config config = loop_config();
    config.max_connections = 50;
    loop_open(&config);
    size_t empty = loop_blocks;
    for (int i = 0; i < 50; i++) {
        c[i] = client_connect();
        client_send(c[i], GET("/hold") "GET");
        loop.held_count = 0;
        LOOP_UNTIL(loop.held_count == 1);
    }
    assert_true(loop_blocks > 50);          /* while they are busy they do */
    for (uhttp_conn *conn = NULL; (conn = uhttp_next(loop.server, NULL)) != NULL; )
        assert_ok(uhttp_respond_text(conn, 200, "x"));
    for (int i = 0; i < 50; i++) {
        assert_int_equal(client_answer(c[i]), 200);
        assert_int_equal(client_ask(c[i], " /b HTTP/1.1\r\nHost: t\r\n\r\n"), 200);
    }
    LOOP_UNTIL(loop_blocks == empty);       /* a few seconds later nothing is left */
    assert_int_equal(loop_stats().connections, 50);
    client_check(c[7], "/well");
}

/*--- fixed memory ---------------------------------------------------------------------*/

static uint8_t fixed_memory[UHTTP_MEMORY_SIZE(5, 1024)];

static void open_fixed(void)
{
    uhttp_config config = loop_config();
    config.max_connections = 5;
    config.memory = fixed_memory;
    config.memory_size = sizeof fixed_memory;
    loop_open(&config);
}

/* A request of 700 bytes with 13 fields, as browsers send them. */
static void browser_request(char *out, const char *path)
{
    const char *p = loop_put(out, loop_text(
        "GET %s HTTP/1.1\r\nHost: device.local\r\nConnection: keep-alive\r\n"
        "Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/126.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
        "*/*;q=0.8\r\n"
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"
        "Sec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Accept-Language: en-GB,en;q=0.9\r\nCookie: session=", path));
    memset(out + (p - out), 'c', (size_t)(out + 696 - p));
    memcpy(out + 696, "\r\n\r\n", 5);
}

static void fixed_memory_serves_five_browsers_at_once(void **state)
{
    (void)state;
    assert_true(sizeof fixed_memory <= 14 * 1024);
    open_fixed();
    client *c[5];
    char request[800];
    for (int i = 0; i < 5; i++) {
        c[i] = client_connect();
        client_agree(c[i]);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 5; i++) {
            browser_request(request, loop_text("/%d-%d", round, i));
            assert_int_equal(strlen(request), 700);
            assert_int_equal(client_offer(c[i], request, 700), 700);
        }
        for (int i = 0; i < 5; i++) {
            assert_int_equal(client_answer(c[i]), 200);
            assert_string_equal(c[i]->body, loop_text("/%d-%d", round, i));
            assert_false(client_says_close(c[i]));
        }
    }
    assert_int_equal(loop_allocations, 0);
}

static void fixed_memory_answers_bursts_of_sixteen(void **state)
{
    (void)state;
    open_fixed();
    client *c[5];
    for (int i = 0; i < 5; i++) {
        c[i] = client_connect();
        client_agree(c[i]);
    }
    for (int round = 0; round < 5; round++) {
        char burst[16 * 40];
        char *p = burst;
        for (int i = 0; i < 16; i++)
            p = loop_put(p, loop_text(GET("/%d"), i));
        size_t length = (size_t)(p - burst);
        for (int i = 0; i < 5; i++)
            assert_int_equal(client_offer(c[i], burst, length), length);
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < 16; j++) {
                assert_int_equal(client_answer(c[i]), 200);
                assert_string_equal(c[i]->body, loop_text("/%d", j));
            }
            assert_false(client_says_close(c[i]));
        }
    }
    assert_int_equal(loop_allocations, 0);
}

static void fixed_memory_answers_a_longer_burst_in_order_up_to_a_close(void **state)
{
    (void)state;
    open_fixed();
    for (int padding = 0; padding < 300; padding += 23) {
        char burst[64 * 400];
        char *p = burst;
        client *c = client_connect();
        for (int i = 0; i < 64; i++)
            p = loop_put(p, loop_text(GET("/%%%02x?%0*d"),
                                      (unsigned)('A' + i % 26), padding + 1, i));
        client_try_send(c, burst, (size_t)(p - burst));
        int answered = 0;
        for (bool goes_on = true; goes_on && answered < 64; answered++) {
            assert_int_equal(client_answer(c), 200);
            assert_string_equal(c->body, loop_text("/%c", 'A' + answered % 26));
            goes_on = !client_says_close(c);
        }
        assert_true(answered >= 1);
        if (answered < 64)
            client_expect_end(c);
        client_close(c);
    }
    assert_int_equal(loop_allocations, 0);
}

static void fixed_memory_sends_static_data_of_any_length_and_streams(void **state)
{
    (void)state;
    open_fixed();
    client *c[5];
    for (int i = 0; i < 5; i++) {
        c[i] = client_connect_narrow(65536);
        client_send(c[i], GET("/big"));
        client_await_head(c[i]);
    }
    uint64_t offsets[5] = { 0 };
    for (uint64_t at = 1000000; at <= 8000000; at += 1000000) {
        for (int i = 0; i < 5; i++)
            client_drain_pattern(c[i], &offsets[i], at);
    }
    for (int i = 0; i < 5; i++)
        client_reset(c[i]);
    client *d = client_connect();
    client_send(d, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 1);
    uhttp_conn *conn = loop.held[0];
    for (uint64_t at = 0; at < 100000; ) {
        size_t room = uhttp_send_room(conn);
        size_t n = room < 100000 - at ? room : (size_t)(100000 - at);
        assert_true(room <= 2048);
        if (n > 0) {
            assert_ok(uhttp_stream_write(conn, loop_pattern(at), n));
            at += n;
        }
        loop_pump(0);
    }
    assert_ok(uhttp_stream_end(conn));
    assert_int_equal(client_answer(d), 200);
    assert_int_equal(d->length, 100000);
    assert_true(loop_pattern_is(d->body, 0, 100000));
    assert_int_equal(loop_allocations, 0);
}

static void fixed_memory_refuses_what_does_not_fit_and_goes_on(void **state)
{
    static char data[2000];
    (void)state;
    open_fixed();
    memset(data, 'x', sizeof data);
    data[sizeof data - 1] = '\0';
    client *c = client_connect();
    assert_int_equal(client_ask(c, loop_text("GET /a" HOST "X: %s\r\n\r\n", data)), 431);
    client *body = client_connect();
    assert_int_equal(client_ask(body, loop_text(POST("/echo", "1999") "%s", data)), 413);
    client *fits = client_connect();
    assert_int_equal(client_ask(fits, loop_text(POST("/echo", "800") "%.800s", data)), 200);
    assert_int_equal(fits->length, 800);
    client_send(fits, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    assert_int_equal(uhttp_respond_text(loop.held[0], 200, data), UHTTP_ERR_MEMORY);
    assert_ok(uhttp_respond_error(loop.held[0], 500));
    assert_int_equal(client_answer(fits), 500);
    client_check(fits, "/well");
    assert_int_equal(loop_allocations, 0);
}

/*--- a crowd --------------------------------------------------------------------------*/

#define CROWD_ASKS 12

typedef struct crowd_ask {
    char kind;                  /* g: GET, h: HEAD, p: POST, c: chunked, l: held */
    unsigned length;            /* of the body */
    unsigned offset;            /* where in the pattern it begins */
    char path[24];
    size_t end;                 /* in the script */
} crowd_ask;

typedef struct crowd_peer {
    client *c;
    char *script;               /* all requests, one behind the other */
    size_t sent;
    crowd_ask asks[CROWD_ASKS];
    unsigned answered;
    unsigned window;            /* requests that may be on the way at once */
    uint32_t pause_until;
} crowd_peer;

static struct {
    uint32_t seed;
    uint64_t held[600];
    unsigned held_count;
} crowd;

static uint32_t crowd_random(uint32_t below)
{
    crowd.seed = crowd.seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(crowd.seed >> 8) * below >> 24);
}

/* Answers at once, or some time later in any order. */
static void crowd_program(uhttp_conn *c)
{
    if (strncmp(uhttp_path(c), "/later", 6) != 0) {
        loop_app(c);
        return;
    }
    assert_true(crowd.held_count < 600);
    crowd.held[crowd.held_count++] = uhttp_id(c);
}

static void crowd_answer_some(void)
{
    unsigned n = crowd_random(1 + crowd.held_count / 4) + 1;
    for (; n > 0 && crowd.held_count > 0; n--) {
        unsigned i = crowd_random(crowd.held_count);
        uhttp_conn *c = uhttp_find(loop.server, crowd.held[i]);
        assert_non_null(c);
        assert_ok(uhttp_respond_text(c, 200, uhttp_path(c)));
        crowd.held[i] = crowd.held[--crowd.held_count];
    }
}

/* Writes one random request; its end. */
static char *crowd_compose(crowd_ask *ask, char *p, unsigned peer, unsigned n, unsigned largest)
{
    ask->kind = "ghpclgg"[crowd_random(7)];
    ask->length = crowd_random(2) ? crowd_random(64) : crowd_random(largest);
    ask->offset = crowd_random(LOOP_PERIOD);
    bool has_body = ask->kind == 'p' || ask->kind == 'c';
    loop_put(ask->path, loop_text("/%s%u-%u", ask->kind == 'l' ? "later" : "", peer, n));
    p = loop_put(p, loop_text("%s %s%s HTTP/1.1\r\nHost: crowd\r\n", ask->kind == 'h' ? "HEAD"
                              : has_body ? "POST" : "GET", has_body ? "/echo" : ask->path,
                              crowd_random(2) ? "?a=b%20c" : ""));
    for (uint32_t i = crowd_random(4); i > 0; i--)
        p = loop_put(p, loop_text("X-%u: %0*d\r\n", (unsigned)i,
                                  (int)crowd_random(100) + 1, 7));
    if (ask->kind == 'p') {
        p = loop_put(p, loop_text("Content-Length: %u\r\n\r\n", ask->length));
        memcpy(p, loop_pattern(ask->offset), ask->length);
        return p + ask->length;
    }
    if (ask->kind != 'c')
        return loop_put(p, "\r\n");
    p = loop_put(p, "Transfer-Encoding: chunked\r\n\r\n");
    for (unsigned at = 0; at < ask->length; ) {
        unsigned size = 1 + crowd_random(ask->length - at);
        p = loop_put(p, crowd_random(2) ? loop_text("%x\r\n", size)
                                        : loop_text("%X;ext=1\r\n", size));
        memcpy(p, loop_pattern(ask->offset + at), size);
        p += size;
        p = loop_put(p, "\r\n");
        at += size;
    }
    return loop_put(p, crowd_random(2) ? "0\r\n\r\n" : "0\r\nTrailer: x\r\n\r\n");
}

static void crowd_check(crowd_peer *peer)
{
    const crowd_ask *ask = &peer->asks[peer->answered];
    client *c = peer->c;
    bool has_body = ask->kind == 'p' || ask->kind == 'c';
    if (c->status != 200)
        fail_msg("%s: status %d", ask->path, c->status);
    if (ask->kind == 'h') {
        assert_int_equal(c->length, 0);
        assert_int_equal(strtoul(client_field(c, "Content-Length"), NULL, 10),
                         strlen(ask->path));
    } else if (has_body) {
        assert_int_equal(c->length, ask->length);
        assert_memory_equal(c->body, loop_pattern(ask->offset), ask->length);
    } else {
        assert_string_equal(c->body, ask->path);
    }
    peer->answered++;
}

/* Sends a random piece, now or after a pause. */
static void crowd_speak(crowd_peer *peer, uint32_t now)
{
    size_t until = peer->asks[CROWD_ASKS - 1].end;
    if (peer->answered + peer->window < CROWD_ASKS)
        until = peer->asks[peer->answered + peer->window - 1].end;
    if (peer->sent >= until || (int32_t)(now - peer->pause_until) < 0)
        return;
    size_t n = until - peer->sent;
    if (crowd_random(3) > 0 && n > 1)
        n = 1 + crowd_random((uint32_t)n);
    ssize_t taken = client_offer(peer->c, peer->script + peer->sent, n);
    assert_true(taken >= 0);
    peer->sent += (size_t)taken;
    if (crowd_random(3) == 0)
        peer->pause_until = now + crowd_random(30);
}

static void crowd_listen(crowd_peer *peer)
{
    if (client_receive(peer->c) <= 0 && peer->c->ended && peer->answered < CROWD_ASKS)
        fail_msg("%s: the connection ended", peer->asks[peer->answered].path);
    while (peer->answered < CROWD_ASKS) {
        peer->c->to_head = peer->asks[peer->answered].kind == 'h';
        if (!client_take(peer->c))
            return;
        crowd_check(peer);
    }
}

/* Lets so many clients ask at random, and checks every answer. */
static void let_a_crowd_ask(unsigned peers, unsigned window, unsigned largest)
{
    static crowd_peer crowd_of[512];
    static struct pollfd polled[512];
    memset(&crowd, 0, sizeof crowd);
    memset(crowd_of, 0, sizeof crowd_of);
    crowd.seed = 20261122;
    loop.handler = crowd_program;
    for (unsigned i = 0; i < peers; i++) {
        crowd_peer *peer = &crowd_of[i];
        peer->script = (char *)malloc(CROWD_ASKS * (size_t)(largest * 20 + 1000));
        assert_non_null(peer->script);
        char *p = peer->script;
        for (unsigned n = 0; n < CROWD_ASKS; n++) {
            p = crowd_compose(&peer->asks[n], p, i, n, largest);
            peer->asks[n].end = (size_t)(p - peer->script);
        }
        peer->window = 1 + crowd_random(window);
        peer->c = client_connect();
        if (i % 32 == 0)
            loop_pump(0);
    }
    uint32_t start = loop_millis();
    unsigned done = 0;
    for (unsigned i = 0; done < peers; i++) {
        if (loop_millis() - start > 3 * LOOP_PATIENCE_MS)
            fail_msg("%u of %u clients have all their answers", done, peers);
        for (unsigned k = 0; k < peers; k++) {
            polled[k].fd = crowd_of[k].c->fd;
            polled[k].events = (short)(POLLIN | (crowd_random(4) == 0 ? POLLOUT : 0));
            polled[k].revents = 0;
        }
        assert_true(poll(polled, peers, i % 8 == 0 ? 1 : 0) >= 0);
        uint32_t now = loop_millis();
        done = 0;
        for (unsigned k = 0; k < peers; k++) {
            if (polled[k].revents & (POLLIN | POLLHUP | POLLERR))
                crowd_listen(&crowd_of[k]);
            if (polled[k].revents & POLLOUT)
                crowd_speak(&crowd_of[k], now);
            done += crowd_of[k].answered == CROWD_ASKS ? 1 : 0;
        }
        loop_pump(0);
        crowd_answer_some();
    }
    assert_int_equal(loop_stats().requests, peers * CROWD_ASKS);
    assert_int_equal(loop_stats().accepted, peers);
    assert_int_equal(loop_stats().refused, 0);
    for (unsigned i = 0; i < peers; i++) {
        free(crowd_of[i].script);
        client_close(crowd_of[i].c);
    }
    LOOP_UNTIL(loop_stats().connections == 0);
}

static uhttp_config crowd_config(uint32_t slots)
{
    uhttp_config config = loop_config();
    config.max_connections = slots;
    config.backlog = 512;
    config.request_timeout_ms = config.body_timeout_ms = config.send_timeout_ms = UHTTP_NEVER;
    config.keep_alive_timeout_ms = UHTTP_NEVER;
    return config;
}

static void five_hundred_clients_asking_at_random_get_the_right_answers_in_order(void **state)
{
    (void)state;
    if (!loop_want_descriptors(1200))
        skip();
    uhttp_config config = crowd_config(512);
    loop_open(&config);
    let_a_crowd_ask(500, 6, 3000);
}

static void a_crowd_is_served_through_a_foreign_loop(void **state)
{
    (void)state;
    uhttp_config config = crowd_config(100);
    loop_open(&config);
    loop.pump = loop_pump_poll;
    let_a_crowd_ask(100, 6, 8000);
}

static void a_crowd_is_served_in_fixed_memory(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(64, 2048)];
    (void)state;
    uhttp_config config = crowd_config(64);
    config.memory = memory;
    config.memory_size = sizeof memory;
    loop_open(&config);
    let_a_crowd_ask(64, 1, 900);
    assert_int_equal(loop_allocations, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(every_accessor_says_what_the_request_said),
        LOOP_TEST(every_form_of_target_is_told_as_it_was_meant),
        LOOP_TEST(the_length_of_a_chunked_body_is_known_when_it_is_all_here),
        LOOP_TEST(ids_name_one_request_and_never_the_next),
        LOOP_TEST(an_answer_after_the_client_left_returns_closed_and_touches_nobody),
        LOOP_TEST(bodies_of_every_size_are_collected_up_to_the_limit),
        LOOP_TEST(bodies_of_every_size_are_accepted_into_memory),
        LOOP_TEST(bodies_of_every_size_are_streamed_to_the_program),
        LOOP_TEST(an_upload_larger_than_any_buffer_streams_through),
        LOOP_TEST(a_small_body_nobody_reads_is_passed_over_and_the_connection_kept),
        LOOP_TEST(a_large_body_nobody_reads_closes_the_connection),
        LOOP_TEST(a_body_nobody_reads_may_neither_be_malformed_nor_slow),
        LOOP_TEST(the_program_hears_once_that_a_client_has_gone),
        LOOP_TEST(the_program_may_answer_a_failed_request_itself),
        LOOP_TEST(the_body_is_asked_for_when_the_client_waits_for_that),
        LOOP_TEST(who_waits_for_an_invitation_and_is_refused_gets_none),
        LOOP_TEST(an_answer_instead_of_an_invitation_is_final),
        LOOP_TEST(sixteen_requests_at_once_are_answered_in_order),
        LOOP_TEST(requests_behind_one_that_is_held_wait_their_turn),
        LOOP_TEST(a_large_download_is_right_and_leaves_the_others_their_turns),
        LOOP_TEST(large_copies_reach_slow_readers_whole),
        LOOP_TEST(a_response_beyond_the_send_buffer_is_refused_and_another_may_follow),
        LOOP_TEST(misuse_returns_an_error_and_sends_nothing),
        LOOP_TEST(answers_are_framed_by_version_method_and_status),
        LOOP_TEST(a_stream_waits_for_its_reader_and_arrives_whole),
        LOOP_TEST(small_requests_allocate_nothing_in_steady_state),
        LOOP_TEST(idle_connections_hold_no_buffer),
        LOOP_TEST(fixed_memory_serves_five_browsers_at_once),
        LOOP_TEST(fixed_memory_answers_bursts_of_sixteen),
        LOOP_TEST(fixed_memory_answers_a_longer_burst_in_order_up_to_a_close),
        LOOP_TEST(fixed_memory_sends_static_data_of_any_length_and_streams),
        LOOP_TEST(fixed_memory_refuses_what_does_not_fit_and_goes_on),
        LOOP_TEST_PLAIN(five_hundred_clients_asking_at_random_get_the_right_answers_in_order,
                        "five hundred handshakes take too long")
        LOOP_TEST(a_crowd_is_served_through_a_foreign_loop),
        LOOP_TEST(a_crowd_is_served_in_fixed_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
