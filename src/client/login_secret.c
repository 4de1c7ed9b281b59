/* src/client/login_secret.c - what is known of the user that logs in. */
#include "client/login.h"

#include <string.h>

void
login_find_secret(struct client *c)
{
	struct client_login *l = c->login;

	l->users = c->env->users == NULL ? NULL : users_ref(c->env->users);
	l->is_known = users_find(l->users, l->user, &l->secret) && l->secret.kind != SECRET_NONE;
	if (!l->is_known)
		memset(&l->secret, 0, sizeof(l->secret));
	login_secret_found(c);
}
