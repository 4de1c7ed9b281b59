#include "login/login_asked.h"
#include "base/clock.h"
#include "base/text.h"
#include "net/dial.h"

#define NAMES_US (5 * US_PER_S)
#define ANY_PORT 1 /* c-ares takes 0 for none */

/* HOST_NAMED: the address has a name that is not confirmed yet. HOST_NONE: the address has no confirmed name. */
enum host_lookup { HOST_NOT_ASKED, HOST_NAMED, HOST_CONFIRMED, HOST_NONE };

struct role {
	SLIST_ENTRY(role) next;
	enum hba_fit fit; /* HBA_LATER while the lookup is under way, or if the role can't be looked up */
	char name[];
};

struct login_asked {
	enum host_lookup host_lookup;
	char *name; /* the host name of the address; NULL unless host_lookup is HOST_NAMED or HOST_CONFIRMED */
	struct lookup *lookup; /* the lookup of a name or of addresses that is under way, or NULL */
	uint64_t names_until_us; /* the deadline for both lookups of names; 0 before the first one */
	SLIST_HEAD(, role) roles; /* the role that was asked about last comes first */
	struct fail why; /* why a role can't be looked up; the SQLSTATE is empty if there was no failure */
	void (*again)(struct client *c, void *unused);
};

static void
abandon(void *arg)
{
	struct client_login *l = arg;

	if (l->asked->lookup != NULL)
		lookup_cancel(l->asked->lookup);
	l->asked->lookup = NULL;
	auth_query_abandon(&l->ask);
}

void
login_asked_free(struct client_login *l)
{
	struct login_asked *a = l->asked;
	struct role *role;

	if (a == NULL)
		return;
	while ((role = SLIST_FIRST(&a->roles)) != NULL) {
		SLIST_REMOVE_HEAD(&a->roles, next);
		free(role);
	}
	free(a->name);
	free(a);
	l->asked = NULL;
}

/* Returns NULL if there is no memory. */
static struct login_asked *
get_or_create_asked(struct client *c)
{
	if (c->login->asked == NULL)
		c->login->asked = calloc(1, sizeof(*c->login->asked));
	return c->login->asked;
}

/* Continues the login after an answer. If the answer came at once, before the login began to wait, does nothing: the
 * function that has asked then returns the answer. */
static void
continue_login(struct client *c)
{
	if (!login_is_waiting(c))
		return;
	*c->env->x.now_us = clock_now_us();
	login_conclude(c, c->login->asked->again, NULL);
}

/* --- names --- */

static void
note_no_name(struct client *c, const char *why)
{
	struct login_asked *a = c->login->asked;

	log_debug(c->env->x.log, "client %llu matches no rule with a host name: %s: %s",
		  (unsigned long long)c->x.waiter.id, a->name != NULL ? a->name : "its address", why);
	a->host_lookup = HOST_NONE;
	free(a->name);
	a->name = NULL;
}

static void
on_addresses(int status, struct ares_addrinfo *found, void *arg)
{
	struct client *c = arg;
	int family, own_family;
	const uint8_t *bytes, *own = network_address(&c->peer.any, &own_family);
	bool is_own = false;

	for (const struct ares_addrinfo_node *ai = found == NULL ? NULL : found->nodes; ai != NULL; ai = ai->ai_next) {
		bytes = network_address(ai->ai_addr, &family);
		is_own |= bytes != NULL && family == own_family && memcmp(bytes, own, family == AF_INET ? 4 : 16) == 0;
	}
	ares_freeaddrinfo(found);
	if (is_own)
		c->login->asked->host_lookup = HOST_CONFIRMED;
	else
		note_no_name(c, status == ARES_SUCCESS ? "its address is not among those of that name"
						       : ares_strerror(status));
	continue_login(c);
}

static void
on_name(int status, const char *name, void *arg)
{
	struct client *c = arg;
	struct login_asked *a = c->login->asked;

	a->name = status == ARES_SUCCESS ? strdup(name) : NULL;
	if (a->name != NULL)
		a->host_lookup = HOST_NAMED;
	else
		note_no_name(c, ares_strerror(status));
	continue_login(c);
}

enum hba_fit
login_ask_name(const char *word, void *client)
{
	struct client *c = client;
	struct login_asked *a = get_or_create_asked(c);
	struct resolver *resolver = dialer_resolver(c->env->dialer);

	if (a == NULL)
		return HBA_LATER;
	if (a->names_until_us == 0)
		a->names_until_us = *c->env->x.now_us + NAMES_US;
	if (a->host_lookup == HOST_NOT_ASKED)
		lookup_start_name(resolver, &c->peer.any, on_name, c, &a->lookup);
	if (a->host_lookup == HOST_NOT_ASKED)
		return HBA_LATER;
	if (a->host_lookup == HOST_NONE || !hba_host_fits(word, a->name))
		return HBA_NO;
	if (a->host_lookup == HOST_NAMED)
		lookup_start(resolver, a->name, ANY_PORT, on_addresses, c, &a->lookup);
	return a->host_lookup == HOST_NAMED ? HBA_LATER : a->host_lookup == HOST_NONE ? HBA_NO : HBA_YES;
}

bool
login_end_late_name_lookups(struct client *c, uint64_t now_us)
{
	struct login_asked *a = c->login->asked;

	if (a == NULL || a->lookup == NULL || now_us < a->names_until_us)
		return false;
	lookup_cancel(a->lookup);
	a->lookup = NULL;
	note_no_name(c, "no name server answered in time");
	continue_login(c);
	return true;
}

/* --- roles --- */

static void
note_role(struct client *c, enum auth_verdict verdict, const struct fail *why)
{
	struct login_asked *a = c->login->asked;
	struct role *role = SLIST_FIRST(&a->roles);

	if (verdict == AUTH_KNOWN || verdict == AUTH_UNKNOWN)
		role->fit = verdict == AUTH_KNOWN ? HBA_YES : HBA_NO;
	else if (verdict == AUTH_REFUSED)
		a->why = *why;
	else
		fail_set(&a->why, "08006", "could not look up the user's roles in PostgreSQL");
}

static void
on_role(enum auth_verdict verdict, const char *unused, const struct fail *why, void *arg)
{
	note_role(arg, verdict, why);
	continue_login(arg);
}

static enum auth_verdict
ask_about(struct client *c, const struct role *role, struct fail *why)
{
	struct client_login *l = c->login;
	struct auth_queries *all = c->env->x.auth_queries;
	char user[CONFIG_DATABASE_MAX + 1];

	if (login_is_console(l) && !auth_query_is_on(all, l->database)) {
		fail_set(why, "28000", "the console knows no roles");
		fail_hint(why, "In the HBA file a rule for the console must come before those with roles.");
		return AUTH_REFUSED;
	}
	login_cut_name(c, l->user, user);
	l->ask.done = on_role;
	l->ask.arg = c;
	return auth_query_ask_member(all, login_database_name(c), user, role->name, &l->ask, why, *c->env->x.now_us);
}

enum hba_fit
login_ask_member(const char *name, void *client)
{
	struct client *c = client;
	struct login_asked *a = get_or_create_asked(c);
	size_t size = strlen(name) + 1;
	enum auth_verdict verdict;
	struct role *role;
	struct fail why;

	if (a == NULL)
		return HBA_LATER;
	SLIST_FOREACH(role, &a->roles, next)
		if (strcmp(role->name, name) == 0)
			return role->fit;
	role = calloc(1, sizeof(*role) + size);
	if (role == NULL) {
		fail_set(&a->why, "53200", "out of memory");
		return HBA_LATER;
	}
	role->fit = HBA_LATER;
	memcpy(role->name, name, size);
	SLIST_INSERT_HEAD(&a->roles, role, next);
	verdict = ask_about(c, role, &why);
	if (verdict != AUTH_LATER)
		note_role(c, verdict, &why);
	return role->fit;
}

int
login_repeat_later(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why)
{
	struct login_asked *a = c->login->asked;

	if (a == NULL)
		return fail_set(why, "53200", "out of memory");
	if (a->why.sqlstate[0] != '\0') {
		*why = a->why;
		return -1;
	}
	a->again = again;
	login_wait(c, abandon, c->login);
	return 1;
}
