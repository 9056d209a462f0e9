/* The chunked decoder of section 05. It must give the same bytes, the same end and the same
 * refusal however its input is cut and however little room its output has. */
#include "text.h"

#define OUT_MAX 400     /* more than any case decodes to */

/* All that can be told of a decoded body. */
typedef struct outcome {
    uhttp_result result;
    size_t used, made;
    char out[OUT_MAX];
} outcome;

static void check_same(uhttp_str in, const outcome *o, const outcome *other)
{
    assert_for(in, o->result == other->result);
    assert_for(in, o->used == other->used);
    assert_for(in, o->made == other->made && memcmp(o->out, other->out, o->made) == 0);
}

/* One call, its input and output in blocks of their own; false: it could not go on. */
static bool decode_step(uhttp_chunked *d, uhttp_str in, size_t visible, size_t room, outcome *o)
{
    uhttp_str from = text_exact(in.ptr + o->used, visible - o->used);
    uhttp_str to = text_exact(o->out, room);
    size_t used = from.len;
    size_t made = to.len;
    uhttp_result result = uhttp_chunked_decode(d, from.ptr, &used, text_mutable(to), &made);
    assert_for(in, used <= from.len && made <= room && made <= used);
    assert_for(in, result == UHTTP_OK || result == UHTTP_ERR_AGAIN ||
                   result == UHTTP_ERR_INVALID);
    if (result == UHTTP_ERR_AGAIN)      /* it stops for want of input or room alone */
        assert_for(in, used == from.len || made == room);
    assert_for(in, made <= OUT_MAX - o->made);
    memcpy(o->out + o->made, to.ptr, made);
    o->used += used;
    o->made += made;
    o->result = result;
    assert_for(in, d->data == o->made && d->framing == o->used - o->made);
    text_free(to);
    text_free(from);
    return result == UHTTP_ERR_AGAIN && used + made > 0 && o->used < in.len;
}

/* Decodes what is there up to the first cut, then up to the second, then all of it. */
static outcome decode_cut(uhttp_str in, size_t cut, size_t second, size_t room)
{
    const size_t visible[] = { cut, second, in.len };
    uhttp_chunked d;
    outcome o;
    memset(&d, 0, sizeof d);
    memset(&o, 0, sizeof o);
    o.result = UHTTP_ERR_AGAIN;
    for (size_t i = 0; i < COUNT(visible) && o.result == UHTTP_ERR_AGAIN; i++) {
        while (decode_step(&d, in, visible[i], room, &o)) {
        }
    }
    uhttp_result result = o.result;
    if (result != UHTTP_ERR_AGAIN) {    /* it is over, or spoilt, for good */
        size_t used = o.used;
        decode_step(&d, in, in.len, room, &o);
        assert_for(in, o.result == result && o.used == used);
    }
    return o;
}

/* Byte by byte, decoded in place: the output lies before the input by a gap. */
static outcome decode_in_place(uhttp_str in, size_t gap, size_t piece)
{
    uhttp_chunked d;
    outcome o;
    memset(&d, 0, sizeof d);
    memset(&o, 0, sizeof o);
    o.result = UHTTP_ERR_AGAIN;
    uhttp_str block = text_exact(in.ptr, in.len);
    if (gap > 0) {
        char larger[2000];
        text_free(block);
        memset(larger, '?', gap);
        memcpy(larger + gap, in.ptr, in.len);
        block = text_exact(larger, gap + in.len);
    }
    for (size_t visible = 0; o.result == UHTTP_ERR_AGAIN && visible < in.len;) {
        visible = in.len - visible < piece ? in.len : visible + piece;
        size_t used = visible - o.used;
        size_t made = gap + o.used - o.made + used;     /* to the end of what is visible */
        o.result = uhttp_chunked_decode(&d, block.ptr + gap + o.used, &used,
                                        text_mutable(block) + o.made, &made);
        o.used += used;
        o.made += made;
        assert_for(in, o.used <= visible && o.made <= o.used && o.made <= OUT_MAX);
        assert_for(in, memcmp(block.ptr + gap + o.used, in.ptr + o.used, in.len - o.used) == 0);
    }
    memcpy(o.out, block.ptr, o.made);
    text_free(block);
    return o;
}

/* Decodes in every way there is; the one outcome of all of them. */
static outcome decode(uhttp_str in)
{
    outcome whole = decode_cut(in, in.len, in.len, OUT_MAX);
    for (size_t cut = 0; cut <= in.len; cut++) {
        for (size_t room = 1; room <= whole.made + 1; room++) {
            outcome o = decode_cut(in, cut, in.len, room);
            check_same(in, &whole, &o);
        }
        outcome o = decode_cut(in, cut, cut < in.len ? cut + 1 : cut, OUT_MAX);
        check_same(in, &whole, &o);
    }
    for (size_t gap = 0; gap < 4; gap++) {
        for (size_t piece = 1; piece <= in.len; piece++) {
            outcome o = decode_in_place(in, gap, piece);
            check_same(in, &whole, &o);
        }
    }
    return whole;
}

/*--- tables ---------------------------------------------------------------------------*/

/* What is read, what comes out of it, and what is left unread. */
static const struct { uhttp_str in, out, rest; } bodies[] = {
    { TEXT("0\r\n\r\n"),                        TEXT(""),       TEXT("") },
    { TEXT("0\r\n\r\n"),                        TEXT(""),       TEXT("\r\n") },
    { TEXT("0\r\n\r\n"),                        TEXT(""),       TEXT("GET / HTTP/1.1\r\n") },
    { TEXT("0\r\n\r\n"),                        TEXT(""),       TEXT("0\r\n\r\n") },
    { TEXT("5\r\nhello\r\n0\r\n\r\n"),          TEXT("hello"),  TEXT("x") },
    { TEXT("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),   TEXT("abc"),    TEXT("") },
    { TEXT("2\r\n\r\n\r\n0\r\n\r\n"),           TEXT("\r\n"),   TEXT("") },
    { TEXT("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),  TEXT("\r\n0\r\n\r\n"), TEXT("") },
    { TEXT("3\r\na\0b\r\n0\r\n\r\n"),           TEXT("a\0b"),   TEXT("") },
    { TEXT("a\r\n0123456789\r\n0\r\n\r\n"),     TEXT("0123456789"), TEXT("") },
    { TEXT("B\r\n0123456789a\r\n0\r\n\r\n"),    TEXT("0123456789a"), TEXT("") },
    { TEXT("10\r\n0123456789abcdef\r\n0\r\n\r\n"), TEXT("0123456789abcdef"), TEXT("") },
    { TEXT("05\r\nhello\r\n000\r\n\r\n"),       TEXT("hello"),  TEXT("") },
    { TEXT("000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"), TEXT("hello"), TEXT("") },
    { TEXT("5;a\r\nhello\r\n0;b\r\n\r\n"),      TEXT("hello"),  TEXT("") },
    { TEXT("5;a=b;c=\"d;\\\"e\"\r\nhello\r\n0\r\n\r\n"), TEXT("hello"), TEXT("") },
    { TEXT("5; a = b\t\r\nhello\r\n0\r\n\r\n"), TEXT("hello"),  TEXT("") },
    { TEXT("5 ;a\r\nhello\r\n0\t;b\r\n\r\n"),    TEXT("hello"),  TEXT("") },
    { TEXT("5 \t ; a\r\nhello\r\n0 ;\r\n\r\n"), TEXT("hello"),  TEXT("") },
    { TEXT("1;5\r\na\r\n0\r\n\r\n"),            TEXT("a"),      TEXT("") },
    { TEXT("1;\xff\r\na\r\n0\r\n\r\n"),         TEXT("a"),      TEXT("") },
    { TEXT("0\r\nA: b\r\n\r\n"),                TEXT(""),       TEXT("x") },
    { TEXT("0\r\nA:\r\nB-c: d\te \r\n\r\n"),    TEXT(""),       TEXT("") },
    { TEXT("1\r\na\r\n0\r\nContent-Length: 5\r\nA:::\r\n\r\n"), TEXT("a"), TEXT("hello") },
    { TEXT("0\r\nTransfer-Encoding: chunked\r\n\r\n"), TEXT(""), TEXT("5\r\n") },
};

/* What is read up to the byte that spoils it. */
static const struct { uhttp_str in, out, rest; } malformed[] = {
    { TEXT(""),                     TEXT(""),       TEXT("\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("\n0\r\n\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT(" 5\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("\t5\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("+5\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("-5\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT(";a\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("g\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("G\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("\0") },
    { TEXT(""),                     TEXT(""),       TEXT("\xb5\r\n") },
    { TEXT(""),                     TEXT(""),       TEXT("\"5\"\r\n") },
    { TEXT("0"),                    TEXT(""),       TEXT("x5\r\nhello\r\n") },
    { TEXT("0"),                    TEXT(""),       TEXT("X5\r\n") },
    { TEXT("5"),                    TEXT(""),       TEXT("h\r\nhello\r\n") },
    { TEXT("5 "),                   TEXT(""),       TEXT("\r\nhello\r\n") },
    { TEXT("5\t"),                  TEXT(""),       TEXT("\r\nhello\r\n") },
    { TEXT("5 "),                   TEXT(""),       TEXT("0\r\nhello\r\n") },
    { TEXT("5 "),                   TEXT(""),       TEXT("a;b\r\nhello\r\n") },
    { TEXT("5 \t"),                 TEXT(""),       TEXT("\v;a\r\nhello\r\n") },
    { TEXT("5 "),                   TEXT(""),       TEXT("\n;a\r\nhello\r\n") },
    { TEXT("5"),                    TEXT(""),       TEXT("_0\r\n") },
    { TEXT("5"),                    TEXT(""),       TEXT(",5\r\n") },
    { TEXT("5"),                    TEXT(""),       TEXT(".\r\n") },
    { TEXT("5"),                    TEXT(""),       TEXT("\nhello\r\n") },
    { TEXT("5"),                    TEXT(""),       TEXT("\0\r\n") },
    { TEXT("5\r"),                  TEXT(""),       TEXT("hello") },
    { TEXT("5\r"),                  TEXT(""),       TEXT("\r\nhello") },
    { TEXT("5\r"),                  TEXT(""),       TEXT(" \nhello") },
    { TEXT("0\r"),                  TEXT(""),       TEXT("\r\n") },
    { TEXT("5;a"),                  TEXT(""),       TEXT("\nhello\r\n") },
    { TEXT("5;"),                   TEXT(""),       TEXT("\0\r\n") },
    { TEXT("5;a"),                  TEXT(""),       TEXT("\x7f\r\n") },
    { TEXT("5;a"),                  TEXT(""),       TEXT("\v\r\n") },
    { TEXT("5;a\r"),                TEXT(""),       TEXT("b\r\n") },
    { TEXT("5;a=\"\r"),             TEXT(""),       TEXT("\"\r\n") },
    { TEXT("5\r\nhello"),           TEXT("hello"),  TEXT("0\r\n\r\n") },
    { TEXT("5\r\nhello"),           TEXT("hello"),  TEXT("xx0\r\n\r\n") },   /* any two bytes */
    { TEXT("5\r\nhello"),           TEXT("hello"),  TEXT("\n0\r\n\r\n") },
    { TEXT("5\r\nhello"),           TEXT("hello"),  TEXT("\n\r0\r\n\r\n") },
    { TEXT("5\r\nhello"),           TEXT("hello"),  TEXT("!\r\n0\r\n\r\n") },
    { TEXT("5\r\nhello"),           TEXT("hello"),  TEXT(" \r\n0\r\n\r\n") },
    { TEXT("5\r\nhello\r"),         TEXT("hello"),  TEXT("0\r\n\r\n") },
    { TEXT("5\r\nhello\r"),         TEXT("hello"),  TEXT("\r\n0\r\n\r\n") },
    { TEXT("5\r\nhello\r\n"),       TEXT("hello"),  TEXT("\r\n") },
    { TEXT("5\r\nhello\r\n"),       TEXT("hello"),  TEXT(" 0\r\n\r\n") },
    { TEXT("0\r\n"),                TEXT(""),       TEXT("\n") },
    { TEXT("0\r\n\r"),              TEXT(""),       TEXT("\r\n") },
    { TEXT("0\r\n\r"),              TEXT(""),       TEXT("x") },
    { TEXT("0\r\n"),                TEXT(""),       TEXT(" A: b\r\n\r\n") },
    { TEXT("0\r\n"),                TEXT(""),       TEXT(": b\r\n\r\n") },
    { TEXT("0\r\n"),                TEXT(""),       TEXT("\0") },
    { TEXT("0\r\n"),                TEXT(""),       TEXT("\xe4: b\r\n\r\n") },
    { TEXT("0\r\nA"),               TEXT(""),       TEXT(" : b\r\n\r\n") },
    { TEXT("0\r\nA"),               TEXT(""),       TEXT("\r\n\r\n") },
    { TEXT("0\r\nA"),               TEXT(""),       TEXT("\n\r\n") },
    { TEXT("0\r\nGET"),             TEXT(""),       TEXT(" / HTTP/1.1\r\n\r\n") },
    { TEXT("0\r\nA: b"),            TEXT(""),       TEXT("\n\r\n") },
    { TEXT("0\r\nA: b"),            TEXT(""),       TEXT("\0\r\n\r\n") },
    { TEXT("0\r\nA: b"),            TEXT(""),       TEXT("\x7f\r\n\r\n") },
    { TEXT("0\r\nA: b\r"),          TEXT(""),       TEXT("c\r\n\r\n") },
    { TEXT("0\r\nA: b\r"),          TEXT(""),       TEXT("\r\n\r\n") },
    { TEXT("0\r\nA: b\r\n"),        TEXT(""),       TEXT(" c\r\n\r\n") },   /* folded */
    { TEXT("0\r\nA: b\r\n"),        TEXT(""),       TEXT("\tc\r\n\r\n") },
    { TEXT("0\r\nA: b\r\n"),        TEXT(""),       TEXT("\n") },
    { TEXT("0\r\nA: b\r\n\r"),      TEXT(""),       TEXT("0") },
    /* sizes that wrap, at 2^60 and so before any word can */
    { TEXT("100000000000000"),      TEXT(""),       TEXT("0\r\n") },
    { TEXT("100000000000000"),      TEXT(""),       TEXT("05\r\nhello") },  /* 2^64 + 5 */
    { TEXT("fffffffffffffff"),      TEXT(""),       TEXT("f\r\n") },
    { TEXT("fffffffffffffff"),      TEXT(""),       TEXT("0\r\n") },
    { TEXT("7ffffffffffffff"),      TEXT(""),       TEXT("f\r\n") },
    { TEXT("00100000000000000"),    TEXT(""),       TEXT("0000000000000000005\r\n") },
    { TEXT("1\r\na\r\nfffffffffffffff"), TEXT("a"), TEXT("fffffffffffffffff\r\n") },
};

/* What has not ended. */
static const struct { uhttp_str in, out; } unfinished[] = {
    { TEXT(""),                         TEXT("") },
    { TEXT("0"),                        TEXT("") },
    { TEXT("0\r\n\r"),                  TEXT("") },
    { TEXT("5;"),                       TEXT("") },
    { TEXT("5\r\nhel"),                 TEXT("hel") },
    { TEXT("5\r\nhello"),               TEXT("hello") },
    { TEXT("5\r\nhello\r\n"),           TEXT("hello") },
    { TEXT("0\r\nA: b\r\n"),            TEXT("") },
    { TEXT("ffffffff\r\nab"),           TEXT("ab") },
    { TEXT("100000000\r\nab"),          TEXT("ab") },       /* more than 32 bits tell */
    { TEXT("100000005\r\nhello\r\n0\r\n\r\n"), TEXT("hello\r\n0\r\n\r\n") },
    { TEXT("fffffffffffffff\r\nab"),    TEXT("ab") },       /* the largest there is */
    { TEXT("000fffffffffffffff\r\nab"), TEXT("ab") },
};

static void check_case(uhttp_str in, uhttp_str rest, uhttp_str out, uhttp_result result)
{
    char buffer[200];
    size_t length = text_append(buffer, text_append(buffer, 0, in), rest);
    outcome o = decode(text_slice(buffer, length));
    assert_for(text_slice(buffer, length), o.result == result);
    assert_for(text_slice(buffer, length), o.used == in.len);
    assert_for(text_slice(buffer, length), text_equal(text_slice(o.out, o.made), out));
}

static void body_comes_out_whole_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++)
        check_case(bodies[i].in, bodies[i].rest, bodies[i].out, UHTTP_OK);
}

static void malformed_body_is_refused_at_the_byte_that_spoils_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(malformed); i++)
        check_case(malformed[i].in, malformed[i].rest, malformed[i].out, UHTTP_ERR_INVALID);
}

static void unfinished_body_asks_for_more(void **state)
{
    (void)state;
    const uhttp_str none = TEXT("");
    for (size_t i = 0; i < COUNT(unfinished); i++)
        check_case(unfinished[i].in, none, unfinished[i].out, UHTTP_ERR_AGAIN);
}

static void no_prefix_of_a_body_is_a_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        for (size_t length = 0; length < bodies[i].in.len; length++) {
            uhttp_str in = text_slice(bodies[i].in.ptr, length);
            outcome o = decode_cut(in, length, length, OUT_MAX);
            assert_for(in, o.result == UHTTP_ERR_AGAIN && o.used == length);
        }
    }
}

/*--- room and end ---------------------------------------------------------------------*/

static void data_waits_for_room_and_framing_needs_none(void **state)
{
    (void)state;
    uhttp_chunked d;
    memset(&d, 0, sizeof d);
    char out[5] = "????";
    size_t in = 8;
    size_t made = 0;
    assert_int_equal(uhttp_chunked_decode(&d, "5\r\nhello", &in, out, &made), UHTTP_ERR_AGAIN);
    assert_int_equal(in, 3);
    assert_int_equal(made, 0);
    assert_string_equal(out, "????");
    in = 5;
    made = 5;
    assert_int_equal(uhttp_chunked_decode(&d, "hello", &in, out, &made), UHTTP_ERR_AGAIN);
    assert_int_equal(in, 5);
    in = 8;
    made = 0;
    assert_int_equal(uhttp_chunked_decode(&d, "\r\n0\r\n\r\nx", &in, out, &made), UHTTP_OK);
    assert_int_equal(in, 7);
    assert_int_equal(made, 0);
    in = 1;
    made = 5;
    assert_int_equal(uhttp_chunked_decode(&d, "x", &in, out, &made), UHTTP_OK);
    assert_int_equal(in, 0);
    assert_int_equal(made, 0);
}

static void no_input_is_no_progress(void **state)
{
    (void)state;
    const uhttp_str in = TEXT("1\r\na\r\n0\r\n\r\n");
    for (size_t cut = 0; cut < in.len; cut++) {
        uhttp_chunked d;
        outcome o;
        memset(&d, 0, sizeof d);
        memset(&o, 0, sizeof o);
        while (decode_step(&d, in, cut, 1, &o)) {
        }
        uhttp_chunked before;
        memcpy(&before, &d, sizeof d);
        for (size_t room = 0; room < 3; room++) {
            assert_false(decode_step(&d, in, cut, room, &o));
            assert_int_equal(o.result, UHTTP_ERR_AGAIN);
            assert_int_equal(o.used, cut);
            assert_memory_equal(&d, &before, sizeof d);
        }
    }
}

static void output_without_room_may_be_absent(void **state)
{
    (void)state;
    uhttp_chunked d;
    memset(&d, 0, sizeof d);
    size_t in = 0;
    size_t made = 0;
    assert_int_equal(uhttp_chunked_decode(&d, NULL, &in, NULL, &made), UHTTP_ERR_AGAIN);
    in = 4;
    assert_int_equal(uhttp_chunked_decode(&d, "1\r\na", &in, NULL, &made), UHTTP_ERR_AGAIN);
    assert_int_equal(in, 3);
    assert_int_equal(made, 0);
}

/*--- the limit of framing -------------------------------------------------------------*/

/* Decodes all at once, or byte by byte. */
static uhttp_result decode_long(const char *in, size_t length, bool bytewise, size_t *used)
{
    uhttp_chunked d;
    uhttp_result result = UHTTP_ERR_AGAIN;
    uhttp_str s = text_exact(in, length);
    memset(&d, 0, sizeof d);
    for (*used = 0; *used < length && result == UHTTP_ERR_AGAIN;) {
        size_t n = bytewise ? 1 : length;
        size_t made = n;
        result = uhttp_chunked_decode(&d, s.ptr + *used, &n, text_mutable(s) + *used, &made);
        *used += n;
    }
    text_free(s);
    return result;
}

/* A body of so many bytes of framing, most of them in its last extension or trailer, after
 * so many chunks of one byte. */
static size_t make_framing(char *to, size_t data, size_t framing, bool in_trailer)
{
    size_t at = 0;
    for (size_t i = 0; i < data; i++)
        at = text_append_string(to, at, "1\r\nx\r\n");
    size_t fill = framing - 5 * data - (in_trailer ? 9 : 6);
    at = text_append_string(to, at, in_trailer ? "0\r\nA:" : "0;");
    memset(to + at, 'a', fill);
    return text_append_string(to, at + fill, in_trailer ? "\r\n\r\n" : "\r\n\r\n");
}

static void framing_may_be_16_kib_and_eight_times_the_data(void **state)
{
    (void)state;
    static char body[40000];
    static const size_t data[] = { 0, 1, 2, 100, 1000 };
    for (size_t i = 0; i < COUNT(data); i++) {
        size_t limit = 16384 + 8 * data[i];
        for (size_t in_trailer = 0; in_trailer < 2; in_trailer++) {
            for (size_t bytewise = 0; bytewise < 2; bytewise++) {
                for (size_t framing = limit - 2; framing <= limit + 3; framing++) {
                    size_t used = 0;
                    size_t length = make_framing(body, data[i], framing, in_trailer > 0);
                    uhttp_result result = decode_long(body, length, bytewise > 0, &used);
                    assert_int_equal(length, framing + data[i]);
                    assert_int_equal(result, framing <= limit ? UHTTP_OK : UHTTP_ERR_INVALID);
                    assert_int_equal(used, framing <= limit ? length : limit + data[i]);
                }
            }
        }
    }
}

static void framing_without_end_is_refused(void **state)
{
    (void)state;
    static char body[40000];
    static const struct { const char *begin; char fill; } cases[] = {
        { "", '0' }, { "5;", 'a' }, { "0\r\n", 'a' }, { "0\r\nA:", ' ' },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t used = 0;
        memset(body, cases[i].fill, sizeof body);
        memcpy(body, cases[i].begin, strlen(cases[i].begin));
        assert_int_equal(decode_long(body, sizeof body, false, &used), UHTTP_ERR_INVALID);
        assert_int_equal(used, 16384);
    }
    for (size_t at = 3; at + 5 <= sizeof body; at += 5)
        memcpy(body + at, "A:b\r\n", 5);
    memcpy(body, "0\r\n", 3);
    size_t used = 0;
    assert_int_equal(decode_long(body, sizeof body, false, &used), UHTTP_ERR_INVALID);
    assert_int_equal(used, 16384);
}

static void chunks_of_one_byte_may_go_on_for_ever_but_not_with_long_extensions(void **state)
{
    (void)state;
    static char body[400000];
    size_t used = 0;
    size_t at = 0;
    while (at + 20 < sizeof body)
        at = text_append_string(body, at, "001;\r\nx\r\n");         /* 8 for 1 */
    at = text_append_string(body, at, "0\r\n\r\n");
    assert_int_equal(decode_long(body, at, false, &used), UHTTP_OK);
    for (at = 0; at + 20 < sizeof body;)
        at = text_append_string(body, at, "001;a\r\nx\r\n");        /* 9 for 1 */
    assert_int_equal(decode_long(body, at, false, &used), UHTTP_ERR_INVALID);
}

/*--- chance ---------------------------------------------------------------------------*/

/* Encodes some random data in random chunks. */
static size_t encode(char *to, char *data, size_t *data_length)
{
    static const char *const extensions[] = { "", "", ";a", ";a=\"b\"", "; c" };
    static const char *const trailers[] = { "", "", "A: b\r\n", "A:\r\nB: c\r\n" };
    size_t at = 0;
    *data_length = 0;
    for (size_t chunks = random_below(5); chunks > 0; chunks--) {
        size_t n = 1 + random_below(random_below(3) > 0 ? 4 : 30);
        char size[16];
        snprintf(size, sizeof size, random_below(2) > 0 ? "%x" : "%03X", (unsigned)n);
        at = text_append_string(to, at, size);
        at = text_append_string(to, at, extensions[random_below(COUNT(extensions))]);
        at = text_append_string(to, at, "\r\n");
        random_text(to + at, n, "\r\n0a;");
        memcpy(data + *data_length, to + at, n);
        *data_length += n;
        at = text_append_string(to, at + n, "\r\n");
    }
    at = text_append_string(to, at, "0");
    at = text_append_string(to, at, extensions[random_below(COUNT(extensions))]);
    at = text_append_string(to, at, "\r\n");
    at = text_append_string(to, at, trailers[random_below(COUNT(trailers))]);
    return text_append_string(to, at, "\r\n");
}

static void any_data_in_any_chunks_comes_back(void **state)
{
    (void)state;
    random_begin(11);
    for (int round = 0; round < 3000; round++) {
        char body[400], data[200];
        size_t expected = 0;
        size_t length = encode(body, data, &expected);
        size_t behind = random_below(8);
        random_text(body + length, behind, "0\r\n");
        uhttp_str in = text_slice(body, length + behind);
        for (int cuts = 0; cuts < 5; cuts++) {
            size_t cut = random_below(in.len + 1);
            size_t second = cut + random_below(in.len - cut + 1);
            outcome o = decode_cut(in, cut, second, 1 + random_below(40));
            assert_for(in, o.result == UHTTP_OK && o.used == length);
            assert_for(in, o.made == expected && memcmp(o.out, data, expected) == 0);
            o = decode_in_place(in, random_below(5), 1 + random_below(in.len));
            assert_for(in, o.result == UHTTP_OK && o.used == length);
            assert_for(in, o.made == expected && memcmp(o.out, data, expected) == 0);
        }
    }
}

/* A second decoder, which wants its text whole and goes through it as the grammar does. */
typedef struct reader {
    const char *p, *end;
    uhttp_result result;
} reader;

static char peek(reader *r)
{
    if (r->p == r->end && r->result == UHTTP_OK)
        r->result = UHTTP_ERR_AGAIN;
    return r->result == UHTTP_OK ? *r->p : '\0';
}

static void expect_byte(reader *r, char c)
{
    char next = peek(r);
    if (r->result == UHTTP_OK && next != c)
        r->result = UHTTP_ERR_INVALID;
    if (r->result == UHTTP_OK)
        r->p++;
}

static bool is_text(char c)
{
    return ((unsigned char)c >= 32 && c != 127) || c == '\t';
}

static void read_text(reader *r)
{
    while (is_text(peek(r)) && r->result == UHTTP_OK)
        r->p++;
}

static uint64_t read_size(reader *r)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    uint64_t size = 0;
    for (int count = 0;; count++) {
        char c = peek(r);
        const char *digit = c != '\0' ? strchr(digits, c) : NULL;
        if (r->result == UHTTP_OK && (digit == NULL ? count == 0 : size > UINT64_MAX >> 8))
            r->result = UHTTP_ERR_INVALID;
        if (r->result != UHTTP_OK || digit == NULL)
            return size;
        size = size * 16 + (uint64_t)(digit - digits) % 16;
        r->p++;
    }
}

static outcome decode_by_grammar(uhttp_str in)
{
    reader r = { in.ptr, in.ptr + in.len, UHTTP_OK };
    outcome o;
    uint64_t size = 1;
    memset(&o, 0, sizeof o);
    while (size > 0 && r.result == UHTTP_OK) {
        size = read_size(&r);
        bool blank = false;
        for (; peek(&r) == ' ' || peek(&r) == '\t'; r.p++)
            blank = true;
        if (peek(&r) == ';')
            read_text(&r);
        else if (blank && r.result == UHTTP_OK)
            r.result = UHTTP_ERR_INVALID;
        expect_byte(&r, '\r');
        expect_byte(&r, '\n');
        for (uint64_t i = 0; i < size && r.result == UHTTP_OK; i++) {
            char c = peek(&r);
            if (r.result == UHTTP_OK) {
                o.out[o.made++] = c;
                r.p++;
            }
        }
        if (size > 0) {
            expect_byte(&r, '\r');
            expect_byte(&r, '\n');
        }
    }
    while (r.result == UHTTP_OK && peek(&r) != '\r' && r.result == UHTTP_OK) {
        const char *name = r.p;
        while (uh_char_is(peek(&r), UH_IS_TOKEN))
            r.p++;
        if (r.p == name && r.result == UHTTP_OK)
            r.result = UHTTP_ERR_INVALID;
        expect_byte(&r, ':');
        read_text(&r);
        expect_byte(&r, '\r');
        expect_byte(&r, '\n');
    }
    expect_byte(&r, '\r');
    expect_byte(&r, '\n');
    o.result = r.result;
    o.used = (size_t)(r.p - in.ptr);
    return o;
}

static void damaged_bodies_are_decoded_as_the_grammar_says(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "\r", "\n", "\r\n", "\n\r", "0\r\n\r\n", "0", "5", "f", "ffffffff", "1000000000000000",
        ";", ":", " ", "\t", "a: b\r\n", "x", "\x7f", "\x80",
    };
    random_begin(12);
    int seen[3] = { 0, 0, 0 };
    for (int round = 0; round < 20000; round++) {
        char body[500], data[200];
        size_t unused = 0;
        size_t length = encode(body, data, &unused);
        for (size_t damages = random_below(3); damages > 0; damages--) {
            const char *piece = pieces[random_below(COUNT(pieces))];
            size_t at = random_below(length + 1);
            size_t gone = random_below(2) > 0 ? 0 : random_below(length - at + 1) % 4;
            size_t n = random_below(4) > 0 ? strlen(piece) : 0;
            memmove(body + at + n, body + at + gone, length - at - gone);
            memcpy(body + at, piece, n);
            length += n - gone;
        }
        uhttp_str in = text_slice(body, length);
        outcome expected = decode_by_grammar(in);
        size_t cut = random_below(in.len + 1);
        outcome o = decode_cut(in, cut, cut + random_below(in.len - cut + 1), OUT_MAX);
        check_same(in, &o, &expected);
        o = decode_cut(in, in.len, in.len, 1 + random_below(20));
        check_same(in, &o, &expected);
        seen[o.result == UHTTP_OK ? 0 : o.result == UHTTP_ERR_AGAIN ? 1 : 2]++;
    }
    assert_true(seen[0] > 2000 && seen[1] > 200 && seen[2] > 2000);
}

/*--- what is certain to follow --------------------------------------------------------*/

#define LEFT_MAX 64

/* Decodes one byte; false: malformed. */
static bool feed(uhttp_chunked *d, char c)
{
    char out;
    size_t in = 1;
    size_t made = 1;
    return uhttp_chunked_decode(d, &c, &in, &out, &made) != UHTTP_ERR_INVALID;
}

/* The fewest bytes that end a body from here on, by trying all of one byte, of two, ... */
static size_t fewest_bytes_to_end(const uhttp_chunked *from)
{
    static const char bytes[] = "01f\r\n;:A x";
    static bool visited[32][LEFT_MAX + 1];
    static uhttp_chunked queue[32 * (LEFT_MAX + 1)];
    static size_t steps[32 * (LEFT_MAX + 1)];
    size_t head = 0;
    size_t tail = 1;
    memset(visited, 0, sizeof visited);
    queue[0] = *from;
    steps[0] = 0;
    for (; head < tail; head++) {
        if (queue[head].state == UH_CHUNK_DONE)
            return steps[head];
        for (size_t i = 0; i < sizeof bytes - 1; i++) {
            uhttp_chunked d = queue[head];
            if (!feed(&d, bytes[i]) || d.left > LEFT_MAX || visited[d.state][d.left])
                continue;
            visited[d.state][d.left] = true;
            queue[tail] = d;
            steps[tail++] = steps[head] + 1;
        }
    }
    fail_msg("no way to the end from state %d", from->state);
    return 0;
}

static void certain_rest_is_never_more_than_the_shortest_end(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0\r\n\r\n", "0 \t;a\r\n\r\n", "2 ;a\r\nxy\r\n0 ;\r\n\r\n",
        "00;a\r\nA:\r\nBc: d\r\n\r\n", "1\r\nx\r\n0\r\n\r\n",
        "02;a=b\r\nxy\r\n1;\r\nz\r\n0\r\n\r\n", "1f;\t \r\n0123456789012345678901234567890\r\n",
        "a\r\n0123456789\r\nA;b",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        uhttp_chunked d;
        memset(&d, 0, sizeof d);
        for (const char *p = texts[i];; p++) {
            uint64_t certain = uh_chunk_certain(&d);
            size_t fewest = fewest_bytes_to_end(&d);
            uhttp_str so_far = text_slice(texts[i], (size_t)(p - texts[i]));
            assert_for(so_far, certain <= fewest);
            assert_for(so_far, (certain > 0) == (fewest > 0));
            if (d.state == UH_CHUNK_DATA)
                assert_for(so_far, certain >= d.left);      /* or nothing would be gained */
            if (*p == '\0')
                break;
            assert_true(feed(&d, *p));
        }
    }
}

static void certain_rest_of_the_largest_chunk_does_not_wrap(void **state)
{
    (void)state;
    uhttp_chunked d;
    memset(&d, 0, sizeof d);
    for (const char *p = "fffffffffffffff\r\n"; *p != '\0'; p++)
        assert_true(feed(&d, *p));
    assert_true(uh_chunk_certain(&d) >= ((uint64_t)1 << 60) - 1);
    assert_true(uh_chunk_certain(&d) <= ((uint64_t)1 << 60) - 1 + 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(body_comes_out_whole_however_it_is_cut),
        TEST(malformed_body_is_refused_at_the_byte_that_spoils_it),
        TEST(unfinished_body_asks_for_more),
        TEST(no_prefix_of_a_body_is_a_body),
        TEST(data_waits_for_room_and_framing_needs_none),
        TEST(no_input_is_no_progress),
        TEST(framing_may_be_16_kib_and_eight_times_the_data),
        TEST(framing_without_end_is_refused),
        TEST(chunks_of_one_byte_may_go_on_for_ever_but_not_with_long_extensions),
        TEST(any_data_in_any_chunks_comes_back),
        TEST(damaged_bodies_are_decoded_as_the_grammar_says),
        TEST(certain_rest_is_never_more_than_the_shortest_end),
        TEST(certain_rest_of_the_largest_chunk_does_not_wrap),
        TEST(output_without_room_may_be_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
