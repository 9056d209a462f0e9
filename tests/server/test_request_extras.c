/* test_request_extras.c - what a program does with a request beside answering it, over real
 * sockets: forms, cookies, routing, 405, Basic credentials, trusted proxies */
#include "loopback.h"

/* The parameters of a list as one text, by their index: "[a|1][b|2]". */
static const char *listed(uhttp_conn *c, size_t count,
                          bool (*at)(uhttp_conn *, size_t, const char **, const char **))
{
    static char text[4096];
    const char *name, *value;
    char *p = text;
    *p = '\0';
    for (size_t i = 0; i < count; i++) {
        assert_true(at(c, i, &name, &value));
        assert_true((size_t)(p - text) + strlen(name) + strlen(value) + 4 < sizeof text);
        p += sprintf(p, "[%s|%s]", name, value);
    }
    assert_false(at(c, count, &name, &value));
    assert_false(at(c, count + 7, NULL, NULL));
    assert_true(count == 0 || at(c, count - 1, NULL, NULL));    /* and back again */
    return text;
}

/*--- forms ----------------------------------------------------------------------------*/

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded\r\n"

static const char *form_request(const char *type, const char *body)
{
    return loop_text("POST /form HTTP/1.1\r\nHost: t\r\n%sContent-Length: %zu\r\n\r\n%s", type,
                     strlen(body), body);
}

/* Answers with the form, or with what is wrong with it. */
static void answer_form(uhttp_conn *c)
{
    if (strcmp(uhttp_path(c), "/form") != 0) {
        loop_app(c);
        return;
    }
    uhttp_result result = uhttp_form_parse(c);
    assert_int_equal(uhttp_form_parse(c), result);
    if (result != UHTTP_OK) {
        assert_int_equal(uhttp_form_count(c), 0);
        assert_null(uhttp_form(c, "a"));
        size_t length;
        const char *body = (const char *)uhttp_body(c, &length);
        assert_true(body != NULL && strlen(body) == length);
        assert_ok(uhttp_respond_text(c, 400, loop_text("%d %.40s", result, body)));
        return;
    }
    const char *text = uhttp_form_count(c) < 16 ? listed(c, uhttp_form_count(c), uhttp_form_at)
                                                : "many";
    assert_null(uhttp_body(c, NULL));
    assert_null(uhttp_form(c, "not there"));
    if (uhttp_form(c, "a") != NULL)
        text = loop_text("%s a=%s", text, uhttp_form(c, "a"));
    assert_ok(uhttp_respond_text(c, 200, text));
}

static const struct { const char *body, *form; } forms[] = {
    { "a=1&b=x+y%41&a=2",   "[a|1][b|x yA][a|2] a=1" },
    { "a=",                 "[a|] a=" },
    { "b=1",                "[b|1]" },
    { "a",                  "[a|] a=" },
    { "b&a&c",              "[b|][a|][c|] a=" },
    { "=v&%41=%26",         "[|v][A|&]" },
    { "&&",                 "" },
    { "",                   "" },
    { "a=%4",               "[a|%4] a=%4" },
    { "a=1&b=%00",          NULL },
    { "a=1&b=%zz",          "[a|1][b|%zz] a=1" },
    { "a=%00",              NULL },
};

static void check_forms(client *c, bool pipelined)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const char *request = form_request(FORM_TYPE, forms[i].body);
        client_send(c, pipelined ? loop_text("%s" GET("/behind"), request) : request);
        int status = client_answer(c);
        if (forms[i].form != NULL) {
            assert_string_equal(c->body, forms[i].form);
            assert_int_equal(status, 200);
        } else {
            assert_string_equal(c->body, loop_text("%d %s", UHTTP_ERR_INVALID, forms[i].body));
            assert_int_equal(status, 400);
        }
        if (pipelined) {
            assert_int_equal(client_answer(c), 200);
            assert_string_equal(c->body, "/behind");
        }
    }
}

static void forms_are_read_wherever_their_bodies_lie(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop.handler = answer_form;
    loop_open(&config);
    client *c = client_connect();
    check_forms(c, false);
    check_forms(c, true);
}

static void forms_are_read_in_fixed_memory_while_there_is_room(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(2, 512)];
    (void)state;
    uhttp_config config = loop_config();
    config.max_connections = 2;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    config.memory = memory;
    config.memory_size = sizeof memory;
    loop.handler = answer_form;
    loop_open(&config);
    client *c = client_connect();
    check_forms(c, false);

    /* a body that fills its buffer, of names that would each need a byte more */
    char body[512];
    unsigned refused = 0;
    for (size_t length = 200; length < 420; length++) {
        for (size_t i = 0; i < length; i++)
            body[i] = i % 2 == 0 ? 'x' : '&';
        body[length] = '\0';
        int status = client_ask(c, form_request(FORM_TYPE, body));
        if (status == 413)
            break;
        if (status == 400)
            assert_string_equal(c->body, loop_text("%d %.40s", UHTTP_ERR_MEMORY, body));
        refused += status == 400 ? 1 : 0;
        assert_true(status == 400 || status == 200);
    }
    assert_true(refused > 10);
}

static void answer_number_of_fields(uhttp_conn *c)
{
    size_t count = 0;
    const char *name, *value;
    for (; uhttp_form_at(c, count, &name, &value); count++)
        assert_int_equal(strtoul(value, NULL, 10), count);
    for (size_t i = 0; uhttp_query_at(c, i, &name, &value); i++, count++)
        assert_int_equal(strtoul(value, NULL, 10), i);
    for (size_t i = 0; uhttp_cookie_at(c, i, &name, &value); i++, count++)
        assert_int_equal(strtoul(value, NULL, 10), i);
    assert_int_equal(count, uhttp_form_count(c) + uhttp_query_count(c) + uhttp_cookie_count(c));
    assert_ok(uhttp_respond_text(c, 200, loop_text("%zu", count)));
}

/* Were it not linear, this would take minutes. */
static void a_hundred_thousand_parameters_of_each_kind_are_taken_in_linear_time(void **state)
{
    (void)state;
    const unsigned many = 100000;
    uhttp_config config = loop_config();
    config.max_headers_length = 4u << 20;
    config.max_content_length = 4u << 20;
    config.request_timeout_ms = UHTTP_NEVER;
    loop.handler = answer_number_of_fields;
    loop_open(&config);
    char *request = (char *)malloc(8u << 20);
    assert_non_null(request);
    char *p = loop_put(request, "POST /?");
    for (unsigned i = 0; i < many; i++)
        p += sprintf(p, "q%u=%u&", i % 100, i);
    p = loop_put(p, " HTTP/1.1\r\nHost: t\r\n" FORM_TYPE "Cookie: ");
    for (unsigned i = 0; i < many; i++)
        p += sprintf(p, "c%u=%u; ", i % 100, i);
    char *body = p + 100;
    char *end = body;
    for (unsigned i = 0; i < many; i++)
        end += sprintf(end, "f%u=%u&", i % 100, i);
    p += sprintf(p, "\r\nContent-Length: %zu\r\n\r\n", (size_t)(end - body));
    memmove(p, body, (size_t)(end - body) + 1);
    client *c = client_connect();
    assert_int_equal(client_ask(c, request), 200);
    assert_string_equal(c->body, loop_text("%u", 3 * many));
    free(request);
}

static void answer_other_body(uhttp_conn *c)
{
    size_t length;
    assert_int_equal(uhttp_form_parse(c), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_form_count(c), 0);
    assert_non_null(uhttp_body(c, &length));
    assert_ok(uhttp_respond(c, 200, NULL, uhttp_body(c, NULL), length));
}

static void only_a_form_is_read_as_a_form(void **state)
{
    (void)state;
    static const char *const others[] = {
        "", "Content-Type: application/json\r\n", "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencodedx\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
    };
    loop.handler = answer_other_body;
    loop_open_default();
    client *c = client_connect();
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(client_ask(c, form_request(others[i], "a=1")), 200);
        assert_string_equal(c->body, "a=1");
    }
    loop.handler = answer_form;
    assert_int_equal(client_ask(c, form_request("Content-Type: APPLICATION/X-WWW-Form-Urlencoded"
                                                " ; charset=UTF-8\r\n", "a=1")), 200);
    assert_string_equal(c->body, "[a|1] a=1");
}

static void stream_form(uhttp_conn *c)
{
    uhttp_event_type event = uhttp_event(c);
    if (event == UHTTP_EVENT_HEADERS) {
        assert_int_equal(uhttp_form_parse(c), UHTTP_ERR_STATE);
        assert_ok(uhttp_accept_body_streaming(c, 0));
        assert_int_equal(uhttp_form_parse(c), UHTTP_ERR_STATE);
    } else if (event == UHTTP_EVENT_COMPLETE) {
        assert_int_equal(uhttp_form_parse(c), UHTTP_ERR_STATE);
        assert_int_equal(uhttp_form_count(c), 0);
        assert_ok(uhttp_respond_text(c, 200, "done"));
    }
}

static void a_form_that_is_not_collected_cannot_be_taken_apart(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.event_mode = true;
    loop_open(&config);
    loop.handler = stream_form;
    client *c = client_connect();
    client_send(c, "POST / HTTP/1.1\r\nHost: t\r\n" FORM_TYPE "Content-Length: 3\r\n\r\na");
    loop_pump(20);
    assert_int_equal(client_ask(c, "=1"), 200);
}

/*--- cookies --------------------------------------------------------------------------*/

static void answer_cookies(uhttp_conn *c)
{
    const char *raw = uhttp_header(c, "Cookie");
    const char *text = listed(c, uhttp_cookie_count(c), uhttp_cookie_at);
    const char *again = raw != NULL ? uhttp_header(c, "Cookie") : "";
    const char *a = uhttp_cookie(c, "a");
    assert_null(uhttp_cookie(c, "A"));
    assert_ok(uhttp_respond_text(c, 200, loop_text("%s a=%s raw=%s", text,
                                                   a != NULL ? a : "-", again)));
}

static const struct { const char *fields, *answer; } cookies[] = {
    { "",                               " a=- raw=" },
    { "Cookie: a=b\r\n",                "[a|b] a=b raw=a=b" },
    { "Cookie: x=1; a=2; a=3\r\n",      "[x|1][a|2][a|3] a=2 raw=x=1; a=2; a=3" },
    { "Cookie: x=1\r\nX: y\r\ncookie: a=2;z=\r\n", "[x|1][a|2][z|] a=2 raw=x=1" },
    { "Cookie: a\r\nCookie: a=b\r\n",   "[a|b] a=b raw=a" },
    { "Cookie:\r\nCookie: a=b;c=d;e=f;\r\n", "[a|b][c|d][e|f] a=b raw=" },
    { "Cookie: a=1;b=2;c=3;d=4;e=5;f=6;g=7\r\n",
      "[a|1][b|2][c|3][d|4][e|5][f|6][g|7] a=1 raw=a=1;b=2;c=3;d=4;e=5;f=6;g=7" },
};

static void cookies_of_all_fields_are_found_and_the_fields_stay(void **state)
{
    (void)state;
    static const char *const targets[] = { "/", "/a%20b?x=1&y", "http://h/a?q" };
    uhttp_config config = loop_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop.handler = answer_cookies;
    loop_open(&config);
    client *c = client_connect();
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < sizeof cookies / sizeof cookies[0]; i++) {
            client_send(c, loop_text("GET %s HTTP/1.1\r\nHost: t\r\n%s\r\n", targets[k],
                                     cookies[i].fields));
            assert_int_equal(client_answer(c), 200);
            assert_string_equal(c->body, cookies[i].answer);
        }
    }
}

static const struct { uhttp_new_cookie cookie; const char *field; } new_cookies[] = {
    { { .name = "a", .value = "b" }, "a=b; Path=/; HttpOnly; SameSite=Lax" },
    { { .name = "a" }, "a=; Path=/; HttpOnly; SameSite=Lax" },
    { { .name = "a", .value = "b", .path = "/x", .domain = "example.org", .max_age_s = 3600,
        .expires_s = 784111777, .same_site = UHTTP_SAME_SITE_STRICT, .secure = true,
        .script_readable = true },
      "a=b; Path=/x; Domain=example.org; Max-Age=3600; Expires=Sun, 06 Nov 1994 08:49:37 GMT; "
      "Secure; SameSite=Strict" },
    { { .name = "a", .max_age_s = -1 }, "a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax" },
    { { .name = "a", .max_age_s = INT64_MAX },
      "a=; Path=/; Max-Age=9223372036854775807; HttpOnly; SameSite=Lax" },
    { { .name = "a", .same_site = UHTTP_SAME_SITE_NONE, .secure = true },
      "a=; Path=/; Secure; HttpOnly; SameSite=None" },
    { { .name = "__Host-a", .secure = true }, "__Host-a=; Path=/; Secure; HttpOnly; SameSite=Lax" },
    { { .name = "__Secure-a", .secure = true, .path = "/x", .domain = "example.org" },
      "__Secure-a=; Path=/x; Domain=example.org; Secure; HttpOnly; SameSite=Lax" },
    { { .name = "__Hos", .value = "!#$%&'()*+-./:<=>?@[]^_`{|}~" },
      "__Hos=!#$%&'()*+-./:<=>?@[]^_`{|}~; Path=/; HttpOnly; SameSite=Lax" },
    { { .name = "" }, NULL },
    { { .name = "a b" }, NULL },
    { { .name = "a=b" }, NULL },
    { { .name = "a;" }, NULL },
    { { .name = "a\r\nX: y" }, NULL },
    { { .name = "a", .value = "b c" }, NULL },
    { { .name = "a", .value = "b;c" }, NULL },
    { { .name = "a", .value = "b,c" }, NULL },
    { { .name = "a", .value = "\"b\"" }, NULL },
    { { .name = "a", .value = "b\\c" }, NULL },
    { { .name = "a", .value = "\xc3\xa9" }, NULL },
    { { .name = "a", .value = "b\r\n" }, NULL },
    { { .name = "a", .value = "b\x7f" }, NULL },
    { { .name = "a", .path = "" }, NULL },
    { { .name = "a", .path = "x" }, NULL },
    { { .name = "a", .path = "/x; Domain=evil.example" }, NULL },
    { { .name = "a", .path = "/\n" }, NULL },
    { { .name = "a", .domain = "" }, NULL },
    { { .name = "a", .domain = ".example.org" }, NULL },
    { { .name = "a", .domain = "example.org; Secure" }, NULL },
    { { .name = "a", .domain = "ex ample" }, NULL },
    { { .name = "a", .expires_s = -1 }, NULL },
    { { .name = "a", .expires_s = 253402300800 }, NULL },
    { { .name = "a", .same_site = UHTTP_SAME_SITE_NONE }, NULL },
    { { .name = "a", .same_site = (uhttp_same_site)3, .secure = true }, NULL },
    { { .name = "__Secure-a" }, NULL },
    { { .name = "__secure-a" }, NULL },
    { { .name = "__Host-a" }, NULL },
    { { .name = "__host-a", .secure = true, .path = "/x" }, NULL },
    { { .name = "__Host-a", .secure = true, .domain = "example.org" }, NULL },
};

static void set_all_cookies(uhttp_conn *c)
{
    for (size_t i = 0; i < sizeof new_cookies / sizeof new_cookies[0]; i++) {
        uhttp_result expected = new_cookies[i].field != NULL ? UHTTP_OK : UHTTP_ERR_INVALID;
        uhttp_result result = uhttp_set_cookie(c, &new_cookies[i].cookie);
        if (result != expected)
            fail_msg("cookie %zu: %d", i, result);
    }
    static char large[4098];
    uhttp_new_cookie cookie = { .name = "a", .value = large };
    memset(large, 'v', 4095);
    assert_ok(uhttp_set_cookie(c, &cookie));
    large[4095] = 'v';
    assert_int_equal(uhttp_set_cookie(c, &cookie), UHTTP_ERR_INVALID);
    large[0] = '/';
    large[1024] = '\0';
    cookie.value = NULL;
    cookie.path = large;
    assert_ok(uhttp_set_cookie(c, &cookie));
    large[1024] = 'v';
    large[1025] = '\0';
    assert_int_equal(uhttp_set_cookie(c, &cookie), UHTTP_ERR_INVALID);
    assert_ok(uhttp_respond_text(c, 200, ""));
    cookie.path = NULL;
    assert_int_equal(uhttp_set_cookie(c, &cookie), UHTTP_ERR_STATE);
}

static void cookies_are_set_as_a_browser_will_take_them(void **state)
{
    (void)state;
    loop.handler = set_all_cookies;
    loop_open_default();
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 200);
    unsigned fields = 0;
    for (const char *p = c->head; (p = strstr(p, "\r\nSet-Cookie: ")) != NULL; p++)
        fields++;
    unsigned expected = 2;
    for (size_t i = 0; i < sizeof new_cookies / sizeof new_cookies[0]; i++) {
        if (new_cookies[i].field == NULL)
            continue;
        expected++;
        if (strstr(c->head, loop_text("\r\nSet-Cookie: %s\r\n", new_cookies[i].field)) == NULL)
            fail_msg("not sent: %s", new_cookies[i].field);
    }
    assert_int_equal(fields, expected);
}

/*--- routing --------------------------------------------------------------------------*/

static void route(uhttp_conn *c)
{
    uhttp_str id = { NULL, 0 };
    if (uhttp_path_match(c, "/items", NULL, 0)) {
        if (strcmp(uhttp_method(c), "GET") == 0)
            assert_ok(uhttp_respond_text(c, 200, "all"));
        else
            assert_ok(uhttp_respond_not_allowed(c, "GET"));
    } else if (uhttp_path_match(c, "/items/:id", &id, 1)) {
        assert_ok(uhttp_respond_text(c, 200, loop_text("item %.*s", (int)id.len, id.ptr)));
    } else if (uhttp_path_match(c, "/files/*", &id, 1)) {
        assert_ok(uhttp_respond_text(c, 200, loop_text("file %.*s", (int)id.len, id.ptr)));
    } else {
        assert_ok(uhttp_respond_error(c, 404));
    }
}

static void requests_are_routed_by_plain_ifs(void **state)
{
    (void)state;
    static const struct { const char *path, *body; } routes[] = {
        { "/items", "all" }, { "/items?x=/y", "all" }, { "/items/7", "item 7" },
        { "/items/a%20b?c", "item a b" }, { "/items%2f7", "item 7" }, { "/files/a/b", "file a/b" },
        { "/files/", "file " }, { "/items/7%2F8", "404 Not Found\n" }, { "/", "404 Not Found\n" },
        { "http://h/items/9", "item 9" },
    };
    loop.handler = route;
    loop_open_default();
    client *c = client_connect();
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        client_get(c, routes[i].path);
        assert_string_equal(c->body, routes[i].body);
    }
    assert_int_equal(client_ask(c, POST("/items", "0")), 405);
    assert_string_equal(client_field(c, "Allow"), "GET");
    assert_string_equal(c->body, "405 Method Not Allowed\n");
}

static void allow_what_can_be_allowed(uhttp_conn *c)
{
    assert_int_equal(uhttp_respond_not_allowed(c, "GET\r\nX: y"), UHTTP_ERR_INVALID);
    assert_ok(uhttp_respond_not_allowed(c, ""));
    assert_int_equal(uhttp_respond_not_allowed(c, "GET"), UHTTP_ERR_STATE);
}

static void a_refused_405_leaves_no_field_behind(void **state)
{
    (void)state;
    loop.handler = allow_what_can_be_allowed;
    loop_open_default();
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 405);
    assert_string_equal(client_field(c, "Allow"), "");
    assert_null(client_field(c, "X"));
}

/*--- Basic credentials ----------------------------------------------------------------*/

static const struct { const char *field, *answer; } credentials[] = {
    { "Authorization: Basic dXNlcjpwYXNz\r\n",          "user|pass" },
    { "authorization: bAsIc  dXNlcjpwYXNz \r\n",        "user|pass" },
    { "Authorization: Basic dXNlcjpwYTpzcw==\r\n",      "user|pa:ss" },
    { "Authorization: Basic Og==\r\n",                  "|" },
    { "Authorization: Basic w6k6w6k=\r\n",              "\xc3\xa9|\xc3\xa9" },
    { "",                                               NULL },
    { "Authorization: \r\n",                            NULL },
    { "Authorization: Basic\r\n",                       NULL },
    { "Authorization: Basic \r\n",                      NULL },
    { "Authorization: Basicx dXNlcjpwYXNz\r\n",         NULL },
    { "Authorization: BasicdXNlcjpwYXNz\r\n",           NULL },
    { "Authorization: Bearer dXNlcjpwYXNz\r\n",         NULL },
    { "Authorization: Basic dXNlcg==\r\n",              NULL },     /* no colon */
    { "Authorization: Basic dXNlcjpwYXNz!\r\n",         NULL },
    { "Authorization: Basic dXNlcjpwYXN\r\n",           NULL },
    { "Authorization: Basic dXNlcjpwYXNz dXNlcg==\r\n", NULL },
    { "Authorization: Basic YTpiAGM=\r\n",              NULL },     /* a NUL */
    { "Authorization: Basic YTpiCg==\r\n",              NULL },     /* LF */
    { "Authorization: Basic YTpiCQ==\r\n",              NULL },     /* a tab */
};

static void answer_credentials(uhttp_conn *c)
{
    char buffer[64];
    const char *user = NULL;
    const char *password = NULL;
    uhttp_result result = uhttp_basic_auth(c, buffer, sizeof buffer, &user, &password);
    if (result != UHTTP_OK) {
        assert_int_equal(result, UHTTP_ERR_INVALID);
        assert_ok(uhttp_respond_error(c, 401));
        return;
    }
    const char *text = loop_text("%s|%s", user, password);
    size_t needed = strlen(text) + 1;
    assert_ok(uhttp_basic_auth(c, buffer, needed, &user, &password));
    assert_int_equal(uhttp_basic_auth(c, buffer, needed - 1, &user, &password),
                     UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_basic_auth(c, buffer, 0, &user, &password), UHTTP_ERR_MEMORY);
    assert_ok(uhttp_respond_text(c, 200, text));
}

static void basic_credentials_are_decoded(void **state)
{
    (void)state;
    loop.handler = answer_credentials;
    loop_open_default();
    client *c = client_connect();
    for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++) {
        client_send(c, loop_text("GET / HTTP/1.1\r\nHost: t\r\n%s\r\n", credentials[i].field));
        int status = client_answer(c);
        assert_int_equal(status, credentials[i].answer != NULL ? 200 : 401);
        if (status == 200)
            assert_string_equal(c->body, credentials[i].answer);
    }
}

/*--- proxies --------------------------------------------------------------------------*/

static const struct { const char *fields, *client, *chain, *url; } proxied[] = {
    { "", "127.0.0.1", "127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-Host: :80\r\n", "127.0.0.1", "127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: 192.0.2.9\r\n", "192.0.2.9", "192.0.2.9, 127.0.0.1",
      LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: 198.51.100.1, 192.0.2.9\r\n",           /* what the client itself wrote */
      "192.0.2.9", "192.0.2.9, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: 198.51.100.1, 192.0.2.9, 10.1.2.3\r\n",
      "192.0.2.9", "192.0.2.9, 10.1.2.3, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 10.1.2.3\r\n",
      "192.0.2.9", "192.0.2.9, 10.1.2.3, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: 10.9.9.9, 10.1.2.3\r\n",                /* all of them are trusted */
      "10.9.9.9", "10.9.9.9, 10.1.2.3, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: 192.0.2.9, unknown\r\n", "127.0.0.1", "127.0.0.1",
      LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: 192.0.2.9, unknown, 10.1.2.3\r\n",
      "10.1.2.3", "10.1.2.3, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: [2001:db8::7]:99, fd00::1\r\n",
      "2001:db8::7", "2001:db8::7, fd00::1, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: ::ffff:192.0.2.9:80\r\n", "127.0.0.1", "127.0.0.1",
      LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: ::ffff:192.0.2.9\r\n",
      "192.0.2.9", "192.0.2.9, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-For: ,, 192.0.2.9 ,\r\n",
      "192.0.2.9", "192.0.2.9, 127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "X-Forwarded-Proto: https\r\nX-Forwarded-Host: example.org\r\n",
      "127.0.0.1", "127.0.0.1", "https://example.org/p?q" },
    { "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n",
      "192.0.2.9", "192.0.2.9, 127.0.0.1", "https://t/p?q" },
    { "X-Forwarded-For: 6.6.6.6, 192.0.2.9\r\nX-Forwarded-Proto: ftp, https\r\n"
      "X-Forwarded-Host: evil.example, example.org\r\n",
      "192.0.2.9", "192.0.2.9, 127.0.0.1", "https://example.org/p?q" },
    { "X-Forwarded-For: 192.0.2.9, 10.1.2.3\r\nX-Forwarded-Proto: https, http\r\n",
      "192.0.2.9", "192.0.2.9, 10.1.2.3, 127.0.0.1", "https://t/p?q" },
    { "X-Forwarded-Proto: wss\r\n", "127.0.0.1", "127.0.0.1", "https://t/p?q" },
    { "X-Forwarded-Proto: ws\r\n", "127.0.0.1", "127.0.0.1", "http://t/p?q" },
    { "X-Forwarded-Proto: javascript\r\nX-Forwarded-Host: a/b\r\n",
      "127.0.0.1", "127.0.0.1", LOOP_SCHEME "://t/p?q" },
    { "Forwarded: for=192.0.2.9;proto=https\r\n", "127.0.0.1", "127.0.0.1",
      LOOP_SCHEME "://t/p?q" },
};

static void answer_who(uhttp_conn *c)
{
    char address[64], chain[256], url[256];
    int length = uhttp_remote_addresses(c, chain, sizeof chain);
    assert_int_equal(length, strlen(chain));
    int address_length = uhttp_remote_address(c, address, sizeof address);
    assert_int_equal(address_length, strlen(address));
    for (int size = 0; size <= length; size++)
        assert_int_equal(uhttp_remote_addresses(c, url, (size_t)size), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_remote_addresses(c, url, (size_t)length + 1), length);
    assert_int_equal(uhttp_remote_address(c, url, strlen(address)), UHTTP_ERR_MEMORY);
    assert_true(uhttp_full_url(c, url, sizeof url) > 0);
    assert_int_equal(uhttp_is_secure(c), LOOP_SECURE);
    assert_string_equal(uhttp_host(c), "t");
    assert_ok(uhttp_respond_text(c, 200, loop_text("%s|%s|%s", address, chain, url)));
}

static void a_client_is_known_as_far_as_proxies_are_trusted(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.trusted_proxies = "127.0.0.1, 10.0.0.0/8, fd00::/8";
    loop.handler = answer_who;
    loop_open(&config);
    client *c = client_connect();
    for (size_t i = 0; i < sizeof proxied / sizeof proxied[0]; i++) {
        client_send(c, loop_text("GET /p?q HTTP/1.1\r\nHost: t\r\n%s\r\n", proxied[i].fields));
        assert_int_equal(client_answer(c), 200);
        assert_string_equal(c->body, loop_text("%s|%s|%s", proxied[i].client, proxied[i].chain,
                                               proxied[i].url));
        LOOP_UNTIL(loop.access_count == i + 1);
        assert_string_equal(loop.access[i].address, proxied[i].client);
    }
}

static void answer_long_way(uhttp_conn *c)
{
    static char way[2u << 20];
    char address[64], url[64];
    int length = uhttp_remote_addresses(c, way, sizeof way);
    assert_int_equal(length, strlen(way));
    assert_int_equal(uhttp_remote_address(c, address, sizeof address), 8);
    assert_int_equal(uhttp_full_url(c, url, sizeof url), strlen("https://t/"));
    assert_ok(uhttp_respond_text(c, 200, loop_text("%s %s %.18s... %d", address, url, way,
                                                   length)));
}

/* Were it not linear, this would take minutes; a client may write any way before a proxy's. */
static void a_way_over_a_hundred_thousand_proxies_is_walked_in_linear_time(void **state)
{
    (void)state;
    const unsigned many = 100000;
    uhttp_config config = loop_config();
    config.trusted_proxies = "127.0.0.1, 10.0.0.0/8";
    config.max_headers_length = 4u << 20;
    config.request_timeout_ms = UHTTP_NEVER;
    loop.handler = answer_long_way;
    loop_open(&config);
    char *request = (char *)malloc(4u << 20);
    assert_non_null(request);
    char *p = loop_put(request, "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 10.0.0.1");
    for (unsigned i = 1; i < many; i++)
        p = loop_put(p, i % 1000 == 0 ? "\r\nX-Forwarded-For: 10.0.0.2" : ", 10.0.0.3");
    p = loop_put(p, "\r\nX-Forwarded-Proto: https");
    for (unsigned i = 1; i < many; i++)
        p = loop_put(p, ",http");
    loop_put(p, "\r\n\r\n");
    client *c = client_connect();
    assert_int_equal(client_ask(c, request), 200);
    assert_string_equal(c->body, loop_text("10.0.0.1 https://t/ 10.0.0.1, 10.0.0.3... %u",
                                           many * 10 + 9));
    free(request);
}

static void nobody_is_believed_who_is_not_trusted(void **state)
{
    (void)state;
    static const char *const trusted[] = { NULL, "", "10.0.0.0/8", "127.0.0.2, ::1", "unix" };
    for (size_t k = 0; k < sizeof trusted / sizeof trusted[0]; k++) {
        uhttp_config config = loop_config();
        config.trusted_proxies = trusted[k];
        loop.handler = answer_who;
        loop_open(&config);
        client *c = client_connect();
        for (size_t i = 0; i < sizeof proxied / sizeof proxied[0]; i++) {
            client_send(c, loop_text("GET /p?q HTTP/1.1\r\nHost: t\r\n%s\r\n",
                                     proxied[i].fields));
            assert_int_equal(client_answer(c), 200);
            assert_string_equal(c->body, "127.0.0.1|127.0.0.1|" LOOP_SCHEME "://t/p?q");
        }
        loop_close();
    }
}

static void a_server_with_malformed_proxies_does_not_open(void **state)
{
    (void)state;
    static const char *const bad[] = { "localhost", "10.0.0.0/33", "127.0.0.1 ::1", "::1/129" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uhttp_config config = loop_config();
        uhttp_server *server = (uhttp_server *)&config;
        config.trusted_proxies = bad[i];
        assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_INVALID);
        assert_null(server);
    }
}

/* A proxy on the same machine may come over a Unix socket. */
static void a_peer_without_address_may_be_trusted(void **state)
{
    (void)state;
    struct sockaddr_un at;
    memset(&at, 0, sizeof at);
    at.sun_family = AF_UNIX;
    snprintf(at.sun_path, sizeof at.sun_path, "%s/uhttp-extras-%d",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", (int)getpid());
    unlink(at.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
                listen(fd, 8) == 0);
    intptr_t adopted = fd;
    uhttp_config config = loop_config();
    config.listen_fd = &adopted;
    config.trusted_proxies = "unix, 10.0.0.0/8";
    loop.handler = answer_who;
    loop_open(&config);
    client *c = client_socket(AF_UNIX);
    assert_int_equal(client_connect_to(c, &at, sizeof at), 0);
    assert_int_equal(client_ask(c, "GET /p?q HTTP/1.1\r\nHost: t\r\n"
                                   "X-Forwarded-For: 192.0.2.9, 10.0.0.1\r\n\r\n"), 200);
    assert_string_equal(c->body, "192.0.2.9|192.0.2.9, 10.0.0.1|" LOOP_SCHEME "://t/p?q");
    unlink(at.sun_path);
}

/*--- what is forgotten ----------------------------------------------------------------*/

static void a_request_that_is_never_answered_is_reported(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    client *other = client_connect();
    loop.handler = loop_hold;
    client_send(other, "PURGE /hold/a%0Ab%1B?c HTTP/1.1\r\nHost: t\r\n\r\n");
    LOOP_UNTIL(loop.held_count == 2);
    client_reset(other);
    LOOP_UNTIL(loop_logged("while the program holds its request, from 127.0.0.1") == 1);
    assert_int_equal(loop_stats().forgotten, 1);
    assert_int_equal(loop_logged("never answered"), 0);
    loop_close();
    assert_int_equal(loop_logged("a request was never answered: GET /hold, from 127.0.0.1"), 1);
    assert_int_equal(loop_logged("a request was never answered: PURGE /hold/a?b?, from 127"), 1);
}

/*--- fields by their index ---------------------------------------------------------------*/

/* Each call goes on where the last one stopped: a head full of fields costs no more than its
 * length. */
static void answer_all_fields(uhttp_conn *c)
{
    const char *name, *value;
    size_t count = 0;
    while (uhttp_header_at(c, count, &name, &value)) {
        count++;
        assert_int_equal(c->request.listed, UH_LIST_HEADERS);
        assert_int_equal(c->request.taken_count, count);
        assert_int_equal(c->request.taken_at,
                         value + strlen(value) + 2 - uh_request_at(c, 0));
    }
    assert_int_equal(count, uhttp_header_count(c));
    assert_true(uhttp_header_at(c, 1, &name, NULL) && strcmp(name, "A") == 0);  /* and back */
    assert_true(uhttp_query_at(c, 0, &name, NULL) && strcmp(name, "q") == 0);
    assert_true(uhttp_header_at(c, 2, NULL, &value) && strcmp(value, "2") == 0);
    assert_ok(uhttp_respond_printf(c, 200, NULL, "%zu", count));
}

static void fields_are_taken_in_order_without_searching_again(void **state)
{
    (void)state;
    char request[3000] = "GET /?q=1" HOST;
    char *p = request + strlen(request);
    for (int i = 0; i < 200; i++)
        p += sprintf(p, "A:%d\r\n", i + 1);
    strcpy(p, "\r\n");
    loop.handler = answer_all_fields;
    loop_open_default();
    client *c = client_connect();
    assert_int_equal(client_ask(c, request), 200);
    assert_string_equal(c->body, "201");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_request_that_is_never_answered_is_reported),
        LOOP_TEST(forms_are_read_wherever_their_bodies_lie),
        LOOP_TEST(forms_are_read_in_fixed_memory_while_there_is_room),
        LOOP_TEST(a_hundred_thousand_parameters_of_each_kind_are_taken_in_linear_time),
        LOOP_TEST(only_a_form_is_read_as_a_form),
        LOOP_TEST(a_form_that_is_not_collected_cannot_be_taken_apart),
        LOOP_TEST(cookies_of_all_fields_are_found_and_the_fields_stay),
        LOOP_TEST_PLAIN(cookies_are_set_as_a_browser_will_take_them,
                        "over TLS every cookie is Secure: test_tls.c")
        LOOP_TEST(requests_are_routed_by_plain_ifs),
        LOOP_TEST(a_refused_405_leaves_no_field_behind),
        LOOP_TEST(basic_credentials_are_decoded),
        LOOP_TEST(a_client_is_known_as_far_as_proxies_are_trusted),
        LOOP_TEST(a_way_over_a_hundred_thousand_proxies_is_walked_in_linear_time),
        LOOP_TEST(nobody_is_believed_who_is_not_trusted),
        LOOP_TEST(a_server_with_malformed_proxies_does_not_open),
        LOOP_TEST(a_peer_without_address_may_be_trusted),
        LOOP_TEST(fields_are_taken_in_order_without_searching_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
