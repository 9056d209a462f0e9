/* test_server_helpers.c - what a program would else write for itself, over real sockets:
 * formatted answers, GET or HEAD, the body as a slice, ports, the clock; Unix sockets and
 * connections that exist already */
#include "loopback.h"

#include <sys/stat.h>

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
    /* Through a pointer: compilers know better than to pass NULL to a printf they know. */
    uhttp_result (*respond)(uhttp_conn *, int, const char *, const char *, ...) =
        uhttp_respond_printf;
    assert_int_equal(respond(c, 200, NULL, NULL), UHTTP_ERR_INVALID);
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

/*--- Unix sockets ---------------------------------------------------------------------*/

static const char *unix_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/uhttp-helpers-%d.sock", (int)getpid());
    return path;
}

static void unix_address(struct sockaddr_un *at)
{
    memset(at, 0, sizeof *at);
    at->sun_family = AF_UNIX;
    snprintf(at->sun_path, sizeof at->sun_path, "%s", unix_path());
}

static client *client_connect_unix(void)
{
    struct sockaddr_un at;
    unix_address(&at);
    client *c = client_socket(AF_UNIX);
    assert_int_equal(client_connect_to(c, &at, sizeof at), 0);
    return c;
}

static bool unix_is_there(void) { return access(unix_path(), F_OK) == 0; }

static uhttp_config unix_config(void)
{
    static char address[80];
    uhttp_config config = loop_config();
    snprintf(address, sizeof address, "unix:%s", unix_path());
    config.address = address;
    unlink(unix_path());
    return config;
}

/* Nobody listens any more to what a killed server has left. */
static void leave_stale_socket(void)
{
    struct sockaddr_un at;
    unix_address(&at);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
    assert_true(unix_is_there());
}

static void a_unix_socket_is_made_served_and_removed(void **state)
{
    (void)state;
    struct stat about;
    uhttp_config config = unix_config();
    config.unix_mode = 0660;
    config.reuse_port = true;           /* means nothing here */
    loop.handler = loop_app;
    loop_open(&config);
    assert_int_equal(stat(unix_path(), &about), 0);
    assert_true(S_ISSOCK(about.st_mode) && (about.st_mode & 0777) == 0660);
    assert_int_equal(uhttp_server_port(loop.server), 0);
    client_check(client_connect_unix(), "/over-unix");
    assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, config.tls));
    loop_close();
    assert_false(unix_is_there());
}

static void a_stale_unix_socket_is_replaced_and_a_living_one_is_not(void **state)
{
    (void)state;
    uhttp_server *other;
    uhttp_config config = unix_config();
    leave_stale_socket();
    loop.handler = loop_app;
    loop_open(&config);
    assert_int_equal(uhttp_server_open(&other, &config), UHTTP_ERR_IN_USE);
    assert_true(unix_is_there());
    client_check(client_connect_unix(), "/still-here");
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    assert_false(unix_is_there());      /* the next may have it already */
    config.max_connections = 1;
    config.memory = (char *)1;          /* fails before it listens */
    config.memory_size = 1;
    assert_int_equal(uhttp_server_open(&other, &config), UHTTP_ERR_MEMORY);
    assert_false(unix_is_there());
}

static void answer_full_url(uhttp_conn *c)
{
    char url[64];
    assert_true(uhttp_full_url(c, url, sizeof url) > 0);
    assert_ok(uhttp_respond_text(c, 200, url));
}

static void a_url_over_a_unix_socket_has_a_host(void **state)
{
    (void)state;
    uhttp_config config = unix_config();
    loop.handler = answer_full_url;
    loop_open(&config);
    client *c = client_connect_unix();
    assert_int_equal(client_ask(c, "GET /x HTTP/1.0\r\n\r\n"), 200);
    assert_string_equal(c->body, LOOP_SCHEME "://localhost/x");
}

/* Who restarts without a gap removes the name, opens the new server and closes the old one. */
static void a_unix_socket_that_took_its_place_is_not_removed(void **state)
{
    (void)state;
    uhttp_server *before;
    uhttp_config config = unix_config();
    loop.handler = loop_app;
    for (int i = 0; i < 20; i++) {              /* whatever numbers its file gets */
        assert_ok(uhttp_server_open(&before, &config));
        unlink(unix_path());
        loop_open(&config);
        uhttp_server_close(before);
        assert_true(unix_is_there());
        client_check(client_connect_unix(), "/new");
        loop_close();
        assert_false(unix_is_there());
    }
}

static void a_unix_socket_takes_the_place_of_nothing_else(void **state)
{
    (void)state;
    static char address[200];
    uhttp_server *server;
    uhttp_config config = unix_config();
    FILE *f = fopen(unix_path(), "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_IN_USE);
    assert_true(unix_is_there());
    unlink(unix_path());
    config.address = "unix:relative";
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_INVALID);
    config.address = "unix:";
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_INVALID);
    memset(address, 'x', sizeof address - 1);
    memcpy(address, "unix:/", 6);
    config.address = address;
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_INVALID);
    config.address = "unix:/tmp/no such directory/socket";
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_SYSTEM);
}

/* A supervisor's socket is the supervisor's: its name stays. */
static void an_adopted_unix_listener_keeps_its_name(void **state)
{
    (void)state;
    struct sockaddr_un at;
    uhttp_config config = unix_config();
    unix_address(&at);
    intptr_t fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind((int)fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen((int)fd, 5), 0);
    config.listen_fd = &fd;
    loop.handler = loop_app;
    loop_open(&config);
    client_check(client_connect_unix(), "/adopted");
    loop_close();
    assert_true(unix_is_there());
    unlink(unix_path());
}

/*--- connections that exist already ---------------------------------------------------*/

static client *adopt_pair(uhttp_result expected)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    uhttp_result result = uhttp_server_adopt(loop.server, ends[0], LOOP_SECURE);
    assert_int_equal(result, expected);
    client *c = client_new(ends[1]);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    if (result != UHTTP_OK) {
        assert_true(fcntl(ends[0], F_GETFD) >= 0);      /* still the caller's */
        close(ends[0]);
    }
    return c;
}

static void one_end_of_a_pair_is_served_like_any_client(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.max_connections = 2;
    loop.handler = loop_app;
    loop_open(&config);
    client *first = adopt_pair(UHTTP_OK);
    client *second = adopt_pair(UHTTP_OK);
    adopt_pair(UHTTP_ERR_AGAIN);                        /* no slot: nobody gives way for it */
    client_check(first, "/one");
    client_check(second, "/two");
    client_check(first, "/three");
    assert_int_equal(loop_stats().accepted, 2);
    client_close(second);
    loop_pump_for(50);
    client_check(adopt_pair(UHTTP_OK), "/four");
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    adopt_pair(UHTTP_ERR_STATE);
}

static void a_server_may_listen_nowhere(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.port = UHTTP_PORT_NONE;
    config.tls = NULL;
    loop.handler = loop_app;
    loop_open(&config);
    assert_int_equal(uhttp_server_port(loop.server), 0);
    assert_int_equal(uhttp_server_fd(loop.server), -1);
    assert_false(uhttp_server_is_secure(loop.server));
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(uhttp_server_adopt(loop.server, ends[0], true), UHTTP_ERR_INVALID);
    assert_ok(uhttp_server_adopt(loop.server, ends[0], false));
    static const char request[] = "GET /pair HTTP/1.0\r\n\r\n";
    char answer[300] = "";
    assert_int_equal(write(ends[1], request, sizeof request - 1), sizeof request - 1);
    loop_pump_for(50);
    assert_true(read(ends[1], answer, sizeof answer - 1) > 0);
    assert_non_null(strstr(answer, "\r\n\r\n/pair"));
    close(ends[1]);
}

static void what_is_no_connection_is_not_adopted(void **state)
{
    (void)state;
    loop_open_default();
    int pipe_ends[2];
    int unconnected = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(uhttp_server_adopt(loop.server, pipe_ends[0], false), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_server_adopt(loop.server, unconnected, false), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_server_adopt(loop.server, -1, false), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_server_adopt(NULL, pipe_ends[0], false), UHTTP_ERR_INVALID);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    close(unconnected);
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
        LOOP_TEST(a_unix_socket_is_made_served_and_removed),
        LOOP_TEST(a_stale_unix_socket_is_replaced_and_a_living_one_is_not),
        LOOP_TEST(a_url_over_a_unix_socket_has_a_host),
        LOOP_TEST(a_unix_socket_that_took_its_place_is_not_removed),
        LOOP_TEST(a_unix_socket_takes_the_place_of_nothing_else),
        LOOP_TEST(an_adopted_unix_listener_keeps_its_name),
        LOOP_TEST(one_end_of_a_pair_is_served_like_any_client),
        LOOP_TEST(a_server_may_listen_nowhere),
        LOOP_TEST(what_is_no_connection_is_not_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
