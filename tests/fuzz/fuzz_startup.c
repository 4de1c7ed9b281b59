/*
 * tests/fuzz/fuzz_startup.c - any bytes as the first packet of a connection, whole and in every cut.
 *
 * Besides memory safety it checks: the result for a cut packet is PARTIAL or that for the whole one; strings end within
 * the packet or the arena; NegotiateProtocolVersion has the length in its header.
 */
#include "wire/frame.h"
#include "wire/startup.h"
#include "fuzz.h"

static int
parse_exact(const uint8_t *data, size_t len, uint8_t **copy, struct startup *s)
{
	struct fail why = { 0 };
	int result;

	*copy = malloc(len > 0 ? len : 1);
	must(*copy != NULL);
	memcpy(*copy, data, len);
	result = startup_parse(*copy, len, s, &why);
	if (result < 0)
		must(strlen(why.sqlstate) == 5 && why.text[0] != '\0' && strchr(why.text, '\n') == NULL);
	return result;
}

static void
check_login(const struct startup *s, size_t len)
{
	struct buf b = { 0 };
	size_t sum = 0;

	must(s->major == 3 && s->user[0] != '\0' && s->database[0] != '\0');
	must(s->setting_count <= STARTUP_SETTINGS_MAX && s->unknown_option_count <= 32);
	for (size_t i = 0; i < s->setting_count; i++) {
		must(s->settings[i].name[0] != '\0');
		sum += strlen(s->settings[i].name) + strlen(s->settings[i].value);
	}
	must(sum <= len);
	must(startup_minor(s) == 0 || startup_minor(s) == 2);
	must(startup_minor(s) <= s->minor &&
	     (s->minor == startup_minor(s) || s->minor == 1 || startup_needs_negotiate(s)));
	startup_put_negotiate(&b, s);
	must(wire_u32(b.bytes + 5) == (3u << 16 | startup_minor(s)));
	must(buf_ok(&b) && b.len >= 13 && b.bytes[0] == 'v' && wire_u32(b.bytes + 1) == b.len - 1);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct startup whole, part;
	uint8_t *whole_copy, *part_copy;
	size_t step = size < 64 ? 1 : size / 64; /* every byte of short packets, some of long ones */
	int result = parse_exact(data, size, &whole_copy, &whole);

	if (result == 0 && whole.kind == STARTUP_PARTIAL)
		must(size < 8 || whole.total_len > size);
	if (result == 0 && whole.kind == STARTUP_CANCEL)
		must(whole.cancel_key_len >= 4 && whole.cancel_key_len <= CANCEL_KEY_MAX &&
		     whole.cancel_key + whole.cancel_key_len == whole_copy + whole.total_len);
	if (result == 0 && whole.kind == STARTUP_LOGIN)
		check_login(&whole, whole.total_len);
	for (size_t len = 0; len < size; len += step) {
		int part_result = parse_exact(data, len, &part_copy, &part);

		must(part_result == 0 || result < 0);
		if (part_result == 0 && part.kind != STARTUP_PARTIAL) {
			must(result == 0 && part.kind == whole.kind && part.total_len == whole.total_len);
			startup_fini(&part);
		}
		free(part_copy);
	}
	if (result == 0)
		startup_fini(&whole);
	free(whole_copy);
	return 0;
}
