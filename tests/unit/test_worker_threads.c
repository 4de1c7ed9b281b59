/* tests/unit/test_worker_threads.c - workers run, and all of them stand still while worker 0 wants it. */
#include "process/worker.h"

#include "base/clock.h"
#include "net/helpers.h"
#include "net/inbox.h"
#include "policy/policy_commons.h"
#include "process/process_state.h"
#include "unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#define OTHERS 3
#define SENDERS 2
#define HALTS 1000 /* WORKER_HALTS in the environment: another number */
#define LOOKS 200

/*
 * A worker that always has something to do: its note is posted again whenever it is read. It counts without any lock;
 * only in a halt may another thread look, or ThreadSanitizer reports it.
 */
struct busy {
	struct note note; /* first */
	struct worker *worker;
	uint64_t count;
	bool is_wrong; /* read by a thread that is not the worker's */
	pthread_t thread;
	uint64_t heard; /* letters from other threads */
};

struct place {
	struct weir weir;
	struct busy others[OTHERS];
};

static void
read_busy(struct note *n, void *owner, bool is_over)
{
	struct busy *b = (struct busy *)n;

	if (b->count++ == 0)
		b->thread = pthread_self();
	b->is_wrong |= owner != b->worker || !pthread_equal(b->thread, pthread_self());
	if (!is_over)
		inbox_post(b->worker->inbox, n);
}

static void
place_init(struct place *p, bool is_busy)
{
	struct worker **last = &p->weir.main_worker;
	struct fail why;

	alarm(300); /* ends a test that hangs; Criterion's own time limits leak */
	*p = (struct place){ .weir.worker_count = OTHERS + 1, .weir.shared.helpers = helpers_new(1, &why) };
	for (unsigned i = 0; i <= OTHERS; i++) {
		*last = worker_new(&p->weir, i, &why);
		cr_assert_not_null(*last, "%s", why.text);
		(*last)->policy_part =
		    policy_worker_new(NULL, i, NULL, NULL, NULL); /* shares nothing, and counts turns */
		cr_assert_not_null((*last)->policy_part);
		if (i > 0)
			p->others[i - 1] = (struct busy){ .note.read = read_busy, .worker = *last };
		last = &(*last)->next;
	}
	p->weir.threads = worker_threads_new(&p->weir, &why);
	cr_assert_not_null(p->weir.threads, "%s", why.text);
	for (unsigned i = 0; i < OTHERS && is_busy; i++)
		inbox_post(p->others[i].worker->inbox, &p->others[i].note);
}

static void
place_fini(struct place *p)
{
	struct worker *next;
	struct fail why;

	cr_expect_eq(worker_threads_free(p->weir.threads, &why), 0, "%s", why.text);
	for (unsigned i = 0; i < OTHERS; i++)
		cr_expect_not(p->others[i].is_wrong, "worker %u: on another thread", i + 1);
	for (struct worker *k = p->weir.main_worker; k != NULL; k = next) {
		next = k->next;
		policy_worker_free(k->policy_part);
		worker_free(k);
	}
	helpers_free(p->weir.shared.helpers);
}

/* Only in a halt: their sum, which nobody changes meanwhile. */
static uint64_t
sum_of(const struct place *p)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < OTHERS; i++)
		sum += p->others[i].count;
	return sum;
}

static bool
is_still(struct place *p)
{
	uint64_t sum = sum_of(p);

	for (unsigned i = 0; i < LOOKS; i++) {
		sched_yield();
		if (sum_of(p) != sum)
			return false;
	}
	for (unsigned i = 0; i < OTHERS; i++)
		p->others[i].count += 1000; /* worker 0 may change what is theirs, too */
	return sum_of(p) == sum + 1000 * OTHERS;
}

/* A worker that gets no processor for a second does not answer: then once more, as in the console. */
static void
halt_patiently(struct place *p)
{
	struct fail why;

	for (int tries = 0; worker_threads_halt(&p->weir, &why) != 0; tries++)
		cr_assert_lt(tries, 60, "%s", why.text);
}

/* Waits until each of them has done something. */
static void
see_all_move(struct place *p)
{
	uint64_t before[OTHERS];

	for (unsigned i = 0; i < OTHERS; i++)
		before[i] = UINT64_MAX;
	for (unsigned moved = 0; moved < OTHERS;) {
		halt_patiently(p);
		moved = 0;
		for (unsigned i = 0; i < OTHERS; i++) {
			before[i] = before[i] == UINT64_MAX ? p->others[i].count : before[i];
			moved += p->others[i].count > before[i];
		}
		worker_threads_end_halt(&p->weir);
	}
}

Test(worker_threads, with_one_worker_a_halt_is_nothing)
{
	struct weir w = { .worker_count = 1 };
	struct fail why;

	cr_expect_eq(worker_threads_halt(&w, &why), 0, "there are no threads yet");
	worker_threads_end_halt(&w);
	w.main_worker = worker_new(&w, 0, &why);
	cr_assert_not_null(w.main_worker);
	w.threads = worker_threads_new(&w, &why);
	cr_assert_not_null(w.threads);
	cr_expect_eq(worker_threads_halt(&w, &why), 0);
	worker_threads_end_halt(&w);
	cr_expect_eq(worker_threads_free(w.threads, &why), 0);
	cr_expect_eq(worker_threads_free(NULL, &why), 0);
	worker_free(w.main_worker);
}

Test(worker_threads, all_stand_still_until_the_last_of_halts_within_one_another_has_ended)
{
	struct place p;

	place_init(&p, true);
	for (int round = 0; round < 100; round++) {
		halt_patiently(&p);
		cr_expect(is_still(&p));
		halt_patiently(&p);
		halt_patiently(&p);
		worker_threads_end_halt(&p.weir);
		worker_threads_end_halt(&p.weir);
		cr_expect(is_still(&p), "the first halt is not over");
		worker_threads_end_halt(&p.weir);
	}
	see_all_move(&p);
	place_fini(&p);
}

/* A callback that lasts until somebody ends it. */
struct long_one {
	struct note note; /* first */
	sem_t begun, may_end;
};

static void
read_long(struct note *n, void *owner, bool is_over)
{
	struct long_one *l = (struct long_one *)n;

	sem_post(&l->begun);
	while (sem_wait(&l->may_end) != 0)
		continue;
}

/* Asks whether its reader moves. */
struct question {
	struct note note; /* first */
	sem_t *answer;
};

static void
read_question(struct note *n, void *owner, bool is_over)
{
	struct question *q = (struct question *)n;

	sem_post(q->answer);
	free(q);
}

/* Ends when it does: else the test hangs. */
static void
see_move(const struct busy *b)
{
	struct question *q = calloc(1, sizeof(*q));
	sem_t answer;

	sem_init(&answer, 0, 0);
	q->note.read = read_question;
	q->answer = &answer;
	inbox_post(b->worker->inbox, &q->note);
	while (sem_wait(&answer) != 0)
		continue;
}

/* As worker 1 hangs, the halts are given up, and the others go on. */
static void
see_halts_fail(struct place *p, struct long_one *l)
{
	struct fail why;

	for (int i = 0; i < 2; i++) {
		uint64_t since_us = clock_now_us();

		cr_expect_eq(worker_threads_halt(&p->weir, &why), -1);
		cr_expect_str_eq(why.text, "worker 1 does not answer");
		cr_expect_lt(clock_now_us() - since_us, 10 * US_PER_S);
		if (i > 0)
			cr_expect_lt(clock_now_us() - since_us, US_PER_S / 2, "nobody waits for it again");
		for (unsigned k = 1; k < OTHERS; k++)
			see_move(&p->others[k]);
	}
	sem_post(&l->may_end);
	see_move(&p->others[0]); /* behind the note of the halt that was given up */
}

Test(worker_threads, a_halt_that_one_does_not_join_is_given_up_and_nobody_stands_still)
{
	struct long_one l = { .note.read = read_long };
	struct place p;

	sem_init(&l.begun, 0, 0);
	sem_init(&l.may_end, 0, 0);
	place_init(&p, false);
	inbox_post(p.others[0].worker->inbox, &l.note);
	sem_wait(&l.begun);
	see_halts_fail(&p, &l);
	for (unsigned i = 0; i < OTHERS; i++)
		inbox_post(p.others[i].worker->inbox, &p.others[i].note);
	halt_patiently(&p);
	cr_expect(is_still(&p));
	worker_threads_end_halt(&p.weir);
	see_all_move(&p);
	place_fini(&p);
}

struct letter {
	struct note note; /* first */
	struct place *place;
	unsigned to;
};

static void
read_letter(struct note *n, void *owner, bool is_over)
{
	struct letter *l = (struct letter *)n;

	l->place->others[l->to].heard++;
	free(l);
}

struct sender {
	pthread_t thread;
	struct place *place;
	uint64_t sent[OTHERS];
	_Atomic bool is_over;
};

static void *
send_letters(void *arg)
{
	struct sender *s = arg;

	for (uint64_t i = 0; !s->is_over; i++) {
		struct letter *l = calloc(1, sizeof(*l));

		l->note.read = read_letter;
		l->place = s->place;
		l->to = (unsigned)(i % OTHERS);
		s->sent[l->to]++;
		inbox_post(s->place->others[l->to].worker->inbox, &l->note);
		if (i % 64 == 63)
			usleep(50); /* so that what is sent is read, too */
	}
	return NULL;
}

Test(worker_threads, many_halts_beside_threads_that_post)
{
	struct sender senders[SENDERS] = { 0 };
	const char *asked = getenv("WORKER_HALTS");
	uint64_t sent = 0, heard = 0, halts = asked == NULL ? HALTS : strtoull(asked, NULL, 10);
	struct place p;

	place_init(&p, true);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].place = &p;
		cr_assert_eq(pthread_create(&senders[i].thread, NULL, send_letters, &senders[i]), 0);
	}
	for (uint64_t i = 0, sum = 0; i < halts; i++) {
		uint64_t now;

		halt_patiently(&p);
		now = sum_of(&p);
		cr_assert_geq(now, sum);
		for (unsigned k = 0; k < OTHERS; k++)
			p.others[k].count++;
		sum = now + OTHERS;
		cr_assert_eq(sum_of(&p), sum, "halt %d", (int)i);
		worker_threads_end_halt(&p.weir);
	}
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].is_over = true;
		pthread_join(senders[i].thread, NULL);
		for (unsigned k = 0; k < OTHERS; k++)
			sent += senders[i].sent[k];
	}
	place_fini(&p);
	for (unsigned k = 0; k < OTHERS; k++)
		heard += p.others[k].heard;
	cr_expect_eq(heard, sent, "none is lost");
}
