/*
 * src/auth/users.c - see users.h.
 *
 * Names and secrets are copied into one block, which is wiped as a whole. The copies have no quotes, so they are never
 * longer than the file. The entries are hashed after all lines are read, because until then their array may move.
 */
#include "auth/users.h"
#include "auth/encoding.h"
#include "auth/scram.h"
#include "base/file.h"
#include "base/text.h"
#include "base/table.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdio.h>

#define FILE_LEN_MAX ((size_t)64 << 20)
#define SECRET_LEN_MAX ((size_t)65535)
#define NAME_LEN_MAX ((size_t)1023)
#define DUPLICATE_WARNINGS_MAX 10
#define BAD_LINES_MAX 100 /* broken lines that are reported */
#define CONFIG_ERROR "F0000" /* config_file_error */

struct user {
	const char *name, *secret; /* both are in the block */
	size_t name_len;
	size_t line;
	enum secret_kind kind;
	UT_hash_handle hh;
};

struct users {
	atomic_uint ref_count;
	/* random, because clients choose the names that are looked up, and must not choose their slots in the table */
	uint64_t seed;
	char *block;
	size_t block_len;
	struct user *entries;
	size_t entry_count, entry_cap;
	struct user *table; /* uthash's head */
	size_t secret_count, scram_count; /* the numbers of users with a secret, and with a SCRAM secret */
};

/* The state of a parse. */
struct reader {
	const char *at, *end;
	size_t line;
	char *to; /* the free part of the block */
	const char *path;
	users_report *tell;
	void *arg;
	size_t bad_count;
	bool is_lenient; /* leaves broken lines out, with warnings */
};

enum secret_kind
secret_kind_of(const char *text)
{
	struct scram_verifier verifier;
	bool is_scram;

	if (text[0] == '\0')
		return SECRET_NONE;
	if (strlen(text) == 35 && strncmp(text, "md5", 3) == 0 && strspn(text + 3, "0123456789abcdef") == 32)
		return SECRET_MD5;
	is_scram = scram_verifier_parse(text, &verifier, NULL) == 0;
	OPENSSL_cleanse(&verifier, sizeof(verifier));
	return is_scram ? SECRET_SCRAM : SECRET_PLAIN;
}

/* --- Life. --- */

static struct users *
users_new(size_t block_len)
{
	struct users *users = calloc(1, sizeof(*users));

	if (users == NULL)
		return NULL;
	atomic_init(&users->ref_count, 1);
	users->block_len = block_len;
	users->block = malloc(block_len);
	if (users->block == NULL || RAND_bytes((unsigned char *)&users->seed, sizeof(users->seed)) != 1) {
		users->block_len = 0; /* the block holds nothing yet that must be wiped */
		users_unref(users);
		return NULL;
	}
	return users;
}

struct users *
users_ref(struct users *users)
{
	if (users != NULL)
		atomic_fetch_add_explicit(&users->ref_count, 1, memory_order_relaxed);
	return users;
}

void
users_unref(struct users *users)
{
	if (users == NULL || atomic_fetch_sub_explicit(&users->ref_count, 1, memory_order_acq_rel) != 1)
		return;
	HASH_CLEAR(hh, users->table);
	free(users->entries);
	if (users->block != NULL)
		OPENSSL_cleanse(users->block, users->block_len);
	free(users->block);
	free(users);
}

bool
users_find(const struct users *users, const char *name, struct user_secret *out)
{
	const struct user *found = NULL;

	if (users != NULL)
		TABLE_FIND(users->seed, users->table, name, strlen(name), found);
	if (found == NULL)
		return false;
	out->kind = found->kind;
	out->text = found->secret;
	return true;
}

bool
users_is_right_password(const struct user_secret *secret, const char *name, const char *password)
{
	char md5[MD5_SECRET_LEN + 1] = "";
	const char *made = secret->kind == SECRET_MD5 ? md5 : password;
	bool is_right = (secret->kind == SECRET_PLAIN ||
			 (secret->kind == SECRET_MD5 && md5_secret(password, name, md5, NULL) == 0)) &&
			strlen(secret->text) == strlen(made) && CRYPTO_memcmp(secret->text, made, strlen(made)) == 0;

	OPENSSL_cleanse(md5, sizeof(md5));
	return is_right;
}

size_t
users_count(const struct users *users)
{
	return users == NULL ? 0 : HASH_COUNT(users->table);
}

bool
users_asks_unknown_for_scram(const struct users *users, const char *name, const uint8_t key[static 32])
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	uint64_t draw;

	if (users == NULL || users->secret_count == 0)
		return true; /* without secrets to imitate, asks for SCRAM, which is PostgreSQL's default */
	if (HMAC(EVP_sha384(), key, 32, (const unsigned char *)name, strlen(name), mac, NULL) == NULL)
		return false;
	memcpy(&draw, mac, sizeof(draw));
	return draw % users->secret_count < users->scram_count;
}

void
users_each(const struct users *users, void (*row)(const char *name, void *arg), void *arg)
{
	const struct user *u, *next;

	if (users == NULL)
		return;
	HASH_ITER(hh, users->table, u, next) {
		row(u->name, arg);
	}
}

/* --- Entries. --- */

static struct user *
add_entry(struct users *users)
{
	if (users->entry_count == users->entry_cap) {
		size_t cap = users->entry_cap == 0 ? 16 : users->entry_cap * 2;
		struct user *grown = realloc(users->entries, cap * sizeof(*grown));

		if (grown == NULL)
			return NULL;
		users->entries = grown;
		users->entry_cap = cap;
	}
	return memset(&users->entries[users->entry_count++], 0, sizeof(struct user));
}

/* Warns of a duplicate name. `count` is the number of duplicates so far, including this one. So that a file pasted
 * twice does not flood the log, warning DUPLICATE_WARNINGS_MAX is the last, and says that there are more duplicates. */
static void
warn_of_duplicate(const struct user *first, const struct user *again, size_t count, const char *path,
		  users_report *tell, void *arg)
{
	char text[512];

	if (tell == NULL || count > DUPLICATE_WARNINGS_MAX)
		return;
	if (count == DUPLICATE_WARNINGS_MAX)
		snprintf(text, sizeof(text), "%.150s:%zu: and more duplicate names", path, again->line);
	else
		snprintf(text, sizeof(text), "%.150s:%zu: user \"%.63s\" of line %zu again: this line counts", path,
			 again->line, again->name, first->line);
	tell(false, text, arg);
}

/* Returns 0, or -1 without memory. */
static int
hash_entries(struct users *users, const char *path, users_report *tell, void *arg)
{
	size_t duplicate_count = 0;
	struct user *u, *next, *earlier;

	for (size_t i = 0; i < users->entry_count; i++) {
		u = &users->entries[i];
		TABLE_FIND(users->seed, users->table, u->name, u->name_len, earlier);
		if (earlier != NULL) {
			warn_of_duplicate(earlier, u, ++duplicate_count, path, tell, arg);
			HASH_DELETE(hh, users->table, earlier);
		}
		if (!TABLE_ADD(users->seed, users->table, u->name, u->name_len, u))
			return -1;
	}
	HASH_ITER(hh, users->table, u, next) {
		users->secret_count += u->kind != SECRET_NONE;
		users->scram_count += u->kind == SECRET_SCRAM;
	}
	return 0;
}

struct users *
users_new_single(const char *name, const char *password)
{
	size_t name_len = strlen(name), secret_len = strlen(password);
	struct users *users = users_new(name_len + secret_len + 2);
	struct user *u = users == NULL ? NULL : add_entry(users);

	if (u != NULL) {
		u->name = memcpy(users->block, name, name_len + 1);
		u->name_len = name_len;
		u->secret = memcpy(users->block + name_len + 1, password, secret_len + 1);
		u->kind = secret_kind_of(u->secret);
		if (hash_entries(users, "", NULL, NULL) == 0)
			return users;
	}
	users_unref(users);
	return NULL;
}

/* --- Entries that must be mistakes. --- */

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static const char *
mistake_of(const struct user *u, bool needs_secrets)
{
	if (u->name_len == 0)
		return "the name is empty";
	if (u->kind == SECRET_NONE && needs_secrets)
		return "the secret is empty: this user cannot log in";
	if (u->kind == SECRET_PLAIN && strncmp(u->secret, "SCRAM-SHA-256", 13) == 0)
		return "looks like a SCRAM verifier but isn't one: SCRAM-SHA-256$4096:salt$StoredKey:ServerKey; a "
		       "shell may have expanded its $";
	if (u->kind == SECRET_PLAIN && strncmp(u->secret, "md5", 3) == 0 &&
	    u->secret[strspn(u->secret, LETTERS_AND_DIGITS)] == '\0') /* "md5-secret" may be a password */
		return "looks like an MD5 secret but isn't one: md5 and 32 digits, 0-9 and a-f";
	return NULL;
}

void
users_check(const struct users *users, const char *path, bool needs_secrets, bool is_lenient, users_report *tell,
	    void *arg)
{
	size_t count = 0;

	for (size_t i = 0; users != NULL && i < users->entry_count && count < BAD_LINES_MAX; i++) {
		const struct user *u = &users->entries[i];
		const char *mistake = mistake_of(u, needs_secrets);
		char text[512];

		if (mistake == NULL)
			continue;
		count++;
		snprintf(text, sizeof(text), "%.150s:%zu: user \"%.63s\": %s", path, u->line, u->name, mistake);
		tell(!is_lenient, text, arg);
	}
}

/* --- The file's grammar. --- */

static int
fail_at_line(const struct reader *r, struct fail *why, const char *what)
{
	return fail_set(why, CONFIG_ERROR, "%.150s:%zu: %s", r->path, r->line, what);
}

static void
users_skip_blanks(struct reader *r)
{
	while (r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\v' || *r->at == '\f'))
		r->at++;
}

static void
skip_line(struct reader *r)
{
	const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));

	r->at = newline != NULL ? newline : r->end;
}

/* Copies a quoted word, whose opening quote is at r->at, to the block, and terminates the copy. */
static int
users_take_quoted(struct reader *r, const char **word, size_t *word_len, struct fail *why)
{
	char *start = r->to;

	for (r->at++;; r->at++) {
		if (r->at == r->end || *r->at == '\n')
			return fail_at_line(r, why, "a quote is not closed on its line");
		if (*r->at == '\0')
			return fail_at_line(r, why, "a zero byte within quotes");
		if (*r->at == '"') {
			r->at++;
			if (r->at == r->end || *r->at != '"')
				break;
		}
		*r->to++ = *r->at;
	}
	*word = start;
	*word_len = (size_t)(r->to - start);
	*r->to++ = '\0';
	return 0;
}

/* Reads a user's line, of which the first quote is at r->at. */
static int
take_user(struct reader *r, struct user *u, struct fail *why)
{
	size_t secret_len;

	u->line = r->line;
	if (users_take_quoted(r, &u->name, &u->name_len, why) < 0)
		return -1;
	users_skip_blanks(r);
	if (r->at == r->end || *r->at != '"')
		return fail_at_line(r, why, "a secret in quotes must follow the name");
	if (users_take_quoted(r, &u->secret, &secret_len, why) < 0)
		return -1;
	if (u->name_len > NAME_LEN_MAX)
		return fail_at_line(r, why, "the name is too long");
	if (secret_len > SECRET_LEN_MAX)
		return fail_at_line(r, why, "the secret is too long");
	u->kind = secret_kind_of(u->secret);
	skip_line(r); /* PgBouncer ignores the rest of the line */
	return 0;
}

static int
take_line(struct reader *r, struct users *users, struct fail *why)
{
	struct fail bad;
	struct user *u;
	char *to = r->to;

	if (*r->at != '"') {
		fail_at_line(r, &bad, "a line must begin with a name in quotes");
	} else if ((u = add_entry(users)) == NULL) {
		return fail_set(why, "53200", "could not read %.150s: out of memory", r->path);
	} else if (take_user(r, u, &bad) == 0) {
		return 0;
	} else {
		users->entry_count--;
		r->to = to;
	}
	/* Reading goes on after a broken line, to report up to BAD_LINES_MAX of them at once; *why keeps the first
	 * error. */
	if (r->bad_count++ == 0)
		*why = bad;
	if (r->tell != NULL && r->bad_count <= BAD_LINES_MAX)
		r->tell(!r->is_lenient, bad.text, r->arg);
	skip_line(r);
	return 0;
}

static int
take_lines(struct reader *r, struct users *users, struct fail *why)
{
	for (; r->at < r->end; r->at++, r->line++) { /* the step skips the newline */
		users_skip_blanks(r);
		if (r->at < r->end && (*r->at == ';' || *r->at == '#'))
			skip_line(r);
		if (r->at == r->end)
			break;
		if (*r->at == '\n')
			continue;
		if (take_line(r, users, why) < 0)
			return -1;
		if (r->at == r->end)
			break;
	}
	return r->bad_count == 0 || r->is_lenient ? 0 : -1;
}

struct users *
users_load_text(const char *text, size_t text_len, const char *path, bool is_lenient, users_report *tell, void *arg,
		struct fail *why)
{
	/* the two quotes around each word make room for its terminator */
	struct users *users = users_new(text_len + 1);
	struct reader r = { .at = text,
			    .end = text + text_len,
			    .line = 1,
			    .path = path,
			    .tell = tell,
			    .arg = arg,
			    .is_lenient = is_lenient };

	if (users != NULL) {
		r.to = users->block;
		if (take_lines(&r, users, why) < 0) {
			users_unref(users);
			return NULL;
		}
		if (hash_entries(users, path, tell, arg) == 0)
			return users;
	}
	fail_set(why, "53200", "could not read %.150s: out of memory", path);
	users_unref(users);
	return NULL;
}

/* --- The file. --- */

struct users *
users_load(const char *path, bool is_lenient, users_report *tell, void *arg, struct fail *why)
{
	struct users *users;
	struct file_content file;
	char warning[512];

	if (file_read(path, FILE_LEN_MAX, &file, why) < 0)
		return NULL;
	if (tell != NULL && file_is_open_to_others(&file.st, path, warning, sizeof(warning)))
		tell(false, warning, arg);
	users = users_load_text(file.text, file.len, path, is_lenient, tell, arg, why);
	file_free(&file);
	return users;
}
