/*
 * Counts the calls of malloc, calloc, realloc and the aligned ones in this process, by standing in
 * front of glibc's own.
 */
#ifndef BENCHMARK_ALLOCATIONS_H
#define BENCHMARK_ALLOCATIONS_H

#include <stdint.h>

uint64_t allocations_count(void);

#endif
