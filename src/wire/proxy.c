#include "wire/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define V2_HEAD_LEN 16 /* bytes: signature, version and command, family, length */

static const uint8_t v1_signature[6] = { 'P', 'R', 'O', 'X', 'Y', ' ' };
static const uint8_t v2_signature[12] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static enum proxy_result
fail_header(struct fail *why, const char *what)
{
	fail_set(why, "08P01", "invalid PROXY protocol header: %s", what);
	return PROXY_BAD;
}

static bool
begins_like(const uint8_t *bytes, size_t len, const uint8_t *signature, size_t signature_len)
{
	return memcmp(bytes, signature, len < signature_len ? len : signature_len) == 0;
}

bool
proxy_is_header(const uint8_t *bytes, size_t len)
{
	return len >= sizeof(v1_signature) && (begins_like(bytes, len, v1_signature, sizeof(v1_signature)) ||
					       begins_like(bytes, len, v2_signature, sizeof(v2_signature)));
}

static void
set_in(struct proxy_header *out, const void *address, uint16_t port)
{
	out->has_source = true;
	out->source.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	memcpy(&out->source.in.sin_addr, address, sizeof(out->source.in.sin_addr));
}

static void
set_in6(struct proxy_header *out, const struct in6_addr *address, uint16_t port)
{
	if (IN6_IS_ADDR_V4MAPPED(address)) {
		set_in(out, address->s6_addr + 12, port);
		return;
	}
	out->has_source = true;
	out->source.in6 =
	    (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *address };
}

/* --- Version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 51514 6432" CR LF, or "PROXY UNKNOWN" and anything. --- */

/* Returns the port, or -1 if text is not a port. The specification allows no leading zero and no sign. */
static long
port_of(const char *text)
{
	size_t len = strlen(text);
	long port;

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len || (text[0] == '0' && len > 1))
		return -1;
	port = strtol(text, NULL, 10);
	return port <= UINT16_MAX ? port : -1;
}

/* Reads words: the protocol, the source, the destination, and the ports of both. */
static enum proxy_result
read_words(char *const words[5], struct proxy_header *out, struct fail *why)
{
	int family = strcmp(words[0], "TCP4") == 0 ? AF_INET : AF_INET6;
	struct in6_addr source, destination; /* large enough for an address of either family */
	long port = port_of(words[3]);

	if (family == AF_INET6 && strcmp(words[0], "TCP6") != 0)
		return fail_header(why, "neither TCP4 nor TCP6 nor UNKNOWN");
	if (inet_pton(family, words[1], &source) != 1 || inet_pton(family, words[2], &destination) != 1)
		return fail_header(why, "an address is invalid");
	if (port < 0 || port_of(words[4]) < 0)
		return fail_header(why, "a port is invalid");
	if (family == AF_INET)
		set_in(out, &source, (uint16_t)port);
	else
		set_in6(out, &source, (uint16_t)port);
	return PROXY_OK;
}

static enum proxy_result
parse_v1(const uint8_t *bytes, size_t len, struct proxy_header *out, struct fail *why)
{
	size_t seen = len < PROXY_V1_MAX ? len : PROXY_V1_MAX, line_len;
	const uint8_t *end = memchr(bytes, '\n', seen);
	char line[PROXY_V1_MAX];
	char *words[5], *rest = line;

	if (end == NULL)
		return len < PROXY_V1_MAX ? PROXY_PARTIAL : fail_header(why, "its line does not end");
	line_len = (size_t)(end - bytes) - sizeof(v1_signature);
	if (end[-1] != '\r' || line_len == 0)
		return fail_header(why, "its line does not end with CR LF");
	line_len--;
	memcpy(line, bytes + sizeof(v1_signature), line_len);
	line[line_len] = '\0';
	if (strlen(line) != line_len)
		return fail_header(why, "there is a zero byte in it");
	out->len = (size_t)(end - bytes) + 1;
	if (strcmp(line, "UNKNOWN") == 0 || strncmp(line, "UNKNOWN ", 8) == 0)
		return PROXY_OK;
	for (size_t i = 0; i < 5; i++)
		if ((words[i] = strsep(&rest, " ")) == NULL)
			return fail_header(why, "it has too few fields");
	return rest == NULL ? read_words(words, out, why) : fail_header(why, "it has too many fields");
}

/* --- Version 2: binary. --- */

/* Reads body: the addresses and ports of both sides, then TLVs, which are ignored. */
static enum proxy_result
read_addresses(uint8_t family, const uint8_t *body, size_t len, struct proxy_header *out, struct fail *why)
{
	struct in6_addr in6;

	switch (family) {
	case 0x11: /* TCP over IPv4 */
		if (len < 12)
			return fail_header(why, "its addresses are cut off");
		set_in(out, body, (uint16_t)(body[8] << 8 | body[9]));
		return PROXY_OK;
	case 0x21: /* TCP over IPv6 */
		if (len < 36)
			return fail_header(why, "its addresses are cut off");
		memcpy(&in6, body, sizeof(in6));
		set_in6(out, &in6, (uint16_t)(body[32] << 8 | body[33]));
		return PROXY_OK;
	case 0x00: /* unspecified */
	case 0x31: /* a Unix socket */
		return PROXY_OK;
	default:
		return fail_header(why, "its address family is unknown");
	}
}

static enum proxy_result
parse_v2(const uint8_t *bytes, size_t len, struct proxy_header *out, struct fail *why)
{
	size_t body_len;

	if (len < V2_HEAD_LEN)
		return PROXY_PARTIAL;
	body_len = (size_t)(bytes[14] << 8 | bytes[15]);
	if (bytes[12] >> 4 != 2)
		return fail_header(why, "its version is neither 1 nor 2");
	if (body_len > PROXY_V2_MAX - V2_HEAD_LEN)
		return fail_header(why, "it is too long");
	if (len - V2_HEAD_LEN < body_len)
		return PROXY_PARTIAL;
	out->len = V2_HEAD_LEN + body_len;
	switch (bytes[12] & 0x0f) {
	case 0: /* LOCAL */
		return PROXY_OK;
	case 1: /* PROXY */
		return read_addresses(bytes[13], bytes + V2_HEAD_LEN, body_len, out, why);
	default:
		return fail_header(why, "its command is unknown");
	}
}

enum proxy_result
proxy_parse(const uint8_t *bytes, size_t len, struct proxy_header *out, struct fail *why)
{
	memset(out, 0, sizeof(*out));
	if (len == 0)
		return PROXY_PARTIAL;
	if (begins_like(bytes, len, v2_signature, sizeof(v2_signature)))
		return parse_v2(bytes, len, out, why);
	if (!begins_like(bytes, len, v1_signature, sizeof(v1_signature)))
		return fail_header(why, "it is missing");
	return len < sizeof(v1_signature) ? PROXY_PARTIAL : parse_v1(bytes, len, out, why);
}
