/* files.c - serves a directory, as python -m http.server does
 *
 *     build: cc -o files examples/files.c
 *     try:   ./files 8080 DIRECTORY, then open http://localhost:8080/
 *
 * uhttp_serve_dir_with() finds the file and its type and handles ranges and conditions. It
 * leaves directories without index.html to the program, which lists them. Their names are safe:
 * the path has been checked, and the directory is below the one that is served.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#ifdef _WIN32                   /* links are rare there, and <sys/stat.h> does not know them */
#define lstat stat
#define S_ISLNK(mode) 0
#endif

#define LISTING_MAX (1024 * 1024)

static volatile sig_atomic_t stop;
static uhttp_server *server;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/*--- what is in a directory -----------------------------------------------------*/

typedef struct item {
    char *name;
    bool is_dir;
    long long size;
    time_t modified;
} item;

typedef struct items {
    item *list;
    size_t count, size;
} items;

/*--- a page in the making -----------------------------------------------------*/

typedef struct page {
    char *text;
    size_t length, size;
    bool failed;                /* no memory: what is written from now on is lost */
} page;

static void page_add(page *p, const char *text, size_t length)
{
    if (p->length + length >= p->size && !p->failed) {
        size_t size = (p->length + length + 1024) * 2;
        char *larger = (char *)realloc(p->text, size);
        p->failed = larger == NULL;
        if (larger != NULL) {
            p->text = larger;
            p->size = size;
        }
    }
    if (p->failed)
        return;
    memcpy(p->text + p->length, text, length);
    p->length += length;
    p->text[p->length] = '\0';
}

static void page_print(page *p, const char *text)
{
    page_add(p, text, strlen(text));
}

#define NAME_MAX_BYTES 4096     /* of what is escaped at once: a path, or a name in it */

/* A name may hold anything: as text it is escaped for HTML, */
static void page_print_text(page *p, const char *text)
{
    char escaped[NAME_MAX_BYTES * 6 + 1];
    if (uhttp_html_escape(text, escaped, sizeof escaped) < 0)
        p->failed = true;
    page_print(p, escaped);
}

/* and in a link percent-encoded. "./" keeps "a:b" from being taken for a scheme. */
static void page_print_link(page *p, const item *e)
{
    char encoded[NAME_MAX_BYTES * 3 + 1];
    if (uhttp_percent_encode(e->name, encoded, sizeof encoded) < 0)
        p->failed = true;
    page_print(p, "./");
    page_print(p, encoded);
    page_print(p, e->is_dir ? "/" : "");
}

/*--- the listing --------------------------------------------------------------*/

/* Directories first. */
static int item_compare(const void *a, const void *b)
{
    const item *one = (const item *)a;
    const item *other = (const item *)b;
    if (one->is_dir != other->is_dir)
        return one->is_dir ? -1 : 1;
    return strcmp(one->name, other->name);
}

static bool items_add(items *n, const char *name, const struct stat *about)
{
    size_t length = strlen(name);
    if (n->count == n->size) {
        size_t size = n->size > 0 ? n->size * 2 : 64;
        item *larger = (item *)realloc(n->list, size * sizeof *larger);
        if (larger == NULL)
            return false;
        n->list = larger;
        n->size = size;
    }
    item *e = &n->list[n->count];
    e->is_dir = S_ISDIR(about->st_mode);
    e->size = (long long)about->st_size;
    e->modified = about->st_mtime;
    e->name = (char *)malloc(length + 1);
    if (e->name == NULL)
        return false;
    memcpy(e->name, name, length + 1);
    n->count++;
    return true;
}

static bool look_at(const char *directory, const char *name, struct stat *about)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    return n > 0 && (size_t)n < sizeof path && lstat(path, about) == 0 &&
           !S_ISLNK(about->st_mode);
}

/* Reads a directory, without hidden files, and without links, which may lead out of what is
 * served; false: it cannot be read. */
static bool items_read(items *n, const char *directory)
{
    DIR *d = opendir(directory);
    struct dirent *next;
    struct stat about;
    bool good = d != NULL;
    while (good && (next = readdir(d)) != NULL) {
        if (next->d_name[0] != '.' && look_at(directory, next->d_name, &about))
            good = items_add(n, next->d_name, &about);
    }
    if (d != NULL)
        closedir(d);
    if (good && n->count > 0)
        qsort(n->list, n->count, sizeof *n->list, item_compare);
    return good;
}

static void items_free(items *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->list[i].name);
    free(n->list);
}

/* "3.2 MiB" */
static void page_print_size(page *p, long long size)
{
    static const char units[][4] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    char text[32];
    double value = (double)size / 1024;
    size_t unit = 0;
    for (; value >= 1023.95 && unit < 5; unit++)
        value /= 1024;
    if (size < 1024)
        snprintf(text, sizeof text, "%lld B", size);
    else
        snprintf(text, sizeof text, "%.1f %s", value, units[unit]);
    page_print(p, text);
}

static void page_print_item(page *p, const item *e)
{
    char date[32] = "";
    const struct tm *local = localtime(&e->modified);
    if (local != NULL)
        strftime(date, sizeof date, "%Y-%m-%d %H:%M", local);
    page_print(p, "<tr><td><a href=\"");
    page_print_link(p, e);
    page_print(p, "\">");
    page_print_text(p, e->name);
    page_print(p, e->is_dir ? "/</a><td>" : "</a><td>");
    if (!e->is_dir)
        page_print_size(p, e->size);
    page_print(p, "<td>");
    page_print(p, date);
    page_print(p, "\n");
}

static void page_print_listing(page *p, const char *path, const items *n)
{
    page_print(p,
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n"
        "<link rel=\"icon\" href=\"data:,\">\n"
        "<style>:root{color-scheme:light dark;background:Canvas}\n"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;\n"
        "padding:0 1rem}h1{font-size:1.4rem;overflow-wrap:anywhere}\n"
        "table{border-collapse:collapse;width:100%}\n"
        "th,td{padding:.4rem 0 .4rem .8rem;border-bottom:1px solid #8885;text-align:right;\n"
        "white-space:nowrap;font-size:.85rem}th{opacity:.8;font-weight:400}\n"
        "th:first-child,td:first-child{text-align:left;padding-left:0;font-size:1rem;\n"
        "white-space:normal;overflow-wrap:anywhere}</style>\n<title>");
    page_print_text(p, path);
    page_print(p, "</title>\n<main><h1>");
    page_print_text(p, path);
    page_print(p, "</h1>\n<table>\n<tr><th scope=\"col\">Name<th scope=\"col\">Size"
                  "<th scope=\"col\">Changed\n");
    if (strcmp(path, "/") != 0)
        page_print(p, "<tr><td><a href=\"../\">../</a><td><td>\n");
    for (size_t i = 0; i < n->count; i++)
        page_print_item(p, &n->list[i]);
    page_print(p, "</table>\n");
    if (n->count == 0)
        page_print(p, "<p>There is nothing here.\n");
}

static void list_directory(uhttp_conn *c, const char *root)
{
    char directory[4096];
    items n = { NULL, 0, 0 };
    page p = { NULL, 0, 0, false };
    int length = snprintf(directory, sizeof directory, "%s%s", root, uhttp_path(c));
    if (length < 0 || (size_t)length >= sizeof directory || !items_read(&n, directory)) {
        items_free(&n);
        uhttp_respond_error(c, 403);
        return;
    }
    page_print_listing(&p, uhttp_path(c), &n);
    if (p.failed || uhttp_respond_html(c, 200, p.text) == UHTTP_ERR_MEMORY)
        uhttp_respond_error(c, 503);
    free(p.text);
    items_free(&n);
}

static void answer(uhttp_conn *c, const char *root)
{
    uhttp_file_options options = { 0 };
    options.list = true;
    uhttp_result result = uhttp_serve_dir_with(c, root, "/", &options);
    if (result == UHTTP_ERR_UNSUPPORTED)
        list_directory(c, root);
    else if (result != UHTTP_OK && result != UHTTP_ERR_CLOSED)
        uhttp_respond_error(c, 503);
}

static void on_access(void *user, const uhttp_access *entry)
{
    (void)user;
    printf("%s \"%s %s\" %d %llu\n", entry->address, entry->method, entry->url, entry->status,
           (unsigned long long)entry->bytes);
    fflush(stdout);
}

/* Reads a port, 0 for any that is free; -1: neither. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    uhttp_config config = { 0 };
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    const char *root = argc > 2 ? argv[2] : ".";
    struct stat about;
    if (argc > 3 || port < 0) {
        fprintf(stderr, "usage: %s [port [directory]]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    if (stat(root, &about) != 0 || !S_ISDIR(about.st_mode)) {
        fprintf(stderr, "%s is not a directory\n", root);
        return 1;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.max_connections = 256;
    config.max_content_length = 1;          /* nobody has anything to send here */
    config.max_send_buffer = LISTING_MAX;
    config.access_log = on_access;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/, serving %s\n", uhttp_server_port(server), root);
    fflush(stdout);
    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            answer(c, root);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    return 0;
}
