/* See hog.h. */
#include "hog.h"

#include "lwip/mem.h"
#include "lwip/memp.h"
#include "lwip/pbuf.h"

#include <stddef.h>

#define MOST 2000

static struct {
    void *block;
    int pool;           /* -1: the heap */
} taken[MOST];

static int count;
static struct pbuf *packets;

static void keep(void *block, int pool)
{
    taken[count].block = block;
    taken[count++].pool = pool;
}

static void take_pool(memp_t pool)
{
    void *block;
    while (count < MOST && (block = memp_malloc(pool)) != NULL)
        keep(block, pool);
}

static void take_heap(void)
{
    void *block;
    for (mem_size_t size = 4096; size >= 16; size = (mem_size_t)(size / 2))
        while (count < MOST && (block = mem_malloc(size)) != NULL)
            keep(block, -1);
}

void hog_take(unsigned what)
{
    struct pbuf *p;
    if ((what & HOG_HEAP) != 0)
        take_heap();
    if ((what & HOG_SEGMENTS) != 0)
        take_pool(MEMP_TCP_SEG);
    if ((what & HOG_NETBUFS) != 0)
        take_pool(MEMP_NETBUF);
    if ((what & HOG_CALLBACKS) != 0)
        take_pool(MEMP_TCPIP_MSG_API);
    while ((what & HOG_PACKETS) != 0 && (p = pbuf_alloc(PBUF_RAW, 1, PBUF_POOL)) != NULL) {
        p->next = packets;
        packets = p;
    }
}

void hog_give(void)
{
    while (count > 0) {
        count--;
        if (taken[count].pool < 0)
            mem_free(taken[count].block);
        else
            memp_free((memp_t)taken[count].pool, taken[count].block);
    }
    while (packets != NULL) {
        struct pbuf *next = packets->next;
        packets->next = NULL;
        pbuf_free(packets);
        packets = next;
    }
}
