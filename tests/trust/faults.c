/* faults.c - every system call and allocation of the server fails, in every scenario
 *
 *   faults [--sample N] [--seed S] [--pairs N] [--only SCENARIO] [--sites FILE] [-v]
 *
 * A scenario is a server with its program, and clients that do everything right. It runs once
 * without a fault, which shows the calls the server makes and what the clients get; then once
 * for each of these calls and each error it can have (--sample: N of these by chance), and N
 * times with two faults (--pairs). After each run:
 *
 *   - memory and descriptors are as before, and no file is left half written;
 *   - every request the program was told of has ended, and only once;
 *   - a fault that the server can mend (EINTR, EAGAIN, few bytes, no descriptors) changed nothing
 *     for any client; another one changed something for at most one of them, and what that one
 *     got is cut short or an error of HTTP;
 *   - the server serves a new client.
 *
 * Server and clients take turns in one thread, and time is the test's: when nothing moves, it
 * jumps to the server's next deadline. So a run repeats exactly, and waits for nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "faults.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/un.h>

static uint32_t test_now = 0xffff0000u;     /* milliseconds; wraps on the way */

static void test_broken(const char *truth, int line)
{
    fprintf(stderr, "uhttp_server.h:%d: invariant broken: %s\n", line, truth);
    abort();
}

#define UHTTP_MILLIS() test_now
#define UHTTP_TIME() ((int64_t)1700000000)
#define UHTTP_ASSERT(truth) ((truth) ? (void)0 : test_broken(#truth, __LINE__))
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"

#define ROUNDS       20000      /* of a run, at most */
#define IDLE_ROUNDS  300        /* in which only time passes */
#define CLIENTS      4
#define TOLD         64
#define ROOM         500000

/*--- what went wrong ---------------------------------------------------------------------*/

static const char *run_scenario;
static char run_fault[160];
static unsigned failures;
static bool run_failed, verbose;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
    va_list list;
    if (run_failed)
        return;
    run_failed = true;
    failures++;
    printf("# %s, %s: ", run_scenario, run_fault);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
}

/*--- the program behind the server -----------------------------------------------------------*/

typedef struct request {
    uint64_t id;
    bool ended;
    bool websocket;
    unsigned pieces;            /* of a stream, written so far */
    unsigned held;              /* rounds it will be held */
    bool slow;                  /* in which time passes */
    uint64_t bytes;             /* of an upload */
    uhttp_formdata form;
    bool in_form;
} request;

static request told[TOLD];
static size_t told_count;
static char folder[64];         /* where the files are */
static char big[200000];
static char scratch[512];       /* of the form reader */

static request *request_of(uint64_t id)
{
    for (size_t i = 0; i < told_count; i++) {
        if (told[i].id == id)
            return &told[i];
    }
    return NULL;
}

static void request_ends(request *r)
{
    if (r->ended)
        complain("a request ended twice");
    r->ended = true;
}

/* A call that answers: whatever it says but STATE and AGAIN, the request is over. */
static void answered(request *r, uhttp_result result)
{
    if (result == UHTTP_ERR_STATE || result == UHTTP_ERR_INVALID || result == UHTTP_ERR_AGAIN)
        complain("an answer was refused: %s", uhttp_strerror(result));
    request_ends(r);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

#define STREAM_PIECES 40u

static void stream_on(uhttp_conn *c, request *r)
{
    while (r->pieces < STREAM_PIECES) {
        uhttp_result result = uhttp_stream_write(c, big, 3000);
        if (result == UHTTP_ERR_AGAIN)
            return;
        if (result != UHTTP_OK) {
            if (result == UHTTP_ERR_MEMORY)     /* no room for a piece: given up */
                uhttp_close(c);
            else if (result != UHTTP_ERR_CLOSED)
                complain("a stream was refused: %s", uhttp_strerror(result));
            request_ends(r);
            return;
        }
        r->pieces++;
    }
    answered(r, uhttp_stream_end(c));
}

static void begin_stream(uhttp_conn *c, request *r)
{
    uhttp_result result = uhttp_stream_begin(c, 200, "text/plain");
    if (result == UHTTP_OK)
        stream_on(c, r);
    else
        answered(r, result);
}

static void send_events(uhttp_conn *c, request *r)
{
    uhttp_result result = uhttp_sse_begin(c);
    for (int i = 0; i < 5 && result == UHTTP_OK; i++) {
        uhttp_sse_event event;
        memset(&event, 0, sizeof event);
        event.data = "one\ntwo";
        event.id = "7";
        result = uhttp_sse_send(c, &event);
        if (result == UHTTP_ERR_MEMORY) {
            uhttp_close(c);
            request_ends(r);
            return;
        }
    }
    answered(r, result == UHTTP_OK ? uhttp_sse_end(c) : result);
}

static void begin_upload(uhttp_conn *c, request *r)
{
    const char *path = uhttp_path(c);
    uhttp_result result;
    if (strcmp(path, "/tofile") == 0)
        result = uhttp_accept_body_to_file(c, "upload.bin", 0);
    else if (strcmp(path, "/collect") == 0)
        result = uhttp_accept_body(c, 0);
    else
        result = uhttp_accept_body_streaming(c, 0);
    if (result == UHTTP_OK && strcmp(path, "/form") == 0)
        r->in_form = uhttp_formdata_begin(&r->form, uhttp_content_type(c), scratch,
                                          sizeof scratch) == UHTTP_OK;
    if (result == UHTTP_ERR_CLOSED)
        request_ends(r);
    else if (result == UHTTP_ERR_MEMORY)
        answered(r, uhttp_respond_error(c, 503));
    else if (result != UHTTP_OK)
        complain("a body was refused: %s", uhttp_strerror(result));
}

static void read_pieces(uhttp_conn *c, request *r)
{
    size_t length = 0;
    const void *data = uhttp_read_buffer(c, &length);
    if (data == NULL || length == 0)
        return;
    if (!r->in_form) {
        r->bytes += length;
        return;
    }
    uhttp_formdata_feed(&r->form, data, length);
    for (;;) {
        uhttp_formdata_event event = uhttp_formdata_next(&r->form);
        if (event == UHTTP_FORMDATA_DATA)
            r->bytes += r->form.data.len;
        else if (event == UHTTP_FORMDATA_MORE || event == UHTTP_FORMDATA_END ||
                 event == UHTTP_FORMDATA_ERROR)
            return;
    }
}

static void complete_upload(uhttp_conn *c, request *r)
{
    size_t length = 0;
    if (strcmp(uhttp_path(c), "/collect") == 0) {
        if (uhttp_body(c, &length) == NULL)
            complain("a collected body is absent");
        r->bytes = length;
    } else {
        read_pieces(c, r);
    }
    answered(r, uhttp_respond_printf(c, 200, "text/plain", "%lu bytes",
                                     (unsigned long)(r->bytes + uhttp_bytes_received(c))));
}

static void answer(uhttp_conn *c, request *r)
{
    char url[200];
    const char *path = uhttp_path(c);
    if (strcmp(path, "/big") == 0)
        answered(r, uhttp_respond_static(c, 200, "text/plain", big, sizeof big));
    else if (strcmp(path, "/copy") == 0)
        answered(r, uhttp_respond(c, 200, "text/plain", big, 30000));
    else if (strcmp(path, "/stream") == 0)
        begin_stream(c, r);
    else if (strcmp(path, "/events") == 0)
        send_events(c, r);
    else if (strcmp(path, "/file") == 0)
        answered(r, uhttp_respond_file(c, path_of("file.bin"), NULL));
    else if (strncmp(path, "/dir/", 5) == 0)
        answered(r, uhttp_serve_dir(c, folder, "/dir"));
    else if (strcmp(path, "/hold") == 0)
        r->held = 3;
    else if (strcmp(path, "/wait") == 0) {
        r->held = 30;
        r->slow = true;
    } else if (strcmp(path, "/full") == 0)
        answered(r, uhttp_full_url(c, url, sizeof url) != UHTTP_ERR_MEMORY
                        ? uhttp_respond_text(c, 200, "full") : uhttp_respond_error(c, 503));
    else if (strcmp(path, "/tofile") == 0 || strcmp(path, "/collect") == 0 ||
             strcmp(path, "/count") == 0 || strcmp(path, "/form") == 0)
        begin_upload(c, r);
    else {
        uhttp_result result = uhttp_add_header(c, "X-Test", "yes");
        answered(r, result == UHTTP_OK ? uhttp_respond_text(c, 200, path)
                                       : uhttp_respond_error(c, 503));
    }
}

static void begin_websocket(uhttp_conn *c, request *r)
{
    uhttp_result result = uhttp_ws_accept(c, NULL);
    r->websocket = result == UHTTP_OK;
    if (!r->websocket)
        answered(r, result);
}

static void echo(uhttp_conn *c)
{
    size_t length = 0;
    const char *text = uhttp_ws_message(c, &length);
    uhttp_result result = uhttp_ws_send(c, UHTTP_WS_TEXT, text, length);
    if (result == UHTTP_ERR_MEMORY)
        uhttp_ws_close(c, 1011, NULL);
    else if (result != UHTTP_OK && result != UHTTP_ERR_CLOSED)
        complain("a message was refused: %s", uhttp_strerror(result));
}

static request *new_request(uhttp_conn *c)
{
    if (request_of(uhttp_id(c)) != NULL || told_count == TOLD) {
        complain("told twice of one request");
        return request_of(uhttp_id(c));
    }
    request *r = &told[told_count++];
    memset(r, 0, sizeof *r);
    r->id = uhttp_id(c);
    return r;
}

static void handle(uhttp_conn *c)
{
    uhttp_event_type event = uhttp_event(c);
    bool first = event == UHTTP_EVENT_REQUEST || event == UHTTP_EVENT_HEADERS ||
                 event == UHTTP_EVENT_WS_REQUEST;
    request *r = first ? new_request(c) : request_of(uhttp_id(c));
    if (r == NULL || (r->ended && event != UHTTP_EVENT_WS_CLOSE)) {
        complain("event %d of a request that has ended", (int)event);
        return;
    }
    switch (event) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
        answer(c, r);
        break;
    case UHTTP_EVENT_WS_REQUEST:
        begin_websocket(c, r);
        break;
    case UHTTP_EVENT_DATA:
        read_pieces(c, r);
        break;
    case UHTTP_EVENT_COMPLETE:
        complete_upload(c, r);
        break;
    case UHTTP_EVENT_WRITABLE:
        if (!r->websocket)
            stream_on(c, r);
        break;
    case UHTTP_EVENT_ERROR:     /* the next wait sends the refusal */
    case UHTTP_EVENT_CLOSED:
    case UHTTP_EVENT_WS_CLOSE:
        request_ends(r);
        break;
    case UHTTP_EVENT_WS_MESSAGE:
        echo(c);
        break;
    case UHTTP_EVENT_WS_CHUNK_FIRST:
    case UHTTP_EVENT_WS_CHUNK_NEXT:
    case UHTTP_EVENT_WS_CHUNK_LAST:
    case UHTTP_EVENT_WS_PING:
    case UHTTP_EVENT_NONE:
        break;
    }
}

/* Answers what has been held long enough; true: something was held. */
static bool answer_held(uhttp_server *server)
{
    bool any = false;
    for (size_t i = 0; i < told_count; i++) {
        if (told[i].ended || told[i].held == 0)
            continue;
        any = true;
        test_now += told[i].slow ? 100 : 0;
        if (--told[i].held > 0)
            continue;
        uhttp_conn *c = uhttp_find(server, told[i].id);
        uhttp_result result = UHTTP_ERR_CLOSED;
        if (c != NULL)
            result = uhttp_respond_text(c, 200, "late");
        if (result == UHTTP_ERR_MEMORY)
            told[i].held = 1;           /* it is still the program's, which tries again */
        else
            answered(&told[i], result);
    }
    return any;
}

/*--- clients ---------------------------------------------------------------------------------*/

typedef struct client {
    const char *out;            /* what it says */
    size_t left, piece;         /* of it; and how much at once, 0: all */
    int fd;
    bool ended;                 /* nothing more will come */
    bool done;                  /* it has all it expects */
    char *in;
    size_t used, looked;
    bool secure;
#ifdef UHTTP_TLS
    mbedtls_ssl_context ssl;
    bool agreed;
#endif
} client;

static client clients[CLIENTS + 1];     /* and the one that comes last */
static struct sockaddr_storage server_at;
static socklen_t server_at_length;

#ifdef UHTTP_TLS
static mbedtls_ssl_config client_conf;
static uh_tls_random client_random;
static uhttp_tls_config test_tls;
static uhttp_tls_config test_tls_memory;    /* the same, its texts without a NUL behind them */

static int client_out(void *state, const unsigned char *bytes, size_t length)
{
    ssize_t n = send(((client *)state)->fd, bytes, length, MSG_NOSIGNAL);
    return n >= 0 ? (int)n : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : -0x4e;
}

static int client_in(void *state, unsigned char *to, size_t room)
{
    ssize_t n = recv(((client *)state)->fd, to, room, 0);
    return n >= 0 ? (int)n : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : -0x4c;
}

static ssize_t client_secure_result(int n)
{
    if (n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    if (n < 0)
        errno = ECONNRESET;
    return n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ? 0 : n < 0 ? -1 : n;
}

static ssize_t client_agree(client *k)
{
    if (k->agreed)
        return 1;
    int code = mbedtls_ssl_handshake(&k->ssl);
    k->agreed = code == 0;
    return k->agreed ? 1 : client_secure_result(code);
}

static size_t file_read(const char *path, char *to, size_t room)
{
    FILE *file = fopen(path, "rb");
    size_t length = file != NULL ? fread(to, 1, room, file) : 0;
    if (length == 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    fclose(file);
    return length;
}

static void client_setup(void)
{
    static char chain_text[20000], key_text[20000];
    const char *dir = getenv("UHTTP_TLS_CERTIFICATES");
    static char chain[256], key[256];
    snprintf(chain, sizeof chain, "%s/server.pem", dir != NULL ? dir : "build/tls");
    snprintf(key, sizeof key, "%s/server.key", dir != NULL ? dir : "build/tls");
    test_tls.certificate.chain_file = chain;
    test_tls.certificate.key_file = key;
    test_tls.max_handshakes = CLIENTS;
    test_tls_memory.max_handshakes = CLIENTS;
    test_tls_memory.certificate.chain = chain_text;
    test_tls_memory.certificate.chain_length = file_read(chain, chain_text, sizeof chain_text);
    test_tls_memory.certificate.key = key_text;
    test_tls_memory.certificate.key_length = file_read(key, key_text, sizeof key_text);
    mbedtls_ssl_config_init(&client_conf);
    uh_tls_random_init(&client_random);
    uh_tls_start_psa();
    if (uh_tls_random_open(&client_random, &test_tls) != 0 ||
        mbedtls_ssl_config_defaults(&client_conf, MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        abort();
    uh_tls_conf_random(&client_conf, &client_random);
    mbedtls_ssl_conf_authmode(&client_conf, MBEDTLS_SSL_VERIFY_NONE);
}
#endif

static ssize_t client_send(client *k, size_t length)
{
#ifdef UHTTP_TLS
    if (k->secure) {
        ssize_t agreed = client_agree(k);
        return agreed <= 0 ? -1 : client_secure_result(
            mbedtls_ssl_write(&k->ssl, (const unsigned char *)k->out, length));
    }
#endif
    return send(k->fd, k->out, length, MSG_NOSIGNAL);
}

static ssize_t client_recv(client *k)
{
#ifdef UHTTP_TLS
    if (k->secure) {
        ssize_t agreed = client_agree(k);
        return agreed <= 0 ? agreed : client_secure_result(
            mbedtls_ssl_read(&k->ssl, (unsigned char *)k->in + k->used, ROOM - k->used));
    }
#endif
    return recv(k->fd, k->in + k->used, ROOM - k->used, 0);
}

static void client_start(client *k, const char *out, size_t length, size_t piece, bool secure)
{
    char *in = k->in;
    int on = 1;
    memset(k, 0, sizeof *k);
    k->in = in != NULL ? in : (char *)malloc(ROOM);
    k->out = out;
    k->left = length;
    k->piece = piece;
    k->secure = secure;
    k->fd = socket(server_at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (k->in == NULL || k->fd < 0 ||
        (connect(k->fd, (struct sockaddr *)&server_at, server_at_length) != 0 &&
         errno != EINPROGRESS && errno != EAGAIN))
        complain("a client cannot connect: %s", strerror(errno));
#ifdef UHTTP_TLS
    if (secure) {
        mbedtls_ssl_init(&k->ssl);
        if (mbedtls_ssl_setup(&k->ssl, &client_conf) != 0)
            abort();
        mbedtls_ssl_set_bio(&k->ssl, k, client_out, client_in, NULL);
    }
#endif
}

static void client_close(client *k)
{
#ifdef UHTTP_TLS
    if (k->secure)
        mbedtls_ssl_free(&k->ssl);
#endif
    close(k->fd);
    k->done = true;
    k->fd = -1;
}

/* Sends and receives what passes; true: something did. */
static bool client_run(client *k)
{
    bool moved = false;
    if (k->fd < 0 || k->ended)
        return false;
    while (k->left > 0) {
        ssize_t n = client_send(k, k->piece > 0 && k->piece < k->left ? k->piece : k->left);
        if (n <= 0)
            break;
        moved = true;
        k->out += n;
        k->left -= (size_t)n;
        if (k->piece > 0)
            break;
    }
    ssize_t n = client_recv(k);
    if (n > 0)
        k->used += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != ENOTCONN))
        k->ended = true;
    return moved || n > 0 || k->ended;
}

/*--- scenarios --------------------------------------------------------------------------------*/

#define HOST " HTTP/1.1\r\nHost: t\r\n"
#define GET(path) "GET " path HOST "\r\n"
#define LAST(path) "GET " path HOST "Connection: close\r\n\r\n"
#define TEXT(text) text, sizeof text - 1
#define PADDING "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char upload_length[60000 + 200];
static char upload_file[60000 + 200];
static char upload_form[60000 + 400];
static char input_full[60000 + 200];

typedef struct script {
    const char *text;
    size_t length;
    size_t piece;
} script;

typedef struct scenario {
    const char *name;
    script scripts[CLIENTS];
    bool secure;                /* all clients but the last, where TLS is built in */
    bool unix_socket;
    bool shutdown;              /* it ends gracefully */
    bool plain_mode;            /* no event mode */
    bool small;                 /* fixed memory */
    unsigned ways;              /* of WAY_... */
} scenario;

#define WAY_DUAL    1u          /* listens on "::" */
#define WAY_ADOPTED 2u          /* its listener was there before, and its first client, too */
#define WAY_FOLLOWS 4u          /* the loop is the program's, told of changes */
#define WAY_WOKEN   8u          /* woken on the way */
#define WAY_HIGH    16u         /* all its descriptors are beyond an fd_set */

#define BYSTANDER { TEXT(GET("/bystander") GET("/again")), 31 }

static scenario scenarios[] = {
    { "request", { { TEXT(LAST("/one")), 0 }, BYSTANDER }, 0, 0, 0, 0, 0, 0 },
    { "keep-alive", { { TEXT(GET("/one") GET("/two") LAST("/three")), 35 }, BYSTANDER },
      0, 0, 1, 1, 0, 0 },
    { "pipeline", { { TEXT(GET("/one") GET("/copy") GET("/hold") GET("/four") GET("/one")
                           GET("/copy") LAST("/five")), 0 }, BYSTANDER }, 0, 0, 0, 0, 0, 0 },
    { "answers", { { TEXT(GET("/big") GET("/copy") GET("/none?a=1&b=%20") LAST("/hold")), 0 },
                   BYSTANDER }, 0, 0, 1, 0, 0, 0 },
    { "streams", { { TEXT(GET("/stream") GET("/events") LAST("/stream")), 0 }, BYSTANDER },
      0, 0, 0, 0, 0, 0 },
    { "files", { { TEXT(GET("/file") GET("/dir/file.bin") GET("/dir/sub/") GET("/dir/absent")
                        "GET /dir/file.bin" HOST "Range: bytes=5-20000\r\n\r\n"
                        LAST("/dir/../x")), 0 }, BYSTANDER }, 0, 0, 0, 0, 0, 0 },
    { "upload", { { upload_length, 0, 0 }, { upload_file, 0, 7000 }, BYSTANDER },
      0, 0, 0, 0, 0, 0 },
    { "form", { { upload_form, 0, 9000 }, { TEXT("POST /count" HOST
                "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
                "40\r\n" PADDING "\r\n40;x=y\r\n" PADDING "\r\n0\r\nT: t\r\n\r\n"), 50 },
                BYSTANDER }, 0, 0, 1, 0, 0, 0 },
    { "websocket", { { TEXT("GET /ws" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "\r\n\x81\x85" "\0\0\0\0" "hello" "\x89\x80" "\0\0\0\0"
                "\x01\x83" "\0\0\0\0" "one" "\x80\x83" "\0\0\0\0" "two"
                "\x88\x82" "\0\0\0\0" "\x03\xe8"), 0 }, BYSTANDER }, 0, 0, 0, 0, 0, 0 },
    { "unix", { { TEXT(GET("/one") LAST("/two")), 0 }, BYSTANDER }, 0, 1, 1, 0, 0, 0 },
    { "fixed memory", { { TEXT(GET("/one") GET("/stream") GET("/file") LAST("/big")), 0 },
                        { upload_length, 0, 0 }, BYSTANDER }, 0, 0, 0, 0, 1, 0 },
    { "both families", { { TEXT(GET("/one") "GET /full HTTP/1.0\r\n\r\n"), 0 }, BYSTANDER },
      0, 0, 0, 0, 0, WAY_DUAL | WAY_WOKEN },
    { "adopted", { { TEXT(GET("/one") LAST("/copy")), 0 }, BYSTANDER }, 0, 0, 0, 0, 0,
      WAY_ADOPTED },
    { "changes", { { TEXT(GET("/one") GET("/stream") LAST("/file")), 0 }, { upload_file, 0, 7000 },
                   BYSTANDER }, 0, 0, 1, 0, 0, WAY_FOLLOWS | WAY_WOKEN },
    { "full input", { { input_full, 0, 0 }, BYSTANDER }, 0, 0, 0, 0, 0, 0 },
    { "high descriptors", { { TEXT(GET("/one") LAST("/big")), 0 }, BYSTANDER }, 0, 0, 0, 0, 0,
      WAY_HIGH },
#ifdef UHTTP_TLS
    { "tls", { { TEXT(GET("/one") GET("/copy") LAST("/file")), 0 },
               { TEXT(GET("/two")), 0 } }, 1, 0, 0, 0, 0, 0 },
    { "tls upload", { { upload_length, 0, 0 }, { TEXT(GET("/two")), 0 } }, 1, 0, 1, 0, 0, 0 },
#endif
};

#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

static size_t script_body(char *to, const char *head, size_t length)
{
    size_t n = strlen(head);
    memcpy(to, head, n);
    memset(to + n, 'u', length);
    return n + length;
}

static void scenarios_prepare(void)
{
    static const char part[] = "--b\r\nContent-Disposition: form-data; name=\"f\"; "
                               "filename=\"f.bin\"\r\n\r\n";
    char head[400];
    script *form = &scenarios[7].scripts[0];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i * 7 % 26);
    size_t first = script_body(upload_length, "POST /collect" HOST "Content-Length: 60000\r\n"
                               "\r\n", 60000);
    size_t second = script_body(upload_file, "POST /tofile" HOST "Content-Length: 60000\r\n"
                                "Expect: 100-continue\r\n\r\n", 60000);
    size_t third = script_body(input_full, GET("/wait") "POST /count" HOST
                               "Content-Length: 50000\r\n\r\n", 50000);
    snprintf(head, sizeof head, "POST /form" HOST "Content-Type: multipart/form-data; "
             "boundary=b\r\nContent-Length: %zu\r\n\r\n%s", sizeof part - 1 + 50000 + 9, part);
    form->length = script_body(upload_form, head, 50000);
    memcpy(upload_form + form->length, "\r\n--b--\r\n", 9);
    form->length += 9;
    for (size_t i = 0; i < SCENARIOS; i++) {
        for (int k = 0; k < CLIENTS; k++) {
            script *s = &scenarios[i].scripts[k];
            if (s->text == upload_length)
                s->length = first;
            if (s->text == upload_file)
                s->length = second;
            if (s->text == input_full)
                s->length = third;
        }
    }
}

/*--- files ----------------------------------------------------------------------------------*/

static void file_make(const char *name, size_t length)
{
    FILE *file = fopen(path_of(name), "wb");
    if (file == NULL || fwrite(big, 1, length, file) != length || fclose(file) != 0) {
        fprintf(stderr, "%s cannot be written\n", path_of(name));
        exit(2);
    }
}

static void folder_make(void)
{
    const char *where = getenv("TMPDIR");
    int length = snprintf(folder, sizeof folder, "%s/uhttp-faults.%ld",
                          where != NULL ? where : P_tmpdir, (long)getpid());
    if (length >= (int)sizeof folder || mkdir(folder, 0700) != 0 || chdir(folder) != 0 ||
        mkdir(path_of("sub"), 0777) != 0) {
        fprintf(stderr, "%s cannot be made\n", folder);
        exit(2);
    }
    file_make("file.bin", 90000);
    file_make("sub/index.html", 3000);
}

/* Removes what an upload left; how many names began with ".upload-". */
static unsigned folder_clean(void)
{
    unsigned halves = 0;
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, ".upload-", 8) == 0) {
            halves++;
            unlink(path_of(entry->d_name));
        }
    }
    if (directory != NULL)
        closedir(directory);
    unlink(path_of("upload.bin"));
    return halves;
}

static void folder_remove(void)
{
    folder_clean();
    unlink(path_of("file.bin"));
    unlink(path_of("sub/index.html"));
    unlink(path_of("socket"));
    rmdir(path_of("sub"));
    rmdir(folder);
}

/*--- one run ----------------------------------------------------------------------------------*/

static char *expected[CLIENTS];
static size_t expected_length[CLIENTS];
static bool learning;               /* the run without a fault */

/* Copies what a client got without what may differ: how a stream is cut into chunks, and, while
 * newcomers wait, the "Connection: close" by which busy clients take turns. */
#define TURN "Connection: close\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

typedef struct reader {
    const char *p, *end;
    char *out;
} reader;

static void read_on(reader *r, size_t length)
{
    if (length > (size_t)(r->end - r->p))
        length = (size_t)(r->end - r->p);
    memmove(r->out, r->p, length);
    r->out += length;
    r->p += length;
}

static void read_chunks(reader *r)
{
    for (;;) {
        const char *line = (const char *)memmem(r->p, (size_t)(r->end - r->p), "\r\n", 2);
        size_t length = line != NULL ? strtoul(r->p, NULL, 16) : 0;
        if (line == NULL) {
            r->p = r->end;
            return;
        }
        r->p = line + 2;
        if (length == 0) {
            read_on(r, 2);          /* it is whole */
            return;
        }
        read_on(r, length);
        r->p += r->end - r->p >= 2 ? 2 : r->end - r->p;
    }
}

static size_t canonical(const char *text, size_t length, char *out)
{
    reader r = { text, text + length, out };
    bool chunked = false;
    while (r.p < r.end) {               /* line by line */
        size_t left = (size_t)(r.end - r.p);
        const char *end = (const char *)memchr(r.p, '\n', left);
        if (left >= sizeof TURN - 1 && memcmp(r.p, TURN, sizeof TURN - 1) == 0) {
            r.p += sizeof TURN - 1;
            continue;
        }
        if (left >= sizeof CHUNKED - 1 && memcmp(r.p, CHUNKED, sizeof CHUNKED - 1) == 0)
            chunked = true;
        bool head_ends = left >= 2 && memcmp(r.p, "\r\n", 2) == 0;
        read_on(&r, end != NULL ? (size_t)(end + 1 - r.p) : left);
        if (head_ends && chunked) {
            read_chunks(&r);
            chunked = false;
        }
    }
    return (size_t)(r.out - out);
}

/* Does this client have what it expects? Asked again only when more has come. */
static bool client_has_all(client *k, size_t length)
{
    static char text[ROOM];
    if (k->left > 0 || k->used == k->looked)
        return false;
    k->looked = k->used;
    return canonical(k->in, k->used, text) >= length;
}

#define WATCHED UHTTP_WATCH_CAPACITY(8)

static uhttp_watch watched[WATCHED];        /* by a loop of the program's own */
static size_t watched_count;
static unsigned run_ways;

static void watch_change(const uhttp_watch *change)
{
    size_t at = 0;
    while (at < watched_count && watched[at].token != change->token)
        at++;
    if (at == WATCHED || (change->wish == 0 && at == watched_count))
        complain("a change that cannot be");
    else if (change->wish == 0)
        watched[at] = watched[--watched_count];
    else {
        watched[at] = *change;
        watched_count += at == watched_count ? 1 : 0;
    }
}

/* One turn of that loop. The system's poll() is the program's: it does not fail. */
static uhttp_conn *own_loop(uhttp_server *server)
{
    struct pollfd sockets[WATCHED];
    uhttp_watch changes[4];
    size_t n;
    while ((n = uhttp_server_watch_changes(server, changes, 4)) > 0) {
        for (size_t i = 0; i < n; i++)
            watch_change(&changes[i]);
    }
    for (size_t i = 0; i < watched_count; i++) {
        sockets[i].fd = (int)watched[i].fd;
        sockets[i].events = (short)((watched[i].wish & UHTTP_READABLE ? POLLIN : 0) |
                                    (watched[i].wish & UHTTP_WRITABLE ? POLLOUT : 0));
    }
    fault_armed = false;
    poll(sockets, watched_count, 0);
    fault_armed = true;
    for (size_t i = 0; i < watched_count; i++) {
        short got = sockets[i].revents;
        watched[i].ready = (uint16_t)((got & POLLIN ? UHTTP_READABLE : 0) |
                                      (got & POLLOUT ? UHTTP_WRITABLE : 0));
        if ((got & (POLLERR | POLLHUP)) != 0)
            watched[i].ready = UHTTP_READABLE | UHTTP_WRITABLE;
    }
    return uhttp_process_events(server, watched, watched_count);
}

static uhttp_conn *server_wait(uhttp_server *server)
{
    fault_armed = true;
    bool follows = (run_ways & WAY_FOLLOWS) != 0;
    uhttp_conn *c = follows ? own_loop(server) : uhttp_wait(server, 0);
    uhttp_conn *any = c;
    while (c != NULL) {
        handle(c);
        c = follows ? uhttp_process_events(server, NULL, 0) : NULL;
    }
    fault_armed = false;
    return any;
}

/* Nothing moved: to the next deadline. False: there is none. */
static bool time_passes(uhttp_server *server, unsigned idle)
{
    struct pollfd nothing[CLIENTS + 1];
    nfds_t n = 0;
    for (int i = 0; i <= CLIENTS; i++) {
        if (clients[i].fd < 0 || clients[i].ended || clients[i].in == NULL)
            continue;
        nothing[n].fd = clients[i].fd;
        nothing[n++].events = POLLIN;
    }
    if (poll(nothing, n, 1) > 0 && idle % 4 != 3)
        return true;                /* it was on its way */
    int ms = uhttp_server_timeout(server);
    test_now += ms > 0 ? (uint32_t)ms : ms < 0 ? 60000u : 1u;
    return ms >= 0;
}

static void run_wakeup(uhttp_server *server)
{
    fault_armed = true;
    uhttp_result woken = uhttp_server_wakeup(server);
    fault_armed = false;
    if (woken != UHTTP_OK && !fault_hits)
        complain("it cannot be woken: %s", uhttp_strerror(woken));
}

/* Lets server and clients run until each client has what it expects, or gets no more. */
static void run_clients(uhttp_server *server, int first, int count)
{
    unsigned idle = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned long before = fault_moves;
        bool moved = false;
        bool waiting = false;
        for (int i = first; i < first + count; i++) {
            client *k = &clients[i];
            moved |= client_run(k);
            if (i < CLIENTS && !learning && client_has_all(k, expected_length[i]))
                k->done = true;
            waiting |= !k->done && !k->ended;
        }
        if (!waiting)
            return;
        if ((run_ways & WAY_WOKEN) != 0 && round % 8 == 3)
            run_wakeup(server);
        moved |= server_wait(server) != NULL;
        fault_armed = true;
        moved |= answer_held(server);
        fault_armed = false;
        if (moved || fault_moves != before) {
            idle = 0;
            continue;
        }
        idle++;
        if (learning && idle > 3)
            return;
        if (idle > IDLE_ROUNDS) {
            complain("a client was left waiting");
            return;
        }
        time_passes(server, idle);
    }
    complain("the run does not end");
}

/* The clients have gone: the program must hear of every end. */
static void run_out(uhttp_server *server)
{
    unsigned idle = 0;
    for (unsigned round = 0; round < ROUNDS && idle < IDLE_ROUNDS; round++) {
        uhttp_stats stats;
        unsigned long before = fault_moves;
        bool moved = server_wait(server) != NULL;
        fault_armed = true;
        moved |= answer_held(server);
        fault_armed = false;
        uhttp_server_stats(server, &stats);
        if (stats.connections == 0 && !moved)
            break;
        if (!moved && fault_moves == before) {
            idle++;
            time_passes(server, idle);
        }
    }
    for (size_t i = 0; i < told_count; i++) {
        if (!told[i].ended)
            complain("request %zu never ended", i + 1);
    }
}

static uhttp_config run_config(const scenario *what)
{
    static char memory[UHTTP_MEMORY_SIZE(8, 4096)];
    static char address[160];
    uhttp_config config;
    memset(&config, 0, sizeof config);
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    config.event_mode = !what->plain_mode;
    config.max_connections = 8;
    config.reuse_port = !what->unix_socket && !what->shutdown;
    if ((what->ways & WAY_DUAL) != 0)
        config.address = "::";
    if (what->small) {
        config.memory = memory;
        config.memory_size = sizeof memory;
    }
    if (what->unix_socket) {
        snprintf(address, sizeof address, "unix:%s", path_of("socket"));
        config.address = address;
        config.unix_mode = 0660;
    }
#ifdef UHTTP_TLS
    if (what->secure)
        config.tls = what->shutdown ? &test_tls_memory : &test_tls;
#endif
    return config;
}

/* A socket that somebody left behind. */
static void leave_socket(void)
{
    struct sockaddr_un at;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sun_family = AF_UNIX;
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path_of("socket"));
    unlink(at.sun_path);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        exit(2);
    close(fd);
}

/* A listener that somebody else has opened; the server closes it. */
static intptr_t make_listener(void)
{
    struct sockaddr_in at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 8) != 0)
        exit(2);
    fault_open++;
    return fd;
}

/* What cannot be opened leaves nothing behind, and can be opened without the fault. */
static uhttp_server *run_open(const scenario *what)
{
    uhttp_server *server = NULL;
    uhttp_config config = run_config(what);
    intptr_t listener = -1;
    for (int try = 0; try < 3; try++) {
        if (what->unix_socket)
            leave_socket();
        if ((what->ways & WAY_ADOPTED) != 0) {
            listener = make_listener();
            config.listen_fd = &listener;
        }
        fault_armed = true;
        uhttp_result result = uhttp_server_open(&server, &config);
        fault_armed = false;
        if (result == UHTTP_OK)
            break;
        if (listener >= 0 && close((int)listener) == 0)     /* it is still the program's */
            fault_open--;
        if (server != NULL || fault_blocks != 0 || fault_open != 0)
            complain("open failed and left %ld blocks, %ld descriptors", fault_blocks,
                     fault_open);
        server = NULL;
    }
    if (server == NULL) {
        complain("the server does not open any more");
        return NULL;
    }
    server_at_length = sizeof server_at;
    getsockname((int)uhttp_server_fd(server), (struct sockaddr *)&server_at,
                &server_at_length);
    return server;
}

static size_t same_bytes(const client *k, const char *wanted, size_t wanted_length)
{
    size_t same = 0;
    while (same < k->used && same < wanted_length && k->in[same] == wanted[same])
        same++;
    return same;
}

/* Is what came instead of the expected an error of HTTP, or cut short? */
static bool is_honest(const client *k, const char *wanted, size_t wanted_length)
{
    size_t same = same_bytes(k, wanted, wanted_length);
    if (same == k->used)
        return true;
    while (same > 0 && (k->used - same < 12 || memcmp(k->in + same, "HTTP/1.1 ", 9) != 0))
        same--;
    if (k->used - same >= 12 && memcmp(k->in + same, "HTTP/1.1 ", 9) == 0 &&
        (k->in[same + 9] == '4' || k->in[same + 9] == '5'))
        return true;
    /* a WebSocket: the close frame of a failure; or "Connection: close" in a last answer */
    return memmem(k->in + same, k->used - same, "\x88\x02\x03\xf3", 4) != NULL ||
           memmem(k->in + same, k->used - same, "Connection: close", 17) != NULL;
}

/* Can the server mend it, so that no client sees anything? close() is the last chance of a file
 * system to report a failed write. */
static bool fault_is_harmless(int call, int error)
{
    switch (call) {
    case FAULT_accept4:
    case FAULT_pselect:
    case FAULT_poll:
    case FAULT_epoll_create1:
    case FAULT_epoll_ctl:
    case FAULT_epoll_wait:
    case FAULT_setsockopt:
    case FAULT_getsockopt:
    case FAULT_shutdown:
    case FAULT_ioctl:
    case FAULT_getrlimit:
        return true;
    case FAULT_recv:
    case FAULT_send:
    case FAULT_sendmsg:
    case FAULT_sendfile:
        return error == EAGAIN || error == EINTR || error == FAULT_SHORT || error == EINVAL;
    case FAULT_pread:
        return error == EINTR || error == FAULT_SHORT;
    case FAULT_write:
        return error == EINTR || error == FAULT_SHORT;
    case FAULT_syscall:
        return error == ENOSYS || error == EAGAIN || error == EPERM;
    default:
        return false;
    }
}

static void check_clients(const scenario *what, bool harmless, unsigned allowed)
{
    unsigned changed = 0;
    for (int i = 0; i < CLIENTS && what->scripts[i].text != NULL; i++) {
        client *k = &clients[i];
        k->used = canonical(k->in, k->used, k->in);
        if (k->used == expected_length[i] && memcmp(k->in, expected[i], k->used) == 0)
            continue;
        changed++;
        if (harmless)
            complain("client %d got %zu bytes instead of %zu, though it can be mended", i + 1,
                     k->used, expected_length[i]);
        else if (!is_honest(k, expected[i], expected_length[i]))
            complain("client %d got something else, from byte %zu on: %.60s", i + 1,
                     same_bytes(k, expected[i], expected_length[i]),
                     k->in + same_bytes(k, expected[i], expected_length[i]));
    }
    if (changed > allowed)
        complain("%u clients were disturbed", changed);
}

/* Somebody new is served; who meets the second of two faults may try again. */
static void check_served(uhttp_server *server)
{
    for (int try = 0; try < 3; try++) {
        client *k = &clients[CLIENTS];
        client_start(k, TEXT(LAST("/new")), 0, uhttp_server_is_secure(server));
        run_clients(server, CLIENTS, 1);
        bool served = k->used > 20 && memcmp(k->in, "HTTP/1.1 200", 12) == 0;
        client_close(k);
        if (served)
            return;
    }
    complain("the server does not serve any more");
}

static void run_shutdown(uhttp_server *server)
{
    for (unsigned idle = 0; idle < IDLE_ROUNDS; idle++) {
        run_wakeup(server);
        fault_armed = true;
        uhttp_result result = uhttp_server_shutdown(server);
        fault_armed = false;
        if (result == UHTTP_OK)
            return;
        server_wait(server);
        time_passes(server, 3);
    }
    complain("the shutdown does not end");
}

static void run_close(uhttp_server *server)
{
    fault_armed = true;
    uhttp_server_close(server);
    fault_armed = false;
    if (fault_blocks != 0)
        complain("%ld blocks of memory leaked", fault_blocks);
    if (fault_open != 0)
        complain("%ld descriptors leaked", fault_open);
    if (fault_bad_closes != 0)
        complain("a descriptor was closed that was not open");
}

/* The client's end of a pair, whose other end is the server's. */
static void adopt(uhttp_server *server, client *k)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        exit(2);
    uhttp_result result = UHTTP_ERR_AGAIN;
    fault_open++;
    fault_armed = true;
    for (int try = 0; try < 3 && result != UHTTP_OK; try++)
        result = uhttp_server_adopt(server, ends[1], false);
    fault_armed = false;
    if (result != UHTTP_OK) {
        close(ends[1]);
        fault_open--;
    }
    close(k->fd);
    k->fd = ends[0];
}

/* Descriptors beyond the first word of an fd_set's end, by taking all before. */
static int high_from, high_to;

static void run_high(bool begin)
{
    if (begin) {
        high_from = high_to = dup(0);
        while (high_to >= 0 && high_to < 1030)
            high_to = dup(0);
        return;
    }
    for (int fd = high_from; fd <= high_to; fd++)
        close(fd);
}

static void run(const scenario *what, bool harmless, unsigned allowed, bool leaves_file)
{
    run_failed = false;
    fault_count = 0;
    memset(fault_nth, 0, sizeof fault_nth);
    fault_hits = 0;
    fault_blocks = fault_open = fault_bad_closes = 0;
    told_count = 0;
    watched_count = 0;
    run_ways = what->ways;
    int count = 0;
    if ((what->ways & WAY_HIGH) != 0)
        run_high(true);
    uhttp_server *server = run_open(what);
    if (server == NULL)
        return;
    for (int i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;
    while (count < CLIENTS && what->scripts[count].text != NULL) {
        const script *s = &what->scripts[count];
        client_start(&clients[count], s->text, s->length, s->piece, what->secure);
        if ((what->ways & WAY_ADOPTED) != 0 && count == 0)
            adopt(server, &clients[count]);
        count++;
    }
    run_clients(server, 0, count);
    for (int i = 0; i < count; i++)
        client_close(&clients[i]);
    run_out(server);
    check_served(server);
    if (what->shutdown)
        run_shutdown(server);
    run_close(server);
    if ((what->ways & WAY_HIGH) != 0)
        run_high(false);
    if (!learning)
        check_clients(what, harmless, allowed);
    if (folder_clean() > (leaves_file ? 1 : 0))
        complain("a half written upload was left");
}

/*--- all runs ----------------------------------------------------------------------------------*/

static unsigned long random_state = 1;

static unsigned long random_below(unsigned long n)
{
    random_state = random_state * 6364136223846793005ul + 1442695040888963407ul;
    return (random_state >> 33) % n;
}

static const char *error_name(int error)
{
    return error == FAULT_SHORT ? "few bytes" : error == FAULT_ZERO ? "the end of the file"
           : strerrorname_np(error);
}

static unsigned long injected, injected_by[FAULT_COUNT], points_by[FAULT_COUNT];
static void *sites[4096];
static uint8_t site_call[4096];
static size_t site_count;

static void remember_sites(void)
{
    for (size_t i = 0; i < fault_count && i < FAULT_POINTS; i++) {
        size_t at = 0;
        while (at < site_count && sites[at] != fault_points[i].site)
            at++;
        if (at == site_count && at < 4096) {
            sites[site_count] = fault_points[i].site;
            site_call[site_count++] = fault_points[i].call;
        }
    }
}

static void fault_plan_set(int i, const fault_point *point, int error)
{
    fault_plans[i].call = point->call;
    fault_plans[i].nth = point->nth;
    fault_plans[i].error = error;
}

static void describe(char *to, const fault_plan *plan)
{
    sprintf(to, "%s %zu: %s", fault_calls[plan->call].name, plan->nth + 1,
            error_name(plan->error));
}

static void run_with(const scenario *what, const fault_point *points, size_t at, int error)
{
    int call = points[at].call;
    fault_plan_set(0, &points[at], error);
    describe(run_fault, &fault_plans[0]);
    run(what, fault_is_harmless(call, error), 1, call == FAULT_unlink);
    bool varies = what->secure && call == FAULT_calloc;     /* numbers are by chance, and as long */
    if (fault_hits == 0 && !varies)
        complain("the fault was not met: runs differ");
    injected += fault_hits;
    injected_by[call]++;
    remember_sites();
}

static void run_pairs(const scenario *what, const fault_point *points, size_t count,
                      unsigned long pairs)
{
    for (unsigned long i = 0; i < pairs; i++) {
        char text[2][64];
        for (int k = 0; k < 2; k++) {
            const fault_point *point = &points[random_below(count)];
            unsigned long errors = (unsigned long)fault_errors_of(point->call);
            fault_plan_set(k, point, fault_calls[point->call].errors[random_below(errors)]);
            describe(text[k], &fault_plans[k]);
        }
        snprintf(run_fault, sizeof run_fault, "%s, %s", text[0], text[1]);
        run(what, false, 2, true);
        injected += fault_hits;
        remember_sites();
    }
    fault_plans[1].call = FAULT_COUNT;
}

/* The run without a fault, twice: they must be alike. */
static void learn(const scenario *what)
{
    fault_plans[0].call = fault_plans[1].call = FAULT_COUNT;
    strcpy(run_fault, "no fault");
    learning = true;
    run(what, true, 0, false);
    learning = false;
    for (int i = 0; i < CLIENTS && what->scripts[i].text != NULL; i++) {
        free(expected[i]);
        expected[i] = (char *)malloc(clients[i].used + 1);
        expected_length[i] = canonical(clients[i].in, clients[i].used, expected[i]);
        if (verbose)
            printf("# %s: client %d gets %zu bytes\n", what->name, i + 1, clients[i].used);
    }
    run(what, true, 0, false);
}

static void run_scenario_with_all(const scenario *what, unsigned long sample,
                                  unsigned long pairs)
{
    run_scenario = what->name;
    unsigned before = failures;
    unsigned long injected_before = injected;
    learn(what);
    remember_sites();
    size_t count = fault_count;
    unsigned long all = 0;
    fault_point *points = (fault_point *)malloc(count * sizeof *points);
    memcpy(points, fault_points, count * sizeof *points);
    for (size_t i = 0; i < count; i++) {
        all += (unsigned long)fault_errors_of(points[i].call);
        points_by[points[i].call]++;
    }
    for (size_t i = 0; i < count; i++) {
        for (int e = 0; e < fault_errors_of(points[i].call); e++) {
            if (sample == 0 || random_below(all) < sample)
                run_with(what, points, i, fault_calls[points[i].call].errors[e]);
        }
    }
    run_pairs(what, points, count, pairs);
    free(points);
    printf("%sok - %s: %zu calls, %lu faults\n", failures > before ? "not " : "", what->name,
           count, injected - injected_before);
    fflush(stdout);
}

static void write_sites(const char *path)
{
    FILE *file = fopen(path, "w");
    for (size_t i = 0; file != NULL && i < site_count; i++)
        fprintf(file, "%p %s\n", sites[i], fault_calls[site_call[i]].name);
    if (file != NULL)
        fclose(file);
}

/* Files may be of some size, though none is so large; and descriptors beyond an fd_set. */
static void limits_set(void)
{
    struct rlimit limit = { 1u << 30, 1u << 30 };
    setrlimit(RLIMIT_FSIZE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Has this machine what the scenario needs? */
static bool run_is_possible(const scenario *what)
{
    struct rlimit limit;
    struct sockaddr_in6 at;
    memset(&at, 0, sizeof at);
    at.sin6_family = AF_INET6;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool dual = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0)
        close(fd);
    getrlimit(RLIMIT_NOFILE, &limit);
    return (dual || (what->ways & WAY_DUAL) == 0) &&
           (limit.rlim_cur > 1200 || (what->ways & WAY_HIGH) == 0);
}

int main(int argc, char **argv)
{
    unsigned long sample = 0, pairs = 0;
    const char *only = NULL, *site_file = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";
        if (strcmp(argv[i], "--sample") == 0)
            sample = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            random_state = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--pairs") == 0)
            pairs = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = value;
        else if (strcmp(argv[i], "--sites") == 0)
            site_file = value;
        else if (strcmp(argv[i], "-v") == 0)
            verbose = true;
    }
    limits_set();
    folder_make();
    scenarios_prepare();
#ifdef UHTTP_TLS
    client_setup();
#endif
    unsigned ran = 0;
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (only != NULL && strcmp(only, scenarios[i].name) != 0)
            continue;
        if (!run_is_possible(&scenarios[i]))
            continue;
        run_scenario_with_all(&scenarios[i], sample, pairs);
        ran++;
    }
    printf("1..%u\n# %lu faults injected", ran, injected);
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (points_by[i] > 0)
            printf("%s %s %lu", i > 0 ? "," : ":", fault_calls[i].name, injected_by[i]);
    }
    printf("\n");
    if (site_file != NULL)
        write_sites(site_file);
    folder_remove();
    return failures > 0 || ran == 0 ? 1 : 0;
}
