/* src/net/stream_state.h - what stream.c, stream_tls.c and handshake.c share; nobody else sees it. */
#pragma once

#include "net/stream.h"

void stream_call_later(struct stream *s); /* calls on_readable, though the socket may have nothing */
enum stream_result stream_read_raw(struct stream *s, void *buf, size_t cap, size_t *got); /* reads from the socket */
/* Writes pieces to the socket unencrypted, after what is queued. Returns 0, or -1 without memory. */
int stream_write_raw(struct stream *s, const struct iovec *pieces, int count);

/* stream_tls.c: see the functions without _tls in stream.h. */
enum stream_result stream_tls_read(struct stream *s, void *buf, size_t cap, size_t *got);
int stream_tls_write(struct stream *s, const struct iovec *pieces, int count);
void stream_tls_close(struct stream *s);
void stream_tls_hook(struct stream *s, struct inbox *inbox, struct tls_scratch *scratch);
bool stream_tls_has_input(const struct stream *s); /* for which no event of the socket will come */

/* handshake.c */
void handshake_event(struct stream *s); /* the socket is readable, and a handshake is under way */
void handshake_abandon(struct stream *s); /* its stream is closed */
