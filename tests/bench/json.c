/* Writes and reads a JSON text of 1 MiB with uHTTP and with cJSON, in turn and in one run, and
 * compares the medians. Writing: from the program's own data (cJSON: from a tree that is ready,
 * into memory that is ready). Reading: one member near the end; and whether the text is valid
 * (cJSON has to build its tree for either; freeing it is not counted). Ends with 1 if uHTTP is
 * slower. */
#define _POSIX_C_SOURCE 200809L
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"
#include <cjson/cJSON.h>
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

static cJSON *tree_cjson(size_t count)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(root, "items");
    for (size_t i = 0; i < count; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "id", (double)items[i].id);
        cJSON_AddStringToObject(one, "name", items[i].name);
        cJSON_AddNumberToObject(one, "price", items[i].price);
        cJSON_AddNumberToObject(one, "weight", items[i].weight);
        cJSON_AddBoolToObject(one, "stocked", items[i].stocked);
        cJSON_AddStringToObject(one, "note", items[i].note);
        cJSON_AddItemToArray(list, one);
    }
    cJSON_AddNumberToObject(root, "total", (double)count);
    return root;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool report(const char *what, double *ours, size_t our_length, double *theirs,
                   size_t their_length)
{
    qsort(ours, ROUNDS, sizeof *ours, by_size);
    qsort(theirs, ROUNDS, sizeof *theirs, by_size);
    double our_speed = (double)our_length / ours[ROUNDS / 2] / 1e6;
    double their_speed = (double)their_length / theirs[ROUNDS / 2] / 1e6;
    printf("%-10s uHTTP %7.1f MB/s   cJSON %6.1f MB/s   %5.1f times\n", what, our_speed,
           their_speed, our_speed / their_speed);
    return our_speed > their_speed;
}

int main(void)
{
    double ours[3][ROUNDS];
    double theirs[3][ROUNDS];
    fill_items();
    for (item_count = 1000; write_uhttp(item_count) < TEXT_SIZE; item_count += 10) { }
    size_t length = write_uhttp(item_count);
    size_t their_length = 0;
    cJSON *tree = tree_cjson(item_count);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_s();
        if (write_uhttp(item_count) != length)
            return 2;
        ours[0][round] = now_s() - start;
        start = now_s();
        if (!cJSON_PrintPreallocated(tree, other, (int)sizeof other, 0))
            return 2;
        theirs[0][round] = now_s() - start;
        their_length = strlen(other);

        uhttp_str json = { text, length };
        uint64_t total = 0;
        start = now_s();
        uhttp_json_value found = uhttp_json_find(json, "total");
        if (uhttp_json_to_uint64(found, &total) != UHTTP_OK || total != item_count)
            return 2;
        ours[1][round] = now_s() - start;
        start = now_s();
        if (!uhttp_json_valid(json, NULL))
            return 2;
        ours[2][round] = now_s() - start;
        start = now_s();
        cJSON *parsed = cJSON_ParseWithLength(text, length);
        theirs[2][round] = now_s() - start;
        cJSON *their_total = cJSON_GetObjectItemCaseSensitive(parsed, "total");
        if (their_total == NULL || their_total->valueint != (int)item_count)
            return 2;
        theirs[1][round] = now_s() - start;
        cJSON_Delete(parsed);
    }
    cJSON_Delete(tree);
    printf("%zu bytes (cJSON writes %zu), %zu items, medians of %d\n", length, their_length,
           item_count, ROUNDS);
    bool faster = report("write", ours[0], length, theirs[0], their_length);
    faster = report("find", ours[1], length, theirs[1], length) && faster;
    faster = report("validate", ours[2], length, theirs[2], length) && faster;
    return faster ? 0 : 1;
}
