/* form.c - an HTML form behind a login with a session cookie
 *
 *     cc -o form examples/form.c && ./form [port [password]]
 *
 * Who is signed in has a cookie with a random number that names a session in this program; a
 * sign-out forgets the session, so a copied cookie is of no use any more. The cookie is
 * HttpOnly (no script reads it) and SameSite=Lax (no other site's form is sent with it), which
 * are uhttp_set_cookie()'s defaults; over TLS it is Secure as well. What a client has sent is
 * shown only escaped. Without a password on the command line one is made up and printed.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS  16
#define IDLE_S    1800          /* a session nobody has used for so long ends */
#define NOTE_SIZE 500

typedef struct session {
    char id[33];                /* "": an empty place */
    char note[NOTE_SIZE];
    time_t used;
} session;

static session sessions[SESSIONS];
static char password[128];
static uhttp_server *server;
static volatile sig_atomic_t stop;

/*--- sessions -----------------------------------------------------------------*/

/* 128 bits from the system's source of randomness, as 32 digits. */
static bool make_random(char *text)
{
    unsigned char bytes[16];
    FILE *source = fopen("/dev/urandom", "rb");
    bool good = source != NULL && fread(bytes, sizeof bytes, 1, source) == 1;
    if (source != NULL)
        fclose(source);
    for (size_t i = 0; i < sizeof bytes && good; i++)
        snprintf(text + i * 2, 3, "%02x", bytes[i]);
    return good;
}

/* Who is signed in; NULL: nobody. */
static session *find_session(uhttp_conn *c)
{
    const char *id = uhttp_cookie(c, "session");
    time_t now = time(NULL);
    for (int i = 0; i < SESSIONS && id != NULL; i++) {
        session *s = &sessions[i];
        if (s->id[0] != '\0' && now - s->used <= IDLE_S && uhttp_secure_equals(id, s->id)) {
            s->used = now;
            return s;
        }
    }
    return NULL;
}

/* In an empty place, else in that of who has been idle longest. */
static session *new_session(void)
{
    session *s = &sessions[0];
    for (int i = 1; i < SESSIONS; i++) {
        if (sessions[i].used < s->used)
            s = &sessions[i];
    }
    memset(s, 0, sizeof *s);
    if (!make_random(s->id))
        return NULL;
    s->used = time(NULL);
    return s;
}

/*--- pages --------------------------------------------------------------------*/

/* Appends text so that it means nothing but itself in HTML; false: there is no room. */
static bool put_escaped(char *page, size_t size, const char *text)
{
    size_t at = strlen(page);
    for (; *text != '\0'; text++) {
        char one[2] = { *text, '\0' };
        const char *piece = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" :
                            *text == '>' ? "&gt;" : *text == '"' ? "&quot;" :
                            *text == '\'' ? "&#39;" : one;
        size_t length = strlen(piece);
        if (size - at <= length)
            return false;
        memcpy(page + at, piece, length + 1);
        at += length;
    }
    return true;
}

static void respond_login(uhttp_conn *c, int status, const char *message)
{
    char page[700];
    snprintf(page, sizeof page,
             "<!DOCTYPE html><html lang=\"en\"><title>Sign in</title><h1>Sign in</h1><p>%s</p>"
             "<form method=\"post\" action=\"/login\">"
             "<label>Name <input name=\"user\" autocomplete=\"username\"></label> "
             "<label>Password <input name=\"password\" type=\"password\""
             " autocomplete=\"current-password\"></label> "
             "<button>Sign in</button></form></html>", message);
    uhttp_respond_html(c, status, page);
}

static void respond_note(uhttp_conn *c, int status, const session *s, const char *message)
{
    static const char end[] =
        "</textarea><p><button>Save</button></form>"
        "<form method=\"post\" action=\"/logout\"><button>Sign out</button></form></html>";
    char page[1000 + NOTE_SIZE * 6];
    snprintf(page, sizeof page,
             "<!DOCTYPE html><html lang=\"en\"><title>Note</title><h1>Your note</h1><p>%s</p>"
             "<form method=\"post\" action=\"/\"><textarea name=\"note\" rows=\"5\">", message);
    if (!put_escaped(page, sizeof page - sizeof end, s->note)) {
        uhttp_respond_error(c, 500);
        return;
    }
    memcpy(page + strlen(page), end, sizeof end);
    uhttp_respond_html(c, status, page);
}

/*--- what can be asked --------------------------------------------------------*/

static void set_session_cookie(uhttp_conn *c, const char *id)
{
    uhttp_new_cookie cookie = { 0 };
    cookie.name = "session";
    cookie.value = id;
    cookie.max_age_s = id[0] != '\0' ? 0 : -1;      /* until the browser ends; or deleted */
    uhttp_set_cookie(c, &cookie);
}

static void sign_in(uhttp_conn *c)
{
    if (uhttp_form_parse(c) != UHTTP_OK) {
        uhttp_respond_error(c, 400);
        return;
    }
    const char *user = uhttp_form(c, "user");
    const char *given = uhttp_form(c, "password");
    if (user == NULL || given == NULL || strcmp(user, "admin") != 0 ||
        !uhttp_secure_equals(given, password)) {
        respond_login(c, 403, "That was not right.");
        return;
    }
    const session *s = new_session();
    if (s == NULL) {
        uhttp_respond_error(c, 500);
        return;
    }
    set_session_cookie(c, s->id);
    uhttp_respond_redirect(c, 303, "/");
}

static void sign_out(uhttp_conn *c, session *s)
{
    if (s != NULL)
        memset(s, 0, sizeof *s);
    set_session_cookie(c, "");
    uhttp_respond_redirect(c, 303, "/login");
}

static void save_note(uhttp_conn *c, session *s)
{
    const char *note = uhttp_form(c, "note");
    if (note == NULL || strlen(note) >= NOTE_SIZE) {
        respond_note(c, 400, s, "A note has less than 500 characters.");
        return;
    }
    memcpy(s->note, note, strlen(note) + 1);
    uhttp_respond_redirect(c, 303, "/");            /* so that reloading sends nothing twice */
}

static void serve(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    bool get = strcmp(uhttp_method(c), "GET") == 0 || strcmp(uhttp_method(c), "HEAD") == 0;
    bool post = strcmp(uhttp_method(c), "POST") == 0;
    bool login = strcmp(path, "/login") == 0;
    bool logout = strcmp(path, "/logout") == 0;
    session *s = find_session(c);
    if (!login && !logout && strcmp(path, "/") != 0)
        uhttp_respond_error(c, 404);
    else if (!post && (logout || !get))
        uhttp_respond_not_allowed(c, logout ? "POST" : "GET, HEAD, POST");
    else if (logout)
        sign_out(c, s);
    else if (login && post)
        sign_in(c);
    else if (login)
        respond_login(c, 200, "");
    else if (s == NULL)
        uhttp_respond_redirect(c, 303, "/login");
    else if (post)
        save_note(c, s);
    else
        respond_note(c, 200, s, "");
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/* A port, 0 for any that is free; -1: neither. */
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
    bool made_up = argc < 3;
    if (argc > 3 || port < 0 || (!made_up && strlen(argv[2]) >= sizeof password)) {
        fprintf(stderr, "usage: %s [port [password]]\n", argv[0]);
        return 2;
    }
    if (!made_up)
        memcpy(password, argv[2], strlen(argv[2]) + 1);
    else if (!make_random(password))
        return 1;
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.max_connections = 64;
    config.max_content_length = 8192;
    config.default_headers =
        "Cache-Control: no-store\r\n"
        "Content-Security-Policy: default-src 'none'; form-action 'self'; "
        "frame-ancestors 'none'\r\n"
        "Referrer-Policy: same-origin\r\n"
        "X-Content-Type-Options: nosniff\r\n";
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    if (made_up)
        printf("sign in as admin with %s\n", password);
    fflush(stdout);
    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
