/* src/wire/frame.c - see frame.h. */
#include "wire/frame.h"

uint32_t
frame_client_limit(uint8_t type)
{
	switch (type) {
	case 'Q':
	case 'P':
	case 'B':
	case 'F':
	case 'd':
		return FRAME_BODY_MAX;
	case 'C':
	case 'D':
	case 'E':
	case 'H':
	case 'S':
	case 'X':
	case 'c':
	case 'f':
		return FRAME_SMALL_MAX - 4;
	default:
		return 0;
	}
}
