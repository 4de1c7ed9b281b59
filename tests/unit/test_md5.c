/* tests/unit/test_md5.c. Links auth/md5.c and base/fail.c. */
#include "auth/encoding.h"
#include "unit.h"

/* PostgreSQL 15's rolpassword for bob, with password_encryption = md5. */
#define BOB_PASSWORD "correct horse battery staple"
#define BOB_SECRET "md5fe6a8d0bee8f4d6139a1119c7ca18c81"

static const struct {
	const char *rule, *password, *user, *want;
} secret_rows[] = {
	{ "what PostgreSQL keeps", BOB_PASSWORD, "bob", BOB_SECRET },
	{ "the name counts", BOB_PASSWORD, "bobby", "md5e424d641fba5ddb4d4c3f5e9a3bb3a05" },
	{ "nothing at all has a hash too", "", "", "md5d41d8cd98f00b204e9800998ecf8427e" },
};

Test(md5, secrets)
{
	EACH(row, secret_rows) {
		char out[MD5_SECRET_LEN + 1];
		struct fail why;

		cr_expect_eq(md5_secret(row->password, row->user, out, &why), 0);
		cr_expect_str_eq(out, row->want, "%s", row->rule);
	}
}

Test(md5, a_password_of_64_kb_is_hashed_whole)
{
	char *password = calloc(1, 65536), out[MD5_SECRET_LEN + 1];
	struct fail why;

	memset(password, 'x', 65535);
	cr_expect_eq(md5_secret(password, "bob", out, &why), 0);
	cr_expect_str_eq(out, "md5d1301b4d54d332199d08d6d118b98091");
	free(password);
}

Test(md5, the_answer_hashes_the_hex_digits_and_the_salt)
{
	char out[MD5_SECRET_LEN + 1];
	struct fail why;

	cr_expect_eq(md5_answer(BOB_SECRET, (const uint8_t[4]){ 0, 1, 0xff, 0x80 }, out, &why), 0);
	cr_expect_str_eq(out, "md55c5d8624815b20b7fd120d0c869a01a9");
}

Test(md5, an_answer_from_anything_but_a_secret_is_refused)
{
	static const char *const not_secrets[] = { "", "md5", "md5fe6a8d0bee8f4d6139a1119c7ca18c8", BOB_SECRET "0" };

	for (size_t i = 0; i < COUNT(not_secrets); i++) {
		char out[MD5_SECRET_LEN + 1] = "untouched";
		struct fail why = { 0 };

		cr_expect_eq(md5_answer(not_secrets[i], (const uint8_t[4]){ 0 }, out, &why), -1, "%s", not_secrets[i]);
		cr_expect_str_eq(out, "");
		cr_expect_str_eq(why.sqlstate, "XX000");
	}
}
