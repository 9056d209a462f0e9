/* Section 11 over peers made of byte arrays and files made of byte arrays.
 *
 *   1 answers      which status, which fields, which bytes
 *   2 paths        everything that leads, or seems to lead, out of a directory
 *   3 bottlenecks  the same answers through every narrow place
 *   4 accidents    files that change, peers that leave, memory that is missing
 *   5 uploads      a request's body into a file, and what may fail on the way
 */
#include "memory_transport.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof *(table))

/*--- a file system -----------------------------------------------------------------------*/

#define OLD   1600000000        /* Sun, 13 Sep 2020 12:26:40 GMT */
#define ETAG  "\"000000000b-05f5e100000000005\""
#define BIG   100000u

typedef struct disk_file {
    const char *path;
    const char *text;           /* NULL: the pattern */
    uint64_t size;              /* 0: of the text */
    int64_t modified;
    uhttp_result result;        /* of opening it */
    bool is_dir, in_memory;
    const char *etag, *type;
} disk_file;

static char disk_pattern[BIG];

static const disk_file disk[] = {
    { "/srv/index.html",      "<p>root",     0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/a.txt",           "hello world", 0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/b\xc3\xa4r.txt",  "umlaut",      0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/%2e%2e",          "literally",   0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/big.bin",         NULL,        BIG, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/rom.bin",         NULL,        BIG, OLD, UHTTP_OK, false, true,  NULL, NULL },
    { "/srv/empty.txt",       "",            0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/new.txt",         "hot",         0, WORLD_TIME - 1, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/future.txt",      "soon",        0, WORLD_TIME + 99, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/notime.txt",      "when",        0, 0,   UHTTP_OK, false, false, NULL, NULL },
    { "/srv/tagged",          "v1",          0, 0,   UHTTP_OK, false, false, "rev-1", "text/x-v" },
    { "/srv/badtag",          "v1",          0, OLD, UHTTP_OK, false, false, "a\"b", NULL },
    { "/srv/app.js",          "plain js",    0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/app.js.gz",       "GZIPPED",     0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/only.css.gz",     "ONLYGZ",      0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/secret.css.gz",   "no",          0, OLD, UHTTP_ERR_DENIED, false, false, NULL, NULL },
    { "/srv/busy.css.gz",     "no",          0, OLD, UHTTP_ERR_MEMORY, false, false, NULL, NULL },
    { "/srv/odd.txt",         "odd",         0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/odd.txt.gz",      NULL,          0, OLD, UHTTP_OK, true,  false, NULL, NULL },
    { "/srv/dir",             NULL,          0, OLD, UHTTP_OK, true,  false, NULL, NULL },
    { "/srv/dir/",            NULL,          0, OLD, UHTTP_OK, true,  false, NULL, NULL },
    { "/srv/dir/index.html",  "<p>dir",      0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/srv/d\xc3\xa4",      NULL,          0, OLD, UHTTP_OK, true,  false, NULL, NULL },
    { "/srv/bare",            NULL,          0, OLD, UHTTP_OK, true,  false, NULL, NULL },
    { "/srv/bare/",           NULL,          0, OLD, UHTTP_OK, true,  false, NULL, NULL },
    { "/srv/strange/index.html", NULL,       0, OLD, UHTTP_OK, true,  false, NULL, NULL },
    { "/srv/denied.txt",      "no",          0, OLD, UHTTP_ERR_DENIED, false, false, NULL, NULL },
    { "/srv/busy.txt",        "no",          0, OLD, UHTTP_ERR_MEMORY, false, false, NULL, NULL },
    { "/srv/.hidden",         "hidden",      0, OLD, UHTTP_OK, false, false, NULL, NULL },
    { "/etc/passwd",          "root",        0, OLD, UHTTP_OK, false, false, NULL, NULL },
};

static int disk_handles;                /* open now */
static int disk_most = INT_MAX;         /* that may be */
static unsigned disk_opens, disk_reads;
static bool disk_out_of_root;           /* a path below a root was not checked */
static uint64_t disk_ends_at;           /* files have become this short, or long */
static size_t disk_bite;                /* most that one read gives; 0: all */

static const char *disk_text(const disk_file *f) { return f->text != NULL ? f->text : disk_pattern; }

static uint64_t disk_size(const disk_file *f)
{
    return f->size > 0 || f->is_dir ? f->size : strlen(f->text);
}

static uhttp_result disk_open(void *user, const char *path, const char *root, void **file,
                              uhttp_file_info *info)
{
    uhttp_file_info zero;
    memset(&zero, 0, sizeof zero);
    CHECK(user == disk_pattern && memcmp(info, &zero, sizeof zero) == 0);
    disk_opens++;
    if (root != NULL) {
        const char *name = path + strlen(root) + 1;
        bool good = strncmp(path, root, strlen(root)) == 0 && name[-1] == '/';
        good = good && strstr(name, "..") == NULL && name[0] != '/' && strchr(name, '\\') == NULL;
        disk_out_of_root = disk_out_of_root || !good;
    }
    for (size_t i = 0; i < COUNT(disk); i++) {
        const disk_file *f = &disk[i];
        if (strcmp(f->path, path) != 0)
            continue;
        if (f->result != UHTTP_OK)
            return f->result;
        if (!f->in_memory && disk_handles == disk_most)
            return UHTTP_ERR_MEMORY;
        info->size = disk_size(f);
        info->modified = f->modified;
        info->modified_ns = f->modified == OLD ? 5 : 0;
        info->is_dir = f->is_dir;
        info->etag = f->etag;
        info->type = f->type;
        info->data = f->in_memory ? disk_pattern : NULL;
        *file = (void *)(uintptr_t)f;
        disk_handles += f->in_memory ? 0 : 1;
        return UHTTP_OK;
    }
    return UHTTP_ERR_SYSTEM;
}

static size_t disk_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    const disk_file *f = (const disk_file *)file;
    CHECK(user == disk_pattern && disk_handles > 0 && length > 0 && !f->is_dir);
    CHECK(offset + length <= disk_size(f));
    disk_reads++;
    if (offset >= disk_ends_at)
        return 0;
    size_t n = peer_least(length, (size_t)(disk_ends_at - offset));
    if (disk_bite > 0)
        n = peer_least(n, disk_bite);
    memcpy(to, disk_text(f) + offset, n);
    return n;
}

static void disk_close(void *user, void *file)
{
    CHECK(user == disk_pattern && file != NULL && disk_handles > 0);
    disk_handles--;
}

static uhttp_result disk_create(void *user, const char *path, void **file);
static uhttp_result disk_write(void *user, void *file, const void *data, size_t length);
static uhttp_result disk_finish(void *user, void *file, const char *written, const char *path);

static const uhttp_files disk_hooks = {
    disk_pattern, disk_open, disk_read, disk_close, disk_create, disk_write, disk_finish
};

/*--- one request and its answer --------------------------------------------------------------*/

typedef struct how {            /* the way an answer takes */
    size_t buffer;              /* of fixed memory; 0: the heap */
    size_t chunk, gulp, bite, window;
    unsigned stalls;
    bool waits;
} how;

static void (*program)(uhttp_conn *c);
static char log_line[200];
static uhttp_access access_last;
static unsigned access_count;

static void on_log(void *user, const char *line)
{
    (void)user;
    snprintf(log_line, sizeof log_line, "%s", line);
}

static void on_access(void *user, const uhttp_access *entry)
{
    (void)user;
    access_last = *entry;
    access_count++;
}

static void disk_reset(void)
{
    disk_handles = 0;
    disk_opens = disk_reads = access_count = 0;
    disk_out_of_root = false;
    disk_ends_at = UINT64_MAX;
    disk_bite = 0;
    log_line[0] = '\0';
    for (unsigned i = 0; i < BIG; i++)
        disk_pattern[i] = (char)('!' + (i * 7 + i / 90) % 90);
}

static uhttp_config files_config(void)
{
    uhttp_config config = world_config();
    config.files = &disk_hooks;
    config.log = on_log;
    config.access_log = on_access;
    return config;
}

static void serve(uhttp_conn *c)
{
    CHECK(uhttp_serve_dir(c, "/srv", "/") == UHTTP_OK);
}

static void serve_hidden(uhttp_conn *c)
{
    uhttp_file_options options;
    memset(&options, 0, sizeof options);
    options.hidden = true;
    options.no_gzip = true;
    options.cache_control = "max-age=60";
    CHECK(uhttp_serve_dir_with(c, "/srv", "/static/", &options) == UHTTP_OK);
}

static void serve_listing(uhttp_conn *c)
{
    uhttp_file_options options;
    memset(&options, 0, sizeof options);
    options.list = true;
    uhttp_result result = uhttp_serve_dir_with(c, "/srv", "/", &options);
    if (result == UHTTP_ERR_UNSUPPORTED)
        result = uhttp_respond_text(c, 200, "a listing");
    CHECK(result == UHTTP_OK);
}

static void respond_a(uhttp_conn *c)
{
    CHECK(uhttp_respond_file(c, "/srv/a.txt", NULL) == UHTTP_OK);
}

/* Lets the program answer what comes, and a slow peer take it bit by bit. */
static void run(peer *p, size_t window)
{
    for (;;) {
        uhttp_conn *c = world_next();
        if (c != NULL)
            program(c);
        else if (p->window == 0 && !p->closed)
            p->window = window;
        else
            return;
    }
}

/* Opens the world, lets a peer say something, and leaves both open. */
static peer *begin(const char *request, const how *way)
{
    uhttp_config config = files_config();
    config.file_chunk_size = way->chunk;
    disk_reset();
    disk_bite = way->bite;
    world_open(&config, way->buffer);
    world_waits = way->waits;
    peer *p = world_peer();
    p->gulp = way->gulp;
    p->stalls = way->stalls;
    p->window = way->window > 0 ? way->window : SIZE_MAX;
    CHECK(world_accept(p));
    peer_says(p, request);
    return p;
}

static void finish(void)
{
    world_close();
    CHECK(disk_handles == 0);
    CHECK(!disk_out_of_root);
}

static char answer_bytes[ANSWER_BODY];
static const how easy = { 0, 0, 0, 0, 0, 0, false };
static how the_way = { 0, 0, 0, 0, 0, 0, false };

/* Asks and takes the one answer apart; its slices lie in text, which the caller frees. */
static answer ask(const char *method, const char *target, const char *fields, char **text)
{
    char request[2048];
    answer a;
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method,
                     target, fields);
    CHECK(n > 0 && (size_t)n < sizeof request);
    snprintf(world_what, sizeof world_what, "%.200s", request);
    peer *p = begin(request, &the_way);
    run(p, the_way.window);
    *text = (char *)malloc(p->out_length + 1);
    CHECK(*text != NULL);
    memcpy(*text, p->out, p->out_length);
    uhttp_str said = uh_text_slice(*text, *text + p->out_length);
    a.body = answer_bytes;
    bool head = strcmp(method, "HEAD") == 0;
    CHECK(answer_next(&said, head ? ANSWER_TO_HEAD : ANSWER_PLAIN, &a) == ANSWER_WHOLE);
    CHECK(said.len == 0 && a.dated);
    CHECK(!p->closed);              /* kept alive, whatever the answer */
    CHECK(access_count == 1 && access_last.status == a.status);
    CHECK(access_last.bytes == (head ? 0 : a.body_length));
    finish();
    return a;
}

static bool answer_says(const answer *a, const char *line)
{
    size_t length = strlen(line);
    for (size_t i = 0; i + length <= a->fields.len; i++) {
        if (memcmp(a->fields.ptr + i, line, length) == 0)
            return true;
    }
    return false;
}

static bool body_is(const answer *a, const char *text, size_t length)
{
    return a->body_length == length && memcmp(a->body, text, length) == 0;
}

/*==============================================================================
 * 1 ANSWERS
 *============================================================================*/

typedef struct ask_case {
    void (*program)(uhttp_conn *c);
    const char *method, *target, *fields;
    int status;
    const char *has[4];         /* lines, or parts of them */
    const char *lacks;
    const char *body;           /* NULL: not looked at, or of the pattern */
    unsigned first, length;     /* of the pattern */
} ask_case;

#define LM "Last-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\n"

static const ask_case answers[] = {
    { serve, "GET", "/a.txt", "", 200,
      { "ETag: " ETAG "\r\n", LM, "Accept-Ranges: bytes\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n" }, "Vary", "hello world", 0, 0 },
    { serve, "GET", "/", "", 200, { "text/html" }, NULL, "<p>root", 0, 0 },
    { serve, "GET", "/a.txt?x=/../y", "", 200, { LM }, NULL, "hello world", 0, 0 },
    { serve, "GET", "/%61.t%78t", "", 200, { LM }, NULL, "hello world", 0, 0 },
    { serve, "GET", "http://other/a.txt", "", 200, { LM }, NULL, "hello world", 0, 0 },
    { serve, "GET", "/b%C3%A4r.txt", "", 200, { LM }, NULL, "umlaut", 0, 0 },
    { serve, "GET", "/big.bin", "", 200, { "application/octet-stream" }, NULL, NULL, 0, BIG },
    { serve, "GET", "/rom.bin", "", 200, { LM }, NULL, NULL, 0, BIG },
    { serve, "GET", "/empty.txt", "", 200, { "Content-Length: 0\r\n" }, NULL, "", 0, 0 },
    { serve, "GET", "/new.txt", "", 200, { "ETag: W/\"" }, NULL, "hot", 0, 0 },
    { serve, "GET", "/future.txt", "", 200, { "ETag: W/\"" }, "Last-Modified", "soon", 0, 0 },
    { serve, "GET", "/notime.txt", "", 200, { "Accept-Ranges" }, "ETag", "when", 0, 0 },
    { serve, "GET", "/tagged", "", 200, { "ETag: \"rev-1\"\r\n", "Content-Type: text/x-v\r\n" },
      "Last-Modified", "v1", 0, 0 },
    { serve, "GET", "/badtag", "", 200, { LM }, "ETag", "v1", 0, 0 },
    { serve, "GET", "/none.txt", "", 404, { "text/plain" }, "ETag", "404 Not Found\n", 0, 0 },
    { serve, "GET", "/denied.txt", "", 403, { NULL }, NULL, "403 Forbidden\n", 0, 0 },
    { serve, "GET", "/busy.txt", "", 503, { NULL }, NULL, NULL, 0, 0 },
    { serve, "GET", "/a.txt/", "", 404, { NULL }, NULL, NULL, 0, 0 },

    /* directories */
    { serve, "GET", "/dir/", "", 200, { "text/html" }, NULL, "<p>dir", 0, 0 },
    { serve, "GET", "/dir", "", 301, { "Location: /dir/\r\n" }, NULL, "301 Moved Permanently\n", 0, 0 },
    { serve, "GET", "/dir?a=b&c=%2F", "", 301, { "Location: /dir/?a=b&c=%2F\r\n" }, NULL, "301 Moved Permanently\n", 0, 0 },
    { serve, "GET", "/d%69r", "", 301, { "Location: /d%69r/\r\n" }, NULL, "301 Moved Permanently\n", 0, 0 },
    { serve, "GET", "/d\xc3\xa4?\xff", "", 301, { "Location: /d%c3%a4/?%ff\r\n" }, NULL, "301 Moved Permanently\n", 0, 0 },
    { serve, "GET", "http://a/dir?x", "", 301, { "Location: /dir/?x\r\n" }, NULL, "301 Moved Permanently\n", 0, 0 },
    { serve, "HEAD", "/dir", "", 301, { "Location: /dir/\r\n" }, NULL, "", 0, 0 },
    { serve, "GET", "/bare/", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve, "GET", "/bare", "", 301, { "Location: /bare/\r\n" }, NULL, NULL, 0, 0 },
    { serve, "GET", "/strange/", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve_listing, "GET", "/bare/", "", 200, { NULL }, NULL, "a listing", 0, 0 },
    { serve_listing, "GET", "/bare", "", 301, { "Location: /bare/\r\n" }, NULL, NULL, 0, 0 },
    { serve_listing, "GET", "/dir/", "", 200, { NULL }, NULL, "<p>dir", 0, 0 },
    { serve_listing, "GET", "/nodir/", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve_listing, "GET", "/a.txt/", "", 404, { NULL }, NULL, NULL, 0, 0 },

    /* methods */
    { serve, "HEAD", "/a.txt", "", 200, { "Content-Length: 11\r\n", "ETag: " ETAG }, NULL, "", 0, 0 },
    { serve, "HEAD", "/none.txt", "", 404, { NULL }, NULL, "", 0, 0 },
    { serve, "POST", "/a.txt", "Content-Length: 0\r\n", 405, { "Allow: GET, HEAD\r\n" }, NULL, NULL, 0, 0 },
    { serve, "DELETE", "/none.txt", "", 405, { "Allow: GET, HEAD\r\n" }, NULL, NULL, 0, 0 },
    { serve, "OPTIONS", "*", "", 405, { "Allow: GET, HEAD\r\n" }, NULL, NULL, 0, 0 },
    { serve, "get", "/a.txt", "", 405, { NULL }, NULL, NULL, 0, 0 },
    { respond_a, "POST", "/x", "Content-Length: 0\r\nIf-None-Match: *\r\nRange: bytes=0-0\r\n",
      200, { "ETag: " ETAG }, NULL, "hello world", 0, 0 },
    { respond_a, "GET", "/x", "Range: bytes=0-0\r\n", 206, { "Content-Range: bytes 0-0/11\r\n" }, NULL, "h", 0, 0 },

    /* options */
    { serve_hidden, "GET", "/static/.hidden", "", 200, { "Cache-Control: max-age=60\r\n" }, NULL, "hidden", 0, 0 },
    { serve_hidden, "GET", "/static/app.js", "Accept-Encoding: gzip\r\n", 200, { LM }, "Vary", "plain js", 0, 0 },
    { serve_hidden, "GET", "/static/none", "", 404, { NULL }, "Cache-Control", NULL, 0, 0 },
    { serve_hidden, "GET", "/static", "", 301, { "Location: /static/\r\n" }, NULL, NULL, 0, 0 },
    { serve_hidden, "GET", "/static/", "", 200, { NULL }, NULL, "<p>root", 0, 0 },
    { serve_hidden, "GET", "/statica.txt", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve_hidden, "GET", "/a.txt", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve_hidden, "GET", "/static/a.txt", "If-None-Match: *\r\n", 304,
      { "Cache-Control: max-age=60\r\n", "ETag: " ETAG "\r\n" }, "Content-", "", 0, 0 },

    /* codings */
    { serve, "GET", "/app.js", "", 200, { "Vary: Accept-Encoding\r\n", "Content-Length: 8\r\n" }, "Content-Encoding", "plain js", 0, 0 },
    { serve, "GET", "/app.js", "Accept-Encoding: gzip\r\n", 200,
      { "Vary: Accept-Encoding\r\n", "Content-Encoding: gzip\r\n", "text/javascript", "-gz\"\r\n" }, NULL, "GZIPPED", 0, 0 },
    { serve, "GET", "/app.js", "Accept-Encoding: gzip;q=0\r\n", 200, { "Vary" }, "Content-Encoding", "plain js", 0, 0 },
    { serve, "HEAD", "/app.js", "Accept-Encoding: gzip\r\n", 200, { "Content-Length: 7\r\n", "Content-Encoding: gzip\r\n" }, NULL, "", 0, 0 },
    { serve, "GET", "/app.js", "Accept-Encoding: gzip\r\nRange: bytes=1-2\r\n", 206,
      { "Content-Range: bytes 1-2/7\r\n", "Content-Encoding: gzip\r\n", "Vary" }, NULL, "ZI", 0, 0 },
    { serve, "GET", "/app.js", "Accept-Encoding: gzip\r\nIf-None-Match: \"0000000007-05f5e100000000005-gz\"\r\n",
      304, { "Vary: Accept-Encoding\r\n" }, "Content-Encoding", "", 0, 0 },
    { serve, "GET", "/app.js", "If-None-Match: \"0000000007-05f5e100000000005-gz\"\r\n", 200, { "Vary" }, NULL, "plain js", 0, 0 },
    { serve, "GET", "/app.js.gz", "Accept-Encoding: gzip\r\n", 200, { "Content-Type: application/gzip\r\n" }, "Content-Encoding", "GZIPPED", 0, 0 },
    { serve, "GET", "/only.css", "Accept-Encoding: gzip\r\n", 200, { "Content-Encoding: gzip\r\n", "text/css" }, NULL, "ONLYGZ", 0, 0 },
    { serve, "GET", "/app.js", "Accept-Encoding: br\r\naccept-encoding: gzip\r\n", 200, { "Content-Encoding: gzip\r\n" }, NULL, "GZIPPED", 0, 0 },
    { serve, "GET", "/app.js", "Accept-Encoding: gzip;q=0.5\r\nAccept-Encoding: ,identity\r\n", 200, { "Vary" }, "Content-Encoding", "plain js", 0, 0 },
    { serve, "GET", "/app.js", "Accept-Encoding:\r\nAccept-Encoding: ,,gzip,\r\n", 200, { "Content-Encoding: gzip\r\n" }, NULL, "GZIPPED", 0, 0 },
    { serve, "GET", "/only.css", "", 200, { "Content-Encoding: gzip\r\n", "Vary: Accept-Encoding\r\n" }, NULL, "ONLYGZ", 0, 0 },
    { serve, "GET", "/only.css", "Accept-Encoding: identity, gzip;q=0.5\r\n", 200, { "Content-Encoding: gzip\r\n" }, NULL, "ONLYGZ", 0, 0 },
    { serve, "GET", "/only.css", "Accept-Encoding: gzip;q=0.5, *\r\n", 200, { "Content-Encoding: gzip\r\n" }, NULL, "ONLYGZ", 0, 0 },
    { serve, "GET", "/only.css", "Accept-Encoding: identity\r\nAccept-Encoding: *;q=0.1\r\n", 200, { "Content-Encoding: gzip\r\n" }, NULL, "ONLYGZ", 0, 0 },
    { serve, "GET", "/only.css", "Accept-Encoding: identity\r\n", 406, { NULL }, "Content-Encoding", NULL, 0, 0 },
    { serve, "GET", "/only.css", "Accept-Encoding: gzip;q=0, *\r\n", 406, { NULL }, "Content-Encoding", NULL, 0, 0 },
    { serve, "GET", "/only.css", "Accept-Encoding:\r\n", 406, { NULL }, "Content-Encoding", NULL, 0, 0 },
    { serve, "GET", "/a.txt", "If-None-Match: \"x\",,\r\nIf-None-Match: , " ETAG "\r\n", 304, { NULL }, NULL, "", 0, 0 },
    { serve, "GET", "/a.txt", "If-Match: \"x\"\r\nIf-Match: ," ETAG ",\r\n", 200, { NULL }, NULL, NULL, 0, 0 },
    { serve, "GET", "/a.txt", "Range: bytes=,0-0,\r\n", 206, { NULL }, NULL, "h", 0, 0 },
    { serve, "GET", "/odd.txt", "Accept-Encoding: gzip\r\n", 200, { LM }, "Vary", "odd", 0, 0 },

    /* ranges */
    { serve, "GET", "/big.bin", "Range: bytes=500-999\r\n", 206, { "Content-Range: bytes 500-999/100000\r\n", "Content-Length: 500\r\n" }, NULL, NULL, 500, 500 },
    { serve, "GET", "/big.bin", "Range: bytes=99990-\r\n", 206, { "Content-Range: bytes 99990-99999/100000\r\n" }, NULL, NULL, 99990, 10 },
    { serve, "GET", "/big.bin", "Range: bytes=-5\r\n", 206, { "Content-Range: bytes 99995-99999/100000\r\n" }, NULL, NULL, 99995, 5 },
    { serve, "GET", "/big.bin", "Range: bytes=10-2000000\r\n", 206, { "Content-Range: bytes 10-99999/100000\r\n" }, NULL, NULL, 10, BIG - 10 },
    { serve, "GET", "/rom.bin", "Range: bytes=777-5777\r\n", 206, { "Content-Range: bytes 777-5777/100000\r\n" }, NULL, NULL, 777, 5001 },
    { serve, "GET", "/big.bin", "Range: bytes=0-1,5-6\r\n", 200, { "Content-Length: 100000\r\n" }, "Content-Range", NULL, 0, BIG },
    { serve, "GET", "/big.bin", "Range: bytes=0-1\r\nRange: bytes=5-6\r\n", 200, { NULL }, "Content-Range", NULL, 0, BIG },
    { serve, "GET", "/a.txt", "Range: lines=1-2\r\n", 200, { NULL }, "Content-Range", "hello world", 0, 0 },
    { serve, "GET", "/a.txt", "Range: bytes=11-\r\n", 416, { "Content-Range: bytes */11\r\n" }, NULL, "416 Range Not Satisfiable\n", 0, 0 },
    { serve, "GET", "/empty.txt", "Range: bytes=0-\r\n", 416, { "Content-Range: bytes */0\r\n" }, NULL, NULL, 0, 0 },
    { serve, "GET", "/empty.txt", "Range: bytes=-1\r\n", 200, { "Content-Length: 0\r\n" }, NULL, "", 0, 0 },
    { serve, "HEAD", "/a.txt", "Range: bytes=0-0\r\n", 200, { "Content-Length: 11\r\n" }, "Content-Range", "", 0, 0 },
    { serve, "HEAD", "/a.txt", "Range: bytes=99-\r\n", 200, { "Content-Length: 11\r\n" }, "Content-Range", "", 0, 0 },
};

static void ask_one(const ask_case *one)
{
    char *text;
    program = one->program;
    answer a = ask(one->method, one->target, one->fields, &text);
    CHECK(a.status == one->status);
    for (size_t i = 0; i < COUNT(one->has); i++)
        CHECK(one->has[i] == NULL || answer_says(&a, one->has[i]));
    CHECK(one->lacks == NULL || !answer_says(&a, one->lacks));
    CHECK(one->body == NULL || body_is(&a, one->body, strlen(one->body)));
    CHECK(one->length == 0 || body_is(&a, disk_pattern + one->first, one->length));
    CHECK(strcmp(one->method, "HEAD") != 0 || disk_reads == 0);
    free(text);
}

static void files_are_answered_with_their_fields_and_bytes(void **state)
{
    (void)state;
    the_way = easy;
    for (size_t i = 0; i < COUNT(answers); i++)
        ask_one(&answers[i]);
}

#define EARLIER "Sun, 13 Sep 2020 12:26:39 GMT"
#define EQUAL   "Sun, 13 Sep 2020 12:26:40 GMT"
#define LATER   "Sun, 13 Sep 2020 12:26:41 GMT"

/* All of RFC 9110 section 13.2.2, of /a.txt. */
static const struct { const char *fields; int status; } conditions[] = {
    { "If-Match: " ETAG "\r\n", 200 },
    { "If-Match: *\r\n", 200 },
    { "If-Match: \"x\"\r\n", 412 },
    { "If-Match: W/" ETAG "\r\n", 412 },                    /* strong comparison */
    { "If-Match: \"x\", " ETAG "\r\n", 200 },
    { "If-Match: \"x\"\r\nIf-Match: " ETAG "\r\n", 200 },   /* two lines, one list */
    { "If-Match: x\r\n", 412 },
    { "If-Match: \r\n", 412 },
    { "If-Match: " ETAG "\r\nIf-Unmodified-Since: " EARLIER "\r\n", 200 },
    { "If-Match: \"x\"\r\nIf-Unmodified-Since: " LATER "\r\n", 412 },
    { "If-Unmodified-Since: " EARLIER "\r\n", 412 },
    { "If-Unmodified-Since: " EQUAL "\r\n", 200 },
    { "If-Unmodified-Since: " LATER "\r\n", 200 },
    { "If-Unmodified-Since: yesterday\r\n", 200 },
    { "If-None-Match: " ETAG "\r\n", 304 },
    { "If-None-Match: W/" ETAG "\r\n", 304 },               /* weak comparison */
    { "If-None-Match: *\r\n", 304 },
    { "If-None-Match: \"x\"\r\n", 200 },
    { "If-None-Match: \"x\", " ETAG "\r\n", 304 },
    { "If-None-Match: \"x\"\r\nIf-None-Match: " ETAG "\r\n", 304 },
    { "If-None-Match: \"x\"\r\nIf-Modified-Since: " LATER "\r\n", 200 },    /* only the first */
    { "If-None-Match: " ETAG "\r\nIf-Modified-Since: " EARLIER "\r\n", 304 },
    { "If-Modified-Since: " EARLIER "\r\n", 200 },
    { "If-Modified-Since: " EQUAL "\r\n", 304 },
    { "If-Modified-Since: " LATER "\r\n", 304 },
    { "If-Modified-Since: Sunday, 13-Sep-20 12:26:40 GMT\r\n", 304 },
    { "If-Modified-Since: Sun Sep 13 12:26:40 2020\r\n", 304 },
    { "If-Modified-Since: 1600000001\r\n", 200 },
    { "If-Modified-Since: " LATER "\r\nIf-Modified-Since: " LATER "\r\n", 200 },
    { "If-Match: \"x\"\r\nIf-None-Match: " ETAG "\r\n", 412 },
    { "If-Match: " ETAG "\r\nIf-None-Match: " ETAG "\r\n", 304 },
    { "If-Unmodified-Since: " EARLIER "\r\nIf-None-Match: " ETAG "\r\n", 412 },
    { "If-Unmodified-Since: " LATER "\r\nIf-Modified-Since: " LATER "\r\n", 304 },
    { "If-Unmodified-Since: " LATER "\r\nIf-Modified-Since: " EARLIER "\r\n", 200 },
    { "Range: bytes=0-4\r\n", 206 },
    { "Range: bytes=0-4\r\nIf-None-Match: " ETAG "\r\n", 304 },
    { "Range: bytes=0-4\r\nIf-Match: \"x\"\r\n", 412 },
    { "Range: bytes=0-4\r\nIf-Range: " ETAG "\r\n", 206 },
    { "Range: bytes=0-4\r\nIf-Range: \"x\"\r\n", 200 },
    { "Range: bytes=0-4\r\nIf-Range: W/" ETAG "\r\n", 200 },
    { "Range: bytes=0-4\r\nIf-Range: " ETAG ", \"x\"\r\n", 200 },
    { "Range: bytes=0-4\r\nIf-Range: *\r\n", 200 },
    { "Range: bytes=0-4\r\nIf-Range: \r\n", 200 },
    { "Range: bytes=0-4\r\nIf-Range: " EQUAL "\r\n", 206 },
    { "Range: bytes=0-4\r\nIf-Range: " LATER "\r\n", 200 },     /* exactly this, or not */
    { "Range: bytes=0-4\r\nIf-Range: " EARLIER "\r\n", 200 },
    { "Range: bytes=0-4\r\nIf-Range: " ETAG "\r\nIf-Range: " ETAG "\r\n", 200 },
    { "Range: bytes=99-\r\n", 416 },
    { "Range: bytes=99-\r\nIf-Range: \"x\"\r\n", 200 },
    { "Range: bytes=99-\r\nIf-Range: " ETAG "\r\n", 416 },
    { "Range: bytes=99-\r\nIf-None-Match: " ETAG "\r\n", 304 },
    { "If-Range: " ETAG "\r\n", 200 },
};

static void conditions_are_judged_in_the_order_of_the_rfc(void **state)
{
    (void)state;
    the_way = easy;
    program = serve;
    for (size_t i = 0; i < COUNT(conditions); i++) {
        char *text;
        answer a = ask("GET", "/a.txt", conditions[i].fields, &text);
        CHECK(a.status == conditions[i].status);
        CHECK((a.status == 200) == body_is(&a, "hello world", 11));
        CHECK(a.status != 206 || body_is(&a, "hello", 5));
        CHECK(a.status == 412 || a.status == 416 || answer_says(&a, "ETag: " ETAG "\r\n"));
        free(text);
        a = ask("HEAD", "/a.txt", conditions[i].fields, &text);     /* the same but for ranges */
        bool range = conditions[i].status == 206 || conditions[i].status == 416;
        CHECK(a.status == (range ? 200 : conditions[i].status));
        free(text);
    }
}

/* A weak entity tag matches only weakly, a time that may still change not at all for a part. */
static void what_is_new_is_compared_weakly(void **state)
{
    (void)state;
    static const struct { const char *target, *fields; int status; } cases[] = {
        { "/new.txt", "If-None-Match: W/\"0000000003-06553f0ff00000000\"\r\n", 304 },
        { "/new.txt", "If-None-Match: \"0000000003-06553f0ff00000000\"\r\n", 304 },
        { "/new.txt", "If-Match: \"0000000003-06553f0ff00000000\"\r\n", 412 },
        { "/new.txt", "Range: bytes=0-0\r\n", 206 },
        { "/new.txt", "Range: bytes=0-0\r\nIf-Range: \"0000000003-06553f0ff00000000\"\r\n", 200 },
        { "/new.txt", "Range: bytes=0-0\r\nIf-Range: Tue, 14 Nov 2023 22:13:19 GMT\r\n", 200 },
        { "/new.txt", "If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT\r\n", 304 },
        { "/notime.txt", "If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT\r\n", 200 },
        { "/notime.txt", "If-Unmodified-Since: Tue, 14 Nov 2000 22:13:19 GMT\r\n", 200 },
        { "/notime.txt", "If-None-Match: \"\"\r\n", 200 },
        { "/notime.txt", "If-None-Match: *\r\n", 304 },
        { "/notime.txt", "Range: bytes=0-0\r\nIf-Range: \"\"\r\n", 200 },
        { "/tagged", "If-None-Match: \"rev-1\"\r\n", 304 },
        { "/tagged", "Range: bytes=0-0\r\nIf-Range: \"rev-1\"\r\n", 206 },
        { "/future.txt", "If-Modified-Since: Tue, 14 Nov 2033 22:13:19 GMT\r\n", 200 },
    };
    the_way = easy;
    program = serve;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text;
        answer a = ask("GET", cases[i].target, cases[i].fields, &text);
        CHECK(a.status == cases[i].status);
        free(text);
    }
}

static void serve_tagged(uhttp_conn *c)
{
    CHECK(uhttp_add_header(c, "ETag", "\"v1\"") == UHTTP_OK);
    serve(c);
}

static void serve_dated(uhttp_conn *c)
{
    CHECK(uhttp_add_header(c, "Last-Modified", "Tue, 14 Nov 2023 22:13:19 GMT") == UHTTP_OK);
    serve(c);
}

static void forget_listing(uhttp_conn *c)
{
    uhttp_file_options options;
    memset(&options, 0, sizeof options);
    options.list = true;
    CHECK(uhttp_serve_dir_with(c, "/srv", "/", &options) == UHTTP_ERR_UNSUPPORTED);
}

static void directory_that_nobody_lists_is_500(void **state)
{
    (void)state;
    program = forget_listing;
    peer *p = begin("GET /bare/ HTTP/1.1\r\nHost: a\r\n\r\n", &easy);
    run(p, 0);
    CHECK(peer_has(p, "HTTP/1.1 500 "));
    finish();
}

/* An entity tag that the program adds says nothing of the file's time, and the time that it adds
 * may be as new as a file's. */
static void added_validators_leave_a_new_time_weak(void **state)
{
    (void)state;
    static const struct {
        void (*program)(uhttp_conn *c);
        const char *target, *if_range;
        int status;
    } cases[] = {
        { serve_tagged, "/new.txt", "\"v1\"", 206 },
        { serve_tagged, "/new.txt", "Tue, 14 Nov 2023 22:13:19 GMT", 200 },
        { serve_tagged, "/a.txt", EQUAL, 206 },
        { serve_dated, "/a.txt", "Tue, 14 Nov 2023 22:13:19 GMT", 200 },
        { serve_dated, "/a.txt", ETAG, 206 },
    };
    the_way = easy;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text;
        char fields[200];
        program = cases[i].program;
        snprintf(fields, sizeof fields, "Range: bytes=0-0\r\nIf-Range: %s\r\n",
                 cases[i].if_range);
        answer a = ask("GET", cases[i].target, fields, &text);
        CHECK(a.status == cases[i].status);
        free(text);
    }
}

/* A .gz that is there and cannot be opened is not missing; and neither is opened beside the
 * other, where one handle is all there is. */
static void a_gz_needs_no_second_handle_and_says_why_it_fails(void **state)
{
    (void)state;
    static const struct { const char *target, *fields; int status; const char *body; } cases[] = {
        { "/busy.css", "Accept-Encoding: gzip\r\n", 503, NULL },
        { "/busy.css", "", 503, NULL },
        { "/secret.css", "Accept-Encoding: gzip\r\n", 403, NULL },
        { "/none.css", "Accept-Encoding: gzip\r\n", 404, NULL },
        { "/app.js", "", 200, "plain js" },
        { "/app.js", "Accept-Encoding: gzip\r\n", 200, "GZIPPED" },
        { "/only.css", "", 200, "ONLYGZ" },
        { "/only.css", "Accept-Encoding: br\r\n", 406, NULL },
        { "/odd.txt", "Accept-Encoding: gzip\r\n", 200, "odd" },
    };
    the_way = easy;
    program = serve;
    disk_most = 1;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text;
        answer a = ask("GET", cases[i].target, cases[i].fields, &text);
        CHECK(a.status == cases[i].status);
        CHECK(cases[i].body == NULL || body_is(&a, cases[i].body, strlen(cases[i].body)));
        free(text);
    }
    disk_most = INT_MAX;
}

/*--- ROM --------------------------------------------------------------------------------------*/

static const uhttp_rom_file rom[] = {
    { "index.html",     "<p>rom",     6,   "i1", NULL,        0   },
    { "app.js",         "plain",      5,   "j1", NULL,        OLD },
    { "app.js.gz",      "GZ",         2,   "j2", NULL,        OLD },
    { "only.css.gz",    "ONLY",       4,   "c1", NULL,        0   },
    { "img/logo.svg",   disk_pattern, BIG, "l1", NULL,        0   },
    { "img/index.html", "<p>img",     6,   NULL, "text/x",    0   },
    { "img.txt",        "no dir",     6,   NULL, NULL,        0   },
    { "empty",          NULL,         0,   NULL, NULL,        0   },
};

static void serve_rom(uhttp_conn *c)
{
    CHECK(uhttp_serve_rom(c, rom, COUNT(rom), "/ui/") == UHTTP_OK);
}

static const ask_case rom_answers[] = {
    { serve_rom, "GET", "/ui/", "", 200, { "ETag: \"i1\"\r\n", "text/html" }, "Last-Modified", "<p>rom", 0, 0 },
    { serve_rom, "GET", "/ui", "", 301, { "Location: /ui/\r\n" }, NULL, NULL, 0, 0 },
    { serve_rom, "GET", "/ui/app.js", "", 200, { "ETag: \"j1\"\r\n", LM, "Vary" }, NULL, "plain", 0, 0 },
    { serve_rom, "GET", "/ui/app.js", "Accept-Encoding: gzip\r\n", 200, { "ETag: \"j2\"\r\n", "Content-Encoding: gzip\r\n", "text/javascript" }, NULL, "GZ", 0, 0 },
    { serve_rom, "GET", "/ui/app.js", "Accept-Encoding: gzip\r\nIf-None-Match: \"j1\"\r\n", 200, { NULL }, NULL, "GZ", 0, 0 },
    { serve_rom, "GET", "/ui/app.js", "If-None-Match: \"j1\"\r\n", 304, { "ETag: \"j1\"\r\n" }, NULL, "", 0, 0 },
    { serve_rom, "GET", "/ui/only.css", "Accept-Encoding: gzip\r\n", 200, { "text/css", "Content-Encoding: gzip\r\n" }, NULL, "ONLY", 0, 0 },
    { serve_rom, "GET", "/ui/only.css", "", 200, { "Content-Encoding: gzip\r\n" }, NULL, "ONLY", 0, 0 },
    { serve_rom, "GET", "/ui/only.css", "Accept-Encoding: br\r\n", 406, { NULL }, NULL, NULL, 0, 0 },
    { serve_rom, "GET", "/ui/img/logo.svg", "", 200, { "image/svg+xml" }, NULL, NULL, 0, BIG },
    { serve_rom, "GET", "/ui/img/logo.svg", "Range: bytes=7-\r\nIf-Range: \"l1\"\r\n", 206, { "Content-Range: bytes 7-99999/100000\r\n" }, NULL, NULL, 7, BIG - 7 },
    { serve_rom, "HEAD", "/ui/img/logo.svg", "", 200, { "Content-Length: 100000\r\n" }, NULL, "", 0, 0 },
    { serve_rom, "GET", "/ui/img", "", 301, { "Location: /ui/img/\r\n" }, NULL, NULL, 0, 0 },
    { serve_rom, "GET", "/ui/img/", "", 200, { "Content-Type: text/x\r\n" }, "ETag", "<p>img", 0, 0 },
    { serve_rom, "GET", "/ui/img.txt", "", 200, { NULL }, NULL, "no dir", 0, 0 },
    { serve_rom, "GET", "/ui/im", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve_rom, "GET", "/ui/empty", "", 200, { "Content-Length: 0\r\n" }, NULL, "", 0, 0 },
    { serve_rom, "GET", "/ui/img/../index.html", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve_rom, "GET", "/app.js", "", 404, { NULL }, NULL, NULL, 0, 0 },
    { serve_rom, "PUT", "/ui/app.js", "Content-Length: 0\r\n", 405, { "Allow: GET, HEAD\r\n" }, NULL, NULL, 0, 0 },
};

static void files_in_rom_have_the_same_conditions_and_ranges(void **state)
{
    (void)state;
    the_way = easy;
    for (size_t i = 0; i < COUNT(rom_answers); i++) {
        ask_one(&rom_answers[i]);
        CHECK(disk_opens == 0);
    }
}

/*==============================================================================
 * 2 PATHS
 *============================================================================*/

/* Raw targets. Each is answered, and no file outside the root is looked at. looks: a name that
 * is odd but harmless, which is looked up. */
static const struct { const char *target; int status; bool looks; } traversal[] = {
    { "/../etc/passwd", 404, false },
    { "/..", 404, false },
    { "/../", 404, false },
    { "/.", 404, false },
    { "/./a.txt", 404, false },
    { "/dir/../a.txt", 404, false },
    { "/dir/../../etc/passwd", 404, false },
    { "/a.txt/..", 404, false },
    { "/a.txt/.", 404, false },
    { "/.../a.txt", 404, false },
    { "/..../a.txt", 404, false },
    { "/%2e%2e/etc/passwd", 404, false },
    { "/%2E%2E/etc/passwd", 404, false },
    { "/.%2e/etc/passwd", 404, false },
    { "/%2e./etc/passwd", 404, false },
    { "/..%2fetc%2fpasswd", 404, false },
    { "/%2e%2e%2fetc%2fpasswd", 404, false },
    { "/dir%2f..%2f..%2fetc/passwd", 404, false },
    { "/dir/%2e%2e/%2e%2e/etc/passwd", 404, false },
    { "/%252e%252e", 200, true },                   /* decoded once it is a name as any other */
    { "/%252e%252e/etc/passwd", 404, true },
    { "/%252e%252e%252fetc%252fpasswd", 404, true },
    { "/%25252e%25252e/etc/passwd", 404, true },
    { "/%c0%ae%c0%ae/etc/passwd", 404, false },     /* overlong UTF-8 */
    { "/%e0%80%ae%e0%80%ae/etc/passwd", 404, false },
    { "/%f0%80%80%ae%f0%80%80%ae/etc/passwd", 404, false },
    { "/..%c0%af..%c0%afetc/passwd", 404, false },
    { "/%c0%2e%c0%2e/etc/passwd", 404, false },
    { "/%ff%fe", 404, false },
    { "/%ef%bc%8e%ef%bc%8e/etc/passwd", 404, true },    /* fullwidth dots: no dots */
    { "/%u002e%u002e/etc/passwd", 400, false },
    { "/%%32%65/etc/passwd", 400, false },
    { "/..%5cetc%5cpasswd", 404, false },
    { "/..\\etc\\passwd", 404, false },
    { "/%5c..%5cetc", 404, false },
    { "/%5c%5cserver%5cshare", 404, false },
    { "//etc/passwd", 404, false },
    { "///etc/passwd", 404, false },
    { "/%2fetc/passwd", 404, false },
    { "/%2f%2fetc/passwd", 404, false },
    { "/dir//index.html", 404, false },
    { "/a.txt%00", 400, false },
    { "/a.txt%00.html", 400, false },
    { "/%00/../etc/passwd", 400, false },
    { "/a%0a.txt", 404, false },
    { "/a%0d%0aSet-Cookie:x", 404, false },
    { "/a%7f.txt", 404, false },
    { "/c:/boot.ini", 404, false },
    { "/c:boot.ini", 404, false },
    { "/c%3a%2fboot.ini", 404, false },
    { "/a.txt::$DATA", 404, false },
    { "/a.txt:stream", 404, false },
    { "/con", 404, false },
    { "/CON", 404, false },
    { "/con.txt", 404, false },
    { "/con%20.txt", 404, false },
    { "/dir/nul", 404, false },
    { "/nul.html", 404, false },
    { "/aux/", 404, false },
    { "/prn.tar.gz", 404, false },
    { "/com1", 404, false },
    { "/lpt9.css", 404, false },
    { "/com%C2%B9", 404, false },
    { "/conin$", 404, false },
    { "/a.txt.", 404, false },
    { "/a.txt..", 404, false },
    { "/a.txt%20", 404, false },
    { "/a.txt%2e", 404, false },
    { "/a.txt%20.", 404, false },
    { "/dir./index.html", 404, false },
    { "/dir%20/index.html", 404, false },
    { "/.hidden", 404, false },
    { "/%2ehidden", 404, false },
    { "/dir/.git/config", 404, false },
    { "/~root/.ssh/id_rsa", 404, false },
    { "/~root", 404, true },
    { "http://a/../etc/passwd", 404, false },
    { "http://a/%2e%2e/etc/passwd", 404, false },
    { "http://a//etc/passwd", 404, false },
    { "/dir/%2e%2e", 404, false },
    { "/dir%2findex.html", 200, true },             /* a slash is a slash */
    { "/?/../../etc/passwd", 200, true },           /* a query is no path */
};

static void no_spelling_of_a_path_leads_out_of_a_directory(void **state)
{
    (void)state;
    program = serve;
    for (size_t i = 0; i < COUNT(traversal); i++) {
        char request[512];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                 traversal[i].target);
        snprintf(world_what, sizeof world_what, "%.200s", request);
        peer *p = begin(request, &easy);
        run(p, 0);
        char status[16];
        snprintf(status, sizeof status, "HTTP/1.1 %d ", traversal[i].status);
        CHECK(p->out_length > 16 && memcmp(p->out, status, strlen(status)) == 0);
        CHECK((disk_opens > 0) == traversal[i].looks);
        finish();
    }
}

/*==============================================================================
 * 3 BOTTLENECKS
 *============================================================================*/

static const how ways[] = {
    /* buffer, chunk, gulp, bite, window, stalls, waits */
    { 0,    1,     0,    0,   0,    0, false },
    { 0,    100,   0,    0,   0,    0, true  },
    { 0,    65536, 0,    0,   0,    0, false },
    { 0,    0,     1000, 0,   0,    0, false },
    { 0,    0,     0,    700, 0,    0, false },
    { 0,    0,     0,    0,   3000, 0, false },
    { 0,    0,     0,    0,   0,    2, false },
    { 0,    9000,  777,  333, 5000, 3, true  },
    { 1024, 0,     0,    0,   0,    0, false },
    { 1024, 64,    0,    0,   0,    0, true  },
    { 1024, 0,     500,  0,   0,    2, false },
    { 1024, 0,     0,    100, 0,    0, false },
    { 1024, 0,     0,    0,   1500, 0, false },
    { 512,  0,     0,    0,   0,    3, false },
};

static void every_bottleneck_lets_the_same_bytes_through(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        the_way = ways[i];
        for (size_t j = 0; j < COUNT(answers); j++) {
            bool heavy = answers[j].length > 10000 && the_way.chunk == 1;
            if (!heavy && (answers[j].length > 0 || j % 5 == i % 5))
                ask_one(&answers[j]);
        }
        for (size_t j = 8; j < 12; j++)
            ask_one(&rom_answers[j]);
    }
    the_way = easy;
}

static void pipelined_files_come_in_order(void **state)
{
    (void)state;
    static const char request[] =
        "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
        "HEAD /big.bin HTTP/1.1\r\nHost: a\r\n\r\nGET /rom.bin HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /empty.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /rom.bin HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /none HTTP/1.1\r\nHost: a\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    static const struct { int status; size_t length; answer_hint hint; } expected[] = {
        { 200, 11, ANSWER_PLAIN }, { 200, BIG, ANSWER_PLAIN }, { 200, 0, ANSWER_TO_HEAD },
        { 200, BIG, ANSWER_PLAIN }, { 200, 0, ANSWER_PLAIN }, { 200, BIG, ANSWER_PLAIN },
        { 404, 14, ANSWER_PLAIN }, { 200, 11, ANSWER_PLAIN },
    };
    program = serve;
    for (size_t i = 0; i < COUNT(ways); i++) {
        if (ways[i].buffer > 0 || ways[i].chunk == 1)
            continue;
        answer a;
        peer *p = begin(request, &ways[i]);
        run(p, ways[i].window);
        uhttp_str said = uh_text_slice((char *)p->out, (char *)p->out + p->out_length);
        a.body = answer_bytes;
        for (size_t j = 0; j < COUNT(expected); j++) {
            CHECK(answer_next(&said, expected[j].hint, &a) == ANSWER_WHOLE);
            CHECK(a.status == expected[j].status && a.body_length == expected[j].length);
            CHECK(a.body_length != BIG || body_is(&a, disk_pattern, BIG));
        }
        CHECK(said.len == 0 && access_count == COUNT(expected));
        finish();
    }
}

static void a_large_file_keeps_nobody_waiting(void **state)
{
    (void)state;
    program = serve;
    peer *p = begin("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n", &easy);
    CHECK(world_step() != NULL || world_step() != NULL);
    uhttp_conn *c = uhttp_next(world_server, NULL);
    CHECK(c != NULL);
    serve(c);
    peer *other = world_connect();
    peer_says(other, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    run(p, 0);
    CHECK(p->out_length > BIG && peer_has(other, "hello world"));
    CHECK(p->sends > BIG / 16384 && other->sends == 1);
    finish();
}

/*==============================================================================
 * 4 ACCIDENTS
 *============================================================================*/

static void a_file_that_becomes_shorter_ends_its_connection(void **state)
{
    (void)state;
    static const uint64_t ends[] = { 0, 1, 4000, 4096, 5000, 99999 };
    program = serve;
    for (size_t i = 0; i < COUNT(ends); i++) {
        peer *p = begin("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", &easy);
        disk_ends_at = ends[i];
        run(p, 0);
        CHECK(p->closed && !peer_has(p, "hello world"));
        const char *body = p->out_length > 0 ? strstr((char *)p->out, "\r\n\r\n") : NULL;
        size_t sent = body != NULL ? p->out_length - (size_t)(body + 4 - (char *)p->out) : 0;
        CHECK(sent == ends[i] && access_count == 1 && access_last.bytes == ends[i]);
        CHECK(strstr(log_line, "shorter") != NULL);
        CHECK(disk_handles == 0);
        finish();
    }
}

static void of_a_file_that_grows_the_announced_length_is_sent(void **state)
{
    (void)state;
    char *text;
    the_way = easy;
    program = serve;
    answer a = ask("GET", "/a.txt", "", &text);     /* disk_read() checks where it is asked */
    CHECK(a.length == 11);
    free(text);
}

static void the_file_is_closed_when_the_peer_leaves(void **state)
{
    (void)state;
    program = serve;
    for (int by = 0; by < 4; by++) {
        how slow = easy;
        slow.window = 10000;
        peer *p = begin("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n", &slow);
        uhttp_conn *c;
        while ((c = world_next()) != NULL)
            program(c);
        CHECK(disk_handles == 1 && p->out_length == 10000);
        if (by == 0) {
            p->reset = true;
        } else if (by == 1) {
            world_sleep(10001);                 /* send_timeout_ms */
        } else if (by == 2) {
            p->send_fails = true;
        }
        if (by < 3) {
            while (world_next() != NULL) { }
            CHECK(p->closed && disk_handles == 0);
            const char *body = strstr((char *)p->out, "\r\n\r\n") + 4;
            CHECK(access_last.bytes == p->out_length - (size_t)(body - (char *)p->out));
        }
        finish();                               /* 3: the server is closed */
    }
}

static void a_slow_reader_that_makes_progress_gets_all(void **state)
{
    (void)state;
    how slow = easy;
    slow.window = 1024;
    program = serve;
    peer *p = begin("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n", &slow);
    while (p->out_length < BIG && !p->closed) {
        uhttp_conn *c;
        while ((c = world_next()) != NULL)
            program(c);
        CHECK(p->closed || world_conn_of(p)->tx.size <= 32768);
        world_sleep(9000);
        p->window = 1024;
    }
    CHECK(!p->closed && p->out_length > BIG);
    finish();
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const targets[] = { "/big.bin", "/a.txt", "/app.js", "/dir", "/none" };
    for (size_t t = 0; t < COUNT(targets); t++) {
        for (size_t nth = 0; nth < 12; nth++) {
            char request[200];
            how way = easy;
            way.chunk = 9000;
            program = NULL;
            snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n"
                     "Accept-Encoding: gzip\r\n\r\n", targets[t]);
            snprintf(world_what, sizeof world_what, "%s without allocation %u", targets[t],
                     (unsigned)nth);
            peer *p = begin(request, &way);
            memory_fails_from = memory_calls + nth;
            memory_fails_to = memory_fails_from + 1;
            uhttp_conn *c;
            while ((c = world_next()) != NULL) {
                uhttp_result result = uhttp_serve_dir(c, "/srv", "/");
                CHECK(result == UHTTP_OK || result == UHTTP_ERR_MEMORY);
                if (result == UHTTP_ERR_MEMORY && uhttp_respond_error(c, 503) != UHTTP_OK)
                    CHECK(uhttp_close(c) == UHTTP_OK);
            }
            CHECK(disk_handles == 0);
            CHECK(p->closed || peer_has(p, "HTTP/1.1 "));
            CHECK(p->closed || strcmp(targets[t], "/big.bin") != 0 || p->out_length > BIG ||
                  peer_has(p, "503"));
            finish();
        }
    }
}

static void try_bad_calls(uhttp_conn *c)
{
    uhttp_file_options options;
    memset(&options, 0, sizeof options);
    options.content_type = "text/plain\r\nX: y";
    CHECK(uhttp_respond_file(c, NULL, NULL) == UHTTP_ERR_INVALID);
    CHECK(uhttp_respond_file(c, "", NULL) == UHTTP_ERR_INVALID);
    CHECK(uhttp_respond_file(c, "/srv/a.txt", &options) == UHTTP_ERR_INVALID);
    options.content_type = NULL;
    options.cache_control = "a\nb";
    CHECK(uhttp_respond_file(c, "/srv/a.txt", &options) == UHTTP_ERR_INVALID);
    CHECK(uhttp_accept_body_to_file(c, "/srv/x", 0) == UHTTP_ERR_STATE);
    CHECK(disk_handles == 0 && c->draft == 0);
    CHECK(uhttp_respond_file(c, "/srv/a.txt", NULL) == UHTTP_OK);
    CHECK(uhttp_respond_file(c, "/srv/a.txt", NULL) == UHTTP_ERR_STATE);
    CHECK(uhttp_serve_dir(c, "/srv", "/") == UHTTP_ERR_STATE);
    CHECK(uhttp_serve_rom(c, rom, COUNT(rom), "/") == UHTTP_ERR_STATE);
}

static void a_failed_call_changes_nothing(void **state)
{
    (void)state;
    char *text;
    the_way = easy;
    program = try_bad_calls;
    answer a = ask("GET", "/x", "", &text);
    CHECK(a.status == 200 && body_is(&a, "hello world", 11));
    CHECK(!answer_says(&a, "Cache-Control"));
    free(text);
}

static void serve_after_the_peer_has_left(void **state)
{
    (void)state;
    program = NULL;
    peer *p = begin("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", &easy);
    uhttp_conn *c = world_next();
    CHECK(c != NULL);
    p->reset = true;
    CHECK(world_next() == NULL);
    CHECK(uhttp_serve_dir(c, "/srv", "/") == UHTTP_ERR_CLOSED);
    CHECK(disk_opens == 0);
    finish();
}

/*==============================================================================
 * 5 UPLOADS
 *============================================================================*/

typedef struct written {
    char name[96];              /* "" when there is none */
    char data[4096];
    size_t length;
} written;

static written upload, target;          /* in the making; of the final name */
static unsigned create_taken;           /* names that exist already, of those to come */
static uhttp_result create_result, write_result, finish_result;
static size_t write_room;               /* the disk is full behind it */

static uhttp_result disk_create(void *user, const char *path, void **file)
{
    CHECK(user == disk_pattern && upload.name[0] == '\0');
    CHECK(strncmp(path, "/up/.upload-", 12) == 0 && strlen(path) == 28);
    if (create_taken > 0) {
        create_taken--;
        return UHTTP_ERR_IN_USE;
    }
    if (create_result != UHTTP_OK)
        return create_result;
    snprintf(upload.name, sizeof upload.name, "%s", path);
    upload.length = 0;
    disk_handles++;
    *file = &upload;
    return UHTTP_OK;
}

static uhttp_result disk_write(void *user, void *file, const void *data, size_t length)
{
    CHECK(user == disk_pattern && file == &upload && disk_handles > 0 && length > 0);
    if (length > write_room - upload.length)
        return write_result;
    CHECK(length <= sizeof upload.data - upload.length);
    memcpy(upload.data + upload.length, data, length);
    upload.length += length;
    return UHTTP_OK;
}

static uhttp_result disk_finish(void *user, void *file, const char *name, const char *path)
{
    CHECK(user == disk_pattern && file == &upload && disk_handles > 0);
    CHECK(strcmp(name, upload.name) == 0);
    disk_handles--;
    uhttp_result result = path != NULL ? finish_result : UHTTP_OK;
    if (path != NULL && result == UHTTP_OK) {
        target = upload;
        snprintf(target.name, sizeof target.name, "%s", path);
    }
    upload.name[0] = '\0';
    return result;
}

static char upload_body[3000];

static peer *upload_begin(size_t buffer, size_t window, bool chunked, char *request)
{
    uhttp_config config = files_config();
    config.event_mode = true;
    config.max_content_length = 1;      /* so that all bodies are told of */
    disk_reset();
    memset(&upload, 0, sizeof upload);
    memset(&target, 0, sizeof target);
    snprintf(target.name, sizeof target.name, "/up/file");
    create_taken = 0;
    create_result = finish_result = UHTTP_OK;
    write_result = UHTTP_ERR_MEMORY;
    write_room = SIZE_MAX / 2;
    world_open(&config, buffer);
    peer *p = world_peer();
    p->window = window > 0 ? window : SIZE_MAX;
    CHECK(world_accept(p));
    for (size_t i = 0; i < sizeof upload_body; i++)
        upload_body[i] = (char)('a' + i * 11 % 26);
    size_t n = (size_t)sprintf(request, "PUT /file HTTP/1.1\r\nHost: a\r\n%s\r\n",
                               chunked ? "Transfer-Encoding: chunked\r\n"
                                       : "Content-Length: 3000\r\n");
    for (size_t at = 0; at < sizeof upload_body; at += 300) {
        if (chunked)
            n += (size_t)sprintf(request + n, "12c;x=%zu\r\n", at);
        memcpy(request + n, upload_body + at, 300);
        n += 300;
        if (chunked)
            n += (size_t)sprintf(request + n, "\r\n");
    }
    sprintf(request + n, "%s", chunked ? "0\r\nTrailer: x\r\n\r\n" : "");
    return p;
}

static unsigned heard_headers, heard_complete, heard_error;

/* A program that takes a body into a file and says how it went. The path dies with the call. */
static void program_upload(uhttp_conn *c)
{
    char path[16] = "/up/file";
    const char *text;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_HEADERS:
        heard_headers++;
        CHECK(uhttp_accept_body_to_file(c, path, 0) == UHTTP_OK);
        memset(path, 'x', sizeof path);
        CHECK(uhttp_accept_body_to_file(c, path, 0) == UHTTP_ERR_STATE);
        break;
    case UHTTP_EVENT_COMPLETE:
        heard_complete++;
        CHECK(disk_handles == 0 && uhttp_body(c, NULL) == NULL);
        CHECK(strcmp(uhttp_path(c), "/file") == 0 && strcmp(uhttp_url(c), "/file") == 0);
        CHECK(uhttp_respond_text(c, 201, "stored") == UHTTP_OK);
        break;
    case UHTTP_EVENT_ERROR:
        heard_error++;
        CHECK(disk_handles == 0 && upload.name[0] == '\0');
        CHECK(uhttp_error(c, &text) >= 400 && text[0] != '\0');
        break;                      /* the refusal is sent for it */
    case UHTTP_EVENT_CLOSED:
        break;
    default:
        FAIL("no other event");
    }
}

static void upload_run(void)
{
    uhttp_conn *c;
    heard_headers = heard_complete = heard_error = 0;
    while ((c = world_next()) != NULL)
        program_upload(c);
}

static void upload_more(void)
{
    uhttp_conn *c;
    while ((c = world_next()) != NULL)
        program_upload(c);
}

static bool target_is_old(void) { return target.length == 0; }

static bool target_is_new(void)
{
    return target.length == sizeof upload_body &&
           memcmp(target.data, upload_body, sizeof upload_body) == 0 &&
           strcmp(target.name, "/up/file") == 0;
}

static void a_body_arrives_in_its_file_however_it_is_cut(void **state)
{
    (void)state;
    static const size_t buffers[] = { 0, 512, 1024, 8192 };
    static char request[8192];
    for (unsigned kind = 0; kind < 2 * COUNT(buffers); kind++) {
        for (size_t cut = 1; cut < 3700; cut += cut < 200 ? 1 : 97) {
            size_t buffer = buffers[kind / 2];
            peer *p = upload_begin(buffer, 0, kind % 2 == 1, request);
            size_t length = strlen(request);
            snprintf(world_what, sizeof world_what, "buffer %u, %s, cut at %u",
                     (unsigned)buffer, kind % 2 == 1 ? "chunked" : "length", (unsigned)cut);
            peer_says_bytes(p, request, peer_least(cut, length));
            upload_run();
            if (cut < length)
                peer_says_bytes(p, request + cut, length - cut);
            peer_says(p, "GET /x HTTP/1.1\r\nHost: a\r\n");     /* the next request begins */
            upload_more();
            CHECK(heard_headers == 1 && heard_complete == 1 && heard_error == 0);
            CHECK(peer_has(p, "201 Created") && target_is_new() && !p->closed);
            CHECK(world_state(p) == UH_HEAD);
            finish();
        }
    }
}

static void a_body_arrives_in_its_file_byte_by_byte(void **state)
{
    (void)state;
    static char request[8192];
    for (unsigned kind = 0; kind < 4; kind++) {
        peer *p = upload_begin(kind < 2 ? 0 : 512, 0, kind % 2 == 1, request);
        heard_headers = heard_complete = heard_error = 0;
        for (const char *at = request; *at != '\0'; at++) {
            peer_says_bytes(p, at, 1);
            upload_more();
        }
        CHECK(heard_complete == 1 && target_is_new());
        finish();
    }
}

static void the_client_is_told_to_continue_once_the_file_is_there(void **state)
{
    (void)state;
    static char request[8192];
    for (int fails = 0; fails < 2; fails++) {
        peer *p = upload_begin(0, 0, false, request);
        create_result = fails ? UHTTP_ERR_SYSTEM : UHTTP_OK;
        peer_says(p, "PUT /file HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                     "Content-Length: 3000\r\n\r\n");
        upload_run();
        CHECK(peer_has(p, "100 Continue") == !fails);
        CHECK(peer_has(p, "500 Internal Server Error") == (fails != 0));
        if (!fails) {
            peer_says_bytes(p, upload_body, sizeof upload_body);
            upload_more();
            CHECK(target_is_new());
        }
        finish();
    }
}

/* What fails, and with which status the client hears of it. */
static const struct {
    const char *what;
    uhttp_result create; unsigned taken; uhttp_result write; size_t room; uhttp_result finish;
    int status;
} failures[] = {
    { "no directory",    UHTTP_ERR_SYSTEM, 0, UHTTP_OK, 9999, UHTTP_OK, 500 },
    { "not allowed",     UHTTP_ERR_DENIED, 0, UHTTP_OK, 9999, UHTTP_OK, 500 },
    { "no descriptors",  UHTTP_ERR_MEMORY, 0, UHTTP_OK, 9999, UHTTP_OK, 507 },
    { "names are taken", UHTTP_OK, 8, UHTTP_OK, 9999, UHTTP_OK, 500 },
    { "some are",        UHTTP_OK, 7, UHTTP_OK, 9999, UHTTP_OK, 201 },
    { "full at once",    UHTTP_OK, 0, UHTTP_ERR_MEMORY, 0, UHTTP_OK, 507 },
    { "full halfway",    UHTTP_OK, 0, UHTTP_ERR_MEMORY, 1500, UHTTP_OK, 507 },
    { "full at the end", UHTTP_OK, 0, UHTTP_ERR_MEMORY, 2999, UHTTP_OK, 507 },
    { "broken",          UHTTP_OK, 0, UHTTP_ERR_SYSTEM, 1500, UHTTP_OK, 500 },
    { "flush fails",     UHTTP_OK, 0, UHTTP_OK, 9999, UHTTP_ERR_MEMORY, 507 },
    { "rename fails",    UHTTP_OK, 0, UHTTP_OK, 9999, UHTTP_ERR_DENIED, 500 },
};

static void what_fails_on_the_way_into_a_file_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    static char request[8192];
    for (size_t i = 0; i < COUNT(failures); i++) {
        for (unsigned kind = 0; kind < 8; kind++) {
            peer *p = upload_begin(kind < 4 ? 0 : 1024, 0, kind % 2 == 1, request);
            snprintf(world_what, sizeof world_what, "%s, kind %u", failures[i].what, kind);
            create_result = failures[i].create;
            create_taken = failures[i].taken;
            write_result = failures[i].write;
            write_room = failures[i].room;
            finish_result = failures[i].finish;
            if (kind % 4 < 2) {
                peer_says(p, request);
                upload_run();
            } else {                    /* piece by piece */
                heard_headers = heard_complete = heard_error = 0;
                for (const char *at = request; *at != '\0' && !p->closed; at += 50) {
                    peer_says_bytes(p, at, peer_least(50, strlen(at)));
                    upload_more();
                    if (strlen(at) < 50)
                        break;
                }
            }
            char status[16];
            snprintf(status, sizeof status, "HTTP/1.1 %d ", failures[i].status);
            CHECK(peer_has(p, status));
            CHECK(heard_headers == 1);
            CHECK(heard_error == (failures[i].status != 201 ? 1u : 0u));
            CHECK(failures[i].status == 201 ? target_is_new() : target_is_old());
            CHECK(upload.name[0] == '\0');
            finish();
        }
    }
}

static void an_upload_that_is_broken_off_leaves_nothing(void **state)
{
    (void)state;
    static char request[8192];
    for (unsigned by = 0; by < 9; by++) {
        for (size_t cut = 60; cut < 3000; cut += 211) {
            peer *p = upload_begin(cut % 2 > 0 ? 1024 : 0, 0, by % 2 == 1, request);
            snprintf(world_what, sizeof world_what, "by %u at %u", by, (unsigned)cut);
            peer_says_bytes(p, request, cut + 40);
            upload_run();
            CHECK(heard_headers == 1 && disk_handles == 1);
            uhttp_conn *c = uhttp_next(world_server, NULL);
            CHECK(c != NULL);
            switch (by) {
            case 0: p->fin = true; break;
            case 1: p->reset = true; break;
            case 2: world_sleep(10001); break;              /* body_timeout_ms */
            case 3: CHECK(uhttp_close(c) == UHTTP_OK); break;
            case 4: CHECK(uhttp_respond_error(c, 403) == UHTTP_OK); break;
            case 5: CHECK(uhttp_stream_begin(c, 200, NULL) == UHTTP_OK &&
                          uhttp_stream_end(c) == UHTTP_OK); break;
            case 6: CHECK(uhttp_respond_file(c, "/srv/a.txt", NULL) == UHTTP_OK); break;
            case 7: peer_says(p, "\r\nnot a chunk\r\n{{{{{{{{"); break;
            case 8: break;                                  /* the server is closed */
            }
            if (by < 8)
                upload_more();
            if (by != 7 && by != 8)
                CHECK(disk_handles == 0 && upload.name[0] == '\0');
            CHECK(by != 6 || peer_has(p, "hello world"));
            world_close();
            CHECK(disk_handles == 0 && upload.name[0] == '\0' && target_is_old());
        }
    }
}

static uint64_t upload_limit;

static void program_limited(uhttp_conn *c)
{
    if (uhttp_event(c) != UHTTP_EVENT_HEADERS)
        program_upload(c);
    else
        CHECK(uhttp_accept_body_to_file(c, "/up/file", upload_limit) == UHTTP_OK);
}

static void a_limit_is_one_for_files_too(void **state)
{
    (void)state;
    static char request[8192];
    for (unsigned kind = 0; kind < 4; kind++) {
        for (upload_limit = 2999; upload_limit <= 3000; upload_limit++) {
            uhttp_conn *c;
            peer *p = upload_begin(kind < 2 ? 0 : 1024, 0, kind % 2 == 1, request);
            peer_says(p, request);
            while ((c = world_next()) != NULL)
                program_limited(c);
            CHECK(peer_has(p, upload_limit < 3000 ? "413 Content Too Large" : "201 Created"));
            CHECK(upload_limit < 3000 ? target_is_old() : target_is_new());
            finish();
        }
    }
}

/* On the heap a buffer becomes as large as it must be: what was read ahead, while the request before
 * was with the program, leaves room for the names all the same. */
static void a_body_finds_room_for_its_names_behind_other_requests(void **state)
{
    (void)state;
    static char request[8192];
    static const char line[] = "PUT /file HTTP/1.1\r\n";
    char text[2200];
    for (int padding = 700; padding < 1100; padding++) {
        peer *p = upload_begin(0, 0, false, request);
        sprintf(text, "GET /first HTTP/1.1\r\nHost: a\r\nX: %0900d\r\n\r\n", 0);
        snprintf(world_what, sizeof world_what, "padding %d", padding);
        peer_says(p, text);
        uhttp_conn *c = world_next();
        sprintf(text, "%sX: %0*d\r\n", line, padding, 0);
        peer_says(p, text);
        peer_says(p, request + sizeof line - 1);
        CHECK(world_next() == NULL && uhttp_respond_text(c, 200, "first") == UHTTP_OK);
        upload_run();
        CHECK(heard_headers == 1 && heard_complete == 1 && target_is_new());
        CHECK(peer_has(p, "201 Created"));
        finish();
    }
}

/* An empty body needs no room for its names: they are used at once. */
static void an_empty_body_needs_no_room_for_its_names(void **state)
{
    (void)state;
    static char request[8192];
    char text[2200];
    for (int padding = 500; padding < 1000; padding++) {
        for (int fixed = 0; fixed < 2; fixed++) {
            peer *p = upload_begin(fixed ? 2048 : 0, 0, false, request);
            snprintf(world_what, sizeof world_what, "padding %d, fixed %d", padding, fixed);
            sprintf(text, "GET /first HTTP/1.1\r\nHost: a\r\nX: %0900d\r\n\r\n", 0);
            peer_says(p, text);
            uhttp_conn *c = world_next();
            sprintf(text, "PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nCookie: %0200d\r\n"
                          "X: %0*d\r\n\r\n", 0, padding, 0);
            peer_says(p, text);
            CHECK(world_next() == NULL && uhttp_respond_text(c, 200, "first") == UHTTP_OK);
            c = world_next();
            CHECK(uhttp_accept_body_to_file(c, target.name, 0) == UHTTP_OK);
            c = world_next();
            CHECK(uhttp_event(c) == UHTTP_EVENT_COMPLETE);
            CHECK(uhttp_respond_text(c, 201, "") == UHTTP_OK);
            finish();
        }
    }
}

/* Whether there is room for the name depends on the head, not on what came with it. */
static void a_name_too_long_for_the_memory_is_refused_and_nothing_happens(void **state)
{
    (void)state;
    static char request[8192];
    char path[1600];
    uhttp_result first[16];
    unsigned fit = 0;
    memset(path, 'n', sizeof path);
    memcpy(path, "/up/", 4);
    for (size_t arrived = 70; arrived < 900; arrived += 400) {
        for (size_t length = 300; length < 1500; length += 100) {
            peer *p = upload_begin(1024, 0, false, request);
            peer_says_bytes(p, request, arrived);
            uhttp_conn *c = world_next();
            CHECK(c != NULL && uhttp_event(c) == UHTTP_EVENT_HEADERS);
            path[length] = '\0';
            uhttp_result result = uhttp_accept_body_to_file(c, path, 0);
            path[length] = 'n';
            if (arrived == 70)
                first[length / 100] = result;
            CHECK(result == first[length / 100]);
            CHECK(result == UHTTP_OK || result == UHTTP_ERR_MEMORY);
            fit += result == UHTTP_OK ? 1 : 0;
            CHECK(disk_handles == (result == UHTTP_OK ? 1 : 0));
            if (result != UHTTP_OK) {
                CHECK(uhttp_accept_body_to_file(c, "", 0) == UHTTP_ERR_INVALID);
                CHECK(uhttp_accept_body_to_file(c, "/up/file", 0) == UHTTP_OK);
            }
            peer_says(p, request + arrived);
            upload_more();
            CHECK(peer_has(p, "201 Created"));
            CHECK(result == UHTTP_OK || target_is_new());
            finish();
        }
    }
    CHECK(fit >= 3 * 4 && fit <= 3 * 11);
}

static void without_the_functions_nothing_is_taken(void **state)
{
    (void)state;
    uhttp_files reading = disk_hooks;
    uhttp_config config = files_config();
    reading.create = NULL;
    config.files = &reading;
    config.event_mode = true;
    config.max_content_length = 1;
    disk_reset();
    world_open(&config, 0);
    peer *p = world_connect();
    peer_says(p, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    uhttp_conn *c = world_next();
    CHECK(uhttp_accept_body_to_file(c, "/up/file", 0) == UHTTP_ERR_UNSUPPORTED);
    CHECK(uhttp_accept_body(c, 100) == UHTTP_OK);
    c = world_next();
    CHECK(uhttp_event(c) == UHTTP_EVENT_COMPLETE && uhttp_respond_text(c, 200, "") == UHTTP_OK);
    CHECK(world_next() == NULL);
    finish();
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_answered_with_their_fields_and_bytes),
        TEST(conditions_are_judged_in_the_order_of_the_rfc),
        TEST(what_is_new_is_compared_weakly),
        TEST(added_validators_leave_a_new_time_weak),
        TEST(directory_that_nobody_lists_is_500),
        TEST(a_gz_needs_no_second_handle_and_says_why_it_fails),
        TEST(files_in_rom_have_the_same_conditions_and_ranges),
        TEST(no_spelling_of_a_path_leads_out_of_a_directory),
        TEST(every_bottleneck_lets_the_same_bytes_through),
        TEST(pipelined_files_come_in_order),
        TEST(a_large_file_keeps_nobody_waiting),
        TEST(a_file_that_becomes_shorter_ends_its_connection),
        TEST(of_a_file_that_grows_the_announced_length_is_sent),
        TEST(the_file_is_closed_when_the_peer_leaves),
        TEST(a_slow_reader_that_makes_progress_gets_all),
        TEST(every_allocation_may_fail),
        TEST(a_failed_call_changes_nothing),
        TEST(serve_after_the_peer_has_left),
        TEST(a_body_arrives_in_its_file_however_it_is_cut),
        TEST(a_body_arrives_in_its_file_byte_by_byte),
        TEST(the_client_is_told_to_continue_once_the_file_is_there),
        TEST(what_fails_on_the_way_into_a_file_is_an_error_and_leaves_nothing),
        TEST(an_upload_that_is_broken_off_leaves_nothing),
        TEST(a_limit_is_one_for_files_too),
        TEST(a_body_finds_room_for_its_names_behind_other_requests),
        TEST(an_empty_body_needs_no_room_for_its_names),
        TEST(a_name_too_long_for_the_memory_is_refused_and_nothing_happens),
        TEST(without_the_functions_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
