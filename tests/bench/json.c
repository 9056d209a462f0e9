/* Writes and reads a JSON text of 1 MiB with uHTTP, with cJSON and, with -DJANSSON, with Jansson,
 * in turn and in one run, and compares the medians. Writing: from the program's own data (the
 * others: from a tree that is ready, into memory that is ready). Reading: one member near the end;
 * and whether the text is valid (the others have to build their tree for either; freeing it is not
 * counted). Ends with 1 if uHTTP is slower than one of them. */
#define _POSIX_C_SOURCE 200809L
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <cjson/cJSON.h>
#ifdef JANSSON
#include <jansson.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEXT_SIZE ((size_t)1 << 20)
#define ROUNDS    41

typedef struct item {
    int64_t     id;
    double      price, weight;
    const char *name, *note;
    bool        stocked;
} item;

static item items[20000];
static size_t item_count;
static char text[2 * TEXT_SIZE], other[2 * TEXT_SIZE];

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill_items(void)
{
    static const char *const names[] = {
        "bolt", "Schraube \"M8\"", "\xC3\xA9tau", "washer, flat", "tape\t2\"",
    };
    static const char *const notes[] = {
        "keep dry", "delivered on Tuesdays and on the last working day of a month", "",
        "see C:\\parts\\list.txt\nand ask", "\xE6\x97\xA5\xE6\x9C\xAC",
    };
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        items[i].id = (int64_t)(x >> 44);
        items[i].price = (double)(x >> 8 & 0xFFFFF) / 100;
        items[i].weight = (double)(x >> 11) / 9007199254740992.0;
        items[i].name = names[x % 5];
        items[i].note = notes[x / 5 % 5];
        items[i].stocked = x & 1;
    }
}

static size_t write_uhttp(size_t count)
{
    uhttp_json_writer w;
    uhttp_json_begin(&w, text, sizeof text);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "items");
    uhttp_json_array_begin(&w);
    for (size_t i = 0; i < count; i++) {
        uhttp_json_object_begin(&w);
        uhttp_json_key(&w, "id");
        uhttp_json_int(&w, items[i].id);
        uhttp_json_key(&w, "name");
        uhttp_json_string(&w, items[i].name);
        uhttp_json_key(&w, "price");
        uhttp_json_double(&w, items[i].price);
        uhttp_json_key(&w, "weight");
        uhttp_json_double(&w, items[i].weight);
        uhttp_json_key(&w, "stocked");
        uhttp_json_bool(&w, items[i].stocked);
        uhttp_json_key(&w, "note");
        uhttp_json_string(&w, items[i].note);
        uhttp_json_object_end(&w);
    }
    uhttp_json_array_end(&w);
    uhttp_json_key(&w, "total");
    uhttp_json_uint(&w, count);
    uhttp_json_object_end(&w);
    return uhttp_json_error(&w) == UHTTP_OK ? uhttp_json_length(&w) : 0;
}

static size_t write_cjson(void *tree)
{
    return cJSON_PrintPreallocated(tree, other, (int)sizeof other, 0) ? strlen(other) : 0;
}

/* The tree of the text; NULL if it is not valid. */
static void *parse_cjson(size_t length)
{
    return cJSON_ParseWithLength(text, length);
}

static bool find_cjson(const void *tree)
{
    const cJSON *total = cJSON_GetObjectItemCaseSensitive((const cJSON *)tree, "total");
    return total != NULL && total->valueint == (int)item_count;
}

static void free_cjson(void *tree)
{
    cJSON_Delete(tree);
}

#ifdef JANSSON
static size_t write_jansson(void *tree)
{
    size_t length = json_dumpb(tree, other, sizeof other, JSON_COMPACT);
    return length <= sizeof other ? length : 0;
}

static void *parse_jansson(size_t length)
{
    return json_loadb(text, length, 0, NULL);
}

static bool find_jansson(const void *tree)
{
    return json_integer_value(json_object_get((const json_t *)tree, "total")) ==
           (json_int_t)item_count;
}

static void free_jansson(void *tree)
{
    json_decref(tree);
}
#endif

typedef struct rival {
    const char *name;
    size_t (*write)(void *tree);
    void *(*parse)(size_t length);
    bool (*find)(const void *tree);
    void (*release)(void *tree);
    void  *tree;
    size_t length;              /* of the text it writes */
    double times[3][ROUNDS];
} rival;

static rival rivals[] = {
    { "cJSON", write_cjson, parse_cjson, find_cjson, free_cjson, NULL, 0, { { 0 } } },
#ifdef JANSSON
    { "Jansson", write_jansson, parse_jansson, find_jansson, free_jansson, NULL, 0, { { 0 } } },
#endif
};
#define RIVALS (sizeof rivals / sizeof *rivals)

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, by_size);
    return times[ROUNDS / 2];
}

static void measure_uhttp(double times[3][ROUNDS], int round, size_t length)
{
    double start = now_s();
    if (write_uhttp(item_count) != length)
        exit(2);
    times[0][round] = now_s() - start;

    uhttp_str json = { text, length };
    uint64_t total = 0;
    start = now_s();
    uhttp_json_value found = uhttp_json_find(json, "total");
    if (uhttp_json_to_uint64(found, &total) != UHTTP_OK || total != item_count)
        exit(2);
    times[1][round] = now_s() - start;

    start = now_s();
    if (!uhttp_json_valid(json, NULL))
        exit(2);
    times[2][round] = now_s() - start;
}

static void measure_rival(rival *r, int round, size_t length)
{
    double start = now_s();
    r->length = r->write(r->tree);
    r->times[0][round] = now_s() - start;

    start = now_s();
    void *tree = r->parse(length);
    r->times[2][round] = now_s() - start;
    if (r->length == 0 || tree == NULL || !r->find(tree))
        exit(2);
    r->times[1][round] = now_s() - start;
    r->release(tree);
}

/* A line: how fast each is; true if none is faster than uHTTP. */
static bool report(const char *what, double *times, int which, size_t length)
{
    double ours = (double)length / median(times) / 1e6;
    bool fastest = true;
    printf("%-9s uHTTP %7.1f MB/s", what, ours);
    for (size_t i = 0; i < RIVALS; i++) {
        size_t bytes = which == 0 ? rivals[i].length : length;
        double theirs = (double)bytes / median(rivals[i].times[which]) / 1e6;
        printf("   %s %6.1f MB/s, %.1f times", rivals[i].name, theirs, ours / theirs);
        fastest = fastest && ours > theirs;
    }
    printf("\n");
    return fastest;
}

int main(void)
{
    double times[3][ROUNDS];
    fill_items();
    for (item_count = 1000; write_uhttp(item_count) < TEXT_SIZE; item_count += 10) { }
    size_t length = write_uhttp(item_count);
    for (size_t i = 0; i < RIVALS; i++) {
        rivals[i].tree = rivals[i].parse(length);
        if (rivals[i].tree == NULL)
            return 2;
    }
    for (int round = 0; round < ROUNDS; round++) {
        measure_uhttp(times, round, length);
        for (size_t i = 0; i < RIVALS; i++)
            measure_rival(&rivals[i], round, length);
    }
    printf("%zu bytes, %zu items, medians of %d\n", length, item_count, ROUNDS);
    bool fastest = report("write", times[0], 0, length);
    fastest = report("find", times[1], 1, length) && fastest;
    fastest = report("validate", times[2], 2, length) && fastest;
    for (size_t i = 0; i < RIVALS; i++)
        rivals[i].release(rivals[i].tree);
    return fastest ? 0 : 1;
}
