#ifndef CTLS_H
#define CTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The only door to BoringSSL, the one that swift-nio-ssl carries. None of its
 * headers is included here, so that no other module depends on its names.
 */

/* ---- digest.c ---- */

#define SQUALL_SHA256_BYTES 32

/* SHA-256 (FIPS 180-4) of `count` bytes. */
void squall_sha256(const void *bytes, size_t count, uint8_t digest[SQUALL_SHA256_BYTES]);

/* HMAC-SHA-256 (RFC 2104). False when the library has no memory for it. */
bool squall_hmac_sha256(const void *key, size_t key_count, const void *bytes, size_t count,
			uint8_t mac[SQUALL_SHA256_BYTES]);

#endif
