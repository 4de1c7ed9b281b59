/*
 * src/net/handshake.h - turns a stream into a TLS stream. OpenSSL runs on threads of low priority (helpers.h); the loop
 * only moves bytes. Until the handshake is over, done is the only callback that the stream's owner gets.
 */
#pragma once

#include "net/stream.h"
#include "net/tls.h"
#include "net/helpers.h"

struct tls_scratch; /* opaque: stream_tls.c; shared by the loop's streams */
struct tls_scratch *tls_scratch_new(void);
void tls_scratch_free(struct tls_scratch *t); /* NULL is fine */

struct handshake_settings {
	struct helpers *helpers;
	struct inbox *inbox; /* of the stream's loop */
	struct tls_scratch *scratch;
	struct tls_session *tls; /* taken, even if it can't begin */
	enum work_line line;
	/*
	 * Called once, from the loop, unless the stream is closed before. If why is NULL, the stream is encrypted from
	 * now on, and stream_tls() returns it. Otherwise it must be closed; its peer was sent a TLS alert.
	 */
	void (*done)(struct stream *s, const struct fail *why, void *arg);
	void *arg;
};

/*
 * first: bytes that were read already (direct TLS), or none. Returns 0, or -1 with *why set: done is then not called.
 */
int handshake_begin(struct stream *s, const struct handshake_settings *settings, const void *first, size_t first_len,
		    struct fail *why);
