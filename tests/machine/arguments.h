/* arguments.h - every public function with every odd argument
 *
 * One table, call_function(): a line for each function of the header, which draws its arguments
 * from what is usual, NULL, empty, broken, zeroed and huge. All of them together are tried
 * (arguments_try), or one odd argument at a time. What was drawn says what may come back: where
 * something that is needed was NULL, nothing may be found, written or sent.
 *
 * arguments_are_complete() reads the header itself, so that no function can be forgotten.
 *
 * The file that includes this brings the header, CHECK and a world of its own: what stands
 * under "the world" below.
 */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

/*--- the world ------------------------------------------------------------------------------*/

static uhttp_server *arguments_server;  /* the server, and a connection of it: every function */
static uhttp_conn *arguments_conn;      /* is tried with these and with NULL */

/* Server and connection are as before, whatever has been called: made anew if they are not. */
static void arguments_restore(void);
/* What must be true after any call. */
static void arguments_check(void);
/* A call may have ended the whole server: a new one is needed. */
static bool arguments_spent;
/* A loop of this server has returned this connection; NULL: none. */
static void arguments_heard(const uhttp_server *s, uhttp_conn *c);

/*--- drawing --------------------------------------------------------------------------------*/

#define ARGUMENTS_MOST 16

static unsigned drawn_choice[ARGUMENTS_MOST];   /* one for each argument; 0 is the usual */
static unsigned drawn_of[ARGUMENTS_MOST];       /* how many there are to choose from */
static unsigned drawn_count;
static bool drawn_missing;              /* something that is needed was NULL */
static bool drawn_world;                /* server or connection take part */
static const char *drawn_name;          /* of the function */
static uhttp_result drawn_result;       /* of the last call that returned one */
static bool drawn_closed;               /* a call said CLOSED */
static char drawn_text[160];            /* all of it, for the message of a failure */

static unsigned draw(unsigned n)
{
    CHECK(drawn_count < ARGUMENTS_MOST);
    drawn_of[drawn_count] = n;
    return drawn_choice[drawn_count++] % n;
}

static const char *draw_from(const char *const *texts, unsigned n, bool needed)
{
    const char *text = texts[draw(n)];
    drawn_missing = drawn_missing || (needed && text == NULL);
    return text;
}

static const char *draw_text(const char *usual, bool needed)
{
    static char huge[70001];
    const char *texts[] = { usual, NULL, "", "a\r\nb: \"%2", "\xff\xfe\\;=", huge };
    memset(huge, 'a', sizeof huge - 1);
    return draw_from(texts, 6, needed);
}

static uhttp_str draw_slice(const char *usual)
{
    const char *text = draw_text(usual, false);
    uhttp_str slice = { text, text != NULL ? strlen(text) : 0 };
    return slice;
}

/* A pointer that is needed, to something of any type. */
static void *draw_needed(const void *usual)
{
    if (draw(2) == 0)
        return (void *)(uintptr_t)usual;
    drawn_missing = true;
    return NULL;
}

static void *draw_optional(void *usual) { return draw(2) == 0 ? usual : NULL; }

static int draw_int(int usual)
{
    const int numbers[] = { usual, 0, -1, INT_MIN, INT_MAX };
    return numbers[draw(5)];
}

static int64_t draw_int64(int64_t usual)
{
    const int64_t numbers[] = { usual, 0, -1, INT64_MIN, INT64_MAX };
    return numbers[draw(5)];
}

static uint64_t draw_uint64(uint64_t usual)
{
    const uint64_t numbers[] = { usual, 0, 1, UINT64_MAX };
    return numbers[draw(4)];
}

static size_t draw_size(size_t usual)
{
    const size_t numbers[] = { usual, 0, SIZE_MAX };
    return numbers[draw(3)];
}

static uhttp_conn *draw_conn(void)
{
    drawn_world = true;
    return (uhttp_conn *)draw_needed(arguments_conn);
}

static uhttp_server *draw_server(void)
{
    drawn_world = true;
    return (uhttp_server *)draw_needed(arguments_server);
}

/* Bytes and how many they are: NULL is needed only when they are none. */
static const char *drawn_bytes;
static size_t drawn_length;

static void draw_bytes(const char *usual)
{
    static char huge[100000];
    const char *bytes[] = { usual, NULL, "", NULL, huge };
    const size_t lengths[] = { strlen(usual), 0, 0, 7, sizeof huge };
    unsigned choice = draw(5);
    memset(huge, '\r', sizeof huge);
    drawn_bytes = bytes[choice];
    drawn_length = lengths[choice];
    drawn_missing = drawn_missing || (drawn_bytes == NULL && drawn_length > 0);
}

/* Room for an answer in text, and how much; too little is MEMORY. */
static char *drawn_room;
static size_t drawn_size;

static void draw_room(void)
{
    static char room[200];
    char *rooms[] = { room, room, room, NULL, NULL };
    const size_t sizes[] = { sizeof room, 1, 0, sizeof room, 0 };
    unsigned choice = draw(5);
    memset(room, '#', sizeof room);
    drawn_room = rooms[choice];
    drawn_size = sizes[choice];
    drawn_missing = drawn_missing || drawn_room == NULL;
}

static const uhttp_new_cookie *draw_cookie(void)
{
    static uhttp_new_cookie cookie;
    memset(&cookie, 0, sizeof cookie);
    if (draw_needed(&cookie) == NULL)
        return NULL;
    cookie.name = draw_text("name", true);
    switch (draw(6)) {
    case 0:
        break;
    case 1:
        cookie.value = draw_text("value", false);
        break;
    case 2:
        cookie.path = draw_text("/", false);
        break;
    case 3:
        cookie.domain = draw_text("a.b", false);
        break;
    case 4:
        cookie.max_age_s = cookie.expires_s = draw_int64(1);
        break;
    default:
        cookie.same_site = (uhttp_same_site)draw_int(1);
        break;
    }
    return &cookie;
}

static const uhttp_sse_event *draw_event(void)
{
    static uhttp_sse_event event;
    memset(&event, 0, sizeof event);
    if (draw_needed(&event) == NULL)
        return NULL;
    switch (draw(4)) {
    case 0:
        event.data = draw_text("data", true);
        break;
    case 1:
        event.data = "x";
        event.event = draw_text("event", false);
        break;
    case 2:
        event.data = "x";
        event.id = draw_text("1", false);
        break;
    default:
        event.retry_ms = UINT32_MAX;
        break;
    }
    return &event;
}

static const uhttp_file_options *draw_options(void)
{
    static uhttp_file_options options;
    memset(&options, 0, sizeof options);
    switch (draw(4)) {
    case 0:
        return NULL;
    case 1:
        options.content_type = draw_text("text/plain", false);
        break;
    case 2:
        options.cache_control = draw_text("no-store", false);
        break;
    default:
        options.no_gzip = options.hidden = options.list = true;
        break;
    }
    return &options;
}

static const uhttp_ws_options *draw_ws_options(void)
{
    static uhttp_ws_options options;
    static uhttp_str protocol;
    memset(&options, 0, sizeof options);
    switch (draw(3)) {
    case 0:
        return NULL;
    case 1:
        options.origins = draw_text("*", false);
        break;
    default:
        options.protocols = draw_text("chat", false);
        options.protocol = draw(2) == 0 ? &protocol : NULL;
        break;
    }
    return &options;
}

static const uhttp_rom_file *drawn_files;
static size_t drawn_file_count;

static void draw_rom(void)
{
    static uhttp_rom_file files[2];
    unsigned choice = draw(4);
    memset(files, 0, sizeof files);
    drawn_files = choice == 3 ? NULL : files;
    drawn_file_count = choice == 2 ? 0 : 2;
    if (choice == 0) {
        files[1].path = "rom";
        files[1].data = "x";
        files[1].size = 1;
    }
}

static void note_result(uhttp_result result)
{
    drawn_result = result;
    drawn_closed = drawn_closed || result == UHTTP_ERR_CLOSED;
}

/* A writer in any condition. */
static uhttp_json_writer *draw_writer(void)
{
    static uhttp_json_writer w;
    static char text[64];
    memset(&w, 0, sizeof w);
    switch (draw(9)) {
    case 0:
        uhttp_json_begin(&w, text, sizeof text);
        break;
    case 1:
        drawn_missing = true;
        return NULL;
    case 2:                             /* never begun */
        break;
    case 3:
        uhttp_json_begin(&w, NULL, SIZE_MAX);
        break;
    case 4:
        uhttp_json_begin(&w, text, sizeof text);
        uhttp_json_object_begin(&w);
        break;
    case 5:
        drawn_world = true;
        uhttp_json_begin_response(&w, arguments_conn);
        break;
    case 6:
        drawn_world = true;
        uhttp_json_begin_event(&w, arguments_conn, NULL);
        break;
    case 7:
        drawn_world = true;
        uhttp_json_begin_stream(&w, arguments_conn);
        break;
    default:
        drawn_world = true;
        uhttp_json_begin_row(&w, arguments_conn);
        break;
    }
    note_result(uhttp_json_error(&w));
    return &w;
}

/* One to be begun. */
static uhttp_json_writer *draw_unbegun(void)
{
    static uhttp_json_writer w;
    memset(&w, 0, sizeof w);
    return draw(2) == 0 ? &w : NULL;
}

static uhttp_json_value draw_value(const char *usual)
{
    const char *texts[] = { usual, "{}", "[1]", "\"\\u0000\"", "null", "-1e999", "", NULL };
    const char *text = texts[draw(8)];
    uhttp_str slice = { text, text != NULL ? strlen(text) : 0 };
    return uhttp_json_find(slice, "");
}

static uhttp_json_iter *draw_iter(void)
{
    static uhttp_json_iter it;
    memset(&it, 0, sizeof it);
    switch (draw(3)) {
    case 0:
        it = uhttp_json_iterate(draw_value("[1,2]"));
        break;
    case 1:
        break;
    default:
        drawn_missing = true;
        return NULL;
    }
    return &it;
}

static uhttp_formdata *draw_form(void)
{
    static uhttp_formdata form;
    static char room[64];
    memset(&form, 0, sizeof form);
    switch (draw(4)) {
    case 0:
        (void)uhttp_formdata_begin(&form, "multipart/form-data; boundary=x", room, sizeof room);
        break;
    case 1:
        break;
    case 2:
        (void)uhttp_formdata_begin(&form, "multipart/form-data; boundary=x", NULL, 9);
        (void)uhttp_formdata_feed(&form, "--x\r\nA: b\r\n", 11);
        break;
    default:
        drawn_missing = true;
        return NULL;
    }
    return &form;
}

static const uhttp_access *draw_access(void)
{
    static uhttp_access entry;
    memset(&entry, 0, sizeof entry);
    if (draw_needed(&entry) == NULL)
        return NULL;
    entry.address = draw_text("192.0.2.1", false);
    entry.method = draw_text("GET", false);
    entry.url = draw_text("/", false);
    entry.status = draw_int(200);
    entry.time_s = draw_int64(0);
    return &entry;
}

/* A list of slices to take the next off, and where to put it. */
static uhttp_str drawn_list, drawn_first, drawn_second;

static uhttp_str *draw_list(const char *usual)
{
    drawn_list = draw_slice(usual);
    return (uhttp_str *)draw_needed(&drawn_list);
}

/* A configuration that differs from the usual in one thing, or is none. */
static const uhttp_config *draw_config(void)
{
    static uhttp_config config;
    static uhttp_tls_config tls;
    static uhttp_transport transport;
    static uhttp_files files;
    static char little[16];
    static const intptr_t no_socket = -1;
    memset(&config, 0, sizeof config);
    memset(&tls, 0, sizeof tls);
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    switch (draw(14)) {
    case 0:
        break;
    case 1:
        return NULL;
    case 2:
        memset(&config, 0, sizeof config);
        break;
    case 3:
        config.address = draw_text("127.0.0.1", false);
        break;
    case 4:
        config.port = draw_int(-1);
        break;
    case 5:
        config.backlog = draw_int(1);
        break;
    case 6:
        config.max_connections = UINT32_MAX;
        break;
    case 7:
        config.max_headers_length = config.max_content_length = config.max_send_buffer =
            config.file_chunk_size = config.keep_alive_max_requests = draw_size(1);
        config.keep_alive_timeout_ms = config.request_timeout_ms = config.body_timeout_ms =
            config.send_timeout_ms = config.response_timeout_ms = UINT32_MAX;
        break;
    case 8:
        config.default_headers = draw_text("A: b\r\n", false);
        break;
    case 9:
        config.trusted_proxies = draw_text("127.0.0.1", false);
        break;
    case 10:
        config.memory = draw_optional(little);
        config.memory_size = draw_size(sizeof little);
        if (config.memory != NULL && config.memory_size > sizeof little)
            config.memory_size = 0;     /* it is the length of an object */
        break;
    case 11:
        config.tls = &tls;
        tls.transport = (const uhttp_transport *)draw_optional(&transport);
        tls.more_count = draw_size(0) > 0 ? 1 : 0;
        drawn_missing = true;           /* neither a certificate nor a whole transport */
        break;
    case 12:
        config.files = &files;
        drawn_missing = UH_FILES;
        break;
    default:
        config.listen_fd = &no_socket;
        drawn_missing = true;
        break;
    }
    return &config;
}

/*--- judging --------------------------------------------------------------------------------*/

static void judge_result(uhttp_result result)
{
    note_result(result);
    CHECK(result <= UHTTP_OK && result >= UHTTP_ERR_UNSUPPORTED);
    CHECK(!drawn_missing || result != UHTTP_OK);
}

static void judge_found(const void *found) { CHECK(!drawn_missing || found == NULL); }

/* A text, all of which can be read. */
static void judge_text(const char *text)
{
    CHECK(text == NULL || strlen(text) < 1000000);
    CHECK(!drawn_missing || text == NULL || *text == '\0');
}

static void judge_bool(bool yes) { CHECK(!drawn_missing || !yes); }
static void judge_size(uint64_t size) { CHECK(!drawn_missing || size == 0); }

/* A writer that has been begun, without a connection if that was missing. */
static void judge_begun(uhttp_json_writer *w)
{
    if (w == NULL)
        return;
    note_result(uhttp_json_error(w));
    CHECK(!drawn_missing || uhttp_json_null(w) != UHTTP_OK);
}

/* The length of what was written into drawn_room, or a failure. */
static void judge_written(int length)
{
    CHECK(length >= UHTTP_ERR_UNSUPPORTED);
    CHECK(!drawn_missing || length < 0);
    if (length > 0) {
        CHECK((size_t)length < drawn_size);
        CHECK(drawn_room[length] == '\0' && strlen(drawn_room) == (size_t)length);
    }
}

/*--- the table ------------------------------------------------------------------------------*/

#define CONN draw_conn()
#define SERVER draw_server()
#define TEXT(usual) draw_text(usual, true)
#define TEXT_OR_NULL(usual) draw_text(usual, false)
#define NEEDED(type, usual) ((type *)draw_needed(usual))
#define OPTIONAL(type, usual) ((type *)draw_optional(usual))

static unsigned table_count;
static const char *table_names[400];
static bool table_listing;              /* only the names are wanted */

/* Draws arguments for the function of that number and calls it; its name; NULL: there are no
 * more functions. */
static const char *call_function(unsigned number)
{
    static char out[200000];
    static uint8_t sets[2][1024];
    static uhttp_watch ready[3];
    const char *a, *b;
    size_t n, m;
    uint64_t u, v;
    int64_t i;
    int32_t i32;
    uint32_t u32;
    double d;
    bool flag;
    int x = 0;
    unsigned at = 0;
#define FUNCTION(name, ...)                                                                    \
    if (at++ == number) {                                                                      \
        drawn_name = #name;                                                                    \
        if (table_listing)                                                                     \
            return #name;                                                                      \
        __VA_ARGS__;                                                                           \
        return #name;                                                                          \
    }

    /* server */
    FUNCTION(uhttp_server_open, uhttp_server *other = NULL;
             uhttp_server **where = NEEDED(uhttp_server *, &other);
             judge_result(uhttp_server_open(where, draw_config())); uhttp_server_close(other))
    FUNCTION(uhttp_server_listen, uhttp_server *s = SERVER; a = TEXT_OR_NULL("127.0.0.1");
             x = draw_int(-1); arguments_spent = s != NULL;
             judge_result(uhttp_server_listen(s, a, x == 0 ? -2 : x, NULL)))
    FUNCTION(uhttp_server_adopt, uhttp_server *s = SERVER; x = draw(2) == 0 ? -1 : INT32_MAX;
             CHECK(uhttp_server_adopt(s, x, draw(2) == 0) < 0))
    FUNCTION(uhttp_server_reload_tls, uhttp_tls_config tls; memset(&tls, 0, sizeof tls);
             uhttp_server *s = SERVER; drawn_missing = true; tls.more_count = draw(2);
             judge_result(uhttp_server_reload_tls(s, OPTIONAL(uhttp_tls_config, &tls))))
    FUNCTION(uhttp_wait, uhttp_server *s = SERVER; x = draw_int(0);
             (void)uhttp_server_wakeup(s); uhttp_conn *c = uhttp_wait(s, x); judge_found(c);
             arguments_heard(s, c))
    FUNCTION(uhttp_server_watch, uhttp_server *s = SERVER; x = (int)draw(4);
             judge_size(uhttp_server_watch(s, x == 0 ? ready : NULL,
                                           x == 0 ? 3 : x == 1 ? 0 : SIZE_MAX)))
    FUNCTION(uhttp_server_watch_changes, uhttp_server *s = SERVER; x = (int)draw(4);
             arguments_spent = s != NULL && x != 3;    /* from now on its loop follows them */
             judge_size(uhttp_server_watch_changes(s, x == 3 ? NULL : ready,
                                                   x == 0 ? 3 : x == 1 ? 0 : x == 2 ? 1
                                                                           : SIZE_MAX)))
    FUNCTION(uhttp_server_timeout, CHECK(uhttp_server_timeout(SERVER) >= -1))
    FUNCTION(uhttp_process_events, uhttp_server *s = SERVER; x = (int)draw(4);
             memset(ready, 0xff, sizeof ready); (void)uhttp_server_watch(s, ready, 2);
             ready[0].ready = ready[1].ready = UHTTP_READABLE | UHTTP_WRITABLE;
             uhttp_conn *c = uhttp_process_events(s, x < 2 ? ready : NULL,
                                                  x == 0 ? 3 : x == 1 ? 0 : SIZE_MAX);
             judge_found(c); arguments_heard(s, c))
    FUNCTION(uhttp_server_fd_sets, uhttp_server *s = SERVER; memset(sets, 0, sizeof sets);
             void *r = draw_needed(sets[0]); void *w = draw_needed(sets[1]);
             judge_result(uhttp_server_fd_sets(s, r, w, NEEDED(int, &x))))
    FUNCTION(uhttp_process_fd_sets, uhttp_server *s = SERVER;
             memset(sets, draw(2) == 0 ? 0 : 0xff, sizeof sets); bool gone = s == NULL;
             void *r = draw_optional(sets[0]);
             uhttp_conn *c = uhttp_process_fd_sets(s, r, draw_optional(sets[1]));
             CHECK(!gone || c == NULL); arguments_heard(s, c))
    FUNCTION(uhttp_server_wakeup, judge_result(uhttp_server_wakeup(SERVER)))
    FUNCTION(uhttp_server_shutdown, uhttp_server *s = SERVER;
             uhttp_result result = uhttp_server_shutdown(s); arguments_spent = s != NULL;
             judge_result(result))
    FUNCTION(uhttp_server_close, uhttp_server_close(NULL))
    FUNCTION(uhttp_server_port, x = uhttp_server_port(SERVER); CHECK(x >= 0 && x <= 65535);
             judge_size((unsigned)x))
    FUNCTION(uhttp_listener_port, uhttp_server *s = SERVER;
             x = uhttp_listener_port(s, draw_size(0)); judge_size((unsigned)x))
    FUNCTION(uhttp_server_fd, i = uhttp_server_fd(SERVER);
             CHECK(i >= -1 && (!drawn_missing || i == -1)))
    FUNCTION(uhttp_server_is_secure, judge_bool(uhttp_server_is_secure(SERVER)))
    FUNCTION(uhttp_server_event_mode, judge_bool(uhttp_server_event_mode(SERVER)))
    FUNCTION(uhttp_server_stats, uhttp_stats stats; uhttp_server *s = SERVER;
             memset(&stats, 0xff, sizeof stats);
             uhttp_server_stats(s, OPTIONAL(uhttp_stats, &stats));
             CHECK(s != NULL || stats.held == 0 || stats.held == UINT32_MAX))
    FUNCTION(uhttp_strerror, judge_text(uhttp_strerror((uhttp_result)draw_int(-1))))
    FUNCTION(uhttp_version, judge_text(uhttp_version()))
    FUNCTION(uhttp_millis, (void)uhttp_millis())

    /* request */
    FUNCTION(uhttp_method, judge_text(uhttp_method(CONN)))
    FUNCTION(uhttp_is_get, judge_bool(uhttp_is_get(CONN)))
    FUNCTION(uhttp_url, judge_text(uhttp_url(CONN)))
    FUNCTION(uhttp_protocol, judge_text(uhttp_protocol(CONN)))
    FUNCTION(uhttp_path, judge_text(uhttp_path(CONN)))
    FUNCTION(uhttp_host, judge_text(uhttp_host(CONN)))
    FUNCTION(uhttp_full_url, uhttp_conn *c = CONN; draw_room();
             judge_written(uhttp_full_url(c, drawn_room, drawn_size)))
    FUNCTION(uhttp_header, uhttp_conn *c = CONN; judge_text(uhttp_header(c, TEXT("host"))))
    FUNCTION(uhttp_header_count, judge_size(uhttp_header_count(CONN)))
    FUNCTION(uhttp_header_at, uhttp_conn *c = CONN; n = draw_size(0);
             const char **name = OPTIONAL(const char *, &a);
             judge_bool(uhttp_header_at(c, n, name, OPTIONAL(const char *, &b))))
    FUNCTION(uhttp_query, uhttp_conn *c = CONN; judge_text(uhttp_query(c, TEXT("a"))))
    FUNCTION(uhttp_query_count, judge_size(uhttp_query_count(CONN)))
    FUNCTION(uhttp_query_at, uhttp_conn *c = CONN; n = draw_size(0);
             const char **name = OPTIONAL(const char *, &a);
             judge_bool(uhttp_query_at(c, n, name, OPTIONAL(const char *, &b))))
    FUNCTION(uhttp_cookie, uhttp_conn *c = CONN; judge_text(uhttp_cookie(c, TEXT("k"))))
    FUNCTION(uhttp_cookie_count, judge_size(uhttp_cookie_count(CONN)))
    FUNCTION(uhttp_cookie_at, uhttp_conn *c = CONN; n = draw_size(0);
             const char **name = OPTIONAL(const char *, &a);
             judge_bool(uhttp_cookie_at(c, n, name, OPTIONAL(const char *, &b))))
    FUNCTION(uhttp_path_match, uhttp_conn *c = CONN; a = TEXT("/:a"); uhttp_str one;
             judge_bool(uhttp_path_match(c, a, draw(2) == 0 ? &one : NULL, 1)))
    FUNCTION(uhttp_basic_auth, uhttp_conn *c = CONN; draw_room();
             const char **user = NEEDED(const char *, &a);
             judge_result(uhttp_basic_auth(c, drawn_room, drawn_size, user,
                                           NEEDED(const char *, &b))))
    FUNCTION(uhttp_secure_equals, a = TEXT("secret");
             judge_bool(uhttp_secure_equals(a, TEXT("secret"))))
    FUNCTION(uhttp_body, n = 1; uhttp_conn *c = CONN;
             judge_found(uhttp_body(c, OPTIONAL(size_t, &n))); CHECK(c != NULL || n <= 1))
    FUNCTION(uhttp_body_str, uhttp_str body = uhttp_body_str(CONN); judge_found(body.ptr);
             judge_size(body.len))
    FUNCTION(uhttp_content_length, i = uhttp_content_length(CONN); CHECK(i >= -1);
             judge_size((uint64_t)i))
    FUNCTION(uhttp_content_type, judge_text(uhttp_content_type(CONN)))
    FUNCTION(uhttp_form_parse, judge_result(uhttp_form_parse(CONN)))
    FUNCTION(uhttp_form, uhttp_conn *c = CONN; judge_text(uhttp_form(c, TEXT("a"))))
    FUNCTION(uhttp_form_count, judge_size(uhttp_form_count(CONN)))
    FUNCTION(uhttp_form_at, uhttp_conn *c = CONN; n = draw_size(0);
             const char **name = OPTIONAL(const char *, &a);
             judge_bool(uhttp_form_at(c, n, name, OPTIONAL(const char *, &b))))
    FUNCTION(uhttp_socket_address, uhttp_conn *c = CONN; draw_room();
             judge_written(uhttp_socket_address(c, drawn_room, drawn_size, OPTIONAL(int, &x))))
    FUNCTION(uhttp_remote_address, uhttp_conn *c = CONN; draw_room();
             judge_written(uhttp_remote_address(c, drawn_room, drawn_size)))
    FUNCTION(uhttp_remote_addresses, uhttp_conn *c = CONN; draw_room();
             judge_written(uhttp_remote_addresses(c, drawn_room, drawn_size)))
    FUNCTION(uhttp_is_secure, judge_bool(uhttp_is_secure(CONN)))
    FUNCTION(uhttp_client_subject, uhttp_conn *c = CONN; draw_room();
             i = uhttp_client_subject(c, drawn_room, drawn_size); judge_written((int)i);
             note_result(i < 0 ? (uhttp_result)i : UHTTP_OK))
    FUNCTION(uhttp_is_loaded, judge_bool(uhttp_is_loaded(CONN)))
    FUNCTION(uhttp_is_open, judge_bool(uhttp_is_open(CONN)))
    FUNCTION(uhttp_fd, i = uhttp_fd(CONN); CHECK(i >= -1 && (!drawn_missing || i == -1)))
    FUNCTION(uhttp_id, judge_size(uhttp_id(CONN)))
    FUNCTION(uhttp_find, uhttp_server *s = SERVER; u = draw_uint64(uhttp_id(arguments_conn));
             uhttp_conn *c = uhttp_find(s, u); judge_found(c);
             drawn_closed = s != NULL && u == uhttp_id(arguments_conn) && c == NULL)
    FUNCTION(uhttp_next, uhttp_server *s = SERVER; bool gone = s == NULL;
             CHECK(uhttp_next(s, CONN) == NULL || !gone))
    FUNCTION(uhttp_set_context, uhttp_conn *c = CONN; void *p = draw(2) == 0 ? &x : NULL;
             uhttp_set_context(c, p); uhttp_set_context(c, NULL))
    FUNCTION(uhttp_context, judge_found(uhttp_context(CONN)))
    FUNCTION(uhttp_server_of, judge_found(uhttp_server_of(CONN)))

    /* response */
    FUNCTION(uhttp_respond, uhttp_conn *c = CONN; x = draw_int(200); a = TEXT_OR_NULL("a/b");
             draw_bytes("data");
             judge_result(uhttp_respond(c, x, a, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_respond_text, uhttp_conn *c = CONN; x = draw_int(200);
             judge_result(uhttp_respond_text(c, x, TEXT("text"))))
    FUNCTION(uhttp_respond_html, uhttp_conn *c = CONN; x = draw_int(200);
             judge_result(uhttp_respond_html(c, x, TEXT("text"))))
    FUNCTION(uhttp_respond_json, uhttp_conn *c = CONN; x = draw_int(200);
             judge_result(uhttp_respond_json(c, x, TEXT("text"))))
    FUNCTION(uhttp_respond_static, uhttp_conn *c = CONN; x = draw_int(200);
             a = TEXT_OR_NULL("a/b"); draw_bytes("data");
             judge_result(uhttp_respond_static(c, x, a, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_respond_printf, uhttp_conn *c = CONN; x = draw_int(200);
             a = TEXT_OR_NULL("a/b"); b = draw(2) == 0 ? "%s, %.5s" : NULL;
             drawn_missing = drawn_missing || b == NULL;
             judge_result(uhttp_respond_printf(c, x, a, b, TEXT_OR_NULL("text") == NULL
                                               ? "" : "text", "more text")))
    FUNCTION(uhttp_respond_redirect, uhttp_conn *c = CONN; x = draw_int(302);
             judge_result(uhttp_respond_redirect(c, x, TEXT("/there"))))
    FUNCTION(uhttp_respond_not_allowed, uhttp_conn *c = CONN;
             judge_result(uhttp_respond_not_allowed(c, TEXT("GET"))))
    FUNCTION(uhttp_respond_error, uhttp_conn *c = CONN;
             judge_result(uhttp_respond_error(c, draw_int(404))))
    FUNCTION(uhttp_add_header, uhttp_conn *c = CONN; a = TEXT("X-A");
             judge_result(uhttp_add_header(c, a, TEXT("b"))))
    FUNCTION(uhttp_set_cookie, uhttp_conn *c = CONN;
             judge_result(uhttp_set_cookie(c, draw_cookie())))
    FUNCTION(uhttp_stream_begin, uhttp_conn *c = CONN; x = draw_int(200);
             judge_result(uhttp_stream_begin(c, x, TEXT_OR_NULL("a/b"))))
    FUNCTION(uhttp_stream_write, uhttp_conn *c = CONN; draw_bytes("data");
             judge_result(uhttp_stream_write(c, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_stream_end, judge_result(uhttp_stream_end(CONN)))
    FUNCTION(uhttp_send_room, judge_size(uhttp_send_room(CONN)))
    FUNCTION(uhttp_sse_begin, judge_result(uhttp_sse_begin(CONN)))
    FUNCTION(uhttp_sse_send, uhttp_conn *c = CONN;
             judge_result(uhttp_sse_send(c, draw_event())))
    FUNCTION(uhttp_sse_comment, uhttp_conn *c = CONN;
             judge_result(uhttp_sse_comment(c, TEXT_OR_NULL("text"))))
    FUNCTION(uhttp_sse_end, judge_result(uhttp_sse_end(CONN)))
    FUNCTION(uhttp_ndjson_begin, judge_result(uhttp_ndjson_begin(CONN)))
    FUNCTION(uhttp_ndjson_send, uhttp_conn *c = CONN;
             judge_result(uhttp_ndjson_send(c, TEXT("1"))))
    FUNCTION(uhttp_ndjson_end, judge_result(uhttp_ndjson_end(CONN)))
    FUNCTION(uhttp_multipart_begin, judge_result(uhttp_multipart_begin(CONN)))
    FUNCTION(uhttp_multipart_frame, uhttp_conn *c = CONN; a = TEXT_OR_NULL("a/b");
             draw_bytes("data");
             judge_result(uhttp_multipart_frame(c, a, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_multipart_end, judge_result(uhttp_multipart_end(CONN)))
    FUNCTION(uhttp_close, judge_result(uhttp_close(CONN)))

    /* event mode */
    FUNCTION(uhttp_event, judge_size(uhttp_event(CONN)))
    FUNCTION(uhttp_accept_body, uhttp_conn *c = CONN;
             judge_result(uhttp_accept_body(c, draw_uint64(9))))
    FUNCTION(uhttp_accept_body_streaming, uhttp_conn *c = CONN;
             judge_result(uhttp_accept_body_streaming(c, draw_uint64(9))))
    FUNCTION(uhttp_read_buffer, uhttp_conn *c = CONN;
             judge_found(uhttp_read_buffer(c, NEEDED(size_t, &n))))
    FUNCTION(uhttp_bytes_received, judge_size(uhttp_bytes_received(CONN)))
    FUNCTION(uhttp_error, uhttp_conn *c = CONN; a = "";
             judge_size((unsigned)uhttp_error(c, OPTIONAL(const char *, &a))); judge_text(a))
    FUNCTION(uhttp_accept_body_to_file, uhttp_conn *c = CONN; a = TEXT("up");
             judge_result(uhttp_accept_body_to_file(c, a, draw_uint64(9))))

    /* WebSocket */
    FUNCTION(uhttp_is_websocket_request, judge_bool(uhttp_is_websocket_request(CONN)))
    FUNCTION(uhttp_ws_accept, uhttp_conn *c = CONN;
             judge_result(uhttp_ws_accept(c, draw_ws_options())))
    FUNCTION(uhttp_ws_message, n = 1; uhttp_conn *c = CONN;
             judge_found(uhttp_ws_message(c, OPTIONAL(size_t, &n))); CHECK(c != NULL || n <= 1))
    FUNCTION(uhttp_ws_is_text, judge_bool(uhttp_ws_is_text(CONN)))
    FUNCTION(uhttp_ws_code, judge_size((unsigned)uhttp_ws_code(CONN)))
    FUNCTION(uhttp_ws_is_open, judge_bool(uhttp_ws_is_open(CONN)))
    FUNCTION(uhttp_ws_send, uhttp_conn *c = CONN; x = draw_int(1); draw_bytes("data");
             judge_result(uhttp_ws_send(c, (uhttp_ws_type)x, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_ws_printf, uhttp_conn *c = CONN; b = draw(2) == 0 ? "%s, %.5s" : NULL;
             drawn_missing = drawn_missing || b == NULL;
             judge_result(uhttp_ws_printf(c, b, TEXT_OR_NULL("text") == NULL ? "" : "text",
                                          "more text")))
    FUNCTION(uhttp_ws_begin, uhttp_conn *c = CONN;
             judge_result(uhttp_ws_begin(c, (uhttp_ws_type)draw_int(2))))
    FUNCTION(uhttp_ws_piece, uhttp_conn *c = CONN; draw_bytes("data");
             judge_result(uhttp_ws_piece(c, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_ws_end, judge_result(uhttp_ws_end(CONN)))
    FUNCTION(uhttp_ws_ping, uhttp_conn *c = CONN; draw_bytes("data");
             judge_result(uhttp_ws_ping(c, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_ws_close, uhttp_conn *c = CONN; x = draw_int(1000);
             judge_result(uhttp_ws_close(c, x, TEXT_OR_NULL("bye"))))

    /* files */
    FUNCTION(uhttp_respond_file, uhttp_conn *c = CONN; a = TEXT("file");
             judge_result(uhttp_respond_file(c, a, draw_options())))
    FUNCTION(uhttp_serve_dir, uhttp_conn *c = CONN; a = TEXT("root");
             judge_result(uhttp_serve_dir(c, a, TEXT("/"))))
    FUNCTION(uhttp_serve_dir_with, uhttp_conn *c = CONN; a = TEXT("root"); b = TEXT("/");
             judge_result(uhttp_serve_dir_with(c, a, b, draw_options())))
    FUNCTION(uhttp_serve_rom, uhttp_conn *c = CONN; draw_rom();
             judge_result(uhttp_serve_rom(c, drawn_files, drawn_file_count, TEXT("/"))))

    /* JSON */
    FUNCTION(uhttp_json_begin, uhttp_json_writer w; draw_room();
             uhttp_json_begin(OPTIONAL(uhttp_json_writer, &w), drawn_room, drawn_size))
    FUNCTION(uhttp_json_object_begin, judge_result(uhttp_json_object_begin(draw_writer())))
    FUNCTION(uhttp_json_object_end, judge_result(uhttp_json_object_end(draw_writer())))
    FUNCTION(uhttp_json_array_begin, judge_result(uhttp_json_array_begin(draw_writer())))
    FUNCTION(uhttp_json_array_end, judge_result(uhttp_json_array_end(draw_writer())))
    FUNCTION(uhttp_json_key, uhttp_json_writer *w = draw_writer();
             judge_result(uhttp_json_key(w, TEXT("a"))))
    FUNCTION(uhttp_json_key_n, uhttp_json_writer *w = draw_writer(); draw_bytes("a");
             judge_result(uhttp_json_key_n(w, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_json_string, uhttp_json_writer *w = draw_writer();
             judge_result(uhttp_json_string(w, TEXT_OR_NULL("a"))))
    FUNCTION(uhttp_json_string_n, uhttp_json_writer *w = draw_writer();
             drawn_missing = w == NULL; bool gone = drawn_missing; draw_bytes("a");
             drawn_missing = gone;      /* NULL is written as null, whatever the length */
             judge_result(uhttp_json_string_n(w, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_json_int, uhttp_json_writer *w = draw_writer();
             judge_result(uhttp_json_int(w, draw_int64(1))))
    FUNCTION(uhttp_json_uint, uhttp_json_writer *w = draw_writer();
             judge_result(uhttp_json_uint(w, draw_uint64(1))))
    FUNCTION(uhttp_json_double, uhttp_json_writer *w = draw_writer();
             const double doubles[] = { 1, 0, -1, HUGE_VAL, -HUGE_VAL, 1e308 };
             judge_result(uhttp_json_double(w, doubles[draw(6)])))
    FUNCTION(uhttp_json_bool, uhttp_json_writer *w = draw_writer();
             judge_result(uhttp_json_bool(w, draw(2) == 0)))
    FUNCTION(uhttp_json_null, judge_result(uhttp_json_null(draw_writer())))
    FUNCTION(uhttp_json_raw, uhttp_json_writer *w = draw_writer(); draw_bytes("{}");
             judge_result(uhttp_json_raw(w, drawn_bytes, drawn_length)))
    FUNCTION(uhttp_json_error, judge_result(uhttp_json_error(draw_writer())))
    FUNCTION(uhttp_json_length, judge_size(uhttp_json_length(draw_writer())))
    FUNCTION(uhttp_json_valid, uhttp_str text = draw_slice("{}");
             (void)uhttp_json_valid(text, OPTIONAL(size_t, &n)))
    FUNCTION(uhttp_json_find, uhttp_str text = draw_slice("{\"a\":1}");
             (void)uhttp_json_find(text, TEXT_OR_NULL("a")))
    FUNCTION(uhttp_json_iterate, uhttp_json_iter it = uhttp_json_iterate(draw_value("[1]"));
             while (uhttp_json_next(&it)) { })
    FUNCTION(uhttp_json_next, judge_bool(uhttp_json_next(draw_iter())))
    FUNCTION(uhttp_json_to_int32, uhttp_json_value value = draw_value("1");
             judge_result(uhttp_json_to_int32(value, NEEDED(int32_t, &i32))))
    FUNCTION(uhttp_json_to_uint32, uhttp_json_value value = draw_value("1");
             judge_result(uhttp_json_to_uint32(value, NEEDED(uint32_t, &u32))))
    FUNCTION(uhttp_json_to_int64, uhttp_json_value value = draw_value("1");
             judge_result(uhttp_json_to_int64(value, NEEDED(int64_t, &i))))
    FUNCTION(uhttp_json_to_uint64, uhttp_json_value value = draw_value("1");
             judge_result(uhttp_json_to_uint64(value, NEEDED(uint64_t, &u))))
    FUNCTION(uhttp_json_to_double, uhttp_json_value value = draw_value("1");
             judge_result(uhttp_json_to_double(value, NEEDED(double, &d))))
    FUNCTION(uhttp_json_to_bool, uhttp_json_value value = draw_value("true");
             judge_result(uhttp_json_to_bool(value, NEEDED(bool, &flag))))
    FUNCTION(uhttp_json_to_string, uhttp_json_value value = draw_value("\"a\""); draw_room();
             judge_result(uhttp_json_to_string(value, drawn_room, drawn_size)))
    FUNCTION(uhttp_json_to_bytes, uhttp_json_value value = draw_value("\"a\""); draw_room();
             judge_result(uhttp_json_to_bytes(value, drawn_room, drawn_size,
                                              OPTIONAL(size_t, &n))))
    FUNCTION(uhttp_json_equals, uhttp_json_value value = draw_value("\"a\"");
             judge_bool(uhttp_json_equals(value, TEXT("a"))))
    FUNCTION(uhttp_json_begin_response, uhttp_json_writer *w = draw_unbegun();
             uhttp_json_begin_response(w, CONN); judge_begun(w))
    FUNCTION(uhttp_json_respond, uhttp_json_writer *w = draw_writer();
             (void)uhttp_json_null(w); judge_result(uhttp_json_respond(w, draw_int(200))))
    FUNCTION(uhttp_json_begin_stream, uhttp_json_writer *w = draw_unbegun();
             uhttp_json_begin_stream(w, CONN); judge_begun(w))
    FUNCTION(uhttp_json_begin_row, uhttp_json_writer *w = draw_unbegun();
             uhttp_json_begin_row(w, CONN); judge_begun(w))
    FUNCTION(uhttp_json_begin_message, uhttp_json_writer *w = draw_unbegun();
             uhttp_json_begin_message(w, CONN); judge_begun(w))
    FUNCTION(uhttp_json_send_message, judge_result(uhttp_json_send_message(draw_writer())))
    FUNCTION(uhttp_json_begin_event, uhttp_json_writer *w = draw_unbegun();
             uhttp_conn *c = CONN; bool gone = c == NULL;
             uhttp_json_begin_event(w, c, draw_event()); drawn_missing = gone; judge_begun(w))
    FUNCTION(uhttp_json_send_event, uhttp_json_writer *w = draw_writer();
             (void)uhttp_json_null(w); judge_result(uhttp_json_send_event(w)))
    FUNCTION(uhttp_json_send_row, uhttp_json_writer *w = draw_writer();
             (void)uhttp_json_null(w); judge_result(uhttp_json_send_row(w)))

    /* parsers */
    FUNCTION(uhttp_formdata_begin, uhttp_formdata form;
             memset(&form, 0xa5, sizeof form);     /* gcc -O0 cannot see that it is written */
             uhttp_formdata *begun = NEEDED(uhttp_formdata, &form);
             a = TEXT("multipart/form-data; boundary=x"); bool gone = drawn_missing;
             draw_room(); drawn_missing = gone;
             judge_result(uhttp_formdata_begin(begun, a, drawn_room, drawn_size)))
    FUNCTION(uhttp_formdata_feed, uhttp_formdata *form = draw_form();
             draw_bytes("--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--");
             judge_result(uhttp_formdata_feed(form, drawn_bytes, drawn_length));
             while (x < 200000 && uhttp_formdata_next(form) != UHTTP_FORMDATA_MORE) { x++; }
             CHECK(x < 200000))
    FUNCTION(uhttp_formdata_next, uhttp_formdata *form = draw_form();
             judge_size(uhttp_formdata_next(form)))
    FUNCTION(uhttp_formdata_error, uhttp_formdata *form = draw_form(); a = "";
             uhttp_result result = uhttp_formdata_error(form, OPTIONAL(const char *, &a));
             CHECK(result != UHTTP_OK || form->why == NULL); judge_text(a))
    FUNCTION(uhttp_percent_decode, uhttp_str in = draw_slice("a%20b"); flag = draw(2) == 0;
             char *to = OPTIONAL(char, out); drawn_missing = to == NULL && in.len > 0;
             judge_result(uhttp_percent_decode(in, flag, to, NEEDED(size_t, &n))))
    FUNCTION(uhttp_url_split, uhttp_url_parts parts; uhttp_str url = draw_slice("/a?b#c");
             judge_result(uhttp_url_split(url, NEEDED(uhttp_url_parts, &parts))))
    FUNCTION(uhttp_query_next, uhttp_str *list = draw_list("a=b&c");
             uhttp_str *name = NEEDED(uhttp_str, &drawn_first);
             judge_bool(uhttp_query_next(list, name, NEEDED(uhttp_str, &drawn_second))))
    FUNCTION(uhttp_cookie_next, uhttp_str *list = draw_list("a=b; c=d");
             uhttp_str *name = NEEDED(uhttp_str, &drawn_first);
             judge_bool(uhttp_cookie_next(list, name, NEEDED(uhttp_str, &drawn_second))))
    FUNCTION(uhttp_header_next, uhttp_str *list = draw_list("A: b\r\n");
             uhttp_str *name = NEEDED(uhttp_str, &drawn_first);
             judge_bool(uhttp_header_next(list, name, NEEDED(uhttp_str, &drawn_second))))
    FUNCTION(uhttp_list_next, uhttp_str *list = draw_list("a, b");
             judge_bool(uhttp_list_next(list, NEEDED(uhttp_str, &drawn_first))))
    FUNCTION(uhttp_param_next, uhttp_str *list = draw_list("a; b=\"c\"");
             uhttp_str *name = NEEDED(uhttp_str, &drawn_first);
             judge_bool(uhttp_param_next(list, name, NEEDED(uhttp_str, &drawn_second))))
    FUNCTION(uhttp_percent_encode, a = TEXT("a b"); draw_room();
             judge_written(uhttp_percent_encode(a, drawn_room, drawn_size)))
    FUNCTION(uhttp_html_escape, a = TEXT("a<b"); draw_room();
             judge_written(uhttp_html_escape(a, drawn_room, drawn_size)))
    FUNCTION(uhttp_str_equals, uhttp_str text = draw_slice("a");
             judge_bool(uhttp_str_equals(text, TEXT("a"))))
    FUNCTION(uhttp_str_copy, uhttp_str text = draw_slice("a"); draw_room();
             drawn_missing = drawn_missing || text.ptr == NULL;
             judge_written(uhttp_str_copy(text, drawn_room, drawn_size)))
    FUNCTION(uhttp_unquote, uhttp_str value = draw_slice("\"a\\b\"");
             char *to = NEEDED(char, out);
             judge_result(uhttp_unquote(value, to, NEEDED(size_t, &n))))
    FUNCTION(uhttp_safe_filename, a = TEXT_OR_NULL("../a b"); draw_room();
             n = uhttp_safe_filename(a, drawn_room, drawn_size); judge_size(n);
             CHECK(n == 0 || n < drawn_size))
    FUNCTION(uhttp_head_parse, uhttp_head head;
             uhttp_str text = draw_slice("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
             x = uhttp_head_parse(text, NEEDED(uhttp_head, &head));
             CHECK(!drawn_missing || x < 0))
    FUNCTION(uhttp_chunked_decode, uhttp_chunked chunked; memset(&chunked, 0, sizeof chunked);
             uhttp_chunked *state = NEEDED(uhttp_chunked, &chunked);
             draw_bytes("2\r\nab\r\n0\r\n\r\n"); n = drawn_length; m = draw(2) == 0 ? 9 : 0;
             char *to = OPTIONAL(char, out);
             drawn_missing = drawn_missing || (to == NULL && m > 0);
             size_t *used = NEEDED(size_t, &n);
             judge_result(uhttp_chunked_decode(state, drawn_bytes, used, to,
                                               NEEDED(size_t, &m)) == UHTTP_OK
                          ? UHTTP_OK : UHTTP_ERR_INVALID))
    FUNCTION(uhttp_date_format, i = draw_int64(0); uhttp_date_format(i, OPTIONAL(char, out)))
    FUNCTION(uhttp_base64_decode, uhttp_str in = draw_slice("QUJD");
             char *to = OPTIONAL(char, out); drawn_missing = to == NULL && in.len > 3;
             judge_result(uhttp_base64_decode(in, to, NEEDED(size_t, &n))))
    FUNCTION(uhttp_access_format, const uhttp_access *entry = draw_access(); draw_room();
             judge_written(uhttp_access_format(entry, drawn_room, drawn_size)))
    FUNCTION(uhttp_date_parse, uhttp_str text = draw_slice("Sunday, 06-Nov-94 08:49:37 GMT");
             i = draw_int64(0); judge_bool(uhttp_date_parse(text, i, NEEDED(int64_t, &i))))
    FUNCTION(uhttp_range_parse, uhttp_str value = draw_slice("bytes=0-1");
             u = draw_uint64(10); uint64_t *first = NEEDED(uint64_t, &u);
             judge_size(uhttp_range_parse(value, u, first, NEEDED(uint64_t, &v))))
    FUNCTION(uhttp_base64_encode, uhttp_str in = draw_slice("abc");
             in.len = in.len < 40 ? in.len : 40;
             judge_size(uhttp_base64_encode(in, NEEDED(char, out))))
    FUNCTION(uhttp_sha1, uint8_t digest[20]; uhttp_str in = draw_slice("abc");
             uhttp_sha1(in, NEEDED(uint8_t, digest)))
    FUNCTION(uhttp_utf8_check, uint8_t now = (uint8_t)draw_uint64(0);
             uint8_t *place = NEEDED(uint8_t, &now);
             judge_result(uhttp_utf8_check(place, draw_slice("a\xc3\xa4"))))
    FUNCTION(uhttp_ws_frame_parse, uhttp_ws_frame frame;
             uhttp_str text = draw_slice("\x81\x01");
             x = uhttp_ws_frame_parse(text, NEEDED(uhttp_ws_frame, &frame));
             CHECK(!drawn_missing || x < 0))
    FUNCTION(uhttp_ws_unmask, uint8_t key[4] = { 1, 2, 3, 4 }; char *to = NEEDED(char, out);
             const char *from = NEEDED(char, out); n = draw(2) == 0 ? 8 : 0;
             uhttp_ws_unmask(to, from, n, NEEDED(uint8_t, key)))
    FUNCTION(uhttp_utf8_valid, (void)uhttp_utf8_valid(draw_slice("a\xc3\xa4")))
    FUNCTION(uhttp_mime_type, judge_text(uhttp_mime_type(draw_slice("a.html"))))
    FUNCTION(uhttp_status_phrase, judge_text(uhttp_status_phrase(draw_int(200))))
#undef FUNCTION
    table_count = at;
    return NULL;
}

/*--- trying ---------------------------------------------------------------------------------*/

static bool draw_is_usual_before(unsigned argument)
{
    for (unsigned i = 0; i < argument; i++) {
        if (drawn_choice[i] > 0)
            return false;
    }
    return true;
}

/* The next combination, the last argument first, as what is drawn later may depend on what was
 * drawn before; false: all have been tried. singly: only one argument is odd at a time. */
static bool draw_next(bool singly)
{
    for (unsigned i = drawn_count; i-- > 0; ) {
        if ((!singly || draw_is_usual_before(i)) && ++drawn_choice[i] < drawn_of[i])
            return true;
        drawn_choice[i] = 0;
    }
    return false;
}

/* Calls a function with what has been chosen; NULL: there are no more functions. */
static const char *arguments_call(unsigned number)
{
    drawn_count = 0;
    drawn_missing = drawn_closed = false;
    drawn_result = UHTTP_OK;
    return call_function(number);
}

/* Calls a function with all combinations; how many those were. */
static unsigned arguments_try_one(unsigned number, bool singly)
{
    unsigned calls = 0;
    memset(drawn_choice, 0, sizeof drawn_choice);
    do {
        arguments_restore();
        if (arguments_call(number) == NULL)
            break;
        arguments_check();
        calls++;
    } while (draw_next(singly));
    return calls;
}

/* Calls all of them. Those that know no server are called the first time only. */
static inline unsigned arguments_try(bool singly)
{
    static bool is_pure[sizeof table_names / sizeof table_names[0]];
    unsigned calls = 0;
    for (unsigned i = 0; table_count == 0 || i < table_count; i++) {
        if (is_pure[i])
            continue;
        drawn_world = false;
        calls += arguments_try_one(i, singly);
        is_pure[i] = !drawn_world;
    }
    return calls;
}

/* Where in a combination a check has failed. */
static const char *arguments_say(void)
{
    size_t length = (size_t)snprintf(drawn_text, sizeof drawn_text, "%s, choices", drawn_name);
    for (unsigned i = 0; i < drawn_count; i++)
        length += (size_t)snprintf(drawn_text + length, sizeof drawn_text - length, " %u",
                                   drawn_choice[i]);
    return drawn_text;
}

/*--- is the table complete? -----------------------------------------------------------------*/

/* Collects the names of all functions in the table. */
static void arguments_list(void)
{
    const char *name;
    unsigned count = 0;
    table_listing = true;
    while ((name = call_function(count)) != NULL) {
        CHECK(count < sizeof table_names / sizeof table_names[0]);
        table_names[count++] = name;
    }
    table_listing = false;
}

/* Does the table have this function? */
static bool table_has(const char *name, size_t length)
{
    for (unsigned i = 0; i < table_count; i++) {
        if (strlen(table_names[i]) == length && memcmp(table_names[i], name, length) == 0)
            return true;
    }
    return false;
}

/* Reads the declarations in the public half of the header: lines that begin with UHTTP_API. How
 * many have no line in the table; each is told. */
static unsigned table_lacks(FILE *header, unsigned *declared)
{
    char line[256];
    unsigned lacking = 0;
    while (fgets(line, sizeof line, header) != NULL &&
           strstr(line, "#endif /* UHTTP_SERVER_H */") == NULL) {
        const char *end = strchr(line, '(');
        if (strncmp(line, "UHTTP_API ", 10) != 0)
            continue;
        CHECK(end != NULL);
        const char *name = end;
        while (name > line && name[-1] != ' ' && name[-1] != '*')
            name--;
        ++*declared;
        if (table_has(name, (size_t)(end - name)))
            continue;
        lacking++;
        fprintf(stderr, "%.*s() has no line in call_function() of tests/machine/arguments.h: add\n"
                "    FUNCTION(%.*s, judge_result(%.*s(CONN, TEXT(\"usual\"))))\n"
                "or the like, an argument for each of its own, so that it is called with NULL,"
                " empty, zeroed and huge ones in every state\n", (int)(end - name), name,
                (int)(end - name), name, (int)(end - name), name);
    }
    return lacking;
}

/* The header's functions are those of the table. */
static inline void arguments_are_complete(void)
{
    char path[512];
    unsigned declared = 0;
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s../uhttp_server.h",
             slash != NULL ? (int)(slash + 1 - __FILE__) : 0, __FILE__);
    FILE *header = fopen(path, "r");
    if (header == NULL)
        header = fopen("uhttp_server.h", "r");
    CHECK(header != NULL);
    arguments_list();
    unsigned lacking = table_lacks(header, &declared);
    fclose(header);
    CHECK(declared > 100);
    CHECK(lacking == 0);
    CHECK(declared == table_count);
}

#endif /* ARGUMENTS_H */
