/* upload.c - saves files from a browser's form in a directory; they may be larger than memory
 *
 *     build: cc -o upload examples/upload.c
 *     try:   mkdir -p files && ./upload 8080 files, then open http://localhost:8080/, or:
 *            curl -F file=@photo.jpg http://localhost:8080/upload
 *
 * The form is parsed and written as it arrives, and no more than one buffer of it is in memory.
 * Each file gets a safe name that is not in use yet; until it is complete the name ends with
 * ".part", and if the upload is cut short the file is removed.
 *
 * An upload over the limit (1024 MiB) is refused before it begins: a client that waits for
 * "100 Continue" never sends it. Anybody who can reach the port, and any page that a user opens,
 * can send files: add a password (auth.c).
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define UPLOADS_MAX 16      /* at once */

static const char page[] =
    "<!doctype html><html lang=en><meta charset=utf-8><title>Upload</title>\n"
    "<meta name=viewport content='width=device-width'><link rel=icon href='data:,'>\n"
    "<style>:root{color-scheme:light dark;background:Canvas;accent-color:#0c7a74}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}input,button{font:inherit;margin:.3rem .5rem .3rem 0}\n"
    "button{padding:.3rem 1.2rem}input{max-width:100%}progress{width:100%;height:1rem}\n"
    "p{overflow-wrap:anywhere}</style>\n"
    "<main><h1>Upload</h1>\n"
    "<form id=form method=post action=/upload enctype=multipart/form-data>\n"
    "<label>Files<br><input id=file type=file name=file multiple required></label>\n"
    "<button>Send</button></form>\n"
    "<p><progress id=bar value=0 max=1 aria-label='sent'></progress> <span id=percent></span>\n"
    "<p id=result role=status></p>\n"
    "<script>\n"
    "const by = id => document.getElementById(id);\n"
    "by('form').onsubmit = event => {\n"
    "  event.preventDefault();\n"
    "  const ask = new XMLHttpRequest();\n"
    "  ask.upload.onprogress = e => {\n"
    "    by('bar').value = e.loaded / e.total;\n"
    "    by('percent').textContent = Math.round(100 * e.loaded / e.total) + ' %';\n"
    "  };\n"
    "  ask.onload = () => {\n"
    "    by('result').textContent = ask.status !== 200 ? ask.responseText : 'Saved: ' +\n"
    "      JSON.parse(ask.responseText).files.map(f => f.name + ', ' + f.bytes + ' bytes')"
    ".join('; ');\n"
    "  };\n"
    "  ask.onerror = () => { by('result').textContent = 'The connection broke.'; };\n"
    "  by('result').textContent = '';\n"
    "  ask.open('POST', '/upload');\n"
    "  ask.send(new FormData(by('form')));\n"
    "};\n"
    "</script>\n";

/* One upload on its way: the request's context. */
typedef struct upload {
    uhttp_formdata form;
    char headers[1024];         /* of one part */
    FILE *file;                 /* that is being written; NULL: none */
    char path[512];             /* of that file, in the end */
    const char *name;           /* in path */
    unsigned long long bytes;   /* of that file */
    uhttp_json_writer json;     /* the answer */
    char answer[6144];
} upload;

static const char *directory;
static uint64_t limit = 1024;   /* MiB, then bytes */
static uhttp_server *server;
static volatile sig_atomic_t stop;

/*--- files --------------------------------------------------------------------*/

static void part_path(const upload *u, char *path, size_t size)
{
    snprintf(path, size, "%s.part", u->path);
}

static bool file_exists(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file != NULL)
        fclose(file);
    return file != NULL;
}

/* Finds a name nobody has, "2-photo.jpg" beside "photo.jpg", and begins to write. */
static bool file_begin(upload *u)
{
    char name[200], part[520];
    uhttp_safe_filename(u->form.filename, name, sizeof name);
    for (int i = 1; i < 1000; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof number, "%d-", i);
        int n = snprintf(u->path, sizeof u->path, "%s/%s%s", directory, number, name);
        if (n < 0 || (size_t)n >= sizeof u->path)
            return false;
        u->name = u->path + strlen(directory) + 1;
        part_path(u, part, sizeof part);
        if (file_exists(u->path) || file_exists(part))
            continue;
        u->file = fopen(part, "wb");
        u->bytes = 0;
        return u->file != NULL;
    }
    return false;
}

static bool file_write(upload *u)
{
    u->bytes += u->form.data.len;
    return fwrite(u->form.data.ptr, 1, u->form.data.len, u->file) == u->form.data.len;
}

/* The file is whole: it gets its name, and its line in the answer. */
static bool file_end(upload *u)
{
    char part[520];
    part_path(u, part, sizeof part);
    bool good = fclose(u->file) == 0 && rename(part, u->path) == 0;
    u->file = NULL;
    if (!good) {
        remove(part);
        return false;
    }
    uhttp_json_object_begin(&u->json);
    uhttp_json_key(&u->json, "name");
    uhttp_json_string(&u->json, u->name);
    uhttp_json_key(&u->json, "bytes");
    uhttp_json_uint(&u->json, u->bytes);
    uhttp_json_object_end(&u->json);
    return true;
}

/*--- uploads ------------------------------------------------------------------*/

/* What is whole stays, what is not goes. */
static void upload_free(upload *u)
{
    char part[520];
    if (u != NULL && u->file != NULL) {
        fclose(u->file);
        part_path(u, part, sizeof part);
        remove(part);
    }
    free(u);
}

static upload *upload_new(const uhttp_conn *c)
{
    upload *u = (upload *)calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    if (uhttp_formdata_begin(&u->form, uhttp_content_type(c), u->headers,
                             sizeof u->headers) != UHTTP_OK) {
        free(u);
        return NULL;
    }
    u->form.max_parts = 20;     /* their names fit the answer */
    uhttp_json_begin(&u->json, u->answer, sizeof u->answer);
    uhttp_json_object_begin(&u->json);
    uhttp_json_key(&u->json, "files");
    uhttp_json_array_begin(&u->json);
    return u;
}

/* Takes apart what has come; 0, or the status of the refusal. */
static int upload_take(upload *u, const void *data, size_t length)
{
    uhttp_formdata *form = &u->form;
    uhttp_formdata_event event;
    uhttp_formdata_feed(form, data, length);
    while ((event = uhttp_formdata_next(form)) != UHTTP_FORMDATA_MORE) {
        bool good = true;
        if (event == UHTTP_FORMDATA_PART && form->filename != NULL && *form->filename != '\0')
            good = file_begin(u);
        else if (event == UHTTP_FORMDATA_DATA && u->file != NULL)
            good = file_write(u);
        else if (event == UHTTP_FORMDATA_PART_END && u->file != NULL)
            good = file_end(u);
        if (!good)
            return 500;
        if (event == UHTTP_FORMDATA_ERROR)
            return 400;
    }
    return 0;
}

static void upload_answer(uhttp_conn *c, upload *u, int status)
{
    const char *why = "cannot write the file";
    uhttp_json_array_end(&u->json);
    uhttp_json_object_end(&u->json);
    if (status == 0 && uhttp_formdata_error(&u->form, NULL) != UHTTP_OK)
        status = 400;
    if (status == 0 && uhttp_json_error(&u->json) != UHTTP_OK)
        status = 500;
    if (status == 400)
        uhttp_formdata_error(&u->form, &why);
    uhttp_set_context(c, NULL);
    if (status == 0)
        uhttp_respond_json(c, 200, u->answer);
    else
        uhttp_respond_text(c, status, why);
    upload_free(u);
}

/* A form begins: its body is here, or still to come. */
static void upload_begin(uhttp_conn *c)
{
    if (uhttp_content_length(c) > (int64_t)limit) {
        uhttp_respond_text(c, 413, "The upload is too large.");
        return;
    }
    upload *u = upload_new(c);
    if (u == NULL) {
        uhttp_respond_text(c, 415, "Send a form, as multipart/form-data.");
        return;
    }
    if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
        size_t length;
        const void *body = uhttp_body(c, &length);
        upload_answer(c, u, upload_take(u, body, length));
        return;
    }
    if (uhttp_accept_body_streaming(c, limit) == UHTTP_OK)
        uhttp_set_context(c, u);
    else
        upload_free(u);
}

/* More of the form's body has come, or its end. */
static void upload_continue(uhttp_conn *c)
{
    upload *u = (upload *)uhttp_context(c);
    size_t length;
    const void *data = uhttp_read_buffer(c, &length);
    int status = upload_take(u, data, length);
    if (status != 0 || uhttp_event(c) == UHTTP_EVENT_COMPLETE)
        upload_answer(c, u, status);
}

/*--- the loop -----------------------------------------------------------------*/

static void serve(uhttp_conn *c)
{
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_WS_REQUEST:
    case UHTTP_EVENT_HEADERS:
        if (strcmp(uhttp_path(c), "/upload") == 0 && strcmp(uhttp_method(c), "POST") == 0)
            upload_begin(c);
        else if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_static(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
        else
            uhttp_respond_error(c, 404);
        break;
    case UHTTP_EVENT_DATA:
    case UHTTP_EVENT_COMPLETE:
        upload_continue(c);
        break;
    case UHTTP_EVENT_ERROR:         /* 413, 408, 400: is answered for us */
    case UHTTP_EVENT_CLOSED:
        upload_free((upload *)uhttp_context(c));
        uhttp_set_context(c, NULL);
        break;
    default:
        break;
    }
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

static bool read_number(const char *text, long most, long *number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    *number = strtol(text, &end, 10);
    return *end == '\0' && *number <= most;
}

int main(int argc, char **argv)
{
    uhttp_config config = { 0 };
    long port = 0;
    long mib = (long)limit;
    struct stat about;
    if (argc < 3 || argc > 4 || strlen(argv[2]) > 200 || !read_number(argv[1], 65535, &port) ||
        (argc > 3 && (!read_number(argv[3], 1048576, &mib) || mib == 0))) {
        fprintf(stderr, "usage: %s port directory [MiB]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    directory = argv[2];
    if (stat(directory, &about) != 0 || !S_ISDIR(about.st_mode)) {
        fprintf(stderr, "%s is not a directory\n", directory);
        return 1;
    }
    limit = (uint64_t)mib << 20;
    config.port = port == 0 ? UHTTP_PORT_ANY : (int)port;
    config.event_mode = true;
    config.max_connections = UPLOADS_MAX;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %ld: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);

    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }

    for (uhttp_conn *c = NULL; (c = uhttp_next(server, c)) != NULL; )
        upload_free((upload *)uhttp_context(c));
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
