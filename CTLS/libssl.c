/* What libssl.h promises. Empty over BoringSSL. */
#include "internal.h"

#ifdef SQUALL_LIBSSL

#include <stdlib.h>
#include <string.h>

/* ---- certificates ---- */

CRYPTO_BUFFER *CRYPTO_BUFFER_new(const uint8_t *bytes, size_t count, void *pool)
{
	(void)pool;
	return d2i_X509(NULL, &bytes, (long)count);
}

X509 *X509_parse_from_buffer(CRYPTO_BUFFER *certificate)
{
	return certificate != NULL && X509_up_ref(certificate) ? certificate : NULL;
}

int SSL_CTX_set_chain_and_key(SSL_CTX *context, CRYPTO_BUFFER *const *chain, size_t count,
			      EVP_PKEY *key, const void *method)
{
	(void)method;
	if (SSL_CTX_use_certificate(context, chain[0]) != 1)
		return 0;
	for (size_t index = 1; index < count; index++)
		if (SSL_CTX_add1_chain_cert(context, chain[index]) != 1)
			return 0;
	return SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
}

/* The chain that is being checked, which the connection does not have yet. */
static _Thread_local const STACK_OF(X509) *checked;

const STACK_OF(CRYPTO_BUFFER) *SSL_get0_peer_certificates(const SSL *ssl)
{
	return checked != NULL ? checked : SSL_get_peer_cert_chain(ssl);
}

static int check(X509_STORE_CTX *store, void *verify_pointer)
{
	enum ssl_verify_result_t (*verify)(SSL *, uint8_t *) = verify_pointer;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	uint8_t alert = SSL_AD_BAD_CERTIFICATE;
	enum ssl_verify_result_t result;

	checked = X509_STORE_CTX_get0_untrusted(store);
	result = verify(ssl, &alert);
	checked = NULL;
	/* Which alert goes out follows from the error. */
	X509_STORE_CTX_set_error(store,
				 result == ssl_verify_ok	      ? X509_V_OK
				 : alert == SSL_AD_UNKNOWN_CA	      ? X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
				 : alert == SSL_AD_CERTIFICATE_EXPIRED ? X509_V_ERR_CERT_HAS_EXPIRED
								      : X509_V_ERR_CERT_REJECTED);
	return result == ssl_verify_ok;
}

/* RFC 8446 4.1.3: what stands in place of the random bytes of a hello that is a HelloRetryRequest. */
static const uint8_t retry[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

static void look(int is_ours, int version, int type, const void *bytes, size_t count, SSL *ssl,
		 void *argument)
{
	const uint8_t *message = bytes;
	squall_tls *tls = SSL_get_app_data(ssl);

	(void)is_ours;
	(void)version;
	(void)argument;
	if (type == SSL3_RT_HANDSHAKE && count >= 6 + sizeof(retry) && message[0] == SSL3_MT_SERVER_HELLO &&
	    memcmp(message + 6, retry, sizeof(retry)) == 0)
		tls->facts.was_retried = true;
}

void SSL_CTX_set_custom_verify(SSL_CTX *context, int mode,
			       enum ssl_verify_result_t (*verify)(SSL *ssl, uint8_t *alert))
{
	SSL_CTX_set_verify(context, mode, NULL);
	SSL_CTX_set_cert_verify_callback(context, check, verify);
	/* What BoringSSL does unasked. */
	SSL_CTX_set_msg_callback(context, look);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
}

#undef SSL_free

void SSL_free_alone(SSL *ssl)
{
	if (ssl != NULL)
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl);
}

/* ---- facts ---- */

static const struct group {
	uint16_t id; /* IANA's */
	int nid;
	const char *name;
} groups[] = {
	{ 23, NID_X9_62_prime256v1, "P-256" }, { 24, NID_secp384r1, "P-384" }, { 25, NID_secp521r1, "P-521" },
	{ 29, NID_X25519, "X25519" },	       { 30, NID_X448, "X448" },
};

uint16_t SSL_get_group_id(const SSL *ssl)
{
	long nid = SSL_get_negotiated_group((SSL *)ssl);

	for (size_t index = 0; index < sizeof(groups) / sizeof(*groups); index++)
		if (groups[index].nid == nid)
			return groups[index].id;
	return 0;
}

const char *SSL_get_group_name(uint16_t group)
{
	for (size_t index = 0; index < sizeof(groups) / sizeof(*groups); index++)
		if (groups[index].id == group)
			return groups[index].name;
	return NULL;
}

const SSL_CIPHER *SSL_get_cipher_by_value(uint16_t cipher)
{
	const uint8_t bytes[2] = {(uint8_t)(cipher >> 8), (uint8_t)cipher};
	SSL_CTX *context = SSL_CTX_new(TLS_method());
	SSL *ssl = context != NULL ? SSL_new(context) : NULL;
	/* Of a table of the library's, which outlives both. */
	const SSL_CIPHER *known = ssl != NULL ? SSL_CIPHER_find(ssl, bytes) : NULL;

	SSL_free(ssl);
	SSL_CTX_free(context);
	return known;
}

bool SSL_used_hello_retry_request(const SSL *ssl)
{
	const squall_tls *tls = SSL_get_app_data(ssl);

	return tls->facts.was_retried;
}

bool SSL_SESSION_should_be_single_use(const SSL_SESSION *session)
{
	return SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION;
}

bool BIO_mem_contents(BIO *bio, const uint8_t **bytes, size_t *count)
{
	char *start;
	long length = BIO_get_mem_data(bio, &start);

	*bytes = (const uint8_t *)start;
	*count = length > 0 ? (size_t)length : 0;
	return length >= 0;
}

int SSL_CTX_set_tlsext_ticket_keys(SSL_CTX *context, const void *keys, size_t count)
{
	/* A name of 16 bytes and two keys of 32. */
	uint8_t stretched[SQUALL_TLS_TICKET_KEYS_BYTES + SQUALL_SHA256_BYTES];

	if (count != SQUALL_TLS_TICKET_KEYS_BYTES)
		return 0;
	memcpy(stretched, keys, count);
	SHA256(keys, count, stretched + count);
	return (int)SSL_CTX_ctrl(context, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, sizeof(stretched), stretched);
}

/* ---- records: none of our own ---- */

bool tls_records_begin(squall_tls *tls)
{
	(void)tls;
	return false;
}

void tls_records_end(squall_tls *tls) { (void)tls; }

enum squall_tls_result tls_records_receive(squall_tls *tls, uint8_t *bytes, size_t count,
					   size_t *used, struct squall_tls_bytes *plain)
{
	(void)tls, (void)bytes, (void)count, (void)used, (void)plain;
	abort();
}

size_t tls_records_seal(squall_tls *tls, uint8_t type, const uint8_t *plain, size_t count,
			uint8_t *into)
{
	(void)tls, (void)type, (void)plain, (void)count, (void)into;
	abort();
}

size_t tls_records_seal_key_update(squall_tls *tls, bool asks, uint8_t *into)
{
	(void)tls, (void)asks, (void)into;
	abort();
}

#endif
