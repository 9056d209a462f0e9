/* Section 05 without the request head and the chunked body: characters, numbers, escapes,
 * hosts, URLs, queries, lists, dates, phrases. */
#include "text.h"

#include <time.h>

/*--- characters -----------------------------------------------------------------------*/

static bool is_alnum(unsigned u)
{
    return (u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z');
}

static bool is_one_of(unsigned u, const char *characters)
{
    return u != 0 && strchr(characters, (int)u) != NULL;
}

static void token_characters_are_those_of_the_rfc(void **state)
{
    (void)state;
    for (unsigned u = 0; u < 256; u++)      /* RFC 9110 section 5.6.2 */
        assert_int_equal(uh_char_is((char)u, UH_IS_TOKEN),
                         is_alnum(u) || is_one_of(u, "!#$%&'*+-.^_`|~"));
}

static void host_characters_are_those_of_a_registered_name(void **state)
{
    (void)state;
    for (unsigned u = 0; u < 256; u++)      /* unreserved, "%", sub-delims of RFC 3986 */
        assert_int_equal(uh_char_is((char)u, UH_IS_HOST),
                         is_alnum(u) || is_one_of(u, "-._~%!$&'()*+,;="));
}

static void hexadecimal_digits_have_values_and_nothing_else_has(void **state)
{
    (void)state;
    static const char digits[] = "00112233445566778899aAbBcCdDeEfF";
    for (unsigned u = 0; u < 256; u++) {
        const char *at = u != 0 ? strchr(digits, (int)u) : NULL;
        assert_int_equal(uh_char_hex((char)u), at != NULL ? (at - digits) / 2 : -1);
        assert_int_equal(uh_char_is((char)u, UH_IS_HEX), at != NULL);
        assert_int_equal(uh_char_is_digit((char)u), u >= '0' && u <= '9');
    }
}

static void control_characters_are_delete_and_those_below_the_blank_but_the_tab(void **state)
{
    (void)state;
    for (unsigned u = 0; u < 256; u++) {
        assert_int_equal(uh_char_is_control((char)u), u == 127 || (u < 32 && u != '\t'));
        assert_int_equal(uh_char_is_blank((char)u), u == ' ' || u == '\t');
    }
}

static void only_ascii_letters_have_a_lower_case(void **state)
{
    (void)state;
    for (unsigned u = 0; u < 256; u++) {
        bool upper = u >= 'A' && u <= 'Z';
        assert_int_equal(uh_char_lower((char)u), (char)(upper ? u + 32 : u));
    }
}

/*--- compare, find, trim --------------------------------------------------------------*/

static const struct { uhttp_str in; const char *word; bool same, same_nocase; } words[] = {
    { TEXT("close"),      "close",   true,  true  },
    { TEXT("CLOSE"),      "close",   false, true  },
    { TEXT("cLoSe"),      "close",   false, true  },
    { TEXT("clos"),       "close",   false, false },
    { TEXT("closed"),     "close",   false, false },
    { TEXT("not-close"),  "close",   false, false },
    { TEXT(""),           "close",   false, false },
    { TEXT("close"),      "",        false, false },
    { TEXT(""),           "",        true,  true  },
    { TEXT("{lose"),      "[lose",   false, false },    /* 32 apart and no letters */
    { TEXT("\xe3lose"),   "\xc3lose", false, false },
    { TEXT("close\0"),    "close",   false, false },    /* the NUL of the word is not its own */
    { TEXT("close\0and"), "close",   false, false },
};

static void words_compare_as_a_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(words); i++) {
        uhttp_str in = text_exact(words[i].in.ptr, words[i].in.len);
        uhttp_str word = text_exact(words[i].word, strlen(words[i].word) + 1);
        assert_for(in, uh_text_is(in, word.ptr) == words[i].same);
        assert_for(in, uh_text_is_nocase(in, word.ptr) == words[i].same_nocase);
        text_free(word);
        text_free(in);
    }
}

static void token_ends_before_the_first_other_byte(void **state)
{
    (void)state;
    for (size_t length = 0; length < 36; length++) {
        uhttp_str s = text_exact("abcdefgh-ijklmnopqrstuvwxyz.0123456", length);
        const char *end = s.ptr + length;
        for (size_t from = 0; from <= length; from += length < 14 ? 1 : 5) {
            for (size_t to = from; to <= length; to++)      /* more lies behind */
                assert_ptr_equal(uh_text_token(s.ptr + from, s.ptr + to), s.ptr + to);
            for (size_t at = from; at < length; at++) {
                for (unsigned u = 0; u < 256; u++) {
                    char kept = s.ptr[at];
                    text_mutable(s)[at] = (char)u;
                    assert_ptr_equal(uh_text_token(s.ptr + from, end),
                                     uh_char_is((char)u, UH_IS_TOKEN) ? end : s.ptr + at);
                    text_mutable(s)[at] = kept;
                }
            }
        }
        text_free(s);
    }
}

static bool is_behind(char c)
{
    return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-');
}

static bool is_rare(char c)
{
    return is_behind(c) && !(c >= '0' && c <= '9') && c != '.';
}

static bool is_odd(char c)
{
    return c < ' ' || c > '~';
}

/* Every bit of what a vector said of the 16 bytes at p. */
static bool hits_are(uh_hits hits, const char *p, bool (*is_hit)(char))
{
    bool good = true;
    for (unsigned i = 0; i < UH_VECTOR_BYTES; i++) {
        bool hit = (hits >> i * UH_HIT_BITS & 1) != 0;
        good = good && hit == is_hit(p[i]);
    }
    return good;
}

static void vectors_find_the_bytes_that_a_loop_does(void **state)
{
    (void)state;
    if (!UH_VECTOR)
        skip();
    for (unsigned offset = 0; offset < UH_VECTOR_BYTES; offset++) {
        uhttp_str s = text_exact("................................", 16 + offset);
        char *p = text_mutable(s) + offset;
        for (unsigned at = 0; at < 16; at++) {
            for (unsigned u = 0; u < 256; u++) {
                for (unsigned behind = at; behind < 16; behind += 5) {  /* another, or the same */
                    memset(p, 'x', 16);
                    p[behind] = '\x7f';
                    p[at] = (char)u;
                    assert_true(hits_are(uh_vector_rare(p), p, is_rare));
                    assert_true(hits_are(uh_vector_behind(p), p, is_behind));
                    assert_true(hits_are(uh_vector_odd(p), p, is_odd));
                    unsigned odd = 0;
                    while (odd < 16 && !is_odd(p[odd]))
                        odd++;
                    assert_true(odd == 16 || uh_vector_place(uh_vector_odd(p)) == odd);
                }
            }
        }
        text_free(s);
    }
}

static void a_name_is_compared_as_a_loop_does(void **state)
{
    (void)state;
    static const char *const names[] = { "host", "cookie", "connection", "content-length",
                                         "transfer-encoding" };
    for (size_t i = 0; i < COUNT(names); i++) {
        uhttp_str s = text_exact(names[i], strlen(names[i]));
        assert_true(uh_text_folds_to(s.ptr, names[i], s.len));
        for (size_t at = 0; at < s.len; at++) {
            for (unsigned u = 0; u < 256; u++) {
                char kept = s.ptr[at];
                text_mutable(s)[at] = (char)u;
                if (!uh_char_is_control((char)u))
                    assert_true(uh_text_folds_to(s.ptr, names[i], s.len) ==
                                uh_text_is_nocase(s, names[i]));
                text_mutable(s)[at] = kept;
            }
        }
        text_free(s);
    }
}

static const char *until_control_by_byte(const char *p, const char *end)
{
    while (p < end && !(((unsigned char)*p < 32 && *p != '\t') || *p == 127))
        p++;
    return p;
}

static void search_for_control_characters_finds_each_at_each_place(void **state)
{
    (void)state;
    for (size_t length = 0; length <= 40; length++) {
        for (size_t from = 0; from <= length && from < sizeof(size_t); from++) {
            uhttp_str s = text_exact("~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~", length);
            const char *end = s.ptr + length;
            assert_ptr_equal(uh_text_until_control(s.ptr + from, end), end);
            for (size_t at = from; at < length; at++) {
                for (unsigned u = 0; u < 256; u++) {
                    text_mutable(s)[at] = (char)u;
                    assert_ptr_equal(uh_text_until_control(s.ptr + from, end),
                                     until_control_by_byte(s.ptr + from, end));
                }
                text_mutable(s)[at] = '~';
            }
            text_free(s);
        }
    }
}

static void search_for_control_characters_agrees_with_a_byte_loop(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "abc", "\t", "\t \x1f\x20\x21", "\x7e\x7f\x80", "\x80\x9f\xa0\xff", "a\t\r\n\x01",
    };
    char bytes[100];
    random_begin(1);
    for (int round = 0; round < 20000; round++) {
        size_t length = random_below(sizeof bytes);
        size_t from = random_below(length + 1);
        random_text(bytes, length, kinds[random_below(COUNT(kinds))]);
        uhttp_str s = text_exact(bytes, length);
        const char *p = s.ptr + from;
        for (;;) {      /* from one find to the next */
            const char *found = uh_text_until_control(p, s.ptr + length);
            assert_for(s, found == until_control_by_byte(p, s.ptr + length));
            if (found == s.ptr + length)
                break;
            p = found + 1;
        }
        text_free(s);
    }
}

static void trimming_takes_blanks_and_tabs_off_both_ends(void **state)
{
    (void)state;
    static const struct { uhttp_str in; const char *out; } cases[] = {
        { TEXT(""),               ""    },
        { TEXT(" "),              ""    },
        { TEXT(" \t \t"),         ""    },
        { TEXT("a"),              "a"   },
        { TEXT(" a"),             "a"   },
        { TEXT("a\t"),            "a"   },
        { TEXT("\t \ta b\t c  "), "a b\t c" },
        { TEXT("\va\f"),          "\va\f"   },      /* white space elsewhere, not here */
        { TEXT("\xa0"),           "\xa0"    },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uhttp_str s = text_exact(cases[i].in.ptr, cases[i].in.len);
        uhttp_str trimmed = uh_text_trim(s);
        assert_for(s, text_is(trimmed, cases[i].out));
        assert_for(s, text_lies_in(trimmed, s));
        text_free(s);
    }
}

/*--- numbers --------------------------------------------------------------------------*/

static const struct { uhttp_str in; uh_number kind; int64_t value; } numbers[] = {
    { TEXT("0"),                    UH_NUMBER_OK, 0 },
    { TEXT("00"),                   UH_NUMBER_OK, 0 },
    { TEXT("7"),                    UH_NUMBER_OK, 7 },
    { TEXT("0123456789"),           UH_NUMBER_OK, 123456789 },      /* not octal */
    { TEXT("2147483647"),           UH_NUMBER_OK, INT32_MAX },
    { TEXT("2147483648"),           UH_NUMBER_OK, (int64_t)INT32_MAX + 1 },
    { TEXT("4294967295"),           UH_NUMBER_OK, UINT32_MAX },
    { TEXT("4294967296"),           UH_NUMBER_OK, (int64_t)UINT32_MAX + 1 },
    { TEXT("9223372036854775799"),  UH_NUMBER_OK, INT64_MAX - 8 },
    { TEXT("9223372036854775806"),  UH_NUMBER_OK, INT64_MAX - 1 },
    { TEXT("9223372036854775807"),  UH_NUMBER_OK, INT64_MAX },
    { TEXT("00000000000000000000000000000009223372036854775807"), UH_NUMBER_OK, INT64_MAX },
    { TEXT("9223372036854775808"),  UH_NUMBER_LARGE, 0 },
    { TEXT("9223372036854775809"),  UH_NUMBER_LARGE, 0 },
    { TEXT("9223372036854775810"),  UH_NUMBER_LARGE, 0 },
    { TEXT("9999999999999999999"),  UH_NUMBER_LARGE, 0 },
    { TEXT("10000000000000000000"), UH_NUMBER_LARGE, 0 },
    { TEXT("18446744073709551615"), UH_NUMBER_LARGE, 0 },
    { TEXT("18446744073709551616"), UH_NUMBER_LARGE, 0 },   /* 0, were it to wrap */
    { TEXT("18446744073709551621"), UH_NUMBER_LARGE, 0 },   /* 5 */
    { TEXT("184467440737095516160"), UH_NUMBER_LARGE, 0 },
    { TEXT("340282366920938463463374607431768211456"), UH_NUMBER_LARGE, 0 },    /* 2^128 */
    { TEXT("340282366920938463463374607431768211461"), UH_NUMBER_LARGE, 0 },
    { TEXT(""),         UH_NUMBER_BAD, 0 },
    { TEXT(" "),        UH_NUMBER_BAD, 0 },
    { TEXT(" 1"),       UH_NUMBER_BAD, 0 },
    { TEXT("1 "),       UH_NUMBER_BAD, 0 },
    { TEXT("1 1"),      UH_NUMBER_BAD, 0 },
    { TEXT("+1"),       UH_NUMBER_BAD, 0 },
    { TEXT("-1"),       UH_NUMBER_BAD, 0 },
    { TEXT("-0"),       UH_NUMBER_BAD, 0 },
    { TEXT("0x1"),      UH_NUMBER_BAD, 0 },
    { TEXT("1a"),       UH_NUMBER_BAD, 0 },
    { TEXT("1."),       UH_NUMBER_BAD, 0 },
    { TEXT("1e3"),      UH_NUMBER_BAD, 0 },
    { TEXT("1_000"),    UH_NUMBER_BAD, 0 },
    { TEXT("1,1"),      UH_NUMBER_BAD, 0 },
    { TEXT("1\0"),      UH_NUMBER_BAD, 0 },
    { TEXT("1\n"),      UH_NUMBER_BAD, 0 },
    { TEXT("/"),        UH_NUMBER_BAD, 0 },     /* the neighbours of the digits */
    { TEXT(":"),        UH_NUMBER_BAD, 0 },
    { TEXT("\xb2"),     UH_NUMBER_BAD, 0 },
    { TEXT("99999999999999999999x"), UH_NUMBER_BAD, 0 },    /* no number, however large */
};

static void decimal_is_digits_and_nothing_else_up_to_the_largest_int64(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uhttp_str s = text_exact(numbers[i].in.ptr, numbers[i].in.len);
        int64_t value = -77;
        assert_for(s, uh_text_decimal(s, &value) == numbers[i].kind);
        if (numbers[i].kind == UH_NUMBER_OK)
            assert_for(s, value == numbers[i].value);
        text_free(s);
    }
}

static void decimal_is_written_as_printf_would(void **state)
{
    (void)state;
    random_begin(2);
    for (int round = 0; round < 5000; round++) {
        uint64_t n = (uint64_t)random_next() << 32 | random_next();
        n >>= random_below(64);
        if (round < 66)
            n = round < 64 ? (uint64_t)1 << round : round == 64 ? 0 : UINT64_MAX;
        char expected[32];
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)n);
        size_t length = strlen(expected);
        uhttp_str out = text_exact(expected, length);
        memset(text_mutable(out), '?', length);
        char *end = uh_text_put_decimal(text_mutable(out), n);
        assert_for(out, end == out.ptr + length && memcmp(out.ptr, expected, length) == 0);
        text_free(out);
    }
}

static void decimal_reads_back_what_it_writes(void **state)
{
    (void)state;
    random_begin(3);
    for (int round = 0; round < 5000; round++) {
        uint64_t n = ((uint64_t)random_next() << 32 | random_next()) >> random_below(64);
        char digits[20];
        uhttp_str s = uh_text_slice(digits, uh_text_put_decimal(digits, n));
        int64_t value = -1;
        uh_number kind = uh_text_decimal(s, &value);
        assert_for(s, kind == (n > (uint64_t)INT64_MAX ? UH_NUMBER_LARGE : UH_NUMBER_OK));
        if (kind == UH_NUMBER_OK)
            assert_for(s, (uint64_t)value == n);
    }
}

/*--- percent decoding -----------------------------------------------------------------*/

/* ptr NULL: refused. In a form or query a sign that begins no escape stands for itself. */
static const struct { uhttp_str in, plain, form; } escapes[] = {
    { TEXT(""),             TEXT(""),           TEXT("")          },
    { TEXT("abc"),          TEXT("abc"),        TEXT("abc")       },
    { TEXT("a%20b"),        TEXT("a b"),        TEXT("a b")       },
    { TEXT("%41%42"),       TEXT("AB"),         TEXT("AB")        },
    { TEXT("a+b"),          TEXT("a+b"),        TEXT("a b")       },
    { TEXT("%2B"),          TEXT("+"),          TEXT("+")         },    /* decoded once */
    { TEXT("%2b+"),         TEXT("++"),         TEXT("+ ")        },
    { TEXT("%2541"),        TEXT("%41"),        TEXT("%41")       },
    { TEXT("%25%32%35"),    TEXT("%25"),        TEXT("%25")       },
    { TEXT("%2F%2e%2E/"),   TEXT("/../"),       TEXT("/../")      },    /* not resolved */
    { TEXT("%aF%Fa"),       TEXT("\xaf\xfa"),   TEXT("\xaf\xfa")  },
    { TEXT("%ff%01%7f"),    TEXT("\xff\x01\x7f"), TEXT("\xff\x01\x7f") },
    { TEXT("%10"),          TEXT("\x10"),       TEXT("\x10")      },    /* half a NUL */
    { TEXT("%01"),          TEXT("\x01"),       TEXT("\x01")      },
    { TEXT("%300"),         TEXT("00"),         TEXT("00")        },
    { TEXT("\xc3\xa4"),     TEXT("\xc3\xa4"),   TEXT("\xc3\xa4")  },
    { TEXT("%"),            { NULL, 0 },        TEXT("%")         },
    { TEXT("100%"),         { NULL, 0 },        TEXT("100%")      },    /* cut short */
    { TEXT("%4"),           { NULL, 0 },        TEXT("%4")        },
    { TEXT("%41%"),         { NULL, 0 },        TEXT("A%")        },
    { TEXT("%41%4"),        { NULL, 0 },        TEXT("A%4")       },
    { TEXT("%0x"),          { NULL, 0 },        TEXT("%0x")       },
    { TEXT("%x0"),          { NULL, 0 },        TEXT("%x0")       },
    { TEXT("%4g"),          { NULL, 0 },        TEXT("%4g")       },
    { TEXT("%g4"),          { NULL, 0 },        TEXT("%g4")       },
    { TEXT("%%41"),         { NULL, 0 },        TEXT("%A")        },
    { TEXT("%4%31"),        { NULL, 0 },        TEXT("%41")       },
    { TEXT("% 41"),         { NULL, 0 },        TEXT("% 41")      },
    { TEXT("%+4"),          { NULL, 0 },        TEXT("% 4")       },
    { TEXT("%-1"),          { NULL, 0 },        TEXT("%-1")       },
    { TEXT("%u0041"),       { NULL, 0 },        TEXT("%u0041")    },
    { TEXT("%4\xe1"),       { NULL, 0 },        TEXT("%4\xe1")    },
    { TEXT("%00"),          { NULL, 0 },        { NULL, 0 }       },    /* would end a string */
    { TEXT("%%00"),         { NULL, 0 },        { NULL, 0 }       },
    { TEXT("%0%00"),        { NULL, 0 },        { NULL, 0 }       },
    { TEXT("%%3000"),       { NULL, 0 },        TEXT("%000")      },    /* decoded once */
    { TEXT("index.html%00.png"), { NULL, 0 },   { NULL, 0 }       },
};

/* Decodes to another block, which has the size the comment asks for, and in place. */
static void check_percent(uhttp_str in, bool plus_is_blank, uhttp_str expected)
{
    uhttp_result result = expected.ptr != NULL ? UHTTP_OK : UHTTP_ERR_INVALID;
    for (int in_place = 0; in_place < 2; in_place++) {
        uhttp_str from = text_exact(in.ptr, in.len);
        uhttp_str to = text_exact(in.ptr, in.len);
        char *out = text_mutable(in_place ? from : to);
        size_t length = 12345;
        assert_for(in, uhttp_percent_decode(from, plus_is_blank, out, &length) == result);
        if (result == UHTTP_OK)
            assert_for(in, text_equal(text_slice(out, length), expected));
        else
            assert_for(in, length == 12345);
        if (!in_place)
            assert_for(in, text_equal(from, in));
        text_free(to);
        text_free(from);
    }
}

static void escapes_are_decoded_once_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(escapes); i++) {
        check_percent(escapes[i].in, false, escapes[i].plain);
        check_percent(escapes[i].in, true, escapes[i].form);
        uhttp_str s = text_exact(escapes[i].in.ptr, escapes[i].in.len);
        assert_for(s, uh_text_is_url(s) == (escapes[i].plain.ptr != NULL));
        text_free(s);
    }
}

static void every_byte_but_nul_can_be_escaped(void **state)
{
    (void)state;
    for (unsigned u = 0; u < 256; u++) {
        char in[8], byte = (char)u;
        for (int upper = 0; upper < 2; upper++) {
            snprintf(in, sizeof in, upper ? "%%%02X" : "%%%02x", u);
            check_percent(text_slice(in, 3), false, text_slice(u > 0 ? &byte : NULL, u > 0));
        }
    }
}

static void escape_needs_two_hexadecimal_digits_whatever_the_bytes(void **state)
{
    (void)state;
    uhttp_str s = text_exact("%00", 3);
    for (unsigned high = 0; high < 256; high++) {
        for (unsigned low = 0; low < 256; low++) {
            char out[3];
            size_t length = 0;
            text_mutable(s)[1] = (char)high;
            text_mutable(s)[2] = (char)low;
            bool good = uh_char_hex((char)high) >= 0 && uh_char_hex((char)low) >= 0 &&
                        !(high == '0' && low == '0');
            bool is_nul = high == '0' && low == '0';
            assert_for(s, (uhttp_percent_decode(s, false, out, &length) == UHTTP_OK) == good);
            assert_for(s, (uhttp_percent_decode(s, true, out, &length) == UHTTP_OK) == !is_nul);
            assert_for(s, is_nul || length == (good ? 1 : 3));
            assert_for(s, uh_text_is_url(s) == good);
        }
    }
    text_free(s);
}

static void decoding_undoes_encoding(void **state)
{
    (void)state;
    random_begin(4);
    for (int round = 0; round < 2000; round++) {
        char plain[40], in[120];
        size_t length = random_below(sizeof plain);
        size_t at = 0;
        for (size_t i = 0; i < length; i++) {
            plain[i] = (char)(1 + random_below(255));
            bool raw = plain[i] != '%' && plain[i] != '+' && random_below(2) > 0;
            if (raw)
                in[at++] = plain[i];
            else if (plain[i] == ' ' && random_below(2) > 0)
                in[at++] = '+';
            else
                at += (size_t)snprintf(in + at, 4, "%%%02x", (unsigned char)plain[i]);
        }
        check_percent(text_slice(in, at), true, text_slice(plain, length));
    }
}

static void text_of_a_url_has_no_blanks_no_controls_and_can_be_decoded(void **state)
{
    (void)state;
    random_begin(5);
    int seen[2] = { 0, 0 };
    for (int round = 0; round < 20000; round++) {
        char bytes[24], out[24];
        size_t length = random_below(sizeof bytes);
        random_text(bytes, length, round % 2 > 0 ? "%%%012aFg+?" : "abc%41\x80");
        uhttp_str s = text_exact(bytes, length);
        size_t made = 0;
        const char *mark = uh_text_find(s.ptr, s.ptr + length, '?');
        uhttp_str path = text_slice(s.ptr, (size_t)(mark - s.ptr));
        uhttp_str query = text_slice(mark, length - path.len);
        bool good = uhttp_percent_decode(path, false, out, &made) == UHTTP_OK &&
                    uhttp_percent_decode(query, true, out, &made) == UHTTP_OK;
        assert_for(s, made <= length);
        for (size_t i = 0; i < length; i++)
            good = good && (unsigned char)bytes[i] > ' ' && bytes[i] != 127;
        assert_for(s, uh_text_is_url(s) == good);
        seen[good]++;
        text_free(s);
    }
    assert_true(seen[0] > 1000 && seen[1] > 1000);
}

/*--- hosts ----------------------------------------------------------------------------*/

static const struct { uhttp_str in; const char *host, *port; } hosts[] = {
    { TEXT("a"),                    "a",            NULL    },
    { TEXT("example.org"),          "example.org",  NULL    },
    { TEXT("example.org:8080"),     "example.org",  "8080"  },
    { TEXT("a:0"),                  "a",            "0"     },
    { TEXT("a:65535"),              "a",            "65535" },
    { TEXT("a:00080"),              "a",            "00080" },
    { TEXT("a:"),                   "a",            ""      },  /* port is *DIGIT */
    { TEXT("192.0.2.1:80"),         "192.0.2.1",    "80"    },
    { TEXT("[::1]"),                "[::1]",        NULL    },
    { TEXT("[::]"),                 "[::]",         NULL    },
    { TEXT("[2001:DB8::a]:443"),    "[2001:DB8::a]", "443"  },
    { TEXT("[::ffff:192.0.2.1]:"),  "[::ffff:192.0.2.1]", "" },
    { TEXT("x_y~z-1.example"),      "x_y~z-1.example", NULL },
    { TEXT("a!$&'()*+,;=b"),        "a!$&'()*+,;=b", NULL   },  /* sub-delims */
    { TEXT("%c3%A4.example:1"),     "%c3%A4.example", "1"   },
    { TEXT(""),                     "",             NULL    },
    { TEXT(":80"),                  "",             "80"    },  /* for the caller to judge */
};

static const uhttp_str bad_hosts[] = {
    TEXT("a:65536"), TEXT("a:99999999999999999999"), TEXT("a:18446744073709551696"),
    TEXT("a:-1"), TEXT("a:+1"), TEXT("a:8o"), TEXT("a:80 "), TEXT("a: 80"), TEXT("a:80:80"),
    TEXT("a:0x50"), TEXT("::1"), TEXT("fe80::1"), TEXT("a::"),
    TEXT("a b"), TEXT(" a"), TEXT("a "), TEXT("a\tb"), TEXT("user@a"), TEXT("u:p@a"), TEXT("@"),
    TEXT("a/b"), TEXT("a/"), TEXT("a?b"), TEXT("a#b"), TEXT("a\\b"), TEXT("http://a"),
    TEXT("<a>"), TEXT("\"a\""), TEXT("a|b"), TEXT("a^b"), TEXT("a`b"), TEXT("{a}"),
    TEXT("\xc3\xa4.example"), TEXT("a\x7f"), TEXT("a\0"), TEXT("a\0.example"),
    TEXT("%"), TEXT("a%"), TEXT("a%4"), TEXT("a%zz"), TEXT("a%00"), TEXT("a%4:80"),
    TEXT("["), TEXT("[]"), TEXT("[:]"), TEXT("[1]"), TEXT("[::1"), TEXT("[::1:80"), TEXT("]"),
    TEXT("[::1]80"), TEXT("[::1]]"), TEXT("[::1]a"), TEXT("[::1]:x"), TEXT("[::1]:65536"),
    TEXT("[g::]"), TEXT("[::%25eth0]"), TEXT("[::1%lo]"), TEXT("[::1/64]"), TEXT("[[::1]]"),
    TEXT("a[::1]"), TEXT("[:: 1]"), TEXT("[:::]"), TEXT("[1:2]"), TEXT("[192.0.2.1]"),
    TEXT("[::192.0.2]"), TEXT("[12345::]"), TEXT("[1::2::3]"), TEXT("[dead.beef]"),
};

static void host_and_port_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        uhttp_str s = text_exact(hosts[i].in.ptr, hosts[i].in.len);
        uhttp_str host, port;
        assert_for(s, uh_text_split_host(s, &host, &port));
        assert_for(s, text_is(host, hosts[i].host) && text_is(port, hosts[i].port));
        assert_for(s, text_lies_in(host, s) && (port.ptr == NULL || text_lies_in(port, s)));
        text_free(s);
    }
}

static void malformed_hosts_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_hosts); i++) {
        uhttp_str s = text_exact(bad_hosts[i].ptr, bad_hosts[i].len);
        uhttp_str host, port;
        assert_for(s, !uh_text_split_host(s, &host, &port));
        text_free(s);
    }
}

/*--- URLs -----------------------------------------------------------------------------*/

static const struct {
    uhttp_str in;
    const char *scheme, *host, *port, *path, *query, *fragment;
} urls[] = {
    { TEXT("/"),                NULL, NULL, NULL, "/", NULL, NULL },
    { TEXT("/a/b"),             NULL, NULL, NULL, "/a/b", NULL, NULL },
    { TEXT("/a?b=c&d"),         NULL, NULL, NULL, "/a", "b=c&d", NULL },
    { TEXT("/?"),               NULL, NULL, NULL, "/", "", NULL },
    { TEXT("/#"),               NULL, NULL, NULL, "/", NULL, "" },
    { TEXT("/?#"),              NULL, NULL, NULL, "/", "", "" },
    { TEXT("/a?b#c"),           NULL, NULL, NULL, "/a", "b", "c" },
    { TEXT("/a#b?c"),           NULL, NULL, NULL, "/a", NULL, "b?c" },  /* all fragment */
    { TEXT("/a?b?c"),           NULL, NULL, NULL, "/a", "b?c", NULL },
    { TEXT("/a#b#c"),           NULL, NULL, NULL, "/a", NULL, "b#c" },
    { TEXT("//a/b"),            NULL, NULL, NULL, "//a/b", NULL, NULL },    /* an origin form */
    { TEXT("/http://a/"),       NULL, NULL, NULL, "/http://a/", NULL, NULL },
    { TEXT("/a%20b?%41#%42"),   NULL, NULL, NULL, "/a%20b", "%41", "%42" },
    { TEXT("/.././%2e%2e/"),    NULL, NULL, NULL, "/.././%2e%2e/", NULL, NULL },
    { TEXT("/a?100%&%4&%zz=%"), NULL, NULL, NULL, "/a", "100%&%4&%zz=%", NULL },
    { TEXT("http://a?%u0416"),  "http", "a", NULL, "", "%u0416", NULL },
    { TEXT("/a:b@c;d=e,f"),     NULL, NULL, NULL, "/a:b@c;d=e,f", NULL, NULL },
    { TEXT("http://a"),         "http", "a", NULL, "", NULL, NULL },
    { TEXT("http://a/"),        "http", "a", NULL, "/", NULL, NULL },
    { TEXT("http://a?b"),       "http", "a", NULL, "", "b", NULL },
    { TEXT("http://a#b"),       "http", "a", NULL, "", NULL, "b" },
    { TEXT("http://a:80"),      "http", "a", "80", "", NULL, NULL },
    { TEXT("http://a:/b"),      "http", "a", "", "/b", NULL, NULL },
    { TEXT("HTTPS://A.b:443/c?d#e"), "HTTPS", "A.b", "443", "/c", "d", "e" },
    { TEXT("http://[::1]:8080/?"),  "http", "[::1]", "8080", "/", "", NULL },
    { TEXT("http://a/@b:c"),    "http", "a", NULL, "/@b:c", NULL, NULL },
    { TEXT("http://a/http://b/"), "http", "a", NULL, "/http://b/", NULL, NULL },
    { TEXT("http://a?/b@c:d"),  "http", "a", NULL, "", "/b@c:d", NULL },
    { TEXT("svn+ssh://a//"),    "svn+ssh", "a", NULL, "//", NULL, NULL },
};

static const uhttp_str bad_urls[] = {
    TEXT(""), TEXT("*"), TEXT("a"), TEXT("a/b"), TEXT("?a"), TEXT("#a"), TEXT("."),
    TEXT("../a"), TEXT("http"), TEXT("http:"), TEXT("http:/"), TEXT("http:/a"), TEXT("http//a"),
    TEXT("http:a"), TEXT("://a"), TEXT("://"), TEXT(":"), TEXT("a:80"), TEXT("[::1]/"),
    TEXT("http://"), TEXT("http:///a"), TEXT("http://?a"), TEXT("http://:80/"),
    TEXT("http://u@a/"), TEXT("http://u:p@a/"), TEXT("http://@a/"),
    TEXT("http://a:65536/"), TEXT("http://a:b/"), TEXT("http://a:80:80/"),
    TEXT("http://[::1/"), TEXT("http://[::1]a/"), TEXT("http://a\\b/"), TEXT("http://\xe4/"),
    TEXT("http://%/"), TEXT("http://%00/"), TEXT("http://a b/"),
    TEXT("/ "), TEXT(" /"), TEXT("/a b"), TEXT("/a\tb"), TEXT("/a\r"), TEXT("/a\n"),
    TEXT("/a\0"), TEXT("/\x7f"), TEXT("/?a b"), TEXT("/#a b"), TEXT("http://a/ "),
    TEXT("/%"), TEXT("/%4"), TEXT("/%zz"), TEXT("/%00"), TEXT("/%?a"), TEXT("/?a=%00"),
    TEXT("/#%0"), TEXT("http://a/%g1"), TEXT("http://a%?b"), TEXT("/?%%00"), TEXT("/a?b#%00"),
};

static void check_url(uhttp_str in, uhttp_url_parts *parts, uhttp_result expected)
{
    memset(parts, 0x5a, sizeof *parts);
    assert_for(in, uhttp_url_split(in, parts) == expected);
    const uhttp_str *part = &parts->scheme;
    for (int i = 0; i < 6 && expected == UHTTP_OK; i++, part++)
        assert_for(in, part->ptr != NULL ? text_lies_in(*part, in) : part->len == 0);
}

static void urls_are_split_into_their_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        uhttp_str s = text_exact(urls[i].in.ptr, urls[i].in.len);
        uhttp_url_parts parts;
        check_url(s, &parts, UHTTP_OK);
        assert_for(s, text_is(parts.scheme, urls[i].scheme));
        assert_for(s, text_is(parts.host, urls[i].host));
        assert_for(s, text_is(parts.port, urls[i].port));
        assert_for(s, text_is(parts.path, urls[i].path));
        assert_for(s, text_is(parts.query, urls[i].query));
        assert_for(s, text_is(parts.fragment, urls[i].fragment));
        text_free(s);
    }
}

static void malformed_urls_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_urls); i++) {
        uhttp_str s = text_exact(bad_urls[i].ptr, bad_urls[i].len);
        uhttp_url_parts parts;
        check_url(s, &parts, UHTTP_ERR_INVALID);
        text_free(s);
    }
}

static void scheme_is_a_letter_and_then_letters_digits_plus_minus_dot(void **state)
{
    (void)state;
    for (unsigned u = 0; u < 256; u++) {        /* RFC 3986 section 3.1 */
        uhttp_url_parts parts;
        bool letter = is_alnum(u) && !(u >= '0' && u <= '9');
        uhttp_str s = text_exact("xx://a/", 7);
        text_mutable(s)[1] = (char)u;
        check_url(s, &parts, is_alnum(u) || is_one_of(u, "+-.") ? UHTTP_OK : UHTTP_ERR_INVALID);
        text_mutable(s)[0] = (char)u;
        text_mutable(s)[1] = 'x';
        if (u != '/')       /* else an origin form */
            check_url(s, &parts, letter ? UHTTP_OK : UHTTP_ERR_INVALID);
        text_free(s);
    }
}

/* Puts an URL together again. */
static size_t join_url(char *to, const uhttp_url_parts *parts)
{
    size_t at = 0;
    if (parts->scheme.ptr != NULL) {
        at = text_append(to, at, parts->scheme);
        at = text_append_string(to, at, "://");
        at = text_append(to, at, parts->host);
        at = text_append_string(to, at, parts->port.ptr != NULL ? ":" : "");
        at = text_append(to, at, parts->port);
    }
    at = text_append(to, at, parts->path);
    at = text_append_string(to, at, parts->query.ptr != NULL ? "?" : "");
    at = text_append(to, at, parts->query);
    at = text_append_string(to, at, parts->fragment.ptr != NULL ? "#" : "");
    return text_append(to, at, parts->fragment);
}

static void parts_of_a_url_joined_are_the_url(void **state)
{
    (void)state;
    random_begin(6);
    int good = 0;
    for (int round = 0; round < 50000; round++) {
        char bytes[40], joined[64];
        size_t begin = random_below(3) > 0 ? 8 : 0;
        size_t length = begin + random_below(sizeof bytes - begin);
        memcpy(bytes, "http://a", begin);
        random_text(bytes + begin, length - begin, "ab/:?#@[]%41.");
        uhttp_str s = text_exact(bytes, length);
        uhttp_url_parts parts;
        if (uhttp_url_split(s, &parts) == UHTTP_OK) {
            good++;
            check_url(s, &parts, UHTTP_OK);
            assert_for(s, text_equal(text_slice(joined, join_url(joined, &parts)), s));
        }
        text_free(s);
    }
    assert_true(good > 1000);
}

/*--- queries and lists ----------------------------------------------------------------*/

/* What an iterator gives, written down as "name|value;" or "name;". */
static const struct { uhttp_str in; const char *out; } queries[] = {
    { TEXT(""),             "" },
    { TEXT("a=1"),          "a|1;" },
    { TEXT("a=1&b=2"),      "a|1;b|2;" },
    { TEXT("a=1&a=2"),      "a|1;a|2;" },
    { TEXT("flag"),         "flag;" },          /* told apart from an empty value */
    { TEXT("flag="),        "flag|;" },
    { TEXT("=x"),           "|x;" },
    { TEXT("="),            "|;" },
    { TEXT("a=b=c"),        "a|b=c;" },
    { TEXT("a&&b"),         "a;b;" },
    { TEXT("&"),            "" },
    { TEXT("&&&"),          "" },
    { TEXT("&a&"),          "a;" },
    { TEXT("a=&b=&"),       "a|;b|;" },
    { TEXT("a%26b=%3d+"),   "a%26b|%3d+;" },    /* raw */
    { TEXT("a;b=1"),        "a;b|1;" },         /* only & separates */
    { TEXT("a=1\0&b"),      "a|1?;b;" },        /* a NUL ends nothing */
};

static void queries_are_taken_apart_pair_by_pair(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(queries); i++) {
        uhttp_str s = text_exact(queries[i].in.ptr, queries[i].in.len);
        uhttp_str rest = s, name, value;
        char out[100];
        size_t at = 0;
        while (uhttp_query_next(&rest, &name, &value)) {
            assert_for(s, text_lies_in(name, s));
            at = text_append(out, at, name);
            if (value.ptr != NULL) {
                assert_for(s, text_lies_in(value, s));
                at = text_append_string(out, at, "|");
                at = text_append(out, at, value);
            } else {
                assert_for(s, value.len == 0);
            }
            at = text_append_string(out, at, ";");
        }
        for (size_t k = 0; k < at; k++)
            out[k] = out[k] == '\0' ? '?' : out[k];
        assert_for(s, text_is(text_slice(out, at), queries[i].out));
        assert_for(s, rest.len == 0 && !uhttp_query_next(&rest, &name, &value));
        text_free(s);
    }
}

static void query_pairs_joined_are_the_query_without_its_empty_pairs(void **state)
{
    (void)state;
    random_begin(7);
    for (int round = 0; round < 20000; round++) {
        char bytes[30], expected[32], joined[32];
        size_t length = random_below(sizeof bytes);
        size_t wanted = 0, at = 0;
        random_text(bytes, length, "ab&&==");
        for (size_t i = 0; i < length; i++) {       /* each pair, and an & behind it */
            if (bytes[i] != '&' || (i > 0 && bytes[i - 1] != '&'))
                expected[wanted++] = bytes[i];
        }
        if (wanted > 0 && expected[wanted - 1] != '&')
            expected[wanted++] = '&';
        uhttp_str s = text_exact(bytes, length);
        uhttp_str rest = s, name, value;
        while (uhttp_query_next(&rest, &name, &value)) {
            assert_for(s, name.len == 0 || memchr(name.ptr, '=', name.len) == NULL);
            at = text_append(joined, at, name);
            at = text_append_string(joined, at, value.ptr != NULL ? "=" : "");
            at = text_append(joined, at, value);
            at = text_append_string(joined, at, "&");
        }
        assert_for(s, text_equal(text_slice(joined, at), text_slice(expected, wanted)));
        text_free(s);
    }
}

static const struct { uhttp_str in; const char *out; } lists[] = {
    { TEXT(""),                     "" },
    { TEXT(" \t"),                  "" },
    { TEXT("a"),                    "a|" },
    { TEXT("a,b"),                  "a|b|" },
    { TEXT(" a , b\t,\tc "),        "a|b|c|" },
    { TEXT(",,a, ,\t,b,,"),         "a|b|" },       /* empty elements are no elements */
    { TEXT(","),                    "" },
    { TEXT(", ,"),                  "" },
    { TEXT("a b"),                  "a b|" },
    { TEXT("gzip;q=1, br;q=0.5"),   "gzip;q=1|br;q=0.5|" },
    { TEXT("keep-alive,not-close"), "keep-alive|not-close|" },
    { TEXT("a\0,b"),                "a?|b|" },
};

static void lists_are_taken_apart_element_by_element(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++) {
        uhttp_str s = text_exact(lists[i].in.ptr, lists[i].in.len);
        uhttp_str rest = s, element;
        char out[100];
        size_t at = 0;
        while (uhttp_list_next(&rest, &element)) {
            assert_for(s, element.len > 0 && text_lies_in(element, s) && text_lies_in(rest, s));
            at = text_append(out, at, element);
            at = text_append_string(out, at, "|");
        }
        for (size_t k = 0; k < at; k++)
            out[k] = out[k] == '\0' ? '?' : out[k];
        assert_for(s, text_is(text_slice(out, at), lists[i].out));
        assert_for(s, rest.len == 0 && !uhttp_list_next(&rest, &element));
        text_free(s);
    }
}

static void list_elements_are_those_a_byte_loop_finds(void **state)
{
    (void)state;
    random_begin(8);
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        size_t length = random_below(sizeof bytes);
        random_text(bytes, length, "ab,, \t");
        uhttp_str s = text_exact(bytes, length);
        uhttp_str rest = s, element;
        size_t from = 0;
        for (size_t i = 0; i <= length; i++) {
            if (i < length && bytes[i] != ',')
                continue;
            uhttp_str expected = uh_text_trim(text_slice(s.ptr + from, i - from));
            from = i + 1;
            if (expected.len == 0)
                continue;
            assert_for(s, uhttp_list_next(&rest, &element));
            assert_for(s, element.ptr == expected.ptr && element.len == expected.len);
        }
        assert_for(s, !uhttp_list_next(&rest, &element));
        text_free(s);
    }
}

/*--- dates ----------------------------------------------------------------------------*/

static const struct { int64_t seconds; const char *out; } dates[] = {
    { 0,            "Thu, 01 Jan 1970 00:00:00 GMT" },
    { 86399,        "Thu, 01 Jan 1970 23:59:59 GMT" },
    { 86400,        "Fri, 02 Jan 1970 00:00:00 GMT" },
    { 5011200,      "Sat, 28 Feb 1970 00:00:00 GMT" },
    { 5097600,      "Sun, 01 Mar 1970 00:00:00 GMT" },
    { 68212800,     "Tue, 29 Feb 1972 12:00:00 GMT" },
    { 784111777,    "Sun, 06 Nov 1994 08:49:37 GMT" },      /* the one of the RFC */
    { 946684799,    "Fri, 31 Dec 1999 23:59:59 GMT" },
    { 946684800,    "Sat, 01 Jan 2000 00:00:00 GMT" },
    { 951782400,    "Tue, 29 Feb 2000 00:00:00 GMT" },      /* a century with a leap day */
    { 951868800,    "Wed, 01 Mar 2000 00:00:00 GMT" },
    { 983404799,    "Wed, 28 Feb 2001 23:59:59 GMT" },
    { 1709251199,   "Thu, 29 Feb 2024 23:59:59 GMT" },
    { 2147483647,   "Tue, 19 Jan 2038 03:14:07 GMT" },      /* 2^31 */
    { 2147483648,   "Tue, 19 Jan 2038 03:14:08 GMT" },
    { 4107542399,   "Sun, 28 Feb 2100 23:59:59 GMT" },      /* a century without one */
    { 4107542400,   "Mon, 01 Mar 2100 00:00:00 GMT" },
    { 4294967295,   "Sun, 07 Feb 2106 06:28:15 GMT" },      /* 2^32 */
    { 4294967296,   "Sun, 07 Feb 2106 06:28:16 GMT" },
    { 13574563200,  "Tue, 29 Feb 2400 00:00:00 GMT" },
    { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
};

/* Writes to a block of 30 bytes; valid until the next. */
static const char *date_of(int64_t seconds)
{
    static char copy[30];
    uhttp_str block = text_exact("??????????????????????????????", 30);
    uhttp_date_format(seconds, text_mutable(block));
    assert_int_equal(block.ptr[29], '\0');
    assert_int_equal(strlen(block.ptr), 29);
    memcpy(copy, block.ptr, 30);
    text_free(block);
    return copy;
}

static void dates_are_written_as_the_rfc_has_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dates); i++)
        assert_string_equal(date_of(dates[i].seconds), dates[i].out);
}

static void dates_agree_with_the_c_library(void **state)
{
    (void)state;
    random_begin(9);
    for (int round = 0; round < 100000; round++) {
        int64_t seconds = (int64_t)(((uint64_t)random_next() << 32 | random_next()) %
                                    (round % 2 > 0 ? 253402300800u : 4102444800u));
        time_t t = (time_t)seconds;
        struct tm tm;
        char expected[40];
        if ((int64_t)t != seconds)      /* 32 bits of time */
            continue;
        assert_ptr_equal(gmtime_r(&t, &tm), &tm);
        assert_int_equal(strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm),
                         29);
        assert_string_equal(date_of(seconds), expected);
    }
}

static void dates_follow_the_calendar_from_1970_to_9999(void **state)
{
    (void)state;
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char week[] = "ThuFriSatSunMonTueWed";
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t day = 0;
    for (int year = 1970; year <= 9999; year++) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (int month = 0; month < 12; month++) {
            int last = lengths[month] + (month == 1 && leap ? 1 : 0);
            for (int date = 1; date <= last; date++, day++) {
                if (date > 1 && date < last && (year > 1975 || date % 7 > 0))
                    continue;
                char expected[40];
                int second = (int)(day % 60);
                snprintf(expected, sizeof expected, "%.3s, %02d %.3s %04d 23:00:%02d GMT",
                         week + day % 7 * 3, date, months + month * 3, year, second);
                assert_string_equal(date_of(day * 86400 + 82800 + second), expected);
            }
        }
    }
}

static void any_number_makes_30_bytes_of_date(void **state)
{
    (void)state;
    static const int64_t extremes[] = {
        INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, -1, -86400, -86401, INT32_MIN,
        253402300800, -62135596800, 67768036191676799, 67768036191676800,
    };
    for (size_t i = 0; i < COUNT(extremes); i++) {
        uhttp_str block = text_exact("??????????????????????????????", 30);
        uhttp_date_format(extremes[i], text_mutable(block));
        assert_int_equal(block.ptr[29], '\0');
        text_free(block);
    }
    assert_string_equal(date_of(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    assert_string_equal(date_of(-62167219200), "Sat, 01 Jan 0000 00:00:00 GMT");
    assert_string_equal(date_of(-62167219201), "Sat, 01 Jan 0000 00:00:00 GMT");
    assert_string_equal(date_of(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
    assert_string_equal(date_of(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_string_equal(date_of(253402300800), "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_string_equal(date_of(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
}

/*--- phrases --------------------------------------------------------------------------*/

static void statuses_of_http_have_their_registered_phrases(void **state)
{
    (void)state;
    static const struct { int status; const char *phrase; } phrases[] = {
        { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
        { 203, "Non-Authoritative Information" }, { 204, "No Content" },
        { 205, "Reset Content" }, { 206, "Partial Content" },
        { 300, "Multiple Choices" }, { 301, "Moved Permanently" },
        { 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" },
        { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" }, { 400, "Bad Request" },
        { 401, "Unauthorized" }, { 402, "Payment Required" }, { 403, "Forbidden" },
        { 404, "Not Found" }, { 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
        { 407, "Proxy Authentication Required" }, { 408, "Request Timeout" },
        { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
        { 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" }, { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" }, { 426, "Upgrade Required" },
        { 428, "Precondition Required" },
        { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
        { 451, "Unavailable For Legal Reasons" }, { 500, "Internal Server Error" },
        { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };
    size_t next = 0;
    for (int status = 200; status < 700; status++) {    /* and all others have none */
        bool known = next < COUNT(phrases) && phrases[next].status == status;
        assert_string_equal(uhttp_status_phrase(status), known ? phrases[next].phrase : "");
        next += known;
    }
    assert_int_equal(next, COUNT(phrases));
}

static void other_numbers_have_no_phrase(void **state)
{
    (void)state;
    static const int none[] = {
        0, -1, -200, -404, 1, 20, 99, 199, 600, 999, 1200, 2000, 26004, 65736, INT32_MAX,
        INT32_MIN,
    };
    for (size_t i = 0; i < COUNT(none); i++)
        assert_string_equal(uhttp_status_phrase(none[i]), "");
}

static void phrases_are_printable(void **state)
{
    (void)state;
    for (int status = -10; status < 1100; status++) {
        for (const char *p = uhttp_status_phrase(status); *p != '\0'; p++)
            assert_true(*p >= ' ' && *p <= '~');
    }
}

/*--- what is written for others, slices as strings -------------------------------------*/

static const struct { const char *in, *url, *html; } spellings[] = {
    { "",              "",                       "" },
    { "plain-._~09Az", "plain-._~09Az",          "plain-._~09Az" },
    { "a b+c/d?e=f&g", "a%20b%2Bc%2Fd%3Fe%3Df%26g", "a b+c/d?e=f&amp;g" },
    { "<b a=\"'\">",    "%3Cb%20a%3D%22%27%22%3E", "&lt;b a=&quot;&#39;&quot;&gt;" },
    { "&amp;",         "%26amp%3B",              "&amp;amp;" },     /* twice is not once */
    { "\xc3\xa9\x7f\t\n", "%C3%A9%7F%09%0A",     "\xc3\xa9\x7f\t\n" },
    { "%41",           "%2541",                  "%41" },
};

/* Writes to blocks of every size: all of it, or nothing, and never beyond the end. */
static void check_spelling(int (*spell)(const char *, char *, size_t), const char *in,
                           const char *out)
{
    size_t length = strlen(out);
    for (size_t size = 0; size <= length + 2; size++) {
        char *block = (char *)malloc(size > 0 ? size : 1);
        assert_non_null(block);
        memset(block, 'x', size > 0 ? size : 1);
        int result = spell(in, block, size);
        assert_int_equal(result, size > length ? (int)length : UHTTP_ERR_MEMORY);
        assert_string_equal(size > length ? block : "", size > length ? out : "");
        assert_int_equal(*block, size > length ? (*out) : size > 0 ? '\0' : 'x');
        free(block);
    }
}

static void texts_are_spelled_for_urls_and_for_pages(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(spellings); i++) {
        check_spelling(uhttp_percent_encode, spellings[i].in, spellings[i].url);
        check_spelling(uhttp_html_escape, spellings[i].in, spellings[i].html);
    }
}

static void every_byte_is_spelled_so_that_it_reads_back(void **state)
{
    (void)state;
    char out[8];
    for (unsigned u = 1; u < 256; u++) {
        const char in[2] = { (char)u, '\0' };
        size_t length = 0;
        int made = uhttp_percent_encode(in, out, sizeof out);
        bool unreserved = is_alnum(u) || is_one_of(u, "-._~");
        assert_int_equal(made, unreserved ? 1 : 3);
        assert_int_equal(uhttp_percent_decode(text_slice(out, (size_t)made), true, out, &length),
                         UHTTP_OK);
        assert_true(length == 1 && out[0] == in[0]);
        made = uhttp_html_escape(in, out, sizeof out);
        assert_int_equal(made > 1, is_one_of(u, "&<>\"'"));
    }
}

static void absent_texts_are_spelled_as_nothing(void **state)
{
    (void)state;
    char out[4] = "abc";
    assert_int_equal(uhttp_html_escape(NULL, out, sizeof out), UHTTP_ERR_INVALID);
    assert_string_equal(out, "");
    strcpy(out, "abc");
    assert_int_equal(uhttp_percent_encode(NULL, out, sizeof out), UHTTP_ERR_INVALID);
    assert_string_equal(out, "");
    assert_int_equal(uhttp_percent_encode("a", NULL, 5), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_html_escape("a", NULL, 0), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_html_escape(NULL, NULL, 0), UHTTP_ERR_INVALID);
}

static void slices_are_compared_with_strings(void **state)
{
    (void)state;
    const uhttp_str none = { NULL, 0 };
    for (size_t i = 0; i < COUNT(words); i++) {
        uhttp_str in = text_exact(words[i].in.ptr, words[i].in.len);
        assert_for(in, uhttp_str_equals(in, words[i].word) == words[i].same);
        text_free(in);
    }
    assert_false(uhttp_str_equals(none, ""));
    assert_false(uhttp_str_equals(none, NULL));
    assert_false(uhttp_str_equals(text_slice("a", 1), NULL));
}

static void slices_are_copied_whole_or_not_at_all(void **state)
{
    (void)state;
    const uhttp_str none = { NULL, 0 };
    char out[4] = "abc";
    assert_int_equal(uhttp_str_copy(text_slice("xyz", 3), out, sizeof out), 3);
    assert_string_equal(out, "xyz");
    assert_int_equal(uhttp_str_copy(text_slice("xyz", 0), out, 1), 0);
    assert_string_equal(out, "");
    strcpy(out, "abc");
    assert_int_equal(uhttp_str_copy(text_slice("wxyz", 4), out, sizeof out), UHTTP_ERR_MEMORY);
    assert_string_equal(out, "");
    strcpy(out, "abc");
    assert_int_equal(uhttp_str_copy(none, out, sizeof out), UHTTP_ERR_INVALID);
    assert_string_equal(out, "");
    strcpy(out, "abc");
    assert_int_equal(uhttp_str_copy(text_slice("a\0b", 3), out, sizeof out), UHTTP_ERR_INVALID);
    assert_string_equal(out, "");
    assert_int_equal(uhttp_str_copy(text_slice("a", 1), NULL, 5), UHTTP_ERR_INVALID);
    assert_int_equal(uhttp_str_copy(text_slice("a", 1), out, 0), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_str_copy(text_slice("", 0), out, 0), UHTTP_ERR_MEMORY);
}

/*--- absent slices --------------------------------------------------------------------*/

/* ptr NULL means absent; whoever hands on what is absent gets the answer of the empty text. */
static void absent_slices_are_empty_texts(void **state)
{
    (void)state;
    const uhttp_str none = { NULL, 0 };
    uhttp_str rest = none, name = none, value = none;
    uhttp_url_parts parts;
    size_t length = 1;
    char out;
    assert_int_equal(uhttp_percent_decode(none, true, &out, &length), UHTTP_OK);
    assert_int_equal(length, 0);
    assert_int_equal(uhttp_url_split(none, &parts), UHTTP_ERR_INVALID);
    assert_false(uhttp_query_next(&rest, &name, &value));
    assert_false(uhttp_list_next(&rest, &name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(token_characters_are_those_of_the_rfc),
        TEST(host_characters_are_those_of_a_registered_name),
        TEST(hexadecimal_digits_have_values_and_nothing_else_has),
        TEST(control_characters_are_delete_and_those_below_the_blank_but_the_tab),
        TEST(only_ascii_letters_have_a_lower_case),
        TEST(words_compare_as_a_whole),
        TEST(token_ends_before_the_first_other_byte),
        TEST(vectors_find_the_bytes_that_a_loop_does),
        TEST(a_name_is_compared_as_a_loop_does),
        TEST(search_for_control_characters_finds_each_at_each_place),
        TEST(search_for_control_characters_agrees_with_a_byte_loop),
        TEST(trimming_takes_blanks_and_tabs_off_both_ends),
        TEST(decimal_is_digits_and_nothing_else_up_to_the_largest_int64),
        TEST(decimal_is_written_as_printf_would),
        TEST(decimal_reads_back_what_it_writes),
        TEST(escapes_are_decoded_once_or_refused),
        TEST(every_byte_but_nul_can_be_escaped),
        TEST(escape_needs_two_hexadecimal_digits_whatever_the_bytes),
        TEST(decoding_undoes_encoding),
        TEST(text_of_a_url_has_no_blanks_no_controls_and_can_be_decoded),
        TEST(host_and_port_are_told_apart),
        TEST(malformed_hosts_are_refused),
        TEST(urls_are_split_into_their_parts),
        TEST(malformed_urls_are_refused),
        TEST(scheme_is_a_letter_and_then_letters_digits_plus_minus_dot),
        TEST(parts_of_a_url_joined_are_the_url),
        TEST(queries_are_taken_apart_pair_by_pair),
        TEST(query_pairs_joined_are_the_query_without_its_empty_pairs),
        TEST(lists_are_taken_apart_element_by_element),
        TEST(list_elements_are_those_a_byte_loop_finds),
        TEST(dates_are_written_as_the_rfc_has_them),
        TEST(dates_agree_with_the_c_library),
        TEST(dates_follow_the_calendar_from_1970_to_9999),
        TEST(any_number_makes_30_bytes_of_date),
        TEST(statuses_of_http_have_their_registered_phrases),
        TEST(other_numbers_have_no_phrase),
        TEST(phrases_are_printable),
        TEST(texts_are_spelled_for_urls_and_for_pages),
        TEST(every_byte_is_spelled_so_that_it_reads_back),
        TEST(absent_texts_are_spelled_as_nothing),
        TEST(slices_are_compared_with_strings),
        TEST(slices_are_copied_whole_or_not_at_all),
        TEST(absent_slices_are_empty_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
