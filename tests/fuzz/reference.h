/* reference.h - HTTP/1.1 requests read a second time, by somebody else
 *
 * A reader written straight from the grammars of RFC 9110, 9112 and 3986: one function for a
 * rule, byte by byte, nothing clever, nothing shared with the header. It says where a request
 * ends and what it means, or which statuses could refuse it.
 *
 * Where the header deliberately departs from the letter of the grammar, so does this, and each
 * such place is marked "Rule" with its reason:
 *
 *   Rule 1   one empty line before a request is passed over, a second one is not
 *   Rule 2   an LF without CR ends no line; it refuses the head as soon as it is seen
 *   Rule 3   a head has a longest length
 *   Rule 4   the first byte of a TLS handshake is refused at once
 *   Rule 5   a target is any visible text; before the query each escape is whole, nowhere is %00
 *   Rule 6   of absolute targets http and https are known; CONNECT is not served
 *   Rule 7   no control character stands in a field value
 *   Rule 8   fields that frame a message stand once, and say it in one way
 *   Rule 9   a host has no IPvFuture, a port needs a host before it and is at most 65535
 *   Rule 10  an expectation counts only where a body comes
 *   Rule 11  an extension of a chunk is any text without control characters
 *   Rule 12  chunks have a largest size, and their framing a longest length
 *   Rule 13  a body has a longest length
 *   Rule 14  elements of Connection and Expect are any text
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*--- texts ----------------------------------------------------------------------------------*/

typedef struct ref_text {
    const uint8_t *at, *end;
} ref_text;

static ref_text ref_between(const uint8_t *at, const uint8_t *end)
{
    ref_text t;
    t.at = at;
    t.end = end;
    return t;
}

static size_t ref_length(ref_text t) { return (size_t)(t.end - t.at); }

static uint8_t ref_lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c; }

/* Is it this word, in upper or lower case? */
static bool ref_is_word(ref_text t, const char *word)
{
    if (ref_length(t) != strlen(word))
        return false;
    for (size_t i = 0; i < ref_length(t); i++) {
        if (ref_lower(t.at[i]) != (uint8_t)word[i])
            return false;
    }
    return true;
}

static bool ref_is_exactly(ref_text t, const char *word)
{
    return ref_length(t) == strlen(word) && memcmp(t.at, word, strlen(word)) == 0;
}

static bool ref_is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

/* OWS is no part of a value. RFC 9110 section 5.6.3 */
static ref_text ref_trim(ref_text t)
{
    while (t.at < t.end && ref_is_blank(*t.at))
        t.at++;
    while (t.at < t.end && ref_is_blank(t.end[-1]))
        t.end--;
    return t;
}

/*--- characters -----------------------------------------------------------------------------*/

static bool ref_is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static bool ref_is_letter(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int ref_hex(uint8_t c)
{
    if (ref_is_digit(c))
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* tchar, RFC 9110 section 5.6.2 */
static bool ref_is_tchar(uint8_t c)
{
    switch (c) {
    case '!': case '#': case '$': case '%': case '&': case '\'': case '*': case '+':
    case '-': case '.': case '^': case '_': case '`': case '|': case '~':
        return true;
    default:
        return ref_is_digit(c) || ref_is_letter(c);
    }
}

/* unreserved and sub-delims, RFC 3986 section 2 */
static bool ref_is_reg_name(uint8_t c)
{
    switch (c) {
    case '-': case '.': case '_': case '~':
    case '!': case '$': case '&': case '\'': case '(': case ')': case '*': case '+':
    case ',': case ';': case '=':
        return true;
    default:
        return ref_is_digit(c) || ref_is_letter(c);
    }
}

/* Rule 7: a field value is of VCHAR, SP, HTAB and obs-text. RFC 9110 section 5.5 lets a
 * recipient keep other control characters; they have no use but to confuse. */
static bool ref_is_field_text(uint8_t c) { return c == '\t' || (c >= 0x20 && c != 0x7f); }

static bool ref_is_token(ref_text t)
{
    for (const uint8_t *p = t.at; p < t.end; p++) {
        if (!ref_is_tchar(*p))
            return false;
    }
    return ref_length(t) > 0;
}

/* The byte of pct-encoded = "%" HEXDIG HEXDIG; -1: this is none. */
static int ref_escape(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 3 || *p != '%' || ref_hex(p[1]) < 0 || ref_hex(p[2]) < 0)
        return -1;
    return ref_hex(p[1]) * 16 + ref_hex(p[2]);
}

/*--- hosts: uri-host [ ":" port ], RFC 3986 section 3.2.2 -----------------------------------*/

/* dec-octet "." dec-octet "." dec-octet "." dec-octet */
static bool ref_is_v4(ref_text t)
{
    const uint8_t *p = t.at;
    for (int i = 0; i < 4; i++) {
        unsigned value = 0;
        const uint8_t *first = p;
        while (p < t.end && ref_is_digit(*p) && p - first < 3)
            value = value * 10 + (unsigned)(*p++ - '0');
        if (p == first || value > 255 || (*first == '0' && p - first > 1))
            return false;
        if (i < 3 && (p == t.end || *p++ != '.'))
            return false;
    }
    return p == t.end;
}

/* How many groups of 16 bits stand in *( h16 ":" ) ( h16 / IPv4address ), which may be empty;
 * -1: it is something else. */
static int ref_v6_groups(ref_text t, bool at_the_end)
{
    int groups = 0;
    if (ref_length(t) == 0)
        return 0;
    for (;;) {
        const uint8_t *stop = t.at;
        while (stop < t.end && *stop != ':')
            stop++;
        ref_text group = ref_between(t.at, stop);
        if (at_the_end && stop == t.end && ref_is_v4(group))
            return groups + 2;
        if (ref_length(group) < 1 || ref_length(group) > 4)
            return -1;
        for (const uint8_t *p = group.at; p < group.end; p++) {
            if (ref_hex(*p) < 0)
                return -1;
        }
        groups++;
        if (stop == t.end)
            return groups;
        t.at = stop + 1;
    }
}

/* Eight groups, or fewer around one "::", which stands for one at least. */
static bool ref_is_v6(ref_text t)
{
    for (const uint8_t *p = t.at; p + 1 < t.end; p++) {
        if (p[0] == ':' && p[1] == ':') {
            int before = ref_v6_groups(ref_between(t.at, p), false);
            int behind = ref_v6_groups(ref_between(p + 2, t.end), true);
            return before >= 0 && behind >= 0 && before + behind <= 7;
        }
    }
    return ref_v6_groups(t, true) == 8;
}

/* *DIGIT. Rule 9: and a number a port can have, as RFC 9110 section 4.2.1 means a TCP port. */
static bool ref_is_port(ref_text t)
{
    unsigned long value = 0;
    for (const uint8_t *p = t.at; p < t.end; p++) {
        if (!ref_is_digit(*p))
            return false;
        value = value * 10 + (unsigned long)(*p - '0');
        if (value > 65535)
            return false;
    }
    return true;
}

/* Rule 9: "[v1.x]" is of no address that there is (400); a port of nothing names nothing. */
static bool ref_is_host(ref_text t, bool may_be_empty)
{
    const uint8_t *p = t.at;
    if (p < t.end && *p == '[') {
        while (p < t.end && *p != ']')
            p++;
        if (p == t.end || !ref_is_v6(ref_between(t.at + 1, p)))
            return false;
        p++;
    } else {
        while (p < t.end && *p != ':') {
            int byte = ref_escape(p, t.end);
            if (byte == 0)                      /* %00, as in Rule 5 */
                return false;
            if (byte < 0 && !ref_is_reg_name(*p))
                return false;
            p += byte < 0 ? 1 : 3;
        }
    }
    if (p == t.end)
        return p > t.at || may_be_empty;
    return *p == ':' && p > t.at && ref_is_port(ref_between(p + 1, t.end));
}

/*--- a request ------------------------------------------------------------------------------*/

/* Which statuses a refusal may bear: of several faults any may be the one that is named. */
#define REF_STATUSES 8
static const int ref_statuses[REF_STATUSES] = { 400, 413, 414, 417, 421, 431, 501, 505 };

static unsigned ref_fault(int status)
{
    for (unsigned i = 0; i < REF_STATUSES; i++) {
        if (ref_statuses[i] == status)
            return 1u << i;
    }
    return 0;
}

typedef enum ref_outcome {
    REF_NOTHING,            /* the input ends before a head begins, or in it */
    REF_REFUSED,            /* for one of the faults */
    REF_CUT,                /* the input ends in the body */
    REF_WHOLE
} ref_outcome;

typedef struct ref_request {
    ref_outcome outcome;
    unsigned faults;
    bool told;              /* the head is good, so that the request is known */
    const uint8_t *begin;   /* of the head, behind the line of Rule 1 */
    const uint8_t *body;    /* behind the head */
    ref_text method, target, path, query, host, fields;
    bool has_query, has_host;
    int minor;
    size_t count;           /* of fields */
    bool chunked;
    int64_t length;         /* -1: no Content-Length */
    bool close, keep_alive, expects, strange_expectation;
    const uint8_t *next;    /* behind the body */
    uint8_t *data;          /* the body, in the caller's block */
    size_t data_length;
} ref_request;

/* What a server was configured with; 0: no limit. */
typedef struct ref_limits {
    size_t head, body;
    bool is_server;         /* Rules 1 and 4 are the connection's, not the head's */
} ref_limits;

/*--- request-line = method SP request-target SP HTTP-version, RFC 9112 section 3 ------------*/

/* Rule 5: RFC 3986 knows fewer characters, but browsers send others as they were typed, and
 * none of them can move the end of the target. What could: blanks, control characters. What
 * would be decoded wrongly: an escape in the path that is none; the NUL that ends C's strings.
 * In a query '%' may stand for itself, as it does in browsers. A '#' begins a fragment, which
 * is never sent. */
static bool ref_is_target_text(ref_text t)
{
    bool in_query = false;
    for (const uint8_t *p = t.at; p < t.end; p++) {
        if (*p <= ' ' || *p == 0x7f || *p == '#')
            return false;
        in_query = in_query || *p == '?';
        if (*p == '%' && ref_escape(p, t.end) == 0)
            return false;
        if (*p == '%' && ref_escape(p, t.end) < 0 && !in_query)
            return false;
    }
    return true;
}

/* absolute-path [ "?" query ] */
static void ref_split_path(ref_request *r, ref_text t)
{
    const uint8_t *mark = t.at;
    while (mark < t.end && *mark != '?')
        mark++;
    r->path = ref_between(t.at, mark);
    r->has_query = mark < t.end;
    if (r->has_query)
        r->query = ref_between(mark + 1, t.end);
}

/* http-URI / https-URI, without the userinfo that RFC 9110 section 4.2.4 takes away */
static bool ref_read_absolute(ref_request *r, ref_text t)
{
    static const uint8_t slash[] = "/";
    const uint8_t *p = t.at;
    while (p < t.end && *p != ':')
        p++;
    ref_text scheme = ref_between(t.at, p);
    /* Rule 6: of another scheme nothing is known, not even what its host means. */
    if (!ref_is_word(scheme, "http") && !ref_is_word(scheme, "https"))
        return false;
    if (t.end - p < 3 || memcmp(p, "://", 3) != 0)
        return false;
    const uint8_t *host = p + 3;
    for (p = host; p < t.end && *p != '/' && *p != '?'; p++) { }
    r->host = ref_between(host, p);
    r->has_host = true;
    ref_split_path(r, ref_between(p, t.end));
    if (ref_length(r->path) == 0)               /* RFC 9110 section 4.2.3 */
        r->path = ref_between(slash, slash + 1);
    return ref_is_host(r->host, false);
}

static bool ref_read_target(ref_request *r)
{
    if (ref_is_exactly(r->target, "*") && ref_is_exactly(r->method, "OPTIONS")) {
        r->path = r->target;
        return true;
    }
    if (!ref_is_target_text(r->target))
        return false;
    if (r->target.at[0] != '/')
        return ref_read_absolute(r, r->target);
    ref_split_path(r, r->target);
    return true;
}

static unsigned ref_read_line(ref_request *r, ref_text line)
{
    const uint8_t *p = line.at;
    for (; p < line.end; p++) {
        if (!ref_is_field_text(*p))
            return ref_fault(400);
    }
    for (p = line.at; p < line.end && *p != ' '; p++) { }
    r->method = ref_between(line.at, p);
    if (p == line.end || !ref_is_token(r->method))
        return ref_fault(400);
    const uint8_t *target = ++p;
    while (p < line.end && *p != ' ')
        p++;
    r->target = ref_between(target, p);
    if (p == line.end || ref_length(r->target) == 0)
        return ref_fault(400);
    const uint8_t *version = ++p;               /* HTTP-name "/" DIGIT "." DIGIT */
    if (line.end - version != 8 || memcmp(version, "HTTP/", 5) != 0 ||
        !ref_is_digit(version[5]) || version[6] != '.' || !ref_is_digit(version[7]))
        return ref_fault(400);
    if (version[5] != '1')
        return ref_fault(505);
    r->minor = version[7] == '0' ? 0 : 1;       /* RFC 9110 section 2.5 */
    if (ref_is_exactly(r->method, "CONNECT"))
        return ref_fault(501);                  /* Rule 6: this is no proxy */
    return ref_read_target(r) ? 0 : ref_fault(400);
}

/*--- field-line = field-name ":" OWS field-value OWS, RFC 9112 section 5 --------------------*/

static bool ref_read_field(ref_text line, ref_text *name, ref_text *value)
{
    const uint8_t *p = line.at;
    while (p < line.end && *p != ':')
        p++;
    *name = ref_between(line.at, p);
    if (p == line.end || !ref_is_token(*name))
        return false;
    for (const uint8_t *v = p + 1; v < line.end; v++) {
        if (!ref_is_field_text(*v))
            return false;
    }
    *value = ref_trim(ref_between(p + 1, line.end));
    return true;
}

/* 1*DIGIT. Rule 8: no list of equal lengths, which RFC 9110 section 8.6 lets be refused. */
static unsigned ref_read_length(ref_request *r, ref_text value)
{
    uint64_t n = 0;
    bool too_large = false;
    if (ref_length(value) == 0)
        return ref_fault(400);
    for (const uint8_t *p = value.at; p < value.end; p++) {
        if (!ref_is_digit(*p))
            return ref_fault(400);
        if (n > (INT64_MAX - (uint64_t)(*p - '0')) / 10)
            too_large = true;
        else
            n = n * 10 + (uint64_t)(*p - '0');
    }
    r->length = too_large ? INT64_MAX : (int64_t)n;
    return too_large ? ref_fault(413) : 0;
}

/* The next element of 1#element; empty ones are none. RFC 9110 section 5.6.1 */
static bool ref_next_element(ref_text *list, ref_text *element)
{
    while (list->at < list->end) {
        const uint8_t *p = list->at;
        while (p < list->end && *p != ',')
            p++;
        *element = ref_trim(ref_between(list->at, p));
        list->at = p < list->end ? p + 1 : p;
        if (ref_length(*element) > 0)
            return true;
    }
    return false;
}

/* The next line without its CRLF. */
static bool ref_next_line(ref_text *lines, ref_text *line)
{
    const uint8_t *p = lines->at;
    if (p == lines->end)
        return false;
    while (p[0] != '\r' || p[1] != '\n')
        p++;
    *line = ref_between(lines->at, p);
    lines->at = p + 2;
    return true;
}

/* The next field of that name. */
static bool ref_next_of(ref_text *lines, const char *name, ref_text *value)
{
    ref_text line, field;
    while (ref_next_line(lines, &line)) {
        if (ref_read_field(line, &field, value) && ref_is_word(field, name))
            return true;
    }
    return false;
}

static unsigned ref_count(const ref_request *r, const char *name)
{
    unsigned count = 0;
    ref_text lines = r->fields, value;
    while (ref_next_of(&lines, name, &value))
        count++;
    return count;
}

/* Does a list, which may be cut into several fields, hold this word, or another one? */
static bool ref_list_holds(const ref_request *r, const char *name, const char *word, bool other)
{
    ref_text lines = r->fields, list, element;
    while (ref_next_of(&lines, name, &list)) {
        while (ref_next_element(&list, &element)) {
            if (ref_is_word(element, word) != other)
                return true;
        }
    }
    return false;
}

/* RFC 9112 section 6.3. Rule 8: where that section lets a server choose between refusing and
 * repairing, it refuses, as the next reader may repair otherwise. Of transfer codings "chunked"
 * alone, spelled so and nothing beside it, is known. */
static unsigned ref_read_framing(ref_request *r)
{
    ref_text lines = r->fields, value;
    unsigned faults = 0;
    unsigned lengths = ref_count(r, "content-length");
    unsigned codings = ref_count(r, "transfer-encoding");
    r->length = -1;
    r->chunked = codings > 0;
    while (ref_next_of(&lines, "content-length", &value))
        faults |= ref_read_length(r, value);
    lines = r->fields;
    while (ref_next_of(&lines, "transfer-encoding", &value)) {
        if (!ref_is_word(value, "chunked"))
            faults |= ref_fault(400) | ref_fault(501);
    }
    if (lengths > 1 || codings > 1 || (codings > 0 && (lengths > 0 || r->minor == 0)))
        faults |= ref_fault(400);
    return faults;
}

/* RFC 9110 section 7.2, RFC 9112 section 3.2 */
static unsigned ref_read_host(ref_request *r)
{
    ref_text lines = r->fields, value;
    unsigned hosts = ref_count(r, "host");
    unsigned faults = hosts > 1 || (hosts == 0 && r->minor > 0) ? ref_fault(400) : 0;
    while (ref_next_of(&lines, "host", &value)) {
        if (!ref_is_host(value, true))
            faults |= ref_fault(400);
        if (!r->has_host)       /* the host of an absolute target comes first */
            r->host = value;
        r->has_host = true;
    }
    return faults;
}

/* Rule 10: RFC 9110 section 10.1.1 lets other expectations be refused. Without a body there is
 * nothing to be expected; in HTTP/1.0 there are none. Rule 14: elements that mean nothing here
 * need not be tokens, as what they are cannot move the end of the message. */
static unsigned ref_read_expectation(ref_request *r)
{
    bool has_body = r->chunked || r->length > 0;
    if (r->minor == 0 || !has_body)
        return 0;
    r->expects = ref_list_holds(r, "expect", "100-continue", false);
    return ref_list_holds(r, "expect", "100-continue", true) ? ref_fault(417) : 0;
}

/*--- a head ---------------------------------------------------------------------------------*/

/* Finds the empty line that ends a head. */
static ref_outcome ref_find_head(const uint8_t *at, const uint8_t *end, const ref_limits *limits,
                                 ref_request *r)
{
    bool line_has_ended = false;
    for (const uint8_t *p = at; p < end; p++) {
        /* Rule 3: so much and no more is kept; which part of it was too long decides. */
        if (limits->head > 0 && (size_t)(p - at) >= limits->head) {
            r->faults = ref_fault(line_has_ended ? 431 : 414);
            return REF_REFUSED;
        }
        if (*p != '\n')
            continue;
        /* Rule 2: RFC 9112 section 2.2 lets an LF alone be taken for a line's end; a reader in
         * front that does not would see another message. */
        if (p == at || p[-1] != '\r') {
            r->faults = ref_fault(400);
            return REF_REFUSED;
        }
        if (p - at >= 3 && p[-2] == '\n') {
            r->body = p + 1;
            return REF_WHOLE;
        }
        line_has_ended = true;
    }
    if (limits->head > 0 && (size_t)(end - at) >= limits->head) {
        r->faults = ref_fault(line_has_ended ? 431 : 414);
        return REF_REFUSED;
    }
    return REF_NOTHING;
}

/* request-line CRLF *( field-line CRLF ) CRLF */
static unsigned ref_judge_head(ref_request *r)
{
    ref_text lines = ref_between(r->begin, r->body - 2);
    ref_text line, name, value;
    ref_next_line(&lines, &line);
    unsigned faults = ref_read_line(r, line);
    if (faults != 0)            /* nothing is asked of a message that may be no HTTP/1 */
        return faults;
    r->fields = lines;
    for (; ref_next_line(&lines, &line); r->count++) {
        if (!ref_read_field(line, &name, &value))
            faults |= ref_fault(400);
    }
    faults |= ref_read_host(r);
    faults |= ref_read_framing(r);
    faults |= ref_read_expectation(r);
    r->close = ref_list_holds(r, "connection", "close", false);
    r->keep_alive = ref_list_holds(r, "connection", "keep-alive", false);
    return faults;
}

/* Is it answered without a body? Also when it is refused, for whatever follows these bytes. */
static bool ref_is_head(const ref_request *r, const uint8_t *end)
{
    return end - r->begin >= 5 && memcmp(r->begin, "HEAD ", 5) == 0;
}

/* Does the connection go on behind this request? RFC 9112 section 9.3 */
static bool ref_persists(const ref_request *r)
{
    return !r->close && (r->minor > 0 || r->keep_alive);
}

/*--- bodies ---------------------------------------------------------------------------------*/

/* chunked-body, RFC 9112 section 7.1. Each function takes one element off the front. */
typedef struct ref_chunks {
    const uint8_t *at, *end;
    uint64_t framing;       /* bytes that are not data */
    uint8_t *data;          /* has room for all of the input */
    size_t data_length;
} ref_chunks;

typedef enum ref_part { REF_GOOD, REF_BAD, REF_SHORT } ref_part;

/* Rule 12: framing is limited to 16 KiB and eight times the data before it, so that nobody
 * keeps a server busy with chunks of nothing. */
static ref_part ref_take(ref_chunks *c, uint8_t *byte)
{
    if (c->at == c->end)
        return REF_SHORT;
    if (c->framing >= 16384 + 8 * (uint64_t)c->data_length)
        return REF_BAD;
    c->framing++;
    *byte = *c->at++;
    return REF_GOOD;
}

static ref_part ref_take_this(ref_chunks *c, uint8_t expected)
{
    uint8_t byte;
    ref_part part = ref_take(c, &byte);
    return part == REF_GOOD && byte != expected ? REF_BAD : part;
}

/* Text up to CRLF, of what may stand in a field. */
static ref_part ref_take_text(ref_chunks *c)
{
    for (;;) {
        uint8_t byte;
        ref_part part = ref_take(c, &byte);
        if (part != REF_GOOD)
            return part;
        if (byte == '\r')
            return ref_take_this(c, '\n');
        if (!ref_is_field_text(byte))
            return REF_BAD;
    }
}

/* chunk-size [ chunk-ext ] CRLF: 1*HEXDIG *( BWS ";" ... ).
 * Rule 11: what an extension says is ignored, as RFC 9112 section 7.1.1 wants it; so it is not
 * asked whether it is of tokens and quoted strings, only where it ends: at CRLF.
 * Rule 12: sizes are less than 2^60. */
static ref_part ref_take_size(ref_chunks *c, uint64_t *size)
{
    uint8_t byte = 0;
    unsigned digits = 0;
    *size = 0;
    for (;; digits++) {
        ref_part part = ref_take(c, &byte);
        if (part != REF_GOOD)
            return part;
        if (ref_hex(byte) < 0)
            break;
        *size = *size * 16 + (uint64_t)ref_hex(byte);
        if (*size >= (uint64_t)1 << 60)
            return REF_BAD;
    }
    if (digits == 0)
        return REF_BAD;
    if (byte == '\r')
        return ref_take_this(c, '\n');
    while (ref_is_blank(byte)) {
        ref_part part = ref_take(c, &byte);
        if (part != REF_GOOD)
            return part;
    }
    return byte == ';' ? ref_take_text(c) : REF_BAD;
}

static ref_part ref_take_data(ref_chunks *c, uint64_t size)
{
    for (; size > 0; size--) {
        if (c->at == c->end)
            return REF_SHORT;
        c->data[c->data_length++] = *c->at++;
    }
    ref_part part = ref_take_this(c, '\r');
    return part == REF_GOOD ? ref_take_this(c, '\n') : part;
}

/* trailer-section CRLF = *( field-line CRLF ) CRLF */
static ref_part ref_take_trailers(ref_chunks *c)
{
    for (;;) {
        uint8_t byte;
        ref_part part = ref_take(c, &byte);
        if (part != REF_GOOD)
            return part;
        if (byte == '\r')
            return ref_take_this(c, '\n');
        while (ref_is_tchar(byte)) {
            part = ref_take(c, &byte);
            if (part != REF_GOOD)
                return part;
        }
        if (byte != ':' || !ref_is_tchar(c->at[-2]))
            return REF_BAD;
        part = ref_take_text(c);
        if (part != REF_GOOD)
            return part;
    }
}

static ref_part ref_take_body(ref_chunks *c)
{
    uint64_t size;
    do {
        ref_part part = ref_take_size(c, &size);
        if (part == REF_GOOD && size > 0)
            part = ref_take_data(c, size);
        if (part != REF_GOOD)
            return part;
    } while (size > 0);
    return ref_take_trailers(c);
}

/* Rule 13: a longer body is refused: a length at once, chunks when they come to be more. */
static void ref_read_body(ref_request *r, const uint8_t *end, const ref_limits *limits)
{
    ref_chunks c;
    ref_part part = REF_GOOD;
    memset(&c, 0, sizeof c);
    c.at = r->body;
    c.end = end;
    c.data = r->data;
    if (r->chunked) {
        part = ref_take_body(&c);
    } else {
        for (int64_t left = r->length; left > 0 && part == REF_GOOD; left--) {
            if (c.at == end)
                part = REF_SHORT;
            else
                c.data[c.data_length++] = *c.at++;
        }
    }
    r->next = c.at;
    r->data_length = c.data_length;
    if (part == REF_BAD)
        r->faults |= ref_fault(400);
    if (limits->body > 0 && (r->data_length > limits->body ||
                             (!r->chunked && r->length > (int64_t)limits->body)))
        r->faults |= ref_fault(413);
    r->outcome = r->faults != 0 ? REF_REFUSED : part == REF_SHORT ? REF_CUT : REF_WHOLE;
}

/*--- HTTP-message, RFC 9112 section 2.1 -----------------------------------------------------*/

/* Reads the request that begins at a place of the input, its body into a block that has room
 * for all of it. */
static ref_request ref_read(const uint8_t *at, const uint8_t *end, const ref_limits *limits,
                            uint8_t *data)
{
    ref_request r;
    memset(&r, 0, sizeof r);
    r.data = data;
    /* Rule 1: RFC 9112 section 2.2 asks for one at least, of old clients that sent one behind
     * a body; more than one is nobody's. */
    if (limits->is_server && end - at >= 2 && at[0] == '\r' && at[1] == '\n')
        at += 2;
    r.begin = at;
    if (at == end)
        return r;
    /* Rule 4: no method begins so, and whoever speaks TLS waits for an answer. */
    if (limits->is_server && *at == 0x16) {
        r.outcome = REF_REFUSED;
        r.faults = ref_fault(400);
        return r;
    }
    r.outcome = ref_find_head(at, end, limits, &r);
    if (r.outcome != REF_WHOLE)
        return r;
    r.faults = ref_judge_head(&r);
    r.told = r.faults == 0;
    r.outcome = REF_REFUSED;
    if (r.told)
        ref_read_body(&r, end, limits);
    return r;
}

#endif /* REFERENCE_H */
