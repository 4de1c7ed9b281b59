/*
 * src/login/login_tenant.c - the names of a client's user and database within pgweir. If the client names a tenant, in
 * whichever way (tenant.c), these are "user.tenant" and "tenant/database". So names of two tenants never collide in
 * secrets, limits, pools, metrics or commands.
 */
#include "login/login_steps.h"
#include "net/tls.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Returns true for a name of the console, which no database can have. */
static bool
is_console_name(const char *database)
{
	return strcmp(database, "pgweir") == 0 || strcmp(database, "pgbouncer") == 0;
}

bool
login_is_console(const struct client_login *l)
{
	return is_console_name(l->database);
}

bool
login_is_tenant_setting(const struct client *c, const char *name)
{
	return strcasecmp(name, "reference") == 0 && config_may_name_tenant_in(c->env->x.config, "options");
}

/* Sets *reference to the tenant in the option reference=, or to NULL. Refuses two different tenants; and refuses
 * reference=, as PostgreSQL would, if options can't name tenants. */
static int
find_reference(const struct client *c, const struct startup *s, const char **reference, struct fail *why)
{
	*reference = NULL;
	if (s->has_bare_reference && !config_may_name_tenant_in(c->env->x.config, "options"))
		return fail_set(why, "42601", "invalid command-line argument for server process: reference=...");
	for (size_t i = 0; i < s->setting_count; i++) {
		if (!login_is_tenant_setting(c, s->settings[i].name))
			continue;
		if (*reference != NULL && strcmp(*reference, s->settings[i].value) != 0)
			return fail_set(why, "28000", "options name two tenants");
		*reference = s->settings[i].value;
	}
	return 0;
}

static int
find_tenant(const struct client *c, const struct startup *s, struct tenant_answer *a, struct fail *why)
{
	const struct config *config = c->env->x.config;
	struct tenant_question q = {
		.user = s->user,
		.may_be_in_user = config_may_name_tenant_in(config, "user"),
		.domain = config->tenant_domain,
	};

	if (find_reference(c, s, &q.reference, why) < 0)
		return -1;
	if (stream_tls(&c->x.stream) != NULL && config_may_name_tenant_in(config, "sni"))
		q.server_name = tls_server_name(stream_tls(&c->x.stream));
	/* the console belongs to no tenant, and the names of its users stay as they are */
	if (is_console_name(s->database)) {
		a->tenant[0] = '\0';
		return 0;
	}
	return tenant_find(&q, a, why);
}

/* Returns a, `between` and b joined, or NULL if there is no memory. */
static char *
join(const char *a, size_t a_len, char between, const char *b, size_t b_len)
{
	char *whole;

	return asprintf(&whole, "%.*s%c%.*s", (int)a_len, a, between, (int)b_len, b) < 0 ? NULL : whole;
}

int
login_take_names(struct client *c, const struct startup *s, struct fail *why)
{
	struct client_login *l = c->login;
	/* the client has sent no database, so the user's name without the tenant is taken */
	bool is_default = s->database == s->user;
	struct tenant_answer a;
	size_t tenant_len;

	l->sent_user = strdup(s->user);
	if (find_tenant(c, s, &a, why) < 0)
		return -1;
	if (a.tenant[0] == '\0') {
		if (config_tenant_len(c->env->x.config, s->database) > 0)
			return fail_set(why, "3D000", "a database name with a slash in it needs a tenant");
		l->user = strdup(s->user);
		l->database = strdup(s->database);
	} else {
		tenant_len = strlen(a.tenant);
		l->user = join(s->user, a.user_len, '.', a.tenant, tenant_len);
		l->database =
		    join(a.tenant, tenant_len, '/', s->database, is_default ? a.user_len : strlen(s->database));
	}
	return l->sent_user == NULL || l->user == NULL || l->database == NULL ? fail_set(why, "53200", "out of memory")
									      : 0;
}
