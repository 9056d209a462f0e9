/* test_body.c - the body of a request has one state, and a response that fails is not forgotten:
 * what a program may do at moments the network decides, over peers made of byte arrays
 */
#include "memory_transport.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#define HEAD(method, path) method " " path " HTTP/1.1\r\nHost: a\r\n"
#define GET(path) HEAD("GET", path) "\r\n"
#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

static char log_text[4096];
static unsigned log_lines;

static void on_log(void *user, const char *line)
{
    (void)user;
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
    log_lines++;
}

static void open_with(bool event_mode, size_t fixed, size_t max_send_buffer)
{
    uhttp_config config = world_config();
    config.event_mode = event_mode;
    config.max_send_buffer = max_send_buffer;
    config.log = on_log;
    log_text[0] = '\0';
    log_lines = 0;
    world_open(&config, fixed);
}

static peer *client(const char *says)
{
    peer *p = world_connect();
    peer_says(p, says);
    return p;
}

static uhttp_conn *hear(uhttp_event_type event)
{
    uhttp_conn *c = world_next();
    CHECK(c != NULL);
    CHECK(uhttp_event(c) == event);
    return c;
}

static void hear_nothing(void) { CHECK(world_next() == NULL); }

static size_t count_of(const peer *p, const char *word)
{
    size_t count = 0;
    for (size_t i = 0; i + strlen(word) <= p->out_length; i++)
        count += memcmp(p->out + i, word, strlen(word)) == 0 ? 1 : 0;
    return count;
}

/* HEADERS is heard, the program waits once more, and meanwhile all of the body arrives. */
static uhttp_conn *body_arrives_unaccepted(peer **p, const char *fields, const char *body,
                                           const char *behind)
{
    char head[256];
    snprintf(head, sizeof head, HEAD("POST", "/p") "Content-Length: %u\r\n%s\r\n",
             (unsigned)strlen(body), fields);
    *p = client(head);
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    hear_nothing();
    peer_says(*p, body);
    peer_says(*p, behind);
    hear_nothing();
    return c;
}

/*--- the body's state -----------------------------------------------------------------------*/

static void body_is_not_handed_out_before_it_is_complete(void **state)
{
    static const size_t fixed[] = { 0, 1024 };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        peer *p;
        size_t length = 9;
        open_with(true, fixed[i], 0);
        uhttp_conn *c = body_arrives_unaccepted(&p, "", "7 bytes", GET("/next"));
        CHECK(uhttp_body(c, &length) == NULL && length == 0);
        CHECK(uhttp_accept_body(c, 0) == UHTTP_OK);
        CHECK(uhttp_body(c, &length) == NULL && length == 0);
        CHECK(uhttp_form_parse(c) == UHTTP_ERR_STATE);
        CHECK(hear(UHTTP_EVENT_COMPLETE) == c);
        CHECK(strcmp((const char *)uhttp_body(c, &length), "7 bytes") == 0 && length == 7);
        CHECK(uhttp_respond_text(c, 200, "first") == UHTTP_OK);
        c = hear(UHTTP_EVENT_REQUEST);
        CHECK(strcmp(uhttp_path(c), "/next") == 0);
        CHECK(uhttp_respond_text(c, 200, "second") == UHTTP_OK);
        hear_nothing();
        CHECK(count_of(p, "HTTP/1.1 200 ") == 2);
        world_close();
    }
}

static void body_behind_an_answer_begun_early_is_never_handed_out(void **state)
{
    peer *p;
    size_t length;
    (void)state;
    open_with(true, 0, 0);
    uhttp_conn *c = body_arrives_unaccepted(&p, "", "7 bytes", GET("/next"));
    CHECK(uhttp_accept_body(c, 0) == UHTTP_OK);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    CHECK(uhttp_body(c, &length) == NULL && uhttp_form(c, "a") == NULL);
    hear_nothing();
    CHECK(uhttp_body(c, &length) == NULL);
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    c = hear(UHTTP_EVENT_REQUEST);
    CHECK(strcmp(uhttp_path(c), "/next") == 0);
    world_close();
}

static void body_beyond_its_limit_is_never_handed_out(void **state)
{
    peer *p;
    (void)state;
    open_with(true, 0, 0);
    uhttp_conn *c = body_arrives_unaccepted(&p, "", "7 bytes", "");
    CHECK(uhttp_accept_body(c, 3) == UHTTP_OK);
    CHECK(uhttp_body(c, NULL) == NULL && uhttp_event(c) == UHTTP_EVENT_NONE);
    CHECK(uhttp_error(c, NULL) == 0);
    CHECK(hear(UHTTP_EVENT_ERROR) == c && uhttp_error(c, NULL) == 413);
    CHECK(uhttp_body(c, NULL) == NULL);
    hear_nothing();
    CHECK(peer_has(p, "HTTP/1.1 413 "));
    world_close();
}

static void form_not_given_yet_leaves_the_next_request_alone(void **state)
{
    static const size_t fixed[] = { 0, 1024 };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        peer *p;
        open_with(true, fixed[i], 0);
        uhttp_conn *c = body_arrives_unaccepted(&p, FORM, "a=1&b=%20", GET("/next"));
        CHECK(uhttp_accept_body(c, 0) == UHTTP_OK);
        CHECK(uhttp_form(c, "a") == NULL && uhttp_form_count(c) == 0);
        hear(UHTTP_EVENT_COMPLETE);
        CHECK(strcmp(uhttp_form(c, "a"), "1") == 0 && uhttp_form_count(c) == 2);
        CHECK(uhttp_body(c, NULL) == NULL);
        CHECK(uhttp_respond_text(c, 200, "first") == UHTTP_OK);
        c = hear(UHTTP_EVENT_REQUEST);
        CHECK(strcmp(uhttp_path(c), "/next") == 0);
        CHECK(uhttp_respond_text(c, 200, "second") == UHTTP_OK);
        hear_nothing();
        CHECK(count_of(p, "HTTP/1.1 200 ") == 2 && !peer_has(p, "400"));
        world_close();
    }
}

/*--- accepting after REQUEST ------------------------------------------------------------------*/

#define WHOLE(body_length, body) \
    HEAD("PUT", "/f") "Content-Length: " body_length "\r\n\r\n" body GET("/next")

static void next_is_served(peer *p)
{
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(strcmp(uhttp_path(c), "/next") == 0);
    CHECK(uhttp_respond_text(c, 200, "next") == UHTTP_OK);
    hear_nothing();
    CHECK(count_of(p, "HTTP/1.1 200 ") == 2);
}

static void body_is_accepted_after_request_as_after_headers(void **state)
{
    static const struct { const char *says, *body; } cases[] = {
        { WHOLE("5", "hello"), "hello" },
        { WHOLE("0", ""), "" },
        { HEAD("GET", "/f") "\r\n" GET("/next"), "" },
        { HEAD("PUT", "/f") "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
          GET("/next"), "hello" },
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        const char *body = cases[i / 2].body;
        size_t length = 99;
        open_with(true, i % 2 == 0 ? 0 : 1024, 0);
        peer *p = client(cases[i / 2].says);
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        CHECK(uhttp_accept_body(c, 0) == UHTTP_OK);
        CHECK(uhttp_accept_body(c, 0) == UHTTP_ERR_STATE);
        CHECK(hear(UHTTP_EVENT_COMPLETE) == c);
        const char *given = (const char *)uhttp_body(c, &length);
        CHECK(given != NULL && length == strlen(body) && strcmp(given, body) == 0);
        CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_ERR_STATE);
        CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
        next_is_served(p);
        world_close();
    }
}

static void body_is_streamed_after_request_as_after_headers(void **state)
{
    size_t length;
    (void)state;
    open_with(true, 0, 0);
    peer *p = client(WHOLE("5", "hello"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
    CHECK(hear(UHTTP_EVENT_DATA) == c);
    const void *piece = uhttp_read_buffer(c, &length);
    CHECK(length == 5 && memcmp(piece, "hello", 5) == 0);
    CHECK(hear(UHTTP_EVENT_COMPLETE) == c);
    CHECK(uhttp_read_buffer(c, &length) == NULL);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    next_is_served(p);

    p = client(WHOLE("0", ""));
    c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
    CHECK(uhttp_read_buffer(c, &length) == NULL && length == 0);
    CHECK(hear(UHTTP_EVENT_COMPLETE) == c);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    next_is_served(p);
    world_close();
}

static void limit_counts_after_request_as_after_headers(void **state)
{
    (void)state;
    open_with(true, 0, 0);
    peer *p = client(WHOLE("5", "hello"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_accept_body(c, 4) == UHTTP_OK);
    CHECK(hear(UHTTP_EVENT_ERROR) == c && uhttp_error(c, NULL) == 413);
    CHECK(uhttp_accept_body(c, 0) == UHTTP_ERR_STATE);
    hear_nothing();
    CHECK(peer_has(p, "HTTP/1.1 413 "));
    world_close();
}

static void form_and_plain_mode_accept_nothing(void **state)
{
    (void)state;
    open_with(true, 0, 0);
    client(HEAD("POST", "/") FORM "Content-Length: 3\r\n\r\na=1");
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(strcmp(uhttp_form(c, "a"), "1") == 0);
    CHECK(uhttp_accept_body(c, 0) == UHTTP_ERR_STATE);
    CHECK(strcmp(uhttp_form(c, "a"), "1") == 0);
    world_close();
    open_with(false, 0, 0);
    client(WHOLE("5", "hello"));
    c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_accept_body(c, 0) == UHTTP_ERR_STATE);
    CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_ERR_STATE);
    CHECK(strcmp((const char *)uhttp_body(c, NULL), "hello") == 0);
    world_close();
}

/*--- events are heard when they are returned ----------------------------------------------------*/

static void client_that_left_is_not_owned_after_closed_was_returned(void **state)
{
    uhttp_stats stats;
    int mine = 7;
    (void)state;
    open_with(true, 0, 0);
    peer *p = client(GET("/left"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    uint64_t id = uhttp_id(c);
    uhttp_set_context(c, &mine);
    p->reset = true;
    CHECK(hear(UHTTP_EVENT_CLOSED) == c);
    CHECK(uhttp_next(world_server, NULL) == NULL && uhttp_find(world_server, id) == NULL);
    uhttp_server_stats(world_server, &stats);
    CHECK(stats.held == 0 && stats.forgotten == 0);
    CHECK(uhttp_context(c) == &mine && strcmp(uhttp_path(c), "/left") == 0);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_ERR_CLOSED);
    hear_nothing();
    CHECK(uhttp_event(c) == UHTTP_EVENT_NONE);
    world_close();
}

/*--- responses that fail --------------------------------------------------------------------------*/

static uhttp_result fail_long(uhttp_conn *c)
{
    static char page[3000];
    memset(page, 'x', sizeof page - 1);
    return uhttp_respond_html(c, 200, page);
}

static uhttp_result fail_status(uhttp_conn *c) { return uhttp_respond_text(c, 99, "x"); }
static uhttp_result fail_type(uhttp_conn *c) { return uhttp_respond(c, 200, "a\r\nb", "x", 1); }
static uhttp_result fail_data(uhttp_conn *c) { return uhttp_respond(c, 204, NULL, "x", 1); }
static uhttp_result fail_redirect(uhttp_conn *c) { return uhttp_respond_redirect(c, 200, "/"); }
static uhttp_result fail_target(uhttp_conn *c) { return uhttp_respond_redirect(c, 0, "a b"); }
static uhttp_result fail_allow(uhttp_conn *c) { return uhttp_respond_not_allowed(c, "A\nB"); }
static uhttp_result fail_stream(uhttp_conn *c) { return uhttp_stream_begin(c, 304, NULL); }
static uhttp_result fail_files(uhttp_conn *c) { return uhttp_respond_file(c, "", NULL); }

static uhttp_result fail_text(uhttp_conn *c)
{
    return uhttp_respond_text(c, 200, uhttp_query(c, "absent"));
}

static uhttp_result fail_html(uhttp_conn *c) { return uhttp_respond_html(c, 200, NULL); }
static uhttp_result fail_nowhere(uhttp_conn *c) { return uhttp_respond_redirect(c, 0, NULL); }
static uhttp_result fail_none(uhttp_conn *c) { return uhttp_respond_not_allowed(c, NULL); }
static uhttp_result fail_dir(uhttp_conn *c) { return uhttp_serve_dir(c, ".", NULL); }
static uhttp_result fail_printf(uhttp_conn *c)
{
    return uhttp_respond_printf(c, 200, "text/plain", "%3000d", 1);
}

static uhttp_result fail_json(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_int(&w, 1);                  /* a member without its key */
    return uhttp_json_respond(&w, 200);
}

static uhttp_result fail_long_json(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    uhttp_json_array_begin(&w);
    while (uhttp_json_int(&w, 1234567) == UHTTP_OK) { }
    return uhttp_json_respond(&w, 200);
}

static const struct {
    uhttp_result (*respond)(uhttp_conn *c);
    uhttp_result result;
    const char *logged;
} failures[] = {
    { fail_long, UHTTP_ERR_MEMORY, "max_send_buffer" },
    { fail_long_json, UHTTP_ERR_MEMORY, "max_send_buffer" },
    { fail_status, UHTTP_ERR_INVALID, "response" },
    { fail_type, UHTTP_ERR_INVALID, "response" },
    { fail_data, UHTTP_ERR_INVALID, "response" },
    { fail_redirect, UHTTP_ERR_INVALID, "response" },
    { fail_target, UHTTP_ERR_INVALID, "response" },
    { fail_allow, UHTTP_ERR_INVALID, "response" },
    { fail_stream, UHTTP_ERR_INVALID, "response" },
    { fail_text, UHTTP_ERR_INVALID, "response" },
    { fail_html, UHTTP_ERR_INVALID, "response" },
    { fail_nowhere, UHTTP_ERR_INVALID, "response" },
    { fail_none, UHTTP_ERR_INVALID, "response" },
    { fail_dir, UH_FILES ? UHTTP_ERR_INVALID : UHTTP_ERR_UNSUPPORTED, "response" },
    { fail_printf, UHTTP_ERR_MEMORY, "max_send_buffer" },
    { fail_json, UHTTP_ERR_STATE, "JSON" },
    { fail_files, UH_FILES ? UHTTP_ERR_INVALID : UHTTP_ERR_UNSUPPORTED, "response" },
};

#define FAILURES (sizeof failures / sizeof failures[0])

static void failed_response_is_logged_and_gets_500(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * FAILURES; i++) {
        uhttp_stats stats;
        open_with(i % 2 == 0, 0, 1024);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        uint64_t id = uhttp_id(c);
        snprintf(world_what, sizeof world_what, "failure %u", (unsigned)i / 2);
        CHECK(failures[i / 2].respond(c) == failures[i / 2].result);
        CHECK(log_lines == 1 && strstr(log_text, failures[i / 2].logged) != NULL);
        CHECK(p->out_length == 0);
        hear_nothing();
        CHECK(count_of(p, "HTTP/1.1 ") == 1 && peer_has(p, "HTTP/1.1 500 "));
        CHECK(peer_has(p, "Connection: close") && log_lines == 2);
        uhttp_server_stats(world_server, &stats);
        CHECK(stats.held == 0 && uhttp_find(world_server, id) == NULL);
        CHECK(uhttp_respond_text(c, 200, "late") != UHTTP_OK);
        world_close();
    }
}

static void failed_response_may_be_followed_by_a_better_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAILURES; i++) {
        open_with(true, 0, 1024);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        CHECK(failures[i].respond(c) == failures[i].result);
        CHECK(uhttp_respond_text(c, 200, "better") == UHTTP_OK);
        hear_nothing();
        CHECK(count_of(p, "HTTP/1.1 ") == 1 && peer_has(p, "HTTP/1.1 200 "));
        peer_says(p, GET("/stream"));
        c = hear(UHTTP_EVENT_REQUEST);
        CHECK(failures[i].respond(c) == failures[i].result);
        CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        hear_nothing();
        CHECK(uhttp_stream_end(c) == UHTTP_OK);
        hear_nothing();
        CHECK(count_of(p, "HTTP/1.1 ") == 2 && count_of(p, "HTTP/1.1 200 ") == 2);
        world_close();
    }
}

static void failed_response_to_a_body_that_is_then_accepted_ends_nothing(void **state)
{
    (void)state;
    open_with(true, 0, 1024);
    peer *p = client(HEAD("POST", "/") "Content-Length: 5\r\n\r\n");
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    CHECK(fail_long(c) == UHTTP_ERR_MEMORY);
    CHECK(uhttp_accept_body(c, 0) == UHTTP_OK);
    hear_nothing();
    peer_says(p, "hello");
    CHECK(hear(UHTTP_EVENT_COMPLETE) == c);
    CHECK(uhttp_respond_text(c, 200, "well") == UHTTP_OK);
    hear_nothing();
    CHECK(count_of(p, "HTTP/1.1 ") == 1 && peer_has(p, "HTTP/1.1 200 "));
    world_close();
}

/* What the program does with another request says nothing about the one that failed. */
static void failed_response_is_not_made_good_by_another_body(void **state)
{
    (void)state;
    open_with(true, 0, 0);
    peer *sender = client(HEAD("POST", "/") "Content-Length: 10\r\n\r\n");
    uhttp_conn *held = hear(UHTTP_EVENT_HEADERS);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_respond(c, 200, "bad\n", "x", 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_accept_body(held, 100) == UHTTP_OK);
    hear_nothing();
    CHECK(peer_has(p, "500 Internal Server Error"));
    peer_says(sender, "0123456789");
    CHECK(hear(UHTTP_EVENT_COMPLETE) == held);
    CHECK(uhttp_respond_text(held, 200, "x") == UHTTP_OK);
    hear_nothing();
    world_close();
}

static void failed_response_of_a_held_request_may_be_repeated(void **state)
{
    (void)state;
    open_with(false, 0, 1024);
    peer *p = client(GET("/held"));
    uhttp_conn *held = hear(UHTTP_EVENT_REQUEST);
    hear_nothing();
    CHECK(fail_long(held) == UHTTP_ERR_MEMORY && log_lines == 1);
    hear_nothing();
    peer *other = client(GET("/other"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(fail_long(held) == UHTTP_ERR_MEMORY);
    CHECK(uhttp_respond_text(c, 200, "other") == UHTTP_OK);
    hear_nothing();
    CHECK(peer_has(other, "HTTP/1.1 200 ") && p->out_length == 0);
    CHECK(uhttp_respond_text(held, 200, "at last") == UHTTP_OK);
    hear_nothing();
    CHECK(peer_has(p, "at last"));
    world_close();
}

static void failures_that_are_no_response_cause_no_500(void **state)
{
    static char text[3000];
    uhttp_new_cookie cookie;
    uhttp_json_writer w;
    char small[2];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    memset(&cookie, 0, sizeof cookie);
    open_with(false, 0, 1024);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_add_header(c, "X", text) == UHTTP_ERR_MEMORY);
    CHECK(uhttp_add_header(c, "X y", "z") == UHTTP_ERR_INVALID);
    cookie.name = "a b";
    CHECK(uhttp_set_cookie(c, &cookie) == UHTTP_ERR_INVALID);
    CHECK(uhttp_stream_write(c, "x", 1) == UHTTP_ERR_STATE);
    uhttp_json_begin(&w, small, sizeof small);
    CHECK(uhttp_json_string(&w, text) == UHTTP_ERR_MEMORY);
    hear_nothing();
    CHECK(p->out_length == 0 && log_lines == 0);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, text, sizeof text) == UHTTP_ERR_MEMORY);
    hear_nothing();
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    hear_nothing();
    CHECK(count_of(p, "HTTP/1.1 ") == 1 && peer_has(p, "HTTP/1.1 200 "));
    world_close();
}

static void frame_beyond_the_limit_is_skipped_and_said_once(void **state)
{
    static char picture[3000];
    (void)state;
    open_with(false, 0, 1024);
    peer *p = client(GET("/camera"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_multipart_begin(c) == UHTTP_OK);
    for (int i = 0; i < 3; i++)
        CHECK(uhttp_multipart_frame(c, "image/jpeg", picture, sizeof picture) == UHTTP_ERR_MEMORY);
    CHECK(log_lines == 1 && strstr(log_text, "max_send_buffer") != NULL);
    hear_nothing();
    CHECK(uhttp_multipart_frame(c, "image/jpeg", "small", 5) == UHTTP_OK);
    CHECK(uhttp_multipart_end(c) == UHTTP_OK);
    hear_nothing();
    CHECK(peer_has(p, "small") && peer_has(p, "HTTP/1.1 200 "));
    world_close();
}

/* What has come is read before the body's time counts, however long the program worked. */
static void body_that_came_while_the_program_worked_is_in_time(void **state)
{
    (void)state;
    static const char piece[2000];
    for (int sends = 0; sends < 2; sends++) {
        size_t length;
        open_with(true, 0, 0);
        peer *p = client(HEAD("POST", "/") "Content-Length: 10000\r\n\r\n");
        uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
        CHECK(uhttp_accept_body_streaming(c, UHTTP_UNLIMITED) == UHTTP_OK);
        for (int i = 0; i < 2; i++) {
            peer_says_bytes(p, piece, sizeof piece);
            CHECK(hear(UHTTP_EVENT_DATA) == c);
            CHECK(uhttp_read_buffer(c, &length) != NULL && length == sizeof piece);
        }
        if (sends)
            peer_says_bytes(p, piece, sizeof piece);
        world_sleep(10001);
        CHECK(uh_server_take_turns(world_server) == NULL);      /* uhttp_wait() begins so */
        CHECK(hear(sends ? UHTTP_EVENT_DATA : UHTTP_EVENT_ERROR) == c);
        CHECK(uhttp_error(c, NULL) == (sends ? 0 : 408));
        world_close();
    }
}

/* A program that asks for data in each round of its loop gives the connection turns, but its
 * client no time. */
static void body_that_stays_away_is_late_although_it_is_asked_for(void **state)
{
    (void)state;
    size_t length;
    uhttp_conn *heard = NULL;
    open_with(true, 0, 0);
    peer *p = client(HEAD("POST", "/") "Content-Length: 10000\r\n\r\n");
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    CHECK(uhttp_accept_body_streaming(c, UHTTP_UNLIMITED) == UHTTP_OK);
    peer_says_bytes(p, "some", 4);
    CHECK(hear(UHTTP_EVENT_DATA) == c);
    CHECK(uhttp_read_buffer(c, &length) != NULL && length == 4);
    for (int seconds = 0; heard == NULL; seconds++) {
        CHECK(seconds < 12 && uhttp_read_buffer(c, &length) == NULL);
        heard = world_step();
        CHECK(heard != NULL || uhttp_server_timeout(world_server) > 0);
        world_sleep(1000);
    }
    CHECK(heard == c && uhttp_event(c) == UHTTP_EVENT_ERROR && uhttp_error(c, NULL) == 408);
    world_close();
}

/* Which limit it was: the program's, or what fixed memory holds. */
static void log_names_the_limit_that_a_body_exceeds(void **state)
{
    (void)state;
    open_with(false, 1024, 0);
    peer *p = client(HEAD("POST", "/") "Content-Length: 5000\r\n\r\n");
    hear_nothing();
    CHECK(peer_has(p, "HTTP/1.1 413 ") && strstr(log_text, "body exceeds the buffer") != NULL);
    world_close();
    open_with(false, 0, 0);
    p = client(HEAD("POST", "/") "Content-Length: 99999999\r\n\r\n");
    hear_nothing();
    CHECK(peer_has(p, "HTTP/1.1 413 ") && strstr(log_text, "max_content_length") != NULL);
    world_close();
}

/* A head within its limit is not too large: the server lacks memory. */
static void head_without_memory_for_its_copies_is_503(void **state)
{
    static char head[5000];
    (void)state;
    size_t n = (size_t)snprintf(head, sizeof head, "GET /%%41?a=b HTTP/1.1\r\nHost: t\r\nX-Fill: ");
    memset(head + n, 'x', 1950);
    snprintf(head + n + 1950, sizeof head - n - 1950, "\r\n\r\n");
    open_with(false, 0, 0);
    peer *p = client(head);
    p->arrived = 1000;
    hear_nothing();
    memory_fails_from = memory_calls;
    memory_fails_to = SIZE_MAX;
    p->arrived = p->in_length;
    hear_nothing();
    CHECK(peer_has(p, "HTTP/1.1 503 ") && memory_failures > 0);
    world_close();
}

static uhttp_access access_last;

static void on_access(void *user, const uhttp_access *entry)
{
    (void)user;
    access_last = *entry;
}

/* Nothing of an answer left: no byte of its body is logged, however long it is. */
static void access_log_counts_no_byte_that_never_left(void **state)
{
    (void)state;
    static const char data[50000];
    for (size_t length = 1; length <= sizeof data; length *= 7) {
        uhttp_config config = world_config();
        config.access_log = on_access;
        world_open(&config, 0);
        peer *p = client(GET("/"));
        uhttp_conn *c = world_next();
        p->send_fails = true;
        (void)uhttp_respond(c, 200, "text/plain", data, length);
        hear_nothing();
        CHECK(access_last.status == 200 && access_last.bytes == 0);
        world_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_is_not_handed_out_before_it_is_complete),
        cmocka_unit_test(body_behind_an_answer_begun_early_is_never_handed_out),
        cmocka_unit_test(body_beyond_its_limit_is_never_handed_out),
        cmocka_unit_test(form_not_given_yet_leaves_the_next_request_alone),
        cmocka_unit_test(body_is_accepted_after_request_as_after_headers),
        cmocka_unit_test(body_is_streamed_after_request_as_after_headers),
        cmocka_unit_test(limit_counts_after_request_as_after_headers),
        cmocka_unit_test(form_and_plain_mode_accept_nothing),
        cmocka_unit_test(client_that_left_is_not_owned_after_closed_was_returned),
        cmocka_unit_test(failed_response_is_logged_and_gets_500),
        cmocka_unit_test(failed_response_may_be_followed_by_a_better_one),
        cmocka_unit_test(failed_response_to_a_body_that_is_then_accepted_ends_nothing),
        cmocka_unit_test(failed_response_is_not_made_good_by_another_body),
        cmocka_unit_test(failed_response_of_a_held_request_may_be_repeated),
        cmocka_unit_test(failures_that_are_no_response_cause_no_500),
        cmocka_unit_test(frame_beyond_the_limit_is_skipped_and_said_once),
        cmocka_unit_test(body_that_came_while_the_program_worked_is_in_time),
        cmocka_unit_test(log_names_the_limit_that_a_body_exceeds),
        cmocka_unit_test(head_without_memory_for_its_copies_is_503),
        cmocka_unit_test(body_that_stays_away_is_late_although_it_is_asked_for),
        cmocka_unit_test(access_log_counts_no_byte_that_never_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
