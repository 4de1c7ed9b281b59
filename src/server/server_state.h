/* src/server/server_state.h - the life of a server connection as a table of steps. Pure. */
#pragma once

enum server_state {
	SV_NONE,
	SV_DIALING,
	SV_LOGIN,
	SV_IDLE,
	SV_PINGING,
	SV_LENT,
	SV_RESET,
	SV_CROSSING, /* on its way to another worker */
	SV_ENDING,
	SV_DEAD,
	SV_STATES
};
enum server_event {
	SE_CONNECTED,
	SE_NEXT_HOST,
	SE_LOGGED_IN,
	SE_LEND,
	SE_GIVE_BACK,
	SE_ASK_PING,
	SE_ANSWERED_PING,
	SE_BORROWER_GONE,
	SE_CLEAN,
	SE_DEPART,
	SE_ARRIVE,
	SE_TERMINATE,
	SE_LOST,
	SE_EVENTS
};

/* Returns the next state, or SV_NONE if the event must not happen in this state. */
enum server_state server_state_next(enum server_state from, enum server_event ev);
const char *server_state_name(enum server_state s);
const char *server_event_name(enum server_event ev);
