/* src/auth/base64.c - see encoding.h. */
#include "auth/encoding.h"

#include <openssl/evp.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(const uint8_t *bytes, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

/* OpenSSL's decoder takes blanks, and bits beyond the last byte. */
int
base64_decode(const char *text, size_t text_len, uint8_t *out, size_t out_max, size_t *out_len)
{
	size_t digit_count = text_len, len = 0;
	uint32_t bits = 0;
	unsigned bit_count = 0;

	if (text_len % 4 != 0)
		return -1;
	for (int pad = 0; pad < 2 && digit_count > 0 && text[digit_count - 1] == '='; pad++)
		digit_count--;
	for (size_t at = 0; at < digit_count; at++) {
		const char *digit = memchr(alphabet, text[at], sizeof(alphabet) - 1);

		if (digit == NULL)
			return -1;
		bits = bits << 6 | (uint32_t)(digit - alphabet);
		bit_count += 6;
		if (bit_count < 8)
			continue;
		bit_count -= 8;
		if (len == out_max)
			return -1;
		out[len++] = (uint8_t)(bits >> bit_count);
		bits &= (1u << bit_count) - 1;
	}
	if (bits != 0) /* the last digit has bits beyond the last byte: a second spelling of the same value */
		return -1;
	*out_len = len;
	return 0;
}
