/* main.c - the server as a task of FreeRTOS, preemptive; lwIP runs in a task of its own, through
 * the sys_arch of its contrib/ports/freertos
 *
 * A third task hands received frames to lwIP, woken by the interrupt. A fourth wakes the server ten
 * times a second, as a task of a product does that has something to tell it.
 */
#include "board.h"
#include "system.h"

#include "FreeRTOS.h"
#include "task.h"

#ifdef UHTTP_TLS
#define STACK 1536              /* words: 6 KiB, as in bare/main.c */
#else
#define STACK 512
#endif

enum { WAKING = 1, SERVING, RECEIVING };    /* priorities; TCPIP_THREAD_PRIO is 3 as well */

static TaskHandle_t server_task, frame_task, wake_task;

void system_pause(void)
{
    vTaskDelay(1);
}

static uint32_t stack_left(TaskHandle_t task)
{
    return (uint32_t)uxTaskGetStackHighWaterMark(task) * sizeof(StackType_t);
}

void system_status(uhttp_json_writer *w)
{
    uhttp_json_key(w, "stack_server");
    uhttp_json_uint(w, STACK * sizeof(StackType_t) - stack_left(server_task));
    uhttp_json_key(w, "freertos_heap_least");
    uhttp_json_uint(w, xPortGetMinimumEverFreeHeapSize());
}

uint32_t system_stack_left(void)
{
    uint32_t server = stack_left(server_task);
    uint32_t frames = stack_left(frame_task);
    return server < frames ? server : frames;
}

void vApplicationStackOverflowHook(TaskHandle_t task, char *name);
void vApplicationStackOverflowHook(TaskHandle_t task, char *name)
{
    (void)task;
    board_die(name);
}

void freertos_on_frame(void);
void freertos_on_frame(void)
{
    BaseType_t changes = pdFALSE;
    vTaskNotifyGiveFromISR(frame_task, &changes);
    portYIELD_FROM_ISR(changes);
}

/* Once in ten milliseconds it looks without being woken, too. */
static void receive(void *argument)
{
    (void)argument;
    for (;;) {
        while (board_poll()) {
        }
        ethernet_interrupt(true);
        (void)ulTaskNotifyTake(pdTRUE, pdMS_TO_TICKS(10));
    }
}

static void wake(void *argument)
{
    (void)argument;
    for (;;) {
        vTaskDelay(pdMS_TO_TICKS(100));
        server_wakeup();
    }
}

static void serve(void *argument)
{
    (void)argument;
    server_run();
}

int main(void)
{
    board_init();
    xTaskCreate(serve, "server", STACK, NULL, SERVING, &server_task);
    xTaskCreate(receive, "frames", 256, NULL, RECEIVING, &frame_task);
    xTaskCreate(wake, "wake", 256, NULL, WAKING, &wake_task);
    vTaskStartScheduler();
    return 1;       /* no memory for the idle task */
}
