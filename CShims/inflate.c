#include "CSquall.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

/* zlib's window of 32 KiB, and how the stream is wrapped (zlib.h, inflateInit2). */
enum {
	WINDOW = 15,
	GZIP = WINDOW + 16,
};

struct squall_inflater {
	z_stream stream;
	int window_bits;
	int has_ended;
};

struct squall_inflater *squall_inflater_create(void)
{
	struct squall_inflater *inflater = calloc(1, sizeof(*inflater));

	if (inflater != NULL && inflateInit2(&inflater->stream, GZIP) != Z_OK) {
		free(inflater);
		return NULL;
	}
	return inflater;
}

void squall_inflater_destroy(struct squall_inflater *inflater)
{
	inflateEnd(&inflater->stream);
	free(inflater);
}

void squall_inflater_begin(struct squall_inflater *inflater, int32_t is_gzip, uint8_t first)
{
	/* CM is 8 in the low half of a zlib stream's first byte (RFC 1950 2.2). A raw stream that
	 * begins so would have its padding set. */
	if (is_gzip)
		inflater->window_bits = GZIP;
	else
		inflater->window_bits = (first & 15) == 8 ? WINDOW : -WINDOW;
	inflater->has_ended = 0;
	/* Fails only for a window that is none. */
	inflateReset2(&inflater->stream, inflater->window_bits);
}

int32_t squall_inflater_has_ended(const struct squall_inflater *inflater)
{
	return inflater->has_ended;
}

int64_t squall_inflate(
	struct squall_inflater *inflater, const void **bytes, uint64_t *byte_count, void *into,
	uint32_t capacity)
{
	z_stream *stream = &inflater->stream;
	uint32_t given = *byte_count > INT_MAX ? INT_MAX : (uint32_t)*byte_count;
	int result = Z_OK;

	stream->next_in = (Bytef *)*bytes;
	stream->avail_in = given;
	stream->next_out = into;
	stream->avail_out = capacity;
	while (result == Z_OK && stream->avail_out > 0) {
		if (inflater->has_ended) {
			if (stream->avail_in == 0)
				break;
			/* A gzip file may have several members (RFC 1952 2.2). */
			if (inflater->window_bits != GZIP || *stream->next_in != 0x1f) {
				result = Z_DATA_ERROR;
				break;
			}
			inflateReset(stream);
			inflater->has_ended = 0;
		}
		result = inflate(stream, Z_NO_FLUSH);
		if (result == Z_STREAM_END) {
			inflater->has_ended = 1;
			result = Z_OK;
		}
	}
	*bytes = stream->next_in;
	*byte_count -= given - stream->avail_in;
	/* What came before the damage was good; the damage comes again. */
	if (stream->avail_out < capacity)
		return capacity - stream->avail_out;
	/* Z_BUF_ERROR: nothing to read, or nothing to write. */
	if (result == Z_OK || result == Z_BUF_ERROR)
		return 0;
	return result == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}
