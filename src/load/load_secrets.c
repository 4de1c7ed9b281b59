/*
 * src/load/load_secrets.c - finds the files that contain a configuration's passwords.
 *
 * Quotes, escapes and URIs can write a password in many ways. So the source of a password is found by parsing the
 * upstream again, with placeholders in place of its references: if this changes the password, the password came from a
 * reference.
 */
#include "load/load_state.h"
#include "base/alloc.h"
#include "base/text.h"

#define PLACEHOLDER "1" /* valid as a host, a port and a name */
#define FILE_REFERENCE "${file:"

/* Returns the password that the upstream has if `which` references are expanded and the others are replaced by
 * placeholders; NULL if raw has no references, or can't be parsed then. */
static char *
password_with_placeholders(const char *raw, enum expand_references which, bool is_of_tenant)
{
	struct fail why;
	char *value = strchr(raw, '$') == NULL ? NULL : expand(raw, which, PLACEHOLDER, &why), *password;
	struct upstream *up = value == NULL ? NULL : upstream_parse(value, is_of_tenant, &why);

	secret_free(value);
	password = up == NULL ? NULL : xstrdup(up->password);
	upstream_free(up);
	return password;
}

/* Adds a file, unless it was the last one added. Sections with the same file are mostly adjacent, so it is listed
 * once. */
static void
secret_file_add(struct config *config, const char *path, size_t len)
{
	size_t count = config->secret_file_count;
	char **list = config->secret_files;

	if (count > 0 && strncmp(list[count - 1], path, len) == 0 && list[count - 1][len] == '\0')
		return;
	config->secret_files = xreallocarray(list, count + 1, sizeof(*list));
	config->secret_files[count] = xstrndup(path, len);
	config->secret_file_count++;
}

void
load_note_password(struct config *config, const char *raw, const struct upstream *up)
{
	char *bare, *other;

	if (up->password[0] == '\0')
		return;
	bare = password_with_placeholders(raw, EXPAND_NONE, up->is_of_tenant);
	other = password_with_placeholders(raw, EXPAND_VARIABLES, up->is_of_tenant);
	/* The configuration itself contains the password or a part of it. */
	if (strchr(raw, '$') == NULL || (bare != NULL && bare[strspn(bare, PLACEHOLDER)] != '\0'))
		config->has_password = true;
	/* Without the files, the password would be another one, so a part of it comes from a file. */
	if (other != NULL && strcmp(other, up->password) != 0) {
		const char *at = raw, *end;

		while ((at = strstr(at, FILE_REFERENCE)) != NULL) {
			at += strlen(FILE_REFERENCE);
			end = strchr(at, '}');
			if (end == NULL)
				break;
			secret_file_add(config, at, (size_t)(end - at));
		}
	}
	secret_free(bare);
	secret_free(other);
}
