/* WebSockets over peers made of byte arrays.
 *
 *   1 cases       the groups of the Autobahn suite and more: each is replayed cut at every byte
 *                 and through every bottleneck, in both modes and both memories, and must give
 *                 one transcript
 *   2 handshake   who is accepted, and how everybody else is refused
 *   3 sending     all or nothing, in pieces, printf and JSON, room
 *   4 time        idle pings, dead peers, slow readers, closing, shutdown
 *   5 ends        FIN, RST and misuse in every state; one last event
 *   6 memory      every allocation fails once; fixed memory; idle WebSockets hold nothing
 */
#include "memory_transport.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

/*--- text that grows ------------------------------------------------------------------------*/

typedef struct text {
    char *data;
    size_t length, size;
} text;

static void text_add(text *t, const void *bytes, size_t length)
{
    if (t->length + length + 1 > t->size) {
        t->size = (t->length + length + 1) * 2;
        t->data = (char *)realloc(t->data, t->size);
        if (t->data == NULL)
            abort();
    }
    if (length > 0)
        memcpy(t->data + t->length, bytes, length);
    t->length += length;
    t->data[t->length] = '\0';
}

static void text_clear(text *t)
{
    t->length = 0;
    text_add(t, "", 0);
}

static void text_free(text *t)
{
    free(t->data);
    memset(t, 0, sizeof *t);
}

__attribute__((format(printf, 2, 3)))
static void text_print(text *t, const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    CHECK(n >= 0 && (size_t)n < sizeof line);
    text_add(t, line, (size_t)n);
}

/* Bytes as scripts write them: "{300*a}" for what repeats, "%ff" for what is not printable. */
static void text_show(text *t, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; ) {
        size_t same = 1;
        while (i + same < length && bytes[i + same] == bytes[i])
            same++;
        bool plain = bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '%';
        if (same > 8)
            text_print(t, "{%zu*", same);
        for (size_t k = 0; k < (same > 8 ? 1 : same); k++)
            text_print(t, plain ? "%c" : "%%%02x", (unsigned char)bytes[i]);
        if (same > 8)
            text_print(t, "}");
        i += same;
    }
}

/*--- frames ---------------------------------------------------------------------------------*/

static void frame_add(text *t, unsigned first, const char *payload, size_t length, char form,
                      bool masked)
{
    static uint8_t key[4] = { 0x3a, 0x91, 0x00, 0xfe };
    uint8_t head[14];
    size_t n = 2;
    unsigned more = form == 'q' || length > 0xffff ? 8 : form == 'w' || length > 125 ? 2 : 0;
    head[0] = (uint8_t)first;
    head[1] = (uint8_t)((masked ? 0x80u : 0u) | (more == 8 ? 127u : more == 2 ? 126u
                                                                    : (unsigned)length));
    for (unsigned i = more; i-- > 0; )
        head[n++] = (uint8_t)((uint64_t)length >> (8 * i));
    key[1]++;
    if (masked)
        memcpy(head + n, key, 4);
    text_add(t, head, n + (masked ? 4 : 0));
    size_t at = t->length;
    text_add(t, payload, length);
    for (size_t i = 0; i < length && masked; i++)
        t->data[at + i] = (char)((uint8_t)t->data[at + i] ^ key[i % 4]);
}

static unsigned hex_two(const char *p)
{
    char two[3] = { p[0], p[1], '\0' };
    return (unsigned)strtoul(two, NULL, 16);
}

/* Adds payload up to a quote or a brace. */
static const char *payload_add(text *t, const char *p)
{
    while (*p != '"' && *p != '}' && *p != '\0') {
        if (*p == '{') {
            text inner = { NULL, 0, 0 };
            char *star;
            unsigned long count = strtoul(p + 1, &star, 10);
            text_clear(&inner);
            p = payload_add(&inner, star + 1) + 1;
            while (count-- > 0)
                text_add(t, inner.data, inner.length);
            text_free(&inner);
        } else if (*p == '%') {
            char byte = (char)hex_two(p + 1);
            text_add(t, &byte, 1);
            p += 3;
        } else {
            text_add(t, p++, 1);
        }
    }
    return p;
}

/* A script: frames as 81"payload", masked and in the shortest form; behind the quote a 'u' leaves
 * the mask out, 'w' and 'q' take the longer forms of the length. #8180 are bytes as they are.
 * [3*...] repeats frames. */
static const char *script_add(text *t, const char *p)
{
    while (*p != '\0' && *p != ']') {
        if (*p == ' ') {
            p++;
        } else if (*p == '[') {
            char *star;
            unsigned long count = strtoul(p + 1, &star, 10);
            for (unsigned long i = 0; i < count; i++)
                p = script_add(t, star + 1);
            p++;
        } else if (*p == '#') {
            for (p++; *p != ' ' && *p != '\0' && *p != ']'; p += 2) {
                char byte = (char)hex_two(p);
                text_add(t, &byte, 1);
            }
        } else {
            text payload = { NULL, 0, 0 };
            unsigned first = hex_two(p);
            CHECK(p[2] == '"');
            text_clear(&payload);
            p = payload_add(&payload, p + 3) + 1;
            frame_add(t, first, payload.data, payload.length, *p, *p != 'u');
            if (*p == 'u' || *p == 'w' || *p == 'q')
                p++;
            text_free(&payload);
        }
    }
    return p;
}

#define HANDSHAKE(path) \
    "GET " path " HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n" \
    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static const char accepted[] =
    "HTTP/1.1 101 Switching Protocols\r\nDate: " WORLD_DATE "\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

static bool frames_reasons;     /* of close frames are read as well */

/* Reads what the server sent from at on: messages, joined, into messages, control frames into
 * controls. Whatever a client would refuse fails. */
static void frames_read(const peer *p, size_t at, text *messages, text *controls)
{
    text message = { NULL, 0, 0 };
    unsigned type = 0;
    text_clear(messages);
    text_clear(controls);
    text_clear(&message);
    while (at < p->out_length) {
        uhttp_ws_frame f;
        uhttp_str rest = { (const char *)p->out + at, p->out_length - at };
        int head = uhttp_ws_frame_parse(rest, &f);
        CHECK(head >= 0);
        if (head == 0 || f.length > p->out_length - at - (size_t)head)
            break;                          /* the end was cut off */
        const char *payload = (const char *)p->out + at + head;
        at += (size_t)head + (size_t)f.length;
        CHECK(!f.masked);
        if (f.opcode >= 8) {
            text_print(controls, "%s%c", controls->length > 0 ? " " : "",
                       f.opcode == 8 ? 'C' : f.opcode == 9 ? 'p' : 'P');
            size_t skip = 0;
            if (f.opcode == 8 && f.length > 0) {
                CHECK(f.length >= 2);
                text_print(controls, "%u", (unsigned)(uint8_t)payload[0] << 8 |
                                           (unsigned)(uint8_t)payload[1]);
                skip = 2;
            }
            text_print(controls, "\"");
            if (f.opcode != 8 || frames_reasons)
                text_show(controls, payload + skip, (size_t)f.length - skip);
            text_print(controls, "\"");
            CHECK(f.opcode != 8 || at == p->out_length);    /* nothing behind a close frame */
            continue;
        }
        CHECK((f.opcode == 0) == (type != 0));
        type = f.opcode != 0 ? f.opcode : type;
        text_add(&message, payload, (size_t)f.length);
        if (!f.fin)
            continue;
        text_print(messages, "%s%c\"", messages->length > 0 ? " " : "", type == 1 ? 'T' : 'B');
        text_show(messages, message.data, message.length);
        text_print(messages, "\"");
        if (type == 1) {
            uhttp_str whole = { message.data, message.length };
            CHECK(uhttp_utf8_valid(whole));
        }
        text_clear(&message);
        type = 0;
    }
    text_free(&message);
}

/*==============================================================================
 * 1 CASES
 *============================================================================*/

/*--- the program: sends back what it gets ---------------------------------------------------*/

#define WAITING 64

static struct echo {
    uhttp_conn *c;
    text heard;                 /* its messages, as frames_read() writes them */
    text end;                   /* the last event */
    text part;                  /* of a message in chunks */
    text waiting[WAITING];      /* to be sent: the first byte is the type, then '.', '+' or '*':
                                   a whole message, a piece, the last piece */
    size_t first, count;
    unsigned pings;
    bool refused;               /* a send had no room at least once */
    bool in_pieces;
    bool lacks_memory;
} echo;

static uhttp_result echo_send(const text *t)
{
    char kind = t->data[1];
    uhttp_ws_type type = t->data[0] == 'T' ? UHTTP_WS_TEXT : UHTTP_WS_BINARY;
    const char *data = t->data + 2;
    size_t length = t->length - 2;
    if (kind == '.')
        return uhttp_ws_send(echo.c, type, data, length);
    if (!echo.in_pieces && uhttp_ws_begin(echo.c, type) == UHTTP_OK)
        echo.in_pieces = true;
    uhttp_result result = uhttp_ws_piece(echo.c, data, length);
    if (result == UHTTP_OK && kind == '*') {
        result = uhttp_ws_end(echo.c);
        CHECK(result == UHTTP_OK || echo.lacks_memory);
        echo.in_pieces = false;
    }
    return result;
}

/* Sends what waits, as far as there is room. */
static void echo_flush(void)
{
    while (echo.c != NULL && echo.count > 0) {
        text *t = &echo.waiting[echo.first % WAITING];
        uhttp_result result = echo_send(t);
        if (result == UHTTP_ERR_AGAIN) {
            echo.refused = true;
            return;
        }
        CHECK(result == UHTTP_OK || result == UHTTP_ERR_CLOSED ||
              (result == UHTTP_ERR_MEMORY && echo.lacks_memory));
        text_free(t);
        echo.first++;
        echo.count--;
    }
}

static void echo_queue(char type, char kind, const char *data, size_t length)
{
    char head[2] = { type, kind };
    CHECK(echo.count < WAITING);
    text *t = &echo.waiting[(echo.first + echo.count++) % WAITING];
    text_clear(t);
    text_add(t, head, 2);
    text_add(t, data, length);
}

/* Pieces that any buffer holds. */
static void echo_queue_long(char type, bool last, const char *data, size_t length)
{
    do {
        size_t n = length < 300 ? length : 300;
        length -= n;
        echo_queue(type, last && length == 0 ? '*' : '+', data, n);
        data += n;
        echo_flush();
    } while (length > 0 && echo.count < WAITING - 1);
}

static void echo_message(uhttp_conn *c)
{
    size_t length = 1234567;
    const char *data = uhttp_ws_message(c, &length);
    uhttp_event_type event = uhttp_event(c);
    char type = uhttp_ws_is_text(c) ? 'T' : 'B';
    CHECK(data != NULL && data[length] == '\0');
    CHECK(length <= world_server->config.max_ws_message_length);
    if (event == UHTTP_EVENT_WS_MESSAGE) {
        text_print(&echo.heard, "%s%c\"", echo.heard.length > 0 ? " " : "", type);
        text_show(&echo.heard, data, length);
        text_print(&echo.heard, "\"");
        if (length + UH_WS_ROOM <= world_server->config.max_send_buffer)
            echo_queue(type, '.', data, length);
        else
            echo_queue_long(type, true, data, length);
        return;
    }
    CHECK(world_server->config.event_mode && length > 0);
    CHECK((event == UHTTP_EVENT_WS_CHUNK_FIRST) == (echo.part.length == 0));
    CHECK(event == UHTTP_EVENT_WS_CHUNK_LAST ||
          length == world_server->config.max_ws_message_length);
    text_add(&echo.part, data, length);
    echo_queue_long(type, event == UHTTP_EVENT_WS_CHUNK_LAST, data, length);
    if (event == UHTTP_EVENT_WS_CHUNK_LAST) {
        text_print(&echo.heard, "%s%c\"", echo.heard.length > 0 ? " " : "", type);
        text_show(&echo.heard, echo.part.data, echo.part.length);
        text_print(&echo.heard, "\"");
        text_clear(&echo.part);
    }
}

static void echo_hear(uhttp_conn *c)
{
    size_t length = 0;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_WS_REQUEST:
        CHECK((uhttp_event(c) == UHTTP_EVENT_WS_REQUEST) == world_server->config.event_mode);
        CHECK(uhttp_is_websocket_request(c) && uhttp_ws_message(c, NULL) == NULL);
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_ERR_STATE);
        uhttp_result result = uhttp_ws_accept(c, NULL);
        CHECK(result == UHTTP_OK || (echo.lacks_memory && result == UHTTP_ERR_MEMORY));
        if (result != UHTTP_OK) {
            (void)uhttp_close(c);
            return;
        }
        CHECK(strcmp(uhttp_path(c), "/ws") == 0 && uhttp_ws_is_open(c));
        echo.c = c;
        uhttp_set_context(c, &echo);
        break;
    case UHTTP_EVENT_WS_MESSAGE:
    case UHTTP_EVENT_WS_CHUNK_FIRST:
    case UHTTP_EVENT_WS_CHUNK_NEXT:
    case UHTTP_EVENT_WS_CHUNK_LAST:
        CHECK(c == echo.c && uhttp_context(c) == &echo && echo.end.length == 0);
        CHECK(strcmp(uhttp_path(c), "") == 0 && uhttp_header(c, "host") == NULL);
        CHECK(uhttp_ws_code(c) == 0);
        echo_message(c);
        break;
    case UHTTP_EVENT_WS_PING:
        CHECK(world_server->config.event_mode && uhttp_ws_message(c, &length) != NULL);
        CHECK(length <= 125 && uhttp_ws_message(c, NULL)[length] == '\0');
        echo.pings++;
        break;
    case UHTTP_EVENT_WS_CLOSE:
        CHECK(c == echo.c && uhttp_context(c) == &echo && echo.end.length == 0);
        text_print(&echo.end, "%d \"", uhttp_ws_code(c));
        const char *reason = uhttp_ws_message(c, &length);
        CHECK(reason[length] == '\0' && strlen(reason) <= length);
        text_show(&echo.end, reason, length);
        text_print(&echo.end, "\"");
        CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_ERR_CLOSED);
        echo.c = NULL;
        break;
    case UHTTP_EVENT_WRITABLE:
        CHECK(world_server->config.event_mode && echo.refused);
        break;
    case UHTTP_EVENT_NONE:
    case UHTTP_EVENT_HEADERS:
    case UHTTP_EVENT_DATA:
    case UHTTP_EVENT_COMPLETE:
    case UHTTP_EVENT_ERROR:
    case UHTTP_EVENT_CLOSED:
        FAIL("an event of a WebSocket");
        break;
    }
    echo_flush();
}

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

static void echo_begin(void)
{
    while (echo.count > 0)
        text_free(&echo.waiting[(echo.first + --echo.count) % WAITING]);
    text_free(&echo.heard);
    text_free(&echo.end);
    text_free(&echo.part);
    memset(&echo, 0, sizeof echo);
    text_clear(&echo.heard);
    text_clear(&echo.end);
    text_clear(&echo.part);
}

/*--- one way to play a case -----------------------------------------------------------------*/

#define LIMIT 700               /* of a message */

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

static text played_messages, played_controls;

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
    frames_read(p, sizeof accepted - 1, &played_messages, &played_controls);
    for (int i = 0; i < 3 && !p->closed && echo.c == NULL; i++) {
        world_sleep(UH_LINGER_MS);
        echo_run();
    }
    CHECK(echo.c != NULL || p->closed);
    world_close();
}

/*--- the cases ------------------------------------------------------------------------------*/

/* messages: what the program hears, and sends back. controls: what else the server sends; a
 * close frame of an error without its reason. end: the last event; NULL: the WebSocket lives on,
 * and a FIN ends it with 1006. plain: when what happens outside event mode differs. */
typedef struct ws_case {
    const char *name, *in, *messages, *controls, *end;
    const char *plain_controls;     /* NULL: no different; else the message before is not heard */
} ws_case;

#define ALL_UTF8 "Hello-%c2%b5@%c3%9f%c3%b6%c3%a4%c3%bc%c3%a0%c3%a1-UTF-8!!"

static const ws_case cases[] = {
    /* 1 framing */
    { "an empty text", "81\"\"", "T\"\"", "", NULL, NULL },
    { "text of 125", "81\"{125*a}\"", "T\"{125*a}\"", "", NULL, NULL },
    { "text of 126", "81\"{126*a}\"", "T\"{126*a}\"", "", NULL, NULL },
    { "text of 127", "81\"{127*a}\"", "T\"{127*a}\"", "", NULL, NULL },
    { "text of 128", "81\"{128*a}\"", "T\"{128*a}\"", "", NULL, NULL },
    { "text of the limit", "81\"{700*a}\"", "T\"{700*a}\"", "", NULL, NULL },
    { "text beyond the limit", "81\"{701*a}\" 81\"b\"", "T\"{701*a}\" T\"b\"", "", NULL,
      "C1009\"\"" },
    { "text far beyond the limit", "81\"{3000*a}\" 81\"b\"", "T\"{3000*a}\" T\"b\"", "", NULL,
      "C1009\"\"" },
    { "an empty binary", "82\"\"", "B\"\"", "", NULL, NULL },
    { "binary", "82\"%00%ff%fe{126*%7f}\"", "B\"%00%ff%fe{126*%7f}\"", "", NULL, NULL },
    { "binary beyond the limit", "82\"{1400*%ff}\" 82\"b\"", "B\"{1400*%ff}\" B\"b\"", "", NULL,
      "C1009\"\"" },
    { "text with a NUL", "81\"a%00b\"", "T\"a%00b\"", "", NULL, NULL },
    { "messages in a row", "[20*81\"abc\"] 82\"d\" 81\"\" 81\"e\"",
      "T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" "
      "T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" T\"abc\" "
      "B\"d\" T\"\" T\"e\"", "", NULL, NULL },
    { "long messages in a row", "[5*81\"{300*a}\"] 82\"{600*b}\" 81\"c\"",
      "T\"{300*a}\" T\"{300*a}\" T\"{300*a}\" T\"{300*a}\" T\"{300*a}\" B\"{600*b}\" T\"c\"", "",
      NULL, NULL },
    { "a length not in its shortest form", "81\"abc\"w", "", "C1002\"\"", "1002", NULL },
    { "nor this", "81\"{130*a}\"q", "", "C1002\"\"", "1002", NULL },
    { "a length of 2^63", "#81ff8000000000000000", "", "C1002\"\"", "1002", NULL },
    { "a length of 2^63 - 1", "#82ff7fffffffffffffff01020304", "", "", NULL, "C1009\"\"" },
    { "no mask", "81\"abc\" 81\"abc\"u", "T\"abc\"", "C1002\"\"", "1002", NULL },
    { "a ping without a mask", "89\"\"u", "", "C1002\"\"", "1002", NULL },
    /* 2 pings and pongs */
    { "a ping", "89\"\"", "", "P\"\"", NULL, NULL },
    { "a ping with payload", "89\"Hello, world!\"", "", "P\"Hello, world!\"", NULL, NULL },
    { "a binary ping", "89\"%00%ff%fe%fd%fc%fb%00%ff\"", "",
      "P\"%00%ff%fe%fd%fc%fb%00%ff\"", NULL, NULL },
    { "a ping of 125", "89\"{125*%fe}\"", "", "P\"{125*%fe}\"", NULL, NULL },
    { "a ping of 126", "89\"{126*%fe}\"", "", "C1002\"\"", "1002", NULL },
    { "pongs nobody asked for", "8a\"\" 8a\"unsolicited\" 89\"now\" 8a\"{125*x}\"", "",
      "P\"now\"", NULL, NULL },
    { "pings in a row", "[10*89\"%01p\"]", "",
      "P\"%01p\" P\"%01p\" P\"%01p\" P\"%01p\" P\"%01p\" P\"%01p\" P\"%01p\" P\"%01p\" P\"%01p\" "
      "P\"%01p\"", NULL, NULL },
    /* 3 reserved bits */
    { "RSV3", "91\"small\"", "", "C1002\"\"", "1002", NULL },
    { "RSV2", "81\"small\" a1\"x\" 89\"\"", "T\"small\"", "C1002\"\"", "1002", NULL },
    { "RSV1", "81\"small\" c1\"x\" 89\"\"", "T\"small\"", "C1002\"\"", "1002", NULL },
    { "RSV1 on a ping", "c9\"x\"", "", "C1002\"\"", "1002", NULL },
    { "all of them on a close frame", "f8\"%03%e8\"", "", "C1002\"\"", "1002", NULL },
    /* 4 opcodes */
    { "opcode 3", "83\"\"", "", "C1002\"\"", "1002", NULL },
    { "opcode 4", "84\"x\"", "", "C1002\"\"", "1002", NULL },
    { "opcode 5", "81\"a\" 85\"\" 89\"\"", "T\"a\"", "C1002\"\"", "1002", NULL },
    { "opcode 6", "81\"a\" 86\"x\" 89\"\"", "T\"a\"", "C1002\"\"", "1002", NULL },
    { "opcode 7", "07\"x\"", "", "C1002\"\"", "1002", NULL },
    { "opcode 11", "8b\"\"", "", "C1002\"\"", "1002", NULL },
    { "opcode 12", "8c\"x\"", "", "C1002\"\"", "1002", NULL },
    { "opcode 13", "81\"a\" 8d\"\" 89\"\"", "T\"a\"", "C1002\"\"", "1002", NULL },
    { "opcode 14", "81\"a\" 8e\"x\"", "T\"a\"", "C1002\"\"", "1002", NULL },
    { "opcode 15", "8f\"x\"", "", "C1002\"\"", "1002", NULL },
    /* 5 fragments */
    { "a ping in fragments", "09\"a\" 80\"b\"", "", "C1002\"\"", "1002", NULL },
    { "a pong in fragments", "0a\"a\" 80\"b\"", "", "C1002\"\"", "1002", NULL },
    { "a close frame in fragments", "08\"%03%e8\"", "", "C1002\"\"", "1002", NULL },
    { "a message in two fragments", "01\"frag1\" 80\"frag2\"", "T\"frag1frag2\"", "", NULL, NULL },
    { "a ping between fragments", "01\"frag1\" 89\"ping\" 80\"frag2\"", "T\"frag1frag2\"",
      "P\"ping\"", NULL, NULL },
    { "many fragments, with pings", "01\"f1\" 00\"f2\" 89\"a\" 00\"f3\" 00\"f4\" 89\"b\" 80\"f5\"",
      "T\"f1f2f3f4f5\"", "P\"a\" P\"b\"", NULL, NULL },
    { "the longest ping within the longest message", "01\"{699*a}\" 89\"{125*p}\" 80\"b\"",
      "T\"{699*a}b\"", "P\"{125*p}\"", NULL, NULL },
    { "a continuation of nothing", "80\"x\" 81\"y\"", "", "C1002\"\"", "1002", NULL },
    { "an unfinished continuation of nothing", "00\"x\" 81\"y\"", "", "C1002\"\"", "1002", NULL },
    { "a continuation behind a whole message", "81\"a\" 80\"x\"", "T\"a\"", "C1002\"\"", "1002",
      NULL },
    { "a message within a message", "01\"a\" 81\"b\"", "", "C1002\"\"", "1002", NULL },
    { "the same, unfinished", "01\"a\" 00\"b\" 02\"c\"", "", "C1002\"\"", "1002", NULL },
    { "empty fragments", "01\"\" 00\"\" 80\"\"", "T\"\"", "", NULL, NULL },
    { "empty fragments around one", "01\"\" 00\"middle\" 80\"\"", "T\"middle\"", "", NULL, NULL },
    { "one-byte fragments", "02\"a\" [150*00\"b\"] 80\"c\"", "B\"a{150*b}c\"", "", NULL, NULL },
    { "fragments up to the limit", "01\"{350*a}\" 00\"{350*a}\" 80\"\"", "T\"{700*a}\"", "", NULL,
      NULL },
    { "fragments beyond the limit", "01\"{350*a}\" 00\"{350*a}\" 80\"b\" 81\"c\"",
      "T\"{700*a}b\" T\"c\"", "", NULL, "C1009\"\"" },
    { "fragments of twice the limit", "02\"{700*a}\" 00\"{350*b}\" 89\"p\" 80\"{350*b}\"",
      "B\"{700*a}{700*b}\"", "P\"p\"", NULL, "C1009\"\"" },
    /* 6 UTF-8 */
    { "UTF-8", "81\"" ALL_UTF8 "\"", "T\"" ALL_UTF8 "\"", "", NULL, NULL },
    { "UTF-8 in two fragments", "01\"Hello-%c2%b5@%c3%9f%c3\" 80\"%b6-UTF-8\"",
      "T\"Hello-%c2%b5@%c3%9f%c3%b6-UTF-8\"", "", NULL, NULL },
    { "UTF-8 byte by byte", "01\"%f0\" 00\"%9f\" 00\"%98\" 00\"%80\" 00\"\" 80\"%c3%a4\"",
      "T\"%f0%9f%98%80%c3%a4\"", "", NULL, NULL },
    { "UTF-8 across the limit", "81\"{699*a}%c3%a4b\" 81\"c\"", "T\"{699*a}%c3%a4b\" T\"c\"", "",
      NULL, "C1009\"\"" },
    { "invalid UTF-8", "81\"%ce%ba%e1%bd%b9%cf%83%ce%bc%ce%b5%ed%a0%80edited\"", "", "C1007\"\"",
      "1007", NULL },
    { "invalid UTF-8 fails before its message ends", "01\"ab%f4%90%80%80\"", "", "C1007\"\"",
      "1007", NULL },
    { "at its first byte", "#81850102030401c0", "", "", NULL, NULL },   /* valid so far */
    { "also within a frame", "#818501020304fd", "", "C1007\"\"", "1007", NULL },
    { "a character cut off", "81\"abc%e2%82\" 81\"x\"", "", "C1007\"\"", "1007", NULL },
    { "cut off by an empty fragment", "01\"abc%e2%82\" 80\"\"", "", "C1007\"\"", "1007", NULL },
    { "overlong", "81\"%c0%af\"", "", "C1007\"\"", "1007", NULL },
    { "a surrogate", "81\"%ed%a0%80\"", "", "C1007\"\"", "1007", NULL },
    { "beyond Unicode", "81\"%f5%80%80%80\"", "", "C1007\"\"", "1007", NULL },
    { "anything in a binary", "82\"%ed%a0%80%c0%af%ff\"", "B\"%ed%a0%80%c0%af%ff\"", "", NULL,
      NULL },
    { "anything in a ping", "89\"%ed%a0%80\"", "", "P\"%ed%a0%80\"", NULL, NULL },
    /* 7 the end */
    { "close", "81\"a\" 88\"%03%e8\"", "T\"a\"", "C1000\"\"", "1000 \"\"", NULL },
    { "close without a code", "88\"\"", "", "C\"\"", "1005 \"\"", NULL },
    { "close with a reason", "88\"%03%e8bye\"", "", "C1000\"\"", "1000 \"bye\"", NULL },
    { "close with the longest reason", "88\"%03%e8{123*r}\"", "", "C1000\"\"",
      "1000 \"{123*r}\"", NULL },
    { "close too long", "88\"%03%e8{124*r}\"", "", "C1002\"\"", "1002", NULL },
    { "close of one byte", "88\"%03\"", "", "C1002\"\"", "1002", NULL },
    { "close with a reason that is not UTF-8", "88\"%03%e8%ed%a0%80\"", "", "C1007\"\"", "1007",
      NULL },
    { "close twice", "88\"%03%e8\" 88\"%03%e8\"", "", "C1000\"\"", "1000 \"\"", NULL },
    { "frames behind close", "88\"%03%e8\" 81\"x\" 89\"\" #ffffff", "", "C1000\"\"", "1000 \"\"",
      NULL },
    { "close within a message", "01\"a\" 88\"%03%e9\"", "", "C1001\"\"", "1001 \"\"", NULL },
#define GOOD_CODE(number, bytes) \
    { "code " number, "88\"" bytes "x\"", "", "C" number "\"\"", number " \"x\"", NULL }
#define BAD_CODE(number, bytes) \
    { "code " number, "88\"" bytes "x\"", "", "C1002\"\"", "1002", NULL }
    GOOD_CODE("1001", "%03%e9"), GOOD_CODE("1002", "%03%ea"), GOOD_CODE("1003", "%03%eb"),
    GOOD_CODE("1007", "%03%ef"), GOOD_CODE("1008", "%03%f0"), GOOD_CODE("1009", "%03%f1"),
    GOOD_CODE("1010", "%03%f2"), GOOD_CODE("1011", "%03%f3"), GOOD_CODE("1014", "%03%f6"),
    GOOD_CODE("3000", "%0b%b8"), GOOD_CODE("3999", "%0f%9f"), GOOD_CODE("4000", "%0f%a0"),
    GOOD_CODE("4999", "%13%87"),
    BAD_CODE("0", "%00%00"), BAD_CODE("999", "%03%e7"), BAD_CODE("1004", "%03%ec"),
    BAD_CODE("1005", "%03%ed"), BAD_CODE("1006", "%03%ee"), BAD_CODE("1015", "%03%f7"),
    BAD_CODE("1016", "%03%f8"), BAD_CODE("1100", "%04%4c"), BAD_CODE("2000", "%07%d0"),
    BAD_CODE("2999", "%0b%b7"), BAD_CODE("5000", "%13%88"), BAD_CODE("65535", "%ff%ff"),
};

static const char *case_controls(const ws_case *t, bool event_mode)
{
    return !event_mode && t->plain_controls != NULL ? t->plain_controls : t->controls;
}

/* Whole, the transcript is what is written down; however else the bytes travel, it is the same. */
static void case_check(const ws_case *t, const way *w)
{
    bool differs = !w->event_mode && t->plain_controls != NULL;
    const char *controls = case_controls(t, w->event_mode);
    const char *messages = differs ? "" : t->messages;
    const char *end = differs ? "1009" : t->end != NULL ? t->end : w->fin ? "1006" : "";
    size_t length = strlen(end);
    if (strcmp(echo.heard.data, messages) != 0) {
        fprintf(stderr, "heard  %s\nwanted %s\n", echo.heard.data, messages);
        FAIL("the program hears the messages");
    }
    if (strncmp(echo.end.data, end, length) != 0 || (length == 0) != (echo.end.length == 0)) {
        fprintf(stderr, "end    %s\nwanted %s\n", echo.end.data, end);
        FAIL("the last event");
    }
    if (strcmp(played_controls.data, controls) != 0 && !(echo.refused && t->end == NULL)) {
        fprintf(stderr, "control %s\nwanted  %s\n", played_controls.data, controls);
        FAIL("pongs and the close frame");
    }
    if (echo.refused ? strncmp(messages, played_messages.data, played_messages.length) != 0
                     : strcmp(messages, played_messages.data) != 0) {
        fprintf(stderr, "sent   %s\nwanted %s\n", played_messages.data, messages);
        FAIL("messages come back");
    }
}

static void case_play(const ws_case *t, const text *in, way w)
{
    snprintf(world_what, sizeof world_what,
             "%s, %s, buffer %zu, cut %zu, bite %zu, gulp %zu, record %zu, stalls %u%s, "
             "trickle %zu%s", t->name, w.event_mode ? "events" : "plain", w.buffer, w.cut,
             w.bite, w.gulp, w.record, w.stalls, w.crossed ? " crossed" : "", w.trickle,
             w.fin ? ", FIN" : "");
    play(in, &w);
    case_check(t, &w);
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
    frames_read(open_peer, 0, &played_messages, &played_controls);
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
        frames_read(open_peer, 0, &played_messages, &played_controls);
        CHECK(strcmp(played_controls.data, "C1000\"\"") == 0);
        CHECK(open_peer->out_length > 1000);
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
        frames_read(open_peer, 0, &played_messages, &played_controls);
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
        cmocka_unit_test(messages_of_every_length_are_framed_in_the_shortest_form),
        cmocka_unit_test(program_cannot_send_a_malformed_message),
        cmocka_unit_test(long_message_goes_in_pieces_with_pings_but_no_other_message_between),
        cmocka_unit_test(printf_and_json_write_straight_into_a_message),
        cmocka_unit_test(slow_reader_is_told_again_and_room_for_the_end_is_kept),
        cmocka_unit_test(pong_waits_for_room_and_reading_waits_for_the_pong),
        cmocka_unit_test(broadcast_to_slow_and_quick_reaches_all_who_have_room),
        cmocka_unit_test(broadcast_holds_one_block_not_one_for_each_listener),
        cmocka_unit_test(silent_peer_is_pinged_and_given_up_if_it_stays_silent),
        cmocka_unit_test(pings_can_be_set_and_switched_off),
        cmocka_unit_test(reader_without_progress_is_given_up_by_send_timeout),
        cmocka_unit_test(reader_that_caught_up_is_pinged_again_only_when_silent),
        cmocka_unit_test(our_close_waits_two_seconds_for_theirs),
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
