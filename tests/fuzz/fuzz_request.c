/* What surrounds a request, for any bytes; the first byte says which reader is asked:
 *
 *   - cookies are slices of the text, each behind the one before, without white space around
 *     them and without a semicolon;
 *   - base64 that is decoded encodes to the same text again, and decodes the same in place;
 *   - the captures of a path are slices of it, in order, and put into the pattern give the path;
 *   - an address that is read is written and read again as the same, and is in its own network;
 *   - a form is refused, or its list of strings is what decoding pair by pair gives, and it
 *     takes no more room than it said;
 *   - a line of the access log fits or is refused, and contains only printable ASCII;
 *   - nothing is read or written outside the texts (each is a block of its own). */
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

/* A copy in a block of just that size. */
static char *copy_of(uhttp_str s, size_t room)
{
    char *copy = (char *)malloc(room > 0 ? room : 1);
    promise(copy != NULL && s.len <= (room > 0 ? room : 1));
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

static bool has(uhttp_str s, char c)
{
    return s.len > 0 && memchr(s.ptr, c, s.len) != NULL;
}

static void check_cookies(uhttp_str s)
{
    const char *p = s.ptr;
    const char *end = uh_text_end(s);
    uhttp_str rest = s;
    uhttp_str name, value;
    while (uhttp_cookie_next(&rest, &name, &value)) {
        promise(name.ptr >= p && name.ptr + name.len < value.ptr);
        p = value.ptr + value.len;
        promise(p <= end && rest.ptr >= p && uh_text_end(rest) == end);
        promise(!has(name, ';') && !has(name, '=') && !has(value, ';'));
        promise(uh_text_trim(name).len == name.len && uh_text_trim(value).len == value.len);
    }
    promise(rest.len == 0);
}

static void check_base64(uhttp_str s)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = copy_of(uh_text_slice(s.ptr, s.ptr), s.len / 4 * 3);
    char *copy = copy_of(s, s.len);
    size_t length = 0, again = 0;
    uhttp_result result = uhttp_base64_decode(s, out, &length);
    uhttp_str in_place = uh_text_slice(copy, copy + s.len);
    promise(uhttp_base64_decode(in_place, copy, &again) == result);
    for (size_t i = 0; result == UHTTP_OK && i < length; i += 3) {
        const uint8_t *b = (const uint8_t *)out + i;
        size_t n = length - i < 3 ? length - i : 3;
        uint32_t bits = (uint32_t)b[0] << 16 | (n > 1 ? (uint32_t)b[1] << 8 : 0) |
                        (n > 2 ? b[2] : 0u);
        for (size_t k = 0; k < 4; k++)
            promise(s.ptr[i / 3 * 4 + k] == (k <= n ? digits[bits >> (18 - 6 * k) & 63] : '='));
    }
    promise(result != UHTTP_OK ||
            (length == again && memcmp(out, copy, length) == 0 && s.len == (length + 2) / 3 * 4));
    free(copy);
    free(out);
}

/* The pattern stands before the first NUL, the path behind it. */
static void check_path(uhttp_str s)
{
    char *pattern = copy_of(s, s.len + 1);
    pattern[s.len] = '\0';
    size_t split = strlen(pattern);
    const char *path = split < s.len ? pattern + split + 1 : pattern + split;
    const char *end = path + strlen(path);
    uhttp_str captures[8];
    size_t count = 0;
    memset(captures, 0, sizeof captures);
    bool matches = uh_path_matches(path, pattern, captures, 8);
    promise(uh_path_matches(path, pattern, NULL, 0) == matches);
    const char *p = path;
    const char *at = pattern;
    for (; matches && count < 8 && captures[count].ptr != NULL; count++) {
        while (p < captures[count].ptr)         /* what stands for itself */
            promise(*p++ == *at++);
        promise(captures[count].ptr == p && captures[count].len <= (size_t)(end - p));
        promise(*at == ':' ? captures[count].len > 0 && !has(captures[count], '/')
                           : *at == '*' && at[1] == '\0');
        p += captures[count].len;
        at += *at == ':' ? strcspn(at, "/") : 1;
    }
    promise(!matches || count == 8 || strcmp(p, at) == 0);
    free(pattern);
}

/* Reads them as a server does at open, which must find as many as it has counted. */
static bool networks_hold(const char *networks, const uh_peer *peer)
{
    uhttp_str bad;
    uint32_t count = uh_networks_parse(networks, NULL, &bad);
    if (count == UH_NETWORKS_BAD)
        return false;
    uh_network *list = (uh_network *)calloc((size_t)count + 1, sizeof *list);
    promise(list != NULL && uh_networks_parse(networks, list, &bad) == count);
    bool holds = uh_networks_hold(list, count, peer);
    free(list);
    return holds;
}

static void check_addresses(uhttp_str s)
{
    uh_peer peer, again;
    uhttp_str bad;
    char text[64];
    if (uh_text_forwarded(s, &peer)) {
        size_t length = uh_peer_format(&peer, text, sizeof text);
        promise(length > 0 && uh_peer_parse(uh_text_of(text), &again));
        promise(memcmp(&peer, &again, sizeof peer) == 0);
        promise(networks_hold(text, &peer));
    }
    char *list = copy_of(s, s.len + 1);
    list[s.len] = '\0';
    memset(&peer, 0, sizeof peer);
    promise(!networks_hold(list, &peer) || strstr(list, "unix") != NULL);
    peer.family = 4;
    memcpy(peer.address, "\x7f\0\0\1", 4);
    (void)networks_hold(list, &peer);
    promise(uh_networks_parse(list, NULL, &bad) != UH_NETWORKS_BAD ||
            (bad.len > 0 && bad.ptr >= list && uh_text_end(bad) <= list + s.len));
    free(list);
}

static void check_form(uhttp_str s)
{
    uint32_t bare = 0;
    uint32_t at = 0;
    uhttp_str rest = s;
    uhttp_str name, value;
    const char *n, *v;
    if (!uh_form_is_good(s, &bare))
        return;
    char *form = copy_of(s, s.len + bare + 1);
    char *piece = copy_of(uh_text_slice(s.ptr, s.ptr), s.len);
    uint32_t made = uh_form_convert(form, s.len, bare);
    promise(made <= s.len + bare + 1);
    while (uhttp_query_next(&rest, &name, &value)) {
        size_t length;
        promise(uh_strings_step(form, form + made, &at, &n, &v) && at <= made);
        promise(uhttp_percent_decode(name, true, piece, &length) == UHTTP_OK);
        promise(strlen(n) == length && memcmp(n, piece, length) == 0);
        promise(uhttp_percent_decode(value, true, piece, &length) == UHTTP_OK);
        promise(strlen(v) == length && memcmp(v, piece, length) == 0);
    }
    promise(at == made && !uh_strings_step(form, form + made, &at, &n, &v));
    free(piece);
    free(form);
}

static void check_log(uhttp_str s)
{
    char *url = copy_of(s, s.len + 1);
    url[s.len] = '\0';
    uhttp_access entry;
    memset(&entry, 0, sizeof entry);
    entry.address = "192.0.2.1";
    entry.method = "GET";
    entry.url = url;
    entry.status = 200;
    entry.time_s = (int64_t)s.len * 1000003;
    size_t size = s.len % 160;
    char *line = (char *)malloc(size > 0 ? size : 1);
    promise(line != NULL);
    int length = uhttp_access_format(&entry, line, size);
    promise(length == UHTTP_ERR_MEMORY || (length > 50 && (size_t)length < size));
    for (int i = 0; i < length; i++)
        promise(line[i] >= ' ' && line[i] <= '~');
    promise(length < 0 || line[length] == '\0');
    free(line);
    free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(uhttp_str) = { check_cookies, check_base64, check_path,
                                                 check_addresses, check_form, check_log };
    if (size == 0)
        return 0;
    char *block = (char *)malloc(size > 1 ? size - 1 : 1);
    promise(block != NULL);
    if (size > 1)
        memcpy(block, data + 1, size - 1);
    checks[data[0] % 6](uh_text_slice(block, block + size - 1));
    free(block);
    return 0;
}
