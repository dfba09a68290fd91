#include "internal.h"

void squall_sha256(const void *bytes, size_t count, uint8_t digest[SQUALL_SHA256_BYTES])
{
	SHA256(bytes, count, digest);
}

bool squall_hmac_sha256(const void *key, size_t key_count, const void *bytes, size_t count,
			uint8_t mac[SQUALL_SHA256_BYTES])
{
	unsigned int mac_count = 0;

	return HMAC(EVP_sha256(), key, key_count, bytes, count, mac, &mac_count) != NULL;
}
