/*
 * src/net/tls.h - TLS by OpenSSL: the state that all connections of a configuration share (tls_context), and the state
 * of one connection (tls_session). There are no sockets here: bytes from the network go in and bytes for the network
 * come out, so a handshake can run on any thread.
 *
 * Always: a context is immutable once made; a reload makes a new one, and sessions keep theirs.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context; /* opaque: tls_context.c; reference-counted, from any thread */
struct tls_session; /* opaque: tls_session.c; used by one thread at a time */

/* Says whether a client is asked for a certificate. With TLS_NEEDED, the handshake fails if the client sends none. */
enum tls_wish { TLS_NOT_ASKED_FOR, TLS_ASKED_FOR, TLS_NEEDED };
/* The checks of a server's certificate. TLS_CHECK_CHAIN: a CA in ca_file must have signed the certificate.
 * TLS_CHECK_NAME: the certificate must also have the server's name. */
enum tls_verify { TLS_CHECK_NOTHING, TLS_CHECK_CHAIN, TLS_CHECK_NAME };

/* Settings of an accepting context. Files are PEM. Strings are borrowed; NULL and empty strings mean that nothing is
 * set. */
struct tls_accept_settings {
	const char *certificate_files, *key_files; /* lists separated by ", "; as many keys as certificates */
	const char *ca_file, *crl_file;
	const char *min_version; /* "1.2" or "1.3" */
	const char *ciphers; /* for TLS 1.2 */
	const char *tls13_ciphers; /* for TLS 1.3 */
	/* whether clients are asked for a certificate, and must have one; needs ca_file unless TLS_NOT_ASKED_FOR. The
	 * handshake fails if the certificate does not verify */
	enum tls_wish certificate;
	/* the ALPN protocol, a static text preceded by its length; if NULL, PostgreSQL's. Clients that offer only other
	 * protocols are refused */
	const char *protocol;
};
struct tls_connect_settings {
	const char *ca_file; /* CA certificates; "system" for OpenSSL's own list */
	const char *certificate_file, *key_file;
	const char *min_version; /* "1.2" or "1.3" */
	enum tls_verify verify;
	bool hides_name; /* sends no SNI */
};

/* Makes a context for accepted connections. Returns NULL with *why set (F0000, with the name of the file) if, for
 * example, a file can't be read or a key does not fit. */
struct tls_context *tls_context_for_accept(const struct tls_accept_settings *settings, struct fail *why);
/* Makes a context for connections to servers. Fails as tls_context_for_accept() does. */
struct tls_context *tls_connect_context(const struct tls_connect_settings *settings, struct fail *why);
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context *ctx); /* does nothing if ctx is NULL */
/* Returns when the context's first certificate expires, in seconds since 1970; 0 if it has no certificate. */
int64_t tls_context_not_after(const struct tls_context *ctx);

/* Returns an SSL of an accepting context, or NULL without memory. The caller provides input and output, and keeps a
 * reference to ctx as long as it uses the SSL. */
struct ssl_st *tls_context_new_ssl(struct tls_context *ctx);

/* Makes a session. host is the server's name, for SNI and verification, or NULL for an accepted session. Returns NULL
 * without memory. */
struct tls_session *tls_session_new(struct tls_context *ctx, const char *host);
/* Frees s; if a helper thread did the handshake, a helper thread also frees s, later. Does nothing if s is NULL. */
void tls_session_free(struct tls_session *s);

/* --- Facts about a session after its handshake; s must not be NULL. --- */
#define TLS_END_POINT_MAX 64
/* Writes tls-server-end-point (RFC 5929) of the server's certificate. Returns its length, or 0 if the certificate has
 * no such hash. */
size_t tls_end_point(const struct tls_session *s, uint8_t out[static TLS_END_POINT_MAX]);
/* Called after the login, when no more passwords come. Until then OpenSSL wipes the whole buffer of each read after
 * decrypting, which costs half a microsecond. */
void tls_stop_wiping(struct tls_session *s);
const char *tls_server_name(const struct tls_session *s); /* returns the SNI that the client sent, or NULL */
bool tls_has_alpn(const struct tls_session *s); /* returns true if both sides agreed on "postgresql" */
/* returns true if the peer has sent a certificate; it is verified if the context verifies */
bool tls_has_peer_certificate(const struct tls_session *s);
/* Calls name() for each name of the peer's certificate: its subject's common name (`kind` 'C'), then its DNS ('D') and
 * e-mail ('E') alternative names. Names with a NUL or a control character are skipped. name() returns false to stop. */
void tls_peer_names(const struct tls_session *s, bool (*name)(char kind, const char *text, void *arg), void *arg);
/* Writes the subject of the peer's certificate as in RFC 2253 ("CN=web,O=Acme"), for clientname=DN. Returns 0, or -1 if
 * there is no certificate or no room. */
int tls_peer_subject(const struct tls_session *s, char *out, size_t out_cap);
const char *tls_version_name(const struct tls_session *s); /* returns "TLSv1.3" and the like */
const char *tls_cipher_name(const struct tls_session *s);
bool tls_is_resumed(const struct tls_session *s);
