/* test_machine_no_heap.c - those tests of test_machine.c that want fixed memory, with a header
 * that knows no other */
#define UHTTP_NO_HEAP
#include "test_machine.c"
