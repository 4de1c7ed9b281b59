/* src/console/console_portal.c - see console_portal.h. Plain lists: portals are few. */
#include "console/console_portal.h"

#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

void
portals_init(struct portals *p, const char *what, const char *taken)
{
	*p = (struct portals){ .what = what, .taken = taken };
	TAILQ_INIT(&p->list);
}

struct portal *
portal_find(const struct portals *p, const char *name)
{
	struct portal *portal;

	TAILQ_FOREACH(portal, &p->list, all)
		if (strcmp(portal->name, name) == 0)
			return portal;
	return NULL;
}

void
portal_drop(struct portals *p, struct portal *portal)
{
	if (portal == NULL)
		return;
	TAILQ_REMOVE(&p->list, portal, all);
	p->count--;
	buf_fini(&portal->rows);
	free(portal);
}

void
portal_drop_all(struct portals *p)
{
	while (!TAILQ_EMPTY(&p->list))
		portal_drop(p, TAILQ_FIRST(&p->list));
}

struct portal *
portal_add(struct portals *p, const char *name, const struct command *command, uint64_t binary, struct fail *why)
{
	struct portal *portal = portal_find(p, name);
	size_t name_len = strlen(name) + 1;

	if (portal != NULL && name[0] != '\0') {
		fail_set(why, p->taken, "%.*s \"%.63s\" already exists", (int)strlen(p->what) - 1, p->what, name);
		return NULL;
	}
	portal_drop(p, portal);
	if (p->count == PORTALS_MAX) {
		fail_set(why, "53400", "more than %d %s", PORTALS_MAX, p->what);
		fail_hint(why, "The console keeps no more for one client. Close those that are no longer needed.");
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
	TAILQ_INSERT_HEAD(&p->list, portal, all);
	p->count++;
	return portal;
}

size_t
portal_room(const struct portals *p)
{
	const struct portal *portal;
	size_t used = 0;

	TAILQ_FOREACH(portal, &p->list, all)
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
