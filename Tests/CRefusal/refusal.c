#define _GNU_SOURCE
#include "CRefusal.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>

static __thread bool is_refusing;

void refuse_enters(bool refuses)
{
	is_refusing = refuses;
}

/* Stands in front of glibc's for the whole test program. */
long syscall(long number, long a, long b, long c, long d, long e, long f)
{
	static long (*real)(long, long, long, long, long, long, long);

	if (number == __NR_io_uring_enter && is_refusing) {
		errno = EAGAIN;
		return -1;
	}
	if (real == NULL)
		real = (long (*)(long, long, long, long, long, long, long))dlsym(RTLD_NEXT, "syscall");
	return real(number, a, b, c, d, e, f);
}
