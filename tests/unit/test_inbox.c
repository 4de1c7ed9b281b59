/* tests/unit/test_inbox.c - notes from thread to thread: each is read once, in order, by the right one. */
#include "net/loop.h"
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#define SENDERS 4
#define NOTES 20000
#define BOUNCES 20001

/* A loop with an inbox, and what was read there. */
struct reader {
	struct event_base *base;
	struct inbox *inbox;
	struct deferred_frees *deferred_frees;
	struct event *busy;
	pthread_t thread;
	size_t read, wanted, turns;
	unsigned next[SENDERS];
	bool is_wrong, was_over;
};

struct letter {
	struct note note; /* first */
	unsigned sender, number;
};

static void
count(struct reader *r, bool is_over)
{
	r->is_wrong |= !pthread_equal(r->thread, pthread_self());
	r->was_over |= is_over;
	if (++r->read == r->wanted)
		event_base_loopbreak(r->base);
}

static void
read_letter(struct note *n, void *owner, bool is_over)
{
	struct letter *l = (struct letter *)n;
	struct reader *r = owner;

	r->is_wrong |= l->number != r->next[l->sender]++;
	free(l);
	count(r, is_over);
}

static void
reader_init(struct reader *r, size_t wanted)
{
	struct event_config *cfg = event_config_new();
	struct fail why;

	alarm(60); /* ends a test that hangs; Criterion's own time limits leak */
	*r = (struct reader){ .thread = pthread_self(), .wanted = wanted };
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	r->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	r->inbox = inbox_new(r->base, r, &why);
	cr_assert_not_null(r->inbox, "%s", why.text);
}

static void
reader_fini(struct reader *r)
{
	inbox_free(r->inbox);
	event_base_free(r->base);
}

static void
post_letter(struct reader *to, unsigned sender, unsigned number)
{
	struct letter *l = calloc(1, sizeof(*l));

	l->note.read = read_letter;
	l->sender = sender;
	l->number = number;
	inbox_post(to->inbox, &l->note);
}

struct sender {
	pthread_t thread;
	struct reader *to;
	unsigned number;
};

static void *
send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < NOTES; i++)
		post_letter(s->to, s->number, i);
	return NULL;
}

Test(inbox, notes_of_many_threads_are_read_once_each_and_in_each_senders_order)
{
	struct sender senders[SENDERS];
	struct reader r;

	reader_init(&r, SENDERS * NOTES);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ .to = &r, .number = i };
		cr_assert_eq(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
	}
	event_base_dispatch(r.base);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	cr_expect_eq(event_base_loop(r.base, EVLOOP_NONBLOCK), 0);
	cr_expect_eq(r.read, SENDERS * NOTES);
	cr_expect_not(r.is_wrong, "in order, and on the loop's thread");
	cr_expect_not(r.was_over);
	reader_fini(&r);
	cr_expect_eq(r.read, SENDERS * NOTES, "none is read again");
}

/* A turn that does not end by itself: its event is in the queue again as soon as it is called. */
static void
on_busy(evutil_socket_t fd, short what, void *arg)
{
	struct reader *r = arg;

	if (r->read < r->wanted)
		event_active(r->busy, EV_TIMEOUT, 0);
	loop_run_between_events(r->deferred_frees, r->inbox);
}

Test(inbox, between_two_events_notes_are_read_though_the_turn_does_not_end)
{
	struct sender s;
	struct reader r;

	reader_init(&r, NOTES);
	s = (struct sender){ .to = &r };
	r.deferred_frees = deferred_frees_new(r.base, r.inbox);
	r.busy = event_new(r.base, -1, 0, on_busy, &r);
	event_active(r.busy, EV_TIMEOUT, 0);
	cr_assert_eq(pthread_create(&s.thread, NULL, send_all, &s), 0);
	event_base_loop(r.base, EVLOOP_ONCE);
	pthread_join(s.thread, NULL);
	cr_expect_eq(r.read, NOTES);
	cr_expect_not(r.is_wrong || r.was_over);
	event_base_loop(r.base, EVLOOP_NONBLOCK); /* it was woken, too: there is nothing for it */
	cr_expect_eq(r.read, NOTES);
	post_letter(&r, 0, NOTES);
	event_base_loop(r.base, EVLOOP_ONCE);
	cr_expect_eq(r.read, NOTES + 1, "and wakes for the next");
	event_free(r.busy);
	deferred_frees_free(r.deferred_frees);
	reader_fini(&r);
}

/* Takes back what one sender posts, where the number is even, while another thread posts and this one reads. */
struct taken {
	size_t taken, read;
	unsigned next_taken, next_read;
	bool is_wrong;
};

static bool
is_even(const struct note *n, void *arg)
{
	return ((const struct letter *)n)->number % 2 == 0;
}

static void
see(struct note *n, unsigned *next, size_t *count, bool *is_wrong)
{
	struct letter *l = (struct letter *)n;

	*is_wrong |= l->number < *next; /* in order */
	*next = l->number + 1;
	++*count;
	free(l);
}

static void
read_some(struct note *n, void *owner, bool is_over)
{
	struct taken *t = owner;

	see(n, &t->next_read, &t->read, &t->is_wrong);
	t->is_wrong |= is_over;
}

static void *
send_some(void *arg)
{
	for (unsigned i = 0; i < NOTES; i++) {
		struct letter *l = calloc(1, sizeof(*l));

		l->note.read = read_some;
		l->number = i;
		inbox_post(arg, &l->note);
	}
	return NULL;
}

Test(inbox, a_note_is_read_or_taken_back_and_each_once_and_in_order)
{
	struct taken t = { 0 };
	struct note_list back = STAILQ_HEAD_INITIALIZER(back);
	pthread_t sender;
	struct reader r;
	struct inbox *in;
	struct note *n;
	struct fail why;

	reader_init(&r, 0);
	in = inbox_new(r.base, &t, &why);
	cr_assert_not_null(in);
	cr_assert_eq(pthread_create(&sender, NULL, send_some, in), 0);
	while (t.taken + t.read < NOTES) {
		inbox_take_back(in, is_even, NULL, &back);
		while ((n = STAILQ_FIRST(&back)) != NULL) {
			STAILQ_REMOVE_HEAD(&back, next);
			t.is_wrong |= !is_even(n, NULL);
			see(n, &t.next_taken, &t.taken, &t.is_wrong);
		}
		event_base_loop(r.base, EVLOOP_NONBLOCK);
	}
	pthread_join(sender, NULL);
	cr_expect_not(t.is_wrong);
	cr_expect_gt(t.read, NOTES / 2 - 1, "odd ones are never taken back");
	cr_expect_eq(t.read + t.taken, NOTES);
	inbox_free(in);
	cr_expect_eq(t.read + t.taken, NOTES);
	reader_fini(&r);
}

/* A note that goes to and fro between two loops. */
struct ball {
	struct note note; /* first */
	struct reader *here, *there;
	size_t bounces;
};

static void
read_ball(struct note *n, void *owner, bool is_over)
{
	struct ball *b = (struct ball *)n;
	struct reader *r = owner, *other = b->there;

	r->is_wrong |= b->here != r;
	b->there = r;
	b->here = other;
	b->bounces++;
	if (b->bounces < BOUNCES)
		inbox_post(other->inbox, n); /* from here on it is the other's */
	count(r, is_over);
}

static void *
run_loop(void *arg)
{
	struct reader *r = arg;

	event_base_dispatch(r->base);
	return NULL;
}

Test(inbox, a_note_may_be_posted_again_as_it_is_read)
{
	struct reader one, two;
	struct ball ball = { .note = { .read = read_ball }, .here = &one, .there = &two };

	reader_init(&one, (BOUNCES + 1) / 2); /* the last one stays with the first */
	reader_init(&two, BOUNCES / 2);
	cr_assert_eq(pthread_create(&two.thread, NULL, run_loop, &two), 0);
	inbox_post(one.inbox, &ball.note);
	event_base_dispatch(one.base);
	pthread_join(two.thread, NULL);
	cr_expect_eq(ball.bounces, BOUNCES);
	cr_expect_not(one.is_wrong || two.is_wrong);
	reader_fini(&one);
	reader_fini(&two);
}

static void
on_prepared(evutil_socket_t fd, short what, void *arg)
{
	struct reader *r = arg;

	r->turns++;
}

Test(inbox, what_is_posted_before_anybody_reads_is_read_in_one_turn)
{
	struct reader r;

	reader_init(&r, SIZE_MAX);
	for (unsigned i = 0; i < 3; i++)
		post_letter(&r, 0, i);
	cr_expect_eq(event_base_loop(r.base, EVLOOP_NONBLOCK), 0);
	cr_expect_eq(r.read, 3);
	event_base_once(r.base, -1, EV_TIMEOUT, on_prepared, &r, &(struct timeval){ 0, 0 });
	event_base_loop(r.base, EVLOOP_ONCE);
	cr_expect_eq(r.turns, 1, "the loop is not awake for what it has read");
	post_letter(&r, 0, 3);
	cr_expect_eq(event_base_loop(r.base, EVLOOP_ONCE), 0);
	cr_expect_eq(r.read, 4, "it wakes again for the next");
	cr_expect_not(r.is_wrong);
	reader_fini(&r);
}

static void
read_and_post(struct note *n, void *owner, bool is_over)
{
	struct reader *r = owner;

	free(n);
	post_letter(r, 0, 0);
	count(r, is_over);
}

Test(inbox, the_end_reads_what_is_left_and_what_that_posts)
{
	struct note *n = calloc(1, sizeof(*n));
	struct reader r;

	reader_init(&r, SIZE_MAX);
	n->read = read_and_post;
	inbox_post(r.inbox, n);
	inbox_free(r.inbox);
	event_base_free(r.base);
	cr_expect_eq(r.read, 2);
	cr_expect(r.was_over, "and it says so");
}

static void
on_woken(void *arg)
{
	struct reader *r = arg;

	r->turns++;
}

Test(inbox, a_wake_that_is_posted_twice_is_read_once)
{
	struct wake w = { 0 };
	struct reader r;

	reader_init(&r, SIZE_MAX);
	wake_init(&w, r.inbox, on_woken, &r);
	wake_post(&w);
	wake_post(&w);
	cr_expect_eq(event_base_loop(r.base, EVLOOP_NONBLOCK), 0);
	cr_expect_eq(r.turns, 1);
	wake_post(&w);
	cr_expect_eq(event_base_loop(r.base, EVLOOP_NONBLOCK), 0);
	cr_expect_eq(r.turns, 2, "it may be posted again");
	wake_post(&w);
	inbox_free(r.inbox);
	event_base_free(r.base);
	cr_expect_eq(r.turns, 2, "nobody is woken at the end");
}
