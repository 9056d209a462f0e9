/* test_server_wake.c - waking where there is no pipe, as on Windows and lwIP: a UDP socket that
 * is connected to itself */
#define _GNU_SOURCE 1
#include <sys/types.h>
#include <sys/socket.h>

static int wake_error;          /* errno of what the server's waking fails with; 0: it does not */
static ssize_t wake_send(int fd, const void *data, size_t length, int flags);

#define UH_WAKE_PIPE 0
#define send wake_send
#include "loopback.h"
#undef send

static ssize_t wake_send(int fd, const void *data, size_t length, int flags)
{
    if (wake_error != 0 && loop.server != NULL && fd == loop.server->wake.in) {
        errno = wake_error;
        return -1;
    }
    return send(fd, data, length, flags);
}

static void a_datagram_wakes(void **state)
{
    (void)state;
    loop_open_default();
    wake_error = 0;
    for (int i = 0; i < 3; i++) {
        assert_ok(uhttp_server_wakeup(loop.server));
        assert_null(uhttp_wait(loop.server, -1));
    }
    loop_expect_sleep(50);
    client_check(client_connect(), "/served");
}

static void a_wake_up_without_memory_says_so_and_keeps_errno(void **state)
{
    static const int errors[] = { ENOBUFS, ENOMEM };
    (void)state;
    loop_open_default();
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        wake_error = errors[i];
        errno = EDOM;
        assert_int_equal(uhttp_server_wakeup(loop.server), UHTTP_ERR_AGAIN);
        assert_int_equal(errno, EDOM);
    }
    wake_error = 0;
    loop_expect_sleep(50);          /* nothing woke */
    assert_ok(uhttp_server_wakeup(loop.server));
    assert_null(uhttp_wait(loop.server, -1));
}

/* The socket is full of them, so it is readable. */
static void a_wake_up_behind_many_others_is_kept(void **state)
{
    (void)state;
    loop_open_default();
    wake_error = 0;
    assert_ok(uhttp_server_wakeup(loop.server));
    wake_error = EAGAIN;
    assert_ok(uhttp_server_wakeup(loop.server));
    wake_error = 0;
    assert_null(uhttp_wait(loop.server, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_datagram_wakes),
        LOOP_TEST(a_wake_up_without_memory_says_so_and_keeps_errno),
        LOOP_TEST(a_wake_up_behind_many_others_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
