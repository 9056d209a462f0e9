/* response_reader.h - HTTP/1.1 responses read by somebody who knows only the RFCs
 *
 * A reader written straight from the grammars of RFC 9110 and 9112: one function for a rule,
 * byte by byte, nothing clever, nothing shared with the header. It says where a response ends
 * and what it consists of, or which rule it breaks. What a lenient client would mend is broken
 * here:
 *
 *     rr_response r;
 *     r.body = room;                           // for as many bytes as there are to read
 *     rr_request asked = { "HEAD" or not, minor version };
 *     switch (rr_read(bytes, length, at_end, &asked, &r)) { ... r.why ... }
 *
 * A response needs its request: what follows its head depends on that (RFC 9112 section 6.3).
 */
#ifndef RESPONSE_READER_H
#define RESPONSE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RR_FIELDS_MOST 160

typedef struct rr_text {
    const uint8_t *at;
    size_t length;
} rr_text;

typedef struct rr_field {
    rr_text name, value;        /* without the white space around it */
} rr_field;

typedef struct rr_request {
    bool head;                  /* its method was HEAD */
    int minor;                  /* its version was HTTP/1.minor */
} rr_request;

typedef enum rr_outcome {
    RR_NOTHING,                 /* there are no bytes */
    RR_WHOLE,
    RR_CUT,                     /* more bytes are needed */
    RR_BROKEN                   /* no bytes behind these can mend it: why */
} rr_outcome;

/* What tells where the body ends. */
typedef enum rr_framing { RR_NO_BODY, RR_LENGTH, RR_CHUNKED, RR_UNTIL_CLOSE } rr_framing;

typedef struct rr_response {
    int minor, status;
    rr_text reason;
    rr_field fields[RR_FIELDS_MOST];
    size_t field_count;
    bool has_length, has_coding;    /* Content-Length, Transfer-Encoding */
    uint64_t length;
    bool close, keep_alive;     /* Connection says so */
    rr_framing framing;
    uint8_t *body;              /* the caller's room; what was read of it so far */
    size_t body_length;
    size_t extensions, trailers;    /* of a chunked body */
    size_t size;                /* of all of it, head and body */
    const char *why;            /* the rule it breaks */
} rr_response;

typedef struct rr_reader {
    const uint8_t *at, *end;
    rr_response *r;
} rr_reader;

/* Both answer false; without a reason it is cut. */
static bool rr_break(const rr_reader *in, const char *why)
{
    in->r->why = why;
    return false;
}

static bool rr_cut(const rr_reader *in) { return rr_break(in, NULL); }

/*--- characters and texts -------------------------------------------------------------------*/

/* RFC 9110 section 5.6.2 */
static bool rr_is_tchar(uint8_t c)
{
    return c > 0x20 && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

/* VCHAR, obs-text, SP and HTAB: RFC 9110 section 5.5 */
static bool rr_is_text(uint8_t c) { return c == '\t' || (c >= 0x20 && c != 0x7f); }

static bool rr_is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

static bool rr_is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static int rr_hex(uint8_t c)
{
    if (rr_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static rr_text rr_between(const uint8_t *at, const uint8_t *end)
{
    rr_text t;
    t.at = at;
    t.length = (size_t)(end - at);
    return t;
}

static inline bool rr_is(rr_text t, const char *text)
{
    return t.length == strlen(text) && memcmp(t.at, text, t.length) == 0;
}

/* Is it this word, which is in lower case? */
static bool rr_is_word(rr_text t, const char *word)
{
    size_t i = 0;
    for (; i < t.length && word[i] != '\0'; i++) {
        uint8_t c = t.at[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != (uint8_t)word[i])
            return false;
    }
    return i == t.length && word[i] == '\0';
}

/* OWS around a value is not part of it: RFC 9110 section 5.5 */
static rr_text rr_trim(rr_text t)
{
    while (t.length > 0 && rr_is_blank(*t.at)) {
        t.at++;
        t.length--;
    }
    while (t.length > 0 && rr_is_blank(t.at[t.length - 1]))
        t.length--;
    return t;
}

/* 1*DIGIT at the front of a text, which it leaves behind; false: none, or too large. */
static bool rr_number(rr_text *t, uint64_t *number)
{
    const uint8_t *begin = t->at;
    *number = 0;
    while (t->length > 0 && rr_is_digit(*t->at)) {
        unsigned digit = *t->at - (unsigned)'0';
        if (*number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
        t->at++;
        t->length--;
    }
    return t->at > begin;
}

/*--- lines ----------------------------------------------------------------------------------*/

/* The next line, without the CRLF that ends it. Neither of the two stands alone. RFC 9112
 * section 2.2 */
static bool rr_line(rr_reader *in, rr_text *line)
{
    const uint8_t *p = in->at;
    while (p < in->end && *p != '\r' && *p != '\n')
        p++;
    if (p == in->end)
        return rr_cut(in);
    if (*p == '\n')
        return rr_break(in, "an LF without CR");
    if (p + 1 == in->end)
        return rr_cut(in);
    if (p[1] != '\n')
        return rr_break(in, "a CR without LF");
    *line = rr_between(in->at, p);
    in->at = p + 2;
    return true;
}

/* status-line = HTTP-version SP status-code SP [ reason-phrase ], RFC 9112 section 4 */
static bool rr_status_line(rr_reader *in)
{
    rr_text line;
    if (!rr_line(in, &line))
        return false;
    const uint8_t *p = line.at;
    if (line.length < 13 || memcmp(p, "HTTP/1.", 7) != 0 || !rr_is_digit(p[7]) || p[8] != ' ')
        return rr_break(in, "no HTTP-version in the status line");
    if (!rr_is_digit(p[9]) || !rr_is_digit(p[10]) || !rr_is_digit(p[11]) || p[12] != ' ')
        return rr_break(in, "no status-code of three digits with a space behind it");
    in->r->minor = p[7] - '0';
    in->r->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    if (in->r->status < 100 || in->r->status > 599)
        return rr_break(in, "a status of no class");
    in->r->reason = rr_between(p + 13, p + line.length);
    for (size_t i = 0; i < in->r->reason.length; i++) {
        if (!rr_is_text(in->r->reason.at[i]))
            return rr_break(in, "a control character in the reason phrase");
    }
    return true;
}

/* field-line = field-name ":" OWS field-value OWS, RFC 9112 section 5; *ended: it was the empty
 * line behind them. */
static bool rr_field_line(rr_reader *in, rr_field *field, bool *ended)
{
    rr_text line;
    if (!rr_line(in, &line))
        return false;
    *ended = line.length == 0;
    if (*ended)
        return true;
    const uint8_t *p = line.at;
    const uint8_t *end = p + line.length;
    while (p < end && rr_is_tchar(*p))
        p++;
    if (p == line.at)
        return rr_break(in, "a line without a field name, or a folded one");
    if (p == end || *p != ':')
        return rr_break(in, "no colon right behind a field name");
    field->name = rr_between(line.at, p);
    field->value = rr_trim(rr_between(p + 1, end));
    for (p++; p < end; p++) {
        if (!rr_is_text(*p))
            return rr_break(in, "a control character in a field value");
    }
    return true;
}

static bool rr_fields(rr_reader *in)
{
    rr_response *r = in->r;
    bool ended = false;
    for (;;) {
        rr_field field;
        if (!rr_field_line(in, &field, &ended))
            return false;
        if (ended)
            return true;
        if (r->field_count == RR_FIELDS_MOST)
            return rr_break(in, "more fields than there is room for here");
        r->fields[r->field_count++] = field;
    }
}

/*--- what the fields mean -------------------------------------------------------------------*/

static inline size_t rr_count(const rr_response *r, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < r->field_count; i++)
        count += rr_is_word(r->fields[i].name, name) ? 1 : 0;
    return count;
}

/* The value of the first field of that name, at NULL: there is none. */
static rr_text rr_value(const rr_response *r, const char *name)
{
    rr_text none = { NULL, 0 };
    for (size_t i = 0; i < r->field_count; i++) {
        if (rr_is_word(r->fields[i].name, name))
            return r->fields[i].value;
    }
    return none;
}

/* Those which are no lists stand once: RFC 9110 section 5.3 */
static bool rr_single(rr_reader *in)
{
    static const char *const names[] = {
        "content-length", "transfer-encoding", "content-type", "content-range", "date", "etag",
        "last-modified", "location", "server", "age", "expires", "retry-after", "connection",
        "keep-alive"
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (rr_count(in->r, names[i]) > 1)
            return rr_break(in, names[i]);
    }
    return true;
}

/* 1#token. What concerns this connection alone is named here: RFC 9110 section 7.6.1 */
static bool rr_connection(rr_reader *in)
{
    rr_text rest = rr_value(in->r, "connection");
    bool there = rest.at != NULL;
    while (there) {
        size_t n = 0;
        while (n < rest.length && rest.at[n] != ',')
            n++;
        rr_text option = rr_trim(rr_between(rest.at, rest.at + n));
        for (size_t i = 0; i < option.length; i++) {
            if (!rr_is_tchar(option.at[i]))
                return rr_break(in, "a connection option is not a token");
        }
        if (option.length == 0)
            return rr_break(in, "an empty connection option");
        in->r->close = in->r->close || rr_is_word(option, "close");
        in->r->keep_alive = in->r->keep_alive || rr_is_word(option, "keep-alive");
        there = n < rest.length;
        rest = rr_between(rest.at + n + (there ? 1 : 0), rest.at + rest.length);
    }
    if (in->r->close && in->r->keep_alive)
        return rr_break(in, "both close and keep-alive");
    if (rr_count(in->r, "keep-alive") > 0 && !in->r->keep_alive)
        return rr_break(in, "Keep-Alive, which Connection does not name");
    return true;
}

/* Content-Length = 1*DIGIT, and never beside Transfer-Encoding, which is "chunked" if the
 * client knows of it: RFC 9110 section 8.6, RFC 9112 sections 6.1 and 6.2 */
static bool rr_length_fields(rr_reader *in, const rr_request *asked)
{
    rr_response *r = in->r;
    rr_text value = rr_value(r, "content-length");
    rr_text coding = rr_value(r, "transfer-encoding");
    bool none = r->status < 200 || r->status == 204;
    r->has_length = value.at != NULL;
    r->has_coding = coding.at != NULL;
    if (r->has_length && r->has_coding)
        return rr_break(in, "Content-Length beside Transfer-Encoding");
    if (none && (r->has_length || r->has_coding))
        return rr_break(in, "a status without a body has the length of one");
    if (r->has_length && (!rr_number(&value, &r->length) || value.length > 0))
        return rr_break(in, "Content-Length is not a number");
    if (r->has_coding && asked->minor == 0)
        return rr_break(in, "Transfer-Encoding for an HTTP/1.0 client");
    if (r->has_coding && !rr_is_word(coding, "chunked"))
        return rr_break(in, "a transfer coding other than chunked");
    if (r->status == 205 && (r->has_coding || r->length > 0))
        return rr_break(in, "205 with a body");
    return true;
}

/* "bytes 0-99/1000", or of 416 the size alone: RFC 9110 section 14.4 */
static bool rr_content_range(rr_reader *in)
{
    const rr_response *r = in->r;
    rr_text t = rr_value(r, "content-range");
    uint64_t first, last, size;
    bool part = r->status == 206;
    if (t.at == NULL)
        return !part || rr_break(in, "206 without Content-Range");
    if (!part && r->status != 416)
        return rr_break(in, "Content-Range beside a status that has none");
    if (t.length < 6 || memcmp(t.at, "bytes ", 6) != 0)
        return rr_break(in, "Content-Range is not in bytes");
    t = rr_between(t.at + 6, t.at + t.length);
    if (!part) {
        if (t.length < 3 || memcmp(t.at, "*/", 2) != 0)
            return rr_break(in, "Content-Range of 416 names a range");
        t = rr_between(t.at + 2, t.at + t.length);
        return (rr_number(&t, &size) && t.length == 0) || rr_break(in, "no size of a range");
    }
    if (!rr_number(&t, &first) || t.length == 0 || *t.at != '-')
        return rr_break(in, "no first byte of a range");
    t = rr_between(t.at + 1, t.at + t.length);
    if (!rr_number(&t, &last) || t.length == 0 || *t.at != '/')
        return rr_break(in, "no last byte of a range");
    t = rr_between(t.at + 1, t.at + t.length);
    if (!rr_number(&t, &size) || t.length > 0)
        return rr_break(in, "no size of a range");
    if (first > last || last >= size || !r->has_length || r->length != last - first + 1)
        return rr_break(in, "the range is not that of the body");
    return true;
}

/* In the order of RFC 9112 section 6.3 */
static bool rr_meaning(rr_reader *in, const rr_request *asked)
{
    rr_response *r = in->r;
    if (!rr_single(in) || !rr_connection(in) || !rr_length_fields(in, asked) ||
        !rr_content_range(in))
        return false;
    if (asked->head || r->status < 200 || r->status == 204 || r->status == 304)
        r->framing = RR_NO_BODY;
    else if (r->has_coding)
        r->framing = RR_CHUNKED;
    else if (r->has_length)
        r->framing = RR_LENGTH;
    else
        r->framing = RR_UNTIL_CLOSE;
    if (r->framing == RR_UNTIL_CLOSE && !r->close)
        return rr_break(in, "a body until the close, of which Connection does not tell");
    return true;
}

/*--- bodies ---------------------------------------------------------------------------------*/

/* Takes so many bytes, or what there is of them. */
static bool rr_take(rr_reader *in, uint64_t length)
{
    size_t here = (size_t)(in->end - in->at);
    size_t n = length < here ? (size_t)length : here;
    if (n > 0)
        memcpy(in->r->body + in->r->body_length, in->at, n);
    in->r->body_length += n;
    in->at += n;
    return n == length || rr_cut(in);
}

/* chunk-size [ chunk-ext ] CRLF; of an extension only that it is text. RFC 9112 section 7.1 */
static bool rr_chunk_size(rr_reader *in, uint64_t *size)
{
    rr_text line;
    size_t digits = 0;
    if (!rr_line(in, &line))
        return false;
    for (*size = 0; digits < line.length && rr_hex(line.at[digits]) >= 0; digits++) {
        if (*size > UINT64_MAX >> 4)
            return rr_break(in, "a chunk of more bytes than there are");
        *size = *size << 4 | (unsigned)rr_hex(line.at[digits]);
    }
    if (digits == 0)
        return rr_break(in, "no size of a chunk");
    if (digits == line.length)
        return true;
    if (line.at[digits] != ';')
        return rr_break(in, "something else behind the size of a chunk");
    in->r->extensions++;
    for (size_t i = digits; i < line.length; i++) {
        if (!rr_is_text(line.at[i]))
            return rr_break(in, "a control character in an extension of a chunk");
    }
    return true;
}

/* *chunk last-chunk trailer-section CRLF */
static bool rr_chunked(rr_reader *in)
{
    for (;;) {
        uint64_t size;
        rr_field field;
        bool ended = false;
        if (!rr_chunk_size(in, &size))
            return false;
        while (size == 0) {
            if (!rr_field_line(in, &field, &ended))
                return false;
            if (ended)
                return true;
            in->r->trailers++;
        }
        if (!rr_take(in, size))
            return false;
        if (in->at < in->end && *in->at != '\r')
            return rr_break(in, "no CRLF behind a chunk");
        if (in->end - in->at < 2)
            return rr_cut(in);
        if (in->at[1] != '\n')
            return rr_break(in, "no CRLF behind a chunk");
        in->at += 2;
    }
}

static bool rr_body(rr_reader *in, bool at_end)
{
    switch (in->r->framing) {
    case RR_NO_BODY:
        return true;
    case RR_LENGTH:
        return rr_take(in, in->r->length);
    case RR_CHUNKED:
        return rr_chunked(in);
    case RR_UNTIL_CLOSE:
        break;
    }
    return rr_take(in, (uint64_t)(in->end - in->at)) && (at_end || rr_cut(in));
}

/* Reads the response that begins here, which may be an interim one.
 *
 *   at_end  the connection has ended behind these bytes
 *   r       body has room for length bytes */
static inline rr_outcome rr_read(const uint8_t *bytes, size_t length, bool at_end,
                                 const rr_request *asked, rr_response *r)
{
    rr_reader in;
    uint8_t *body = r->body;
    memset(r, 0, sizeof *r);
    r->body = body;
    if (length == 0)
        return RR_NOTHING;
    in.at = bytes;
    in.end = bytes + length;
    in.r = r;
    bool whole = rr_status_line(&in) && rr_fields(&in) && rr_meaning(&in, asked) &&
                 rr_body(&in, at_end);
    r->size = (size_t)(in.at - bytes);
    return whole ? RR_WHOLE : r->why != NULL ? RR_BROKEN : RR_CUT;
}

#endif /* RESPONSE_READER_H */
