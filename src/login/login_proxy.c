/*
 * src/login/login_proxy.c - the address of a client behind a load balancer, by the PROXY protocol (wire/proxy.h).
 *
 * A connection from one of the networks in proxy_protocol must begin with a header: otherwise a client that reaches
 * pgweir through such a network could leave the header out, and be taken for the balancer. A client from elsewhere must
 * not send a header, because it could claim any address. Until the header is read, the connection counts towards the
 * limit on logins, but not towards the limits on an address.
 */
#include "login/login_steps.h"
#include "base/text.h"
#include "wire/proxy.h"

#include <stdio.h>

bool
login_is_proxy_expected(const struct client *c)
{
	char *const *name = c->env->x.config->proxy_protocol;
	struct network n;

	for (; name != NULL && *name != NULL; name++)
		if (c->is_unix ? strcmp(*name, "unix") == 0
			       : network_parse(*name, &n) && network_contains(&n, &c->peer.any))
			return true;
	return false;
}

static void
refuse_proxy(struct client *c, const struct fail *why)
{
	c->login->method = LM_NONE;
	login_refuse(c, why, LR_ERROR);
}

size_t
login_take_proxy_header(struct client *c, const uint8_t *bytes, size_t len)
{
	struct proxy_header header;
	struct fail why;

	switch (proxy_parse(bytes, len, &header, &why)) {
	case PROXY_PARTIAL:
		return 0;
	case PROXY_BAD:
		fail_hint(&why, "This address is in proxy_protocol of section [pgweir]: its connections begin with a "
				"header. Enable that in the load balancer, or remove the address.");
		refuse_proxy(c, &why);
		return len;
	case PROXY_OK:
		break;
	}
	c->login->is_proxy_due = false;
	admission_leave(c->env->admission, &c->admission);
	if (header.has_source) {
		if (header.source.any.sa_family == AF_INET6)
			c->peer.in6 = header.source.in6;
		else
			c->peer.in = header.source.in;
		c->is_unix = false;
	}
	return admission_enter(c->env->admission, &c->admission, c->is_unix ? NULL : &c->peer.any) ? header.len : len;
}

bool
login_refuse_if_proxy(struct client *c, const uint8_t *bytes, size_t len)
{
	struct fail why;

	if (stream_tls(&c->x.stream) != NULL || c->login->has_ssl_asked || !proxy_is_header(bytes, len))
		return false;
	fail_set(&why, "08P01", "received a PROXY protocol header from an address that is not in proxy_protocol");
	fail_hint(&why, "Add the load balancer's network to proxy_protocol in section [pgweir].");
	refuse_proxy(c, &why);
	return true;
}

/* The result looks like "app - 10.0.0.7:51514", as with PgBouncer. If the result would be too long, the name is cut,
 * because the address matters more. */
void
login_write_application_name(const struct client *c, const char *name, char out[static APPLICATION_NAME_MAX + 1])
{
	char peer[56]; /* "[IPv6]:port" */
	size_t len, room;

	client_peer_text(&c->x, peer, sizeof(peer));
	if (name == NULL || *name == '\0')
		name = "app";
	len = strlen(name);
	room = APPLICATION_NAME_MAX - 3 - strlen(peer);
	if (len > room)
		for (len = room; len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80;)
			len--; /* don't cut within a character */
	snprintf(out, APPLICATION_NAME_MAX + 1, "%.*s - %s", (int)len, name, peer);
}
