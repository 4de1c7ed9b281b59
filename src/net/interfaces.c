#include "base/text.h"
#include "net/listener.h"

#include <ifaddrs.h>
#include <netinet/in.h>

static bool
is_within(const struct ifaddrs *own, const uint8_t *bytes, int family, bool is_net)
{
	static const uint8_t all[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t none[16] = { 0 };
	const uint8_t *address, *mask = NULL;
	int own_family = AF_UNSPEC, mask_family = AF_UNSPEC;
	size_t len = family == AF_INET ? 4 : 16;

	address = own->ifa_addr == NULL ? NULL : network_address(own->ifa_addr, &own_family);
	if (address == NULL || own_family != family)
		return false;
	if (is_net && own->ifa_netmask != NULL)
		mask = network_address(own->ifa_netmask, &mask_family);
	/* As in PostgreSQL, the network of an interface without a proper mask has only the interface's own address. */
	if (mask == NULL || mask_family != family || memcmp(mask, none, len) == 0)
		mask = all;
	for (size_t i = 0; i < len; i++)
		if (((address[i] ^ bytes[i]) & mask[i]) != 0)
			return false;
	return true;
}

bool
interfaces_have(const struct sockaddr *address, bool is_net)
{
	struct ifaddrs *all;
	int family;
	const uint8_t *bytes = network_address(address, &family);
	bool is_found = false;

	if (bytes == NULL || getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *own = all; own != NULL && !is_found; own = own->ifa_next)
		is_found = is_within(own, bytes, family, is_net);
	freeifaddrs(all);
	return is_found;
}
