/* tests/unit/test_client.c - what one of several workers does between two events of a turn of its loop, and what is
 * read and told of a client that waits. */
#include "client/client.h"
#include "net/loop.h"
#include "net/inbox.h"
#include "pool/pool_set_state.h"
#include "server/server_parts.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 3

/* Clients that have all sent something before the turn begins, and a server. */
struct place {
	struct client_env env, other, *client_envs[3];
	struct server_env servers;
	struct pool_set pools;
	struct process_counters counters;
	_Atomic uint64_t last_id;
	uint64_t now_us;
	uint8_t bytes[1024];
	struct client *clients[CLIENTS];
	struct server server;
	int peers[CLIENTS + 1];
	struct note note;
	struct deferred_entry deferred;
	bool posts, buries; /* what the first event of a client's does */
	char seen[16]; /* c: an event of a client's; n: the note was read; g: what was buried has left */
};

static void
see(struct place *p, char what)
{
	p->seen[strlen(p->seen)] = what;
}

static void
read_note(struct note *n, void *owner, bool is_over)
{
	see(owner, 'n');
}

static void
leave(struct deferred_entry *g)
{
	see((struct place *)((char *)g - offsetof(struct place, deferred)), 'g');
}

/* The first that is called may post a note, and bury something. */
static void
on_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	struct place *p = c->env->x.owner;

	see(p, 'c');
	if (p->seen[1] != '\0')
		return;
	if (p->buries)
		deferred_frees_add(c->env->x.deferred_frees, &p->deferred, leave);
	if (p->posts)
		inbox_post(c->env->inbox, &p->note);
	cr_expect_str_eq(p->seen, "c", "a function of the client's is running");
}

static const struct client_login_ops login_ops = { .bytes = on_bytes };

/* Returns one end of a connection whose other end is *peer. */
static int
connection(int *peer)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	*peer = ends[1];
	return ends[0];
}

static struct event_base *
new_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

static void
add_peers(struct place *p)
{
	struct sockaddr nobody = { 0 };
	int fd = connection(&p->peers[CLIENTS]);

	/* as server_dial.c does */
	cr_assert_eq(
	    stream_open(&p->server.stream, p->env.x.base, fd, &server_stream_ops[p->servers.has_other_workers]), 0);
	p->server.env = &p->servers;
	for (size_t i = 0; i < CLIENTS; i++) {
		p->clients[i] = client_new(&p->env, connection(&p->peers[i]), &nobody, true);
		cr_assert_not_null(p->clients[i]);
	}
}

static void
place_init(struct place *p, bool has_other_workers)
{
	struct client_env *env = &p->env;
	struct fail why;

	*p = (struct place){ .note.read = read_note };
	env->x.owner = p;
	env->x.base = new_base();
	env->inbox = p->servers.inbox = inbox_new(env->x.base, p, &why);
	env->x.deferred_frees = p->servers.deferred_frees = deferred_frees_new(env->x.base, env->inbox);
	env->x.counters = &p->counters;
	env->x.now_us = p->servers.now_us = &p->now_us;
	env->x.pools = &p->pools;
	p->pools.s.last_id = &p->last_id;
	env->login_ops = &login_ops;
	p->servers.has_other_workers = has_other_workers;
	env->read_buffer = p->servers.read_buffer = p->bytes;
	env->read_cap = p->servers.read_cap = sizeof(p->bytes);
	env->client_envs = p->client_envs;
	p->client_envs[0] = env;
	p->client_envs[1] = has_other_workers ? &p->other : NULL;
	TAILQ_INIT(&env->clients);
	add_peers(p);
	event_base_loop(env->x.base, EVLOOP_NONBLOCK);
}

static void
place_fini(struct place *p)
{
	stream_close(&p->server.stream);
	for (size_t i = 0; i < CLIENTS; i++) {
		stream_close(&p->clients[i]->x.stream);
		exchange_free_input(&p->clients[i]->x);
		free(p->clients[i]);
	}
	for (size_t i = 0; i <= CLIENTS; i++)
		close(p->peers[i]);
	inbox_free(p->env.inbox);
	deferred_frees_free(p->env.x.deferred_frees);
	event_base_free(p->env.x.base);
}

static void
send_all(struct place *p)
{
	for (size_t i = 0; i < CLIENTS; i++)
		cr_assert_eq(write(p->peers[i], "x", 1), 1);
}

static void
turn(struct place *p)
{
	event_base_loop(p->env.x.base, EVLOOP_NONBLOCK);
}

Test(client, with_several_workers_what_is_posted_and_buried_by_one_event_goes_before_the_next)
{
	struct place p;

	place_init(&p, true);
	p.posts = p.buries = true;
	send_all(&p);
	turn(&p);
	cr_expect_str_eq(p.seen, "cgncc", "%s", p.seen);
	turn(&p);
	cr_expect_str_eq(p.seen, "cgncc", "and once: %s", p.seen);
	place_fini(&p);
}

Test(client, with_several_workers_what_is_buried_alone_goes_before_the_next_event)
{
	struct place p;

	place_init(&p, true);
	p.buries = true;
	send_all(&p);
	turn(&p);
	cr_expect_str_eq(p.seen, "cgcc", "%s", p.seen);
	turn(&p);
	cr_expect_str_eq(p.seen, "cgcc", "and once: %s", p.seen);
	place_fini(&p);
}

Test(client, with_several_workers_a_note_is_read_behind_the_event_of_a_server)
{
	struct place p;

	place_init(&p, true);
	send_all(&p);
	inbox_post(p.env.inbox, &p.note);
	event_active(&p.server.stream.event, EV_READ, 0); /* the first in the queue; there is nothing to be read */
	turn(&p);
	cr_expect_str_eq(p.seen, "nccc", "%s", p.seen);
	place_fini(&p);
}

Test(client, alone_a_worker_reads_its_notes_when_its_loop_wakes_for_them)
{
	struct place p;

	place_init(&p, false);
	p.posts = p.buries = true;
	send_all(&p);
	turn(&p);
	turn(&p);
	cr_expect_str_eq(p.seen, "cccgn", "%s", p.seen);
	place_fini(&p);
}

/* Whatever its request waits for, that has begun when its first byte was read. */
Test(client, what_comes_behind_a_request_that_waits_does_not_begin_it_anew)
{
	static const enum client_state waits[] = { CL_IN_LINE, CL_HELD, CL_IN_DOUBT, CL_CATCHING_UP,
						   CL_AWAITING_LISTENER };

	for (size_t i = 0; i < COUNT(waits); i++) {
		struct place p;

		place_init(&p, false);
		p.clients[0]->x.state = waits[i];
		p.clients[0]->x.request_us = 1;
		send_all(&p);
		turn(&p);
		cr_expect_eq(p.clients[0]->x.request_us, 1, "%s", client_state_name(waits[i], false));
		cr_expect_eq(p.clients[0]->x.pending_len, 1);
		place_fini(&p);
	}
}

Test(client, who_waits_or_is_in_a_transaction_is_not_idle)
{
	static const struct {
		enum client_state state;
		enum exchange_block block;
		bool has_server;
		int activity;
	} rows[] = {
		{ CL_READY, EXCHANGE_ORDINARY, false, CLIENT_IS_IDLE },
		{ CL_READY, EXCHANGE_ORDINARY, true, CLIENT_IS_ACTIVE },
		{ CL_READY, EXCHANGE_BEGIN_DUE, false, CLIENT_IS_ACTIVE },
		{ CL_READY, EXCHANGE_ROLLED_BACK, false, CLIENT_IS_ACTIVE },
		{ CL_IN_LINE, EXCHANGE_ORDINARY, false, CLIENT_IS_WAITING },
		{ CL_IN_LINE, EXCHANGE_BEGIN_DUE, false, CLIENT_IS_WAITING },
		{ CL_CATCHING_UP, EXCHANGE_ORDINARY, false, CLIENT_IS_WAITING },
		{ CL_IN_DOUBT, EXCHANGE_ORDINARY, false, CLIENT_IS_WAITING },
		{ CL_AWAITING_LISTENER, EXCHANGE_ORDINARY, false, CLIENT_IS_WAITING },
		{ CL_AWAITING_LISTENER, EXCHANGE_ORDINARY, true, CLIENT_IS_ACTIVE },
		{ CL_HELD, EXCHANGE_ORDINARY, true, CLIENT_IS_ACTIVE },
		{ CL_CLOSE_AFTER_FLUSH, EXCHANGE_ORDINARY, false, CLIENT_IS_IDLE },
		{ CL_WELCOME_IN_LINE, EXCHANGE_ORDINARY, false, CLIENT_IS_LOGIN },
	};
	struct server server = { .tx = 'I' };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c = { .x = { .state = (uint8_t)rows[i].state, .block = (uint8_t)rows[i].block } };

		c.x.srv = rows[i].has_server ? &server : NULL;
		cr_expect_eq(client_activity(&c), rows[i].activity, "row %zu", i);
	}
}
