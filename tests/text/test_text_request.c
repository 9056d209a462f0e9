/* Section 05, what surrounds a request: cookies, path patterns, base64, secrets, networks and
 * what proxies write, the Common Log Format, forms taken apart. */
#include "text.h"

/*--- cookies --------------------------------------------------------------------------*/

static const struct { uhttp_str in; const char *out; } cookie_cases[] = {
    { TEXT("a=b"),                  "[a|b]" },
    { TEXT("a=b; c=d"),             "[a|b][c|d]" },
    { TEXT("a=b;c=d"),              "[a|b][c|d]" },
    { TEXT("a=b;"),                 "[a|b]" },
    { TEXT(";; ;a=b; ;;"),          "[a|b]" },
    { TEXT("a="),                   "[a|]" },
    { TEXT("=b"),                   "[|b]" },
    { TEXT("="),                    "[|]" },
    { TEXT("a=b=c"),                "[a|b=c]" },
    { TEXT(" a \t= b c \t; d=e"),   "[a|b c][d|e]" },
    { TEXT("a=\"b\""),              "[a|\"b\"]" },      /* quotes are part of the value */
    { TEXT("a=\"b;c=d\""),          "[a|\"b][c|d\"]" }, /* they do not hide a semicolon */
    { TEXT("a=1; a=2"),             "[a|1][a|2]" },
    { TEXT("flag; a=b; flag"),      "[a|b]" },          /* without '=': no cookie */
    { TEXT("a=b, c=d"),             "[a|b, c=d]" },     /* a comma separates nothing */
    { TEXT("a=\x80\xff"),           "[a|\x80\xff]" },
    { TEXT("   "),                  "" },
    { TEXT(""),                     "" },
};

static void cookies_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cookie_cases); i++) {
        uhttp_str in = text_exact(cookie_cases[i].in.ptr, cookie_cases[i].in.len);
        uhttp_str rest = in;
        uhttp_str name, value;
        char out[256];
        size_t at = 0;
        while (uhttp_cookie_next(&rest, &name, &value)) {
            assert_for(in, text_lies_in(name, in) && text_lies_in(value, in));
            at = text_append_string(out, at, "[");
            at = text_append(out, at, name);
            at = text_append_string(out, at, "|");
            at = text_append(out, at, value);
            at = text_append_string(out, at, "]");
        }
        out[at] = '\0';
        assert_for(in, strcmp(out, cookie_cases[i].out) == 0);
        assert_for(in, rest.len == 0);
        text_free(in);
    }
}

static void no_cookies_at_all_are_allowed(void **state)
{
    (void)state;
    uhttp_str none = { NULL, 0 };
    uhttp_str name, value;
    assert_false(uhttp_cookie_next(&none, &name, &value));
}

/*--- paths ----------------------------------------------------------------------------*/

static const struct { const char *pattern, *path, *out; } path_cases[] = {
    { "/",                  "/",                "" },
    { "/",                  "/a",               NULL },
    { "/a",                 "/",                NULL },
    { "/a",                 "/a",               "" },
    { "/a",                 "/a/",              NULL },
    { "/a",                 "/A",               NULL },
    { "/a/",                "/a",               NULL },
    { "/items/:id",         "/items/42",        "[42]" },
    { "/items/:id",         "/items/",          NULL },     /* a segment is not empty */
    { "/items/:id",         "/items",           NULL },
    { "/items/:id",         "/items/42/",       NULL },
    { "/items/:id",         "/items/4/2",       NULL },     /* nor are two of them one */
    { "/items/:id/",        "/items/42/",       "[42]" },
    { "/items/:id/name",    "/items/42/name",   "[42]" },
    { "/items/:id/name",    "/items/42/nam",    NULL },
    { "/:a/:b",             "/x/y",             "[x][y]" },
    { "/:a/:b",             "/x",               NULL },
    { "/:",                 "/x",               "[x]" },
    { ":a",                 "x",                "[x]" },
    { "/files/*",           "/files/",          "[]" },
    { "/files/*",           "/files/a/b.txt",   "[a/b.txt]" },
    { "/files/*",           "/files",           NULL },
    { "/f*",                "/files",           "[iles]" },
    { "*",                  "/any/thing",       "[/any/thing]" },
    { "*",                  "*",                "[*]" },
    { "/:user/*",           "/me/x/y",          "[me][x/y]" },
    { "/a*b",               "/a*b",             "" },       /* elsewhere a '*' is itself */
    { "/a*b",               "/axb",             NULL },
    { "/a:b",               "/a:b",             "" },       /* and so is ':' */
    { "/a:b",               "/axb",             NULL },
    { "/:a.json",           "/x.json",          "[x.json]" },   /* a name ends with its segment */
    { "/caf\xc3\xa9/:x",    "/caf\xc3\xa9/\xff", "[\xff]" },
    { "",                   "/",                NULL },
};

static void paths_are_matched(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(path_cases); i++) {
        const char *path = path_cases[i].path;
        uhttp_str in = text_slice(path, strlen(path));
        uhttp_str captures[4];
        char out[64];
        size_t at = 0;
        size_t count = 0;
        memset(captures, 0, sizeof captures);
        bool matches = uh_path_matches(path, path_cases[i].pattern, captures, COUNT(captures));
        assert_for(in, matches == (path_cases[i].out != NULL));
        assert_for(in, uh_path_matches(path, path_cases[i].pattern, NULL, 0) == matches);
        for (; matches && count < COUNT(captures) && captures[count].ptr != NULL; count++) {
            assert_for(in, text_lies_in(captures[count], in));
            at = text_append_string(out, at, "[");
            at = text_append(out, at, captures[count]);
            at = text_append_string(out, at, "]");
        }
        out[at] = '\0';
        assert_for(in, !matches || strcmp(out, path_cases[i].out) == 0);
    }
}

static void captures_beyond_the_capacity_are_not_told(void **state)
{
    (void)state;
    uhttp_str captures[3];
    memset(captures, 0, sizeof captures);
    assert_true(uh_path_matches("/x/y/z", "/:a/:b/*", captures, 2));
    assert_true(text_is(captures[0], "x") && text_is(captures[1], "y"));
    assert_null(captures[2].ptr);
    assert_true(uh_path_matches("/x/y/z", "/:a/:b/*", captures, 0));
}

/*--- base64 ---------------------------------------------------------------------------*/

static const struct { uhttp_str in; const char *out; } base64_cases[] = {
    { TEXT(""),             "" },               /* RFC 4648 section 10 */
    { TEXT("Zg=="),         "f" },
    { TEXT("Zm8="),         "fo" },
    { TEXT("Zm9v"),         "foo" },
    { TEXT("Zm9vYg=="),     "foob" },
    { TEXT("Zm9vYmE="),     "fooba" },
    { TEXT("Zm9vYmFy"),     "foobar" },
    { TEXT("+/+/"),         "\xfb\xff\xbf" },
    { TEXT("Zg"),           NULL },             /* without padding */
    { TEXT("Zg="),          NULL },
    { TEXT("Zm8"),          NULL },
    { TEXT("Zm9vY"),        NULL },
    { TEXT("Zh=="),         NULL },             /* a bit that is not used is set */
    { TEXT("Zm9="),         NULL },
    { TEXT("Z==="),         NULL },
    { TEXT("===="),         NULL },
    { TEXT("Zg==Zg=="),     NULL },             /* padding inside */
    { TEXT("Z=g="),         NULL },
    { TEXT("Zm-v"),         NULL },             /* of the alphabet for URLs */
    { TEXT("Zm_v"),         NULL },
    { TEXT("Zm 9"),         NULL },
    { TEXT("Zm9v\r\n"),     NULL },
    { TEXT("Zm9\0"),        NULL },
    { TEXT("Zm9\xff"),      NULL },
};

static void base64_is_decoded_strictly_also_in_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(base64_cases); i++) {
        uhttp_str in = base64_cases[i].in;
        uhttp_str copy = text_exact(in.ptr, in.len);
        uhttp_str room = text_exact(in.ptr, in.len / 4 * 3);
        size_t length = 99;
        uhttp_result result = uhttp_base64_decode(copy, text_mutable(room), &length);
        if (base64_cases[i].out == NULL) {
            assert_for(in, result == UHTTP_ERR_INVALID && length == 99);
        } else {
            assert_for(in, result == UHTTP_OK && length == strlen(base64_cases[i].out));
            assert_for(in, memcmp(room.ptr, base64_cases[i].out, length) == 0);
            assert_for(in, uhttp_base64_decode(copy, text_mutable(copy), &length) == UHTTP_OK);
            assert_for(in, memcmp(copy.ptr, base64_cases[i].out, length) == 0);
        }
        text_free(room);
        text_free(copy);
    }
}

static void base64_decodes_what_any_bytes_were_encoded_to(void **state)
{
    (void)state;
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    random_begin(64);
    for (size_t round = 0; round < 2000; round++) {
        uint8_t bytes[64], out[64];
        char text[96];
        size_t count = random_next() % 60;
        size_t at = 0;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)random_next();
        for (size_t i = 0; i < count; i += 3) {
            size_t n = count - i < 3 ? count - i : 3;
            uint32_t bits = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                            (n > 2 ? bytes[i + 2] : 0u);
            for (size_t k = 0; k < 4; k++)
                text[at++] = k <= n ? digits[bits >> (18 - 6 * k) & 63] : '=';
        }
        size_t length = 0;
        assert_int_equal(uhttp_base64_decode(text_slice(text, at), out, &length), UHTTP_OK);
        assert_int_equal(length, count);
        assert_memory_equal(out, bytes, count);
    }
}

/*--- secrets --------------------------------------------------------------------------*/

static void secrets_are_equal_when_every_byte_is(void **state)
{
    (void)state;
    assert_true(uhttp_secure_equals("", ""));
    assert_true(uhttp_secure_equals("secret", "secret"));
    assert_true(uhttp_secure_equals("\xff\x80", "\xff\x80"));
    assert_false(uhttp_secure_equals("", "secret"));
    assert_false(uhttp_secure_equals("secret", ""));
    assert_false(uhttp_secure_equals("secre", "secret"));
    assert_false(uhttp_secure_equals("secretsecret", "secret"));
    assert_false(uhttp_secure_equals("Secret", "secret"));
    assert_false(uhttp_secure_equals("secreT", "secret"));
    assert_false(uhttp_secure_equals("sec\x80""et", "secret"));
}

/*--- networks -------------------------------------------------------------------------*/

static const struct { const char *networks, *inside, *outside; } network_cases[] = {
    { "127.0.0.1",              "127.0.0.1",                "127.0.0.2" },
    { "10.0.0.0/8",             "10.255.255.255",           "11.0.0.0" },
    { "10.1.2.3/8",             "10.255.0.1",               "9.255.255.255" },
    { "192.168.4.0/22",         "192.168.7.255",            "192.168.8.0" },
    { "192.168.4.0/31",         "192.168.4.1",              "192.168.4.2" },
    { "192.0.2.7/32",           "192.0.2.7",                "192.0.2.6" },
    { "0.0.0.0/0",              "203.0.113.9",              "::1" },
    { "::/0",                   "2001:db8::1",              "203.0.113.9" },
    { "::1",                    "::1",                      "::2" },
    { "fd00::/8",               "fdff::1",                  "fe00::1" },
    { "2001:db8:0:8000::/49",   "2001:db8:0:ffff::",        "2001:db8:0:7fff::" },
    { "2001:db8::5/128",        "2001:db8::5",              "2001:db8::4" },
    { "::ffff:10.0.0.0/104",    "10.9.8.7",                 "11.0.0.1" },
    { "10.0.0.0/8",             "::ffff:10.9.8.7",          "::ffff:11.0.0.1" },
    { " 127.0.0.1 ,, ::1,10.0.0.0/8 ", "10.0.0.1",          "::2" },
    { "unix, ::1",              "::1",                      "127.0.0.1" },
};

static void networks_hold_their_addresses_and_no_other(void **state)
{
    (void)state;
    uh_peer none;
    uhttp_str bad;
    memset(&none, 0, sizeof none);
    for (size_t i = 0; i < COUNT(network_cases); i++) {
        uhttp_str networks = text_slice(network_cases[i].networks,
                                        strlen(network_cases[i].networks));
        uh_peer inside, outside;
        assert_for(networks, uh_networks_parse(network_cases[i].networks, NULL, &bad) !=
                                 UH_NETWORKS_BAD);
        assert_for(networks, uh_peer_parse(uh_text_of(network_cases[i].inside), &inside));
        assert_for(networks, uh_peer_parse(uh_text_of(network_cases[i].outside), &outside));
        assert_for(networks, text_networks_hold(network_cases[i].networks, &inside));
        assert_for(networks, !text_networks_hold(network_cases[i].networks, &outside));
        assert_for(networks, text_networks_hold(network_cases[i].networks, &none) ==
                                 (strstr(networks.ptr, "unix") != NULL));
    }
    assert_int_equal(uh_networks_parse("", NULL, &bad), 0);
    assert_false(text_networks_hold("", &none));
}

static const char *const bad_networks[] = {
    "localhost", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8x",
    "10.0.0.0/8/8", "10.0.0.0:80", "/8", "::/129", "::ffff:10.0.0.0/95", "::ffff:10.0.0.0/129",
    "[::1]", "fe80::1%lo", "1.2.3.4 5.6.7.8", "256.0.0.1", "10.0.0.0/99999999999999999999",
    "127.0.0.1, x", "UNIX", "0x7f.0.0.1",
    "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
};

static void what_is_no_network_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_networks); i++) {
        char text[128];
        uhttp_str bad;
        const char *comma = strchr(bad_networks[i], ',');
        snprintf(text, sizeof text, "10.0.0.0/8, unix ,%s", bad_networks[i]);
        assert_for(uh_text_of(text), uh_networks_parse(text, NULL, &bad) == UH_NETWORKS_BAD);
        assert_for(uh_text_of(text), text_is(bad, comma != NULL ? "x" : bad_networks[i]));
    }
}

static const struct { uhttp_str in; const char *out; } forwarded_cases[] = {
    { TEXT("192.0.2.1"),            "192.0.2.1" },
    { TEXT("192.0.2.1:8080"),       "192.0.2.1" },
    { TEXT("2001:db8::1"),          "2001:db8::1" },
    { TEXT("[2001:db8::1]"),        "2001:db8::1" },
    { TEXT("[2001:db8::1]:443"),    "2001:db8::1" },
    { TEXT("::ffff:192.0.2.1"),     "192.0.2.1" },
    { TEXT(""),                     NULL },
    { TEXT("unknown"),              NULL },
    { TEXT("_hidden"),              NULL },
    { TEXT("192.0.2"),              NULL },
    { TEXT("192.0.2.1, 192.0.2.2"), NULL },
    { TEXT("["),                    NULL },
    { TEXT("[]"),                   NULL },
    { TEXT(":"),                    NULL },
    { TEXT("for=192.0.2.1"),        NULL },
    { TEXT("192.0.2.1\0x"),         NULL },
};

static void addresses_that_proxies_write_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forwarded_cases); i++) {
        uhttp_str in = text_exact(forwarded_cases[i].in.ptr, forwarded_cases[i].in.len);
        uh_peer peer;
        char out[48];
        bool good = uh_text_forwarded(in, &peer);
        assert_for(in, good == (forwarded_cases[i].out != NULL));
        if (good) {
            assert_for(in, uh_peer_format(&peer, out, sizeof out) > 0);
            assert_for(in, strcmp(out, forwarded_cases[i].out) == 0);
        }
        text_free(in);
    }
}

/*--- the Common Log Format ------------------------------------------------------------*/

static const struct { uhttp_access entry; const char *line; } log_cases[] = {
    { { "192.0.2.1", "GET", "/index.html", 1, 200, 1043, 0, 784111777 },
      "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /index.html HTTP/1.1\" 200 1043" },
    { { "2001:db8::1", "POST", "/?a=b", 0, 404, 0, 7, 0 },
      "2001:db8::1 - - [01/Jan/1970:00:00:00 +0000] \"POST /?a=b HTTP/1.0\" 404 0" },
    { { "", "", "", 1, 400, 16, 0, 784111777 },
      "- - - [06/Nov/1994:08:49:37 +0000] \"-\" 400 16" },
    { { "::1", "X'Y", "/\"\\\x7f\x80\xff", 1, 500, 18446744073709551615u, 0, 784111777 },
      "::1 - - [06/Nov/1994:08:49:37 +0000] \"X'Y /\\x22\\x5c\\x7f\\x80\\xff HTTP/1.1\" 500 "
      "18446744073709551615" },
};

static void access_lines_have_the_common_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(log_cases); i++) {
        const char *line = log_cases[i].line;
        size_t length = strlen(line);
        for (size_t size = 0; size <= length; size++) {
            char *small = (char *)malloc(size > 0 ? size : 1);
            assert_non_null(small);
            assert_int_equal(uhttp_access_format(&log_cases[i].entry, small, size),
                             UHTTP_ERR_MEMORY);
            free(small);
        }
        char *out = (char *)malloc(length + 1);
        assert_non_null(out);
        assert_int_equal(uhttp_access_format(&log_cases[i].entry, out, length + 1), length);
        assert_string_equal(out, line);
        free(out);
    }
}

/*--- forms ----------------------------------------------------------------------------*/

static const struct { uhttp_str in; const char *out; uint32_t bare; } form_cases[] = {
    { TEXT("a=1"),              "[a|1]",            0 },
    { TEXT("a=1&b=x+y"),        "[a|1][b|x y]",     0 },
    { TEXT("a=1&a=2"),          "[a|1][a|2]",       0 },
    { TEXT("%61%3D=%26+%2B"),   "[a=|& +]",         0 },
    { TEXT("a="),               "[a|]",             0 },
    { TEXT("a"),                "[a|]",             1 },
    { TEXT("a&b&c=&d"),         "[a|][b|][c|][d|]", 3 },
    { TEXT("x=y&a&b=%41"),      "[x|y][a|][b|A]",   1 },
    { TEXT("=v"),               "[|v]",             0 },
    { TEXT("="),                "[|]",              0 },
    { TEXT("&&a=b&&"),          "[a|b]",            0 },
    { TEXT("a=b=c"),            "[a|b=c]",          0 },
    { TEXT("a=%c3%A9\xff"),     "[a|\xc3\xa9\xff]", 0 },
    { TEXT(""),                 "",                 0 },
    { TEXT("&"),                "",                 0 },
    { TEXT("a=%"),              "[a|%]",            0 },
    { TEXT("a=%4"),             "[a|%4]",           0 },
    { TEXT("%4x=b"),            "[%4x|b]",          0 },
    { TEXT("a=%4&1=b"),         "[a|%4][1|b]",      0 },
    { TEXT("a=b&%"),            "[a|b][%|]",        1 },
    { TEXT("a=%u0416+%%41"),    "[a|%u0416 %A]",    0 },
    { TEXT("a=%00"),            NULL,               0 },
    { TEXT("a=b&c=%%00"),       NULL,               0 },
    { TEXT("a=b\0c"),           NULL,               0 },
};

static void forms_are_taken_apart_in_their_own_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(form_cases); i++) {
        uhttp_str in = text_exact(form_cases[i].in.ptr, form_cases[i].in.len);
        uint32_t bare = 0;
        bool good = uh_form_is_good(in, &bare);
        assert_for(in, good == (form_cases[i].out != NULL));
        assert_for(in, bare == form_cases[i].bare);
        if (good) {
            char *form = (char *)malloc(in.len + bare + 1);
            const char *name, *value;
            char out[64];
            size_t at = 0;
            uint32_t step = 0;
            assert_non_null(form);
            if (in.len > 0)
                memcpy(form, in.ptr, in.len);
            uint32_t made = uh_form_convert(form, in.len, bare);
            assert_for(in, made <= in.len + bare + 1);
            while (uh_strings_step(form, form + made, &step, &name, &value)) {
                at = text_append_string(out, at, "[");
                at = text_append_string(out, at, name);
                at = text_append_string(out, at, "|");
                at = text_append_string(out, at, value);
                at = text_append_string(out, at, "]");
            }
            out[at] = '\0';
            assert_for(in, strcmp(out, form_cases[i].out) == 0);
            free(form);
        }
        text_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cookies_are_taken_apart),
        TEST(no_cookies_at_all_are_allowed),
        TEST(paths_are_matched),
        TEST(captures_beyond_the_capacity_are_not_told),
        TEST(base64_is_decoded_strictly_also_in_place),
        TEST(base64_decodes_what_any_bytes_were_encoded_to),
        TEST(secrets_are_equal_when_every_byte_is),
        TEST(networks_hold_their_addresses_and_no_other),
        TEST(what_is_no_network_is_refused),
        TEST(addresses_that_proxies_write_are_read),
        TEST(access_lines_have_the_common_format),
        TEST(forms_are_taken_apart_in_their_own_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
