#define _GNU_SOURCE
#include "affinity.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

_Static_assert(sizeof(cpu_set_t) == AFFINITY_WORD_COUNT * sizeof(uint64_t), "1,024 CPUs");

int affinity_get(uint64_t words[AFFINITY_WORD_COUNT])
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return -errno;
	memcpy(words, &set, sizeof(set));
	return 0;
}

int affinity_set(const uint64_t words[AFFINITY_WORD_COUNT])
{
	cpu_set_t set;

	memcpy(&set, words, sizeof(set));
	return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}
