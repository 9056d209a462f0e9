/* What the tests of section 05 share: the implementation itself, inputs behind which nothing
 * can be read unnoticed, and random bytes that are the same in every run. */
#ifndef TEXT_H
#define TEXT_H

#ifndef UHTTP_ASSERT
#define UHTTP_ASSERT(truth) ((truth) ? (void)0 : abort())
#endif
#ifndef UHTTP_STATIC
#define UHTTP_STATIC
#endif
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A slice in a table; the literal may contain NUL. */
#define TEXT(literal) { literal, sizeof literal - 1 }

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* A test is one line of the table of its file. */
#define TEST(name) cmocka_unit_test(name)

/*--- inputs ---------------------------------------------------------------------------*/

/* A copy in a block of just that size, so that a sanitizer sees any read outside. */
static inline uhttp_str text_exact(const char *p, size_t length)
{
    uhttp_str s;
    char *block = (char *)malloc(length > 0 ? length : 1);
    if (block == NULL)
        abort();
    block[0] = '\0';
    if (length > 0)
        memcpy(block, p, length);
    s.ptr = length > 0 ? block : block + 1;     /* behind a block, where nothing is */
    s.len = length;
    return s;
}

/* The same bytes, to be written to. */
static inline char *text_mutable(uhttp_str s)
{
    return (char *)(uintptr_t)s.ptr;
}

static inline void text_free(uhttp_str s)
{
    free(text_mutable(s) - (s.len > 0 ? 0 : 1));
}

static inline uhttp_str text_slice(const char *p, size_t length)
{
    uhttp_str s;
    s.ptr = p;
    s.len = length;
    return s;
}

/* Appends to a text in a buffer that is known to suffice. */
static inline size_t text_append(char *buffer, size_t at, uhttp_str s)
{
    if (s.len > 0)
        memcpy(buffer + at, s.ptr, s.len);
    return at + s.len;
}

static inline size_t text_append_string(char *buffer, size_t at, const char *string)
{
    return text_append(buffer, at, text_slice(string, strlen(string)));
}

/*--- judgement ------------------------------------------------------------------------*/

static inline bool text_equal(uhttp_str s, uhttp_str other)
{
    return s.len == other.len && (s.len == 0 || memcmp(s.ptr, other.ptr, s.len) == 0);
}

/* Is s this string? NULL: absent. */
static inline bool text_is(uhttp_str s, const char *string)
{
    if (string == NULL || s.ptr == NULL)
        return string == NULL && s.ptr == NULL && s.len == 0;
    return text_equal(s, text_slice(string, strlen(string)));
}

static inline bool text_lies_in(uhttp_str s, uhttp_str whole)
{
    return s.ptr >= whole.ptr && s.ptr <= whole.ptr + whole.len &&
           s.len <= (size_t)(whole.ptr + whole.len - s.ptr);
}

static inline void text_fail(uhttp_str s, const char *what, const char *file, int line)
{
    char shown[1000];
    size_t at = 0;
    for (size_t i = 0; i < s.len && at + 8 < sizeof shown; i++) {
        unsigned char u = (unsigned char)s.ptr[i];
        if (u == '\r' || u == '\n')
            at += (size_t)snprintf(shown + at, 8, "\\%c", u == '\r' ? 'r' : 'n');
        else
            at += (size_t)snprintf(shown + at, 8, u < 0x20 || u > 0x7e ? "\\x%02x" : "%c", u);
    }
    shown[at] = '\0';
    print_error("%s:%d: not so: %s\n    with: %s%s\n", file, line, what, shown,
                at + 8 >= sizeof shown ? "..." : "");
    fail();
}

/* What holds for the text s; a failure shows it. */
#define assert_for(s, truth)                                \
    do {                                                    \
        if (!(truth))                                       \
            text_fail((s), #truth, __FILE__, __LINE__);     \
    } while (0)

/* Is the peer in one of these networks, which are read as a server does at open? */
static inline bool text_networks_hold(const char *networks, const uh_peer *peer)
{
    uhttp_str bad;
    uint32_t count = uh_networks_parse(networks, NULL, &bad);
    if (count == UH_NETWORKS_BAD)
        return false;
    uh_network *list = (uh_network *)calloc((size_t)count + 1, sizeof *list);
    if (list == NULL)
        abort();
    bool holds = uh_networks_parse(networks, list, &bad) == count &&
                 uh_networks_hold(list, count, peer);
    free(list);
    return holds;
}

/*--- chance ---------------------------------------------------------------------------*/

static uint64_t random_state;

/* Each test begins with a number of its own and so does not depend on those before. */
static inline void random_begin(uint64_t seed)
{
    random_state = seed * 2 + 1;
}

static inline uint32_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 2685821657736338717u) >> 32);
}

/* 0 to n - 1 */
static inline uint32_t random_below(size_t n)
{
    return random_next() % (uint32_t)n;
}

/* Bytes of which most come from favourites, where the interesting ones are. */
static inline void random_text(char *to, size_t length, const char *favourites)
{
    for (size_t i = 0; i < length; i++)
        to[i] = random_below(8) > 0 ? favourites[random_below(strlen(favourites))]
                                    : (char)(unsigned char)random_below(256);
}

#endif
