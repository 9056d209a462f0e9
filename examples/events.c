/* events.c - a page with live values: Server-Sent Events to many clients
 *
 *     build: cc -o events examples/events.c
 *     try:   ./events 8080, then open http://localhost:8080/, or:
 *            curl -N http://localhost:8080/events
 *
 * A measurement is taken once a second and sent to every client. Its id is the time it was
 * taken, so that ids continue after a restart of the server: a browser that has lost its
 * connection reconnects automatically, sends the last id it has seen, and gets what it missed,
 * as far as the server still has it.
 *
 * For a client that reads too slowly there may be no room (UHTTP_ERR_AGAIN). What to do then is
 * the program's choice: /events skips the measurement, since the next is as good; /events?all
 * must have no gaps, so the client is disconnected, reconnects, and continues where it was.
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
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<style>:root{color-scheme:light dark;background:Canvas}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}p{margin:.4rem 0}b{font-size:3rem;line-height:1.2}\n"
    "canvas{width:100%;height:220px;margin-top:1rem}.lost b,.lost canvas{opacity:.4}</style>\n"
    "<main><h1>Temperature</h1>\n"
    "<p id=\"state\" role=\"status\">connecting</p>\n"
    "<p><b id=\"value\">-</b> &deg;C</p>\n"
    "<p><span id=\"count\">0</span> measurements, the last at <time id=\"time\">-</time></p>\n"
    "<canvas id=\"chart\" role=\"img\" aria-label=\"the last minutes\"></canvas>\n"
    "<script>\n"
    "const by = id => document.getElementById(id);\n"
    "const clock = s => new Date(s * 1000).toLocaleTimeString('en-GB');\n"
    "const values = [];\n"
    "const SPAN = 150;                       // seconds in the chart\n"
    "function draw() {\n"
    "    const canvas = by('chart'), c = canvas.getContext('2d');\n"
    "    const w = canvas.clientWidth, h = canvas.clientHeight;\n"
    "    canvas.width = w * devicePixelRatio;\n"
    "    canvas.height = h * devicePixelRatio;\n"
    "    c.scale(devicePixelRatio, devicePixelRatio);\n"
    "    c.font = '12px system-ui, sans-serif';\n"
    "    c.fillStyle = c.strokeStyle = getComputedStyle(canvas).color;\n"
    "    const end = values[values.length - 1].time;\n"
    "    const x = time => w - 6 - (end - time) / SPAN * (w - 54);\n"
    "    const y = value => h - 28 - (value - 15) / 10 * (h - 44);\n"
    "    for (let value = 15; value <= 25; value += 5) {\n"
    "        c.fillText(value + ' \\u00b0C', 0, y(value) + 4);\n"
    "        c.globalAlpha = 0.2;\n"
    "        c.fillRect(48, y(value), w - 54, 1);\n"
    "        c.globalAlpha = 1;\n"
    "    }\n"
    "    c.textAlign = 'center';\n"
    "    const step = w < 480 ? 60 : 30;\n"
    "    for (let time = end - end % step; time > end - SPAN; time -= step) {\n"
    "        if (x(time) > 74 && x(time) < w - 26) {\n"
    "            c.fillText(clock(time), x(time), h - 8);\n"
    "            c.fillRect(x(time), h - 28, 1, 5);\n"
    "        }\n"
    "    }\n"
    "    c.strokeStyle = '#d9591c';\n"
    "    c.lineWidth = 2;\n"
    "    c.beginPath();\n"
    "    values.forEach(v => c.lineTo(x(v.time), y(v.temperature)));\n"
    "    c.stroke();\n"
    "}\n"
    "const source = new EventSource('/events');\n"
    "source.onopen = () => { by('state').textContent = 'connected';\n"
    "                        document.body.className = ''; };\n"
    "source.onerror = () => { by('state').textContent = 'waiting for the server';\n"
    "                         document.body.className = 'lost'; };\n"
    "let count = 0;\n"
    "source.addEventListener('measurement', event => {\n"
    "    const time = Number(event.lastEventId);\n"
    "    const { temperature } = JSON.parse(event.data);\n"
    "    values.push({ time, temperature });\n"
    "    while (values[0].time <= time - SPAN)\n"
    "        values.shift();\n"
    "    by('value').textContent = temperature.toFixed(2);\n"
    "    by('count').textContent = ++count;\n"
    "    by('time').textContent = clock(time);\n"
    "    by('time').dateTime = new Date(time * 1000).toISOString();\n"
    "    draw();\n"
    "});\n"
    "onresize = () => { if (values.length > 0) draw(); };\n"
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
        fprintf(stderr, "usage: %s [port]    port 0: any that is free\n", argv[0]);
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
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
