/* src/base/network.h - addresses in networks: "10.0.0.0/8", "2001:db8::/32", "127.0.0.1". Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct network {
	int family; /* AF_INET or AF_INET6 */
	uint8_t address[16];
	unsigned bits; /* of the address that count */
};

/* Reads a numeric address, with or without a prefix length. Returns false if text is neither. */
bool network_parse(const char *text, struct network *out);
/* Returns true if the address lies in it. An IPv4 address that is mapped into IPv6 counts as IPv4. */
bool network_contains(const struct network *n, const struct sockaddr *address);
