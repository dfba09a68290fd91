#include "secrets.h"

#include <string.h>

size_t traffic_secrets(const SSL *ssl, uint8_t in[SECRET_BYTES_MAX], uint8_t out[SECRET_BYTES_MAX])
{
	bssl::Span<const uint8_t> read;
	bssl::Span<const uint8_t> write;

	if (!bssl::SSL_get_traffic_secrets(ssl, &read, &write) || read.size() > SECRET_BYTES_MAX ||
	    read.size() != write.size())
		return 0;
	memcpy(in, read.data(), read.size());
	memcpy(out, write.data(), write.size());
	return read.size();
}
