/* src/admin/console_portal.c - see console_portal.h. They are few: plain lists. */
#include "admin/console_portal.h"

#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

void
portals_init(struct portals *p)
{
	memset(p, 0, sizeof(*p));
	TAILQ_INIT(&p->prepared);
	TAILQ_INIT(&p->portals);
}

void
portals_fini(struct portals *p)
{
	prepared_drop_all(p);
	portal_drop_all(p);
}

struct prepared *
prepared_find(struct portals *p, const char *name)
{
	struct prepared *s;

	TAILQ_FOREACH(s, &p->prepared, all)
	if (strcmp(s->name, name) == 0)
		return s;
	return NULL;
}

void
prepared_drop(struct portals *p, struct prepared *prepared)
{
	TAILQ_REMOVE(&p->prepared, prepared, all);
	p->prepared_count--;
	free(prepared);
}

void
prepared_drop_all(struct portals *p)
{
	while (!TAILQ_EMPTY(&p->prepared))
		prepared_drop(p, TAILQ_FIRST(&p->prepared));
}

static int
too_many(const char *what, struct fail *why)
{
	fail_set(why, "53400", "more than %d %s", PORTALS_MAX, what);
	return fail_hint(why, "The console keeps no more for one client. Close those that are not needed any more.");
}

int
prepared_add(struct portals *p, const char *name, const struct command *command, struct fail *why)
{
	struct prepared *s = prepared_find(p, name);
	size_t name_len = strlen(name) + 1;

	if (s != NULL && name[0] != '\0')
		return fail_set(why, "42P05", "prepared statement \"%.63s\" already exists", name);
	if (s != NULL)
		prepared_drop(p, s);
	if (p->prepared_count == PORTALS_MAX)
		return too_many("prepared statements", why);
	s = malloc(sizeof(*s) + name_len);
	if (s == NULL)
		return fail_set(why, "53200", "out of memory");
	s->command = *command;
	memcpy(s->name, name, name_len);
	TAILQ_INSERT_HEAD(&p->prepared, s, all);
	p->prepared_count++;
	return 0;
}

struct portal *
portal_find(struct portals *p, const char *name)
{
	struct portal *portal;

	TAILQ_FOREACH(portal, &p->portals, all)
	if (strcmp(portal->name, name) == 0)
		return portal;
	return NULL;
}

void
portal_drop(struct portals *p, struct portal *portal)
{
	TAILQ_REMOVE(&p->portals, portal, all);
	p->portal_count--;
	buf_fini(&portal->rows);
	free(portal);
}

void
portal_drop_all(struct portals *p)
{
	while (!TAILQ_EMPTY(&p->portals))
		portal_drop(p, TAILQ_FIRST(&p->portals));
}

struct portal *
portal_add(struct portals *p, const char *name, const struct command *command, uint64_t binary, struct fail *why)
{
	struct portal *portal = portal_find(p, name);
	size_t name_len = strlen(name) + 1;

	if (portal != NULL && name[0] != '\0') {
		fail_set(why, "42P03", "portal \"%.63s\" already exists", name);
		return NULL;
	}
	if (portal != NULL)
		portal_drop(p, portal);
	if (p->portal_count == PORTALS_MAX) {
		too_many("portals", why);
		return NULL;
	}
	portal = calloc(1, sizeof(*portal) + name_len);
	if (portal == NULL) {
		fail_set(why, "53200", "out of memory");
		return NULL;
	}
	portal->command = *command;
	portal->binary = binary;
	memcpy(portal->name, name, name_len);
	TAILQ_INSERT_HEAD(&p->portals, portal, all);
	p->portal_count++;
	return portal;
}

size_t
portal_room(const struct portals *p)
{
	const struct portal *portal;
	size_t used = 0;

	TAILQ_FOREACH(portal, &p->portals, all)
	used += portal->rows.cap;
	return used < PORTAL_ROWS_MAX ? PORTAL_ROWS_MAX - used : 0;
}

size_t
portal_next(const struct portal *portal, uint32_t max)
{
	size_t at = portal->rows_at;

	if (max == 0)
		return portal->rows.len - at;
	while (at < portal->rows.len && max-- > 0)
		at += 1 + (size_t)wire_u32(portal->rows.bytes + at + 1);
	return at - portal->rows_at;
}
