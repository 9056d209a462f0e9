/* fuzz_response.c - what the server writes, read by somebody else
 *
 * The bytes of the input are a program that answers requests: with every function that
 * responds, with fields, cookies and streams of all kinds, right and wrong, to clients of both
 * versions that ask one request behind the other and take the answers slowly. What came out is
 * read by response_reader.h, which knows the RFCs and nothing of the header. It asserts that
 *
 *   - each request has exactly one response, in order, of the form that the RFCs want, and not
 *     one byte more is there
 *   - a response has the fields that the program gave and those that the manual promises, and
 *     no others; what cannot be sent was refused by the call that gave it
 *   - the body is what the program gave, in one framing; events, parts of a multipart body and
 *     lengths are read as their own specifications have them
 *   - the connection ends where a response says so, and nowhere else
 */
#include "memory_transport.h"
#include "response_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/*--- chance ---------------------------------------------------------------------------------*/

static const uint8_t *chance_at;
static const uint8_t *chance_end;

static bool chance_is_left(void) { return chance_at < chance_end; }

static unsigned chance_byte(void) { return chance_is_left() ? *chance_at++ : 0; }

static unsigned chance_below(unsigned n) { return chance_byte() % n; }

#define OF(table) ((table)[chance_below(sizeof (table) / sizeof (table)[0])])

/* Some bytes of the input itself. */
static uhttp_str chance_bytes(size_t most)
{
    uhttp_str s = { (const char *)chance_at, chance_below((unsigned)most + 1) };
    s.len = peer_least(s.len, (size_t)(chance_end - chance_at));
    s.ptr = (const char *)chance_at;
    chance_at += s.len;
    return s;
}

/*--- texts that grow, lists of fields -------------------------------------------------------*/

typedef struct text {
    char *at;
    size_t length, size;
} text;

static void text_add(text *t, const void *bytes, size_t length)
{
    if (t->length + length > t->size || t->at == NULL) {
        t->size = (t->length + length) * 2 + 64;
        t->at = (char *)realloc(t->at, t->size);
        if (t->at == NULL)
            abort();
    }
    if (length > 0)
        memcpy(t->at + t->length, bytes, length);
    t->length += length;
}

static void text_puts(text *t, const char *string) { text_add(t, string, strlen(string)); }

/* The same with CR LF, CR and LF as LF. */
static void text_add_lines(text *t, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\r' && i + 1 < length && bytes[i + 1] == '\n')
            continue;
        text_add(t, bytes[i] == '\r' ? "\n" : bytes + i, 1);
    }
}

static void text_free(text *t)
{
    free(t->at);
    memset(t, 0, sizeof *t);
}

#define FIELDS_MOST 40

typedef struct field {
    char *name, *value;
    bool is_default;
} field;

typedef struct field_list {
    field at[FIELDS_MOST + 16];
    size_t count;
} field_list;

static char *copy_of(const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = (char *)malloc(size);
    if (copy == NULL)
        abort();
    memcpy(copy, string, size);
    return copy;
}

static char lower_of(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static bool is_same_name(const char *a, const char *b)
{
    while (*a != '\0' && lower_of(*a) == lower_of(*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names != NULL && !is_same_name(*names, name))
        names++;
    return *names != NULL;
}

static bool fields_have(const field_list *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++) {
        if (is_same_name(l->at[i].name, name))
            return true;
    }
    return false;
}

static void fields_remove(field_list *l, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (name != NULL && !is_same_name(l->at[i].name, name)) {
            l->at[kept++] = l->at[i];
            continue;
        }
        free(l->at[i].name);
        free(l->at[i].value);
    }
    l->count = kept;
}

static void fields_clear(field_list *l) { fields_remove(l, NULL); }

static void fields_add(field_list *l, const char *name, const char *value)
{
    CHECK(l->count < sizeof l->at / sizeof l->at[0]);
    field *f = &l->at[l->count++];
    f->name = copy_of(name);
    f->value = copy_of(value);
    f->is_default = false;
}

/* One of the server's own, in whose place one of the program's may stand. */
static void fields_own(field_list *l, const char *name, const char *value)
{
    if (!fields_have(l, name))
        fields_add(l, name, value);
}

static size_t fields_length(const field_list *l)
{
    size_t length = 0;
    for (size_t i = 0; i < l->count; i++)
        length += strlen(l->at[i].name) + strlen(l->at[i].value) + 4;
    return length;
}

/*--- the model ------------------------------------------------------------------------------*/

typedef enum stage {
    STAGE_SAID,                 /* its client has begun to say it */
    STAGE_OFFERED,              /* HEADERS: its body is still to come */
    STAGE_ARRIVING,             /* its body was accepted */
    STAGE_READY,
    STAGE_STREAMING,
    STAGE_OVER
} stage;

typedef enum body_kind { BODY_BYTES, BODY_EVENTS, BODY_PARTS } body_kind;

/* One request, and the response the program gave it. */
typedef struct exchange {
    /* what the client said */
    const char *method;
    unsigned client, number;
    bool old;                   /* HTTP/1.0 */
    bool asks_close, asks_keep, expects;
    unsigned condition, range;  /* 0: none */

    /* what the program did */
    stage at;
    uhttp_conn *c;
    bool doomed;                /* its response failed: 500, unless another follows */
    size_t composed;            /* of JSON in the making */
    field_list fields;          /* added so far; in the end all that are to be there */
    field_list frame;           /* of the next part */
    text body;                  /* what the client is to read: bytes, or an account of them */
    body_kind kind;

    /* what must have come of it */
    int status;
    bool refused;               /* by the server: 500, or 503 without memory for that */
    bool streamed;
    size_t length;              /* if it is not */
    bool closes, may_close;     /* the connection must end, or may */
} exchange;

#define CLIENTS_MOST 8
#define EXCHANGES_MOST 12

typedef struct caller {
    peer *p;
    exchange list[EXCHANGES_MOST];
    unsigned said, told;
    bool lost;                  /* the program has closed the connection */
} caller;

static caller run_callers[CLIENTS_MOST];
static unsigned run_count;
static unsigned run_attempts;   /* to connect: each has a peer of its own */
static exchange *run_last;      /* of what the last wait returned */
static size_t run_buffer;       /* in fixed memory its size */
static size_t run_pending;      /* bytes that wait to be sent, before the call that is judged */
static int run_files_open;
static const char *run_defaults;

/* Lists of the manual, of uhttp_add_header(). */
static const char *const names_ours[] = {
    "content-length", "transfer-encoding", "content-range", "trailer", "te", "upgrade",
    "keep-alive", "connection", NULL
};
static const char *const names_once[] = {
    "content-type", "content-disposition", "location", "etag", "last-modified", "expires",
    "age", "retry-after", "date", "server", "strict-transport-security", "x-frame-options",
    "x-content-type-options", "referrer-policy", "access-control-allow-origin",
    "access-control-allow-credentials", "access-control-max-age", NULL
};
static const char *const names_beside[] = {
    "set-cookie", "vary", "link", "www-authenticate", "content-security-policy", NULL
};

static bool name_is_good(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (!rr_is_tchar((uint8_t)*p))
            return false;
    }
    return *name != '\0';
}

static bool value_is_good(const char *value)
{
    while (*value != '\0' && rr_is_text((uint8_t)*value))
        value++;
    return *value == '\0';
}

static bool is_head(const exchange *e) { return strcmp(e->method, "HEAD") == 0; }

static bool status_has_no_body(int status)
{
    return status == 204 || status == 205 || status == 304;
}

/* The most a response may have, its head included. */
static size_t run_limit(void)
{
    size_t limit = world_server->config.max_send_buffer;
    if (run_buffer == 0)
        return limit;
    size_t room = run_buffer > run_pending ? run_buffer - run_pending : 0;
    return peer_least(limit, room);
}

/* Could there be no room for fields and so many bytes more? What the server adds to a head
 * takes less than 400 bytes. */
static bool run_may_lack_room(const exchange *e, size_t length)
{
    return fields_length(&e->fields) + e->composed + length + 400 > run_limit();
}

/* Sees that a call answered what it should; MEMORY is right where there may be no room. */
static uhttp_result run_judge(exchange *e, uhttp_result result, bool good, size_t length)
{
    world_check(false);
    if (!good)
        CHECK(result == UHTTP_ERR_INVALID);
    else if (result == UHTTP_ERR_MEMORY)
        CHECK(run_may_lack_room(e, length));
    else
        CHECK(result == UHTTP_OK);
    return result;
}

/* The fields of a response in full. */
static void run_complete(exchange *e, int status, const char *type)
{
    uhttp_str rest = { run_defaults, run_defaults != NULL ? strlen(run_defaults) : 0 };
    uhttp_str name, value;
    char copy[2][64];
    if (type != NULL)
        fields_own(&e->fields, "Content-Type", type);
    size_t count = e->fields.count;
    while (uhttp_header_next(&rest, &name, &value)) {
        snprintf(copy[0], sizeof copy[0], "%.*s", (int)name.len, name.ptr);
        snprintf(copy[1], sizeof copy[1], "%.*s", (int)value.len, value.ptr);
        bool there = false;
        for (size_t i = 0; i < count; i++)
            there = there || is_same_name(e->fields.at[i].name, copy[0]);
        if (there && !is_one_of(copy[0], names_beside))
            continue;
        fields_add(&e->fields, copy[0], copy[1]);
        e->fields.at[e->fields.count - 1].is_default = true;
    }
    fields_own(&e->fields, "Date", WORLD_DATE);
    e->status = status;
}

/* A whole response has been given. */
static void run_gave(exchange *e, int status, const char *type, const void *body, size_t length)
{
    CHECK(run_buffer > 0 || fields_length(&e->fields) <= run_limit());
    run_complete(e, status, type);
    e->length = length;
    e->composed = 0;
    e->body.length = 0;
    if (!is_head(e))
        text_add(&e->body, body, length);
    e->at = STAGE_OVER;
}

/* The same, if it was. What fails may be followed by another one; but if the next thing the
 * program does is to wait, the server answers. */
static bool run_judge_response(exchange *e, uhttp_result result, bool good, size_t length)
{
    if (run_judge(e, result, good, length) == UHTTP_OK)
        return true;
    e->doomed = e == run_last;
    return false;
}

static void run_respond(exchange *e, uhttp_result result, bool good, int status,
                        const char *type, const void *body, size_t length, bool copied)
{
    if (!run_judge_response(e, result, good, copied ? length : 0))
        return;
    CHECK(!copied || is_head(e) || run_buffer > 0 ||
          fields_length(&e->fields) + length <= run_limit());
    run_gave(e, status, type, body, length);
}

static size_t error_text(char *to, size_t size, int status)
{
    return (size_t)snprintf(to, size, "%d %s\n", status, uhttp_status_phrase(status));
}

static void run_gave_error(exchange *e, int status)
{
    char body[64];
    size_t length = error_text(body, sizeof body, status);
    if (status_has_no_body(status))
        run_gave(e, status, NULL, NULL, 0);
    else
        run_gave(e, status, "text/plain", body, length);
}

/* Whoever waits after a response that failed leaves it to the server. */
static void run_give_up(void)
{
    exchange *e = run_last;
    if (e != NULL && e->doomed && e->at < STAGE_STREAMING) {
        fields_clear(&e->fields);
        run_gave_error(e, 500);
        e->refused = e->closes = true;
    }
    if (e != NULL)
        e->doomed = false;
}

/*--- what is sent ---------------------------------------------------------------------------*/

#define SOURCE_SIZE (96u * 1024u)

/* Bytes that stay for ever; among them some that look like the end of something. */
static const char *run_source(const exchange *e, size_t length)
{
    static const char traps[][24] = { "\r\n0\r\n\r\n", "\r\n\r\nHTTP/1.1 200 OK\r\n", "\r\n--",
                                      "\n\ndata: x\n\n", "\r\n5\r\n" };
    static char source[SOURCE_SIZE];
    if (source[0] == '\0') {
        uint32_t state = 1;
        for (size_t i = 0; i < sizeof source; i++) {
            state = state * 1664525u + 1013904223u;
            source[i] = (char)(state >> 24);
        }
        for (size_t i = 0; i + 512 < sizeof source; i += 300) {
            const char *trap = traps[i / 300 % 5];
            memcpy(source + i, trap, strlen(trap));
        }
        source[0] = 'a';
    }
    size_t offset = (e->client * 31 + e->number * 7) % 97 * 41;
    CHECK(offset + length <= sizeof source);
    return source + offset;
}

static const size_t run_sizes[] = {
    0, 1, 2, 14, 15, 16, 17, 100, 255, 256, 257, 430, 1000, 1900, 4090, 4096, 5000, 12000,
    65535, 70000
};

/* What is good for ever: the input, too, outlives the run. */
static uhttp_str run_data(const exchange *e)
{
    static const char *const odd[] = { "0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "\r\n", "--",
                                       "a" };
    uhttp_str s;
    unsigned how = chance_byte();
    if (how < 40) {
        s.ptr = odd[how % 5];
        s.len = strlen(s.ptr);
        return s;
    }
    if (how < 80)
        return chance_bytes(16);
    s.len = run_sizes[how % 20];
    s.ptr = run_source(e, s.len);
    return s;
}

/* A string for a value, a type, a line; it stays for four more calls. */
static const char *run_string(void)
{
    static const char *const strings[] = {
        "", "a", "text/plain", "a b\tc", " padded ", "\t", "a\r\nX-Evil: 1", "a\nb", "a\rb",
        "\r\n",
        "\x01", "\x7f", "caf\xc3\xa9 \xff", "x,y;z=\"q\\\"\"", "/elsewhere?a=b#c", ":",
        "a\n\nb\r\r\n", "bytes 0-1/2", "chunked", "/caf\xc3\xa9?\xff",
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789"
    };
    static char rooms[5][32];
    static unsigned next;
    unsigned how = chance_byte();
    if (how < 200)
        return strings[how % (sizeof strings / sizeof strings[0])];
    uhttp_str s = chance_bytes(24);
    char *room = rooms[next++ % 5];
    size_t length = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '\0')
            room[length++] = s.ptr[i];
    }
    room[length] = '\0';
    return room;
}

static const char *run_type(void)
{
    static const char *const types[] = { "text/plain", NULL, "a/b; c=\"d\"", "", "x/y" };
    unsigned how = chance_byte();
    return how < 220 ? types[how % 5] : run_string();
}

static int run_status(void)
{
    static const int statuses[] = { 200, 200, 200, 201, 202, 203, 204, 205, 299, 301, 304, 400,
                                    401, 404, 410, 416, 418, 429, 431, 451, 500, 501, 503, 599,
                                    199, 600, 99, 0, -1, 1000, 100, 101 };
    return OF(statuses);
}

static bool status_is_good(int status) { return status >= 200 && status <= 599; }

/*--- fields ---------------------------------------------------------------------------------*/

static void run_added(field_list *l, const char *name, const char *value)
{
    if (is_one_of(name, names_once))
        fields_remove(l, name);
    fields_add(l, name, value);
}

static const char *run_name(void)
{
    static const char *const names[] = {
        "X-A", "x-a", "X-B", "Content-Type", "content-type", "ETag", "Vary", "Set-Cookie",
        "Link", "Date", "Server", "Location", "Cache-Control", "X-Default",
        "Content-Disposition",
        "Content-Encoding", "!#$%&'*+-.^_`|~09azAZ", "Allow", "Accept-Ranges", "Last-Modified",
        "X-Accel-Buffering", "Retry-After", "Expires",
        "Content-Length", "content-length", "Transfer-Encoding", "TE", "Trailer", "Upgrade",
        "Keep-Alive", "Content-Range", "Connection",
        "", "X Y", "X-A:", "X-A\r\nX-Evil", "X\xc3\xa4", "X\t", "(x)"
    };
    unsigned how = chance_byte();
    return how < 230 ? names[how % (sizeof names / sizeof names[0])] : run_string();
}

static void run_add_header(exchange *e)
{
    bool frames = e->at == STAGE_STREAMING;
    field_list *l = frames ? &e->frame : &e->fields;
    const char *name = run_name();
    const char *value = run_string();
    if (!frames && chance_below(16) == 0) {
        name = "CONNECTION";
        value = "Close";
    }
    if (l->count >= FIELDS_MOST)
        return;
    bool good = name_is_good(name) && value_is_good(value);
    bool ends = good && !frames && is_same_name(name, "connection") &&
                is_same_name(value, "close");
    good = good && (ends || !is_one_of(name, names_ours));
    size_t length = strlen(name) + strlen(value) + 4 + fields_length(&e->frame);
    uhttp_result result = uhttp_add_header(e->c, name, value);
    if (frames && good && (result == UHTTP_ERR_AGAIN || result == UHTTP_ERR_MEMORY)) {
        CHECK(run_may_lack_room(e, length));
        fields_clear(l);
    } else if (run_judge(e, result, good, length) == UHTTP_OK && ends) {
        e->closes = true;
    } else if (result == UHTTP_OK) {
        run_added(l, name, value);
    }
}

static bool cookie_value_is_good(const char *value)
{
    for (; *value != '\0'; value++) {
        uint8_t c = (uint8_t)*value;        /* RFC 6265bis section 4.1.1: cookie-octet */
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\')
            return false;
    }
    return true;
}

static void run_set_cookie(exchange *e)
{
    static const struct { uhttp_new_cookie cookie; const char *line; } cookies[] = {
        { { "sid", "abc", NULL, NULL, 0, 0, UHTTP_SAME_SITE_LAX, false, false, false },
          "sid=abc; Path=/; Secure; HttpOnly; SameSite=Lax" },
        { { "a", NULL, "/x", "example.com", 60, 0, UHTTP_SAME_SITE_STRICT, false, true, true },
          "a=; Path=/x; Domain=example.com; Max-Age=60; SameSite=Strict" },
        { { "b", "1", NULL, NULL, -1, 1600000000, UHTTP_SAME_SITE_LAX, false, false, false },
          "b=1; Path=/; Max-Age=0; Expires=Sun, 13 Sep 2020 12:26:40 GMT; Secure; HttpOnly; "
          "SameSite=Lax" },
        { { "__Host-c", "x", NULL, NULL, 0, 0, UHTTP_SAME_SITE_NONE, true, false, false },
          "__Host-c=x; Path=/; Secure; HttpOnly; SameSite=None" },
        { { "__Host-c", "x", "/p", NULL, 0, 0, UHTTP_SAME_SITE_LAX, true, 0, 0 }, NULL },
        { { "b c", "x", NULL, NULL, 0, 0, UHTTP_SAME_SITE_LAX, false, false, false }, NULL },
        { { "n", "a;b", NULL, NULL, 0, 0, UHTTP_SAME_SITE_LAX, false, false, false }, NULL },
        { { "n", "x", "/a\r\nX-Evil: 1", NULL, 0, 0, UHTTP_SAME_SITE_LAX, 0, 0, 0 }, NULL },
        { { "n", "x", NULL, "a;b", 0, 0, UHTTP_SAME_SITE_LAX, false, false, false }, NULL },
        { { "n", "x", NULL, NULL, 0, 0, UHTTP_SAME_SITE_NONE, false, true, false }, NULL },
    };
    unsigned which = chance_below(11);
    uhttp_new_cookie cookie = cookies[which % 10].cookie;
    char line[512] = "";
    if (e->fields.count >= FIELDS_MOST)
        return;
    if (which == 10) {
        cookie.value = run_string();
        if (cookie_value_is_good(cookie.value))
            snprintf(line, sizeof line, "sid=%s; Path=/; Secure; HttpOnly; SameSite=Lax",
                     cookie.value);
    } else if (cookies[which].line != NULL) {
        snprintf(line, sizeof line, "%s", cookies[which].line);
    }
    uhttp_result result = uhttp_set_cookie(e->c, &cookie);
    if (run_judge(e, result, line[0] != '\0', sizeof line) == UHTTP_OK)
        fields_add(&e->fields, "Set-Cookie", line);
}

/*--- whole responses ------------------------------------------------------------------------*/

static void run_respond_bytes(exchange *e, bool copied)
{
    int status = run_status();
    const char *type = run_type();
    uhttp_str data = run_data(e);
    if (chance_below(4) == 0 || (status_has_no_body(status) && chance_below(2) == 0))
        data.len = 0;
    bool good = status_is_good(status) && (type == NULL || value_is_good(type)) &&
                !(data.len > 0 && status_has_no_body(status));
    uhttp_result result = copied ? uhttp_respond(e->c, status, type, data.ptr, data.len)
                                 : uhttp_respond_static(e->c, status, type, data.ptr, data.len);
    run_respond(e, result, good, status, type, data.ptr, data.len, copied);
}

static void run_respond_string(exchange *e)
{
    static const char *const types[] = {
        "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
    };
    unsigned how = chance_below(4);
    int status = run_status();
    const char *string = run_string();
    size_t length = strlen(string);
    char printed[300];
    bool good = status_is_good(status) && !(length > 0 && status_has_no_body(status));
    if (how == 3) {
        const char *type = run_type();
        good = status_is_good(status) && !status_has_no_body(status) &&
               (type == NULL || value_is_good(type));
        length = (size_t)snprintf(printed, sizeof printed, "<%s|%5d>", string, status);
        uhttp_result result =
            uhttp_respond_printf(e->c, status, type, "<%s|%5d>", string, status);
        run_respond(e, result, good, status, type, printed, length, true);
        return;
    }
    uhttp_result result = how == 0   ? uhttp_respond_text(e->c, status, string)
                          : how == 1 ? uhttp_respond_html(e->c, status, string)
                                     : uhttp_respond_json(e->c, status, string);
    run_respond(e, result, good, status, types[how], string, length, true);
}

static void run_respond_error(exchange *e)
{
    int status = run_status();
    if (run_judge_response(e, uhttp_respond_error(e->c, status), status_is_good(status), 64))
        run_gave_error(e, status);
}

/* Bytes beyond ASCII are escaped; what no URL contains is refused. */
static bool run_url_escape(const char *url, char *to)
{
    for (; *url != '\0'; url++) {
        uint8_t c = (uint8_t)*url;
        if (c <= 0x20 || c == 0x7f)
            return false;
        to += snprintf(to, 4, c > 0x7f ? "%%%02x" : "%c", c);
    }
    *to = '\0';
    return true;
}

static void run_respond_redirect(exchange *e)
{
    static const int statuses[] = { 0, 301, 302, 303, 307, 308, 300, 304, 200, 404 };
    int status = OF(statuses);
    const char *url = run_string();
    char location[900];
    bool good = run_url_escape(url, location) && (status == 0 || status >= 301) &&
                status <= 308 && status != 304;
    uhttp_result result = uhttp_respond_redirect(e->c, status, url);
    if (run_judge_response(e, result, good, 3 * strlen(url) + 64)) {
        fields_own(&e->fields, "Location", location);
        run_gave_error(e, status == 0 ? 302 : status);
    }
}

static void run_respond_not_allowed(exchange *e)
{
    const char *allow = chance_below(2) == 0 ? "GET, POST" : run_string();
    uhttp_result result = uhttp_respond_not_allowed(e->c, allow);
    if (run_judge_response(e, result, value_is_good(allow), strlen(allow) + 64)) {
        fields_own(&e->fields, "Allow", allow);
        run_gave_error(e, 405);
    }
}

/* Writes an array of numbers and strings; between them a field may be added. */
static void run_respond_json(exchange *e, bool leave_it)
{
    uhttp_json_writer w;
    text json = { NULL, 0, 0 };
    char number[24];
    unsigned how = chance_byte();
    unsigned elements = (how & 7) * (how & 8 ? 60 : 1);
    int status = how & 64 ? run_status() : 200;
    bool good = status_is_good(status) && !status_has_no_body(status);
    uhttp_json_begin_response(&w, e->c);
    uhttp_json_array_begin(&w);
    text_puts(&json, "[");
    for (unsigned i = 0; i < elements; i++) {
        int n = (int)(i * 1234567u % 1000000u) - 5000;
        snprintf(number, sizeof number, "%s%d", i > 0 ? "," : "", n);
        text_puts(&json, number);
        uhttp_json_int(&w, n);
        e->composed = json.length;
        if (i == 2 && (how & 16))
            run_add_header(e);
    }
    uhttp_json_string(&w, "a\"b\\c\r\n\t\x01");
    text_puts(&json, elements > 0 ? "," : "");
    text_puts(&json, "\"a\\\"b\\\\c\\r\\n\\t\\u0001\"");
    e->composed = json.length;
    if (!leave_it && !(how & 32)) {
        uhttp_json_array_end(&w);
        text_puts(&json, "]");
        uhttp_result result = uhttp_json_respond(&w, status);
        run_respond(e, result, good, status, "application/json", json.at, json.length, true);
    } else if (!leave_it) {
        uhttp_result result = uhttp_json_respond(&w, 200);      /* it lacks its end */
        CHECK(result == UHTTP_ERR_STATE || (result == UHTTP_ERR_MEMORY &&
                                            run_may_lack_room(e, json.length)));
        e->doomed = e == run_last;
    }
    if (!leave_it)
        e->composed = 0;
    text_free(&json);
}

/*--- files ----------------------------------------------------------------------------------*/

#define FILE_MODIFIED 1600000000
#define FILE_DATE "Sun, 13 Sep 2020 12:26:40 GMT"

static struct {
    const char *data;
    size_t length;
    bool in_memory;
} run_file;

static uhttp_result run_file_open(void *user, const char *path, const char *root, void **file,
                                  uhttp_file_info *info)
{
    CHECK(user == &run_file && root == NULL);
    if (strcmp(path, "file") != 0)
        return UHTTP_ERR_SYSTEM;
    info->size = run_file.length;
    info->modified = FILE_MODIFIED;
    info->etag = "v1";
    info->type = "x/file";
    if (run_file.in_memory) {
        info->data = run_file.data;
        return UHTTP_OK;
    }
    *file = (void *)(uintptr_t)run_file.data;
    run_files_open++;
    return UHTTP_OK;
}

/* Never much at once. */
static size_t run_file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    CHECK(user == &run_file && run_files_open > 0);
    length = peer_least(length, 7 + (size_t)(offset % 3000));
    memcpy(to, (const char *)file + offset, length);
    return length;
}

static void run_file_close(void *user, void *file)
{
    CHECK(user == &run_file && file != NULL && run_files_open-- > 0);
}

static const uhttp_files run_files = {
    &run_file, run_file_open, run_file_read, run_file_close, NULL, NULL, NULL
};

/* What the client asks to see of a file: -1 as the first stands for the last so many bytes, as
 * the last for all the rest. */
static const struct { const char *text; int64_t first, last; bool whole; } run_ranges[] = {
    { NULL, 0, -1, true },
    { "bytes=0-0", 0, 0, false }, { "bytes=5-9", 5, 9, false },
    { "bytes=100-", 100, -1, false }, { "bytes=-7", -1, 7, false },
    { "bytes=-0", -1, 0, false },
    { "bytes=0-99999999", 0, 99999999, false }, { "bytes=99999999-", 99999999, -1, false },
    { "bytes=0-1,3-4", 0, -1, true }, { "octets=0-1", 0, -1, true },
    { "bytes=4-2", 0, -1, true },
};

static const struct { const char *text; int status; bool whole; } run_conditions[] = {
    { "", 200, false },
    { "If-None-Match: \"v1\"\r\n", 304, false },
    { "If-None-Match: \"v2\", W/\"v1\"\r\n", 304, false },
    { "If-None-Match: \"v2\"\r\n", 200, false }, { "If-Match: \"v2\"\r\n", 412, false },
    { "If-Match: *\r\n", 200, false }, { "If-Modified-Since: " FILE_DATE "\r\n", 304, false },
    { "If-Unmodified-Since: Sun, 13 Sep 2020 12:26:39 GMT\r\n", 412, false },
    { "If-Range: \"v1\"\r\n", 200, false }, { "If-Range: \"v2\"\r\n", 200, true },
    { "If-Range: W/\"v1\"\r\n", 200, true },
};

/* The status of the file for this request, and which of its bytes. RFC 9110 sections 13, 14 */
static int run_file_part(const exchange *e, size_t *first, size_t *length)
{
    int64_t size = (int64_t)run_file.length;
    int64_t from = run_ranges[e->range].first;
    int64_t to = run_ranges[e->range].last;
    *first = 0;
    *length = run_file.length;
    if (strcmp(e->method, "POST") == 0)
        return 200;
    if (run_conditions[e->condition].status != 200)
        return run_conditions[e->condition].status;
    if (is_head(e) || run_ranges[e->range].whole || run_conditions[e->condition].whole)
        return 200;
    if (from < 0 && size == 0 && to > 0)
        return 200;                     /* all there is: nothing */
    if (from < 0) {
        from = to < size ? size - to : 0;
        to = to > 0 ? size - 1 : -1;
    } else if (to < 0 || to >= size) {
        to = size - 1;
    }
    if (from >= size || to < from)
        return 416;
    *first = (size_t)from;
    *length = (size_t)(to - from + 1);
    return 206;
}

static void run_respond_file(exchange *e)
{
    uhttp_file_options options;
    unsigned how = chance_byte();
    size_t first, length;
    char range[80];
    if (fields_have(&e->fields, "etag") || fields_have(&e->fields, "last-modified"))
        return;                         /* conditions would be about those */
    memset(&options, 0, sizeof options);
    options.content_type = how & 1 ? "x/option" : NULL;
    options.cache_control = how & 2 ? "max-age=60" : NULL;
    options.no_gzip = (how & 4) != 0;
    run_file.in_memory = (how & 8) != 0;
    run_file.length = OF(run_sizes);
    run_file.data = run_source(e, run_file.length);
    bool there = (how & 0xf0) != 0;
    bool good = !there || !fields_have(&e->fields, "content-encoding");
    int status = there ? run_file_part(e, &first, &length) : 404;
    uhttp_result result = uhttp_respond_file(e->c, there ? "file" : "gone", &options);
    if (!run_judge_response(e, result, good, 300))
        return;
    if (status == 206)
        snprintf(range, sizeof range, "bytes %u-%u/%u", (unsigned)first,
                 (unsigned)(first + length - 1), (unsigned)run_file.length);
    if (status == 416)
        snprintf(range, sizeof range, "bytes */%u", (unsigned)run_file.length);
    if (status == 206 || status == 416)
        fields_add(&e->fields, "Content-Range", range);
    if (status == 200 || status == 206 || status == 304) {
        fields_own(&e->fields, "ETag", "\"v1\"");
        fields_own(&e->fields, "Last-Modified", FILE_DATE);
        if (options.cache_control != NULL)
            fields_own(&e->fields, "Cache-Control", options.cache_control);
    }
    if (status == 200)
        fields_own(&e->fields, "Accept-Ranges", "bytes");
    if (status == 200 || status == 206)
        run_gave(e, status, how & 1 ? "x/option" : "x/file", run_file.data + first, length);
    else
        run_gave_error(e, status);
}

/*--- streams --------------------------------------------------------------------------------*/

static void run_began(exchange *e, int status, const char *type, body_kind kind)
{
    run_complete(e, status, type);
    e->at = STAGE_STREAMING;
    e->streamed = true;
    e->kind = kind;
    e->closes = e->closes || e->old;    /* its end is the end of the body */
    e->composed = 0;
}

static void run_stream_begin(exchange *e)
{
    int status = run_status();
    const char *type = run_type();
    bool good = status_is_good(status) && !status_has_no_body(status) &&
                (type == NULL || value_is_good(type));
    uhttp_result result = uhttp_stream_begin(e->c, status, type);
    if (run_judge_response(e, result, good, 0))
        run_began(e, status, type, BODY_BYTES);
}

static void run_live_begin(exchange *e, unsigned which)
{
    static const char *const types[] = { "text/event-stream", "application/x-ndjson" };
    static const body_kind kinds[] = { BODY_EVENTS, BODY_BYTES, BODY_PARTS };
    char type[96];
    uhttp_result result = which == 0   ? uhttp_sse_begin(e->c)
                          : which == 1 ? uhttp_ndjson_begin(e->c)
                                       : uhttp_multipart_begin(e->c);
    fields_remove(&e->fields, "content-type");
    if (!run_judge_response(e, result, true, 64))
        return;
    fields_own(&e->fields, "Cache-Control", "no-store");
    if (which == 0)
        fields_own(&e->fields, "X-Accel-Buffering", "no");
    snprintf(type, sizeof type, "multipart/x-mixed-replace; boundary=uhttp-%lu",
             (unsigned long)uhttp_id(e->c));
    run_began(e, 200, which < 2 ? types[which] : type, kinds[which]);
}

/* What fits the room is taken; else it is refused, and may be tried again. */
static bool run_judge_piece(uhttp_result result, bool good, size_t need, size_t room)
{
    world_check(false);
    if (!good)
        CHECK(result == UHTTP_ERR_INVALID);
    else if (result != UHTTP_OK)
        CHECK((result == UHTTP_ERR_AGAIN || result == UHTTP_ERR_MEMORY) && need > room);
    return result == UHTTP_OK;
}

static void run_write(exchange *e)
{
    size_t room = uhttp_send_room(e->c);
    uhttp_str data = run_data(e);
    uhttp_result result = uhttp_stream_write(e->c, data.ptr, data.len);
    if (run_judge_piece(result, true, is_head(e) ? 0 : data.len, room) && !is_head(e))
        text_add(&e->body, data.ptr, data.len);
}

static bool is_one_line(const char *s)
{
    return s == NULL || (strchr(s, '\r') == NULL && strchr(s, '\n') == NULL);
}

/* One line for a block of an event stream: what its fields said. */
static void account_event(text *t, const char *what, uhttp_str value)
{
    text_puts(t, what);
    text_add_lines(t, value.ptr, value.len);
    text_add(t, "\0", 1);
}

static void account_string(text *t, const char *what, const char *value)
{
    uhttp_str s = { value, value != NULL ? strlen(value) : 0 };
    if (value != NULL)
        account_event(t, what, s);
}

static void run_sse_send(exchange *e)
{
    uhttp_sse_event event;
    unsigned how = chance_byte();
    char retry[16];
    uhttp_str data = { NULL, 0 };
    memset(&event, 0, sizeof event);
    event.event = how & 1 ? run_string() : NULL;
    event.id = how & 2 ? run_string() : NULL;
    event.retry_ms = how & 4 ? 1000 + how : 0;
    if (how & 24)
        event.data = run_string();
    if ((how & 24) == 16) {             /* any bytes, so many */
        data = run_data(e);
        event.data = data.len > 0 ? data.ptr : "";
        event.data_length = data.len;
    }
    data.ptr = event.data;
    if (event.data_length == 0)
        data.len = event.data != NULL ? strlen(event.data) : 0;
    bool good = is_one_line(event.event) && is_one_line(event.id) &&
                (event.data != NULL ||
                 (event.event == NULL && (event.id != NULL || event.retry_ms > 0)));
    size_t room = uhttp_send_room(e->c);
    size_t need = 7 * (data.len + 1) + 600;     /* each byte may begin a line */
    uhttp_result result = uhttp_sse_send(e->c, &event);
    if (!run_judge_piece(result, good, is_head(e) ? 0 : need, room) || is_head(e))
        return;
    snprintf(retry, sizeof retry, "%u", (unsigned)event.retry_ms);
    account_string(&e->body, "event:", event.event);
    account_string(&e->body, "id:", event.id);
    account_string(&e->body, "retry:", event.retry_ms > 0 ? retry : NULL);
    if (event.data != NULL)
        account_event(&e->body, "data:", data);
    text_add(&e->body, "\n", 1);
}

static void run_sse_comment(exchange *e)
{
    const char *comment = chance_below(4) > 0 ? run_string() : NULL;
    size_t room = uhttp_send_room(e->c);
    uhttp_result result = uhttp_sse_comment(e->c, comment);
    size_t need = comment != NULL ? 4 * strlen(comment) + 10 : 10;
    if (!run_judge_piece(result, true, is_head(e) ? 0 : need, room) || is_head(e) ||
        comment == NULL || *comment == '\0')
        return;                 /* the server may send empty ones of its own */
    account_string(&e->body, ":", comment);
    text_add(&e->body, "\n", 1);
}

/* An event, or a row, whose data are JSON; one that is not sent must leave no trace. */
static void run_send_json(exchange *e, bool is_event)
{
    uhttp_json_writer w;
    unsigned how = chance_byte();
    uhttp_sse_event event;
    char json[64];
    memset(&event, 0, sizeof event);
    event.id = how & 1 ? run_string() : NULL;
    size_t room = uhttp_send_room(e->c);
    if (is_event)
        uhttp_json_begin_event(&w, e->c, &event);
    else
        uhttp_json_begin_row(&w, e->c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "n");
    uhttp_json_uint(&w, how);
    uhttp_json_key(&w, "raw");
    uhttp_json_raw(&w, "[1,\n2,\r3]", 9);
    if (how & 2)
        return;
    uhttp_json_object_end(&w);
    bool good = !is_event || is_one_line(event.id);
    uhttp_result result = is_event ? uhttp_json_send_event(&w) : uhttp_json_send_row(&w);
    size_t need = event.id != NULL ? strlen(event.id) + 100 : 100;
    if (!run_judge_piece(result, good, is_head(e) ? 0 : need, room) || is_head(e))
        return;
    snprintf(json, sizeof json, "{\"n\":%u,\"raw\":[1, 2, 3]}", how);
    if (is_event) {
        account_string(&e->body, "id:", event.id);
        account_string(&e->body, "data:", json);
    } else {
        text_puts(&e->body, json);
    }
    text_add(&e->body, "\n", 1);
}

static void run_send_row(exchange *e)
{
    const char *json = run_string();
    size_t room = uhttp_send_room(e->c);
    uhttp_result result = uhttp_ndjson_send(e->c, json);
    bool good = *json != '\0' && is_one_line(json);
    if (!run_judge_piece(result, good, is_head(e) ? 0 : strlen(json) + 1, room) || is_head(e))
        return;
    text_puts(&e->body, json);
    text_add(&e->body, "\n", 1);
}

static bool contains(uhttp_str data, const char *mark)
{
    size_t length = strlen(mark);
    for (size_t i = 0; i + length <= data.len; i++) {
        if (memcmp(data.ptr + i, mark, length) == 0)
            return true;
    }
    return false;
}

static void account_field(text *t, rr_text name, rr_text value)
{
    text_add(t, name.at, name.length);
    text_puts(t, ": ");
    text_add(t, value.at, value.length);
    text_puts(t, "\n");
}

static rr_text rr_string(const char *string)
{
    rr_text t = { (const uint8_t *)string, strlen(string) };
    return rr_trim(t);
}

static void account_strings(text *t, const char *name, const char *value)
{
    account_field(t, rr_string(name), rr_string(value));
}

static void run_multipart_frame(exchange *e)
{
    const char *type = run_type();
    uhttp_str data = run_data(e);
    char mark[48], length[24];
    snprintf(mark, sizeof mark, "--uhttp-%lu", (unsigned long)uhttp_id(e->c));
    if (chance_below(8) == 0) {
        data.ptr = mark;
        data.len = strlen(mark) - chance_below(2);
    }
    bool good = (type == NULL || value_is_good(type)) && !contains(data, mark);
    size_t room = uhttp_send_room(e->c);
    size_t need = fields_length(&e->frame) + data.len + (type != NULL ? strlen(type) : 0) + 200;
    uhttp_result result = uhttp_multipart_frame(e->c, type, data.ptr, data.len);
    if (run_judge_piece(result, good, is_head(e) ? 0 : need, room) && !is_head(e)) {
        snprintf(length, sizeof length, "%u", (unsigned)data.len);
        account_strings(&e->body, "Content-Length", length);
        if (type != NULL && !fields_have(&e->frame, "content-type"))
            account_strings(&e->body, "Content-Type", type);
        for (size_t i = 0; i < e->frame.count; i++)
            account_strings(&e->body, e->frame.at[i].name, e->frame.at[i].value);
        text_add(&e->body, data.ptr, data.len);
        text_puts(&e->body, "\n");
    }
    fields_clear(&e->frame);
}

static void run_stream_end(exchange *e)
{
    CHECK(uhttp_stream_end(e->c) == UHTTP_OK);
    e->at = STAGE_OVER;
    world_check(false);
}

static void run_stream_act(exchange *e)
{
    bool rows = fields_have(&e->fields, "content-type") && e->kind == BODY_BYTES;
    unsigned how = chance_byte();
    if (how >= 236) {
        run_stream_end(e);
    } else if (e->kind == BODY_EVENTS) {
        if (how < 150)
            run_sse_send(e);
        else if (how < 190)
            run_sse_comment(e);
        else
            run_send_json(e, true);
    } else if (e->kind == BODY_PARTS) {
        if (how < 90)
            run_add_header(e);
        else
            run_multipart_frame(e);
    } else if (rows && how >= 160) {    /* any stream takes rows */
        if (how < 200)
            run_send_row(e);
        else
            run_send_json(e, false);
    } else {
        run_write(e);
    }
}

/*--- the program ----------------------------------------------------------------------------*/

static void run_accept(exchange *e)
{
    if (e->at != STAGE_OFFERED)
        return;
    CHECK(uhttp_accept_body(e->c, 0) == UHTTP_OK);
    e->at = STAGE_ARRIVING;
    e->doomed = false;
    world_check(false);
}

static void run_close(exchange *e)
{
    CHECK(uhttp_close(e->c) == UHTTP_OK);
    run_callers[e->client].lost = true;
    e->at = STAGE_OVER;
    world_check(false);
}

static void run_answer(exchange *e)
{
    if (e->at != STAGE_READY)           /* of the body nobody wants to hear any more */
        e->may_close = true;
    switch (chance_below(15)) {
    case 0:
    case 1:
        run_respond_bytes(e, true);
        break;
    case 2:
        run_respond_bytes(e, false);
        break;
    case 3:
        run_respond_string(e);
        break;
    case 4:
        run_respond_error(e);
        break;
    case 5:
        run_respond_redirect(e);
        break;
    case 6:
        run_respond_not_allowed(e);
        break;
    case 7:
        run_respond_json(e, false);
        break;
    case 8:
    case 9:
        run_respond_file(e);
        break;
    case 10:
    case 11:
        run_stream_begin(e);
        break;
    default:
        run_live_begin(e, chance_below(3));
        break;
    }
}

static void run_act(exchange *e)
{
    run_pending = uh_buf_used(&e->c->tx);
    if (e->at == STAGE_SAID || e->at == STAGE_OVER)
        return;
    CHECK(e->c->told);
    unsigned how = chance_byte();
    if (how == 255)
        run_close(e);
    else if (e->at == STAGE_STREAMING)
        run_stream_act(e);
    else if (how < 80)
        run_add_header(e);
    else if (how < 95)
        run_set_cookie(e);
    else if (how < 110)
        run_accept(e);
    else if (how < 118)
        run_respond_json(e, true);
    else
        run_answer(e);
}

/* The request that is the program's; NULL: there is none. */
static exchange *run_held(caller *who)
{
    exchange *e = who->told > 0 ? &who->list[who->told - 1] : NULL;
    return e != NULL && e->at != STAGE_OVER ? e : NULL;
}

static exchange *run_hear(uhttp_conn *c)
{
    char url[16];
    char address[46];
    int port;
    caller *who = run_callers;
    CHECK(uhttp_socket_address(c, address, sizeof address, &port) > 0);
    while (who->p == NULL || who->p->number != port - 1000)
        CHECK(++who < run_callers + run_count);
    exchange *e = run_held(who);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
        CHECK(e == NULL && who->told < who->said);
        e = &who->list[who->told++];
        e->c = c;
        e->at = uhttp_event(c) == UHTTP_EVENT_REQUEST ? STAGE_READY : STAGE_OFFERED;
        snprintf(url, sizeof url, "/%u", e->number);
        CHECK(strcmp(uhttp_url(c), url) == 0 && strcmp(uhttp_method(c), e->method) == 0);
        return e;
    case UHTTP_EVENT_COMPLETE:
        CHECK(e != NULL && e->at == STAGE_ARRIVING);
        e->at = STAGE_READY;
        return e;
    case UHTTP_EVENT_WRITABLE:
        CHECK(e != NULL && e->at == STAGE_STREAMING);
        return e;
    default:
        FAIL("an event of something else");
    }
    return NULL;
}

/* One round of the loop; false: nothing moves any more. */
static bool run_step(void)
{
    run_give_up();
    uhttp_conn *c = world_step();
    run_last = c != NULL ? run_hear(c) : NULL;
    for (unsigned acts = c != NULL ? chance_below(5) : 0; acts > 0; acts--)
        run_act(run_last);
    return c != NULL || !world_is_quiet();
}

static void run_rest(void)
{
    for (unsigned steps = 0; steps < 5000; steps++) {
        if (!run_step())
            return;
    }
}

/*--- the clients ----------------------------------------------------------------------------*/

static void run_compose(caller *who)
{
    static const char *const methods[] = { "GET", "GET", "HEAD", "POST" };
    char line[64];
    unsigned how = chance_byte();
    unsigned more = chance_byte();
    if (who->said == EXCHANGES_MOST || who->p->fin)
        return;
    exchange *e = &who->list[who->said];
    e->client = (unsigned)(who - run_callers);
    e->number = who->said++;
    e->method = methods[how & 3];
    e->old = (how & 12) == 4;
    e->asks_close = (how & 0x70) == 0x10;
    e->asks_keep = !e->asks_close && (how & 0x80) != 0;
    e->closes = e->asks_close || (e->old && !e->asks_keep) ||
                e->number + 1 >= world_server->config.keep_alive_max_requests;
    snprintf(line, sizeof line, "%s /%u HTTP/1.%d\r\nHost: a\r\n", e->method, e->number,
             e->old ? 0 : 1);
    peer_will_say(who->p, line);
    if (e->asks_close || e->asks_keep)
        peer_will_say(who->p, e->asks_close ? "Connection: close\r\n"
                                            : "Connection: keep-alive\r\n");
    if (strcmp(e->method, "POST") != 0) {
        e->range = more % 11;
        e->condition = more / 11 % 11;
        if (e->range > 0)
            peer_will_say(who->p, "Range: ");
        peer_will_say(who->p, e->range > 0 ? run_ranges[e->range].text : "");
        peer_will_say(who->p, e->range > 0 ? "\r\n" : "");
        peer_will_say(who->p, run_conditions[e->condition].text);
        peer_will_say(who->p, "\r\n");
        return;
    }
    e->expects = (more & 3) == 0 && !e->old;
    bool chunked = (more & 12) == 4 && !e->old;
    peer_will_say(who->p, e->expects ? "Expect: 100-continue\r\n" : "");
    peer_will_say(who->p, chunked ? "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                                  : "Content-Length: 5\r\n\r\nhello");
}

static caller *run_some_caller(void)
{
    caller *who = run_count > 0 ? &run_callers[chance_below(run_count)] : NULL;
    return who != NULL && !who->p->closed ? who : NULL;
}

static void run_connect(void)
{
    unsigned open = 0;
    for (unsigned i = 0; i < run_count; i++)
        open += run_callers[i].p->closed ? 0 : 1;
    if (run_count == CLIENTS_MOST || run_attempts == PEERS_MAX ||
        open == world_server->config.max_connections)
        return;
    run_attempts++;
    caller *who = &run_callers[run_count];
    who->p = world_peer();
    if (!world_accept(who->p)) {
        who->p = NULL;
        return;
    }
    run_count++;
    run_compose(who);
    who->p->arrived = who->p->in_length;
}

/* How fast it takes what it is sent. */
static void run_dial(peer *p)
{
    static const size_t sizes[] = { 0, 1, 3, 20, 100, 500, 2000, SIZE_MAX };
    unsigned how = chance_byte();
    size_t size = sizes[how >> 3 & 7];
    if ((how & 7) < 3)
        p->gulp = size == SIZE_MAX ? 0 : size;
    else if ((how & 7) < 6)
        p->window = size;
    else
        p->stalls = how >> 3 & 3 ? 1 + (how >> 3 & 3) : 0;
}

static void run_client_acts(unsigned action)
{
    caller *who = run_some_caller();
    if (who == NULL)
        return;
    peer *p = who->p;
    switch (action) {
    case 0:
    case 1:
    case 2:
        run_compose(who);
        p->arrived = p->in_length;
        break;
    case 3:
        run_compose(who);
        break;
    case 4:
        p->arrived += peer_least(chance_byte(), p->in_length - p->arrived);
        break;
    case 5:
        p->arrived = p->in_length;
        p->fin = p->fin || chance_below(4) == 0;
        break;
    default:
        run_dial(p);
        break;
    }
}

/*--- what came out --------------------------------------------------------------------------*/

static bool is_of_framing(rr_text name)
{
    return rr_is_word(name, "content-length") || rr_is_word(name, "transfer-encoding") ||
           rr_is_word(name, "connection") || rr_is_word(name, "keep-alive");
}

/* Whose a field is that was found. */
enum { NOBODYS, DEFAULT, PROGRAMS };

/* Finds a field among those that are nobody's yet, behind those of its name that the program
 * gave before it. */
static bool check_field(const rr_response *r, uint8_t *whose, const field *f)
{
    rr_text value = rr_string(f->value);
    size_t from = 0;
    for (size_t i = 0; i < r->field_count && !f->is_default; i++) {
        if (whose[i] == PROGRAMS && rr_is(r->fields[i].name, f->name))
            from = i + 1;
    }
    for (size_t i = from; i < r->field_count; i++) {
        const rr_field *there = &r->fields[i];
        if (whose[i] != NOBODYS || !rr_is(there->name, f->name) ||
            there->value.length != value.length ||
            memcmp(there->value.at, value.at, value.length) != 0)
            continue;
        whose[i] = f->is_default ? DEFAULT : PROGRAMS;
        return true;
    }
    return false;
}

/* The response has these fields, and no others but those that frame it. */
static void check_fields(const exchange *e, const rr_response *r)
{
    uint8_t whose[RR_FIELDS_MOST] = { NOBODYS };
    for (size_t i = 0; i < e->fields.count; i++) {
        if (e->fields.at[i].is_default)
            CHECK(check_field(r, whose, &e->fields.at[i]));
    }
    for (size_t i = 0; i < e->fields.count; i++) {
        if (!e->fields.at[i].is_default)
            CHECK(check_field(r, whose, &e->fields.at[i]));
    }
    for (size_t i = 0; i < r->field_count; i++)
        CHECK(whose[i] != NOBODYS || is_of_framing(r->fields[i].name));
}

static void check_framing(const exchange *e, const rr_response *r)
{
    bool none = e->status == 204 || e->status == 304;
    bool hints = world_server->config.keep_alive_hint;
    CHECK(r->has_coding == (e->streamed && !e->old));
    CHECK(r->has_length == (!e->streamed && !none));
    CHECK(!r->has_length || r->length == e->length);
    CHECK(r->extensions == 0 && r->trailers == 0);
    CHECK(rr_count(r, "connection") == (r->close || e->old || hints ? 1u : 0u));
    CHECK(r->close || rr_count(r, "connection") == 0 || r->keep_alive);
    CHECK(rr_count(r, "keep-alive") == (hints && !r->close ? 1u : 0u));
    CHECK(rr_count(r, "keep-alive") == 0 || rr_is(rr_value(r, "keep-alive"), "timeout=29"));
}

/* The fields of one event, until the empty line that sends it. */
typedef struct event_read {
    text parts[5];
    bool there[5];
} event_read;

static const char *const event_names[] = { ":", "event:", "id:", "retry:", "data:" };

/* Gives an account of it; of a comment that says nothing there is none. */
static void event_dispatch(event_read *event, text *account)
{
    bool any = false;
    for (int i = 0; i < 5; i++) {
        uhttp_str s = { event->parts[i].at, event->parts[i].length };
        if (event->there[i] && (i > 0 || s.len > 0)) {
            account_event(account, event_names[i], s);
            any = true;
        }
        event->there[i] = false;
        event->parts[i].length = 0;
    }
    if (any)
        text_add(account, "\n", 1);
}

/* WHATWG HTML section 9.2.6; a field that it does not know is a fault here. */
static void event_line(event_read *event, rr_text line)
{
    for (int i = 0; i < 5; i++) {
        size_t n = strlen(event_names[i]);
        if (line.length < n || memcmp(line.at, event_names[i], n) != 0)
            continue;
        CHECK(!event->there[i] || i == 0 || i == 4);
        if (event->there[i])
            text_add(&event->parts[i], "\n", 1);
        event->there[i] = true;
        if (n < line.length && line.at[n] == ' ')
            n++;
        text_add(&event->parts[i], line.at + n, line.length - n);
        return;
    }
    FAIL("a field of an event");
}

static void read_events(rr_text body, text *account)
{
    event_read event;
    const uint8_t *end = body.at + body.length;
    memset(&event, 0, sizeof event);
    for (const uint8_t *p = body.at; p < end; p++) {
        const uint8_t *begin = p;
        while (p < end && *p != '\n')
            p++;
        CHECK(p < end);
        rr_text line = rr_between(begin, p);
        CHECK(memchr(begin, '\r', line.length) == NULL);
        if (line.length == 0)
            event_dispatch(&event, account);
        else
            event_line(&event, line);
    }
    for (int i = 0; i < 5; i++) {
        CHECK(!event.there[i]);
        text_free(&event.parts[i]);
    }
}

/* RFC 2046 section 5.1.1, without preamble and epilogue */
static void read_parts(rr_text body, rr_text boundary, text *account)
{
    char mark[80];
    rr_response nobody;
    rr_reader in = { body.at, body.at + body.length, &nobody };
    int n = snprintf(mark, sizeof mark, "\r\n--%.*s", (int)boundary.length,
                     (const char *)boundary.at);
    CHECK(n > 4 && n < (int)sizeof mark);
    size_t length = (size_t)n;
    if (body.length == 0)
        return;
    CHECK(body.length > length && memcmp(body.at, mark + 2, length - 2) == 0);
    in.at += length - 2;
    for (;;) {
        rr_field f;
        bool ended = false;
        uint64_t size = UINT64_MAX;
        CHECK(in.end - in.at >= 2);
        if (memcmp(in.at, "--", 2) == 0) {
            CHECK(in.end - in.at == 4 && memcmp(in.at, "--\r\n", 4) == 0);
            return;
        }
        CHECK(memcmp(in.at, "\r\n", 2) == 0);
        in.at += 2;
        for (;;) {
            CHECK(rr_field_line(&in, &f, &ended));
            if (ended)
                break;
            account_field(account, f.name, f.value);
            rr_text value = f.value;
            if (rr_is_word(f.name, "content-length"))
                CHECK(size == UINT64_MAX && rr_number(&value, &size) && value.length == 0);
        }
        const uint8_t *data = in.at;
        while (in.at + length <= in.end && memcmp(in.at, mark, length) != 0)
            in.at++;
        CHECK(in.at + length <= in.end && (uint64_t)(in.at - data) == size);
        text_add(account, data, (size_t)size);
        text_puts(account, "\n");
        in.at += length;
    }
}

static void check_body(const exchange *e, const rr_response *r)
{
    static const char multipart[] = "multipart/x-mixed-replace; boundary=";
    text account = { NULL, 0, 0 };
    rr_text body = rr_between(r->body, r->body + r->body_length);
    rr_text type = rr_value(r, "content-type");
    if (r->framing == RR_NO_BODY)
        return;
    switch (e->kind) {
    case BODY_BYTES:
        text_add(&account, body.at, body.length);
        break;
    case BODY_EVENTS:
        read_events(body, &account);
        break;
    case BODY_PARTS:
        CHECK(type.length > sizeof multipart &&
              memcmp(type.at, multipart, sizeof multipart - 1) == 0);
        type = rr_between(type.at + sizeof multipart - 1, type.at + type.length);
        read_parts(body, type, &account);
        break;
    }
    CHECK(account.length == e->body.length);
    CHECK(account.length == 0 || memcmp(account.at, e->body.at, account.length) == 0);
    text_free(&account);
}

static void check_response(const exchange *e, const rr_response *r)
{
    CHECK(r->minor == 1);
    if (e->refused && r->status == 503) {   /* there was no room for the 500 */
        CHECK(run_buffer > 0 || run_limit() < 1000);
        CHECK(r->field_count == 2 && r->has_length && r->length == 0 && r->close);
        return;
    }
    CHECK(r->status == e->status);
    CHECK(rr_is(r->reason, uhttp_status_phrase(r->status)));
    check_framing(e, r);
    check_fields(e, r);
    check_body(e, r);
}

/* The connection was lost within this one: what came of its body was given, too. */
static void check_cut(const exchange *e, const rr_response *r)
{
    CHECK(r->body_length == 0 || e->kind != BODY_BYTES || e->refused ||
          (r->body_length <= e->body.length &&
           memcmp(r->body, e->body.at, r->body_length) == 0));
}

/* The next response that is not for the time being; of those there may be one. */
static rr_outcome check_next(const exchange *e, rr_text *rest, bool at_end, rr_response *r)
{
    rr_request asked = { is_head(e), e->old ? 0 : 1 };
    rr_outcome how = rr_read(rest->at, rest->length, at_end, &asked, r);
    if (how == RR_WHOLE && r->status < 200) {
        CHECK(r->status == 100 && e->expects && r->field_count == 0 && r->minor == 1);
        *rest = rr_between(rest->at + r->size, rest->at + rest->length);
        how = rr_read(rest->at, rest->length, at_end, &asked, r);
        CHECK(how != RR_WHOLE || r->status >= 200);
    }
    if (how == RR_BROKEN)
        snprintf(world_what, sizeof world_what, "response %u: %s", e->number, r->why);
    CHECK(how != RR_BROKEN);
    return how;
}

static void check_caller(const caller *who)
{
    rr_response r;
    const peer *p = who->p;
    bool at_end = p->shut || p->closed;
    bool ends = false;
    rr_text rest = { p->out, p->out_length };
    r.body = (uint8_t *)malloc(p->out_length + 1);
    CHECK(r.body != NULL);
    for (unsigned i = 0; i < who->told; i++) {
        const exchange *e = &who->list[i];
        bool last = i + 1 == who->told;
        CHECK(!ends);
        rr_outcome how = check_next(e, &rest, at_end, &r);
        if (who->lost && (how != RR_WHOLE || (last && r.framing == RR_UNTIL_CLOSE))) {
            check_cut(e, &r);
            free(r.body);
            return;
        }
        CHECK(how == RR_WHOLE);
        check_response(e, &r);
        ends = r.close;
        CHECK(ends || !e->closes);
        CHECK(!ends || e->closes || e->may_close || (p->fin && i + 1 == who->said));
        rest = rr_between(rest.at + r.size, rest.at + rest.length);
    }
    CHECK(rest.length == 0);
    CHECK(who->lost || ends || who->told == who->said);
    CHECK(at_end == (who->lost || ends || p->fin));
    free(r.body);
}

/*--- one run --------------------------------------------------------------------------------*/

static void run_one_action(void)
{
    unsigned action = chance_below(32);
    if (action < 3) {
        run_connect();
    } else if (action < 12) {
        run_client_acts(action - 3);
    } else if (action < 16) {
        run_step();
    } else if (action < 19) {
        run_rest();
    } else {
        caller *who = run_some_caller();
        exchange *e = who != NULL ? run_held(who) : NULL;
        if (e != NULL)
            run_act(e);
    }
}

/* Ends what the program holds; false: it holds nothing. */
static bool run_end_held(void)
{
    bool any = false;
    for (unsigned i = 0; i < run_count; i++) {
        exchange *e = run_held(&run_callers[i]);
        if (e == NULL)
            continue;
        any = true;
        CHECK(e->at != STAGE_ARRIVING);
        run_pending = uh_buf_used(&e->c->tx);
        if (e->at == STAGE_STREAMING) {
            run_stream_end(e);
            continue;
        }
        e->may_close = e->may_close || e->at == STAGE_OFFERED;
        run_respond(e, uhttp_respond(e->c, 200, "text/plain", "the end", 7), true, 200,
                    "text/plain", "the end", 7, true);
        if (e->at != STAGE_OVER)
            run_close(e);
    }
    return any;
}

/* All is well now: what was said arrives, what is held is answered, what is sent is taken. */
static void run_finish(void)
{
    for (unsigned i = 0; i < run_count; i++) {
        peer *p = run_callers[i].p;
        p->window = SIZE_MAX;
        p->stalls = 0;
        p->gulp = 0;
        p->arrived = p->in_length;
    }
    do {
        run_rest();
    } while (run_end_held());
    for (unsigned i = 0; i < run_count; i++)
        check_caller(&run_callers[i]);
    for (unsigned i = 0; i < run_count; i++)
        run_callers[i].p->fin = true;
    run_rest();
    CHECK(run_files_open == 0);
}

static void run_open(void)
{
    static const size_t limits[] = { 0, 600, 2000, 200000 };
    static const size_t buffers[] = { 512, 700, 1024, 4096 };
    static const char *const defaults[] = {
        NULL, "X-Default: yes\r\n",
        "Server: fuzz\r\nVary: Origin\r\nContent-Type: text/x-default\r\n"
        "Cache-Control: no-cache\r\n"
        "Content-Security-Policy: default-src 'self'\r\n",
        "Set-Cookie: d=1\r\nX-A: default\r\nETag: \"default\"\r\n"
    };
    unsigned how = chance_byte();
    unsigned more = chance_byte();
    uhttp_config config = world_config();
    config.max_connections = 2;
    config.max_send_buffer = limits[how & 3];
    config.default_headers = run_defaults = defaults[how >> 2 & 3];
    config.event_mode = (how & 16) != 0;
    config.keep_alive_hint = (how & 32) != 0;
    config.keep_alive_max_requests = how & 64 ? 3 : 0;
    run_buffer = how & 128 ? buffers[more & 3] : 0;
    config.file_chunk_size = more & 4 ? 50 : 0;
    config.files = &run_files;
    world_waits = (more & 8) != 0;
    world_open(&config, run_buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length > 600)
        return 0;
    chance_at = bytes;
    chance_end = bytes + length;
    memset(run_callers, 0, sizeof run_callers);
    run_count = run_attempts = 0;
    run_last = NULL;
    run_open();
    while (chance_is_left())
        run_one_action();
    run_finish();
    world_close();
    world_waits = false;
    for (unsigned i = 0; i < run_count; i++) {
        for (unsigned k = 0; k < run_callers[i].said; k++) {
            exchange *e = &run_callers[i].list[k];
            fields_clear(&e->fields);
            fields_clear(&e->frame);
            text_free(&e->body);
        }
    }
    return 0;
}
