#include "internal.h"

#ifndef SQUALL_LIBSSL

#include <string.h>

bool tls_traffic_secrets(const SSL *ssl, uint8_t in[SECRET_BYTES_MAX],
			 uint8_t out[SECRET_BYTES_MAX], uint8_t *count)
{
	bssl::Span<const uint8_t> read;
	bssl::Span<const uint8_t> write;

	if (!bssl::SSL_get_traffic_secrets(ssl, &read, &write))
		return false;
	if (read.size() > SECRET_BYTES_MAX || read.size() != write.size())
		return false;
	memcpy(in, read.data(), read.size());
	memcpy(out, write.data(), write.size());
	*count = static_cast<uint8_t>(read.size());
	return true;
}

#endif
