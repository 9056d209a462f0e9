/* The chunked decoder, for any bytes:
 *
 *   - gives the same bytes, the same end and the same refusal whether it gets its input
 *     whole, cut anywhere with any room for the output, or decodes in place;
 *   - gives never more than it took, and counts both;
 *   - stops only at the end, at a refusal, or for want of input or room;
 *   - never promises more of a body to come than comes;
 *   - reads and writes nothing outside its blocks.
 *
 * The first two bytes of the input say how it is cut, the others are the body. */
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
    char *block = (char *)malloc(size > 0 ? size : 1);
    promise(block != NULL);
    if (size > 0)
        memcpy(block, data, size);
    return block;
}

typedef struct outcome {
    uhttp_result result;
    size_t used, made;
    char *out;              /* a block of as many bytes as the input has */
} outcome;

static outcome decode_whole(const uint8_t *data, size_t size)
{
    outcome o;
    uhttp_chunked d;
    char *in = copy_of(data, size);
    memset(&d, 0, sizeof d);
    o.out = copy_of(data, size);
    o.used = size;
    o.made = size;
    o.result = uhttp_chunked_decode(&d, in, &o.used, o.out, &o.made);
    promise(o.used <= size && o.made <= o.used);
    promise(o.result != UHTTP_ERR_AGAIN || o.used == size);
    promise(d.data == o.made && d.framing == o.used - o.made);
    free(in);
    return o;
}

/* Pieces and room of any size, each in a block of its own. */
static outcome decode_cut(const uint8_t *data, size_t size, const outcome *whole)
{
    outcome o;
    uhttp_chunked d;
    size_t most = 1 + below(40);
    memset(&d, 0, sizeof d);
    memset(&o, 0, sizeof o);
    o.out = copy_of(data, size);
    o.result = UHTTP_ERR_AGAIN;
    for (size_t visible = 0; o.result == UHTTP_ERR_AGAIN && o.used < size;) {
        visible += below((size - visible < most ? size - visible : most) + 1);
        size_t in = visible - o.used;
        size_t room = below(most + 1);
        size_t used = in;
        size_t made = room;
        char *from = copy_of(data + o.used, in);
        char *to = copy_of("", 0);
        to = (char *)realloc(to, room > 0 ? room : 1);
        promise(to != NULL);
        uint64_t certain = uh_chunk_certain(&d);
        promise(whole->result != UHTTP_OK || certain <= whole->used - o.used);
        o.result = uhttp_chunked_decode(&d, from, &used, to, &made);
        promise(used <= in && made <= room && made <= used);
        promise(o.result != UHTTP_ERR_AGAIN || used == in || made == room);
        promise(made <= size - o.made);
        if (made > 0)
            memcpy(o.out + o.made, to, made);
        o.used += used;
        o.made += made;
        free(to);
        free(from);
    }
    return o;
}

static outcome decode_in_place(const uint8_t *data, size_t size)
{
    outcome o;
    uhttp_chunked d;
    size_t gap = below(4);
    memset(&d, 0, sizeof d);
    memset(&o, 0, sizeof o);
    o.out = (char *)malloc(gap + size + 1);
    promise(o.out != NULL);
    memset(o.out, '?', gap + size + 1);
    if (size > 0)
        memcpy(o.out + gap, data, size);
    o.result = UHTTP_ERR_AGAIN;
    for (size_t visible = 0; o.result == UHTTP_ERR_AGAIN && o.used < size;) {
        visible += 1 + below(size - visible);
        size_t used = visible - o.used;
        size_t made = used;
        o.result = uhttp_chunked_decode(&d, o.out + gap + o.used, &used, o.out + o.made, &made);
        o.used += used;
        o.made += made;
        promise(o.used <= visible && o.made <= o.used);
        promise(o.result != UHTTP_ERR_AGAIN || o.used == visible);
        if (size > o.used)
            promise(memcmp(o.out + gap + o.used, data + o.used, size - o.used) == 0);
    }
    promise(o.out[gap + size] == '?');
    return o;
}

static void check_same(const outcome *whole, const outcome *o)
{
    promise(o->result == whole->result && o->used == whole->used && o->made == whole->made);
    promise(memcmp(o->out, whole->out, o->made) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    chance = (uint32_t)data[0] << 8 | data[1];
    data += 2;
    size -= 2;
    outcome whole = decode_whole(data, size);
    for (int i = 0; i < 2; i++) {
        outcome cut = decode_cut(data, size, &whole);
        outcome in_place = decode_in_place(data, size);
        check_same(&whole, &cut);
        check_same(&whole, &in_place);
        free(in_place.out);
        free(cut.out);
    }
    free(whole.out);
    return 0;
}
