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

#define PROXY_V1_MAX 107 /* bytes of a version 1 header, with its CR LF */
#define PROXY_V2_MAX (16 + 4096) /* bytes of a version 2 header: more than any address and the usual TLVs need */

struct proxy_header {
	size_t len; /* bytes of the header */
	/* false if the connection is the balancer's own (LOCAL: a health check), or if the header names no source
	 * (UNKNOWN, AF_UNIX) */
	bool has_source;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} source; /* an IPv4 address that is mapped into IPv6 is given as IPv4 */
};

enum proxy_result { PROXY_OK, PROXY_PARTIAL, PROXY_BAD };

/*
 * Reads the header at the beginning of bytes. Returns PROXY_PARTIAL if more bytes are needed, or PROXY_BAD with *why
 * set (08P01) if the header is missing or malformed.
 */
enum proxy_result proxy_parse(const uint8_t *bytes, size_t len, struct proxy_header *out, struct fail *why);
/* Returns true if bytes begin as a header does. Needs at least six bytes. */
bool proxy_is_header(const uint8_t *bytes, size_t len);
