/* src/config/upstream_template.c - see upstream.h. */

#include "base/text.h"
#include "config/config.h"

#include <arpa/inet.h>

#define TENANT_ONLY 1u /* values of `allowed`: only the first so many names may be used */
#define TENANT_AND_DATABASE 2u
#define ALL_NAMES 3u
#define SETTING_LEN_MAX 8000

struct names {
	const char *text[ALL_NAMES]; /* tenant, database, user */
};

static const char *const placeholders[ALL_NAMES] = { "%{tenant}", "%{database}", "%{user}" };

bool
upstream_is_tenant_name(const char *name, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	if (len == 0 || len > CONFIG_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '\0' || strchr(letters, name[i]) == NULL)
			return false;
	return true;
}

/* Returns the name for the placeholder at text, and sets *len to the placeholder's length. Returns NULL with *why set
 * if text is not a placeholder, or not one of the first `allowed` placeholders. */
static const char *
find_name(const char *text, unsigned allowed, const struct names *names, size_t *len, const char *what,
	  struct fail *why)
{
	for (unsigned i = 0; i < ALL_NAMES; i++) {
		*len = strlen(placeholders[i]);
		if (strncmp(text, placeholders[i], *len) != 0)
			continue;
		if (i < allowed)
			return names->text[i];
		fail_set(why, "08001", "%s cannot be in %s: clients choose it freely", placeholders[i], what);
		return NULL;
	}
	fail_set(why, "08001", "a %% in %s of a tenant is followed by {tenant}%s, or by another %%", what,
		 allowed > TENANT_ONLY ? ", {database}, {user}" : "");
	return NULL;
}

/* Writes text to out, with its placeholders filled in. Returns 0, or -1 with *why set (too long for cap bytes, ...). */
static int
fill_in(const char *text, unsigned allowed, const struct names *names, const char *what, char *out, size_t cap,
	struct fail *why)
{
	size_t used = 0, len;

	while (*text != '\0') {
		const char *piece = text;
		size_t piece_len = strcspn(text, "%");

		if (piece_len > 0)
			text += piece_len;
		else if (text[1] == '%') {
			piece_len = 1;
			text += 2;
		} else {
			if ((piece = find_name(text, allowed, names, &len, what, why)) == NULL)
				return -1;
			piece_len = strlen(piece);
			text += len;
		}
		if (piece_len >= cap - used)
			return fail_set(why, "08001", "%s of tenant \"%s\" would be longer than %zu bytes", what,
					names->text[0], cap - 1);
		memcpy(out + used, piece, piece_len);
		used += piece_len;
	}
	out[used] = '\0';
	return 0;
}

/* Refuses a host that a tenant's name has turned into an address; some resolvers take even a plain number for one. */
static int
fill_host(const char *text, const struct names *names, char out[static sizeof(((struct upstream_host *)0)->host)],
	  struct fail *why)
{
	struct in_addr ignored;

	if (fill_in(text, TENANT_ONLY, names, "host", out, sizeof(((struct upstream_host *)0)->host), why) < 0 ||
	    upstream_check_host(out, why) < 0)
		return -1;
	if (strstr(text, placeholders[0]) != NULL && inet_aton(out, &ignored) != 0)
		return fail_set(why, "08001", "tenant \"%s\" would make an address of the host", names->text[0]);
	return 0;
}

static int
replace(char **text, const char *by, struct fail *why)
{
	char *copy = strdup(by);

	if (copy == NULL)
		return fail_memory(why, "an upstream");
	free(*text);
	*text = copy;
	return 0;
}

static int
fill_name(char **field, unsigned allowed, const struct names *names, const char *what, struct fail *why)
{
	char out[CONFIG_NAME_MAX + 1];

	return fill_in(*field, allowed, names, what, out, sizeof(out), why) < 0 ? -1 : replace(field, out, why);
}

static int
fill_settings(char **settings, const struct names *names, struct fail *why)
{
	char out[SETTING_LEN_MAX];

	for (char **s = settings; s[0] != NULL; s += 2) {
		if (strchr(s[1], '%') == NULL)
			continue;
		if (fill_in(s[1], TENANT_ONLY, names, s[0], out, sizeof(out), why) < 0 || replace(&s[1], out, why) < 0)
			return -1;
	}
	return 0;
}

static int
fill(struct upstream *up, const struct names *names, struct fail *why)
{
	char host[sizeof(up->hosts[0].host)];

	for (size_t i = 0; i < up->host_count; i++) {
		if (fill_host(up->hosts[i].host, names, host, why) < 0)
			return -1;
		memcpy(up->hosts[i].host, host, sizeof(host));
	}
	/* dbname may depend on the user only if pgweir logs in as the client's user, because each user then has a pool
	 * of its own. Otherwise the connections of one pool would be to several databases. */
	return fill_name(&up->dbname, up->user[0] == '\0' ? ALL_NAMES : TENANT_AND_DATABASE, names, "dbname", why) <
			   0 ||
		       fill_name(&up->user, ALL_NAMES, names, "user", why) < 0 ||
		       fill_settings(up->settings, names, why) < 0
		   ? -1
		   : 0;
}

int
upstream_check_template(const struct upstream *up, struct fail *why)
{
	const struct names shortest = { { "t", "d", "u" } };
	struct upstream *copy = upstream_copy(up);
	int r = copy == NULL ? fail_memory(why, "an upstream") : fill(copy, &shortest, why);

	upstream_free(copy);
	return r;
}

const char *
upstream_database(const struct upstream *up, const char *database)
{
	const char *slash = up->is_of_tenant ? strchr(database, '/') : NULL;

	return slash != NULL ? slash + 1 : database;
}

/* Copies the tenant's name from "tenant/database". Returns 0, or -1 with *why set. */
static int
copy_tenant(const char *database, char tenant[static CONFIG_NAME_MAX + 1], struct fail *why)
{
	const char *slash = strchr(database, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - database);

	if (!upstream_is_tenant_name(database, len))
		return fail_set(why, "3D000", "the database names no tenant");
	memcpy(tenant, database, len);
	tenant[len] = '\0';
	return 0;
}

struct upstream *
upstream_fill_in(const struct upstream *up, const char *database, const char *user, struct fail *why)
{
	char tenant[CONFIG_NAME_MAX + 1];
	struct names names = { { tenant, upstream_database(up, database), user } };
	struct upstream *made;

	if (up->is_of_tenant && copy_tenant(database, tenant, why) < 0)
		return NULL;
	made = upstream_copy(up);
	if (made == NULL) {
		fail_memory(why, "an upstream");
		return NULL;
	}
	if (up->is_of_tenant && fill(made, &names, why) < 0) {
		upstream_free(made);
		return NULL;
	}
	made->is_of_tenant = false;
	return made;
}

bool
upstream_has_fixed_hosts(const struct upstream *up)
{
	for (size_t i = 0; i < up->host_count; i++)
		if (up->is_of_tenant && strchr(up->hosts[i].host, '%') != NULL)
			return false;
	return true;
}

static int
refuse_long_user(struct fail *why)
{
	return fail_set(why, "28000", "the user name is longer than %d bytes", CONFIG_NAME_MAX);
}

/* Copies the user's name from "user.tenant". Returns 0, or -1 with *why set. */
static int
copy_role(const char *user, const char *tenant, char role[static CONFIG_NAME_MAX + 1], struct fail *why)
{
	size_t len = strlen(user), tenant_len = strlen(tenant);

	if (len < tenant_len + 2 || user[len - tenant_len - 1] != '.' || strcmp(user + len - tenant_len, tenant) != 0)
		return fail_set(why, "28000", "user \"%.63s\" does not belong to tenant \"%s\"", user, tenant);
	len -= tenant_len + 1;
	if (len > CONFIG_NAME_MAX)
		return refuse_long_user(why);
	memcpy(role, user, len);
	role[len] = '\0';
	return 0;
}

int
upstream_compute_role(const struct upstream *up, const char *database, const char *user, char *role, struct fail *why)
{
	char tenant[CONFIG_NAME_MAX + 1];

	if (up->is_of_tenant)
		return copy_tenant(database, tenant, why) < 0 || copy_role(user, tenant, role, why) < 0 ? -1 : 0;
	if (!copy_string(role, CONFIG_NAME_MAX + 1, user))
		return refuse_long_user(why);
	return 0;
}

int
upstream_compute_user(const struct upstream *up, const char *database, const char *user, char *out, struct fail *why)
{
	char tenant[CONFIG_NAME_MAX + 1], role[CONFIG_NAME_MAX + 1];
	const struct names names = { { tenant, upstream_database(up, database), role } };

	if (!up->is_of_tenant && up->user[0] != '\0')
		return copy_string(out, CONFIG_NAME_MAX + 1, up->user) ? 0 : refuse_long_user(why);
	if (upstream_compute_role(up, database, user, role, why) < 0)
		return -1;
	if (up->user[0] == '\0') {
		memcpy(out, role, sizeof(role));
		return 0;
	}
	if (copy_tenant(database, tenant, why) < 0)
		return -1;
	return fill_in(up->user, ALL_NAMES, &names, "user", out, CONFIG_NAME_MAX + 1, why);
}
