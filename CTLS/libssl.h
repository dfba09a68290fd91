#ifndef CTLS_LIBSSL_H
#define CTLS_LIBSSL_H

/*
 * The way out: OpenSSL's libssl (3.0 or later) in place of the BoringSSL that swift-nio-ssl carries. What
 * only BoringSSL has goes here by OpenSSL's means and under BoringSSL's name, so that the files beside
 * this one are the same over both. Records stay the library's: it gives no traffic secrets away.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define TLS_with_buffers_method TLS_method
#define SSL_CTX_set_strict_cipher_list SSL_CTX_set_cipher_list
#define SSL_set_shed_handshake_config(ssl, sheds) ((void)(ssl))
#define ASN1_TIME_set_posix ASN1_TIME_set

/* Certificates are parsed once here, and raw there. */
typedef X509 CRYPTO_BUFFER;
#define stack_st_CRYPTO_BUFFER stack_st_X509
#define sk_CRYPTO_BUFFER_num(chain) ((size_t)sk_X509_num(chain))
#define sk_CRYPTO_BUFFER_value(chain, index) sk_X509_value(chain, (int)(index))
#define CRYPTO_BUFFER_free X509_free
#define CERTIFICATE_SHA256(certificate, into) X509_digest(certificate, EVP_sha256(), into, NULL)
#define CRYPTO_BUFFER_len(certificate) ((size_t)i2d_X509(certificate, NULL))
CRYPTO_BUFFER *CRYPTO_BUFFER_new(const uint8_t *bytes, size_t count, void *pool);
X509 *X509_parse_from_buffer(CRYPTO_BUFFER *certificate);
const STACK_OF(CRYPTO_BUFFER) *SSL_get0_peer_certificates(const SSL *ssl);
int SSL_CTX_set_chain_and_key(SSL_CTX *context, CRYPTO_BUFFER *const *chain, size_t count,
			      EVP_PKEY *key, const void *method);

enum ssl_verify_result_t { ssl_verify_ok, ssl_verify_invalid };
void SSL_CTX_set_custom_verify(SSL_CTX *context, int mode,
			       enum ssl_verify_result_t (*verify)(SSL *ssl, uint8_t *alert));

/* A session outlives a connection that was not closed in order. */
void SSL_free_alone(SSL *ssl);
#define SSL_free SSL_free_alone

uint16_t SSL_get_group_id(const SSL *ssl);
const char *SSL_get_group_name(uint16_t group);
const SSL_CIPHER *SSL_get_cipher_by_value(uint16_t cipher);
bool SSL_used_hello_retry_request(const SSL *ssl);
bool SSL_SESSION_should_be_single_use(const SSL_SESSION *session);
bool BIO_mem_contents(BIO *bio, const uint8_t **bytes, size_t *count);

#undef SSL_CTX_set_tlsext_ticket_keys
int SSL_CTX_set_tlsext_ticket_keys(SSL_CTX *context, const void *keys, size_t count);

/* The same reasons under their names here. */
#define SSL_R_TLS13_DOWNGRADE SSL_R_INAPPROPRIATE_FALLBACK
#define SSL_R_NO_SHARED_GROUP SSL_R_NO_SUITABLE_KEY_SHARE
#define SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS
#define SSL_R_INVALID_OUTER_RECORD_TYPE SSL_R_BAD_RECORD_TYPE
#define SSL_R_TOO_MANY_EMPTY_FRAGMENTS SSL_R_RECORD_TOO_SMALL
#define SSL_R_HANDSHAKE_FAILURE_ON_CLIENT_HELLO (-1) /* comes as the alert that it is */

#endif
