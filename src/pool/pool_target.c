#include "pool/pool_target.h"
#include "auth/delegation.h"
#include "base/buf.h"
#include "base/table.h"
#include "base/text.h"

#include <stdio.h>

/* Finds the secret with which the servers log in. In users_file, a tenant's users are "user.tenant", so a tenant's
 * servers never get another user's secret. */
static void
find_secrets(struct pool_target *t, const char *database, bool is_of_tenant)
{
	char whole[CONFIG_DATABASE_MAX + 1];
	struct user_secret secret;

	if (t->command != NULL)
		return;
	if (t->upstream->password[0] != '\0') {
		t->server.password = t->upstream->password;
		return;
	}
	snprintf(whole, sizeof(whole), "%s.%.*s", t->user, (int)strcspn(database, "/"), database);
	if (!users_find(t->users, is_of_tenant ? whole : t->user, &secret))
		return;
	if (secret.kind == SECRET_PLAIN)
		t->server.password = secret.text;
	else if (secret.kind == SECRET_MD5)
		t->server.md5_secret = secret.text;
}

/* Returns 0, or -1 with *why set if TLS is wanted but not available. */
static int
choose_tls(struct pool_target *t, const struct scope_settings *settings, const struct tls_store *store,
	   struct fail *why)
{
	struct server_tls tls;

	if (server_tls_resolve(t->upstream, settings, &tls, why) < 0)
		return -1;
	t->tls_text = server_tls_text(&tls);
	t->tls = t->tls_text == NULL ? NULL : tls_store_get(store, t->tls_text);
	t->server.tls = t->tls;
	t->server.tls_use = tls.is_direct	      ? SERVER_TLS_DIRECT
			    : tls.mode >= TLS_REQUIRE ? SERVER_TLS_REQUIRED
						      : SERVER_TLS_OPTIONAL;
	t->server.channel_binding = tls.channel_binding;
	if (t->tls_text == NULL || (t->tls == NULL && tls.mode != TLS_OFF))
		return fail_memory(why, "a TLS context");
	return 0;
}

static bool
has_secret(const struct pool_target *t)
{
	return t->server.password != NULL || t->server.md5_secret != NULL || t->command != NULL;
}

/* Copies the strings that the target's servers need. Returns 0, or -1 without memory. */
static int
take_texts(struct pool_target *t, const char *user, const char *database, const char *command)
{
	if ((t->user = strdup(user)) == NULL || (t->database = strdup(database)) == NULL ||
	    (command != NULL && (t->command = strdup(command)) == NULL))
		return -1;
	t->server.upstream = t->upstream;
	t->server.user = t->user;
	t->server.database = t->database;
	t->server.password_command = t->command;
	t->server.warned_us = &t->warned_us;
	return 0;
}

struct pool_target *
pool_target_new(const struct upstream *upstream, const struct scope_settings *settings, const struct tls_store *tls,
		struct users *users, const char *database, const char *user, struct scram_keys *keys, struct fail *why)
{
	const char *command = settings->password_command[0] != '\0' ? settings->password_command : NULL;
	struct upstream *own = upstream_fill_in(upstream, database, user, why);
	struct pool_target *t = own == NULL ? NULL : calloc(1, sizeof(*t));

	if (t == NULL) {
		if (own != NULL)
			fail_memory(why, "a pool");
		upstream_free(own);
		return NULL;
	}
	atomic_init(&t->refs, 1);
	t->upstream = own;
	t->users = users_ref(users);
	fail_memory(why, "a pool");
	if (take_texts(t, user, own->dbname[0] != '\0' ? own->dbname : upstream_database(upstream, database), command) <
		0 ||
	    choose_tls(t, settings, tls, why) < 0) {
		pool_target_unref(t);
		return NULL;
	}
	if (settings->delegation == DELEGATION_ON && (t->server.delegator = delegator_new()) == NULL) {
		pool_target_unref(t);
		return NULL;
	}
	t->server.keys = keys;
	t->server.connect_timeout_us = settings->connect_timeout_us;
	t->server.password_lifetime_us = settings->password_lifetime_us;
	find_secrets(t, database, upstream->is_of_tenant);
	return t;
}

/* Returns a copy of name, or NULL without memory. In a tenant's upstream a percent sign would begin a placeholder, so
 * each percent sign is doubled. */
static char *
copy_name(const struct upstream *up, const char *name)
{
	char *copy = malloc(2 * strlen(name) + 1), *to = copy;

	for (; copy != NULL && *name != '\0'; name++) {
		if (*name == '%' && up->is_of_tenant)
			*to++ = '%';
		*to++ = *name;
	}
	if (copy != NULL)
		*to = '\0';
	return copy;
}

struct pool_target *
pool_target_new_own(const struct upstream *upstream, const struct scope_settings *settings, const struct tls_store *tls,
		    struct users *users, const char *database, const char *user, const char *dbname,
		    struct scram_keys *keys, struct fail *why)
{
	struct scope_settings own = *settings;
	char none[] = "", *own_user = copy_name(upstream, user), *own_dbname = copy_name(upstream, dbname);
	struct pool_target *target = NULL;
	struct upstream up = *upstream; /* pool_target_new() copies up */

	own.delegation = DELEGATION_OFF;
	up.password = strcmp(up.user, user) == 0 ? up.password : none;
	up.user = own_user;
	up.dbname = dbname[0] == '\0' ? up.dbname : own_dbname;
	fail_memory(why, "a connection");
	if (own_user != NULL && own_dbname != NULL)
		target = pool_target_new(&up, &own, tls, users, database, user, keys, why);
	free(own_user);
	free(own_dbname);
	return target;
}

struct pool_target *
pool_target_ref(struct pool_target *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void
pool_target_unref(struct pool_target *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
		return;
	upstream_free(t->upstream);
	users_unref(t->users);
	tls_context_unref(t->tls);
	delegator_unref(t->server.delegator);
	free(t->tls_text);
	if (t->learnt != NULL)
		explicit_bzero(t->learnt, strlen(t->learnt));
	free(t->learnt);
	free(t->user);
	free(t->database);
	secret_free(t->command);
	free(t);
}

bool
pool_target_need_not_learn(const struct pool_target *t, const char *secret)
{
	return t->learnt != NULL ? strcmp(t->learnt, secret) == 0 : has_secret(t);
}

int
pool_target_learn(struct pool_target *t, const char *secret)
{
	if (has_secret(t))
		return 0;
	if ((t->learnt = strdup(secret)) == NULL)
		return -1;
	if (secret_kind_of(secret) == SECRET_MD5)
		t->server.md5_secret = t->learnt;
	else
		t->server.password = t->learnt;
	return 0;
}

int
pool_target_inherit(struct pool_target *t, const struct pool_target *from)
{
	if (t->server.delegator != NULL && from->server.delegator != NULL) {
		delegator_unref(t->server.delegator);
		t->server.delegator = delegator_ref(from->server.delegator);
	}
	return from->learnt == NULL ? 0 : pool_target_learn(t, from->learnt);
}

static bool
is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
pool_target_is_same(const struct pool_target *a, const struct pool_target *b)
{
	return a->server.delegator == b->server.delegator && upstream_equal(a->upstream, b->upstream) &&
	       strcmp(a->tls_text, b->tls_text) == 0 && strcmp(a->user, b->user) == 0 &&
	       strcmp(a->database, b->database) == 0 && is_same_text(a->command, b->command) &&
	       is_same_text(a->server.password, b->server.password) &&
	       is_same_text(a->server.md5_secret, b->server.md5_secret);
}

/* Returns the hosts, followed by sep and last; NULL without memory. */
static char *
format_hosts(const struct pool_target *t, const char *sep, const char *last)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < t->upstream->host_count; i++)
		buf_printf(&b, "%s%s:%u", i > 0 ? "," : "", t->upstream->hosts[i].host, t->upstream->hosts[i].port);
	buf_printf(&b, "%s", sep);
	buf_put_str(&b, last);
	if (!buf_ok(&b))
		buf_fini(&b);
	return (char *)b.bytes;
}

char *
pool_target_hosts_key(const struct pool_target *t)
{
	if (t->upstream->target == TARGET_ANY)
		return pool_target_cluster_key(t);
	return format_hosts(t, " ", upstream_target_names[t->upstream->target]);
}

char *
pool_target_cluster_key(const struct pool_target *t)
{
	return format_hosts(t, "", "");
}

char *
pool_target_database_key(const struct pool_target *t)
{
	return format_hosts(t, upstream_target_names[t->upstream->target], t->database);
}
