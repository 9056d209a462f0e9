/* Every public function with odd arguments, one of them at a time, over real sockets; and so
 * over TLS. All combinations, over peers made of byte arrays, are in test_arguments.c. */
#include "loopback.h"

#include <limits.h>
#include <math.h>

static void arguments_fail(const char *file, int line, const char *truth);

#define CHECK(truth) ((truth) ? (void)0 : arguments_fail(__FILE__, __LINE__, #truth))

#include "arguments.h"

/*--- moments --------------------------------------------------------------------------------*/

#define GET_ALL "GET /a/b?a=1&flag" HOST "Cookie: k=v\r\n\r\n"

static uhttp_config config;
static client *peer;
static uhttp_conn *heard;               /* what the server has handed out last */

static void hear(uhttp_conn *c) { heard = c; }

static uhttp_conn *taken_slot(void)
{
    for (uint32_t i = 0; i < config.max_connections; i++) {
        if (loop.server->slots[i].state != UH_FREE)
            return &loop.server->slots[i];
    }
    return NULL;
}

static void asks(const char *request)
{
    heard = NULL;
    client_send(peer, request);
    LOOP_UNTIL(heard != NULL);
}

static void at_begin(void) { }

static void at_idle(void)
{
    asks(GET_ALL);
    assert_ok(uhttp_respond_text(heard, 200, "x"));
    LOOP_UNTIL(arguments_conn->state == UH_IDLE);
}

static void at_head(void)
{
    client_send(peer, "GET / HTTP/1.1\r\nHo");
    LOOP_UNTIL(arguments_conn->state == UH_HEAD);
}

static void at_offer(void) { asks(POST("/", "9") "some"); }

static void at_body(void)
{
    at_offer();
    assert_ok(uhttp_accept_body_streaming(heard, 0));
    LOOP_UNTIL(arguments_conn->state == UH_BODY);
}

static void at_answer(void) { asks(GET_ALL); }

static void at_send(void)
{
    asks(GET_ALL);
    assert_ok(uhttp_respond_static(heard, 200, NULL, loop_big(), LOOP_BIG));
}

static void at_stream(void)
{
    asks(GET_ALL);
    assert_ok(uhttp_sse_begin(heard));
}

static void at_frames(void)
{
    asks(GET_ALL);
    assert_ok(uhttp_multipart_begin(heard));
}

static void at_websocket(void)
{
    asks("GET /ws" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_ok(uhttp_ws_accept(heard, NULL));
}

static void at_skip(void)
{
    at_offer();
    assert_ok(uhttp_respond_text(heard, 200, "early"));
    LOOP_UNTIL(arguments_conn->state == UH_SKIP);
}

static void at_linger(void)
{
    client_send(peer, "nonsense\r\n\r\n");
    LOOP_UNTIL(arguments_conn->state == UH_LINGER);
}

static void at_closed(void)
{
    asks(GET_ALL);
    client_reset(peer);
    LOOP_UNTIL(arguments_conn->state == UH_CLOSED);
}

/* The first bytes of a record; only where there is a handshake. */
static void at_handshake(void)
{
    assert_int_equal(send(peer->fd, "\x16\x03\x01", 3, 0), 3);
    LOOP_UNTIL(arguments_conn->state != UH_IDLE);
}

static const struct moment {
    const char *name;
    void (*reach)(void);
    uh_state state;
    bool event_mode, plain_mode;
} moments[] = {
    { "begin",     at_begin,     UH_IDLE,      true,  true  },
    { "handshake", at_handshake, UH_HANDSHAKE, LOOP_SECURE, LOOP_SECURE },
    { "idle",      at_idle,      UH_IDLE,      true,  false },
    { "head",      at_head,      UH_HEAD,      true,  false },
    { "offer",     at_offer,     UH_OFFER,     true,  false },
    { "body",      at_body,      UH_BODY,      true,  false },
    { "answer",    at_answer,    UH_ANSWER,    false, true  },
    { "send",      at_send,      UH_SEND,      false, true  },
    { "stream",    at_stream,    UH_STREAM,    false, true  },
    { "frames",    at_frames,    UH_STREAM,    true,  false },
    { "websocket", at_websocket, UH_WEBSOCKET, false, true  },
    { "skip",      at_skip,      UH_SKIP,      true,  false },
    { "linger",    at_linger,    UH_LINGER,    false, true  },
    { "closed",    at_closed,    UH_CLOSED,    false, true  },
};

static const struct moment *moment;
static uint64_t moment_serial;
static bool moment_told;

static void arguments_fail(const char *file, int line, const char *truth)
{
    fprintf(stderr, "%s:%d: not true: %s\n    at %s, calling %s\n", file, line, truth,
            moment->name, arguments_say());
    _fail(file, line);
}

/*--- keeping the moment ---------------------------------------------------------------------*/

/* The client leaves, and its slot is free. */
static void part(void)
{
    if (peer == NULL)
        return;
    client_reset(peer);
    client_forget(peer);
    peer = NULL;
    while (loop.server != NULL && taken_slot() != NULL) {
        uhttp_watch list[4];
        (void)uhttp_close(taken_slot());
        while (loop.server->keep_socket != NULL &&
               uhttp_server_watch_changes(loop.server, list, 4) > 0) { }
        loop_pump(1);
    }
}

static void arguments_restore(void)
{
    const uhttp_conn *c = arguments_conn;
    if (arguments_spent) {
        part();
        loop_close();
    }
    arguments_spent = false;
    if (loop.server == NULL) {
        config.tls = loop_tls();        /* its names of files do not stay for long */
        loop_open(&config);
        loop.handler = hear;
        arguments_server = loop.server;
    } else if (peer != NULL && c->state == moment->state && c->told == moment_told &&
               c->serial == moment_serial) {
        return;
    }
    part();
    peer = client_connect_narrow(4096);
    LOOP_UNTIL((arguments_conn = taken_slot()) != NULL);
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
    uhttp_stats stats = loop_stats();
    uint32_t held = 0;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < config.max_connections; i++) {
        held += loop.server->slots[i].told ? 1 : 0;
        taken += loop.server->slots[i].state != UH_FREE ? 1 : 0;
    }
    CHECK(stats.held == held && stats.connections == taken);
}

static void try_all(bool event_mode)
{
    config = loop_config();
    config.event_mode = event_mode;
    config.max_connections = 3;
    config.request_timeout_ms = config.body_timeout_ms = config.send_timeout_ms = UHTTP_NEVER;
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        moment = &moments[i];
        if (!(event_mode ? moment->event_mode : moment->plain_mode))
            continue;
        CHECK(arguments_try(true) > 200);
        part();
    }
}

/*--- tests ----------------------------------------------------------------------------------*/

static void any_argument_is_stood_in_plain_mode(void **state)
{
    (void)state;
    try_all(false);
}

static void any_argument_is_stood_in_event_mode(void **state)
{
    (void)state;
    try_all(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(any_argument_is_stood_in_plain_mode),
        LOOP_TEST(any_argument_is_stood_in_event_mode),
    };
    arguments_list();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
