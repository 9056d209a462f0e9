/* test_server_pollers.c - epoll and kqueue take over from select(), and give back
 *
 * What a server does over each poller is tested by all the other suites, which the stage
 * "pollers" of tests/run.sh builds with UHTTP_POLLER. Here: when it moves, what that costs, and
 * what happens when the system refuses.
 */
#include "loopback.h"
#include <sys/wait.h>

#if !UH_QUEUE

static void there_is_one_poller(void **state)
{
    (void)state;
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = { LOOP_TEST(there_is_one_poller) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

enum { MANY = UH_QUEUE_AT + 12 };

static client *crowd[MANY];

static bool is_in_force(void) { return loop.server->poller.queue >= 0; }

static uhttp_config patient_config(uint32_t connections)
{
    uhttp_config config = loop_config();
    config.max_connections = connections;
    config.backlog = 512;
    config.keep_alive_timeout_ms = config.request_timeout_ms = UHTTP_NEVER;
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    return config;
}

static void open_patiently(uint32_t connections)
{
    uhttp_config config = patient_config(connections);
    loop_open(&config);
    loop_queues = loop_queue_calls = 0;
}

/* Connects this many more, each of which has been answered once. */
static void gather(int from, int to)
{
    for (int i = from; i < to; i++) {
        crowd[i] = client_connect();
        client_check(crowd[i], "/gather");
    }
}

static void dismiss(int from, int to)
{
    uint32_t left = loop_stats().connections - (uint32_t)(to - from);
    for (int i = from; i < to; i++)
        client_close(crowd[i]);
    LOOP_UNTIL(loop_stats().connections == left);
    loop_pump(0);
}

/* So many sleeps that the server believes there are few. */
static void sleep_often(void)
{
    for (unsigned i = 0; i < UH_QUEUE_SLEEPS; i++)
        loop_pump(0);
}

static void check_all(int from, int to)
{
    for (int i = from; i < to; i++)
        client_send(crowd[i], GET("/all"));
    for (int i = from; i < to; i++) {
        assert_int_equal(client_answer(crowd[i]), 200);
        assert_string_equal(crowd[i]->body, "/all");
    }
}

static void a_server_moves_over_when_many_are_watched_and_back_when_few_are(void **state)
{
    (void)state;
    open_patiently(MANY);
    int descriptors = loop_open_descriptors();
    gather(0, UH_QUEUE_AT / 2);
    assert_int_equal(is_in_force(), UH_QUEUE_ALWAYS);
    gather(UH_QUEUE_AT / 2, MANY);
    assert_true(is_in_force());
    check_all(0, MANY);
    dismiss(UH_QUEUE_AT / 2, MANY);
    assert_true(is_in_force());             /* some distance between there and back */
    check_all(0, UH_QUEUE_AT / 2);
    dismiss(10, UH_QUEUE_AT / 2);
    sleep_often();
    assert_int_equal(is_in_force(), UH_QUEUE_ALWAYS);
    assert_int_equal(loop_open_descriptors(), descriptors + 20);
    check_all(0, 10);
    gather(10, MANY);
    assert_true(is_in_force());
    check_all(0, MANY);
    assert_int_equal(loop_queues, UH_QUEUE_ALWAYS ? 0 : 2);
    loop_expect_sleep(100);
}

/* select() would look at thousands of slots to find the few that are taken. */
static void few_connections_in_high_slots_stay_with_the_queue(void **state)
{
    (void)state;
    open_patiently(UH_QUEUE_NEAR + 40);
    static client *all[UH_QUEUE_NEAR + 40];
    for (unsigned i = 0; i < UH_QUEUE_NEAR + 40; i++) {
        all[i] = client_connect();
        client_check(all[i], "/gather");
    }
    for (unsigned i = 0; i < UH_QUEUE_NEAR + 30; i++)
        client_close(all[i]);
    LOOP_UNTIL(loop_stats().connections == 10);
    sleep_often();
    assert_true(is_in_force());
    client_check(all[UH_QUEUE_NEAR + 35], "/high");
    for (unsigned i = UH_QUEUE_NEAR + 30; i < UH_QUEUE_NEAR + 39; i++)
        client_close(all[i]);
    LOOP_UNTIL(loop_stats().connections == 1);
    client_close(all[UH_QUEUE_NEAR + 39]);
    LOOP_UNTIL(loop_stats().connections == 0);
    sleep_often();
    assert_int_equal(is_in_force(), UH_QUEUE_ALWAYS);
    client_check(client_connect(), "/low-again");
}

/* All of a crowd are there before the server looks, and leave with their answers. */
static void come_and_go(const char *request)
{
    for (int i = 0; i < MANY; i++) {
        crowd[i] = client_connect();
        client_send(crowd[i], request);
    }
    for (int i = 0; i < MANY; i++)
        assert_int_equal(client_answer(crowd[i]), 200);
    for (int i = 0; i < MANY; i++)
        client_close(crowd[i]);
}

static void crowds_that_come_and_go_share_a_queue(void **state)
{
    (void)state;
    open_patiently(MANY);
    for (int round = 0; round < 5; round++) {
        come_and_go(GET("/keep"));
        LOOP_UNTIL(loop_stats().connections == 0);
    }
    assert_int_equal(loop_queues, UH_QUEUE_ALWAYS ? 0 : 1);
}

/* Not even of a crowd, which is more than has its turns before the network is asked again. */
static void who_leaves_with_the_answer_is_not_watched(void **state)
{
    (void)state;
    open_patiently(3 * MANY);
    static client *idle[MANY];
    for (int i = 0; i < MANY; i++) {
        idle[i] = client_connect();
        client_check(idle[i], "/idle");
    }
    loop_pump(10);
    loop_queue_calls = 0;
    come_and_go("GET /once HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    LOOP_UNTIL(loop_stats().connections == MANY);
    assert_int_equal(loop_queue_calls, 0);
}

/* Neither a request on a connection that is known, nor a connection whose request comes with
 * it and that ends with the answer, is worth telling. */
static void what_is_answered_at_once_changes_nothing_in_the_queue(void **state)
{
    (void)state;
    open_patiently(MANY + 1);
    gather(0, MANY);
    loop_pump(10);
    loop_queue_calls = 0;
    for (int i = 0; i < 50; i++)
        client_check(crowd[i], "/again");
    assert_int_equal(loop_queue_calls, 0);
    for (int i = 0; i < 50; i++) {
        client *c = client_connect();
        client_send(c, "GET /once HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        assert_int_equal(client_answer(c), 200);
        client_expect_end(c);
        client_close(c);
    }
    assert_int_equal(loop_stats().connections, MANY);
#ifndef LOOP_TLS            /* whose handshake waits for the peer */
    assert_int_equal(loop_queue_calls, 0);
#endif
}

static void refuse(int error, unsigned room)
{
    loop_queue_error = error;
    loop_queue_room = room;
}

/* A server over which the system makes no queue, or takes so many sockets only. */
static void expect_select_instead(int error, unsigned room)
{
    refuse(error, room);
    open_patiently(MANY);
    gather(0, MANY);
    assert_false(is_in_force());
    check_all(0, MANY);
    loop_expect_sleep(50);
    size_t calls = loop_queue_calls;
    check_all(0, MANY);
    assert_int_equal(loop_queue_calls, calls);      /* it does not ask each time */
    refuse(0, 0);
    loop_close();
    for (int i = MANY; i-- > 0; )
        client_forget(crowd[i]);
}

static void a_queue_that_is_refused_leaves_select_in_force(void **state)
{
    static const int errors[] = { EMFILE, ENFILE, ENOMEM, EPERM, ENOSYS };
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        expect_select_instead(errors[i], 0);
        assert_int_equal(loop_queues, 0);
    }
}

static void a_queue_that_takes_too_few_leaves_select_in_force(void **state)
{
    (void)state;
    for (unsigned room = 1; room < UH_QUEUE_AT; room += 40) {
        int descriptors = loop_open_descriptors();
        expect_select_instead(ENOSPC, room);
        assert_int_equal(loop_open_descriptors(), descriptors);
    }
}

static void a_queue_that_takes_no_more_is_left(void **state)
{
    (void)state;
    open_patiently(MANY);
    gather(0, MANY - 5);
    assert_true(is_in_force());
    refuse(ENOSPC, 1);
    gather(MANY - 5, MANY - 3);
    assert_false(is_in_force());
    check_all(0, MANY - 3);
    refuse(0, 0);
    loop_expect_sleep(50);
}

static void a_foreign_loop_has_no_queue_below_it(void **state)
{
    (void)state;
    uhttp_config config = patient_config(MANY);
    assert_ok(uhttp_server_open(&loop.server, &config));
    loop.pump = loop_pump_poll;
    loop_queues = loop_queue_calls = 0;
    gather(0, MANY);
    check_all(0, MANY);
    assert_int_equal(loop_queues, 0);
    assert_int_equal(loop_queue_calls, 0);
}

static void fixed_memory_has_a_queue_only_if_the_program_wants_it(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(MANY, 512)];
    (void)state;
    uhttp_config config = patient_config(MANY);
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.max_headers_length = 0;
    loop_open(&config);
    gather(0, MANY);
    assert_int_equal(is_in_force(), UH_QUEUE_ALWAYS);
    check_all(0, MANY);
    assert_int_equal(loop_allocations, 0);
}

static void the_queue_is_closed_on_exec(void **state)
{
    (void)state;
    open_patiently(MANY);
    gather(0, MANY);
    assert_true(is_in_force());
    assert_true((fcntl(loop.server->poller.queue, F_GETFD) & FD_CLOEXEC) != 0);
}

/* Runs the server in a child that was forked behind its back, closes it there, and ends. */
static void close_in_a_child(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uhttp_server_close(loop.server);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_forked_child_that_closes_the_server_takes_nothing_from_the_parent(void **state)
{
    (void)state;
    open_patiently(MANY + 1);
    gather(0, MANY);
    assert_true(is_in_force());
    loop_pump(5);
    close_in_a_child();
    check_all(0, MANY);
    client_check(client_connect(), "/newcomer");
    assert_ok(uhttp_server_wakeup(loop.server));
    assert_null(uhttp_wait(loop.server, -1));
}

/* A child holds copies of all sockets. Without a word before the close, the kernel would go on
 * reporting sockets that the server has long forgotten. */
static void sockets_leave_the_queue_before_they_are_closed(void **state)
{
    int end[2];
    (void)state;
    open_patiently(MANY);
    gather(0, MANY);
    assert_true(is_in_force());
    assert_int_equal(pipe(end), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char byte;
        for (int i = 0; i < MANY; i++)
            close(crowd[i]->fd);
        close(end[1]);
        ssize_t n = read(end[0], &byte, 1);
        _exit(n == 0 ? 0 : 1);
    }
    dismiss(0, 20);
    loop_expect_sleep(200);
    check_all(20, MANY);
    close(end[0]);
    close(end[1]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A peer may reset at a moment when the server watches for nothing, or only for writing. */
static void errors_come_through_whatever_a_socket_is_watched_for(void **state)
{
    (void)state;
    open_patiently(MANY);
    gather(0, MANY - 2);
    assert_true(is_in_force());
    client *slow = client_connect();
    client_send(slow, GET("/big"));
    LOOP_UNTIL(loop_stats().bytes_out > 100000);
    loop_pump_for(30);
    client_reset(slow);
    LOOP_UNTIL(loop_stats().connections == MANY - 2);
    loop_expect_sleep(100);
    client *half = client_connect();
    client_send(half, GET("/big"));
    LOOP_UNTIL(loop_stats().connections == MANY - 1);
    shutdown(half->fd, SHUT_WR);
    loop_pump_for(30);
    loop_expect_sleep(100);
    client_reset(half);
    LOOP_UNTIL(loop_stats().connections == MANY - 2);
    check_all(0, MANY - 2);
}

/* What the kernel reports unasked may come alone; TCP on Linux sets the other bits too. */
static void an_error_alone_is_what_a_socket_is_watched_for(void **state)
{
    (void)state;
    open_patiently(MANY);
    gather(0, MANY - 2);
    assert_true(is_in_force());
    loop_queue_bare_errors = true;
    client *reads = client_connect();
    client_send(reads, "GET /half");
    LOOP_UNTIL(loop_stats().connections == MANY - 1);
    loop_pump_for(30);
    client_reset(reads);
    LOOP_UNTIL(loop_stats().connections == MANY - 2);
    client *slow = client_connect();
    client_send(slow, GET("/big"));
    LOOP_UNTIL(loop_stats().bytes_out > 100000);
    shutdown(slow->fd, SHUT_WR);            /* from now on watched for writing only */
    loop_pump_for(30);
    client_reset(slow);
    LOOP_UNTIL(loop_stats().connections == MANY - 2);
    check_all(0, MANY - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_server_moves_over_when_many_are_watched_and_back_when_few_are),
        LOOP_TEST(few_connections_in_high_slots_stay_with_the_queue),
        LOOP_TEST(what_is_answered_at_once_changes_nothing_in_the_queue),
        LOOP_TEST(crowds_that_come_and_go_share_a_queue),
        LOOP_TEST_PLAIN(who_leaves_with_the_answer_is_not_watched,
                        "a handshake waits for its peer")
        LOOP_TEST(a_queue_that_is_refused_leaves_select_in_force),
        LOOP_TEST(a_queue_that_takes_too_few_leaves_select_in_force),
        LOOP_TEST(a_queue_that_takes_no_more_is_left),
        LOOP_TEST(a_foreign_loop_has_no_queue_below_it),
        LOOP_TEST(fixed_memory_has_a_queue_only_if_the_program_wants_it),
        LOOP_TEST(the_queue_is_closed_on_exec),
        LOOP_TEST(a_forked_child_that_closes_the_server_takes_nothing_from_the_parent),
        LOOP_TEST(sockets_leave_the_queue_before_they_are_closed),
        LOOP_TEST(errors_come_through_whatever_a_socket_is_watched_for),
        LOOP_TEST(an_error_alone_is_what_a_socket_is_watched_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
