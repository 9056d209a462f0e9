/* Uploads over real sockets, in event mode: bodies larger than memory, slow, stalled, broken off,
 * refused, and forms with files. */
#include "loopback.h"

/*--- a program that streams what is sent to it --------------------------------------------*/

/* What is known of one request, by its slot: paths are /stream, /collect, /form, /refuse, and
 * /wait, which neither reads nor answers until uploads_go says so. */
typedef struct upload {
    uint64_t id;
    uint64_t length;            /* read so far */
    bool good;                  /* all of it was the pattern */
    unsigned ended;
    uhttp_formdata form;
    char headers[256];
    char name[64];
} upload;

static upload uploads[16];
static unsigned uploads_told, uploads_ended;
static uint64_t uploads_limit;
static bool uploads_go;
static int uploads_status;                  /* of the last _ERROR */
static char uploads_why[128];

static upload *upload_of(const uhttp_conn *c)
{
    upload *u = &uploads[uhttp_id(c) & 0xf];
    if (u->id == uhttp_id(c))
        return u;
    memset(u, 0, sizeof *u);
    u->id = uhttp_id(c);
    u->good = true;
    uploads_told++;
    return u;
}

/* Each request told of ends once. */
static void upload_end(upload *u)
{
    assert_int_equal(u->ended++, 0);
    uploads_ended++;
}

static void upload_answer(uhttp_conn *c, upload *u, int status)
{
    uhttp_result result = uhttp_respond_text(c, status, loop_text("%s %llu bytes%s",
        u->good ? "right" : "wrong", (unsigned long long)u->length, u->name));
    assert_true(result == UHTTP_OK || result == UHTTP_ERR_CLOSED);
    upload_end(u);
}

static void upload_data(upload *u, const void *data, size_t length)
{
    if (length > 0)
        u->good = u->good && loop_pattern_is(data, u->length, length);
    u->length += length;
}

/* The data of a form's first file is the pattern. */
static void upload_form(upload *u, const void *data, size_t length)
{
    uhttp_formdata_event event;
    assert_ok(uhttp_formdata_feed(&u->form, data, length));
    while ((event = uhttp_formdata_next(&u->form)) != UHTTP_FORMDATA_MORE) {
        if (event == UHTTP_FORMDATA_PART && u->form.filename != NULL)
            snprintf(u->name, sizeof u->name, " of %s", u->form.filename);
        else if (event == UHTTP_FORMDATA_DATA && u->form.filename != NULL)
            upload_data(u, u->form.data.ptr, u->form.data.len);
    }
}

static void upload_take(uhttp_conn *c, upload *u, const void *data, size_t length)
{
    if (strcmp(uhttp_path(c), "/form") == 0)
        upload_form(u, data, length);
    else
        upload_data(u, data, length);
}

static void upload_read(uhttp_conn *c, upload *u)
{
    size_t length;
    const void *data = uhttp_read_buffer(c, &length);
    upload_take(c, u, data, length);
}

static void upload_begin(uhttp_conn *c, upload *u)
{
    const char *path = uhttp_path(c);
    if (strcmp(path, "/form") == 0)
        assert_ok(uhttp_formdata_begin(&u->form, uhttp_content_type(c), u->headers,
                                       sizeof u->headers));
    if (uhttp_event(c) == UHTTP_EVENT_REQUEST)
        return;
    if (strcmp(path, "/refuse") == 0)
        upload_answer(c, u, 403);
    else if (strcmp(path, "/collect") == 0)
        assert_ok(uhttp_accept_body(c, uploads_limit));
    else
        assert_ok(uhttp_accept_body_streaming(c, uploads_limit));
}

static void uploads_app(uhttp_conn *c)
{
    upload *u = upload_of(c);
    const void *body;
    size_t length;
    const char *why;
    loop.events[uhttp_event(c)]++;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
        upload_begin(c, u);
        body = uhttp_body(c, &length);
        upload_take(c, u, body, length);
        upload_answer(c, u, 200);
        break;
    case UHTTP_EVENT_HEADERS:
        upload_begin(c, u);
        break;
    case UHTTP_EVENT_DATA:
        if (strcmp(uhttp_path(c), "/wait") != 0 || uploads_go)
            upload_read(c, u);
        break;
    case UHTTP_EVENT_COMPLETE:
        body = uhttp_body(c, &length);
        if (body != NULL)
            upload_take(c, u, body, length);
        else
            upload_read(c, u);
        assert_int_equal(uhttp_bytes_received(c) >= u->length, true);
        upload_answer(c, u, 200);
        break;
    case UHTTP_EVENT_ERROR:
        uploads_status = uhttp_error(c, &why);
        snprintf(uploads_why, sizeof uploads_why, "%s", why);
        upload_end(u);
        break;
    case UHTTP_EVENT_CLOSED:
        assert_int_equal(uhttp_respond_text(c, 200, "too late"), UHTTP_ERR_CLOSED);
        upload_end(u);
        break;
    default:
        fail_msg("event %d", (int)uhttp_event(c));
    }
}

static uhttp_config uploads_config(void)
{
    uhttp_config config = loop_config();
    config.event_mode = true;
    config.max_connections = 8;         /* upload_of() tells 16 slots apart */
    return config;
}

static void uploads_open(const uhttp_config *config)
{
    loop_open(config);
    loop.handler = uploads_app;
    memset(uploads, 0, sizeof uploads);
    memset(loop.events, 0, sizeof loop.events);
    uploads_told = uploads_ended = 0;
    uploads_limit = 0;
    uploads_status = 0;
    uploads_go = false;
}

static void client_send_pattern(client *c, uint64_t from, size_t length)
{
    for (size_t at = 0; at < length; ) {
        size_t n = length - at < LOOP_PERIOD ? length - at : LOOP_PERIOD;
        client_send_bytes(c, loop_pattern(from + at), n);
        at += n;
    }
}

/*--- who shares the server with an upload --------------------------------------------------*/

static void two_slow_uploads_do_not_hold_up_a_fast_one(void **state)
{
    (void)state;
    uhttp_config config = uploads_config();
    uploads_open(&config);
    client *slow[2] = { client_connect(), client_connect() };
    client_send(slow[0], POST("/stream", "40100"));
    client_send(slow[1], CHUNKED("/stream"));
    size_t sent = 0;
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 50; i++, sent += 100) {         /* a hundred bytes at a time */
            client_send_pattern(slow[0], sent, 100);
            client_send(slow[1], "64\r\n");
            client_send_pattern(slow[1], sent, 100);
            client_send(slow[1], "\r\n");
            loop_pump(0);
        }
        client *fast = client_connect();
        client_send(fast, POST("/stream", "3000000"));
        client_send_pattern(fast, 0, 3000000);
        assert_int_equal(client_answer(fast), 200);
        assert_string_equal(fast->body, "right 3000000 bytes");
        client_close(fast);
        client_expect_nothing(slow[0]);
        client_expect_nothing(slow[1]);
    }
    client_send_pattern(slow[0], sent, 100);
    client_send(slow[1], "0\r\n\r\n" GET("/behind"));
    assert_int_equal(client_answer(slow[0]), 200);
    assert_string_equal(slow[0]->body, "right 40100 bytes");
    assert_int_equal(client_answer(slow[1]), 200);
    assert_string_equal(slow[1]->body, "right 40000 bytes");
    assert_int_equal(client_answer(slow[1]), 200);          /* behind the last chunk */
    assert_int_equal(uploads_told, uploads_ended);
}

static void a_stalled_sender_fails_its_own_upload_alone(void **state)
{
    (void)state;
    uhttp_config config = uploads_config();
    config.body_timeout_ms = 250;
    uploads_open(&config);
    client *stalled = client_connect();
    client *moving = client_connect();
    client_send(stalled, POST("/stream", "1000000"));
    client_send_pattern(stalled, 0, 70000);
    client_send(moving, POST("/stream", "1000000"));
    for (size_t sent = 0; sent < 1000000; sent += 20000) {
        client_send_pattern(moving, sent, 20000);
        loop_pump_for(15);
    }
    assert_int_equal(client_answer(moving), 200);
    assert_string_equal(moving->body, "right 1000000 bytes");
    assert_int_equal(client_answer(stalled), 408);
    assert_int_equal(loop.events[UHTTP_EVENT_ERROR], 1);
    assert_int_equal(uploads_status, 408);
    assert_string_equal(uploads_why, "body_timeout_ms");
    client_expect_end(stalled);
    assert_int_equal(uploads_told, uploads_ended);
}

/* The program does not read for a while; then everything is there, and right. */
static void an_upload_that_is_not_read_waits_without_work_and_goes_on(void **state)
{
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        static uint8_t memory[UHTTP_MEMORY_SIZE(8, 1024)];
        uhttp_config config = uploads_config();
        config.body_timeout_ms = 100;               /* it is not the sender's turn */
        config.memory = fixed ? memory : NULL;
        config.memory_size = fixed ? sizeof memory : 0;
        uploads_open(&config);
        client *c = client_connect();
        client_send(c, POST("/wait", "30000000"));
        size_t sent = 0;
        for (unsigned idle = 0; idle < 20; ) {
            size_t left = 30000000 - sent < LOOP_PERIOD ? 30000000 - sent : LOOP_PERIOD;
            ssize_t n = client_offer(c, loop_pattern(sent), left);
            assert_true(n >= 0);
            idle = n == 0 ? idle + 1 : 0;
            sent += (size_t)n;
            loop_pump(n == 0 ? 2 : 0);
        }
        assert_true(sent < 30000000);
        assert_true(loop_stats().bytes_in < (fixed ? 2048 : 80 * 1024));
        loop_expect_sleep(250);
        client *other = client_connect();
        assert_int_equal(client_get(other, "/hello"), 200);     /* nobody else waits */
        uploads_go = true;
        for (uint32_t slot = 0; slot < 8; slot++) {
            uhttp_conn *held = &loop.server->slots[slot];
            if (held->told)
                upload_read(held, upload_of(held));
        }
        client_send_pattern(c, sent, 30000000 - sent);
        assert_int_equal(client_answer(c), 200);
        assert_string_equal(c->body, "right 30000000 bytes");
        assert_int_equal(uploads_told, uploads_ended);
        loop_close();
        client_close(c);
        client_close(other);
    }
}

/*--- 100 Continue ---------------------------------------------------------------------------*/

#define WAITING(path, length) \
    "POST " path HOST "Content-Length: " length "\r\nExpect: 100-continue\r\n\r\n"

static uhttp_conn *offered;

static void keep_the_offer(uhttp_conn *c)
{
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS && offered == NULL)
        offered = c;
    else
        uploads_app(c);
}

static void an_invitation_is_sent_when_the_program_accepts_and_not_before(void **state)
{
    (void)state;
    uhttp_config config = uploads_config();
    uploads_open(&config);
    loop.handler = keep_the_offer;
    for (int early = 0; early < 2; early++) {
        offered = NULL;
        client *c = client_connect();
        client_send(c, WAITING("/stream", "2000"));
        LOOP_UNTIL(offered != NULL);
        loop_pump_for(20);
        client_expect_nothing(c);
        if (early) {                        /* it has not waited: an invitation says nothing */
            client_send_pattern(c, 0, 1000);
            LOOP_UNTIL(uhttp_bytes_received(offered) == 1000);
        }
        upload_begin(offered, upload_of(offered));
        if (!early)
            assert_int_equal(client_answer(c), 100);
        client_send_pattern(c, early ? 1000 : 0, early ? 1000 : 2000);
        assert_int_equal(client_answer(c), 200);
        assert_string_equal(c->body, "right 2000 bytes");
        client_close(c);
    }
}

static void a_refusal_reaches_whoever_waits_and_whoever_sends(void **state)
{
    (void)state;
    uhttp_config config = uploads_config();
    uploads_open(&config);
    client *waits = client_connect();
    assert_int_equal(client_ask(waits, WAITING("/refuse", "100000000")), 403);
    client_expect_end(waits);
    client *sends = client_connect();
    client_send(sends, POST("/refuse", "100000000"));
    for (int i = 0; i < 100 && client_try_send(sends, loop_pattern(0), LOOP_PERIOD); i++) {
        if (client_receive(sends) != 0)
            break;
    }
    assert_int_equal(client_answer(sends), 403);
    client *little = client_connect();      /* so little is read off, and the client is kept */
    client_send(little, POST("/refuse", "60000"));
    LOOP_UNTIL(loop.events[UHTTP_EVENT_HEADERS] == 3);
    client_send_pattern(little, 0, 60000);
    assert_int_equal(client_answer(little), 403);
    assert_int_equal(client_get(little, "/next"), 200);
    assert_int_equal(uploads_told, uploads_ended);
}

/*--- limits -----------------------------------------------------------------------------------*/

static void bodies_up_to_the_accepted_limit_pass_and_one_byte_more_is_413(void **state)
{
    (void)state;
    static const char *const paths[] = { "/stream", "/collect" };
    for (int i = 0; i < 8; i++) {
        const char *path = paths[i % 2];
        bool chunked = i / 2 % 2 == 1;
        size_t length = 100000 + (size_t)(i / 4);
        uhttp_config config = uploads_config();
        uploads_open(&config);
        uploads_limit = 100000;
        client *c = client_connect();
        if (chunked)
            client_send(c, loop_text("POST %s" HOST "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                                     path, length));
        else
            client_send(c, loop_text("POST %s" HOST "Content-Length: %zu\r\n\r\n", path, length));
        LOOP_UNTIL(loop.events[UHTTP_EVENT_HEADERS] == 1);
        for (size_t at = 0; at < length; at += LOOP_PERIOD) {
            size_t n = length - at < LOOP_PERIOD ? length - at : LOOP_PERIOD;
            if (!client_try_send(c, loop_pattern(at), n))
                break;
        }
        if (length <= 100000 && chunked)
            client_send(c, "\r\n0\r\n\r\n");
        int status = client_answer(c);
        assert_int_equal(status, length > 100000 ? 413 : 200);
        if (status == 200) {
            assert_string_equal(c->body, "right 100000 bytes");
        } else {
            assert_int_equal(loop.events[UHTTP_EVENT_ERROR], 1);
            assert_int_equal(uploads_status, 413);
            assert_string_equal(uploads_why, "body exceeds the accepted limit");
        }
        assert_int_equal(uploads_told, uploads_ended);
        loop_close();
        client_close(c);
    }
}

/*--- versions and framings ----------------------------------------------------------------------*/

static void an_upload_in_http_1_0_is_taken_and_the_connection_closed(void **state)
{
    (void)state;
    uhttp_config config = uploads_config();
    uploads_open(&config);
    client *c = client_connect();
    client_send(c, "POST /stream HTTP/1.0\r\nContent-Length: 500000\r\n\r\n");
    client_send_pattern(c, 0, 500000);
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(c->body, "right 500000 bytes");
    client_expect_end(c);
    client *chunked = client_connect();     /* 1.0 knows no chunks */
    assert_int_equal(client_ask(chunked, "POST /stream HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"
                                         "\r\n0\r\n\r\n"), 400);
}

/*--- uploads that break off ---------------------------------------------------------------------*/

/* What is sent before the end, and how the connection ends: each way at each stage, for both
 * kinds of framing, in both kinds of memory. */
static void an_upload_that_breaks_off_ends_exactly_once_at_any_stage(void **state)
{
    (void)state;
    static const size_t stages[] = { 0, 1, 900, 70000, 200000, 299999 };
    static const char *const paths[] = { "/stream", "/collect", "/wait", "/refuse" };
    static uint8_t memory[UHTTP_MEMORY_SIZE(8, 2048)];
    for (int fixed = 0; fixed < 2; fixed++) {
        uhttp_config config = uploads_config();
        config.memory = fixed ? memory : NULL;
        config.memory_size = fixed ? sizeof memory : 0;
        uploads_open(&config);
        for (size_t i = 0; i < 6 * 4 * 2 * 2; i++) {
            size_t length = stages[i % 6];
            const char *path = paths[i / 6 % 4];
            bool chunked = i / 24 % 2 == 1;
            bool reset = i / 48 == 1;
            client *c = client_connect();
            client_send(c, chunked ? loop_text("POST %s" HOST "Transfer-Encoding: chunked\r\n\r\n"
                                               "493e0\r\n", path)
                                   : loop_text("POST %s" HOST "Content-Length: 300000\r\n\r\n",
                                               path));
            for (size_t at = 0; at < length; ) {    /* as much as there is room for */
                size_t n = length - at < 10000 ? length - at : 10000;
                ssize_t sent = client_offer(c, loop_pattern(at), n);
                loop_pump(0);
                if (sent <= 0)
                    break;
                at += (size_t)sent;
            }
            loop_pump(1);
            if (reset)
                client_reset(c);
            else
                client_close(c);
            if (strcmp(path, "/wait") == 0) {       /* whoever does not read hears it in time */
                loop_pump(1);
                uploads_go = true;
                for (uint32_t slot = 0; slot < 8; slot++) {
                    uhttp_conn *held = &loop.server->slots[slot];
                    if (held->told && uhttp_event(held) == UHTTP_EVENT_NONE)
                        upload_read(held, upload_of(held));
                }
            }
            LOOP_UNTIL(loop_stats().connections == 0);
            uploads_go = false;
            assert_int_equal(uploads_told, uploads_ended);
            assert_int_equal(loop_stats().held, 0);
        }
        client *after = client_connect();
        assert_int_equal(client_get(after, "/still-there"), 200);
        client_close(after);
        loop_close();
    }
}

/*--- forms ----------------------------------------------------------------------------------------*/

#define FORM_HEAD "--xx\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--xx\r\n" \
    "Content-Disposition: form-data; name=\"file\"; filename=\"f.bin\"\r\n\r\n"
#define FORM_TAIL "\r\n--xx--\r\n"

/* In fixed memory, with buffers of 1 KiB, and nothing is allocated. */
static void a_form_larger_than_memory_is_taken_apart_as_it_comes(void **state)
{
    (void)state;
    static uint8_t memory[UHTTP_MEMORY_SIZE(3, 1024)];
    for (int fixed = 0; fixed < 2; fixed++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            uhttp_config config = uploads_config();
            config.max_connections = 3;
            config.memory = fixed ? memory : NULL;
            config.memory_size = fixed ? sizeof memory : 0;
            uploads_open(&config);
            size_t before = loop_allocations;
            size_t length = strlen(FORM_HEAD) + 4000000 + strlen(FORM_TAIL);
            client *c = client_connect();
            client_send(c, loop_text("POST /form" HOST
                                     "Content-Type: multipart/form-data; boundary=xx\r\n%s\r\n\r\n%s",
                                     chunked ? "Transfer-Encoding: chunked"
                                             : loop_text("Content-Length: %zu", length),
                                     chunked ? loop_text("%zx\r\n", length) : ""));
            client_send(c, FORM_HEAD);
            client_send_pattern(c, 0, 4000000);
            client_send(c, FORM_TAIL);
            client_send(c, chunked ? "\r\n0\r\n\r\n" : "");
            assert_int_equal(client_answer(c), 200);
            assert_string_equal(c->body, "right 4000000 bytes of f.bin");
            assert_true(!fixed || loop_allocations == before);
            assert_int_equal(client_get(c, "/kept"), 200);
            loop_close();
            client_close(c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(two_slow_uploads_do_not_hold_up_a_fast_one),
        LOOP_TEST(a_stalled_sender_fails_its_own_upload_alone),
        LOOP_TEST(an_upload_that_is_not_read_waits_without_work_and_goes_on),
        LOOP_TEST(an_invitation_is_sent_when_the_program_accepts_and_not_before),
        LOOP_TEST(a_refusal_reaches_whoever_waits_and_whoever_sends),
        LOOP_TEST(bodies_up_to_the_accepted_limit_pass_and_one_byte_more_is_413),
        LOOP_TEST(an_upload_in_http_1_0_is_taken_and_the_connection_closed),
        LOOP_TEST(an_upload_that_breaks_off_ends_exactly_once_at_any_stage),
        LOOP_TEST(a_form_larger_than_memory_is_taken_apart_as_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
