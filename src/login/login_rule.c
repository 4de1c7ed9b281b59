/* src/login/login_rule.c - decides which proof a client is asked for. */
#include "admission/admission.h"
#include "login/login_asked.h"
#include "base/text.h"
#include "config/compat.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool
is_loopback(const struct client *c)
{
	return c->is_unix || network_is_loopback(&c->peer.any);
}

/* Counts the refusal, and sets *why in PostgreSQL's words, because tools look for these. `line` is the line of the rule
 * that rejects the client, or 0 if no rule fits. */
static int
fail_by_rule(struct client *c, unsigned line, struct fail *why)
{
	const struct client_login *l = c->login;
	const char *how = stream_tls(&c->x.stream) != NULL ? "SSL encryption" : "no encryption";
	int family;
	const uint8_t *address = network_address(&c->peer.any, &family);
	char host[INET6_ADDRSTRLEN] = "[local]";

	if (!c->is_unix && address != NULL)
		inet_ntop(family, address, host, sizeof(host)); /* without the port, as in PostgreSQL's message */
	c->env->x.counters->rejected[RJ_HBA]++;
	if (l->replication == REPLICATION_PHYSICAL)
		return fail_set(why, "28000", "%s host \"%s\", user \"%.63s\", %s",
				line > 0 ? "pg_hba.conf rejects replication connection for"
					 : "no pg_hba.conf entry for replication connection from",
				host, l->user, how);
	return fail_set(why, "28000", "%s host \"%s\", user \"%.63s\", database \"%.63s\", %s",
			line > 0 ? "pg_hba.conf rejects connection for" : "no pg_hba.conf entry for", host, l->user,
			l->database, how);
}

/* Returns true if the method passes the client's password to a module. */
static bool
passes_password_to_module(enum auth_method method)
{
	return config_is_external(method) && auth_modules[method - AUTH_MODULES_FIRST]->token_request == 0;
}

/* Accepts a password in clear text only over TLS or from this host, or for a module with COMPAT_TAKES_CLEARTEXT. */
static int
check_password_is_safe(const struct client *c, struct fail *why)
{
	enum auth_method method = c->login->rule_method;

	if ((method != AUTH_PASSWORD && !passes_password_to_module(method)) || stream_tls(&c->x.stream) != NULL ||
	    is_loopback(c))
		return 0;
	if (passes_password_to_module(method) && compat_does(c->env->x.config, COMPAT_TAKES_CLEARTEXT))
		return 0;
	fail_set(why, "28000", "clear-text passwords are only accepted over TLS, Unix sockets and loopback");
	return fail_hint(why, "Connect with sslmode=require, or use scram-sha-256 in the rule.");
}

void
login_cut_name(const struct client *c, const char *name, char out[static CONFIG_DATABASE_MAX + 1])
{
	/* A tenant's long names are refused later, not truncated. */
	bool is_of_tenant = config_tenant_len(c->env->x.config, c->login->database) > 0;

	snprintf(out, CONFIG_DATABASE_MAX + 1, "%.*s", is_of_tenant ? CONFIG_DATABASE_MAX : CONFIG_NAME_MAX, name);
}

static int
apply_hba(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why)
{
	struct client_login *l = c->login;
	struct client_env *env = c->env;
	char database[CONFIG_DATABASE_MAX + 1], user[CONFIG_DATABASE_MAX + 1];
	const struct hba_question question = { .over = c->is_unix			  ? HBA_OVER_UNIX
						       : stream_tls(&c->x.stream) != NULL ? HBA_OVER_TLS
											  : HBA_OVER_TCP,
					       .is_physical = l->replication == REPLICATION_PHYSICAL,
					       .address = &c->peer.any,
					       .database = database,
					       .user = user,
					       .is_own_address = interfaces_have,
					       .has_name = login_ask_name,
					       .is_member = login_ask_member,
					       .arg = c };
	static const enum auth_method methods[] = {
		[HBA_TRUST] = AUTH_TRUST, [HBA_MD5] = AUTH_MD5,	  [HBA_PASSWORD] = AUTH_PASSWORD,
		[HBA_CERT] = AUTH_CERT,	  [HBA_PEER] = AUTH_PEER, [HBA_SCRAM] = AUTH_SCRAM_SHA_256,
	};

	login_cut_name(c, l->database, database);
	login_cut_name(c, l->user, user);
	if (l->hba == NULL) { /* the login keeps its rules, even if a reload replaces them while the login waits */
		l->hba = hba_ref(env->hba);
		l->ident = ident_ref(env->ident);
	}
	switch (hba_match(l->hba, &question, &l->rule)) {
	case HBA_NO:
		return fail_by_rule(c, 0, why);
	case HBA_LATER:
		return login_repeat_later(c, again, why);
	case HBA_YES:
		break;
	}
	if (l->rule_method != AUTH_HBA)
		/* The rule was made from settings of [auth] (setup/rules.c), so rule_method is set already. */
		return check_password_is_safe(c, why);
	if (l->rule.method == HBA_REJECT ? admission_take_log_line(env->admission, &c->admission)
					 : env->x.config->log_connections)
		log_info(env->x.log, "client %llu: %s:%u decides on user \"%s\", database \"%s\"",
			 (unsigned long long)c->x.waiter.id, l->rule.path, l->rule.line, user, database);
	if (l->rule.method == HBA_REJECT)
		return fail_by_rule(c, l->rule.line, why);
	l->rule_method = l->rule.method < HBA_MODULES
			     ? methods[l->rule.method]
			     : AUTH_MODULES_FIRST + (enum auth_method)(l->rule.method - HBA_MODULES);
	return check_password_is_safe(c, why);
}

int
login_find_rule(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why)
{
	/* If hba is set, this is a repeated call, which goes on with the method and rules of the first call. */
	if (c->login->hba == NULL)
		c->login->rule_method = c->env->x.config->auth_method;
	if (c->login->rule_method == AUTH_HBA || config_is_external(c->login->rule_method))
		return apply_hba(c, again, why);
	if (c->login->rule_method != AUTH_TRUST || is_loopback(c))
		return check_password_is_safe(c, why);
	return fail_set(why, "28000", "trust is for loopback and Unix sockets only");
}
