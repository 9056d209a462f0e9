/* test_server_helpers.c - what a program would else write for itself, over real sockets:
 * formatted answers, GET or HEAD, the body as a slice, ports, the clock */
#include "loopback.h"

/*--- formatted answers ----------------------------------------------------------------*/

static size_t padding;              /* how wide the number of the answer is */

static void answer_formatted(uhttp_conn *c)
{
    const char *text = uhttp_query(c, "text");
    uhttp_result result;
    if (strcmp(uhttp_path(c), "/") != 0)
        loop_app(c);
    else if (text != NULL)
        assert_ok(uhttp_respond_printf(c, 200, "text/x", "%s, %s", text, uhttp_path(c)));
    else {
        assert_ok(uhttp_add_header(c, "X-Width", loop_text("%zu", padding)));
        result = uhttp_respond_printf(c, 201, NULL, "%*d", (int)padding, 7);
        if (result == UHTTP_ERR_MEMORY)
            result = uhttp_respond_error(c, 507);
        assert_ok(result);
    }
}

/* Asks for so many characters; what is sent before and behind comes back as loop_app has it. */
static void check_formatted(client *c, const char *before, size_t width, const char *behind)
{
    padding = width;
    client_send(c, loop_text("%s" GET("/") "%s", before, behind));
    if (*before != '\0')
        assert_int_equal(client_answer(c), 200);
    assert_int_equal(client_answer(c), 201);
    assert_int_equal(c->length, width);
    assert_int_equal(c->body[width - 1], '7');
    assert_int_equal(strspn(c->body, " "), width - 1);
    assert_string_equal(client_field(c, "x-width"), loop_text("%zu", width));
    assert_null(client_field(c, "content-type"));
    if (*behind != '\0')
        assert_int_equal(client_answer(c), 200);
}

static void answers_of_any_length_are_formatted(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    loop.handler = answer_formatted;
    loop_open(&config);
    client *c = client_connect();
    for (size_t width = 1; width < 60000; width = width * 5 / 4 + 1) {
        check_formatted(c, "", width, "");
        check_formatted(c, GET("/before"), width, GET("/behind"));
    }
    padding = 64 * 1024;
    assert_int_equal(client_ask(c, GET("/")), 507);
    assert_int_equal(client_ask(c, "GET /?text=%3Cb%3E" HOST "\r\n"), 200);
    assert_string_equal(c->body, "<b>, /");
    assert_string_equal(client_field(c, "content-type"), "text/x");
    c->to_head = true;
    padding = 1000;
    assert_int_equal(client_ask(c, "HEAD /" HOST "\r\n"), 201);
    assert_string_equal(client_field(c, "content-length"), "1000");
    c->to_head = false;
    client_check(c, "/and-on");
}

/* All that fits the buffer beside the head is taken, and not a byte more. */
static void formatted_answers_fill_fixed_memory(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(1, 512)];
    (void)state;
    uhttp_config config = loop_config();
    config.max_connections = 1;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.max_send_buffer = 512;       /* the block is a little larger: the server took less */
    loop.handler = answer_formatted;
    loop_open(&config);
    client *c = client_connect();
    size_t width = 1;
    size_t head = 0;
    while (padding = width, client_ask(c, GET("/")) == 201) {
        assert_int_equal(c->length, width);
        assert_int_equal(c->body[width - 1], '7');
        head = strlen(c->head) + 2;
        width++;
    }
    assert_int_equal(c->status, 507);
    assert_int_equal(head + width - 1, 512);
    for (width += 2; width < 2000; width += 100) {
        padding = width;
        assert_int_equal(client_ask(c, GET("/")), 507);
    }
    check_formatted(c, "", 100, "");
}

static void answer_wrongly(uhttp_conn *c)
{
    const char *none = NULL;
    assert_int_equal(uhttp_respond_printf(c, 200, NULL, none), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_printf(c, 204, NULL, "x"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_printf(c, 99, NULL, "x"), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_respond_printf(c, 200, "a\nb", "x"), UHTTP_ERR_INVALID);
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    assert_ok(uhttp_json_int(&w, 12345));
    assert_ok(uhttp_respond_printf(c, 200, NULL, "%s", "not JSON"));    /* drops it */
    assert_int_equal(uhttp_respond_printf(c, 200, NULL, "x"), UHTTP_ERR_STATE);
}

static void a_formatted_answer_is_refused_as_any_other(void **state)
{
    (void)state;
    loop.handler = answer_wrongly;
    loop_open_default();
    client *c = client_connect();
    assert_int_equal(client_ask(c, GET("/")), 200);
    assert_string_equal(c->body, "not JSON");
}

/*--- questions ------------------------------------------------------------------------*/

static void answer_what_it_is(uhttp_conn *c)
{
    uhttp_str body = uhttp_body_str(c);
    char name[16] = "";
    assert_true(body.ptr == uhttp_body(c, NULL));
    (void)uhttp_json_to_string(uhttp_json_find(body, "name"), name, sizeof name);
    assert_ok(uhttp_respond_printf(c, 200, NULL, "%d %d %zu %s", uhttp_is_get(c),
                                   body.ptr != NULL, body.len, name));
}

static void methods_and_bodies_are_told(void **state)
{
    (void)state;
    loop.handler = answer_what_it_is;
    loop_open_default();
    client *c = client_connect();
    client_ask(c, GET("/"));
    assert_string_equal(c->body, "1 0 0 ");
    client_ask(c, "get /" HOST "\r\n");                     /* another method */
    assert_string_equal(c->body, "0 0 0 ");
    client_ask(c, "GETS /" HOST "\r\n");
    assert_string_equal(c->body, "0 0 0 ");
    client_ask(c, POST("/", "14") "{\"name\":\"bob\"}");
    assert_string_equal(c->body, "0 1 14 bob");
    c->to_head = true;
    client_ask(c, "HEAD /" HOST "\r\n");
    assert_string_equal(client_field(c, "content-length"), "6");    /* "1 0 0 " */
    assert_false(uhttp_is_get(NULL));
    assert_null(uhttp_body_str(NULL).ptr);
}

static void each_listener_tells_its_port(void **state)
{
    (void)state;
    assert_int_equal(uhttp_listener_port(NULL, 0), 0);
    loop_open_default();
    assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, NULL));
    int first = uhttp_listener_port(loop.server, 0);
    int second = uhttp_listener_port(loop.server, 1);
    assert_true(first > 0 && second > 0 && first != second);
    assert_int_equal(first, uhttp_server_port(loop.server));
    assert_int_equal(uhttp_listener_port(loop.server, 2), 0);
    assert_int_equal(uhttp_listener_port(loop.server, SIZE_MAX), 0);
    loop.handler = loop_app;
    client *c = client_socket(AF_INET);
    assert_int_equal(client_connect_v4(c, first), 0);
}

static void the_clock_goes_forward(void **state)
{
    (void)state;
    uint32_t start = uhttp_millis();
    loop_sleep(20);
    uint32_t passed = uhttp_millis() - start;
    assert_true(passed >= 19 && passed < 60000);
}

static void a_watch_list_of_the_stated_capacity_always_suffices(void **state)
{
    static uhttp_watch list[UHTTP_WATCH_CAPACITY(4)];
    (void)state;
    uhttp_config config = loop_config();
    config.max_connections = 4;
    loop_open(&config);
    for (int i = 1; i < UHTTP_MAX_LISTENERS; i++)
        assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, NULL));
    for (int i = 0; i < 3; i++)     /* with a slot free the listeners are watched too */
        client_check(client_connect(), "/");
    size_t capacity = sizeof list / sizeof list[0];
    assert_int_equal(uhttp_server_watch(loop.server, list, capacity), capacity - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(answers_of_any_length_are_formatted),
        LOOP_TEST(formatted_answers_fill_fixed_memory),
        LOOP_TEST(a_formatted_answer_is_refused_as_any_other),
        LOOP_TEST(methods_and_bodies_are_told),
        LOOP_TEST(each_listener_tells_its_port),
        LOOP_TEST(the_clock_goes_forward),
        LOOP_TEST(a_watch_list_of_the_stated_capacity_always_suffices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
