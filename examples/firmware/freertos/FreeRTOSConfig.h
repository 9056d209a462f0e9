/* FreeRTOSConfig.h - FreeRTOS on mps2-an385: preemptive, one tick a millisecond */
#ifndef FREERTOS_CONFIG_H
#define FREERTOS_CONFIG_H

#define configUSE_PREEMPTION                    1
#define configCPU_CLOCK_HZ                      25000000u
#define configTICK_RATE_HZ                      1000u
#define configTICK_TYPE_WIDTH_IN_BITS           TICK_TYPE_WIDTH_32_BITS
#define configUSE_16_BIT_TICKS                  0       /* the same, to kernels before 11 */
#define configMAX_PRIORITIES                    5
#define configMINIMAL_STACK_SIZE                128     /* words: of the idle task */
#define configMAX_TASK_NAME_LEN                 8
#define configIDLE_SHOULD_YIELD                 1
#define configUSE_MUTEXES                       1       /* lwIP's core lock */
#define configUSE_RECURSIVE_MUTEXES             1
#define configUSE_COUNTING_SEMAPHORES           1
#define configUSE_TIMERS                        0
#define configUSE_IDLE_HOOK                     0
#define configUSE_TICK_HOOK                     0
#define configUSE_TRACE_FACILITY                0
#define configNUM_THREAD_LOCAL_STORAGE_POINTERS 1       /* lwIP's sys_arch wants it */
#define configCHECK_FOR_STACK_OVERFLOW          2
#define configUSE_MALLOC_FAILED_HOOK            0
#define configSUPPORT_STATIC_ALLOCATION         0
#define configSUPPORT_DYNAMIC_ALLOCATION        1
/* Tasks, their stacks (7 KB), and lwIP's semaphores and mailboxes; the server itself takes nothing
 * from it. GET /api/status tells how much was never used. */
#define configTOTAL_HEAP_SIZE                   24576u

/* Three bits of priority; interrupts that call the kernel are not above 2. */
#define configPRIO_BITS                         3
#define configKERNEL_INTERRUPT_PRIORITY         (7u << 5)
#define configMAX_SYSCALL_INTERRUPT_PRIORITY    (2u << 5)
#define configCHECK_HANDLER_INSTALLATION        0       /* the handlers are in board.c */

#define INCLUDE_vTaskDelay                      1
#define INCLUDE_vTaskDelete                     1
#define INCLUDE_vTaskSuspend                    1
#define INCLUDE_uxTaskGetStackHighWaterMark     1
#define INCLUDE_xTaskGetCurrentTaskHandle       1
#define INCLUDE_xTaskGetSchedulerState          1

void board_die(const char *text);
#define configASSERT(truth) do { if (!(truth)) board_die("FreeRTOS: assertion"); } while (0)

#endif
