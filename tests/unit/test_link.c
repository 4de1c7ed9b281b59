/* tests/unit/test_link.c - restart/link.c over a real socket pair. */
#include "base/alloc.h"
#include "restart/link.h"
#include "unit.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
	struct link *link;
	unsigned messages, rests, closed, drained;
	uint8_t type;
	size_t len;
	uint8_t first;
	int fd;
	bool frees; /* the link, from within the callback */
};

static void
on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd)
{
	struct side *s = arg;

	s->messages++;
	s->type = type;
	s->len = len;
	s->first = len > 0 ? body[0] : 0;
	s->fd = fd;
	if (s->frees)
		link_free(s->link);
}

static void
on_rest(void *arg)
{
	((struct side *)arg)->rests++;
}

static void
on_drained(void *arg)
{
	((struct side *)arg)->drained++;
}

static void
on_closed(void *arg)
{
	((struct side *)arg)->closed++;
}

static const struct link_ops ops = { on_message, on_rest, on_drained, on_closed };

struct pair {
	struct event_base *base;
	struct side a, b;
	int raw; /* the other end of b, where there is no a */
};

static void
pair_init(struct pair *p, bool has_a)
{
	int ends[2];

	memset(p, 0, sizeof(*p));
	p->base = event_base_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	p->raw = ends[0];
	if (has_a)
		p->a.link = link_new(p->base, ends[0], &ops, &p->a);
	p->b.link = link_new(p->base, ends[1], &ops, &p->b);
	p->a.fd = p->b.fd = -1;
}

/* What is left of it. */
static void
pair_fini(struct pair *p)
{
	link_free(p->a.link);
	link_free(p->b.link);
	event_base_free(p->base);
}

static void
turns(struct pair *p)
{
	for (int i = 0; i < 50; i++)
		event_base_loop(p->base, EVLOOP_NONBLOCK);
}

Test(link, messages_and_descriptors_come_in_order)
{
	struct pair p;
	int ends[2];

	pair_init(&p, true);
	cr_assert_eq(pipe(ends), 0);
	link_send(p.a.link, 1, "x", 1, -1);
	link_send(p.a.link, 2, NULL, 0, ends[1]);
	turns(&p);
	cr_expect(p.b.messages == 2 && p.b.rests == 1);
	cr_expect_eq(p.b.type, 2);
	cr_assert(p.b.fd >= 0 && p.b.fd != ends[1]);
	cr_expect_eq(write(p.b.fd, "y", 1), 1);
	char got = 0;
	cr_expect(read(ends[0], &got, 1) == 1 && got == 'y', "it is the pipe");
	link_free(p.a.link);
	turns(&p);
	cr_expect_eq(p.b.closed, 1);
	p.a.link = NULL;
	pair_fini(&p);
}

Test(link, more_than_the_kernel_takes_at_once)
{
	const size_t len = (size_t)8 << 20;
	uint8_t *big = xcalloc(1, len);
	struct pair p;

	pair_init(&p, true);
	big[0] = 42;
	link_send(p.a.link, 3, big, len, -1);
	cr_expect(!link_is_drained(p.a.link));
	for (int i = 0; i < 20000 && p.b.messages == 0; i++)
		event_base_loop(p.base, EVLOOP_NONBLOCK);
	turns(&p);
	cr_expect(p.b.messages == 1 && p.b.len == len && p.b.first == 42);
	cr_expect(link_is_drained(p.a.link) && p.a.drained == 1);
	pair_fini(&p);
	free(big);
}

Test(link, a_descriptor_for_which_there_is_no_room)
{
	struct rlimit before, none = { 0 };
	struct pair p;

	pair_init(&p, true);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none.rlim_max = before.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	link_send(p.a.link, 1, "x", 1, STDIN_FILENO);
	turns(&p);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_expect(p.b.messages == 1 && p.b.type == 1 && p.b.fd == -1 && p.b.closed == 0);
	link_send(p.a.link, 2, NULL, 0, STDIN_FILENO);
	turns(&p);
	cr_expect(p.b.messages == 2 && p.b.type == 2 && p.b.fd >= 0 && p.b.closed == 0);
	pair_fini(&p);
}

Test(link, a_descriptor_that_is_closed_before_it_was_sent)
{
	const size_t len = (size_t)8 << 20;
	uint8_t *big = xcalloc(1, len);
	struct pair p;
	int ends[2];

	pair_init(&p, true);
	cr_assert_eq(pipe(ends), 0);
	link_send(p.a.link, 3, big, len, -1);
	link_send(p.a.link, 4, "x", 1, ends[1]);
	close(ends[1]);
	for (int i = 0; i < 20000 && p.b.messages < 2; i++)
		event_base_loop(p.base, EVLOOP_NONBLOCK);
	cr_expect(p.b.messages == 2 && p.b.type == 4 && p.b.fd >= 0 && p.b.closed == 0);
	close(p.b.fd);
	cr_expect_eq(read(ends[0], big, 1), 0, "nobody has it any more");
	close(ends[0]);
	pair_fini(&p);
	free(big);
}

Test(link, what_makes_no_sense_ends_it)
{
	static const char *const heads[] = {
		"\0\0\0\1\1\0\0\0", /* the mark is wrong */
		"\xff\0\0\0\1\0\x70\x77", /* too long */
		"\0\0\0\0\1\1\x70\x77", /* a descriptor that did not come */
		"\0\0\0\0\1\2\x70\x77", /* two of them */
	};

	for (size_t i = 0; i < COUNT(heads); i++) {
		struct pair p;

		pair_init(&p, false);
		cr_assert_eq(write(p.raw, heads[i], 8), 8);
		turns(&p);
		cr_expect(p.b.closed == 1 && p.b.messages == 0, "%zu", i);
		pair_fini(&p);
		close(p.raw);
	}
}

Test(link, it_may_be_freed_from_its_callback)
{
	struct pair p;

	pair_init(&p, true);
	p.b.frees = true;
	link_send(p.a.link, 1, NULL, 0, -1);
	link_send(p.a.link, 2, NULL, 0, -1);
	turns(&p);
	cr_expect(p.b.messages == 1 && p.b.closed == 0 && p.a.closed == 1);
	p.b.link = NULL;
	pair_fini(&p);
}

Test(link, the_last_words_of_a_process_that_exits)
{
	struct pair p;

	pair_init(&p, false);
	link_send_last(p.raw, 4, "why", 3);
	close(p.raw);
	turns(&p);
	cr_expect(p.b.messages == 1 && p.b.type == 4 && p.b.len == 3 && p.b.closed == 1);
	pair_fini(&p);
}
