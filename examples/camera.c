/* camera.c - a live picture in the browser: MJPEG, one JPEG after the other in one response
 *
 *     build: cc -o camera examples/camera.c
 *     try:   ./camera 8080, then open http://localhost:8080/
 *
 * Every frame replaces the one before (multipart/x-mixed-replace), so <img src="/stream"> is a
 * video. A viewer that reads too slowly misses the frames there is no room for: it lags behind
 * by no more than its send buffer holds, and delays nobody.
 *
 * The camera is a drawing, ten times a second; a real one wakes the loop with
 * uhttp_server_wakeup() when a frame is ready. Its pictures are gray, and their JPEG is the
 * simplest that every browser reads: baseline, with Huffman codes of one length.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MS 100            /* ten pictures a second */

#define WIDTH    320            /* both are multiples of 8 */
#define HEIGHT   240
#define JPEG_MAX 40000          /* what does not fit is left out; these take about 5000 */

static uint8_t picture[HEIGHT][WIDTH];
static uint8_t jpeg[JPEG_MAX];
static size_t jpeg_length;
static unsigned frames;
static uhttp_server *server;
static volatile sig_atomic_t stop;

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><meta charset=\"utf-8\"><title>Camera</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<style>:root{color-scheme:light dark;background:Canvas}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}img{display:block;width:100%;height:auto;border-radius:8px}</style>\n"
    "<main><h1>Camera</h1>\n"
    "<img src=\"/stream\" width=\"640\" height=\"480\" alt=\"what the camera sees\">\n"
    "<p>Live, ten pictures a second. <a href=\"/frame.jpg\">The latest one alone</a></p>\n"
    "</html>\n";

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/*--- the picture ------------------------------------------------------------------*/

/* A ball that jumps over a floor, before an evening sky. */
static void draw(unsigned time)
{
    int phase = (int)(time % 20);                   /* a jump takes two seconds */
    int ball_x = (int)(time * 7 % (WIDTH + 80)) - 40;
    int ball_y = HEIGHT - 70 - phase * (20 - phase);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            int dx = x - ball_x;
            int dy = y - ball_y;
            int shade = y < HEIGHT - 40 ? 40 + y / 2 : (x + y) / 20 % 2 * 40 + 60;
            if (dx * dx + dy * dy < 900)
                shade = 255 - (dx * dx + dy * dy) / 8;
            picture[y][x] = (uint8_t)shade;
        }
    }
}

/*--- JPEG (ITU-T T.81) ------------------------------------------------------------*/

static const uint8_t zigzag[64] = {
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63
};

static uint32_t bits;           /* not yet a whole byte, in the low bits */
static int bit_count;

static void put_byte(int byte)
{
    if (jpeg_length < JPEG_MAX)
        jpeg[jpeg_length++] = (uint8_t)byte;
}

static void put_bytes(const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        put_byte(((const uint8_t *)bytes)[i]);
}

static void put_bits(unsigned value, int count)
{
    bits = bits << count | (value & ((1u << count) - 1));
    bit_count += count;
    while (bit_count >= 8) {
        int byte = (int)(bits >> (bit_count - 8) & 0xff);
        put_byte(byte);
        if (byte == 0xff)       /* else it would begin a marker */
            put_byte(0);
        bit_count -= 8;
    }
}

/* How coarse a frequency is stored: the higher, the coarser. */
static int quantum(int frequency) { return 6 + 3 * (frequency / 8 + frequency % 8); }

/* Codes of 8 bits for the 176 pairs of a run of zeros (0 to 15) and a size (0 to 10), codes of
 * 4 bits for the 12 sizes of the first, constant coefficient. The usual codes are a third
 * shorter, but need a long table. */
static void put_tables(void)
{
    static const uint8_t constant[] = { 0xff, 0xc4, 0, 31, 0x00, 0, 0, 0, 12, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0, 0, 0,
                                        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
    static const uint8_t other[] = { 0xff, 0xc4, 0, 195, 0x10, 0, 0, 0, 0, 0, 0, 0, 176,
                                     0, 0, 0, 0, 0, 0, 0, 0 };
    static const uint8_t quanta[] = { 0xff, 0xdb, 0, 67, 0 };
    put_bytes(quanta, sizeof quanta);
    for (int i = 0; i < 64; i++)
        put_byte(quantum(zigzag[i]));
    put_bytes(constant, sizeof constant);
    put_bytes(other, sizeof other);
    for (int run = 0; run < 16; run++) {
        for (int size = 0; size < 11; size++)
            put_byte(run << 4 | size);
    }
}

/* A number as its size in bits and, of a negative one, the bits of one less. */
static int size_of(int value)
{
    int size = 0;
    for (int rest = abs(value); rest > 0; rest /= 2)
        size++;
    return size;
}

static void put_value(int value, int size)
{
    put_bits((unsigned)(value < 0 ? value - 1 : value), size);
}

/* The wave of a frequency at a place: half a cosine, and 1/sqrt(8) for the constant one. */
static float wave(int frequency, int place)
{
    static const float quarter[9] = { 0.5f, 0.49039264f, 0.46193977f, 0.41573481f, 0.35355339f,
                                      0.27778512f, 0.19134172f, 0.09754516f, 0 };
    int angle = (2 * place + 1) * frequency % 32;       /* of 32 in a circle */
    if (frequency == 0)
        return quarter[4];
    if (angle > 16)
        angle = 32 - angle;
    return angle > 8 ? -quarter[16 - angle] : quarter[angle];
}

/* Turns a block of 8 by 8 into frequencies: rows first, then columns. */
static void transform(int left, int top, int *out)
{
    float rows[8][8] = { { 0 } };
    for (int y = 0; y < 8; y++) {
        for (int u = 0; u < 8; u++) {
            for (int x = 0; x < 8; x++)
                rows[y][u] += (float)(picture[top + y][left + x] - 128) * wave(u, x);
        }
    }
    for (int i = 0; i < 64; i++) {
        float sum = 0;
        for (int y = 0; y < 8; y++)
            sum += rows[y][zigzag[i] % 8] * wave(zigzag[i] / 8, y);
        sum /= (float)quantum(zigzag[i]);
        out[i] = (int)(sum < 0 ? sum - 0.5f : sum + 0.5f);
    }
}

/* Writes a block; *constant is that of the block before, as only the difference is stored. */
static void put_block(int left, int top, int *constant)
{
    int values[64];
    int run = 0;
    transform(left, top, values);
    int size = size_of(values[0] - *constant);
    put_bits((unsigned)size, 4);
    put_value(values[0] - *constant, size);
    *constant = values[0];
    for (int i = 1; i < 64; i++) {
        if (values[i] == 0) {
            run++;
            continue;
        }
        for (; run > 15; run -= 16)
            put_bits(15 * 11, 8);               /* 16 zeros */
        size = size_of(values[i]);
        put_bits((unsigned)(run * 11 + size), 8);
        put_value(values[i], size);
        run = 0;
    }
    if (run > 0)
        put_bits(0, 8);                         /* zeros up to the end */
}

static void encode(void)
{
    static const uint8_t begin[] = { 0xff, 0xd8 };
    static const uint8_t frame[] = { 0xff, 0xc0, 0, 11, 8, HEIGHT / 256, HEIGHT % 256,
                                     WIDTH / 256, WIDTH % 256, 1, 1, 0x11, 0 };
    static const uint8_t scan[] = { 0xff, 0xda, 0, 8, 1, 1, 0x00, 0, 63, 0 };
    static const uint8_t end[] = { 0xff, 0xd9 };
    int constant = 0;
    jpeg_length = 0;
    put_bytes(begin, sizeof begin);
    put_tables();
    put_bytes(frame, sizeof frame);
    put_bytes(scan, sizeof scan);
    for (int top = 0; top < HEIGHT; top += 8) {
        for (int left = 0; left < WIDTH; left += 8)
            put_block(left, top, &constant);
    }
    put_bits(0x7f, 7);                          /* fills the last byte with ones */
    bit_count = 0;
    put_bytes(end, sizeof end);
}

/*--- the server -------------------------------------------------------------------*/

static void send_frame(uhttp_conn *c)
{
    char number[16];
    snprintf(number, sizeof number, "%u", frames);
    if (uhttp_add_header(c, "X-Frame", number) == UHTTP_OK)
        uhttp_multipart_frame(c, "image/jpeg", jpeg, jpeg_length);
}

/* Takes the next picture and sends it to all viewers: every request but theirs is answered at
 * once, so what is ours is a viewer. */
static void broadcast(void)
{
    uhttp_conn *next;
    uhttp_conn *c = uhttp_next(server, NULL);
    if (c == NULL && frames > 0)
        return;                 /* nobody looks */
    draw(frames++);
    encode();
    for (; c != NULL; c = next) {
        next = uhttp_next(server, c);
        send_frame(c);          /* who has no room for it, or has gone, does not get it */
    }
}

static void begin(uhttp_conn *c)
{
    if (uhttp_multipart_begin(c) != UHTTP_OK)
        uhttp_close(c);
    else if (strcmp(uhttp_method(c), "HEAD") == 0)
        uhttp_multipart_end(c);
    else
        send_frame(c);          /* most browsers show it when the next one begins */
}

static void serve(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    if (strcmp(path, "/") == 0)
        uhttp_respond_static(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
    else if (strcmp(path, "/stream") == 0)
        begin(c);
    else if (strcmp(path, "/frame.jpg") == 0)
        uhttp_respond(c, 200, "image/jpeg", jpeg, jpeg_length);
    else
        uhttp_respond_error(c, 404);
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
    config.max_connections = 20;
    config.max_send_buffer = JPEG_MAX + 1024;   /* one frame and its head */
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);

    uint32_t due = uhttp_millis();              /* the first picture is for /frame.jpg */
    while (!stop) {
        int32_t left = (int32_t)(due - uhttp_millis());
        if (left <= 0) {
            broadcast();
            left = FRAME_MS;
            due = uhttp_millis() + FRAME_MS;
        }
        uhttp_conn *c = uhttp_wait(server, left);
        if (c != NULL)
            serve(c);
    }
    for (uhttp_conn *c = uhttp_next(server, NULL); c != NULL; c = uhttp_next(server, NULL))
        uhttp_multipart_end(c);
    for (int i = 0; i < 20 && uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN; i++) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            uhttp_respond_error(c, 503);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
