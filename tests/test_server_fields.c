/* test_server_fields.c - fields over real sockets: what odd but harmless ones of a request mean,
 * and which ones of a response stand there once */
#include "loopback.h"

/*--- requests -------------------------------------------------------------------------*/

static void answer_with_query(uhttp_conn *c)
{
    const char *name, *value;
    char text[256];
    char *p = text;
    for (size_t i = 0; uhttp_query_at(c, i, &name, &value); i++)
        p += snprintf(p, 64, "[%s|%s]", name, value);
    *p = '\0';
    assert_ok(uhttp_respond_text(c, 200, text));
}

static void a_stray_percent_in_a_query_stands_for_itself(void **state)
{
    static const struct { const char *target, *body; } cases[] = {
        { "/?a=100%", "[a|100%]" },
        { "/?a=%4&b=2", "[a|%4][b|2]" },
        { "/?a=%zz&b=2", "[a|%zz][b|2]" },
        { "/?%u0416=%u0416", "[%u0416|%u0416]" },
        { "/?a=%%41+%", "[a|%A %]" },
        { "/?%", "[%|]" },
    };
    (void)state;
    loop_open_default();
    loop.handler = answer_with_query;
    client *c = client_connect();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(client_get(c, cases[i].target), 200);
        assert_string_equal(c->body, cases[i].body);
    }
    assert_int_equal(client_get(c, "/?a=1&b=%00"), 400);
    assert_int_equal(client_get(client_connect(), "/100%"), 400);
}

static void answer_with_full_url(uhttp_conn *c)
{
    char url[256];
    assert_true(uhttp_full_url(c, url, sizeof url) > 0);
    assert_int_equal(uhttp_is_secure(c), LOOP_SECURE);
    assert_ok(uhttp_respond_text(c, 200, url));
}

/* RFC 9110 section 7.4: https is TLS, or what a trusted proxy has ended. */
static void an_https_target_needs_tls_or_a_trusted_proxy(void **state)
{
    static const struct { const char *proxies; int status; } cases[] = {
        { NULL, 421 }, { "10.0.0.0/8, unix", 421 }, { "10.0.0.0/8, 127.0.0.1", 200 },
    };
    static const char *const targets[] = { "https://host/x", "HTTPS://host:443", "hTTps://h?a" };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uhttp_config config = loop_config();
        config.trusted_proxies = cases[i].proxies;
        loop_open(&config);
        loop.handler = answer_with_full_url;
        for (size_t j = 0; j < sizeof targets / sizeof targets[0]; j++) {
            client *c = client_connect();
            assert_int_equal(client_get(c, targets[j]), LOOP_SECURE ? 200 : cases[i].status);
            client_close(c);
        }
        client *c = client_connect();
        assert_int_equal(client_get(c, "http://host/x"), 200);
        assert_string_equal(c->body, LOOP_SCHEME "://host/x");
        assert_int_equal(client_get(c, "/https://host/x"), 200);
        assert_int_equal(loop_logged("421 https target on a plain listener"),
                         LOOP_SECURE || cases[i].status == 200 ? 0 : 3);
        loop.line_count = 0;
        loop_close();
    }
}

/* The first byte tells, so nobody waits for a line that never ends. */
static void tls_spoken_to_a_plain_listener_is_called_that(void **state)
{
    static const char hello[] = { 0x16, 3, 1, 2, 0, 1, 0, 1, '\n', 3 };
    (void)state;
    loop_open_default();
    for (size_t length = 1; length <= sizeof hello; length++) {
        client *c = client_connect();
        client_send_bytes(c, hello, length);
        assert_int_equal(client_answer(c), 400);
        client_expect_end(c);
        assert_int_equal(loop_logged("400 TLS spoken to a plain listener, from 127.0.0.1"), length);
    }
}

static void white_space_before_a_chunk_extension_is_taken(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    assert_int_equal(client_ask(c, "POST /echo HTTP/1.1\r\nHost: t\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n"
                                   "5 ;x\r\nhello\r\n0\t;y=z\r\n\r\n"), 200);
    client_check(c, "/next");
    assert_int_equal(client_ask(c, "POST /echo HTTP/1.1\r\nHost: t\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n"
                                   "5 \r\nhello\r\n0\r\n\r\n"), 400);
}

/* RFC 9110 sections 5.3 and 5.6.1.2 */
static void a_list_may_have_empty_elements_and_several_lines(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    assert_int_equal(client_ask(c, "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: ,\r\n"
                                   "Expect: 100-continue,\r\nContent-Length: 1\r\n\r\nx"), 200);
    assert_int_equal(client_ask(c, "GET /a HTTP/1.1\r\nHost: t\r\nConnection: ,\r\n"
                                   "Connection: ,, close\r\n\r\n"), 200);
    client_expect_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_stray_percent_in_a_query_stands_for_itself),
        LOOP_TEST(an_https_target_needs_tls_or_a_trusted_proxy),
        LOOP_TEST_PLAIN(tls_spoken_to_a_plain_listener_is_called_that, "the listener is secure")
        LOOP_TEST(white_space_before_a_chunk_extension_is_taken),
        LOOP_TEST(a_list_may_have_empty_elements_and_several_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
