#ifndef CREFUSAL_H
#define CREFUSAL_H

#include <stdbool.h>

/* From now on io_uring_enter(2) takes nothing from this thread and answers EAGAIN, as a kernel without
 * memory does; or it works again. */
void refuse_enters(bool refuses);

/* From now on io_uring_setup(2) answers this thread, and whatever processes it starts, with EPERM, as
 * Docker's default seccomp profile does; with `old_too` epoll_pwait2(2) as well, which profiles of
 * before Linux 5.11 do not know. Returns 0 or -errno. */
int refuse_rings(bool old_too);

#endif
