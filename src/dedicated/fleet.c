/* src/dedicated/fleet.c - the budgets that are configured; see fleet.h. */
#include "config/config_origin.h"
#include "dedicated/fleet_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* the number of the fleet's policy worker; no worker of the process has this number */
#define FLEET_WORKER_NUMBER 31

/* Writes the name of this process, of at most 19 bytes, because fleet_put_question() has no room for more. Keeps only
 * the end of the host's name, because the names of Pods of one Deployment differ at their ends. */
static void
name_process(char name[static FLEET_NAME_MAX])
{
	char host[64] = "";
	size_t len;

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	len = strcspn(host, ".");
	host[len] = '\0';
	for (char *c = host; *c != '\0'; c++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *c) == NULL)
			*c = '-';
	snprintf(name, FLEET_NAME_MAX, "%s.%d", host + (len > 11 ? len - 11 : 0), (int)getpid());
}

struct fleet *
fleet_new(struct pool_set *pools, void (*wake)(void *owner), void *owner)
{
	struct fleet *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	TAILQ_INIT(&f->conns);
	f->pools = pools;
	f->main_worker = pool_set_policy_worker(pools);
	dedicated_fill_env(&f->env, pools);
	name_process(f->name);
	f->worker = policy_worker_new(f->main_worker->commons, FLEET_WORKER_NUMBER, wake, owner, NULL);
	if (f->worker == NULL) {
		free(f);
		return NULL;
	}
	return f;
}

void
fleet_free(struct fleet *f)
{
	if (f == NULL)
		return;
	while (!TAILQ_EMPTY(&f->conns))
		fleet_conn_free(TAILQ_FIRST(&f->conns));
	policy_worker_free(f->worker);
	free(f);
}

/* --- The configuration. --- */

/* Returns the fleet connection of these hosts, which is made if needed; NULL if there is no memory. Takes ownership of
 * hosts. */
static struct fleet_conn *
find_or_add(struct fleet *f, char *hosts)
{
	struct fleet_conn *s;

	TAILQ_FOREACH(s, &f->conns, link)
		if (strcmp(s->hosts, hosts) == 0) {
			free(hosts);
			return s;
		}
	return fleet_conn_new(f, hosts);
}

/* Takes over the reference to target. If the connection has another target, or another value of budget_users (`users`),
 * replaces the connection. */
static void
aim(struct fleet_conn *s, struct pool_target *target, const char *users)
{
	bool has_same_users = s->users != NULL && strcmp(s->users, users) == 0;
	char *copy = strdup(users);

	if (copy == NULL) {
		pool_target_unref(target);
		return;
	}
	free(s->users);
	s->users = copy;
	if (!has_same_users)
		dedicated_close(&s->conn);
	if (dedicated_aim(&s->conn, target) || !has_same_users)
		s->conn.retry_us = 0;
}

/* Adds the budget of a database. Databases with the same hosts share one budget, whose limit is the smallest of their
 * limits. The first of these databases decides how the fleet connection logs in. */
static void
add_database(struct fleet *f, const struct config_scope *db, const struct scope_settings *set, struct users *users,
	     struct tls_store *tls)
{
	struct upstream up = *db->upstream;
	struct pool_target *target;
	struct scram_keys keys = { 0 };
	struct fleet_conn *s = NULL;
	struct fail why = { .text = "out of memory" };
	char *hosts;

	/* the hosts contain no tenant's name, and the parts of the upstream that may contain it are replaced below */
	up.is_of_tenant = false;
	target = pool_target_new_own(&up, set, tls, users, db->name, config_cluster_user(&up, set),
				     set->budget_database, &keys, &why);
	hosts = target == NULL ? NULL : pool_target_hosts_key(target);
	if (hosts != NULL)
		s = find_or_add(f, hosts);
	if (s == NULL) {
		log_error(f->env.log, "budget of database \"%s\": %s", db->name, why.text);
		pool_target_unref(target);
		return;
	}
	target->server.keys = &s->conn.keys;
	if (set->budget_connections != CONFIG_COUNT_AUTO &&
	    (s->configured_limit == CONFIG_COUNT_AUTO || set->budget_connections < s->configured_limit))
		s->configured_limit = set->budget_connections;
	if (s->configured_mode != BUDGET_OFF) {
		pool_target_unref(target);
	} else {
		snprintf(s->database, sizeof(s->database), "%s", db->name);
		aim(s, target, set->budget_users);
	}
	if (set->budget > s->configured_mode)
		s->configured_mode = set->budget;
}

void
fleet_configure(struct fleet *f, struct config *config, struct users *users, struct tls_store *tls)
{
	struct fleet_conn *s, *next;

	TAILQ_FOREACH(s, &f->conns, link) {
		s->configured_mode = BUDGET_OFF;
		s->configured_limit = CONFIG_COUNT_AUTO;
	}
	for (struct config_section db = { 0 }; config_next_section(config, &db) && db.scope->upstream != NULL;) {
		struct scope_settings set;

		config_compute_settings(config, db.scope, NULL, &set);
		if (config_has_budget(db.scope->upstream, &set))
			add_database(f, db.scope, &set, users, tls);
	}
	for (s = TAILQ_FIRST(&f->conns); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->configured_mode == BUDGET_OFF) {
			fleet_conn_free(s);
		} else {
			fleet_conn_set_mode(s, s->configured_mode);
			fleet_conn_run(s);
		}
	}
}

void
fleet_handle_pool_requests(struct fleet *f, uint64_t now_us)
{
	policy_worker_run_orders(f->worker, now_us);
	fleet_tick(f);
}

void
fleet_tick(struct fleet *f)
{
	struct fleet_conn *s;

	TAILQ_FOREACH(s, &f->conns, link)
		fleet_conn_run(s);
}

void
fleet_each(const struct fleet *f, void (*row)(const struct fleet_budget *b, void *arg), void *arg)
{
	const struct fleet_conn *s;

	TAILQ_FOREACH(s, &f->conns, link)
		row(&s->b, arg);
}
