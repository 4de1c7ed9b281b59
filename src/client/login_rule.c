/* src/client/login_rule.c - which proof a client is asked for. */
#include "client/login.h"

bool
login_is_loopback(const struct client *c)
{
	if (c->is_unix)
		return true;
	if (c->peer.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&c->peer.in6.sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&c->peer.in6.sin6_addr) && c->peer.in6.sin6_addr.s6_addr[12] == 127);
	return (ntohl(c->peer.in.sin_addr.s_addr) >> 24) == 127;
}

int
login_rule(struct client *c, struct fail *why)
{
	c->login->demand = c->env->config->auth_method;
	if (c->login->demand != AUTH_TRUST || login_is_loopback(c))
		return 0;
	return fail_set(why, "28000", "trust is for loopback and Unix sockets only");
}
