/* websocket_cases.h - what a WebSocket hears and says: the groups of the Autobahn suite, and more
 *
 * A case is a script of frames and what must come of it: what the program hears, its last event,
 * and what the server sends. The program here sends back what it gets. Who plays the cases brings
 * the bytes to it: test_websocket.c over memory, in every cut; test_server_websocket.c over
 * sockets. CHECK() and FAIL() are theirs, and the implementation of the header stands before.
 */
#ifndef WEBSOCKET_CASES_H
#define WEBSOCKET_CASES_H

#include "growing_text.h"

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

static bool frames_reasons;     /* of close frames are read as well */

/* Reads the frames a server sent: messages, joined, into messages, control frames into controls.
 * Whatever a client would refuse fails. */
static void frames_read(const void *sent, size_t sent_length, text *messages, text *controls)
{
    const char *p = (const char *)sent;
    const char *end = p + sent_length;
    text message = { NULL, 0, 0 };
    unsigned type = 0;
    text_clear(messages);
    text_clear(controls);
    text_clear(&message);
    while (p < end) {
        uhttp_ws_frame f;
        uhttp_str rest = { p, (size_t)(end - p) };
        int head = uhttp_ws_frame_parse(rest, &f);
        CHECK(head >= 0);
        if (head == 0 || f.length > rest.len - (size_t)head)
            break;                          /* the end was cut off */
        const char *payload = p + head;
        p = payload + f.length;
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
            CHECK(f.opcode != 8 || p == end);   /* nothing behind a close frame */
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
    CHECK(length <= c->server->config.max_ws_message_length);
    if (event == UHTTP_EVENT_WS_MESSAGE) {
        text_print(&echo.heard, "%s%c\"", echo.heard.length > 0 ? " " : "", type);
        text_show(&echo.heard, data, length);
        text_print(&echo.heard, "\"");
        if (length + UH_WS_ROOM <= c->server->config.max_send_buffer)
            echo_queue(type, '.', data, length);
        else
            echo_queue_long(type, true, data, length);
        return;
    }
    CHECK(c->server->config.event_mode && length > 0);
    CHECK((event == UHTTP_EVENT_WS_CHUNK_FIRST) == (echo.part.length == 0));
    CHECK(event == UHTTP_EVENT_WS_CHUNK_LAST ||
          length == c->server->config.max_ws_message_length);
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
        CHECK((uhttp_event(c) == UHTTP_EVENT_WS_REQUEST) == c->server->config.event_mode);
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
        CHECK(c->server->config.event_mode && uhttp_ws_message(c, &length) != NULL);
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
        CHECK(c->server->config.event_mode && echo.refused);
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

#define LIMIT 700               /* of a message, in every server that plays them */

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

static text played_messages, played_controls;

/* Whole, the transcript is what is written down; however else the bytes travel, it is the same. */
static void case_check(const ws_case *t, bool event_mode, bool fin)
{
    bool differs = !event_mode && t->plain_controls != NULL;
    const char *controls = case_controls(t, event_mode);
    const char *messages = differs ? "" : t->messages;
    const char *end = differs ? "1009" : t->end != NULL ? t->end : fin ? "1006" : "";
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

#endif
