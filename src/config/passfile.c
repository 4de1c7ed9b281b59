#include "config/upstream.h"
#include "base/alloc.h"
#include "config/config_state.h"

#define PASSFILE_LEN_MAX ((size_t)1 << 20)

/* If the field at `at` is equal to token, or is *, returns the position after the field's colon; else NULL. In the
 * field, a backslash quotes the next byte. */
static const char *
match_field(const char *at, const char *end, const char *token)
{
	if (end - at >= 2 && at[0] == '*' && at[1] == ':')
		return at + 2;
	for (; at < end; at++, token++) {
		if (*at == ':')
			return *token == '\0' ? at + 1 : NULL;
		if (*at == '\\' && at + 1 < end)
			at++;
		if (*token == '\0' || *at != *token)
			return NULL;
	}
	return NULL;
}

char *
passfile_match(const char *text, size_t len, const struct passfile_query *query)
{
	const char *const tokens[] = { query->host, query->port, query->dbname, query->user };
	const char *next;

	for (const char *all_end = text + len; text < all_end; text = next) {
		const char *newline = memchr(text, '\n', (size_t)(all_end - text)), *at = text;
		const char *end = newline != NULL ? newline : all_end;

		next = newline != NULL ? newline + 1 : all_end;
		if (end > at && end[-1] == '\r')
			end--;
		if (at == end || *at == '#')
			continue;
		for (size_t i = 0; i < 4 && at != NULL; i++)
			at = match_field(at, end, tokens[i]);
		if (at != NULL) {
			char *password = xmalloc((size_t)(end - at) + 1), *to = password;

			for (; at < end && *at != ':'; at++) {
				if (*at == '\\' && at + 1 < end)
					at++;
				*to++ = *at;
			}
			*to = '\0';
			return password;
		}
	}
	return NULL;
}

char *
passfile_find(const char *path, const struct passfile_query *query, struct fail *why)
{
	struct file_content file;
	char *password = NULL;

	why->text[0] = '\0';
	if (access(path, F_OK) < 0 || file_read(path, PASSFILE_LEN_MAX, &file, why) < 0)
		return NULL;
	if (file.st.st_mode & 077)
		fail_set(why, "F0000", "%.128s can be read by others (%04o) and is ignored; use chmod 600", path,
			 (unsigned)file.st.st_mode & 07777);
	else
		password = passfile_match(file.text, file.len, query);
	file_free(&file);
	return password;
}
