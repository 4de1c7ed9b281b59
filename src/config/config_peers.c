/* src/config/config_peers.c - reads the setting peers: the processes that share the port, with their addresses. */
#include "base/text.h"
#include "config/config_value.h"

#define ID_MAX 65535
#define PORT_MAX 65535

static int
read_peer(const char *text, struct config_peer *out, struct fail *why)
{
	const char *equals = strchr(text, '='), *colon = strrchr(text, ':'), *host;
	char id[8];
	uint64_t number;
	size_t len;

	if (equals == NULL || colon == NULL || colon <= equals + 1 || (size_t)(equals - text) >= sizeof(id))
		return fail_set(why, "F0000", "a peer must be peer_id=host:port, for example 2=10.0.0.7:6432");
	snprintf(id, sizeof(id), "%.*s", (int)(equals - text), text);
	if (value_read_count(id, 1, ID_MAX, &number, why) < 0)
		return fail_set(why, "F0000", "a peer_id must be a number from 1 to %d", ID_MAX);
	out->id = (uint32_t)number;
	host = equals + 1;
	len = (size_t)(colon - host);
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len >= sizeof(out->host))
		return fail_set(why, "F0000", "the host of a peer must have at most %zu bytes", sizeof(out->host) - 1);
	memcpy(out->host, host, len);
	if (value_read_count(colon + 1, 1, PORT_MAX, &number, why) < 0)
		return fail_set(why, "F0000", "the port of a peer must be a number from 1 to %d", PORT_MAX);
	out->port = (uint16_t)number;
	return 1;
}

int
config_next_peer(const char **at, struct config_peer *out, struct fail *why)
{
	const char *from = *at + strspn(*at, ", \t");
	size_t len = strcspn(from, ",");
	char text[256];

	memset(out, 0, sizeof(*out));
	*at = from + len;
	trim_blanks(&from, &len);
	if (len == 0)
		return 0;
	if (len >= sizeof(text))
		return fail_set(why, "F0000", "a peer must have at most %zu bytes", sizeof(text) - 1);
	memcpy(text, from, len);
	text[len] = '\0';
	return read_peer(text, out, why);
}

bool
config_find_peer(const struct config *config, uint32_t id, struct config_peer *out)
{
	const char *at = config->peers;
	struct fail why;

	while (config_next_peer(&at, out, &why) > 0)
		if (out->id == id)
			return true;
	return false;
}
