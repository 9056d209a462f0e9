/* Section 05, what files need: dates read, ranges, media types, entity tags, codings, names. */
#include "text.h"

#include <time.h>

/*--- dates ----------------------------------------------------------------------------*/

#define NOW 1700000000          /* Tue, 14 Nov 2023 22:13:20 GMT */
#define NO_DATE INT64_MIN

static const struct { uhttp_str in; int64_t seconds; } dates[] = {
    { TEXT("Sun, 06 Nov 1994 08:49:37 GMT"),    784111777 },
    { TEXT("Sunday, 06-Nov-94 08:49:37 GMT"),   784111777 },
    { TEXT("Sun Nov  6 08:49:37 1994"),         784111777 },
    { TEXT("Sun Nov 16 08:49:37 1994"),         784975777 },
    { TEXT("Sun Nov 06 08:49:37 1994"),         784111777 },
    { TEXT("Thu, 01 Jan 1970 00:00:00 GMT"),    0 },
    { TEXT("Wed, 31 Dec 1969 23:59:59 GMT"),    -1 },
    { TEXT("Tue, 19 Jan 2038 03:14:08 GMT"),    2147483648 },
    { TEXT("Sun, 07 Feb 2106 06:28:16 GMT"),    4294967296 },
    { TEXT("Fri, 31 Dec 9999 23:59:59 GMT"),    253402300799 },
    { TEXT("Sat, 01 Jan 0000 00:00:00 GMT"),    -62167219200 },
    { TEXT("Tue, 29 Feb 2000 00:00:00 GMT"),    951782400 },
    { TEXT("Thu, 29 Feb 2024 12:00:00 GMT"),    1709208000 },
    { TEXT("Mon, 06 Nov 1994 08:49:37 GMT"),    784111777 },    /* not checked: the weekday */
    { TEXT("Tue, 30 Jun 2015 23:59:60 GMT"),    1435708800 },   /* a leap second */
    { TEXT("Saturday, 01-Jan-00 00:00:00 GMT"), 946684800 },    /* 2000 */
    { TEXT("Sunday, 01-Jan-73 00:00:00 GMT"),   3250454400 },   /* 2073: less than 50 years */
    { TEXT("Friday, 01-Jan-74 00:00:00 GMT"),   126230400 },    /* 1974, not 2074 */
    { TEXT("Wednesday, 29-Feb-00 00:00:00 GMT"), 951782400 },
    { TEXT("Tuesday, 06-Nov-94 08:49:37 GMT"),  784111777 },
    { TEXT("Wednesday, 06-Nov-94 08:49:37 GMT"), 784111777 },
    { TEXT("Thursday, 06-Nov-94 08:49:37 GMT"), 784111777 },
    { TEXT("Saturday, 06-Nov-94 08:49:37 GMT"), 784111777 },

    { TEXT(""),                                 NO_DATE },
    { TEXT("0"),                                NO_DATE },
    { TEXT("784111777"),                        NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:49:37"),        NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:49:37 GMT "),   NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:49:37 GMTx"),   NO_DATE },
    { TEXT(" Sun, 06 Nov 1994 08:49:37 GMT"),   NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:49:37 UTC"),    NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:49:37 gmt"),    NO_DATE },
    { TEXT("sun, 06 nov 1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Sun, 6 Nov 1994 08:49:37 GMT"),     NO_DATE },
    { TEXT("Sun,  6 Nov 1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Nov 94 08:49:37 GMT"),      NO_DATE },
    { TEXT("Sun, 06 Nov 01994 08:49:37 GMT"),   NO_DATE },
    { TEXT("Sun, 06-Nov-1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Sunday, 06 Nov 1994 08:49:37 GMT"), NO_DATE },
    { TEXT("Sun, 06-Nov-94 08:49:37 GMT"),      NO_DATE },
    { TEXT("Sun Nov 6 08:49:37 1994"),          NO_DATE },
    { TEXT("Sun Nov  6 08:49:37 94"),           NO_DATE },
    { TEXT("Sun Nov  6 08:49:37 1994 GMT"),     NO_DATE },
    { TEXT("Sun, 00 Nov 1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Sun, 31 Nov 1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Sun, 32 Dec 1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Thu, 29 Feb 1900 00:00:00 GMT"),    NO_DATE },
    { TEXT("Thu, 29 Feb 2023 00:00:00 GMT"),    NO_DATE },
    { TEXT("Thu, 30 Feb 2024 00:00:00 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Nov 1994 24:00:00 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:60:00 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:49:61 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Nov 1994 8:49:37 GMT"),     NO_DATE },
    { TEXT("Sun, 06 Nov 1994 -8:49:37 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08-49-37 GMT"),    NO_DATE },
    { TEXT("Son, 06 Nov 1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Foo 1994 08:49:37 GMT"),    NO_DATE },
    { TEXT("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT"), NO_DATE },
    { TEXT("Sun, 06 Nov 1994\0 08:49:37 GMT"),  NO_DATE },
    { TEXT("Mondayday, 06-Nov-94 08:49:37 GMT"), NO_DATE },
};

static void dates_are_read_in_all_three_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dates); i++) {
        uhttp_str in = text_exact(dates[i].in.ptr, dates[i].in.len);
        int64_t seconds = NO_DATE;
        bool good = uhttp_date_parse(in, NOW, &seconds);
        assert_for(in, good == (dates[i].seconds != NO_DATE));
        assert_for(in, seconds == dates[i].seconds);
        text_free(in);
    }
}

static void a_date_that_was_written_is_read_again(void **state)
{
    (void)state;
    random_begin(7);
    for (unsigned i = 0; i < 20000; i++) {
        char text[30];
        int64_t in = (int64_t)(((uint64_t)random_next() << 32 | random_next()) %
                               (253402300800u + 62167219200u)) - 62167219200;
        int64_t out = 0;
        uhttp_date_format(in, text);
        assert_true(uhttp_date_parse(text_slice(text, 29), NOW, &out));
        assert_true(in == out);
    }
}

static void two_digits_of_a_year_are_never_more_than_fifty_years_ahead(void **state)
{
    (void)state;
    const int64_t year = 31556952;
    for (int64_t now = 0; now < 400 * year; now += 3 * year + 86400 * 17) {
        for (int digits = 0; digits < 100; digits++) {
            char text[64];
            int64_t seconds = 0;
            int n = snprintf(text, sizeof text, "Monday, 01-Mar-%02d 00:00:00 GMT", digits);
            assert_true(uhttp_date_parse(text_slice(text, (size_t)n), now, &seconds));
            assert_true(seconds - now <= 50 * year);
            assert_true(now - seconds < 51 * year);
            uhttp_date_format(seconds, text);
            assert_int_equal(strtol(text + 14, NULL, 10), digits);
        }
    }
    int64_t seconds = 0;        /* a clock that is nonsense does no harm */
    assert_true(uhttp_date_parse(dates[1].in, INT64_MIN, &seconds));
    assert_true(uhttp_date_parse(dates[1].in, INT64_MAX, &seconds));
    assert_true(uhttp_date_parse(dates[1].in, INT64_MIN / 2, &seconds));
    assert_true(uhttp_date_parse(dates[1].in, INT64_MAX / 2, &seconds));
}

/*--- ranges ---------------------------------------------------------------------------*/

#define WHOLE UHTTP_RANGE_WHOLE
#define PART  UHTTP_RANGE_PART
#define NONE  UHTTP_RANGE_NONE
#define BIG   INT64_MAX
#define HUGE_SIZE UINT64_MAX

static const struct {
    uhttp_str in; uint64_t size; uhttp_range_kind kind; uint64_t first, length;
} ranges[] = {
    { TEXT("bytes=0-0"),        10, PART, 0, 1 },
    { TEXT("bytes=0-9"),        10, PART, 0, 10 },
    { TEXT("bytes=0-10"),       10, PART, 0, 10 },
    { TEXT("bytes=0-99"),       10, PART, 0, 10 },
    { TEXT("bytes=9-9"),        10, PART, 9, 1 },
    { TEXT("bytes=3-5"),        10, PART, 3, 3 },
    { TEXT("bytes=3-"),         10, PART, 3, 7 },
    { TEXT("bytes=0-"),         10, PART, 0, 10 },
    { TEXT("bytes=-3"),         10, PART, 7, 3 },
    { TEXT("bytes=-10"),        10, PART, 0, 10 },
    { TEXT("bytes=-11"),        10, PART, 0, 10 },
    { TEXT("BYTES=3-5"),        10, PART, 3, 3 },
    { TEXT("bytes= 3-5 "),      10, PART, 3, 3 },
    { TEXT("bytes=,3-5,,"),     10, PART, 3, 3 },       /* empty elements of a list */
    { TEXT("bytes=003-005"),    10, PART, 3, 3 },
    { TEXT("bytes=0-9223372036854775807"), 10, PART, 0, 10 },
    { TEXT("bytes=0-18446744073709551616"), 10, PART, 0, 10 },
    { TEXT("bytes=9-99999999999999999999999"), 10, PART, 9, 1 },
    { TEXT("bytes=-99999999999999999999999"), 10, PART, 0, 10 },
    { TEXT("bytes=4294967296-"), 4294967300u, PART, 4294967296u, 4 },
    { TEXT("bytes=5000000000-5000000001"), 6000000000u, PART, 5000000000u, 2 },
    { TEXT("bytes=9223372036854775806-"), BIG, PART, BIG - 1, 1 },
    { TEXT("bytes=0-9223372036854775807"), BIG, PART, 0, BIG },
    { TEXT("bytes=9223372036854775808-"), HUGE_SIZE, PART, (uint64_t)BIG + 1, HUGE_SIZE - BIG - 1 },
    { TEXT("bytes=0-18446744073709551614"), HUGE_SIZE, PART, 0, HUGE_SIZE },
    { TEXT("bytes=18446744073709551614-18446744073709551614"), HUGE_SIZE, PART, HUGE_SIZE - 1, 1 },
    { TEXT("bytes=18446744073709551615-"), HUGE_SIZE, NONE, 0, HUGE_SIZE },
    { TEXT("bytes=-18446744073709551614"), HUGE_SIZE, PART, 1, HUGE_SIZE - 1 },
    { TEXT("bytes=-9223372036854775808"), HUGE_SIZE, PART, BIG, (uint64_t)BIG + 1 },

    { TEXT("bytes=10-"),        10, NONE, 0, 10 },
    { TEXT("bytes=10-20"),      10, NONE, 0, 10 },
    { TEXT("bytes=-0"),         10, NONE, 0, 10 },
    { TEXT("bytes=9223372036854775808-"), 10, NONE, 0, 10 },
    { TEXT("bytes=18446744073709551616-18446744073709551617"), 10, NONE, 0, 10 },
    { TEXT("bytes=0-"),         0,  NONE, 0, 0 },
    { TEXT("bytes=0-0"),        0,  NONE, 0, 0 },
    { TEXT("bytes=-0"),         0,  NONE, 0, 0 },
    { TEXT("bytes=-1"),         0,  WHOLE, 0, 0 },

    { TEXT(""),                 10, WHOLE, 0, 10 },
    { TEXT("bytes"),            10, WHOLE, 0, 10 },
    { TEXT("bytes="),           10, WHOLE, 0, 10 },
    { TEXT("bytes=,"),          10, WHOLE, 0, 10 },
    { TEXT("bytes=-"),          10, WHOLE, 0, 10 },
    { TEXT("bytes=5"),          10, WHOLE, 0, 10 },
    { TEXT("bytes=5-3"),        10, WHOLE, 0, 10 },
    { TEXT("bytes=+3-5"),       10, WHOLE, 0, 10 },
    { TEXT("bytes=3-+5"),       10, WHOLE, 0, 10 },
    { TEXT("bytes=--5"),        10, WHOLE, 0, 10 },
    { TEXT("bytes=3--5"),       10, WHOLE, 0, 10 },
    { TEXT("bytes=3-5-7"),      10, WHOLE, 0, 10 },
    { TEXT("bytes=0x3-5"),      10, WHOLE, 0, 10 },
    { TEXT("bytes=3 - 5"),      10, WHOLE, 0, 10 },
    { TEXT("bytes =3-5"),       10, WHOLE, 0, 10 },
    { TEXT(" bytes=3-5"),       10, WHOLE, 0, 10 },
    { TEXT("bytes:3-5"),        10, WHOLE, 0, 10 },
    { TEXT("items=3-5"),        10, WHOLE, 0, 10 },
    { TEXT("byte=3-5"),         10, WHOLE, 0, 10 },
    { TEXT("bytes=0-0,2-2"),    10, WHOLE, 0, 10 },     /* several at once: all of it */
    { TEXT("bytes=0-0,99-"),    10, WHOLE, 0, 10 },
    { TEXT("bytes=0-,0-,0-,0-"), 10, WHOLE, 0, 10 },
    { TEXT("bytes=99999999999999999999-5"), 10, WHOLE, 0, 10 },
    { TEXT("bytes=3-5\0"),      10, WHOLE, 0, 10 },
};

static void ranges_are_one_part_the_whole_or_behind_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ranges); i++) {
        uhttp_str in = text_exact(ranges[i].in.ptr, ranges[i].in.len);
        uint64_t first = 1;
        uint64_t length = 1;
        uhttp_range_kind kind = uhttp_range_parse(in, ranges[i].size, &first, &length);
        assert_for(in, kind == ranges[i].kind);
        assert_for(in, kind == NONE || (first == ranges[i].first && length == ranges[i].length));
        text_free(in);
    }
    uint64_t first, length;
    uhttp_str absent = { NULL, 0 };
    assert_int_equal(uhttp_range_parse(absent, 10, &first, &length), WHOLE);
}

/*--- media types ----------------------------------------------------------------------*/

static const struct { uhttp_str name; const char *type; } types[] = {
    { TEXT("index.html"),       "text/html; charset=utf-8" },
    { TEXT("/a.b/INDEX.HTML"),  "text/html; charset=utf-8" },
    { TEXT("x.htm"),            "text/html; charset=utf-8" },
    { TEXT("app.min.js"),       "text/javascript; charset=utf-8" },
    { TEXT("style.css"),        "text/css; charset=utf-8" },
    { TEXT("a.json"),           "application/json" },
    { TEXT("a.svg"),            "image/svg+xml" },
    { TEXT("a.png"),            "image/png" },
    { TEXT("a.JPeG"),           "image/jpeg" },
    { TEXT("a.woff2"),          "font/woff2" },
    { TEXT("a.woff"),           "font/woff" },
    { TEXT("a.wasm"),           "application/wasm" },
    { TEXT("a.tar.gz"),         "application/gzip" },
    { TEXT("a.mp4"),            "video/mp4" },
    { TEXT(".html"),            "text/html; charset=utf-8" },
    { TEXT("html"),             "application/octet-stream" },
    { TEXT("a.html.exe"),       "application/octet-stream" },
    { TEXT("a.htmlx"),          "application/octet-stream" },
    { TEXT("a.ht"),             "application/octet-stream" },
    { TEXT("a."),               "application/octet-stream" },
    { TEXT(""),                 "application/octet-stream" },
    { TEXT("a.html/b"),         "application/octet-stream" },
    { TEXT("a.text/html; charset=utf-8"), "application/octet-stream" },
    { TEXT("a.html\0"),         "application/octet-stream" },
};

static void media_types_follow_from_extensions(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        uhttp_str name = text_exact(types[i].name.ptr, types[i].name.len);
        assert_for(name, strcmp(uhttp_mime_type(name), types[i].type) == 0);
        text_free(name);
    }
}

/*--- entity tags ----------------------------------------------------------------------*/

static const struct {
    uhttp_str list; const char *tag; bool weak, found_weakly, found_strongly;
} tags[] = {
    /* the comparisons of RFC 9110 section 8.8.3.2 */
    { TEXT("W/\"1\""),          "1", true,  true,  false },
    { TEXT("W/\"1\""),          "2", true,  false, false },
    { TEXT("W/\"1\""),          "1", false, true,  false },
    { TEXT("\"1\""),            "1", false, true,  true  },
    { TEXT("\"1\""),            "1", true,  true,  false },
    { TEXT("\"1\", \"2\""),     "2", false, true,  true  },
    { TEXT("\"1\",\"2\""),      "2", false, true,  true  },
    { TEXT("\"1\" , W/\"2\""),  "2", false, true,  false },
    { TEXT("W/\"2\", \"2\""),   "2", false, true,  true  },
    { TEXT(",, \"2\",,"),       "2", false, true,  true  },
    { TEXT("\"a,b\""),          "a,b", false, true, true },
    { TEXT("\"a\", \"b,\\\""),  "b,\\", false, true, true },     /* no escapes in a tag */
    { TEXT("\"\""),             "",  false, true,  true  },
    { TEXT("\"11\""),           "1", false, false, false },
    { TEXT("\"1"),              "1", false, false, false },
    { TEXT("1\""),              "1", false, false, false },
    { TEXT("1"),                "1", false, false, false },
    { TEXT("w/\"1\""),          "1", false, false, false },
    { TEXT("W\"1\""),           "1", false, false, false },
    { TEXT("W/1"),              "1", false, false, false },
    { TEXT("x, \"1\""),         "1", false, false, false },     /* malformed: nothing matches */
    { TEXT("\"0\" x, \"1\""),   "1", false, false, false },
    { TEXT("*"),                "1", false, false, false },     /* not a tag */
    { TEXT(""),                 "1", false, false, false },
    { TEXT("W/"),               "1", false, false, false },
};

static void entity_tags_are_compared_strongly_or_weakly(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(tags); i++) {
        uhttp_str list = text_exact(tags[i].list.ptr, tags[i].list.len);
        uhttp_str tag = text_slice(tags[i].tag, strlen(tags[i].tag));
        assert_for(list, uh_etag_is_in(list, tag, tags[i].weak, false) == tags[i].found_weakly);
        assert_for(list, uh_etag_is_in(list, tag, tags[i].weak, true) == tags[i].found_strongly);
        text_free(list);
    }
}

/*--- codings --------------------------------------------------------------------------*/

/* Is gzip wanted where there is the file itself as well, and where there is nothing else? */
static const struct { uhttp_str in; bool wanted, alone; } codings[] = {
    { TEXT("gzip"),                         true, true },
    { TEXT("GZIP"),                         true, true },
    { TEXT("x-gzip"),                       true, true },
    { TEXT("gzip, deflate, br, zstd"),      true, true },
    { TEXT("deflate,gzip;q=0.5"),           true, true },
    { TEXT("gzip;q=1.0, identity; q=0.5, *;q=0"), true, true },
    { TEXT("gzip ; q=0.001"),               true, true },
    { TEXT("*"),                            true, true },
    { TEXT("*;q=0.1"),                      true, true },
    { TEXT("identity;q=0, gzip;q=0.1"),     true, true },
    { TEXT("gzip;q=1."),                    true, true },
    { TEXT("gzip;Q=0.5"),                   true, true },
    { TEXT(""),                             false, false },
    { TEXT("identity"),                     false, false },
    { TEXT("deflate, br"),                  false, false },
    { TEXT("gzip;q=0"),                     false, false },
    { TEXT("gzip;q=0.000"),                 false, false },
    { TEXT("gzip;q=0, *"),                  false, false },
    { TEXT("*, gzip;q=0"),                  false, false },
    { TEXT("*;q=0"),                        false, false },
    { TEXT("identity;q=1, gzip;q=0.5"),     false, true },
    { TEXT("identity, gzip;q=0.5"),         false, true },
    { TEXT("gzip;q=0.5, *"),                false, true },
    { TEXT("*;q=0.5, identity"),            false, true },
    { TEXT(",, gzip ,"),                    true, true },
    { TEXT("gzip;q=0.1, gzip"),             true, true },         /* the first counts */
    { TEXT("gzip;q=0, gzip"),               false, false },
    { TEXT("gzip;q=1.001"),                 false, false },
    { TEXT("gzip;q=2"),                     false, false },
    { TEXT("gzip;q=-1"),                    false, false },
    { TEXT("gzip;q=0.0001"),                false, false },
    { TEXT("gzip;q=0.x"),                   false, false },
    { TEXT("gzip;q=0.5x"),                  false, false },
    { TEXT("gzip;q="),                      false, false },
    { TEXT("gzip;q"),                       false, false },
    { TEXT("gzip;"),                        false, false },
    { TEXT("gzip;x=1"),                     false, false },
    { TEXT("gzip;q=0,5"),                   false, false },
    { TEXT("gzipped"),                      false, false },
    { TEXT("xgzip"),                        false, false },
};

static void gzip_is_wanted_by_its_quality(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(codings); i++) {
        uhttp_str in = text_exact(codings[i].in.ptr, codings[i].in.len);
        uhttp_str rest = in;
        uhttp_str element;
        uh_codings q = uh_codings_none;
        while (uhttp_list_next(&rest, &element))
            uh_codings_note(&q, element);
        assert_for(in, uh_codings_want_gzip(&q, false) == codings[i].wanted);
        assert_for(in, uh_codings_want_gzip(&q, true) == codings[i].alone);
        text_free(in);
    }
}

/*--- names ----------------------------------------------------------------------------*/

/* Paths below a directory, after decoding. How they are spelled in a request is for
 * test_files.c. */
static const struct { uhttp_str path; bool safe, safe_if_hidden; } paths[] = {
    { TEXT(""),                     true,  true  },
    { TEXT("a"),                    true,  true  },
    { TEXT("a/"),                   true,  true  },
    { TEXT("a/b/c.html"),           true,  true  },
    { TEXT("a b/c d"),              true,  true  },
    { TEXT("a..b"),                 true,  true  },
    { TEXT("a...b/c..d"),           true,  true  },
    { TEXT("~root"),                true,  true  },
    { TEXT("a%2e%2e"),              true,  true  },     /* what is left after decoding once */
    { TEXT("b\xc3\xa4r/\xe2\x82\xac"), true, true },
    { TEXT("console.log"),          true,  true  },
    { TEXT("nullable"),             true,  true  },
    { TEXT("com"),                  true,  true  },
    { TEXT("com10"),                true,  true  },
    { TEXT("lpt.txt"),              true,  true  },
    { TEXT("*?<>|\""),              true,  true  },     /* no names on Windows, and no harm */
    { TEXT(".hidden"),              false, true  },
    { TEXT("a/.git/config"),        false, true  },
    { TEXT(".well-known/x"),        false, true  },
    { TEXT("..a"),                  false, true  },
    { TEXT("."),                    false, false },
    { TEXT(".."),                   false, false },
    { TEXT("..."),                  false, false },
    { TEXT("./a"),                  false, false },
    { TEXT("../a"),                 false, false },
    { TEXT("a/.."),                 false, false },
    { TEXT("a/../b"),               false, false },
    { TEXT("a/./b"),                false, false },
    { TEXT("a/.. /b"),              false, false },
    { TEXT("/"),                    false, false },
    { TEXT("/a"),                   false, false },
    { TEXT("a//b"),                 false, false },
    { TEXT("a//"),                  false, false },
    { TEXT("//etc/passwd"),         false, false },
    { TEXT("a."),                   false, false },
    { TEXT("a "),                   false, false },
    { TEXT("a. /b"),                false, false },
    { TEXT("a ./b"),                false, false },
    { TEXT("a\\b"),                 false, false },
    { TEXT("..\\a"),                false, false },
    { TEXT("\\\\server\\share"),    false, false },
    { TEXT("c:/boot.ini"),          false, false },
    { TEXT("c:boot.ini"),           false, false },
    { TEXT("a.txt::$DATA"),         false, false },
    { TEXT("a:b"),                  false, false },
    { TEXT("a\0b"),                 false, false },
    { TEXT("a\nb"),                 false, false },
    { TEXT("a\x7f"),                false, false },
    { TEXT("\xc0\xae\xc0\xae/a"),   false, false },     /* overlong dots */
    { TEXT("\xe0\x80\xae\xe0\x80\xae/a"), false, false },
    { TEXT("\xf0\x80\x80\xae/a"),   false, false },
    { TEXT("a\xc0\xaf" "b"),        false, false },     /* an overlong slash */
    { TEXT("a\xff"),                false, false },
    { TEXT("\xed\xa0\x80"),         false, false },     /* half a surrogate pair */
    { TEXT("con"),                  false, false },
    { TEXT("CON"),                  false, false },
    { TEXT("con.txt"),              false, false },
    { TEXT("con .txt"),             false, false },
    { TEXT("a/nul"),                false, false },
    { TEXT("nul.tar.gz"),           false, false },
    { TEXT("aux/a"),                false, false },
    { TEXT("prn"),                  false, false },
    { TEXT("CoM1"),                 false, false },
    { TEXT("com0.log"),             false, false },
    { TEXT("lpt9"),                 false, false },
    { TEXT("com\xc2\xb9"),          false, false },
    { TEXT("conin$"),               false, false },
    { TEXT("CONOUT$"),              false, false },
    { TEXT("clock$"),               false, false },
    { TEXT("HTPASS~1"),             false, false },     /* on FAT another name of .htpasswd */
    { TEXT("a/INDEX~12.HTM"),       false, false },
    { TEXT("git~1/config"),         false, false },
    { TEXT("a~1.b.c"),              false, false },
    { TEXT("a~b~1"),                false, false },
    { TEXT("~1"),                   false, false },
    { TEXT("main.c~"),              true,  true  },
    { TEXT("main.c.~1~"),           true,  true  },
    { TEXT("a~1b"),                 true,  true  },
    { TEXT("a~b1.txt"),             true,  true  },
    { TEXT("a~.1"),                 true,  true  },
};

static void paths_are_safe_when_every_piece_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        uhttp_str path = text_exact(paths[i].path.ptr, paths[i].path.len);
        assert_for(path, uh_path_is_safe(path, false) == paths[i].safe);
        assert_for(path, uh_path_is_safe(path, true) == paths[i].safe_if_hidden);
        text_free(path);
    }
}

static void text_is_utf8_or_it_is_not(void **state)
{
    (void)state;
    static const struct { uhttp_str in; bool valid; } texts[] = {
        { TEXT(""), true }, { TEXT("abc\0d"), true }, { TEXT("\x7f"), true },
        { TEXT("\xc2\x80"), true }, { TEXT("\xdf\xbf"), true }, { TEXT("\xe0\xa0\x80"), true },
        { TEXT("\xed\x9f\xbf"), true }, { TEXT("\xee\x80\x80"), true },
        { TEXT("\xf0\x90\x80\x80"), true }, { TEXT("\xf4\x8f\xbf\xbf"), true },
        { TEXT("\x80"), false }, { TEXT("\xc1\xbf"), false }, { TEXT("\xc2"), false },
        { TEXT("\xe0\x9f\xbf"), false }, { TEXT("\xed\xa0\x80"), false },
        { TEXT("\xf0\x8f\xbf\xbf"), false }, { TEXT("\xf4\x90\x80\x80"), false },
        { TEXT("\xf5\x80\x80\x80"), false }, { TEXT("\xe2\x82"), false },
        { TEXT("\xe2\x28\xa1"), false }, { TEXT("\xff"), false },
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        uhttp_str in = text_exact(texts[i].in.ptr, texts[i].in.len);
        assert_for(in, uhttp_utf8_valid(in) == texts[i].valid);
        text_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dates_are_read_in_all_three_forms),
        TEST(a_date_that_was_written_is_read_again),
        TEST(two_digits_of_a_year_are_never_more_than_fifty_years_ahead),
        TEST(ranges_are_one_part_the_whole_or_behind_the_end),
        TEST(media_types_follow_from_extensions),
        TEST(entity_tags_are_compared_strongly_or_weakly),
        TEST(gzip_is_wanted_by_its_quality),
        TEST(paths_are_safe_when_every_piece_is),
        TEST(text_is_utf8_or_it_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
