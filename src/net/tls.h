/*
 * src/net/tls.h - TLS by OpenSSL: the state that all connections of a configuration share (tls_context), and the state
 * of one connection (tls_session). These functions use no sockets: bytes from the network go in, and bytes for the
 * network come out, so a handshake can run on any thread.
 *
 * Always: a context's settings never change. A reload makes a new context; existing sessions keep the old one.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context; /* opaque: tls_context.c; reference-counted; any thread may use it */
struct tls_session; /* opaque: tls_session.c; used by one thread at a time */

/* Whether a client is asked for a certificate. With TLS_NEEDED, the handshake fails if the client sends none. */
enum tls_client_certificate_mode { TLS_NOT_ASKED_FOR, TLS_ASKED_FOR, TLS_NEEDED };
/* The checks of a server's certificate. TLS_CHECK_CHAIN: a CA in ca_file must have signed the certificate.
 * TLS_CHECK_NAME: the certificate must also have the server's name. */
enum tls_verify { TLS_CHECK_NOTHING, TLS_CHECK_CHAIN, TLS_CHECK_NAME };

/* Settings of a context for accepted connections. Files are in PEM format. Strings are borrowed; NULL or "" if
 * not set. */
struct tls_accept_settings {
	const char *certificate_files, *key_files; /* lists separated by ", "; certificate i has key i */
	const char *ca_file, *crl_file;
	const char *min_version; /* "1.2" or "1.3" */
	const char *ciphers; /* for TLS 1.2 */
	const char *tls13_ciphers; /* for TLS 1.3 */
	/* with TLS_ASKED_FOR and TLS_NEEDED, ca_file must be set, and the handshake fails if a client's certificate
	 * does not verify against ca_file */
	enum tls_client_certificate_mode client_certificate_mode;
	/* the protocol for ALPN, a static text with its length in the first byte; NULL for PostgreSQL's protocol. If a
	 * client offers only other protocols, the handshake fails */
	const char *protocol;
};
/* Settings of a context for connections to servers. */
struct tls_connect_settings {
	const char *ca_file; /* CA certificates; "system" stands for OpenSSL's own list */
	const char *certificate_file, *key_file; /* without key_file, certificate_file has the key, too */
	const char *min_version; /* "1.2" or "1.3" */
	enum tls_verify verify;
	bool hides_name; /* true if no SNI is sent */
};

/* Makes a context for accepted connections. Returns NULL with *why set (F0000) if, for example, a file can't be read,
 * or a key does not belong to its certificate. */
struct tls_context *tls_context_for_accept(const struct tls_accept_settings *settings, struct fail *why);
/* Makes a context for connections to servers. Fails as tls_context_for_accept() does. */
struct tls_context *tls_context_for_connect(const struct tls_connect_settings *settings, struct fail *why);
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context *ctx); /* does nothing if ctx is NULL */
/* Returns when ctx's first certificate expires, in seconds since 1970; 0 if ctx has no certificate. */
int64_t tls_context_not_after(const struct tls_context *ctx);

/* Returns a new SSL for an accepted connection, or NULL if there is no memory. The caller does the input and output,
 * and keeps a reference to ctx as long as it uses the SSL. */
struct ssl_st *tls_context_new_ssl(struct tls_context *ctx);

/* Makes a session. host is the server's name, for SNI and verification; NULL for an accepted connection. Returns NULL
 * if there is no memory. */
struct tls_session *tls_session_new(struct tls_context *ctx, const char *host);
/* Frees s, which may be NULL. If a helper did the handshake, s is freed later, after a helper has freed the SSL. */
void tls_session_free(struct tls_session *s);

/* --- Facts about a session after its handshake; s must not be NULL. --- */
#define TLS_END_POINT_MAX 64
/* Writes the hash of the server's certificate that RFC 5929 calls tls-server-end-point, for channel binding. Returns
 * its length, or 0 if RFC 5929 defines no hash for this certificate. */
size_t tls_get_end_point(const struct tls_session *s, uint8_t out[static TLS_END_POINT_MAX]);
/* From now on, OpenSSL's input buffer is not wiped after each read; each wipe costs half a microsecond. Called after
 * the login, when no more passwords come. */
void tls_stop_wiping(struct tls_session *s);
const char *tls_server_name(const struct tls_session *s); /* returns the SNI that the client sent, or NULL */
bool tls_has_alpn(const struct tls_session *s); /* returns true if both sides agreed on "postgresql" by ALPN */
/* returns true if the peer has sent a certificate that OpenSSL has accepted */
bool tls_has_peer_certificate(const struct tls_session *s);
/* Calls name() for each name in the peer's certificate: the subject's common name (kind 'C'), and then the alternative
 * names, which are DNS names ('D') and e-mail addresses ('E'). Leaves out names with control characters, or of more
 * than 255 bytes. Stops when name() returns false. */
void tls_each_peer_name(const struct tls_session *s, bool (*name)(char kind, const char *text, void *arg), void *arg);
/* Writes the subject of the peer's certificate in the form of RFC 2253 ("CN=web,O=Acme"), for clientname=DN. Returns 0,
 * or -1 if there is no certificate, or the text does not fit. */
int tls_peer_subject(const struct tls_session *s, char *out, size_t out_cap);
const char *tls_version_name(const struct tls_session *s); /* returns "TLSv1.3" and the like */
const char *tls_cipher_name(const struct tls_session *s);
bool tls_is_resumed(const struct tls_session *s);
