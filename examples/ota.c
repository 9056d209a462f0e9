/* ota.c - firmware over the air: an image larger than memory, written to flash as it arrives
 *
 *     build: cc -o ota examples/ota.c
 *     try:   ./ota 8080 flash.bin, then open http://localhost:8080/, or:
 *            curl -T image.bin 'http://localhost:8080/firmware?crc32=cbf43926'
 *            curl -F image=@image.bin http://localhost:8080/firmware
 *
 * All of the server's memory is the array below, as on a microcontroller; a file takes the place
 * of the flash. The image is sent as it is or in a browser's form. It is written, and its
 * checksum computed, while it arrives. The checksum is a CRC-32 or, with mbedTLS, a SHA-256:
 *
 *     cc -DUHTTP_TLS -o ota examples/ota.c -lmbedtls -lmbedx509 -lmbedcrypto
 *
 * If the query names a checksum, an image with another one is refused. An update that is cut
 * short, too large or not what was announced leaves the installed image unchanged. Only one
 * update can run at a time. Other sites' pages cannot send one, but anybody who can reach the
 * port can: add a password (auth.c).
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_MAX   (16u * 1024 * 1024)
#define FORM_MAX    4096u       /* what a form puts around the image */
#define CONNECTIONS 4
#define BUFFER      2048

static uint8_t memory[UHTTP_MEMORY_SIZE(CONNECTIONS, BUFFER)];

static const char page[] =
    "<!doctype html><html lang=en><meta charset=utf-8><title>Firmware</title>\n"
    "<meta name=viewport content='width=device-width'><link rel=icon href='data:,'>\n"
    "<style>:root{color-scheme:light dark;background:Canvas}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}input,button{font:inherit;margin:.3rem .5rem .3rem 0}\n"
    "button{padding:.3rem 1.2rem}input{max-width:100%}</style>\n"
    "<main><h1>Firmware</h1>\n"
    "<form method=post action=/firmware enctype=multipart/form-data>\n"
    "<label>Image<br><input type=file name=image required></label>\n"
    "<button>Install</button></form>\n";

static uhttp_server *server;
static volatile sig_atomic_t stop;

/*--- the sum of an image ------------------------------------------------------*/

#ifdef UHTTP_TLS

#include <mbedtls/md.h>

#define SUM_NAME "sha256"
#define SUM_SIZE 32

typedef mbedtls_md_context_t sum;

static bool sum_begin(sum *s)
{
    mbedtls_md_init(s);
    return mbedtls_md_setup(s, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 0) == 0 &&
           mbedtls_md_starts(s) == 0;
}

static bool sum_add(sum *s, const void *data, size_t length)
{
    return mbedtls_md_update(s, (const unsigned char *)data, length) == 0;
}

static bool sum_end(sum *s, uint8_t *bytes)
{
    return mbedtls_md_finish(s, bytes) == 0;
}

static void sum_free(sum *s) { mbedtls_md_free(s); }

#else

#define SUM_NAME "crc32"
#define SUM_SIZE 4

typedef uint32_t sum;

static bool sum_begin(sum *s)
{
    *s = 0xffffffffu;
    return true;
}

/* Four bits a step: a table of 64 bytes, where 1 KiB would be twice as fast. */
static bool sum_add(sum *s, const void *data, size_t length)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158,
        0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4,
        0xa00ae278, 0xbdbdf21c
    };
    const uint8_t *p = (const uint8_t *)data;
    uint32_t crc = *s;
    for (size_t i = 0; i < length; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    *s = crc;
    return true;
}

static bool sum_end(sum *s, uint8_t *bytes)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(~*s >> (24 - 8 * i));
    return true;
}

static void sum_free(sum *s) { (void)s; }

#endif

/*--- flash: replace these four by your board's ----------------------------------*/

static const char *flash_path;
static char flash_new_path[512];
static FILE *flash;

static bool flash_begin(void)
{
    flash = fopen(flash_new_path, "wb");
    return flash != NULL;
}

static bool flash_write(const void *data, size_t length)
{
    return fwrite(data, 1, length, flash) == length;
}

/* The new image takes the place of the old one at once, or not at all. */
static bool flash_install(void)
{
    bool good = fclose(flash) == 0;
    flash = NULL;
    if (good)
        good = rename(flash_new_path, flash_path) == 0;
    if (!good)
        remove(flash_new_path);
    return good;
}

static void flash_drop(void)
{
    if (flash != NULL) {
        fclose(flash);
        remove(flash_new_path);
    }
    flash = NULL;
}

/*--- the update: one at a time ------------------------------------------------*/

static struct update {
    uint64_t request;           /* whose it is; 0: there is none */
    bool is_form;
    bool in_image, has_image;   /* of a form: in the file's part; behind its begin */
    uhttp_formdata form;
    char headers[512];
    unsigned long bytes;
    sum digest;
    char expected[2 * SUM_SIZE + 1];    /* in hexadecimal; "": none was announced */
} update;

static void update_drop(void)
{
    if (update.request == 0)
        return;
    sum_free(&update.digest);
    flash_drop();
    update.request = 0;
}

/* 0, or the status of the refusal. */
static int update_begin(uhttp_conn *c)
{
    const char *expected = uhttp_query(c, SUM_NAME);
    const char *site = uhttp_header(c, "Sec-Fetch-Site");   /* which page sends a browser */
    bool is_form = strcmp(uhttp_method(c), "POST") == 0;
    if (site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return 403;
    if (update.request != 0)
        return 503;
    memset(&update, 0, sizeof update);
    if (uhttp_content_length(c) > (int64_t)(IMAGE_MAX + (is_form ? FORM_MAX : 0)))
        return 413;
    if (expected != NULL && strlen(expected) != 2 * SUM_SIZE)
        return 400;
    if (is_form && uhttp_formdata_begin(&update.form, uhttp_content_type(c), update.headers,
                                        sizeof update.headers) != UHTTP_OK)
        return 415;
    update.is_form = is_form;
    for (size_t i = 0; expected != NULL && i < 2 * SUM_SIZE; i++)
        update.expected[i] = (char)tolower((unsigned char)expected[i]);
    if (!sum_begin(&update.digest) || !flash_begin()) {
        sum_free(&update.digest);
        return 500;
    }
    update.request = uhttp_id(c);
    return 0;
}

static int update_write(const void *data, size_t length)
{
    if (length > IMAGE_MAX - update.bytes)
        return 413;
    update.bytes += (unsigned long)length;
    return sum_add(&update.digest, data, length) && flash_write(data, length) ? 0 : 500;
}

/* Takes what has come; the first file of a form is the image. */
static int update_take(const void *data, size_t length)
{
    uhttp_formdata *form = &update.form;
    uhttp_formdata_event event;
    int status = 0;
    if (!update.is_form)
        return length > 0 ? update_write(data, length) : 0;
    uhttp_formdata_feed(form, data, length);
    while (status == 0 && (event = uhttp_formdata_next(form)) != UHTTP_FORMDATA_MORE) {
        if (event == UHTTP_FORMDATA_PART && form->filename != NULL && !update.has_image)
            update.in_image = update.has_image = true;
        else if (event == UHTTP_FORMDATA_DATA && update.in_image)
            status = update_write(form->data.ptr, form->data.len);
        else if (event == UHTTP_FORMDATA_PART_END)
            update.in_image = false;
        else if (event == UHTTP_FORMDATA_ERROR)
            status = 400;
    }
    return status;
}

/* The image is here: is it what was announced? */
static int update_end(char *digest)
{
    uint8_t bytes[SUM_SIZE];
    if (update.is_form && uhttp_formdata_error(&update.form, NULL) != UHTTP_OK)
        return 400;
    if (update.bytes == 0)
        return 400;
    if (!sum_end(&update.digest, bytes))
        return 500;
    for (int i = 0; i < SUM_SIZE; i++)
        snprintf(digest + 2 * i, 3, "%02x", bytes[i]);
    if (update.expected[0] != '\0' && strcmp(update.expected, digest) != 0)
        return 422;
    return flash_install() ? 0 : 500;
}

/* Refuses the update, or answers the one that is whole. */
static void update_answer(uhttp_conn *c, int status)
{
    char digest[2 * SUM_SIZE + 1] = "";
    char text[128];
    if (status == 0)
        status = update_end(digest);
    if (status == 0) {
        snprintf(text, sizeof text, "installed %lu bytes, " SUM_NAME " %s\n", update.bytes,
                 digest);
        uhttp_respond_text(c, 200, text);
    } else if (status == 422) {
        snprintf(text, sizeof text, "not installed: " SUM_NAME " is %s\n", digest);
        uhttp_respond_text(c, status, text);
    } else {
        uhttp_respond_error(c, status);
    }
    update_drop();
}

/*--- the loop -----------------------------------------------------------------*/

static void begin(uhttp_conn *c)
{
    int status = update_begin(c);
    if (status != 0) {
        uhttp_respond_error(c, status);
    } else if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
        size_t length;
        const void *body = uhttp_body(c, &length);
        update_answer(c, update_take(body, length));
    } else if (uhttp_accept_body_streaming(c, IMAGE_MAX + FORM_MAX) != UHTTP_OK) {
        update_drop();
    }
}

static void go_on(uhttp_conn *c)
{
    size_t length;
    const void *data = uhttp_read_buffer(c, &length);
    int status = update_take(data, length);
    if (status != 0 || uhttp_event(c) == UHTTP_EVENT_COMPLETE)
        update_answer(c, status);
}

static void serve(uhttp_conn *c)
{
    const char *method = uhttp_method(c);
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_WS_REQUEST:
    case UHTTP_EVENT_HEADERS:
        if (strcmp(uhttp_path(c), "/") == 0)
            uhttp_respond_static(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
        else if (strcmp(uhttp_path(c), "/firmware") != 0)
            uhttp_respond_error(c, 404);
        else if (strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0)
            begin(c);
        else
            uhttp_respond_not_allowed(c, "PUT, POST");
        break;
    case UHTTP_EVENT_DATA:
    case UHTTP_EVENT_COMPLETE:
        go_on(c);
        break;
    case UHTTP_EVENT_ERROR:         /* it broke off, or is too large: answered for us */
    case UHTTP_EVENT_CLOSED:
        if (update.request == uhttp_id(c))
            update_drop();
        break;
    default:
        break;
    }
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

/* Is there a directory for the file, and may we write there? */
static bool can_write(const char *path)
{
    FILE *file = fopen(path, "wb");
    return file != NULL && fclose(file) == 0 && remove(path) == 0;
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
    uhttp_config config = { 0 };
    int port = argc == 3 ? read_port(argv[1]) : -1;
    if (port < 0 || strlen(argv[2]) > 500) {
        fprintf(stderr, "usage: %s port flash.bin    port 0: any that is free\n", argv[0]);
        return 2;
    }
    flash_path = argv[2];
    snprintf(flash_new_path, sizeof flash_new_path, "%s.new", flash_path);
    if (!can_write(flash_new_path)) {
        fprintf(stderr, "cannot write %s: %s\n", flash_new_path, strerror(errno));
        return 1;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.event_mode = true;
    config.max_connections = CONNECTIONS;
    config.memory = memory;
    config.memory_size = sizeof memory;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);

    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }

    update_drop();
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
