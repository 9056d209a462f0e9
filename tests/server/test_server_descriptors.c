/* test_server_descriptors.c - descriptors that no fd_set can hold
 *
 * On Linux the server's bitmaps are its own, and of any length; in fixed memory and on other
 * systems such a descriptor is refused where it comes in, unless epoll or kqueue is in force.
 * test_server_fd_set.c builds these tests once more with the system's fd_set, so that all of it
 * is tested here.
 */
#include "loopback.h"

/* Is such a descriptor watched by a server that has waited already? */
#define TAKES_ALL (UH_OWN_BITMAPS || UH_QUEUE_ALWAYS)

static void fill_the_low_descriptors(void)
{
    loop_fill_descriptors(FD_SETSIZE);
    assert_true(loop.fillers[loop.filler_count - 1] >= FD_SETSIZE - 1);
}

static intptr_t seen_fd;

static void note_fd(uhttp_conn *c)
{
    seen_fd = uhttp_fd(c);
    loop_app(c);
}

static client *kept;            /* connected while descriptors were low */

static void open_and_fill(const uhttp_config *config)
{
    loop_open(config);
    loop.handler = note_fd;
    kept = client_connect();
    client_check(kept, "/low");
    fill_the_low_descriptors();
}

/* A newcomer is closed, the others and the server are well. */
static void expect_refusal(void)
{
    uint64_t failures = loop_stats().accept_failures;
    unsigned held = loop.held_count;
    client_send(kept, GET("/hold"));        /* it cannot give way */
    LOOP_UNTIL(loop.held_count == held + 1);
    client *high = client_connect();
    client_offer(high, GET("/high"), 31);
    client_await_end(high);
    assert_int_equal(high->used, 0);
    assert_true(loop_stats().accept_failures > failures);
    assert_true(loop_logged("cannot be served") >= 1);
    loop_expect_sleep(150);
    assert_ok(uhttp_respond_text(loop.held[held], 200, "/hold"));
    assert_int_equal(client_answer(kept), 200);
    client_check(kept, "/not-disturbed");
    assert_int_equal(loop_stats().connections, 1);
    loop_free_descriptors();
    client_check(client_connect(), "/low-again");
    assert_true(seen_fd < FD_SETSIZE);
    client_check(kept, "/still-here");
}

/* The servers that watch with their own bitmaps take any descriptor. */
static void expect_service(void)
{
    client *high[3];
    for (int i = 0; i < 3; i++)
        high[i] = client_connect();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            client_check(high[i], "/high");
            assert_true(seen_fd >= FD_SETSIZE);
        }
        client_check(kept, "/low");
        assert_true(seen_fd < FD_SETSIZE);
    }
    client_send(high[0], GET("/big"));       /* waits for writing, too */
    client_await_head(high[0]);
    uint64_t offset = 0;
    client_drain_pattern(high[0], &offset, 20000000);
    loop.pump = loop_pump_poll;
    client_check(high[1], "/polled");
    loop.pump = loop_pump_wait;

    /* ... which the program's fd_set cannot */
    fd_set read_set, write_set, was;
    int max_fd = 7;
    FD_ZERO(&read_set);
    FD_SET(3, &read_set);
    memcpy(&write_set, &read_set, sizeof write_set);
    memcpy(&was, &read_set, sizeof was);
    assert_int_equal(uhttp_server_fd_sets(loop.server, &read_set, &write_set, &max_fd),
                     UHTTP_ERR_MEMORY);
    assert_memory_equal(&read_set, &was, sizeof was);
    assert_memory_equal(&write_set, &was, sizeof was);
    assert_int_equal(max_fd, 7);
    memset(&read_set, 0xff, sizeof read_set);
    memset(&write_set, 0xff, sizeof write_set);
    uhttp_conn *c = uhttp_process_fd_sets(loop.server, &read_set, &write_set);
    assert_null(c);
    for (int i = 0; i < 3; i++)
        client_close(high[i]);
    LOOP_UNTIL(loop_stats().connections == 1);
    max_fd = -1;
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    assert_ok(uhttp_server_fd_sets(loop.server, &read_set, &write_set, &max_fd));
    assert_true(max_fd < FD_SETSIZE);
    loop_free_descriptors();
    client_check(client_connect(), "/low-again");
}

/* A program that never waits to write may give one set only. */
static void either_set_of_select_may_be_missing(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_send(c, GET("/a"));
    int max_fd = -1;
    uhttp_conn *told = NULL;
    uint32_t start = loop_millis();
    while (told == NULL && loop_millis() - start < LOOP_PATIENCE_MS) {
        fd_set read_set, write_set;
        struct timeval timeout = { 0, 10000 };
        FD_ZERO(&read_set);
        FD_ZERO(&write_set);
        assert_ok(uhttp_server_fd_sets(loop.server, &read_set, &write_set, &max_fd));
        assert_true(select(max_fd + 1, &read_set, NULL, NULL, &timeout) >= 0);
        told = uhttp_process_fd_sets(loop.server, &read_set, NULL);
    }
    assert_non_null(told);
    assert_ok(uhttp_respond_text(told, 200, "/a"));
    assert_int_equal(client_answer(c), 200);
    assert_null(uhttp_process_fd_sets(loop.server, NULL, NULL));
}

static void a_high_descriptor_is_served_where_bitmaps_are_long_enough(void **state)
{
    (void)state;
    if (!loop_want_descriptors(FD_SETSIZE + 50))
        skip();
    uhttp_config config = loop_config();
    open_and_fill(&config);
    if (TAKES_ALL)
        expect_service();
    else
        expect_refusal();
}

/* In fixed memory there is a queue only where the program wants it always. */
static void a_high_descriptor_is_refused_in_fixed_memory(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(8, 1024)];
    (void)state;
    if (!loop_want_descriptors(FD_SETSIZE + 50))
        skip();
    uhttp_config config = loop_config();
    config.max_connections = 8;
    config.memory = memory;
    config.memory_size = sizeof memory;
    open_and_fill(&config);
    if (UH_QUEUE_ALWAYS)
        expect_service();
    else
        expect_refusal();
    assert_int_equal(loop_allocations, 0);
}

static void a_newcomer_takes_over_the_number_of_the_one_that_gives_way(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(1, 1024)];
    (void)state;
    if (!loop_want_descriptors(FD_SETSIZE + 50))
        skip();
    uhttp_config config = loop_config();
    config.max_connections = 1;
    config.memory = memory;
    config.memory_size = sizeof memory;
    open_and_fill(&config);
    client *high = client_connect();
    if (UH_QUEUE_ALWAYS) {
        client_check(high, "/watched");
        loop_free_descriptors();
        return;
    }
    client_check(high, "/low-again");       /* when that has been idle for a second */
    assert_true(seen_fd < FD_SETSIZE);
    assert_int_equal(loop_stats().evicted, 1);
    client_expect_end(kept);
    loop_free_descriptors();
}

static void a_listener_that_cannot_be_watched_is_not_opened(void **state)
{
    (void)state;
    if (!loop_want_descriptors(FD_SETSIZE + 50))
        skip();
    fill_the_low_descriptors();
    uhttp_config config = loop_config();
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    if (UH_OWN_BITMAPS) {
        assert_int_equal(result, UHTTP_OK);
        assert_true(uhttp_server_fd(loop.server) >= FD_SETSIZE);
        assert_ok(uhttp_server_wakeup(loop.server));
        assert_null(uhttp_wait(loop.server, -1));
        client_check(client_connect(), "/high");
        loop_close();
    } else {
        assert_int_equal(result, UHTTP_ERR_SYSTEM);
    }
    assert_null(loop.server);
    loop_free_descriptors();
    loop_open(&config);
    int open = loop_open_descriptors();
    fill_the_low_descriptors();
    result = uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, NULL);
    assert_int_equal(result, TAKES_ALL ? UHTTP_OK : UHTTP_ERR_SYSTEM);
    loop_free_descriptors();
    assert_int_equal(loop_open_descriptors(), open + (TAKES_ALL ? 1 : 0));
    client_check(client_connect(), "/low");
}

static void a_wake_up_that_cannot_be_watched_is_unsupported(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(2, 1024)];
    struct sockaddr_in at;
    (void)state;
    if (!loop_want_descriptors(FD_SETSIZE + 50))
        skip();
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    intptr_t listener = fd;
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    fill_the_low_descriptors();
    uhttp_config config = loop_config();
    config.max_connections = 2;
    config.listen_fd = &listener;
    config.memory = memory;
    config.memory_size = sizeof memory;
    uhttp_result result = uhttp_server_open(&loop.server, &config);
    loop_free_descriptors();
    assert_int_equal(result, UHTTP_OK);
    assert_int_equal(uhttp_server_wakeup(loop.server), UHTTP_ERR_UNSUPPORTED);
    client_check(client_connect(), "/served");
}

static void as_many_connections_are_served_as_can_be_watched(void **state)
{
    enum { MANY = 1100 };
    static client *c[MANY];
    (void)state;
    if (!loop_want_descriptors(2 * MANY + 100))
        skip();
    uhttp_config config = loop_config();
    config.max_connections = MANY;
    config.keep_alive_timeout_ms = config.request_timeout_ms = UHTTP_NEVER;
    loop_open(&config);
    int served = 0;
    for (bool is_refused = false; served < MANY && !is_refused; ) {
        client *next = client_connect();
        c[served] = next;
        client_offer(next, GET("/first"), strlen(GET("/first")));
        LOOP_UNTIL(client_receive(next) != 0);
        is_refused = next->used == 0;
        served += is_refused ? 0 : 1;
    }
    if (UH_OWN_BITMAPS || UH_QUEUE)     /* it has moved over long before */
        assert_int_equal(served, MANY);
    else
        assert_true(served > FD_SETSIZE / 4 && served < FD_SETSIZE);
    assert_int_equal(loop_stats().connections, served);
    for (int i = 0; i < served; i++) {
        assert_true(client_take(c[i]));
        client_send(c[i], GET("/second"));
    }
    for (int i = 0; i < served; i++) {
        assert_int_equal(client_answer(c[i]), 200);
        assert_string_equal(c[i]->body, "/second");
    }
    for (int i = 0; i < served; i += 2)
        client_close(c[i]);
    LOOP_UNTIL(loop_stats().connections == (uint32_t)served / 2);
    client_check(c[1], "/third");
    client_check(client_connect(), "/new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(either_set_of_select_may_be_missing),
        LOOP_TEST(a_high_descriptor_is_served_where_bitmaps_are_long_enough),
        LOOP_TEST(a_high_descriptor_is_refused_in_fixed_memory),
        LOOP_TEST(a_newcomer_takes_over_the_number_of_the_one_that_gives_way),
        LOOP_TEST(a_listener_that_cannot_be_watched_is_not_opened),
        LOOP_TEST(a_wake_up_that_cannot_be_watched_is_unsupported),
        LOOP_TEST(as_many_connections_are_served_as_can_be_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
