/* tests/unit/test_cancel_keys_threads.c - the keys of all loops' clients: whose is found, and that threads share them.
 */
#include "client/cancel.h"
#include "threads.h"

#include "base/clock.h"
#include "config/config.h"
#include "unit.h"

#include <stdatomic.h>

#define CLIENTS 64 /* of each loop */
#define ROUNDS 20000

struct key {
	uint8_t bytes[CANCEL_SECRET_MAX];
	size_t len;
};

struct loops {
	struct client_env env[THREADS];
	struct client *clients[THREADS][CLIENTS];
	atomic_uint wrong;
};

static struct loops *
loops_new(uint32_t peer_id)
{
	struct loops *l = calloc(1, sizeof(*l));
	struct config *config = calloc(1, sizeof(*config));
	struct cancel_keys *keys = cancel_keys_new();

	config->peer_id = peer_id;
	for (unsigned i = 0; i < THREADS; i++) {
		l->env[i].keys = keys;
		l->env[i].x.config = config;
		for (unsigned k = 0; k < CLIENTS; k++) {
			l->clients[i][k] = calloc(1, sizeof(struct client));
			l->clients[i][k]->env = &l->env[i];
		}
	}
	return l;
}

static void
loops_free(struct loops *l)
{
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned k = 0; k < CLIENTS; k++) {
			cancel_forget_key(l->clients[i][k]);
			free(l->clients[i][k]);
		}
	cancel_keys_free(l->env[0].keys);
	free(l->env[0].x.config);
	free(l);
}

static struct client *
find(struct loops *l, unsigned loop, const struct client *c)
{
	struct key key;

	key.len = cancel_copy_secret(c, key.bytes);
	return cancel_find_client(&l->env[loop], c->x.client_pid, key.bytes, key.len);
}

Test(cancel_keys, each_loop_finds_its_own_clients)
{
	struct loops *l = loops_new(0);
	struct client *mine = l->clients[0][0], *theirs = l->clients[1][0], *twin = l->clients[1][1];
	struct key key;

	cr_assert_eq(cancel_register(mine, 0, false), 0);
	cr_assert_eq(cancel_register(theirs, 0, true), 0);
	cr_expect_eq(find(l, 0, mine), mine);
	cr_expect_null(find(l, 1, mine));
	cr_expect_eq(find(l, 1, theirs), theirs);
	cr_expect_null(find(l, 0, theirs));

	key.len = cancel_copy_secret(theirs, key.bytes);
	cr_expect_eq(key.len, CANCEL_SECRET_MAX);
	cr_expect_null(cancel_find_client(&l->env[1], theirs->x.client_pid, key.bytes, CANCEL_SECRET_SHORT));
	cr_expect_eq(cancel_restore(l->clients[0][1], theirs->x.client_pid, key.bytes, key.len), -1, "another loop's");
	cr_expect_eq(l->clients[0][1]->x.client_pid, 0);
	key.bytes[20] ^= 1;
	cr_expect_eq(cancel_restore(twin, theirs->x.client_pid, key.bytes, key.len), 0);
	cr_expect_eq(find(l, 1, twin), twin);
	cancel_forget_key(theirs);
	cr_expect_null(find(l, 1, theirs));
	loops_free(l);
}

Test(cancel_keys, a_loop_is_told_whose_client_has_a_key)
{
	struct loops *l = loops_new(0);
	struct client *mine = l->clients[0][0], *theirs = l->clients[1][0], *twin = l->clients[2][0];
	struct pool *one = calloc(1, sizeof(*one)), *other = calloc(1, sizeof(*other));
	struct key key, found;

	cr_assert_eq(cancel_register(mine, 0, false), 0);
	cr_assert_eq(cancel_register(theirs, 0, false), 0);
	key.len = cancel_copy_secret(theirs, key.bytes);
	cr_expect_eq(cancel_find_env(&l->env[0], theirs->x.client_pid, key.bytes, key.len), &l->env[1]);
	cr_expect_eq(cancel_find_env(&l->env[1], theirs->x.client_pid, key.bytes, key.len), &l->env[1]);
	mine->x.pool = theirs->x.pool = one;
	cr_expect_eq(cancel_copy_secret_of_pid(mine, theirs->x.client_pid, found.bytes), key.len);
	cr_expect_arr_eq(found.bytes, key.bytes, key.len);
	theirs->x.pool = other;
	cr_expect_eq(cancel_copy_secret_of_pid(mine, theirs->x.client_pid, found.bytes), 0, "out of reach");
	theirs->x.pool = one;
	cr_expect_eq(cancel_copy_secret_of_pid(mine, CANCEL_PID_MADE - 1, found.bytes), 0, "nobody's");
	key.bytes[0] ^= 1;
	cr_expect_null(cancel_find_env(&l->env[0], theirs->x.client_pid, key.bytes, key.len));
	cr_assert_eq(cancel_restore(twin, theirs->x.client_pid, key.bytes, key.len), 0);
	cr_expect_eq(cancel_copy_secret_of_pid(mine, theirs->x.client_pid, found.bytes), 0, "two have it");
	free(one);
	free(other);
	loops_free(l);
}

/* One of the loops: its clients come and go, and each is found as long as it is there, under its own key. */
static void
run_loop(unsigned number, void *arg)
{
	struct loops *l = arg;
	uint64_t random = number + 1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t draw = random_next(&random);
		struct client *c = l->clients[number][draw % CLIENTS];
		bool is_known = c->x.client_pid != 0;

		if ((draw >> 16) % 4 == 0 && is_known)
			cancel_forget_key(c);
		else if (!is_known && cancel_register(c, 0, (draw >> 20) % 2 == 0) < 0)
			l->wrong++;
		else if (find(l, number, c) != c || find(l, (number + 1) % THREADS, c) != NULL)
			l->wrong++;
	}
}

static int
by_number(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

	return one < other ? -1 : one > other;
}

/* With peers a PID has but 16384 values: the same one would be made soon if loops did not look at each other's. */
Test(cancel_keys, loops_share_the_pids)
{
	struct loops *l = loops_new(3);
	uint32_t pids[THREADS * CLIENTS];
	size_t n = 0;

	in_threads(run_loop, l);
	cr_expect_eq(l->wrong, 0);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned k = 0; k < CLIENTS; k++)
			if (l->clients[i][k]->x.client_pid != 0)
				pids[n++] = l->clients[i][k]->x.client_pid;
	cr_expect_gt(n, THREADS * CLIENTS / 2);
	qsort(pids, n, sizeof(pids[0]), by_number);
	for (size_t i = 1; i < n; i++)
		cr_expect_neq(pids[i - 1], pids[i]);
	loops_free(l);
}
