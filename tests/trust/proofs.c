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

void __CPROVER_assume(_Bool truth);
void __CPROVER_assert(_Bool truth, const char *text);

static void *any_malloc(size_t size);
#define UHTTP_MALLOC(size)           any_malloc(size)
#define UHTTP_REALLOC(pointer, size) realloc(pointer, size)
#define UHTTP_FREE(pointer)          free(pointer)
#define UHTTP_ASSERT(truth) __CPROVER_assert(truth, #truth)
#include "uhttp_server.h"

size_t nondet_size(void);
uint64_t nondet_u64(void);
int64_t nondet_i64(void);
uint32_t nondet_u32(void);
uint8_t nondet_u8(void);
_Bool nondet_bool(void);

#define ASSUME(truth) __CPROVER_assume(truth)
#define CLAIM(truth)  __CPROVER_assert(truth, #truth)

static void *any_malloc(size_t size) { return nondet_bool() ? NULL : malloc(size); }

/* cbmc knows what all others of C's functions do that are used here. */
void *memchr(const void *memory, int c, size_t length)
{
    const unsigned char *p = (const unsigned char *)memory;
    for (size_t i = 0; i < length; i++) {
        if (p[i] == (unsigned char)c)
            return (void *)(uintptr_t)(p + i);
    }
    return NULL;
}

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

/* The letters of a token: RFC 9110 section 5.6.2 */
static bool is_tchar(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '^' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c >= '#' && c <= '\'') || c == '!' || c == '*' || c == '+' || c == '-' ||
           c == '.' || c == '|' || c == '~';
}

static bool is_control(char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; }
static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static size_t tchars(uhttp_str text)
{
    size_t n = 0;
    while (n < text.len && is_tchar(text.ptr[n]))
        n++;
    return n;
}

/* A field line is read if and only if it is a token, a colon right behind it and a value without
 * control characters but the tab, then CRLF; the value is handed out without the blanks around.
 * fault: s/u == 0x7f;/u == 0x7e;/
 * bound: 7, the text has 6 bytes. */
void proof_field_line(void)
{
    uhttp_str text = any_text(6);
    uhttp_str name, value;
    ASSUME(text.len > 0);
    const char *end = text.ptr + text.len;
    const char *next = uh_head_field_line(text.ptr, end, &name, &value);
    size_t n = tchars(text);
    size_t at = n;
    while (at < text.len && !is_control(text.ptr[at]))
        at++;
    bool good = n > 0 && n < text.len && text.ptr[n] == ':' && text.len - at >= 2 &&
                text.ptr[at] == '\r' && text.ptr[at + 1] == '\n';
    CLAIM((next != NULL) == good);
    if (next == NULL)
        return;
    CLAIM(next == text.ptr + at + 2 && name.ptr == text.ptr && name.len == n);
    CLAIM(value.ptr > text.ptr + n && value.ptr + value.len <= text.ptr + at);
    for (size_t i = n + 1; i < at; i++)
        CLAIM(is_blank(text.ptr[i]) || (text.ptr + i >= value.ptr &&
                                        text.ptr + i < value.ptr + value.len));
    CLAIM(value.len == 0 || !(is_blank(value.ptr[0]) || is_blank(value.ptr[value.len - 1])));
}

/* The digits of a number, then up to so many bytes. */
static uhttp_str any_text_behind(const char *digits, size_t most)
{
    char *text = (char *)malloc(24);
    size_t length = nondet_size();
    ASSUME(length <= most);
    return uh_text_slice(text, uh_text_puts(text, digits) + length);
}

/* The number a text of digits is; false: it is none. */
static bool number_of(uhttp_str text, unsigned __int128 *number)
{
    bool digits = text.len > 0;
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        digits = digits && text.ptr[i] >= '0' && text.ptr[i] <= '9';
        *number = *number * 10 + (unsigned)(text.ptr[i] & 15);
    }
    return digits;
}

static void decimal_is_right(uhttp_str text)
{
    unsigned __int128 number;
    int64_t value = -1;
    bool digits = number_of(text, &number);
    uh_number result = uh_text_decimal(text, &value);
    CLAIM((result == UH_NUMBER_BAD) == !digits);
    CLAIM((result == UH_NUMBER_OK) == (digits && number <= INT64_MAX));
    CLAIM(result != UH_NUMBER_OK || (value >= 0 && (uint64_t)value == (uint64_t)number));
}

/* A text of digits alone is read as the number it is, if that is below 2^63, and any other is
 * refused.
 * fault: s/n >= (uint64_t)1 << 60/n >= (uint64_t)1 << 62/
 * bound: 22, up to four bytes, and up to five behind the first 15 or 16 digits of 2^63 and of 2^65,
 * which would wrap to a small number. */
void proof_decimal(void)
{
    decimal_is_right(any_text(4));
    decimal_is_right(any_text_behind("922337203685477", 5));
    decimal_is_right(any_text_behind("3689348814741910", 4));
}

/* The end of a head is the first empty line, and it never comes if an LF without CR does: also
 * if the search goes on where an earlier one, of fewer bytes, has ended.
 * fault: s/if (lf == text || lf\[-1\] != '.r')/if (lf == text)/
 * bound: 9, the text has 8 bytes. */
void proof_head_end(void)
{
    uhttp_str text = any_text(8);
    const char *end = text.ptr + text.len;
    size_t empty = 0;       /* where the first empty line ends */
    bool bare = false;
    for (size_t i = 0; i < text.len && empty == 0 && !bare; i++) {
        if (text.ptr[i] != '\n')
            continue;
        bare = i == 0 || text.ptr[i - 1] != '\r';
        if (i >= 3 && text.ptr[i - 2] == '\n' && !bare)
            empty = i + 1;
    }
    const char *found = uh_head_find_end(text.ptr, text.ptr, end);
    CLAIM(found == (bare ? text.ptr : empty > 0 ? text.ptr + empty : NULL));
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

static void saturated_is_right(uhttp_str text)
{
    unsigned __int128 number;
    uint64_t value = 0;
    bool digits = number_of(text, &number);
    CLAIM(uh_text_saturated(text, &value) == digits);
    CLAIM(!digits || value == (number > UINT64_MAX ? UINT64_MAX : (uint64_t)number));
}

/* Digits alone are read as the number they are, or as the largest one of 64 bits.
 * fault: s/n > (UINT64_MAX - digit) \/ 10/n > UINT64_MAX \/ 10/
 * bound: 22, up to three bytes, and up to four behind the first 17 digits of 2^64. */
void proof_saturated(void)
{
    saturated_is_right(any_text(3));
    saturated_is_right(any_text_behind("18446744073709551", 4));
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

/* So many bytes as UHTTP_MEMORY_SIZE says, wherever they begin, have room for the server, so many
 * slots and twice so many buffers of at least the size that was asked for, with 24 more for
 * each trusted network.
 * fault: s/UHTTP_MEMORY_SLOT + 2u \* (((size_t)(buffer)/UHTTP_MEMORY_SLOT + 1u * (((size_t)(buffer)/
 * bound: 9, up to 8 slots; buffers of up to 1 MiB, up to 8 networks: all of it is linear. */
void proof_memory_size(void)
{
    const size_t buffer = nondet_u32();
    uint32_t networks = nondet_u32();
    size_t skip = nondet_size();
    ASSUME(buffer >= UH_BUFFER_MIN && buffer <= 1 << 20 && networks <= 8 && skip < 16);
    for (uint32_t n = 1; n <= 8; n++) {
        size_t have = UHTTP_MEMORY_SIZE(n, buffer) + 24 * networks - skip;
        CLAIM(uh_server_size(n, networks) + 2 * n * ((buffer + 7) & ~(size_t)7) <= have);
    }
}

enum { SLOTS = 3 };
static uhttp_server hall;
static uhttp_conn slot_a, slot_b, slot_c;   /* apart: a pointer beside one is an error */
static uhttp_conn *const slots[SLOTS] = { &slot_a, &slot_b, &slot_c };

static bool is_alive(const uhttp_conn *c) { return c->state != UH_FREE && c->state != UH_CLOSED; }

static void prepend(uhttp_conn **list, uhttp_conn *c)
{
    c->aside = *list;
    *list = c;
}

/* A slot in any state, in the list that belongs to it. */
static void place_aside(uhttp_conn *c)
{
    c->aside = c;                       /* in no list, who follows this never ends */
    c->state = nondet_u8();
    ASSUME(c->state < UH_STATE_COUNT);
    hall.counts[c->state]++;
    c->told = c->state != UH_FREE && nondet_bool();
    c->set_aside = c->state != UH_FREE && nondet_bool();
    ASSUME(c->state != UH_CLOSED || c->told || c->set_aside);
    if (c->state == UH_FREE)
        prepend(&hall.free_slot, c);
    else if (c->set_aside && c->state == UH_CLOSED && !c->told && nondet_bool())
        prepend(&hall.closed, c);
    else if (c->set_aside)
        prepend(&hall.owing, c);
}

/* A slot in any state may be in the ready queue. */
static void place_ready(uhttp_conn *c)
{
    c->queued = nondet_bool();
    c->next = c;
    if (!c->queued)
        return;
    c->next = NULL;
    if (hall.ready_first == NULL)
        hall.ready_first = c;
    else
        hall.ready_last->next = c;
    hall.ready_last = c;
}

/* A slot may have this deadline. */
static void place_time(uhttp_conn *c)
{
    c->time = UH_TIME_NONE;
    if (nondet_bool())
        return;
    c->time = UH_TIME_IDLE;
    uh_link *head = &hall.lists[UH_TIME_IDLE];
    c->link.before = head->before;
    c->link.after = head;
    head->before->after = &c->link;
    head->before = &c->link;
}

typedef enum which { ASIDE, READY, TIMED } which;

/* Three slots in any lists of this kind. Which of them comes first makes no difference: all three
 * are alike. */
static void any_hall(which kind)
{
    hall.lists[UH_TIME_IDLE].before = hall.lists[UH_TIME_IDLE].after = &hall.lists[UH_TIME_IDLE];
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i]->server = &hall;
        slots[i]->fd = UH_NO_SOCKET;
        slots[i]->link.before = slots[i]->link.after = &slots[i]->link;
        slots[i]->state = UH_ANSWER;
        if (kind == ASIDE)
            place_aside(slots[i]);
        else if (kind == READY)
            place_ready(slots[i]);
        else
            place_time(slots[i]);
    }
}

static void claim_aside(const uhttp_conn *list, uint8_t *found)
{
    for (size_t n = 0; n < SLOTS && list != NULL; n++, list = list->aside) {
        for (size_t i = 0; i < SLOTS; i++)
            found[i] = (uint8_t)(found[i] + (list == slots[i]));
    }
    CLAIM(list == NULL);
}

/* Every list ends, and each slot is once in each list in which it says it is, and in no other. */
static void claim_lists(void)
{
    uint8_t unused[SLOTS] = { 0 }, closed[SLOTS] = { 0 }, owing[SLOTS] = { 0 };
    claim_aside(hall.free_slot, unused);
    claim_aside(hall.closed, closed);
    claim_aside(hall.owing, owing);
    for (size_t i = 0; i < SLOTS; i++) {
        const uhttp_conn *c = slots[i];
        CLAIM(unused[i] == (c->state == UH_FREE));
        CLAIM(closed[i] + owing[i] == c->set_aside);
        CLAIM(c->state != UH_FREE || (!c->set_aside && !c->told));
        CLAIM(c->state != UH_CLOSED || c->told || c->set_aside);
        CLAIM(closed[i] == 0 || (c->state == UH_CLOSED && !c->told));
    }
    for (size_t state = 0; state < UH_STATE_COUNT; state++) {
        uint32_t n = 0;
        for (size_t i = 0; i < SLOTS; i++)
            n += slots[i]->state == state;
        CLAIM(n == hall.counts[state]);
    }
}

/* One thing that may happen to a slot. */
static void happen(uhttp_conn *c)
{
    const uint8_t what = nondet_u8();
    const uint8_t state = nondet_u8();
    if (what == 0 && is_alive(c)) {
        uh_conn_enter(c, UH_CLOSED);
    } else if (what == 1 && is_alive(c)) {
        ASSUME(state < UH_CLOSED && (uh_state_leads[c->state] & 1u << state) != 0);
        uh_conn_enter(c, (uh_state)state);
    } else if (what == 2 && is_alive(c)) {
        c->told = true;
    } else if (what == 3 && c->told) {
        uh_conn_let_go(c);
    } else if (what == 4 && is_alive(c)) {
        uh_conn_set_aside(&hall.owing, c);
    }
}

/* What happens to whoever is first: a newcomer comes, all that are closed end, one that owes output
 * is flushed. */
static void happen_to_first(void)
{
    const uint8_t what = nondet_u8();
    uhttp_conn *c = hall.free_slot;
    uh_peer peer;
    memset(&peer, 0, sizeof peer);
    if (what == 0) {
        CLAIM(uh_conn_open(&hall, NULL, 3, &peer) == (c != NULL));
        CLAIM(c == NULL || (c->state == UH_IDLE && c->queued && !c->told && !c->set_aside));
    } else if (what == 1) {
        uh_reclaim_closed(&hall);
        CLAIM(hall.closed == NULL);
    } else {
        c = uh_aside_pop(&hall.owing);
        if (c != NULL && c->state == UH_CLOSED && !c->told)
            uh_conn_set_aside(&hall.closed, c);
    }
}

/* Whatever lists three slots are in, and whatever happens next: each is free or in use, and is
 * once in the list of the free ones, the closed ones or those that owe output if it says so, and
 * in no other; each list ends; as many are in each state as the server counts. One step from any
 * such state is any number of steps from the first.
 * fault: s/    \*list = c->aside;/    *list = c->set_aside ? NULL : c->aside;/
 * bound: 15, there are fourteen states, uh_reclaim_closed.0:4. Three slots: what changes has one
 * before it and one behind it. */
void proof_slots(void)
{
    any_hall(ASIDE);
    for (size_t i = 0; i < SLOTS; i++) {
        if (nondet_bool()) {
            happen(slots[i]);
            claim_lists();
            return;
        }
    }
    happen_to_first();
    claim_lists();
}

/* The same of the ready queue: who is pushed is its last, once; who is popped was its first.
 * fault: s/    s->ready_last = c;/    s->ready_last = s->ready_first;/
 * bound: 4, three slots. */
void proof_ready_queue(void)
{
    any_hall(READY);
    const uhttp_conn *first = hall.ready_first;
    uint8_t i = nondet_u8();
    if (i < SLOTS) {
        bool was = slots[i]->queued;
        uh_ready_push(slots[i]);
        CLAIM(slots[i]->queued && (was || hall.ready_last == slots[i]));
        CLAIM(hall.ready_first == (first != NULL ? first : slots[i]));
    } else {
        uhttp_conn *c = uh_ready_pop(&hall);
        CLAIM(c == first && (c == NULL || !c->queued));
    }
    uint8_t found[SLOTS] = { 0 };
    const uhttp_conn *last = NULL;
    const uhttp_conn *c = hall.ready_first;
    for (size_t n = 0; n < SLOTS && c != NULL; n++, c = c->next) {
        for (size_t k = 0; k < SLOTS; k++)
            found[k] = (uint8_t)(found[k] + (c == slots[k]));
        last = c;
    }
    CLAIM(c == NULL && (last == NULL || last == hall.ready_last));
    for (size_t k = 0; k < SLOTS; k++)
        CLAIM(found[k] == slots[k]->queued);
}

/* The same of the ring of a deadline: a slot that joins it, from anywhere, is its last; one that
 * leaves is alone; forwards and backwards the ring has each that has this deadline, once.
 * fault: s/    l->after->before = l->before;//
 * bound: 4, three slots: one joins, with one before it and one behind it. */
void proof_deadlines(void)
{
    const uh_link *head = &hall.lists[UH_TIME_IDLE];
    any_hall(TIMED);
    uint8_t chosen = nondet_u8();
    bool joins = nondet_bool();
    for (size_t i = 0; i < SLOTS; i++) {
        if (i == chosen && joins)
            uh_conn_join(slots[i], UH_TIME_IDLE);
        else if (i == chosen)
            uh_conn_disarm(slots[i]);
        CLAIM(i != chosen || (joins ? head->before == &slots[i]->link
                                    : slots[i]->link.after == &slots[i]->link));
    }
    uint8_t found[SLOTS] = { 0 };
    const uh_link *l = head->after;
    CLAIM(head->before->after == head && l->before == head);
    for (size_t n = 0; n < SLOTS && l != head; n++, l = l->after) {
        for (size_t i = 0; i < SLOTS; i++)
            found[i] = (uint8_t)(found[i] + (l == &slots[i]->link));
        CLAIM(l->before->after == l && l->after->before == l);
    }
    CLAIM(l == head);
    for (size_t i = 0; i < SLOTS; i++)
        CLAIM(found[i] == (slots[i]->time == UH_TIME_IDLE));
}
