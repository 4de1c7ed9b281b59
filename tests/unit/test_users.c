/* tests/unit/test_users.c - the users_file's grammar, and the file itself. Links auth and base alone. */
#include "auth/users.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

/* As PostgreSQL 15 made them, for alice and for bob. */
#define SCRAM_SECRET                                                                                                   \
	"SCRAM-SHA-256$4096:MWvfBu93Wz2fLvvCUjFpiA==$7Lx42VGxN8p40UCg6U3sCZiCtT1nPthvmqhqlWypQQs=:"                    \
	"NTBlv7GP1T7hcnAaEMiziaIAtrTi+Y6d1LSd3nXeU6s="
#define MD5_SECRET "md5fe6a8d0bee8f4d6139a1119c7ca18c81"

struct warnings {
	size_t count;
	char last[512], all[8192];
};

static void
note_warning(bool is_error, const char *text, void *arg)
{
	struct warnings *w = arg;

	w->count++;
	snprintf(w->last, sizeof(w->last), "%s", text);
	snprintf(w->all + strlen(w->all), sizeof(w->all) - strlen(w->all), "%s\n", text);
}

/* From memory of exactly the text's size: a sanitizer sees a byte too far. */
static struct users *
parse(const char *text, size_t len, struct warnings *w, struct fail *why)
{
	char *exact = malloc(len + 1);
	struct users *users;

	memset(w, 0, sizeof(*w));
	memset(why, 0, sizeof(*why));
	memcpy(exact + 1, text, len);
	users = users_load_text(exact + 1, len, "users.txt", false, note_warning, w, why);
	free(exact);
	return users;
}

static const struct {
	const char *rule, *text;
	size_t len;
	size_t count;
	const char *name, *secret; /* one that must be there */
} good_rows[] = {
	{ "an empty file", BYTES(""), 0, NULL, NULL },
	{ "blank lines", BYTES("\n \n\t\r\n"), 0, NULL, NULL },
	{ "comments", BYTES("; one\n  # two\n;three"), 0, NULL, NULL },
	{ "one user", BYTES("\"a\" \"x\"\n"), 1, "a", "x" },
	{ "no newline at the end", BYTES("\"a\" \"x\""), 1, "a", "x" },
	{ "a carriage return before the newline", BYTES("\"a\" \"x\"\r\n\"b\" \"y\"\r\n"), 2, "b", "y" },
	{ "blanks before and between", BYTES(" \t\"a\"\t \"x\"\n"), 1, "a", "x" },
	{ "nothing between", BYTES("\"a\"\"\" \"x\"\n"), 1, "a\"", "x" },
	{ "the rest of the line is ignored", BYTES("\"a\" \"x\" \"b\" \"y\" ; \"\n\"c\" \"z\"\n"), 2, "c", "z" },
	{ "a comment after a user", BYTES("\"a\" \"x\" # \"b\" \"y\"\n"), 1, "a", "x" },
	{ "no comment within quotes", BYTES("\"a;b\" \"x#y\"\n"), 1, "a;b", "x#y" },
	{ "two quotes are one", BYTES("\"a\"\"b\" \"\"\"x\"\"\"\n"), 1, "a\"b", "\"x\"" },
	{ "a secret of one quote", BYTES("\"a\" \"\"\"\"\n"), 1, "a", "\"" },
	{ "a backslash is a backslash", BYTES("\"a\\\" \"x\\\"\n"), 1, "a\\", "x\\" },
	{ "an empty secret", BYTES("\"a\" \"\"\n"), 1, "a", "" },
	{ "an empty name", BYTES("\"\" \"x\"\n"), 1, "", "x" },
	{ "any bytes", BYTES("\"\xc3\xa4\" \"\xff\x01\"\n"), 1, "\xc3\xa4", "\xff\x01" },
	{ "names differ by case", BYTES("\"a\" \"x\"\n\"A\" \"y\"\n"), 2, "A", "y" },
	{ "the last of a name wins", BYTES("\"a\" \"x\"\n\"b\" \"y\"\n\"a\" \"z\"\n"), 2, "a", "z" },
};

Test(users, good_files)
{
	EACH(row, good_rows) {
		struct warnings w;
		struct fail why;
		struct users *users = parse(row->text, row->len, &w, &why);
		struct user_secret secret;

		cr_assert_not_null(users, "%s: %s", row->rule, why.text);
		cr_expect_eq(users_count(users), row->count, "%s", row->rule);
		if (row->name != NULL) {
			cr_assert(users_find(users, row->name, &secret), "%s", row->rule);
			cr_expect_str_eq(secret.text, row->secret, "%s", row->rule);
		}
		users_unref(users);
	}
}

static const struct {
	const char *rule, *text;
	size_t len;
	const char *want; /* the whole message */
} bad_rows[] = {
	{ "a line without quotes", BYTES("a x\n"), "users.txt:1: a line must begin with a name in quotes" },
	{ "lines are counted", BYTES("\n;c\n\"a\" \"x\"\n  oops\n"),
	  "users.txt:4: a line must begin with a name in quotes" },
	{ "a zero byte", BYTES("\"a\" \"x\"\n\0\n"), "users.txt:2: a line must begin with a name in quotes" },
	{ "a name that does not end", BYTES("\"a"), "users.txt:1: a quote is not closed on its line" },
	{ "a name that ends on the next line", BYTES("\"a\nb\" \"x\"\n"),
	  "users.txt:1: a quote is not closed on its line" },
	{ "a secret that does not end", BYTES("\"a\" \"x\n\"b\" \"y\"\n"),
	  "users.txt:1: a quote is not closed on its line" },
	{ "a quoted quote is no end", BYTES("\"a\" \"x\"\""), "users.txt:1: a quote is not closed on its line" },
	{ "a quote alone", BYTES("\""), "users.txt:1: a quote is not closed on its line" },
	{ "a zero byte within quotes", BYTES("\"a\" \"x\0y\"\n"), "users.txt:1: a zero byte within quotes" },
	{ "a name alone", BYTES("\"a\"\n\"b\" \"y\"\n"), "users.txt:1: a secret in quotes must follow the name" },
	{ "a name alone at the end", BYTES("\"a\""), "users.txt:1: a secret in quotes must follow the name" },
	{ "a secret without quotes", BYTES("\"a\" x\n"), "users.txt:1: a secret in quotes must follow the name" },
	{ "a comment for a secret", BYTES("\"a\" ; \"x\"\n"), "users.txt:1: a secret in quotes must follow the name" },
};

Test(users, bad_files)
{
	EACH(row, bad_rows) {
		struct warnings w;
		struct fail why;

		cr_expect_null(parse(row->text, row->len, &w, &why), "%s", row->rule);
		cr_expect_str_eq(why.text, row->want, "%s", row->rule);
		cr_expect_str_eq(why.sqlstate, "F0000", "%s", row->rule);
	}
}

Test(users, all_broken_lines_are_told_of)
{
	const char *text = "\"a\" \"x\"\nb\n\"c\" \"x\n\"d\" \"y\"\n\"e\"\n";
	struct warnings w;
	struct fail why;

	cr_expect_null(parse(text, strlen(text), &w, &why));
	cr_expect_eq(w.count, 3);
	cr_expect_str_eq(w.all, "users.txt:2: a line must begin with a name in quotes\n"
				"users.txt:3: a quote is not closed on its line\n"
				"users.txt:5: a secret in quotes must follow the name\n");
	cr_expect_str_eq(why.text, "users.txt:2: a line must begin with a name in quotes", "the first is the reason");
}

/* As PgBouncer reads a file: its broken lines don't lock everybody out. */
Test(users, broken_lines_are_left_out_with_a_warning_each)
{
	static const char text[] = "\"a\" \"x\n\"b\" \"y\"\nfoo\n\"c\"\n\"d\" \"z\"";
	struct warnings w = { 0 };
	struct user_secret b, d;
	struct users *users;
	struct fail why;

	users = users_load_text(text, sizeof(text) - 1, "f", true, note_warning, &w, &why);
	cr_assert_not_null(users);
	cr_expect_eq(users_count(users), 2);
	cr_assert(users_find(users, "b", &b) && users_find(users, "d", &d));
	cr_expect_str_eq(b.text, "y");
	cr_expect_str_eq(d.text, "z");
	cr_expect_str_eq(w.all, "f:1: a quote is not closed on its line\nf:3: a line must begin with a name in quotes\n"
				"f:4: a secret in quotes must follow the name\n");
	users_unref(users);
}

Test(users, names_and_secrets_have_limits)
{
	static const struct {
		size_t name_len, secret_len;
		const char *want; /* NULL: fine */
	} rows[] = {
		{ 1023, 65535, NULL },
		{ 1024, 1, "users.txt:1: the name is too long" },
		{ 1, 65536, "users.txt:1: the secret is too long" },
	};

	EACH(row, rows) {
		size_t len = row->name_len + row->secret_len + 6;
		char *text = malloc(len);
		struct user_secret secret;
		struct warnings w;
		struct fail why;
		struct users *users;

		memset(text, 'n', len);
		text[0] = text[row->name_len + 1] = text[row->name_len + 3] = text[len - 2] = '"';
		text[row->name_len + 2] = ' ';
		text[len - 1] = '\n';
		users = parse(text, len, &w, &why);
		cr_expect_eq(users != NULL, row->want == NULL);
		if (users == NULL) {
			cr_expect_str_eq(why.text, row->want);
		} else {
			text[row->name_len + 1] = '\0';
			cr_assert(users_find(users, text + 1, &secret));
			cr_expect_eq(strlen(secret.text), row->secret_len);
		}
		users_unref(users);
		free(text);
	}
}

Test(users, a_name_that_comes_twice_is_warned_of)
{
	struct warnings w;
	struct fail why;
	struct users *users = parse(BYTES("\"a\" \"x\"\n\n\"a\" \"y\"\n\"b\" \"z\"\n\"a\" \"\"\n"), &w, &why);
	struct user_secret secret;

	cr_assert_not_null(users);
	cr_expect_eq(w.count, 2);
	cr_expect_str_eq(w.all, "users.txt:3: user \"a\" of line 1 again: this line counts\n"
				"users.txt:5: user \"a\" of line 3 again: this line counts\n");
	cr_assert(users_find(users, "a", &secret));
	cr_expect_eq(secret.kind, SECRET_NONE);
	users_unref(users);
}

Test(users, a_file_pasted_twice_does_not_flood_the_log)
{
	char text[4096] = "";
	struct warnings w;
	struct fail why;
	struct users *users;

	for (int i = 0; i < 200; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "\"u%d\" \"x\"\n", i % 100);
	users = parse(text, strlen(text), &w, &why);
	cr_assert_not_null(users);
	cr_expect_eq(users_count(users), 100);
	cr_expect_eq(w.count, 10);
	cr_expect_str_eq(w.last, "users.txt:110: and more duplicate names");
	users_unref(users);
}

static const struct {
	const char *rule, *text;
	enum secret_kind want;
} kind_rows[] = {
	{ "nothing", "", SECRET_NONE },
	{ "a password", "secret", SECRET_PLAIN },
	{ "PostgreSQL's md5", MD5_SECRET, SECRET_MD5 },
	{ "31 digits", "md5fe6a8d0bee8f4d6139a1119c7ca18c8", SECRET_PLAIN },
	{ "33 digits", MD5_SECRET "0", SECRET_PLAIN },
	{ "PostgreSQL writes small letters", "md5FE6A8D0BEE8F4D6139A1119C7CA18C81", SECRET_PLAIN },
	{ "another prefix", "MD5fe6a8d0bee8f4d6139a1119c7ca18c81", SECRET_PLAIN },
	{ "a letter that is no digit", "md5fe6a8d0bee8f4d6139a1119c7ca18c8g", SECRET_PLAIN },
	{ "PostgreSQL's SCRAM", SCRAM_SECRET, SECRET_SCRAM },
	{ "SCRAM and a blank", SCRAM_SECRET " ", SECRET_PLAIN },
	{ "another SCRAM", "SCRAM-SHA-1$4096:c2FsdA==$AAAA:AAAA", SECRET_PLAIN },
	{ "SCRAM cut short", "SCRAM-SHA-256$4096:MWvfBu93Wz2fLvvCUjFpiA==", SECRET_PLAIN },
};

Test(users, kinds_of_secrets)
{
	EACH(row, kind_rows) {
		struct users *users = users_new_single("u", row->text);
		struct user_secret secret;

		cr_expect_eq(secret_kind_of(row->text), row->want, "%s", row->rule);
		cr_assert(users_find(users, "u", &secret));
		cr_expect_eq(secret.kind, row->want, "%s", row->rule);
		cr_expect_str_eq(secret.text, row->text, "%s", row->rule);
		users_unref(users);
	}
}

Test(users, nobody_else_is_found)
{
	struct users *users = users_new_single("ann", "x");
	struct user_secret secret;

	cr_expect_eq(users_count(users), 1);
	cr_expect(users_find(users, "ann", &secret));
	cr_expect_not(users_find(users, "an", &secret));
	cr_expect_not(users_find(users, "anna", &secret));
	cr_expect_not(users_find(users, "Ann", &secret));
	cr_expect_not(users_find(users, "", &secret));
	cr_expect_not(users_find(NULL, "ann", &secret));
	cr_expect_eq(users_count(NULL), 0);
	users_unref(users);
	users_unref(NULL);
}

Test(users, the_last_reference_frees)
{
	struct users *users = users_new_single("ann", "x");
	struct user_secret secret;

	cr_expect_eq(users_ref(users), users);
	users_unref(users);
	cr_expect(users_find(users, "ann", &secret), "one reference is left");
	cr_expect_str_eq(secret.text, "x");
	users_unref(users); /* the leak check sees to the rest */
	cr_expect_null(users_ref(NULL));
}

Test(users, a_hundred_thousand)
{
	const int count = 100000;
	size_t room = (size_t)count * 48, len = 0;
	char *text = malloc(room), name[32], password[32];
	struct user_secret secret;
	struct users *users;
	struct fail why;

	for (int i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, room - len, "\"user%d\" \"secret %d\"\n", i, i);
	users = users_load_text(text, len, "users.txt", false, NULL, NULL, &why);
	free(text);
	cr_assert_not_null(users);
	cr_assert_eq(users_count(users), (size_t)count);
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		snprintf(password, sizeof(password), "secret %d", i);
		cr_assert(users_find(users, name, &secret), "%s", name);
		cr_assert_str_eq(secret.text, password);
	}
	cr_expect_not(users_find(users, "user100000", &secret));
	users_unref(users);
}

/* --- The file. --- */

static void
make_file(char path[static 64], const char *text, mode_t mode)
{
	int fd;

	snprintf(path, 64, "/tmp/pgweir-users-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

Test(users, a_file_is_read)
{
	struct warnings w = { 0 };
	struct user_secret secret;
	struct users *users;
	struct fail why;
	char path[64];

	make_file(path, "\"a\" \"x\"\n\"b\" \"" SCRAM_SECRET "\"\n", 0640);
	users = users_load(path, false, note_warning, &w, &why);
	unlink(path);
	cr_assert_not_null(users, "%s", why.text);
	cr_expect_eq(users_count(users), 2);
	cr_assert(users_find(users, "b", &secret));
	cr_expect_eq(secret.kind, SECRET_SCRAM);
	cr_expect_str_eq(w.all, "");
	users_unref(users);
}

Test(users, a_file_all_may_read_is_warned_of)
{
	static const struct {
		mode_t mode;
		const char *may;
	} rows[] = { { 0644, "read" }, { 0602, "change" }, { 0666, "change" } };

	EACH(row, rows) {
		struct warnings w = { 0 };
		struct users *users;
		struct fail why;
		char path[64], want[128];

		make_file(path, "", row->mode);
		users = users_load(path, false, note_warning, &w, &why);
		unlink(path);
		cr_expect_not_null(users);
		snprintf(want, sizeof(want), "%s: anyone may %s this file of secrets: chmod o-rwx", path, row->may);
		cr_expect_eq(w.count, 1);
		cr_expect_str_eq(w.last, want);
		users_unref(users);
	}
}

Test(users, a_broken_file_is_refused_whole_and_named)
{
	struct fail why;
	char path[64], want[128];

	make_file(path, "\"a\" \"x\"\nb\n", 0600);
	cr_expect_null(users_load(path, false, NULL, NULL, &why));
	unlink(path);
	snprintf(want, sizeof(want), "%s:2: a line must begin with a name in quotes", path);
	cr_expect_str_eq(why.text, want);
}

Test(users, what_is_no_file_is_refused)
{
	struct fail why;
	char path[64], want[128];

	cr_expect_null(users_load("/nowhere/users.txt", false, NULL, NULL, &why));
	cr_expect_str_eq(why.sqlstate, "F0000");
	cr_expect_str_eq(why.text, "could not open /nowhere/users.txt: No such file or directory");
	cr_expect_null(users_load("/tmp", false, NULL, NULL, &why));
	cr_expect_str_eq(why.text, "/tmp is a directory");
	cr_expect_null(users_load("/proc/self/status", false, NULL, NULL, &why),
		       "read, though its size is said to be none");
	cr_expect_str_eq(why.text, "/proc/self/status:1: a line must begin with a name in quotes");

	make_file(path, "", 0600);
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_null(users_load(path, false, NULL, NULL, &why), "and does not wait for a writer");
	unlink(path);
	snprintf(want, sizeof(want), "%s is not a regular file", path);
	cr_expect_str_eq(why.text, want);
}

Test(users, a_file_too_large_is_not_read)
{
	struct fail why;
	char path[64], want[128];

	make_file(path, "", 0600);
	cr_assert_eq(truncate(path, ((off_t)64 << 20) + 1), 0);
	cr_expect_null(users_load(path, false, NULL, NULL, &why));
	unlink(path);
	snprintf(want, sizeof(want), "%s is larger than 64 MiB", path);
	cr_expect_str_eq(why.text, want);
}

Test(users, what_can_not_be_meant_is_told)
{
	static const char text[] = "\"good\" \"md5-secret\"\n\"s\" \"SCRAM-SHA-2564096:abc\"\n\"m\" \"md5zz\"\n"
				   "\"\" \"x\"\n\"app\" \"\"\n\"v\" \"" SCRAM_SECRET "\"\n\"w\" \"" MD5_SECRET "\"\n";
	struct warnings w;
	struct fail why;
	struct users *users = parse(BYTES(text), &w, &why);

	cr_assert_not_null(users);
	cr_expect_eq(w.count, 0);
	users_check(users, "users.txt", false, false, note_warning, &w);
	cr_expect_eq(w.count, 3);
	cr_expect_not_null(strstr(w.all, "users.txt:2: user \"s\": looks like a SCRAM verifier but isn't one"), "%s",
			   w.all);
	cr_expect_not_null(strstr(w.all, "users.txt:3: user \"m\": looks like an MD5 secret but isn't one"), "%s",
			   w.all);
	cr_expect_not_null(strstr(w.all, "users.txt:4: user \"\": the name is empty"), "%s", w.all);
	memset(&w, 0, sizeof(w));
	users_check(users, "users.txt", true, false, note_warning, &w);
	cr_expect_eq(w.count, 4);
	cr_expect_not_null(strstr(w.last, "users.txt:5: user \"app\": the secret is empty"), "%s", w.last);
	users_check(NULL, "users.txt", true, false, note_warning, &w);
	cr_expect_eq(w.count, 4);
	users_unref(users);
}
