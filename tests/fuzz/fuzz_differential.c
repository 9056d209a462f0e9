/* fuzz_differential.c - what the server makes of a client's bytes, against a second reader
 *
 * reference.h reads the same bytes straight from the grammars of RFC 9110 and 9112. For any
 * bytes, however they are cut, whatever the program does with bodies, both must agree
 *
 *   - which requests there are, where each begins, and which one is refused, with a status
 *     that one of its faults has
 *   - on method, target, path, host, every field, the body and how it is framed
 *   - whether the connection goes on behind it
 *
 * and so must uhttp_head_parse() and uhttp_chunked_decode() alone. The server has to answer
 * each request in order and nothing else, and to close.
 *
 * The first two bytes of the input say how it arrives and what the program does, the others are
 * the client's.
 */
#include "../machine/memory_transport.h"
#include "reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small, so that short inputs reach them. */
#define HEAD_MOST 512u
#define BODY_MOST 600u

/*--- comparing ------------------------------------------------------------------------------*/

static bool is_same(const char *ptr, size_t length, ref_text t)
{
    return length == ref_length(t) && (length == 0 || memcmp(ptr, t.at, length) == 0);
}

static bool is_same_string(const char *string, ref_text t)
{
    return string != NULL && is_same(string, strlen(string), t);
}

static void check_pure_fields(const uhttp_head *head, const ref_request *r)
{
    uhttp_str rest = head->fields, name, value;
    ref_text lines = r->fields, line, ref_name, ref_value;
    while (ref_next_line(&lines, &line)) {
        CHECK(ref_read_field(line, &ref_name, &ref_value));
        CHECK(uhttp_header_next(&rest, &name, &value));
        CHECK(is_same(name.ptr, name.len, ref_name));
        CHECK(is_same(value.ptr, value.len, ref_value));
    }
    CHECK(rest.len == 0);
}

/* uhttp_head_parse() alone, of a head that begins here. */
static void check_pure_head(const uint8_t *end, const ref_request *r)
{
    uhttp_head head;
    uhttp_str text = uh_text_slice((const char *)r->begin, (const char *)end);
    int result = uhttp_head_parse(text, &head);
    if (r->outcome == REF_NOTHING) {
        CHECK(result == 0);
        return;
    }
    if (!r->told) {
        CHECK(result < 0 && (r->faults & ref_fault(-result)) != 0);
        return;
    }
    CHECK(result == r->body - r->begin);
    CHECK(is_same(head.method.ptr, head.method.len, r->method));
    CHECK(is_same(head.target.ptr, head.target.len, r->target));
    CHECK(is_same(head.path.ptr, head.path.len, r->path));
    CHECK((head.query.ptr != NULL) == r->has_query && (head.host.ptr != NULL) == r->has_host);
    CHECK(is_same(head.query.ptr, head.query.len, r->query));
    CHECK(is_same(head.host.ptr, head.host.len, r->host));
    CHECK(head.version_minor == r->minor && head.close == r->close);
    CHECK(head.keep_alive == r->keep_alive && head.expect_continue == r->expects);
    CHECK(head.chunked == r->chunked && head.content_length == r->length);
    check_pure_fields(&head, r);
}

/* uhttp_chunked_decode() alone, of a body that begins here. */
static void check_pure_chunks(const uint8_t *end, const ref_request *r)
{
    uhttp_chunked chunked;
    size_t used = (size_t)(end - r->body);
    size_t made = used;
    char *out = (char *)malloc(made + 1);
    CHECK(out != NULL);
    memset(&chunked, 0, sizeof chunked);
    uhttp_result result = uhttp_chunked_decode(&chunked, (const char *)r->body, &used, out,
                                               &made);
    CHECK(result == (r->outcome == REF_WHOLE ? UHTTP_OK
                     : r->outcome == REF_CUT ? UHTTP_ERR_AGAIN : UHTTP_ERR_INVALID));
    CHECK(made == r->data_length && memcmp(out, r->data, made) == 0);
    CHECK(result != UHTTP_OK || r->body + used == r->next);
    free(out);
}

/* The readers that know no connection, message behind message. */
static void check_pure(const uint8_t *data, size_t size, uint8_t *room)
{
    static const ref_limits none;
    const uint8_t *end = data + size;
    ref_request r;
    r.next = data;
    do {
        r = ref_read(r.next, end, &none, room);
        if (r.begin < end)
            check_pure_head(end, &r);
        if (r.told && r.chunked)
            check_pure_chunks(end, &r);
    } while (r.outcome == REF_WHOLE);
}

/*--- the program ----------------------------------------------------------------------------*/

typedef enum habit {
    COLLECTS,               /* outside event mode: it is told when the body is whole */
    ACCEPTS, STREAMS,       /* in event mode */
    IGNORES                 /* answers when it knows the head */
} habit;

#define ANSWERS_MOST 512

/* What the server was asked and answered. */
static struct {
    habit does;
    ref_limits limits;
    const uint8_t *end;
    uint8_t *room;          /* for a body as the reference reads it, */
    uint8_t *body;          /* and as the program gets it */
    size_t body_length;
    ref_request now;        /* the next request, or the one that is under way */
    bool told;              /* the program knows of it */
    bool over;              /* no more is read */
    size_t answers;
    bool to_head[ANSWERS_MOST], expects[ANSWERS_MOST];
} run;

static void run_next(const uint8_t *at)
{
    run.now = ref_read(at, run.end, &run.limits, run.room);
    run.told = false;
    run.body_length = 0;
}

/* Decodes each escape, as Rule 5 has seen to it that there are no others. */
static bool is_decoded(const char *string, ref_text t)
{
    for (; t.at < t.end; string++) {
        int byte = ref_escape(t.at, t.end);
        if ((uint8_t)*string != (byte >= 0 ? byte : *t.at))
            return false;
        t.at += byte >= 0 ? 3 : 1;
    }
    return *string == '\0';
}

static void run_check_head(uhttp_conn *c)
{
    const ref_request *r = &run.now;
    ref_text lines = r->fields, line, ref_name, ref_value;
    const char *name, *value;
    size_t count = 0;
    CHECK(r->told && !run.told && !run.over);
    CHECK(is_same_string(uhttp_method(c), r->method));
    CHECK(is_same_string(uhttp_url(c), r->target));
    CHECK(is_decoded(uhttp_path(c), r->path));
    CHECK(strcmp(uhttp_protocol(c), r->minor > 0 ? "HTTP/1.1" : "HTTP/1.0") == 0);
    CHECK(r->has_host ? is_same_string(uhttp_host(c), r->host) : uhttp_host(c) == NULL);
    CHECK(uhttp_header_count(c) == r->count);
    for (; ref_next_line(&lines, &line); count++) {
        CHECK(ref_read_field(line, &ref_name, &ref_value));
        CHECK(uhttp_header_at(c, count, &name, &value));
        CHECK(is_same_string(name, ref_name) && is_same_string(value, ref_value));
    }
    CHECK(count == r->count && !uhttp_header_at(c, count, &name, &value));
    if (!r->chunked)
        CHECK(uhttp_content_length(c) == (r->length > 0 ? r->length : 0));
    run.told = true;
}

static void run_check_body(const uint8_t *body, size_t length)
{
    CHECK(run.told && run.now.outcome == REF_WHOLE);
    CHECK(length == run.now.data_length);
    CHECK(length == 0 || memcmp(body, run.now.data, length) == 0);
}

/* Answers with its number; then the next request begins where the reference says. */
static void run_answer(uhttp_conn *c)
{
    char number[24];
    int length = snprintf(number, sizeof number, "%u", (unsigned)run.answers);
    CHECK(run.answers < ANSWERS_MOST);
    run.to_head[run.answers] = ref_is_head(&run.now, run.end);
    run.expects[run.answers++] = run.now.expects;
    CHECK(uhttp_respond(c, 200, "text/plain", number, (size_t)length) == UHTTP_OK);
    run.over = run.now.outcome != REF_WHOLE || !ref_persists(&run.now);
    if (!run.over)
        run_next(run.now.next);
}

static void run_read(uhttp_conn *c)
{
    size_t length;
    const void *piece = uhttp_read_buffer(c, &length);
    CHECK(run.told && run.body_length + length <= run.now.data_length);
    if (length > 0)
        memcpy(run.body + run.body_length, piece, length);
    run.body_length += length;
}

static void run_collected(uhttp_conn *c)
{
    size_t length;
    const void *body = uhttp_body(c, &length);
    run_check_body((const uint8_t *)body, length);
    run_answer(c);
}

static void run_event(uhttp_conn *c)
{
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_WS_REQUEST:    /* may be answered as any other */
    case UHTTP_EVENT_REQUEST:
        run_check_head(c);
        run_collected(c);
        return;
    case UHTTP_EVENT_HEADERS:
        run_check_head(c);
        if (run.does == IGNORES && !run.now.expects)    /* else it could close as well */
            run_answer(c);
        else if (run.does == STREAMS)
            CHECK(uhttp_accept_body_streaming(c, run.limits.body) == UHTTP_OK);
        else
            CHECK(uhttp_accept_body(c, run.limits.body) == UHTTP_OK);
        return;
    case UHTTP_EVENT_DATA:
        run_read(c);
        return;
    case UHTTP_EVENT_COMPLETE:
        if (run.does != STREAMS) {
            run_collected(c);
            return;
        }
        run_read(c);
        run_check_body(run.body, run.body_length);
        run_answer(c);
        return;
    case UHTTP_EVENT_ERROR:         /* what it asks for next sends the refusal */
        CHECK(run.told && !run.over && run.now.outcome != REF_WHOLE);
        return;
    default:
        FAIL("an event of something else");
    }
}

/*--- the client -----------------------------------------------------------------------------*/

/* Bytes come all at once or a few at a time; then none. */
static void run_client(peer *p, const uint8_t *data, size_t size, size_t piece)
{
    uhttp_conn *c;
    peer_will_say_bytes(p, data, size);
    do {
        p->arrived += peer_least(piece, size - p->arrived);
        while (!p->closed && (c = world_next()) != NULL)
            run_event(c);
    } while (p->arrived < size && !p->closed);
    p->fin = true;
    while ((c = world_next()) != NULL)
        run_event(c);
    CHECK(p->closed);
}

/* The next answer that is not for the time being. */
static answer_end run_take(uhttp_str *out, bool may_continue, bool to_head, answer *a)
{
    answer_hint hint = to_head ? ANSWER_TO_HEAD : ANSWER_PLAIN;
    answer_end how = answer_next(out, hint, a);
    if (how == ANSWER_WHOLE && a->status == 100) {
        CHECK(may_continue);
        how = answer_next(out, hint, a);
    }
    return how;
}

/* One answer for each request, in order, then the refusal if there was one, then nothing. */
static void run_check_answers(const peer *p)
{
    static char body[ANSWER_BODY];
    uhttp_str out;
    answer a;
    char number[24];
    out.ptr = (const char *)p->out;
    out.len = p->out_length;
    a.body = body;
    for (size_t i = 0; i < run.answers; i++) {
        snprintf(number, sizeof number, "%u", (unsigned)i);
        CHECK(run_take(&out, run.expects[i], run.to_head[i], &a) == ANSWER_WHOLE);
        CHECK(a.status == 200 && a.length == (int)strlen(number));
        CHECK(run.to_head[i] || memcmp(body, number, strlen(number)) == 0);
        CHECK(!a.close || i + 1 == run.answers);
    }
    if (!run.over && run.now.outcome >= REF_REFUSED && run.now.outcome != REF_WHOLE) {
        bool to_head = ref_is_head(&run.now, run.end);
        unsigned faults = run.now.outcome == REF_CUT ? ref_fault(400) : run.now.faults;
        CHECK(run_take(&out, run.now.expects, to_head, &a) == ANSWER_WHOLE);
        CHECK((faults & ref_fault(a.status)) != 0 && a.close);
    }
    CHECK(out.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t bites[] = { 0, 1, 2, 3, 5, 16, 61, 500 };
    uhttp_config config = world_config();
    if (size < 2)
        return 0;
    memset(&run, 0, sizeof run);
    run.does = (habit)(data[0] % 4);
    run.limits.head = config.max_headers_length = HEAD_MOST;
    config.max_content_length = BODY_MOST;
    run.limits.body = run.does == IGNORES ? 0 : BODY_MOST;
    run.limits.is_server = true;
    run.end = data + size;
    config.event_mode = run.does != COLLECTS;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    run.room = (uint8_t *)malloc(size);
    run.body = (uint8_t *)malloc(size);
    if (run.room == NULL || run.body == NULL)
        abort();
    check_pure(data + 2, size - 2, run.room);
    run_next(data + 2);
    world_open(&config, 0);
    peer *p = world_connect();
    p->bite = bites[data[0] / 4 % 8];
    run_client(p, data + 2, size - 2, data[1] % 64 == 0 ? SIZE_MAX : data[1] % 64u * 8u + 1u);
    run_check_answers(p);
    world_close();
    free(run.room);
    free(run.body);
    return 0;
}
