/* WebSockets over peers made of byte arrays.
 *
 *   1 cases       the groups of the Autobahn suite and more: each is replayed cut at every byte
 *                 and through every bottleneck, in both modes and both memories, and must give
 *                 one transcript (the cases stand in websocket_cases.h)
 *   2 handshake   who is accepted, and how everybody else is refused
 *   3 sending     all or nothing, in pieces, printf and JSON, room
 *   4 time        idle pings, dead peers, slow readers, closing, shutdown
 *   5 ends        FIN, RST and misuse in every state; one last event
 *   6 memory      every allocation fails once; fixed memory; idle WebSockets hold nothing
 */
#include "memory_transport.h"
#include "websocket_cases.h"

#include <setjmp.h>
#include <cmocka.h>

static const char accepted[] =
    "HTTP/1.1 101 Switching Protocols\r\nDate: " WORLD_DATE "\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/*==============================================================================
 * 1 CASES
 *============================================================================*/

/* Runs until nothing moves any more; without events of room the program tries again itself. */
static void echo_run(void)
{
    uint64_t moved;
    do {
        uhttp_conn *c;
        moved = world_server->stats.bytes_in + world_server->stats.bytes_out;
        while ((c = world_next()) != NULL)
            echo_hear(c);
        if (!world_server->config.event_mode)
            echo_flush();
    } while (moved != world_server->stats.bytes_in + world_server->stats.bytes_out);
}

/*--- one way to play a case -----------------------------------------------------------------*/

typedef struct way {
    bool event_mode;
    size_t buffer;              /* 0: the heap */
    size_t cut;                 /* so many bytes come first; SIZE_MAX: all at once */
    size_t bite, gulp, record;
    unsigned stalls;
    bool crossed;
    size_t trickle;             /* the peer takes so many bytes whenever nothing else moves */
    bool fin;
} way;

static void play(const text *in, const way *w)
{
    uhttp_config config = world_config();
    config.event_mode = w->event_mode;
    config.max_ws_message_length = LIMIT;
    echo_begin();
    world_open(&config, w->buffer);
    peer *p = world_peer();
    p->bite = w->bite;
    p->gulp = w->gulp;
    p->record = w->record;
    p->stalls = w->stalls;
    p->crossed = w->crossed;
    p->window = w->trickle > 0 ? w->trickle : SIZE_MAX;
    CHECK(world_accept(p));
    peer_will_say_bytes(p, in->data, in->length);
    p->arrived = w->cut < in->length ? w->cut : in->length;
    echo_run();
    p->arrived = p->in_length;
    echo_run();
    for (size_t i = 0; w->trickle > 0 && i < 20000; i++) {
        if (p->window == 0) {
            p->window = w->trickle;
            echo_run();
        }
    }
    if (w->fin && !p->closed) {
        p->fin = true;
        echo_run();
    }
    CHECK(p->out_length >= sizeof accepted - 1);
    CHECK(memcmp(p->out, accepted, sizeof accepted - 1) == 0);
    size_t head = sizeof accepted - 1;
    frames_read(p->out + head, p->out_length - head, &played_messages, &played_controls);
    for (int i = 0; i < 3 && !p->closed && echo.c == NULL; i++) {
        world_sleep(UH_LINGER_MS);
        echo_run();
    }
    CHECK(echo.c != NULL || p->closed);
    world_close();
}

static void case_play(const ws_case *t, const text *in, way w)
{
    snprintf(world_what, sizeof world_what,
             "%s, %s, buffer %zu, cut %zu, bite %zu, gulp %zu, record %zu, stalls %u%s, "
             "trickle %zu%s", t->name, w.event_mode ? "events" : "plain", w.buffer, w.cut,
             w.bite, w.gulp, w.record, w.stalls, w.crossed ? " crossed" : "", w.trickle,
             w.fin ? ", FIN" : "");
    play(in, &w);
    case_check(t, w.event_mode, w.fin);
}

static void case_play_all(const ws_case *t, const text *in, size_t handshake, way w)
{
    static const size_t bites[] = { 1, 2, 3, 7, 64 };
    w.cut = SIZE_MAX;
    case_play(t, in, w);
    w.fin = true;
    case_play(t, in, w);
    for (size_t i = 0; i < sizeof bites / sizeof bites[0]; i++) {
        way bitten = w;
        bitten.bite = bites[i];
        case_play(t, in, bitten);
        bitten.gulp = 1;
        bitten.stalls = 2;
        case_play(t, in, bitten);
    }
    size_t step = in->length - handshake < 200 ? 1 : (in->length - handshake) / 60 + 1;
    for (size_t cut = handshake - 2; cut < in->length; cut += step) {
        way halved = w;
        halved.cut = cut;
        halved.fin = cut % 2 == 0;
        case_play(t, in, halved);
    }
    way other = w;
    other.record = 5;
    other.stalls = 3;
    other.crossed = true;
    case_play(t, in, other);
    other.trickle = 1;
    case_play(t, in, other);
    other.trickle = 100;
    other.bite = 9;
    case_play(t, in, other);
}

static void cases_give_one_transcript_however_their_bytes_travel(void **state)
{
    (void)state;
    static const size_t buffers[] = { 0, 840, 1500 };
    text in = { NULL, 0, 0 };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t k = 0; k < 6; k++) {
            way w;
            memset(&w, 0, sizeof w);
            w.buffer = buffers[k / 2];
            w.event_mode = k % 2 == 1;
            text_clear(&in);
            text_add(&in, HANDSHAKE("/ws"), sizeof HANDSHAKE("/ws") - 1);
            size_t handshake = in.length;
            script_add(&in, cases[i].in);
            case_play_all(&cases[i], &in, handshake, w);
        }
    }
    text_free(&in);
}

/*==============================================================================
 * 2 HANDSHAKE
 *============================================================================*/

typedef struct handshake {
    const char *fields;         /* of the request, behind Host */
    const char *origins, *protocols;
    int status;
    uhttp_result result;
    const char *sent;           /* stands in the answer; NULL: not checked */
} handshake;

#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ALL UPGRADE VERSION KEY

static const handshake handshakes[] = {
    { ALL, NULL, NULL, 101, UHTTP_OK, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" },
    { "upgrade: h2c, WebSocket\r\nconnection: x\r\nConnection: keep-alive,uPgRaDe\r\n" VERSION KEY,
      NULL, NULL, 101, UHTTP_OK, NULL },
    { ALL "Content-Length: 0\r\n", NULL, NULL, 101, UHTTP_OK, NULL },
    /* no handshake at all, or for another version: told what there is */
    { VERSION KEY, NULL, NULL, 426, UHTTP_ERR_INVALID, "Upgrade: websocket\r\n" },
    { "Upgrade: websocket\r\n" VERSION KEY, NULL, NULL, 426, UHTTP_ERR_INVALID, NULL },
    { "Connection: Upgrade\r\n" VERSION KEY, NULL, NULL, 426, UHTTP_ERR_INVALID, NULL },
    { "Upgrade: websockets\r\nConnection: Upgrade\r\n" VERSION KEY, NULL, NULL, 426,
      UHTTP_ERR_INVALID, NULL },
    { "Upgrade: websocket\r\nConnection: not-upgrade\r\n" VERSION KEY, NULL, NULL, 426,
      UHTTP_ERR_INVALID, NULL },
    { UPGRADE KEY, NULL, NULL, 426, UHTTP_ERR_INVALID, "Sec-WebSocket-Version: 13\r\n" },
    { UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", NULL, NULL, 426, UHTTP_ERR_INVALID,
      "Connection: Upgrade\r\n" },
    { UPGRADE KEY "Sec-WebSocket-Version: 013\r\n", NULL, NULL, 426, UHTTP_ERR_INVALID, NULL },
    { UPGRADE KEY VERSION VERSION, NULL, NULL, 426, UHTTP_ERR_INVALID, NULL },
    { UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n", NULL, NULL, 426, UHTTP_ERR_INVALID, NULL },
    /* keys */
    { UPGRADE VERSION, NULL, NULL, 400, UHTTP_ERR_INVALID, NULL },
    { ALL KEY, NULL, NULL, 400, UHTTP_ERR_INVALID, NULL },
    { UPGRADE VERSION "Sec-WebSocket-Key: \r\n", NULL, NULL, 400, UHTTP_ERR_INVALID, NULL },
    { UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", NULL, NULL, 400,
      UHTTP_ERR_INVALID, NULL },
    { UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZT==\r\n", NULL, NULL, 400,
      UHTTP_ERR_INVALID, NULL },
    { UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ===\r\n", NULL, NULL, 400,
      UHTTP_ERR_INVALID, NULL },
    { UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWFh\r\n", NULL, NULL, 400,
      UHTTP_ERR_INVALID, NULL },        /* 18 bytes */
    /* origins: the page's scheme, host and port must be ours; the transport counts as secure */
    { ALL "Origin: https://a.example\r\n", NULL, NULL, 101, UHTTP_OK, NULL },
    { ALL "Origin: HTTPS://A.Example:443\r\n", NULL, NULL, 101, UHTTP_OK, NULL },
    { ALL "Origin: http://a.example\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://a.example:8080\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://b.example\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://a.example.b.example\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://xa.example\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://a.example/\r\n", NULL, NULL, 101, UHTTP_OK, NULL },    /* Go's */
    { ALL "Origin: https://a.example:80\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://a.example:4430\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://a.example@b.example\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://:443\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: null\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: \r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: a.example\r\n", NULL, NULL, 403, UHTTP_ERR_DENIED, NULL },
    { ALL "Origin: https://b.example\r\n", "https://c.example, https://B.example", NULL, 101,
      UHTTP_OK, NULL },
    { ALL "Origin: https://b.example:81\r\n", "https://b.example", NULL, 403, UHTTP_ERR_DENIED,
      NULL },
    { ALL "Origin: https://a.example\r\n", "https://b.example", NULL, 101, UHTTP_OK, NULL },
    { ALL "Origin: https://a.example\r\n", "", NULL, 101, UHTTP_OK, NULL },
    { ALL "Origin: anything\r\n", "*", NULL, 101, UHTTP_OK, NULL },
    { ALL "Origin: null\r\n", "null", NULL, 101, UHTTP_OK, NULL },
    /* behind a proxy nobody trusts */
    { ALL "Origin: http://a.example\r\nX-Forwarded-Proto: http\r\n", NULL, NULL, 403,
      UHTTP_ERR_DENIED, NULL },
    /* subprotocols: the client's order counts */
    { ALL "Sec-WebSocket-Protocol: chat, superchat\r\n", NULL, "superchat, chat", 101, UHTTP_OK,
      "\r\nSec-WebSocket-Protocol: chat\r\n" },
    { ALL "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: superchat\r\n", NULL,
      "superchat, chat", 101, UHTTP_OK, "\r\nSec-WebSocket-Protocol: superchat\r\n" },
    { ALL "Sec-WebSocket-Protocol: Chat\r\n", NULL, "chat", 101, UHTTP_OK, NULL },
    { ALL "Sec-WebSocket-Protocol: chat\r\n", NULL, NULL, 101, UHTTP_OK, NULL },
    { ALL "Sec-WebSocket-Protocol: a b\r\n", NULL, "a b", 101, UHTTP_OK, NULL },
    { ALL "Sec-WebSocket-Extensions: permessage-deflate\r\n", NULL, NULL, 101, UHTTP_OK, NULL },
};

static uhttp_conn *ask(peer *p, const char *request)
{
    peer_says(p, request);
    uhttp_conn *c = world_next();
    CHECK(c != NULL);
    return c;
}

static void handshakes_are_judged_strictly_and_every_refusal_has_its_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof handshakes / sizeof handshakes[0]; i++) {
        const handshake *h = &handshakes[i];
        char request[1024];
        uhttp_config config = world_config();
        uhttp_ws_options options;
        uhttp_str protocol = { "x", 1 };
        memset(&options, 0, sizeof options);
        options.origins = h->origins;
        options.protocols = h->protocols;
        options.protocol = &protocol;
        snprintf(world_what, sizeof world_what, "handshake %zu", i);
        world_open(&config, 0);
        peer *p = world_connect();
        snprintf(request, sizeof request, "GET /x HTTP/1.1\r\nHost: a.example\r\n%s\r\n",
                 h->fields);
        uhttp_conn *c = ask(p, request);
        CHECK(uhttp_is_websocket_request(c) == (strstr(h->fields, "\r\n") != NULL &&
              (h->status != 426 || strstr(h->fields, UPGRADE) != NULL)));
        uhttp_result result = uhttp_ws_accept(c, &options);
        CHECK(result == h->result);
        CHECK(world_next() == NULL);
        char status[16];
        snprintf(status, sizeof status, "HTTP/1.1 %d ", h->status);
        CHECK(memcmp(p->out, status, strlen(status)) == 0);
        CHECK(h->sent == NULL || peer_has(p, h->sent));
        CHECK(!peer_has(p, "Extensions"));
        bool chosen = h->sent != NULL && strstr(h->sent, "Protocol") != NULL;
        CHECK(peer_has(p, "Sec-WebSocket-Protocol") == chosen);
        if (result == UHTTP_OK)
            CHECK((protocol.ptr != NULL) == chosen);
        if (chosen)
            CHECK(memcmp(strstr(h->sent, ": ") + 2, protocol.ptr, protocol.len) == 0);
        CHECK(uhttp_ws_is_open(c) == (h->status == 101));
        world_close();
    }
}

static void other_methods_versions_and_bodies_ask_for_no_websocket(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /x HTTP/1.1\r\nHost: a\r\n" ALL "\r\n",
        "HEAD /x HTTP/1.1\r\nHost: a\r\n" ALL "\r\n",
        "GET /x HTTP/1.0\r\nHost: a\r\n" ALL "\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n" ALL "Content-Length: 1\r\n\r\nx",
        "GET /x HTTP/1.1\r\nHost: a\r\n" ALL "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        for (int event_mode = 0; event_mode < 2; event_mode++) {
            uhttp_config config = world_config();
            config.event_mode = event_mode;
            world_open(&config, 0);
            peer *p = world_connect();
            uhttp_conn *c = ask(p, requests[i]);
            CHECK(uhttp_event(c) == UHTTP_EVENT_REQUEST && !uhttp_is_websocket_request(c));
            CHECK(uhttp_ws_accept(c, NULL) == UHTTP_ERR_INVALID);
            CHECK(world_next() == NULL && peer_has(p, " 426 Upgrade Required\r\n"));
            world_close();
        }
    }
}

static void proxy_that_is_trusted_tells_the_origin_of_the_page(void **state)
{
    (void)state;
    static const struct { const char *origin; bool good; } cases_of[] = {
        { "http://shop.example", true }, { "http://shop.example:80", true },
        { "https://shop.example", false }, { "https://a.example", false },
        { "http://a.example", false },
    };
    for (size_t i = 0; i < sizeof cases_of / sizeof cases_of[0]; i++) {
        char request[1024];
        uhttp_config config = world_config();
        config.trusted_proxies = "192.0.2.1";
        world_open(&config, 0);
        peer *p = world_connect();
        snprintf(request, sizeof request, "GET /x HTTP/1.1\r\nHost: a.example\r\n" ALL
                 "X-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example\r\n"
                 "Origin: %s\r\n\r\n", cases_of[i].origin);
        CHECK((uhttp_ws_accept(ask(p, request), NULL) == UHTTP_OK) == cases_of[i].good);
        world_close();
    }
}

static uhttp_access logged;
static unsigned logged_count;
static char logged_url[32];

static void log_access(void *user, const uhttp_access *entry)
{
    (void)user;
    logged = *entry;
    snprintf(logged_url, sizeof logged_url, "%s", entry->url);
    logged_count++;
}

static void request_is_readable_until_the_next_wait_and_its_answer_takes_fields(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.access_log = log_access;
    config.default_headers = "X-All: 1\r\n";
    logged_count = 0;
    world_open(&config, 0);
    peer *p = world_connect();
    uhttp_conn *c = ask(p, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    c = ask(p, "GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nCookie: e=f\r\n" ALL "\r\n");
    uint64_t id = uhttp_id(c);
    CHECK(logged_count == 1);
    CHECK(uhttp_add_header(c, "X-One", "2") == UHTTP_OK);
    CHECK(uhttp_ws_accept(c, NULL) == UHTTP_OK);
    CHECK(uhttp_ws_accept(c, NULL) == UHTTP_ERR_STATE);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_ERR_STATE);
    CHECK(strcmp(uhttp_path(c), "/a b") == 0 && strcmp(uhttp_query(c, "c"), "d") == 0);
    CHECK(strcmp(uhttp_cookie(c, "e"), "f") == 0);
    CHECK(logged_count == 2 && logged.status == 101 && strcmp(logged_url, "/a%20b?c=d") == 0);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "first", 5) == UHTTP_OK);
    CHECK(world_next() == NULL);
    CHECK(peer_has(p, "\r\nX-All: 1\r\nX-One: 2\r\nSec-WebSocket-Accept:"));
    CHECK(peer_has(p, "\r\n\r\n\x81\x05""first"));
    CHECK(uhttp_id(c) == id && uhttp_find(world_server, id) == c);
    CHECK(uhttp_next(world_server, NULL) == c && uhttp_path(c)[0] == '\0');
    CHECK(uhttp_host(c) == NULL && uhttp_query(c, "c") == NULL && uhttp_cookie(c, "e") == NULL);
    CHECK(uhttp_header_count(c) == 0 && uhttp_body(c, NULL) == NULL);
    uhttp_stats stats;
    uhttp_server_stats(world_server, &stats);
    CHECK(stats.websockets == 1 && stats.held == 1);
    world_part(p);
    CHECK(logged_count == 2);
    world_close();
}

/*==============================================================================
 * 3 SENDING
 *============================================================================*/

static peer *open_peer;
static uhttp_conn *open_ws;

/* Opens a WebSocket in a world of its own. */
static uhttp_conn *open_with(const uhttp_config *config, size_t buffer, const char *frames)
{
    text in = { NULL, 0, 0 };
    world_open(config, buffer);
    open_peer = world_connect();
    open_ws = ask(open_peer, HANDSHAKE("/ws"));
    CHECK(uhttp_ws_accept(open_ws, NULL) == UHTTP_OK);
    CHECK(world_next() == NULL && open_ws->state == UH_WEBSOCKET);
    peer_forget_output(open_peer);
    text_clear(&in);
    script_add(&in, frames);
    peer_says_bytes(open_peer, in.data, in.length);
    text_free(&in);
    return open_ws;
}

static uhttp_conn *open_plain(void)
{
    uhttp_config config = world_config();
    return open_with(&config, 0, "");
}

static void says(const char *script)
{
    text in = { NULL, 0, 0 };
    text_clear(&in);
    script_add(&in, script);
    peer_says_bytes(open_peer, in.data, in.length);
    text_free(&in);
}

/* What the peer has been sent since it was asked last. */
static void expect_sent(const char *messages, const char *controls)
{
    frames_reasons = true;
    frames_read(open_peer->out, open_peer->out_length, &played_messages, &played_controls);
    frames_reasons = false;
    if (strcmp(played_messages.data, messages) != 0 ||
        strcmp(played_controls.data, controls) != 0) {
        fprintf(stderr, "sent %s / %s\n", played_messages.data, played_controls.data);
        FAIL(messages);
    }
    peer_forget_output(open_peer);
}

static void expect_close(int code, const char *reason)
{
    uhttp_conn *c = world_next();
    CHECK(c == open_ws && uhttp_event(c) == UHTTP_EVENT_WS_CLOSE);
    CHECK(uhttp_ws_code(c) == code && strcmp(uhttp_ws_message(c, NULL), reason) == 0);
    CHECK(!uhttp_ws_is_open(c));
}

static void close_world_quietly(void)
{
    while (world_next() != NULL)
        FAIL("an event behind the last one");
    world_close();
}

static uhttp_result no_file_open(void *user, const char *path, const char *root, void **file,
                                 uhttp_file_info *info)
{
    (void)user;
    (void)path;
    (void)root;
    (void)file;
    (void)info;
    return UHTTP_ERR_SYSTEM;
}

static size_t no_file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    (void)user;
    (void)file;
    (void)offset;
    (void)to;
    (void)length;
    return 0;
}

static void no_file_close(void *user, void *file)
{
    (void)user;
    (void)file;
}

static uhttp_result empty_file_create(void *user, const char *path, void **file)
{
    (void)user;
    (void)path;
    *file = world_peers;
    return UHTTP_OK;
}

static uhttp_result empty_file_write(void *user, void *file, const void *data, size_t length)
{
    (void)user;
    (void)data;
    CHECK(file == world_peers && length == 0);
    return UHTTP_OK;
}

static uhttp_result empty_file_finish(void *user, void *file, const char *written,
                                      const char *path)
{
    (void)user;
    (void)written;
    CHECK(file == world_peers && strcmp(path, "empty") == 0);
    return UHTTP_OK;
}

/* In event mode an absent body can be accepted as an empty one, into a file at once. Its
 * _COMPLETE is not for the WebSocket that the request becomes before it was returned. */
static void body_accepted_before_the_handshake_brings_no_event(void **state)
{
    (void)state;
    static const uhttp_files files = { NULL, no_file_open, no_file_read, no_file_close,
                                       empty_file_create, empty_file_write, empty_file_finish };
    uhttp_config config = world_config();
    config.event_mode = true;
    config.files = &files;
    world_open(&config, 0);
    uhttp_conn *c = ask(world_connect(), HANDSHAKE("/ws"));
    CHECK(uhttp_accept_body_to_file(c, "empty", 0) == UHTTP_OK);
    CHECK(uhttp_ws_accept(c, NULL) == UHTTP_OK);
    CHECK(world_next() == NULL && c->state == UH_WEBSOCKET);
    world_close();
}

/* The place of its NUL belongs to frames from then on. */
static void empty_body_given_before_the_handshake_touches_no_frame(void **state)
{
    (void)state;
    for (int early = 0; early < 2; early++) {
        size_t length;
        uhttp_config config = world_config();
        config.event_mode = true;
        world_open(&config, 0);
        open_peer = world_connect();
        open_ws = ask(open_peer, HANDSHAKE("/ws"));
        if (early == 1)
            says("82\"early\"");
        CHECK(uhttp_accept_body(open_ws, 0) == UHTTP_OK);
        CHECK(world_next() == open_ws && uhttp_event(open_ws) == UHTTP_EVENT_COMPLETE);
        CHECK(uhttp_body(open_ws, &length) != NULL && length == 0);
        CHECK(uhttp_ws_accept(open_ws, NULL) == UHTTP_OK);
        if (early == 1) {
            CHECK(world_next() == open_ws);
            CHECK(strcmp(uhttp_ws_message(open_ws, NULL), "early") == 0);
        }
        says("82\"{60000*x}\"");
        CHECK(world_next() == open_ws && uhttp_event(open_ws) == UHTTP_EVENT_WS_MESSAGE);
        (void)uhttp_ws_message(open_ws, &length);
        CHECK(length == 60000);
        (void)uhttp_body(open_ws, &length);
        CHECK(length == 0);
        says("88\"%03%e8\"");
        expect_close(1000, "");
        close_world_quietly();
    }
}

static void error_that_came_before_the_handshake_is_not_the_reason_of_its_end(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.event_mode = true;
    config.response_timeout_ms = 1000;
    world_open(&config, 0);
    open_peer = world_connect();
    open_ws = ask(open_peer, HANDSHAKE("/ws"));
    CHECK(world_next() == NULL);
    world_sleep(1000);
    CHECK(world_next() == open_ws && uhttp_event(open_ws) == UHTTP_EVENT_ERROR);
    CHECK(uhttp_ws_accept(open_ws, NULL) == UHTTP_OK);
    CHECK(uhttp_error(open_ws, NULL) == 0);
    says("88\"%03%e8\"");
    expect_close(1000, "");
    close_world_quietly();
}

static void messages_of_every_length_are_framed_in_the_shortest_form(void **state)
{
    (void)state;
    static const size_t lengths[] = { 0, 1, 124, 125, 126, 127, 255, 256, 65535, 65536, 65537 };
    static char data[65537];
    memset(data, 'x', sizeof data);
    uhttp_config config = world_config();
    uhttp_conn *whole = open_with(&config, 0, "");      /* the default takes just 64 KiB */
    CHECK(uhttp_ws_send(whole, UHTTP_WS_BINARY, data, 65537) == UHTTP_ERR_MEMORY);
    CHECK(uhttp_ws_send(whole, UHTTP_WS_BINARY, data, 65536) == UHTTP_OK);
    world_close();
    config.max_send_buffer = 100000;
    uhttp_conn *c = open_with(&config, 0, "");
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uhttp_ws_frame f;
        CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, data, lengths[i]) == UHTTP_OK);
        CHECK(world_next() == NULL);
        uhttp_str out = { (const char *)open_peer->out, open_peer->out_length };
        int head = uhttp_ws_frame_parse(out, &f);
        CHECK(head > 0 && f.opcode == 2 && f.fin && !f.masked && f.length == lengths[i]);
        CHECK(out.len == (size_t)head + lengths[i]);
        CHECK(memcmp(out.ptr + head, data, lengths[i]) == 0);
        peer_forget_output(open_peer);
    }
    world_close();
}

static void program_cannot_send_a_malformed_message(void **state)
{
    (void)state;
    char big[200];
    uhttp_json_writer w;
    uhttp_conn *c = open_plain();
    memset(big, 'r', sizeof big);
    CHECK(uhttp_ws_send(NULL, UHTTP_WS_TEXT, "", 0) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_send(c, (uhttp_ws_type)0, "a", 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_send(c, (uhttp_ws_type)8, "a", 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, NULL, 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "\xc3", 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "\xed\xa0\x80", 3) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, "a", SIZE_MAX) == UHTTP_ERR_MEMORY);
    CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, big, SIZE_MAX - 8) == UHTTP_ERR_MEMORY);
    CHECK(uhttp_ws_printf(c, "%s", "\xff") == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_printf(c, "%ls", L"\x7fff") == UHTTP_ERR_INVALID);     /* not in the C locale */
    CHECK(uhttp_ws_printf(NULL, "x") == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_ping(c, big, 126) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_ping(c, NULL, 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_ping(NULL, NULL, 0) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_piece(c, "a", 1) == UHTTP_ERR_STATE && uhttp_ws_end(c) == UHTTP_ERR_STATE);
    CHECK(uhttp_ws_begin(c, (uhttp_ws_type)3) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_begin(NULL, UHTTP_WS_TEXT) == UHTTP_ERR_INVALID);
    static const int bad_codes[] = { 1, 999, 1004, 1005, 1006, 1015, 2999, 5000, -1, 66536 };
    for (size_t i = 0; i < sizeof bad_codes / sizeof bad_codes[0]; i++)
        CHECK(uhttp_ws_close(c, bad_codes[i], NULL) == UHTTP_ERR_INVALID);
    big[124] = '\0';
    CHECK(uhttp_ws_close(c, 1000, big) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_close(c, 1000, "\x80") == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_close(c, 0, "a reason without a code") == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_close(NULL, 1000, NULL) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_accept(NULL, NULL) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_message(NULL, NULL) == NULL && uhttp_ws_code(NULL) == 0);
    CHECK(!uhttp_ws_is_text(NULL) && !uhttp_ws_is_open(NULL));
    CHECK(!uhttp_is_websocket_request(NULL) && uhttp_ws_message(c, NULL) == NULL);
    CHECK(uhttp_stream_write(c, "a", 1) == UHTTP_ERR_STATE);
    CHECK(uhttp_add_header(c, "A", "b") == UHTTP_ERR_STATE);
    CHECK(uhttp_respond_error(c, 404) == UHTTP_ERR_STATE);
    CHECK(uhttp_stream_end(c) == UHTTP_ERR_STATE);
    uhttp_json_begin_row(&w, c);
    CHECK(uhttp_json_null(&w) == UHTTP_ERR_STATE);
    CHECK(world_next() == NULL && open_peer->out_length == 0);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, NULL, 0) == UHTTP_OK);
    CHECK(world_next() == NULL);
    expect_sent("T\"\"", "");
    world_close();
}

static void long_message_goes_in_pieces_with_pings_but_no_other_message_between(void **state)
{
    (void)state;
    uhttp_conn *c = open_plain();
    CHECK(uhttp_ws_begin(c, UHTTP_WS_TEXT) == UHTTP_OK);
    CHECK(uhttp_ws_begin(c, UHTTP_WS_TEXT) == UHTTP_ERR_STATE);
    CHECK(uhttp_ws_piece(c, "a\xe2\x82", 3) == UHTTP_OK);       /* within a character */
    CHECK(uhttp_ws_end(c) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_ERR_STATE);
    CHECK(uhttp_ws_printf(c, "x") == UHTTP_ERR_STATE);
    CHECK(uhttp_ws_ping(c, "between", 7) == UHTTP_OK);
    CHECK(uhttp_ws_piece(c, "x", 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_piece(c, NULL, 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_ws_piece(c, NULL, 0) == UHTTP_OK);
    CHECK(uhttp_ws_piece(c, "\xac", 1) == UHTTP_OK);
    CHECK(uhttp_ws_end(c) == UHTTP_OK && uhttp_ws_end(c) == UHTTP_ERR_STATE);
    CHECK(uhttp_ws_begin(c, UHTTP_WS_BINARY) == UHTTP_OK && uhttp_ws_end(c) == UHTTP_OK);
    CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, "\xff", 1) == UHTTP_OK);
    CHECK(world_next() == NULL);
    expect_sent("T\"a%e2%82%ac\" B\"\" B\"%ff\"", "p\"between\"");
    world_close();
}

static void printf_and_json_write_straight_into_a_message(void **state)
{
    (void)state;
    uhttp_json_writer w;
    static char long_text[5000];
    uhttp_conn *c = open_plain();
    memset(long_text, 'y', sizeof long_text - 1);
    CHECK(uhttp_ws_printf(c, "%d %s", 42, "\xc3\xa4") == UHTTP_OK);
    CHECK(uhttp_ws_printf(c, "%s", "") == UHTTP_OK);
    CHECK(uhttp_ws_printf(c, "%s", long_text) == UHTTP_OK);
    for (int round = 0; round < 2; round++) {
        uhttp_json_begin_message(&w, c);
        uhttp_json_object_begin(&w);
        uhttp_json_key(&w, "a");
        uhttp_json_string(&w, round == 0 ? "b" : long_text);
        uhttp_json_object_end(&w);
        CHECK(uhttp_json_send_message(&w) == UHTTP_OK);
        CHECK(uhttp_json_send_message(&w) == UHTTP_ERR_STATE);
    }
    uhttp_json_begin_message(&w, c);        /* not finished: nothing of it is sent */
    uhttp_json_array_begin(&w);
    CHECK(uhttp_json_send_message(&w) == UHTTP_ERR_STATE);
    uhttp_json_begin_message(&w, c);        /* dropped by another message */
    uhttp_json_int(&w, 1);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "other", 5) == UHTTP_OK);
    CHECK(uhttp_json_send_message(&w) == UHTTP_ERR_STATE);
    CHECK(world_next() == NULL);
    uhttp_json_begin_message(&w, c);        /* held over a wait */
    uhttp_json_int(&w, 2);
    CHECK(world_next() == NULL);
    CHECK(uhttp_json_send_message(&w) == UHTTP_OK);
    CHECK(world_next() == NULL);
    expect_sent("T\"42 %c3%a4\" T\"\" T\"{4999*y}\" T\"{\"a\":\"b\"}\" "
                "T\"{\"a\":\"{4999*y}\"}\" T\"other\" T\"2\"", "");
    world_close();
}

static void slow_reader_is_told_again_and_room_for_the_end_is_kept(void **state)
{
    (void)state;
    char data[100];
    memset(data, 'z', sizeof data);
    for (int mode = 0; mode < 4; mode++) {
        uhttp_config config = world_config();
        config.event_mode = mode % 2 == 1;
        config.max_send_buffer = 1000;
        uhttp_conn *c = open_with(&config, mode < 2 ? 0 : 1000, "");
        unsigned taken = 0;
        open_peer->window = 0;
        open_peer->coy = false;
        CHECK(uhttp_ws_begin(c, UHTTP_WS_BINARY) == UHTTP_OK);
        size_t room = uhttp_send_room(c);
        CHECK(room == (mode < 2 ? 1000 : 1000 - UH_WS_ROOM));
        CHECK(uhttp_ws_piece(c, data, 100) == UHTTP_OK);
        while (uhttp_ws_piece(c, data, 100) == UHTTP_OK)
            taken++;
        CHECK(taken == 8);
        CHECK(uhttp_ws_piece(c, data, 100) == UHTTP_ERR_AGAIN);
        room = uhttp_send_room(c);
        CHECK(room < 100 && uhttp_ws_piece(c, data, room + 1) == UHTTP_ERR_AGAIN);
        CHECK(uhttp_ws_piece(c, data, room) == UHTTP_OK && uhttp_send_room(c) == 0);
        CHECK(world_next() == NULL);
        CHECK(uhttp_ws_ping(c, NULL, 0) == UHTTP_ERR_AGAIN);
        CHECK(uhttp_ws_end(c) == UHTTP_OK);
        CHECK(uhttp_ws_piece(c, data, 1) == UHTTP_ERR_STATE);
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, data, 1) == UHTTP_ERR_AGAIN);
        open_peer->window = 500;
        uhttp_conn *next = world_next();
        CHECK((next != NULL) == config.event_mode);
        if (next != NULL)
            CHECK(next == c && uhttp_event(c) == UHTTP_EVENT_WRITABLE);
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, data, 1) == UHTTP_OK);
        while (uhttp_ws_send(c, UHTTP_WS_TEXT, data, 50) == UHTTP_OK) { }
        CHECK(uhttp_ws_close(c, 1000, "for this there is no room, so only the code is said")
              == UHTTP_OK);
        open_peer->window = SIZE_MAX;
        CHECK(world_next() == NULL);
        frames_read(open_peer->out, open_peer->out_length, &played_messages, &played_controls);
        CHECK(strcmp(played_controls.data, "C1000\"\"") == 0);
        CHECK(open_peer->out_length > 1000);
        world_close();
    }
}

static void empty_messages_leave_the_close_frame_its_room(void **state)
{
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        uhttp_config config = world_config();
        config.max_send_buffer = 1000;
        uhttp_conn *c = open_with(&config, fixed ? 1000 : 0, "");
        unsigned sent = 0;
        open_peer->window = 0;
        open_peer->coy = false;
        while (uhttp_ws_begin(c, UHTTP_WS_TEXT) == UHTTP_OK) {
            CHECK(uhttp_ws_end(c) == UHTTP_OK);
            sent++;
        }
        CHECK(sent > 400 && uhttp_ws_begin(c, UHTTP_WS_TEXT) == UHTTP_ERR_AGAIN);
        CHECK(uhttp_ws_close(c, 1000, NULL) == UHTTP_OK);
        open_peer->window = SIZE_MAX;
        CHECK(world_next() == NULL);
        frames_read(open_peer->out, open_peer->out_length, &played_messages, &played_controls);
        CHECK(strcmp(played_controls.data, "C1000\"\"") == 0);
        CHECK(open_peer->out_length == 2 * sent + 4);
        world_close();
    }
}

static void pong_waits_for_room_and_reading_waits_for_the_pong(void **state)
{
    (void)state;
    char data[950];
    memset(data, 'z', sizeof data);
    for (int fixed = 0; fixed < 2; fixed++) {
        uhttp_config config = world_config();
        config.max_send_buffer = 1000;
        uhttp_conn *c = open_with(&config, fixed ? 1000 : 0, "");
        open_peer->window = 0;
        CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, data, sizeof data) == UHTTP_OK);
        says("89\"{100*p}\" 81\"behind\"");
        CHECK(world_next() == NULL);
        CHECK(c->request.ws.stuck && (c->interest & UH_READ) == 0);
        says("[100*89\"more\"]");
        CHECK(world_next() == NULL && open_peer->in_length - open_peer->in_at >= 900);
        open_peer->window = SIZE_MAX;
        CHECK(world_next() == c && uhttp_event(c) == UHTTP_EVENT_WS_MESSAGE);
        CHECK(strcmp(uhttp_ws_message(c, NULL), "behind") == 0);
        CHECK(world_next() == NULL);
        frames_read(open_peer->out, open_peer->out_length, &played_messages, &played_controls);
        CHECK(strncmp(played_controls.data, "P\"{100*p}\" P\"more\"", 18) == 0);
        CHECK(played_controls.length == 10 + 100 * 8);
        world_close();
    }
}

static void broadcast_to_slow_and_quick_reaches_all_who_have_room(void **state)
{
    (void)state;
    peer *peers[8];
    char data[600];
    uhttp_config config = world_config();
    config.max_connections = 9;
    config.max_send_buffer = 2000;
    memset(data, 'm', sizeof data);
    world_open(&config, 0);
    for (int i = 0; i < 8; i++) {
        peers[i] = world_connect();
        CHECK(uhttp_ws_accept(ask(peers[i], HANDSHAKE("/ws")), NULL) == UHTTP_OK);
    }
    peer *other = world_connect();
    uhttp_conn *held = ask(other, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(world_next() == NULL);
    peers[3]->window = 100;
    unsigned refused = 0;
    for (int i = 0; i < 10; i++) {
        for (uhttp_conn *c = uhttp_next(world_server, NULL); c != NULL;
             c = uhttp_next(world_server, c)) {
            uhttp_result result = uhttp_ws_send(c, UHTTP_WS_TEXT, data, sizeof data);
            refused += result == UHTTP_ERR_AGAIN ? 1 : 0;
            CHECK(result == (c == held ? UHTTP_ERR_STATE
                             : world_peer_of(c) == peers[3] && i > 2 ? UHTTP_ERR_AGAIN
                                                                     : UHTTP_OK));
        }
        CHECK(world_next() == NULL);
    }
    CHECK(refused == 7);
    for (int i = 0; i < 8; i++)
        CHECK(i == 3 || peers[i]->out_length == sizeof accepted - 1 + 10 * 604);
    CHECK(uhttp_respond_text(held, 200, "x") == UHTTP_OK);
    world_close();
}

static void broadcast_holds_one_block_not_one_for_each_listener(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.max_connections = 10;
    world_open(&config, 0);
    for (int i = 0; i < 10; i++)
        CHECK(uhttp_ws_accept(ask(world_connect(), HANDSHAKE("/ws")), NULL) == UHTTP_OK);
    CHECK(world_next() == NULL);
    for (int i = 0; i < 3; i++) {
        world_sleep(2000);
        CHECK(world_next() == NULL);
    }
    size_t blocks = memory_blocks;
    size_t most = 0;
    for (uhttp_conn *c = uhttp_next(world_server, NULL); c != NULL;
         c = uhttp_next(world_server, c)) {
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_OK);
        most = memory_blocks > most ? memory_blocks : most;
    }
    CHECK(most <= blocks + 2);
    world_close();
}

/*==============================================================================
 * 4 TIME
 *============================================================================*/

static void silent_peer_is_pinged_and_given_up_if_it_stays_silent(void **state)
{
    (void)state;
    for (int answers = 0; answers < 2; answers++) {
        uhttp_conn *c = open_plain();
        world_sleep(29000);
        CHECK(world_next() == NULL && open_peer->out_length == 0);
        world_sleep(1000);
        CHECK(world_next() == NULL);
        expect_sent("", "p\"\"");
        for (int i = 0; i < 3 && answers > 0; i++) {
            says(i == 1 ? "81\"x\"" : "8a\"\"");
            CHECK((world_next() == NULL) == (i != 1));
            CHECK(world_next() == NULL);
            world_sleep(29000);
            CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_OK);     /* renews nothing */
            CHECK(world_next() == NULL);
            world_sleep(1000);
            CHECK(world_next() == NULL);
            expect_sent("T\"x\"", "p\"\"");
        }
        world_sleep(29000);
        CHECK(world_next() == NULL && !open_peer->closed);
        world_sleep(1000);
        expect_close(1006, "");
        CHECK(world_next() == NULL && open_peer->closed);
        close_world_quietly();
    }
}

static void peer_that_has_spoken_is_pinged_a_whole_interval_later(void **state)
{
    (void)state;
    (void)open_plain();
    world_sleep(20000);
    says("8a\"\"");
    CHECK(world_next() == NULL);
    world_sleep(29000);
    CHECK(world_next() == NULL && open_peer->out_length == 0);
    world_sleep(1000);
    CHECK(world_next() == NULL);
    expect_sent("", "p\"\"");
    world_close();
}

static void pings_can_be_set_and_switched_off(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.ws_ping_interval_ms = 500;
    open_with(&config, 0, "");
    world_sleep(500);
    CHECK(world_next() == NULL);
    expect_sent("", "p\"\"");
    world_close();
    config.ws_ping_interval_ms = UHTTP_NEVER;
    open_with(&config, 0, "");
    for (int i = 0; i < 10; i++) {
        world_sleep(1000000);
        CHECK(world_next() == NULL);
    }
    expect_sent("", "");
    world_close();
}

/* What the program sends meanwhile makes a turn before the network is asked. */
static void pong_that_came_while_the_program_worked_is_in_time(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.ws_ping_interval_ms = 500;
    for (int answers = 0; answers < 2; answers++) {
        uhttp_conn *c = open_with(&config, 0, "");
        world_sleep(500);
        CHECK(world_next() == NULL);
        expect_sent("", "p\"\"");
        if (answers)
            says("8a\"\"");
        world_sleep(600);
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_OK);
        CHECK(uh_server_take_turns(world_server) == NULL);      /* uhttp_wait() begins so */
        if (answers)
            CHECK(world_next() == NULL && !open_peer->closed);
        else
            expect_close(1006, "");
        world_close();
    }
}

static void a_ping_there_was_no_memory_for_is_not_awaited(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.ws_ping_interval_ms = 60000;
    open_with(&config, 0, "");
    for (int i = 0; i < 5; i++) {           /* until unused memory is given back */
        world_sleep(11000);
        CHECK(world_next() == NULL);
    }
    memory_fails_from = memory_calls;
    memory_fails_to = SIZE_MAX;
    world_sleep(5000);
    CHECK(world_next() == NULL && memory_failures > 0);
    memory_fails_from = memory_fails_to = 0;
    world_sleep(60000);
    CHECK(world_next() == NULL && !open_peer->closed);
    expect_sent("", "p\"\"");
    world_close();
}

static void reader_without_progress_is_given_up_by_send_timeout(void **state)
{
    (void)state;
    static char data[5000];
    for (int progress = 0; progress < 2; progress++) {
        uhttp_conn *c = open_plain();
        open_peer->window = 100;
        CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, data, sizeof data) == UHTTP_OK);
        CHECK(world_next() == NULL);
        for (int i = 0; i < 3 && progress > 0; i++) {
            world_sleep(9000);
            open_peer->window = 1024;
            CHECK(world_next() == NULL);
        }
        world_sleep(9000);
        says("8a\"\"");                     /* talking is not reading */
        CHECK(world_next() == NULL);
        world_sleep(1000);
        expect_close(1006, "");
        close_world_quietly();
    }
}

static void reader_that_caught_up_is_pinged_again_only_when_silent(void **state)
{
    (void)state;
    static char data[5000];
    uhttp_conn *c = open_plain();
    open_peer->window = 100;
    CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, data, sizeof data) == UHTTP_OK);
    CHECK(world_next() == NULL);
    world_sleep(9000);
    open_peer->window = SIZE_MAX;
    CHECK(world_next() == NULL);
    peer_forget_output(open_peer);
    world_sleep(29000);
    CHECK(world_next() == NULL && open_peer->out_length == 0);
    world_sleep(1000);
    CHECK(world_next() == NULL);
    expect_sent("", "p\"\"");
    world_close();
}

static void our_close_waits_two_seconds_for_theirs(void **state)
{
    (void)state;
    for (int answers = 0; answers < 3; answers++) {
        uhttp_conn *c = open_plain();
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "last", 4) == UHTTP_OK);
        CHECK(uhttp_ws_close(c, 4001, "enough") == UHTTP_OK);
        CHECK(uhttp_ws_close(c, 4001, "enough") == UHTTP_ERR_STATE);
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_ERR_STATE);
        CHECK(world_next() == NULL);
        expect_sent("T\"last\"", "C4001\"enough\"");
        says("81\"dropped\" 89\"unanswered\" 01\"{600*cut}\"");   /* no event, no pong */
        CHECK(world_next() == NULL && !open_peer->closed);
        if (answers == 0) {
            world_sleep(2000);
            expect_close(1006, "");
        } else if (answers == 1) {
            says("00\"x\" 80\"y\" 81\"z\" 88\"%0f%a1enough\"");
            expect_close(4001, "enough");
        } else {
            open_peer->fin = true;
            expect_close(1006, "");
        }
        CHECK(world_next() == NULL && open_peer->closed && open_peer->out_length == 0);
        close_world_quietly();
    }
}

static void empty_frames_behind_our_close_hide_nothing(void **state)
{
    (void)state;
    static const char *const frames[] = {
        "81\"\"", "01\"\" 80\"\"", "01\"cut\" 00\"\" 80\"\"", "81\"\" 81\"x\" 81\"\"",
    };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        char script[64];
        uhttp_conn *c = open_plain();
        CHECK(uhttp_ws_close(c, 4001, "enough") == UHTTP_OK);
        CHECK(world_next() == NULL);
        snprintf(script, sizeof script, "%s 88\"%%0f%%a1enough\"", frames[i]);
        says(script);
        expect_close(4001, "enough");
        close_world_quietly();
    }
}

/* Its second message is not read before its turn comes: a close in between drops it, also where
 * the handshake was the last request that is answered. */
static void message_that_waits_for_its_turn_is_dropped_by_our_close(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.keep_alive_max_requests = 1;
    uhttp_conn *c = open_with(&config, 0, "");
    peer *other = world_connect();
    CHECK(world_next() == NULL);
    says("81\"first\" 81\"second\"");
    peer_says(other, "GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(world_next() == c && uhttp_event(c) == UHTTP_EVENT_WS_MESSAGE);
    CHECK(strcmp(uhttp_ws_message(c, NULL), "first") == 0);
    uhttp_conn *held = world_next();
    CHECK(held != NULL && held != c);
    CHECK(uhttp_ws_close(c, 4001, "enough") == UHTTP_OK);
    CHECK(uhttp_respond_text(held, 200, "x") == UHTTP_OK);
    CHECK(world_next() == NULL);
    says("88\"%0f%a1enough\"");
    expect_close(4001, "enough");
    close_world_quietly();
}

static void what_was_sent_before_our_close_may_be_read_slowly(void **state)
{
    (void)state;
    static char data[8000];
    for (int reads = 0; reads < 2; reads++) {
        uhttp_conn *c = open_plain();
        open_peer->window = 100;
        CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, data, sizeof data) == UHTTP_OK);
        CHECK(uhttp_ws_close(c, 4001, "enough") == UHTTP_OK);
        CHECK(world_next() == NULL);
        for (int i = 0; i < 4 && reads == 1; i++) {
            world_sleep(9000);
            open_peer->window = 1024;
            CHECK(world_next() == NULL);
        }
        world_sleep(9000);
        CHECK(world_next() == NULL && open_ws->state == UH_GOODBYE);
        if (reads == 1) {
            open_peer->window = SIZE_MAX;
            CHECK(world_next() == NULL);
            CHECK(open_peer->out_length == 8004 + 10);
            world_sleep(1999);
            CHECK(world_next() == NULL);
        }
        world_sleep(1000);
        expect_close(1006, "");
        close_world_quietly();
    }
}

static void long_message_behind_our_close_is_dropped_like_any_other(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = world_config();
        config.event_mode = event_mode;
        config.max_ws_message_length = LIMIT;
        open_with(&config, 0, "81\"last\"");
        CHECK(world_next() == open_ws);
        CHECK(uhttp_ws_close(open_ws, 4001, NULL) == UHTTP_OK);
        says("81\"{701*a}\" 01\"{700*a}\" 80\"{5000*%ff}\" 88\"%0f%a1fine\"");
        expect_close(4001, "fine");
        expect_sent("", "C4001\"\"");
        close_world_quietly();
    }
}

static void shutdown_says_1001_to_everybody_and_ends(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = world_config();
        config.event_mode = event_mode;
        open_with(&config, 0, "81\"read before\"");
        CHECK(world_next() == open_ws);
        CHECK(uhttp_server_shutdown(world_server) == UHTTP_ERR_AGAIN);
        CHECK(world_next() == NULL);
        expect_sent("", "C1001\"\"");
        CHECK(uhttp_server_shutdown(world_server) == UHTTP_ERR_AGAIN);
        says("88\"%03%e9\"");
        expect_close(1001, "");
        CHECK(world_next() == NULL);
        CHECK(uhttp_server_shutdown(world_server) == UHTTP_OK);
        close_world_quietly();
    }
}

static void websocket_accepted_during_shutdown_is_told_to_go(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    world_open(&config, 0);
    open_peer = world_connect();
    open_ws = ask(open_peer, HANDSHAKE("/ws"));
    (void)uhttp_server_shutdown(world_server);
    CHECK(uhttp_ws_accept(open_ws, NULL) == UHTTP_OK);
    CHECK(world_next() == NULL && peer_has(open_peer, "\r\n\r\n\x88\x02\x03\xe9"));
    CHECK(!peer_has(open_peer, "close"));
    world_sleep(2000);
    expect_close(1006, "");
    close_world_quietly();
}

/*==============================================================================
 * 5 ENDS
 *============================================================================*/

/* Brings a WebSocket into the state. */
static void open_in_state(int which, bool event_mode)
{
    uhttp_config config = world_config();
    static char data[5000];
    config.event_mode = event_mode;
    config.max_ws_message_length = 100;
    uhttp_conn *c = open_with(&config, 0, "");
    switch (which) {
    case 0:                                         /* idle */
        break;
    case 1:                                         /* within a frame's head */
        says("#81");
        break;
    case 2:                                         /* within a message */
        says("01\"abc\"");
        break;
    case 3:                                         /* a message with the program */
        says("81\"abc\"");
        CHECK(world_next() == c && uhttp_event(c) == UHTTP_EVENT_WS_MESSAGE);
        break;
    case 4:                                         /* output is owed */
        open_peer->window = 10;
        CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, data, sizeof data) == UHTTP_OK);
        break;
    case 5:                                         /* we are closing */
        CHECK(uhttp_ws_close(c, 1000, "bye") == UHTTP_OK);
        break;
    case 6:                                         /* a message in pieces */
        CHECK(uhttp_ws_begin(c, UHTTP_WS_TEXT) == UHTTP_OK);
        CHECK(uhttp_ws_piece(c, "abc", 3) == UHTTP_OK);
        break;
    }
}

static void lost_connection_is_told_once_in_every_state(void **state)
{
    (void)state;
    for (int which = 0; which < 7; which++) {
        for (int way_of = 0; way_of < 4; way_of++) {
            for (int event_mode = 0; event_mode < 2; event_mode++) {
                snprintf(world_what, sizeof world_what, "state %d, end %d, mode %d", which,
                         way_of, event_mode);
                open_in_state(which, event_mode == 1);
                uint64_t id = uhttp_id(open_ws);
                if (way_of == 0) {
                    open_peer->reset = true;
                } else if (way_of == 1) {
                    open_peer->fin = true;
                } else if (way_of == 2) {           /* noticed by a call of the program */
                    open_peer->window = SIZE_MAX;
                    open_peer->reset = true;
                    uhttp_conn *c = open_ws;
                    uhttp_result result = UHTTP_OK;
                    static char data[40000];
                    for (int i = 0; i < 3 && which < 4; i++)    /* else it is blocked, or closing */
                        result = uhttp_ws_send(c, UHTTP_WS_BINARY, data, sizeof data);
                    CHECK(which >= 4 || result == UHTTP_ERR_CLOSED);
                    CHECK(which >= 4 || uhttp_find(world_server, id) == NULL);
                    CHECK(which >= 4 || !uhttp_is_open(c));
                } else {
                    world_sleep(100000);
                    while (world_state(open_peer) != UH_CLOSED && world_next() == NULL)
                        world_sleep(100000);
                    CHECK(uhttp_event(open_ws) == UHTTP_EVENT_WS_CLOSE);
                    CHECK(uhttp_ws_code(open_ws) == 1006);
                    close_world_quietly();
                    continue;
                }
                expect_close(1006, "");
                CHECK(uhttp_ws_send(open_ws, UHTTP_WS_TEXT, "x", 1) == UHTTP_ERR_CLOSED);
                CHECK(uhttp_ws_close(open_ws, 1000, NULL) == UHTTP_ERR_CLOSED);
                CHECK(uhttp_ws_begin(open_ws, UHTTP_WS_TEXT) == UHTTP_ERR_CLOSED);
                close_world_quietly();
            }
        }
    }
}

static void what_came_before_a_fin_is_heard_first(void **state)
{
    (void)state;
    open_plain();
    says("81\"one\" 81\"two\" 89\"\" #8185010203");
    open_peer->fin = true;
    CHECK(world_next() == open_ws && strcmp(uhttp_ws_message(open_ws, NULL), "one") == 0);
    CHECK(uhttp_ws_printf(open_ws, "answer") == UHTTP_OK);
    CHECK(world_next() == open_ws && strcmp(uhttp_ws_message(open_ws, NULL), "two") == 0);
    expect_close(1006, "");
    expect_sent("T\"answer\"", "P\"\"");
    close_world_quietly();
}

static void uhttp_close_drops_it_at_once_without_an_event(void **state)
{
    (void)state;
    for (int which = 0; which < 7; which++) {
        for (int event_mode = 0; event_mode < 2; event_mode++) {
            open_in_state(which, event_mode == 1);
            CHECK(uhttp_close(open_ws) == UHTTP_OK);
            CHECK(uhttp_close(open_ws) == UHTTP_ERR_CLOSED);
            CHECK(world_next() == NULL && open_peer->closed);
            CHECK(open_ws->state == UH_FREE);
            close_world_quietly();
        }
    }
}

static void server_can_be_closed_in_every_state(void **state)
{
    (void)state;
    for (int which = 0; which < 7; which++) {
        open_in_state(which, which % 2 == 0);
        world_close();
    }
}

static void last_event_comes_once_though_the_close_frame_cannot_be_sent(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = world_config();
        config.event_mode = event_mode;
        open_with(&config, 0, "88\"%03%e8bye\"");
        open_peer->window = 0;
        expect_close(1000, "bye");
        CHECK(world_next() == NULL && !open_peer->closed);
        open_peer->send_fails = true;
        CHECK(world_next() == NULL && open_peer->closed);
        close_world_quietly();
        open_with(&config, 0, "88\"%03%e8bye\"");
        open_peer->send_fails = true;
        expect_close(1000, "bye");
        close_world_quietly();
    }
}

static char log_line[256];

static void log_keep(void *user, const char *line)
{
    (void)user;
    snprintf(log_line, sizeof log_line, "%s", line);
}

static void broken_protocol_is_said_to_peer_program_and_log(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.log = log_keep;
    config.max_ws_message_length = 100;
    open_with(&config, 0, "81\"{101*a}\"");
    expect_close(1009, "message exceeds max_ws_message_length");
    CHECK(strcmp(log_line, "1009 message exceeds max_ws_message_length, from 192.0.2.1") == 0);
    CHECK(world_next() == NULL && open_peer->shut && !open_peer->closed);   /* it lingers */
    expect_sent("", "C1009\"message exceeds max_ws_message_length\"");
    says("81\"whatever\" #ffff");
    CHECK(world_next() == NULL && !open_peer->closed);
    world_sleep(2000);
    CHECK(world_next() == NULL && open_peer->closed);
    close_world_quietly();
}

static void slot_of_a_websocket_is_used_again_only_after_its_last_event(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.max_connections = 1;
    open_with(&config, 0, "");
    uint64_t id = uhttp_id(open_ws);
    open_peer->reset = true;
    CHECK(uhttp_process_events(world_server, NULL, 0) == NULL);
    peer *second = world_peer();
    CHECK(!world_accept(second));
    expect_close(1006, "");
    CHECK(world_next() == NULL);
    CHECK(world_accept(world_peer()));
    CHECK(uhttp_find(world_server, id) == NULL);
    world_close();
}

static void waiting_loops_hear_the_same(void **state)
{
    (void)state;
    world_waits = true;
    open_plain();
    says("81\"abc\" 88\"%03%e8\"");
    CHECK(world_next() == open_ws && strcmp(uhttp_ws_message(open_ws, NULL), "abc") == 0);
    expect_close(1000, "");
    close_world_quietly();
    world_waits = false;
}

/*==============================================================================
 * 6 MEMORY
 *============================================================================*/

static void every_allocation_may_fail_and_nothing_else_is_lost(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        size_t failures = 1;
        for (size_t n = 1; failures > 0 && n < 60; n++) {
            for (size_t width = 1; width <= 40; width += 39) {
                uhttp_config config = world_config();
                text in = { NULL, 0, 0 };
                uhttp_conn *c;
                config.event_mode = event_mode;
                config.max_ws_message_length = 20000;
                snprintf(world_what, sizeof world_what, "allocation %zu, %zu of them, mode %d", n,
                         width, event_mode);
                echo_begin();
                echo.lacks_memory = true;
                world_open(&config, 0);
                peer *p = world_connect();
                text_clear(&in);
                text_add(&in, HANDSHAKE("/ws"), sizeof HANDSHAKE("/ws") - 1);
                script_add(&in, "81\"abc\" 82\"{9000*x}\" 89\"p\" 01\"{15000*y}\" 80\"{2000*y}\"");
                peer_will_say_bytes(p, in.data, in.length);
                memory_fails_from = n;
                memory_fails_to = n + width;
                while (p->arrived < p->in_length && !p->closed) {
                    p->arrived += p->in_length - p->arrived < 3000 ? p->in_length - p->arrived
                                                                   : 3000;
                    while ((c = world_next()) != NULL)
                        echo_hear(c);
                    echo_flush();
                }
                failures = memory_failures;
                memory_fails_from = memory_fails_to = 0;
                while ((c = world_next()) != NULL)
                    echo_hear(c);
                CHECK(echo.c == NULL || echo.end.length == 0);
                if (echo.end.length > 0)
                    CHECK(strncmp(echo.end.data, "1011", 4) == 0 ||
                          strncmp(echo.end.data, "1006", 4) == 0);
                CHECK(failures > 0 || strcmp(echo.heard.data,
                      "T\"abc\" B\"{9000*x}\" T\"{17000*y}\"") == 0);
                p->reset = true;
                while ((c = world_next()) != NULL)
                    echo_hear(c);
                text_free(&in);
                world_close();
            }
        }
        CHECK(failures == 0);
    }
}

static void idle_websocket_holds_no_buffer_on_the_heap(void **state)
{
    (void)state;
    open_plain();
    says("82\"{30000*x}\" 89\"\"");
    CHECK(world_next() == open_ws && uhttp_event(open_ws) == UHTTP_EVENT_WS_MESSAGE);
    CHECK(open_ws->rx.size >= 30000);
    CHECK(uhttp_ws_send(open_ws, UHTTP_WS_BINARY, "x", 1) == UHTTP_OK);
    CHECK(world_next() == NULL);
    CHECK(open_ws->rx.data == NULL && open_ws->tx.data == NULL && open_ws->body.data == NULL);
    for (int i = 0; i < 3; i++) {
        world_sleep(2000);
        CHECK(world_next() == NULL);
    }
    CHECK(memory_blocks == 1);              /* the server itself */
    world_close();
}

static void memory_is_taken_for_what_came_not_for_what_was_announced(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.max_ws_message_length = 10000000;
    open_with(&config, 0, "");
    says("#82ff00000000009896800102030401020304");       /* ten million, of which four are here */
    CHECK(world_next() == NULL && open_ws->rx.size == UH_BLOCK);
    char data[3000];
    memset(data, 0, sizeof data);
    peer_says_bytes(open_peer, data, sizeof data);
    CHECK(world_next() == NULL && open_ws->rx.size <= 3 * UH_STREAM_BLOCK);
    world_close();
}

static void message_of_64_kilobytes_is_moved_but_once(void **state)
{
    (void)state;
    open_plain();
    says("82\"{65536*x}\"");
    CHECK(world_next() == open_ws);
    size_t length;
    const char *data = uhttp_ws_message(open_ws, &length);
    CHECK(length == 65536 && data[0] == 'x' && data[65535] == 'x');
    CHECK(memory_calls <= 4);               /* server, first block, one for all the rest, tx */
    world_close();
}

static void fixed_memory_takes_what_its_buffer_holds_and_allocates_nothing(void **state)
{
    (void)state;
    for (size_t buffer = 512; buffer <= 1100; buffer += 98) {
        uhttp_config config = world_config();
        config.max_connections = 1;
        world_open(&config, buffer);
        size_t limit = world_server->config.max_ws_message_length;
        CHECK(limit == world_server->pool.block_size - 132);
        open_peer = world_connect();
        open_ws = ask(open_peer, HANDSHAKE("/ws"));
        CHECK(uhttp_ws_accept(open_ws, NULL) == UHTTP_OK);
        CHECK(world_next() == NULL);
        char script[128];
        snprintf(script, sizeof script, "01\"{%zu*x}\" 89\"{125*p}\" 80\"x\" 81\"{%zu*y}\"",
                 limit - 1, limit);
        peer_forget_output(open_peer);
        says(script);
        CHECK(world_next() == open_ws && strlen(uhttp_ws_message(open_ws, NULL)) == limit);
        CHECK(world_next() == open_ws && uhttp_ws_message(open_ws, NULL)[limit - 1] == 'y');
        CHECK(world_next() == NULL);
        expect_sent("", "P\"{125*p}\"");
        snprintf(script, sizeof script, "81\"{%zu*x}\"", limit + 1);
        says(script);
        expect_close(1009, "message exceeds max_ws_message_length");
        CHECK(memory_calls == 0);
        world_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_give_one_transcript_however_their_bytes_travel),
        cmocka_unit_test(handshakes_are_judged_strictly_and_every_refusal_has_its_status),
        cmocka_unit_test(other_methods_versions_and_bodies_ask_for_no_websocket),
        cmocka_unit_test(proxy_that_is_trusted_tells_the_origin_of_the_page),
        cmocka_unit_test(request_is_readable_until_the_next_wait_and_its_answer_takes_fields),
        cmocka_unit_test(body_accepted_before_the_handshake_brings_no_event),
        cmocka_unit_test(empty_body_given_before_the_handshake_touches_no_frame),
        cmocka_unit_test(error_that_came_before_the_handshake_is_not_the_reason_of_its_end),
        cmocka_unit_test(messages_of_every_length_are_framed_in_the_shortest_form),
        cmocka_unit_test(program_cannot_send_a_malformed_message),
        cmocka_unit_test(long_message_goes_in_pieces_with_pings_but_no_other_message_between),
        cmocka_unit_test(printf_and_json_write_straight_into_a_message),
        cmocka_unit_test(slow_reader_is_told_again_and_room_for_the_end_is_kept),
        cmocka_unit_test(empty_messages_leave_the_close_frame_its_room),
        cmocka_unit_test(pong_waits_for_room_and_reading_waits_for_the_pong),
        cmocka_unit_test(broadcast_to_slow_and_quick_reaches_all_who_have_room),
        cmocka_unit_test(broadcast_holds_one_block_not_one_for_each_listener),
        cmocka_unit_test(silent_peer_is_pinged_and_given_up_if_it_stays_silent),
        cmocka_unit_test(peer_that_has_spoken_is_pinged_a_whole_interval_later),
        cmocka_unit_test(pings_can_be_set_and_switched_off),
        cmocka_unit_test(pong_that_came_while_the_program_worked_is_in_time),
        cmocka_unit_test(a_ping_there_was_no_memory_for_is_not_awaited),
        cmocka_unit_test(reader_without_progress_is_given_up_by_send_timeout),
        cmocka_unit_test(reader_that_caught_up_is_pinged_again_only_when_silent),
        cmocka_unit_test(our_close_waits_two_seconds_for_theirs),
        cmocka_unit_test(empty_frames_behind_our_close_hide_nothing),
        cmocka_unit_test(message_that_waits_for_its_turn_is_dropped_by_our_close),
        cmocka_unit_test(what_was_sent_before_our_close_may_be_read_slowly),
        cmocka_unit_test(long_message_behind_our_close_is_dropped_like_any_other),
        cmocka_unit_test(shutdown_says_1001_to_everybody_and_ends),
        cmocka_unit_test(websocket_accepted_during_shutdown_is_told_to_go),
        cmocka_unit_test(lost_connection_is_told_once_in_every_state),
        cmocka_unit_test(what_came_before_a_fin_is_heard_first),
        cmocka_unit_test(uhttp_close_drops_it_at_once_without_an_event),
        cmocka_unit_test(server_can_be_closed_in_every_state),
        cmocka_unit_test(last_event_comes_once_though_the_close_frame_cannot_be_sent),
        cmocka_unit_test(broken_protocol_is_said_to_peer_program_and_log),
        cmocka_unit_test(slot_of_a_websocket_is_used_again_only_after_its_last_event),
        cmocka_unit_test(waiting_loops_hear_the_same),
        cmocka_unit_test(every_allocation_may_fail_and_nothing_else_is_lost),
        cmocka_unit_test(idle_websocket_holds_no_buffer_on_the_heap),
        cmocka_unit_test(memory_is_taken_for_what_came_not_for_what_was_announced),
        cmocka_unit_test(message_of_64_kilobytes_is_moved_but_once),
        cmocka_unit_test(fixed_memory_takes_what_its_buffer_holds_and_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
