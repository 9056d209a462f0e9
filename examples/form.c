/* form.c - an HTML form behind a login with a session cookie
 *
 *     build: cc -o form examples/form.c
 *     try:   ./form 8080 PASSWORD, then open http://localhost:8080/
 *
 * After signing in, a browser has a cookie with a random number, the name of a session in this
 * program. Signing out deletes the session, so that a copied cookie becomes useless. By default
 * uhttp_set_cookie() makes cookies HttpOnly (scripts cannot read them) and SameSite=Lax (forms
 * of other sites are sent without them), over TLS also Secure. What clients have sent is shown
 * only escaped. Without a password on the command line, the program chooses one and prints it.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

#define PAGE_HEAD                                                                     \
    "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">"                       \
    "<meta name=\"viewport\" content=\"width=device-width\">"                         \
    "<link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/style.css\">"

static const char style[] =
    ":root{color-scheme:light dark;background:Canvas;accent-color:#0c7a74}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}label{display:block;margin:.5rem 0}\n"
    "input,textarea{display:block;box-sizing:border-box;width:100%;max-width:24rem}\n"
    "textarea{max-width:none}input,textarea,button{font:inherit;padding:.3rem .6rem}\n"
    "button{padding:.3rem 1.2rem}form+form{margin-top:2rem}\n";

static void respond_login(uhttp_conn *c, int status, const char *message)
{
    char page[1000];
    snprintf(page, sizeof page, PAGE_HEAD
             "<title>Sign in</title><main><h1>Sign in</h1><p role=\"status\">%s</p>"
             "<form method=\"post\" action=\"/login\">"
             "<label>Name <input name=\"user\" autocomplete=\"username\"></label>"
             "<label>Password <input name=\"password\" type=\"password\""
             " autocomplete=\"current-password\"></label>"
             "<button>Sign in</button></form></html>", message);
    uhttp_respond_html(c, status, page);
}

static void respond_note(uhttp_conn *c, int status, const session *s, const char *message)
{
    char note[NOTE_SIZE * 6];
    if (uhttp_html_escape(s->note, note, sizeof note) < 0) {
        uhttp_respond_error(c, 500);
        return;
    }
    uhttp_respond_printf(c, status, "text/html; charset=utf-8", PAGE_HEAD
        "<title>Note</title><main><h1>Your note</h1><p role=\"status\">%s</p>"
        "<form method=\"post\" action=\"/\"><label>Up to %d bytes"
        "<textarea name=\"note\" rows=\"5\">%s</textarea></label><button>Save</button></form>"
        "<form method=\"post\" action=\"/logout\"><button>Sign out</button></form></html>",
        message, NOTE_SIZE - 1, note);
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
        respond_login(c, 403, "Name or password is wrong.");
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
        respond_note(c, 400, s, "Not saved: a note has less than 500 bytes.");
        return;
    }
    memcpy(s->note, note, strlen(note) + 1);
    uhttp_respond_redirect(c, 303, "/?saved");      /* so that reloading sends nothing twice */
}

static void serve(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    bool get = strcmp(uhttp_method(c), "GET") == 0 || strcmp(uhttp_method(c), "HEAD") == 0;
    bool post = strcmp(uhttp_method(c), "POST") == 0;
    bool login = strcmp(path, "/login") == 0;
    bool logout = strcmp(path, "/logout") == 0;
    session *s = find_session(c);
    if (strcmp(path, "/style.css") == 0)
        uhttp_respond_static(c, 200, "text/css", style, sizeof style - 1);
    else if (!login && !logout && strcmp(path, "/") != 0)
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
        respond_note(c, 200, s, uhttp_query(c, "saved") != NULL ? "Saved." : "");
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
    if (argc > 3 || port < 0) {
        fprintf(stderr, "usage: %s [port [password]]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    if (!made_up && (argv[2][0] == '\0' || strlen(argv[2]) >= sizeof password)) {
        fprintf(stderr, "a password has 1 to %u bytes\n", (unsigned)sizeof password - 1);
        return 2;
    }
    if (!made_up)
        memcpy(password, argv[2], strlen(argv[2]) + 1);
    else if (!make_random(password))
        return 1;
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.max_content_length = 8192;
    config.default_headers =
        "Cache-Control: no-store\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'self'; img-src data:; "
        "form-action 'self'; frame-ancestors 'none'\r\n"
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
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
