/* ethernet_lan9118.c - SMSC LAN9118, as on the MPS2 boards, polled */
#include "board.h"

#include "lwip/pbuf.h"

#define LAN             0x40200000u
#define RX_DATA         0x00
#define TX_DATA         0x20
#define RX_STATUS       0x40
#define TX_STATUS       0x48
#define INT_CONFIG      0x54
#define INT_STATUS      0x58
#define INT_ENABLE      0x5c
#define BYTE_TEST       0x64
#define FIFO_INT        0x68
#define TX_CONFIG       0x70
#define HW_CONFIG       0x74
#define RX_FIFO_INFO    0x7c
#define MAC_COMMAND     0xa4
#define MAC_DATA        0xa8

#define RX_STATUS_LEVEL (1u << 3)       /* INT_STATUS, INT_ENABLE: more frames than FIFO_INT */
#define MAC_BUSY        (1u << 31)
#define MAC_READ        (1u << 30)
#define MAC_CONTROL     1u              /* index of MAC_CR */
#define MAC_HIGH        2u              /* ADDRH */
#define MAC_LOW         3u              /* ADDRL */
#define CHECKSUM        4u              /* behind each received frame */

static uint32_t mac_read(uint32_t index)
{
    BOARD_REGISTER(LAN + MAC_COMMAND) = MAC_BUSY | MAC_READ | index;
    while (BOARD_REGISTER(LAN + MAC_COMMAND) & MAC_BUSY) {
    }
    return BOARD_REGISTER(LAN + MAC_DATA);
}

static void mac_write(uint32_t index, uint32_t value)
{
    BOARD_REGISTER(LAN + MAC_DATA) = value;
    BOARD_REGISTER(LAN + MAC_COMMAND) = MAC_BUSY | index;
    while (BOARD_REGISTER(LAN + MAC_COMMAND) & MAC_BUSY) {
    }
}

void ethernet_init(uint8_t *mac)
{
    if (BOARD_REGISTER(LAN + BYTE_TEST) != 0x87654321u)
        board_die("no LAN9118");
    uint32_t low = mac_read(MAC_LOW);
    uint32_t high = mac_read(MAC_HIGH);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)(i < 4 ? low >> (8 * i) : high >> (8 * (i - 4)));
    BOARD_REGISTER(LAN + HW_CONFIG) |= 1u << 20;        /* must be one */
    BOARD_REGISTER(LAN + TX_CONFIG) = 2;                /* send */
    BOARD_REGISTER(LAN + FIFO_INT) = 0;                 /* interrupt from the first frame on */
    BOARD_REGISTER(LAN + INT_CONFIG) = 1u << 8 | 1u << 4 | 1u;   /* on, active high, push-pull */
    mac_write(MAC_CONTROL, 1u << 20 | 1u << 3 | 1u << 2);   /* full duplex, send, receive */
}

bool ethernet_has_frame(void)
{
    return (BOARD_REGISTER(LAN + RX_FIFO_INFO) >> 16 & 0xffu) != 0;
}

void ethernet_interrupt(bool on)
{
    BOARD_REGISTER(LAN + INT_ENABLE) = on ? RX_STATUS_LEVEL : 0;
    if (!on)
        BOARD_REGISTER(LAN + INT_STATUS) = RX_STATUS_LEVEL;
}

struct pbuf *ethernet_receive(void)
{
    uint32_t length = (BOARD_REGISTER(LAN + RX_STATUS) >> 16 & 0x3fffu) - CHECKSUM;
    struct pbuf *frame = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_POOL);
    struct pbuf *p = frame;
    uint16_t at = 0;
    for (uint32_t i = 0; i < length + CHECKSUM; i += 4) {
        uint32_t word = BOARD_REGISTER(LAN + RX_DATA);
        for (uint32_t k = i; k < i + 4 && k < length && p != NULL; k++) {
            ((uint8_t *)p->payload)[at++] = (uint8_t)word;
            word >>= 8;
            if (at == p->len) {
                p = p->next;
                at = 0;
            }
        }
    }
    return frame;
}

err_t ethernet_send(struct netif *netif, struct pbuf *frame)
{
    uint32_t word = 0;
    uint32_t in_word = 0;
    (void)netif;
    BOARD_REGISTER(LAN + TX_DATA) = frame->tot_len | 1u << 13 | 1u << 12;  /* first and last */
    BOARD_REGISTER(LAN + TX_DATA) = frame->tot_len;
    for (const struct pbuf *p = frame; p != NULL; p = p->next) {
        const uint8_t *data = (const uint8_t *)p->payload;
        for (uint16_t i = 0; i < p->len; i++) {
            word |= (uint32_t)data[i] << (8 * in_word);
            if (++in_word == 4) {
                BOARD_REGISTER(LAN + TX_DATA) = word;
                word = in_word = 0;
            }
        }
    }
    if (in_word > 0)
        BOARD_REGISTER(LAN + TX_DATA) = word;
    (void)BOARD_REGISTER(LAN + TX_STATUS);      /* or its FIFO fills up */
    return ERR_OK;
}
