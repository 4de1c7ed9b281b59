/*
 * tests/unit/test_outbox.c - what is put is what arrives, in order, whether referenced or copied. Links net/outbox.c
 * and net/stream.c; the peer is the other end of a socket pair.
 */
#include "net/outbox.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEER_MAX ((size_t)8 << 20)

struct peer {
	struct stream stream; /* first */
	struct event_base *base;
	struct outbox *box;
	int fd;
	uint8_t *got, *want;
	size_t got_len, want_len;
	int events;
};

static void
on_event(struct stream *s)
{
	((struct peer *)s)->events++;
}

static const struct stream_ops ops = { on_event, on_event, NULL };

static void
peer_open(struct peer *p)
{
	int fds[2];

	memset(p, 0, sizeof(*p));
	p->base = event_base_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	cr_assert_eq(stream_open(&p->stream, p->base, fds[0], &ops), 0);
	p->fd = fds[1];
	p->box = malloc(sizeof(*p->box)); /* not zeroed: begin is all it needs */
	p->got = malloc(PEER_MAX);
	p->want = malloc(PEER_MAX);
	cr_assert(p->box != NULL && p->got != NULL && p->want != NULL);
	outbox_drop(p->box);
	cr_assert_eq(outbox_begin(p->box, &p->stream), 0);
}

static void
peer_close(struct peer *p)
{
	stream_close(&p->stream);
	close(p->fd);
	event_base_free(p->base);
	free(p->box);
	free(p->got);
	free(p->want);
}

/* How much has arrived so far. */
static size_t
arrived(struct peer *p)
{
	ssize_t n;

	while ((n = read(p->fd, p->got + p->got_len, PEER_MAX - p->got_len)) > 0)
		p->got_len += (size_t)n;
	return p->got_len;
}

/* Until the stream's queue has gone as well. */
static void
expect_all(struct peer *p, const char *rule)
{
	while (stream_queued_len(&p->stream) > 0) {
		arrived(p);
		cr_assert_geq(event_base_loop(p->base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
	}
	cr_assert_eq(arrived(p), p->want_len, "%s: %zu bytes, not %zu", rule, p->got_len, p->want_len);
	cr_expect_arr_eq(p->got, p->want, p->got_len, "%s", rule);
}

static void
want(struct peer *p, const void *bytes, size_t len)
{
	cr_assert_leq(p->want_len + len, PEER_MAX);
	memcpy(p->want + p->want_len, bytes, len);
	p->want_len += len;
}

static void
put_ref(struct peer *p, const void *bytes, size_t len)
{
	want(p, bytes, len);
	outbox_ref(p->box, bytes, len);
}

/* From memory that is overwritten at once. */
static void
put_copy(struct peer *p, const void *bytes, size_t len)
{
	uint8_t *gone = malloc(len + 1);

	want(p, bytes, len);
	memcpy(gone, bytes, len);
	outbox_copy(p->box, gone, len);
	memset(gone, 0xee, len);
	free(gone);
}

static uint8_t *
pattern(size_t len)
{
	uint8_t *bytes = malloc(len);

	cr_assert_not_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	return bytes;
}

Test(outbox, nothing_leaves_before_the_flush)
{
	struct peer p;

	peer_open(&p);
	put_ref(&p, "abc", 3);
	put_copy(&p, "def", 3);
	put_ref(&p, "ghi", 3);
	cr_expect_eq(arrived(&p), 0);
	cr_expect_eq(p.box->total, 9);
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "in order");
	outbox_copy(p.box, "x", 1);
	outbox_ref(p.box, "x", 1);
	cr_expect_eq(outbox_flush(p.box), 0, "nobody's after the flush: what is put is dropped");
	expect_all(&p, "nothing more");
	peer_close(&p);
}

Test(outbox, pieces_that_lie_side_by_side_are_one)
{
	uint8_t *bytes = pattern(10000);
	struct peer p;

	peer_open(&p);
	for (size_t at = 0; at < 10000; at += 10)
		put_ref(&p, bytes + at, 10);
	cr_expect_eq(p.box->count, 1);
	for (int i = 0; i < 1000; i++)
		put_copy(&p, "0123456789", 10);
	cr_expect_eq(p.box->count, 2);
	put_ref(&p, bytes, 100);
	put_ref(&p, bytes + 100, 100);
	cr_expect_eq(p.box->count, 3);
	put_ref(&p, bytes, 2000);
	cr_expect_eq(p.box->count, 3, "small references behind copies are copied to them when it is known how small");
	put_copy(&p, "0123456789", 10);
	cr_expect_eq(p.box->count, 4, "a large one is not");
	cr_expect_eq(arrived(&p), 0);
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "side by side");
	free(bytes);
	peer_close(&p);
}

Test(outbox, when_its_pieces_are_used_up_the_batch_leaves_and_goes_on)
{
	uint8_t *bytes = pattern(4096);
	struct peer p;

	peer_open(&p);
	for (int i = 0; i < OUTBOX_PIECES; i++)
		put_ref(&p, bytes + i * 8, 4);
	cr_expect_eq(arrived(&p), 0);
	put_ref(&p, bytes, 4);
	cr_expect_eq(arrived(&p), OUTBOX_PIECES * 4);
	cr_expect_eq(p.box->count, 1);
	for (int i = 1; i < OUTBOX_PIECES; i++)
		put_ref(&p, bytes + i * 8, 4);
	put_copy(&p, "copied when no piece is left", 28);
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "out of pieces");
	free(bytes);
	peer_close(&p);
}

Test(outbox, when_its_space_is_used_up_the_batch_leaves_and_goes_on)
{
	uint8_t *bytes = pattern(OUTBOX_SPACE);
	struct peer p;

	peer_open(&p);
	put_copy(&p, bytes, OUTBOX_SPACE / 2);
	put_copy(&p, bytes, OUTBOX_SPACE / 2);
	cr_expect_eq(arrived(&p), 0, "exactly full");
	put_ref(&p, "no room", 7);
	put_copy(&p, "a", 1);
	cr_expect_eq(arrived(&p), OUTBOX_SPACE + 7);
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "out of space");
	free(bytes);
	peer_close(&p);
}

Test(outbox, a_copy_too_large_for_the_space_leaves_at_once)
{
	uint8_t *bytes = pattern(4 << 20);
	struct peer p;

	peer_open(&p);
	put_ref(&p, "before", 6);
	put_copy(&p, bytes, OUTBOX_SPACE / 2 + 1);
	cr_expect_eq(arrived(&p), 6 + OUTBOX_SPACE / 2 + 1);
	put_copy(&p, bytes, 4 << 20);
	cr_expect_gt(stream_queued_len(&p.stream), 0, "the peer doesn't take all of it: the stream has the rest");
	put_copy(&p, "behind", 6);
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "large");
	free(bytes);
	peer_close(&p);
}

Test(outbox, what_is_settled_may_go_away)
{
	struct peer p;
	char bytes[] = "here";

	peer_open(&p);
	put_ref(&p, bytes, 4);
	outbox_flush_early(p.box);
	memcpy(bytes, "gone", 4);
	put_ref(&p, "more", 4);
	cr_expect_eq(p.box->total, 8, "the batch goes on");
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "settled");
	peer_close(&p);
}

Test(outbox, nothing_is_nothing)
{
	struct peer p;

	peer_open(&p);
	put_ref(&p, "", 0);
	put_copy(&p, "", 0);
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "nothing");
	outbox_drop(p.box);
	outbox_flush_early(p.box);
	cr_expect_eq(outbox_flush(p.box), 0);
	peer_close(&p);
}

Test(outbox, what_is_anothers_is_sent_before_a_batch_begins)
{
	struct peer p, other;

	peer_open(&p);
	peer_open(&other);
	put_copy(&p, "early", 5);
	cr_expect_eq(outbox_begin(p.box, &p.stream), 0, "its own goes on");
	put_ref(&p, "late", 4);
	cr_expect_eq(outbox_begin(p.box, &other.stream), -1, "the caller's bug");
	outbox_copy(p.box, "mine", 4);
	expect_all(&p, "anothers");
	cr_expect_eq(outbox_flush(p.box), 0);
	memcpy(other.want, "mine", other.want_len = 4);
	expect_all(&other, "the new one's");
	peer_close(&p);
	peer_close(&other);
}

Test(outbox, a_batch_that_is_dropped_is_not_sent)
{
	struct peer p;

	peer_open(&p);
	outbox_copy(p.box, "dropped", 7);
	outbox_drop(p.box);
	cr_expect_eq(outbox_flush(p.box), 0);
	expect_all(&p, "dropped");
	peer_close(&p);
}

Test(outbox, a_peer_that_has_gone_is_the_streams_news)
{
	struct peer p;

	peer_open(&p);
	close(p.fd);
	outbox_copy(p.box, "lost", 4);
	cr_expect_eq(outbox_flush(p.box), 0);
	cr_expect_eq(p.events, 0, "not from within the call");
	cr_assert_geq(event_base_loop(p.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
	cr_expect_gt(p.events, 0);
	p.fd = -1;
	peer_close(&p);
}

Test(outbox, random_batches)
{
	uint8_t *bytes = pattern(100000);
	uint64_t random = 88172645463325252ull;
	struct peer p;

	peer_open(&p);
	for (int batch = 0; batch < 60; batch++) {
		cr_assert_eq(outbox_begin(p.box, &p.stream), 0);
		for (unsigned i = 0; i < 150; i++) {
			size_t len, at;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			len = (random >> 8) % ((random >> 4) % 16 == 0 ? 40000 : 200);
			at = (random >> 30) % (100000 - len);
			if (random % 16 == 0)
				outbox_flush_early(p.box);
			else if (random % 2 == 0)
				put_ref(&p, bytes + at, len);
			else
				put_copy(&p, bytes + at, len);
		}
		cr_assert_eq(outbox_flush(p.box), 0);
		expect_all(&p, "random");
		p.got_len = p.want_len = 0;
	}
	free(bytes);
	peer_close(&p);
}
