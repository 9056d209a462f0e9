/* Section 05: parameters of fields, names of files, and forms with files. */
#include "text.h"

/*--- parameters -----------------------------------------------------------------------*/

/* What comes of it: each piece in brackets, name and value apart by a bar; "!" if the end is
 * malformed. */
static const struct { uhttp_str in; const char *out; } params[] = {
    { TEXT("text/html"), "[text/html]" },
    { TEXT("text/html; charset=\"a\\\"b\""), "[text/html][charset|\"a\\\"b\"]" },
    { TEXT("text/html;charset=utf-8"), "[text/html][charset|utf-8]" },
    { TEXT("text/html \t; \t charset=utf-8 ; q=1 \t"), "[text/html][charset|utf-8][q|1]" },
    { TEXT("form-data; name=\"\"; filename*=UTF-8''a%20b"),
      "[form-data][name|\"\"][filename*|UTF-8''a%20b]" },
    { TEXT("a; b; c=d"), "[a][b][c|d]" },               /* pieces without a value */
    { TEXT("a;;; ;b=c;"), "[a][b|c]" },                 /* empty pieces are passed over */
    { TEXT(""), "" },
    { TEXT(" ;\t;"), "" },
    { TEXT("*/*;q=0.5"), "[*/*][q|0.5]" },
    { TEXT("a; b=\"c;d=e\"; f=g"), "[a][b|\"c;d=e\"][f|g]" },
    { TEXT("a; b=\"\\\\\""), "[a][b|\"\\\\\"]" },
    { TEXT("a; b=\"caf\xc3\xa9\tx\""), "[a][b|\"caf\xc3\xa9\tx\"]" },
    { TEXT("a; b="), "[a]!" },
    { TEXT("a; =c"), "[a]!" },
    { TEXT("a; b =c"), "[a]!" },                        /* no white space around the sign */
    { TEXT("a; b= c"), "[a]!" },
    { TEXT("a; b=c d=e"), "[a]!" },                     /* a semicolon is missing */
    { TEXT("a; b/c=d"), "[a]!" },
    { TEXT("a; b=c/d"), "[a]!" },                       /* no token, no quoted string */
    { TEXT("a; b=\"c"), "[a]!" },
    { TEXT("a; b=\"c\\\""), "[a]!" },
    { TEXT("a; b=\"c\\"), "[a]!" },
    { TEXT("a; b=\"c\"d"), "[a]!" },
    { TEXT("a; b=\"c\nd\""), "[a]!" },
    { TEXT("a; b=\"c\\\nd\""), "[a]!" },
    { TEXT("a; b=\"c\0d\""), "[a]!" },
    { TEXT("a, b"), "!" },
    { TEXT("\"a\""), "!" },
};

static void parameters_are_taken_apart_piece_by_piece(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(params); i++) {
        char out[256];
        size_t at = 0;
        uhttp_str text = text_exact(params[i].in.ptr, params[i].in.len);
        uhttp_str rest = text;
        uhttp_str name, value;
        while (uhttp_param_next(&rest, &name, &value)) {
            assert_for(text, text_lies_in(name, text) && text_lies_in(rest, text));
            assert_for(text, value.ptr == NULL || text_lies_in(value, text));
            at = text_append(out, text_append_string(out, at, "["), name);
            if (value.ptr != NULL)
                at = text_append(out, text_append_string(out, at, "|"), value);
            at = text_append_string(out, at, "]");
        }
        if (rest.len > 0)
            at = text_append_string(out, at, "!");
        out[at] = '\0';
        assert_string_equal(out, params[i].out);
        text_free(text);
    }
}

static const struct { const char *in, *out; } quoted[] = {
    { "token", "token" },
    { "\"\"", "" },
    { "\"a b\"", "a b" },
    { "\"a\\\"b\\\\c\\d\"", "a\"b\\cd" },
    { "", NULL },
    { "\"", NULL },
    { "\"a", NULL },
    { "\"a\"b", NULL },
    { "\"a\\\"", NULL },
    { "a b", NULL },
    { "a\"b\"", NULL },
    { "\"a\rb\"", NULL },
};

static void quotes_and_backslashes_are_taken_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(quoted); i++) {
        uhttp_str in = text_exact(quoted[i].in, strlen(quoted[i].in));
        uhttp_str out = text_exact("????????????????", in.len);
        size_t length = 77;
        uhttp_result result = uhttp_unquote(in, text_mutable(out), &length);
        if (quoted[i].out == NULL) {
            assert_for(in, result == UHTTP_ERR_INVALID && length == 77);
            assert_for(in, in.len == 0 || out.ptr[0] == '?');
        } else {
            assert_for(in, result == UHTTP_OK);
            assert_for(in, text_is(text_slice(out.ptr, length), quoted[i].out));
            assert_int_equal(uhttp_unquote(in, text_mutable(in), &length), UHTTP_OK);
            assert_for(in, text_is(text_slice(in.ptr, length), quoted[i].out));
        }
        text_free(out);
        text_free(in);
    }
    const uhttp_str none = { NULL, 0 };
    size_t length;
    char out;
    uhttp_str rest = none, name, value;
    assert_int_equal(uhttp_unquote(none, &out, &length), UHTTP_ERR_INVALID);
    assert_false(uhttp_param_next(&rest, &name, &value));
}

/*--- names of files ---------------------------------------------------------------------*/

static const struct { const char *in; size_t size; const char *out; } names[] = {
    { "photo.jpg", 64, "photo.jpg" },
    { "Bericht 2026 (2).pdf", 64, "Bericht 2026 (2).pdf" },
    { "a/b/c.txt", 64, "c.txt" },
    { "C:\\Users\\me\\c.txt", 64, "c.txt" },
    { "a\\b/c\\d", 64, "d" },
    { "../../etc/passwd", 64, "passwd" },
    { "..", 64, "_" },
    { ".", 64, "_" },
    { "", 64, "_" },
    { NULL, 64, "_" },
    { "...", 64, "_" },
    { "/", 64, "_" },
    { "a/", 64, "_" },
    { ". . .", 64, "_" },
    { ".htaccess", 64, "htaccess" },
    { " . a", 64, "a" },
    { "a.", 64, "a" },                  /* Windows drops what is behind */
    { "a. . ", 64, "a" },
    { "a..b", 64, "a..b" },
    { "a\nb\tc\x7f", 64, "a_b_c_" },
    { "\x01", 64, "_" },
    { "a:b*c?d<e>f|g\"h", 64, "a_b_c_d_e_f_g_h" },
    { "C:a", 64, "C_a" },
    { "file.txt::$DATA", 64, "file.txt__$DATA" },
    { "CON", 64, "_CON" },
    { "con.txt", 64, "_con.txt" },
    { "nul .tar.gz", 64, "_nul .tar.gz" },
    { "Aux", 64, "_Aux" },
    { "prn.", 64, "_prn" },
    { "COM1", 64, "_COM1" },
    { "lpt9.x", 64, "_lpt9.x" },
    { "COM\xc2\xb9", 64, "_COM\xc2\xb9" },
    { "lpt\xc2\xb3.a", 64, "_lpt\xc2\xb3.a" },
    { "CONIN$", 64, "_CONIN$" },
    { "conout$.x", 64, "_conout$.x" },
    { "com", 64, "com" },
    { "comA", 64, "comA" },
    { "com10", 64, "com10" },
    { "com\xc2\xb4", 64, "com\xc2\xb4" },
    { "console", 64, "console" },
    { "lpd1", 64, "lpd1" },
    { "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80", 64,
      "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80" },
    { "caf\xe9", 64, "caf_" },          /* Latin 1 */
    { "\xc0\xaf\xc0\xae", 64, "____" }, /* a slash and a dot, overlong */
    { "a\xed\xa0\x80", 64, "a___" },    /* half a surrogate pair */
    { "a\xf0\x9f\x98", 64, "a___" },    /* cut short */
    { "a\xc2\x85z", 64, "a_z" },        /* a control character beyond ASCII */
    { "a\xe2\x80\xaegpj.exe", 64, "a_gpj.exe" },        /* right to left from here */
    { "a\xe2\x80\x8e" "b\xe2\x81\xa9", 64, "a_b_" },
    { "a\xd8\x9c" "b\xd8\x9d",           64, "a_b\xd8\x9d" },        /* U+061C, and one letter more */
    { "HTPASS~1",      64, "HTPASS_1" },        /* on FAT it names another file */
    { "a~1.b~22.c",    64, "a_1.b_22.c" },
    { "main.c~",       64, "main.c~" },
    { "a\xe2\x80\x93" "b\xe2\x81\xa5", 64, "a\xe2\x80\x93" "b\xe2\x81\xa5" },   /* a dash */
    { "abcdef", 4, "abc" },
    { "abc", 4, "abc" },
    { "ab\xc3\xa9", 4, "ab" },          /* no half characters */
    { "ab\xc3\xa9", 5, "ab\xc3\xa9" },
    { "ab..cd", 4, "ab" },
    { "ab cd", 4, "ab" },
    { "console", 4, "_co" },            /* what is left is the name of a device */
    { "nul", 4, "_nu" },
    { "abc", 2, "a" },
    { "..", 2, "_" },
    { "\xc3\xa9", 2, "_" },
    { "abc", 1, "" },
};

static void names_of_files_become_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char *buffer = (char *)malloc(names[i].size);   /* a sanitizer sees its end */
        assert_non_null(buffer);
        size_t length = uhttp_safe_filename(names[i].in, buffer, names[i].size);
        assert_string_equal(buffer, names[i].out);
        assert_int_equal(length, strlen(buffer));
        free(buffer);
    }
    assert_int_equal(uhttp_safe_filename("a", NULL, 0), 0);
}

/* Whatever a client sends, and however little room there is. */
static void no_name_leaves_its_directory_or_is_empty(void **state)
{
    (void)state;
    random_begin(11);
    for (int round = 0; round < 50000; round++) {
        char name[24], out[24];
        size_t length = random_below(sizeof name);
        size_t size = 2 + random_below(sizeof out - 2);
        random_text(name, length, "./\\:com1nulCON. \xc3\xa9\xe2\x80\xae");
        name[length] = '\0';
        size_t made = uhttp_safe_filename(name, out, size);
        uhttp_str text = text_slice(name, length);
        assert_for(text, made > 0 && made < size && strlen(out) == made);
        assert_for(text, strpbrk(out, "/\\:*?<>|\"\n") == NULL);
        assert_for(text, out[0] != '.' && out[0] != ' ');
        assert_for(text, out[made - 1] != '.' && out[made - 1] != ' ');
        assert_for(text, !uh_file_is_device(out, out + made));
        for (const char *p = out; *p != '\0'; ) {
            size_t n = (unsigned char)*p < 0x80 ? 1 : uh_text_utf8_length(p, out + made);
            assert_for(text, n > 0 && !uh_char_is_control(*p));
            p += n;
        }
        char again[24];
        assert_for(text, uhttp_safe_filename(out, again, sizeof again) == made);
        assert_for(text, strcmp(again, out) == 0);      /* what is safe stays as it is */
    }
}

/*--- forms: how they are read -------------------------------------------------------------*/

#define TYPE "multipart/form-data; boundary=b"

/* What has come of a form, in words. */
typedef struct account {
    char text[4096];
    size_t length;
    bool in_data;
} account;

static void account_put(account *a, const char *text, size_t length)
{
    assert_true(a->length + length < sizeof a->text);
    if (length > 0)
        memcpy(a->text + a->length, text, length);
    a->length += length;
    a->text[a->length] = '\0';
}

static void account_puts(account *a, const char *text)
{
    account_put(a, text, strlen(text));
}

static const char *or_none(const char *string) { return string != NULL ? string : "-"; }

/* Takes all events there are; each is a line, data of one part are joined. */
static void account_take(account *a, uhttp_formdata *form, uhttp_str fed)
{
    uhttp_formdata_event event;
    while ((event = uhttp_formdata_next(form)) != UHTTP_FORMDATA_MORE) {
        switch (event) {
        case UHTTP_FORMDATA_PART:
            account_puts(a, "part ");
            account_puts(a, form->name);
            account_puts(a, " ");
            account_puts(a, or_none(form->filename));
            account_puts(a, " ");
            account_puts(a, or_none(form->content_type));
            account_puts(a, ": ");
            break;
        case UHTTP_FORMDATA_DATA:
            assert_true(form->data.len > 0);
            assert_true(text_lies_in(form->data, fed) ||
                        text_lies_in(form->data, text_slice(form->delimiter, form->length)));
            account_put(a, form->data.ptr, form->data.len);
            break;
        case UHTTP_FORMDATA_PART_END:
            account_puts(a, ".\n");
            break;
        case UHTTP_FORMDATA_END:
            account_puts(a, "end\n");
            break;
        case UHTTP_FORMDATA_ERROR:
            account_puts(a, "error\n");
            break;
        case UHTTP_FORMDATA_MORE:
            break;
        }
    }
    assert_int_equal(uhttp_formdata_next(form), UHTTP_FORMDATA_MORE);
}

/* Feeds a form in pieces, each in a block of its own, that end at the two cuts; a step feeds
 * pieces of this length instead. */
static uhttp_result account_form(account *a, const char *type, uhttp_str text, size_t size,
                                 size_t first, size_t second, size_t step)
{
    uhttp_formdata form;
    char *buffer = (char *)malloc(size > 0 ? size : 1);
    assert_non_null(buffer);
    memset(a, 0, sizeof *a);
    assert_int_equal(uhttp_formdata_begin(&form, type, buffer, size), UHTTP_OK);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_MORE);
    for (size_t at = 0, end; at < text.len; at = end) {
        end = step > 0 ? at + step : at < first ? first : at < second ? second : text.len;
        if (end > text.len)
            end = text.len;
        uhttp_str piece = text_exact(text.ptr + at, end - at);
        assert_int_equal(uhttp_formdata_feed(&form, piece.ptr, piece.len), UHTTP_OK);
        account_take(a, &form, piece);
        text_free(piece);
    }
    const char *why;
    uhttp_result result = uhttp_formdata_error(&form, &why);
    assert_int_equal(uhttp_formdata_error(&form, NULL), result);
    assert_true((result == UHTTP_OK) == (why[0] == '\0'));
    assert_true((result == UHTTP_OK) == (strstr(a->text, "end\n") != NULL));
    free(buffer);
    return result;
}

/*--- forms: cases -------------------------------------------------------------------------*/

#define PART(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define NEXT PART("a") "1\r\n--b--\r\n"
#define NEXT_IS "part a - -: 1.\nend\n"

typedef struct form_case {
    uhttp_str in;
    uhttp_result result;
    const char *out;
} form_case;

static const form_case forms[] = {
    /* as browsers send them */
    { TEXT("--b\r\n" PART("a") "1\r\n--b--\r\n"), UHTTP_OK, "part a - -: 1.\nend\n" },
    { TEXT("--b\r\n" PART("a") "1\r\n--b\r\n" PART("b") "2\r\n--b--\r\n"), UHTTP_OK,
      "part a - -: 1.\npart b - -: 2.\nend\n" },
    { TEXT("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\n"
           "Content-Type: application/octet-stream\r\n\r\n\r\n\r\n\r\r\n--b--\r\n"), UHTTP_OK,
      "part f x.bin application/octet-stream: \r\n\r\n\r.\nend\n" },
    { TEXT("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\n"
           "Content-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n"), UHTTP_OK,
      "part f  application/octet-stream: .\nend\n" },
    { TEXT("--b--\r\n"), UHTTP_OK, "end\n" },           /* a form without fields */
    { TEXT("--b--"), UHTTP_OK, "end\n" },
    { TEXT("--b\r\n" PART("") "\r\n--b--\r\n"), UHTTP_OK, "part  - -: .\nend\n" },

    /* what looks like a delimiter and is none */
    { TEXT("--b\r\n" PART("a") "--b\r\n--b--\r\n\r\n"), UHTTP_ERR_AGAIN,
      "part a - -: .\n" },                              /* it is one: the next has no name */
    { TEXT("--b\r\n" PART("a") "x--b--\r\n--b--"), UHTTP_OK, "part a - -: x--b--.\nend\n" },
    { TEXT("--b\r\n" PART("a") "\r\n--c\r\r\n\r\n-\r\n--b--"), UHTTP_OK,
      "part a - -: \r\n--c\r\r\n\r\n-.\nend\n" },
    { TEXT("--b\r\n" PART("a") "\r\n-\r\n--\r\n--b--"), UHTTP_OK,
      "part a - -: \r\n-\r\n--.\nend\n" },
    { TEXT("--b\r\n" PART("a") "\r\r\r\r\n--b--"), UHTTP_OK, "part a - -: \r\r\r.\nend\n" },
    { TEXT("--b\r\n" PART("a") "x\n--b--\r\n--b--"), UHTTP_OK,
      "part a - -: x\n--b--.\nend\n" },                 /* LF alone */
    { TEXT("--b\r\n" PART("a") "x\r--b--\r\n--b--"), UHTTP_OK,
      "part a - -: x\r--b--.\nend\n" },
    { TEXT("--b\r\n" PART("a") "--\r\n--b--"), UHTTP_OK, "part a - -: --.\nend\n" },

    /* a part without data: one line end is enough (RFC 2046 section 5.1.1) */
    { TEXT("--b\r\n" PART("a") "--b--"), UHTTP_OK, "part a - -: .\nend\n" },
    { TEXT("--b\r\n" PART("a") "--b\r\n" PART("c") "--b--"), UHTTP_OK,
      "part a - -: .\npart c - -: .\nend\n" },

    /* preamble, blanks behind a delimiter, epilogue */
    { TEXT("this is not\r\nfor you\r\n--b\r\n" PART("a") "1\r\n--b--"), UHTTP_OK,
      "part a - -: 1.\nend\n" },
    { TEXT("\r\n--b\r\n" PART("a") "1\r\n--b--"), UHTTP_OK, "part a - -: 1.\nend\n" },
    { TEXT("-\r\n--b \t \r\n" PART("a") "1\r\n--b\t\r\n" PART("c") "\r\n--b--"), UHTTP_OK,
      "part a - -: 1.\npart c - -: .\nend\n" },
    { TEXT("--b\r\n" PART("a") "1\r\n--b--\r\n--b\r\n" PART("c") "2\r\n--b--"), UHTTP_OK,
      "part a - -: 1.\nend\n" },
    { TEXT("--b\r\n" PART("a") "1\r\n--b--any\nthing"), UHTTP_OK, "part a - -: 1.\nend\n" },

    /* no end */
    { TEXT(""), UHTTP_ERR_AGAIN, "" },
    { TEXT("no delimiter"), UHTTP_ERR_AGAIN, "" },
    { TEXT("--b"), UHTTP_ERR_AGAIN, "" },
    { TEXT("--b-"), UHTTP_ERR_AGAIN, "" },
    { TEXT("x--b--\r\n"), UHTTP_ERR_AGAIN, "" },
    { TEXT("--b\r\n"), UHTTP_ERR_AGAIN, "" },
    { TEXT("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n"), UHTTP_ERR_AGAIN, "" },
    { TEXT("--b\r\n" PART("a")), UHTTP_ERR_AGAIN, "part a - -: " },
    { TEXT("--b\r\n" PART("a") "1"), UHTTP_ERR_AGAIN, "part a - -: 1" },
    { TEXT("--b\r\n" PART("a") "1\r\n--"), UHTTP_ERR_AGAIN, "part a - -: 1" },
    { TEXT("--b\r\n" PART("a") "1\r\n--b"), UHTTP_ERR_AGAIN, "part a - -: 1" },
    { TEXT("--b\r\n" PART("a") "1\r\n--b\r"), UHTTP_ERR_AGAIN, "part a - -: 1" },
    { TEXT("--b\r\n" PART("a") "1\r\n--b\r\n"), UHTTP_ERR_AGAIN, "part a - -: 1.\n" },

    /* malformed delimiters */
    { TEXT("--bx\r\n" PART("a") "1\r\n--b--"), UHTTP_ERR_INVALID, "error\n" },
    { TEXT("--b\n" PART("a") "1\r\n--b--"), UHTTP_ERR_INVALID, "error\n" },
    { TEXT("--b\rx"), UHTTP_ERR_INVALID, "error\n" },
    { TEXT("--b \t-"), UHTTP_ERR_INVALID, "error\n" },
    { TEXT("--b-x"), UHTTP_ERR_INVALID, "error\n" },
    { TEXT("--b-\r\n"), UHTTP_ERR_INVALID, "error\n" },
    { TEXT("--b\r\n" PART("a") "1\r\n--bb\r\n" PART("c") "2\r\n--b--"), UHTTP_ERR_INVALID,
      "part a - -: 1error\n" },

    /* lines of headers that end otherwise */
    { TEXT("--b\r\nContent-Disposition: form-data; name=\"a\"\n\n1\r\n--b--"),
      UHTTP_ERR_INVALID, "error\n" },
    { TEXT("--b\r\n\n"), UHTTP_ERR_INVALID, "error\n" },

    /* a part that is no field costs nothing beside it */
    { TEXT("--b\r\n\r\n1\r\n--b\r\n" NEXT), UHTTP_OK, NEXT_IS },       /* no headers at all */
    { TEXT("--b\r\n" PART("c") "2\r\n--b\r\n\r\n1\r\n--b\r\n" NEXT), UHTTP_OK,
      "part c - -: 2.\n" NEXT_IS },
    { TEXT("--b\r\n\r\n--b--"), UHTTP_OK, "end\n" },
    { TEXT("--b\r\nContent-Type: text/plain\r\n\r\n1\r\n--b\r\n" NEXT), UHTTP_OK, NEXT_IS },
    { TEXT("--b\r\nContent-Disposition : form-data; name=a\r\n\r\n1\r\n--b\r\n" NEXT),
      UHTTP_OK, NEXT_IS },
    { TEXT("--b\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\n\r\n--b\r\n" NEXT),
      UHTTP_OK, NEXT_IS },                              /* folded */
    { TEXT("--b\r\nno field\r\n" PART("c") "1\r\n--b\r\n" NEXT), UHTTP_OK, NEXT_IS },
    { TEXT("--b\r\nX: \0\r\n" PART("c") "1\r\n--b\r\n" NEXT), UHTTP_OK, NEXT_IS },
    { TEXT("--b\r\nX: c\rb\r\n" PART("c") "1\r\n--b\r\n" NEXT), UHTTP_OK, NEXT_IS },
    { TEXT("--b\r\nContent-Disposition: form-data; name=c\r\n" PART("c") "1\r\n--b\r\n" NEXT),
      UHTTP_OK, NEXT_IS },                              /* repeated */
    { TEXT("--b\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n" PART("c") "\r\n--b\r\n" NEXT),
      UHTTP_OK, NEXT_IS },
    { TEXT("--b\r\nContent-Transfer-Encoding: base64\r\n" PART("c") "MQ==\r\n--b\r\n" NEXT),
      UHTTP_OK, NEXT_IS },                              /* its data are not what they say */
    { TEXT("--b\r\nContent-Transfer-Encoding: quoted-printable\r\n" PART("c")),
      UHTTP_ERR_AGAIN, "" },
    { TEXT("--b\r\nContent-Transfer-Encoding: BINARY\r\nX-Y: z\r\n" PART("a") "\r\n--b--"),
      UHTTP_OK, "part a - -: .\nend\n" },
    { TEXT("--b\r\nContent-Transfer-Encoding: 8bit\r\n" PART("a") "\r\n--b--"),
      UHTTP_OK, "part a - -: .\nend\n" },
    { TEXT("--b\r\nContent-Transfer-Encoding: 7bit\r\n" PART("a") "\r\n--b--"),
      UHTTP_OK, "part a - -: .\nend\n" },
};

static void forms_give_what_is_in_them_and_errors_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        account a;
        uhttp_result result = account_form(&a, TYPE, forms[i].in, 256, 0, 0, 0);
        if (result != forms[i].result || strcmp(a.text, forms[i].out) != 0)
            print_error("%d: %s", (int)result, a.text);
        assert_for(forms[i].in, result == forms[i].result);
        assert_for(forms[i].in, strcmp(a.text, forms[i].out) == 0);
    }
}

static void forms_cut_anywhere_give_one_account(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        uhttp_str in = forms[i].in;
        account a;
        for (size_t first = 0; first <= in.len; first++) {
            for (size_t second = first; second <= in.len; second++) {
                uhttp_result result = account_form(&a, TYPE, in, 256, first, second, 0);
                assert_for(in, result == forms[i].result && strcmp(a.text, forms[i].out) == 0);
            }
        }
        for (size_t step = 1; step < 9; step++) {
            uhttp_result result = account_form(&a, TYPE, in, 256, 0, 0, step);
            assert_for(in, result == forms[i].result && strcmp(a.text, forms[i].out) == 0);
        }
    }
}

/* A whole form is well formed only with its last byte that counts. */
static void a_form_cut_short_is_never_whole(void **state)
{
    (void)state;
    static const char text[] = "--b\r\n" PART("a") "1\r\n--b\r\n" PART("b") "2\r\n--b--";
    for (size_t length = 0; length < sizeof text - 1; length++) {
        account a;
        uhttp_str cut = text_slice(text, length);
        assert_for(cut, account_form(&a, TYPE, cut, 256, 0, 0, 0) == UHTTP_ERR_AGAIN);
        assert_for(cut, strstr(a.text, "end") == NULL && strstr(a.text, "error") == NULL);
    }
}

/* The longest boundary, and data made of its pieces. */
static void data_made_of_pieces_of_the_delimiter_stay_data(void **state)
{
    (void)state;
    char type[128], text[1024], want[1024];
    static const char boundary[] =
        "0123456789'()+_,-./:=? abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTU";
    assert_int_equal(strlen(boundary), 70);
    snprintf(type, sizeof type, "multipart/form-data; boundary=\"%s\"", boundary);
    random_begin(5);
    for (int round = 0; round < 3000; round++) {
        char data[400];
        size_t length = 0;
        for (unsigned pieces = random_below(6); pieces > 0; pieces--) {
            size_t n = random_below(74);
            char whole[80];
            snprintf(whole, sizeof whole, "\r\n--%s", boundary);
            memcpy(data + length, whole, n);
            length += n;
        }
        data[length++] = 'x';       /* what stands there last is no delimiter */
        data[length] = '\0';
        size_t at = (size_t)snprintf(text, sizeof text, "--%s\r\n" PART("a"), boundary);
        at = text_append(text, at, text_slice(data, length));
        at += (size_t)snprintf(text + at, sizeof text - at, "\r\n--%s--\r\n", boundary);
        snprintf(want, sizeof want, "part a - -: %s.\nend\n", data);
        account a;
        uhttp_result result = account_form(&a, type, text_slice(text, at), 128,
                                           random_below(at), random_below(at),
                                           random_below(2) * (1 + random_below(90)));
        assert_for(text_slice(text, at), result == UHTTP_OK && strcmp(a.text, want) == 0);
    }
}

/*--- forms: names -------------------------------------------------------------------------*/

static const struct { const char *in, *out; } dispositions[] = {
    { "form-data; name=a", "part a - -: " },
    { "Form-Data;NAME=\"a\"", "part a - -: " },
    { "form-data; name=\"a\"; filename=\"b c.txt\"", "part a b c.txt -: " },
    { "form-data; filename=\"b\"; name=\"a\"", "part a b -: " },
    { "form-data; name=\"a\"; x=y; z", "part a - -: " },
    { "form-data; name=\"a\\\"b\\\\c\"", "part a\"b\\c - -: " },
    { "form-data; name=\"a\"; filename=\"C:\\dir\\f.txt\"", "part a C:\\dir\\f.txt -: " },
    { "form-data; name=\"a\"; filename=\"%22%0D%0A.txt\"", "part a %22%0D%0A.txt -: " },
    { "form-data; name=\"\xc3\xa9\"; filename=\"\xe9\"", "part \xc3\xa9 \xe9 -: " },
    { "form-data; name=\"a\"; filename*=UTF-8''b%20%C3%A9%2f", "part a b \xc3\xa9/ -: " },
    { "form-data; name=\"a\"; filename*=utf-8'en'b", "part a b -: " },
    { "form-data; name=\"a\"; filename=\"x\"; filename*=utf-8''y", "part a y -: " },
    { "form-data; name=\"a\"; filename*=utf-8''y; filename=\"x\"", "part a y -: " },
    { "form-data; name=\"a\"; filename*=utf-8''", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8''x'y", "part a x'y -: " },
    { "form-data; name=\"a\"; filename*=iso-8859-1''x", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8'x; filename=\"x\"", "part a x -: " },
    { "form-data; name=\"a\"; filename=x\\; filename*=utf-8", "part a x\\ -: " },
    { "form-data; name=\"a\"; filename*=utf-8'x", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8", "part a  -: " },
    { "form-data; name=\"a\"; filename*=''x", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8''%00", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8''%0d%0a", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8''%", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8''%c3", "part a  -: " },
    { "form-data; name=\"a\"; filename*=utf-8''%c0%af", "part a  -: " },

    /* a backslash at the end, as Chromium and node send it */
    { "form-data; name=\"a\"; filename=\"report\\\"", "part a report\\ -: " },
    { "form-data; name=\"a\"; filename=\"C:\\\"", "part a C:\\ -: " },
    { "form-data; name=\"a\\\"; filename=\"b\"", "part a\\ b -: " },
    { "form-data; name=\"a\\\"; filename=\"b\\\"", "part a\\ b\\ -: " },
    { "form-data; name=\"a\\\"", "part a\\ - -: " },
    { "form-data; name=\"\\\"", "part \\ - -: " },
    { "form-data; name=\"a\\\\\"; filename=\"\\\\\\\"", "part a\\\\ \\\\\\ -: " },
    { "form-data; name=\"a\\\\\"", "part a\\ - -: " },      /* well formed: an escape */
    { "form-data; filename=\"b\\\"; name=\"a\"", "part a b\\ -: " },
    { "form-data; name=\"a\"; filename=\"b\"c.txt\"", "part a b\"c.txt -: " },
    { "form-data; name=a; filename=b/c.txt", "part a b/c.txt -: " },
    { "form-data; name=\"a\"; name=\"b\"", NULL },
    { "form-data; name=\"a\"; filename=b; filename=c", NULL },
    { "form-data; name=\"a\"; filename*=utf-8''b; filename*=utf-8''c", NULL },
    { "form-data", NULL },
    { "form-data; name", NULL },
    { "form-data; filename=a", NULL },
    { "attachment; name=a", NULL },
    { "form-data=x; name=a", NULL },
    { "name=a", NULL },
    { "", NULL },
    { "form-data; name=\"a", NULL },
    { "form-data; name=a b", NULL },
    { "form-data; name=\"a\"; filename=\"C:\\", NULL },      /* the quote does not end */
    { "form-data; name=\"a\\\" b", NULL },
    { "form-data; name=\"", NULL },
};

static void names_are_read_from_the_disposition_or_the_part_is_skipped(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dispositions); i++) {
        char text[256];
        account a;
        int length = snprintf(text, sizeof text, "--b\r\ncontent-disposition:%s\r\n\r\n",
                              dispositions[i].in);
        uhttp_str in = text_slice(text, (size_t)length);
        for (size_t step = 0; step < 4; step++) {
            uhttp_result result = account_form(&a, TYPE, in, 256, 0, 0, step);
            bool good = dispositions[i].out != NULL;
            assert_for(in, result == UHTTP_ERR_AGAIN);
            assert_for(in, strcmp(a.text, good ? dispositions[i].out : "") == 0);
        }
    }
}

static void all_header_lines_of_a_part_can_be_read(void **state)
{
    (void)state;
    static const char text[] = "--b\r\nX-One: 1\r\n"
                               "Content-Disposition: form-data; name=\"a\"\r\n"
                               "Content-Type: text/plain;charset=utf-8\r\nX-Two:\r\n\r\n";
    static const char *const want[] = { "X-One", "1", "Content-Disposition",
                                        "form-data; name=\"a\"", "Content-Type",
                                        "text/plain;charset=utf-8", "X-Two", "" };
    uhttp_formdata form;
    uhttp_str rest, name, value;
    size_t at = 0;
    char buffer[256];
    assert_int_equal(uhttp_formdata_begin(&form, TYPE, buffer, sizeof buffer), UHTTP_OK);
    assert_int_equal(uhttp_formdata_feed(&form, text, sizeof text - 1), UHTTP_OK);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_PART);
    for (rest = form.headers; uhttp_header_next(&rest, &name, &value); at += 2) {
        assert_true(at < COUNT(want));
        assert_true(text_is(name, want[at]) && text_is(value, want[at + 1]));
    }
    assert_int_equal(at, COUNT(want));
    assert_int_equal(rest.len, 0);
    assert_string_equal(form.content_type, "text/plain;charset=utf-8");
}

/*--- forms: limits and misuse ---------------------------------------------------------------*/

static const struct { const char *type; bool good; } types[] = {
    { "multipart/form-data; boundary=b", true },
    { "Multipart/Form-Data;BOUNDARY=\"b\"", true },
    { "multipart/form-data; charset=utf-8; boundary=b; x=\"y\"", true },
    { "multipart/form-data; boundary=\"a b'()+_,-./:=?c\"", true },
    { "multipart/form-data; boundary="
      "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg", true },
    { "multipart/form-data; boundary="
      "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggggggggh", false },
    { "multipart/form-data; boundary=\""
      "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg\"", true },
    { "multipart/form-data; boundary=a/b=c:d", true },      /* no token, as some clients write */
    { "multipart/form-data; boundary=----=_Part_1(2)+3,4.5? ; charset=utf-8", true },
    { "multipart/form-data; boundary=a\"b", false },
    { "multipart/form-data; boundary=\"a", false },
    { "multipart/form-data; boundary=\"\"", false },
    { "multipart/form-data; boundary=", false },
    { "multipart/form-data; boundary", false },
    { "multipart/form-data; boundary=\"b \"", false },
    { "multipart/form-data; boundary=\"b\\c\"", false },
    { "multipart/form-data; boundary=\"b\tc\"", false },
    { "multipart/form-data; boundary=b*c", false },
    { "multipart/form-data; boundary=\"b\xc3\xa9\"", false },
    { "multipart/form-data; boundary=a; boundary=a", false },
    { "multipart/form-data; boundary=a b", false },
    { "multipart/form-data; boundary=a, b", false },
    { "multipart/form-data", false },
    { "multipart/mixed; boundary=b", false },
    { "multipart/form-data-x; boundary=b", false },
    { "application/x-www-form-urlencoded", false },
    { "; boundary=b", false },
    { "", false },
    { NULL, false },
};

static void only_forms_with_a_boundary_can_be_begun(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        uhttp_formdata form;
        char buffer[8];
        const char *why;
        memset(&form, 0x55, sizeof form);
        uhttp_result want = types[i].good ? UHTTP_OK : UHTTP_ERR_INVALID;
        if (uhttp_formdata_begin(&form, types[i].type, buffer, sizeof buffer) != want)
            fail_msg("%s", types[i].type != NULL ? types[i].type : "NULL");
        if (types[i].good)
            continue;
        assert_int_equal(uhttp_formdata_feed(&form, "--b--", 5), UHTTP_OK);
        assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_MORE);
        assert_int_equal(uhttp_formdata_error(&form, &why), UHTTP_ERR_INVALID);
        assert_true(strlen(why) > 0);
    }
}

static void headers_up_to_the_buffer_are_read_and_longer_ones_refused(void **state)
{
    (void)state;
    static const char text[] = "--b\r\n"
                               "Content-Disposition: form-data; name=\"abc\"; filename=d\r\n"
                               "Content-Type: e/f\r\n\r\n\r\n--b--";
    size_t headers = strlen(text) - strlen("--b\r\n") - strlen("\r\n--b--");
    size_t enough = headers + sizeof "\"abc\"" - 2 + sizeof "d" + sizeof "e/f";
    for (size_t size = 0; size <= enough + 3; size++) {
        account whole;
        uhttp_str in = text_slice(text, sizeof text - 1);
        uhttp_result result = account_form(&whole, TYPE, in, size, 0, 0, 0);
        assert_for(in, result == (size >= enough ? UHTTP_OK : UHTTP_ERR_MEMORY));
        for (size_t step = 1; step < 5; step++) {
            account a;
            assert_for(in, account_form(&a, TYPE, in, size, 0, 0, step) == result);
            assert_for(in, strcmp(a.text, whole.text) == 0);
        }
    }
}

static void a_form_may_have_as_many_parts_as_allowed(void **state)
{
    (void)state;
    static const char text[] = "--b\r\n" PART("a") "1\r\n--b\r\n" PART("b") "2\r\n--b--";
    for (uint32_t most = 0; most < 4; most++) {
        uhttp_formdata form;
        char buffer[256];
        uhttp_formdata_event event;
        unsigned parts = 0;
        assert_int_equal(uhttp_formdata_begin(&form, TYPE, buffer, sizeof buffer), UHTTP_OK);
        assert_int_equal(form.max_parts, 1000);
        form.max_parts = most;
        uhttp_formdata_feed(&form, text, sizeof text - 1);
        while ((event = uhttp_formdata_next(&form)) != UHTTP_FORMDATA_MORE)
            parts += event == UHTTP_FORMDATA_PART;
        assert_int_equal(parts, most < 2 ? most : 2);
        assert_int_equal(uhttp_formdata_error(&form, NULL),
                         most < 2 ? UHTTP_ERR_MEMORY : UHTTP_OK);
    }
}

static void feeding_before_all_is_taken_is_an_error_of_state(void **state)
{
    (void)state;
    static const char text[] = "--b\r\n" PART("a") "1\r\n--b--\r\nepilogue";
    uhttp_formdata form;
    char buffer[256];
    assert_int_equal(uhttp_formdata_begin(&form, TYPE, buffer, sizeof buffer), UHTTP_OK);
    assert_int_equal(uhttp_formdata_feed(&form, text, sizeof text - 1), UHTTP_OK);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_PART);
    assert_int_equal(uhttp_formdata_feed(&form, "x", 1), UHTTP_ERR_STATE);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_DATA);
    assert_true(form.data.len == 1 && *form.data.ptr == '1');   /* nothing was touched */
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_PART_END);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_END);
    assert_int_equal(uhttp_formdata_feed(&form, "more", 4), UHTTP_OK);  /* of the epilogue */
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_MORE);
    assert_int_equal(uhttp_formdata_feed(&form, NULL, 0), UHTTP_OK);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_MORE);
    assert_int_equal(uhttp_formdata_error(&form, NULL), UHTTP_OK);
}

static void data_are_handed_out_where_they_lie_in_as_few_pieces_as_may_be(void **state)
{
    (void)state;
    static char text[100000];
    uhttp_formdata form;
    char buffer[256];
    size_t at = text_append_string(text, 0, "--b\r\n" PART("a"));
    size_t begin = at;
    memset(text + at, 'x', 90000);
    at = text_append_string(text, at + 90000, "\r\n--b--");
    assert_int_equal(uhttp_formdata_begin(&form, TYPE, buffer, sizeof buffer), UHTTP_OK);
    uhttp_formdata_feed(&form, text, at);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_PART);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_DATA);
    assert_ptr_equal(form.data.ptr, text + begin);
    assert_int_equal(form.data.len, 90000);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_PART_END);
    assert_int_equal(uhttp_formdata_next(&form), UHTTP_FORMDATA_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parameters_are_taken_apart_piece_by_piece),
        TEST(quotes_and_backslashes_are_taken_off),
        TEST(names_of_files_become_safe),
        TEST(no_name_leaves_its_directory_or_is_empty),
        TEST(forms_give_what_is_in_them_and_errors_what_is_wrong),
        TEST(forms_cut_anywhere_give_one_account),
        TEST(a_form_cut_short_is_never_whole),
        TEST(data_made_of_pieces_of_the_delimiter_stay_data),
        TEST(names_are_read_from_the_disposition_or_the_part_is_skipped),
        TEST(all_header_lines_of_a_part_can_be_read),
        TEST(only_forms_with_a_boundary_can_be_begun),
        TEST(headers_up_to_the_buffer_are_read_and_longer_ones_refused),
        TEST(a_form_may_have_as_many_parts_as_allowed),
        TEST(feeding_before_all_is_taken_is_an_error_of_state),
        TEST(data_are_handed_out_where_they_lie_in_as_few_pieces_as_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
