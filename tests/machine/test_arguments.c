/* Every public function with every odd argument, at every moment of a connection: over peers
 * made of byte arrays, on the heap and in fixed memory. The functions and their arguments are
 * in arguments.h; test_server_arguments.c does the same over sockets, and over TLS. */
#include "memory_transport.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "arguments.h"

/*--- files that are not there ---------------------------------------------------------------*/

static unsigned files_open;

static uhttp_result file_open(void *user, const char *path, const char *root, void **file,
                              uhttp_file_info *info)
{
    (void)user;
    CHECK(path != NULL && (root == NULL || strncmp(path, root, strlen(root)) == 0));
    if (strchr(path, 'e') == NULL)
        return UHTTP_ERR_SYSTEM;
    info->size = 6;
    *file = (void *)(uintptr_t)"a file";
    files_open++;
    return UHTTP_OK;
}

static size_t file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    (void)user;
    CHECK(offset + length <= 6);
    memcpy(to, (const char *)file + offset, length);
    return length;
}

static void file_close(void *user, void *file)
{
    (void)user;
    CHECK(file != NULL && files_open-- > 0);
}

static uhttp_result file_create(void *user, const char *path, void **file)
{
    (void)user;
    CHECK(path[0] != '\0');
    *file = &files_open;
    files_open++;
    return UHTTP_OK;
}

static uhttp_result file_write(void *user, void *file, const void *data, size_t length)
{
    (void)user;
    CHECK(file == &files_open && data != NULL && length > 0);
    return UHTTP_OK;
}

static uhttp_result file_finish(void *user, void *file, const char *written, const char *path)
{
    (void)user;
    (void)written;
    (void)path;
    file_close(user, file);
    return UHTTP_OK;
}

static const uhttp_files files = { NULL, file_open, file_read, file_close, file_create,
                                   file_write, file_finish };

/*--- moments --------------------------------------------------------------------------------*/

#define GET "GET /a/b?a=1&flag HTTP/1.1\r\nHost: h\r\nCookie: k=v\r\n\r\n"
#define FORM "Host: h\r\nContent-Type: application/x-www-form-urlencoded\r\n"
#define POST "POST /form HTTP/1.1\r\n" FORM "Content-Length: 8\r\n\r\n"

static uhttp_config world;
static size_t world_buffer;             /* 0: on the heap */
static peer *client;

static uhttp_conn *says(const char *text)
{
    peer_says(client, text);
    return world_next();
}

static uhttp_conn *asks(const char *text)
{
    uhttp_conn *c = says(text);
    CHECK(c != NULL);
    return c;
}

static void silence(void) { CHECK(world_next() == NULL); }

static void at_free(void)
{
    uhttp_conn *c = asks(GET);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    client->reset = true;
    silence();
}

static void at_handshake(void)
{
    client->handshake = 5;
    client->mute = true;
    silence();
}

static void at_idle(void)
{
    uhttp_conn *c = asks(GET);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    silence();
}

static void at_head(void) { CHECK(says("GET / HTTP/1.1\r\nHo") == NULL); }
static void at_offer(void) { asks(POST "a=1"); }

static void at_body_of_its_own(void)
{
    at_offer();
    CHECK(uhttp_accept_body(arguments_conn, 0) == UHTTP_OK);
    silence();
}

static void at_body_in_pieces(void)
{
    at_offer();
    CHECK(uhttp_accept_body_streaming(arguments_conn, 0) == UHTTP_OK);
    CHECK(world_next() == arguments_conn);
}

static void at_body_for_a_file(void)
{
    at_offer();
    CHECK(uhttp_accept_body_to_file(arguments_conn, "up", 0) == UHTTP_OK);
    silence();
}

static void at_body_not_told_of(void) { CHECK(says(POST "a=1") == NULL); }
static void at_answer(void) { asks(GET); }
static void at_answer_with_a_body(void) { asks(POST "a=1&b=%2"); }

static void at_answer_with_a_form(void)
{
    asks(POST "a=1&flag");
    CHECK(uhttp_form_parse(arguments_conn) == UHTTP_OK);
}

static void at_answer_in_the_making(void)
{
    uhttp_json_writer w;
    asks(GET);
    CHECK(uhttp_add_header(arguments_conn, "X-A", "b") == UHTTP_OK);
    uhttp_json_begin_response(&w, arguments_conn);
    CHECK(uhttp_json_array_begin(&w) == UHTTP_OK);
}

static void at_answer_to_a_failed_body(void)
{
    at_body_of_its_own();
    client->fin = true;
    CHECK(world_next() == arguments_conn);
    CHECK(uhttp_event(arguments_conn) == UHTTP_EVENT_ERROR);
}

static void at_send(void)
{
    asks(GET);
    client->window = 20;
    CHECK(uhttp_respond_text(arguments_conn, 200, "more than twenty bytes") == UHTTP_OK);
    silence();
}

static void begin(const char *request)
{
    asks(request);
    CHECK(uhttp_stream_begin(arguments_conn, 200, NULL) == UHTTP_OK);
    silence();
}

static void at_stream(void) { begin(GET); }
static void at_stream_to_10(void) { begin("GET / HTTP/1.0\r\n\r\n"); }
static void at_stream_to_head(void) { begin("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"); }

static void at_stream_that_is_full(void)
{
    at_stream();
    client->window = 0;
    while (uhttp_stream_write(arguments_conn, "0123456789", 10) == UHTTP_OK) { }
    while (world_next() != NULL) { }
}

static void at_stream_of_frames(void)
{
    asks(GET);
    CHECK(uhttp_multipart_begin(arguments_conn) == UHTTP_OK);
    CHECK(uhttp_add_header(arguments_conn, "X-A", "b") == UHTTP_OK);
    silence();
}

#define UPGRADE "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void at_answer_with_a_handshake(void) { asks(UPGRADE); }

static void at_websocket(void)
{
    CHECK(uhttp_ws_accept(asks(UPGRADE), NULL) == UHTTP_OK);
    silence();
}

static void at_message(void)
{
    at_websocket();
    CHECK(uhttp_event(asks("\x81\x82\x01\x01\x01\x01" "ab")) == UHTTP_EVENT_WS_MESSAGE);
}

static void at_message_in_pieces(void)
{
    at_websocket();
    CHECK(uhttp_ws_begin(arguments_conn, UHTTP_WS_TEXT) == UHTTP_OK);
    CHECK(uhttp_ws_piece(arguments_conn, "\xc3", 1) == UHTTP_OK);
}

static void at_goodbye(void)
{
    at_websocket();
    CHECK(uhttp_ws_close(arguments_conn, 1000, "bye") == UHTTP_OK);
}

static void at_closed_websocket(void)
{
    at_websocket();
    client->reset = true;
    CHECK(uhttp_event(says("")) == UHTTP_EVENT_WS_CLOSE);
}

static void at_skip(void)
{
    at_offer();
    CHECK(uhttp_respond_text(arguments_conn, 200, "early") == UHTTP_OK);
    silence();
}

static void at_linger(void) { CHECK(says("nonsense\r\n\r\n") == NULL); }

static void at_closed(void)
{
    asks(GET);
    client->reset = true;
    (void)world_next();
}

static void at_closed_stream(void)
{
    at_stream();
    client->reset = true;
    (void)world_next();
}

/* What stands between accept and free. Each state must be among them. */
static const struct moment {
    const char *name;
    void (*reach)(void);
    uh_state state;
    bool event_mode, plain_mode;        /* where it can be reached */
} moments[] = {
    { "free",              at_free,                    UH_FREE,      true,  true  },
    { "handshake",         at_handshake,               UH_HANDSHAKE, true,  true  },
    { "idle",              at_idle,                    UH_IDLE,      true,  true  },
    { "head",              at_head,                    UH_HEAD,      true,  true  },
    { "offer",             at_offer,                   UH_OFFER,     true,  false },
    { "body collected",    at_body_of_its_own,         UH_BODY,      true,  false },
    { "body in pieces",    at_body_in_pieces,          UH_BODY,      true,  false },
    { "body for a file",   at_body_for_a_file,         UH_BODY,      true,  false },
    { "body not told of",  at_body_not_told_of,        UH_BODY,      false, true  },
    { "answer",            at_answer,                  UH_ANSWER,    true,  true  },
    { "answer and body",   at_answer_with_a_body,      UH_ANSWER,    true,  true  },
    { "answer and form",   at_answer_with_a_form,      UH_ANSWER,    true,  true  },
    { "answer half made",  at_answer_in_the_making,    UH_ANSWER,    true,  true  },
    { "answer to failure", at_answer_to_a_failed_body, UH_ANSWER,    true,  false },
    { "send",              at_send,                    UH_SEND,      true,  true  },
    { "stream",            at_stream,                  UH_STREAM,    true,  true  },
    { "stream to 1.0",     at_stream_to_10,            UH_STREAM,    true,  true  },
    { "stream to HEAD",    at_stream_to_head,          UH_STREAM,    true,  true  },
    { "full stream",       at_stream_that_is_full,     UH_STREAM,    true,  true  },
    { "frames",            at_stream_of_frames,        UH_STREAM,    true,  true  },
    { "handshake of 12",   at_answer_with_a_handshake, UH_ANSWER,    true,  true  },
    { "websocket",         at_websocket,               UH_WEBSOCKET, true,  true  },
    { "message",           at_message,                 UH_WEBSOCKET, true,  true  },
    { "message in pieces", at_message_in_pieces,       UH_WEBSOCKET, true,  true  },
    { "goodbye",           at_goodbye,                 UH_GOODBYE,   true,  true  },
    { "closed websocket",  at_closed_websocket,        UH_CLOSED,    true,  true  },
    { "skip",              at_skip,                    UH_SKIP,      true,  false },
    { "linger",            at_linger,                  UH_LINGER,    true,  true  },
    { "closed",            at_closed,                  UH_CLOSED,    true,  true  },
    { "closed stream",     at_closed_stream,           UH_CLOSED,    true,  true  },
};

static const struct moment *moment;
static uint64_t moment_serial;          /* of the slot, when it was reached */
static bool moment_told;

/*--- keeping the moment ---------------------------------------------------------------------*/

/* What the client got are whole responses, but for the last, and no text became a field. */
static void judge_client(void)
{
    static char body[ANSWER_BODY];
    uhttp_str rest = { (const char *)client->out, client->out_length };
    answer a;
    answer_end end;
    a.body = body;
    do {
        end = answer_next(&rest, ANSWER_GUESS, &a);
        CHECK(end != ANSWER_BROKEN);
        CHECK(end != ANSWER_WHOLE || answer_field(&a, "b").ptr == NULL);
    } while (end == ANSWER_WHOLE && a.status != 101);
    int head = 2;
    while (end == ANSWER_WHOLE && head > 0) {
        uhttp_ws_frame f;
        head = uhttp_ws_frame_parse(rest, &f);
        CHECK(head >= 0 && !f.masked);
        size_t length = peer_least((size_t)f.length, rest.len - (size_t)head);
        rest.ptr += (size_t)head + length;
        rest.len -= (size_t)head + length;
    }
}

/* Everybody leaves. */
static void part(void)
{
    if (client == NULL)
        return;
    judge_client();
    client->reset = true;
    for (int round = 0; round < 3; round++) {
        while (world_next() != NULL) { }
        for (uint32_t i = 0; i < world_server->config.max_connections; i++)
            (void)uhttp_close(&world_server->slots[i]);
    }
    while (world_next() != NULL) { }
    CHECK(world_server->counts[UH_FREE] == world_server->config.max_connections);
    CHECK(files_open == 0);
    client = NULL;
}

static void leave_world(void)
{
    part();
    if (world_server != NULL)
        world_close();
    arguments_server = NULL;
}

static void arguments_restore(void)
{
    const uhttp_conn *c = arguments_conn;
    if (arguments_spent)
        leave_world();
    arguments_spent = false;
    if (arguments_server == NULL) {
        world_open(&world, world_buffer);
        arguments_server = world_server;
    } else if (client != NULL && drawn_count > 0 && c->state == moment->state &&
               c->told == moment_told && c->serial == moment_serial) {
        return;                         /* nothing has come of the last call */
    }
    snprintf(world_what, sizeof world_what, "%s, reached in %s", moment->name,
             world.event_mode ? "event mode" : "plain mode");
    part();
    client = world_connect();
    arguments_conn = world_conn_of(client);
    moment->reach();
    CHECK(arguments_conn->state == moment->state);
    moment_serial = arguments_conn->serial;
    moment_told = arguments_conn->told;
}

static void arguments_heard(const uhttp_server *s, uhttp_conn *c)
{
    CHECK(c == NULL || c->server == s);
}

static void arguments_check(void)
{
    snprintf(world_what, sizeof world_what, "%s, %s, in %s", moment->name, arguments_say(),
             world.event_mode ? "event mode" : "plain mode");
    world_check(false);
}

static void try_all(bool event_mode, size_t buffer)
{
    world = world_config();
    world.event_mode = event_mode;
    world.files = &files;
    world_buffer = buffer;
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        moment = &moments[i];
        if (!(event_mode ? moment->event_mode : moment->plain_mode))
            continue;
        drawn_count = 0;
        CHECK(arguments_try(false) > 500);
        leave_world();
    }
}

/*--- tests ----------------------------------------------------------------------------------*/

static void table_has_every_function_of_the_header(void **state)
{
    (void)state;
    arguments_are_complete();
}

static void moments_are_of_every_state(void **state)
{
    (void)state;
    bool reached[UH_STATE_COUNT] = { false };
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++)
        reached[moments[i].state] = true;
    for (int i = 0; i < UH_STATE_COUNT; i++) {
        if (!reached[i])
            fprintf(stderr, "state %d of UH_STATES is reached by no line of moments[]: add one"
                    " with a function that leads there\n", i);
        CHECK(reached[i]);
    }
}

static void any_argument_is_stood_in_plain_mode(void **state)
{
    (void)state;
    try_all(false, 0);
}

static void any_argument_is_stood_in_event_mode(void **state)
{
    (void)state;
    try_all(true, 0);
}

static void any_argument_is_stood_in_fixed_memory(void **state)
{
    (void)state;
    try_all(true, 1024);
}

/*--- what the program brings: transports and files ------------------------------------------*/

static int recv_one_too_many(void *t, void *to, size_t room)
{
    int n = memory_transport_recv(t, to, room);
    return n > 0 ? (int)room + 1 : n;
}

static int send_one_too_many(void *t, const uhttp_str *parts, int count)
{
    size_t offered = 1;
    (void)t;
    for (int i = 0; i < count; i++)
        offered += parts[i].len;
    return (int)offered;
}

static size_t read_one_too_many(void *user, void *file, uint64_t offset, void *to,
                                size_t length)
{
    return file_read(user, file, offset, to, length) + 1;
}

static void connect_over(uhttp_transport *transport)
{
    world = world_config();
    world.files = &files;
    world_open(&world, 0);
    world_server->listeners[0].transport = transport;
    client = world_connect();
}

static void transport_that_received_more_than_it_had_room_for_has_failed(void **state)
{
    (void)state;
    static uhttp_transport transport;
    transport = memory_transport;
    transport.recv = recv_one_too_many;
    connect_over(&transport);
    CHECK(says(GET) == NULL);
    CHECK(client->closed && world_server->stats.bytes_in == 0);
    client = world_connect();           /* and so where what comes is thrown away */
    transport.recv = memory_transport_recv;
    CHECK(says("nonsense\r\n\r\n") == NULL && !client->closed);
    transport.recv = recv_one_too_many;
    CHECK(says("more") == NULL && client->closed);
    world_close();
    client = NULL;
}

static void transport_that_sent_more_than_it_was_offered_has_failed(void **state)
{
    (void)state;
    static uhttp_transport transport;
    transport = memory_transport;
    transport.send = send_one_too_many;
    connect_over(&transport);
    CHECK(uhttp_respond_text(asks(GET), 200, "x") == UHTTP_OK);
    silence();
    CHECK(client->closed && world_server->stats.bytes_out == 0);
    world_close();
    client = NULL;
}

static void file_that_reads_more_than_was_asked_for_ends_its_connection(void **state)
{
    (void)state;
    static uhttp_files wrong;
    wrong = files;
    wrong.read = read_one_too_many;
    connect_over((uhttp_transport *)(uintptr_t)&memory_transport);
    world_server->config.files = &wrong;
    CHECK(uhttp_respond_file(asks(GET), "file", NULL) == UHTTP_OK);
    silence();
    CHECK(client->closed && files_open == 0 && !peer_has(client, "a file"));
    world_close();
    client = NULL;
}

static void entity_tag_of_a_file_becomes_no_other_field(void **state)
{
    (void)state;
    static const uhttp_rom_file rom[] = { { "a/b", "x", 1, "1\r\nSet-Cookie: a=b", NULL, 0 } };
    connect_over((uhttp_transport *)(uintptr_t)&memory_transport);
    CHECK(uhttp_serve_rom(asks(GET), rom, 1, "/") == UHTTP_OK);
    silence();
    CHECK(peer_has(client, "200 OK") && !peer_has(client, "Set-Cookie"));
    world_close();
    client = NULL;
}

/* Opens with one function less at a time. */
static void check_open_without(uhttp_config *config, void *functions, size_t from, size_t count)
{
    uhttp_server *server;
    for (size_t i = 0; i < count; i++) {
        void (**function)(void) = (void (**)(void))((char *)functions + from) + i;
        void (*was)(void) = *function;
        *function = NULL;
        CHECK(uhttp_server_open(&server, config) == UHTTP_ERR_INVALID && server == NULL);
        *function = was;
    }
    CHECK(uhttp_server_open(&server, config) == UHTTP_OK);
    uhttp_server_close(server);
}

static void transport_or_files_without_a_function_are_refused(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    uhttp_tls_config tls;
    uhttp_transport transport = memory_transport;
    uhttp_files some = files;
    memset(&tls, 0, sizeof tls);
    memory_fails_from = memory_fails_to = 0;
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.tls = &tls;
    tls.transport = &transport;
    check_open_without(&config, &transport, 0, 6);
    config.tls = NULL;
    config.files = &some;
    check_open_without(&config, &some, offsetof(uhttp_files, open), 3);
    check_open_without(&config, &some, offsetof(uhttp_files, write), 2);
    some.create = NULL;                 /* nothing can be written */
    some.write = NULL;
    some.finish = NULL;
    check_open_without(&config, &some, offsetof(uhttp_files, open), 3);
}

static void on_failure(const char *file, int line)
{
    fprintf(stderr, "    calling: %s\n", drawn_name != NULL ? arguments_say() : "nothing");
    _fail(file, line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_has_every_function_of_the_header),
        cmocka_unit_test(moments_are_of_every_state),
        cmocka_unit_test(any_argument_is_stood_in_plain_mode),
        cmocka_unit_test(any_argument_is_stood_in_event_mode),
        cmocka_unit_test(any_argument_is_stood_in_fixed_memory),
        cmocka_unit_test(transport_that_received_more_than_it_had_room_for_has_failed),
        cmocka_unit_test(transport_that_sent_more_than_it_was_offered_has_failed),
        cmocka_unit_test(file_that_reads_more_than_was_asked_for_ends_its_connection),
        cmocka_unit_test(entity_tag_of_a_file_becomes_no_other_field),
        cmocka_unit_test(transport_or_files_without_a_function_are_refused),
    };
    world_on_failure = on_failure;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
