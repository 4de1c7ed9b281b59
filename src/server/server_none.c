/* src/server/server_none.c - see server_none.h. */
#include "server/server_none.h"

void
server_none(struct server *srv)
{
	(void)srv;
}

void
server_none_pass(struct server *srv, const uint8_t *bytes, size_t len)
{
	(void)srv;
	(void)bytes;
	(void)len;
}

bool
server_none_request_done(struct server *srv, const struct owed *ended)
{
	(void)srv;
	(void)ended;
	return false;
}

void
server_none_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	(void)srv;
	(void)o;
	(void)how;
}

void
server_none_made(struct server *srv, const struct owed *o)
{
	(void)srv;
	(void)o;
}

void
server_none_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
		      bool is_whole)
{
	(void)srv;
	(void)o;
	(void)type;
	(void)body;
	(void)len;
	(void)is_whole;
}

bool
server_none_complete(struct server *srv, const char *tag)
{
	(void)srv;
	(void)tag;
	return false;
}

bool
server_none_parameter(struct server *srv, const char *name, const char *value, bool is_passed)
{
	(void)srv;
	(void)name;
	(void)value;
	(void)is_passed;
	return false;
}

bool
server_none_pid(struct server *srv, uint32_t pid)
{
	(void)srv;
	(void)pid;
	return false;
}

void
server_none_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	(void)srv;
	(void)body;
	(void)len;
	(void)is_whole;
}

void
server_none_pinged(struct server *srv, bool ok)
{
	(void)srv;
	(void)ok;
}

void
server_none_why(struct server *srv, const struct fail *why)
{
	(void)srv;
	(void)why;
}
