#include "base/text.h"
#include "net/listener.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

static bool
is_within(const struct ifaddrs *own, const uint8_t *bytes, int family, bool is_net)
{
	static const uint8_t all[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const uint8_t *address, *mask = all;
	int own_family = AF_UNSPEC, mask_family = family;

	address = own->ifa_addr == NULL ? NULL : network_address(own->ifa_addr, &own_family);
	if (is_net)
		mask = own->ifa_netmask == NULL ? NULL : network_address(own->ifa_netmask, &mask_family);
	if (address == NULL || mask == NULL || own_family != family || mask_family != family)
		return false;
	for (size_t i = 0; i < (family == AF_INET ? 4 : 16); i++)
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
