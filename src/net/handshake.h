/*
 * src/net/handshake.h - makes a stream a TLS stream. OpenSSL's part runs on the threads of low priority (workers.h);
 * the loop only moves bytes. Until it is over the stream's owner gets no callbacks but done.
 */
#ifndef PGWEIR_NET_HANDSHAKE_H
#define PGWEIR_NET_HANDSHAKE_H

#include "net/stream.h"
#include "net/tls.h"
#include "net/workers.h"

struct tls_scratch; /* opaque: the loop's; stream_tls.c */
struct tls_scratch *tls_scratch_new(void);
void tls_scratch_free(struct tls_scratch *t); /* NULL is fine */

struct handshake_settings {
	struct workers *workers;
	struct tls_scratch *scratch;
	struct tls_session *tls; /* taken, also if it can't begin */
	enum work_line line;
	/*
	 * Once, from the loop, unless the stream is closed before. why NULL: the stream is encrypted from now on;
	 * s->tls tells of it. Else it must be closed; its peer was told by TLS' own alert.
	 */
	void (*done)(struct stream *s, const struct fail *why, void *arg);
	void *arg;
};

/* first: bytes that were read already (direct TLS), or none. -1 and why: it can't begin, done is not called. */
int handshake_begin(struct stream *s, const struct handshake_settings *settings, const void *first, size_t first_len,
		    struct fail *why);

#endif
