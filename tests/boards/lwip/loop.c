/* loop.c - server and client in one process over lwIP's own loopback: requests, an upload larger
 * than the server's memory, wake-ups from another thread, lwIP without memory, a shutdown; with
 * ESP_PLATFORM also files and the clock. Prints TAP. */
#ifdef ESP_PLATFORM
#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#endif

#include "uhttp_server.h"

#include "hog.h"
#include "site.h"

#include "lwip/init.h"
#include "lwip/sockets.h"
#include "lwip/stats.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/tcpip.h"

#include <stdio.h>
#include <string.h>

#define SLOTS 4

static unsigned char memory[UHTTP_MEMORY_SIZE(SLOTS, 768)];
static uhttp_server *server;
static volatile int woken, port;
static sys_sem_t ready, done, go;
#ifdef ESP_PLATFORM
static char folder[64];         /* served below /files/, and uploads go there */
#endif
static uhttp_result opened;
static int number, failures;

static void check(const char *name, bool good)
{
    printf("%s %d - %s\n", good ? "ok" : "not ok", ++number, name);
    fflush(stdout);
    failures += !good;
}

/*--- the server, in a thread of its own -----------------------------------------------*/

#ifdef ESP_PLATFORM
static bool serve_file(uhttp_conn *c)
{
    uhttp_event_type event = uhttp_event(c);
    char path[160];
    if (strncmp(uhttp_path(c), "/files/", 7) != 0)
        return false;
    snprintf(path, sizeof path, "%s/%s", folder, uhttp_path(c) + 7);
    if (event == UHTTP_EVENT_COMPLETE)
        uhttp_respond_text(c, 201, "stored");
    else if ((event == UHTTP_EVENT_HEADERS || event == UHTTP_EVENT_REQUEST) &&
             strcmp(uhttp_method(c), "PUT") == 0)
        uhttp_accept_body_to_file(c, path, 100000);
    else if (event == UHTTP_EVENT_REQUEST)
        uhttp_serve_dir(c, folder, "/files/");
    return true;
}
#endif

/* "/stand": the program is busy until the test lets it go. */
static void serve_one(uhttp_conn *c)
{
    static char page[4000];
#ifdef ESP_PLATFORM
    if (serve_file(c))
        return;
#endif
    if (uhttp_event(c) != UHTTP_EVENT_REQUEST || strcmp(uhttp_path(c), "/stand") != 0) {
        site_serve(c);
        return;
    }
    sys_sem_signal(&done);
    sys_arch_sem_wait(&go, 0);
    uhttp_respond_static(c, 200, "application/octet-stream", page, sizeof page);
}

static void serve(void *argument)
{
    uhttp_config config = { 0 };
    (void)argument;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.max_connections = SLOTS;
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    site_configure(&config);
#ifdef ESP_PLATFORM
    config.files = NULL;        /* those of the system */
#endif
    opened = uhttp_server_open(&server, &config);
    port = opened == UHTTP_OK ? uhttp_server_port(server) : 0;
    sys_sem_signal(&ready);
    while (opened == UHTTP_OK && !site_wants_restart()) {
        uhttp_conn *c = uhttp_wait(server, -1);     /* a wake-up, or nothing, ends this sleep */
        if (c != NULL)
            serve_one(c);
        else
            woken++;
    }
    while (opened == UHTTP_OK && uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            site_serve(c);
    }
    uhttp_server_close(server);
    sys_sem_signal(&done);
}

/*--- the client -----------------------------------------------------------------------*/

static int dial(void)
{
    struct sockaddr_in at;
    int fd = lwip_socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = lwip_htons((u16_t)port);
    at.sin_addr.s_addr = lwip_htonl(0x7f000001);
    if (fd >= 0 && lwip_connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    lwip_close(fd);
    return -1;
}

static bool say(int fd, const void *data, size_t length)
{
    return lwip_send(fd, data, length, 0) == (ssize_t)length;
}

/* Reads until the text has this many bytes behind its head, or the peer closes. Returns how many
 * these are, -1: no head came. text keeps the begin of it all. */
static int hear(int fd, char *text, int size, int length)
{
    char rest[1024];
    int have = 0, body = -1;
    text[0] = '\0';
    while (body < length) {
        bool in_text = have < size - 1;
        int n = (int)lwip_recv(fd, in_text ? text + have : rest,
                               in_text ? (size_t)(size - 1 - have) : sizeof rest, 0);
        if (n <= 0)
            break;
        if (in_text)
            text[have + n] = '\0';
        have += n;
        const char *end = strstr(text, "\r\n\r\n");
        body = end != NULL ? have - (int)(end + 4 - text) : -1;
    }
    return body;
}

static bool ask(int fd, const char *request, const char *answer)
{
    char text[1024];
    int length = (int)strlen(answer);
    return say(fd, request, strlen(request)) &&
           hear(fd, text, sizeof text, length) == length &&
           strcmp(strstr(text, "\r\n\r\n") + 4, answer) == 0;
}

static uint32_t crc_add(uint32_t crc, const unsigned char *data, int length)
{
    for (int i = 0; i < length; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return crc;
}

/*--- what is asked --------------------------------------------------------------------*/

static const char led[] = "GET /api/led HTTP/1.1\r\nHost: x\r\n\r\n";
static const char off[] = "{\"on\":false}";
static const char bad[] = "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n";
static const char put[] = "PUT /speed HTTP/1.1\r\nHost: x\r\nContent-Length: 8192\r\n\r\n";
static const char stand[] = "GET /stand HTTP/1.1\r\nHost: x\r\n\r\n";

static void test_requests(void)
{
    int good = 0;
    int fd = dial();
    for (int i = 0; i < 99; i++)
        good += ask(fd, led, off);
    lwip_close(fd);
    check("99 requests on one connection", good == 99);
    good = 0;
    for (int i = 0; i < 20; i++) {
        fd = dial();
        good += ask(fd, led, off);
        lwip_close(fd);
    }
    check("20 connections", good == 20);
}

static void test_upload(void)
{
    static unsigned char data[1000];
    char text[256], expected[64];
    uint32_t crc = 0xffffffffu;
    int size = 1000000, n;
    int fd = dial();
    bool good = true;
    for (int i = 0; i < (int)sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    n = snprintf(text, sizeof text, "PUT /speed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                 size);
    good = say(fd, text, (size_t)n);
    for (int at = 0; at < size; at += (int)sizeof data) {
        data[0] = (unsigned char)(at / 1000);
        good = good && say(fd, data, sizeof data);
        crc = crc_add(crc, data, (int)sizeof data);
    }
    n = snprintf(expected, sizeof expected, "{\"bytes\":%d,\"crc32\":\"%08lx\"}", size,
                 (unsigned long)~crc);
    good = good && hear(fd, text, sizeof text, n) == n && strstr(text, expected) != NULL;
    check("an upload of 1,000,000 bytes", good);
    lwip_close(fd);
}

/* Wakes the server; was it said, and done in time? */
static bool wake(uint32_t within_ms)
{
    int before = woken;
    uint32_t start = sys_now();
    bool said = uhttp_server_wakeup(server) == UHTTP_OK;
    while (woken == before && sys_now() - start < within_ms)
        sys_msleep(1);
    return said && woken != before;
}

static void test_wakeups(void)
{
    int good = 0;
    for (int i = 0; i < 20; i++)
        good += wake(900);
    check("20 wake-ups from another thread", good == 20);
}

/* What lwIP needs to take a datagram, to pass it to its thread, and to put it before a socket. */
static void test_wakeups_without_memory(void)
{
    static const unsigned kinds[] = { HOG_HEAP, HOG_CALLBACKS, HOG_NETBUFS };
    int good = 0;
    for (int i = 0; i < 3; i++) {
        hog_take(kinds[i]);
        good += wake(5000);
        hog_give();
        good += wake(5000);
    }
    check("wake-ups without memory: late, but none is lost", good == 6);
}

/* Allocates all of lwIP's TCP connections and gives them back: it takes those in TIME_WAIT too. */
static void take_all_connections(void)
{
    struct tcp_pcb *taken[100];
    int count = 0;
    LOCK_TCPIP_CORE();
    while (count < 100 && (taken[count] = tcp_new()) != NULL)
        count++;
    while (count > 0)
        tcp_abort(taken[--count]);
    UNLOCK_TCPIP_CORE();
}

/* A connection that the server ends and the client closes, while the program is busy, so that the
 * server has yet to see it. lwIP may give its memory to the next client. */
static void test_taken(void)
{
    char text[512];
    int good = 0;
    for (int i = 0; i < 5; i++) {
        int ended = dial(), busy = dial();
        good += say(ended, bad, sizeof bad - 1) && hear(ended, text, sizeof text, 1) >= 1;
        good += say(busy, stand, sizeof stand - 1);
        sys_arch_sem_wait(&done, 0);
        lwip_close(ended);
        sys_msleep(50);
        take_all_connections();
        int next = dial();
        good += say(next, led, sizeof led - 1);
        sys_sem_signal(&go);
        good += hear(busy, text, sizeof text, 4000) == 4000;
        lwip_close(busy);
        sys_msleep(50);
        good += hear(next, text, sizeof text, (int)sizeof off - 1) == (int)sizeof off - 1;
        good += ask(next, led, off);
        lwip_close(next);
    }
    check("a client behind one that left while the program was busy", good == 30);
}

/* The program answers while lwIP has no memory at all, and later it has some. */
static void test_without_memory(void)
{
    static const char data[8192];
    char text[512];
    int good = 0;
    for (int i = 0; i < 2; i++) {
        int busy = dial(), upload = dial(), before = woken;
        good += say(upload, put, sizeof put - 1);
        good += say(busy, stand, sizeof stand - 1);
        sys_arch_sem_wait(&done, 0);
        hog_take(HOG_HEAP | HOG_PACKETS | HOG_SEGMENTS | HOG_NETBUFS);
        sys_sem_signal(&go);
        uhttp_server_wakeup(server);
        sys_msleep(1500);
        good += woken != before;
        hog_give();
        good += hear(busy, text, sizeof text, 4000) == 4000;
        good += say(upload, data, sizeof data);
        good += hear(upload, text, sizeof text, 1) >= 1 && strstr(text, "\"bytes\":8192") != NULL;
        lwip_close(busy);
        lwip_close(upload);
    }
    check("requests go on when lwIP has memory again", good == 12);
}

#ifdef ESP_PLATFORM
/* One request on a connection of its own; false: the answer's head or body have not this text. */
static bool get(const char *method, const char *target, const char *body, const char *head,
                const char *wanted)
{
    char text[2000];
    int fd = dial();
    int n = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     "Content-Length: %d\r\n\r\n%s", method, target, (int)strlen(body), body);
    bool good = say(fd, text, (size_t)n);
    hear(fd, text, sizeof text, (int)sizeof text);
    lwip_close(fd);
    good = good && strstr(text, head) != NULL && strstr(text, wanted) != NULL;
    if (!good)
        printf("# %s %s: %s\n", method, target, text);
    return good;
}

static int entries(void)
{
    int count = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        count += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return count;
}

static void test_files(void)
{
    static char large[1500];
    char path[100];
    struct tm *now;
    char today[32];
    time_t clock = time(NULL);
    snprintf(folder, sizeof folder, "/tmp/uhttp-loop-%ld", (long)getpid());
    snprintf(path, sizeof path, "%s/sub", folder);
    mkdir(folder, 0777);
    mkdir(path, 0777);
    memset(large, 'x', sizeof large - 1);
    now = gmtime(&clock);
    strftime(today, sizeof today, "Date: %a, %d %b %Y ", now);
    check("Date is the system's", get("GET", "/api/led", "", today, "on"));
    check("files: a body becomes one", get("PUT", "/files/index.html", "one", " 201 ", "stored"));
    check("files: it is the index", get("GET", "/files/", "", "text/html", "\r\n\r\none"));
    check("files: it has validators", get("GET", "/files/index.html", "", "ETag: ", "Last-Mod"));
    check("files: another takes its place",
          get("PUT", "/files/index.html", large, " 201 ", "stored") &&
          get("GET", "/files/index.html", "", "Content-Length: 1499\r\n", large));
    check("files: none of that name is 404", get("GET", "/files/no", "", " 404 ", "") &&
          get("GET", "/files/index.html/", "", " 404 ", "") &&
          get("GET", "/files/sub/", "", " 404 ", ""));
    check("files: a directory without its slash",
          get("GET", "/files/sub", "", " 301 ", "/files/sub/\r\n"));
    check("files: no way to a directory's place", get("PUT", "/files/sub", "one", " 500 ", ""));
    check("files: nothing else is left", entries() == 2);
    rmdir(path);
    snprintf(path, sizeof path, "%s/index.html", folder);
    unlink(path);
    rmdir(folder);
}
#endif

int main(void)
{
    sys_sem_new(&ready, 0);
    sys_sem_new(&done, 0);
    sys_sem_new(&go, 0);
    tcpip_init(NULL, NULL);
    sys_thread_new("server", serve, NULL, 0, 0);
    sys_arch_sem_wait(&ready, 0);
    printf("# lwIP %s, FD_SETSIZE %d\n", LWIP_VERSION_STRING, (int)FD_SETSIZE);
    check("it opens", opened == UHTTP_OK);
    if (opened == UHTTP_OK) {
        printf("# its descriptor is %d\n", (int)uhttp_server_fd(server));
#ifdef LIBC_FD_SET
        check("with a descriptor behind LWIP_SOCKET_OFFSET", uhttp_server_fd(server) >= 48);
#else
        check("with 0 or 1 as its descriptor", uhttp_server_fd(server) <= 1);
#endif
        test_requests();
        test_upload();
        test_wakeups();
        test_wakeups_without_memory();
        test_without_memory();
        test_taken();
#ifdef ESP_PLATFORM
        test_files();
#endif
        int fd = dial();
        check("it is told to end", ask(fd, "POST /api/restart HTTP/1.1\r\nHost: x\r\n\r\n",
                                       "restarting\n"));
        lwip_close(fd);
        check("and ends", sys_arch_sem_wait(&done, 20000) != SYS_ARCH_TIMEOUT);
        check("every socket is closed", lwip_stats.memp[MEMP_NETCONN]->used == 0);
    }
    printf("1..%d\n", number);
    fflush(stdout);
    _Exit(failures > 0);        /* lwIP's own thread never ends */
}
