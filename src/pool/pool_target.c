/* src/pool/pool_target.c - see pool_target.h. */
#include "pool/pool_target.h"

#include <stdlib.h>
#include <string.h>

static void
find_secrets(struct pool_target *t)
{
	struct user_secret secret;

	if (t->upstream->password[0] != '\0') {
		t->server.password = t->upstream->password;
		return;
	}
	if (!users_find(t->users, t->user, &secret))
		return;
	if (secret.kind == SECRET_PLAIN)
		t->server.password = secret.text;
	else if (secret.kind == SECRET_MD5)
		t->server.md5_secret = secret.text;
}

struct pool_target *
pool_target_new(const struct upstream *upstream, struct users *users, const char *database, const char *user,
		uint64_t connect_timeout_us, struct scram_keys *keys)
{
	struct pool_target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->refs = 1;
	t->upstream = upstream_copy(upstream);
	t->users = users == NULL ? NULL : users_ref(users);
	t->user = strdup(user);
	t->database = strdup(upstream->dbname[0] != '\0' ? upstream->dbname : database);
	if (t->upstream == NULL || t->user == NULL || t->database == NULL) {
		pool_target_unref(t);
		return NULL;
	}
	t->server.upstream = t->upstream;
	t->server.user = t->user;
	t->server.database = t->database;
	t->server.keys = keys;
	t->server.connect_timeout_us = connect_timeout_us;
	find_secrets(t);
	return t;
}

struct pool_target *
pool_target_ref(struct pool_target *t)
{
	t->refs++;
	return t;
}

void
pool_target_unref(struct pool_target *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	upstream_free(t->upstream);
	users_unref(t->users);
	free(t->user);
	free(t->database);
	free(t);
}

static bool
is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
pool_target_is_same(const struct pool_target *a, const struct pool_target *b)
{
	return upstream_equal(a->upstream, b->upstream) && strcmp(a->user, b->user) == 0 &&
	       strcmp(a->database, b->database) == 0 && is_same_text(a->server.password, b->server.password) &&
	       is_same_text(a->server.md5_secret, b->server.md5_secret);
}
