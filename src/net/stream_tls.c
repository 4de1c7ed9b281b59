/*
 * src/net/stream_tls.c - an established TLS session between a stream's owner and its socket.
 *
 * Reading: one recv fills the loop's scratch, and OpenSSL takes record after record from there until nothing is left or
 * the caller's buffer is full. Writing: OpenSSL puts the records of a batch into the loop's sink, which is sent at the
 * end of the batch, and whenever it has WRITE_AT_ONCE bytes; bytes that the peer does not take are queued encrypted. So
 * OpenSSL never waits for a socket, and an idle session holds no buffer.
 */
#include "base/alloc.h"
#include "net/tls_state.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#define TLS_SCRATCH_IN ((size_t)64 << 10)
#define RECORD_MAX ((size_t)16384) /* plaintext of one record */
/* largest part of a record that OpenSSL holds until the record is complete */
#define RECORD_PARTIAL_MAX (RECORD_MAX + 512)
#define WRITE_AT_ONCE ((size_t)64 << 10)
#define SINK_KEPT ((size_t)128 << 10)
/* enough for some thousand key updates: an honest peer that requests so many also reads the answers */
#define ANSWERS_MAX ((size_t)64 << 10)

/* Buffers that all TLS streams of one loop share; each is empty when control returns to the loop. */
struct tls_scratch {
	uint8_t *in; /* ciphertext that was just read */
	uint8_t *gather; /* collects small pieces for one record */
	struct buf sink;
};

struct tls_scratch *
tls_scratch_new(void)
{
	struct tls_scratch *t = xcalloc(1, sizeof(*t));

	t->in = xmalloc(TLS_SCRATCH_IN);
	t->gather = xmalloc(RECORD_MAX);
	return t;
}

void
tls_scratch_free(struct tls_scratch *t)
{
	if (t == NULL)
		return;
	free(t->in);
	free(t->gather);
	buf_fini(&t->sink);
	free(t);
}

/* Sends OpenSSL's output with one call. Returns 0, or -1 if bytes were lost. */
static int
send_sink(struct stream *s)
{
	struct buf *sink = &s->tls->scratch->sink;
	struct iovec piece = { .iov_base = sink->bytes, .iov_len = sink->len };
	int result = sink->is_broken || (sink->len > 0 && stream_write_raw(s, &piece, 1) < 0) ? -1 : 0;

	sink->len = 0;
	if (sink->is_broken || sink->cap > SINK_KEPT)
		buf_fini(sink);
	return result;
}

/* --- reading --- */

/* Gets ciphertext for OpenSSL: bytes that were left over or, if there are none, bytes from the socket. */
static enum stream_result
take_input(struct stream *s, size_t cap)
{
	struct tls_session *t = s->tls;
	size_t want = cap < TLS_SCRATCH_IN ? cap : TLS_SCRATCH_IN;
	enum stream_result r;

	if (t->stash != NULL) {
		t->in = t->stash;
		t->in_len = t->stash_len;
		return STREAM_OK;
	}
	/* If OpenSSL holds a part of a record, less is read, so that record fits into the caller's buffer. */
	if (SSL_has_pending(t->ssl) && want > 2 * RECORD_PARTIAL_MAX)
		want -= RECORD_PARTIAL_MAX;
	r = stream_read_raw(s, t->scratch->in, want, &t->in_len);
	if (r == STREAM_OK)
		t->in = t->scratch->in;
	else
		t->in_len = 0;
	return r;
}

/* Decrypts records into buf until buf is full or no record is left. OpenSSL's error queue is not read, so it need not
 * be emptied before each call; errors that a call leaves there are removed. */
static void
decrypt(struct tls_session *t, uint8_t *buf, size_t cap, size_t *got)
{
	do {
		size_t n = 0;

		if (SSL_read_ex(t->ssl, buf + *got, cap - *got, &n) != 1) {
			if (SSL_want_read(t->ssl))
				break;
			ERR_clear_error();
			t->is_ended = (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
			t->is_broken = !t->is_ended;
			break;
		}
		*got += n;
	} while (*got < cap && t->in_len > 0);
	t->has_plain = *got == cap && SSL_pending(t->ssl) > 0;
}

bool
stream_tls_has_input(const struct stream *s)
{
	const struct tls_session *t = s->tls;

	return t->stash != NULL || t->has_plain || t->is_ended || t->is_broken;
}

/* Keeps input for which the caller's buffer had no room, for the next call. Returns 0, or -1 without memory. */
static int
stash_rest(struct tls_session *t)
{
	uint8_t *rest = NULL;

	if (t->in_len > 0 && !t->is_ended && !t->is_broken) {
		if ((rest = malloc(t->in_len)) == NULL)
			return -1;
		memcpy(rest, t->in, t->in_len);
	}
	free(t->stash);
	t->stash = rest;
	t->stash_len = rest != NULL ? t->in_len : 0;
	t->in_len = 0;
	return 0;
}

/* Returns how the session has ended, or STREAM_AGAIN if it has not. */
static enum stream_result
classify_end(const struct tls_session *t)
{
	if (t->is_broken && !t->is_ended)
		errno = EPROTO;
	return t->is_ended ? STREAM_EOF : t->is_broken ? STREAM_ERROR : STREAM_AGAIN;
}

enum stream_result
stream_tls_read(struct stream *s, void *buf, size_t cap, size_t *got)
{
	struct tls_session *t = s->tls;
	enum stream_result r = STREAM_OK;
	bool takes_new_input;

	*got = 0;
	if (t->is_ended || t->is_broken)
		return classify_end(t);
	t->out = &t->scratch->sink;
	takes_new_input = !t->has_plain; /* else OpenSSL still holds decrypted bytes */
	if (takes_new_input)
		r = take_input(s, cap);
	if (r != STREAM_OK)
		return r;
	decrypt(t, buf, cap, got);
	/* Without a limit, a peer that asks for new keys again and again (TLS 1.3's KeyUpdate) and never reads would
	 * fill the queue. */
	if (s->queue_len == 0)
		t->unasked_output_len = 0;
	t->unasked_output_len += t->scratch->sink.len;
	if (t->unasked_output_len > ANSWERS_MAX)
		t->is_broken = true;
	if ((takes_new_input && stash_rest(t) < 0) || send_sink(s) < 0) {
		errno = ENOMEM;
		return STREAM_ERROR;
	}
	if (stream_tls_has_input(s))
		stream_call_later(s);
	return *got > 0 ? STREAM_OK : classify_end(t);
}

/* --- writing --- */

static int
encrypt(struct stream *s, const uint8_t *bytes, size_t len)
{
	struct tls_session *t = s->tls;

	while (len > 0) {
		size_t n = len < WRITE_AT_ONCE ? len : WRITE_AT_ONCE, written;

		if (SSL_write_ex(t->ssl, bytes, n, &written) != 1) {
			ERR_clear_error();
			t->is_broken = true;
			return t->scratch->sink.is_broken ? -1 : 0;
		}
		bytes += written;
		len -= written;
		if (t->scratch->sink.len >= WRITE_AT_ONCE && send_sink(s) < 0)
			return -1;
	}
	return 0;
}

int
stream_tls_write(struct stream *s, const struct iovec *pieces, int count)
{
	struct tls_session *t = s->tls;
	uint8_t *gather = t->scratch->gather;
	size_t gathered = 0;
	int result = 0;

	if (t->is_broken)
		return 0;
	t->out = &t->scratch->sink;
	for (int i = 0; i < count && result == 0; i++) {
		const uint8_t *bytes = pieces[i].iov_base;
		size_t len = pieces[i].iov_len;

		/* Small pieces share a record. */
		if (i + 1 < count || gathered > 0)
			while (len > 0 && (gathered > 0 || len < RECORD_MAX) && result == 0) {
				size_t n = len < RECORD_MAX - gathered ? len : RECORD_MAX - gathered;

				memcpy(gather + gathered, bytes, n);
				gathered += n;
				bytes += n;
				len -= n;
				if (gathered < RECORD_MAX)
					break;
				result = encrypt(s, gather, gathered);
				gathered = 0;
			}
		if (len > 0 && result == 0)
			result = encrypt(s, bytes, len);
	}
	if (gathered > 0 && result == 0)
		result = encrypt(s, gather, gathered);
	if (send_sink(s) < 0)
		result = -1;
	if (t->is_broken && result == 0)
		stream_set_broken(s);
	return result;
}

void
stream_tls_close(struct stream *s)
{
	struct tls_session *t = s->tls;

	if (!t->is_broken && !t->is_ended && !s->is_broken && s->queue_len == 0) {
		struct buf *sink = &t->scratch->sink;

		t->out = sink;
		ERR_clear_error();
		SSL_shutdown(t->ssl);
		ERR_clear_error();
		if (sink->len > 0 && !sink->is_broken)
			send(s->fd, sink->bytes, sink->len, MSG_NOSIGNAL | MSG_DONTWAIT);
		sink->len = 0;
		if (sink->is_broken) /* all TLS streams of the loop share the sink */
			buf_fini(sink);
	}
	tls_session_free(t);
	s->tls = NULL;
}
