/* events.c - a page with live values: Server-Sent Events to many listeners
 *
 *     cc -o events examples/events.c && ./events [port]
 *     curl -N http://localhost:8080/events
 *
 * A measurement is taken once a second and sent to everybody who listens. Its id is the
 * time it was taken, so ids go on where they were when the server is started again: a browser
 * that lost its connection comes back by itself, tells the last id it has seen, and gets what
 * it missed, as far as it is remembered.
 *
 * Whoever reads too slowly has no room for a measurement (UHTTP_ERR_AGAIN). What then, is the
 * program's choice: /events skips it, since the next is as good; /events?all must have no
 * gaps, so the listener is dropped, comes back, and begins where it was.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REMEMBERED 64           /* measurements: about a minute */

typedef struct measurement {
    long long id;               /* seconds since 1970 */
    double temperature;
} measurement;

static measurement memory[REMEMBERED];      /* a ring */
static unsigned taken;                      /* so many, the last at (taken - 1) % REMEMBERED */
static uhttp_server *server;
static volatile sig_atomic_t stop;

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><meta charset=\"utf-8\"><title>Events</title>\n"
    "<style>body{font:18px sans-serif;margin:2em}b{font-size:3em}.lost{color:#aaa}</style>\n"
    "<h1>Temperature</h1>\n"
    "<p id=\"state\">connecting</p>\n"
    "<p><b id=\"value\">-</b> &deg;C</p>\n"
    "<p><span id=\"count\">0</span> measurements, the last at <span id=\"id\">-</span></p>\n"
    "<canvas id=\"chart\" width=\"640\" height=\"160\"></canvas>\n"
    "<script>\n"
    "const show = (id, text) => document.getElementById(id).textContent = text;\n"
    "const context = document.getElementById('chart').getContext('2d');\n"
    "const values = [];\n"
    "const source = new EventSource('/events');\n"
    "source.onopen = () => { show('state', 'connected'); document.body.className = ''; };\n"
    "source.onerror = () => { show('state', 'waiting for the server');\n"
    "                         document.body.className = 'lost'; };\n"
    "source.addEventListener('measurement', event => {\n"
    "    const data = JSON.parse(event.data);\n"
    "    show('value', data.temperature.toFixed(2));\n"
    "    show('id', event.lastEventId);\n"
    "    show('count', values.push(data.temperature));\n"
    "    context.clearRect(0, 0, 640, 160);\n"
    "    context.beginPath();\n"
    "    values.slice(-160).forEach((t, i) => context.lineTo(i * 4, 160 - (t - 15) * 16));\n"
    "    context.stroke();\n"
    "});\n"
    "</script></html>\n";

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/*--- what is measured -----------------------------------------------------------*/

/* Stands for a sensor: it wanders between 15 and 25 degrees. */
static double read_sensor(double last)
{
    double step = (rand() % 101 - 50) / 100.0;
    return last + step < 15.0 || last + step > 25.0 ? last - step : last + step;
}

/* True: a second has passed, and there is one more. */
static bool measure(void)
{
    static time_t second;
    measurement last = { 0, 20.0 };
    measurement *m = &memory[taken % REMEMBERED];
    if (time(NULL) == second)
        return false;
    second = time(NULL);
    if (taken > 0)
        last = memory[(taken - 1) % REMEMBERED];
    m->id = (long long)second > last.id ? (long long)second : last.id + 1;  /* never down */
    m->temperature = read_sensor(last.temperature);
    taken++;
    return true;
}

/*--- who listens ----------------------------------------------------------------*/

static uhttp_result send_measurement(uhttp_conn *c, const measurement *m)
{
    char id[24];
    char data[64];
    uhttp_json_writer w;
    uhttp_sse_event event = { 0 };
    uhttp_json_begin(&w, data, sizeof data);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "temperature");
    uhttp_json_double(&w, m->temperature);
    uhttp_json_object_end(&w);
    if (uhttp_json_error(&w) != UHTTP_OK)
        return uhttp_json_error(&w);
    snprintf(id, sizeof id, "%lld", m->id);
    event.event = "measurement";
    event.id = id;
    event.data = data;
    return uhttp_sse_send(c, &event);
}

/* Begins a stream, and sends what the listener does not know yet. */
static void begin(uhttp_conn *c)
{
    const char *last = uhttp_header(c, "Last-Event-ID");
    long long known = last != NULL ? atoll(last) : (long long)time(NULL) - 1;
    uhttp_sse_event hello = { 0 };
    hello.retry_ms = 1000;      /* the pause before it comes back, should we be gone */
    if (uhttp_sse_begin(c) != UHTTP_OK || uhttp_sse_send(c, &hello) != UHTTP_OK) {
        uhttp_close(c);
        return;
    }
    if (strcmp(uhttp_method(c), "HEAD") == 0) {
        uhttp_sse_end(c);
        return;
    }
    for (unsigned i = taken > REMEMBERED ? taken - REMEMBERED : 0; i < taken; i++) {
        const measurement *m = &memory[i % REMEMBERED];
        if (m->id > known && send_measurement(c, m) != UHTTP_OK) {
            uhttp_close(c);
            return;
        }
    }
}

/* All requests but listeners are answered at once, so all that is ours is a listener. */
static void broadcast(const measurement *m)
{
    uhttp_conn *next;
    for (uhttp_conn *c = uhttp_next(server, NULL); c != NULL; c = next) {
        next = uhttp_next(server, c);
        bool needs_all = uhttp_query(c, "all") != NULL;
        if (send_measurement(c, m) == UHTTP_ERR_AGAIN && needs_all)
            uhttp_close(c);     /* it comes back, and gets what it missed */
    }
}

static void end_all(void)
{
    uhttp_conn *next;
    for (uhttp_conn *c = uhttp_next(server, NULL); c != NULL; c = next) {
        next = uhttp_next(server, c);
        uhttp_sse_end(c);
    }
}

/*--- the rest ---------------------------------------------------------------------*/

static void serve(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    if (strcmp(path, "/") == 0)
        uhttp_respond_static(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
    else if (strcmp(path, "/events") == 0)
        begin(c);
    else
        uhttp_respond_error(c, 404);
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
        fprintf(stderr, "usage: %s [port]    0: any that is free\n", argv[0]);
        return 2;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.max_connections = 200;
    config.max_send_buffer = 16 * 1024;     /* a slow listener's share of memory */
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);

    while (!stop) {
        if (measure())
            broadcast(&memory[(taken - 1) % REMEMBERED]);
        uhttp_conn *c = uhttp_wait(server, 100);    /* ten times a second the clock is asked */
        if (c != NULL)
            serve(c);
    }
    end_all();
    for (int i = 0; i < 20 && uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN; i++) {
        uhttp_conn *c = uhttp_wait(server, 100);    /* two seconds for what is under way */
        if (c != NULL)
            uhttp_respond_error(c, 503);
    }
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
