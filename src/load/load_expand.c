/* src/load/load_expand.c - see load_state.h. */

#include "base/alloc.h"
#include "base/text.h"
#include "load/load_state.h"

#define NAME_MAX_LEN 128

/* A value that is being built. text has room for the longest value from the beginning, because a buffer that grows may
 * leave a copy of a secret in freed memory. */
struct value {
	char *text;
	size_t len;
	enum expand_references which;
	const char *placeholder;
	char missing[192]; /* variables that are not set, as in "${A}, ${B}" */
	unsigned missing_count;
};

static int
value_add(struct value *value, const char *text, size_t len, struct fail *why)
{
	if (len > EXPAND_MAX - value->len)
		return fail_set(why, "F0000", "a value must have at most %zu bytes", EXPAND_MAX);
	memcpy(value->text + value->len, text, len);
	value->len += len;
	return 0;
}

static bool
is_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return *name != '\0' && (*name < '0' || *name > '9') && name[strspn(name, letters)] == '\0';
}

static int
add_file(struct value *value, const char *path, struct fail *why)
{
	struct file_content file;
	int rc;

	if (*path != '/')
		return fail_set(why, "F0000", "${file:...} needs a path that begins with /");
	if (file_read(path, EXPAND_FILE_MAX, &file, why) < 0)
		return -1;
	if (memchr(file.text, '\0', file.len) != NULL) {
		file_free(&file);
		return fail_set(why, "F0000", "%.128s contains a zero byte", path);
	}
	if (file.len > 0 && file.text[file.len - 1] == '\n')
		file.len--;
	if (file.len > 0 && file.text[file.len - 1] == '\r')
		file.len--;
	rc = value_add(value, file.text, file.len, why);
	file_free(&file);
	return rc;
}

/* Appends the value of a reference, which has the form NAME, NAME:-default or file:/path, without the braces. */
static int
add_reference(struct value *value, const char *from, size_t len, struct fail *why)
{
	size_t at = strlen(value->missing);
	char inside[256], *fallback;
	const char *found;
	bool is_file;

	if (len >= sizeof(inside))
		return fail_set(why, "F0000", "the text in ${...} is longer than %zu bytes", sizeof(inside) - 1);
	memcpy(inside, from, len);
	inside[len] = '\0';
	is_file = strncmp(inside, "file:", 5) == 0;
	if (is_file && value->which != EXPAND_ALL)
		return value_add(value, value->placeholder, strlen(value->placeholder), why);
	if (is_file)
		return add_file(value, inside + 5, why);
	fallback = strstr(inside, ":-");
	if (fallback != NULL)
		*fallback = '\0';
	if (!is_name(inside) || strlen(inside) > NAME_MAX_LEN)
		return fail_set(why, "F0000",
				"${...} must have the name of a variable, or file:/path; $$ is a dollar sign");
	found = value->which == EXPAND_NONE ? (fallback != NULL ? NULL : value->placeholder) : getenv(inside);
	if (fallback != NULL && (found == NULL || *found == '\0'))
		found = fallback + 2;
	if (found == NULL) { /* one error lists all variables that are not set */
		snprintf(value->missing + at, sizeof(value->missing) - at, "%s${%.*s}", at > 0 ? ", " : "",
			 NAME_MAX_LEN, inside);
		value->missing_count++;
		return 0;
	}
	return value_add(value, found, strlen(found), why);
}

static int
expand_into(struct value *value, const char *raw, struct fail *why)
{
	while (*raw != '\0') {
		size_t plain = strcspn(raw, "$");
		const char *end;

		if (value_add(value, raw, plain, why) < 0)
			return -1;
		raw += plain;
		if (raw[0] == '$' && raw[1] == '{') {
			end = strchr(raw, '}');
			if (end == NULL)
				return fail_set(why, "F0000", "${ without }; $$ is a dollar sign");
			if (add_reference(value, raw + 2, (size_t)(end - raw) - 2, why) < 0)
				return -1;
			raw = end + 1;
		} else if (raw[0] == '$') {
			if (value_add(value, "$", 1, why) < 0)
				return -1;
			raw += raw[1] == '$' ? 2 : 1;
		}
	}
	if (value->missing_count > 0)
		return fail_set(why, "F0000", "%s %s not set in the environment", value->missing,
				value->missing_count == 1 ? "is" : "are");
	return 0;
}

char *
expand(const char *raw, enum expand_references which, const char *placeholder, struct fail *why)
{
	struct value value = { .which = which, .placeholder = placeholder };
	char *fitted = NULL;

	if (strchr(raw, '$') == NULL)
		return xstrdup(raw);
	value.text = xmalloc(EXPAND_MAX + 1);
	if (expand_into(&value, raw, why) == 0) {
		value.text[value.len] = '\0';
		fitted = xstrdup(value.text);
	}
	OPENSSL_cleanse(value.text, value.len);
	free(value.text);
	return fitted;
}
