/* api.c - a small REST service that speaks JSON
 *
 *     build: cc -o api examples/api.c
 *     try:   ./api 8080, then
 *            curl -H 'Content-Type: application/json' -d '{"name":"nail","quantity":100}' \
 *                http://localhost:8080/api/items
 *
 *     GET    /api/items?offset=0&limit=20   a page of the list
 *     POST   /api/items                     creates an item: 201, and where it is
 *     GET    /api/items/ID                  one item
 *     PUT    /api/items/ID                  replaces it
 *     DELETE /api/items/ID                  204
 *
 * Errors are reported as JSON, with the name of each bad field. Pages of other sites may use the
 * service, too (CORS): that is why there are default headers, and OPTIONS, which browsers send
 * first.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX    1000
#define NAME_MAX_LEN 63
#define PAGE_MAX     100

typedef struct item {
    uint32_t id;                /* 0: an empty place */
    int32_t quantity;
    double price;
    char name[NAME_MAX_LEN + 1];
} item;

static item items[ITEMS_MAX];   /* in the order of their ids, without holes */
static size_t item_count;
static uint32_t last_id;

static uhttp_server *server;
static volatile sig_atomic_t stop;

/*--- answers ------------------------------------------------------------------*/

/* {"error":"..."} */
static void respond_error(uhttp_conn *c, int status, const char *error)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "error");
    uhttp_json_string(&w, error);
    uhttp_json_object_end(&w);
    if (uhttp_json_respond(&w, status) != UHTTP_OK)
        uhttp_respond_error(c, 500);
}

/* A field that a client sends: what it must be, and whether it is. */
typedef struct field {
    const char *name, *must_be;
    bool good;
} field;

/* {"error":"invalid","fields":{"name":"...","price":"..."}}, each that is not as it must be;
 * true: all are, and nothing is answered. */
static bool are_good(uhttp_conn *c, const field *fields, size_t count)
{
    uhttp_json_writer w;
    bool good = true;
    for (size_t i = 0; i < count; i++)
        good = good && fields[i].good;
    if (good)
        return true;
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "error");
    uhttp_json_string(&w, "invalid");
    uhttp_json_key(&w, "fields");
    uhttp_json_object_begin(&w);
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].good) {
            uhttp_json_key(&w, fields[i].name);
            uhttp_json_string(&w, fields[i].must_be);
        }
    }
    uhttp_json_object_end(&w);
    uhttp_json_object_end(&w);
    if (uhttp_json_respond(&w, 422) != UHTTP_OK)
        uhttp_respond_error(c, 500);
    return false;
}

static void write_item(uhttp_json_writer *w, const item *it)
{
    uhttp_json_object_begin(w);
    uhttp_json_key(w, "id");
    uhttp_json_uint(w, it->id);
    uhttp_json_key(w, "name");
    uhttp_json_string(w, it->name);
    uhttp_json_key(w, "quantity");
    uhttp_json_int(w, it->quantity);
    uhttp_json_key(w, "price");
    uhttp_json_double(w, it->price);
    uhttp_json_object_end(w);
}

static void respond_item(uhttp_conn *c, int status, const item *it)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    write_item(&w, it);
    if (uhttp_json_respond(&w, status) != UHTTP_OK)
        uhttp_respond_error(c, 500);
}

/*--- what a client sends ------------------------------------------------------*/

/* A parameter of the query that is a number; false: it is none, or too large. */
static bool read_number(uhttp_conn *c, const char *name, size_t most, size_t *number)
{
    const char *text = uhttp_query(c, name);
    char *end;
    if (text == NULL)
        return true;            /* the default stays */
    if (*text < '0' || *text > '9')
        return false;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != '\0' || value > most)
        return false;
    *number = value;
    return true;
}

/* Reads an item from the body into *it; false: it is answered already. */
static bool read_item(uhttp_conn *c, item *it)
{
    const char *type = uhttp_content_type(c);
    size_t length = 0;
    size_t position = 0;
    uhttp_str text;
    text.ptr = (const char *)uhttp_body(c, &length);
    text.len = length;
    if (type == NULL || strncmp(type, "application/json", 16) != 0) {
        respond_error(c, 415, "the body must be application/json");
        return false;
    }
    if (!uhttp_json_valid(text, &position)) {
        char why[64];
        snprintf(why, sizeof why, "not JSON from byte %lu on", (unsigned long)position);
        respond_error(c, 400, why);
        return false;
    }
    uhttp_json_value name = uhttp_json_find(text, "name");
    uhttp_json_value quantity = uhttp_json_find(text, "quantity");
    uhttp_json_value price = uhttp_json_find(text, "price");
    field fields[] = {
        { "name", "a text of 1 to 63 bytes", false },
        { "quantity", "an integer of 0 to 2147483647", true },
        { "price", "a number that is not negative", true }
    };
    it->quantity = 0;
    it->price = 0;
    fields[0].good = uhttp_json_to_string(name, it->name, sizeof it->name) == UHTTP_OK &&
                     it->name[0] != '\0';
    if (quantity.type != UHTTP_JSON_NONE)
        fields[1].good = uhttp_json_to_int32(quantity, &it->quantity) == UHTTP_OK &&
                         it->quantity >= 0;
    if (price.type != UHTTP_JSON_NONE)
        fields[2].good = uhttp_json_to_double(price, &it->price) == UHTTP_OK && it->price >= 0;
    return are_good(c, fields, 3);
}

/* The item of that id as it stands in the path; NULL: there is none. */
static item *find_item(uhttp_str text)
{
    uint64_t id = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i > 9)
            return NULL;
        id = id * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    for (size_t i = 0; i < item_count; i++) {
        if (items[i].id == id)
            return &items[i];
    }
    return NULL;
}

/*--- what can be asked --------------------------------------------------------*/

static void list_items(uhttp_conn *c)
{
    uhttp_json_writer w;
    size_t offset = 0;
    size_t limit = 20;
    field fields[] = {
        { "offset", "a number up to 1000", false },
        { "limit", "a number up to 100", false }
    };
    fields[0].good = read_number(c, "offset", ITEMS_MAX, &offset);
    fields[1].good = read_number(c, "limit", PAGE_MAX, &limit);
    if (!are_good(c, fields, 2))
        return;
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "total");
    uhttp_json_uint(&w, item_count);
    uhttp_json_key(&w, "items");
    uhttp_json_array_begin(&w);
    for (size_t i = offset; i < item_count && i - offset < limit; i++)
        write_item(&w, &items[i]);
    uhttp_json_array_end(&w);
    uhttp_json_object_end(&w);
    if (uhttp_json_respond(&w, 200) != UHTTP_OK)
        uhttp_respond_error(c, 500);
}

static void create_item(uhttp_conn *c)
{
    item new_item;
    char location[32];
    if (!read_item(c, &new_item))
        return;
    if (item_count == ITEMS_MAX) {
        respond_error(c, 503, "there is no room for another item");
        return;
    }
    new_item.id = ++last_id;
    items[item_count++] = new_item;
    snprintf(location, sizeof location, "/api/items/%lu", (unsigned long)new_item.id);
    uhttp_add_header(c, "Location", location);
    respond_item(c, 201, &new_item);
}

static void replace_item(uhttp_conn *c, item *it)
{
    item new_item;
    if (!read_item(c, &new_item))
        return;
    new_item.id = it->id;
    *it = new_item;
    respond_item(c, 200, it);
}

static void delete_item(uhttp_conn *c, item *it)
{
    size_t behind = item_count - (size_t)(it - items) - 1;
    memmove(it, it + 1, behind * sizeof *it);
    item_count--;
    uhttp_respond(c, 204, NULL, NULL, 0);
}

/* A browser asks whether a page may; the answer stands in the default headers. */
static void allow(uhttp_conn *c, const char *methods)
{
    uhttp_add_header(c, "Allow", methods);
    uhttp_respond(c, 204, NULL, NULL, 0);
}

static bool is_method(uhttp_conn *c, const char *method)
{
    return strcmp(uhttp_method(c), method) == 0;
}

static void serve(uhttp_conn *c)
{
    uhttp_str id;
    if (uhttp_path_match(c, "/api/items", NULL, 0)) {
        if (uhttp_is_get(c))
            list_items(c);
        else if (is_method(c, "POST"))
            create_item(c);
        else if (is_method(c, "OPTIONS"))
            allow(c, "GET, HEAD, POST, OPTIONS");
        else
            uhttp_respond_not_allowed(c, "GET, HEAD, POST, OPTIONS");
    } else if (uhttp_path_match(c, "/api/items/:id", &id, 1)) {
        item *it = find_item(id);
        if (it == NULL)
            respond_error(c, 404, "there is no such item");
        else if (uhttp_is_get(c))
            respond_item(c, 200, it);
        else if (is_method(c, "PUT"))
            replace_item(c, it);
        else if (is_method(c, "DELETE"))
            delete_item(c, it);
        else if (is_method(c, "OPTIONS"))
            allow(c, "GET, HEAD, PUT, DELETE, OPTIONS");
        else
            uhttp_respond_not_allowed(c, "GET, HEAD, PUT, DELETE, OPTIONS");
    } else {
        respond_error(c, 404, "there is nothing here");
    }
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
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
    int port = argc > 1 ? read_port(argv[1]) : 8080;
    if (argc > 2 || port < 0) {
        fprintf(stderr, "usage: %s [port]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.max_content_length = 4096;           /* of an item; a larger body gets a 413 */
    config.default_headers =
        "Access-Control-Allow-Origin: *\r\n"
        "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE\r\n"
        "Access-Control-Allow-Headers: Content-Type\r\n"
        "Access-Control-Expose-Headers: Location\r\n"
        "X-Content-Type-Options: nosniff\r\n";
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on http://localhost:%d/api/items\n", uhttp_server_port(server));
    fflush(stdout);
    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
    }
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
