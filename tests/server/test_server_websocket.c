/* test_server_websocket.c - the cases of websocket_cases.h over real sockets, in every kind of
 * loop: behind the handshake at once, after it, and in small pieces */
#include "loopback.h"

static char case_name[128];     /* and how it is played */

static void case_fail(int line, const char *what)
{
    fail_msg("%s: line %d: %s", case_name, line, what);
}

#define FAIL(what) case_fail(__LINE__, what)
#define CHECK(truth) ((truth) ? (void)0 : FAIL(#truth))

#include "websocket_cases.h"

typedef enum arrival { AT_ONCE, AFTER_THE_HANDSHAKE, IN_PIECES, ARRIVALS } arrival;

static void open_echo(bool event_mode)
{
    uhttp_config config = loop_config();
    config.event_mode = event_mode;
    config.max_ws_message_length = LIMIT;
    loop_open(&config);
    loop.handler = echo_hear;
}

/* Says a script that begins with the handshake, whose answer is read, until all is said or the
 * server has ended; false: it had, and did not take the last piece. */
static bool say(client *c, const text *in, size_t handshake, arrival how)
{
    size_t first = how == AT_ONCE ? in->length : handshake;
    size_t step = how != IN_PIECES ? in->length : in->length - handshake < 400 ? 1 : 13;
    client_send_bytes(c, in->data, first);
    client_await_head(c);
    assert_int_equal(c->status, 101);
    assert_string_equal(client_field(c, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for (size_t at = first; at < in->length && !c->ended; at += step) {
        size_t rest = in->length - at;
        if (!client_try_send(c, in->data + at, step < rest ? step : rest))
            return false;
        loop_pump(0);
        echo_flush();
        client_receive(c);
    }
    return true;
}

/* Has all come that is to come? */
static bool has_heard_all(client *c, const ws_case *t, bool event_mode)
{
    bool differs = !event_mode && t->plain_controls != NULL;
    client_receive(c);
    frames_read(c->in, c->used, &played_messages, &played_controls);
    return strcmp(played_messages.data, differs ? "" : t->messages) == 0 &&
           strcmp(played_controls.data, case_controls(t, event_mode)) == 0;
}

/* The client leaves when the server has, or when it has heard everything. */
static void play_over_socket(const ws_case *t, const text *in, size_t handshake,
                             bool event_mode, arrival how)
{
    uint32_t start = loop_millis();
    bool lives = t->end == NULL && (event_mode || t->plain_controls == NULL);
    snprintf(case_name, sizeof case_name, "%s, %s, arrival %d", t->name,
             event_mode ? "events" : "plain", (int)how);
    echo_begin();
    client *c = client_connect();
    bool taken = say(c, in, handshake, how);
    while (!c->ended && !(has_heard_all(c, t, event_mode) && lives) &&
           loop_millis() - start < LOOP_PATIENCE_MS) {
        loop_pump(1);
        echo_flush();
    }
    if (lives && !c->ended) {
        CHECK(echo.c != NULL && uhttp_ws_is_open(echo.c));
        client_shut(c);
    }
    client_await_end(c);
    CHECK(c->error == 0 || !taken);
    LOOP_UNTIL(echo.c == NULL);
    (void)has_heard_all(c, t, event_mode);
    case_check(t, event_mode, true);
    client_forget(c);
}

static void cases_are_the_same_over_sockets_in_every_kind_of_loop(void **state)
{
    static void (*const pumps[])(uhttp_server *server, int timeout_ms) = {
        loop_pump_wait, loop_pump_poll, loop_pump_select
    };
    text in = { NULL, 0, 0 };
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        open_echo(event_mode != 0);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            text_clear(&in);
            text_add(&in, HANDSHAKE("/ws"), sizeof HANDSHAKE("/ws") - 1);
            size_t handshake = in.length;
            script_add(&in, cases[i].in);
            for (int how = 0; how < ARRIVALS; how++) {
                if (LOOP_SECURE && (i + (size_t)event_mode) % ARRIVALS != (size_t)how)
                    continue;       /* a TLS handshake takes its time: each case once */
                loop.pump = pumps[(i + (size_t)how) % 3];
                play_over_socket(&cases[i], &in, handshake, event_mode != 0, (arrival)how);
            }
        }
        LOOP_UNTIL(loop_stats().websockets == 0);
        loop_close();
    }
    echo_begin();
    text_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(cases_are_the_same_over_sockets_in_every_kind_of_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
