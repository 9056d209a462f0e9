/* Files of the system over real sockets: sendfile(), links, files that change on the way, files
 * beyond 4 GiB, and bodies that become files. What is decided from names and fields is in
 * test_files.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#include <sys/syscall.h>

/*--- between the server and its system --------------------------------------------------*/

static unsigned sendfile_calls;
static int sendfile_error;              /* that it fails with; 0: it works */
static bool openat2_is_missing;

static ssize_t counted_sendfile(int to, int from, off_t *at, size_t length)
{
    sendfile_calls++;
    errno = sendfile_error;
    return sendfile_error != 0 ? -1 : sendfile(to, from, at, length);
}

static unsigned openat2_calls;
static uint64_t openat2_flags;          /* of the last one */

static long counted_openat2(long number, int at, const char *name, void *how, size_t size)
{
    openat2_calls++;
    memcpy(&openat2_flags, how, sizeof openat2_flags);
    errno = ENOSYS;
    return openat2_is_missing ? -1 : syscall(number, at, name, how, size);
}

/* What has been flushed: a file or a directory, "f" or "d" each. */
static unsigned fsync_calls;
static char fsync_kinds[16];
static char fsync_fails_at;             /* the kind that cannot be; NUL: none */

static int counted_fsync(int fd)
{
    struct stat about;
    char kind = fstat(fd, &about) == 0 && S_ISDIR(about.st_mode) ? 'd' : 'f';
    if (fsync_calls < sizeof fsync_kinds - 1)
        fsync_kinds[fsync_calls++] = kind;
    errno = EIO;
    return kind == fsync_fails_at ? -1 : fsync(fd);
}

static unsigned open_calls;

static int counted_open(const char *path, int flags, ...)
{
    open_calls++;
    return open(path, flags, 0666);     /* only O_CREAT looks at it */
}

#define open(...) counted_open(__VA_ARGS__)
#define sendfile counted_sendfile
#define syscall  counted_openat2
#define fsync    counted_fsync
#endif

#include "loopback.h"

#undef open
#undef sendfile
#undef syscall
#undef fsync

/*--- a directory of our own ---------------------------------------------------------------*/

static char top[64];                    /* root is in it, and what lies beside root */
static char root[80];

static const char *in_root(const char *name) { return loop_text("%s/%s", root, name); }

static void write_file(const char *path, const void *data, size_t length)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, length, f), length);
    assert_int_equal(fclose(f), 0);
}

static void write_pattern(const char *path, size_t length)
{
    char *bytes = (char *)malloc(length);
    assert_non_null(bytes);
    loop_pattern_fill(bytes, length);
    write_file(path, bytes, length);
    free(bytes);
}

static bool file_is(const char *path, const char *text)
{
    char bytes[256];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return n == strlen(text) && memcmp(bytes, text, n) == 0;
}

static unsigned names_in_root(void)
{
    FILE *list = popen(loop_text("ls -A '%s' | wc -l", root), "r");
    unsigned count = 9999;
    assert_non_null(list);
    assert_int_equal(fscanf(list, "%u", &count), 1);
    pclose(list);
    return count;
}

static int files_setup(void **state)
{
    snprintf(top, sizeof top, "/tmp/uhttp-files-%d", (int)getpid());
    if (mkdir(top, 0700) != 0)
        return -1;
    snprintf(root, sizeof root, "%s/site", top);
    if (mkdir(root, 0755) != 0)
        return -1;
#ifdef __linux__
    sendfile_calls = 0;
    sendfile_error = 0;
    openat2_is_missing = false;
    openat2_calls = 0;
    open_calls = 0;
    fsync_calls = 0;
    memset(fsync_kinds, 0, sizeof fsync_kinds);
    fsync_fails_at = '\0';
#endif
    return loop_setup(state);
}

static int files_teardown(void **state)
{
    int result = loop_teardown(state);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command) == 0 ? result : -1;
}

static void serve(uhttp_conn *c)
{
    loop.requests++;
    assert_ok(uhttp_serve_dir(c, root, "/"));
}

static void files_open(void)
{
    loop_open_default();
    loop.handler = serve;
}

/*--- sending ------------------------------------------------------------------------------*/

#define LARGE (5u * 1024 * 1024 + 77)

static void get_large(client *c, const char *range, uint64_t first, uint64_t length)
{
    uint64_t offset = first;
    client_send(c, loop_text("GET /large HTTP/1.1\r\nHost: t\r\n%s\r\n", range));
    client_await_head(c);
    assert_int_equal(c->status, *range != '\0' ? 206 : 200);
    assert_int_equal(strtoull(client_field(c, "Content-Length"), NULL, 10), length);
    client_drain_pattern(c, &offset, first + length);
}

static void a_large_file_arrives_as_it_is_without_a_copy(void **state)
{
    (void)state;
    write_pattern(in_root("large"), LARGE);
    files_open();
    client *c = client_connect();
    get_large(c, "", 0, LARGE);
    get_large(c, "Range: bytes=1048577-3000000\r\n", 1048577, 3000000 - 1048576);
    get_large(c, "Range: bytes=-100000\r\n", LARGE - 100000, 100000);
    get_large(c, "", 0, LARGE);
    assert_int_equal(loop_stats().accepted, 1);
    assert_int_equal(loop.access_count, 4);
    assert_int_equal(loop.access[0].bytes, LARGE);
    assert_int_equal(loop.access[2].bytes, 100000);
#ifdef __linux__
    assert_true(LOOP_SECURE ? sendfile_calls == 0
                            : sendfile_calls >= 4 && sendfile_calls < 1000);
#endif
    assert_true(loop_allocations < 20);
}

static void where_sendfile_does_not_work_the_file_is_read(void **state)
{
    (void)state;
#ifdef __linux__
    static const int errors[] = { EINVAL, ENOSYS, EOPNOTSUPP };
    write_pattern(in_root("large"), LARGE);
    files_open();
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        sendfile_error = errors[i];
        sendfile_calls = 0;
        client *c = client_connect();
        get_large(c, "", 0, LARGE);
        assert_int_equal(sendfile_calls, 1);
    }
    sendfile_error = EIO;
    client *c = client_connect();
    client_send(c, GET("/large"));
    client_await_end(c);
    assert_true(c->used < 16384 + 1024);
#else
    skip();
#endif
}

static void a_small_file_is_one_send_with_its_head(void **state)
{
    (void)state;
    write_pattern(in_root("small"), 1500);
    files_open();
    client *c = client_connect();
    assert_int_equal(client_get(c, "/small"), 200);
    assert_int_equal(c->length, 1500);
    assert_true(loop_pattern_is(c->body, 0, 1500));
#ifdef __linux__
    assert_int_equal(sendfile_calls, 0);
#endif
    size_t before = loop_allocations;
    for (int i = 0; i < 10; i++)
        assert_int_equal(client_get(c, "/small"), 200);
    assert_int_equal(loop_allocations, before);     /* fits the first block */
}

static void a_file_cut_short_on_its_way_ends_the_connection(void **state)
{
    (void)state;
    write_pattern(in_root("large"), LARGE);
    files_open();
    client *c = client_connect_narrow(4096);
    client_send(c, GET("/large") GET("/large"));
    client_await_head(c);
    assert_int_equal(truncate(in_root("large"), 20000), 0);
    client_await_end(c);
    assert_true(c->used < LARGE);
    assert_int_equal(loop_logged("shorter"), 1);
    assert_int_equal(loop.access_count, 1);
    assert_true(loop.access[0].bytes < LARGE);
}

static void of_a_file_that_grows_no_more_is_sent_than_announced(void **state)
{
    (void)state;
    write_pattern(in_root("large"), LARGE);
    files_open();
    client *c = client_connect_narrow(4096);
    uint64_t offset = 0;
    client_send(c, GET("/large"));
    client_await_head(c);
    write_pattern(in_root("longer"), LARGE + 100000);
    FILE *f = fopen(in_root("large"), "ab");
    assert_non_null(f);
    for (int i = 0; i < 100000; i++)
        putc('x', f);
    fclose(f);
    client_drain_pattern(c, &offset, LARGE);
    client_expect_nothing(c);
    assert_int_equal(client_get(c, "/none"), 404);
}

static void a_replaced_or_removed_file_goes_on_as_it_was(void **state)
{
    (void)state;
    write_pattern(in_root("large"), LARGE);
    files_open();
    client *c = client_connect_narrow(4096);
    uint64_t offset = 0;
    client_send(c, GET("/large"));
    client_await_head(c);
    assert_int_equal(unlink(in_root("large")), 0);
    client_drain_pattern(c, &offset, LARGE);
    assert_int_equal(client_get(c, "/large"), 404);
}

/* The default action of SIGPIPE would end this program. */
static void a_peer_that_resets_costs_neither_a_signal_nor_a_descriptor(void **state)
{
    (void)state;
    sigset_t before, after, pending;
    write_pattern(in_root("large"), LARGE);
    files_open();
    int descriptors = loop_open_descriptors();
    sigprocmask(SIG_SETMASK, NULL, &before);
    for (int i = 0; i < 20; i++) {
        client *c = i % 3 < 2 ? client_connect_narrow(4096) : client_connect();
        client_send(c, GET("/large"));
        client_await_head(c);
        while (i % 3 == 2 && client_receive(c) > 0) { }     /* it has read all when it closes: */
        if (i % 3 == 0)                                     /* the reset meets a sendfile() that */
            client_reset(c);                                /* has sent some already */
        else
            client_close(c);
        LOOP_UNTIL(loop_stats().connections == 0);
    }
    sigprocmask(SIG_SETMASK, NULL, &after);
    sigpending(&pending);
    assert_int_equal(sigismember(&after, SIGPIPE), sigismember(&before, SIGPIPE));
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    assert_int_equal(loop_open_descriptors(), descriptors);
    assert_int_equal(loop.access_count, 20);
}

static void slow_readers_hold_little_memory_and_nobody_waits_for_them(void **state)
{
    (void)state;
    write_pattern(in_root("large"), LARGE);
    write_file(in_root("small"), "here", 4);
    files_open();
    client *slow[8];
    size_t blocks = loop_blocks;
    for (int i = 0; i < 8; i++) {
        slow[i] = client_connect_narrow(4096);
        client_send(slow[i], GET("/large"));
        client_await_head(slow[i]);
    }
    client *quick = client_connect();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(client_get(quick, "/small"), 200);
        client_receive_some(slow[i % 8], 1000);
    }
    assert_true(loop_blocks <= blocks + 2 * 9);
    uint64_t offset = 0;
    for (int i = 0; i < 8; i++) {
        offset = 0;
        client_drain_pattern(slow[i], &offset, LARGE);
    }
}

/* Sparse: it takes no room. */
static void a_file_beyond_4_GiB_has_all_its_ranges(void **state)
{
    (void)state;
    FILE *f = fopen(in_root("huge"), "wb");
    assert_non_null(f);
    if (fseeko(f, (off_t)5 * 1024 * 1024 * 1024, SEEK_SET) != 0 || fputs("behind", f) < 0 ||
        fclose(f) != 0)
        skip();
    files_open();
    client *c = client_connect();
    assert_int_equal(client_ask(c, "GET /huge" HOST "Range: bytes=5368709120-\r\n\r\n"), 206);
    assert_string_equal(c->body, "behind");
    assert_string_equal(client_field(c, "Content-Range"), "bytes 5368709120-5368709125/5368709126");
    assert_int_equal(client_ask(c, "GET /huge" HOST "Range: bytes=-6\r\n\r\n"), 206);
    assert_string_equal(c->body, "behind");
    assert_int_equal(client_ask(c, "GET /huge" HOST "Range: bytes=5368709126-\r\n\r\n"), 416);
    c->to_head = true;
    assert_int_equal(client_ask(c, "HEAD /huge" HOST "\r\n"), 200);
    assert_string_equal(client_field(c, "Content-Length"), "5368709126");
    client_send(c, "GET /huge" HOST "Range: bytes=4294967000-\r\n\r\n");
    client_await_head(c);
    assert_string_equal(client_field(c, "Content-Length"), "1073742126");
}

/*--- names and links ----------------------------------------------------------------------*/

static void make_links(void)
{
    write_file(loop_text("%s/secret", top), "secret", 6);
    write_file(in_root("inside"), "inside", 6);
    assert_int_equal(mkdir(in_root("sub"), 0755), 0);
    write_file(in_root("sub/file"), "file", 4);
    assert_int_equal(symlink("../secret", in_root("up")), 0);
    assert_int_equal(symlink(loop_text("%s/secret", top), in_root("absolute")), 0);
    assert_int_equal(symlink("/etc", in_root("etc")), 0);
    assert_int_equal(symlink("..", in_root("parent")), 0);
    assert_int_equal(symlink("up", in_root("twice")), 0);
    assert_int_equal(symlink("loop", in_root("loop")), 0);
    assert_int_equal(symlink("../../secret", in_root("sub/up")), 0);
    assert_int_equal(symlink("inside", in_root("link")), 0);
    assert_int_equal(symlink("../inside", in_root("sub/link")), 0);
    assert_int_equal(mkfifo(in_root("pipe"), 0644), 0);
}

static void links_never_lead_out_of_the_root(void **state)
{
    (void)state;
    static const char *const out[] = { "/up", "/absolute", "/etc/passwd", "/etc/", "/etc",
                                       "/parent/secret", "/parent/site/inside", "/parent",
                                       "/twice", "/loop", "/sub/up", "/pipe", "/inside/x",
                                       "/inside/" };
    make_links();
    files_open();
    client *c = client_connect();
    for (int walks = 0; walks < 2; walks++) {
#ifdef __linux__
        openat2_is_missing = walks > 0;
#endif
        for (size_t i = 0; i < sizeof out / sizeof *out; i++)
            assert_int_equal(client_get(c, out[i]), 404);
        assert_int_equal(client_get(c, "/sub/file"), 200);
        assert_string_equal(c->body, "file");
        assert_int_equal(client_get(c, "/sub"), 301);
        assert_int_equal(client_get(c, "/sub/"), 404);
        int link = client_get(c, "/sub/link");
        assert_true(link == 404 || (link == 200 && strcmp(c->body, "inside") == 0));
        assert_int_equal(client_get(c, "/link"), link);
    }
    char name[600];
    memset(name, 'n', sizeof name);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    assert_int_equal(client_get(c, name), 404);     /* longer than a name may be */
}

/* Under a root that is a link itself, or has no absolute name, all is the same. */
static char other_root[96];

static void serve_other(uhttp_conn *c)
{
    assert_ok(uhttp_serve_dir(c, other_root, "/x/"));
}

static void a_root_may_be_a_link_or_relative(void **state)
{
    (void)state;
    make_links();
    loop_open_default();
    loop.handler = serve_other;
    snprintf(other_root, sizeof other_root, "%s/current", top);
    assert_int_equal(symlink("site", other_root), 0);
    client *c = client_connect();
    assert_int_equal(client_get(c, "/x/inside"), 200);
    assert_int_equal(client_get(c, "/x/up"), 404);
    char here[512];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(root), 0);
    static const char *const names[] = { ".", "", "../site", "../site/" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(other_root, sizeof other_root, "%s", names[i]);
        bool served = client_get(c, "/x/inside") == 200 && client_get(c, "/x/up") == 404;
        if (!served)
            print_error("root \"%s\": %d\n", names[i], c->status);
        assert_true(served || chdir(here) != 0);
    }
    assert_int_equal(chdir(here), 0);
    snprintf(other_root, sizeof other_root, "%s/none", top);
    assert_int_equal(client_get(c, "/x/inside"), 404);
}

static void serve_one(uhttp_conn *c)
{
    assert_ok(uhttp_respond_file(c, in_root("link"), NULL));
}

static void a_file_the_program_names_may_be_anywhere(void **state)
{
    (void)state;
    make_links();
    loop_open_default();
    loop.handler = serve_one;
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 200);
    assert_string_equal(c->body, "inside");
}

static void without_descriptors_the_answer_is_503(void **state)
{
    (void)state;
    write_file(in_root("small"), "here", 4);
    files_open();
    client *c = client_connect();
    assert_int_equal(client_get(c, "/small"), 200);
    struct rlimit none = loop.limit;
    int next = dup(0);
    close(next);
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int status = client_get(c, "/small");
    setrlimit(RLIMIT_NOFILE, &loop.limit);
    assert_int_equal(status, 503);
    assert_int_equal(client_get(c, "/small"), 200);
}

/*--- uploads ------------------------------------------------------------------------------*/

static char upload_path[128];

static void take_upload(uhttp_conn *c)
{
    const char *text;
    loop.events[uhttp_event(c)]++;
    if (uhttp_event(c) == UHTTP_EVENT_HEADERS)
        assert_ok(uhttp_accept_body_to_file(c, upload_path, 0));
    else if (uhttp_event(c) == UHTTP_EVENT_COMPLETE)
        assert_ok(uhttp_respond_text(c, 201, "stored"));
    else if (uhttp_event(c) == UHTTP_EVENT_ERROR) {
        int status = uhttp_error(c, &text);
        assert_ok(uhttp_respond_text(c, status, text));
    } else if (uhttp_event(c) == UHTTP_EVENT_REQUEST)
        serve(c);
}

static void uploads_open(void)
{
    uhttp_config config = loop_config();
    config.event_mode = true;
    config.max_content_length = 1;
    loop_open(&config);
    loop.handler = take_upload;
    snprintf(upload_path, sizeof upload_path, "%s/file", root);
}

static void a_body_replaces_its_file_at_once(void **state)
{
    (void)state;
    uploads_open();
    write_file(upload_path, "old", 3);
    client *c = client_connect();
    client_send(c, POST("/file", "8") "new ");
    LOOP_UNTIL(names_in_root() == 2);
    assert_true(file_is(upload_path, "old"));
    client_send(c, "data");
    assert_int_equal(client_answer(c), 201);
    assert_true(file_is(upload_path, "new data"));
    assert_int_equal(names_in_root(), 1);
    assert_int_equal(client_ask(c, CHUNKED("/file") "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), 201);
    assert_true(file_is(upload_path, "abcde"));
    assert_int_equal(names_in_root(), 1);
}

static void a_large_body_arrives_in_its_file(void **state)
{
    (void)state;
    uploads_open();
    client *c = client_connect();
    client_send(c, loop_text("PUT /file HTTP/1.1\r\nHost: t\r\nContent-Length: %u\r\n\r\n", LARGE));
    char *bytes = (char *)malloc(LARGE);
    assert_non_null(bytes);
    loop_pattern_fill(bytes, LARGE);
    client_send_bytes(c, bytes, LARGE);
    free(bytes);
    assert_int_equal(client_answer(c), 201);
    assert_true(loop_allocations < 20);
    assert_int_equal(rename(upload_path, in_root("large")), 0);
    get_large(c, "", 0, LARGE);
}

static void a_relative_path_stays_good_when_the_program_changes_its_directory(void **state)
{
    (void)state;
    char before[1024];
    assert_non_null(getcwd(before, sizeof before));
    uploads_open();
    strcpy(upload_path, "file");
    client *c = client_connect();       /* over TLS it reads files itself */
    assert_int_equal(chdir(root), 0);
    client_send(c, POST("/file", "8") "new ");
    LOOP_UNTIL(names_in_root() == 1);
    assert_int_equal(chdir(before), 0);
    client_send(c, "data");
    assert_int_equal(client_answer(c), 201);
    assert_true(file_is(in_root("file"), "new data"));
    assert_int_equal(names_in_root(), 1);
}

/* The bytes before the file has its name, the name before the program hears of it. */
static void a_file_and_its_name_are_on_the_disk_when_it_is_complete(void **state)
{
    (void)state;
#ifdef __linux__
    uploads_open();
    client *c = client_connect();
    assert_int_equal(client_ask(c, POST("/file", "3") "abc"), 201);
    assert_int_equal(fsync_calls, 2);
    assert_string_equal(fsync_kinds, "fd");
    fsync_fails_at = 'd';
    assert_int_equal(client_ask(c, POST("/file", "3") "def"), 500);
    assert_true(file_is(upload_path, "def"));       /* the old one is gone, this one is whole */
    assert_int_equal(names_in_root(), 1);
#else
    skip();
#endif
}

static void a_name_in_no_directory_is_an_error(void **state)
{
    (void)state;
    uploads_open();
    snprintf(upload_path, sizeof upload_path, "%s/none/file", root);
    client *c = client_connect();
    assert_int_equal(client_ask(c, POST("/file", "3") "abc"), 500);
    assert_string_equal(c->body, "the body's file cannot be written");
    assert_int_equal(loop.events[UHTTP_EVENT_ERROR], 1);
    snprintf(upload_path, sizeof upload_path, "%s", root);      /* a directory in its place */
    c = client_connect();
    assert_int_equal(client_ask(c, POST("/file", "3") "abc"), 500);
    assert_int_equal(names_in_root(), 0);
}

/* A limit on the size of files stands for a disk that is full. Going beyond it would bring a
 * signal that ends the process. */
static void a_full_disk_is_507_and_leaves_nothing(void **state)
{
    (void)state;
    struct rlimit before, small;
    uploads_open();
    write_file(upload_path, "old", 3);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_DFL);
    small = before;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    client *c = client_connect();
    char *bytes = (char *)calloc(1, 300000);
    assert_non_null(bytes);
    client_send(c, POST("/file", "300000"));
    client_try_send(c, bytes, 300000);
    int status = client_answer(c);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    free(bytes);
    assert_int_equal(status, 507);
    assert_true(strncmp(c->head, "HTTP/1.1 507 Insufficient Storage\r\n", 35) == 0);
    assert_true(file_is(upload_path, "old"));
    assert_int_equal(names_in_root(), 1);
}

static void an_upload_broken_off_leaves_nothing(void **state)
{
    (void)state;
    uploads_open();
    write_file(upload_path, "old", 3);
    int descriptors = loop_open_descriptors();
    for (int by = 0; by < 3; by++) {
        client *c = client_connect();
        client_send(c, POST("/file", "8") "new ");
        LOOP_UNTIL(names_in_root() == 2);
        if (by == 0)
            client_reset(c);
        else if (by == 1)
            client_close(c);
        else
            client_shut(c);
        LOOP_UNTIL(names_in_root() == 1);
        assert_true(file_is(upload_path, "old"));
        client_close(c);
        LOOP_UNTIL(loop_stats().connections == 0);
    }
    assert_int_equal(loop_open_descriptors(), descriptors);
    client *c = client_connect();
    client_send(c, POST("/file", "8") "new ");
    LOOP_UNTIL(names_in_root() == 2);
    loop_close();                           /* the server ends in the middle of it */
    assert_int_equal(names_in_root(), 1);
}

#define FILES_TEST(name) cmocka_unit_test_setup_teardown(name, files_setup, files_teardown)
#ifdef LOOP_TLS
#define FILES_TEST_PLAIN(name, why)
#else
#define FILES_TEST_PLAIN(name, why) FILES_TEST(name),
#endif

/* Looking for the .gz beside a file, for its index or its directory opens no root anew. */
static void a_root_is_opened_once_for_each_request(void **state)
{
    (void)state;
#ifdef __linux__
    static const char *const paths[] = { "/file", "/none", "/", "/sub" };
    write_file(in_root("file"), "abc", 3);
    assert_int_equal(mkdir(in_root("sub"), 0755), 0);
    files_open();
    client *c = client_connect();
    for (unsigned missing = 0; missing < 2; missing++) {
        openat2_is_missing = missing;
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            open_calls = 0;
            client_get(c, paths[i]);
            assert_int_equal(open_calls, 1);
        }
    }
#else
    skip();
#endif
}

/* Also where a pointer, and so a plain off_t, has 32 bits. A kernel of 64 bits takes them for
 * granted in any case. */
static void files_beyond_2_gib_are_found_below_a_directory(void **state)
{
    (void)state;
    files_open();
    write_file(in_root("large"), "", 0);
    assert_int_equal(truncate(in_root("large"), (off_t)3 << 30), 0);
    client *c = client_connect();
    c->to_head = true;
    assert_int_equal(client_ask(c, "HEAD /large" HOST "\r\n"), 200);
    assert_string_equal(client_field(c, "content-length"), "3221225472");
#ifdef __linux__
    assert_true(openat2_calls == 2 && (openat2_flags & O_LARGEFILE) == O_LARGEFILE);
#endif
    c->to_head = false;
    assert_int_equal(client_ask(c, "GET /large" HOST "Range: bytes=-4\r\n\r\n"), 206);
    assert_int_equal(c->length, 4);
}

/* A chunk lies in the output buffer, which in fixed memory may be small. */
static void chunks_of_files_are_larger_on_the_heap(void **state)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(1, 1024)];
    (void)state;
    uhttp_config config = loop_config();
    loop_open(&config);
    assert_int_equal(loop.server->config.file_chunk_size, 16384);
    loop_close();
    config.max_connections = 1;
    config.memory = memory;
    config.memory_size = sizeof memory;
    loop_open(&config);
    assert_int_equal(loop.server->config.file_chunk_size, 4096);
}

/*--- hooks whose strings live as long as is promised ----------------------------------------*/

typedef struct short_lived { char etag[32]; } short_lived;

static uhttp_result short_open(void *user, const char *path, const char *below, void **file,
                               uhttp_file_info *info)
{
    (void)user;
    (void)below;
    if (strstr(path, ".gz") != NULL)
        return UHTTP_ERR_SYSTEM;
    short_lived *f = (short_lived *)malloc(sizeof *f);
    assert_non_null(f);
    strcpy(f->etag, "this-version");
    info->size = 10;
    info->modified = INT64_MIN;         /* whatever a table says of it */
    info->etag = f->etag;
    *file = f;
    return UHTTP_OK;
}

static size_t short_read(void *user, void *file, uint64_t at, void *to, size_t n)
{
    (void)user;
    (void)file;
    (void)at;
    memset(to, 'a', n);
    return n;
}

static void short_close(void *user, void *file)
{
    (void)user;
    memset(file, 'Z', sizeof(short_lived));
    free(file);
}

static char written_path[64];
static char written_bytes[64];

static uhttp_result short_create(void *user, const char *path, void **file)
{
    (void)user;
    (void)path;
    *file = written_path;
    return UHTTP_OK;
}

static uhttp_result short_write(void *user, void *file, const void *data, size_t length)
{
    (void)user;
    (void)file;
    snprintf(written_bytes, sizeof written_bytes, "%.*s", (int)length, (const char *)data);
    return UHTTP_OK;
}

static uhttp_result short_finish(void *user, void *file, const char *written, const char *path)
{
    (void)user;
    (void)file;
    (void)written;
    snprintf(written_path, sizeof written_path, "%s", path != NULL ? path : "discarded");
    return UHTTP_OK;
}

static const uhttp_files short_files = { NULL, short_open, short_read, short_close, short_create,
                                         short_write, short_finish };

static void short_app(uhttp_conn *c)
{
    if (uhttp_event(c) == UHTTP_EVENT_REQUEST && strcmp(uhttp_path(c), "/upload") == 0)
        assert_ok(uhttp_accept_body_to_file(c, (const char *)uhttp_body(c, NULL), 0));
    else if (uhttp_event(c) == UHTTP_EVENT_COMPLETE || strcmp(uhttp_path(c), "/file") != 0)
        assert_ok(uhttp_respond_text(c, 200, "done"));
    else
        assert_ok(uhttp_respond_file(c, "f", NULL));
}

static void an_entity_tag_is_used_while_its_file_is_open(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    config.files = &short_files;
    loop_open(&config);
    loop.handler = short_app;
    client *c = client_connect();
    assert_int_equal(client_ask(c, GET("/file")), 200);
    assert_string_equal(client_field(c, "ETag"), "\"this-version\"");
    assert_int_equal(client_ask(c, "GET /file" HOST "If-None-Match: \"this-version\"\r\n\r\n"),
                     304);
    assert_string_equal(client_field(c, "ETag"), "\"this-version\"");
    assert_int_equal(client_ask(c, "GET /file" HOST "Range: bytes=50-\r\n\r\n"), 416);
}

/* The path may be a string of the request's, also its body; what follows that is no part of it. */
static void a_path_may_be_the_body_that_is_accepted(void **state)
{
    static char text[3000];
    (void)state;
    uhttp_config config = loop_config();
    config.files = &short_files;
    config.event_mode = true;
    loop_open(&config);
    loop.handler = short_app;
    client *c = client_connect();
    size_t n = (size_t)snprintf(text, sizeof text, "%s/tmp/abcGET /", POST("/upload", "8"));
    memset(text + n, 'b', 1800);
    snprintf(text + n + 1800, sizeof text - n - 1800, "%s\r\n", HOST);
    client_send(c, text);
    assert_int_equal(client_answer(c), 200);
    assert_string_equal(written_path, "/tmp/abc");
    assert_string_equal(written_bytes, "/tmp/abc");
    assert_int_equal(client_answer(c), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILES_TEST(a_large_file_arrives_as_it_is_without_a_copy),
        FILES_TEST_PLAIN(where_sendfile_does_not_work_the_file_is_read,
                         "over TLS every file is read")
        FILES_TEST(a_small_file_is_one_send_with_its_head),
        FILES_TEST(a_file_cut_short_on_its_way_ends_the_connection),
        FILES_TEST(of_a_file_that_grows_no_more_is_sent_than_announced),
        FILES_TEST(a_replaced_or_removed_file_goes_on_as_it_was),
        FILES_TEST(a_peer_that_resets_costs_neither_a_signal_nor_a_descriptor),
        FILES_TEST(slow_readers_hold_little_memory_and_nobody_waits_for_them),
        FILES_TEST(a_file_beyond_4_GiB_has_all_its_ranges),
        FILES_TEST(links_never_lead_out_of_the_root),
        FILES_TEST(a_root_may_be_a_link_or_relative),
        FILES_TEST(a_file_the_program_names_may_be_anywhere),
        FILES_TEST(without_descriptors_the_answer_is_503),
        FILES_TEST(a_body_replaces_its_file_at_once),
        FILES_TEST(a_large_body_arrives_in_its_file),
        FILES_TEST(a_name_in_no_directory_is_an_error),
        FILES_TEST(a_full_disk_is_507_and_leaves_nothing),
        FILES_TEST(an_upload_broken_off_leaves_nothing),
        FILES_TEST(a_relative_path_stays_good_when_the_program_changes_its_directory),
        FILES_TEST(a_file_and_its_name_are_on_the_disk_when_it_is_complete),
        FILES_TEST(a_root_is_opened_once_for_each_request),
        FILES_TEST(files_beyond_2_gib_are_found_below_a_directory),
        LOOP_TEST(chunks_of_files_are_larger_on_the_heap),
        LOOP_TEST(an_entity_tag_is_used_while_its_file_is_open),
        LOOP_TEST(a_path_may_be_the_body_that_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
