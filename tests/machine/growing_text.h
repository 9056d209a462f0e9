/* growing_text.h - a text of bytes that grows, with a NUL behind it. CHECK() is the test's own. */
#ifndef GROWING_TEXT_H
#define GROWING_TEXT_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *data;
    size_t length, size;
} text;

static void text_add(text *t, const void *bytes, size_t length)
{
    if (t->length + length + 1 > t->size) {
        t->size = (t->length + length + 1) * 2;
        t->data = (char *)realloc(t->data, t->size);
        if (t->data == NULL)
            abort();
    }
    if (length > 0)
        memcpy(t->data + t->length, bytes, length);
    t->length += length;
    t->data[t->length] = '\0';
}

__attribute__((format(printf, 2, 3)))
static void text_print(text *t, const char *format, ...)
{
    char line[2048];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    CHECK(n >= 0 && (size_t)n < sizeof line);
    text_add(t, line, (size_t)n);
}

static void text_clear(text *t)
{
    t->length = 0;
    text_add(t, "", 0);
}

static void text_free(text *t)
{
    free(t->data);
    memset(t, 0, sizeof *t);
}

#endif
