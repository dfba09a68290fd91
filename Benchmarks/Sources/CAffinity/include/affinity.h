/*
 * sched_setaffinity(2), which glibc shows only with _GNU_SOURCE and so not to Swift.
 */
#ifndef BENCHMARK_AFFINITY_H
#define BENCHMARK_AFFINITY_H

#include <stdint.h>

enum { AFFINITY_WORD_COUNT = 16 }; /* 64 CPUs a word, 1,024 in all as in cpu_set_t */

/* The calling thread's CPUs, bit n of word n / 64. 0, or -errno. */
int affinity_get(uint64_t words[AFFINITY_WORD_COUNT]);
int affinity_set(const uint64_t words[AFFINITY_WORD_COUNT]);

#endif
