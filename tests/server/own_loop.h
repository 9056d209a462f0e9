/* own_loop.h - what a server must do inside any loop of the program's own
 *
 * test_own_loop.c includes this for poll(), epoll and select(), own_loop_uv.c for libuv. Each
 * sets loop.pump to one turn of its loop, and runs the tests of OWN_LOOP_TESTS under it. Where
 * loop.other is open, half of the clients talk to that server, and one turn serves both.
 */
#ifndef OWN_LOOP_H
#define OWN_LOOP_H

#include "loopback.h"
#include <pthread.h>

#define OWN_CLIENTS 200

static bool own_two_servers;

static void own_open(uhttp_config *config)
{
    loop_open(config);
    if (own_two_servers)
        assert_ok(uhttp_server_open(&loop.other, config));
}

static uhttp_server *own_server(int i)
{
    return loop.other != NULL && i % 2 == 1 ? loop.other : loop.server;
}

static client *own_connect(int i)
{
    return client_connect_port(uhttp_server_port(own_server(i)));
}

/* One turn without an end of the program's own: who sleeps too long is not woken by us. */
static void own_turn(void)
{
    loop.wakes++;
    loop.pump(loop.server, -1);
}

/* The path is answered; a body comes back behind the name of the server that had it. */
static void own_app(uhttp_conn *c)
{
    size_t length = 0;
    const char *body = (const char *)uhttp_body(c, &length);
    if (strcmp(uhttp_path(c), "/large") == 0)
        assert_ok(uhttp_respond_static(c, 200, NULL, loop_big(), 3000000));
    else if (strcmp(uhttp_path(c), "/hold") == 0)
        loop_hold(c);
    else if (body != NULL)
        assert_ok(uhttp_respond(c, 200, NULL, body, length));
    else
        assert_ok(uhttp_respond_text(c, 200, loop_text("%d%s", uhttp_server_of(c) == loop.other,
                                                       uhttp_path(c))));
}

static void own_ask_path(client *c, int a, int b)
{
    char request[80];           /* no loop_text(): the server runs while this is sent */
    snprintf(request, sizeof request, "GET /%d/%d" HOST "\r\n", a, b);
    client_send(c, request);
}

/* Client i has asked for /a/b. */
static void own_check_path(client *c, int i, int a, int b)
{
    assert_int_equal(c->status, 200);
    assert_string_equal(c->body, loop_text("%d/%d/%d", loop.other != NULL && i % 2, a, b));
}

/* All of them ask at once, again and again; some come anew for each request. */
static void many_clients_are_answered(void **state)
{
    uhttp_config config = loop_config();
    client *clients[OWN_CLIENTS];
    (void)state;
    if (!loop_want_descriptors(OWN_CLIENTS * 2 + 100))
        skip();
    config.max_connections = OWN_CLIENTS * 2;   /* nobody is evicted */
    own_open(&config);
    loop.handler = own_app;
    for (int i = 0; i < OWN_CLIENTS; i++)
        clients[i] = own_connect(i);
    for (int n = 0; n < 5; n++) {
        for (int i = 0; i < OWN_CLIENTS; i++)
            own_ask_path(clients[i], i, n);
        for (int i = 0; i < OWN_CLIENTS; i++) {
            client_answer(clients[i]);
            own_check_path(clients[i], i, i, n);
            if (i % 5 != 0)
                continue;
            client_close(clients[i]);
            clients[i] = own_connect(i);
        }
    }
}

static void large_bodies_go_both_ways(void **state)
{
    uhttp_config config = loop_config();
    static char upload[300000];
    client *down[6], *up[6];
    uint64_t offset[6] = { 0, 0, 0, 0, 0, 0 };
    (void)state;
    config.max_send_buffer = 400000;
    own_open(&config);
    loop.handler = own_app;
    for (int i = 0; i < 6; i++) {
        down[i] = own_connect(i);
        client_send(down[i], GET("/large"));
    }
    loop_pattern_fill(upload, sizeof upload);
    for (int i = 0; i < 6; i++) {
        up[i] = own_connect(i);
        client_send(up[i], POST("/", "300000"));
        client_send_bytes(up[i], upload, sizeof upload);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(client_answer(up[i]), 200);
        assert_int_equal(up[i]->length, sizeof upload);
        assert_memory_equal(up[i]->body, upload, sizeof upload);
        client_await_head(down[i]);
        client_drain_pattern(down[i], &offset[i], 3000000);
    }
}

static void timeouts_come_without_traffic(void **state)
{
    uhttp_config config = loop_config();
    (void)state;
    config.request_timeout_ms = 200;
    config.keep_alive_timeout_ms = 300;
    config.response_timeout_ms = 400;
    own_open(&config);
    loop.handler = own_app;
    client *silent = own_connect(0);
    client *half = own_connect(1);
    client *idle = own_connect(0);
    client *held = own_connect(1);
    client_send(half, "GET / HT");
    client_send(held, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    client_get(idle, "/idle");
    loop.wakes = 0;
    uint32_t start = loop_millis();
    while (!silent->ended || !half->ended || !idle->ended || !held->ended) {
        own_turn();                         /* sleeps as long as the server says, no longer */
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
        client_receive(silent);
        client_receive(half);
        client_receive(idle);
        client_receive(held);
    }
    assert_true(loop.wakes < 60);
    assert_true(loop_millis() - start >= 350);
    assert_int_equal(client_answer(half), 408);
    assert_int_equal(client_answer(held), 503);
    assert_int_equal(silent->used + idle->used, 0);
}

/*--- other threads ------------------------------------------------------------------*/

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t own_jobs[64];           /* ids of requests that threads look after */
static unsigned own_job_count, own_taken, own_done_count, own_for_nobody;
static uint64_t own_done[64];
static bool own_threads_end;

static void own_give_job(uhttp_conn *c)
{
    pthread_mutex_lock(&own_lock);
    own_jobs[own_job_count++] = uhttp_id(c);
    pthread_mutex_unlock(&own_lock);
}

static void *own_work(void *unused)
{
    (void)unused;
    for (bool end = false; !end; ) {
        pthread_mutex_lock(&own_lock);
        bool any = own_taken < own_job_count;
        uint64_t id = any ? own_jobs[own_taken++] : 0;
        end = own_threads_end;
        pthread_mutex_unlock(&own_lock);
        loop_sleep(any ? 15 : 1);
        if (!any)
            continue;
        pthread_mutex_lock(&own_lock);
        own_done[own_done_count++] = id;
        pthread_mutex_unlock(&own_lock);
        uhttp_server_wakeup(loop.server);
    }
    return NULL;
}

/* In the loop: whoever still waits for what is done is answered. */
static unsigned own_answer_done(void)
{
    static uint64_t done[64];
    pthread_mutex_lock(&own_lock);
    unsigned count = own_done_count;
    memcpy(done, own_done, sizeof done);
    own_done_count = 0;
    pthread_mutex_unlock(&own_lock);
    for (unsigned i = 0; i < count; i++) {
        uhttp_conn *c = uhttp_find(loop.server, done[i]);
        if (c == NULL)
            own_for_nobody++;
        else
            assert_ok(uhttp_respond_text(c, 200, loop_text("%llu", (unsigned long long)done[i])));
    }
    return count;
}

static void own_threads_begin(pthread_t *threads, int count)
{
    own_threads_end = false;
    for (int i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, own_work, NULL), 0);
}

static void own_threads_join(pthread_t *threads, int count)
{
    pthread_mutex_lock(&own_lock);
    own_threads_end = true;
    pthread_mutex_unlock(&own_lock);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* The loop sleeps for ever but for what it is woken for. */
static void threads_wake_the_loop_and_answers_come_later(void **state)
{
    uhttp_config config = loop_config();
    pthread_t threads[3];
    client *clients[30];
    (void)state;
    config.max_connections = 40;
    loop_open(&config);                 /* one server: ids are its own */
    loop.handler = own_give_job;
    own_job_count = own_taken = own_done_count = own_for_nobody = 0;
    for (int i = 0; i < 30; i++)
        clients[i] = client_connect();
    for (int i = 0; i < 30; i++)
        client_send(clients[i], GET("/"));
    LOOP_UNTIL(own_job_count == 30);
    for (int i = 0; i < 30; i += 3)
        client_reset(clients[i]);       /* these do not wait for it */
    LOOP_UNTIL(loop_stats().forgotten == 10);
    uint64_t ids[30];
    memcpy(ids, own_jobs, sizeof ids);
    own_threads_begin(threads, 3);
    uint32_t start = loop_millis();
    loop.wakes = 0;
    for (unsigned answered = 0; answered < 30; answered += own_answer_done()) {
        own_turn();
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
    }
    own_threads_join(threads, 3);
    assert_int_equal(own_for_nobody, 10);
    assert_true(loop.wakes < 200);
    for (int i = 0; i < 30; i++) {
        if (i % 3 == 0)
            continue;
        assert_int_equal(client_answer(clients[i]), 200);
        bool known = false;
        for (int j = 0; j < 30; j++)
            known = known || strtoull(clients[i]->body, NULL, 10) == ids[j];
        assert_true(known);
    }
    LOOP_UNTIL(loop_stats().held == 0 && loop_stats().forgotten == 0);
}

/*--- descriptors ----------------------------------------------------------------------*/

/* All slots go to newcomers within one turn, and with them descriptors: what the loop has
 * registered for the one before is not registered for this one. */
static void a_descriptor_used_again_is_watched_again(void **state)
{
    uhttp_config config = loop_config();
    (void)state;
    config.max_connections = 3;
    own_open(&config);
    loop.handler = own_app;
    for (int round = 0; round < 4; round++) {
        client *clients[3];
        for (int i = 0; i < 3; i++)
            clients[i] = own_connect(0);
        for (int n = 0; n < 2; n++) {
            for (int i = 0; i < 3; i++)
                own_ask_path(clients[i], round, n);
            for (int i = 0; i < 3; i++) {
                client_answer(clients[i]);
                own_check_path(clients[i], 0, round, n);
            }
        }
        for (int i = 0; i < 3 && round % 3 == 0; i++)
            client_close(clients[i]);
        if (round % 3 != 0)
            loop_pump_for(1100);            /* idle for a second, they give way to the next */
    }
}

/* Also where a slot is free only after the loop has been told. */
static void one_idle_client_gives_way_to_one_newcomer(void **state)
{
    uhttp_config config = loop_config();
    client *clients[4];
    (void)state;
    config.max_connections = 4;
    own_open(&config);
    loop.handler = own_app;
    for (int i = 0; i < 4; i++) {
        clients[i] = own_connect(0);
        own_ask_path(clients[i], i, 0);
        client_answer(clients[i]);
        own_check_path(clients[i], 0, i, 0);
    }
    loop_pump_for(1100);
    client *newcomer = own_connect(0);
    own_ask_path(newcomer, 4, 0);
    client_answer(newcomer);
    own_check_path(newcomer, 0, 4, 0);
    loop_pump_for(50);
    assert_int_equal(loop_stats().evicted, 1);
    assert_int_equal(loop_stats().connections, 4);
}

static void shutdown_comes_to_an_end(void **state)
{
    uhttp_config config = loop_config();
    (void)state;
    own_open(&config);
    loop.handler = own_app;
    client *idle = own_connect(0);
    client *held = own_connect(0);
    client_get(idle, "/idle");
    client_send(held, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    client_expect_end(idle);
    assert_ok(uhttp_respond_text(loop.held[0], 200, "at last"));
    assert_int_equal(client_answer(held), 200);
    assert_true(client_says_close(held));
    client_expect_end(held);
    client_close(held);
    client_close(idle);
    LOOP_UNTIL(uhttp_server_shutdown(loop.server) == UHTTP_OK);
}

#define OWN_LOOP_TESTS(kind)                                            \
    OWN_LOOP_TEST(kind, many_clients_are_answered),                     \
    OWN_LOOP_TEST(kind, large_bodies_go_both_ways),                     \
    OWN_LOOP_TEST(kind, timeouts_come_without_traffic),                 \
    OWN_LOOP_TEST(kind, threads_wake_the_loop_and_answers_come_later),  \
    OWN_LOOP_TEST(kind, a_descriptor_used_again_is_watched_again),      \
    OWN_LOOP_TEST(kind, one_idle_client_gives_way_to_one_newcomer),     \
    OWN_LOOP_TEST(kind, shutdown_comes_to_an_end)

#define OWN_LOOP_TEST(kind, name) \
    { #kind ": " #name, name, kind##_setup, kind##_teardown, NULL }

#endif
