/* soak_program.h - the program behind the server that soak.c loads: a path for every feature
 *
 * Whatever is sent is cut out of one text, `big`, and whatever is uploaded is compared with it.
 * Each request the program is told of has an entry until it ends, so that none ends twice and
 * none is forgotten.
 */
#ifndef SOAK_PROGRAM_H
#define SOAK_PROGRAM_H

#define BIG       262144u
#define FILE_SIZE 90000u
#define PIECE     700u          /* of a stream */
#define PERIOD    (BIG - PIECE) /* after which big repeats itself */

typedef struct request {
    bool used;
    uint64_t id;
    bool websocket;
    bool in_message;            /* of a WebSocket, in parts that are echoed one by one */
    bool timed;                 /* the program acts at a time of its own */
    uint32_t due;
    unsigned left;              /* bytes of a stream, events, rows or frames still to come */
    size_t at;                  /* bytes of it, or of an upload, so far */
    bool in_form;
    uhttp_formdata form;
    char headers[400];
} request;

#define REQUESTS 512

static uhttp_server *server;
static request requests[REQUESTS];
static unsigned requests_used;
static uint64_t told_count, ended_count, logged, log_lines;
static uint64_t events_seen[UHTTP_EVENT_WS_CLOSE + 1];
static char big[BIG + 1];
static char folder[128];        /* of the files, with a slash; "" in a network in memory */
static char folder_root[128] = ".";     /* and without */

/*--- a request's life ------------------------------------------------------------------------*/

static request *request_new(uhttp_conn *c)
{
    static unsigned next;
    CHECK(uhttp_context(c) == NULL && requests_used < REQUESTS);
    while (requests[next].used)
        next = (next + 1) % REQUESTS;
    request *r = &requests[next];
    memset(r, 0, sizeof *r);
    r->used = true;
    r->id = uhttp_id(c);
    uhttp_set_context(c, r);
    requests_used++;
    told_count++;
    return r;
}

static request *request_of(uhttp_conn *c)
{
    request *r = (request *)uhttp_context(c);
    CHECK(r != NULL && r->used && r->id == uhttp_id(c));
    return r;
}

static void request_ends(request *r)
{
    CHECK(r->used);
    r->used = false;
    requests_used--;
    ended_count++;
}

/* Gives up in the middle; the client sees that something is missing. */
static void request_drop(uhttp_conn *c, request *r)
{
    uhttp_result result = uhttp_close(c);
    CHECK(result == UHTTP_OK || result == UHTTP_ERR_CLOSED);
    request_ends(r);
}

/* A call that answers. What does not fit is refused, if that fits. */
static void answered(uhttp_conn *c, request *r, uhttp_result result)
{
    if (result == UHTTP_ERR_MEMORY)
        result = uhttp_respond_error(c, 503);
    if (result == UHTTP_ERR_MEMORY) {
        request_drop(c, r);
        return;
    }
    CHECK(result == UHTTP_OK || result == UHTTP_ERR_CLOSED);
    request_ends(r);
}

static void acts_in(request *r, uint32_t ms)
{
    r->timed = true;
    r->due = soak_now + ms;
}

/*--- streams ------------------------------------------------------------------------------------*/

/* A piece that was not taken. True: later. */
static bool stream_waits(uhttp_conn *c, request *r, uhttp_result result)
{
    if (result == UHTTP_ERR_AGAIN)
        return true;
    if (result == UHTTP_ERR_MEMORY)
        request_drop(c, r);
    else if (result == UHTTP_ERR_CLOSED)
        request_ends(r);
    else
        CHECK(result == UHTTP_OK);
    return false;
}

static void stream_on(uhttp_conn *c, request *r)
{
    while (r->left > 0) {
        size_t length = r->left < PIECE ? r->left : PIECE;
        uhttp_result result = uhttp_stream_write(c, big + r->at, length);
        if (result != UHTTP_OK) {
            stream_waits(c, r, result);
            return;
        }
        r->at = (r->at + length) % PERIOD;
        r->left -= (unsigned)length;
    }
    answered(c, r, uhttp_stream_end(c));
}

static uhttp_result send_event(uhttp_conn *c, const request *r)
{
    uhttp_sse_event event;
    uhttp_json_writer w;
    memset(&event, 0, sizeof event);
    event.event = r->left % 5 == 0 ? "fifth" : NULL;
    event.id = "7";
    if (r->left % 7 == 0)
        return uhttp_sse_comment(c, "still here");
    if (r->left % 3 == 0) {
        uhttp_json_begin_event(&w, c, &event);
        uhttp_json_array_begin(&w);
        uhttp_json_uint(&w, r->left);
        uhttp_json_array_end(&w);
        return uhttp_json_send_event(&w);
    }
    event.data = "one\ntwo";
    return uhttp_sse_send(c, &event);
}

static uhttp_result send_row(uhttp_conn *c, const request *r)
{
    uhttp_json_writer w;
    if (r->left % 2 == 0)
        return uhttp_ndjson_send(c, "{\"even\":true}");
    uhttp_json_begin_row(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "left");
    uhttp_json_uint(&w, r->left);
    uhttp_json_object_end(&w);
    return uhttp_json_send_row(&w);
}

static uhttp_result send_frame(uhttp_conn *c, const request *r)
{
    if (r->left % 2 == 0)
        (void)uhttp_add_header(c, "X-Frame", "even");
    return uhttp_multipart_frame(c, "image/jpeg", big, 100 + r->left % 600);
}

/* One event, row or frame; who reads too slowly misses it. */
static void series_on(uhttp_conn *c, request *r)
{
    const char *path = uhttp_path(c);
    uhttp_result result;
    if (path[1] == 'e')
        result = send_event(c, r);
    else
        result = path[1] == 'r' ? send_row(c, r) : send_frame(c, r);
    if (result != UHTTP_OK && !stream_waits(c, r, result))
        return;
    r->left--;
    if (r->left > 0)
        acts_in(r, 1 + r->left * 37 % 500);
    else
        answered(c, r, path[1] == 'e' ? uhttp_sse_end(c)
                       : path[1] == 'r' ? uhttp_ndjson_end(c) : uhttp_multipart_end(c));
}

static void series_begin(uhttp_conn *c, request *r, unsigned count)
{
    const char *path = uhttp_path(c);
    uhttp_result result = path[1] == 'e'   ? uhttp_sse_begin(c)
                          : path[1] == 'r' ? uhttp_ndjson_begin(c)
                                           : uhttp_multipart_begin(c);
    r->left = count;
    if (result != UHTTP_OK)
        answered(c, r, result);
    else
        acts_in(r, 0);
}

static void stream_begin(uhttp_conn *c, request *r, unsigned length)
{
    uhttp_result result = uhttp_stream_begin(c, 200, "text/plain");
    r->left = length;
    if (result != UHTTP_OK)
        answered(c, r, result);
    else
        stream_on(c, r);
}

/*--- uploads --------------------------------------------------------------------------------------*/

/* What has come must be what every client sends. */
static void upload_takes(request *r, const void *data, size_t length)
{
    CHECK(r->at + length <= BIG && memcmp(data, big + r->at, length) == 0);
    r->at += length;
}

static void form_takes(request *r, const void *data, size_t length)
{
    uhttp_formdata_event event;
    CHECK(uhttp_formdata_feed(&r->form, data, length) == UHTTP_OK);
    size_t part = r->form.open ? r->left : 0;   /* bytes of this part so far */
    do {
        event = uhttp_formdata_next(&r->form);
        if (event == UHTTP_FORMDATA_PART)
            part = 0;
        if (event == UHTTP_FORMDATA_DATA) {
            CHECK(memcmp(r->form.data.ptr, big + part, r->form.data.len) == 0);
            part += r->form.data.len;
            r->at += r->form.data.len;
        }
    } while (event != UHTTP_FORMDATA_MORE && event != UHTTP_FORMDATA_END &&
             event != UHTTP_FORMDATA_ERROR);
    CHECK(event != UHTTP_FORMDATA_ERROR);
    r->left = (unsigned)part;
}

static void read_pieces(uhttp_conn *c, request *r)
{
    size_t length = 0;
    const void *data = uhttp_read_buffer(c, &length);
    if (data == NULL || length == 0)
        return;
    if (r->in_form)
        form_takes(r, data, length);
    else
        upload_takes(r, data, length);
}

static void upload_begin(uhttp_conn *c, request *r)
{
    static unsigned number;
    const char *path = uhttp_path(c) + 4;       /* behind "/up/" */
    char name[200];
    uhttp_result result;
    if (strcmp(path, "file") == 0) {
        snprintf(name, sizeof name, "%sup%u.bin", folder, number++ % 10);
        result = uhttp_accept_body_to_file(c, name, 0);
    } else if (strcmp(path, "collect") == 0 || strcmp(path, "json") == 0 ||
               strcmp(path, "fields") == 0) {
        result = uhttp_accept_body(c, 0);
    } else {
        result = uhttp_accept_body_streaming(c, 0);
    }
    if (result == UHTTP_OK && strcmp(path, "form") == 0)
        r->in_form = uhttp_formdata_begin(&r->form, uhttp_content_type(c), r->headers,
                                          sizeof r->headers) == UHTTP_OK;
    if (result == UHTTP_ERR_CLOSED)
        request_ends(r);
    else if (result == UHTTP_ERR_MEMORY)
        answered(c, r, result);
    else
        CHECK(result == UHTTP_OK);
}

static void answer_json(uhttp_conn *c, request *r)
{
    uint32_t number = 0;
    uhttp_json_writer w;
    uhttp_str text = uhttp_body_str(c);
    CHECK(uhttp_json_valid(text, NULL));
    CHECK(uhttp_json_to_uint32(uhttp_json_find(text, "n"), &number) == UHTTP_OK);
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "n");
    uhttp_json_uint(&w, number);
    uhttp_json_object_end(&w);
    answered(c, r, uhttp_json_respond(&w, 200));
}

static void upload_complete(uhttp_conn *c, request *r)
{
    const char *path = uhttp_path(c) + 4;
    size_t length = 0;
    if (strcmp(path, "json") == 0) {
        answer_json(c, r);
        return;
    }
    if (strcmp(path, "fields") == 0) {
        const char *number = uhttp_form(c, "n");
        CHECK(number != NULL && uhttp_form_count(c) == 2);
        r->at = strtoul(number, NULL, 10);
    } else if (strcmp(path, "collect") == 0) {
        const void *body = uhttp_body(c, &length);
        CHECK(body != NULL && ((const char *)body)[length] == '\0');
        upload_takes(r, body, length);
    } else if (strcmp(path, "file") == 0) {
        r->at = (size_t)uhttp_bytes_received(c);
    } else {
        read_pieces(c, r);
        CHECK(!r->in_form || uhttp_formdata_error(&r->form, NULL) == UHTTP_OK);
    }
    answered(c, r, uhttp_respond(c, 200, "text/plain", big, r->at % 300));
}

/*--- answers --------------------------------------------------------------------------------------*/

static const uhttp_rom_file rom[] = {
    { "index.html", big, 500, "one", NULL, 0 },
    { "style.css", big, 3000, NULL, NULL, 1600000000 },
};

static void answer_field(uhttp_conn *c, request *r)
{
    uhttp_new_cookie cookie;
    char credentials[40];
    const char *path = uhttp_path(c);
    uhttp_result result = UHTTP_OK;
    memset(&cookie, 0, sizeof cookie);
    cookie.name = "seen";
    cookie.value = "yes";
    if (strcmp(path, "/field/cookie") == 0)
        result = uhttp_set_cookie(c, &cookie);
    else if (strcmp(path, "/field/basic") == 0) {
        const char *user = NULL;
        const char *password = NULL;
        if (uhttp_basic_auth(c, credentials, sizeof credentials, &user, &password) != UHTTP_OK) {
            answered(c, r, uhttp_respond_error(c, 401));
            return;
        }
        CHECK(strcmp(user, "us") == 0 && uhttp_secure_equals(password, "er"));
    } else
        CHECK(uhttp_query(c, "q") != NULL && strcmp(uhttp_query(c, "q"), "a b") == 0);
    if (result == UHTTP_OK)
        result = uhttp_add_header(c, "X-Soak", "yes");
    answered(c, r, result != UHTTP_OK ? result : uhttp_respond(c, 200, "text/plain", big, 40));
}

static void answer_file(uhttp_conn *c, request *r)
{
    char name[200];
    snprintf(name, sizeof name, "%sfile.bin", folder);
    const char *path = uhttp_path(c);
    if (strncmp(path, "/dir/", 5) == 0)
        answered(c, r, uhttp_serve_dir(c, folder_root, "/dir/"));
    else if (strncmp(path, "/rom/", 5) == 0)
        answered(c, r, uhttp_serve_rom(c, rom, sizeof rom / sizeof rom[0], "/rom/"));
    else
        answered(c, r, uhttp_respond_file(c, name, NULL));
}

static void answer_length(uhttp_conn *c, request *r, char kind, unsigned length)
{
    if (kind == 'c')
        answered(c, r, uhttp_respond(c, 200, "text/plain", big, length));
    else if (kind == 's' && uhttp_is_get(c))
        answered(c, r, uhttp_respond_static(c, 200, "text/plain", big, length));
    else if (kind == 's')
        answered(c, r, uhttp_respond_not_allowed(c, "GET, HEAD"));
    else if (kind == 'q')
        stream_begin(c, r, length);
    else if (kind == 'l') {
        r->left = length;
        acts_in(r, length);
    } else
        series_begin(c, r, length);
}

/* "/c/N" copied, "/s/N" static, "/q/N" a stream, "/l/N" N ms late; events, rows, frames: N of them */
static void answer(uhttp_conn *c, request *r)
{
    const char *path = uhttp_path(c);
    if (strncmp(path, "/up/", 4) == 0)
        upload_begin(c, r);
    else if (strncmp(path, "/field/", 7) == 0)
        answer_field(c, r);
    else if (strncmp(path, "/dir/", 5) == 0 || strncmp(path, "/rom/", 5) == 0 ||
             strcmp(path, "/file") == 0)
        answer_file(c, r);
    else if (strcmp(path, "/moved") == 0)
        answered(c, r, uhttp_respond_redirect(c, 0, "/c/1"));
    else if (strcmp(path, "/drop") == 0)
        request_drop(c, r);
    else if (strcmp(path, "/hold") == 0)
        return;                 /* until response_timeout_ms */
    else if (strlen(path) > 3 && strchr("csqlerf", path[1]) != NULL && path[2] == '/')
        answer_length(c, r, path[1], (unsigned)strtoul(path + 3, NULL, 10));
    else
        answered(c, r, uhttp_respond_error(c, 404));
}

/*--- WebSockets -----------------------------------------------------------------------------------*/

static void websocket_begin(uhttp_conn *c, request *r)
{
    uhttp_result result = uhttp_ws_accept(c, NULL);
    r->websocket = result == UHTTP_OK;
    if (result == UHTTP_ERR_DENIED || result == UHTTP_ERR_INVALID)
        request_ends(r);
    else if (!r->websocket)
        answered(c, r, result);
}

/* An echo that finds no room ends the WebSocket: its client does not read. */
static void echoed(uhttp_conn *c, uhttp_result result)
{
    if (result == UHTTP_ERR_AGAIN || result == UHTTP_ERR_MEMORY)
        result = uhttp_ws_close(c, 1013, "too slow");
    CHECK(result == UHTTP_OK || result == UHTTP_ERR_CLOSED || result == UHTTP_ERR_STATE);
}

static void echo(uhttp_conn *c)
{
    size_t length = 0;
    const char *text = uhttp_ws_message(c, &length);
    uhttp_json_writer w;
    if (length > 0) {
        CHECK(text != NULL && memcmp(text, big, length) == 0);
        echoed(c, uhttp_ws_send(c, uhttp_ws_is_text(c) ? UHTTP_WS_TEXT : UHTTP_WS_BINARY, text,
                                length));
        return;
    }
    uhttp_json_begin_message(&w, c);
    uhttp_json_string_n(&w, big, 10);
    echoed(c, uhttp_json_send_message(&w));
}

static void echo_part(uhttp_conn *c, request *r, uhttp_event_type event)
{
    size_t length = 0;
    const char *text = uhttp_ws_message(c, &length);
    uhttp_result result = UHTTP_OK;
    if (event == UHTTP_EVENT_WS_CHUNK_FIRST) {
        r->at = 0;
        result = uhttp_ws_begin(c, UHTTP_WS_BINARY);
        r->in_message = result == UHTTP_OK;
    }
    upload_takes(r, text, length);
    if (result == UHTTP_OK && r->in_message && length > 0)
        result = uhttp_ws_piece(c, text, length);
    if (result == UHTTP_OK && r->in_message && event == UHTTP_EVENT_WS_CHUNK_LAST)
        result = uhttp_ws_end(c);
    if (result != UHTTP_OK || event == UHTTP_EVENT_WS_CHUNK_LAST)
        r->in_message = false;
    echoed(c, result);
}

/*--- events ---------------------------------------------------------------------------------------*/

static void handle_websocket(uhttp_conn *c, request *r, uhttp_event_type event)
{
    if (event == UHTTP_EVENT_WS_MESSAGE)
        echo(c);
    else if (event == UHTTP_EVENT_WS_CLOSE)
        request_ends(r);
    else if (event != UHTTP_EVENT_WS_PING)
        echo_part(c, r, event);
}

static void handle(uhttp_conn *c)
{
    uhttp_event_type event = uhttp_event(c);
    bool first = event == UHTTP_EVENT_REQUEST || event == UHTTP_EVENT_HEADERS ||
                 event == UHTTP_EVENT_WS_REQUEST;
    request *r = first ? request_new(c) : request_of(c);
    events_seen[event]++;
    switch (event) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
        answer(c, r);
        break;
    case UHTTP_EVENT_WS_REQUEST:
        websocket_begin(c, r);
        break;
    case UHTTP_EVENT_DATA:
        read_pieces(c, r);
        break;
    case UHTTP_EVENT_COMPLETE:
        upload_complete(c, r);
        break;
    case UHTTP_EVENT_ERROR:         /* the next wait refuses it, unless the program does */
        if (r->id % 2 == 0)
            (void)uhttp_respond_error(c, uhttp_error(c, NULL));
        request_ends(r);
        break;
    case UHTTP_EVENT_CLOSED:
        request_ends(r);
        break;
    case UHTTP_EVENT_WRITABLE:
        if (!r->websocket && !r->timed)
            stream_on(c, r);
        break;
    default:
        handle_websocket(c, r, event);
    }
}

/* Does what is due; true: something was. *wake: when the next is. */
static bool program_turn(uint32_t *wake)
{
    bool any = false;
    uhttp_conn *next = uhttp_next(server, NULL);
    while (next != NULL) {
        uhttp_conn *c = next;
        request *r = request_of(c);
        next = uhttp_next(server, c);
        if (!r->timed)
            continue;
        if ((int32_t)(r->due - soak_now) > 0) {
            uint32_t ms = r->due - soak_now;
            *wake = ms < *wake ? ms : *wake;
            continue;
        }
        any = true;
        r->timed = false;
        if (uhttp_path(c)[1] == 'l')
            answered(c, r, uhttp_respond(c, 200, "text/plain", big, r->left % 300));
        else
            series_on(c, r);
    }
    return any;
}

static void program_log(void *user, const char *line)
{
    (void)user;
    log_lines += line[0] != '\0';
}

static void program_access(void *user, const uhttp_access *entry)
{
    char line[400];
    (void)user;
    if (uhttp_access_format(entry, line, sizeof line) > 0)
        logged++;
}

/*--- files of a network in memory -------------------------------------------------------------*/

typedef struct kept_file {
    bool used;
    size_t written;
} kept_file;

static kept_file kept_files[64];
static unsigned files_open, files_renamed;

static kept_file *file_take(void)
{
    for (unsigned i = 0; i < sizeof kept_files / sizeof kept_files[0]; i++) {
        if (kept_files[i].used)
            continue;
        kept_files[i].used = true;
        kept_files[i].written = 0;
        files_open++;
        return &kept_files[i];
    }
    return NULL;
}

static uhttp_result file_open(void *user, const char *path, const char *root, void **file,
                              uhttp_file_info *info)
{
    (void)user;
    (void)root;
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    if (strcmp(name, "file.bin") != 0)
        return UHTTP_ERR_SYSTEM;
    info->size = FILE_SIZE;
    info->modified = 1600000000;
    *file = file_take();
    return *file != NULL ? UHTTP_OK : UHTTP_ERR_MEMORY;
}

static size_t file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    (void)user;
    CHECK(((kept_file *)file)->used && offset + length <= FILE_SIZE);
    memcpy(to, big + offset, length);
    return length;
}

static void file_close(void *user, void *file)
{
    (void)user;
    CHECK(((kept_file *)file)->used);
    ((kept_file *)file)->used = false;
    files_open--;
}

static uhttp_result file_create(void *user, const char *path, void **file)
{
    (void)user;
    CHECK(strstr(path, ".upload-") != NULL);
    *file = file_take();
    return *file != NULL ? UHTTP_OK : UHTTP_ERR_MEMORY;
}

static uhttp_result file_write(void *user, void *file, const void *data, size_t length)
{
    kept_file *f = (kept_file *)file;
    (void)user;
    CHECK(f->written + length <= BIG && memcmp(big + f->written, data, length) == 0);
    f->written += length;
    return UHTTP_OK;
}

static uhttp_result file_finish(void *user, void *file, const char *written, const char *path)
{
    CHECK(written[0] != '\0');
    files_renamed += path != NULL;
    file_close(user, file);
    return UHTTP_OK;
}

static const uhttp_files files_in_memory = { NULL, file_open, file_read, file_close, file_create,
                                             file_write, file_finish };

#endif
