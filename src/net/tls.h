/*
 * src/net/tls.h - TLS by OpenSSL: what a configuration's connections share (tls_context), and one connection's
 * (tls_session). No sockets here: bytes of the network go in and come out, so that a handshake can run on any thread.
 *
 * A context is immutable once made; a reload makes a new one, and sessions keep theirs.
 */
#ifndef PGWEIR_NET_TLS_H
#define PGWEIR_NET_TLS_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context; /* opaque: tls_context.c; counted by reference, from any thread */
struct tls_session; /* opaque: tls_session.c; used by one thread at a time */

/* Files are PEM. Strings are only looked at; NULL or empty: none. */
struct tls_accept_settings {
	const char *certificate_files, *key_files; /* lists with ", " between; as many keys as certificates */
	const char *ca_file, *crl_file;
	const char *min_version; /* "1.2" or "1.3" */
	const char *ciphers; /* of TLS 1.2 */
	bool asks_certificate; /* of the client; needs ca_file. One that does not verify fails the handshake */
	bool needs_certificate; /* without one the handshake fails */
};
struct tls_connect_settings {
	const char *ca_file; /* "system": OpenSSL's own list */
	const char *certificate_file, *key_file;
	bool verifies_chain, verifies_name;
	bool hides_name; /* no SNI */
};

/* NULL and why (F0000, names the file) if a file can't be read, a key does not fit, ... */
struct tls_context *tls_accept_context(const struct tls_accept_settings *settings, struct fail *why);
struct tls_context *tls_connect_context(const struct tls_connect_settings *settings, struct fail *why);
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context *ctx); /* NULL is fine */
/* Of the first certificate, seconds since 1970; 0: there is none. */
int64_t tls_context_not_after(const struct tls_context *ctx);

/* host: whom we connect to, for SNI and verification; NULL for sessions we accept. NULL: no memory. */
struct tls_session *tls_session_new(struct tls_context *ctx, const char *host);
void tls_session_free(struct tls_session *s); /* later, by a thread, once there was a handshake; NULL is fine */

/* --- What is known of a session after its handshake; s may not be NULL. --- */
#define TLS_END_POINT_MAX 64
/* tls-server-end-point (RFC 5929) of the server's certificate: bytes written; 0: it has no such hash. */
size_t tls_end_point(const struct tls_session *s, uint8_t out[static TLS_END_POINT_MAX]);
/*
 * The login is over: passwords come no more. Until then OpenSSL wipes what it has decrypted, the whole buffer of each
 * read, which costs half a microsecond.
 */
void tls_secrets_are_over(struct tls_session *s);
const char *tls_server_name(const struct tls_session *s); /* SNI that the client sent; NULL: none */
bool tls_has_alpn(const struct tls_session *s); /* both sides said "postgresql" */
bool tls_has_peer_certificate(const struct tls_session *s); /* a verified one, where the context verifies */
/*
 * The names the peer's certificate is for: its subject's common name first (kind 'C'), then the DNS ('D') and e-mail
 * ('E') alternative names. Names with a NUL or a control character within are left out. false stops the walk.
 */
void tls_peer_names(const struct tls_session *s, bool (*name)(char kind, const char *text, void *arg), void *arg);
/* The subject as RFC 2253 text ("CN=web,O=Acme"), for clientname=DN. -1: none, or out is too small. */
int tls_peer_subject(const struct tls_session *s, char *out, size_t out_cap);
const char *tls_version_name(const struct tls_session *s); /* "TLSv1.3" */
const char *tls_cipher_name(const struct tls_session *s);
bool tls_is_resumed(const struct tls_session *s);

#endif
