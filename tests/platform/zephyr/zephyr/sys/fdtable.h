/* See kernel.h. */
#ifndef ZEPHYR_STUB_FDTABLE_H
#define ZEPHYR_STUB_FDTABLE_H

#define ZVFS_F_GETFL    3
#define ZVFS_F_SETFL    4
#define ZVFS_O_NONBLOCK 0x4000

#endif
