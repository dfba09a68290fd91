#include "CSquall.h"

#include <zlib.h>

uint64_t squall_deflate_bound(uint64_t byte_count)
{
	return compressBound(byte_count);
}

uint64_t squall_deflate(const void *bytes, uint64_t byte_count, void *into, uint64_t capacity)
{
	uLongf written = capacity;

	if (compress2(into, &written, bytes, byte_count, Z_BEST_COMPRESSION) != Z_OK)
		return 0;
	return written;
}
