/* tests/unit/test_clients.c - walks through the clients and pools of several workers, some of which have none. */
#include "client/client.h"
#include "client/clients.h"
#include "dedicated/notify_listener.h"
#include "load/load_state.h"
#include "policy/policy_commons.h"
#include "pool/pool_target.h"
#include "unit.h"

#define CREW 5
#define HAS_MAX 3

struct crew {
	struct policy_commons *commons;
	struct code_registry *code_registry;
	struct policy_worker *workers[CREW];
	struct client_env envs[CREW], *all[CREW + 1];
	struct client clients[CREW][HAS_MAX];
	struct server_env servers;
	struct statement_store *statements;
	struct event_base *base;
	struct config *config;
	struct tls_store *tls;
	uint64_t now_us;
	_Atomic uint64_t last_id;
};

static struct config *
make_config(void)
{
	static const char text[] = "[auth]\nmethod = trust\n[database *]\nupstream = host=/tmp sslmode=disable\n";
	struct config_problems problems = { 0 };
	struct config *config = load_text(text, strlen(text), "pgweir.ini", NULL, 0, &problems);

	cr_assert_not_null(config, "%s", problems.count > 0 ? problems.list[0].text : "");
	config_problems_fini(&problems);
	return config;
}

static void
add_client(struct client_env *env, struct client *c)
{
	c->env = env;
	c->x.waiter.id = pool_set_next_id(env->x.pools);
	TAILQ_INSERT_TAIL(&env->clients, c, all);
}

static void
add_pool(struct client_env *env, unsigned number)
{
	char database[16];
	struct fail why;

	snprintf(database, sizeof(database), "db%u", number);
	cr_assert_not_null(pool_set_get_or_create(env->x.pools, database, "u", 1, &why), "%s", why.text);
}

/* has: how many clients and pools each worker has. */
static void
crew_init(struct crew *crew, const unsigned has[static CREW])
{
	struct fail why;

	memset(crew, 0, sizeof(*crew));
	crew->base = event_base_new();
	crew->config = make_config();
	crew->tls = tls_store_new(crew->config, &why);
	crew->statements = statement_store_new(1, 1, NULL, 1 << 20);
	crew->servers.now_us = &crew->now_us;
	crew->commons = policy_commons_new(1);
	crew->code_registry = code_registry_new();
	for (unsigned i = 0; i < CREW; i++) {
		struct client_env *env = crew->all[i] = &crew->envs[i];
		const struct pool_set_settings settings = { .env = &crew->servers,
							    .dedicated_ops = &dedicated_pool_ops,
							    .worker = crew->workers[i] =
								policy_worker_new(crew->commons, i, NULL, NULL, NULL),
							    .code_registry = crew->code_registry,
							    .statements = crew->statements,
							    .last_id = &crew->last_id };

		TAILQ_INIT(&env->clients);
		env->x.pools = pool_set_new(&settings, crew->base, NULL);
		pool_set_configure(env->x.pools, crew->config, NULL, crew->tls, 1);
		for (unsigned n = 0; n < has[i]; n++) {
			add_client(env, &crew->clients[i][n]);
			add_pool(env, n);
		}
	}
}

static void
crew_fini(struct crew *crew)
{
	for (unsigned i = 0; i < CREW; i++) {
		pool_set_free(crew->envs[i].x.pools);
		policy_worker_free(crew->workers[i]);
	}
	policy_commons_free(crew->commons);
	code_registry_free(crew->code_registry);
	statement_store_free(crew->statements);
	tls_store_unref(crew->tls);
	config_unref(crew->config);
	event_base_free(crew->base);
}

/* Each once, worker after worker. */
static void
expect_walks(const unsigned has[static CREW])
{
	const struct client *c = NULL;
	const struct pool *e = NULL;
	struct crew crew;

	crew_init(&crew, has);
	for (unsigned i = 0; i < CREW; i++)
		for (unsigned n = 0; n < has[i]; n++) {
			c = clients_walk(crew.all, c);
			e = clients_walk_pools(crew.all, e);
			cr_assert_eq(c, &crew.clients[i][n], "client %u of worker %u", n, i);
			cr_assert_eq(e->set, crew.envs[i].x.pools, "pool %u of worker %u", n, i);
			cr_expect_eq(clients_find(crew.all, c->x.waiter.id), c);
		}
	cr_expect_null(clients_walk(crew.all, c));
	cr_expect_null(clients_walk_pools(crew.all, e));
	cr_expect_null(clients_find(crew.all, crew.last_id + 1));
	crew_fini(&crew);
}

Test(clients, a_walk_finds_the_clients_and_pools_of_all_workers)
{
	expect_walks((const unsigned[CREW]){ 2, 1, 3, 1, 2 });
}

Test(clients, a_walk_passes_workers_that_have_none)
{
	expect_walks((const unsigned[CREW]){ 0, 2, 0, 0, 1 });
	expect_walks((const unsigned[CREW]){ 1, 0, 0, 3, 0 });
}

Test(clients, where_nobody_is_a_walk_ends_at_once)
{
	struct crew crew;

	crew_init(&crew, (const unsigned[CREW]){ 0 });
	cr_expect_null(clients_walk(crew.all, NULL));
	cr_expect_null(clients_walk_pools(crew.all, NULL));
	crew_fini(&crew);
}

Test(clients, all_workers_number_clients_together)
{
	struct crew crew;

	crew_init(&crew, (const unsigned[CREW]){ 1, 0, 2, 0, 1 });
	cr_expect_eq(crew.clients[0][0].x.waiter.id, 1);
	cr_expect_eq(crew.clients[2][0].x.waiter.id, 2);
	cr_expect_eq(crew.clients[2][1].x.waiter.id, 3);
	cr_expect_eq(crew.clients[4][0].x.waiter.id, 4);
	crew_fini(&crew);
}
