/* src/pool/pool_target.c - see pool_target.h. */
#include "pool/pool_target.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tenant's users are "user.tenant" in users_file: its servers never get any other secret. */
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
	t->tls = tls_store_get(store, &tls);
	t->tls_text = server_tls_text(&tls);
	t->server.tls = t->tls;
	t->server.is_tls_required = tls.mode >= TLS_REQUIRE;
	t->server.is_tls_direct = tls.is_direct;
	t->server.channel_binding = tls.channel_binding;
	if (t->tls_text == NULL || (t->tls == NULL && tls.mode != TLS_OFF))
		return fail_set(why, "53200", "no memory for TLS");
	return 0;
}

static bool
has_secret(const struct pool_target *t)
{
	return t->server.password != NULL || t->server.md5_secret != NULL || t->command != NULL;
}

/* Remembers a secret that a client proved, if there is no other one. */
static void
learn(struct pool_target *t, const char *secret)
{
	if (has_secret(t))
		return;
	t->learnt = xstrdup(secret);
	if (secret_kind_of(secret) == SECRET_MD5)
		t->server.md5_secret = t->learnt;
	else
		t->server.password = t->learnt;
}

struct pool_target *
pool_target_new(const struct upstream *upstream, const struct scope_settings *settings, const struct tls_store *tls,
		struct users *users, const char *database, const char *user, struct scram_keys *keys, struct fail *why)
{
	struct pool_target *t = xcalloc(1, sizeof(*t));

	fail_set(why, "53200", "no memory for a pool");
	atomic_init(&t->refs, 1);
	t->upstream = upstream_for(upstream, database, user, why);
	t->users = users == NULL ? NULL : users_ref(users);
	t->user = xstrdup(user);
	if (settings->password_command[0] != '\0')
		t->command = xstrdup(settings->password_command);
	if (t->upstream != NULL)
		t->database = xstrdup(t->upstream->dbname[0] != '\0' ? t->upstream->dbname
								     : upstream_database(upstream, database));
	if (t->upstream == NULL || choose_tls(t, settings, tls, why) < 0) {
		pool_target_unref(t);
		return NULL;
	}
	t->server.upstream = t->upstream;
	t->server.user = t->user;
	t->server.database = t->database;
	t->server.keys = keys;
	t->server.connect_timeout_us = settings->connect_timeout_us;
	t->server.password_command = t->command;
	t->server.password_lifetime_us = settings->password_lifetime_us;
	find_secrets(t, database, upstream->is_of_tenant);
	return t;
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
	free(t->tls_text);
	if (t->learnt != NULL)
		explicit_bzero(t->learnt, strlen(t->learnt));
	free(t->learnt);
	free(t->user);
	free(t->database);
	free(t->command);
	free(t);
}

bool
pool_target_knows(const struct pool_target *t, const char *secret)
{
	if (t->learnt != NULL)
		return strcmp(t->learnt, secret) == 0;
	return has_secret(t);
}

struct pool_target *
pool_target_with_secret(const struct pool_target *t, const char *secret)
{
	struct pool_target *made = xcalloc(1, sizeof(*made));

	atomic_init(&made->refs, 1);
	made->server = t->server;
	made->upstream = upstream_copy(t->upstream);
	made->users = t->users == NULL ? NULL : users_ref(t->users);
	made->user = xstrdup(t->user);
	made->database = xstrdup(t->database);
	made->tls = t->tls == NULL ? NULL : tls_context_ref(t->tls);
	made->tls_text = xstrdup(t->tls_text);
	if (made->upstream == NULL) {
		pool_target_unref(made);
		return NULL;
	}
	made->server.upstream = made->upstream;
	made->server.user = made->user;
	made->server.database = made->database;
	made->server.password_command = made->command = t->command != NULL ? xstrdup(t->command) : NULL;
	made->server.password = made->server.md5_secret =
	    NULL; /* at most a secret that t has learnt, which the caller replaces */
	learn(made, secret);
	return made;
}

void
pool_target_inherit(struct pool_target *t, const struct pool_target *from)
{
	if (from->learnt != NULL)
		learn(t, from->learnt);
}

static bool
is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
pool_target_is_same(const struct pool_target *a, const struct pool_target *b)
{
	return upstream_equal(a->upstream, b->upstream) && strcmp(a->tls_text, b->tls_text) == 0 &&
	       strcmp(a->user, b->user) == 0 && strcmp(a->database, b->database) == 0 &&
	       is_same_text(a->command, b->command) && is_same_text(a->server.password, b->server.password) &&
	       is_same_text(a->server.md5_secret, b->server.md5_secret);
}

char *
pool_target_hosts(const struct pool_target *t)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < t->upstream->host_count; i++)
		buf_printf(&b, "%s:%u,", t->upstream->hosts[i].host, t->upstream->hosts[i].port);
	buf_printf(&b, "%s", upstream_target_name(t->upstream->target));
	buf_put_u8(&b, 0);
	return alloc_check(buf_ok(&b) ? b.bytes : NULL);
}

char *
pool_target_home(const struct pool_target *t)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < t->upstream->host_count; i++)
		buf_printf(&b, "%s:%u,", t->upstream->hosts[i].host, t->upstream->hosts[i].port);
	buf_printf(&b, "/%s", t->database);
	buf_put_u8(&b, 0);
	return alloc_check(buf_ok(&b) ? b.bytes : NULL);
}
