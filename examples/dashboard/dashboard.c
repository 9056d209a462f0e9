/* dashboard.c - the page of a device: sign-in, live charts, log, settings, firmware update
 *
 *     build: cd examples/dashboard && cc -o dashboard dashboard.c device.c sha256.c
 *     try:   ./dashboard, then open http://localhost:8080/, sign in, set a target temperature
 *
 * Values arrive over a WebSocket, the log as Server-Sent Events; settings are a JSON API; a
 * firmware image is written and its digest computed while it arrives. The server runs in the
 * array `memory`, as on a microcontroller. device.c is the board: replace it with yours.
 * Settings, sessions and the image are files in a directory:
 *
 *     ./dashboard [port [password [directory]]]
 *
 * A password on the command line can be read by other users of the machine; without one, the
 * program chooses one and prints it. For HTTPS, put chain.pem and key.pem into the directory
 * (https.c makes them) and build with -DUHTTP_TLS and -lmbedtls -lmbedx509 -lmbedcrypto.
 *
 * page_files.h holds the files of page/, compressed: sh ../rom_pack.sh -z page >page_files.h
 */
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include "device.h"
#include "page_files.h"
#include "sha256.h"

#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS  8
#define BUFFER       2048       /* a browser's request head with its cookies, or a response */
#define VIEWERS      6          /* WebSockets and logs; the other slots are for requests */
#define SESSIONS     8
#define SESSION_MS   (12 * 3600 * 1000u)    /* without use */
#define GUESTS       8          /* addresses with failed sign-ins that are remembered */
#define HISTORY      600        /* measurements */
#define LOG_LINES    40
#define LOG_TEXT     96
#define BODY_MAX     1024       /* of a form or JSON */
#define IMAGE_MAX    (16u * 1024 * 1024)
#define FILES        (sizeof rom_files / sizeof *rom_files)

static unsigned char memory[UHTTP_MEMORY_SIZE(CONNECTIONS, BUFFER)];
static uhttp_server *server;
static volatile sig_atomic_t stop;
static bool restart;
static uint64_t started_ms;
static uint32_t boot;           /* a random number for this run */
static char password[128];

/*--- the log: a ring of lines -------------------------------------------------*/

typedef enum level { INFO, WARNING, ERROR } level;

typedef struct log_line {
    uint64_t time_ms;
    level severity;
    char text[LOG_TEXT];
} log_line;

static log_line log_lines[LOG_LINES];
static unsigned logged;         /* so many, the last at (logged - 1) % LOG_LINES */

/* JSON is UTF-8: replaces all other characters if one was cut off or is not valid. */
static void make_utf8(char *text)
{
    uhttp_str all = { text, strlen(text) };
    if (uhttp_utf8_valid(all))
        return;
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p > 126)
            *p = '?';
    }
}

static void note(level severity, const char *format, ...)
{
    log_line *line = &log_lines[logged % LOG_LINES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line->text, sizeof line->text, format, arguments);
    va_end(arguments);
    make_utf8(line->text);
    line->time_ms = device_millis();
    line->severity = severity;
    logged++;
}

static void on_log(void *user, const char *line)
{
    (void)user;
    note(WARNING, "server: %s", line);
}

/*--- what survives a restart: settings, sessions, what is installed -----------*/

typedef struct record {
    uint32_t version;
    settings set;
    char sessions[SESSIONS][SHA256_HEX];    /* digests of the cookies; "": an empty place */
    char image[SHA256_HEX];                 /* of the firmware; "": as delivered */
    char digest[SHA256_HEX];                /* of all before it */
} record;

#define RECORD_VERSION 1u

static record kept;
static uint64_t session_used_ms[SESSIONS];
static unsigned revision;       /* of the settings: pages ask again when it changes */

static void record_digest(char *hex)
{
    sha256 sum;
    sha256_begin(&sum);
    sha256_add(&sum, &kept, offsetof(record, digest));
    sha256_end(&sum, hex);
}

static void record_load(void)
{
    char digest[SHA256_HEX];
    static const settings delivered = { "Greenhouse", 24, 30, FAN_AUTO, 1, false };
    bool loaded = device_load(&kept, sizeof kept);
    record_digest(digest);
    if (!loaded || kept.version != RECORD_VERSION ||
        memcmp(kept.digest, digest, sizeof digest) != 0) {
        memset(&kept, 0, sizeof kept);
        kept.version = RECORD_VERSION;
        kept.set = delivered;
    }
    for (int i = 0; i < SESSIONS; i++)
        session_used_ms[i] = device_millis();
}

static bool record_save(void)
{
    record_digest(kept.digest);
    bool good = device_save(&kept, sizeof kept);
    if (!good)
        note(ERROR, "cannot write to the storage");
    return good;
}

static void on_access(void *user, const uhttp_access *entry)
{
    (void)user;
    if (kept.set.log_requests)
        note(INFO, "%s %s %s: %d, %u ms", entry->address, entry->method, entry->url,
             entry->status, (unsigned)entry->duration_ms);
}

/*--- answers ------------------------------------------------------------------*/

/* Every response of the API is JSON and not cached. */
static void json_begin(uhttp_json_writer *w, uhttp_conn *c)
{
    uhttp_add_header(c, "Cache-Control", "no-store");
    uhttp_json_begin_response(w, c);
    uhttp_json_object_begin(w);
}

static void json_end(uhttp_json_writer *w, uhttp_conn *c, int status)
{
    uhttp_json_object_end(w);
    if (uhttp_json_respond(w, status) != UHTTP_OK)
        uhttp_respond_error(c, 500);
}

static void put_text(uhttp_json_writer *w, const char *key, const char *value)
{
    uhttp_json_key(w, key);
    uhttp_json_string(w, value);
}

static void put_number(uhttp_json_writer *w, const char *key, uint64_t value)
{
    uhttp_json_key(w, key);
    uhttp_json_uint(w, value);
}

static void put_bool(uhttp_json_writer *w, const char *key, bool value)
{
    uhttp_json_key(w, key);
    uhttp_json_bool(w, value);
}

static void respond_done(uhttp_conn *c)
{
    uhttp_json_writer w;
    json_begin(&w, c);
    json_end(&w, c, 200);
}

static void respond_error(uhttp_conn *c, int status, const char *text)
{
    uhttp_json_writer w;
    json_begin(&w, c);
    put_text(&w, "error", text);
    json_end(&w, c, status);
}

/*--- viewers: pages with a WebSocket or the log open --------------------------*/

typedef struct viewer {
    uint64_t request;           /* whose it is; 0: an empty place */
    int session;
    bool is_log;
    bool blocked;               /* no room to send: UHTTP_EVENT_WRITABLE follows */
    bool tick_due;              /* the server's status, or a comment that keeps a log open */
    unsigned next;              /* the first measurement, or line, that was not sent yet */
} viewer;

static viewer viewers[VIEWERS];

static void viewer_begin(viewer *v, uhttp_conn *c, int session, bool is_log)
{
    memset(v, 0, sizeof *v);
    v->request = uhttp_id(c);
    v->session = session;
    v->is_log = is_log;
    uhttp_set_context(c, v);
}

static void viewer_end(viewer *v)
{
    uhttp_conn *c = uhttp_find(server, v->request);
    v->request = 0;
    if (c == NULL)
        return;
    uhttp_set_context(c, NULL);
    if (v->is_log)
        uhttp_sse_end(c);
    else
        uhttp_ws_close(c, 1001, NULL);
}

/* Half of the places are for WebSockets, half for logs. A client that has left gives its place
 * up at once: no browser shuts its side and goes on reading. NULL: all places are taken. */
static viewer *viewer_new(bool is_log)
{
    viewer *free_place = NULL;
    int same = 0;
    for (int i = 0; i < VIEWERS; i++) {
        uhttp_conn *c = uhttp_find(server, viewers[i].request);
        if (viewers[i].request != 0 && (c == NULL || !uhttp_is_open(c)))
            viewer_end(&viewers[i]);
        if (viewers[i].request == 0)
            free_place = &viewers[i];
        else if (viewers[i].is_log == is_log)
            same++;
    }
    return same < VIEWERS / 2 ? free_place : NULL;
}

/*--- sessions -----------------------------------------------------------------*/

static void digest_text(const char *text, char *hex)
{
    sha256 sum;
    sha256_begin(&sum);
    sha256_add(&sum, text, strlen(text));
    sha256_end(&sum, hex);
}

/* The session of the request's cookie; -1: not signed in. */
static int session_find(uhttp_conn *c)
{
    const char *cookie = uhttp_cookie(c, "dashboard");
    char digest[SHA256_HEX];
    uint64_t now = device_millis();
    if (cookie == NULL)
        return -1;
    digest_text(cookie, digest);
    for (int i = 0; i < SESSIONS; i++) {
        if (kept.sessions[i][0] != '\0' && now - session_used_ms[i] <= SESSION_MS &&
            uhttp_secure_equals(digest, kept.sessions[i])) {
            session_used_ms[i] = now;
            return i;
        }
    }
    return -1;
}

/* Removes a session, and closes what its pages have open. */
static void session_end(int session)
{
    kept.sessions[session][0] = '\0';
    for (int i = 0; i < VIEWERS; i++) {
        if (viewers[i].request != 0 && viewers[i].session == session)
            viewer_end(&viewers[i]);
    }
}

/* Takes an empty place, else that of the session unused for longest; false: no randomness. */
static bool session_new(char *cookie)
{
    unsigned char bytes[16];
    int place = 0;
    if (!device_random(bytes, sizeof bytes))
        return false;
    for (int i = 1; i < SESSIONS && kept.sessions[place][0] != '\0'; i++) {
        if (kept.sessions[i][0] == '\0' || session_used_ms[i] < session_used_ms[place])
            place = i;
    }
    session_end(place);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(cookie + 2 * i, 3, "%02x", bytes[i]);
    digest_text(cookie, kept.sessions[place]);
    session_used_ms[place] = device_millis();
    return true;
}

static void set_cookie(uhttp_conn *c, const char *value)
{
    uhttp_new_cookie cookie = { 0 };
    cookie.name = "dashboard";
    cookie.value = value;
    cookie.max_age_s = value[0] != '\0' ? (int)(SESSION_MS / 1000) : -1;
    cookie.same_site = UHTTP_SAME_SITE_STRICT;
    uhttp_set_cookie(c, &cookie);
}

/* After a wrong password the client's address has to wait, twice as long each time, up to a
 * minute. Until then not even the right password is accepted. */
typedef struct guest {
    char address[46];
    unsigned failures;
    uint64_t until_ms;
} guest;

static guest guests[GUESTS];

static guest *guest_find(uhttp_conn *c)
{
    char address[46] = "";
    guest *oldest = &guests[0];
    uhttp_remote_address(c, address, sizeof address);
    for (int i = 0; i < GUESTS; i++) {
        if (strcmp(guests[i].address, address) == 0)
            return &guests[i];
        if (guests[i].until_ms < oldest->until_ms)
            oldest = &guests[i];
    }
    memset(oldest, 0, sizeof *oldest);
    memcpy(oldest->address, address, sizeof address);
    return oldest;
}

static void respond_wait(uhttp_conn *c, int status, const char *text, uint64_t wait_ms)
{
    uhttp_json_writer w;
    char seconds[16];
    unsigned wait_s = (unsigned)((wait_ms + 999) / 1000);
    snprintf(seconds, sizeof seconds, "%u", wait_s);
    uhttp_add_header(c, "Retry-After", seconds);
    json_begin(&w, c);
    put_text(&w, "error", text);
    put_number(&w, "wait_s", wait_s);
    json_end(&w, c, status);
}

static void sign_in(uhttp_conn *c, int session)
{
    guest *g = guest_find(c);
    const char *given = uhttp_form(c, "password");
    uint64_t now = device_millis();
    char cookie[33];
    (void)session;
    if (now < g->until_ms) {
        respond_wait(c, 429, "Too many attempts.", g->until_ms - now);
        return;
    }
    if (given == NULL || !uhttp_secure_equals(given, password)) {
        uint64_t wait = 1000u << (g->failures < 6 ? g->failures : 6);
        g->failures++;
        g->until_ms = now + (wait < 60000 ? wait : 60000);
        note(WARNING, "wrong password from %s", g->address);
        respond_wait(c, 403, "The password is wrong.", g->until_ms - now);
        return;
    }
    g->failures = 0;
    if (!session_new(cookie)) {
        respond_error(c, 500, "No random numbers.");
        return;
    }
    record_save();
    note(INFO, "signed in from %s", g->address);
    set_cookie(c, cookie);
    respond_done(c);
}

static void sign_out(uhttp_conn *c, int session)
{
    session_end(session);
    record_save();
    note(INFO, "signed out");
    set_cookie(c, "");
    respond_done(c);
}

/* No session needed: a page that lost its connection asks whether it is still signed in. */
static void get_session(uhttp_conn *c, int session)
{
    uhttp_json_writer w;
    json_begin(&w, c);
    put_bool(&w, "signed_in", session >= 0);
    put_bool(&w, "busy", viewer_new(false) == NULL);
    json_end(&w, c, 200);
}

/*--- settings -----------------------------------------------------------------*/

enum { NAME, TARGET, ALARM, FAN, INTERVAL, FIELDS };

static const char *const field_names[FIELDS] = { "name", "target", "alarm", "fan", "interval" };
static const char *const fan_names[] = { "auto", "off", "full" };

static void get_settings(uhttp_conn *c, int session)
{
    uhttp_json_writer w;
    char image[9] = "1.0.0";
    (void)session;
    if (kept.image[0] != '\0')
        memcpy(image, kept.image, 8);
    json_begin(&w, c);
    uhttp_json_key(&w, "settings");
    uhttp_json_object_begin(&w);
    put_text(&w, "name", kept.set.name);
    uhttp_json_key(&w, "target");
    uhttp_json_double(&w, kept.set.target);
    uhttp_json_key(&w, "alarm");
    uhttp_json_double(&w, kept.set.alarm);
    put_text(&w, "fan", fan_names[kept.set.fan]);
    put_number(&w, "interval", (uint64_t)kept.set.interval_s);
    put_bool(&w, "log_requests", kept.set.log_requests);
    uhttp_json_object_end(&w);
    put_number(&w, "revision", revision);
    put_text(&w, "server", uhttp_version());
    put_text(&w, "firmware", image);
    put_number(&w, "image_max", IMAGE_MAX);
    json_end(&w, c, 200);
}

static bool read_name(uhttp_json_value value, char *name, size_t size)
{
    size_t characters = 0;
    bool blank = true;
    if (uhttp_json_to_string(value, name, size) != UHTTP_OK)
        return false;
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++) {
        if (*p < ' ')
            return false;
        characters += (*p & 0xc0) != 0x80;      /* not a byte that continues a character */
        blank = blank && *p == ' ';
    }
    return !blank && characters <= NAME_CHARACTERS;
}

static bool read_within(uhttp_json_value value, double low, double high, double *number)
{
    return uhttp_json_to_double(value, number) == UHTTP_OK && *number >= low && *number <= high;
}

static bool read_fan(uhttp_json_value value, fan_mode *fan)
{
    for (int i = 0; i < 3; i++) {
        if (uhttp_json_equals(value, fan_names[i])) {
            *fan = (fan_mode)i;
            return true;
        }
    }
    return false;
}

/* Reads all settings; why receives what is wrong with each field, NULL: nothing. */
static void read_settings(uhttp_str text, settings *s, const char **why)
{
    int32_t interval = 0;
    memset(s, 0, sizeof *s);
    if (!read_name(uhttp_json_find(text, "name"), s->name, sizeof s->name))
        why[NAME] = "Enter a name of 1 to 24 characters.";
    if (!read_within(uhttp_json_find(text, "target"), 10, 35, &s->target))
        why[TARGET] = "Enter 10 to 35 \xc2\xb0""C.";
    if (!read_within(uhttp_json_find(text, "alarm"), 10, 60, &s->alarm))
        why[ALARM] = "Enter 10 to 60 \xc2\xb0""C.";
    else if (why[TARGET] == NULL && s->alarm <= s->target)
        why[ALARM] = "Must be above the target temperature.";
    if (!read_fan(uhttp_json_find(text, "fan"), &s->fan))
        why[FAN] = "Choose automatic, off or full speed.";
    if (uhttp_json_to_int32(uhttp_json_find(text, "interval"), &interval) != UHTTP_OK ||
        interval < 1 || interval > 60)
        why[INTERVAL] = "Enter 1 to 60 whole seconds.";
    s->interval_s = interval;
    uhttp_json_to_bool(uhttp_json_find(text, "log_requests"), &s->log_requests);
}

static void respond_fields(uhttp_conn *c, const char *const *why)
{
    uhttp_json_writer w;
    json_begin(&w, c);
    put_text(&w, "error", "Not saved.");
    uhttp_json_key(&w, "fields");
    uhttp_json_object_begin(&w);
    for (int i = 0; i < FIELDS; i++) {
        if (why[i] != NULL)
            put_text(&w, field_names[i], why[i]);
    }
    uhttp_json_object_end(&w);
    json_end(&w, c, 422);
}

static void put_settings(uhttp_conn *c, int session)
{
    const char *type = uhttp_content_type(c);
    const char *why[FIELDS] = { NULL };
    settings given, before = kept.set;
    size_t length = 0;
    uhttp_str text;
    text.ptr = (const char *)uhttp_body(c, &length);
    text.len = length;
    if (type == NULL || strncmp(type, "application/json", 16) != 0) {
        respond_error(c, 415, "Send application/json.");
        return;
    }
    if (!uhttp_json_valid(text, NULL)) {
        respond_error(c, 400, "This is not JSON.");
        return;
    }
    read_settings(text, &given, why);
    for (int i = 0; i < FIELDS; i++) {
        if (why[i] != NULL) {
            respond_fields(c, why);
            return;
        }
    }
    kept.set = given;
    if (!record_save()) {
        kept.set = before;
        respond_error(c, 500, "Not saved: the storage cannot be written.");
        return;
    }
    revision++;
    note(INFO, "settings changed: %s, %.1f \xc2\xb0""C", kept.set.name, kept.set.target);
    get_settings(c, session);
}

/*--- measurements, and those who watch them -----------------------------------*/

static sample history[HISTORY];     /* a ring */
static unsigned taken;              /* so many, the last at (taken - 1) % HISTORY */

static float measure(uint64_t now)
{
    sample *s = &history[taken++ % HISTORY];
    *s = device_measure(&kept.set, now);
    return s->temperature;
}

/* Logs once that the temperature has risen above the alarm, or fallen below it. */
static void watch(double temperature)
{
    static bool above;
    bool before = above;
    above = temperature > kept.set.alarm - (before ? 0.5 : 0);
    if (above && !before)
        note(WARNING, "temperature %.1f \xc2\xb0""C is above the alarm", temperature);
    else if (before && !above)
        note(INFO, "temperature %.1f \xc2\xb0""C is below the alarm again", temperature);
}

/* The greenhouse is simulated, so it can start with ten minutes of history. */
static void begin_history(uint64_t now)
{
    taken = 0;
    for (unsigned i = HISTORY; i > 0; i--)
        measure(now - i * 1000 * (unsigned)kept.set.interval_s);
}

/* Writes a value with two decimals. */
static void put_rounded(uhttp_json_writer *w, float value)
{
    int32_t hundredths = (int32_t)(value * 100 + (value < 0 ? -0.5f : 0.5f));
    uhttp_json_double(w, hundredths / 100.0);
}

/* {"samples":[[age in ms, temperature, humidity, fan], ...]}, oldest first; the rest follows in
 * the next message. */
static uhttp_result send_samples(uhttp_conn *c, viewer *v)
{
    uhttp_json_writer w;
    uint64_t now = device_millis();
    unsigned next = v->next;
    uhttp_json_begin_message(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "samples");
    uhttp_json_array_begin(&w);
    for (int i = 0; i < 40 && next != taken; i++) {
        const sample *s = &history[next++ % HISTORY];
        uhttp_json_array_begin(&w);
        uhttp_json_uint(&w, now - s->time_ms);
        put_rounded(&w, s->temperature);
        put_rounded(&w, s->humidity);
        put_rounded(&w, s->fan);
        uhttp_json_array_end(&w);
    }
    uhttp_json_array_end(&w);
    uhttp_json_object_end(&w);
    uhttp_result result = uhttp_json_send_message(&w);
    if (result == UHTTP_OK)
        v->next = next;
    return result;
}

static uhttp_result send_status(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_stats s;
    uhttp_server_stats(server, &s);
    uhttp_json_begin_message(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "status");
    uhttp_json_object_begin(&w);
    put_number(&w, "uptime_s", (device_millis() - started_ms) / 1000);
    put_number(&w, "revision", revision);
    put_number(&w, "slots", CONNECTIONS);
    put_number(&w, "memory", sizeof memory);
    put_number(&w, "process", device_memory());
    put_number(&w, "accepted", s.accepted);
    put_number(&w, "requests", s.requests);
    put_number(&w, "refused", s.refused);
    put_number(&w, "bytes_in", s.bytes_in);
    put_number(&w, "bytes_out", s.bytes_out);
    put_number(&w, "evicted", s.evicted);
    put_number(&w, "accept_failures", s.accept_failures);
    put_number(&w, "connections", s.connections);
    put_number(&w, "websockets", s.websockets);
    put_number(&w, "held", s.held);
    put_number(&w, "forgotten", s.forgotten);
    uhttp_json_object_end(&w);
    uhttp_json_object_end(&w);
    return uhttp_json_send_message(&w);
}

static uhttp_result send_line(uhttp_conn *c, viewer *v)
{
    static const char *const levels[] = { "info", "warning", "error" };
    const log_line *line = &log_lines[v->next % LOG_LINES];
    uhttp_json_writer w;
    uhttp_sse_event event = { 0 };
    char data[LOG_TEXT * 6 + 80];           /* every character may become six */
    char id[24];
    uhttp_json_begin(&w, data, sizeof data);
    uhttp_json_object_begin(&w);
    put_number(&w, "age_ms", device_millis() - line->time_ms);
    put_text(&w, "level", levels[line->severity]);
    put_text(&w, "text", line->text);
    uhttp_json_object_end(&w);
    if (uhttp_json_error(&w) != UHTTP_OK)
        return uhttp_json_error(&w);
    snprintf(id, sizeof id, "%08lx-%u", (unsigned long)boot, v->next);
    event.id = id;
    event.data = data;
    uhttp_result result = uhttp_sse_send(c, &event);
    if (result == UHTTP_OK)
        v->next++;
    return result;
}

static bool viewer_is_due(const viewer *v)
{
    return v->next != (v->is_log ? logged : taken) || v->tick_due;
}

static uhttp_result viewer_send_one(uhttp_conn *c, viewer *v)
{
    unsigned newest = v->is_log ? logged : taken;
    unsigned room = v->is_log ? LOG_LINES : HISTORY;
    if (newest - v->next > room)
        v->next = newest - room;            /* too slow: the rest has been overwritten */
    if (v->next != newest)
        return v->is_log ? send_line(c, v) : send_samples(c, v);
    uhttp_result result = v->is_log ? uhttp_sse_comment(c, NULL) : send_status(c);
    v->tick_due = result == UHTTP_ERR_AGAIN;
    return result;
}

/* Sends a viewer all that is due, as long as there is room. */
static void viewer_send(viewer *v)
{
    uhttp_conn *c = uhttp_find(server, v->request);
    while (c != NULL && !v->blocked && viewer_is_due(v)) {
        uhttp_result result = viewer_send_one(c, v);
        v->blocked = result == UHTTP_ERR_AGAIN;
        if (result != UHTTP_OK && !v->blocked) {
            viewer_end(v);                  /* usually the client has disconnected */
            return;
        }
    }
}

static void viewers_send(void)
{
    for (int i = 0; i < VIEWERS; i++) {
        if (viewers[i].request != 0)
            viewer_send(&viewers[i]);
    }
}

static void get_live(uhttp_conn *c, int session)
{
    viewer *v = viewer_new(false);
    if (v == NULL) {
        respond_error(c, 503, "Too many viewers.");
    } else if (uhttp_ws_accept(c, NULL) == UHTTP_OK) {
        viewer_begin(v, c, session, false);
        v->next = taken > HISTORY ? taken - HISTORY : 0;
        v->tick_due = true;
    }
}

/* The first line that a reader does not have: id is "BOOT-LINE" of its last one. */
static unsigned first_unknown(const char *id)
{
    unsigned long of_boot;
    unsigned line;
    if (id != NULL && sscanf(id, "%8lx-%u", &of_boot, &line) == 2 && of_boot == boot &&
        line < logged)
        return line + 1;
    return logged > LOG_LINES ? logged - LOG_LINES : 0;
}

static void get_log(uhttp_conn *c, int session)
{
    viewer *v = viewer_new(true);
    const char *last = uhttp_header(c, "Last-Event-ID");
    unsigned first = first_unknown(last != NULL ? last : uhttp_query(c, "last"));
    if (v == NULL) {
        respond_error(c, 503, "Too many viewers.");
    } else if (uhttp_sse_begin(c) != UHTTP_OK) {
        uhttp_close(c);
    } else {
        viewer_begin(v, c, session, true);
        v->next = first;
    }
}

/*--- firmware: one image at a time --------------------------------------------*/

static struct update {
    uint64_t request;           /* whose it is; 0: there is none */
    uint32_t bytes;
    sha256 digest;
    char expected[SHA256_HEX];  /* "": none was announced */
} update;

static void update_drop(void)
{
    if (update.request == 0)
        return;
    flash_drop();
    update.request = 0;
}

/* Refuses the image and says why; the installed one stays. */
static void update_refuse(uhttp_conn *c, int status, const char *why)
{
    note(WARNING, "firmware not installed: %s", why);
    update_drop();
    respond_error(c, status, why);
}

static void update_end(uhttp_conn *c)
{
    char digest[SHA256_HEX];
    uhttp_json_writer w;
    sha256_end(&update.digest, digest);
    if (update.bytes == 0) {
        update_refuse(c, 400, "The image is empty.");
        return;
    }
    if (update.expected[0] != '\0' && strcmp(update.expected, digest) != 0) {
        update_refuse(c, 422, "The image is damaged: its digest does not match.");
        return;
    }
    if (!flash_install()) {
        update_refuse(c, 500, "The flash cannot be written.");
        return;
    }
    update.request = 0;
    memcpy(kept.image, digest, sizeof digest);
    record_save();
    note(INFO, "firmware installed: %.8s, %lu bytes", digest, (unsigned long)update.bytes);
    json_begin(&w, c);
    put_number(&w, "bytes", update.bytes);
    put_text(&w, "sha256", digest);
    json_end(&w, c, 200);
}

/* Takes what has arrived; ended: the image is complete. */
static void update_take(uhttp_conn *c, const void *data, size_t length, bool ended)
{
    if (length > IMAGE_MAX - update.bytes) {
        update_refuse(c, 413, "The image is larger than the flash.");
        return;
    }
    if (length > 0 && !flash_write(data, length)) {
        update_refuse(c, 500, "The flash cannot be written.");
        return;
    }
    sha256_add(&update.digest, data, length);
    update.bytes += (uint32_t)length;
    if (ended)
        update_end(c);
}

static void put_firmware(uhttp_conn *c, int session)
{
    const char *expected = uhttp_query(c, "sha256");
    (void)session;
    if (update.request != 0) {
        respond_error(c, 409, "Another update is under way.");
        return;
    }
    if (uhttp_content_length(c) > (int64_t)IMAGE_MAX) {
        respond_error(c, 413, "The image is larger than the flash.");
        return;
    }
    memset(&update, 0, sizeof update);
    if (expected != NULL && strlen(expected) != SHA256_HEX - 1) {
        respond_error(c, 400, "sha256 has 64 digits.");
        return;
    }
    if (expected != NULL)
        memcpy(update.expected, expected, SHA256_HEX);
    if (!flash_begin()) {
        respond_error(c, 500, "The flash cannot be written.");
        return;
    }
    update.request = uhttp_id(c);
    sha256_begin(&update.digest);
    if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
        size_t length = 0;
        const void *body = uhttp_body(c, &length);
        update_take(c, body, length, true);
    } else if (uhttp_accept_body_streaming(c, IMAGE_MAX) != UHTTP_OK) {
        update_drop();
    }
}

static void update_continue(uhttp_conn *c)
{
    size_t length = 0;
    const void *data = uhttp_read_buffer(c, &length);
    update_take(c, data, length, uhttp_event(c) == UHTTP_EVENT_COMPLETE);
}

static void post_restart(uhttp_conn *c, int session)
{
    (void)session;
    if (update.request != 0) {
        respond_error(c, 409, "An update is under way.");
        return;
    }
    restart = true;
    respond_done(c);
}

/*--- routes -------------------------------------------------------------------*/

static const struct route {
    const char *path;
    const char *method;
    bool everybody;             /* no need to be signed in */
    void (*answer)(uhttp_conn *c, int session);
} routes[] = {
    { "/api/session",  "GET",  true,  get_session },
    { "/api/login",    "POST", true,  sign_in },
    { "/api/logout",   "POST", false, sign_out },
    { "/api/settings", "GET",  false, get_settings },
    { "/api/settings", "PUT",  false, put_settings },
    { "/api/live",     "GET",  false, get_live },
    { "/api/log",      "GET",  false, get_log },
    { "/api/firmware", "PUT",  false, put_firmware },
    { "/api/restart",  "POST", false, post_restart },
};

static void serve_page(uhttp_conn *c)
{
    uhttp_add_header(c, "Cache-Control", "no-cache");   /* revalidate; usually a 304 */
    uhttp_result result = uhttp_serve_rom(c, rom_files, FILES, "/");
    if (result != UHTTP_OK && result != UHTTP_ERR_CLOSED)
        uhttp_respond_error(c, 500);
}

/* A complete request, or the head of a firmware image. */
static void answer(uhttp_conn *c)
{
    const char *allow = NULL;
    int session = session_find(c);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *r = &routes[i];
        if (strcmp(uhttp_path(c), r->path) != 0)
            continue;
        allow = allow == NULL ? r->method : "GET, PUT";
        if (strcmp(uhttp_method(c), r->method) != 0)
            continue;
        if (session < 0 && !r->everybody)
            respond_error(c, 401, "Sign in first.");
        else
            r->answer(c, session);
        return;
    }
    if (allow != NULL)
        uhttp_respond_not_allowed(c, allow);
    else
        serve_page(c);
}

static void serve(uhttp_conn *c)
{
    viewer *v = (viewer *)uhttp_context(c);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_HEADERS:       /* an image is taken piece by piece, other bodies whole */
        if (strcmp(uhttp_path(c), "/api/firmware") != 0)
            uhttp_accept_body(c, 0);
        else
            answer(c);
        break;
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_WS_REQUEST:
        answer(c);
        break;
    case UHTTP_EVENT_DATA:
        update_continue(c);
        break;
    case UHTTP_EVENT_COMPLETE:
        if (uhttp_id(c) == update.request)
            update_continue(c);
        else
            answer(c);
        break;
    case UHTTP_EVENT_WRITABLE:
        if (v != NULL)
            v->blocked = false;
        break;
    case UHTTP_EVENT_ERROR:         /* the body broke off or is too large: answered for us */
    case UHTTP_EVENT_CLOSED:
    case UHTTP_EVENT_WS_CLOSE:
        if (uhttp_id(c) == update.request) {
            note(WARNING, "firmware not installed: the upload broke off");
            update_drop();
        }
        if (v != NULL && v->request == uhttp_id(c))
            v->request = 0;
        break;
    default:                        /* messages from pages are ignored */
        break;
    }
}

/*--- the loop -----------------------------------------------------------------*/

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    if (server != NULL)
        uhttp_server_wakeup(server);
}

/* Once a second: measures if it is time, and has the server's status sent to all viewers. */
static void tick(uint64_t now)
{
    static uint64_t measured_ms;
    if (now - measured_ms + 100 >= (uint64_t)kept.set.interval_s * 1000) {
        measured_ms = now;
        watch((double)measure(now));
    }
    for (int i = 0; i < VIEWERS; i++) {
        if (viewers[i].request == 0)
            continue;
        session_used_ms[viewers[i].session] = now;
        if (!viewers[i].is_log || now / 1000 % 15 == 0)
            viewers[i].tick_due = true;
    }
}

static void run(void)
{
    uint64_t next_ms = device_millis();
    while (!stop && !restart) {
        uint64_t now = device_millis();
        if (now >= next_ms) {
            next_ms = now - next_ms < 1000 ? next_ms + 1000 : now + 1000;
            tick(now);
        }
        viewers_send();
        uhttp_conn *c = uhttp_wait(server, now < next_ms ? (int)(next_ms - now) : 0);
        if (c != NULL)
            serve(c);
    }
}

/* Shuts down: what is in progress has three seconds to finish. */
static void end(void)
{
    uint64_t begun = device_millis();
    note(INFO, restart ? "restarting" : "stopping");
    viewers_send();
    for (int i = 0; i < VIEWERS; i++) {
        if (viewers[i].request != 0)
            viewer_end(&viewers[i]);
    }
    while (uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN && device_millis() - begun < 3000) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            serve(c);
    }
    update_drop();
    uhttp_server *closing = server;
    server = NULL;              /* for on_signal() */
    uhttp_server_close(closing);
}

static bool begin(int port, const char *directory)
{
    uhttp_config config = { 0 };
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.event_mode = true;
    config.max_connections = CONNECTIONS;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.max_content_length = BODY_MAX;
    config.log = on_log;
    config.access_log = on_access;
    config.default_headers =
        "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "X-Content-Type-Options: nosniff\r\n";
#ifdef UHTTP_TLS
    static char chain[512], key[512], error[200];
    uhttp_tls_config tls = { 0 };
    snprintf(chain, sizeof chain, "%s/chain.pem", directory);
    snprintf(key, sizeof key, "%s/key.pem", directory);
    tls.certificate.chain_file = chain;
    tls.certificate.key_file = key;
    tls.error = error;
    tls.error_size = sizeof error;
    config.tls = &tls;
#else
    static const char error[] = "";
    (void)directory;
#endif
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK)
        fprintf(stderr, "cannot listen on port %d: %s\n", port,
                error[0] != '\0' ? error : uhttp_strerror(result));
    return result == UHTTP_OK;
}

/* Starts as after a reset: only the stored record is known. */
static bool start(int port, const char *directory)
{
    memset(viewers, 0, sizeof viewers);
    memset(guests, 0, sizeof guests);
    logged = 0;
    restart = false;
    started_ms = device_millis();
    if (!device_random(&boot, sizeof boot) || !begin(port, directory))
        return false;
    record_load();
    begin_history(started_ms);
    note(INFO, "started, %u bytes for %u connections", (unsigned)sizeof memory, CONNECTIONS);
    return true;
}

static bool make_password(void)
{
    unsigned char bytes[6];
    if (!device_random(bytes, sizeof bytes))
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(password + 2 * i, 3, "%02x", bytes[i]);
    printf("the password is %s\n", password);
    return true;
}

/* A port, 0 for any that is free; -1: neither. */
static int read_port(const char *text)
{
    char *rest;
    long port = strtol(text, &rest, 10);
    return *text >= '0' && *text <= '9' && *rest == '\0' && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    const char *directory = argc > 3 ? argv[3] : ".";
    if (argc > 4 || port < 0 || !device_begin(directory) ||
        (argc > 2 && (argv[2][0] == '\0' || strlen(argv[2]) >= sizeof password))) {
        fprintf(stderr, "usage: %s [port [password [directory]]]    port 0: any that is free\n",
                argv[0]);
        return 2;
    }
    if (argc > 2)
        memcpy(password, argv[2], strlen(argv[2]) + 1);
    else if (!make_password())
        return 1;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    do {
        if (!start(port, directory))
            return 1;
        port = uhttp_server_port(server);   /* the same after a restart */
        printf("listening on %s://localhost:%d/\n", uhttp_server_is_secure(server) ? "https" :
               "http", port);
        fflush(stdout);
        run();
        end();
    } while (!stop);
    puts("stopped");
    return 0;
}
