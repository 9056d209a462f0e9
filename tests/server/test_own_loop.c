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

/* What the kernel was told of each descriptor. A descriptor that comes back with another token
 * is another socket: the kernel forgot the one before when it was closed. */
static struct {
    uint64_t token;
    uint16_t wish;              /* 0: nothing */
    unsigned round;             /* of the list it last stood in */
} registered[EPOLL_FDS];

static int epoll_fd = -1;
static int epoll_highest;
static unsigned epoll_round;
static unsigned epoll_calls;    /* of epoll_ctl() */

static void epoll_tell(int how, const uhttp_watch *w)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = (w->wish & UHTTP_READABLE ? (uint32_t)EPOLLIN : 0) |
                   (w->wish & UHTTP_WRITABLE ? (uint32_t)EPOLLOUT : 0);
    event.data.u64 = w->token;
    epoll_calls++;
    assert_int_equal(epoll_ctl(epoll_fd, how, (int)w->fd, &event), 0);
}

static void epoll_register(uhttp_server *server)
{
    static uhttp_watch list[EPOLL_FDS];
    size_t count = uhttp_server_watch(server, list, EPOLL_FDS);
    epoll_round++;
    for (size_t i = 0; i < count; i++) {
        int fd = (int)list[i].fd;
        assert_true(fd < EPOLL_FDS);
        if (registered[fd].wish != 0 && registered[fd].token != list[i].token)
            registered[fd].wish = 0;
        if (registered[fd].wish == 0)
            epoll_tell(EPOLL_CTL_ADD, &list[i]);
        else if (registered[fd].wish != list[i].wish)
            epoll_tell(EPOLL_CTL_MOD, &list[i]);
        registered[fd].token = list[i].token;
        registered[fd].wish = list[i].wish;
        registered[fd].round = epoll_round;
        epoll_highest = fd > epoll_highest ? fd : epoll_highest;
    }
    for (int fd = 0; fd <= epoll_highest; fd++) {
        if (registered[fd].wish == 0 || registered[fd].round == epoll_round)
            continue;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);       /* fails if it has been closed */
        registered[fd].wish = 0;
    }
}

static void pump_epoll(uhttp_server *server, int timeout_ms)
{
    struct epoll_event events[64];
    uhttp_watch ready[64];
    epoll_register(server);
    int n = epoll_wait(epoll_fd, events, 64, loop_shorter(server, timeout_ms));
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
    epoll_highest = 0;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? -1 : 0;
}

static int epoll_teardown(void **state)
{
    close(epoll_fd);
    return loop_teardown(state);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWN_LOOP_TESTS(poll),
        OWN_LOOP_TESTS(select_two),
#ifdef __linux__
        OWN_LOOP_TESTS(epoll),
        OWN_LOOP_TEST(epoll, registrations_do_not_change_with_requests),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
