/* src/auth/scram_text.c - see scram_state.h. */
#include "auth/scram_state.h"

#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
scram_take_turn(enum scram_turn *turn, enum scram_turn want, struct fail *why)
{
	bool is_due = *turn == want;

	*turn = SCRAM_TURN_OVER;
	return is_due ? 0 : fail_set(why, "08P01", "SCRAM message out of turn");
}

int
scram_fail_no_memory(struct fail *why)
{
	return fail_memory(why, "a SCRAM login");
}

int
scram_fail_malformed(struct fail *why, const char *detail, ...)
{
	char text[FAIL_TEXT_MAX];
	va_list ap;

	va_start(ap, detail);
	vsnprintf(text, sizeof(text), detail, ap);
	va_end(ap);
	fail_set(why, "08P01", "malformed SCRAM message");
	return fail_detail(why, "%s", text);
}

int
scram_check_text(const char *in, size_t in_len, struct fail *why)
{
	if (in_len == 0)
		return scram_fail_malformed(why, "The message is empty.");
	if (in_len >= SCRAM_TEXT_MAX)
		return scram_fail_malformed(why, "The message is longer than %d bytes.", SCRAM_TEXT_MAX - 1);
	if (memchr(in, '\0', in_len) != NULL)
		return scram_fail_malformed(why, "Message length does not match input length.");
	return 0;
}

void
scram_copy_printable(struct scram_span text, char lowest, char *out, size_t cap)
{
	size_t len = text.len < cap ? text.len : cap - 1;

	for (size_t i = 0; i < len; i++)
		out[i] = text.text[i] >= lowest && text.text[i] <= 0x7e ? text.text[i] : '?';
	out[len] = '\0';
}

const char *
scram_print_char(char c, char out[static 8])
{
	snprintf(out, 8, c >= 0x21 && c <= 0x7e ? "'%c'" : "0x%02x", (unsigned char)c);
	return out;
}

/* Removes an attribute, whose name the caller has checked, and the comma after it, from the front of *rest. */
static int
take_value(struct scram_span *rest, struct scram_span *value, struct fail *why)
{
	const char *comma;

	if (rest->len < 2 || rest->text[1] != '=')
		return scram_fail_malformed(why, "Expected character \"=\" for attribute \"%c\".", rest->text[0]);
	value->text = rest->text + 2;
	comma = memchr(value->text, ',', rest->len - 2);
	value->len = comma != NULL ? (size_t)(comma - value->text) : rest->len - 2;
	rest->text = value->text + value->len;
	rest->len -= 2 + value->len;
	if (comma == NULL)
		return 0;
	rest->text++;
	rest->len--;
	if (rest->len == 0) /* a comma must be followed by an attribute */
		return scram_fail_malformed(why, "Attribute expected, but found end of string.");
	return 0;
}

int
scram_take(struct scram_span *rest, char name, struct scram_span *value, struct fail *why)
{
	char shown[8];

	if (rest->len == 0)
		return scram_fail_malformed(why, "Expected attribute \"%c\" but found end of string.", name);
	if (rest->text[0] != name)
		return scram_fail_malformed(why, "Expected attribute \"%c\" but found \"%s\".", name,
					    scram_print_char(rest->text[0], shown));
	return take_value(rest, value, why);
}

int
scram_take_any(struct scram_span *rest, char *name, struct scram_span *value, struct fail *why)
{
	char shown[8];

	if (rest->len == 0)
		return scram_fail_malformed(why, "Attribute expected, but found end of string.");
	*name = rest->text[0];
	if (!((*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z')))
		return scram_fail_malformed(why, "Attribute expected, but found invalid character \"%s\".",
					    scram_print_char(*name, shown));
	return take_value(rest, value, why);
}

int
scram_skip_extensions(struct scram_span *rest, struct fail *why)
{
	struct scram_span value;
	char name;

	while (rest->len > 0)
		if (scram_take_any(rest, &name, &value, why) < 0)
			return -1;
	return 0;
}

bool
scram_is_printable(struct scram_span s)
{
	for (size_t i = 0; i < s.len; i++)
		/* s has no comma, because a comma would have ended the value */
		if (s.text[i] < 0x21 || s.text[i] > 0x7e)
			return false;
	return s.len > 0;
}

int
scram_parse_count(struct scram_span s, uint32_t max, uint32_t *out)
{
	uint64_t n = 0;

	if (s.len == 0 || s.text[0] == '0')
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		if (s.text[i] < '0' || s.text[i] > '9')
			return -1;
		n = n * 10 + (uint64_t)(s.text[i] - '0');
		if (n > max)
			return -1;
	}
	*out = (uint32_t)n;
	return 0;
}

size_t
scram_binding_text(char flag, const struct scram_channel *channel, char header[SCRAM_GS2_MAX],
		   char out[static SCRAM_BINDING_TEXT_MAX])
{
	uint8_t bound[SCRAM_GS2_MAX + SCRAM_BINDING_MAX];
	const bool is_bound = flag == 'p';
	int header_len = snprintf((char *)bound, SCRAM_GS2_MAX, "%c%s,,", flag, is_bound ? "=" SCRAM_BINDING_TYPE : "");
	size_t len = (size_t)header_len;

	if (header != NULL)
		memcpy(header, bound, len + 1);
	if (is_bound) {
		memcpy(bound + len, channel->end_point, channel->end_point_len);
		len += channel->end_point_len;
	}
	base64_encode(bound, len, out);
	return BASE64_LEN(len);
}

const char *
scram_make_nonce(const char *given, char out[static SCRAM_OWN_NONCE_LEN + 1])
{
	uint8_t raw[SCRAM_OWN_NONCE_LEN / 4 * 3];

	if (given != NULL)
		return given;
	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return NULL;
	base64_encode(raw, sizeof(raw), out);
	return out;
}
