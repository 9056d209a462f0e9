/* board.c - see board.h: vectors, start, clock, UART, the way out, and the network interface */
#include "board.h"

#include "lwip/etharp.h"
#include "lwip/pbuf.h"
#include "netif/ethernet.h"

#include <string.h>

#ifdef BOARD_LM3S6965EVB
#define UART            0x4000c000u
#define CLOCK_HZ        12500000u   /* of the SysTick timer as QEMU runs it */
#define ETHERNET_IRQ    42
#else
#define UART            0x40004000u
#define CLOCK_HZ        25000000u
#define ETHERNET_IRQ    13
#endif

#define SYSTICK_CONTROL 0xe000e010u
#define SYSTICK_RELOAD  0xe000e014u
#define SYSTICK_VALUE   0xe000e018u
#define NVIC_ENABLE(n)  (0xe000e100u + 4u * ((n) / 32u))
#define NVIC_LEVEL(n)   (0xe000e400u + ((n) & ~3u))     /* a byte for each interrupt */

int main(void);
void board_reset(void);

/* From the linker script. */
extern uint32_t board_stack_top;
extern uint32_t board_data_from, board_data_begin, board_data_end;
extern uint32_t board_bss_begin, board_bss_end;

volatile uint32_t board_ms;
uint32_t board_frames_lost;
static struct netif *network;

/*--- start and interrupts --------------------------------------------------------*/

void board_reset(void)
{
    const uint32_t *from = &board_data_from;
    for (uint32_t *to = &board_data_begin; to < &board_data_end; )
        *to++ = *from++;
    for (uint32_t *to = &board_bss_begin; to < &board_bss_end; )
        *to++ = 0;
    board_exit(main());
}

static void on_fault(void)
{
    board_die("fault");
}

#ifdef BOARD_FREERTOS

void vPortSVCHandler(void);
void xPortPendSVHandler(void);
void xPortSysTickHandler(void);
void freertos_on_frame(void);           /* in freertos/main.c */

static void on_tick(void)
{
    board_ms++;
    xPortSysTickHandler();
}

/* Frames are fetched by a task; the interrupt only wakes it. */
static void on_ethernet(void)
{
    ethernet_interrupt(false);
    freertos_on_frame();
}

#define ON_SVC    vPortSVCHandler
#define ON_PENDSV xPortPendSVHandler

#else

static void on_tick(void)
{
    board_ms++;
}

/* Frames are fetched by board_poll(); the interrupt only ends the sleep. */
static void on_ethernet(void)
{
    ethernet_interrupt(false);
}

#define ON_SVC    on_fault
#define ON_PENDSV on_fault

#endif

__attribute__((section(".vectors"), used)) static void (*const vectors[16 + 48])(void) = {
    (void (*)(void))(uintptr_t)&board_stack_top, board_reset,
    on_fault, on_fault, on_fault, on_fault, on_fault, 0, 0, 0, 0,
    ON_SVC, 0, 0, ON_PENDSV, on_tick,
    [16 + ETHERNET_IRQ] = on_ethernet
};

/*--- clock, UART, the way out ----------------------------------------------------*/

static void init_uart(void)
{
#ifdef BOARD_LM3S6965EVB
    BOARD_REGISTER(UART + 0x30) = 0x301;    /* UARTCTL: enable, send, receive */
#else
    BOARD_REGISTER(UART + 0x10) = 16;       /* BAUDDIV: the least there is */
    BOARD_REGISTER(UART + 0x08) = 1;        /* CTRL: send */
#endif
}

void board_init(void)
{
    init_uart();
#ifndef BOARD_FREERTOS                      /* which sets up the timer itself */
    BOARD_REGISTER(SYSTICK_RELOAD) = CLOCK_HZ / 1000 - 1;
    BOARD_REGISTER(SYSTICK_VALUE) = 0;
    BOARD_REGISTER(SYSTICK_CONTROL) = 7;
#endif
}

void board_say(const char *text)
{
    for (; *text != '\0'; text++)
        BOARD_REGISTER(UART) = (uint8_t)*text;      /* QEMU's UART is never busy */
}

/* Semihosting's SYS_EXIT: the debugger, here QEMU, ends with a status. */
void board_exit(int status)
{
    register uint32_t operation __asm("r0") = 0x18;
    register uint32_t reason __asm("r1") = status == 0 ? 0x20026u : 0x20023u;
    __asm volatile("bkpt 0xab" : : "r"(operation), "r"(reason) : "memory");
    for (;;) {
    }
}

void board_die(const char *text)
{
    board_say("\ndied: ");
    board_say(text);
    board_say("\n");
    board_exit(1);
}

uint32_t board_random(void)
{
    static uint32_t seed = 99;
    seed = seed * 1664525u + 1013904223u;
    return (seed ^ board_ms) >> 4;
}

void board_sleep(void)
{
    __asm volatile("cpsid i" : : : "memory");
    ethernet_interrupt(true);
    if (!ethernet_has_frame())
        __asm volatile("wfi");      /* wakes also while interrupts wait for the next line */
    __asm volatile("cpsie i" : : : "memory");
}

/*--- the network interface -------------------------------------------------------*/

bool board_poll(void)
{
    if (network == NULL || !ethernet_has_frame())
        return false;
    struct pbuf *frame = ethernet_receive();
    if (frame == NULL)
        board_frames_lost++;
    else if (network->input(frame, network) != ERR_OK)
        pbuf_free(frame);
    return true;
}

err_t board_netif_init(struct netif *netif)
{
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->output = etharp_output;
    netif->linkoutput = ethernet_send;
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_LINK_UP |
                   NETIF_FLAG_ETHERNET;
    ethernet_init(netif->hwaddr);
    BOARD_REGISTER(NVIC_LEVEL(ETHERNET_IRQ)) |= 0xe0u << ETHERNET_IRQ % 4 * 8;   /* the lowest */
    BOARD_REGISTER(NVIC_ENABLE(ETHERNET_IRQ)) = 1u << ETHERNET_IRQ % 32;
    network = netif;
    return ERR_OK;
}
