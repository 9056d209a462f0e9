/* uHTTP under measurement: the smallest program that answers everything with "hello".
 *
 *     uhttp_hello [CONNECTIONS]       as many at once, 512 by default
 *
 * With BENCH_COUNT it counts what goes through UHTTP_MALLOC and its companions, and says on
 * SIGUSR1 and at its end how many allocations were made and how many bytes are in use. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef BENCH_COUNT
static size_t count_calls;
static size_t count_bytes;

static void *count_realloc(void *old, size_t size)
{
    size_t before = malloc_usable_size(old);
    void *p = realloc(old, size);
    if (p == NULL)
        return NULL;
    count_calls++;
    count_bytes += malloc_usable_size(p) - before;
    return p;
}

static void count_free(void *p)
{
    count_bytes -= malloc_usable_size(p);
    free(p);
}

#define UHTTP_MALLOC(n) count_realloc(NULL, n)
#define UHTTP_REALLOC(p, n) count_realloc(p, n)
#define UHTTP_FREE(p) count_free(p)
#endif

#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include "bench.h"

static size_t heap_at_start;

/* All the allocator has given away, in its arena and in mappings of their own. */
static size_t heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void report_memory(void)
{
#ifdef BENCH_COUNT
    printf("allocations %zu bytes %zu heap %zu\n", count_calls, count_bytes,
           heap_in_use() - heap_at_start);
    fflush(stdout);
#endif
}

int main(int argc, char **argv)
{
    static char printed[4096];
    setvbuf(stdout, printed, _IOFBF, sizeof printed);   /* or stdio's buffer would be counted */
    heap_at_start = heap_in_use();

    uhttp_server *server;
    uhttp_config config = { 0 };
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.backlog = 512;
    config.max_connections = argc > 1 ? (uint32_t)atol(argv[1]) : 512;
    config.keep_alive_timeout_ms = 600000;      /* longer than any measurement */
    config.keep_alive_max_requests = UHTTP_UNLIMITED;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "uhttp_server_open: %s\n", uhttp_strerror(result));
        return 1;
    }
    bench_start(uhttp_server_port(server));

    while (!bench_stopped) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c != NULL)
            uhttp_respond_text(c, 200, "hello");
        if (bench_asked) {
            bench_asked = 0;
            report_memory();
        }
    }
    bench_report_cpu();
    report_memory();
    uhttp_server_close(server);
    return 0;
}
