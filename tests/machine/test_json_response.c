/* JSON written straight into a response and into a stream, over a real connection. */
#include <setjmp.h>
#include <stdarg.h>
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

typedef struct peer {
    uhttp_server *server;
    int fd;
    char *answer;           /* all of it, with a NUL */
    size_t length;
} peer;

static void peer_open(peer *p, const uhttp_config *given, const char *request)
{
    uhttp_config config = *given;
    struct sockaddr_in to;
    memset(p, 0, sizeof *p);
    config.port = UHTTP_PORT_ANY;
    config.address = "127.0.0.1";
    assert_int_equal(uhttp_server_open(&p->server, &config), UHTTP_OK);
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)uhttp_server_port(p->server));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(p->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(p->fd, request, strlen(request), 0), strlen(request));
}

static uhttp_conn *peer_request(peer *p)
{
    uhttp_conn *c = NULL;
    for (int i = 0; i < 1000 && c == NULL; i++)
        c = uhttp_wait(p->server, 10);
    assert_non_null(c);
    return c;
}

/* Reads what is here without waiting. */
static bool peer_drain(peer *p)
{
    char piece[65536];
    ssize_t n = recv(p->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0;
    p->answer = (char *)realloc(p->answer, p->length + (size_t)n + 1);
    assert_non_null(p->answer);
    memcpy(p->answer + p->length, piece, (size_t)n);
    p->length += (size_t)n;
    p->answer[p->length] = '\0';
    return true;
}

/* Lets the server run until the connection has ended. */
static void peer_read_all(peer *p)
{
    for (int i = 0; i < 100000 && peer_drain(p); i++)
        (void)uhttp_wait(p->server, 1);
}

static void peer_close(peer *p)
{
    close(p->fd);
    uhttp_server_close(p->server);
    free(p->answer);
}

static const char *body_of(const peer *p)
{
    const char *end = strstr(p->answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

#define GET(rest) "GET /x " rest "\r\nHost: a\r\nConnection: close\r\n\r\n"

static void json_becomes_the_response(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_json_writer w;
    peer p;
    peer_open(&p, &config, GET("HTTP/1.1"));
    uhttp_conn *c = peer_request(&p);
    assert_int_equal(uhttp_add_header(c, "X-Before", "1"), UHTTP_OK);
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "a");
    assert_int_equal(uhttp_add_header(c, "X-Between", "2"), UHTTP_OK);
    uhttp_json_array_begin(&w);
    for (int i = 0; i < 2000; i++)
        uhttp_json_int(&w, i);
    uhttp_json_array_end(&w);
    uhttp_json_object_end(&w);
    assert_int_equal(uhttp_json_respond(&w, 201), UHTTP_OK);
    assert_int_equal(uhttp_json_respond(&w, 201), UHTTP_ERR_STATE);
    peer_read_all(&p);
    assert_non_null(strstr(p.answer, "HTTP/1.1 201 Created\r\n"));
    assert_non_null(strstr(p.answer, "\r\nX-Before: 1\r\nX-Between: 2\r\n"));
    assert_non_null(strstr(p.answer, "\r\nContent-Type: application/json\r\n"));
    char length[64];
    snprintf(length, sizeof length, "\r\nContent-Length: %d\r\n", (int)strlen(body_of(&p)));
    assert_non_null(strstr(p.answer, length));
    uhttp_str body = { body_of(&p), strlen(body_of(&p)) };
    int32_t last = 0;
    assert_true(uhttp_json_valid(body, NULL));
    assert_int_equal(uhttp_json_to_int32(uhttp_json_find(body, "a[1999]"), &last), UHTTP_OK);
    assert_int_equal(last, 1999);
    peer_close(&p);
}

static void json_to_head_has_the_length_and_no_body(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_json_writer w;
    peer p;
    peer_open(&p, &config, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    uhttp_json_begin_response(&w, peer_request(&p));
    uhttp_json_string(&w, "1234");
    assert_int_equal(uhttp_json_respond(&w, 200), UHTTP_OK);
    peer_read_all(&p);
    assert_non_null(strstr(p.answer, "\r\nContent-Length: 6\r\n"));
    assert_string_equal(body_of(&p), "");
    peer_close(&p);
}

static void broken_json_is_dropped_and_another_answer_may_be_given(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_json_writer w;
    peer p;
    peer_open(&p, &config, GET("HTTP/1.1"));
    uhttp_conn *c = peer_request(&p);
    assert_int_equal(uhttp_add_header(c, "X-Kept", "1"), UHTTP_OK);
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    assert_int_equal(uhttp_json_respond(&w, 200), UHTTP_ERR_STATE);     /* not ended */
    uhttp_json_begin_response(&w, c);
    uhttp_json_string(&w, "never sent");
    assert_int_equal(uhttp_json_respond(&w, 204), UHTTP_ERR_INVALID);   /* has no body */
    uhttp_json_begin_response(&w, c);
    uhttp_json_string(&w, "never sent either");
    assert_int_equal(uhttp_respond_text(c, 500, "sorry"), UHTTP_OK);
    peer_read_all(&p);
    assert_non_null(strstr(p.answer, "HTTP/1.1 500 "));
    assert_non_null(strstr(p.answer, "\r\nX-Kept: 1\r\n"));
    assert_string_equal(body_of(&p), "sorry");
    peer_close(&p);
}

static void json_beyond_the_send_buffer_is_refused_whole(void **state)
{
    (void)state;
    static char memory[UHTTP_MEMORY_SIZE(1, 1024)];
    uhttp_config config = { 0 };
    uhttp_json_writer w;
    peer p;
    config.max_connections = 1;
    config.memory = memory;
    config.memory_size = sizeof memory;
    peer_open(&p, &config, GET("HTTP/1.1"));
    uhttp_conn *c = peer_request(&p);
    uhttp_json_begin_response(&w, c);
    uhttp_json_array_begin(&w);
    for (int i = 0; i < 1000; i++)
        uhttp_json_int(&w, i);
    uhttp_json_array_end(&w);
    assert_int_equal(uhttp_json_respond(&w, 200), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_respond_error(c, 500), UHTTP_OK);
    peer_read_all(&p);
    assert_non_null(strstr(p.answer, "HTTP/1.1 500 "));
    peer_close(&p);
}

/* A text far larger than any buffer: every AGAIN is answered by making the same call again. */
static void json_of_any_length_goes_through_a_stream(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_json_writer w;
    peer p;
    int agains = 0;
    config.max_send_buffer = 2000;
    peer_open(&p, &config, GET("HTTP/1.0"));
    uhttp_conn *c = peer_request(&p);
    int small = 4096;
    setsockopt((int)uhttp_fd(c), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    assert_int_equal(uhttp_stream_begin(c, 200, "application/json"), UHTTP_OK);
    uhttp_json_begin_stream(&w, c);
    assert_int_equal(uhttp_json_array_begin(&w), UHTTP_OK);
    for (int i = 0; i < 400000; ) {
        uhttp_result result = uhttp_json_int(&w, i);
        if (result == UHTTP_OK) {
            i++;
            continue;
        }
        assert_int_equal(result, UHTTP_ERR_AGAIN);
        agains++;
        assert_true(peer_drain(&p));
        (void)uhttp_wait(p.server, 0);
    }
    while (uhttp_json_array_end(&w) == UHTTP_ERR_AGAIN) {
        assert_true(peer_drain(&p));
        (void)uhttp_wait(p.server, 0);
    }
    assert_int_equal(uhttp_json_error(&w), UHTTP_OK);
    assert_int_equal(uhttp_stream_end(c), UHTTP_OK);
    peer_read_all(&p);
    assert_true(agains > 0);
    uhttp_str body = { body_of(&p), p.length - (size_t)(body_of(&p) - p.answer) };
    int32_t last = 0;
    assert_true(uhttp_json_valid(body, NULL));
    assert_int_equal(uhttp_json_to_int32(uhttp_json_find(body, "[399999]"), &last), UHTTP_OK);
    assert_int_equal(last, 399999);
    peer_close(&p);
}

static void writers_learn_that_the_moment_is_wrong(void **state)
{
    (void)state;
    uhttp_config config = { 0 };
    uhttp_json_writer w;
    char memory[32];
    peer p;
    peer_open(&p, &config, GET("HTTP/1.1"));
    uhttp_conn *c = peer_request(&p);
    uhttp_json_begin_stream(&w, c);         /* no stream has begun */
    assert_int_equal(uhttp_json_null(&w), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_stream_begin(c, 200, NULL), UHTTP_OK);
    uhttp_json_begin_response(&w, c);       /* the response has begun */
    assert_int_equal(uhttp_json_null(&w), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_json_respond(&w, 200), UHTTP_ERR_STATE);
    uhttp_json_begin(&w, memory, sizeof memory);
    assert_int_equal(uhttp_json_respond(&w, 200), UHTTP_ERR_STATE);     /* no response */
    assert_int_equal(uhttp_stream_end(c), UHTTP_OK);
    peer_read_all(&p);
    peer_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_becomes_the_response),
        cmocka_unit_test(json_to_head_has_the_length_and_no_body),
        cmocka_unit_test(broken_json_is_dropped_and_another_answer_may_be_given),
        cmocka_unit_test(json_beyond_the_send_buffer_is_refused_whole),
        cmocka_unit_test(json_of_any_length_goes_through_a_stream),
        cmocka_unit_test(writers_learn_that_the_moment_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
