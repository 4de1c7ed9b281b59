/*
 * src/base/text.h - small functions on text: searches, blanks, copies of names, secrets, and networks ("10.0.0.0/8").
 *
 * Always: no function here allocates memory or keeps a pointer to its arguments; only secret_free() frees.
 */
#pragma once

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Returns true if text contains word, even within another word. The case of ASCII letters is ignored. */
static inline bool
text_contains(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (; len >= word_len; text++, len--)
		if ((*text | 0x20) == (word[0] | 0x20) && strncasecmp(text, word, word_len) == 0)
			return true;
	return false;
}

/* Returns true if word is one of words, which are separated by blanks. The case of ASCII letters is ignored. */
static inline bool
text_is_one_of(const char *word, const char *words)
{
	size_t len = strlen(word);

	while (*words != '\0') {
		const char *listed = words;

		while (*words != ' ' && *words != '\0')
			words++;
		if ((size_t)(words - listed) == len && strncasecmp(listed, word, len) == 0)
			return true;
		while (*words == ' ')
			words++;
	}
	return false;
}

/* Returns true if host is "localhost" or "::1", or begins with "127.". */
static inline bool
text_is_loopback(const char *host, size_t len)
{
	return (len == 9 && memcmp(host, "localhost", len) == 0) || (len >= 4 && memcmp(host, "127.", 4) == 0) ||
	       (len == 3 && memcmp(host, "::1", len) == 0);
}

/* Returns true if no byte has its high bit set. */
static inline bool
text_is_ascii(const char *text, size_t len)
{
	uint64_t eight;

	for (; len >= sizeof(eight); text += sizeof(eight), len -= sizeof(eight)) {
		memcpy(&eight, text, sizeof(eight));
		if ((eight & 0x8080808080808080u) != 0)
			return false;
	}
	for (size_t i = 0; i < len; i++)
		if ((text[i] & 0x80) != 0)
			return false;
	return true;
}

/* --- blanks, independent of the locale --- */

/* Returns true if c is a blank within a line. */
static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Returns true for white space, line ends included, as isspace() does in the C locale. */
static inline bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Moves *text and *len past blanks at both ends; changes no bytes. */
static inline void
trim_blanks(const char **text, size_t *len)
{
	for (; *len > 0 && is_blank(**text); --*len)
		++*text;
	while (*len > 0 && is_blank((*text)[*len - 1]))
		--*len;
}

/* Copies a string into an array of cap bytes, but never a part of it, because a truncated name could name something
 * else. Returns false, with `to` empty, if `from` and its terminator don't fit. */
static inline bool __attribute__((warn_unused_result)) copy_string(char *to, size_t cap, const char *from)
{
	size_t len = strlen(from);

	to[0] = '\0';
	if (len >= cap)
		return false;
	memcpy(to, from, len + 1);
	return true;
}

/* Overwrites the text and frees it, so that the secret does not stay in memory. text may be NULL. */
static inline void
secret_free(char *text)
{
	if (text != NULL)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

/* --- network.c: addresses in networks: "10.0.0.0/8", "2001:db8::/32", "127.0.0.1". Pure. --- */

struct network {
	int family; /* AF_INET or AF_INET6 */
	uint8_t address[16];
	unsigned bits; /* length of the prefix */
};

/* Parses a numeric address with or without a prefix length; without one, the network is this single address. Returns
 * false if text is malformed. */
bool network_parse(const char *text, struct network *out);
/* Returns a pointer to the bytes of an IPv4 or IPv6 address, or NULL for any other family. Sets *family. An IPv4-mapped
 * IPv6 address counts as IPv4. */
const uint8_t *network_address(const struct sockaddr *address, int *family);
bool network_contains(const struct network *n, const struct sockaddr *address);
/* Returns true for addresses in 127.0.0.0/8, even if mapped into IPv6, and for ::1. */
bool network_is_loopback(const struct sockaddr *address);
