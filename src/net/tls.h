/*
 * src/net/tls.h - TLS by OpenSSL: what a configuration's connections share (tls_context), and the state of one
 * connection (tls_session). There are no sockets here: bytes from the network go in and bytes for it come out, so a
 * handshake can run on any thread.
 *
 * A context is immutable once made; a reload makes a new one, and sessions keep theirs.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context; /* opaque: tls_context.c; counted by reference, from any thread */
struct tls_session; /* opaque: tls_session.c; used by one thread at a time */

enum tls_wish { TLS_NOT_ASKED_FOR, TLS_ASKED_FOR, TLS_NEEDED }; /* without what is needed the handshake fails */
/* Says what is verified of a server's certificate: that it is of ca_file; and that it has the server's name. */
enum tls_verify { TLS_VERIFY_NOTHING, TLS_VERIFY_CHAIN, TLS_VERIFY_NAME };

/* Files are PEM. Strings are borrowed; NULL and empty mean none. */
struct tls_accept_settings {
	const char *certificate_files, *key_files; /* lists separated by ", "; as many keys as certificates */
	const char *ca_file, *crl_file;
	const char *min_version; /* "1.2" or "1.3" */
	const char *ciphers; /* for TLS 1.2 */
	const char *tls13_ciphers; /* for TLS 1.3 */
	enum tls_wish certificate; /* of the client; needs ca_file. The handshake fails if it does not verify */
	const char *protocol; /* of ALPN, its length first; static; NULL: PostgreSQL's. Who offers others is refused */
};
struct tls_connect_settings {
	const char *ca_file; /* "system": OpenSSL's own list */
	const char *certificate_file, *key_file;
	const char *min_version; /* "1.2" or "1.3" */
	enum tls_verify verify;
	bool hides_name; /* sends no SNI */
};

/* Return NULL with *why set (F0000, names the file) if a file can't be read, a key does not fit, ... */
struct tls_context *tls_accept_context(const struct tls_accept_settings *settings, struct fail *why);
struct tls_context *tls_connect_context(const struct tls_connect_settings *settings, struct fail *why);
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context *ctx); /* NULL is fine */
/* Returns when the first certificate expires, in seconds since 1970; 0: there is none. */
int64_t tls_context_not_after(const struct tls_context *ctx);

/* Returns an SSL of an accepting context, for a caller that brings its own input and output, and holds ctx as long as
 * it lives; NULL without memory. */
struct ssl_st *tls_context_accept(struct tls_context *ctx);

/* host: the server's name, for SNI and verification; NULL for accepted sessions. Returns NULL without memory. */
struct tls_session *tls_session_new(struct tls_context *ctx, const char *host);
void tls_session_free(struct tls_session *s); /* after a handshake a thread frees it later; NULL is fine */

/* --- What is known of a session after its handshake; s must not be NULL. --- */
#define TLS_END_POINT_MAX 64
/* Writes tls-server-end-point (RFC 5929) of the server's certificate. Returns its length; 0: it has no such hash. */
size_t tls_end_point(const struct tls_session *s, uint8_t out[static TLS_END_POINT_MAX]);
/* Call it after the login, when no more passwords come. Until then OpenSSL wipes the whole buffer of each read after
 * decrypting, which costs half a microsecond. */
void tls_secrets_are_over(struct tls_session *s);
const char *tls_server_name(const struct tls_session *s); /* the SNI that the client sent, or NULL */
bool tls_has_alpn(const struct tls_session *s); /* both sides agreed on "postgresql" */
bool tls_has_peer_certificate(const struct tls_session *s); /* a verified one, where the context verifies */
/* Calls name for each name of the peer's certificate: its subject's common name (kind 'C'), then its DNS ('D') and
 * e-mail ('E') alternative names; not for those with a NUL or a control character. name returns false to stop. */
void tls_peer_names(const struct tls_session *s, bool (*name)(char kind, const char *text, void *arg), void *arg);
/* Writes the subject as in RFC 2253 ("CN=web,O=Acme"), for clientname=DN. Returns 0, or -1: none, or no room. */
int tls_peer_subject(const struct tls_session *s, char *out, size_t out_cap);
const char *tls_version_name(const struct tls_session *s); /* "TLSv1.3" */
const char *tls_cipher_name(const struct tls_session *s);
bool tls_is_resumed(const struct tls_session *s);
