/* first.c - the first program of the README: serves one page, forever
 *
 *     build: cc -o first examples/first.c
 *     try:   ./first, then curl http://localhost:8080/
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"
#include <stdio.h>
#include <string.h>

int main(void)
{
    uhttp_server *server;
    uhttp_result result = uhttp_server_open(&server, &(uhttp_config){ .port = 8080 });
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen: %s\n", uhttp_strerror(result));
        return 1;
    }
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c == NULL)
            continue;                               /* a quiet second: do your own work */
        if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_html(c, 200, "<h1>hello</h1>");
        else
            uhttp_respond_error(c, 404);
    }
}
