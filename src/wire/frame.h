/*
 * src/wire/frame.h - the head of a message: one type byte, then a length of four bytes, which includes these four bytes
 * but not the type byte (PostgreSQL's manual, "Message Formats"). The functions are pure. They are inline because each
 * message of each query is parsed here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD_LEN 5
#define FRAME_BODY_MAX ((uint32_t)0x3ffffffb) /* bytes; PostgreSQL's MaxAllocSize minus the length's four bytes */
/* bytes, with the length's four bytes; PostgreSQL's PQ_SMALL_MESSAGE_LIMIT */
#define FRAME_SMALL_MAX ((uint32_t)10000)

enum frame_result { FRAME_OK, FRAME_PARTIAL, FRAME_BAD };

struct frame {
	uint8_t type;
	uint32_t body_len; /* bytes after the head */
};

static inline uint32_t
wire_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t
wire_u64(const uint8_t *p)
{
	return (uint64_t)wire_u32(p) << 32 | wire_u32(p + 4);
}

static inline uint16_t
wire_u16(const uint8_t *p)
{
	return (uint16_t)((uint16_t)(p[0] << 8) | p[1]);
}

static inline void
wire_set_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* Parses the head at the front of bytes. Returns FRAME_PARTIAL if the head is incomplete, or FRAME_BAD if the length is
 * less than 4, or the body longer than FRAME_BODY_MAX. */
static inline enum frame_result
frame_parse(const uint8_t *bytes, size_t len, struct frame *out)
{
	uint32_t said;

	if (len < FRAME_HEAD_LEN)
		return FRAME_PARTIAL;
	said = wire_u32(bytes + 1);
	if (said - 4 > FRAME_BODY_MAX) /* said is unsigned, so this refuses a length below four, too */
		return FRAME_BAD;
	out->type = bytes[0];
	out->body_len = said - 4;
	return FRAME_OK;
}

/* Returns true, with *out set, if the front of bytes is a whole message. Does not check FRAME_BODY_MAX. */
static inline bool
frame_parse_whole(const uint8_t *bytes, size_t len, struct frame *out)
{
	if (len < FRAME_HEAD_LEN)
		return false;
	out->type = bytes[0];
	out->body_len = wire_u32(bytes + 1) - 4; /* unsigned, so a length below four becomes too large */
	return out->body_len <= len - FRAME_HEAD_LEN;
}

/* Returns the most bytes that the body of a client's message of this type may have, as in PostgreSQL's SocketBackend().
 * Returns 0 for types that no client may send after its login. */
static inline uint32_t
frame_client_limit(uint8_t type)
{
	static const uint32_t limits[256] = {
		['Q'] = FRAME_BODY_MAX,	     ['P'] = FRAME_BODY_MAX,	  ['B'] = FRAME_BODY_MAX,
		['F'] = FRAME_BODY_MAX,	     ['d'] = FRAME_BODY_MAX,	  ['C'] = FRAME_SMALL_MAX - 4,
		['D'] = FRAME_SMALL_MAX - 4, ['E'] = FRAME_SMALL_MAX - 4, ['H'] = FRAME_SMALL_MAX - 4,
		['S'] = FRAME_SMALL_MAX - 4, ['X'] = FRAME_SMALL_MAX - 4, ['c'] = FRAME_SMALL_MAX - 4,
		['f'] = FRAME_SMALL_MAX - 4,
	};

	return limits[type];
}
