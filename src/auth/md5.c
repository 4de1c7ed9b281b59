/* src/auth/md5.c - see encoding.h. */
#include "auth/encoding.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#define MD5_LEN 16

/* Writes "md5" + hex(MD5(first + second)) to out, terminated. */
static int
md5_text(const void *first, size_t first_len, const void *second, size_t second_len,
	 char out[static MD5_SECRET_LEN + 1], struct fail *why)
{
	static const char hex[] = "0123456789abcdef";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[MD5_LEN];
	bool is_done = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
		       EVP_DigestUpdate(ctx, first, first_len) == 1 && EVP_DigestUpdate(ctx, second, second_len) == 1 &&
		       EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	out[0] = '\0';
	if (!is_done && (ctx == NULL || ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE))
		return fail_memory(why, "an MD5 hash");
	if (!is_done)
		return fail_set(why, "XX000", "could not compute MD5: OpenSSL refuses it, as in FIPS mode");
	memcpy(out, "md5", 3);
	for (size_t i = 0; i < MD5_LEN; i++) {
		out[3 + 2 * i] = hex[digest[i] >> 4];
		out[4 + 2 * i] = hex[digest[i] & 15];
	}
	out[MD5_SECRET_LEN] = '\0';
	OPENSSL_cleanse(digest, sizeof(digest));
	return 0;
}

int
md5_secret(const char *password, const char *user, char out[static MD5_SECRET_LEN + 1], struct fail *why)
{
	return md5_text(password, strlen(password), user, strlen(user), out, why);
}

int
md5_answer(const char *secret, const uint8_t salt[static 4], char out[static MD5_SECRET_LEN + 1], struct fail *why)
{
	if (strlen(secret) != MD5_SECRET_LEN) {
		out[0] = '\0';
		return fail_set(why, "XX000", "not an MD5 secret");
	}
	return md5_text(secret + 3, MD5_SECRET_LEN - 3, salt, 4, out, why);
}
