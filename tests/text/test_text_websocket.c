/* What a WebSocket is read and written with: frame heads, masks, SHA-1, base64, UTF-8 piece by
 * piece. */
#include "text.h"

/* A copy behind which nothing can be read; it lives until the call after the next. */
static uhttp_str text_guard_bytes(const char *p, size_t length)
{
    static uhttp_str last[2];
    if (last[0].ptr != NULL)
        text_free(last[0]);
    last[0] = last[1];
    last[1] = text_exact(p, length);
    return last[1];
}

static uhttp_str text_guard(const char *string)
{
    return text_guard_bytes(string, strlen(string));
}

/*--- heads of frames ------------------------------------------------------------------------*/

static const struct head_case {
    const char *bytes;
    size_t length;
    int result;
    unsigned opcode, fin, masked;
    uint64_t payload;
} head_cases[] = {
#define BYTES(text) text, sizeof text - 1
    { BYTES("\x81\x00"), 2, 1, 1, 0, 0 },
    { BYTES("\x01\x05"), 2, 1, 0, 0, 5 },
    { BYTES("\x82\xfd""abcd"), 6, 2, 1, 1, 125 },
    { BYTES("\x80\x80""abcd"), 6, 0, 1, 1, 0 },
    { BYTES("\x00\x7e\x00\x7e"), 4, 0, 0, 0, 126 },
    { BYTES("\x81\xfe\xff\xff""abcd"), 8, 1, 1, 1, 65535 },
    { BYTES("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"), 10, 1, 1, 0, 65536 },
    { BYTES("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff""abcd"), 14, 1, 1, 1, INT64_MAX },
    { BYTES("\x88\x02"), 2, 8, 1, 0, 2 },
    { BYTES("\x89\x7d"), 2, 9, 1, 0, 125 },
    { BYTES("\x8a\x80""abcd"), 6, 10, 1, 1, 0 },
    { BYTES("\x81\x7e\x00\x7d"), -1002, 1, 1, 0, 125 },        /* not in its shortest form */
    { BYTES("\x81\x7e\x00\x00"), -1002, 1, 1, 0, 0 },
    { BYTES("\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), -1002, 1, 1, 0, 65535 },
    { BYTES("\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), -1002, 1, 1, 0, 0 },   /* 2^63 */
    { BYTES("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), -1002, 1, 1, 0, 0 },
    { BYTES("\xc1\x00"), -1002, 1, 1, 0, 0 },                  /* RSV1, 2 and 3 */
    { BYTES("\xa1\x00"), -1002, 1, 1, 0, 0 },
    { BYTES("\x91\x00"), -1002, 1, 1, 0, 0 },
    { BYTES("\x83\x00"), -1002, 3, 1, 0, 0 },
    { BYTES("\x87\x00"), -1002, 7, 1, 0, 0 },
    { BYTES("\x8b\x00"), -1002, 11, 1, 0, 0 },
    { BYTES("\x8f\x00"), -1002, 15, 1, 0, 0 },
    { BYTES("\x08\x00"), -1002, 8, 0, 0, 0 },                  /* control frames in fragments */
    { BYTES("\x09\x00"), -1002, 9, 0, 0, 0 },
    { BYTES("\x0a\x00"), -1002, 10, 0, 0, 0 },
    { BYTES("\x88\x7e"), -1002, 8, 1, 0, 0 },                  /* and too long */
    { BYTES("\x89\xfe"), -1002, 9, 1, 1, 0 },
    { BYTES("\x8a\x7f"), -1002, 10, 1, 0, 0 },
};

static void frame_heads_are_read_strictly_and_wait_for_their_last_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof head_cases / sizeof head_cases[0]; i++) {
        const struct head_case *t = &head_cases[i];
        uhttp_ws_frame f;
        int result = uhttp_ws_frame_parse(text_guard_bytes(t->bytes, t->length), &f);
        if (result != t->result)
            fail_msg("case %zu gave %d", i, result);
        if (result > 0 && (f.opcode != t->opcode || f.fin != t->fin || f.masked != t->masked ||
                           f.length != t->payload))
            fail_msg("case %zu was misread", i);
        if (result > 0 && f.masked)
            assert_memory_equal(f.mask, "abcd", 4);
        for (size_t cut = 0; cut < t->length; cut++) {
            int early = uhttp_ws_frame_parse(text_guard_bytes(t->bytes, cut), &f);
            if (early != 0 && early != t->result)
                fail_msg("case %zu cut at %zu gave %d", i, cut, early);
            if (result > 0 && early != 0)
                fail_msg("case %zu did not wait at %zu", i, cut);
        }
    }
    uhttp_ws_frame f;
    assert_int_equal(uhttp_ws_frame_parse(text_guard_bytes("\x83", 1), &f), -1002);
}

/*--- masks ----------------------------------------------------------------------------------*/

static void masks_come_off_in_pieces_at_any_alignment_and_in_place(void **state)
{
    (void)state;
    static const uint8_t mask[4] = { 0x11, 0x82, 0xf3, 0x04 };
    uint8_t data[120], masked[160];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 5);
    for (size_t at = 0; at < 9; at++) {
        for (size_t back = 0; back <= at; back++) {
            for (size_t cut = 0; cut <= 60; cut++) {
                uint8_t key[4];
                memcpy(key, mask, 4);
                memset(masked, 0xee, sizeof masked);
                for (size_t i = 0; i < sizeof data; i++)
                    masked[at + i] = data[i] ^ mask[i % 4];
                uint8_t *to = masked + at - back;
                uhttp_ws_unmask(to, masked + at, cut, key);
                uhttp_ws_unmask(to + cut, masked + at + cut, sizeof data - cut, key);
                assert_memory_equal(to, data, sizeof data);
                assert_int_equal(masked[at + sizeof data], 0xee);
                for (size_t i = 0; i < at - back; i++)
                    assert_int_equal(masked[i], 0xee);
                for (size_t i = 0; i < 4; i++)
                    assert_int_equal(key[i], mask[(i + sizeof data) % 4]);
            }
        }
    }
}

/*--- SHA-1 and base64 -----------------------------------------------------------------------*/

static void sha1_gives_the_known_digests(void **state)
{
    (void)state;
    static const struct { const char *unit; size_t count; const char *digest; } cases[] = {
        { "", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
        { "abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
        { "0123456701234567012345670123456701234567012345670123456701234567", 10,
          "dea356a2cddd90c7a7ecedc5ebb563934f460452" },
        { "a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f" },
        { "a", 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a" },     /* where padding turns over */
        { "a", 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699" },
        { "a", 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5" },
        { "a", 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t unit = strlen(cases[i].unit);
        size_t length = unit * cases[i].count;
        char *text = (char *)malloc(length + 1);
        char hex[41];
        uint8_t digest[20];
        assert_non_null(text);
        for (size_t at = 0; at < length; at++)
            text[at] = cases[i].unit[at % unit];
        uhttp_str in = { text, length };
        uhttp_sha1(in, digest);
        for (size_t at = 0; at < 20; at++)
            snprintf(hex + 2 * at, 3, "%02x", digest[at]);
        assert_string_equal(hex, cases[i].digest);
        free(text);
    }
}

static void base64_is_written_as_it_is_read(void **state)
{
    (void)state;
    static const struct { const char *in, *out; } cases[] = {
        { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfd", "//79" },
        { "\xfb\xef\xbe", "++++" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[32];
        char back[32];
        size_t length = 0;
        memset(out, 'x', sizeof out);
        uhttp_str in = text_guard(cases[i].in);
        assert_int_equal(uhttp_base64_encode(in, out), strlen(cases[i].out));
        assert_string_equal(out, cases[i].out);
        assert_int_equal(out[strlen(out) + 1], 'x');
        assert_int_equal(uhttp_base64_decode(text_guard(out), back, &length), UHTTP_OK);
        assert_int_equal(length, in.len);
        assert_memory_equal(back, cases[i].in, length);
    }
}

/*--- UTF-8 ----------------------------------------------------------------------------------*/

/* bad: the offset of the first byte that no continuation could make good; -1: there is none.
 * whole: it does not end within a character. */
static const struct { const char *text; int bad; bool whole; } utf8_cases[] = {
    { "", -1, true },
    { "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!", -1, true },
    { "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", -1, true },
    { "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80""edited", 12, false },
    { "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80""edited", 12, false },
    { "\xc2\x80", -1, true },
    { "\xdf\xbf", -1, true },
    { "\xe0\xa0\x80", -1, true },
    { "\xef\xbf\xbf", -1, true },
    { "\xf0\x90\x80\x80", -1, true },
    { "\xf4\x8f\xbf\xbf", -1, true },
    { "\xed\x9f\xbf", -1, true },
    { "\xee\x80\x80", -1, true },
    { "\xef\xbf\xbd", -1, true },
    { "\xf4\x90\x80\x80", 1, false },
    { "\xf8\x88\x80\x80\x80", 0, false },
    { "\xfc\x84\x80\x80\x80\x80", 0, false },
    { "\xf7\xbf\xbf\xbf", 0, false },
    { "\xfe", 0, false },
    { "\xff", 0, false },
    { "\x80", 0, false },
    { "\xbf", 0, false },
    { "\xc0\xaf", 0, false },
    { "\xc1\xbf", 0, false },
    { "\xe0\x80\xaf", 1, false },
    { "\xe0\x9f\xbf", 1, false },
    { "\xf0\x80\x80\xaf", 1, false },
    { "\xf0\x8f\xbf\xbf", 1, false },
    { "\xed\xa0\x80", 1, false },
    { "\xed\xbf\xbf", 1, false },
    { "\xc2", -1, false },
    { "\xe1\x80", -1, false },
    { "\xf1\x80\x80", -1, false },
    { "\xc2 ", 1, false },
    { "\xe1\x80 ", 2, false },
    { "\xf1\x80\x80 ", 3, false },
    { "\xc2\xc2", 1, false },
    { "0123456789abcdef0123456789abcde\xc3\xa4""0123456789abcdef\xe2\x82\xac.", -1, true },
    { "0123456789abcdef0123456789abcde\xc3\xa4""0123456789abcdef\xe2\x28\xac.", 50, false },
};

static void utf8_fails_at_its_first_bad_byte_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof utf8_cases / sizeof utf8_cases[0]; i++) {
        const char *text = utf8_cases[i].text;
        size_t length = strlen(text);
        int bad = utf8_cases[i].bad;
        assert_int_equal(uhttp_utf8_valid(text_guard(text)), bad < 0 && utf8_cases[i].whole);
        for (size_t cut = 0; cut <= length; cut++) {
            uint8_t at = 0;
            uhttp_result first = uhttp_utf8_check(&at, text_guard_bytes(text, cut));
            if ((first == UHTTP_ERR_INVALID) != (bad >= 0 && cut > (size_t)bad))
                fail_msg("case %zu cut at %zu: %d", i, cut, (int)first);
            if (first == UHTTP_ERR_INVALID)
                continue;
            assert_int_equal(first == UHTTP_OK, at == 0);
            uhttp_result rest =
                uhttp_utf8_check(&at, text_guard_bytes(text + cut, length - cut));
            uhttp_result wanted = bad >= 0 ? UHTTP_ERR_INVALID
                                  : utf8_cases[i].whole ? UHTTP_OK : UHTTP_ERR_AGAIN;
            if (rest != wanted)
                fail_msg("case %zu behind a cut at %zu: %d", i, cut, (int)rest);
        }
    }
    uint8_t nonsense = 200;
    assert_int_equal(uhttp_utf8_check(&nonsense, text_guard("a")), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_utf8_check(NULL, text_guard("a")), UHTTP_ERR_INVALID);
}

/* Against the definition: a code point is read and written again. */
static bool utf8_by_definition(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; ) {
        size_t more = p[i] < 0x80 ? 0 : p[i] < 0xc0 ? 9 : p[i] < 0xe0 ? 1 : p[i] < 0xf0 ? 2
                    : p[i] < 0xf8 ? 3 : 9;
        uint32_t code = more == 0 ? p[i] : p[i] & (0x3fu >> more);
        if (more > 3 || n - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[i + k] & 0x3fu);
        }
        size_t least = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        if (least != more || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        i += more + 1;
    }
    return true;
}

static void utf8_agrees_with_its_definition_on_all_short_texts(void **state)
{
    (void)state;
    static const unsigned char tails[][2] = { { 'a', 'a' }, { 0x80, 0x80 }, { 0xbf, 'a' },
                                              { 0x80, 0xc2 } };
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            for (size_t i = 0; i < 4; i++) {
                unsigned char text[4] = { (unsigned char)first, (unsigned char)second,
                                          tails[i][0], tails[i][1] };
                for (size_t n = 1; n <= 4; n++) {
                    uhttp_str s = { (const char *)text, n };
                    assert_int_equal(uhttp_utf8_valid(s), utf8_by_definition(text, n));
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_heads_are_read_strictly_and_wait_for_their_last_byte),
        cmocka_unit_test(masks_come_off_in_pieces_at_any_alignment_and_in_place),
        cmocka_unit_test(sha1_gives_the_known_digests),
        cmocka_unit_test(base64_is_written_as_it_is_read),
        cmocka_unit_test(utf8_fails_at_its_first_bad_byte_however_it_is_cut),
        cmocka_unit_test(utf8_agrees_with_its_definition_on_all_short_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
