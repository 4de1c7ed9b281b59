/*
 * src/admission/admission_queue.c - connections that have not proved yet who they are: a bound on how many there are at
 * once, so that those who connect and stay silent use up neither descriptors nor memory before login_timeout finds
 * them.
 *
 * As many as max_client_connections, at least 1000, but not more than a third of the descriptors. At the bound the
 * newcomer is let in and another goes: one whose wrong password is about to be answered; else the oldest of those that
 * have not sent their startup packet, or of those that have, whichever are more. So a silent crowd is in the way of
 * nobody who speaks, and a crowd that speaks, but proves nothing, in the way of nobody in the midst of his handshake.
 */
#include "admission/admission_state.h"

#define LINE_MIN 1000u
#define LINE_FLOOR 16u

static uint32_t
line_max(const struct client_env *env)
{
	uint64_t max = env->x.config->max_client_connections, third = env->door->descriptors / 3;

	if (max < LINE_MIN)
		max = LINE_MIN;
	if (env->door->descriptors != 0 && max > third)
		max = third < LINE_FLOOR ? LINE_FLOOR : third;
	return (uint32_t)max;
}

void
door_leave_line(struct client_login *l)
{
	if (l->door == NULL)
		return;
	TAILQ_REMOVE(&l->door->lines[l->line], l, in_line);
	l->door->counts[l->line]--;
	l->door->line_count--;
	l->door = NULL;
}

void
door_line_join(struct client *c, enum door_line line)
{
	struct client_login *l = c->login;
	struct door *door = c->env->door;

	door_leave_line(l);
	l->door = door;
	l->client = c;
	l->line = (uint8_t)line;
	TAILQ_INSERT_TAIL(&door->lines[line], l, in_line);
	door->counts[line]++;
	door->line_count++;
}

static struct client_login *
first_to_go(struct door *door)
{
	if (door->counts[DOOR_FAILED] > 0)
		return TAILQ_FIRST(&door->lines[DOOR_FAILED]);
	return TAILQ_FIRST(
	    &door->lines[door->counts[DOOR_SILENT] >= door->counts[DOOR_PROVING] ? DOOR_SILENT : DOOR_PROVING]);
}

bool
door_line_make_room(struct client *c)
{
	struct client_env *env = c->env;
	struct door *door = env->door;
	uint32_t max = line_max(env);

	while (door->line_count >= max) {
		struct client_login *l = first_to_go(door);
		struct fail why;

		if (l == NULL)
			break;
		if (door_is_answer_held(l)) {
			door_answer_now(l->client);
			continue;
		}
		fail_set(&why, "53300", "too many connections are logging in: %u, and this one is the oldest of them",
			 door->line_count);
		fail_hint(&why, "Connect again. If that does not help, look for connections that never log in.");
		door_refuse(l->client, &why, RJ_LOGGING_IN);
	}
	return !c->x.is_closing;
}
