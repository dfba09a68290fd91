#ifndef BENCHMARK_SECRETS_H
#define BENCHMARK_SECRETS_H

#include <CNIOBoringSSL.h>

enum { SECRET_BYTES_MAX = 48 };

#ifdef __cplusplus
extern "C" {
#endif
/* What a finished TLS 1.3 connection reads and writes with; how many bytes each, 0 for none. */
size_t traffic_secrets(const SSL *ssl, uint8_t in[SECRET_BYTES_MAX],
		       uint8_t out[SECRET_BYTES_MAX]);
#ifdef __cplusplus
}
#endif

#endif
