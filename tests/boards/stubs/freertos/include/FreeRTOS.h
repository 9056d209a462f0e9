/* What examples/firmware/freertos uses of FreeRTOS, as its reference documents it: to compile
 * against where there is no kernel. */
#ifndef INC_FREERTOS_H
#define INC_FREERTOS_H

#include "FreeRTOSConfig.h"

#include <stddef.h>
#include <stdint.h>

typedef long BaseType_t;
typedef unsigned long UBaseType_t;
typedef uint32_t StackType_t;
typedef uint32_t TickType_t;

#define pdFALSE         ((BaseType_t)0)
#define pdTRUE          ((BaseType_t)1)
#define pdMS_TO_TICKS(ms) ((TickType_t)((uint64_t)(ms) * configTICK_RATE_HZ / 1000u))
#define portYIELD_FROM_ISR(wanted) ((void)(wanted))

size_t xPortGetMinimumEverFreeHeapSize(void);

#endif
