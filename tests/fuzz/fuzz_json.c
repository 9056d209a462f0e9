/* 05g JSON under libFuzzer. Input: a path, NUL, a text (without a NUL it is all text). Promised
 * and asserted: no byte beyond the text is read; valid and find agree; the error stands where
 * no valid text could go on; every value lies in the text and is valid itself; numbers are what
 * the C library reads; what was read can be written again, and then gives the same text. */
#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#define UHTTP_IMPLEMENTATION
#include "../../uhttp_server.h"

#define CHECK(condition) \
    ((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static void check_integer(uhttp_json_value value, const char *text)
{
    bool integer = strpbrk(text, ".eE") == NULL;
    int64_t i64 = 7;
    errno = 0;
    long long whole = strtoll(text, NULL, 10);
    bool fits = integer && errno == 0;
    CHECK((uhttp_json_to_int64(value, &i64) == UHTTP_OK) == fits);
    CHECK(i64 == (fits ? whole : 7));
    int32_t i32 = 7;
    fits = fits && whole >= INT32_MIN && whole <= INT32_MAX;
    CHECK((uhttp_json_to_int32(value, &i32) == UHTTP_OK) == fits);
    CHECK(i32 == (fits ? whole : 7));
    uint64_t u64 = 7;
    errno = 0;
    unsigned long long natural = strtoull(text, NULL, 10);
    fits = integer && errno == 0 && (text[0] != '-' || natural == 0);
    CHECK((uhttp_json_to_uint64(value, &u64) == UHTTP_OK) == fits);
    CHECK(u64 == (fits ? natural : 7));
    uint32_t u32 = 7;
    fits = fits && natural <= UINT32_MAX;
    CHECK((uhttp_json_to_uint32(value, &u32) == UHTTP_OK) == fits);
    CHECK(u32 == (fits ? natural : 7));
}

static void check_number(uhttp_json_value value)
{
    char *text = (char *)malloc(value.text.len + 1);
    memcpy(text, value.text.ptr, value.text.len);
    text[value.text.len] = '\0';
    double number = 7;
    double expected = strtod(text, NULL);
    if (uhttp_json_to_double(value, &number) == UHTTP_OK)
        CHECK(memcmp(&number, &expected, sizeof number) == 0);
    else
        CHECK(number == 7 && (expected > DBL_MAX || expected < -DBL_MAX));
    check_integer(value, text);
    free(text);
}

static void rewrite_string(uhttp_json_writer *w, uhttp_json_value value)
{
    size_t size = value.text.len - 1;
    size_t length = size;
    char *text = (char *)malloc(size);
    CHECK(uhttp_json_to_bytes(value, text, size, &length) == UHTTP_OK);
    CHECK(length < size && text[length] == '\0');
    uhttp_json_string_n(w, text, length);
    bool has_nul = memchr(text, 0, length) != NULL;
    uhttp_result expected = has_nul ? UHTTP_ERR_INVALID : UHTTP_OK;
    CHECK(uhttp_json_equals(value, text) == !has_nul);
    CHECK(uhttp_json_to_string(value, text, size) == expected);
    free(text);
}

/* Writes the value again, if it has no other in it; opens it if it has. */
static void rewrite(uhttp_json_writer *w, uhttp_json_value value)
{
    bool flag = false;
    double number;
    switch (value.type) {
    case UHTTP_JSON_NULL:
        uhttp_json_null(w);
        break;
    case UHTTP_JSON_BOOL:
        CHECK(uhttp_json_to_bool(value, &flag) == UHTTP_OK);
        uhttp_json_bool(w, flag);
        break;
    case UHTTP_JSON_NUMBER:
        check_number(value);
        if (uhttp_json_to_double(value, &number) == UHTTP_OK)
            uhttp_json_double(w, number);
        else
            uhttp_json_raw(w, value.text.ptr, value.text.len);
        break;
    case UHTTP_JSON_STRING:
        rewrite_string(w, value);
        break;
    case UHTTP_JSON_ARRAY:
        uhttp_json_array_begin(w);
        break;
    case UHTTP_JSON_OBJECT:
        uhttp_json_object_begin(w);
        break;
    case UHTTP_JSON_NONE:
        abort();
    }
}

static void rewrite_key(uhttp_json_writer *w, uhttp_json_value key)
{
    size_t length;
    char *text = (char *)malloc(key.text.len);
    CHECK(key.type == UHTTP_JSON_STRING);
    CHECK(uhttp_json_to_bytes(key, text, key.text.len, &length) == UHTTP_OK);
    uhttp_json_key_n(w, text, length);
    free(text);
}

/* Walks over all that is in a value and writes it again. */
static size_t rewrite_all(uhttp_json_value value, char *buffer, size_t size)
{
    uhttp_json_iter open[UHTTP_JSON_MAX_DEPTH];
    bool object[UHTTP_JSON_MAX_DEPTH];
    int depth = 0;
    uhttp_json_writer w;
    uhttp_json_begin(&w, buffer, size);
    for (;;) {
        rewrite(&w, value);
        if (value.type == UHTTP_JSON_ARRAY || value.type == UHTTP_JSON_OBJECT) {
            CHECK(depth < UHTTP_JSON_MAX_DEPTH);
            object[depth] = value.type == UHTTP_JSON_OBJECT;
            open[depth++] = uhttp_json_iterate(value);
        }
        while (depth > 0 && !uhttp_json_next(&open[depth - 1])) {
            depth--;
            if (object[depth])
                uhttp_json_object_end(&w);
            else
                uhttp_json_array_end(&w);
        }
        if (depth == 0)
            break;
        value = open[depth - 1].value;
        CHECK(value.type != UHTTP_JSON_NONE && uhttp_json_valid(value.text, NULL));
        if (object[depth - 1])
            rewrite_key(&w, open[depth - 1].key);
        else
            CHECK(open[depth - 1].key.type == UHTTP_JSON_NONE);
    }
    CHECK(uhttp_json_error(&w) == UHTTP_OK);
    return uhttp_json_length(&w);
}

static void check_error_position(uhttp_str text, size_t position)
{
    size_t at;
    CHECK(position <= text.len);
    uhttp_str before = { text.ptr, position };
    CHECK(uhttp_json_valid(before, &at) || at == position);
    uhttp_str with = { text.ptr, position < text.len ? position + 1 : position };
    CHECK(!uhttp_json_valid(with, &at) && at == position);
}

static void check_rewriting(uhttp_str text, const char *path, bool found)
{
    size_t room = text.len * 24 + 64;       /* a number of few bytes may become a long one */
    char *first = (char *)malloc(room);
    char *second = (char *)malloc(room);
    size_t length = rewrite_all(uhttp_json_find(text, ""), first, room);
    uhttp_str again = { first, length };
    CHECK(uhttp_json_valid(again, NULL));
    CHECK(rewrite_all(uhttp_json_find(again, ""), second, room) == length);
    CHECK(memcmp(first, second, length) == 0);
    CHECK((uhttp_json_find(again, path).type != UHTTP_JSON_NONE) == found);
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64] = "";
    size_t most = size < sizeof path ? size : sizeof path;
    const void *nul = most > 0 ? memchr(data, 0, most) : NULL;
    if (nul != NULL) {
        size_t length = (size_t)((const uint8_t *)nul - data);
        memcpy(path, data, length);
        data += length + 1;
        size -= length + 1;
    }
    char *copy = (char *)malloc(size > 0 ? size : 1);
    memcpy(copy, size > 0 ? (const char *)data : "", size);
    uhttp_str text = { copy, size };
    size_t position;
    bool valid = uhttp_json_valid(text, &position);
    uhttp_json_value found = uhttp_json_find(text, path);
    if (found.type != UHTTP_JSON_NONE) {
        CHECK(found.text.len > 0 && found.text.ptr >= copy);
        CHECK(found.text.ptr + found.text.len <= copy + size);
        CHECK(uhttp_json_valid(found.text, NULL));
    }
    if (valid)
        check_rewriting(text, path, found.type != UHTTP_JSON_NONE);
    else
        check_error_position(text, position);
    free(copy);
    return 0;
}
