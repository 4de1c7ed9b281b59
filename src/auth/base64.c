/* src/auth/base64.c - see encoding.h. */
#include "auth/encoding.h"

#include <openssl/evp.h>
#include <string.h>

void
base64_encode(const uint8_t *bytes, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

/* OpenSSL's decoder accepts blanks, and bits beyond the last byte. So this function encodes every four characters again
 * after decoding them, and requires that the result is equal. */
int
base64_decode(const char *text, size_t text_len, uint8_t *out, size_t out_max, size_t *out_len)
{
	size_t len = 0;

	if (text_len % 4 != 0)
		return -1;
	for (const char *at = text, *end = text + text_len; at < end; at += 4) {
		size_t count = at + 4 < end || at[3] != '=' ? 3 : at[2] != '=' ? 2 : 1;
		uint8_t bytes[3], again[5];

		if (EVP_DecodeBlock(bytes, (const uint8_t *)at, 4) < (int)count || count > out_max - len)
			return -1;
		EVP_EncodeBlock(again, bytes, (int)count);
		if (memcmp(again, at, 4) != 0)
			return -1;
		memcpy(out + len, bytes, count);
		len += count;
	}
	*out_len = len;
	return 0;
}
