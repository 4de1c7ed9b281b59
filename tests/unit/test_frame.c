/* tests/unit/test_frame.c - the head of a message, and how long a client's may be. Links only wire/frame.c. */
#include "wire/frame.h"
#include "unit.h"

static const struct {
	const char *rule, *bytes;
	size_t len;
	enum frame_result want;
	uint8_t type;
	uint32_t body_len;
} rows[] = {
	{ "nothing yet", BYTES(""), FRAME_PARTIAL, 0, 0 },
	{ "a type alone", BYTES("Q"), FRAME_PARTIAL, 0, 0 },
	{ "three bytes of a length", BYTES("Q\0\0\0"), FRAME_PARTIAL, 0, 0 },
	{ "an impossible length is not seen before it is whole", BYTES("Q\xff\xff\xff"), FRAME_PARTIAL, 0, 0 },
	{ "an empty body is legal", BYTES("S\0\0\0\4"), FRAME_OK, 'S', 0 },
	{ "the length counts itself, not the type", BYTES("Q\0\0\0\6"), FRAME_OK, 'Q', 2 },
	{ "what follows the head is not read", BYTES("Z\0\0\0\5I\xff"), FRAME_OK, 'Z', 1 },
	{ "the length is in network order", BYTES("d\1\2\3\4"), FRAME_OK, 'd', 0x01020300 },
	{ "a length of zero is impossible", BYTES("Q\0\0\0\0"), FRAME_BAD, 0, 0 },
	{ "a length below four is impossible", BYTES("Q\0\0\0\3"), FRAME_BAD, 0, 0 },
	{ "the longest message of PostgreSQL", BYTES("D\x3f\xff\xff\xff"), FRAME_OK, 'D', FRAME_BODY_MAX },
	{ "one byte more", BYTES("D\x40\0\0\0"), FRAME_BAD, 0, 0 },
	{ "a negative length", BYTES("D\x80\0\0\4"), FRAME_BAD, 0, 0 },
	{ "the largest number", BYTES("D\xff\xff\xff\xff"), FRAME_BAD, 0, 0 },
	{ "any type is a type", BYTES("\0\0\0\0\4"), FRAME_OK, 0, 0 },
};

Test(frame, heads)
{
	EACH(row, rows) {
		uint8_t *exact = malloc(row->len + 1); /* of no size it might be NULL */
		struct frame f = { 0 };

		cr_assert_not_null(exact);
		memcpy(exact + 1, row->bytes, row->len);
		cr_expect_eq(frame_parse(exact + 1, row->len, &f), row->want, "%s", row->rule);
		cr_expect_eq(f.type, row->type, "%s", row->rule);
		cr_expect_eq(f.body_len, row->body_len, "%s", row->rule);
		free(exact);
	}
}

Test(frame, what_a_client_may_send_and_how_much_of_it)
{
	static const char large[] = "QPBFd", small[] = "CDEHSXcf";

	for (unsigned type = 0; type < 256; type++) {
		uint32_t want = type == 0			   ? 0
				: strchr(large, (int)type) != NULL ? FRAME_BODY_MAX
				: strchr(small, (int)type) != NULL ? FRAME_SMALL_MAX - 4
								   : 0;

		cr_expect_eq(frame_client_limit((uint8_t)type), want, "type 0x%02x", type);
	}
}

Test(frame, numbers_are_in_network_order)
{
	uint8_t bytes[4];

	wire_set_u32(bytes, 0xfe02fd04u);
	cr_expect_arr_eq(bytes, "\xfe\x02\xfd\x04", 4);
	cr_expect_eq(wire_u32(bytes), 0xfe02fd04u);
	cr_expect_eq(wire_u16(bytes), 0xfe02u);
	cr_expect_eq(wire_u16(bytes + 2), 0xfd04u);
}
