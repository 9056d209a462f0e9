/* test_server_fields.c - fields over real sockets: what odd but harmless ones of a request
 * mean, and which ones of a response stand there once */
#include "loopback.h"

#define COUNT(list) (sizeof (list) / sizeof *(list))

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
    for (size_t i = 0; i < COUNT(cases); i++) {
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
    static const char *const targets[] = { "https://h/x", "HTTPS://host:443", "https://h?a" };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uhttp_config config = loop_config();
        config.trusted_proxies = cases[i].proxies;
        loop_open(&config);
        loop.handler = answer_with_full_url;
        for (size_t j = 0; j < COUNT(targets); j++) {
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
        assert_int_equal(loop_logged("400 TLS spoken to a plain listener, from 127.0.0.1"),
                         length);
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

/*--- responses ------------------------------------------------------------------------*/

#define OLD_DATE "Sun, 06 Nov 1994 08:49:37 GMT"

/* Fields of which the program's last one counts. */
static const struct { const char *name, *first, *last; } once[] = {
    { "Content-Type", "text/a", "text/b" },
    { "Content-Disposition", "inline", "attachment" },
    { "Location", "/a", "/b" },
    { "ETag", "\"a\"", "\"b\"" },
    { "Last-Modified", "Sun, 06 Nov 1994 08:49:36 GMT", OLD_DATE },
    { "Expires", "0", OLD_DATE },
    { "Age", "1", "2" },
    { "Retry-After", "1", "2" },
    { "Date", "Sun, 06 Nov 1994 08:49:36 GMT", OLD_DATE },
    { "Server", "a", "b" },
    { "Strict-Transport-Security", "max-age=1", "max-age=2" },
    { "X-Frame-Options", "DENY", "SAMEORIGIN" },
    { "X-Content-Type-Options", "a", "nosniff" },
    { "Referrer-Policy", "a", "no-referrer" },
    { "Access-Control-Allow-Origin", "*", "https://b" },
    { "Access-Control-Allow-Credentials", "a", "true" },
    { "Access-Control-Max-Age", "1", "2" },
};

/* Fields of which all of the program's count; the default ones as well, or not. */
static const struct { const char *name; bool added; } lists[] = {
    { "Set-Cookie", true }, { "Vary", true }, { "Link", true }, { "WWW-Authenticate", true },
    { "Content-Security-Policy", true },
    { "Cache-Control", false }, { "Allow", false }, { "Accept-Ranges", false },
    { "X-Accel-Buffering", false }, { "X-Custom", false },
    { "Access-Control-Allow-Methods", false }, { "Access-Control-Allow-Origins", false },
};

static const uhttp_rom_file rom[] = {
    { "a.txt", "hello", 5, "rom", NULL, 784111777 },
    { "dir/index.html", "", 0, NULL, NULL, 0 },
};

static void respond_any(uhttp_conn *c) { assert_ok(uhttp_respond(c, 200, "a/b", "x", 1)); }
static void respond_static(uhttp_conn *c)
{
    assert_ok(uhttp_respond_static(c, 201, "a/b", "x", 1));
}
static void respond_none(uhttp_conn *c) { assert_ok(uhttp_respond(c, 200, NULL, NULL, 0)); }
static void respond_text(uhttp_conn *c) { assert_ok(uhttp_respond_text(c, 200, "x")); }
static void respond_html(uhttp_conn *c) { assert_ok(uhttp_respond_html(c, 200, "x")); }
static void respond_json(uhttp_conn *c) { assert_ok(uhttp_respond_json(c, 200, "1")); }
static void respond_error(uhttp_conn *c) { assert_ok(uhttp_respond_error(c, 404)); }
static void respond_304(uhttp_conn *c) { assert_ok(uhttp_respond_error(c, 304)); }
static void redirect(uhttp_conn *c) { assert_ok(uhttp_respond_redirect(c, 0, "/c")); }
static void not_allowed(uhttp_conn *c) { assert_ok(uhttp_respond_not_allowed(c, "PUT")); }
static void serve_rom(uhttp_conn *c) { assert_ok(uhttp_serve_rom(c, rom, COUNT(rom), "/")); }

static void respond_file(uhttp_conn *c)
{
    static const uhttp_file_options options = { NULL, "max-age=60", false, false, false };
    assert_ok(uhttp_respond_file(c, "tests/server/test_server_fields.c", &options));
}

static void write_json(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    assert_ok(uhttp_json_int(&w, 1));
    assert_ok(uhttp_json_respond(&w, 200));
}

static void stream(uhttp_conn *c)
{
    assert_ok(uhttp_stream_begin(c, 200, "a/b"));
    assert_ok(uhttp_stream_end(c));
}

static void send_events(uhttp_conn *c)
{
    assert_ok(uhttp_sse_begin(c));
    assert_ok(uhttp_sse_end(c));
}

static void send_rows(uhttp_conn *c)
{
    assert_ok(uhttp_ndjson_begin(c));
    assert_ok(uhttp_ndjson_end(c));
}

static void send_parts(uhttp_conn *c)
{
    assert_ok(uhttp_multipart_begin(c));
    assert_ok(uhttp_multipart_end(c));
}

/* What each kind of response brings itself; live: its type is not the program's affair. */
static const struct kind {
    void (*respond)(uhttp_conn *c);
    const char *target;
    const char *type;               /* NULL: the default one */
    const char *fields[2][2];
    bool live;
} kinds[] = {
    { respond_any, "/", "a/b", { { NULL } }, false },
    { respond_static, "/", "a/b", { { NULL } }, false },
    { respond_none, "/", NULL, { { NULL } }, false },
    { respond_text, "/", "text/plain; charset=utf-8", { { NULL } }, false },
    { respond_html, "/", "text/html; charset=utf-8", { { NULL } }, false },
    { respond_json, "/", "application/json", { { NULL } }, false },
    { respond_error, "/", "text/plain", { { NULL } }, false },
    { respond_304, "/", NULL, { { NULL } }, false },
    { redirect, "/", "text/plain", { { "Location", "/c" } }, false },
    { not_allowed, "/", "text/plain", { { "Allow", "PUT" } }, false },
    { serve_rom, "/a.txt", "text/plain; charset=utf-8",
      { { "ETag", "\"rom\"" }, { "Last-Modified", OLD_DATE } }, false },
    { serve_rom, "/dir", NULL, { { "Location", "/dir/" } }, false },
    { respond_file, "/", "application/octet-stream",
      { { "Cache-Control", "max-age=60" }, { "Accept-Ranges", "bytes" } }, false },
    { write_json, "/", "application/json", { { NULL } }, false },
    { stream, "/", "a/b", { { NULL } }, false },
    { send_events, "/", "text/event-stream",
      { { "Cache-Control", "no-store" }, { "X-Accel-Buffering", "no" } }, true },
    { send_rows, "/", "application/x-ndjson", { { "Cache-Control", "no-store" } }, true },
    { send_parts, "/", "multipart/x-mixed-replace", { { "Cache-Control", "no-store" } }, true },
};

static const struct kind *kind;
static bool kind_is_added_to;

static void respond_in_kind(uhttp_conn *c)
{
    for (size_t i = 0; i < COUNT(once) && kind_is_added_to; i++) {
        assert_ok(uhttp_add_header(c, once[i].name, once[i].first));
        assert_ok(uhttp_add_header(c, loop_text("%c%s", once[i].name[0] | 32, once[i].name + 1),
                                   once[i].last));
    }
    for (size_t i = 0; i < COUNT(lists) && kind_is_added_to; i++) {
        assert_ok(uhttp_add_header(c, lists[i].name, "one"));
        assert_ok(uhttp_add_header(c, lists[i].name, "two"));
    }
    kind->respond(c);
}

/* How often a field is in a head, with this value if there is one. */
static int count(const char *head, const char *name, const char *value)
{
    uhttp_str fields = uh_text_of(strstr(head, "\r\n") + 2);
    uhttp_str field, text;
    int found = 0;
    while (uhttp_header_next(&fields, &field, &text))
        found += uh_text_same(field, uh_text_of(name)) &&
                 (value == NULL || uh_text_is(text, value));
    return found;
}

static void expect_count(const char *head, const char *name, const char *value, int wanted)
{
    if (count(head, name, value) != wanted)
        fail_msg("%s: %s %d times, not %d, in\n%s", name, value != NULL ? value : "any value",
                 count(head, name, value), wanted, head);
}

/* The program has added nothing: each field is the kind's own, or else the default one. */
static void expect_own(const char *head)
{
    for (size_t i = 0; i < COUNT(once); i++) {
        const char *own = NULL;
        for (size_t j = 0; j < 2; j++) {
            if (kind->fields[j][0] != NULL && strcmp(kind->fields[j][0], once[i].name) == 0)
                own = kind->fields[j][1];
        }
        expect_count(head, once[i].name, NULL, 1);
        if (own != NULL)
            expect_count(head, once[i].name, own, 1);
        else if (i > 0 && strcmp(once[i].name, "Date") != 0 && kind->respond != respond_file)
            expect_count(head, once[i].name, "default", 1);
    }
    for (size_t i = 0; i < COUNT(lists); i++)
        expect_count(head, lists[i].name, NULL, 1);
}

static void expect_added(const char *head)
{
    for (size_t i = kind->live ? 1 : 0; i < COUNT(once); i++) {
        expect_count(head, once[i].name, NULL, 1);
        expect_count(head, once[i].name, once[i].last, 1);
    }
    for (size_t i = 0; i < COUNT(lists); i++) {
        expect_count(head, lists[i].name, "one", 1);
        expect_count(head, lists[i].name, "two", 1);
        expect_count(head, lists[i].name, NULL, lists[i].added ? 3 : 2);
    }
}

/* In what the server sends itself, the program and the default headers, each has its place. */
static void fields_that_may_stand_once_stand_once_in_every_kind_of_response(void **state)
{
    static char defaults[4096];
    (void)state;
    char *p = defaults;
    for (size_t i = 0; i < COUNT(once); i++) {
        if (strcmp(once[i].name, "Date") != 0)
            p += sprintf(p, "%s: default\r\n", once[i].name);
    }
    for (size_t i = 0; i < COUNT(lists); i++)
        p += sprintf(p, "%s: default\r\n", lists[i].name);
    for (int with = 0; with < 2; with++) {
        uhttp_config config = loop_config();
        config.default_headers = with ? defaults : NULL;
        loop_open(&config);
        loop.handler = respond_in_kind;
        client *c = client_connect();
        for (kind = kinds; kind < kinds + COUNT(kinds); kind++) {
            kind_is_added_to = false;
            (void)client_get(c, kind->target);
            if (with)
                expect_own(c->head);
            if (kind->type != NULL)
                assert_memory_equal(client_field(c, "Content-Type"), kind->type,
                                    strlen(kind->type));
            for (size_t j = 0; j < 2 && kind->fields[j][0] != NULL; j++)
                expect_count(c->head, kind->fields[j][0], kind->fields[j][1], 1);
            kind_is_added_to = true;
            (void)client_get(c, kind->target);
            if (with)
                expect_added(c->head);
            expect_count(c->head, "Date", OLD_DATE, 1);
            expect_count(c->head, "Date", NULL, 1);
            expect_count(c->head, "Content-Type", NULL, 1);
            assert_memory_equal(client_field(c, "Content-Type"),
                                kind->live ? kind->type : "text/b", strlen("text/b"));
        }
        client_send(c, "nonsense\r\n\r\n");
        assert_int_equal(client_answer(c), 400);
        expect_count(c->head, "Content-Type", "text/plain", 1);
        expect_count(c->head, "Content-Type", NULL, 1);
        loop_close();
    }
}

static void add_in_vain(uhttp_conn *c)
{
    assert_int_equal(uhttp_add_header(c, "Content-Range", "bytes 0-0/1"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_add_header(c, "content-length", "1"), UHTTP_ERR_INVALID);
    assert_ok(uhttp_add_header(c, "Content-Encoding", "gzip"));
    if (strcmp(uhttp_path(c), "/") == 0) {
        assert_ok(uhttp_respond(c, 200, "text/plain", "gzipped", 7));
        return;
    }
    uint64_t id = uhttp_id(c);
    assert_ok(uhttp_add_header(c, "Content-Type", "text/x"));
    assert_ok(uhttp_add_header(c, "Date", OLD_DATE));
    assert_int_equal(uhttp_serve_rom(c, rom, COUNT(rom), "/"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_file(c, "README.md", NULL), UHTTP_ERR_INVALID);
    assert_ptr_equal(uhttp_find(loop.server, id), c);
}

static void content_encoding_and_range_of_a_file_are_the_servers(void **state)
{
    (void)state;
    loop_open_default();
    loop.handler = add_in_vain;
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 200);
    assert_string_equal(client_field(c, "Content-Encoding"), "gzip");
    assert_int_equal(client_get(c, "/a.txt"), 500);     /* with nothing of what was added */
    assert_null(client_field(c, "Content-Encoding"));
    expect_count(c->head, "Content-Type", "text/plain", 1);
    expect_count(c->head, "Date", NULL, 1);
    expect_count(c->head, "Date", OLD_DATE, 0);
}

static const struct validators { const char *etag, *modified; } validators[] = {
    { "\"v2\"", NULL }, { "W/\"v2\"", NULL }, { NULL, "Sun, 06 Nov 1994 09:00:00 GMT" },
    { "no tag", "no date" },
};
static const struct validators *validator;

static void serve_with_validators(uhttp_conn *c)
{
    if (validator->etag != NULL)
        assert_ok(uhttp_add_header(c, "ETag", validator->etag));
    if (validator->modified != NULL)
        assert_ok(uhttp_add_header(c, "Last-Modified", validator->modified));
    serve_rom(c);
}

/* What a client is told it will compare with. */
static void conditions_of_files_are_judged_by_what_the_program_has_added(void **state)
{
    static const struct { size_t with; const char *lines; int status; } cases[] = {
        { 0, "If-None-Match: \"v2\"\r\n", 304 },
        { 0, "If-None-Match: \"rom\"\r\n", 200 },
        { 0, "If-Match: \"v2\"\r\n", 200 },
        { 0, "If-Match: \"rom\"\r\n", 412 },
        { 0, "Range: bytes=0-0\r\nIf-Range: \"v2\"\r\n", 206 },
        { 0, "Range: bytes=0-0\r\nIf-Range: \"rom\"\r\n", 200 },
        { 0, "If-Modified-Since: " OLD_DATE "\r\n", 304 },
        { 1, "If-None-Match: \"v2\"\r\n", 304 },
        { 1, "If-Match: \"v2\"\r\n", 412 },
        { 1, "Range: bytes=0-0\r\nIf-Range: \"v2\"\r\n", 200 },
        { 2, "If-None-Match: \"rom\"\r\n", 304 },
        { 2, "If-Modified-Since: " OLD_DATE "\r\n", 200 },
        { 2, "If-Modified-Since: Sun, 06 Nov 1994 09:00:00 GMT\r\n", 304 },
        { 2, "If-Unmodified-Since: " OLD_DATE "\r\n", 412 },
        { 2, "Range: bytes=0-0\r\nIf-Range: Sun, 06 Nov 1994 09:00:00 GMT\r\n", 206 },
        { 3, "If-None-Match: \"rom\"\r\n", 200 },
        { 3, "If-Modified-Since: " OLD_DATE "\r\n", 200 },
        { 3, "If-None-Match: *\r\n", 304 },
    };
    (void)state;
    loop_open_default();
    loop.handler = serve_with_validators;
    client *c = client_connect();
    for (size_t i = 0; i < COUNT(cases); i++) {
        validator = &validators[cases[i].with];
        int status = client_ask(c, loop_text("GET /a.txt HTTP/1.1\r\nHost: t\r\n%s\r\n",
                                             cases[i].lines));
        if (status != cases[i].status)
            fail_msg("case %zu, %s: %d", i, cases[i].lines, status);
        if (status == 412)
            continue;
        expect_count(c->head, "ETag", NULL, 1);
        expect_count(c->head, "ETag", validator->etag != NULL ? validator->etag : "\"rom\"", 1);
        expect_count(c->head, "Last-Modified", NULL, 1);
        expect_count(c->head, "Last-Modified",
                     validator->modified != NULL ? validator->modified : OLD_DATE, 1);
    }
}

/* Frames have fields of their own, to which the same rule applies. */
static void send_frames(uhttp_conn *c)
{
    assert_ok(uhttp_multipart_begin(c));
    assert_ok(uhttp_add_header(c, "Content-Type", "image/png"));
    assert_ok(uhttp_add_header(c, "X-Time", "1"));
    assert_ok(uhttp_add_header(c, "content-type", "image/gif"));
    assert_ok(uhttp_add_header(c, "X-Time", "2"));
    assert_int_equal(uhttp_add_header(c, "Content-Range", "bytes 0-0/1"), UHTTP_ERR_INVALID);
    assert_ok(uhttp_multipart_frame(c, "image/jpeg", "one", 3));
    assert_ok(uhttp_multipart_frame(c, "image/jpeg", "two", 3));
    assert_ok(uhttp_multipart_end(c));
}

static void a_frame_has_one_type(void **state)
{
    (void)state;
    loop_open_default();
    loop.handler = send_frames;
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 200);
    assert_non_null(strstr(c->body, "\r\nContent-Length: 3\r\nX-Time: 1\r\n"
                                    "content-type: image/gif\r\nX-Time: 2\r\n\r\none\r\n"));
    assert_non_null(strstr(c->body, "\r\nContent-Length: 3\r\nContent-Type: image/jpeg\r\n\r\n"
                                    "two\r\n"));
}

/* A field that finds no room leaves the one it would have replaced. */
static void replace_in_vain(uhttp_conn *c)
{
    static char large[70000];
    memset(large, 'x', sizeof large - 1);
    assert_ok(uhttp_add_header(c, "ETag", "\"a\""));
    assert_ok(uhttp_add_header(c, "X-Between", "1"));
    assert_int_equal(uhttp_add_header(c, "ETag", large), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_add_header(c, "ETag", "a\nb"), UHTTP_ERR_INVALID);
    respond_text(c);
}

static void a_field_that_cannot_be_added_replaces_none(void **state)
{
    (void)state;
    loop_open_default();
    loop.handler = replace_in_vain;
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 200);
    assert_string_equal(client_field(c, "ETag"), "\"a\"");
    assert_string_equal(client_field(c, "X-Between"), "1");
}

static uhttp_json_writer between;

static void add_within_json(uhttp_conn *c)
{
    assert_ok(uhttp_add_header(c, "Content-Type", "application/problem+json"));
    uhttp_json_begin_response(&between, c);
    assert_ok(uhttp_json_array_begin(&between));
    assert_ok(uhttp_json_int(&between, 12345));
    assert_ok(uhttp_add_header(c, "Age", "1"));
    assert_ok(uhttp_add_header(c, "Content-Type", "application/ld+json"));
    assert_ok(uhttp_json_int(&between, 6));
    assert_ok(uhttp_add_header(c, "Age", "2"));
    assert_ok(uhttp_json_array_end(&between));
    assert_ok(uhttp_json_respond(&between, 200));
}

static void a_field_may_be_replaced_while_the_body_is_written(void **state)
{
    (void)state;
    loop_open_default();
    loop.handler = add_within_json;
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 200);
    assert_string_equal(c->body, "[12345,6]");
    expect_count(c->head, "Content-Type", "application/ld+json", 1);
    expect_count(c->head, "Content-Type", NULL, 1);
    expect_count(c->head, "Age", "2", 1);
    expect_count(c->head, "Age", NULL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_stray_percent_in_a_query_stands_for_itself),
        LOOP_TEST(an_https_target_needs_tls_or_a_trusted_proxy),
        LOOP_TEST_PLAIN(tls_spoken_to_a_plain_listener_is_called_that, "the listener is secure")
        LOOP_TEST(white_space_before_a_chunk_extension_is_taken),
        LOOP_TEST(a_list_may_have_empty_elements_and_several_lines),
        LOOP_TEST(fields_that_may_stand_once_stand_once_in_every_kind_of_response),
        LOOP_TEST(content_encoding_and_range_of_a_file_are_the_servers),
        LOOP_TEST(conditions_of_files_are_judged_by_what_the_program_has_added),
        LOOP_TEST(a_frame_has_one_type),
        LOOP_TEST(a_field_that_cannot_be_added_replaces_none),
        LOOP_TEST(a_field_may_be_replaced_while_the_body_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
