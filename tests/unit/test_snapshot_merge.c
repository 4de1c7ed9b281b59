/* tests/unit/test_snapshot_merge.c - one snapshot of those of several workers: nothing lost, nothing counted twice. */
#include "telemetry/snapshot.h"

#include "base/clock.h"
#include "unit.h"

#define PARTS_MAX 5
#define NAMES 6 /* of databases, of users and of hosts */
#define SEED 7

static void
fill(void *words, size_t size, uint64_t *random)
{
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		((uint64_t *)words)[i] = random_next(random) % 1000;
}

static void
add_pool(struct snapshot *s, unsigned database, unsigned user, uint64_t *random)
{
	struct snapshot_pool *p = &s->pools[s->pool_count++];

	snprintf(p->database, sizeof(p->database), "d%u", database);
	snprintf(p->user, sizeof(p->user), "u%u", user);
	fill(p->clients, sizeof(p->clients), random);
	fill(p->servers, sizeof(p->servers), random);
	fill(&p->counters, sizeof(p->counters), random);
	p->pool_size = 10 + database;
	p->max_overflow = 5;
	p->overflow = p->waiting = p->listen_connections = p->listening_clients = p->listen_channels = 1;
	p->oldest_waiter_us = random_next(random) % 1000;
}

static void
add_database(struct snapshot *s, unsigned database, uint64_t *random)
{
	struct snapshot_database *d = &s->databases[s->database_count++];

	snprintf(d->name, sizeof(d->name), "d%u", database);
	fill(&d->counters, sizeof(d->counters), random);
	d->prepared_client = 3;
	d->prepared_server = 4;
	if (random_next(random) % 3 == 0)
		return;
	d->exemplars = calloc(1, sizeof(*d->exemplars));
	for (size_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++)
		d->exemplars->of[i].wall_us = 1 + random_next(random) % 1000;
}

static void
add_backend(struct snapshot *s, unsigned host, uint64_t *random)
{
	struct snapshot_backend *b = &s->backends[s->backend_count++];

	snprintf(b->name, sizeof(b->name), "h%u", host);
	strcpy(b->role, "unknown");
	b->counters.connects = 1;
	b->counters.connect_failures[CF_AUTH] = 2;
	b->counters.up_state = (int)(random_next(random) % 3) - 1;
	b->counters.last_failure_wall_us = random_next(random) % 1000;
	histogram_observe_us(&b->counters.connect_duration, &histogram_bounds_wait, 5000);
}

/* A worker's: some of all pools, databases and hosts. */
static struct snapshot *
make_part(unsigned number, uint64_t *random)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	s->pools = calloc(NAMES * NAMES + 1, sizeof(*s->pools));
	s->databases = calloc(NAMES + 1, sizeof(*s->databases));
	s->backends = calloc(NAMES + 1, sizeof(*s->backends));
	s->workers = calloc(1, sizeof(*s->workers));
	s->budgets = calloc(1, sizeof(*s->budgets)); /* where there is none */
	s->taken_us = 1000 + random_next(random) % 1000;
	s->state = number == 0 ? STATE_DRAINING : STATE_RUNNING;
	s->clients_limit = number == 0 ? 99 : 0;
	fill(&s->process, sizeof(s->process), random);
	s->workers[s->worker_count++] = (struct snapshot_worker){ .number = number, .counters = s->process };
	s->clients_total_now = s->login_clients = s->cancel_clients = number + 1;
	s->statement_cache_bytes = s->buffer_bytes_client = s->buffer_bytes_server = number + 1;
	for (unsigned d = 0; d < NAMES; d++) {
		for (unsigned u = 0; u < NAMES; u++)
			if (random_next(random) % 2 == 0)
				add_pool(s, d, u, random);
		if (random_next(random) % 4 > 0)
			add_database(s, d, random);
		if (random_next(random) % 4 > 0)
			add_backend(s, d, random);
	}
	return s;
}

/* A copy of what is compared later; it owns nothing. */
static struct snapshot *
copy_of(const struct snapshot *s)
{
	struct snapshot *c = malloc(sizeof(*c));

	*c = *s;
	c->pools = memcpy(malloc((s->pool_count + 1) * sizeof(*s->pools)), s->pools, s->pool_count * sizeof(*s->pools));
	c->databases = memcpy(malloc((s->database_count + 1) * sizeof(*s->databases)), s->databases,
			      s->database_count * sizeof(*s->databases));
	c->backends = memcpy(malloc((s->backend_count + 1) * sizeof(*s->backends)), s->backends,
			     s->backend_count * sizeof(*s->backends));
	c->workers = NULL;
	c->budgets = NULL;
	for (size_t i = 0; i < s->database_count; i++)
		if (s->databases[i].exemplars != NULL) {
			c->databases[i].exemplars = malloc(sizeof(struct exemplars));
			*c->databases[i].exemplars = *s->databases[i].exemplars;
		}
	return c;
}

static void
expect_words(const void *words, const void *sums, size_t size, const char *what, const char *name)
{
	cr_expect_arr_eq(words, sums, size, "%s of %s", what, name);
}

static void
check_pool(const struct snapshot_pool *p, struct snapshot *const *parts, size_t count)
{
	struct snapshot_pool sum = { .pool_size = p->pool_size, .max_overflow = 5 };
	unsigned seen = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < parts[i]->pool_count; k++) {
			struct snapshot_pool one = parts[i]->pools[k];

			if (strcmp(one.database, p->database) != 0 || strcmp(one.user, p->user) != 0)
				continue;
			cr_expect_eq(p->pool_size, one.pool_size, "the same pool's, not a sum");
			one.pool_size = one.max_overflow = 0;
			snapshot_pool_add(&sum, &one);
			seen++;
		}
	cr_expect_gt(seen, 0);
	expect_words(p->clients, sum.clients, sizeof(sum) - offsetof(struct snapshot_pool, clients), p->database,
		     p->user);
}

static void
check_database(const struct snapshot_database *d, struct snapshot *const *parts, size_t count)
{
	struct snapshot_database sum = { .prepared_client = 0 };
	uint64_t newest[HISTOGRAM_BUCKETS_MAX] = { 0 };

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < parts[i]->database_count; k++) {
			const struct snapshot_database *one = &parts[i]->databases[k];

			if (strcmp(one->name, d->name) != 0)
				continue;
			snapshot_database_add(&sum, one);
			for (size_t b = 0; b < HISTOGRAM_BUCKETS_MAX && one->exemplars != NULL; b++)
				if (one->exemplars->of[b].wall_us > newest[b])
					newest[b] = one->exemplars->of[b].wall_us;
		}
	cr_expect_gt(sum.prepared_client, 0);
	cr_expect_eq(d->prepared_client, sum.prepared_client);
	cr_expect_eq(d->prepared_server, sum.prepared_server);
	expect_words(&d->counters, &sum.counters, sizeof(sum.counters), "counters", d->name);
	for (size_t b = 0; b < HISTOGRAM_BUCKETS_MAX; b++)
		cr_expect_eq(d->exemplars == NULL ? 0 : d->exemplars->of[b].wall_us, newest[b]);
}

static void
check_backend(const struct snapshot_backend *b, struct snapshot *const *parts, size_t count)
{
	uint64_t seen = 0, last = 0;
	int is_up = -1;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < parts[i]->backend_count; k++) {
			const struct snapshot_backend *one = &parts[i]->backends[k];

			if (strcmp(one->name, b->name) != 0)
				continue;
			seen++;
			last = one->counters.last_failure_wall_us > last ? one->counters.last_failure_wall_us : last;
			is_up = one->counters.up_state > is_up ? one->counters.up_state : is_up;
		}
	cr_expect_gt(seen, 0);
	cr_expect_eq(b->counters.connects, seen);
	cr_expect_eq(b->counters.connect_failures[CF_AUTH], 2 * seen);
	cr_expect_eq(histogram_count(&b->counters.connect_duration), seen);
	cr_expect_eq(b->counters.last_failure_wall_us, last);
	cr_expect_eq(b->counters.up_state, is_up);
}

static void
expect_once(const char *rows, size_t count, size_t size, size_t key_len)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < i; k++)
			cr_expect_neq(memcmp(rows + i * size, rows + k * size, key_len), 0, "%s twice",
				      rows + i * size);
}

static void
check_process(const struct snapshot *all, struct snapshot *const *parts, size_t count)
{
	struct process_counters sum = { 0 };
	uint64_t taken_us = 0, sum_of_numbers = count * (count + 1) / 2;

	for (size_t i = 0; i < count; i++) {
		counters_add(&sum, &parts[i]->process, sizeof(sum));
		taken_us = parts[i]->taken_us > taken_us ? parts[i]->taken_us : taken_us;
		cr_expect_eq(all->workers[i].number, i);
		cr_expect_arr_eq(&all->workers[i].counters, &parts[i]->process, sizeof(sum));
	}
	cr_expect_eq(all->worker_count, count);
	cr_expect_arr_eq(&all->process, &sum, sizeof(sum));
	cr_expect_eq(all->taken_us, taken_us);
	cr_expect_eq(all->state, STATE_DRAINING);
	cr_expect_eq(all->clients_limit, 99);
	cr_expect_eq(all->clients_total_now, sum_of_numbers);
	cr_expect_eq(all->login_clients, sum_of_numbers);
	cr_expect_eq(all->cancel_clients, sum_of_numbers);
	cr_expect_eq(all->statement_cache_bytes, sum_of_numbers);
	cr_expect_eq(all->buffer_bytes_client, sum_of_numbers);
	cr_expect_eq(all->buffer_bytes_server, sum_of_numbers);
}

static void
merge_and_check(size_t count, uint64_t *random)
{
	struct snapshot *parts[PARTS_MAX], *before[PARTS_MAX], *all;

	for (unsigned i = 0; i < count; i++) {
		parts[i] = make_part(i, random);
		before[i] = copy_of(parts[i]);
	}
	all = snapshot_merge(parts, count, 1000, SEED);
	check_process(all, before, count);
	expect_once((const char *)all->pools, all->pool_count, sizeof(*all->pools), (size_t)2 * SNAPSHOT_NAME_MAX);
	expect_once((const char *)all->databases, all->database_count, sizeof(*all->databases), SNAPSHOT_NAME_MAX);
	expect_once((const char *)all->backends, all->backend_count, sizeof(*all->backends), SNAPSHOT_NAME_MAX);
	cr_expect_eq(all->pools_aggregated, 0);
	for (size_t i = 0; i < all->pool_count; i++)
		check_pool(&all->pools[i], before, count);
	for (size_t i = 0; i < all->database_count; i++)
		check_database(&all->databases[i], before, count);
	for (size_t i = 0; i < all->backend_count; i++)
		check_backend(&all->backends[i], before, count);
	for (size_t i = 0; i < count; i++) /* and none is missing: the sums over all rows are equal */
		for (size_t k = 0; k < before[i]->pool_count; k++)
			all->pools[0].counters.waits -= before[i]->pools[k].counters.waits;
	for (size_t k = 1; k < all->pool_count; k++)
		all->pools[0].counters.waits += all->pools[k].counters.waits;
	cr_expect_eq(all->pool_count == 0 ? 0 : all->pools[0].counters.waits, 0);
	for (size_t i = 0; i < count; i++)
		snapshot_free(before[i]);
	snapshot_free(all);
}

Test(snapshot_merge, adds_up_what_one_two_and_five_workers_have)
{
	uint64_t random = 1;

	for (int i = 0; i < 20; i++) {
		merge_and_check(1, &random);
		merge_and_check(2, &random);
		merge_and_check(5, &random);
	}
}

static struct snapshot *
part_with_pools(unsigned number, unsigned first, unsigned count, bool has_other)
{
	uint64_t random = number + 1;
	struct snapshot *s = make_part(number, &random);

	s->pool_count = s->backend_count = 0;
	memset(s->pools, 0, NAMES * NAMES * sizeof(*s->pools));
	for (unsigned i = 0; i < count; i++)
		add_pool(s, first + i, 0, &random);
	if (has_other) {
		add_pool(s, 0, 0, &random);
		memset(s->pools[count].database, 0, (size_t)2 * SNAPSHOT_NAME_MAX);
		strcpy(s->pools[count].database, "_other");
		strcpy(s->pools[count].user, "_other");
		s->pools_aggregated = 2;
	}
	return s;
}

/* Workers 0 and 1 have the pools 0 to 3 and 2 to 6, of which 4 may have a row; each has added up two others already. */
Test(snapshot_merge, pools_beyond_the_most_are_one)
{
	struct snapshot *parts[] = { part_with_pools(0, 0, 4, true), part_with_pools(1, 2, 5, true) }, *all;
	const struct snapshot_pool *other = NULL;
	uint64_t waits = 0, other_sizes = 20;

	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < parts[i]->pool_count; k++)
			waits += parts[i]->pools[k].counters.waits;
	all = snapshot_merge(parts, 2, 4, SEED);
	cr_expect_eq(all->pool_count, 5);
	for (size_t i = 0; i < all->pool_count; i++) {
		waits -= all->pools[i].counters.waits;
		if (strcmp(all->pools[i].database, "_other") == 0)
			other = &all->pools[i];
		else
			cr_expect_eq(all->pools[i].pool_size, 10 + (unsigned)atoi(all->pools[i].database + 1));
	}
	cr_assert_not_null(other);
	for (unsigned i = 4; i < 7; i++)
		other_sizes += 10 + i;
	cr_expect_eq(other->pool_size, other_sizes, "of different pools: a sum");
	cr_expect_eq(waits, 0);
	cr_expect_eq(all->pools_aggregated, 7);
	snapshot_free(all);
}

Test(snapshot_merge, the_role_is_of_who_has_heard_it)
{
	uint64_t random = 3;
	struct snapshot *parts[3], *all;
	const int up[] = { -1, 0, 1 };
	const char *const roles[] = { "unknown", "standby", "primary" };

	for (unsigned i = 0; i < 3; i++) {
		parts[i] = make_part(i, &random);
		memset(parts[i]->backends, 0, NAMES * sizeof(*parts[i]->backends));
		parts[i]->backend_count = 0;
		add_backend(parts[i], 1, &random);
		parts[i]->backends[0].counters.up_state = up[i];
		strcpy(parts[i]->backends[0].role, roles[i]);
	}
	all = snapshot_merge(parts, 3, 1000, SEED);
	cr_expect_eq(all->backend_count, 1);
	cr_expect_str_eq(all->backends[0].role, "primary");
	snapshot_free(all);
}

Test(snapshot_merge, each_worker_has_series_of_its_own)
{
	uint64_t random = 5;
	struct snapshot *parts[] = { make_part(0, &random), make_part(1, &random) }, *all;
	struct buf text = { 0 };

	parts[1]->workers[0].counters.loop_iterations = 4711;
	all = snapshot_merge(parts, 2, 1000, SEED);
	metrics_render(all, EXPOSITION_TEXT, &text);
	buf_put_u8(&text, 0);
	cr_assert(buf_ok(&text));
	cr_expect_not_null(strstr((char *)text.bytes, "\npgweir_event_loop_iterations_total{worker=\"0\"} "));
	cr_expect_not_null(strstr((char *)text.bytes, "\npgweir_event_loop_iterations_total{worker=\"1\"} 4711\n"));
	buf_fini(&text);
	snapshot_free(all);
}

static void
expect_same(const void *a, const void *b, size_t count, size_t size)
{
	cr_expect_neq(a, b);
	cr_expect_eq(memcmp(a, b, count * size), 0);
}

Test(snapshot, a_copy_has_all_and_shares_nothing)
{
	uint64_t random = 1;
	struct snapshot *s = make_part(1, &random), *copy = snapshot_copy(s), *none = snapshot_new(3);

	cr_assert_not_null(copy);
	cr_expect_eq(copy->clients_total_now, s->clients_total_now);
	expect_same(copy->pools, s->pools, s->pool_count, sizeof(*s->pools));
	expect_same(copy->backends, s->backends, s->backend_count, sizeof(*s->backends));
	expect_same(copy->workers, s->workers, s->worker_count, sizeof(*s->workers));
	cr_assert_gt(s->database_count, 0);
	for (size_t i = 0; i < s->database_count; i++) {
		struct snapshot_database *d = &s->databases[i], *c = &copy->databases[i];

		cr_expect_eq(d->exemplars == NULL, c->exemplars == NULL);
		if (d->exemplars != NULL)
			expect_same(d->exemplars, c->exemplars, 1, sizeof(*d->exemplars));
		expect_same(&d->counters, &c->counters, 1, sizeof(d->counters));
	}
	snapshot_free(s);
	snapshot_free(copy);
	cr_assert_eq(none->worker_count, 1);
	cr_expect_eq(none->workers[0].number, 3);
	cr_expect_eq(none->workers[0].is_up, 0);
	snapshot_free(none);
}

Test(snapshot, of_two_that_saw_a_host_the_one_that_saw_it_last_is_right)
{
	struct snapshot_backend up = { .counters = { .up_state = 1, .up_state_set_us = 10 } },
				down = { .counters = { .up_state = 0, .up_state_set_us = 20 } },
				unknown = { .counters = { .up_state = -1, .up_state_set_us = 30 } }, first = up,
				last = down;

	snapshot_backend_add(&first, &down);
	cr_expect_eq(first.counters.up_state, 0);
	snapshot_backend_add(&last, &up);
	cr_expect_eq(last.counters.up_state, 0);
	snapshot_backend_add(&last, &unknown);
	cr_expect_eq(last.counters.up_state, 0);
	snapshot_backend_add(&unknown, &up);
	cr_expect_eq(unknown.counters.up_state, 1);
}
