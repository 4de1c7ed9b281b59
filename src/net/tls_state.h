/* src/net/tls_state.h - declarations that only tls_context.c, tls_session.c, stream_tls.c and handshake.c share. */
#pragma once

#include "base/buf.h"
#include "net/stream.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define TLS_CERTIFICATES_MAX 32
#define TLS_RESUMPTIONS_MAX 16 /* hosts whose last session is kept for the next connection */
#define TLS_ALPN "\xapostgresql"

struct tls_resumption {
	char host[256];
	SSL_SESSION *session;
};

struct tls_context {
	atomic_uint refs;
	SSL_CTX *ctxs[TLS_CERTIFICATES_MAX]; /* one for each certificate; the first is the default */
	size_t count;
	BIO_METHOD *bio;
	int64_t not_after;
	enum tls_verify verify;
	bool is_accepting, hides_name;
	pthread_mutex_t lock; /* guards the sessions that can be resumed */
	struct tls_resumption resumptions[TLS_RESUMPTIONS_MAX];
	unsigned next_resumption;
};

/* The TLS of one connection. Only the helper threads make and free OpenSSL's objects: both take locks of the whole
 * library, and if a thread of low priority held such a lock, the loop would wait until the scheduler lets that thread
 * run. */
struct tls_session {
	struct work retiring; /* must be first */
	struct helpers *helpers; /* threads that free the session; NULL if the caller of tls_session_free() frees it */
	struct inbox *inbox; /* inbox of the loop that the session is on */
	SSL *ssl; /* NULL before the first step of the handshake */
	struct tls_context *ctx;
	const uint8_t *in; /* input from the network, borrowed while a call runs */
	size_t in_len;
	struct buf *out; /* output for the network, borrowed while a call runs */
	uint8_t *stash; /* input from the network that was not used yet; usually NULL */
	size_t stash_len;
	struct tls_scratch *scratch; /* buffers of the loop, while the session belongs to a stream */
	size_t answers_len; /* bytes that OpenSSL has sent at the peer's request since the queue was last empty */
	uint8_t end_point[TLS_END_POINT_MAX];
	size_t end_point_len;
	bool has_plain; /* decrypted bytes are left over */
	bool is_ended, is_broken; /* is_ended: close_notify came; is_broken: OpenSSL must not be called any more */
	char *host;
};

/* --- One step of a session: reads from in, writes to out. --- */
enum tls_step { TLS_GOES_ON, TLS_ENDED, TLS_FAILED };
/* Does a part of the handshake. Returns TLS_GOES_ON if more bytes are needed, TLS_ENDED if the session is established,
 * or TLS_FAILED with *why set. Unused input stays in s->in. */
enum tls_step tls_shake_hands(struct tls_session *s, struct fail *why);
/* Writes OpenSSL's reasons for the last failure, and clears them. */
void tls_reason(char *out, size_t out_cap);

/* --- Declarations that only stream.c, stream_tls.c and handshake.c share. --- */

void stream_call_later(struct stream *s); /* calls on_readable from the loop, even if the socket has no input */
enum stream_result stream_read_raw(struct stream *s, void *buf, size_t cap, size_t *got); /* reads from the socket */
/* Writes pieces to the socket unencrypted, after what is queued. Returns 0, or -1 without memory. */
int stream_write_raw(struct stream *s, const struct iovec *pieces, int count);

/* In stream_tls.c; each does for TLS what the function of stream.h without _tls does. */
enum stream_result stream_tls_read(struct stream *s, void *buf, size_t cap, size_t *got);
int stream_tls_write(struct stream *s, const struct iovec *pieces, int count);
void stream_tls_close(struct stream *s);
/* returns true if there is input for which no event of the socket will come */
bool stream_tls_has_input(const struct stream *s);

/* In handshake.c. */
void handshake_event(struct stream *s); /* called when the socket is readable while a handshake is under way */
void handshake_abandon(struct stream *s); /* called when the stream is closed while a handshake is under way */
