#include "internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where distributions keep the bundle; SSL_CERT_FILE is asked first, as by everybody. */
static const char *const system_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",		     /* Debian, Alpine, Arch */
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
	"/etc/ssl/ca-bundle.pem",			     /* SUSE */
	"/etc/ssl/cert.pem",
};

static void explain(char text[SQUALL_TLS_TEXT_BYTES], const char *what)
{
	uint32_t error = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(error);

	if (error != 0 && reason != NULL)
		snprintf(text, SQUALL_TLS_TEXT_BYTES, "%s: %s", what, reason);
	else
		snprintf(text, SQUALL_TLS_TEXT_BYTES, "%s", what);
	ERR_clear_error();
}

/* Large enough for a mapping of its own (M_MMAP_THRESHOLD, mallopt(3)). */
#define SLAB_PLACE_COUNT 256

struct tls_slab {
	struct tls_slab *next;
	size_t used;
	squall_tls places[SLAB_PLACE_COUNT];
};

squall_tls *tls_place_take(squall_tls_context *context)
{
	squall_tls *tls = context->unused;

	if (tls != NULL) {
		context->unused = tls->next_unused;
	} else {
		struct tls_slab *slab = context->slabs;
		if (slab == NULL || slab->used == SLAB_PLACE_COUNT) {
			slab = malloc(sizeof(*slab));
			if (slab == NULL)
				return NULL;
			slab->next = context->slabs;
			slab->used = 0;
			context->slabs = slab;
		}
		tls = &slab->places[slab->used++];
	}
	memset(tls, 0, sizeof(*tls));
	tls->context = context;
	return tls;
}

void tls_place_give(squall_tls *tls)
{
	tls->next_unused = tls->context->unused;
	tls->context->unused = tls;
}

uint8_t *tls_buffer_take(squall_tls_context *context)
{
	if (context->spare_count > 0)
		return context->spares[--context->spare_count];
	return malloc(SQUALL_TLS_RECORD_BYTES_MAX);
}

void tls_buffer_give(squall_tls_context *context, uint8_t *buffer)
{
	if (context->spare_count < SPARE_BUFFER_COUNT_MAX)
		context->spares[context->spare_count++] = buffer;
	else
		free(buffer);
}

void tls_context_name_digest(const char *name, uint8_t digest[SQUALL_SHA256_BYTES])
{
	SHA256((const uint8_t *)name, name != NULL ? strlen(name) : 0, digest);
}

/* Adds every certificate of a PEM text. Returns how many there were, or -1 for a broken one. */
static int add_authorities(X509_STORE *store, const uint8_t *pem, size_t count)
{
	BIO *bio = BIO_new_mem_buf(pem, (ossl_ssize_t)count);
	int added = 0;

	if (bio == NULL)
		return -1;
	for (;;) {
		X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (certificate == NULL)
			break;
		X509_STORE_add_cert(store, certificate); /* one that is there already is no error */
		X509_free(certificate);
		added++;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		added = -1;
	ERR_clear_error();
	BIO_free(bio);
	return added;
}

static bool load_authorities(squall_tls_context *context)
{
	const char *variable = getenv("SSL_CERT_FILE");

	if (context->authorities != NULL)
		return true;
	context->authorities = X509_STORE_new();
	if (context->authorities == NULL)
		return false;
	if (context->authorities_pem != NULL)
		return add_authorities(context->authorities, context->authorities_pem,
				       context->authorities_pem_count) > 0;
	if (variable != NULL && variable[0] != '\0')
		return X509_STORE_load_locations(context->authorities, variable, NULL) == 1;
	for (size_t index = 0; index < sizeof(system_bundles) / sizeof(*system_bundles); index++)
		if (access(system_bundles[index], R_OK) == 0)
			return X509_STORE_load_locations(context->authorities,
							 system_bundles[index], NULL) == 1;
	return true; /* a host without a bundle trusts nobody: the verdict says so */
}

static struct verdict verdict_of(long error)
{
	struct verdict verdict = {.text = X509_verify_cert_error_string(error)};

	switch (error) {
	case X509_V_OK:
		verdict.text = NULL;
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		verdict.reason = SQUALL_TLS_EXPIRED;
		verdict.alert = SSL_AD_CERTIFICATE_EXPIRED;
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		verdict.reason = SQUALL_TLS_NOT_YET_VALID;
		verdict.alert = SSL_AD_BAD_CERTIFICATE;
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		verdict.reason = SQUALL_TLS_WRONG_NAME;
		verdict.alert = SSL_AD_BAD_CERTIFICATE;
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		verdict.reason = SQUALL_TLS_UNKNOWN_CA;
		verdict.alert = SSL_AD_UNKNOWN_CA;
		break;
	default:
		verdict.reason = SQUALL_TLS_BAD_CERTIFICATE;
		verdict.alert = SSL_AD_BAD_CERTIFICATE;
		break;
	}
	return verdict;
}

static struct verdict judge(squall_tls *tls, const STACK_OF(CRYPTO_BUFFER) *chain)
{
	struct verdict verdict = verdict_of(X509_V_ERR_OUT_OF_MEM);
	X509 *leaf = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, 0));
	STACK_OF(X509) *others = sk_X509_new_null();
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *wanted;
	int error;

	if (leaf == NULL || others == NULL || check == NULL)
		goto done;
	for (size_t index = 1; index < sk_CRYPTO_BUFFER_num(chain); index++) {
		X509 *other = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, index));

		if (other == NULL || !sk_X509_push(others, other)) {
			X509_free(other);
			goto done;
		}
	}
	if (!load_authorities(tls->context) ||
	    !X509_STORE_CTX_init(check, tls->context->authorities, leaf, others) ||
	    !X509_STORE_CTX_set_default(check, "ssl_server"))
		goto done;
	wanted = X509_STORE_CTX_get0_param(check);
	/* As curl: a certificate that was named as trusted is the end of a chain. */
	X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_PARTIAL_CHAIN);
	if (tls->is_ip ? !X509_VERIFY_PARAM_set1_ip_asc(wanted, tls->name)
		       : !X509_VERIFY_PARAM_set1_host(wanted, tls->name, strlen(tls->name)))
		goto done;
	X509_verify_cert(check);
	error = X509_STORE_CTX_get_error(check);
	verdict = verdict_of(error);
	if ((error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	     error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE) &&
	    sk_CRYPTO_BUFFER_num(chain) == 1)
		verdict.text = "it came alone, and its issuer is not known here: the target may leave "
			       "out an intermediate certificate";
done:
	X509_STORE_CTX_free(check);
	sk_X509_pop_free(others, X509_free);
	X509_free(leaf);
	ERR_clear_error();
	return verdict;
}

/* The chain's verdict is remembered by chain and name for the life of the context; the proof
 * that the peer has the leaf's key is checked by the library each time. */
static enum ssl_verify_result_t verify(SSL *ssl, uint8_t *alert)
{
	squall_tls *tls = SSL_get_app_data(ssl);
	squall_tls_context *context = tls->context;
	const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
	struct verdict verdict = {0};
	SHA256_CTX hash;
	uint8_t digest[SQUALL_SHA256_BYTES];
	const struct verdict *known = NULL;

	if (!context->verifies)
		return ssl_verify_ok;
	if (tls->name == NULL || chain == NULL || sk_CRYPTO_BUFFER_num(chain) == 0)
		return ssl_verify_invalid;
	SHA256_Init(&hash);
	SHA256_Update(&hash, tls->name, strlen(tls->name) + 1);
	for (size_t index = 0; index < sk_CRYPTO_BUFFER_num(chain); index++) {
		uint8_t one[SQUALL_SHA256_BYTES];

		CERTIFICATE_SHA256(sk_CRYPTO_BUFFER_value(chain, index), one);
		SHA256_Update(&hash, one, sizeof(one));
	}
	SHA256_Final(digest, &hash);
	for (uint32_t index = 0; index < context->verdict_count && known == NULL; index++)
		if (memcmp(context->verdicts[index].digest, digest, sizeof(digest)) == 0)
			known = &context->verdicts[index];
	if (known != NULL) {
		verdict = *known;
	} else {
		verdict = judge(tls, chain);
		memcpy(verdict.digest, digest, sizeof(digest));
		context->verdicts[context->verdict_next] = verdict;
		context->verdict_next = (context->verdict_next + 1) % VERDICT_COUNT_MAX;
		if (context->verdict_count < VERDICT_COUNT_MAX)
			context->verdict_count++;
	}
	if (verdict.reason == SQUALL_TLS_NO_REASON)
		return ssl_verify_ok;
	tls->reason = verdict.reason;
	tls->text = verdict.text;
	*alert = verdict.alert;
	return ssl_verify_invalid;
}

static int remember_session(SSL *ssl, SSL_SESSION *session)
{
	tls_remember_ticket(SSL_get_app_data(ssl), session);
	return 1; /* the reference is ours */
}

static int select_protocol(SSL *ssl, const uint8_t **chosen, uint8_t *chosen_count,
			   const uint8_t *offered, unsigned int offered_count, void *context_pointer)
{
	squall_tls_context *context = context_pointer;

	(void)ssl;
	if (SSL_select_next_proto((uint8_t **)chosen, chosen_count, context->protocols,
				  (unsigned int)context->protocols_count, offered,
				  offered_count) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static bool set_identity(SSL_CTX *ssl, const struct squall_tls_options *options,
			 char text[SQUALL_TLS_TEXT_BYTES])
{
	CRYPTO_BUFFER *chain[16];
	size_t chain_count = 0;
	bool is_set = false;
	BIO *bio = BIO_new_mem_buf(options->chain.bytes, (ossl_ssize_t)options->chain.count);
	BIO *key_bio = BIO_new_mem_buf(options->key.bytes, (ossl_ssize_t)options->key.count);
	EVP_PKEY *key = NULL;

	while (bio != NULL && chain_count < sizeof(chain) / sizeof(*chain)) {
		X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		uint8_t *der = NULL;
		int der_count = certificate != NULL ? i2d_X509(certificate, &der) : 0;

		X509_free(certificate);
		if (der_count <= 0)
			break;
		chain[chain_count] = CRYPTO_BUFFER_new(der, (size_t)der_count, NULL);
		OPENSSL_free(der);
		if (chain[chain_count] == NULL)
			break;
		chain_count++;
	}
	if (chain_count == 0) {
		explain(text, "the certificate is not PEM");
		goto done;
	}
	ERR_clear_error();
	if (key_bio != NULL)
		key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)"");
	if (key == NULL) {
		explain(text, "the key is not an unencrypted PEM key");
		goto done;
	}
	is_set = SSL_CTX_set_chain_and_key(ssl, chain, chain_count, key, NULL) == 1;
	if (!is_set)
		explain(text, "the key does not belong to the certificate");
done:
	while (chain_count > 0)
		CRYPTO_BUFFER_free(chain[--chain_count]);
	EVP_PKEY_free(key);
	BIO_free(key_bio);
	BIO_free(bio);
	return is_set;
}

static uint8_t *copy_of(struct squall_tls_bytes bytes)
{
	uint8_t *copy = malloc(bytes.count);

	if (copy != NULL)
		memcpy(copy, bytes.bytes, bytes.count);
	return copy;
}

squall_tls_context *squall_tls_context_create(const struct squall_tls_options *options,
					      char text[SQUALL_TLS_TEXT_BYTES])
{
	squall_tls_context *context = calloc(1, sizeof(*context));

	snprintf(text, SQUALL_TLS_TEXT_BYTES, "no memory");
	if (context == NULL)
		return NULL;
	context->verifies = options->verifies;
	context->resumes = options->resumes;
	context->serves = options->serves;
	context->keeps_library = TLS_KEEPS_LIBRARY;
	context->records_a_key_max = RECORDS_A_KEY_MAX;
	context->ssl = SSL_CTX_new(TLS_with_buffers_method());
	if (context->ssl == NULL)
		goto failed;
	SSL_CTX_set_custom_verify(context->ssl, options->serves ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
				  verify);
	SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_session_cache_mode(context->ssl, options->serves || !options->resumes
							     ? SSL_SESS_CACHE_OFF
							     : SSL_SESS_CACHE_CLIENT |
								       SSL_SESS_CACHE_NO_INTERNAL);
	if (options->resumes && !options->serves)
		SSL_CTX_sess_set_new_cb(context->ssl, remember_session);
	if (!options->resumes)
		SSL_CTX_set_options(context->ssl, SSL_OP_NO_TICKET);
	if (!SSL_CTX_set_min_proto_version(context->ssl, options->version_min) ||
	    !SSL_CTX_set_max_proto_version(context->ssl, options->version_max) ||
	    options->version_min > options->version_max) {
		explain(text, "no TLS version is left");
		goto failed;
	}
	if (options->ciphers != NULL &&
	    !SSL_CTX_set_strict_cipher_list(context->ssl, options->ciphers)) {
		explain(text, "the list of ciphers is not understood");
		goto failed;
	}
	if (!SSL_CTX_set1_groups_list(context->ssl, options->groups != NULL
							    ? options->groups
							    : "X25519:P-256:P-384")) {
		explain(text, "the list of groups is not understood");
		goto failed;
	}
	if (options->authorities.count > 0) {
		X509_STORE *store = X509_STORE_new();
		int added = store != NULL ? add_authorities(store, options->authorities.bytes,
							    options->authorities.count)
					  : -1;
		X509_STORE_free(store);
		if (added <= 0) {
			explain(text, "the authorities are not PEM certificates");
			goto failed;
		}
		context->authorities_pem = copy_of(options->authorities);
		context->authorities_pem_count = options->authorities.count;
		if (context->authorities_pem == NULL)
			goto failed;
	}
	if (options->protocols.count > 0) {
		context->protocols = copy_of(options->protocols);
		context->protocols_count = options->protocols.count;
		if (context->protocols == NULL)
			goto failed;
		if (options->serves)
			SSL_CTX_set_alpn_select_cb(context->ssl, select_protocol, context);
		else if (SSL_CTX_set_alpn_protos(context->ssl, context->protocols,
						 context->protocols_count) != 0) {
			explain(text, "the list of protocols is not understood");
			goto failed;
		}
	}
	if (options->chain.count > 0 && !set_identity(context->ssl, options, text))
		goto failed;
	if (options->ticket_keys.count > 0 &&
	    !SSL_CTX_set_tlsext_ticket_keys(context->ssl, options->ticket_keys.bytes,
					    options->ticket_keys.count)) {
		explain(text, "the keys of tickets are not understood");
		goto failed;
	}
	return context;
failed:
	squall_tls_context_destroy(context);
	return NULL;
}

void squall_tls_context_destroy(squall_tls_context *context)
{
	if (context == NULL)
		return;
	while (context->ticket_count > 0)
		SSL_SESSION_free(context->tickets[--context->ticket_count].session);
	while (context->spare_count > 0)
		free(context->spares[--context->spare_count]);
	while (context->slabs != NULL) {
		struct tls_slab *slab = context->slabs;
		context->slabs = slab->next;
		free(slab);
	}
	X509_STORE_free(context->authorities);
	SSL_CTX_free(context->ssl);
	free(context->authorities_pem);
	free(context->protocols);
	free(context);
}

void squall_tls_context_keep_library(squall_tls_context *context, bool keeps)
{
	context->keeps_library = keeps || TLS_KEEPS_LIBRARY;
}

void squall_tls_context_limit_records(squall_tls_context *context, uint64_t count)
{
	context->records_a_key_max = count < RECORDS_A_KEY_MAX ? count : RECORDS_A_KEY_MAX;
}

const char *squall_tls_cipher_name(uint16_t cipher)
{
	const SSL_CIPHER *known = SSL_get_cipher_by_value(cipher);

	return known != NULL ? SSL_CIPHER_standard_name(known) : NULL;
}

const char *squall_tls_group_name(uint16_t group)
{
	return SSL_get_group_name(group);
}
