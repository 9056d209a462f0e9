/* export.c - a million rows of JSON from constant memory
 *
 *     build: cc -o export examples/export.c
 *     try:   ./export 8080, then curl -N 'http://localhost:8080/export?rows=1000000' | tail -n 1
 *
 * Rows are written as fast as the client reads: when there is no room for a row, the call
 * returns UHTTP_ERR_AGAIN, and UHTTP_EVENT_WRITABLE says when to continue. However many rows
 * there are, an export needs only the number of its next row and the connection's buffers.
 * After a thousand rows without a pause, other clients get their turn.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS  32
#define ROWS_MAX 10000000l
#define TURN     1000           /* rows, then it is somebody else's turn */

typedef struct export_job {
    uhttp_conn *client;         /* NULL: not in use */
    long row, rows;
    bool has_room;              /* false: it waits for UHTTP_EVENT_WRITABLE */
} export_job;

static export_job jobs[CLIENTS];
static uhttp_server *server;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/* Stands for a row of a database, or a record of a log in flash. */
static uhttp_result send_row(uhttp_conn *c, long number)
{
    uhttp_json_writer w;
    uhttp_json_begin_row(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "row");
    uhttp_json_int(&w, number);
    uhttp_json_key(&w, "sensor");
    uhttp_json_string(&w, number % 3 == 0 ? "kitchen" : "garden");
    uhttp_json_key(&w, "temperature");
    uhttp_json_double(&w, 15 + (double)(number % 128) / 8);
    uhttp_json_object_end(&w);
    return uhttp_json_send_row(&w);
}

static void work(export_job *job)
{
    uhttp_result result = UHTTP_OK;
    for (int i = 0; i < TURN && job->row < job->rows && result == UHTTP_OK; i++) {
        result = send_row(job->client, job->row + 1);
        if (result == UHTTP_OK)
            job->row++;
    }
    job->has_room = result == UHTTP_OK;
    if (result == UHTTP_ERR_AGAIN)
        return;
    if (result != UHTTP_OK) {       /* an export that breaks off must look so */
        uhttp_close(job->client);
        job->client = NULL;
    } else if (job->row == job->rows) {
        uhttp_ndjson_end(job->client);
        job->client = NULL;
    }
}

/* Gives each export with room its turn; true: one of them has still more to do. */
static bool work_all(void)
{
    bool more = false;
    for (int i = 0; i < CLIENTS; i++) {
        if (jobs[i].client != NULL && jobs[i].has_room)
            work(&jobs[i]);
        more = more || (jobs[i].client != NULL && jobs[i].has_room);
    }
    return more;
}

static void begin(uhttp_conn *c)
{
    const char *text = uhttp_query(c, "rows");
    char *end = NULL;
    long rows = text != NULL ? strtol(text, &end, 10) : 1000000;
    if (text != NULL && (*text < '0' || *text > '9' || *end != '\0' || rows > ROWS_MAX)) {
        uhttp_respond_text(c, 400, "rows is a number up to 10000000\n");
        return;
    }
    export_job *job = jobs;
    while (job->client != NULL)     /* there are as many as connections */
        job++;
    const char *saved_as = "attachment; filename=rows.ndjson";
    if (uhttp_add_header(c, "Content-Disposition", saved_as) != UHTTP_OK ||
        uhttp_ndjson_begin(c) != UHTTP_OK) {
        uhttp_close(c);
        return;
    }
    job->client = c;
    job->row = 0;
    job->rows = rows;
    job->has_room = true;
    uhttp_set_context(c, job);
}

static void serve(uhttp_conn *c)
{
    export_job *job = (export_job *)uhttp_context(c);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_WRITABLE:
        job->has_room = true;
        break;
    case UHTTP_EVENT_CLOSED:
        if (job != NULL)
            job->client = NULL;
        break;
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_WS_REQUEST:
        if (strcmp(uhttp_path(c), "/export") == 0)
            begin(c);
        else
            uhttp_respond_error(c, 404);
        break;
    case UHTTP_EVENT_HEADERS:       /* nobody may send us a body */
        uhttp_respond_error(c, 413);
        break;
    default:
        break;
    }
}

/* Reads a port; 0: any that is free, -1: not one. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0';
    return is_number && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    uhttp_config config = { 0 };
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    if (argc > 2 || port < 0) {
        fprintf(stderr, "usage: %s [port]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.event_mode = true;
    config.max_connections = CLIENTS;
    config.max_send_buffer = 16 * 1024;     /* of each export */
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/export\n", uhttp_server_port(server));
    fflush(stdout);

    bool more = false;
    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, more ? 0 : -1);
        if (c != NULL)
            serve(c);
        more = work_all();
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);             /* exports under way break off, and look so */
    puts("stopped");
    return 0;
}
