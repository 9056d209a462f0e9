/* The connection machine, driven through the public interface over peers made of byte arrays.
 *
 *   1 scripts     each request script is replayed cut at every byte, through every bottleneck,
 *                 with and without FIN, in both memory and both event modes, and must give one
 *                 transcript
 *   2 deadlines   every row of the table, by moving the clock over its wrap
 *   3 ownership   who may do what with a connection, and when
 *   4 memory      every allocation fails once; fixed memory has edges
 *   5 fairness    counted in turns
 *   6 chance      random programs against random peers; see fuzz_machine.c
 *
 * MACHINE_RUNS in the environment asks for so many random runs, MACHINE_SEED for others.
 */
#include "fuzz_machine.c"
#include "growing_text.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static bool text_same(const text *a, const text *b)
{
    return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

/* Expands up to a closing brace or the end; what stands behind it. */
static const char *text_expand_some(text *to, const char *script)
{
    while (*script != '\0' && *script != '}') {
        if (*script != '{') {
            text_add(to, script++, 1);
            continue;
        }
        char *star;
        text inner = { NULL, 0, 0 };
        unsigned long count = strtoul(script + 1, &star, 10);
        script = text_expand_some(&inner, star + 1);
        while (count-- > 0)
            text_add(to, inner.data, inner.length);
        text_free(&inner);
    }
    return *script == '}' ? script + 1 : script;
}

/* "{5*ab}" becomes "ababababab", also inside another: what scripts repeat is written once. */
static void text_expand(text *to, const char *script)
{
    text_add(to, "", 0);
    text_expand_some(to, script);
}

/*==============================================================================
 * 1 SCRIPTS
 *============================================================================*/

/*--- the program: its answer follows from the path ------------------------------------------*/

/* One request the program has not finished, by slot. */
typedef struct work {
    uint64_t id;                /* 0: none */
    enum { WORK_LATER, WORK_STREAM, WORK_READING, WORK_SLOW } kind;
    unsigned piece, pieces;     /* of a stream */
    uhttp_result (*write)(uhttp_conn *c, unsigned number);
    text body;                  /* of a streamed request; of a form, what is in it */
    uhttp_formdata form;
    char headers[128];          /* of a part of it */
} work;

static work program_work[PEERS_MAX];
static text program_events;             /* what it was told, in a form no network can change */
static uint64_t program_moved;          /* bytes in and out when it last heard something */
static bool program_may_lack_memory;    /* allocations are made to fail */
static char program_pattern[100000];

static work *program_work_of(const uhttp_conn *c) { return &program_work[uh_conn_slot(c)]; }

static bool path_is(const uhttp_conn *c, const char *path)
{
    return strcmp(uhttp_path(c), path) == 0;
}

/* Is a body for this path streamed? To /thousand and /few it may have 1000 bytes. */
static bool path_streams(const uhttp_conn *c)
{
    return path_is(c, "/in") || path_is(c, "/slow") || path_is(c, "/thousand") ||
           path_is(c, "/form");
}

/* The number behind a prefix of the path; -1: another path. */
static long path_number(const uhttp_conn *c, const char *prefix)
{
    size_t length = strlen(prefix);
    const char *path = uhttp_path(c);
    return strncmp(path, prefix, length) == 0 ? strtol(path + length, NULL, 10) : -1;
}

/* An answer has been tried. Without memory for it a smaller one is, then none. */
static void program_tried(uhttp_conn *c, uhttp_result result)
{
    if (result == UHTTP_ERR_MEMORY && program_may_lack_memory)
        result = uhttp_respond_error(c, 503);
    if (result == UHTTP_ERR_MEMORY && program_may_lack_memory)
        result = uhttp_close(c);
    CHECK(result == UHTTP_OK);
}

static void program_answer_ask(uhttp_conn *c)
{
    static text t;
    const char *name;
    const char *value;
    text_clear(&t);
    text_print(&t, "%s|%s|%s|%s|%s|", uhttp_method(c), uhttp_url(c), uhttp_path(c),
               uhttp_protocol(c), uhttp_host(c) != NULL ? uhttp_host(c) : "-");
    for (size_t i = 0; uhttp_header_at(c, i, &name, &value); i++)
        text_print(&t, "%s=%s;", name, value);
    CHECK(!uhttp_header_at(c, uhttp_header_count(c), NULL, NULL));
    for (size_t i = 0; uhttp_query_at(c, i, &name, &value); i++)
        text_print(&t, "%s=%s&", name, value);
    CHECK(!uhttp_query_at(c, uhttp_query_count(c), NULL, NULL));
    value = uhttp_query(c, "a");
    text_print(&t, "|%s|%s", value != NULL ? value : "-",
               uhttp_header(c, "x-test") != NULL ? uhttp_header(c, "X-TEST") : "-");
    program_tried(c, uhttp_respond_text(c, 200, t.data));
}

static uhttp_result write_piece(uhttp_conn *c, unsigned number)
{
    char piece[64];
    int n = snprintf(piece, sizeof piece, "piece %06u of a stream of many\n", number);
    return uhttp_stream_write(c, piece, (size_t)n);
}

/* Now and then a comment, now and then data larger than a block. */
static uhttp_result write_event(uhttp_conn *c, unsigned number)
{
    char id[16];
    uhttp_sse_event event;
    memset(&event, 0, sizeof event);
    if (number % 7 == 3)
        return uhttp_sse_comment(c, "nothing\nnew");
    snprintf(id, sizeof id, "%u", number);
    event.id = id;
    event.event = number % 3 == 0 ? "tick" : NULL;
    event.data = program_pattern;
    event.data_length = number % 13 == 12 ? 2500 : number % 60 + 1;
    return uhttp_sse_send(c, &event);
}

static uhttp_result write_line(uhttp_conn *c, unsigned number)
{
    char line[64];
    snprintf(line, sizeof line, "{\"number\":%u,\"text\":\"\\n\"}", number);
    CHECK(uhttp_ndjson_send(c, "[1,\n2]") == UHTTP_ERR_INVALID);
    return uhttp_ndjson_send(c, line);
}

/* A row is dropped and built again wherever room ends in it. */
static uhttp_result write_row(uhttp_conn *c, unsigned number)
{
    uhttp_json_writer w;
    uhttp_json_begin_row(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "number");
    uhttp_json_uint(&w, number);
    uhttp_json_key(&w, "text");
    uhttp_json_string_n(&w, program_pattern, number % 11 == 10 ? 2100 : number % 50);
    uhttp_json_object_end(&w);
    return uhttp_json_send_row(&w);
}

/* Every third has a field, and some are larger than a block. */
static uhttp_result write_frame(uhttp_conn *c, unsigned number)
{
    if (number % 3 == 1) {
        uhttp_result result = uhttp_add_header(c, "X-Number", number % 2 ? "odd" : "even");
        if (result != UHTTP_OK)
            return result;
    }
    return uhttp_multipart_frame(c, number % 4 == 0 ? NULL : "text/x", program_pattern,
                                 number % 5 == 4 ? 3000 : number * 13 % 100);
}

static const struct {
    const char *prefix;
    uhttp_result (*begin)(uhttp_conn *c);
    uhttp_result (*write)(uhttp_conn *c, unsigned number);
} stream_kinds[] = {
    { "/events/", uhttp_sse_begin, write_event },
    { "/lines/", uhttp_ndjson_begin, write_line },
    { "/rows/", uhttp_ndjson_begin, write_row },
    { "/frames/", uhttp_multipart_begin, write_frame },
};

/* Goes on with a stream until it is done or has no room; true: something was written. */
static bool program_stream(uhttp_conn *c, work *w)
{
    unsigned before = w->piece;
    uhttp_result result = UHTTP_OK;
    while (w->piece < w->pieces && result == UHTTP_OK) {
        result = w->write(c, w->piece);
        w->piece += result == UHTTP_OK ? 1 : 0;
    }
    if (result == UHTTP_ERR_MEMORY && program_may_lack_memory) {
        w->id = 0;
        CHECK(uhttp_close(c) == UHTTP_OK);
        return true;
    }
    CHECK(result == UHTTP_OK || result == UHTTP_ERR_AGAIN);
    if (w->piece == w->pieces) {
        w->id = 0;
        CHECK(uhttp_stream_end(c) == UHTTP_OK);
        return true;
    }
    return w->piece > before;
}

static void program_begin_stream(uhttp_conn *c, uhttp_result result, unsigned pieces,
                                 uhttp_result (*write)(uhttp_conn *c, unsigned number))
{
    work *w = program_work_of(c);
    if (result != UHTTP_OK) {
        program_tried(c, result);
        return;
    }
    w->id = uhttp_id(c);
    w->kind = WORK_STREAM;
    w->piece = 0;
    w->pieces = pieces;
    w->write = write;
    program_stream(c, w);
}

static void program_answer_fields(uhttp_conn *c)
{
    if (uhttp_add_header(c, "X-One", "1") != UHTTP_OK ||
        uhttp_add_header(c, "X-Two", "") != UHTTP_OK)
        CHECK(program_may_lack_memory);
    CHECK(uhttp_add_header(c, "Content-Length", "3") == UHTTP_ERR_INVALID);
    CHECK(uhttp_add_header(c, "X-Evil", "a\r\nb: c") == UHTTP_ERR_INVALID);
    program_tried(c, uhttp_respond_text(c, 200, "fields"));
}

static void program_report(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    uhttp_json_array_begin(&w);
    for (int i = 0; i < 300; i++)
        uhttp_json_int(&w, i);
    uhttp_json_array_end(&w);
    if (uhttp_add_header(c, "X-Late", "added behind the text") != UHTTP_OK)
        CHECK(program_may_lack_memory);
    program_tried(c, uhttp_json_respond(&w, 200));
}

static void program_cut_stream(uhttp_conn *c)
{
    uhttp_result result = uhttp_stream_begin(c, 200, NULL);
    if (result != UHTTP_OK) {
        program_tried(c, result);
        return;
    }
    CHECK(uhttp_stream_write(c, "only this", 9) != UHTTP_ERR_STATE);
    CHECK(uhttp_close(c) == UHTTP_OK);
}

/* A stream of one of the kinds; false: the path asks for another thing. */
static bool program_began_stream(uhttp_conn *c)
{
    for (size_t i = 0; i < sizeof stream_kinds / sizeof stream_kinds[0]; i++) {
        long pieces = path_number(c, stream_kinds[i].prefix);
        if (pieces < 0)
            continue;
        program_begin_stream(c, stream_kinds[i].begin(c), (unsigned)pieces,
                             stream_kinds[i].write);
        return true;
    }
    return false;
}

/* Answers a request whose body, if it has one, is collected, dropped or unwanted. */
static void program_answer(uhttp_conn *c)
{
    work *w = program_work_of(c);
    size_t length = 0;
    if (path_is(c, "/hello"))
        program_tried(c, uhttp_respond_text(c, 200, "hello"));
    else if (path_is(c, "/html"))
        program_tried(c, uhttp_respond_html(c, 200, "<p>hello"));
    else if (path_is(c, "/json"))
        program_tried(c, uhttp_respond_json(c, 201, "[1]"));
    else if (path_number(c, "/n/") >= 0)
        program_tried(c, uhttp_respond(c, 200, "text/x", program_pattern,
                                       (size_t)path_number(c, "/n/")));
    else if (path_number(c, "/static/") >= 0)
        program_tried(c, uhttp_respond_static(c, 200, NULL, program_pattern,
                                              (size_t)path_number(c, "/static/")));
    else if (path_number(c, "/error/") >= 0)
        program_tried(c, uhttp_respond_error(c, (int)path_number(c, "/error/")));
    else if (path_is(c, "/report"))
        program_report(c);
    else if (path_is(c, "/redirect"))
        program_tried(c, uhttp_respond_redirect(c, 0, "/hello?to=here"));
    else if (path_is(c, "/fields"))
        program_answer_fields(c);
    else if (path_is(c, "/wish")) {
        CHECK(uhttp_add_header(c, "Connection", "close") == UHTTP_OK);
        program_tried(c, uhttp_respond_text(c, 200, "the last"));
    } else if (path_number(c, "/stream/") >= 0)
        program_begin_stream(c, uhttp_stream_begin(c, 200, "text/plain"),
                             (unsigned)path_number(c, "/stream/"), write_piece);
    else if (program_began_stream(c))
        return;
    else if (path_is(c, "/cut"))
        program_cut_stream(c);
    else if (path_is(c, "/close"))
        CHECK(uhttp_close(c) == UHTTP_OK);
    else if (path_is(c, "/later")) {
        w->id = uhttp_id(c);
        w->kind = WORK_LATER;
    } else if (path_is(c, "/echo")) {
        const void *body = uhttp_body(c, &length);
        program_tried(c, uhttp_respond(c, 200, NULL, body, length));
    } else if (path_streams(c)) {
        char line[64];
        unsigned sum = 0;
        for (size_t i = 0; i < w->body.length; i++)
            sum = sum * 31 + (unsigned char)w->body.data[i];
        snprintf(line, sizeof line, "%lu bytes %08x", (unsigned long)w->body.length, sum);
        program_tried(c, uhttp_respond_text(c, 200, line));
    } else if (path_is(c, "/refuse") || path_is(c, "/early"))
        program_tried(c, uhttp_respond_text(c, 403, "no"));
    else
        program_answer_ask(c);
}

static void program_begin_body(uhttp_conn *c, work *w)
{
    text_clear(&w->body);
    if (path_is(c, "/form"))
        CHECK(uhttp_formdata_begin(&w->form, uhttp_content_type(c), w->headers,
                                   sizeof w->headers) == UHTTP_OK);
}

/* A piece of a body: a form is taken apart. */
static void program_take(uhttp_conn *c, work *w, const void *piece, size_t length)
{
    uhttp_formdata_event event;
    if (!path_is(c, "/form")) {
        text_add(&w->body, piece, length);
        return;
    }
    CHECK(uhttp_formdata_feed(&w->form, piece, length) == UHTTP_OK);
    while ((event = uhttp_formdata_next(&w->form)) != UHTTP_FORMDATA_MORE) {
        if (event == UHTTP_FORMDATA_PART)
            text_print(&w->body, "<%s %s>", w->form.name,
                       w->form.filename != NULL ? w->form.filename : "-");
        else if (event == UHTTP_FORMDATA_DATA)
            text_add(&w->body, w->form.data.ptr, w->form.data.len);
        else
            text_print(&w->body, "<%d>", (int)event);
    }
}

/* The request is offered with its body still to come; what is done follows from the path. */
static void program_offer(uhttp_conn *c)
{
    work *w = program_work_of(c);
    if (path_is(c, "/refuse")) {
        program_answer(c);
    } else if (path_streams(c) || path_is(c, "/early")) {
        program_begin_body(c, w);
        CHECK(uhttp_accept_body_streaming(c, path_is(c, "/thousand") ? 1000 : 0) == UHTTP_OK);
        w->kind = path_is(c, "/slow") ? WORK_SLOW : WORK_READING;
        w->id = path_is(c, "/slow") ? uhttp_id(c) : 0;
    } else {
        CHECK(uhttp_accept_body(c, path_is(c, "/few") ? 1000 : 0) == UHTTP_OK);
    }
}

static bool program_read(uhttp_conn *c)
{
    size_t length;
    const void *piece = uhttp_read_buffer(c, &length);
    CHECK((piece != NULL) == (length > 0));
    program_take(c, program_work_of(c), piece, length);
    return length > 0;
}

/* The body is whole: notes it and what it belongs to. */
static void program_complete(uhttp_conn *c)
{
    work *w = program_work_of(c);
    if (path_streams(c)) {
        w->id = 0;
        while (program_read(c)) { }
        CHECK(uhttp_bytes_received(c) == w->body.length || path_is(c, "/form"));
    } else {
        size_t length = 0;
        const char *body = (const char *)uhttp_body(c, &length);
        CHECK(body != NULL || path_is(c, "/early"));
        CHECK(body == NULL || body[length] == '\0');
        text_clear(&w->body);
        text_add(&w->body, body, length);
    }
    CHECK(uhttp_is_loaded(c) && uhttp_content_length(c) >= 0);
    text_print(&program_events, "COMPLETE %lu ", (unsigned long)uhttp_bytes_received(c));
    text_add(&program_events, w->body.data, w->body.length);
    text_add(&program_events, "\n", 1);
    program_answer(c);
}

/* REQUEST with a body is read as HEADERS, accept, COMPLETE. */
static void program_request(uhttp_conn *c)
{
    CHECK(uhttp_is_loaded(c));
    if (uhttp_body(c, NULL) == NULL) {
        CHECK(uhttp_content_length(c) == 0);
        text_print(&program_events, "REQUEST %s %s\n", uhttp_method(c), uhttp_path(c));
        program_answer(c);
        return;
    }
    text_print(&program_events, "HEADERS %s %s\n", uhttp_method(c), uhttp_path(c));
    if (path_is(c, "/refuse")) {
        program_answer(c);
        return;
    }
    work *w = program_work_of(c);
    size_t length;
    const void *body = uhttp_body(c, &length);
    CHECK(((const char *)body)[length] == '\0');
    program_begin_body(c, w);
    program_take(c, w, body, length);
    text_print(&program_events, "COMPLETE %lu ", (unsigned long)length);
    text_add(&program_events, w->body.data, w->body.length);
    text_add(&program_events, "\n", 1);
    program_answer(c);
}

static void program_error(uhttp_conn *c)
{
    const char *why = "";
    int status = uhttp_error(c, &why);
    program_work_of(c)->id = 0;
    CHECK(status >= 400 && status < 600 && why != NULL && *why != '\0');
    text_print(&program_events, "ERROR %d\n", status);
    if (strcmp(uhttp_query(c, "on") != NULL ? uhttp_query(c, "on") : "", "own") == 0)
        program_tried(c, uhttp_respond_text(c, 422, "my own words"));
}

static void program_hear(uhttp_conn *c)
{
    work *w = program_work_of(c);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_WS_REQUEST:
        program_request(c);
        break;
    case UHTTP_EVENT_HEADERS:
        text_print(&program_events, "HEADERS %s %s\n", uhttp_method(c), uhttp_path(c));
        program_offer(c);
        break;
    case UHTTP_EVENT_DATA:
        if (path_is(c, "/early"))
            program_answer(c);
        else if (w->kind == WORK_READING)
            program_read(c);
        break;
    case UHTTP_EVENT_COMPLETE:
        program_complete(c);
        break;
    case UHTTP_EVENT_ERROR:
        program_error(c);
        break;
    case UHTTP_EVENT_WRITABLE:
        CHECK(w->id == uhttp_id(c) && w->kind == WORK_STREAM);
        program_stream(c, w);
        break;
    case UHTTP_EVENT_CLOSED:
        text_print(&program_events, "CLOSED\n");
        w->id = 0;
        break;
    case UHTTP_EVENT_WS_MESSAGE:
    case UHTTP_EVENT_WS_CHUNK_FIRST:
    case UHTTP_EVENT_WS_CHUNK_NEXT:
    case UHTTP_EVENT_WS_CHUNK_LAST:
    case UHTTP_EVENT_WS_PING:
    case UHTTP_EVENT_WS_CLOSE:
        FAIL("nobody has accepted a WebSocket");
        break;
    case UHTTP_EVENT_NONE:
        FAIL("an event has a name");
        break;
    }
}

/* Nothing moves any more: goes on with what was put off. True: something was done. */
static bool program_goes_on(void)
{
    bool done = false;
    for (int i = 0; i < PEERS_MAX; i++) {
        work *w = &program_work[i];
        uhttp_conn *c = w->id != 0 ? uhttp_find(world_server, w->id) : NULL;
        if (c == NULL) {
            w->id = 0;
            continue;
        }
        if (w->kind == WORK_STREAM && !uhttp_server_event_mode(world_server)) {
            done = program_stream(c, w) || done;
        } else if (w->kind == WORK_SLOW) {
            done = program_read(c) || done;
        } else if (w->kind == WORK_LATER) {
            w->id = 0;
            program_tried(c, uhttp_respond_text(c, 200, "later"));
            done = true;
        }
    }
    return done;
}

static void program_forget(void)
{
    for (int i = 0; i < PEERS_MAX; i++)
        program_work[i].id = 0;
    text_clear(&program_events);
    if (program_pattern[0] != '\0')
        return;
    for (size_t i = 0; i < sizeof program_pattern; i++)
        program_pattern[i] = (char)('a' + i % 26);
}

/* Lets the program run until nothing moves any more. */
static void program_run(void)
{
    unsigned in_vain = 0;
    do {
        uhttp_conn *c;
        while ((c = world_next()) != NULL) {
            uint64_t sent = world_server->stats.bytes_out + world_server->stats.bytes_in;
            program_hear(c);
            in_vain = sent == program_moved ? in_vain + 1 : 0;
            program_moved = sent;
            CHECK(in_vain < 1000);      /* an event without effect comes again at once */
        }
    } while (program_goes_on());
}

/*--- scripts --------------------------------------------------------------------------------*/

enum {
    EVENT_ONLY = 1,         /* the answers are another's outside event mode */
    PLAIN_ONLY = 2,
    HEAP_ONLY = 4,          /* does not fit a fixed buffer */
    TOLD_VARIES = 8,        /* whether the program hears of it depends on the network */
    CONTINUE_VARIES = 16,   /* whether 100 Continue is still of use as well */
    ENDS_HARD = 32          /* the program closes: what a slow reader has not got is lost */
};

#define CRLF "\r\n"
#define HOST "Host: a" CRLF
#define GET(path) "GET " path " HTTP/1.1" CRLF HOST CRLF
#define POST(path, fields) "POST " path " HTTP/1.1" CRLF HOST fields CRLF
#define LENGTH(n) "Content-Length: " #n CRLF
#define CHUNKED "Transfer-Encoding: chunked" CRLF
#define EXPECT "Expect: 100-continue" CRLF

#define FORM "Content-Type: multipart/form-data; boundary=b" CRLF
#define FORM_BEGIN \
    "--b" CRLF "Content-Disposition: form-data; name=\"a\"" CRLF CRLF "1" CRLF \
    "--b" CRLF "Content-Dispositi"
#define FORM_REST \
    "on: form-data; name=\"f\"; filename=\"g\"" CRLF CRLF "{34*x}" CRLF "--" CRLF "--" CRLF "-" \
    CRLF "\r" CRLF "--b--"

/* \a: the client waits until nothing moves before it goes on. {n*text} is repeated.
 * Expected: the statuses, "h" behind those to HEAD, "o" behind bodies that end with the
 * connection, "x" behind one cut short; "!": the server ends the connection. */
typedef struct script {
    const char *name, *in, *expected;
    int flags;
} script;

static const script scripts[] = {
    { "get", GET("/hello"), "200", 0 },
    { "two gets", GET("/hello") GET("/html"), "200 200", 0 },
    { "pipeline of three", GET("/hello") GET("/json") GET("/n/700"), "200 201 200", 0 },
    { "pipeline of sixteen", "{16*" GET("/hello") "}",
      "200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200", 0 },
    { "pipeline of all kinds", GET("/hello") "HEAD /n/500 HTTP/1.1" CRLF HOST CRLF
      POST("/echo", LENGTH(5)) "12345" GET("/stream/3") POST("/in", CHUNKED) "3" CRLF "abc" CRLF
      "0" CRLF CRLF GET("/static/300") GET("/error/204") GET("/redirect"),
      "200 200h 200 200 200 200 204 302", 0 },
    { "pipeline behind a held answer", GET("/later") GET("/hello") GET("/later"),
      "200 200 200", 0 },
    { "everything asked for", "GET /a%20b/../c%2fd?a=1+2&b=%26&c&a=3 HTTP/1.1" CRLF
      "Host:  a.example:81 " CRLF "X-Test:\ttwo words \t" CRLF "Cookie: a=b; c=d" CRLF
      "Empty:" CRLF CRLF GET("/next?x=y"), "200 200", 0 },
    { "absolute target", "GET http://b.example:8/x?a=%41 HTTP/1.1" CRLF HOST CRLF
      "GET http://b.example HTTP/1.1" CRLF HOST CRLF, "200 200", 0 },
    { "asterisk", "OPTIONS * HTTP/1.1" CRLF HOST CRLF GET("/hello"), "200 200", 0 },
    { "an empty line before a request", CRLF GET("/hello") CRLF GET("/hello"), "200 200", 0 },
    { "close is asked for", "GET /hello HTTP/1.1" CRLF HOST "Connection: close" CRLF CRLF,
      "200!", 0 },
    { "more behind a close", "GET /hello HTTP/1.1" CRLF HOST "Connection: x, close" CRLF CRLF
      GET("/hello") GET("/hello"), "200!", 0 },
    { "the program wishes to close", GET("/hello") GET("/wish") GET("/hello"), "200 200!", 0 },
    { "HTTP/1.0", "GET /hello HTTP/1.0" CRLF CRLF, "200!", 0 },
    { "HTTP/1.0 with keep-alive", "GET /ask HTTP/1.0" CRLF "Connection: keep-alive" CRLF CRLF
      "GET /hello HTTP/1.0" CRLF CRLF, "200 200!", 0 },
    { "HEAD", "HEAD /hello HTTP/1.1" CRLF HOST CRLF GET("/hello"), "200h 200", 0 },
    { "HEAD of a stream", "HEAD /stream/9 HTTP/1.1" CRLF HOST CRLF GET("/hello"),
      "200h 200", 0 },
    { "HEAD of static data", "HEAD /static/9000 HTTP/1.1" CRLF HOST CRLF GET("/hello"),
      "200h 200", 0 },
    { "HEAD of an error", "HEAD /error/404 HTTP/1.1" CRLF HOST CRLF GET("/error/404"),
      "404h 404", 0 },
    { "refused HEAD", "HEAD /x HTTP/1.1" CRLF CRLF, "400h!", 0 },
    { "no content and not modified", GET("/error/204") GET("/error/304") GET("/error/205")
      GET("/hello"), "204 304 205 200", 0 },
    { "an answer of some size", GET("/n/0") GET("/n/1") GET("/n/5000") GET("/n/2100"),
      "200 200 200 200", 0 },
    { "a large answer", GET("/n/40000") GET("/hello"), "200 200", HEAP_ONLY },
    { "static data", GET("/static/50000") GET("/static/1") GET("/static/0"), "200 200 200", 0 },
    { "added fields", GET("/fields") GET("/hello"), "200 200", 0 },
    { "an answer written as JSON", GET("/report") "HEAD /report HTTP/1.1" CRLF HOST CRLF
      GET("/hello"), "200 200h 200", 0 },
    { "a stream", GET("/stream/7") GET("/hello"), "200 200", 0 },
    { "an empty stream", GET("/stream/0") GET("/stream/0"), "200 200", 0 },
    { "a stream longer than any buffer", GET("/stream/2000") GET("/hello"), "200 200", 0 },
    { "a stream to HTTP/1.0", "GET /stream/20 HTTP/1.0" CRLF CRLF, "200o!", 0 },
    { "a stream to HTTP/1.0 with keep-alive",
      "GET /stream/2 HTTP/1.0" CRLF "Connection: keep-alive" CRLF CRLF, "200o!", 0 },
    { "server-sent events", GET("/events/60") GET("/hello") GET("/events/0"), "200 200 200", 0 },
    { "events to HEAD and HTTP/1.0", "HEAD /events/9 HTTP/1.1" CRLF HOST CRLF
      "GET /events/9 HTTP/1.0" CRLF CRLF, "200h 200o!", 0 },
    { "lines of JSON", GET("/lines/500") GET("/hello"), "200 200", 0 },
    { "rows of JSON", GET("/rows/80") GET("/rows/1") GET("/hello"), "200 200 200", 0 },
    { "rows to HEAD and HTTP/1.0", "HEAD /rows/9 HTTP/1.1" CRLF HOST CRLF
      "GET /rows/60 HTTP/1.0" CRLF CRLF, "200h 200o!", 0 },
    { "frames", GET("/frames/30") GET("/frames/0") GET("/hello"), "200 200 200", 0 },
    { "frames to HEAD and HTTP/1.0", "HEAD /frames/9 HTTP/1.1" CRLF HOST CRLF
      "GET /frames/9 HTTP/1.0" CRLF CRLF, "200h 200o!", 0 },

    { "a body with a length", POST("/echo", LENGTH(11)) "hello world" GET("/hello"),
      "200 200", 0 },
    { "an empty body", POST("/hello", LENGTH(0)) GET("/hello"), "200 200", 0 },
    { "bodies in a row", "{6*" POST("/echo", LENGTH(3)) "abc}", "200 200 200 200 200 200", 0 },
    { "a body of a kilobyte", POST("/echo", LENGTH(1000)) "{100*0123456789}" GET("/hello"),
      "200 200", 0 },
    { "a body of twenty kilobytes", POST("/in", LENGTH(20000)) "{2000*0123456789}"
      GET("/hello"), "200 200", HEAP_ONLY },
    { "a collected body beyond a block", POST("/echo", LENGTH(6000)) "{600*0123456789}"
      GET("/hello"), "200 200", HEAP_ONLY },
    { "a body of just the limit", POST("/in", LENGTH(30000)) "{3000*0123456789}" GET("/hello"),
      "200 200", HEAP_ONLY },
    { "a collected body of just the limit", POST("/echo", LENGTH(30000)) "{3000*0123456789}"
      GET("/hello"), "200 200", HEAP_ONLY },
    { "a chunked body of just the limit", POST("/echo", CHUNKED) "7530" CRLF "{30000*a}" CRLF
      "0" CRLF CRLF GET("/hello"), "200 200", HEAP_ONLY },
    { "a chunked body", POST("/echo", CHUNKED) "5" CRLF "hello" CRLF "0006" CRLF " world" CRLF
      "0" CRLF CRLF GET("/hello"), "200 200", 0 },
    { "a chunked body with extensions and trailers", POST("/echo", CHUNKED)
      "A;x=\"y\"" CRLF "0123456789" CRLF "1;z" CRLF "!" CRLF "00" CRLF "Check: sum" CRLF
      "X:" CRLF CRLF GET("/hello"), "200 200", 0 },
    { "an empty chunked body", POST("/echo", CHUNKED) "0" CRLF CRLF GET("/hello"),
      "200 200", 0 },
    { "one-byte chunks", POST("/echo", CHUNKED) "{90*1" CRLF "x" CRLF "}0" CRLF CRLF
      GET("/hello"), "200 200", 0 },
    { "a chunked body beyond a block", POST("/echo", CHUNKED)
      "{20*100" CRLF "{256*a}" CRLF "}0" CRLF CRLF, "200", HEAP_ONLY },
    { "chunked bodies in a row", "{4*" POST("/in", CHUNKED) "4" CRLF "wxyz" CRLF "0" CRLF CRLF
      "}", "200 200 200 200", 0 },
    { "a streamed body", POST("/in", LENGTH(3000)) "{300*0123456789}" GET("/hello"),
      "200 200", 0 },
    { "a streamed body larger than memory", POST("/in", LENGTH(200000)) "{20000*0123456789}"
      GET("/hello"), "200 200", EVENT_ONLY },
    { "a streamed chunked body larger than memory", POST("/in", CHUNKED)
      "{9000*a" CRLF "0123456789" CRLF "}0" CRLF CRLF GET("/hello"), "200 200", EVENT_ONLY },
    { "a streamed body read slowly", POST("/slow", LENGTH(20000)) "{2000*0123456789}"
      GET("/hello"), "200 200", EVENT_ONLY },
    { "a streamed chunked body read slowly", POST("/slow", CHUNKED)
      "{700*1e" CRLF "012345678901234567890123456789" CRLF "}0" CRLF CRLF GET("/hello"),
      "200 200", EVENT_ONLY },
    { "a form with a file", POST("/form", LENGTH(170) FORM) FORM_BEGIN FORM_REST GET("/hello"),
      "200 200", EVENT_ONLY },
    { "a form in chunks", POST("/form", CHUNKED FORM) "4a" CRLF FORM_BEGIN CRLF "60" CRLF
      FORM_REST CRLF "0" CRLF CRLF GET("/hello"), "200 200", EVENT_ONLY },
    { "an upload in HTTP/1.0", "POST /in HTTP/1.0" CRLF LENGTH(3000) CRLF "{300*0123456789}",
      "200!", 0 },
    { "an upload in HTTP/1.0 with keep-alive", "POST /in HTTP/1.0" CRLF LENGTH(3000)
      "Connection: keep-alive" CRLF CRLF "{300*0123456789}" GET("/hello"), "200 200", 0 },
    { "a streamed body of just its limit", POST("/thousand", LENGTH(1000)) "{100*0123456789}"
      GET("/hello"), "200 200", 0 },
    { "a chunked body of just its limit", POST("/thousand", CHUNKED) "3e8" CRLF
      "{100*0123456789}" CRLF "0" CRLF CRLF GET("/hello"), "200 200", 0 },
    { "an accepted body of just its limit", POST("/few", LENGTH(1000)) "{100*0123456789}"
      GET("/hello"), "200 200", 0 },
    { "a client that waits for 100 Continue", POST("/echo", LENGTH(5) EXPECT) "\a12345"
      GET("/hello"), "100 200 200", 0 },
    { "a chunked client that waits", POST("/echo", CHUNKED EXPECT) "\a3" CRLF "abc" CRLF "0"
      CRLF CRLF GET("/hello"), "100 200 200", 0 },
    { "a streaming client that waits", POST("/in", LENGTH(5) EXPECT) "\a12345" GET("/hello"),
      "100 200 200", 0 },
    { "a client that does not wait", POST("/echo", LENGTH(5) EXPECT) "12345" GET("/hello"),
      "200 200", CONTINUE_VARIES },
    { "an expectation without a body", "GET /hello HTTP/1.1" CRLF HOST EXPECT CRLF
      GET("/hello"), "200 200", 0 },
    { "an expectation in HTTP/1.0", "POST /echo HTTP/1.0" CRLF LENGTH(3) EXPECT CRLF "abc",
      "200!", 0 },
    { "a client that waited is answered early", POST("/early", LENGTH(600) EXPECT)
      "\a{60*0123456789}" GET("/hello"), "100 403 200", EVENT_ONLY | TOLD_VARIES },
    { "a client that waits is refused", POST("/refuse", LENGTH(5) EXPECT) "\a", "403!",
      EVENT_ONLY },

    { "a small unread body is drained", POST("/refuse", LENGTH(3000)) "{300*0123456789}"
      GET("/hello"), "403 200", EVENT_ONLY },
    { "a small unread chunked body is drained", POST("/refuse", CHUNKED)
      "{40*19" CRLF "0123456789012345678901234" CRLF "}0" CRLF CRLF GET("/hello"), "403 200",
      EVENT_ONLY },
    { "a large unread body closes", POST("/refuse", LENGTH(100000)) "{9000*0123456789}",
      "403!", EVENT_ONLY },
    { "a large unread chunked body closes", POST("/refuse", CHUNKED)
      "{80*400" CRLF "{1024*a}" CRLF "}0" CRLF CRLF GET("/hello"), "403!", EVENT_ONLY },
    { "an answer before the body's end", POST("/early", LENGTH(600)) "{60*0123456789}"
      GET("/hello"), "403 200", EVENT_ONLY | TOLD_VARIES },
    { "an answer before a chunked body's end", POST("/early", CHUNKED)
      "{30*5" CRLF "abcde" CRLF "}0" CRLF CRLF GET("/hello"), "403 200",
      EVENT_ONLY | TOLD_VARIES },
    { "a body for a path that reads none", POST("/hello", LENGTH(9)) "123456789" GET("/hello"),
      "200 200", 0 },

    { "the program closes", GET("/hello") GET("/close") GET("/hello"), "200!", ENDS_HARD },
    { "the program cuts a stream", GET("/hello") GET("/cut") GET("/hello"), "200 200x!",
      ENDS_HARD },

    { "413, announced", POST("/echo", LENGTH(30001)) "{100*0123456789}", "413!", 0 },
    { "413, announced, to one who waits", POST("/echo", LENGTH(30001) EXPECT) "\a", "413!", 0 },
    { "413, counted", POST("/echo", CHUNKED) "7531" CRLF "{30001*a}" CRLF "0" CRLF CRLF, "413!",
      TOLD_VARIES },
    { "413, announced, streamed", POST("/thousand", LENGTH(1001)) "{100*0123456789}", "413!",
      EVENT_ONLY },
    { "413, announced, streamed, to one who waits", POST("/thousand", LENGTH(1001) EXPECT) "\a",
      "413!", EVENT_ONLY },
    { "413, counted, streamed", POST("/thousand", CHUNKED) "3e9" CRLF "{1001*a}", "413!",
      EVENT_ONLY },
    { "413, counted, in small chunks", POST("/thousand", CHUNKED)
      "{101*a" CRLF "0123456789" CRLF "}", "413!", EVENT_ONLY },
    { "413, announced, accepted", POST("/few", LENGTH(1001)) "{100*0123456789}", "413!",
      EVENT_ONLY },
    { "413, counted, accepted", POST("/few", CHUNKED) "3e9" CRLF "{1001*a}", "413!",
      EVENT_ONLY },
    { "400, chunked in HTTP/1.0", "POST /in HTTP/1.0" CRLF CHUNKED CRLF "0" CRLF CRLF, "400!",
      0 },
    { "413, beyond all numbers", POST("/echo", LENGTH(99999999999999999999)), "413!", 0 },
    { "400, LF alone", "GET /hello HTTP/1.1" CRLF "Host: a\n\n", "400!", 0 },
    { "400, LF alone, to HEAD", "HEAD /hello HTTP/1.1" CRLF "Host: a\n\n", "400h!", 0 },
    { "400, LF alone before a whole head, to HEAD", "HEAD /hello HTTP/1.1" CRLF "\n"
      GET("/hello"), "400h!", 0 },
    { "400, CR inside", "GET /hel\rlo HTTP/1.1" CRLF HOST CRLF, "400!", 0 },
    { "400, nonsense", "nonsense" CRLF CRLF GET("/hello"), "400!", 0 },
    { "400, two empty lines first", CRLF CRLF GET("/hello"), "400!", 0 },
    { "400, no Host", "GET /hello HTTP/1.1" CRLF "A: b" CRLF CRLF, "400!", 0 },
    { "400, two lengths", POST("/echo", LENGTH(3) LENGTH(3)) "abc" GET("/hello"), "400!", 0 },
    { "400, length and coding", POST("/echo", LENGTH(3) CHUNKED) "abc" GET("/hello"),
      "400!", 0 },
    { "400, blank before the colon", "GET / HTTP/1.1" CRLF "Host : a" CRLF CRLF GET("/hello"),
      "400!", 0 },
    { "400, folded line", "GET / HTTP/1.1" CRLF HOST "A: b" CRLF " c" CRLF CRLF, "400!", 0 },
    { "400, NUL in the target", GET("/a%00b"), "400!", 0 },
    { "400 behind good requests", GET("/hello") GET("/n/300") "bad" CRLF CRLF GET("/hello"),
      "200 200 400!", 0 },
    { "400, chunk size", POST("/echo", CHUNKED) "\a3" CRLF "abc" CRLF "x" CRLF, "400!", 0 },
    { "400, chunk end", POST("/echo", CHUNKED) "\a3" CRLF "abcd" CRLF "0" CRLF CRLF,
      "400!", 0 },
    { "400, chunk with its head", POST("/echo", CHUNKED) "0x3" CRLF "abc" CRLF "0" CRLF CRLF,
      "400!", TOLD_VARIES },
    { "400, chunk of a streamed body", POST("/in", CHUNKED) "\a3" CRLF "abc" CRLF "-1" CRLF,
      "400!", EVENT_ONLY },
    { "400, chunk of a drained body", POST("/refuse", CHUNKED) "\a5" CRLF "hello, world"
      GET("/hello"), "403!", EVENT_ONLY },
    { "400, more framing than data", POST("/echo", CHUNKED)
      "{900*1;234567890123456789012345678901234567890" CRLF "a" CRLF "}", "400!", 0 },
    { "400, more framing than streamed data", POST("/in", CHUNKED)
      "{900*1;234567890123456789012345678901234567890" CRLF "a" CRLF "}", "400!", EVENT_ONLY },
    { "the program answers an error itself", POST("/echo?on=own", CHUNKED) "\a3" CRLF "abc!"
      GET("/hello"), "422!", EVENT_ONLY },
    { "414", "GET /{4096*a} HTTP/1.1" CRLF HOST CRLF GET("/hello"), "414!", 0 },
    { "431", "GET /hello HTTP/1.1" CRLF HOST "A: {4096*a}" CRLF CRLF GET("/hello"), "431!", 0 },
    { "431, LF alone beyond the limit", "GET /hello HTTP/1.1" CRLF HOST "A: {4096*a}" CRLF
      "B: b\n" CRLF, "431!", 0 },
    { "431, to HEAD", "HEAD /hello HTTP/1.1" CRLF HOST "A: {4096*a}" CRLF CRLF, "431h!", 0 },
    { "431, many fields", "GET /hello HTTP/1.1" CRLF HOST "{800*A: 9" CRLF "}" CRLF,
      "431!", 0 },
    { "a head of just the limit", "GET /hello HTTP/1.1" CRLF HOST "A: {4059*a}" CRLF CRLF
      GET("/hello"), "200 200", 0 },
    { "a head of one byte more", "GET /hello HTTP/1.1" CRLF HOST "A: {4060*a}" CRLF CRLF
      GET("/hello"), "431!", 0 },
    { "417", POST("/echo", LENGTH(3) "Expect: miracles" CRLF) "abc", "417!", 0 },
    { "501, CONNECT", "CONNECT a:80 HTTP/1.1" CRLF HOST CRLF, "501!", 0 },
    { "501, coding", POST("/echo", "Transfer-Encoding: gzip, chunked" CRLF) "0" CRLF CRLF,
      "501!", 0 },
    { "505", "GET / HTTP/2.0" CRLF HOST CRLF, "505!", 0 },
    { "an unfinished head", GET("/hello") "GET /he", "200", 0 },
    { "nothing", "", "", 0 },
};

#define SCRIPTS (sizeof scripts / sizeof scripts[0])

/* How a script reaches the server, and its answers the client. */
typedef struct replay {
    size_t cut;                 /* nothing more comes behind this byte until all is quiet */
    bool every;                 /* behind every byte */
    bool fin;                   /* right behind the last byte */
    size_t bite, gulp, window, record;
    unsigned stalls;
    bool crossed;
    int handshake;
} replay;

/* What came of it. */
typedef struct transcript {
    text events, out;
    bool ended;                 /* by the server, with no FIN */
} transcript;

static void transcript_free(transcript *t)
{
    text_free(&t->events);
    text_free(&t->out);
}

/* The first is compared here, as most searches end there and a call costs much. */
static bool starts(const char *at, const char *words, size_t length)
{
    return *at == *words && memcmp(at, words, length) == 0;
}

/* Takes "HTTP/1.1 100 Continue" out of what was answered. */
static void transcript_drop_continue(text *out)
{
    static const char words[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const size_t length = sizeof words - 1;
    for (size_t i = 0; i + length <= out->length; i++) {
        if (!starts(out->data + i, words, length))
            continue;
        memmove(out->data + i, out->data + i + length, out->length - i - length + 1);
        out->length -= length;
    }
}

/* Takes the last "Connection: close" out: whether FIN was seen before the last answer was
 * written is the network's affair. */
static void transcript_drop_close(text *out)
{
    static const char words[] = "Connection: close\r\n";
    const size_t length = sizeof words - 1;
    for (size_t i = out->length; i-- > 0; ) {
        if (i + length > out->length || !starts(out->data + i, words, length))
            continue;
        memmove(out->data + i, out->data + i + length, out->length - i - length + 1);
        out->length -= length;
        return;
    }
}

/* The size of the chunk whose first line is here, and where its data begins; NULL: none is. */
static const char *transcript_chunk(const char *p, const char *end, size_t *size)
{
    static const char hexadecimal[] = "0123456789abcdef";
    const char *digit;
    *size = 0;
    for (; p < end && (digit = (const char *)memchr(hexadecimal, *p, 16)) != NULL; p++)
        *size = *size * 16 + (size_t)(digit - hexadecimal);
    return end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? p + 2 : NULL;
}

/* Joins the chunks of each body: how many pieces share one depends on when they are sent. */
static void transcript_join_chunks(text *out)
{
    static const char words[] = "Transfer-Encoding: chunked\r\n";
    text joined = { NULL, 0, 0 };
    const char *p = out->data;
    const char *end = p + out->length;
    text_add(&joined, "", 0);
    while (p < end) {
        size_t size;
        bool chunked = (size_t)(end - p) > sizeof words &&
                       starts(p, words, sizeof words - 1);
        if (!chunked) {
            const char *next = (const char *)memchr(p + 1, words[0], (size_t)(end - p - 1));
            text_add(&joined, p, (size_t)((next != NULL ? next : end) - p));
            p = next != NULL ? next : end;
            continue;
        }
        const char *body = strstr(p, "\r\n\r\n");
        CHECK(body != NULL);
        text_add(&joined, p, (size_t)(body + 4 - p));
        p = body + 4;
        for (body = transcript_chunk(p, end, &size); body != NULL;
             body = transcript_chunk(p, end, &size)) {
            if ((size_t)(end - body) < size + 2)
                break;
            text_add(&joined, body, size);
            p = body + size + 2;
            if (size == 0) {
                text_add(&joined, "<end>", 5);
                break;
            }
        }
    }
    text_free(out);
    *out = joined;
}

/* Takes the digits out of delimiters: which request it is depends on those before. */
static void transcript_drop_ids(text *out)
{
    static const char words[] = "uhttp-";
    size_t length = 0;
    for (size_t i = 0; i < out->length; i++) {
        out->data[length++] = out->data[i];
        bool named = out->data[i] == '-' && length >= sizeof words - 1 &&
                     memcmp(out->data + length - 6, words, sizeof words - 1) == 0;
        while (named && i + 1 < out->length && out->data[i + 1] >= '0' && out->data[i + 1] <= '9')
            i++;
    }
    out->length = length;
    if (length > 0)
        out->data[length] = '\0';
}

/* The next place where the client pauses. */
static size_t replay_pause(const replay *how, const text *in, const bool *waits, size_t from)
{
    if (from + 1 >= in->length)
        return in->length;
    const bool *wait = (const bool *)memchr(waits + from + 1, true, in->length - from - 1);
    size_t pause = wait != NULL ? (size_t)(wait - waits) : in->length;
    if (how->cut > from && how->cut < pause)
        pause = how->cut;
    return how->every ? from + 1 : pause;
}

/* Reads "\a" out of an expanded script. */
static bool *script_waits(text *in)
{
    bool *waits = (bool *)calloc(in->length + 1, sizeof *waits);
    size_t length = 0;
    if (waits == NULL)
        abort();
    for (size_t i = 0; i < in->length; i++) {
        if (in->data[i] == '\a')
            waits[length] = true;
        else
            in->data[length++] = in->data[i];
    }
    in->length = length;
    return waits;
}

/* Lets everything run until it is quiet, the client reading as it does. */
static void replay_run(const replay *how, peer *p)
{
    for (;;) {
        program_run();
        const uhttp_conn *c = world_conn_of(p);
        if (p->window > 0 || c == NULL || !uh_conn_owes(c))
            return;
        p->window = how->window;
    }
}

/* Plays a script to its end, and sees that its connection is gone then. */
static void script_replay(const text *in, const bool *waits, const replay *how, transcript *t)
{
    peer *p = world_peer();
    p->bite = how->bite;
    p->gulp = how->gulp;
    p->window = how->window > 0 ? how->window : SIZE_MAX;
    p->record = how->record;
    p->stalls = how->stalls;
    p->crossed = how->crossed;
    p->handshake = how->handshake > 0 ? how->handshake : 1;
    program_forget();
    CHECK(world_accept(p));
    peer_will_say_bytes(p, in->data, in->length);
    do {
        p->arrived = replay_pause(how, in, waits, p->arrived);
        p->fin = how->fin && p->arrived == in->length;
        replay_run(how, p);
    } while (p->arrived < in->length && !p->closed);
    t->ended = p->shut || p->closed;
    text_clear(&t->events);
    text_add(&t->events, program_events.data, program_events.length);
    text_clear(&t->out);
    text_add(&t->out, p->out, p->out_length);
    p->arrived = in->length;
    p->fin = true;
    replay_run(how, p);
    CHECK(p->closed);
    CHECK(world_conn_of(p) == NULL);
}

/*--- what a script must give ----------------------------------------------------------------*/

static void script_describe(const script *s, const char *mode, const replay *how)
{
    snprintf(world_what, sizeof world_what,
             "script '%s', %s, cut %lu%s%s, bite %lu, gulp %lu, window %lu, record %lu, "
             "stalls %u%s, handshake %d", s->name, mode, (unsigned long)how->cut,
             how->every ? " and everywhere" : "", how->fin ? ", FIN" : "",
             (unsigned long)how->bite, (unsigned long)how->gulp, (unsigned long)how->window,
             (unsigned long)how->record, how->stalls, how->crossed ? " crossed" : "",
             how->handshake);
}

/* Reads the answers strictly and compares their statuses with what was expected. */
static void script_check(const script *s, const transcript *t)
{
    static char body[ANSWER_BODY];
    uhttp_str rest = { t->out.data, t->out.length };
    const char *want = s->expected;
    answer a;
    a.body = body;
    while (*want != '\0' && *want != '!') {
        char *mark;
        long status = strtol(want, &mark, 10);
        answer_hint hint = *mark == 'h' ? ANSWER_TO_HEAD
            : *mark == 'o' ? ANSWER_TO_10 : ANSWER_PLAIN;
        answer_end how = answer_next(&rest, hint, &a);
        CHECK(how == (*mark == 'x' ? ANSWER_CUT : ANSWER_WHOLE));
        CHECK(a.status == status);
        CHECK(a.dated || status < 200);
        want = mark + strspn(mark, "hox");
        CHECK(!a.close || *want == '!');
        want += *want == ' ' ? 1 : 0;
    }
    CHECK(rest.len == 0);
    CHECK((*want == '!') == t->ended);
}

static void transcript_compare(const script *s, const transcript *want, transcript *got,
                               bool fin, bool same_events)
{
    text a = { NULL, 0, 0 };
    text_add(&a, want->out.data, want->out.length);
    transcript_join_chunks(&a);
    transcript_join_chunks(&got->out);
    transcript_drop_ids(&a);
    transcript_drop_ids(&got->out);
    if (s->flags & CONTINUE_VARIES)
        transcript_drop_continue(&got->out);
    if (fin) {
        transcript_drop_close(&a);
        transcript_drop_close(&got->out);
    }
    if (!text_same(&a, &got->out)) {
        fprintf(stderr, "---- wanted\n%s\n---- got\n%s\n----\n", a.data, got->out.data);
        FAIL("one script gives one answer");
    }
    text_free(&a);
    CHECK(fin || want->ended == got->ended);
    if (!same_events || (s->flags & TOLD_VARIES))
        return;
    if (!text_same(&want->events, &got->events)) {
        fprintf(stderr, "---- wanted\n%s\n---- got\n%s\n----\n", want->events.data,
                got->events.data);
        FAIL("one script gives one sequence of events");
    }
}

/* What all replays of one script share. */
typedef struct session {
    const script *s;
    text in;
    bool *waits;
    transcript want;
    const char *mode;
    bool same_events;
} session;

static void session_try(session *st, replay how)
{
    transcript got = { { NULL, 0, 0 }, { NULL, 0, 0 }, false };
    script_describe(st->s, st->mode, &how);
    script_replay(&st->in, st->waits, &how, &got);
    transcript_compare(st->s, &st->want, &got, how.fin, st->same_events);
    transcript_free(&got);
}

/* Every byte of what is short; of what is long the begin, the end, and where buffers end.
 * MACHINE_STEP: only one in so many of them, for who has little time. */
static bool session_cuts_at(const session *st, size_t at)
{
    const char *asked = getenv("MACHINE_STEP");
    size_t step = asked != NULL ? strtoul(asked, NULL, 10) : 1;
    size_t length = st->in.length;
    if (step > 1 && at % step != 0)
        return false;
    if (length < 900 || at < 200 || at + 60 > length)
        return true;
    return at % (length / 23 + 1) == 0 || (length < 9000 && at % 256 < 2);
}

static void session_cut(session *st, bool fin)
{
    replay how;
    memset(&how, 0, sizeof how);
    how.fin = fin;
    for (how.cut = 1; how.cut < st->in.length; how.cut++) {
        if (session_cuts_at(st, how.cut))
            session_try(st, how);
    }
}

static void session_bottlenecks(session *st)
{
    static const size_t bites[] = { 1, 2, 3, 5, 16, 100, 1000 };
    static const size_t gulps[] = { 1, 2, 3, 7, 64, 1000 };
    replay how;
    memset(&how, 0, sizeof how);
    for (size_t i = 0; i < sizeof bites / sizeof bites[0]; i++) {
        memset(&how, 0, sizeof how);
        how.bite = bites[i];
        how.fin = i % 2 == 0;
        if (st->in.length / how.bite < 2000)
            session_try(st, how);
        how.bite = 0;
        how.record = bites[i];
        if (st->in.length / how.record < 2000)
            session_try(st, how);
    }
    for (size_t i = 0; i < sizeof gulps / sizeof gulps[0] && !(st->s->flags & ENDS_HARD); i++) {
        memset(&how, 0, sizeof how);
        how.gulp = gulps[i];
        how.fin = i % 2 == 0;
        if (st->want.out.length / how.gulp < 3000)
            session_try(st, how);
        how.gulp = 0;
        how.window = gulps[i];
        if (st->want.out.length / how.window < 3000)
            session_try(st, how);
    }
    for (unsigned i = 0; i < 8 && !(st->s->flags & ENDS_HARD); i++) {
        memset(&how, 0, sizeof how);
        how.stalls = 2 + i / 2;
        how.crossed = i % 2 == 0;
        how.bite = 40 + i * 100;
        how.gulp = 30 + i * 50;
        how.handshake = 1 + (int)i;
        session_try(st, how);
    }
}

static void session_every_byte(session *st)
{
    replay how;
    memset(&how, 0, sizeof how);
    how.every = true;
    if (st->in.length > 900)
        return;
    session_try(st, how);
    how.fin = true;
    session_try(st, how);
    how.gulp = 1;
    if (st->want.out.length < 3000 && !(st->s->flags & ENDS_HARD))
        session_try(st, how);
}

/* A line of the log is text, short, and says why a request was refused. */
static void script_log(void *user, const char *line)
{
    CHECK(user == program_pattern && strlen(line) > 4 && strlen(line) < 192);
    for (const char *p = line; *p != '\0'; p++)
        CHECK(*p >= ' ' && *p <= '~');
}

static uhttp_config script_config(void)
{
    uhttp_config config = world_config();
    config.log = script_log;
    config.user = program_pattern;
    config.max_content_length = 30000;
    config.default_headers = "X-Frame-Options: DENY\r\n";
    return config;
}

#define SCRIPT_BUFFER 8192u     /* of a fixed server; what scripts need fits */

/* What a script gives when nothing stands in its way, and whether that is right. */
static void session_reference(session *st)
{
    replay how;
    uhttp_config config = script_config();
    memset(&how, 0, sizeof how);
    config.event_mode = !(st->s->flags & PLAIN_ONLY);
    st->mode = "as it should be";
    script_describe(st->s, st->mode, &how);
    world_open(&config, UH_HEAP ? 0 : SCRIPT_BUFFER);
    script_replay(&st->in, st->waits, &how, &st->want);
    world_close();
    script_check(st->s, &st->want);
    if (st->s->flags & CONTINUE_VARIES)
        transcript_drop_continue(&st->want.out);
}

/* Replays every script that fits this mode in all ways of one kind. */
static void scripts_play(bool event_mode, bool fixed, void (*ways)(session *st))
{
    for (size_t i = 0; i < SCRIPTS; i++) {
        session st;
        uhttp_config config = script_config();
        memset(&st, 0, sizeof st);
        st.s = &scripts[i];
        if ((st.s->flags & (event_mode ? PLAIN_ONLY : EVENT_ONLY)) ||
            (fixed && (st.s->flags & HEAP_ONLY)))
            continue;
        text_expand(&st.in, st.s->in);
        st.waits = script_waits(&st.in);
        session_reference(&st);
        st.mode = event_mode ? fixed ? "fixed memory, event mode" : "heap, event mode"
                             : fixed ? "fixed memory" : "heap";
        st.same_events = event_mode;
        config.event_mode = event_mode;
        world_open(&config, fixed ? SCRIPT_BUFFER : 0);
        ways(&st);
        world_close();
        transcript_free(&st.want);
        text_free(&st.in);
        free(st.waits);
    }
}

static void way_undisturbed(session *st)
{
    replay how;
    memset(&how, 0, sizeof how);
    session_try(st, how);
    how.fin = true;
    session_try(st, how);
}

/* The same with the other loop, which must not make a difference. */
static void way_of_wait(session *st)
{
    replay how;
    memset(&how, 0, sizeof how);
    world_waits = true;
    session_try(st, how);
    for (how.cut = 1; how.cut < st->in.length; how.cut += 1 + st->in.length / 17)
        session_try(st, how);
    how.cut = 0;
    how.bite = 10 + st->in.length / 40;
    how.fin = true;
    if (!(st->s->flags & ENDS_HARD))
        how.gulp = 40 + st->want.out.length / 40;
    session_try(st, how);
    world_waits = false;
}

static void way_cut(session *st) { session_cut(st, false); }
static void way_cut_and_fin(session *st) { session_cut(st, true); }

static void every_script_gets_the_answers_it_should(void **state)
{
    (void)state;
    scripts_play(true, false, way_undisturbed);
    scripts_play(true, true, way_undisturbed);
    scripts_play(false, false, way_undisturbed);
    scripts_play(false, true, way_undisturbed);
}

static void a_script_cut_after_any_byte_gives_one_transcript(void **state)
{
    (void)state;
    scripts_play(true, false, way_cut);
    scripts_play(false, false, way_cut);
}

static void a_script_cut_after_any_byte_gives_one_transcript_in_fixed_memory(void **state)
{
    (void)state;
    scripts_play(true, true, way_cut);
    scripts_play(false, true, way_cut);
}

static void fin_behind_the_last_byte_changes_no_answer(void **state)
{
    (void)state;
    scripts_play(true, false, way_cut_and_fin);
    scripts_play(false, true, way_cut_and_fin);
}

static void the_loop_of_uhttp_wait_gives_the_same_transcript(void **state)
{
    (void)state;
    scripts_play(true, false, way_of_wait);
    scripts_play(true, true, way_of_wait);
    scripts_play(false, false, way_of_wait);
    scripts_play(false, true, way_of_wait);
}

static void a_script_that_comes_byte_by_byte_gives_one_transcript(void **state)
{
    (void)state;
    scripts_play(true, false, session_every_byte);
    scripts_play(true, true, session_every_byte);
    scripts_play(false, false, session_every_byte);
    scripts_play(false, true, session_every_byte);
}

static void a_script_gives_one_transcript_through_every_bottleneck(void **state)
{
    (void)state;
    scripts_play(true, false, session_bottlenecks);
    scripts_play(false, false, session_bottlenecks);
}

static void a_script_in_fixed_memory_gives_one_transcript_through_bottlenecks(void **state)
{
    (void)state;
    scripts_play(true, true, session_bottlenecks);
    scripts_play(false, true, session_bottlenecks);
}

/*==============================================================================
 * What the other parts share
 *============================================================================*/

static peer *client(const char *says)
{
    peer *p = world_connect();
    peer_says(p, says);
    return p;
}

static uhttp_conn *hear(uhttp_event_type event)
{
    uhttp_conn *c = world_next();
    CHECK(c != NULL);
    CHECK(uhttp_event(c) == event);
    return c;
}

static void respond_with(uhttp_conn *c, size_t length)
{
    CHECK(uhttp_respond(c, 200, NULL, program_pattern, length) == UHTTP_OK);
}

static void hear_nothing(void) { CHECK(world_next() == NULL); }

static void open_heap(bool event_mode)
{
    uhttp_config config = world_config();
    config.event_mode = event_mode;
    snprintf(world_what, sizeof world_what, "%s", "");
    world_open(&config, 0);
}

/* How often a text stands in what a client was answered. */
static unsigned peer_count(const peer *p, const char *word)
{
    size_t length = strlen(word);
    unsigned count = 0;
    for (size_t i = 0; i + length <= p->out_length; i++)
        count += memcmp(p->out + i, word, length) == 0 ? 1 : 0;
    return count;
}

static bool peer_begins(const peer *p, const char *words)
{
    return p->out_length >= strlen(words) && memcmp(p->out, words, strlen(words)) == 0;
}

/* What it was answered is this many whole responses, and nothing else. */
static void check_answers(const peer *p, unsigned count)
{
    static char body[ANSWER_BODY];
    uhttp_str rest = { (const char *)p->out, p->out_length };
    answer a;
    a.body = body;
    for (unsigned i = 0; i < count; i++)
        CHECK(answer_next(&rest, ANSWER_GUESS, &a) == ANSWER_WHOLE);
    CHECK(rest.len == 0);
}

/*==============================================================================
 * 2 DEADLINES
 *============================================================================*/

/* The connection is in this state for exactly so long. */
static void stays_for(const peer *p, uh_state state, uint32_t ms)
{
    hear_nothing();
    CHECK(world_state(p) == state);
    CHECK(uhttp_server_timeout(world_server) <= (int)ms);
    world_sleep(ms - 1);
    hear_nothing();
    CHECK(world_state(p) == state);
    CHECK(uhttp_server_timeout(world_server) == 1);
    world_sleep(1);
}

static void stays_for_ever(const peer *p, uh_state state)
{
    hear_nothing();
    for (int day = 0; day < 60; day++) {
        world_sleep(86400000);
        hear_nothing();
        CHECK(world_state(p) == state);
    }
    int timeout = uhttp_server_timeout(world_server);   /* behind full input it may look */
    CHECK(timeout == -1 || (world_server->full && timeout <= (int)UH_PEEK_MS));
}

/* Behind an end of the server's own it lets the peer read for two seconds. */
static void lingers(const peer *p)
{
    hear_nothing();
    CHECK(world_state(p) == UH_LINGER && p->shut && !p->closed);
    stays_for(p, UH_LINGER, 2000);
    hear_nothing();
    CHECK(p->closed);
}

static void handshake_that_stalls_is_closed_after_its_timeout(void **state)
{
    uhttp_tls_config tls;
    uhttp_config config = world_config();
    (void)state;
    memset(&tls, 0, sizeof tls);
    tls.handshake_timeout_ms = 700;
    config.tls = &tls;
    world_open(&config, 0);
    peer *p = world_peer();
    p->mute = true;
    CHECK(world_accept(p));
    stays_for(p, UH_HANDSHAKE, 700);
    hear_nothing();
    CHECK(p->closed && !p->shut && p->out_length == 0);
    world_close();
}

static void handshake_deadline_is_not_renewed_by_its_steps(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = world_peer();
    p->mute = true;
    p->handshake = 30;
    CHECK(world_accept(p));
    hear_nothing();
    for (int i = 0; i < 9; i++) {
        world_sleep(1000);
        p->mute = false;
        CHECK(world_step() == NULL);
        p->mute = true;
        hear_nothing();
        CHECK(world_state(p) == UH_HANDSHAKE);
    }
    stays_for(p, UH_HANDSHAKE, 1000);
    hear_nothing();
    CHECK(p->closed);
    world_close();
}

static void newcomer_that_says_nothing_is_closed_without_a_word(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = world_connect();
    stays_for(p, UH_IDLE, 5000);
    hear_nothing();
    CHECK(p->closed && p->out_length == 0);
    world_close();
}

static void empty_line_alone_begins_no_head(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = world_connect();
    peer_says(p, CRLF);
    hear_nothing();
    stays_for(p, UH_IDLE, 5000);
    hear_nothing();
    CHECK(p->closed && p->out_length == 0);
    world_close();
}

static void idle_connection_is_closed_without_a_word_after_keep_alive_timeout(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    hear_nothing();
    peer_forget_output(p);
    stays_for(p, UH_IDLE, 30000);
    hear_nothing();
    CHECK(p->closed && p->out_length == 0);
    world_close();
}

static void head_gets_408_at_its_deadline_which_no_byte_renews(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = world_connect();
    hear_nothing();
    world_sleep(3000);
    peer_says(p, "GET / HTTP/1.1" CRLF);
    hear_nothing();
    for (int i = 0; i < 4; i++) {
        world_sleep(1000);
        peer_says(p, "A: {1000}" CRLF);
        hear_nothing();
        CHECK(world_state(p) == UH_HEAD);
    }
    stays_for(p, UH_HEAD, 1000);
    hear_nothing();
    CHECK(peer_begins(p, "HTTP/1.1 408 ") && peer_has(p, "Connection: close"));
    check_answers(p, 1);
    lingers(p);
    world_close();
}

static void second_head_gets_408_as_well_behind_its_held_back_answers(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/") "GET /2 HT");
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    stays_for(p, UH_HEAD, 5000);
    hear_nothing();
    check_answers(p, 2);
    CHECK(peer_begins(p, "HTTP/1.1 200 ") && peer_has(p, "HTTP/1.1 408 "));
    lingers(p);
    world_close();
}

static void offered_body_may_wait_for_the_program_for_ever(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(POST("/", LENGTH(9)));
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    stays_for_ever(p, UH_OFFER);
    CHECK(uhttp_respond_text(c, 200, "at last") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    world_part(p);
    world_close();
}

static void held_request_may_wait_for_the_program_for_ever(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    stays_for_ever(p, UH_ANSWER);
    CHECK(uhttp_respond_text(c, 200, "at last") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    world_part(p);
    world_close();
}

static void open_with_response_timeout(bool event_mode)
{
    uhttp_config config = world_config();
    config.event_mode = event_mode;
    config.response_timeout_ms = 60000;
    world_open(&config, 0);
}

static void offer_and_answer_that_wait_too_long_end_with_error_and_503(void **state)
{
    static const char *const requests[] = { GET("/"), POST("/", LENGTH(9)) };
    (void)state;
    for (int i = 0; i < 2; i++) {
        open_with_response_timeout(true);
        peer *p = client(requests[i]);
        uhttp_conn *c = hear(i == 0 ? UHTTP_EVENT_REQUEST : UHTTP_EVENT_HEADERS);
        stays_for(p, i == 0 ? UH_ANSWER : UH_OFFER, 60000);
        CHECK(hear(UHTTP_EVENT_ERROR) == c);
        CHECK(uhttp_error(c, NULL) == 503 && p->out_length == 0);
        CHECK(strcmp(uhttp_path(c), "/") == 0);
        hear_nothing();
        CHECK(peer_begins(p, "HTTP/1.1 503 "));
        check_answers(p, 1);
        lingers(p);
        world_close();
    }
}

static void program_may_still_answer_after_its_time_is_over(void **state)
{
    (void)state;
    open_with_response_timeout(true);
    peer *p = client(GET("/"));
    hear(UHTTP_EVENT_REQUEST);
    hear_nothing();
    world_sleep(60000);
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_ERROR), 200, "late") == UHTTP_OK);
    hear_nothing();
    CHECK(peer_begins(p, "HTTP/1.1 200 ") && peer_has(p, "Connection: close"));
    check_answers(p, 1);
    lingers(p);
    world_close();
}

static void error_not_heard_yet_is_forgotten_when_its_request_is_answered(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        open_with_response_timeout(true);
        peer *first = client(GET("/1"));
        uhttp_conn *a = hear(UHTTP_EVENT_REQUEST);
        peer *second = client(GET("/2"));
        uhttp_conn *b = hear(UHTTP_EVENT_REQUEST);
        hear_nothing();
        world_sleep(60000);
        CHECK(hear(UHTTP_EVENT_ERROR) == a);
        CHECK(uhttp_respond_text(a, 200, "late") == UHTTP_OK);
        if (way == 0)
            CHECK(uhttp_respond_text(b, 200, "late") == UHTTP_OK);
        else if (way == 1)
            CHECK(uhttp_stream_begin(b, 200, NULL) == UHTTP_OK);
        else
            CHECK(uhttp_close(b) == UHTTP_OK);
        hear_nothing();
        CHECK(way != 1 || uhttp_stream_end(b) == UHTTP_OK);
        hear_nothing();
        check_answers(first, 1);
        check_answers(second, way == 2 ? 0 : 1);
        world_close();
    }
}

static void outside_event_mode_503_frees_the_client_and_keeps_the_slot(void **state)
{
    (void)state;
    open_with_response_timeout(false);
    peer *p = client(GET("/path?query"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    uint64_t id = uhttp_id(c);
    stays_for(p, UH_ANSWER, 60000);
    hear_nothing();
    CHECK(peer_begins(p, "HTTP/1.1 503 "));
    check_answers(p, 1);
    lingers(p);
    CHECK(c->state == UH_CLOSED && c->told);
    CHECK(strcmp(uhttp_path(c), "/path") == 0);
    for (int i = 0; i < 2; i++)
        world_connect();
    CHECK(!world_accept(world_peer()));
    CHECK(uhttp_respond_text(c, 200, "too late") == UHTTP_ERR_CLOSED);
    CHECK(uhttp_find(world_server, id) == NULL);
    hear_nothing();
    CHECK(c->state == UH_FREE);
    CHECK(world_accept(world_peer()));
    world_close();
}

static void body_gets_408_when_it_makes_no_progress(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        open_heap(event_mode == 1);
        peer *p = client(POST("/", LENGTH(100000)) "abc");
        if (event_mode)
            CHECK(uhttp_accept_body(hear(UHTTP_EVENT_HEADERS), 0) == UHTTP_OK);
        stays_for(p, UH_BODY, 10000);
        if (event_mode)
            CHECK(uhttp_error(hear(UHTTP_EVENT_ERROR), NULL) == 408);
        hear_nothing();
        CHECK(peer_begins(p, "HTTP/1.1 408 "));
        check_answers(p, 1);
        lingers(p);
        world_close();
    }
}

static void body_deadline_is_renewed_by_a_kilobyte_and_nothing_less(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(POST("/", LENGTH(100000)));
    hear_nothing();
    for (int i = 0; i < 5; i++) {
        char kilobyte[1024];
        memset(kilobyte, 'k', sizeof kilobyte);
        world_sleep(9000);
        peer_says_bytes(p, kilobyte, 1000);
        hear_nothing();
        world_sleep(999);
        CHECK(world_state(p) == UH_BODY);
        peer_says_bytes(p, kilobyte, 24);
        hear_nothing();
        CHECK(world_state(p) == UH_BODY);
    }
    world_sleep(9000);
    for (int i = 0; i < 1023; i++) {
        peer_says(p, "b");
        hear_nothing();
    }
    stays_for(p, UH_BODY, 1000);
    hear_nothing();
    CHECK(peer_begins(p, "HTTP/1.1 408 "));
    world_part(p);
    world_close();
}

static void body_deadline_stands_still_while_the_program_does_not_read(void **state)
{
    static char piece[200000];
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        uhttp_config config = world_config();
        config.event_mode = true;
        world_open(&config, fixed ? 1024 : 0);
        peer *p = client(POST("/", LENGTH(200000)));
        uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
        size_t got = 0;
        CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
        memset(piece, 'p', sizeof piece);
        peer_says_bytes(p, piece, sizeof piece);
        while (world_next() != NULL)
            CHECK(uhttp_event(c) == UHTTP_EVENT_DATA);
        stays_for_ever(p, UH_BODY);
        while (!uhttp_is_loaded(c) || got < 200000) {
            size_t length;
            uhttp_read_buffer(c, &length);
            got += length;
            CHECK(length > 0 || world_next() == c);
        }
        CHECK(uhttp_event(c) == UHTTP_EVENT_COMPLETE || hear(UHTTP_EVENT_COMPLETE) == c);
        CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
        hear_nothing();
        check_answers(p, 1);
        world_part(p);
        world_close();
    }
}

static void body_deadline_runs_again_once_the_program_reads(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.event_mode = true;
    world_open(&config, 1024);
    peer *p = client(POST("/", LENGTH(200000)));
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    size_t length;
    char piece[4096];
    CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
    memset(piece, 'p', sizeof piece);
    peer_says_bytes(p, piece, sizeof piece);
    while (world_next() != NULL) { }
    stays_for_ever(p, UH_BODY);
    CHECK(uhttp_read_buffer(c, &length) != NULL);
    while (world_next() != NULL)
        CHECK(uhttp_read_buffer(c, &length) != NULL);
    stays_for(p, UH_BODY, 10000);
    CHECK(uhttp_error(hear(UHTTP_EVENT_ERROR), NULL) == 408);
    world_part(p);
    world_close();
}

/* The clock wraps after seven weeks; a look that lies longer back is due all the same. */
static void newcomers_are_looked_for_whatever_the_clock_says(void **state)
{
    (void)state;
    static const uint32_t clocks[] = { 50, 1000, 0x70000000, 0x80000032, 0x90000000, 0xfffffff0 };
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        uhttp_config config = world_config();
        world_open(&config, 2048);
        world_now = clocks[i];
        world_server->hidden = true;
        world_server->looked = 0;
        CHECK(uhttp_server_timeout(world_server) <= 100);
        CHECK(uhttp_server_timeout(world_server) >= 0);
        world_server->hidden = false;
        world_close();
    }
}

static void reader_without_progress_is_closed_after_send_timeout(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/"));
    p->window = 100;
    respond_with(hear(UHTTP_EVENT_REQUEST), 20000);
    stays_for(p, UH_SEND, 10000);
    hear_nothing();
    CHECK(p->closed && !p->shut);
    world_close();
}

static void slow_reader_is_not_timed_out_while_it_makes_progress(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/"));
    p->window = 0;
    respond_with(hear(UHTTP_EVENT_REQUEST), 20000);
    hear_nothing();
    for (int i = 0; i < 10; i++) {
        world_sleep(9999);
        p->window = 1024;
        hear_nothing();
        CHECK(world_state(p) == UH_SEND && p->window == 0);
    }
    world_sleep(9000);
    p->window = 1023;
    stays_for(p, UH_SEND, 1000);
    hear_nothing();
    CHECK(p->closed);
    world_close();
}

static void reader_is_asked_once_more_before_it_is_closed(void **state)
{
    (void)state;
    open_heap(false);
    program_forget();
    peer *p = client(GET("/"));
    p->window = 0;
    p->coy = true;                          /* select() waits until much of a buffer is free */
    respond_with(hear(UHTTP_EVENT_REQUEST), 20000);
    hear_nothing();
    for (int i = 0; i < 3; i++) {
        p->window = 1500;
        stays_for(p, UH_SEND, 10000);
        hear_nothing();
        CHECK(world_state(p) == UH_SEND && p->window == 0);
    }
    p->window = 1000;                       /* less than a kilobyte is no progress */
    stays_for(p, UH_SEND, 10000);
    hear_nothing();
    CHECK(p->closed);
    p = client(GET("/"));
    p->window = 0;
    p->coy = true;
    respond_with(hear(UHTTP_EVENT_REQUEST), 300);
    hear_nothing();
    p->window = SIZE_MAX;                   /* but all that was left is */
    stays_for(p, UH_SEND, 10000);
    hear_nothing();
    check_answers(p, 1);
    CHECK(world_state(p) == UH_IDLE);
    world_close();
}

static void stream_that_owes_nothing_may_be_silent_for_ever(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_stream_begin(c, 200, "text/event-stream") == UHTTP_OK);
    CHECK(uhttp_stream_write(c, "one", 3) == UHTTP_OK);
    stays_for_ever(p, UH_STREAM);
    CHECK(uhttp_stream_write(c, "two", 3) == UHTTP_OK);
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    world_part(p);
    world_close();
}

static void stream_to_one_who_does_not_read_ends_after_send_timeout(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        open_heap(event_mode == 1);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        hear_nothing();
        world_sleep(100000);
        hear_nothing();
        p->window = 2;
        CHECK(uhttp_stream_write(c, "hello", 5) == UHTTP_OK);
        stays_for(p, UH_STREAM, 10000);
        if (event_mode)
            CHECK(hear(UHTTP_EVENT_CLOSED) == c);
        hear_nothing();
        CHECK(p->closed);
        CHECK(uhttp_stream_write(c, "more", 4) ==
              (event_mode ? UHTTP_ERR_STATE : UHTTP_ERR_CLOSED));
        hear_nothing();
        CHECK(c->state == UH_FREE);
        world_close();
    }
}

static void stream_after_fin_ends_when_the_program_is_silent_for_two_seconds(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    hear_nothing();
    world_sleep(100000);
    p->fin = true;
    hear_nothing();
    CHECK(!uhttp_is_open(c));
    for (int i = 0; i < 3; i++) {           /* each write lets the two seconds begin anew */
        world_sleep(UH_LINGER_MS - 1);
        CHECK(uhttp_stream_write(c, "tick", 4) == UHTTP_OK);
        hear_nothing();
    }
    p->window = 0;                          /* what is owed has the time of a reader instead */
    CHECK(uhttp_stream_write(c, "tock", 4) == UHTTP_OK);
    hear_nothing();
    world_sleep(UH_LINGER_MS + 1000);
    hear_nothing();
    CHECK(c->state == UH_STREAM);
    p->window = SIZE_MAX;
    hear_nothing();
    stays_for(p, UH_STREAM, UH_LINGER_MS);
    CHECK(hear(UHTTP_EVENT_CLOSED) == c);
    world_close();
}

static void stream_after_fin_is_not_spared_by_a_turn_in_which_nothing_is_written(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    hear_nothing();
    p->fin = true;
    hear_nothing();
    world_sleep(UH_LINGER_MS);
    uh_ready_push(c);                   /* as its socket would, without anything to say */
    CHECK(hear(UHTTP_EVENT_CLOSED) == c);
    world_close();
}

/* An answer that waited for the next one goes out before the server sleeps, and what stands
 * behind it in the same buffer as well: that makes room, too. */
static void stream_behind_a_held_answer_hears_of_room_when_memory_was_out(void **state)
{
    static const char piece[3000];
    uhttp_result result;
    (void)state;
    open_heap(true);
    peer *p = client(GET("/held") GET("/stream"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(c->set_aside);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    memory_fails_from = memory_calls;
    memory_fails_to = SIZE_MAX;
    while ((result = uhttp_stream_write(c, piece, sizeof piece)) == UHTTP_OK) { }
    CHECK(result == UHTTP_ERR_AGAIN && uh_conn_owes(c));
    CHECK(hear(UHTTP_EVENT_WRITABLE) == c);
    memory_fails_from = memory_fails_to = 0;
    CHECK(uhttp_stream_write(c, piece, sizeof piece) == UHTTP_OK);
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    hear_nothing();
    check_answers(p, 2);
    world_close();
}

static void event_stream_after_fin_gets_one_comment(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_sse_begin(c) == UHTTP_OK);
    hear_nothing();
    p->fin = true;
    hear_nothing();
    CHECK(peer_count(p, CRLF ": " "\n\n" CRLF) == 1);
    stays_for(p, UH_STREAM, UH_LINGER_MS);
    CHECK(peer_count(p, ": " "\n\n") == 1);
    CHECK(hear(UHTTP_EVENT_CLOSED) == c);
    world_close();
}

static void drained_body_has_the_deadline_of_a_body(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(POST("/", LENGTH(9000)) "abc");
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_HEADERS), 403, "no") == UHTTP_OK);
    hear_nothing();
    world_sleep(9000);
    for (int i = 0; i < 1024; i++)
        peer_says(p, "d");
    hear_nothing();
    stays_for(p, UH_SKIP, 10000);
    hear_nothing();
    CHECK(p->closed);
    world_close();
}

static void lingering_is_not_prolonged_by_bytes(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client("nonsense" CRLF CRLF);
    hear_nothing();
    for (int i = 0; i < 19; i++) {
        world_sleep(100);
        peer_says(p, "{more of it}");
        hear_nothing();
        CHECK(world_state(p) == UH_LINGER && p->in_at == p->in_length);
    }
    stays_for(p, UH_LINGER, 100);
    hear_nothing();
    CHECK(p->closed);
    world_close();
}

static void never_switches_each_deadline_off(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.event_mode = true;
    config.max_connections = 6;
    config.keep_alive_timeout_ms = config.request_timeout_ms = config.body_timeout_ms =
        config.send_timeout_ms = config.response_timeout_ms = UHTTP_NEVER;
    world_open(&config, 0);
    peer *head = client("GET / HT");
    hear_nothing();
    peer *silent = world_connect();
    peer *body = client(POST("/", LENGTH(9)));
    CHECK(uhttp_accept_body(hear(UHTTP_EVENT_HEADERS), 0) == UHTTP_OK);
    peer *idle = client(GET("/"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    peer *slow = client(GET("/"));
    slow->window = 1;
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    peer *stream = client(GET("/"));
    stream->window = 1;
    CHECK(uhttp_stream_begin(hear(UHTTP_EVENT_REQUEST), 200, NULL) == UHTTP_OK);
    stays_for_ever(head, UH_HEAD);
    CHECK(world_state(silent) == UH_IDLE && world_state(body) == UH_BODY);
    CHECK(world_state(idle) == UH_IDLE && world_state(slow) == UH_SEND);
    CHECK(world_state(stream) == UH_STREAM);
    world_close();
}

static void peer_that_has_just_spoken_is_served_before_it_is_expired(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client("GET / HTTP/1.1" CRLF);
    hear_nothing();
    world_sleep(1000);
    peer_says(p, HOST);
    hear_nothing();
    world_sleep(6000);
    peer_says(p, CRLF);
    uhttp_conn *c = world_step();
    CHECK(c != NULL && uhttp_respond_text(c, 200, "in time") == UHTTP_OK);
    hear_nothing();
    CHECK(peer_begins(p, "HTTP/1.1 200 "));
    world_sleep(31000);
    peer_says(p, GET("/2"));
    CHECK(world_step() == c);
    CHECK(uhttp_respond_text(c, 200, "again") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 2);
    world_part(p);
    world_close();
}

static void peer_that_only_seems_to_speak_is_spared_only_once(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client("GET / HTTP/1.1" CRLF);
    hear_nothing();
    p->stalls = 1;
    peer_says(p, HOST CRLF);
    world_sleep(6000);
    CHECK(world_step() == NULL && world_state(p) == UH_HEAD);
    CHECK(world_step() == NULL && world_state(p) != UH_HEAD);
    p->stalls = 0;
    hear_nothing();
    CHECK(peer_begins(p, "HTTP/1.1 408 "));
    world_part(p);
    world_close();
}

static void refusal_after_a_long_pause_of_the_program_has_its_full_time(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(POST("/", CHUNKED));
    CHECK(uhttp_accept_body(hear(UHTTP_EVENT_HEADERS), 0) == UHTTP_OK);
    peer_says(p, "nonsense");
    CHECK(uhttp_error(hear(UHTTP_EVENT_ERROR), NULL) == 400);
    world_sleep(20000);                     /* the program is away, then gives up */
    p->window = 10;
    stays_for(p, UH_SEND, 10000);
    world_close();
}

static void answer_after_a_long_time_has_its_full_time(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    p->window = 10;
    world_sleep(50000);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    stays_for(p, UH_SEND, 10000);
    world_close();
}

/*==============================================================================
 * 3 OWNERSHIP
 *============================================================================*/

/*--- every call in every state --------------------------------------------------------------*/

/* Where a connection may be when the program calls. */
typedef enum place {
    AT_HANDSHAKE, AT_IDLE, AT_HEAD, AT_OFFER, AT_COLLECTING, AT_READING, AT_REQUEST,
    AT_COMPLETE, AT_READ, AT_ERROR, AT_STREAM, AT_SEND, AT_SKIP, AT_LINGER, AT_CLOSED_EVENT,
    AT_CLOSED_HELD,
    AT_CLOSED_DONE, AT_REFUSED_SEND, AT_REFUSED_LINGER, AT_REFUSED_CLOSED, AT_FREE, PLACES
} place;

static const char *const place_names[] = {
    "HANDSHAKE", "IDLE", "HEAD", "OFFER", "BODY, collecting", "BODY, reading", "ANSWER",
    "ANSWER behind a collected body", "ANSWER behind a read body", "ANSWER after ERROR",
    "STREAM", "SEND", "SKIP", "LINGER", "CLOSED, event just heard", "CLOSED, held",
    "CLOSED, finished",
    "SEND, refused while held", "LINGER, refused while held", "CLOSED, refused while held",
    "FREE"
};

static uhttp_conn *place_offer(peer *p)
{
    peer_says(p, POST("/p?q=1", LENGTH(9000)) "0123456789");
    return hear(UHTTP_EVENT_HEADERS);
}

static uhttp_conn *place_request(peer *p)
{
    peer_says(p, GET("/p?q=1"));
    return hear(UHTTP_EVENT_REQUEST);
}

static void place_says_rest(peer *p)
{
    peer_says_bytes(p, program_pattern, 8990);
}

/* Brings the first slot of a new server to this place. */
static uhttp_conn *place_build(place at)
{
    uhttp_config config = world_config();
    bool refused = at == AT_REFUSED_SEND || at == AT_REFUSED_LINGER || at == AT_REFUSED_CLOSED;
    config.event_mode = !refused && at != AT_CLOSED_HELD;
    config.response_timeout_ms = refused ? 1000 : 0;
    world_open(&config, 0);
    peer *p = world_peer();
    p->mute = at == AT_HANDSHAKE;
    CHECK(world_accept(p));
    hear_nothing();
    uhttp_conn *c = &world_server->slots[0];
    switch (at) {
    case AT_HANDSHAKE:
    case AT_IDLE:
    case PLACES:
        break;
    case AT_HEAD:
        peer_says(p, "GET /p");
        hear_nothing();
        break;
    case AT_OFFER:
        place_offer(p);
        break;
    case AT_COLLECTING:
        CHECK(uhttp_accept_body(place_offer(p), 0) == UHTTP_OK);
        break;
    case AT_READING:
        CHECK(uhttp_accept_body_streaming(place_offer(p), 0) == UHTTP_OK);
        break;
    case AT_REQUEST:
        place_request(p);
        break;
    case AT_COMPLETE:
        CHECK(uhttp_accept_body(place_offer(p), 0) == UHTTP_OK);
        place_says_rest(p);
        hear(UHTTP_EVENT_COMPLETE);
        break;
    case AT_READ:
        CHECK(uhttp_accept_body_streaming(place_offer(p), 0) == UHTTP_OK);
        place_says_rest(p);
        do
            world_next();
        while (uhttp_event(c) == UHTTP_EVENT_DATA);
        CHECK(uhttp_event(c) == UHTTP_EVENT_COMPLETE);
        break;
    case AT_ERROR:
        CHECK(uhttp_accept_body(place_offer(p), 100) == UHTTP_OK);
        hear(UHTTP_EVENT_ERROR);
        break;
    case AT_STREAM:
        CHECK(uhttp_stream_begin(place_request(p), 200, NULL) == UHTTP_OK);
        break;
    case AT_SEND:
        p->window = 10;
        CHECK(uhttp_respond_text(place_request(p), 200, "x") == UHTTP_OK);
        hear_nothing();
        break;
    case AT_SKIP:
        CHECK(uhttp_respond_text(place_offer(p), 200, "x") == UHTTP_OK);
        hear_nothing();
        break;
    case AT_LINGER:
        CHECK(uhttp_add_header(place_request(p), "Connection", "close") == UHTTP_OK);
        CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
        hear_nothing();
        break;
    case AT_CLOSED_EVENT:
        place_request(p);
        p->reset = true;
        hear(UHTTP_EVENT_CLOSED);
        break;
    case AT_CLOSED_HELD:
        place_request(p);
        p->reset = true;
        hear_nothing();
        break;
    case AT_CLOSED_DONE:
        CHECK(uhttp_close(place_request(p)) == UHTTP_OK);
        break;
    case AT_REFUSED_SEND:
    case AT_REFUSED_LINGER:
    case AT_REFUSED_CLOSED:
        place_request(p);
        hear_nothing();
        p->window = at == AT_REFUSED_SEND ? 10 : SIZE_MAX;
        world_sleep(1000);
        hear_nothing();
        world_sleep(at == AT_REFUSED_CLOSED ? 2000 : 0);
        hear_nothing();
        break;
    case AT_FREE:
        world_part(p);
        break;
    }
    return c;
}

static uhttp_result call_respond(uhttp_conn *c) { return uhttp_respond(c, 200, NULL, "x", 1); }
static uhttp_result call_text(uhttp_conn *c) { return uhttp_respond_text(c, 200, "x"); }
static uhttp_result call_html(uhttp_conn *c) { return uhttp_respond_html(c, 200, "x"); }
static uhttp_result call_json(uhttp_conn *c) { return uhttp_respond_json(c, 200, "1"); }
static uhttp_result call_redirect(uhttp_conn *c) { return uhttp_respond_redirect(c, 0, "/"); }
static uhttp_result call_error(uhttp_conn *c) { return uhttp_respond_error(c, 404); }
static uhttp_result call_add(uhttp_conn *c) { return uhttp_add_header(c, "A", "b"); }
static uhttp_result call_begin(uhttp_conn *c) { return uhttp_stream_begin(c, 200, "text/x"); }
static uhttp_result call_write(uhttp_conn *c) { return uhttp_stream_write(c, "x", 1); }
static uhttp_result call_write_none(uhttp_conn *c) { return uhttp_stream_write(c, NULL, 0); }
static uhttp_result call_end(uhttp_conn *c) { return uhttp_stream_end(c); }
static uhttp_result call_sse_begin(uhttp_conn *c) { return uhttp_sse_begin(c); }
static uhttp_result call_sse_send(uhttp_conn *c)
{
    uhttp_sse_event event;
    memset(&event, 0, sizeof event);
    event.data = "x";
    return uhttp_sse_send(c, &event);
}
static uhttp_result call_sse_comment(uhttp_conn *c) { return uhttp_sse_comment(c, NULL); }
static uhttp_result call_sse_end(uhttp_conn *c) { return uhttp_sse_end(c); }
static uhttp_result call_ndjson_begin(uhttp_conn *c) { return uhttp_ndjson_begin(c); }
static uhttp_result call_ndjson_send(uhttp_conn *c) { return uhttp_ndjson_send(c, "1"); }
static uhttp_result call_ndjson_end(uhttp_conn *c) { return uhttp_ndjson_end(c); }
static uhttp_result call_row(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_row(&w, c);
    uhttp_json_null(&w);
    return uhttp_json_send_row(&w);
}
static uhttp_result call_multipart_begin(uhttp_conn *c) { return uhttp_multipart_begin(c); }
static uhttp_result call_frame(uhttp_conn *c)
{
    return uhttp_multipart_frame(c, NULL, "x", 1);
}
static uhttp_result call_multipart_end(uhttp_conn *c) { return uhttp_multipart_end(c); }
static uhttp_result call_close(uhttp_conn *c) { return uhttp_close(c); }
static uhttp_result call_accept(uhttp_conn *c) { return uhttp_accept_body(c, 0); }
static uhttp_result call_accept_streaming(uhttp_conn *c)
{
    return uhttp_accept_body_streaming(c, 0);
}
static uhttp_result call_json_writer(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    uhttp_json_null(&w);
    return uhttp_json_respond(&w, 200);
}
static uhttp_result call_static(uhttp_conn *c)
{
    return uhttp_respond_static(c, 200, NULL, program_pattern, 9000);
}

#define IN(at) (1ul << (at))
#define IN_ANSWERABLE (IN(AT_OFFER) | IN(AT_COLLECTING) | IN(AT_READING) | IN(AT_REQUEST) | \
                       IN(AT_COMPLETE) | IN(AT_READ) | IN(AT_ERROR))
#define IN_GONE (IN(AT_CLOSED_EVENT) | IN(AT_CLOSED_HELD) | IN(AT_CLOSED_DONE) | \
                 IN(AT_REFUSED_SEND) | IN(AT_REFUSED_LINGER) | IN(AT_REFUSED_CLOSED))

#define IN_ENDED_BY_FIN (IN(AT_IDLE) | IN(AT_HEAD) | IN(AT_OFFER) | IN(AT_COLLECTING) | \
                         IN(AT_READING) | IN(AT_ERROR) | IN(AT_SKIP) | IN(AT_LINGER))

static const struct {
    const char *name;
    uhttp_result (*make)(uhttp_conn *c);
    unsigned long works;    /* where; elsewhere CLOSED if the client has gone, else STATE */
} calls[] = {
    { "respond", call_respond, IN_ANSWERABLE },
    { "respond_text", call_text, IN_ANSWERABLE },
    { "respond_html", call_html, IN_ANSWERABLE },
    { "respond_json", call_json, IN_ANSWERABLE },
    { "respond_static", call_static, IN_ANSWERABLE },
    { "json_respond", call_json_writer, IN_ANSWERABLE },
    { "respond_redirect", call_redirect, IN_ANSWERABLE },
    { "respond_error", call_error, IN_ANSWERABLE },
    { "add_header", call_add, IN_ANSWERABLE },
    { "stream_begin", call_begin, IN_ANSWERABLE },
    { "stream_write", call_write, IN(AT_STREAM) },
    { "stream_write of nothing", call_write_none, IN(AT_STREAM) },
    { "stream_end", call_end, IN(AT_STREAM) },
    { "sse_begin", call_sse_begin, IN_ANSWERABLE },
    { "sse_send", call_sse_send, IN(AT_STREAM) },
    { "sse_comment", call_sse_comment, IN(AT_STREAM) },
    { "sse_end", call_sse_end, IN(AT_STREAM) },
    { "ndjson_begin", call_ndjson_begin, IN_ANSWERABLE },
    { "ndjson_send", call_ndjson_send, IN(AT_STREAM) },
    { "ndjson_end", call_ndjson_end, IN(AT_STREAM) },
    { "json_send_row", call_row, IN(AT_STREAM) },
    { "multipart_begin", call_multipart_begin, IN_ANSWERABLE },
    { "multipart_frame", call_frame, 0 },       /* this stream is not one of frames */
    { "multipart_end", call_multipart_end, IN(AT_STREAM) },
    { "close", call_close, IN_ANSWERABLE | IN(AT_STREAM) },
    { "accept_body", call_accept, IN(AT_OFFER) | IN(AT_REQUEST) },
    { "accept_body_streaming", call_accept_streaming, IN(AT_OFFER) | IN(AT_REQUEST) },
};

static void every_call_in_every_state_answers_right_and_harms_nothing(void **state)
{
    (void)state;
    program_forget();
    for (int at = 0; at < PLACES; at++) {
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            uhttp_conn before;
            snprintf(world_what, sizeof world_what, "%s in %s", calls[i].name, place_names[at]);
            uhttp_conn *c = place_build((place)at);
            before = *c;
            uhttp_result want = calls[i].works & IN(at) ? UHTTP_OK
                : IN_GONE & IN(at) ? UHTTP_ERR_CLOSED : UHTTP_ERR_STATE;
            CHECK(calls[i].make(c) == want);
            CHECK(want != UHTTP_ERR_STATE || memcmp(&before, c, sizeof before) == 0);
            CHECK(want != UHTTP_ERR_CLOSED || !c->told);
            world_check(false);
            uhttp_result again = calls[i].make(c);
            CHECK(again == UHTTP_OK || again == UHTTP_ERR_STATE || again == UHTTP_ERR_CLOSED);
            world_check(false);
            for (int n = 0; n < 50 && world_next() != NULL; n++) { }
            peer *other = client(GET("/other"));
            uhttp_conn *second = world_next();
            CHECK(second != NULL && strcmp(uhttp_path(second), "/other") == 0);
            CHECK(uhttp_respond_text(second, 200, "well") == UHTTP_OK);
            while (world_next() != NULL) { }
            check_answers(other, 1);
            world_close();
        }
    }
}

static void every_question_in_every_state_is_answered(void **state)
{
    (void)state;
    program_forget();
    for (int at = 0; at < PLACES; at++) {
        char buffer[128];
        const char *why;
        size_t length;
        int port;
        snprintf(world_what, sizeof world_what, "questions in %s", place_names[at]);
        uhttp_conn *c = place_build((place)at);
        uhttp_conn before = *c;
        bool knows = at != AT_HANDSHAKE && at != AT_IDLE && at != AT_HEAD && at != AT_SKIP &&
                     at != AT_FREE && at != AT_LINGER;
        CHECK((strcmp(uhttp_path(c), "/p") == 0) == knows);
        CHECK((uhttp_query(c, "q") != NULL) == knows);
        CHECK((uhttp_header(c, "host") != NULL) == knows);
        CHECK((uhttp_header_count(c) > 0) == knows);
        CHECK(uhttp_header_at(c, 0, NULL, NULL) == knows);
        CHECK((uhttp_query_count(c) == 1) == knows);
        CHECK(uhttp_query_at(c, 0, &why, NULL) == knows);
        CHECK(uhttp_cookie_count(c) == 0 && uhttp_cookie(c, "a") == NULL);
        CHECK(uhttp_form_count(c) == 0 && uhttp_form(c, "a") == NULL);
        CHECK(uhttp_basic_auth(c, buffer, sizeof buffer, &why, &why) == UHTTP_ERR_INVALID);
        CHECK(uhttp_path_match(c, "/:what", NULL, 0) == knows);
        CHECK(uhttp_remote_address(c, buffer, sizeof buffer) > 0);
        CHECK(uhttp_remote_addresses(c, buffer, sizeof buffer) > 0);
        CHECK((strcmp(uhttp_protocol(c), "HTTP/1.1") == 0) == knows);
        CHECK((*uhttp_method(c) != '\0') == knows && (*uhttp_url(c) != '\0') == knows);
        CHECK(uhttp_content_type(c) == NULL && (uhttp_host(c) != NULL) == knows);
        CHECK(uhttp_full_url(c, buffer, sizeof buffer) != 0);
        CHECK(uhttp_socket_address(c, buffer, sizeof buffer, &port) > 0);
        CHECK((uhttp_body(c, &length) != NULL) == (at == AT_COMPLETE));
        CHECK(length == (at == AT_COMPLETE ? 9000u : 0u));
        CHECK((uhttp_error(c, &why) != 0) == (at == AT_ERROR) && why != NULL);
        CHECK((uhttp_send_room(c) > 0) == (at == AT_STREAM));
        CHECK((uhttp_fd(c) >= 0) == (c->state != UH_FREE && c->state != UH_CLOSED));
        CHECK(uhttp_is_open(c) == (c->state != UH_FREE && c->state != UH_CLOSED));
        CHECK(uhttp_context(c) == NULL && uhttp_server_of(c) == world_server);
        CHECK(uhttp_is_secure(c) || !knows);
        uhttp_bytes_received(c);
        uhttp_is_loaded(c);
        CHECK((uhttp_next(world_server, NULL) == c) == c->told);
        /* where the program stands among the parameters may be remembered, nothing else */
        before.request.listed = c->request.listed;
        before.request.taken_count = c->request.taken_count;
        before.request.taken_at = c->request.taken_at;
        before.request.cookies = c->request.cookies;
        before.request.cookies_end = c->request.cookies_end;
        CHECK(memcmp(&before, c, sizeof before) == 0);
        uhttp_conn *found = uhttp_find(world_server, uhttp_id(c));
        CHECK((found == c) == (((IN_ANSWERABLE | IN(AT_STREAM)) & IN(at)) != 0));
        uhttp_read_buffer(c, &length);
        CHECK(length == (at == AT_READING ? 10u : at == AT_READ ? 9000u : 0u));
        world_check(false);
        for (int n = 0; n < 50 && world_next() != NULL; n++) { }
        world_close();
    }
}

static void server_may_be_closed_in_every_state(void **state)
{
    (void)state;
    program_forget();
    for (int at = 0; at < PLACES; at++) {
        snprintf(world_what, sizeof world_what, "close of the server in %s", place_names[at]);
        place_build((place)at);
        world_close();
    }
}

static void server_may_be_shut_down_in_every_state(void **state)
{
    (void)state;
    program_forget();
    for (int at = 0; at < PLACES; at++) {
        snprintf(world_what, sizeof world_what, "shutdown in %s", place_names[at]);
        uhttp_conn *c = place_build((place)at);
        peer *p = c->t != NULL ? world_peer_of(c) : NULL;
        uhttp_result want = at == AT_FREE ? UHTTP_OK : UHTTP_ERR_AGAIN;
        CHECK(uhttp_server_shutdown(world_server) == want);
        CHECK(uhttp_server_shutdown(world_server) == want);
        for (int n = 0; n < 20; n++)
            world_next();
        if (at == AT_IDLE) {        /* it has not spoken: its request may be on the way */
            CHECK(!p->closed);
            world_sleep(UH_LINGER_MS);
            hear_nothing();
            CHECK(p->closed);
        }
        uhttp_result let_go = c->told ? uhttp_close(c) : UHTTP_OK;
        CHECK(let_go == UHTTP_OK || (let_go == UHTTP_ERR_CLOSED && (IN_GONE & IN(at)) != 0));
        if (p != NULL && !p->closed)
            world_part(p);
        hear_nothing();
        CHECK(uhttp_server_shutdown(world_server) == UHTTP_OK);
        world_close();
    }
}

static void peer_may_be_lost_in_every_state(void **state)
{
    (void)state;
    program_forget();
    for (int at = 0; at < PLACES; at++) {
        for (int how = 0; how < 3; how++) {
            unsigned ends = 0;
            snprintf(world_what, sizeof world_what, "%s in %s", how == 0 ? "reset"
                     : how == 1 ? "failing send" : "FIN", place_names[at]);
            uhttp_conn *c = place_build((place)at);
            bool told = c->told && c->event != UHTTP_EVENT_CLOSED &&
                        c->event != UHTTP_EVENT_ERROR;
            peer *p = c->t != NULL ? world_peer_of(c) : NULL;
            if (p != NULL && how == 0)
                p->reset = true;
            else if (p != NULL && how == 1)
                p->send_fails = true;
            else if (p != NULL)
                p->fin = true;
            for (int n = 0; n < 60; n++) {
                uhttp_conn *heard = world_next();
                CHECK(heard == NULL || heard == c);
                ends += heard != NULL && (uhttp_event(c) == UHTTP_EVENT_CLOSED ||
                                          uhttp_event(c) == UHTTP_EVENT_ERROR) ? 1 : 0;
            }
            bool ended = (IN(at) & IN_ENDED_BY_FIN) != 0;
            CHECK(ends <= 1);
            CHECK(how != 2 || !ended || p->closed);
            told = told && uhttp_server_event_mode(world_server);
            CHECK(how != 0 || ends == (told ? 1u : 0u));
            CHECK(how != 0 || c->state == UH_FREE || !uhttp_server_event_mode(world_server));
            world_close();
        }
    }
}

/*--- told, held, gone -----------------------------------------------------------------------*/

static void answer_after_the_peer_left_returns_closed_and_touches_nothing(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/gone?a=1"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    int context;
    uhttp_set_context(c, &context);
    p->reset = true;
    hear_nothing();
    CHECK(p->closed && !uhttp_is_open(c) && uhttp_fd(c) == -1);
    CHECK(strcmp(uhttp_path(c), "/gone") == 0 && strcmp(uhttp_query(c, "a"), "1") == 0);
    CHECK(uhttp_context(c) == &context);
    CHECK(uhttp_respond_text(c, 200, "hello?") == UHTTP_ERR_CLOSED);
    CHECK(uhttp_respond_text(c, 200, "hello?") == UHTTP_ERR_CLOSED);
    CHECK(p->out_length == 0);
    hear_nothing();
    CHECK(c->state == UH_FREE);
    world_close();
}

static void slot_of_a_lost_client_waits_until_the_program_knows(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        uhttp_config config = world_config();
        uhttp_stats stats;
        config.max_connections = 1;
        config.event_mode = way == 3;
        world_open(&config, 0);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        uint64_t id = uhttp_id(c);
        p->reset = true;
        if (way == 3) {
            CHECK(hear(UHTTP_EVENT_CLOSED) == c);
        } else {
            for (int i = 0; i < 10; i++) {
                world_sleep(100000);
                hear_nothing();
            }
            uhttp_server_stats(world_server, &stats);
            CHECK(stats.forgotten == 1 && stats.held == 1);
            CHECK(!world_accept(world_peer()));
        }
        if (way == 0)
            CHECK(uhttp_find(world_server, id) == NULL);
        else if (way == 1)
            CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_ERR_CLOSED);
        else if (way == 2)
            CHECK(uhttp_close(c) == UHTTP_ERR_CLOSED);
        CHECK(c->state == UH_CLOSED && strcmp(uhttp_path(c), "/") == 0);
        hear_nothing();
        uhttp_server_stats(world_server, &stats);
        CHECK(stats.forgotten == 0 && stats.held == 0 && stats.connections == 0);
        peer *next = client(GET("/next"));
        CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
        CHECK(uhttp_find(world_server, id) == NULL);
        hear_nothing();
        check_answers(next, 1);
        world_close();
    }
}

static void slots_are_free_again_in_whatever_order_they_were_left(void **state)
{
    (void)state;
    for (int order = 0; order < 4; order++) {
        uhttp_config config = world_config();
        config.max_connections = 4;
        world_open(&config, 0);
        for (int round = 0; round < 3; round++) {
            peer *p[4];
            for (int i = 0; i < 4; i++) {
                p[i] = client(GET("/"));
                CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
            }
            CHECK(!world_accept(world_peer()));
            for (int i = 0; i < 4; i++) {
                p[i ^ order]->fin = true;
                if (i != 1)
                    hear_nothing();
            }
            hear_nothing();
        }
        world_close();
    }
}

static void stale_id_finds_nothing_not_even_the_next_request_of_its_client(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/1") GET("/2"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    uint64_t first = uhttp_id(c);
    CHECK(first != 0 && uhttp_find(world_server, first) == c);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    CHECK(uhttp_find(world_server, first) == NULL);
    CHECK(hear(UHTTP_EVENT_REQUEST) == c);
    CHECK(uhttp_id(c) != first && uhttp_find(world_server, first) == NULL);
    CHECK(uhttp_find(world_server, uhttp_id(c)) == c);
    CHECK(uhttp_find(world_server, uhttp_id(c) + 1) == NULL);
    CHECK(uhttp_find(world_server, uhttp_id(c) | 0xffffff) == NULL);
    CHECK(uhttp_find(world_server, uhttp_id(c) + (1u << 24)) == NULL);
    CHECK(uhttp_find(world_server, 0) == NULL);
    world_part(p);
    CHECK(uhttp_find(world_server, uhttp_id(c)) == NULL);
    hear_nothing();
    world_close();
}

static void no_two_requests_have_the_same_id(void **state)
{
    uint64_t ids[300];
    size_t count = 0;
    (void)state;
    open_heap(false);
    while (count < 300) {
        peer *p = client(GET("/") GET("/") GET("/"));
        for (int i = 0; i < 3; i++) {
            uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
            ids[count] = uhttp_id(c);
            for (size_t k = 0; k < count; k++)
                CHECK(ids[k] != ids[count]);
            count++;
            CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
        }
        world_part(p);
    }
    world_close();
}

static void answering_twice_is_an_error_of_state_and_sends_one_answer(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/1") GET("/2"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_respond_text(c, 200, "one") == UHTTP_OK);
    CHECK(uhttp_respond_text(c, 200, "two") == UHTTP_ERR_STATE);
    CHECK(uhttp_add_header(c, "A", "b") == UHTTP_ERR_STATE);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_ERR_STATE);
    CHECK(uhttp_close(c) == UHTTP_ERR_STATE);
    CHECK(hear(UHTTP_EVENT_REQUEST) == c);
    CHECK(strcmp(uhttp_path(c), "/2") == 0);
    CHECK(uhttp_respond_text(c, 200, "three") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 2);
    CHECK(!peer_has(p, "two"));
    world_part(p);
    world_close();
}

static void strings_stay_readable_until_the_next_wait_after_the_response(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        uhttp_config config = world_config();
        config.event_mode = way % 2 == 1;
        world_open(&config, way < 2 ? 0 : 1024);
        peer *p = client("POST /a%20b?c=%64 HTTP/1.1" CRLF "Host: h" CRLF LENGTH(4) CRLF "body"
                         GET("/next"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        const char *path = uhttp_path(c);
        const char *query = uhttp_query(c, "c");
        const char *method = uhttp_method(c);
        const char *host = uhttp_header(c, "Host");
        const char *body = (const char *)uhttp_body(c, NULL);
        if (way == 3) {
            CHECK(uhttp_close(c) == UHTTP_OK);
        } else {
            respond_with(c, way == 0 ? 20000 : 300);
        }
        CHECK(strcmp(path, "/a b") == 0 && strcmp(query, "d") == 0);
        CHECK(strcmp(method, "POST") == 0);
        CHECK(strcmp(host, "h") == 0 && strcmp(body, "body") == 0);
        CHECK(uhttp_path(c) == path && uhttp_body(c, NULL) == body);
        for (int n = 0; n < 20 && world_next() != NULL; n++) { }
        CHECK(p->reset || p->out_length > 0 || way == 3);
        world_close();
    }
}

static void large_collected_body_stays_readable_after_the_response(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(POST("/", LENGTH(50000)));
    program_forget();
    peer_says_bytes(p, program_pattern, 50000);
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    size_t length;
    const char *body = (const char *)uhttp_body(c, &length);
    CHECK(length == 50000 && uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    CHECK(memcmp(body, program_pattern, 50000) == 0 && body[50000] == '\0');
    hear_nothing();
    world_part(p);
    world_close();
}

static void context_is_null_at_the_begin_of_every_request(void **state)
{
    int mine;
    (void)state;
    open_heap(false);
    peer *p = client(GET("/1") GET("/2"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_context(c) == NULL);
    uhttp_set_context(c, &mine);
    hear_nothing();
    CHECK(uhttp_context(c) == &mine);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    CHECK(hear(UHTTP_EVENT_REQUEST) == c && uhttp_context(c) == NULL);
    uhttp_set_context(c, &mine);
    world_part(p);
    CHECK(uhttp_close(c) == UHTTP_ERR_CLOSED);
    hear_nothing();
    client(GET("/3"));
    CHECK(hear(UHTTP_EVENT_REQUEST) == c && uhttp_context(c) == NULL);
    world_close();
}

static void context_set_on_a_stale_pointer_reaches_no_request(void **state)
{
    int mine;
    (void)state;
    open_heap(false);
    peer *p = client(GET("/1"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    hear_nothing();
    uhttp_set_context(c, &mine);            /* misuse: the request is over */
    peer_says(p, GET("/2"));
    CHECK(hear(UHTTP_EVENT_REQUEST) == c && uhttp_context(c) == NULL);
    world_close();
}

static void next_walks_what_the_program_owns_and_nothing_else(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.max_connections = 6;
    config.event_mode = true;
    world_open(&config, 0);
    CHECK(uhttp_next(world_server, NULL) == NULL);
    client("GET /unfinished HT");
    hear_nothing();
    client(GET("/held"));
    uhttp_conn *held = hear(UHTTP_EVENT_REQUEST);
    client(GET("/answered"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    client(GET("/stream"));
    uhttp_conn *stream = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_stream_begin(stream, 200, NULL) == UHTTP_OK);
    client(POST("/offer", LENGTH(3)));
    uhttp_conn *offer = hear(UHTTP_EVENT_HEADERS);
    hear_nothing();
    CHECK(uhttp_next(world_server, NULL) == held);
    CHECK(uhttp_next(world_server, held) == stream);
    CHECK(uhttp_next(world_server, stream) == offer);
    CHECK(uhttp_next(world_server, offer) == NULL);
    CHECK(uhttp_close(stream) == UHTTP_OK);
    CHECK(uhttp_next(world_server, held) == offer);
    CHECK(uhttp_respond_text(held, 200, "x") == UHTTP_OK);
    CHECK(uhttp_respond_text(offer, 200, "x") == UHTTP_OK);
    CHECK(uhttp_next(world_server, NULL) == NULL);
    world_close();
}

static void fin_while_a_request_is_held_still_gets_its_answer(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        open_heap(event_mode == 1);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        CHECK(uhttp_is_open(c));
        p->fin = true;
        hear_nothing();
        CHECK(!uhttp_is_open(c) && uhttp_fd(c) >= 0);
        CHECK(uhttp_find(world_server, uhttp_id(c)) == c);
        world_sleep(1000000);
        hear_nothing();
        CHECK(uhttp_server_timeout(world_server) == -1);
        CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
        hear_nothing();
        check_answers(p, 1);
        CHECK(peer_has(p, "Connection: close") && p->closed);
        world_close();
    }
}

static void fin_behind_a_pipeline_gets_all_its_answers_and_then_the_end(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/1") GET("/2") GET("/3") "GET /unfinished");
    p->fin = true;
    for (int i = 0; i < 3; i++) {
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        hear_nothing();
        CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    }
    hear_nothing();
    check_answers(p, 3);
    CHECK(p->closed);
    world_close();
}

static void fin_during_a_stream_lets_it_go_on(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    p->fin = true;
    hear_nothing();
    CHECK(uhttp_stream_write(c, "still here", 10) == UHTTP_OK);
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    CHECK(p->closed);
    world_close();
}

static void fin_in_a_body_fails_it_once(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        open_heap(way > 0);
        peer *p = client(POST("/", LENGTH(10)) "abc");
        if (way > 0) {
            uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
            if (way == 2)
                CHECK(uhttp_accept_body(c, 0) == UHTTP_OK);
            if (way == 3)
                CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
            if (way == 3)
                CHECK(hear(UHTTP_EVENT_DATA) == c);
        }
        p->fin = true;
        if (way > 0)
            CHECK(uhttp_error(hear(UHTTP_EVENT_ERROR), NULL) == 400);
        hear_nothing();
        CHECK(peer_begins(p, "HTTP/1.1 400 ") && p->closed);
        check_answers(p, 1);
        world_close();
    }
}

static void request_that_comes_with_its_reset_does_not_leave_a_dead_pointer(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        uhttp_config config = world_config();
        config.event_mode = event_mode == 1;
        config.max_connections = 1;
        world_open(&config, 0);
        peer *p = client(GET("/1") "GET /2 HTTP/1.1" CRLF);
        p->window = 10;
        CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
        hear_nothing();                     /* owes the first answer, has half a second head */
        peer_says(p, HOST CRLF);
        p->send_fails = true;               /* a reset: what has come can still be read */
        uhttp_conn *c = world_next();
        if (c != NULL && uhttp_event(c) == UHTTP_EVENT_REQUEST) {
            uint64_t id = uhttp_id(c);
            while (world_next() != NULL)
                CHECK(uhttp_event(c) == UHTTP_EVENT_CLOSED);
            uhttp_close(c);
            CHECK(uhttp_find(world_server, id) == NULL);
        }
        hear_nothing();
        world_check(true);
        CHECK(p->closed && !world_server->slots[0].told);
        peer *next = client(GET("/next"));
        CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
        hear_nothing();
        check_answers(next, 1);
        world_close();
    }
}

static void lost_client_of_a_refused_request_does_not_leave_a_dead_pointer(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.max_connections = 1;
    config.response_timeout_ms = 1000;
    world_open(&config, 0);
    peer *p = client(GET("/1") GET("/2"));
    p->window = 10;
    respond_with(hear(UHTTP_EVENT_REQUEST), 1900);
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    uint64_t id = uhttp_id(c);
    hear_nothing();
    memory_fails_from = memory_calls;       /* no memory for the 503, no peer for the rest */
    memory_fails_to = SIZE_MAX;
    p->send_fails = true;
    c->blocked = false;                     /* select() has just said so */
    world_sleep(1000);
    CHECK(uhttp_process_events(world_server, NULL, 0) == NULL);
    hear_nothing();
    memory_fails_to = 0;
    CHECK(c->told && uhttp_id(c) == id);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_ERR_CLOSED);
    hear_nothing();
    CHECK(c->state == UH_FREE);
    world_close();
}

static void request_lost_while_its_answer_is_written_ends_exactly_once(void **state)
{
    (void)state;
    for (int way = 0; way < 5; way++) {
        unsigned closed = 0;
        open_heap(true);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        uhttp_result result = UHTTP_OK;
        if (way >= 3)
            CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        p->send_fails = true;
        if (way == 0)
            result = uhttp_respond_text(c, 200, "x");
        else if (way == 1)
            result = uhttp_respond(c, 200, NULL, program_pattern, 50000);
        else if (way == 2)
            result = uhttp_respond_static(c, 200, NULL, program_pattern, 50000);
        else if (way == 3)
            result = uhttp_stream_end(c);
        else
            while (result == UHTTP_OK)
                result = uhttp_stream_write(c, program_pattern, 10000);
        CHECK(result == (way == 4 ? UHTTP_ERR_CLOSED : UHTTP_OK));
        while (world_next() != NULL)
            closed++;
        CHECK(closed == 0 && p->closed && c->state == UH_FREE);
        world_close();
    }
}

static void close_ends_the_connection_and_an_unfinished_body_looks_unfinished(void **state)
{
    static char body[ANSWER_BODY];
    (void)state;
    open_heap(true);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    answer a;
    a.body = body;
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    CHECK(uhttp_stream_write(c, "half", 4) == UHTTP_OK);
    CHECK(uhttp_close(c) == UHTTP_OK);
    CHECK(uhttp_close(c) == UHTTP_ERR_CLOSED);
    hear_nothing();
    uhttp_str rest = { (const char *)p->out, p->out_length };
    CHECK(p->closed && answer_next(&rest, ANSWER_PLAIN, &a) == ANSWER_CUT);
    world_close();
}

static void close_sends_the_answers_to_earlier_requests(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/1") GET("/2") GET("/3"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    CHECK(uhttp_close(hear(UHTTP_EVENT_REQUEST)) == UHTTP_OK);
    hear_nothing();
    check_answers(p, 2);
    CHECK(p->closed);
    world_close();
}

/* Its answer has left; what it goes on sending stays in its own network. */
static void of_a_refused_body_no_more_is_discarded_than_so_much(void **state)
{
    static uint8_t piece[1u << 20];
    (void)state;
    open_heap(false);
    peer *p = client(POST("/", LENGTH(4000000000)));
    hear_nothing();
    CHECK(world_state(p) == UH_LINGER && p->shut && peer_has(p, "413 "));
    for (int i = 0; i < 24; i++) {
        peer_says_bytes(p, piece, sizeof piece);
        hear_nothing();
    }
    CHECK(!p->closed && p->in_at >= UH_LINGER_MOST && p->in_at <= UH_LINGER_MOST + 20000);
    world_sleep(UH_LINGER_MS);
    hear_nothing();
    CHECK(p->closed);
    world_close();
}

/*--- a system without memory ----------------------------------------------------------------*/

static void a_read_that_finds_no_memory_is_tried_again_after_a_while(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = world_connect();
    p->starves = true;
    peer_says(p, GET("/"));
    for (unsigned tries = 1; tries <= 3; tries++) {
        hear_nothing();
        CHECK(p->recvs == tries && uhttp_server_timeout(world_server) == 100);
        world_sleep(99);
        hear_nothing();
        CHECK(p->recvs == tries);
        world_sleep(1);
    }
    p->starves = false;
    respond_with(hear(UHTTP_EVENT_REQUEST), 10);
    hear_nothing();
    check_answers(p, 1);
    world_close();
}

/* The connection lives as long as its deadline allows. */
static void a_send_that_finds_no_memory_is_tried_again_after_a_while(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        open_heap(false);
        peer *other = client("");
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        p->starves = true;
        respond_with(c, 5000);
        hear_nothing();
        unsigned tries = p->sends;
        CHECK(tries > 0 && !p->closed && uhttp_server_timeout(world_server) == 100);
        for (int i = 0; i < 20; i++) {
            world_sleep(50);
            if (i == 10)
                peer_says(other, GET("/"));     /* others are served meanwhile */
            uhttp_conn *of_other = world_next();
            CHECK((of_other != NULL) == (i == 10));
            if (of_other != NULL)
                respond_with(of_other, 10);
        }
        CHECK(p->sends - tries == 10);
        check_answers(other, 1);
        p->starves = way == 1;
        for (int i = 0; i < 100; i++) {
            world_sleep(100);
            hear_nothing();
        }
        CHECK(p->closed == (way == 1));
        if (way == 0)
            check_answers(p, 1);
        world_close();
    }
}

/*--- what is told of a request --------------------------------------------------------------*/

static unsigned log_lines;
static char log_last[200];

static void log_line(void *user, const char *line)
{
    (void)user;
    log_lines++;
    snprintf(log_last, sizeof log_last, "%s", line);
}

static void log_says_once_what_was_refused_and_why(void **state)
{
    static const struct { const char *in, *begin; } cases[] = {
        { "nonsense" CRLF CRLF, "400 " },
        { POST("/", LENGTH(600000)), "413 " },
        { "GET / HTTP/3.0" CRLF HOST CRLF, "505 " },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uhttp_config config = world_config();
        config.log = log_line;
        world_open(&config, 0);
        log_lines = 0;
        client(cases[i].in);
        hear_nothing();
        CHECK(log_lines == 1 && strncmp(log_last, cases[i].begin, 4) == 0);
        CHECK(strlen(log_last) > 30 && strstr(log_last, "192.0.2.1") != NULL);
        world_close();
    }
}

static void log_says_that_a_reader_was_given_up(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.log = log_line;
    world_open(&config, 0);
    log_lines = 0;
    peer *p = client(GET("/"));
    p->window = 10;
    respond_with(hear(UHTTP_EVENT_REQUEST), 300);
    stays_for(p, UH_SEND, 10000);
    hear_nothing();
    CHECK(log_lines == 1 && strstr(log_last, "send_timeout_ms") != NULL);
    world_close();
}

static void log_says_once_that_the_program_holds_a_client_who_has_gone(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.log = log_line;
    world_open(&config, 0);
    log_lines = 0;
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    p->reset = true;
    for (int i = 0; i < 5; i++) {
        hear_nothing();
        world_sleep(100000);
    }
    CHECK(log_lines == 1);
    CHECK(uhttp_close(c) == UHTTP_ERR_CLOSED);
    hear_nothing();
    CHECK(log_lines == 1);
    world_close();
}

static unsigned logged;
static char logged_last[200];

static void log_access(void *user, const uhttp_access *entry)
{
    (void)user;
    logged++;
    snprintf(logged_last, sizeof logged_last, "%s %s %s %d %d %lu", entry->address,
             entry->method, entry->url, entry->version_minor, entry->status,
             (unsigned long)entry->bytes);
}

static void access_log_is_told_once_of_each_response(void **state)
{
    static const struct { const char *in; bool holds; const char *line; } cases[] = {
        { GET("/a?b"), false, "192.0.2.1 GET /a?b 1 200 5" },
        { "HEAD /a HTTP/1.0" CRLF CRLF, false, "192.0.2.1 HEAD /a 0 200 0" },
        { "nonsense" CRLF CRLF, false, "192.0.2.1   0 400 16" },
        { GET("/held"), true, "192.0.2.1 GET /held 1 503 24" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int event_mode = 0; event_mode < 2; event_mode++) {
            uhttp_config config = world_config();
            config.access_log = log_access;
            config.response_timeout_ms = 1000;
            config.event_mode = event_mode == 1;
            world_open(&config, 0);
            logged = 0;
            peer *p = client(cases[i].in);
            uhttp_conn *c = world_next();
            if (c != NULL && !cases[i].holds)
                CHECK(uhttp_respond(c, 200, NULL, "hello", 5) == UHTTP_OK);
            hear_nothing();
            world_sleep(1000);
            while (world_next() != NULL) { }
            p->fin = true;
            while (world_next() != NULL) { }
            if (c != NULL)
                uhttp_find(world_server, uhttp_id(c));
            hear_nothing();
            CHECK(p->closed);
            snprintf(world_what, sizeof world_what, "access log of %s: %u times '%s'",
                     cases[i].line, logged, logged_last);
            CHECK(logged == 1 && strcmp(logged_last, cases[i].line) == 0);
            world_close();
        }
    }
}

static void refusal_bears_a_date_whatever_was_drafted_before_it(void **state)
{
    (void)state;
    open_heap(true);
    peer *p = client(POST("/", CHUNKED));
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    CHECK(uhttp_add_header(c, "Date", "Sun, 06 Nov 1994 08:49:37 GMT") == UHTTP_OK);
    CHECK(uhttp_accept_body(c, 0) == UHTTP_OK);
    peer_says(p, "nonsense");
    hear(UHTTP_EVENT_ERROR);
    hear_nothing();
    check_answers(p, 1);
    CHECK(peer_begins(p, "HTTP/1.1 400 ") && peer_count(p, "Date: ") == 1);
    CHECK(!peer_has(p, "1994"));
    world_close();
}

static void streamed_body_never_gives_more_than_its_limit(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        open_heap(true);
        peer *p = client(POST("/", CHUNKED));
        if (way == 0) {
            CHECK(world_next() != NULL);
        } else {
            peer_says(p, "4" CRLF "abcd" CRLF "14" CRLF "01234567890123456789" CRLF);
            CHECK(world_next() != NULL);
        }
        uhttp_conn *c = &world_server->slots[0];
        size_t length;
        size_t got = 0;
        CHECK(uhttp_event(c) == UHTTP_EVENT_HEADERS);
        CHECK(uhttp_accept_body_streaming(c, 10) == UHTTP_OK);
        uhttp_read_buffer(c, &length);
        got += length;
        if (way == 0)
            peer_says(p, "4" CRLF "abcd" CRLF "14" CRLF "01234567890123456789" CRLF);
        do {
            CHECK(world_next() == c);
            uhttp_read_buffer(c, &length);
            got += length;
        } while (uhttp_event(c) == UHTTP_EVENT_DATA);
        CHECK(uhttp_error(c, NULL) == 413);
        CHECK(got <= 10);
        world_part(p);
        world_close();
    }
}

static void reading_in_vain_does_not_leave_the_connection_unwatched(void **state)
{
    uhttp_config config = world_config();
    text in = { NULL, 0, 0 };
    size_t length;
    (void)state;
    config.event_mode = true;
    world_open(&config, 512);
    peer *p = client(POST("/", CHUNKED));
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    text_expand(&in, "1;{600*x}");
    peer_says_bytes(p, in.data, in.length);
    hear_nothing();                         /* nobody reads it: it stays where it is */
    CHECK(p->in_at < p->in_length);
    CHECK(uhttp_read_buffer(c, &length) == NULL);
    hear_nothing();
    p->fin = true;
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    CHECK(p->closed);
    text_free(&in);
    world_close();
}

static void unlimited_content_length_collects_any_body(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.max_content_length = UHTTP_UNLIMITED;
    world_open(&config, 0);
    program_forget();
    peer *p = client(POST("/", LENGTH(50000)));
    peer_says_bytes(p, program_pattern, 50000);
    peer *chunked = client(POST("/", CHUNKED) "c350" CRLF);
    peer_says_bytes(chunked, program_pattern, 50000);
    peer_says(chunked, CRLF "0" CRLF CRLF);
    for (int i = 0; i < 2; i++) {
        size_t length;
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        CHECK(uhttp_body(c, &length) != NULL && length == 50000);
        CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    }
    hear_nothing();
    check_answers(p, 1);
    check_answers(chunked, 1);
    world_close();
}

static void body_behind_a_head_larger_than_any_block_is_streamed(void **state)
{
    uhttp_config config = world_config();
    text in = { NULL, 0, 0 };
    (void)state;
    config.event_mode = true;
    config.max_headers_length = 256 * 1024;
    world_open(&config, 0);
    text_expand(&in, POST("/", LENGTH(400000) "A: {115000*a}" CRLF) "{40000*0123456789}");
    peer *p = world_connect();
    peer_says_bytes(p, in.data, in.length);
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    size_t got = 0;
    CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
    do {
        size_t length;
        CHECK(world_next() == c);
        const char *piece = (const char *)uhttp_read_buffer(c, &length);
        for (size_t i = 0; i < length; i++)
            CHECK(piece[i] == (char)('0' + (got + i) % 10));
        got += length;
    } while (uhttp_event(c) == UHTTP_EVENT_DATA);
    CHECK(got == 400000 && uhttp_event(c) == UHTTP_EVENT_COMPLETE);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    text_free(&in);
    world_close();
}

static void writable_follows_each_again_once(void **state)
{
    unsigned again = 0;
    unsigned writable = 0;
    (void)state;
    open_heap(true);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    p->window = 0;
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    for (int i = 0; i < 20; i++) {
        uhttp_result result = uhttp_stream_write(c, program_pattern, 20000);
        if (result == UHTTP_OK)
            continue;
        CHECK(result == UHTTP_ERR_AGAIN && uhttp_send_room(c) < 20000);
        CHECK(uhttp_stream_write(c, program_pattern, 20000) == UHTTP_ERR_AGAIN);
        again++;
        hear_nothing();
        p->window = 30000;
        CHECK(hear(UHTTP_EVENT_WRITABLE) == c);
        writable++;
        CHECK(uhttp_send_room(c) >= 20000);
        hear_nothing();
    }
    CHECK(again > 3 && again == writable);
    CHECK(uhttp_stream_write(c, program_pattern, 90000) == UHTTP_ERR_MEMORY);
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    p->window = SIZE_MAX;
    hear_nothing();
    check_answers(p, 1);
    world_close();
}

static void stream_without_memory_says_so_and_does_not_spin(void **state)
{
    (void)state;
    open_heap(true);
    program_forget();
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
    hear_nothing();                         /* the head is sent: nothing on its way */
    memory_fails_from = memory_calls;
    memory_fails_to = SIZE_MAX;
    CHECK(uhttp_stream_write(c, program_pattern, 20000) == UHTTP_ERR_MEMORY);
    hear_nothing();
    memory_fails_to = 0;
    p->window = 100;
    CHECK(uhttp_stream_write(c, program_pattern, 1000) == UHTTP_OK);
    hear_nothing();                         /* the peer owes us room now */
    memory_fails_from = memory_calls;
    memory_fails_to = SIZE_MAX;
    CHECK(uhttp_stream_write(c, program_pattern, 20000) == UHTTP_ERR_AGAIN);
    hear_nothing();
    memory_fails_to = 0;
    p->window = SIZE_MAX;
    CHECK(hear(UHTTP_EVENT_WRITABLE) == c);
    CHECK(uhttp_stream_write(c, program_pattern, 20000) == UHTTP_OK);
    CHECK(uhttp_stream_end(c) == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    world_close();
}

static void send_room_is_what_a_write_takes(void **state)
{
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        uhttp_config config = world_config();
        world_open(&config, fixed ? 1000 : 0);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        p->window = 0;
        program_forget();
        CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK);
        hear_nothing();
        for (int i = 0; i < 60; i++) {
            size_t room = uhttp_send_room(c);
            if (room > 1)
                CHECK(uhttp_stream_write(c, program_pattern, room + 1) != UHTTP_OK);
            if (i % 7 != 3)
                room = room / 2;
            CHECK(uhttp_stream_write(c, program_pattern, room) == UHTTP_OK);
            p->window = i % 3 == 0 ? 200 : 0;
            hear_nothing();
        }
        CHECK(uhttp_stream_end(c) == UHTTP_OK);
        p->window = SIZE_MAX;
        hear_nothing();
        check_answers(p, 1);
        world_close();
    }
}

static void answer_of_just_max_send_buffer_is_taken(void **state)
{
    (void)state;
    program_forget();
    for (int fixed = 0; fixed < 2; fixed++) {
        size_t length = 2000;
        uhttp_config config = world_config();
        config.max_send_buffer = fixed ? 0 : 1500;
        world_open(&config, fixed ? 1024 : 0);
        size_t limit = fixed ? world_server->pool.block_size : 1500;
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        uhttp_result result;
        while ((result = uhttp_respond(c, 200, NULL, program_pattern, length)) != UHTTP_OK) {
            CHECK(result == UHTTP_ERR_MEMORY);
            length--;
        }
        hear_nothing();
        check_answers(p, 1);
        CHECK(p->out_length == limit);
        world_close();
    }
}

static void answer_that_does_not_fit_may_be_followed_by_one_that_does(void **state)
{
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        uhttp_config config = world_config();
        config.max_send_buffer = 900;
        config.keep_alive_max_requests = fixed ? 1 : 100;
        world_open(&config, fixed ? 1024 : 0);
        program_forget();
        peer *p = client("GET / HTTP/1.0" CRLF "Connection: keep-alive" CRLF CRLF);
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        char large[1001];
        memset(large, 'l', sizeof large);
        large[1000] = '\0';
        CHECK(uhttp_add_header(c, "X-First", "1") == UHTTP_OK);
        uhttp_conn before = *c;
        CHECK(uhttp_respond(c, 200, NULL, large, 1000) == UHTTP_ERR_MEMORY);
        CHECK(uhttp_respond(c, 200, large, "x", 1) == UHTTP_ERR_MEMORY);
        CHECK(uhttp_respond_static(c, 200, large, "x", 1) == UHTTP_ERR_MEMORY);
        CHECK(uhttp_respond_redirect(c, 0, large) == UHTTP_ERR_MEMORY);
        CHECK(uhttp_add_header(c, "X-Large", large) == UHTTP_ERR_MEMORY);
        large[850] = '\0';
        CHECK(uhttp_respond_redirect(c, 0, large) == UHTTP_ERR_MEMORY);
        CHECK(uhttp_stream_begin(c, 200, large) == UHTTP_ERR_MEMORY);
        before.parting = c->parting;        /* decides nothing while the connection is kept */
        CHECK(memcmp(&before, c, sizeof before) == 0);
        CHECK(uhttp_add_header(c, "X-Second", "2") == UHTTP_OK);
        CHECK(uhttp_respond_text(c, 200, "small") == UHTTP_OK);
        hear_nothing();
        check_answers(p, 1);
        CHECK(peer_has(p, "X-First: 1") && peer_has(p, "X-Second: 2") && !peer_has(p, "lll"));
        CHECK(peer_has(p, "Connection: keep-alive") == !fixed);
        world_close();
    }
}

static void json_text_begun_is_dropped_by_any_other_answer(void **state)
{
    (void)state;
    for (int way = 0; way < 6; way++) {
        open_heap(true);
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        uhttp_json_writer w;
        CHECK(uhttp_add_header(c, "X-First", "1") == UHTTP_OK);
        uhttp_json_begin_response(&w, c);
        uhttp_json_array_begin(&w);
        uhttp_json_string(&w, "secret");
        CHECK(uhttp_add_header(c, "X-Second", "2") == UHTTP_OK);
        hear_nothing();
        if (way == 0)
            CHECK(uhttp_respond_text(c, 200, "other") == UHTTP_OK);
        else if (way == 1)
            CHECK(uhttp_respond_redirect(c, 0, "/other") == UHTTP_OK);
        else if (way == 2)
            CHECK(uhttp_respond_static(c, 200, NULL, "other", 5) == UHTTP_OK);
        else if (way == 3)
            CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK &&
                  uhttp_stream_end(c) == UHTTP_OK);
        else if (way == 4)
            CHECK(uhttp_json_respond(&w, 200) == UHTTP_ERR_STATE &&
                  uhttp_respond_error(c, 404) == UHTTP_OK);
        else {
            uhttp_json_begin_response(&w, c);
            uhttp_json_string(&w, "other");
            CHECK(uhttp_json_respond(&w, 200) == UHTTP_OK);
        }
        hear_nothing();
        check_answers(p, 1);
        CHECK(peer_has(p, "X-First: 1") && peer_has(p, "X-Second: 2"));
        CHECK(!peer_has(p, "secret"));
        world_close();
    }
}

static void what_cannot_be_sent_is_invalid_and_sends_nothing(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    uhttp_conn before = *c;
    static const char *const names[] = {
        "", "a b", "a:", "a\r\nb", "\xe4", "Content-Length", "transfer-encoding", "Trailer",
        "Upgrade", "Keep-Alive"
    };
    static const char *const values[] = { "a\rb", "a\nb", "\x01", "\x7f" };
    static const char *const urls[] = { "/a b", "/a\r\nb", "/\x7f", "/\t" };
    static const int statuses[] = { -1, 0, 99, 100, 101, 199, 600, 1000 };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(uhttp_add_header(c, names[i], "v") == UHTTP_ERR_INVALID);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        CHECK(uhttp_add_header(c, "A", values[i]) == UHTTP_ERR_INVALID);
        CHECK(uhttp_respond(c, 200, values[i], "x", 1) == UHTTP_ERR_INVALID);
        CHECK(uhttp_stream_begin(c, 200, values[i]) == UHTTP_ERR_INVALID);
    }
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        CHECK(uhttp_respond_redirect(c, 301, urls[i]) == UHTTP_ERR_INVALID);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        CHECK(uhttp_respond_text(c, statuses[i], "x") == UHTTP_ERR_INVALID);
        CHECK(uhttp_respond_error(c, statuses[i]) == UHTTP_ERR_INVALID);
        CHECK(uhttp_stream_begin(c, statuses[i], NULL) == UHTTP_ERR_INVALID);
        if (statuses[i] != 0)           /* which means 302 */
            CHECK(uhttp_respond_redirect(c, statuses[i], "/") == UHTTP_ERR_INVALID);
    }
    CHECK(uhttp_respond(c, 204, NULL, "x", 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_respond(c, 304, NULL, "x", 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_respond(c, 200, NULL, NULL, 1) == UHTTP_ERR_INVALID);
    CHECK(uhttp_stream_begin(c, 204, NULL) == UHTTP_ERR_INVALID);
    CHECK(uhttp_stream_begin(c, 304, NULL) == UHTTP_ERR_INVALID);
    CHECK(uhttp_respond_redirect(c, 304, "/") == UHTTP_ERR_INVALID);
    CHECK(memcmp(&before, c, sizeof before) == 0 && p->out_length == 0);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 1);
    world_close();
}

static void first_and_last_status_can_be_sent(void **state)
{
    static const int statuses[] = { 200, 599 };
    (void)state;
    open_heap(false);
    for (size_t i = 0; i < 2; i++) {
        char begin[16];
        peer *p = client(GET("/"));
        uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
        CHECK(uhttp_respond_text(c, statuses[i], "x") == UHTTP_OK);
        hear_nothing();
        snprintf(begin, sizeof begin, "HTTP/1.1 %d ", statuses[i]);
        CHECK(peer_begins(p, begin));
    }
    world_close();
}

static void burst_of_sixteen_is_received_at_once_and_answered_in_one_send(void **state)
{
    text in = { NULL, 0, 0 };
    (void)state;
    open_heap(false);
    text_expand(&in, "{16*" GET("/") "}");
    peer *p = world_connect();
    hear_nothing();
    p->recvs = 0;
    peer_says_bytes(p, in.data, in.length);
    for (int i = 0; i < 16; i++)
        CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 16);
    CHECK(p->recvs == 1 && p->sends == 1);
    text_free(&in);
    world_close();
}

static void held_answers_leave_before_the_server_sleeps(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = client(GET("/1") GET("/2") GET("/3"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    CHECK(p->out_length == 0);
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    hear_nothing();                         /* and the third is held for long */
    check_answers(p, 2);
    CHECK(p->sends == 1);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 3);
    world_close();
}

static void keep_alive_ends_with_the_last_request_allowed(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.keep_alive_max_requests = 3;
    world_open(&config, 0);
    peer *p = client(GET("/1") GET("/2") GET("/3") GET("/4"));
    for (int i = 0; i < 3; i++)
        CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    hear_nothing();
    check_answers(p, 3);
    CHECK(peer_count(p, "Connection: close") == 1);
    lingers(p);
    world_close();
}

static void shutdown_lets_everybody_finish_what_they_are_in(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.max_connections = 5;
    world_open(&config, 0);
    peer *idle = client(GET("/"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    hear_nothing();
    world_sleep(600);
    peer *quick = client(GET("/"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    hear_nothing();
    peer *held = client(GET("/held") GET("/never"));
    uhttp_conn *c = hear(UHTTP_EVENT_REQUEST);
    peer *stream = client(GET("/stream"));
    uhttp_conn *s = hear(UHTTP_EVENT_REQUEST);
    CHECK(uhttp_stream_begin(s, 200, NULL) == UHTTP_OK);
    peer *head = client("GET /late HTTP/1.1" CRLF);
    hear_nothing();
    CHECK(uhttp_server_shutdown(world_server) == UHTTP_ERR_AGAIN);
    hear_nothing();
    CHECK(!idle->closed && uhttp_server_fd(world_server) == -1);
    world_sleep(400);               /* the first is idle for a second, the other is not */
    hear_nothing();
    CHECK(idle->closed && !quick->closed);
    peer_says(quick, GET("/on-the-way"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    hear_nothing();
    check_answers(quick, 2);
    CHECK(peer_has(quick, "Connection: close"));
    peer_says(head, HOST CRLF);
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    CHECK(uhttp_stream_end(s) == UHTTP_OK);
    hear_nothing();
    CHECK(uhttp_server_shutdown(world_server) == UHTTP_ERR_AGAIN);
    check_answers(head, 1);
    check_answers(held, 1);
    check_answers(stream, 1);
    CHECK(peer_has(head, "Connection: close") && peer_has(held, "Connection: close"));
    held->fin = stream->fin = head->fin = quick->fin = true;
    hear_nothing();
    CHECK(uhttp_server_shutdown(world_server) == UHTTP_OK);
    world_close();
}

static void bytes_already_decrypted_are_served_while_the_socket_is_silent(void **state)
{
    (void)state;
    uhttp_config config = world_config();
    config.event_mode = true;
    world_open(&config, 600);
    program_forget();
    peer *p = world_peer();
    p->record = 16384;
    CHECK(world_accept(p));
    peer_says(p, POST("/", LENGTH(5000)));
    peer_says_bytes(p, program_pattern, 5000);
    peer_says(p, GET("/1") GET("/2"));
    uhttp_conn *c = hear(UHTTP_EVENT_HEADERS);
    size_t got = 0;
    hear_nothing();                         /* no room: it does not spin */
    CHECK(uhttp_accept_body_streaming(c, 0) == UHTTP_OK);
    while (world_next() == c && uhttp_event(c) == UHTTP_EVENT_DATA) {
        size_t length;
        CHECK(uhttp_read_buffer(c, &length) != NULL);
        got += length;
    }
    CHECK(uhttp_event(c) == UHTTP_EVENT_COMPLETE && got == 5000);
    for (int i = 0; i < 3; i++) {
        CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
        CHECK(i == 2 || hear(UHTTP_EVENT_REQUEST) == c);
    }
    hear_nothing();
    check_answers(p, 3);
    world_close();
}

static void pipeline_too_long_for_fixed_memory_is_answered_in_part(void **state)
{
    (void)state;
    program_forget();
    for (int field = 0; field < 360; field += 3) {
        text in = { NULL, 0, 0 };
        char words[900];
        unsigned told = 0;
        uhttp_config config = world_config();
        int query = field % 5 * 30;
        snprintf(words, sizeof words,
                 "{9*GET /%%61?b=%.*s HTTP/1.1" CRLF HOST "A: %.*s" CRLF CRLF "}",
                 query, program_pattern, field, program_pattern);
        snprintf(world_what, sizeof world_what, "a query of %d, a field of %d", query, field);
        text_expand(&in, words);
        world_open(&config, 512);
        peer *p = world_connect();
        peer_says_bytes(p, in.data, in.length);
        uhttp_conn *c;
        while ((c = world_next()) != NULL) {
            const char *b = uhttp_query(c, "b");
            CHECK(strcmp(uhttp_path(c), "/a") == 0 && b != NULL);
            CHECK(strlen(b) == (size_t)query && memcmp(b, program_pattern, (size_t)query) == 0);
            CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
            told++;
        }
        if (field + 2 * query < 300)
            CHECK(told >= 1);
        unsigned refused = peer_count(p, "HTTP/1.1 431 ");
        CHECK(refused <= 1);
        check_answers(p, told + refused);
        CHECK(told == 9 || (p->shut && peer_count(p, "Connection: close") == 1));
        world_close();
        text_free(&in);
    }
}

/*==============================================================================
 * 4 MEMORY
 *============================================================================*/

/* Whatever was answered is a sequence of whole responses, the last perhaps cut by a close. */
static void check_answers_are_right_or_end_cleanly(const text *out, bool may_be_cut)
{
    static char body[ANSWER_BODY];
    uhttp_str rest = { out->data, out->length };
    answer a;
    answer_end how;
    bool over = false;
    a.body = body;
    while ((how = answer_next(&rest, ANSWER_GUESS, &a)) != ANSWER_NONE) {
        CHECK(!over && how != ANSWER_BROKEN);
        CHECK(how == ANSWER_WHOLE || may_be_cut);
        if (how != ANSWER_WHOLE)
            return;
        over = a.close;
    }
}

/* Plays a script while allocations from..to fail; false: it did not come so far. */
static bool script_starve(session *st, bool event_mode, size_t from, bool for_ever,
                          size_t window)
{
    replay how;
    transcript got = { { NULL, 0, 0 }, { NULL, 0, 0 }, false };
    uhttp_config config = script_config();
    memset(&how, 0, sizeof how);
    how.window = window;
    config.event_mode = event_mode;
    snprintf(world_what, sizeof world_what,
             "script '%s', event mode %d, allocation %lu%s fails, window %lu", st->s->name,
             event_mode, (unsigned long)from, for_ever ? " and all behind it" : "",
             (unsigned long)window);
    world_open(&config, 0);
    peer *other = client(GET("/hello"));
    program_run();
    peer_forget_output(other);
    memory_fails_from = memory_calls + from;
    memory_fails_to = for_ever ? SIZE_MAX : memory_fails_from + 1;
    program_may_lack_memory = true;
    script_replay(&st->in, st->waits, &how, &got);
    bool came = memory_calls > memory_fails_from;
    check_answers_are_right_or_end_cleanly(&got.out, true);
    memory_fails_to = 0;
    program_may_lack_memory = false;
    peer_says(other, GET("/hello"));
    program_run();
    check_answers(other, 1);
    CHECK(peer_begins(other, "HTTP/1.1 200 "));
    world_close();
    transcript_free(&got);
    return came;
}

static void scripts_starve(bool event_mode, bool for_ever, size_t window)
{
    for (size_t i = 0; i < SCRIPTS; i++) {
        session st;
        memset(&st, 0, sizeof st);
        st.s = &scripts[i];
        if (st.s->flags & (event_mode ? PLAIN_ONLY : EVENT_ONLY))
            continue;
        text_expand(&st.in, st.s->in);
        st.waits = script_waits(&st.in);
        for (size_t n = 0; script_starve(&st, event_mode, n, for_ever, window); n++) { }
        text_free(&st.in);
        free(st.waits);
    }
}

static void any_one_allocation_may_fail(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        scripts_starve(event_mode == 1, false, 0);
        scripts_starve(event_mode == 1, false, 500);
    }
}

static void memory_may_end_at_any_moment(void **state)
{
    (void)state;
    for (int event_mode = 0; event_mode < 2; event_mode++) {
        scripts_starve(event_mode == 1, true, 0);
        scripts_starve(event_mode == 1, true, 500);
    }
}

static void server_without_memory_is_not_opened(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    memory_fails_from = 0;
    memory_fails_to = 1;
    CHECK(world_try(&config, 0, 0) == UHTTP_ERR_MEMORY && world_server == NULL);
    CHECK(memory_blocks == 0);
    memory_fails_to = 0;
}

static void peer_without_memory_for_its_transport_is_turned_away(void **state)
{
    (void)state;
    open_heap(false);
    peer *p = world_peer();
    p->refuses_open = true;
    CHECK(world_accept(p));
    hear_nothing();
    CHECK(world_state(p) == UH_CLOSED && p->closed && !p->opened);
    world_check(true);
    peer *next = client(GET("/"));
    CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "x") == UHTTP_OK);
    hear_nothing();
    check_answers(next, 1);
    world_close();
}

/* Two requests of each of all connections at once. */
static void serve_some(void)
{
    for (uint32_t i = 0; i < world_server->config.max_connections; i++)
        client(GET("/a%20b?c=d") POST("/e", LENGTH(20)) "01234567890123456789");
    for (uint32_t i = 0; i < 2 * world_server->config.max_connections; i++)
        CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "hello") == UHTTP_OK);
    hear_nothing();
    for (uint32_t i = 0; i < world_server->config.max_connections; i++)
        check_answers(&world_peers[i], 2);
}

static void fixed_memory_works_at_any_alignment(void **state)
{
    (void)state;
    for (uint32_t connections = 1; connections <= 4; connections++) {
        for (size_t skip = 0; skip < 16; skip++) {
            for (size_t buffer = 512; buffer < 700; buffer += 61) {
                uhttp_config config = world_config();
                config.max_connections = connections;
                size_t size = UHTTP_MEMORY_SIZE(connections, buffer);
                CHECK(world_try(&config, size, skip) == UHTTP_OK);
                CHECK(world_server->pool.block_size >= buffer);
                serve_some();
                world_close();
            }
        }
    }
}

static void fixed_memory_of_one_byte_too_little_is_refused(void **state)
{
    (void)state;
    for (uint32_t connections = 1; connections <= 4; connections++) {
        for (size_t skip = 0; skip < 16; skip++) {
            uhttp_config config = world_config();
            size_t least = UHTTP_MEMORY_SIZE(connections, 512);
            config.max_connections = connections;
            while (world_try(&config, least, skip) == UHTTP_OK) {
                CHECK(world_server->pool.block_size >= 512);
                world_close();
                least--;
            }
            for (size_t size = least++; size > 0; size -= size > 40 ? size / 3 : 1) {
                CHECK(world_server == NULL);
                free(world_memory);
                CHECK(world_try(&config, size, skip) == UHTTP_ERR_MEMORY);
            }
            free(world_memory);
            CHECK(world_try(&config, least, skip) == UHTTP_OK);
            serve_some();
            world_close();
        }
    }
}

static void fixed_memory_server_never_calls_the_allocator(void **state)
{
    uhttp_config config = script_config();
    (void)state;
    config.event_mode = true;
    world_open(&config, 1024);
    memory_fails_from = 0;
    memory_fails_to = SIZE_MAX;
    program_forget();
    for (size_t i = 0; i < SCRIPTS; i++) {
        text in = { NULL, 0, 0 };
        text_expand(&in, scripts[i].in);
        free(script_waits(&in));
        snprintf(world_what, sizeof world_what, "script '%s' in a buffer too small for some",
                 scripts[i].name);
        program_may_lack_memory = true;
        peer *p = world_connect();
        peer_says_bytes(p, in.data, in.length);
        program_run();
        p->fin = true;
        program_run();
        CHECK(p->closed && memory_calls == 0);
        text_free(&in);
    }
    program_may_lack_memory = false;
    memory_fails_to = 0;
    world_close();
}

static void server_without_fixed_memory_needs_a_heap(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.log = log_line;
    log_last[0] = '\0';
    CHECK(world_try(&config, 0, 0) == (UH_HEAP ? UHTTP_OK : UHTTP_ERR_INVALID));
    CHECK(strcmp(log_last,
                 UH_HEAP ? "" : "memory: NULL, and UHTTP_NO_HEAP leaves no other") == 0);
    CHECK((world_server != NULL) == (UH_HEAP != 0));
    if (UH_HEAP)
        world_close();
}

static void small_requests_allocate_nothing_in_steady_state(void **state)
{
    uhttp_config config = world_config();
    size_t before = 0;
    (void)state;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    world_open(&config, 0);
    peer *p = world_connect();
    for (int i = 0; i < 1100; i++) {
        p->in_length = p->in_at = p->fetched = p->arrived = 0;
        peer_says(p, i % 3 ? GET("/a?b=c") : POST("/", LENGTH(5)) "hello");
        CHECK(uhttp_respond_text(hear(UHTTP_EVENT_REQUEST), 200, "hello") == UHTTP_OK);
        hear_nothing();
        world_sleep(3);
        if (i == 100)
            before = memory_calls;
    }
    CHECK(memory_calls - before <= 6);      /* a trim now and then is a block or two */
    check_answers(p, 1100);
    world_close();
}

static void idle_connections_hold_no_buffer_and_the_pool_is_given_back(void **state)
{
    uhttp_config config = world_config();
    (void)state;
    config.max_connections = 16;
    world_open(&config, 0);
    for (int i = 0; i < 16; i++)
        client(GET("/"));
    uhttp_conn *held[16];
    for (int i = 0; i < 16; i++)
        held[i] = hear(UHTTP_EVENT_REQUEST);
    CHECK(memory_blocks >= 17);
    for (int i = 0; i < 16; i++)
        CHECK(uhttp_respond(held[i], 200, NULL, program_pattern, 30000) == UHTTP_OK);
    hear_nothing();
    CHECK(world_server->counts[UH_IDLE] == 16);
    for (int i = 0; i < 4; i++) {
        CHECK(memory_blocks == 1 || uhttp_server_timeout(world_server) <= 1000);
        world_sleep(1000);
        hear_nothing();
    }
    CHECK(memory_blocks == 1);              /* the server itself */
    world_close();
}

/*==============================================================================
 * 5 FAIRNESS
 *============================================================================*/

/* A client that never stops asking, and reads its answers. */
static peer *client_that_never_stops(void)
{
    peer *p = world_connect();
    text in = { NULL, 0, 0 };
    text_expand(&in, "{3000*" GET("/again") "}");
    peer_says_bytes(p, in.data, in.length);
    text_free(&in);
    return p;
}

/* Events of others before this path is asked for. */
static unsigned turns_until(const char *path)
{
    for (unsigned turns = 0; turns < 2000; turns++) {
        uhttp_conn *c = world_step();
        if (c != NULL && path_is(c, path))
            return turns;
        if (c != NULL)
            CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    }
    return 2000;
}

static uhttp_config busy_config(void)
{
    uhttp_config config = world_config();
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    return config;
}

static void peer_that_never_stops_asking_does_not_keep_another_waiting(void **state)
{
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        uhttp_config config = busy_config();
        world_open(&config, fixed ? 2048 : 0);
        peer *busy = client_that_never_stops();
        CHECK(turns_until("/again") < 3);
        CHECK(uhttp_respond_text(&world_server->slots[0], 200, "x") == UHTTP_OK);
        peer *p = client(GET("/quiet"));            /* with its connection */
        CHECK(turns_until("/quiet") <= UH_TURNS + 2);
        CHECK(uhttp_respond_text(world_conn_of(p), 200, "x") == UHTTP_OK);
        for (int i = 0; i < 10; i++) {              /* and on it */
            peer_says(p, GET("/quiet"));
            CHECK(turns_until("/quiet") <= UH_TURNS + 2);
            CHECK(uhttp_respond_text(world_conn_of(p), 200, "x") == UHTTP_OK);
        }
        CHECK(busy->in_at < busy->in_length);
        world_close();
    }
}

static void peer_that_never_stops_asking_does_not_keep_deadlines_waiting(void **state)
{
    uhttp_config config = busy_config();
    (void)state;
    world_open(&config, 0);
    peer *busy = client_that_never_stops();
    peer *late = client("GET /late");
    CHECK(turns_until("/late") == 2000);
    world_sleep(5000);
    for (int turns = 0; turns <= UH_TURNS + 4; turns++) {
        uhttp_conn *c = world_step();
        if (c != NULL)
            CHECK(uhttp_respond_text(c, 200, "x") == UHTTP_OK);
    }
    CHECK(peer_begins(late, "HTTP/1.1 408 "));
    CHECK(busy->in_at < busy->in_length);
    world_close();
}

static void stream_that_never_stops_does_not_keep_another_waiting(void **state)
{
    uhttp_config config = busy_config();
    (void)state;
    config.event_mode = true;
    world_open(&config, 0);
    peer *fast = client(GET("/stream"));
    uhttp_conn *stream = hear(UHTTP_EVENT_REQUEST);
    program_forget();
    CHECK(uhttp_stream_begin(stream, 200, NULL) == UHTTP_OK);
    hear_nothing();
    peer *p = world_connect();
    peer *late = client("GET /late");
    hear_nothing();
    fast->gulp = 30000;
    world_sleep(4999);
    for (int round = 0; round < 10 + UH_TURNS; round++) {
        unsigned turns = 0;
        peer_says(p, GET("/quiet"));
        if (round == 10)
            world_sleep(1);
        for (;;) {
            while (turns < 200 &&
                   uhttp_stream_write(stream, program_pattern, 20000) == UHTTP_OK)
                turns++;
            uhttp_conn *c = world_step();
            fast->out_length = 0;
            if (c != NULL && c != stream)
                break;
            CHECK(c == NULL || uhttp_event(c) == UHTTP_EVENT_WRITABLE);
            CHECK(++turns < UH_TURNS);
        }
        CHECK(uhttp_respond_text(world_conn_of(p), 200, "x") == UHTTP_OK);
    }
    CHECK(peer_begins(late, "HTTP/1.1 408 "));
    world_close();
}

static void upload_that_never_stops_does_not_keep_another_waiting(void **state)
{
    uhttp_config config = busy_config();
    (void)state;
    config.event_mode = true;
    world_open(&config, 0);
    peer *fast = client(POST("/upload", LENGTH(100000000)));
    uhttp_conn *upload = hear(UHTTP_EVENT_HEADERS);
    CHECK(uhttp_accept_body_streaming(upload, 0) == UHTTP_OK);
    peer *p = world_connect();
    for (int round = 0; round < 10; round++) {
        unsigned turns = 0;
        size_t length;
        peer_says(p, GET("/quiet"));
        for (;;) {
                peer_says_bytes(fast, program_pattern, sizeof program_pattern);
            uhttp_conn *c = world_step();
            if (c != NULL && c != upload)
                break;
            if (c == upload)
                CHECK(uhttp_read_buffer(c, &length) != NULL);
            CHECK(++turns < UH_TURNS);
        }
        CHECK(uhttp_respond_text(world_conn_of(p), 200, "x") == UHTTP_OK);
    }
    world_close();
}

/*==============================================================================
 * 6 CHANCE
 *============================================================================*/

/* xorshift64*: the same everywhere. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

static void random_programs_against_random_peers_keep_every_promise(void **state)
{
    const char *asked = getenv("MACHINE_RUNS");
    const char *seed = getenv("MACHINE_SEED");
    unsigned long runs = asked != NULL ? strtoul(asked, NULL, 10) : 20000;
    uint64_t number = seed != NULL ? strtoul(seed, NULL, 10) : 1;
    (void)state;
    for (unsigned long i = 0; i < runs; i++, number++) {
        uint8_t bytes[400];
        uint64_t random = (number + 1) * 0x9e3779b97f4a7c15u;
        size_t length = 20 + random_next(&random) % (i % 10 == 0 ? 380 : 100);
        for (size_t k = 0; k < length; k++)
            bytes[k] = (uint8_t)(random_next(&random) >> 33);
        snprintf(world_what, sizeof world_what, "random run: MACHINE_RUNS=1 MACHINE_SEED=%lu",
                 (unsigned long)number);
        LLVMFuzzerTestOneInput(bytes, length);
    }
}

/*--- all of it ------------------------------------------------------------------------------*/

/* A failed check ends the test; what it left behind is forgotten. */
static void on_failure(const char *file, int line)
{
    world_waits = false;
    memory_fails_from = memory_fails_to = 0;
    program_may_lack_memory = false;
    _fail(file, line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_script_gets_the_answers_it_should),
        cmocka_unit_test(a_script_cut_after_any_byte_gives_one_transcript),
        cmocka_unit_test(a_script_cut_after_any_byte_gives_one_transcript_in_fixed_memory),
        cmocka_unit_test(fin_behind_the_last_byte_changes_no_answer),
        cmocka_unit_test(the_loop_of_uhttp_wait_gives_the_same_transcript),
        cmocka_unit_test(a_script_that_comes_byte_by_byte_gives_one_transcript),
        cmocka_unit_test(a_script_gives_one_transcript_through_every_bottleneck),
        cmocka_unit_test(a_script_in_fixed_memory_gives_one_transcript_through_bottlenecks),
        cmocka_unit_test(handshake_that_stalls_is_closed_after_its_timeout),
        cmocka_unit_test(handshake_deadline_is_not_renewed_by_its_steps),
        cmocka_unit_test(newcomer_that_says_nothing_is_closed_without_a_word),
        cmocka_unit_test(empty_line_alone_begins_no_head),
        cmocka_unit_test(idle_connection_is_closed_without_a_word_after_keep_alive_timeout),
        cmocka_unit_test(head_gets_408_at_its_deadline_which_no_byte_renews),
        cmocka_unit_test(second_head_gets_408_as_well_behind_its_held_back_answers),
        cmocka_unit_test(offered_body_may_wait_for_the_program_for_ever),
        cmocka_unit_test(held_request_may_wait_for_the_program_for_ever),
        cmocka_unit_test(offer_and_answer_that_wait_too_long_end_with_error_and_503),
        cmocka_unit_test(program_may_still_answer_after_its_time_is_over),
        cmocka_unit_test(error_not_heard_yet_is_forgotten_when_its_request_is_answered),
        cmocka_unit_test(outside_event_mode_503_frees_the_client_and_keeps_the_slot),
        cmocka_unit_test(body_gets_408_when_it_makes_no_progress),
        cmocka_unit_test(body_deadline_is_renewed_by_a_kilobyte_and_nothing_less),
        cmocka_unit_test(body_deadline_stands_still_while_the_program_does_not_read),
        cmocka_unit_test(body_deadline_runs_again_once_the_program_reads),
        cmocka_unit_test(newcomers_are_looked_for_whatever_the_clock_says),
        cmocka_unit_test(reader_without_progress_is_closed_after_send_timeout),
        cmocka_unit_test(slow_reader_is_not_timed_out_while_it_makes_progress),
        cmocka_unit_test(reader_is_asked_once_more_before_it_is_closed),
        cmocka_unit_test(stream_that_owes_nothing_may_be_silent_for_ever),
        cmocka_unit_test(stream_to_one_who_does_not_read_ends_after_send_timeout),
        cmocka_unit_test(stream_after_fin_ends_when_the_program_is_silent_for_two_seconds),
        cmocka_unit_test(stream_after_fin_is_not_spared_by_a_turn_in_which_nothing_is_written),
        cmocka_unit_test(stream_behind_a_held_answer_hears_of_room_when_memory_was_out),
        cmocka_unit_test(event_stream_after_fin_gets_one_comment),
        cmocka_unit_test(drained_body_has_the_deadline_of_a_body),
        cmocka_unit_test(lingering_is_not_prolonged_by_bytes),
        cmocka_unit_test(never_switches_each_deadline_off),
        cmocka_unit_test(peer_that_has_just_spoken_is_served_before_it_is_expired),
        cmocka_unit_test(peer_that_only_seems_to_speak_is_spared_only_once),
        cmocka_unit_test(refusal_after_a_long_pause_of_the_program_has_its_full_time),
        cmocka_unit_test(answer_after_a_long_time_has_its_full_time),
        cmocka_unit_test(every_call_in_every_state_answers_right_and_harms_nothing),
        cmocka_unit_test(every_question_in_every_state_is_answered),
        cmocka_unit_test(server_may_be_closed_in_every_state),
        cmocka_unit_test(server_may_be_shut_down_in_every_state),
        cmocka_unit_test(peer_may_be_lost_in_every_state),
        cmocka_unit_test(answer_after_the_peer_left_returns_closed_and_touches_nothing),
        cmocka_unit_test(slot_of_a_lost_client_waits_until_the_program_knows),
        cmocka_unit_test(slots_are_free_again_in_whatever_order_they_were_left),
        cmocka_unit_test(stale_id_finds_nothing_not_even_the_next_request_of_its_client),
        cmocka_unit_test(no_two_requests_have_the_same_id),
        cmocka_unit_test(answering_twice_is_an_error_of_state_and_sends_one_answer),
        cmocka_unit_test(strings_stay_readable_until_the_next_wait_after_the_response),
        cmocka_unit_test(large_collected_body_stays_readable_after_the_response),
        cmocka_unit_test(context_is_null_at_the_begin_of_every_request),
        cmocka_unit_test(context_set_on_a_stale_pointer_reaches_no_request),
        cmocka_unit_test(next_walks_what_the_program_owns_and_nothing_else),
        cmocka_unit_test(fin_while_a_request_is_held_still_gets_its_answer),
        cmocka_unit_test(fin_behind_a_pipeline_gets_all_its_answers_and_then_the_end),
        cmocka_unit_test(fin_during_a_stream_lets_it_go_on),
        cmocka_unit_test(fin_in_a_body_fails_it_once),
        cmocka_unit_test(request_that_comes_with_its_reset_does_not_leave_a_dead_pointer),
        cmocka_unit_test(lost_client_of_a_refused_request_does_not_leave_a_dead_pointer),
        cmocka_unit_test(request_lost_while_its_answer_is_written_ends_exactly_once),
        cmocka_unit_test(close_ends_the_connection_and_an_unfinished_body_looks_unfinished),
        cmocka_unit_test(close_sends_the_answers_to_earlier_requests),
        cmocka_unit_test(of_a_refused_body_no_more_is_discarded_than_so_much),
        cmocka_unit_test(a_read_that_finds_no_memory_is_tried_again_after_a_while),
        cmocka_unit_test(a_send_that_finds_no_memory_is_tried_again_after_a_while),
        cmocka_unit_test(log_says_once_what_was_refused_and_why),
        cmocka_unit_test(log_says_that_a_reader_was_given_up),
        cmocka_unit_test(log_says_once_that_the_program_holds_a_client_who_has_gone),
        cmocka_unit_test(access_log_is_told_once_of_each_response),
        cmocka_unit_test(refusal_bears_a_date_whatever_was_drafted_before_it),
        cmocka_unit_test(streamed_body_never_gives_more_than_its_limit),
        cmocka_unit_test(reading_in_vain_does_not_leave_the_connection_unwatched),
        cmocka_unit_test(unlimited_content_length_collects_any_body),
        cmocka_unit_test(body_behind_a_head_larger_than_any_block_is_streamed),
        cmocka_unit_test(writable_follows_each_again_once),
        cmocka_unit_test(stream_without_memory_says_so_and_does_not_spin),
        cmocka_unit_test(send_room_is_what_a_write_takes),
        cmocka_unit_test(answer_of_just_max_send_buffer_is_taken),
        cmocka_unit_test(answer_that_does_not_fit_may_be_followed_by_one_that_does),
        cmocka_unit_test(json_text_begun_is_dropped_by_any_other_answer),
        cmocka_unit_test(what_cannot_be_sent_is_invalid_and_sends_nothing),
        cmocka_unit_test(first_and_last_status_can_be_sent),
        cmocka_unit_test(burst_of_sixteen_is_received_at_once_and_answered_in_one_send),
        cmocka_unit_test(held_answers_leave_before_the_server_sleeps),
        cmocka_unit_test(keep_alive_ends_with_the_last_request_allowed),
        cmocka_unit_test(shutdown_lets_everybody_finish_what_they_are_in),
        cmocka_unit_test(bytes_already_decrypted_are_served_while_the_socket_is_silent),
        cmocka_unit_test(pipeline_too_long_for_fixed_memory_is_answered_in_part),
        cmocka_unit_test(any_one_allocation_may_fail),
        cmocka_unit_test(memory_may_end_at_any_moment),
        cmocka_unit_test(server_without_memory_is_not_opened),
        cmocka_unit_test(peer_without_memory_for_its_transport_is_turned_away),
        cmocka_unit_test(fixed_memory_works_at_any_alignment),
        cmocka_unit_test(fixed_memory_of_one_byte_too_little_is_refused),
        cmocka_unit_test(fixed_memory_server_never_calls_the_allocator),
        cmocka_unit_test(server_without_fixed_memory_needs_a_heap),
        cmocka_unit_test(small_requests_allocate_nothing_in_steady_state),
        cmocka_unit_test(idle_connections_hold_no_buffer_and_the_pool_is_given_back),
        cmocka_unit_test(peer_that_never_stops_asking_does_not_keep_another_waiting),
        cmocka_unit_test(peer_that_never_stops_asking_does_not_keep_deadlines_waiting),
        cmocka_unit_test(stream_that_never_stops_does_not_keep_another_waiting),
        cmocka_unit_test(upload_that_never_stops_does_not_keep_another_waiting),
        cmocka_unit_test(random_programs_against_random_peers_keep_every_promise),
    };
    world_on_failure = on_failure;
    if (!UH_HEAP)
        cmocka_set_test_filter("*fixed_memory*");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < PEERS_MAX; i++)
        text_free(&program_work[i].body);
    text_free(&program_events);
    return failed;
}
