/*
 * tests/unit/test_proxy.c - PROXY protocol headers, and addresses in networks. Bytes are copied to memory of exactly
 * their size, so that a sanitizer sees a byte too far.
 */
#include "base/text.h"
#include "wire/proxy.h"
#include "unit.h"

#include <arpa/inet.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define FOUR "\300\0\2\1\300\0\2\2\311\72\31\40"
#define SIX "\x20\x01\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\311\72\31\40"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\300\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\311\72\31\40"

static const struct {
	const char *rule, *bytes;
	size_t len;
	enum proxy_result result;
	size_t used;
	const char *source; /* NULL: none is told */
} rows[] = {
	{ "nothing yet", BYTES(""), PROXY_PARTIAL, 0, NULL },
	{ "version 1", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 51514 6432\r\nrest"), PROXY_OK, 43, "192.0.2.1:51514" },
	{ "version 1, IPv6", BYTES("PROXY TCP6 2001:db8::1 ::1 51514 6432\r\n"), PROXY_OK, 39, "2001:db8::1:51514" },
	{ "a mapped address is IPv4", BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), PROXY_OK, 37, "192.0.2.1:1" },
	{ "an unknown client", BYTES("PROXY UNKNOWN\r\n"), PROXY_OK, 15, NULL },
	{ "an unknown client and more", BYTES("PROXY UNKNOWN ff::1 x y z\r\n"), PROXY_OK, 27, NULL },
	{ "a line that goes on", BYTES("PROXY TCP4 192.0.2.1 192"), PROXY_PARTIAL, 0, NULL },
	{ "its first letter", BYTES("P"), PROXY_PARTIAL, 0, NULL },
	{ "no CR", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 51514 6432\n"), PROXY_BAD, 0, NULL },
	{ "a port too large", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 65536 6432\r\n"), PROXY_BAD, 0, NULL },
	{ "a signed port", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 +1 6432\r\n"), PROXY_BAD, 0, NULL },
	{ "no second port", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 51514\r\n"), PROXY_BAD, 0, NULL },
	{ "one word more", BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 51514 6432 x\r\n"), PROXY_BAD, 0, NULL },
	{ "an address of the other kind", BYTES("PROXY TCP4 ::1 ::1 51514 6432\r\n"), PROXY_BAD, 0, NULL },
	{ "a zero byte", BYTES("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"), PROXY_BAD, 0, NULL },
	{ "another protocol", BYTES("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), PROXY_BAD, 0, NULL },
	{ "a startup packet", BYTES("\0\0\0\x8\x4\xd2\x16\x2f"), PROXY_BAD, 0, NULL },
	{ "version 2", BYTES(V2 "\x21\x11\0\xc" FOUR "rest"), PROXY_OK, 28, "192.0.2.1:51514" },
	{ "version 2, IPv6", BYTES(V2 "\x21\x21\0\x24" SIX), PROXY_OK, 52, "2001:db8::1:51514" },
	{ "version 2, mapped", BYTES(V2 "\x21\x21\0\x24" MAPPED), PROXY_OK, 52, "192.0.2.1:51514" },
	{ "version 2 with a TLV", BYTES(V2 "\x21\x11\0\x13" FOUR "\3\0\4abcd"), PROXY_OK, 35, "192.0.2.1:51514" },
	{ "a health check", BYTES(V2 "\x20\0\0\0"), PROXY_OK, 16, NULL },
	{ "an unspecified client", BYTES(V2 "\x21\0\0\0"), PROXY_OK, 16, NULL },
	{ "a part of the signature", BYTES("\r\n\r\n\0"), PROXY_PARTIAL, 0, NULL },
	{ "a body that goes on", BYTES(V2 "\x21\x11\0\xc\300"), PROXY_PARTIAL, 0, NULL },
	{ "addresses that are cut off", BYTES(V2 "\x21\x11\0\x5xxxxx"), PROXY_BAD, 0, NULL },
	{ "version 3", BYTES(V2 "\x31\x11\0\xc" FOUR), PROXY_BAD, 0, NULL },
	{ "another command", BYTES(V2 "\x22\x11\0\xc" FOUR), PROXY_BAD, 0, NULL },
	{ "UDP", BYTES(V2 "\x21\x12\0\xc" FOUR), PROXY_BAD, 0, NULL },
	{ "longer than is taken", BYTES(V2 "\x21\x11\xff\xff" FOUR), PROXY_BAD, 0, NULL },
};

static void
source_text(const struct proxy_header *header, char *out, size_t cap)
{
	char host[INET6_ADDRSTRLEN];
	bool is_six = header->source.any.sa_family == AF_INET6;

	inet_ntop(header->source.any.sa_family,
		  is_six ? (const void *)&header->source.in6.sin6_addr : &header->source.in.sin_addr, host,
		  sizeof(host));
	snprintf(out, cap, "%s:%u", host, ntohs(is_six ? header->source.in6.sin6_port : header->source.in.sin_port));
}

Test(proxy, headers)
{
	EACH(row, rows) {
		uint8_t *copy = malloc(row->len + 1);
		struct proxy_header header;
		struct fail why = { 0 };
		char source[80];

		memcpy(copy + 1, row->bytes, row->len);
		cr_expect_eq(proxy_parse(copy + 1, row->len, &header, &why), row->result, "%s", row->rule);
		if (row->result == PROXY_BAD)
			cr_expect_str_eq(why.sqlstate, "08P01", "%s", row->rule);
		if (row->result == PROXY_OK) {
			cr_expect_eq(header.len, row->used, "%s: %zu", row->rule, header.len);
			cr_expect_eq(header.has_source, row->source != NULL, "%s", row->rule);
		}
		if (row->result == PROXY_OK && header.has_source) {
			source_text(&header, source, sizeof(source));
			cr_expect_str_eq(source, row->source, "%s", row->rule);
		}
		free(copy);
	}
}

Test(proxy, a_line_of_version_1_is_bounded)
{
	uint8_t bytes[200];
	struct proxy_header header;
	struct fail why;

	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, "PROXY UNKNOWN ", 14);
	cr_expect_eq(proxy_parse(bytes, PROXY_V1_MAX - 1, &header, &why), PROXY_PARTIAL);
	cr_expect_eq(proxy_parse(bytes, PROXY_V1_MAX, &header, &why), PROXY_BAD);
	memcpy(bytes + PROXY_V1_MAX - 2, "\r\n", 2);
	cr_expect_eq(proxy_parse(bytes, sizeof(bytes), &header, &why), PROXY_OK);
	cr_expect_eq(header.len, PROXY_V1_MAX);
}

static bool
is_in(const char *network, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct network n;

	cr_assert(network_parse(network, &n), "%s", network);
	if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
		return network_contains(&n, (const struct sockaddr *)&in);
	cr_assert_eq(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
	return network_contains(&n, (const struct sockaddr *)&in6);
}

Test(network, contains)
{
	struct network n;

	cr_expect(is_in("10.0.0.0/8", "10.255.0.1"));
	cr_expect_not(is_in("10.0.0.0/8", "11.0.0.1"));
	cr_expect(is_in("10.1.2.0/23", "10.1.3.255"));
	cr_expect_not(is_in("10.1.2.0/23", "10.1.4.0"));
	cr_expect(is_in("192.0.2.1", "192.0.2.1"));
	cr_expect_not(is_in("192.0.2.1", "192.0.2.2"));
	cr_expect(is_in("0.0.0.0/0", "1.2.3.4"));
	cr_expect(is_in("2001:db8::/32", "2001:db8:ffff::1"));
	cr_expect_not(is_in("2001:db8::/32", "2001:db9::1"));
	cr_expect_not(is_in("::/0", "1.2.3.4"));
	cr_expect(is_in("10.0.0.0/8", "::ffff:10.0.0.1"));
	cr_expect_not(network_parse("10.0.0.0/33", &n));
	cr_expect_not(network_parse("10.0.0/8", &n));
	cr_expect_not(network_parse("10.0.0.0/", &n));
	cr_expect_not(network_parse("10.0.0.0/-1", &n));
	cr_expect_not(network_parse("db1", &n));
	cr_expect_not(network_parse("", &n));
}
