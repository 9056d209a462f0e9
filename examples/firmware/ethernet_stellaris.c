/* ethernet_stellaris.c - the Ethernet controller of the LM3S6965, polled: no DMA, the processor
 * moves each word */
#include "board.h"

#include "lwip/pbuf.h"

#define MAC             0x40048000u
#define INTERRUPTS      0x00        /* MACRIS, MACIACK */
#define INTERRUPT_MASK  0x04        /* MACIM */
#define RECEIVE         0x08        /* MACRCTL */
#define TRANSMIT        0x0c        /* MACTCTL */
#define DATA            0x10        /* MACDATA: the FIFOs */
#define ADDRESS_LOW     0x14        /* MACIA0 */
#define ADDRESS_HIGH    0x18        /* MACIA1 */
#define FRAMES          0x34        /* MACNP: received and not yet read */
#define START           0x38        /* MACTR */

#define RECEIVED        1u          /* in INTERRUPTS and INTERRUPT_MASK */
#define HEADER          14u         /* of Ethernet; not counted in a sent frame's length */
#define CHECKSUM        4u          /* behind each received frame */

void ethernet_init(uint8_t *mac)
{
    uint32_t low = BOARD_REGISTER(MAC + ADDRESS_LOW);
    uint32_t high = BOARD_REGISTER(MAC + ADDRESS_HIGH);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)(i < 4 ? low >> (8 * i) : high >> (8 * (i - 4)));
    BOARD_REGISTER(MAC + RECEIVE) = 1;
    BOARD_REGISTER(MAC + TRANSMIT) = 1;
}

bool ethernet_has_frame(void)
{
    return BOARD_REGISTER(MAC + FRAMES) != 0;
}

void ethernet_interrupt(bool on)
{
    BOARD_REGISTER(MAC + INTERRUPT_MASK) = on ? RECEIVED : 0;
    if (!on)
        BOARD_REGISTER(MAC + INTERRUPTS) = RECEIVED;
}

/* The FIFO begins with a length of 16 bits, so that what follows is off by two bytes. */
struct pbuf *ethernet_receive(void)
{
    uint32_t word = BOARD_REGISTER(MAC + DATA);
    uint32_t length = (word & 0xffffu) - 2u - CHECKSUM;
    struct pbuf *frame = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_POOL);
    struct pbuf *p = frame;
    uint32_t in_word = 2;
    uint16_t at = 0;
    word >>= 16;
    for (uint32_t i = 0; i < length + CHECKSUM; i++) {
        if (in_word == 0) {
            word = BOARD_REGISTER(MAC + DATA);
            in_word = 4;
        }
        if (p != NULL && i < length) {
            ((uint8_t *)p->payload)[at++] = (uint8_t)word;
            if (at == p->len) {
                p = p->next;
                at = 0;
            }
        }
        word >>= 8;
        in_word--;
    }
    return frame;
}

err_t ethernet_send(struct netif *netif, struct pbuf *frame)
{
    uint32_t word = frame->tot_len - HEADER;
    uint32_t in_word = 2;
    (void)netif;
    for (const struct pbuf *p = frame; p != NULL; p = p->next) {
        const uint8_t *data = (const uint8_t *)p->payload;
        for (uint16_t i = 0; i < p->len; i++) {
            word |= (uint32_t)data[i] << (8 * in_word);
            if (++in_word == 4) {
                BOARD_REGISTER(MAC + DATA) = word;
                word = in_word = 0;
            }
        }
    }
    if (in_word > 0)
        BOARD_REGISTER(MAC + DATA) = word;
    BOARD_REGISTER(MAC + START) = 1;
    return ERR_OK;
}
