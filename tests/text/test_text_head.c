/* The request head of section 05: request line, target, Host, fields, framing, and the search
 * for its end. */
#include "text.h"

/*--- promises that hold for every text ------------------------------------------------*/

/* Where the slices of a head lie, the same whichever copy of the text they are in. */
static uhttp_str moved(uhttp_str s, uhttp_str from, uhttp_str to)
{
    if (s.ptr != NULL && text_lies_in(s, from))
        s.ptr = to.ptr + (s.ptr - from.ptr);
    return s;
}

static bool same_place(uhttp_str s, uhttp_str whole, uhttp_str other, uhttp_str other_whole)
{
    uhttp_str there = moved(s, whole, other_whole);
    return there.len == other.len &&
           (there.ptr == other.ptr || (text_is(s, "/") && text_is(other, "/")));
}

static void check_same_head(uhttp_str in, const uhttp_head *head, uhttp_str other_in,
                            const uhttp_head *other)
{
    assert_for(in, same_place(head->method, in, other->method, other_in));
    assert_for(in, same_place(head->target, in, other->target, other_in));
    assert_for(in, same_place(head->path, in, other->path, other_in));
    assert_for(in, same_place(head->query, in, other->query, other_in));
    assert_for(in, same_place(head->host, in, other->host, other_in));
    assert_for(in, same_place(head->fields, in, other->fields, other_in));
    assert_for(in, head->content_length == other->content_length);
    assert_for(in, head->cookie_length == other->cookie_length);
    assert_for(in, head->version_minor == other->version_minor);
    assert_for(in, head->chunked == other->chunked);
    assert_for(in, head->close == other->close && head->keep_alive == other->keep_alive);
    assert_for(in, head->expect_continue == other->expect_continue);
}

/* What was said of in is right: its end, or text itself for an LF without CR. */
static void check_found(uhttp_str in, const char *text, const char *found, const char *end,
                        bool bare)
{
    assert_for(in, (found == text) == bare);
    assert_for(in, bare || (found == NULL ? end == NULL : found - text == end - in.ptr));
}

/* An end is found from each cut on, and what lies before the cut is not asked again but for the
 * two bytes that may belong to the empty line. */
static void check_end(uhttp_str in, const char *end, bool bare)
{
    for (size_t cut = 0; cut <= in.len; cut++) {
        uhttp_str piece = text_exact(in.ptr, cut);
        const char *found = uh_head_find_end(piece.ptr, piece.ptr, piece.ptr + cut);
        if (found != NULL || cut == in.len)
            check_found(in, piece.ptr, found, end, bare);
        if (found == NULL) {
            uhttp_str whole = text_exact(in.ptr, in.len);
            if (cut > 2)
                memset(text_mutable(whole), '\n', cut - 2);
            found = uh_head_find_end(whole.ptr, whole.ptr + cut, whole.ptr + whole.len);
            check_found(in, whole.ptr, found, end, bare);
            text_free(whole);
        }
        text_free(piece);
    }
    const char *found = NULL;   /* byte by byte */
    for (size_t cut = 0; cut < in.len && found == NULL; cut++)
        found = uh_head_find_end(in.ptr, in.ptr + cut, in.ptr + cut + 1);
    check_found(in, in.ptr, found, end, bare);
}

/* Reads as the server does: the text ends with an empty line, this head's or a later one, and
 * is written to. The parser may find something wrong before an LF without CR; cut, the LF is
 * seen first, so it is what counts. */
static int parse_terminated(uhttp_str s, uhttp_head *head)
{
    int result = uh_head_parse(s.ptr, s.ptr + s.len, true, head);
    const char *left = head->fields.ptr != NULL ? head->fields.ptr + head->fields.len : s.ptr;
    return result < 0 && uh_head_find_end(s.ptr, left, s.ptr + s.len) == s.ptr ? -400 : result;
}

/* Each string of the server's gets its NUL, and all else is as uhttp_head_parse() says. */
static void check_terminated(uhttp_str in, int result, const uhttp_head *head)
{
    for (size_t length = 4; length <= in.len; length++) {
        if (memcmp(in.ptr + length - 4, "\r\n\r\n", 4) != 0)
            continue;
        uhttp_str whole = text_slice(in.ptr, length);
        uhttp_str copy = text_exact(in.ptr, length);
        uhttp_head other;
        assert_for(in, parse_terminated(copy, &other) == result);
        if (result > 0) {
            check_same_head(whole, head, copy, &other);
            assert_for(in, strlen(other.method.ptr) == other.method.len);
            assert_for(in, strlen(other.target.ptr) == other.target.len);
            assert_for(in, strlen(other.target.ptr + other.target.len + 1) == 8);
            uhttp_str rest = head->fields, name, value;
            while (uhttp_header_next(&rest, &name, &value)) {
                name = moved(name, whole, copy);
                assert_for(in, strlen(name.ptr) == name.len);
                value = moved(value, whole, copy);
                assert_for(in, strlen(value.ptr) == value.len);
            }
            size_t behind = length - (size_t)result;
            assert_for(in, memcmp(copy.ptr + result, in.ptr + result, behind) == 0);
        }
        text_free(copy);
    }
}

/* A head that has been read, in its block. */
typedef struct parsed {
    uhttp_str text;
    uhttp_head head;
    int result;
} parsed;

/* Reads a head; everything that is promised of any text is checked on the way. */
static parsed parse(uhttp_str in)
{
    parsed p;
    p.text = text_exact(in.ptr, in.len);
    memset(&p.head, 0x5a, sizeof p.head);
    p.result = uhttp_head_parse(p.text, &p.head);
    assert_for(in, p.result == 0 || p.result == -400 || p.result == -413 || p.result == -417 ||
               p.result == -501 || p.result == -505 || p.result > 0);
    assert_for(in, p.result <= (int)in.len);
    if (p.result > 0) {
        const uhttp_head *h = &p.head;
        uhttp_str whole = text_slice(p.text.ptr, (size_t)p.result);
        assert_for(in, h->why == NULL);
        assert_for(in, text_lies_in(h->method, whole) && text_lies_in(h->target, whole));
        assert_for(in, text_lies_in(h->path, h->target) || text_is(h->path, "/"));
        assert_for(in, h->path.len > 0);
        assert_for(in, h->query.ptr == NULL ? h->query.len == 0
                                            : text_lies_in(h->query, h->target));
        assert_for(in, h->host.ptr == NULL ? h->host.len == 0 : text_lies_in(h->host, whole));
        assert_for(in, text_lies_in(h->fields, whole));
        assert_for(in, h->fields.ptr + h->fields.len + 2 == whole.ptr + whole.len);
        assert_for(in, h->version_minor == 0 || h->version_minor == 1);
        assert_for(in, h->content_length >= -1 && !(h->chunked && h->content_length >= 0));
        assert_for(in, !h->expect_continue || h->chunked || h->content_length > 0);
        check_end(p.text, p.text.ptr + p.result, false);
    } else if (p.result < 0) {
        assert_for(in, p.head.why != NULL);
    } else {
        check_end(p.text, NULL, false);
    }
    check_terminated(p.text, p.result, &p.head);
    bool refused = false;
    for (size_t length = 0; length < in.len; length++) {    /* what is not whole is not read */
        uhttp_str piece = text_exact(in.ptr, length);
        uhttp_head head;
        int result = uhttp_head_parse(piece, &head);
        if (p.result > 0 && length >= (size_t)p.result) {
            assert_for(in, result == p.result);
            check_same_head(p.text, &p.head, piece, &head);
        } else {
            assert_for(in, result == 0 || (result < 0 && result == p.result));
        }
        assert_for(in, !refused || result < 0);
        refused = result < 0;
        text_free(piece);
    }
    return p;
}

static void done(parsed *p)
{
    text_free(p->text);
}

/* Reads a head that is put together from three pieces. */
static parsed parse_joined(const char *before, uhttp_str middle, const char *after)
{
    char buffer[1000];
    size_t at = text_append_string(buffer, 0, before);
    at = text_append(buffer, at, middle);
    at = text_append_string(buffer, at, after);
    return parse(text_slice(buffer, at));
}

/* The same, to be read whole (status 0) or refused with a status. */
static void check_status(const char *before, uhttp_str middle, const char *after, int status)
{
    parsed p = parse_joined(before, middle, after);
    assert_for(p.text, status == 0 ? p.result == (int)p.text.len : p.result == -status);
    done(&p);
}

#define LINE_END "\r\nHost: a\r\n\r\n"              /* behind a request line */
#define GET      "GET / HTTP/1.1\r\nHost: a\r\n"    /* before fields */
#define POST     "POST / HTTP/1.1\r\nHost: a\r\n"
#define END      "\r\n"
#define LENGTH_5 "Content-Length: 5\r\n"
#define CHUNKED  "Transfer-Encoding: chunked\r\n"

/*--- request line ---------------------------------------------------------------------*/

static void head_is_taken_apart(void **state)
{
    (void)state;
    static const uhttp_str text = TEXT("POST /a%20b?c=d&e HTTP/1.1\r\n"
                                       "hOsT:example.org:8080 \r\n"
                                       "Content-Length:\t5\r\nX:\r\n\r\nhello");
    parsed p = parse(text);
    assert_int_equal(p.result, (int)text.len - 5);
    assert_for(text, text_is(p.head.method, "POST"));
    assert_for(text, text_is(p.head.target, "/a%20b?c=d&e"));
    assert_for(text, text_is(p.head.path, "/a%20b"));
    assert_for(text, text_is(p.head.query, "c=d&e"));
    assert_for(text, text_is(p.head.host, "example.org:8080"));
    assert_for(text, text_is(p.head.fields, "hOsT:example.org:8080 \r\nContent-Length:\t5\r\n"
                                            "X:\r\n"));
    assert_int_equal(p.head.content_length, 5);
    assert_int_equal(p.head.version_minor, 1);
    assert_false(p.head.chunked || p.head.close || p.head.keep_alive || p.head.expect_continue);
    assert_int_equal(p.head.cookie_length, 0);
    done(&p);
}

static void smallest_heads_are_whole(void **state)
{
    (void)state;
    parsed p = parse(uh_text_of("GET / HTTP/1.0\r\n\r\n"));
    assert_int_equal(p.result, 18);
    assert_int_equal(p.head.content_length, -1);
    assert_int_equal(p.head.fields.len, 0);
    assert_null(p.head.host.ptr);
    assert_null(p.head.query.ptr);
    done(&p);
    p = parse(uh_text_of("G / HTTP/1.1\r\nHost:\r\n\r\n"));
    assert_int_equal(p.result, 23);
    assert_for(p.text, p.head.host.ptr != NULL && p.head.host.len == 0);
    done(&p);
}

static void head_that_has_not_ended_is_neither_read_nor_refused(void **state)
{
    (void)state;
    static const uhttp_str cases[] = {
        TEXT(""), TEXT("G"), TEXT("\r"), TEXT("\r\n"), TEXT("GET / HTTP/1.1"),
        TEXT("GET / HTTP/1.1\r"), TEXT("GET / HTTP/1.1\r\n"), TEXT("GET / HTTP/1.1\r\n\r"),
        TEXT(GET), TEXT(GET "\r"), TEXT(GET "X: y\r\n"), TEXT(GET "X: y\r\r"),
        TEXT("GET / HTTP/2.0\r\n"),     /* its status is told when it is whole */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        parsed p = parse(cases[i]);
        assert_for(cases[i], p.result == 0);
        done(&p);
    }
}

static void bytes_behind_a_head_are_left_alone(void **state)
{
    (void)state;
    static const uhttp_str behind[] = {
        TEXT("\n"), TEXT("\0"), TEXT("\r\n"), TEXT("\r\n\r\n"), TEXT("\n\n"), TEXT("body"),
        TEXT("GET / HTTP/1.1\r\nHost: b\r\n\r\n"), TEXT("GET /\n\n"), TEXT("junk\r\n\r\n"),
    };
    for (size_t i = 0; i < COUNT(behind); i++) {
        parsed p = parse_joined(GET END, behind[i], "");
        assert_for(p.text, p.result == (int)strlen(GET END));
        assert_for(p.text, text_is(p.head.host, "a"));
        done(&p);
    }
}

static void method_is_any_token(void **state)
{
    (void)state;
    for (unsigned u = 0; u < 256; u++) {
        char line[] = "?GE? / HTTP/1.1";
        line[0] = line[3] = (char)u;
        bool good = uh_char_is((char)u, UH_IS_TOKEN);
        check_status("", text_slice(line, 15), LINE_END, good ? 0 : 400);
        line[0] = 'x';      /* behind the first byte a blank is a second blank */
        check_status("", text_slice(line, 15), LINE_END, good ? 0 : 400);
    }
    check_status("", uh_text_of("get / HTTP/1.1"), LINE_END, 0);
    check_status("", uh_text_of("M-SEARCH / HTTP/1.1"), LINE_END, 0);
}

static const struct { uhttp_str line; int status; } request_lines[] = {
    { TEXT("GET / HTTP/1.1"),       0 },
    { TEXT("GET / HTTP/1.0"),       0 },
    { TEXT("GET / HTTP/1.2"),       0 },        /* RFC 9110 section 2.5: as 1.1 */
    { TEXT("GET / HTTP/1.9"),       0 },
    { TEXT("GET / HTTP/0.9"),       505 },
    { TEXT("GET / HTTP/0.0"),       505 },
    { TEXT("GET / HTTP/2.0"),       505 },
    { TEXT("GET / HTTP/2.1"),       505 },
    { TEXT("GET / HTTP/3.0"),       505 },
    { TEXT("GET / HTTP/9.9"),       505 },
    { TEXT("CONNECT a:1 HTTP/2.0"), 505 },
    { TEXT("GET / HTTP/2"),         400 },      /* no such form of a version */
    { TEXT("GET / HTTP/1"),         400 },
    { TEXT("GET / HTTP/1."),        400 },
    { TEXT("GET / HTTP/.1"),        400 },
    { TEXT("GET / HTTP/11"),        400 },
    { TEXT("GET / HTTP/1.10"),      400 },
    { TEXT("GET / HTTP/01.1"),      400 },
    { TEXT("GET / HTTP/1.01"),      400 },
    { TEXT("GET / HTTP/10.1"),      400 },
    { TEXT("GET / HTTP/4294967297.1"), 400 },
    { TEXT("GET / HTTP/1,1"),       400 },
    { TEXT("GET / HTTP/1.1.1"),     400 },
    { TEXT("GET / HTTP/-1.1"),      400 },
    { TEXT("GET / HTTP/+.1"),       400 },
    { TEXT("GET / HTTP/1.x"),       400 },
    { TEXT("GET / HTTP/x.1"),       400 },
    { TEXT("GET / HTTP/1.\xb1"),    400 },
    { TEXT("GET / HTTP 1.1"),       400 },
    { TEXT("GET / HTTP/1.1 "),      400 },
    { TEXT("GET / HTTP/1.1\t"),     400 },
    { TEXT("GET / HTTP/1.1x"),      400 },
    { TEXT("GET / http/1.1"),       400 },      /* the name is case-sensitive */
    { TEXT("GET / Http/1.1"),       400 },
    { TEXT("GET / HTTPS/1.1"),      400 },
    { TEXT("GET / XTTP/1.1"),       400 },
    { TEXT("GET / ICY/1.1"),        400 },
    { TEXT("GET / /1.1"),           400 },
    { TEXT("GET / "),               400 },
    { TEXT("GET /"),                400 },      /* HTTP/0.9 */
    { TEXT("GET "),                 400 },
    { TEXT("GET"),                  400 },
    { TEXT(" "),                    400 },
    { TEXT("  "),                   400 },
    { TEXT("GET HTTP/1.1"),         400 },
    { TEXT("GET  HTTP/1.1"),        400 },
    { TEXT("CONNECT  HTTP/1.1"),    400 },
    { TEXT(" HTTP/1.1"),            400 },
    { TEXT("/ HTTP/1.1"),           400 },
    { TEXT(" / HTTP/1.1"),          400 },
    { TEXT(" GET / HTTP/1.1"),      400 },
    { TEXT("\tGET / HTTP/1.1"),     400 },
    { TEXT("GET  / HTTP/1.1"),      400 },
    { TEXT("GET /  HTTP/1.1"),      400 },
    { TEXT("GET\t/ HTTP/1.1"),      400 },
    { TEXT("GET /\tHTTP/1.1"),      400 },
    { TEXT("GET\v/ HTTP/1.1"),      400 },
    { TEXT("GET /\xa0HTTP/1.1"),    400 },
    { TEXT("GET / b HTTP/1.1"),     400 },
    { TEXT("G(T / HTTP/1.1"),       400 },
    { TEXT("GET: / HTTP/1.1"),      400 },
    { TEXT("G\xc9T / HTTP/1.1"),    400 },
    { TEXT("\xef\xbb\xbfGET / HTTP/1.1"), 400 },
    { TEXT("GET / HTTP/1.1\r"),     400 },      /* CR CR LF */
    { TEXT("GET /\r HTTP/1.1"),     400 },
    { TEXT("GET / HTTP/1.1\n"),     400 },
    { TEXT("GET / HTTP/1.1\rHost: b"), 400 },
    { TEXT("GET / HTTP/1.1\nHost: b"), 400 },
    { TEXT("\rGET / HTTP/1.1"),     400 },
    { TEXT("\nGET / HTTP/1.1"),     400 },
    { TEXT("GET /\0 HTTP/1.1"),     400 },
    { TEXT("GET / HTTP/1.1\0"),     400 },
    { TEXT("\0GET / HTTP/1.1"),     400 },
    { TEXT("GET /\x7f HTTP/1.1"),   400 },
    { TEXT(""),                     400 },      /* an empty line is not this reader's affair */
    { TEXT("\r\nGET / HTTP/1.1"),   400 },
    { TEXT("HTTP/1.1 200 OK"),      400 },
    { TEXT("\x16\x03\x01\x02\x00\x01"), 400 },  /* TLS */
};

static void request_line_is_three_words_with_single_blanks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(request_lines); i++)
        check_status("", request_lines[i].line, LINE_END, request_lines[i].status);
}

static void later_1_x_counts_as_1_1(void **state)
{
    (void)state;
    for (char minor = '0'; minor <= '9'; minor++) {
        char line[] = "GET / HTTP/1.?";
        line[13] = minor;
        parsed p = parse_joined("", text_slice(line, 14), LINE_END);
        assert_for(p.text, p.result > 0 && p.head.version_minor == (minor == '0' ? 0 : 1));
        done(&p);
    }
}

static void preface_of_http_2_is_answered_505(void **state)
{
    (void)state;
    static const uhttp_str preface = TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for (size_t length = 18; length <= preface.len; length++) {
        parsed p = parse(text_slice(preface.ptr, length));
        assert_for(p.text, p.result == -505);
        done(&p);
    }
}

/*--- target ---------------------------------------------------------------------------*/

/* Of heads with "Host: field". */
static const struct { const char *method; uhttp_str target; const char *path, *query, *host; }
targets[] = {
    { "GET", TEXT("/"),             "/", NULL, "field" },
    { "GET", TEXT("/a/b%20c"),      "/a/b%20c", NULL, "field" },
    { "GET", TEXT("/a?b"),          "/a", "b", "field" },
    { "GET", TEXT("/a?"),           "/a", "", "field" },
    { "GET", TEXT("/?a?b=/"),       "/", "a?b=/", "field" },
    { "GET", TEXT("//other/a"),     "//other/a", NULL, "field" },   /* no authority in it */
    { "GET", TEXT("/http://other/"), "/http://other/", NULL, "field" },
    { "GET", TEXT("/../%2e%2E/"),   "/../%2e%2E/", NULL, "field" },
    { "GET", TEXT("/?a=100%"),      "/", "a=100%", "field" },   /* a parameter's own affair */
    { "GET", TEXT("/?%4&%zz&%u0416&%"), "/", "%4&%zz&%u0416&%", "field" },
    { "GET", TEXT("http://other?%0"), "/", "%0", "other" },
    { "GET", TEXT("/*"),            "/*", NULL, "field" },
    { "GET", TEXT("/a+b:c@d"),      "/a+b:c@d", NULL, "field" },
    { "GET", TEXT("http://other/a?b"), "/a", "b", "other" },
    { "GET", TEXT("http://other"),  "/", NULL, "other" },
    { "GET", TEXT("http://other?b"), "/", "b", "other" },
    { "GET", TEXT("http://other/?"), "/", "", "other" },
    { "GET", TEXT("https://other:443/"), "/", NULL, "other:443" },
    { "GET", TEXT("HTTP://Other:/a"), "/a", NULL, "Other:" },
    { "GET", TEXT("hTTpS://[::1]:8080"), "/", NULL, "[::1]:8080" },
    { "OPTIONS", TEXT("*"),         "*", NULL, "field" },
    { "OPTIONS", TEXT("/a"),        "/a", NULL, "field" },
    { "OPTIONS", TEXT("http://other/a"), "/a", NULL, "other" },
};

static void target_is_an_origin_an_absolute_or_an_asterisk_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(targets); i++) {
        char before[20];
        snprintf(before, sizeof before, "%s ", targets[i].method);
        parsed p = parse_joined(before, targets[i].target, " HTTP/1.1\r\nHost: field\r\n\r\n");
        assert_for(p.text, p.result == (int)p.text.len);
        assert_for(p.text, text_equal(p.head.target, targets[i].target));
        assert_for(p.text, text_is(p.head.path, targets[i].path));
        assert_for(p.text, text_is(p.head.query, targets[i].query));
        assert_for(p.text, text_is(p.head.host, targets[i].host));
        done(&p);
    }
}

static void other_targets_are_refused(void **state)
{
    (void)state;
    static const uhttp_str bad[] = {
        TEXT("*"), TEXT("**"), TEXT("*/"), TEXT("a"), TEXT("a/b"), TEXT("."), TEXT("?a"),
        TEXT("#"), TEXT("/#"), TEXT("/a#b"), TEXT("/a?b#c"), TEXT("/a?#"),
        TEXT("http://other/#a"), TEXT("http://other#"), TEXT("a:80"), TEXT("example.org:443"),
        TEXT("http:"), TEXT("http:/a"), TEXT("http:a"), TEXT("http://"), TEXT("http:///a"),
        TEXT("http://:80/"), TEXT("http://u@other/"), TEXT("http://u:p@other/"),
        TEXT("http://other:x/"), TEXT("http://other:65536/"), TEXT("http://[::1/"),
        TEXT("ftp://other/"), TEXT("file:///a"), TEXT("ws://other/"), TEXT("httpx://other/"),
        TEXT("htt://other/"), TEXT("://other/"), TEXT("http//other/"), TEXT("[::1]"),
        TEXT("\\"), TEXT("\\\\other\\a"), TEXT("http:\\\\other\\"), TEXT("c:/a"),
        TEXT("/%"), TEXT("/%4"), TEXT("/%4g"), TEXT("/%zz"), TEXT("/%00"), TEXT("/a%00b"),
        TEXT("/?%00"), TEXT("/%?a=0"), TEXT("/?a=%00"), TEXT("/?%%00"), TEXT("http://other/%"),
        TEXT("http://other%?a"),
        TEXT("http://%00/"), TEXT("/a\tb"), TEXT("/a\0b"), TEXT("/a\x1f"), TEXT("/a\x7f"),
        TEXT("\xe4"),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        check_status("GET ", bad[i], " HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check_status("GET ", bad[i], " HTTP/1.0\r\n\r\n", 400);
    }
    check_status("OPTIONS ", uh_text_of("**"), " HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_status("options ", uh_text_of("*"), " HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

static void connect_is_not_implemented(void **state)
{
    (void)state;
    check_status("", uh_text_of("CONNECT example.org:443 HTTP/1.1"), LINE_END, 501);
    check_status("", uh_text_of("CONNECT / HTTP/1.1"), LINE_END, 501);
    check_status("", uh_text_of("CONNECT http://a/ HTTP/1.0"), LINE_END, 501);
    check_status("", uh_text_of("connect / HTTP/1.1"), LINE_END, 0);      /* another method */
    check_status("", uh_text_of("connect a:443 HTTP/1.1"), LINE_END, 400);
}

/*--- Host -----------------------------------------------------------------------------*/

static const struct { const char *version; uhttp_str fields; int status; const char *host; }
host_fields[] = {
    { "1.1", TEXT("Host: a\r\n"),               0, "a" },
    { "1.1", TEXT("HOST:\ta:80 \t\r\n"),        0, "a:80" },
    { "1.1", TEXT("Host: [::1]:80\r\n"),        0, "[::1]:80" },
    { "1.1", TEXT("Host: a_b\r\n"),             0, "a_b" },
    { "1.1", TEXT("Host: a:\r\n"),              0, "a:" },
    { "1.1", TEXT("Host:\r\n"),                 0, "" },
    { "1.1", TEXT("Host: \t \r\n"),             0, "" },
    { "1.1", TEXT("X: y\r\nHost: a\r\nZ:\r\n"), 0, "a" },
    { "1.0", TEXT("Host: a\r\n"),               0, "a" },
    { "1.0", TEXT(""),                          0, NULL },
    { "1.0", TEXT("X-Host: a\r\n"),             0, NULL },
    { "1.1", TEXT(""),                          400, NULL },
    { "1.2", TEXT(""),                          400, NULL },
    { "1.1", TEXT("X-Host: a\r\n"),             400, NULL },
    { "1.1", TEXT("Hos: a\r\n"),                400, NULL },
    { "1.1", TEXT("Hosts: a\r\n"),              400, NULL },
    { "1.1", TEXT("Cost: a\r\n"),               400, NULL },
    { "1.1", TEXT("Host: a\r\nHost: a\r\n"),    400, NULL },
    { "1.1", TEXT("Host: a\r\nhost: b\r\n"),    400, NULL },
    { "1.1", TEXT("Host:\r\nHost: a\r\n"),      400, NULL },
    { "1.1", TEXT("Host: a\r\nX:\r\nHOST:\r\n"), 400, NULL },
    { "1.0", TEXT("Host: a\r\nHost: a\r\n"),    400, NULL },
    { "1.1", TEXT("Host: a, a\r\n"),            400, NULL },
    { "1.1", TEXT("Host: a b\r\n"),             400, NULL },
    { "1.1", TEXT("Host: a\tb\r\n"),            400, NULL },
    { "1.1", TEXT("Host: a/\r\n"),              400, NULL },
    { "1.1", TEXT("Host: http://a\r\n"),        400, NULL },
    { "1.1", TEXT("Host: u@a\r\n"),             400, NULL },
    { "1.1", TEXT("Host: a?b\r\n"),             400, NULL },
    { "1.1", TEXT("Host: a#b\r\n"),             400, NULL },
    { "1.1", TEXT("Host: a\\b\r\n"),            400, NULL },
    { "1.1", TEXT("Host: \"a\"\r\n"),           400, NULL },
    { "1.1", TEXT("Host: <a>\r\n"),             400, NULL },
    { "1.1", TEXT("Host: a:b\r\n"),             400, NULL },
    { "1.1", TEXT("Host: a:65536\r\n"),         400, NULL },
    { "1.1", TEXT("Host: a:80:80\r\n"),         400, NULL },
    { "1.1", TEXT("Host: a:-1\r\n"),            400, NULL },
    { "1.1", TEXT("Host: :\r\n"),               400, NULL },
    { "1.1", TEXT("Host: :80\r\n"),             400, NULL },
    { "1.1", TEXT("Host: ::1\r\n"),             400, NULL },
    { "1.1", TEXT("Host: [::1\r\n"),            400, NULL },
    { "1.1", TEXT("Host: []\r\n"),              400, NULL },
    { "1.1", TEXT("Host: a%\r\n"),              400, NULL },
    { "1.1", TEXT("Host: a%00\r\n"),            400, NULL },
    { "1.1", TEXT("Host: \xe4\r\n"),            400, NULL },
    { "1.0", TEXT("Host: a/b\r\n"),             400, NULL },
};

static void host_is_there_once_and_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(host_fields); i++) {
        char before[40];
        snprintf(before, sizeof before, "GET / HTTP/%s\r\n", host_fields[i].version);
        parsed p = parse_joined(before, host_fields[i].fields, END);
        int status = host_fields[i].status;
        assert_for(p.text, status == 0 ? p.result > 0 : p.result == -status);
        if (status == 0)
            assert_for(p.text, text_is(p.head.host, host_fields[i].host));
        done(&p);
    }
}

static void absolute_target_excuses_no_host_field(void **state)
{
    (void)state;
    static const char line[] = "GET http://other/ HTTP/1.1\r\n";
    check_status(line, uh_text_of(""), END, 400);
    check_status(line, uh_text_of("Host: a/b\r\n"), END, 400);
    check_status(line, uh_text_of("Host: a\r\nHost: a\r\n"), END, 400);
    check_status(line, uh_text_of("Host: a\r\n"), END, 0);
    check_status(line, uh_text_of("Host:\r\n"), END, 0);
    check_status("GET http://other/ HTTP/1.0\r\n", uh_text_of(""), END, 0);
}

/*--- fields ---------------------------------------------------------------------------*/

static const struct { uhttp_str lines; int status; } field_lines[] = {
    { TEXT("A:\r\n"),               0 },
    { TEXT("A:b\r\n"),              0 },
    { TEXT("A: \t b \t\r\n"),       0 },
    { TEXT("A: b c\td\r\n"),        0 },
    { TEXT("A:::\r\n"),             0 },
    { TEXT("A: \x80\xff\r\n"),      0 },        /* obs-text */
    { TEXT("!#$%&'*+-.^_`|~09: x\r\n"), 0 },
    { TEXT("A: 1\r\nA: 2\r\n"),     0 },
    { TEXT("A: \"(\\{@}=;,<>/?[]\r\n"), 0 },
    { TEXT("\r\n"),                 0 },        /* the empty line; END is left over */
    { TEXT("A\r\n"),                400 },
    { TEXT("A b\r\n"),              400 },
    { TEXT(":\r\n"),                400 },
    { TEXT(": b\r\n"),              400 },
    { TEXT("A : b\r\n"),            400 },      /* RFC 9112 section 5.1 */
    { TEXT("A\t: b\r\n"),           400 },
    { TEXT("Content-Length : 5\r\n"), 400 },
    { TEXT(" A: b\r\n"),            400 },      /* behind the request line: section 2.2 */
    { TEXT("A: b\r\n c\r\n"),       400 },      /* obs-fold: section 5.2 */
    { TEXT("A: b\r\n\tc\r\n"),      400 },
    { TEXT("A: b\r\n \r\n"),        400 },
    { TEXT("A: b\r\n\t\r\n"),       400 },
    { TEXT("A:\r\n b\r\n"),         400 },
    { TEXT("A: b\r\n :c\r\n"),      400 },
    { TEXT("A b: c\r\n"),           400 },
    { TEXT("A(b): c\r\n"),          400 },
    { TEXT("A/b: c\r\n"),           400 },
    { TEXT("A@b: c\r\n"),           400 },
    { TEXT("\"A\": c\r\n"),         400 },
    { TEXT("A\xe4: c\r\n"),         400 },
    { TEXT("A=b\r\n"),              400 },
    { TEXT("A; b: c\r\n"),          400 },
    { TEXT("A: b\r\nC\r\n"),        400 },
    { TEXT("GET / HTTP/1.1\r\n"),   400 },
    { TEXT("A: b\n"),               400 },      /* LF alone */
    { TEXT("A: b\nC: d\r\n"),       400 },
    { TEXT("\nA: b\r\n"),           400 },
    { TEXT("A: b\n\r\n"),           400 },
    { TEXT("A: b\r\n\n"),           400 },
    { TEXT("\n"),                   400 },
    { TEXT("\n\n"),                 400 },
    { TEXT("A: b\rC: d\r\n"),       400 },      /* CR alone, even before CRLF */
    { TEXT("A: b\r\r\n"),           400 },
    { TEXT("A: \rb\r\n"),           400 },
    { TEXT("\rA: b\r\n"),           400 },
    { TEXT("A\r: b\r\n"),           400 },
    { TEXT("A:\r b\r\n"),           400 },
    { TEXT("A: b\r \n"),            400 },      /* junk between CR and LF */
    { TEXT("A: b\rX\n"),            400 },
    { TEXT("A: b\0\r\n"),           400 },
    { TEXT("A: \0b\r\n"),           400 },
    { TEXT("A\0: b\r\n"),           400 },
    { TEXT("\0\r\n"),               400 },
    { TEXT("A: b\x1b[31m\r\n"),     400 },
    { TEXT("A: b\v\r\n"),           400 },
    { TEXT("A: b\f\r\n"),           400 },
    { TEXT("A: b\x7f\r\n"),         400 },
};

static void field_is_a_token_a_colon_and_a_value_without_control_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(field_lines); i++) {
        int status = field_lines[i].status;
        parsed p = parse_joined(GET, field_lines[i].lines, END);
        assert_for(p.text, status == 0 ? p.result > 0 : p.result == -status);
        done(&p);
        p = parse_joined(GET "Before: x\r\n", field_lines[i].lines, "After: y\r\n" END);
        assert_for(p.text, status == 0 ? p.result > 0 : p.result == -status);
        done(&p);
    }
}

static const char sample[] = "POST http://b:1/c%20d?e=f HTTP/1.1\r\n"
                             "Host: a:80\r\nX-Y:\t z\r\nContent-Length: 10\r\n\r\n";

static void control_character_in_any_place_is_refused(void **state)
{
    (void)state;
    size_t length = sizeof sample - 1;
    for (size_t at = 0; at < length; at++) {
        for (unsigned u = 0; u < 128; u = u == 31 ? 127 : u + 1) {
            char text[sizeof sample];
            uhttp_head head;
            memcpy(text, sample, sizeof sample);
            if (u == '\t' || text[at] == (char)u)
                continue;
            text[at] = (char)u;
            uhttp_str s = text_exact(text, length);
            assert_for(s, uhttp_head_parse(s, &head) <= 0);     /* 0: its end is broken */
            text_free(s);
        }
    }
}

static void byte_too_many_is_refused_wherever_it_breaks_a_line(void **state)
{
    (void)state;
    static const char bytes[] = { '\r', '\n', '\0', '\x7f', '\x01' };
    size_t length = sizeof sample - 1;
    for (size_t at = 0; at < length; at++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            char text[sizeof sample];
            if (at == length - 1 && bytes[i] == '\n')
                continue;       /* stands behind the head */
            memcpy(text, sample, at);
            text[at] = bytes[i];
            memcpy(text + at + 1, sample + at, length - at);
            parsed p = parse(text_slice(text, length + 1));
            assert_for(p.text, p.result <= 0);
            done(&p);
        }
    }
}

static void head_without_one_of_its_line_ends_is_never_read(void **state)
{
    (void)state;
    size_t length = sizeof sample - 1;
    for (size_t at = 0; at < length; at++) {
        char text[sizeof sample];
        if (sample[at] != '\r' && sample[at] != '\n')
            continue;
        memcpy(text, sample, at);
        memcpy(text + at, sample + at + 1, length - at - 1);
        parsed p = parse(text_slice(text, length - 1));
        assert_for(p.text, p.result <= 0);
        done(&p);
    }
}

static void header_lines_are_read_one_by_one(void **state)
{
    (void)state;
    static const struct { uhttp_str in; const char *out; size_t left; } cases[] = {
        { TEXT(""),                         "", 0 },
        { TEXT("A: b\r\n"),                 "A=b;", 0 },
        { TEXT("A:\r\nb-C:\t d e \t\r\nA:::\r\n"), "A=;b-C=d e;A=::;", 0 },
        { TEXT("A: \r\n"),                  "A=;", 0 },
        { TEXT("A: b\r\nC: d"),             "A=b;", 4 },        /* no line yet */
        { TEXT("A: b\r\nC: d\r"),           "A=b;", 5 },
        { TEXT("A: b\r\nC: d\n"),           "A=b;", 5 },
        { TEXT("A: b\r\n\r\n"),             "A=b;", 2 },        /* the empty line is no field */
        { TEXT("A: b\r\n c\r\n"),           "A=b;", 4 },
        { TEXT("A : b\r\n"),                "", 7 },
        { TEXT(": b\r\n"),                  "", 5 },
        { TEXT("A"),                        "", 1 },
        { TEXT("A:"),                       "", 2 },
        { TEXT("A:\r"),                     "", 3 },
        { TEXT("A: b\0\r\n"),               "", 7 },
        { TEXT("A: b\rc\r\n"),              "", 8 },
        { TEXT("\r\n"),                     "", 2 },
        { TEXT("\n"),                       "", 1 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uhttp_str s = text_exact(cases[i].in.ptr, cases[i].in.len);
        uhttp_str rest = s, name, value;
        char out[100];
        size_t at = 0;
        while (uhttp_header_next(&rest, &name, &value)) {
            assert_for(s, text_lies_in(name, s) && text_lies_in(value, s));
            at = text_append(out, at, name);
            at = text_append_string(out, at, "=");
            at = text_append(out, at, value);
            at = text_append_string(out, at, ";");
        }
        assert_for(s, text_is(text_slice(out, at), cases[i].out));
        assert_for(s, rest.len == cases[i].left && text_lies_in(rest, s));
        assert_for(s, !uhttp_header_next(&rest, &name, &value) && rest.len == cases[i].left);
        text_free(s);
    }
}

static void fields_of_a_head_can_be_walked_to_their_end(void **state)
{
    (void)state;
    parsed p = parse(uh_text_of("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\nY: 3\r\n"));
    uhttp_str rest = p.head.fields, name, value;
    assert_true(uhttp_header_next(&rest, &name, &value));
    assert_true(text_is(name, "Host") && text_is(value, "a"));
    assert_true(uhttp_header_next(&rest, &name, &value));
    assert_true(text_is(name, "X") && text_is(value, "1"));
    assert_true(uhttp_header_next(&rest, &name, &value));
    assert_true(text_is(name, "X") && text_is(value, "2"));
    assert_false(uhttp_header_next(&rest, &name, &value));
    assert_int_equal(rest.len, 0);
    done(&p);
}

/*--- framing --------------------------------------------------------------------------*/

static const struct { uhttp_str lines; int status; int64_t length; } lengths[] = {
    { TEXT(""),                                         0, -1 },
    { TEXT("Content-Length: 0\r\n"),                    0, 0 },
    { TEXT("Content-Length: 5\r\n"),                    0, 5 },
    { TEXT("content-LENGTH:5 \r\n"),                    0, 5 },
    { TEXT("Content-Length: 0000000000000000000000005\r\n"), 0, 5 },
    { TEXT("Content-Length: 4294967296\r\n"),           0, (int64_t)UINT32_MAX + 1 },
    { TEXT("Content-Length: 9223372036854775807\r\n"),  0, INT64_MAX },
    { TEXT("Content-Lengt: 5\r\n"),                     0, -1 },
    { TEXT("Content-Lengths: 5\r\n"),                   0, -1 },
    { TEXT("X-Content-Length: 5\r\n"),                  0, -1 },
    { TEXT("Content_Length: 5\r\n"),                    0, -1 },
    { TEXT("Content-Length: 9223372036854775808\r\n"),  413, 0 },
    { TEXT("Content-Length: 18446744073709551616\r\n"), 413, 0 },
    { TEXT("Content-Length: 18446744073709551621\r\n"), 413, 0 },
    { TEXT("Content-Length: 340282366920938463463374607431768211461\r\n"), 413, 0 },
    { TEXT("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, 0 },
    { TEXT("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, 0 },
    { TEXT("Content-Length: 0\r\nContent-Length: 0\r\n"), 400, 0 },
    { TEXT("Content-Length: 0\r\ncontent-length: 5\r\n"), 400, 0 },
    { TEXT("Content-Length: 5\r\nX: y\r\nContent-Length: 5\r\n"), 400, 0 },
    { TEXT("Content-Length: 5\r\nContent-Length:\r\n"), 400, 0 },
    { TEXT("Content-Length: 5, 5\r\n"),                 400, 0 },
    { TEXT("Content-Length: 5,\r\n"),                   400, 0 },
    { TEXT("Content-Length: ,5\r\n"),                   400, 0 },
    { TEXT("Content-Length: 5;\r\n"),                   400, 0 },
    { TEXT("Content-Length:\r\n"),                      400, 0 },
    { TEXT("Content-Length: \t\r\n"),                   400, 0 },
    { TEXT("Content-Length: +5\r\n"),                   400, 0 },
    { TEXT("Content-Length: -5\r\n"),                   400, 0 },
    { TEXT("Content-Length: -0\r\n"),                   400, 0 },
    { TEXT("Content-Length: 5 5\r\n"),                  400, 0 },
    { TEXT("Content-Length: 0x5\r\n"),                  400, 0 },
    { TEXT("Content-Length: 5h\r\n"),                   400, 0 },
    { TEXT("Content-Length: 5.0\r\n"),                  400, 0 },
    { TEXT("Content-Length: 5e0\r\n"),                  400, 0 },
    { TEXT("Content-Length: 1_0\r\n"),                  400, 0 },
    { TEXT("Content-Length: \"5\"\r\n"),                400, 0 },
    { TEXT("Content-Length: five\r\n"),                 400, 0 },
    { TEXT("Content-Length: \xef\xbc\x95\r\n"),         400, 0 },   /* a wide digit */
    { TEXT("Content-Length: 99999999999999999999x\r\n"), 400, 0 },
};

static void content_length_is_one_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        int status = lengths[i].status;
        parsed p = parse_joined(POST, lengths[i].lines, END);
        assert_for(p.text, status == 0 ? p.result > 0 : p.result == -status);
        if (status == 0)
            assert_for(p.text, p.head.content_length == lengths[i].length && !p.head.chunked);
        done(&p);
    }
}

static const struct { uhttp_str lines; int status; bool chunked; } codings[] = {
    { TEXT("Transfer-Encoding: chunked\r\n"),               0, true },
    { TEXT("transfer-encodinG:CHUNKED\t\r\n"),              0, true },
    { TEXT("Transfer-Encodin: chunked\r\n"),                0, false },
    { TEXT("Transfer-Encodings: chunked\r\n"),              0, false },
    { TEXT("X-Transfer-Encoding: chunked\r\n"),             0, false },
    { TEXT("Transfer_Encoding: chunked\r\n"),               0, false },
    { TEXT("TE: chunked\r\n"),                              0, false },
    { TEXT("Transfer-Encoding: gzip, chunked\r\n"),         501, false },
    { TEXT("Transfer-Encoding: identity, chunked\r\n"),     501, false },
    { TEXT("Transfer-Encoding: xchunked, chunked\r\n"),     501, false },
    { TEXT("Transfer-Encoding: a, b, chunked\r\n"),         501, false },
    { TEXT("Transfer-Encoding: gzip\r\n"),                  400, false },
    { TEXT("Transfer-Encoding: identity\r\n"),              400, false },
    { TEXT("Transfer-Encoding:\r\n"),                       400, false },
    { TEXT("Transfer-Encoding: ,\r\n"),                     400, false },
    { TEXT("Transfer-Encoding: chunked,\r\n"),              400, false },
    { TEXT("Transfer-Encoding: , chunked\r\n"),             501, false },
    { TEXT("Transfer-Encoding: chunked,,\r\n"),             400, false },
    { TEXT("Transfer-Encoding: xchunked\r\n"),              400, false },
    { TEXT("Transfer-Encoding: chunkedx\r\n"),              400, false },
    { TEXT("Transfer-Encoding: chunke\r\n"),                400, false },
    { TEXT("Transfer-Encoding: not-chunked\r\n"),           400, false },
    { TEXT("Transfer-Encoding: chunked, gzip\r\n"),         400, false },
    { TEXT("Transfer-Encoding: chunked, identity\r\n"),     400, false },
    { TEXT("Transfer-Encoding: chunked, chunked\r\n"),      400, false },
    { TEXT("Transfer-Encoding: gzip, chunked, chunked\r\n"), 400, false },
    { TEXT("Transfer-Encoding: chunked, gzip, chunked\r\n"), 400, false },
    { TEXT("Transfer-Encoding: chunked chunked\r\n"),       400, false },
    { TEXT("Transfer-Encoding: chunked;q=1\r\n"),           400, false },
    { TEXT("Transfer-Encoding: chunked ;\r\n"),             400, false },
    { TEXT("Transfer-Encoding: gzip;q=1, chunked\r\n"),     400, false },
    { TEXT("Transfer-Encoding: \"chunked\"\r\n"),           400, false },
    { TEXT("Transfer-Encoding: 'chunked'\r\n"),             400, false },
    { TEXT("Transfer-Encoding: =chunked\r\n"),              400, false },
    { TEXT("Transfer-Encoding: : chunked\r\n"),             400, false },
    { TEXT("Transfer-Encoding: chu\tnked\r\n"),             400, false },
    { TEXT("Transfer-Encoding: chunked\v\r\n"),             400, false },
    { TEXT("Transfer-Encoding: \0chunked\r\n"),             400, false },
    { TEXT("Transfer-Encoding: chunked\0\r\n"),             400, false },
    { TEXT("Transfer-Encoding: \xa0" "chunked\r\n"),        400, false },
    { TEXT("Transfer-Encoding : chunked\r\n"),              400, false },
    { TEXT(" Transfer-Encoding: chunked\r\n"),              400, false },
    { TEXT("Transfer-Encoding:\r\n chunked\r\n"),           400, false },
    { TEXT("X: y\rTransfer-Encoding: chunked\r\n"),         400, false },
    { TEXT("X: y\nTransfer-Encoding: chunked\r\n"),         400, false },
    { TEXT("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, false },
    { TEXT("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400, false },
    { TEXT("Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding:\r\n"), 400, false },
    { TEXT("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), 400, false },
};

static void transfer_encoding_is_chunked_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(codings); i++) {
        int status = codings[i].status;
        parsed p = parse_joined(POST, codings[i].lines, END);
        assert_for(p.text, status == 0 ? p.result > 0 : p.result == -status);
        if (status == 0)
            assert_for(p.text, p.head.chunked == codings[i].chunked);
        assert_for(p.text, status != 0 || p.head.content_length == -1);
        done(&p);
    }
}

/* A proxy in front and this server must never disagree where a body ends: of all that two
 * fields can say together only these are read. RFC 9112 section 6.3 */
static void framing_that_can_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const char *const length_lines[] = {
        "", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length: 5, 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: x\r\n",
        "Content-Length:\r\n", "Content-Length: 18446744073709551621\r\n",
    };
    static const char *const coding_lines[] = {
        "", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: CHUNKED\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
    };
    for (size_t minor = 0; minor < 2; minor++) {
        for (size_t i = 0; i < COUNT(length_lines); i++) {
            for (size_t k = 0; k < COUNT(coding_lines); k++) {
                for (size_t order = 0; order < 2; order++) {
                    char text[300];
                    bool good = (i <= 2 && k == 0) || (i == 0 && k <= 2 && minor == 1);
                    snprintf(text, sizeof text, "GET / HTTP/1.%c\r\nHost: a\r\n%s%s\r\n",
                             minor > 0 ? '1' : '0', order ? coding_lines[k] : length_lines[i],
                             order ? length_lines[i] : coding_lines[k]);
                    parsed p = parse(uh_text_of(text));
                    assert_for(p.text, p.result != 0 && (p.result > 0) == good);
                    if (good) {
                        assert_for(p.text, p.head.chunked == (k > 0));
                        assert_for(p.text, p.head.content_length ==
                                               (i == 0 ? -1 : i == 1 ? 5 : 0));
                    }
                    done(&p);
                }
            }
        }
    }
}

static void length_beside_a_coding_and_a_coding_in_1_0_are_400(void **state)
{
    (void)state;
    check_status(POST, uh_text_of(LENGTH_5 CHUNKED), END, 400);
    check_status(POST, uh_text_of(CHUNKED LENGTH_5), END, 400);
    check_status(POST, uh_text_of("Content-Length: 0\r\n" CHUNKED), END, 400);
    check_status("POST / HTTP/1.0\r\n", uh_text_of(CHUNKED), END, 400);
}

/*--- Connection, Expect, Cookie -------------------------------------------------------*/

static const struct { uhttp_str lines; bool close, keep_alive; } connections[] = {
    { TEXT(""),                                     false, false },
    { TEXT("Connection: close\r\n"),                true,  false },
    { TEXT("connection:CLOSE\t\r\n"),               true,  false },
    { TEXT("Connection: keep-alive\r\n"),           false, true  },
    { TEXT("Connection: Keep-Alive\r\n"),           false, true  },
    { TEXT("Connection: keep-alive, close\r\n"),    true,  true  },
    { TEXT("Connection: a,,close ,\tb\r\n"),        true,  false },
    { TEXT("Connection: x\r\nConnection: close\r\n"), true, false },
    { TEXT("Connection: close\r\nConnection: x\r\n"), true, false },
    { TEXT("Connection: keep-alive\r\nConnection: y\r\n"), false, true },
    { TEXT("Connection: Upgrade, Keep-Alive\r\n"),  false, true  },
    { TEXT("Connection: not-close\r\n"),            false, false },
    { TEXT("Connection: close-not\r\n"),            false, false },
    { TEXT("Connection: closed\r\n"),               false, false },
    { TEXT("Connection: clos\r\n"),                 false, false },
    { TEXT("Connection: close;q=1\r\n"),            false, false },
    { TEXT("Connection: \"close\"\r\n"),            false, false },
    { TEXT("Connection: close x\r\n"),              false, false },
    { TEXT("Connection: keepalive\r\n"),            false, false },
    { TEXT("Connection: keep-alives\r\n"),          false, false },
    { TEXT("Connection: not-keep-alive\r\n"),       false, false },
    { TEXT("Connection:\r\n"),                      false, false },
    { TEXT("Connections: close\r\n"),               false, false },
    { TEXT("Proxy-Connection: close\r\n"),          false, false },
    { TEXT("Xonnection: close\r\n"),                false, false },
};

static void connection_options_count_as_whole_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(connections); i++) {
        parsed p = parse_joined(GET, connections[i].lines, END);
        assert_for(p.text, p.result == (int)p.text.len);
        assert_for(p.text, p.head.close == connections[i].close);
        assert_for(p.text, p.head.keep_alive == connections[i].keep_alive);
        done(&p);
    }
}

static const struct { const char *minor; uhttp_str lines; int status; bool waits; }
expects[] = {
    { "1", TEXT(LENGTH_5),                                      0, false },
    { "1", TEXT(LENGTH_5 "Expect: 100-continue\r\n"),           0, true },
    { "1", TEXT("Expect: 100-continue\r\n" LENGTH_5),           0, true },
    { "1", TEXT("expect:100-CONTINUE \r\n" CHUNKED),            0, true },
    { "1", TEXT("Expect: 100-continue\r\n"),                    0, false },     /* no body */
    { "1", TEXT("Expect: 100-continue\r\nContent-Length: 0\r\n"), 0, false },
    { "0", TEXT("Expect: 100-continue\r\n" LENGTH_5),           0, false },     /* 1.0 */
    { "0", TEXT("Expect: x\r\n" LENGTH_5),                      0, false },
    { "1", TEXT("Expect: x\r\n"),                               0, false },
    { "1", TEXT("Expect: x\r\nContent-Length: 0\r\n"),          0, false },
    { "1", TEXT("Expects: x\r\n" LENGTH_5),                     0, false },
    { "1", TEXT("Expect: , 100-Continue ,\r\n" LENGTH_5),       0, true },      /* a list */
    { "1", TEXT("Expect: 100-continue, 100-continue\r\n" LENGTH_5), 0, true },
    { "1", TEXT("Expect:\r\n" LENGTH_5),                        0, false },
    { "1", TEXT("Expect: ,\r\nExpect: 100-continue\r\n" LENGTH_5), 0, true },
    { "1", TEXT("Expect: ,x\r\n" LENGTH_5),                     417, false },
    { "1", TEXT("Xxpect: 100-continue\r\n" LENGTH_5),           0, false },
    { "1", TEXT("Expect: x\r\n" LENGTH_5),                      417, false },
    { "1", TEXT("Expect: x\r\n" CHUNKED),                       417, false },
    { "1", TEXT("Expect: 100-continued\r\n" LENGTH_5),          417, false },
    { "1", TEXT("Expect: 100-continu\r\n" LENGTH_5),            417, false },
    { "1", TEXT("Expect: 100\r\n" LENGTH_5),                    417, false },
    { "1", TEXT("Expect: 100-continue; a=b\r\n" LENGTH_5),      417, false },
    { "1", TEXT("Expect: 100-continue, x\r\n" LENGTH_5),        417, false },
    { "1", TEXT("Expect: 100-continue\r\nExpect: x\r\n" LENGTH_5), 417, false },
    { "1", TEXT("Expect: x\r\nExpect: 100-continue\r\n" LENGTH_5), 417, false },
};

static void expectation_counts_in_1_1_and_before_a_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(expects); i++) {
        char before[40];
        int status = expects[i].status;
        snprintf(before, sizeof before, "POST / HTTP/1.%s\r\nHost: a\r\n", expects[i].minor);
        parsed p = parse_joined(before, expects[i].lines, END);
        assert_for(p.text, status == 0 ? p.result > 0 : p.result == -status);
        if (status == 0)
            assert_for(p.text, p.head.expect_continue == expects[i].waits);
        done(&p);
    }
}

static void cookie_length_is_room_for_all_cookies_with_separators(void **state)
{
    (void)state;
    static const struct { uhttp_str lines; const char *cookies; } cases[] = {
        { TEXT(""),                                     "" },
        { TEXT("X: y\r\nCookies: a=b\r\nSet-Cookie: a=b\r\nCookiX: a\r\n"), "" },
        { TEXT("Cookie: a=b\r\n"),                      "a=b; " },
        { TEXT("COOKIE:  a=b; c=d \r\n"),               "a=b; c=d; " },
        { TEXT("Cookie: a\r\nX: y\r\ncookie: b=c\r\n"), "a; b=c; " },
        { TEXT("Cookie:\r\nCookie:\r\n"),               "; ; " },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        parsed p = parse_joined(GET, cases[i].lines, END);
        assert_for(p.text, p.result > 0 && p.head.cookie_length == strlen(cases[i].cookies));
        done(&p);
    }
}

/*--- other promises -------------------------------------------------------------------*/

static void refusal_says_why(void **state)
{
    (void)state;
    static const struct { uhttp_str in; const char *word; } cases[] = {
        { TEXT("GET /\r\n\r\n"),                        "request line" },
        { TEXT("GET / HTTP/3.0\r\n\r\n"),               "version" },
        { TEXT("GET a HTTP/1.1\r\n\r\n"),               "target" },
        { TEXT("GET ftp://a/ HTTP/1.1\r\n\r\n"),        "scheme" },
        { TEXT("CONNECT a:1 HTTP/1.1\r\n\r\n"),         "CONNECT" },
        { TEXT("GET / HTTP/1.1\n"),                     "LF" },
        { TEXT(GET "A\r\n\r\n"),                        "field" },
        { TEXT("GET / HTTP/1.1\r\n\r\n"),               "Host" },
        { TEXT(GET GET "\r\n"),                         "field" },
        { TEXT(GET "Host: a\r\n\r\n"),                  "Host" },
        { TEXT("GET / HTTP/1.1\r\nHost: /\r\n\r\n"),    "Host" },
        { TEXT(POST "Content-Length: x\r\n\r\n"),       "Content-Length" },
        { TEXT(POST LENGTH_5 LENGTH_5 "\r\n"),          "Content-Length" },
        { TEXT(POST "Content-Length: 9223372036854775808\r\n\r\n"), "Content-Length" },
        { TEXT(POST LENGTH_5 CHUNKED "\r\n"),           "Transfer-Encoding" },
        { TEXT(POST CHUNKED CHUNKED "\r\n"),            "Transfer-Encoding" },
        { TEXT(POST "Transfer-Encoding: ;\r\n\r\n"),    "Transfer-Encoding" },
        { TEXT(POST "Transfer-Encoding: x\r\n\r\n"),    "chunked" },
        { TEXT(POST "Transfer-Encoding: x, chunked\r\n\r\n"), "coding" },
        { TEXT(POST LENGTH_5 "Expect: x\r\n\r\n"),      "expectation" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        parsed p = parse(cases[i].in);
        assert_for(p.text, p.result < 0 && p.head.why != NULL);
        if (strstr(p.head.why, cases[i].word) == NULL)
            print_error("said: %s\n", p.head.why);
        assert_for(p.text, strstr(p.head.why, cases[i].word) != NULL);
        done(&p);
    }
}

static void line_feed_alone_is_refused_as_soon_as_it_is_seen(void **state)
{
    (void)state;
    static const uhttp_str cases[] = {
        TEXT("\n"), TEXT("GET / HTTP/1.1\n"), TEXT(GET "\n"), TEXT("x\n"), TEXT(GET "A: b\n"),
        TEXT("\r\n\n"), TEXT("GET / HTTP/3.0\r\nA: b\nC: d\r\n\r\n"),
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        parsed p = parse(cases[i]);
        assert_for(cases[i], p.result == -400);
        check_end(p.text, NULL, true);
        done(&p);
    }
}

static void line_feed_alone_is_told_of_however_the_head_arrives(void **state)
{
    (void)state;
    static const struct { uhttp_str in; int status; } cases[] = {
        { TEXT("GET / HTTP/3.0\r\nHost: a\r\n\r\n"),                    505 },
        { TEXT("GET / HTTP/3.0\r\nHost: a\nA: b\r\n\r\n"),              400 },
        { TEXT("GET / HTTP/3.0\r\nA: b\0\r\n\r\n"),                     505 },
        { TEXT("GET / HTTP/3.0\r\nA: b\0\nC: d\r\n\r\n"),               400 },
        { TEXT("CONNECT a:1 HTTP/1.1\r\n\n\r\n\r\n"),                   400 },
        { TEXT("CONNECT a:1 HTTP/1.1\nA: b\r\n\r\n"),                   400 },
        { TEXT("\nGET / HTTP/1.1\r\n\r\n"),                             400 },
        { TEXT(POST "Transfer-Encoding: a, chunked \r\nA:b\r\n\r\n"),   501 },
        { TEXT(POST "Transfer-Encoding: a, chunked\r\nA:\nB:\r\n\r\n"), 400 },
        { TEXT(POST "Content-Length: 9223372036854775808\r\nA: b\r\n\r\n"), 413 },
        { TEXT(POST "Content-Length: 9223372036854775808\r\nA: b\n\r\n\r\n"), 400 },
        { TEXT(POST "Expect: x\r\n" LENGTH_5 "\n\r\n\r\n"),             400 },
        { TEXT(POST "A: b\t\r\nExpect: x\r\n" LENGTH_5 "\r\nbehind\nit\r\n\r\n"), 417 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        parsed p = parse(cases[i].in);
        assert_for(p.text, p.result == -cases[i].status);
        done(&p);
    }
}

static void first_of_several_ends_counts(void **state)
{
    (void)state;
    uhttp_str s = text_exact("a\r\n\r\n\r\n\r\n", 9);
    check_end(s, s.ptr + 5, false);
    text_free(s);
    s = text_exact("\r\n\r\nx\n", 6);
    check_end(s, s.ptr + 4, false);
    text_free(s);
    s = text_exact("a\nb\r\n\r\n", 7);
    check_end(s, NULL, true);
    text_free(s);
}

/* Written apart from the reader: is there a whole head, and does each of its lines have the
 * form a line must have? */
static bool looks_like_a_head(uhttp_str in, size_t *length)
{
    const char *p = in.ptr;
    const char *end = in.ptr + in.len;
    for (int line = 0;; line++) {
        const char *stop = p;
        while (stop < end && ((unsigned char)*stop >= 32 || *stop == '\t') && *stop != 127)
            stop++;
        if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
            return false;
        if (stop == p) {
            *length = (size_t)(stop + 2 - in.ptr);
            return line > 0;
        }
        if (line == 0) {
            int blanks = 0;
            for (const char *q = p; q < stop; q++)
                blanks += *q == ' ';
            if (blanks != 2 || stop - p < 12 || memcmp(stop - 9, " HTTP/1.", 8) != 0)
                return false;
        } else {
            const char *colon = (const char *)memchr(p, ':', (size_t)(stop - p));
            if (colon == NULL || colon == p)
                return false;
            for (const char *q = p; q < colon; q++) {
                if (strchr("\"(),/:;<=>?@[\\]{} \t", *q) != NULL || (unsigned char)*q > 126)
                    return false;
            }
        }
        p = stop + 2;
    }
}

static void damaged_heads_are_read_only_if_their_lines_are_well_formed(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "\r", "\n", "\r\n", "\r\n\r\n", " ", "\t", ":", ",", ";", "%", "%41", "%00", "?", "#",
        "chunked", "Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n", "Host: b\r\n",
        "close", "http://", "HTTP/1.1", "1.0", "*", "\x7f", "\x80", "A: b\r\n", "-1", "[::1]",
    };
    static const char *const starts[] = {
        sample, "GET / HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        POST "Connection: a, close\r\n" CHUNKED "Expect: 100-continue\r\n\r\n",
        POST LENGTH_5 "Cookie: a=b\r\n\r\n5\r\nabcde\r\n\r\n",
    };
    random_begin(10);
    int good = 0;
    for (int round = 0; round < 20000; round++) {
        char text[300];
        size_t length = text_append_string(text, 0, starts[random_below(COUNT(starts))]);
        for (size_t damages = random_below(4); damages > 0; damages--) {
            const char *piece = pieces[random_below(COUNT(pieces))];
            size_t at = random_below(length + 1);
            size_t gone = random_below(3) > 0 ? 0 : random_below(length - at + 1) % 12;
            size_t n = random_below(4) > 0 ? strlen(piece) : 0;
            memmove(text + at + n, text + at + gone, length - at - gone);
            memcpy(text + at, piece, n);
            length += n - gone;
        }
        uhttp_str s = text_exact(text, length);
        uhttp_head head;
        size_t whole = 0;
        int result = uhttp_head_parse(s, &head);
        bool looks = looks_like_a_head(s, &whole);
        assert_for(s, result <= 0 || (looks && (size_t)result == whole));
        check_terminated(s, result, &head);
        good += result > 0;
        text_free(s);
    }
    assert_in_range(good, 4000, 19000);
}

/* All of nine characters on six places behind each beginning. */
static void plain_target_is_read_as_any_other(void **state)
{
    (void)state;
    static const char alphabet[] = "/a?%#:@ \x80";
    static const char *const starts[] = { "", "/", "/a?", "/%41", "//" };
    int plain = 0;
    for (size_t i = 0; i < COUNT(starts); i++) {
        char text[24];
        size_t before = text_append_string(text, 0, starts[i]);
        for (unsigned n = 0; n < 9 * 9 * 9 * 9 * 9; n++) {
            unsigned rest = n;
            for (unsigned k = 0; k < 5; k++, rest /= 9)
                text[before + k] = alphabet[rest % 9];
            uhttp_str target = text_slice(text, before + 1 + n % 5);
            uhttp_head head;
            uhttp_url_parts parts;
            memset(&head, 0, sizeof head);
            size_t line = text_append_string(text, target.len, " HTTP/1.1");
            if (!uh_head_usual_target(&head, text, text + line))
                continue;
            assert_for(target, head.target.ptr == text && head.target.len == target.len);
            assert_int_equal(head.version_minor, 1);
            assert_for(target, uhttp_url_split(target, &parts) == UHTTP_OK);
            assert_for(target, parts.scheme.ptr == NULL && parts.fragment.ptr == NULL);
            assert_for(target, head.path.ptr == parts.path.ptr);
            assert_for(target, head.path.len == parts.path.len);
            assert_for(target, head.query.ptr == parts.query.ptr);
            assert_for(target, head.query.len == parts.query.len);
            plain++;
        }
    }
    assert_in_range(plain, 1000, 100000);
}

/* Reads the first line of a text by the way for usual ones and by the careful one. */
static bool check_usual(uhttp_str in)
{
    const char *end = in.ptr + in.len;
    uhttp_str name, value, careful_name, careful_value;
    const char *usual = uh_head_usual_line(in.ptr, end, &name, &value);
    if (usual == NULL)
        return false;
    const char *p = in.ptr;
    while (p < end && uh_char_is(*p, UH_IS_TOKEN))
        p++;
    assert_for(in, p > in.ptr && *p == ':');
    careful_name = text_slice(in.ptr, (size_t)(p - in.ptr));
    const char *cr = ++p;
    while (!uh_char_is_control(*cr))
        cr++;
    assert_for(in, cr[0] == '\r' && cr[1] == '\n' && usual == cr + 2);
    careful_value = uh_text_trim(text_slice(p, (size_t)(cr - p)));
    assert_for(in, name.ptr == careful_name.ptr && name.len == careful_name.len);
    assert_for(in, value.ptr == careful_value.ptr && value.len == careful_value.len);
    return true;
}

/* All of eight characters on six places, in the middle of a name, at a colon, in a value, and
 * nearer and nearer to the end. */
static void usual_line_is_read_as_any_other(void **state)
{
    (void)state;
    if (!UH_VECTOR)
        skip();
    static const char alphabet[] = "a: \t\r\n_\x80";
    static const struct { const char *before, *behind; } places[] = {
        { "", "a: b\r\n\r\n" }, { "name", "\r\n\r\n" }, { "Accept-Language:", "\r\n\r\n" },
        { "a", "x\r\nxxxxxxxxxxxxxxxxxxxxx\r\n\r\n" },
        { "n: 0123456789abcde", "x\r\n\r\nxxxxxxxxxx\r\n\r\n" },
        { "Upgrade-Insecure-Requests", "0123456789abcdef\r\n\r\n" },
    };
    int usual = 0;
    for (size_t i = 0; i < COUNT(places); i++) {
        char text[120];
        size_t line = text_append_string(text, 0, "GET / HTTP/1.1\r\n");
        size_t before = text_append_string(text, line, places[i].before);
        size_t length = text_append_string(text, before + 6, places[i].behind);
        for (unsigned n = 0; n < 1u << 18; n++) {
            for (unsigned k = 0; k < 6; k++)
                text[before + k] = alphabet[n >> 3 * k & 7];
            usual += check_usual(text_slice(text + line, length - line));
        }
    }
    assert_in_range(usual, 10000, 1000000);
}

static void text_longer_than_any_head_is_refused_unread(void **state)
{
    (void)state;
    uhttp_str s = text_exact("", 0);
    uhttp_head head;
    assert_int_equal(uhttp_head_parse(text_slice(s.ptr, 0x80000000u), &head), -413);
    assert_non_null(head.why);
    text_free(s);
}

static void absent_text_is_an_empty_one(void **state)
{
    (void)state;
    const uhttp_str none = { NULL, 0 };
    uhttp_str rest = none, name = none, value = none;
    uhttp_head head;
    assert_int_equal(uhttp_head_parse(none, &head), 0);
    assert_false(uhttp_header_next(&rest, &name, &value));
    assert_int_equal(rest.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(head_is_taken_apart),
        TEST(smallest_heads_are_whole),
        TEST(head_that_has_not_ended_is_neither_read_nor_refused),
        TEST(bytes_behind_a_head_are_left_alone),
        TEST(method_is_any_token),
        TEST(request_line_is_three_words_with_single_blanks),
        TEST(later_1_x_counts_as_1_1),
        TEST(preface_of_http_2_is_answered_505),
        TEST(target_is_an_origin_an_absolute_or_an_asterisk_form),
        TEST(other_targets_are_refused),
        TEST(connect_is_not_implemented),
        TEST(host_is_there_once_and_well_formed),
        TEST(absolute_target_excuses_no_host_field),
        TEST(field_is_a_token_a_colon_and_a_value_without_control_characters),
        TEST(control_character_in_any_place_is_refused),
        TEST(byte_too_many_is_refused_wherever_it_breaks_a_line),
        TEST(head_without_one_of_its_line_ends_is_never_read),
        TEST(header_lines_are_read_one_by_one),
        TEST(fields_of_a_head_can_be_walked_to_their_end),
        TEST(content_length_is_one_number),
        TEST(transfer_encoding_is_chunked_and_nothing_else),
        TEST(framing_that_can_be_read_in_two_ways_is_refused),
        TEST(length_beside_a_coding_and_a_coding_in_1_0_are_400),
        TEST(connection_options_count_as_whole_words),
        TEST(expectation_counts_in_1_1_and_before_a_body),
        TEST(cookie_length_is_room_for_all_cookies_with_separators),
        TEST(refusal_says_why),
        TEST(line_feed_alone_is_refused_as_soon_as_it_is_seen),
        TEST(line_feed_alone_is_told_of_however_the_head_arrives),
        TEST(first_of_several_ends_counts),
        TEST(damaged_heads_are_read_only_if_their_lines_are_well_formed),
        TEST(usual_line_is_read_as_any_other),
        TEST(plain_target_is_read_as_any_other),
        TEST(text_longer_than_any_head_is_refused_unread),
        TEST(absent_text_is_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
