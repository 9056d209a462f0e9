/* files.c - serves a directory, as python -m http.server does
 *
 *     cc -o files examples/files.c && ./files [directory [port]]
 *
 * The server finds the file, its type, its ranges and its conditions (uhttp_serve_dir_with); a
 * directory without index.html it leaves to us, and we list it. Its name is safe then: the path
 * was checked, and the directory lies below the one we serve.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LISTING_MAX (1024 * 1024)

static volatile sig_atomic_t stop;
static uhttp_server *server;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

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

/* A name may hold anything: as text it is escaped for HTML, */
static void page_print_text(page *p, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            page_print(p, "&amp;");
        else if (*text == '<')
            page_print(p, "&lt;");
        else if (*text == '>')
            page_print(p, "&gt;");
        else if (*text == '"')
            page_print(p, "&quot;");
        else
            page_add(p, text, 1);
    }
}

/* and in a link percent-encoded. "./" keeps "a:b" from being taken for a scheme. */
static void page_print_link(page *p, const char *name)
{
    page_print(p, "./");
    for (; *name != '\0'; name++) {
        char escape[4];
        unsigned char u = (unsigned char)*name;
        bool plain = (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9') ||
                     u == '-' || u == '_' || u == '.' || u == '~';
        if (plain) {
            page_add(p, name, 1);
        } else {
            snprintf(escape, sizeof escape, "%%%02X", u);
            page_print(p, escape);
        }
    }
}

/*--- the listing --------------------------------------------------------------*/

typedef struct names {
    char **list;
    size_t count, size;
} names;

static int names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool names_add(names *n, const char *name, bool is_dir)
{
    size_t length = strlen(name);
    if (n->count == n->size) {
        size_t size = n->size > 0 ? n->size * 2 : 64;
        char **larger = (char **)realloc(n->list, size * sizeof *larger);
        if (larger == NULL)
            return false;
        n->list = larger;
        n->size = size;
    }
    char *copy = (char *)malloc(length + 2);
    if (copy == NULL)
        return false;
    memcpy(copy, name, length + 1);
    if (is_dir)
        memcpy(copy + length, "/", 2);
    n->list[n->count++] = copy;
    return true;
}

static bool is_directory(const char *directory, const char *name)
{
    char path[4096];
    struct stat about;
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    return n > 0 && (size_t)n < sizeof path && stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* Reads the names in a directory but the hidden ones; false: it cannot be read. */
static bool names_read(names *n, const char *directory)
{
    DIR *d = opendir(directory);
    struct dirent *entry;
    bool good = d != NULL;
    while (good && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.')
            good = names_add(n, entry->d_name, is_directory(directory, entry->d_name));
    }
    if (d != NULL)
        closedir(d);
    if (good && n->count > 0)
        qsort(n->list, n->count, sizeof *n->list, names_compare);
    return good;
}

static void names_free(names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->list[i]);
    free(n->list);
}

static void list_directory(uhttp_conn *c, const char *root)
{
    char directory[4096];
    names n = { NULL, 0, 0 };
    page p = { NULL, 0, 0, false };
    int length = snprintf(directory, sizeof directory, "%s%s", root, uhttp_path(c));
    if (length < 0 || (size_t)length >= sizeof directory || !names_read(&n, directory)) {
        names_free(&n);
        uhttp_respond_error(c, 403);
        return;
    }
    page_print(&p, "<!DOCTYPE html><meta charset=\"utf-8\"><title>");
    page_print_text(&p, uhttp_path(c));
    page_print(&p, "</title>\n<h1>");
    page_print_text(&p, uhttp_path(c));
    page_print(&p, "</h1>\n<ul>\n");
    if (strcmp(uhttp_path(c), "/") != 0)
        page_print(&p, "<li><a href=\"../\">../</a>\n");
    for (size_t i = 0; i < n.count; i++) {
        size_t end = strlen(n.list[i]) - 1;
        bool is_dir = n.list[i][end] == '/';
        page_print(&p, "<li><a href=\"");
        if (is_dir)
            n.list[i][end] = '\0';
        page_print_link(&p, n.list[i]);
        page_print(&p, is_dir ? "/\">" : "\">");
        page_print_text(&p, n.list[i]);
        page_print(&p, is_dir ? "/</a>\n" : "</a>\n");
    }
    page_print(&p, "</ul>\n");
    if (p.failed || uhttp_respond_html(c, 200, p.text) == UHTTP_ERR_MEMORY)
        uhttp_respond_error(c, 503);
    free(p.text);
    names_free(&n);
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
    const char *root = argc > 1 ? argv[1] : ".";
    int port = argc > 2 ? read_port(argv[2]) : 8080;
    struct stat about;
    if (argc > 3 || port < 0) {
        fprintf(stderr, "usage: %s [directory [port]]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    if (stat(root, &about) != 0 || !S_ISDIR(about.st_mode)) {
        fprintf(stderr, "%s is no directory\n", root);
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
    uhttp_server_close(server);
    return 0;
}
