/* test_server_fd_set.c - the tests of test_server_descriptors.c with the system's fd_set, as
 * on every system but Linux */
#define UH_OWN_BITMAPS 0
#include "test_server_descriptors.c"
