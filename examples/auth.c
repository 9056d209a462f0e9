/* auth.c - a page behind a password that the browser asks for (Basic authentication)
 *
 *     build: cc -o auth examples/auth.c
 *     try:   ./auth 8080 PASSWORD, then curl -u admin:PASSWORD http://localhost:8080/secret
 *
 * Basic authentication sends the password with each request, readable by everybody on the way:
 * use it over TLS, or in a network that nobody else can read.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *secret;

/* Does the client know the password? If not, it is asked for it. */
static bool is_allowed(uhttp_conn *c)
{
    char buffer[256];
    const char *user, *password;
    if (uhttp_basic_auth(c, buffer, sizeof buffer, &user, &password) == UHTTP_OK &&
        strcmp(user, "admin") == 0 && uhttp_secure_equals(password, secret))
        return true;
    uhttp_add_header(c, "WWW-Authenticate", "Basic realm=\"device\", charset=\"UTF-8\"");
    uhttp_respond_error(c, 401);
    return false;
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
    uhttp_server *server;
    uhttp_config config = { 0 };
    int port = argc == 3 ? read_port(argv[1]) : -1;
    if (port < 0 || argv[2][0] == '\0') {
        fprintf(stderr, "usage: %s port password    port 0: any that is free\n", argv[0]);
        return 2;
    }
    secret = argv[2];
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c == NULL)
            continue;
        if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_html(c, 200, "<a href=\"/secret\">for those who know</a>");
        else if (strcmp(uhttp_path(c), "/secret") != 0)
            uhttp_respond_error(c, 404);
        else if (is_allowed(c))
            uhttp_respond_html(c, 200, "<h1>you know</h1>");
    }
}
