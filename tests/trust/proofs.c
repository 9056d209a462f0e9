/* proofs.c - claims about what decides framing, for every input up to a stated length
 *
 * Each function proof_NAME is checked by cbmc (proofs.sh): no access outside of an object, no
 * overflow, an end of every loop, and the claim above it. any_text(n) makes an object of exactly
 * the length it says, of any bytes and any length up to n, so a byte beyond it is an error.
 * Where lengths are taken one by one instead (text_of), that is the quicker way to the same.
 * The number behind "bound:" is how often a loop may run, and why that is enough; behind it
 * stand loops that run less often. "fault:" is for sed, which plants it in the header: then the
 * claim must fail (proofs.sh --faults). What a processor's vectors do is not proven.
 */
#define _GNU_SOURCE 1
#define UHTTP_IMPLEMENTATION
#include <stddef.h>
#include <stdlib.h>

static void *any_malloc(size_t size);
#define UHTTP_MALLOC(size)           any_malloc(size)
#define UHTTP_REALLOC(pointer, size) realloc(pointer, size)
#define UHTTP_FREE(pointer)          free(pointer)
#include "uhttp_server.h"

void __CPROVER_assume(_Bool truth);
void __CPROVER_assert(_Bool truth, const char *text);
size_t nondet_size(void);
uint64_t nondet_u64(void);
int64_t nondet_i64(void);
uint32_t nondet_u32(void);
uint8_t nondet_u8(void);
_Bool nondet_bool(void);

#define ASSUME(truth) __CPROVER_assume(truth)
#define CLAIM(truth)  __CPROVER_assert(truth, #truth)

static void *any_malloc(size_t size) { return nondet_bool() ? NULL : malloc(size); }

static uhttp_str text_of(size_t length)
{
    uhttp_str s;
    s.ptr = (const char *)malloc(length);       /* its bytes may be any */
    s.len = length;
    return s;
}

static uhttp_str any_text(size_t most)
{
    uhttp_str s;
    size_t length = nondet_size();
    ASSUME(length <= most);
    s.ptr = (const char *)malloc(length);       /* its bytes may be any */
    s.len = length;
    ASSUME(s.ptr != NULL);
    return s;
}

/* An accepted head has exactly one framing: never a Transfer-Encoding and a Content-Length, never
 * a Transfer-Encoding in HTTP/1.0; HTTP/1.1 has a Host.
 * fault: s/head->content_length >= 0 || head->version_minor == 0/head->version_minor == 0/
 * bound: 1, no loop. */
void proof_one_framing(void)
{
    uhttp_head head;
    uh_head_seen seen;
    memset(&head, 0, sizeof head);
    head.content_length = nondet_i64();
    head.chunked = nondet_bool();
    head.version_minor = nondet_bool() ? 1 : 0;
    head.expect_continue = nondet_bool();
    seen.host = nondet_u32();
    seen.transfer_encoding = nondet_u32();
    seen.expect_unknown = nondet_u32();
    ASSUME(head.content_length >= -1 && (!head.chunked || seen.transfer_encoding > 0));
    if (uh_head_framing(&head, &seen) != 0)
        return;
    CLAIM(!(seen.transfer_encoding > 0 && head.content_length >= 0));
    CLAIM(!(head.chunked && head.content_length >= 0));
    CLAIM(head.version_minor == 1 || seen.transfer_encoding == 0);
    CLAIM(head.version_minor == 0 || seen.host > 0);
    CLAIM(!head.expect_continue || head.chunked || head.content_length > 0);
}

/* A second Content-Length is refused, whatever its value.
 * fault: s/if (head->content_length >= 0)/if (head->content_length > 0)/
 * bound: 5, the text has 4 bytes. */
void proof_repeated_length(void)
{
    uhttp_head head;
    memset(&head, 0, sizeof head);
    head.content_length = nondet_i64();
    ASSUME(head.content_length >= 0);
    CLAIM(uh_head_content_length(&head, any_text(4)) < 0);
}

/* From any state the chunked reader can be in, it takes no more than it was given, makes no more
 * than it took and there is room for, and is again in such a state, with less than 2^60 bytes
 * left of a chunk: so also for bodies of any length, however they arrive.
 * fault: s/if (n > d->left)/if (n > d->left + 1)/
 * bound: 7, the piece has 6 bytes, the steps are proven one by one. */
void proof_chunked(void)
{
    uhttp_chunked d;
    uhttp_str in = any_text(6);
    size_t room = nondet_size();
    ASSUME(room <= 6);
    char *out = (char *)malloc(room);
    d.left = nondet_u64();
    d.data = nondet_u64();
    d.framing = nondet_u64();
    d.state = nondet_u8();
    ASSUME(out != NULL && d.state <= UH_CHUNK_DONE);
    ASSUME(d.left < (uint64_t)1 << 60 && d.data < (uint64_t)1 << 60 && d.framing < (uint64_t)1 << 62);
    ASSUME(d.state != UH_CHUNK_DATA || d.left > 0);
    ASSUME(d.state < UH_CHUNK_DATA_CR || d.left == 0);
    ASSUME(d.state != UH_CHUNK_SIZE || d.left == 0);
    uhttp_chunked before = d;
    size_t used = in.len;
    size_t made = room;
    uhttp_result result = uhttp_chunked_decode(&d, in.ptr, &used, out, &made);
    CLAIM(used <= in.len && made <= room && made <= used);
    CLAIM(d.state <= UH_CHUNK_DONE && d.left < (uint64_t)1 << 60);
    CLAIM(d.state != UH_CHUNK_DATA || d.left > 0);
    CLAIM(d.data == before.data + made && d.framing == before.framing + (used - made));
    CLAIM((result == UHTTP_OK) == (d.state == UH_CHUNK_DONE));
    if (before.state == UH_CHUNK_DONE)
        CLAIM(used == 0 && made == 0);
}

/* A frame's head is read only when it is whole, is 2 to 14 bytes long, says its length in the
 * shortest form and below 2^63; control frames are whole and short, reserved bits and opcodes
 * refused.
 * fault: s/if (control && more > 0)/if (control \&\& more > 2)/
 * bound: 9, the longest length has 8 bytes. */
void proof_frame_head(void)
{
    uhttp_str text = any_text(15);
    uhttp_ws_frame frame;
    int n = uhttp_ws_frame_parse(text, &frame);
    CLAIM(n == -1002 || (n >= 0 && (size_t)n <= text.len && n <= 14));
    if (n <= 0)
        return;
    unsigned char first = (unsigned char)text.ptr[0];
    unsigned char second = (unsigned char)text.ptr[1];
    CLAIM((first & 0x70) == 0 && frame.opcode == (first & 15));
    CLAIM(frame.opcode <= 2 || (frame.opcode >= 8 && frame.opcode <= 10));
    CLAIM(frame.opcode < 8 || (frame.fin && frame.length <= 125));
    CLAIM(frame.length <= INT64_MAX);
    CLAIM((second & 127) != 126 || frame.length >= 126);
    CLAIM((second & 127) != 127 || frame.length > 65535);
    CLAIM(n == 2 + ((second & 127) == 126 ? 2 : (second & 127) == 127 ? 8 : 0) +
                   (frame.masked ? 4 : 0));
}

/* Decoded text is never longer than it was, and of a path every escape is whole.
 * fault: s/p += 2;/p += 3;/
 * bound: 13, the text has 12 bytes; each step looks at three of them. */
void proof_percent_decode(void)
{
    uhttp_str in = any_text(12);
    char out[12];
    size_t length = 0;
    bool query = nondet_bool();
    uhttp_result result = uhttp_percent_decode(in, query, out, &length);
    CLAIM(result == UHTTP_OK || result == UHTTP_ERR_INVALID);
    if (result == UHTTP_OK)
        CLAIM(length <= in.len && (in.len == 0 || length >= in.len / 3));
    if (result == UHTTP_OK && !query && in.len > 0)
        CLAIM(in.ptr[in.len - 1] != '%');
}

/* What each byte of a character may be: the rows of RFC 3629, section 4. */
static const struct { uint8_t length, low[4], high[4]; } utf8_rows[] = {
    { 1, { 0x00 }, { 0x7F } },
    { 2, { 0xC2, 0x80 }, { 0xDF, 0xBF } },
    { 3, { 0xE0, 0xA0, 0x80 }, { 0xE0, 0xBF, 0xBF } },
    { 3, { 0xE1, 0x80, 0x80 }, { 0xEC, 0xBF, 0xBF } },
    { 3, { 0xED, 0x80, 0x80 }, { 0xED, 0x9F, 0xBF } },
    { 3, { 0xEE, 0x80, 0x80 }, { 0xEF, 0xBF, 0xBF } },
    { 4, { 0xF0, 0x90, 0x80, 0x80 }, { 0xF0, 0xBF, 0xBF, 0xBF } },
    { 4, { 0xF1, 0x80, 0x80, 0x80 }, { 0xF3, 0xBF, 0xBF, 0xBF } },
    { 4, { 0xF4, 0x80, 0x80, 0x80 }, { 0xF4, 0x8F, 0xBF, 0xBF } }
};

static uhttp_result utf8_by_rows(uhttp_str text)
{
    size_t row = 0, at = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];
        for (row = at > 0 ? row : 0; at == 0 && row < 9; row++) {
            if (c >= utf8_rows[row].low[0] && c <= utf8_rows[row].high[0])
                break;
        }
        if (row == 9 || c < utf8_rows[row].low[at] || c > utf8_rows[row].high[at])
            return UHTTP_ERR_INVALID;
        at = at + 1 < utf8_rows[row].length ? at + 1 : 0;
    }
    return at == 0 ? UHTTP_OK : UHTTP_ERR_AGAIN;
}

/* The text of this length, read up to the cut and then from there, is what the rows say. */
static void utf8_is_by_rows(size_t length, size_t cut)
{
    uhttp_str text = text_of(length);
    uint8_t state = 0;
    uhttp_result result = uhttp_utf8_check(&state, uh_text_slice(text.ptr, text.ptr + cut));
    if (result != UHTTP_ERR_INVALID)
        result = uhttp_utf8_check(&state,
                                  uh_text_slice(text.ptr + cut, text.ptr + length));
    CLAIM(result == utf8_by_rows(text));
}

/* The reader of UTF-8 accepts, refuses and asks for more exactly as a table of RFC 3629's rows
 * does: texts of up to 8 bytes, two of the longest characters; of up to 5 in two pieces, cut
 * anywhere.
 * fault: s/{ 2, 0x80, 0x9F }/{ 2, 0x80, 0xBF }/
 * bound: 11, there are ten leads and nine rows. */
void proof_utf8(void)
{
    for (size_t length = 0; length <= 8; length++)
        utf8_is_by_rows(length, 0);
    for (size_t length = 1; length <= 5; length++) {
        for (size_t cut = 1; cut < length; cut++)
            utf8_is_by_rows(length, cut);
    }
}

/* The same of 17 bytes: two words are passed over at once, if they are ASCII, with a byte
 * before or behind them.
 * fault: s/((words\[0\] | words\[1\])/((words[0] | 0)/
 * bound: 18, uhttp_utf8_check.0:2: there is room for two words once. */
void proof_utf8_words(void)
{
    utf8_is_by_rows(17, 0);
}

/* Of a pool and a buffer in any state: asked for room, it has it behind as many bytes, or nothing
 * has changed. Never beyond the limit, in fixed memory never another block than the first.
 * Blocks of 8 bytes and limits up to 24 stand for all: nothing depends on their size.
 * fault: s/if (n > b->size - uh_buf_used(b))/if (n > b->size)/
 * bound: 29, from 8 to 2^31 a size is doubled 28 times. */
void proof_buf_reserve(void)
{
    uh_pool pool;
    uh_buf b;
    memset(&pool, 0, sizeof pool);
    pool.block_size = 8;
    pool.fixed = nondet_bool();
    if (nondet_bool())
        uh_pool_give(&pool, malloc(8));
    b.limit = nondet_u32();
    b.data = NULL;
    b.head = b.tail = b.size = 0;
    ASSUME(b.limit >= 8 && b.limit <= 24);
    if (nondet_bool()) {
        b.size = nondet_bool() ? 8 : 16;
        b.head = nondet_u32();
        b.tail = nondet_u32();
        ASSUME(b.head <= b.tail && b.tail <= b.size && b.size <= b.limit);
        ASSUME(!pool.fixed || b.size == 8);
        b.data = (uint8_t *)malloc(b.size);
    }
    size_t n = nondet_size();
    uh_buf before = b;
    uint32_t used = uh_buf_used(&b);
    if (uh_buf_reserve(&pool, &b, n)) {
        CLAIM(b.data != NULL && b.head <= b.tail && b.tail <= b.size);
        CLAIM(n <= uh_buf_room(&b) && uh_buf_used(&b) == used);
        CLAIM(b.size <= b.limit && (!pool.fixed || b.size == 8));
        CLAIM(__CPROVER_OBJECT_SIZE(b.data) == b.size);
    } else {
        CLAIM(b.data == before.data && b.head == before.head && b.tail == before.tail &&
              b.size == before.size);
        CLAIM(n > before.size - used || before.data == NULL);
    }
}
