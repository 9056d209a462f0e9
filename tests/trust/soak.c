/* soak.c - hours of everything at once, in minutes
 *
 *   soak [--seconds S] [--seed N] [--fixed] [--watch | --follow] [-v]
 *
 *   --seconds   of the processor's time (10)
 *   --fixed     the server has fixed memory
 *   --watch     half of the time a loop of the program's own, uhttp_server_watch()
 *   --follow    always such a loop, uhttp_server_watch_changes()
 *
 * A server with every feature in use, visitors of every kind (soak_clients.h), and a clock of
 * the test's own: when nothing moves it jumps to what comes next. Rounds of load, in some of
 * which there is room for everybody and in others three times as many visitors as slots, end with
 * a quiet hour and a night of four to twenty days, so that the 32 bits of the milliseconds wrap again
 * and again. When the last connection of a round has gone, memory, descriptors, blocks, slots
 * and lists must be exactly what they were at the end of the first rounds; every request the
 * program was told of has ended, and once.
 *
 * With SOAK_PORT the network is memory_port.h; else sockets of the system, over TLS for a third of
 * the visitors if UHTTP_TLS is defined.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*--- failing, chance, time and memory -------------------------------------------------------*/

static unsigned long soak_seed = 1, soak_round;

static void soak_fails(const char *file, int line, const char *truth)
{
    printf("# %s:%d: not true: %s (seed %lu, round %lu)\n", file, line, truth, soak_seed,
           soak_round);
    exit(1);
}

#define CHECK(truth) ((truth) ? (void)0 : soak_fails(__FILE__, __LINE__, #truth))

static uint64_t chance_state;

static unsigned below(unsigned n)
{
    chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
    return n > 0 ? (unsigned)(chance_state >> 33) % n : 0;
}

static bool chance(unsigned percent) { return below(100) < percent; }

static uint64_t soak_ms;        /* since the start; the clock itself wraps */
static uint64_t soak_loaded;    /* of them, under load */

static long memory_blocks, memory_bytes, memory_most;

#ifdef UHTTP_TLS                /* free() is that of mbedTLS's blocks, see soak_wires.h */
void __real_free(void *memory);
#define memory_free __real_free
#else
#define memory_free free
#endif

static void *memory_take(size_t size)
{
    size_t *block = (size_t *)malloc(size + 16);
    CHECK(block != NULL);
    block[0] = size;
    memory_blocks++;
    memory_bytes += (long)size;
    memory_most = memory_bytes > memory_most ? memory_bytes : memory_most;
    return block + 2;
}

static void memory_give(void *memory)
{
    size_t *block = (size_t *)memory - 2;
    if (memory == NULL)
        return;
    memory_blocks--;
    memory_bytes -= (long)block[0];
    memory_free(block);
}

__attribute__((unused)) static void *memory_retake(void *memory, size_t size)
{
    void *larger = memory_take(size);
    if (memory != NULL) {
        size_t old = ((size_t *)memory - 2)[0];
        memcpy(larger, memory, old < size ? old : size);
        memory_give(memory);
    }
    return larger;
}

#define UHTTP_MALLOC(size)         memory_take(size)
#define UHTTP_REALLOC(block, size) memory_retake(block, size)
#define UHTTP_FREE(block)          memory_give(block)
#define UHTTP_ASSERT(truth)        CHECK(truth)
#define UHTTP_MILLIS()             soak_now
#define UHTTP_TIME()               ((int64_t)(1700000000 + soak_ms / 1000))

#ifdef SOAK_PORT
#define UHTTP_PLATFORM_HEADER "memory_port.h"
#define NET_ENDS    320
#define NET_BACKLOG 12
#define SLOTS       24
#define LISTENERS   2
#define LONG_STREAM 150000u
#define BITE        300         /* of who reads slowly */
#define WIRE_STATE  net_end *end;
#define soak_now    net.now
#else
#define SLOTS       66
#define VISITORS    180
#define LISTENERS   3
#define LONG_STREAM 4000000u    /* the system has large buffers */
#define BITE        4000
#ifdef UHTTP_TLS
#define WIRE_STATE  int fd; bool secure, agreed; mbedtls_ssl_context ssl;
#else
#define WIRE_STATE  int fd;
#endif
static uint32_t soak_now;
#endif

#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"

/* What is counted whenever all is quiet. */
typedef enum flat {
    FLAT_BLOCKS, FLAT_BYTES, FLAT_TLS_BLOCKS, FLAT_TLS_BYTES, FLAT_SOCKETS, FLAT_FILES,
    FLAT_SLOTS, FLAT_READY, FLAT_OWING, FLAT_CLOSED, FLAT_DEADLINES, FLAT_POOL, FLAT_WATCHED,
    FLAT_QUEUE, FLAT_HELD, FLAT_FORGOTTEN, FLAT_REQUESTS, FLAT_COUNT
} flat;

#include "soak_program.h"
#include "soak_clients.h"
#include "soak_wires.h"

/*--- the server and its loop ----------------------------------------------------------------*/

static enum { LOOP_WAIT, LOOP_WATCH, LOOP_FOLLOW } soak_loop;
static bool soak_fixed, soak_verbose;
static uhttp_watch known[UHTTP_WATCH_CAPACITY(SLOTS)];     /* sockets that are watched */
static size_t known_count;
static uint64_t wakeups;

/* Takes note of what has changed. */
static void follow_changes(void)
{
    uhttp_watch list[16];
    size_t n;
    while ((n = uhttp_server_watch_changes(server, list, 16)) > 0) {
        for (size_t i = 0; i < n; i++) {
            size_t at = 0;
            while (at < known_count && known[at].token != list[i].token)
                at++;
            if (list[i].wish == 0) {
                CHECK(at < known_count);
                known[at] = known[--known_count];
                continue;
            }
            CHECK(at < sizeof known / sizeof known[0]);
            known[at] = list[i];
            known_count += at == known_count ? 1 : 0;
        }
    }
}

static uhttp_conn *own_loop(void)
{
    if (soak_loop == LOOP_FOLLOW)
        follow_changes();
    else
        known_count = uhttp_server_watch(server, known, sizeof known / sizeof known[0]);
    CHECK(known_count <= sizeof known / sizeof known[0]);
    network_look(known, known_count);
    return uhttp_process_events(server, known, known_count);
}

/* One look at the network and all that comes of it; true: something did. */
static bool server_turn(void)
{
    bool own = soak_loop == LOOP_FOLLOW || (soak_loop == LOOP_WATCH && soak_ms / 4096 % 2 == 0);
    bool any = false;
    uhttp_conn *c = own ? own_loop() : uhttp_wait(server, 0);
    network_turn();
    while (c != NULL) {
        any = true;
        handle(c);
        c = own ? uhttp_process_events(server, NULL, 0) : uhttp_wait(server, 0);
    }
    return any;
}

static void open_server(void)
{
    static char memory[UHTTP_MEMORY_SIZE(SLOTS, 4096)];
    uhttp_config config;
    memset(&config, 0, sizeof config);
    config.max_connections = SLOTS;
    config.event_mode = config.keep_alive_hint = true;
    config.keep_alive_timeout_ms = 15000;
    config.send_timeout_ms = 6000;
    config.response_timeout_ms = 20000;
    config.ws_ping_interval_ms = 10000;
    config.max_ws_message_length = 2000;
    config.default_headers = "Server: soak\r\nX-Frame-Options: DENY\r\n";
    config.trusted_proxies = "192.0.2.0/24, 127.0.0.0/8";
    config.log = program_log;
    config.access_log = program_access;
    if (soak_fixed) {
        config.memory = memory;
        config.memory_size = sizeof memory;
    }
    most_copied = soak_fixed ? 1500 : 20000;
    gives_up_pipelines = soak_fixed || UH_PORT;
    network_open(&config);
    CHECK(soak_fixed == (memory_blocks == 0));
}

/*--- what must stay as it was --------------------------------------------------------------*/

static const char *const flat_names[FLAT_COUNT] = {
    "blocks of memory", "bytes of memory", "blocks of TLS", "bytes of TLS", "descriptors",
    "open files", "free slots", "connections in the ready queue", "connections that owe output",
    "connections to be freed", "deadlines", "free blocks of the pool", "watched sockets",
    "descriptors of a poller", "requests with the program", "forgotten requests",
    "entries of the program",
};

static long first[FLAT_COUNT];
static long first_heap;
static unsigned samples;

static long length_of_aside(const uhttp_conn *list)
{
    long length = 0;
    for (; list != NULL; list = list->aside)
        CHECK(++length <= SLOTS);
    return length;
}

static long count_deadlines(void)
{
    long length = 0;
    for (int i = 0; i < UH_TIMES; i++) {
        for (const uh_link *l = server->lists[i].after; l != &server->lists[i]; l = l->after) {
            if (i != UH_TIME_NONE)
                CHECK(++length <= SLOTS);
            else
                break;
        }
    }
    return length;
}

static long count_blocks(void)
{
    long length = 0;
    for (const uh_block *b = server->pool.free; b != NULL; b = b->next)
        CHECK(++length <= 4 * SLOTS);
    CHECK(length == (long)server->pool.count);
    return length;
}

static void sample(long now[FLAT_COUNT])
{
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    memset(now, 0, FLAT_COUNT * sizeof now[0]);
    now[FLAT_BLOCKS] = memory_blocks;
    now[FLAT_BYTES] = memory_bytes;
    now[FLAT_SLOTS] = length_of_aside(server->free_slot);
    for (const uhttp_conn *c = server->ready_first; c != NULL; c = c->next)
        CHECK(++now[FLAT_READY] <= SLOTS);
    now[FLAT_OWING] = length_of_aside(server->owing);
    now[FLAT_CLOSED] = length_of_aside(server->closed);
    now[FLAT_DEADLINES] = count_deadlines();
    now[FLAT_POOL] = count_blocks();
    now[FLAT_HELD] = (long)stats.held;
    now[FLAT_FORGOTTEN] = (long)stats.forgotten;
    now[FLAT_REQUESTS] = (long)requests_used;
    now[FLAT_FILES] = (long)files_open;
    now[FLAT_WATCHED] = soak_loop == LOOP_FOLLOW ? (long)known_count
                                                 : (long)uhttp_server_watch(server, NULL, 0);
    network_sample(now);
}

/* After a round and its quiet hour. The first rounds fill whatever is filled once. */
static void check_flat(unsigned warm)
{
    long now[FLAT_COUNT];
    long heap = (long)mallinfo2().uordblks;
    sample(now);
    CHECK(told_count == ended_count);
    CHECK(now[FLAT_SLOTS] == SLOTS && now[FLAT_READY] + now[FLAT_OWING] == 0 && now[FLAT_CLOSED] +
          now[FLAT_DEADLINES] + now[FLAT_HELD] + now[FLAT_FORGOTTEN] + now[FLAT_REQUESTS] == 0);
    CHECK(now[FLAT_POOL] == (soak_fixed ? 2 * SLOTS : 0));
    if (soak_round < warm)
        return;
    if (samples++ == 0) {
        memcpy(first, now, sizeof now);
        first_heap = heap;
    }
    for (int i = 0; i < FLAT_COUNT; i++) {
        if (now[i] == first[i])
            continue;
        printf("# %ld %s, where at first there were %ld\n", now[i], flat_names[i], first[i]);
        CHECK(now[i] == first[i]);
    }
    CHECK(heap < first_heap + 65536);       /* malloc() cuts its blocks now so, now so */
}

/*--- rounds ----------------------------------------------------------------------------------*/

static uint64_t wraps;

static void time_passes(uint32_t ms)
{
    wraps += soak_now + ms < soak_now ? 1 : 0;
    soak_now += ms;
    soak_ms += ms;
}

/* How long nothing will happen: until a visitor acts, the program, or the server. */
static uint32_t quiet_time(uint32_t most, uint32_t program_wakes)
{
    int ms = uhttp_server_timeout(server);
    uint32_t least = program_wakes < most ? program_wakes : most;
    if (ms >= 0 && (uint32_t)ms < least)
        least = (uint32_t)ms;
    for (int i = 0; i < VISITORS; i++) {
        const visitor *v = &visitors[i];
        int32_t left = (int32_t)(v->wakes - soak_now);
        if (v->here && left > 0 && (uint32_t)left < least)
            least = (uint32_t)left;
    }
    return least > 0 ? least : 1;
}

/* Everybody's turn; then time passes: a little, or up to what comes next. */
static bool everybodys_turn(uint32_t most)
{
    static unsigned still;
    uint32_t program_wakes = UINT32_MAX;
    uint64_t before = server->stats.bytes_in + server->stats.bytes_out + server->stats.accepted;
    bool moved = false;
    for (int i = 0; i < VISITORS && visitors_here > 0; i++) {
        if (visitors[i].here)
            moved |= visitor_run(&visitors[i]);
    }
    moved |= server_turn();
    moved |= program_turn(&program_wakes);
    if (chance(2)) {
        CHECK(uhttp_server_wakeup(server) == UHTTP_OK);
        wakeups++;
    }
    moved |= before != server->stats.bytes_in + server->stats.bytes_out + server->stats.accepted;
    still = moved ? 0 : still + 1;
    CHECK(still < 5000);
    time_passes(moved ? below(3) : still < NETWORK_DELAY ? 0 : quiet_time(most, program_wakes));
    return moved;
}

static void run_load(void)
{
    unsigned quota = calm ? 60 : 200;
    unsigned crowd = calm ? SLOTS / 4 : VISITORS;
    uint64_t begin = soak_ms;
    while (quota > 0 || visitors_here > 0) {
        bool burst = visitors_here == 0 || chance(calm ? 20 : 10);
        while (burst && quota > 0 && visitors_here < crowd) {
            visitor_arrives();
            quota--;
        }
        everybodys_turn(1000);
    }
    soak_loaded += soak_ms - begin;
}

/* Until nobody is left and the server has nothing more to wait for. */
static void run_quiet(void)
{
    uint64_t begin = soak_ms;
    while (server->counts[UH_FREE] < SLOTS || uhttp_server_timeout(server) >= 0 ||
           soak_ms - begin < 5000) {
        everybodys_turn(60000);
        CHECK(soak_ms - begin < 3600u * 1000u);
    }
    if (soak_loop == LOOP_FOLLOW)
        follow_changes();
}

/* Nobody comes for days. */
static void run_night(void)
{
    time_passes((4u * 86400u + below(16u * 86400u)) * 1000u);
    server_turn();
    network_night();
}

static void run_rounds(double seconds)
{
    const unsigned warm = 6;
    while (soak_round < warm + 2 || (double)clock() / CLOCKS_PER_SEC < seconds) {
        calm = soak_round % 3 == 2;
        chance_state = soak_seed * 1000003u + soak_round;
        run_load();
        run_quiet();
        if (soak_verbose && soak_round % 100 == 0)
            printf("# round %lu: %llu visits, %llu requests\n", soak_round,
                   (unsigned long long)visits, (unsigned long long)told_count);
        check_flat(warm);
        run_night();
        soak_round++;
    }
}

/*--- the end ------------------------------------------------------------------------------------*/

/* Without these it was no load of everything. */
static void check_variety(void)
{
    static const int statuses[] = { 200, 206, 302, 304, 400, 401, 403, 404, 405, 408, 412, 413,
                                    416, 417, 426, 431, 503, 505 };
    static const int codes[] = { 1000, 1002, 1007 };
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses_seen[statuses[i]] == 0)
            printf("# nobody was answered %d\n", statuses[i]);
        CHECK(statuses_seen[statuses[i]] > 0);
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        CHECK(codes_seen[codes[i]] > 0);
    for (int i = UHTTP_EVENT_REQUEST; i <= UHTTP_EVENT_WS_CLOSE; i++) {
        if (events_seen[i] == 0)
            printf("# the program was never told of event %d\n", i);
        CHECK(events_seen[i] > 0);
    }
    for (int i = CUT_CLOSE; i <= CUT_SILENT; i++)
        CHECK(cuts_made[i] > 0);
    CHECK(server->stats.evicted > 0);
    CHECK(wakeups > 0 && logged > 0 && log_lines > 0);
    CHECK(wraps >= 2);
}

static void report(void)
{
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    printf("# %llu connections, %llu requests, %llu answers compared, %llu evicted\n",
           (unsigned long long)stats.accepted, (unsigned long long)stats.requests,
           (unsigned long long)answers_read, (unsigned long long)stats.evicted);
    printf("# %.1f hours of load in %.0f days of its clock, which wrapped %llu times; %u samples, all"
           " alike\n", (double)soak_loaded / 3600e3, (double)soak_ms / 86400e3,
           (unsigned long long)wraps, samples);
    printf("# idle: %ld bytes in %ld blocks, %ld descriptors; at most %ld bytes\n",
           first[FLAT_BYTES], first[FLAT_BLOCKS], first[FLAT_SOCKETS], memory_most);
}

static void close_server(void)
{
    uint64_t begin = soak_ms;
    while (uhttp_server_shutdown(server) != UHTTP_OK) {
        everybodys_turn(1000);
        CHECK(soak_ms - begin < 60000);
    }
    uhttp_server_close(server);
    CHECK(memory_blocks == 0 && memory_bytes == 0);
    network_close();
}

int main(int argc, char **argv)
{
    double seconds = 10;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(value, NULL);
        else if (strcmp(argv[i], "--seed") == 0)
            soak_seed = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--fixed") == 0)
            soak_fixed = true;
        else if (strcmp(argv[i], "--watch") == 0)
            soak_loop = LOOP_WATCH;
        else if (strcmp(argv[i], "--follow") == 0)
            soak_loop = LOOP_FOLLOW;
        else if (strcmp(argv[i], "-v") == 0)
            soak_verbose = true;
    }
    for (size_t i = 0; i < BIG; i++)
        big[i] = (char)('a' + (i % PERIOD * 7 + i % PERIOD / 251) % 26);
    open_server();
    run_rounds(seconds);
    check_variety();
    report();
    close_server();
    return 0;
}
