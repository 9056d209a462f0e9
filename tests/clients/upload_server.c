/* The server of tests/clients/long_uploads.sh: answers each upload with the SHA-256 of what came.
 *
 *   upload_server heap | fixed
 *
 * A body is summed up by sha256sum, to which it is piped as it comes; of a form, its file. The
 * server prints where it listens and ends when its input does. */
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct upload {
    FILE *sum;
    char result[64];            /* a file that sha256sum writes */
    bool is_form, in_file;
    uhttp_formdata form;
    char headers[1024];
} upload;

static upload uploads[4];

static upload *upload_of(const uhttp_conn *c) { return (upload *)uhttp_context(c); }

static void upload_end(upload *u)
{
    if (u != NULL && u->sum != NULL)
        pclose(u->sum);
    if (u != NULL)
        remove(u->result);
    if (u != NULL)
        memset(u, 0, sizeof *u);
}

static bool upload_begin(uhttp_conn *c)
{
    char command[128];
    upload *u = uploads;
    while (u < uploads + 4 && u->sum != NULL)
        u++;
    if (u == uploads + 4)
        return false;
    u->is_form = strcmp(uhttp_path(c), "/form") == 0;
    if (u->is_form && uhttp_formdata_begin(&u->form, uhttp_content_type(c), u->headers,
                                           sizeof u->headers) != UHTTP_OK)
        return false;
    snprintf(u->result, sizeof u->result, "sum.%d", (int)(u - uploads));
    snprintf(command, sizeof command, "exec sha256sum >%s", u->result);
    u->sum = popen(command, "w");
    if (u->sum == NULL)
        return false;
    setvbuf(u->sum, NULL, _IONBF, 0);
    uhttp_set_context(c, u);
    return uhttp_accept_body_streaming(c, 0) == UHTTP_OK;
}

static bool upload_write(upload *u, const void *data, size_t length)
{
    return fwrite(data, 1, length, u->sum) == length;
}

static bool upload_take(upload *u, const void *data, size_t length)
{
    uhttp_formdata_event event;
    bool good = true;
    if (!u->is_form)
        return length == 0 || upload_write(u, data, length);
    uhttp_formdata_feed(&u->form, data, length);
    while ((event = uhttp_formdata_next(&u->form)) != UHTTP_FORMDATA_MORE) {
        if (event == UHTTP_FORMDATA_PART)
            u->in_file = u->form.filename != NULL;
        else if (event == UHTTP_FORMDATA_DATA && u->in_file)
            good = good && upload_write(u, u->form.data.ptr, u->form.data.len);
    }
    return good;
}

static void upload_answer(uhttp_conn *c, upload *u)
{
    char digest[65] = "";
    bool good = !u->is_form || uhttp_formdata_error(&u->form, NULL) == UHTTP_OK;
    good = pclose(u->sum) == 0 && good;
    u->sum = NULL;
    FILE *file = fopen(u->result, "r");
    good = good && file != NULL && fread(digest, 1, 64, file) == 64;
    if (file != NULL)
        fclose(file);
    uhttp_respond_text(c, good ? 200 : 500, digest);
    upload_end(u);
}

static void serve(uhttp_conn *c)
{
    size_t length;
    const void *data;
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_HEADERS:
        if (!upload_begin(c))
            uhttp_respond_error(c, 500);
        break;
    case UHTTP_EVENT_DATA:
    case UHTTP_EVENT_COMPLETE:
        data = uhttp_read_buffer(c, &length);
        if (!upload_take(upload_of(c), data, length)) {
            upload_end(upload_of(c));
            uhttp_respond_error(c, 500);
        } else if (uhttp_event(c) == UHTTP_EVENT_COMPLETE) {
            upload_answer(c, upload_of(c));
        }
        break;
    case UHTTP_EVENT_ERROR:
    case UHTTP_EVENT_CLOSED:
        upload_end(upload_of(c));
        break;
    default:
        uhttp_respond_error(c, 404);
    }
}

int main(int argc, char **argv)
{
    static uint8_t memory[UHTTP_MEMORY_SIZE(4, 4096)];
    uhttp_server *server;
    uhttp_config config = { 0 };
    bool fixed = argc == 2 && strcmp(argv[1], "fixed") == 0;
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.event_mode = true;
    config.max_connections = 4;
    config.memory = fixed ? memory : NULL;
    config.memory_size = fixed ? sizeof memory : 0;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    printf("listening on http://127.0.0.1:%d/\n", uhttp_server_port(server));
    fflush(stdout);
    for (;;) {
        struct pollfd input = { 0, POLLIN, 0 };
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            serve(c);
        else if (poll(&input, 1, 0) > 0)
            break;
    }
    uhttp_server_close(server);
    return 0;
}
