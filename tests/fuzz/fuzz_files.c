/* The readers of section 05 that files need, for any bytes:
 *
 *   - a date that is read, written and read again is the same second;
 *   - a range lies in the representation and is not empty;
 *   - the type of a name is one of those known;
 *   - lists of entity tags and codings end, whatever is in them; a tag that is written is found;
 *   - a path that is safe has no piece that could lead anywhere else;
 *   - nothing is read outside the text (each is a block of its own). */
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

static bool has(uhttp_str s, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= s.len; i++) {
        if (memcmp(s.ptr + i, word, length) == 0)
            return true;
    }
    return false;
}

static void check_date(uhttp_str s, int64_t now)
{
    int64_t seconds = 42;
    int64_t again = 0;
    char text[30];
    if (!uhttp_date_parse(s, now, &seconds)) {
        promise(seconds == 42);
        return;
    }
    promise(s.len >= 24 && s.len <= 33);
    promise(seconds >= -62167219200 && seconds <= 253402300800);
    uhttp_date_format(seconds, text);
    promise(uhttp_date_parse(uh_text_slice(text, text + 29), now, &again) && again == seconds);
}

static void check_range(uhttp_str s, uint64_t size)
{
    uint64_t first = 1;
    uint64_t length = 1;
    switch (uhttp_range_parse(s, size, &first, &length)) {
    case UHTTP_RANGE_WHOLE:
        promise(first == 0 && length == size);
        break;
    case UHTTP_RANGE_PART:
        promise(length > 0 && first < size && length <= size - first);
        break;
    case UHTTP_RANGE_NONE:
        break;
    }
}

static void check_tags(uhttp_str s)
{
    char *list = (char *)malloc(s.len + 3);
    uhttp_str rest = s;
    uhttp_str opaque;
    bool weak;
    size_t before = s.len + 1;
    promise(list != NULL);
    while (uh_etag_next(&rest, &opaque, &weak)) {
        promise(rest.len < before && rest.ptr + rest.len == s.ptr + s.len);
        promise(memchr(opaque.ptr, '"', opaque.len) == NULL && opaque.ptr[opaque.len] == '"');
        promise(uh_etag_is_in(s, opaque, weak, false));
        promise(uh_etag_is_in(s, opaque, false, true) || weak);
        before = rest.len;
    }
    promise(!uh_etag_is_in(s, s, true, true));
    if (memchr(s.ptr, '"', s.len) == NULL) {
        list[0] = '"';
        memcpy(list + 1, s.ptr, s.len);
        list[s.len + 1] = '"';
        promise(uh_etag_is_in(uh_text_slice(list, list + s.len + 2), s, false, true));
    }
    free(list);
}

static void check_codings(uhttp_str s)
{
    uhttp_str rest = s;
    uhttp_str element;
    uh_codings q = uh_codings_none;
    while (uhttp_list_next(&rest, &element))
        uh_codings_note(&q, element);
    promise(q.gzip >= -1 && q.gzip <= 1000 && q.identity >= -1 && q.identity <= 1000);
    promise(q.others >= -1 && q.others <= 1000);
    bool alone = uh_codings_want_gzip(&q, true);
    promise(!uh_codings_want_gzip(&q, false) || alone);
    promise(!alone || has(s, "*") || s.len >= 4);
}

static void check_path(uhttp_str s)
{
    bool safe = uh_path_is_safe(s, false);
    promise(!safe || uh_path_is_safe(s, true));
    if (!uh_path_is_safe(s, true))
        return;
    promise(uhttp_utf8_valid(s));
    promise(s.len == 0 || s.ptr[0] != '/');
    promise(!has(s, "//") && !has(s, "\\") && !has(s, ":") && !has(s, "../") && !has(s, "./"));
    promise(!has(s, " /") && !has(s, "/.."  "/") && memchr(s.ptr, '\0', s.len) == NULL);
    promise(s.len == 0 || (s.ptr[s.len - 1] != '.' && s.ptr[s.len - 1] != ' '));
    promise(!safe || (!has(s, "/.") && (s.len == 0 || s.ptr[0] != '.')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8)
        return 0;
    uint64_t number;
    memcpy(&number, data, 8);
    size -= 8;
    char *block = (char *)malloc(size > 0 ? size : 1);
    promise(block != NULL);
    block[0] = '\0';
    if (size > 0)
        memcpy(block, data + 8, size);
    char *begin = size > 0 ? block : block + 1;
    uhttp_str s = uh_text_slice(begin, begin + size);
    check_date(s, (int64_t)number);
    check_range(s, number >> (number & 63));
    promise(strchr(uhttp_mime_type(s), '/') != NULL);
    check_tags(s);
    check_codings(s);
    check_path(s);
    free(block);
    return 0;
}
