/* src/server/server_keys.c - see server_parts.h. */
#include "server/server_parts.h"
#include "base/text.h"

struct server_keys {
	struct work work;
	char *password;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations;
	struct scram_keys keys;
	struct fail why;
	int result;
	server_keys_done done; /* used by the loop alone; NULL after server_keys_abandon() */
	void *arg;
};

static void
free_keys(struct server_keys *k)
{
	secret_free(k->password);
	OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

static struct server_keys *
keys_of(struct work *w)
{
	return (struct server_keys *)((char *)w - offsetof(struct server_keys, work));
}

/* Runs on a thread. */
static void
keys_derive(struct work *w)
{
	struct server_keys *k = keys_of(w);

	k->result = scram_keys_from_password(k->password, k->salt, k->salt_len, k->iterations, &k->keys, &k->why);
}

static void
on_derived(struct work *w)
{
	struct server_keys *k = keys_of(w);

	if (k->done != NULL)
		k->done(k->result == 0 ? &k->keys : NULL, &k->why, k->arg);
	free_keys(k);
}

struct server_keys *
server_keys_derive(const struct server_env *env, const char *password, const uint8_t *salt, size_t salt_len,
		   uint32_t iterations, server_keys_done done, void *arg, struct fail *why)
{
	struct server_keys *k = calloc(1, sizeof(*k));

	if (k == NULL || (k->password = strdup(password)) == NULL || salt_len > sizeof(k->salt)) {
		if (k != NULL)
			free_keys(k);
		fail_memory(why, "a server login");
		return NULL;
	}
	memcpy(k->salt, salt, salt_len);
	k->salt_len = salt_len;
	k->iterations = iterations;
	k->work.run = keys_derive;
	k->work.done = on_derived;
	k->done = done;
	k->arg = arg;
	k->result = fail_set(&k->why, "57P01", "pgweir is shutting down"); /* if the work never runs */
	if (helpers_submit(env->helpers, env->inbox, &k->work, WORK_BEGUN) == 0)
		return k;
	free_keys(k);
	fail_set(why, "53300", "too many logins at once");
	return NULL;
}

void
server_keys_abandon(struct server_keys *k)
{
	if (k != NULL)
		k->done = NULL;
}
