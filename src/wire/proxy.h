/*
 * src/wire/proxy.h - the PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): a header that a load
 * balancer sends before a client's first byte, with the client's address. The functions are pure.
 */
#pragma once

#include "base/fail.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_V1_MAX 107 /* the most bytes of a version 1 header, with its CR LF */
#define PROXY_V2_MAX (16 + 4096) /* the most bytes of a version 2 header; enough for addresses and the usual TLVs */

struct proxy_header {
	size_t len; /* bytes of the header */
	/* false for a connection of the load balancer's own (LOCAL), or if no IP address is given (UNKNOWN, AF_UNIX) */
	bool has_source;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} source; /* the client's address; an IPv4-mapped IPv6 address becomes an IPv4 address */
};

enum proxy_result { PROXY_OK, PROXY_PARTIAL, PROXY_BAD };

/* Parses the header at the front of bytes. Returns PROXY_PARTIAL if more bytes are needed, or PROXY_BAD with *why set
 * (08P01) if the header is missing or malformed. */
enum proxy_result proxy_parse(const uint8_t *bytes, size_t len, struct proxy_header *out, struct fail *why);
/* Returns true if bytes begin like a header; false if there are fewer than six bytes. */
bool proxy_is_header(const uint8_t *bytes, size_t len);
