/* Reads a form with a file of 64 MiB, fed in pieces of 64 KiB, as they come from a socket: random
 * bytes, text with short lines, and the worst there is. Says GiB per second, the median of some
 * rounds, and ends with 1 if random bytes go below 1 GiB/s. */
#define _POSIX_C_SOURCE 200809L
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SIZE   ((size_t)64 << 20)
#define PIECE  ((size_t)64 << 10)
#define ROUNDS 9

#define BOUNDARY "----WebKitFormBoundary7MA4YWxkTrZu0gW"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t put(char *to, size_t at, const char *text)
{
    memcpy(to + at, text, strlen(text));
    return at + strlen(text);
}

/* Bytes of data that came out; 0: the form is broken. */
static size_t read_form(const char *text, size_t length)
{
    uhttp_formdata form;
    uhttp_formdata_event event;
    char buffer[512];
    size_t data = 0;
    if (uhttp_formdata_begin(&form, "multipart/form-data; boundary=" BOUNDARY, buffer,
                             sizeof buffer) != UHTTP_OK)
        return 0;
    for (size_t at = 0; at < length; at += PIECE) {
        uhttp_formdata_feed(&form, text + at, length - at < PIECE ? length - at : PIECE);
        while ((event = uhttp_formdata_next(&form)) != UHTTP_FORMDATA_MORE)
            data += event == UHTTP_FORMDATA_DATA ? form.data.len : 0;
    }
    return uhttp_formdata_error(&form, NULL) == UHTTP_OK ? data : 0;
}

/* GiB per second; 0: what came out is not what went in. */
static double measure(const char *name, char *text, void (*fill)(char *to, size_t length))
{
    double times[ROUNDS];
    size_t at = put(text, 0, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"f\"; "
                             "filename=\"f.bin\"\r\n\r\n");
    fill(text + at, SIZE);
    at = put(text, at + SIZE, "\r\n--" BOUNDARY "--\r\n");
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_s();
        if (read_form(text, at) != SIZE) {
            fprintf(stderr, "%s: the data are not whole\n", name);
            return 0;
        }
        times[i] = now_s() - start;
    }
    qsort(times, ROUNDS, sizeof *times, by_size);
    double speed = (double)SIZE / times[ROUNDS / 2] / 1073741824.0;
    printf("form-data, %-28s %7.2f GiB/s\n", name, speed);
    return speed;
}

static void fill_random(char *to, size_t length)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        to[i] = (char)(unsigned char)(x >> 32);
    }
}

static void fill_lines(char *to, size_t length)
{
    static const char line[] = "2026-11-22 12:00:00, 21.5, 48.0, ok\r\n";
    for (size_t i = 0; i < length; i++)
        to[i] = line[i % (sizeof line - 1)];
}

/* Every two bytes might begin a delimiter. */
static void fill_line_ends(char *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = i % 2 == 0 ? '\r' : '\n';
}

/* Nearly a delimiter, again and again. */
static void fill_almost(char *to, size_t length)
{
    static const char almost[] = "\r\n--" BOUNDARY;
    for (size_t i = 0; i < length; i++)
        to[i] = almost[i % (sizeof almost - 2)];
}

int main(void)
{
    char *text = (char *)malloc(SIZE + 1024);
    if (text == NULL)
        return 2;
    double random = measure("random bytes", text, fill_random);
    bool whole = measure("lines of 37 bytes", text, fill_lines) > 0;
    whole = measure("nothing but line ends", text, fill_line_ends) > 0 && whole;
    whole = measure("delimiters but for a byte", text, fill_almost) > 0 && whole;
    free(text);
    return whole && random >= 1.0 ? 0 : 1;
}
