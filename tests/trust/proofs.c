/* proofs.c - claims about what decides framing, for every input up to a stated length
 *
 * Each function proof_NAME is checked by cbmc (proofs.sh): no access outside of an object, no
 * overflow, an end of every loop, and the claim above it. any_text(n) makes an object of exactly
 * the length it says, of any bytes and any length up to n, so a byte beyond it is an error.
 * The number behind "bound:" is how often a loop may run, and why that is enough.
 */
#define _GNU_SOURCE 1
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <stdlib.h>

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
 * a Transfer-Encoding in HTTP/1.0; HTTP/1.1 has a Host. bound: 1, no loop. */
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

/* A second Content-Length is refused, whatever its value. bound: 5, the text has 4 bytes. */
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
 * left of a chunk: so also for bodies of any length, however they arrive. bound: 7, the piece
 * has 6 bytes, the steps are proven one by one. */
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
 * refused. bound: 9, the longest length has 8 bytes. */
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

/* Decoded text is never longer than it was, and of a path every escape is whole. bound: 13, the
 * text has 12 bytes; each step looks at three of them. */
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
