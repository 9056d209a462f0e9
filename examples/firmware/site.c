/* site.c - see site.h
 *
 * No printf, no allocation, nothing that waits. What a request is in the middle of is kept in
 * the request's own context pointer, so the site needs no table of connections.
 */
#include "site.h"
#include "device.h"

#include <string.h>

#define TICK_MS     500
#define IMAGE_MAX   (4u * 1024 * 1024)
#define LED_MAX     100u        /* bytes of the body of PUT /api/led */

static uint32_t ticked_ms;      /* when the last measurement was taken */
static uint32_t measurements;
static bool led_is_on;
static bool restart;
static const char console = 0;  /* its address is the context of a WebSocket */
static uint64_t update;         /* the request that writes the flash; 0: none */

static const char page[] =
    "<!doctype html><html lang=en><meta charset=utf-8><title>Device</title>\n"
    "<meta name=viewport content='width=device-width'>\n"
    "<style>body{font:16px sans-serif;margin:2em;max-width:40em}b{font-size:2em}</style>\n"
    "<h1>Device</h1>\n"
    "<p><b id=value>-</b> &deg;C, measurement <span id=number>-</span></p>\n"
    "<p><label><input type=checkbox id=led> LED</label></p>\n"
    "<p>Firmware: <input type=file id=file> <button id=send>Install</button>\n"
    "<a href=/firmware download=firmware.bin>Download</a></p>\n"
    "<pre id=out></pre>\n"
    "<script>\n"
    "const $ = id => document.getElementById(id);\n"
    "const say = text => $('out').textContent = text;\n"
    "new EventSource('/events').onmessage = e => {\n"
    "    const m = JSON.parse(e.data);\n"
    "    $('value').textContent = m.celsius.toFixed(1);\n"
    "    $('number').textContent = m.number;\n"
    "};\n"
    "fetch('/api/led').then(r => r.json()).then(led => $('led').checked = led.on);\n"
    "$('led').onchange = () => fetch('/api/led',\n"
    "    { method: 'PUT', body: JSON.stringify({ on: $('led').checked }) });\n"
    "$('send').onclick = async () => {\n"
    "    const file = $('file').files[0];\n"
    "    if (!file) return say('choose a file');\n"
    "    say('sending ' + file.size + ' bytes');\n"
    "    say(await (await fetch('/firmware', { method: 'PUT', body: file })).text());\n"
    "};\n"
    "</script></html>\n";

/*--- numbers ---------------------------------------------------------------------*/

/* Adds to a CRC-32, four bits a step: a table of 64 bytes, where 1 KiB would be twice as fast. */
static uint32_t crc_add(uint32_t crc, const void *data, size_t length)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158,
        0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4,
        0xa00ae278, 0xbdbdf21c
    };
    const uint8_t *p = (const uint8_t *)data;
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static void write_hex(uint32_t value, char text[9])
{
    for (int i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    text[8] = '\0';
}

/* Reads a decimal number; false: it is none, or larger than max. */
static bool read_number(const char *text, uint32_t max, uint32_t *number)
{
    uint32_t n = 0;
    if (text == NULL || *text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        uint32_t digit = (uint32_t)(*text - '0');
        if (digit > 9 || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *number = n;
    return true;
}

/*--- measurements ----------------------------------------------------------------*/

/* A WebSocket's path is no longer there, and it waits for nothing. */
static bool waits_at(const uhttp_conn *c, const char *path)
{
    return uhttp_context(c) != &console && strcmp(uhttp_path(c), path) == 0;
}

/* Stands for a sensor: up and down between 18.0 and 25.9 degrees. */
static double celsius(void)
{
    uint32_t step = measurements % 158;
    return (double)(180 + (step < 79 ? step : 158 - step)) / 10.0;
}

static void write_measurement(uhttp_json_writer *w)
{
    uhttp_json_object_begin(w);
    uhttp_json_key(w, "number");
    uhttp_json_uint(w, measurements);
    uhttp_json_key(w, "celsius");
    uhttp_json_double(w, celsius());
    uhttp_json_object_end(w);
}

static void respond_measurement(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    write_measurement(&w);
    if (uhttp_json_respond(&w, 200) != UHTTP_OK)
        uhttp_close(c);
}

/* A listener that reads too slowly (UHTTP_ERR_AGAIN) misses this one: the next is as good. */
static void send_measurement(uhttp_conn *c)
{
    char text[64];
    uhttp_json_writer w;
    uhttp_sse_event event = { 0 };
    uhttp_json_begin(&w, text, sizeof text);
    write_measurement(&w);
    event.data = text;
    (void)uhttp_sse_send(c, &event);    /* CLOSED: the server lets go of it */
}

int site_tick(uhttp_server *server)
{
    uint32_t passed = device_millis() - ticked_ms;
    uhttp_conn *next;
    if (passed < TICK_MS)
        return (int)(TICK_MS - passed);
    ticked_ms += passed - passed % TICK_MS;
    measurements++;
    for (uhttp_conn *c = uhttp_next(server, NULL); c != NULL; c = next) {
        next = uhttp_next(server, c);
        if (waits_at(c, "/api/next"))
            respond_measurement(c);
        else if (waits_at(c, "/events"))
            send_measurement(c);
    }
    return TICK_MS;
}

/*--- GET -------------------------------------------------------------------------*/

static void get_page(uhttp_conn *c)
{
    uhttp_respond_static(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
}

void site_status(uhttp_json_writer *w, const uhttp_server *server)
{
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    uhttp_json_object_begin(w);
    uhttp_json_key(w, "uptime_ms");
    uhttp_json_uint(w, device_millis());
    uhttp_json_key(w, "accepted");
    uhttp_json_uint(w, stats.accepted);
    uhttp_json_key(w, "requests");
    uhttp_json_uint(w, stats.requests);
    uhttp_json_key(w, "refused");
    uhttp_json_uint(w, stats.refused);
    uhttp_json_key(w, "evicted");
    uhttp_json_uint(w, stats.evicted);
    uhttp_json_key(w, "accept_failures");
    uhttp_json_uint(w, stats.accept_failures);
    uhttp_json_key(w, "connections");
    uhttp_json_uint(w, stats.connections);
    uhttp_json_key(w, "held");
    uhttp_json_uint(w, stats.held);
    uhttp_json_key(w, "forgotten");
    uhttp_json_uint(w, stats.forgotten);
    device_status(w);
    uhttp_json_object_end(w);
}

static void get_status(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    site_status(&w, uhttp_server_of(c));
    if (uhttp_json_respond(&w, 200) != UHTTP_OK)
        uhttp_respond_error(c, 500);
}

static void respond_led(uhttp_conn *c)
{
    uhttp_respond_json(c, 200, led_is_on ? "{\"on\":true}" : "{\"on\":false}");
}

/* Held until site_tick() answers it. A client that asks by HEAD wants nothing to wait for. */
static void get_next(uhttp_conn *c)
{
    if (strcmp(uhttp_method(c), "HEAD") == 0)
        respond_measurement(c);
}

static void get_events(uhttp_conn *c)
{
    if (uhttp_sse_begin(c) != UHTTP_OK)
        uhttp_respond_error(c, 503);
    else if (strcmp(uhttp_method(c), "HEAD") == 0)
        uhttp_sse_end(c);
    else
        send_measurement(c);
}

/* With all its constants: a product whose image contains a secret, as tls.c's test key, must
 * not hand it out. */
static void get_firmware(uhttp_conn *c)
{
    uhttp_respond_file(c, "firmware.bin", NULL);
}

/* Sends until there is no room; UHTTP_EVENT_WRITABLE comes when there is some again. What is
 * left to send is in the context. */
static void go_on_sending(uhttp_conn *c)
{
    size_t left = (size_t)(uintptr_t)uhttp_context(c);
    while (left > 0) {
        size_t piece = left < 256 ? left : 256;
        uhttp_result result = uhttp_stream_write(c, page, piece);
        if (result != UHTTP_OK && result != UHTTP_ERR_AGAIN)
            uhttp_close(c);
        if (result != UHTTP_OK)
            break;
        left -= piece;
    }
    uhttp_set_context(c, (void *)(uintptr_t)left);
    if (left == 0)
        uhttp_stream_end(c);
}

static void get_speed(uhttp_conn *c)
{
    uint32_t bytes;
    if (!read_number(uhttp_query(c, "bytes"), 100000000u, &bytes)) {
        uhttp_respond_error(c, 400);
        return;
    }
    if (uhttp_stream_begin(c, 200, "application/octet-stream") != UHTTP_OK) {
        uhttp_respond_error(c, 503);
        return;
    }
    if (strcmp(uhttp_method(c), "HEAD") == 0)
        bytes = 0;                              /* none of them would be sent */
    uhttp_set_context(c, (void *)(uintptr_t)bytes);
    go_on_sending(c);
}

/*--- a console over WebSocket ----------------------------------------------------*/

static void get_console(uhttp_conn *c)
{
    if (!uhttp_is_websocket_request(c)) {
        uhttp_respond_error(c, 426);
        return;
    }
    uhttp_result result = uhttp_ws_accept(c, NULL);
    if (result == UHTTP_OK)
        uhttp_set_context(c, (void *)(uintptr_t)&console);
    else if (result == UHTTP_ERR_UNSUPPORTED)
        uhttp_respond_error(c, 501);            /* built with UHTTP_NO_WEBSOCKET */
}

/* One command, one answer. A client that does not read its answers gets none: it is closed. */
static void run_command(uhttp_conn *c)
{
    const char *command = uhttp_ws_message(c, NULL);
    const char *answer = "commands: led, led on, led off";
    if (strcmp(command, "led on") == 0 || strcmp(command, "led off") == 0)
        led_is_on = command[5] == 'n';
    if (strncmp(command, "led", 3) == 0)
        answer = led_is_on ? "the led is on" : "the led is off";
    if (uhttp_ws_send(c, UHTTP_WS_TEXT, answer, strlen(answer)) == UHTTP_ERR_AGAIN)
        uhttp_ws_close(c, 1013, "too slow");
}

/*--- bodies ----------------------------------------------------------------------*/

static void put_led(uhttp_conn *c)
{
    if (uhttp_accept_body(c, LED_MAX) != UHTTP_OK)
        uhttp_close(c);
}

static void led_complete(uhttp_conn *c)
{
    uhttp_str text = { NULL, 0 };
    text.ptr = (const char *)uhttp_body(c, &text.len);
    if (!uhttp_json_valid(text, NULL) ||
        uhttp_json_to_bool(uhttp_json_find(text, "on"), &led_is_on) != UHTTP_OK)
        uhttp_respond_error(c, 400);
    else
        respond_led(c);
}

static void respond_sum(uhttp_conn *c)
{
    char hex[9];
    uhttp_json_writer w;
    write_hex((uint32_t)(uintptr_t)uhttp_context(c), hex);
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "bytes");
    uhttp_json_uint(&w, uhttp_bytes_received(c));
    uhttp_json_key(&w, "crc32");
    uhttp_json_string(&w, hex);
    uhttp_json_object_end(&w);
    if (uhttp_json_respond(&w, 200) != UHTTP_OK)
        uhttp_close(c);
}

static void put_speed(uhttp_conn *c)
{
    if (uhttp_accept_body_streaming(c, 0) != UHTTP_OK)
        uhttp_close(c);
}

static void update_drop(const uhttp_conn *c)
{
    if (update == 0 || update != uhttp_id(c))
        return;
    (void)device_flash_end(false);
    update = 0;
}

/* Does a browser send this for another site's page? Who is no browser is not kept away: add a
 * password (examples/auth.c). */
static bool is_foreign(uhttp_conn *c)
{
    const char *site = uhttp_header(c, "Sec-Fetch-Site");
    return site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

static void put_firmware(uhttp_conn *c)
{
    if (is_foreign(c)) {
        uhttp_respond_error(c, 403);
    } else if (update != 0) {
        uhttp_add_header(c, "Retry-After", "5");
        uhttp_respond_error(c, 503);
    } else if (uhttp_content_length(c) > (int64_t)IMAGE_MAX) {
        uhttp_respond_error(c, 413);
    } else if (!device_flash_begin()) {
        uhttp_respond_error(c, 500);
    } else {
        update = uhttp_id(c);
        if (uhttp_accept_body_streaming(c, IMAGE_MAX) != UHTTP_OK) {
            update_drop(c);
            uhttp_close(c);
        }
    }
}

/* The image is whole. If its sender has announced a checksum, it is installed only with that. */
static void update_complete(uhttp_conn *c)
{
    const char *announced = uhttp_query(c, "crc32");
    char hex[9];
    write_hex((uint32_t)(uintptr_t)uhttp_context(c), hex);
    if (uhttp_bytes_received(c) == 0) {
        uhttp_respond_error(c, 400);
    } else if (announced != NULL && strcmp(announced, hex) != 0) {
        uhttp_respond_error(c, 422);
    } else {
        update = 0;
        if (device_flash_end(true))
            respond_sum(c);
        else
            uhttp_respond_error(c, 500);
        return;
    }
    update_drop(c);
}

/* A piece of an upload. The CRC is kept in the context, as 32 bits fit a pointer. */
static void take_piece(uhttp_conn *c)
{
    size_t length;
    const void *data = uhttp_read_buffer(c, &length);
    if (data == NULL)
        return;
    uint32_t crc = crc_add((uint32_t)(uintptr_t)uhttp_context(c), data, length);
    uhttp_set_context(c, (void *)(uintptr_t)crc);
    if (update == uhttp_id(c) && !device_flash_write(data, length)) {
        update_drop(c);
        uhttp_respond_error(c, 500);
    }
}

static void complete(uhttp_conn *c)
{
    if (strcmp(uhttp_path(c), "/api/led") == 0) {
        led_complete(c);
        return;
    }
    take_piece(c);
    if (update == uhttp_id(c))
        update_complete(c);
    else
        respond_sum(c);
}

static void post_restart(uhttp_conn *c)
{
    if (is_foreign(c)) {
        uhttp_respond_error(c, 403);
        return;
    }
    restart = true;
    uhttp_respond_text(c, 200, "restarting\n");
}

bool site_wants_restart(void)
{
    return restart;
}

void site_end(uhttp_server *server)
{
    uhttp_conn *next;
    for (uhttp_conn *c = uhttp_next(server, NULL); c != NULL; c = next) {
        next = uhttp_next(server, c);
        if (uhttp_context(c) == &console)
            uhttp_ws_close(c, 1001, NULL);      /* going away */
        else if (waits_at(c, "/events"))
            uhttp_sse_end(c);
        else if (waits_at(c, "/api/next"))
            uhttp_respond_error(c, 503);
    }
}

/*--- which request goes where ----------------------------------------------------*/

static const struct route {
    const char *path;
    const char *allow;
    void (*get)(uhttp_conn *c);
    void (*put)(uhttp_conn *c);
    void (*post)(uhttp_conn *c);
} routes[] = {
    { "/",            "GET, HEAD",      get_page,     NULL,         NULL },
    { "/api/status",  "GET, HEAD",      get_status,   NULL,         NULL },
    { "/api/led",     "GET, HEAD, PUT", respond_led,  put_led,      NULL },
    { "/api/next",    "GET, HEAD",      get_next,     NULL,         NULL },
    { "/events",      "GET, HEAD",      get_events,   NULL,         NULL },
    { "/console",     "GET",            get_console,  NULL,         NULL },
    { "/firmware",    "GET, HEAD, PUT", get_firmware, put_firmware, NULL },
    { "/speed",       "GET, HEAD, PUT", get_speed,    put_speed,    NULL },
    { "/api/restart", "POST",           NULL,         NULL,         post_restart },
};

static void request(uhttp_conn *c)
{
    const char *method = uhttp_method(c);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *r = &routes[i];
        if (strcmp(uhttp_path(c), r->path) != 0)
            continue;
        void (*answer)(uhttp_conn *) =
            strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ? r->get
            : strcmp(method, "PUT") == 0 ? r->put
            : strcmp(method, "POST") == 0 ? r->post : NULL;
        if (answer != NULL)
            answer(c);
        else
            uhttp_respond_not_allowed(c, r->allow);
        return;
    }
    uhttp_respond_error(c, 404);
}

void site_serve(uhttp_conn *c)
{
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
        request(c);
        break;
    case UHTTP_EVENT_DATA:
        take_piece(c);
        break;
    case UHTTP_EVENT_COMPLETE:
        complete(c);
        break;
    case UHTTP_EVENT_WRITABLE:
        if (strcmp(uhttp_path(c), "/speed") == 0)
            go_on_sending(c);
        break;
    case UHTTP_EVENT_WS_REQUEST:
        request(c);
        break;
    case UHTTP_EVENT_WS_MESSAGE:
        run_command(c);
        break;
    case UHTTP_EVENT_ERROR:
    case UHTTP_EVENT_CLOSED:
        update_drop(c);
        break;
    default:
        break;
    }
}

/*--- the running image as a file -------------------------------------------------*/

static uhttp_result image_open(void *user, const char *path, const char *root, void **file,
                               uhttp_file_info *info)
{
    (void)user, (void)root;
    if (strcmp(path, "firmware.bin") != 0)
        return UHTTP_ERR_SYSTEM;
    info->size = device_image_size();
    info->etag = "running";         /* it changes only with a restart */
    *file = NULL;
    return UHTTP_OK;
}

static size_t image_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    size_t left = device_image_size() - (size_t)offset;
    (void)user, (void)file;
    if (length > left)
        length = left;
    device_image_read((size_t)offset, to, length);
    return length;
}

static void image_close(void *user, void *file)
{
    (void)user, (void)file;
}

void site_configure(uhttp_config *config)
{
    static const uhttp_files files = { NULL, image_open, image_read, image_close,
                                       NULL, NULL, NULL };
    config->event_mode = true;
    config->files = &files;
    ticked_ms = device_millis();
}
