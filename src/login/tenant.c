#include "login/login_steps.h"
#include "config/upstream.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* The ways to name a tenant. All ways that a client uses must name the same tenant. */
enum { BY_OPTIONS, BY_USER, BY_SERVER_NAME, WAYS };

static const char *const ways[WAYS] = { "options", "the user name", "the server name" };

struct found {
	char name[CONFIG_NAME_MAX + 1]; /* empty if the client names no tenant in this way */
};

static int
found_take(struct found *to, const char *name, size_t len, int way, struct fail *why)
{
	if (!upstream_is_tenant_name(name, len)) {
		fail_set(why, "28000", "%s names a tenant that cannot exist", ways[way]);
		return fail_hint(why, "The name of a tenant has 1 to %d letters, digits, _ and -.", CONFIG_NAME_MAX);
	}
	memcpy(to->name, name, len);
	to->name[len] = '\0';
	return 0;
}

/* Returns the length of the user's name without the tenant. If the name has no dot, or if no tenant can have the name
 * after its last dot, no tenant is named, and the whole name is the user's. */
static size_t
find_in_user(const struct tenant_question *q, struct found *to)
{
	const char *dot = q->may_be_in_user ? strrchr(q->user, '.') : NULL;

	if (dot == NULL || dot == q->user || !upstream_is_tenant_name(dot + 1, strlen(dot + 1)))
		return strlen(q->user);
	memcpy(to->name, dot + 1, strlen(dot + 1) + 1); /* upstream_is_tenant_name() limits its length */
	return (size_t)(dot - q->user);
}

static int
find_in_server_name(const struct tenant_question *q, struct found *to, struct fail *why)
{
	const char *domain = q->domain + (q->domain[0] == '.');
	size_t len = strlen(q->server_name), domain_len = strlen(domain);

	if (domain_len == 0)
		len = strcspn(q->server_name, ".");
	else if (len <= domain_len + 1 || q->server_name[len - domain_len - 1] != '.' ||
		 strcasecmp(q->server_name + len - domain_len, domain) != 0)
		return 0;
	else
		len -= domain_len + 1;
	if (found_take(to, q->server_name, len, BY_SERVER_NAME, why) < 0)
		return -1;
	for (char *c = to->name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

int
tenant_find(const struct tenant_question *q, struct tenant_answer *a, struct fail *why)
{
	struct found found[WAYS] = { { "" }, { "" }, { "" } };
	const char *first = NULL;
	int by = 0;

	if (q->reference != NULL &&
	    found_take(&found[BY_OPTIONS], q->reference, strlen(q->reference), BY_OPTIONS, why) < 0)
		return -1;
	a->user_len = find_in_user(q, &found[BY_USER]);
	if (q->server_name != NULL && find_in_server_name(q, &found[BY_SERVER_NAME], why) < 0)
		return -1;
	for (int way = 0; way < WAYS; way++) {
		if (found[way].name[0] == '\0')
			continue;
		if (first == NULL) {
			first = found[way].name;
			by = way;
		} else if (strcmp(first, found[way].name) != 0)
			return fail_set(why, "28000", "%s names tenant \"%s\", but %s names \"%s\"", ways[by], first,
					ways[way], found[way].name);
	}
	memcpy(a->tenant, found[by].name, sizeof(a->tenant));
	return 0;
}
