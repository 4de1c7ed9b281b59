/* src/server/server_state.c - the transitions between the states of a server connection. */
#include "server/server_parts.h"

static const enum server_state next[SV_STATES][SE_EVENTS] = {
	/* 0 if the event must not happen in the state */
	[SV_DIALING] = { [SE_CONNECTED] = SV_LOGIN, [SE_NEXT_HOST] = SV_DIALING, [SE_LOST] = SV_DEAD },
	[SV_LOGIN] = { [SE_LOGGED_IN] = SV_IDLE, [SE_NEXT_HOST] = SV_DIALING, [SE_LOST] = SV_DEAD },
	[SV_IDLE] = { [SE_LEND] = SV_LENT,
		      [SE_ASK_PING] = SV_PINGING,
		      [SE_DEPART] = SV_IN_TRANSFER,
		      [SE_TERMINATE] = SV_ENDING,
		      [SE_LOST] = SV_DEAD },
	[SV_PINGING] = { [SE_ANSWERED_PING] = SV_IDLE, [SE_LOST] = SV_DEAD },
	[SV_LENT] = { [SE_GIVE_BACK] = SV_IDLE, [SE_BORROWER_GONE] = SV_RESET, [SE_LOST] = SV_DEAD },
	[SV_RESET] = { [SE_CLEAN] = SV_IDLE, [SE_LOST] = SV_DEAD },
	[SV_IN_TRANSFER] = { [SE_ARRIVE] = SV_IDLE, [SE_LOST] = SV_DEAD },
	[SV_ENDING] = { [SE_LOST] = SV_DEAD },
};

enum server_state
server_state_next(enum server_state from, enum server_event ev)
{
	return next[from][ev];
}

const char *
server_state_name(enum server_state s)
{
	static const char *const names[SV_STATES] = { "none", "dialing", "login",    "idle",   "pinging",
						      "lent", "reset",	 "crossing", "ending", "dead" };

	return names[s];
}

const char *
server_event_name(enum server_event ev)
{
	static const char *const names[SE_EVENTS] = { "connected", "next host", "logged in",	 "lend",
						      "give back", "ask ping",	"answered ping", "borrower gone",
						      "clean",	   "depart",	"arrive",	 "terminate",
						      "lost" };

	return names[ev];
}
