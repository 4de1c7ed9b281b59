/*
 * tests/fuzz/fuzz_users.c - any bytes as a users_file.
 *
 * Besides memory safety it checks: a refusal names path and line; a file that is accepted, written again with its
 * quotes doubled and read again, means the same.
 */
#include "fuzz.h"

#include "auth/users.h"
#include "base/buf.h"

#include <openssl/rand.h>

/* In place of OpenSSL's: the same file takes the same way in each run. */
int
RAND_bytes(unsigned char *bytes, int len)
{
	memset(bytes, 1, (size_t)len);
	return 1;
}

static void
on_warning(bool is_error, const char *text, void *arg)
{
	must(strncmp(text, "f:", 2) == 0);
	*(size_t *)arg += !is_error;
}

static void
put_quoted(struct buf *b, const char *word)
{
	buf_put_u8(b, '"');
	for (; *word != '\0'; word++) {
		buf_put_u8(b, (uint8_t)*word);
		if (*word == '"')
			buf_put_u8(b, '"');
	}
	buf_put_u8(b, '"');
}

/* Whoever in users has this name: alone in a file of his own, he must come out as he was. */
static void
check_one(const struct users *users, const char *name)
{
	struct user_secret was, is;
	struct users *alone;
	struct buf b = { 0 };
	struct fail why;

	if (!users_find(users, name, &was))
		return;
	put_quoted(&b, name);
	buf_put_u8(&b, ' ');
	put_quoted(&b, was.text);
	must(buf_ok(&b));
	alone = users_load_text((const char *)b.bytes, b.len, "f", false, NULL, NULL, &why);
	must(alone != NULL && users_count(alone) == 1 && users_find(alone, name, &is));
	must(is.kind == was.kind && strcmp(is.text, was.text) == 0 && is.kind == secret_kind_of(was.text));
	users_unref(alone);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(size > 0 ? size : 1, 1), *name;
	size_t warning_count = 0, line_count = 1;
	struct users *users;
	struct fail why = { 0 };

	must(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	for (size_t i = 0; i < size; i++)
		line_count += text[i] == '\n';
	users = users_load_text(text, size, "f", false, on_warning, &warning_count, &why);
	must(users != NULL || (strcmp(why.sqlstate, "F0000") == 0 && strncmp(why.text, "f:", 2) == 0));
	must(users == NULL || users_count(users) + warning_count <= line_count);
	/* Each run between quotes is a likely name. */
	for (size_t at = 0; users != NULL && at < size; at++) {
		const char *end;

		if (text[at] != '"' || at + 1 == size || (end = memchr(text + at + 1, '"', size - at - 1)) == NULL)
			continue;
		name = string_of(text + at + 1, (size_t)(end - text) - at - 1);
		must(name != NULL);
		check_one(users, name);
		free(name);
	}
	users_unref(users);
	free(text);
	return 0;
}
