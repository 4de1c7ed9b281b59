/* src/admission/admission_state.h - what the door consists of; only door*.c see it. */
#ifndef PGWEIR_ADMISSION_ADMISSION_STATE_H
#define PGWEIR_ADMISSION_ADMISSION_STATE_H

#include "admission/admission.h"
#include "admission/admission_table.h"
#include "login/login_state.h"

/* Those that have not proved who they are, the oldest first. */
enum door_line {
	DOOR_FAILED, /* a wrong password; the answer is held back */
	DOOR_SILENT, /* its startup packet is not here yet */
	DOOR_PROVING,
	DOOR_LINES
};
TAILQ_HEAD(door_logins, client_login);

/* Of one reason. */
struct door_quiet {
	uint64_t written_us; /* the last line */
	uint64_t kept_back; /* refusals since then that got none */
};

#define DOOR_WAITING_MAX 50u /* failed logins of one address whose answers are held back */

struct door {
	struct event_base *base;
	struct door_table *addresses, *users, *databases;
	struct door_table *guesses; /* wrong passwords by address and user: admission/admission_failures.c */
	struct door_logins lines[DOOR_LINES];
	uint32_t counts[DOOR_LINES], line_count; /* line_count: in all lines */
	uint32_t held_count; /* answers held back */
	uint64_t descriptors;
	struct door_quiet quiet[RJ_COUNT];
	uint64_t log_since_us, log_kept_back; /* door_may_log: when its second began; lines that were not written */
	uint32_t log_count;
};

/* admission/admission_queue.c */
void door_line_join(struct client *c, enum door_line line); /* leaves the one it is in; at its end */
bool door_line_make_room(struct client *c); /* for the newcomer c; false: it was refused itself */

/* What of an address counts: its bytes, 0 for Unix sockets. */
#define DOOR_ADDRESS_KEY_MAX 8
size_t door_address_key(const struct client *c, uint8_t key[static DOOR_ADDRESS_KEY_MAX]);
/* "10.0.0.7" or "2001:db8:0:1::/64"; "unix". */
#define DOOR_ADDRESS_TEXT_MAX 64
void door_address_text(const struct client *c, char out[static DOOR_ADDRESS_TEXT_MAX]);

#endif
