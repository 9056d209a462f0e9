/* board.h - the few things every board has: a clock, a UART, an Ethernet device
 *
 * board.c is common to both boards, ethernet_stellaris.c and ethernet_lan9118.c drive what
 * they have for Ethernet. All of it is written for QEMU's boards lm3s6965evb and mps2-an385. A
 * real one also needs clock, pins and PHY, and a driver that asks the device for checksums, waits
 * until it has sent a frame, and looks at the errors it reports.
 */
#ifndef BOARD_H
#define BOARD_H

#include "lwip/netif.h"

#include <stdbool.h>
#include <stdint.h>

#define BOARD_REGISTER(address) (*(volatile uint32_t *)(address))

extern volatile uint32_t board_ms;      /* since the start; may wrap */
extern uint32_t board_frames_lost;      /* came when no pbuf was free */

/* Clock, UART and Ethernet. */
void board_init(void);

/* Writes to the UART. */
void board_say(const char *text);

/* Ends the emulator with a status of 0 or 1; a product restarts here. */
void board_exit(int status);
void board_die(const char *text);

/* NOT RANDOM: the emulated boards have no source of it. A product asks its generator, for TCP's
 * sequence numbers and even more for TLS. */
uint32_t board_random(void);

/* Hands one frame that has come to lwIP; false: there is none. */
bool board_poll(void);

/* Sleeps until an interrupt: at the latest the clock's, at once if a frame is there. */
void board_sleep(void);

/* For netif_add(). */
err_t board_netif_init(struct netif *netif);

/* The image in flash. */
extern const uint8_t board_image_begin[], board_image_end[];

/*--- what an Ethernet driver gives to board.c ---------------------------------------*/

void ethernet_init(uint8_t *mac);           /* and the device's own address */
bool ethernet_has_frame(void);
void ethernet_interrupt(bool on);           /* an interrupt as long as a frame is there */
struct pbuf *ethernet_receive(void);        /* NULL: no pbuf was free, the frame is dropped */
err_t ethernet_send(struct netif *netif, struct pbuf *frame);

#endif
