/*
 * src/net/tls_state.h - what tls_context.c, tls_session.c, stream_tls.c and handshake.c share; nobody else sees it.
 */
#ifndef PGWEIR_NET_TLS_STATE_H
#define PGWEIR_NET_TLS_STATE_H

#include "net/tls.h"
#include "net/workers.h"

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
	SSL_CTX *ctxs[TLS_CERTIFICATES_MAX]; /* one for each certificate; the first is for all others */
	size_t count;
	BIO_METHOD *bio;
	int64_t not_after;
	bool is_accepting, verifies_name, hides_name;
	pthread_mutex_t lock; /* over resumptions */
	struct tls_resumption resumptions[TLS_RESUMPTIONS_MAX];
	unsigned next_resumption;
};

/* Bytes on their way to the network. */
struct tls_sink {
	uint8_t *bytes;
	size_t len, cap;
	bool is_broken; /* no memory: bytes were lost */
};

/*
 * OpenSSL's objects are made and freed by the threads alone: both take locks of the whole library, and a thread of low
 * priority that holds one would have the loop wait for as long as it pleases the scheduler.
 */
struct tls_session {
	struct work retiring; /* first */
	struct workers *workers; /* who frees it; NULL: whoever lets go of it */
	SSL *ssl; /* NULL before the first step of the handshake */
	struct tls_context *ctx;
	const uint8_t *in; /* from the network, lent while a call runs */
	size_t in_len;
	struct tls_sink *out; /* lent likewise */
	uint8_t *stash; /* from the network, not looked at yet; nearly always NULL */
	size_t stash_len;
	struct tls_scratch *scratch; /* the loop's; while it is a stream's */
	size_t answers_len; /* what OpenSSL said of its own, asked for by the peer, since the queue was last empty */
	uint8_t end_point[TLS_END_POINT_MAX];
	size_t end_point_len;
	bool has_plain; /* decrypted bytes were left over */
	bool is_ended, is_broken; /* close_notify came; OpenSSL must not be asked any more */
	char *host;
};

int tls_sink_reserve(struct tls_sink *sink, size_t cap); /* of an empty one. -1: no memory */
int tls_sink_put(struct tls_sink *sink, const void *bytes, size_t len); /* -1: no memory; is_broken then */
void tls_sink_fini(struct tls_sink *sink);

/* --- a step of a session: in is looked at, out takes what goes to the network --- */
enum tls_step { TLS_GOES_ON, TLS_ENDED, TLS_FAILED };
/* Some of the handshake. GOES_ON: more bytes are needed; ENDED: established. What of in is left stays in s->in. */
enum tls_step tls_shake_hands(struct tls_session *s, struct fail *why);
/* OpenSSL's reasons for the last failure, and the end of them. */
void tls_reason(char *out, size_t out_cap);

#endif
