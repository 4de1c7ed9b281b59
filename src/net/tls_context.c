/* src/net/tls_context.c - the state that all TLS connections of one configuration share: certificates, trust, rules. */
#include "net/tls_state.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define TICKETS 1 /* how many tickets for resumption a TLS 1.3 handshake sends; more would take more time */

void
tls_take_error_text(char *out, size_t out_cap)
{
	unsigned long e = ERR_peek_error();
	const char *text = e == 0		 ? NULL
			   : ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e))
						 : ERR_reason_error_string(e);

	snprintf(out, out_cap, "%s", text != NULL ? text : "unknown error");
	ERR_clear_error();
}

static int
file_fail(struct fail *why, const char *what, const char *path)
{
	char reason[128];

	tls_take_error_text(reason, sizeof(reason));
	return fail_set(why, "F0000", "could not use %s \"%s\": %s", what, path, reason);
}

static bool
is_set(const char *text)
{
	return text != NULL && *text != '\0';
}

/* Refuses keys with a passphrase: OpenSSL would ask for the passphrase on the terminal, again at each reload. */
static int
refuse_passphrase(char *buf, int size, int is_writing, void *arg)
{
	return -1;
}

/* --- OpenSSL's input and output: see struct tls_session --- */

static int
bio_read(BIO *bio, char *to, size_t cap, size_t *got)
{
	struct tls_session *s = BIO_get_data(bio);
	size_t n = s->in_len < cap ? s->in_len : cap;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		*got = 0;
		return 0;
	}
	memcpy(to, s->in, n);
	s->in += n;
	s->in_len -= n;
	*got = n;
	return 1;
}

static int
bio_write(BIO *bio, const char *bytes, size_t len, size_t *written)
{
	struct tls_session *s = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*written = len;
	if (s->out != NULL)
		buf_put(s->out, bytes, len);
	return s->out != NULL && buf_ok(s->out);
}

static long
bio_ctrl(BIO *bio, int command, long number, void *arg)
{
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_PUSH || command == BIO_CTRL_POP;
}

/* --- both sides --- */

static struct tls_context *
context_new(struct fail *why)
{
	struct tls_context *ctx = calloc(1, sizeof(*ctx));
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgweir");

	if (ctx == NULL || m == NULL || BIO_meth_set_read_ex(m, bio_read) != 1 ||
	    BIO_meth_set_write_ex(m, bio_write) != 1 || BIO_meth_set_ctrl(m, bio_ctrl) != 1) {
		BIO_meth_free(m);
		free(ctx);
		fail_memory(why, "a TLS context");
		return NULL;
	}
	ctx->bio = m;
	atomic_init(&ctx->refs, 1);
	pthread_mutex_init(&ctx->lock, NULL);
	return ctx;
}

static SSL_CTX *
ssl_ctx_new(struct tls_context *ctx, const SSL_METHOD *method, struct fail *why)
{
	SSL_CTX *c = SSL_CTX_new(method);

	if (c == NULL) {
		fail_memory(why, "a TLS context");
		return NULL;
	}
	assert(ctx->count < TLS_CERTIFICATES_MAX);
	ctx->ctxs[ctx->count++] = c;
	SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(c, refuse_passphrase);
	SSL_CTX_set_app_data(c, ctx);
	return c;
}

static int
load_pair(SSL_CTX *c, const char *certificate, const char *key, struct fail *why)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(c, certificate) != 1)
		return file_fail(why, "the certificate", certificate);
	if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
		return file_fail(why, "the private key", key);
	if (SSL_CTX_check_private_key(c) != 1) {
		file_fail(why, "the private key", key);
		return fail_hint(why, "It must belong to the certificate in %.128s.", certificate);
	}
	return 0;
}

static int64_t
not_after_of(SSL_CTX *c)
{
	X509 *x = SSL_CTX_get0_certificate(c);
	struct tm tm;

	if (x == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

/* --- clients --- */

static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
	    void *arg)
{
	const unsigned char *ours = arg;

	for (unsigned at = 0; at < in_len && in_len - at > in[at]; at += 1u + in[at])
		if (in[at] == ours[0] && memcmp(in + at + 1, ours + 1, ours[0]) == 0) {
			*out = in + at + 1;
			*out_len = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL; /* the client wants another protocol, and is refused as by PostgreSQL 17 */
}

/* Chooses the first certificate that fits the server name sent by the client, or the default one if none fits. */
static int
choose_certificate(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *ctx = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	for (size_t i = 0; name != NULL && i < ctx->count; i++)
		if (X509_check_host(SSL_CTX_get0_certificate(ctx->ctxs[i]), name, 0, 0, NULL) == 1) {
			if (i > 0)
				SSL_set_SSL_CTX(ssl, ctx->ctxs[i]);
			break;
		}
	return SSL_TLSEXT_ERR_OK;
}

static int
set_up_client_verification(SSL_CTX *c, const struct tls_accept_settings *s, struct fail *why)
{
	STACK_OF(X509_NAME) * names;

	if (s->client_certificate_mode == TLS_NOT_ASKED_FOR)
		return 0;
	if (!is_set(s->ca_file))
		return fail_set(why, "F0000", "clients' certificates cannot be checked without ca_file");
	ERR_clear_error();
	if (SSL_CTX_load_verify_locations(c, s->ca_file, NULL) != 1 ||
	    (names = SSL_load_client_CA_file(s->ca_file)) == NULL)
		return file_fail(why, "the certificate authority", s->ca_file);
	SSL_CTX_set_client_CA_list(c, names);
	if (is_set(s->crl_file)) {
		X509_STORE *store = SSL_CTX_get_cert_store(c);

		if (X509_STORE_load_locations(store, s->crl_file, NULL) != 1)
			return file_fail(why, "the revocation list", s->crl_file);
		X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	}
	SSL_CTX_set_verify(
	    c, SSL_VERIFY_PEER | (s->client_certificate_mode == TLS_NEEDED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
	    NULL);
	return 0;
}

/* Sets the oldest TLS version that is allowed; ssl_ctx_new() has set 1.2. */
static void
set_oldest(SSL_CTX *c, const char *version)
{
	if (is_set(version) && strcmp(version, "1.3") == 0)
		SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
}

static int
add_certificate(struct tls_context *ctx, const struct tls_accept_settings *s, const char *certificate, const char *key,
		const uint8_t id[static 16], struct fail *why)
{
	SSL_CTX *c = ssl_ctx_new(ctx, TLS_server_method(), why);

	if (c == NULL || load_pair(c, certificate, key, why) < 0 || set_up_client_verification(c, s, why) < 0)
		return -1;
	set_oldest(c, s->min_version);
	ERR_clear_error();
	if (is_set(s->ciphers) && SSL_CTX_set_cipher_list(c, s->ciphers) != 1)
		return fail_set(why, "F0000", "ciphers = %.200s: OpenSSL knows none of these", s->ciphers);
	if (is_set(s->tls13_ciphers) && SSL_CTX_set_ciphersuites(c, s->tls13_ciphers) != 1)
		return fail_set(why, "F0000", "tls13_ciphers = %.200s: OpenSSL does not know all of these",
				s->tls13_ciphers);
	/* Clients send passwords, and without CLEANSE_PLAINTEXT OpenSSL frees its buffers without wiping them. */
	SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
	/* Sessions are resumed by tickets alone: tickets need no memory here, and are invalid once this context, which
	 * has their keys, is freed. */
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(c, id, 16);
	SSL_CTX_set_num_tickets(c, TICKETS);
	SSL_CTX_set_alpn_select_cb(c, choose_alpn, (void *)(uintptr_t)(s->protocol != NULL ? s->protocol : TLS_ALPN));
	return 0;
}

/* Copies the next item of "a, b" to out and returns out. Returns NULL if the list has ended or the item is too long. */
static const char *
next_path(const char **list, char *out, size_t out_cap)
{
	const char *at = *list + strspn(*list, ", ");
	size_t len = strcspn(at, ",");

	*list = at + len;
	if (len == 0 || len >= out_cap)
		return NULL;
	memcpy(out, at, len);
	out[len] = '\0';
	return out;
}

struct tls_context *
tls_context_for_accept(const struct tls_accept_settings *s, struct fail *why)
{
	struct tls_context *ctx = context_new(why);
	const char *certificates = s->certificate_files, *keys = s->key_files;
	char certificate[4096], key[4096];
	uint8_t id[16];

	if (ctx == NULL)
		return NULL;
	ctx->is_accepting = true;
	if (RAND_bytes(id, sizeof(id)) != 1) {
		fail_set(why, "58000", "could not get random bytes");
		goto bad;
	}
	while (next_path(&certificates, certificate, sizeof(certificate)) != NULL) {
		if (ctx->count == TLS_CERTIFICATES_MAX) {
			fail_set(why, "F0000", "there are more than %d certificates", TLS_CERTIFICATES_MAX);
			goto bad;
		}
		if (next_path(&keys, key, sizeof(key)) == NULL) {
			fail_set(why, "F0000", "certificate_file names %s, but key_file has no key for it",
				 certificate);
			goto bad;
		}
		if (add_certificate(ctx, s, certificate, key, id, why) < 0)
			goto bad;
	}
	if (ctx->count == 0 || next_path(&keys, key, sizeof(key)) != NULL) {
		fail_set(why, "F0000", "certificate_file and key_file must name the same number of files");
		goto bad;
	}
	SSL_CTX_set_tlsext_servername_callback(ctx->ctxs[0], choose_certificate);
	SSL_CTX_set_tlsext_servername_arg(ctx->ctxs[0], ctx);
	ctx->not_after = not_after_of(ctx->ctxs[0]);
	return ctx;
bad:
	tls_context_unref(ctx);
	return NULL;
}

struct ssl_st *
tls_context_new_ssl(struct tls_context *ctx)
{
	return SSL_new(ctx->ctxs[0]);
}

/* --- servers --- */

/* Keeps a session for the next connection to the same host. */
static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_context *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct tls_session *s = SSL_get_app_data(ssl);
	struct tls_resumption *r = NULL;

	if (s == NULL || s->host == NULL || strlen(s->host) >= sizeof(r->host))
		return 0;
	pthread_mutex_lock(&ctx->lock);
	for (unsigned i = 0; i < TLS_RESUMPTIONS_MAX && r == NULL; i++)
		if (strcmp(ctx->resumptions[i].host, s->host) == 0)
			r = &ctx->resumptions[i];
	if (r == NULL)
		r = &ctx->resumptions[ctx->next_resumption++ % TLS_RESUMPTIONS_MAX];
	SSL_SESSION_free(r->session);
	r->session = session;
	snprintf(r->host, sizeof(r->host), "%s", s->host);
	pthread_mutex_unlock(&ctx->lock);
	return 1; /* tells OpenSSL that we keep the reference to the session */
}

static int
set_up_server_verification(SSL_CTX *c, const struct tls_connect_settings *s, struct fail *why)
{
	if (s->verify == TLS_CHECK_NOTHING)
		return 0;
	ERR_clear_error();
	if (strcmp(s->ca_file, "system") == 0) {
		if (SSL_CTX_set_default_verify_paths(c) != 1)
			return file_fail(why, "the certificate authorities of the", "system");
	} else if (SSL_CTX_load_verify_locations(c, s->ca_file, NULL) != 1)
		return file_fail(why, "the certificate authority", s->ca_file);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	return 0;
}

struct tls_context *
tls_context_for_connect(const struct tls_connect_settings *s, struct fail *why)
{
	struct tls_context *ctx = context_new(why);
	SSL_CTX *c = ctx == NULL ? NULL : ssl_ctx_new(ctx, TLS_client_method(), why);

	if (c == NULL || set_up_server_verification(c, s, why) < 0 ||
	    (is_set(s->certificate_file) &&
	     load_pair(c, s->certificate_file, is_set(s->key_file) ? s->key_file : s->certificate_file, why) < 0))
		goto bad;
	set_oldest(c, s->min_version);
	if (SSL_CTX_set_alpn_protos(c, (const unsigned char *)TLS_ALPN, sizeof(TLS_ALPN) - 1) != 0) {
		fail_memory(why, "a TLS context");
		goto bad;
	}
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c, keep_session);
	ctx->verify = s->verify;
	ctx->hides_name = s->hides_name;
	ctx->not_after = not_after_of(c);
	return ctx;
bad:
	tls_context_unref(ctx);
	return NULL;
}

/* --- life --- */

struct tls_context *
tls_context_ref(struct tls_context *ctx)
{
	atomic_fetch_add(&ctx->refs, 1);
	return ctx;
}

void
tls_context_unref(struct tls_context *ctx)
{
	if (ctx == NULL || atomic_fetch_sub(&ctx->refs, 1) > 1)
		return;
	for (size_t i = 0; i < ctx->count; i++)
		SSL_CTX_free(ctx->ctxs[i]);
	for (size_t i = 0; i < TLS_RESUMPTIONS_MAX; i++)
		SSL_SESSION_free(ctx->resumptions[i].session);
	BIO_meth_free(ctx->bio);
	pthread_mutex_destroy(&ctx->lock);
	free(ctx);
}

int64_t
tls_context_not_after(const struct tls_context *ctx)
{
	return ctx->not_after;
}
