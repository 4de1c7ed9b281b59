/* src/config/config_listen.c - addresses to listen on. They are numeric, so no name server is asked for them. */
#include "config/config_value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define PORT_MAX 65535

static int
read_unix(const char *path, struct config_listen *out, struct fail *why)
{
	const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (path[0] != '/')
		return fail_set(why, "F0000", "a Unix socket is unix: and a path that begins with /");
	if (strlen(path) > most || strlen(path) >= sizeof(out->host))
		return fail_set(why, "F0000", "the path of a Unix socket must have at most %zu bytes", most);
	snprintf(out->host, sizeof(out->host), "%s", path);
	return 0;
}

/* Reads a numeric address, without its brackets. * stands for 0.0.0.0, and localhost for 127.0.0.1. */
static int
read_numeric(const char *text, size_t len, bool is_v6, struct config_listen *out, struct fail *why)
{
	int family = is_v6 ? AF_INET6 : AF_INET;
	char address[64] = "";
	struct in6_addr binary; /* room for either kind */

	if (len < sizeof(address))
		snprintf(address, sizeof(address), "%.*s", (int)len, text);
	if (!is_v6 && strcmp(address, "*") == 0)
		snprintf(address, sizeof(address), "0.0.0.0");
	else if (!is_v6 && strcmp(address, "localhost") == 0)
		snprintf(address, sizeof(address), "127.0.0.1");
	if (inet_pton(family, address, &binary) == 1) {
		inet_ntop(family, &binary, out->host, sizeof(out->host));
		return 0;
	}
	if (is_v6)
		return fail_set(why, "F0000",
				"a numeric IPv6 address must stand between [ and ], for example [::1]:6432");
	return fail_set(why, "F0000",
			"\"%.*s\" is not a numeric address; use one such as 127.0.0.1 or [::1], or * for all of IPv4",
			(int)(len < 64 ? len : 64), text);
}

int
value_read_listen(const char *text, struct config_listen *out, struct fail *why)
{
	struct config_listen listen = { 0 };
	const char *colon = strrchr(text, ':');
	uint64_t port = 0;
	int rc;

	if (strlen(text) >= sizeof(listen.text))
		return fail_set(why, "F0000", "an address must have at most %zu bytes", sizeof(listen.text) - 1);
	snprintf(listen.text, sizeof(listen.text), "%s", text);
	if (strncmp(text, "unix:", 5) == 0)
		rc = read_unix(text + 5, &listen, why);
	else if (colon == NULL || colon == text || (text[0] == '[' && colon[-1] != ']'))
		rc = fail_set(why, "F0000", "must be an address and a port, for example 127.0.0.1:6432");
	else if (value_read_count(colon + 1, 1, PORT_MAX, &port, why) < 0)
		rc = fail_set(why, "F0000", "the port must be a number from 1 to %d", PORT_MAX);
	else if (text[0] == '[')
		rc = read_numeric(text + 1, (size_t)(colon - text) - 2, true, &listen, why);
	else if (memchr(text, ':', (size_t)(colon - text)) != NULL)
		rc = fail_set(why, "F0000", "put brackets around an IPv6 address, for example [::1]:6432");
	else
		rc = read_numeric(text, (size_t)(colon - text), false, &listen, why);
	listen.port = (uint16_t)port;
	if (rc == 0)
		*out = listen;
	return rc;
}

bool
listen_is_local(const struct config_listen *listen)
{
	struct in6_addr v6;

	if (config_listen_is_unix(listen) || strncmp(listen->host, "127.", 4) == 0)
		return true;
	if (inet_pton(AF_INET6, listen->host, &v6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}
