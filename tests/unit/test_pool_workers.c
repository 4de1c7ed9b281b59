/* tests/unit/test_pool_workers.c - each pool has one worker for good, and new ones go where there are few clients. */
#include "pool/pool_workers.h"

#include "config/config.h"
#include "load/load_state.h"
#include "pool/pool_set.h"
#include "unit.h"

#define WORKERS 3
#define MANY 5000

static const struct pool_split split = { .workers = WORKERS, .shard_min = POOL_SHARD_MIN };

static struct config *
make_config(void)
{
	static const char text[] = "[auth]\nmethod = trust\n[pool]\npool_size = 6\nmax_overflow = 1\n"
				   "[database *]\nupstream = host=h\n"
				   "[database one]\nupstream = host=h user=u\n"
				   "[database two]\nupstream = host=h\npool_size = 7\n"
				   "[database many]\nupstream = host=h\npool_size = 100\n"
				   "[database capped]\nupstream = host=h\npool_size = 100\nmax_db_connections = 8\n"
				   "[database few]\nupstream = host=h\npool_size = 100\nmax_db_connections = 7\n";
	struct config_problems problems = { 0 };
	struct config *config = load_text(text, strlen(text), "pgweir.ini", NULL, 0, &problems);

	cr_assert_not_null(config);
	config_problems_fini(&problems);
	return config;
}

static uint32_t
find(struct pool_workers *h, const struct config *config, const char *database, const char *user)
{
	struct fail why;

	return pool_workers_choose(h, config, database, user, 0, &why);
}

Test(pool_workers, who_comes_is_not_sent_to_a_worker_that_does_not_answer)
{
	struct config *config = make_config();
	struct pool_workers *h = pool_workers_new(&split, 1);

	cr_expect_eq(find(h, config, "many", "u"), 1);
	pool_workers_set_silent(h, 1, true);
	cr_expect_eq(find(h, config, "many", "u"), 2, "its pool gets another part");
	cr_expect_neq(find(h, config, "a", "u"), 1);
	pool_workers_client_moved(h, 2);
	pool_workers_client_moved(h, 0);
	cr_expect_neq(find(h, config, "many", "u"), 1);
	cr_expect_neq(find(h, config, "b", "u"), 1);
	pool_workers_set_silent(h, 1, false);
	cr_expect_eq(find(h, config, "many", "u"), 1);
	cr_expect_eq(find(h, config, "c", "u"), 1);
	pool_workers_free(h);
	config_unref(config);
}

Test(pool_workers, a_new_pool_goes_where_there_are_the_fewest_clients_and_the_main_worker_is_the_last)
{
	struct config *config = make_config();
	struct pool_workers *h = pool_workers_new(&split, 1);
	uint32_t a = find(h, config, "a", "u");

	cr_expect_eq(a, 1);
	cr_expect_eq(find(h, config, "b", "u"), 2);
	cr_expect_eq(find(h, config, "c", "u"), 0);
	pool_workers_client_moved(h, 1);
	pool_workers_client_moved(h, 1);
	pool_workers_client_moved(h, 2);
	cr_expect_eq(pool_workers_count_moved_clients(h), 3);
	cr_expect_eq(find(h, config, "d", "u"), 0);
	pool_workers_client_ended(h, 1);
	pool_workers_client_ended(h, 1);
	cr_expect_eq(find(h, config, "e", "u"), 1);
	cr_expect_eq(find(h, config, "a", "u"), a, "it stays where it is");
	pool_workers_client_ended(h, 2);
	cr_expect_eq(pool_workers_count_moved_clients(h), 0);
	pool_workers_free(h);
	config_unref(config);
}

Test(pool_workers, users_whose_servers_log_in_as_one_share_a_worker)
{
	struct config *config = make_config();
	struct pool_workers *h = pool_workers_new(&split, 1);
	uint32_t worker = find(h, config, "one", "v");

	find(h, config, "other", "v");
	cr_expect_eq(find(h, config, "one", "w"), worker);
	cr_expect_eq(find(h, config, "one", "u"), worker);
	pool_workers_free(h);
	config_unref(config);
}

/* Logs in a client of this pool; *at_main_worker: how many are on worker 0. */
static uint32_t
come(struct pool_workers *h, const struct config *config, const char *database, uint32_t *at_main_worker)
{
	struct fail why;
	uint32_t worker = pool_workers_choose(h, config, database, "u", *at_main_worker, &why);

	if (worker == 0)
		++*at_main_worker;
	else
		pool_workers_client_moved(h, worker);
	return worker;
}

Test(pool_workers, a_large_pool_has_a_shard_for_each_four_connections_where_the_fewest_clients_are)
{
	struct config *config = make_config();
	struct pool_workers *h = pool_workers_new(&split, 1);
	uint32_t at_main_worker = 0;

	cr_expect_eq(come(h, config, "many", &at_main_worker), 1);
	cr_expect_eq(come(h, config, "many", &at_main_worker), 2);
	cr_expect_eq(come(h, config, "many", &at_main_worker), 0);
	cr_expect_eq(come(h, config, "many", &at_main_worker), 1, "of equal ones the first");
	cr_expect_eq(come(h, config, "two", &at_main_worker), 2);
	cr_expect_eq(come(h, config, "two", &at_main_worker), 0);
	pool_workers_client_ended(h, 1);
	pool_workers_client_ended(h, 1);
	cr_expect_neq(come(h, config, "two", &at_main_worker), 1, "it has its two parts");
	cr_expect(pool_workers_check_shard(h, config, "two", "u", 2));
	cr_expect_not(pool_workers_check_shard(h, config, "two", "u", 1));
	cr_expect_eq(come(h, config, "many", &at_main_worker), 1);
	pool_workers_free(h);
	config_unref(config);
}

Test(pool_workers, a_client_that_comes_alone_finds_the_shard_of_the_one_before)
{
	struct config *config = make_config();
	struct pool_workers *h = pool_workers_new(&split, 1);

	uint32_t at_main_worker = 0;

	for (unsigned i = 0; i < 5; i++) {
		cr_expect_eq(come(h, config, "many", &at_main_worker), 1);
		pool_workers_client_ended(h, 1);
	}
	pool_workers_free(h);
	config_unref(config);
}

static uint32_t
shards_of(const struct config *config, const char *database)
{
	struct pool_workers *h = pool_workers_new(&split, 1);
	uint32_t at_main_worker = 0, count = 0;

	for (unsigned i = 0; i < WORKERS; i++)
		come(h, config, database, &at_main_worker);
	for (uint32_t i = 0; i < WORKERS; i++)
		count += pool_workers_check_shard(h, config, database, "u", i);
	pool_workers_free(h);
	return count;
}

Test(pool_workers, a_pool_has_no_more_shards_than_its_caps_have_places_for)
{
	struct config *config = make_config();

	cr_expect_eq(shards_of(config, "small"), 1);
	cr_expect_eq(shards_of(config, "many"), WORKERS);
	cr_expect_eq(shards_of(config, "capped"), 2);
	cr_expect_eq(shards_of(config, "few"), 1);
	config_unref(config);
}

Test(pool_workers, more_pools_than_are_remembered_have_workers_for_good)
{
	struct config *config = make_config();
	struct pool_workers *h = pool_workers_new(&split, 1);
	static uint32_t first[MANY];
	uint32_t count[WORKERS] = { 0 };
	char name[16];

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < MANY; i++) {
			uint32_t worker;

			snprintf(name, sizeof(name), "d%u", i);
			worker = find(h, config, name, "u");
			cr_assert_lt(worker, WORKERS);
			cr_assert(round == 0 || worker == first[i]);
			first[i] = worker;
			count[worker]++;
		}
	for (unsigned i = 0; i < WORKERS; i++)
		cr_expect_gt(count[i], 2 * MANY / WORKERS * 9 / 10);
	pool_workers_free(h);
	config_unref(config);
}

Test(pool_workers, a_database_that_is_not_configured_has_none)
{
	static const char text[] = "[auth]\nmethod = trust\n[database a]\nupstream = host=h\n";
	struct config_problems problems = { 0 };
	struct config *config = load_text(text, strlen(text), "pgweir.ini", NULL, 0, &problems);
	struct pool_workers *h = pool_workers_new(&split, 1);
	struct fail why;

	cr_expect_eq(pool_workers_choose(h, config, "b", "u", 0, &why), POOL_NO_WORKER);
	cr_expect_str_eq(why.sqlstate, "3D000");
	pool_workers_free(h);
	config_unref(config);
	config_problems_fini(&problems);
}
