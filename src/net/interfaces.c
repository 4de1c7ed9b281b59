#include "net/listener.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* Sets *bytes to the bytes of an address (IPv4-mapped IPv6 counts as IPv4) and returns their number; 0: neither. */
static size_t
bytes_of(const struct sockaddr *address, const uint8_t **bytes)
{
	const struct in6_addr *v6;

	if (address->sa_family == AF_INET) {
		*bytes = (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
		return 4;
	}
	if (address->sa_family != AF_INET6)
		return 0;
	v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
	if (IN6_IS_ADDR_V4MAPPED(v6)) {
		*bytes = v6->s6_addr + 12;
		return 4;
	}
	*bytes = v6->s6_addr;
	return 16;
}

static bool
is_within(const struct ifaddrs *own, const uint8_t *bytes, size_t len, bool is_net)
{
	static const uint8_t all[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const uint8_t *address, *mask = all;

	if (own->ifa_addr == NULL || bytes_of(own->ifa_addr, &address) != len)
		return false;
	if (is_net && (own->ifa_netmask == NULL || bytes_of(own->ifa_netmask, &mask) != len))
		return false;
	for (size_t i = 0; i < len; i++)
		if (((address[i] ^ bytes[i]) & mask[i]) != 0)
			return false;
	return true;
}

bool
interfaces_have(const struct sockaddr *address, bool is_net)
{
	struct ifaddrs *all;
	const uint8_t *bytes;
	size_t len = bytes_of(address, &bytes);
	bool is_found = false;

	if (len == 0 || getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *own = all; own != NULL && !is_found; own = own->ifa_next)
		is_found = is_within(own, bytes, len, is_net);
	freeifaddrs(all);
	return is_found;
}
