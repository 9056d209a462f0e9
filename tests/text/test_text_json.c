/* 05g JSON: tables of texts, values, paths and writers. Inputs lie in memory that ends where
 * they end, so that under AddressSanitizer the byte behind them cannot be read. */
#include <fenv.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define TEXT(literal) literal, sizeof literal - 1
#define FINE SIZE_MAX

static uhttp_str placed(const char *text, size_t length)
{
    char *copy = (char *)malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    uhttp_str slice = { length > 0 ? copy : (free(copy), NULL), length };
    return slice;
}

static void release(uhttp_str slice)
{
    free((void *)(uintptr_t)slice.ptr);
}

static uhttp_str of(const char *text)
{
    uhttp_str slice = { text, strlen(text) };
    return slice;
}

static uhttp_json_value root(const char *text)
{
    return uhttp_json_find(of(text), "");
}

static uhttp_result ok_if(int condition)
{
    return condition ? UHTTP_OK : UHTTP_ERR_INVALID;
}

static uint64_t bits_of(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* ---- validity */

static const struct { const char *text; size_t length, position; } validity_cases[] = {
    /* values at the top */
    { TEXT("null"), FINE },
    { TEXT("true"), FINE },
    { TEXT("false"), FINE },
    { TEXT("0"), FINE },
    { TEXT("\"\""), FINE },
    { TEXT("[]"), FINE },
    { TEXT("{}"), FINE },
    { TEXT(" [] "), FINE },
    { TEXT("\t\r\n {\t\r\n }\t\r\n "), FINE },
    { TEXT(""), 0 },
    { TEXT(" "), 1 },
    { TEXT("                    "), 20 },
    { TEXT("1 2"), 2 },
    { TEXT("[] []"), 3 },
    { TEXT("{}}"), 2 },
    { TEXT("[]]"), 2 },
    { TEXT("]"), 0 },
    { TEXT("}"), 0 },
    { TEXT(","), 0 },
    { TEXT(":"), 0 },
    { TEXT("*"), 0 },
    { TEXT("<html>"), 0 },
    { TEXT("[1]x"), 3 },
    { TEXT("{\"a\":true} \"x\""), 11 },
    { TEXT("// no\n1"), 0 },
    { TEXT("[1/**/]"), 2 },
    { TEXT("1 #"), 2 },

    /* what is white space */
    { TEXT("\f1"), 0 },
    { TEXT("\v1"), 0 },
    { TEXT("[\0]"), 1 },
    { TEXT("1\0"), 1 },
    { TEXT("\xC2\xA0" "1"), 0 },            /* no-break space */
    { TEXT("\xE2\x81\xA0[]"), 0 },          /* word joiner */
    { TEXT("\xEF\xBB\xBF{}"), 0 },          /* byte order mark */
    { TEXT("\xFF\xFE[\0]\0"), 0 },          /* UTF-16 */
    { TEXT("[\n                        1,\n                        2\n]"), FINE },
    { TEXT("       \x08         1"), 7 },
    { TEXT("                \x01"), 16 },

    /* literals */
    { TEXT("nul"), 3 },
    { TEXT("nulx"), 3 },
    { TEXT("nullx"), 4 },
    { TEXT("tru"), 3 },
    { TEXT("fals"), 4 },
    { TEXT("True"), 0 },
    { TEXT("NULL"), 0 },
    { TEXT("[nothing]"), 2 },
    { TEXT("undefined"), 0 },
    { TEXT("[truefalse]"), 5 },

    /* numbers */
    { TEXT("-0"), FINE },
    { TEXT("-1"), FINE },
    { TEXT("10"), FINE },
    { TEXT("0.5"), FINE },
    { TEXT("-0.0"), FINE },
    { TEXT("1e2"), FINE },
    { TEXT("1E2"), FINE },
    { TEXT("1E+2"), FINE },
    { TEXT("1e-2"), FINE },
    { TEXT("0e0"), FINE },
    { TEXT("0e+1"), FINE },
    { TEXT("1e01"), FINE },
    { TEXT("1.5e-05"), FINE },
    { TEXT("-123.456E+78"), FINE },
    { TEXT("1e400"), FINE },                /* the grammar knows no range */
    { TEXT("-1e99999999999999999999"), FINE },
    { TEXT("123456789012345678901234567890123456789012345678901234567890"), FINE },
    { TEXT("0.000000000000000000000000000000000000000000000000000000000001"), FINE },
    { TEXT("-"), 1 },
    { TEXT("+1"), 0 },
    { TEXT("--1"), 1 },
    { TEXT("-a"), 1 },
    { TEXT("- 1"), 1 },
    { TEXT("01"), 1 },
    { TEXT("-01"), 2 },
    { TEXT("00"), 1 },
    { TEXT(".5"), 0 },
    { TEXT("-.5"), 1 },
    { TEXT("5."), 2 },
    { TEXT("[5.]"), 3 },
    { TEXT("5.e1"), 2 },
    { TEXT("0.e1"), 2 },
    { TEXT("1.2.3"), 3 },
    { TEXT("1e"), 2 },
    { TEXT("1e+"), 3 },
    { TEXT("1e-"), 3 },
    { TEXT("[1e]"), 3 },
    { TEXT("1e1.5"), 3 },
    { TEXT("1ee2"), 2 },
    { TEXT("1e+-2"), 3 },
    { TEXT("1_000"), 1 },
    { TEXT("1,000"), 1 },
    { TEXT("0x10"), 1 },
    { TEXT("1f"), 1 },
    { TEXT("NaN"), 0 },
    { TEXT("-NaN"), 1 },
    { TEXT("Infinity"), 0 },
    { TEXT("-Infinity"), 1 },
    { TEXT("\xEF\xBC\x91"), 0 },            /* a full-width 1 */
    { TEXT("[1 000]"), 3 },

    /* arrays */
    { TEXT("[1]"), FINE },
    { TEXT("[ 1 , 2 ]"), FINE },
    { TEXT("[[]   ]"), FINE },
    { TEXT("[null,1,\"1\",{}]"), FINE },
    { TEXT("[[[[[[]]]]],[]]"), FINE },
    { TEXT("["), 1 },
    { TEXT("[1"), 2 },
    { TEXT("[1,"), 3 },
    { TEXT("[,1]"), 1 },
    { TEXT("[,]"), 1 },
    { TEXT("[1,]"), 3 },
    { TEXT("[1,,2]"), 3 },
    { TEXT("[1 2]"), 3 },
    { TEXT("[1:2]"), 2 },
    { TEXT("[\"a\":1]"), 4 },
    { TEXT("[1;2]"), 2 },
    { TEXT("[1}"), 2 },
    { TEXT("[[1]"), 4 },
    { TEXT("[\"\""), 3 },
    { TEXT("[1]]"), 3 },

    /* objects */
    { TEXT("{\"a\":1}"), FINE },
    { TEXT("{ \"a\" : 1 , \"b\" : { } }"), FINE },
    { TEXT("{\"a\":1,\"a\":2}"), FINE },    /* the grammar allows it */
    { TEXT("{\"\":0}"), FINE },
    { TEXT("{\"\\u0000\":0}"), FINE },
    { TEXT("{\"a\":[{\"b\":[{}]}]}"), FINE },
    { TEXT("{"), 1 },
    { TEXT("{,}"), 1 },
    { TEXT("{\"a\""), 4 },
    { TEXT("{\"a\"}"), 4 },
    { TEXT("{\"a\":"), 5 },
    { TEXT("{\"a\":}"), 5 },
    { TEXT("{\"a\":1"), 6 },
    { TEXT("{\"a\":1,"), 7 },
    { TEXT("{\"a\":1,}"), 7 },
    { TEXT("{\"a\":1,,\"b\":2}"), 7 },
    { TEXT("{\"a\":1 \"b\":2}"), 7 },
    { TEXT("{\"a\"::1}"), 5 },
    { TEXT("{\"a\",1}"), 4 },
    { TEXT("{\"a\" \"b\"}"), 5 },
    { TEXT("{:1}"), 1 },
    { TEXT("{1:1}"), 1 },
    { TEXT("{a:1}"), 1 },
    { TEXT("{null:1}"), 1 },
    { TEXT("{[]:1}"), 1 },
    { TEXT("{'a':1}"), 1 },
    { TEXT("{\"a\":1]"), 6 },
    { TEXT("{\"a\":[1}"), 7 },
    { TEXT("{\"a\":1}/"), 7 },
    { TEXT("{\"a\":1 2}"), 7 },

    /* strings */
    { TEXT("\" !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~\x7F\""), FINE },
    { TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), FINE },
    { TEXT("\"\\u0041\\u00e9\\u20AC\\uFFFF\\u0000\""), FINE },
    { TEXT("\"\\\\u12\""), FINE },
    { TEXT("\"/*//\""), FINE },
    { TEXT("\"\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\""), FINE },
    { TEXT("\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""), FINE },
    { TEXT("\"\xE2\x80\xA8\xE2\x80\xA9\""), FINE },     /* line separators are plain here */
    { TEXT("\""), 1 },
    { TEXT("\"a"), 2 },
    { TEXT("\"a long one that is not closed"), 30 },
    { TEXT("'a'"), 0 },
    { TEXT("\"a\nb\""), 2 },
    { TEXT("\"a\tb\""), 2 },
    { TEXT("\"\0\""), 1 },
    { TEXT("\"0123456789abcdef\x1F" "0123456789abcdef\""), 17 },
    { TEXT("\"\\"), 1 },
    { TEXT("\"\\\""), 1 + 2 },              /* the quote is escaped, so the end is missing */
    { TEXT("\"\\a\""), 1 },
    { TEXT("\"\\x41\""), 1 },
    { TEXT("\"\\'\""), 1 },
    { TEXT("\"\\0\""), 1 },
    { TEXT("\"\\U0041\""), 1 },
    { TEXT("\"\\\0\""), 1 },
    { TEXT("\"\\\n\""), 1 },
    { TEXT("\"\\\xC3\xA9\""), 1 },
    { TEXT("\"ab\\u\""), 3 },
    { TEXT("\"\\u004\""), 1 },
    { TEXT("\"\\u00g0\""), 1 },
    { TEXT("\"\\u+041\""), 1 },
    { TEXT("\"\\u 041\""), 1 },
    { TEXT("\"\\u004"), 1 },
    { TEXT("\"\\u00\x10\x11\""), 1 },       /* these differ from digits in one bit */

    /* surrogates */
    { TEXT("\"\\ud834\\udd1e\""), FINE },
    { TEXT("\"\\uD834\\uDD1E\""), FINE },
    { TEXT("\"\\uD800\\uDC00\\uDBFF\\uDFFF\""), FINE },
    { TEXT("\"\\ud834\""), 1 },
    { TEXT("\"\\ud834x\""), 1 },
    { TEXT("\"\\ud834\\n\""), 1 },
    { TEXT("\"\\ud834\\u0041\""), 1 },
    { TEXT("\"\\ud834\\ud834\""), 1 },
    { TEXT("\"\\ud834\\udd1\""), 1 },
    { TEXT("\"\\ud834\\"), 1 },
    { TEXT("\"\\udd1e\""), 1 },
    { TEXT("\"\\udd1e\\ud834\""), 1 },
    { TEXT("\"a\\uDFFF\""), 2 },

    /* UTF-8 */
    { TEXT("\"\x80\""), 1 },
    { TEXT("\"a\xBF\""), 2 },
    { TEXT("\"\xC0\x80\""), 1 },            /* overlong NUL */
    { TEXT("\"\xC1\xBF\""), 1 },
    { TEXT("\"\xC2\""), 1 },
    { TEXT("\"\xC2"), 1 },
    { TEXT("\"\xC3\xC3\""), 1 },
    { TEXT("\"\xE0\x9F\xBF\""), 1 },        /* overlong */
    { TEXT("\"\xE2\x82\""), 1 },
    { TEXT("\"\xE2\x82"), 1 },
    { TEXT("\"\xE2\x28\xA1\""), 1 },
    { TEXT("\"\xED\xA0\x80\""), 1 },        /* a surrogate in UTF-8 */
    { TEXT("\"\xED\xBF\xBF\""), 1 },
    { TEXT("\"\xF0\x8F\xBF\xBF\""), 1 },    /* overlong */
    { TEXT("\"\xF0\x9F\x98\""), 1 },
    { TEXT("\"\xF4\x90\x80\x80\""), 1 },    /* beyond U+10FFFF */
    { TEXT("\"\xF5\x80\x80\x80\""), 1 },
    { TEXT("\"\xFE\""), 1 },
    { TEXT("\"\xFF\""), 1 },
    { TEXT("\"01234567\xC3\xA9" "89abcdef\xE9\""), 19 },
    { TEXT("{\"\xE9\":1}"), 2 },
};

static void json_validity_follows_the_grammar_and_names_the_first_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(validity_cases); i++) {
        size_t position = FINE;
        uhttp_str text = placed(validity_cases[i].text, validity_cases[i].length);
        bool valid = uhttp_json_valid(text, &position);
        size_t expected = validity_cases[i].position;
        if (valid != (expected == FINE) || position != expected)
            fail_msg("case %zu: %s: %d at %zu", i, validity_cases[i].text, valid, position);
        assert_int_equal(uhttp_json_valid(text, NULL), valid);
        release(text);
    }
}

/* Up to the error the text could have gone on well; with the byte there it cannot. */
static void json_error_position_is_the_first_that_no_valid_text_could_have(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(validity_cases); i++) {
        size_t length = validity_cases[i].length, position;
        for (size_t cut = 0; cut <= length; cut++) {
            uhttp_str text = placed(validity_cases[i].text, cut);
            size_t at = FINE, again = FINE;
            if (!uhttp_json_valid(text, &at)) {
                assert_true(at <= cut && at <= validity_cases[i].position);
                uhttp_str before = placed(validity_cases[i].text, at);
                assert_true(uhttp_json_valid(before, &again) || again == at);
                release(before);
            }
            release(text);
        }
        position = validity_cases[i].position;
        if (position < length) {
            uhttp_str text = placed(validity_cases[i].text, position + 1);
            size_t at = FINE;
            bool valid = uhttp_json_valid(text, &at);
            assert_true(!valid && at == position);
            release(text);
        }
    }
}

static void json_text_cut_anywhere_is_not_valid(void **state)
{
    static const char whole[] =
        " {\"a\\u00e9\":[1.5e+3,-0,{\"\":null}],"
        "\"\xF0\x9F\x98\x80\":\"\\ud83d\\ude00\",\"t\":true}";
    (void)state;
    assert_true(uhttp_json_valid(of(whole), NULL));
    for (size_t cut = 0; cut < sizeof whole - 1; cut++) {
        uhttp_str text = placed(whole, cut);
        assert_false(uhttp_json_valid(text, NULL));
        assert_int_equal(uhttp_json_find(text, "").type, UHTTP_JSON_NONE);
        release(text);
    }
}

static void json_depth_is_bounded(void **state)
{
    char text[2 * (UHTTP_JSON_MAX_DEPTH + 1) + 1];
    (void)state;
    for (int depth = 1; depth <= UHTTP_JSON_MAX_DEPTH + 1; depth++) {
        size_t position = FINE, half = (size_t)depth;
        memset(text, '[', half);
        memset(text + half, ']', half);
        uhttp_str slice = { text, 2 * half };
        assert_int_equal(uhttp_json_valid(slice, &position), depth <= UHTTP_JSON_MAX_DEPTH);
        if (depth > UHTTP_JSON_MAX_DEPTH)
            assert_int_equal(position, UHTTP_JSON_MAX_DEPTH);
    }
    size_t length = 100000;
    char *many = (char *)malloc(length);
    memset(many, '[', length);
    uhttp_str slice = { many, length };
    assert_false(uhttp_json_valid(slice, NULL));
    for (size_t i = 0; i < length; i++)
        many[i] = "{\"\":"[i % 4];
    assert_false(uhttp_json_valid(slice, NULL));
    assert_int_equal(uhttp_json_find(slice, "").type, UHTTP_JSON_NONE);
    free(many);
}

static void json_mixed_nesting_is_remembered_at_every_depth(void **state)
{
    char text[8 * UHTTP_JSON_MAX_DEPTH];
    (void)state;
    for (unsigned pattern = 1; pattern < 2000; pattern += 7) {
        size_t n = 0;
        for (int i = 0; i < UHTTP_JSON_MAX_DEPTH; i++) {
            bool object = (pattern >> i % 11) & 1;
            memcpy(text + n, object ? "{\"k\":" : "[", object ? 5 : 1);
            n += object ? 5 : 1;
        }
        text[n++] = '1';
        size_t closing = n;
        for (int i = UHTTP_JSON_MAX_DEPTH; i-- > 0;)
            text[n++] = (pattern >> i % 11) & 1 ? '}' : ']';
        uhttp_str slice = { text, n };
        assert_true(uhttp_json_valid(slice, NULL));
        for (size_t i = closing; i < n; i++) {
            size_t position;
            text[i] ^= '}' ^ ']';
            assert_false(uhttp_json_valid(slice, &position));
            assert_int_equal(position, i);
            text[i] ^= '}' ^ ']';
        }
    }
}

static void json_strings_are_scanned_alike_at_every_length_and_offset(void **state)
{
    static const char odd[] = "\"\\\x1F\x01\n\x80\xFF\x7F !#[]^";
    (void)state;
    for (size_t length = 0; length < 40; length++)
        for (size_t at = 0; at < length; at++)
            for (size_t k = 0; k < sizeof odd - 1; k++) {
                char text[64];
                memset(text, 'x', sizeof text);
                text[0] = '"';
                text[1 + at] = odd[k];
                text[1 + length] = '"';
                uhttp_str slice = placed(text, length + 2);
                size_t position = FINE;
                bool plain = k >= 7;
                assert_int_equal(uhttp_json_valid(slice, &position), plain);
                size_t want = odd[k] == '"' ? at + 2
                            : odd[k] == '\\' && at == length - 1 ? length + 2 : at + 1;
                assert_int_equal(position, plain ? FINE : want);
                release(slice);
            }
}

/* ---- typed access */

static const struct { const char *json, *text; size_t length; } string_cases[] = {
    { "\"\"", TEXT("") },
    { "\"plain\"", TEXT("plain") },
    { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", TEXT("\"\\/\b\f\n\r\t") },
    { "\"\\u0041\\u004a\\u004A\"", TEXT("AJJ") },
    { "\"\\u007f\\u0080\\u07ff\"", TEXT("\x7F\xC2\x80\xDF\xBF") },
    { "\"\\u0800\\ud7ff\"", TEXT("\xE0\xA0\x80\xED\x9F\xBF") },
    { "\"\\ue000\\uffff\"", TEXT("\xEE\x80\x80\xEF\xBF\xBF") },
    { "\"\\ud800\\udc00\\udbff\\udfff\"", TEXT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF") },
    { "\"\\ud83d\\ude00\"", TEXT("\xF0\x9F\x98\x80") },
    { "\"\xF0\x9F\x98\x80\"", TEXT("\xF0\x9F\x98\x80") },
    { "\"a\\u0000b\"", TEXT("a\0b") },
    { "\"\\u0000\"", TEXT("\0") },
    { "\"\\\\u0000\"", TEXT("\\u0000") },
    { "\"0123456789abcdef\\n0123456789abcdef\"", TEXT("0123456789abcdef\n0123456789abcdef") },
};

static void json_strings_are_decoded_into_any_buffer_that_is_large_enough(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(string_cases); i++) {
        uhttp_str text = placed(string_cases[i].json, strlen(string_cases[i].json));
        uhttp_json_value value = uhttp_json_find(text, "");
        size_t length = string_cases[i].length, got = 12345;
        bool has_nul = memchr(string_cases[i].text, 0, length) != NULL;
        assert_int_equal(value.type, UHTTP_JSON_STRING);
        assert_true(length + 1 <= value.text.len - 1);
        for (size_t size = 0; size <= length + 2; size++) {
            char *buffer = (char *)malloc(size + 1);
            memset(buffer, '#', size + 1);
            uhttp_result result = uhttp_json_to_bytes(value, buffer, size, &got);
            assert_int_equal(result, size > length ? UHTTP_OK : UHTTP_ERR_MEMORY);
            assert_int_equal(got, size > length ? length : 12345);
            assert_memory_equal(buffer, size > length ? string_cases[i].text : "#",
                                size > length ? length + 1 : 1);
            assert_int_equal(buffer[size], '#');
            buffer[0] = '#';
            result = uhttp_json_to_string(value, buffer, size);
            assert_int_equal(result, has_nul ? UHTTP_ERR_INVALID
                                             : size > length ? UHTTP_OK : UHTTP_ERR_MEMORY);
            if (result == UHTTP_OK)
                assert_string_equal(buffer, string_cases[i].text);
            else
                assert_int_equal(buffer[0], '#');
            free(buffer);
        }
        if (!has_nul)
            assert_true(uhttp_json_equals(value, string_cases[i].text));
        release(text);
    }
}

static void json_string_equals_only_the_very_same_text(void **state)
{
    (void)state;
    assert_true(uhttp_json_equals(root("\"a\""), "a"));
    assert_true(uhttp_json_equals(root("\"\""), ""));
    assert_true(uhttp_json_equals(root("\"\\u00e9\""), "\xC3\xA9"));
    assert_true(uhttp_json_equals(root("\"a.b[0]\\\\\""), "a.b[0]\\"));     /* it is no path */
    assert_false(uhttp_json_equals(root("\"a\""), ""));
    assert_false(uhttp_json_equals(root("\"\""), "a"));
    assert_false(uhttp_json_equals(root("\"a\""), "ab"));
    assert_false(uhttp_json_equals(root("\"ab\""), "a"));
    assert_false(uhttp_json_equals(root("\"a\\u0000\""), "a"));
    assert_false(uhttp_json_equals(root("\"\\u00e9\""), "\xC3"));
    assert_false(uhttp_json_equals(root("1"), "1"));
    assert_false(uhttp_json_equals(root("nope"), ""));
}

#define I32 1
#define U32 2
#define I64 4
#define U64 8
#define ALL 15

static const struct { const char *json; int fits; int64_t number; } integer_cases[] = {
    { "0", ALL, 0 },
    { "-0", ALL, 0 },
    { "1", ALL, 1 },
    { "-1", I32 | I64, -1 },
    { "2147483647", ALL, 2147483647 },
    { "2147483648", U32 | I64 | U64, 2147483648 },
    { "-2147483648", I32 | I64, -2147483647 - 1 },
    { "-2147483649", I64, -2147483649 },
    { "4294967295", U32 | I64 | U64, 4294967295 },
    { "4294967296", I64 | U64, 4294967296 },
    { "9007199254740993", I64 | U64, 9007199254740993 },
    { "9223372036854775807", I64 | U64, INT64_MAX },
    { "9223372036854775808", U64, INT64_MIN },          /* as bits */
    { "-9223372036854775808", I64, INT64_MIN },
    { "-9223372036854775809", 0, 0 },
    { "18446744073709551615", U64, -1 },
    { "18446744073709551616", 0, 0 },
    { "-18446744073709551615", 0, 0 },
    { "18446744073709551620", 0, 0 },
    { "99999999999999999999", 0, 0 },
    { "184467440737095516150", 0, 0 },
    { "100000000000000000000000000000000000000000000000000", 0, 0 },
    { "1.0", 0, 0 },        /* an integer is written as one */
    { "1e2", 0, 0 },
    { "1E+2", 0, 0 },
    { "0.5", 0, 0 },
    { "\"1\"", 0, 0 },
    { "true", 0, 0 },
    { "null", 0, 0 },
    { "[1]", 0, 0 },
    { "{}", 0, 0 },
    { "", 0, 0 },
};

static void json_integers_are_read_within_the_range_of_their_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(integer_cases); i++) {
        uhttp_str text = placed(integer_cases[i].json, strlen(integer_cases[i].json));
        uhttp_json_value value = uhttp_json_find(text, "");
        int fits = integer_cases[i].fits;
        int64_t number = integer_cases[i].number;
        int32_t i32 = 77;
        uint32_t u32 = 77;
        int64_t i64 = 77;
        uint64_t u64 = 77;
        assert_int_equal(uhttp_json_to_int32(value, &i32), ok_if(fits & I32));
        assert_int_equal(uhttp_json_to_uint32(value, &u32), ok_if(fits & U32));
        assert_int_equal(uhttp_json_to_int64(value, &i64), ok_if(fits & I64));
        assert_int_equal(uhttp_json_to_uint64(value, &u64), ok_if(fits & U64));
        assert_true(i32 == (fits & I32 ? number : 77));
        assert_true(u32 == (fits & U32 ? (uint64_t)number : 77));
        assert_true(i64 == (fits & I64 ? number : 77));
        assert_true(u64 == (fits & U64 ? (uint64_t)number : 77));
        release(text);
    }
}

static void json_bool_and_types_are_told_apart(void **state)
{
    static const struct { const char *json; uhttp_json_type type; } cases[] = {
        { "null", UHTTP_JSON_NULL },
        { "true", UHTTP_JSON_BOOL },
        { " false ", UHTTP_JSON_BOOL },
        { "0", UHTTP_JSON_NUMBER },
        { "-1", UHTTP_JSON_NUMBER },
        { "\"true\"", UHTTP_JSON_STRING },
        { "[]", UHTTP_JSON_ARRAY },
        { " {} ", UHTTP_JSON_OBJECT },
        { "", UHTTP_JSON_NONE },
        { "[1,]", UHTTP_JSON_NONE },
        { "tru", UHTTP_JSON_NONE },
        { "\"", UHTTP_JSON_NONE },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uhttp_json_value value = root(cases[i].json);
        bool flag = i % 2;
        uhttp_result result = uhttp_json_to_bool(value, &flag);
        assert_int_equal(value.type, cases[i].type);
        assert_int_equal(result, ok_if(value.type == UHTTP_JSON_BOOL));
        assert_int_equal(flag, result == UHTTP_OK ? strcmp(cases[i].json, "true") == 0 : i % 2);
        if (value.type == UHTTP_JSON_NONE)
            assert_true(value.text.ptr == NULL && value.text.len == 0);
    }
}

/* ---- doubles */

static const char *const double_cases[] = {
    "0", "-0", "0.0", "-0.0e5", "0e400", "0e-99999999999999999999", "1", "-1", "1.5", "1E+2",
    "0.1", "0.2", "0.3", "1e22", "1e23", "8.5e22", "123456789.125", "9007199254740991",
    "9007199254740992", "9007199254740993",
    "9007199254740992.9999999999999999999999999999999999999",
    "9007199254740993.0000000000000000000000000000000000000000000000000000000000000000000001",
    "9007199254740995", "18446744073709551615", "123456789012345678901234567890",
    "1.7976931348623157e308", "1.7976931348623158e308", "1.797693134862315807e308",
    "17976931348623157e292", "0.00000017976931348623157e315",
    "2.2250738585072014e-308", "2.2250738585072011e-308",
    "2.225073858507201136057409796709131975934819546351645648e-308",
    "4.9406564584124654e-324", "4.9e-324", "3e-324", "2.4703282292062328e-324",
    "2.4703282292062327e-324", "1e-400", "1e-99999999999999999999",
    "100000000000000000000000000000000000000000000000000000e-53",
    "0.000000000000000000000000000000000000000000000000000001e54",
    "7.3879e20", "6.9294956446009195e15", "3.7455744005952583e15", "2.2222222222222222e-322",
    "1.00000000000000011102230246251565404236316680908203125",         /* the middle: to even */
    "1.00000000000000011102230246251565404236316680908203124",
    "1.00000000000000011102230246251565404236316680908203126",
    "1.00000000000000033306690738754696212708950042724609375",
};

static void json_double_is_the_nearest_as_strtod_finds_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(double_cases); i++) {
        double number = 7;
        uhttp_str text = placed(double_cases[i], strlen(double_cases[i]));
        assert_int_equal(uhttp_json_to_double(uhttp_json_find(text, ""), &number), UHTTP_OK);
        if (bits_of(number) != bits_of(strtod(double_cases[i], NULL)))
            fail_msg("%s became %a", double_cases[i], number);
        release(text);
    }
}

static void json_double_out_of_range_or_of_another_type_is_refused(void **state)
{
    static const char *const cases[] = {
        "1e400", "-1e400", "1e309", "1.7976931348623159e308", "1.797693134862315808e308",
        "1e99999999999999999999999", "\"1\"", "null", "true", "[]", "{}", "", "NaN",
        "01", "1.", "1x",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        double number = 7;
        assert_int_equal(uhttp_json_to_double(root(cases[i]), &number), UHTTP_ERR_INVALID);
        assert_true(bits_of(number) == bits_of(7));
    }
}

static void json_double_takes_any_number_of_digits(void **state)
{
    static char text[9000];
    (void)state;
    for (int digits = 700; digits < 8000; digits = digits < 800 ? digits + 1 : digits + 997)
        for (int shape = 0; shape < 6; shape++) {
            int n = 0;
            n += shape % 2 ? snprintf(text, sizeof text, "0.") : 0;
            memset(text + n, shape < 2 ? '9' : shape < 4 ? '1' : '0', (size_t)digits);
            if (shape >= 4)
                text[n] = text[n + digits - 1] = '1';
            n += digits;
            snprintf(text + n, 20, "e%d", shape % 2 ? 3 : 20 - digits - 320 * (shape == 2));
            double number = 7;
            assert_int_equal(uhttp_json_to_double(root(text), &number), UHTTP_OK);
            assert_true(bits_of(number) == bits_of(strtod(text, NULL)));
        }
}

static void json_double_is_written_short_and_reads_back(void **state)
{
    static const struct { double number; const char *text; } cases[] = {
        { 0.0, "0" },
        { -0.0, "-0" },
        { 1.0, "1" },
        { -1.0, "-1" },
        { 100.0, "100" },
        { 0.1, "0.1" },
        { 0.5, "0.5" },
        { 1.5, "1.5" },
        { -2.25, "-2.25" },
        { 3.14159, "3.14159" },
        { 1e20, "100000000000000000000" },
        { 123456789012345680000.0, "123456789012345680000" },
        { 1e21, "1e21" },
        { 1.5e21, "1.5e21" },
        { 0.00001, "0.00001" },
        { 0.000001, "0.000001" },
        { 0.0000001, "1e-7" },
        { 1.25e-7, "1.25e-7" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 1.0 / 3, "0.3333333333333333" },
        { 2.0 / 3, "0.6666666666666666" },
        { 9007199254740993.0, "9007199254740992" },
        { 5e-324, "5e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e308" },
        { 2.2250738585072014e-308, "2.2250738585072014e-308" },
        { 2.225073858507201e-308, "2.225073858507201e-308" },
        { 9.5367431640625e-7, "9.5367431640625e-7" },
        { 4.35, "4.35" },
        { 2e-3, "0.002" },
        { 1e23, "1e23" },
        { 5.684341886080802e-14, "5.684341886080802e-14" },     /* 2^-44: uneven neighbours */
        { 9.007199254740992e22, "9.007199254740992e22" },
        { -1.2345678901234564e-300, "-1.2345678901234564e-300" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char buffer[26];
        uhttp_json_writer w;
        uhttp_json_begin(&w, buffer, sizeof buffer);
        assert_int_equal(uhttp_json_double(&w, cases[i].number), UHTTP_OK);
        assert_string_equal(buffer, cases[i].text);
    }
}

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int digits_in(const char *text)
{
    int leading = 0, digits = 0, zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        leading += *text > '0' && *text <= '9';
        digits += leading > 0 && *text >= '0' && *text <= '9';
        zeros = *text == '0' ? zeros + 1 : *text == '.' ? zeros : 0;
    }
    return digits > zeros ? digits - zeros : digits;
}

static void check_round_trip(double number)
{
    char text[32], printed[32];
    uhttp_json_writer w;
    double back = 0;
    if (!isfinite(number))
        return;
    uhttp_json_begin(&w, text, sizeof text);
    assert_int_equal(uhttp_json_double(&w, number), UHTTP_OK);
    assert_int_equal(uhttp_json_to_double(root(text), &back), UHTTP_OK);
    if (bits_of(back) != bits_of(number) || bits_of(strtod(text, NULL)) != bits_of(number))
        fail_msg("%a was written as %s", number, text);
    int precision = 0;
    do
        snprintf(printed, sizeof printed, "%.*e", precision, number);
    while (bits_of(strtod(printed, NULL)) != bits_of(number) && ++precision < 17);
    if (digits_in(text) > precision + 1)
        fail_msg("%a was written as %s, but %s would do", number, text, printed);
}

static void json_doubles_of_every_exponent_round_trip_in_the_fewest_digits(void **state)
{
    (void)state;
    for (uint64_t exponent = 0; exponent < 0x7FF; exponent++)
        for (int64_t k = -2; k <= 2; k++) {
            uint64_t bits = (exponent << 52) + (uint64_t)k;
            double number;
            memcpy(&number, &bits, sizeof number);
            check_round_trip(number);
        }
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_bits();
        double number;
        memcpy(&number, &bits, sizeof number);
        check_round_trip(number);
        check_round_trip((double)(random_bits() >> 40) / 1000);
    }
}

static void json_numbers_do_not_depend_on_locale_or_rounding(void **state)
{
    static const int modes[] = {
        FE_TONEAREST,
#ifdef FE_UPWARD
        FE_UPWARD,
#endif
#ifdef FE_DOWNWARD
        FE_DOWNWARD,
#endif
#ifdef FE_TOWARDZERO
        FE_TOWARDZERO,
#endif
    };
    (void)state;
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL &&
        setlocale(LC_NUMERIC, "fr_FR.UTF-8") == NULL)
        print_message("no locale with a decimal comma here\n");
    volatile double tenth = 0.1, third = 1.0 / 3;
    for (size_t i = 0; i < COUNT(modes); i++) {
        char text[64];
        uhttp_json_writer w;
        double number = 0;
        fesetround(modes[i]);
        uhttp_json_begin(&w, text, sizeof text);
        uhttp_json_array_begin(&w);
        uhttp_json_double(&w, tenth);
        uhttp_json_double(&w, third);
        uhttp_json_array_end(&w);
        uhttp_result result = uhttp_json_to_double(uhttp_json_find(of(text), "[1]"), &number);
        fesetround(FE_TONEAREST);
        assert_int_equal(result, UHTTP_OK);
        assert_string_equal(text, "[0.1,0.3333333333333333]");
        assert_true(bits_of(number) == bits_of(third));
    }
    setlocale(LC_NUMERIC, "C");
}

/* ---- paths */

static const char document[] =
    " { \"user\" : { \"id\" : 7 , \"tags\" : [ \"a\" , \"b\" , [ 10, 20, 30 ] ] , \"id\" : 8 },"
    "\"\":{\"\":\"empty\",\"x\":1}, \"a.b\":2, \"a[0]\":3, \"back\\\\slash\":4,"
    " \"caf\\u00e9\":5,"
    "\"\xF0\x9F\x98\x80\":6, \"\\ud83d\\ude01\":{\"in\":7}, \"n\\u0075l\":null, \"]\":8,"
    "\"list\":[{\"k\":0},{\"k\":1},{\"k\":[true]}], \"empty\":[],"
    "\"none\":{}, \"nul\\u0000\":9,"
    "\"user\":\"second\", \"a\":{\"b\":\"not a.b\"}, \" \":10 } ";

static const struct { const char *path, *value; } path_cases[] = {
    { "user.id", "7" },                 /* the first of two */
    { ".user.id", "7" },
    { "user.tags[0]", "\"a\"" },
    { "user.tags[2]", "[ 10, 20, 30 ]" },
    { "user.tags[2][1]", "20" },
    { "user.tags[02]", "[ 10, 20, 30 ]" },
    { "user.tags[3]", NULL },
    { "user.tags[2][3]", NULL },
    { "user.tags[4294967296]", NULL },
    { "user.tags[18446744073709551616]", NULL },
    { "user.tags[18446744073709551618]", NULL },
    { "user.tags[36893488147419103234]", NULL },
    { "user.tags.0", NULL },
    { "user.tags[]", NULL },
    { "user.tags[-1]", NULL },
    { "user.tags[ 1]", NULL },
    { "user.tags[1 ]", NULL },
    { "user.tags[1", NULL },
    { "user.tags[", NULL },
    { "user.tags[1]x", NULL },
    { "user.tags[1].", NULL },
    { "user[0]", NULL },
    { "user.id.x", NULL },
    { "user.id[0]", NULL },
    { "user.", NULL },
    { "users", NULL },
    { "use", NULL },
    { "USER", NULL },
    { ".", "{\"\":\"empty\",\"x\":1}" },
    { "..", "\"empty\"" },
    { "..x", "1" },
    { ".x", NULL },
    { ".\\.", NULL },
    { "..\\x", "1" },
    { "a.b", "\"not a.b\"" },
    { "a\\.b", "2" },
    { "a\\[0]", "3" },
    { "a\\[0\\]", "3" },
    { "a[0]", NULL },
    { "back\\\\slash", "4" },
    { "back\\slash", NULL },
    { "b\\ack\\\\sl\\ash", "4" },       /* a backslash before any character */
    { "caf\xC3\xA9", "5" },
    { "caf\xC3\\\xA9", "5" },
    { "caf\xC3", NULL },
    { "\xF0\x9F\x98\x80", "6" },
    { "\xF0\x9F\x98\x81.in", "7" },
    { "nul", "null" },
    { "]", "8" },
    { "list[2].k[0]", "true" },
    { "list[1].k", "1" },
    { "list[1][0]", NULL },
    { "list.k", NULL },
    { "empty", "[]" },
    { "empty[0]", NULL },
    { "none", "{}" },
    { "none.", NULL },
    { "none[0]", NULL },
    { " ", "10" },
    { "user\\", NULL },
    { "\\", NULL },
};

static void json_find_follows_a_path(void **state)
{
    (void)state;
    uhttp_str text = placed(document, sizeof document - 1);
    assert_true(uhttp_json_valid(text, NULL));
    for (size_t i = 0; i < COUNT(path_cases); i++) {
        uhttp_json_value value = uhttp_json_find(text, path_cases[i].path);
        const char *want = path_cases[i].value != NULL ? path_cases[i].value : "";
        const char *got = value.text.ptr != NULL ? value.text.ptr : "";
        if (value.text.len != strlen(want) || strncmp(got, want, strlen(want)) != 0)
            fail_msg("%s is %.*s", path_cases[i].path, (int)value.text.len, got);
        assert_int_equal(value.type == UHTTP_JSON_NONE, path_cases[i].value == NULL);
    }
    uhttp_json_value whole = uhttp_json_find(text, "");
    assert_int_equal(whole.type, UHTTP_JSON_OBJECT);
    assert_int_equal(whole.text.len, sizeof document - 3);
    uhttp_json_value user = uhttp_json_find(text, "user");
    assert_true(uhttp_json_equals(uhttp_json_find(user.text, "tags[1]"), "b"));
    release(text);
    assert_int_equal(uhttp_json_find(of("[[1,2],[3]]"), "[0][1]").type, UHTTP_JSON_NUMBER);
    assert_int_equal(uhttp_json_find(of("5"), "").type, UHTTP_JSON_NUMBER);
    assert_int_equal(uhttp_json_find(of("5"), "[0]").type, UHTTP_JSON_NONE);
    assert_int_equal(uhttp_json_find(of("\"5\""), "x").type, UHTTP_JSON_NONE);
}

static void json_find_reads_strictly_up_to_the_value_and_no_further(void **state)
{
    static const struct { const char *text, *path; bool found; } cases[] = {
        { "{\"a\":1,\"b\":2", "b", true },          /* broken behind it */
        { "{\"a\":1,\"b\":2,x", "b", true },
        { "{\"a\":1,\"b\":2 x", "b", false },       /* nothing of the kind can follow a value */
        { "{\"a\":1,\"b\":02", "b", false },
        { "{\"a\":1,\"b\":\"2\":", "b", false },
        { "[1,2,", "[1]", true },
        { "{\"a\":1 \"b\":2}", "b", false },
        { "{\"a\":01,\"b\":2}", "b", false },
        { "{\"a\":[1}],\"b\":2}", "b", false },
        { "{\"a\":\"\\x\",\"b\":2}", "b", false },
        { "{\"\xFF\":1,\"b\":2}", "b", false },
        { "{a:1,\"b\":2}", "b", false },
        { "{,\"b\":2}", "b", false },
        { "[,2]", "[1]", false },
        { "[1,,2]", "[2]", false },
        { "[1,]", "[1]", false },
        { "{\"b\":[1,2}", "b", false },             /* broken inside */
        { "{\"b\":[1,2}", "b[1]", true },
        { "{\"b\" 2}", "b", false },
        { "{\"b\":", "b", false },
        { "{\"b\"", "b", false },
        { "{\"b", "b", false },
        { "{", "b", false },
        { "[", "[0]", false },
        { "", "b", false },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uhttp_str text = placed(cases[i].text, strlen(cases[i].text));
        uhttp_json_value value = uhttp_json_find(text, cases[i].path);
        assert_int_equal(value.type != UHTTP_JSON_NONE, cases[i].found);
        release(text);
    }
}

static void json_walk_visits_members_and_elements_in_order(void **state)
{
    static const struct { const char *text, *seen; } cases[] = {
        { "[]", "" },
        { " [ ] ", "" },
        { "{}", "" },
        { "[1]", "=1;" },
        { "[1, \"two\" ,[3,[4]],{\"five\":6} , null]",
          "=1;=\"two\";=[3,[4]];={\"five\":6};=null;" },
        { "{\"a\":1}", "\"a\"=1;" },
        { "{ \"a\" : 1 , \"\\\"\" : [ ] , \"a\":{}}", "\"a\"=1;\"\\\"\"=[ ];\"a\"={};" },
        { "\"[1]\"", "" },
        { "12", "" },
        { "[1,2", "" },             /* broken texts are no values, so nothing is walked */
        { "", "" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char seen[200] = "";
        uhttp_str text = placed(cases[i].text, strlen(cases[i].text));
        uhttp_json_iter it = uhttp_json_iterate(uhttp_json_find(text, ""));
        while (uhttp_json_next(&it)) {
            if (it.key.type != UHTTP_JSON_NONE)
                strncat(seen, it.key.text.ptr, it.key.text.len);
            strcat(seen, "=");
            strncat(seen, it.value.text.ptr, it.value.text.len);
            strcat(seen, ";");
            assert_int_equal(it.key.type, cases[i].text[strspn(cases[i].text, " ")] == '{'
                                          ? UHTTP_JSON_STRING : UHTTP_JSON_NONE);
        }
        assert_string_equal(seen, cases[i].seen);
        assert_false(uhttp_json_next(&it));
        assert_false(uhttp_json_next(&it));
        release(text);
    }
}

static void json_walk_over_a_slice_that_is_broken_ends(void **state)
{
    static const char *const cases[] = {
        "[1,2", "[1 2]", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{\"a\"", "{1:2}", "[",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uhttp_str text = placed(cases[i], strlen(cases[i]));
        uhttp_json_value value = { { text.ptr, text.len }, UHTTP_JSON_ARRAY };  /* home-made */
        uhttp_json_iter it = uhttp_json_iterate(value);
        int steps = 0;
        while (uhttp_json_next(&it))
            assert_true(++steps < 3);
        assert_false(uhttp_json_next(&it));
        release(text);
    }
}

/* ---- writer */

/* One text that uses every call; step i of it, or UHTTP_ERR_UNSUPPORTED behind the last. */
static uhttp_result write_step(uhttp_json_writer *w, int i)
{
    switch (i) {
    case 0:  return uhttp_json_object_begin(w);
    case 1:  return uhttp_json_key(w, "id");
    case 2:  return uhttp_json_int(w, INT64_MIN);
    case 3:  return uhttp_json_key_n(w, "na\"me!", 5);
    case 4:  return uhttp_json_string(w, "tab\t quote\" back\\ \x01 \xC3\xA9 end");
    case 5:  return uhttp_json_key(w, "");
    case 6:  return uhttp_json_array_begin(w);
    case 7:  return uhttp_json_uint(w, UINT64_MAX);
    case 8:  return uhttp_json_double(w, -1.25e-10);
    case 9:  return uhttp_json_bool(w, true);
    case 10: return uhttp_json_bool(w, false);
    case 11: return uhttp_json_null(w);
    case 12: return uhttp_json_string(w, NULL);
    case 13: return uhttp_json_string_n(w, "a\0b", 3);
    case 14: return uhttp_json_raw(w, " {\"raw\":[1]}", 12);
    case 15: return uhttp_json_array_begin(w);
    case 16: return uhttp_json_array_end(w);
    case 17: return uhttp_json_object_begin(w);
    case 18: return uhttp_json_object_end(w);
    case 19: return uhttp_json_array_end(w);
    case 20: return uhttp_json_key(w, "last");
    case 21: return uhttp_json_string_n(w, "", 0);
    case 22: return uhttp_json_object_end(w);
    default: return UHTTP_ERR_UNSUPPORTED;
    }
}

#define STEPS 23

static const char written[] =
    "{\"id\":-9223372036854775808,"
    "\"na\\\"me\":\"tab\\t quote\\\" back\\\\ \\u0001 \xC3\xA9 end\","
    "\"\":[18446744073709551615,-1.25e-10,true,false,null,null,\"a\\u0000b\","
    " {\"raw\":[1]},[],{}],\"last\":\"\"}";

static void json_writer_sets_commas_and_escapes(void **state)
{
    char buffer[sizeof written];
    uhttp_json_writer w;
    (void)state;
    uhttp_json_begin(&w, buffer, sizeof buffer);
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(uhttp_json_error(&w), UHTTP_ERR_STATE);        /* not complete yet */
        assert_int_equal(write_step(&w, i), UHTTP_OK);
        assert_int_equal(strlen(buffer), uhttp_json_length(&w));
    }
    assert_int_equal(uhttp_json_error(&w), UHTTP_OK);
    assert_string_equal(buffer, written);
    assert_true(uhttp_json_valid(of(buffer), NULL));
}

static void json_writer_fills_a_buffer_of_any_size_and_never_more(void **state)
{
    (void)state;
    for (size_t size = 0; size <= sizeof written + 1; size++) {
        char *buffer = (char *)malloc(size > 0 ? size : 1);
        uhttp_json_writer w;
        uhttp_json_begin(&w, buffer, size);
        for (int i = 0; i < STEPS; i++)
            write_step(&w, i);
        uhttp_result expected = size < sizeof written ? UHTTP_ERR_MEMORY : UHTTP_OK;
        assert_int_equal(uhttp_json_error(&w), expected);
        if (size > 0) {
            assert_int_equal(strlen(buffer), uhttp_json_length(&w));
            assert_memory_equal(buffer, written, uhttp_json_length(&w));
        }
        free(buffer);
    }
    uhttp_json_writer w;
    uhttp_json_begin(&w, NULL, 100);
    assert_int_equal(uhttp_json_null(&w), UHTTP_ERR_MEMORY);
}

typedef struct sink {
    char         data[sizeof written + 1];
    size_t       used;
    int          calls, refuse_from, refuse_count;
    uhttp_result refusal;
    bool         swallow;
} sink;

static uhttp_result sink_room(void *user, size_t length, char **where)
{
    sink *s = (sink *)user;
    int call = s->calls++;
    if (call >= s->refuse_from && call < s->refuse_from + s->refuse_count)
        return s->refusal;
    assert_true(length <= sizeof s->data - s->used);
    *where = s->swallow ? NULL : s->data + s->used;
    s->used += length;
    return UHTTP_OK;
}

static void json_writer_told_again_at_any_call_wrote_nothing_and_can_repeat_it(void **state)
{
    (void)state;
    for (int from = 0; from < STEPS; from++)
        for (int count = 1; count < 4; count++) {
            sink s;
            memset(&s, 0, sizeof s);
            s.refuse_from = from;
            s.refuse_count = count;
            s.refusal = UHTTP_ERR_AGAIN;
            uhttp_json_writer w, before;
            uh_json_begin_sink(&w, &s, sink_room);
            int refused = 0;
            for (int i = 0; i < STEPS;) {
                before = w;
                size_t used = s.used;
                uhttp_result result = write_step(&w, i);
                if (result == UHTTP_ERR_AGAIN) {
                    assert_memory_equal(&before, &w, sizeof w);
                    assert_int_equal(used, s.used);
                    refused++;
                    continue;
                }
                assert_int_equal(result, UHTTP_OK);
                i++;
            }
            assert_int_equal(refused, count);
            assert_int_equal(s.calls, STEPS + count);       /* one piece for each call */
            assert_int_equal(uhttp_json_error(&w), UHTTP_OK);
            assert_int_equal(uhttp_json_length(&w), sizeof written - 1);
            assert_string_equal(s.data, written);
        }
}

static void json_writer_remembers_that_the_peer_left(void **state)
{
    (void)state;
    for (int from = 0; from < STEPS; from++) {
        sink s;
        memset(&s, 0, sizeof s);
        s.refuse_from = from;
        s.refuse_count = 1;
        s.refusal = UHTTP_ERR_CLOSED;
        uhttp_json_writer w;
        uh_json_begin_sink(&w, &s, sink_room);
        for (int i = 0; i < STEPS; i++)
            assert_int_equal(write_step(&w, i), i < from ? UHTTP_OK : UHTTP_ERR_CLOSED);
        assert_int_equal(s.calls, from + 1);                /* it is not asked again */
        assert_int_equal(uhttp_json_error(&w), UHTTP_ERR_CLOSED);
        assert_memory_equal(s.data, written, uhttp_json_length(&w));
    }
}

static void json_writer_counts_what_nobody_wants(void **state)
{
    sink s;
    uhttp_json_writer w;
    (void)state;
    memset(&s, 0, sizeof s);
    s.swallow = true;
    uh_json_begin_sink(&w, &s, sink_room);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(write_step(&w, i), UHTTP_OK);
    assert_int_equal(uhttp_json_error(&w), UHTTP_OK);
    assert_int_equal(uhttp_json_length(&w), sizeof written - 1);
    assert_int_equal(s.data[0], '\0');
}

/* o { } a [ ] objects and arrays, k a key, v a value; the last of them is the wrong one. */
static void json_writer_refuses_what_would_not_be_json(void **state)
{
    static const struct { const char *calls, *text; } cases[] = {
        { "vv", "1" }, { "{}v", "{}" }, { "{}{", "{}" }, { "[][", "[]" }, { "v[", "1" },
        { "{v", "{" }, { "{{", "{" }, { "{[", "{" }, { "{kvv", "{\"k\":1" },
        { "{kk", "{\"k\":" },
        { "{k}", "{\"k\":" }, { "{kv]", "{\"k\":1" }, { "{]", "{" }, { "[}", "[" },
        { "[v}", "[1" },
        { "[k", "[" }, { "[vk", "[1" }, { "k", "" }, { "vk", "1" }, { "}", "" }, { "]", "" },
        { "{}}", "{}" }, { "[]]", "[]" }, { "[{}}", "[{}" }, { "{k[}", "{\"k\":[" },
        { "{k[]v", "{\"k\":[]" }, { "{k{}]", "{\"k\":{}" }, { "[[]k", "[[]" },
        { "{k]", "{\"k\":" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char buffer[32];
        uhttp_json_writer w;
        uhttp_result result = UHTTP_OK;
        uhttp_json_begin(&w, buffer, sizeof buffer);
        for (const char *p = cases[i].calls; *p != '\0'; p++) {
            assert_int_equal(result, UHTTP_OK);
            result = *p == '{' ? uhttp_json_object_begin(&w)
                   : *p == '}' ? uhttp_json_object_end(&w)
                   : *p == '[' ? uhttp_json_array_begin(&w)
                   : *p == ']' ? uhttp_json_array_end(&w)
                   : *p == 'k' ? uhttp_json_key(&w, "k") : uhttp_json_int(&w, 1);
        }
        assert_int_equal(result, UHTTP_ERR_STATE);
        assert_string_equal(buffer, cases[i].text);
        assert_int_equal(uhttp_json_error(&w), UHTTP_ERR_STATE);
        assert_int_equal(uhttp_json_object_begin(&w), UHTTP_ERR_STATE);
        assert_int_equal(uhttp_json_object_end(&w), UHTTP_ERR_STATE);
        assert_int_equal(uhttp_json_string(&w, "\xFF"), UHTTP_ERR_STATE);
        assert_int_equal(uhttp_json_raw(&w, "?", 1), UHTTP_ERR_STATE);
        assert_string_equal(buffer, cases[i].text);         /* and nothing after it */
    }
}

static uhttp_result write_one(uhttp_json_writer *w, char *buffer, size_t size)
{
    uhttp_json_begin(w, buffer, size);
    return uhttp_json_array_begin(w);
}

static void json_writer_latches_the_first_error(void **state)
{
    char buffer[64];
    uhttp_json_writer w;
    (void)state;
    write_one(&w, buffer, sizeof buffer);
    assert_int_equal(uhttp_json_double(&w, (double)NAN), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_json_int(&w, 1), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_json_object_end(&w), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_json_error(&w), UHTTP_ERR_INVALID);
    assert_string_equal(buffer, "[");
    write_one(&w, buffer, sizeof buffer);
    assert_int_equal(uhttp_json_double(&w, (double)INFINITY), UHTTP_ERR_INVALID);
    write_one(&w, buffer, sizeof buffer);
    assert_int_equal(uhttp_json_double(&w, -(double)INFINITY), UHTTP_ERR_INVALID);
    write_one(&w, buffer, sizeof buffer);
    assert_int_equal(uhttp_json_key(&w, NULL), UHTTP_ERR_INVALID);
    write_one(&w, buffer, 3);
    assert_int_equal(uhttp_json_string(&w, "long"), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_json_int(&w, 1), UHTTP_ERR_MEMORY);      /* though this would fit */
    assert_string_equal(buffer, "[");
    write_one(&w, buffer, sizeof buffer);       /* escaped, its length would be no number */
    assert_int_equal(uhttp_json_string_n(&w, "x", SIZE_MAX / 8 + 1), UHTTP_ERR_MEMORY);
    assert_string_equal(buffer, "[");
}

static void json_writer_refuses_text_that_is_not_utf8(void **state)
{
    static const char *const cases[] = {
        "\x80", "a\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3x", "\xE0\x9F\xBF", "\xE2\x82",
        "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xFF", "0123456789\xE9",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char buffer[64];
        uhttp_json_writer w;
        uhttp_str text = placed(cases[i], strlen(cases[i]));
        write_one(&w, buffer, sizeof buffer);
        assert_int_equal(uhttp_json_string_n(&w, text.ptr, text.len), UHTTP_ERR_INVALID);
        assert_string_equal(buffer, "[");
        release(text);
    }
}

static void json_writer_escapes_every_byte_so_that_it_reads_back(void **state)
{
    (void)state;
    for (int c = 0; c < 0x80; c++)
        for (size_t length = 1; length < 20; length += 6) {
            char text[20], buffer[160], back[20];
            size_t got = 0;
            uhttp_json_writer w;
            memset(text, c, sizeof text);
            uhttp_json_begin(&w, buffer, sizeof buffer);
            assert_int_equal(uhttp_json_string_n(&w, text, length), UHTTP_OK);
            size_t each = memchr("\"\\\b\f\n\r\t", c, 7) != NULL ? 2 : c < ' ' ? 6 : 1;
            assert_int_equal(uhttp_json_length(&w), length * each + 2);
            uhttp_json_value value = root(buffer);
            assert_int_equal(uhttp_json_to_bytes(value, back, sizeof back, &got), UHTTP_OK);
            assert_int_equal(got, length);
            assert_memory_equal(back, text, length);
        }
}

static void json_writer_takes_ready_text_only_if_it_is_one_value(void **state)
{
    static const struct { const char *text; bool fine; } cases[] = {
        { "1", true }, { " [1] ", true }, { "{\"a\":null}", true }, { "", false },
        { "1,2", false },
        { "1]", false }, { "\"", false }, { "{", false }, { "nul", false },
        { "\"a\":1", false },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char buffer[64];
        uhttp_json_writer w;
        write_one(&w, buffer, sizeof buffer);
        assert_int_equal(uhttp_json_raw(&w, cases[i].text, strlen(cases[i].text)),
                         ok_if(cases[i].fine));
    }
}

static void json_writer_goes_as_deep_as_the_reader(void **state)
{
    char buffer[8 * UHTTP_JSON_MAX_DEPTH];
    uhttp_json_writer w;
    (void)state;
    uhttp_json_begin(&w, buffer, sizeof buffer);
    for (int i = 0; i < UHTTP_JSON_MAX_DEPTH; i++) {
        if (i % 3)
            assert_int_equal(uhttp_json_object_begin(&w), UHTTP_OK);
        else
            assert_int_equal(uhttp_json_array_begin(&w), UHTTP_OK);
        if (i % 3)
            uhttp_json_key(&w, "k");
    }
    uhttp_json_null(&w);
    for (int i = UHTTP_JSON_MAX_DEPTH; i-- > 0;)
        if (i % 3)
            assert_int_equal(uhttp_json_object_end(&w), UHTTP_OK);
        else
            assert_int_equal(uhttp_json_array_end(&w), UHTTP_OK);
    assert_int_equal(uhttp_json_error(&w), UHTTP_OK);
    assert_true(uhttp_json_valid(of(buffer), NULL));
    uhttp_json_begin(&w, buffer, sizeof buffer);
    for (int i = 0; i < UHTTP_JSON_MAX_DEPTH; i++)
        assert_int_equal(uhttp_json_array_begin(&w), UHTTP_OK);
    assert_int_equal(uhttp_json_array_begin(&w), UHTTP_ERR_STATE);
    assert_int_equal(strlen(buffer), UHTTP_JSON_MAX_DEPTH);
}

/* Were any step not constant, this would not end within the patience of a test run. */
static void json_array_of_a_million_is_written_and_read_in_linear_time(void **state)
{
    const int64_t count = 1000000;
    size_t size = 8u << 20;
    char *buffer = (char *)malloc(size);
    uhttp_json_writer w;
    (void)state;
    uhttp_json_begin(&w, buffer, size);
    uhttp_json_array_begin(&w);
    for (int64_t i = 0; i < count; i++)
        uhttp_json_int(&w, i);
    uhttp_json_array_end(&w);
    assert_int_equal(uhttp_json_error(&w), UHTTP_OK);
    uhttp_str text = { buffer, uhttp_json_length(&w) };
    assert_true(uhttp_json_valid(text, NULL));
    int64_t expected = 0, number = -1;
    uhttp_json_iter it = uhttp_json_iterate(uhttp_json_find(text, ""));
    while (uhttp_json_next(&it)) {
        if (uhttp_json_to_int64(it.value, &number) != UHTTP_OK || number != expected++)
            fail();
    }
    assert_true(expected == count);
    assert_int_equal(uhttp_json_to_int64(uhttp_json_find(text, "[999999]"), &number), UHTTP_OK);
    assert_true(number == 999999);
    free(buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_validity_follows_the_grammar_and_names_the_first_error),
        cmocka_unit_test(json_error_position_is_the_first_that_no_valid_text_could_have),
        cmocka_unit_test(json_text_cut_anywhere_is_not_valid),
        cmocka_unit_test(json_depth_is_bounded),
        cmocka_unit_test(json_mixed_nesting_is_remembered_at_every_depth),
        cmocka_unit_test(json_strings_are_scanned_alike_at_every_length_and_offset),
        cmocka_unit_test(json_strings_are_decoded_into_any_buffer_that_is_large_enough),
        cmocka_unit_test(json_string_equals_only_the_very_same_text),
        cmocka_unit_test(json_integers_are_read_within_the_range_of_their_type),
        cmocka_unit_test(json_bool_and_types_are_told_apart),
        cmocka_unit_test(json_double_is_the_nearest_as_strtod_finds_it),
        cmocka_unit_test(json_double_out_of_range_or_of_another_type_is_refused),
        cmocka_unit_test(json_double_takes_any_number_of_digits),
        cmocka_unit_test(json_double_is_written_short_and_reads_back),
        cmocka_unit_test(json_doubles_of_every_exponent_round_trip_in_the_fewest_digits),
        cmocka_unit_test(json_numbers_do_not_depend_on_locale_or_rounding),
        cmocka_unit_test(json_find_follows_a_path),
        cmocka_unit_test(json_find_reads_strictly_up_to_the_value_and_no_further),
        cmocka_unit_test(json_walk_visits_members_and_elements_in_order),
        cmocka_unit_test(json_walk_over_a_slice_that_is_broken_ends),
        cmocka_unit_test(json_writer_sets_commas_and_escapes),
        cmocka_unit_test(json_writer_fills_a_buffer_of_any_size_and_never_more),
        cmocka_unit_test(json_writer_told_again_at_any_call_wrote_nothing_and_can_repeat_it),
        cmocka_unit_test(json_writer_remembers_that_the_peer_left),
        cmocka_unit_test(json_writer_counts_what_nobody_wants),
        cmocka_unit_test(json_writer_refuses_what_would_not_be_json),
        cmocka_unit_test(json_writer_latches_the_first_error),
        cmocka_unit_test(json_writer_refuses_text_that_is_not_utf8),
        cmocka_unit_test(json_writer_escapes_every_byte_so_that_it_reads_back),
        cmocka_unit_test(json_writer_takes_ready_text_only_if_it_is_one_value),
        cmocka_unit_test(json_writer_goes_as_deep_as_the_reader),
        cmocka_unit_test(json_array_of_a_million_is_written_and_read_in_linear_time),
    };
    return cmocka_run_group_tests_name("05g JSON", tests, NULL, NULL);
}
