/* The frame reader, for any bytes a client sends behind its handshake:
 *
 *   - the program hears the same messages and the same end whether the bytes come whole or cut
 *     anywhere, in both modes, on the heap and in fixed memory;
 *   - what it hears as text is UTF-8, every message fits its limit and ends with NUL;
 *   - what the server sends is a sequence of whole, unmasked frames, and nothing follows a close
 *     frame; the last event comes exactly once;
 *   - the head of a frame is read the same however much of it is there.
 *
 * The first byte says how the rest is cut; see memory_transport.h for what is checked besides. */
#include "memory_transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 300

static const char handshake[] =
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/* All that was heard: of each message its type and length, its bytes; then the end. */
typedef struct heard {
    uint64_t hash;
    unsigned messages;
    int code;
} heard;

static uint64_t hash_add(uint64_t hash, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    return hash;
}

static void hear(uhttp_conn *c, heard *h, uint8_t *utf8)
{
    size_t length;
    uhttp_event_type event = uhttp_event(c);
    const char *text = uhttp_ws_message(c, &length);
    CHECK(h->code == 0);
    if (event == UHTTP_EVENT_REQUEST || event == UHTTP_EVENT_WS_REQUEST) {
        CHECK(uhttp_ws_accept(c, NULL) == UHTTP_OK);
        return;
    }
    CHECK(text != NULL && text[length] == '\0');
    if (event == UHTTP_EVENT_WS_CLOSE) {
        h->code = uhttp_ws_code(c);
        CHECK(h->code >= 1000 && h->code < 5000);
        return;
    }
    if (event == UHTTP_EVENT_WS_PING)
        return;
    bool first = event == UHTTP_EVENT_WS_MESSAGE || event == UHTTP_EVENT_WS_CHUNK_FIRST;
    bool last = event == UHTTP_EVENT_WS_MESSAGE || event == UHTTP_EVENT_WS_CHUNK_LAST;
    CHECK(length <= LIMIT && (last || length == LIMIT));
    if (first)
        *utf8 = 0;
    if (uhttp_ws_is_text(c)) {
        uhttp_str piece = { text, length };
        uhttp_result result = uhttp_utf8_check(utf8, piece);
        CHECK(result == UHTTP_OK || (result == UHTTP_ERR_AGAIN && !last));
    }
    h->hash = hash_add(h->hash, text, length);
    if (last) {
        h->messages++;
        h->hash = hash_add(h->hash, uhttp_ws_is_text(c) ? "T" : "B", 1);
        CHECK(uhttp_ws_send(c, UHTTP_WS_BINARY, text, length) != UHTTP_ERR_INVALID);
    }
}

static void check_sent(const peer *p)
{
    const uint8_t *end = (const uint8_t *)memchr(p->out, '\n', p->out_length);
    while (end != NULL && memcmp(end - 3, "\r\n\r\n", 4) != 0)
        end = (const uint8_t *)memchr(end + 1, '\n', p->out_length - (size_t)(end + 1 - p->out));
    CHECK(end != NULL);
    size_t at = (size_t)(end + 1 - p->out);
    bool over = false;
    while (at < p->out_length) {
        uhttp_ws_frame f;
        uhttp_str rest = { (const char *)p->out + at, p->out_length - at };
        int head = uhttp_ws_frame_parse(rest, &f);
        CHECK(head > 0 && !f.masked && !over && f.length <= rest.len - (size_t)head);
        over = f.opcode == 8;
        at += (size_t)head + (size_t)f.length;
    }
}

static heard play(const uint8_t *data, size_t size, bool event_mode, size_t buffer, size_t step)
{
    heard h;
    uint8_t utf8 = 0;
    uhttp_conn *c;
    uhttp_config config = world_config();
    memset(&h, 0, sizeof h);
    config.event_mode = event_mode;
    config.max_ws_message_length = LIMIT;
    world_open(&config, buffer);
    peer *p = world_connect();
    peer_will_say(p, handshake);
    peer_will_say_bytes(p, data, size);
    while (p->arrived < p->in_length && !p->closed) {
        p->arrived += peer_least(step, p->in_length - p->arrived);
        while ((c = world_next()) != NULL)
            hear(c, &h, &utf8);
    }
    p->fin = true;
    while ((c = world_next()) != NULL)
        hear(c, &h, &utf8);
    world_sleep(UH_LINGER_MS);
    while ((c = world_next()) != NULL)
        hear(c, &h, &utf8);
    CHECK(h.code != 0 && p->closed);
    check_sent(p);
    world_close();
    return h;
}

/* A reader that has less of a head says the same, or that it is not there yet. */
static void check_head(const uint8_t *data, size_t size)
{
    uhttp_ws_frame whole, part;
    uhttp_str text = { (const char *)data, size };
    int result = uhttp_ws_frame_parse(text, &whole);
    CHECK(result == 0 || result == -1002 || (result >= 2 && result <= 14 && (size_t)result <= size));
    for (text.len = 0; text.len < size && text.len < 15; text.len++) {
        int early = uhttp_ws_frame_parse(text, &part);
        CHECK(early == 0 || (early == result && (early < 0 || (size_t)early <= text.len)));
        CHECK(early > 0 || result < 0 || result == 0 || text.len < (size_t)result);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    size_t step = data[0] == 0 ? SIZE_MAX : data[0];
    check_head(data + 1, size - 1);
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        heard whole = play(data + 1, size - 1, event_mode == 1, 0, SIZE_MAX);
        heard cut = play(data + 1, size - 1, event_mode == 1, 600, step);
        CHECK(whole.messages == cut.messages && whole.hash == cut.hash);
        CHECK(whole.code == cut.code);
    }
    return 0;
}
