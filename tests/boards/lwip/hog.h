/* hog.h - takes lwIP's memory away, to see what is left of a server without it */
#ifndef HOG_H
#define HOG_H

#define HOG_HEAP      1u        /* what is sent and not acknowledged, and datagrams */
#define HOG_PACKETS   2u        /* what is received */
#define HOG_SEGMENTS  4u
#define HOG_NETBUFS   8u        /* datagrams received */
#define HOG_CALLBACKS 16u       /* messages to lwIP's thread */

void hog_take(unsigned what);   /* all there is now, of each of these */
void hog_give(void);            /* all that was taken */

#endif
