/* own_loop_glib.c - the server inside a loop of GLib, as test_own_loop.c has it in others
 *
 * One GSource stands for the server. It holds a descriptor with its events for each socket that
 * the server wants watched, until the server says that the socket is gone. Built and run by
 * tests/server/own_loop_uv.sh where there is GLib.
 */
#include "own_loop.h"
#include <glib-unix.h>

#define GLIB_WATCHED 4096

typedef struct server_source {
    GSource source;
    uhttp_watch watch[GLIB_WATCHED];    /* by descriptor */
    gpointer tag[GLIB_WATCHED];         /* NULL: not watched */
    int highest;
} server_source;

static GMainContext *context;
static server_source *source;

static GIOCondition condition_of(const uhttp_watch *w)
{
    return (GIOCondition)((w->wish & UHTTP_READABLE ? G_IO_IN : 0) |
                          (w->wish & UHTTP_WRITABLE ? G_IO_OUT : 0) | G_IO_ERR | G_IO_HUP);
}

static void watch_socket(server_source *s, const uhttp_watch *change)
{
    int fd = (int)change->fd;
    assert_in_range(fd, 0, GLIB_WATCHED - 1);
    if (s->tag[fd] != NULL)
        assert_true(s->watch[fd].token == change->token);
    if (change->wish == 0) {
        assert_non_null(s->tag[fd]);
        g_source_remove_unix_fd(&s->source, s->tag[fd]);
        s->tag[fd] = NULL;
        return;
    }
    if (s->tag[fd] == NULL)
        s->tag[fd] = g_source_add_unix_fd(&s->source, fd, condition_of(change));
    else
        g_source_modify_unix_fd(&s->source, s->tag[fd], condition_of(change));
    s->watch[fd] = *change;
    s->highest = fd > s->highest ? fd : s->highest;
}

static gboolean source_prepare(GSource *base, gint *timeout)
{
    server_source *s = (server_source *)(void *)base;
    uhttp_watch changes[32];
    size_t count;
    while ((count = uhttp_server_watch_changes(loop.server, changes, 32)) > 0) {
        for (size_t i = 0; i < count; i++)
            watch_socket(s, &changes[i]);
    }
    *timeout = uhttp_server_timeout(loop.server);
    return *timeout == 0;
}

/* Also when only time has passed: the server may have something due. */
static gboolean source_check(GSource *base)
{
    (void)base;
    return TRUE;
}

static gboolean source_dispatch(GSource *base, GSourceFunc callback, gpointer data)
{
    static uhttp_watch ready[GLIB_WATCHED];
    server_source *s = (server_source *)(void *)base;
    size_t count = 0;
    (void)callback;
    (void)data;
    for (int fd = 0; fd <= s->highest; fd++) {
        GIOCondition got = s->tag[fd] == NULL ? (GIOCondition)0
                                              : g_source_query_unix_fd(base, s->tag[fd]);
        if (got == 0)
            continue;
        bool failed = (got & (G_IO_ERR | G_IO_HUP)) != 0;
        ready[count] = s->watch[fd];
        ready[count++].ready = (uint16_t)(
            (failed || (got & G_IO_IN) != 0 ? UHTTP_READABLE : 0) |
            (failed || (got & G_IO_OUT) != 0 ? UHTTP_WRITABLE : 0));
    }
    loop_hand_out(loop.server, uhttp_process_events(loop.server, ready, count));
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_functions = { source_prepare, source_check, source_dispatch, NULL,
                                         NULL, NULL };

static gboolean on_time(gpointer unused)
{
    (void)unused;
    return G_SOURCE_REMOVE;
}

/* One turn of GLib's loop. */
static void pump_glib(uhttp_server *server, int timeout_ms)
{
    GSource *end = NULL;
    (void)server;
    if (timeout_ms > 0) {
        end = g_timeout_source_new((guint)timeout_ms);
        g_source_set_callback(end, on_time, NULL, NULL);
        g_source_attach(end, context);
    }
    g_main_context_iteration(context, timeout_ms != 0);
    if (end != NULL) {
        g_source_destroy(end);
        g_source_unref(end);
    }
}

static int glib_setup(void **state)
{
    loop_setup(state);
    own_two_servers = false;
    loop.pump = pump_glib;
    context = g_main_context_new();
    g_main_context_acquire(context);    /* else each call from outside its turns wakes it */
    source = (server_source *)(void *)g_source_new(&source_functions, sizeof *source);
    /* else GLib takes its sockets out and in again around each dispatch, and wakes itself */
    g_source_set_can_recurse(&source->source, TRUE);
    g_source_attach(&source->source, context);
    return 0;
}

static int glib_teardown(void **state)
{
    g_source_destroy(&source->source);
    g_source_unref(&source->source);
    g_main_context_release(context);
    g_main_context_unref(context);
    return loop_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWN_LOOP_TESTS(glib),
    };
    g_main_context_unref(g_main_context_new());     /* what GLib keeps for ever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
