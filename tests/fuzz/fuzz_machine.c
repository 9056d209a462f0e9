/* fuzz_machine.c - a random program against random peers
 *
 * The bytes of the input decide everything: the configuration, what peers say and when they
 * stall, shut or vanish, how much time passes, which allocation fails, and what the program
 * does with what it is told, right or wrong. A model knows what each call may answer. It
 * asserts that
 *
 *   - every request told of ends exactly once: answered, by an event, or by UHTTP_ERR_CLOSED
 *   - what the program holds does not move
 *   - what each client was sent is a sequence of whole responses in the order of its requests,
 *     each the one the program gave to that client, and nothing behind "Connection: close"
 *   - behind a 101 it was sent whole frames: the messages the program sent, in order, and all
 *     of them if there is a close frame, behind which there is nothing
 *   - in the end every slot is free and every block given back
 *
 * and, through world_check(), what must be true of the machine after every step. With libFuzzer
 * this is a program; test_machine.c includes it and feeds it from a generator.
 */
#include "memory_transport.h"

/*--- chance ---------------------------------------------------------------------------------*/

static const uint8_t *chance_at;
static const uint8_t *chance_end;

static bool chance_is_left(void) { return chance_at < chance_end; }

static unsigned chance_byte(void) { return chance_is_left() ? *chance_at++ : 0; }

static unsigned chance_below(unsigned n) { return chance_byte() % n; }

/*--- the model ------------------------------------------------------------------------------*/

/* What the program may do with a request it was told of. */
typedef enum stage {
    STAGE_NONE,                 /* it owns no request in this slot */
    STAGE_OFFERED,              /* HEADERS: answer or accept */
    STAGE_COLLECTING, STAGE_READING, STAGE_STORING,     /* accepted */
    STAGE_READY,                /* to be answered */
    STAGE_FAILED,               /* ERROR: answer now or never */
    STAGE_STREAMING,
    STAGE_WEBSOCKET             /* until its last event, or uhttp_close() */
} stage;

typedef enum answer_kind { KIND_PATTERN, KIND_OTHER, KIND_EMPTY } answer_kind;

/* One answer the program gave, as its client must find it. */
typedef struct given {
    unsigned number;            /* of the request it belongs to */
    int status;
    answer_kind kind;
    size_t length;              /* 101: how many messages followed */
    bool to_head, whole;
} given;

#define CLIENTS_MAX 48
#define GIVEN_MAX 48

/* One connection, by the order of connecting. */
typedef struct caller {
    given answers[GIVEN_MAX];
    unsigned count, told;
    bool lost;                  /* its connection may end at any byte */
    bool checked;
} caller;

/* One request the program owns, by slot. */
typedef struct request {
    stage at;
    uint64_t id;
    unsigned client, number;
    bool marked;                /* its answer bears its number */
    bool acceptable;            /* a REQUEST whose body may still be accepted */
    bool doomed;                /* its answer failed: 500, unless something better follows */
    bool wants_room;            /* WRITABLE is owed */
    uint64_t read, limit;       /* of a streamed body */
    bool in_pieces, in_chunks;  /* a message that is being sent, or heard */
    size_t sent;                /* of that in pieces */
    const char *strings[6];     /* where they were, and what they were */
    uint32_t sum;
} request;

static caller run_clients[CLIENTS_MAX];
static unsigned run_client_count;
static unsigned run_client_of[PEERS_MAX];
static request run_requests[PEERS_MAX];
static uint64_t run_ended_ids[16];
static unsigned run_told, run_ended;
static bool run_stopping, run_upgrades;     /* clients like WebSockets */
static const uhttp_conn *run_last;      /* returned by the last wait */
static unsigned run_given, run_logged;  /* answers; lines of the access log */

static char run_letter(unsigned who, unsigned number, size_t at)
{
    return (char)('a' + (who * 7 + number * 3 + at) % 26);
}

static request *run_request_of(const uhttp_conn *c) { return &run_requests[uh_conn_slot(c)]; }

static caller *run_client_of_request(const request *r) { return &run_clients[r->client]; }

/* The answer being given to a request. */
static given *run_last_given(const request *r)
{
    caller *who = run_client_of_request(r);
    return &who->answers[who->count - 1];
}

/* All the program may look at: where it is, and a sum of what it says. */
static uint32_t run_look(uhttp_conn *c, const char *strings[6])
{
    uint32_t sum = 1;
    const char *name;
    const char *value;
    strings[0] = uhttp_method(c);
    strings[1] = uhttp_url(c);
    strings[2] = uhttp_path(c);
    strings[3] = uhttp_protocol(c);
    strings[4] = uhttp_host(c);
    strings[5] = uhttp_header(c, "x-field");
    for (int i = 0; i < 6; i++) {
        for (const char *p = strings[i]; p != NULL && *p != '\0'; p++)
            sum = sum * 31 + (unsigned char)*p;
    }
    for (size_t i = 0; uhttp_header_at(c, i, &name, &value); i++)
        sum = sum * 31 + (uint32_t)(strlen(name) * 7 + strlen(value));
    for (size_t i = 0; uhttp_query_at(c, i, &name, &value); i++)
        sum = sum * 31 + (uint32_t)(strlen(name) * 7 + strlen(value));
    for (size_t i = 0; uhttp_cookie_at(c, i, &name, &value); i++)
        sum = sum * 31 + (uint32_t)(strlen(name) * 7 + strlen(value));
    return sum;
}

static void run_end(request *r)
{
    run_ended_ids[run_ended++ % 16] = r->id;
    r->at = STAGE_NONE;
}

/* A call or a search told the program that the client has gone. */
static void run_gone(const uhttp_conn *c, request *r)
{
    CHECK(r->at != STAGE_NONE);
    CHECK(!c->told && (c->state == UH_CLOSED || c->state == UH_SEND || c->state == UH_LINGER));
    run_client_of_request(r)->lost = true;
    run_end(r);
}

static void run_begin(uhttp_conn *c, stage at)
{
    request *r = run_request_of(c);
    char address[46];
    int port;
    CHECK(r->at == STAGE_NONE);
    memset(r, 0, sizeof *r);
    CHECK(uhttp_socket_address(c, address, sizeof address, &port) > 0);
    r->client = run_client_of[port - 1000];
    r->number = ++run_client_of_request(r)->told;
    r->id = uhttp_id(c);
    r->at = at;
    r->limit = UINT64_MAX;
    r->sum = run_look(c, r->strings);
    CHECK(r->id != 0 && uhttp_context(c) == NULL);
    for (int i = 0; i < 16; i++)
        CHECK(run_ended_ids[i] != r->id);
    uhttp_set_context(c, r);
    run_told++;
}

/* What the program holds has not moved and not changed. */
static void run_check_held(void)
{
    for (uint32_t i = 0; i < world_server->config.max_connections; i++) {
        const char *strings[6];
        request *r = &run_requests[i];
        uhttp_conn *c = &world_server->slots[i];
        if (r->at == STAGE_NONE)
            continue;
        bool over = c == run_last && (uhttp_event(c) == UHTTP_EVENT_CLOSED ||
                                      uhttp_event(c) == UHTTP_EVENT_WS_CLOSE);
        CHECK(c->told == !over && uhttp_id(c) == r->id && uhttp_context(c) == r);
        if (r->at == STAGE_WEBSOCKET)
            continue;                   /* its head went with the next wait */
        CHECK(run_look(c, strings) == r->sum);
        CHECK(memcmp(strings, r->strings, sizeof strings) == 0);
    }
}

/* The program owns what the model says, and nothing else. */
static void run_check_owned(void)
{
    const uhttp_conn *c = NULL;
    uhttp_stats stats;
    unsigned walked = 0;
    unsigned owned = 0;
    while ((c = uhttp_next(world_server, c)) != NULL) {
        CHECK(run_request_of(c)->at != STAGE_NONE);
        walked++;
    }
    for (uint32_t i = 0; i < world_server->config.max_connections; i++)
        owned += run_requests[i].at != STAGE_NONE ? 1 : 0;
    uhttp_server_stats(world_server, &stats);
    CHECK(walked == owned && stats.held == owned);
}

/*--- what the program does ------------------------------------------------------------------*/

/* What a call answered, against what it may. */
static uhttp_result run_judge(uhttp_conn *c, bool allowed, uhttp_result result)
{
    request *r = run_request_of(c);
    if (r->at == STAGE_NONE)
        CHECK(result == UHTTP_ERR_STATE || result == UHTTP_ERR_CLOSED);
    else if (result == UHTTP_ERR_CLOSED && r->at == STAGE_WEBSOCKET)
        CHECK(!uhttp_ws_is_open(c));        /* its last event follows */
    else if (result == UHTTP_ERR_CLOSED)
        run_gone(c, r);
    else if (!allowed)
        CHECK(result == UHTTP_ERR_STATE);
    else
        CHECK(result != UHTTP_ERR_STATE);
    world_check(false);
    return result;
}

static bool run_may_respond(const request *r)
{
    return r->at != STAGE_NONE && r->at != STAGE_STREAMING && r->at != STAGE_WEBSOCKET;
}

static void run_close(uhttp_conn *c)
{
    request *r = run_request_of(c);
    bool allowed = r->at != STAGE_NONE;
    caller *who = run_client_of_request(r);
    if (run_judge(c, allowed, uhttp_close(c)) == UHTTP_OK) {
        CHECK(allowed);
        who->lost = true;
        run_end(r);
    }
}

/* Writes the number of the request into the answer to come; false: it cannot be answered. */
static bool run_mark(uhttp_conn *c)
{
    request *r = run_request_of(c);
    char mark[32];
    if (r->marked)
        return true;
    snprintf(mark, sizeof mark, "%u-%u", r->client, r->number);
    uhttp_result result = run_judge(c, true, uhttp_add_header(c, "X-Told", mark));
    if (result == UHTTP_ERR_MEMORY)
        run_close(c);
    r->marked = result == UHTTP_OK;
    return r->marked;
}

/* Notes the answer about to be given; it is taken back if the call fails. */
static given *run_give(uhttp_conn *c, int status, answer_kind kind, size_t length)
{
    const request *r = run_request_of(c);
    caller *who = run_client_of_request(r);
    given *g = &who->answers[who->count++];
    run_given++;
    CHECK(who->count <= GIVEN_MAX);
    g->number = r->number;
    g->status = status;
    g->kind = kind;
    g->length = length;
    g->to_head = strcmp(r->strings[0], "HEAD") == 0;
    g->whole = true;
    return g;
}

static void run_gave(uhttp_conn *c, uhttp_result result)
{
    request *r = run_request_of(c);
    caller *who = run_client_of_request(r);
    if (run_judge(c, true, result) == UHTTP_OK) {
        run_end(r);
        return;
    }
    who->count--;
    run_given--;
    if (result == UHTTP_ERR_MEMORY)
        run_close(c);
    CHECK(result == UHTTP_ERR_MEMORY || result == UHTTP_ERR_CLOSED);
}

static const char *run_pattern(const request *r, size_t from, size_t length)
{
    static char pattern[26 + 16384];
    if (pattern[0] == '\0') {
        for (size_t i = 0; i < sizeof pattern; i++)
            pattern[i] = (char)('a' + i % 26);
    }
    CHECK(length <= 16384);
    return pattern + (run_letter(r->client, r->number, from) - 'a');
}

/*--- files: the pattern of an answer, and how much of a body has been written ------------------*/

static const char *run_opening;         /* the next file to be opened has these bytes */
static size_t run_opening_length;
static int run_files_open;

typedef struct run_upload {
    bool open;
    uint64_t length;
} run_upload;

static run_upload run_uploads[PEERS_MAX];
static uint64_t run_stored[PEERS_MAX];  /* by slot: what the last upload has brought */

static uhttp_result run_file_open(void *user, const char *path, const char *top, void **file,
                                  uhttp_file_info *info)
{
    CHECK(user == run_uploads && top == NULL && strcmp(path, "file") == 0);
    info->size = run_opening_length;
    *file = (void *)(uintptr_t)run_opening;
    run_files_open++;
    return UHTTP_OK;
}

static size_t run_file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    CHECK(user == run_uploads && run_files_open > 0);
    memcpy(to, (const char *)file + offset, length);
    return length;
}

static void run_file_close(void *user, void *file)
{
    CHECK(user == run_uploads && file != NULL && run_files_open-- > 0);
}

static uhttp_result run_file_create(void *user, const char *path, void **file)
{
    CHECK(user == run_uploads && strncmp(path, "up/.upload-", 11) == 0);
    for (int i = 0; i < PEERS_MAX; i++) {
        if (run_uploads[i].open)
            continue;
        run_uploads[i].open = true;
        run_uploads[i].length = 0;
        *file = &run_uploads[i];
        return UHTTP_OK;
    }
    FAIL("no more uploads than peers");
    return UHTTP_ERR_MEMORY;
}

/* The disk is full behind 60000 bytes. */
static uhttp_result run_file_write(void *user, void *file, const void *data, size_t length)
{
    run_upload *u = (run_upload *)file;
    CHECK(user == run_uploads && u->open && data != NULL && length > 0);
    u->length += length;
    return u->length > 60000 ? UHTTP_ERR_MEMORY : UHTTP_OK;
}

static uhttp_result run_file_finish(void *user, void *file, const char *written,
                                    const char *path)
{
    run_upload *u = (run_upload *)file;
    CHECK(user == run_uploads && u->open && strncmp(written, "up/.upload-", 11) == 0);
    u->open = false;
    if (path != NULL)
        run_stored[strtoul(path + 3, NULL, 10)] = u->length;
    return UHTTP_OK;
}

static const uhttp_files run_files = {
    run_uploads, run_file_open, run_file_read, run_file_close, run_file_create, run_file_write,
    run_file_finish
};

static uhttp_result run_respond_file(uhttp_conn *c, const char *data, size_t length)
{
    uhttp_file_options options;
    memset(&options, 0, sizeof options);
    options.no_gzip = true;
    run_opening = data;
    run_opening_length = length;
    return uhttp_respond_file(c, "file", &options);
}

static uhttp_result run_accept_to_file(uhttp_conn *c, uint64_t limit)
{
    char path[16];
    snprintf(path, sizeof path, "up/%u", (unsigned)uh_conn_slot(c));
    return uhttp_accept_body_to_file(c, path, limit);
}

static void run_check_files(void)
{
    CHECK(run_files_open == 0);
    for (int i = 0; i < PEERS_MAX; i++)
        CHECK(!run_uploads[i].open);
}

/* A row that is written behind the stream and never sent: nobody may see it. */
static void run_draft_row(uhttp_conn *c, size_t length)
{
    request *r = run_request_of(c);
    uhttp_json_writer w;
    uhttp_json_begin_row(&w, c);
    uhttp_result result = uhttp_json_string_n(&w, run_pattern(r, 0, length), length);
    run_judge(c, true, result);
    r->wants_room = r->wants_room || result == UHTTP_ERR_AGAIN;
}

static void run_write(uhttp_conn *c)
{
    static const size_t sizes[] = { 1, 10, 100, 400, 900, 3000, 5000, 0, 12 };
    request *r = run_request_of(c);
    unsigned choice = chance_below(10);
    size_t length = sizes[choice % 9];
    if (choice == 9 && r->at == STAGE_STREAMING) {
        run_draft_row(c, sizes[chance_below(7)]);
        return;
    }
    size_t room = uhttp_send_room(c);
    if (r->at != STAGE_STREAMING) {
        run_judge(c, false, uhttp_stream_write(c, "x", 1));
        return;
    }
    given *g = run_last_given(r);
    size_t failures = memory_failures;
    uhttp_result result = uhttp_stream_write(c, run_pattern(r, g->length, length), length);
    run_judge(c, true, result);
    if (result == UHTTP_OK && !g->to_head)
        g->length += length;
    CHECK(result == UHTTP_OK || result == UHTTP_ERR_CLOSED || length > room ||
          memory_failures > failures);
    r->wants_room = r->wants_room || result == UHTTP_ERR_AGAIN;
}

static void run_stream_end(uhttp_conn *c)
{
    request *r = run_request_of(c);
    bool allowed = r->at == STAGE_STREAMING;
    if (run_judge(c, allowed, uhttp_stream_end(c)) == UHTTP_OK) {
        run_last_given(r)->whole = true;
        run_end(r);
    }
}

static void run_stream(uhttp_conn *c)
{
    request *r = run_request_of(c);
    given *g = run_give(c, 200, KIND_PATTERN, 0);
    g->whole = false;
    uhttp_result result = run_judge(c, true, uhttp_stream_begin(c, 200, "text/plain"));
    if (result == UHTTP_OK) {
        r->at = STAGE_STREAMING;
        return;
    }
    run_client_of_request(r)->count--;
    run_given--;
    if (result == UHTTP_ERR_MEMORY)
        run_close(c);
}

/* An answer written as JSON, straight into the output. */
static void run_answer_json(uhttp_conn *c, size_t length)
{
    request *r = run_request_of(c);
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    uhttp_json_array_begin(&w);
    while (uhttp_json_length(&w) + 8 < length && uhttp_json_int(&w, 1234567) == UHTTP_OK) { }
    uhttp_json_array_end(&w);
    size_t written = uhttp_json_length(&w);
    uhttp_result result = uhttp_json_respond(&w, 200);
    world_check(false);
    if (result == UHTTP_ERR_CLOSED) {
        run_gone(c, r);
        return;
    }
    if (result != UHTTP_OK) {
        CHECK(result == UHTTP_ERR_MEMORY);
        run_close(c);
        return;
    }
    run_give(c, 200, KIND_OTHER, written);
    run_end(r);
}

static void run_answer(uhttp_conn *c)
{
    static const size_t sizes[] = { 0, 5, 100, 430, 1000, 2500, 5000, 12000 };
    request *r = run_request_of(c);
    unsigned how = chance_byte();
    size_t length = sizes[how >> 3 & 7];
    if (!run_may_respond(r)) {
        run_judge(c, false, uhttp_respond_text(c, 200, "x"));
        return;
    }
    if (run_client_of_request(r)->count == GIVEN_MAX) {
        run_close(c);
        return;
    }
    if (!run_mark(c))
        return;
    if ((how & 192) == 192)         /* never fails: it needs no room */
        CHECK(uhttp_add_header(c, "Connection", "close") == UHTTP_OK);
    const char *data = run_pattern(r, 0, length);
    switch (how & 7) {
    case 0:
    case 1:
        run_give(c, 200, KIND_PATTERN, length);
        run_gave(c, uhttp_respond(c, 200, "text/plain", data, length));
        break;
    case 2:
        if (how & 64) {
            run_give(c, 200, KIND_PATTERN, length);
            run_gave(c, run_respond_file(c, data, length));
            break;
        }
        run_give(c, 201, KIND_PATTERN, length);
        run_gave(c, uhttp_respond_static(c, 201, NULL, data, length));
        break;
    case 3:
        run_give(c, 404, KIND_OTHER, 14);
        run_gave(c, uhttp_respond_error(c, 404));
        break;
    case 4:
        run_give(c, 303, KIND_OTHER, 14);
        run_gave(c, uhttp_respond_redirect(c, 303, "/elsewhere"));
        break;
    case 5:
        run_give(c, 204, KIND_EMPTY, 0);
        run_gave(c, uhttp_respond(c, 204, NULL, NULL, 0));
        break;
    case 6:
        run_answer_json(c, length);
        break;
    default:
        run_stream(c);
        break;
    }
}

static void run_accept(uhttp_conn *c)
{
    static const uint64_t limits[] = { 0, 0, 20, 300, 2000, 100000, UINT64_MAX, 1 };
    request *r = run_request_of(c);
    unsigned how = chance_byte();
    uint64_t limit = limits[how >> 1 & 7];
    bool stream = (how & 1) != 0;
    bool store = (how & 48) == 48;
    bool allowed = r->at == STAGE_OFFERED || (r->at == STAGE_READY && r->acceptable);
    uhttp_result result = run_judge(c, allowed,
                                    store ? run_accept_to_file(c, limit)
                                          : stream ? uhttp_accept_body_streaming(c, limit)
                                                   : uhttp_accept_body(c, limit));
    if (result != UHTTP_OK)
        return;
    CHECK(allowed);
    r->acceptable = r->doomed = false;
    r->at = store ? STAGE_STORING : stream ? STAGE_READING : STAGE_COLLECTING;
    r->limit = limit > 0 ? limit : UINT64_MAX;
}

static void run_read(uhttp_conn *c)
{
    request *r = run_request_of(c);
    size_t length = 1;
    const uint8_t *piece = (const uint8_t *)uhttp_read_buffer(c, &length);
    unsigned sum = 0;
    CHECK((piece != NULL) == (length > 0));
    CHECK(length == 0 || r->at == STAGE_READING || r->at == STAGE_READY ||
          r->at == STAGE_STREAMING || r->at == STAGE_FAILED);
    for (size_t i = 0; i < length; i++)
        sum += piece[i];            /* all of it can be read */
    CHECK(sum > 0 || length < 1000);
    r->read += length;
    CHECK(length == 0 || r->read <= uhttp_bytes_received(c));
    CHECK(r->read <= r->limit);
    world_check(false);
}

/* Takes a body apart, if it is a form; all forms here are this one. */
static void run_form(uhttp_conn *c)
{
    static const char *const fields[][2] = { { "a", "1" }, { "flag", "" }, { "b c", "%" },
                                             { "", "x y" }, { "z", "" } };
    const char *name, *value;
    bool had_body = uhttp_body(c, NULL) != NULL;
    uhttp_result result = uhttp_form_parse(c);
    if (result == UHTTP_ERR_MEMORY)         /* there may be some now */
        result = uhttp_form_parse(c);
    else
        CHECK(uhttp_form_parse(c) == result);
    if (result == UHTTP_ERR_MEMORY)
        return;
    if (result != UHTTP_OK) {
        CHECK(uhttp_form_count(c) == 0 && (uhttp_body(c, NULL) != NULL) == had_body);
        return;
    }
    if (uhttp_content_length(c) > 0) {
        CHECK(uhttp_body(c, NULL) == NULL);
        run_request_of(c)->acceptable = false;
    }
    size_t count = uhttp_form_count(c);
    CHECK(count == 0 || count == 5);
    for (size_t i = 0; i < count; i++) {
        CHECK(uhttp_form_at(c, i, &name, &value));
        CHECK(strcmp(name, fields[i][0]) == 0 && strcmp(value, fields[i][1]) == 0);
    }
    CHECK(!uhttp_form_at(c, count, NULL, NULL));
}

/* A response that is refused for what it is. */
static void run_fail(uhttp_conn *c, uhttp_result result)
{
    request *r = run_request_of(c);
    if (run_judge(c, run_may_respond(r), result) == UHTTP_ERR_INVALID && c == run_last)
        r->doomed = true;
}

/* Asks and tries everything with whatever stands in a slot. */
static void run_misuse(uhttp_conn *c)
{
    request *r = run_request_of(c);
    char buffer[600];
    size_t length;
    const char *why;
    switch (chance_below(8)) {
    case 0:
        run_fail(c, uhttp_respond(c, 99, NULL, NULL, 0));
        break;
    case 1:
        run_judge(c, run_may_respond(r), uhttp_add_header(c, "X-Evil", "a\r\nb"));
        break;
    case 2:
        run_fail(c, uhttp_respond(c, 204, NULL, "x", 1));
        break;
    case 3:
        run_write(c);
        break;
    case 4:
        run_stream_end(c);
        break;
    case 5:
        run_accept(c);
        break;
    case 6:
        run_fail(c, uhttp_respond_redirect(c, 200, "/"));
        break;
    default:
        CHECK(uhttp_full_url(c, buffer, sizeof buffer) != 0);
        CHECK(uhttp_content_length(c) >= -1);
        uhttp_content_type(c);
        uhttp_body(c, &length);
        uhttp_error(c, &why);
        CHECK(why != NULL);
        uhttp_is_open(c);
        uhttp_fd(c);
        uhttp_query(c, "a");
        CHECK(uhttp_server_of(c) == world_server);
        run_form(c);
        break;
    }
    world_check(false);
}

static void run_find(uhttp_conn *c)
{
    request *r = run_request_of(c);
    CHECK(uhttp_find(world_server, 0) == NULL);
    for (int i = 0; i < 16; i++)
        CHECK(uhttp_find(world_server, run_ended_ids[i]) == NULL);
    if (r->at == STAGE_NONE)
        return;
    uhttp_conn *found = uhttp_find(world_server, r->id);
    if (found == NULL && r->at == STAGE_WEBSOCKET)
        CHECK(!uhttp_ws_is_open(c));
    else if (found == NULL)
        run_gone(c, r);
    else
        CHECK(found == c && c->state != UH_CLOSED);
    world_check(false);
}

/*--- WebSockets -----------------------------------------------------------------------------*/

static void run_ws_accept(uhttp_conn *c)
{
    request *r = run_request_of(c);
    if (run_client_of_request(r)->count == GIVEN_MAX || !run_mark(c))
        return;
    run_give(c, 101, KIND_PATTERN, 0);
    uhttp_result result = run_judge(c, true, uhttp_ws_accept(c, NULL));
    if (result == UHTTP_OK) {
        r->at = STAGE_WEBSOCKET;
        r->acceptable = r->doomed = false;
        CHECK(uhttp_ws_is_open(c));
        return;
    }
    run_client_of_request(r)->count--;
    run_given--;
    if (result == UHTTP_ERR_MEMORY)
        run_close(c);
    CHECK(result == UHTTP_ERR_MEMORY || result == UHTTP_ERR_CLOSED);
}

/* Sends a message, or a piece of one; what has room is taken, but where memory fails. */
static void run_ws_send(uhttp_conn *c, bool piece)
{
    static const size_t sizes[] = { 0, 1, 125, 126, 400, 900, 3000, 12 };
    request *r = run_request_of(c);
    unsigned how = chance_byte();
    size_t length = sizes[how & 7];
    uhttp_ws_type type = how & 8 ? UHTTP_WS_TEXT : UHTTP_WS_BINARY;
    size_t room = uhttp_send_room(c);
    size_t failures = memory_failures;
    const char *data = run_pattern(r, piece ? r->sent % 26 : 0, length);
    bool allowed = uhttp_ws_is_open(c) && r->in_pieces == piece;
    uhttp_result result = piece ? uhttp_ws_piece(c, data, length)
                                : how & 16 ? uhttp_ws_printf(c, "%.*s", (int)length, data)
                                           : uhttp_ws_send(c, type, data, length);
    run_judge(c, allowed, result);
    CHECK(!allowed || result == UHTTP_OK || result == UHTTP_ERR_CLOSED || length > room ||
          (length == 0 && room == 0) || memory_failures > failures);
    r->wants_room = r->wants_room || result == UHTTP_ERR_AGAIN;
    if (result != UHTTP_OK)
        return;
    r->sent += piece ? length : 0;
    run_last_given(r)->length += piece ? 0 : 1;
}

static void run_ws_begin_or_end(uhttp_conn *c)
{
    request *r = run_request_of(c);
    bool open = uhttp_ws_is_open(c);
    if (!r->in_pieces) {
        uhttp_result result = run_judge(c, open, uhttp_ws_begin(c, UHTTP_WS_TEXT));
        r->wants_room = r->wants_room || result == UHTTP_ERR_AGAIN;
        if (result != UHTTP_OK)
            return;
        r->in_pieces = true;
        r->sent = 0;
    } else if (run_judge(c, open, uhttp_ws_end(c)) == UHTTP_OK) {
        r->in_pieces = false;
        run_last_given(r)->length++;
    }
}

static void run_ws_broadcast(void)
{
    for (uhttp_conn *c = uhttp_next(world_server, NULL); c != NULL;
         c = uhttp_next(world_server, c)) {
        if (run_request_of(c)->at == STAGE_WEBSOCKET)
            run_ws_send(c, false);
    }
}

/* What the program does with a WebSocket, right or wrong. */
static void run_ws_act(uhttp_conn *c)
{
    request *r = run_request_of(c);
    bool open = uhttp_ws_is_open(c);
    unsigned how = chance_byte();
    switch (how & 15) {
    case 0:
    case 1:
    case 2:
        run_ws_send(c, false);
        break;
    case 3:
    case 4:
    case 5:
        run_ws_begin_or_end(c);
        break;
    case 6:
    case 7:
    case 8:
        run_ws_send(c, true);
        break;
    case 9:
        r->wants_room = run_judge(c, open, uhttp_ws_ping(c, "ping", how & 16 ? 4 : 0)) ==
                        UHTTP_ERR_AGAIN || r->wants_room;
        break;
    case 10:
        if (how >= 128)
            run_judge(c, open, uhttp_ws_close(c, 1000, how & 16 ? "enough" : NULL));
        break;
    case 11:
        run_judge(c, open, uhttp_ws_close(c, 1005, NULL));
        CHECK(uhttp_ws_is_open(c) == open);
        break;
    case 12:
        run_judge(c, open && !r->in_pieces, uhttp_ws_send(c, UHTTP_WS_TEXT, "\xff", 1));
        break;
    case 13:
        run_judge(c, false, uhttp_add_header(c, "X-Late", "x"));
        run_judge(c, false, uhttp_ws_accept(c, NULL));
        break;
    case 14:
        run_judge(c, false, uhttp_stream_end(c));
        break;
    default:
        run_ws_broadcast();
        break;
    }
}

/* A message, a part of one, or a ping. */
static void run_ws_hear(uhttp_conn *c)
{
    request *r = run_request_of(c);
    size_t length;
    const char *data = uhttp_ws_message(c, &length);
    uhttp_event_type event = uhttp_event(c);
    uhttp_str message = { data, length };
    bool goes_on = event == UHTTP_EVENT_WS_CHUNK_NEXT || event == UHTTP_EVENT_WS_CHUNK_LAST;
    CHECK(r->at == STAGE_WEBSOCKET && data != NULL && data[length] == '\0');
    if (event == UHTTP_EVENT_WS_PING) {
        CHECK(length <= 125);
    } else {
        CHECK(length <= world_server->config.max_ws_message_length);
        CHECK(r->in_chunks == goes_on);
        CHECK(event != UHTTP_EVENT_WS_MESSAGE || !uhttp_ws_is_text(c) ||
              uhttp_utf8_valid(message));
        r->in_chunks = event == UHTTP_EVENT_WS_CHUNK_FIRST ||
                       event == UHTTP_EVENT_WS_CHUNK_NEXT;
    }
    CHECK(event == UHTTP_EVENT_WS_MESSAGE || uhttp_server_event_mode(world_server));
    CHECK(c->told && uhttp_ws_is_open(c));
    run_ws_act(c);
}

static void run_ws_over(uhttp_conn *c)
{
    request *r = run_request_of(c);
    int code = uhttp_ws_code(c);
    CHECK(r->at == STAGE_WEBSOCKET && !c->told && !uhttp_ws_is_open(c));
    CHECK(code >= 1000 && code < 5000 && uhttp_ws_message(c, NULL) != NULL);
    CHECK(uhttp_ws_send(c, UHTTP_WS_TEXT, "x", 1) == UHTTP_ERR_CLOSED);
    if (code == 1006)
        run_client_of_request(r)->lost = true;
    run_end(r);
}

/*--- what the program is told ---------------------------------------------------------------*/

/* A chance to act on what was told; else it is held. */
static void run_act(uhttp_conn *c)
{
    switch (chance_below(8)) {
    case 0:
    case 1:
    case 2:
        run_answer(c);
        break;
    case 3:
    case 4:
        if (run_request_of(c)->at == STAGE_OFFERED)
            run_accept(c);
        else
            run_read(c);
        break;
    case 5:
        run_misuse(c);
        break;
    case 6:
        run_write(c);
        break;
    default:
        run_form(c);
        break;
    }
}

static void run_hear(uhttp_conn *c)
{
    request *r = run_request_of(c);
    size_t length;
    bool events = uhttp_server_event_mode(world_server);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_WS_REQUEST:
        run_begin(c, STAGE_READY);
        r->acceptable = events;
        CHECK(uhttp_is_loaded(c));
        if (uhttp_body(c, &length) != NULL)
            CHECK(((const char *)uhttp_body(c, NULL))[length] == '\0');
        break;
    case UHTTP_EVENT_HEADERS:
        CHECK(events);
        run_begin(c, STAGE_OFFERED);
        break;
    case UHTTP_EVENT_DATA:
        CHECK(events && r->at == STAGE_READING);
        break;
    case UHTTP_EVENT_COMPLETE:
        CHECK(events && (r->at == STAGE_READING || r->at == STAGE_COLLECTING ||
                         r->at == STAGE_STORING));
        CHECK(r->at != STAGE_STORING ||
              run_stored[uh_conn_slot(c)] == uhttp_bytes_received(c));
        CHECK(uhttp_is_loaded(c));
        CHECK(uhttp_content_length(c) == (int64_t)uhttp_bytes_received(c));
        CHECK(uhttp_bytes_received(c) <= r->limit);
        if (r->at == STAGE_COLLECTING) {
            const char *body = (const char *)uhttp_body(c, &length);
            CHECK(body != NULL && length == uhttp_bytes_received(c) && body[length] == '\0');
        }
        r->at = STAGE_READY;
        break;
    case UHTTP_EVENT_ERROR:
        CHECK(events && run_may_respond(r) && r->at != STAGE_FAILED);
        CHECK(uhttp_error(c, NULL) >= 400);
        r->at = STAGE_FAILED;
        break;
    case UHTTP_EVENT_WRITABLE:
        CHECK(events && r->wants_room);
        CHECK(r->at == STAGE_STREAMING || r->at == STAGE_WEBSOCKET);
        r->wants_room = false;
        if (r->at == STAGE_WEBSOCKET) {
            run_ws_act(c);
            return;
        }
        break;
    case UHTTP_EVENT_CLOSED:
        CHECK(events && r->at != STAGE_NONE && c->state == UH_CLOSED && !c->told);
        run_client_of_request(r)->lost = true;
        run_end(r);
        return;
    case UHTTP_EVENT_WS_MESSAGE:
    case UHTTP_EVENT_WS_CHUNK_FIRST:
    case UHTTP_EVENT_WS_CHUNK_NEXT:
    case UHTTP_EVENT_WS_CHUNK_LAST:
    case UHTTP_EVENT_WS_PING:
        run_ws_hear(c);
        return;
    case UHTTP_EVENT_WS_CLOSE:
        run_ws_over(c);
        return;
    case UHTTP_EVENT_NONE:
        FAIL("an event has a name");
        break;
    }
    CHECK(c->told && c->state != UH_CLOSED);
    if (uhttp_is_websocket_request(c) && run_may_respond(r) && chance_below(4) > 0)
        run_ws_accept(c);
    else
        run_act(c);
}

/* Whoever asks for the next event after ERROR, or after an answer that failed, has given up. */
static void run_give_up(void)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        request *r = &run_requests[i];
        if (r->at == STAGE_FAILED || (r->doomed && run_may_respond(r)))
            run_end(r);
        r->doomed = false;
    }
}

/* One round of the loop; false: nothing moves any more. */
static bool run_step(void)
{
    run_give_up();
    uhttp_conn *c = world_step();
    run_last = c;
    run_check_held();
    if (c != NULL)
        run_hear(c);
    run_check_held();
    run_check_owned();
    return c != NULL || !world_is_quiet();
}

/* Until nothing moves any more, or the program has been busy for long. */
static void run_rest(unsigned steps)
{
    while (steps-- > 0) {
        if (!run_step()) {
            world_check(true);
            return;
        }
    }
}

/*--- what clients do ------------------------------------------------------------------------*/

#define FRAME(bytes) { bytes, sizeof bytes - 1 }

/* A frame or a few, mostly good ones. */
static void run_compose_frames(peer *p)
{
    static const struct { const char *bytes; size_t length; } frames[] = {
        FRAME("\x81\x85\0\0\0\0hello"),
        FRAME("\x82\x83\x01\x02\x03\x04\0\0\0"),
        FRAME("\x89\x81\0\0\0\0p"),
        FRAME("\x8a\x80\0\0\0\0"),
        FRAME("\x01\x82\0\0\0\0ab"),                                  /* a message begins */
        FRAME("\x00\x81\0\0\0\0c\x89\x80\0\0\0\0\x00\x80\0\0\0\0"),   /* goes on */
        FRAME("\x80\x81\0\0\0\0d"),                                   /* and ends */
        FRAME("\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\xa4"),
        FRAME("\x81\x80\0\0\0\0\x82\x80\0\0\0\0"),
        FRAME("\x88\x82\0\0\0\0\x03\xe8"),
        FRAME("\x88\x80\0\0\0\0\x81\x81\0\0\0\0x"),
    };
    static const struct { const char *bytes; size_t length; } broken[] = {
        FRAME("\x81\x82\0\0\0\0\xc3x"), FRAME("\x01\x81\0\0\0\0\xe2\x80\x80\0\0\0\0"),
        FRAME("\x81\x01x"), FRAME("\x83\x80\0\0\0\0"), FRAME("\xc1\x80\0\0\0\0"),
        FRAME("\x81\xfe\0\x03\0\0\0\0"), FRAME("\x81\xff\x80\0\0\0\0\0\0\0"),
        FRAME("\x09\x80\0\0\0\0"), FRAME("\x88\x81\0\0\0\0\x03"),
        FRAME("\x88\x82\0\0\0\0\x03\xed"), FRAME("\x81\x8a\0\0\0\0cut"),
    };
    static const unsigned lengths[] = { 126, 300, 900, 5000 };
    unsigned choice = chance_byte();
    unsigned n = lengths[choice & 3];
    if (choice < 176) {
        peer_will_say_bytes(p, frames[choice % 11].bytes, frames[choice % 11].length);
    } else if (choice < 208) {                  /* a long one */
        const char head[] = { choice & 4 ? '\x82' : '\x81', '\xfe', (char)(n >> 8), (char)n,
                              0, 0, 0, 0 };
        peer_will_say_bytes(p, head, sizeof head);
        for (unsigned i = 0; i < n; i++)
            peer_will_say_bytes(p, "0", 1);
    } else if (choice < 232) {                  /* a flood */
        for (unsigned i = 0; i < 40; i++)
            peer_will_say_bytes(p, frames[choice % 4].bytes, frames[choice % 4].length);
    } else {
        peer_will_say_bytes(p, broken[choice % 11].bytes, broken[choice % 11].length);
    }
}

static void run_compose_handshake(peer *p, unsigned choice)
{
    peer_will_say(p, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    if (choice & 1)
        run_compose_frames(p);
}

/* A request, mostly a good one. */
static void run_compose(peer *p)
{
    static const char *const whole[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /old HTTP/1.0\r\n\r\n",
        "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /%61%20b/c?a=1&b=%20x&flag&a=+ HTTP/1.1\r\nHost: a.b:80\r\nCookie: a=b; c=d\r\n"
        "X-Field: \t with  blanks \t\r\nEmpty:\r\n\r\n",
        "GET http://host.example:8080/abs?x HTTP/1.1\r\nHost: other\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "\r\nPOST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n",
        "POST /ce HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "Expect: 100-continue\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "POST /old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
        "GET /cut HTTP/1.1\r\nHo",
        "POST /many HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n1\r\ne\r\n1\r\nf\r\n1\r\ng\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        "HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        "a=1&flag&b%20c=%25&&=x+y&z=&" "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nCookie: x=y;z=\r\n\r\n"
        "7\r\na=1&fla\r\n14\r\ng&b%20c=%25&&=x+y&z=\r\n0\r\n\r\n",
    };
    static const char *const broken[] = {
        "nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HEAD / HTTP/1.1\r\nHost : a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: more\r\n\r\nabc",
        "\r\n\r\n\r\n",
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    };
    static const unsigned lengths[] = { 1, 64, 200, 700, 1500, 4000, 20000, 70000 };
    unsigned choice = chance_byte();
    unsigned n = lengths[choice & 7];
    char head[160];
    if (world_state(p) == UH_WEBSOCKET) {
        run_compose_frames(p);
    } else if (choice >= 248 || (run_upgrades && choice < 64)) {
        run_compose_handshake(p, choice);
    } else if (choice < 128) {
        peer_will_say(p, whole[choice % 18]);
    } else if (choice < 144) {
        peer_will_say(p, broken[choice % 12]);
    } else if (choice < 176) {                  /* a body with a length */
        snprintf(head, sizeof head,
                 "POST /n HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n%s\r\n", n,
                 choice & 8 ? "Expect: 100-continue\r\n" : "");
        peer_will_say(p, head);
        for (unsigned i = 0; i < n; i += 50)
            peer_will_say_bytes(p, "01234567890123456789012345678901234567890123456789",
                                n - i < 50 ? n - i : 50);
    } else if (choice < 208) {                  /* a chunked one of the same chunk again */
        peer_will_say(p, "PUT /chunks HTTP/1.1\r\nHost: a\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n");
        for (unsigned i = 0; i < n; i += 32)
            peer_will_say(p, "020;x\r\n01234567890123456789012345678901\r\n");
        peer_will_say(p, "0\r\n\r\n");
    } else if (choice < 232) {                  /* a long head */
        peer_will_say(p, "GET /long?");
        for (unsigned i = 0; i < n && i < 4500; i += 10)
            peer_will_say(p, choice & 8 ? "%41%42&c=d" : "0123456789");
        peer_will_say(p, " HTTP/1.1\r\nHost: a\r\nX-Field: y\r\n\r\n");
    } else {                                    /* anything */
        for (unsigned i = 0; i < (choice & 15) && chance_is_left(); i++) {
            uint8_t byte = (uint8_t)chance_byte();
            peer_will_say_bytes(p, &byte, 1);
        }
    }
}

static peer *run_some_peer(void)
{
    unsigned from = chance_byte();
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        peer *p = &world_peers[(from + i) % PEERS_MAX];
        if (p->in_use && !p->closed)
            return p;
    }
    return NULL;
}

/* What a client was sent behind a 101. Frames may end anywhere if the connection did. */
static void run_check_frames(const peer *p, uhttp_str rest, const given *g, bool may_be_cut)
{
    unsigned number = run_client_of[p->number];
    unsigned type = 0;
    size_t messages = 0;
    size_t at = 0;
    while (rest.len > 0) {
        uhttp_ws_frame f;
        int head = uhttp_ws_frame_parse(rest, &f);
        CHECK(head >= 0);
        if (head == 0 || f.length > rest.len - (size_t)head) {
            CHECK(may_be_cut);
            return;
        }
        const char *payload = rest.ptr + head;
        rest = uh_text_slice(payload + f.length, rest.ptr + rest.len);
        CHECK(!f.masked);
        if (f.opcode == 8) {
            CHECK(rest.len == 0 && messages == g->length && f.length != 1);
            return;
        }
        if (f.opcode > 8)
            continue;
        CHECK((f.opcode == 0) == (type != 0));
        at = f.opcode != 0 ? 0 : at;
        type = f.opcode != 0 ? f.opcode : type;
        for (size_t i = 0; i < f.length; i++)
            CHECK(payload[i] == run_letter(number, g->number, at++));
        if (f.fin) {
            type = 0;
            messages++;
        }
    }
    CHECK(messages == g->length || (messages < g->length && may_be_cut));
}

/* Is a WebSocket of this client's still the program's? Then its end may not have been heard. */
static bool run_owns_websocket(unsigned client)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        if (run_requests[i].at == STAGE_WEBSOCKET && run_requests[i].client == client)
            return true;
    }
    return false;
}

/* What a client was sent: whole responses, in order, each the one the program gave it. */
static void run_check_client(const peer *p)
{
    static char body[ANSWER_BODY];
    unsigned number = run_client_of[p->number];
    caller *who = &run_clients[number];
    uhttp_str rest = { (const char *)p->out, p->out_length };
    unsigned next = 0;
    bool over = false;
    answer a;
    answer_end how;
    a.body = body;
    if (who->checked)
        return;
    who->checked = true;
    while ((how = answer_next(&rest, ANSWER_GUESS, &a)) != ANSWER_NONE) {
        CHECK(how != ANSWER_BROKEN && !over);
        if (how == ANSWER_CUT) {
            CHECK(who->lost);
            return;
        }
        if (a.status < 200 && a.status != 101)
            continue;
        over = a.close;
        uhttp_str mark = answer_field(&a, "x-told");
        if (mark.ptr == NULL) {                 /* refused by the server, which ends it */
            CHECK(a.close && a.status >= 400 && (a.dated || a.status == 503));
            continue;
        }
        char want[32];
        CHECK(next < who->count);
        const given *g = &who->answers[next++];
        snprintf(want, sizeof want, "%u-%u", number, g->number);
        CHECK(answer_value_is(mark, want) && a.status == g->status && a.dated);
        if (a.status == 101) {
            CHECK(next == who->count);
            run_check_frames(p, rest, g, who->lost || p->fin || run_owns_websocket(number));
            return;
        }
        if (a.headless && who->lost && rest.len == 0)
            return;
        CHECK(!a.headless || g->to_head);
        if (a.headless || g->to_head)
            continue;
        CHECK(who->lost || g->whole);
        if (who->lost && a.length < 0 && !a.chunked)
            continue;                           /* ended by the connection, at any byte */
        CHECK(a.body_length == (g->kind == KIND_EMPTY ? 0 : g->length));
        for (size_t i = 0; i < a.body_length && g->kind == KIND_PATTERN; i++)
            CHECK(a.body[i] == run_letter(number, g->number, i));
    }
    CHECK(who->lost || next == who->count);
}

static void run_connect(void)
{
    unsigned how = chance_byte();
    unsigned open = 0;
    for (int i = 0; i < PEERS_MAX; i++)
        open += world_peers[i].in_use && !world_peers[i].closed ? 1 : 0;
    if (run_stopping || open == PEERS_MAX || run_client_count == CLIENTS_MAX)
        return;
    for (int i = 0; i < PEERS_MAX; i++) {       /* before its place is another's */
        if (world_peers[i].in_use && world_peers[i].closed && world_peers[i].opened)
            run_check_client(&world_peers[i]);
    }
    peer *p = world_peer();
    if ((how & 15) == 15)
        p->refuses_open = true;
    if ((how & 12) == 4)
        p->handshake = (how & 3) == 3 ? -2 : 1 + (int)(how & 3);
    if ((how & 48) == 48)
        p->record = 1 + (how & 31) * 20;
    if (!world_accept(p))
        return;
    run_client_of[p->number] = run_client_count;
    run_clients[run_client_count].lost = p->handshake < 0 || p->refuses_open;
    run_client_count++;
    if (how & 64) {
        run_compose(p);
        p->arrived = p->in_length;
    }
}

static void run_dial(peer *p)
{
    static const size_t sizes[] = { 0, 1, 3, 20, 100, 500, 2000, 0 };
    unsigned how = chance_byte();
    size_t size = sizes[how >> 3 & 7];
    switch (how & 7) {
    case 0:
        p->bite = size;
        break;
    case 1:
        p->gulp = size;
        break;
    case 2:
    case 3:
        p->window = size;
        break;
    case 4:
        p->window = SIZE_MAX;
        break;
    case 5:
        p->stalls = how >> 3 & 3 ? 1 + (how >> 3 & 3) : 0;
        p->crossed = (how & 32) != 0;
        break;
    case 6:
        p->mute = !p->mute;
        break;
    default:
        p->bite = p->gulp = 0;
        break;
    }
}

/* Time passes. Who owes bytes now may be given up by the server. */
static void run_sleep(void)
{
    static const uint32_t times[] = { 1, 50, 999, 2000, 2001, 5000, 10000, 61000 };
    for (int i = 0; i < PEERS_MAX; i++) {
        const peer *p = &world_peers[i];
        const uhttp_conn *c = p->in_use && p->opened && !p->closed ? world_conn_of(p) : NULL;
        if (c != NULL && (uh_conn_owes(c) || c->state == UH_SEND || c->state == UH_STREAM))
            run_clients[run_client_of[i]].lost = true;
    }
    world_sleep(times[chance_below(8)]);
}

static void run_client_acts(unsigned action)
{
    peer *p = run_some_peer();
    if (p == NULL)
        return;
    switch (action) {
    case 0:
        run_compose(p);
        p->arrived = p->fin ? p->arrived : p->in_length;
        break;
    case 1:
        run_compose(p);
        break;
    case 2:
        if (!p->fin)
            p->arrived += peer_least(chance_byte(), p->in_length - p->arrived);
        break;
    case 3:
        if (!p->fin)
            p->arrived = p->in_length;
        break;
    case 4:
        p->fin = true;
        break;
    case 5:
        p->reset = true;
        run_clients[run_client_of[p->number]].lost = true;
        break;
    case 6:
        p->send_fails = true;
        run_clients[run_client_of[p->number]].lost = true;
        break;
    default:
        run_dial(p);
        break;
    }
}

/*--- one run --------------------------------------------------------------------------------*/

static void run_program_acts(unsigned action)
{
    uhttp_conn *c = &world_server->slots[chance_byte() % world_server->config.max_connections];
    if (run_request_of(c)->at == STAGE_WEBSOCKET && action > 0 && action < 6) {
        run_ws_act(c);
        return;
    }
    switch (action) {
    case 0:
    case 1:
        run_answer(c);
        break;
    case 2:
        run_write(c);
        break;
    case 3:
        run_stream_end(c);
        break;
    case 4:
        run_accept(c);
        break;
    case 5:
        run_read(c);
        break;
    case 6:
        run_find(c);
        break;
    case 7:
        if (run_request_of(c)->at == STAGE_WEBSOCKET)
            run_read(c);
        else
            run_misuse(c);
        break;
    default:
        run_close(c);
        break;
    }
}

static void run_one_action(void)
{
    unsigned action = chance_below(64);
    if (action < 5)
        run_connect();
    else if (action < 14)
        run_client_acts(0);
    else if (action < 16)
        run_client_acts(1);
    else if (action < 21)
        run_client_acts(2);
    else if (action < 24)
        run_client_acts(3);
    else if (action < 26)
        run_client_acts(4);
    else if (action < 27)
        run_client_acts(5 + chance_below(2));
    else if (action < 32)
        run_client_acts(7);
    else if (action < 40)
        run_step();
    else if (action < 46)
        run_rest(300);
    else if (action < 59)
        run_program_acts((action - 46) % 9);
    else if (action < 61)
        run_sleep();
    else if (action < 63) {
        memory_fails_from = memory_calls + chance_below(4);
        memory_fails_to = memory_fails_from + chance_below(3) * chance_below(3);
    } else if (chance_below(8) == 0) {
        run_stopping = true;
        CHECK(uhttp_server_shutdown(world_server) != UHTTP_ERR_STATE);
    }
}

static void run_log(void *user, const char *line)
{
    CHECK(user == NULL && *line != '\0' && strlen(line) < 192);
}

static void run_access(void *user, const uhttp_access *entry)
{
    CHECK(user == NULL && strlen(entry->address) > 6 && strlen(entry->method) < 6000);
    CHECK(entry->status == 101 || (entry->status >= 200 && entry->status < 600));
    CHECK(strlen(entry->url) < 6000);
    run_logged++;
}

static void run_open(void)
{
    static const size_t buffers[] = { 512, 600, 1024, 4096 };
    unsigned how = chance_byte();
    unsigned limits = chance_byte();
    uhttp_config config = world_config();
    config.max_connections = 1 + (how & 3) % 3;
    config.event_mode = (how & 4) != 0;
    config.response_timeout_ms = how & 8 ? 3000 : 0;
    config.keep_alive_max_requests = how & 16 ? 3 : 0;
    config.max_content_length = limits & 1 ? 1000 : 0;
    config.max_headers_length = limits & 2 ? 300 : 0;
    config.max_send_buffer = limits & 4 ? 900 : 0;
    config.default_headers = limits & 8 ? "X-Default: yes\r\n" : NULL;
    if (limits & 16)
        config.max_content_length = UHTTP_UNLIMITED;
    if (limits & 32)
        config.log = run_log;
    world_waits = (limits & 64) != 0;
    run_upgrades = limits >= 128;
    config.access_log = run_access;
    config.files = &run_files;
    config.file_chunk_size = limits & 16 ? 50 : 0;
    config.max_ws_message_length = limits & 8 ? 200 : 0;
    world_open(&config, how & 32 ? buffers[how >> 6] : 0);
}

/* All is well now: what is held is answered, what is said arrives, and everybody leaves. */
static void run_finish(void)
{
    memory_fails_from = memory_fails_to = 0;
    for (int i = 0; i < PEERS_MAX; i++) {
        peer *p = &world_peers[i];
        p->window = SIZE_MAX;
        p->stalls = 0;
        p->gulp = p->bite = 0;
        p->mute = false;
        if (!p->fin)
            p->arrived = p->in_length;
    }
    for (int round = 0; round < 200; round++) {
        run_rest(2000);
        for (uint32_t i = 0; i < world_server->config.max_connections; i++) {
            uhttp_conn *c = &world_server->slots[i];
            if (run_requests[i].at == STAGE_STREAMING)
                run_stream_end(c);
            else if (run_requests[i].at == STAGE_READING && c->request.body_len > 0)
                run_read(c);
            else if (run_requests[i].at == STAGE_READY || run_requests[i].at == STAGE_OFFERED)
                run_answer(c);
        }
        bool owned = false;
        for (uint32_t i = 0; i < world_server->config.max_connections; i++)
            owned = owned || (run_requests[i].at != STAGE_NONE &&
                              run_requests[i].at != STAGE_WEBSOCKET);
        if (!owned && !run_step())
            break;
    }
    for (int i = 0; i < PEERS_MAX; i++)
        world_peers[i].fin = true;
    for (int round = 0; round < 6; round++) {
        run_rest(2000);
        world_sleep(61000);
        for (uint32_t i = 0; i < world_server->config.max_connections; i++)
            run_find(&world_server->slots[i]);
    }
    run_rest(2000);
    CHECK(world_server->counts[UH_FREE] == world_server->config.max_connections);
    CHECK(run_told == run_ended);
    CHECK(run_logged >= run_given);
    CHECK(run_logged <= run_given + world_server->stats.refused);
}

static void run_all(const uint8_t *bytes, size_t length)
{
    chance_at = bytes;
    chance_end = bytes + length;
    memset(run_clients, 0, sizeof run_clients);
    memset(run_requests, 0, sizeof run_requests);
    memset(run_ended_ids, 0, sizeof run_ended_ids);
    run_client_count = run_told = run_ended = run_given = run_logged = 0;
    run_stopping = false;
    run_open();
    while (chance_is_left()) {
        run_one_action();
        world_check(false);
    }
    bool abrupt = length % 8 == 7;
    if (!abrupt)
        run_finish();
    for (int i = 0; i < PEERS_MAX && !abrupt; i++) {
        if (world_peers[i].in_use && world_peers[i].opened)
            run_check_client(&world_peers[i]);
    }
    world_close();
    run_check_files();
    world_waits = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length <= 600)
        run_all(bytes, length);
    return 0;
}
