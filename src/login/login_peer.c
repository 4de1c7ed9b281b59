/*
 * src/login/login_peer.c - peer: the kernel knows the user at the other end of a Unix socket (PostgreSQL's chapter
 * "Peer Authentication").
 *
 * Finding the name of a numeric user id may take long (the name may be in LDAP), so a helper thread does it.
 */
#include "base/clock.h"
#include "login/login_asked.h"
#include "net/helpers.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX ((size_t)1 << 20) /* bytes of a user's record, for getpwuid_r() */

struct peer {
	struct work work;
	struct client *client; /* NULL if the client has left */
	uid_t uid;
	char *name; /* NULL if the system has no name for the user, or out of memory */
};

/* On a thread. */
static void
find_name(struct work *w)
{
	struct peer *p = (struct peer *)w;
	struct passwd record, *found = NULL;
	int error = ERANGE;

	for (size_t cap = 1024; error == ERANGE && cap <= RECORD_MAX; cap *= 4) {
		char *room = malloc(cap);

		if (room == NULL)
			return;
		error = getpwuid_r(p->uid, &record, room, cap, &found);
		if (error == 0 && found != NULL)
			p->name = strdup(found->pw_name);
		free(room);
	}
}

static void
decide(struct client *c, void *unused)
{
	const struct client_login *l = c->login;
	const char *name = l->system_user;
	enum hba_fit fit =
	    name == NULL ? HBA_NO : ident_allows(l->ident, l->rule.map, name, l->user, login_ask_member, c);
	struct fail why;

	if (fit == HBA_YES) {
		login_on_authenticated(c);
		return;
	}
	if (fit == HBA_NO) {
		log_info(c->env->x.log, "client %llu: system user %ld, \"%s\", may not log in as \"%s\"%s%s",
			 (unsigned long long)c->x.waiter.id, (long)l->system_uid, name != NULL ? name : "", l->user,
			 l->rule.map != NULL ? " by map " : "", l->rule.map != NULL ? l->rule.map : "");
		fail_set(&why, "28000", "Peer authentication failed for user \"%.63s\"", l->user);
	} else if (login_repeat_later(c, decide, &why) > 0)
		return;
	login_refuse(c, &why, LR_ERROR);
}

static void
take_name(struct client *c, void *arg)
{
	struct peer *p = arg;

	c->login->system_uid = p->uid;
	c->login->system_user = p->name;
	p->name = NULL;
	decide(c, NULL);
}

static void
on_found(struct work *w)
{
	struct peer *p = (struct peer *)w;
	struct client *c = p->client;

	if (c != NULL) {
		*c->env->x.now_us = clock_now_us();
		login_conclude(c, take_name, p);
	}
	free(p->name);
	free(p);
}

int
login_peer_begin(struct client *c, struct fail *why)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	struct peer *p;

	c->login->method = LM_PEER;
	if (getsockopt(c->x.stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return fail_set(why, "28000", "could not get the credentials of the peer: %s", strerror(errno));
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return fail_set(why, "53200", "out of memory");
	p->work.run = find_name;
	p->work.done = on_found;
	p->client = c;
	p->uid = who.uid;
	if (helpers_submit(c->env->helpers, c->env->inbox, &p->work, WORK_NEW) < 0) {
		free(p);
		return fail_set(why, "53300", "too many logins at once");
	}
	login_wait(c, login_set_null, &p->client);
	return 0;
}
