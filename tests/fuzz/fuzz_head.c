/* The request head's reader, for any bytes:
 *
 *   - answers with a length within the text, 0, or one of its five refusals;
 *   - what it hands out lies in the text, in the order of a head, and says why it refused;
 *   - no strict prefix of a head is a head, and what refuses a prefix refuses the whole;
 *   - what stands behind a head changes nothing;
 *   - the reader of the server, which writes its NULs into the text, says the same;
 *   - it reads nothing outside the text (each text is a block of its own). */
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

static uhttp_str copy_of(const void *data, size_t size)
{
    uhttp_str s;
    char *block = (char *)malloc(size > 0 ? size : 1);
    promise(block != NULL);
    if (size > 0)
        memcpy(block, data, size);
    s.ptr = size > 0 ? block : block + 1;
    s.len = size;
    return s;
}

static void drop(uhttp_str s)
{
    free((char *)(uintptr_t)s.ptr - (s.len > 0 ? 0 : 1));
}

static bool lies_in(uhttp_str s, const char *begin, const char *end)
{
    return s.ptr >= begin && s.ptr <= end && s.len <= (size_t)(end - s.ptr);
}

static void check_slices(const uhttp_head *h, const char *text, const char *end)
{
    const char *target_end = h->target.ptr + h->target.len;
    promise(h->why == NULL);
    promise(h->method.ptr == text && h->method.len > 0);
    promise(h->target.ptr == text + h->method.len + 1 && h->target.len > 0);
    promise(lies_in(h->path, h->target.ptr, target_end) || uh_text_is(h->path, "/"));
    promise(h->path.len > 0);
    promise(h->query.ptr == NULL || lies_in(h->query, h->target.ptr, target_end));
    promise(h->host.ptr == NULL || lies_in(h->host, h->target.ptr, end));
    promise(h->fields.ptr == target_end + 1 + 8 + 2);
    promise(h->fields.ptr + h->fields.len + 2 == end);
    promise(h->version_minor == 0 || h->version_minor == 1);
    promise(h->content_length >= -1 && !(h->chunked && h->content_length >= 0));
    promise(h->version_minor == 1 ? h->host.ptr != NULL : !h->chunked && !h->expect_continue);
    promise(!h->expect_continue || h->chunked || h->content_length > 0);
    uhttp_str rest = h->fields, name, value;
    while (uhttp_header_next(&rest, &name, &value)) {
        promise(name.len > 0 && lies_in(name, h->fields.ptr, end));
        promise(lies_in(value, name.ptr + name.len + 1, end));
    }
    promise(rest.len == 0);
}

static bool same_slice(uhttp_str a, const char *text, uhttp_str b, const char *other)
{
    if (a.ptr == NULL || b.ptr == NULL)
        return a.ptr == b.ptr && a.len == b.len;
    return a.len == b.len &&
           (a.ptr - text == b.ptr - other || (uh_text_is(a, "/") && uh_text_is(b, "/")));
}

static void check_same(const uhttp_head *a, const char *text, const uhttp_head *b,
                       const char *other)
{
    promise(same_slice(a->method, text, b->method, other));
    promise(same_slice(a->target, text, b->target, other));
    promise(same_slice(a->path, text, b->path, other));
    promise(same_slice(a->query, text, b->query, other));
    promise(same_slice(a->host, text, b->host, other));
    promise(same_slice(a->fields, text, b->fields, other));
    promise(a->content_length == b->content_length && a->chunked == b->chunked);
    promise(a->cookie_length == b->cookie_length && a->version_minor == b->version_minor);
    promise(a->close == b->close && a->keep_alive == b->keep_alive);
    promise(a->expect_continue == b->expect_continue);
}

static void check_prefix(uhttp_str text, size_t length, int result)
{
    uhttp_str s = copy_of(text.ptr, length);
    uhttp_head head;
    int prefix = uhttp_head_parse(s, &head);
    promise(prefix <= 0);
    promise(prefix == 0 || prefix == result);
    drop(s);
}

/* As uh_step_head() does it: an LF without CR counts before all else that may be wrong. */
static int parse_terminated(uhttp_str s, uhttp_head *head)
{
    int result = uh_head_parse(s.ptr, s.ptr + s.len, true, head);
    const char *left = head->fields.ptr != NULL ? head->fields.ptr + head->fields.len : s.ptr;
    return result < 0 && uh_head_find_end(s.ptr, left, s.ptr + s.len) == s.ptr ? -400 : result;
}

/* The server hands over a text that ends with an empty line, this head's or a later one. */
static void check_terminated(uhttp_str text, size_t length, const uhttp_head *head, int result)
{
    uhttp_str s = copy_of(text.ptr, length);
    uhttp_head other;
    promise(parse_terminated(s, &other) == result);
    if (result > 0) {
        check_same(head, text.ptr, &other, s.ptr);
        promise(strlen(other.method.ptr) == other.method.len);
        promise(strlen(other.target.ptr) == other.target.len);
        const char *p = other.fields.ptr;
        uhttp_str rest = head->fields, name, value;
        while (uhttp_header_next(&rest, &name, &value)) {
            promise(strlen(s.ptr + (name.ptr - text.ptr)) == name.len);
            promise(strlen(s.ptr + (value.ptr - text.ptr)) == value.len);
            p = s.ptr + (rest.ptr - text.ptr);
        }
        promise(p[0] == '\r' && p[1] == '\n');
    }
    drop(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uhttp_str text = copy_of(data, size);
    uhttp_head head, again;
    memset(&head, 0x5a, sizeof head);
    int result = uhttp_head_parse(text, &head);
    promise(result == 0 || result == -400 || result == -413 || result == -417 ||
            result == -501 || result == -505 || (result > 0 && (size_t)result <= size));
    promise(result >= 0 || head.why != NULL);
    if (result > 0) {
        uhttp_str exact = copy_of(data, (size_t)result);
        check_slices(&head, text.ptr, text.ptr + result);
        promise(uhttp_head_parse(exact, &again) == result);
        check_same(&head, text.ptr, &again, exact.ptr);
        drop(exact);
    }
    size_t stop = result > 0 ? (size_t)result : size;
    for (size_t length = 0; length < stop; length++) {
        if (stop <= 200 || length % 61 == 0 || text.ptr[length] == '\n')
            check_prefix(text, length, result);
    }
    int count = 0;
    for (size_t length = 4; length <= size && count < 8; length++) {
        if (memcmp(text.ptr + length - 4, "\r\n\r\n", 4) == 0) {
            check_terminated(text, length, &head, result);
            count++;
        }
    }
    drop(text);
    return 0;
}
