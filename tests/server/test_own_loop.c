/* test_own_loop.c - the server inside loops around poll(), epoll and select()
 *
 * Each is written as a program would write it: poll() hands over the list anew each time, epoll
 * keeps what it has registered and is told only of changes, and one select() serves two servers.
 * tests/server/own_loop_uv.c is the same for libuv.
 */
#include "own_loop.h"

/*--- poll() ---------------------------------------------------------------------------*/

static int poll_setup(void **state)
{
    loop_setup(state);
    own_two_servers = false;
    loop.pump = loop_pump_poll;
    return 0;
}

static int poll_teardown(void **state) { return loop_teardown(state); }

/*--- two servers in one select() --------------------------------------------------------*/

/* Serves both servers when asked to serve the first. */
static void pump_select_two(uhttp_server *server, int timeout_ms)
{
    uhttp_server *servers[2] = { loop.server, loop.other };
    fd_set read_set, write_set;
    int max_fd = -1;
    if (server == loop.other)
        return;
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    for (int i = 0; i < 2 && servers[i] != NULL; i++) {
        assert_ok(uhttp_server_fd_sets(servers[i], &read_set, &write_set, &max_fd));
        timeout_ms = loop_shorter(servers[i], timeout_ms);
    }
    struct timeval timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
    if (select(max_fd + 1, &read_set, &write_set, NULL, timeout_ms < 0 ? NULL : &timeout) <= 0) {
        FD_ZERO(&read_set);
        FD_ZERO(&write_set);
    }
    for (int i = 0; i < 2 && servers[i] != NULL; i++) {
        uhttp_conn *c = uhttp_process_fd_sets(servers[i], &read_set, &write_set);
        for (; c != NULL; c = uhttp_process_events(servers[i], NULL, 0))
            loop.handler(c);
    }
}

static int select_two_setup(void **state)
{
    loop_setup(state);
    own_two_servers = true;
    loop.pump = pump_select_two;
    return 0;
}

static int select_two_teardown(void **state) { return loop_teardown(state); }

/*--- epoll ------------------------------------------------------------------------------*/

#ifdef __linux__
#include <sys/epoll.h>

#define EPOLL_FDS 4096

/* What the kernel was told of each descriptor. */
static struct {
    uint64_t token;
    uint16_t wish;              /* 0: nothing */
} registered[EPOLL_FDS];

static int epoll_fd = -1;
static int epoll_events;        /* how many one turn takes at most */
static unsigned epoll_calls;    /* of epoll_ctl() */

/* The descriptor of a removal is still the socket that was registered, and one that is added is
 * no longer registered for another: each call succeeds. */
static void epoll_tell(const uhttp_watch *w)
{
    struct epoll_event event;
    int fd = (int)w->fd;
    assert_in_range(fd, 0, EPOLL_FDS - 1);
    assert_true(registered[fd].wish != w->wish || registered[fd].token != w->token);
    if (registered[fd].wish != 0)
        assert_true(registered[fd].token == w->token);
    int how = w->wish == 0 ? EPOLL_CTL_DEL : registered[fd].wish == 0 ? EPOLL_CTL_ADD
                                                                      : EPOLL_CTL_MOD;
    memset(&event, 0, sizeof event);
    event.events = (w->wish & UHTTP_READABLE ? (uint32_t)EPOLLIN : 0) |
                   (w->wish & UHTTP_WRITABLE ? (uint32_t)EPOLLOUT : 0);
    event.data.u64 = w->token;
    epoll_calls++;
    assert_int_equal(epoll_ctl(epoll_fd, how, fd, &event), 0);
    registered[fd].token = w->token;
    registered[fd].wish = w->wish;
}

/* A list far shorter than what there may be to tell. */
static void epoll_register(uhttp_server *server)
{
    uhttp_watch list[7];
    size_t count;
    while ((count = uhttp_server_watch_changes(server, list, 7)) > 0) {
        assert_true(count <= 7);
        for (size_t i = 0; i < count; i++) {
            if (i > 0 && list[i].wish == 0)
                assert_int_equal(list[i - 1].wish, 0);      /* removals come first */
            epoll_tell(&list[i]);
        }
    }
}

static void pump_epoll(uhttp_server *server, int timeout_ms)
{
    struct epoll_event events[64];
    uhttp_watch ready[64];
    epoll_register(server);
    int n = epoll_wait(epoll_fd, events, epoll_events, loop_shorter(server, timeout_ms));
    memset(ready, 0, sizeof ready);
    for (int i = 0; i < n; i++) {
        bool failed = (events[i].events & (EPOLLERR | EPOLLHUP)) != 0;
        ready[i].token = events[i].data.u64;
        ready[i].ready = (uint16_t)(
            (failed || (events[i].events & EPOLLIN) != 0 ? UHTTP_READABLE : 0) |
            (failed || (events[i].events & EPOLLOUT) != 0 ? UHTTP_WRITABLE : 0));
    }
    loop_hand_out(server, uhttp_process_events(server, ready, n > 0 ? (size_t)n : 0));
}

static int epoll_setup(void **state)
{
    loop_setup(state);
    own_two_servers = false;
    loop.pump = pump_epoll;
    memset(registered, 0, sizeof registered);
    epoll_events = 64;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? -1 : 0;
}

static int epoll_teardown(void **state)
{
    close(epoll_fd);
    return loop_teardown(state);
}

/* A loop that hands over one event a turn: slots are free and descriptors taken again before the
 * next event of the same sleep is looked at. */
static int epoll_one_setup(void **state)
{
    int result = epoll_setup(state);
    epoll_events = 1;
    return result;
}

static int epoll_one_teardown(void **state) { return epoll_teardown(state); }

/* A kept connection whose requests are answered at once: nothing is armed nor disarmed. */
static void registrations_do_not_change_with_requests(void **state)
{
    (void)state;
    loop_open_default();
    client *c = client_connect();
    client_check(c, "/a");
    loop_pump(20);
    epoll_calls = 0;
    for (int i = 0; i < 50; i++)
        client_check(c, "/b");
    assert_int_equal(epoll_calls, 0);
}
#endif

/*--- what a list of changes says ------------------------------------------------------------*/

static uhttp_watch changes[16];

static size_t ask_changes(size_t capacity)
{
    memset(changes, 0xff, sizeof changes);
    return uhttp_server_watch_changes(loop.server, changes, capacity);
}

/* Turns of a loop that only asks for changes before each sleep, in one call. */
static void pump_changes_of_process_events(uhttp_server *server, int timeout_ms)
{
    (void)timeout_ms;
    loop_sleep(1);
    uhttp_watch ready[16];
    size_t count = uhttp_server_watch(server, ready, 16);
    for (size_t i = 0; i < count; i++)
        ready[i].ready = UHTTP_READABLE;
    loop_hand_out(server, uhttp_process_events(server, ready, count));
}

static bool is_open(intptr_t fd) { return fcntl((int)fd, F_GETFD) >= 0; }

static void the_first_list_has_everything_and_the_next_nothing(void **state)
{
    uhttp_watch all[16];
    (void)state;
    loop_open_default();
    loop.pump = pump_changes_of_process_events;
    client_check(client_connect(), "/");
    size_t count = uhttp_server_watch(loop.server, all, 16);
    assert_int_equal(count, 3);             /* a listener, the wake-up, a connection */
    assert_int_equal(ask_changes(16), 3);
    for (size_t i = 0; i < 3; i++) {
        bool found = false;
        for (size_t j = 0; j < 3; j++)
            found = found || (all[i].fd == changes[j].fd && all[i].wish == changes[j].wish &&
                              all[i].token == changes[j].token);
        assert_true(found);
    }
    assert_int_equal(ask_changes(16), 0);
    client_check(client_connect(), "/");
    assert_int_equal(ask_changes(16), 1);
    assert_int_equal(changes[0].wish, UHTTP_READABLE);
    assert_int_equal(ask_changes(16), 0);
    assert_int_equal(uhttp_server_watch(loop.server, all, 16), 4);
}

static void what_does_not_fit_comes_with_the_next_call(void **state)
{
    (void)state;
    loop_open_default();
    loop.pump = pump_changes_of_process_events;
    client *first = client_connect();
    client_check(first, "/");
    assert_int_equal(uhttp_server_watch_changes(loop.server, NULL, 16), 0);
    assert_int_equal(ask_changes(0), 0);
    assert_int_equal(ask_changes(2), 2);
    assert_int_equal(ask_changes(2), 1);
    assert_int_equal(ask_changes(2), 0);
    client_close(first);
    LOOP_UNTIL(loop_stats().connections == 1 && ask_changes(0) == 0 &&
               uhttp_server_watch(loop.server, NULL, 0) == 2);
    client_check(client_connect(), "/");        /* in another slot: that one is not told yet */
    assert_int_equal(ask_changes(1), 1);
    assert_int_equal(changes[0].wish, 0);
    assert_int_equal(ask_changes(1), 1);
    assert_int_equal(changes[0].wish, UHTTP_READABLE);
    assert_int_equal(ask_changes(1), 0);
}

/* The peer sees the end at once; the number stays taken until the loop knows. */
static void a_socket_is_shut_at_once_and_closed_when_its_removal_was_told(void **state)
{
    uhttp_config config = loop_config();
    (void)state;
    config.max_connections = 1;
    config.keep_alive_timeout_ms = 100;
    loop_open(&config);
    loop.pump = pump_changes_of_process_events;
    client *c = client_connect();
    client_check(c, "/");
    intptr_t fd = -1;
    uint64_t token = 0;
    for (size_t n = ask_changes(16); n-- > 0; ) {
        if ((uint32_t)changes[n].token > UHTTP_MAX_LISTENERS) {
            fd = changes[n].fd;
            token = changes[n].token;
        }
    }
    assert_true(is_open(fd));
    client_expect_end(c);
    assert_true(is_open(fd));
    client *next = client_connect();        /* waits: the one slot is not free yet */
    client_send(next, GET("/next"));
    loop_pump_for(300);
    assert_int_equal(loop_stats().accepted, 1);
    size_t count = ask_changes(16);
    assert_true(count >= 1);
    assert_int_equal(changes[0].fd, fd);
    assert_int_equal(changes[0].wish, 0);
    assert_true(changes[0].token == token);
    assert_true(is_open(fd));               /* so that the loop can remove it */
    assert_int_equal(uhttp_server_timeout(loop.server), 0);
    changes[0].ready = UHTTP_READABLE;      /* an event that came before: it does no harm */
    assert_null(uhttp_process_events(loop.server, changes, 1));
    assert_false(is_open(fd));
    assert_int_equal(client_answer(next), 200);
    assert_string_equal(next->body, "/next");
}

/* A body that is delimited by the end must not look whole: the end is a reset, which only closing
 * can send. */
static void what_must_be_reset_is_not_shut(void **state)
{
    uhttp_config config = loop_config();
    (void)state;
    config.send_timeout_ms = 200;
    loop_open(&config);
    loop.pump = pump_changes_of_process_events;
    client *c = client_connect();
    client_send(c, "GET /hold HTTP/1.0\r\n\r\n");
    LOOP_UNTIL(loop.held_count == 1);
    while (ask_changes(16) > 0) { }
    assert_ok(uhttp_stream_begin(loop.held[0], 200, NULL));
    assert_ok(uhttp_stream_write(loop.held[0], "half", 4));
    loop_pump(5);
    assert_ok(uhttp_close(loop.held[0]));
    loop_pump_for(50);
    while (ask_changes(16) > 0) { }
    loop_pump_for(50);
    LOOP_UNTIL((client_receive(c), c->ended));
    assert_int_equal(c->error, ECONNRESET);
}

/* What the program's loop was not told of is closed with the server. */
static void closing_the_server_closes_what_was_kept_open(void **state)
{
    (void)state;
    loop_open_default();
    loop.pump = pump_changes_of_process_events;
    client *c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = client_connect();
        client_check(c[i], "/");
    }
    size_t count = ask_changes(16);
    assert_int_equal(count, 5);
    uhttp_watch before[16];
    memcpy(before, changes, sizeof before);
    client_close(c[0]);
    loop_pump_for(30);
    client_close(c[1]);
    loop_pump_for(30);
    assert_int_equal(loop_stats().connections, 3);      /* their slots are not free yet */
    assert_int_equal(uhttp_server_shutdown(loop.server), UHTTP_ERR_AGAIN);
    assert_true(ask_changes(2) == 2);                   /* some of the removals */
    uhttp_server_close(loop.server);
    loop.server = NULL;
    for (size_t i = 0; i < count; i++)
        assert_false(is_open(before[i].fd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWN_LOOP_TESTS(poll),
        OWN_LOOP_TESTS(select_two),
#ifdef __linux__
        OWN_LOOP_TESTS(epoll),
        OWN_LOOP_TEST(epoll, registrations_do_not_change_with_requests),
        OWN_LOOP_TESTS(epoll_one),
#endif
        LOOP_TEST(the_first_list_has_everything_and_the_next_nothing),
        LOOP_TEST(what_does_not_fit_comes_with_the_next_call),
        LOOP_TEST(a_socket_is_shut_at_once_and_closed_when_its_removal_was_told),
        LOOP_TEST(what_must_be_reset_is_not_shut),
        LOOP_TEST(closing_the_server_closes_what_was_kept_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
