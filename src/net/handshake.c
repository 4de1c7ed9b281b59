/*
 * src/net/handshake.c - see stream.h.
 *
 * In each step, a helper thread gets the session and the bytes that have come, and returns the bytes that OpenSSL
 * sends. Bytes that come meanwhile wait for the next step. While a step runs, only its thread touches the session.
 */

#include "net/tls_state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define INPUT_MAX ((size_t)128 << 10) /* the most bytes read in a handshake; certificate chains have some kB */
#define READ_AT_ONCE ((size_t)16 << 10)
/* The output of one step usually fits into these bytes. The loop's thread allocates this buffer: if the helper thread
 * did, the loop would free the buffer into the helper's arena, and wait for the arena's lock while the helper is
 * preempted. */
#define OUT_RESERVED ((size_t)8 << 10)

struct handshake {
	struct work work; /* must be first */
	struct handshake_settings settings;
	struct stream *stream; /* NULL if the stream was closed: the end of the step then frees this handshake */
	struct buf in, next; /* the input of this step, and bytes that have come since */
	size_t bytes_read; /* number of bytes read in all */
	struct buf out;
	enum tls_step step;
	struct fail why;
	bool is_working;
};

static void
handshake_free(struct handshake *h)
{
	tls_session_free(h->settings.tls);
	buf_fini(&h->in);
	buf_fini(&h->next);
	buf_fini(&h->out);
	free(h);
}

/* Runs one step, on a helper thread. */
static void
handshake_run(struct work *w)
{
	struct handshake *h = (struct handshake *)w;
	struct tls_session *tls = h->settings.tls;

	tls->in = h->in.bytes;
	tls->in_len = h->in.len;
	tls->out = &h->out;
	h->step = tls_shake_hands(tls, &h->why);
	if (!buf_ok(&h->out) && h->step != TLS_FAILED) {
		h->step = TLS_FAILED;
		fail_memory(&h->why, "a TLS handshake");
	}
}

static void step_done(struct work *w);

static int
submit(struct handshake *h, struct fail *why)
{
	h->work.run = handshake_run;
	h->work.done = step_done;
	h->is_working = helpers_submit(h->settings.helpers, h->settings.inbox, &h->work, h->settings.queue) == 0;
	h->settings.queue = WORK_BEGUN;
	if (h->is_working)
		return 0;
	fail_set(why, "53300", "too many TLS handshakes at once");
	return fail_hint(why, "Raise handshake_threads, or have clients keep their connections.");
}

static void
end_failed(struct handshake *h, const struct fail *why)
{
	struct stream *s = h->stream;
	struct fail kept = *why;
	struct handshake_settings settings = h->settings;

	s->handshake = NULL;
	s->is_in_handshake = false;
	handshake_free(h);
	settings.done(s, &kept, settings.arg);
}

/* Gives the session, as its first input, the bytes that came after the handshake. */
static int
keep_rest(struct handshake *h)
{
	struct tls_session *tls = h->settings.tls;
	struct buf rest = { 0 };

	buf_put(&rest, tls->in, tls->in_len);
	buf_put(&rest, h->next.bytes, h->next.len);
	tls->in_len = 0;
	tls->in = NULL;
	if (!buf_ok(&rest)) {
		buf_fini(&rest);
		return -1;
	}
	tls->stash = rest.bytes;
	tls->stash_len = rest.len;
	return 0;
}

static void
end_established(struct handshake *h)
{
	struct stream *s = h->stream;
	struct handshake_settings settings = h->settings;
	struct fail why;

	if (keep_rest(h) < 0) {
		fail_memory(&why, "a TLS handshake");
		end_failed(h, &why);
		return;
	}
	settings.tls->scratch = settings.scratch;
	settings.tls->out = NULL;
	h->settings.tls = NULL;
	s->is_in_handshake = false;
	s->tls = settings.tls;
	handshake_free(h);
	stream_set_reading(s, true);
	s->tls->has_plain = SSL_pending(s->tls->ssl) > 0;
	if (s->tls->stash != NULL || s->tls->has_plain)
		stream_call_later(s);
	settings.done(s, NULL, settings.arg);
}

/* Begins the next step if bytes have come meanwhile. Reads on in either case. */
static void
begin_next_step(struct handshake *h)
{
	struct buf used = h->in;
	struct fail why;

	h->in = h->next;
	h->next = used;
	h->next.len = 0;
	if (h->in.len > 0 && submit(h, &why) < 0)
		end_failed(h, &why);
	else
		stream_set_reading(h->stream, true);
}

/* Called on the loop after each step. */
static void
step_done(struct work *w)
{
	struct handshake *h = (struct handshake *)w;
	struct iovec piece = { .iov_base = h->out.bytes, .iov_len = h->out.len };
	struct fail why;

	h->is_working = false;
	if (h->stream == NULL) {
		handshake_free(h);
		return;
	}
	if (h->out.len > 0 && stream_write_raw(h->stream, &piece, 1) < 0) {
		fail_memory(&why, "a TLS handshake");
		end_failed(h, &why);
		return;
	}
	h->out.len = 0;
	switch (h->step) {
	case TLS_GOES_ON:
		begin_next_step(h);
		return;
	case TLS_ESTABLISHED:
		end_established(h);
		return;
	case TLS_FAILED:
		end_failed(h, &h->why);
		return;
	}
}

void
handshake_on_readable(struct stream *s)
{
	struct handshake *h = s->handshake;
	struct buf *in = h->is_working ? &h->next : &h->in;
	uint8_t bytes[READ_AT_ONCE];
	struct fail why;
	ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !s->is_broken)
		return;
	if (n <= 0 && h->is_working) { /* after the step, reading resumes, and recv() returns the same again */
		stream_set_reading(s, false);
		return;
	}
	if (n <= 0) {
		fail_set(&why, "08001", "the connection was closed during the TLS handshake");
		end_failed(h, &why);
		return;
	}
	h->bytes_read += (size_t)n;
	buf_put(in, bytes, (size_t)n);
	if (h->bytes_read > INPUT_MAX || !buf_ok(in)) {
		fail_set(&why, "08P01", "the TLS handshake is too long");
		if (h->is_working) {
			stream_set_broken(s);
			stream_set_reading(s, false);
		} else
			end_failed(h, &why);
		return;
	}
	if (!h->is_working && submit(h, &why) < 0)
		end_failed(h, &why);
}

void
handshake_abandon(struct stream *s)
{
	struct handshake *h = s->handshake;

	s->handshake = NULL;
	s->is_in_handshake = false;
	h->stream = NULL;
	if (!h->is_working)
		handshake_free(h);
}

int
handshake_begin(struct stream *s, const struct handshake_settings *settings, const void *first, size_t first_len,
		struct fail *why)
{
	struct handshake *h = calloc(1, sizeof(*h));

	if (h == NULL) {
		tls_session_free(settings->tls);
		return fail_memory(why, "a TLS handshake");
	}
	h->settings = *settings;
	h->settings.tls->helpers = settings->helpers;
	h->settings.tls->inbox = settings->inbox;
	h->stream = s;
	h->bytes_read = first_len;
	buf_put(&h->in, first, first_len);
	if (buf_room(&h->out, OUT_RESERVED) == NULL || !buf_ok(&h->in)) {
		handshake_free(h);
		return fail_memory(why, "a TLS handshake");
	}
	/* The client's side sends first. */
	if ((first_len > 0 || !settings->tls->ctx->is_accepting) && submit(h, why) < 0) {
		handshake_free(h);
		return -1;
	}
	s->handshake = h;
	s->is_in_handshake = true;
	return 0;
}
