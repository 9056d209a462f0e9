/* own_loop_uv.c - the server inside a loop of libuv, as test_own_loop.c has it in others
 *
 * A handle of libuv for each watched socket stays until the server says that it is gone. Between
 * two sleeps: the check handle tells the server what happened, the prepare handle asks it what
 * has changed and how long to sleep. Built and run by tests/server/own_loop_uv.sh.
 */
#include "own_loop.h"
#include <uv.h>

#define UV_WATCHED 4096

typedef struct watched {
    uv_poll_t poll;
    uhttp_watch watch;          /* wish: what the handle waits for; ready: what it has seen */
    struct watched *next;       /* in the list of those that have seen something */
} watched;

static uv_loop_t uv;
static uv_prepare_t before_sleep;
static uv_check_t after_sleep;
static uv_timer_t server_timer, own_timer;
static watched *by_fd[UV_WATCHED];
static watched *seen;
static int highest_fd;

static void on_timer(uv_timer_t *timer) { (void)timer; }    /* to wake is all it is for */

static void on_freed(uv_handle_t *handle) { free(handle->data); }

static void on_socket(uv_poll_t *poll, int status, int events)
{
    watched *w = (watched *)poll->data;
    unsigned ready = (events & UV_READABLE ? UHTTP_READABLE : 0) |
                     (events & UV_WRITABLE ? UHTTP_WRITABLE : 0);
    if (w->watch.ready == 0) {
        w->next = seen;
        seen = w;
    }
    w->watch.ready = (uint16_t)(status < 0 ? UHTTP_READABLE | UHTTP_WRITABLE : ready);
}

static void forget_socket(int fd)
{
    watched *w = by_fd[fd];
    by_fd[fd] = NULL;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_freed);
}

static void watch_socket(const uhttp_watch *change)
{
    int fd = (int)change->fd;
    assert_in_range(fd, 0, UV_WATCHED - 1);
    if (by_fd[fd] != NULL)
        assert_true(by_fd[fd]->watch.token == change->token);
    if (change->wish == 0) {
        assert_non_null(by_fd[fd]);
        forget_socket(fd);
        return;
    }
    if (by_fd[fd] == NULL) {
        by_fd[fd] = (watched *)calloc(1, sizeof *by_fd[fd]);
        assert_non_null(by_fd[fd]);
        assert_int_equal(uv_poll_init_socket(&uv, &by_fd[fd]->poll, fd), 0);
        by_fd[fd]->poll.data = by_fd[fd];
        highest_fd = fd > highest_fd ? fd : highest_fd;
    }
    by_fd[fd]->watch = *change;
    assert_int_equal(uv_poll_start(&by_fd[fd]->poll,
                                   (change->wish & UHTTP_READABLE ? UV_READABLE : 0) |
                                   (change->wish & UHTTP_WRITABLE ? UV_WRITABLE : 0),
                                   on_socket), 0);
}

static void on_before_sleep(uv_prepare_t *prepare)
{
    uhttp_watch changes[32];
    size_t count;
    (void)prepare;
    while ((count = uhttp_server_watch_changes(loop.server, changes, 32)) > 0) {
        for (size_t i = 0; i < count; i++)
            watch_socket(&changes[i]);
    }
    int most = uhttp_server_timeout(loop.server);
    if (most >= 0)
        uv_timer_start(&server_timer, on_timer, (uint64_t)most, 0);
    else
        uv_timer_stop(&server_timer);
}

static void on_after_sleep(uv_check_t *check)
{
    static uhttp_watch ready[UV_WATCHED];
    size_t count = 0;
    (void)check;
    for (; seen != NULL; seen = seen->next) {
        ready[count++] = seen->watch;
        seen->watch.ready = 0;
    }
    loop_hand_out(loop.server, uhttp_process_events(loop.server, ready, count));
}

/* One turn of libuv's loop. A timer of no time would be over before the loop looks at sockets. */
static void pump_uv(uhttp_server *server, int timeout_ms)
{
    (void)server;
    uv_update_time(&uv);
    if (timeout_ms > 0)
        uv_timer_start(&own_timer, on_timer, (uint64_t)timeout_ms, 0);
    else
        uv_timer_stop(&own_timer);
    uv_run(&uv, timeout_ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

static int uv_setup(void **state)
{
    loop_setup(state);
    own_two_servers = false;
    loop.pump = pump_uv;
    highest_fd = 0;
    seen = NULL;
    uv_loop_init(&uv);
    uv_prepare_init(&uv, &before_sleep);
    uv_check_init(&uv, &after_sleep);
    uv_timer_init(&uv, &server_timer);
    uv_timer_init(&uv, &own_timer);
    uv_prepare_start(&before_sleep, on_before_sleep);
    uv_check_start(&after_sleep, on_after_sleep);
    return 0;
}

static int uv_teardown(void **state)
{
    uv_handle_t *handles[] = { (uv_handle_t *)&before_sleep, (uv_handle_t *)&after_sleep,
                               (uv_handle_t *)&server_timer, (uv_handle_t *)&own_timer };
    for (int fd = 0; fd <= highest_fd; fd++) {
        if (by_fd[fd] != NULL)
            forget_socket(fd);
    }
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++)
        uv_close(handles[i], NULL);
    uv_run(&uv, UV_RUN_DEFAULT);
    int closed = uv_loop_close(&uv);
    if (closed != 0)
        print_error("libuv: %s\n", uv_strerror(closed));
    return loop_teardown(state) != 0 || closed != 0 ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWN_LOOP_TESTS(uv),
    };
    uv_loop_init(&uv);              /* once for the descriptors libuv keeps for ever */
    uv_loop_close(&uv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
