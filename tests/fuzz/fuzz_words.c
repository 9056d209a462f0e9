/* The small readers of section 05, for any bytes:
 *
 *   - the iterators of queries, lists and header lines end, and hand out slices of the text,
 *     each behind the one before;
 *   - percent decoding never grows a text, gives the same in place, and fails exactly when
 *     an escape is bad;
 *   - the parts of an URL lie in it, in order, and hold none of the characters that divide
 *     them;
 *   - a number is what the C library reads;
 *   - a search for control characters, or for the end of a token, finds what a byte loop finds;
 *   - nothing is read outside the text (each is a block of its own). */
#define UHTTP_STATIC
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include <errno.h>
#include <stdio.h>

#define promise(truth)                                                      \
    do {                                                                    \
        if (!(truth)) {                                                     \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #truth); \
            abort();                                                        \
        }                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(uhttp_str s, const char *begin, const char *end)
{
    return s.ptr >= begin && s.ptr <= end && s.len <= (size_t)(end - s.ptr);
}

static bool has(uhttp_str s, char c)
{
    return s.len > 0 && memchr(s.ptr, c, s.len) != NULL;
}

/* "%00", which no text may hold. */
static bool has_escaped_nul(uhttp_str s)
{
    for (size_t i = 0; i + 2 < s.len; i++) {
        if (memcmp(s.ptr + i, "%00", 3) == 0)
            return true;
    }
    return false;
}

static void check_percent(uhttp_str s, bool plus_is_blank)
{
    char *out = (char *)malloc(s.len + 1);
    char *copy = (char *)malloc(s.len + 1);
    size_t made = 0;
    size_t again = 0;
    promise(out != NULL && copy != NULL);
    memcpy(copy, s.ptr, s.len);
    uhttp_result result = uhttp_percent_decode(s, plus_is_blank, out, &made);
    promise(result == UHTTP_OK || result == UHTTP_ERR_INVALID);
    bool clean = true;
    for (size_t i = 0; i < s.len; i++)
        clean = clean && (unsigned char)s.ptr[i] > ' ' && s.ptr[i] != 0x7f;
    promise(!plus_is_blank || (result == UHTTP_OK) == !has_escaped_nul(s));
    if (!has(s, '?'))
        promise(plus_is_blank || (result == UHTTP_OK && clean) == uh_text_is_url(s));
    else
        promise(!uh_text_is_url(s) || (clean && !has_escaped_nul(s)));
    uhttp_str in_place = uh_text_slice(copy, copy + s.len);
    promise(uhttp_percent_decode(in_place, plus_is_blank, copy, &again) == result);
    if (result == UHTTP_OK) {
        size_t escapes = 0;
        for (size_t i = 0; i < s.len; i++) {
            bool whole = uh_text_escape(s.ptr + i, s.ptr + s.len) > 0;
            promise(plus_is_blank || s.ptr[i] != '%' || whole);
            escapes += s.ptr[i] == '%' && whole;
        }
        promise(made == s.len - 2 * escapes);
        promise(made == again && memcmp(out, copy, made) == 0);
        promise(has(s, '\0') || !has(uh_text_slice(out, out + made), '\0'));
    }
    free(copy);
    free(out);
}

static void check_url(uhttp_str s)
{
    const char *p = s.ptr;
    const char *end = s.ptr + s.len;
    uhttp_url_parts parts;
    if (uhttp_url_split(s, &parts) != UHTTP_OK)
        return;
    promise((parts.scheme.ptr == NULL) == (*p == '/'));
    if (parts.scheme.ptr != NULL) {
        promise(parts.scheme.ptr == p && parts.scheme.len > 0 && parts.host.len > 0);
        p += parts.scheme.len + 3;
        promise(p <= end && parts.host.ptr == p && lies_in(parts.host, p, end));
        promise(!has(parts.host, '@') && !has(parts.host, '/') && !has(parts.host, '\\'));
        p += parts.host.len;
    } else {
        promise(parts.host.ptr == NULL);
    }
    if (parts.port.ptr != NULL) {
        promise(parts.host.ptr != NULL && parts.port.ptr == p + 1);
        p = parts.port.ptr + parts.port.len;
    }
    promise(parts.path.ptr == p && lies_in(parts.path, p, end));
    promise(parts.path.len == 0 ? parts.host.ptr != NULL : *p == '/');
    promise(!has(parts.path, '?') && !has(parts.path, '#'));
    p += parts.path.len;
    if (parts.query.ptr != NULL) {
        promise(*p == '?' && parts.query.ptr == p + 1 && lies_in(parts.query, p, end));
        promise(!has(parts.query, '#'));
        p = parts.query.ptr + parts.query.len;
    }
    if (parts.fragment.ptr != NULL) {
        promise(*p == '#' && parts.fragment.ptr == p + 1);
        p = parts.fragment.ptr + parts.fragment.len;
    }
    promise(p == end);
    promise(uh_text_is_url(s));
}

static void check_query(uhttp_str s)
{
    const char *p = s.ptr;
    const char *end = s.ptr + s.len;
    uhttp_str rest = s, name, value;
    while (uhttp_query_next(&rest, &name, &value)) {
        promise(lies_in(name, p, end) && !has(name, '&') && !has(name, '='));
        p = name.ptr + name.len;
        if (value.ptr != NULL) {
            promise(value.ptr == p + 1 && lies_in(value, p, end) && !has(value, '&'));
            p = value.ptr + value.len;
        }
        promise(lies_in(rest, p, end) && rest.ptr + rest.len == end);
    }
    promise(rest.len == 0);
}

static void check_list(uhttp_str s)
{
    const char *p = s.ptr;
    const char *end = s.ptr + s.len;
    uhttp_str rest = s, element;
    while (uhttp_list_next(&rest, &element)) {
        promise(element.len > 0 && lies_in(element, p, end) && !has(element, ','));
        promise(!uh_char_is_blank(element.ptr[0]) &&
                !uh_char_is_blank(element.ptr[element.len - 1]));
        p = element.ptr + element.len;
        promise(lies_in(rest, p, end) && rest.ptr + rest.len == end);
    }
    promise(rest.len == 0);
}

static void check_fields(uhttp_str s)
{
    const char *p = s.ptr;
    const char *end = s.ptr + s.len;
    uhttp_str rest = s, name, value;
    for (size_t before = s.len; uhttp_header_next(&rest, &name, &value); before = rest.len) {
        promise(rest.len < before && name.ptr == p && name.len > 0);
        promise(uh_text_token(name.ptr, name.ptr + name.len) == name.ptr + name.len);
        promise(p[name.len] == ':' && lies_in(value, p + name.len + 1, end));
        promise(!uh_text_has_control(value));
        p = rest.ptr;
        promise(p[-2] == '\r' && p[-1] == '\n' && lies_in(rest, p, end));
    }
    promise(rest.ptr == p && rest.ptr + rest.len == end);
}

static void check_host(uhttp_str s)
{
    uhttp_str host, port;
    if (!uh_text_split_host(s, &host, &port))
        return;
    promise(host.ptr == s.ptr && uh_text_is_url(host));
    promise(port.ptr == NULL ? host.len == s.len
                             : port.ptr == host.ptr + host.len + 1 &&
                               port.len + host.len + 1 == s.len);
    promise(!uh_text_has_control(s) && !has(s, ' ') && !has(s, '/') && !has(s, '@'));
}

static void check_number(uhttp_str s)
{
    int64_t value = 0;
    uh_number kind = uh_text_decimal(s, &value);
    bool digits = s.len > 0;
    for (size_t i = 0; i < s.len; i++)
        digits = digits && s.ptr[i] >= '0' && s.ptr[i] <= '9';
    promise((kind == UH_NUMBER_BAD) == !digits);
    if (digits) {
        char *copy = (char *)malloc(s.len + 1);
        promise(copy != NULL);
        memcpy(copy, s.ptr, s.len);
        copy[s.len] = '\0';
        errno = 0;
        long long expected = strtoll(copy, NULL, 10);
        promise((kind == UH_NUMBER_LARGE) == (errno == ERANGE));
        promise(kind == UH_NUMBER_LARGE || expected == value);
        free(copy);
    }
}

static void check_control(uhttp_str s)
{
    const char *end = s.ptr + s.len;
    const char *p = s.ptr;
    for (;;) {
        const char *q = p;
        while (q < end && !uh_char_is_control(*q))
            q++;
        promise(uh_text_until_control(p, end) == q);
        if (q == end)
            break;
        p = q + 1;
    }
}

static void check_token(uhttp_str s)
{
    const char *end = s.ptr + s.len;
    for (const char *p = s.ptr; p < end; p++) {
        const char *q = p;
        while (q < end && uh_char_is(*q, UH_IS_TOKEN))
            q++;
        promise(uh_text_token(p, end) == q);
        const char *rare = uh_text_until_rare(p, end);
        promise(rare <= q && (!UH_VECTOR || rare == q || end - rare < UH_VECTOR_BYTES ||
                              (!uh_char_is_scheme(*rare) || *rare == '+')));
        p = q < end ? q : end - 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *block = (char *)malloc(size > 0 ? size : 1);
    promise(block != NULL);
    block[0] = '\0';
    if (size > 0)
        memcpy(block, data, size);
    char *begin = size > 0 ? block : block + 1;
    uhttp_str s = uh_text_slice(begin, begin + size);
    check_percent(s, false);
    check_percent(s, true);
    check_url(s);
    check_query(s);
    check_list(s);
    check_fields(s);
    check_host(s);
    check_number(s);
    check_control(s);
    check_token(s);
    free(block);
    return 0;
}
