#ifndef CREFUSAL_H
#define CREFUSAL_H

#include <stdbool.h>

/* From now on io_uring_enter(2) takes nothing from this thread and answers EAGAIN, as a kernel without
 * memory does; or it works again. */
void refuse_enters(bool refuses);

#endif
