/*
 * src/config/config_harmless.c - reads the setting harmless_code: a list of extensions, languages, functions and
 * schemas that leave no session state, according to the operator.
 */
#include "base/text.h"
#include "config/config_value.h"

#include <ctype.h>

/* Reads an SQL identifier (quoted or not), and appends a comma and, in single quotes, the name in hexadecimal. Returns
 * the text after the identifier, or NULL if there is no valid identifier. */
static const char *
put_name(struct buf *rows, const char *at)
{
	bool is_open = *at == '"', is_quoted = is_open;
	size_t len = 0;

	buf_printf(rows, ", '");
	for (at += is_quoted; *at != '\0'; at++, len++) {
		if (is_quoted && *at == '"')
			is_open = *++at == '"';
		if (is_quoted ? !is_open : !isalnum((unsigned char)*at) && !strchr("_$", *at) && (*at & 0x80) == 0)
			break;
		buf_printf(rows, "%02x", (unsigned char)(!is_quoted && isupper((unsigned char)*at) ? *at + 32 : *at));
	}
	buf_put_u8(rows, '\'');
	return len == 0 || len > CONFIG_NAME_MAX || is_open ? NULL : at;
}

int
value_read_harmless_code(const char *text, struct buf *rows, struct fail *why)
{
	size_t first = rows->len;
	char kind[16];

	do {
		text += strspn(text, " ");
		snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(text, " "), text);
		buf_printf(rows, "%s('%s'", rows->len > first ? ", " : "", kind);
		text = put_name(rows, text + strlen(kind) + strspn(text + strlen(kind), " "));
		if (text != NULL && strcmp(kind, "function") == 0)
			text = *text == '.' ? put_name(rows, text + 1) : NULL;
		else
			buf_printf(rows, ", ''");
		buf_put_u8(rows, ')');
		text = text == NULL ? "?" : text + strspn(text, " ");
		if (!text_is_one_of(kind, "extension language function schema") || (*text != ',' && *text != '\0'))
			return fail_set(why, "F0000",
					"write extension NAME, language NAME, function SCHEMA.NAME or schema NAME, "
					"separated by commas; put a name that contains anything but letters, digits, _ "
					"and $ in double quotes");
	} while (*text++ != '\0');
	return 0;
}
