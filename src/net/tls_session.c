/* src/net/tls_session.c - one connection's TLS: the handshake, and facts about the session and its peer. */
#include "net/tls_state.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 255

/* --- life --- */

/* Makes OpenSSL send s->host as SNI, unless s->host is an address or the context hides names. With TLS_CHECK_NAME,
 * makes OpenSSL check that the server's certificate is for s->host. */
static int
set_server_name(struct tls_session *s)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
	uint8_t bytes[16];
	bool is_ip = inet_pton(AF_INET, s->host, bytes) == 1 || inet_pton(AF_INET6, s->host, bytes) == 1;

	if (!is_ip && !s->ctx->hides_name && SSL_set_tlsext_host_name(s->ssl, s->host) != 1)
		return -1;
	if (s->ctx->verify != TLS_CHECK_NAME)
		return 0;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return (is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, s->host)
		      : X509_VERIFY_PARAM_set1_host(param, s->host, 0)) == 1
		   ? 0
		   : -1;
}

struct tls_session *
tls_session_new(struct tls_context *ctx, const char *host)
{
	struct tls_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->ctx = tls_context_ref(ctx);
	if (host != NULL && (s->host = strdup(host)) == NULL) {
		tls_session_free(s);
		return NULL;
	}
	return s;
}

/* Prepares a session; called on a helper thread, at the beginning of the first step. */
static int
session_begin(struct tls_session *s)
{
	struct tls_context *ctx = s->ctx;
	BIO *bio;

	s->ssl = SSL_new(s->ctx->ctxs[0]);
	bio = s->ssl == NULL ? NULL : BIO_new(s->ctx->bio);
	if (bio == NULL)
		return -1;
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, s);
	if (s->ctx->is_accepting) {
		SSL_set_accept_state(s->ssl);
		return 0;
	}
	SSL_set_connect_state(s->ssl);
	if (set_server_name(s) < 0)
		return -1;
	pthread_mutex_lock(&ctx->lock);
	for (unsigned i = 0; i < TLS_RESUMPTIONS_MAX; i++)
		if (ctx->resumptions[i].session != NULL && strcmp(ctx->resumptions[i].host, s->host) == 0) {
			SSL_set_session(s->ssl, ctx->resumptions[i].session);
			break;
		}
	pthread_mutex_unlock(&ctx->lock);
	return 0;
}

static void
run_retire(struct work *w)
{
	struct tls_session *s = (struct tls_session *)w;

	SSL_free(s->ssl);
	s->ssl = NULL;
}

static void
finish_retire(struct work *w)
{
	struct tls_session *s = (struct tls_session *)w;

	SSL_free(s->ssl); /* s->ssl is not NULL if no helper thread has freed it */
	free(s->stash);
	free(s->host);
	tls_context_unref(s->ctx);
	free(s);
}

void
tls_session_free(struct tls_session *s)
{
	if (s == NULL)
		return;
	s->retiring = (struct work){ .run = run_retire, .done = finish_retire };
	if (s->ssl == NULL || s->helpers == NULL || helpers_submit(s->helpers, s->inbox, &s->retiring, WORK_BEGUN) < 0)
		finish_retire(&s->retiring);
}

/* --- the handshake --- */

static void
set_why(const struct tls_session *s, struct fail *why)
{
	long verdict = SSL_get_verify_result(s->ssl);
	unsigned long e = ERR_peek_error();
	char reason[128];

	if (ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK) {
		snprintf(reason, sizeof(reason), "%s", X509_verify_cert_error_string(verdict));
		ERR_clear_error();
		fail_set(why, "08006", "the certificate of the %s was refused: %s",
			 s->ctx->is_accepting ? "client" : "server", reason);
		return;
	}
	tls_take_error_text(reason, sizeof(reason));
	fail_set(why, "08006", "TLS handshake failed: %s", reason);
}

static size_t
make_end_point(const struct tls_session *s, uint8_t out[static TLS_END_POINT_MAX])
{
	X509 *x = s->ctx->is_accepting ? SSL_get_certificate(s->ssl) : SSL_get0_peer_certificate(s->ssl);
	const EVP_MD *md;
	unsigned len = 0;
	int nid;

	if (x == NULL || X509_get_signature_info(x, &nid, NULL, NULL, NULL) != 1 || nid == NID_undef)
		/* Ed25519 and others have no hash of their own, so no tls-server-end-point is defined for them */
		return 0;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	md = EVP_get_digestbynid(nid);
	if (md == NULL || EVP_MD_get_size(md) > TLS_END_POINT_MAX || X509_digest(x, md, out, &len) != 1)
		return 0;
	return len;
}

enum tls_step
tls_shake_hands(struct tls_session *s, struct fail *why)
{
	int r;

	ERR_clear_error();
	if (s->ssl == NULL && session_begin(s) < 0) {
		ERR_clear_error();
		fail_memory(why, "a TLS session");
		s->is_broken = true;
		return TLS_FAILED;
	}
	r = SSL_do_handshake(s->ssl);
	if (r == 1) {
		s->end_point_len = make_end_point(s, s->end_point);
		return TLS_ESTABLISHED;
	}
	if (SSL_get_error(s->ssl, r) == SSL_ERROR_WANT_READ)
		return TLS_GOES_ON;
	set_why(s, why);
	s->is_broken = true;
	return TLS_FAILED;
}

/* --- facts after the handshake --- */

size_t
tls_get_end_point(const struct tls_session *s, uint8_t out[static TLS_END_POINT_MAX])
{
	memcpy(out, s->end_point, s->end_point_len);
	return s->end_point_len;
}

void
tls_stop_wiping(struct tls_session *s)
{
	SSL_clear_options(s->ssl, SSL_OP_CLEANSE_PLAINTEXT);
}

const char *
tls_server_name(const struct tls_session *s)
{
	return SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name);
}

bool
tls_has_alpn(const struct tls_session *s)
{
	const unsigned char *alpn;
	unsigned len;

	SSL_get0_alpn_selected(s->ssl, &alpn, &len);
	return len > 0;
}

bool
tls_has_peer_certificate(const struct tls_session *s)
{
	return SSL_get0_peer_certificate(s->ssl) != NULL && SSL_get_verify_result(s->ssl) == X509_V_OK;
}

/* Converts a name to NUL-terminated UTF-8. Returns false if this fails, if the name is empty or longer than
 * NAME_MAX_LEN, or if it has a NUL or control character. */
static bool
copy_plain_name(const ASN1_STRING *from, char out[static NAME_MAX_LEN + 1])
{
	unsigned char *utf8 = NULL;
	int len = from == NULL ? -1 : ASN1_STRING_to_UTF8(&utf8, from);
	bool is_plain = len > 0 && len <= NAME_MAX_LEN;

	for (int i = 0; is_plain && i < len; i++)
		is_plain = utf8[i] >= ' ' && utf8[i] != 0x7f;
	if (is_plain) {
		memcpy(out, utf8, (size_t)len);
		out[len] = '\0';
	}
	OPENSSL_free(utf8);
	return is_plain;
}

void
tls_each_peer_name(const struct tls_session *s, bool (*name)(char kind, const char *text, void *arg), void *arg)
{
	X509 *x = SSL_get0_peer_certificate(s->ssl);
	const X509_NAME *subject = x == NULL ? NULL : X509_get_subject_name(x);
	int at = subject == NULL ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	char text[NAME_MAX_LEN + 1];
	GENERAL_NAMES *names;
	bool goes_on = true;

	if (x == NULL)
		return;
	if (at >= 0 && copy_plain_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), text))
		goes_on = name('C', text, arg);
	names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; goes_on && i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

		if ((type == GEN_DNS || type == GEN_EMAIL) && copy_plain_name(value, text))
			goes_on = name(type == GEN_DNS ? 'D' : 'E', text, arg);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

int
tls_peer_subject(const struct tls_session *s, char *out, size_t out_cap)
{
	X509 *x = SSL_get0_peer_certificate(s->ssl);
	BIO *text = x == NULL ? NULL : BIO_new(BIO_s_mem());
	int result = -1;
	char *bytes;
	long len;

	if (text == NULL)
		return -1;
	X509_NAME_print_ex(text, X509_get_subject_name(x), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	len = BIO_get_mem_data(text, &bytes);
	if (len > 0 && (size_t)len < out_cap && memchr(bytes, 0, (size_t)len) == NULL) {
		memcpy(out, bytes, (size_t)len);
		out[len] = '\0';
		result = 0;
	}
	BIO_free(text);
	return result;
}

const char *
tls_version_name(const struct tls_session *s)
{
	return SSL_get_version(s->ssl);
}

const char *
tls_cipher_name(const struct tls_session *s)
{
	return SSL_get_cipher_name(s->ssl);
}

bool
tls_is_resumed(const struct tls_session *s)
{
	return SSL_session_reused(s->ssl) == 1;
}
