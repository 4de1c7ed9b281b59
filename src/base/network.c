#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Reads a decimal number of at most three digits. Returns false if text is no such number, or a number above `most`. */
static bool
read_bits(const char *text, unsigned most, unsigned *out)
{
	size_t len = strlen(text);

	if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
		return false;
	*out = (unsigned)strtoul(text, NULL, 10);
	return *out <= most;
}

bool
network_parse(const char *text, struct network *out)
{
	size_t len = strcspn(text, "/");
	char address[INET6_ADDRSTRLEN];
	unsigned most;

	memset(out, 0, sizeof(*out));
	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	out->family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(out->family, address, out->address) != 1)
		return false;
	out->bits = most = out->family == AF_INET ? 32 : 128;
	return text[len] == '\0' || read_bits(text + len + 1, most, &out->bits);
}

const uint8_t *
network_address(const struct sockaddr *address, int *family)
{
	const struct in6_addr *in6;

	*family = address->sa_family;
	if (address->sa_family == AF_INET)
		return (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
	if (address->sa_family != AF_INET6)
		return NULL;
	in6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	if (!IN6_IS_ADDR_V4MAPPED(in6))
		return in6->s6_addr;
	*family = AF_INET;
	return in6->s6_addr + 12;
}

bool
network_contains(const struct network *n, const struct sockaddr *address)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;
	const uint8_t *bytes;
	int family;

	bytes = network_address(address, &family);
	if (bytes == NULL || family != n->family || memcmp(bytes, n->address, whole) != 0)
		return false;
	return rest == 0 || ((bytes[whole] ^ n->address[whole]) & (uint8_t)(0xff00u >> rest)) == 0;
}

bool
network_is_loopback(const struct sockaddr *address)
{
	int family;
	const uint8_t *bytes = network_address(address, &family);

	return bytes != NULL &&
	       (family == AF_INET ? bytes[0] == 127 : memcmp(bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0);
}
