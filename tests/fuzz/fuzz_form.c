/* The reader of forms, for any bytes:
 *
 *   - gives the same events, the same data joined and the same error whether it gets its input
 *     whole or cut anywhere;
 *   - gives events in order: data only inside a part, each part ended once, one end or one error
 *     and nothing behind it;
 *   - hands out data from what was fed or from its delimiter, never empty, never more in all than
 *     it was fed, and strings and header lines from its buffer;
 *   - ends well exactly when it says so;
 *   - reads and writes nothing outside its blocks.
 *
 * And its helpers: parameters lie in their text, in order; a name made safe is safe, and stays
 * as it is when it is made safe again.
 *
 * The first three bytes say how the input is cut, how large the buffer is and how many parts
 * there may be. Then comes the content type, up to a line feed; the rest is the form. */
#define UHTTP_STATIC
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include <stdio.h>

#define promise(truth)                                                      \
    do {                                                                    \
        if (!(truth)) {                                                     \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #truth); \
            abort();                                                        \
        }                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t chance;

static size_t below(size_t n)
{
    chance = chance * 1664525u + 1013904223u;
    return (chance >> 8) % (uint32_t)n;
}

static char *copy_of(const void *data, size_t size)
{
    char *block = (char *)malloc(size + 1);
    promise(block != NULL);
    if (size > 0)
        memcpy(block, data, size);
    block[size] = '\0';
    return block;
}

/* A block without the NUL, so that a byte behind it is seen. */
static char *exact_copy_of(const void *data, size_t size)
{
    char *block = (char *)malloc(size > 0 ? size : 1);
    promise(block != NULL);
    if (size > 0)
        memcpy(block, data, size);
    return block;
}

static bool lies_in(const char *p, size_t length, const char *begin, size_t size)
{
    return p >= begin && p <= begin + size && length <= (size_t)(begin + size - p);
}

/* What a reader said: events and strings, with NULs between them. */
typedef struct account {
    char *text;
    size_t length, size;
    uhttp_result result;
    const char *why;
} account;

static void put(account *a, const void *bytes, size_t length)
{
    if (a->size - a->length < length) {
        a->size = (a->length + length) * 2;
        a->text = (char *)realloc(a->text, a->size);
        promise(a->text != NULL);
    }
    if (length > 0)
        memcpy(a->text + a->length, bytes, length);
    a->length += length;
}

static void put_string(account *a, const uhttp_formdata *form, const char *string)
{
    if (string == NULL) {
        put(a, "-", 2);
        return;
    }
    promise(lies_in(string, strlen(string), form->buffer, form->size));
    put(a, string, strlen(string) + 1);
}

static void check_name(const char *filename)
{
    char out[40], again[40];
    size_t size = 2 + below(sizeof out - 1);
    size_t length = uhttp_safe_filename(filename, out, size);
    promise(length > 0 && length < size && strlen(out) == length);
    promise(strpbrk(out, "/\\:*?\"<>|") == NULL && out[0] != '.' && out[0] != ' ');
    promise(out[length - 1] != '.' && out[length - 1] != ' ');
    uhttp_str name = uh_text_slice(out, out + length);
    promise(uhttp_utf8_valid(name) && !uh_text_has_control(name) && strchr(out, '\t') == NULL);
    promise(uhttp_safe_filename(out, again, sizeof again) == length);
    promise(memcmp(out, again, length) == 0);
}

static void check_params(uhttp_str text)
{
    uhttp_str rest = text;
    uhttp_str name, value;
    const char *at = text.ptr;
    const char *end = text.ptr + text.len;
    while (uhttp_param_next(&rest, &name, &value)) {
        promise(name.ptr >= at && name.len > 0 && name.ptr + name.len <= end);
        at = name.ptr + name.len;
        if (value.ptr != NULL) {
            char *out = exact_copy_of("", 0);
            size_t length;
            out = (char *)realloc(out, value.len);
            promise(out != NULL && value.ptr == at + 1 && value.len > 0);
            promise(uhttp_unquote(value, out, &length) == UHTTP_OK && length <= value.len);
            at = value.ptr + value.len;
            free(out);
        }
        promise(rest.ptr >= at && rest.ptr + rest.len == end);
    }
}

/* Reads the whole form in one piece, or in pieces of random lengths. */
static account read_form(const char *type, const uint8_t *data, size_t size, size_t room,
                         uint32_t parts, bool cut)
{
    account a;
    uhttp_formdata form;
    bool open = false;
    bool over = false;
    size_t most = cut ? 1 + below(80) : size;
    size_t given = 0;
    char *buffer = exact_copy_of("", 0);
    memset(&a, 0, sizeof a);
    buffer = (char *)realloc(buffer, room > 0 ? room : 1);
    promise(buffer != NULL);
    bool begun = uhttp_formdata_begin(&form, type, buffer, room) == UHTTP_OK;
    form.max_parts = parts;
    for (size_t at = 0; at < size;) {
        size_t length = cut ? below((size - at < most ? size - at : most) + 1) : size;
        char *piece = exact_copy_of(data + at, length);
        uhttp_formdata_event event;
        promise(uhttp_formdata_feed(&form, piece, length) == UHTTP_OK);
        while ((event = uhttp_formdata_next(&form)) != UHTTP_FORMDATA_MORE) {
            promise(begun && !over);
            if (event != UHTTP_FORMDATA_DATA)
                put(&a, &"?PDpE!"[event], 1);
            switch (event) {
            case UHTTP_FORMDATA_PART:
                promise(!open && parts-- > 0);
                open = true;
                promise(lies_in(form.headers.ptr, form.headers.len, buffer, room));
                put(&a, form.headers.ptr, form.headers.len);
                put_string(&a, &form, form.name);
                put_string(&a, &form, form.filename);
                put_string(&a, &form, form.content_type);
                check_name(form.filename);
                break;
            case UHTTP_FORMDATA_DATA:
                promise(open && form.data.len > 0);
                promise(lies_in(form.data.ptr, form.data.len, piece, length) ||
                        lies_in(form.data.ptr, form.data.len, form.delimiter, form.length));
                put(&a, form.data.ptr, form.data.len);
                given += form.data.len;
                break;
            case UHTTP_FORMDATA_PART_END:
                promise(open);
                open = false;
                break;
            case UHTTP_FORMDATA_END:
            case UHTTP_FORMDATA_ERROR:
                promise(!open || event == UHTTP_FORMDATA_ERROR);
                over = true;
                break;
            case UHTTP_FORMDATA_MORE:
                break;
            }
        }
        at += length;
        promise(given <= at);
        free(piece);
    }
    a.result = uhttp_formdata_error(&form, &a.why);
    promise(!begun || (a.result != UHTTP_ERR_AGAIN) == over);
    promise((a.result == UHTTP_OK) == (a.why[0] == '\0'));
    free(buffer);
    return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    chance = data[0];
    size_t room = (size_t)data[1] * 2;
    uint32_t parts = data[2];
    data += 3;
    size -= 3;
    const uint8_t *line = size > 0 ? (const uint8_t *)memchr(data, '\n', size) : NULL;
    if (line == NULL)
        return 0;
    char *type = copy_of(data, (size_t)(line - data));
    char *exact = exact_copy_of(data, (size_t)(line - data));
    check_params(uh_text_slice(exact, exact + (line - data)));
    size -= (size_t)(line + 1 - data);
    data = line + 1;
    account whole = read_form(type, data, size, room, parts, false);
    for (int i = 0; i < 3; i++) {
        account cut = read_form(type, data, size, room, parts, true);
        promise(cut.result == whole.result && strcmp(cut.why, whole.why) == 0);
        promise(cut.length == whole.length);
        promise(cut.length == 0 || memcmp(cut.text, whole.text, cut.length) == 0);
        free(cut.text);
    }
    free(whole.text);
    free(exact);
    free(type);
    return 0;
}
