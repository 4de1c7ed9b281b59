/*
 * src/login/login_certificate.c - checks a client's certificate, before anything else is asked for.
 *
 * A certificate is demanded by an HBA rule (cert, clientcert=), by method = cert, or by mode = verify-ca or verify-full
 * in [tls_client]. The mode in [tls_client] concerns only network clients, because a Unix socket has no TLS.
 *
 * A certificate names its user by its common name or one of its alternative names (DNS, e-mail); with clientname=CN, by
 * the common name alone; with clientname=DN, by its whole subject. If the rule has a map, the map translates that name
 * (hba.h).
 */
#include "login/login_asked.h"
#include "net/tls.h"

#include <stdio.h>

#define SUBJECT_MAX 2048

static enum hba_clientcert
demanded_clientcert(const struct client *c)
{
	const struct client_login *l = c->login;
	enum tls_mode mode = c->is_unix ? TLS_OFF : c->env->x.config->tls_mode;

	if (l->rule_method == AUTH_CERT || mode == TLS_VERIFY_FULL)
		return HBA_CLIENTCERT_FULL;
	if (mode == TLS_VERIFY_CA && l->rule.clientcert == HBA_CLIENTCERT_NONE)
		return HBA_CLIENTCERT_CA;
	return l->rule.clientcert;
}

struct search {
	struct client *client;
	char first[128]; /* the certificate's first name, for the log */
	enum hba_fit fit;
};

static bool
check_name(struct search *s, const char *name)
{
	const struct client_login *l = s->client->login;

	if (s->first[0] == '\0')
		snprintf(s->first, sizeof(s->first), "%.*s", (int)sizeof(s->first) - 1, name);
	if (name[0] != '\0')
		s->fit = ident_allows(l->ident, l->rule.map, name, l->user, login_ask_member, s->client);
	return s->fit != HBA_NO;
}

static bool
on_name(char kind, const char *text, void *arg)
{
	struct search *s = arg;

	return (kind != 'C' && s->client->login->rule.clientname == HBA_CLIENTNAME_CN) || !check_name(s, text);
}

int
login_check_certificate(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why)
{
	struct client_login *l = c->login;
	enum hba_clientcert demand = demanded_clientcert(c);
	struct search search = { .client = c };
	char subject[SUBJECT_MAX];

	if (demand == HBA_CLIENTCERT_NONE)
		return 0;
	if (stream_tls(&c->x.stream) == NULL || !tls_has_peer_certificate(stream_tls(&c->x.stream))) {
		fail_set(why, "28000", "connection requires a valid client certificate");
		return fail_hint(why,
				 "Connect with TLS, and name the certificate and its key with sslcert and sslkey.");
	}
	if (demand == HBA_CLIENTCERT_CA)
		return 0;
	if (l->rule.clientname != HBA_CLIENTNAME_DN)
		tls_each_peer_name(stream_tls(&c->x.stream), on_name, &search);
	else if (tls_peer_subject(stream_tls(&c->x.stream), subject, sizeof(subject)) == 0)
		check_name(&search, subject);
	if (search.fit != HBA_NO)
		return search.fit == HBA_YES ? 0 : login_repeat_later(c, again, why);
	log_info(c->env->x.log, "client %llu: its certificate is for \"%s\", which may not log in as \"%s\"%s%s",
		 (unsigned long long)c->x.waiter.id, search.first, l->user, l->rule.map != NULL ? " by map " : "",
		 l->rule.map != NULL ? l->rule.map : "");
	return fail_set(why, "28000", "certificate authentication failed for user \"%.63s\"", l->user);
}
