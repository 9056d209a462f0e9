/* hello.cpp - the first program in C++11, which has no designated initialisers
 *
 *     build: c++ -std=c++11 -o hello++ examples/hello.cpp
 *     try:   ./hello++ 8080, then curl "http://localhost:8080/?name=you"
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <cstdio>
#include <cstdlib>
#include <string>

/* What comes from a client is escaped before it stands in a page. */
static std::string greeting(uhttp_conn *c)
{
    char name[200];
    const char *given = uhttp_query(c, "name");
    if (given == nullptr || uhttp_html_escape(given, name, sizeof name) < 0)
        return "<h1>hello</h1>";
    return std::string("<h1>hello ") + name + "</h1>";
}

/* Reads a port; -1: not one. */
static int read_port(const char *text)
{
    char *end;
    long port = std::strtol(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0';
    return is_number && port <= 65535 ? static_cast<int>(port) : -1;
}

int main(int argc, char **argv)
{
    uhttp_server *server;
    uhttp_config config = {};
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    if (argc > 2 || port < 0) {
        std::fprintf(stderr, "usage: %s [port]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        std::fprintf(stderr, "cannot listen on port %d: %s\n", port,
                     uhttp_strerror(result));
        return 1;
    }
    std::printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    std::fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c == nullptr)
            continue;
        if (std::string(uhttp_path(c)) == "/")
            uhttp_respond_html(c, 200, greeting(c).c_str());
        else
            uhttp_respond_error(c, 404);
    }
}
