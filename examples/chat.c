/* chat.c - a chat room over WebSocket, with a list of the people in it
 *
 *     build: cc -o chat examples/chat.c
 *     try:   ./chat 8080, then open http://localhost:8080/ in two windows
 *
 * Messages are JSON. A browser sends {"name":"Ann"} first, and then {"text":"hello"} and so on.
 * It receives
 *
 *     {"people":["Ann","Bob"]}                 when somebody joins or leaves
 *     {"from":"Ann","text":"hello"}
 *     {"error":"this name is taken"}
 *
 * A message to everybody is composed once and sent to each client. One that reads too slowly to
 * take it is disconnected; its page connects again automatically.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PEOPLE 100
#define LONGEST_NAME 40         /* bytes of UTF-8 */
#define LONGEST_TEXT 1000

typedef struct person {
    char name[LONGEST_NAME + 1];        /* "": has not said it yet */
    bool here;                          /* this place is taken */
} person;

static person people[MOST_PEOPLE];
static uhttp_server *server;
static volatile sig_atomic_t stop;

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><meta charset=\"utf-8\"><title>Chat</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\n"
    "<style>:root{color-scheme:light dark;background:Canvas}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}ul{list-style:none;padding:0;margin:.5rem 0}\n"
    "#log{border:1px solid #8886;border-radius:6px;padding:.5rem .8rem;height:50vh;"
    "overflow-y:auto}\n"
    "#log b{color:#d9591c}#people li{display:inline-block;margin-right:.8rem}\n"
    "form{display:flex;gap:.5rem}input{flex:1;min-width:0}input,button{font:inherit;"
    "padding:.4rem}</style>\n"
    "<main><h1>Chat</h1>\n"
    "<p id=\"state\" role=\"status\">not connected</p>\n"
    "<ul id=\"people\" aria-label=\"who is here\"></ul>\n"
    "<ul id=\"log\" role=\"log\" aria-label=\"messages\" tabindex=\"0\"></ul>\n"
    "<form id=\"form\"><input id=\"text\" maxlength=\"200\" placeholder=\"your name\" "
    "aria-label=\"your name\" autocomplete=\"off\" required><button>Join</button></form></main>\n"
    "<script>\n"
    "const by = id => document.getElementById(id);\n"
    "const item = (list, name, text) => {\n"
    "    const li = document.createElement('li'), b = document.createElement('b');\n"
    "    b.textContent = name;\n"
    "    li.append(b, text);\n"
    "    by(list).append(li);\n"
    "    li.scrollIntoView({ block: 'nearest' });\n"
    "};\n"
    "let socket, name = '', pause = 500;\n"
    "function label(text, button) {\n"
    "    by('text').placeholder = text;\n"
    "    by('text').setAttribute('aria-label', text);\n"
    "    by('form').querySelector('button').textContent = button;\n"
    "}\n"
    "function connect() {\n"
    "    socket = new WebSocket(location.href.replace('http', 'ws') + 'ws');\n"
    "    socket.onopen = () => {\n"
    "        pause = 500;\n"
    "        by('state').textContent = 'connected';\n"
    "        socket.send(JSON.stringify({ name }));\n"
    "    };\n"
    "    socket.onmessage = event => {\n"
    "        const said = JSON.parse(event.data);\n"
    "        if (said.people) {\n"
    "            by('people').replaceChildren();\n"
    "            said.people.forEach(person => item('people', person, ''));\n"
    "        } else if (said.error) {\n"
    "            by('state').textContent = said.error;\n"
    "            name = '';\n"
    "            label('your name', 'Join');\n"
    "        } else {\n"
    "            item('log', said.from + ' ', said.text);\n"
    "        }\n"
    "    };\n"
    "    socket.onclose = () => {\n"
    "        if (name === '')\n"
    "            return;\n"
    "        by('state').textContent = 'waiting for the server';\n"
    "        setTimeout(connect, pause);\n"
    "        pause = Math.min(pause * 2, 10000);\n"
    "    };\n"
    "}\n"
    "by('form').onsubmit = event => {\n"
    "    event.preventDefault();\n"
    "    const text = by('text').value.trim();\n"
    "    if (text !== '' && name === '') {\n"
    "        name = text;\n"
    "        label('say something', 'Send');\n"
    "        connect();\n"
    "    } else if (text !== '') {\n"
    "        socket.send(JSON.stringify({ text }));\n"
    "    }\n"
    "    by('text').value = '';\n"
    "};\n"
    "</script></html>\n";

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/*--- speaking ---------------------------------------------------------------------*/

/* Sends a text to everybody who has said a name. */
static void tell_everybody(const char *text, size_t length)
{
    uhttp_conn *next;
    for (uhttp_conn *c = uhttp_next(server, NULL); c != NULL; c = next) {
        const person *p = (const person *)uhttp_context(c);
        next = uhttp_next(server, c);
        if (p == NULL || p->name[0] == '\0' || !uhttp_ws_is_open(c))
            continue;
        if (uhttp_ws_send(c, UHTTP_WS_TEXT, text, length) == UHTTP_ERR_AGAIN)
            uhttp_ws_close(c, 1013, "too slow");
    }
}

static void tell_who_is_here(void)
{
    static char text[MOST_PEOPLE * (LONGEST_NAME * 6 + 3) + 32];
    uhttp_json_writer w;
    uhttp_json_begin(&w, text, sizeof text);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "people");
    uhttp_json_array_begin(&w);
    for (int i = 0; i < MOST_PEOPLE; i++) {
        if (people[i].name[0] != '\0')
            uhttp_json_string(&w, people[i].name);
    }
    uhttp_json_array_end(&w);
    uhttp_json_object_end(&w);
    if (uhttp_json_error(&w) == UHTTP_OK)
        tell_everybody(text, uhttp_json_length(&w));
}

static void tell_what_is_said(const char *from, const char *said)
{
    char text[(LONGEST_NAME + LONGEST_TEXT) * 6 + 32];
    uhttp_json_writer w;
    uhttp_json_begin(&w, text, sizeof text);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "from");
    uhttp_json_string(&w, from);
    uhttp_json_key(&w, "text");
    uhttp_json_string(&w, said);
    uhttp_json_object_end(&w);
    if (uhttp_json_error(&w) == UHTTP_OK)
        tell_everybody(text, uhttp_json_length(&w));
}

/*--- listening --------------------------------------------------------------------*/

static void come(uhttp_conn *c)
{
    int free_place = 0;
    while (free_place < MOST_PEOPLE && people[free_place].here)
        free_place++;
    if (free_place == MOST_PEOPLE) {
        uhttp_respond_error(c, 503);
        return;
    }
    if (uhttp_ws_accept(c, NULL) != UHTTP_OK)
        return;                         /* a page of another site, or no good handshake */
    people[free_place].here = true;
    uhttp_set_context(c, &people[free_place]);
}

static void leave(uhttp_conn *c)
{
    person *p = (person *)uhttp_context(c);
    bool was_known = p->name[0] != '\0';
    memset(p, 0, sizeof *p);
    if (was_known)
        tell_who_is_here();
}

static void take_name(uhttp_conn *c, person *p, const char *name)
{
    for (int i = 0; i < MOST_PEOPLE; i++) {
        if (strcmp(people[i].name, name) == 0) {
            uhttp_ws_printf(c, "{\"error\":\"this name is taken\"}");
            uhttp_ws_close(c, 1000, NULL);
            return;
        }
    }
    memcpy(p->name, name, strlen(name) + 1);    /* it has been read with this room */
    tell_who_is_here();
}

static void hear(uhttp_conn *c)
{
    person *p = (person *)uhttp_context(c);
    char text[LONGEST_TEXT + 1];
    uhttp_str message;
    message.ptr = uhttp_ws_message(c, &message.len);
    if (!uhttp_ws_is_text(c) || !uhttp_json_valid(message, NULL)) {
        uhttp_ws_close(c, 1003, "JSON only");
        return;
    }
    if (p->name[0] == '\0') {
        uhttp_json_value name = uhttp_json_find(message, "name");
        if (uhttp_json_to_string(name, text, LONGEST_NAME + 1) == UHTTP_OK && text[0] != '\0')
            take_name(c, p, text);
        else
            uhttp_ws_close(c, 1008, "a name, please, of up to 40 bytes");
        return;
    }
    uhttp_json_value said = uhttp_json_find(message, "text");
    if (uhttp_json_to_string(said, text, sizeof text) == UHTTP_OK)
        tell_what_is_said(p->name, text);
}

static void serve(uhttp_conn *c)
{
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_WS_MESSAGE:
        hear(c);
        break;
    case UHTTP_EVENT_WS_CLOSE:
        leave(c);
        break;
    default:
        if (strcmp(uhttp_path(c), "/ws") == 0)
            come(c);
        else if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_static(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
        else
            uhttp_respond_error(c, 404);
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
    config.max_connections = MOST_PEOPLE + 20;
    config.max_ws_message_length = LONGEST_TEXT * 6 + 100;      /* all of it escaped */
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
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }
    for (int i = 0; i < 30 && uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN; i++) {
        uhttp_conn *c = uhttp_wait(server, 100);    /* everybody is told 1001, going away */
        if (c != NULL)
            serve(c);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
