/* src/net/tls_state.h - shared by tls_context.c, tls_session.c, stream_tls.c, handshake.c and stream.c only. */
#pragma once

#include "base/buf.h"
#include "net/stream.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define TLS_CERTIFICATES_MAX 32
#define TLS_RESUMPTIONS_MAX 16 /* hosts for which a session is kept, to be resumed by the next connection */
#define TLS_ALPN "\xapostgresql"

struct tls_resumption {
	char host[256];
	SSL_SESSION *session;
};

struct tls_context {
	atomic_uint refs;
	SSL_CTX *ctxs[TLS_CERTIFICATES_MAX]; /* one for each certificate; the first is the default */
	size_t count; /* number of ctxs */
	BIO_METHOD *bio;
	int64_t not_after; /* the result of tls_context_not_after() */
	enum tls_verify verify;
	bool is_accepting, hides_name;
	pthread_mutex_t lock; /* guards the next two fields */
	struct tls_resumption resumptions[TLS_RESUMPTIONS_MAX];
	unsigned next_resumption; /* the element replaced next, modulo TLS_RESUMPTIONS_MAX */
};

/* The TLS of one connection. OpenSSL's objects are made and freed on helper threads where possible, because making or
 * freeing one takes locks that all threads share. If the loop needed such a lock, it would wait for the helper that
 * holds the lock, and helpers have a low priority. */
struct tls_session {
	struct work retiring; /* must be first; frees `ssl` on a helper thread, and then the session on the loop */
	struct helpers *helpers; /* NULL before the handshake */
	struct inbox *inbox; /* inbox of the loop that the session is on */
	SSL *ssl; /* NULL before the first step of the handshake */
	struct tls_context *ctx;
	const uint8_t *in; /* input from the network, borrowed while a call runs */
	size_t in_len;
	struct buf *out; /* output for the network, borrowed while a call runs */
	uint8_t *stash; /* a copy of input from the network that OpenSSL has not read yet; usually NULL */
	size_t stash_len;
	struct tls_scratch *scratch; /* buffers that all TLS streams of the loop share */
	/* bytes that OpenSSL has sent of its own accord since the stream's queue was last empty, such as new keys that
	 * the peer asked for */
	size_t unasked_output_len;
	uint8_t end_point[TLS_END_POINT_MAX]; /* see tls_get_end_point() */
	size_t end_point_len;
	bool has_plain; /* true if OpenSSL holds decrypted bytes that were not read yet */
	bool is_ended; /* true if the peer's close_notify has come */
	bool is_broken; /* true if OpenSSL must not be called any more */
	char *host;
};

enum tls_step { TLS_GOES_ON, TLS_ESTABLISHED, TLS_FAILED };
/* Does a part of the handshake: reads from s->in and writes to s->out. Returns TLS_GOES_ON if more input is needed,
 * TLS_ESTABLISHED if the session is established, or TLS_FAILED with *why set. Unused input stays in s->in. */
enum tls_step tls_shake_hands(struct tls_session *s, struct fail *why);
/* Writes OpenSSL's first reason for this thread's last failure as text, and clears all reasons. */
void tls_take_error_text(char *out, size_t out_cap);

/* --- Declarations that only stream.c, stream_tls.c and handshake.c share. --- */

void stream_call_later(struct stream *s); /* makes the loop call on_readable(), even if the socket has no input */
enum stream_result stream_read_raw(struct stream *s, void *buf, size_t cap, size_t *got); /* reads from the socket */
/* Writes pieces to the socket, after queued bytes, without encrypting them. Returns 0, or -1 if there is no memory. */
int stream_write_raw(struct stream *s, const struct iovec *pieces, int count);

/* In stream_tls.c: stream_read(), stream_write() and stream_close() for TLS streams. */
enum stream_result stream_tls_read(struct stream *s, void *buf, size_t cap, size_t *got);
int stream_tls_write(struct stream *s, const struct iovec *pieces, int count);
void stream_tls_close(struct stream *s);
/* returns true if input, or the end, was read from the socket already, so that no event will report it */
bool stream_tls_has_input(const struct stream *s);

/* In handshake.c. */
void handshake_on_readable(struct stream *s); /* called when the socket is readable while a handshake is under way */
void handshake_abandon(struct stream *s); /* called when the stream is closed while a handshake is under way */
