/* soak_clients.h - the clients of soak.c: what they say, how they say it, and a reader that
 * knows what each answer must be
 *
 * A visitor makes a plan when it comes: requests one after the other or all at once, an upload, a
 * WebSocket, something malformed; in pieces and with pauses or not. Some then break off, fall
 * silent or do not read. What comes is compared byte by byte; who did everything right, while
 * there was room for everybody, must have got every answer.
 */
#ifndef SOAK_CLIENTS_H
#define SOAK_CLIENTS_H

#define SAYS     70000u         /* bytes a visitor has to say, at most */
#define WANTS    24
#define PATIENCE 120000u        /* milliseconds until a visitor leaves, whatever there is */

/* One answer that must come. */
typedef struct want {
    int status;                 /* negative: anything from 400 on */
    bool bodyless;              /* of HEAD */
    long from;                  /* where the body stands in big; -1: elsewhere */
    long length;                /* -1: whatever it is */
    size_t gate;                /* bytes that may be said before it has come */
} want;

typedef enum reading {
    READ_LINE, READ_BODY, READ_SIZE, READ_CHUNK, READ_CHUNK_END, READ_TRAILER, READ_REST,
    READ_FRAME, READ_PAYLOAD
} reading;

typedef enum cut { CUT_NOT, CUT_CLOSE, CUT_RESET, CUT_SHUT, CUT_SILENT } cut;

typedef struct visitor {
    bool here, connected, over;
    bool honest;                /* does all right and takes part until the end */
    bool stays;                 /* keeps the connection when all has been answered */
    bool pongs;                 /* answers pings */
    bool pipelined;
    unsigned listener;
    uint32_t came, wakes;
    /* what it says */
    char out[SAYS];
    size_t length, at;
    size_t piece;               /* bytes at once, at most */
    uint32_t pause;             /* milliseconds between two pieces */
    uint32_t thinks;            /* and between an answer and the next request */
    size_t cut_at;
    cut how;
    bool was_cut;
    /* what it wants */
    want wants[WANTS];
    unsigned want_count, answered;
    bool websocket;
    unsigned echoes_wanted, echoes;
    size_t echo_length;
    /* what comes */
    size_t bite;                /* bytes read at once, at most; 0: it does not read */
    reading state;
    char line[700];
    size_t line_length;
    int status;
    bool first, chunked, has_length;
    uint64_t left;              /* of the body, chunk or payload */
    size_t body;                /* bytes of it so far */
    uint8_t frame;              /* the first byte of one */
    int code;                   /* of its WebSocket's end */
    WIRE_STATE
} visitor;

#ifndef VISITORS
#define VISITORS 64
#endif

static visitor visitors[VISITORS];
static unsigned visitors_here;
static bool calm;               /* fewer visitors than slots: nobody may be sent away */
static size_t most_copied;      /* bytes that fit a buffer of the server */
static bool gives_up_pipelines; /* in fixed memory, and on a port behind a stream: what fills the
                                   buffer is to be repeated */
static uint64_t visits, answers_read, statuses_seen[600], codes_seen[5000], cuts_made[5];

static bool wire_open(visitor *v);
static int wire_send(visitor *v, const char *bytes, size_t length);
static int wire_recv(visitor *v, char *to, size_t room);
static void wire_shut(visitor *v);
static void wire_close(visitor *v, bool reset);

#define WIRE_LATER (-1)         /* nothing now */
#define WIRE_LOST  (-2)

/*--- what is said -----------------------------------------------------------------------------*/

static void say_bytes(visitor *v, const void *bytes, size_t length)
{
    CHECK(v->length + length <= SAYS);
    memcpy(v->out + v->length, bytes, length);
    v->length += length;
}

static void say(visitor *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(visitor *v, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(v->out + v->length, SAYS - v->length, format, list);
    va_end(list);
    CHECK(n >= 0 && (size_t)n < SAYS - v->length);
    v->length += (size_t)n;
}

static want *expect(visitor *v, int status, long from, long length)
{
    CHECK(v->want_count < WANTS);
    want *w = &v->wants[v->want_count++];
    memset(w, 0, sizeof *w);
    w->status = status;
    w->from = from;
    w->length = length;
    w->gate = SIZE_MAX;
    return w;
}

#define HOST " HTTP/1.1\r\nHost: soak\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void get(visitor *v, const char *path, const char *fields, int status, long from,
                long length)
{
    say(v, "GET %s" HOST "%s\r\n", path, fields);
    expect(v, status, from, length);
}

static void get_length(visitor *v)
{
    static const char kinds[] = "ccccsqq";
    char path[40];
    char kind = kinds[below(sizeof kinds - 1)];
    unsigned most = kind == 'c' ? (unsigned)most_copied : chance(95) ? 9000u : BIG - 1;
    unsigned length = kind == 'q' && most > 9000 ? LONG_STREAM : below(most);
    snprintf(path, sizeof path, "/%c/%u", kind, length);
    if (chance(10)) {
        say(v, "HEAD %s" HOST "\r\n", path);
        expect(v, 200, 0, 0)->bodyless = true;
    } else {
        get(v, path, chance(50) ? "" : "Accept: */*\r\nX-Forwarded-For: 203.0.113.9\r\n", 200,
            0, (long)length);
    }
}

static void get_file(visitor *v)
{
    switch (below(8)) {
    case 0: get(v, "/file", "", 200, 0, FILE_SIZE); break;
    case 1: get(v, "/dir/file.bin", "Range: bytes=500-9999\r\n", 206, 500, 9500); break;
    case 2: get(v, "/dir/file.bin", "Range: bytes=999999-\r\n", 416, -1, -1); break;
    case 3: get(v, "/file", "If-None-Match: *\r\n", 304, -1, 0); break;
    case 4: get(v, "/file", "If-Match: \"none\"\r\n", 412, -1, -1); break;
    case 5: get(v, "/dir/../x", "", 404, -1, -1); break;
    case 6: get(v, "/rom/style.css", "", 200, 0, 3000); break;
    default: get(v, "/rom/", "If-None-Match: \"one\"\r\n", 304, -1, 0); break;
    }
}

static void get_field(visitor *v)
{
    switch (below(8)) {
    case 0: get(v, "/field/cookie", "Cookie: a=b; seen=yes\r\n", 200, 0, 40); break;
    case 1: get(v, "/field/basic", "Authorization: Basic dXM6ZXI=\r\n", 200, 0, 40); break;
    case 2: get(v, "/field/basic", "", 401, -1, -1); break;
    case 3: get(v, "/field/query?p=%20&q=a+b", "", 200, 0, 40); break;
    case 4: get(v, "/moved", "", 302, -1, -1); break;
    case 5: get(v, "/none", "", 404, -1, -1); break;
    case 6:
        say(v, "DELETE /s/5" HOST "\r\n");
        expect(v, 405, -1, -1);
        break;
    default: get(v, "/l/1100", "", 200, 0, 1100 % 300); break;
    }
}

static void say_chunked(visitor *v, const char *body, size_t length)
{
    for (size_t at = 0; at < length; ) {
        size_t n = 1 + below(3000);
        n = n < length - at ? n : length - at;
        say(v, "%zx%s\r\n", n, chance(20) ? ";x=\"y\"" : "");
        say_bytes(v, body + at, n);
        say(v, "\r\n");
        at += n;
    }
    say(v, chance(20) ? "0\r\nT: t\r\n\r\n" : "0\r\n\r\n");
}

/* A body of big's first bytes. */
static void post_bytes(visitor *v)
{
    static const char *const paths[] = { "collect", "stream", "file" };
    unsigned way = below(3);
    size_t most = way == 0 ? most_copied : chance(80) ? 5000 : 30000;
    size_t length = below((unsigned)most);
    const char *more = chance(20) ? "Expect: 100-continue\r\n" : "";
    if (v->length + length + length / 50 + 4000 > SAYS)
        length = 10;
    if (chance(50)) {
        say(v, "POST /up/%s" HOST "%sContent-Length: %zu\r\n\r\n", paths[way], more, length);
        say_bytes(v, big, length);
    } else {
        say(v, "PUT /up/%s" HOST "%s" CHUNKED "\r\n", paths[way], more);
        say_chunked(v, big, length);
    }
    expect(v, 200, 0, (long)(length % 300));
}

static void post_form(visitor *v)
{
    static char form[26000];
    static const char part[] = "--soak\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n";
    size_t length = 0;
    size_t sum = 0;
    for (unsigned i = 0, parts = 1 + below(4); i < parts; i++) {
        size_t n = below(chance(80) ? 500 : 6000);
        length += (size_t)snprintf(form + length, 200, part, i == 0 ? "first" : "more",
                                   chance(50) ? "; filename=\"f.bin\"" : "");
        memcpy(form + length, big, n);
        memcpy(form + length + n, "\r\n", 2);
        length += n + 2;
        sum += n;
    }
    memcpy(form + length, "--soak--\r\n", 10);
    length += 10;
    say(v, "POST /up/form" HOST "Content-Type: multipart/form-data; boundary=soak\r\n"
        "Content-Length: %zu\r\n\r\n", length);
    say_bytes(v, form, length);
    expect(v, 200, 0, (long)(sum % 300));
}

static void post_small(visitor *v)
{
    char text[80];
    unsigned n = below(100000);
    char number[12];
    snprintf(number, sizeof number, "%u", n);
    if (chance(50)) {
        snprintf(text, sizeof text, "{\"s\":\"\\u00e9\",\"n\":%u}", n);
        say(v, "POST /up/json" HOST "Content-Length: %zu\r\n\r\n%s", strlen(text), text);
        expect(v, 200, -1, (long)(strlen(number) + 6));
    } else {
        snprintf(text, sizeof text, "s=%%41+b&n=%u", n);
        say(v, "POST /up/fields" HOST "Content-Type: application/x-www-form-urlencoded\r\n"
            "Content-Length: %zu\r\n\r\n%s", strlen(text), text);
        expect(v, 200, 0, (long)(n % 300));
    }
}

/* Any request that leaves the connection open. */
static void one_request(visitor *v)
{
    unsigned dice = below(100);
    if (dice < 45)
        get_length(v);
    else if (dice < 60)
        get_file(v);
    else if (dice < 75)
        get_field(v);
    else if (dice < 85)
        post_small(v);
    else if (v->length < 20000 && dice < 95)
        post_bytes(v);
    else if (v->length < 20000)
        post_form(v);
    else
        get(v, "/c/5", "", 200, 0, 5);
}

/*--- plans --------------------------------------------------------------------------------------*/

static void plan_kept(visitor *v)
{
    for (unsigned i = 0, n = 1 + below(8); i < n; i++) {
        if (v->want_count > 0)
            v->wants[v->want_count - 1].gate = v->length;
        one_request(v);
    }
    v->thinks = below(10) < 7 ? below(20) : below(14000);
    v->stays = chance(10);
}

static void plan_pipeline(visitor *v)
{
    v->pipelined = true;
    for (unsigned i = 0, n = 2 + below(16); i < n; i++)
        one_request(v);
}

static void plan_once(visitor *v)
{
    one_request(v);
}

static void plan_series(visitor *v)
{
    char path[40];
    snprintf(path, sizeof path, "/%c/%u", "erf"[below(3)], 1 + below(30));
    get(v, path, "", 200, -1, -1);
    if (chance(10)) {
        v->length = v->want_count = 0;
        get(v, "/e/500", "", 200, -1, -1);
        v->honest = false;                  /* its patience ends before */
    }
}

/* HTTP/1.0: the body ends with the connection. */
static void plan_old(visitor *v)
{
    unsigned n = below(5000);
    say(v, "GET /q/%u HTTP/1.0\r\n\r\n", n);
    expect(v, 200, 0, (long)n);
}

static void plan_malformed(visitor *v)
{
    static const char *const texts[] = {
        "GET /c/1 HTTP/1.1\r\n\r\n", "GET /c/1 HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /up/collect" HOST "Content-Length: 99999999999\r\n\r\n",
        "POST /up/stream" HOST "Transfer-Encoding: gzip\r\n\r\n",
        "POST /up/stream" HOST "Content-Length: 3\r\n" CHUNKED "\r\n",
        "POST /up/stream" HOST CHUNKED "\r\nxyz\r\n\r\n", "POST /up/stream" HOST "Content-Length: 5\r\nExpect: x\r\n\r\n",
        "\x16\x03\x01\x02\x01\xfc\x03\x03\r\n\r\n", "GET /c/1" HOST "Bad Name: x\r\n\r\n",
        "GET /ws" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 7\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /ws" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://other\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    };
    unsigned which = below(sizeof texts / sizeof texts[0] + 1);
    if (which == sizeof texts / sizeof texts[0])
        say(v, "GET /c/1" HOST "X: %.7000s\r\n\r\n", big);
    else
        say(v, "%s", texts[which]);
    expect(v, -400, -1, -1);
    v->honest = false;                      /* the rest may meet a reset */
}

/* What the program drops, or holds until response_timeout_ms. */
static void plan_odd(visitor *v)
{
    if (chance(50))
        get(v, "/drop", "", 200, -1, -1);
    else
        get(v, "/hold", "", 503, -1, -1);
    v->honest = false;
}

static void say_frame(visitor *v, uint8_t first, const char *bytes, size_t length)
{
    uint8_t head[14];
    uint8_t mask[4];
    size_t n = 2;
    size_t from = v->length;
    head[0] = first;
    head[1] = (uint8_t)(0x80u | (length < 126 ? length : length < 65536 ? 126u : 127u));
    if (length >= 126) {
        head[2] = (uint8_t)(length >> 8);
        head[3] = (uint8_t)length;
        n = 4;
    }
    CHECK(length < 65536);
    for (int i = 0; i < 4; i++)
        head[n++] = mask[i] = (uint8_t)below(256);
    say_bytes(v, head, n);
    say_bytes(v, bytes, length);
    for (size_t i = 0; i < length; i++)
        v->out[from + n + i] = (char)((uint8_t)v->out[from + n + i] ^ mask[i % 4]);
}

static void say_message(visitor *v)
{
    size_t length = below(5) == 0 ? below(2000) : below(100);
    uint8_t type = chance(50) ? 1 : 2;
    size_t at = 0;
    if (chance(10)) {                           /* it arrives in parts */
        length = 3000 + below(9000);
        type = 2;
    }
    if (v->length + length + 4000 > SAYS)
        length = 1;
    while (length - at > 1 && chance(40)) {
        size_t n = 1 + below((unsigned)(length - at - 1));
        say_frame(v, at == 0 ? type : 0, big + at, n);
        at += n;
        if (chance(30))
            say_frame(v, 0x89, "ping", 4);
    }
    say_frame(v, (uint8_t)(0x80u | (at == 0 ? type : 0u)), big + at, length - at);
    v->echoes_wanted++;
}

static void plan_websocket(visitor *v)
{
    say(v, "GET /ws" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    expect(v, 101, -1, -1)->gate = v->length;
    v->websocket = true;
    for (unsigned i = 0, n = below(8); i < n; i++)
        say_message(v);
    switch (below(7)) {
    case 0: say_frame(v, 0x81, "\xff", 1); break;               /* 1007 */
    case 1: say_frame(v, 0xf1, "x", 1); break;                  /* 1002 */
    case 2: v->stays = v->pongs = true; break;
    case 3: v->stays = true; break;                             /* its pings stay unanswered */
    default: say_frame(v, 0x88, "\x03\xe8", 2); break;
    }
}

static void plan_make(visitor *v)
{
    static void (*const plans[])(visitor *) = {
        plan_kept, plan_kept, plan_kept, plan_pipeline, plan_pipeline, plan_once, plan_once,
        plan_once, plan_series, plan_websocket, plan_websocket, plan_old, plan_malformed, plan_odd,
    };
    plans[below(sizeof plans / sizeof plans[0])](v);
}

/* Nobody is perfect. */
static void habits_make(visitor *v)
{
    v->piece = chance(60) ? SIZE_MAX : 1 + below(chance(50) ? 50 : 2000);
    v->pause = chance(80) ? below(3) : below(calm ? 3 : 400);
    v->bite = chance(80) ? SIZE_MAX : 20 + below(BITE);
    if (v->bite != SIZE_MAX)
        v->thinks %= 2000;          /* or keep_alive_timeout_ms ends while it still reads */
    if (v->piece < 20 && v->length > 5000)
        v->piece = 500;
    if (v->pause > 2)
        v->honest = false;
    if (chance(calm ? 85 : 70))
        return;
    v->honest = false;
    if (chance(20)) {
        v->bite = 0;
        return;
    }
    v->how = (cut)(CUT_CLOSE + below(4));
    v->cut_at = below((unsigned)v->length + 1);
}

/*--- what comes ------------------------------------------------------------------------------*/

static want *wanted(visitor *v)
{
    return v->answered < v->want_count ? &v->wants[v->answered] : NULL;
}

static void answer_is_whole(visitor *v)
{
    want *w = wanted(v);
    bool good = w->status == v->status;
    CHECK(!good || w->length < 0 || w->bodyless || v->body == (size_t)w->length);
    answers_read++;
    v->answered++;
    v->state = READ_LINE;
    v->first = true;
    v->line_length = 0;
    if (w->gate != SIZE_MAX && v->thinks > 0)
        v->wakes = soak_now + v->thinks;
}

/* The status must be the one wanted; who is in the way of others, or came too late, may be told
 * so. Where nobody is, nothing else may come. */
static void status_comes(visitor *v)
{
    want *w = wanted(v);
    CHECK(w != NULL && v->status >= 200 && v->status < 600);
    statuses_seen[v->status]++;
    bool good = w->status < 0 ? v->status >= 400 : v->status == w->status;
    bool excuse = v->status == 408 || v->status == 400 || v->status == 503 || v->status == 413;
    if (!good && (!excuse || (v->honest && calm)))
        printf("# answer %u of '%.300s' is %d instead of %d\n", v->answered + 1, v->out, v->status,
               w->status);
    CHECK(good || (excuse && !(v->honest && calm)));
}

static void head_ends(visitor *v)
{
    want *w = wanted(v);
    bool unread = v->status == 400 || v->status == 408;     /* it is not known to be HEAD */
    v->body = 0;
    if (v->status == 100) {
        v->state = READ_LINE;
        v->first = true;
        return;
    }
    if (v->status == 101) {
        CHECK(w->status == 101);
        answer_is_whole(v);
        v->state = READ_FRAME;
    } else if ((w->bodyless && !unread) || v->status == 304) {
        answer_is_whole(v);
    } else if (v->chunked) {
        v->state = READ_SIZE;
    } else if (!v->has_length) {
        v->state = READ_REST;
    } else {
        v->state = READ_BODY;
        if (v->left == 0)
            answer_is_whole(v);
    }
}

static void line_of_head(visitor *v)
{
    if (v->first) {
        CHECK(v->line_length > 12 && memcmp(v->line, "HTTP/1.1 ", 9) == 0);
        v->status = atoi(v->line + 9);
        v->first = v->chunked = v->has_length = false;
        if (v->status != 100 && v->status != 101)
            status_comes(v);
    } else if (strcmp(v->line, "Transfer-Encoding: chunked") == 0) {
        v->chunked = true;
    } else if (strncmp(v->line, "Content-Length: ", 16) == 0) {
        v->has_length = true;
        v->left = strtoull(v->line + 16, NULL, 10);
    } else if (v->line_length == 0) {
        head_ends(v);
    }
}

static void line_ends(visitor *v)
{
    CHECK(v->line_length > 0 && v->line[v->line_length - 1] == '\r');
    v->line[--v->line_length] = '\0';
    switch (v->state) {
    case READ_LINE:
        line_of_head(v);
        break;
    case READ_SIZE:
        CHECK(v->line_length > 0);
        v->left = strtoull(v->line, NULL, 16);
        v->state = v->left > 0 ? READ_CHUNK : READ_TRAILER;
        break;
    case READ_CHUNK_END:
        CHECK(v->line_length == 0);
        v->state = READ_SIZE;
        break;
    default:
        if (v->line_length == 0)
            answer_is_whole(v);
    }
    v->line_length = 0;
}

static size_t take_line(visitor *v, const char *p, size_t length)
{
    const char *end = (const char *)memchr(p, '\n', length);
    size_t n = end != NULL ? (size_t)(end - p) : length;
    CHECK(v->line_length + n < sizeof v->line);
    memcpy(v->line + v->line_length, p, n);
    v->line_length += n;
    if (end != NULL)
        line_ends(v);
    return n + (end != NULL ? 1 : 0);
}

/* Is this what a stream sends from there on? */
static bool is_big(const char *p, size_t at, size_t length)
{
    while (length > 0) {
        size_t from = at % PERIOD;
        size_t n = length < PERIOD - from ? length : PERIOD - from;
        if (memcmp(p, big + from, n) != 0)
            return false;
        p += n;
        at += n;
        length -= n;
    }
    return true;
}

static size_t take_body(visitor *v, const char *p, size_t length)
{
    want *w = wanted(v);
    size_t n = v->state == READ_REST || length < v->left ? length : (size_t)v->left;
    if (w->status == v->status && w->from >= 0)
        CHECK(v->body + n <= (size_t)w->length && is_big(p, (size_t)w->from + v->body, n));
    v->body += n;
    v->left -= v->state == READ_REST ? 0 : n;
    if (v->state == READ_CHUNK && v->left == 0)
        v->state = READ_CHUNK_END;
    else if (v->state == READ_BODY && v->left == 0)
        answer_is_whole(v);
    return n;
}

static void payload_ends(visitor *v)
{
    v->state = READ_FRAME;
    v->line_length = 0;
    switch (v->frame & 15) {
    case 8:
        v->over = true;
        v->code = v->body >= 2 ? (uint8_t)v->line[500] << 8 | (uint8_t)v->line[501] : 0;
        codes_seen[v->code]++;
        break;
    case 9:
        if (v->pongs && v->length + 10 < SAYS && v->at == v->length)
            say_frame(v, 0x8a, "", 0);
        break;
    case 10:
        break;
    default:
        if ((v->frame & 0x80) != 0) {
            v->echoes++;
            v->echo_length = 0;
        }
    }
}

/* A message is the begin of big, or the answer to an empty one. */
static void take_echo(visitor *v, const char *p, size_t n)
{
    bool data = (v->frame & 15) <= 2;
    if (data && v->echo_length == 0 && n > 0 && p[0] == '"')
        v->frame |= 0x40;                       /* that is one */
    if (data && (v->frame & 0x40) == 0) {
        CHECK(memcmp(p, big + v->echo_length, n) == 0);
        v->echo_length += n;
    }
    for (size_t i = 0; i < n && v->body + i < 2; i++)
        v->line[500 + v->body + i] = p[i];      /* the code of a close frame */
}

static size_t take_frame(visitor *v, const char *p, size_t length)
{
    if (v->state == READ_FRAME) {
        v->line[v->line_length++] = *p;
        size_t small = v->line_length > 1 ? (uint8_t)v->line[1] : 0;
        CHECK(small < 127);                     /* no frame of ours is larger, none is masked */
        if (v->line_length < 2 || (small == 126 && v->line_length < 4))
            return 1;
        v->frame = (uint8_t)v->line[0];
        CHECK((v->frame & 0x70) == 0);
        v->left = small < 126 ? small
                              : (uint64_t)((uint8_t)v->line[2] << 8 | (uint8_t)v->line[3]);
        v->body = 0;
        v->state = READ_PAYLOAD;
        if (v->left == 0)
            payload_ends(v);
        return 1;
    }
    size_t n = length < v->left ? length : (size_t)v->left;
    take_echo(v, p, n);
    v->body += n;
    v->left -= n;
    if (v->left == 0)
        payload_ends(v);
    return n;
}

static void take(visitor *v, const char *p, size_t length)
{
    while (length > 0) {
        size_t n;
        if (v->state == READ_FRAME || v->state == READ_PAYLOAD)
            n = take_frame(v, p, length);
        else if (v->state == READ_BODY || v->state == READ_CHUNK || v->state == READ_REST)
            n = take_body(v, p, length);
        else
            n = take_line(v, p, length);
        p += n;
        length -= n;
    }
}

/*--- a visit ------------------------------------------------------------------------------------*/

/* Who did everything right has everything. */
static void check_visit(visitor *v)
{
    if (v->state == READ_REST && v->first == false && wanted(v) != NULL &&
        v->body == (size_t)wanted(v)->length)
        v->answered++;
    if (!v->honest || !calm || v->was_cut)
        return;
    CHECK(v->answered == v->want_count || (gives_up_pipelines && v->pipelined && v->answered > 0));
    CHECK(!v->websocket || v->stays || v->code == 1013 || v->echoes == v->echoes_wanted);
}

static void visitor_leaves(visitor *v, bool reset)
{
    check_visit(v);
    if (v->connected)
        wire_close(v, reset);
    v->here = v->connected = false;
    visitors_here--;
}

static void visitor_arrives(void)
{
    visitor *v = visitors;
    while (v->here)
        v++;
    CHECK(v < visitors + VISITORS);
    memset(v, 0, offsetof(visitor, out));
    memset((char *)v + offsetof(visitor, length), 0, sizeof *v - offsetof(visitor, length));
    v->here = v->honest = v->first = true;
    v->came = v->wakes = soak_now;
    v->listener = below(LISTENERS);
    visitors_here++;
    visits++;
    plan_make(v);
    habits_make(v);
}

static bool visitor_cuts(visitor *v)
{
    v->was_cut = true;
    cuts_made[v->how]++;
    if (v->how == CUT_CLOSE || v->how == CUT_RESET)
        visitor_leaves(v, v->how == CUT_RESET);
    else if (v->how == CUT_SHUT)
        wire_shut(v);
    return true;
}

/* How far it may speak now: not over the cut, nor past an answer it waits for. */
static size_t may_say(const visitor *v)
{
    size_t to = v->length;
    if (v->answered < v->want_count) {
        for (unsigned i = v->answered; i < v->want_count; i++)
            to = v->wants[i].gate < to ? v->wants[i].gate : to;
    }
    if (v->how != CUT_NOT && v->cut_at < to)
        to = v->cut_at;
    return to - v->at < v->piece ? to : v->at + v->piece;
}

/* True: something moved. */
static bool visitor_speaks(visitor *v)
{
    if (v->was_cut)
        return false;
    if (v->how != CUT_NOT && v->at >= v->cut_at)
        return visitor_cuts(v);
    size_t to = may_say(v);
    if (to <= v->at)
        return false;
    int n = wire_send(v, v->out + v->at, to - v->at);
    if (n <= 0)
        return false;
    v->at += (size_t)n;
    if (v->at < v->length && v->pause > 0)
        v->wakes = soak_now + v->pause;
    return true;
}

static bool visitor_listens(visitor *v)
{
    static char bytes[16384];
    size_t room = v->bite < sizeof bytes ? v->bite : sizeof bytes;
    if (room == 0)
        return false;
    int n = wire_recv(v, bytes, room);
    if (n == WIRE_LATER)
        return false;
    if (n <= 0) {
        visitor_leaves(v, false);
        return true;
    }
    take(v, bytes, (size_t)n);
    return true;
}

static bool visitor_is_served(const visitor *v)
{
    if (v->stays || v->at < v->length || v->answered < v->want_count)
        return false;
    return !v->websocket || v->over;
}

/* True: something moved. */
static bool visitor_run(visitor *v)
{
    if ((int32_t)(v->wakes - soak_now) > 0)
        return false;
    if (!v->connected) {
        v->connected = wire_open(v);
        if (!v->connected)
            v->wakes = soak_now + 1 + below(300);       /* refused: again, soon */
        return v->connected;
    }
    if (soak_now - v->came > PATIENCE) {
        v->honest = false;
        visitor_leaves(v, chance(50));
        return true;
    }
    bool moved = visitor_speaks(v);
    if (v->here)
        moved |= visitor_listens(v);
    if (v->here && visitor_is_served(v))
        visitor_leaves(v, chance(20));
    return moved || !v->here;
}

#endif
