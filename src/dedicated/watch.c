/* src/dedicated/watch.c - the lists of hosts that are configured; see watch.h. */
#include "dedicated/watch_state.h"
#include "base/clock.h"
#include "config/config_origin.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_US (250 * US_PER_MS)
#define PATIENCE_MAX_US (4 * US_PER_S)
#define HALF_WAIT_MIN_US (5 * US_PER_MS)

#define WATCH_USE_NAME(value, name) [value] = name,
const char *const watch_use_names[WATCH_USE_COUNT] = { WATCH_USES(WATCH_USE_NAME) };

struct watch *
watch_new(struct pool_set *pools, struct policy_commons *commons, void (*wake)(void *owner), void *owner)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	TAILQ_INIT(&w->watched);
	w->pools = pools;
	w->commons = commons;
	w->wake = wake;
	w->owner = owner;
	dedicated_fill_env(&w->env, pools);
	return w;
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	while (!TAILQ_EMPTY(&w->watched))
		watch_list_free(TAILQ_FIRST(&w->watched));
	free(w);
}

/* --- The configuration. --- */

/* Returns the list of the cluster's hosts, which is made if needed; NULL if cluster is NULL or there is no memory.
 * Takes over the reference to cluster. */
static struct watch_list *
find_or_add(struct watch *w, struct cluster *cluster, uint32_t count)
{
	struct watch_list *d;

	TAILQ_FOREACH(d, &w->watched, link)
		if (d->cluster == cluster) {
			cluster_put(cluster);
			return d;
		}
	return cluster == NULL ? NULL : watch_list_new(w, cluster, count);
}

/* The settings of a database, from which the targets of pgweir's own connections are made. */
struct source {
	const struct config_scope *db;
	const struct scope_settings *set;
	struct users *users;
	struct tls_store *tls;
};

/* Makes a target for pgweir's own connections to `up`. If the name of the database depends on the client, the target
 * has budget_database. Returns NULL with *why set on failure. */
static struct pool_target *
make_target(const struct source *s, struct upstream up, struct scram_keys *keys, struct fail *why)
{
	bool depends_on_client = up.is_of_tenant || (strcmp(s->db->name, "*") == 0 && up.dbname[0] == '\0');

	up.is_of_tenant = false; /* as in fleet.c, the target uses no part of `up` that may contain a tenant's name */
	return pool_target_new_own(&up, s->set, s->tls, s->users, s->db->name, config_cluster_user(&up, s->set),
				   depends_on_client ? s->set->budget_database : "", keys, why);
}

/* Replaces connections that have another target. Returns 0, or -1 with *why set. */
static int
aim_all(struct watch_list *d, const struct source *s, struct fail *why)
{
	for (uint32_t i = 0; i < d->count; i++) {
		struct watch_host *h = &d->hosts[i];
		struct upstream up = upstream_of_host(s->db->upstream, i);
		struct pool_target *target = make_target(s, up, &h->conn.keys, why);
		size_t zone_len;
		const char *zone = upstream_zone(s->db->upstream, i, &zone_len);

		if (target == NULL)
			return -1;
		snprintf(h->zone, sizeof(h->zone), "%.*s", (int)zone_len, zone);
		if (dedicated_aim(&h->conn, target))
			snprintf(h->name, sizeof(h->name), "%s:%u", up.hosts->host, up.hosts->port);
	}
	return 0;
}

/* Databases with the same hosts share one connection to each host. The first of these databases decides which user logs
 * in, and to which database. */
static void
add_database(struct watch *w, const struct source *s)
{
	struct scram_keys none = { 0 };
	struct fail why = { .text = "out of memory" };
	struct pool_target *all = make_target(s, *s->db->upstream, &none, &why);
	char *hosts = all == NULL ? NULL : pool_target_cluster_key(all);
	uint32_t count = (uint32_t)s->db->upstream->host_count;
	struct watch_list *d =
	    find_or_add(w, hosts == NULL ? NULL : cluster_get_or_create(w->commons, hosts, count), count);

	free(hosts);
	pool_target_unref(all);
	if (d != NULL && d->is_kept)
		return;
	if (d == NULL || aim_all(d, s, &why) < 0) {
		log_error(w->env.log, "reads of database \"%s\": %s", s->db->name, why.text);
		return;
	}
	d->is_kept = true;
	d->max_lag_us = s->set->reads_max_lag_us;
	d->patience_us =
	    s->set->reads_wait_us > PATIENCE_US ? clock_lesser_us(s->set->reads_wait_us, PATIENCE_MAX_US) : PATIENCE_US;
	d->half_wait_us = s->set->reads_wait_us / 2 > HALF_WAIT_MIN_US ? s->set->reads_wait_us / 2 : HALF_WAIT_MIN_US;
	snprintf(d->database, sizeof(d->database), "%s", s->db->name);
}

/* Returns true if a user reads this database on standbys, so that its hosts must be asked, and if the user for pgweir's
 * own connections is known. Sets *out to the settings for these reads. */
static bool
find_read_settings(const struct config *config, const struct config_scope *database, struct scope_settings *out)
{
	if (!upstream_has_fixed_hosts(database->upstream) || database->upstream->host_count == 1)
		return false;
	config_compute_settings(config, database, NULL, out);
	for (size_t i = 0; out->reads == READS_PRIMARY && i < config->user_count; i++)
		config_compute_settings(config, database, &config->users[i], out);
	return out->reads != READS_PRIMARY && *config_cluster_user(database->upstream, out) != '\0';
}

void
watch_configure(struct watch *w, const struct config *config, struct users *users, struct tls_store *tls)
{
	struct watch_list *d, *next;

	TAILQ_FOREACH(d, &w->watched, link)
		d->is_kept = false;
	for (struct config_section db = { 0 }; config_next_section(config, &db) && db.scope->upstream != NULL;) {
		struct scope_settings set;

		if (find_read_settings(config, db.scope, &set))
			add_database(w, &(struct source){ db.scope, &set, users, tls });
	}
	for (d = TAILQ_FIRST(&w->watched); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		if (!d->is_kept)
			watch_list_free(d);
		else
			watch_list_run(d);
	}
}

void
watch_tick(struct watch *w)
{
	struct watch_list *d;

	TAILQ_FOREACH(d, &w->watched, link)
		watch_list_run(d);
}

static struct watch_row
row_of(const struct watch_host *h)
{
	const struct cluster_view *v;
	bool is_asked = h->last.number != 0;
	struct watch_row r = { .database = h->list->database,
			       .host = h->name,
			       .zone = h->zone,
			       .use = h->use,
			       .readings = h->readings,
			       .position = is_asked ? h->last.position : 0,
			       .last_error = h->conn.last_error };

	if (h->use == WATCH_AWAY)
		return r;
	r.started_us = h->met.mark.started_us;
	r.is_standby = h->met.mark.is_standby;
	r.timeline = h->timeline;
	r.is_lag_known = is_asked && r.is_standby;
	v = cluster_lock_without_use(h->list->cluster);
	r.lag_us = v->hosts[h->index].lag_us;
	if (watch_is_proved(h))
		r.use = v->primary < 0			 ? WATCH_NO_PRIMARY
			: v->hosts[h->index].is_silent	 ? WATCH_SILENT
			: r.lag_us > h->list->max_lag_us ? WATCH_LAG
							 : WATCH_USED;
	cluster_unlock(h->list->cluster);
	return r;
}

void
watch_each(const struct watch *w, void (*row)(const struct watch_row *row, void *arg), void *arg)
{
	const struct watch_list *d;

	TAILQ_FOREACH(d, &w->watched, link)
		for (uint32_t i = 0; i < d->count; i++) {
			struct watch_row r = row_of(&d->hosts[i]);

			row(&r, arg);
		}
}
