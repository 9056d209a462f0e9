/* auth.c - a page for those who know the password, asked for by the browser
 *
 *     cc -o auth examples/auth.c && ./auth 8080 PASSWORD
 *
 * Basic authentication sends the password with each request, readable by everybody on the way:
 * use it over TLS, or where nobody else is on the way.
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

int main(int argc, char **argv)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    char *end = NULL;
    long port = argc == 3 ? strtol(argv[1], &end, 10) : -1;
    if (end == NULL || *end != '\0' || port < 0 || port > 65535 || argv[2][0] == '\0') {
        fprintf(stderr, "usage: %s port password    port 0: any that is free\n", argv[0]);
        return 2;
    }
    secret = argv[2];
    config.port = port == 0 ? UHTTP_PORT_ANY : (int)port;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %s: %s\n", argv[1], uhttp_strerror(result));
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
